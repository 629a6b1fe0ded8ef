"""The contracts of each height: compiled, linked, examined, and told when they begin (L44, L57-L63).

What runs in a block follows from the state before it and its height, so nothing is switched and nothing is configured:
at a start, after a snapshot, while old blocks are run again, and in a simulation the same function is asked. A step is
one plan: contracts that became active together. All steps up to a height, in order, are its history; each step is
compiled against what the steps before it left, so a source meets exactly the contracts it was examined with (L59).

Door: `Programs.at(state, height)`. Compiled contracts are kept by their history. Pure: no clock, no input, no chance.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from contracts.errors import Aborted, ContractsError, SourceError
from contracts.host import Call, Host, Outcome, Signer
from contracts.interface import Interface
from contracts.ir import code_id as code_of
from contracts.keys import ENTRY
from contracts.runtime import Code, Program, install, link
from contracts.schedules import due_entries, entries_after
from contracts.values import DAY_LAST
from ledger.errors import InvariantViolated
from ledger.genesis import ContractMeta
from ledger.governance.programs import (
    CONTRACTS_MAX,
    INDEX_ROWS_MAX,
    INDEX_ROWS_PER_BLOCK,
    VERSION_PREFIX,
    VERSIONS_MAX,
    Examined,
    Lineage,
    contract_names,
    read_source,
    versions,
)
from ledger.money import CurrencyTable
from ledger.receipt import Abort
from ledger.registry.lookup import ACTIVE, read_company
from ledger.state import Reader

HISTORIES_KEPT: Final = 32
"""Compiled histories, the last used ones: what runs, what waits, what was examined, and a few heights of the past."""
ROWS_AT_ONCE: Final = 4_096
"""Keys of one scan while an index is built as a whole."""
_VERSIONS_END: Final = VERSION_PREFIX[:-1] + b"0"

Mark = tuple[tuple[str, bytes], ...]
"""A step by (name, code id), sorted; the code id is a hash of the source, so equal marks are equal sources."""


class Step(NamedTuple):
    """Contracts that became active together. `sources` and `ir_hashes` by name."""

    active_from: int
    mark: Mark
    sources: Mapping[str, bytes]
    ir_hashes: Mapping[str, bytes]


class Build(NamedTuple):
    """An index that a version brings which begins at `active_from`: built a part in each block until then (L59).

    Index entries are derived from rows and outside the state root, so how far a node has come is its own affair: one
    that took a snapshot meanwhile begins anew. What is left when the contract begins is built in that block.
    """

    active_from: int
    table: str
    interface: Interface

    @property
    def place(self) -> bytes:
        """The key of the last row that was taken in; no index of a contract begins with a zero byte."""
        name = f"{self.interface.name}/{self.table}".encode("ascii")
        return b"x\x00" + self.active_from.to_bytes(8, "big") + name

    def go_on(self, host: Host, count: int) -> int:
        """Take in at most `count` more rows, return how many."""
        low, high = self.interface.table_range(self.table)
        done = host.get(self.place)
        keys = host.scan(low if done is None else done + b"\x00", high, count)
        for key in keys:
            for entry in _entries(self.interface, self.table, host.get(key)):
                host.put(entry, ENTRY)
        if keys:
            host.put(self.place, keys[-1])
        return len(keys)

    def finish(self, host: Host) -> None:
        """Take in all that is left, in the block in which the contract begins."""
        while self.go_on(host, ROWS_AT_ONCE) == ROWS_AT_ONCE:
            pass
        host.delete(self.place)


class Parked(NamedTuple):
    """A schedule entry that an abort took out of the queue: on `day`, with `code` and `reason` (L55).

    `key`: key bytes of its row, and `row` that row's place in the state; both empty for one that runs every day or
    month. `row` is empty too when the schedule is gone.
    """

    contract: str
    schedule: str
    key: bytes
    day: int
    code: str
    reason: str
    row: bytes


class Linked:
    """The contracts of one height: a `Runtime` of the ledger that takes contracts by vote and runs schedules."""

    def __init__(
        self,
        owner: Programs,
        program: Program,
        since: int,
        sources: Mapping[str, bytes],
        ready: Sequence[Build],
        builds: Sequence[Build] = (),
    ) -> None:
        self.program = program
        self.since = since
        """The height at which this set of contracts began; 0 for those of genesis."""
        self.sources = sources
        self._ready = ready
        """Indexes that the versions before did not have: complete from the first block of this set on."""
        self._builds = builds
        """Indexes of sets that begin later."""
        self._owner = owner

    @property
    def interfaces(self) -> Mapping[str, Interface]:
        """Return the interfaces by name, each after those it uses."""
        return self.program.interfaces

    def execute(self, contract: str, method: str, args: tuple[Any, ...], host: Host, gas_limit: int) -> Outcome:
        return self.program.execute(contract, method, args, host, gas_limit)

    def index_entries(self, reader: Reader) -> Iterator[tuple[bytes, bytes]]:
        """Yield every index entry that belongs to a whole state: they are derived and outside its root (H6)."""
        for interface in self.interfaces.values():
            for table, schema in interface.tables.items():
                for entry in table_entries(reader, interface, table) if schema.indexes else ():
                    yield entry, ENTRY

    @property
    def arms(self) -> bool:
        """Tell whether the first block of this set arms a schedule, one that runs every day or month (L53)."""
        schedules = [found for machine in self.program.machines.values() for found in machine.schedules.values()]
        return any(item.kind != "row" for item, _ in schedules)

    # -- contracts by vote

    def uses(self, contract: str) -> tuple[str, ...]:
        code = self.program.codes.get(contract)
        return () if code is None else tuple(code.used)

    def examine(self, planned: Sequence[Lineage]) -> Mapping[str, Examined] | str:
        return self._owner.examine(planned)

    # -- schedules

    def begin(self, host: Host) -> None:
        """Arm what runs every day or month, before the first block of this set (L53), and build indexes (L59)."""
        if host.height == max(self.since, 1):
            self.program.arm(host)
            for build in self._ready:
                build.finish(host)
        left = INDEX_ROWS_PER_BLOCK
        for build in self._builds:
            if left > 0:
                left -= build.go_on(host, left)

    @property
    def building(self) -> bool:
        return bool(self._builds)

    def follow(self, before: Reader, host: Host, writes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Keep the indexes that are being built true to what this block wrote: rows that were taken in change too."""
        for build in self._builds:
            low, high = build.interface.table_range(build.table)
            for key, value in writes:
                if low <= key < high:
                    for entry in _entries(build.interface, build.table, before.get(key)):
                        host.delete(entry)
                    for entry in _entries(build.interface, build.table, value):
                        host.put(entry, ENTRY)

    def awaiting(self, builds: Sequence[Build]) -> Linked:
        """Return the same contracts, which build these indexes for others that begin later."""
        return Linked(self._owner, self.program, self.since, self.sources, self._ready, builds)

    def queued(self, reader: Reader, count: int) -> tuple[Call, ...]:
        found = due_entries(reader, DAY_LAST, count)
        return tuple(Call("schedule", entry.contract, entry.schedule, (entry.key, day)) for day, entry in found)

    def due(self, host: Host, count: int) -> tuple[Call, ...]:
        return self.program.due(host, count)

    def take(self, call: Call, host: Host) -> None:
        self.program.take(call, host)

    def fire(self, call: Call, host: Host, gas_limit: int) -> Outcome:
        return self.program.fire(call, host, gas_limit)

    def park(self, call: Call, host: Host, abort: Abort) -> None:
        self.program.park(call, host, abort)

    def parked(self, reader: Reader, after: bytes, count: int) -> tuple[tuple[Parked, ...], bytes]:
        """Return those parked among `count` entries behind `after`, and where to go on; empty at the end."""
        found: list[Parked] = []
        host = StateHost(reader)
        entries = entries_after(reader, after, count)
        for entry in entries:
            standing = entry.standing(host)
            if standing is not None and standing[1]:
                machine = self.program.machines.get(entry.contract)
                known = None if machine is None else machine.schedules.get(entry.schedule)
                row = b""
                if machine is not None and known is not None and known[0].kind == "row":
                    row = machine.unit.formats[known[0].table].prefix + entry.key
                found.append(Parked(*entry, *standing, row))
        return tuple(found), entries[-1].standing_key if len(entries) == count else b""

    def is_parked(self, contract: str, schedule: str, key: bytes, host: Host) -> bool:
        return self.program.is_parked(contract, schedule, key, host)

    def rearm(self, contract: str, schedule: str, key: bytes, host: Host) -> bool:
        return self.program.rearm(contract, schedule, key, host)


