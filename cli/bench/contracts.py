"""`hansa bench --contracts`: what a call of a contract costs, without a network (performance E19, contracts section 2).

    library calls      each on the state view of a node's store, on state in memory, and without a registry
    operation mixes    nanoseconds of processor time a unit of gas: prices are fair when these are alike (G3)
    deployment         compiling sources of growing size; memory of a compiled contract
    a full gas limit   the longest that one transaction can hold a node up

Every time is divided by V, one Ed25519 verification of the same run, so that machines can be compared. A call is
repeated on the same state, and what it wrote is dropped each time, so its rows are in the caches of the store.
"""

from __future__ import annotations

import datetime
import gc
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import thread_time_ns
from typing import Any, Final

from msgspec.structs import replace

from cli.bench.machine import describe, verification_us
from contracts.host import Outcome
from contracts.library import sources
from contracts.limits import QUERY_GAS, SOURCE_BYTES, TX_GAS
from contracts.runtime import Program, load, program
from ledger.block import EMPTY_LIST_ROOT, Header, genesis_exec_root
from ledger.codec import encode
from ledger.ids import ZERO_HASH
from ledger.merkle import build
from ledger.money import ISO_4217
from ledger.registry.lookup import company_key, user_key
from ledger.registry.records import PEOPLE_ROLES, Company, RootPolicy, User
from ledger.state import MemoryState, Overlay, Reader
from ledger.transaction import SignerRef, TxBody, unsigned
from ledger.transition import TransactionHost
from node.store.ledger import ChainStore

SCHEMA: Final = "hansa.bench.contracts/1"
ROUNDS: Final = 7
"""Measurements of each figure; the least counts, because strangers only ever add time."""
CALLS: Final = 200
"""Calls of one measurement."""
MIX_TURNS: Final = 200
"""Turns of the loop around an operation mix; its overhead is part of every mix."""
SIZES: Final = (4_096, 8_192, 16_384, 32_768, SOURCE_BYTES)
"""Bytes of the sources whose compilation is measured."""
DATE: Final = datetime.date(2026, 3, 5)
DAY: Final = DATE.toordinal() - 1
BUYER, SELLER, BANK = "maker", "steel", "bank"
COMPANIES: Final = {
    BUYER: ("trader", "core_enterprise"), SELLER: ("trader",), BANK: ("trader", "settlement_bank", "financier"),
}  # fmt: skip
STORE_KEYS: Final = {name: {1: bytes([at + 1]) * 32} for at, name in enumerate(("blocks", "state", "indexes"))}
"""Keys that seal the store of one run; it holds nothing secret and is removed at the end."""
MAP_BYTES: Final = 64 * 1024 * 1024

AIMS: Final = {
    "call_to_verify_ratio": 0.3, "in_memory_ratio": 0.2, "ns_per_gas_spread": 5.0, "full_gas_ms": 20.0,
    "compile_ms": 500.0,
}  # fmt: skip
"""What a run should reach at most (E19, G3): dearest call on the store's view and in memory, spread of gas, dearest
whole gas limit, largest source."""

