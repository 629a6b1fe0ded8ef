"""From ledger events to journal entries, by posting templates that are data (F63).

Rules
    * An event is booked at most once per company, whatever the order or repetition in which events are handed in:
      they are sorted by cursor first.
    * A posting of another company's side is not ours: the template says whose books it is, by an event field.
    * A buyer books an invoice when it accepts it; a credit note for an invoice not yet accepted waits for that.
    * A rejected or withdrawn invoice, and a reversed credit note, are mirrored: the same lines with opposite signs.
    * Voucher numbers are given in the order of posting, gap-free per voucher type and period (F62).
Door: `journal(events, company)`.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from finance.books import (
    BadTemplate,
    JournalEntry,
    JournalLine,
    LedgerEvent,
    Side,
    UnreadableEvent,
    check_balanced,
    cursor_key,
)

ROUNDING_MOST: Final = 100
"""Minor units by which payable may differ from net and tax as rounding; the contract `invoices` has the same bound."""

BLOCK_DAY: Final = "@day"
"""In a template: the date of the block, for acts without a paper of their own."""

AMOUNTS: Final = ("total", "net", "tax", "prepaid", "rounding", "amount", "allocated", "rest")
"""What a template line may book. `prepaid`, `rounding` and `rest` are worked out, the others are event fields."""

DEFAULT_TEMPLATES: Final = "templates/prc_1.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account of the chart. `control` names the subledger that alone posts to it (F61), or ""."""

    code: str
    side: Side
    names: Mapping[str, str]
    control: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTemplate:
    account: str
    side: Side
    amount: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One row of the posting table. Field names are those of the contract event; "" where there is none."""

    id: str
    event: str
    company: str
    partner: str
    document: str
    about: str
    waits: bool
    mirrors: bool
    voucher: str
    date: str
    sign: int
    text: Mapping[str, str]
    lines: tuple[LineTemplate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """A dated, versioned set of postings and the chart of accounts they use."""

    version: str
    valid_from: str
    accounts: Mapping[str, Account]
    postings: tuple[Posting, ...]

    def control_account(self, control: str) -> str:
        """Return the code of the control account of a subledger (`receivable` or `payable`)."""
        return next(code for code, account in self.accounts.items() if account.control == control)


def journal(events: Iterable[LedgerEvent], company: str, templates: Templates | None = None) -> list[JournalEntry]:
    """Return the journal entries of `company` from the events that name it, in the order of posting.

    `events` may be in any order and may repeat; every event of the company up to some height must be there.
    UnreadableEvent: an event lacks what its template names.
    """
    books = RunningBooks(company, templates)
    by_cursor = {event.cursor: event for event in events}
    for cursor in sorted(by_cursor, key=cursor_key):
        books.take(by_cursor[cursor])
    return books.entries


@cache
def default_templates() -> Templates:
    """Return the postings shipped with this package: default chart of the People's Republic of China."""
    text = files("finance").joinpath(DEFAULT_TEMPLATES).read_text(encoding="utf-8")
    return parse_templates(text)


