"""The typed tree that all nodes agree on (G1, D2): numbered slots, resolved names, lines, and charges.

`check` builds it without charges, `lower` puts a `Charge` at the start of every run of statements. Its canonical bytes
give `ir_hash`. Nodes are records with a tag, so the encoding is the one of `ledger.codec`; names of locals, comments
and tests are gone. Price list and shape together are language 1.

Slots: 0 is the run, 1 the result, parameters follow from 2, then locals. A row is a tuple [layout, field ...], so
field i of a table stands at i + 1.
"""

from __future__ import annotations

from typing import Any, Final

from contracts.types import Type
from ledger.codec import Wire, encode
from ledger.crypto.hashing import H, Tag

FIRST_SLOT: Final = 2
LAYOUT: Final = 1
"""Layout number in the rows of a first version; it grows when an upgrade adds fields (L62)."""


class Node(Wire, frozen=True, tag=True, tag_field="node"):
    pass


# -- expressions -------------------------------------------------------------------------------------------------


class Expr(Node, frozen=True):
    """`width`: bits the value can need before it is stored (L19); 0 where it has no size."""

    type: Type
    width: int


class Const(Expr, frozen=True):
    value: Any


class Slot(Expr, frozen=True):
    at: int


class Field(Expr, frozen=True):
    row: Expr
    at: int


class Part(Expr, frozen=True):
    """`m.currency` (0) or `m.minor` (1)."""

    of: Expr
    at: int


class Special(Expr, frozen=True):
    """`caller`, `sender`, `today` or `height`."""

    name: str


class Negate(Expr, frozen=True):
    operand: Expr


class Not(Expr, frozen=True):
    operand: Expr


class Logic(Expr, frozen=True):
    op: str
    operands: tuple[Expr, ...]


class Sum(Expr, frozen=True):
    line: int
    first: Expr
    rest: tuple[tuple[str, Expr], ...]


class Product(Expr, frozen=True):
    """At most one operand is money; `money` is its position, -1 when all are int."""

    line: int
    money: int
    operands: tuple[Expr, ...]


class Unrounded(Expr, frozen=True):
    """A numerator of `width` bits over a positive denominator of `below` bits, 0 when it is 1 (L21)."""

    below: int


class Lift(Unrounded, frozen=True):
    """An exact value as an unrounded one: over 1, or a rate over 10 ** places."""

    of: Expr


class RatioSum(Unrounded, frozen=True):
    line: int
    sign: int
    left: Expr
    right: Expr


class RatioProduct(Unrounded, frozen=True):
    """`left` times or divided by `right`, both unrounded; money divided by money is a number."""

    line: int
    divide: bool
    left: Expr
    right: Expr


class RatioCompare(Expr, frozen=True):
    line: int
    op: str
    left: Expr
    right: Expr


class YearFraction(Unrounded, frozen=True):
    """Days between two dates over the days of a year (L25)."""

    count: str
    start: Expr
    end: Expr


class Round(Expr, frozen=True):
    """`mode`: half_up, half_even or down; the result has `places` decimals (L23)."""

    line: int
    mode: str
    places: int
    of: Expr


class Fit(Expr, frozen=True):
    """A store: the value must lie in its type (L19, L14)."""

    line: int
    value: Expr


class Compare(Expr, frozen=True):
    line: int
    op: str
    left: Expr
    right: Expr


class CompareZero(Expr, frozen=True):
    """Money beside a bare `zero`, money on the left."""

    op: str
    money: Expr


class OneOf(Expr, frozen=True):
    line: int
    value: Expr
    items: tuple[Expr, ...]


class DayShift(Expr, frozen=True):
    line: int
    sign: int
    date: Expr
    count: Expr


class Exists(Expr, frozen=True):
    table: int
    keys: tuple[Expr, ...]


class ReadRow(Expr, frozen=True):
    line: int
    table: int
    keys: tuple[Expr, ...]


class HasRole(Expr, frozen=True):
    line: int
    role: str
    party: Expr


class ZeroOf(Expr, frozen=True):
    of: Expr


class MaybeRow(Expr, frozen=True):
    """`Table[key]?`"""

    line: int
    table: int
    keys: tuple[Expr, ...]


class IsNone(Expr, frozen=True):
    of: Expr


class ListOf(Expr, frozen=True):
    items: tuple[Expr, ...]


class RecordOf(Expr, frozen=True):
    """`order`: the field of each value as written (L18)."""

    order: tuple[int, ...]
    items: tuple[Expr, ...]


class EmptyMap(Expr, frozen=True):
    pass


