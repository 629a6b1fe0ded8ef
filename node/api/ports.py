"""What the API and the pages need from the daemon, and nothing more (architecture section 4).

`NodeService` is the whole contract; `node/app.py` implements it. Every call is made on the loop's own thread.
Reads are synchronous and answer from memory or the page cache; only what truly waits is a coroutine.
The records below are plain data: they hold what the node knows, not what a page wants to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from ledger.block import Header
from ledger.certificate import CommitCertificate
from ledger.governance.follow import EpochEnd
from ledger.receipt import ContractEvent, Receipt
from ledger.state import StateView
from ledger.transaction import Transaction, TxBody
from node.api.sessions import SessionStore
from node.api.tokens import TokenStore
from node.core.effects import SubmitResult
from node.core.programs import Parked
from node.core.rehearsal import Rehearsal
from node.documents.taking import DocumentRefused, DocumentTaken, DocumentWish, SealedOriginal


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStatus:
    """One voting company as this node sees it. Heights and views are those of its last status message."""

    index: int
    company_id: str
    node_id: str
    is_self: bool
    connected: bool
    """A working link in both directions; True for this node itself."""
    address: str
    """`host:port` this node dials; empty for itself."""
    problem: str
    """Why there is no link, in words of the transport ("timed out", "connection refused"); empty when connected."""
    view: int
    height: int
    executed_height: int
    mode: str
    """"normal", "changing", "learner", "halted" as its last status message said, or empty when none was heard. Only
    the first two vote."""
    last_heard_ms: int
    """UTC milliseconds of its last message; 0 when it was never heard since the start of this node."""
    round_trip_ms: int
    """0 when unknown."""
    fault: str = ""
    """Stable word for the last thing it sent or withheld that no correct node would ("sync_certificate"), or empty."""
    fault_ms: int = 0
    """UTC milliseconds of that fault."""
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Messages of it that were refused since the start of this node, by stable reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusStatus:
    """Where agreement stands on this node. `members` is sorted by index and never empty."""

    wall_ms: int
    """UTC milliseconds at which this picture was taken; all ages are counted from it."""
    epoch: int
    view: int
    """The view being moved to while `mode` is "changing"."""
    mode: str
    """"normal", "changing", "learner" or "halted"."""
    halt_reason: str
    vote_problem: str
    """Why this node may never vote again with its key: its journal is lost, foreign, or forgot a vote (P97); empty
    on a node with a sound journal."""
    height: int
    """Highest committed height."""
    block_id: bytes
    executed_height: int
    primary: int
    """Member index of the primary of `view` at the next height."""
    own_index: int | None
    """None on a node without a vote."""
    members: tuple[MemberStatus, ...]
    timer: str
    """Name of the running timer that would end a stall ("progress", "new_view"), or empty."""
    timer_ends_ms: int
    """UTC milliseconds; 0 when no timer runs."""
    last_block_ms: int
    """UTC milliseconds at which the last block was committed here; 0 before the first."""
    waiting: int
    """Transactions in the mempool."""
    waiting_bytes: int
    oldest_waiting_ms: int
    """Age in milliseconds; 0 when nothing waits."""
    view_changes: int
    suspects: tuple[int, ...]
    """Indexes of members that doubt the primary of this view now."""
    evidence: tuple[tuple[int, str], ...]
    """(member index, kind of proven misbehaviour), oldest first, bounded by the node."""
    phase: str
    """"idle" or "pre-prepared": the slot after the last committed block."""
    waiting_for: str = "nothing"
    """The stable word of `consensus.stall` for what this node waits for."""
    refusal: str = ""
    """Stable word for why this node refused the block of the primary ("invalid_block"), or empty."""
    silent_after_ms: int = 5_000
    """A member of which nothing was heard for so long is silent, whatever its link says."""
    syncing: bool = False
    """Blocks or a state are being fetched from others."""
    near: int = 2
    """Blocks that a node may lack without being behind, because agreement alone brings them: 2W (P106)."""
    own_company: str = ""
    """Company id of this node, also when it is no member; empty: that of the own member."""
    own_status: str = "active"
    """Status of the own company in the registry; empty while it is not registered."""
    key_missing: bool = False
    """`vote_problem` is a key that is not in the keystore: the journal is sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockData:
    """A certified block. `receipts` is None while it has not been executed here."""

    block_id: bytes
    header: Header
    header_bytes: bytes
    certificate: CommitCertificate
    transactions: tuple[Transaction, ...]
    receipts: tuple[Receipt, ...] | None


