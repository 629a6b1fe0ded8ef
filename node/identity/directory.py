"""`directory.toml`: names, business identifiers and addresses that stand beside the genesis file (S18).

The chain holds commitments only. An entry counts only if, with its salt, it hashes to the commitment of the company
in the registry; an entry that does not is refused by name, because a wrong name beside a right id is how money goes
to the wrong company. Imports resolve parties through the identifiers: one that stands in no entry, or in two, is
refused by name.

    [[company]]
    id = "c…"
    name = "Acme GmbH"
    salt = "64 hexadecimal digits"
    identifiers = [{ scheme = "vat", value = "DE123456789" }]
    endpoint = { address = "node.acme.example:7401", salt = "64 hexadecimal digits" }   # optional

Door: `load_directory`, `Directory.resolve`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from ledger.codec import encode
from ledger.crypto.hashing import H, Tag
from ledger.registry.records import Company, Node, legal_commitment
from node.config import AddressMalformed, parse_address

FILE_LIMIT_BYTES: Final = 4 * 1024 * 1024
SALT_BYTES: Final = 32
NAME_MAX: Final = 200
IDENTIFIERS_MAX: Final = 32
FILE_NAME: Final = "directory.toml"

_SALT: Final = re.compile(r"[0-9a-f]{64}")
_SCHEME: Final = re.compile(r"[a-z0-9][a-z0-9._:-]{0,39}")


class DirectoryRefused(Exception):
    """An entry that must not be believed. The message names the file, the company and the fix."""

    code = "directory"

    def __init__(self, path: str, entry: str, reason: str) -> None:
        super().__init__(f"{path}: {entry}: {reason}")
        self.path = path
        self.entry = entry
        self.reason = reason


class UnknownParty(Exception):
    """An identifier that stands in no entry, or in more than one (S18)."""

    code = "unknown_party"

    def __init__(self, scheme: str, value: str, companies: Sequence[str]) -> None:
        where = "no entry" if not companies else f"the entries of {' and '.join(companies)}"
        super().__init__(f"the identifier {scheme} {value} stands in {where} of the directory")
        self.scheme = scheme
        self.value = value
        self.companies = tuple(companies)


class Identifier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A business identifier as it is registered: scheme (vat, uscc, lei, gln, …) and value without spaces."""

    scheme: str
    value: str


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a company's node listens for peers, and the salt of its commitment."""

    address: str
    salt: str


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One company."""

    id: str
    name: str
    salt: str
    identifiers: tuple[Identifier, ...] = ()
    endpoint: Endpoint | None = None

    def commitment(self) -> bytes:
        """Return what the registry must hold as `legal_commitment`."""
        pairs = [(item.scheme, item.value) for item in self.identifiers]
        return legal_commitment(bytes.fromhex(self.salt), self.name, pairs)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    company: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Directory:
    """Checked entries by company id."""

    entries: Mapping[str, Entry]

    @property
    def names(self) -> Mapping[str, str]:
        """Company id -> name."""
        return {company: entry.name for company, entry in self.entries.items()}

    @property
    def addresses(self) -> Mapping[str, str]:
        """Company id -> `host:port` of its peer listener, for entries that tell it."""
        return {company: entry.endpoint.address for company, entry in self.entries.items() if entry.endpoint}

    def resolve(self, scheme: str, value: str) -> str:
        """Return the company with this identifier; raise `UnknownParty`. Comparison ignores case and spaces."""
        wanted = _normal(value)
        found = [
            company
            for company, entry in self.entries.items()
            if any(item.scheme == scheme and _normal(item.value) == wanted for item in entry.identifiers)
        ]
        if len(found) != 1:
            raise UnknownParty(scheme, value, [self.entries[company].name for company in found])
        return found[0]

    def identifiers(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """Return (scheme, normal value) -> companies, for importers that look up many."""
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        for company, entry in self.entries.items():
            for item in entry.identifiers:
                key = (item.scheme, _normal(item.value))
                if company not in found.get(key, ()):
                    found[key] = (*found.get(key, ()), company)
        return found


def endpoint_commitment(salt: bytes, address: str) -> bytes:
    """Return the commitment to a peer address that a node record holds (S18)."""
    return H(Tag.ENDPOINT, salt, encode(address))


def parse_directory(text: str, path: str) -> Directory:
    """Return the entries of a directory file, checked for form only: what one gathers before a genesis exists."""
    if len(text.encode("utf-8")) > FILE_LIMIT_BYTES:
        raise DirectoryRefused(path, "file", f"larger than {FILE_LIMIT_BYTES} bytes")
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DirectoryRefused(path, "file", f"not TOML: {error}") from None
    try:
        file = msgspec.convert(raw, _File)
    except msgspec.ValidationError as error:
        raise DirectoryRefused(path, "file", str(error)) from None
    entries: dict[str, Entry] = {}
    for entry in file.company:
        label = f"company {entry.name[:40]!r} ({entry.id[:27]})"
        if entry.id in entries:
            raise DirectoryRefused(path, label, "it stands in the file twice; keep one entry")
        _check_form(path, label, entry)
        entries[entry.id] = entry
    return Directory(entries)


def load_directory(
    path: Path, companies: Sequence[Company], nodes: Sequence[Node], *, ahead: bool = False
) -> Directory:
    """Return the entries of `path` that belong to `companies`, each checked against its commitments.

    Raises `DirectoryRefused` for an unreadable file, a company that is not registered, and a broken commitment. With
    `ahead` entries of companies that are not registered are left out: they join later than this list was made.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except OSError as error:
        raise DirectoryRefused(str(path), "file", f"{error.strerror}; it travels with the genesis file") from error
    except UnicodeDecodeError:
        raise DirectoryRefused(str(path), "file", "it is not UTF-8 text") from None
    directory = parse_directory(text, str(path))
    if ahead:
        registered = [company.company_id for company in companies]
        directory = Directory({name: one for name, one in directory.entries.items() if name in registered})
    check_directory(directory, companies, nodes, str(path))
    return directory


