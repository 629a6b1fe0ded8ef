"""Months, weekdays and monthly dates against `datetime` (L25, L53)."""

from __future__ import annotations

import calendar as months
import datetime

from hypothesis import given
from hypothesis import strategies as st

from contracts.calendar import add_months, end_of_month, next_monthly, weekday

DATES = st.dates(datetime.date(1, 1, 1), datetime.date(9999, 12, 31))


@given(DATES)
def test_l25_the_end_of_a_month_and_the_weekday(day: datetime.date) -> None:
    last = day.replace(day=months.monthrange(day.year, day.month)[1])
    assert end_of_month(day.isoformat()) == last.isoformat()
    assert weekday(day.isoformat()) == day.isoweekday()


@given(DATES, st.integers(-(2**63 - 1), 2**63 - 1) | st.integers(-400, 400))
def test_l25_months_later_or_the_last_day(day: datetime.date, count: int) -> None:
    year, month = divmod(day.year * 12 + day.month - 1 + count, 12)
    wanted = None
    if 1 <= year <= 9999:
        wanted = datetime.date(year, month + 1, min(day.day, months.monthrange(year, month + 1)[1])).isoformat()
    assert add_months(day.isoformat(), count) == wanted


@given(DATES, st.integers(1, 31))
def test_l53_the_next_day_of_a_month(day: datetime.date, wanted: int) -> None:
    found = next_monthly(day.toordinal() - 1, wanted)
    later = day
    while later < datetime.date.max:
        later += datetime.timedelta(days=1)
        if later.day == min(wanted, months.monthrange(later.year, later.month)[1]):
            assert found == later.isoformat()
            return
    assert found is None
