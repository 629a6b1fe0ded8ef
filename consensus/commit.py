"""Commit certificates and what follows from them (P34-P36, P82-P84, P106).

upon a valid certificate for s, any mode, any view:
    another id at s known committed  -> Halt, a fork is proven
    s beyond the window              -> StartSync
    the block and all before it here -> persist CommittedHere, Deliver, go on with s+1
    otherwise                        -> wait for the block: bodies from the signers, then StartSync
"""

from __future__ import annotations

from consensus.amnesia import in_commit, keep_votes
from consensus.bodies import check_block
from consensus.effects import HaltReason, StartSync
from consensus.epochs import decided
from consensus.events import Executed, Synced, Verdict
from consensus.messages import Committed
from consensus.records import CommittedHere
from consensus.signatures import require
from consensus.slots import Held, Recent
from consensus.state import ReplicaState, primary_of
from consensus.step import NS, Step, signers_here
from consensus.tally import indexes
from consensus.validate import commit_certificate, commit_items, number
from ledger.block import BlockRef
from ledger.certificate import CommitCertificate
from ledger.errors import InvariantViolated

RECENT_MAX = 1024
"""Committed blocks kept while the block store lags; beyond it the oldest goes and anchoring waits for the store."""


def on_committed(step: Step, peer: int, message: Committed) -> None:
    """COMMIT-CERT from anyone, in any mode and view (P35)."""
    state = step.state
    certificate = message.certificate
    height = certificate.vote.height
    epoch = certificate.vote.epoch
    members = state.members
    if epoch > members.epoch:
        if state.coming is None or state.coming.epoch != epoch:
            # Of members that are not known here yet: no fault of the peer, get the blocks (P115).
            step.reject(peer, "newer_epoch")
            if number(height) and step.now - state.sync_ns >= step.params.status_ms * NS:
                start_sync(step, height, None, 1 << peer)
            return
        members = state.coming
    elif epoch < members.epoch and height < members.first_height and members.at(height).epoch != epoch:
        step.reject(peer, "older_epoch")  # final long ago, of members that are not kept
        return
    problem = commit_certificate(certificate, members, state.config.genesis_id)
    if problem or height == 0:
        step.penalise(peer, "bad_certificate")
        return
    if not news(state, certificate):
        return
    require(step, "committed", peer, message, commit_items(certificate))


def news(state: ReplicaState, certificate: CommitCertificate) -> bool:
    """Tell whether a certificate would change anything: not known yet, or contradicting what is known."""
    height, block_id = certificate.vote.height, certificate.vote.block_id
    if height <= state.tip.height:
        recent = state.recent.get(height)
        return recent is not None and recent.reference.block_id != block_id
    known = state.certificates.get(height)
    return known is None or known.vote.block_id != block_id


def learn(step: Step, certificate: CommitCertificate) -> None:
    """Take in a certificate whose signatures are valid (P35)."""
    state = step.state
    in_commit(step, certificate)
    height, block_id = certificate.vote.height, certificate.vote.block_id
    if height <= state.tip.height:
        recent = state.recent.get(height)
        if recent is not None and recent.reference.block_id != block_id:
            step.halt(HaltReason.SAFETY_VIOLATION, f"two commit certificates at height {height}")  # P36
        return
    known = state.certificates.get(height)
    if known is not None:
        if known.vote.block_id != block_id:
            step.halt(HaltReason.SAFETY_VIOLATION, f"two commit certificates at height {height}")  # P36
        return
    step.dirty = True
    if height > state.tip.height + 2 * step.params.window:
        start_sync(step, height, certificate, signers_here(state, certificate))  # P106
        return
    state.certificates[height] = certificate
    advance(step)


