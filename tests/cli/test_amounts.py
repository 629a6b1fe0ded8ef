"""Amounts, dates and arguments as people type them (U15)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.amounts import parse_amount, parse_argument, parse_date, parse_rate, show_amount
from cli.exit_codes import Exit
from cli.failure import CommandFailed

CURRENCIES = {"EUR": 2, "JPY": 0, "KWD": 3}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1234.50 EUR", ["EUR", 123450]),
        ("EUR 1234.5", ["EUR", 123450]),
        ("1234EUR", ["EUR", 123400]),
        (" 0.01 EUR ", ["EUR", 1]),
        ("-0.50 EUR", ["EUR", -50]),
        ("5 JPY", ["JPY", 5]),
        ("1.234 KWD", ["KWD", 1234]),
        ("1.500000 EUR", ["EUR", 150]),
    ],
)
def test_an_amount_is_currency_and_minor_units(text: str, wanted: list[object]) -> None:
    assert parse_amount(text, CURRENCIES) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "1234.50", "EUR", "1.005 EUR", "1.5 JPY", "1,234.50 EUR", "1.234,50 EUR", "1e3 EUR", "٣ EUR", "0x10 EUR",
     "01 EUR", "1 eur", "1 USD", "1.0000000 EUR", "NaN EUR", "9999999999999999 EUR", "1 EUR 2 EUR", "--1 EUR"],
)  # fmt: skip
def test_what_could_mean_two_things_is_no_amount(text: str) -> None:
    with pytest.raises(CommandFailed) as refused:
        parse_amount(text, CURRENCIES)
    assert refused.value.code is Exit.USAGE and refused.value.next_step


@given(st.sampled_from(sorted(CURRENCIES)), st.integers(-(10**12), 10**12))
def test_what_is_shown_reads_back_to_the_same_minor_units(currency: str, minor: int) -> None:
    shown = show_amount([currency, minor], CURRENCIES)
    assert parse_amount(shown.replace(",", ""), CURRENCIES) == [currency, minor]


def test_u15_amounts_are_grouped_and_the_currency_follows() -> None:
    assert show_amount({"amount": "1234567.50", "currency": "EUR"}, {}) == "1,234,567.50 EUR"
    assert show_amount(["JPY", -1234], CURRENCIES) == "-1,234 JPY"
    assert show_amount(["EUR", -5], CURRENCIES) == "-0.05 EUR"


@pytest.mark.parametrize("text", ["2026-02-30", "2026-4-1", "20260401", "01.04.2026", "today", "2026-04-01T00:00", ""])
def test_only_a_day_of_the_calendar_is_a_date(text: str) -> None:
    with pytest.raises(CommandFailed) as refused:
        parse_date(text)
    assert refused.value.code is Exit.USAGE and repr(text) in refused.value.text
    assert parse_date("2024-02-29") == "2024-02-29"


def test_arguments_take_the_type_of_the_contract() -> None:
    assert parse_argument("-5", "int", CURRENCIES) == -5
    assert parse_argument("true", "bool", CURRENCIES) is True
    assert parse_argument("1 EUR", "money", CURRENCIES) == ["EUR", 100]
    assert parse_argument("2026-04-01", "date", CURRENCIES) == "2026-04-01"
    assert parse_argument("01", "text(40)", CURRENCIES) == "01"
    for text, kind in (("1.5", "int"), ("007", "int"), ("yes", "bool"), ("1", "money"), ("soon", "date")):
        with pytest.raises(CommandFailed):
            parse_argument(text, kind, CURRENCIES)


@pytest.mark.parametrize(
    ("text", "places", "parts"),
    [("7.5%", 4, 750), ("0.075", 4, 750), ("-0.5%", 4, -50), ("100%", 4, 10_000), ("250%", 4, 25_000), ("12", 2, 1200),
     ("0%", 6, 0), ("0.0750%", 6, 750), ("3", 0, 3)],
)  # fmt: skip
def test_a_rate_is_a_whole_number_of_its_smallest_parts(text: str, places: int, parts: int) -> None:
    assert parse_rate(text, places) == parts
    assert parse_argument(text, f"rate({places})", CURRENCIES) == parts


@pytest.mark.parametrize("text", ["", "%", "7,5%", "0.00001", "1e2", "٣%", "07%", ".5", "5 %", "7.5%%", "+1%"])
def test_what_is_no_rate_of_four_places_is_refused(text: str) -> None:
    with pytest.raises(CommandFailed) as refused:
        parse_rate(text, 4)
    assert refused.value.code is Exit.USAGE and refused.value.next_step


def test_an_optional_argument_may_be_none() -> None:
    assert parse_argument("none", "date?", CURRENCIES) is None
    assert parse_argument("2026-03-31", "date?", CURRENCIES) == "2026-03-31"
    assert parse_argument("8%", "rate(4)?", CURRENCIES) == 800
