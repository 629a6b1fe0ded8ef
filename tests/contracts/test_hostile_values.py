"""Hostile values of the second stage: rates, lists, maps, records, options (K15, K16, K20-K24, K27-K34, K38, K55)."""

from __future__ import annotations

import random
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import Any

import pytest

from contracts.errors import SourceError
from contracts.gas import MEMBERS_COMPARED
from contracts.host import Outcome
from contracts.machine import Run
from contracts.runtime import Program, load, program
from contracts.unrounded import ROUNDINGS, days_of_count, share
from tests.language.hosts import ACME, CURRENCIES, GAS, DictHost, reference_of, same

SOURCE = b"""contract c version 1
record Line: item: text(8), amount: money, note: text(4)?
table Box key id: int:
    lines: list(Line, 3), rate_of: rate(4)
action keep(id: int, lines: list(Line, 3), rate_of: rate(4)) by anyone:
    put Box(id = id, lines = lines, rate_of = rate_of)
query third(m: money, r: rate(12), n: int) -> money:
    return round_half_up(m * r / n)
query wide(n: int, r: rate(12)) -> rate(12):
    return round_half_up(n * r * r, 12)
query summed(numbers: list(int, 1000)) -> int:
    var seen: map(int, bool, 1000) = {}
    for n in numbers:
        seen[n] = true
    return count(seen)
query words(tags: list(text(40), 200)) -> int:
    var seen: map(text(40), int, 200) = {}
    for tag in tags:
        seen[tag] = default(seen[tag]?, 0) + 1
    return count(seen)
query copies(numbers: list(int, 100)) -> int:
    var mine = numbers
    var total = 0
    for n in numbers:
        let kept = mine
        total += count(kept) + n
    return total
query found(numbers: list(int, 100), n: int) -> bool:
    return n in numbers
query held(numbers: list(int, 100)) -> list(int, 100):
    var mine = numbers
    mine[0] = 99
    return mine
"""


@pytest.fixture(scope="module")
def linked() -> Program:
    return program([("c", SOURCE)], CURRENCIES)


def call(linked: Program, method: str, *args: Any, gas: int = 2_000_000) -> Outcome:
    host = DictHost()
    run = linked.execute if method in linked.interfaces["c"].actions else linked.query
    outcome = run("c", method, args, host, gas)
    if gas == 2_000_000:
        assert same(outcome, reference_of(linked, CURRENCIES), ("c", method, args, False), DictHost()) == ""
    return outcome


LINE = ("nut", ("EUR", 1), None)
K55_BAD: list[tuple[Any, ...]] = [
    (1, LINE, 1), (1, [LINE] * 4, 1), (1, [("nut", ("EUR", 1))], 1), (1, [(*LINE, 1)], 1), (1, [("nut", "EUR", None)], 1),
    (1, [("nut", ("EUR", 1), "toolong")], 1), (1, [("nut", ("EUR", 1), 1)], 1), (1, None, 1), (1, "abc", 1),
    (1, {"a": 1}, 1), (1, [None], 1), (1, [LINE], None), (1, [LINE], 1.0), (1, [LINE], "0.1"), (1, [LINE], True),
    (1, [LINE], 2**63), (1, [("nut", ("XXX", 1), None)], 1), (1, [("x" * 9, ("EUR", 1), None)], 1),
    (1, [("nut", ("EUR", 2**63), None)], 1), (1, (item for item in (LINE,)), 1), (1, b"\x91", 1),
]  # fmt: skip


@pytest.mark.parametrize("args", K55_BAD, ids=range(len(K55_BAD)))
def test_k55_arguments_are_exact_in_depth(linked: Program, args: tuple[Any, ...]) -> None:
    outcome = call(linked, "keep", *args)
    assert outcome.abort is not None
    assert (outcome.abort.code, outcome.gas_used) == ("bad_argument", 0)


def test_k39_lists_given_by_a_caller_stay_the_callers(linked: Program) -> None:
    lines = [["nut", ["EUR", 1], None]]
    host = DictHost()
    assert linked.execute("c", "keep", (1, lines, 5), host, GAS).abort is None
    before = dict(host.state)
    lines[0][0] = "changed"
    assert host.state == before
    numbers = [1, 2, 3]
    outcome = call(linked, "held", numbers)
    assert (outcome.result, numbers) == ((99, 2, 3), [1, 2, 3])