def parse_templates(text: str) -> Templates:
    """Return the templates written in TOML. BadTemplate names the first wrong place."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadTemplate("file", str(error)) from None
    accounts = {
        code: Account(
            code=code,
            side=_side(f"accounts.{code}", item.get("side")),
            names={"en": _word(f"accounts.{code}", item, "en"), "zh": _word(f"accounts.{code}", item, "zh")},
            control=item.get("control", ""),
        )
        for code, item in sorted(raw.get("accounts", {}).items())
    }
    postings = tuple(_posting(item, accounts) for item in raw.get("posting", []))
    repeated = {p.id for p in postings if sum(other.id == p.id for other in postings) > 1}
    if repeated:
        raise BadTemplate(sorted(repeated)[0], "occurs twice")
    return Templates(
        version=_word("file", raw, "version"),
        valid_from=_word("file", raw, "valid_from"),
        accounts=accounts,
        postings=postings,
    )


class RunningBooks:
    """The running books of one company: entries so far, and what must be remembered between events.

    `take` events in cursor order, each once, as the ledger grows; `journal` is the same for a whole history.
    """

    def __init__(self, company: str, templates: Templates | None = None) -> None:
        self.company = company
        self.templates = templates or default_templates()
        self.entries: list[JournalEntry] = []
        self._postings: dict[str, list[Posting]] = defaultdict(list)
        for posting in self.templates.postings:
            self._postings[posting.event].append(posting)
        self._numbers: dict[tuple[str, str], int] = defaultdict(int)
        self._accepted: set[str] = set()
        self._waiting: dict[str, list[tuple[Posting, LedgerEvent]]] = defaultdict(list)
        """Invoice -> credit notes that wait for its acceptance."""
        self._of_document: dict[str, list[JournalEntry]] = defaultdict(list)
        """Document -> entries about it, as the document itself or as the invoice concerned."""
        self._mirrored: set[str] = set()

    def take(self, event: LedgerEvent) -> None:
        """Book one event. The caller hands events over in cursor order, each once."""
        kind = f"{event.contract}.{event.name}"
        for posting in self._postings.get(kind, ()):
            if _text(event, posting.company) == self.company:
                self._book(posting, event)
        if kind == "invoices.Accepted":
            invoice = _text(event, "id")
            self._accepted.add(invoice)
            for posting, earlier in self._waiting.pop(invoice, ()):
                self._post(posting, earlier, event.height)

    def _book(self, posting: Posting, event: LedgerEvent) -> None:
        about = _text(event, posting.about) if posting.about else ""
        if posting.waits and about and about not in self._accepted:
            self._waiting[about].append((posting, event))
        elif posting.mirrors:
            self._mirror(posting, event)
        else:
            self._post(posting, event, event.height)

    def _post(self, posting: Posting, event: LedgerEvent, height: int) -> None:
        partner = _text(event, posting.partner)
        document = _text(event, posting.document)
        lines = []
        for line in posting.lines:
            minor, currency = _amount(event, line.amount)
            if minor:
                reference = _text(event, line.reference) if line.reference else document
                lines.append(
                    JournalLine(
                        account=line.account,
                        side=line.side,
                        minor=posting.sign * minor,
                        currency=currency,
                        partner=partner,
                        reference=reference,
                    )
                )
        self._add(posting, event, height, _date(event, posting.date), tuple(lines), ())

    def _mirror(self, posting: Posting, event: LedgerEvent) -> None:
        document = _text(event, posting.document)
        for invoice, waiting in self._waiting.items():
            self._waiting[invoice] = [pair for pair in waiting if _text(pair[1], pair[0].document) != document]
        originals = [entry for entry in self._of_document[document] if entry.source not in self._mirrored]
        self._mirrored.update(entry.source for entry in originals)
        lines = tuple(
            JournalLine(
                account=line.account,
                side=line.side,
                minor=-line.minor,
                currency=line.currency,
                partner=line.partner,
                reference=line.reference,
            )
            for entry in originals
            for line in entry.lines
        )
        date = max([_date(event, posting.date), *(entry.date for entry in originals)])
        self._add(posting, event, event.height, date, lines, tuple(entry.source for entry in originals))

    def _add(
        self,
        posting: Posting,
        event: LedgerEvent,
        height: int,
        date: str,
        lines: tuple[JournalLine, ...],
        reverses: tuple[str, ...],
    ) -> None:
        if not lines:
            return
        period = date[:7]
        self._numbers[posting.voucher, period] += 1
        document = _text(event, posting.document)
        about = _text(event, posting.about) if posting.about else ""
        entry = check_balanced(
            JournalEntry(
                company=self.company,
                voucher_type=posting.voucher,
                number=self._numbers[posting.voucher, period],
                period=period,
                date=date,
                text=posting.text,
                lines=lines,
                source=event.cursor,
                event=posting.event,
                height=height,
                template=f"{self.templates.version}:{posting.id}",
                document=document,
                about=about,
                reverses=reverses,
            )
        )
        self.entries.append(entry)
        if not posting.mirrors:
            self._of_document[document].append(entry)
            if about:
                self._of_document[about].append(entry)


def _amount(event: LedgerEvent, name: str) -> tuple[int, str]:
    """Return (minor, currency) of a template amount."""
    if name in ("prepaid", "rounding"):
        (net, currency), (tax, _), (total, _) = _money(event, "net"), _money(event, "tax"), _money(event, "total")
        difference = net + tax - total
        is_rounding = abs(difference) <= ROUNDING_MOST
        return (difference if is_rounding == (name == "rounding") else 0), currency
    if name == "rest":
        (amount, currency), (allocated, _) = _money(event, "amount"), _money(event, "allocated")
        return amount - allocated, currency
    return _money(event, name)


def _money(event: LedgerEvent, field: str) -> tuple[int, str]:
    value = event.fields.get(field)
    if (
        not isinstance(value, (list, tuple))
        or len(value) != 2
        or not isinstance(value[0], str)
        or not isinstance(value[1], int)
        or isinstance(value[1], bool)
    ):
        raise UnreadableEvent(event.cursor, f"{event.contract}.{event.name}", field, "is not money")
    return value[1], value[0]


def _text(event: LedgerEvent, field: str) -> str:
    value = event.fields.get(field)
    if not isinstance(value, str):
        raise UnreadableEvent(event.cursor, f"{event.contract}.{event.name}", field, "is not a text")
    return value


def _date(event: LedgerEvent, field: str) -> str:
    return event.day if field == BLOCK_DAY else _text(event, field)


def _posting(item: Mapping[str, Any], accounts: Mapping[str, Account]) -> Posting:
    place = str(item.get("id", "?"))
    lines = tuple(_line(place, line, accounts) for line in item.get("lines", ()))
    mirrors = bool(item.get("mirrors", False))
    if mirrors == bool(lines):
        raise BadTemplate(place, "has either lines or mirrors = true")
    if item.get("sign", 1) not in (1, -1):
        raise BadTemplate(place, "sign is 1 or -1")
    if item.get("waits_for", "acceptance") != "acceptance":
        raise BadTemplate(place, "waits_for knows only acceptance")
    text = item.get("text", {})
    return Posting(
        id=_word(place, item, "id"),
        event=_word(place, item, "event"),
        company=_word(place, item, "company"),
        partner=_word(place, item, "partner"),
        document=_word(place, item, "document"),
        about=item.get("about", ""),
        waits="waits_for" in item,
        mirrors=mirrors,
        voucher=_word(place, item, "voucher"),
        date=_word(place, item, "date"),
        sign=item.get("sign", 1),
        text={"en": _word(place, text, "en"), "zh": _word(place, text, "zh")},
        lines=lines,
    )


def _line(place: str, item: Mapping[str, Any], accounts: Mapping[str, Account]) -> LineTemplate:
    account, amount = _word(place, item, "account"), _word(place, item, "amount")
    if account not in accounts:
        raise BadTemplate(place, f"account {account} is not in the chart")
    if amount not in AMOUNTS:
        raise BadTemplate(place, f"amount {amount} is not one of {', '.join(AMOUNTS)}")
    return LineTemplate(
        account=account, side=_side(place, item.get("side")), amount=amount, reference=item.get("reference", "")
    )


def _side(place: str, value: object) -> Side:
    if value == "debit":
        return "debit"
    if value == "credit":
        return "credit"
    raise BadTemplate(place, "side is debit or credit")


def _word(place: str, item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not value:
        raise BadTemplate(place, f"{key} is missing")
    return value
