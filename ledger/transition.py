"""The state transition: a committed block over the state before it gives writes, receipts and roots.

Pure: reads come through the view, writes leave as a value. A transaction that fails is a failed receipt, never a
bad block (architecture section 6). For each transaction, in order: signers and keys in force (`bad_signer`), the
nonce window (`bad_nonce`); both change nothing. Then the nonce is used up whatever happens (LR3), every signer is
asked through `decide` (S68), and the contract runs in a layer of its own that is kept or dropped as a whole (H2).

Door: `apply_block`, which equals `BlockExecution`: begin, n steps, finish (performance E34).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from ledger import merkle
from ledger.access.decide import decide, read_subject
from ledger.access.model import Action, Context, Maker, Resource, Subject
from ledger.block import Header, exec_root
from ledger.codec import encode
from ledger.crypto.hashing import H, Tag
from ledger.errors import InvariantViolated
from ledger.evidence import Fault, evidence_codec, evidence_id, fault_key
from ledger.governance.act import GOVERNANCE, Act
from ledger.governance.calls import GOVERNANCE_VERSION, govern
from ledger.governance.network import lapse_suspensions, rest_offenders
from ledger.governance.programs import Examiner, stopped_by
from ledger.governance.resting import note_fault
from ledger.receipt import STATUS_FAILED, STATUS_OK, Abort, ContractEvent, Receipt, receipts_root
from ledger.registry.epochs import EpochRecord
from ledger.registry.lookup import (
    ACTIVE,
    NonceWindow,
    SoundSigners,
    check_signers,
    encode_nonces,
    nonce_free,
    nonce_key,
    read_company,
    read_nonces,
    read_user,
    use_nonce,
)
from ledger.state import Overlay, Reader, StateView
from ledger.transaction import RESERVED_CONTRACTS, SignerRef, Transaction

INDEX_PREFIX: Final = b"x"
"""Index entries are derived from rows and stand outside the state root (H6)."""
PROGRAM_PREFIXES: Final = (b"t", b"x", b"s", b"p")
"""First bytes of the keys a program may write (H5); all others belong to the ledger (LR9)."""
TEXT_MAX: Final = 200
"""Code points of a refusal text in a receipt (L67)."""
SCHEDULE_ENTRIES_MAX: Final = 100
"""Schedule entries that run in one block (contracts section 16)."""
SCHEDULE_GAS_MAX: Final = 1_000_000
"""Gas of all schedule entries of one block: at most 0.1 s beside the transactions (contracts section 16)."""
SCHEDULE_CALL_GAS: Final = 200_000
"""Gas of one entry: that of a transaction, which no worst case is above. An entry begins when that much is left."""
SCHEDULE_SCAN_MAX: Final = 1_000
"""Due entries that one block looks at: those of suspended contracts are passed over, up to this many."""

_REST: Final = "rest"
"""What stands for a method in the receipt of a change that nobody called for (P125)."""
_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_EPOCH_DAY: Final = 719_162
"""1970-01-01 counted from 0001-01-01, which is day 0."""


class Signer(NamedTuple):
    """A verified signer of the transaction, and the company it acts for."""

    user: str
    company: str


class OutcomeLike(Protocol):
    """What a program reports; `contracts.host.Outcome` has these attributes."""

    @property
    def abort(self) -> Abort | None: ...
    @property
    def gas_used(self) -> int: ...
    @property
    def events(self) -> tuple[ContractEvent, ...]: ...
    @property
    def result(self) -> Any: ...
    @property
    def version(self) -> int: ...


class Runtime(Protocol):
    """Runs one contract call; `contracts.runtime.Program` is one. It never rolls back by itself (H2).

    One that is an `Examiner` too takes contracts by vote; one that is a `Scheduler` runs schedules.
    """

    def execute(
        self, contract: str, method: str, args: tuple[Any, ...], host: TransactionHost, gas_limit: int
    ) -> OutcomeLike: ...


class CallLike(Protocol):
    """A schedule entry that is due; `contracts.host.Call` has these attributes. `args`: (row key, day)."""

    @property
    def contract(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def args(self) -> tuple[Any, ...]: ...


@runtime_checkable
class Parking(Protocol):
    """The schedule entries that aborts parked (L55)."""

    def is_parked(self, contract: str, schedule: str, key: bytes, host: BlockHost) -> bool: ...
    def rearm(self, contract: str, schedule: str, key: bytes, host: BlockHost) -> bool: ...


@runtime_checkable
class Scheduler(Parking, Protocol):
    """The schedules of the contracts that run (L53-L55)."""

    def queued(self, reader: Reader, count: int) -> Sequence[CallLike]:
        """Return the first `count` entries that wait, whatever their day, in the order of `due`."""
        ...

    def begin(self, host: BlockHost) -> None:
        """Prepare what begins with this block, if it is the first one of these contracts, or with a later one."""
        ...

    @property
    def building(self) -> bool:
        """Tell whether `follow` has anything to do."""
        ...

    def follow(self, before: Reader, host: BlockHost, writes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Take what the block wrote into the indexes of contracts that begin later; `before` is the state before it."""
        ...

    def due(self, host: BlockHost, count: int) -> Sequence[CallLike]:
        """Return at most `count` entries to run now, in order of date, contract, schedule and key. Reads only."""
        ...

    def take(self, call: Any, host: BlockHost) -> None: ...
    def fire(self, call: Any, host: BlockHost, gas_limit: int) -> OutcomeLike: ...
    def park(self, call: Any, host: BlockHost, abort: Abort) -> None: ...