ROWS_MIX: Final = "rows"
MIXES: Final = (
    ("plain", "s += 1"),
    ("integers", "s += i * 2 - n + i\nif s > 10 and n == 7:\n    s = 0"),
    ("interest", "let x = round_half_up(m * r * i / 365)\ns += x.minor"),
    ("ratio sum", "s += round_down(i / 3 + n / 7)"),
    ("percentage", "if m > m * 5%:\n    s += 1"),
    ("split", "let x = split(m, 20)\ns += x[3].minor"),
    ("share", "let x = share(m, xs)\ns += x[3].minor"),
    ("list index", "s += xs[i - floor_div(i, 100) * 100]"),
    ("in a list", "if n - 8 in xs:\n    s += 1"),
    ("list changed", "var ys: list(int, 5) = [1, 2]\nappend n to ys\nys[0] = 5\ns += ys[2]"),
    ("map", "var ms: map(int, int, 5) = {}\nms[n] = i\nms[i] = n\ns += default(ms[3]?, 1)"),
    ("record", "let x = Rec(a = i, b = m)\ns += x.a"),
    ("dates", "let x = add_months(d, i)\ns += weekday(end_of_month(x))"),
    ("loop", "for x in xs:\n    s += x"),
    (ROWS_MIX, "put Tab(id = n, n = i)\ns += Tab[n].n"),
)
"""Bodies of the loop of each mix."""
_MIX_HEAD: Final = (
    "contract mix version 1\nrecord Rec: a: int, b: money\ntable Tab key id: int:\n    n: int\n"
    "action go(n: int, m: money, r: rate(6), xs: list(int, 100), d: date) by anyone:\n"
    f"    var s = 0\n    for i in range({MIX_TURNS}):\n"
)
_MIX_ARGS: Final = (7, ("EUR", 1_234_567), 123_456, tuple(range(100)), "2026-03-05")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFigure:
    """One library call: microseconds with the store's view, in memory, and by the program alone."""

    name: str
    gas: int
    store_us: float
    memory_us: float
    program_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractResult:
    """What one run found."""

    verify_us: float
    calls: tuple[CallFigure, ...]
    host_us: Mapping[str, float]
    """Microseconds of one question to the host, on the store's view."""
    gas_ns: Mapping[str, float]
    """Nanoseconds a unit of gas, by operation mix."""
    compile_ms: Mapping[int, float]
    """Milliseconds to compile a source, by its bytes."""
    memory_kb: Mapping[str, float]
    """Kilobytes that a compiled and linked contract holds."""
    full_gas_ms: Mapping[str, float]
    """Milliseconds of a transaction that uses the whole limit, by operation mix."""
    machine: str

    @property
    def spread(self) -> float:
        """Dearest unit of gas of a computation divided by the cheapest (G3).

        A row written is left out: its price pays for the tree and the disk as well, which come after the call.
        """
        times = [spent for name, spent in self.gas_ns.items() if name != ROWS_MIX]
        return max(times) / min(times)

    @property
    def worst(self) -> dict[str, float]:
        """What this run found for each of `AIMS`."""
        return {
            "call_to_verify_ratio": max(item.store_us for item in self.calls) / self.verify_us,
            "in_memory_ratio": max(item.memory_us for item in self.calls) / self.verify_us,
            "ns_per_gas_spread": self.spread,
            "full_gas_ms": max(self.full_gas_ms.values()),
            "compile_ms": self.compile_ms[max(self.compile_ms)],
        }

    def as_json(self) -> dict[str, Any]:
        """Return the one JSON object of `hansa bench --contracts -o json`."""
        v = self.verify_us
        return {
            "schema": SCHEMA,
            "verify_us": round(v, 2),
            "calls": [
                {
                    "call": item.name,
                    "gas": item.gas,
                    "us": round(item.store_us, 2),
                    "us_in_memory": round(item.memory_us, 2),
                    "us_program": round(item.program_us, 2),
                    "call_to_verify_ratio": round(item.store_us / v, 3),
                    "in_memory_ratio": round(item.memory_us / v, 3),
                    "program_ratio": round(item.program_us / v, 3),
                }
                for item in self.calls
            ],
            "host_us": {name: round(spent, 3) for name, spent in self.host_us.items()},
            "ns_per_gas": {name: round(spent, 1) for name, spent in self.gas_ns.items()},
            "ns_per_gas_spread": round(self.spread, 2),
            "compile_ms": {str(size): round(spent, 1) for size, spent in self.compile_ms.items()},
            "memory_kb": {name: round(size, 1) for name, size in self.memory_kb.items()},
            "full_gas_ms": {name: round(spent, 2) for name, spent in self.full_gas_ms.items()},
            "aims": {
                name: {"at_most": AIMS[name], "found": round(found, 3), "met": found <= AIMS[name]}
                for name, found in self.worst.items()
            },
            "machine": self.machine,
        }


