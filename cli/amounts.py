"""Amounts, dates and arguments as people type them (U15): `1234.50 EUR`, `2026-03-31`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from cli.exit_codes import Exit
from cli.failure import CommandFailed
from ledger.money import format_minor

_AMOUNT: Final = re.compile(r"(-?(?:0|[1-9][0-9]{0,14}))(?:\.([0-9]{1,6}))?[ ]?([A-Z]{3})", re.ASCII)
_AMOUNT_FRONT: Final = re.compile(r"([A-Z]{3})[ ]?(-?(?:0|[1-9][0-9]{0,14}))(?:\.([0-9]{1,6}))?", re.ASCII)

_RATE: Final = re.compile(r"(-?)(0|[1-9][0-9]{0,8})(?:\.([0-9]{1,14}))?(%?)", re.ASCII)


def parse_amount(text: str, currencies: Mapping[str, int]) -> list[Any]:
    """Return `[currency, minor units]` of `1234.50 EUR` or `EUR 1234.50`; refuse what the currency cannot hold."""
    trailing, leading = _AMOUNT.fullmatch(text.strip()), _AMOUNT_FRONT.fullmatch(text.strip())
    if trailing is not None:
        whole, decimals, currency = trailing.groups()
    elif leading is not None:
        currency, whole, decimals = leading.groups()
    else:
        raise CommandFailed(Exit.USAGE, f"{text!r} is no amount", "write it like 1234.50 EUR")
    if currency not in currencies:
        known = ", ".join(sorted(currencies))
        raise CommandFailed(Exit.USAGE, f"{currency} is not a currency of this network", f"known are {known}")
    exponent = currencies[currency]
    digits = (decimals or "").ljust(exponent, "0")
    if digits[exponent:].strip("0"):
        raise CommandFailed(Exit.USAGE, f"{text!r} has more decimals than {currency} ({exponent})", "round it first")
    minor = int(whole.lstrip("-") + digits[:exponent])
    return [currency, -minor if whole.startswith("-") else minor]


def show_amount(value: Any, currencies: Mapping[str, int]) -> str:
    """Return `1,234.50 EUR` of `[currency, minor]` or of the API's `{"amount", "currency"}`."""
    if isinstance(value, Mapping):
        return f"{_grouped(str(value['amount']))} {value['currency']}"
    currency, minor = value
    return f"{_grouped(format_minor(minor, currencies.get(currency, 2)))} {currency}"


def parse_date(text: str) -> str:
    """Return the ISO date; refuse anything else."""
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise CommandFailed(Exit.USAGE, f"{text!r} is no date", "write it like 2026-03-31")


def parse_rate(text: str, places: int) -> int:
    """Return a rate as the whole number of its smallest parts: `7.5%` or `0.075` with four places are 750.

    >>> parse_rate("7.5%", 4), parse_rate("-0.075", 4)
    (750, -750)
    """
    found = _RATE.fullmatch(text)
    if found is None:
        raise CommandFailed(Exit.USAGE, f"{text!r} is no rate", "write it like 7.5% or 0.075")
    sign, whole, decimals, percent = found.groups()
    if percent:  # two places to the left
        padded = whole.rjust(3, "0")
        whole, decimals = padded[:-2], padded[-2:] + (decimals or "")
    digits = (decimals or "").ljust(places, "0")
    if digits[places:].strip("0"):
        raise CommandFailed(Exit.USAGE, f"{text!r} has more than {places} decimals", "round it first")
    parts = int(whole + digits[:places])
    return -parts if sign else parts


def parse_argument(text: str, kind: str, currencies: Mapping[str, int]) -> Any:
    """Return a contract argument in wire form; `kind` is the type in the contract's text."""
    if kind.endswith("?"):
        return None if text == "none" else parse_argument(text, kind[:-1], currencies)
    base = kind.split("(", 1)[0]
    if base == "rate":
        return parse_rate(text, int(kind[len("rate(") : -1]))
    if base == "int":
        if not re.fullmatch(r"-?(0|[1-9][0-9]{0,18})", text, re.ASCII):
            raise CommandFailed(Exit.USAGE, f"{text!r} is no whole number", "write digits only")
        return int(text)
    if base == "bool":
        if text not in ("true", "false"):
            raise CommandFailed(Exit.USAGE, f"{text!r} is neither true nor false", "")
        return text == "true"
    if base == "money":
        return parse_amount(text, currencies)
    if base == "date":
        return parse_date(text)
    return text


def _grouped(text: str) -> str:
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, dot, decimals = digits.partition(".")
    return f"{sign}{int(whole):,}{dot}{decimals}"
