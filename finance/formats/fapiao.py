"""Chinese electronic invoices in XML (`EInvoice`), read into the common model (X15, X16, F19, F65).

Rules
    * Exporters write the element names in several ways: the exact name first, then one alias table, and an
      alias is a note.
    * The tax of a line is the invoice's own figure with six decimals. It is kept, and checked in sum: within
      0.01 for each line. It is never computed again (F19).
    * The amount in words must say the same as the figure.
    * A red invoice has negative amounts and becomes a credit note. It names its confirmation slip.
    * The number of a natural person never gets into a document of this ledger (F3).
    * The signature is kept and not checked; the note says so.
"""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Final

from finance import identifiers
from finance.formats import values
from finance.formats.reader import Reading
from finance.formats.values import BadValue
from finance.formats.words import chinese_amount
from finance.formats.xml import Node
from finance.identifiers import Status
from finance.model import (
    LINES_MAX,
    NAME_MAX,
    Account,
    Address,
    Contact,
    Fapiao,
    Identifier,
    Invoice,
    Item,
    Line,
    Origin,
    Party,
    PaymentMeans,
    Preceding,
    TaxGroup,
    Totals,
    decimal_text,
)
from finance.totals import split
from ledger.money import Money

ROOT: Final = "EInvoice"
CURRENCY: Final = "CNY"
BLUE, RED = "Y", "N"
SPECIAL: Final = "01"

_BLUE_NUMBER: Final = re.compile(r"被红冲蓝字(?:数电|全电)?(?:发)?票号码[:：]\s*([0-9]{8,20})")
_SLIP_NUMBER: Final = re.compile(r"(?:红字发票)?信息?确认单编号[:：]\s*([0-9]{8,32})")
_PERCENT: Final = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,6})?%")
_UNTAXED: Final = {"免税": "E", "不征税": "O", "出口零税率": "Z", "普通零税率": "Z"}
_SLACK: Final = Decimal("0.01")
"""Yuan by which the tax of a line may differ from its rounded part of the total (X15)."""


@cache
def _aliases() -> dict[str, str]:
    """Return alias in lower case -> canonical name."""
    table = tomllib.loads(files("finance.formats").joinpath("fapiao.toml").read_text("utf-8"))["aliases"]
    found = {str(alias).casefold(): str(name) for name, aliases in table.items() for alias in aliases}
    found.update({str(name).casefold(): str(name) for name in table})
    return found


@cache
def _names() -> frozenset[str]:
    return frozenset(_aliases().values())


def is_root(name: str) -> bool:
    """Tell whether a file whose root has the local name `name` is an e-fapiao."""
    return _aliases().get(name.casefold()) == ROOT


