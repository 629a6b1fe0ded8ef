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
from typing import Any, Final, NamedTuple, Protocol

from ledger import merkle
from ledger.access.decide import decide, read_subject
from ledger.access.model import Action, Context, Maker, Resource
from ledger.block import Header, exec_root
from ledger.errors import InvariantViolated
from ledger.receipt import STATUS_FAILED, STATUS_OK, Abort, ContractEvent, Receipt, receipts_root
from ledger.registry.lookup import (
    ACTIVE,
    check_signers,
    encode_nonces,
    nonce_free,
    nonce_key,
    read_company,
    read_nonces,
    read_user,
    use_nonce,
)
from ledger.state import Overlay, StateView
from ledger.transaction import RESERVED_CONTRACTS, Transaction

INDEX_PREFIX: Final = b"x"
"""Index entries are derived from rows and stand outside the state root (H6)."""
PROGRAM_PREFIXES: Final = (b"t", b"x", b"s", b"p")
"""First bytes of the keys a program may write (H5); all others belong to the ledger (LR9)."""
TEXT_MAX: Final = 200
"""Code points of a refusal text in a receipt (L67)."""

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
    """Runs one contract call; `contracts.runtime.Program` is one. It never rolls back by itself (H2)."""

    def execute(
        self, contract: str, method: str, args: tuple[Any, ...], host: TransactionHost, gas_limit: int
    ) -> OutcomeLike: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockResult:
    """What a block did. `writes` sorted by key, None deletes; `nodes` are tree nodes by path, None deletes."""

    height: int
    writes: tuple[tuple[bytes, bytes | None], ...]
    nodes: Mapping[bytes, bytes | None]
    receipts: tuple[Receipt, ...]
    receipts_root: bytes
    state_root: bytes
    exec_root: bytes


def apply_block(
    view: StateView, header: Header, transactions: Sequence[Transaction], runtime: Runtime, utc_offset_min: int
) -> BlockResult:
    """Return the result of a committed block over the state of the height before it."""
    execution = BlockExecution(view, header, runtime, utc_offset_min)
    execution.run(transactions)
    return execution.finish()


class BlockExecution:
    """One block in slices: construct, `run` in order over all its transactions, `finish` once."""

    __slots__ = ("_day", "_header", "_overlay", "_receipts", "_runtime", "_view")

    def __init__(self, view: StateView, header: Header, runtime: Runtime, utc_offset_min: int) -> None:
        if header.height != view.height + 1:
            raise InvariantViolated(f"block {header.height} cannot be executed on the state of height {view.height}")
        self._view = view
        self._header = header
        self._runtime = runtime
        self._day = day_number(header.time_ms, utc_offset_min)
        self._overlay = Overlay(view)
        self._receipts: list[Receipt] = []

    def run(self, transactions: Sequence[Transaction]) -> None:
        """Execute the next `transactions` of the block, in order."""
        for tx in transactions:
            self._receipts.append(self._execute(tx))

    def finish(self) -> BlockResult:
        """Return the result; the execution must not be used afterwards."""
        if len(self._receipts) != self._header.tx_count:
            raise InvariantViolated(f"{len(self._receipts)} of {self._header.tx_count} transactions were executed")
        receipts = tuple(self._receipts)
        writes = tuple(self._overlay.writes())
        rows = [write for write in writes if not write[0].startswith(INDEX_PREFIX)]
        state_root, nodes = merkle.update(self._view.tree_node, self._view.state_root, rows)
        receipts_hash = receipts_root(receipts)
        return BlockResult(
            height=self._header.height,
            writes=writes,
            nodes=nodes,
            receipts=receipts,
            receipts_root=receipts_hash,
            state_root=state_root,
            exec_root=exec_root(self._view.exec_root, state_root, receipts_hash),
        )

    def _execute(self, tx: Transaction) -> Receipt:
        overlay, body = self._overlay, tx.body
        problem = check_signers(overlay, tx, self._header.height, self._header.time_ms)
        if problem:
            return _refused(tx, "bad_signer", "", problem)
        first = body.signers[0].user_id
        window = read_nonces(overlay, first)
        if not nonce_free(window, body.nonce):
            return _refused(tx, "bad_nonce", "", f"nonce {body.nonce} of user {first} is used or out of range")
        overlay.put(nonce_key(first), encode_nonces(use_nonce(window, body.nonce)))
        if body.contract in RESERVED_CONTRACTS:
            return _refused(tx, "unknown_method", "", f"{body.contract} has no method {body.method}")
        host = TransactionHost(overlay, tx, self._header, self._day)
        denied = host.may_call()
        if denied:
            return _refused(tx, "not_authorised", denied, "a signer may not call contracts")
        overlay.begin()
        outcome = self._runtime.execute(body.contract, body.method, body.args, host, body.gas_limit)
        if outcome.abort is not None:
            overlay.rollback()
            return Receipt(
                tx_id=tx.tx_id,
                contract=body.contract,
                version=outcome.version,
                method=body.method,
                status=STATUS_FAILED,
                gas_used=outcome.gas_used,
                abort=(outcome.abort,),
                events=(),
                result=None,
            )
        overlay.commit()
        return Receipt(
            tx_id=tx.tx_id,
            contract=body.contract,
            version=outcome.version,
            method=body.method,
            status=STATUS_OK,
            gas_used=outcome.gas_used,
            abort=(),
            events=outcome.events,
            result=outcome.result,
        )


