"""Reports of one company's books: trial balance, balances, account detail, statement of account (finance.md F70-F72).

Rules
    * Every report carries company, business date and ledger height, and ignores what is dated or known later (F70).
    * Amounts are exact integers in minor units, one line per account and currency: currencies are never added.
    * Debits equal credits in each currency, in the movement as in the closing balance (F60); a report that would not
      tie raises InvariantViolated instead of being shown.
    * A control account equals its subledger as of every date (F61): `control_checks` shows both figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from finance.ageing import AgeingRow, ageing
from finance.books import JournalEntry, known
from finance.openitems import Ledger, Rows
from finance.postings import Templates, default_templates
from ledger.errors import InvariantViolated


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialBalanceRow:
    """One account in one currency. `opening` and `closing` are net debits (a credit balance is negative)."""

    account: str
    currency: str
    opening: int
    debit: int
    credit: int
    closing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialBalance:
    """`rows` are sorted by (account, currency). `totals` are (currency, debit, credit), sorted; both are equal."""

    company: str
    start: str
    """First day of the movement; "" from the beginning."""
    as_of: str
    height: int
    rows: tuple[TrialBalanceRow, ...]
    totals: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailLine:
    """A journal line with the balance after it (net debit in `currency`)."""

    date: str
    voucher: str
    period: str
    text_en: str
    text_zh: str
    partner: str
    reference: str
    source: str
    currency: str
    debit: int
    credit: int
    balance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDetail:
    """Lines in order of (date, posting); `opening` and `closing` are (currency, net debit), sorted."""

    company: str
    account: str
    partner: str
    start: str
    as_of: str
    height: int
    opening: tuple[tuple[str, int], ...]
    lines: tuple[DetailLine, ...]
    closing: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Statement of account with one partner: the control account in detail, and its ageing (F72)."""

    detail: AccountDetail
    ledger: Ledger
    labels: tuple[str, ...]
    footer: tuple[AgeingRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlCheck:
    """One control account in one currency, from the books and from the rows of the ledger (F61)."""

    ledger: Ledger
    account: str
    currency: str
    books: int
    rows: int

    @property
    def ties(self) -> bool:
        return self.books == self.rows


def trial_balance(
    entries: Iterable[JournalEntry], as_of: str, height: int, *, company: str = "", start: str = ""
) -> TrialBalance:
    """Return opening, movement from `start` to `as_of`, and closing of every account that was ever used.

    `company` is needed only when there may be no entry at all. InvariantViolated: the books do not balance.
    """
    kept = known(entries, as_of, height)
    sums: dict[tuple[str, str], list[int]] = {}
    for entry in kept:
        for line in entry.lines:
            cell = sums.setdefault((line.account, line.currency), [0, 0, 0])
            if entry.date < start:
                cell[0] += line.debit
            else:
                cell[1 if line.side == "debit" else 2] += line.minor
    rows = tuple(
        TrialBalanceRow(
            account=account, currency=currency, opening=opening, debit=debit, credit=credit,
            closing=opening + debit - credit,
        )
        for (account, currency), (opening, debit, credit) in sorted(sums.items())
    )  # fmt: skip
    totals = []
    for currency in sorted({row.currency for row in rows}):
        own = [row for row in rows if row.currency == currency]
        debit, credit = sum(row.debit for row in own), sum(row.credit for row in own)
        if debit != credit or sum(row.closing for row in own) != 0:
            raise InvariantViolated(f"trial balance in {currency}: debits {debit}, credits {credit}")
        totals.append((currency, debit, credit))
    return TrialBalance(
        company=kept[0].company if kept else company,
        start=start,
        as_of=as_of,
        height=height,
        rows=rows,
        totals=tuple(totals),
    )


def account_balances(entries: Iterable[JournalEntry], as_of: str, height: int) -> dict[tuple[str, str], int]:
    """Return (account, currency) -> net debit in minor units, sorted; accounts at zero are left out."""
    sums: dict[tuple[str, str], int] = {}
    for entry in known(entries, as_of, height):
        for line in entry.lines:
            key = line.account, line.currency
            sums[key] = sums.get(key, 0) + line.debit
    return {key: net for key, net in sorted(sums.items()) if net}


def account_detail(
    entries: Sequence[JournalEntry],
    account: str,
    as_of: str,
    height: int,
    *,
    company: str = "",
    start: str = "",
    partner: str = "",
) -> AccountDetail:
    """Return the lines of one account, of one partner if named, with running balances per currency."""
    kept = known(entries, as_of, height)
    balance: dict[str, int] = {}
    opening: dict[str, int] = {}
    lines = []
    for entry in sorted(kept, key=lambda entry: entry.date):  # stable: posting order within a day
        for line in entry.lines:
            if line.account != account or (partner and line.partner != partner):
                continue
            balance[line.currency] = balance.get(line.currency, 0) + line.debit
            if entry.date < start:
                opening[line.currency] = balance[line.currency]
                continue
            lines.append(
                DetailLine(
                    date=entry.date,
                    voucher=entry.voucher,
                    period=entry.period,
                    text_en=entry.text["en"],
                    text_zh=entry.text["zh"],
                    partner=line.partner,
                    reference=line.reference,
                    source=entry.source,
                    currency=line.currency,
                    debit=line.minor if line.side == "debit" else 0,
                    credit=line.minor if line.side == "credit" else 0,
                    balance=balance[line.currency],
                )
            )
    return AccountDetail(
        company=kept[0].company if kept else company,
        account=account,
        partner=partner,
        start=start,
        as_of=as_of,
        height=height,
        opening=tuple(sorted((currency, opening.get(currency, 0)) for currency in balance)),
        lines=tuple(lines),
        closing=tuple(sorted(balance.items())),
    )


def statement_of_account(
    entries: Sequence[JournalEntry],
    rows: Rows,
    company: str,
    partner: str,
    as_of: str,
    height: int,
    *,
    ledger: Ledger = "receivable",
    start: str = "",
    templates: Templates | None = None,
) -> Statement:
    """Return opening, dated lines, closing and ageing of what stands between two companies (F72)."""
    account = (templates or default_templates()).control_account(ledger)
    aged = ageing(rows, company, as_of, height=height, ledger=ledger, templates=templates)
    return Statement(
        detail=account_detail(entries, account, as_of, height, company=company, start=start, partner=partner),
        ledger=ledger,
        labels=aged.labels,
        footer=tuple(row for row in aged.rows if row.partner == partner),
    )


def control_checks(
    entries: Iterable[JournalEntry],
    rows: Rows,
    company: str,
    as_of: str,
    height: int,
    *,
    templates: Templates | None = None,
) -> tuple[ControlCheck, ...]:
    """Return both control accounts beside their subledgers, per currency, sorted by (ledger, currency) (F61).

    `rows` must be read at `height`. Payables are a credit balance and shown positive on both sides.
    """
    chart = templates or default_templates()
    balances = account_balances(entries, as_of, height)
    checks = []
    ledgers: tuple[Ledger, ...] = ("payable", "receivable")
    for ledger in ledgers:
        account = chart.control_account(ledger)
        sign = 1 if ledger == "receivable" else -1
        totals = {
            row.currency: row.total
            for row in ageing(rows, company, as_of, height=height, ledger=ledger, templates=chart).totals
        }
        currencies = sorted({*totals, *(currency for code, currency in balances if code == account)})
        checks += [
            ControlCheck(
                ledger=ledger,
                account=account,
                currency=currency,
                books=sign * balances.get((account, currency), 0),
                rows=totals.get(currency, 0),
            )
            for currency in currencies
        ]
    return tuple(checks)
