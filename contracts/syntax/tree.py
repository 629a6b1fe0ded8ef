"""The tree the parser builds: frozen nodes, each with the line and column where it begins.

Operators of one chain are one node (L9), so depth counts brackets and prefixes, not operands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Node:
    line: int
    column: int


# -- expressions -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Name(Node):
    name: str


@dataclass(frozen=True, slots=True)
class TypeName(Node):
    """A table, an enum or a closed list of roles, used before `[` or `.`."""

    name: str


@dataclass(frozen=True, slots=True)
class Int(Node):
    value: int


@dataclass(frozen=True, slots=True)
class Rate(Node):
    """`0.05`, `5%`: `value` / 10 ** `places`, with no more places than it needs, at least one."""

    value: int
    places: int


@dataclass(frozen=True, slots=True)
class Bool(Node):
    value: bool


@dataclass(frozen=True, slots=True)
class Date(Node):
    iso: str


@dataclass(frozen=True, slots=True)
class Text(Node):
    """`parts`: literal strings and paths of names (L7)."""

    parts: tuple[str | tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class CurrencyCode(Node):
    code: str


@dataclass(frozen=True, slots=True)
class MoneyAmount(Node):
    code: str
    digits: str


@dataclass(frozen=True, slots=True)
class Unary(Node):
    op: Literal["-", "not"]
    operand: Expr


@dataclass(frozen=True, slots=True)
class Logic(Node):
    op: Literal["and", "or"]
    operands: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Sum(Node):
    """`first` and then (`+` or `-`, operand) in order."""

    first: Expr
    rest: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True, slots=True)
class Product(Node):
    """`operands` with `*` or `/` between them: one sign fewer than operands."""

    operands: tuple[Expr, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compare(Node):
    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class IsIn(Node):
    """`value in [a, b]`, the list written out (L28)."""

    negated: bool
    value: Expr
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class IsWithin(Node):
    """`value in x` with x a list or map."""

    negated: bool
    value: Expr
    of: Expr


@dataclass(frozen=True, slots=True)
class IsNone(Node):
    negated: bool
    value: Expr


@dataclass(frozen=True, slots=True)
class Nothing(Node):
    """The word `none`."""


@dataclass(frozen=True, slots=True)
class ListOf(Node):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class EmptyMap(Node):
    pass


@dataclass(frozen=True, slots=True)
class Old(Node):
    """The value before the body of an action, in `ensure` only (L48)."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Member(Node):
    """`of.name`: a field, a part, an enum value, or a name of a used contract."""

    of: Expr
    name: str


@dataclass(frozen=True, slots=True)
class Lookup(Node):
    """`Table[a, b]`, `list[i]`, `map[k]`."""

    of: Expr
    keys: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Maybe(Node):
    """`t[k]?`: an option instead of an abort (L16)."""

    of: Lookup


@dataclass(frozen=True, slots=True)
class Arg(Node):
    name: str
    """Empty when given by position."""
    value: Expr


@dataclass(frozen=True, slots=True)
class Call(Node):
    of: Expr
    args: tuple[Arg, ...]


@dataclass(frozen=True, slots=True)
class Exists(Node):
    row: Expr


@dataclass(frozen=True, slots=True)
class Zero(Node):
    of: Expr | None


@dataclass(frozen=True, slots=True)
class HasRole(Node):
    role: str
    party: Expr


@dataclass(frozen=True, slots=True)
class Days(Node):
    count: Expr


Expr = (
    Name | TypeName | Int | Rate | Bool | Date | Text | CurrencyCode | MoneyAmount | Unary | Logic | Sum | Product
    | Compare | IsIn | IsWithin | IsNone | Nothing | ListOf | EmptyMap | Old | Member | Lookup | Maybe | Call | Exists
    | Zero | HasRole | Days
)  # fmt: skip


