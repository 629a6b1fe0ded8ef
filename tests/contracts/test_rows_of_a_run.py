"""A run keeps the rows that it has decoded (performance E19): fewer questions to the host, and nothing else differs."""

from __future__ import annotations

import datetime

import pytest

from contracts.errors import ContractFault
from contracts.gas import READ
from contracts.keys import RowFormat
from contracts.runtime import Program, program
from contracts.types import Type
from contracts.values import Names, date_text, key_part, text_frame
from ledger.codec import encode
from tests.language.hosts import CURRENCIES, GAS, DictHost, reference_of, same

SHELF = b"""contract shelf version 1
table Item key id: text(20):
    n: int, m: money
    index (n)
table Bag key id: text(20):
    xs: list(int, 5)
table Place key (a: text(9), b: party, unit: currency):
    n: int
invariant each Item: row.n < 1000
action once(id: text(20)) by anyone:
    let a = Item[id].n
    require a >= 0 else below "never"
action twice(id: text(20)) by anyone:
    let a = Item[id].n
    let b = Item[id].n
    require a == b else differs "never"
action changed(id: text(20)) -> int by anyone:
    let a = Item[id].n
    update Item[id] with n = a + 1
    let b = Item[id].n
    put Item(id = id, n = b + 1, m = Item[id].m)
    return a * 10000 + b * 100 + Item[id].n
action amounts(id: text(20)) -> int by anyone:
    let before = Item[id].n
    update Item[id] with m = Item[id].m + Item[id].m
    return before + Item[id].m.minor
action removed(id: text(20)) -> bool by anyone:
    let a = Item[id].n
    delete Item[id]
    require a >= 0 and not exists Item[id] else there "{id} is there"
    return exists Item[id]
action bagged(id: text(20)) -> int by anyone:
    put Bag(id = id, xs = [1, 2, 3])
    let first = count(Bag[id].xs)
    update Bag[id] with xs = [4]
    return first * 10 + Bag[id].xs[0] + count(Bag[id].xs)
"""


@pytest.fixture(scope="module")
def shelf() -> Program:
    return program([("shelf", SHELF)], CURRENCIES)


def stored(shelf: Program) -> DictHost:
    """Return a host with one item, n = 7 and 1.00 EUR."""
    table = shelf.interfaces["shelf"].formats["Item"]
    row = (1, "a", 7, ("EUR", 100))
    return DictHost({table.key(["a"]): encode(row), table.index_keys[0](row): encode(None)})


def test_a_row_is_asked_for_once_and_paid_for_each_time(shelf: Program) -> None:
    one, two = stored(shelf), stored(shelf)
    once = shelf.execute("shelf", "once", ("a",), one, GAS)
    twice = shelf.execute("shelf", "twice", ("a",), two, GAS)
    assert one.used.count("get") == two.used.count("get") == 1
    assert twice.gas_used - once.gas_used >= READ


@pytest.mark.parametrize("method", ["once", "twice", "changed", "amounts", "removed", "bagged"])
def test_results_and_writes_are_those_of_the_reference(shelf: Program, method: str) -> None:
    host, twin = stored(shelf), stored(shelf)
    outcome = shelf.execute("shelf", method, ("a",), host, GAS)
    assert outcome.abort is None
    assert same(outcome, reference_of(shelf, CURRENCIES), ("shelf", method, ("a",), False), twin) == ""
    assert host.state == twin.state


@pytest.mark.parametrize(
    ("method", "result"), [("changed", 70809), ("amounts", 207), ("removed", False), ("bagged", 35)]
)
def test_a_row_written_is_the_row_read_afterwards(shelf: Program, method: str, result: object) -> None:
    assert shelf.execute("shelf", method, ("a",), stored(shelf), GAS).result == result


def test_h9_the_next_call_asks_again(shelf: Program) -> None:
    host = stored(shelf)
    for _ in range(2):
        shelf.execute("shelf", "twice", ("a",), host, GAS)
    assert host.used.count("get") == 2


def test_h4_damage_is_found_at_the_first_reading(shelf: Program) -> None:
    host = stored(shelf)
    key = shelf.interfaces["shelf"].formats["Item"].key(["a"])
    host.state[key] = b"\x93\x01\xa1a"
    with pytest.raises(ContractFault):
        shelf.execute("shelf", "twice", ("a",), host, GAS)


def test_h6_an_update_touches_the_entries_of_changed_columns_only(shelf: Program) -> None:
    for method, moved in (("amounts", 0), ("changed", 2)):
        host = stored(shelf)
        shelf.execute("shelf", method, ("a",), host, GAS)
        entries = [key for key in host.state if key[:1] == b"x"]
        assert host.used.count("delete") == moved
        table = shelf.interfaces["shelf"]
        assert entries == list(table.index_entries("Item", host.state[table.row_key("Item", ["a"])]))


def test_gas_runs_out_at_the_same_place_with_every_limit(shelf: Program) -> None:
    whole = shelf.execute("shelf", "changed", ("a",), stored(shelf), GAS)
    for limit in range(whole.gas_used):
        host = stored(shelf)
        outcome = shelf.execute("shelf", "changed", ("a",), host, limit)
        assert outcome.abort is not None and outcome.abort.code == "out_of_gas" and outcome.gas_used == limit


@pytest.mark.parametrize("values", [("", "", "EUR"), ("ab", "p1", "JPY"), ("\u4e2d\U0001f600", "x-1", "USD")])
def test_h5_a_key_of_texts_has_the_bytes_of_its_parts(shelf: Program, values: tuple[str, str, str]) -> None:
    table: RowFormat = shelf.interfaces["shelf"].formats["Place"]
    assert table.row_key((1, *values, 5)) == table.key(values)


def test_h5_every_kind_of_text_key_is_framed_as_its_part() -> None:
    names = Names({}, {})
    for kind in ("text", "party", "user", "currency"):
        before, after = text_frame(b"t", [kind])
        assert f"{before}abc{after}".encode() == b"t" + key_part(Type(kind, 9), names.enums)("abc")
    assert text_frame(b"t", ["text", "int"]) == text_frame(b"t", []) == ()


def test_l21_dates_are_written_as_the_calendar_has_them() -> None:
    for number in (*range(800), *range(0, 3_652_059, 97), *range(3_651_600, 3_652_059)):
        assert date_text(number) == datetime.date.fromordinal(number + 1).isoformat()
