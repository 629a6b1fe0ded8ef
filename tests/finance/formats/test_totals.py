"""One totals function, exact between its roundings (F14-F17)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from finance.model import Adjustment, Line
from finance.totals import Tax, Taxed, compute, line_net, percentage, split, to_minor
from ledger.money import Money


def test_f16_two_stacked_taxes() -> None:
    rates = tuple(Tax(category="S", rate=Decimal(rate)) for rate in ("5", "9.975"))
    done = compute("CAD", [Taxed(net=Money(14000, "CAD"), taxes=rates)])
    assert [group.tax.minor for group in done.groups] == [700, 1397]
    assert done.totals.gross == Money(16097, "CAD")


def test_f15_tax_is_rounded_by_group_never_by_line() -> None:
    tax = (Tax(category="S", rate=Decimal(19)),)
    lines = [Taxed(net=Money(13, "EUR"), taxes=tax)] * 10  # 2.47 each, 24.7 together
    assert compute("EUR", lines).totals.tax == Money(25, "EUR")


def test_f15_every_part_of_the_payable_amount() -> None:
    tax = (Tax(category="S", rate=Decimal(20)),)
    done = compute(
        "EUR",
        [Taxed(net=Money(1000, "EUR"), taxes=tax)],
        allowances=[Taxed(net=Money(100, "EUR"), taxes=tax)],
        charges=[Taxed(net=Money(50, "EUR"), taxes=tax)],
        prepaid=Money(200, "EUR"),
        rounding=Money(-1, "EUR"),
    )
    totals = done.totals
    assert (totals.net.minor, totals.tax.minor, totals.gross.minor, totals.payable.minor) == (950, 190, 1140, 939)


def test_f14_line_net_divides_by_the_base_quantity_and_rounds_once() -> None:
    off = Adjustment(charge=False, amount=Money(1, "EUR"))
    line = Line(
        id="1",
        net=Money(0, "EUR"),
        quantity=Decimal("1500"),
        price=Decimal("12.35"),
        base_quantity=Decimal("100"),
        adjustments=(off,),
    )
    assert line_net(line) == Money(18524, "EUR")


def test_f14_long_decimals_do_not_lose_digits() -> None:
    """Thirty-five digits times thirty-five digits is beyond any decimal context."""
    number = Decimal("99999.99999999999999999999")
    line = Line(id="1", net=Money(0, "EUR"), quantity=number, price=number)
    exact = Fraction(number) ** 2 * 100
    assert line_net(line) == Money(round(exact), "EUR")


@given(st.integers(-(10**12), 10**12), st.integers(0, 10_000))
def test_f14_percentages_are_symmetric_about_zero(minor: int, rate: int) -> None:
    percent = Decimal(rate).scaleb(-2)
    assert percentage(Money(-minor, "EUR"), percent) == -percentage(Money(minor, "EUR"), percent)


def test_f14_half_goes_away_from_zero() -> None:
    assert [to_minor(Fraction(n, 1000), "EUR").minor for n in (5, -5, 4, 15)] == [1, -1, 0, 2]
    assert to_minor(Fraction(3, 2), "JPY").minor == 2


@given(st.integers(-(10**9), 10**9), st.lists(st.integers(0, 1000), min_size=1, max_size=20))
def test_f17_parts_add_up_and_stay_within_one_unit(total: int, weights: list[int]) -> None:
    parts = split(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        if whole:
            assert abs(Fraction(part) - Fraction(total * weight, whole)) < 1
