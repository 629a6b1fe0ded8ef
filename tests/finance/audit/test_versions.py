"""Packs over contracts that were replaced: each event is read by the version of its height, and each version is proven.

A chain of the ledger's governance, with the real engine; the pack's head is certified by the founders' keys (F78, L63).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contracts.library import sources
from contracts.runtime import program
from finance.audit.pack import PackBody, PackContract
from finance.audit.verifier import Contract, Failure, Network, Pack, declared, verify
from ledger.money import ISO_4217
from tests.finance.audit.story import LATE, NOTES, NOTES_TWO, Story


@pytest.fixture(scope="module")
def story() -> Story:
    return Story.told()


@pytest.mark.control("F78", "L63")
def test_l63_each_event_and_row_is_read_by_the_version_that_wrote_it(story: Story) -> None:
    data, genesis = story.pack()
    summary = verify(data, genesis)
    assert (summary["rows"], summary["events"]) == (3, 3)
    pack, network = Pack(data), Network(genesis)
    pack.check(network)
    rows = pack.proven_rows
    assert set(rows["notes", "Note", "first"]) == {"id", "owner", "words"}
    assert rows["notes", "Note", "second"]["size"] == rows["late", "Note", "third"].get("size", 6) == 6
    kept = pack.contracts["notes"]
    begin = kept.versions[1][0]
    assert kept.event("Kept", begin - 1) == ["id", "owner"] and kept.event("Kept", begin) == ["owner", "id", "size"]
    assert pack.contracts["late"].event("Kept", 1) is None, "it did not run then"


def changed(body: PackBody, name: str, **parts: Any) -> PackBody:
    """Return the body with other parts of one contract."""
    return replace(
        body, contracts=tuple(replace(item, **parts) if item.name == name else item for item in body.contracts)
    )


def contract_of(body: PackBody, name: str) -> PackContract:
    return next(item for item in body.contracts if item.name == name)


@pytest.mark.control("F78")
@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lambda body: changed(body, "notes", older=()), "do not begin with the source in the genesis file"),
        (lambda body: changed(body, "notes", source=NOTES.encode()), "is not the one that the state names"),
        (
            lambda body: changed(
                body, "notes", older=tuple((proof, NOTES_TWO.encode()) for proof, _ in contract_of(body, "notes").older)
            ),
            "is not the one that the state names",
        ),
        (lambda body: changed(body, "late", source=LATE.replace("Kept", "Kopt").encode()), "is not the one"),
        (lambda body: changed(body, "late", below=()), "wrong form"),
        (
            lambda body: changed(body, "late", below=(contract_of(body, "late").proof,)),
            "does not lead to the certified state root",
        ),
        (
            lambda body: changed(body, "notes", older=contract_of(body, "notes").older * 2),
            "does not lead to the certified state root",
        ),
        (
            lambda body: replace(body, contracts=tuple(item for item in body.contracts if item.name != "late")),
            "no proven source of late declares Note",
        ),
        (lambda body: replace(body, contracts=body.contracts * 2), "stands there twice"),
    ],
)
def test_f78_a_company_cannot_sign_another_reading_of_its_lines(
    story: Story, lie: Callable[[PackBody], PackBody], reason: str
) -> None:
    with pytest.raises(Failure, match=reason):
        verify(*story.pack(lie))


def test_the_reader_of_declarations_agrees_with_the_compiler() -> None:
    linked = program(sources(), dict(ISO_4217))
    for name, source in sources():
        interface = linked.interfaces[name]
        wanted = {table: [item.name for item in schema.fields] for table, schema in interface.tables.items()}
        wanted |= {event: [item.name for item in schema.fields] for event, schema in interface.events.items()}
        assert declared(source) == wanted, name


ODD = b"""contract odd version 1

# table Ghost key id: int:
const text_of: text(40) = "event Ghost: a: int # { ("
event Wide: index: int, readers: text(3), a: list(
        int, 4),
    b: map(text(3), int, 2)
event Bare:
    one: int
    two: int, three: int
table Pair key (a: int,
    b: text(8)):
    c: list(int, 4),
        d: map(int, text(3), 2)
    index (c)
    readers everyone
    index: int, readers: bool
"""


def test_declarations_over_several_lines_are_read_as_the_language_says() -> None:
    assert declared(ODD) == {
        "Wide": ["index", "readers", "a", "b"],
        "Bare": ["one", "two", "three"],
        "Pair": ["a", "b", "c", "d", "index", "readers"],
    }


def test_layouts_count_the_versions_that_gave_a_table_more_fields() -> None:
    contract = Contract("x", 1)
    for height, fields in ((0, ["a"]), (10, ["a"]), (20, ["a", "b"]), (30, ["a", "b", "c"])):
        contract.versions.append((height, {"T": fields}))
    assert [contract.row("T", layout) for layout in range(5)] == [None, ["a"], ["a", "b"], ["a", "b", "c"], None]
    assert contract.row("U", 1) is None
