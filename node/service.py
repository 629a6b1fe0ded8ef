"""What the daemon lets its HTTP listener see: `node.api.ports.NodeService` over store, driver and links.

Reads come from the store's memory and page cache; nothing here decides who may read what, that is the API's task.
Waiters are woken once a block, not once a transaction (performance E4).
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from contracts.interface import Interface
from ledger.block import PROTOCOL_VERSION
from ledger.codec import encode
from ledger.errors import LedgerError
from ledger.evidence import split_bodies
from ledger.genesis import GenesisDocument
from ledger.governance.act import GOVERNANCE
from ledger.governance.follow import EpochEnd
from ledger.governance.records import PAYLOADS, InstallContracts
from ledger.proof import ReceiptClaim, StateClaim, receipt_claim, state_claim
from ledger.receipt import ContractEvent
from ledger.state import StateView
from ledger.transaction import Transaction, TxBody, decode_transaction
from node.access.feed import GOVERNANCE_FIELDS
from node.api.ports import (
    BlockData,
    CertifiedProof,
    ConsensusStatus,
    DocumentFacts,
    EventRow,
    Field,
    HeadData,
    TransactionData,
    TxState,
)
from node.api.sentences import reachable_members
from node.api.sessions import SessionStore
from node.api.tokens import TokenStore
from node.core.effects import SubmitResult
from node.core.programs import Linked, Parked, Programs, Step
from node.core.rehearsal import Rehearsal, ask, rehearse
from node.documents.taking import DocumentRefused, DocumentTaken, DocumentWish, SealedOriginal
from node.documents.vault import Vault
from node.driver.line import Line
from node.driver.loop import Driver
from node.identity.directory import Directory
from node.review.reviewer import Reviewer
from node.review.wire import Verdict
from node.store.ends import EpochEnds
from node.store.ledger import ChainStore
from node.store.proofs import result_proof
from node.store.views import ChainView

if TYPE_CHECKING:
    from node.documents.desk import DocumentDesk

VERSION: Final = "0.1.0"
_ROOT: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
PLANS_REFUSED_MAX: Final = 4
"""Plans of one submission that are refused after a review; more are left to the block, which refuses them too."""
PROPOSE_ARGUMENTS: Final = 3
_GOVERNANCE: Final = GOVERNANCE.encode()
EARLIER_MAX: Final = 1_000
"""Transactions of a block that run again before the one that is rehearsed: the loop waits for them, some 0.2 s."""
FAILING_ROWS_MAX: Final = 200
"""Rows of each table that a review reads: enough to show that an upgrade does not fit what is stored."""
SUBMISSIONS_KEPT: Final = 20_000
"""Submitted transactions whose end this node can still tell although they never entered a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this node is; fixed while it runs."""

    chain_id: bytes
    company_id: str
    node_id: str
    document: GenesisDocument
    names: Mapping[str, str]
    people: Mapping[str, str]


class Service:
    """The daemon as the API sees it. All calls on the loop's thread."""

    def __init__(
        self,
        *,
        identity: Identity,
        store: ChainStore,
        driver: Driver,
        programs: Programs,
        tokens: TokenStore,
        sessions: SessionStore,
        vault: Vault,
        directory: Directory,
        numbering: bytes,
        sign_pack: Callable[[int, bytes], bytes],
        ends: EpochEnds,
        consensus: Callable[[], ConsensusStatus],
        not_ready: Callable[[], tuple[str, ...]],
    ) -> None:
        self._identity = identity
        self._store = store
        self._driver = driver
        self._ends = ends
        self._consensus = consensus
        self._not_ready = not_ready
        self._vault = vault
        self._directory = directory
        self._numbering = numbering
        self._sign_pack = sign_pack
        self._desk: DocumentDesk | None = None
        self.tokens = tokens
        self.sessions = sessions
        self._programs = programs
        self._reviewer = Reviewer(dict(identity.document.currencies))
        self._running: tuple[int, Linked] = (-1, programs.at(store.view(), store.executed_height + 1))
        self.names = identity.names
        self.people = identity.people
        self.currencies: Mapping[str, int] = dict(identity.document.currencies)
        self.version = VERSION
        self.protocol = PROTOCOL_VERSION
        self.network = identity.document.network
        self.production = identity.document.production
        self.chain_id = identity.chain_id
        self.company_id = identity.company_id
        self.node_id = identity.node_id
        self.started_ms = self.wall_ms()
        self.utc_offset_min = identity.document.utc_offset_min
        self._submitted: OrderedDict[bytes, Transaction] = OrderedDict()
        self._block_done = asyncio.Event()
        self._line = Line(lambda: driver.core.mempool.room - driver.entering)

    def adopt(self, directory: Directory) -> None:
        """Use the names and identifiers of `directory` from now on."""
        self._directory, self.names, self._desk = directory, directory.names, None

    # -- clocks and figures --------------------------------------------------------------------------------------

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self._driver.wall_offset_ms

    def consensus(self) -> ConsensusStatus:
        return self._consensus()

    def voting_members(self) -> int:
        return reachable_members(self._consensus())

    def not_ready(self) -> tuple[str, ...]:
        return self._not_ready()

    def counters(self) -> Mapping[str, int]:
        meter = self._driver.meter
        counters = dict(meter.counters)
        for part, spent in meter.cpu_ns.items():
            counters[f"cpu_ns.{part}"] = spent
        counters["mempool_txs"] = len(self._driver.core.mempool.waiting)
        counters["submissions_standing"] = self._line.standing
        counters["state_rows"] = self._store.row_count()
        counters["storage_bytes.chain"] = self._store.size_bytes()
        counters["storage_write_buffer_bytes"] = self._store.write_buffer_bytes()
        return counters

    # -- contracts -----------------------------------------------------------------------------------------------

    @property
    def running(self) -> Linked:
        """The contracts of the next block: what a call that is sent now meets, unless a plan begins before it."""
        height = self._store.executed_height
        if self._running[0] != height:
            self._running = height, self._programs.at(self._store.view(), height + 1)
        return self._running[1]

    @property
    def interfaces(self) -> Mapping[str, Interface]:
        return self.running.interfaces

    def interfaces_at(self, view: StateView) -> Mapping[str, Interface]:
        return self._programs.at(view, view.height + 1).interfaces

    @property
    def sources(self) -> Mapping[str, bytes]:
        return self.running.sources

    def steps(self, view: StateView) -> Sequence[Step]:
        return self._programs.steps(view)

    def index_rows(self, view: StateView, sources: Mapping[str, bytes]) -> int:
        return self._programs.index_rows(view, sources)

    def parked(self, view: StateView, after: bytes, count: int) -> tuple[Sequence[Parked], bytes]:
        return self._programs.at(view, view.height + 1).parked(view, after, count)

    async def review(self, sources: Mapping[str, bytes]) -> Verdict:
        return await self._reviewer.review([step.sources for step in self.steps(self.view())], sources)

    def failing_rows(
        self, view: StateView, sources: Mapping[str, bytes], name: str
    ) -> Sequence[tuple[str, bytes, int]]:
        return self._programs.failing_rows(view, sources, name, FAILING_ROWS_MAX)

    @property
    def max_tx_gas(self) -> int:
        return self._identity.document.params.max_tx_gas

    def rehearse(self, view: StateView, body: TxBody, wall_ms: int) -> Rehearsal:
        linked = self._programs.at(view, view.height + 1)
        head = self._store.header(view.height + 1)
        before = self._store.header(view.height)
        time_ms = head.header.time_ms if head else max(wall_ms, before.header.time_ms + 1 if before else 0)
        interface = linked.interfaces.get(body.contract)
        if interface is not None and body.method in interface.queries:
            return ask(
                linked, view, body.contract, body.method, body.args, time_ms, self.utc_offset_min, self.currencies
            )
        earlier = self._before(body, view.height + 1)
        return rehearse(linked, view, body, self.chain_id, time_ms, self.utc_offset_min, self.currencies, earlier)

    def _before(self, body: TxBody, height: int) -> Sequence[Transaction] | None:
        """Return the transactions before this one in block `height`, or None when it is not among the first there."""
        block = self.block(height)
        placed = () if block is None else block.transactions[:EARLIER_MAX]
        at = next((position for position, tx in enumerate(placed) if tx.body == body), -1)
        return None if at < 0 else placed[:at]

    def event_fields(self, event: ContractEvent, height: int) -> Sequence[Field] | None:
        if event.contract == GOVERNANCE:
            return GOVERNANCE_FIELDS.get(event.name)
        interface = self._programs.at(self._store.view(), height).interfaces.get(event.contract)
        schema = None if interface is None else interface.events.get(event.name)
        return None if schema is None else schema.fields

    # -- reads ---------------------------------------------------------------------------------------------------

    def view(self) -> ChainView:
        return self._store.view()

    def view_at(self, height: int) -> ChainView | None:
        return self._store.at(height)

    def oldest_state_height(self) -> int:
        return self._store.base_height

    def oldest_height(self) -> int:
        return self._store.oldest_height

    def event_height(self) -> int:
        """The journal holds certificate and bodies before a block is executed, so what is executed is durable."""
        return self._store.executed_height

    def block(self, which: int | bytes) -> BlockData | None:
        height = which if isinstance(which, int) else self._store.height_of(which)
        block = None if height is None else self._store.block(height)
        if block is None:
            return None
        return BlockData(
            block_id=block.ref.block_id,
            header=block.header,
            header_bytes=block.header_bytes,
            certificate=block.certificate,
            transactions=tuple(
                decode_transaction(envelope, self.chain_id)
                for envelope in split_bodies(block.envelopes, block.header.tx_count)[0]
            ),
            receipts=self._store.receipts(block.ref.height),
        )

    def head(self, height: int) -> HeadData | None:
        head = self._store.header(height)
        if head is None:
            return None
        return HeadData(block_id=head.ref.block_id, header=head.header, certificate=head.certificate)

    def epoch_ends(self) -> Sequence[EpochEnd]:
        return self._ends.all

    def events(
        self, after: tuple[int, int, int] | None, limit: int, *, company: str | None = None, up_to: int | None = None
    ) -> Sequence[EventRow]:
        return self._store.events(after, limit, company=company, up_to=up_to)

    def document_facts(self, root: str) -> DocumentFacts | None:
        card = self._vault.card(bytes.fromhex(root)) if _ROOT.fullmatch(root) else None
        if card is None:
            return None
        return DocumentFacts(
            number=card.number,
            kind=card.kind,
            profile=card.profile,
            source_name=card.file_name,
            source_sha256=card.sha256.hex(),
            imported_ms=card.kept_ms,
        )

    def transaction(self, tx_id: bytes) -> TransactionData | None:
        place = self._store.find_transaction(tx_id)
        if place is not None:
            return self._committed(tx_id, *place)
        waiting = self._driver.core.mempool.waiting.get(tx_id)
        tx = waiting.tx if waiting is not None else self._submitted.get(tx_id)
        if tx is None:
            return None
        expired = waiting is None and tx.valid_until_height <= self._store.tip.height
        return TransactionData(
            tx_id=tx_id,
            state=TxState.EXPIRED if expired else TxState.PENDING,
            transaction=tx,
            height=0,
            position=0,
            time_ms=0,
            receipt=None,
            final_height=0,
            code="expired" if expired else "",
            detail=f"its validity ended at height {tx.valid_until_height}" if expired else "",
        )

    def state_proof(self, key: bytes, height: int | None = None) -> CertifiedProof | None:
        if height is None:
            height = self._store.certified_height
        view = self._store.at(height)
        if not 1 <= height <= self._store.certified_height or view is None:
            return None
        return self._proof(height, state=(state_claim(view, key),), receipt=())

    def receipt_proof(self, tx_id: bytes) -> CertifiedProof | None:
        place = self._store.find_transaction(tx_id)
        if place is None or place[0] > self._store.certified_height:
            return None
        receipts = self._store.receipts(place[0])
        if receipts is None:
            return None
        return self._proof(place[0], state=(), receipt=(receipt_claim(receipts, place[1]),))

    # -- documents -----------------------------------------------------------------------------------------------

    async def take_document(self, data: bytes, wish: DocumentWish) -> Sequence[DocumentTaken | DocumentRefused]:
        return await self._open_desk().take(data, wish, self.wall_ms())

    async def audit_pack(self) -> tuple[int, bytes]:
        from node.packs import PackRoom  # with the first pack: it brings the readers and the books (E38)

        room = PackRoom(
            chain_id=self.chain_id,
            company_id=self.company_id,
            names=self.names,
            interfaces=self.interfaces,
            event_fields=self.event_fields,
            store=self._store,
            vault=self._vault,
            currencies=self.currencies,
            utc_offset_min=self.utc_offset_min,
            ends=self._ends.all,
            sign=self._sign_pack,
        )
        return await room.build()

    def original(self, root: bytes) -> SealedOriginal | None:
        return self._open_desk().original(root)

    def _open_desk(self) -> DocumentDesk:
        """Make the desk with the first document: its readers are heavy to import (performance E38)."""
        if self._desk is None:
            from node.documents.desk import DocumentDesk

            self._desk = DocumentDesk(
                company_id=self.company_id,
                production=self.production,
                directory=self._directory,
                vault=self._vault,
                numbering=self._numbering,
                currencies=self.currencies,
                draw=secrets.token_bytes,
            )
        return self._desk

    # -- what waits ----------------------------------------------------------------------------------------------

    def room(self) -> int:
        return self._line.room

    async def turn(self, envelopes: Sequence[bytes]) -> bool:
        return await self._line.turn(len(envelopes), sum(map(len, envelopes)))

    def serve_line(self) -> None:
        """Call those who stand in the line and for whom there is room now."""
        self._line.serve()

    async def submit(self, envelopes: Sequence[bytes]) -> Sequence[SubmitResult]:
        refused: dict[int, SubmitResult] = {}
        for at, envelope in enumerate(envelopes):
            plan = self._plan_in(envelope)
            if plan is not None:
                found = await self._check_plan(*plan) if len(refused) < PLANS_REFUSED_MAX else None
                if found is not None:
                    refused[at] = found
        passed = tuple(envelope for at, envelope in enumerate(envelopes) if at not in refused)
        answers = iter(await self._driver.submit(passed) if passed else ())
        results = [refused[at] if at in refused else next(answers) for at in range(len(envelopes))]
        waiting, submitted = self._driver.core.mempool.waiting, self._submitted
        for result in results:
            entry = None if result.code else waiting.get(result.tx_id)
            if entry is not None:
                submitted[result.tx_id] = entry.tx
        while len(submitted) > SUBMISSIONS_KEPT:
            submitted.popitem(last=False)
        return results

    def _plan_in(self, envelope: bytes) -> tuple[bytes, InstallContracts] | None:
        """Return transaction id and plan of an envelope that proposes contracts; None for every other one."""
        if _GOVERNANCE not in envelope:
            return None
        try:
            tx = decode_transaction(envelope, self.chain_id)
            kind, payload = tx.body.args[:2] if len(tx.body.args) == PROPOSE_ARGUMENTS else ("", b"")
            if (tx.body.contract, tx.body.method, kind) != (GOVERNANCE, "propose", "contract"):
                return None
            plan = PAYLOADS["contract"].decode(payload)
        except (LedgerError, TypeError):
            return None  # the pool names what is wrong with it
        return (tx.tx_id, plan) if isinstance(plan, InstallContracts) and plan.contracts else None

    async def _check_plan(self, tx_id: bytes, plan: InstallContracts) -> SubmitResult | None:
        """Return the refusal of a plan whose sources do not compile to what it says; else None (L58)."""
        sources = {item.name: item.source for item in plan.contracts}
        found = await self.review(sources)
        if found.fault is not None:
            fault = found.fault
            text = f"{fault.contract}:{fault.line}:{fault.column}: {fault.text}"
            return SubmitResult(tx_id=tx_id, code="source", detail=text)
        known = {item.name: item.ir_hash for item in found.contracts}
        for item in plan.contracts:
            if known[item.name] != item.ir_hash:
                text = f"{item.name} compiles to {known[item.name].hex()}, the plan says {item.ir_hash.hex()}"
                return SubmitResult(tx_id=tx_id, code="source", detail=text)
        return None

    async def wait_transaction(self, tx_id: bytes, *, final: bool, timeout_s: float) -> TransactionData | None:
        deadline = time.monotonic() + timeout_s
        while True:
            done = self._block_done
            found = self.transaction(tx_id)
            if found is not None and found.state not in (TxState.PENDING, TxState.COMMITTED):
                return found
            if found is not None and found.state is TxState.COMMITTED and not final:
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                return found
            await _before(done, left)

    async def wait_height(self, height: int, *, timeout_s: float) -> int:
        deadline = time.monotonic() + timeout_s
        while self.event_height() < height:
            done = self._block_done
            left = deadline - time.monotonic()
            if left <= 0:
                break
            await _before(done, left)
        return self.event_height()

    def block_done(self, tx_ids: Iterable[bytes]) -> None:
        """Wake everybody who waits for a block or its certification; the store knows its transactions from now on."""
        for tx_id in tx_ids:
            self._submitted.pop(tx_id, None)
        self._block_done.set()
        self._block_done = asyncio.Event()

    # -- private -------------------------------------------------------------------------------------------------

    def _committed(self, tx_id: bytes, height: int, position: int) -> TransactionData:
        if height < self._store.oldest_height:
            return TransactionData(
                tx_id=tx_id,
                state=TxState.FINAL,
                transaction=None,
                height=height,
                position=position,
                time_ms=0,
                receipt=None,
                final_height=0,
                code="height_pruned",
                detail=f"it stands in block {height}, which is not held here",
            )
        block = self._store.block(height)
        receipt = self._store.receipt(height, position)
        certified = self._store.certifying_height(height) if receipt is not None else None
        if receipt is None:
            state = TxState.PENDING
        else:
            state = TxState.FINAL if certified is not None else TxState.COMMITTED
        return TransactionData(
            tx_id=tx_id,
            state=state,
            transaction=None if block is None else decode_transaction(block.envelopes[position], self.chain_id),
            height=height,
            position=position,
            time_ms=0 if block is None else block.header.time_ms,
            receipt=receipt,
            final_height=certified or 0,
            code="",
            detail="",
        )

    def _proof(
        self, height: int, *, state: tuple[StateClaim, ...], receipt: tuple[ReceiptClaim, ...]
    ) -> CertifiedProof | None:
        by = self._store.certifying_height(height)
        proof = result_proof(self._store, height, state=state, receipt=receipt)
        return (
            None if by is None or proof is None else CertifiedProof(height=height, certified_by=by, data=encode(proof))
        )


async def _before(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, or for the time to pass."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
