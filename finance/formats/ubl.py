"""UBL 2.1 Invoice and CreditNote, read after the field map of EN 16931 (X1, X12, X13).

A credit note is another root with other names for four elements; everything else is common. Allowances and
charges differ by `ChargeIndicator` alone. Each amount names its currency; two tax totals mean that one of
them is in the currency of the tax authority.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from finance import codes
from finance.formats import values
from finance.formats.reader import Reading
from finance.formats.values import BadValue
from finance.formats.xml import Node
from finance.model import (
    LINES_MAX,
    NAME_MAX,
    Account,
    Address,
    Adjustment,
    Attachment,
    Contact,
    CreditNote,
    Identifier,
    Invoice,
    Item,
    Line,
    Origin,
    Party,
    PaymentMeans,
    Period,
    Preceding,
    TaxGroup,
    Totals,
)
from ledger.money import Money

INVOICE: Final = "urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"
CREDIT_NOTE: Final = "urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2"
PREFIXES: Final = {
    INVOICE: "ubl",
    CREDIT_NOTE: "cn",
    "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2": "cac",
    "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2": "cbc",
    "urn:oasis:names:specification:ubl:schema:xsd:CommonExtensionComponents-2": "ext",
}
ROOT_INVOICE: Final = "ubl:Invoice"
ROOT_CREDIT_NOTE: Final = "cn:CreditNote"

_OBJECT_REFERENCE: Final = "130"
"""UNTDID 1001 code that makes an additional document reference the invoiced object (BT-18, BT-128)."""

_SEPA: Final = "SEPA"
"""Scheme under which a party identification is the creditor reference of a direct debit (BT-90)."""


def read(reading: Reading) -> Invoice:
    """Return the document below `reading.root`; faults are issues of `reading`."""
    root = reading.root
    credit = root.name == ROOT_CREDIT_NOTE
    reading.set_currency(reading.text(root, "cbc:DocumentCurrencyCode", "currency", NAME_MAX))
    groups, tax, accounting, tax_currency = _taxes(reading, root)
    totals = _totals(reading, root, tax, accounting)
    object_id, attachments = _references(reading, root)
    supplier = reading.node(root, "cac:AccountingSupplierParty/cac:Party", "seller")
    payee = reading.node(root, "cac:PayeeParty", "payee")
    representative = reading.node(root, "cac:TaxRepresentativeParty", "tax_representative")
    delivery = reading.node(root, "cac:Delivery", "delivered")
    location = reading.node(delivery, "cac:DeliveryLocation", "")
    payment, reference, payment_due = _payment(reading, root)
    due = reading.date(root, "cbc:DueDate", "due") or payment_due
    kind: type[Invoice] = CreditNote if credit else Invoice
    return kind(
        number=reading.name(root, "cbc:ID", "number"),
        type_code=reading.name(root, "cbc:CreditNoteTypeCode" if credit else "cbc:InvoiceTypeCode", "type_code"),
        issued=reading.date(root, "cbc:IssueDate", "issued"),
        due=due,
        terms=reading.text(root, "cac:PaymentTerms/cbc:Note", "terms"),
        currency=reading.ccy,
        tax_currency=tax_currency,
        tax_point=reading.date(root, "cbc:TaxPointDate", "tax_point"),
        tax_point_code=reading.name(root, "cac:InvoicePeriod/cbc:DescriptionCode", "tax_point_code"),
        profile=reading.name(root, "cbc:CustomizationID", "profile"),
        process=reading.name(root, "cbc:ProfileID", "process"),
        buyer_reference=reading.name(root, "cbc:BuyerReference", "buyer_reference"),
        accounting=reading.name(root, "cbc:AccountingCost", "accounting"),
        order=reading.name(root, "cac:OrderReference/cbc:ID", "order"),
        sales_order=reading.name(root, "cac:OrderReference/cbc:SalesOrderID", "sales_order"),
        contract=reading.name(root, "cac:ContractDocumentReference/cbc:ID", "contract"),
        project=reading.name(root, "cac:ProjectReference/cbc:ID", "project"),
        despatch=reading.name(root, "cac:DespatchDocumentReference/cbc:ID", "despatch"),
        receipt=reading.name(root, "cac:ReceiptDocumentReference/cbc:ID", "receipt"),
        tender=reading.name(root, "cac:OriginatorDocumentReference/cbc:ID", "tender"),
        object_id=object_id,
        notes=tuple(reading.text_of(node, "notes") for node in reading.nodes(root, "cbc:Note")),
        period=_period(reading, root, "cac:InvoicePeriod", "period"),
        preceding=_preceding(reading, root),
        attachments=attachments,
        seller=_party(reading, supplier, "seller"),
        buyer=_party(reading, reading.node(root, "cac:AccountingCustomerParty/cac:Party", "buyer"), "buyer"),
        payee=_party(reading, payee, "payee") if payee is not None else None,
        tax_representative=(
            _party(reading, representative, "tax_representative") if representative is not None else None
        ),
        delivered=reading.date(delivery, "cbc:ActualDeliveryDate", "delivered"),
        delivery_party=reading.name(delivery, "cac:DeliveryParty/cac:PartyName/cbc:Name", "delivery_party"),
        delivery_location=reading.identifier(location, "cbc:ID", "delivery_location"),
        delivery_address=_address(reading, location, "cac:Address", "delivery_address"),
        payment=payment,
        payment_reference=reference,
        creditor_id=_creditor(reading, supplier, payee),
        adjustments=tuple(
            adjustment
            for number, node in enumerate(reading.nodes(root, "cac:AllowanceCharge"))
            if (adjustment := _adjustment(reading, node, f"adjustments[{number}]", line=False)) is not None
        ),
        tax_groups=groups,
        totals=totals,
        lines=_lines(reading, root, credit=credit),
        origin=Origin(kind="ubl", root="CreditNote" if credit else "Invoice"),
    )


def codes_of(name: str) -> frozenset[str]:
    """Return the type codes that belong to one root alone; the other list holds codes of both roots."""
    return codes.listed(name) - codes.listed("credit_types" if name == "invoice_types" else "invoice_types")


# -- parties ----------------------------------------------------------------------------------------------------


def _party(reading: Reading, node: Node | None, field: str) -> Party:
    legal = reading.node(node, "cac:PartyLegalEntity", "")
    vat_id = tax_id = ""
    for scheme in reading.nodes(node, "cac:PartyTaxScheme"):
        number = reading.name(scheme, "cbc:CompanyID", f"{field}.vat_id")
        if reading.name(scheme, "cac:TaxScheme/cbc:ID", "").upper() == "VAT":
            vat_id = vat_id or number
        elif not tax_id:
            tax_id = number
    ids = tuple(
        identifier
        for one in reading.nodes(node, "cac:PartyIdentification/cbc:ID")
        if one.attributes.get("schemeID") != _SEPA
        and (identifier := reading.identifier_of(one, f"{field}.ids")) is not None
    )
    trading = reading.name(node, "cac:PartyName/cbc:Name", f"{field}.trading_name")
    name = reading.name(legal, "cbc:RegistrationName", f"{field}.name")
    if not name and field in ("payee", "tax_representative"):  # these two have their name in `PartyName`
        name, trading = trading, ""
    contact = reading.node(node, "cac:Contact", "")
    return Party(
        name=name,
        trading_name=trading,
        ids=ids,
        legal_id=reading.identifier(legal, "cbc:CompanyID", f"{field}.legal_id"),
        vat_id=vat_id,
        tax_id=tax_id,
        endpoint=reading.identifier(node, "cbc:EndpointID", f"{field}.endpoint"),
        legal_form=reading.text(legal, "cbc:CompanyLegalForm", f"{field}.legal_form"),
        address=_address(reading, node, "cac:PostalAddress", f"{field}.address"),
        contact=Contact(
            name=reading.name(contact, "cbc:Name", f"{field}.contact.name"),
            phone=reading.name(contact, "cbc:Telephone", f"{field}.contact.phone"),
            email=reading.name(contact, "cbc:ElectronicMail", f"{field}.contact.email"),
        )
        if contact is not None
        else None,
    )


def _address(reading: Reading, parent: Node | None, path: str, field: str) -> Address | None:
    node = reading.node(parent, path, field)
    if node is None:
        return None
    lines = [
        reading.name(node, "cbc:StreetName", f"{field}.lines"),
        reading.name(node, "cbc:AdditionalStreetName", f"{field}.lines"),
        *(reading.text_of(one, f"{field}.lines", NAME_MAX) for one in reading.nodes(node, "cac:AddressLine/cbc:Line")),
    ]
    return Address(
        lines=tuple(line for line in lines if line),
        city=reading.name(node, "cbc:CityName", f"{field}.city"),
        postcode=reading.name(node, "cbc:PostalZone", f"{field}.postcode"),
        subdivision=reading.name(node, "cbc:CountrySubentity", f"{field}.subdivision"),
        country=reading.name(node, "cac:Country/cbc:IdentificationCode", f"{field}.country"),
    )


def _creditor(reading: Reading, *parties: Node | None) -> str:
    for party in parties:
        for node in party.all("cac:PartyIdentification") if party is not None else ():
            number = node.first("cbc:ID")
            if number is not None and number.attributes.get("schemeID") == _SEPA:
                return reading.text_of(number, "creditor_id", NAME_MAX)
    return ""


# -- header groups ----------------------------------------------------------------------------------------------


def _period(reading: Reading, parent: Node, path: str, field: str) -> Period | None:
    node = reading.node(parent, path, field)
    if node is None:
        return None
    start = reading.date(node, "cbc:StartDate", f"{field}.start")
    end = reading.date(node, "cbc:EndDate", f"{field}.end")
    if not start and not end and node.first("cbc:DescriptionCode") is not None:
        return None  # the group may carry the tax point code alone (BT-8)
    return Period(start=start, end=end)


def _preceding(reading: Reading, root: Node) -> tuple[Preceding, ...]:
    found = []
    for number, node in enumerate(reading.nodes(root, "cac:BillingReference/cac:InvoiceDocumentReference")):
        field = f"preceding[{number}]"
        reading.places[field] = node
        found.append(
            Preceding(
                number=reading.name(node, "cbc:ID", f"{field}.number"),
                issued=reading.date(node, "cbc:IssueDate", f"{field}.issued"),
            )
        )
    return tuple(found)


def _references(reading: Reading, root: Node) -> tuple[Identifier | None, tuple[Attachment, ...]]:
    """Return the invoiced object (BT-18) and the supporting documents (BG-24)."""
    object_id: Identifier | None = None
    attachments: list[Attachment] = []
    for node in reading.nodes(root, "cac:AdditionalDocumentReference"):
        if reading.name(node, "cbc:DocumentTypeCode", "") == _OBJECT_REFERENCE:
            object_id = reading.identifier(node, "cbc:ID", "object_id")
            continue
        field = f"attachments[{len(attachments)}]"
        reading.places[field] = node
        content = reading.node(node, "cac:Attachment/cbc:EmbeddedDocumentBinaryObject", "")
        attachments.append(
            Attachment(
                number=reading.name(node, "cbc:ID", f"{field}.number"),
                description=reading.text(node, "cbc:DocumentDescription", f"{field}.description"),
                uri=reading.text(node, "cac:Attachment/cac:ExternalReference/cbc:URI", f"{field}.uri"),
                file_name=values.clean(content.attributes.get("filename", ""), NAME_MAX)[0] if content else "",
                media_type=values.clean(content.attributes.get("mimeCode", ""), NAME_MAX)[0] if content else "",
                size_bytes=base64_size(content.text) if content is not None else 0,
            )
        )
    return object_id, tuple(attachments)


def base64_size(text: str) -> int:
    """Return the number of bytes that base64 `text` stands for, without decoding it."""
    return len("".join(text.split()).rstrip("=")) * 3 // 4


def _payment(reading: Reading, root: Node) -> tuple[tuple[PaymentMeans, ...], str, str]:
    """Return instructions, payment reference (BT-83) and the due date of a credit note (BT-9).

    The syntax repeats the reference with every instruction; one that differs from the first goes to `extras`.
    """
    found: list[PaymentMeans] = []
    due = reference = ""
    for number, node in enumerate(reading.nodes(root, "cac:PaymentMeans")):
        field = f"payment[{number}]"
        reading.places[field] = node
        code = reading.node(node, "cbc:PaymentMeansCode", f"{field}.code")
        due = due or reading.date(node, "cbc:PaymentDueDate", "due")
        stated = node.first("cbc:PaymentID")
        if stated is not None and (not reference or values.clean(stated.text, NAME_MAX)[0] == reference):
            reference = reading.name(node, "cbc:PaymentID", "payment_reference")
        accounts = tuple(
            Account(
                id=reading.name(account, "cbc:ID", f"{field}.accounts[{index}].id"),
                name=reading.name(account, "cbc:Name", f"{field}.accounts[{index}].name"),
                bank=reading.name(account, "cac:FinancialInstitutionBranch/cbc:ID", f"{field}.accounts[{index}].bank"),
            )
            for index, account in enumerate(reading.nodes(node, "cac:PayeeFinancialAccount"))
        )
        found.append(
            PaymentMeans(
                code=reading.text_of(code, f"{field}.code", NAME_MAX) if code is not None else "",
                text=values.clean(code.attributes.get("name", ""), NAME_MAX)[0] if code is not None else "",
                accounts=accounts,
                card=reading.name(node, "cac:CardAccount/cbc:PrimaryAccountNumberID", f"{field}.card"),
                mandate=reading.name(node, "cac:PaymentMandate/cbc:ID", f"{field}.mandate"),
                debited=reading.name(node, "cac:PaymentMandate/cac:PayerFinancialAccount/cbc:ID", f"{field}.debited"),
            )
        )
    return tuple(found), reference, due


# -- money ------------------------------------------------------------------------------------------------------


def _taxes(reading: Reading, root: Node) -> tuple[tuple[TaxGroup, ...], Money | None, Money | None, str]:
    """Return groups, VAT total, VAT total in tax currency, and that currency (BG-23, BT-110, BT-111, BT-6)."""
    tax_currency = reading.name(root, "cbc:TaxCurrencyCode", "tax_currency")
    if tax_currency and tax_currency not in reading.options.currencies:
        reading.error("BR-CL-05", "tax_currency", "unknown_currency", ccy=values.excerpt(tax_currency))
        tax_currency = ""
    tax: Money | None = None
    accounting: Money | None = None
    groups: list[TaxGroup] = []
    for node in reading.nodes(root, "cac:TaxTotal"):
        stated = node.first("cbc:TaxAmount")
        code = stated.attributes.get("currencyID", "") if stated is not None else ""
        if code == tax_currency != reading.ccy:
            if accounting is not None and stated is not None:
                reading.error("X3", "totals.tax_accounting", "repeated", stated, count="2")
            found = reading.node(node, "cbc:TaxAmount", "totals.tax_accounting")
            if found is not None:
                accounting = reading.amount_of(found, "totals.tax_accounting", "BR-DEC-15", tax_currency)
            continue
        if tax is not None:
            reading.error("X3", "totals.tax", "repeated", node, count="2")
        tax = reading.amount(node, "cbc:TaxAmount", "totals.tax", "BR-DEC-13") or tax
        for part in reading.nodes(node, "cac:TaxSubtotal"):
            groups.append(_group(reading, part, f"tax_groups[{len(groups)}]"))
    return tuple(groups), tax, accounting, tax_currency


def _group(reading: Reading, node: Node, field: str) -> TaxGroup:
    reading.places[field] = node
    category = reading.node(node, "cac:TaxCategory", f"{field}.category")
    reading.name(category, "cac:TaxScheme/cbc:ID", "")
    return TaxGroup(
        category=reading.name(category, "cbc:ID", f"{field}.category"),
        rate=reading.rate(category, "cbc:Percent", f"{field}.rate"),
        taxable=reading.needed("BR-45", node, "cbc:TaxableAmount", f"{field}.taxable", "BR-DEC-19"),
        tax=reading.needed("BR-46", node, "cbc:TaxAmount", f"{field}.tax", "BR-DEC-20"),
        exemption=reading.text(category, "cbc:TaxExemptionReason", f"{field}.exemption"),
        exemption_code=reading.name(category, "cbc:TaxExemptionReasonCode", f"{field}.exemption_code"),
    )


def _totals(reading: Reading, root: Node, tax: Money | None, accounting: Money | None) -> Totals:
    node = reading.node(root, "cac:LegalMonetaryTotal", "totals")
    zero = reading.zero()
    return Totals(
        line_sum=reading.needed("BR-12", node, "cbc:LineExtensionAmount", "totals.line_sum", "BR-DEC-09"),
        allowances=reading.amount(node, "cbc:AllowanceTotalAmount", "totals.allowances", "BR-DEC-10") or zero,
        charges=reading.amount(node, "cbc:ChargeTotalAmount", "totals.charges", "BR-DEC-11") or zero,
        net=reading.needed("BR-13", node, "cbc:TaxExclusiveAmount", "totals.net", "BR-DEC-12"),
        tax=tax if tax is not None else zero,
        gross=reading.needed("BR-14", node, "cbc:TaxInclusiveAmount", "totals.gross", "BR-DEC-14"),
        prepaid=reading.amount(node, "cbc:PrepaidAmount", "totals.prepaid", "BR-DEC-16") or zero,
        rounding=reading.amount(node, "cbc:PayableRoundingAmount", "totals.rounding", "BR-DEC-17") or zero,
        payable=reading.needed("BR-15", node, "cbc:PayableAmount", "totals.payable", "BR-DEC-18"),
        tax_accounting=accounting,
    )


def _adjustment(reading: Reading, node: Node, field: str, *, line: bool) -> Adjustment | None:
    """Return an allowance or charge of a document or, with `line`, of a line; None if it has no direction."""
    reading.places[field] = node
    indicator = reading.text(node, "cbc:ChargeIndicator", f"{field}.charge", NAME_MAX)
    if indicator not in ("true", "false", "1", "0"):
        reading.error("X13", f"{field}.charge", "bad_indicator", node, text=values.excerpt(indicator))
        return None
    charge = indicator in ("true", "1")
    rules = (
        (("BR-41", "BR-DEC-24", "BR-DEC-25"), ("BR-43", "BR-DEC-27", "BR-DEC-28"))
        if line
        else (
            ("BR-31", "BR-DEC-01", "BR-DEC-02"),
            ("BR-36", "BR-DEC-05", "BR-DEC-06"),
        )
    )
    needed, amount_dec, base_dec = rules[1] if charge else rules[0]
    category = reading.node(node, "cac:TaxCategory", f"{field}.category")
    reading.name(category, "cac:TaxScheme/cbc:ID", "")
    return Adjustment(
        charge=charge,
        amount=reading.needed(needed, node, "cbc:Amount", f"{field}.amount", amount_dec),
        base=reading.amount(node, "cbc:BaseAmount", f"{field}.base", base_dec),
        percent=reading.rate(node, "cbc:MultiplierFactorNumeric", f"{field}.percent"),
        reason=reading.text(node, "cbc:AllowanceChargeReason", f"{field}.reason"),
        reason_code=reading.name(node, "cbc:AllowanceChargeReasonCode", f"{field}.reason_code"),
        category=reading.name(category, "cbc:ID", f"{field}.category"),
        rate=reading.rate(category, "cbc:Percent", f"{field}.rate"),
    )


# -- lines ------------------------------------------------------------------------------------------------------


def _lines(reading: Reading, root: Node, *, credit: bool) -> tuple[Line, ...]:
    nodes = reading.nodes(root, "cac:CreditNoteLine" if credit else "cac:InvoiceLine", LINES_MAX)
    quantity = "cbc:CreditedQuantity" if credit else "cbc:InvoicedQuantity"
    return tuple(_line(reading, node, f"lines[{number}]", quantity) for number, node in enumerate(nodes))


def _line(reading: Reading, node: Node, field: str, quantity_name: str) -> Line:
    reading.places[field] = node
    quantity = reading.node(node, quantity_name, f"{field}.quantity")
    item = reading.node(node, "cac:Item", f"{field}.item")
    category = reading.node(item, "cac:ClassifiedTaxCategory", f"{field}.category")
    reading.name(category, "cac:TaxScheme/cbc:ID", "")
    price = reading.node(node, "cac:Price", f"{field}.price")
    discount = reading.node(price, "cac:AllowanceCharge", "")
    reading.text(discount, "cbc:ChargeIndicator", "")
    reference = reading.node(node, "cac:DocumentReference", "")
    reading.name(reference, "cbc:DocumentTypeCode", "")
    return Line(
        id=reading.name(node, "cbc:ID", f"{field}.id"),
        net=reading.needed("BR-24", node, "cbc:LineExtensionAmount", f"{field}.net", "BR-DEC-23"),
        quantity=reading.quantity_of(quantity, f"{field}.quantity") if quantity is not None else None,
        unit=values.clean(quantity.attributes.get("unitCode", ""), NAME_MAX)[0] if quantity is not None else "",
        price=_price(reading, price, "cbc:PriceAmount", f"{field}.price"),
        base_quantity=reading.quantity(price, "cbc:BaseQuantity", f"{field}.base_quantity"),
        gross_price=_price(reading, discount, "cbc:BaseAmount", f"{field}.gross_price"),
        discount=_price(reading, discount, "cbc:Amount", f"{field}.discount"),
        category=reading.name(category, "cbc:ID", f"{field}.category"),
        rate=reading.rate(category, "cbc:Percent", f"{field}.rate"),
        item=_item(reading, item, f"{field}.item"),
        note=reading.text(node, "cbc:Note", f"{field}.note"),
        object_id=reading.identifier(reference, "cbc:ID", f"{field}.object_id"),
        order_line=reading.name(node, "cac:OrderLineReference/cbc:LineID", f"{field}.order_line"),
        accounting=reading.name(node, "cbc:AccountingCost", f"{field}.accounting"),
        period=_period(reading, node, "cac:InvoicePeriod", f"{field}.period"),
        adjustments=tuple(
            adjustment
            for number, one in enumerate(reading.nodes(node, "cac:AllowanceCharge"))
            if (adjustment := _adjustment(reading, one, f"{field}.adjustments[{number}]", line=True)) is not None
        ),
    )


def _price(reading: Reading, parent: Node | None, path: str, field: str) -> Decimal | None:
    """Return a unit price: as many decimals as it has, but in the document currency (X12, X13)."""
    node = reading.node(parent, path, field)
    if node is None:
        return None
    stated = node.attributes.get("currencyID", "").strip()
    if stated and reading.ccy and stated != reading.ccy:
        reading.error("X12", field, "other_currency", node, ccy=reading.ccy, stated=values.excerpt(stated))
        return None
    try:
        return values.quantity(node.text)
    except BadValue as bad:
        reading.error("X45", field, bad.message, node, **bad.values)
        return None


def _item(reading: Reading, node: Node | None, field: str) -> Item:
    classes = tuple(
        identifier
        for one in reading.nodes(node, "cac:CommodityClassification/cbc:ItemClassificationCode")
        if (identifier := reading.identifier_of(one, f"{field}.classes", "listID")) is not None
    )
    return Item(
        name=reading.name(node, "cbc:Name", f"{field}.name"),
        description=reading.text(node, "cbc:Description", f"{field}.description"),
        seller_id=reading.name(node, "cac:SellersItemIdentification/cbc:ID", f"{field}.seller_id"),
        buyer_id=reading.name(node, "cac:BuyersItemIdentification/cbc:ID", f"{field}.buyer_id"),
        standard_id=reading.identifier(node, "cac:StandardItemIdentification/cbc:ID", f"{field}.standard_id"),
        classes=classes,
        origin=reading.name(node, "cac:OriginCountry/cbc:IdentificationCode", f"{field}.origin"),
        attributes=tuple(
            (
                reading.name(one, "cbc:Name", f"{field}.attributes"),
                reading.name(one, "cbc:Value", f"{field}.attributes"),
            )
            for one in reading.nodes(node, "cac:AdditionalItemProperty")
        ),
    )