class Copy(Expr, frozen=True):
    """A list or map of its own; `own` makes one that a variable may change, else one that nothing changes (L13)."""

    line: int
    own: bool
    of: Expr


class Element(Expr, frozen=True):
    """`list[i]`."""

    line: int
    of: Expr
    at: Expr


class Entry(Expr, frozen=True):
    """`map[k]`, or `map[k]?` when `maybe`."""

    line: int
    maybe: bool
    of: Expr
    key: Expr


class Within(Expr, frozen=True):
    """`value in list` or `key in map`."""

    line: int
    value: Expr
    of: Expr


class Join(Expr, frozen=True):
    line: int
    parts: tuple[Expr, ...]


class Invoke(Expr, frozen=True):
    """A function or query of this contract, by its position among the routines; `order` as in `CallOut`."""

    routine: int
    order: tuple[int, ...]
    args: tuple[Expr, ...]


class CallOut(Expr, frozen=True):
    """A query or action of a used contract. `order`: parameter position of each argument as written (L18)."""

    line: int
    contract: str
    method: str
    order: tuple[int, ...]
    args: tuple[Expr, ...]


class Builtin(Expr, frozen=True):
    line: int
    name: str
    args: tuple[Expr, ...]


def children(expr: Expr) -> tuple[Expr, ...]:
    """Return the expressions directly inside `expr`, in the order of evaluation."""
    match expr:
        case Lift(of=inner) | Round(of=inner) | IsNone(of=inner) | Copy(of=inner):
            return (inner,)
        case MaybeRow(keys=items) | ListOf(items=items) | RecordOf(items=items):
            return items
        case RatioSum() | RatioProduct() | RatioCompare():
            return (expr.left, expr.right)
        case YearFraction():
            return (expr.start, expr.end)
        case Element():
            return (expr.of, expr.at)
        case Entry():
            return (expr.of, expr.key)
        case Within():
            return (expr.value, expr.of)
        case Field(row=inner) | Fit(value=inner) | CompareZero(money=inner) | HasRole(party=inner):
            return (inner,)
        case Negate(operand=inner) | Not(operand=inner) | Part(of=inner) | ZeroOf(of=inner):
            return (inner,)
        case Logic(operands=items) | Product(operands=items) | Exists(keys=items) | ReadRow(keys=items):
            return items
        case Join(parts=items) | Invoke(args=items) | CallOut(args=items) | Builtin(args=items):
            return items
        case Sum():
            return (expr.first, *(operand for _, operand in expr.rest))
        case Compare():
            return (expr.left, expr.right)
        case OneOf():
            return (expr.value, *expr.items)
        case DayShift():
            return (expr.date, expr.count)
        case _:
            return ()


# -- statements --------------------------------------------------------------------------------------------------


class Statement(Node, frozen=True):
    line: int


Block = tuple[Statement, ...]


class Charge(Statement, frozen=True):
    units: int


class Assign(Statement, frozen=True):
    slot: int
    value: Expr


class Perform(Statement, frozen=True):
    """A call for its effect."""

    value: Expr


class Insert(Statement, frozen=True):
    """`values`: (field position, expression) in the order written; `replace` for `put`."""

    table: int
    replace: bool
    values: tuple[tuple[int, Expr], ...]


class Update(Statement, frozen=True):
    table: int
    keys: tuple[Expr, ...]
    sets: tuple[tuple[int, Expr], ...]


class Delete(Statement, frozen=True):
    table: int
    keys: tuple[Expr, ...]


class Branch(Node, frozen=True):
    """`charge` pays for the condition of an `elif`; the first condition belongs to the run before it."""

    line: int
    charge: int
    condition: Expr
    body: Block


class If(Statement, frozen=True):
    branches: tuple[Branch, ...]
    otherwise: Block


class Scan(Node, frozen=True):
    """Which keys a loop looks at (L37). `index` -1 is the key itself.

    `starts` are evaluated once, in the order written; `equal`, `low` and `high` refer to them. A bound is
    (inclusive, position in starts) or empty. `filter` is tested on each row, at the price `filter_charge`.
    """

    table: int
    index: int
    starts: tuple[Expr, ...]
    equal: tuple[int, ...]
    low: tuple[()] | tuple[bool, int]
    high: tuple[()] | tuple[bool, int]
    filter: Expr | None
    filter_charge: int
    mode: str
    bound: int


class For(Statement, frozen=True):
    slot: int
    scan: Scan
    body: Block


class SetElement(Statement, frozen=True):
    """`slot[key] = value` on a list or a map; the value is evaluated first (L18)."""

    slot: int
    kind: Type
    key: Expr
    value: Expr


