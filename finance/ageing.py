"""Ageing of receivables and payables as of any date (finance.md F70, F71).

Rules
    * A row is one partner and one currency. Its buckets hold the open amounts by days overdue; `credits` holds, as a
      negative amount, credit notes not used yet and amounts that came before their invoice.
    * `total` = buckets + credits, and all totals together are the balance of the control account (F71).
    * `disputed` says how much of the buckets is contested; the due date never moves for that (F35).
    * `unallocated` is money that came (or went) for no invoice yet. It stands on an account of its own.
Door: `ageing(rows, company, as_of, height=..., ledger=...)`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from finance.openitems import Ledger, OpenItem, Rows, days_between, open_credits, open_items, open_receipts
from finance.postings import Templates, default_templates

EDGES: Final = (0, 30, 60, 90, 180)
"""Last day of each bucket but the final one: not due, 1-30, 31-60, 61-90, 91-180, over 180 (RK3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeingRow:
    """Amounts in minor units of `currency`."""

    partner: str
    currency: str
    buckets: tuple[int, ...]
    credits: int
    """Zero or negative, except where a use of a credit is dated before the credit itself."""
    total: int
    disputed: int
    unallocated: int
    items: int
    """Open invoices in this row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ageing:
    """`rows` are sorted by (partner, currency); `totals` has one row per currency with an empty partner (F70)."""

    company: str
    ledger: Ledger
    as_of: str
    height: int
    account: str
    """The control account that the totals equal."""
    basis: str
    labels: tuple[str, ...]
    """Names of the buckets: `not_due`, `1-30`, ..., `>180`."""
    rows: tuple[AgeingRow, ...]
    totals: tuple[AgeingRow, ...]


def ageing(
    rows: Rows,
    company: str,
    as_of: str,
    *,
    height: int,
    ledger: Ledger = "receivable",
    basis: Literal["due", "issued"] = "due",
    edges: Sequence[int] = EDGES,
    templates: Templates | None = None,
) -> Ageing:
    """Return the ageing of one side of the company's books; `rows` are those of `finance.openitems`, at `height`.

    `edges` rise strictly; an item `n` days overdue lies in the first bucket whose edge is >= n.
    """
    if list(edges) != sorted(set(edges)) or not edges:
        raise ValueError(f"edges must rise strictly, got {list(edges)}")
    counted: dict[tuple[str, str], _Row] = {}

    def row_of(partner: str, currency: str) -> _Row:
        return counted.setdefault((partner, currency), _Row(len(edges) + 1))

    for item in open_items(rows, company, as_of):
        if item.ledger == ledger:
            row_of(item.partner, item.currency).add_item(item, basis, as_of, edges)
    for credit in open_credits(rows, company, as_of):
        if credit.ledger == ledger:
            row_of(credit.partner, credit.currency).credits -= credit.open
    for receipt in open_receipts(rows, company, as_of):
        if receipt.ledger == ledger:
            row_of(receipt.partner, receipt.currency).unallocated += receipt.open
    lines = tuple(row.frozen(partner, currency) for (partner, currency), row in sorted(counted.items()))
    return Ageing(
        company=company,
        ledger=ledger,
        as_of=as_of,
        height=height,
        account=(templates or default_templates()).control_account(ledger),
        basis=basis,
        labels=labels(edges),
        rows=lines,
        totals=_totals(lines, len(edges) + 1),
    )


def labels(edges: Sequence[int]) -> tuple[str, ...]:
    """Return the names of the buckets.

    >>> labels((0, 30, 60))
    ('not_due', '1-30', '31-60', '>60')
    """
    names = ["not_due" if edges[0] == 0 else f"<={edges[0]}"]
    names += [f"{low + 1}-{high}" for low, high in pairwise(edges)]
    return (*names, f">{edges[-1]}")


class _Row:
    def __init__(self, buckets: int) -> None:
        self.buckets = [0] * buckets
        self.credits = self.disputed = self.unallocated = self.items = 0

    def add_item(self, item: OpenItem, basis: str, as_of: str, edges: Sequence[int]) -> None:
        if item.open < 0:  # money or a credit came before the invoice was issued
            self.credits += item.open
            return
        days = item.days_overdue if basis == "due" else days_between(item.issued, as_of)
        self.buckets[bisect_left(edges, days)] += item.open
        self.disputed += item.disputed
        self.items += 1

    def frozen(self, partner: str, currency: str) -> AgeingRow:
        return AgeingRow(
            partner=partner,
            currency=currency,
            buckets=tuple(self.buckets),
            credits=self.credits,
            total=sum(self.buckets) + self.credits,
            disputed=self.disputed,
            unallocated=self.unallocated,
            items=self.items,
        )


def _totals(rows: Sequence[AgeingRow], buckets: int) -> tuple[AgeingRow, ...]:
    totals: dict[str, _Row] = {}
    for row in rows:
        sums = totals.setdefault(row.currency, _Row(buckets))
        sums.buckets = [have + more for have, more in zip(sums.buckets, row.buckets, strict=True)]
        sums.credits += row.credits
        sums.disputed += row.disputed
        sums.unallocated += row.unallocated
        sums.items += row.items
    return tuple(sums.frozen("", currency) for currency, sums in sorted(totals.items()))
