"""Which keys a loop over a table looks at (L37). Door: `plan`.

Conditions of the form `r.f op e`, `r.f` and `not r.f`, with `e` free of the row, that fix a prefix of the key or of
one index, plus one range on the next column, become the range; the others filter. The longest equality prefix wins,
then a range, then declared order, the key before any index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from contracts import ir
from contracts.keys import keyable
from contracts.limits import INT_BITS
from contracts.types import BOOL, INT


class _Bound(NamedTuple):
    """`row.field op value`, taken from condition number `at`."""

    at: int
    line: int
    field: int
    op: str
    value: ir.Expr


def plan(
    table: int, decl: ir.TableDecl, row_slot: int, conditions: Sequence[ir.Expr], mode: str, bound: int
) -> ir.Scan:
    """Return the scan for a loop; `filter` holds the conditions that are no part of the range."""
    bounds = [found for at, item in enumerate(conditions) if (found := _bound(at, item, row_slot)) is not None]
    choices = [(-1, tuple(range(decl.keys))), *enumerate(decl.indexes)]
    matches = [(index, *_match(columns, bounds)) for index, columns in choices]
    index, equal, ranged = max(matches, key=lambda match: (len(match[1]), bool(match[2]), -match[0]))
    taken = sorted([*equal, *ranged], key=lambda item: item.at)
    starts = tuple(_index_store(item) for item in taken)
    low: tuple[()] | tuple[bool, int] = ()
    high: tuple[()] | tuple[bool, int] = ()
    for item in ranged:
        place = (item.op in ("<=", ">="), taken.index(item))
        if item.op in (">", ">="):
            low = place
        else:
            high = place
    used = [item.at for item in taken]
    rest = [item for at, item in enumerate(conditions) if at not in used]
    remaining: ir.Expr | None = None
    if rest:
        remaining = rest[0] if len(rest) == 1 else ir.Logic(BOOL, 0, "and", tuple(rest))
    return ir.Scan(
        table, index, starts, tuple(taken.index(item) for item in equal), low, high, remaining, 0, mode, bound
    )


def _bound(at: int, condition: ir.Expr, row_slot: int) -> _Bound | None:
    match condition:
        case ir.Compare(line=line, op=op, left=ir.Field(row=ir.Slot(at=slot), at=field), right=right):
            if slot == row_slot and op != "!=" and not _mentions(right, row_slot) and keyable(right.type.kind):
                return _Bound(at, line, field - 1, op, right)
        case ir.Field(row=ir.Slot(at=slot), at=field) if slot == row_slot:
            return _Bound(at, 0, field - 1, "==", ir.Const(BOOL, 0, True))
        case ir.Not(operand=ir.Field(row=ir.Slot(at=slot), at=field)) if slot == row_slot:
            return _Bound(at, 0, field - 1, "==", ir.Const(BOOL, 0, False))
    return None


def _index_store(item: _Bound) -> ir.Expr:
    """Return the value of a bound, which is a store for an int (L19); a text may be longer than its column."""
    if item.value.type == INT and item.value.width > INT_BITS:
        return ir.Fit(INT, INT_BITS, item.line, item.value)
    return item.value


def _match(columns: Sequence[int], bounds: Sequence[_Bound]) -> tuple[list[_Bound], list[_Bound]]:
    """Return the equalities on a prefix of `columns` and the range on the next: one lower, one upper bound."""
    equal: list[_Bound] = []
    for field in columns:
        found = next((item for item in bounds if item.field == field and item.op == "=="), None)
        if found is None:
            lower = next((item for item in bounds if item.field == field and item.op in (">", ">=")), None)
            upper = next((item for item in bounds if item.field == field and item.op in ("<", "<=")), None)
            return equal, [item for item in (lower, upper) if item is not None]
        equal.append(found)
    return equal, []


def _mentions(expr: ir.Expr, slot: int) -> bool:
    if isinstance(expr, ir.Slot):
        return expr.at == slot
    return any(_mentions(child, slot) for child in ir.children(expr))