def advance(step: Step) -> None:
    """Commit what is certified and held, in height order (P35)."""
    state = step.state
    while True:
        certificate = state.certificates.get(state.tip.height + 1)
        if certificate is None:
            break
        held = state.blocks.get(certificate.vote.block_id)
        if held is None:
            break
        if held.verdict is not Verdict.OK:
            if not held.asked and held.verdict is None:
                check_block(step, held, fresh=False)
            break
        _commit(step, certificate, held)
    if not state.certificates:
        state.gap_ns = -1
    elif state.gap_ns < 0:
        state.gap_ns = step.now


def _commit(step: Step, certificate: CommitCertificate, held: Held) -> None:
    """Make the next height final: durable first, then executed and told (P35, table of section 11)."""
    state = step.state
    header = held.header
    reference = held.reference(state.tip)
    if header.height <= state.height:  # all that is held is above; what the journal is ahead by comes by sync (P106)
        raise InvariantViolated(f"height {header.height} is committed a second time")
    bodies = None if held.durable else held.block_id
    step.persist(CommittedHere(certificate), bodies, 0 if held.durable else header.size_bytes)
    slot = state.slots.get(header.height)
    pre_prepare = None
    if slot is not None and slot.block_id == held.block_id:
        pre_prepare = slot.pre_prepare
        if slot.since_ns:
            _measure(step, step.now - slot.since_ns)
    if pre_prepare is None:
        for one in state.picture.accepted:
            if one.vote.block_id == held.block_id:
                pre_prepare = one
    step.deliver(reference, certificate)
    _adopt(step, reference, certificate, header.last_cert_height)
    state.recent[header.height] = Recent(certificate, reference, pre_prepare, step.now)
    state.pace.last_txs = header.tx_count
    _check_root(step, header.exec_height, header.exec_root)


