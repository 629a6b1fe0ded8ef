"""The one totals function: entry, import check, list, detail and API all ask here (F16).

Rules
    * line net = round(quantity x price / base quantity) - line allowances + line charges
    * net = sum of lines - allowances + charges
    * tax of a (category, rate) group = round(sum of taxable x rate), never per line
    * gross = net + tax; payable = gross - prepaid + rounding amount                                   (F15)
    * Rounding is half away from zero to the minor unit and happens once, at the places above (F14). Between
      them everything is an exact fraction: the precision of a decimal context can never round silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from finance.model import Invoice, Line, TaxGroup, Totals
from ledger.money import ISO_4217, CurrencyTable, Money, div_half_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Tax:
    """A category (`S`) with its percentage; `rate` is None where the category has none (`O`)."""

    category: str
    rate: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taxed:
    """A net amount and the taxes on it: one in EN 16931, several where taxes are stacked (F16)."""

    net: Money
    taxes: tuple[Tax, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """Totals with the groups behind them, sorted by category, then rate."""

    totals: Totals
    groups: tuple[TaxGroup, ...]


def compute(
    ccy: str,
    lines: Iterable[Taxed],
    allowances: Iterable[Taxed] = (),
    charges: Iterable[Taxed] = (),
    *,
    prepaid: Money | None = None,
    rounding: Money | None = None,
) -> Computed:
    """Return the totals of a document in `ccy`. All amounts must be in that currency, else `CurrencyMismatch`.

    >>> net = Money(14000, "CAD")
    >>> gst, qst = Tax(category="S", rate=Decimal(5)), Tax(category="S", rate=Decimal("9.975"))
    >>> done = compute("CAD", [Taxed(net=net, taxes=(gst, qst))])
    >>> [group.tax.minor for group in done.groups], done.totals.gross.minor
    ([700, 1397], 16097)
    """
    zero = Money(0, ccy)
    sums = [zero, zero, zero]
    taxable: dict[tuple[str, Decimal | None], Money] = {}
    for place, entries in enumerate((lines, allowances, charges)):
        for entry in entries:
            sums[place] += entry.net
            for tax in entry.taxes:
                key = (tax.category, tax.rate)
                before = taxable.get(key, zero)
                taxable[key] = before - entry.net if place == 1 else before + entry.net
    groups = tuple(
        TaxGroup(category=category, rate=rate, taxable=base, tax=percentage(base, rate))
        for (category, rate), base in sorted(taxable.items(), key=lambda item: _order(item[0]))
    )
    line_sum, off, on = sums
    net = line_sum - off + on
    tax_sum = sum((group.tax for group in groups), zero)
    gross = net + tax_sum
    prepaid = prepaid if prepaid is not None else zero
    rounding = rounding if rounding is not None else zero
    totals = Totals(
        line_sum=line_sum,
        allowances=off,
        charges=on,
        net=net,
        tax=tax_sum,
        gross=gross,
        prepaid=prepaid,
        rounding=rounding,
        payable=gross - prepaid + rounding,
    )
    return Computed(totals=totals, groups=groups)


def recompute(invoice: Invoice) -> Computed:
    """Return what the lines, allowances and charges of `invoice` add up to, whatever its totals state."""

    def taxed(net: Money, category: str, rate: Decimal | None) -> Taxed:
        return Taxed(net=net, taxes=(Tax(category=category, rate=rate),) if category else ())

    return compute(
        invoice.currency,
        [taxed(line.net, line.category, line.rate) for line in invoice.lines],
        [taxed(a.amount, a.category, a.rate) for a in invoice.adjustments if not a.charge],
        [taxed(a.amount, a.category, a.rate) for a in invoice.adjustments if a.charge],
        prepaid=invoice.totals.prepaid,
        rounding=invoice.totals.rounding,
    )


def line_net(line: Line, currencies: CurrencyTable = ISO_4217) -> Money | None:
    """Return the net amount that quantity, price and adjustments of `line` give; None without quantity or price.

    A base quantity of zero divides nothing: the result is None as well.
    """
    if line.quantity is None or line.price is None or line.base_quantity == 0:
        return None
    base = Fraction(line.base_quantity) if line.base_quantity is not None else Fraction(1)
    product = Fraction(line.quantity) * Fraction(line.price) / base
    net = to_minor(product, line.net.ccy, currencies)
    for adjustment in line.adjustments:
        net = net + adjustment.amount if adjustment.charge else net - adjustment.amount
    return net


def percentage(amount: Money, rate: Decimal | None) -> Money:
    """Return `amount` x `rate` %, rounded half away from zero; no rate gives zero.

    >>> percentage(Money(-250, "EUR"), Decimal("21"))
    Money(minor=-53, ccy='EUR')
    """
    if rate is None:
        return Money(0, amount.ccy)
    exact = Fraction(rate) * amount.minor / 100
    return Money(div_half_up(exact.numerator, exact.denominator), amount.ccy)


def to_minor(value: Fraction, ccy: str, currencies: CurrencyTable = ISO_4217) -> Money:
    """Return an exact value in major units as money, rounded half away from zero."""
    scaled = value * 10 ** currencies[ccy]
    return Money(div_half_up(scaled.numerator, scaled.denominator), ccy)


def split(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Divide `total` minor units in proportion to `weights` >= 0 so that the parts add up to it (F17).

    Remainders go to the largest fractions, ties to the earlier part. All-zero weights count as equal ones.

    >>> split(100, (1, 1, 1)), split(-5, (1, 1)), split(7, (0, 0))
    ((34, 33, 33), (-3, -2), (4, 3))
    """
    if not weights:
        return ()
    whole = sum(weights)
    shares = tuple(weights) if whole else (1,) * len(weights)
    whole = whole or len(weights)
    size = abs(total)
    parts = [size * share // whole for share in shares]
    rest = size - sum(parts)
    order = sorted(range(len(shares)), key=lambda i: (-(size * shares[i] % whole), i))
    for index in order[:rest]:
        parts[index] += 1
    return tuple(-part if total < 0 else part for part in parts)


def _order(key: tuple[str, Decimal | None]) -> tuple[str, Decimal]:
    category, rate = key
    return category, rate if rate is not None else Decimal(-1)
