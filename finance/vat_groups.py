"""The rules of EN 16931 about VAT categories: ten rules for each category, built from one table (X33).

Numbers within a group: 01 the category has its breakdown; 02..04 identifiers that the category needs, seen
from lines, allowances and charges; 05..07 their rates; 08 the taxable amount; 09 the tax; 10 the reason.
IC, O and B have a few more. In codes the categories are S Z E AE K G O L M B; K is named IC in the rules, L is
AF (Canary Islands), M is AG (Ceuta and Melilla).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from finance.model import Invoice, TaxGroup, decimal_text
from finance.rules import Case, Check, Fault, Rule, fault
from finance.totals import percentage
from ledger.money import Money

RateForm = Literal["positive", "zero", "any", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """What the standard asks of one category."""

    code: str
    rule: str
    rate: RateForm
    reasoned: bool
    identified: Callable[[Invoice], bool]
    needs: str


def _seller_taxable(invoice: Invoice) -> bool:
    """BT-31, BT-32 or BT-63."""
    return bool(invoice.seller.tax_id) or _seller_vat(invoice)


def _seller_vat(invoice: Invoice) -> bool:
    """BT-31 or BT-63."""
    representative = invoice.tax_representative
    return bool(invoice.seller.vat_id or (representative is not None and representative.vat_id))


def _reverse_charge(invoice: Invoice) -> bool:
    """The seller as taxable person, and BT-48 or BT-47 of the buyer."""
    return _seller_taxable(invoice) and bool(invoice.buyer.vat_id or invoice.buyer.legal_id)


def _both_vat(invoice: Invoice) -> bool:
    """BT-31 or BT-63, and BT-48."""
    return _seller_vat(invoice) and bool(invoice.buyer.vat_id)


def _no_vat(invoice: Invoice) -> bool:
    """Neither BT-31 nor BT-63 nor BT-48."""
    return not _seller_vat(invoice) and not invoice.buyer.vat_id


CATEGORIES: Final[tuple[Category, ...]] = (
    Category(code="S", rule="S", rate="positive", reasoned=False, identified=_seller_taxable, needs="seller_tax_id"),
    Category(code="Z", rule="Z", rate="zero", reasoned=False, identified=_seller_taxable, needs="seller_tax_id"),
    Category(code="E", rule="E", rate="zero", reasoned=True, identified=_seller_taxable, needs="seller_tax_id"),
    Category(code="AE", rule="AE", rate="zero", reasoned=True, identified=_reverse_charge, needs="both_tax_ids"),
    Category(code="K", rule="IC", rate="zero", reasoned=True, identified=_both_vat, needs="both_vat_ids"),
    Category(code="G", rule="G", rate="zero", reasoned=True, identified=_seller_vat, needs="seller_vat_id"),
    Category(code="O", rule="O", rate="none", reasoned=True, identified=_no_vat, needs="no_vat_ids"),
    Category(code="L", rule="AF", rate="any", reasoned=False, identified=_seller_taxable, needs="seller_tax_id"),
    Category(code="M", rule="AG", rate="any", reasoned=False, identified=_seller_taxable, needs="seller_tax_id"),
)


def _groups(case: Case, code: str) -> list[tuple[int, TaxGroup]]:
    return [(n, group) for n, group in enumerate(case.invoice.tax_groups) if group.category == code]


def _uses(case: Case, code: str) -> Iterator[tuple[str, Decimal | None, Money, int]]:
    """Yield (field, rate, signed amount, rule offset) of lines, allowances and charges of a category."""
    for number, line in enumerate(case.invoice.lines):
        if line.category == code:
            yield f"lines[{number}]", line.rate, line.net, 0
    for number, adjustment in enumerate(case.invoice.adjustments):
        if adjustment.category == code:
            amount = adjustment.amount if adjustment.charge else -adjustment.amount
            yield f"adjustments[{number}]", adjustment.rate, amount, 2 if adjustment.charge else 1


def _breakdown(category: Category) -> Check:
    def run(case: Case) -> Iterator[Fault]:
        count = len(_groups(case, category.code))
        used = any(True for _ in _uses(case, category.code))
        single = category.rate in ("zero", "none")
        if used and count == 0:
            yield fault("tax_groups", "no_group", category=category.code)
        elif single and count > 1:
            yield fault("tax_groups", "several_groups", category=category.code, count=str(count))

    return run


def _identified(category: Category, offset: int) -> Check:
    def run(case: Case) -> Iterator[Fault]:
        if category.identified(case.invoice):
            return
        first = next((use for use in _uses(case, category.code) if use[3] == offset), None)
        if first is not None:
            place = "buyer" if category.needs != "no_vat_ids" and _seller_vat(case.invoice) else "seller"
            yield fault(place, category.needs, category=category.code, line=first[0])

    return run


def _rates(category: Category, offset: int) -> Check:
    def wrong(rate: Decimal | None) -> bool:
        if category.rate == "none":
            return rate is not None
        if rate is None:
            return True
        return {"positive": rate <= 0, "zero": rate != 0, "any": rate < 0}[category.rate]

    def run(case: Case) -> Iterator[Fault]:
        for name, rate, _, place in _uses(case, category.code):
            if place == offset and wrong(rate):
                stated = "-" if rate is None else decimal_text(rate)
                yield fault(f"{name}.rate", f"rate_{category.rate}", category=category.code, stated=stated)

    return run


def _taxable(category: Category) -> Check:
    by_rate = category.rate in ("positive", "any")

    def run(case: Case) -> Iterator[Fault]:
        if case.header_only:
            return
        uses = list(_uses(case, category.code))
        for number, group in _groups(case, category.code):
            amounts = [amount for _, rate, amount, _ in uses if not by_rate or rate == group.rate]
            found = sum(amounts, Money(0, case.invoice.currency))
            if found == group.taxable:
                continue
            near = by_rate and bool(amounts) and abs(found.minor - group.taxable.minor) < case.unit()
            yield fault(
                f"tax_groups[{number}].taxable",
                "tax_near" if near else "sum_differs",
                "warning" if near else None,
                stated=case.show(group.taxable),
                computed=case.show(found),
                formula=f"Σ {category.code} lines - allowances + charges",
            )

    return run


def _tax(category: Category) -> Check:
    def run(case: Case) -> Iterator[Fault]:
        for number, group in _groups(case, category.code):
            untaxed = category.rate in ("zero", "none")
            exact = Money(0, group.tax.ccy) if untaxed else percentage(group.taxable, group.rate)
            off = abs(group.tax.minor - exact.minor)
            if off and (untaxed or off >= case.unit()):  # a smaller difference is the warning of BR-CO-17 (X35)
                yield fault(
                    f"tax_groups[{number}].tax",
                    "sum_differs",
                    stated=case.show(group.tax),
                    computed=case.show(exact),
                    formula="0" if untaxed else "taxable x rate",
                )

    return run


def _reasoned(category: Category) -> Check:
    def run(case: Case) -> Iterator[Fault]:
        for number, group in _groups(case, category.code):
            stated = bool(group.exemption or group.exemption_code)
            if stated is not category.reasoned:
                message = "no_exemption" if category.reasoned else "needless_exemption"
                yield fault(f"tax_groups[{number}].exemption", message, category=category.code)

    return run


def _delivered(case: Case) -> Iterator[Fault]:
    """BR-IC-11: an intra-community supply tells when."""
    period = case.invoice.period
    if _groups(case, "K") and not case.invoice.delivered and not (period and (period.start or period.end)):
        yield fault("delivered", "missing")


def _delivered_to(case: Case) -> Iterator[Fault]:
    """BR-IC-12: an intra-community supply tells where to."""
    address = case.invoice.delivery_address
    if _groups(case, "K") and (address is None or not address.country):
        yield fault("delivery_address.country", "missing")


def _alone_in_groups(case: Case) -> Iterator[Fault]:
    """BR-O-11: what is not subject to VAT stands alone."""
    if _groups(case, "O") and any(group.category != "O" for group in case.invoice.tax_groups):
        yield fault("tax_groups", "mixed_with_o")


def _alone_in_uses(offset: int) -> Check:
    """BR-O-12, 13, 14: so do its lines, allowances and charges."""

    def run(case: Case) -> Iterator[Fault]:
        if not _groups(case, "O"):
            return
        if offset == 0:
            others = (f"lines[{n}]" for n, line in enumerate(case.invoice.lines) if line.category != "O")
        else:
            others = (
                f"adjustments[{n}]"
                for n, adjustment in enumerate(case.invoice.adjustments)
                if adjustment.charge is (offset == 2) and adjustment.category != "O"
            )
        for name in others:
            yield fault(f"{name}.category", "mixed_with_o")

    return run


def _split_payment(case: Case) -> Iterator[Fault]:
    """BR-B-01: split payment exists between Italian parties only."""
    used = any(True for _ in _uses(case, "B")) or _groups(case, "B")
    countries = [party.address.country if party.address else "" for party in (case.invoice.seller, case.invoice.buyer)]
    if used and countries != ["IT", "IT"]:
        yield fault("tax_groups", "split_payment_abroad")


def _split_and_standard(case: Case) -> Iterator[Fault]:
    """BR-B-02: split payment and the standard rate exclude each other."""
    if _groups(case, "B") and _groups(case, "S"):
        yield fault("tax_groups", "split_with_standard")


def _of(category: Category) -> Iterable[Rule]:
    parts: list[Check] = [
        _breakdown(category),
        *(_identified(category, offset) for offset in range(3)),
        *(_rates(category, offset) for offset in range(3)),
        _taxable(category),
        _tax(category),
        _reasoned(category),
    ]
    return (Rule(name=f"BR-{category.rule}-{n:02}", check=run) for n, run in enumerate(parts, 1))


VAT_RULES: Final[tuple[Rule, ...]] = (
    *(rule for category in CATEGORIES for rule in _of(category)),
    Rule(name="BR-IC-11", check=_delivered),
    Rule(name="BR-IC-12", check=_delivered_to),
    Rule(name="BR-O-11", check=_alone_in_groups),
    *(Rule(name=f"BR-O-{12 + offset}", check=_alone_in_uses(offset)) for offset in range(3)),
    Rule(name="BR-B-01", check=_split_payment),
    Rule(name="BR-B-02", check=_split_and_standard),
)
"""The groups S Z E AE IC G O AF AG B, to be run after `finance.rules.RULES`."""
