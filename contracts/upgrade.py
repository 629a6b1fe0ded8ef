"""A version that replaces another (L61, L62): what may change, and how older rows become rows of this version.

Doors: `differences` names everything that changes in tables and types, allowed or not; `migrations` gives the checked
expressions of `migrate`. Nothing is rewritten when a version begins: a row carries the layout that wrote it and is
lifted when it is read, layout by layout. A table whose fields stay keeps its layout; wider bounds alone need no lift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from contracts import ir
from contracts.check_expressions import PURE, Local, Terms
from contracts.errors import SourceError, quote
from contracts.syntax import tree
from contracts.types import Type, parts_of, row_of

if TYPE_CHECKING:
    from contracts.resolve import Declarations

Records = Mapping[tuple[str, str], Sequence[tuple[str, Type]]]


class Older(NamedTuple):
    """What the checker must know of the version that is replaced. `layouts`: the layout number of each table."""

    version: int
    tables: Mapping[str, ir.TableDecl]
    enums: Mapping[str, Sequence[str]]
    records: Records
    layouts: Mapping[str, int]


class Difference(NamedTuple):
    """`kind`: table, field, key, index, enum or record; `name`: which, `Table.field` for a field."""

    allowed: bool
    kind: str
    name: str
    text: str


def differences(own: str, older: Older, found: Declarations) -> tuple[Difference, ...]:
    """Return what a version changes in the tables and types of contract `own`, in the order of the older one (L61)."""
    listed: list[Difference] = []
    for name, values in older.enums.items():
        now = tuple(found.enums.get((own, name), ()))
        if now == tuple(values):
            continue
        kept = now[: len(values)] == tuple(values)
        text = f"gains {', '.join(now[len(values) :])}" if kept else "loses, renames or reorders a value"
        listed.append(Difference(kept, "enum", name, text))
    for (owner, name), fields in older.records.items():
        now_fields = found.records.get((owner, name))
        if owner == own and now_fields is None:
            listed.append(Difference(False, "record", name, "is removed"))
        elif owner == own and now_fields is not None:
            same = [field for field, _ in fields] == [field for field, _ in now_fields]
            wide = same and all(_widens(a, b) for (_, a), (_, b) in zip(fields, now_fields, strict=True))
            if not wide:
                listed.append(Difference(False, "record", name, "changes its fields, and rows may hold it"))
    for name, decl in older.tables.items():
        if name not in found.tables:
            listed.append(Difference(False, "table", name, "is removed"))
        else:
            listed += _table(decl, found.tables[name][1])
    listed += [Difference(True, "table", name, "is new") for name in found.tables if name not in older.tables]
    return tuple(listed)


def _table(old: ir.TableDecl, new: ir.TableDecl) -> list[Difference]:
    listed: list[Difference] = []
    before, now = dict(old.fields), dict(new.fields)
    for name, kind in old.fields:
        where = f"{old.name}.{name}"
        if name not in now:
            listed.append(Difference(False, "field", where, "is removed"))
        elif not _widens(kind, now[name]):
            listed.append(Difference(False, "field", where, f"is {kind} and would be {now[name]}"))
        elif str(kind) != str(now[name]):
            listed.append(Difference(True, "field", where, f"is {kind} and takes {now[name]}"))
    if [name for name, _ in new.fields if name in before] != [name for name, _ in old.fields if name in now]:
        listed.append(Difference(False, "table", old.name, "has its fields in another order"))
    if [name for name, _ in old.fields[: old.keys]] != [name for name, _ in new.fields[: new.keys]]:
        listed.append(Difference(False, "key", old.name, "has another key"))
    listed += [
        Difference(True, "field", f"{new.name}.{name}", f"is new: {kind}")
        for name, kind in new.fields
        if name not in before
    ]
    if columns(old) != columns(new)[: len(old.indexes)]:
        listed.append(Difference(False, "index", old.name, "loses or reorders an index; add new ones at the end"))
    for extra in columns(new)[len(old.indexes) :]:
        listed.append(
            Difference(True, "index", f"{new.name} ({', '.join(extra)})", "is new and is built at activation")
        )
    return listed


def columns(decl: ir.TableDecl) -> list[tuple[str, ...]]:
    """Return the names of the columns of each index."""
    return [tuple(decl.fields[at][0] for at in index) for index in decl.indexes]


def _widens(old: Type, new: Type) -> bool:
    """Tell whether every value of `old` is one of `new`, with the same bytes."""
    if (old.kind, old.contract, old.name) != (new.kind, new.contract, new.name):
        return False
    if old.kind == "rate":
        return old.size == new.size
    return old.size <= new.size and all(_widens(a, b) for a, b in zip(parts_of(old), parts_of(new), strict=True))


def check_upgrade(found: Declarations, older: Older | None) -> None:
    """Refuse a version that does not continue the one it replaces; the first difference is named (L61)."""
    contract = found.contract
    if not contract.replaces:
        for item in contract.migrations:
            raise SourceError("migrate", item.line, item.column, "`migrate` needs `replaces` in the first line (L62)")
        return
    if older is None or older.version != contract.replaces:
        text = f"version {contract.replaces}, which it replaces, is not the one loaded here"
        raise SourceError("version", contract.line, contract.column, text)
    lines = {item.name: item.line for item in contract.tables}
    lines.update({item.name: item.line for item in contract.enums})
    lines.update({item.name: item.line for item in contract.records})
    for change in differences(contract.name, older, found):
        if not change.allowed:
            line = lines.get(change.name.partition(".")[0], contract.line)
            text = f"{change.kind} {quote(change.name)} {change.text} (L61)"
            raise SourceError("incompatible", line, 1, text)


def migrations(found: Declarations, older: Older | None) -> tuple[ir.Migration, ...]:
    """Return how rows of each changed table are lifted by one layout; every new field needs its expression (L62)."""
    given: dict[str, tree.Migration] = {}
    for item in found.contract.migrations:
        if item.table in given:
            raise SourceError("duplicate", item.line, item.column, f"`{item.table}` is migrated twice")
        given[item.table] = item
    done: list[ir.Migration] = []
    for name, (number, decl) in found.tables.items():
        before = None if older is None else older.tables.get(name)
        added = [] if before is None else [field for field, _ in decl.fields if field not in dict(before.fields)]
        item_or_none = given.pop(name, None)
        if before is None or older is None or not added:
            if item_or_none is not None:
                text = f"`{name}` has no new field, so there is nothing to migrate"
                raise SourceError("migrate", item_or_none.line, item_or_none.column, text)
            continue
        if item_or_none is None:
            line = next(table.line for table in found.contract.tables if table.name == name)
            text = f"`{name}` has new fields: write `migrate {name}: {added[0]} = ...` (L62)"
            raise SourceError("migrate", line, 1, text)
        done.append(_migration(found, item_or_none, number, decl, before, added, older.layouts[name] + 1))
    for item in given.values():
        raise SourceError("undeclared", item.line, item.column, f"`{quote(item.table)}` is no table of this contract")
    return tuple(done)


def _migration(
    found: Declarations,
    item: tree.Migration,
    number: int,
    decl: ir.TableDecl,
    before: ir.TableDecl,
    added: Sequence[str],
    layout: int,
) -> ir.Migration:
    terms = _OldRow(found, before)
    terms.scopes[0]["row"] = Local(ir.FIRST_SLOT, row_of(found.contract.name, decl.name), item.line, item.column)
    terms.places(item, item.sets, added, f"migrate {decl.name}")
    given = {arg.name: arg.value for arg in item.sets}
    old = [name for name, _ in before.fields]
    values: list[ir.Expr] = []
    for name, kind in decl.fields:
        if name in given:
            values.append(terms.within(PURE, given[name], kind))
        else:
            values.append(
                ir.Field(
                    kind, 0, ir.Slot(row_of(found.contract.name, decl.name), 0, ir.FIRST_SLOT), old.index(name) + 1
                )
            )
    return ir.Migration(item.line, number, layout, 0, tuple(values))


class _OldRow(Terms):
    """Expressions over a row of the older layout. They depend on nothing else, so a row always lifts alike."""

    def __init__(self, found: Declarations, before: ir.TableDecl) -> None:
        super().__init__(found, "migrate", caller_allowed=False)
        self.before = before

    def field(self, node: tree.Node, row: ir.Expr, name: str) -> ir.Expr:
        if not isinstance(row, ir.Slot) or row.at != ir.FIRST_SLOT:
            return super().field(node, row, name)
        for at, (field, kind) in enumerate(self.before.fields):
            if field == name:
                return ir.Field(kind, super().field(node, row, name).width, row, at + 1)
        raise SourceError("undeclared", node.line, node.column, f"the older row has no field `{quote(name)}`")

    def name(self, expr: tree.Name) -> ir.Expr:
        if expr.name in ("today", "height"):
            text = f"`{expr.name}` changes, and an older row always lifts alike (L62)"
            raise SourceError("migrate", expr.line, expr.column, text)
        return super().name(expr)

    def call(self, expr: tree.Call) -> ir.Expr:
        found = super().call(expr)
        if isinstance(found, ir.Invoke | ir.CallOut):
            raise SourceError("migrate", expr.line, expr.column, "a migration calls built-ins only (L62)")
        return found
