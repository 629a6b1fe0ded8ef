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
from contracts.errors import SourceError, quote
from contracts.interface import MethodSchema
from contracts.limits import INT_BITS, TEXT_CHARS, WIDTH_MAX
from contracts.resolve import CLOSED_TYPES, Declarations, Head, enum_value, fail, literal
from contracts.syntax import tree
from contracts.types import (
    BOOL,
    CURRENCY,
    DATE,
    DAYS,
    EQUALITY,
    INT,
    MONEY,
    NOTHING,
    ORDERED,
    PARTY,
    USER,
    ZERO,
    Type,
    text,
)
from contracts.values import rendered_chars
from ledger.registry.records import PEOPLE_ROLES

PURE: Final = 0
READS: Final = 1
WRITES: Final = 2

_FLIPPED: Final = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

_LATER: Final = frozenset({
    "default", "value_of", "starts_with", "round_half_up", "round_half_even", "round_down", "share", "split",
    "end_of_month", "add_months", "year_of", "month_of", "day_of", "weekday", "year_fraction", "range",
})  # fmt: skip
"""Built-ins of stage 2."""

_ID_PREFIX: Final = re.compile("[a-z]{1,8}", re.ASCII)

ID_TEXT: Final = text(40)
"""Type of `new_id` (L29)."""


@dataclass(slots=True)
class Local:
    """A parameter, local or row; `changeable` for `var`; `needed` for `let`, which must be used."""

    slot: int
    type: Type
    line: int
    column: int
    changeable: bool = False
    needed: bool = False
    used: bool = False


