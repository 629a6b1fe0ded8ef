"""When the primary proposes, and what (P45-P48, P57, P146). Its own policy: voters only check the hard caps."""

from __future__ import annotations

from consensus.bodies import transactions_in_flight
from consensus.effects import BuildBlock
from consensus.epochs import last_height, top_height
from consensus.events import NORMAL, BlockBuilt, WorkChanged
from consensus.messages import PrePrepare, Proposal
from consensus.normal import OWN_RETRY_MS, consider, hold, last_certified, parent_of, timely
from consensus.repair import ask_proposal
from consensus.slots import Slot, Stage, new_slot
from consensus.state import Build, ReplicaState, Work, primary_of
from consensus.step import NS, Step, signers_here
from consensus.validate import bound, parse_header
from consensus.viewchange import suspect_censorship
from ledger.block import block_id
from ledger.certificate import Vote
from ledger.errors import InvariantViolated

BUSY_TXS = 50
BUSY_WAIT_TXS = 200
BUSY_WAIT_MS = 50
"""P45: the next block waits for BUSY_WAIT_TXS, or for a time after the commit that grows with the last block, up to
BUSY_WAIT_MS for one of BUSY_TXS and more. A block has a fixed price of several milliseconds at every member, so many
blocks of ten cost twice as much a transaction as few of fifty (performance section 2)."""
BATCH_MIN_MS, BATCH_MAX_MS = 2, 50
PROOF_WAIT_MS = 100
"""P47: an empty block that only certifies results waits this long for transactions that would carry them."""

AWAITED_MAX = 1_000
"""P47: an idle network brings its blocks no nearer than this to contracts that begin later: whoever named a longer
delay counts the blocks of real work."""


def proof_due(state: ReplicaState, wall: int) -> bool:
    """The last results are not certified yet, are known here, and no transaction will carry them (P47).

    An epoch or contracts that are decided begin some heights later, so blocks follow until then on an idle network as
    well (P112, L59). Entries of schedules are due by the clock, whoever else is idle (L56).
    """
    if state.work.count:
        return False
    if state.executed >= state.tip.height and (state.tip.height < _awaited(state) or 0 < state.due_ms <= wall):
        return True
    work = max(state.tip.work_height, state.scheduled)
    return work > state.tip.exec_height and state.executed >= work


def _awaited(state: ReplicaState) -> int:
    """Return the height up to which blocks follow although nothing waits, or 0.

    For an epoch the one before it begins; contracts begin in a block, which arms what they run every day (L53).
    """
    contracts = state.awaited
    if contracts > state.tip.height + AWAITED_MAX:
        contracts = 0
    return max(last_height(state) or 0, contracts)


def proof_at(state: ReplicaState) -> int:
    """Return the time from which a block without transactions may be proposed (P47)."""
    return state.pace.last_commit_ns + PROOF_WAIT_MS * NS


def throttled(state: ReplicaState) -> bool:
    """Execution lags here or at too many members (P48).

    A vote for s says that its sender executed s-L at least (P31), so signers of the tip's certificate count.
    """
    lag = state.config.params.exec_lag
    if 2 * (state.height - state.executed) > lag:
        return True
    floor = state.height - lag
    if floor <= 0:
        return False
    ready = signers_here(state, state.tip_certificate)
    if ready.bit_count() >= state.members.q:
        return False  # nearly always: nobody has to be looked at
    for index, peer in enumerate(state.peers):
        if peer.executed >= floor or (index == state.me and state.executed >= floor):
            ready |= 1 << index
    return ready.bit_count() < state.members.q


def propose(step: Step) -> None:
    """Propose the next height if it is ours and something is due."""
    state = step.state
    if state.mode is not NORMAL or state.tip.height < max(state.height, state.base) or not state.cleared:
        return
    for height in range(state.tip.height + 1, top_height(state, state.tip.height, step.params.window) + 1):
        slot = state.slots.get(height)
        if slot is not None and slot.block_id:
            continue
        if primary_of(state, height) != state.me or parent_of(state, height) is None:
            return
        again = state.reproposals.get(height)
        if again is None:
            _fresh(step, height)
            return
        held = state.blocks.get(again)
        if held is None:
            ask_proposal(step, height)
            return
        if step.now < state.pace.hold_until_ns:
            return
        _offer(step, height, again, held.proposal)  # P57: the original header and bodies


