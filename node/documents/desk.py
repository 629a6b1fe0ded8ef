"""From a foreign file to what goes on the chain (S18, S57, S90): parsed, parties resolved, sealed, summarised.

The desk reads a file in the intake process, checks that this company is the seller, finds the buyer in the directory,
builds the salted field tree and keeps the original sealed, before any transaction exists. What it returns are the
control fields of the call: no name, no line and no number in clear leaves the node (F3).

Door: `DocumentDesk.take`, and `recompute` for a buyer who was handed file and seed.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from hashlib import sha256
from typing import Final

from finance.formats import ReadOptions
from finance.formats.messages import describe
from finance.model import Invoice, Issue, Party, control_fields, field_map
from ledger.crypto.fieldtree import build
from ledger.crypto.hashing import lp
from ledger.errors import LedgerError
from ledger.money import CurrencyTable
from node.documents.intake import Upload, parse_files
from node.documents.taking import DocumentFinding, DocumentRefused, DocumentTaken, DocumentWish, SealedOriginal
from node.documents.vault import Original, OriginalCard, Vault
from node.identity.directory import Directory

SEED_BYTES: Final = 32
TERMS_DAYS_MAX: Final = 365
INVOICE, CREDIT_NOTE = "invoice", "credit_note"


class DocumentDesk:
    """One company's desk. `draw` gives random bytes, `numbering` is its own key for document numbers (F30)."""

    def __init__(
        self,
        *,
        company_id: str,
        production: bool,
        directory: Directory,
        vault: Vault,
        numbering: bytes,
        currencies: CurrencyTable,
        draw: Callable[[int], bytes],
    ) -> None:
        self._company = company_id
        self._production = production
        self._directory = directory
        self._vault = vault
        self._numbering = numbering
        self._currencies = currencies
        self._draw = draw

    async def take(self, data: bytes, wish: DocumentWish, now_ms: int) -> list[DocumentTaken | DocumentRefused]:
        """Read one file; return each document in it, taken or refused, in the order of the file."""
        if self._production and (wish.seller or wish.buyer):
            return [_refused("", "parties", "overridden", "parties are never overridden on a production network")]
        if not 0 <= wish.terms_days <= TERMS_DAYS_MAX:
            return [_refused("", "terms_days", "invalid", f"{wish.terms_days} is outside 0 to {TERMS_DAYS_MAX} days")]
        options = ReadOptions(strict=wish.strict, currencies=self._currencies)
        (result,) = await parse_files([Upload(name=wish.name, data=data)], options)
        found = [self._one(item, result.issues, result.profile, data, wish, now_ms) for item in result.items]
        refused = [_by_issues(item.number, result.issues) for item in result.refused]
        return [*found, *refused] or [_by_issues("", result.issues)]

    def original(self, root: bytes) -> SealedOriginal | None:
        """Return the sealed original with this root, for export to the buyer (S90)."""
        found = self._vault.get(root)
        if found is None:
            return None
        card = found.card
        return SealedOriginal(
            name=card.file_name,
            seller=card.seller,
            buyer=card.buyer,
            data=found.data,
            seed=found.seed,
            sha256=card.sha256,
        )

    def number_key(self, number: str, fiscal_year: str, credit: bool) -> str:
        """Return the keyed number: equal numbers of one year and type are equal, and tell nothing else (F30)."""
        kind = CREDIT_NOTE if credit else INVOICE
        message = lp(kind.encode(), fiscal_year.encode(), number.encode())
        return hmac.new(self._numbering, message, sha256).hexdigest()

    # -- private -------------------------------------------------------------------------------------------------

    def _one(
        self, item: Invoice, issues: tuple[Issue, ...], profile: str, data: bytes, wish: DocumentWish, now_ms: int
    ) -> DocumentTaken | DocumentRefused:
        control = control_fields(item)
        for name, money in (("net", control.net), ("tax", control.tax), ("total", control.total)):
            if money.ccy not in self._currencies:
                return _refused(
                    item.number, f"totals.{name}", "currency", f"{money.ccy} is not a currency of this network", issues
                )
        seller = wish.seller or self._party(item.seller)
        buyer = wish.buyer or self._party(item.buyer)
        if not seller.startswith("c") or " " in seller:
            return _refused(item.number, "seller", "unknown_party", seller, issues)
        if not buyer.startswith("c") or " " in buyer:
            return _refused(item.number, "buyer", "unknown_party", buyer, issues)
        if seller != self._company:
            name = item.seller.name or "the seller"
            return _refused(
                item.number, "seller", "not_ours", f"{name} is another company; its own node issues this", issues
            )
        if buyer == seller:
            return _refused(item.number, "buyer", "same_company", "seller and buyer are one company", issues)
        try:
            fields = field_map(item, self._currencies)
            tree = build(fields, self._draw(SEED_BYTES))
        except LedgerError as error:
            return _refused(item.number, "document", "fields", str(error), issues)
        due = control.due or _later(control.issued, wish.terms_days)
        taken = DocumentTaken(
            kind=CREDIT_NOTE if control.credit else INVOICE,
            type_code=control.kind[:4] or "380",
            profile=profile,
            number=item.number,
            number_key=self.number_key(control.number, control.fiscal_year, control.credit),
            preceding_keys=self._preceding(control.preceding, control.fiscal_year),
            seller=seller,
            buyer=buyer,
            net=(control.net.ccy, control.net.minor),
            tax=(control.tax.ccy, control.tax.minor),
            total=(control.total.ccy, control.total.minor),
            issued=control.issued,
            due=due,
            root=tree.root.hex(),
            fields=len(fields),
            findings=_findings(issues),
        )
        self._vault.keep(
            Original(
                OriginalCard(
                    root=tree.root,
                    kind=taken.kind,
                    profile=profile[:255],
                    file_name=wish.name[:255],
                    media="application/xml",
                    size_bytes=len(data),
                    sha256=sha256(data).digest(),
                    number=item.number[:255],
                    number_key=taken.number_key,
                    seller=seller,
                    buyer=buyer,
                    object_id="",
                    kept_ms=now_ms,
                ),
                tree.seed,
                data,
            )
        )
        return taken

    def _party(self, party: Party) -> str:
        """Return the company of a party, or a sentence that names the identifiers nobody has (S18)."""
        known = self._directory.identifiers()
        tried: list[str] = []
        for identifier in party.identifiers():
            scheme = identifier.scheme.lower() or "legal"
            companies = known.get((scheme, "".join(identifier.value.split()).upper()), ())
            if len(companies) == 1:
                return companies[0]
            if len(companies) > 1:
                names = " and ".join(self._directory.names[company] for company in companies)
                return f"the identifier {scheme} {identifier.value} stands in the entries of {names}"
            tried.append(f"{scheme} {identifier.value}")
        who = party.name or "the party"
        if not tried:
            return f"{who} has no identifier in this document"
        return f"{who} is unknown to this network: no entry of the directory has {', '.join(tried)}"

    def _preceding(self, number: str, fiscal_year: str) -> tuple[str, ...]:
        """Return the keys under which the preceding invoice may stand: its year is this one or the one before."""
        if not number or not fiscal_year.isdigit():
            return ()
        normal = "".join(number.split()).upper()
        years = (fiscal_year, str(int(fiscal_year) - 1))
        return tuple(self.number_key(normal, year, credit=False) for year in years)