@runtime_checkable
class Linker(Protocol):
    """Gives the runtime of each height. What runs follows from the state, so contracts by vote begin and end on every
    node in the same block, also when old blocks are run again (L59, L63)."""

    def next_activation(self, reader: Reader, height: int) -> int:
        """Return the first height after `height` at which others run, or 0 if none is planned."""
        ...

    def at(self, reader: Reader, height: int) -> Runtime:
        """Return the runtime for a block of `height`; `reader` is the state before it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockResult:
    """What a block did. `writes` sorted by key, None deletes; `nodes` are tree nodes by path, None deletes.

    `next_epoch`: the member set this block decided on, with its first height; None in nearly every block (P112).
    `next_activation`: the first height after this one at which other contracts run, 0 for none (L59). `scheduled`: how
    many schedule entries ran. `next_due_ms`: the block time from which the next one is due, 0 for none (L56).
    """

    height: int
    writes: tuple[tuple[bytes, bytes | None], ...]
    nodes: Mapping[bytes, bytes | None]
    receipts: tuple[Receipt, ...]
    receipts_root: bytes
    state_root: bytes
    exec_root: bytes
    next_epoch: EpochRecord | None = None
    next_activation: int = 0
    scheduled: int = 0
    next_due_ms: int = 0


def apply_block(
    view: StateView,
    header: Header,
    transactions: Sequence[Transaction],
    runtime: Runtime | Linker,
    utc_offset_min: int,
    evidence: Sequence[bytes] = (),
) -> BlockResult:
    """Return the result of a committed block over the state of the height before it; `evidence` are encoded items."""
    execution = BlockExecution(view, header, runtime, utc_offset_min, evidence)
    execution.run(transactions)
    return execution.finish()


class _Registered:
    """What the registry says about people and companies, remembered for one block.

    Programs cannot write registry records and every question of a block has the same time, so an answer given once
    is the answer for the whole block. A built-in contract that changes a record must start a new one.
    """

    __slots__ = ("callers", "companies", "contexts", "decisions", "sound", "stopped", "subjects")

    def __init__(self) -> None:
        self.sound: SoundSigners = {}
        self.subjects: dict[tuple[str, str], Subject | None] = {}
        self.contexts: dict[str, Context] = {}
        self.callers: dict[tuple[str, str, str], str] = {}
        """(user, company, capacity) -> "" when it may call contracts, else the code of the refusal."""
        self.decisions: dict[tuple[str, str, str, str, str, tuple[str, ...]], str] = {}
        """(user, company, capacity, role, company demanded, apart from) -> code."""
        self.companies: dict[tuple[str, str], bool] = {}
        self.stopped: dict[str, str] = {}
        """Contract -> the suspended contract that keeps it from running, or "" (L60)."""


class BlockExecution:
    """One block in slices: construct, `run` in order over all its transactions, `finish` once."""

    __slots__ = (
        "_day",
        "_examiner",
        "_header",
        "_linker",
        "_next_epoch",
        "_overlay",
        "_receipts",
        "_registered",
        "_runtime",
        "_scheduled",
        "_utc_offset_min",
        "_view",
        "_windows",
    )

    def __init__(
        self,
        view: StateView,
        header: Header,
        runtime: Runtime | Linker,
        utc_offset_min: int,
        evidence: Sequence[bytes] = (),
    ) -> None:
        if header.height != view.height + 1:
            raise InvariantViolated(f"block {header.height} cannot be executed on the state of height {view.height}")
        self._view = view
        self._header = header
        self._linker = runtime if isinstance(runtime, Linker) else None
        self._runtime = runtime.at(view, header.height) if isinstance(runtime, Linker) else runtime
        self._examiner = self._runtime if isinstance(self._runtime, Examiner) else None
        self._next_epoch: EpochRecord | None = None
        self._utc_offset_min = utc_offset_min
        self._day = day_number(header.time_ms, utc_offset_min)
        self._overlay = Overlay(view)
        self._receipts: list[Receipt] = []
        self._registered = _Registered()
        self._windows: dict[str, NonceWindow] = {}
        """Nonce windows that moved in this block; written once, at its end."""
        lapse_suspensions(self._overlay, header.time_ms)
        for item in evidence:
            self._record(item)
        self._scheduled = (*self._rest_offenders(), *self._run_schedules())

    def run(self, transactions: Sequence[Transaction]) -> None:
        """Execute the next `transactions` of the block, in order."""
        for tx in transactions:
            self._receipts.append(self._execute(tx.opened()))

    def finish(self) -> BlockResult:
        """Return the result; the execution must not be used afterwards."""
        if len(self._receipts) != self._header.tx_count:
            raise InvariantViolated(f"{len(self._receipts)} of {self._header.tx_count} transactions were executed")
        receipts = (*self._receipts, *self._scheduled)
        for user_id, window in self._windows.items():
            self._overlay.put(nonce_key(user_id), encode_nonces(window))
        if isinstance(self._runtime, Scheduler) and self._runtime.building:
            self._runtime.follow(self._view, BlockHost(self._overlay, self._header, self._day), self._overlay.writes())
        writes = tuple(self._overlay.writes())
        rows = [write for write in writes if not write[0].startswith(INDEX_PREFIX)]
        state_root, nodes = merkle.update(self._view.tree_node, self._view.state_root, rows)
        receipts_hash = receipts_root(receipts)
        height = self._header.height
        return BlockResult(
            height=height,
            writes=writes,
            nodes=nodes,
            receipts=receipts,
            receipts_root=receipts_hash,
            state_root=state_root,
            exec_root=exec_root(self._view.exec_root, state_root, receipts_hash),
            next_epoch=self._next_epoch,
            next_activation=0 if self._linker is None else self._linker.next_activation(self._overlay, height),
            scheduled=len(self._scheduled),
            next_due_ms=next_due_ms(self._overlay, self._runtime, self._utc_offset_min),
        )

    def _run_schedules(self) -> tuple[Receipt, ...]:
        """Run the entries that are due, before the transactions; return their receipts (L54).

        Each is a call of its own. What finds no place waits for the next block; entries of a suspended contract wait
        for its end (L60).
        """
        scheduler = self._runtime
        if not isinstance(scheduler, Scheduler):
            return ()
        overlay, gas = self._overlay, SCHEDULE_GAS_MAX
        receipts: list[Receipt] = []
        host = BlockHost(overlay, self._header, self._day, self._registered)
        scheduler.begin(host)
        for call in scheduler.due(host, SCHEDULE_SCAN_MAX):
            if len(receipts) == SCHEDULE_ENTRIES_MAX or gas < SCHEDULE_CALL_GAS:
                break
            if self._stopped(call.contract):
                continue
            host.tx_id = schedule_id(self._header.height, call.contract, call.method, call.args[0])
            scheduler.take(call, host)
            overlay.begin()
            outcome = scheduler.fire(call, host, SCHEDULE_CALL_GAS)
            gas -= outcome.gas_used
            if outcome.abort is not None:
                overlay.rollback()
                scheduler.park(call, host, outcome.abort)
            else:
                overlay.commit()
            receipts.append(_scheduled(host.tx_id, call, outcome))
        return tuple(receipts)

    def _record(self, item: bytes) -> None:
        """Keep a proven fault on the chain, before the transactions; the first item of its kind stays (P124, P125)."""
        evidence = evidence_codec.decode(item)
        key = fault_key(evidence.company_id, evidence.epoch, evidence.kind)
        if self._overlay.get(key) is None:
            fault = Fault(evidence.company_id, evidence.kind, evidence.epoch, self._header.height, evidence_id(item))
            self._overlay.put(key, encode(fault))
            note_fault(self._overlay, fault)

    def _rest_offenders(self) -> tuple[Receipt, ...]:
        """Change the rotation for proven faults if the companies chose so; return the receipt that tells it (P125)."""
        header = self._header
        act = Act(
            rows=self._overlay,
            entries=None,
            examiner=None,
            chain_id=header.chain_id,
            parent_id=header.parent_id,
            height=header.height,
            time_ms=header.time_ms,
            tx_id=schedule_id(header.height, GOVERNANCE, _REST, b""),
            company_id="",
            signers=(),
            gas_limit=0,
        )
        rest_offenders(act)
        if act.next_epoch is None:
            return ()
        self._next_epoch = act.next_epoch
        return (
            Receipt(
                tx_id=act.tx_id,
                contract=GOVERNANCE,
                version=GOVERNANCE_VERSION,
                method=_REST,
                status=STATUS_OK,
                gas_used=0,
                abort=(),
                events=tuple(act.events),
                result=None,
            ),
        )

    def _execute(self, tx: Transaction) -> Receipt:
        overlay, body = self._overlay, tx.body
        registered, header = self._registered, self._header
        problem = check_signers(overlay, tx, header.height, header.time_ms, registered.sound)
        if problem:
            return _refused(tx, "bad_signer", "", problem)
        first = body.signers[0].user_id
        window = self._windows.get(first) or read_nonces(overlay, first)
        if not nonce_free(window, body.nonce):
            return _refused(tx, "bad_nonce", "", f"nonce {body.nonce} of user {first} is used or out of range")
        self._windows[first] = use_nonce(window, body.nonce)
        if body.contract in RESERVED_CONTRACTS and body.contract != GOVERNANCE:
            return _refused(tx, "unknown_method", "", f"{body.contract} has no method {body.method}")
        host = TransactionHost(overlay, tx, header, self._day, registered)
        denied = host.may_call()
        if denied:
            return _refused(tx, "not_authorised", denied, "a signer may not call contracts")
        if body.contract == GOVERNANCE:
            return self._govern(tx, host)
        stopped = self._stopped(body.contract)
        if stopped:
            return _refused(tx, "suspended", "L60", f"contract {stopped} is suspended by vote; ask the companies")
        overlay.begin()
        outcome = self._runtime.execute(body.contract, body.method, body.args, host, body.gas_limit)
        if outcome.abort is not None:
            overlay.rollback()
            return _failed(tx, outcome.version, outcome.gas_used, outcome.abort)
        overlay.commit()
        return _succeeded(tx, outcome.version, outcome.gas_used, outcome.events, outcome.result)

    def _govern(self, tx: Transaction, host: TransactionHost) -> Receipt:
        """Run a call of the reserved contract `governance`: it changes the ledger's own records (LR1)."""
        header, overlay = self._header, self._overlay
        act = Act(
            rows=overlay,
            examiner=self._examiner,
            entries=_Entries(self._runtime, host) if isinstance(self._runtime, Parking) else None,
            chain_id=header.chain_id,
            parent_id=header.parent_id,
            height=header.height,
            time_ms=header.time_ms,
            tx_id=tx.tx_id,
            company_id="",
            signers=(),
            gas_limit=tx.body.gas_limit,
        )
        overlay.begin()
        verdict = govern(act, tx.body, host.decide)
        if verdict.abort is not None:
            overlay.rollback()
            return _failed(tx, GOVERNANCE_VERSION, verdict.gas_used, verdict.abort)
        overlay.commit()
        self._registered = _Registered()
        self._next_epoch = verdict.next_epoch or self._next_epoch
        return _succeeded(tx, GOVERNANCE_VERSION, verdict.gas_used, verdict.events, verdict.result)

    def _stopped(self, contract: str) -> str:
        known = self._registered.stopped
        if contract not in known:
            known[contract] = stopped_by(self._overlay, contract, self._examiner)
        return known[contract]


