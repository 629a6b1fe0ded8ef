"""Every money event of the ledger in both companies' books (F60-F63, table of finance.md section 10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from finance.books import BadTemplate, JournalEntry, LedgerEvent, UnreadableEvent, canonical_bytes
from finance.postings import default_templates, journal, parse_templates

SELLER, BUYER = "c-seller", "c-buyer"


def event(cursor: str, name: str, day: str = "2026-03-09", **fields: Any) -> LedgerEvent:
    contract, _, short = name.partition(".")
    return LedgerEvent(
        cursor=cursor, height=int(cursor.split(".")[0]), day=day, contract=contract, name=short, fields=fields
    )


def eur(minor: int) -> list[Any]:
    return ["EUR", minor]


PAIR: Mapping[str, Any] = {"seller": SELLER, "buyer": BUYER}
DOCUMENT: Mapping[str, Any] = {**PAIR, "net": eur(10000), "tax": eur(1900), "total": eur(11900), "issued": "2026-03-01"}
MONEY: Mapping[str, Any] = {"payer": BUYER, "payee": SELLER, "amount": eur(5000)}

ISSUED = event("1.0.0", "invoices.Issued", id="inv-1", **DOCUMENT, due="2026-03-31", kind="380")
ACCEPTED = event("2.0.0", "invoices.Accepted", id="inv-1", **DOCUMENT)
CREDIT = event("3.0.0", "invoices.CreditIssued", id="crn-1", **DOCUMENT, invoice="inv-1")


def lines(entry: JournalEntry) -> list[tuple[str, str, int]]:
    return [(line.side, line.account, line.minor) for line in entry.lines]


CASES: list[tuple[str, list[LedgerEvent], list[tuple[str, str, int]], list[tuple[str, str, int]]]] = [
    (
        "issue: 1122 to 6001 and output VAT; the buyer books nothing",
        [ISSUED],
        [("debit", "1122", 11900), ("credit", "6001", 10000), ("credit", "222102", 1900)],
        [],
    ),
    (
        "accept: goods and input VAT to 2202",
        [ISSUED, ACCEPTED],
        [("debit", "1122", 11900), ("credit", "6001", 10000), ("credit", "222102", 1900)],
        [("debit", "1405", 10000), ("debit", "222101", 1900), ("credit", "2202", 11900)],
    ),
    (
        "payment confirmed, partly allocated: the rest is a prepayment and a receipt in advance",
        [
            event(
                "4.0.1", "payments.PaymentConfirmed", id="pay-1", **MONEY, bank="b", allocated=eur(3000),
                value_on="2026-03-20",
            )
        ],
        [("debit", "1002", 5000), ("credit", "1122", 3000), ("credit", "2203", 2000)],
        [("debit", "2202", 3000), ("debit", "1123", 2000), ("credit", "1002", 5000)],
    ),
    (
        "a receipt allocated later",
        [event("4.0.2", "payments.ReceiptAllocated", payment="pay-1", invoice="inv-1", **MONEY, dated="2026-03-21")],
        [("debit", "2203", 5000), ("credit", "1122", 5000)],
        [("debit", "2202", 5000), ("credit", "1123", 5000)],
    ),
    (
        "an allocation undone: red lines",
        [event("4.0.3", "payments.AllocationUndone", payment="pay-1", invoice="inv-1", **MONEY, dated="2026-03-21")],
        [("debit", "2203", -5000), ("credit", "1122", -5000)],
        [("debit", "2202", -5000), ("credit", "1123", -5000)],
    ),
    (
        "returned payment: the payment entry in red",
        [
            event(
                "4.0.4", "payments.PaymentReturned", id="pay-1", **MONEY, bank="b", allocated=eur(3000),
                value_on="2026-03-22",
            )
        ],
        [("debit", "1002", -5000), ("credit", "1122", -3000), ("credit", "2203", -2000)],
        [("debit", "2202", -3000), ("debit", "1123", -2000), ("credit", "1002", -5000)],
    ),
    (
        "write-off",
        [event("4.0.5", "invoices.WrittenOff", id="inv-1", **PAIR, amount=eur(10), reason="OTH", dated="2026-03-22")],
        [("debit", "1231", 10), ("credit", "1122", 10)],
        [("debit", "2202", 10), ("credit", "6301", 10)],
    ),
    (
        "set-off: payables to receivables on both sides, no cash line",
        [
            event(
                "4.0.6", "set_offs.SetOff", id="set-1", first="inv-1", second="inv-2", a=SELLER, b=BUYER,
                amount=eur(700), dated="2026-03-22",
            )
        ],
        [("debit", "2202", 700), ("credit", "1122", 700)],
        [("debit", "2202", 700), ("credit", "1122", 700)],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("events", "seller", "buyer"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_f63_posting_table(
    events: list[LedgerEvent], seller: list[tuple[str, str, int]], buyer: list[tuple[str, str, int]]
) -> None:
    for company, expected in ((SELLER, seller), (BUYER, buyer)):
        entries = journal(events, company)
        assert [lines(entry) for entry in entries[-1:]] == ([expected] if expected else [])
    assert journal(events, "c-stranger") == []


def test_f60_a_credit_note_is_the_negative_mirror_of_its_invoice() -> None:
    for company in (SELLER, BUYER):
        invoice, credit = journal([ISSUED, ACCEPTED, CREDIT], company)
        assert lines(credit) == [(side, account, -minor) for side, account, minor in lines(invoice)]
        assert credit.about == "inv-1"
        assert credit.document == "crn-1"


def test_a_buyer_books_a_credit_for_an_invoice_not_yet_accepted_only_with_the_acceptance() -> None:
    early = event("1.1.0", "invoices.CreditIssued", id="crn-1", **DOCUMENT, invoice="inv-1")
    assert journal([ISSUED, early], BUYER) == []
    accepted, credit = journal([ISSUED, early, ACCEPTED], BUYER)
    assert (accepted.height, credit.height) == (2, 2)
    assert credit.source == "1.1.0"
    loose = event("1.2.0", "invoices.CreditIssued", id="crn-2", **DOCUMENT, invoice="")
    assert [entry.document for entry in journal([loose], BUYER)] == ["crn-2"]


@pytest.mark.parametrize("name", ["invoices.Rejected", "invoices.Withdrawn"])
def test_a_dead_invoice_is_mirrored_with_its_credits(name: str) -> None:
    part = event(
        "1.1.0", "invoices.CreditIssued", id="crn-1", **PAIR, net=eur(100), tax=eur(19), total=eur(119),
        issued="2026-03-02", invoice="inv-1",
    )  # fmt: skip
    dead = event("5.0.0", name, day="2026-03-12", id="inv-1", **PAIR, reason="QUA")
    entries = journal([ISSUED, part, dead], SELLER)
    assert sum(line.debit for entry in entries for line in entry.lines if line.account == "1122") == 0
    assert entries[-1].reverses == ("1.0.0", "1.1.0")
    assert entries[-1].date == "2026-03-12"
    assert journal([ISSUED, part, dead], BUYER) == []


def test_a_reversed_credit_note_is_mirrored_once_and_a_waiting_one_is_forgotten() -> None:
    reverse = event("6.0.0", "invoices.CreditReversed", id="crn-1", **DOCUMENT, invoice="inv-1", dated="2026-03-05")
    entries = journal([ISSUED, ACCEPTED, CREDIT, reverse], BUYER)
    assert lines(entries[2]) == [(side, account, -minor) for side, account, minor in lines(entries[1])]
    early = event("1.1.0", "invoices.CreditIssued", id="crn-1", **DOCUMENT, invoice="inv-1")
    undone = event("1.2.0", "invoices.CreditReversed", id="crn-1", **DOCUMENT, invoice="inv-1", dated="2026-03-05")
    assert [entry.document for entry in journal([ISSUED, early, undone, ACCEPTED], BUYER)] == ["inv-1"]


@pytest.mark.parametrize(
    ("net", "tax", "total", "expected"),
    [
        (10000, 1900, 11899, ("debit", "6603", 1)),
        (10000, 1900, 11950, ("debit", "6603", -50)),
        (10000, 1900, 11799, ("debit", "2203", 101)),
        (10000, 1900, 0, ("debit", "2203", 11900)),
    ],
)
def test_f15_rounding_and_prepaid_parts_have_lines_of_their_own(
    net: int, tax: int, total: int, expected: tuple[str, str, int]
) -> None:
    fields = {**DOCUMENT, "net": eur(net), "tax": eur(tax), "total": eur(total)}
    (entry,) = journal([event("1.0.0", "invoices.Issued", id="inv-1", **fields, due="2026-03-31", kind="380")], SELLER)
    assert expected in lines(entry)


def test_an_invoice_of_nothing_needs_no_voucher() -> None:
    fields = {**DOCUMENT, "net": eur(0), "tax": eur(0), "total": eur(0)}
    assert (
        journal([event("1.0.0", "invoices.Issued", id="inv-1", **fields, due="2026-03-31", kind="380")], SELLER) == []
    )


def test_f63_an_event_is_booked_once_whatever_the_order_and_repetition() -> None:
    events = [ISSUED, ACCEPTED, CREDIT]
    once = journal(events, BUYER)
    assert journal([*reversed(events), *events], BUYER) == once
    assert canonical_bytes(journal(events[::-1], BUYER)) == canonical_bytes(once)


def test_cursors_are_ordered_by_number_not_by_text() -> None:
    many = [
        event(f"{height}.0.0", "invoices.Issued", id=f"inv-{height}", **DOCUMENT, due="2026-03-31", kind="380")
        for height in (9, 10, 100)
    ]
    assert [entry.height for entry in journal(reversed(many), SELLER)] == [9, 10, 100]


def test_f62_voucher_numbers_have_no_gap_per_type_and_period() -> None:
    paid = event(
        "4.0.1", "payments.PaymentConfirmed", id="pay-1", **MONEY, bank="b", allocated=eur(3000), value_on="2026-04-02"
    )
    later = event("5.0.0", "invoices.Issued", id="inv-2", **{**DOCUMENT, "issued": "2026-04-01"}, due="", kind="380")
    back = event("6.0.0", "invoices.Issued", id="inv-3", **DOCUMENT, due="", kind="380")
    entries = journal([ISSUED, paid, later, back], SELLER)
    assert [(entry.period, entry.voucher) for entry in entries] == [
        ("2026-03", "转-1"),
        ("2026-04", "收-1"),
        ("2026-04", "转-1"),
        ("2026-03", "转-2"),
    ]


def test_an_unreadable_event_is_named() -> None:
    with pytest.raises(UnreadableEvent, match=r"event 1\.0\.0 invoices\.Issued: field 'total' is not money"):
        journal([event("1.0.0", "invoices.Issued", id="inv-1", **{**DOCUMENT, "total": 5}, due="", kind="")], SELLER)
    with pytest.raises(UnreadableEvent, match="cursor"):
        journal([event("1.0.0", "invoices.Issued"), LedgerEvent(
            cursor="1", height=1, day="", contract="invoices", name="Issued", fields={})], SELLER)  # fmt: skip


def test_shipped_templates_are_complete() -> None:
    templates = default_templates()
    assert templates.control_account("receivable") == "1122"
    assert templates.control_account("payable") == "2202"
    used = {line.account for posting in templates.postings for line in posting.lines}
    assert used | {"1002"} == set(templates.accounts)
    for account in templates.accounts.values():
        assert account.names["zh"]
        assert account.names["en"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("version = ", "file"),
        ('version = "x"', "file"),
        ('version = "x"\nvalid_from = "2026-01-01"\n[accounts.1]\nside = "left"', "accounts.1"),
        ('version = "x"\nvalid_from = "2026-01-01"\n[[posting]]\nid = "p"', "p"),
        ('version = "x"\nvalid_from = "2026-01-01"\n[[posting]]\nid = "p"\nmirrors = true\nsign = 2', "p"),
        (
            'version = "x"\nvalid_from = "2026-01-01"\n[[posting]]\nid = "p"\n'
            'lines = [{account = "9", side = "debit", amount = "net"}]',
            "p",
        ),
    ],
)
def test_a_bad_template_is_named(text: str, place: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        parse_templates(text)
    assert caught.value.place == place
