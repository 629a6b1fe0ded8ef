"""From journal records to the same state, and keeping the journal short (P92-P98).

The records are folded exactly as they were when they were written. Then the block store and the journal are
brought together, and the last own votes are sent again byte for byte: identical bytes twice are legal (P95).
Whatever is wrong with the journal makes a learner, never a fresh voter (P94, P97). A journal that was set back as a
whole looks right from here; so nothing new is signed before q-1 others said what they hold of us (P98, amnesia.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.amnesia import in_commit
from consensus.commit import resume_sync, trim
from consensus.effects import Prune, SignatureItem
from consensus.epochs import ends
from consensus.events import Durable, Lsn, Mode, Start, Stored, Timer, Verdict
from consensus.later import remember_own
from consensus.membership import membership, membership_of
from consensus.messages import Prepare
from consensus.normal import hold
from consensus.records import Accepted, Anchor, CommittedHere, Record, Silenced
from consensus.slots import COMMIT, PRE_PREPARE, PREPARE, Recent, Stage, new_slot
from consensus.state import Pace, Peer, Picture, ReplicaState, fold, picture_of, saw_view
from consensus.step import NS, Step, remember, signers_mask
from consensus.tally import indexes
from consensus.timers import arm
from consensus.validate import VIEW_CHANGE, Contradiction, opening, parse_header, view_change_body
from consensus.viewchange import adopt_opening
from ledger.block import BlockRef, block_id, carries_work
from ledger.certificate import CommitCertificate, genesis_certificate
from ledger.codec import encode
from ledger.errors import InvariantViolated

ANCHOR_BYTES = 8 * 1024 * 1024
"""Log written since the last `Anchor` before a new one is due (P93): bounds the journal and the replay."""


@dataclass(slots=True)
class Trail:
    """What a journal says about blocks that the block store may not have: certificates and headers."""

    certificates: dict[int, CommitCertificate] = field(default_factory=dict)
    headers: dict[bytes, bytes] = field(default_factory=dict)


def initial_state(event: Start) -> ReplicaState:
    """Return the state before the first effect: journal folded, or a learner if it may not vote."""
    config = event.config
    chain_id, rotate_every = config.chain_id, config.params.rotate_every
    members = membership_of(config)
    coming = membership(config.coming, chain_id, rotate_every, members) if config.coming is not None else None
    picture, trail, lsn = _replay(event)
    me = config.index if config.index is not None else -1
    # The journal is beyond the barrier, the stored blocks are not: links are numbered by the epoch of the blocks, and
    # the votes are those of the next one. What is missing up to the barrier needs no vote; the replica after that takes
    # the journal up, which stays as it is until then (P114).
    ahead = picture is not None and picture.epoch > members.epoch
    voting = picture is not None and not ahead and me >= 0 and picture.mode in (Mode.NORMAL, Mode.CHANGING)
    older = voting and picture is not None and picture.epoch < members.epoch
    if older:  # the blocks are beyond the barrier, the journal is not: what it holds is over, nothing is forgotten
        picture = Picture(config.journal_id, members.epoch, 0, Mode.NORMAL, event.tip_certificate)
    if picture is None or not voting:
        committed = picture.committed if picture is not None and ahead else event.tip_certificate
        picture = Picture(config.journal_id, members.epoch, 0, Mode.LEARNER, committed)
        trail = trail if ahead else Trail()
    state = ReplicaState(
        config=config,
        members=members,
        me=me,
        mode=picture.mode,
        view=picture.view,
        height=max(event.tip.height, picture.committed.vote.height),
        tip=event.tip,
        tip_certificate=event.tip_certificate,
        picture=picture,
        journaling=voting,
        params_hash=config.params.hash(),
        pace=Pace(cap_txs=config.params.max_block_txs, last_commit_ns=event.now, last_sent_ns=event.now),
        peers=[Peer() for _ in range(members.n)],
        base=members.first_height - 1,
        heard_primary_ns=event.now,
    )
    if not -1 <= state.me < members.n:
        raise InvariantViolated(f"own index {state.me} is not a member of epoch {members.epoch}")
    state.coming, state.ahead = coming, ahead
    if ahead and coming is not None:
        state.height = coming.first_height - 1  # what is above the barrier is for the replica that takes the journal up
    state.awaited, state.due_ms, state.scheduled = config.awaited, config.due_ms, config.scheduled
    state.lsn = state.durable = lsn
    state.replayed = bool(event.records)
    state.anchor_due = older or not event.records
    state.unused = event.voting and config.index is None and not event.records
    state.stored = event.tip.height
    state.logged_bytes = sum(logged(record) for _, record in event.records) if voting else 0
    state.exec_roots = dict(event.executed)
    state.executed = max(state.exec_roots, default=0)
    if event.tip.height > 0:
        state.recent[event.tip.height] = Recent(event.tip_certificate, event.tip, None, event.now)
    state.trail = trail.certificates
    state.trail_headers = trail.headers
    # A new journal has signed nothing, so nothing can be missing from it: a first start waits for nobody (P98). That of
    # a key which votes since this epoch may have been set back to its beginning meanwhile.
    state.cleared = not voting or not (event.records or config.fresh_key) or members.q == 1
    if not voting:
        state.silenced = next((one.reason for _, one in reversed(event.records) if isinstance(one, Silenced)), "")
    return state


def logged(record: Record) -> int:
    """Return about how many bytes of journal a record takes, bodies included (P93)."""
    size = len(encode(record))
    if isinstance(record, Accepted):
        header = parse_header(record.pre_prepare.proposal.header)
        size += header.size_bytes if header is not None else 0
    return size


def _replay(event: Start) -> tuple[Picture | None, Trail, int]:
    """Fold the records; None when this replica must not vote (P92, P94)."""
    config = event.config
    trail = Trail()
    if not event.voting or (config.index is None and not event.records):
        return None, trail, 0
    if not event.records:
        if event.tip.height > 0 and not config.fresh_key:
            return None, trail, 0  # blocks without a journal: it was lost (P97)
        epoch = config.epoch.epoch
        committed = event.tip_certificate if event.tip.height else genesis_certificate(config.genesis_id, epoch)
        return Picture(config.journal_id, epoch, 0, Mode.NORMAL, committed), trail, 0
    first = event.records[0][1]
    if not isinstance(first, Anchor) or first.journal_id != config.journal_id:
        return None, trail, 0
    if first.mode not in (Mode.NORMAL, Mode.CHANGING, Mode.LEARNER):
        return None, trail, 0
    picture = picture_of(first)
    last = event.records[0][0] - 1
    for lsn, record in event.records:
        if lsn != last + 1:
            return None, Trail(), 0  # a gap: the journal is corrupt (P92)
        last = lsn
        fold(picture, record)
        _note(trail, record, picture)
    if picture.epoch > (config.epoch if config.coming is None else config.coming).epoch:
        return None, Trail(), 0  # votes of members that are not known here
    for header in event.headers:
        trail.headers[block_id(header)] = header
    return picture, trail, last


def _note(trail: Trail, record: Record, picture: Picture) -> None:
    """Only accepted proposals have their bodies in the journal; a prepared one alone may not (table of section 11)."""
    for message in picture.accepted:
        trail.headers[message.vote.block_id] = message.proposal.header
    if isinstance(record, CommittedHere):
        trail.certificates[record.certificate.vote.height] = record.certificate
    elif isinstance(record, Anchor):
        trail.certificates[record.committed.vote.height] = record.committed


def resume(step: Step, event: Start) -> None:
    """The first effects: meet the block store, rebuild the slots, send again, start the timers (P95)."""
    state = step.state
    arm(step, Timer.STATUS, step.now + step.params.status_ms * NS)
    step.dirty = step.moved = True
    if not state.journaling:
        step.count("learner")
        if state.ahead:
            _deliver_again(step)
            resume_sync(step)
        return
    if state.anchor_due:
        step.persist(state.picture.anchor())
        state.logged_bytes = 0
    in_commit(step, event.tip_certificate)  # the block store may remember what the journal forgot (P98)
    if state.silenced:
        return
    committed = state.picture.committed.vote.height
    if event.tip.height > committed:
        step.persist(CommittedHere(event.tip_certificate))  # the block store is ahead: adopt its tip
    else:
        _deliver_again(step)
    _rebuild(step)
    resume_sync(step)


def _deliver_again(step: Step) -> None:
    """The journal is ahead of the block store: what has a header here is delivered again, idempotent by height."""
    state = step.state
    trail, headers = state.trail, state.trail_headers
    while state.tip.height < state.height:
        certificate = trail.get(state.tip.height + 1)
        data = headers.get(certificate.vote.block_id) if certificate is not None else None
        header = parse_header(data) if data is not None else None
        if certificate is None or header is None or header.parent_id != state.tip.block_id:
            break
        reference = BlockRef(
            header.height,
            certificate.vote.block_id,
            header.time_ms,
            header.exec_height,
            header.height if carries_work(header) else state.tip.work_height,
        )
        step.deliver(reference, certificate)
        state.tip, state.tip_certificate, state.tip_last_cert = reference, certificate, header.last_cert_height
        state.recent[header.height] = Recent(certificate, reference, None, step.now)
        state.pace.last_txs = header.tx_count
        ours = state.exec_roots.get(header.exec_height)
        if ours is None and header.exec_height > state.executed:
            state.certified_roots[header.exec_height] = header.exec_root
    state.trail, state.trail_headers = {}, {}


def _rebuild(step: Step) -> None:
    """Blocks, slots and own votes above the committed height, as they were (MU77, MU78)."""
    state = step.state
    picture = state.picture
    for message in picture.accepted:
        header = parse_header(message.proposal.header)
        if header is None:
            raise InvariantViolated("the journal holds a proposal without a header")
        held = hold(state, message.vote.block_id, header, message.proposal)
        held.verdict, held.durable = Verdict.OK, True
    if picture.new_view is not None and picture.mode is Mode.NORMAL:
        outcome = opening(picture.new_view.view_changes)
        if isinstance(outcome, Contradiction):
            raise InvariantViolated(f"the journal holds a NEW-VIEW with {outcome.detail}")
        adopt_opening(state, outcome)
        for change in picture.new_view.view_changes:
            saw_view(state, change.sender, change.view)
    saw_view(state, state.me, state.view)
    if picture.mode is Mode.CHANGING:
        left = picture.view_change
        if left is None or left.view != state.view:
            raise InvariantViolated("the journal left a view without a VIEW-CHANGE")
        body = view_change_body(left)
        remember(state, (SignatureItem(VIEW_CHANGE, body, left.epoch, left.sender, left.signature),))
        state.target_changes[state.me] = left
        step.broadcast(left)
        return
    for message in picture.accepted:
        if message.vote.view == state.view and message.vote.height > state.height:
            slot = state.slots.setdefault(message.vote.height, new_slot(message.vote.height, state.members.n))
            slot.block_id, slot.pre_prepare = message.vote.block_id, message
            slot.stage, slot.checked, slot.timely = Stage.ACCEPTED, True, True
            slot.own = message.sender == state.me
            slot.prepares.put(message.sender, message, verified=True)
            if slot.own:
                remember_own(step, PRE_PREPARE, message)
                step.broadcast(message)
    for vote in picture.own_votes():
        at = vote.vote.height
        slot = state.slots.setdefault(at, new_slot(at, state.members.n))
        if isinstance(vote, Prepare):
            remember_own(step, PREPARE, vote)
            slot.prepares.put(state.me, vote, verified=True)
        else:
            remember_own(step, COMMIT, vote)
            slot.commits.put(state.me, vote, verified=True)
        step.broadcast(vote)
    for height in sorted(picture.prepared):
        certificate = picture.prepared[height]
        slot_or_none = state.slots.get(height)
        if certificate.vote.view != state.view or slot_or_none is None:
            continue
        slot_or_none.prepared = certificate
        for signer, signature in zip(indexes(signers_mask(certificate)), certificate.signatures, strict=True):
            if slot_or_none.prepares.votes[signer] is None and signer != certificate.primary:
                again = Prepare(signer, certificate.vote, signature)
                slot_or_none.prepares.put(signer, again, verified=True)


# keeping the journal short


def on_durable(step: Step, event: Durable) -> None:
    """The journal reached the disk; prune what a durable `Anchor` replaces, write one if the log grew long (P93)."""
    state = step.state
    state.durable = max(state.durable, event.lsn)
    if state.anchor_lsn and state.durable >= state.anchor_lsn:
        step.out.append(Prune(before=Lsn(state.anchor_lsn), bodies_up_to=state.anchor_height, keep=state.anchor_blocks))
        state.anchor_lsn = 0
    if state.stored == state.tip.height:
        # Nothing commits, so the block store has nothing to report; and each fruitless view writes its opening, its
        # proposal and the bodies of that.
        _shorten(step)


def on_stored(step: Step, event: Stored) -> None:
    """The block store reached the disk: an `Anchor` can be written at a greater height (P93)."""
    state = step.state
    state.stored = max(state.stored, min(event.height, state.tip.height))
    step.moved = step.moved or ends(state)  # the next epoch may have waited for this (P114)
    trim(state, step.params.window)
    _shorten(step)


def _shorten(step: Step) -> None:
    """Write a new `Anchor` if the log grew long (P93)."""
    state = step.state
    if state.journaling and state.logged_bytes >= ANCHOR_BYTES and not state.anchor_lsn:
        anchor(step)


def anchor(step: Step) -> None:
    """Start the journal anew at the stored height; what was committed above it is recorded once more.

    Under load the block store is always a few blocks behind, so waiting until it is level would never end. Bodies are
    kept of the blocks that the anchor names: of the others no proposal is left that they could be shown with.
    """
    state = step.state
    at = state.recent.get(state.stored)
    if state.tip.height < state.height or (at is None and state.stored < state.tip.height):
        return
    above = [state.recent.get(height) for height in range(state.stored + 1, state.tip.height + 1)]
    blocks = []
    for one in above:
        if one is None or one.pre_prepare is None:
            return  # came by sync, or was trimmed: wait for the block store
        blocks.append((one.pre_prepare, one.certificate))
    picture = state.picture
    whole = Picture(
        picture.journal_id,
        picture.epoch,
        picture.view,
        picture.mode,
        at.certificate if at is not None else state.tip_certificate,
        picture.new_view,
        picture.view_change,
        [message for message, _ in blocks] + picture.accepted,
        picture.votes,
        picture.prepared,
    )
    step.persist(whole.anchor())
    state.anchor_lsn, state.anchor_height = state.lsn, state.stored
    state.anchor_blocks = tuple(message.vote.block_id for message in whole.accepted)
    for identity, held in state.blocks.items():
        held.durable = held.durable and identity in state.anchor_blocks  # else written again if it is wanted after all
    for _, certificate in blocks:
        step.persist(CommittedHere(certificate))
    state.logged_bytes = 0
