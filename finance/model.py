"""The objects of trade documents: one model for every format (X1).

Rules
    * Every object is frozen; amounts are `Money` in minor units, quantities, prices and rates are exact
      decimals (F13, F14), dates are ISO texts (`2026-03-31`), an absent text is `""`.
    * `Invoice.origin` and its `extras` say where a document came from; they are no part of equality, so
      one invoice written in two syntaxes gives equal models (X52).
    * A credit note carries positive amounts that reduce. A negative invoice becomes a `CreditNote` too and
      keeps the name of its original root in `origin.root` (X13, F26).
    * A field is named by its path here (`totals.payable`, `lines[2].net`) in issues and in the locations of a
      reader; the field map writes the same paths as the field tree wants them (`lines/0002/net`, S78).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, TypeVar

from ledger.money import ISO_4217, CurrencyTable, Money, format_minor

Severity = Literal["error", "warning", "note"]
T = TypeVar("T")

NAME_MAX: Final = 256
"""Characters of a name in the model; the original keeps the rest (X48)."""

TEXT_MAX: Final = 4096
"""Characters of a text in the model; the original keeps the rest (X48)."""

LINES_MAX: Final = 20_000
"""Lines of one document. More does not fit into a file of the size limit in any supported syntax."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where an issue sits: element path and 1-based line, or 0 when there is none to point at."""

    path: str = ""
    line: int = 0
    column: int = 0
    cell: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One finding about a document (X2). `message` is a key; `formats.messages.describe` gives the sentence.

    `rule` is the name in EN 16931 (`BR-CO-16`) or the number of the design rule (`X42`). `values` are the
    (name, text) pairs that the message shows, sorted by name.
    """

    rule: str
    severity: Severity
    field: str
    message: str
    location: Location = Location()
    excerpt: str = ""
    values: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """A registered name of a party or an item. `scheme` is an ISO 6523 code (`0088`) or empty."""

    value: str
    scheme: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    lines: tuple[str, ...] = ()
    city: str = ""
    postcode: str = ""
    subdivision: str = ""
    country: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    name: str = ""
    phone: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A company as a document names it. `vat_id` is BT-31/48, `tax_id` a local tax number (BT-32)."""

    name: str = ""
    trading_name: str = ""
    ids: tuple[Identifier, ...] = ()
    legal_id: Identifier | None = None
    vat_id: str = ""
    tax_id: str = ""
    endpoint: Identifier | None = None
    legal_form: str = ""
    address: Address | None = None
    contact: Contact | None = None

    def identifiers(self) -> tuple[Identifier, ...]:
        """Return every identifier, the strongest first, each once: for the lookup in a directory of parties.

        VAT and local tax numbers carry the made-up schemes `VAT` and `TAX`.
        """
        found = [Identifier(value=self.vat_id, scheme="VAT")] if self.vat_id else []
        if self.legal_id is not None:
            found.append(self.legal_id)
        if self.tax_id:
            found.append(Identifier(value=self.tax_id, scheme="TAX"))
        found.extend(self.ids)
        if self.endpoint is not None:
            found.append(self.endpoint)
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    start: str = ""
    end: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account to pay to (BG-17): IBAN or other number, its name, BIC."""

    id: str
    name: str = ""
    bank: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMeans:
    """How to pay (BG-16). `card` holds the last digits only (BR-51); `mandate` and `debited` are direct debit."""

    code: str = ""
    text: str = ""
    accounts: tuple[Account, ...] = ()
    card: str = ""
    mandate: str = ""
    debited: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preceding:
    """An earlier invoice this document refers to (BG-3)."""

    number: str
    issued: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A supporting document (BG-24). The content stays in the original; `size_bytes` is its decoded length."""

    number: str
    description: str = ""
    uri: str = ""
    file_name: str = ""
    media_type: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """An allowance or, with `charge`, a charge on the document or on a line (BG-20, 21, 27, 28)."""

    charge: bool
    amount: Money
    base: Money | None = None
    percent: Decimal | None = None
    reason: str = ""
    reason_code: str = ""
    category: str = ""
    rate: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What a line is about (BG-31)."""

    name: str = ""
    description: str = ""
    seller_id: str = ""
    buyer_id: str = ""
    standard_id: Identifier | None = None
    classes: tuple[Identifier, ...] = ()
    origin: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line (BG-25). `tax` is the line's own figure, up to six decimals: e-fapiao only (F19)."""

    id: str
    net: Money
    quantity: Decimal | None = None
    unit: str = ""
    price: Decimal | None = None
    base_quantity: Decimal | None = None
    gross_price: Decimal | None = None
    discount: Decimal | None = None
    category: str = ""
    rate: Decimal | None = None
    tax: Decimal | None = None
    item: Item = Item()
    note: str = ""
    object_id: Identifier | None = None
    order_line: str = ""
    accounting: str = ""
    period: Period | None = None
    adjustments: tuple[Adjustment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxGroup:
    """Lines, allowances and charges of one category and rate (BG-23). `rate` is None where none is stated."""

    category: str
    rate: Decimal | None
    taxable: Money
    tax: Money
    exemption: str = ""
    exemption_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The document totals (BG-22). `tax_accounting` is the VAT total in `tax_currency` (BT-111)."""

    line_sum: Money
    allowances: Money
    charges: Money
    net: Money
    tax: Money
    gross: Money
    prepaid: Money
    rounding: Money
    payable: Money
    tax_accounting: Money | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fapiao:
    """The facts of a Chinese electronic invoice beside the common ones (F65)."""

    special: bool
    red: bool
    issued_at: str = ""
    confirmation_slip: str = ""
    amount_in_words: str = ""
    drawer: str = ""
    bureau: str = ""
    taxpayer_type: str = ""
    tag: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a document came from. `kind` is the reader, `profile` what the document says it follows.

    `negated` tells that the signs of a negative invoice were turned for the credit model. `extras` are the
    (path, text) pairs of elements without a field in the model, in document order (X3).
    """

    kind: str
    root: str
    profile: str = ""
    source_hash: bytes = b""
    negated: bool = False
    extras: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """A claim for goods or services, as the canonical field map defines it (section 3 of docs/formats.md)."""

    number: str
    type_code: str
    issued: str
    currency: str
    seller: Party
    buyer: Party
    totals: Totals
    lines: tuple[Line, ...] = ()
    tax_groups: tuple[TaxGroup, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()
    due: str = ""
    terms: str = ""
    tax_currency: str = ""
    tax_point: str = ""
    tax_point_code: str = ""
    profile: str = ""
    process: str = ""
    buyer_reference: str = ""
    accounting: str = ""
    order: str = ""
    sales_order: str = ""
    contract: str = ""
    project: str = ""
    despatch: str = ""
    receipt: str = ""
    tender: str = ""
    object_id: Identifier | None = None
    notes: tuple[str, ...] = ()
    period: Period | None = None
    preceding: tuple[Preceding, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    payee: Party | None = None
    tax_representative: Party | None = None
    delivered: str = ""
    delivery_party: str = ""
    delivery_location: Identifier | None = None
    delivery_address: Address | None = None
    payment: tuple[PaymentMeans, ...] = ()
    payment_reference: str = ""
    creditor_id: str = ""
    fapiao: Fapiao | None = None
    origin: Origin = dataclasses.field(default=Origin(kind="", root=""), compare=False)

    @property
    def credit(self) -> bool:
        """Tell whether this document reduces a claim."""
        return isinstance(self, CreditNote)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNote(Invoice):
    """A document that reduces a claim. Its amounts are positive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlFields:
    """What goes on the chain of a document: nothing else of it leaves its owner (F3).

    `total` is the payable amount. `number` is normalised as F30 wants it for the keyed number; the key itself
    belongs to the keystore of the seller. `due` is empty when the document states no date.
    """

    credit: bool
    kind: str
    number: str
    fiscal_year: str
    net: Money
    tax: Money
    total: Money
    issued: str
    due: str
    preceding: str


def control_fields(invoice: Invoice) -> ControlFields:
    """Return the fields of `invoice` that a transaction carries."""
    return ControlFields(
        credit=invoice.credit,
        kind=invoice.type_code,
        number="".join(invoice.number.split()).upper(),
        fiscal_year=invoice.issued[:4],
        net=invoice.totals.net,
        tax=invoice.totals.tax,
        total=invoice.totals.payable,
        issued=invoice.issued,
        due=invoice.due,
        preceding=invoice.preceding[0].number if invoice.preceding else "",
    )


def as_credit(invoice: Invoice) -> CreditNote:
    """Return a negative `invoice` as a credit note: every amount and quantity changes its sign (X13, F26)."""
    shallow = {f.name: getattr(invoice, f.name) for f in dataclasses.fields(invoice)}
    for name in ("totals", "lines", "tax_groups", "adjustments"):
        shallow[name] = _negated(shallow[name])
    shallow["origin"] = dataclasses.replace(invoice.origin, negated=True)
    return CreditNote(**shallow)


def as_negative(note: CreditNote) -> Invoice:
    """Return the negative invoice that `note` was read from: the inverse of `as_credit`."""
    shallow = {f.name: getattr(note, f.name) for f in dataclasses.fields(note)}
    for name in ("totals", "lines", "tax_groups", "adjustments"):
        shallow[name] = _negated(shallow[name])
    shallow["origin"] = dataclasses.replace(note.origin, negated=False)
    return Invoice(**shallow)


def _negated(part: T) -> T:
    """Return a group of the document with the signs of amounts, quantities and line taxes turned.

    Prices, rates and texts stay. T is a tuple of groups or one of Totals, Line, TaxGroup, Adjustment.
    """
    if isinstance(part, tuple):
        return tuple(_negated(one) for one in part)  # type: ignore[return-value]  # a tuple of the same groups
    changes: dict[str, Any] = {}
    for f in dataclasses.fields(part):  # type: ignore[arg-type]  # every group is a dataclass
        value = getattr(part, f.name)
        if isinstance(value, Money):
            changes[f.name] = -value
        elif f.name == "adjustments":
            changes[f.name] = _negated(value)
        elif f.name in ("quantity", "tax") and value:
            changes[f.name] = -value
    return dataclasses.replace(part, **changes)  # type: ignore[type-var]  # see above


def decimal_text(value: Decimal) -> str:
    """Return the plain canonical text of a decimal: no exponent, no trailing zeros, no sign of zero.

    >>> decimal_text(Decimal("1.500")), decimal_text(Decimal("1E+2")), decimal_text(Decimal("-0.0"))
    ('1.5', '100', '0')
    """
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def field_map(invoice: Invoice, currencies: CurrencyTable = ISO_4217) -> dict[str, bytes]:
    """Return the fields of `invoice` as the field tree commits to them: path -> UTF-8 text, sorted by path (S78).

    Absent fields have no entry. Amounts stand with the decimals of their currency and without its code (the
    code is `currency`, for `totals.tax_accounting` it is `tax_currency`). `origin` is not a field.
    """
    found: dict[str, bytes] = {"credit": b"1" if invoice.credit else b"0"}

    def walk(path: str, value: object) -> None:
        if value is None or value == "":
            return
        if isinstance(value, Money):
            found[path] = format_minor(value.minor, currencies[value.ccy]).encode()
        elif isinstance(value, Decimal):
            found[path] = decimal_text(value).encode()
        elif isinstance(value, bool):
            found[path] = b"1" if value else b"0"
        elif isinstance(value, int):
            found[path] = str(value).encode()
        elif isinstance(value, str):
            found[path] = value.encode()
        elif isinstance(value, tuple):
            for number, part in enumerate(value):
                walk(f"{path}/{number:04}", part)
        elif dataclasses.is_dataclass(value):
            for f in dataclasses.fields(value):
                walk(f"{path}/{f.name}" if path else f.name, getattr(value, f.name))

    for f in dataclasses.fields(invoice):
        if f.name != "origin":
            walk(f.name, getattr(invoice, f.name))
    return dict(sorted(found.items()))
