"""`hansa init`: all keys of a company, its journal and its configuration, in one folder (S16, S34, P94)."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cli import output, place
from cli.exit_codes import Exit
from cli.failure import CommandFailed

if TYPE_CHECKING:
    from node.config import Address
    from node.home import NewCompany
    from node.identity.founding import Person
    from node.identity.unlock import UnlockSecret

_LABEL: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SCHEME: Final = re.compile(r"[a-z0-9][a-z0-9._:-]{0,39}")
KEYSTORE_SECRET: Final = "keystore.secret"  # noqa: S105  # the name of a file
DEVELOPMENT_ENDPOINT: Final = "127.0.0.1:7401"


@click.command("init")
@click.argument("company")
@click.option("--home", type=click.Path(file_okay=False), help="Folder to make; HANSA_HOME if left out.")
@click.option("--role", "roles", multiple=True, help="Role of the company; repeat it. [default: trader]")
@click.option("--person", "people", multiple=True, metavar="LABEL:ROLE,…", help="A user and what it may do; repeat it.")
@click.option(
    "--identifier", "identifiers", multiple=True, metavar="SCHEME:VALUE", help="vat, legal, uscc, …; repeat it."
)
@click.option(
    "--replaces",
    type=click.Path(dir_okay=False),
    metavar="DIRECTORY",
    help="COMPANY stands in this directory.toml and lost its keys: new keys, same id.",
)
@click.option("--endpoint", metavar="HOST:PORT", help="Where the other companies reach this node.")
@click.option("--peers-listen", metavar="HOST:PORT", help="Where it listens for them. [default: the endpoint's port]")
@click.option("--api-listen", metavar="HOST:PORT", default="127.0.0.1:7400", show_default=True, help="API and pages.")
@click.option("--ops-listen", metavar="HOST:PORT", default="127.0.0.1:7402", show_default=True, help="Health, metrics.")
@click.option("--key-file", type=click.Path(dir_okay=False), help="Opens the keystore of the node, at every start too.")
@click.option("--people-key-file", type=click.Path(dir_okay=False), help="Opens the keys of people and officers.")
@click.option("--development", is_flag=True, help="Practice network: secrets and people are made up beside the keys.")
@place.output_option
def command(
    company: str,
    home: str | None,
    roles: tuple[str, ...],
    people: tuple[str, ...],
    identifiers: tuple[str, ...],
    replaces: str | None,
    endpoint: str | None,
    peers_listen: str | None,
    api_listen: str,
    ops_listen: str,
    key_file: str | None,
    people_key_file: str | None,
    development: bool,
    form: str,
) -> None:
    """Make the home of COMPANY: keys, journal, configuration, and the card for the other founders.

    Without key files the passphrases are asked for. The card (card.hansa) is public: send it to the company that makes
    the genesis file. Root keys (officers/) belong on machines of the officers: move them there.

    \b
    hansa init "Acme GmbH" --development
    """
    from cli.unlocking import from_file
    from node.home import CARD_FILE, HomeExists, Places, make_home
    from node.identity.keystore import KeystoreError
    from node.store.errors import StoreError

    target = place.new_home(home)
    new = _new_company(company, roles or ("trader",), people, identifiers, development=development)
    if replaces:
        new = _again(new, Path(replaces), identifiers)
        endpoint = endpoint or (new.known.endpoint.address if new.known and new.known.endpoint else None)
    if endpoint is None and not development:
        raise CommandFailed(
            Exit.USAGE, "nobody knows where to reach this node", "name it: --endpoint node.acme.example:7401"
        )
    reach = _address("--endpoint", endpoint or DEVELOPMENT_ENDPOINT)
    listen = _address("--peers-listen", peers_listen or (str(reach) if development else f"0.0.0.0:{reach.port}"))
    api, ops = _address("--api-listen", api_listen), _address("--ops-listen", ops_listen)
    _check_listeners(api, listen, ops)
    if (target / "keystore").exists() or (target / place.NODE_FILE).exists():
        raise CommandFailed(
            Exit.CONFLICT,
            f"{target} already holds a company; its keys are never overwritten",
            "choose another folder with --home",
        )
    secret, people_secret = _secrets(target, key_file, people_key_file, development=development)
    unlock = "file" if key_file or development else "prompt"
    try:
        card = make_home(
            target,
            new,
            Places(endpoint=str(reach), api=str(api), peers=str(listen), ops=str(ops)),
            secret=secret,
            people_secret=people_secret,
            unlock=unlock,
            development=development,
            now_ms=time.time_ns() // 1_000_000,
        )
    except HomeExists as error:
        raise CommandFailed(Exit.CONFLICT, str(error), "choose another folder with --home") from None
    except (KeystoreError, StoreError, OSError) as error:
        raise CommandFailed(
            Exit.FAILED, f"cannot make {target}: {error}", "choose a folder on a local disk that you can write"
        ) from None
    if key_file:
        from_file(Path(key_file))  # the node will read the same file at every start
        _name_key_file(target / place.NODE_FILE, Path(key_file).expanduser().absolute())
    place.load_node(target / place.NODE_FILE)
    _report(target, card.company.company_id, card.node.node_id, new, form)
    if replaces:
        output.say(f"Next: put genesis.hansa and directory.toml into {target}, then hansa company recover FILE")
    else:
        output.say(f"Next: give {target / CARD_FILE} to the company that makes the genesis file (hansa genesis new)")
    if not development:
        output.say(f"      move {target / 'officers'} to machines of the officers, and back up {target / 'keystore'}")


def _new_company(
    name: str, roles: Sequence[str], people: Sequence[str], identifiers: Sequence[str], *, development: bool
) -> NewCompany:
    from ledger.access.model import role_problem
    from ledger.registry.records import COMPANY_ROLES
    from node.home import NewCompany
    from node.identity.directory import NAME_MAX

    if not 1 <= len(name.strip()) <= NAME_MAX or any(ord(character) < 32 for character in name):
        raise CommandFailed(Exit.USAGE, "the company needs a name", f"1 to {NAME_MAX} characters on one line")
    for role in roles:
        if role not in COMPANY_ROLES:
            raise CommandFailed(
                Exit.USAGE, f"{role!r} is no role of a company", f"known are {', '.join(COMPANY_ROLES)}"
            )
    staff = _people(people, development=development)
    for person in staff:
        problem = role_problem(person.roles, tuple(roles))
        if problem:
            raise CommandFailed(
                Exit.USAGE, f"--person {person.label}: {problem}", "give the role to another person, or correct it"
            )
    pairs: list[tuple[str, str]] = []
    for text in identifiers:
        scheme, colon, value = text.partition(":")
        if not colon or not _SCHEME.fullmatch(scheme.lower()) or not 1 <= len(value.strip()) <= 100:
            raise CommandFailed(Exit.USAGE, f"{text!r} is no identifier", "write it like vat:DE123456789")
        pairs.append((scheme.lower(), value.strip()))
    return NewCompany(
        name=name.strip(), roles=tuple(dict.fromkeys(roles)), people=staff, identifiers=tuple(dict.fromkeys(pairs))
    )


def _again(new: NewCompany, path: Path, identifiers: Sequence[str]) -> NewCompany:
    """Return the company with its entry in the directory, which binds name and identifiers (S28)."""
    from dataclasses import replace

    from node.identity.directory import DirectoryRefused, parse_directory

    try:
        entries = parse_directory(path.read_text(encoding="utf-8"), str(path)).entries
    except (OSError, UnicodeDecodeError, DirectoryRefused) as error:
        raise CommandFailed(Exit.USAGE, f"{path}: {error}", "ask a member for directory.toml") from None
    known = next((entry for entry in entries.values() if new.name in (entry.name, entry.id)), None)
    if known is None:
        names = ", ".join(entry.name for entry in entries.values())
        raise CommandFailed(Exit.NOT_FOUND, f"{new.name} does not stand in {path}", f"it has {names}")
    if identifiers:
        raise CommandFailed(Exit.USAGE, "--identifier is bound by the directory entry", "leave it out")
    return replace(new, name=known.name, known=known)


def _people(texts: Sequence[str], *, development: bool) -> tuple[Person, ...]:
    from node.identity.founding import Person

    if not texts and development:
        from simulator.cluster.found import PEOPLE

        return PEOPLE
    if not texts:
        raise CommandFailed(
            Exit.USAGE,
            "the company has no people: nobody could sign",
            "name them, at least --person clerk:preparer --person manager:approver (two persons sign most acts)",
        )
    found: dict[str, Person] = {}
    for text in texts:
        label, colon, roles = text.partition(":")
        wanted = tuple(dict.fromkeys(role.strip() for role in roles.split(",") if role.strip()))
        if not colon or not _LABEL.fullmatch(label) or not wanted:
            raise CommandFailed(
                Exit.USAGE, f"{text!r} is no person", "write it like clerk:preparer,reader (label in small letters)"
            )
        if label in found:
            raise CommandFailed(Exit.USAGE, f"two persons are called {label!r}", "give each a label of its own")
        found[label] = Person(label=label, roles=wanted)
    return tuple(found.values())


def _address(flag: str, text: str) -> Address:
    from node.config import AddressMalformed, parse_address

    try:
        return parse_address(text)
    except AddressMalformed as error:
        raise CommandFailed(Exit.USAGE, f"{flag}: {error}", "write it like node.acme.example:7401") from None


def _check_listeners(api: Address, peers: Address, ops: Address) -> None:
    if len({api.port, peers.port, ops.port}) < 3:
        raise CommandFailed(
            Exit.USAGE, f"{api}, {peers} and {ops} share a port", "give each listener a port of its own"
        )
    if not api.loopback:
        raise CommandFailed(
            Exit.USAGE,
            f"{api} can be reached from other machines, and the API has no TLS certificate yet",
            "listen on 127.0.0.1 now; set api.tls_certificate, api.tls_key and api.listen in node.toml later",
        )


def _secrets(
    home: Path, key_file: str | None, people_key_file: str | None, *, development: bool
) -> tuple[UnlockSecret, UnlockSecret]:
    from cli.unlocking import PEOPLE_SECRET, draw_secret, from_file, new_secret

    if not development:
        node = new_secret(key_file, "the node's keystore", "--key-file")
        return node, new_secret(people_key_file, "the keys of people and officers", "--people-key-file")
    found: list[UnlockSecret] = []
    for named, name in ((key_file, KEYSTORE_SECRET), (people_key_file, PEOPLE_SECRET)):
        path = Path(named) if named else home / name
        if not named and not path.exists():
            place.write_file(path, draw_secret())
        found.append(from_file(path))
    home.chmod(0o700)
    return found[0], found[1]


def _name_key_file(path: Path, key_file: Path) -> None:
    """Let the node's configuration name the key file that was given."""
    import json

    before = path.read_text(encoding="utf-8")
    line = f"key_file = {json.dumps(str(key_file), ensure_ascii=False)}"
    if key_file != path.parent / KEYSTORE_SECRET:
        place.write_file(path, before.replace(f'key_file = "{KEYSTORE_SECRET}"', line, 1).encode())


def _report(home: Path, company_id: str, node_id: str, new: NewCompany, form: str) -> None:
    if form == "json":
        document = {
            "schema": "hansa.init/1",
            "home": str(home),
            "company": {"id": company_id, "name": new.name, "roles": list(new.roles)},
            "node": node_id,
            "card": str(home / "card.hansa"),
            "config": str(home / place.NODE_FILE),
            "people": [{"label": person.label, "roles": list(person.roles)} for person in new.people],
        }
        output.emit(document, form, [], [])
        return
    pairs = [("company", new.name), ("company id", company_id), ("node id", node_id), ("home", str(home))]
    pairs += [("card", str(home / "card.hansa")), ("configuration", str(home / place.NODE_FILE))]
    pairs += [("person", f"{person.label} ({', '.join(person.roles)})") for person in new.people]
    output.fields(pairs)
