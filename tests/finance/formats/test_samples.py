"""The samples give the models they should, in every syntax and after writing (X6, X51, X52)."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from pathlib import Path

import pytest

from finance.formats import ReadOptions, describe, read, write_ubl
from finance.formats.ubl_writer import NotExportable
from finance.model import CreditNote, Identifier, Invoice, control_fields, field_map
from finance.totals import recompute
from ledger.money import Money

SAMPLES = Path(__file__).parents[3] / "cli" / "samples"
GOOD = sorted(SAMPLES.glob("*.xml"))
REFUSED = sorted((SAMPLES / "refused").glob("*.xml"))

EXPECTED = {
    "01-falkenberg-invoice-ubl": ("ubl", "FB-2026-0117", "2026-03-02", "2026-04-01", 273675, 50846, 324521, "EUR"),
    "02-falkenberg-invoice-prepaid-ubl": (
        "ubl",
        "FB-2026-0131",
        "2026-03-16",
        "2026-04-15",
        370370,
        70370,
        340740,
        "EUR",
    ),
    "03-falkenberg-credit-note-ubl": ("ubl", "FB-2026-G004", "2026-03-20", "", 25000, 4750, 29750, "EUR"),
    "04-lifeng-invoice-cii": ("cii", "LF-26-00045", "2026-03-10", "2026-04-09", 170000, 32300, 202300, "EUR"),
    "05-qiming-fapiao": ("fapiao", "26322000000000100117", "2026-03-05", "", 1754000, 225860, 1979860, "CNY"),
    "06-qiming-red-fapiao": ("fapiao", "26322000000000100205", "2026-03-18", "", 86150, 11200, 97350, "CNY"),
    "07-lifeng-fapiao": ("fapiao", "26322000000000200031", "2026-03-12", "", 1000000, 88000, 1088000, "CNY"),
    "08-chenghu-bank-fees-ubl": ("ubl", "CH-FEE-2026-03", "2026-03-31", "2026-04-10", 40000, 0, 40000, "CNY"),
}


def load(path: Path) -> Invoice:
    (item,) = read(path.read_bytes()).items
    return item


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_x51_a_sample_is_read_in_strict_mode_as_written_here(path: Path) -> None:
    result = read(path.read_bytes())
    assert result.errors == ()
    item = load(path)
    totals = item.totals
    found = (result.kind, item.number, item.issued, item.due, totals.net.minor, totals.tax.minor, totals.payable.minor)
    assert (*found, item.currency) == EXPECTED[path.stem]
    assert item.credit is ("credit" in path.stem or "red" in path.stem)


def test_every_sample_is_expected() -> None:
    assert [path.stem for path in GOOD] == sorted(EXPECTED)


@pytest.mark.parametrize(
    ("name", "rule", "field", "line"),
    [
        ("wrong-total-ubl", "BR-CO-16", "totals.payable", 102),
        ("half-file-ubl", "X42", "file", 63),
        ("entity-ubl", "X42", "file", 2),
    ],
)
def test_a_bad_sample_is_refused_with_field_place_and_reason(name: str, rule: str, field: str, line: int) -> None:
    result = read((SAMPLES / "refused" / f"{name}.xml").read_bytes())
    (issue,) = result.errors
    assert (issue.rule, issue.field, issue.location.line) == (rule, field, line)
    assert result.items == ()
    assert len(describe(issue)) > 20 and describe(issue, "zh") != describe(issue)


def test_x52_one_invoice_in_two_syntaxes_gives_equal_models() -> None:
    ubl = load(SAMPLES / "01-falkenberg-invoice-ubl.xml")
    cii = load(Path(__file__).parent / "files" / "same-as-01-cii.xml")
    assert ubl == cii
    assert field_map(ubl) == field_map(cii)
    assert (ubl.origin.kind, cii.origin.kind) == ("ubl", "cii")


@pytest.mark.parametrize("path", [p for p in GOOD if p.stem.endswith(("ubl", "cii"))], ids=lambda path: path.stem)
def test_x6_what_is_written_is_read_back_and_written_alike(path: Path) -> None:
    item = load(path)
    written = write_ubl(item)
    (again,) = read(written).items
    assert again == item and type(again) is type(item)
    assert write_ubl(again) == written


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_f16_the_totals_function_agrees_with_every_sample(path: Path) -> None:
    item = load(path)
    computed = recompute(item)
    assert computed.totals.net == item.totals.net
    if item.fapiao is None:  # the line tax of an e-fapiao is its own figure (F19)
        assert dataclasses.replace(item.totals) == computed.totals


def test_x6_same_bytes_same_items() -> None:
    for path in GOOD:
        assert read(path.read_bytes()) == read(path.read_bytes())


def test_parties_carry_the_identifiers_a_directory_knows() -> None:
    seller = load(SAMPLES / "01-falkenberg-invoice-ubl.xml").seller
    assert seller.identifiers() == (
        Identifier(value="DE275183647", scheme="VAT"),
        Identifier(value="HRB 990117"),
        Identifier(value="4260123450014", scheme="0088"),
    )
    buyer = load(SAMPLES / "05-qiming-fapiao.xml").buyer
    assert Identifier(value="91320500MA26LF7K0B", scheme="VAT") in buyer.identifiers()


def test_control_fields_are_all_that_leaves_the_owner() -> None:
    fields = control_fields(load(SAMPLES / "03-falkenberg-credit-note-ubl.xml"))
    assert (fields.credit, fields.kind, fields.number, fields.fiscal_year) == (True, "381", "FB-2026-G004", "2026")
    assert (fields.total, fields.preceding) == (Money(29750, "EUR"), "FB-2026-0117")


def test_field_map_is_canonical() -> None:
    fields = field_map(load(SAMPLES / "01-falkenberg-invoice-ubl.xml"))
    assert list(fields) == sorted(fields)
    assert fields["totals/payable"] == b"3245.21"
    assert fields["lines/0001/price"] == b"12.35" and fields["lines/0001/quantity"] == b"1500"
    assert fields["credit"] == b"0" and fields["seller/vat_id"] == b"DE275183647"
    assert not any(path.startswith("origin") for path in fields)


def test_f26_a_negative_invoice_becomes_a_credit_note_and_is_written_as_it_came() -> None:
    item = load(SAMPLES / "03-falkenberg-credit-note-ubl.xml")
    text = (SAMPLES / "03-falkenberg-credit-note-ubl.xml").read_text()
    negative = (
        text.replace("CreditNote-2", "Invoice-2")
        .replace("<CreditNote ", "<Invoice ")
        .replace("</CreditNote>", "</Invoice>")
    )
    for old, new in (
        ("CreditNoteLine", "InvoiceLine"),
        ("CreditedQuantity", "InvoicedQuantity"),
        ("CreditNoteTypeCode>381", "InvoiceTypeCode>384"),
        ("</cbc:CreditNoteTypeCode>", "</cbc:InvoiceTypeCode>"),
        (">4<", ">-4<"),
        (">250.00<", ">-250.00<"),
        (">47.50<", ">-47.50<"),
        (">297.50<", ">-297.50<"),
    ):
        negative = negative.replace(old, new)
    (credit,) = read(negative.encode()).items
    assert isinstance(credit, CreditNote) and credit.origin.root == "Invoice" and credit.origin.negated
    assert credit.totals == item.totals and credit.lines == item.lines
    written = write_ubl(credit)
    assert b"-297.50" in written and b"<Invoice " in written
    (again,) = read(written).items
    assert again == credit


def test_x18_a_model_with_faults_is_not_written() -> None:
    item = load(SAMPLES / "01-falkenberg-invoice-ubl.xml")
    broken = dataclasses.replace(item, totals=dataclasses.replace(item.totals, payable=Money(1, "EUR")))
    with pytest.raises(NotExportable) as caught:
        write_ubl(broken)
    assert caught.value.faults == (("BR-CO-16", "totals.payable"),)


def test_x3_unknown_elements_are_kept_with_their_path() -> None:
    text = (SAMPLES / "02-falkenberg-invoice-prepaid-ubl.xml").read_text()
    text = text.replace("<cbc:DocumentCurrencyCode>", "<cbc:UUID>abc</cbc:UUID><cbc:DocumentCurrencyCode>")
    result = read(text.encode())
    (item,) = result.items
    assert item.origin.extras == (("/ubl:Invoice/cbc:UUID", "abc"),)
    assert [(issue.rule, issue.severity) for issue in result.issues] == [("X3", "note")]


def test_x51_attribute_order_and_prefixes_mean_nothing() -> None:
    path = SAMPLES / "01-falkenberg-invoice-ubl.xml"
    text = path.read_text().replace("cbc:", "b:").replace("cac:", "a:").replace("xmlns:cbc", "xmlns:b")
    text = text.replace("xmlns:cac", "xmlns:a")
    assert load(path) == read(text.encode()).items[0]


def test_x4_lenient_keeps_what_strict_refuses() -> None:
    data = (SAMPLES / "refused" / "wrong-total-ubl.xml").read_bytes()
    result = read(data, None, ReadOptions(strict=False))
    assert [item.number for item in result.items] == ["FB-2026-0140"]
    assert [(issue.rule, issue.severity) for issue in result.issues] == [("BR-CO-16", "warning")]


def test_decimals_stay_exact() -> None:
    line = load(SAMPLES / "02-falkenberg-invoice-prepaid-ubl.xml").lines[0]
    assert line.price == Decimal("1234.567") and line.net == Money(370370, "EUR")