def read(reading: Reading) -> Invoice:
    """Return the document below `reading.root`; faults are issues of `reading`.

    A red invoice is returned as read, with negative amounts; the caller turns it into the credit model.
    """
    root = reading.root
    _rename(reading)
    found = _by_name(root)
    reading.set_currency(CURRENCY)

    def text(name: str, field: str, limit: int = NAME_MAX) -> str:
        node = _one(reading, found, name, field)
        return reading.text_of(node, field, limit) if node is not None else ""

    def label(name: str, field: str) -> str:
        node = _one(reading, found, name, field)
        if node is None:
            return ""
        code = node.first("LabelCode")
        for part in node.children:
            part.used = True
        return reading.text_of(code if code is not None else node, field, NAME_MAX)

    number = text("InvoiceNumber", "number")
    own = text("EIid", "number")
    if own and number and own != number:
        reading.fault("X15", "number", "two_numbers", first=number, second=own)
    number = number or own
    if number and identifiers.check("fapiao", number).status is not Status.valid:
        reading.fault("X39", "number", "wrong_form", kind="fapiao", text=values.excerpt(number))
    issued, issued_at = _issued(reading, found)
    totals = _totals(reading, found)
    lines = _lines(reading, found)
    words = text("TotalTax-includedAmountInChinese", "fapiao.amount_in_words")
    _compare_words(reading, words, totals.gross)
    kind = label("InIssuType", "fapiao.red")
    if kind not in (BLUE, RED, ""):
        reading.error("X15", "fapiao.red", "unknown_code", text=values.excerpt(kind))
    red = kind == RED or (not kind and totals.gross.minor < 0)
    if red != (totals.gross.minor < 0) and totals.gross.minor:
        reading.error("X16", "totals.gross", "red_sign", label=kind or "-")
    remark = text("Remark", "notes", 4096)
    slip, blue = _red_references(reading, found, remark)
    if red and not slip:
        reading.fault("F65", "fapiao.confirmation_slip", "no_confirmation_slip")
    label("EInvoiceType", "type_code")
    special = label("GeneralOrSpecialVAT", "fapiao.special") == SPECIAL
    taxpayer = label("TaxpayerType", "fapiao.taxpayer_type")
    version = text("Version", "profile")
    _check_line_tax(reading, lines, totals.tax)
    return Invoice(
        number=number,
        type_code="381" if red else "380",
        issued=issued,
        currency=reading.ccy,
        profile=f"EInvoice {version}".strip(),
        seller=_party(reading, found, "Seller", "seller"),
        buyer=_party(reading, found, "Buyer", "buyer"),
        payment=_account(reading, found),
        notes=(remark,) if remark else (),
        preceding=(Preceding(number=blue),) if blue else (),
        tax_groups=_groups(lines, totals),
        totals=totals,
        lines=lines,
        fapiao=Fapiao(
            special=special,
            red=red,
            issued_at=issued_at,
            confirmation_slip=slip,
            amount_in_words=words,
            drawer=text("Drawer", "fapiao.drawer"),
            bureau=text("TaxBureauCode", "fapiao.bureau"),
            taxpayer_type=taxpayer,
            tag=text("EInvoiceTag", "fapiao.tag"),
            signature=_signature(reading, found),
        ),
        origin=Origin(kind="fapiao", root=ROOT),
    )


# -- names ------------------------------------------------------------------------------------------------------


def _rename(reading: Reading) -> None:
    """Give every element its canonical name; each alias in use is one note (X15)."""
    noted: set[str] = set()
    names, aliases = _names(), _aliases()
    for node in reading.root.walk():
        local = node.name.rpartition("}")[2]
        if local in names:
            node.name = local
            continue
        canonical = aliases.get(local.casefold())
        if canonical is None:
            node.name = local
            continue
        if local not in noted:
            noted.add(local)
            reading.issue("X15", "note", "", "alias", node, alias=values.excerpt(local), name=canonical)
        node.name = canonical


def _by_name(root: Node) -> dict[str, list[Node]]:
    """Return every element below `root` by name: exporters differ in nesting too, names are unique anyway."""
    found: dict[str, list[Node]] = {}
    inside: set[int] = set()
    for node in root.walk():
        if node.parent is not None and (id(node.parent) in inside or node.parent.name == "IssuItemInformation"):
            inside.add(id(node))
            continue
        found.setdefault(node.name, []).append(node)
    return found


def _one(reading: Reading, found: dict[str, list[Node]], name: str, field: str) -> Node | None:
    nodes = found.get(name, [])
    if len(nodes) > 1 and any(node.text != nodes[0].text for node in nodes):
        reading.error("X15", field, "repeated", nodes[1], count=str(len(nodes)))
    for node in nodes:
        node.used = True
    if nodes:
        reading.places.setdefault(field, nodes[0])
        return nodes[0]
    return None


# -- header -----------------------------------------------------------------------------------------------------


def _issued(reading: Reading, found: dict[str, list[Node]]) -> tuple[str, str]:
    """Return date and time of issue; without `IssueTime` the time of the request counts, with a note."""
    for name in ("IssueTime", "RequestTime"):
        node = _one(reading, found, name, "issued")
        if node is None or not node.text:
            continue
        if name == "RequestTime":
            reading.issue("X15", "note", "issued", "request_time", node)
        try:
            day, time = values.date_and_time(node.text)
        except BadValue as bad:
            reading.error("X45", "issued", bad.message, node, **bad.values)
            return "", ""
        request = found.get("RequestTime")
        if request:
            request[0].used = True
        return day, f"{day} {time}" if time else ""
    return "", ""


