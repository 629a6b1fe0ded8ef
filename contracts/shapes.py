"""Expressions as closures, chosen by the shape of their operands (performance E19).

An operand is a constant, a slot, a field of a slot, or general. For two operands the sixteen pairs are plain functions
in a table, so `row.open + fee` is one Python call instead of three. Nothing here computes a charge; sizes known only
at run time pay by the constants of `gas`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from contracts import calendar, containers, ir, unrounded
from contracts.gas import ARGUMENT_BYTES, CHARS_BUILT, CHARS_COMPARED, QUESTION, READ_BYTES, argument_bytes
from contracts.limits import INT_MAX, TEXT_CHARS
from contracts.machine import Frame, Run, Unit, Value
from contracts.types import CURRENCY, Many
from contracts.values import DAY_LAST, date_text, day_of, measure, render

Entry = Callable[[Frame], None]
"""Runs a routine in a frame whose parameters are set; the result is left in slot 1."""

Operation = Callable[[Any, Any], Any]

_COMPARE: Final[dict[str, Operation]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


_DATE_FUNCTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "end_of_month": calendar.end_of_month, "weekday": calendar.weekday, "year_of": lambda iso: int(iso[:4]),
    "month_of": lambda iso: int(iso[5:7]), "day_of": lambda iso: int(iso[8:]),
}  # fmt: skip


class Callee:
    """A routine that can be entered: how many slots its frame has, and its closure once built."""

    __slots__ = ("enter", "params", "slots")

    def __init__(self, params: int, slots: int) -> None:
        self.params = params
        self.slots = slots
        self.enter: Entry = _unbuilt


class Filling(NamedTuple):
    """(place, constant), (place, slot), (place, slot, field) and (place, closure) of a row, an event or a frame."""

    consts: list[tuple[int, Any]]
    slots: list[tuple[int, int]]
    fields: list[tuple[int, int, int]]
    rest: list[tuple[int, Value]]

    def template(self, size: int) -> list[Any]:
        """Return a list of `size` places with the constants in theirs."""
        blank: list[Any] = [None] * size
        for at, value in self.consts:
            blank[at] = value
        return blank


def _unbuilt(_: Frame) -> None:
    raise RuntimeError("a routine was entered before its program was linked")


# -- pairs of operands ---------------------------------------------------------------------------------------------


def _shape(expr: ir.Expr) -> tuple[str, Any]:
    if isinstance(expr, ir.Const):
        return "c", expr.value
    if isinstance(expr, ir.Slot):
        return "s", expr.at
    if isinstance(expr, ir.Field) and isinstance(expr.row, ir.Slot):
        return "f", (expr.row.at, expr.at)
    return "g", None


def _cc(op: Operation, a: Any, b: Any) -> Value:
    return lambda _: op(a, b)


def _cs(op: Operation, a: Any, b: int) -> Value:
    return lambda f: op(a, f[b])


def _cf(op: Operation, a: Any, b: tuple[int, int]) -> Value:
    slot, at = b
    return lambda f: op(a, f[slot][at])


def _cg(op: Operation, a: Any, b: Value) -> Value:
    return lambda f: op(a, b(f))


def _sc(op: Operation, a: int, b: Any) -> Value:
    return lambda f: op(f[a], b)


def _ss(op: Operation, a: int, b: int) -> Value:
    return lambda f: op(f[a], f[b])


def _sf(op: Operation, a: int, b: tuple[int, int]) -> Value:
    slot, at = b
    return lambda f: op(f[a], f[slot][at])


def _sg(op: Operation, a: int, b: Value) -> Value:
    return lambda f: op(f[a], b(f))


def _fc(op: Operation, a: tuple[int, int], b: Any) -> Value:
    slot, at = a
    return lambda f: op(f[slot][at], b)


def _fs(op: Operation, a: tuple[int, int], b: int) -> Value:
    slot, at = a
    return lambda f: op(f[slot][at], f[b])


def _ff(op: Operation, a: tuple[int, int], b: tuple[int, int]) -> Value:
    slot, at = a
    slot_b, at_b = b
    return lambda f: op(f[slot][at], f[slot_b][at_b])


def _fg(op: Operation, a: tuple[int, int], b: Value) -> Value:
    slot, at = a
    return lambda f: op(f[slot][at], b(f))


def _gc(op: Operation, a: Value, b: Any) -> Value:
    return lambda f: op(a(f), b)


def _gs(op: Operation, a: Value, b: int) -> Value:
    return lambda f: op(a(f), f[b])


def _gf(op: Operation, a: Value, b: tuple[int, int]) -> Value:
    slot, at = b
    return lambda f: op(a(f), f[slot][at])


def _gg(op: Operation, a: Value, b: Value) -> Value:
    return lambda f: op(a(f), b(f))


_PAIRS: Final[dict[str, Callable[[Operation, Any, Any], Value]]] = {
    "cc": _cc, "cs": _cs, "cf": _cf, "cg": _cg, "sc": _sc, "ss": _ss, "sf": _sf, "sg": _sg,
    "fc": _fc, "fs": _fs, "ff": _ff, "fg": _fg, "gc": _gc, "gs": _gs, "gf": _gf, "gg": _gg,
}  # fmt: skip


class Shapes:
    """Builds the closures of one contract's expressions.

    `local` are its own routines, `outside` the queries and actions of the contracts it uses.
    """

    def __init__(self, unit: Unit, local: Sequence[Callee], outside: dict[tuple[str, str], Callee]) -> None:
        self.unit = unit
        self.local = local
        self.outside = outside
        self._makers: dict[type, Callable[[Any], Value]] = {
            ir.Const: self._const, ir.Slot: self._slot, ir.Field: self._field, ir.Part: self._part,
            ir.Special: self._special, ir.Negate: self._negate, ir.Not: self._not, ir.Logic: self._logic,
            ir.Sum: self._sum, ir.Product: self._product, ir.Fit: self._fit, ir.Compare: self._compare,
            ir.CompareZero: self._compare_zero, ir.OneOf: self._one_of, ir.DayShift: self._day_shift,
            ir.Exists: self._exists, ir.ReadRow: self._read_row, ir.HasRole: self._has_role,
            ir.ZeroOf: self._zero_of, ir.Join: self._join, ir.Invoke: self._invoke, ir.CallOut: self._call_out,
            ir.Builtin: self._builtin, ir.MaybeRow: self._maybe_row,
            **unrounded.makers(unit, self.value), **containers.makers(unit, self.value),
        }  # fmt: skip

    def value(self, expr: ir.Expr) -> Value:
        """Return the closure that computes `expr` in a frame."""
        return self._makers[type(expr)](expr)

    def pair(self, op: Operation, left: ir.Expr, right: ir.Expr) -> Value:
        (kind_a, a), (kind_b, b) = _shape(left), _shape(right)
        if kind_a == "g":
            a = self.value(left)
        if kind_b == "g":
            b = self.value(right)
        return _PAIRS[kind_a + kind_b](op, a, b)

    def fill(self, items: Sequence[tuple[int, ir.Expr]]) -> Filling:
        """Sort values for a list of places: constants, slots, fields of slots, and the rest in the order written.

        The first three cannot abort and nothing changes them meanwhile, so their order does not matter (L18).
        """
        filling = Filling([], [], [], [])
        for place, expr in items:
            kind, at = _shape(expr)
            if kind == "c":
                filling.consts.append((place, at))
            elif kind == "s":
                filling.slots.append((place, at))
            elif kind == "f":
                filling.fields.append((place, *at))
            else:
                filling.rest.append((place, self.value(expr)))
        return filling

    # -- leaves

    def _const(self, expr: ir.Const) -> Value:
        value = expr.value
        return lambda _: value

    def _slot(self, expr: ir.Slot) -> Value:
        at = expr.at
        return lambda f: f[at]

    def _field(self, expr: ir.Field) -> Value:
        at = expr.at
        if isinstance(expr.row, ir.Slot):
            slot = expr.row.at
            return lambda f: f[slot][at]
        row = self.value(expr.row)
        return lambda f: row(f)[at]

    def _part(self, expr: ir.Part) -> Value:
        (kind, place), at = _shape(expr.of), expr.at
        if kind == "s":
            return lambda f: f[place][at]
        if kind == "f":
            slot, field = place
            return lambda f: f[slot][field][at]
        of = self.value(expr.of)
        return lambda f: of(f)[at]

    def _special(self, expr: ir.Special) -> Value:
        match expr.name:
            case "caller":
                return lambda f: f[0].caller
            case "sender":
                return lambda f: f[0].sender
            case "today":
                return lambda f: f[0].today
            case _:
                return lambda f: f[0].height

    # -- logic

    def _not(self, expr: ir.Not) -> Value:
        inner = self.value(expr.operand)
        return lambda f: not inner(f)

    def _logic(self, expr: ir.Logic) -> Value:
        parts = [self.value(operand) for operand in expr.operands]
        if len(parts) == 2:
            a, b = parts
            if expr.op == "and":
                return lambda f: a(f) and b(f)
            return lambda f: a(f) or b(f)
        if len(parts) == 3:
            a, b, c = parts
            if expr.op == "and":
                return lambda f: a(f) and b(f) and c(f)
            return lambda f: a(f) or b(f) or c(f)
        wanted: bool = expr.op == "or"

        def many(f: Frame) -> Any:
            for part in parts:
                if part(f) is wanted:
                    return wanted
            return not wanted

        return many

    # -- arithmetic

    def _negate(self, expr: ir.Negate) -> Value:
        inner = self.value(expr.operand)
        if expr.type.kind != "money":
            return lambda f: -inner(f)

        def negate(f: Frame) -> tuple[str, int]:
            code, minor = inner(f)
            return (code, -minor)

        return negate

    def _money_sum(self, line: int, sign: str) -> Operation:
        unit = self.unit
        if sign == "+":

            def add(a: tuple[str, int], b: tuple[str, int]) -> tuple[str, int]:
                if a[0] != b[0]:
                    raise unit.mismatch(line, a[0], b[0])
                return (a[0], a[1] + b[1])

            return add

        def subtract(a: tuple[str, int], b: tuple[str, int]) -> tuple[str, int]:
            if a[0] != b[0]:
                raise unit.mismatch(line, a[0], b[0])
            return (a[0], a[1] - b[1])

        return subtract

    def _money_sum_in_range(self, line: int, fit_line: int, sign: str) -> Operation:
        """Return the sum or difference of two amounts with the test of its range."""
        unit, factor = self.unit, 1 if sign == "+" else -1

        def total(a: tuple[str, int], b: tuple[str, int]) -> tuple[str, int]:
            code = a[0]
            if code != b[0]:
                raise unit.mismatch(line, code, b[0])
            minor = a[1] + factor * b[1]
            if -INT_MAX <= minor <= INT_MAX:
                return (code, minor)
            raise unit.abort("overflow", fit_line, "the amount is outside the range of money")

        return total

    def _sum(self, expr: ir.Sum) -> Value:
        if expr.type.kind == "money":
            ops = [self._money_sum(expr.line, sign) for sign, _ in expr.rest]
        else:
            ops = [operator.add if sign == "+" else operator.sub for sign, _ in expr.rest]
        first = self.pair(ops[0], expr.first, expr.rest[0][1])
        if len(ops) == 1:
            return first
        rest = [(op, self.value(operand)) for op, (_, operand) in zip(ops[1:], expr.rest[1:], strict=True)]

        def chain(f: Frame) -> Any:
            total = first(f)
            for op, operand in rest:
                total = op(total, operand(f))
            return total

        return chain

    def _product(self, expr: ir.Product) -> Value:
        if expr.money < 0:
            first = self.pair(operator.mul, expr.operands[0], expr.operands[1])
            if len(expr.operands) == 2:
                return first
            rest = [self.value(operand) for operand in expr.operands[2:]]

            def product(f: Frame) -> int:
                total: int = first(f)
                for operand in rest:
                    total *= operand(f)
                return total

            return product
        parts = [self.value(operand) for operand in expr.operands]
        place = expr.money

        def scaled(f: Frame) -> tuple[str, int]:
            values = [part(f) for part in parts]
            code, total = values[place]
            for at, value in enumerate(values):
                if at != place:
                    total *= value
            return (code, total)

        return scaled

    def _fit(self, expr: ir.Fit) -> Value:
        inner, unit, line, kind = self.value(expr.value), self.unit, expr.line, expr.type
        if kind.kind in ("int", "rate"):

            def fit_int(f: Frame) -> int:
                value: int = inner(f)
                if -INT_MAX <= value <= INT_MAX:
                    return value
                raise unit.abort("overflow", line, f"the result is outside the range of {kind.kind}")

            return fit_int
        if kind.kind == "money" and isinstance(expr.value, ir.Sum) and len(expr.value.rest) == 1:
            ((sign, other),) = expr.value.rest
            return self.pair(self._money_sum_in_range(expr.value.line, line, sign), expr.value.first, other)
        if kind.kind == "money":

            def fit_money(f: Frame) -> tuple[str, int]:
                value: tuple[str, int] = inner(f)
                if -INT_MAX <= value[1] <= INT_MAX:
                    return value
                raise unit.abort("overflow", line, "the amount is outside the range of money")

            return fit_money
        size = kind.size

        def fit_text(f: Frame) -> str:
            value: str = inner(f)
            if len(value) <= size:
                return value
            raise unit.abort("text_too_long", line, f"the text has more than {size} code points")

        return fit_text

    def _day_shift(self, expr: ir.DayShift) -> Value:
        date, count, sign = self.value(expr.date), self.value(expr.count), expr.sign
        unit, line = self.unit, expr.line

        def shift(f: Frame) -> str:
            number = day_of(date(f)) + sign * count(f)
            if not 0 <= number <= DAY_LAST:
                raise unit.abort("date_range", line, "the date is outside 0001-01-01 to 9999-12-31")
            return date_text(number)

        return shift

    def _zero_of(self, expr: ir.ZeroOf) -> Value:
        if expr.of.type == CURRENCY:
            inner = self.value(expr.of)
            return lambda f: (inner(f), 0)
        kind, at = _shape(expr.of)
        if kind == "s":
            return lambda f: (f[at][0], 0)
        if kind == "f":
            slot, field = at
            return lambda f: (f[slot][field][0], 0)
        money = self.value(expr.of)
        return lambda f: (money(f)[0], 0)

    # -- comparison

    def _comparison(self, kind: str, op: str, line: int, sizes: tuple[int, int]) -> Operation | None:
        """Return the comparison of two values, or None when a text comparison must pay for its length."""
        plain = _COMPARE[op]
        if kind == "text":
            return plain if min(sizes) < CHARS_COMPARED else None
        if kind != "money":
            return plain
        unit = self.unit

        def money(a: tuple[str, int], b: tuple[str, int]) -> Any:
            if a[0] != b[0]:
                raise unit.mismatch(line, a[0], b[0])
            return plain(a[1], b[1])

        return money

    def _money_comparison(self, op: str, line: int) -> Operation:
        """Return the three most frequent comparisons of amounts, each as one function."""
        unit = self.unit

        def equal(a: tuple[str, int], b: tuple[str, int]) -> bool:
            if a[0] != b[0]:
                raise unit.mismatch(line, a[0], b[0])
            return a[1] == b[1]

        def at_most(a: tuple[str, int], b: tuple[str, int]) -> bool:
            if a[0] != b[0]:
                raise unit.mismatch(line, a[0], b[0])
            return a[1] <= b[1]

        def at_least(a: tuple[str, int], b: tuple[str, int]) -> bool:
            if a[0] != b[0]:
                raise unit.mismatch(line, a[0], b[0])
            return a[1] >= b[1]

        return {"==": equal, "<=": at_most, ">=": at_least}[op]

    def _compare(self, expr: ir.Compare) -> Value:
        kind = expr.left.type
        if "option" in (kind.kind, expr.right.type.kind):
            return self._compare_options(expr)
        if kind.kind == "money" and expr.op in ("==", "<=", ">="):
            return self.pair(self._money_comparison(expr.op, expr.line), expr.left, expr.right)
        sizes = (kind.size, expr.right.type.size)
        op = self._comparison(kind.kind, expr.op, expr.line, sizes)
        if op is not None:
            return self.pair(op, expr.left, expr.right)
        left, right, plain = self.value(expr.left), self.value(expr.right), _COMPARE[expr.op]
        unit, line = self.unit, expr.line

        def long_texts(f: Frame) -> Any:
            a, b = left(f), right(f)
            pay_for_texts(unit, f[0], line, a, b)
            return plain(a, b)

        return long_texts

    def _compare_options(self, expr: ir.Compare) -> Value:
        left, right, unit, line = self.value(expr.left), self.value(expr.right), self.unit, expr.line
        wanted = expr.op == "=="
        inner = expr.left.type.parts[0] if isinstance(expr.left.type, Many) else expr.left.type

        def options(f: Frame) -> bool:
            a, b = left(f), right(f)
            if a is not None and b is not None:
                if inner.kind == "money" and a[0] != b[0]:
                    raise unit.mismatch(line, a[0], b[0])
                if inner.kind == "text":
                    pay_for_texts(unit, f[0], line, a, b)
            return (a == b) is wanted

        return options

    def _compare_zero(self, expr: ir.CompareZero) -> Value:
        op = _COMPARE[expr.op]
        shape, at = _shape(expr.money)
        if shape == "s":
            return lambda f: op(f[at][1], 0)
        if shape == "f":
            slot, field = at
            return lambda f: op(f[slot][field][1], 0)
        money = self.value(expr.money)
        return lambda f: op(money(f)[1], 0)

    def _one_of(self, expr: ir.OneOf) -> Value:
        value, items = self.value(expr.value), [self.value(item) for item in expr.items]
        kind, unit, line = expr.value.type.kind, self.unit, expr.line

        def one_of(f: Frame) -> bool:
            wanted = value(f)
            found = False
            for item in items:
                other = item(f)
                if kind == "money" and wanted[0] != other[0]:
                    raise unit.mismatch(line, wanted[0], other[0])
                if kind == "text":
                    pay_for_texts(unit, f[0], line, wanted, other)
                found = found or wanted == other
            return found

        return one_of

    # -- tables and roles

    def key(self, table: int, keys: Sequence[ir.Expr]) -> Value:
        """Return the closure that computes the state key of a row."""
        shape = self.unit.formats[table]
        prefix = shape.prefix
        if 2 <= len(shape.text_frame) <= 4:
            return self._text_key(shape.text_frame, keys)
        if len(keys) == 1:
            part = shape.key_parts[0]
            kind, at = _shape(keys[0])
            if kind == "s":
                return lambda f: prefix + part(f[at])
            if kind == "f":
                slot, field = at
                return lambda f: prefix + part(f[slot][field])
            only = self.value(keys[0])
            return lambda f: prefix + part(only(f))
        parts = [(part, self.value(key)) for part, key in zip(shape.key_parts, keys, strict=True)]
        if len(parts) == 2:
            (part_a, a), (part_b, b) = parts
            return lambda f: prefix + part_a(a(f)) + part_b(b(f))
        if len(parts) == 3:
            (part_a, a), (part_b, b), (part_c, c) = parts
            return lambda f: prefix + part_a(a(f)) + part_b(b(f)) + part_c(c(f))
        return lambda f: prefix + b"".join([part(item(f)) for part, item in parts])

    def _text_key(self, frame: Sequence[str], keys: Sequence[ir.Expr]) -> Value:
        """Return the closure of a key of one to three parts, all texts: written as one text, encoded once."""
        (kind, at), head, end = _shape(keys[0]), frame[0], frame[-1]
        if len(keys) == 1:
            if kind == "s":
                return lambda f: f"{head}{f[at]}{end}".encode()
            if kind == "f":
                slot, field = at
                return lambda f: f"{head}{f[slot][field]}{end}".encode()
            only = self.value(keys[0])
            return lambda f: f"{head}{only(f)}{end}".encode()
        (kind_b, b), one = _shape(keys[1]), frame[1]
        if len(keys) == 3:
            first, second, third = (self.value(key) for key in keys)
            two = frame[2]
            return lambda f: f"{head}{first(f)}{one}{second(f)}{two}{third(f)}{end}".encode()
        if kind + kind_b == "ss":
            return lambda f: f"{head}{f[at]}{one}{f[b]}{end}".encode()
        if kind + kind_b == "ff":
            (slot, field), (slot_b, field_b) = at, b
            return lambda f: f"{head}{f[slot][field]}{one}{f[slot_b][field_b]}{end}".encode()
        first, second = self.value(keys[0]), self.value(keys[1])
        return lambda f: f"{head}{first(f)}{one}{second(f)}{end}".encode()

    def _exists(self, expr: ir.Exists) -> Value:
        key = self.key(expr.table, expr.keys)

        def exists(f: Frame) -> bool:
            run: Run = f[0]
            place = key(f)
            return place in run.rows or run.host.get(place) is not None

        return exists

    def _read_row(self, expr: ir.ReadRow) -> Value:
        key, read = self.key(expr.table, expr.keys), reader(self.unit, expr.table, expr.line)
        unit, line, table = self.unit, expr.line, self.unit.module.tables[expr.table].name

        shape = self.unit.formats[expr.table]
        if not (shape.measures or shape.older):

            def read_plain(f: Frame) -> Any:
                run: Run = f[0]
                place = key(f)
                known = run.rows.get(place)
                if known is None:
                    row = read(run, place)
                    if row is None:
                        raise unit.abort("missing_row", line, f"there is no such row in {table}")
                    return row
                row, units, memory = known
                run.gas -= units
                run.memory -= memory
                if run.gas < 0 or run.memory < 0:
                    raise unit.spent(run, line)
                return row

            return read_plain

        def read_row(f: Frame) -> Any:
            row = read(f[0], key(f))
            if row is None:
                raise unit.abort("missing_row", line, f"there is no such row in {table}")
            return row

        return read_row

    def _maybe_row(self, expr: ir.MaybeRow) -> Value:
        key, read = self.key(expr.table, expr.keys), reader(self.unit, expr.table, expr.line)
        return lambda f: read(f[0], key(f))

    def _has_role(self, expr: ir.HasRole) -> Value:
        party, role, unit, line = self.value(expr.party), expr.role, self.unit, expr.line

        def has_role(f: Frame) -> bool:
            run: Run = f[0]
            company = party(f)
            for signer in range(len(run.host.signers)):
                run.gas -= QUESTION
                if run.gas < 0:
                    raise unit.spent(run, line)
                if run.host.decide(signer, role, company, ()).startswith("ok"):
                    return True
            return False

        return has_role

    # -- texts

    def _join(self, expr: ir.Join) -> Value:
        unit, line, currencies = self.unit, expr.line, self.unit.currencies
        parts = [(part.type, self.value(part)) for part in expr.parts]

        def join(f: Frame) -> str:
            pieces = [render(kind, part(f), currencies) for kind, part in parts]
            size = sum(len(piece) for piece in pieces)
            if size > TEXT_CHARS:  # L14: no text is longer than the longest type of text, whatever its parts are
                raise unit.abort("text_too_long", line, f"the text has more than {TEXT_CHARS} code points")
            run: Run = f[0]
            run.gas -= size // CHARS_BUILT
            run.memory -= 16 + 4 * size
            if run.gas < 0 or run.memory < 0:
                raise unit.spent(run, line)
            return "".join(pieces)

        return join

    # -- calls

    def _invoke(self, expr: ir.Invoke) -> Value:
        callee = self.local[expr.routine]
        filling = self.fill([(at + ir.FIRST_SLOT, arg) for at, arg in zip(expr.order, expr.args, strict=True)])
        blank, slots, fields, rest = filling.template(callee.slots), *filling[1:]

        if not slots and not fields and len(rest) == 1:
            ((only, argument),) = rest

            def invoke_one(f: Frame) -> Any:
                frame = blank.copy()
                frame[0] = f[0]
                frame[only] = argument(f)
                callee.enter(frame)
                return frame[1]

            return invoke_one
        if len(slots) == 1 and not fields and not rest:
            ((place, source),) = slots

            def invoke_slot(f: Frame) -> Any:
                frame = blank.copy()
                frame[0] = f[0]
                frame[place] = f[source]
                callee.enter(frame)
                return frame[1]

            return invoke_slot

        def invoke(f: Frame) -> Any:
            frame = blank.copy()
            frame[0] = f[0]
            for at, slot in slots:
                frame[at] = f[slot]
            for at, slot, field in fields:
                frame[at] = f[slot][field]
            for at, value in rest:
                frame[at] = value(f)
            callee.enter(frame)
            return frame[1]

        return invoke

    def _call_out(self, expr: ir.CallOut) -> Value:
        callee = self.outside[expr.contract, expr.method]
        places = [at + ir.FIRST_SLOT for at in expr.order]
        filling = self.fill(list(zip(places, expr.args, strict=True)))
        blank, slots, fields, rest = filling.template(callee.slots), *filling[1:]
        kinds = [arg.type for arg in expr.args]
        fixed = argument_bytes(kinds)
        texts = [at for at, kind in zip(places, kinds, strict=True) if kind.kind == "text"]
        names = self.unit.names
        measured = [
            (at, measure(kind, names)) for at, kind in zip(places, kinds, strict=True) if isinstance(kind, Many)
        ]
        unit, line = self.unit, expr.line
        if not texts and not measured and len(slots) == 1 and not fields and not rest:
            ((place, source),) = slots
            units = fixed // ARGUMENT_BYTES

            def call_out_slot(f: Frame) -> Any:
                run: Run = f[0]
                frame = blank.copy()
                frame[0] = run
                frame[place] = f[source]
                run.gas -= units
                if run.gas < 0:
                    raise unit.spent(run, line)
                callee.enter(frame)
                return frame[1]

            return call_out_slot

        def call_out(f: Frame) -> Any:
            run: Run = f[0]
            frame = blank.copy()
            frame[0] = run
            for at, slot in slots:
                frame[at] = f[slot]
            for at, slot, field in fields:
                frame[at] = f[slot][field]
            for at, value in rest:
                frame[at] = value(f)
            size = fixed
            for at in texts:
                size += 4 * len(frame[at])
            for at, count in measured:
                size += count(frame[at])
            run.gas -= size // ARGUMENT_BYTES
            if run.gas < 0:
                raise unit.spent(run, line)
            callee.enter(frame)
            return frame[1]

        return call_out

    def _builtin(self, expr: ir.Builtin) -> Value:
        unit, line, name = self.unit, expr.line, expr.name
        if name in ("min", "max"):
            return self._min_max(expr)
        if name in ("floor_div", "mod"):
            op = operator.floordiv if name == "floor_div" else operator.mod

            def divide(a: int, b: int) -> Any:
                if b == 0:
                    raise unit.abort("divide_by_zero", line, "a number is divided by zero")
                return op(a, b)

            return self.pair(divide, expr.args[0], expr.args[1])
        if name == "days_between":
            return self.pair(lambda a, b: day_of(b) - day_of(a), expr.args[0], expr.args[1])
        if name == "money_of":
            return self.pair(lambda code, minor: (code, minor), expr.args[0], expr.args[1])
        if name == "company_has":
            party, role = self.value(expr.args[0]), self.value(expr.args[1])
            return lambda f: f[0].host.company_has(party(f), role(f))
        if name in ("split", "share"):
            return unrounded.parts_maker(unit, expr, self.value)
        if name == "default":
            return self.pair(lambda found, other: other if found is None else found, expr.args[0], expr.args[1])
        if name == "starts_with":
            text, start = self.value(expr.args[0]), self.value(expr.args[1])

            def starts_with(f: Frame) -> bool:
                a, b = text(f), start(f)
                pay_for_texts(unit, f[0], line, a, b)
                return bool(a.startswith(b))

            return starts_with
        if name == "add_months":
            return self._add_months(expr)
        inner = self.value(expr.args[0])
        if name == "value_of":

            def value_of(f: Frame) -> Any:
                found = inner(f)
                if found is None:
                    raise unit.abort("none_value", line, "the value is none")
                return found

            return value_of
        if name in _DATE_FUNCTIONS:
            of_date = _DATE_FUNCTIONS[name]
            return lambda f: of_date(inner(f))
        if name == "new_id":
            return lambda f: f[0].new_id(inner(f))
        if name == "count":
            return lambda f: len(inner(f))
        if expr.type.kind != "money":
            return lambda f: abs(inner(f))

        def absolute(f: Frame) -> tuple[str, int]:
            code, minor = inner(f)
            return (code, abs(minor))

        return absolute

    def _add_months(self, expr: ir.Builtin) -> Value:
        unit, line = self.unit, expr.line

        def shift(iso: str, months: int) -> str:
            found = calendar.add_months(iso, months)
            if found is None:
                raise unit.abort("date_range", line, "the date is outside 0001-01-01 to 9999-12-31")
            return found

        return self.pair(shift, expr.args[0], expr.args[1])

    def _min_max(self, expr: ir.Builtin) -> Value:
        left, right = expr.args
        smaller = expr.name == "min"
        sizes = (left.type.size, right.type.size)
        op = self._comparison(left.type.kind, "<=" if smaller else ">=", expr.line, sizes)
        if op is not None:
            plain = op
            return self.pair(lambda a, b: a if plain(a, b) else b, left, right)
        a_value, b_value, unit, line = self.value(left), self.value(right), self.unit, expr.line

        def long_texts(f: Frame) -> Any:
            a, b = a_value(f), b_value(f)
            pay_for_texts(unit, f[0], line, a, b)
            return a if (a <= b) is smaller or a == b else b

        return long_texts


def pay_for_texts(unit: Unit, run: Run, line: int, a: str, b: str) -> None:
    """Pay for comparing two texts beyond the first code points."""
    run.gas -= min(len(a), len(b)) // CHARS_COMPARED
    if run.gas < 0:
        raise unit.spent(run, line)


def reader(unit: Unit, table: int, line: int) -> Callable[[Run, bytes], Any]:
    """Return the function that reads a row by its key and pays for its size directly after (H3).

    Decoded rows stay with the run; reading one again costs the same gas and memory as the first time, so that nothing
    that people see depends on it.
    """
    shape = unit.formats[table]
    decode, fixed, measures = shape.decode, shape.read_memory, shape.measures
    if measures or shape.older:
        older, lifted = bool(shape.older), shape.lifted

        def read_measured(run: Run, key: bytes) -> Any:
            known = run.rows.get(key)
            if known is None:
                data = run.host.get(key)
                if data is None:
                    return None
                known = run.rows[key] = (decode(data), len(data) // READ_BYTES, fixed + 4 * len(data))
            row, units, memory = known
            run.gas -= units
            run.memory -= memory
            if older:
                row = lifted(run, row)
            run.memory -= sum([count(row[at]) for at, count in measures])
            if run.gas < 0 or run.memory < 0:
                raise unit.spent(run, line)
            return row

        return read_measured

    def read(run: Run, key: bytes) -> Any:
        known = run.rows.get(key)
        if known is not None:
            row, units, memory = known
            run.gas -= units
            run.memory -= memory
            if run.gas < 0 or run.memory < 0:
                raise unit.spent(run, line)
            return row
        data = run.host.get(key)
        if data is None:
            return None
        units, memory = len(data) // READ_BYTES, fixed + 4 * len(data)
        run.gas -= units
        run.memory -= memory
        if run.gas < 0 or run.memory < 0:
            raise unit.spent(run, line)
        row = decode(data)
        run.rows[key] = (row, units, memory)
        return row

    return read


__all__ = ["Callee", "Shapes", "pay_for_texts", "reader"]