async def recompute(data: bytes, seed: bytes, currencies: CurrencyTable) -> Mapping[str, str]:
    """Return root -> document number of every document in a file under `seed`: what a buyer compares (S90)."""
    (result,) = await parse_files(
        [Upload(name="document", data=data)], ReadOptions(strict=False, currencies=currencies)
    )
    return {build(field_map(item, currencies), seed).root.hex(): item.number for item in result.items}


def _later(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def _by_issues(number: str, issues: tuple[Issue, ...]) -> DocumentRefused:
    worst = next((issue for issue in issues if issue.severity == "error"), None)
    if worst is None:
        return _refused(number, "file", "no_document", "the file holds no document", issues)
    return _refused(number, worst.field or "file", worst.rule, describe(worst), issues)


def _refused(number: str, field: str, code: str, reason: str, issues: tuple[Issue, ...] = ()) -> DocumentRefused:
    return DocumentRefused(number=number, field=field, code=code, reason=reason, findings=_findings(issues))


def _findings(issues: tuple[Issue, ...]) -> tuple[DocumentFinding, ...]:
    return tuple(
        DocumentFinding(
            rule=issue.rule,
            severity=issue.severity,
            field=issue.field,
            place=f"{issue.location.path} line {issue.location.line}".strip() if issue.location.line else "",
            text=describe(issue),
        )
        for issue in issues
    )
