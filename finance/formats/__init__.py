"""Documents in and out. The door is `read`: bytes in, items and issues out (X1).

Rules
    * Readers are pure: no network, no clock, no files. `node.documents.intake` runs them in a process of its
      own, because what they read comes from strangers (S57).
    * A file that cannot be read is a result with one error that says why, never an exception (X2).
    * Same bytes in, same items out (X6). An item with an error is never among `items`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable

from finance.formats import archive, cii, detect, fapiao, ubl
from finance.formats.messages import describe
from finance.formats.reader import Reading, ReadOptions, ReadResult
from finance.formats.ubl_writer import write_ubl
from finance.formats.xml import Refused, parse
from finance.model import Invoice, Issue, Location, Severity, as_credit
from finance.rules import RULES, Case, check
from finance.vat_groups import VAT_RULES

__all__ = ["read", "write_ubl", "describe", "ReadOptions", "ReadResult"]

_SUMS = ("sum_differs", "tax_near")
"""Messages of rules that compare sums: they mean nothing where an amount is missing."""

_READERS: dict[str, Callable[[Reading], Invoice]] = {"ubl": ubl.read, "cii": cii.read, "fapiao": fapiao.read}


def read(data: bytes, kind: str | None = None, options: ReadOptions | None = None) -> ReadResult:
    """Return the invoices in `data`: UBL 2.1, CII D16B or e-fapiao XML, bare or in a zip.

    `kind` (`ubl`, `cii`, `fapiao`) overrides detection; a file that is something else is refused.
    """
    options = options if options is not None else ReadOptions()
    digest = hashlib.sha256(data).digest()
    if not detect.is_zip(data):
        return _document(data, kind, options)
    results: list[ReadResult] = []
    try:
        for entry in archive.entries(data):
            one = _document(entry.data, kind, options)
            issues = tuple(_inside(issue, entry.name) for issue in one.issues)
            results.append(dataclasses.replace(one, issues=issues))
    except Refused as refused:
        results.append(_refusal(refused, kind or "", digest))
    return ReadResult(
        items=tuple(item for one in results for item in one.items),
        refused=tuple(item for one in results for item in one.refused),
        issues=tuple(issue for one in results for issue in one.issues),
        kind=results[0].kind,
        profile=results[0].profile,
        source_hash=digest,
    )


def _document(data: bytes, kind: str | None, options: ReadOptions) -> ReadResult:
    """Read one XML document."""
    digest = hashlib.sha256(data).digest()
    try:
        detect.refuse_foreign(data)
        root = parse(data, detect.PREFIXES)
        found = detect.kind_of(root)
        if kind is not None and kind != found:
            raise Refused("X9", "other_kind", line=root.line, found=found, wanted=kind)
    except Refused as refused:
        return _refusal(refused, kind or "", digest)
    reading = Reading(root, options)
    invoice = _READERS[found](reading)
    _apply_rules(reading, invoice, found)
    invoice = _settle_sign(reading, invoice, found)
    origin = dataclasses.replace(
        invoice.origin,
        profile=invoice.profile,
        source_hash=digest,
        negated=invoice.origin.negated,
        extras=reading.extras(),
    )
    invoice = dataclasses.replace(invoice, origin=origin)
    issues = reading.finish()
    good = all(issue.severity != "error" for issue in issues)
    return ReadResult(
        items=(invoice,) if good else (),
        refused=() if good else (invoice,),
        issues=issues,
        kind=found,
        profile=invoice.profile,
        source_hash=digest,
    )


def _apply_rules(reading: Reading, invoice: Invoice, kind: str) -> None:
    """Run the rules that fit the syntax; without a currency there is nothing to add up."""
    if not reading.ccy:
        if not _reported(reading, "currency"):
            reading.error("BR-05", "currency", "missing")
        return
    every = (*RULES, *VAT_RULES)
    rules = [rule for rule in every if rule.universal] if kind == "fapiao" else every
    known = {(issue.rule, issue.field) for issue in reading.issues}
    case = Case(
        invoice=invoice,
        currencies=reading.options.currencies,
        header_only=kind == "cii" and not invoice.lines and cii.header_only(invoice.profile),
    )
    for rule, fault in check(case, rules):
        if (rule.name, fault.field) in known or (rule.essential and _reported(reading, fault.field)):
            continue
        if reading.gap and fault.message in _SUMS:
            continue
        firm: Severity = "error" if rule.essential or reading.options.strict else "warning"
        reading.issue(rule.name, fault.severity or firm, fault.field, fault.message, None, **dict(fault.values))


def _reported(reading: Reading, field: str) -> bool:
    """Tell whether reading `field` failed already: then that it is absent is no news."""
    return any(issue.severity == "error" and issue.field == field for issue in reading.issues)


def _settle_sign(reading: Reading, invoice: Invoice, kind: str) -> Invoice:
    """Turn a negative invoice into the credit model; refuse what leaves the direction open (X13, F26)."""
    totals = invoice.totals
    if invoice.credit and totals.gross.minor < 0:
        reading.error("X13", "totals.gross", "negative_credit")
        return invoice
    if kind == "ubl" and invoice.type_code:
        wrong = "credit_types" if not invoice.credit else "invoice_types"
        if invoice.type_code in ubl.codes_of(wrong):
            reading.error("BR-CL-01", "type_code", "root_and_type", code=invoice.type_code, root=invoice.origin.root)
    if not invoice.credit and totals.gross.minor < 0:
        if totals.payable.minor > 0:
            reading.error("X13", "totals.payable", "two_signs")
            return invoice
        reading.issue("X13", "note", "totals.gross", "negative_invoice")
        return as_credit(invoice)
    if totals.payable.minor < 0:
        reading.issue("X13", "warning", "totals.payable", "overpaid")
    return invoice


def _inside(issue: Issue, name: str) -> Issue:
    location = dataclasses.replace(issue.location, path=f"{name}!{issue.location.path}")
    return dataclasses.replace(issue, location=location)


def _refusal(refused: Refused, kind: str, digest: bytes) -> ReadResult:
    issue = Issue(
        rule=refused.rule,
        severity="error",
        field="file",
        message=refused.message,
        location=Location(line=refused.line, column=refused.column),
        values=tuple(sorted(refused.values.items())),
    )
    return ReadResult(items=(), issues=(issue,), kind=kind, profile="", source_hash=digest)
