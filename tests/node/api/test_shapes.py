"""How values look in JSON (U24)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.amounts import parse_rate
from node.api.shapes import rate, typed


@dataclass(frozen=True)
class Declared:
    name: str
    type: str


@pytest.mark.parametrize(
    ("parts", "places", "shown"),
    [(750, 4, "7.50%"), (-750, 4, "-7.50%"), (0, 2, "0%"), (5, 1, "50%"), (2, 0, "200%"), (1, 6, "0.0001%")],
)
def test_a_rate_is_shown_in_percent(parts: int, places: int, shown: str) -> None:
    assert rate(parts, places) == shown


@given(st.integers(-(10**8), 10**8), st.integers(2, 9))
def test_a_rate_that_is_shown_can_be_typed_again(parts: int, places: int) -> None:
    assert parse_rate(rate(parts, places), places) == parts


def test_values_follow_their_declared_types_with_or_without_a_value() -> None:
    fields = [
        Declared("open", "money?"),
        Declared("payer", "party?"),
        Declared("yearly", "rate(4)?"),
        Declared("n", "int"),
    ]
    company = "c" + "a" * 26
    shown = typed(fields, {"open": ["EUR", 123], "payer": company, "yearly": 800, "n": 800}, {"EUR": 2}, {company: "A"})
    assert shown == {
        "open": {"amount": "1.23", "currency": "EUR"},
        "payer": {"id": company, "name": "A"},
        "yearly": "8.00%",
        "n": 800,
    }
    assert set(typed(fields, dict.fromkeys(("open", "payer", "yearly")), {}, {}).values()) == {None}
