"""`hansa genesis`: found a network together, with files that travel between the companies (LR10, S18).

One company makes the document from all cards. Every company inspects it, compares the chain id with the others by
voice, and lets its officers sign. The signatures are merged into one final file, which every company installs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import output, place
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.place import home_option, output_option

if TYPE_CHECKING:
    from cli.founding import Founding
    from ledger.crypto.ed25519 import SigningKey
    from ledger.params import Params
    from node.identity.founding import Card

_genesis = click.argument("file", type=click.Path(dir_okay=False))


@click.group("genesis")
def command() -> None:
    """Found a network together.

    \b
    hansa genesis new cards/*.card --network "Rhine league" --out genesis.hansa
    hansa genesis inspect genesis.hansa
    """


@command.command()
@click.argument("cards", nargs=-1, required=True, type=click.Path(dir_okay=False))
@click.option("--network", required=True, help="Name of the network, in ASCII.")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False), help="File to write; directory.toml goes beside it."
)
@click.option("--production/--development", default=True, help="Production needs four companies and all signatures.")
@click.option("--utc-offset", default="+00:00", show_default=True, help="Calendar of the ledger's days.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="Parameter of the network; repeat it.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@output_option
def new(
    cards: tuple[str, ...],
    network: str,
    out: str,
    production: bool,
    utc_offset: str,
    params: tuple[str, ...],
    force: bool,
    form: str,
) -> None:
    """Make the genesis document from the CARDS of all founding companies.

    \b
    hansa genesis new cards/*.card --network "Rhine league" --out genesis.hansa
    """
    from cli import founding
    from contracts.library import sources
    from node.identity.founding import assemble

    paths = [Path(card) for card in cards]
    found = [founding.read_card(path) for path in paths]
    founding.check_unique(found, paths)
    target = Path(out)
    if target.exists() and not force:
        raise CommandFailed(Exit.CONFLICT, f"{target} exists", "name another file, or replace it with --force")
    document = assemble(
        found,
        network=network,
        production=production,
        time_ms=time.time_ns() // 1_000_000,
        utc_offset_min=_offset(utc_offset),
        params=_params(params),
        contracts=sources(),
    )
    founding.check_document(document, target)
    founding.write_founding(target, document, (), founding.names_of(found))
    _show(founding.read_founding(target), form)
    output.say(f"Next: send {target} and {target.with_name('directory.toml')} to every company; each one runs")
    output.say("      hansa genesis inspect, compares the chain id with the others, and runs hansa genesis sign")


@command.command("add-company")
@_genesis
@click.argument("cards", nargs=-1, required=True, type=click.Path(dir_okay=False))
@click.option("--discard-signatures", is_flag=True, help="Those made so far are void: the chain id changes.")
@output_option
def add_company(file: str, cards: tuple[str, ...], discard_signatures: bool, form: str) -> None:
    """Add the companies of CARDS to a genesis file that is not in use yet.

    \b
    hansa genesis add-company genesis.hansa late.card
    """
    import msgspec

    from cli import founding
    from ledger.genesis import arranged

    path = Path(file)
    before = founding.read_founding(path)
    if before.signatures and not discard_signatures:
        raise CommandFailed(
            Exit.CONFLICT,
            f"{path} carries {len(before.signatures)} signatures, and another company makes another chain",
            "say --discard-signatures, and let every company sign again",
        )
    if not before.directory.entries:
        raise CommandFailed(
            Exit.NOT_FOUND, f"there is no directory.toml beside {path}", "put the one there that was made with it"
        )
    paths = [Path(card) for card in cards]
    found = [founding.read_card(path) for path in paths]
    founding.check_unique(found, paths)
    known = {company.company_id for company in before.document.companies}
    for card, where in zip(found, paths, strict=True):
        if card.company.company_id in known:
            raise CommandFailed(Exit.CONFLICT, f"the company of {where} is in {path} already", "leave it out")
    old = before.document
    document = arranged(
        msgspec.structs.replace(
            old,
            companies=(*old.companies, *(card.company for card in found)),
            nodes=(*old.nodes, *(card.node for card in found)),
            users=(*old.users, *(user for card in found for user in card.users)),
            proofs=(*old.proofs, *(proof for card in found for proof in card.proofs)),
        )
    )
    founding.check_document(document, path)
    entries = [*before.directory.entries.values(), *founding.names_of(found)]
    founding.write_founding(path, document, (), entries)
    _show(founding.read_founding(path), form)


@command.command()
@_genesis
@click.option("--directory", type=click.Path(dir_okay=False), help="directory.toml; the one beside FILE if left out.")
@click.option("--card", type=click.Path(dir_okay=False), help="Own card to compare; the home's if left out.")
@home_option
@output_option
def inspect(file: str, directory: str | None, card: str | None, home: str | None, form: str) -> None:
    """Show what a genesis file founds, who has signed, and whether the own card went in unchanged.

    Ends with exit code 10 when something must not be signed.

    \b
    hansa genesis inspect genesis.hansa
    """
    from cli import founding

    found = founding.read_founding(Path(file), Path(directory) if directory else None)
    mine = _own_card(card, home, needed=False)
    problem = founding.own_record_problem(found, mine) if mine is not None else ""
    _show(found, form, mine, problem)
    if problem:
        raise CommandFailed(
            Exit.FINDINGS, f"{file}: {problem}", "do not sign it; ask the company that made it, and compare cards"
        )


@command.command()
@_genesis
@click.option("--out", type=click.Path(dir_okay=False), help="File to write; FILE itself if left out.")
@click.option(
    "--key", "keys", multiple=True, type=click.Path(dir_okay=False), help="Root key file of an officer; repeat it."
)
@click.option("--card", type=click.Path(dir_okay=False), help="Own card to compare; the home's if left out.")
@click.option("--chain-id", "expected", default="", help="Chain id that the companies agreed on, or its beginning.")
@click.option("--key-file", type=click.Path(dir_okay=False), help="Secret that opens the root keys.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
@output_option
def sign(
    file: str,
    out: str | None,
    keys: tuple[str, ...],
    card: str | None,
    expected: str,
    key_file: str | None,
    yes: bool,
    home: str | None,
    form: str,
) -> None:
    """Add the root signatures of the own company, after checking that its card went in unchanged.

    \b
    hansa genesis sign genesis.hansa --out acme.signed --yes
    """
    from cli import founding
    from ledger.genesis import sign_genesis

    found = founding.read_founding(Path(file))
    mine = _own_card(card, home, needed=True)
    if mine is None:
        raise CommandFailed(Exit.USAGE, "the own card is needed", "name it with --card")
    problem = founding.own_record_problem(found, mine)
    if problem:
        raise CommandFailed(
            Exit.FINDINGS, f"{file}: {problem}", "do not sign it; ask the company that made it, and compare cards"
        )
    chain = found.chain_id.hex()
    if expected and not chain.startswith(expected.lower()):
        raise CommandFailed(
            Exit.CONFLICT,
            f"{file} founds chain {chain}, not {expected}",
            "ask for the file that all companies agreed on",
        )
    output.say(f"{found.document.network}: {len(found.document.companies)} companies, chain id {chain}")
    if not yes:
        if not sys.stdin.isatty():
            raise CommandFailed(
                Exit.USAGE, "nobody can be asked here", "compare the chain id with the others, then say --yes"
            )
        click.confirm("Have all companies the same chain id, and is this the network to found?", abort=True)
    signed = {key for company, key, _ in found.signatures if company == mine.company.company_id}
    signers = _officers(mine, keys, home, key_file, len(signed))
    fresh = [
        sign_genesis(found.document, mine.company.company_id, key) for key in signers if key.public_key not in signed
    ]
    target = Path(out or file)
    founding.write_founding(
        target, found.document, (*found.signatures, *fresh), tuple(found.directory.entries.values())
    )
    _show(founding.read_founding(target), form, mine, "")
    output.say(f"Next: send {target} to the company that merges the signatures (hansa genesis finalize)")


@command.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False))
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="Final genesis file to write.")
@output_option
def finalize(files: tuple[str, ...], out: str, form: str) -> None:
    """Merge the signatures of all companies into the final file; production needs those of every company.

    \b
    hansa genesis finalize signed/*.signed --out final/genesis.hansa
    """
    from cli import founding

    parts = [founding.read_founding(Path(file)) for file in files]
    signatures = founding.merge(parts)
    whole = founding.Founding(
        path=Path(out),
        document=parts[0].document,
        signatures=signatures,
        directory=next((part.directory for part in parts if part.directory.entries), parts[0].directory),
    )
    if not whole.final:
        missing = ", ".join(
            f"{whole.name(company.company_id)} ({whole.signed(company)} of {company.root.m})"
            for company in whole.missing
        )
        raise CommandFailed(
            Exit.REJECTED, f"root signatures are missing: {missing}", "hansa genesis sign at each of these companies"
        )
    founding.write_founding(whole.path, whole.document, signatures, tuple(whole.directory.entries.values()))
    _show(founding.read_founding(whole.path), form)
    output.say(f"Next: send {out} and its directory.toml to every company; each one runs hansa genesis install {out}")


@command.command()
@_genesis
@click.option("--directory", type=click.Path(dir_okay=False), help="directory.toml; the one beside FILE if left out.")
@click.option("--replace", is_flag=True, help="Replace another genesis file that was never run.")
@home_option
@output_option
def install(file: str, directory: str | None, replace: bool, home: str | None, form: str) -> None:
    """Put a final genesis file and its directory where the node looks for them.

    \b
    hansa genesis install final/genesis.hansa
    """
    from cli import founding
    from ledger.codec import encode
    from node.identity.directory import write_directory
    from node.identity.founding import genesis_file

    folder = place.existing_home(home)
    found = founding.read_founding(Path(file), Path(directory) if directory else None)
    if not found.final:
        raise CommandFailed(
            Exit.REJECTED,
            f"{file} is not final: {len(found.missing)} companies have not signed",
            "hansa genesis finalize merges the signatures",
        )
    mine = _own_card(None, str(folder), needed=True)
    problem = founding.own_record_problem(found, mine) if mine is not None else ""
    if problem:
        raise CommandFailed(
            Exit.CONFLICT, f"{file}: {problem}", f"this is the genesis of another network, or {folder} the wrong home"
        )
    without = [
        found.name(item.company_id)
        for item in found.document.companies
        if item.company_id not in found.directory.entries
    ]
    if without:
        raise CommandFailed(
            Exit.NOT_FOUND,
            f"the directory has no entry for {', '.join(without)}",
            "name the directory.toml of this network with --directory",
        )
    config = place.load_node(folder / place.NODE_FILE).config
    raw = encode(genesis_file(found.document, found.signatures))
    _check_replace(config.genesis_file, config.data_dir / "chain", raw, found, replace=replace)
    if found.document.production and config.node.development:
        raise CommandFailed(
            Exit.CONFLICT,
            "the home was made for development, and this genesis file founds a production network",
            "make the company's home again without --development: its secrets lie beside its keys",
        )
    place.write_file(config.genesis_file, raw)
    place.write_file(config.directory_file, write_directory(tuple(found.directory.entries.values())).encode("utf-8"))
    _show(found, form, mine, "")
    output.say("Next: hansa node run")


def _check_replace(path: Path, chain: Path, raw: bytes, found: Founding, *, replace: bool) -> None:
    """Refuse to put another genesis under a chain that has begun, or over another file without being told to."""
    from cli import founding

    if not path.exists() or path.read_bytes() == raw:
        return
    before = founding.read_founding(path, None)
    if before.document == found.document:
        return  # more signatures over the same document
    if chain.exists():
        raise CommandFailed(
            Exit.CONFLICT,
            f"{path} founds chain {before.chain_id.hex()[:16]}…, and the node has run on it already",
            "a node belongs to one chain: make another home for the other network with hansa init",
        )
    if not replace:
        raise CommandFailed(
            Exit.CONFLICT,
            f"{path} founds another chain ({before.chain_id.hex()[:16]}…)",
            "say --replace if it is outdated",
        )


def _own_card(named: str | None, home: str | None, *, needed: bool) -> Card | None:
    from cli import founding
    from node.home import CARD_FILE

    if named:
        return founding.read_card(Path(named))
    try:
        path = place.existing_home(home) / CARD_FILE
    except CommandFailed:
        if needed:
            raise
        return None
    if not path.exists():
        if needed:
            raise CommandFailed(Exit.NOT_FOUND, f"there is no {path}", "name the own card with --card")
        return None
    return founding.read_card(path)


def _officers(
    card: Card, named: Sequence[str], home: str | None, key_file: str | None, signed: int
) -> list[SigningKey]:
    """Open the named root keys, or as many of those in the home as the root policy still needs."""
    from cli.unlocking import PEOPLE_SECRET, held_secret, open_key

    wanted = max(0, card.company.root.m - signed)
    if named:
        paths, beside = [Path(name) for name in named], None
    else:
        folder = place.existing_home(home)
        paths = sorted((folder / "officers").glob("*.json"))[:wanted]
        beside = folder / PEOPLE_SECRET
        if len(paths) < wanted:
            raise CommandFailed(
                Exit.NOT_ALLOWED,
                f"{wanted} root keys are needed, {len(paths)} lie in {folder / 'officers'}",
                "name the officers' key files with --key, or sign on the officers' machines one after the other",
            )
    found: list[SigningKey] = []
    for path in paths:
        key = open_key(path, held_secret(key_file, beside, f"the root key {path.name}", "--key-file")).signing_key()
        if key.public_key not in card.company.root.keys:
            raise CommandFailed(
                Exit.NOT_ALLOWED,
                f"{path} is no root key of {card.entry.name}",
                "name a key file of this company's officers",
            )
        found.append(key)
    return found


def _show(found: Founding, form: str, mine: Card | None = None, problem: str = "") -> None:
    from cli.output import emit, fields
    from ledger.certificate import faults, quorum
    from ledger.params import Params

    document = found.document
    members = sum(1 for node in document.nodes if node.kind == "member")
    companies: list[dict[str, Any]] = []
    for company in document.companies:
        entry = found.directory.entries.get(company.company_id)
        companies.append(
            {
                "id": company.company_id,
                "name": found.name(company.company_id),
                "roles": list(company.roles),
                "users": sum(1 for user in document.users if user.company_id == company.company_id),
                "endpoint": entry.endpoint.address if entry and entry.endpoint else "",
                "identifiers": [f"{item.scheme}:{item.value}" for item in entry.identifiers] if entry else [],
                "signatures": found.signed(company),
                "signatures_needed": company.root.m if document.production else 0,
                "own": mine is not None and mine.company.company_id == company.company_id,
            }
        )
    changed = {
        name: getattr(document.params, name)
        for name in Params.__struct_fields__
        if getattr(document.params, name) != getattr(Params(), name)
    }
    own = "not compared: no own card here" if mine is None else problem or "included, unchanged"
    if form == "json":
        shown = {
            "schema": "hansa.genesis/1",
            "file": str(found.path),
            "network": document.network,
            "production": document.production,
            "chain_id": found.chain_id.hex(),
            "time": datetime.fromtimestamp(document.time_ms / 1000, UTC).isoformat(timespec="seconds"),
            "members": members,
            "quorum": quorum(members),
            "faults": faults(members),
            "final": found.final,
            "companies": companies,
            "contracts": [contract.name for contract in document.contracts],
            "params_changed": changed,
            "own": {"compared": mine is not None, "problem": problem},
        }
        emit(shown, form, [], [])
        return
    kind = "production" if document.production else "development"
    fields(
        [
            ("network", f"{document.network} ({kind})"),
            ("chain id", found.chain_id.hex()),
            ("agreement", f"{quorum(members)} of {members} members decide, {faults(members)} may fail or lie"),
            ("contracts", ", ".join(contract.name for contract in document.contracts)),
            ("parameters", ", ".join(f"{name} = {value}" for name, value in changed.items()) or "as shipped"),
            ("own company", own),
            ("state", "final" if found.final else "waits for signatures"),
        ]
    )
    rows = [
        [
            item["name"], item["id"], ", ".join(item["roles"]), str(item["users"]), item["endpoint"],
            f"{item['signatures']} of {item['signatures_needed']}",
        ]
        for item in companies
    ]  # fmt: skip
    emit({}, form, rows, ["COMPANY", "ID", "ROLES", "USERS>", "ENDPOINT", "SIGNED"])


def _offset(text: str) -> int:
    import re

    match = re.fullmatch(r"([+-])([0-9]{2}):([0-9]{2})", text, re.ASCII)
    if match is None or int(match.group(3)) > 59:
        raise CommandFailed(Exit.USAGE, f"{text!r} is no offset from UTC", "write it like +08:00")
    minutes = int(match.group(2)) * 60 + int(match.group(3))
    return -minutes if match.group(1) == "-" else minutes


def _params(texts: Sequence[str]) -> Params:
    import msgspec

    from ledger.errors import InvalidGenesis
    from ledger.params import Params

    values: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in Params.__struct_fields__:
            from difflib import get_close_matches

            close = get_close_matches(name, Params.__struct_fields__, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(Params.__struct_fields__)}"
            raise CommandFailed(Exit.USAGE, f"{name!r} is no parameter", hint)
        if not number.isascii() or not number.isdigit() or len(number) > 9:
            raise CommandFailed(Exit.USAGE, f"{text!r} has no whole number", "write it like t0_ms=3000")
        values[name] = int(number)
    if "status_ms" in values:
        values.setdefault("suspect_ttl_ms", 3 * values["status_ms"])
    params = msgspec.structs.replace(Params(), **values)
    try:
        params.check()
    except InvalidGenesis as error:
        raise CommandFailed(Exit.USAGE, str(error), "choose a value inside these bounds") from None
    return params