def table(result: ContractResult) -> list[tuple[str, str]]:
    """Return label and value pairs for a terminal."""
    v = result.verify_us
    rows = [("one verification (V)", f"{v:.1f} us")]
    for item in result.calls:
        rows.append(
            (item.name, f"{item.store_us:.1f} us = {item.store_us / v:.2f} V; in memory {item.memory_us / v:.2f} V; "
                        f"program alone {item.program_us / v:.2f} V; {item.gas:,} gas")
        )  # fmt: skip
    rows += [(f"host {name}", f"{spent:.2f} us") for name, spent in result.host_us.items()]
    rows += [(f"gas: {name}", f"{spent:.1f} ns a unit") for name, spent in result.gas_ns.items()]
    slowest = max(result.full_gas_ms, key=lambda name: result.full_gas_ms[name])
    rows += [
        ("spread of gas", f"{result.spread:.1f} times between the cheapest and the dearest mix"),
        ("a whole gas limit", f"at most {result.full_gas_ms[slowest]:.1f} ms ({slowest})"),
    ]
    rows += [(f"compile {size:,} bytes", f"{spent:.0f} ms") for size, spent in result.compile_ms.items()]
    rows += [(f"memory of {name}", f"{size:,.0f} KB") for name, size in result.memory_kb.items()]
    for name, found in result.worst.items():
        met = "met" if found <= AIMS[name] else "missed"
        rows.append((f"aim: {name.replace('_', ' ')}", f"{met}: {found:.2f}, at most {AIMS[name]:g}"))
    rows.append(("machine", result.machine))
    return rows


def measure(say: Callable[[str], None]) -> ContractResult:
    """Measure everything in this process; `say` is told what is measured now. Takes under a minute."""
    say("one verification, and the memory of compiled contracts")
    before = verification_us()
    memory_kb = _memory()
    linked = program(sources(), ISO_4217)
    say("library calls")
    with tempfile.TemporaryDirectory(prefix="hansa-bench-") as folder:
        machine = describe(Path(folder))
        steps = _Steps(linked)
        with _store_over(Path(folder) / "chain", steps.rows()) as stored:
            calls = tuple(_call_figure(linked, step, stored, steps.rows()) for step in steps.measured())
            host_us = _host_costs(linked, stored)
    say("operation mixes")
    gas_ns, full_gas_ms = _mixes()
    say("compilation")
    compile_ms = {size: _least_ns(_compiler(size), 3) / 1e6 for size in SIZES}
    return ContractResult(
        verify_us=(before + verification_us()) / 2,
        calls=calls,
        host_us=host_us,
        gas_ns=gas_ns,
        compile_ms=compile_ms,
        memory_kb=memory_kb,
        full_gas_ms=full_gas_ms,
        machine=machine,
    )


# -- library calls -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    """One call and who signs it."""

    name: str
    args: tuple[Any, ...]
    signers: tuple[str, ...]

    @property
    def path(self) -> tuple[str, str]:
        """Contract and method."""
        contract, _, method = self.name.partition(".")
        return contract, method


def _two(company: str) -> tuple[str, str]:
    return f"{company}-preparer", f"{company}-approver"


