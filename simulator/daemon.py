"""A node's shell in virtual time: does with each effect of `NodeCore` what the daemon's driver does (M1).

One turn: take the queued events, step them one at a time, write all journal records of the turn in one durable
commit; whatever names an lsn leaves when that lsn is durable, everything else at once. Verification and execution
have servers of their own and answer with events. A crash keeps what was durable and loses the rest.

Most turns have nothing to write and nothing to release: their end changes nothing, and its event is put into the heap
only if something arrives before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from consensus.effects import Halt, Report, Silence
from consensus.events import BlockBuilt, Member, ReplicaConfig
from consensus.state import ReplicaState
from consensus.validate import NUMBER_MAX, signing_digest_of
from ledger.certificate import CommitCertificate
from ledger.codec import encode
from ledger.errors import InvariantViolated, LedgerError
from ledger.registry.epochs import read_epoch
from ledger.state import MemoryState
from ledger.transaction import Transaction
from node.core import effects as ne
from node.core import events as nv
from node.core.epochs import epoch_spec
from node.core.machine import OBSERVER, NodeContext, NodeCore
from node.core.messages import (
    ENDS_MAX,
    FRAME_LIMIT_BYTES,
    Blocks,
    CertifiedBlock,
    EpochEnds,
    Held,
    PeerMessage,
    peer_codec,
)
from simulator.clock import NodeClock
from simulator.cpu import CostTable, Server
from simulator.disk import BlockStoreDisk, JournalBatch, JournalDisk, StoredBlock, commit_latency
from simulator.ends import Ends
from simulator.execution import Executed, Execution
from simulator.heap import EventHeap
from simulator.late import LateCore
from simulator.net import Network
from simulator.oracle import KeyHandle, Oracle
from simulator.records import LateAnswer, Parcel
from simulator.rng import Rng
from simulator.snapshots import Shelf, skeleton
from simulator.trace import TraceHash

TURN_EVENTS: Final = 32
"""Events of one turn; more wait for the next, so that a flood cannot delay a durable write for long."""
INBOX_MAX: Final = 4_096
"""Messages of peers that wait for a turn; beyond it new ones are dropped, as a full socket buffer would (P140)."""
FLUSH_BLOCKS: Final = 4
FLUSH_NS: Final = 250_000_000
"""The block store is flushed after this many blocks or this long, whichever is first (performance E25)."""
INSIDE: Final = ("inside", "kept", "torn")
"""Crash points while a commit is in progress: kept or lost by chance, kept, lost."""
DISORDER_NS: Final = 20_000_000
"""With `shell.disorder` an answer of a verifier is late by up to this much, and stale timers fire."""
SERVE_BYTES: Final = FRAME_LIMIT_BYTES - 64 * 1024
CHECKED_MAX: Final = 1 << 14
"""Envelopes whose verdict is kept for all nodes of a run."""
DIGESTS_MAX: Final = 4_096
"""Digests of votes kept for all nodes of a run: some hundred heights of all kinds."""
TWICE: Final = 16
"""With `shell.disorder` one in so many answers comes twice: the second is to a question that is over (P158)."""
GUEST_FIRST: Final = OBSERVER + 1
"""What a core calls a node without a vote: this and the index of its company in the league."""
Waiting = tuple[tuple[tuple[Transaction, bool], ...], tuple[bytes, ...]]
"""Transactions and evidence that outlive the core of an epoch."""
Wait = tuple[int, Any]
Arrival = tuple[int, PeerMessage]
"""A message in the inbox, with what the core calls its sender."""
IndexEntries = Callable[[MemoryState], Iterable[tuple[bytes, bytes]]]
"""Returns the index entries of a whole state, which are derived and in no snapshot (H6)."""


class Monitor(Protocol):
    """What a daemon reports to the run: checkers, workload, transcript. Calls never change the daemon."""

    def stepped(self, daemon: Daemon, event: nv.NodeEvent, effects: list[ne.NodeEffect]) -> None: ...
    def durable(self, daemon: Daemon, batch: JournalBatch) -> None: ...
    def sending(self, daemon: Daemon, message: PeerMessage, to: int | None) -> None: ...
    def stored(self, daemon: Daemon, block: StoredBlock) -> None: ...
    def executed(self, daemon: Daemon, height: int, executed: Executed) -> None: ...
    def answered(self, daemon: Daemon, answer: ne.Answer) -> None: ...
    def halted(self, daemon: Daemon, halt: Halt) -> None: ...
    def reported(self, daemon: Daemon, report: Report) -> None: ...
    def started(self, daemon: Daemon) -> None: ...
    def stopped(self, daemon: Daemon) -> None: ...
    def raised(self, daemon: Daemon, error: Exception, event: nv.NodeEvent) -> None: ...


class Behaviour(Protocol):
    """A lie (M30): rewrites what leaves a node that an attacker owns, and may add messages of its own."""

    def outgoing(self, message: PeerMessage, to: int | None) -> list[tuple[PeerMessage, int | None]]: ...
    def incoming(self, peer: int, message: PeerMessage, /) -> bool: ...


@dataclass(slots=True)
class Surroundings:
    """The fake world that all daemons of a run share."""

    heap: EventHeap
    net: Network
    trace: TraceHash
    oracle: Oracle
    execution: Execution
    costs: CostTable
    monitor: Monitor
    config: Callable[[int], ReplicaConfig]
    """Of epoch 0, by member index."""
    config_at: Callable[[int, MemoryState, int], ReplicaConfig]
    """For a start: by index in the league, from the state and the height of the stored tip (S20)."""
    genesis_certificate: CommitCertificate
    chain_id: bytes
    keys: tuple[bytes, ...]
    """Consensus keys of epoch 0 by member index."""
    companies: tuple[str, ...]
    """Company ids by index in the league."""
    digests: Digests
    slots_of: dict[int, tuple[int, ...]]
    """Slots by index of the company in the league; more than one for twins."""
    firms: tuple[int, ...]
    """The other way round: index of the company by slot."""
    encode_messages: bool
    decode_messages: bool
    journal_encoded: bool
    checked: dict[bytes, tuple[bool, int]] = field(default_factory=dict)
    """Whether all signatures of an envelope are good, and how many there are, by its hash: n nodes ask the same."""
    validity: dict[bytes, tuple[tuple[bytes, int], ...]] = field(default_factory=dict)
    """(tx id, valid until) of every executed block, by block id; feeds `NodeStart.recent`."""


class Signer:
    """`VoteSigner` of one member: kind and body in, modelled or real signature out (P99)."""

    __slots__ = ("_digests", "_handle")

    def __init__(self, handle: KeyHandle, digests: Digests) -> None:
        self._handle = handle
        self._digests = digests

    def sign(self, kind: str, body: bytes) -> bytes:
        return self._handle.sign(self._digests.of(kind, body))


class Digests:
    """What is signed for a vote, by kind and body: every node of a run asks the same (P10)."""

    __slots__ = ("_chain_id", "_known")

    def __init__(self, chain_id: bytes) -> None:
        self._chain_id = chain_id
        self._known: dict[tuple[str, bytes], bytes] = {}

    def of(self, kind: str, body: bytes) -> bytes:
        """Return the 32 bytes that are signed for `body`; `kind` is a key of `consensus.validate.KINDS`."""
        known = self._known.get((kind, body))
        if known is None:
            if len(self._known) >= DIGESTS_MAX:
                self._known.clear()
            known = self._known[kind, body] = signing_digest_of(kind, self._chain_id, body)
        return known


class Daemon:
    """One process of one company: `slot` is its address, `firm` the index of the company in the league.

    `index` is the member it speaks for in the epoch that its core lives in, or its number as a guest. A core ends with
    its epoch, so what is an index to it means one company as long as it lives (P114).
    """

    __slots__ = (  # noqa: RUF023  # not by name: what every message needs stands first, side by side in memory
        "core",
        "_inbox",
        "behaviour",
        "_senders",
        "_in_turn",
        "paused",
        "world",
        "_free_at",
        "_free_place",
        "_called",
        "clock",
        "last_mono",
        "_began",
        "slot",
        "cpu",
        "_gated",
        "_batch",
        "_pipelined",
        "journal",
        "incarnation",
        "taken",
        "_disorder",
        "_electorates",
        "_ending",
        "_firms",
        "_flush_at",
        "_genesis",
        "_index_entries",
        "_late_ns",
        "_others",
        "_peers",
        "_replay_blocks",
        "_rng",
        "_signers",
        "_timers",
        "blocks_set_back",
        "blocks_slowness",
        "crash_commit",
        "crash_point",
        "damaged",
        "ends",
        "executor",
        "firm",
        "halt",
        "honest",
        "index",
        "journal_slowness",
        "last_digest",
        "lying_disk",
        "name",
        "restart_ns",
        "set_back",
        "shelf",
        "signer",
        "snapshots",
        "store",
        "verifier",
        "voting",
        "write_error",
    )

    def __init__(
        self,
        world: Surroundings,
        *,
        slot: int,
        firm: int,
        name: str,
        clock: NodeClock,
        signers: dict[bytes, Signer],
        genesis: StoredBlock,
        view: MemoryState,
        disk_rng: Rng,
        pipelined: bool,
        disorder: bool,
        late_ns: int,
        shelf: Shelf,
        ends: Ends,
        replay_blocks: int,
        index_entries: IndexEntries,
    ) -> None:
        self.world = world
        self.slot = slot
        self.firm = firm
        self.index = GUEST_FIRST + firm
        self.name = name
        self.clock = clock
        self._signers = signers
        self.signer = next(iter(signers.values()))
        """That of the key it votes with in the epoch its core lives in, else of its first one."""
        self.journal = JournalDisk(world.journal_encoded)
        self.store: BlockStoreDisk[MemoryState] = BlockStoreDisk(genesis, view)
        self.shelf = shelf
        self.ends = ends
        self._genesis = (genesis, view)
        self._replay_blocks = replay_blocks
        self._index_entries = index_entries
        self.core: NodeCore | None = None
        self.cpu = Server()
        self.verifier = Server()
        self.executor = Server()
        self.journal_slowness = 1
        self.blocks_slowness = 1
        self.paused = False
        self.honest = True
        self.voting = True
        self.damaged = False
        """The journal lost or mixed up records, and nobody told the core: it must notice (P92, P94)."""
        self.behaviour: Behaviour | None = None
        self.halt: Halt | None = None
        self.crash_point = ""
        self.crash_commit = 0
        self.restart_ns = 0
        self.write_error = False
        self.lying_disk = False
        self.set_back = False
        """Its journal was put back from an older copy."""
        self.blocks_set_back = False
        """Its block store was; it may not know the members that its journal speaks of."""
        self.last_digest = b""
        self.taken = 0
        """Messages of peers that its cores were given."""
        self.snapshots = 0
        """Snapshots that were installed."""
        self.incarnation = 0
        self.last_mono = 0
        self._began = False
        self._rng = disk_rng
        self._pipelined = pipelined
        self._disorder = disorder
        self._late_ns = late_ns
        self._inbox: deque[tuple[type[Any], dict[str, Any]] | Arrival] = deque()
        self._in_turn = False
        """A turn has work to do at its end."""
        self._free_at = 0
        self._free_place = 0
        """Place in the heap's order where a turn ends that has none."""
        self._called = False
        """The event at that place is in the heap, because work waits."""
        self._others: list[int] | None = None
        """Slots of all other companies."""
        self._batch = JournalBatch()
        self._gated: deque[Wait] = deque()
        self._timers: dict[nv.AnyTimer, int] = {}
        self._flush_at = 0
        self._electorates: dict[int, tuple[Member, ...]] = {}
        """Members by epoch, as far as this process looked them up; votes name their epoch (P115)."""
        self._peers: tuple[int, ...] = ()
        """What the core calls each company, by index in the league: a member index, or a number as a guest."""
        self._firms: dict[int, int] = {}
        """The other way round."""
        self._senders: tuple[int, ...] = ()
        """What the core calls who sends from a slot."""
        self._ending = False

    # -- life ----------------------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """The process runs (it may be paused, or halted)."""
        return self.core is not None

    @property
    def replica_state(self) -> ReplicaState | None:
        """The state of the replica, to be read only; None until its start event was stepped."""
        core = self.core
        return core.replica.state if core is not None and self._began else None

    @property
    def silenced(self) -> bool:
        """It found that its journal forgot a vote, and follows as a learner."""
        state = self.replica_state
        return state is not None and bool(state.silenced)

    def firm_of(self, peer: int) -> int:
        """Return the index in the league of whom the core calls `peer`."""
        return self._firms[peer]

    @property
    def votes(self) -> bool:
        """The company is a member of the epoch that the core lives in."""
        return self.index < GUEST_FIRST

    def start(self, waiting: Waiting = ((), ())) -> None:
        """Start the process from its disks; `waiting` is what the core of the epoch before hands on."""
        world = self.world
        self.incarnation += 1
        self.paused = False
        self._began = False
        self.halt = None
        self.cpu.reset(world.heap.now)
        self.verifier.reset(world.heap.now)
        self.executor.reset(world.heap.now)
        tip = self.store.blocks[self.store.durable_height]
        config = replace(world.config_at(self.firm, self.store.view, tip.ref.height), scheduled=self.store.scheduled)
        self._ending = False
        self._electorates = {}
        places = {member.company_id: index for index, member in enumerate(config.epoch.members)}
        self._peers = tuple(places.get(company, GUEST_FIRST + firm) for firm, company in enumerate(world.companies))
        self._firms = {peer: firm for firm, peer in enumerate(self._peers)}
        self._senders = tuple(self._peers[firm] for firm in world.firms)
        self.index = self._peers[self.firm]
        if self.votes:
            self.signer = self._signers[config.epoch.members[self.index].consensus_key]
        context = NodeContext(read=lambda: self.store.view, replay_blocks=self._replay_blocks)
        self.core = LateCore(self.signer, context, self._built) if self._late_ns else NodeCore(self.signer, context)
        low = max(0, tip.ref.height - config.params.exec_lag)
        reached = self.ends.follow(self.store.view, self.store.blocks)
        recent = self.store.older + tuple(
            (tx_id, height, valid_until)
            for height, block in sorted(self.store.blocks.items())
            for tx_id, valid_until in world.validity.get(block.ref.block_id, ())
            if valid_until >= tip.ref.height
        )
        self._enqueue(
            nv.NodeStart,
            config=config,
            tip=tip.ref,
            tip_certificate=tip.certificate,
            executed=tuple(
                (height, self.store.roots[height])
                for height in range(low, tip.ref.height + 1)
                if height in self.store.roots
            ),
            records=self.journal.records(),
            bodies=self.journal.bodies(),
            recent=recent,
            voting=self.voting,
            collected=self.shelf.collected,
            reached=None if reached.epoch == config.epoch.epoch else reached,
            passed=self.ends.passed(config.epoch.epoch),
            waiting=waiting[0],
            evidence=waiting[1],
        )
        world.monitor.started(self)
        self.wake()

    def crash(self) -> None:
        """End the process now; commits in progress are kept or lost, each drawn."""
        if self.core is None:
            return
        world = self.world
        self.last_digest = self._quiet_digest()
        drawn = bool(self._rng.bits(1))
        kept = self.journal.crash({"kept": True, "torn": False}.get(self.crash_point, drawn))
        if kept is not None:
            world.monitor.durable(self, kept)
        self.store.crash(bool(self._rng.bits(1)))
        if self.lying_disk:
            self.journal.roll_back()
            self.store.roll_back()
        self._forget()
        self.crash_point = ""
        world.monitor.stopped(self)
        if self.restart_ns:
            world.heap.at(world.heap.now + self.restart_ns, self._restart)
            self.restart_ns = 0

    def _forget(self) -> None:
        """Lose what a process has in memory."""
        self.core = None
        self.incarnation += 1
        self._inbox.clear()
        self._batch = JournalBatch()
        self._gated.clear()
        self._timers.clear()
        self._in_turn = self._called = False
        self._free_at = self._free_place = 0
        self._flush_at = 0

    def _restart(self, _: object) -> None:
        if not self.up:
            self.start()

    def _crashes(self, point: str) -> bool:
        """Tell whether the process is to end at this point of the commit that is next, in progress, or just done."""
        if self.crash_point != point:
            return False
        number = self.journal.commits + (point not in ("after", "sent"))
        return self.crash_commit in (0, number)

    def wipe(self) -> None:
        """Lose both disks. The key is still there, its journal is not: from now on without a vote (P94, P97)."""
        self.crash()
        self.journal = JournalDisk(self.world.journal_encoded)
        self.store = BlockStoreDisk(*self._genesis)
        self.shelf.drop()
        self.ends.lose()
        self.voting = False

    def restore(self, part: str) -> None:
        """Put the saved copy of the disks back, of `both` or of one part; the process does not know (P98)."""
        self.set_back = self.set_back or part != "blocks"
        self.blocks_set_back = self.blocks_set_back or part != "journal"
        self.crash()
        if part != "blocks":
            self.journal.roll_back()
        if part != "journal":
            self.store.roll_back()

    def damage(self, how: str) -> None:
        """End the process and spoil its journal; the block store stays, and the key is used as before."""
        self.crash()
        self.damaged = self.journal.damage(how)

    def rot(self) -> None:
        """Change the state in memory and on disk: every later result differs from that of the others."""
        view = self.store.view
        changed = bytes([view.exec_root[0] ^ 1]) + view.exec_root[1:]
        self.store.view = view.apply((), {}, view.height, view.state_root, changed)

    def pause(self, paused: bool) -> None:
        """Stop (SIGSTOP) or continue the process; what arrives meanwhile waits."""
        self.paused = paused
        self.wake()

    def _quiet_digest(self) -> bytes:
        """Return the durable digest if nothing of it is still on its way to the disk, else nothing (I21)."""
        turning = self._in_turn or not self.world.heap.passed(self._free_at, self._free_place)
        busy = turning or self._batch or self._gated or self.journal.busy or self.halt is not None
        state = self.replica_state
        return b"" if busy or state is None else state.durable_digest()

    # -- input ---------------------------------------------------------------------------------------------------

    def deliver(self, parcel: Parcel) -> None:
        """A message of a company's node arrives."""
        inbox = self._inbox
        if self.core is None or len(inbox) >= INBOX_MAX:
            return
        message = parcel.message
        if message is None or self.world.decode_messages:
            try:
                message = peer_codec.decode(parcel.encoded)
            except LedgerError:
                return  # the transport refuses such bytes before the core sees them (S33)
        peer = self._senders[parcel.source]
        if self.behaviour is not None and not self.behaviour.incoming(peer, message):
            return
        inbox.append((peer, message))
        if not self._in_turn:
            self.wake()

    def submit(self, token: int, envelopes: tuple[bytes, ...]) -> bool:
        """A client hands in envelopes; False if nobody listens."""
        if self.core is None or self.halt is not None:
            return False
        self._enqueue(nv.Submitted, token=token, envelopes=envelopes)
        self.wake()
        return True

    def connected(self, firm: int, up: bool) -> None:
        if self.core is not None:
            self._enqueue(nv.PeerConnected if up else nv.PeerLost, peer=self._peers[firm])
            self.wake()

    def wake(self) -> None:
        """Begin a turn if there is work and the loop is free; let a turn that ends quietly call if it goes on."""
        core = self.core
        if self._in_turn or not self._inbox or self.paused or core is None:
            return
        heap, free_at = self.world.heap, self._free_at
        if heap.now > free_at or heap.passed(free_at, self._free_place):
            self._turn(core)
        elif not self._called:
            self._called = True
            heap.at_place(self._free_at, self._free_place, self._quiet_turn_ended, self.incarnation)

    def _quiet_turn_ended(self, incarnation: int) -> None:
        if incarnation == self.incarnation:
            self._called = False
            self.wake()

    # -- one turn ------------------------------------------------------------------------------------------------

    def _turn(self, core: NodeCore) -> None:
        world, inbox = self.world, self._inbox
        heap, trace, monitor, step_cost = world.heap, world.trace, world.monitor, world.costs.step
        start = heap.now
        cost = 0
        mono, wall = self.clock.both(start)
        for _ in range(min(len(inbox), TURN_EVENTS)):
            first: Any
            second: Any
            first, second = inbox.popleft()
            now = mono + cost
            if now < self.last_mono:
                now = self.last_mono
            self.last_mono = now
            event: nv.NodeEvent
            if isinstance(first, int):
                event = nv.PeerReceived(now=now, wall=wall, peer=first, message=second)
                self.taken += 1
            else:
                event = first(now=now, wall=wall, **second)
            try:
                effects = core.step(event)
            except Exception as error:  # a core that raises is the finding; the run goes on to report it
                monitor.raised(self, error, event)
                self.crash()
                return
            self._began = True
            trace.step(start, self.slot, event, effects)
            monitor.stepped(self, event, effects)
            cost += step_cost
            for effect in effects:
                cost += _TAKE[type(effect)](self, effect)
        ends = self.cpu.take(start, cost)
        batch = self._batch
        if self._gated or inbox or batch.entries or batch.prunes or (not self._pipelined and self.journal.busy):
            self._in_turn = True
            heap.at(ends, self._stepped, self.incarnation)
        else:
            self._free_at, self._free_place = ends, heap.reserve()

    # -- taking effects: each starts or queues one, and returns what it costs the loop ---------------------------------

    def _append(self, effect: ne.AppendJournal) -> int:
        batch = self._batch
        batch.entries.append(self.journal.entry(effect.lsn, effect.record))
        if effect.body is not None:
            batch.bodies.append((effect.lsn, effect.body))
            batch.size_bytes += sum(len(envelope) for envelope in effect.body.envelopes)
        batch.size_bytes += 512
        return self.world.costs.sign

    def _prune(self, effect: ne.PruneJournal) -> int:
        self._batch.prunes.append((effect.before, effect.bodies_up_to, effect.keep))
        return 0

    def _gate(self, effect: ne.SendPeer | ne.BroadcastPeer | ne.StoreBlock | ne.Execute | ne.EndEpoch) -> int:
        self._gated.append((effect.after, effect))
        return 0

    def _gate_answer(
        self,
        effect: ne.SendBlocks
        | ne.SendSnapshot
        | ne.SendChunk
        | ne.SendSkeleton
        | ne.SendEpochEnds
        | ne.InstallSnapshot,
    ) -> int:
        self._gated.append((0, effect))
        return 0

    def _begin_snapshot(self, effect: ne.BeginSnapshot) -> int:
        self.shelf.begin(effect)
        return 0

    def _keep_part(self, effect: ne.KeepChunk | ne.KeepSkeleton) -> int:
        self.shelf.keep(effect)
        return 0

    def _drop_snapshot(self, _effect: ne.DropSnapshot) -> int:
        self.shelf.drop()
        return 0

    def _keep_end(self, effect: ne.KeepEpochEnd) -> int:
        """At once: the next signatures of this step may be those of its members."""
        self.ends.keep(effect)
        return 0

    def _cancel_timer(self, effect: ne.CancelTimer) -> int:
        self._timers.pop(effect.timer, None)
        return 0

    def _answer_client(self, effect: ne.Answer) -> int:
        self.world.monitor.answered(self, effect)
        return 0

    def _report(self, effect: Report) -> int:
        self.world.monitor.reported(self, effect)
        return 0

    def _halt(self, effect: Halt) -> int:
        self.halt = effect
        self._gated.clear()
        self.world.monitor.halted(self, effect)
        return 0

    def _pass_over(self, _effect: ne.NodeEffect) -> int:
        """Figures and alarms for people, and where nodes are: in a simulated network every path is known."""
        return 0

    # -- the end of a turn -----------------------------------------------------------------------------------------

    def _stepped(self, incarnation: int) -> None:
        """The loop has done the turn: release what need not wait, start the durable write."""
        if incarnation != self.incarnation:
            return
        if self._batch and self._crashes("before"):
            self.crash()
            return
        self._release()
        if self.core is None:
            return
        if self._batch and not self.journal.busy:
            self._commit()
        if self._pipelined or not self.journal.busy:
            self._end_turn()

    def _end_turn(self) -> None:
        self._in_turn = False
        self.wake()

    def _commit(self) -> None:
        batch, self._batch = self._batch, JournalBatch()
        if self.write_error:
            self.write_error = False
            self.journal.begin(batch)
            self.crash()  # P91: never retried, never treated as done
            return
        self.journal.begin(batch)
        if any(self._crashes(point) for point in INSIDE):
            self.crash()
            return
        costs = self.world.costs
        latency = commit_latency(
            self._rng, costs.commit_base, batch.size_bytes, costs.commit_byte, self.journal_slowness
        )
        self.world.heap.at(self.world.heap.now + latency, self._committed, self.incarnation)

    def _committed(self, incarnation: int) -> None:
        if incarnation != self.incarnation:
            return
        batch = self.journal.finish()
        self.world.monitor.durable(self, batch)
        if self._crashes("after"):
            self.crash()
            return
        if batch.entries:
            self._enqueue(nv.JournalDurable, lsn=batch.entries[-1].lsn)
        self._release()
        if self._crashes("sent"):
            self.crash()
            return
        if self.core is None:
            return
        if self._batch:
            self._commit()
        self._end_epoch()
        if self.up and not self._pipelined:
            self._end_turn()
        else:
            self.wake()

    def _release(self) -> None:
        """Perform, in list order, what the durable journal allows; blocks never overtake each other."""
        durable, gated = self.journal.durable_lsn, self._gated
        if not gated:
            return
        blocked: deque[Wait] = deque()
        blocks_wait = False
        while gated:
            after, effect = gated.popleft()
            is_block = type(effect) in _BLOCKS
            if after > durable or (is_block and blocks_wait):
                blocks_wait = blocks_wait or is_block
                blocked.append((after, effect))
                continue
            self._perform(effect)
            if self.core is None:
                return
        self._gated = blocked

    # -- effects that wait for the journal -------------------------------------------------------------------------

    def _perform(self, effect: Any) -> None:
        _PERFORM[type(effect)](self, effect)

    def _send_peer(self, effect: ne.SendPeer) -> None:
        self.send(effect.message, effect.to)

    def _broadcast(self, effect: ne.BroadcastPeer) -> None:
        self.send(effect.message, None)

    def _offer_snapshot(self, effect: ne.SendSnapshot) -> None:
        self.send(self.shelf.offer(effect.above, self.store.blocks), effect.to)

    def _send_chunk(self, effect: ne.SendChunk) -> None:
        chunk = self.shelf.chunk(effect.height, effect.depth, effect.index)
        self.send(chunk or self.shelf.offer(effect.height, self.store.blocks), effect.to)

    def _send_skeleton(self, effect: ne.SendSkeleton) -> None:
        self.send(skeleton(effect.first, effect.last, self.store.blocks), effect.to)

    def _send_ends(self, effect: ne.SendEpochEnds) -> None:
        ends = self.ends.after(effect.first)
        nodes = self.shelf.nodes(self.store.blocks) if len(ends) < ENDS_MAX else ()
        self.send(EpochEnds(effect.first, ends, nodes), effect.to)

    def _install_snapshot(self, _effect: ne.InstallSnapshot) -> None:
        self._install()

    def _begin_end_of_epoch(self, _effect: ne.EndEpoch) -> None:
        self._ending = True
        self._end_epoch()

    def _end_epoch(self) -> None:
        """Once all of the epoch is executed and durable, begin the next one as a start does: from the disks (P114)."""
        if not self._ending or self.core is None:
            return
        top = max(self.store.blocks)
        if self.store.view.height < top or self.store.busy or self.journal.busy or self._batch:
            return
        if self.store.durable_height < top:
            self._begin_flush()
            return
        pool = self.core.mempool
        waiting = (
            tuple((one.tx, one.ours) for one in pool.waiting.values()),
            self.core.evidence.waiting(),
        )
        self.last_digest = b""
        self._forget()
        self.world.monitor.stopped(self)
        self.start(waiting)

    def _install(self) -> None:
        """End the process, put the snapshot in the place of the block store, and start again (P107)."""
        state = self.replica_state
        if state is None:
            return
        self.crash()
        store = self.shelf.install(state.config.params.max_validity_heights, self._index_entries)
        if store is not None:
            self.store = store
            self.snapshots += 1
        self.start()

    def send(self, message: PeerMessage, to: int | None) -> None:
        """Send to one member, or to all others; an attacker's wrapper may rewrite it."""
        world = self.world
        if self.behaviour is None:
            world.monitor.sending(self, message, to)
            self.transmit(message, to)
            return
        for changed, target in self.behaviour.outgoing(message, to):
            self.transmit(changed, target)

    def transmit(self, message: PeerMessage, to: int | None) -> None:
        """Put a message on the wire without asking anybody."""
        world = self.world
        encoded = encode(message)
        if self.behaviour is not None:
            try:
                peer_codec.decode(encoded)
            except LedgerError:
                return  # the receiver's transport refuses such bytes before its core sees them (S33)
        elif world.encode_messages and peer_codec.decode(encoded) != message:
            raise InvariantViolated(f"{type(message).__name__} does not survive its encoding")
        parcel = Parcel(self.slot, message, len(encoded), encoded if world.decode_messages else b"")
        world.net.send(parcel, self._targets(to))

    def transmit_bytes(self, data: bytes, to: int | None) -> None:
        """Put bytes on the wire that need not be a message (scenario 58); the receivers decode them."""
        self.world.net.send(Parcel(self.slot, None, len(data), data), self._targets(to))

    def _targets(self, to: int | None) -> list[int]:
        if to is not None:
            return list(self.world.slots_of[self.firm_of(to)])
        others = self._others
        if others is None:
            slots_of = self.world.slots_of
            others = self._others = [slot for firm, slots in slots_of.items() if firm != self.firm for slot in slots]
        return others

    def _store(self, effect: ne.StoreBlock) -> None:
        block = StoredBlock(
            effect.ref, effect.header, effect.header_bytes, effect.envelopes, effect.tx_ids, effect.certificate
        )
        self.store.blocks[effect.ref.height] = block
        self.world.monitor.stored(self, block)

    def _execute(self, effect: ne.Execute) -> None:
        world = self.world
        executed = world.execution.run(self.store.view, effect.header, effect.transactions, effect.evidence)
        block = self.store.blocks[effect.height]
        if block.ref.block_id not in world.validity:
            world.validity[block.ref.block_id] = tuple((tx.tx_id, tx.valid_until_height) for tx in effect.transactions)
        result, costs = executed.result, world.costs
        gas = sum(receipt.gas_used for receipt in result.receipts)
        cost = costs.execute_block + gas * costs.gas + len(result.writes) * costs.write
        done = self.executor.take(world.heap.now, cost)
        world.heap.at(done, self._finished, (self.incarnation, effect.height, executed))

    def _finished(self, work: tuple[int, int, Executed]) -> None:
        incarnation, height, executed = work
        if incarnation != self.incarnation:
            return
        result = executed.result
        self.store.executed(executed.view, result.exec_root, result.scheduled > 0)
        self.shelf.executed(height, result, executed.view)
        self.world.monitor.executed(self, height, executed)
        self._enqueue(
            nv.BlockExecuted,
            height=height,
            exec_root=result.exec_root,
            state_root=result.state_root,
            receipts=result.receipts,
            next_epoch=None if result.next_epoch is None else epoch_spec(result.next_epoch),
            awaited=result.next_activation,
            due_ms=result.next_due_ms,
            scheduled=result.scheduled > 0,
        )
        self._plan_flush()
        self._end_epoch()
        self.wake()

    def _serve(self, effect: ne.SendBlocks) -> None:
        """Answer a range request from the block store, within one frame."""
        blocks: list[CertifiedBlock] = []
        size = 0
        for height in range(effect.first, effect.last + 1):
            block = self.store.blocks.get(height)
            if block is None:
                break
            size += len(block.header_bytes) + sum(len(envelope) + 5 for envelope in block.envelopes) + 4096
            if size > SERVE_BYTES and blocks:
                break
            blocks.append(CertifiedBlock(block.header_bytes, block.envelopes, block.certificate))
        if blocks:
            self.send(Blocks(tuple(blocks)), effect.to)
        else:
            self.send(Held(effect.first, min(self.store.blocks), max(self.store.blocks)), effect.to)

    # -- the block store's own commits -----------------------------------------------------------------------------

    def _plan_flush(self) -> None:
        if self.store.busy:
            return
        now = self.world.heap.now
        if self.store.view.height - self.store.durable_height >= FLUSH_BLOCKS:
            self._begin_flush()
        elif self._flush_at <= now and self.store.view.height > self.store.durable_height:
            self._flush_at = now + FLUSH_NS
            self.world.heap.at(self._flush_at, self._flush_due, self.incarnation)

    def _flush_due(self, incarnation: int) -> None:
        if incarnation != self.incarnation or self.store.busy:
            return
        if self.store.view.height > self.store.durable_height:
            self._begin_flush()

    def _begin_flush(self) -> None:
        costs = self.world.costs
        self.store.begin()
        latency = commit_latency(self._rng, 4 * costs.commit_base, 0, costs.commit_byte, self.blocks_slowness)
        self.world.heap.at(self.world.heap.now + latency, self._flushed, self.incarnation)

    def _flushed(self, incarnation: int) -> None:
        if incarnation != self.incarnation:
            return
        self._enqueue(nv.StoreDurable, height=self.store.finish())
        self._plan_flush()
        self._end_epoch()
        self.wake()

    # -- servers and timers ----------------------------------------------------------------------------------------

    def _verify_votes(self, effect: ne.VerifyVotes) -> int:
        world = self.world
        verify = world.oracle.verify
        members: tuple[Member, ...] = ()
        valid, epoch, kind, body, digest = 0, -1, "", b"", b""
        for position, item in enumerate(effect.items):
            if item.epoch != epoch:
                epoch = item.epoch
                members = self._members_of(epoch)
            if 0 <= item.signer < len(members):
                if item.body is not body or item.kind != kind:  # nearly always all are votes for one block
                    kind, body = item.kind, item.body
                    digest = world.digests.of(kind, body)
                if verify(members[item.signer].consensus_key, item.signature, digest):
                    valid |= 1 << position
        done = self.verifier.take(world.heap.now, world.costs.verify * len(effect.items)) + self._late()
        answer = self.incarnation, nv.VotesVerified, {"token": effect.token, "valid": valid}
        world.heap.at(done, self._answer, answer)
        if self._disorder and not self._rng.below(TWICE):
            world.heap.at(done + self._late(), self._answer, answer)
        return 0

    def _members_of(self, epoch: int) -> tuple[Member, ...]:
        """Return the members of an epoch by index; none while it is not decided here (P115)."""
        known = self._electorates.get(epoch)
        if known is None:
            record = read_epoch(self.store.view, epoch) if 0 <= epoch < NUMBER_MAX else None
            known = self.ends.members(epoch) if record is None else epoch_spec(record).members
            if known:
                self._electorates[epoch] = known
        return known

    def _verify_transactions(self, effect: ne.VerifyTransactions) -> int:
        world, known = self.world, self.world.checked
        verdicts: list[bool] = []
        count = 0
        for tx in effect.transactions:
            checked = known.get(tx.envelope_hash)
            if checked is None:
                if len(known) >= CHECKED_MAX:
                    known.clear()
                signatures = tx.signatures
                good = all(world.oracle.verify(key, signature, tx.digest) for key, signature in signatures)
                checked = known[tx.envelope_hash] = (good, len(signatures))
            verdicts.append(checked[0])
            count += checked[1]
        done = self.verifier.take(world.heap.now, world.costs.verify * count) + self._late()
        answer = {"token": effect.token, "verdicts": tuple(verdicts)}
        world.heap.at(done, self._answer, (self.incarnation, nv.TransactionsVerified, answer))
        return 0

    def _answer(self, answer: tuple[int, type[Any], dict[str, Any]]) -> None:
        incarnation, kind, fields = answer
        if incarnation == self.incarnation:
            self._enqueue(kind, **fields)
            self.wake()

    def _late(self) -> int:
        """Answers overtake each other where the run allows it (P158, scenario 83)."""
        return self._rng.below(DISORDER_NS) if self._disorder else 0

    def _built(self, answer: BlockBuilt) -> None:
        """The mempool has built a block, and says so some time after."""
        due = self.world.heap.now + self._rng.below(self._late_ns)
        self.world.heap.at(due, self._answer, (self.incarnation, LateAnswer, {"answer": answer}))

    def _set_timer(self, effect: ne.SetTimer) -> int:
        self._timers[effect.timer] = effect.generation
        fires = self.clock.time_of_mono(effect.deadline_ns)
        self.world.heap.at(fires, self._fire, (self.incarnation, effect.timer, effect.generation))
        return 0

    def _fire(self, timer: tuple[int, nv.AnyTimer, int]) -> None:
        incarnation, name, generation = timer
        if incarnation == self.incarnation and (self._disorder or self._timers.get(name) == generation):
            self._timers.pop(name, None)
            self._enqueue(nv.TimerElapsed, timer=name, generation=generation)
            self.wake()

    def _enqueue(self, kind: type[Any], **fields: Any) -> None:
        self._inbox.append((kind, fields))


