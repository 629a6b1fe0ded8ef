"""The asyncio shell of the pure node: one turn at a time (architecture section 5).

A turn takes the queued events (bounded), gives each its time, steps them one after the other, writes everything
the core wants durable in one journal transaction, and only then lets messages leave. Signatures are checked and
blocks executed on this same thread in short runs between turns: beside a second busy thread every call that
releases the interpreter lock would wait milliseconds (performance E33, E34). Votes always go first. What other nodes
ask for is answered between turns as well, one request at a time (node.driver.asked).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final, Protocol, TypeAlias

from msgspec import structs

from consensus.effects import Halt, Report, SignatureItem, Silence
from consensus.events import Lsn
from consensus.records import Record
from ledger.block import BlockRef, Header
from ledger.crypto.ed25519 import verify_strict
from ledger.governance.follow import EpochEnd
from ledger.proof import ResultProof
from ledger.state import StateView
from ledger.transaction import Transaction
from ledger.transition import BlockExecution, BlockResult, Linker, Runtime
from node.core import effects as ne
from node.core import events as nv
from node.core.epochs import epoch_spec
from node.core.machine import NodeCore
from node.core.messages import (
    ENDS_MAX,
    Blocks,
    CertifiedBlock,
    Chunk,
    EpochEnds,
    Held,
    PeerMessage,
    Skeleton,
    SnapshotManifest,
    SnapshotOffer,
    TxBatch,
)
from node.driver.allocator import Allocator
from node.driver.asked import REFUSED, REQUESTS, Asked, Request
from node.driver.meter import Meter

EVENTS_A_TURN: Final = 256
"""Events stepped before their records are written; bounds the latency of a turn."""
VERIFY_RUN: Final = 24
"""Transactions verified between two looks at the queue: about 2 ms with two signers (performance E17)."""
EXECUTE_SLICE: Final = 20
"""Transactions executed between two looks at the queue (performance E34)."""
FLUSH_BLOCKS: Final = 8
"""Blocks a flush may wait for (performance E25)."""
FLUSH_BLOCKS_BEHIND: Final = 64
"""The same while blocks are fetched: they can be fetched again, and a durable write for every eight of them took most
of the time of a long catch-up."""
FLUSH_TXS: Final = 450
"""Transactions a flush may wait for, about one full block: it holds up votes for its whole length, about 40 us each,
and what waits is in memory. 1,500 saved 4 % of the time."""
FLUSH_MS: Final = 1_000
"""Milliseconds a flush may wait. Journal and blocks make what is not flushed again, so this bounds the work of a
restart, not what can be lost; at 250 ms large blocks were flushed one by one, at twice the price (docs/performance)."""
SNAPSHOT_PAUSE_MS: Final = 25
"""A snapshot that is being made gets a slice this often under load as well: until it is done, its look at the state
keeps freed pages of the store from being used again (E29)."""
ANSWER_PAUSE_MS: Final = 25
"""Under load this long passes after an answer to another node: it takes 10 ms for full blocks and 20 for a full chunk,
and the slices of execution and verification are shorter. Some 25 answers a second are left, each of up to 64 blocks."""
BLOCKS_ANSWER_BYTES: Final = 3 * 1024 * 1024
"""Bytes of blocks that are read for one answer to a request for blocks or headers; below the frame cap of 4 MiB."""


SnapshotEffect: TypeAlias = ne.BeginSnapshot | ne.KeepChunk | ne.KeepSkeleton | ne.DropSnapshot | ne.InstallSnapshot
_SNAPSHOT_EFFECTS: Final = (
    ne.BeginSnapshot, ne.KeepChunk, ne.KeepSkeleton, ne.DropSnapshot, ne.InstallSnapshot,
)  # fmt: skip


class Journal(Protocol):
    """The consensus journal; a failed write ends the process (P91)."""

    def append(self, entries: Sequence[tuple[Lsn, Record, nv.JournalBody | None]]) -> None: ...
    def prune(self, before: Lsn, bodies_up_to: int, keep: Collection[bytes]) -> None: ...


class Store(Protocol):
    """The block store: blocks, receipts, state."""

    def view(self) -> StateView: ...
    def add_block(self, effect: ne.StoreBlock) -> None: ...
    def apply(self, result: BlockResult) -> StateView: ...
    def flush(self) -> int: ...
    def blocks(self, first: int, last: int, max_bytes: int) -> Sequence[CertifiedBlock]: ...
    def skeleton(self, first: int, last: int, max_bytes: int) -> Skeleton | None: ...
    @property
    def snapshot_due(self) -> bool: ...
    @property
    def oldest_height(self) -> int: ...
    @property
    def tip(self) -> BlockRef: ...


class Snapshots(Protocol):
    """Snapshots that are made and served, and the one that is collected (P107)."""

    def begin(self) -> None: ...
    def step(self) -> bool: ...
    def offer(self, above: int) -> SnapshotOffer: ...
    def chunk(self, height: int, depth: int, index: int) -> Chunk | None: ...
    def begin_joining(self, manifest: SnapshotManifest) -> None: ...
    def keep_chunk(self, index: int, rows: tuple[tuple[bytes, bytes], ...]) -> None: ...
    def keep_skeleton(
        self, first: int, parent: bytes, blocks: tuple[tuple[bytes, tuple[bytes, ...]], ...], validity_heights: int
    ) -> None: ...
    def drop_joining(self) -> None: ...
    def install(self) -> None: ...


class Ends(Protocol):
    """How epochs ended and where nodes are, kept and served (P85, P117)."""

    def after(self, epoch: int, most: int) -> tuple[EpochEnd, ...]: ...
    def nodes(self) -> tuple[ResultProof, ...]: ...
    def keep(self, effect: ne.KeepEpochEnd) -> None: ...
    def learn(self, effect: ne.LearnNodes) -> None: ...


class Links(Protocol):
    """Connections to the other members, by index."""

    def send(self, to: int, message: PeerMessage) -> None: ...
    def broadcast(self, message: PeerMessage) -> None: ...
    def flush(self) -> None: ...
    def penalise(self, peer: int, reason: str) -> None: ...

    def reject(self, peer: int, reason: str) -> None: ...


@dataclass(slots=True)
class _Verification:
    token: int
    transactions: tuple[Transaction, ...]
    certified: bool
    verdicts: list[bool]


@dataclass(slots=True)
class _Execution:
    height: int
    header: Header
    transactions: tuple[Transaction, ...]
    evidence: tuple[bytes, ...]
    done: int = 0
    run: BlockExecution | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """The next epoch as its first core needs it (P114).

    `moved` gives the new index of each linked node by its old one; `start` makes the first event; `connected` are the
    new indexes of the nodes whose link is up.
    """

    core: NodeCore
    journal: Journal
    start: Callable[[int, int], nv.NodeStart]
    moved: Mapping[int, int]
    connected: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _FromPeer:
    """A message of a node, until it is stepped: an epoch that begins meanwhile may give its sender another index."""

    peer: int
    message: PeerMessage

    def __call__(self, now: int, wall: int) -> nv.NodeEvent:
        return nv.PeerReceived(now=now, wall=wall, peer=self.peer, message=self.message)


class Driver:
    """Performs the effects of the node's core in real time. A core ends with its epoch; then `begin_epoch` is asked for
    the next one, and what waits here goes on in it (P114).

    `prune` deletes a few blocks that the operator lets go, after a flush, and returns how many.
    `on_block` is told each executed block on the loop's thread; `on_halt` when the core stops for good.
    Verdicts on transactions are kept by nobody but the core.
    """

    def __init__(
        self,
        *,
        core: NodeCore,
        journal: Journal,
        store: Store,
        snapshots: Snapshots,
        ends: Ends,
        links: Links,
        runtime: Runtime | Linker,
        utc_offset_min: int,
        verify_vote: Callable[[SignatureItem], bool],
        on_block: Callable[[BlockResult], None],
        on_halt: Callable[[Halt], None],
        on_report: Callable[[Report], None],
        on_silence: Callable[[Silence], None],
        begin_epoch: Callable[[], Beginning],
        prune: Callable[[], int] = lambda: 0,
    ) -> None:
        self.core = core
        self.meter = Meter()
        self._journal = journal
        self._store = store
        self._snapshots = snapshots
        self._ends = ends
        self._links = links
        self._runtime = runtime
        self._utc_offset_min = utc_offset_min
        self._verify_vote = verify_vote
        self._on_block = on_block
        self._on_halt = on_halt
        self._on_report = on_report
        self._on_silence = on_silence
        self._begin_epoch = begin_epoch
        self._prune = prune
        self._queue: deque[Callable[[int, int], nv.NodeEvent]] = deque()
        self._urgent: deque[Callable[[int, int], nv.NodeEvent]] = deque()
        self._verifications: deque[_Verification] = deque()
        self._executions: deque[_Execution] = deque()
        self._asked = Asked()
        self._answered_ns = 0
        self._timers: list[tuple[int, int, nv.AnyTimer, int]] = []
        self._timer_generation: dict[nv.AnyTimer, int] = {}
        self._sequence = 0
        self._answers: dict[int, asyncio.Future[tuple[ne.SubmitResult, ...]]] = {}
        self._submitted: dict[int, tuple[bytes, ...]] = {}
        """Envelopes of every submission that is not answered."""
        self._unstepped: dict[int, None] = {}
        """Those of them that the core has not seen yet."""
        self._tokens = 0
        self._wake = asyncio.Event()
        self._unflushed = 0
        self._unflushed_txs = 0
        self._flush_due_ns = 0
        self._allocator = Allocator()
        self._snapshot_ns = 0
        self._stopping = False
        self._ending = False
        """The core ended with its epoch; what is stored is executed to the end, and all else waits (P114)."""
        self.halted: Halt | None = None
        self.installed = 0
        """Height of a snapshot that is ready to replace the chain store once everything is closed; 0: none."""
        self.wall_offset_ms = 0
        self.faults: dict[int, tuple[str, int]] = {}
        """Last fault of each member that the core found: stable reason, UTC milliseconds."""
        self.turn_hook: Callable[[], None] | None = None

    # -- what others hand in -------------------------------------------------------------------------------------

    def post(self, make: Callable[[int, int], nv.NodeEvent]) -> None:
        """Queue an event; `make(now, wall)` is called when it is stepped, so that it carries that time."""
        self._queue.append(make)
        self._wake.set()

    def received(self, peer: int, message: PeerMessage) -> None:
        """A decoded message of a member arrived."""
        self.post(_FromPeer(peer, message))

    def connected(self, peer: int) -> None:
        """A link to a member is up and its hello verified."""
        self.post(lambda now, wall: nv.PeerConnected(now=now, wall=wall, peer=peer))

    def lost(self, peer: int) -> None:
        """The link to a member is gone."""
        self.post(lambda now, wall: nv.PeerLost(now=now, wall=wall, peer=peer))

    async def submit(self, envelopes: tuple[bytes, ...]) -> tuple[ne.SubmitResult, ...]:
        """Admit envelopes and return one result for each, in order, once their signatures are checked."""
        self._tokens += 1
        token = self._tokens
        future: asyncio.Future[tuple[ne.SubmitResult, ...]] = asyncio.get_running_loop().create_future()
        self._answers[token], self._submitted[token] = future, envelopes
        self._unstepped[token] = None
        self.post(self._hand_in(token, envelopes))
        return await future

    @property
    def entering(self) -> int:
        """Envelopes on their way to the core: they will take places that the pool still calls free."""
        return sum(len(self._submitted[token]) for token in self._unstepped)

    def _hand_in(self, token: int, envelopes: tuple[bytes, ...]) -> Callable[[int, int], nv.NodeEvent]:
        def make(now: int, wall: int) -> nv.NodeEvent:
            self._unstepped.pop(token, None)
            return nv.Submitted(now=now, wall=wall, token=token, envelopes=envelopes)

        return make

    def stop(self) -> None:
        """End `run` after the current turn; everything committed is flushed."""
        self._stopping = True
        self._wake.set()

    @property
    def _catching_up(self) -> bool:
        return self.core.started and self.core.sync.active

    @property
    def backlog(self) -> int:
        """Events, and transactions that peers sent of themselves, that wait for this thread.

        Those of blocks that this node fetches do not count: a node that catches up would else be deaf to all members.
        """
        return len(self._queue) + sum(len(item.transactions) for item in self._verifications if not item.certified)

    # -- the loop ------------------------------------------------------------------------------------------------

    async def run(self, start: Callable[[int, int], nv.NodeEvent]) -> None:
        """Step `start`, then turn until `stop` or a halt. Raises what the journal or the store raise."""
        self._turn([start])
        while not self._stopping and self.halted is None:
            batch = self._take()
            if batch:
                self._turn(batch)
            worked = self._work()
            self._maybe_flush()
            if self._ending and self.core.chain.executed == self._store.tip.height:
                self._next_epoch()
                continue
            if self._queue or self._urgent or worked:
                await asyncio.sleep(0)
                continue
            self._wake.clear()
            if self._queue or self._stopping:
                continue
            try:
                async with asyncio.timeout(self._idle_seconds()):
                    await self._wake.wait()
            except TimeoutError:
                pass
        self._flush()
        for future in self._answers.values():
            if not future.done():
                future.cancel()

    def _take(self) -> list[Callable[[int, int], nv.NodeEvent]]:
        now = time.monotonic_ns()
        batch: list[Callable[[int, int], nv.NodeEvent]] = []
        while self._timers and self._timers[0][0] <= now:
            _, _, timer, generation = heappop(self._timers)
            if self._timer_generation.get(timer) == generation:
                batch.append(_elapsed(timer, generation))
        while self._urgent:
            batch.append(self._urgent.popleft())
        while self._queue and not self._ending and len(batch) < EVENTS_A_TURN:
            batch.append(self._queue.popleft())
        return batch

    def _turn(self, batch: Sequence[Callable[[int, int], nv.NodeEvent]]) -> None:
        """Step a batch, make its records durable in one write, then perform what had to wait for that."""
        events: deque[Callable[[int, int], nv.NodeEvent]] = deque(batch)
        appends: list[tuple[Lsn, Record, nv.JournalBody | None]] = []
        prune: ne.PruneJournal | None = None
        held: list[ne.NodeEffect] = []
        mark = time.thread_time_ns()
        ended = False
        early: list[_FromPeer] = []
        while events:
            make = events.popleft()
            if ended and isinstance(make, _FromPeer):
                early.append(make)  # it is for the next core; what this one still executes goes on
                continue
            event = make(time.monotonic_ns(), time.time_ns() // 1_000_000 + self.wall_offset_ms)
            effects = self.core.step(event)
            if _is_about_transactions(event):
                mark = self.meter.since("pool", mark)
            for effect in effects:
                if isinstance(effect, ne.VerifyVotes):
                    mark = self.meter.since("consensus", mark)
                    events.append(self._check_votes(effect))
                    self.meter.count("votes_verified", len(effect.items))
                    mark = self.meter.since("verify", mark)
                elif isinstance(effect, ne.AppendJournal):
                    appends.append((effect.lsn, effect.record, effect.body))
                elif isinstance(effect, ne.PruneJournal):
                    prune = effect
                elif isinstance(effect, ne.SetTimer):
                    self._set_timer(effect)
                elif isinstance(effect, ne.CancelTimer):
                    self._timer_generation.pop(effect.timer, None)
                elif isinstance(effect, ne.VerifyTransactions):
                    self._verifications.append(_Verification(effect.token, effect.transactions, effect.certified, []))
                elif isinstance(effect, ne.Tally):
                    self.meter.count(effect.metric, effect.value)
                elif isinstance(effect, ne.Rejection):
                    self.meter.count(f"rejected_messages.{effect.reason}")
                    self._links.reject(effect.peer, effect.reason)
                elif isinstance(effect, ne.KeepEpochEnd):
                    self._ends.keep(effect)  # the next signatures of this step may be those of its members
                elif isinstance(effect, REQUESTS):
                    self._ask(effect)
                else:
                    held.append(effect)
                    ended = ended or isinstance(effect, ne.EndEpoch)
            if isinstance(event, nv.PeerLost):
                self._asked.forget(event.peer)
        self._queue.extendleft(reversed(early))
        mark = self.meter.since("consensus", mark)
        if appends:
            self._journal.append(appends)
            self.meter.count("journal_writes")
            last = appends[-1][0]
            self._urgent.append(lambda now, wall: nv.JournalDurable(now=now, wall=wall, lsn=last))
            mark = self.meter.since("journal", mark)
        for effect in held:
            self._perform(effect)
        self._links.flush()
        self.meter.count("turns")
        self.meter.since("network", mark)
        if prune is not None:
            self._journal.prune(prune.before, prune.bodies_up_to, prune.keep)
        if self.turn_hook is not None:
            self.turn_hook()

    def _perform(self, effect: ne.NodeEffect) -> None:
        if isinstance(effect, ne.SendPeer):
            self._links.send(effect.to, effect.message)
        elif isinstance(effect, ne.BroadcastPeer):
            self._links.broadcast(effect.message)
        elif isinstance(effect, ne.StoreBlock):
            self._store.add_block(effect)
        elif isinstance(effect, ne.Execute):
            self._executions.append(_Execution(effect.height, effect.header, effect.transactions, effect.evidence))
        elif isinstance(effect, ne.Answer):
            self._submitted.pop(effect.token, None)
            future = self._answers.pop(effect.token, None)
            if future is not None and not future.done():
                future.set_result(effect.results)
        elif isinstance(effect, ne.LearnNodes):
            self._ends.learn(effect)
        elif isinstance(effect, _SNAPSHOT_EFFECTS):
            self._perform_snapshot(effect)
        elif isinstance(effect, ne.Penalty):
            self.meter.count(f"rejected_messages.{effect.reason}")
            self.faults[effect.peer] = (effect.reason, time.time_ns() // 1_000_000 + self.wall_offset_ms)
            self._links.penalise(effect.peer, effect.reason)
        elif isinstance(effect, Report):
            self._on_report(effect)
        elif isinstance(effect, Silence):
            self._on_silence(effect)
        elif isinstance(effect, ne.EndEpoch):
            self._ending = True
        elif isinstance(effect, Halt):
            self.halted = effect
            self._on_halt(effect)

    def _perform_snapshot(self, effect: SnapshotEffect) -> None:
        shelf = self._snapshots
        if isinstance(effect, ne.BeginSnapshot):
            shelf.begin_joining(effect.manifest)
        elif isinstance(effect, ne.KeepChunk):
            shelf.keep_chunk(effect.index, effect.rows)
        elif isinstance(effect, ne.KeepSkeleton):
            validity = self.core.config.params.max_validity_heights
            shelf.keep_skeleton(effect.first, effect.parent, effect.blocks, validity)
        elif isinstance(effect, ne.DropSnapshot):
            shelf.drop_joining()
        else:
            shelf.install()
            self.installed = effect.height
            self._stopping = True

    def _next_epoch(self) -> None:
        """Begin the next epoch from store and journal, as a start does, in the running process (P114).

        Sockets stay. Messages that came meanwhile and submissions without an answer are handed to the next core; of
        what the old one asked for, the answers are dropped with it.
        """
        self._flush()
        beginning = self._begin_epoch()
        waiting = tuple((one.tx, one.ours) for one in self.core.mempool.waiting.values())
        evidence = self.core.evidence.waiting()
        self.core, self._journal = beginning.core, beginning.journal
        self._ending = False
        self._urgent.clear()
        self._verifications.clear()
        self._timers.clear()
        self._timer_generation.clear()
        self.faults.clear()
        early = [one for one in self._queue if isinstance(one, _FromPeer) and one.peer in beginning.moved]
        self._queue.clear()
        self._asked.move(beginning.moved)
        self._turn([lambda now, wall: structs.replace(beginning.start(now, wall), waiting=waiting, evidence=evidence)])
        for peer in beginning.connected:
            self.connected(peer)
        for token, envelopes in self._submitted.items():
            self._unstepped[token] = None
            self.post(self._hand_in(token, envelopes))
        for one in early:
            self.received(beginning.moved[one.peer], one.message)
        self._wake.set()

    # -- work between turns --------------------------------------------------------------------------------------

    def _work(self) -> bool:
        """Do one short run of verification and one slice of execution; answer one request of another node, and go on
        with a snapshot, under load only now and then. Tell whether there was any of it."""
        worked = False
        if self._executions:
            self._execute_slice()
            worked = True
        if self._verifications:
            self._verify_run()
            worked = True
        now = time.monotonic_ns()
        if len(self._asked) and (not worked or now - self._answered_ns >= ANSWER_PAUSE_MS * 1_000_000):
            self._answer_one()
            worked = True
            self._answered_ns = time.monotonic_ns()
        if not worked or now - self._snapshot_ns >= SNAPSHOT_PAUSE_MS * 1_000_000:
            mark = time.thread_time_ns()
            worked = self._snapshots.step() or worked
            self.meter.since("store", mark)
            self._snapshot_ns = now
        return worked

    def _verify_run(self) -> None:
        mark = time.thread_time_ns()
        budget = VERIFY_RUN
        while self._verifications and budget > 0:
            job = self._verifications[0]
            start = len(job.verdicts)
            for tx in job.transactions[start : start + budget]:
                job.verdicts.append(all(verify_strict(key, signature, tx.digest) for key, signature in tx.signatures))
            budget -= len(job.verdicts) - start
            if len(job.verdicts) == len(job.transactions):
                self._verifications.popleft()
                self._urgent.append(_verified(job.token, tuple(job.verdicts)))
        self.meter.count("txs_verified", VERIFY_RUN - budget)
        self.meter.since("verify", mark)

    def _execute_slice(self) -> None:
        mark = time.thread_time_ns()
        job = self._executions[0]
        if job.run is None:
            job.run = BlockExecution(self._store.view(), job.header, self._runtime, self._utc_offset_min, job.evidence)
        part = job.transactions[job.done : job.done + EXECUTE_SLICE]
        if part:
            job.run.run(part)
            job.done += len(part)
            mark = self.meter.since("contract", mark)
        if job.done < len(job.transactions):
            return
        result = job.run.finish()
        self._executions.popleft()
        self._store.apply(result)
        self.meter.since("state", mark)
        self.meter.count("rows_written", len(result.writes))
        self.meter.count("tree_nodes_written", len(result.nodes))
        self._unflushed += 1
        self._unflushed_txs += len(job.transactions)
        if result.next_epoch is not None:
            self._flush_due_ns = time.monotonic_ns()  # the barrier waits until its decision is on the disk (P114)
        elif not self._flush_due_ns:
            self._flush_due_ns = time.monotonic_ns() + FLUSH_MS * 1_000_000
        self._urgent.append(
            lambda now, wall: nv.BlockExecuted(
                now=now,
                wall=wall,
                height=result.height,
                exec_root=result.exec_root,
                state_root=result.state_root,
                receipts=result.receipts,
                next_epoch=None if result.next_epoch is None else epoch_spec(result.next_epoch),
                awaited=result.next_activation,
                due_ms=result.next_due_ms,
                scheduled=result.scheduled > 0,
            )
        )
        self._on_block(result)

    def _maybe_flush(self) -> None:
        blocks = FLUSH_BLOCKS_BEHIND if self._catching_up else FLUSH_BLOCKS
        full = self._unflushed >= blocks or self._unflushed_txs >= FLUSH_TXS
        if full or (self._flush_due_ns and time.monotonic_ns() >= self._flush_due_ns):
            self._flush()

    def _flush(self) -> None:
        if not self._unflushed:
            return
        mark = time.thread_time_ns()
        height = self._store.flush()
        self._allocator.trim(time.monotonic_ns())
        self.meter.since("store", mark)
        self.meter.count("flushes")
        self._unflushed = self._unflushed_txs = self._flush_due_ns = 0
        if self._store.snapshot_due and not self._catching_up:  # while it catches up, others have that snapshot
            self._snapshots.begin()
        self.meter.count("pruned_blocks", self._prune())
        self._urgent.append(lambda now, wall: nv.StoreDurable(now=now, wall=wall, height=height))

    # -- what other nodes ask for ---------------------------------------------------------------------------------

    def _ask(self, request: Request) -> None:
        if not self._asked.add(request):
            self.meter.count(f"rejected_messages.{REFUSED}")
            self._links.penalise(request.to, REFUSED)

    def _answer_one(self) -> None:
        """Answer the request whose turn it is."""
        mark = time.thread_time_ns()
        request = self._asked.take()
        if request is not None:
            self._links.send(request.to, self._answer_to(request))
            self._links.flush()
        self.meter.since("network", mark)

    def _answer_to(self, request: Request) -> PeerMessage:
        store, shelf = self._store, self._snapshots
        if isinstance(request, ne.SendSnapshot):
            return shelf.offer(request.above)
        if isinstance(request, ne.SendChunk):
            return shelf.chunk(request.height, request.depth, request.index) or shelf.offer(request.height)
        if isinstance(request, ne.SendEpochEnds):
            ends = self._ends.after(request.first, ENDS_MAX)
            return EpochEnds(request.first, ends, self._ends.nodes() if len(ends) < ENDS_MAX else ())
        if isinstance(request, ne.SendSkeleton):
            skeleton = store.skeleton(request.first, request.last, BLOCKS_ANSWER_BYTES)
            if skeleton is not None:
                return skeleton
        elif blocks := store.blocks(request.first, request.last, BLOCKS_ANSWER_BYTES):
            return Blocks(tuple(blocks))
        return Held(request.first, store.oldest_height, store.tip.height)

    # -- small parts ---------------------------------------------------------------------------------------------

    def _check_votes(self, effect: ne.VerifyVotes) -> Callable[[int, int], nv.NodeEvent]:
        valid = 0
        for position, item in enumerate(effect.items):
            if self._verify_vote(item):
                valid |= 1 << position
        token = effect.token
        return lambda now, wall: nv.VotesVerified(now=now, wall=wall, token=token, valid=valid)

    def _set_timer(self, effect: ne.SetTimer) -> None:
        self._timer_generation[effect.timer] = effect.generation
        self._sequence += 1
        heappush(self._timers, (effect.deadline_ns, self._sequence, effect.timer, effect.generation))

    def _idle_seconds(self) -> float:
        deadlines = [entry[0] for entry in self._timers[:1]]
        if self._flush_due_ns:
            deadlines.append(self._flush_due_ns)
        if not deadlines:
            return 1.0
        return max(0.0, (min(deadlines) - time.monotonic_ns()) / 1e9)


def _is_about_transactions(event: nv.NodeEvent) -> bool:
    """Tell whether stepping `event` is work of the pool rather than of the replica (performance E40)."""
    if isinstance(event, nv.PeerReceived):
        return isinstance(event.message, TxBatch)
    return isinstance(event, (nv.Submitted, nv.TransactionsVerified))


def _elapsed(timer: nv.AnyTimer, generation: int) -> Callable[[int, int], nv.NodeEvent]:
    return lambda now, wall: nv.TimerElapsed(now=now, wall=wall, timer=timer, generation=generation)


def _verified(token: int, verdicts: tuple[bool, ...]) -> Callable[[int, int], nv.NodeEvent]:
    return lambda now, wall: nv.TransactionsVerified(now=now, wall=wall, token=token, verdicts=verdicts)
