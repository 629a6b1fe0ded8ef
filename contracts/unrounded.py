"""Values that live inside one expression: a numerator over a positive denominator, never reduced (L21-L25).

An unrounded number is (numerator, denominator), unrounded money (currency, numerator, denominator). The checker bounds
both to 255 bits, so nothing here can grow. Pure functions first, then their closures. Door: `makers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from contracts import ir
from contracts.gas import SHARE_PART
from contracts.machine import Frame, Run, Unit, Value
from contracts.types import ELEMENT_BYTES
from contracts.values import day_of

Make = Callable[[ir.Expr], Value]


def round_half_up(numerator: int, denominator: int) -> int:
    """Return the nearest integer, ties away from zero (finance F14)."""
    size = (2 * abs(numerator) + denominator) // (2 * denominator)
    return -size if numerator < 0 else size


def round_half_even(numerator: int, denominator: int) -> int:
    """Return the nearest integer, ties to the even one."""
    size, rest = divmod(abs(numerator), denominator)
    if 2 * rest > denominator or (2 * rest == denominator and size % 2 == 1):
        size += 1
    return -size if numerator < 0 else size


def round_down(numerator: int, denominator: int) -> int:
    """Return the integer toward zero."""
    size = abs(numerator) // denominator
    return -size if numerator < 0 else size


ROUNDINGS: Final[dict[str, Callable[[int, int], int]]] = {
    "half_up": round_half_up, "half_even": round_half_even, "down": round_down,
}  # fmt: skip


def share(amount: int, weights: Sequence[int]) -> list[int]:
    """Return parts of `amount` in proportion to `weights`, which are not negative and not all zero (L24).

    Each part is its floor on the absolute amount; the units that are missing go one each to the largest remainders,
    ties to the lower position; then the sign.

    >>> share(100, [1, 1, 1]), share(-5, [2, 1]), share(7, [0, 3])
    ([34, 33, 33], [-3, -2], [0, 7])
    """
    size, total = abs(amount), sum(weights)
    parts = [size * weight // total for weight in weights]
    order = sorted(range(len(weights)), key=lambda at: (-(size * weights[at] % total), at))
    for at in order[: size - sum(parts)]:
        parts[at] += 1
    return [-part for part in parts] if amount < 0 else parts


def days_of_count(count: str, start: str, end: str) -> tuple[int, int]:
    """Return days from `start` to `end`, and days of a year, by a day count (L25); 30E/360 takes day 31 as 30."""
    if count == "thirty_360":
        years, months = int(end[:4]) - int(start[:4]), int(end[5:7]) - int(start[5:7])
        return 360 * years + 30 * months + min(int(end[8:]), 30) - min(int(start[8:]), 30), 360
    return day_of(end) - day_of(start), 360 if count == "act_360" else 365


def makers(unit: Unit, value: Make) -> Mapping[type, Callable[[Any], Value]]:
    """Return what builds the closures of this module's nodes; `value` builds those of their parts."""
    built = _Closures(unit, value)
    return {
        ir.Lift: built.lift, ir.RatioSum: built.sum, ir.RatioProduct: built.product, ir.RatioCompare: built.compare,
        ir.YearFraction: built.year_fraction, ir.Round: built.round,
    }  # fmt: skip