class Terms:
    """Checks expressions of one routine."""

    def __init__(self, found: Declarations, kind: str, caller_allowed: bool) -> None:
        self.found = found
        self.kind = kind
        self.caller_allowed = caller_allowed
        self.needs_caller = False
        self.scopes: list[dict[str, Local]] = [{}]
        self.slots = ir.FIRST_SLOT
        self.limit = WRITES
        self.effect = PURE

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
        """Return `expr` fitted to `wanted`: same type, or a text of another length (L14, L19)."""
        return self.fit(expr, self.value(expr), wanted)

    def fit(self, node: tree.Node, found: ir.Expr, wanted: Type) -> ir.Expr:
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
        if wanted in (INT, MONEY) and found.width > INT_BITS:
            return ir.Fit(wanted, INT_BITS, node.line, found)
        return found

    def settled(self, node: tree.Node, found: ir.Expr) -> ir.Expr:
        """Return a value as it is kept in a local of its own type."""
        if found.type in (ZERO, DAYS, NOTHING):
            what = {"zero": "`zero` alone stands only beside a comparison with money; write `zero of ...`"}
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
                if inner.type not in (INT, MONEY):
                    raise fail(expr, "wrong_type", f"`-` stands before int or money, not {inner.type}")
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
                at, keys = self.row_place(expr)
                self.need(expr, READS, "reading a row")
                owner = self.found.contract.name
                table = self.found.contract.tables[at].name
                return ir.ReadRow(Type("row", 0, owner, table), 0, expr.line, at, keys)
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
            return ir.Slot(local.type, _stored_width(local.type), local.slot)
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
        if expr.name in self.found.heads or expr.name in self.found.used:
            raise fail(expr, "wrong_type", f"`{expr.name}` is not a value")
        raise fail(expr, "undeclared", f"`{quote(expr.name)}` is not declared")

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
        value: ir.Expr = ir.Slot(local.type, _stored_width(local.type), local.slot)
        if len(path) == 1:
            return value
        if len(path) > 2 or value.type.kind != "row":
            raise fail(node, "undeclared", f"`{shown}` is no field")
        return self.field(node, value, path[1])

    def field(self, node: tree.Node, row: ir.Expr, name: str) -> ir.Expr:
        fields = self.found.table_fields(row.type.contract, row.type.name)
        if fields is None:
            raise fail(node, "undeclared", f"{row.type} belongs to a contract that is not used here")
        for at, (field, kind) in enumerate(fields):
            if field == name:
                return ir.Field(kind, _stored_width(kind), row, at + 1)
        raise fail(node, "undeclared", f"`{quote(name)}` is no field of {row.type.name}")

    def member(self, expr: tree.Member) -> ir.Expr:
        constant = enum_value(self.found, expr)
        if constant is not None:
            return constant
        if isinstance(expr.of, tree.TypeName) and expr.of.name in CLOSED_TYPES:
            raise fail(expr, "wrong_type", f"`{expr.of.name}.x` is an argument of `company_has` only")
        if isinstance(expr.of, tree.Name) and expr.of.name in self.found.used and self.local(expr.of.name) is None:
            raise fail(
                expr, "wrong_type", f"`{expr.of.name}.{quote(expr.name)}` is called with brackets or names a type"
            )
        inner = self.value(expr.of)
        if inner.type.kind == "row":
            return self.field(expr, inner, expr.name)
        if inner.type == MONEY and expr.name == "currency":
            return ir.Part(CURRENCY, 0, inner, 0)
        if inner.type == MONEY and expr.name == "minor":
            return ir.Part(INT, inner.width, inner, 1)
        raise fail(expr, "undeclared", f"{inner.type} has no part `{quote(expr.name)}`")

    def row_place(self, expr: tree.Expr) -> tuple[int, tuple[ir.Expr, ...]]:
        """Return table and key of `Table[a, b]` (own tables only, L40)."""
        if not isinstance(expr, tree.Lookup):
            raise fail(expr, "wrong_type", "expected a row, written Table[key]")
        if not isinstance(expr.of, tree.TypeName):
            if isinstance(expr.of, tree.Member):
                raise fail(expr, "foreign_table", "tables of another contract are read through its queries (L40)")
            raise fail(expr, "wrong_type", "only tables are looked up with [ ] in this stage")
        return self.table_key(expr, expr.of.name, expr.keys)

    def table_key(self, node: tree.Node, name: str, keys: Sequence[tree.Expr]) -> tuple[int, tuple[ir.Expr, ...]]:
        number, decl = self.table(node, name)
        if len(keys) != decl.keys:
            raise fail(node, "wrong_type", f"{name} has {decl.keys} key fields, {len(keys)} are given")
        return number, tuple(self.store(key, kind) for key, (_, kind) in zip(keys, decl.fields, strict=False))

    def table(self, node: tree.Node, name: str) -> tuple[int, ir.TableDecl]:
        found = self.found.tables.get(name)
        if found is None:
            raise fail(node, "undeclared", f"`{quote(name)}` is no table of this contract")
        return found

    # -- arithmetic and comparison

    def width(self, node: tree.Node, bits: int) -> int:
        if bits > WIDTH_MAX:
            raise fail(node, "width", f"this value can need {bits} bits, the limit is {WIDTH_MAX} (L19)")
        return bits

    def sum(self, expr: tree.Sum) -> ir.Expr:
        total = self.value(expr.first)
        terms: list[tuple[str, ir.Expr]] = []
        first = total
        width = total.width
        for sign, operand in expr.rest:
            if isinstance(operand, tree.Days):
                if total.type != DATE:
                    raise fail(operand, "wrong_type", "days are only added to a date or taken from one")
                count = self.value(operand.count)
                if count.type != INT:
                    raise fail(operand, "wrong_type", f"a number of days is an int, not {count.type}")
                total = ir.DayShift(DATE, 0, expr.line, 1 if sign == "+" else -1, total, count)
                continue
            item = self.value(operand)
            if total.type == DATE or item.type != total.type or item.type not in (INT, MONEY):
                raise fail(operand, "wrong_type", f"{total.type} {sign} {item.type} is not defined")
            width = self.width(operand, max(width, item.width) + 1)
            terms.append((sign, item))
        if not terms:
            return total
        return ir.Sum(first.type, width, expr.line, first, tuple(terms))

    def product(self, expr: tree.Product) -> ir.Expr:
        operands = [self.value(operand) for operand in expr.operands]
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
        left, right = self.value(expr.left), self.value(expr.right)
        if left.type == MONEY and right.type == ZERO:
            return ir.CompareZero(BOOL, 0, expr.op, left)
        if left.type == ZERO and right.type == MONEY:
            return ir.CompareZero(BOOL, 0, _FLIPPED[expr.op], right)
        self.comparable(expr, left, right, "==" if expr.op in ("==", "!=") else expr.op)
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
            case tree.Member(of=tree.Name(name=contract), name=name) if contract in self.found.used:
                return self.call_out(expr, contract, name)
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
        return ir.Invoke(head.result, _stored_width(head.result), head.index, order, args)

    def call_out(self, expr: tree.Call, contract: str, name: str) -> ir.Expr:
        interface = self.found.used[contract]
        schema: MethodSchema | None = interface.queries.get(name)
        effect = READS
        if schema is None:
            schema, effect = interface.actions.get(name), WRITES
            if schema is None:
                raise fail(expr, "undeclared", f"`{quote(name)}` is no query or action of {contract}")
            if schema.callers is None:
                raise fail(expr, "not_callable", f"{contract}.{name} is called by a transaction only (L43)")
            if schema.callers and self.found.contract.name not in schema.callers:
                raise fail(
                    expr, "not_callable", f"{contract}.{name} may be called by {', '.join(schema.callers)} only (L43)"
                )
        result = NOTHING if schema.result is None else schema.result.spec
        order, args = self.bind(expr, f"{contract}.{name}", tuple((item.name, item.spec) for item in schema.params))
        self.need(expr, effect, f"`{contract}.{name}`")
        return ir.CallOut(result, _stored_width(result), expr.line, contract, name, order, args)

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
                raise fail(arg, "arguments", f"{what} has no `{quote(arg.name)}`")
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
        if name in _LATER:
            raise fail(expr, "stage_2", f"`{name}` belongs to stage 2 of the language and is not built yet")
        for arg in expr.args:
            if arg.name:
                raise fail(arg, "arguments", "built-ins take their arguments by position")
        args = [arg.value for arg in expr.args]
        match name:
            case "min" | "max":
                return self._min_max(expr, name, self.arity(expr, name, args, 2))
            case "abs":
                (item,) = self.arity(expr, name, args, 1)
                if item.type not in (INT, MONEY):
                    raise fail(expr, "wrong_type", f"abs takes int or money, not {item.type}")
                return ir.Builtin(item.type, item.width, expr.line, name, (item,))
            case "count":
                (item,) = self.arity(expr, name, args, 1)
                if item.type.kind != "text":
                    raise fail(expr, "wrong_type", f"count takes a text in this stage, not {item.type}")
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
        raise fail(expr, "undeclared", f"`{quote(name)}` is no function, query or built-in")

    def count_of(self, expr: tree.Call, name: str, args: Sequence[tree.Expr], wanted: int) -> None:
        if len(args) != wanted:
            raise fail(expr, "arguments", f"{name} takes {wanted} arguments, {len(args)} are given")

    def arity(self, expr: tree.Call, name: str, args: Sequence[tree.Expr], wanted: int) -> tuple[ir.Expr, ...]:
        self.count_of(expr, name, args, wanted)
        return tuple(self.value(arg) for arg in args)

    def _min_max(self, expr: tree.Call, name: str, items: Sequence[ir.Expr]) -> ir.Expr:
        left, right = items
        self.comparable(expr, left, right, "<")
        kind = text(max(left.type.size, right.type.size)) if left.type.kind == "text" else left.type
        return ir.Builtin(kind, max(left.width, right.width), expr.line, name, (left, right))

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


def _stored_width(kind: Type) -> int:
    return INT_BITS if kind in (INT, MONEY) else 0