class StateHost:
    """Reads a state for somebody who only looks: no signers, no writes."""

    def __init__(self, reader: Reader, height: int = 0, day: int = 0) -> None:
        self._reader = reader
        self.tx_id = b""
        self.height = height
        self.day = day
        self.signers: tuple[Signer, ...] = ()

    def get(self, key: bytes) -> bytes | None:
        return self._reader.get(key)

    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]:
        return self._reader.scan(low, high, count)

    def put(self, key: bytes, value: bytes) -> None:
        raise InvariantViolated(f"a reader wrote {len(value)} bytes at {key.hex()}")

    def delete(self, key: bytes) -> None:
        raise InvariantViolated(f"a reader deleted {key.hex()}")

    def decide(self, signer: int, role: str, company: str | None, apart: tuple[str, ...]) -> str:
        raise InvariantViolated(f"a call without signers asked about {signer}, {role}, {company}, {apart}")

    def company_has(self, company: str, role: str) -> bool:
        record = read_company(self._reader, company)
        return record is not None and record.status == ACTIVE and role in record.roles


class Programs:
    """Gives the contracts of each height of one chain, from its state."""

    def __init__(self, currencies: CurrencyTable) -> None:
        self._currencies = currencies
        self._codes: OrderedDict[tuple[Mark, ...], Mapping[str, Code]] = OrderedDict()
        self._linked: OrderedDict[tuple[tuple[int, Mark], ...], Linked] = OrderedDict()
        self._rows: tuple[tuple[bytes, bytes | None], ...] | None = None
        self._steps: tuple[Step, ...] = ()
        """Steps of the version records seen last: they change with a plan only, and blocks ask every time."""

    def at(self, reader: Reader, height: int) -> Linked:
        """Return what runs in a block of `height`, over any state that knows the plans of that height (L63).

        Contracts of the chain that do not compile to what the companies voted on are `InvariantViolated`: this node's
        engine differs from theirs, and it must stop (L59).
        """
        planned = self.steps(reader)
        steps = [step for step in planned if step.active_from <= height]
        key = tuple((step.active_from, step.mark) for step in steps)
        known = self._linked.get(key)
        if known is None:
            known = self._linked[key] = self._link(steps)
        _keep(self._linked, key)
        ends = range(len(steps) + 1, len(planned) + 1)
        builds = tuple(build for end in ends for build in self._builds(planned[:end]))
        return known.awaiting(builds) if builds else known

    def next_activation(self, reader: Reader, height: int) -> int:
        """Return the first height after `height` at which others run, or 0 if none is planned.

        Contracts of genesis that run something every day begin in block 1, which arms it: an idle network makes it.
        """
        if height == 0 and self.at(reader, 1).arms:
            return 1
        return next((step.active_from for step in self.steps(reader) if step.active_from > height), 0)

    def steps(self, reader: Reader) -> tuple[Step, ...]:
        """Return everything accepted so far, active or waiting, in the order in which it becomes active."""
        keys = reader.scan(VERSION_PREFIX, _VERSIONS_END, CONTRACTS_MAX * VERSIONS_MAX)
        rows = tuple((key, reader.get(key)) for key in keys)
        if rows != self._rows:
            self._steps = _read_steps(reader)
            self._rows = rows
        return self._steps

    def examine(self, planned: Sequence[Lineage]) -> Mapping[str, Examined] | str:
        """Compile and link `planned` as one program; return what each contract is, or why they do not run (L44, L45).

        Pure and total: whoever asks gets the same answer, and the limits of the language bound the work.
        """
        steps: dict[int, dict[str, bytes]] = {}
        for lineage in planned:
            for active_from, source in lineage.versions:
                steps.setdefault(active_from, {})[lineage.name] = source
        try:
            history = [steps[active_from] for active_from in sorted(steps)]
            codes = self.compiled(history)
            link(codes)
            before = self.compiled(history[:-1])
        except SourceError as error:
            return f"{error.contract}: {error}"
        except ContractsError as error:
            return str(error)
        return {name: examined(codes[name], before.get(name)) for name in sorted(codes)}

    def index_rows(self, reader: Reader, sources: Mapping[str, bytes]) -> int:
        """Return over how many rows `sources`, which compile after everything accepted, bring new indexes.

        Counting ends behind `INDEX_ROWS_MAX`: no plan may bring more (L59).
        """
        steps = [step.sources for step in self.steps(reader)]
        before, after = self.compiled(steps), self.compiled([*steps, sources])
        ranges = [found for name in sorted(sources) for found in examined(after[name], before.get(name)).indexed]
        return sum(len(reader.scan(low, high, INDEX_ROWS_MAX + 1)) for low, high in ranges)

    def failing_rows(
        self, reader: Reader, sources: Mapping[str, bytes], name: str, count: int
    ) -> tuple[tuple[str, bytes, int], ...]:
        """Return the rows of a contract that `sources`, which compile after everything accepted, cannot take (L62).

        (table, state key, line) of those that `migrate` cannot lift or a new invariant refuses; at most `count` rows of
        each table are read. Empty for a first version.
        """
        steps = [step.sources for step in self.steps(reader)]
        if not any(name in step for step in steps):
            return ()
        return link(self.compiled([*steps, sources])).failing_rows(name, StateHost(reader), count)

    def compiled(self, steps: Sequence[Mapping[str, bytes]]) -> Mapping[str, Code]:
        """Return the contracts that are active after `steps` of (name -> source); raise `SourceError` or `LinkError`.

        Compiling begins after the longest part of the history that is known.
        """
        marks = [tuple(sorted((name, code_of(source)) for name, source in step.items())) for step in steps]
        begin = next((n for n in range(len(steps), 0, -1) if tuple(marks[:n]) in self._codes), 0)
        codes: Mapping[str, Code] = self._codes[tuple(marks[:begin])] if begin else {}
        for n in range(begin, len(steps)):
            codes = install(codes, steps[n], self._currencies)
            self._codes[tuple(marks[: n + 1])] = codes
        if steps:
            _keep(self._codes, tuple(marks))
        return codes

    def _builds(self, steps: Sequence[Step]) -> tuple[Build, ...]:
        """Return the indexes that the last of `steps` brings."""
        before = self.compiled([step.sources for step in steps[:-1]])
        after = self.compiled([step.sources for step in steps])
        return tuple(
            Build(steps[-1].active_from, table, code.interface)
            for name, code in after.items()
            for table in _fresh_indexes(before.get(name), code)
        )

    def _link(self, steps: Sequence[Step]) -> Linked:
        try:
            codes = self.compiled([step.sources for step in steps])
            program = link(codes)
        except ContractsError as error:
            raise InvariantViolated(f"the contracts of this chain do not compile here: {error}") from None
        for name, ir_hash in (steps[-1].ir_hashes if steps else {}).items():
            found = codes[name].interface.ir_hash
            if found != ir_hash:
                raise InvariantViolated(
                    f"contract {name} compiles to {found.hex()} here and to {ir_hash.hex()} for the companies that "
                    "voted; run the version of this program that they run (L59)"
                )
        since = steps[-1].active_from if steps else 0
        sources = {name: code.source for name, code in codes.items()}
        return Linked(self, program, since, sources, self._builds(steps) if steps else ())