def _totals(reading: Reading, found: dict[str, list[Node]]) -> Totals:
    def needed(rule: str, name: str, field: str, dec: str) -> Money:
        node = _one(reading, found, name, field)
        if node is None:
            reading.gap = True
            reading.error(rule, field, "missing")
        money = reading.amount_of(node, field, dec) if node is not None else None
        return money if money is not None else reading.zero()

    net = needed("BR-13", "TotalAmWithoutTax", "totals.net", "BR-DEC-12")
    tax = needed("X15", "TotalTaxAm", "totals.tax", "BR-DEC-13")
    gross = needed("BR-14", "TotalTax-includedAmount", "totals.gross", "BR-DEC-14")
    zero = reading.zero()
    return Totals(
        line_sum=net,
        allowances=zero,
        charges=zero,
        net=net,
        tax=tax,
        gross=gross,
        prepaid=zero,
        rounding=zero,
        payable=gross,
    )


def _compare_words(reading: Reading, words: str, gross: Money) -> None:
    if not words:
        return
    minor = chinese_amount(words)
    if minor is None:
        reading.error("X16", "fapiao.amount_in_words", "unreadable_words", text=values.excerpt(words))
    elif minor not in (gross.minor, abs(gross.minor)):  # red invoices write the words with or without 负
        stated = f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02}"
        reading.error("X16", "fapiao.amount_in_words", "words_differ", words=stated)


def _red_references(reading: Reading, found: dict[str, list[Node]], remark: str) -> tuple[str, str]:
    """Return confirmation slip and blue invoice number, from their elements or from the remark text."""
    slip_node = _one(reading, found, "RedConfirmationNumber", "fapiao.confirmation_slip")
    blue_node = _one(reading, found, "OriginalInvoiceNumber", "preceding")
    slip = reading.text_of(slip_node, "fapiao.confirmation_slip", NAME_MAX) if slip_node is not None else ""
    blue = reading.text_of(blue_node, "preceding", NAME_MAX) if blue_node is not None else ""
    if not slip and (match := _SLIP_NUMBER.search(remark)):
        slip = match.group(1)
    if not blue and (match := _BLUE_NUMBER.search(remark)):
        blue = match.group(1)
    return slip, blue


def _signature(reading: Reading, found: dict[str, list[Node]]) -> str:
    """Return the signature algorithm; that it was not checked is a note (X16)."""
    node = _one(reading, found, "SignatureAlgorithm", "fapiao.signature")
    for value in found.get("SignatureValue", []):
        value.used = True
    if node is None or not node.text:
        return ""
    reading.issue("X16", "note", "fapiao.signature", "signature_not_checked", node)
    return reading.text_of(node, "fapiao.signature", NAME_MAX)


def _party(reading: Reading, found: dict[str, list[Node]], prefix: str, field: str) -> Party:
    def text(name: str, place: str) -> str:
        node = _one(reading, found, f"{prefix}{name}", f"{field}.{place}")
        return reading.text_of(node, f"{field}.{place}", NAME_MAX) if node is not None else ""

    number = text("IdNum", "vat_id")
    if not number:
        reading.fault("X15", f"{field}.vat_id", "missing")
    elif identifiers.is_resident(number):
        reading.error("F3", f"{field}.vat_id", "personal_number")
        number = ""
    else:
        checked = identifiers.check("uscc", number)
        number = checked.value
        if checked.status is not Status.valid:
            reading.fault("X39", f"{field}.vat_id", str(checked.status), kind="uscc", text=values.excerpt(number))
    address, phone = text("Addr", "address"), text("TelNum", "contact.phone")
    return Party(
        name=text("Name", "name"),
        vat_id=number,
        address=Address(lines=(address,) if address else (), country="CN"),
        contact=Contact(phone=phone) if phone else None,
    )


def _account(reading: Reading, found: dict[str, list[Node]]) -> tuple[PaymentMeans, ...]:
    """Return the bank account of the seller; the format says nothing else about payment."""
    node = _one(reading, found, "SellerBankAccNum", "payment[0].accounts[0].id")
    bank = _one(reading, found, "SellerBankName", "payment[0].accounts[0].bank")
    if node is None or not node.text:
        return ()
    account = Account(
        id=reading.text_of(node, "payment[0].accounts[0].id", NAME_MAX),
        bank=reading.text_of(bank, "payment[0].accounts[0].bank", NAME_MAX) if bank is not None else "",
    )
    return (PaymentMeans(accounts=(account,)),)


# -- lines ------------------------------------------------------------------------------------------------------


