"""Months and weekdays of dates, which are ISO texts inside (L25). None: the date would be outside."""

from __future__ import annotations

from contracts.values import date_text, day_of


def end_of_month(iso: str) -> str:
    """Return the last day of the month of a date.

    >>> end_of_month("2024-02-03"), end_of_month("9999-12-01")
    ('2024-02-29', '9999-12-31')
    """
    month = iso[5:7]
    if month != "02":
        return iso[:8] + ("30" if month in ("04", "06", "09", "11") else "31")
    year = int(iso[:4])
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return iso[:8] + ("29" if leap else "28")


def add_months(iso: str, months: int) -> str | None:
    """Return the same day `months` later, or the last day of a shorter month; None outside the calendar.

    >>> add_months("2024-01-31", 1), add_months("2026-03-31", -1), add_months("9999-12-01", 1)
    ('2024-02-29', '2026-02-28', None)
    """
    month = int(iso[:4]) * 12 + int(iso[5:7]) - 1 + months
    if not 12 <= month < 120_000:
        return None
    prefix = f"{month // 12:04d}-{month % 12 + 1:02d}-"
    if iso[8:] < "29":
        return prefix + iso[8:]
    return min(prefix + iso[8:], end_of_month(prefix))


def weekday(iso: str) -> int:
    """Return 1 for Monday to 7 for Sunday; 0001-01-01 was a Monday."""
    return day_of(iso) % 7 + 1


def next_monthly(after: int, day: int) -> str | None:
    """Return the first date later than day number `after` that is day `day` of its month, or the last one there."""
    iso = date_text(after)
    for step in (0, 1):
        first = add_months(iso[:8] + "01", step)
        if first is None:
            return None
        found = min(first[:8] + f"{day:02d}", end_of_month(first))
        if day_of(found) > after:
            return found
    return None
