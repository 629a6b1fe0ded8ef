"""The directory counts only where it hashes to the chain, and resolves parties by identifier (S18)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger.registry.records import Company, Node, RootPolicy
from node.identity.directory import (
    DirectoryRefused,
    Endpoint,
    Entry,
    Identifier,
    UnknownParty,
    endpoint_commitment,
    load_directory,
    parse_directory,
    write_directory,
)

ACME, BOLT = "c" + "a" * 26, "c" + "b" * 26

SALT = "ab" * 32
FORM = f'[[company]]\nid = "{ACME}"\nname = "A"\n'


def entry(company: str, name: str, *identifiers: tuple[str, str], address: str = "") -> Entry:
    return Entry(
        id=company,
        name=name,
        salt="ab" * 32,
        identifiers=tuple(Identifier(scheme, value) for scheme, value in identifiers),
        endpoint=Endpoint(address, "cd" * 32) if address else None,
    )


@dataclass
class World:
    path: Path
    entries: list[Entry]

    def companies(self) -> list[Company]:
        policy = RootPolicy(1, (b"k" * 32,))
        return [Company(item.id, "active", ("trader",), policy, (), item.commitment(), 0, 1) for item in self.entries]

    def nodes(self) -> list[Node]:
        return [
            Node("n", item.id, "member", (), (), endpoint_commitment(b"\xcd" * 32, item.endpoint.address), "active")
            for item in self.entries
            if item.endpoint
        ]

    def write(self, entries: list[Entry]) -> None:
        self.path.write_text(write_directory(entries), encoding="utf-8")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(
        tmp_path / "directory.toml",
        [
            entry(
                ACME, 'Acme "Größe" GmbH \\ 发票', ("vat", "DE 123 456 789"), ("lei", "X1"), address="acme.example:7401"
            ),
            entry(BOLT, "Bolt SAS", ("vat", "FR99"), ("gln", "4000001000005")),
        ],
    )
    made.write(made.entries)
    return made


def test_entries_come_back_and_resolve(world: World) -> None:
    directory = load_directory(world.path, world.companies(), world.nodes())
    assert directory.names == {ACME: 'Acme "Größe" GmbH \\ 发票', BOLT: "Bolt SAS"}
    assert directory.addresses == {ACME: "acme.example:7401"}
    assert directory.resolve("vat", "de123456789") == ACME
    assert directory.resolve("gln", " 4000001000005 ") == BOLT
    assert directory.identifiers()[("vat", "FR99")] == (BOLT,)


def test_unknown_and_ambiguous_identifiers_are_refused_by_name(world: World) -> None:
    world.entries.append(entry("c" + "d" * 26, "Double", ("vat", "FR 99")))
    world.write(world.entries)
    directory = load_directory(world.path, world.companies(), world.nodes())
    with pytest.raises(UnknownParty, match="vat ES1 stands in no entry"):
        directory.resolve("vat", "ES1")
    with pytest.raises(UnknownParty, match="Bolt SAS and Double"):
        directory.resolve("vat", "FR99")


@pytest.mark.control("S18")
@pytest.mark.parametrize("what", ["name", "salt", "identifier", "address", "stranger", "twice"])
def test_an_entry_that_does_not_hash_to_the_chain_is_refused(world: World, what: str) -> None:
    acme, bolt = world.entries
    forged = {
        "name": entry(ACME, "Acme Gmbh", ("vat", "DE 123 456 789"), ("lei", "X1")),
        "salt": Entry(id=ACME, name=acme.name, salt="00" * 32, identifiers=acme.identifiers),
        "identifier": entry(ACME, acme.name, ("vat", "DE 000 456 789"), ("lei", "X1")),
        "address": entry(ACME, acme.name, ("vat", "DE 123 456 789"), ("lei", "X1"), address="evil.example:7401"),
        "stranger": entry("c" + "z" * 26, "Stranger"),
        "twice": bolt,
    }[what]
    world.write([forged, bolt])
    with pytest.raises(DirectoryRefused) as refusal:
        load_directory(world.path, world.companies(), world.nodes())
    assert forged.name in str(refusal.value) and str(world.path) in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    [
        "company = 1",
        "[[company]]\nid = 5",
        "[[company]]",
        "not toml",
        f'[[company]]\nid = "{ACME}"\nname = ""\nsalt = "{SALT}"',
        FORM + 'salt = "zz"',
        FORM + f'salt = "{SALT}"\ncolour = "red"',
        FORM + f'salt = "{SALT}"\nidentifiers = [{{scheme = "V A", value = "1"}}]',
        FORM + f'salt = "{SALT}"\nendpoint = {{address = "x", salt = "{SALT}"}}',
    ],
)
def test_malformed_files_are_refused_with_their_name(text: str) -> None:
    with pytest.raises(DirectoryRefused, match=r"d\.toml"):
        parse_directory(text, "d.toml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DirectoryRefused, match="travels with the genesis file"):
        load_directory(tmp_path / "directory.toml", [], [])
    (tmp_path / "directory.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DirectoryRefused, match="UTF-8"):
        load_directory(tmp_path / "directory.toml", [], [])
