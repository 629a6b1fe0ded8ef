"""Load a source, link the active contracts, run a call (contracts section 17).

Doors: `load`, `link`, `program`, and `Program.execute` for a call by a transaction, `Program.query` for a reader;
`install` and `replace_version` for the contracts after others became active (L59, L61); `Program.due`, `fire` and
`park` for schedules (L53-L55).
Nothing is kept between calls except compiled code (H9). Only an abort becomes an outcome; any other exception leaves
and stops the node (D3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts import ir
from contracts.check import check
from contracts.cost import Cost
from contracts.errors import Aborted, About, LinkError, SourceError
from contracts.gas import ARGUMENT_BYTES, CALL_OUT, READ, Worst
from contracts.host import Call, Host, Outcome
from contracts.interface import EventSchema, Field, Interface, MethodSchema, TableSchema
from contracts.interpreter import Machine, StatementClosures, Watch, build, settle_invariants
from contracts.keys import RowFormat
from contracts.limits import (
    CALL_LEVELS,
    QUERY_GAS,
    TX_ARGUMENT_BYTES,
    TX_EVENT_BYTES,
    TX_EVENTS,
    TX_GAS,
    TX_MEMORY_BYTES,
    TX_ROW_BYTES,
    TX_ROWS,
)
from contracts.lower import lower
from contracts.machine import Run, Touched, Unit
from contracts.resolve import resolve
from contracts.schedules import Entry, due_entries, next_day
from contracts.shapes import Callee, Shapes, reader
from contracts.syntax import tree
from contracts.syntax.parse import parse
from contracts.types import NOTHING, SCALARS, Type, memory_bytes, parts_of
from contracts.upgrade import Older
from contracts.values import WRONG, Measure, Names, Reading, argument_reader, measure
from ledger.codec import encode
from ledger.money import CurrencyTable
from ledger.receipt import Abort


@dataclass(frozen=True)
class Code:
    """One compiled contract: source, tree (for tests), typed IR, and what others may know of it."""

    source: bytes
    tree: tree.Contract
    module: ir.Module
    interface: Interface
    used: Mapping[str, bytes]
    """code_id of each used contract it was compiled against."""
    currencies: CurrencyTable
    older: Mapping[str, tuple[ir.TableDecl, ...]] = field(default_factory=dict)
    """The layouts before the one of today, by table, the first first (L62)."""
    lift_costs: Mapping[str, Cost] = field(default_factory=dict)
    replaced: Code | None = None
    """The version it was compiled to follow, for compiling it again against other versions of what it uses."""

    @property
    def name(self) -> str:
        return self.module.name

    @property
    def version(self) -> int:
        return self.module.version


def load(source: bytes, used: Mapping[str, Interface], currencies: CurrencyTable, replaced: Code | None = None) -> Code:
    """Compile `source` against the interfaces of the contracts it uses; raise `SourceError` at the first error.

    `replaced` is the version that a source with `replaces` continues (L61); a first version takes none.
    """
    file = parse(source)
    if not isinstance(file, tree.Contract):
        raise SourceError("syntax", 1, 1, "this is a file of tests, not a contract")
    declarations = resolve(file, used, currencies)
    before = replaced if file.replaces else None
    module = lower(check(declarations, None if before is None else older_of(before)))
    older = _layouts(module, before)
    costs = _lift_costs(module, declarations.used, before)
    worst = Worst(module, declarations.used, costs)
    interface = _interface(source, file, module, declarations.used, worst, older)
    _check_worst_cases(file, interface, {item.name: worst.entry(at).memory for at, item in enumerate(module.routines)})
    _build_lifts(module, interface, currencies, before)
    uses = {name: item.code_id for name, item in declarations.used.items()}
    return Code(source, file, module, interface, uses, currencies, older, costs, before)


# -- upgrades ------------------------------------------------------------------------------------------------------


def older_of(code: Code) -> Older:
    """Return what the checker must know of a version that is replaced."""
    interface = code.interface
    layouts = {decl.name: len(code.older.get(decl.name, ())) + 1 for decl in code.module.tables}
    tables = {decl.name: decl for decl in code.module.tables}
    return Older(code.version, tables, interface.enums, interface.all_records, layouts)


def _layouts(module: ir.Module, before: Code | None) -> dict[str, tuple[ir.TableDecl, ...]]:
    """Return the older layouts of each table: those the replaced version knew, and its own where fields were added."""
    if before is None or not isinstance(module, ir.Extended):
        return {}
    found = {name: decls for name, decls in before.older.items() if decls}
    for item in module.migrations:
        name = module.tables[item.table].name
        old = next(decl for decl in before.module.tables if decl.name == name)
        found[name] = (*found.get(name, ()), old)
    return found


def _lift_costs(module: ir.Module, used: Mapping[str, Interface], before: Code | None) -> dict[str, Cost]:
    """Return the worst case of lifting a row through all its layouts, by table."""
    if before is None or not isinstance(module, ir.Extended):
        return {}
    found = dict(before.lift_costs)
    plain = Worst(module, used)
    for item in module.migrations:
        name = module.tables[item.table].name
        found[name] = found.get(name, Cost()) + plain.lift(item)
    return found


def _build_lifts(module: ir.Module, interface: Interface, currencies: CurrencyTable, before: Code | None) -> None:
    """Give each table the closures that lift its rows: those of the replaced version, then its own (L62)."""
    if before is None or not isinstance(module, ir.Extended):
        return
    for name, shape in before.interface.formats.items():
        interface.formats[name].lifts = shape.lifts
    closures = StatementClosures(Shapes(Unit(module, interface, currencies), (), {}))
    for item in module.migrations:
        shape = interface.formats[module.tables[item.table].name]
        shape.lifts = (*shape.lifts, closures.lift(item))


def replace_version(codes: Mapping[str, Code], source: bytes) -> dict[str, Code]:
    """Return the active contracts after `source` replaces the version of its name (L59, L61).

    Raises what `install` raises, and `SourceError` when there is nothing to replace.
    """
    file = parse(source)
    old = codes.get(file.name) if isinstance(file, tree.Contract) else None
    if not isinstance(file, tree.Contract) or old is None:
        raise SourceError("version", 1, 1, "no active contract has this name, so there is nothing to replace")
    return install(codes, {file.name: source}, old.currencies)


def install(codes: Mapping[str, Code], sources: Mapping[str, bytes], currencies: CurrencyTable) -> dict[str, Code]:
    """Return the active contracts, each after those it uses, once `sources` became active together (L59, L61).

    A source is a new contract or the next version of one. Contracts that use a changed one, directly or through others,
    are compiled again, because they now run against the new version (L44). Raises `SourceError` for a source, with
    `contract` as its name, and `LinkError` naming a contract that no longer fits.
    """
    files: dict[str, tree.Contract] = {}
    uses = {name: tuple(code.used) for name, code in codes.items()}
    for name in sorted(sources):
        files[name] = _continuing(name, sources[name], codes.get(name))
        uses[name] = tuple(use.name for use in files[name].uses)
    found: dict[str, Code] = {}
    changed: list[str] = []
    for name in _order(uses):
        interfaces = {earlier: item.interface for earlier, item in found.items()}
        if name in sources:
            with About(name):
                found[name] = load(sources[name], interfaces, currencies, codes.get(name))
            changed.append(name)
        elif any(used in changed for used in uses[name]):
            code = codes[name]
            try:
                found[name] = load(code.source, interfaces, currencies, code.replaced)
            except SourceError as error:
                news = ", ".join(f"version {files[used].version} of {used}" for used in uses[name] if used in files)
                raise LinkError(name, f"it no longer fits {news or 'what it uses'}: {error}") from None
            changed.append(name)
        else:
            found[name] = codes[name]
    return found


def _continuing(name: str, source: bytes, old: Code | None) -> tree.Contract:
    """Return the parsed source if it is a contract of this name that may follow `old` (L57, L61)."""
    with About(name):
        file = parse(source)
        if not isinstance(file, tree.Contract):
            raise LinkError(name, "this is a file of tests, not a contract")
        if file.name != name:
            raise LinkError(name, f"the source calls itself {file.name}")
        if file.replaces != (0 if old is None else old.version):
            text = "no version is active, so the first one replaces none"
            if old is not None:
                following = f"contract {name} version {old.version + 1} replaces {old.version}"
                text = f"version {old.version} is active, and the next one begins `{following}`"
            raise SourceError("version", file.line, file.column, text)
    return file


def program(sources: Sequence[tuple[str, bytes]], currencies: CurrencyTable) -> Program:
    """Load sources in an order in which each uses only earlier ones, and link them.

    A name that comes again is a version that replaces the one before.
    """
    codes: dict[str, Code] = {}
    for name, source in sources:
        if name in codes:
            codes = replace_version(codes, source)
            continue
        code = load(source, {earlier: item.interface for earlier, item in codes.items()}, currencies)
        if code.name != name:
            raise LinkError(name, f"the source calls itself {code.name}")
        codes[name] = code
    return link(codes)


def link(codes: Mapping[str, Code], watch: Watch | None = None) -> Program:
    """Return the program of the active contracts; raise `LinkError` when they do not fit together (L44, L45).

    `watch` is for tools: it is called before each statement.
    """
    machines: dict[str, Machine] = {}
    outside: dict[tuple[str, str], Callee] = {}
    for name in _link_order(codes):
        code = codes[name]
        machine = build(code.module, code.interface, code.currencies, outside, watch)
        machines[name] = machine
        for routine, callee in zip(code.module.routines, machine.callees, strict=True):
            if routine.kind != "function":
                outside[name, routine.name] = callee
    return Program(codes, machines)


def _link_order(codes: Mapping[str, Code]) -> list[str]:
    """Return the names, each after those it uses, if every contract was compiled against the versions beside it."""
    order = _order({name: tuple(code.used) for name, code in codes.items()})
    for name in order:
        for used, identity in sorted(codes[name].used.items()):
            if codes[used].interface.code_id != identity:
                raise LinkError(name, f"it was compiled against another version of {used}")
    return order


def _order(uses: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names sorted, but each after those it uses (L45)."""
    order: list[str] = []
    for name in sorted(uses):
        _visit(uses, name, [], order)
    return order