class BlockHost:
    """All that a program can reach when nobody calls it: the state, the date, and who companies are (H1)."""

    __slots__ = ("_header", "_overlay", "_registered", "day", "height", "signers", "tx_id")

    def __init__(self, overlay: Overlay, header: Header, day: int, registered: _Registered | None = None) -> None:
        self._overlay = overlay
        self._header = header
        self._registered = registered or _Registered()
        self.tx_id = b""
        self.height = header.height
        self.day = day
        # Any: programs name their own Signer type with the same two fields; a NamedTuple is compared by name.
        self.signers: tuple[Any, ...] = ()

    def get(self, key: bytes) -> bytes | None:
        return self._overlay.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        _check_program_key(key)
        self._overlay.put(key, value)

    def delete(self, key: bytes) -> None:
        _check_program_key(key)
        self._overlay.delete(key)

    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]:
        return self._overlay.scan(low, high, count)

    def decide(self, signer: int, role: str, company: str | None, apart: tuple[str, ...]) -> str:
        raise InvariantViolated(f"a call without signers asked about {signer}, {role}, {company}, {apart}")

    def company_has(self, company: str, role: str) -> bool:
        """Tell whether `company` is active and holds company role `role`."""
        known = self._registered.companies
        answer = known.get((company, role))
        if answer is None:
            record = read_company(self._overlay, company)
            answer = record is not None and record.status == ACTIVE and role in record.roles
            known[company, role] = answer
        return answer