# -- statements --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TypeRef(Node):
    """`kind` is a word of the language, or empty for a declared type `contract.name`. `parts`: types inside."""

    kind: str
    size: int
    contract: str
    name: str
    parts: tuple[TypeRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Let(Node):
    var: bool
    name: str
    type: TypeRef | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Assign(Node):
    name: str
    op: str
    value: Expr


@dataclass(frozen=True, slots=True)
class AssignItem(Node):
    """`name[key] = value` on a list or map."""

    name: str
    key: Expr
    op: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Append(Node):
    value: Expr
    name: str


@dataclass(frozen=True, slots=True)
class Remove(Node):
    name: str
    key: Expr


@dataclass(frozen=True, slots=True)
class CallStatement(Node):
    call: Call


@dataclass(frozen=True, slots=True)
class Write(Node):
    """`insert` or `put`, all fields by name."""

    op: Literal["insert", "put"]
    table: str
    args: tuple[Arg, ...]


@dataclass(frozen=True, slots=True)
class Update(Node):
    table: str
    keys: tuple[Expr, ...]
    sets: tuple[Arg, ...]


@dataclass(frozen=True, slots=True)
class Delete(Node):
    table: str
    keys: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class If(Node):
    branches: tuple[tuple[Expr, tuple[Statement, ...]], ...]
    otherwise: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class For(Node):
    variable: str
    table: TypeName
    where: Expr | None
    mode: Literal["limit", "first"]
    bound: int
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class ForEach(Node):
    """A loop over a list, a map (`second` names the value) or `range(n)`; `bound` None when it is not written."""

    variable: str
    second: str
    source: Expr
    bound: int | None
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Return(Node):
    value: Expr | None


@dataclass(frozen=True, slots=True)
class Require(Node):
    condition: Expr
    reason: str
    text: Text


@dataclass(frozen=True, slots=True)
class Emit(Node):
    event: str
    args: tuple[Arg, ...]


@dataclass(frozen=True, slots=True)
class Pass(Node):
    pass


Statement = (
    Let | Assign | AssignItem | Append | Remove | CallStatement | Write | Update | Delete | If | For | ForEach | Return
    | Require | Emit | Pass
)  # fmt: skip


# -- declarations ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Field(Node):
    name: str
    type: TypeRef


@dataclass(frozen=True, slots=True)
class Const(Node):
    name: str
    type: TypeRef | None
    value: Expr


@dataclass(frozen=True, slots=True)
class EnumType(Node):
    name: str
    values: tuple[tuple[str, int, int], ...]
    """(name, line, column)"""


@dataclass(frozen=True, slots=True)
class RecordType(Node):
    name: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Readers(Node):
    """`fields`: the party fields whose companies may read; empty for `everyone` (L41)."""

    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Index(Node):
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table(Node):
    name: str
    key: tuple[Field, ...]
    fields: tuple[Field, ...]
    indexes: tuple[Index, ...]
    readers: Readers | None = None


@dataclass(frozen=True, slots=True)
class EventType(Node):
    name: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class EachInvariant(Node):
    table: str
    condition: Expr


@dataclass(frozen=True, slots=True)
class SumInvariant(Node):
    """`terms`: (sign, table, field); the sum of all of them does not change (L50)."""

    terms: tuple[tuple[int, str, str], ...]


@dataclass(frozen=True, slots=True)
class Migration(Node):
    """`migrate T: f = e`: how rows of the older layout become rows of this one (L62)."""

    table: str
    sets: tuple[Arg, ...]


@dataclass(frozen=True, slots=True)
class Schedule(Node):
    """`kind`: "row" (`on table.field + days where`), "day", or "month" with `days` the day of the month (L53)."""

    kind: Literal["row", "day", "month"]
    name: str
    table: str
    field: str
    days: int
    where: Expr | None
    calls: tuple[str, ...]
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Ensure(Node):
    condition: Expr
    reason: str
    text: Text


@dataclass(frozen=True, slots=True)
class RoleDemand(Node):
    role: str
    party: Expr | None
    apart: Expr | None


@dataclass(frozen=True, slots=True)
class ContractDemand(Node):
    contracts: tuple[str, ...]
    """Empty: any contract that uses this one."""


Demand = RoleDemand | ContractDemand


@dataclass(frozen=True, slots=True)
class Routine(Node):
    """`demands` is None for functions and queries, empty for `by anyone`."""

    kind: Literal["function", "query", "action"]
    name: str
    params: tuple[Field, ...]
    result: TypeRef | None
    demands: tuple[Demand, ...] | None
    authority: str
    """The `by` clause as written, for people; empty for functions and queries."""
    calls: tuple[str, ...]
    """Names the body and the `by` clause call, in order, with repeats."""
    body: tuple[Statement, ...]
    ensures: tuple[Ensure, ...] = ()


# -- tests -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parties(Node):
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class At(Node):
    iso: str


@dataclass(frozen=True, slots=True)
class As(Node):
    signers: tuple[tuple[str, str, int, int], ...]
    """(party name, role, line, column)"""
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class ExpectTrue(Node):
    condition: Expr


@dataclass(frozen=True, slots=True)
class ExpectAbort(Node):
    reason: str
    part: str | None
    call: Call


@dataclass(frozen=True, slots=True)
class ExpectEmitted(Node):
    event: str
    args: tuple[Arg, ...]


Step = Parties | At | As | ExpectTrue | ExpectAbort | ExpectEmitted | Write | Update | Delete | Let | CallStatement


@dataclass(frozen=True, slots=True)
class Test(Node):
    title: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Use(Node):
    name: str
    version: int


@dataclass(frozen=True, slots=True)
class Contract(Node):
    name: str
    version: int
    uses: tuple[Use, ...]
    consts: tuple[Const, ...]
    enums: tuple[EnumType, ...]
    tables: tuple[Table, ...]
    events: tuple[EventType, ...]
    invariants: tuple[EachInvariant | SumInvariant, ...]
    routines: tuple[Routine, ...]
    tests: tuple[Test, ...]
    replaces: int = 0
    """The version this one replaces, 0 for none (L61)."""
    records: tuple[RecordType, ...] = ()
    migrations: tuple[Migration, ...] = ()
    schedules: tuple[Schedule, ...] = ()


@dataclass(frozen=True, slots=True)
class TestFile(Node):
    contract: str
    tests: tuple[Test, ...]


File = Contract | TestFile
