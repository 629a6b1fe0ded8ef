"""What every XML reader shares: typed access to the tree, issues with their place, leftovers as extras.

Rules
    * A value that is missing or wrong becomes an issue with rule, field and place, never an exception and
      never a silent default: the placeholder that keeps reading going always comes with an error (X2, X3).
    * Reading an element marks it. Everything unmarked at the end goes to `extras` with one note (X3).
    * Places are remembered by field path, so that the rule engine, which sees the model alone, can point at
      the line (X51).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from finance.formats import values
from finance.formats.values import BadValue
from finance.formats.xml import Node
from finance.model import NAME_MAX, TEXT_MAX, Identifier, Invoice, Issue, Location, Severity
from ledger.money import ISO_4217, CurrencyTable, Money

ISSUES_MAX: Final = 500
"""Issues kept of one document; the next one says how many more there are. A page cannot show more."""

LIST_MAX: Final = 1000
"""Elements of a list in one document, other than lines: notes, groups, allowances, references."""

EXTRAS_MAX: Final = 1000
"""Elements kept in `extras` of one document; the original has the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How to read. Production imports are strict; `strict=False` turns identifier, code-list and total
    faults into warnings (X4)."""

    strict: bool = True
    currencies: CurrencyTable = field(default_factory=lambda: ISO_4217)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadResult:
    """What a file holds. `items` may be committed; `refused` were understood far enough for a preview only.

    `kind` and `profile` are those of the first document. `source_hash` is SHA-256 of the bytes handed in.
    """

    items: tuple[Invoice, ...]
    issues: tuple[Issue, ...]
    kind: str
    profile: str
    source_hash: bytes
    refused: tuple[Invoice, ...] = ()

    @property
    def errors(self) -> tuple[Issue, ...]:
        return tuple(issue for issue in self.issues if issue.severity == "error")


class Reading:
    """The state of reading one document: issues, places of fields, currency.

    `gap` tells that an amount could not be read: a placeholder stands for it, so no sum can be judged.
    """

    def __init__(self, root: Node, options: ReadOptions) -> None:
        self.root = root
        self.options = options
        self.ccy = ""
        self.exponent = 2
        self.issues: list[Issue] = []
        self.places: dict[str, Node] = {}
        self.gap = False
        self._dropped = 0

    # -- issues ---------------------------------------------------------------------------------------------

    def issue(
        self, rule: str, severity: Severity, field: str, message: str, node: Node | None = None, **shown: str
    ) -> None:
        """Record an issue at `node`, or at the known place of `field`."""
        if len(self.issues) >= ISSUES_MAX:
            self._dropped += 1
            if severity != "error" or any(i.severity == "error" for i in self.issues):
                return
            self.issues.pop()
        place = node if node is not None else self.place(field)
        location = Location(path=place.path(), line=place.line) if place is not None else Location()
        text = values.excerpt(place.text) if place is not None and not place.children else ""
        self.issues.append(
            Issue(
                rule=rule,
                severity=severity,
                field=field,
                message=message,
                location=location,
                excerpt=text,
                values=tuple(sorted(shown.items())),
            )
        )

    def error(self, rule: str, field: str, message: str, node: Node | None = None, **shown: str) -> None:
        self.issue(rule, "error", field, message, node, **shown)

    def fault(self, rule: str, field: str, message: str, node: Node | None = None, **shown: str) -> None:
        """Record what is an error in strict mode and a warning in lenient mode (X4)."""
        self.issue(rule, "error" if self.options.strict else "warning", field, message, node, **shown)

    def place(self, field: str) -> Node | None:
        """Return the element of `field`, or of the nearest field around it, or the root."""
        while field:
            node = self.places.get(field)
            if node is not None:
                return node
            dot, bracket = field.rfind("."), field.rfind("[")
            field = field[: max(dot, bracket, 0)]
        return self.root

    def finish(self) -> tuple[Issue, ...]:
        """Return the issues; if the bound was reached, the last one says how many more there were."""
        if self._dropped:
            self.issues.append(
                Issue(
                    rule="X2",
                    severity="warning",
                    field="",
                    message="more_issues",
                    values=(("count", str(self._dropped)),),
                )
            )
        return tuple(self.issues)

    # -- access ---------------------------------------------------------------------------------------------

    def node(self, parent: Node | None, path: str, field: str, *, value: bool = False) -> Node | None:
        """Return the one element at `path` below `parent`, marked.

        A repetition is an error where a `value` (amount, number, date) would be ambiguous, and a fault elsewhere:
        the first is taken, the others go to `extras`.
        """
        node = parent
        for name in path.split("/"):
            if node is None:
                return None
            found = node.all(name)
            if len(found) > 1:
                report = self.error if value or field.startswith("totals") else self.fault
                report("X3", field, "repeated", found[1], count=str(len(found)))
            node = found[0] if found else None
            if node is not None:
                node.used = True
        if node is not None and field:
            self.places.setdefault(field, node)
        return node

    def nodes(self, parent: Node | None, path: str, limit: int = LIST_MAX) -> list[Node]:
        """Return the elements of the last name of `path`, marked; more than `limit` are an error and cut."""
        *heads, last = path.split("/")
        parents = [parent] if parent is not None else []
        for name in heads:
            parents = [child for one in parents for child in one.all(name)]
        found = [child for one in parents for child in one.all(last)]
        if len(found) > limit:
            name = last.rpartition(":")[2]
            self.error("X42", "", "too_many", found[limit], name=name, count=str(len(found)), limit=str(limit))
            del found[limit:]
        for one in (*parents, *found):
            one.used = True
        return found

    def text(self, parent: Node | None, path: str, field: str, limit: int = TEXT_MAX) -> str:
        node = self.node(parent, path, field)
        return self.text_of(node, field, limit) if node is not None else ""

    def name(self, parent: Node | None, path: str, field: str) -> str:
        return self.text(parent, path, field, NAME_MAX)

    def text_of(self, node: Node, field: str, limit: int = TEXT_MAX) -> str:
        node.used = True
        text, changed = values.clean(node.text, limit)
        if changed:
            self.issue("X48" if changed == "text_cut" else "X47", "note", field, changed, node, limit=str(limit))
        return text

    def identifier(self, parent: Node | None, path: str, field: str, scheme: str = "schemeID") -> Identifier | None:
        node = self.node(parent, path, field)
        return self.identifier_of(node, field, scheme) if node is not None else None

    def identifier_of(self, node: Node, field: str, scheme: str = "schemeID") -> Identifier | None:
        text = self.text_of(node, field, NAME_MAX)
        if not text:
            return None
        name, _ = values.clean(node.attributes.get(scheme, ""), NAME_MAX)
        return Identifier(value=text, scheme=name)

    def date(self, parent: Node | None, path: str, field: str) -> str:
        """Return an ISO date, `""` if absent or wrong; a wrong one is an error."""
        node = self.node(parent, path, field, value=True)
        if node is None or not node.text:
            return ""
        try:
            day, zoned = values.iso_date(node.text)
        except BadValue as bad:
            self.error("X45", field, bad.message, node, **bad.values)
            return ""
        if zoned:
            self.issue("X45", "note", field, "zone_dropped", node)
        return day

    def quantity(self, parent: Node | None, path: str, field: str) -> Decimal | None:
        node = self.node(parent, path, field, value=True)
        return self.quantity_of(node, field) if node is not None and node.text else None

    def quantity_of(self, node: Node, field: str) -> Decimal | None:
        try:
            return values.quantity(node.text)
        except BadValue as bad:
            self.error("X45", field, bad.message, node, **bad.values)
            return None

    def rate(self, parent: Node | None, path: str, field: str) -> Decimal | None:
        node = self.node(parent, path, field, value=True)
        if node is None or not node.text:
            return None
        try:
            return values.rate(node.text)
        except BadValue as bad:
            self.error("X45", field, bad.message, node, **bad.values)
            return None

    # -- money ----------------------------------------------------------------------------------------------

    def set_currency(self, code: str, field: str = "currency") -> None:
        """Take the document currency; without a known one no amount can be read."""
        exponent = self.options.currencies.get(code)
        if code and exponent is None:
            self.error("BR-CL-04", field, "unknown_currency", ccy=values.excerpt(code))
        self.ccy = code if exponent is not None else ""
        self.exponent = exponent if exponent is not None else 2

    def zero(self) -> Money:
        return Money(0, self.ccy)

    def amount(self, parent: Node | None, path: str, field: str, dec: str = "X45") -> Money | None:
        """Return the amount in document currency, None if absent or wrong; `dec` is its BR-DEC rule."""
        node = self.node(parent, path, field, value=True)
        return self.amount_of(node, field, dec) if node is not None else None

    def amount_of(self, node: Node, field: str, dec: str = "X45", ccy: str = "") -> Money | None:
        node.used = True
        ccy = ccy or self.ccy
        stated = node.attributes.get("currencyID", "").strip()
        if not ccy:  # the missing or unknown currency is an issue already
            self.gap = True
            return None
        if stated and stated != ccy:
            self.gap = True
            self.error("X12", field, "other_currency", node, ccy=ccy, stated=values.excerpt(stated))
            return None
        try:
            money = values.amount(node.text, ccy, self.options.currencies[ccy])
        except BadValue as bad:
            self.gap = True
            self.error(dec if bad.message == "too_many_decimals" else "X45", field, bad.message, node, **bad.values)
            return None
        decimals = len(node.text.partition(".")[2])
        if dec != "X45" and decimals > 2 and decimals > self.options.currencies[ccy]:
            self.issue(dec, "warning", field, "trailing_zeros", node, text=node.text)
        return money

    def needed(self, rule: str, parent: Node | None, path: str, field: str, dec: str) -> Money:
        """Return an amount the model cannot do without; its absence is an error in both modes."""
        node = self.node(parent, path, field, value=True)
        money = self.amount_of(node, field, dec) if node is not None else None
        if node is None:
            self.gap = True
            self.error(rule, field, "missing", parent)
        return money if money is not None else self.zero()

    # -- leftovers ------------------------------------------------------------------------------------------

    def extras(self) -> tuple[tuple[str, str], ...]:
        """Return (path, text) of every element with content that no field took, and note how many (X3)."""
        left: list[tuple[str, str]] = []
        count = 0
        for node in self.root.walk():
            if node.used or not (node.text or (node.attributes and not node.children)):
                continue
            count += 1
            if len(left) < EXTRAS_MAX:
                shown = node.text if len(node.text) <= TEXT_MAX else f"({len(node.text)} characters)"
                left.append((node.path(), shown))
        if count:
            self.issue("X3", "note", "", "unmapped", self.root, count=str(count), first=left[0][0])
        return tuple(left)
