"""`hansa verify`: check a proof or a proof pack against a genesis file, with no node and no network (U20, F78)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli import output, place
from cli.exit_codes import Exit
from cli.failure import CommandFailed

if TYPE_CHECKING:
    from cli.trust import Trusted

PACK_MAGIC: Final = b"HANSAPACK1\n"


@click.command("verify")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "--genesis", type=click.Path(dir_okay=False), help="Genesis file obtained independently; the home's if left out."
)
@place.home_option
@place.output_option
def command(file: str, genesis: str | None, home: str | None, form: str) -> None:
    """Check FILE without trusting any node: what hansa state get, hansa tx show or hansa block show saved, or a pack.

    Exit code 10 when it does not hold, with the first thing that is wrong.

    \b
    hansa verify invoices.proof --genesis genesis.hansa
    """
    raw = place.read_bytes(Path(file), "proof")
    if raw.startswith(PACK_MAGIC):
        _verify_pack(file, genesis, home, form)
        return
    from cli import statekeys, trust
    from ledger.proof import proven_receipt, proven_value

    kind, about, data = _read(raw, file)
    trusted = trust.with_epochs(trust.require(genesis, _home(genesis, home)), json.loads(raw))
    if kind in ("block", "transaction"):
        _verify_block(kind, about, data, trusted, form)
        return
    checked = trust.check(trusted, data, about)
    document: dict[str, Any] = {
        "schema": "hansa.verified/1",
        "kind": kind,
        "about": about.hex(),
        "proof": checked.as_json(),
    }
    if kind == "state":
        if not checked.proof.state:
            raise _other(file)
        value = proven_value(checked.proof)
        trusted = trust.with_contracts(trusted, json.loads(raw))
        what, content = ("nothing", None) if value is None else statekeys.read_value(about, value, trusted)
        document |= {"present": value is not None, "what": what, "value": content}
        pairs = [
            ("holds", "yes"),
            ("key", about.hex()),
            ("what", what),
            ("value", json.dumps(content, ensure_ascii=False)),
        ]
    else:
        if not checked.proof.receipt:
            raise _other(file)
        receipt = proven_receipt(checked.proof)
        abort = receipt.abort[0] if receipt.abort else None
        outcome = "ok" if abort is None else f"failed: {abort.reason or abort.code} {abort.text}".rstrip()
        events = [f"{event.contract}.{event.name}" for event in receipt.events]
        document |= {
            "outcome": "ok" if abort is None else "failed",
            "detail": outcome,
            "events": events,
            "gas": receipt.gas_used,
        }
        pairs = [("holds", "yes"), ("transaction", about.hex()), ("outcome", outcome), ("events", ", ".join(events))]
    if form == "json":
        output.emit(document, form, [], [])
    else:
        output.fields([*pairs, ("proof", checked.words(trusted)), ("trusted", str(trusted.path))])


def _read(raw: bytes, file: str) -> tuple[str, bytes, bytes]:
    """Return (what kind of proof, what it is about, the bytes of the proof)."""
    from cli import trust

    try:
        found = json.loads(raw)
        if not isinstance(found, dict) or found["schema"] != trust.PROOF_SCHEMA or found["kind"] not in trust.KINDS:
            raise ValueError("another schema")
        about = bytes.fromhex(found["about"])
        data = trust.proof_bytes(found)
        if not about or data is None:
            raise ValueError("it is about nothing")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = "it is no JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else str(error)
        raise CommandFailed(
            Exit.REJECTED,
            f"{file} is neither a proof nor a proof pack ({reason})",
            "save one with hansa state get KEY --save FILE, hansa tx show ID --save FILE, hansa block show HEIGHT "
            "--save FILE or hansa audit export FILE",
        ) from None
    return str(found["kind"]), about, data


def _verify_block(kind: str, about: bytes, data: bytes, trusted: Trusted, form: str) -> None:
    """Check a block, or that a transaction stands in one, against the members of the genesis file (P85)."""
    from cli import trust
    from ledger.block import block_id
    from ledger.errors import LedgerError
    from ledger.proof import block_codec, inclusion_codec, verify_block, verify_inclusion
    from node.api.shapes import instant

    try:
        if kind == "block":
            block = block_codec.decode(data)
            keys = trusted.members_of(block.certificate.vote.epoch).keys
            problem = verify_block(block, keys, trusted.chain_id)
            raw, certificate, named = block.header, block.certificate, block_id(block.header)
            place_words = f"{len(block.tx_ids)} transactions"
        else:
            inclusion = inclusion_codec.decode(data)
            keys = trusted.members_of(inclusion.certificate.vote.epoch).keys
            problem = verify_inclusion(inclusion, keys, trusted.chain_id)
            raw, certificate, named = inclusion.header, inclusion.certificate, inclusion.tx_id
            place_words = f"transaction {inclusion.index + 1}"
    except LedgerError as error:
        raise trust.does_not_hold(str(error)) from None
    if problem:
        raise trust.does_not_hold(problem)
    if named != about:
        raise trust.does_not_hold("it is about something else than it says")
    header = trust.certified(trusted, raw, certificate)
    who = trust.signers(trusted, certificate)
    if form == "json":
        document = {
            "schema": "hansa.verified/1",
            "kind": kind,
            "about": about.hex(),
            "height": header.height,
            "block": block_id(raw).hex(),
            "time": instant(header.time_ms),
            "tx_count": header.tx_count,
            "signers": list(who),
            "members": len(keys),
        }
        output.emit(document, form, [], [])
        return
    names = ", ".join(trusted.name(company) for company in who)
    output.fields(
        [
            ("holds", "yes"),
            (kind, about.hex()),
            ("where", f"block {header.height}, {place_words} of {instant(header.time_ms)}"),
            ("signed", f"by {len(who)} of {len(keys)} members: {names}"),
            ("trusted", str(trusted.path)),
        ]
    )


def _verify_pack(file: str, genesis: str | None, home: str | None, form: str) -> None:
    from cli import trust
    from finance.audit.verifier import main

    path = trust.find_genesis(genesis, _home(genesis, home))
    if path is None:
        raise CommandFailed(
            Exit.USAGE, "there is no genesis file to check against", "name one that you trust with --genesis FILE"
        )
    place.read_bytes(path, "genesis file")  # a missing one is told apart from one that proves nothing
    raise click.exceptions.Exit(main([file, "--genesis", str(path), "-o", form]))


def _home(genesis: str | None, home: str | None) -> str:
    if genesis:
        return ""
    try:
        return str(place.existing_home(home))
    except CommandFailed:
        return ""


def _other(file: str) -> CommandFailed:
    return CommandFailed(
        Exit.FINDINGS, f"{file} proves something else than it says", "do not rely on it; ask for it again"
    )
