"""Load a source, link the active contracts, run a call (contracts section 17).

Doors: `load`, `link`, `program`, and `Program.execute` for a call by a transaction, `Program.query` for a reader.
Nothing is kept between calls except compiled code (H9). Only an abort becomes an outcome; any other exception leaves
and stops the node (D3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts import ir
from contracts.check import check
from contracts.errors import Aborted, LinkError, SourceError
from contracts.gas import ARGUMENT_BYTES, CALL_OUT, Worst
from contracts.host import Host, Outcome
from contracts.interface import EventSchema, Field, Interface, MethodSchema, TableSchema
from contracts.interpreter import Machine, build, settle_invariants
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
from contracts.machine import Run
from contracts.resolve import resolve
from contracts.shapes import Callee
from contracts.syntax import tree
from contracts.syntax.parse import parse
from contracts.types import NOTHING, Type, memory_bytes
from contracts.values import Reading, argument_reader
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

    @property
    def name(self) -> str:
        return self.module.name

    @property
    def version(self) -> int:
        return self.module.version


def load(source: bytes, used: Mapping[str, Interface], currencies: CurrencyTable) -> Code:
    """Compile `source` against the interfaces of the contracts it uses; raise `SourceError` at the first error."""
    file = parse(source)
    if not isinstance(file, tree.Contract):
        raise SourceError("syntax", 1, 1, "this is a file of tests, not a contract")
    declarations = resolve(file, used, currencies)
    module = lower(check(declarations))
    worst = Worst(module, declarations.used)
    interface = _interface(source, file, module, declarations.used, worst)
    _check_worst_cases(file, interface)
    return Code(
        source, file, module, interface, {name: item.code_id for name, item in declarations.used.items()}, currencies
    )


def program(sources: Sequence[tuple[str, bytes]], currencies: CurrencyTable) -> Program:
    """Load sources in an order in which each uses only earlier ones, and link them."""
    codes: dict[str, Code] = {}
    for name, source in sources:
        code = load(source, {earlier: item.interface for earlier, item in codes.items()}, currencies)
        if code.name != name:
            raise LinkError(name, f"the source calls itself {code.name}")
        if name in codes:
            raise LinkError(name, "there are two contracts of this name")
        codes[name] = code
    return link(codes)


def link(codes: Mapping[str, Code]) -> Program:
    """Return the program of the active contracts; raise `LinkError` when they do not fit together (L44, L45)."""
    machines: dict[str, Machine] = {}
    outside: dict[tuple[str, str], Callee] = {}
    for name in _link_order(codes):
        code = codes[name]
        machine = build(code.module, code.interface, code.currencies, outside)
        machines[name] = machine
        for routine, callee in zip(code.module.routines, machine.callees, strict=True):
            if routine.kind != "function":
                outside[name, routine.name] = callee
    return Program(codes, machines)


def _link_order(codes: Mapping[str, Code]) -> list[str]:
    order: list[str] = []
    for name in sorted(codes):
        _visit(codes, name, [], order)
    return order


def _visit(codes: Mapping[str, Code], name: str, path: list[str], order: list[str]) -> None:
    if name in order:
        return
    if name in path:
        raise LinkError(name, "contracts use each other in a circle: " + " -> ".join([*path[path.index(name) :], name]))
    for used, identity in sorted(codes[name].used.items()):
        if used not in codes:
            raise LinkError(name, f"the used contract {used} is not active")
        if codes[used].interface.code_id != identity:
            raise LinkError(name, f"it was compiled against another version of {used}")
        _visit(codes, used, [*path, name], order)
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
        self.readers: list[tuple[str, Reading, bool]] = [
            (name, argument_reader(kind, code.interface.all_enums, code.currencies), kind.kind == "text")
            for name, kind in routine.params
        ]
        self.fixed_memory = sum(16 if kind.kind == "text" else memory_bytes(kind) for kind in kinds)
        self.blanks = [None] * (routine.slots - ir.FIRST_SLOT - len(kinds))
        self.returns_row = routine.result.kind == "row"

    def frame(self, run: Run, args: Sequence[Any]) -> list[Any]:
        """Return the frame of a call; a wrong argument aborts before anything runs (L12)."""
        if len(args) != len(self.readers):
            raise self._bad(f"{len(self.readers)} arguments are expected, {len(args)} are given")
        values = []
        memory = self.fixed_memory
        for value, (name, read, is_text) in zip(args, self.readers, strict=True):
            found = read(value)
            if found is None:
                raise self._bad(f"`{name}` is not of its type")
            if is_text:
                memory += 4 * len(found)
            values.append(found)
        size = len(encode(values))
        if size > TX_ARGUMENT_BYTES:
            raise self._bad(f"the arguments have more than {TX_ARGUMENT_BYTES} bytes")
        run.gas -= CALL_OUT + size // ARGUMENT_BYTES
        run.memory -= memory
        if run.gas < 0:
            raise Aborted("out_of_gas", "", self.code.name, self.code.version, self.routine.line, "")
        return [run, None, *values, *self.blanks]

    def result(self, value: Any) -> Any:
        """Return the result in wire form; a row loses its layout number."""
        return tuple(value[1:]) if self.returns_row else value

    def _bad(self, text: str) -> Aborted:
        return Aborted("bad_argument", "", self.code.name, self.code.version, self.routine.line, text)


def _aborted(code: str, contract: str, version: int, text: str, gas_used: int, reason: str = "") -> Outcome:
    return Outcome(Abort(code, reason, contract, version, 0, text), gas_used, (), None, version)


# -- interface -----------------------------------------------------------------------------------------------------


def _field(name: str, kind: Type) -> Field:
    return Field(name, str(kind), kind.kind, kind)


def _fields(items: Sequence[tuple[str, Type]]) -> tuple[Field, ...]:
    return tuple(_field(name, kind) for name, kind in items)


def _interface(
    source: bytes, file: tree.Contract, module: ir.Module, used: Mapping[str, Interface], worst: Worst
) -> Interface:
    enums = {item.name: item.values for item in module.enums}
    every: dict[tuple[str, str], tuple[str, ...]] = {}
    for interface in used.values():
        every.update(interface.all_enums)
    every.update({(module.name, name): values for name, values in enums.items()})
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
    tables = {
        decl.name: TableSchema(
            _fields(decl.fields[: decl.keys]),
            _fields(decl.fields),
            tuple(tuple(decl.fields[at][0] for at in columns) for columns in decl.indexes),
        )
        for decl in module.tables
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
        enums=enums,
        all_enums=every,
        chain=1 + max((interface.chain for interface in used.values()), default=0),
        row_checks=worst.row_checks,
        formats={decl.name: RowFormat(module.name, decl, every) for decl in module.tables},
    )


def _check_worst_cases(file: tree.Contract, interface: Interface) -> None:
    """Refuse an entry whose worst case is above the limits of a transaction (section 14)."""
    places = {item.name: item for item in file.routines}
    for name, schema in [*interface.actions.items(), *interface.queries.items()]:
        place = places[name]
        cost = schema.cost
        gas_limit = TX_GAS if name in interface.actions else QUERY_GAS
        for what, worst, limit in (
            ("gas", schema.worst_gas, gas_limit),
            ("bytes of memory", cost.memory, TX_MEMORY_BYTES),
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