def _measure(step: Step, latency_ns: int) -> None:
    """Follow the commit latency in integers, and move the cap on block size (P45, P46)."""
    pace = step.state.pace
    most = step.params.max_block_txs
    if latency_ns > 3 * pace.latency_ns:
        pace.cap_txs = max(min(64, most), pace.cap_txs // 2)
    else:
        pace.cap_txs = min(most, pace.cap_txs + max(1, pace.cap_txs // 20))
    pace.latency_ns = (7 * pace.latency_ns + max(0, latency_ns)) // 8


def _adopt(step: Step, reference: BlockRef, certificate: CommitCertificate, last_cert: int) -> None:
    """Move to a new tip and drop everything at and below it (P84)."""
    state = step.state
    height = reference.height
    before = primary_of(state, state.height + 1)
    state.tip, state.tip_certificate, state.tip_last_cert = reference, certificate, last_cert
    state.height = max(state.height, height)
    if primary_of(state, state.height + 1) != before:
        state.heard_primary_ns = step.now  # planned rotation: the next one is given its time (P65, P77)
    for at in [at for at in state.slots if at <= height]:
        keep_votes(state, state.slots.pop(at), certificate if at == height else None)
    for block_id in [block_id for block_id, one in state.blocks.items() if one.header.height <= height]:
        del state.blocks[block_id]
    for at in [at for at in state.spoken if at <= height]:
        del state.spoken[at]
    for at in [at for at in state.certificates if at <= height]:
        del state.certificates[at]
    for at in [at for at in state.reproposals if at <= height]:
        del state.reproposals[at]
    if state.build is not None and state.build.height <= height:
        state.build = None
    state.gap_ns = -1
    state.asked_height = 0
    state.backoff //= 2  # P68: halve, no instant reset
    state.suspecting = False  # P51
    state.silent_primary = False
    state.pace.last_commit_ns = step.now
    state.restart_progress = True  # P65
    step.dirty = step.moved = True
    trim(state, step.params.window)


def trim(state: ReplicaState, window: int) -> None:
    """Forget committed blocks that the block store has and the window left behind (P84)."""
    low = min(state.stored, state.tip.height - 2 * window)
    for height in [height for height in state.recent if height < low]:
        del state.recent[height]
    while len(state.recent) > RECENT_MAX:
        del state.recent[next(iter(state.recent))]


# execution results


def on_executed(step: Step, event: Executed) -> None:
    """A delivered block was executed here; proposals that name its result can be judged now (P31)."""
    state = step.state
    state.executed = max(state.executed, event.height)
    state.exec_roots[event.height] = event.exec_root
    keep = event.height - 2 * step.params.exec_lag
    for height in [height for height in state.exec_roots if height < keep]:
        del state.exec_roots[height]
    expected = state.certified_roots.pop(event.height, None)
    if expected is not None and expected != event.exec_root:
        step.halt(HaltReason.STATE_DIVERGENCE, f"our result of height {event.height} differs from the certified one")
    step.dirty = step.moved = True
    state.awaited, state.due_ms = event.awaited, event.due_ms
    if event.scheduled:
        state.scheduled = event.height
    if event.next_epoch is not None:
        decided(step, event.next_epoch)


def _check_root(step: Step, exec_height: int, exec_root: bytes) -> None:
    """A certified header names a result: ours must be equal, now or when it is there (P83)."""
    state = step.state
    ours = state.exec_roots.get(exec_height)
    if ours is None:
        if exec_height > state.executed:
            state.certified_roots[exec_height] = exec_root
        return
    if ours != exec_root:
        step.halt(HaltReason.STATE_DIVERGENCE, f"our result of height {exec_height} differs from the certified one")


# catch-up


def start_sync(step: Step, height: int, certificate: CommitCertificate | None, sources: int) -> None:
    """Ask for certified blocks; a higher target at once, the same one at most every STATUS_MS (P106)."""
    state = step.state
    if height <= state.sync_height and step.now - state.sync_ns < step.params.status_ms * NS:
        return
    if height <= state.tip.height:
        return
    state.sync_height, state.sync_ns = height, step.now
    members = tuple(index for index in indexes(sources) if index != state.me)
    step.out.append(StartSync(height=height, certificate=certificate, sources=members))


def resume_sync(step: Step) -> None:
    """Repeat what is still missing: called with every STATUS, and when a gap got old (P35, P106)."""
    state = step.state
    if state.certificates:
        top = max(state.certificates)
        certificate = state.certificates[top]
        if state.gap_ns >= 0 and step.now - state.gap_ns >= step.params.fetch_ms * NS:
            start_sync(step, top, certificate, signers_here(state, certificate) | _ahead(state, top))
    if state.height > state.tip.height:
        certificate = state.picture.committed
        start_sync(step, state.height, certificate, signers_here(state, certificate))
    if state.claimed_height <= state.tip.height + 2 * step.params.window:
        return
    claimed = 0
    for peer in state.peers:
        if peer.connected and peer.status is not None:
            claimed = max(claimed, peer.status.committed_height)
    if claimed > state.tip.height + 2 * step.params.window:
        start_sync(step, claimed, None, _ahead(state, state.tip.height + 1))


def _ahead(state: ReplicaState, height: int) -> int:
    """Return the members that claim to have `height`: a hint for where to ask, never believed (P106)."""
    mask = 0
    for index, peer in enumerate(state.peers):
        if peer.connected and peer.status is not None and peer.status.committed_height >= height:
            mask |= 1 << index
    return mask


def on_synced(step: Step, event: Synced) -> None:
    """Blocks up to `tip` were verified and handed to the chain; take over from there (P106)."""
    state = step.state
    reference, certificate = event.tip, event.certificate
    known = state.certificates.get(reference.height)
    if known is not None and known.vote.block_id != reference.block_id:
        step.halt(HaltReason.SAFETY_VIOLATION, f"two commit certificates at height {reference.height}")
    if reference.height <= state.tip.height:
        return
    for one in event.certificates:
        in_commit(step, one)
    if reference.height > state.height:
        step.persist(CommittedHere(certificate))
    _adopt(step, reference, certificate, 0)
    state.recent[reference.height] = Recent(certificate, reference, None, step.now)
    advance(step)