class TxState(Enum):
    """U26. `REJECTED` and `EXPIRED` never commit."""

    PENDING = "pending"
    COMMITTED = "committed"
    FINAL = "final"
    EXPIRED = "expired"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionData:
    """One transaction and what became of it. `height`, `position` and `receipt` are set from `COMMITTED` on."""

    tx_id: bytes
    state: TxState
    transaction: Transaction | None
    """None only for an expired or rejected transaction whose bytes are gone."""
    height: int
    position: int
    time_ms: int
    """Block time; 0 before it is committed."""
    receipt: Receipt | None
    final_height: int
    """Height of the committed header that certifies the result; 0 before it is final (U14)."""
    code: str
    """Problem code of a rejected transaction, else empty."""
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedProof:
    """Bytes of a `ledger.proof.ResultProof`: all that is needed to check a result without this node.

    `height` is the height whose state or receipts it proves, `certified_by` the height of the certifying header.
    """

    height: int
    certified_by: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadData:
    """A committed header without its block."""

    block_id: bytes
    header: Header
    certificate: CommitCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFacts:
    """What the sealed document behind an on-chain root says about itself; held only by nodes that have the file."""

    number: str
    kind: str
    profile: str
    source_name: str
    source_sha256: str
    imported_ms: int


class NotYet(Exception):
    """What was asked for cannot be made at this height; the text says why and what to do."""


