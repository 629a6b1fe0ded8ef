"""Values, wire form, key bytes, dates: against `datetime`, and as properties (H5, L6, D9, K45)."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import types
from contracts.interface import Interface
from contracts.runtime import program
from contracts.types import Type
from contracts.values import (
    DAY_LAST,
    WRONG,
    Names,
    after_prefix,
    argument_reader,
    date_number,
    date_text,
    day_of,
    key_part,
    render,
    skip_key_part,
    text_problem,
)
from tests.language.hosts import ACME, CURRENCIES, GAS, DictHost

ENUMS = {("c", "Phase"): ("open", "closed", "zero")}
PHASE = Type("enum", 0, "c", "Phase")


@given(st.dates())
def test_dates_are_those_of_the_calendar(day: datetime.date) -> None:
    iso = day.isoformat()
    assert date_number(iso) == day.toordinal() - 1 == day_of(iso)
    assert date_text(day.toordinal() - 1) == iso


def test_the_ends_of_the_calendar() -> None:
    assert (date_text(0), date_text(DAY_LAST)) == ("0001-01-01", "9999-12-31")
    for day in range(1, DAY_LAST + 1, 10_007):
        assert date_text(day) == datetime.date.fromordinal(day + 1).isoformat()


@given(st.text(max_size=12))
def test_no_other_text_is_a_date(text: str) -> None:
    try:
        wanted: int | None = datetime.date.fromisoformat(text).toordinal() - 1 if len(text) == 10 else None
    except ValueError:
        wanted = None
    assert date_number(text) == wanted


def test_d9_k45_which_characters_stand_in_a_text() -> None:
    allowed = ["\u00e9", "\u4e2d", "\U0001fae8", "\u0897", "\U0001c80a", "\u200b", "\u0301", "\ue000", "~", " "]
    refused = ["\x00", "\x1f", "\x7f", "\x85", "\u2028", "\u2029", "\ud800", "\udfff", "\ufdd0", "\ufffe", "\U0010ffff"]
    refused += ["\u061c", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069"]
    read = argument_reader(types.text(4), Names({}, {}), CURRENCIES)
    for char in allowed:
        assert text_problem(char) == ""
        assert read(char) == char
    for char in refused:
        assert "U+" in text_problem(char)
        assert read("a" + char) is WRONG


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(2**63 - 1), 2**63 - 1),
    "bool": st.booleans(),
    "text": st.text(st.characters(codec="utf-8"), max_size=20).filter(lambda text: not text_problem(text)),
    "date": st.dates().map(datetime.date.isoformat),
    "currency": st.sampled_from(sorted(CURRENCIES)),
    "party": st.from_regex(r"\A[a-z0-9][a-z0-9-]{0,20}\Z"),
    "enum": st.sampled_from(ENUMS["c", "Phase"]),
}
KINDS = {**types.PLAIN, "text": types.text(20), "enum": PHASE}


def _order(kind: str, value: Any) -> Any:
    if kind == "enum":
        return ENUMS["c", "Phase"].index(value)
    return value.encode("utf-8") if isinstance(value, str) else value


@pytest.mark.parametrize("kind", VALUES)
def test_h5_key_parts_order_like_values_and_delimit_themselves(kind: str) -> None:
    part = key_part(KINDS[kind], ENUMS)

    @given(VALUES[kind], VALUES[kind], st.binary(max_size=4))
    def check(a: Any, b: Any, tail: bytes) -> None:
        left, right = part(a), part(b)
        assert (left < right) == (_order(kind, a) < _order(kind, b))
        assert (left == right) == (a == b)
        assert skip_key_part(kind, b"##" + left + tail, 2) == 2 + len(left)
        assert len(left) <= types.key_bytes(KINDS[kind])

    check()


@given(st.binary(min_size=1, max_size=6).filter(lambda data: data.strip(b"\xff") != b""), st.binary(max_size=4))
def test_after_prefix_is_the_least_key_above(prefix: bytes, tail: bytes) -> None:
    high = after_prefix(prefix)
    assert prefix + tail < high
    assert high <= prefix + b"\xff" * 8 + b"\xff" or high > prefix
    assert not high.startswith(prefix)


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("money", ("EUR", 125000), "EUR 1250.00"), ("money", ("JPY", -7), "JPY -7"), ("money", ("KWD", 5), "KWD 0.005"),
        ("int", -3, "-3"), ("bool", True, "true"), ("bool", False, "false"), ("date", "2026-03-05", "2026-03-05"),
        ("party", ACME, ACME), ("enum", "open", "open"), ("rate", -125, "-0.0125"),
    ],
)  # fmt: skip
def test_l30_renderings(kind: str, value: Any, shown: str) -> None:
    assert render(KINDS[kind] if kind in KINDS else types.rate(4), value, CURRENCIES) == shown


SHELF = b"""contract shelf version 3
enum Phase: open, closed
table Box key (owner: party, no: int):
    amount: money, on: date, phase: Phase, note: text(6), live: bool
    index (phase, on)
    index (note)
