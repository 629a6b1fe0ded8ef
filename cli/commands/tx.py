"""`hansa tx`: compose, sign, submit and follow single transactions, on one machine or several (U13, U14, U26)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import click

from cli import companies, output, place, rehearsing, txfile
from cli.acting import Actor, judge
from cli.amounts import parse_argument, show_amount
from cli.calls import ACTS, Act
from cli.client import Client
from cli.companies import Companies
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.language import chosen
from cli.profile import Session, command_options, run
from cli.refusals import refusal_text
from cli.txfile import TxFile
from cli.wallet import Wallet
from cli.writing import wait_option
from node.sentences import named, names_in

_TX_ID: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ROLE: Final = re.compile(r"role ([a-z_]+) of")
STDIN: Final = "-"


@click.group("tx")
def command() -> None:
    """Compose, sign, submit and follow transactions.

    \b
    hansa tx call invoices receive inv-…
    hansa tx show 8d1f…
    """


@command.command()
@click.argument("contract")
@click.argument("method")
@click.argument("arguments", nargs=-1, metavar="[VALUE | NAME=VALUE]…")
@click.option(
    "--role",
    "roles",
    multiple=True,
    metavar="ROLE[:CAPACITY]",
    help="Who must sign; read from the contract if left out.",
)
@click.option("--as", "people", multiple=True, help="Person who signs; repeat it for a second one.")
@click.option(
    "--with-home", "homes", multiple=True, type=click.Path(file_okay=False), help="Other company that signs too."
)
@click.option("--generate-only", type=click.Path(dir_okay=False), help="Write the unsigned transaction to a file.")
@click.option("--dry-run", is_flag=True, help="Sign nothing: print what it would change, post and cost.")
@wait_option
@command_options
def call(
    session: Session,
    contract: str,
    method: str,
    arguments: tuple[str, ...],
    roles: tuple[str, ...],
    people: tuple[str, ...],
    homes: tuple[str, ...],
    generate_only: str | None,
    dry_run: bool,
    until: str,
) -> None:
    """Call METHOD of CONTRACT with arguments by position or name, typed as the contract declares them.

    With --generate-only nothing is signed: hansa tx sign adds signatures anywhere, hansa tx submit hands it in.

    \b
    hansa tx call invoices receive id=inv-… --generate-only receive.tx
    hansa tx call invoices receive inv-… --dry-run
    """
    if dry_run and generate_only:
        raise CommandFailed(Exit.USAGE, "--dry-run and --generate-only exclude each other", "leave one of them out")

    async def work(client: Client) -> dict[str, Any]:
        actor = Actor(client, session.wallet())
        await actor.open()
        schema = await find_method(client, contract, method)
        parties = any(item["type"] == "party" for item in schema["params"])
        known = await companies.fetch(client) if parties else Companies(())
        values = read_arguments(schema["params"], arguments, actor.currencies, known)
        act = Act(contract, method, signers(roles, contract, method, schema["authority"]))
        file, signings = await actor.compose(act, values, prefer=people, others=[Wallet(Path(home)) for home in homes])
        if dry_run:
            return await rehearsing.rehearsed(client, file.content, talks=session.talks)
        if generate_only:
            txfile.write(Path(generate_only), file)
            return {"id": None, "digest": file.digest.hex(), "state": "unsigned", "file": generate_only}
        who = ", ".join(f"{signing.person.label} ({signing.capacity})" for _, signing in signings)
        if session.talks:
            output.say(f"signing {contract}.{method} as {who}; profile {session.profile.name or '-'}")
        tx_id = await actor.sign_and_send(file, signings)
        if until == "submitted":
            return {"id": tx_id, "state": "pending"}
        return await actor.finish(tx_id, until=until, seconds=session.timeout_s)

    found = run(work, session)
    if dry_run:
        rehearsing.conclude(found, session.output)
    elif found["state"] == "unsigned" and session.output == "table":
        click.echo(str(generate_only))
        output.say(f"Next: hansa tx sign {generate_only} --as PERSON, then hansa tx submit {generate_only}")
    else:
        _tell(session, found)


@command.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--as", "people", multiple=True, required=True, help="Person who signs; repeat it for a second one.")
@click.option("--genesis", type=click.Path(dir_okay=False), help="Genesis file of the chain; the home's if left out.")
@place.home_option
@place.output_option
def sign(file: str, people: tuple[str, ...], genesis: str | None, home: str | None, form: str) -> None:
    """Add signatures to a transaction file; works without a node.

    What is signed is printed first. A transaction for another chain than the home's is refused.

    \b
    hansa tx sign receive.tx --as clerk
    """
    path = Path(file)
    unsigned = txfile.read(path)
    folder = place.existing_home(home)
    _check_chain(unsigned, genesis, folder)
    wallet = Wallet(folder)
    for label, value in txfile.describe(unsigned, {person.user_id: person.label for person in wallet.people}):
        output.say(f"  {label}: {value}")
    for label in people:
        person = wallet.named(label)
        txfile.sign(unsigned, person.user_id, wallet.key(person))
    txfile.write(path, unsigned)
    missing = [
        signer.user_id
        for signer, signature in zip(unsigned.content.signers, unsigned.signatures, strict=True)
        if signature is None
    ]
    tx_id = unsigned.tx_id.hex() or None
    document = {"schema": "hansa.signed/1", "file": file, "id": tx_id, "missing": missing}
    output.emit(document, form, [[file, tx_id or "-", str(len(missing))]], ["FILE", "ID", "MISSING>"])
    if missing:
        output.say(f"Next: {len(missing)} more to sign ({', '.join(missing)}): hansa tx sign {file} --as PERSON")
    else:
        output.say(f"Next: hansa tx submit {file}")


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@wait_option
@command_options
def submit(session: Session, file: str, until: str) -> None:
    """Hand in a signed transaction: a transaction file, a binary envelope, or - for stdin.

    Submitting the same transaction again changes nothing.

    \b
    hansa tx submit receive.tx
    """
    envelope = read_envelope(file)

    async def work(client: Client) -> dict[str, Any]:
        answer = await client.submit(envelope)
        if until == "submitted":
            return answer
        return await judge(client, await client.wait(answer["id"], until=until, seconds=session.timeout_s))

    _tell(session, run(work, session))


@command.command()
@click.argument("tx_id", metavar="ID")
@click.option("--genesis", type=click.Path(dir_okay=False), help="Genesis file to trust; the home's if left out.")
@click.option(
    "--save", type=click.Path(dir_okay=False), help="Write the proof of the receipt to a file for hansa verify."
)
@click.option(
    "--save-place", type=click.Path(dir_okay=False), help="Write the proof that it stands in its block to a file."
)
@command_options
def show(session: Session, tx_id: str, genesis: str | None, save: str | None, save_place: str | None) -> None:
    """Show a transaction: what was asked, who signed, what became of it, and whether that is proven.

    \b
    hansa tx show 8d1f…
    """
    from cli import trust

    wanted = _id(tx_id)

    async def work(client: Client) -> dict[str, Any]:
        return await client.get(f"v1/transactions/{wanted}", {"proof": "1"})

    found = run(work, session, ("transaction", wanted, "the command that made it printed its id"))
    if save_place:
        _save_place(session, wanted, found.get("height"), Path(save_place))
    path = trust.find_genesis(genesis, session.profile.home)
    trusted = None if path is None else trust.load(path)
    data = trust.proof_bytes(found.get("proof"))
    checked = None
    if trusted is not None and data is not None:
        trusted = trust.with_epochs(trusted, found["proof"])
        checked = trust.check(trusted, data, bytes.fromhex(wanted))
    if save:
        if data is None:
            raise CommandFailed(
                Exit.UNAVAILABLE,
                f"transaction {wanted} has no proof yet",
                f"wait until it is final: hansa tx wait {wanted} --until final",
            )
        epochs = found["proof"].get("epochs", ())
        content = trust.proof_document("receipt", bytes.fromhex(wanted), data, epochs)
        place.write_file(Path(save), json.dumps(content).encode() + b"\n")
    proof = None if checked is None else checked.as_json()
    output.one({**found, "verified": proof}, session.output, _pairs(found), wanted)
    if not session.talks:
        return
    if checked is not None and trusted is not None:
        output.say(checked.words(trusted))
    elif data is None:
        output.say("not proven yet: a proof exists once the transaction is final")
    else:
        output.say("a proof exists and was not checked: name a genesis file that you trust with --genesis")


def _save_place(session: Session, wanted: str, height: int | None, file: Path) -> None:
    """Write the proof that a transaction stands in its block, made here from the ids of the block (LR6)."""
    from cli import trust
    from ledger.codec import encode
    from ledger.proof import inclusion_proof

    if not height:
        raise CommandFailed(Exit.UNAVAILABLE, "it is in no block yet", f"hansa tx wait {wanted}")

    async def work(client: Client) -> dict[str, Any]:
        return await client.get(f"v1/blocks/{height}")

    answer = run(work, session)
    block = trust.block_proof(answer)
    about = bytes.fromhex(wanted)
    if about not in block.tx_ids:
        raise CommandFailed(Exit.REJECTED, f"block {height} does not list it", "ask another node")
    proof = inclusion_proof(block.tx_ids, block.tx_ids.index(about), block.header, block.certificate)
    content = trust.proof_document("transaction", about, encode(proof), answer["certificate"].get("epochs", ()))
    place.write_file(file, json.dumps(content).encode() + b"\n")


@command.command()
@click.argument("tx_id", metavar="ID")
@click.option(
    "--until",
    type=click.Choice(["committed", "final"]),
    default="committed",
    show_default=True,
    help="In the ledger, or provable to outsiders.",
)
@command_options
def wait(session: Session, tx_id: str, until: str) -> None:
    """Wait until a transaction is committed, or final: provable to outsiders.

    Exit code 5 when a rule refused it, 6 when it expired, 7 or 9 when the time is over first.

    \b
    hansa tx wait 8d1f… --until final
    """
    wanted = _id(tx_id)

    async def work(client: Client) -> dict[str, Any]:
        return await judge(client, await client.wait(wanted, until=until, seconds=session.timeout_s))

    _tell(session, run(work, session, ("transaction", wanted, "the command that made it printed its id")))


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@place.output_option
def decode(file: str, form: str) -> None:
    """Print what a transaction file says, and which of its signatures are there and right; works without a node.

    \b
    hansa tx decode receive.tx
    """
    raw = _read(file)
    if not raw.lstrip().startswith(b"{"):
        _decode_envelope(raw, form)
        return
    found = _parse(raw, file)
    body = found.content
    if form == "table":
        output.fields(txfile.describe(found))
        return
    signers = [
        {
            "user": signer.user_id,
            "capacity": signer.capacity,
            "company": signer.company_id,
            "signed": signature is not None and _verifies(signature, found.digest),
        }
        for signer, signature in zip(body.signers, found.signatures, strict=True)
    ]
    output.emit(
        {
            "schema": "hansa.decoded-transaction/1",
            "id": found.tx_id.hex() or None,
            "digest": found.digest.hex(),
            "chain_id": found.chain_id,
            "contract": body.contract,
            "method": body.method,
            "args": [_plain(value) for value in body.args],
            "signers": signers,
            "nonce": body.nonce,
            "valid_until_height": body.valid_until_height,
            "gas_limit": body.gas_limit,
        },
        form,
        [],
        [],
    )


# -- arguments -------------------------------------------------------------------------------------------------


def read_arguments(
    params: Sequence[Mapping[str, str]],
    texts: Sequence[str],
    currencies: Mapping[str, int],
    known: Companies,
) -> list[Any]:
    """Return arguments in wire form: `NAME=VALUE` where NAME is a parameter, otherwise by position.

    A party may be written by its id or by its exact name in `known`.
    """
    names = [param["name"] for param in params]
    given: dict[str, str] = {}
    loose: list[str] = []
    for text in texts:
        name, equals, value = text.partition("=")
        if equals and name in names:
            if name in given:
                raise CommandFailed(Exit.USAGE, f"{name} is given twice", "leave one out")
            given[name] = value
        else:
            loose.append(text)
    free = [name for name in names if name not in given]
    wanted = ", ".join(f"{param['name']}: {param['type']}" for param in params) or "nothing"
    if len(loose) > len(free):
        raise CommandFailed(
            Exit.USAGE, f"{len(texts)} arguments are given, {len(names)} are taken", f"it takes {wanted}"
        )
    given.update(zip(free, loose, strict=False))
    missing = [name for name in names if name not in given]
    if missing:
        raise CommandFailed(Exit.USAGE, f"the argument {missing[0]} is missing", f"it takes {wanted}")
    values: list[Any] = []
    for param in params:
        text = given[param["name"]]
        try:
            value = known.id_of(text) if param["type"] == "party" else parse_argument(text, param["type"], currencies)
        except CommandFailed as failure:
            raise CommandFailed(failure.code, f"{param['name']}: {failure.text}", failure.next_step) from None
        values.append(value)
    return values


def signers(roles: Sequence[str], contract: str, method: str, authority: str) -> tuple[tuple[str, str], ...]:
    """Return (role, capacity) of who signs: as told, as the business act has it, or as the contract's text says."""
    from ledger.transaction import CAPACITIES

    if roles:
        found = []
        for place_, text in enumerate(roles):
            role, _, capacity = text.partition(":")
            capacity = capacity or ("maker" if place_ == 0 else "checker")
            if capacity not in CAPACITIES:
                raise CommandFailed(Exit.USAGE, f"{capacity!r} is no capacity", f"known are {', '.join(CAPACITIES)}")
            found.append((role, capacity))
        return tuple(found)
    for act in ACTS.values():
        if (act.contract, act.method) == (contract, method):
            return act.roles
    demanded = _ROLE.findall(authority)
    if not demanded:
        raise CommandFailed(
            Exit.USAGE,
            f"{contract}.{method} names no roles ({authority or 'anyone'})",
            "say who signs: --role preparer",
        )
    return tuple((role, "maker" if place_ == 0 else "checker") for place_, role in enumerate(demanded))


