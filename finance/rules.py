"""The invoice rules of EN 16931 over the canonical model, one check per rule and named as there (X33).

Rules
    * A check looks at one `Case` and yields `Fault`s; it knows neither syntax nor mode. The reader adds the
      place and decides: an essential rule is an error always, the others are errors in strict mode and
      warnings in lenient mode (X4).
    * Sums are computed again and compared (X34): a changed BT-115 alone gives exactly BR-CO-16.
    * The standard tolerates a difference below one currency unit in taxes; so do we, with a warning (X35).
    * Decimals beyond the currency (BR-DEC) cannot enter the model: the readers report them by rule name.
    * The groups of rules about VAT categories are in `finance.vat_groups`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from finance import codes, identifiers
from finance.identifiers import Status
from finance.model import Address, Adjustment, Invoice, Party, Severity, decimal_text
from finance.totals import line_net, percentage
from ledger.money import ISO_4217, CurrencyTable, Money, format_minor

_CREDIT_TRANSFER: Final = ("30", "58")
_SEPA_TRANSFER: Final = "58"
_CARD_MAX: Final = 10
_LINE_SLACK_MINOR: Final = 2
"""Minor units by which a line may differ from quantity x price: prices are often rounded for display."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a rule found. `severity` is set where it does not depend on the mode."""

    field: str
    message: str
    values: tuple[tuple[str, str], ...] = ()
    severity: Severity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A document under examination. `header_only` tells that its profile has no lines (X14)."""

    invoice: Invoice
    currencies: CurrencyTable = field(default_factory=lambda: ISO_4217)
    header_only: bool = False

    def show(self, amount: Money) -> str:
        return format_minor(amount.minor, self.currencies[amount.ccy])

    def unit(self) -> int:
        """Return one unit of the document currency in minor units: the tolerance of taxes (X35)."""
        return int(10 ** self.currencies[self.invoice.currency])


Check = Callable[[Case], Iterable[Fault]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`essential`: without it there is no usable document. `universal`: holds outside EN 16931 too."""

    name: str
    check: Check
    essential: bool = False
    universal: bool = False


def check(case: Case, rules: Iterable[Rule]) -> Iterator[tuple[Rule, Fault]]:
    """Yield every fault of the case, in the order of `rules`."""
    for rule in rules:
        for fault in rule.check(case):
            yield rule, fault


def fault(name: str, message: str, severity: Severity | None = None, **shown: str) -> Fault:
    return Fault(field=name, message=message, values=tuple(sorted(shown.items())), severity=severity)


# -- presence (BR) ----------------------------------------------------------------------------------------------


def _present(name: str, get: Callable[[Invoice], object]) -> Check:
    """Return a check that `get` gives something; `name` is the field that is named when it does not."""

    def run(case: Case) -> Iterator[Fault]:
        if get(case.invoice) in ("", None, ()):
            yield fault(name, "missing")

    return run


def _with_lines(inner: Check) -> Check:
    """Return `inner` for documents whose profile has lines."""

    def run(case: Case) -> Iterable[Fault]:
        return () if case.header_only else inner(case)

    return run


def _each_line(name: str, get: Callable[[int, Case], object]) -> Check:
    """Return a check of every line; `get` returns the value that must be there."""

    def run(case: Case) -> Iterator[Fault]:
        for number in range(len(case.invoice.lines)):
            if get(number, case) in ("", None):
                yield fault(f"lines[{number}].{name}", "missing")

    return run


def _country(address: Address | None) -> object:
    """Return the country, or something where there is no address at all: that is another rule's matter."""
    return address.country if address is not None else True


def _payee(case: Case) -> Iterator[Fault]:
    payee = case.invoice.payee
    if payee is not None and not payee.name:
        yield fault("payee.name", "missing")


def _representative(name: str, get: Callable[[Party], object]) -> Check:
    def run(case: Case) -> Iterator[Fault]:
        party = case.invoice.tax_representative
        if party is not None and get(party) in ("", None):
            yield fault(f"tax_representative.{name}", "missing")

    return run


def _unsigned(name: str) -> Check:
    def run(case: Case) -> Iterator[Fault]:
        for number, line in enumerate(case.invoice.lines):
            price = getattr(line, name)
            if price is not None and price < 0:
                yield fault(f"lines[{number}].{name}", "negative_price", text=decimal_text(price))

    return run


def _period(case: Case) -> Iterator[Fault]:
    period = case.invoice.period
    if period is not None and period.start and period.end and period.end < period.start:
        yield fault("period.end", "period_reversed", start=period.start, end=period.end)