class _Steps:
    """The state that the measured calls find: companies, people, invoices both ways, a limit and a payment."""

    def __init__(self, linked: Program) -> None:
        self._linked = linked
        self._count = 0
        self._overlay = Overlay(MemoryState(_registry(), {}, 0, bytes(32), bytes(32)))
        self._run(_Step("credit_risk.set_limit", (BUYER, ("EUR", 10_000_000), "2026-12-31"), self._risk()))
        self.fresh = self._run(_issue("n0", SELLER, BUYER))
        self.received = self._received("n1", SELLER, BUYER)
        self.mine = self._accepted("n2", SELLER, BUYER)
        self.theirs = self._accepted("n3", BUYER, SELLER)
        due = self._accepted("n4", SELLER, BUYER)
        self.payable = self._accepted("n5", SELLER, BUYER)
        self.payment = self._run(self._propose(due))
        self._run(_Step("payments.release", (self.payment,), (f"{BUYER}-treasurer",)))

    def measured(self) -> tuple[_Step, ...]:
        """Return the calls to measure: settlement, risk and netting."""
        return (
            _issue("n9", SELLER, BUYER),
            _Step("invoices.receive", (self.fresh,), (f"{BUYER}-preparer",)),
            _Step("acceptance.accept", (self.received,), _two(BUYER)),
            _Step("credit_risk.set_limit", (BUYER, ("EUR", 20_000_000), "2026-12-31"), self._risk()),
            self._propose(self.payable),
            _Step("payments.confirm", (self.payment, "2026-03-05", "line"), _two(BANK)),
            _Step("set_offs.set_off", (self.mine, self.theirs, ("EUR", 11_900)), (*_two(SELLER), *_two(BUYER))),
        )

    def rows(self) -> dict[bytes, bytes]:
        """Return the whole state."""
        return _registry() | {key: value for key, value in self._overlay.writes() if value is not None}

    def _propose(self, invoice: Any) -> _Step:
        amount = ("EUR", 11_900)
        return _Step("payments.propose", (SELLER, BANK, amount, invoice, amount), _two(BUYER))

    def _risk(self) -> tuple[str, ...]:
        return f"{SELLER}-risk_officer", f"{SELLER}-approver"

    def _received(self, number: str, seller: str, buyer: str) -> Any:
        invoice = self._run(_issue(number, seller, buyer))
        self._run(_Step("invoices.receive", (invoice,), (f"{buyer}-preparer",)))
        return invoice

    def _accepted(self, number: str, seller: str, buyer: str) -> Any:
        invoice = self._received(number, seller, buyer)
        self._run(_Step("acceptance.accept", (invoice,), _two(buyer)))
        return invoice

    def _run(self, step: _Step) -> Any:
        self._count += 1
        host = _host(self._overlay, step, self._count)
        return _succeeded(step, self._linked.execute(*step.path, step.args, host, TX_GAS)).result


def _issue(number: str, seller: str, buyer: str) -> _Step:
    net, tax, total = ("EUR", 10_000), ("EUR", 1_900), ("EUR", 11_900)
    args = (buyer, number, "380", net, tax, total, "2026-03-01", "2026-03-31", "a" * 64)
    return _Step("invoices.issue", args, _two(seller))


def _succeeded(step: _Step, outcome: Outcome) -> Outcome:
    if outcome.abort is not None:
        raise RuntimeError(f"{step.name} was refused, so there is nothing to measure: {outcome.abort.text}")
    return outcome


def _header(height: int) -> Header:
    time_ms = (DATE - datetime.date(1970, 1, 1)).days * 86_400_000
    return Header(
        version=1, chain_id=bytes(32), epoch=0, height=height, parent_id=ZERO_HASH, tx_root=EMPTY_LIST_ROOT,
        tx_count=0, size_bytes=0, time_ms=time_ms, proposer=0, exec_height=0, exec_root=bytes(32),
        members_hash=bytes(32), next_members_hash=bytes(32), evidence_root=EMPTY_LIST_ROOT, last_cert_height=0,
        last_cert_hash=ZERO_HASH, params_hash=bytes(32),
    )  # fmt: skip


def _registry() -> dict[bytes, bytes]:
    rows = {}
    for company, roles in COMPANIES.items():
        record = Company(company, "active", roles, RootPolicy(1, (bytes(32),)), (), bytes(32), 0, 1)
        rows[company_key(company)] = encode(record)
        for role in PEOPLE_ROLES:
            user = f"{company}-{role}"
            rows[user_key(user)] = encode(User(user, company, (role,), user.encode().ljust(32, b"."), 0, "active"))
    return rows


def _host(overlay: Overlay, step: _Step, height: int) -> TransactionHost:
    """Return the host of a transaction with this call, as the nodes make it."""
    refs = tuple(SignerRef(user, "maker", user.partition("-")[0]) for user in step.signers)
    body = TxBody(1, refs, height, height + 10, *step.path, step.args, TX_GAS)
    tx = unsigned(body, height.to_bytes(32, "big"))
    return TransactionHost(overlay, tx, _header(height), DAY)


