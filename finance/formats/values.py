"""Text from outside becomes a value here and nowhere else (X45, S15).

Rules
    * ASCII full match with a bounded length *before* any conversion: no exponents, no `-0`, no other scripts.
    * Dates have fixed formats and years 1900..2199.
    * Text is NFC, without control characters and bidirectional overrides, and cut to its bound (X47, X48).
    * A refusal is a `BadValue` with a message key; the reader adds rule, field and place.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from decimal import Decimal
from typing import Final

from ledger.money import Money

_AMOUNT: Final = re.compile(r"(-?)(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,6}))?")
_LONG: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,20})?")
_RATE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,3})(?:\.[0-9]{1,10})?")
_ISO_DATE: Final = re.compile(r"((?:19|20|21)[0-9]{2})-([0-9]{2})-([0-9]{2})")
_PLAIN_DATE: Final = re.compile(r"((?:19|20|21)[0-9]{2})([0-9]{2})([0-9]{2})")
_ZONE: Final = re.compile(r"Z|[+-][0-9]{2}:[0-9]{2}")
_TIME: Final = re.compile(r"[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})")
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_NUMBER_MAX: Final = 40
"""Characters of any number: sign, 15 digits, point and 20 decimals fit."""


class BadValue(ValueError):
    """A text is not a value of its kind. `message` is the message key, `values` what the message shows."""

    def __init__(self, message: str, **values: str) -> None:
        super().__init__(message)
        self.message = message
        self.values = values


def excerpt(text: str, limit: int = 60) -> str:
    """Return `text` fit to be shown: one line, printable, at most `limit` characters."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def amount(text: str, ccy: str, exponent: int) -> Money:
    """Return the amount of `text` in minor units; decimals beyond the currency must be zeros.

    >>> amount("100.5", "EUR", 2), amount("7.100", "EUR", 2)
    (Money(minor=10050, ccy='EUR'), Money(minor=710, ccy='EUR'))
    """
    match = _AMOUNT.fullmatch(text) if len(text) <= _NUMBER_MAX else None
    if match is None:
        raise BadValue("bad_amount", text=excerpt(text))
    sign, whole, fraction = match.group(1), match.group(2), match.group(3) or ""
    if fraction[exponent:].strip("0"):
        raise BadValue("too_many_decimals", text=text, ccy=ccy, decimals=str(exponent))
    minor = int(whole + fraction[:exponent].ljust(exponent, "0"))
    if sign and not minor:
        raise BadValue("minus_zero", text=text)
    return Money(-minor if sign else minor, ccy)


def quantity(text: str) -> Decimal:
    """Return a quantity or price: at most 15 digits and 20 decimals, exact."""
    return _decimal(text, _LONG, "bad_quantity")


def rate(text: str) -> Decimal:
    """Return a percentage: at most 4 digits and 10 decimals, exact."""
    return _decimal(text, _RATE, "bad_rate")


def _decimal(text: str, form: re.Pattern[str], message: str) -> Decimal:
    if len(text) > _NUMBER_MAX or form.fullmatch(text) is None:
        raise BadValue(message, text=excerpt(text))
    value = Decimal(text)
    if text[0] == "-" and not value:
        raise BadValue("minus_zero", text=text)
    return value


def iso_date(text: str) -> tuple[str, bool]:
    """Return the ISO date of `text` and whether a time zone was dropped from it."""
    head, tail = text[:10], text[10:]
    if len(text) > 16 or (tail and _ZONE.fullmatch(tail) is None):
        raise BadValue("bad_date", text=excerpt(text))
    return _date(head, _ISO_DATE, text), bool(tail)


def plain_date(text: str) -> str:
    """Return the ISO date of a `YYYYMMDD` text (format 102)."""
    return _date(text, _PLAIN_DATE, text)


def date_and_time(text: str) -> tuple[str, str]:
    """Return (ISO date, time or "") of `YYYY-MM-DD` with or without a time behind a space or `T`."""
    head, tail = text[:10], text[10:19]
    match = _TIME.fullmatch(tail) if tail and len(text) == 19 else None
    if len(text) != 10 and match is None:
        raise BadValue("bad_date", text=excerpt(text))
    return _date(head, _ISO_DATE, text), match.group(1) if match else ""


def _date(head: str, form: re.Pattern[str], text: str) -> str:
    match = form.fullmatch(head)
    if match is None:
        raise BadValue("bad_date", text=excerpt(text))
    year, month, day = (int(part) for part in match.groups())
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        raise BadValue("no_such_day", text=excerpt(text)) from None


def clean(text: str, limit: int) -> tuple[str, str]:
    """Return `text` for the model and the message key of what was changed, `""` if nothing was.

    Runs of white space become one space; line breaks stay where there are any.
    """
    over = len(text) > 8 * limit
    if over:  # no work on megabytes of which a few thousand characters stay
        text = text[: 8 * limit]
    lines = [" ".join(line.split()) for line in text.strip().splitlines()]
    plain = "\n".join(line for line in lines if line)
    normal = unicodedata.normalize("NFC", plain)
    kept = "".join(c for c in normal if c == "\n" or (c not in _BIDI and unicodedata.category(c) != "Cc"))
    problem = "characters_removed" if kept != normal else ""
    if over or len(kept) > limit:
        return kept[:limit], "text_cut"
    return kept, problem
