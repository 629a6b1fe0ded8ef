"""The pure node: replica, mempool, chain and sync, joined. The door is `NodeCore.step`.

One event in, ordered effects out; no clock, no chance, no I/O. The daemon's driver and the simulator perform the
same effects. Consensus asks the other three through its effects; the answers are events of its own, fed back in
the order in which the questions were asked, after all effects of the step that asked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, get_args

from consensus import effects as ce
from consensus import events as cv
from consensus.epochs import last_height, next_members_hash
from consensus.events import Lsn, ReplicaConfig
from consensus.membership import Membership, membership_of
from consensus.messages import Commit, Message, Prepare, PrePrepare, Status
from consensus.replica import Replica
from consensus.state import ReplicaState, primary_of
from consensus.step import VoteSigner
from consensus.validate import NUMBER_MAX
from ledger.block import EMPTY_LIST_ROOT, PROTOCOL_VERSION, BlockRef, Header, block_id, header_codec
from ledger.certificate import CommitCertificate
from ledger.errors import InvariantViolated, LedgerError
from ledger.evidence import ITEMS_MAX, evidence_id, split_bodies
from ledger.ids import ZERO_HASH
from ledger.state import Reader
from ledger.transaction import decode_transaction
from node.core import effects as ne
from node.core import events as nv
from node.core.chain import Chain, ref_of
from node.core.ends import Walk
from node.core.evidence import EvidencePool
from node.core.mempool import UNLED, Candidate, Mempool
from node.core.messages import (
    Blocks,
    BlocksRequest,
    Bodies,
    BodiesRequest,
    Chunk,
    ChunkRequest,
    EpochEnds,
    EpochEndsRequest,
    EvidenceItem,
    Held,
    Skeleton,
    SkeletonRequest,
    SnapshotOffer,
    SnapshotRequest,
    TxBatch,
)
from node.core.served import Shares
from node.core.snapshots import SKELETON_BLOCKS, Taking
from node.core.sync import PATIENCE_DOUBLINGS, RANGE_BLOCKS, Sync

GOSSIP_NS: Final = 15_000_000
"""Admitted transactions are passed on in batches every 15 ms (P130: 10 to 20 ms)."""
BODIES_ANSWER_BYTES: Final = 3 * 1024 * 1024
"""Bytes of one answer to a body request; below the frame cap of 4 MiB (P140)."""
SnapshotMessage: TypeAlias = SnapshotRequest | SnapshotOffer | ChunkRequest | Chunk | SkeletonRequest | Skeleton
_SNAPSHOTS: Final = (SnapshotRequest, SnapshotOffer, ChunkRequest, Chunk, SkeletonRequest, Skeleton)
Answers: TypeAlias = deque[cv.AnyEvent]
"""Events of consensus that follow from its own effects, in the order in which it asked."""
NOWHERE: Final[tuple[int, int, int, Membership | None, cv.Mode | None]] = (-1, -1, -1, None, None)
"""Height, view, base, members and mode of no replica: whoever leads has to be looked up."""
WAY_NS: Final = 30_000_000_000
"""Time for which a node that wants the state waits for the next end of an epoch, which an honest peer shows within its
patience. Liars that hang up in turn could else keep it from asking for anything: a lost link is nobody's fault."""
OBSERVER: Final = 1 << 16
"""Quota slot of a node that is not a member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeContext:
    """What the shell lends to the core: `read` returns the state after the executed height."""

    read: Callable[[], Reader]
    replay_blocks: int = 0
    """Lag beyond which the state is taken as a snapshot instead of replaying blocks (P107); 0: never."""


class NodeCore:
    """The four machines of a node. `step` raises only `InvariantViolated`, which is our bug and stops the node."""

    def __init__(self, signer: VoteSigner, context: NodeContext) -> None:
        self._signer = signer
        self._context = context
        self.replica = Replica(signer)
        self._config: ReplicaConfig | None = None
        self._token = 0
        self._generations: dict[nv.NodeTimer, int] = dict.fromkeys(nv.NodeTimer, 0)
        self._armed: dict[nv.NodeTimer, bool] = dict.fromkeys(nv.NodeTimer, False)
        self._now = 0
        self._wall = 0
        self._halted = False
        self._ended = False
        self._wants_state = False
        """The way to the present members is being learnt because the state is to be taken there."""
        self._way_until_ns = 0
        """Until then states and blocks wait for that way; begun with the first wish, and anew with each end shown."""
        self._led: tuple[int, int] | None = None
        self._epoch = 0
        self._shares = Shares()
        self._state: ReplicaState | None = None
        """Of the replica, to be read only, from the start event on."""
        self._coming: Membership | None = None
        self._stood = NOWHERE
        """Height, view, base, members and mode when the primary was looked up last: nothing else decides it."""

    # -- the door ----------------------------------------------------------------------------------------------

    def step(self, event: nv.NodeEvent) -> list[ne.NodeEffect]:
        """Return the effects of `event`, in the order in which they are to be performed."""
        if self._halted:
            return []
        if self._ended:  # what is stored is executed to the end, so that the state shows the next epoch
            return self._finish(event) if isinstance(event, nv.BlockExecuted) else []
        self._now, self._wall = event.now, event.wall
        handler = _HANDLERS[type(event)]
        out: list[ne.NodeEffect] = handler(self, event)
        if self.taking.manifest is not None and self.sync.running:
            self.sync.stop()  # the state was begun in this step; until then blocks came, and offers were asked for
        state = self._state
        if state is None:
            return out
        stood = self._stood
        if (
            state.height != stood[0]
            or state.view != stood[1]
            or state.base != stood[2]
            or state.members is not stood[3]
            or state.mode is not stood[4]
        ):
            self._follow_primary(state)
        if self.mempool.changed or self.evidence.changed:
            out += self._consensus(self.mempool.work(self._now, self._wall))
        return out

    # -- events ------------------------------------------------------------------------------------------------

    def _start(self, event: nv.NodeStart) -> list[ne.NodeEffect]:
        config = event.config
        self._config = config
        self._epoch = config.epoch.epoch
        own = config.index if config.index is not None else OBSERVER
        self.evidence = EvidencePool(
            own=own,
            members=membership_of(config),
            chain_id=config.chain_id,
            genesis_id=config.genesis_id,
            params=config.params,
            read=self._context.read,
            next_token=self._next_token,
            height=event.tip.height,
            executed=event.executed[-1][0],
        )
        self.mempool = Mempool(
            own=own,
            chain_id=config.chain_id,
            params=config.params,
            read=self._context.read,
            next_token=self._next_token,
            evidence=self.evidence,
            height=event.tip.height,
            executed=event.executed[-1][0],
            time_ms=event.tip.time_ms,
        )
        self.chain = Chain(event.tip, event.executed[-1][0], dict(event.executed))
        patience_ns = 4 * config.params.fetch_ms * 1_000_000
        strict_from_ns = event.now + (patience_ns << PATIENCE_DOUBLINGS)  # nobody waits longer for an answer
        self.sync = Sync(
            config.chain_id,
            config.epoch,
            config.index,
            self._next_token,
            patience_ns,
            config.params,
            strict_from_ns=strict_from_ns,
            near=2 * config.params.window,
        )
        reached = event.reached or config.epoch
        self.walk = Walk(
            chain_id=config.chain_id,
            own=config.index,
            next_token=self._next_token,
            patience_ns=patience_ns,
            reached=reached,
            connected=self.sync.connected,
            faults=self.sync.faults,
        )
        self.taking = Taking(
            chain_id=config.chain_id,
            epoch=reached if reached.epoch > config.epoch.epoch else config.epoch,
            passed=(config.epoch, *event.passed) if reached.epoch > config.epoch.epoch else (),
            own=config.index,
            next_token=self._next_token,
            patience_ns=patience_ns,
            strict_from_ns=strict_from_ns,
            validity_heights=config.params.max_validity_heights,
            replay_blocks=self._context.replay_blocks,
            connected=self.sync.connected,
            faults=self.sync.faults,
        )
        for tx_id, _, valid_until in event.recent:
            self.mempool.recent.add(tx_id, valid_until)
        for body in event.bodies:
            self._load_body(body)
        self.mempool.carry(event.now, event.waiting)
        out: list[ne.NodeEffect] = self._arm_forward() + self.evidence.carry(event.evidence)
        if event.collected is not None:
            out += self.taking.resume(event.collected, event.tip.height, event.now) + self._arm_sync()
        return out + self._consensus(
            cv.Start(
                now=event.now,
                wall=event.wall,
                config=config,
                tip=event.tip,
                tip_certificate=event.tip_certificate,
                executed=event.executed,
                records=event.records,
                voting=event.voting,
                headers=tuple(body.header for body in event.bodies),
            )
        )

    def _received(self, event: nv.PeerReceived) -> list[ne.NodeEffect]:
        message, peer = event.message, event.peer
        if type(message) not in _CONSENSUS:
            return self._received_beside(event)
        told = False
        if type(message) is Status and 0 <= message.committed_height < NUMBER_MAX:
            told = True
            self.sync.claims[peer] = message.committed_height
            self.walk.claims[peer] = message.epoch
        out = self._follow(self.replica.receive(self._now, self._wall, peer, message))  # type: ignore[arg-type]  # see _CONSENSUS
        return out + self._fill_ends(self._now) if told else out

    def _received_beside(self, event: nv.PeerReceived) -> list[ne.NodeEffect]:
        """A message of the machines beside consensus."""
        message, peer = event.message, event.peer
        if isinstance(message, TxBatch):
            return [*self.mempool.receive(peer, message), *self._arm_gossip()]
        if isinstance(message, BodiesRequest):
            return self._serve_bodies(peer, message)
        if isinstance(message, Bodies):
            return self.mempool.receive_bodies(peer, message) + self._completed()
        if isinstance(message, EvidenceItem):
            out = self.evidence.told(peer, message)
            self.mempool.evidence_judged(evidence_id(message.item))
            return out + self._completed()
        if isinstance(message, BlocksRequest):
            if not 1 <= message.first <= message.last:
                return [ne.Penalty(peer=peer, reason="blocks_request")]
            last = min(message.last, message.first + RANGE_BLOCKS - 1)
            return [ne.SendBlocks(to=peer, first=message.first, last=last)]
        if isinstance(message, Blocks):
            return self.sync.receive(peer, message, self.chain.tip, event.now) + self._drain_sync()
        if isinstance(message, Held):
            if not (self.taking.waits_for(peer, message.first) or self.sync.waits_for(peer, message.first)):
                return [ne.Rejection(peer=peer, reason=ne.UNASKED)]
            out = self.taking.unheld(peer, message, event.now)
            return out + self.sync.held(peer, message, self.chain.tip, event.now) + self._arm_sync()
        if isinstance(message, EpochEndsRequest):
            return [ne.SendEpochEnds(to=peer, first=message.first)]
        if isinstance(message, EpochEnds):
            return self._walked(self.walk.received(peer, message, event.now))
        if isinstance(message, _SNAPSHOTS):
            return self._snapshot_message(peer, message) + self._arm_sync()
        raise InvariantViolated(f"{type(message).__name__} is no message of a peer")

    def _serve_bodies(self, peer: int, message: BodiesRequest) -> list[ne.NodeEffect]:
        """Answer at once, as the peer cannot vote before, but no peer with more than its share (P131, P140)."""
        if not self._shares.open(peer, len(self.config.epoch.members), self._now):
            return [ne.Rejection(peer=peer, reason="bodies_request")]
        asked = message.tx_ids[: self.config.params.max_block_txs + ITEMS_MAX]
        envelopes = self.mempool.bodies(asked, BODIES_ANSWER_BYTES)
        self._shares.draw(peer, sum(map(len, envelopes)), len(asked) - len(envelopes))
        if not envelopes:
            return []
        return [ne.SendPeer(to=peer, message=Bodies(message.block_id, envelopes), after=Lsn(0))]

    def _submitted(self, event: nv.Submitted) -> list[ne.NodeEffect]:
        return [*self.mempool.submit(event.token, event.envelopes), *self._arm_gossip()]

    def _transactions_verified(self, event: nv.TransactionsVerified) -> list[ne.NodeEffect]:
        self.sync.transactions_verified(event.token, event.verdicts)
        out = self.mempool.verified(event.now, event.token, event.verdicts)
        out += self._arm_gossip() + self._arm_forward() + self._completed()
        return out + self._drain_sync()

    def _completed(self) -> list[ne.NodeEffect]:
        """Give consensus the verdicts on proposals whose last body arrived (P131)."""
        out: list[ne.NodeEffect] = []
        for candidate_id, verdict, reason in self.mempool.completed():
            out += self._consensus(
                cv.BlockChecked(now=self._now, wall=self._wall, block_id=candidate_id, verdict=verdict, reason=reason)
            )
        return out

    def _votes_verified(self, event: nv.VotesVerified) -> list[ne.NodeEffect]:
        if event.token % 2:
            identity, out = self.evidence.verified(event.now, event.token, event.valid)
            if identity:
                self.mempool.evidence_judged(identity)
                return out + self._completed() + self._arm_forward()
            if out := self.sync.votes_verified(event.token, event.valid):
                return out
            if out := self.walk.votes_verified(event.token, event.valid, event.now):
                return self._walked(out)
            return self.taking.votes_verified(event.token, event.valid, event.now) + self._drain_sync()
        token = event.token // 2
        return self._consensus(cv.SignaturesChecked(now=event.now, wall=event.wall, token=token, valid=event.valid))

    def _executed(self, event: nv.BlockExecuted) -> list[ne.NodeEffect]:
        out = self.chain.finished(event.height, event.exec_root)
        self.mempool.executed = self.evidence.executed = event.height
        if stop := self._divergence():
            return stop
        out += self._consensus(
            cv.Executed(
                now=event.now,
                wall=event.wall,
                height=event.height,
                exec_root=event.exec_root,
                next_epoch=event.next_epoch,
                awaited=event.awaited,
                due_ms=event.due_ms,
                scheduled=event.scheduled,
            )
        )
        return out + self._drain_sync() if self.sync.running else out

    def _finish(self, event: nv.BlockExecuted) -> list[ne.NodeEffect]:
        return self.chain.finished(event.height, event.exec_root) + self._divergence()

    def _journal_durable(self, event: nv.JournalDurable) -> list[ne.NodeEffect]:
        return self._consensus(cv.Durable(now=event.now, wall=event.wall, lsn=event.lsn))

    def _store_durable(self, event: nv.StoreDurable) -> list[ne.NodeEffect]:
        return self._consensus(cv.Stored(now=event.now, wall=event.wall, height=event.height))

    def _timer(self, event: nv.TimerElapsed) -> list[ne.NodeEffect]:
        timer = event.timer
        if isinstance(timer, cv.Timer):
            return self._consensus(
                cv.TimerFired(now=event.now, wall=event.wall, timer=timer, generation=event.generation)
            )
        if event.generation != self._generations[timer] or not self._armed[timer]:
            return []
        self._armed[timer] = False
        if timer is nv.NodeTimer.GOSSIP:
            return self.mempool.gossip()
        if timer is nv.NodeTimer.FORWARD:
            return [*self.mempool.forward(event.now), *self._arm_forward()]
        out = self._walked(self.walk.tick(event.now)) + self.taking.tick(event.now)
        if self.taking.manifest is None:
            out += self.sync.tick(self.chain.tip, event.now)
        return out + self._drain_sync()

    def _peer_connected(self, event: nv.PeerConnected) -> list[ne.NodeEffect]:
        if event.peer < 0 or event.peer == self.config.index:  # how the shell numbers its links never ends a member
            return [ne.Tally(metric="dropped_peer", value=1)]
        self.sync.connected[event.peer] = None
        out = self._consensus(cv.PeerUp(now=event.now, wall=event.wall, peer=event.peer))
        out += self.taking.joined(event.peer, event.now)
        return out + self.sync.plan(self.chain.tip, event.now) + self._arm_sync()

    def _peer_lost(self, event: nv.PeerLost) -> list[ne.NodeEffect]:
        self.sync.lost(event.peer, event.now)
        self.taking.lost(event.peer)
        out = self._walked(self.walk.lost(event.peer, event.now))
        return out + self._consensus(cv.PeerDown(now=event.now, wall=event.wall, peer=event.peer))

    # -- consensus and its questions -----------------------------------------------------------------------------

    def _consensus(self, first: cv.AnyEvent) -> list[ne.NodeEffect]:
        """Step the replica with `first` and with every answer that follows from it."""
        return self._follow(self.replica.step(first))

    def _follow(self, effects: list[ce.Effect]) -> list[ne.NodeEffect]:
        """Do what the replica asked for, and step it with every answer."""
        out: list[ne.NodeEffect] = []
        if effects:
            events: Answers = deque()
            while True:
                for effect in effects:
                    _PERFORM[type(effect)](self, effect, out, events)
                    if self._halted:
                        return out
                if not events:
                    break
                effects = self.replica.step(events.popleft())
        state = self._state
        if state is None:
            state = self._state = self.replica.state
        if state.coming is not self._coming or state.members.epoch != self._epoch:
            self._follow_epoch(state, out)
        return out

    def _follow_epoch(self, state: ReplicaState, out: list[ne.NodeEffect]) -> None:
        """Tell sync where the epoch ends, and the shell when it has ended (P113, P114)."""
        self._coming = state.coming
        if state.members.epoch == self._epoch:
            self.sync.last = last_height(state) or 0
            return
        self.sync.last = state.members.first_height - 1
        if self.chain.tip.height >= self.sync.last and not self._ended:
            self._ended = True
            out.append(ne.EndEpoch(after=Lsn(state.lsn)))

    def _persist(self, effect: ce.Persist, out: list[ne.NodeEffect], _events: Answers) -> None:
        body = self._journal_body(effect.bodies) if effect.bodies is not None else None
        out.append(ne.AppendJournal(lsn=effect.lsn, record=effect.record, body=body))

    def _prune(self, effect: ce.Prune, out: list[ne.NodeEffect], _events: Answers) -> None:
        """Forget in memory what the journal forgets: blocks of views that led nowhere (P93)."""
        state, candidates = self.replica.state, self.mempool.candidates
        if state.build is None:  # else one is here that the replica has not seen yet
            wanted = {*effect.keep, *state.blocks, *(message.vote.block_id for message in state.picture.accepted)}
            wanted.update(one.reference.block_id for one in state.recent.values())  # final by this very step
            for identity in [one for one in candidates if one not in wanted]:
                if candidates[identity].header.height > self.chain.tip.height:
                    del candidates[identity]
        out.append(ne.PruneJournal(before=effect.before, bodies_up_to=effect.bodies_up_to, keep=effect.keep))

    def _send(self, effect: ce.Send, out: list[ne.NodeEffect], _events: Answers) -> None:
        if not self._is_of_next_epoch(effect.message):
            out.append(ne.SendPeer(to=effect.to, message=effect.message, after=effect.after))

    def _broadcast(self, effect: ce.Broadcast, out: list[ne.NodeEffect], _events: Answers) -> None:
        if not self._is_of_next_epoch(effect.message):
            out.append(ne.BroadcastPeer(message=effect.message, after=effect.after))

    def _verify(self, effect: ce.VerifySignatures, out: list[ne.NodeEffect], _events: Answers) -> None:
        out.append(ne.VerifyVotes(token=effect.token * 2, items=effect.items))

    def _check_block(self, effect: ce.CheckBlock, _out: list[ne.NodeEffect], events: Answers) -> None:
        verdict, reason = self.mempool.check(effect.block_id, effect.proposal, effect.taken)
        events.append(
            cv.BlockChecked(now=self._now, wall=self._wall, block_id=effect.block_id, verdict=verdict, reason=reason)
        )

    def _fetch_bodies(self, effect: ce.FetchBodies, out: list[ne.NodeEffect], _events: Answers) -> None:
        missing = self.mempool.missing(effect.block_id)
        if missing:
            request = BodiesRequest(effect.block_id, missing)
            out.append(ne.SendPeer(to=effect.source, message=request, after=Lsn(0)))

    def _build_block(self, effect: ce.BuildBlock, out: list[ne.NodeEffect], events: Answers) -> None:
        proposal = None
        if self.replica.state.me == self.mempool.own:  # else the own place moved: the next core proposes (P114)
            proposal = self.mempool.build(effect, self._header_base(effect.height), self._wall)
        if proposal is not None:  # bodies that are still here alone go first: nobody has to ask for them (P30i)
            out += self.mempool.gossip()
        self._built(cv.BlockBuilt(now=self._now, wall=self._wall, request=effect.request, proposal=proposal), events)

    def _built(self, answer: cv.BlockBuilt, events: Answers) -> None:
        """Hand a built block to the replica; the simulator lets it wait (P158)."""
        events.append(answer)

    def _start_timer(self, effect: ce.StartTimer, out: list[ne.NodeEffect], _events: Answers) -> None:
        out.append(ne.SetTimer(timer=effect.timer, generation=effect.generation, deadline_ns=effect.deadline_ns))

    def _stop_timer(self, effect: ce.StopTimer, out: list[ne.NodeEffect], _events: Answers) -> None:
        out.append(ne.CancelTimer(timer=effect.timer))

    def _sync_asked(self, effect: ce.StartSync, out: list[ne.NodeEffect], _events: Answers) -> None:
        out += self._start_sync(effect.height, effect.sources, certified=effect.certificate is not None)

    def _penalise(self, effect: ce.Penalise, out: list[ne.NodeEffect], _events: Answers) -> None:
        out.append(ne.Penalty(peer=effect.peer, reason=effect.reason))

    def _reject(self, effect: ce.Reject, out: list[ne.NodeEffect], _events: Answers) -> None:
        out.append(ne.Rejection(peer=effect.peer, reason=effect.reason))

    def _count(self, effect: ce.Count, out: list[ne.NodeEffect], _events: Answers) -> None:
        out.append(ne.Tally(metric=effect.metric, value=effect.value))

    def _report(self, effect: ce.Report, out: list[ne.NodeEffect], _events: Answers) -> None:
        out.append(effect)
        out += self.evidence.found(effect)

    def _silence(self, effect: ce.Silence, out: list[ne.NodeEffect], _events: Answers) -> None:
        out.append(effect)

    def _halt(self, effect: ce.Halt, out: list[ne.NodeEffect], _events: Answers) -> None:
        out.append(effect)
        self._halted = True

    def _deliver(self, effect: ce.Deliver, out: list[ne.NodeEffect], _events: Answers) -> None:
        ref = effect.block
        if ref.height <= self.chain.tip.height:
            return
        candidate = self.mempool.candidates.get(ref.block_id)
        if candidate is None or ref.height != self.chain.tip.height + 1:
            # Committed, but the block is not here: a certificate overtook the bodies, or they were lost with the
            # unflushed end of the store. Certified blocks of the others fill the gap.
            out += self._start_sync(ref.height, (), certified=True)
            return
        out += self._append(ref, candidate, effect.certificate, effect.after, live=True)

    def _is_of_next_epoch(self, message: Message) -> bool:
        """Tell whether this is a vote above the barrier, and the barrier is reached: this core ends with the step.

        The next core sends it, from the journal: its key may be another one (P95, P114).
        """
        if type(message) is PrePrepare or type(message) is Prepare or type(message) is Commit:
            vote = message.vote
            return vote.epoch > self.config.epoch.epoch and vote.height == self.chain.tip.height + 1
        return False

    def _append(
        self, ref: BlockRef, candidate: Candidate, certificate: CommitCertificate, after: Lsn, live: bool
    ) -> list[ne.NodeEffect]:
        out = self.chain.deliver(ref, candidate, certificate, after)
        if out:
            self.sync.goes_on = candidate.header.next_members_hash == self.config.epoch.members_hash
            if live:
                self.mempool.passed(self._now, candidate)
            self.mempool.committed(candidate)
        return out + self._divergence()

    def _follow_primary(self, state: ReplicaState) -> None:
        """Tell the mempool when another member proposes: by a view change, or by planned rotation (P77, P132)."""
        if state.mode is cv.CHANGING:
            self._stood = NOWHERE
            if self._led is not None:  # nobody proposes now, for us at least; patience begins with the view
                self._led = None
                self.mempool.new_turn(self._now, UNLED, state.backoff)
            return
        self._stood = (state.height, state.view, state.base, state.members, state.mode)
        primary = primary_of(state, state.height + 1)
        if primary == state.me and state.mode is cv.LEARNER:
            primary = (
                UNLED  # it is our turn and we have no vote: nobody proposes, and all must hear of what waits (U19)
            )
        turn = (state.view, primary)
        if turn != self._led:
            self._led = turn
            self.mempool.new_turn(self._now, turn[1], state.backoff)

    def _divergence(self) -> list[ne.NodeEffect]:
        """Halt when a certified header names another result than ours (P83): going on would serve a wrong state."""
        problem = self.chain.divergence
        if not problem:
            return []
        self._halted = True
        return [ce.Halt(reason=ce.HaltReason.STATE_DIVERGENCE, detail=problem)]

    def _start_sync(self, height: int, sources: tuple[int, ...], *, certified: bool) -> list[ne.NodeEffect]:
        """Fetch what is missing up to `height`: blocks, or the state if that is quicker (P107).

        To judge a state of today one must know the members of today: first the way to them, then the state (P85).
        Blocks that are on their way go on coming meanwhile, since perhaps nobody offers a state; but a node that does
        not fetch any waits for the answer, since most blocks below an offer would be fetched in vain. A way of which
        nothing comes is not waited for.
        """
        if self.taking.manifest is not None:
            return []
        out: list[ne.NodeEffect] = []
        learning = False
        tip = self.chain.tip.height
        gone = self.sync.gone(self.chain.tip, self._now)
        if self._is_far(height, sources, certified or gone, gone):
            if not (self._wants_state and self.walk.active):
                self._wants_state = self.walk.behind(self._now)
                if self._wants_state:
                    self._way_until_ns = self._way_until_ns or self._now + WAY_NS
                    out += self.walk.plan(self._now)
            learning = self._wants_state and self._now < self._way_until_ns
            if not learning and not self.taking.active and self.taking.wanted(height, tip, self._now, gone=gone):
                out += self.taking.start(tip, self._now, gone=gone)
        if self.sync.active or not (learning or self.taking.active):
            out += self.sync.start(height, sources, self.chain.tip, self._now, certified=certified)
        return out + self._arm_sync()

    def _is_far(self, height: int, sources: tuple[int, ...], certain: bool, gone: bool) -> bool:
        """Tell whether `height` is too far to replay blocks, and more than the claim of members that never answer.

        So it is when blocks that are near are `gone` everywhere (P107). Who answers that old blocks are gone may well
        be honest, and then there is only the state to take.
        """
        tip = self.chain.tip.height
        return self.taking.far(height, tip, gone=gone) and (
            certain
            or any(
                self.taking.far(min(height, self.sync.claims.get(peer, height)), tip) and not self.sync.mute(peer)
                for peer in sources
            )
        )

    def _fill_ends(self, now: int) -> list[ne.NodeEffect]:
        """Ask for ends of epochs that are over here, when the folder was lost."""
        if self.walk.reached.epoch >= self.config.epoch.epoch:
            return []
        return self.walk.plan(now) + self._arm_sync()

    def _walked(self, out: list[ne.NodeEffect]) -> list[ne.NodeEffect]:
        """Take the state that the way to the present members was wanted for, once nobody shows more of that way.

        One that is being taken already stays: its members are on that way. When nothing of the way came for so long
        that it is not waited for, offers were asked for already, and are again in their own time.
        """
        for effect in out:
            if isinstance(effect, ne.KeepEpochEnd):
                self.taking.learn(effect.leads_to)
                self._way_until_ns = self._now + WAY_NS
        if self._wants_state and not self.walk.active:
            self._wants_state = False
            if self.taking.outdated or (not self.taking.active and self._now < self._way_until_ns):
                gone = self.sync.gone(self.chain.tip, self._now)
                out = out + self.taking.start(self.chain.tip.height, self._now, gone=gone)
        return out + self._arm_sync()

    def _snapshot_message(self, peer: int, message: SnapshotMessage) -> list[ne.NodeEffect]:
        now = self._now
        if isinstance(message, SnapshotRequest):
            return [ne.SendSnapshot(to=peer, above=message.above)]
        if isinstance(message, ChunkRequest):
            return [ne.SendChunk(to=peer, height=message.height, depth=message.depth, index=message.index)]
        if isinstance(message, SkeletonRequest):
            if not 1 <= message.first <= message.last:
                return [ne.Penalty(peer=peer, reason="skeleton_request")]
            first = max(message.first, message.last - SKELETON_BLOCKS + 1)  # bound from above: the lowest are left out
            return [ne.SendSkeleton(to=peer, first=first, last=message.last)]
        if isinstance(message, SnapshotOffer):
            return self.taking.offered(peer, message, self.chain.tip.height, now)
        if isinstance(message, Chunk):
            return self.taking.received(peer, message, now)
        return self.taking.skeleton(peer, message, now)

    def _drain_sync(self) -> list[ne.NodeEffect]:
        """Hand over what sync has verified, range by range, tell consensus, and ask for more."""
        blocks, out = self.sync.take(self.chain.tip, self.chain.executed, self._now)
        while blocks and not (self._halted or self._ended):
            for block in blocks:
                self.mempool.adopt(block.ref.block_id, block.candidate)
                out += self._append(block.ref, block.candidate, block.certificate, Lsn(0), live=False)
            last = blocks[-1]
            out += self._consensus(
                cv.Synced(
                    now=self._now,
                    wall=self._wall,
                    tip=last.ref,
                    certificate=last.certificate,
                    certificates=tuple(block.certificate for block in blocks),
                )
            )
            out += self.sync.plan(self.chain.tip, self._now)
            blocks, more = self.sync.take(self.chain.tip, self.chain.executed, self._now)
            out += more
        return out + self._arm_sync()

    # -- small parts ---------------------------------------------------------------------------------------------

    @property
    def started(self) -> bool:
        """The start event was stepped."""
        return self._config is not None

    @property
    def config(self) -> ReplicaConfig:
        """The configuration of the start event; asking before it is our bug."""
        if self._config is None:
            raise InvariantViolated("the node has not started")
        return self._config

    def _next_token(self) -> int:
        """Return an odd token: even ones belong to the replica."""
        self._token += 1
        return self._token * 2 + 1

    def _header_base(self, height: int) -> Header:
        """Return what the chain and the epoch say about the header of `height`."""
        state = self.replica.state
        return Header(
            version=PROTOCOL_VERSION,
            chain_id=self.config.chain_id,
            epoch=state.members.epoch,
            height=0,
            parent_id=ZERO_HASH,
            tx_root=EMPTY_LIST_ROOT,
            tx_count=0,
            size_bytes=0,
            time_ms=0,
            proposer=0,
            exec_height=self.chain.executed,
            exec_root=self.chain.root,
            members_hash=state.members.members_hash,
            next_members_hash=next_members_hash(state, height),
            evidence_root=EMPTY_LIST_ROOT,
            last_cert_height=0,
            last_cert_hash=ZERO_HASH,
            params_hash=self.config.params.hash(),
        )

    def _journal_body(self, candidate_id: bytes) -> nv.JournalBody:
        candidate = self.mempool.candidates.get(candidate_id)
        if candidate is None:
            raise InvariantViolated(f"block {candidate_id.hex()[:12]} is persisted without its bodies")
        return nv.JournalBody(
            height=candidate.header.height,
            block_id=candidate_id,
            header=candidate.header_bytes,
            envelopes=candidate.bodies,
        )

    def _load_body(self, body: nv.JournalBody) -> None:
        try:
            header = header_codec.decode(body.header)
            envelopes, evidence = split_bodies(body.envelopes, header.tx_count)
            transactions = tuple(decode_transaction(envelope, self.config.chain_id).closed() for envelope in envelopes)
        except LedgerError as error:
            raise InvariantViolated(f"journal body {body.height} does not decode: {error}") from error
        ids = tuple(tx.tx_id for tx in transactions)
        self.mempool.adopt(block_id(body.header), Candidate(header, body.header, ids, transactions, evidence))

    def _arm_gossip(self) -> list[ne.NodeEffect]:
        if not self.mempool.has_outbox or self._armed[nv.NodeTimer.GOSSIP]:
            return []
        return [self._arm(nv.NodeTimer.GOSSIP, GOSSIP_NS)]

    def _arm_forward(self) -> list[ne.NodeEffect]:
        if not self.mempool.owes or self._armed[nv.NodeTimer.FORWARD]:
            return []
        return [self._arm(nv.NodeTimer.FORWARD, self.config.params.fwd_ms * 1_000_000)]

    def _arm_sync(self) -> list[ne.NodeEffect]:
        if not (self.sync.running or self.taking.active or self.walk.active) or self._armed[nv.NodeTimer.SYNC]:
            return []
        return [self._arm(nv.NodeTimer.SYNC, self.config.params.fetch_ms * 1_000_000)]

    def _arm(self, timer: nv.NodeTimer, delay_ns: int) -> ne.NodeEffect:
        self._generations[timer] += 1
        self._armed[timer] = True
        return ne.SetTimer(timer=timer, generation=self._generations[timer], deadline_ns=self._now + delay_ns)


_CONSENSUS: Final = frozenset(get_args(Message))
"""Messages that go to the replica; all others are for the machines beside it."""
_HANDLERS: Final[dict[type, Callable[..., list[ne.NodeEffect]]]] = {
    nv.NodeStart: NodeCore._start,
    nv.PeerReceived: NodeCore._received,
    nv.Submitted: NodeCore._submitted,
    nv.TransactionsVerified: NodeCore._transactions_verified,
    nv.VotesVerified: NodeCore._votes_verified,
    nv.BlockExecuted: NodeCore._executed,
    nv.JournalDurable: NodeCore._journal_durable,
    nv.StoreDurable: NodeCore._store_durable,
    nv.TimerElapsed: NodeCore._timer,
    nv.PeerConnected: NodeCore._peer_connected,
    nv.PeerLost: NodeCore._peer_lost,
}
_PERFORM: Final[dict[type, Callable[[NodeCore, Any, list[ne.NodeEffect], Answers], None]]] = {
    ce.Persist: NodeCore._persist,
    ce.Prune: NodeCore._prune,
    ce.Send: NodeCore._send,
    ce.Broadcast: NodeCore._broadcast,
    ce.VerifySignatures: NodeCore._verify,
    ce.CheckBlock: NodeCore._check_block,
    ce.FetchBodies: NodeCore._fetch_bodies,
    ce.BuildBlock: NodeCore._build_block,
    ce.Deliver: NodeCore._deliver,
    ce.StartTimer: NodeCore._start_timer,
    ce.StopTimer: NodeCore._stop_timer,
    ce.StartSync: NodeCore._sync_asked,
    ce.Penalise: NodeCore._penalise,
    ce.Reject: NodeCore._reject,
    ce.Count: NodeCore._count,
    ce.Report: NodeCore._report,
    ce.Silence: NodeCore._silence,
    ce.Halt: NodeCore._halt,
}
"""What is done with each effect of consensus; a table, because asking a struct for its class is dear (performance E6).
A test compares it with `Effect`."""

__all__ = ["NodeContext", "NodeCore", "ref_of"]
