"""Watching a program while its tests run: a trace of one test, and what the tests of a contract reach (L65).

The watched program is built from the same IR by the same closures, with one call before each statement; results and gas
are those of the plain one. Doors: `trace`, `coverage`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from contracts import ir
from contracts.check import check
from contracts.limits import TX_GAS
from contracts.machine import Frame, Run, Unit
from contracts.notation import Notation
from contracts.resolve import resolve
from contracts.runtime import Code, link, older_of
from contracts.testing import TestReport, load_all, party_names, run_loaded
from ledger.money import CurrencyTable

ENTRIES_MAX: Final = 10_000
"""Entries of one trace; a longer one is cut (L65)."""


class Entry(NamedTuple):
    """A statement about to run: gas used so far by its call, and values of locals that changed since the last one."""

    contract: str
    line: int
    gas_used: int
    locals: tuple[tuple[str, str], ...]


class Missed(NamedTuple):
    """`kind`: line (never ran), refusal (never refused), branch (condition never false, and there is no else)."""

    kind: str
    line: int
    text: str


class Reached(NamedTuple):
    """`lines` and `branches`: (reached, all)."""

    contract: str
    lines: tuple[int, int]
    branches: tuple[int, int]
    missed: tuple[Missed, ...]


def trace(
    source: bytes, used: Sequence[tuple[str, bytes]], currencies: CurrencyTable, title: str
) -> tuple[TestReport, tuple[Entry, ...]]:
    """Run the one test with this title; return its report and every statement it ran, at most ENTRIES_MAX."""
    codes, name, tests = load_all(source, used, currencies)
    chosen = tuple(test for test in tests if test.title == title)
    watching = Watching(codes, currencies, party_names(chosen))
    report = run_loaded(codes, name, chosen, link(codes, watching))
    return report, tuple(
        Entry(step.contract, step.line, TX_GAS - step.gas_left, step.locals) for step in watching.steps[:ENTRIES_MAX]
    )


class Watched(NamedTuple):
    """A statement about to run: gas that is left, and values of locals that changed since the last one."""

    contract: str
    line: int
    gas_left: int
    locals: tuple[tuple[str, str], ...]


class Watching:
    """What `link` calls before each statement: keeps the first ENTRIES_MAX of them, and all gas by line."""

    def __init__(
        self, codes: Mapping[str, Code], currencies: CurrencyTable, parties: Mapping[str, str] | None = None
    ) -> None:
        self.steps: list[Watched] = []
        self.cut = False
        self.lines: dict[tuple[str, int], list[int]] = {}
        """(contract, line) -> [times it ran, gas until the next statement]."""
        self._codes = codes
        interfaces = {name: code.interface for name, code in codes.items()}
        self._notations = {name: Notation(name, interfaces, currencies, parties) for name in codes}
        self._names: dict[str, list[tuple[int, Slots]]] = {}
        self._run: Run | None = None
        self._seen: dict[int, str] = {}
        self._last: tuple[list[int], int] | None = None

    def begin(self) -> None:
        """Forget everything, before another call."""
        self.steps, self.lines, self.cut, self._run, self._last = [], {}, False, None, None
        self._seen.clear()

    def end(self, gas_left: int) -> None:
        """Count what the last statement used."""
        if self._last is not None:
            self._last[0][1] += max(0, self._last[1] - gas_left)
        self._last = None

    def __call__(self, unit: Unit, statement: ir.Statement, frame: Frame) -> None:
        run: Run = frame[0]
        if self._run is not run:
            self._run, self._last = run, None
            self._seen.clear()
        if self._last is not None:
            self._last[0][1] += self._last[1] - run.gas
        line = self.lines.setdefault((unit.name, statement.line), [0, 0])
        line[0] += 1
        self._last = line, run.gas
        if len(self.steps) >= ENTRIES_MAX:
            self.cut = True
            return
        self.steps.append(Watched(unit.name, statement.line, run.gas, self._changed(unit.name, statement.line, frame)))

    def _changed(self, contract: str, line: int, frame: Frame) -> tuple[tuple[str, str], ...]:
        if contract not in self._names:
            self._names[contract] = slot_names(self._codes[contract], self._codes)
        changed = []
        for slot, (local, kind) in _routine_slots(self._names[contract], line).items():
            if slot < len(frame) and frame[slot] is not None:
                shown = self._notations[contract].value(kind, frame[slot])
                if self._seen.get(slot) != local + shown:
                    self._seen[slot] = local + shown
                    changed.append((local, shown))
        return tuple(changed)


def coverage(source: bytes, used: Sequence[tuple[str, bytes]], currencies: CurrencyTable) -> tuple[TestReport, Reached]:
    """Run all tests of a contract; return their report, and the lines, refusals and branches none reached."""
    codes, name, tests = load_all(source, used, currencies)
    ran: dict[int, int] = {}

    def watch(unit: Unit, statement: ir.Statement, _: Frame) -> None:
        if unit.name == name:
            ran[statement.line] = ran.get(statement.line, 0) + 1

    refused: dict[int, bool] = {}
    report = run_loaded(codes, name, tests, link(codes, watch), lambda abort: _note(refused, name, abort))
    return report, _reached(codes[name], ran, refused)


def _note(refused: dict[int, bool], name: str, abort: Any) -> None:
    if abort.contract == name:
        refused[abort.line] = True


def _reached(code: Code, ran: Mapping[int, int], refused: Mapping[int, bool]) -> Reached:
    rows = code.source.decode("ascii").split("\n")
    lines: dict[int, bool] = {}
    missed: list[Missed] = []
    branches: list[bool] = []

    def text(line: int) -> str:
        return rows[line - 1].strip(" ")

    def refusal(line: int) -> None:
        branches.append(line in refused)
        if line not in refused:
            missed.append(Missed("refusal", line, text(line)))

    def walk(block: ir.Block) -> None:
        for item in block:
            if isinstance(item, ir.Charge):
                continue
            lines[item.line] = item.line in ran
            if item.line not in ran:
                missed.append(Missed("line", item.line, text(item.line)))
            match item:
                case ir.Require() if item.line in ran:
                    refusal(item.line)
                case ir.If():
                    taken = 0
                    for branch in item.branches:
                        walk(branch.body)
                        first = next(one.line for one in branch.body if not isinstance(one, ir.Charge))
                        branches.append(first in ran)
                        taken += ran.get(first, 0)
                    walk(item.otherwise)
                    passed = bool(item.otherwise) or ran.get(item.line, 0) > taken
                    branches.append(passed)
                    if item.line in ran and not passed:
                        missed.append(Missed("branch", item.line, text(item.line)))
                case ir.For() | ir.Loop():
                    walk(item.body)

    for routine in code.module.routines:
        walk(routine.body)
        if isinstance(routine, ir.Assured):
            for ensure in routine.ensures:
                refusal(ensure.line)
    if isinstance(code.module, ir.Extended):
        for schedule in code.module.schedules:
            walk(schedule.body)
    missed.sort(key=lambda item: (item.line, item.kind))
    done = (sum(lines.values()), len(lines))
    return Reached(code.name, done, (sum(branches), len(branches)), tuple(missed))


Slots = Mapping[int, tuple[str, Any]]
"""Slot -> (name, type) of one routine."""


def slot_names(code: Code, codes: Mapping[str, Code]) -> list[tuple[int, Slots]]:
    """Return (first line, names of its slots) of every routine and schedule, by line."""
    interfaces = {name: other.interface for name, other in codes.items() if name != code.name}
    declarations = resolve(code.tree, interfaces, code.currencies)
    check(declarations, None if code.replaced is None else older_of(code.replaced))
    found = [(head.tree.line, dict(head.names)) for head in declarations.heads.values()]
    found += [(item.line, {}) for item in code.tree.schedules]
    return sorted(found, key=lambda item: item[0])


def _routine_slots(names: Sequence[tuple[int, Slots]], line: int) -> Slots:
    chosen: Slots = {}
    for first, slots in names:
        if first <= line:
            chosen = slots
    return chosen
