"""A dry run: what a transaction or a query would do to a state, and how, without doing it (L65).

The transaction goes through the same execution of a block as a real one, alone, on a throw-away overlay; signatures are
not asked for, everything else is. The contracts are linked once more with a watch before each statement, which changes
neither results nor gas. What comes back says which rows were read and written, what each line cost, and why it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from contracts.host import Host, Outcome
from contracts.kit.observe import Watched, Watching
from contracts.limits import QUERY_GAS
from contracts.runtime import Program, link
from ledger.block import EMPTY_LIST_ROOT, PROTOCOL_VERSION, Header
from ledger.codec import encode
from ledger.governance.programs import Examined, Lineage
from ledger.ids import ZERO_HASH
from ledger.money import CurrencyTable
from ledger.receipt import STATUS_FAILED, STATUS_OK, Receipt
from ledger.registry.lookup import NONCE_PREFIX, read_user
from ledger.state import Overlay, StateView
from ledger.transaction import Transaction, TxBody, body_digest, unsigned
from ledger.transition import BlockExecution, day_number
from node.core.programs import Linked, StateHost


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """`reads` and `writes` in the order of the first one, by state key; `lines`: (contract, line) -> (times, gas).

    `steps` are the first statements that ran, with the gas left before each; `cut`: there were more.
    """

    receipt: Receipt
    reads: Mapping[bytes, bytes | None]
    writes: Mapping[bytes, tuple[bytes | None, bytes | None]]
    """State key -> (before, after)."""
    lines: Mapping[tuple[str, int], tuple[int, int]]
    steps: Sequence[Watched]
    cut: bool
    earlier: int = 0
    """Transactions of its own block that ran before it."""


class After:
    """A state with the writes of the first part of a block on top. Its roots are those below and prove nothing."""

    def __init__(self, view: StateView, writes: Sequence[tuple[bytes, bytes | None]]) -> None:
        self._view = view
        self._rows = Overlay(view)
        for key, value in writes:
            if value is None:
                self._rows.delete(key)
            else:
                self._rows.put(key, value)

    @property
    def height(self) -> int:
        return self._view.height

    @property
    def state_root(self) -> bytes:
        return self._view.state_root

    @property
    def exec_root(self) -> bytes:
        return self._view.exec_root

    def tree_node(self, path: bytes) -> bytes | None:
        return self._view.tree_node(path)

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]:
        return self._rows.scan(low, high, count)


class Recorder:
    """A host that hands everything on and notes what is read through it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.tx_id, self.height, self.day, self.signers = host.tx_id, host.height, host.day, host.signers
        self.reads: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        value = self._host.get(key)
        self.reads.setdefault(key, value)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        self._host.put(key, value)

    def delete(self, key: bytes) -> None:
        self._host.delete(key)

    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]:
        return self._host.scan(low, high, count)

    def decide(self, signer: int, role: str, company: str | None, apart: tuple[str, ...]) -> str:
        return self._host.decide(signer, role, company, apart)

    def company_has(self, company: str, role: str) -> bool:
        return self._host.company_has(company, role)


class Stage:
    """The contracts of one height, watched: the runtime of a rehearsal. It runs no schedules."""

    def __init__(self, linked: Linked, currencies: CurrencyTable) -> None:
        codes = linked.program.codes
        self._linked = linked
        self.watching = Watching(codes, currencies)
        self.program: Program = link(codes, self.watching)
        self.reads: Mapping[bytes, bytes | None] = {}

    def execute(self, contract: str, method: str, args: tuple[Any, ...], host: Host, gas_limit: int) -> Outcome:
        return self._watched(self.program.execute, contract, method, args, host, gas_limit)

    def query(self, contract: str, method: str, args: tuple[Any, ...], host: Host, gas_limit: int) -> Outcome:
        return self._watched(self.program.query, contract, method, args, host, gas_limit)

    def is_parked(self, contract: str, schedule: str, key: bytes, host: Host) -> bool:
        return self._linked.is_parked(contract, schedule, key, host)

    def rearm(self, contract: str, schedule: str, key: bytes, host: Host) -> bool:
        return self._linked.rearm(contract, schedule, key, host)

    def uses(self, contract: str) -> tuple[str, ...]:
        return self._linked.uses(contract)

    def examine(self, planned: Sequence[Lineage]) -> Mapping[str, Examined] | str:
        return self._linked.examine(planned)

    def _watched(
        self,
        run: Callable[[str, str, tuple[Any, ...], Host, int], Outcome],
        contract: str,
        method: str,
        args: tuple[Any, ...],
        host: Host,
        gas_limit: int,
    ) -> Outcome:
        recorder = Recorder(host)
        outcome = run(contract, method, args, recorder, gas_limit)
        self.watching.end(gas_limit - outcome.gas_used)
        self.reads = recorder.reads
        return outcome


