"""Typed IR to closures: the only thing that runs a program (contracts section 2).

Door: `build(module, interface, currencies, outside) -> Machine`. A statement closure answers True when its routine has
returned. A block pays its charges and runs its statements; everything that can end the run raises `Aborted`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from contracts import ir
from contracts.containers import entry_part, pay_for_key
from contracts.errors import Aborted
from contracts.gas import (
    EMIT_BYTES,
    INDEX_ENTRY,
    INVARIANT,
    LOOP_TURN,
    QUESTION,
    QUESTIONS_PER_DEMAND,
    READ,
    READ_BYTES,
    SCAN_KEY,
    WRITE_BYTES,
    map_turns,
)
from contracts.interface import Interface
from contracts.keys import ENTRY, Lift
from contracts.machine import Frame, Run, Step, Touched, Unit, Value
from contracts.schedules import Entry, armed_day, field_day
from contracts.shapes import Callee, Shapes, reader
from contracts.types import ELEMENT_BYTES
from contracts.values import after_prefix
from ledger.codec import encode
from ledger.money import CurrencyTable
from ledger.receipt import ContractEvent

Write = Callable[[Run, bytes, Any, Any], None]
"""(run, state key, row before or None, row after or None)"""


class Part(NamedTuple):
    """A straight statement in its run: `slot` takes the value, unless 0; `fail` runs when the value is false."""

    slot: int
    value: Value
    fail: Step | None


Watch = Callable[[Unit, ir.Statement, Frame], None]
"""Called before a statement runs, in tools only."""


class Machine:
    """One contract ready to run. `callees` stand beside the routines of its module."""

    def __init__(self, unit: Unit, callees: Sequence[Callee], shapes: Shapes) -> None:
        self.unit = unit
        self.callees = callees
        self.shapes = shapes
        self.places = {routine.name: at for at, routine in enumerate(unit.module.routines)}
        self.checks: dict[int, list[Callable[[Run, Touched], None]]] = {}
        """Tests of one written row, by table (L49)."""
        self.sums: list[tuple[frozenset[int], Callable[[Run, Sequence[Touched]], None]]] = []
        """Tests of all written rows, and the tables that each speaks of."""
        self.schedules: dict[str, tuple[ir.Schedule, Callable[[Frame], None]]] = {}


def build(
    module: ir.Module,
    interface: Interface,
    currencies: CurrencyTable,
    outside: Mapping[tuple[str, str], Callee],
    watch: Watch | None = None,
) -> Machine:
    """Return the machine of one contract; the routines of the contracts it uses are in `outside`."""
    unit = Unit(module, interface, currencies)
    callees = [Callee(len(routine.params), routine.slots) for routine in module.routines]
    shapes = Shapes(unit, callees, dict(outside))
    statements = StatementClosures(shapes) if watch is None else WatchedClosures(shapes, watch)
    for routine, callee in zip(module.routines, callees, strict=True):
        callee.enter = statements.routine(routine)
    machine = Machine(unit, callees, shapes)
    for item in module.invariants:
        if isinstance(item, ir.EachInvariant):
            machine.checks.setdefault(item.table, []).append(statements.each(item))
        else:
            machine.sums.append((frozenset(table for _, table, _ in item.terms), statements.total(item)))
    if isinstance(module, ir.Extended):
        machine.schedules = {item.name: (item, statements.schedule(item)) for item in module.schedules}
    return machine


def settle_invariants(machines: Mapping[str, Machine], run: Run) -> None:
    """Test what the run wrote: contracts by name, tables as declared, rows by key (L49-L51)."""
    written = run.touched
    if len(written) == 1:
        for touched in written.values():
            machine = machines[touched.unit.name]
            for test in machine.checks.get(touched.table, ()):
                test(run, touched)
            for tables, total in machine.sums:
                if touched.table in tables:
                    total(run, (touched,))
        return
    by_contract: dict[str, list[tuple[int, bytes, Touched]]] = {}
    for key, touched in written.items():
        by_contract.setdefault(touched.unit.name, []).append((touched.table, key, touched))
    for name in sorted(by_contract):
        machine = machines[name]
        rows = sorted(by_contract[name])  # no two have one key, so rows themselves are never compared
        for table, _, touched in rows:
            for test in machine.checks.get(table, ()):
                test(run, touched)
        every = [touched for _, _, touched in rows]
        written_tables = {table: True for table, _, _ in rows}
        for tables, total in machine.sums:
            if not tables.isdisjoint(written_tables):
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
        if isinstance(routine, ir.Assured):
            body = self.assured(routine, body)
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

    def assured(self, routine: ir.Assured, body: Step) -> Step:
        """Return the body with what it keeps before and what is tested when it ends, also by `return` (L48)."""
        unit, charge, line = self.unit, routine.old_charge, routine.line
        olds = [(slot, self.value(value)) for slot, value in routine.olds]
        ensures = [
            (item.line, item.charge, self.value(item.condition), item.reason, item.text_charge, self.value(item.text))
            for item in routine.ensures
        ]

        def run_assured(f: Frame) -> None:
            run: Run = f[0]
            run.gas -= charge
            if run.gas < 0:
                raise unit.spent(run, line)
            for slot, value in olds:
                f[slot] = value(f)
            body(f)
            for at, units, condition, reason, text_units, text in ensures:
                run.gas -= units
                if run.gas < 0:
                    raise unit.spent(run, at)
                if not condition(f):
                    run.gas -= text_units
                    if run.gas < 0:
                        raise unit.spent(run, at)
                    raise unit.abort("ensure_failed", at, text(f), reason)

        return run_assured

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
        result: Value | None = None
        straight = list(statements)
        if straight and isinstance(straight[-1], ir.If | ir.For | ir.Loop | ir.Return):
            last = straight.pop()
            result = self.result(last)
            if result is None:
                ending = self.statement(last)
        steps = [self.part(item) for item in straight if not isinstance(item, ir.Pass)]
        if result is not None:
            return self._run_with_result(units, line, steps, result)
        if not steps and ending is not None:
            end = ending

            def run_ending(f: Frame) -> Any:
                run: Run = f[0]
                run.gas -= units
                if run.gas < 0:
                    raise unit.spent(run, line)
                return end(f)

            return run_ending
        if len(steps) == 1 and ending is None and steps[0].slot == 0 and steps[0].fail is None:
            only = steps[0].value

            def run_one(f: Frame) -> None:
                run: Run = f[0]
                run.gas -= units
                if run.gas < 0:
                    raise unit.spent(run, line)
                only(f)

            return run_one

        def run_block(f: Frame) -> Any:
            run: Run = f[0]
            run.gas -= units
            if run.gas < 0:
                raise unit.spent(run, line)
            for slot, value, fail in steps:
                if slot:
                    f[slot] = value(f)
                elif fail is None:
                    value(f)
                elif not value(f):
                    fail(f)
            return None if ending is None else ending(f)

        return run_block

    def _run_with_result(self, units: int, line: int, steps: Sequence[Part], result: Value) -> Step:
        """Return a run that ends with `return` and a value; the usual query has nothing else."""
        unit = self.unit
        if not steps:

            def run_result(f: Frame) -> bool:
                run: Run = f[0]
                run.gas -= units
                if run.gas < 0:
                    raise unit.spent(run, line)
                f[1] = result(f)
                return True

            return run_result

        def run_block(f: Frame) -> bool:
            run: Run = f[0]
            run.gas -= units
            if run.gas < 0:
                raise unit.spent(run, line)
            for slot, value, fail in steps:
                if slot:
                    f[slot] = value(f)
                elif fail is None:
                    value(f)
                elif not value(f):
                    fail(f)
            f[1] = result(f)
            return True

        return run_block

    def part(self, item: ir.Statement) -> Part:
        """Return a straight statement as its run carries it out: assignments and tests without a call of their own."""
        match item:
            case ir.Assign():
                return Part(item.slot, self.value(item.value), None)
            case ir.Require():
                return Part(0, self.value(item.condition), self._refusal(item))
            case _:
                return Part(0, self.statement(item), None)

    def result(self, last: ir.Statement, /) -> Value | None:
        """Return the value of a `return` that its run carries out itself."""
        return self.value(last.value) if isinstance(last, ir.Return) and last.value is not None else None

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
            case ir.SetElement():
                return self._set_entry(item) if item.kind.kind == "map" else self._set_element(item)
            case ir.Append():
                return self._append(item)
            case ir.Remove():
                return self._remove(item)
            case ir.Loop():
                return self._loop(item)
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
        condition, refuse = self.value(item.condition), self._refusal(item)
        return lambda f: None if condition(f) else refuse(f)

    def _refusal(self, item: ir.Require) -> Step:
        """Return what ends the call when the condition of a `require` does not hold."""
        text, unit, line, reason, charge = self.value(item.text), self.unit, item.line, item.reason, item.charge

        def refuse(f: Frame) -> None:
            run: Run = f[0]
            run.gas -= charge
            if run.gas < 0:
                raise unit.spent(run, line)
            raise unit.abort("require_failed", line, text(f), reason)

        return refuse

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

    # -- lists and maps

    def _set_element(self, item: ir.SetElement) -> Step:
        slot, key, value, unit, line = item.slot, self.value(item.key), self.value(item.value), self.unit, item.line

        def set_element(f: Frame) -> None:
            new, at, found = value(f), key(f), f[slot]
            if not 0 <= at < len(found):
                raise unit.abort("index_range", line, f"there is no place {at} in a list of {len(found)}")
            found[at] = new

        return set_element

    def _set_entry(self, item: ir.SetElement) -> Step:
        slot, key, value, unit, line = item.slot, self.value(item.key), self.value(item.value), self.unit, item.line
        part, size = entry_part(unit, item.kind), item.kind.size

        def set_entry(f: Frame) -> None:
            new, name, found = value(f), key(f), f[slot]
            run: Run = f[0]
            place = part(name)
            pay_for_key(unit, run, line, place)
            if place not in found:
                if len(found) >= size:
                    raise unit.abort("map_full", line, f"the map holds {size} entries already")
                run.memory -= 48
                if run.memory < 0:
                    raise unit.spent(run, line)
            found[place] = (name, new)

        return set_entry

    def _append(self, item: ir.Append) -> Step:
        slot, size, value, unit, line = item.slot, item.size, self.value(item.value), self.unit, item.line

        def append(f: Frame) -> None:
            new, found = value(f), f[slot]
            if len(found) >= size:
                raise unit.abort("list_full", line, f"the list holds {size} values already")
            run: Run = f[0]
            run.memory -= ELEMENT_BYTES
            if run.memory < 0:
                raise unit.spent(run, line)
            found.append(new)

        return append

    def _remove(self, item: ir.Remove) -> Step:
        slot, key, unit, line = item.slot, self.value(item.key), self.unit, item.line
        part = entry_part(unit, item.kind)

        def remove(f: Frame) -> None:
            place = part(key(f))
            pay_for_key(unit, f[0], line, place)
            if f[slot].pop(place, None) is None:
                raise unit.abort("missing_key", line, "the map has no such key")

        return remove

    def _loop(self, item: ir.Loop) -> Step:
        """Return a loop over what is fixed when it begins: a list, the entries of a map by key, 0 .. n - 1 (L33)."""
        source, body, unit, line = self.value(item.source), self.block(item.body), self.unit, item.line
        slot, second, bound, kind = item.slot, item.second, item.bound, item.kind.kind

        def pay(run: Run, units: int) -> None:
            run.gas -= units
            if run.gas < 0:
                raise unit.spent(run, line)

        if kind == "map":

            def over_map(f: Frame) -> Any:
                found = source(f)
                pay(f[0], map_turns(len(found)))
                for place in sorted(found):
                    f[slot], f[second] = found[place]
                    if body(f):
                        return True
                return None

            return over_map

        def over_list(f: Frame) -> Any:
            found = source(f)
            if kind == "int":
                if found > bound:
                    raise unit.abort("limit_exceeded", line, f"the range has {found} turns, the limit is {bound}")
                found = range(found)
            pay(f[0], LOOP_TURN * len(found))
            for value in found:
                f[slot] = value
                if body(f):
                    return True
            return None

        return over_list

    # -- tables

    def _writer(self, table: int, line: int, fields: Sequence[int] | None = None) -> Write:
        """Return the function that writes or removes one row: pays, counts, keeps its index entries (H6).

        `fields` are those that can differ from the row before; entries that have none of them stay as they are.
        """
        unit, shape = self.unit, self.unit.formats[table]
        indexes = tuple(
            make
            for make, columns in zip(shape.index_keys, shape.index_columns, strict=True)
            if fields is None or any(at in columns for at in fields)
        )
        fixed, kept = shape.read_memory, not shape.measures
        watched = table in unit.watched
        armed = [(item.name, item.field + 1, item.days) for item in unit.armed.get(table, ())]
        key_from = len(shape.prefix)

        def follow(run: Run, key: bytes, before: Any, now: Any) -> None:
            """Arm, move or remove the entries of the schedules that follow a date of the row (L53)."""
            earliest = run.host.day + 1 if run.scheduled else 0
            for name, at, days in armed:
                old, new = field_day(before, at), field_day(now, at)
                if before is not None and now is not None and old == new:
                    continue
                entry, day = Entry(unit.name, name, key[key_from:]), armed_day(new, days, earliest)
                changed = entry.remove(run.host) if day is None else entry.arm(run.host, day)
                run.gas -= INDEX_ENTRY * changed
                run.row_bytes_left -= changed * len(entry.name)
                if run.gas < 0 or run.row_bytes_left < 0:
                    raise unit.spent(run, line)

        def entries(before: Any, now: Any) -> tuple[list[bytes], list[bytes]]:
            """Return the index entries that go and those that come."""
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
            return gone, new

        def write(run: Run, key: bytes, before: Any, now: Any) -> None:
            data = b"" if now is None else encode(now)
            length = len(data)
            size = len(key) + length
            units = length // WRITE_BYTES
            gone, new = entries(before, now) if indexes else ((), ())
            for entry in gone:
                size += len(entry)
                units += INDEX_ENTRY
            for entry in new:
                size += len(entry)
                units += INDEX_ENTRY
            run.gas -= units
            run.rows_left -= 1
            run.row_bytes_left -= size
            if run.gas < 0 or run.rows_left < 0 or run.row_bytes_left < 0:
                raise unit.spent(run, line)
            host = run.host
            if now is None:
                host.delete(key)
                run.rows.pop(key, None)
            else:
                host.put(key, data)
                if kept:
                    run.rows[key] = (now, length // READ_BYTES, fixed + 4 * length)
                else:  # a list or record as it was built is not the one that decoding makes
                    run.rows.pop(key, None)
            for entry in gone:
                host.delete(entry)
            for entry in new:
                host.put(entry, ENTRY)
            if armed:
                follow(run, key, before, now)
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
        blank, slots, fields, rest = filling.template(shape.size), *filling[1:]
        blank[0] = shape.layout
        write, read = self._writer(item.table, item.line), reader(self.unit, item.table, item.line)
        row_key, unit, line, replace = shape.row_key, self.unit, item.line, item.replace
        name = self.unit.module.tables[item.table].name
        # an older row is lifted by `put` whatever the table has besides: what a call means never depends on an index
        compares = bool(shape.index_keys or shape.older) or item.table in unit.watched or item.table in unit.armed

        def insert(f: Frame) -> None:
            row = blank.copy()
            for at, slot in slots:
                row[at] = f[slot]
            for at, slot, field in fields:
                row[at] = f[slot][field]
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
        filling = self.shapes.fill([(at + 1, value) for at, value in item.sets])
        consts, slots, fields, rest = filling
        write = self._writer(item.table, item.line, [at for at, _ in item.sets])
        read = reader(self.unit, item.table, item.line)
        unit, line = self.unit, item.line
        name = self.unit.module.tables[item.table].name

        def update(f: Frame) -> None:
            key = key_of(f)
            values = [(at, value(f)) for at, value in rest] if rest else ()
            run: Run = f[0]
            before = read(run, key)
            if before is None:
                raise unit.abort("missing_row", line, f"there is no such row in {name}")
            row = list(before)
            for at, constant in consts:
                row[at] = constant
            for at, slot in slots:
                row[at] = f[slot]
            for at, slot, field in fields:
                row[at] = f[slot][field]
            for at, found in values:
                row[at] = found
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
        blank, slots, places, rest = filling.template(len(decl.fields)), *filling[1:]
        contract, name = unit.name, decl.name

        def emit(f: Frame) -> None:
            fields = blank.copy()
            for at, slot in slots:
                fields[at] = f[slot]
            for at, slot, place in places:
                fields[at] = f[slot][place]
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

    # -- schedules and upgrades

    def schedule(self, item: ir.Schedule) -> Callable[[Frame], None]:
        """Return the body of a schedule, after its `where` on the row as it now is (L55)."""
        unit, line, charge, body = self.unit, item.line, item.charge, self.block(item.body)
        where = None if item.where is None else self.value(item.where)

        def fire(f: Frame) -> None:
            run: Run = f[0]
            run.gas -= charge
            if run.gas < 0:
                raise unit.spent(run, line)
            if where is None or where(f):
                body(f)

        return fire

    def lift(self, item: ir.Migration) -> Lift:
        """Return what makes a row of the layout before one of this layout (L62)."""
        unit, line, charge, layout = self.unit, item.line, item.charge, item.layout
        values = [self.value(value) for value in item.values]

        def lift(run: Any, row: tuple[Any, ...]) -> tuple[Any, ...]:
            run.gas -= charge
            if run.gas < 0:
                raise unit.spent(run, line)
            frame = [run, None, row]
            return (layout, *[value(frame) for value in values])

        return lift

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
                    before, now = touched.before, touched.now
                    if before is not None and now is not None and before[at] == now[at]:
                        continue
                    for factor, row in ((sign, now), (-sign, before)):
                        if row is not None:
                            code, amount = row[at] if money else ("", row[at])
                            change[code] = change.get(code, 0) + factor * amount
            if change and any(change.values()):
                raise unit.abort("invariant_failed", line, "the sum changes, and it must not", name)

        return test


class WatchedClosures(StatementClosures):
    """The same closures, each with one call before it. Gas and results are those of the plain ones (L65)."""

    def __init__(self, shapes: Shapes, watch: Watch) -> None:
        super().__init__(shapes)
        self.watch = watch

    def statement(self, item: ir.Statement) -> Step:
        step, watch, unit = super().statement(item), self.watch, self.unit

        def watched(f: Frame) -> Any:
            watch(unit, item, f)
            return step(f)

        return watched

    def part(self, item: ir.Statement) -> Part:
        return Part(0, self.statement(item), None)

    def result(self, _: ir.Statement, /) -> Value | None:
        return None

    def _run(self, charge: ir.Charge | None, statements: Sequence[ir.Statement]) -> Step:
        """Keep `pass` too, so that a line with nothing to do counts as reached."""
        quiet = [item for item in statements if isinstance(item, ir.Pass)]
        step, watch, unit = super()._run(charge, statements), self.watch, self.unit
        if not quiet:
            return step

        def watched(f: Frame) -> Any:
            for item in quiet:
                watch(unit, item, f)
            return step(f)

        return watched


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
                others = apart + tuple([signers[at].user for at in chosen]) if chosen else apart
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