async def find_method(client: Client, contract: str, method: str, *, queries: bool = False) -> dict[str, Any]:
    """Return what the node says about an action, or with `queries` about a query too; `query` tells which it is."""
    try:
        found = await client.get(f"v1/contracts/{contract}")
    except CommandFailed as failure:
        if failure.code != Exit.NOT_FOUND:
            raise
        names = [item["name"] for item in (await client.get("v1/contracts"))["items"]]
        near = get_close_matches(contract, names, n=1)
        step = f"did you mean {near[0]}? hansa contract list shows all" if near else "hansa contract list"
        raise CommandFailed(Exit.NOT_FOUND, f"there is no contract {contract}", step) from None
    actions: dict[str, Any] = found["actions"]
    if method in actions:
        return {**actions[method], "query": False}
    if queries and method in found["queries"]:
        return {**found["queries"][method], "query": True}
    close = get_close_matches(method, actions, n=1)
    hint = f"did you mean {close[0]}?" if close else f"hansa contract show {contract}"
    what = "a query; it needs no transaction" if method in found["queries"] else "no action"
    raise CommandFailed(Exit.NOT_FOUND, f"{contract}.{method} is {what}", hint)


# -- files -----------------------------------------------------------------------------------------------------


def read_envelope(file: str) -> bytes:
    """Return the envelope in a transaction file, a binary file, or stdin."""
    raw = _read(file)
    if not raw.lstrip().startswith(b"{"):
        return raw
    return txfile.envelope(_parse(raw, file))