def test_k16_crafted_keys_cost_what_others_cost(linked: Program) -> None:
    """Keys are bytes, so numbers that collide as Python integers do not (D6)."""
    crafted = tuple(k * (2**61 - 1) for k in range(-3, 4)) * 140
    plain = tuple(range(7)) * 140
    one, two = (call(linked, "summed", items) for items in (crafted, plain))
    assert one.result == two.result == 7
    assert abs(one.gas_used - two.gas_used) < 400  # longer arguments, nothing else


def test_k15_units_grow_with_what_is_touched(linked: Program) -> None:
    def used(method: str, size: int, *more: Any) -> int:
        return call(linked, method, tuple(range(size)), *more).gas_used

    assert used("copies", 100) - used("copies", 50) > 100 * 50 * 0.5  # copies of what grows
    assert used("found", 100, -1) - used("found", 50, -1) >= 50 // MEMBERS_COMPARED
    assert used("summed", 1000) - used("summed", 500) >= 500 * 14


def test_k17_k58_every_gas_limit(linked: Program) -> None:
    for method, args in (("words", (("a", "b", "a"),)), ("copies", ((1, 2, 3),)), ("keep", (1, [LINE], 5))):
        full = call(linked, method, *args)
        assert full.abort is None
        for gas in range(full.gas_used):
            short = call(linked, method, *args, gas=gas)
            assert short.abort is not None
            assert short.abort.code == "out_of_gas"
        assert call(linked, method, *args, gas=full.gas_used) == full


