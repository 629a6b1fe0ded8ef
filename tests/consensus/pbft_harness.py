"""A small world for replicas: virtual time, links, journals, a toy chain. It answers every effect honestly.

It is not the simulator: no costs, no swarm. What it does keep is the contract of a driver: one durable write per
turn, nothing leaves before the journal is durable up to its `after`, a crash loses what was not durable. Checks
that must always hold (agreement, one signed body per slot, durable before send) run on every effect.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec

from consensus.effects import (
    Broadcast,
    BuildBlock,
    CheckBlock,
    Count,
    Deliver,
    Effect,
    FetchBodies,
    Halt,
    Penalise,
    Persist,
    Prune,
    Reject,
    Report,
    Send,
    Silence,
    StartSync,
    StartTimer,
    StopTimer,
    VerifySignatures,
)
from consensus.events import (
    AnyEvent,
    BlockBuilt,
    BlockChecked,
    Durable,
    EpochSpec,
    Executed,
    Member,
    PeerDown,
    PeerUp,
    Received,
    ReplicaConfig,
    SignaturesChecked,
    Start,
    Stored,
    Synced,
    TimerFired,
    Verdict,
    WorkChanged,
)
from consensus.evidence import judge
from consensus.messages import (
    Commit,
    Message,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    ViewChange,
)
from consensus.records import Accepted, Anchor, Entered, Left, PreparedHere
from consensus.replica import Replica
from consensus.validate import Opening, new_view_body, opening, signing_digest_of, view_change_body
from ledger.block import EMPTY_LIST_ROOT, BlockRef, Header, block_id, exec_root, header_codec, list_root
from ledger.certificate import (
    CommitCertificate,
    Vote,
    bitmap,
    certificate_hash,
    genesis_certificate,
    verify_commit_certificate,
)
from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey, verify_strict
from ledger.crypto.hashing import H, Tag
from ledger.evidence import Evidence
from ledger.ids import ZERO_HASH
from ledger.params import Params
from ledger.registry.records import members_hash

MS = 1_000_000
CHAIN = bytes([7]) * 32
GENESIS = bytes([9]) * 32
GENESIS_ROOT = H(Tag.EXEC, ZERO_HASH, ZERO_HASH, EMPTY_LIST_ROOT)
WALL0 = 1_800_000_000_000
JOURNAL = b"journal-of-tests"
WINDOW = 1
"""Blocks in flight in a world that is given no parameters; the fixture `window` changes it."""

SIGNED = (PrePrepare, Prepare, Commit, ViewChange, NewView)


def told_by(record: object) -> tuple[object, ...]:
    """The signed messages that a journal record makes durable."""
    if isinstance(record, Accepted):
        return (record.pre_prepare, record.prepare)
    if isinstance(record, PreparedHere):
        return (record.commit,)
    if isinstance(record, Left):
        return (record.view_change,)
    if isinstance(record, Entered):
        return (record.new_view,)
    if isinstance(record, Anchor):
        return (*record.accepted, *record.own_votes, record.view_change, record.new_view)
    return ()


class Keys:
    """Signature scheme of a run: real Ed25519, or a keyed hash that only the owner can make (SIM8)."""

    def __init__(self, n: int, real: bool) -> None:
        self.real = real
        self.seeds = [sha256(b"key %d" % index).digest() for index in range(n)]
        self.private = [SigningKey(seed) for seed in self.seeds] if real else []
        self.public = tuple(key.public_key for key in self.private) if real else tuple(self.seeds)

    def sign(self, index: int, kind: str, body: bytes) -> bytes:
        digest = signing_digest_of(kind, CHAIN, body)
        return self.private[index].sign(digest) if self.real else self._model(self.seeds[index], digest)

    def verify(self, public: bytes, signature: bytes, digest: bytes) -> bool:
        return verify_strict(public, signature, digest) if self.real else self._model(public, digest) == signature

    @staticmethod
    def _model(seed: bytes, digest: bytes) -> bytes:
        return 2 * H(Tag.MODEL_SIGNATURE, seed, digest)


class Signer:
    def __init__(self, keys: Keys, index: int) -> None:
        self.keys, self.index = keys, index

    def sign(self, kind: str, body: bytes) -> bytes:
        return self.keys.sign(self.index, kind, body)


@dataclass
class Stored_:
    """A block of the toy chain."""

    reference: BlockRef
    header: bytes
    bodies: tuple[bytes, ...]
    certificate: CommitCertificate


@dataclass
class Bodies:
    """Toy body request and answer."""

    block_id: bytes
    wanted: tuple[bytes, ...]
    bodies: tuple[bytes, ...] | None = None


@dataclass
class Blocks:
    """Toy range request and answer."""

    first: int
    last: int
    blocks: tuple[Stored_, ...] | None = None


@dataclass
class Node:
    index: int
    replica: Replica
    alive: bool = True
    life: int = 0
    voting: bool = True
    skew_ms: int = 0
    pool: dict[bytes, bytes] = field(default_factory=dict)
    chain: list[Stored_] = field(default_factory=list)
    roots: dict[int, bytes] = field(default_factory=dict)
    executed: int = 0
    held: dict[bytes, tuple[bytes, tuple[bytes, ...]]] = field(default_factory=dict)
    fetching: dict[bytes, Proposal] = field(default_factory=dict)
    journal: list[tuple[int, object]] = field(default_factory=list)
    journal_bodies: dict[bytes, tuple[bytes, tuple[bytes, ...]]] = field(default_factory=dict)
    body_lsns: dict[bytes, int] = field(default_factory=dict)
    unwritten: list[Persist] = field(default_factory=list)
    writing: list[Persist] = field(default_factory=list)
    durable: int = 0
    outbox: list[Send | Broadcast | Deliver] = field(default_factory=list)
    timers: dict[object, int] = field(default_factory=dict)
    stored: int = 0
    slow_execution: bool = False
    overdue: bool = False
    told: tuple[int, int, bool] = (0, 0, False)
    halts: list[Halt] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    penalties: list[Penalise] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    rejections: Counter = field(default_factory=Counter)
    """Messages that were not taken, by (peer, reason)."""
    digests: dict[int, bytes] = field(default_factory=dict)


class World:
    """n replicas. `latency(frm, to, message)` in ns, or None to lose the message."""

    def __init__(
        self,
        n: int = 4,
        real: bool = False,
        params: Params | None = None,
        disk_ns: int = MS // 2,
        delay_ns: int = 2 * MS,
        connect: bool = True,
        alive: Iterable[int] | None = None,
        founders: int | None = None,
    ) -> None:
        """`founders`: how many of the nodes are members of epoch 0; all, unless told."""
        self.n = n
        self.keys = Keys(n, real)
        self.params = params or Params(window=WINDOW)
        self.disk_ns, self.delay_ns = disk_ns, delay_ns
        self.now = 0
        self.heap: list[tuple[int, int, Callable[[], None]]] = []
        self.seq = 0
        self.rule: Callable[[int, int, object], int | None] = lambda _from, _to, _message: self.delay_ns
        self.twist: Callable[[int, int, Message], Message] = lambda _from, _to, message: message
        self.sent: Counter = Counter()
        self.log: list[tuple[int, int, int, object]] = []
        self.signed: dict[tuple, bytes] = {}
        self.committed: dict[int, bytes] = {}
        ids = [f"c{index:03d}" for index in range(n)]
        self.ids = ids
        self.epochs = [self.spec(0, 1, range(n if founders is None else founders))]
        self.epoch = self.epochs[0]
        self.members_hash = self.epoch.members_hash
        self.deciding: dict[int, EpochSpec] = {}
        self.prompt = True
        """A block that decides an epoch reaches the block store as soon as it is executed, as a driver sees to (P114)."""
        self.beginnings: dict[int, int] = {}
        """Height of a block that accepts a plan -> height at which its contracts begin."""
        self.due: list[int] = []
        """Times of the clock at which schedule entries are due; the first block at or after one runs it."""
        self.nodes = [Node(index, Replica(Signer(self.keys, index))) for index in range(n)]
        living = set(range(n)) if alive is None else set(alive)
        for node in self.nodes:
            node.alive = node.index in living
        for node in self.nodes:
            if node.alive:
                self.start(node)
        if connect:
            for node in self.nodes:
                self.connect(node)

    # epochs

    def spec(self, epoch: int, first_height: int, companies: Iterable[int], resting: Iterable[int] = ()) -> EpochSpec:
        """The nodes `companies`, which begin at node 0 without a gap: so the index of a member is that of its node."""
        who, out = list(companies), set(resting)
        assert who == list(range(len(who)))
        return EpochSpec(
            epoch=epoch,
            first_height=first_height,
            members=tuple(
                Member(company_id=self.ids[i], consensus_key=self.keys.public[i], in_rotation=i not in out) for i in who
            ),
            members_hash=members_hash([(self.ids[i], self.keys.public[i], i not in out) for i in who]),
        )

    def decide(self, height: int, companies: Iterable[int], resting: Iterable[int] = ()) -> EpochSpec:
        """Let the block of `height` decide the next epoch, as governance does (P112)."""
        first = height + self.params.exec_lag + self.params.window + 1
        self.deciding[height] = self.spec(len(self.epochs), first, companies, resting)
        self.epochs.append(self.deciding[height])
        return self.epochs[-1]

    def epoch_at(self, height: int) -> EpochSpec:
        return [one for one in self.epochs if one.first_height <= height or one.epoch == 0][-1]

    def certified(self, certificate: CommitCertificate) -> bool:
        """Tell whether the members of the height's own epoch signed (P115)."""
        epoch = self.epoch_at(certificate.vote.height)
        keys = tuple(member.consensus_key for member in epoch.members)
        problem = verify_commit_certificate(certificate, keys, CHAIN, self.keys.verify)
        return not problem and certificate.vote.epoch == epoch.epoch

    # time

    def at(self, delay_ns: int, action: Callable[[], None]) -> None:
        self.seq += 1
        heapq.heappush(self.heap, (self.now + delay_ns, self.seq, action))

    def run(self, duration_ms: int, until: Callable[[], bool] | None = None) -> bool:
        end = self.now + duration_ms * MS
        while self.heap and self.heap[0][0] <= end:
            self.now, _, action = heapq.heappop(self.heap)
            action()
            if until is not None and until():
                return True
        self.now = end
        return until() if until is not None else True

    # life and links

    @staticmethod
    def admit(node: Node, tx_id: bytes, body: bytes) -> None:
        """Into the pool, unless it is in the chain already."""
        if all(body not in block.bodies for block in node.chain):
            node.pool[tx_id] = body

    def gossip(self) -> None:
        """Every living node gets what any node has."""
        everything = {tx_id: body for node in self.nodes for tx_id, body in node.pool.items()}
        for node in self.nodes:
            for tx_id, body in everything.items():
                self.admit(node, tx_id, body)
            self.tell_work(node)

    def config(self, index: int) -> ReplicaConfig:
        """As a node does it: the epoch of the height after the stored tip, with those around it."""
        node = self.nodes[index]
        epoch = self.epoch_at(node.stored + 1)
        coming = next((one for at, one in self.deciding.items() if at <= node.stored and one.epoch > epoch.epoch), None)
        return ReplicaConfig(
            index=index if index < len(epoch.members) else None,
            chain_id=CHAIN,
            genesis_id=GENESIS,
            epoch=epoch,
            params=self.params,
            journal_id=JOURNAL,
            company_id=self.ids[index],
            former=self.epochs[epoch.epoch - 1] if epoch.epoch else None,
            coming=coming,
            awaited=self.awaited(node.stored),
            due_ms=self.due_after(node, node.stored),
            scheduled=max((height for height in range(1, node.stored + 1) if self.ran(node, height)), default=0),
        )

    def awaited(self, height: int) -> int:
        """Return the first beginning after `height` that blocks up to it decided."""
        return min((begin for at, begin in self.beginnings.items() if at <= height < begin), default=0)

    def due_after(self, node: Node, height: int) -> int:
        """Return when the next entry is due after block `height` of a node, 0 for none."""
        time_ms = node.chain[height - 1].reference.time_ms if height else 0
        return min((due for due in self.due if due > time_ms), default=0)

    def ran(self, node: Node, height: int) -> bool:
        """Tell whether an entry ran in block `height`: it was due after the one before."""
        return 0 < self.due_after(node, height - 1) <= node.chain[height - 1].reference.time_ms

    def start(self, node: Node) -> None:
        top = [block for block in node.chain if block.reference.height <= node.stored]
        node.chain = top
        tip = top[-1].reference if top else BlockRef(0, GENESIS, WALL0 - 1000, 0, 0)
        certificate = top[-1].certificate if top else genesis_certificate(GENESIS)
        node.roots = {0: GENESIS_ROOT}
        for block in top:
            self._execute_into(node, block)
        node.executed = tip.height
        keep = range(max(0, tip.height - self.params.exec_lag), tip.height + 1)
        node.held = dict(node.journal_bodies)
        self.feed(
            node,
            Start(
                now=self.now,
                wall=self.wall(node),
                config=self.config(node.index),
                tip=tip,
                tip_certificate=certificate,
                executed=tuple((height, node.roots[height]) for height in keep),
                records=tuple(node.journal),
                voting=node.voting,
                headers=tuple(header for header, _ in node.journal_bodies.values()),
            ),
        )

    def connect(self, node: Node) -> None:
        for other in self.nodes:
            if other.index != node.index and other.alive and node.alive:
                self.feed(node, PeerUp(now=self.now, wall=self.wall(node), peer=other.index))

    def kill(self, index: int) -> None:
        node = self.nodes[index]
        node.alive = False
        node.life += 1
        node.unwritten, node.writing, node.outbox, node.timers, node.fetching = [], [], [], {}, {}
        for other in self.nodes:
            if other.alive:
                self.feed(other, PeerDown(now=self.now, wall=self.wall(other), peer=index))

    def restart(self, index: int) -> Node:
        node = self.nodes[index]
        node.replica = Replica(Signer(self.keys, index))
        node.alive = True
        node.told = (0, 0, False)
        before = node.digests.get(node.durable)
        self.start(node)
        if before is not None and not node.unwritten and not node.writing and not node.replica.state.ahead:
            assert node.replica.state.durable_digest() == before, "I21: recovery gives another state"
        for other in self.nodes:
            if other.alive and other.index != index:
                self.feed(other, PeerUp(now=self.now, wall=self.wall(other), peer=index))
                self.feed(node, PeerUp(now=self.now, wall=self.wall(node), peer=other.index))
        self.tell_work(node)
        return node

    def take_up(self, node: Node) -> None:
        """The blocks are at the barrier before the epoch of the journal: a shell begins anew from the disks (P114)."""
        node.life += 1
        node.outbox, node.timers, node.fetching = [], {}, {}
        node.stored = len(node.chain)
        self.restart(node.index)

    def wall(self, node: Node) -> int:
        return WALL0 + self.now // MS + node.skew_ms

    # work

    def submit(self, count: int, to: Iterable[int] | None = None, label: bytes = b"tx") -> list[bytes]:
        ids = []
        for number in range(count):
            body = label + b" %d %d" % (self.now, number)
            ids.append(sha256(body).digest())
            for index in range(self.n) if to is None else to:
                self.admit(self.nodes[index], ids[-1], body)
        for node in self.nodes:
            self.tell_work(node)
        return ids

    def tell_work(self, node: Node) -> None:
        work = (len(node.pool), sum(map(len, node.pool.values())), node.overdue)
        if node.alive and work != node.told:
            node.told = work
            oldest = self.now if work[0] else 0
            self.feed(
                node,
                WorkChanged(
                    now=self.now,
                    wall=self.wall(node),
                    count=work[0],
                    size_bytes=work[1],
                    oldest_ns=oldest,
                    overdue=node.overdue,
                ),
            )

    # effects

    def written(self, node: Node, batch: list[Persist]) -> str:
        """Where a crash hits one durable write: "" nowhere, else before, durable (not sent) or sent."""
        return ""

    def feed(self, node: Node, event: AnyEvent) -> None:
        if not node.alive:
            return
        effects = node.replica.step(event)
        for effect in effects:
            self.perform(node, effect)
        if not isinstance(event, Start) and Count(metric="epoch_changed", value=1) in effects:
            self.at(0, lambda: self.connect(node))  # a driver tells the links by their indexes in the new epoch
        state = node.replica.state
        if state.ahead and state.members.epoch > state.config.epoch.epoch:
            life = node.life
            self.at(0, lambda: self.take_up(node) if node.life == life else None)
        self.check_timers(node)
        if node.unwritten:
            batch, node.unwritten = node.unwritten, []
            node.writing += batch
            digest = node.replica.state.durable_digest()
            life = node.life
            self.at(self.disk_ns, lambda: self._written(node, life, batch, digest))
        else:
            self._flush(node)

    def check_timers(self, node: Node) -> None:
        if node.halts:
            return
        running = {timer: armed.generation for timer, armed in node.replica.state.timers.items()}
        assert running == node.timers, "the driver and the replica disagree about timers"

    def _written(self, node: Node, life: int, batch: list[Persist], digest: bytes) -> None:
        if node.life != life:
            return
        point = self.written(node, batch)
        if point == "before":
            self.kill(node.index)
            return
        node.writing = node.writing[len(batch) :]
        for one in batch:
            assert not node.journal or one.lsn == node.journal[-1][0] + 1
            node.journal.append((one.lsn, one.record))
            if one.bodies is not None:
                node.journal_bodies[one.bodies] = node.held[one.bodies]
                node.body_lsns[one.bodies] = one.lsn
        node.durable = batch[-1].lsn
        node.digests[node.durable] = digest
        if point == "durable":
            self.kill(node.index)
            return
        self._flush(node)
        if point == "sent":
            self.kill(node.index)
            return
        self.feed(node, Durable(now=self.now, wall=self.wall(node), lsn=node.durable))

    def _flush(self, node: Node) -> None:
        while node.outbox and node.outbox[0].after <= node.durable:
            effect = node.outbox.pop(0)
            if isinstance(effect, Deliver):
                self._deliver(node, effect)
                continue
            self._check_left(node, effect.message)
            if isinstance(effect, Broadcast):
                for other in range(self.n):
                    if other != node.index:
                        self.transmit(node.index, other, effect.message)
            else:
                self.transmit(node.index, effect.to, effect.message)

    def perform(self, node: Node, effect: Effect) -> None:
        now, wall = self.now, self.wall(node)
        if isinstance(effect, Persist):
            if effect.bodies is not None:
                assert effect.bodies in node.held, "bodies are journalled before they are held"
            node.unwritten.append(effect)
        elif isinstance(effect, Send | Broadcast | Deliver):
            node.outbox.append(effect)
            if not isinstance(effect, Deliver):
                self._check_order(node, effect.message, effect.after)
        elif isinstance(effect, VerifySignatures):
            valid = 0
            for position, item in enumerate(effect.items):
                digest = signing_digest_of(item.kind, CHAIN, item.body)
                if self.keys.verify(self.keys.public[item.signer], item.signature, digest):
                    valid |= 1 << position
            self.answer(node, lambda: SignaturesChecked(now=now, wall=wall, token=effect.token, valid=valid))
        elif isinstance(effect, CheckBlock):
            self.answer(node, lambda: self._checked(node, effect.block_id, effect.proposal))
        elif isinstance(effect, FetchBodies):
            proposal = node.fetching.get(effect.block_id)
            if proposal is not None:
                wanted = tuple(tx_id for tx_id in proposal.tx_ids if tx_id not in node.pool)
                self.transmit(node.index, effect.source, Bodies(effect.block_id, wanted))
        elif isinstance(effect, BuildBlock):
            self.answer(
                node, lambda: BlockBuilt(now=now, wall=wall, request=effect.request, proposal=self.build(node, effect))
            )
        elif isinstance(effect, StartTimer):
            node.timers[effect.timer] = effect.generation
            fire = TimerFired(now=0, wall=0, timer=effect.timer, generation=effect.generation)
            life = node.life
            self.at(max(0, effect.deadline_ns - self.now), lambda: self._fire(node, life, fire))
        elif isinstance(effect, StopTimer):
            node.timers.pop(effect.timer)
        elif isinstance(effect, StartSync):
            for source in effect.sources:
                last = min(effect.height, len(node.chain) + 64)
                self.transmit(node.index, source, Blocks(len(node.chain) + 1, last))
        elif isinstance(effect, Report):
            node.reports.append(effect)
        elif isinstance(effect, Penalise):
            assert effect.peer != node.index
            node.penalties.append(effect)
        elif isinstance(effect, Reject):
            node.rejections[(effect.peer, effect.reason)] += 1
        elif isinstance(effect, Count):
            node.counts[effect.metric] += effect.value
        elif isinstance(effect, Prune):
            assert effect.before <= node.durable and effect.bodies_up_to <= node.stored
            node.journal = [one for one in node.journal if one[0] >= effect.before]
            kept = {}
            for key, (header, bodies) in node.journal_bodies.items():
                written = node.body_lsns.get(key, 0)
                above = header_codec.decode(header).height > effect.bodies_up_to
                if above and (written >= effect.before or key in effect.keep):
                    kept[key] = (header, bodies)
            node.journal_bodies = kept
        elif isinstance(effect, Silence):
            node.silences.append(effect)
        else:
            assert isinstance(effect, Halt)
            node.halts.append(effect)

    def answer(self, node: Node, make: Callable[[], AnyEvent]) -> None:
        life = node.life
        self.at(0, lambda: self.feed(node, self._stamp(node, make())) if node.life == life else None)

    def _stamp(self, node: Node, event: AnyEvent) -> AnyEvent:
        return msgspec.structs.replace(event, now=self.now, wall=self.wall(node))

    def _fire(self, node: Node, life: int, event: TimerFired) -> None:
        if node.life != life:
            return
        if node.timers.get(event.timer) == event.generation:
            del node.timers[event.timer]
        self.feed(node, self._stamp(node, event))

    # links

    def transmit(self, frm: int, to: int, message: object) -> None:
        if isinstance(message, Message):
            message = self.twist(frm, to, message)
            self.sent[type(message).__name__] += 1
            self.log.append((self.now, frm, to, message))
        delay = self.rule(frm, to, message)
        if delay is None or not self.nodes[to].alive:
            return
        life = self.nodes[to].life
        self.at(delay, lambda: self._arrive(frm, to, life, message))

    def inject(self, peer: int, to: int, message: Message) -> None:
        """Hand a message to `to` as if it came over the channel of `peer`."""
        node = self.nodes[to]
        self.feed(node, Received(now=self.now, wall=self.wall(node), peer=peer, message=message))

    def _arrive(self, frm: int, to: int, life: int, message: object) -> None:
        node = self.nodes[to]
        if not node.alive or node.life != life:
            return
        if isinstance(message, Bodies):
            self._bodies(frm, node, message)
        elif isinstance(message, Blocks):
            self._blocks(frm, node, message)
        elif frm < node.replica.state.members.n:  # consensus frames are taken from members only
            self.feed(node, Received(now=self.now, wall=self.wall(node), peer=frm, message=message))

    def follow(self, index: int, source: int = 0) -> None:
        """Let a node without a vote fetch certified blocks from `source` until it is a member."""
        node = self.nodes[index]
        if node.replica.state.me >= 0:
            return
        self.transmit(index, source, Blocks(len(node.chain) + 1, len(node.chain) + 64))
        self.at(10 * MS, lambda: self.follow(index, source))

    # toy chain

    def build(self, node: Node, effect: BuildBlock) -> Proposal | None:
        taken = self.uncommitted(node, effect.parent.block_id)
        ids = tuple(tx_id for tx_id, body in node.pool.items() if body not in taken)[: effect.max_txs]
        if not ids and not effect.allow_empty:
            return None
        bodies = tuple(node.pool[tx_id] for tx_id in ids)
        proposal = self.proposal(node, effect.height, effect.parent, effect.last_certificate, ids, bodies)
        node.held[block_id(proposal.header)] = (proposal.header, bodies)
        return proposal

    @staticmethod
    def uncommitted(node: Node, identity: bytes) -> dict[bytes, None]:
        """Bodies of the block `identity` and its ancestors that are not in the chain yet."""
        bodies: dict[bytes, None] = {}
        ids = {block.reference.block_id for block in node.chain}
        while identity in node.held and identity not in ids:
            header, found = node.held[identity]
            bodies.update(dict.fromkeys(found))
            identity = header_codec.decode(header).parent_id
        return bodies

    def proposal(
        self,
        node: Node,
        height: int,
        parent: BlockRef,
        last: CommitCertificate,
        ids: tuple[bytes, ...],
        bodies: tuple[bytes, ...],
        **changes: object,
    ) -> Proposal:
        values: dict[str, object] = {
            "version": 1,
            "chain_id": CHAIN,
            "epoch": self.epoch_at(height).epoch,
            "height": height,
            "parent_id": parent.block_id,
            "tx_root": list_root(ids),
            "tx_count": len(ids),
            "size_bytes": sum(map(len, bodies)),
            "time_ms": max(self.wall(node), parent.time_ms + 1),
            "proposer": node.index,
            "exec_height": node.executed,
            "exec_root": node.roots[node.executed],
            "members_hash": self.epoch_at(height).members_hash,
            "next_members_hash": self.epoch_at(height + 1).members_hash,
            "evidence_root": EMPTY_LIST_ROOT,
            "last_cert_height": last.vote.height,
            "last_cert_hash": certificate_hash(last),
            "params_hash": self.params.hash(),
        }
        values.update(changes)
        return Proposal(encode(Header(**values)), ids, last)

    def _checked(self, node: Node, identity: bytes, proposal: Proposal) -> AnyEvent:
        header = header_codec.decode(proposal.header)
        known = {sha256(body).digest() for block in node.chain for body in block.bodies}
        known |= {sha256(body).digest() for body in self.uncommitted(node, header.parent_id)}
        verdict, reason = Verdict.OK, ""
        if identity not in node.held:
            bodies = []
            for tx_id in proposal.tx_ids:
                if tx_id in node.pool:
                    bodies.append(node.pool[tx_id])
            if len(bodies) < len(proposal.tx_ids):
                verdict = Verdict.MISSING
                node.fetching[identity] = proposal
            elif any(b"INVALID" in body for body in bodies) or any(tx_id in known for tx_id in proposal.tx_ids):
                verdict, reason = Verdict.INVALID, "bad_transaction"
            elif sum(map(len, bodies)) != header.size_bytes:
                verdict, reason = Verdict.INVALID, "size"
            else:
                node.held[identity] = (proposal.header, tuple(bodies))
        return BlockChecked(now=self.now, wall=self.wall(node), block_id=identity, verdict=verdict, reason=reason)

    def _bodies(self, frm: int, node: Node, message: Bodies) -> None:
        if message.bodies is None:
            found = dict(node.pool)
            for _, bodies in node.held.values():
                found.update({sha256(body).digest(): body for body in bodies})
            given = tuple(found[tx_id] for tx_id in message.wanted if tx_id in found)
            self.transmit(node.index, frm, Bodies(message.block_id, message.wanted, given))
            return
        for body in message.bodies:
            self.admit(node, sha256(body).digest(), body)
        proposal = node.fetching.pop(message.block_id, None)
        if proposal is not None:
            self.feed(node, self._checked(node, message.block_id, proposal))
            self.tell_work(node)

    def _blocks(self, frm: int, node: Node, message: Blocks) -> None:
        if message.blocks is None:
            found = tuple(node.chain[message.first - 1 : message.last])
            if found:
                self.transmit(node.index, frm, Blocks(message.first, message.last, found))
            return
        moved = False
        for block in message.blocks:
            if block.reference.height != len(node.chain) + 1:
                continue
            assert block_id(block.header) == block.certificate.vote.block_id
            assert self.certified(block.certificate)
            self._append(node, block)
            moved = True
        if moved:
            top = node.chain[-1]
            self.feed(node, Synced(now=self.now, wall=self.wall(node), tip=top.reference, certificate=top.certificate))
            self.tell_work(node)

    def _deliver(self, node: Node, effect: Deliver) -> None:
        height = effect.block.height
        if height <= len(node.chain):
            assert node.chain[height - 1].reference == effect.block
            return
        assert height == len(node.chain) + 1, f"delivered {height} on top of {len(node.chain)}"
        header, bodies = node.held[effect.block.block_id]
        self._append(node, Stored_(effect.block, header, bodies, effect.certificate))
        self.tell_work(node)

    def _append(self, node: Node, block: Stored_) -> None:
        height = block.reference.height
        assert self.committed.setdefault(height, block.reference.block_id) == block.reference.block_id, "I1: a fork"
        assert self.certified(block.certificate)  # I13
        node.chain.append(block)
        for body in block.bodies:
            node.pool.pop(sha256(body).digest(), None)
        if not node.slow_execution:
            life = node.life
            self.at(MS // 10, lambda: self._execute(node, life, height))

    def _execute(self, node: Node, life: int, height: int) -> None:
        if node.life != life or height != node.executed + 1 or node.slow_execution:
            return
        self._execute_into(node, node.chain[height - 1])
        node.executed = height
        self.feed(node, self._executed(node, height))
        if height in self.deciding and self.prompt:
            self.store(node.index, behind=len(node.chain) - height)
        if height < len(node.chain):
            self.at(MS // 10, lambda: self._execute(node, life, height + 1))

    def _executed(self, node: Node, height: int) -> Executed:
        return Executed(
            now=self.now,
            wall=self.wall(node),
            height=height,
            exec_root=node.roots[height],
            next_epoch=self.deciding.get(height),
            awaited=self.awaited(height),
            due_ms=self.due_after(node, height),
            scheduled=self.ran(node, height),
        )

    def execute_on(self, index: int) -> None:
        """Let a node that was slow execute again."""
        node = self.nodes[index]
        node.slow_execution = False
        self._execute(node, node.life, node.executed + 1)

    @staticmethod
    def _execute_into(node: Node, block: Stored_) -> None:
        height = block.reference.height
        node.roots[height] = exec_root(node.roots[height - 1], block.reference.block_id, EMPTY_LIST_ROOT)

    def store(self, index: int, behind: int = 0) -> None:
        """The block store of a node reaches the disk, all but the last `behind` blocks."""
        node = self.nodes[index]
        node.stored = max(node.stored, len(node.chain) - behind)
        self.feed(node, Stored(now=self.now, wall=self.wall(node), height=node.stored))

    # invariants

    def _check_order(self, node: Node, message: Message, after: int) -> None:
        """I11: the record of a signed message of ours is in the log, at `after` or before."""
        if type(message) not in SIGNED or message.sender != node.index:
            return
        waiting = [(one.lsn, one.record) for one in node.writing + node.unwritten]
        if isinstance(message, PrePrepare | Prepare | Commit):
            top = node.replica.state.height + self.params.window
            assert message.vote.height <= top, "I15: a vote beyond the window"
        for lsn, record in reversed(node.journal + waiting):
            if message in told_by(record):
                assert lsn <= after, "I11: leaves before its record"
                return
        raise AssertionError("I11: no record")

    def _check_left(self, node: Node, message: Message) -> None:
        """I5: at most one signed body per slot, or view, over the whole life of a member."""
        if type(message) not in SIGNED or message.sender != node.index:
            return
        place = (message.vote.view, message.vote.height) if hasattr(message, "vote") else (message.view,)
        epoch = message.vote.epoch if hasattr(message, "vote") else message.epoch
        key = (node.index, type(message).__name__, epoch, *place)
        assert self.signed.setdefault(key, encode(message)) == encode(message), "I5: two bodies for one slot"

    # signing for a member, for tests that play one

    def prepare(self, index: int, vote: Vote) -> Prepare:
        return Prepare(index, vote, self.keys.sign(index, "prepare", encode(vote)))

    def commit(self, index: int, vote: Vote) -> Commit:
        return Commit(index, vote, self.keys.sign(index, "commit", encode(vote)))

    def pre_prepare(self, index: int, view: int, proposal: Proposal) -> PrePrepare:
        header = header_codec.decode(proposal.header)
        vote = Vote(0, view, header.height, block_id(proposal.header))
        return PrePrepare(index, vote, self.keys.sign(index, "pre-prepare", encode(vote)), proposal)

    def commit_certificate(self, vote: Vote, signers: Iterable[int]) -> CommitCertificate:
        signers = sorted(signers)
        signatures = tuple(self.keys.sign(index, "commit", encode(vote)) for index in signers)
        return CommitCertificate(vote, bitmap(signers, self.n), signatures)

    def prepared_certificate(
        self, proposal: Proposal, view: int, primary: int, signers: Iterable[int]
    ) -> PreparedCertificate:
        header = header_codec.decode(proposal.header)
        vote = Vote(0, view, header.height, block_id(proposal.header))
        signers = sorted(signers)
        kinds = {index: "pre-prepare" if index == primary else "prepare" for index in signers}
        signatures = tuple(self.keys.sign(index, kinds[index], encode(vote)) for index in signers)
        return PreparedCertificate(vote, proposal.header, primary, bitmap(signers, self.n), signatures)

    def view_change(
        self,
        index: int,
        view: int,
        base: CommitCertificate | None = None,
        prepared: tuple[PreparedCertificate, ...] = (),
    ) -> ViewChange:
        unsigned = ViewChange(0, index, view, base or genesis_certificate(GENESIS), prepared, b"")
        signature = self.keys.sign(index, "view-change", view_change_body(unsigned))
        return msgspec.structs.replace(unsigned, signature=signature)

    def new_view(
        self,
        index: int,
        view: int,
        changes: tuple[ViewChange, ...],
        reproposals: tuple[tuple[int, bytes], ...] | None = None,
    ) -> NewView:
        if reproposals is None:
            outcome = opening(changes)
            assert isinstance(outcome, Opening)
            reproposals = outcome.reproposals()
        unsigned = NewView(0, index, view, changes, reproposals, b"")
        return msgspec.structs.replace(unsigned, signature=self.keys.sign(index, "new-view", new_view_body(unsigned)))

    def first_proposal(self, index: int, count: int = 1, **changes: object) -> Proposal:
        """A proposal for height 1 as `index` would make it; its bodies are in every pool."""
        bodies = tuple(b"first %d" % number for number in range(count))
        ids = tuple(sha256(body).digest() for body in bodies)
        for node in self.nodes:
            for tx_id, body in zip(ids, bodies, strict=True):
                self.admit(node, tx_id, body)
        parent = BlockRef(0, GENESIS, WALL0 - 1000, 0, 0)
        last = genesis_certificate(GENESIS)
        return self.proposal(self.nodes[index], 1, parent, last, ids, bodies, **changes)

    # looking

    def convicts(self, item: Evidence) -> bool:
        """Tell whether an item proves its fault under the keys of this world."""
        case = judge(item, self.state(0).members, GENESIS, self.params.window)
        if isinstance(case, str):
            return False
        valid = 0
        for position, one in enumerate(case.items):
            digest = signing_digest_of(one.kind, CHAIN, one.body)
            valid |= self.keys.verify(self.keys.public[one.signer], one.signature, digest) << position
        return case.convicted(valid)

    def heights(self) -> list[int]:
        return [len(node.chain) for node in self.nodes if node.alive]

    def height(self) -> int:
        return min(self.heights())

    def state(self, index: int):
        return self.nodes[index].replica.state

    def primary(self) -> int:
        state = next(node.replica.state for node in self.nodes if node.alive)
        return state.members.collector(state.view)

    def settled(self) -> None:
        """No replica halted, and chains are prefixes of each other with equal results (I2, I14, I22)."""
        for node in self.nodes:
            assert not node.halts, node.halts
            for block in node.chain:
                assert self.committed[block.reference.height] == block.reference.block_id
        shortest = min(node.executed for node in self.nodes)
        assert len({node.roots[shortest] for node in self.nodes if shortest in node.roots}) == 1


def protocol_messages(world: World) -> int:
    """Messages of the three phases."""
    return sum(world.sent[name] for name in ("PrePrepare", "Prepare", "Commit"))