def _visit(uses: Mapping[str, Sequence[str]], name: str, path: list[str], order: list[str]) -> None:
    if name in order:
        return
    if name in path:
        raise LinkError(name, "contracts use each other in a circle: " + " -> ".join([*path[path.index(name) :], name]))
    for used in sorted(uses[name]):
        if used not in uses:
            raise LinkError(name, f"the used contract {used} is not active")
        _visit(uses, used, [*path, name], order)
    order.append(name)


class Program:
    """The active contracts of one height."""

    def __init__(self, codes: Mapping[str, Code], machines: Mapping[str, Machine]) -> None:
        self.codes = codes
        self.machines = machines
        self.interfaces: Mapping[str, Interface] = {name: code.interface for name, code in codes.items()}
        self._entries: dict[tuple[str, str], _Entry] = {}
        for name, code in codes.items():
            for at, routine in enumerate(code.module.routines):
                if routine.kind != "function":
                    self._entries[name, routine.name] = _Entry(code, routine, machines[name].callees[at])

    def execute(self, contract: str, method: str, args: tuple[Any, ...], host: Host, gas_limit: int) -> Outcome:
        """Run an action called by a transaction. Writes go to `host`; the caller undoes them after an abort (H2)."""
        return self._call("action", contract, method, args, host, gas_limit)

    def query(self, contract: str, method: str, args: tuple[Any, ...], host: Host, gas_limit: int) -> Outcome:
        """Run a query from outside; nothing is written (L65)."""
        return self._call("query", contract, method, args, host, gas_limit)

    def rehearse(self, contract: str, method: str, args: tuple[Any, ...], host: Host, gas_limit: int) -> Outcome:
        """Run an action as `execute` does, also one that only contracts may call. For tests of programs (L64)."""
        return self._call("action", contract, method, args, host, gas_limit, by_contract=True)

    # -- schedules

    def arm(self, host: Host) -> None:
        """Arm every `every` schedule that has no entry yet; the ledger calls this where contracts become active."""
        for name, machine in sorted(self.machines.items()):
            for item, _ in machine.schedules.values():
                entry = Entry(name, item.name, b"")
                day = next_day(item.kind, item.days, host.day)
                if item.kind != "row" and day is not None and entry.standing(host) is None:
                    entry.arm(host, day)

    def due(self, host: Host, count: int) -> tuple[Call, ...]:
        """Return at most `count` entries to run now, in order: date, contract, schedule, key (L54). Reads only.

        For each, the ledger calls `take`, opens a layer, calls `fire`, and after an abort drops the layer and calls
        `park`. The rest waits for the next block.
        """
        found = due_entries(host, host.day, count)
        return tuple(Call("schedule", entry.contract, entry.schedule, (entry.key, day)) for day, entry in found)

    def take(self, call: Call, host: Host) -> None:
        """Remove the entry of `call` before it runs, whatever comes of it (L55)."""
        Entry(call.contract, call.method, call.args[0]).remove(host)

    def fire(self, call: Call, host: Host, gas_limit: int) -> Outcome:
        """Run a schedule in the version active now, on the row as it now is. Writes go to `host` (H2).

        `host.signers` is empty. An entry whose schedule no longer exists ends with `unknown_method` and is dropped.
        """
        machine = self.machines.get(call.contract)
        found = None if machine is None else machine.schedules.get(call.method)
        if machine is None or found is None:
            version = self.codes[call.contract].version if call.contract in self.codes else 0
            return _aborted(
                "unknown_method", call.contract, version, "there is no such schedule any more", 0, "schedule"
            )
        item, enter = found
        run = Run(host, gas_limit, scheduled=True)
        try:
            run.gas -= CALL_OUT
            frame: list[Any] = [run, None, *([None] * (item.slots - ir.FIRST_SLOT))]
            alive = True
            if item.kind == "row":
                row = self._row_of(machine, item, call.args[0], run)
                alive, frame[ir.FIRST_SLOT] = row is not None, row
            if run.gas < 0:
                raise machine.unit.spent(run, item.line)
            if alive:
                enter(frame)
            if run.touched:
                settle_invariants(self.machines, run)
        except Aborted as end:
            used = gas_limit if end.code == "out_of_gas" else gas_limit - run.gas
            abort = Abort(end.code, end.reason, end.contract, end.version, end.line, end.text)
            return Outcome(abort, used, (), None, machine.unit.version)
        day = next_day(item.kind, item.days, host.day)
        if item.kind != "row" and day is not None:
            Entry(call.contract, call.method, b"").arm(host, day)
        return Outcome(None, gas_limit - run.gas, tuple(run.events), None, machine.unit.version)

    def _row_of(self, machine: Machine, item: ir.Schedule, key: bytes, run: Run) -> Any:
        shape = machine.unit.formats[item.table]
        run.gas -= READ
        return reader(machine.unit, item.table, item.line)(run, shape.prefix + key)

    def park(self, call: Call, host: Host, abort: Abort) -> None:
        """Keep the entry of an aborted call with its reason; it is not repeated (L55)."""
        if abort.reason != "schedule" or abort.code != "unknown_method":
            Entry(call.contract, call.method, call.args[0]).park(host, call.args[1], abort.code, abort.reason)

    def is_parked(self, contract: str, schedule: str, key: bytes, host: Host) -> bool:
        """Tell whether an abort parked this entry."""
        standing = Entry(contract, schedule, key).standing(host)
        return standing is not None and bool(standing[1])

    def rearm(self, contract: str, schedule: str, key: bytes, host: Host) -> bool:
        """Let a parked entry run again in the next block; the order of governance of L55."""
        parked = self.is_parked(contract, schedule, key, host)
        if parked:
            Entry(contract, schedule, key).arm(host, host.day)
        return parked

    def failing_rows(self, contract: str, host: Host, count: int) -> tuple[tuple[str, bytes, int], ...]:
        """Return (table, state key, line) of stored rows that an `invariant each` of this version refuses.

        An upgrade rewrites nothing, so rows from before may break a new invariant until they are written again; people
        want to know before they vote (L62). Reads at most `count` rows, in key order, of each table that has invariants
        or older layouts. A row that cannot be lifted counts too, with the line of `migrate`.
        """
        machine = self.machines[contract]
        found: list[tuple[str, bytes, int]] = []
        for table, shape in enumerate(machine.unit.formats):
            tests = machine.checks.get(table, ())
            if not tests and not shape.lifts:
                continue
            for key in host.scan(*shape.span, count):
                run = Run(host, QUERY_GAS)
                try:
                    row = reader(machine.unit, table, 0)(run, key)
                    for test in tests:
                        test(run, Touched(machine.unit, table, None, row))
                except Aborted as end:
                    found.append((shape.table, key, end.line))
        return tuple(found)

    def _call(
        self,
        kind: str,
        contract: str,
        method: str,
        args: Sequence[Any],
        host: Host,
        gas_limit: int,
        by_contract: bool = False,
    ) -> Outcome:
        entry = self._entries.get((contract, method))
        if entry is None or entry.routine.kind != kind:
            version = self.codes[contract].version if contract in self.codes else 0
            return _aborted("unknown_method", contract, version, f"there is no such {kind}", 0)
        code = entry.code
        if entry.routine.callers is not None and not by_contract:
            return _aborted(
                "not_authorised", contract, code.version, "only contracts call this action", 0, "by_contract"
            )
        run = Run(host, gas_limit)
        try:
            frame = entry.frame(run, args)
            entry.callee.enter(frame)
            if run.touched:
                settle_invariants(self.machines, run)
        except Aborted as end:
            used = gas_limit if end.code == "out_of_gas" else gas_limit - run.gas
            abort = Abort(end.code, end.reason, end.contract, end.version, end.line, end.text)
            return Outcome(abort, used, (), None, code.version)
        return Outcome(None, gas_limit - run.gas, tuple(run.events), entry.result(frame[1]), code.version)