class EventRow(Protocol):
    """A contract event at its place in the chain; `node.store.rows.EventRow` is one."""

    @property
    def height(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def index(self) -> int: ...
    @property
    def tx_id(self) -> bytes: ...
    @property
    def event(self) -> ContractEvent: ...


class Field(Protocol):
    """A field of a table, event or method: its name and the text of its type."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...


class TableSchema(Protocol):
    @property
    def key(self) -> Sequence[Field]: ...
    @property
    def fields(self) -> Sequence[Field]: ...
    @property
    def readers(self) -> tuple[str, ...] | None:
        """Names of the party fields whose companies may read a row; empty for everyone, None for all of them (L41)."""
        ...


class EventSchema(Protocol):
    @property
    def fields(self) -> Sequence[Field]: ...


class MethodSchema(Protocol):
    @property
    def params(self) -> Sequence[Field]: ...
    @property
    def result(self) -> Field | None: ...
    @property
    def authority(self) -> str: ...
    @property
    def worst_gas(self) -> int: ...


class Interface(Protocol):
    """What `contracts.runtime.Interface` says about one program; only its readers are needed here."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def code_id(self) -> bytes: ...
    @property
    def ir_hash(self) -> bytes: ...
    @property
    def tables(self) -> Mapping[str, TableSchema]: ...
    @property
    def events(self) -> Mapping[str, EventSchema]: ...
    @property
    def actions(self) -> Mapping[str, MethodSchema]: ...
    @property
    def queries(self) -> Mapping[str, MethodSchema]: ...
    def row_key(self, table: str, key: Sequence[Any]) -> bytes: ...
    def table_range(self, table: str) -> tuple[bytes, bytes]: ...
    def decode_row(self, table: str, value: bytes) -> Mapping[str, Any]: ...


class Step(Protocol):
    """Contracts that became active together; `mark` is (name, code id), sorted."""

    @property
    def active_from(self) -> int: ...
    @property
    def mark(self) -> tuple[tuple[str, bytes], ...]: ...
    @property
    def sources(self) -> Mapping[str, bytes]: ...
    @property
    def ir_hashes(self) -> Mapping[str, bytes]: ...


class SourceFault(Protocol):
    """The first thing wrong with a source; line and column are 0 when it is about contracts that do not fit."""

    @property
    def contract(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def text(self) -> str: ...


class ReviewedContract(Protocol):
    """What a source compiles to; `replaces` is 0 for a first version."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def replaces(self) -> int: ...
    @property
    def code_id(self) -> bytes: ...
    @property
    def ir_hash(self) -> bytes: ...
    @property
    def uses(self) -> tuple[str, ...]: ...
    @property
    def worst_gas(self) -> int: ...


class Review(Protocol):
    """A verdict on sources: a fault, or what each of them is."""

    @property
    def fault(self) -> SourceFault | None: ...
    @property
    def contracts(self) -> Sequence[ReviewedContract]: ...


class NodeService(Protocol):
    """The daemon as seen from its HTTP listener."""

    # who and what this node is: fixed while it runs
    @property
    def version(self) -> str:
        """Version of the software, as shown to operators."""
        ...

    @property
    def protocol(self) -> int: ...
    @property
    def network(self) -> str:
        """Label of the network in its genesis document."""
        ...

    @property
    def production(self) -> bool: ...
    @property
    def chain_id(self) -> bytes: ...
    @property
    def company_id(self) -> str: ...
    @property
    def node_id(self) -> str: ...
    @property
    def started_ms(self) -> int: ...
    @property
    def utc_offset_min(self) -> int:
        """Offset that turns block time into the ledger's calendar day."""
        ...

    @property
    def currencies(self) -> Mapping[str, int]: ...
    @property
    def interfaces(self) -> Mapping[str, Interface]:
        """The contracts of the next block by name, each after those it uses."""
        ...

    def interfaces_at(self, view: StateView) -> Mapping[str, Interface]:
        """Return the contracts of the block after the height of `view`, as `interfaces` does for the newest one."""
        ...

    def event_fields(self, event: ContractEvent, height: int) -> Sequence[Field] | None:
        """Return the fields of an event as the contract that ran at `height` declares them, or None if none does."""
        ...

    @property
    def sources(self) -> Mapping[str, bytes]:
        """Source text of each program, by name."""
        ...

    def steps(self, view: StateView) -> Sequence[Step]:
        """Return everything accepted so far, active or waiting, in the order in which it becomes active (L63)."""
        ...

    def index_rows(self, view: StateView, sources: Mapping[str, bytes]) -> int:
        """Return over how many stored rows the reviewed `sources` bring new indexes (L59)."""
        ...

    def parked(self, view: StateView, after: bytes, count: int) -> tuple[Sequence[Parked], bytes]:
        """Return the parked ones among `count` schedule entries behind `after`, and where to go on; empty: the end."""
        ...

    async def review(self, sources: Mapping[str, bytes]) -> Review:
        """Compile sources after everything accepted so far, in a process of its own; at least one (L58)."""
        ...

    def failing_rows(
        self, view: StateView, sources: Mapping[str, bytes], name: str
    ) -> Sequence[tuple[str, bytes, int]]:
        """Return (table, state key, line) of stored rows that the reviewed `sources` could not read or keep (L62)."""
        ...

    @property
    def max_tx_gas(self) -> int:
        """Most gas that one transaction may declare."""
        ...

    def rehearse(self, view: StateView, body: TxBody, wall_ms: int) -> Rehearsal:
        """Run a call over `view` as the next block would, on a throw-away overlay (L65)."""
        ...

    @property
    def names(self) -> Mapping[str, str]:
        """Directory: company id -> name (S18). A company without an entry is shown by its id."""
        ...

    @property
    def people(self) -> Mapping[str, str]:
        """Private directory of the own company: user id -> label. Names of people are never on the chain."""
        ...

    @property
    def tokens(self) -> TokenStore: ...
    @property
    def sessions(self) -> SessionStore:
        """Browsers that are signed in: of the process, so that a listener which opens again finds them (S46)."""
        ...

    # clocks: the only ones the API uses
    def wall_ms(self) -> int: ...

    # reads
    def view(self) -> StateView:
        """State after the highest executed height. Immutable while held."""
        ...

    def view_at(self, height: int) -> StateView | None:
        """Return the state after an executed height, or None when it is not held (any more)."""
        ...

    def oldest_state_height(self) -> int:
        """Lowest height that `view_at` shows."""
        ...

    def consensus(self) -> ConsensusStatus: ...
    def not_ready(self) -> tuple[str, ...]:
        """Reasons why this node is not ready, as stable words: starting, syncing, behind, no_quorum, disk, clock,
        learner, halted."""
        ...

    def counters(self) -> Mapping[str, int]:
        """Monotonic counters of the node by metric name."""
        ...

    def block(self, which: int | bytes) -> BlockData | None:
        """Return the block at a height or with an id, or None if it is unknown or pruned."""
        ...

    def head(self, height: int) -> HeadData | None:
        """Return header, id and certificate of a height; cheaper than `block`."""
        ...

    def epoch_ends(self) -> Sequence[EpochEnd]:
        """Return how epochs 0, 1, ... ended, as far as they are held without a gap (P85)."""
        ...

    def transaction(self, tx_id: bytes) -> TransactionData | None: ...
    def events(
        self, after: tuple[int, int, int] | None, limit: int, *, company: str | None = None, up_to: int | None = None
    ) -> Sequence[EventRow]:
        """Return contract events after the place (height, position, index), in order, at most `limit`.

        `company`: only events that name this company, and those of governance, which concern everybody.
        `up_to`: last height to look at.
        """
        ...

    def document_facts(self, root: str) -> DocumentFacts | None:
        """Return what the sealed document with this field-tree root (hex) says, if this node holds it."""
        ...

    async def take_document(self, data: bytes, wish: DocumentWish) -> Sequence[DocumentTaken | DocumentRefused]:
        """Read a foreign file in the intake process, seal it, and say what may be issued (S57, S90)."""
        ...

    async def audit_pack(self) -> tuple[int, bytes]:
        """Return (height, proof pack) of the own company at the newest certified height; `NotYet` before one exists."""
        ...

    def original(self, root: bytes) -> SealedOriginal | None:
        """Return the sealed original with this field-tree root, or None if it is not held here."""
        ...

    def oldest_height(self) -> int:
        """Lowest height whose block is still held (U37)."""
        ...

    def event_height(self) -> int:
        """Highest height that is executed and durable: events up to it may be told to clients (U37)."""
        ...

    def state_proof(self, key: bytes, height: int | None = None) -> CertifiedProof | None:
        """Prove the value or the absence of a raw state key at a height, or at the newest certified one; None when
        that height is not certified or no longer held."""
        ...

    def receipt_proof(self, tx_id: bytes) -> CertifiedProof | None:
        """Prove a receipt; None while the transaction is not final."""
        ...

    # what waits
    def room(self) -> int:
        """Return how many more transactions this company may hand in now."""
        ...

    async def turn(self, envelopes: Sequence[bytes]) -> bool:
        """Stand in the line until there is room for `envelopes`; False if there is none in time (ADR 0029)."""
        ...

    async def submit(self, envelopes: Sequence[bytes]) -> Sequence[SubmitResult]:
        """Hand envelopes to the mempool. One result each, in order; `code` "" means accepted (or already known)."""
        ...

    async def wait_transaction(self, tx_id: bytes, *, final: bool, timeout_s: float) -> TransactionData | None:
        """Return once the transaction is committed (or final) or can never commit, at the latest after the time."""
        ...

    async def wait_height(self, height: int, *, timeout_s: float) -> int:
        """Return `event_height()` as soon as it is at least `height`, at the latest after the time."""
        ...


class RequestMeter(Protocol):
    """Where the listener counts its work; `node.ops.metrics` implements it. Labels come from closed sets (U59)."""

    def request(self, route: str, method: str, status: int, seconds: float) -> None: ...
    def subscribers(self, change: int) -> None: ...
    def lagged(self) -> None: ...


class NoMeter:
    """Counts nothing: for a listener that runs without an operations listener."""

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Ignore one answered request."""

    def subscribers(self, change: int) -> None:
        """Ignore a stream that opened (+1) or closed (-1)."""

    def lagged(self) -> None:
        """Ignore a stream that was closed because its reader was too slow."""