class TransactionHost(BlockHost):
    """All that the program of one transaction can reach (H1): its own layer of state, its signers, `decide`."""

    __slots__ = ("_refs", "_tx")

    def __init__(
        self, overlay: Overlay, tx: Transaction, header: Header, day: int, registered: _Registered | None = None
    ) -> None:
        super().__init__(overlay, header, day, registered)
        self._tx = tx
        self._refs = tx.body.signers
        self.tx_id = tx.tx_id
        self.signers = tuple([Signer(ref.user_id, ref.company_id) for ref in self._refs])

    def decide(self, signer: int, role: str, company: str | None, apart: tuple[str, ...]) -> str:
        """Return the code of: does signer hold `role` in `company`, apart from these users, as of now (H7)."""
        ref, owner, known = self._refs[signer], company or "", self._registered.decisions
        question = (ref.user_id, ref.company_id, ref.capacity, role, owner, apart)
        answer = known.get(question)
        if answer is None:
            makers: list[Maker] = []
            for user_id in apart:
                user = read_user(self._overlay, user_id)
                makers.append(Maker(user_id=user_id, public_key=b"" if user is None else user.public_key))
            resource = Resource(
                kind="demand",
                id=f"{self._tx.body.contract}.{self._tx.body.method}",
                owner=owner,
                role=role,
                makers=tuple(makers),
            )
            answer = decide(self._subject(ref), Action.FULFIL, resource, self._context(ref)).code.value
            known[question] = answer
        return answer

    def may_call(self) -> str:
        """Return "" if every signer may call contracts, else the code of the first refusal (S68)."""
        known = self._registered.callers
        for ref in self._refs:
            question = (ref.user_id, ref.company_id, ref.capacity)
            answer = known.get(question)
            if answer is None:
                resource = Resource(kind="transaction", id=self._tx.body.contract)
                decision = decide(self._subject(ref), Action.CALL, resource, self._context(ref))
                answer = known[question] = "" if decision.allow else decision.code.value
            if answer:
                return answer
        return ""

    def _subject(self, ref: SignerRef) -> Subject | None:
        known = self._registered.subjects
        place = (ref.user_id, ref.company_id)
        if place not in known:
            known[place] = read_subject(self._overlay, ref.user_id, ref.company_id)
        return known[place]

    def _context(self, ref: SignerRef) -> Context:
        known = self._registered.contexts
        context = known.get(ref.capacity)
        if context is None:
            header = self._header
            context = Context(now_ms=header.time_ms, height=header.height, point="tx", capacity=ref.capacity)
            known[ref.capacity] = context
        return context