def check_directory(directory: Directory, companies: Sequence[Company], nodes: Sequence[Node], path: str) -> None:
    """Raise `DirectoryRefused` unless every entry hashes to the commitments of its company and node (S18)."""
    commitments = {company.company_id: company.legal_commitment for company in companies}
    endpoints: dict[str, list[bytes]] = {}
    for node in nodes:
        endpoints.setdefault(node.company_id, []).append(node.endpoint_commitment)
    for company, entry in directory.entries.items():
        label = f"company {entry.name} ({company})"
        if company not in commitments:
            raise DirectoryRefused(path, label, "it is not registered on this chain; remove the entry")
        if entry.commitment() != commitments[company]:
            raise DirectoryRefused(
                path,
                label,
                "name, identifiers and salt do not hash to the commitment on the chain; ask that company for its entry",
            )
        if entry.endpoint is not None:
            salt = bytes.fromhex(entry.endpoint.salt)
            if endpoint_commitment(salt, entry.endpoint.address) not in endpoints.get(company, []):
                raise DirectoryRefused(
                    path,
                    label,
                    f"the address {entry.endpoint.address} does not hash to the commitment on the chain; "
                    "set another address for this node with peers.addresses",
                )


def write_directory(entries: Sequence[Entry]) -> str:
    """Return the text of a directory file, sorted by company id."""
    lines = ["# Names and identifiers of the companies. Each entry is bound to the chain by its salt (S18).", ""]
    for entry in sorted(entries, key=lambda item: item.id):
        lines += ["[[company]]", f"id = {_quote(entry.id)}", f"name = {_quote(entry.name)}"]
        lines.append(f"salt = {_quote(entry.salt)}")
        items = [f"{{ scheme = {_quote(item.scheme)}, value = {_quote(item.value)} }}" for item in entry.identifiers]
        lines.append(f"identifiers = [{', '.join(items)}]")
        if entry.endpoint is not None:
            address, salt = _quote(entry.endpoint.address), _quote(entry.endpoint.salt)
            lines.append(f"endpoint = {{ address = {address}, salt = {salt} }}")
        lines.append("")
    return "\n".join(lines)


def _check_form(path: str, label: str, entry: Entry) -> None:
    if not _SALT.fullmatch(entry.salt) or (entry.endpoint is not None and not _SALT.fullmatch(entry.endpoint.salt)):
        raise DirectoryRefused(path, label, f"a salt is {SALT_BYTES * 2} hexadecimal digits")
    if not 1 <= len(entry.name) <= NAME_MAX or any(ord(character) < 32 for character in entry.name):
        raise DirectoryRefused(path, label, f"a name has 1 to {NAME_MAX} characters and no control characters")
    if len(entry.identifiers) > IDENTIFIERS_MAX:
        raise DirectoryRefused(path, label, f"more than {IDENTIFIERS_MAX} identifiers")
    for item in entry.identifiers:
        if not _SCHEME.fullmatch(item.scheme) or not 1 <= len(item.value) <= 100:
            raise DirectoryRefused(path, label, f"the identifier {item.scheme[:40]!r} is malformed")
    if entry.endpoint is not None:
        try:
            parse_address(entry.endpoint.address)
        except AddressMalformed as error:
            raise DirectoryRefused(path, label, f"endpoint: {error}") from None


def _normal(value: str) -> str:
    return "".join(value.split()).upper()


def _quote(text: str) -> str:
    """Return `text` as a TOML basic string."""
    escaped: list[str] = []
    for character in text:
        if character in ('"', "\\"):
            escaped.append("\\" + character)
        elif ord(character) < 32 or ord(character) == 127:
            escaped.append(f"\\u{ord(character):04x}")
        else:
            escaped.append(character)
    return f'"{"".join(escaped)}"'