def _line_periods(case: Case) -> Iterator[Fault]:
    for number, line in enumerate(case.invoice.lines):
        period = line.period
        if period is not None and period.start and period.end and period.end < period.start:
            yield fault(f"lines[{number}].period.end", "period_reversed", start=period.start, end=period.end)


def _adjustments(case: Case, *, charge: bool, line: bool) -> Iterator[tuple[str, Adjustment]]:
    """Yield (field, adjustment) of the document or of all lines."""
    if not line:
        groups = [("", case.invoice.adjustments)]
    else:
        groups = [(f"lines[{n}].", one.adjustments) for n, one in enumerate(case.invoice.lines)]
    for prefix, adjustments in groups:
        for number, adjustment in enumerate(adjustments):
            if adjustment.charge is charge:
                yield f"{prefix}adjustments[{number}]", adjustment


def _categorised(*, charge: bool) -> Check:
    def run(case: Case) -> Iterator[Fault]:
        for name, adjustment in _adjustments(case, charge=charge, line=False):
            if not adjustment.category:
                yield fault(f"{name}.category", "missing")

    return run


def _reasoned(*, charge: bool, line: bool) -> Check:
    def run(case: Case) -> Iterator[Fault]:
        for name, adjustment in _adjustments(case, charge=charge, line=line):
            if not adjustment.reason and not adjustment.reason_code:
                yield fault(f"{name}.reason", "no_reason")

    return run


def _group_category(case: Case) -> Iterator[Fault]:
    for number, group in enumerate(case.invoice.tax_groups):
        if not group.category:
            yield fault(f"tax_groups[{number}].category", "missing")


def _group_rate(case: Case) -> Iterator[Fault]:
    for number, group in enumerate(case.invoice.tax_groups):
        if group.rate is None and group.category != "O":
            yield fault(f"tax_groups[{number}].rate", "missing")


def _payment_code(case: Case) -> Iterator[Fault]:
    for number, means in enumerate(case.invoice.payment):
        if not means.code:
            yield fault(f"payment[{number}].code", "missing")


def _account_named(case: Case) -> Iterator[Fault]:
    for number, means in enumerate(case.invoice.payment):
        for index, account in enumerate(means.accounts):
            if not account.id:
                yield fault(f"payment[{number}].accounts[{index}].id", "missing")


def _card(case: Case) -> Iterator[Fault]:
    for number, means in enumerate(case.invoice.payment):
        if len(means.card) > _CARD_MAX:
            yield fault(f"payment[{number}].card", "whole_card_number")


def _transfer_account(case: Case) -> Iterator[Fault]:
    for number, means in enumerate(case.invoice.payment):
        if means.code in _CREDIT_TRANSFER and not means.accounts:
            yield fault(f"payment[{number}].accounts", "missing")


def _tax_in_other_currency(case: Case) -> Iterator[Fault]:
    invoice = case.invoice
    if invoice.tax_currency and invoice.tax_currency != invoice.currency and invoice.totals.tax_accounting is None:
        yield fault("totals.tax_accounting", "missing")


def _attachment_number(case: Case) -> Iterator[Fault]:
    for number, attachment in enumerate(case.invoice.attachments):
        if not attachment.number:
            yield fault(f"attachments[{number}].number", "missing")


def _attribute_pairs(case: Case) -> Iterator[Fault]:
    for number, line in enumerate(case.invoice.lines):
        if any(not name or not value for name, value in line.item.attributes):
            yield fault(f"lines[{number}].item.attributes", "missing")


def _preceding_number(case: Case) -> Iterator[Fault]:
    for number, earlier in enumerate(case.invoice.preceding):
        if not earlier.number:
            yield fault(f"preceding[{number}].number", "missing")


def _delivery_country(case: Case) -> Iterator[Fault]:
    address = case.invoice.delivery_address
    if address is not None and not address.country:
        yield fault("delivery_address.country", "missing")


def _endpoint(name: str, get: Callable[[Invoice], Party]) -> Check:
    def run(case: Case) -> Iterator[Fault]:
        endpoint = get(case.invoice).endpoint
        if endpoint is not None and not endpoint.scheme:
            yield fault(f"{name}.endpoint", "no_scheme")

    return run


def _standard_scheme(case: Case) -> Iterator[Fault]:
    for number, line in enumerate(case.invoice.lines):
        if line.item.standard_id is not None and not line.item.standard_id.scheme:
            yield fault(f"lines[{number}].item.standard_id", "no_scheme")