class _Entries:
    """The schedule entries as a call of governance reaches them (L55)."""

    __slots__ = ("_host", "_parking")

    def __init__(self, parking: Parking, host: BlockHost) -> None:
        self._parking = parking
        self._host = host

    def is_parked(self, contract: str, schedule: str, key: bytes) -> bool:
        return self._parking.is_parked(contract, schedule, key, self._host)

    def rearm(self, contract: str, schedule: str, key: bytes) -> None:
        if not self._parking.rearm(contract, schedule, key, self._host):
            raise InvariantViolated(f"the entry of {contract}.{schedule} was parked and is not any more")


def day_number(time_ms: int, utc_offset_min: int) -> int:
    """Return the network's local day of a block time: days since 0001-01-01, which is day 0 (contracts L21).

    >>> day_number(0, 0), day_number(86_399_999, 0), day_number(57_600_000, 480)
    (719162, 719162, 719163)
    """
    return (time_ms + utc_offset_min * _MINUTE_MS) // _DAY_MS + _EPOCH_DAY


def day_begin_ms(day: int, utc_offset_min: int) -> int:
    """Return the first block time of a local day, the other way round of `day_number`; 1 for days before 1970.

    >>> day_begin_ms(719_163, 480) - day_begin_ms(719_163, 0), day_number(day_begin_ms(739_000, -90), -90)
    (-28800000, 739000)
    """
    return max(1, (day - _EPOCH_DAY) * _DAY_MS - utc_offset_min * _MINUTE_MS)


