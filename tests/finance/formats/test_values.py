"""Numbers, dates and texts from outside (X45, X47, X48, S15)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finance.formats import values
from finance.formats.values import BadValue
from finance.model import decimal_text
from ledger.money import Money, format_minor


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("0", 0),
        ("100", 10000),
        ("100.5", 10050),
        ("-0.01", -1),
        ("1.990000", 199),
        ("999999999999999.99", 99999999999999999),
    ],
)
def test_x45_amounts(text: str, minor: int) -> None:
    assert values.amount(text, "EUR", 2) == Money(minor, "EUR")


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1\n", "+1", "01", "1.", ".5", "1e3", "1E3", "-0", "-0.00", "1,00", "1 000", "0x1", "NaN", "Infinity",
     "1.0000000", "1000000000000000", "١٢", "１", "1.001", "1.009999", "9" * 1_000_000],
)  # fmt: skip
def test_s15_refused_amounts(text: str) -> None:
    with pytest.raises(BadValue):
        values.amount(text, "EUR", 2)


def test_f13_decimals_follow_the_currency() -> None:
    assert values.amount("1.005", "KWD", 3) == Money(1005, "KWD")
    assert values.amount("7.00", "JPY", 0) == Money(7, "JPY")
    with pytest.raises(BadValue) as caught:
        values.amount("7.50", "JPY", 0)
    assert caught.value.message == "too_many_decimals"


@pytest.mark.parametrize("text", ["1E+5", "1" * 16, "0." + "1" * 21, "--1", "1_0", "inf", "٣", "-0", "1e3000000"])
def test_x45_refused_quantities(text: str) -> None:
    with pytest.raises(BadValue):
        values.quantity(text)


def test_x45_quantities_keep_their_digits() -> None:
    assert str(values.quantity("123456789012345.12345678901234567890")) == "123456789012345.12345678901234567890"


@given(st.integers(1 - 10**17, 10**17 - 1).filter(bool))
def test_amounts_survive_writing(minor: int) -> None:
    text = format_minor(minor, 2)
    assert values.amount(text, "EUR", 2).minor == minor


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**9), max_value=10**9))
def test_decimal_text_is_canonical(value: Decimal) -> None:
    text = decimal_text(value)
    assert Decimal(text) == value and "E" not in text
    if value:
        assert values.quantity(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29",
        "2026-13-01",
        "1899-12-31",
        "2200-01-01",
        "26-01-01",
        "2026-1-1",
        "2026-01-01T00:00:00",
        "2026-01-0١",
    ],
)
def test_x45_refused_dates(text: str) -> None:
    with pytest.raises(BadValue):
        values.iso_date(text)


def test_x45_dates() -> None:
    assert values.iso_date("2026-02-28") == ("2026-02-28", False)
    assert values.iso_date("2026-02-28Z") == ("2026-02-28", True)
    assert values.iso_date("2026-02-28+08:00") == ("2026-02-28", True)
    assert values.plain_date("20240229") == "2024-02-29"
    assert values.date_and_time("2026-03-05 09:12:44") == ("2026-03-05", "09:12:44")
    with pytest.raises(BadValue):
        values.date_and_time("2026-03-05 9:12")


def test_x47_x48_text() -> None:
    assert values.clean("  a \t b\n\n c ", 100) == ("a b\nc", "")
    assert values.clean("pay \N{RIGHT-TO-LEFT OVERRIDE}me\x07", 100) == ("pay me", "characters_removed")
    assert values.clean("e\N{COMBINING ACUTE ACCENT}", 100) == ("é", "")
    assert values.clean("x" * 5_000_000, 10) == ("x" * 10, "text_cut")
