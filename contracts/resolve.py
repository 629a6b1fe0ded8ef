"""Declarations of one contract: names, types, constants, tables, and the order of calls (L11, L45).

Door: `resolve(contract, used, currencies) -> Declarations`. Bodies are not looked at except for the names they call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from contracts import ir
from contracts.errors import SourceError, meant, quote
from contracts.interface import Interface
from contracts.keys import keyable, size_problem
from contracts.limits import (
    CHAIN_OPERANDS,
    ENUM_VALUES,
    FIELDS,
    INT_MAX,
    ROW_BYTES,
    TX_EVENT_BYTES,
    TYPE_DEPTH,
    USES_CHAIN,
)
from contracts.syntax import tree
from contracts.types import (
    BOOL,
    CURRENCY,
    DATE,
    INT,
    MONEY,
    NOTHING,
    PLAIN,
    RATIO,
    Type,
    list_of,
    map_of,
    option,
    parts_of,
    rate,
    record_of,
    row_of,
    text,
    wire_bytes,
)
from contracts.values import DAY_LAST, Names, date_text, day_of
from ledger.money import CurrencyTable
from ledger.registry.records import COMPANY_ROLES, PEOPLE_ROLES

CLOSED_TYPES: Final = {"CompanyRole": COMPANY_ROLES, "DayCount": ("act_360", "act_365", "thirty_360")}
"""Predefined lists that are used like an enum, in built-ins only (L25, L29)."""

RESERVED_CONTRACTS: Final = ("registry", "access", "governance")
"""Names that lead to the ledger itself (LR1)."""


@dataclass(slots=True)
class Head:
    """A function, query or action before and after its body is checked."""

    tree: tree.Routine
    params: tuple[tuple[str, Type], ...]
    result: Type
    callers: tuple[str, ...] | None = None
    index: int = -1
    effect: int = 0
    needs_caller: bool = False
    names: dict[int, tuple[str, Type]] = field(default_factory=dict)
    """Name and type of each slot, for traces."""


@dataclass(slots=True)
class Declarations:
    """Everything a body can name. `enums` is keyed by (contract, name) and includes those of used contracts."""

    contract: tree.Contract
    used: Mapping[str, Interface]
    currencies: CurrencyTable
    consts: dict[str, ir.Const] = field(default_factory=dict)
    enums: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    records: dict[tuple[str, str], tuple[tuple[str, Type], ...]] = field(default_factory=dict)
    """(name, type) of the fields of a record, by (contract, name), used contracts included."""
    tables: dict[str, tuple[int, ir.TableDecl]] = field(default_factory=dict)
    events: dict[str, tuple[int, ir.EventDecl]] = field(default_factory=dict)
    heads: dict[str, Head] = field(default_factory=dict)

    def type_of(self, ref: tree.TypeRef) -> Type:
        """Return the type a reference names."""
        return self.depth_checked(ref, self._type_of(ref))

    def depth_checked(self, ref: tree.TypeRef, found: Type) -> Type:
        if self.depth(found) > TYPE_DEPTH:
            raise fail(ref, "depth", f"types are at most {TYPE_DEPTH} levels deep")
        return found

    def depth(self, kind: Type) -> int:
        """Return how many types stand inside each other: 1 for a plain one."""
        inner = parts_of(kind)
        if kind.kind == "record":
            inner = tuple(item for _, item in self.records[kind.contract, kind.name])
        return 1 + max((self.depth(item) for item in inner), default=0)

    def names(self) -> Names:
        """Return what the types mean, for readers and key bytes."""
        return Names(self.enums, {key: tuple(kind for _, kind in items) for key, items in self.records.items()})

    def _type_of(self, ref: tree.TypeRef) -> Type:
        match ref.kind:
            case "text":
                return text(ref.size)
            case "rate":
                return rate(ref.size)
            case "option" | "list":
                inner = self.type_of(ref.parts[0])
                if inner.kind == "map":
                    raise fail(ref.parts[0], "wrong_type", "a map is a local variable only (section 5)")
                return option(inner) if ref.kind == "option" else list_of(inner, ref.size)
            case "map":
                key, inner = self.type_of(ref.parts[0]), self.type_of(ref.parts[1])
                if not keyable(key.kind):
                    raise fail(ref.parts[0], "wrong_type", f"{key} may not be a key (L36)")
                if inner.kind == "map":
                    raise fail(ref.parts[1], "wrong_type", "a map is a local variable only (section 5)")
                return map_of(key, inner, ref.size)
        if ref.kind:
            return PLAIN[ref.kind]
        name, owner = ref.name, self.contract.name
        if ref.contract:
            if ref.contract not in self.used:
                raise fail(ref, "undeclared", f"`{ref.contract}` is not a used contract")
            owner = ref.contract
        if (owner, name) in self.enums:
            return Type("enum", 0, owner, name)
        if (owner, name) in self.records:
            return record_of(owner, name, [kind for _, kind in self.records[owner, name]])
        if self.table_fields(owner, name) is not None:
            return row_of(owner, name)
        known = [kind for home, kind in (*self.enums, *self.records) if home == owner]
        near = meant(name, [*known, *self.tables])
        raise fail(ref, "undeclared", f"`{quote(name)}` is no enum, record or table of {owner}{near}")

    def table_fields(self, owner: str, name: str) -> tuple[tuple[str, Type], ...] | None:
        """Return (name, type) of the fields of a table, own or of a used contract."""
        if owner == self.contract.name:
            found = self.tables.get(name)
            return None if found is None else found[1].fields
        interface = self.used.get(owner)
        schema = None if interface is None else interface.tables.get(name)
        return None if schema is None else tuple((item.name, item.spec) for item in schema.fields)


def fail(node: tree.Node, code: str, message: str) -> SourceError:
    """Return the error to raise at the place of `node`."""
    return SourceError(code, node.line, node.column, message)


def resolve(contract: tree.Contract, used: Mapping[str, Interface], currencies: CurrencyTable) -> Declarations:
    """Return the declarations of `contract`, compiled against the interfaces of the contracts it uses."""
    if contract.name in RESERVED_CONTRACTS:
        raise fail(contract, "reserved_name", f"`{contract.name}` is no contract name (LR1)")
    if contract.version < 1:
        raise fail(contract, "syntax", "versions count from 1")
    found = Declarations(contract, {use.name: _used(use, used) for use in contract.uses}, currencies)
    _unique(((use.name, use) for use in contract.uses), "used contract")
    if 1 + max((interface.chain for interface in found.used.values()), default=0) > USES_CHAIN:
        raise fail(contract, "limit", f"a chain of `uses` has at most {USES_CHAIN} contracts")
    _check_names(contract)
    for interface in found.used.values():
        found.enums.update(interface.all_enums)
        found.records.update(interface.all_records)
    for enum in contract.enums:
        _enum(found, enum)
    for record in contract.records:
        items = _fields(found, record.fields, "a record")
        if 3 + sum(wire_bytes(kind) for _, kind in items) > ROW_BYTES:
            raise fail(record, "limit", f"a record can have more than {ROW_BYTES} bytes")
        found.records[contract.name, record.name] = items
    for number, table in enumerate(contract.tables):
        found.tables[table.name] = (number, _table(found, table))
    for number, event in enumerate(contract.events):
        items = _fields(found, event.fields, "an event")
        if 5 + sum(wire_bytes(kind) for _, kind in items) > TX_EVENT_BYTES:
            raise fail(event, "limit", f"an event can have more than {TX_EVENT_BYTES} bytes")
        found.events[event.name] = (number, ir.EventDecl(event.name, items))
    for const in contract.consts:
        found.consts[const.name] = _const(found, const)
    for routine in contract.routines:
        found.heads[routine.name] = _head(found, routine)
    for index, name in enumerate(_call_order(found)):
        found.heads[name].index = index
    return found


def _used(use: tree.Use, used: Mapping[str, Interface]) -> Interface:
    interface = used.get(use.name)
    if interface is None:
        raise fail(use, "undeclared", f"the used contract `{use.name}` is not known here")
    if interface.version < use.version:
        raise fail(use, "version", f"{use.name}@{use.version} is needed, version {interface.version} is active (L44)")
    return interface


def _unique(named: Iterable[tuple[str, tree.Node]], what: str) -> None:
    lines: dict[str, int] = {}
    for name, node in named:
        if name in lines:
            raise fail(
                node, "duplicate", f"{what} `{name}` is declared in line {lines[name]} and again in line {node.line}"
            )
        lines[name] = node.line


def _check_names(contract: tree.Contract) -> None:
    """One space for names and one for types (L11)."""
    types: list[tuple[str, tree.Node]] = [(item.name, item) for item in contract.enums]
    types += [(item.name, item) for item in contract.tables]
    types += [(item.name, item) for item in contract.events]
    types += [(item.name, item) for item in contract.records]
    types.sort(key=lambda pair: pair[1].line)
    for name, node in types:
        if name in CLOSED_TYPES:
            raise fail(node, "predefined_name", f"`{name}` is predefined")
    _unique(types, "type")
    names: list[tuple[str, tree.Node]] = [(item.name, item) for item in contract.uses]
    names += [(item.name, item) for item in contract.consts]
    names += [(item.name, item) for item in contract.routines]
    names += [(item.name, item) for item in contract.schedules]
    names.sort(key=lambda pair: pair[1].line)
    _unique(names, "name")
    for name, node in names:
        if name == contract.name and isinstance(node, tree.Use):
            raise fail(node, "recursion", "a contract does not use itself")


def _enum(found: Declarations, enum: tree.EnumType) -> None:
    if len(enum.values) > ENUM_VALUES:
        raise fail(enum, "limit", f"an enum has at most {ENUM_VALUES} values")
    _unique(((name, tree.Node(line, column)) for name, line, column in enum.values), "value")
    found.enums[found.contract.name, enum.name] = tuple(name for name, _, _ in enum.values)


def _fields(found: Declarations, items: Sequence[tree.Field], what: str) -> tuple[tuple[str, Type], ...]:
    _unique(((item.name, item) for item in items), "field")
    types = []
    for item in items:
        _holds_no_row(found, item.type, what)
        kind = found.type_of(item.type)
        if kind.kind == "map":
            raise fail(item.type, "wrong_type", f"a field of {what} holds no map; a map is a local variable only")
        types.append((item.name, kind))
    return tuple(types)


def _holds_no_row(found: Declarations, ref: tree.TypeRef, what: str) -> None:
    """Refuse a table, also inside a list or option, and a record that is not declared above (L13)."""
    for part in ref.parts:
        _holds_no_row(found, part, what)
    own = "" if ref.contract or ref.kind else ref.name
    if any(table.name == own for table in found.contract.tables) or found.table_fields(ref.contract, ref.name):
        raise fail(ref, "wrong_type", f"a field of {what} holds no row")
    known = (found.contract.name, own) in found.records
    if not known and any(record.name == own for record in found.contract.records):
        raise fail(
            ref, "recursion", f"`{own}` is declared further down; a record holds only what stands above it (L13)"
        )


def _table(found: Declarations, table: tree.Table) -> ir.TableDecl:
    items = (*table.key, *table.fields)
    if len(items) > FIELDS:
        raise fail(table, "limit", f"a table has at most {FIELDS} fields")
    types = _fields(found, items, "a table")
    for item, (_, kind) in zip(table.key, types, strict=False):
        if not keyable(kind.kind):
            raise fail(item, "wrong_type", f"{kind} may not be a key (L36)")
    places = {name: at for at, (name, _) in enumerate(types)}
    indexes = []
    for index in table.indexes:
        columns = []
        for name in index.columns:
            if name not in places:
                raise fail(index, "undeclared", f"`{name}` is no field of {table.name}")
            if not keyable(types[places[name]][1].kind):
                raise fail(index, "wrong_type", f"{types[places[name]][1]} may not be an index column (L36)")
            if places[name] in columns:
                raise fail(index, "duplicate", f"`{name}` stands twice in the index in line {index.line}")
            columns.append(places[name])
        if tuple(columns) in indexes:
            raise fail(index, "duplicate", "this index is declared twice")
        indexes.append(tuple(columns))
    decl = ir.TableDecl(table.name, len(table.key), types, tuple(indexes))
    problem = size_problem(found.contract.name, decl)
    if problem:
        raise fail(table, "limit", problem)
    return decl


def _head(found: Declarations, routine: tree.Routine) -> Head:
    _unique(((item.name, item) for item in routine.params), "parameter")
    params = []
    for item in routine.params:
        kind = found.type_of(item.type)
        if _row_inside(kind) and routine.kind != "function":
            raise fail(item.type, "wrong_type", "only functions take rows; pass the key and read the row")
        if kind.kind == "map":
            raise fail(item.type, "wrong_type", "a map is a local variable only and is not passed")
        params.append((item.name, kind))
    result = NOTHING if routine.result is None else found.type_of(routine.result)
    if _row_inside(result) and routine.kind == "action":
        raise fail(routine, "wrong_type", "an action returns no row; return its key")
    if result.kind == "map":
        raise fail(routine, "wrong_type", "a map is a local variable only and is not returned")
    head = Head(routine, tuple(params), result)
    for demand in routine.demands or ():
        if isinstance(demand, tree.ContractDemand):
            if head.callers is not None:
                raise fail(demand, "duplicate", "`contract` stands twice in this `by`")
            _unique(((name, demand) for name in demand.contracts), "contract")
            head.callers = demand.contracts
        elif demand.role not in PEOPLE_ROLES:
            raise fail(demand, "unknown_role", f"`{demand.role}` is none of {', '.join(PEOPLE_ROLES)}")
    return head


def _row_inside(kind: Type) -> bool:
    return kind.kind == "row" or any(_row_inside(part) for part in parts_of(kind))


# -- constants ---------------------------------------------------------------------------------------------------


def _const(found: Declarations, const: tree.Const) -> ir.Const:
    value = constant(found, const.value)
    if const.type is None:
        return value
    wanted = found.type_of(const.type)
    if wanted == value.type:
        return value
    if wanted.kind == "text" == value.type.kind and value.type.size <= wanted.size:
        return ir.Const(wanted, 0, value.value)
    scaled = rescaled(value, wanted)
    if scaled is not None:
        return scaled
    raise fail(const, "wrong_type", f"the constant is {wanted}, its value is {value.type}")


def rescaled_literal(value: ir.Expr, wanted: Type) -> ir.Const | ir.Negate | None:
    """Return a rate literal, with its sign, with the places of `wanted`, or None when it is none or not exact (L14)."""
    if isinstance(value, ir.Const):
        return rescaled(value, wanted)
    if not isinstance(value, ir.Negate) or value.type == wanted:
        return None
    inner = rescaled_literal(value.operand, wanted)
    return None if inner is None else ir.Negate(wanted, inner.width, inner)


def rescaled(value: ir.Const, wanted: Type) -> ir.Const | None:
    """Return a rate with the places of `wanted`, or None when it is none or not exact (L14)."""
    if wanted.kind != "rate" or value.type.kind != "rate" or value.type.size > wanted.size:
        return None
    scaled: int = value.value * 10 ** (wanted.size - value.type.size)
    return ir.Const(wanted, max(1, scaled.bit_length()), scaled) if -INT_MAX <= scaled <= INT_MAX else None


def constant(found: Declarations, expr: tree.Expr) -> ir.Const:
    """Return the value of a constant expression: literals, earlier constants, + - * and days (L46)."""
    match expr:
        case tree.Name(name=name) if name in found.consts:
            return found.consts[name]
        case tree.Name(name=name):
            raise fail(expr, "undeclared", f"`{quote(name)}` is no constant declared above")
        case tree.Unary(op="-"):
            inner = constant(found, expr.operand)
            if inner.type == INT:
                return _int(expr, -inner.value)
            if inner.type.kind == "rate":
                return ir.Const(inner.type, inner.width, -inner.value)
            if inner.type == MONEY:
                return ir.Const(MONEY, 63, (inner.value[0], -inner.value[1]))
        case tree.Product() if "/" in expr.signs:
            raise fail(expr, "not_constant", f"a constant is not divided; {RATIO} is kept nowhere (L21)")
        case tree.Product():
            total = 1
            for operand in expr.operands:
                item = constant(found, operand)
                if item.type != INT:
                    raise fail(operand, "wrong_type", "constants are multiplied as int only")
                total = _int(expr, total * item.value).value
            return _int(expr, total)
        case tree.Sum():
            return _constant_sum(found, expr)
        case _:
            simple = literal(found, expr)
            if simple is not None:
                return simple
    raise fail(expr, "not_constant", "a constant is a literal, an earlier constant, or a sum or product of these")


def _constant_sum(found: Declarations, expr: tree.Sum) -> ir.Const:
    total = constant(found, expr.first)
    for sign, operand in expr.rest:
        factor = 1 if sign == "+" else -1
        if isinstance(operand, tree.Days):
            count = constant(found, operand.count)
            if total.type != DATE or count.type != INT:
                raise fail(operand, "wrong_type", "days are added to a date")
            number = day_of(total.value) + factor * count.value
            if not 0 <= number <= DAY_LAST:
                raise fail(expr, "date_range", "the date is outside 0001-01-01 to 9999-12-31")
            total = ir.Const(DATE, 0, date_text(number))
            continue
        item = constant(found, operand)
        if total.type == INT == item.type:
            total = _int(expr, total.value + factor * item.value)
        elif total.type == MONEY == item.type and total.value[0] == item.value[0]:
            minor = _int(expr, total.value[1] + factor * item.value[1]).value
            total = ir.Const(MONEY, 63, (total.value[0], minor))
        elif total.type == MONEY == item.type:
            raise fail(operand, "currency", f"{total.value[0]} and {item.value[0]} are not added (L22)")
        else:
            raise fail(operand, "wrong_type", f"{total.type} and {item.type} are not added")
    return total


def _int(node: tree.Node, value: int) -> ir.Const:
    if not -INT_MAX <= value <= INT_MAX:
        raise fail(node, "width", "the constant is outside the range of int")
    return ir.Const(INT, max(1, value.bit_length()), value)


def literal(found: Declarations, expr: tree.Expr) -> ir.Const | None:
    """Return the constant of a literal, or None for any other expression."""
    match expr:
        case tree.Int(value=value):
            return ir.Const(INT, max(1, value.bit_length()), value)
        case tree.Rate(value=value, places=places):
            return ir.Const(rate(places), max(1, value.bit_length()), value)
        case tree.Bool(value=flag):
            return ir.Const(BOOL, 0, flag)
        case tree.Date(iso=iso):
            return ir.Const(DATE, 0, iso)
        case tree.Text(parts=parts) if all(isinstance(part, str) for part in parts):
            whole = "".join(part for part in parts if isinstance(part, str))
            return ir.Const(text(len(whole)), 0, whole)
        case tree.CurrencyCode(code=code):
            _known_currency(found, expr, code)
            return ir.Const(CURRENCY, 0, code)
        case tree.MoneyAmount(code=code, digits=digits):
            return ir.Const(MONEY, 63, (code, _minor(found, expr, code, digits)))
        case tree.Member():
            return enum_value(found, expr)
        case _:
            return None


def enum_value(found: Declarations, expr: tree.Member) -> ir.Const | None:
    """Return the constant `Enum.value` or `contract.Enum.value`, or None when `expr` is something else."""
    match expr.of:
        case tree.TypeName(name=name):
            owner = found.contract.name
        case tree.Member(of=tree.Name(name=owner), name=name) if owner in found.used and name[0].isupper():
            pass
        case _:
            return None
    values = found.enums.get((owner, name))
    if values is None:
        if (
            name in found.tables
            or name in CLOSED_TYPES
            or (owner, name) in found.records
            or found.table_fields(owner, name) is not None
        ):
            return None
        raise fail(expr.of, "undeclared", f"`{quote(name)}` is no enum of {owner}")
    if expr.name not in values:
        raise fail(expr, "undeclared", f"`{quote(expr.name)}` is no value of {name}{meant(expr.name, values)}")
    return ir.Const(Type("enum", 0, owner, name), 0, expr.name)


def _known_currency(found: Declarations, node: tree.Node, code: str) -> None:
    if code not in found.currencies:
        raise fail(node, "currency", f"{code} is not in the currency table of the ledger")


def _minor(found: Declarations, node: tree.Node, code: str, digits: str) -> int:
    """Return the minor units of a money literal, which has exactly the decimals of its currency (L22)."""
    _known_currency(found, node, code)
    whole, _, places = digits.partition(".")
    exponent = found.currencies[code]
    if len(places) != exponent:
        raise fail(node, "currency", f"{code} is written with {exponent} decimals, not {len(places)}")
    minor = int(whole + places)
    if minor > INT_MAX:
        raise fail(node, "width", "the amount is outside the range of money")
    return minor


# -- call graph --------------------------------------------------------------------------------------------------


def _call_order(found: Declarations) -> list[str]:
    """Return routine names so that each calls only earlier ones; raise on a cycle, naming its path (K14)."""
    order: list[str] = []
    done: dict[str, bool] = {}
    for name in found.heads:
        _visit(found, name, [], done, order)
    return order


def _visit(found: Declarations, name: str, path: list[str], done: dict[str, bool], order: list[str]) -> None:
    if done.get(name):
        return
    head = found.heads[name]
    if name in path:
        cycle = " -> ".join([*path[path.index(name) :], name])
        raise fail(head.tree, "recursion", f"routines call each other in a circle: {cycle}")
    if len(path) > CHAIN_OPERANDS:
        raise fail(head.tree, "limit", f"a chain of calls has at most {CHAIN_OPERANDS} routines")
    for called in head.tree.calls:
        if called in found.heads and found.heads[called].tree.kind != "action":
            _visit(found, called, [*path, name], done, order)
    done[name] = True
    order.append(name)