def test_k20_k24_memory_ends_a_call(linked: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Run

    def small(*args: Any, **more: Any) -> Any:
        run = plain(*args, **more)
        run.memory = 3_000
        return run

    monkeypatch.setattr("contracts.runtime.Run", small)
    outcome = linked.query("c", "copies", (tuple(range(40)),), DictHost(), GAS)
    assert outcome.abort is not None
    assert outcome.abort.code == "memory_budget"


def test_k13_loops_over_lists_are_bounded_before_they_run() -> None:
    text = """contract c version 1
query q(a: list(int, 1000)) -> int:
    var total = 0
    for x in a:
        for y in a:
            for z in a:
                total += x * y * z
    return total
"""
    with pytest.raises(SourceError) as caught:
        load(text.encode(), {}, CURRENCIES)
    assert caught.value.code == "worst_case"


MOST = 2**63 - 1


def test_k29_k30_the_ends_of_the_range(linked: Program) -> None:
    assert call(linked, "third", ("EUR", MOST), 10**12, 1).result == ("EUR", MOST)
    assert call(linked, "third", ("EUR", -MOST), 10**12, 1).result == ("EUR", -MOST)
    over = call(linked, "third", ("EUR", MOST), 10**12 + 1, 1)
    assert over.abort is not None
    assert over.abort.code == "overflow"
    assert call(linked, "third", ("EUR", MOST), MOST, MOST).result == ("EUR", round(Fraction(MOST, 10**12)))
    zero = call(linked, "third", ("EUR", 1), 1, 0)
    assert zero.abort is not None
    assert zero.abort.code == "divide_by_zero"
    assert call(linked, "wide", MOST, 1).result == 9_223_372  # 2^63 * 10^-24 in units of 10^-12, rounded


def test_k31_roundings_equal_decimal() -> None:
    rng, context = random.Random(7), Context(prec=60)
    modes = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN, "down": ROUND_DOWN}
    for _ in range(20_000):
        denominator = rng.choice([1, 2, 3, 4, 7, 8, 10, 365, 10**6, rng.randrange(1, 2**62)])
        numerator = rng.choice(
            [rng.randrange(-(2**100), 2**100), denominator * rng.randrange(-50, 50) + denominator // 2]
        )
        for mode, name in modes.items():
            exact = context.divide(Decimal(numerator), Decimal(denominator))
            if mode != "down" and denominator > 10**9:
                exact = Decimal(Fraction(numerator, denominator).__floor__()) + context.divide(
                    Decimal(numerator % denominator), Decimal(denominator)
                )
            found = ROUNDINGS[mode](numerator, denominator)
            if 2 * (numerator % denominator) == denominator or denominator <= 10**9:
                assert found == int(exact.to_integral_value(name)), (mode, numerator, denominator)
            assert abs(Fraction(found) - Fraction(numerator, denominator)) <= (1 if mode == "down" else Fraction(1, 2))


def test_l24_shares_add_up_and_are_fair() -> None:
    rng = random.Random(3)
    for _ in range(3_000):
        weights = [rng.choice([0, 1, 2, 3, 10, rng.randrange(10**9)]) for _ in range(rng.randrange(1, 12))]
        if not any(weights):
            continue
        amount = rng.choice([0, 1, -1, 7, 100, -100, rng.randrange(-(10**12), 10**12)])
        parts = share(amount, weights)
        assert sum(parts) == amount
        for part, weight in zip(parts, weights, strict=True):
            assert abs(Fraction(part) - Fraction(amount * weight, sum(weights))) < 1
            assert weight or not part
        assert share(-amount, weights) == [-part for part in parts]


@pytest.mark.parametrize(
    ("count", "start", "end", "wanted"),
    [
        ("act_360", "2024-01-31", "2024-03-31", (60, 360)), ("act_365", "2023-01-31", "2024-01-31", (365, 365)),
        ("thirty_360", "2024-01-31", "2024-03-31", (60, 360)), ("thirty_360", "2024-02-29", "2024-03-31", (31, 360)),
        ("thirty_360", "2024-01-30", "2024-02-28", (28, 360)), ("act_360", "2024-03-01", "2024-02-01", (-29, 360)),
        ("thirty_360", "0001-01-01", "9999-12-31", (3_599_639, 360)),
    ],
)  # fmt: skip
def test_l25_day_counts(count: str, start: str, end: str, wanted: tuple[int, int]) -> None:
    assert days_of_count(count, start, end) == wanted


def test_k38_records_are_given_by_name_once() -> None:
    head = "contract c version 1\nrecord Rec: a: int, b: int\nquery q() -> Rec:\n    return "
    for body, code in (
        ("Rec(a = 1, a = 2, b = 3)", "duplicate"), ("Rec(1, 2)", "arguments"), ("Rec(a = 1, b = 2, c = 3)", "arguments"),
        ("Rec(a = 1, 2)", "arguments"), ("Rec()", "arguments"), ("Rec", "wrong_type"),
    ):  # fmt: skip
        with pytest.raises(SourceError) as caught:
            load((head + body + "\n").encode(), {}, CURRENCIES)
        assert caught.value.code == code, body


def test_l41_readers_are_told_to_the_node() -> None:
    text = """contract c version 1
table One key id: int:
    a: party, b: party
    readers b, a
table Two key id: int:
    a: party
    readers everyone
table Three key id: int:
    a: party
"""
    tables = load(text.encode(), {}, CURRENCIES).interface.tables
    assert [tables[name].readers for name in ("One", "Two", "Three")] == [("b", "a"), (), None]


def test_records_of_another_contract() -> None:
    first = b"""contract first version 1
enum Kind: a, b
record Part: kind: Kind, n: int
query parts() -> list(Part, 2):
    return [Part(kind = Kind.a, n = 1), Part(kind = Kind.b, n = 2)]
query total(parts_of: list(Part, 2)) -> int:
    var found = 0
    for part in parts_of:
        found += part.n
    return found
"""
    second = b"""contract second version 1
uses first@1
record Outer: part: first.Part, owner: party
query q(p: party) -> Outer:
    let both = first.parts()
    return Outer(part = first.Part(kind = first.Kind.b, n = first.total(both)), owner = p)
"""
    linked = program([("first", first), ("second", second)], CURRENCIES)
    outcome = linked.query("second", "q", (ACME,), DictHost(), GAS)
    assert outcome.result == (("b", 3), ACME)
    assert same(outcome, reference_of(linked, CURRENCIES), ("second", "q", (ACME,), False), DictHost()) == ""
