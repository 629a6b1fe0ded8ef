"""A company's home: everything one node and its people need, in one folder.

    node.toml          configuration of the node
    card.hansa         what the other founders need; public
    genesis.hansa      the genesis file, once it exists
    directory.toml     names and identifiers of all companies, once they are gathered
    keystore/          keys of the node, under its master key (S34)
    keystore.secret    opens the keystore without a prompt; development and unattended machines only, mode 0600
    tls.crt tls.key    the node's certificate and its encrypted key; tls-2.crt and so on are later ones
    officers/          root keys, one file each: move them off this machine
    people.toml        who the company's users are
    people/            wallets, one file each
    people.secret      opens the wallets of a development network
    data/              journal, chain, documents

The journal is made here, in the same act as the consensus key, and never again (P94).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey
from ledger.ids import ZERO_HASH
from ledger.registry.records import TlsPin
from node.identity.certificate import spki_sha256
from node.identity.directory import Entry, write_directory
from node.identity.founding import Card, NewKey, Person, card_codec, found_company
from node.identity.keystore import KeyKind, Keystore, StoredKey, read_key, write_key, write_private
from node.identity.tls import identities, keep_api_certificate, make_certificate, own_certificate, write_identity
from node.identity.unlock import UnlockSecret
from node.store.journal import Journal, set_aside
from node.store.places import DataDirectory, journal_path

NODE_FILE: Final = "node.toml"
CARD_FILE: Final = "card.hansa"
GENESIS_FILE: Final = "genesis.hansa"
DIRECTORY_FILE: Final = "directory.toml"
PEOPLE_FILE: Final = "people.toml"
CONSENSUS_KEY: Final = "consensus"
"""The first one; later ones are `consensus-2`, `consensus-3`, ... (S23)."""
TLS_PASSWORD_KEY: Final = "tls"  # noqa: S105  # the id of a key
NUMBERING_KEY: Final = "numbering"
NAMESPACES: Final = ("journal", "blocks", "state", "indexes", "documents")
JOURNAL_ID_BYTES: Final = 16


class HomeExists(Exception):
    """A folder already holds a company; its keys are never overwritten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Addresses of a new node. `endpoint` is where the others dial; the rest is where it listens."""

    endpoint: str
    api: str
    peers: str
    ops: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCompany:
    """What a new company is called and who belongs to it."""

    name: str
    roles: tuple[str, ...]
    people: tuple[Person, ...]
    identifiers: tuple[tuple[str, str], ...]
    known: Entry | None = None
    """The directory entry of a company that exists and lost its keys: it keeps its id (S28)."""


def make_home(
    home: Path,
    company: NewCompany,
    places: Places,
    *,
    secret: UnlockSecret,
    people_secret: UnlockSecret,
    unlock: str,
    development: bool,
    now_ms: int,
    draw: Callable[[int], bytes] = secrets.token_bytes,
) -> Card:
    """Create `home` with all keys, the journal and the configuration; return the card.

    `secret` opens the keystore, `people_secret` the wallets and root keys; `unlock` is how the node gets the former.
    Raises `HomeExists`, `InvalidGenesis` for roles that cannot be, and what the keystore raises.
    """
    if (home / "keystore").exists() or (home / NODE_FILE).exists():
        raise HomeExists(f"{home} already holds a company; choose another folder, keys are never overwritten")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    keystore = Keystore.create(home / "keystore", secret)
    password = draw(32)

    def make_tls(node_id: str) -> TlsPin:
        identity = make_certificate(
            seed=draw(32),
            serial=int.from_bytes(draw(8), "big") >> 1 | 1,
            chain_id=ZERO_HASH,
            node_id=node_id,
            password=password.hex().encode(),
            now_ms=now_ms,
        )
        write_identity(home, identity, password)
        if not development:
            keep_api_certificate(home, password.hex().encode(), now_ms)
        return TlsPin(identity.spki_sha256, identity.certificate_der)

    founded = found_company(
        name=company.name,
        roles=company.roles,
        people=company.people,
        identifiers=company.identifiers,
        endpoint=places.endpoint,
        make_tls=make_tls,
        draw=draw,
        known=company.known,
    )
    journal_id = secrets.token_bytes(JOURNAL_ID_BYTES)
    keystore.add(TLS_PASSWORD_KEY, KeyKind.TLS_PASSWORD, password)
    keystore.add(NUMBERING_KEY, KeyKind.NUMBERING, draw(32))
    keystore.make_seal_keys(NAMESPACES)
    for key in founded.keys:
        _keep(home, keystore, key, people_secret, journal_id)
    with DataDirectory(home / "data") as data:
        Journal.create(data.journal, keystore.seal_keys("journal"), journal_id).close()
    keystore.close()
    write_private(home / CARD_FILE, encode(founded.card))
    write_private(home / PEOPLE_FILE, _people(founded.card, founded.people).encode())
    write_private(
        home / NODE_FILE,
        _node_toml(founded.card, places, unlock, development, replaced=company.known is not None).encode(),
    )
    return founded.card


def consensus_keys(keystore: Keystore) -> tuple[StoredKey, ...]:
    """Return all consensus keys of a node, the first one first. Raises what the keystore raises."""
    found = [keystore.load(CONSENSUS_KEY, KeyKind.CONSENSUS)]
    while keystore.has(name := f"{CONSENSUS_KEY}-{len(found) + 1}"):
        found.append(keystore.load(name, KeyKind.CONSENSUS))
    return tuple(found)


def next_consensus_key(keystore: Keystore, data: Path) -> SigningKey:
    """Make the consensus key that follows the last one, and with it its journal (S23, P94); return the key.

    The node goes on with the old one until the companies agree, and takes the new one from its first epoch on. The
    journal comes first: a key without its journal would never vote. One that has no key, because an earlier call ended
    between the two, holds nothing and is put aside.
    """
    number = len(consensus_keys(keystore)) + 1
    seed, journal_id = secrets.token_bytes(32), secrets.token_bytes(JOURNAL_ID_BYTES)
    place = journal_path(data, number)
    if place.exists():
        set_aside(place, "unused")
    Journal.create(place, keystore.seal_keys("journal"), journal_id).close()
    keystore.add(f"{CONSENSUS_KEY}-{number}", KeyKind.CONSENSUS, seed, journal_id=journal_id)
    return SigningKey(seed)


def tls_pins(home: Path, keystore: Keystore) -> tuple[TlsPin, ...]:
    """Return the pins of all TLS identities in a home, the first one first. Raises what the keystore raises."""
    password = keystore.load(TLS_PASSWORD_KEY, KeyKind.TLS_PASSWORD).private.hex().encode()
    certificates = [own_certificate(files) for files in identities(home, password)]
    return tuple(TlsPin(spki_sha256(der), der) for der in certificates)


def next_tls_pin(home: Path, keystore: Keystore, node_id: str, chain_id: bytes, now_ms: int, *, keep: bool) -> TlsPin:
    """Make the TLS identity that follows the last one (S23) and return its pin; with `keep` it is written to `home`.

    The node shows it once the registry names it, and the one before until then.
    """
    password = keystore.load(TLS_PASSWORD_KEY, KeyKind.TLS_PASSWORD).private.hex().encode()
    identity = make_certificate(
        seed=secrets.token_bytes(32),
        serial=int.from_bytes(secrets.token_bytes(8), "big") >> 1 | 1,
        chain_id=chain_id,
        node_id=node_id,
        password=password,
        now_ms=now_ms,
    )
    if keep:
        write_identity(home, identity, password, len(identities(home, password)) + 1)
    return TlsPin(identity.spki_sha256, identity.certificate_der)


def read_card(path: Path) -> Card:
    """Return the card in a file; raises `Malformed` or OSError."""
    return card_codec.decode(path.read_bytes())


def officers(home: Path, secret: UnlockSecret) -> list[SigningKey]:
    """Open the root keys that lie in this home."""
    return [read_key(path, secret).signing_key() for path in sorted((home / "officers").glob("*.json"))]


def install(home: Path, genesis: bytes, entries: Sequence[Entry]) -> None:
    """Put the genesis file and the directory where the node looks for them."""
    write_private(home / GENESIS_FILE, genesis)
    write_private(home / DIRECTORY_FILE, write_directory(entries).encode())


def _keep(home: Path, keystore: Keystore, key: NewKey, people_secret: UnlockSecret, journal_id: bytes) -> None:
    if key.kind == "consensus":
        keystore.add(CONSENSUS_KEY, KeyKind.CONSENSUS, key.seed, journal_id=journal_id)
        return
    folder, kind = ("officers", KeyKind.ROOT) if key.kind == "root" else ("people", KeyKind.USER)
    (home / folder).mkdir(mode=0o700, exist_ok=True)
    write_key(home / folder / f"{key.label}.json", key.label, kind, key.seed, people_secret)


def _people(card: Card, people: Sequence[tuple[str, str]]) -> str:
    labels = dict(people)
    lines = [f"company_id = {json.dumps(card.company.company_id)}"]
    for user in sorted(card.users, key=lambda user: labels[user.user_id]):
        label = labels[user.user_id]
        lines += ["", "[[person]]", f"label = {json.dumps(label, ensure_ascii=False)}"]
        lines += [f"user_id = {json.dumps(user.user_id)}", f"roles = {json.dumps(list(user.roles))}"]
        lines.append(f"key = {json.dumps(f'people/{label}.json')}")
    return "\n".join(lines) + "\n"


def _node_toml(card: Card, places: Places, unlock: str, development: bool, *, replaced: bool) -> str:
    lines = [
        f"# Node of {card.entry.name}. Every key is explained in configs/company.toml.",
        "[node]",
        f'company = "{card.company.company_id}"',
        'data_dir = "data"',
        'keystore = "keystore"',
        'genesis = "genesis.hansa"',
        'directory = "directory.toml"',
        'people = "people.toml"',
        f'unlock = "{unlock}"',
    ]
    if replaced:
        lines.append("keys_replaced = true")
    if unlock == "file":
        lines.append('key_file = "keystore.secret"')
    lines += [
        f"development = {'true' if development else 'false'}",
        "",
        "[api]",
        f'listen = "{places.api}"',
        "",
        "[peers]",
        f'listen = "{places.peers}"',
        "",
        "[ops]",
        f'listen = "{places.ops}"',
        "",
    ]
    return "\n".join(lines)