class Append(Statement, frozen=True):
    slot: int
    size: int
    value: Expr


class Remove(Statement, frozen=True):
    slot: int
    kind: Type
    key: Expr


class Loop(Statement, frozen=True):
    """Over a list (`kind` list), a map in key order (`slot` key, `second` value) or 0 .. n - 1 (`kind` int)."""

    slot: int
    second: int
    kind: Type
    bound: int
    source: Expr
    body: Block


class Return(Statement, frozen=True):
    value: Expr | None


class Require(Statement, frozen=True):
    """`charge` pays for the text, only when it is built (L32)."""

    condition: Expr
    reason: str
    charge: int
    text: Expr


class Emit(Statement, frozen=True):
    event: int
    values: tuple[tuple[int, Expr], ...]


class Pass(Statement, frozen=True):
    pass


# -- declarations ------------------------------------------------------------------------------------------------


class TableDecl(Node, frozen=True):
    """`fields`: (name, type), key fields first; `keys`: how many; `indexes`: field positions."""

    name: str
    keys: int
    fields: tuple[tuple[str, Type], ...]
    indexes: tuple[tuple[int, ...], ...]


class EventDecl(Node, frozen=True):
    name: str
    fields: tuple[tuple[str, Type], ...]


class EnumDecl(Node, frozen=True):
    name: str
    values: tuple[str, ...]


class RecordDecl(Node, frozen=True):
    name: str
    fields: tuple[tuple[str, Type], ...]


class EachInvariant(Node, frozen=True):
    """`row` stands in the first slot."""

    line: int
    table: int
    charge: int
    condition: Expr


class SumInvariant(Node, frozen=True):
    """`terms`: (sign, table, field position)."""

    line: int
    money: bool
    terms: tuple[tuple[int, int, int], ...]


class Demand(Node, frozen=True):
    line: int
    role: str
    party: Expr | None
    apart: Expr | None


class Routine(Node, frozen=True):
    """`kind`: function, query, action. `callers`: None for a call by transaction, else the contracts that may call
    (empty: any that uses this one). `charge` pays for the demands."""

    kind: str
    name: str
    line: int
    params: tuple[tuple[str, Type], ...]
    result: Type
    slots: int
    callers: tuple[str, ...] | None
    charge: int
    demands: tuple[Demand, ...]
    body: Block


class Ensure(Node, frozen=True):
    """Tested when the action ends; `charge` pays for the condition, `text_charge` for the text (L48)."""

    line: int
    charge: int
    condition: Expr
    reason: str
    text_charge: int
    text: Expr


class Assured(Routine, frozen=True):
    """An action with `ensure`. `olds`: (slot, value) kept after the demands and before the body."""

    old_charge: int
    olds: tuple[tuple[int, Expr], ...]
    ensures: tuple[Ensure, ...]


class Migration(Node, frozen=True):
    """`values`: one for each field of this version's table; the older row stands in the first slot (L62). `layout` is
    the one of the rows it makes."""

    line: int
    table: int
    layout: int
    charge: int
    values: tuple[Expr, ...]


class Schedule(Node, frozen=True):
    """`kind`: row, day or month; `days` after the date in `field`, or the day of the month. `where` and `body` find the
    row in the first slot; `charge` pays for `where` (L53-L55)."""

    kind: str
    name: str
    line: int
    table: int
    field: int
    days: int
    slots: int
    charge: int
    where: Expr | None
    body: Block


class Module(Node, frozen=True):
    """One contract. Routines stand in an order in which each calls only earlier ones."""

    language: int
    name: str
    version: int
    uses: tuple[tuple[str, int], ...]
    enums: tuple[EnumDecl, ...]
    tables: tuple[TableDecl, ...]
    events: tuple[EventDecl, ...]
    invariants: tuple[EachInvariant | SumInvariant, ...]
    routines: tuple[Routine, ...]


class Extended(Module, frozen=True):
    """A module with records, an upgrade, schedules or readers. A contract without them stays a `Module`, so that what
    was pinned before they existed keeps its hash. `readers`: (table, party fields), no fields for everyone."""

    records: tuple[RecordDecl, ...]
    replaces: int
    migrations: tuple[Migration, ...]
    schedules: tuple[Schedule, ...]
    readers: tuple[tuple[int, tuple[int, ...]], ...]


def ir_hash(module: Module) -> bytes:
    """Return the hash that nodes compare after compiling a source (D2)."""
    return H(Tag.CONTRACT_IR, encode(module))


def code_id(source: bytes) -> bytes:
    """Return the name of a source text (L57)."""
    return H(Tag.CONTRACT, source)