event Put: owner: party, amount: money, phase: Phase
action put_box(owner: party, no: int, amount: money, on: date, note: text(6)) by anyone:
    put Box(owner = owner, no = no, amount = amount, on = on, phase = Phase.closed, note = note, live = true)
    emit Put(owner = owner, amount = amount, phase = Phase.closed)
action move_box(owner: party, no: int) by anyone:
    update Box[owner, no] with phase = Phase.open
action drop_box(owner: party, no: int) by anyone:
    delete Box[owner, no]
query whole(owner: party, no: int) -> Box:
    return Box[owner, no]
"""


@pytest.fixture
def shelf() -> tuple[DictHost, Interface]:
    linked = program([("shelf", SHELF)], CURRENCIES)
    host = DictHost()
    args = (ACME, -4, ("EUR", 500), "2026-03-05", "abc")
    outcome = linked.execute("shelf", "put_box", args, host, GAS)
    assert outcome.abort is None
    assert linked.interfaces["shelf"].decode_event("Put", outcome.events[0].fields) == {
        "owner": ACME,
        "amount": ("EUR", 500),
        "phase": "closed",
    }
    return host, linked.interfaces["shelf"]


def test_h6_rows_are_read_with_the_interface_alone(shelf: tuple[DictHost, Interface]) -> None:
    host, interface = shelf
    key = interface.row_key("Box", [ACME, -4])
    low, high = interface.table_range("Box")
    assert low <= key < high
    assert interface.decode_row("Box", host.state[key]) == {
        "owner": ACME, "no": -4, "amount": ("EUR", 500), "on": "2026-03-05", "phase": "closed", "note": "abc",
        "live": True,
    }  # fmt: skip
    assert key.startswith(b"t\x05shelf\x03Box")
    with pytest.raises(ValueError, match="2 key fields"):
        interface.row_key("Box", [ACME])
    with pytest.raises(KeyError):
        interface.row_key("None", [ACME])


def test_h6_index_entries_follow_the_row(shelf: tuple[DictHost, Interface]) -> None:
    host, interface = shelf
    linked = program([("shelf", SHELF)], CURRENCIES)
    row_key = interface.row_key("Box", [ACME, -4])

    def entries() -> set[bytes]:
        return {key for key in host.state if key.startswith(b"x")}

    assert entries() == set(interface.index_entries("Box", host.state[row_key]))
    assert len(entries()) == 2
    before = entries()
    assert linked.execute("shelf", "move_box", (ACME, -4), host, GAS).abort is None
    assert entries() == set(interface.index_entries("Box", host.state[row_key])) != before
    assert linked.execute("shelf", "drop_box", (ACME, -4), host, GAS).abort is None
    assert host.state == {}


def test_interface_says_what_a_node_needs(shelf: tuple[DictHost, Interface]) -> None:
    _, interface = shelf
    action = interface.actions["put_box"]
    assert [(item.name, item.type, item.kind) for item in action.params][2:] == [
        ("amount", "money", "money"), ("on", "date", "date"), ("note", "text(6)", "text"),
    ]  # fmt: skip
    assert action.authority == "anyone"
    assert action.result is None
    assert interface.queries["whole"].result is not None
    assert interface.queries["whole"].result.type == "shelf.Box"
    assert interface.tables["Box"].indexes == (("phase", "on"), ("note",))
    assert (interface.name, interface.version) == ("shelf", 3)
    assert len(interface.code_id) == len(interface.ir_hash) == 32
