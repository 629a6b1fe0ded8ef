"""CPython as an oracle for integers, texts and dates: what a program answers is what Python answers, or a named abort.

`decimal` is the oracle for rounding, in tests/contracts/test_hostile_values.py (K31).
"""

from __future__ import annotations

import datetime
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.runtime import program
from tests.language.hosts import CURRENCIES, GAS, DictHost

MOST = 2**63 - 1
SOURCE = b"""contract oracle version 1
query add(a: int, b: int) -> int:
    return a + b
query sub(a: int, b: int) -> int:
    return a - b
query mul(a: int, b: int) -> int:
    return a * b
query quotient(a: int, b: int) -> int:
    return floor_div(a, b)
query rest(a: int, b: int) -> int:
    return mod(a, b)
query least(a: int, b: int) -> int:
    return min(a, b)
query size(a: int) -> int:
    return abs(a)
query below(a: int, b: int) -> bool:
    return a < b
query far(a: int, b: int, c: int) -> int:
    return floor_div(a * b, c)
query before(a: text(40), b: text(40)) -> bool:
    return a < b
query joined(a: text(40), b: text(40)) -> text(90):
    return "{a}-{b}"
query apart(a: date, b: date) -> int:
    return days_between(a, b)
query later(a: date, n: int) -> date:
    return a + n days
"""
LINKED = program([("oracle", SOURCE)], CURRENCIES)
INTS = st.one_of(st.integers(-MOST, MOST), st.integers(-9, 9), st.sampled_from([MOST, -MOST, 2**31, -(2**32)]))
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x24F, exclude_categories=["C"]), max_size=40)
DAYS = st.dates(datetime.date(1, 1, 1), datetime.date(9999, 12, 31))


def ask(method: str, *args: Any) -> Any:
    """Return the result of a query, or the code of its abort."""
    outcome = LINKED.query("oracle", method, args, DictHost(), GAS)
    return outcome.result if outcome.abort is None else outcome.abort.code


def stored(value: int) -> Any:
    return value if -MOST <= value <= MOST else "overflow"


@settings(max_examples=300, deadline=None)
@given(INTS, INTS)
@example(-MOST, -1)
@example(MOST, MOST)
def test_l20_integers_are_those_of_python(a: int, b: int) -> None:
    assert ask("add", a, b) == stored(a + b)
    assert ask("sub", a, b) == stored(a - b)
    assert ask("mul", a, b) == stored(a * b)
    assert ask("quotient", a, b) == (stored(a // b) if b else "divide_by_zero")
    assert ask("rest", a, b) == (a % b if b else "divide_by_zero")
    assert (ask("least", a, b), ask("size", a), ask("below", a, b)) == (min(a, b), abs(a), a < b)


@settings(max_examples=200, deadline=None)
@given(INTS, INTS, INTS)
def test_l20_what_is_between_is_exact(a: int, b: int, c: int) -> None:
    """A product of 126 bits stands inside an expression; only its quotient has to fit."""
    assert ask("far", a, b, c) == (stored(a * b // c) if c else "divide_by_zero")


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS)
def test_texts_order_by_code_point(a: str, b: str) -> None:
    assert ask("before", a, b) == (a < b)
    assert ask("joined", a, b) == f"{a}-{b}"


@settings(max_examples=200, deadline=None)
@given(DAYS, DAYS, st.integers(-4_000_000, 4_000_000))
def test_l25_dates_are_those_of_python(a: datetime.date, b: datetime.date, n: int) -> None:
    assert ask("apart", a.isoformat(), b.isoformat()) == (b - a).days
    inside = 1 <= a.toordinal() + n <= datetime.date.max.toordinal()
    wanted = (a + datetime.timedelta(days=n)).isoformat() if inside else "date_range"
    assert ask("later", a.isoformat(), n) == wanted