def _fresh(step: Step, height: int) -> None:
    """Ask for a new block if batching, throttling and the clock allow it."""
    state = step.state
    if state.build is not None or step.now < state.pace.hold_until_ns:
        return
    parent = parent_of(state, height)
    if parent is None or throttled(state) or state.executed < parent.exec_height:
        return  # after a restart our results must first reach what the parent certifies (P31)
    if state.tip.height < last_certified(state, parent):
        return  # a repeated parent may know more certificates than we do yet (P30f)
    proof = proof_due(state, step.wall) and height == state.tip.height + 1 and step.now >= proof_at(state)
    if not proof:
        if parent.block_id == state.barren or unordered(state, height) == 0:
            return
        if step.now < batch_deadline(step, height):
            return
    if parent.time_ms + 1 > step.wall + step.params.precision_ms:  # P146: the parent is ahead of our clock
        state.pace.hold_until_ns = step.now + OWN_RETRY_MS * NS
        return
    state.request += 1
    state.build = Build(state.request, state.view, height, parent.block_id, proof)
    cap = state.pace.cap_txs
    step.out.append(
        BuildBlock(
            request=state.request,
            height=height,
            parent=parent,
            last_certificate=state.tip_certificate,
            max_size_bytes=max(64 * 1024, step.params.max_block_bytes * cap // step.params.max_block_txs),
            max_txs=cap,
            allow_empty=proof,
            taken=transactions_in_flight(state, parent.block_id),
        )
    )


def unordered(state: ReplicaState, height: int) -> int:
    """Return about how many waiting transactions are in no block in flight below `height`."""
    count = state.work.count
    for at in range(state.tip.height + 1, height):
        held = state.blocks.get(state.slots[at].block_id) if at in state.slots else None
        count -= held.header.tx_count if held is not None else 0
    return max(0, count)


def batch_deadline(step: Step, height: int) -> int:
    """Return the time from which the waiting transactions are proposed (P45)."""
    state = step.state
    pace, work = state.pace, state.work
    if height == state.tip.height + 1:
        if work.count >= BUSY_WAIT_TXS:
            return step.now
        return pace.last_commit_ns + BUSY_WAIT_MS * min(pace.last_txs, BUSY_TXS) // BUSY_TXS * NS
    if unordered(state, height) >= pace.cap_txs:
        return step.now
    wait = min(max(pace.latency_ns // step.params.window, BATCH_MIN_MS * NS), BATCH_MAX_MS * NS)
    return max(work.oldest_ns, pace.last_sent_ns) + wait  # what waited before the last block was sent is in it


def on_block_built(step: Step, event: BlockBuilt) -> None:
    """The answer goes the way of a received PRE-PREPARE (P164); a stale one is ignored (P158)."""
    state = step.state
    build = state.build
    if build is None or build.request != event.request:
        return
    state.build = None
    step.dirty = True
    height = build.height
    parent = parent_of(state, height)
    if state.mode is not NORMAL or build.view != state.view or parent is None:
        return
    slot = state.slots.get(height)
    if parent.block_id != build.parent_id or (slot is not None and slot.block_id):
        return
    if event.proposal is None:  # nothing eligible until the mempool says otherwise
        state.barren = build.parent_id
        if height == state.tip.height + 1:
            state.work = Work()
        if build.proof:
            state.pace.hold_until_ns = step.now + OWN_RETRY_MS * NS
        return
    header = parse_header(event.proposal.header)
    here = state.members.epoch, height
    if header is None or (header.epoch, header.height) != here or not bound(event.proposal, header):
        step.count("own_proposal_invalid")
        state.pace.hold_until_ns = step.now + OWN_RETRY_MS * NS
        return
    _offer(step, height, block_id(event.proposal.header), event.proposal)


def _offer(step: Step, height: int, identity: bytes, proposal: Proposal) -> None:
    """Fill our own slot; the signature is made when the proposal passes its checks (P32, P164)."""
    state = step.state
    header = parse_header(proposal.header)
    if header is None:
        raise InvariantViolated(f"a block without a header is offered at height {height}")
    slot = state.slots.get(height)
    if slot is None:
        slot = state.slots[height] = new_slot(height, state.members.n)
    hold(state, identity, header, proposal)
    vote = Vote(state.members.epoch, state.view, height, identity)
    _own(step, slot, PrePrepare(state.me, vote, b"", proposal))
    consider(step, slot)


def _own(step: Step, slot: Slot, unsigned: PrePrepare) -> None:
    slot.own = True
    slot.block_id = unsigned.vote.block_id
    slot.pre_prepare = unsigned
    slot.stage = Stage.WAITING
    slot.since_ns = step.now
    slot.timely = timely(step, unsigned.proposal.header, step.wall)
    step.dirty = True


def on_work_changed(step: Step, event: WorkChanged) -> None:
    """The mempool tells its state; only the latest counts."""
    step.state.barren = b""
    step.state.work = Work(event.count, event.size_bytes, event.oldest_ns)
    step.dirty = True
    suspect_censorship(step, event.overdue)
