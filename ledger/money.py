"""Money is an integer count of minor units and a currency. No float and no decimal touches it (F13).

Exponents come from the currency table of the ledger (genesis), not from this file; `MINOR_MAX` bounds
every stored amount so that negation never overflows (contracts L19).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ledger.errors import CurrencyMismatch

MINOR_MAX: Final = 2**63 - 1
"""Largest magnitude of an amount in minor units."""

CurrencyTable = Mapping[str, int]
"""Currency code -> number of decimals, sorted by code. Lives in the genesis document (F13)."""

ISO_4217: Final[CurrencyTable] = MappingProxyType(
    {
        "AUD": 2, "BGN": 2, "BHD": 3, "BRL": 2, "CAD": 2, "CHF": 2, "CNY": 2, "CZK": 2, "DKK": 2, "EUR": 2,
        "GBP": 2, "HKD": 2, "HUF": 2, "IDR": 2, "ILS": 2, "INR": 2, "ISK": 0, "JOD": 3, "JPY": 0, "KRW": 0,
        "KWD": 3, "MOP": 2, "MXN": 2, "MYR": 2, "NOK": 2, "NZD": 2, "OMR": 3, "PHP": 2, "PLN": 2, "RON": 2,
        "RSD": 2, "SEK": 2, "SGD": 2, "THB": 2, "TND": 3, "TRY": 2, "TWD": 2, "UAH": 2, "USD": 2, "VND": 0,
        "ZAR": 2,
    }
)  # fmt: skip
"""Default table offered to a new genesis (ISO 4217 list one, exponents)."""


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An exact amount. Adding or comparing two currencies raises `CurrencyMismatch`."""

    minor: int
    ccy: str

    def _same(self, other: Money) -> None:
        if self.ccy != other.ccy:
            raise CurrencyMismatch(f"{self.ccy} and {other.ccy} cannot meet in one sum or comparison")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor + other.minor, self.ccy)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor - other.minor, self.ccy)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.ccy)

    def __lt__(self, other: Money) -> bool:
        self._same(other)
        return self.minor < other.minor

    def __le__(self, other: Money) -> bool:
        self._same(other)
        return self.minor <= other.minor


def format_minor(minor: int, exponent: int) -> str:
    """Return `minor` with exactly `exponent` decimals and no grouping: (-1250, 2) -> '-12.50'.

    >>> format_minor(-1250, 2), format_minor(7, 0), format_minor(5, 3)
    ('-12.50', '7', '0.005')
    """
    sign, digits = ("-", str(-minor)) if minor < 0 else ("", str(minor))
    if exponent == 0:
        return sign + digits
    digits = digits.rjust(exponent + 1, "0")
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}"


def div_half_up(numerator: int, denominator: int) -> int:
    """Return numerator / denominator rounded half away from zero (F14); denominator > 0.

    >>> [div_half_up(n, 2) for n in (-3, -1, 1, 3, 4)]
    [-2, -1, 1, 2, 2]
    """
    quotient, rest = divmod(abs(numerator), denominator)
    if 2 * rest >= denominator:
        quotient += 1
    return -quotient if numerator < 0 else quotient