class TransactionHost:
    """All that the program of one transaction can reach (H1): its own layer of state, its signers, `decide`."""

    __slots__ = ("_contexts", "_overlay", "_subjects", "_tx", "day", "height", "signers", "tx_id")

    def __init__(self, overlay: Overlay, tx: Transaction, header: Header, day: int) -> None:
        self._overlay = overlay
        self._tx = tx
        self.tx_id = tx.tx_id
        self.height = header.height
        self.day = day
        # Any: programs name their own Signer type with the same two fields; a NamedTuple is compared by name.
        self.signers: tuple[Any, ...] = tuple(Signer(ref.user_id, ref.company_id) for ref in tx.body.signers)
        # Read once: a program cannot write registry records, so who somebody is stays true for the transaction (H7).
        self._subjects = [read_subject(overlay, ref.user_id, ref.company_id) for ref in tx.body.signers]
        self._contexts = [
            Context(now_ms=header.time_ms, height=header.height, point="tx", capacity=ref.capacity)
            for ref in tx.body.signers
        ]

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
        """Return the code of: does signer hold `role` in `company`, apart from these users, as of now (H7)."""
        makers: list[Maker] = []
        for user_id in apart:
            user = read_user(self._overlay, user_id)
            makers.append(Maker(user_id=user_id, public_key=b"" if user is None else user.public_key))
        resource = Resource(
            kind="demand",
            id=f"{self._tx.body.contract}.{self._tx.body.method}",
            owner=company or "",
            role=role,
            makers=tuple(makers),
        )
        return decide(self._subjects[signer], Action.FULFIL, resource, self._contexts[signer]).code.value

    def company_has(self, company: str, role: str) -> bool:
        """Tell whether `company` is active and holds company role `role`."""
        record = read_company(self._overlay, company)
        return record is not None and record.status == ACTIVE and role in record.roles

    def may_call(self) -> str:
        """Return "" if every signer may call contracts, else the code of the first refusal (S68)."""
        resource = Resource(kind="transaction", id=self._tx.body.contract)
        for subject, context in zip(self._subjects, self._contexts, strict=True):
            decision = decide(subject, Action.CALL, resource, context)
            if not decision.allow:
                return decision.code.value
        return ""


def day_number(time_ms: int, utc_offset_min: int) -> int:
    """Return the network's local day of a block time: days since 0001-01-01, which is day 0 (contracts L21).

    >>> day_number(0, 0), day_number(86_399_999, 0), day_number(57_600_000, 480)
    (719162, 719162, 719163)
    """
    return (time_ms + utc_offset_min * _MINUTE_MS) // _DAY_MS + _EPOCH_DAY


def _check_program_key(key: bytes) -> None:
    if key[:1] not in PROGRAM_PREFIXES:
        raise InvariantViolated("a program wrote outside its part of the state")


def _refused(tx: Transaction, code: str, reason: str, text: str) -> Receipt:
    """Return the failed receipt of a transaction that reached no program."""
    return Receipt(
        tx_id=tx.tx_id,
        contract=tx.body.contract,
        version=0,
        method=tx.body.method,
        status=STATUS_FAILED,
        gas_used=0,
        abort=(Abort(code, reason, tx.body.contract, 0, 0, text[:TEXT_MAX]),),
        events=(),
        result=None,
    )