def _read(file: str) -> bytes:
    if file == STDIN:
        return sys.stdin.buffer.read()
    return place.read_bytes(Path(file), "transaction file")


def _parse(raw: bytes, file: str) -> TxFile:
    if file != STDIN:
        return txfile.read(Path(file))
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".tx") as copy:
        copy.write(raw)
        copy.flush()
        return txfile.read(Path(copy.name))


def _decode_envelope(raw: bytes, form: str) -> None:
    from ledger.errors import LedgerError
    from ledger.transaction import body_codec, envelope_codec

    try:
        outer = envelope_codec.decode(raw)
        body = body_codec.decode(outer.body)
    except LedgerError as error:
        raise CommandFailed(
            Exit.REJECTED, f"this is neither a transaction file nor an envelope: {error}", "check the file"
        ) from None
    pairs = [("call", f"{body.contract}.{body.method}")]
    pairs += [("argument", str(_plain(value))) for value in body.args]
    pairs += [("signer", f"{item.user_id} as {item.capacity} for {item.company_id}") for item in body.signers]
    pairs += [("valid until", f"height {body.valid_until_height}"), ("gas limit", str(body.gas_limit))]
    if form == "table":
        output.fields(pairs)
        return
    document = {
        "schema": "hansa.decoded-envelope/1",
        "contract": body.contract,
        "method": body.method,
        "args": [_plain(value) for value in body.args],
        "signers": [
            {"user": item.user_id, "capacity": item.capacity, "company": item.company_id} for item in body.signers
        ],
        "nonce": body.nonce,
        "valid_until_height": body.valid_until_height,
        "gas_limit": body.gas_limit,
    }
    output.emit(document, form, [], [])