def examined(code: Code, before: Code | None = None) -> Examined:
    """Return what the ledger records about a compiled contract, beside the version before it."""
    return Examined(
        name=code.name,
        version=code.version,
        code_id=code.interface.code_id,
        ir_hash=code.interface.ir_hash,
        uses=tuple(code.used),
        worst_gas=max((schema.worst_gas for schema in code.interface.actions.values()), default=0),
        indexed=tuple(code.interface.table_range(table) for table in _fresh_indexes(before, code)),
    )


def table_entries(reader: Reader, interface: Interface, table: str) -> Iterator[bytes]:
    """Yield the index entries of all rows of a table. A row that `migrate` cannot lift has none: no call reads it."""
    low, high = interface.table_range(table)
    while keys := reader.scan(low, high, ROWS_AT_ONCE):
        for key in keys:
            value = reader.get(key)
            if value is None:
                raise InvariantViolated(f"row {key.hex()} vanished under a scan")
            yield from _entries(interface, table, value)
        low = keys[-1] + b"\x00"


def _read_steps(reader: Reader) -> tuple[Step, ...]:
    found: dict[int, list[ContractMeta]] = {}
    for name in contract_names(reader):
        for meta in versions(reader, name):
            found.setdefault(meta.active_from, []).append(meta)
    return tuple(
        Step(
            active_from,
            tuple(sorted((meta.name, meta.code_id) for meta in found[active_from])),
            {meta.name: read_source(reader, meta) for meta in found[active_from]},
            {meta.name: meta.ir_hash for meta in found[active_from]},
        )
        for active_from in sorted(found)
    )


def _entries(interface: Interface, table: str, value: bytes | None) -> tuple[bytes, ...]:
    """Return the index entries of a stored row; none for no row, and for one that `migrate` cannot lift (L62)."""
    if value is None:
        return ()
    try:
        return interface.index_entries(table, value)
    except Aborted:
        return ()


def _fresh_indexes(before: Code | None, after: Code) -> tuple[str, ...]:
    """Return the tables with an index that the version before, if there is one, did not have."""
    old = {} if before is None else before.interface.tables
    return tuple(
        table
        for table, schema in after.interface.tables.items()
        if table in old and len(schema.indexes) > len(old[table].indexes)
    )


def _keep(kept: OrderedDict[Any, Any], key: object) -> None:
    """Count `key` as used last, and forget what was not used for longest."""
    kept.move_to_end(key)
    while len(kept) > HISTORIES_KEPT:
        kept.popitem(last=False)
