"""Typed IR to closures: the only thing that runs a program (contracts section 2).

Door: `build(module, interface, currencies, outside) -> Machine`. A statement closure answers True when its routine has
returned. A block pays its charges and runs its statements; everything that can end the run raises `Aborted`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from contracts import ir
from contracts.errors import Aborted
from contracts.gas import (
    EMIT_BYTES,
    INDEX_ENTRY,
    INVARIANT,
    QUESTION,
    QUESTIONS_PER_DEMAND,
    READ,
    SCAN_KEY,
    WRITE_BYTES,
)
from contracts.interface import Interface
from contracts.keys import ENTRY
from contracts.machine import Frame, Run, Step, Touched, Unit, Value
from contracts.shapes import Callee, Shapes, reader
from contracts.values import after_prefix
from ledger.codec import encode
from ledger.money import CurrencyTable
from ledger.receipt import ContractEvent

Write = Callable[[Run, bytes, Any, Any], None]
"""(run, state key, row before or None, row after or None)"""


class Machine:
    """One contract ready to run. `callees` stand beside the routines of its module."""

    def __init__(self, unit: Unit, callees: Sequence[Callee], shapes: Shapes) -> None:
        self.unit = unit
        self.callees = callees
        self.shapes = shapes
        self.places = {routine.name: at for at, routine in enumerate(unit.module.routines)}
        self.checks: dict[int, list[Callable[[Run, Touched], None]]] = {}
        """Tests of one written row, by table (L49)."""
        self.sums: list[Callable[[Run, Sequence[Touched]], None]] = []


def build(
    module: ir.Module,
    interface: Interface,
    currencies: CurrencyTable,
    outside: Mapping[tuple[str, str], Callee],
) -> Machine:
    """Return the machine of one contract; the routines of the contracts it uses are in `outside`."""
    unit = Unit(module, interface, currencies)
    callees = [Callee(len(routine.params), routine.slots) for routine in module.routines]
    shapes = Shapes(unit, callees, dict(outside))
    statements = StatementClosures(shapes)
    for routine, callee in zip(module.routines, callees, strict=True):
        callee.enter = statements.routine(routine)
    machine = Machine(unit, callees, shapes)
    for item in module.invariants:
        if isinstance(item, ir.EachInvariant):
            machine.checks.setdefault(item.table, []).append(statements.each(item))
        else:
            machine.sums.append(statements.total(item))
    return machine


def settle_invariants(machines: Mapping[str, Machine], run: Run) -> None:
    """Test what the run wrote: contracts by name, tables as declared, rows by key (L49-L51)."""
    by_contract: dict[str, list[tuple[int, bytes, Touched]]] = {}
    for key, touched in run.touched.items():
        by_contract.setdefault(touched.unit.name, []).append((touched.table, key, touched))
    for name in sorted(by_contract):
        machine = machines[name]
        rows = sorted(by_contract[name], key=lambda item: item[:2])
        for table, _, touched in rows:
            for test in machine.checks.get(table, ()):
                test(run, touched)
        every = [touched for _, _, touched in rows]
        for total in machine.sums:
            total(run, every)


class StatementClosures:
    """Builds the closures of statements."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self.unit = shapes.unit
        self.value = shapes.value

    # -- routines

    def routine(self, routine: ir.Routine) -> Callable[[Frame], None]:
        body = self.block(routine.body)
        if not routine.demands:
            return body
        authorise = self.authority(routine)

        def enter(f: Frame) -> None:
            authorise(f)
            body(f)

        return enter

    def authority(self, routine: ir.Routine) -> Step:
        """Return the test of a `by` clause: parties first, then signers to demands, first fit (L42, H7)."""
        unit, charge, line = self.unit, routine.charge, routine.line
        demands = [
            (
                item.role,
                None if item.party is None else self.value(item.party),
                None if item.apart is None else self.value(item.apart),
            )
            for item in routine.demands
        ]
        questions = QUESTIONS_PER_DEMAND * len(demands)

        def authorise(f: Frame) -> None:
            run: Run = f[0]
            run.gas -= charge
            if run.gas < 0:
                raise unit.spent(run, line)
            asked = [
                (role, None if party is None else party(f), () if apart is None else (apart(f),))
                for role, party, apart in demands
            ]
            _assign(unit, run, line, asked, questions)

        return authorise

    # -- blocks

    def block(self, block: ir.Block) -> Step:
        runs: list[Step] = []
        charge: ir.Charge | None = None
        steps: list[ir.Statement] = []
        for statement in block:
            if isinstance(statement, ir.Charge):
                if steps or charge is not None:
                    runs.append(self._run(charge, steps))
                charge, steps = statement, []
            else:
                steps.append(statement)
        if steps or charge is not None:
            runs.append(self._run(charge, steps))
        if len(runs) == 1:
            return runs[0]
        if len(runs) == 2:
            first, second = runs
            return lambda f: first(f) or second(f)

        def many(f: Frame) -> Any:
            for one in runs:
                if one(f):
                    return True
            return None

        return many

    def _run(self, charge: ir.Charge | None, statements: Sequence[ir.Statement]) -> Step:
        """Return one run: its charge, its straight statements, and the `if`, `for` or `return` it ends with."""
        units, line = (0, 0) if charge is None else (charge.units, charge.line)
        unit = self.unit
        ending: Step | None = None
        straight = list(statements)
        if straight and isinstance(straight[-1], ir.If | ir.For | ir.Return):
            ending = self.statement(straight.pop())
        steps = [self.statement(item) for item in straight if not isinstance(item, ir.Pass)]

        def run_block(f: Frame) -> Any:
            run: Run = f[0]
            run.gas -= units
            if run.gas < 0:
                raise unit.spent(run, line)
            for step in steps:
                step(f)
            return None if ending is None else ending(f)

        return run_block

    def statement(self, item: ir.Statement) -> Step:
        match item:
            case ir.Assign():
                return self._assign(item)
            case ir.Perform():
                return self.value(item.value)
            case ir.Insert():
                return self._insert(item)
            case ir.Update():
                return self._update(item)
            case ir.Delete():
                return self._delete(item)
            case ir.If():
                return self._if(item)
            case ir.For():
                return self._for(item)
            case ir.Return():
                return self._return(item)
            case ir.Require():
                return self._require(item)
            case ir.Emit():
                return self._emit(item)
            case _:
                return lambda _: None

    def _assign(self, item: ir.Assign) -> Step:
        slot, value = item.slot, self.value(item.value)

        def assign(f: Frame) -> None:
            f[slot] = value(f)

        return assign

    def _return(self, item: ir.Return) -> Step:
        if item.value is None:
            return lambda _: True
        value = self.value(item.value)

        def return_(f: Frame) -> bool:
            f[1] = value(f)
            return True

        return return_

    def _require(self, item: ir.Require) -> Step:
        condition, text = self.value(item.condition), self.value(item.text)
        unit, line, reason, charge = self.unit, item.line, item.reason, item.charge

        def require(f: Frame) -> None:
            if condition(f):
                return
            run: Run = f[0]
            run.gas -= charge
            if run.gas < 0:
                raise unit.spent(run, line)
            raise unit.abort("require_failed", line, text(f), reason)

        return require

    def _if(self, item: ir.If) -> Step:
        otherwise = self.block(item.otherwise) if item.otherwise else None
        first = item.branches[0]
        condition, body = self.value(first.condition), self.block(first.body)
        if len(item.branches) == 1:
            if otherwise is None:
                return lambda f: body(f) if condition(f) else None
            rest = otherwise
            return lambda f: body(f) if condition(f) else rest(f)
        others = [
            (branch.charge, branch.line, self.value(branch.condition), self.block(branch.body))
            for branch in item.branches[1:]
        ]
        unit = self.unit

        def if_(f: Frame) -> Any:
            if condition(f):
                return body(f)
            run: Run = f[0]
            for charge, line, test, block in others:
                run.gas -= charge
                if run.gas < 0:
                    raise unit.spent(run, line)
                if test(f):
                    return block(f)
            return None if otherwise is None else otherwise(f)

        return if_

    # -- tables

    def _writer(self, table: int, line: int) -> Write:
        """Return the function that writes or removes one row: pays, counts, keeps its index entries (H6)."""
        unit, shape = self.unit, self.unit.formats[table]
        indexes = shape.index_keys
        watched = table in unit.watched

        def write(run: Run, key: bytes, before: Any, now: Any) -> None:
            data = b"" if now is None else encode(now)
            size = len(key) + len(data)
            units = len(data) // WRITE_BYTES
            gone: list[bytes] = []
            new: list[bytes] = []
            for make in indexes:
                old_entry = None if before is None else make(before)
                new_entry = None if now is None else make(now)
                if old_entry == new_entry:
                    continue
                if old_entry is not None:
                    gone.append(old_entry)
                if new_entry is not None:
                    new.append(new_entry)
            for entry in gone:
                size += len(entry)
            for entry in new:
                size += len(entry)
            run.gas -= units + INDEX_ENTRY * (len(gone) + len(new))
            run.rows_left -= 1
            run.row_bytes_left -= size
            if run.gas < 0 or run.rows_left < 0 or run.row_bytes_left < 0:
                raise unit.spent(run, line)
            host = run.host
            if now is None:
                host.delete(key)
            else:
                host.put(key, data)
            for entry in gone:
                host.delete(entry)
            for entry in new:
                host.put(entry, ENTRY)
            if watched:
                touched = run.touched.get(key)
                if touched is None:
                    run.touched[key] = Touched(unit, table, before, now)
                else:
                    touched.now = now

        return write

    def _insert(self, item: ir.Insert) -> Step:
        shape = self.unit.formats[item.table]
        filling = self.shapes.fill([(at + 1, value) for at, value in item.values])
        blank, slots, rest = filling.template(shape.size), filling.slots, filling.rest
        blank[0] = ir.LAYOUT
        write, read = self._writer(item.table, item.line), reader(self.unit, item.table, item.line)
        row_key, unit, line, replace = shape.row_key, self.unit, item.line, item.replace
        name = self.unit.module.tables[item.table].name
        compares = bool(shape.index_keys) or item.table in unit.watched

        def insert(f: Frame) -> None:
            row = blank.copy()
            for at, slot in slots:
                row[at] = f[slot]
            for at, value in rest:
                row[at] = value(f)
            run: Run = f[0]
            key = row_key(row)
            before = None
            if not replace:
                if run.host.get(key) is not None:
                    raise unit.abort("row_exists", line, f"there is such a row in {name} already")
            elif compares:
                before = read(run, key)
            write(run, key, before, row)

        return insert

    def _update(self, item: ir.Update) -> Step:
        key_of = self.shapes.key(item.table, item.keys)
        sets = [(at + 1, self.value(value)) for at, value in item.sets]
        write, read = self._writer(item.table, item.line), reader(self.unit, item.table, item.line)
        unit, line = self.unit, item.line
        name = self.unit.module.tables[item.table].name

        def update(f: Frame) -> None:
            key = key_of(f)
            values = [(at, value(f)) for at, value in sets]
            run: Run = f[0]
            before = read(run, key)
            if before is None:
                raise unit.abort("missing_row", line, f"there is no such row in {name}")
            row = list(before)
            for at, value in values:
                row[at] = value
            write(run, key, before, row)

        return update

    def _delete(self, item: ir.Delete) -> Step:
        key_of = self.shapes.key(item.table, item.keys)
        write, read = self._writer(item.table, item.line), reader(self.unit, item.table, item.line)
        unit, line = self.unit, item.line
        name = self.unit.module.tables[item.table].name

        def delete(f: Frame) -> None:
            run: Run = f[0]
            key = key_of(f)
            before = read(run, key)
            if before is None:
                raise unit.abort("missing_row", line, f"there is no such row in {name}")
            write(run, key, before, None)

        return delete

    def _for(self, item: ir.For) -> Step:
        scan, slot, line, unit = item.scan, item.slot, item.line, self.unit
        shape = unit.formats[scan.table]
        span = self._span(scan)
        read, body = reader(unit, scan.table, line), self.block(item.body)
        keep = None if scan.filter is None else self.value(scan.filter)
        row_charge = READ + scan.filter_charge
        limited, bound = scan.mode == "limit", scan.bound
        wanted = bound + 1 if limited else bound
        name = unit.module.tables[scan.table].name

        def loop(f: Frame) -> Any:
            run: Run = f[0]
            low, high = span(f)
            keys = run.host.scan(low, high, wanted) if low < high else []
            run.gas -= SCAN_KEY * len(keys)
            if run.gas < 0:
                raise unit.spent(run, line)
            if limited and len(keys) > bound:
                raise unit.abort("limit_exceeded", line, f"more than {bound} rows of {name} are in the range")
            for key in keys:
                run.gas -= row_charge
                if run.gas < 0:
                    raise unit.spent(run, line)
                row = read(run, key if scan.index < 0 else shape.row_key_of_entry(scan.index, key))
                if row is None:
                    continue
                f[slot] = row
                if keep is not None and not keep(f):
                    continue
                if body(f):
                    return True
            return None

        return loop

    def _span(self, scan: ir.Scan) -> Callable[[Frame], tuple[bytes, bytes]]:
        """Return the function that gives [low, high) of a scan; what it needs is evaluated once, as written."""
        shape = self.unit.formats[scan.table]
        prefix = shape.prefix if scan.index < 0 else shape.index_prefixes[scan.index]
        columns = tuple(range(shape.keys)) if scan.index < 0 else shape.index_columns[scan.index]
        starts: list[Value] = [self.value(start) for start in scan.starts]
        equal = [(shape.field_parts[column], at) for column, at in zip(columns, scan.equal, strict=False)]
        if not scan.low and not scan.high:
            if not starts:
                whole = (prefix, after_prefix(prefix))
                return lambda _: whole

            def exact(f: Frame) -> tuple[bytes, bytes]:
                values = [start(f) for start in starts]
                low = prefix + b"".join([part(values[at]) for part, at in equal])
                return low, after_prefix(low)

            return exact
        next_part = shape.field_parts[columns[len(equal)]]
        low_bound, high_bound = scan.low, scan.high

        def ranged(f: Frame) -> tuple[bytes, bytes]:
            values = [start(f) for start in starts]
            base = prefix + b"".join([part(values[at]) for part, at in equal])
            low, high = base, after_prefix(base)
            if low_bound:
                low = base + next_part(values[low_bound[1]])
                if not low_bound[0]:
                    low = after_prefix(low)
            if high_bound:
                high = base + next_part(values[high_bound[1]])
                if high_bound[0]:
                    high = after_prefix(high)
            return low, high

        return ranged

    def _emit(self, item: ir.Emit) -> Step:
        unit, line = self.unit, item.line
        decl = unit.module.events[item.event]
        filling = self.shapes.fill(item.values)
        blank, slots, rest = filling.template(len(decl.fields)), filling.slots, filling.rest
        contract, name = unit.name, decl.name

        def emit(f: Frame) -> None:
            fields = blank.copy()
            for at, slot in slots:
                fields[at] = f[slot]
            for at, value in rest:
                fields[at] = value(f)
            run: Run = f[0]
            size = len(encode(fields))
            run.gas -= size // EMIT_BYTES
            run.events_left -= 1
            run.event_bytes_left -= size
            if run.gas < 0 or run.events_left < 0 or run.event_bytes_left < 0:
                raise unit.spent(run, line)
            run.events.append(ContractEvent(contract, name, tuple(fields)))

        return emit

    # -- invariants

    def each(self, item: ir.EachInvariant) -> Callable[[Run, Touched], None]:
        condition, unit, line, charge = self.value(item.condition), self.unit, item.line, item.charge
        name = unit.module.tables[item.table].name

        def test(run: Run, touched: Touched) -> None:
            run.gas -= charge
            if run.gas < 0:
                raise unit.spent(run, line)
            if touched.now is not None and not condition([run, None, touched.now]):
                raise unit.abort("invariant_failed", line, f"a row of {name} breaks this invariant", name)

        return test

    def total(self, item: ir.SumInvariant) -> Callable[[Run, Sequence[Touched]], None]:
        unit, line, money = self.unit, item.line, item.money
        terms: dict[int, list[tuple[int, int]]] = {}
        for sign, table, at in item.terms:
            terms.setdefault(table, []).append((sign, at + 1))
        name = unit.module.tables[item.terms[0][1]].name

        def test(run: Run, rows: Sequence[Touched]) -> None:
            change: dict[str, int] = {}
            for touched in rows:
                mine = terms.get(touched.table)
                if mine is None:
                    continue
                run.gas -= INVARIANT
                if run.gas < 0:
                    raise unit.spent(run, line)
                for sign, at in mine:
                    for factor, row in ((sign, touched.now), (-sign, touched.before)):
                        if row is not None:
                            code, amount = row[at] if money else ("", row[at])
                            change[code] = change.get(code, 0) + factor * amount
            if any(change.values()):
                raise unit.abort("invariant_failed", line, "the sum changes, and it must not", name)

        return test