def _check_chain(file: TxFile, genesis: str | None, home: Path) -> None:
    from cli import trust

    path = trust.find_genesis(genesis, str(home))
    if path is None:
        output.say("no genesis file here: nothing tells whether this transaction is for your chain")
        return
    chain = trust.load(path).chain_id.hex()
    if file.chain_id != chain:
        raise CommandFailed(
            Exit.REJECTED,
            f"the transaction is for chain {file.chain_id[:16]}…, this company's is {chain[:16]}…",
            "do not sign it; ask who made it for which network",
        )


def _verifies(signature: tuple[str, str], digest: bytes) -> bool:
    from ledger.crypto.ed25519 import verify_strict

    return verify_strict(bytes.fromhex(signature[0]), bytes.fromhex(signature[1]), digest)


# -- telling ---------------------------------------------------------------------------------------------------


def _id(text: str) -> str:
    wanted = text.strip().lower()
    if not _TX_ID.fullmatch(wanted):
        raise CommandFailed(
            Exit.USAGE, f"{text[:70]!r} is no transaction id", "it has 64 hexadecimal digits; commands print it"
        )
    return wanted


def _tell(session: Session, found: Mapping[str, Any]) -> None:
    """Print what became of a transaction that was handed in or waited for."""
    document = {"schema": "hansa.call/1", "transaction": found}
    if session.output == "table" and found["state"] == "pending":
        click.echo(found["id"])
        output.say(f"{found['state']}; next: hansa tx wait {found['id']}")
    else:
        output.one(document, session.output, _pairs(found), str(found["id"]))


