"""Every rule of EN 16931 that is checked fires on a document that breaks it, and names the field (X33, X34)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from finance.formats import ReadResult, read
from finance.model import (
    Account,
    Address,
    Adjustment,
    Attachment,
    Identifier,
    Invoice,
    Item,
    Line,
    Party,
    Period,
    Preceding,
    TaxGroup,
)
from finance.rules import RULES, Case, check
from finance.vat_groups import CATEGORIES, VAT_RULES
from ledger.money import Money

SAMPLES = Path(__file__).parents[3] / "cli" / "samples"
(BASE,) = read((SAMPLES / "01-falkenberg-invoice-ubl.xml").read_bytes()).items
BAD_COUNTRY = Address(country="XX")
NOWHERE = Address(city="Nowhere")


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def broken(invoice: Invoice) -> dict[str, str]:
    """Return rule -> field of every firm fault."""
    faults = check(Case(invoice=invoice), (*RULES, *VAT_RULES))
    return {rule.name: fault.field for rule, fault in faults if fault.severity is None}


def base(**changes: Any) -> Invoice:
    return dataclasses.replace(BASE, **changes)


def totals(**changes: int) -> Invoice:
    return base(totals=dataclasses.replace(BASE.totals, **{name: eur(minor) for name, minor in changes.items()}))


def seller(**changes: Any) -> Invoice:
    return base(seller=dataclasses.replace(BASE.seller, **changes))


def buyer(**changes: Any) -> Invoice:
    return base(buyer=dataclasses.replace(BASE.buyer, **changes))


def line(number: int = 0, **changes: Any) -> Invoice:
    lines = list(BASE.lines)
    lines[number] = dataclasses.replace(lines[number], **changes)
    return base(lines=tuple(lines))


def item(**changes: Any) -> Invoice:
    return line(item=dataclasses.replace(BASE.lines[0].item, **changes))


def group(number: int = 0, **changes: Any) -> Invoice:
    groups = list(BASE.tax_groups)
    groups[number] = dataclasses.replace(groups[number], **changes)
    return base(tax_groups=tuple(groups))


def means(**changes: Any) -> Invoice:
    return base(payment=(dataclasses.replace(BASE.payment[0], **changes),))


def extra(**changes: Any) -> Invoice:
    return base(adjustments=(dataclasses.replace(BASE.adjustments[0], **changes),))


def line_extra(**changes: Any) -> Invoice:
    return line(adjustments=(dataclasses.replace(BASE.lines[0].adjustments[0], **changes),))


def agent(**changes: Any) -> Invoice:
    party = Party(name="Agent", vat_id="DE275183647", address=Address(country="DE"))
    return base(tax_representative=dataclasses.replace(party, **changes))


BACKWARDS = Period(start="2026-02-01", end="2026-01-01")
CASES: list[tuple[str, Invoice, str]] = [
    ("BR-01", base(profile=""), "profile"),
    ("BR-02", base(number=""), "number"),
    ("BR-03", base(issued=""), "issued"),
    ("BR-04", base(type_code=""), "type_code"),
    ("BR-06", seller(name=""), "seller.name"),
    ("BR-07", buyer(name=""), "buyer.name"),
    ("BR-08", seller(address=None), "seller.address"),
    ("BR-09", seller(address=NOWHERE), "seller.address.country"),
    ("BR-10", buyer(address=None), "buyer.address"),
    ("BR-11", buyer(address=NOWHERE), "buyer.address.country"),
    ("BR-16", base(lines=()), "lines"),
    ("BR-17", base(payee=Party()), "payee.name"),
    ("BR-18", agent(name=""), "tax_representative.name"),
    ("BR-19", agent(address=None), "tax_representative.address"),
    ("BR-20", agent(address=NOWHERE), "tax_representative.address.country"),
    ("BR-21", line(id=""), "lines[0].id"),
    ("BR-22", line(quantity=None), "lines[0].quantity"),
    ("BR-23", line(unit=""), "lines[0].unit"),
    ("BR-25", item(name=""), "lines[0].item.name"),
    ("BR-26", line(price=None), "lines[0].price"),
    ("BR-27", line(price=Decimal(-1)), "lines[0].price"),
    ("BR-28", line(gross_price=Decimal(-1)), "lines[0].gross_price"),
    ("BR-29", base(period=BACKWARDS), "period.end"),
    ("BR-30", line(period=BACKWARDS), "lines[0].period.end"),
    ("BR-32", extra(charge=False, category=""), "adjustments[0].category"),
    ("BR-33", extra(charge=False, reason="", reason_code=""), "adjustments[0].reason"),
    ("BR-37", extra(category=""), "adjustments[0].category"),
    ("BR-38", extra(reason="", reason_code=""), "adjustments[0].reason"),
    ("BR-42", line_extra(reason="", reason_code=""), "lines[0].adjustments[0].reason"),
    ("BR-44", line_extra(charge=True, reason="", reason_code=""), "lines[0].adjustments[0].reason"),
    ("BR-47", group(category=""), "tax_groups[0].category"),
    ("BR-48", group(rate=None), "tax_groups[0].rate"),
    ("BR-49", means(code=""), "payment[0].code"),
    ("BR-50", means(accounts=(Account(id=""),)), "payment[0].accounts[0].id"),
    ("BR-51", means(card="1234567890123456"), "payment[0].card"),
    ("BR-52", base(attachments=(Attachment(number=""),)), "attachments[0].number"),
    ("BR-53", base(tax_currency="DKK"), "totals.tax_accounting"),
    ("BR-54", item(attributes=(("Colour", ""),)), "lines[0].item.attributes"),
    ("BR-55", base(preceding=(Preceding(number=""),)), "preceding[0].number"),
    ("BR-56", agent(vat_id=""), "tax_representative.vat_id"),
    ("BR-57", base(delivery_address=NOWHERE), "delivery_address.country"),
    ("BR-61", means(accounts=()), "payment[0].accounts"),
    ("BR-62", seller(endpoint=Identifier(value="1")), "seller.endpoint"),
    ("BR-63", buyer(endpoint=Identifier(value="1")), "buyer.endpoint"),
    ("BR-64", item(standard_id=Identifier(value="1")), "lines[0].item.standard_id"),
    ("BR-65", item(classes=(Identifier(value="1"),)), "lines[0].item.classes"),
    ("BR-CO-03", base(tax_point="2026-03-01", tax_point_code="35"), "tax_point_code"),
    ("BR-CO-04", line(category=""), "lines[0].category"),
    ("BR-CO-09", seller(vat_id="275183647"), "seller.vat_id"),
    ("BR-CO-10", totals(line_sum=1), "totals.line_sum"),
    ("BR-CO-11", totals(allowances=1), "totals.allowances"),
    ("BR-CO-12", totals(charges=1), "totals.charges"),
    ("BR-CO-13", totals(net=1), "totals.net"),
    ("BR-CO-14", totals(tax=1), "totals.tax"),
    ("BR-CO-15", totals(gross=1), "totals.gross"),
    ("BR-CO-16", totals(payable=1), "totals.payable"),
    ("BR-CO-17", group(tax=eur(99999)), "tax_groups[0].tax"),
    ("BR-CO-18", base(tax_groups=()), "tax_groups"),
    ("BR-CO-19", base(period=Period()), "period"),
    ("BR-CO-20", line(period=Period()), "lines[0].period"),
    ("BR-CO-21", extra(charge=False, reason="", reason_code=""), "adjustments[0].reason"),
    ("BR-CO-22", extra(reason="", reason_code=""), "adjustments[0].reason"),
    ("BR-CO-23", line_extra(reason="", reason_code=""), "lines[0].adjustments[0].reason"),
    ("BR-CO-24", line_extra(charge=True, reason="", reason_code=""), "lines[0].adjustments[0].reason"),
    ("BR-CO-25", base(due="", terms=""), "due"),
    ("BR-CO-26", seller(ids=(), legal_id=None, vat_id=""), "seller"),
    ("BR-CL-01", base(type_code="999"), "type_code"),
    ("BR-CL-06", base(tax_point_code="9"), "tax_point_code"),
    ("BR-CL-10", seller(ids=(Identifier(value="1", scheme="GLN"),)), "seller.ids"),
    ("BR-CL-11", seller(legal_id=Identifier(value="1", scheme="HRB")), "seller.legal_id"),
    ("BR-CL-13", item(classes=(Identifier(value="1", scheme="x"),)), "lines[0].item.classes"),
    ("BR-CL-14", seller(address=BAD_COUNTRY), "seller.address.country"),
    ("BR-CL-15", item(origin="XX"), "lines[0].item.origin"),
    ("BR-CL-16", means(code="99"), "payment[0].code"),
    ("BR-CL-17", group(category="Q"), "tax_groups[0].category"),
    ("BR-CL-18", line(category="Q"), "lines[0].category"),
    ("BR-CL-19", line_extra(reason_code="9"), "lines[0].adjustments[0].reason_code"),
    ("BR-CL-20", extra(reason_code="9"), "adjustments[0].reason_code"),
    ("BR-CL-21", item(standard_id=Identifier(value="1", scheme="GTIN")), "lines[0].item.standard_id"),
    ("BR-CL-22", group(exemption_code="why"), "tax_groups[0].exemption_code"),
    ("BR-CL-23", line(unit="pieces"), "lines[0].unit"),
    ("BR-CL-24", base(attachments=(Attachment(number="1", media_type="text/html"),)), "attachments[0].media_type"),
    ("BR-CL-25", seller(endpoint=Identifier(value="1", scheme="1234")), "seller.endpoint"),
    ("F15", line(price=Decimal(63)), "lines[0].net"),
    ("X39", seller(vat_id="DE275183648"), "seller.vat_id"),
]  # fmt: skip


def test_the_base_has_no_fault() -> None:
    assert broken(BASE) == {}


@pytest.mark.parametrize(("rule", "invoice", "field"), CASES, ids=[case[0] for case in CASES])
def test_x33_the_rule_fires_and_names_the_field(rule: str, invoice: Invoice, field: str) -> None:
    assert broken(invoice)[rule] == field


def test_x33_every_rule_of_the_table_is_tested() -> None:
    assert {rule.name for rule in RULES} - {case[0] for case in CASES} == {"BR-05"}


def test_x34_a_changed_payable_amount_alone_gives_exactly_one_rule() -> None:
    assert broken(totals(payable=324520)) == {"BR-CO-16": "totals.payable"}


def test_x35_a_tax_within_one_unit_is_a_warning() -> None:
    near = group(tax=eur(50200))
    near = dataclasses.replace(
        near, totals=dataclasses.replace(near.totals, tax=eur(50872), gross=eur(324547), payable=eur(324547))
    )
    faults = [(rule.name, fault.severity) for rule, fault in check(Case(invoice=near), (*RULES, *VAT_RULES))]
    assert faults == [("BR-CO-17", "warning")]


# -- VAT categories ---------------------------------------------------------------------------------------------

RATES = {"positive": Decimal(19), "zero": Decimal(0), "any": Decimal(7), "none": None}
FULL_SELLER = Party(name="S", vat_id="DE275183647", tax_id="1", address=Address(country="DE"))
FULL_BUYER = Party(name="B", vat_id="DE318604270", address=Address(country="FR"))


def categorised(code: str, **changes: Any) -> Invoice:
    """Return a sound document whose one line, allowance and charge are in category `code`."""
    (category,) = [one for one in CATEGORIES if one.code == code]
    rate = RATES[category.rate]
    plain = code == "O"
    tax = eur(0 if not rate else int(1000 * rate / 100))
    fields: dict[str, Any] = {
        "seller": dataclasses.replace(
            FULL_SELLER, vat_id="" if plain else FULL_SELLER.vat_id, ids=(Identifier(value="7"),)
        ),
        "buyer": dataclasses.replace(FULL_BUYER, vat_id="" if plain else FULL_BUYER.vat_id),
        "lines": (
            Line(
                id="1",
                net=eur(1000),
                quantity=Decimal(1),
                unit="H87",
                price=Decimal(10),
                category=code,
                rate=rate,
                item=Item(name="x"),
            ),
        ),
        "adjustments": (
            Adjustment(charge=False, amount=eur(100), reason="r", category=code, rate=rate),
            Adjustment(charge=True, amount=eur(100), reason="r", category=code, rate=rate),
        ),
        "tax_groups": (
            TaxGroup(
                category=code, rate=rate, taxable=eur(1000), tax=tax, exemption="why" if category.reasoned else ""
            ),
        ),
        "totals": dataclasses.replace(
            BASE.totals,
            line_sum=eur(1000),
            allowances=eur(100),
            charges=eur(100),
            net=eur(1000),
            tax=tax,
            gross=eur(1000) + tax,
            payable=eur(1000) + tax,
        ),
        "delivered": "2026-03-01",
        "delivery_address": Address(country="FR"),
    }
    return base(**{**fields, **changes})


def regroup(code: str, **changes: Any) -> Invoice:
    invoice = categorised(code)
    return dataclasses.replace(invoice, tax_groups=(dataclasses.replace(invoice.tax_groups[0], **changes),))


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda one: one.rule)
def test_x33_the_ten_rules_of_each_category(category: Any) -> None:
    code, name = category.code, f"BR-{category.rule}"
    sound = categorised(code)
    assert {rule for rule in broken(sound) if rule.startswith(name)} == set()
    assert f"{name}-01" in broken(dataclasses.replace(sound, tax_groups=()))
    taxed = code == "O"
    for number, keep in ((2, "lines"), (3, "adjustments"), (4, "adjustments")):
        part = getattr(sound, keep)
        part = part if keep == "lines" else tuple(one for one in part if one.charge is (number == 4))
        other = {"lines": (), "adjustments": (), keep: part}
        party = Party(name="S", vat_id="DE275183647" if taxed else "", address=Address(country="DE"))
        assert f"{name}-{number:02}" in broken(dataclasses.replace(sound, seller=party, **other))
    wrong = {"positive": Decimal(0), "zero": Decimal(5), "any": Decimal(-1), "none": Decimal(0)}[category.rate]
    lines = tuple(dataclasses.replace(one, rate=wrong) for one in sound.lines)
    assert f"{name}-05" in broken(dataclasses.replace(sound, lines=lines))
    adjustments = tuple(dataclasses.replace(one, rate=wrong) for one in sound.adjustments)
    found = broken(dataclasses.replace(sound, adjustments=adjustments))
    assert {f"{name}-06", f"{name}-07"} <= set(found)
    assert f"{name}-08" in broken(regroup(code, taxable=eur(5000)))
    assert f"{name}-09" in broken(regroup(code, tax=eur(90000)))
    assert f"{name}-10" in broken(regroup(code, exemption="" if category.reasoned else "needless"))


def test_x33_the_further_rules_of_ic_o_and_b() -> None:
    assert "BR-IC-11" in broken(categorised("K", delivered="", period=None))
    assert "BR-IC-12" in broken(categorised("K", delivery_address=None))
    mixed = categorised("O")
    standard = TaxGroup(category="S", rate=Decimal(19), taxable=eur(0), tax=eur(0))
    foreign = dataclasses.replace(mixed.lines[0], category="S", rate=Decimal(19))
    others = tuple(dataclasses.replace(one, category="S") for one in mixed.adjustments)
    mixed = dataclasses.replace(mixed, tax_groups=(*mixed.tax_groups, standard), lines=(foreign,), adjustments=others)
    assert {"BR-O-11", "BR-O-12", "BR-O-13", "BR-O-14"} <= set(broken(mixed))
    split = TaxGroup(category="B", rate=Decimal(22), taxable=eur(0), tax=eur(0))
    assert {"BR-B-01", "BR-B-02"} <= set(broken(base(tax_groups=(*BASE.tax_groups, split))))


def test_x33_vat_rules_are_complete() -> None:
    names = {rule.name for rule in VAT_RULES}
    assert {f"BR-{one.rule}-{n:02}" for one in CATEGORIES for n in range(1, 11)} <= names
    assert len(names) == len(VAT_RULES) == 98


# -- what the readers report ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pair", "rule", "field"),
    [
        ((">3407.40</cbc:PayableAmount>", ">3407.405</cbc:PayableAmount>"), "BR-DEC-18", "totals.payable"),
        (('currencyID="EUR">3407.40', 'currencyID="USD">3407.40'), "X12", "totals.payable"),
        ((">3407.40</cbc:PayableAmount>", ">3.4074e3</cbc:PayableAmount>"), "X45", "totals.payable"),
        (("<cbc:DocumentCurrencyCode>EUR", "<cbc:DocumentCurrencyCode>XXX"), "BR-CL-04", "currency"),
        (("<cbc:IssueDate>2026-03-16", "<cbc:IssueDate>2026-02-30"), "X45", "issued"),
        (("<cbc:IssueDate>2026-03-16</cbc:IssueDate>", ""), "BR-03", "issued"),
        (("<cbc:InvoiceTypeCode>380", "<cbc:InvoiceTypeCode>381"), "BR-CL-01", "type_code"),
        (('<cbc:PayableAmount currencyID="EUR">3407.40</cbc:PayableAmount>', ""), "BR-15", "totals.payable"),
        ((">3<", ">3,0<"), "X45", "lines[0].quantity"),
    ],
)  # fmt: skip
def test_what_cannot_enter_the_model_is_an_error_in_both_modes(
    changed: Callable[..., ReadResult], pair: tuple[str, str], rule: str, field: str
) -> None:
    for strict in (True, False):
        result = changed("02-", pair, strict=strict)
        assert result.items == ()
        first = result.errors[0]
        assert (first.rule, first.field) == (rule, field)
        assert first.location.line > 1 or field == "currency"


def test_a_repeated_amount_is_ambiguous_in_both_modes(changed: Callable[..., ReadResult]) -> None:
    twice = '<cbc:PayableAmount currencyID="EUR">3407.40</cbc:PayableAmount>'
    result = changed("02-", (twice, twice + twice), strict=False)
    assert [(issue.rule, issue.field) for issue in result.errors] == [("X3", "totals.payable")]


def test_x14_a_date_format_is_named(changed: Callable[..., ReadResult]) -> None:
    result = changed("04-", ('format="102">20260310', 'format="203">202603101200'))
    assert [(issue.rule, issue.message, dict(issue.values)) for issue in result.errors] == [
        ("X14", "date_format", {"format": "203"})
    ]


def test_x14_a_profile_without_lines_is_read(sample: Callable[[str], bytes]) -> None:
    text = sample("04-").decode()
    start, end = (
        text.index("    <ram:IncludedSupplyChainTradeLineItem>"),
        text.index("    <ram:ApplicableHeaderTradeAgreement>"),
    )
    bare = text[:start] + text[end:]
    assert read(bare.encode()).items == ()
    minimum = bare.replace("urn:cen.eu:en16931:2017<", "urn:factur-x.eu:1p0:minimum<")
    minimum = minimum.replace("<ram:LineTotalAmount>1700.00</ram:LineTotalAmount>", "")
    (item,) = read(minimum.encode()).items
    assert item.lines == () and item.totals.line_sum == item.totals.net == eur(170000)


def test_x13_a_negative_credit_note_is_refused(changed: Callable[..., ReadResult]) -> None:
    negative = [(f">{amount}<", f">-{amount}<") for amount in ("250.00", "47.50", "297.50")]
    result = changed("03-", *negative, strict=False)
    assert "negative_credit" in {issue.message for issue in result.errors}