class _Entry:
    """A method that can be called from outside: reads its arguments and shapes its result."""

    def __init__(self, code: Code, routine: ir.Routine, callee: Callee) -> None:
        self.code = code
        self.routine = routine
        self.callee = callee
        kinds = [kind for _, kind in routine.params]
        names = code.interface.names()
        self.readers: list[Reading] = [argument_reader(kind, names, code.currencies) for kind in kinds]
        self.fixed_memory = sum(memory_bytes(kind) for kind in kinds if kind.kind in SCALARS)
        self.measured: list[tuple[int, Measure]] = [
            (at, measure(kind, names)) for at, kind in enumerate(kinds) if kind.kind not in SCALARS
        ]
        """(place, counted memory) of the arguments whose size is not that of their type."""
        self.blanks = [None] * (routine.slots - ir.FIRST_SLOT - len(kinds))
        self.shown = _outside(routine.result)

    def frame(self, run: Run, args: Sequence[Any]) -> list[Any]:
        """Return the frame of a call; a wrong argument aborts before anything runs (L12)."""
        if len(args) != len(self.readers):
            raise self._bad(f"{len(self.readers)} arguments are expected, {len(args)} are given")
        values: list[Any] = []
        for read, value in zip(self.readers, args, strict=True):
            found = read(value)
            if found is WRONG:
                name, kind = self.routine.params[len(values)]
                raise self._bad(f"`{name}` is not a value of type {kind}")
            values.append(found)
        size = len(encode(values))
        if size > TX_ARGUMENT_BYTES:
            raise self._bad(f"the arguments have more than {TX_ARGUMENT_BYTES} bytes")
        run.gas -= CALL_OUT + size // ARGUMENT_BYTES
        run.memory -= self.fixed_memory
        for at, count in self.measured:
            run.memory -= count(values[at])
        if run.gas < 0:
            raise Aborted("out_of_gas", "", self.code.name, self.code.version, self.routine.line, "")
        return [run, None, *values, *self.blanks]

    def result(self, value: Any) -> Any:
        """Return the result in wire form; a row loses its layout number."""
        return value if self.shown is None else self.shown(value)

    def _bad(self, text: str) -> Aborted:
        return Aborted("bad_argument", "", self.code.name, self.code.version, self.routine.line, text)