def _pairs(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a transaction as lines for people."""
    pairs: list[tuple[str, str]] = [("transaction", str(found["id"])), ("status", _status(found))]
    if "contract" in found:
        pairs.append(("call", f"{found['contract']}.{found['method']}"))
    pairs += [(f"  {item['name']}", _text(item["value"])) for item in found.get("args", ())]
    for signer in found.get("signers", ()):
        who = signer["label"] or signer["user"]
        pairs.append(("signer", f"{who} ({signer['capacity']}), {signer['company_name']}"))
    receipt = found.get("receipt")
    if receipt:
        if receipt["abort"]:
            pairs.append(("outcome", named(refusal_text(receipt["abort"], chosen()), names_in(found))))
        if receipt["result"] is not None:
            pairs.append(("result", _text(receipt["result"])))
        for event in receipt["events"]:
            values = ", ".join(f"{name} {_text(value)}" for name, value in event["fields"].items())
            pairs.append(("event", f"{event['contract']}.{event['name']}: {values}"))
        pairs.append(("gas", f"{receipt['gas_used']} of {found.get('gas_limit', '?')}"))
    return pairs


def _status(found: Mapping[str, Any]) -> str:
    state = str(found["state"])
    if found.get("height"):
        state += f" at height {found['height']}, position {found.get('position', 0)}"
    if found.get("final_height"):
        state += f"; final by block {found['final_height']}"
    if found.get("outcome"):
        state += f"; {found['outcome']}"
    return state


def _text(value: Any) -> str:
    if isinstance(value, Mapping) and set(value) == {"amount", "currency"}:
        return show_amount(value, {})
    if isinstance(value, Mapping) and set(value) == {"id", "name"}:
        return str(value["name"])
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
