"""Entries of schedules at the level of the engine: order, limits, parking, upgrades (L52-L56, H5)."""

from __future__ import annotations

from typing import Any

from contracts.host import Call, Outcome
from contracts.runtime import Program, program
from contracts.values import date_number
from tests.language.hosts import CURRENCIES, GAS, DictHost

SOURCE = b"""contract bills version 1
table Bill key id: text(8):
    due: date, state: int
event Late: id: text(8)
action add(id: text(8), due: date, state: int) by anyone:
    put Bill(id = id, due = due, state = state)
action delete_one(id: text(8)) by anyone:
    delete Bill[id]
schedule late on Bill.due where row.state != 0:
    require row.state != 13 else unlucky "no thirteen"
    update Bill[row.id] with state = 0
    emit Late(id = row.id)
schedule nightly every day:
    emit Late(id = "night")
"""
DAY = date_number("2026-03-05") or 0


def at(state: dict[bytes, bytes], day: int) -> DictHost:
    return DictHost(state, (), day)


def add(linked: Program, state: dict[bytes, bytes], id_: str, due: str, value: int) -> Outcome:
    outcome = linked.execute("bills", "add", (id_, due, value), at(state, DAY), GAS)
    assert outcome.abort is None
    return outcome


def run_due(linked: Program, state: dict[bytes, bytes], day: int, count: int = 100) -> list[tuple[str, Any]]:
    """Do what the ledger does at the start of a block (L54)."""
    done = []
    for call in linked.due(at(state, day), count):
        linked.take(call, at(state, day))
        layer = dict(state)
        outcome = linked.fire(call, at(layer, day), GAS)
        if outcome.abort is None:
            state.clear()
            state.update(layer)
        else:
            linked.park(call, at(state, day), outcome.abort)
        done.append((call.method, outcome.abort.reason or outcome.abort.code if outcome.abort else len(outcome.events)))
    return done


def test_l53_l54_entries_run_in_order_up_to_the_count() -> None:
    linked, state = program([("bills", SOURCE)], CURRENCIES), {}
    for id_, due in (("b", "2026-03-07"), ("a", "2026-03-07"), ("c", "2026-03-06"), ("d", "2026-03-08")):
        add(linked, state, id_, due, 1)
    assert run_due(linked, state, DAY) == []
    host = at(state, DAY + 2)
    names = [(call.method, bytes(call.args[0])[1:2]) for call in linked.due(host, 100)]
    assert names == [("late", b"c"), ("late", b"a"), ("late", b"b")]
    assert run_due(linked, state, DAY + 2, count=2) == [("late", 1), ("late", 1)]
    assert run_due(linked, state, DAY + 2) == [("late", 1)]
    assert run_due(linked, state, DAY + 2) == []
    assert set(host.used) == {"scan"}  # asking changes nothing


def test_l53_an_entry_moves_with_its_date_and_goes_with_its_row() -> None:
    linked, state = program([("bills", SOURCE)], CURRENCIES), {}
    add(linked, state, "a", "2026-03-06", 1)
    keys = [key for key in state if key[:1] in (b"s", b"p")]
    assert len(keys) == 2
    add(linked, state, "a", "2026-03-09", 1)
    assert linked.due(at(state, DAY + 3), 9) == ()
    assert len(linked.due(at(state, DAY + 4), 9)) == 1
    linked.execute("bills", "delete_one", ("a",), at(state, DAY), GAS)
    assert [key for key in state if key[:1] in (b"s", b"p")] == []


def test_l55_an_abort_parks_the_entry_until_it_is_armed_again() -> None:
    linked, state = program([("bills", SOURCE)], CURRENCIES), {}
    add(linked, state, "a", "2026-03-06", 13)
    (call,) = linked.due(at(state, DAY + 1), 9)
    assert run_due(linked, state, DAY + 1) == [("late", "unlucky")]
    assert run_due(linked, state, DAY + 90) == []
    assert any(b"unlucky" in value for value in state.values())
    assert linked.rearm("bills", "late", call.args[0], at(state, DAY + 90))
    assert not linked.rearm("bills", "late", b"other", at(state, DAY + 90))
    assert run_due(linked, state, DAY + 90) == [("late", "unlucky")]
    add(linked, state, "a", "2026-03-07", 5)  # a new date arms it too
    assert run_due(linked, state, DAY + 90) == [("late", 1)]


def test_l55_where_is_asked_when_the_entry_runs() -> None:
    linked, state = program([("bills", SOURCE)], CURRENCIES), {}
    add(linked, state, "a", "2026-03-06", 1)
    add(linked, state, "a", "2026-03-06", 0)
    assert run_due(linked, state, DAY + 1) == [("late", 0)]


def test_l53_every_day_is_armed_once_and_runs_once_for_missed_dates() -> None:
    linked, state = program([("bills", SOURCE)], CURRENCIES), {}
    linked.arm(at(state, DAY))
    linked.arm(at(state, DAY))
    assert len([key for key in state if key[:1] == b"s"]) == 1
    assert run_due(linked, state, DAY) == []
    assert run_due(linked, state, DAY + 40) == [("nightly", 1)]
    assert run_due(linked, state, DAY + 40) == []
    assert run_due(linked, state, DAY + 41) == [("nightly", 1)]


def test_l55_an_entry_without_its_schedule_is_dropped() -> None:
    linked, state = program([("bills", SOURCE)], CURRENCIES), {}
    add(linked, state, "a", "2026-03-06", 1)
    other = program([("bills", SOURCE.replace(b"schedule late", b"schedule tardy"))], CURRENCIES)
    assert run_due(other, state, DAY + 1) == [("late", "schedule")]
    assert [key for key in state if key[:1] in (b"s", b"p")] == []


def test_a_schedule_has_its_own_gas_and_no_caller() -> None:
    linked, state = program([("bills", SOURCE)], CURRENCIES), {}
    add(linked, state, "a", "2026-03-06", 1)
    (call,) = linked.due(at(state, DAY + 1), 9)
    full = linked.fire(call, at(dict(state), DAY + 1), GAS)
    assert full.gas_used <= linked.interfaces["bills"].schedules["late"].worst_gas
    for gas in range(full.gas_used):
        short = linked.fire(call, at(dict(state), DAY + 1), gas)
        assert short.abort is not None
        assert short.abort.code == "out_of_gas"
    assert linked.fire(call, at(dict(state), DAY + 1), full.gas_used) == full
    gone = linked.fire(Call("schedule", "none", "late", (b"", 0)), at(state, DAY), GAS)
    assert gone.abort is not None
    assert gone.abort.code == "unknown_method"
