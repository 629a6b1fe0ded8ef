"""Hostile meanings: K18, K21, K28, K36, K46, K48, K51 and K53 of the hostile list, each on both ways of running."""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from typing import Any

import pytest

from contracts.errors import SourceError
from contracts.host import Outcome
from contracts.runtime import Program, program
from tests.language.hosts import ACME, CURRENCIES, GAS, DictHost, reference_of, same, signer


def run(linked: Program, state: dict[bytes, bytes], method: str, *args: Any) -> Outcome:
    """Run `contract.method` on both, which must agree, and return the outcome. An abort leaves `state` as it was."""
    contract, _, name = method.partition(".")
    people = [(signer(ACME, "a"), "preparer")]
    mine, other = DictHost(dict(state), people), DictHost(dict(state), people)
    call = linked.execute if name in linked.interfaces[contract].actions else linked.query
    outcome = call(contract, name, args, mine, GAS)
    assert same(outcome, reference_of(linked, CURRENCIES), (contract, name, args, False), other) == ""
    if outcome.abort is None:
        assert mine.state == other.state
        state.clear()
        state.update(mine.state)
    return outcome


def code(outcome: Outcome) -> str:
    return "" if outcome.abort is None else outcome.abort.code


SHELF = b"""contract shelf version 1
table Book key id: int:
    shade: int, words: text(20)
    index (shade)
event Seen: id: int, t: text(60)
action add(id: int, shade: int) by anyone:
    insert Book(id = id, shade = shade, words = "{{id}}")
query never(n: int) -> int:
    var found = 0
    for b in Book where b.id > 0 and b.words == "no" limit 5:
        found += 1
    return found + n
query five() -> int:
    var found = 0
    for b in Book limit 5:
        found += 1
    return found
action push(to: int) by anyone:
    for b in Book where b.shade == 1 limit 9:
        insert Book(id = b.id + 100, shade = 1, words = "new")
        update Book[b.id] with shade = to
        emit Seen(id = b.id, t = "{b.words} {b.shade}")
action drop_next() by anyone:
    for b in Book limit 9:
        emit Seen(id = b.id, t = b.words)
        if exists Book[b.id + 1]:
            delete Book[b.id + 1]
query pairs() -> int:
    var found = 0
    for a in Book limit 9:
        for b in Book where b.shade == a.shade limit 9:
            found += 1
    return found
action show(t: text(20)) by anyone:
    let who = caller
    emit Seen(id = 0, t = "{t} {who} {{t}}")
query tie() -> money:
    return round_half_even(EUR 0.25 * 10%) + round_half_up(EUR 0.05 / 2) + round_down(EUR 9.99 / 7)
query grown(n: int) -> int:
    let a = n * n
    let b = a * a
    let c = b * b
    return c
"""


@pytest.fixture
def shelf() -> Iterator[tuple[Program, dict[bytes, bytes]]]:
    linked, state = program([("shelf", SHELF)], CURRENCIES), {}
    for number in range(1, 6):
        assert run(linked, state, "shelf.add", number, number % 2).abort is None
    yield linked, state


Shelf = tuple[Program, dict[bytes, bytes]]


def test_k18_a_filter_that_is_always_false_is_paid_for_and_counted(shelf: Shelf) -> None:
    linked, state = shelf
    nothing = run(linked, {}, "shelf.never", 0)
    every = run(linked, state, "shelf.never", 0)
    assert (nothing.result, every.result) == (0, 0)
    assert every.gas_used - nothing.gas_used >= 5 * (40 + 10)  # a read and a key each
    assert run(linked, state, "shelf.five").result == 5
    run(linked, state, "shelf.add", 6, 0)
    assert code(run(linked, state, "shelf.five")) == "limit_exceeded"
    assert code(run(linked, state, "shelf.never", 0)) == "limit_exceeded"  # rows looked at count, kept or not


def test_k46_l39_a_loop_sees_the_keys_of_its_beginning_and_the_rows_of_now(shelf: Shelf) -> None:
    linked, state = shelf
    pushed = run(linked, dict(state), "shelf.push", 7)
    assert [event.fields for event in pushed.events] == [(n, f"{{id}} {1}") for n in (1, 3, 5)]
    assert code(run(linked, dict(state), "shelf.push", 1)) == ""
    dropped = run(linked, state, "shelf.drop_next")
    assert [event.fields[0] for event in dropped.events] == [1, 3, 5]  # a row that is gone is passed over
    assert run(linked, state, "shelf.pairs").result == 9


def test_k36_inserted_values_are_never_read_again(shelf: Shelf) -> None:
    linked, state = shelf
    for text in ("{caller}", "{t}", "{0}", "{x.y.z}", "{caller.__init__}"):
        assert run(linked, state, "shelf.show", text).events[0].fields[1] == f"{text} {ACME} {{t}}"


@pytest.mark.parametrize("n", [3_037_000_499, -3_037_000_499, 2**63 - 1])
def test_k21_squares_end_at_the_first_store(shelf: Shelf, n: int) -> None:
    linked, state = shelf
    outcome = run(linked, state, "shelf.grown", n)
    assert outcome.abort is not None
    assert (outcome.abort.code, outcome.abort.line) == ("overflow", 40 + (abs(n) < 2**62))
    wide = "contract c version 1\nquery q(n: int) -> int:\n    return " + " * ".join(["n"] * 40) + "\n"
    with pytest.raises(SourceError) as caught:
        program([("c", wide.encode())], CURRENCIES)
    assert caught.value.code == "width"


