"""Closures of lists, maps, records and options (L13, L16, L28, L33, L34).

A list or record is a tuple, and nothing changes it. Only a `var` list is a Python list and a map a dict, each owned
by its one slot; `Copy` makes them and pays (L13). A map is keyed by canonical key bytes (D6), so that crafted numbers
cannot collide and every iteration is in key order: entries are (key, value). Door: `makers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from contracts import ir
from contracts.gas import CHARS_COMPARED, COPY_BYTES, KEY_BYTES, members_compared
from contracts.machine import Frame, Run, Unit, Value
from contracts.types import ELEMENT_BYTES, Type, parts_of
from contracts.values import KeyPart, key_part

Make = Callable[[ir.Expr], Value]


def makers(unit: Unit, value: Make) -> Mapping[type, Callable[[Any], Value]]:
    """Return what builds the closures of this module's nodes; `value` builds those of their parts."""
    built = _Closures(unit, value)
    return {
        ir.IsNone: built.is_none, ir.ListOf: built.list_of, ir.RecordOf: built.record_of, ir.EmptyMap: built.empty_map,
        ir.Copy: built.copy, ir.Element: built.element, ir.Entry: built.entry, ir.Within: built.within,
    }  # fmt: skip


def entry_part(unit: Unit, kind: Type) -> KeyPart:
    """Return the key bytes of the keys of a map."""
    return key_part(parts_of(kind)[0], unit.names.enums)


def pay_for_key(unit: Unit, run: Run, line: int, key: bytes) -> None:
    run.gas -= len(key) // KEY_BYTES
    if run.gas < 0:
        raise unit.spent(run, line)


class _Closures:
    def __init__(self, unit: Unit, value: Make) -> None:
        self.unit = unit
        self.value = value

    def is_none(self, expr: ir.IsNone) -> Value:
        inner = self.value(expr.of)
        return lambda f: inner(f) is None

    def empty_map(self, _: ir.EmptyMap) -> Value:
        return lambda _: {}

    def list_of(self, expr: ir.ListOf) -> Value:
        items = [self.value(item) for item in expr.items]
        size = 16 + ELEMENT_BYTES * len(items)

        def build(f: Frame) -> tuple[Any, ...]:
            f[0].memory -= size
            return tuple([item(f) for item in items])

        return build

    def record_of(self, expr: ir.RecordOf) -> Value:
        items = list(zip(expr.order, (self.value(item) for item in expr.items), strict=True))
        count = len(items)
        size = 16 + ELEMENT_BYTES * count

        def build(f: Frame) -> tuple[Any, ...]:
            f[0].memory -= size
            fields: list[Any] = [None] * count
            for at, item in items:
                fields[at] = item(f)
            return tuple(fields)

        return build

    def copy(self, expr: ir.Copy) -> Value:
        inner, unit, line = self.value(expr.of), self.unit, expr.line
        make: Callable[[Any], Any] = dict if expr.type.kind == "map" else list if expr.own else tuple

        def copied(f: Frame) -> Any:
            found = inner(f)
            size = 16 + ELEMENT_BYTES * len(found)
            run: Run = f[0]
            run.gas -= size // COPY_BYTES
            run.memory -= size
            if run.gas < 0 or run.memory < 0:
                raise unit.spent(run, line)
            return make(found)

        return copied

    def element(self, expr: ir.Element) -> Value:
        of, at, unit, line = self.value(expr.of), self.value(expr.at), self.unit, expr.line

        def element(f: Frame) -> Any:
            found, place = of(f), at(f)
            if 0 <= place < len(found):
                return found[place]
            raise unit.abort("index_range", line, f"there is no place {place} in a list of {len(found)}")

        return element

    def entry(self, expr: ir.Entry) -> Value:
        of, key, unit, line, maybe = self.value(expr.of), self.value(expr.key), self.unit, expr.line, expr.maybe
        part = entry_part(unit, expr.of.type)

        def entry(f: Frame) -> Any:
            found, place = of(f), part(key(f))
            pay_for_key(unit, f[0], line, place)
            pair = found.get(place)
            if pair is not None:
                return pair[1]
            if maybe:
                return None
            raise unit.abort("missing_key", line, "the map has no such key")

        return entry

    def within(self, expr: ir.Within) -> Value:
        value, of, unit, line = self.value(expr.value), self.value(expr.of), self.unit, expr.line
        if expr.of.type.kind == "map":
            part = entry_part(unit, expr.of.type)

            def in_map(f: Frame) -> bool:
                place, found = part(value(f)), of(f)
                pay_for_key(unit, f[0], line, place)
                return place in found

            return in_map
        wanted_type = expr.value.type
        kind = wanted_type.kind

        def in_list(f: Frame) -> bool:
            wanted, items = value(f), of(f)
            run: Run = f[0]
            each = 1 + (len(wanted) // CHARS_COMPARED if kind == "text" else 0)
            run.gas -= members_compared(wanted_type, len(items), each)
            if run.gas < 0:
                raise unit.spent(run, line)
            if kind == "money":
                for item in items:
                    if item[0] != wanted[0]:
                        raise unit.mismatch(line, wanted[0], item[0])
            return wanted in items

        return in_list