def _lines(reading: Reading, found: dict[str, list[Node]]) -> tuple[Line, ...]:
    nodes = found.get("IssuItemInformation", [])
    if len(nodes) > LINES_MAX:
        name, count = "IssuItemInformation", str(len(nodes))
        reading.error("X42", "lines", "too_many", nodes[LINES_MAX], name=name, count=count, limit=str(LINES_MAX))
    return tuple(_line(reading, node, number) for number, node in enumerate(nodes[:LINES_MAX]))


def _line(reading: Reading, node: Node, number: int) -> Line:
    field = f"lines[{number}]"
    node.used = True
    reading.places[field] = node
    category, rate = _rate(reading, node, field)
    net = reading.needed("BR-24", node, "Amount", f"{field}.net", "BR-DEC-23")
    tax = reading.quantity(node, "ComTaxAm", f"{field}.tax")
    included = reading.quantity(node, "TotaltaxIncludedAmount", f"{field}.tax")
    if tax is not None and included is not None:
        off = included - tax - Decimal(net.minor).scaleb(-reading.exponent)
        if abs(off) > _SLACK:
            reading.fault("X15", f"{field}.tax", "line_gross_differs", stated=str(included))
    code = reading.name(node, "TaxClassificationCode", f"{field}.item.classes")
    return Line(
        id=str(number + 1),
        net=net,
        quantity=reading.quantity(node, "Quantity", f"{field}.quantity"),
        unit=reading.name(node, "MeaUnits", f"{field}.unit"),
        price=reading.quantity(node, "UnPrice", f"{field}.price"),
        category=category,
        rate=rate,
        tax=tax,
        item=Item(
            name=reading.name(node, "ItemName", f"{field}.item.name"),
            description=reading.text(node, "SpecMod", f"{field}.item.description"),
            classes=(Identifier(value=code),) if code else (),
        ),
    )


def _rate(reading: Reading, node: Node, field: str) -> tuple[str, Decimal | None]:
    """Return category and percentage of a line. The file has a fraction, a percentage or a word."""
    text = reading.name(node, "TaxRate", f"{field}.rate")
    if not text:
        reading.fault("X15", f"{field}.rate", "missing")
        return "", None
    if text in _UNTAXED:
        category = _UNTAXED[text]
        return category, None if category == "O" else Decimal(0)
    place = reading.place(f"{field}.rate")
    try:
        if _PERCENT.fullmatch(text):
            rate = values.rate(text[:-1])
        else:
            fraction = values.rate(text)
            if not 0 <= fraction < 1:
                raise BadValue("bad_tax_fraction", text=values.excerpt(text))
            rate = Decimal(fraction.scaleb(2))
    except BadValue as bad:
        reading.error("X45", f"{field}.rate", bad.message, place, **bad.values)
        return "", None
    return ("S" if rate else "Z"), Decimal(decimal_text(rate))


def _check_line_tax(reading: Reading, lines: tuple[Line, ...], total: Money) -> None:
    if not lines or any(line.tax is None for line in lines):
        return
    taxes = sum((line.tax for line in lines if line.tax is not None), Decimal(0))
    stated = Decimal(total.minor).scaleb(-reading.exponent)
    if abs(taxes - stated) > _SLACK * len(lines):
        reading.fault("F19", "totals.tax", "line_taxes_differ", computed=str(taxes), stated=str(stated))


def _groups(lines: tuple[Line, ...], totals: Totals) -> tuple[TaxGroup, ...]:
    """Group the lines; the stated tax is divided in proportion to their own figures, so it adds up (F17, F19)."""
    keys = sorted({(line.category, line.rate) for line in lines}, key=lambda k: (k[0], k[1] or Decimal(0)))
    taxable = []
    weights = []
    for key in keys:
        members = [line for line in lines if (line.category, line.rate) == key]
        taxable.append(sum((line.net for line in members), Money(0, totals.net.ccy)))
        own = sum((line.tax for line in members if line.tax is not None), Decimal(0))
        weights.append(abs(int(own.scaleb(6))))
    if not any(weights):
        weights = [1 if rate else 0 for _, rate in keys]
    shares = split(totals.tax.minor, weights)
    return tuple(
        TaxGroup(category=category, rate=rate, taxable=base, tax=Money(share, base.ccy))
        for (category, rate), base, share in zip(keys, taxable, shares, strict=True)
    )