@contextmanager
def _store_over(path: Path, rows: Mapping[bytes, bytes]) -> Iterator[Reader]:
    """Give the view of a real, sealed store on the disk that holds `rows`."""
    root, nodes = build({key: value for key, value in rows.items() if not key.startswith(b"x")})
    state = MemoryState(rows, nodes, 0, root, genesis_exec_root(root))
    header = replace(_header(0), exec_root=state.exec_root)
    store = ChainStore.create(path, STORE_KEYS, header.chain_id, state, encode(header), map_bytes=MAP_BYTES)
    try:
        yield store.view()
    finally:
        store.close()


class _Alone:
    """State in a dictionary whose people hold every role: what is left is the work of the program."""

    def __init__(self, rows: Mapping[bytes, bytes], host: TransactionHost) -> None:
        self.rows = rows
        self.written: dict[bytes, bytes | None] = {}
        self.tx_id, self.height, self.day, self.signers = host.tx_id, host.height, host.day, host.signers

    def get(self, key: bytes) -> bytes | None:
        return self.written[key] if key in self.written else self.rows.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.written[key] = value

    def delete(self, key: bytes) -> None:
        self.written[key] = None

    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]:
        every = sorted({**self.rows, **self.written})
        return [key for key in every if low <= key < high and self.get(key) is not None][:count]

    def decide(self, signer: int, role: str, company: str | None, apart: tuple[str, ...]) -> str:
        user, owner = self.signers[signer]
        return "ok.role" if user.endswith(role) and company in (None, owner) and user not in apart else "deny.role"

    def company_has(self, company: str, role: str) -> bool:
        return role in COMPANIES.get(company, ())


def _call_figure(linked: Program, step: _Step, stored: Reader, rows: Mapping[bytes, bytes]) -> CallFigure:
    in_memory = MemoryState(rows, {}, 0, bytes(32), bytes(32))
    first = _host(Overlay(in_memory), step, 1_000)
    outcome = _succeeded(step, linked.execute(*step.path, step.args, first, TX_GAS))
    alone, path = _Alone(rows, first), step.path

    def program_alone() -> None:
        for _ in range(CALLS):
            linked.execute(*path, step.args, alone, TX_GAS)
            alone.written.clear()

    return CallFigure(
        name=step.name,
        gas=outcome.gas_used,
        store_us=_least_ns(_repeated(linked, step, stored)) / CALLS / 1000,
        memory_us=_least_ns(_repeated(linked, step, in_memory)) / CALLS / 1000,
        program_us=_least_ns(program_alone) / CALLS / 1000,
    )


def _repeated(linked: Program, step: _Step, base: Reader) -> Callable[[], None]:
    """Return a run of the same call, each in a layer of its own that is dropped.

    One host serves all, as the answers about people and companies are kept for a block.
    """
    overlay = Overlay(base)
    host = _host(overlay, step, 1_000)
    contract, method = step.path

    def run() -> None:
        for _ in range(CALLS):
            overlay.begin()
            linked.execute(contract, method, step.args, host, TX_GAS)
            overlay.rollback()

    return run


def _host_costs(linked: Program, stored: Reader) -> dict[str, float]:
    """Return microseconds of each kind of question."""
    overlay = Overlay(stored)
    overlay.begin()
    step = _issue("n9", SELLER, BUYER)
    host = _host(overlay, step, 1_000)
    low, high = linked.interfaces["invoices"].table_range("Invoice")
    key = host.scan(low, high, 1)[0]
    value = host.get(key) or b""

    def fresh_decision() -> None:
        for _ in range(CALLS):
            _host(overlay, step, 1_000).decide(0, "preparer", SELLER, ())

    def made() -> None:
        for _ in range(CALLS):
            _host(overlay, step, 1_000)

    def each(question: Callable[[], Any]) -> float:
        def run() -> None:
            for _ in range(CALLS):
                question()

        return _least_ns(run) / CALLS / 1000

    first = (_least_ns(fresh_decision) - _least_ns(made)) / CALLS / 1000
    return {
        "get": each(lambda: host.get(key)),
        "scan of 4": each(lambda: host.scan(low, high, 4)),
        "decide": each(lambda: host.decide(0, "preparer", SELLER, ())),
        "decide, first of a block": first,
        "company_has": each(lambda: host.company_has(BUYER, "trader")),
        "put": each(lambda: host.put(key, value)),
    }


