"""Taking the state in chunks when the chain is too long to replay (P107, P21): ask, verify, keep, install.

    far behind             ask every peer for a manifest; take the one that most offer and whose certificates hold
    a manifest             binds block `height` by its certificate, and the state root after it by an execution root
                           that a later certified header names
    a chunk                the rows of one subtree with the proof that there are no others: a lie is caught at its chunk
    the skeleton           headers and ids of the blocks in which a still valid transaction may stand, each bound by the
                           parent link of the block above, from `height` downwards: no id may enter the chain twice
    all of it kept         install; the blocks above `height` come as ranges (node.core.sync)

What is kept is kept on disk, so a crash costs the chunks on their way. Who lies is named and left out, as in sync; if
nobody offers anything, the blocks are replayed after all. What f+1 members offer, an honest one has. A state that
fewer offer may be a trap: it is taken when time is up, unless f+1 members have none, but only for so long as its
pieces take; offers are asked for meanwhile, and what f+1 members agree on takes its place. Requests are bounded for
each peer and in all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from consensus.effects import SignatureItem
from consensus.events import EpochSpec, Lsn
from ledger.block import Header, block_id, exec_root, header_codec, list_root
from ledger.certificate import CommitCertificate, bitmap_indexes, faults, quorum
from ledger.codec import encode
from ledger.errors import LedgerError
from ledger.ids import HASH_BYTES
from ledger.merkle import prefix_of, root_from_range
from ledger.proof import LINKS_MAX
from node.core.effects import (
    LEFT_OUT,
    NEVER_ASKED,
    UNASKED,
    BeginSnapshot,
    DropSnapshot,
    InstallSnapshot,
    KeepChunk,
    KeepSkeleton,
    NodeEffect,
    Penalty,
    Rejection,
    SendPeer,
    VerifyVotes,
)
from node.core.epochs import EPOCHS_JUDGED
from node.core.events import Collected
from node.core.messages import (
    Chunk,
    ChunkRequest,
    Held,
    Skeleton,
    SkeletonRequest,
    SnapshotManifest,
    SnapshotOffer,
    SnapshotRequest,
)
from node.core.sync import LEFT_OUT_NS, PATIENCE_DOUBLINGS, SILENT, Fault, pace

DEPTH_MAX: Final = 4
"""Deepest subtrees that are chunks: 65,536 of them, enough for tens of gigabytes of state."""
SKELETON_BLOCKS: Final = 256
"""Heights asked for in one request of headers and ids."""
REQUESTS_PER_PEER: Final = 8
"""Requests to one peer that may be unanswered (P107)."""
REQUESTS_MAX: Final = 16
"""Requests that may be unanswered in all."""
OFFERS_WAIT: Final = 2
"""Patience periods for which offers are collected before the best one is taken."""
WISHES_KEPT: Final = 256
"""Requests for headers that are remembered of each peer: more than the whole validity window of one snapshot takes."""
VAIN_PERIODS: Final = 64
"""Patience periods without anything new after which a snapshot is given up: twice what a request with all its
doublings takes (1 + 2 + 4 + 8 + 16), so that a slow link is not taken for a peer that has nothing. One that f members
or fewer offer has so many in all, and one for each `REQUESTS_MAX` pieces: else a liar could send the 65,536 pieces
of a state just so that none is late, and keep a node out for months."""


VAIN: Final = "snapshot_silent"
"""Why a peer is left out that offered a snapshot of which nothing more came."""


@dataclass(slots=True)
class _Task:
    """One answer that is wanted: chunk `index`, or the headers `first`..`last` (index -1)."""

    index: int
    first: int = 0
    last: int = 0
    asked: int = -1
    asked_ns: int = 0
    deadline_ns: int = 0
    attempts: int = 0
    answer: Skeleton | None = None
    from_: int = -1


@dataclass(slots=True)
class Taking:
    """State of taking a snapshot. Idle while `asking` is False and `manifest` is None."""

    chain_id: bytes
    epoch: EpochSpec
    """The latest epoch whose members are known here."""
    own: int | None
    next_token: Callable[[], int]
    patience_ns: int
    validity_heights: int
    replay_blocks: int
    """Lag in blocks beyond which a snapshot is wanted; 0: never."""
    connected: dict[int, None]
    faults: dict[int, Fault]
    """Shared with sync: who lied there is not believed here."""
    passed: tuple[EpochSpec, ...] = ()
    """Epochs before that one whose states may be offered: that of the own state, and those on the way (P115)."""
    asking: bool = False
    manifest: SnapshotManifest | None = None
    installing: bool = False
    asked_ns: int = -LEFT_OUT_NS
    """When offers were asked for the last time; without one, blocks are replayed and nobody is asked for a while."""
    done_chunks: int = 0
    _gone: bool = False
    """The next block is gone everywhere: whatever state is above the tip is of use."""
    _offers: dict[int, SnapshotManifest] = field(default_factory=dict)
    _asked: dict[int, None] = field(default_factory=dict)
    """Peers whose offer is on its way, also when it comes after the choice."""
    _tip: int = 0
    """Own height when offers were asked for: lower states are of no use."""
    _without: int = 0
    """Members that answered and have nothing of use."""
    _deadline_ns: int = 0
    _asked_epoch: int = 0
    """The latest epoch that was known when offers were asked for."""
    _token: int = 0
    _verifying: SnapshotManifest | None = None
    """The offer whose certificates are being verified: a verdict counts for it alone, whatever comes meanwhile."""
    _offerers: dict[int, None] = field(default_factory=dict)
    """Who offered the snapshot that is being taken."""
    _vain: dict[int, int] = field(default_factory=dict)
    """How often a state was given up that a peer offered: others go before it, and its next one has twice the time."""
    _until_ns: int = 0
    """When a snapshot is given up that f members or fewer offer."""
    _epochs: dict[int, EpochSpec] = field(default_factory=dict)
    _new_ns: int = 0
    """When something of this snapshot was kept for the last time."""
    strict_from_ns: int = 0
    """Before this, headers nobody asked for are no fault, as in `Sync`."""
    _tasks: list[_Task] = field(default_factory=list)
    _wishes: dict[int, dict[int, None]] = field(default_factory=dict)
    """Last heights of the headers each peer was asked for, also for a snapshot before: what names a late answer. A peer
    that was asked for chunks only has none; one that is not here was never asked for anything."""
    _turn: int = 0
    _missing: list[int] = field(default_factory=list)
    _lacking: dict[int, None] = field(default_factory=dict)
    """Peers that do not hold this snapshot, or not its headers."""
    _skeleton_id: bytes = b""
    _skeleton_next: int = 0
    _cut: int = 0

    _members: int = 0
    """Peers below this number are members of the epoch of the own state; the others are guests, whom no f bounds."""

    def __post_init__(self) -> None:
        self._members = len((*self.passed, self.epoch)[0].members)
        for one in (*self.passed, self.epoch):
            self._know(one)

    @property
    def active(self) -> bool:
        return self.asking or self.manifest is not None

    @property
    def outdated(self) -> bool:
        """A later epoch became known since offers were asked for: they may have been passed over for it."""
        return self.asking and self._asked_epoch < self.epoch.epoch

    @property
    def chunks(self) -> int:
        """Chunks of the snapshot that is being taken."""
        return 0 if self.manifest is None else 1 << 4 * self.manifest.depth

    def wanted(self, target: int, tip: int, now: int, *, gone: bool = False) -> bool:
        """Tell whether a lag calls for a snapshot rather than for replay (P107)."""
        return self.far(target, tip, gone=gone) and now - self.asked_ns >= LEFT_OUT_NS

    def far(self, target: int, tip: int, *, gone: bool = False) -> bool:
        """Tell whether `target` is too far above `tip` to replay the blocks between, or they are gone (P107)."""
        return self.replay_blocks > 0 and (gone or target - tip > self.replay_blocks)

    def learn(self, epoch: EpochSpec) -> None:
        """Take states of a later epoch as well: the members before it vouch for its members (P115)."""
        if epoch.epoch > self.epoch.epoch:
            self.epoch = epoch
            self._know(epoch)

    def _know(self, epoch: EpochSpec) -> None:
        self._epochs[epoch.epoch] = epoch
        for number in sorted(self._epochs)[:-EPOCHS_JUDGED]:
            del self._epochs[number]

    # -- asking for an offer -----------------------------------------------------------------------------------

    def start(self, tip: int, now: int, *, gone: bool = False) -> list[NodeEffect]:
        """Ask every connected peer what it has. `gone`: nobody holds the block after `tip`, as in `Sync.gone`."""
        self.asking = True
        self._gone = gone
        self._tip = tip
        self._deadline_ns = now + OFFERS_WAIT * self.patience_ns
        return self._ask_offers(now)

    def resume(self, collected: Collected, tip: int, now: int) -> list[NodeEffect]:
        """Go on with what an earlier process has kept; its manifest was verified before it was kept.

        Who offered it is not known any more: it is as one that nobody vouches for until f+1 members offer it again.
        """
        self._tip = tip
        self._take_up(collected.manifest, now)
        held = dict.fromkeys(collected.chunks)
        self._missing = [index for index in self._missing if index not in held]
        self.done_chunks = len(held)
        self._cut = self._skeleton_next = collected.skeleton_from - 1
        self._skeleton_id = collected.skeleton_parent
        self._allow(now)
        return self.plan(now)

    def offered(self, peer: int, message: SnapshotOffer, tip: int, now: int) -> list[NodeEffect]:
        """Keep a peer's offer; the best is chosen when enough agree, all have answered, or time is up."""
        answers = peer in self._asked
        self._asked.pop(peer, None)
        offer = message.manifests[0] if len(message.manifests) == 1 else None
        if self.manifest is not None:
            if offer is not None and _identity(offer) == _identity(self.manifest):
                self._lacking.pop(peer, None)
                self._offerers[peer] = None
                return self.plan(now)
            if not answers:  # it does not hold the chunk it was asked for: nothing wrong, but ask others
                return self._without_it(peer, now)
        if self._left_out(peer, now):
            return [Rejection(peer=peer, reason=LEFT_OUT)]
        if not answers:
            return [Rejection(peer=peer, reason=UNASKED)]
        if not self.asking and not self._doubtful:  # too late to matter
            return []
        if offer is not None and self._of_another_epoch(offer):
            self._has_none(peer)  # its members are not known here: blocks are replayed up to there (P115)
            return self._choose_early(now)
        problem = self._shape(offer) if offer is not None else "offer" if message.manifests else ""
        if problem:
            return self._blame(peer, f"snapshot_{problem}", now)
        if offer is not None and offer.height > tip + (0 if self._gone else self.replay_blocks // 2):
            self._offers[peer] = offer
        else:
            self._has_none(peer)
        return self._choose_early(now)

    def _has_none(self, peer: int) -> None:
        if peer < self._members:
            self._without += 1

    def _ask_offers(self, now: int) -> list[NodeEffect]:
        self.asked_ns = now
        self._offers.clear()
        self._asked.clear()
        self._without = 0
        self._token, self._verifying = 0, None  # a verdict that is on its way is about an offer of before
        self._asked_epoch = self.epoch.epoch
        out: list[NodeEffect] = []
        for peer in sorted(self.connected):
            if peer != self.own and not self._left_out(peer, now):
                self._asked[peer] = None
                out.append(SendPeer(to=peer, message=SnapshotRequest(self._tip), after=Lsn(0)))
        return out

    def _choose_early(self, now: int) -> list[NodeEffect]:
        """Choose before time is up if f+1 offer the same, or nobody is left of those who can be expected to answer.

        The first peer that connects may be alone for a moment, and what it alone offers may be of no use.
        """
        n = len(self.epoch.members)
        agreed = any(self._vouched(self._same(offer)) for offer in self._offers.values())
        answered = sum(1 for peer in self._offers if peer < self._members) + self._without
        alone = self.asking and not self._asked and (not self._offers or answered >= n - 1 - faults(n))
        return self._choose(now) if agreed or alone else []

    def _same(self, offer: SnapshotManifest) -> dict[int, None]:
        """Return who offers the same snapshot."""
        wanted = _identity(offer)
        return dict.fromkeys(peer for peer, other in self._offers.items() if _identity(other) == wanted)

    def _support(self, peers: dict[int, None]) -> int:
        """Return how many of these are members, f+1 at most: more say nothing more."""
        return min(sum(1 for peer in peers if peer < self._members), faults(len(self.epoch.members)) + 1)

    def _vouched(self, peers: dict[int, None]) -> bool:
        """Tell whether one of these is certainly honest."""
        return self._support(peers) > faults(len(self.epoch.members))

    @property
    def _doubtful(self) -> bool:
        """A state is being taken that perhaps only liars offered."""
        return self.manifest is not None and not self.installing and not self._vouched(self._offerers)

    def _vain_of(self, peers: dict[int, None]) -> int:
        """Return how often states of these were given up: of the one among them that fared best."""
        return min((self._vain.get(peer, 0) for peer in peers), default=0)

    def _choose(self, now: int) -> list[NodeEffect]:
        """Have the certificates of the best offer verified; without any, let the blocks be replayed.

        The best is the highest that f+1 members offer, as one of them is honest; else the one that most offer, of these
        the one of a peer that was not waited for in vain yet, and then the highest. While such a one is taken, only
        what f+1 members offer takes its place.
        """
        if self._token:
            return []
        need = faults(len(self.epoch.members)) + 1
        best, chosen = (-1, 0, 0), None
        for peer in sorted(self._offers):
            offer = self._offers[peer]
            if self._of_another_epoch(offer):
                continue  # so many epochs became known meanwhile that it is of none of the latest
            same = self._same(offer)
            rank = self._support(same), -self._vain_of(same), offer.height
            if rank > best:
                best, chosen = rank, offer
        if self.manifest is not None:
            chosen = chosen if best[0] == need else None
        elif chosen is None or (best[0] < need <= self._without and not self._gone):
            # f+1 who have none are answer enough: there are blocks, unless those are gone, and what is offered may be a
            # trap. With fewer, others may still connect and offer one.
            self.asking, chosen = self._without < need and now < self._deadline_ns, None
        if chosen is None:
            return []
        self._verifying = chosen
        self._token = self.next_token()
        items = (*self._items(chosen.certificate), *self._items(chosen.proof_certificate))
        return [VerifyVotes(token=self._token, items=items)]

    def votes_verified(self, token: int, valid: int, now: int) -> list[NodeEffect]:
        """The certificates of the chosen offer were checked: begin, or blame its senders and choose another."""
        chosen = self._verifying
        if not self._token or token != self._token or chosen is None:
            return []
        self._token, self._verifying = 0, None
        if self.installing:  # the state that was taken before became complete
            return []
        count = len(chosen.certificate.signatures) + len(chosen.proof_certificate.signatures)
        if valid != (1 << count) - 1:
            out: list[NodeEffect] = []
            for peer in [peer for peer, offer in self._offers.items() if offer == chosen]:
                out += self._blame(peer, "snapshot_certificate", now)
            return [*out, *self._choose(now)]
        self.asking = False
        self._offerers = self._same(chosen)
        self._offers.clear()
        self._take_up(chosen, now)
        self._allow(now)
        return [BeginSnapshot(manifest=chosen), *self.plan(now)]

    def _take_up(self, manifest: SnapshotManifest, now: int) -> None:
        self.manifest = manifest
        self._new_ns = now
        self.installing = False
        self.done_chunks = 0
        self._missing = list(range(1 << 4 * manifest.depth))
        self._tasks.clear()
        self._lacking.clear()
        self._skeleton_id = block_id(manifest.header)
        self._skeleton_next = self._cut = manifest.height

    def _allow(self, now: int) -> None:
        """Set until when this snapshot is taken, if nobody honest vouches for it."""
        headers = max(0, self._cut - self._skeleton_low() + 1)
        pieces = len(self._missing) + len(self._tasks) + -(-headers // SKELETON_BLOCKS)
        patience_ns = self.patience_ns << min(self._vain_of(self._offerers), PATIENCE_DOUBLINGS)
        self._until_ns = now + (VAIN_PERIODS + pieces // REQUESTS_MAX) * patience_ns

    # -- collecting --------------------------------------------------------------------------------------------

    def plan(self, now: int) -> list[NodeEffect]:
        """Keep as many requests out as the bounds allow; install when everything is kept."""
        manifest = self.manifest
        if manifest is None or self.installing:
            return []
        low = self._skeleton_low()
        if not self._missing and not self._tasks and self._skeleton_next < low:
            self.installing = True
            return [InstallSnapshot(height=manifest.height)]
        while len(self._tasks) < REQUESTS_MAX and self._cut >= low:
            first = max(low, self._cut - SKELETON_BLOCKS + 1)
            self._tasks.append(_Task(-1, first, self._cut))
            self._cut = first - 1
        while len(self._tasks) < REQUESTS_MAX and self._missing:
            self._tasks.append(_Task(self._missing.pop(0)))
        out: list[NodeEffect] = []
        for task in self._tasks:
            if task.asked < 0 and task.answer is None:
                peer = self._peer_for(now)
                if peer >= 0:
                    out.append(self._ask(task, peer, now))
        return out

    def tick(self, now: int) -> list[NodeEffect]:
        """Choose when the offers had their time; give to others what a silent peer was asked for.

        A snapshot of which nothing comes any more is given up, and one that nobody honest vouches for when its time is
        up: who offered that is not asked for one for a while.
        """
        if self.asking and self._deadline_ns <= now and not self._token:
            return self._choose(now)
        if self.manifest is not None and not self.installing:
            late = now - self._new_ns >= VAIN_PERIODS * self.patience_ns
            if late or (self._doubtful and now >= self._until_ns):
                return self._give_up(now)
        out: list[NodeEffect] = []
        if self._doubtful and not self._token and now - self.asked_ns >= LEFT_OUT_NS:
            out = self._ask_offers(now)
        for task in self._tasks:
            if task.asked >= 0 and task.deadline_ns <= now:
                self.faults[task.asked] = Fault(SILENT, now)
                task.asked = -1
        return [*out, *self.plan(now)]

    def _give_up(self, now: int) -> list[NodeEffect]:
        if self._doubtful:  # else one of them is honest
            for peer in self._offerers:
                self._vain[peer] = self._vain.get(peer, 0) + 1
                if peer in self.connected:
                    self.faults[peer] = Fault(VAIN, now)
        return self._drop()

    def joined(self, peer: int, now: int) -> list[NodeEffect]:
        """A peer connected: it may have an offer, or what is wanted."""
        self._lacking.pop(peer, None)  # it may have made this one meanwhile
        if len(self.connected) == 1:  # all were away: nothing could come
            self._new_ns = now
            self._allow(now)
        if not self.asking or self._left_out(peer, now):
            return self.plan(now)
        self._asked[peer] = None
        return [SendPeer(to=peer, message=SnapshotRequest(self._tip), after=Lsn(0))]

    def lost(self, peer: int) -> None:
        """The link to a peer is gone."""
        self._asked.pop(peer, None)
        for task in self._tasks:
            if task.asked == peer:
                task.asked = -1

    def received(self, peer: int, message: Chunk, now: int) -> list[NodeEffect]:
        """Verify a chunk against the state root; keep it, or name who sent it."""
        if message.index < 0:  # no correct node sends it, and -1 is how requests for headers are told apart here
            return self._blame(peer, "snapshot_chunk", now)
        if self._never_asked(peer, now):
            return [Penalty(peer=peer, reason=NEVER_ASKED)]
        task = next((one for one in self._tasks if one.index == message.index and one.asked == peer), None)
        manifest = self.manifest
        if task is None or manifest is None or message.height != manifest.height:
            return [Rejection(peer=peer, reason=UNASKED)]
        prefix = prefix_of(message.index, manifest.depth)
        if root_from_range(prefix, message.rows, message.proof) != manifest.state_root:
            return self._blame(peer, "snapshot_chunk", now)
        self._tasks.remove(task)
        self._keep_pace(task, now)
        self._new_ns = now
        self.done_chunks += 1
        return [KeepChunk(index=message.index, rows=message.rows), *self.plan(now)]

    def skeleton(self, peer: int, message: Skeleton, now: int) -> list[NodeEffect]:
        """Take headers and ids; they are bound from above, so they wait until the ones above are here."""
        if self._never_asked(peer, now):
            return [Penalty(peer=peer, reason=NEVER_ASKED)]
        asked = [one for one in self._tasks if one.index < 0 and one.asked == peer]
        last = message.first + len(message.headers) - 1
        task = next((one for one in asked if one.last == last), None)
        if not asked or (task is None and (now < self.strict_from_ns or last in self._wishes.get(peer, {}))):
            return [
                Rejection(peer=peer, reason=UNASKED)
            ]  # late: asked for before, or by what was here before this core
        if task is None or message.first < task.first or not 0 < len(message.headers) == len(message.tx_ids):
            return self._blame(peer, "snapshot_skeleton", now)
        self._keep_pace(task, now)
        task.asked, task.answer, task.from_ = -1, message, peer
        return [*self._use_skeleton(now), *self.plan(now)]

    def _never_asked(self, peer: int, now: int) -> bool:
        """Tell whether no part of a state was ever asked of a peer, by this core or, perhaps, by what was before it."""
        return now >= self.strict_from_ns and peer not in self._wishes

    def unheld(self, peer: int, message: Held, now: int) -> list[NodeEffect]:
        """A peer does not hold headers it was asked for."""
        return self._without_it(peer, now) if self.waits_for(peer, message.first) else []

    def waits_for(self, peer: int, first: int) -> bool:
        """Tell whether a peer is asked for the headers that begin at `first`."""
        return any(one.index < 0 and one.asked == peer and one.first == first for one in self._tasks)

    def _without_it(self, peer: int, now: int) -> list[NodeEffect]:
        """A peer has no part in this snapshot; when that is so of all, it is gone."""
        asked = [task for task in self._tasks if task.asked == peer]
        if not asked:
            return [Rejection(peer=peer, reason=UNASKED)]
        for task in asked:
            task.asked = -1
        self._lacking[peer] = None
        able = [one for one in self.connected if one != self.own and not self._left_out(one, now)]
        return self._drop() if all(one in self._lacking for one in able) else self.plan(now)

    def _use_skeleton(self, now: int) -> list[NodeEffect]:
        """Bind answers to the block above them, from the top down."""
        out: list[NodeEffect] = []
        while True:
            task = next(
                (one for one in self._tasks if one.answer is not None and one.last == self._skeleton_next), None
            )
            if task is None or task.answer is None:
                return out
            bound = self._bind(task.answer)
            if bound is None:
                task.answer = None
                return [*out, *self._blame(task.from_, "snapshot_skeleton", now)]
            blocks, parent = bound
            low = task.answer.first
            self._skeleton_next, self._skeleton_id = low - 1, parent
            task.answer, task.last, task.attempts = None, low - 1, 0
            self._new_ns = now
            if task.last < task.first:  # else it was cut to a frame: the rest is asked for again
                self._tasks.remove(task)
            out.append(KeepSkeleton(first=low, parent=parent, blocks=blocks))

    def _bind(self, answer: Skeleton) -> tuple[tuple[tuple[bytes, tuple[bytes, ...]], ...], bytes] | None:
        """Return (block id, ids) of an answer, ascending, and the parent of its first block; None for a lie."""
        blocks: list[tuple[bytes, tuple[bytes, ...]]] = []
        wanted = self._skeleton_id
        for position in range(len(answer.headers) - 1, -1, -1):
            raw, ids = answer.headers[position], answer.tx_ids[position]
            header = _header(raw, answer.first + position, self.chain_id)
            if header is None or block_id(raw) != wanted or any(len(one) != HASH_BYTES for one in ids):
                return None
            if header.tx_root != list_root(ids):
                return None
            blocks.append((wanted, ids))
            wanted = header.parent_id
        return tuple(reversed(blocks)), wanted

    def _skeleton_low(self) -> int:
        """Lowest height in which a transaction may stand that is still valid at the snapshot's height (LR2)."""
        return 1 if self.manifest is None else max(1, self.manifest.height - self.validity_heights + 1)

    # -- peers -------------------------------------------------------------------------------------------------

    def _peer_for(self, now: int) -> int:
        """Return whom to ask: connected, without a fault, with the fewest requests; silent ones for want of others."""
        best, least = -1, (True, REQUESTS_PER_PEER)
        peers = sorted(self.connected)
        for step in range(len(peers)):
            peer = peers[(self._turn + step) % len(peers)]
            if peer == self.own or peer in self._lacking or self._left_out(peer, now):
                continue
            fault = self.faults.get(peer)
            silent = fault is not None and now - fault.since_ns < LEFT_OUT_NS
            rank = (silent, sum(1 for task in self._tasks if task.asked == peer))
            if rank < least and rank[1] < REQUESTS_PER_PEER:
                best, least = peer, rank
        if best >= 0:
            self._turn += 1
        return best

    def _ask(self, task: _Task, peer: int, now: int) -> NodeEffect:
        task.asked, task.asked_ns = peer, now
        task.deadline_ns = now + (self.patience_ns << min(task.attempts, PATIENCE_DOUBLINGS))
        task.attempts += 1
        height, depth = (0, 0) if self.manifest is None else (self.manifest.height, self.manifest.depth)
        wish = SkeletonRequest(task.first, task.last) if task.index < 0 else ChunkRequest(height, depth, task.index)
        wishes = self._wishes.setdefault(peer, {})
        if task.index < 0:
            wishes[task.last] = None
            if len(wishes) > WISHES_KEPT:
                del wishes[next(iter(wishes))]
        return SendPeer(to=peer, message=wish, after=Lsn(0))

    def _keep_pace(self, answered: _Task, now: int) -> None:
        """An answer came: wait for the others as if silence had not made us patient, as sync does."""
        wait_ns, doublings = pace(now - answered.asked_ns, self.patience_ns)
        for other in self._tasks:
            other.attempts = min(other.attempts, doublings)
            other.deadline_ns = min(other.deadline_ns, now + wait_ns)

    def _drop(self) -> list[NodeEffect]:
        self.manifest = None
        self._offerers.clear()
        self.asked_ns = -LEFT_OUT_NS
        self._tasks.clear()
        self._missing.clear()
        self._offers.clear()
        self._token, self._verifying = 0, None
        return [DropSnapshot()]

    def _left_out(self, peer: int, now: int) -> bool:
        fault = self.faults.get(peer)
        return fault is not None and fault.reason != SILENT and now - fault.since_ns < LEFT_OUT_NS

    def _blame(self, peer: int, reason: str, now: int) -> list[NodeEffect]:
        self.faults[peer] = Fault(reason, now)
        self._offers.pop(peer, None)
        for task in self._tasks:
            if task.asked == peer:
                task.asked = -1
        return [Penalty(peer=peer, reason=reason), *self.plan(now)]

    # -- shape of a manifest -----------------------------------------------------------------------------------

    def _shape(self, manifest: SnapshotManifest) -> str:
        """Return the stable word for what is wrong with a manifest but for its signatures, or "" (P85)."""
        own = _header(manifest.header, manifest.height, self.chain_id)
        try:
            later = header_codec.decode(manifest.proof_header)
        except LedgerError:
            return "header"
        if own is None or later.chain_id != self.chain_id or not 0 <= manifest.depth <= DEPTH_MAX:
            return "header"
        if not self._certifies(manifest.certificate, own, manifest.header):
            return "certificate"
        if not self._certifies(manifest.proof_certificate, later, manifest.proof_header):
            return "certificate"
        if len(manifest.links) > LINKS_MAX or later.exec_height != manifest.height + len(manifest.links):
            return "links"
        parts = [manifest.previous_exec_root, manifest.state_root, manifest.receipts_root]
        if any(len(part) != HASH_BYTES for part in (*parts, *(one for link in manifest.links for one in link))):
            return "links"
        root = exec_root(*parts)
        for state_root, receipts_root in manifest.links:
            root = exec_root(root, state_root, receipts_root)
        return "" if root == later.exec_root else "exec_root"

    def _of_another_epoch(self, manifest: SnapshotManifest) -> bool:
        """Tell whether one of its two headers is of an epoch whose members are not known here."""
        own = _header(manifest.header, manifest.height, self.chain_id)
        if own is None:
            return False
        try:
            later = header_codec.decode(manifest.proof_header)
        except LedgerError:
            return False
        return own.epoch not in self._epochs or later.epoch not in self._epochs

    def _certifies(self, certificate: CommitCertificate, header: Header, raw: bytes) -> bool:
        vote, epoch = certificate.vote, self._epochs[header.epoch]
        if (vote.block_id, vote.height, vote.epoch) != (block_id(raw), header.height, epoch.epoch):
            return False
        if header.members_hash != epoch.members_hash:
            return False
        n = len(epoch.members)
        indexes = bitmap_indexes(certificate.signers, n)
        return indexes is not None and len(indexes) == quorum(n) == len(certificate.signatures)

    def _items(self, certificate: CommitCertificate) -> tuple[SignatureItem, ...]:
        body, epoch = encode(certificate.vote), self._epochs[certificate.vote.epoch]
        indexes = bitmap_indexes(certificate.signers, len(epoch.members)) or ()
        return tuple(
            SignatureItem("commit", body, epoch.epoch, index, signature)
            for index, signature in zip(indexes, certificate.signatures, strict=True)
        )


def _identity(manifest: SnapshotManifest) -> tuple[int, bytes, int]:
    """Return what two manifests of one snapshot have in common."""
    return manifest.height, manifest.state_root, manifest.depth


def _header(raw: bytes, height: int, chain_id: bytes) -> Header | None:
    """Return the header of that height on this chain, or None."""
    try:
        header = header_codec.decode(raw)
    except LedgerError:
        return None
    return header if header.height == height and header.chain_id == chain_id and height > 0 else None
