"""UBL 2.1 out of the model: canonical, with fixed prefixes and element order (X6, X18).

Reading what was written gives an equal model for every field the syntax carries; `NOT_CARRIED` lists the rest.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from lxml import etree

from finance.formats import ubl
from finance.model import (
    Account,
    Address,
    Adjustment,
    CreditNote,
    Identifier,
    Invoice,
    Line,
    Party,
    Period,
    TaxGroup,
    as_negative,
    decimal_text,
)
from finance.rules import RULES, Case, check
from finance.vat_groups import VAT_RULES
from ledger.money import ISO_4217, CurrencyTable, Money, format_minor

TYPES: Final = ("380", "381", "384", "386", "389")
"""Type codes we write (X18)."""

NOT_CARRIED: Final = (
    "fapiao",
    "lines[].tax",
    "attachments[].file_name",
    "attachments[].media_type",
    "attachments[].size_bytes",
    "project of a credit note",
    "due of a credit note without payment instructions",
    "payment_reference without payment instructions",
    "origin",
)
"""Fields of the model that a UBL file of ours does not hold: the attachments themselves stay in the original."""

_CAC: Final = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
_CBC: Final = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"


class NotExportable(ValueError):
    """The model breaks rules, so no file is written (X18). `faults` are (rule, field) pairs."""

    def __init__(self, faults: tuple[tuple[str, str], ...]) -> None:
        super().__init__("; ".join(f"{rule} at {field}" for rule, field in faults))
        self.faults = faults


def write_ubl(invoice: Invoice, currencies: CurrencyTable = ISO_4217) -> bytes:
    """Return `invoice` as UBL 2.1; raise `NotExportable` if it breaks a rule or has a type we do not write.

    A credit note that was read from a negative invoice is written as that negative invoice again (F26).
    """
    if isinstance(invoice, CreditNote) and invoice.origin.negated:
        invoice = as_negative(invoice)
    faults = tuple(
        (rule.name, fault.field)
        for rule, fault in check(Case(invoice=invoice, currencies=currencies), (*RULES, *VAT_RULES))
        if not fault.severity and rule.name not in ("X39", "F15")
    )
    if invoice.type_code not in TYPES:
        faults = (*faults, ("X18", "type_code"))
    if faults:
        raise NotExportable(faults)
    return _Writer(invoice, currencies).document()


class _Writer:
    """Builds the tree of one document; every method adds the elements of one group in schema order.

    Elements are `Any`: lxml has no types of its own.
    """

    def __init__(self, invoice: Invoice, currencies: CurrencyTable) -> None:
        self.invoice = invoice
        self.currencies = currencies
        self.credit = invoice.credit
        address = ubl.CREDIT_NOTE if self.credit else ubl.INVOICE
        prefixes: dict[str | None, str] = {None: address, "cac": _CAC, "cbc": _CBC}
        self.root = etree.Element(f"{{{address}}}{'CreditNote' if self.credit else 'Invoice'}", nsmap=prefixes)

    def document(self) -> bytes:
        invoice, root = self.invoice, self.root
        self.text(root, "CustomizationID", invoice.profile)
        self.text(root, "ProfileID", invoice.process)
        self.text(root, "ID", invoice.number)
        self.text(root, "IssueDate", invoice.issued)
        if self.credit:
            self.text(root, "TaxPointDate", invoice.tax_point)
            self.text(root, "CreditNoteTypeCode", invoice.type_code)
        else:
            self.text(root, "DueDate", invoice.due)
            self.text(root, "InvoiceTypeCode", invoice.type_code)
        for note in invoice.notes:
            self.text(root, "Note", note)
        if not self.credit:
            self.text(root, "TaxPointDate", invoice.tax_point)
        self.text(root, "DocumentCurrencyCode", invoice.currency)
        self.text(root, "TaxCurrencyCode", invoice.tax_currency)
        self.text(root, "AccountingCost", invoice.accounting)
        self.text(root, "BuyerReference", invoice.buyer_reference)
        self.period(root, invoice.period, invoice.tax_point_code)
        self.references()
        self.text_party("AccountingSupplierParty", invoice.seller, creditor=invoice.creditor_id)
        self.text_party("AccountingCustomerParty", invoice.buyer)
        self.payee_and_representative()
        self.delivery()
        self.payment()
        if invoice.terms:
            self.text(self.group(root, "PaymentTerms"), "Note", invoice.terms)
        for adjustment in invoice.adjustments:
            self.adjustment(root, adjustment)
        self.taxes()
        self.totals()
        for line in invoice.lines:
            self.line(line)
        text: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)
        return text

    # -- small parts --------------------------------------------------------------------------------------------

    def group(self, parent: Any, name: str) -> Any:
        return etree.SubElement(parent, f"{{{_CAC}}}{name}")

    def text(self, parent: Any, name: str, value: str, /, **attributes: str) -> None:
        """Add an element unless `value` is empty; attributes with empty values are left out."""
        if value:
            etree.SubElement(
                parent, f"{{{_CBC}}}{name}", {key: shown for key, shown in attributes.items() if shown}
            ).text = value

    def money(self, parent: Any, name: str, amount: Money | None) -> None:
        if amount is not None:
            self.text(parent, name, format_minor(amount.minor, self.currencies[amount.ccy]), currencyID=amount.ccy)

    def price(self, parent: Any, name: str, value: Decimal | None) -> None:
        if value is not None:
            self.text(parent, name, decimal_text(value), currencyID=self.invoice.currency)

    def decimal(self, parent: Any, name: str, value: Decimal | None, /, **attributes: str) -> None:
        if value is not None:
            self.text(parent, name, decimal_text(value), **attributes)

    def identifier(self, parent: Any, name: str, value: Identifier | None, key: str = "schemeID") -> None:
        if value is not None:
            self.text(parent, name, value.value, **{key: value.scheme})

    def numbered(self, parent: Any, name: str, number: str) -> None:
        if number:
            self.text(self.group(parent, name), "ID", number)

    def period(self, parent: Any, period: Period | None, code: str = "") -> None:
        if period is None and not code:
            return
        node = self.group(parent, "InvoicePeriod")
        if period is not None:
            self.text(node, "StartDate", period.start)
            self.text(node, "EndDate", period.end)
        self.text(node, "DescriptionCode", code)

    def category(self, parent: Any, name: str, code: str, rate: Decimal | None, group: TaxGroup | None) -> None:
        if not code:
            return
        node = self.group(parent, name)
        self.text(node, "ID", code)
        self.decimal(node, "Percent", rate)
        if group is not None:
            self.text(node, "TaxExemptionReasonCode", group.exemption_code)
            self.text(node, "TaxExemptionReason", group.exemption)
        self.text(self.group(node, "TaxScheme"), "ID", "VAT")

    # -- header groups ------------------------------------------------------------------------------------------

    def references(self) -> None:
        invoice, root = self.invoice, self.root
        if invoice.order or invoice.sales_order:
            node = self.group(root, "OrderReference")
            self.text(node, "ID", invoice.order)
            self.text(node, "SalesOrderID", invoice.sales_order)
        for earlier in invoice.preceding:
            node = self.group(self.group(root, "BillingReference"), "InvoiceDocumentReference")
            self.text(node, "ID", earlier.number)
            self.text(node, "IssueDate", earlier.issued)
        self.numbered(root, "DespatchDocumentReference", invoice.despatch)
        self.numbered(root, "ReceiptDocumentReference", invoice.receipt)
        if self.credit:
            self.numbered(root, "ContractDocumentReference", invoice.contract)
        else:
            self.numbered(root, "OriginatorDocumentReference", invoice.tender)
            self.numbered(root, "ContractDocumentReference", invoice.contract)
        if invoice.object_id is not None:
            node = self.group(root, "AdditionalDocumentReference")
            self.identifier(node, "ID", invoice.object_id)
            self.text(node, "DocumentTypeCode", "130")
        for attachment in invoice.attachments:
            node = self.group(root, "AdditionalDocumentReference")
            self.text(node, "ID", attachment.number)
            self.text(node, "DocumentDescription", attachment.description)
            if attachment.uri:
                self.text(self.group(self.group(node, "Attachment"), "ExternalReference"), "URI", attachment.uri)
        if self.credit:
            self.numbered(root, "OriginatorDocumentReference", invoice.tender)
        else:
            self.numbered(root, "ProjectReference", invoice.project)

    def text_party(self, name: str, party: Party, creditor: str = "") -> None:
        self.party(self.group(self.group(self.root, name), "Party"), party, creditor)

    def party(self, node: Any, party: Party, creditor: str = "", *, named: bool = False) -> None:
        """Write a party; `named` puts its name into `PartyName`, where payee and representative have it."""
        self.identifier(node, "EndpointID", party.endpoint)
        for one in party.ids:
            self.identifier(self.group(node, "PartyIdentification"), "ID", one)
        if creditor:
            self.text(self.group(node, "PartyIdentification"), "ID", creditor, schemeID="SEPA")
        shown = party.name if named else party.trading_name
        if shown:
            self.text(self.group(node, "PartyName"), "Name", shown)
        self.address(node, "PostalAddress", party.address)
        for number, scheme in ((party.vat_id, "VAT"), (party.tax_id, "TAX")):
            if number:
                tax = self.group(node, "PartyTaxScheme")
                self.text(tax, "CompanyID", number)
                self.text(self.group(tax, "TaxScheme"), "ID", scheme)
        if (not named and party.name) or party.legal_id is not None:
            legal = self.group(node, "PartyLegalEntity")
            if not named:
                self.text(legal, "RegistrationName", party.name)
            self.identifier(legal, "CompanyID", party.legal_id)
            self.text(legal, "CompanyLegalForm", party.legal_form)
        if party.contact is not None:
            contact = self.group(node, "Contact")
            self.text(contact, "Name", party.contact.name)
            self.text(contact, "Telephone", party.contact.phone)
            self.text(contact, "ElectronicMail", party.contact.email)

    def address(self, parent: Any, name: str, address: Address | None) -> None:
        if address is None:
            return
        node = self.group(parent, name)
        first, second, *rest = (*address.lines, "", "")
        self.text(node, "StreetName", first)
        self.text(node, "AdditionalStreetName", second)
        self.text(node, "CityName", address.city)
        self.text(node, "PostalZone", address.postcode)
        self.text(node, "CountrySubentity", address.subdivision)
        for line in rest:
            if line:
                self.text(self.group(node, "AddressLine"), "Line", line)
        if address.country:
            self.text(self.group(node, "Country"), "IdentificationCode", address.country)

    def payee_and_representative(self) -> None:
        if self.invoice.payee is not None:
            self.party(self.group(self.root, "PayeeParty"), self.invoice.payee, named=True)
        if self.invoice.tax_representative is not None:
            self.party(self.group(self.root, "TaxRepresentativeParty"), self.invoice.tax_representative, named=True)

    def delivery(self) -> None:
        invoice = self.invoice
        if not (invoice.delivered or invoice.delivery_party or invoice.delivery_location or invoice.delivery_address):
            return
        node = self.group(self.root, "Delivery")
        self.text(node, "ActualDeliveryDate", invoice.delivered)
        if invoice.delivery_location or invoice.delivery_address:
            location = self.group(node, "DeliveryLocation")
            self.identifier(location, "ID", invoice.delivery_location)
            self.address(location, "Address", invoice.delivery_address)
        if invoice.delivery_party:
            self.text(self.group(self.group(node, "DeliveryParty"), "PartyName"), "Name", invoice.delivery_party)

    def payment(self) -> None:
        """Write the instructions; a credit note has its due date here, and the reference stands in each."""
        invoice = self.invoice
        for means in invoice.payment:
            node = self.group(self.root, "PaymentMeans")
            self.text(node, "PaymentMeansCode", means.code, name=means.text)
            if self.credit:
                self.text(node, "PaymentDueDate", invoice.due)
            self.text(node, "PaymentID", invoice.payment_reference)
            if means.card:
                card = self.group(node, "CardAccount")
                self.text(card, "PrimaryAccountNumberID", means.card)
                self.text(card, "NetworkID", "NA")
            for account in means.accounts:
                self.account(node, account)
            if means.mandate or means.debited:
                mandate = self.group(node, "PaymentMandate")
                self.text(mandate, "ID", means.mandate)
                self.numbered(mandate, "PayerFinancialAccount", means.debited)

    def account(self, parent: Any, account: Account) -> None:
        node = self.group(parent, "PayeeFinancialAccount")
        self.text(node, "ID", account.id)
        self.text(node, "Name", account.name)
        self.numbered(node, "FinancialInstitutionBranch", account.bank)

    # -- money --------------------------------------------------------------------------------------------------

    def adjustment(self, parent: Any, adjustment: Adjustment) -> None:
        node = self.group(parent, "AllowanceCharge")
        self.text(node, "ChargeIndicator", "true" if adjustment.charge else "false")
        self.text(node, "AllowanceChargeReasonCode", adjustment.reason_code)
        self.text(node, "AllowanceChargeReason", adjustment.reason)
        self.decimal(node, "MultiplierFactorNumeric", adjustment.percent)
        self.money(node, "Amount", adjustment.amount)
        self.money(node, "BaseAmount", adjustment.base)
        self.category(node, "TaxCategory", adjustment.category, adjustment.rate, None)

    def taxes(self) -> None:
        node = self.group(self.root, "TaxTotal")
        self.money(node, "TaxAmount", self.invoice.totals.tax)
        for group in self.invoice.tax_groups:
            part = self.group(node, "TaxSubtotal")
            self.money(part, "TaxableAmount", group.taxable)
            self.money(part, "TaxAmount", group.tax)
            self.category(part, "TaxCategory", group.category, group.rate, group)
        if self.invoice.totals.tax_accounting is not None:
            self.money(self.group(self.root, "TaxTotal"), "TaxAmount", self.invoice.totals.tax_accounting)

    def totals(self) -> None:
        totals = self.invoice.totals
        node = self.group(self.root, "LegalMonetaryTotal")
        self.money(node, "LineExtensionAmount", totals.line_sum)
        self.money(node, "TaxExclusiveAmount", totals.net)
        self.money(node, "TaxInclusiveAmount", totals.gross)
        for name, amount in (
            ("AllowanceTotalAmount", totals.allowances),
            ("ChargeTotalAmount", totals.charges),
            ("PrepaidAmount", totals.prepaid),
            ("PayableRoundingAmount", totals.rounding),
        ):
            self.money(node, name, amount if amount.minor else None)
        self.money(node, "PayableAmount", totals.payable)

    def line(self, line: Line) -> None:
        node = self.group(self.root, "CreditNoteLine" if self.credit else "InvoiceLine")
        self.text(node, "ID", line.id)
        self.text(node, "Note", line.note)
        quantity = "CreditedQuantity" if self.credit else "InvoicedQuantity"
        self.decimal(node, quantity, line.quantity, unitCode=line.unit)
        self.money(node, "LineExtensionAmount", line.net)
        self.text(node, "AccountingCost", line.accounting)
        self.period(node, line.period)
        if line.order_line:
            self.text(self.group(node, "OrderLineReference"), "LineID", line.order_line)
        if line.object_id is not None:
            reference = self.group(node, "DocumentReference")
            self.identifier(reference, "ID", line.object_id)
            self.text(reference, "DocumentTypeCode", "130")
        for adjustment in line.adjustments:
            self.adjustment(node, adjustment)
        self.item(node, line)
        price = self.group(node, "Price")
        self.price(price, "PriceAmount", line.price)
        self.decimal(price, "BaseQuantity", line.base_quantity, unitCode=line.unit)
        if line.discount is not None or line.gross_price is not None:
            discount = self.group(price, "AllowanceCharge")
            self.text(discount, "ChargeIndicator", "false")
            self.price(discount, "Amount", line.discount)
            self.price(discount, "BaseAmount", line.gross_price)

    def item(self, parent: Any, line: Line) -> None:
        item = line.item
        node = self.group(parent, "Item")
        self.text(node, "Description", item.description)
        self.text(node, "Name", item.name)
        self.numbered(node, "BuyersItemIdentification", item.buyer_id)
        self.numbered(node, "SellersItemIdentification", item.seller_id)
        if item.standard_id is not None:
            self.identifier(self.group(node, "StandardItemIdentification"), "ID", item.standard_id)
        if item.origin:
            self.text(self.group(node, "OriginCountry"), "IdentificationCode", item.origin)
        for one in item.classes:
            self.identifier(self.group(node, "CommodityClassification"), "ItemClassificationCode", one, "listID")
        self.category(node, "ClassifiedTaxCategory", line.category, line.rate, None)
        for name, value in item.attributes:
            pair = self.group(node, "AdditionalItemProperty")
            self.text(pair, "Name", name)
            self.text(pair, "Value", value)