def _outside(kind: Type) -> Callable[[Any], Any] | None:
    """Return what turns a value into its wire form: rows lose their layout; None when nothing changes."""
    if kind.kind == "row":
        return lambda row: tuple(row[1:])
    inner = [_outside(part) for part in parts_of(kind)]
    shown = inner[0] if inner else None
    if shown is None:
        return None
    each = shown
    if kind.kind == "option":
        return lambda value: None if value is None else each(value)
    return lambda values: tuple([each(value) for value in values])


def _aborted(code: str, contract: str, version: int, text: str, gas_used: int, reason: str = "") -> Outcome:
    return Outcome(Abort(code, reason, contract, version, 0, text), gas_used, (), None, version)


# -- interface -----------------------------------------------------------------------------------------------------


def _field(name: str, kind: Type) -> Field:
    return Field(name, str(kind), kind.kind, kind)


def _fields(items: Sequence[tuple[str, Type]]) -> tuple[Field, ...]:
    return tuple(_field(name, kind) for name, kind in items)


def _interface(
    source: bytes,
    file: tree.Contract,
    module: ir.Module,
    used: Mapping[str, Interface],
    worst: Worst,
    older: Mapping[str, Sequence[ir.TableDecl]],
) -> Interface:
    enums = {item.name: item.values for item in module.enums}
    every: dict[tuple[str, str], tuple[str, ...]] = {}
    for interface in used.values():
        every.update(interface.all_enums)
    every.update({(module.name, name): values for name, values in enums.items()})
    records: dict[tuple[str, str], tuple[tuple[str, Type], ...]] = {}
    for interface in used.values():
        records.update(interface.all_records)
    if isinstance(module, ir.Extended):
        records.update({(module.name, item.name): item.fields for item in module.records})
    names = Names(every, {key: tuple(kind for _, kind in items) for key, items in records.items()})
    authority = {item.name: item.authority for item in file.routines}
    actions: dict[str, MethodSchema] = {}
    queries: dict[str, MethodSchema] = {}
    for at, routine in enumerate(module.routines):
        if routine.kind == "function":
            continue
        schema = MethodSchema(
            _fields(routine.params),
            None if routine.result == NOTHING else _field("", routine.result),
            authority[routine.name],
            worst.entry(at).gas,
            routine.callers,
            worst.costs[at],
            worst.levels[at],
        )
        (actions if routine.kind == "action" else queries)[routine.name] = schema
    readers = dict(module.readers) if isinstance(module, ir.Extended) else {}
    tables = {
        decl.name: TableSchema(
            _fields(decl.fields[: decl.keys]),
            _fields(decl.fields),
            tuple(tuple(decl.fields[at][0] for at in columns) for columns in decl.indexes),
            None if number not in readers else tuple(decl.fields[at][0] for at in readers[number]),
        )
        for number, decl in enumerate(module.tables)
    }
    schedules = {
        name: MethodSchema((), None, "", cost.gas, None, cost, levels)
        for name, (cost, levels) in worst.schedules.items()
    }
    return Interface(
        name=module.name,
        version=module.version,
        code_id=ir.code_id(source),
        ir_hash=ir.ir_hash(module),
        uses=module.uses,
        tables=tables,
        events={decl.name: EventSchema(_fields(decl.fields)) for decl in module.events},
        actions=actions,
        queries=queries,
        schedules=schedules,
        enums=enums,
        all_enums=every,
        all_records=records,
        chain=1 + max((interface.chain for interface in used.values()), default=0),
        row_checks=worst.row_checks,
        formats={decl.name: RowFormat(module.name, decl, names, older.get(decl.name, ())) for decl in module.tables},
    )