_TAKE: Final[dict[type, Callable[[Daemon, Any], int]]] = {
    ne.AppendJournal: Daemon._append,
    ne.PruneJournal: Daemon._prune,
    ne.SendPeer: Daemon._gate,
    ne.BroadcastPeer: Daemon._gate,
    ne.StoreBlock: Daemon._gate,
    ne.Execute: Daemon._gate,
    ne.EndEpoch: Daemon._gate,
    ne.SendBlocks: Daemon._gate_answer,
    ne.SendSnapshot: Daemon._gate_answer,
    ne.SendChunk: Daemon._gate_answer,
    ne.SendSkeleton: Daemon._gate_answer,
    ne.InstallSnapshot: Daemon._gate_answer,
    ne.BeginSnapshot: Daemon._begin_snapshot,
    ne.KeepChunk: Daemon._keep_part,
    ne.KeepSkeleton: Daemon._keep_part,
    ne.DropSnapshot: Daemon._drop_snapshot,
    ne.VerifyVotes: Daemon._verify_votes,
    ne.VerifyTransactions: Daemon._verify_transactions,
    ne.SetTimer: Daemon._set_timer,
    ne.CancelTimer: Daemon._cancel_timer,
    ne.Answer: Daemon._answer_client,
    Report: Daemon._report,
    Halt: Daemon._halt,
    ne.Penalty: Daemon._pass_over,
    ne.Rejection: Daemon._pass_over,
    ne.Tally: Daemon._pass_over,
    ne.SendEpochEnds: Daemon._gate_answer,
    ne.KeepEpochEnd: Daemon._keep_end,
    ne.LearnNodes: Daemon._pass_over,
    Silence: Daemon._pass_over,
}
"""From type of effect to what is done with it in the turn; a test compares it with `NodeEffect`."""
_PERFORM: Final[dict[type, Callable[[Daemon, Any], None]]] = {
    ne.SendPeer: Daemon._send_peer,
    ne.BroadcastPeer: Daemon._broadcast,
    ne.StoreBlock: Daemon._store,
    ne.Execute: Daemon._execute,
    ne.SendBlocks: Daemon._serve,
    ne.SendSnapshot: Daemon._offer_snapshot,
    ne.SendChunk: Daemon._send_chunk,
    ne.SendSkeleton: Daemon._send_skeleton,
    ne.SendEpochEnds: Daemon._send_ends,
    ne.InstallSnapshot: Daemon._install_snapshot,
    ne.EndEpoch: Daemon._begin_end_of_epoch,
}
"""From type of effect to what is done with it once the journal allows it."""
_BLOCKS: Final = frozenset((ne.StoreBlock, ne.Execute, ne.EndEpoch))