def rehearse(
    linked: Linked,
    view: StateView,
    body: TxBody,
    chain_id: bytes,
    time_ms: int,
    utc_offset_min: int,
    currencies: CurrencyTable,
    earlier: Sequence[Transaction] | None = None,
) -> Rehearsal:
    """Return what a transaction with this body would do in the block after `view`, at block time `time_ms`.

    `linked` are the contracts of that block. Signatures are taken to be there, made with the registered keys. With
    `earlier`, the transactions before it in its own block, they run first, after the schedules of the block: so a
    transaction that was committed does what it did.
    """
    before = view if earlier is None else _after(linked, view, earlier, chain_id, time_ms, utc_offset_min)
    keys = [user.public_key if (user := read_user(before, ref.user_id)) else b"" for ref in body.signers]
    tx = unsigned(body, body_digest(encode(body), chain_id), keys)
    stage = Stage(linked, currencies)
    execution = BlockExecution(before, _header(view, chain_id, time_ms), stage, utc_offset_min)
    execution.run((tx,))
    result = execution.finish()
    writes = {
        key: (before.get(key), value)
        for key, value in result.writes
        if not key.startswith(NONCE_PREFIX) and before.get(key) != value
    }
    return _rehearsal(result.receipts[0], stage, writes, len(earlier or ()))


def _after(
    linked: Linked,
    view: StateView,
    earlier: Sequence[Transaction],
    chain_id: bytes,
    time_ms: int,
    utc_offset_min: int,
) -> After:
    """Return the state in the middle of a block: its schedules and the first transactions ran."""
    header = replace(_header(view, chain_id, time_ms), tx_count=len(earlier))
    execution = BlockExecution(view, header, linked, utc_offset_min)
    execution.run(earlier)
    return After(view, execution.finish().writes)


def ask(
    linked: Linked,
    view: StateView,
    contract: str,
    method: str,
    args: tuple[Any, ...],
    time_ms: int,
    utc_offset_min: int,
    currencies: CurrencyTable,
) -> Rehearsal:
    """Return what a query answers over `view` (L65)."""
    stage = Stage(linked, currencies)
    host = StateHost(view, view.height, day_number(time_ms, utc_offset_min))
    outcome = stage.query(contract, method, args, host, QUERY_GAS)
    receipt = Receipt(
        tx_id=ZERO_HASH,
        contract=contract,
        version=outcome.version,
        method=method,
        status=STATUS_OK if outcome.abort is None else STATUS_FAILED,
        gas_used=outcome.gas_used,
        abort=() if outcome.abort is None else (outcome.abort,),
        events=(),
        result=outcome.result,
    )
    return _rehearsal(receipt, stage, {})


def _rehearsal(
    receipt: Receipt, stage: Stage, writes: Mapping[bytes, tuple[bytes | None, bytes | None]], earlier: int = 0
) -> Rehearsal:
    watching = stage.watching
    return Rehearsal(
        receipt=receipt,
        reads=stage.reads,
        writes=writes,
        lines={place: (times, gas) for place, (times, gas) in watching.lines.items()},
        steps=tuple(watching.steps),
        cut=watching.cut,
        earlier=earlier,
    )


def _header(view: StateView, chain_id: bytes, time_ms: int) -> Header:
    """Return the header of a block that nobody makes: only what execution looks at is true."""
    return Header(
        version=PROTOCOL_VERSION,
        chain_id=chain_id,
        epoch=0,
        height=view.height + 1,
        parent_id=ZERO_HASH,
        tx_root=EMPTY_LIST_ROOT,
        tx_count=1,
        size_bytes=0,
        time_ms=time_ms,
        proposer=0,
        exec_height=view.height,
        exec_root=view.exec_root,
        members_hash=ZERO_HASH,
        next_members_hash=ZERO_HASH,
        evidence_root=EMPTY_LIST_ROOT,
        last_cert_height=0,
        last_cert_hash=ZERO_HASH,
        params_hash=ZERO_HASH,
    )