def _check_worst_cases(file: tree.Contract, interface: Interface, memory: Mapping[str, int]) -> None:
    """Refuse an entry whose worst case is above the limits of a transaction (section 14).

    `memory` of actions and queries by name, arguments included: a call from outside pays for them before its body runs.
    """
    places: dict[str, tree.Node] = {item.name: item for item in file.routines}
    places.update({item.name: item for item in file.schedules})
    for name, schema in [*interface.actions.items(), *interface.queries.items(), *interface.schedules.items()]:
        place = places[name]
        cost = schema.cost
        gas_limit = QUERY_GAS if name in interface.queries else TX_GAS
        for what, worst, limit in (
            ("gas", schema.worst_gas, gas_limit),
            ("bytes of memory", memory.get(name, cost.memory), TX_MEMORY_BYTES),
            ("rows written", cost.rows_written, TX_ROWS),
            ("bytes written", cost.row_bytes, TX_ROW_BYTES),
            ("contract events", cost.events, TX_EVENTS),
            ("bytes of contract events", cost.event_bytes, TX_EVENT_BYTES),
            ("call levels", schema.levels, CALL_LEVELS),
        ):
            if worst > limit:
                raise SourceError(
                    "worst_case", place.line, place.column, f"`{name}` can use {worst} {what}, the limit is {limit}"
                )
