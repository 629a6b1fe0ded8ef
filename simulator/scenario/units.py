"""Durations, bandwidths, shares and rates as people write them, in exact integers."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from simulator.errors import InvalidScenario
from simulator.rng import PPM

_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}
_BITS = {"bit": 1, "kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9}
_NUMBER_UNIT = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)([A-Za-z]+)")


def duration_ns(text: str, field: str) -> int:
    """Return nanoseconds of `5m`, `1.5s`, `250ms`, `-10s`; also sums like `1m30s`."""
    total = Decimal(0)
    rest = text.strip()
    while rest:
        match = _NUMBER_UNIT.match(rest)
        if match is None or match[2] not in _NS:
            raise InvalidScenario(field, f"{text!r} is not a duration such as 250ms, 1.5s, 5m or 2h")
        total += Decimal(match[1]) * _NS[match[2]]
        rest = rest[match.end() :]
    if not text.strip():
        raise InvalidScenario(field, "a duration such as 250ms, 1.5s, 5m or 2h is needed")
    return int(total)


def duration_text(ns: int) -> str:
    """Return the shortest exact form in one unit."""
    for unit in ("d", "h", "m", "s", "ms", "us"):
        if ns and ns % _NS[unit] == 0:
            return f"{ns // _NS[unit]}{unit}"
    return f"{ns}ns" if ns else "0s"


def bandwidth_bits(text: str, field: str) -> int:
    """Return bits per second of `100Mbit`."""
    match = _NUMBER_UNIT.fullmatch(text.strip())
    if match is None or match[2] not in _BITS or Decimal(match[1]) <= 0:
        raise InvalidScenario(field, f"{text!r} is not a bandwidth such as 100Mbit or 1Gbit")
    return int(Decimal(match[1]) * _BITS[match[2]])


def ppm(share: Decimal | int, field: str) -> int:
    """Return parts per million of a share between 0 and 1."""
    try:
        value = Decimal(share)
    except InvalidOperation:
        raise InvalidScenario(field, f"{share!r} is not a share between 0 and 1") from None
    if not 0 <= value <= 1:
        raise InvalidScenario(field, f"{share} is not between 0 and 1")
    return int(value * PPM)