def _assign(
    unit: Unit, run: Run, line: int, asked: Sequence[tuple[str, str | None, tuple[str, ...]]], questions: int
) -> None:
    """Give every demand a signer of its own, in order, with backtracking; abort `not_authorised` otherwise (H7)."""
    host = run.host
    signers = host.signers
    refusal = "deny.missing"
    missing = asked[0]
    chosen: list[int] = []
    candidate = 0
    while len(chosen) < len(asked):
        role, company, apart = asked[len(chosen)]
        accepted = False
        while candidate < len(signers):
            if candidate not in chosen:
                if questions == 0:
                    break
                questions -= 1
                run.gas -= QUESTION
                if run.gas < 0:
                    raise unit.spent(run, line)
                others = apart + tuple(signers[at].user for at in chosen)
                answer = host.decide(candidate, role, company, others)
                if answer.startswith("ok"):
                    accepted = True
                    break
                refusal, missing = answer, asked[len(chosen)]
            candidate += 1
        if accepted:
            chosen.append(candidate)
            candidate = 0
        elif not chosen or questions == 0:
            raise _not_authorised(unit, line, refusal, missing)
        else:
            candidate = chosen.pop() + 1


def _not_authorised(unit: Unit, line: int, code: str, missing: tuple[str, str | None, tuple[str, ...]]) -> Aborted:
    role, company, _ = missing
    text = f"nobody who signs holds role {role}" + ("" if company is None else f" of {company}")
    return unit.abort("not_authorised", line, text, code)