def _class_scheme(case: Case) -> Iterator[Fault]:
    for number, line in enumerate(case.invoice.lines):
        if any(not one.scheme for one in line.item.classes):
            yield fault(f"lines[{number}].item.classes", "no_scheme")


# -- conditions (BR-CO) -----------------------------------------------------------------------------------------


def _one_tax_point(case: Case) -> Iterator[Fault]:
    if case.invoice.tax_point and case.invoice.tax_point_code:
        yield fault("tax_point_code", "both_tax_points")


def _vat_prefixes(case: Case) -> Iterator[Fault]:
    invoice = case.invoice
    named = [("seller", invoice.seller), ("buyer", invoice.buyer)]
    if invoice.tax_representative is not None:
        named.append(("tax_representative", invoice.tax_representative))
    for name, party in named:
        if party.vat_id and party.vat_id[:2] not in codes.listed("countries") and party.vat_id[:2] != "EL":
            yield fault(f"{name}.vat_id", "no_country_prefix", text=party.vat_id)


def _equals(case: Case, name: str, stated: Money, computed: Money, formula: str) -> Iterator[Fault]:
    if stated != computed:
        yield fault(name, "sum_differs", stated=case.show(stated), computed=case.show(computed), formula=formula)


def _sum(case: Case, amounts: Iterable[Money]) -> Money:
    return sum(amounts, Money(0, case.invoice.currency))


def _line_sum(case: Case) -> Iterator[Fault]:
    lines = _sum(case, (line.net for line in case.invoice.lines))
    yield from _equals(case, "totals.line_sum", case.invoice.totals.line_sum, lines, "Σ lines.net")


def _allowance_sum(case: Case) -> Iterator[Fault]:
    found = _sum(case, (a.amount for _, a in _adjustments(case, charge=False, line=False)))
    yield from _equals(case, "totals.allowances", case.invoice.totals.allowances, found, "Σ allowances")


def _charge_sum(case: Case) -> Iterator[Fault]:
    found = _sum(case, (a.amount for _, a in _adjustments(case, charge=True, line=False)))
    yield from _equals(case, "totals.charges", case.invoice.totals.charges, found, "Σ charges")


def _net(case: Case) -> Iterator[Fault]:
    t = case.invoice.totals
    yield from _equals(
        case, "totals.net", t.net, t.line_sum - t.allowances + t.charges, "line_sum - allowances + charges"
    )


def _tax_sum(case: Case) -> Iterator[Fault]:
    if case.invoice.tax_groups:
        found = _sum(case, (group.tax for group in case.invoice.tax_groups))
        yield from _equals(case, "totals.tax", case.invoice.totals.tax, found, "Σ tax_groups.tax")


def _gross(case: Case) -> Iterator[Fault]:
    t = case.invoice.totals
    yield from _equals(case, "totals.gross", t.gross, t.net + t.tax, "net + tax")


def _payable(case: Case) -> Iterator[Fault]:
    t = case.invoice.totals
    yield from _equals(
        case, "totals.payable", t.payable, t.gross - t.prepaid + t.rounding, "gross - prepaid + rounding"
    )


def _group_tax(case: Case) -> Iterator[Fault]:
    for number, group in enumerate(case.invoice.tax_groups):
        exact = percentage(group.taxable, group.rate)
        if group.tax != exact:
            near = abs(group.tax.minor - exact.minor) < case.unit()
            yield fault(
                f"tax_groups[{number}].tax",
                "tax_near" if near else "sum_differs",
                "warning" if near else None,
                stated=case.show(group.tax),
                computed=case.show(exact),
                formula="taxable x rate",
            )


def _empty_period(case: Case) -> Iterator[Fault]:
    period = case.invoice.period
    if period is not None and not period.start and not period.end:
        yield fault("period", "empty_period")


def _empty_line_periods(case: Case) -> Iterator[Fault]:
    for number, line in enumerate(case.invoice.lines):
        if line.period is not None and not line.period.start and not line.period.end:
            yield fault(f"lines[{number}].period", "empty_period")


def _due(case: Case) -> Iterator[Fault]:
    invoice = case.invoice
    if not invoice.credit and invoice.totals.payable.minor > 0 and not invoice.due and not invoice.terms:
        yield fault("due", "no_due_date")


