"""UN/CEFACT Cross Industry Invoice D16B, read after the field map of EN 16931 (X1, X12, X14).

Dates are taken with format 102 alone. The profiles without lines give a header-only invoice. A credit note is
told by its type code: the root is the same.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from finance import codes
from finance.formats import values
from finance.formats.reader import Reading
from finance.formats.ubl import base64_size
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

PREFIXES: Final = {
    "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100": "rsm",
    "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100": "ram",
    "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100": "udt",
    "urn:un:unece:uncefact:data:standard:QualifiedDataType:100": "qdt",
}
ROOT: Final = "rsm:CrossIndustryInvoice"

_OBJECT: Final = "130"
_TENDER: Final = "50"
_DATE_FORMAT: Final = "102"
_DIRECT_DEBIT: Final = ("49", "59")
_TAX_POINTS: Final = {"5": "3", "29": "35", "72": "432"}
"""UNTDID 2475 as this syntax writes it -> UNTDID 2005 as the model has it (BT-8)."""

_WITHOUT_LINES: Final = ("minimum", "basicwl")


def header_only(profile: str) -> bool:
    """Tell whether `profile` is one of those that carry no lines (X14)."""
    return profile.rpartition(":")[2].lower().replace("_", "") in _WITHOUT_LINES


def read(reading: Reading) -> Invoice:
    """Return the document below `reading.root`; faults are issues of `reading`."""
    root = reading.root
    context = reading.node(root, "rsm:ExchangedDocumentContext", "")
    head = reading.node(root, "rsm:ExchangedDocument", "")
    deal = reading.node(root, "rsm:SupplyChainTradeTransaction", "")
    agreement = reading.node(deal, "ram:ApplicableHeaderTradeAgreement", "")
    delivery = reading.node(deal, "ram:ApplicableHeaderTradeDelivery", "")
    settlement = reading.node(deal, "ram:ApplicableHeaderTradeSettlement", "")
    reading.set_currency(reading.name(settlement, "ram:InvoiceCurrencyCode", "currency"))
    profile = reading.name(context, "ram:GuidelineSpecifiedDocumentContextParameter/ram:ID", "profile")
    type_code = reading.name(head, "ram:TypeCode", "type_code")
    groups, tax_point, tax_point_code = _groups(reading, settlement)
    totals, tax_currency = _totals(reading, settlement, bare=header_only(profile))
    object_id, tender, attachments = _references(reading, agreement)
    ship_to = reading.node(delivery, "ram:ShipToTradeParty", "delivery_party")
    payee = reading.node(settlement, "ram:PayeeTradeParty", "payee")
    representative = reading.node(agreement, "ram:SellerTaxRepresentativeTradeParty", "tax_representative")
    terms = reading.node(settlement, "ram:SpecifiedTradePaymentTerms", "terms")
    event = reading.node(delivery, "ram:ActualDeliverySupplyChainEvent", "delivered")
    kind: type[Invoice] = CreditNote if type_code in codes.listed("credit_types") else Invoice
    return kind(
        number=reading.name(head, "ram:ID", "number"),
        type_code=type_code,
        issued=_date(reading, head, "ram:IssueDateTime/udt:DateTimeString", "issued"),
        due=_date(reading, terms, "ram:DueDateDateTime/udt:DateTimeString", "due"),
        terms=reading.text(terms, "ram:Description", "terms"),
        currency=reading.ccy,
        tax_currency=tax_currency,
        tax_point=tax_point,
        tax_point_code=tax_point_code,
        profile=profile,
        process=reading.name(context, "ram:BusinessProcessSpecifiedDocumentContextParameter/ram:ID", "process"),
        buyer_reference=reading.name(agreement, "ram:BuyerReference", "buyer_reference"),
        accounting=reading.name(settlement, "ram:ReceivableSpecifiedTradeAccountingAccount/ram:ID", "accounting"),
        order=reading.name(agreement, "ram:BuyerOrderReferencedDocument/ram:IssuerAssignedID", "order"),
        sales_order=reading.name(agreement, "ram:SellerOrderReferencedDocument/ram:IssuerAssignedID", "sales_order"),
        contract=reading.name(agreement, "ram:ContractReferencedDocument/ram:IssuerAssignedID", "contract"),
        project=_project(reading, agreement),
        despatch=reading.name(delivery, "ram:DespatchAdviceReferencedDocument/ram:IssuerAssignedID", "despatch"),
        receipt=reading.name(delivery, "ram:ReceivingAdviceReferencedDocument/ram:IssuerAssignedID", "receipt"),
        tender=tender,
        object_id=object_id,
        notes=_notes(reading, head),
        period=_period(reading, settlement, "period"),
        preceding=_preceding(reading, settlement),
        attachments=attachments,
        seller=_party(reading, reading.node(agreement, "ram:SellerTradeParty", "seller"), "seller"),
        buyer=_party(reading, reading.node(agreement, "ram:BuyerTradeParty", "buyer"), "buyer"),
        payee=_party(reading, payee, "payee") if payee is not None else None,
        tax_representative=(
            _party(reading, representative, "tax_representative") if representative is not None else None
        ),
        delivered=_date(reading, event, "ram:OccurrenceDateTime/udt:DateTimeString", "delivered"),
        delivery_party=reading.name(ship_to, "ram:Name", "delivery_party"),
        delivery_location=next(iter(_ids(reading, ship_to, "delivery_location")), None),
        delivery_address=_address(reading, ship_to, "delivery_address"),
        payment=_payment(reading, settlement, terms),
        payment_reference=reading.name(settlement, "ram:PaymentReference", "payment_reference"),
        creditor_id=reading.name(settlement, "ram:CreditorReferenceID", "creditor_id"),
        adjustments=tuple(
            adjustment
            for number, node in enumerate(reading.nodes(settlement, "ram:SpecifiedTradeAllowanceCharge"))
            if (adjustment := _adjustment(reading, node, f"adjustments[{number}]", line=False)) is not None
        ),
        tax_groups=groups,
        totals=totals,
        lines=_lines(reading, deal),
        origin=Origin(kind="cii", root="CrossIndustryInvoice"),
    )


# -- dates, notes, references -----------------------------------------------------------------------------------


def _date(reading: Reading, parent: Node | None, path: str, field: str) -> str:
    """Return an ISO date; a format other than 102 is an error that names it (X14)."""
    node = reading.node(parent, path, field)
    if node is None or not node.text:
        return ""
    stated = node.attributes.get("format", "")
    if stated != _DATE_FORMAT:
        reading.error("X14", field, "date_format", node, format=values.excerpt(stated) or "-")
        return ""
    try:
        return values.plain_date(node.text)
    except BadValue as bad:
        reading.error("X45", field, bad.message, node, **bad.values)
        return ""


def _notes(reading: Reading, head: Node | None) -> tuple[str, ...]:
    """Return the notes; a subject code stands in front as `#AAI#`, as the other syntax writes it (BT-21)."""
    found = []
    for node in reading.nodes(head, "ram:IncludedNote"):
        subject = reading.name(node, "ram:SubjectCode", "notes")
        content = reading.text(node, "ram:Content", "notes")
        found.append(f"#{subject}#{content}" if subject else content)
    return tuple(found)


def _project(reading: Reading, agreement: Node | None) -> str:
    node = reading.node(agreement, "ram:SpecifiedProcuringProject", "project")
    reading.name(node, "ram:Name", "")  # the syntax asks for a name too; the model has the number
    return reading.name(node, "ram:ID", "project")


def _references(reading: Reading, agreement: Node | None) -> tuple[Identifier | None, str, tuple[Attachment, ...]]:
    """Return invoiced object (BT-18), tender (BT-17) and supporting documents (BG-24)."""
    object_id: Identifier | None = None
    tender = ""
    attachments: list[Attachment] = []
    for node in reading.nodes(agreement, "ram:AdditionalReferencedDocument"):
        code = reading.name(node, "ram:TypeCode", "")
        number = reading.name(node, "ram:IssuerAssignedID", "")
        if code == _OBJECT:
            scheme = reading.name(node, "ram:ReferenceTypeCode", "object_id")
            object_id = Identifier(value=number, scheme=scheme) if number else None
            continue
        if code == _TENDER:
            tender = number
            continue
        field = f"attachments[{len(attachments)}]"
        reading.places[field] = node
        content = reading.node(node, "ram:AttachmentBinaryObject", "")
        attachments.append(
            Attachment(
                number=number,
                description=reading.text(node, "ram:Name", f"{field}.description"),
                uri=reading.text(node, "ram:URIID", f"{field}.uri"),
                file_name=values.clean(content.attributes.get("filename", ""), NAME_MAX)[0] if content else "",
                media_type=values.clean(content.attributes.get("mimeCode", ""), NAME_MAX)[0] if content else "",
                size_bytes=base64_size(content.text) if content is not None else 0,
            )
        )
    return object_id, tender, tuple(attachments)


def _preceding(reading: Reading, settlement: Node | None) -> tuple[Preceding, ...]:
    found = []
    for number, node in enumerate(reading.nodes(settlement, "ram:InvoiceReferencedDocument")):
        field = f"preceding[{number}]"
        reading.places[field] = node
        found.append(
            Preceding(
                number=reading.name(node, "ram:IssuerAssignedID", f"{field}.number"),
                issued=_date(reading, node, "ram:FormattedIssueDateTime/qdt:DateTimeString", f"{field}.issued"),
            )
        )
    return tuple(found)


def _period(reading: Reading, parent: Node | None, field: str) -> Period | None:
    node = reading.node(parent, "ram:BillingSpecifiedPeriod", field)
    if node is None:
        return None
    return Period(
        start=_date(reading, node, "ram:StartDateTime/udt:DateTimeString", f"{field}.start"),
        end=_date(reading, node, "ram:EndDateTime/udt:DateTimeString", f"{field}.end"),
    )


# -- parties ----------------------------------------------------------------------------------------------------


def _ids(reading: Reading, node: Node | None, field: str) -> tuple[Identifier, ...]:
    return tuple(
        identifier
        for name in ("ram:ID", "ram:GlobalID")
        for one in reading.nodes(node, name)
        if (identifier := reading.identifier_of(one, field)) is not None
    )


def _party(reading: Reading, node: Node | None, field: str) -> Party:
    legal = reading.node(node, "ram:SpecifiedLegalOrganization", "")
    vat_id = tax_id = ""
    for one in reading.nodes(node, "ram:SpecifiedTaxRegistration/ram:ID"):
        scheme = one.attributes.get("schemeID", "")
        place = f"{field}.vat_id" if scheme == "VA" else f"{field}.tax_id"
        reading.places.setdefault(place, one)
        if scheme == "VA":
            vat_id = vat_id or reading.text_of(one, place, NAME_MAX)
        elif scheme == "FC":
            tax_id = tax_id or reading.text_of(one, place, NAME_MAX)
        else:
            one.used = False
    contact = reading.node(node, "ram:DefinedTradeContact", "")
    return Party(
        name=reading.name(node, "ram:Name", f"{field}.name"),
        trading_name=reading.name(legal, "ram:TradingBusinessName", f"{field}.trading_name"),
        ids=_ids(reading, node, f"{field}.ids"),
        legal_id=reading.identifier(legal, "ram:ID", f"{field}.legal_id"),
        vat_id=vat_id,
        tax_id=tax_id,
        endpoint=reading.identifier(node, "ram:URIUniversalCommunication/ram:URIID", f"{field}.endpoint"),
        legal_form=reading.text(node, "ram:Description", f"{field}.legal_form"),
        address=_address(reading, node, f"{field}.address"),
        contact=Contact(
            name=reading.name(contact, "ram:PersonName", f"{field}.contact.name")
            or reading.name(contact, "ram:DepartmentName", f"{field}.contact.name"),
            phone=reading.name(
                contact, "ram:TelephoneUniversalCommunication/ram:CompleteNumber", f"{field}.contact.phone"
            ),
            email=reading.name(contact, "ram:EmailURIUniversalCommunication/ram:URIID", f"{field}.contact.email"),
        )
        if contact is not None
        else None,
    )


def _address(reading: Reading, parent: Node | None, field: str) -> Address | None:
    node = reading.node(parent, "ram:PostalTradeAddress", field)
    if node is None:
        return None
    lines = [reading.name(node, f"ram:Line{number}", f"{field}.lines") for number in ("One", "Two", "Three")]
    return Address(
        lines=tuple(line for line in lines if line),
        city=reading.name(node, "ram:CityName", f"{field}.city"),
        postcode=reading.name(node, "ram:PostcodeCode", f"{field}.postcode"),
        subdivision=reading.name(node, "ram:CountrySubDivisionName", f"{field}.subdivision"),
        country=reading.name(node, "ram:CountryID", f"{field}.country"),
    )


def _payment(reading: Reading, settlement: Node | None, terms: Node | None) -> tuple[PaymentMeans, ...]:
    """Return the payment instructions; the mandate stands in the terms of this syntax (BT-89)."""
    mandate = reading.name(terms, "ram:DirectDebitMandateID", "payment")
    found: list[PaymentMeans] = []
    for number, node in enumerate(reading.nodes(settlement, "ram:SpecifiedTradeSettlementPaymentMeans")):
        field = f"payment[{number}]"
        reading.places[field] = node
        account = reading.node(node, "ram:PayeePartyCreditorFinancialAccount", "")
        place = f"{field}.accounts[0]"
        code = reading.name(node, "ram:TypeCode", f"{field}.code")
        iban = reading.name(account, "ram:IBANID", f"{place}.id")
        own = reading.name(account, "ram:ProprietaryID", f"{place}.id")
        found.append(
            PaymentMeans(
                code=code,
                text=reading.text(node, "ram:Information", f"{field}.text"),
                accounts=(
                    Account(
                        id=iban or own,
                        name=reading.name(account, "ram:AccountName", f"{place}.name"),
                        bank=reading.name(
                            node, "ram:PayeeSpecifiedCreditorFinancialInstitution/ram:BICID", f"{place}.bank"
                        ),
                    ),
                )
                if account is not None
                else (),
                card=reading.name(node, "ram:ApplicableTradeSettlementFinancialCard/ram:ID", f"{field}.card"),
                mandate=mandate if code in _DIRECT_DEBIT or not code else "",
                debited=reading.name(node, "ram:PayerPartyDebtorFinancialAccount/ram:IBANID", f"{field}.debited"),
            )
        )
    return tuple(found)


# -- money ------------------------------------------------------------------------------------------------------


def _groups(reading: Reading, settlement: Node | None) -> tuple[tuple[TaxGroup, ...], str, str]:
    """Return the VAT groups with the tax point date and code that stand among them (BG-23, BT-7, BT-8)."""
    found: list[TaxGroup] = []
    tax_point = tax_point_code = ""
    for number, node in enumerate(reading.nodes(settlement, "ram:ApplicableTradeTax")):
        field = f"tax_groups[{number}]"
        reading.places[field] = node
        reading.name(node, "ram:TypeCode", "")
        tax_point = tax_point or _date(reading, node, "ram:TaxPointDate/udt:DateString", "tax_point")
        code = reading.name(node, "ram:DueDateTypeCode", "tax_point_code")
        tax_point_code = tax_point_code or _TAX_POINTS.get(code, code)
        found.append(
            TaxGroup(
                category=reading.name(node, "ram:CategoryCode", f"{field}.category"),
                rate=reading.rate(node, "ram:RateApplicablePercent", f"{field}.rate"),
                taxable=reading.needed("BR-45", node, "ram:BasisAmount", f"{field}.taxable", "BR-DEC-19"),
                tax=reading.needed("BR-46", node, "ram:CalculatedAmount", f"{field}.tax", "BR-DEC-20"),
                exemption=reading.text(node, "ram:ExemptionReason", f"{field}.exemption"),
                exemption_code=reading.name(node, "ram:ExemptionReasonCode", f"{field}.exemption_code"),
            )
        )
    return tuple(found), tax_point, tax_point_code


def _totals(reading: Reading, settlement: Node | None, *, bare: bool) -> tuple[Totals, str]:
    """Return the totals and the tax currency (BT-6). With `bare` the profile has no sum of lines."""
    tax_currency = reading.name(settlement, "ram:TaxCurrencyCode", "tax_currency")
    if tax_currency and tax_currency not in reading.options.currencies:
        reading.error("BR-CL-05", "tax_currency", "unknown_currency", ccy=values.excerpt(tax_currency))
        tax_currency = ""
    node = reading.node(settlement, "ram:SpecifiedTradeSettlementHeaderMonetarySummation", "totals")
    tax: Money | None = None
    accounting: Money | None = None
    for one in reading.nodes(node, "ram:TaxTotalAmount"):
        if one.attributes.get("currencyID", "") == tax_currency != reading.ccy:
            reading.places["totals.tax_accounting"] = one
            accounting = reading.amount_of(one, "totals.tax_accounting", "BR-DEC-15", tax_currency)
            continue
        if tax is not None:
            reading.error("X3", "totals.tax", "repeated", one, count="2")
        reading.places["totals.tax"] = one
        tax = reading.amount_of(one, "totals.tax", "BR-DEC-13") or tax
    zero = reading.zero()
    net = reading.needed("BR-13", node, "ram:TaxBasisTotalAmount", "totals.net", "BR-DEC-12")
    sums = reading.amount(node, "ram:LineTotalAmount", "totals.line_sum", "BR-DEC-09")
    if sums is None and not bare and (node is None or node.first("ram:LineTotalAmount") is None):
        reading.gap = True
        reading.error("BR-12", "totals.line_sum", "missing", node)
    totals = Totals(
        line_sum=sums if sums is not None else net if bare else zero,
        allowances=reading.amount(node, "ram:AllowanceTotalAmount", "totals.allowances", "BR-DEC-10") or zero,
        charges=reading.amount(node, "ram:ChargeTotalAmount", "totals.charges", "BR-DEC-11") or zero,
        net=net,
        tax=tax if tax is not None else zero,
        gross=reading.needed("BR-14", node, "ram:GrandTotalAmount", "totals.gross", "BR-DEC-14"),
        prepaid=reading.amount(node, "ram:TotalPrepaidAmount", "totals.prepaid", "BR-DEC-16") or zero,
        rounding=reading.amount(node, "ram:RoundingAmount", "totals.rounding", "BR-DEC-17") or zero,
        payable=reading.needed("BR-15", node, "ram:DuePayableAmount", "totals.payable", "BR-DEC-18"),
        tax_accounting=accounting,
    )
    return totals, tax_currency


def _adjustment(reading: Reading, node: Node, field: str, *, line: bool) -> Adjustment | None:
    """Return an allowance or charge of a document or, with `line`, of a line; None if it has no direction."""
    reading.places[field] = node
    indicator = reading.name(node, "ram:ChargeIndicator/udt:Indicator", f"{field}.charge")
    if indicator not in ("true", "false", "1", "0"):
        reading.error("X13", f"{field}.charge", "bad_indicator", node, text=values.excerpt(indicator))
        return None
    charge = indicator in ("true", "1")
    if line:
        needed, amount_dec, base_dec = (
            ("BR-43", "BR-DEC-27", "BR-DEC-28") if charge else ("BR-41", "BR-DEC-24", "BR-DEC-25")
        )
    else:
        needed, amount_dec, base_dec = (
            ("BR-36", "BR-DEC-05", "BR-DEC-06") if charge else ("BR-31", "BR-DEC-01", "BR-DEC-02")
        )
    category = reading.node(node, "ram:CategoryTradeTax", f"{field}.category")
    reading.name(category, "ram:TypeCode", "")
    return Adjustment(
        charge=charge,
        amount=reading.needed(needed, node, "ram:ActualAmount", f"{field}.amount", amount_dec),
        base=reading.amount(node, "ram:BasisAmount", f"{field}.base", base_dec),
        percent=reading.rate(node, "ram:CalculationPercent", f"{field}.percent"),
        reason=reading.text(node, "ram:Reason", f"{field}.reason"),
        reason_code=reading.name(node, "ram:ReasonCode", f"{field}.reason_code"),
        category=reading.name(category, "ram:CategoryCode", f"{field}.category"),
        rate=reading.rate(category, "ram:RateApplicablePercent", f"{field}.rate"),
    )


# -- lines ------------------------------------------------------------------------------------------------------


def _lines(reading: Reading, deal: Node | None) -> tuple[Line, ...]:
    nodes = reading.nodes(deal, "ram:IncludedSupplyChainTradeLineItem", LINES_MAX)
    return tuple(_line(reading, node, f"lines[{number}]") for number, node in enumerate(nodes))


def _line(reading: Reading, node: Node, field: str) -> Line:
    reading.places[field] = node
    head = reading.node(node, "ram:AssociatedDocumentLineDocument", "")
    agreement = reading.node(node, "ram:SpecifiedLineTradeAgreement", "")
    net_price = reading.node(agreement, "ram:NetPriceProductTradePrice", f"{field}.price")
    gross_price = reading.node(agreement, "ram:GrossPriceProductTradePrice", f"{field}.gross_price")
    discount = reading.node(gross_price, "ram:AppliedTradeAllowanceCharge", "")
    reading.name(discount, "ram:ChargeIndicator/udt:Indicator", "")
    quantity = reading.node(node, "ram:SpecifiedLineTradeDelivery/ram:BilledQuantity", f"{field}.quantity")
    settlement = reading.node(node, "ram:SpecifiedLineTradeSettlement", "")
    tax = reading.node(settlement, "ram:ApplicableTradeTax", f"{field}.category")
    reading.name(tax, "ram:TypeCode", "")
    summation = reading.node(settlement, "ram:SpecifiedTradeSettlementLineMonetarySummation", "")
    reference = reading.node(settlement, "ram:AdditionalReferencedDocument", "")
    reading.name(reference, "ram:TypeCode", "")
    number = reading.name(reference, "ram:IssuerAssignedID", f"{field}.object_id")
    scheme = reading.name(reference, "ram:ReferenceTypeCode", f"{field}.object_id")
    order = reading.node(agreement, "ram:BuyerOrderReferencedDocument", "")
    base = reading.quantity(net_price, "ram:BasisQuantity", f"{field}.base_quantity")
    gross_base = reading.quantity(gross_price, "ram:BasisQuantity", f"{field}.base_quantity")
    return Line(
        id=reading.name(head, "ram:LineID", f"{field}.id"),
        net=reading.needed("BR-24", summation, "ram:LineTotalAmount", f"{field}.net", "BR-DEC-23"),
        quantity=reading.quantity_of(quantity, f"{field}.quantity") if quantity is not None else None,
        unit=values.clean(quantity.attributes.get("unitCode", ""), NAME_MAX)[0] if quantity is not None else "",
        price=_price(reading, net_price, "ram:ChargeAmount", f"{field}.price"),
        base_quantity=base if base is not None else gross_base,
        gross_price=_price(reading, gross_price, "ram:ChargeAmount", f"{field}.gross_price"),
        discount=_price(reading, discount, "ram:ActualAmount", f"{field}.discount"),
        category=reading.name(tax, "ram:CategoryCode", f"{field}.category"),
        rate=reading.rate(tax, "ram:RateApplicablePercent", f"{field}.rate"),
        item=_item(reading, reading.node(node, "ram:SpecifiedTradeProduct", f"{field}.item"), f"{field}.item"),
        note=reading.text(head, "ram:IncludedNote/ram:Content", f"{field}.note"),
        object_id=Identifier(value=number, scheme=scheme) if number else None,
        order_line=reading.name(order, "ram:LineID", f"{field}.order_line"),
        accounting=reading.name(
            settlement, "ram:ReceivableSpecifiedTradeAccountingAccount/ram:ID", f"{field}.accounting"
        ),
        period=_period(reading, settlement, f"{field}.period"),
        adjustments=tuple(
            adjustment
            for index, one in enumerate(reading.nodes(settlement, "ram:SpecifiedTradeAllowanceCharge"))
            if (adjustment := _adjustment(reading, one, f"{field}.adjustments[{index}]", line=True)) is not None
        ),
    )


def _price(reading: Reading, parent: Node | None, path: str, field: str) -> Decimal | None:
    node = reading.node(parent, path, field)
    if node is None:
        return None
    stated = node.attributes.get("currencyID", "").strip()
    if stated and reading.ccy and stated != reading.ccy:
        reading.error("X12", field, "other_currency", node, ccy=reading.ccy, stated=values.excerpt(stated))
        return None
    return reading.quantity_of(node, field)


def _item(reading: Reading, node: Node | None, field: str) -> Item:
    classes = tuple(
        identifier
        for one in reading.nodes(node, "ram:DesignatedProductClassification/ram:ClassCode")
        if (identifier := reading.identifier_of(one, f"{field}.classes", "listID")) is not None
    )
    return Item(
        name=reading.name(node, "ram:Name", f"{field}.name"),
        description=reading.text(node, "ram:Description", f"{field}.description"),
        seller_id=reading.name(node, "ram:SellerAssignedID", f"{field}.seller_id"),
        buyer_id=reading.name(node, "ram:BuyerAssignedID", f"{field}.buyer_id"),
        standard_id=reading.identifier(node, "ram:GlobalID", f"{field}.standard_id"),
        classes=classes,
        origin=reading.name(node, "ram:OriginTradeCountry/ram:ID", f"{field}.origin"),
        attributes=tuple(
            (
                reading.name(one, "ram:Description", f"{field}.attributes"),
                reading.name(one, "ram:Value", f"{field}.attributes"),
            )
            for one in reading.nodes(node, "ram:ApplicableProductCharacteristic")
        ),
    )