# -- gas, compilation, memory --------------------------------------------------------------------------------------


def _mixes() -> tuple[dict[str, float], dict[str, float]]:
    """Return nanoseconds a unit and milliseconds of a whole limit, by mix."""
    host = _host(Overlay(MemoryState({}, {}, 0, bytes(32), bytes(32))), _issue("n9", SELLER, BUYER), 1_000)
    unit_ns: dict[str, float] = {}
    whole_ms: dict[str, float] = {}
    for name, body in MIXES:
        lines = "\n".join("        " + line for line in body.split("\n"))
        linked = program([("mix", (_MIX_HEAD + lines + "\n").encode("ascii"))], ISO_4217)
        outcome = linked.execute("mix", "go", _MIX_ARGS, host, QUERY_GAS)
        if outcome.abort is not None:
            raise RuntimeError(f"the mix {name} does not run: {outcome.abort.code}")
        used = outcome.gas_used

        def run(made: Program = linked) -> None:
            made.execute("mix", "go", _MIX_ARGS, host, QUERY_GAS)

        unit_ns[name] = _least_ns(run) / used
        whole_ms[name] = unit_ns[name] * TX_GAS / 1e6
    return unit_ns, whole_ms


def source_of_size(size: int) -> bytes:
    """Return a contract of about `size` bytes, never more: actions like those people write.

    >>> len(source_of_size(8_192)) <= 8_192 and b"action act_9" in source_of_size(8_192)
    True
    """
    parts = ["contract sized version 1\ntable Line key id: int:\n    owner: party, amount: money, note: text(80)\n"]
    used = len(parts[0])
    for number in range(size):
        part = (
            f"# Action {number}: book one more line for a customer, and refuse what cannot be meant.\n"
            f"action act_{number}(id: int, owner: party, amount: money, note: text(80)) by anyone:\n"
            f'    require amount > zero else no_amount "line {{id}} has no amount to book for {{owner}}"\n'
            "    let before = Line[id]\n"
            "    if before.owner == owner and before.amount.currency == amount.currency:\n"
            "        update Line[id] with amount = before.amount + amount, note = note\n"
            "    else:\n"
            "        put Line(id = id + 1, owner = owner, amount = amount, note = note)\n"
        )
        used += len(part)
        if used > size:
            break
        parts.append(part)
    return "".join(parts).encode("ascii")


def _compiler(size: int) -> Callable[[], None]:
    source = source_of_size(size)

    def run() -> None:
        load(source, {}, ISO_4217)

    return run


def _memory() -> dict[str, float]:
    """Return kilobytes of Python objects that each compiled, linked contract holds beside those before it."""
    named = sources()
    program(named, ISO_4217)  # what the first compilation fills stays out of the figures
    sizes = [0]
    for count in range(1, len(named) + 1):
        tracemalloc.start()
        held = program(named[:count], ISO_4217)
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        del held
    return {name: (sizes[at + 1] - sizes[at]) / 1000 for at, (name, _) in enumerate(named)}


def _least_ns(run: Callable[[], None], rounds: int = ROUNDS) -> float:
    """Return the least processor time of `run` in `rounds` measurements, after one that warms up."""
    run()
    times: Sequence[int] = [_timed(run) for _ in range(rounds)]
    return float(min(times))


def _timed(run: Callable[[], None]) -> int:
    start = thread_time_ns()
    run()
    return thread_time_ns() - start