def _seller_known(case: Case) -> Iterator[Fault]:
    seller = case.invoice.seller
    if not (seller.ids or seller.legal_id or seller.vat_id):
        yield fault("seller", "no_identifier")


# -- code lists (BR-CL) -----------------------------------------------------------------------------------------


def _coded(name: str, code: str, known: bool) -> Iterator[Fault]:
    if code and not known:
        yield fault(name, "unknown_code", text=code)


def _type_code(case: Case) -> Iterator[Fault]:
    code = case.invoice.type_code
    known = codes.listed("invoice_types") | codes.listed("credit_types")
    yield from _coded("type_code", code, code in known)


def _tax_point_code(case: Case) -> Iterator[Fault]:
    code = case.invoice.tax_point_code
    yield from _coded("tax_point_code", code, code in codes.listed("tax_points"))


def _countries(case: Case) -> Iterator[Fault]:
    invoice = case.invoice
    named = [("seller.address", invoice.seller.address), ("buyer.address", invoice.buyer.address)]
    named.append(("delivery_address", invoice.delivery_address))
    if invoice.tax_representative is not None:
        named.append(("tax_representative.address", invoice.tax_representative.address))
    for name, address in named:
        if address is not None:
            yield from _coded(f"{name}.country", address.country, address.country in codes.listed("countries"))


def _origins(case: Case) -> Iterator[Fault]:
    for number, line in enumerate(case.invoice.lines):
        origin = line.item.origin
        yield from _coded(f"lines[{number}].item.origin", origin, origin in codes.listed("countries"))


def _payment_codes(case: Case) -> Iterator[Fault]:
    for number, means in enumerate(case.invoice.payment):
        yield from _coded(f"payment[{number}].code", means.code, means.code in codes.listed("payment_means"))


def _group_categories(case: Case) -> Iterator[Fault]:
    for number, group in enumerate(case.invoice.tax_groups):
        known = group.category in codes.listed("categories")
        yield from _coded(f"tax_groups[{number}].category", group.category, known)


def _line_categories(case: Case) -> Iterator[Fault]:
    for number, line in enumerate(case.invoice.lines):
        known = line.category in codes.listed("categories")
        yield from _coded(f"lines[{number}].category", line.category, known)


def _reason_codes(*, charge: bool) -> Check:
    def run(case: Case) -> Iterator[Fault]:
        for line in (False, True):
            for name, adjustment in _adjustments(case, charge=charge, line=line):
                code = adjustment.reason_code
                known = codes.charge_reason(code) if charge else code in codes.listed("allowance_reasons")
                yield from _coded(f"{name}.reason_code", code, known)

    return run


def _exemption_codes(case: Case) -> Iterator[Fault]:
    for number, group in enumerate(case.invoice.tax_groups):
        code = group.exemption_code
        yield from _coded(f"tax_groups[{number}].exemption_code", code, codes.exemption(code))


def _units(case: Case) -> Iterator[Fault]:
    for number, line in enumerate(case.invoice.lines):
        known = codes.unit(line.unit) if line.unit else True
        if known is None:
            yield fault(f"lines[{number}].unit", "uncommon_unit", "note", text=line.unit)
        elif not known:
            yield fault(f"lines[{number}].unit", "unknown_code", text=line.unit)


def _media_types(case: Case) -> Iterator[Fault]:
    for number, attachment in enumerate(case.invoice.attachments):
        code = attachment.media_type
        yield from _coded(f"attachments[{number}].media_type", code, code in codes.listed("media_types"))


def _party_schemes(case: Case) -> Iterator[Fault]:
    for name, party in _parties(case.invoice):
        for one in party.ids:
            yield from _coded(f"{name}.ids", one.scheme, codes.iso_6523(one.scheme))


def _legal_schemes(case: Case) -> Iterator[Fault]:
    for name, party in _parties(case.invoice):
        if party.legal_id is not None:
            yield from _coded(f"{name}.legal_id", party.legal_id.scheme, codes.iso_6523(party.legal_id.scheme))


def _endpoint_schemes(case: Case) -> Iterator[Fault]:
    for name, party in _parties(case.invoice):
        if party.endpoint is not None:
            scheme = party.endpoint.scheme
            yield from _coded(f"{name}.endpoint", scheme, identifiers.known_scheme(scheme))


def _standard_schemes(case: Case) -> Iterator[Fault]:
    for number, line in enumerate(case.invoice.lines):
        if line.item.standard_id is not None:
            scheme = line.item.standard_id.scheme
            yield from _coded(f"lines[{number}].item.standard_id", scheme, codes.iso_6523(scheme))