class _Closures:
    def __init__(self, unit: Unit, value: Make) -> None:
        self.unit = unit
        self.value = value

    def lift(self, expr: ir.Lift) -> Value:
        inner = self.value(expr.of)
        if expr.of.type.kind == "money":

            def amount(f: Frame) -> tuple[str, int, int]:
                code, minor = inner(f)
                return (code, minor, 1)

            return amount
        scale = 10**expr.of.type.size if expr.of.type.kind == "rate" else 1
        return lambda f: (inner(f), scale)

    def sum(self, expr: ir.RatioSum) -> Value:
        left, right, sign, unit, line = self.value(expr.left), self.value(expr.right), expr.sign, self.unit, expr.line
        if expr.type.kind == "ratio":

            def numbers(f: Frame) -> tuple[int, int]:
                a, b = left(f)
                c, d = right(f)
                return (a * d + sign * c * b, b * d)

            return numbers

        def amounts(f: Frame) -> tuple[str, int, int]:
            code, a, b = left(f)
            other, c, d = right(f)
            if code != other:
                raise unit.mismatch(line, code, other)
            return (code, a * d + sign * c * b, b * d)

        return amounts

    def product(self, expr: ir.RatioProduct) -> Value:
        """Return the closure for the kinds of both sides; a quotient keeps its denominator positive."""
        left, right, unit, line, divide = (
            self.value(expr.left), self.value(expr.right), self.unit, expr.line, expr.divide,
        )  # fmt: skip
        kinds = (expr.left.type.kind, expr.right.type.kind)

        def quotient(a: int, b: int, c: int, d: int) -> tuple[int, int]:
            if c == 0:
                raise unit.abort("divide_by_zero", line, "a number is divided by zero")
            return (a * d, b * c) if c > 0 else (-a * d, -b * c)

        def numbers(f: Frame) -> tuple[int, int]:
            a, b = left(f)
            c, d = right(f)
            return quotient(a, b, c, d) if divide else (a * c, b * d)

        def money_by_number(f: Frame) -> tuple[str, int, int]:
            code, a, b = left(f)
            c, d = right(f)
            if divide:
                return (code, *quotient(a, b, c, d))
            return (code, a * c, b * d)

        def number_by_money(f: Frame) -> tuple[str, int, int]:
            a, b = left(f)
            code, c, d = right(f)
            return (code, a * c, b * d)

        def money_by_money(f: Frame) -> tuple[int, int]:
            code, a, b = left(f)
            other, c, d = right(f)
            if code != other:
                raise unit.mismatch(line, code, other)
            return quotient(a, b, c, d)

        by_kind: dict[tuple[str, str], Value] = {
            ("ratio", "ratio"): numbers, ("raw_money", "ratio"): money_by_number,
            ("ratio", "raw_money"): number_by_money, ("raw_money", "raw_money"): money_by_money,
        }  # fmt: skip
        return by_kind[kinds]

    def compare(self, expr: ir.RatioCompare) -> Value:
        left, right, unit, line, op = self.value(expr.left), self.value(expr.right), self.unit, expr.line, expr.op

        def run(f: Frame) -> bool:
            *codes, a, b = left(f)
            *others, c, d = right(f)
            if codes != others:
                raise unit.mismatch(line, codes[0], others[0])
            difference: int = a * d - c * b
            match op:
                case "<":
                    return difference < 0
                case "<=":
                    return difference <= 0
                case ">":
                    return difference > 0
            return difference >= 0

        return run

    def year_fraction(self, expr: ir.YearFraction) -> Value:
        start, end, count = self.value(expr.start), self.value(expr.end), expr.count
        return lambda f: days_of_count(count, start(f), end(f))

    def round(self, expr: ir.Round) -> Value:
        inner, rounding, scale = self.value(expr.of), ROUNDINGS[expr.mode], 10**expr.places
        if expr.type.kind == "money":

            def money(f: Frame) -> tuple[str, int]:
                code, numerator, denominator = inner(f)
                return (code, rounding(numerator, denominator))

            return money

        def number(f: Frame) -> int:
            numerator, denominator = inner(f)
            return rounding(numerator * scale, denominator)

        return number


def parts_maker(unit: Unit, expr: ir.Builtin, value: Make) -> Value:
    """Return the closure of `split` and `share` (L24)."""
    amount, by, line = value(expr.args[0]), value(expr.args[1]), expr.line
    even = expr.name == "split"
    of_money = not even and expr.args[1].type.kind == "list" and str(expr.args[1].type).startswith("list(money,")

    def run(f: Frame) -> tuple[tuple[str, int], ...]:
        code, minor = amount(f)
        given = by(f)
        weights = [1] * given if even else [item[1] for item in given] if of_money else list(given)
        state: Run = f[0]
        state.gas -= SHARE_PART * len(weights)
        state.memory -= 16 + len(weights) * (ELEMENT_BYTES + 32)
        if state.gas < 0 or state.memory < 0:
            raise unit.spent(state, line)
        if of_money and any(item[0] != given[0][0] for item in given):
            raise unit.abort("currency_mismatch", line, "the weights are amounts of one currency")
        if any(weight < 0 for weight in weights) or sum(weights) == 0:
            raise unit.abort("bad_weights", line, "weights are not negative, and not all of them are zero")
        return tuple([(code, part) for part in share(minor, weights)])

    return run