@pytest.mark.parametrize("rounding", [decimal.ROUND_UP, decimal.ROUND_FLOOR, decimal.ROUND_05UP])
def test_k28_the_decimal_context_of_the_process_changes_nothing(shelf: Shelf, rounding: str) -> None:
    linked, state = shelf
    plain = run(linked, state, "shelf.tie")
    with decimal.localcontext() as context:
        context.prec, context.rounding = 3, rounding
        context.traps = dict.fromkeys(context.traps, True)
        assert linked.query("shelf", "tie", (), DictHost(dict(state)), GAS) == plain
        assert program([("shelf", SHELF)], CURRENCIES).interfaces["shelf"].ir_hash == linked.interfaces["shelf"].ir_hash
    assert plain.result == ("EUR", 2 + 3 + 142)


RING = {
    "action": (b"action go() by anyone:\n    b.go()\n", b"action go() by anyone:\n    a.go()\n"),
    "query": (b"query go() -> int:\n    return b.go()\n", b"query go() -> int:\n    return a.go()\n"),
    "authority": (
        b"action go() by role preparer of b.who():\n    pass\n",
        b"query who() -> party:\n    return a.me()\n",
    ),
}


@pytest.mark.parametrize("way", RING)
def test_k48_no_way_leads_back_into_a_running_contract(way: str) -> None:
    """`uses` names contracts that are active already, so a circle has no first member; what calls is never called."""
    first, second = RING[way]
    with pytest.raises(SourceError) as caught:
        program(
            [("a", b"contract a version 1\nuses b@1\n" + first), ("b", b"contract b version 1\nuses a@1\n" + second)],
            CURRENCIES,
        )
    assert caught.value.code == "undeclared"


@pytest.mark.parametrize(
    "source",
    [
        b"invariant each Tab: bump(row.n) > 0\n",
        b"schedule s on Tab.on:\n    a.go()\n",
        b"invariant each Tab: a.go() > 0\n",
    ],
)
def test_k48_k52_nor_through_an_invariant_or_a_schedule(source: bytes) -> None:
    head = b"contract a version 1\ntable Tab key id: int:\n    n: int, on: date\nevent Seen: n: int\n"
    more = b"function bump(n: int) -> int:\n    emit Seen(n = n)\n    return n\naction go() by anyone:\n    pass\n"
    with pytest.raises(SourceError) as caught:
        program([("a", head + source + more)], CURRENCIES)
    assert caught.value.code in ("effect", "wrong_type")


def _tower(depth: int) -> Program:
    """Return contracts that call each other `depth` deep; each writes, emits, arms a schedule, and calls the next."""
    sources = []
    for level in range(depth):
        lower = f"uses c{level - 1}@1\n" if level else ""
        call = f"    c{level - 1}.go(n, bad - 1)\n" if level else ""
        head = "by contract" if level < depth - 1 else "by anyone"
        sources.append((f"c{level}", (
            f"contract c{level} version 1\n{lower}table Tab key id: int:\n    n: int, due: date\n    index (n)\n"
            f"event Seen: n: int\nschedule late on Tab.due:\n    delete Tab[row.id]\n"
            f"action go(n: int, bad: int) {head}:\n    insert Tab(id = n, n = n, due = 2026-12-01)\n    emit Seen(n = n)\n"
            f"{call}    require bad != 1 else no \"level {level}\"\n"
        ).encode()))  # fmt: skip
    return program(sources, CURRENCIES)


@pytest.mark.parametrize("depth", [1, 2, 5, 8])
def test_k51_an_abort_at_any_depth_leaves_nothing(depth: int) -> None:
    """The caller drops the layer of a call that aborted; its outcome carries no event and no result (H2)."""
    linked, top = _tower(depth), f"c{depth - 1}.go"
    state: dict[bytes, bytes] = {}
    fine = run(linked, state, top, 1, 0)
    assert (fine.abort, len(fine.events), len(state)) == (None, depth, 4 * depth)
    for level in range(1, depth + 1):
        before = dict(state)
        outcome = run(linked, state, top, 2, level)
        assert outcome.abort is not None
        assert (outcome.abort.code, outcome.abort.contract) == ("require_failed", f"c{depth - level}")
        assert (outcome.events, outcome.result, state) == ((), None, before)
    assert run(linked, state, top, 2, 0).abort is None


BOXES = b"""contract boxes version 1
table Box key id: int:
    n: int
table Total key id: int:
    n: int
invariant each Box: row.n < 5
invariant unchanged sum(Total.n) - sum(Box.n)
action set_both(id: int, n: int, total: int) by anyone:
    put Box(id = id, n = n)
    put Total(id = 1, n = total)
action again(id: int, n: int) by anyone:
    delete Box[id]
    insert Box(id = id, n = n)
action mint(id: int, n: int) by anyone:
    insert Box(id = id, n = n)
action there_and_back(id: int) by anyone:
    update Box[id] with n = 99
    update Box[id] with n = 1
"""


def test_k53_every_way_to_write_a_row_is_tested_at_the_end() -> None:
    """L49-L51: what counts is the row at the end of the call, however it came there."""
    linked = program([("boxes", BOXES)], CURRENCIES)
    state: dict[bytes, bytes] = {}
    assert code(run(linked, state, "boxes.set_both", 1, 1, 1)) == ""
    assert code(run(linked, state, "boxes.set_both", 1, 5, 5)) == "invariant_failed"
    assert code(run(linked, state, "boxes.set_both", 1, 2, 3)) == "invariant_failed"  # the sum of the other table
    assert code(run(linked, state, "boxes.again", 1, 9)) == "invariant_failed"
    assert code(run(linked, state, "boxes.again", 1, 2)) == "invariant_failed"
    assert code(run(linked, state, "boxes.again", 1, 1)) == ""
    assert code(run(linked, state, "boxes.mint", 2, 1)) == "invariant_failed"  # without its counter
    assert code(run(linked, state, "boxes.there_and_back", 1)) == ""