def _class_schemes(case: Case) -> Iterator[Fault]:
    for number, line in enumerate(case.invoice.lines):
        for one in line.item.classes:
            yield from _coded(f"lines[{number}].item.classes", one.scheme, codes.item_class(one.scheme))


def _parties(invoice: Invoice) -> Iterator[tuple[str, Party]]:
    yield "seller", invoice.seller
    yield "buyer", invoice.buyer
    if invoice.payee is not None:
        yield "payee", invoice.payee
    if invoice.tax_representative is not None:
        yield "tax_representative", invoice.tax_representative


# -- our own ----------------------------------------------------------------------------------------------------


def _line_nets(case: Case) -> Iterator[Fault]:
    """F15: a line is quantity x price / base quantity - allowances + charges."""
    for number, line in enumerate(case.invoice.lines):
        if line.base_quantity is not None and line.base_quantity <= 0:
            yield fault(f"lines[{number}].base_quantity", "base_not_positive", text=decimal_text(line.base_quantity))
            continue
        computed = line_net(line, case.currencies)
        if computed is not None and computed != line.net:
            near = abs(computed.minor - line.net.minor) <= _LINE_SLACK_MINOR
            yield fault(
                f"lines[{number}].net",
                "sum_differs",
                "warning" if near else None,
                stated=case.show(line.net),
                computed=case.show(computed),
                formula="quantity x price / base_quantity - allowances + charges",
            )


def _identifiers(case: Case) -> Iterator[Fault]:
    """X39: form and check digits of the identifiers that have one."""
    for name, party in _parties(case.invoice):
        if party.vat_id:
            yield from _checked(f"{name}.vat_id", "vat", party.vat_id)
        for one in (party.legal_id, party.endpoint, *party.ids):
            if one is not None and one.scheme:
                place = "legal_id" if one is party.legal_id else "endpoint" if one is party.endpoint else "ids"
                yield from _checked(f"{name}.{place}", one.scheme, one.value)
    for number, means in enumerate(case.invoice.payment):
        for index, account in enumerate(means.accounts):
            if means.code == _SEPA_TRANSFER or _like_iban(account.id):
                yield from _checked(f"payment[{number}].accounts[{index}].id", "iban", account.id)
            if account.bank:
                yield from _checked(f"payment[{number}].accounts[{index}].bank", "bic", account.bank)


def _like_iban(text: str) -> bool:
    value = identifiers.normalise(text)
    return len(value) >= 15 and value[:2].isalpha() and value[:2].isascii() and value[2:4].isdigit()


def _checked(name: str, kind: str, text: str) -> Iterator[Fault]:
    found = identifiers.check(kind, text)
    if found.status in (Status.wrong_check_digit, Status.wrong_form):
        yield fault(name, str(found.status), kind=found.kind, text=text)


def _rule(name: str, run: Check, *, essential: bool = False, universal: bool = False) -> Rule:
    return Rule(name=name, check=run, essential=essential, universal=universal)