def next_due_ms(reader: Reader, runtime: Runtime, utc_offset_min: int) -> int:
    """Return the block time from which a schedule entry is due over the state `reader`, 0 when none can run (L56).

    Pure like the rest: every node names the same time, and whoever proposes looks at its clock. Entries of suspended
    contracts wait for an order, not for a block (L60); those behind `SCHEDULE_SCAN_MAX` of them wait with them, because
    a block looks no further either.
    """
    if not isinstance(runtime, Scheduler):
        return 0
    examiner = runtime if isinstance(runtime, Examiner) else None
    for count in (1, SCHEDULE_SCAN_MAX):
        calls = runtime.queued(reader, count)
        for call in calls:
            if not stopped_by(reader, call.contract, examiner):
                return day_begin_ms(call.args[1], utc_offset_min)
        if len(calls) < count:
            break
    return 0


def schedule_id(height: int, contract: str, schedule: str, key: bytes) -> bytes:
    """Return what stands for a transaction id when an entry runs: unique, because an entry runs once in a block."""
    return H(Tag.OBJECT_ID, b"schedule", height.to_bytes(8, "big"), contract.encode(), schedule.encode(), key)


def _check_program_key(key: bytes) -> None:
    if key[:1] not in PROGRAM_PREFIXES:
        raise InvariantViolated("a program wrote outside its part of the state")


def _succeeded(tx: Transaction, version: int, gas_used: int, events: tuple[ContractEvent, ...], result: Any) -> Receipt:
    return Receipt(
        tx_id=tx.tx_id,
        contract=tx.body.contract,
        version=version,
        method=tx.body.method,
        status=STATUS_OK,
        gas_used=gas_used,
        abort=(),
        events=events,
        result=result,
    )


def _failed(tx: Transaction, version: int, gas_used: int, abort: Abort) -> Receipt:
    return Receipt(
        tx_id=tx.tx_id,
        contract=tx.body.contract,
        version=version,
        method=tx.body.method,
        status=STATUS_FAILED,
        gas_used=gas_used,
        abort=(abort,),
        events=(),
        result=None,
    )


def _scheduled(identity: bytes, call: CallLike, outcome: OutcomeLike) -> Receipt:
    failed = outcome.abort is not None
    return Receipt(
        tx_id=identity,
        contract=call.contract,
        version=outcome.version,
        method=call.method,
        status=STATUS_FAILED if failed else STATUS_OK,
        gas_used=outcome.gas_used,
        abort=() if outcome.abort is None else (outcome.abort,),
        events=() if failed else outcome.events,
        result=None,
    )


def _refused(tx: Transaction, code: str, reason: str, text: str) -> Receipt:
    """Return the failed receipt of a transaction that reached no program."""
    return _failed(tx, 0, 0, Abort(code, reason, tx.body.contract, 0, 0, text[:TEXT_MAX]))
