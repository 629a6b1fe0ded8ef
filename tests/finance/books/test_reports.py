"""Reports as of a date and a height: trial balance, detail, statement, ageing, open items (F20, F70-F72)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import finance
from finance.ageing import ageing
from finance.books import LedgerEvent, canonical_bytes
from finance.openitems import STATUSES, derive, open_credits, open_items, open_receipts
from finance.postings import journal
from finance.reports import account_balances, account_detail, control_checks, statement_of_account, trial_balance
from ledger.errors import InvariantViolated

SELLER, BUYER = "c-seller", "c-buyer"
ZERO = ["EUR", 0]


def eur(minor: int) -> list[Any]:
    return ["EUR", minor]


def invoice(number: str, total: int, issued: str, due: str, **changed: Any) -> dict[str, Any]:
    row = {
        "id": number, "seller": SELLER, "buyer": BUYER, "net": eur(total), "tax": ZERO, "total": eur(total),
        "open": eur(total), "disputed": ZERO, "held": ZERO, "issued": issued, "due": due, "document": "accepted",
        "since": issued,
    }  # fmt: skip
    return row | changed


def link(number: str, minor: int, dated: str, kind: str = "payment", source: str = "pay-1") -> dict[str, Any]:
    return {
        "id": f"alc-{number}-{dated}-{minor}", "source_kind": kind, "source": source, "invoice": number,
        "seller": SELLER, "buyer": BUYER, "amount": eur(minor), "dated": dated,
    }  # fmt: skip


ROWS: dict[str, list[dict[str, Any]]] = {
    "Invoice": [
        invoice("inv-1", 10000, "2026-01-10", "2026-02-09"),
        invoice("inv-2", 5000, "2026-02-01", "2026-03-03", disputed=eur(1000)),
        invoice("inv-3", 700, "2026-02-20", "2026-03-20", document="received", since="2026-02-21"),
        invoice("inv-4", 300, "2026-02-20", "2026-03-20", document="rejected", since="2026-02-25"),
    ],
    "Credit": [
        {
            "id": "crn-1", "seller": SELLER, "buyer": BUYER, "total": eur(400), "issued": "2026-02-15", "invoice": "",
            "state": "issued", "since": "2026-02-15",
        }
    ],
    "Allocation": [link("inv-1", 4000, "2026-02-20"), link("inv-1", 6000, "2026-03-10", source="pay-2")],
    "Payment": [
        {
            "id": "pay-1", "payer": BUYER, "payee": SELLER, "amount": eur(4500), "value_on": "2026-02-20",
            "phase": "confirmed", "ended_on": "2026-02-20",
        },
        {
            "id": "pay-2", "payer": BUYER, "payee": SELLER, "amount": eur(6000), "value_on": "2026-03-10",
            "phase": "confirmed", "ended_on": "2026-03-10",
        },
    ],
}  # fmt: skip


def event(cursor: str, name: str, day: str = "2026-02-25", **fields: Any) -> LedgerEvent:
    contract, _, short = name.partition(".")
    fields = {"seller": SELLER, "buyer": BUYER, "payer": BUYER, "payee": SELLER, **fields}
    return LedgerEvent(
        cursor=cursor, height=int(cursor.split(".")[0]), day=day, contract=contract, name=short, fields=fields
    )


def document(cursor: str, name: str, number: str, total: int, issued: str, **more: Any) -> LedgerEvent:
    return event(cursor, name, id=number, net=eur(total), tax=ZERO, total=eur(total), issued=issued, **more)


EVENTS = [
    document("1.0.0", "invoices.Issued", "inv-1", 10000, "2026-01-10"),
    document("2.0.0", "invoices.Accepted", "inv-1", 10000, "2026-01-10"),
    document("3.0.0", "invoices.Issued", "inv-2", 5000, "2026-02-01"),
    document("4.0.0", "invoices.Accepted", "inv-2", 5000, "2026-02-01"),
    document("5.0.0", "invoices.CreditIssued", "crn-1", 400, "2026-02-15", invoice=""),
    event(
        "6.0.0", "payments.PaymentConfirmed", id="pay-1", amount=eur(4500), allocated=eur(4000), value_on="2026-02-20"
    ),
    document("7.0.0", "invoices.Issued", "inv-3", 700, "2026-02-20"),
    document("8.0.0", "invoices.Issued", "inv-4", 300, "2026-02-20"),
    event("9.0.0", "invoices.Rejected", id="inv-4", reason="QUA"),
    event(
        "10.0.0", "payments.PaymentConfirmed", id="pay-2", amount=eur(6000), allocated=eur(6000), value_on="2026-03-10"
    ),
]

DATES = [
    "2026-01-01", "2026-01-10", "2026-02-09", "2026-02-10", "2026-02-15", "2026-02-20", "2026-02-24", "2026-02-25",
    "2026-03-09", "2026-03-10", "2026-12-31",
]  # fmt: skip


def test_f70_a_later_payment_does_not_shrink_an_earlier_ageing() -> None:
    before = ageing(ROWS, SELLER, "2026-03-09", height=10)
    assert before.labels == ("not_due", "1-30", "31-60", "61-90", "91-180", ">180")
    (row,) = before.rows
    assert row.buckets == (700, 11000, 0, 0, 0, 0)
    assert (row.credits, row.disputed, row.unallocated, row.items) == (-400, 1000, 500, 3)
    after = ageing(ROWS, SELLER, "2026-03-10", height=10)
    assert after.rows[0].buckets == (700, 5000, 0, 0, 0, 0)


def test_f71_ageing_by_issue_date_and_own_buckets() -> None:
    aged = ageing(ROWS, SELLER, "2026-03-09", height=10, basis="issued", edges=(17, 40))
    assert aged.labels == ("<=17", "18-40", ">40")
    assert aged.rows[0].buckets == (700, 5000, 6000)
    with pytest.raises(ValueError, match="rise strictly"):
        ageing(ROWS, SELLER, "2026-03-09", height=10, edges=(30, 30))


@pytest.mark.parametrize("as_of", DATES)
@pytest.mark.parametrize("company", [SELLER, BUYER])
def test_f61_control_accounts_equal_their_subledgers_as_of_every_date(company: str, as_of: str) -> None:
    checks = control_checks(journal(EVENTS, company), ROWS, company, as_of, 10)
    assert all(check.ties for check in checks), checks


def test_f61_both_sides_show_the_same_amount_for_accepted_invoices() -> None:
    for as_of in DATES:
        theirs = {item.invoice: item.open for item in open_items(ROWS, BUYER, as_of)}
        ours = {item.invoice: item.open for item in open_items(ROWS, SELLER, as_of)}
        assert theirs.items() <= ours.items()


def test_open_items_are_those_of_the_company() -> None:
    items = open_items(ROWS, SELLER, "2026-03-09")
    assert [(item.invoice, item.open, item.days_overdue, item.status.label) for item in items] == [
        ("inv-1", 6000, 28, "overdue"),
        ("inv-2", 5000, 6, "overdue"),
        ("inv-3", 700, -11, "open"),
    ]
    assert items[1].free == 4000
    assert "disputed" in items[1].status.flags
    assert [item.invoice for item in open_items(ROWS, BUYER, "2026-03-09")] == ["inv-1", "inv-2"]
    everything = open_items(ROWS, SELLER, "2026-03-10", include_settled=True)
    assert {item.invoice: item.status.label for item in everything}["inv-1"] == "paid"
    assert {item.invoice: item.status.label for item in everything}["inv-4"] == "rejected"
    assert open_items(ROWS, "c-stranger", "2026-03-09") == ()
    assert [credit.open for credit in open_credits(ROWS, BUYER, "2026-03-09")] == [400]
    assert [receipt.open for receipt in open_receipts(ROWS, BUYER, "2026-03-09")] == [500]


def test_a_dead_invoice_was_a_claim_until_it_died() -> None:
    assert [item.invoice for item in open_items(ROWS, SELLER, "2026-02-24")] == ["inv-1", "inv-2", "inv-3", "inv-4"]
    assert [item.invoice for item in open_items(ROWS, SELLER, "2026-02-25")] == ["inv-1", "inv-2", "inv-3"]


def test_money_that_came_before_the_issue_date_is_shown_against_the_partner() -> None:
    rows = {
        "Invoice": [invoice("inv-1", 100, "2026-02-01", "2026-02-10")],
        "Allocation": [link("inv-1", 100, "2026-01-31")],
    }
    (item,) = open_items(rows, SELLER, "2026-01-31")
    assert (item.open, item.status.label) == (-100, "early")
    assert ageing(rows, SELLER, "2026-01-31", height=1).rows[0].credits == -100
    assert open_items(rows, SELLER, "2026-02-01") == ()


BASE: dict[str, Any] = {
    "document": "accepted", "total": 100, "paid": 0, "credited": 0, "set_off": 0, "open_minor": 100, "disputed": 0,
    "held": 0, "due": "2026-03-31", "as_of": "2026-03-31",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "label", "flags"),
    [
        ({}, "open", ()),
        ({"as_of": "2026-04-01"}, "overdue", ("overdue",)),
        ({"paid": 40, "open_minor": 60}, "part_paid", ("part_paid",)),
        ({"paid": 40, "open_minor": 60, "as_of": "2026-04-01"}, "overdue", ("part_paid", "overdue")),
        ({"credited": 40, "open_minor": 60, "disputed": 5, "held": 6}, "part_settled", ("disputed", "held")),
        ({"paid": 100, "open_minor": 0, "as_of": "2026-04-01"}, "paid", ("paid",)),
        ({"paid": 60, "credited": 40, "open_minor": 0}, "paid", ("paid",)),
        ({"credited": 100, "open_minor": 0}, "fully_credited", ("fully_credited",)),
        ({"set_off": 100, "open_minor": 0}, "set_off", ()),
        ({"total": 0, "open_minor": 0}, "settled", ()),
        ({"paid": 100, "open_minor": -100}, "early", ()),
        ({"document": "withdrawn", "open_minor": 0}, "withdrawn", ()),
    ],
)
def test_f20_status_is_derived(changed: dict[str, Any], label: str, flags: tuple[str, ...]) -> None:
    status = derive(**{**BASE, **changed})
    assert (status.label, status.flags) == (label, flags)
    assert status.label in STATUSES


def test_trial_balance_rolls_forward_and_ties() -> None:
    entries = journal(EVENTS, SELLER)
    whole = trial_balance(entries, "2026-03-31", 10)
    assert whole.totals == (("EUR", 25800, 25800),)
    assert {row.account: row.closing for row in whole.rows} == {
        "1002": 10500,
        "1122": 5300,
        "2203": -500,
        "6001": -15300,
    }
    march = trial_balance(entries, "2026-03-31", 10, start="2026-03-01")
    assert {row.account: row.opening for row in march.rows}["1002"] == 4500
    assert [(row.account, row.closing) for row in march.rows] == [(row.account, row.closing) for row in whole.rows]
    assert trial_balance([], "2026-03-31", 10, company=SELLER).rows == ()


def test_f70_the_height_cuts_off_what_was_not_yet_known() -> None:
    entries = journal(EVENTS, SELLER)
    assert account_balances(entries, "2026-12-31", 6)[("1122", "EUR")] == 10000 + 5000 - 400 - 4000
    assert account_balances(entries, "2026-12-31", 0) == {}


def test_currencies_are_never_added() -> None:
    events = [
        event(
            f"{n}.0.0", "invoices.Issued", id=f"i{n}", net=[ccy, 5], tax=[ccy, 0], total=[ccy, 5], issued="2026-01-01"
        )
        for n, ccy in ((1, "EUR"), (2, "JPY"))
    ]
    assert account_balances(journal(events, SELLER), "2026-12-31", 9) == {
        ("1122", "EUR"): 5, ("1122", "JPY"): 5, ("6001", "EUR"): -5, ("6001", "JPY"): -5,
    }  # fmt: skip


def test_f72_statement_of_account_has_opening_lines_closing_and_ageing() -> None:
    entries = journal(EVENTS, SELLER)
    statement = statement_of_account(entries, ROWS, SELLER, BUYER, "2026-03-31", 10, start="2026-03-01")
    assert statement.detail.opening == (("EUR", 11300),)
    assert [(line.date, line.credit, line.balance) for line in statement.detail.lines] == [("2026-03-10", 6000, 5300)]
    assert statement.detail.closing == (("EUR", 5300),)
    assert sum(row.total for row in statement.footer) == 5300
    assert account_detail(entries, "1122", "2026-03-31", 10, partner="c-stranger").lines == ()


def test_a_trial_balance_that_does_not_tie_is_never_shown() -> None:
    entries = journal(EVENTS, SELLER)
    broken = replace(entries[0], lines=entries[0].lines[:1])
    with pytest.raises(InvariantViolated):
        trial_balance([broken], "2026-12-31", 10)


def test_f70_same_inputs_same_bytes() -> None:
    shuffled = {table: rows[::-1] for table, rows in ROWS.items()}
    first = ageing(ROWS, SELLER, "2026-03-09", height=10)
    assert canonical_bytes(first) == canonical_bytes(ageing(shuffled, SELLER, "2026-03-09", height=10))
    entries = journal(EVENTS[::-1], SELLER)
    assert canonical_bytes(trial_balance(entries, "2026-03-09", 10)) == canonical_bytes(
        trial_balance(journal(EVENTS, SELLER), "2026-03-09", 10)
    )


def test_the_doors_of_the_package_resolve_when_used() -> None:
    assert finance.journal is journal
    assert "ageing_of" in dir(finance)
    with pytest.raises(AttributeError):
        _ = finance.nothing_of_this_name
