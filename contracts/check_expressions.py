"""Types, widths and effects of expressions; the result is typed IR (contracts sections 6 and 14).

`Terms.value` infers, `Terms.store` also fits the value to a type. Effects are pure < reads < writes (L46); a context
lowers `limit` and whatever needs more is refused where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contracts import ir
from contracts.errors import SourceError, meant, quote
from contracts.interface import MethodSchema
from contracts.limits import INT_BITS, LIST_BOUND, RATE_PLACES, TEXT_CHARS, WIDTH_MAX
from contracts.resolve import CLOSED_TYPES, Declarations, Head, fail, literal, rescaled_literal
from contracts.syntax import tree
from contracts.syntax.phrases import PREDEFINED
from contracts.types import (
    BOOL,
    CURRENCY,
    DATE,
    DAYS,
    EQUALITY,
    INT,
    MONEY,
    NONE,
    NOTHING,
    ORDERED,
    PARTY,
    RATIO,
    RAW_MONEY,
    USER,
    ZERO,
    Type,
    list_of,
    option,
    parts_of,
    rate,
    row_of,
    stored_width,
    text,
)
from contracts.values import rendered_chars
from ledger.registry.records import PEOPLE_ROLES

PURE: Final = 0
READS: Final = 1
WRITES: Final = 2

_FLIPPED: Final = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

_DATE_PARTS: Final = {"year_of": 14, "month_of": 4, "day_of": 5, "weekday": 3}
"""Built-ins from a date to an int, and the bits of their results (L25)."""

_YEAR_BITS: Final = 23
"""Bits of the days between two dates; 9 more hold the days of a year."""

_ID_PREFIX: Final = re.compile("[a-z]{1,8}", re.ASCII)

ID_TEXT: Final = text(40)
"""Type of `new_id` (L29)."""


_INSTEAD: Final = {
    ("date", "-", "date"): "; write days_between(a, b)",
    ("date", "+", "int"): "; write `date + n days`",
    ("date", "-", "int"): "; write `date - n days`",
    ("text", "+", "text"): '; a text is built by inserts: "{a}{b}"',
    ("currency", "-", "rate"): "; the sign stands before the currency: `-EUR 1.00`",
    ("currency", "-", "int"): "; the sign stands before the currency: `-JPY 1`",
}
"""What to write instead of a sum that does not exist, by the types and the sign of what was meant."""


@dataclass(slots=True)
class Local:
    """A parameter, local or row; `changeable` for `var`; `needed` for `let`, which must be used.

    `inferred`: its type is that of its first value, not a written one.
    """

    slot: int
    type: Type
    line: int
    column: int
    changeable: bool = False
    needed: bool = False
    used: bool = False
    inferred: bool = False


class Terms:
    """Checks expressions of one routine."""

    def __init__(self, found: Declarations, kind: str, caller_allowed: bool) -> None:
        self.found = found
        self.kind = kind
        self.caller_allowed = caller_allowed
        self.needs_caller = False
        self.scopes: list[dict[str, Local]] = [{}]
        self.slots = ir.FIRST_SLOT
        self.names: dict[int, tuple[str, Type]] = {}
        self.limit = WRITES
        self.effect = PURE
        self.result_type: Type | None = None
        """Type of `result`, only where it may stand: in `ensure` (L48)."""
        self.olds: list[tuple[int, ir.Expr]] | None = None
        """(slot, value) of each `old`; None where it may not stand."""

    # -- scopes

    def declare(self, node: tree.Node, name: str, kind: Type, changeable: bool = False, needed: bool = False) -> int:
        """Make a local; a visible name may not be repeated (L11)."""
        for scope in self.scopes:
            if name in scope:
                raise fail(
                    node,
                    "duplicate",
                    f"`{name}` is already declared in line {scope[name].line}, again in line {node.line}",
                )
        if name in self.found.consts or name in self.found.heads or name in self.found.used:
            raise fail(node, "duplicate", f"`{name}` is already a name of this contract (line {node.line})")
        slot = self.slots
        self.slots += 1
        self.names[slot] = (name, kind)
        self.scopes[-1][name] = Local(slot, kind, node.line, node.column, changeable, needed)
        return slot

    def local(self, name: str) -> Local | None:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return None

    def open_scope(self) -> None:
        self.scopes.append({})

    def close_scope(self) -> None:
        for name, local in self.scopes.pop().items():
            if local.needed and not local.used:
                raise SourceError("unused", local.line, local.column, f"`{name}` is never used")

    # -- effects

    def need(self, node: tree.Node, effect: int, what: str) -> None:
        """Note an effect; refuse it where the context allows less (L46)."""
        if effect > self.limit:
            place = "read tables or roles" if self.limit == PURE and effect == READS else "write"
            raise fail(node, "effect", f"{what} may not stand here: this place must not {place}")
        self.effect = max(self.effect, effect)

    def within(self, limit: int, expr: tree.Expr, wanted: Type | None = None) -> ir.Expr:
        """Check `expr` with at most the effect `limit`."""
        before = self.limit
        self.limit = min(before, limit)
        try:
            return self.value(expr) if wanted is None else self.store(expr, wanted)
        finally:
            self.limit = before

    # -- stores

    def store(self, expr: tree.Expr, wanted: Type) -> ir.Expr:
        """Return `expr` fitted to `wanted`: same type, or one of the conversions of L14 (L19)."""
        inner = parts_of(wanted)[0] if wanted.kind == "option" else wanted
        if inner.kind == "list" and isinstance(expr, tree.ListOf):
            return self.list_value(expr, inner)
        if inner.kind == "map" and isinstance(expr, tree.EmptyMap):
            return ir.EmptyMap(inner, 0)
        return self.fit(expr, self.value(expr), wanted)

    def list_value(self, expr: tree.ListOf, wanted: Type) -> ir.Expr:
        (inner,) = parts_of(wanted)
        if len(expr.items) > wanted.size:
            raise fail(expr, "limit", f"{len(expr.items)} values are more than {wanted} holds")
        return ir.ListOf(wanted, 0, tuple(self.store(item, inner) for item in expr.items))

    def fit(self, node: tree.Node, found: ir.Expr, wanted: Type) -> ir.Expr:
        if wanted.kind == "option" and found.type != wanted:
            return ir.Const(wanted, 0, None) if found.type == NONE else self.fit(node, found, parts_of(wanted)[0])
        if (scaled := rescaled_literal(found, wanted)) is not None:
            return scaled
        if found.type.kind == "text" == wanted.kind:
            if found.type.size <= wanted.size:
                return found
            if isinstance(found, ir.Const):
                if len(found.value) > wanted.size:
                    raise fail(node, "wrong_type", f"the text has {len(found.value)} code points, {wanted} takes fewer")
                return found
            return ir.Fit(wanted, 0, node.line, found)
        if found.type != wanted:
            raise fail(node, "wrong_type", f"expected {wanted}, found {found.type}")
        if stored_width(wanted) and found.width > INT_BITS:
            return ir.Fit(wanted, INT_BITS, node.line, found)
        return found

    def settled(self, node: tree.Node, found: ir.Expr) -> ir.Expr:
        """Return a value as it is kept in a local of its own type."""
        if found.type in (ZERO, DAYS, NOTHING, NONE, RATIO, RAW_MONEY):
            unrounded = "an unrounded value lives inside one expression; round it, for example by round_half_up (L21)"
            what = {
                "zero": "`zero` alone stands only beside a comparison with money; write `zero of ...`",
                "none": "`none` needs a type; write `let x: T? = none`",
                "ratio": unrounded,
                "raw_money": unrounded,
            }
            raise fail(node, "wrong_type", what.get(found.type.kind, "this is no value that can be kept"))
        return self.fit(node, found, found.type)

    # -- expressions

    def value(self, expr: tree.Expr) -> ir.Expr:
        """Return the typed form of `expr`."""
        simple = literal(self.found, expr)
        if simple is not None:
            return simple
        match expr:
            case tree.Name():
                return self.name(expr)
            case tree.TypeName(name=name):
                raise fail(expr, "wrong_type", f"`{quote(name)}` is a type, not a value")
            case tree.Text():
                return self.join(expr)
            case tree.Unary(op="not"):
                return ir.Not(BOOL, 0, self.store(expr.operand, BOOL))
            case tree.Unary():
                inner = self.value(expr.operand)
                if not stored_width(inner.type):
                    raise fail(expr, "wrong_type", f"`-` stands before int, rate or money, not {inner.type}")
                return ir.Negate(inner.type, inner.width, inner)
            case tree.Logic():
                return ir.Logic(BOOL, 0, expr.op, tuple(self.store(item, BOOL) for item in expr.operands))
            case tree.Sum():
                return self.sum(expr)
            case tree.Product():
                return self.product(expr)
            case tree.Compare():
                return self.compare(expr)
            case tree.IsIn():
                return self.is_in(expr)
            case tree.Member():
                return self.member(expr)
            case tree.Lookup():
                return self.lookup(expr)
            case tree.Maybe():
                return self.maybe(expr)
            case tree.IsNone():
                return self.is_none(expr)
            case tree.IsWithin():
                return self.is_within(expr)
            case tree.Nothing():
                return ir.Const(NONE, 0, None)
            case tree.ListOf():
                return self.untyped_list(expr)
            case tree.EmptyMap():
                raise fail(expr, "wrong_type", "the type of `{}` is not known here; write `var x: map(K, V, n) = {}`")
            case tree.Old():
                return self.old(expr)
            case tree.Call():
                return self.call(expr)
            case tree.Exists():
                at, keys = self.row_place(expr.row)
                self.need(expr, READS, "`exists`")
                return ir.Exists(BOOL, 0, at, keys)
            case tree.Zero(of=None):
                return ir.Const(ZERO, 0, 0)
            case tree.Zero():
                of = None if expr.of is None else self.value(expr.of)
                if of is None or of.type not in (MONEY, CURRENCY):
                    raise fail(expr, "wrong_type", "`zero of` takes money or a currency")
                return ir.ZeroOf(MONEY, 1, of)
            case tree.HasRole():
                self.people_role(expr, expr.role)
                self.need(expr, READS, "`role`")
                return ir.HasRole(BOOL, 0, expr.line, expr.role, self.store(expr.party, PARTY))
            case tree.Days():
                raise fail(expr, "wrong_type", "days are only added to a date or taken from one")
        raise fail(expr, "wrong_type", "this cannot stand here")

    def people_role(self, node: tree.Node, role: str) -> None:
        if role not in PEOPLE_ROLES:
            raise fail(node, "unknown_role", f"`{quote(role)}` is none of {', '.join(PEOPLE_ROLES)}")

    def name(self, expr: tree.Name) -> ir.Expr:
        local = self.local(expr.name)
        if local is not None:
            local.used = True
            slot = ir.Slot(local.type, stored_width(local.type), local.slot)
            if local.changeable and local.type.kind in ("list", "map"):
                return ir.Copy(local.type, 0, expr.line, False, slot)
            return slot
        if expr.name in self.found.consts:
            return self.found.consts[expr.name]
        match expr.name:
            case "caller" | "sender":
                self.use_caller(expr, f"`{expr.name}`")
                return ir.Special(PARTY if expr.name == "caller" else USER, 0, expr.name)
            case "today":
                return ir.Special(DATE, 0, "today")
            case "height":
                return ir.Special(INT, INT_BITS, "height")
            case "result" if self.result_type is not None:
                return ir.Slot(self.result_type, stored_width(self.result_type), 1)
        if expr.name in self.found.heads or expr.name in self.found.used:
            raise fail(expr, "wrong_type", f"`{expr.name}` is not a value")
        known = [name for scope in self.scopes for name in scope] + [*self.found.consts, "caller", "sender", "today"]
        raise fail(expr, "undeclared", f"`{quote(expr.name)}` is not declared{meant(expr.name, known)}")

    def use_caller(self, node: tree.Node, what: str) -> None:
        if not self.caller_allowed:
            raise fail(node, "no_caller", f"{what}: queries, invariants and actions `by contract` have no caller (L27)")
        self.needs_caller = True

    def join(self, expr: tree.Text) -> ir.Expr:
        parts: list[ir.Expr] = []
        size = 0
        for part in expr.parts:
            if isinstance(part, str):
                parts.append(ir.Const(text(len(part)), 0, part))
                size += len(part)
                continue
            item = self.path(expr, part)
            if item.type.kind not in EQUALITY:
                raise fail(expr, "wrong_type", f"`{quote('.'.join(part))}` cannot be shown in a text")
            parts.append(item)
            size += rendered_chars(item.type)
        if len(parts) > 64:
            raise fail(expr, "chain", "one text has at most 64 parts")
        return ir.Join(text(min(size, TEXT_CHARS)), size if size > TEXT_CHARS else 0, expr.line, tuple(parts))

    def path(self, node: tree.Node, path: Sequence[str]) -> ir.Expr:
        """Return a local, parameter, constant or `row`, or a field of one (L7)."""
        shown = quote(".".join(path))
        local = self.local(path[0])
        if local is None:
            if path[0] in self.found.consts and len(path) == 1:
                return self.found.consts[path[0]]
            raise fail(
                node, "undeclared", f"`{shown}`: a text shows locals, parameters, constants and their fields only"
            )
        local.used = True
        value: ir.Expr = ir.Slot(local.type, stored_width(local.type), local.slot)
        if len(path) == 1:
            return value
        if len(path) > 2 or value.type.kind not in ("row", "record"):
            raise fail(node, "undeclared", f"`{shown}` is no field")
        return self.field(node, value, path[1])

    def field(self, node: tree.Node, row: ir.Expr, name: str) -> ir.Expr:
        if row.type.kind == "record":
            fields, first = self.found.records.get((row.type.contract, row.type.name)), 0
        else:
            fields, first = self.found.table_fields(row.type.contract, row.type.name), 1
        if fields is None:
            raise fail(node, "undeclared", f"{row.type} belongs to a contract that is not used here")
        for at, (field, kind) in enumerate(fields):
            if field == name:
                return ir.Field(kind, stored_width(kind), row, at + first)
        near = meant(name, [field for field, _ in fields])
        raise fail(node, "undeclared", f"`{quote(name)}` is no field of {row.type.name}{near}")

    def member(self, expr: tree.Member) -> ir.Expr:
        if isinstance(expr.of, tree.TypeName) and expr.of.name in CLOSED_TYPES:
            user = {"CompanyRole": "company_has", "DayCount": "year_fraction"}[expr.of.name]
            raise fail(expr, "wrong_type", f"`{expr.of.name}.x` is an argument of `{user}` only")
        if isinstance(expr.of, tree.Name) and expr.of.name in self.found.used:  # no local has its name (L11)
            raise fail(
                expr, "wrong_type", f"`{expr.of.name}.{quote(expr.name)}` is called with brackets or names a type"
            )
        inner = self.value(expr.of)
        if inner.type.kind in ("row", "record"):
            return self.field(expr, inner, expr.name)
        if inner.type == MONEY and expr.name == "currency":
            return ir.Part(CURRENCY, 0, inner, 0)
        if inner.type == MONEY and expr.name == "minor":
            return ir.Part(INT, inner.width, inner, 1)
        raise fail(expr, "undeclared", f"{inner.type} has no part `{quote(expr.name)}`")

    # -- options, lists, maps

    def borrow(self, expr: tree.Expr) -> ir.Expr:
        """Return a value that is looked into at once and not kept, so that a `var` list or map is not copied."""
        local = self.local(expr.name) if isinstance(expr, tree.Name) else None
        if local is None:
            return self.value(expr)
        local.used = True
        return ir.Slot(local.type, stored_width(local.type), local.slot)

    def lookup(self, expr: tree.Lookup) -> ir.Expr:
        """Return the row, element or entry that `of[keys]` names."""
        if isinstance(expr.of, tree.TypeName):
            at, keys = self.table_key(expr, expr.of.name, expr.keys)
            self.need(expr, READS, "reading a row")
            return ir.ReadRow(row_of(self.found.contract.name, expr.of.name), 0, expr.line, at, keys)
        of, key = self.looked_into(expr)
        kind = parts_of(of.type)[-1]
        if of.type.kind == "list":
            return ir.Element(kind, stored_width(kind), expr.line, of, key)
        return ir.Entry(kind, stored_width(kind), expr.line, False, of, key)

    def looked_into(self, expr: tree.Lookup) -> tuple[ir.Expr, ir.Expr]:
        """Return the list or map of `of[key]`, and the key."""
        if isinstance(expr.of, tree.Member) and expr.of.name[0].isupper():
            raise fail(expr, "foreign_table", "tables of another contract are read through its queries (L40)")
        of = self.borrow(expr.of)
        if of.type.kind not in ("list", "map"):
            raise fail(expr, "wrong_type", f"tables, lists and maps are looked up with [ ], not {of.type}")
        if len(expr.keys) != 1:
            raise fail(expr, "wrong_type", f"a {of.type.kind} has one key, {len(expr.keys)} are given")
        return of, self.store(expr.keys[0], INT if of.type.kind == "list" else parts_of(of.type)[0])

    def maybe(self, expr: tree.Maybe) -> ir.Expr:
        if isinstance(expr.of.of, tree.TypeName):
            at, keys = self.table_key(expr, expr.of.of.name, expr.of.keys)
            self.need(expr, READS, "reading a row")
            kind = option(row_of(self.found.contract.name, expr.of.of.name))
            return ir.MaybeRow(kind, 0, expr.line, at, keys)
        of, key = self.looked_into(expr.of)
        if of.type.kind == "list":
            raise fail(expr, "wrong_type", "`?` stands after tables and maps; compare the index with count(list) (L16)")
        inner = parts_of(of.type)[1]
        if inner.kind == "option":
            raise fail(expr, "wrong_type", "options do not nest; use `k in map` first (section 5)")
        return ir.Entry(option(inner), 0, expr.line, True, of, key)

    def is_none(self, expr: tree.IsNone) -> ir.Expr:
        of = self.value(expr.value)
        if of.type.kind != "option":
            raise fail(expr, "wrong_type", f"{of.type} is never none")
        found = ir.IsNone(BOOL, 0, of)
        return ir.Not(BOOL, 0, found) if expr.negated else found

    def is_within(self, expr: tree.IsWithin) -> ir.Expr:
        value, of = self.value(expr.value), self.borrow(expr.of)
        if of.type.kind == "map":
            value = self.fit(expr.value, value, parts_of(of.type)[0])
        elif of.type.kind == "list":
            value, other = self.alike(value, ir.Slot(parts_of(of.type)[0], 0, 0))
            self.comparable(expr, value, other, "==")
        else:
            raise fail(expr, "wrong_type", f"`in` takes a list or a map, not {of.type}")
        found = ir.Within(BOOL, 0, expr.line, value, of)
        return ir.Not(BOOL, 0, found) if expr.negated else found

    def untyped_list(self, expr: tree.ListOf) -> ir.Expr:
        if not expr.items:
            raise fail(expr, "wrong_type", "the type of `[]` is not known here; write `let x: list(T, n) = []`")
        first = self.settled(expr.items[0], self.value(expr.items[0]))
        rest = [self.store(item, first.type) for item in expr.items[1:]]
        if first.type.kind == "map":
            raise fail(expr, "wrong_type", "a list holds no maps")
        return ir.ListOf(list_of(first.type, len(expr.items)), 0, (first, *rest))

    def old(self, expr: tree.Old) -> ir.Expr:
        if self.olds is None:
            raise fail(expr, "old", "`old` stands in `ensure` only, and not inside another `old` (L48)")
        before, self.olds, wanted, self.result_type = self.olds, None, self.result_type, None
        value = self.settled(expr.value, self.within(READS, expr.value))
        self.olds, self.result_type = before, wanted
        slot = self.slots
        self.slots += 1
        self.olds.append((slot, value))
        return ir.Slot(value.type, stored_width(value.type), slot)

    def record(self, expr: tree.Call, owner: str, name: str) -> ir.Expr:
        """Return the record `Name(field = value, ...)`, all fields by name (L29)."""
        fields = self.found.records[owner, name]
        order = self.places(expr, expr.args, [field for field, _ in fields], name)
        home = "" if owner == self.found.contract.name else owner
        kind = self.found.type_of(tree.TypeRef(expr.line, expr.column, "", 0, home, name))
        items = tuple(self.store(arg.value, fields[at][1]) for arg, at in zip(expr.args, order, strict=True))
        return ir.RecordOf(kind, 0, order, items)

    def row_place(self, expr: tree.Expr) -> tuple[int, tuple[ir.Expr, ...]]:
        """Return table and key of `Table[a, b]` (own tables only, L40)."""
        if not isinstance(expr, tree.Lookup):
            raise fail(expr, "wrong_type", "expected a row, written Table[key]")
        if not isinstance(expr.of, tree.TypeName):
            if isinstance(expr.of, tree.Member):
                raise fail(expr, "foreign_table", "tables of another contract are read through its queries (L40)")
            raise fail(expr, "wrong_type", "expected a row, written Table[key]")
        return self.table_key(expr, expr.of.name, expr.keys)

    def table_key(self, node: tree.Node, name: str, keys: Sequence[tree.Expr]) -> tuple[int, tuple[ir.Expr, ...]]:
        number, decl = self.table(node, name)
        if len(keys) != decl.keys:
            raise fail(node, "wrong_type", f"{name} has {decl.keys} key fields, {len(keys)} are given")
        return number, tuple(self.store(key, kind) for key, (_, kind) in zip(keys, decl.fields, strict=False))

    def table(self, node: tree.Node, name: str) -> tuple[int, ir.TableDecl]:
        found = self.found.tables.get(name)
        if found is None:
            near = meant(name, self.found.tables)
            raise fail(node, "undeclared", f"`{quote(name)}` is no table of this contract{near}")
        return found

    # -- arithmetic and comparison

    def width(self, node: tree.Node, bits: int) -> int:
        if bits > WIDTH_MAX:
            raise fail(node, "width", f"this value can need {bits} bits, the limit is {WIDTH_MAX} (L19)")
        return bits

    def sum(self, expr: tree.Sum) -> ir.Expr:
        first = self.value(expr.first)
        terms: list[tuple[str, ir.Expr]] = []
        width = first.width
        for sign, operand in expr.rest:
            if isinstance(operand, tree.Days):
                if first.type != DATE:
                    raise fail(operand, "wrong_type", "days are only added to a date or taken from one")
                count = self.value(operand.count)
                if count.type != INT:
                    raise fail(operand, "wrong_type", f"a number of days is an int, not {count.type}")
                first = ir.DayShift(DATE, 0, expr.line, 1 if sign == "+" else -1, first, count)
                continue
            first, item = self.alike(first, self.value(operand))
            if isinstance(first, ir.Unrounded) or isinstance(item, ir.Unrounded):
                if terms:
                    first, terms = ir.Sum(first.type, width, expr.line, first, tuple(terms)), []
                first = self.ratio_sum(operand, expr.line, sign, first, item)
                continue
            if item.type != first.type or not stored_width(item.type):
                advice = _INSTEAD.get((first.type.kind, sign, item.type.kind), "")
                raise fail(operand, "wrong_type", f"{first.type} {sign} {item.type} is not defined{advice}")
            width = self.width(operand, max(width, item.width) + 1)
            terms.append((sign, item))
        if not terms:
            return first
        return ir.Sum(first.type, width, expr.line, first, tuple(terms))

    def alike(self, left: ir.Expr, right: ir.Expr) -> tuple[ir.Expr, ir.Expr]:
        """Return both, a rate literal with the places of the other (L14)."""
        if (scaled := rescaled_literal(right, left.type)) is not None:
            return left, scaled
        if (scaled := rescaled_literal(left, right.type)) is not None:
            return scaled, right
        return left, right

    def lift(self, node: tree.Node, item: ir.Expr) -> ir.Unrounded:
        """Return a number or an amount as an unrounded one (L21)."""
        match item.type.kind:
            case "int":
                return ir.Lift(RATIO, item.width, 0, item)
            case "rate":
                return ir.Lift(RATIO, item.width, (10**item.type.size).bit_length(), item)
            case "money":
                return ir.Lift(RAW_MONEY, item.width, 0, item)
        if not isinstance(item, ir.Unrounded):
            raise fail(node, "wrong_type", f"{item.type} is no number and no amount")
        return item

    def ratio_sum(self, node: tree.Node, line: int, sign: str, left: ir.Expr, right: ir.Expr) -> ir.Expr:
        a, b = self.lift(node, left), self.lift(node, right)
        if a.type != b.type:
            raise fail(node, "wrong_type", f"{left.type} {sign} {right.type} is not defined")
        width = self.width(node, max(a.width + b.below, b.width + a.below) + 1)
        return ir.RatioSum(a.type, width, self.width(node, a.below + b.below), line, 1 if sign == "+" else -1, a, b)

    def fold(self, expr: tree.Product, operands: Sequence[ir.Expr]) -> ir.Expr:
        """Return a product with rates, unrounded values or divisions, two operands at a time (L21)."""
        total = operands[0]
        for sign, item, node in zip(expr.signs, operands[1:], expr.operands[1:], strict=True):
            kinds = (total.type.kind, item.type.kind)
            if sign == "*" and "int" in kinds and not any(kind in ("ratio", "raw_money") for kind in kinds):
                other = item if kinds[0] == "int" else total
                if not stored_width(other.type):
                    raise fail(node, "wrong_type", f"{other.type} is not multiplied")
                width = self.width(node, total.width + item.width)
                at = kinds.index("money") if "money" in kinds else -1
                total = ir.Product(other.type, width, expr.line, at, (total, item))
                continue
            a, b = self.lift(node, total), self.lift(node, item)
            if sign == "*":
                if a.type == RAW_MONEY == b.type:
                    raise fail(node, "wrong_type", "money times money is not defined")
                kind = RAW_MONEY if RAW_MONEY in (a.type, b.type) else RATIO
                width, below = a.width + b.width, a.below + b.below
            else:
                if b.type == RAW_MONEY and a.type == RATIO:
                    raise fail(node, "wrong_type", f"{total.type} / {item.type} is not defined")
                kind = RATIO if b.type == RAW_MONEY else a.type
                width, below = a.width + b.below, a.below + b.width
            width, below = self.width(node, width), self.width(node, below)
            total = ir.RatioProduct(kind, width, below, expr.line, sign == "/", a, b)
        return total

    def product(self, expr: tree.Product) -> ir.Expr:
        operands = [self.value(operand) for operand in expr.operands]
        if "/" in expr.signs or any(item.type.kind in ("rate", "ratio", "raw_money") for item in operands):
            return self.fold(expr, operands)
        money, width = -1, 0
        for at, (item, node) in enumerate(zip(operands, expr.operands, strict=True)):
            if item.type == MONEY:
                if money >= 0:
                    raise fail(node, "wrong_type", "money times money is not defined")
                money = at
            elif item.type != INT:
                raise fail(node, "wrong_type", f"{item.type} is not multiplied")
            width = self.width(node, width + item.width)
        return ir.Product(INT if money < 0 else MONEY, width, expr.line, money, tuple(operands))

    def compare(self, expr: tree.Compare) -> ir.Expr:
        left, right = self.alike(self.value(expr.left), self.value(expr.right))
        if left.type in (MONEY, RAW_MONEY) and right.type == ZERO:
            return ir.CompareZero(BOOL, 0, expr.op, left)
        if left.type == ZERO and right.type in (MONEY, RAW_MONEY):
            return ir.CompareZero(BOOL, 0, _FLIPPED[expr.op], right)
        if isinstance(left, ir.Unrounded) or isinstance(right, ir.Unrounded):
            a, b = self.lift(expr, left), self.lift(expr, right)
            if a.type != b.type or expr.op in ("==", "!="):
                why = "; round them first" if a.type == b.type else ""
                raise fail(expr, "wrong_type", f"{left.type} {expr.op} {right.type} is not defined{why} (L15)")
            self.width(expr, max(a.width + b.below, b.width + a.below))
            return ir.RatioCompare(BOOL, 0, expr.line, expr.op, a, b)
        if "option" in (left.type.kind, right.type.kind) and expr.op in ("==", "!="):
            return self.compare_options(expr, left, right)
        self.comparable(expr, left, right, "==" if expr.op in ("==", "!=") else expr.op)
        return ir.Compare(BOOL, max(left.width, right.width), expr.line, expr.op, left, right)

    def compare_options(self, expr: tree.Compare, left: ir.Expr, right: ir.Expr) -> ir.Expr:
        if NONE in (left.type, right.type):
            raise fail(expr, "wrong_type", "write `is none` or `is not none`")
        a, b = (parts_of(item.type)[0] if item.type.kind == "option" else item.type for item in (left, right))
        if not (a == b or a.kind == "text" == b.kind) or a.kind not in EQUALITY:
            raise fail(expr, "wrong_type", f"{left.type} {expr.op} {right.type} is not defined (L15)")
        return ir.Compare(BOOL, max(left.width, right.width), expr.line, expr.op, left, right)

    def comparable(self, node: tree.Node, left: ir.Expr, right: ir.Expr, op: str) -> None:
        same = left.type == right.type or left.type.kind == "text" == right.type.kind
        allowed = EQUALITY if op == "==" else ORDERED
        if not same or left.type.kind not in allowed:
            raise fail(node, "wrong_type", f"{left.type} {op} {right.type} is not defined (L15)")

    def is_in(self, expr: tree.IsIn) -> ir.Expr:
        value = self.value(expr.value)
        items = tuple(self.value(item) for item in expr.items)
        for item, node in zip(items, expr.items, strict=True):
            self.comparable(node, value, item, "==")
        found = ir.OneOf(BOOL, max(value.width, *(item.width for item in items)), expr.line, value, items)
        return ir.Not(BOOL, 0, found) if expr.negated else found

    # -- calls

    def call(self, expr: tree.Call) -> ir.Expr:
        match expr.of:
            case tree.Name(name=name):
                if self.local(name) is not None:
                    raise fail(expr, "wrong_type", f"`{name}` is a value and is not called")
                if name in self.found.heads:
                    return self.own(expr, self.found.heads[name])
                return self.builtin(expr, name)
            case tree.Member(of=tree.Name(name=contract), name=name) if (contract, name) in self.found.records:
                return self.record(expr, contract, name)
            case tree.Member(of=tree.Name(name=contract), name=name) if contract in self.found.used:
                return self.call_out(expr, contract, name)
            case tree.TypeName(name=name) if (self.found.contract.name, name) in self.found.records:
                return self.record(expr, self.found.contract.name, name)
            case tree.TypeName(name=name):
                raise fail(expr, "wrong_type", f"`{quote(name)}` is a type and is not called")
        raise fail(expr, "wrong_type", "only functions, queries and actions are called")

    def own(self, expr: tree.Call, head: Head) -> ir.Expr:
        name = head.tree.name
        if head.tree.kind == "action":
            raise fail(expr, "recursion", f"own actions are not called from inside; `{name}` is one (L45)")
        if head.needs_caller:
            self.use_caller(expr, f"`{name}` uses `caller` or `sender`")
        order, args = self.bind(expr, name, head.params)
        self.need(expr, head.effect, f"`{name}`")
        return ir.Invoke(head.result, stored_width(head.result), head.index, order, args)

    def call_out(self, expr: tree.Call, contract: str, name: str) -> ir.Expr:
        interface = self.found.used[contract]
        schema: MethodSchema | None = interface.queries.get(name)
        effect = READS
        if schema is None:
            schema, effect = interface.actions.get(name), WRITES
            if schema is None:
                near = meant(name, [*interface.queries, *interface.actions])
                raise fail(expr, "undeclared", f"`{quote(name)}` is no query or action of {contract}{near}")
            if schema.callers is None:
                raise fail(expr, "not_callable", f"{contract}.{name} is called by a transaction only (L43)")
            if schema.callers and self.found.contract.name not in schema.callers:
                raise fail(
                    expr, "not_callable", f"{contract}.{name} may be called by {', '.join(schema.callers)} only (L43)"
                )
        result = NOTHING if schema.result is None else schema.result.spec
        order, args = self.bind(expr, f"{contract}.{name}", tuple((item.name, item.spec) for item in schema.params))
        self.need(expr, effect, f"`{contract}.{name}`")
        return ir.CallOut(result, stored_width(result), expr.line, contract, name, order, args)

    def bind(
        self, expr: tree.Call, name: str, params: Sequence[tuple[str, Type]]
    ) -> tuple[tuple[int, ...], tuple[ir.Expr, ...]]:
        """Return positions and values of arguments in the order written; all by position or all by name (L29)."""
        given = expr.args
        if given and given[0].name:
            places = self.places(expr, given, [param for param, _ in params], name)
        else:
            for arg in given:
                if arg.name:
                    raise fail(arg, "arguments", "arguments are given all by position or all by name")
            if len(given) != len(params):
                raise fail(expr, "arguments", f"{name} takes {len(params)} arguments, {len(given)} are given")
            places = tuple(range(len(given)))
        return places, tuple(self.store(arg.value, params[at][1]) for arg, at in zip(given, places, strict=True))

    def places(
        self, node: tree.Node, args: Sequence[tree.Arg], names: Sequence[str], what: str, complete: bool = True
    ) -> tuple[int, ...]:
        """Return the position of each named argument; each exactly once, none missing, none extra."""
        found: list[int] = []
        for arg in args:
            if not arg.name:
                raise fail(arg, "arguments", f"{what} takes its values by name")
            if arg.name not in names:
                raise fail(arg, "arguments", f"{what} has no `{quote(arg.name)}`{meant(arg.name, names)}")
            at = names.index(arg.name)
            if at in found:
                first = args[found.index(at)]
                raise fail(arg, "duplicate", f"`{arg.name}` is given in line {first.line} and again in line {arg.line}")
            found.append(at)
        if complete and len(found) != len(names):
            missing = next(name for at, name in enumerate(names) if at not in found)
            raise fail(node, "arguments", f"{what}: `{missing}` is missing")
        return tuple(found)

    def builtin(self, expr: tree.Call, name: str) -> ir.Expr:
        for arg in expr.args:
            if arg.name:
                raise fail(arg, "arguments", "built-ins take their arguments by position")
        args = [arg.value for arg in expr.args]
        match name:
            case "min" | "max":
                return self._min_max(expr, name, self.arity(expr, name, args, 2))
            case "abs":
                (item,) = self.arity(expr, name, args, 1)
                if not stored_width(item.type):
                    raise fail(expr, "wrong_type", f"abs takes int, rate or money, not {item.type}")
                return ir.Builtin(item.type, item.width, expr.line, name, (item,))
            case "count":
                self.count_of(expr, name, args, 1)
                item = self.borrow(args[0])
                if item.type.kind not in ("text", "list", "map"):
                    raise fail(expr, "wrong_type", f"count takes a text, a list or a map, not {item.type}")
                return ir.Builtin(INT, 13, expr.line, name, (item,))
            case "floor_div" | "mod":
                left, right = self.arity(expr, name, args, 2)
                if left.type != INT or right.type != INT:
                    raise fail(expr, "wrong_type", f"{name} takes two ints")
                return ir.Builtin(
                    INT, left.width if name == "floor_div" else right.width, expr.line, name, (left, right)
                )
            case "days_between":
                left, right = self.arity(expr, name, args, 2)
                if left.type != DATE or right.type != DATE:
                    raise fail(expr, "wrong_type", "days_between takes two dates")
                return ir.Builtin(INT, 22, expr.line, name, (left, right))
            case "money_of":
                self.count_of(expr, name, args, 2)
                code, minor = self.store(args[0], CURRENCY), self.store(args[1], INT)
                return ir.Builtin(MONEY, INT_BITS, expr.line, name, (code, minor))
            case "new_id":
                self.need(expr, WRITES, "`new_id`")
                (item,) = self.arity(expr, name, args, 1)
                if not isinstance(item, ir.Const) or _ID_PREFIX.fullmatch(str(item.value)) is None:
                    raise fail(expr, "wrong_type", "new_id takes a literal of 1 to 8 small letters")
                return ir.Builtin(ID_TEXT, 0, expr.line, name, (item,))
            case "company_has":
                self.need(expr, READS, "`company_has`")
                return self._company_has(expr, args)
            case "round_half_up" | "round_half_even" | "round_down":
                return self._round(expr, name, args)
            case "default" | "value_of":
                self.count_of(expr, name, args, 2 if name == "default" else 1)
                item = self.value(args[0])
                if item.type.kind != "option":
                    raise fail(expr, "wrong_type", f"{name} takes an option, not {item.type}")
                (inner,) = parts_of(item.type)
                items = (item, *(self.store(arg, inner) for arg in args[1:]))
                return ir.Builtin(inner, stored_width(inner), expr.line, name, items)
            case "starts_with":
                left, right = self.arity(expr, name, args, 2)
                if left.type.kind != "text" or right.type.kind != "text":
                    raise fail(expr, "wrong_type", "starts_with takes two texts")
                return ir.Builtin(BOOL, 0, expr.line, name, (left, right))
            case "split" | "share":
                return self._parts(expr, name, args)
            case "end_of_month" | "year_of" | "month_of" | "day_of" | "weekday":
                self.count_of(expr, name, args, 1)
                on = self.store(args[0], DATE)
                kind, bits = (DATE, 0) if name == "end_of_month" else (INT, _DATE_PARTS[name])
                return ir.Builtin(kind, bits, expr.line, name, (on,))
            case "add_months":
                self.count_of(expr, name, args, 2)
                items = (self.store(args[0], DATE), self.store(args[1], INT))
                return ir.Builtin(DATE, 0, expr.line, name, items)
            case "year_fraction":
                return self._year_fraction(expr, args)
            case "range":
                raise fail(expr, "wrong_type", "`range(n)` stands in `for i in range(n)` only")
        near = meant(name, [*self.found.heads, *sorted(PREDEFINED)])
        raise fail(expr, "undeclared", f"`{quote(name)}` is no function, query or built-in{near}")

    def count_of(self, expr: tree.Call, name: str, args: Sequence[tree.Expr], wanted: int) -> None:
        if len(args) != wanted:
            raise fail(expr, "arguments", f"{name} takes {wanted} arguments, {len(args)} are given")

    def arity(self, expr: tree.Call, name: str, args: Sequence[tree.Expr], wanted: int) -> tuple[ir.Expr, ...]:
        self.count_of(expr, name, args, wanted)
        return tuple(self.value(arg) for arg in args)

    def _min_max(self, expr: tree.Call, name: str, items: Sequence[ir.Expr]) -> ir.Expr:
        left, right = self.alike(*items)
        self.comparable(expr, left, right, "<")
        kind = text(max(left.type.size, right.type.size)) if left.type.kind == "text" else left.type
        return ir.Builtin(kind, max(left.width, right.width), expr.line, name, (left, right))

    def _round(self, expr: tree.Call, name: str, args: Sequence[tree.Expr]) -> ir.Expr:
        """Return an unrounded value rounded to minor units, to an int, or to the places of a rate (L23)."""
        if len(args) not in (1, 2):
            raise fail(expr, "arguments", f"{name} takes an unrounded value, and places if the result is a rate")
        of = self.value(args[0])
        if not isinstance(of, ir.Unrounded):
            raise fail(expr, "wrong_type", f"{of.type} is exact; only the result of `/` or of a rate is rounded")
        places = 0
        if len(args) == 2:
            given = self.value(args[1])
            good = isinstance(given, ir.Const) and given.type == INT and 1 <= given.value <= RATE_PLACES
            if not good or not isinstance(given, ir.Const) or of.type == RAW_MONEY:
                text_ = f"the places are a literal from 1 to {RATE_PLACES}, and money has those of its currency"
                raise fail(args[1], "wrong_type", text_)
            places = given.value
        kind = MONEY if of.type == RAW_MONEY else rate(places) if places else INT
        width = self.width(expr, of.width + (10**places).bit_length() if places else of.width)
        self.width(expr, max(width, of.below) + 1)
        return ir.Round(kind, width, expr.line, name.removeprefix("round_"), places, of)

    def _parts(self, expr: tree.Call, name: str, args: Sequence[tree.Expr]) -> ir.Expr:
        """Return money as a list of amounts whose sum it is (L24)."""
        self.count_of(expr, name, args, 2)
        amount = self.store(args[0], MONEY)
        by = self.borrow(args[1]) if name == "share" else self.value(args[1])
        if name == "split":
            if not isinstance(by, ir.Const) or by.type != INT or not 1 <= by.value <= LIST_BOUND:
                raise fail(args[1], "wrong_type", f"the number of parts is a literal from 1 to {LIST_BOUND}")
            size: int = by.value
        else:
            if by.type.kind != "list" or parts_of(by.type)[0] not in (INT, MONEY):
                raise fail(args[1], "wrong_type", f"the weights are a list of int or of money, not {by.type}")
            size = by.type.size
        return ir.Builtin(list_of(MONEY, size), 0, expr.line, name, (amount, by))

    def _year_fraction(self, expr: tree.Call, args: Sequence[tree.Expr]) -> ir.Expr:
        self.count_of(expr, "year_fraction", args, 3)
        start, end = self.store(args[0], DATE), self.store(args[1], DATE)
        match args[2]:
            case tree.Member(of=tree.TypeName(name="DayCount"), name=count) if count in CLOSED_TYPES["DayCount"]:
                return ir.YearFraction(RATIO, _YEAR_BITS, 9, count, start, end)
        counts = ", ".join(CLOSED_TYPES["DayCount"])
        raise fail(args[2], "wrong_type", f"the third argument is DayCount.x with x of {counts}")

    def _company_has(self, expr: tree.Call, args: Sequence[tree.Expr]) -> ir.Expr:
        self.count_of(expr, "company_has", args, 2)
        match args[1]:
            case tree.Member(of=tree.TypeName(name="CompanyRole"), name=role) if role in CLOSED_TYPES["CompanyRole"]:
                pass
            case _:
                roles = ", ".join(CLOSED_TYPES["CompanyRole"])
                raise fail(args[1], "unknown_role", f"the second argument is CompanyRole.x with x of {roles}")
        party = self.store(args[0], PARTY)
        return ir.Builtin(BOOL, 0, expr.line, "company_has", (party, ir.Const(text(len(role)), 0, role)))