RULES: Final[tuple[Rule, ...]] = (
    _rule("BR-01", _present("profile", lambda i: i.profile)),
    _rule("BR-02", _present("number", lambda i: i.number), essential=True, universal=True),
    _rule("BR-03", _present("issued", lambda i: i.issued), essential=True, universal=True),
    _rule("BR-04", _present("type_code", lambda i: i.type_code), essential=True, universal=True),
    _rule("BR-05", _present("currency", lambda i: i.currency), essential=True, universal=True),
    _rule("BR-06", _present("seller.name", lambda i: i.seller.name), essential=True, universal=True),
    _rule("BR-07", _present("buyer.name", lambda i: i.buyer.name), essential=True, universal=True),
    _rule("BR-08", _present("seller.address", lambda i: i.seller.address)),
    _rule("BR-09", _present("seller.address.country", lambda i: _country(i.seller.address))),
    _rule("BR-10", _with_lines(_present("buyer.address", lambda i: i.buyer.address))),
    _rule("BR-11", _present("buyer.address.country", lambda i: _country(i.buyer.address))),
    _rule("BR-16", _with_lines(_present("lines", lambda i: i.lines)), universal=True),
    _rule("BR-17", _payee),
    _rule("BR-18", _representative("name", lambda p: p.name)),
    _rule("BR-19", _representative("address", lambda p: p.address)),
    _rule("BR-20", _representative("address.country", lambda p: _country(p.address))),
    _rule("BR-21", _each_line("id", lambda n, c: c.invoice.lines[n].id)),
    _rule("BR-22", _each_line("quantity", lambda n, c: c.invoice.lines[n].quantity)),
    _rule("BR-23", _each_line("unit", lambda n, c: c.invoice.lines[n].unit)),
    _rule("BR-25", _each_line("item.name", lambda n, c: c.invoice.lines[n].item.name)),
    _rule("BR-26", _each_line("price", lambda n, c: c.invoice.lines[n].price)),
    _rule("BR-27", _unsigned("price")),
    _rule("BR-28", _unsigned("gross_price")),
    _rule("BR-29", _period),
    _rule("BR-30", _line_periods),
    _rule("BR-32", _categorised(charge=False)),
    _rule("BR-33", _reasoned(charge=False, line=False)),
    _rule("BR-37", _categorised(charge=True)),
    _rule("BR-38", _reasoned(charge=True, line=False)),
    _rule("BR-42", _reasoned(charge=False, line=True)),
    _rule("BR-44", _reasoned(charge=True, line=True)),
    _rule("BR-47", _group_category),
    _rule("BR-48", _group_rate),
    _rule("BR-49", _payment_code),
    _rule("BR-50", _account_named),
    _rule("BR-51", _card),
    _rule("BR-52", _attachment_number),
    _rule("BR-53", _tax_in_other_currency),
    _rule("BR-54", _attribute_pairs),
    _rule("BR-55", _preceding_number),
    _rule("BR-56", _representative("vat_id", lambda p: p.vat_id)),
    _rule("BR-57", _delivery_country),
    _rule("BR-61", _transfer_account),
    _rule("BR-62", _endpoint("seller", lambda i: i.seller)),
    _rule("BR-63", _endpoint("buyer", lambda i: i.buyer)),
    _rule("BR-64", _standard_scheme),
    _rule("BR-65", _class_scheme),
    _rule("BR-CO-03", _one_tax_point),
    _rule("BR-CO-04", _each_line("category", lambda n, c: c.invoice.lines[n].category)),
    _rule("BR-CO-09", _vat_prefixes),
    _rule("BR-CO-10", _with_lines(_line_sum), universal=True),
    _rule("BR-CO-11", _with_lines(_allowance_sum)),
    _rule("BR-CO-12", _with_lines(_charge_sum)),
    _rule("BR-CO-13", _net, universal=True),
    _rule("BR-CO-14", _tax_sum, universal=True),
    _rule("BR-CO-15", _gross, universal=True),
    _rule("BR-CO-16", _payable, universal=True),
    _rule("BR-CO-17", _group_tax),
    _rule("BR-CO-18", _with_lines(_present("tax_groups", lambda i: i.tax_groups))),
    _rule("BR-CO-19", _empty_period),
    _rule("BR-CO-20", _empty_line_periods),
    _rule("BR-CO-21", _reasoned(charge=False, line=False)),
    _rule("BR-CO-22", _reasoned(charge=True, line=False)),
    _rule("BR-CO-23", _reasoned(charge=False, line=True)),
    _rule("BR-CO-24", _reasoned(charge=True, line=True)),
    _rule("BR-CO-25", _with_lines(_due)),
    _rule("BR-CO-26", _seller_known),
    _rule("BR-CL-01", _type_code, universal=True),
    _rule("BR-CL-06", _tax_point_code),
    _rule("BR-CL-10", _party_schemes),
    _rule("BR-CL-11", _legal_schemes),
    _rule("BR-CL-13", _class_schemes),
    _rule("BR-CL-14", _countries),
    _rule("BR-CL-15", _origins),
    _rule("BR-CL-16", _payment_codes),
    _rule("BR-CL-17", _group_categories),
    _rule("BR-CL-18", _line_categories),
    _rule("BR-CL-19", _reason_codes(charge=False)),
    _rule("BR-CL-20", _reason_codes(charge=True)),
    _rule("BR-CL-21", _standard_schemes),
    _rule("BR-CL-22", _exemption_codes),
    _rule("BR-CL-23", _units),
    _rule("BR-CL-24", _media_types),
    _rule("BR-CL-25", _endpoint_schemes),
    _rule("F15", _line_nets, universal=True),
    _rule("X39", _identifiers),
)
"""Every rule of this file. BR-12..15, 24, 31, 36, 41, 43, 45, 46, BR-CL-03..05 and BR-DEC are reported by the
readers, because an absent or foreign amount has no place in the model."""
