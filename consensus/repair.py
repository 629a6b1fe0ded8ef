"""STATUS and the repair it drives (P37, P58): nobody re-sends blindly, a peer gets what its STATUS lacks.

    upon STATUS(p), once each:   committed height lower  -> COMMIT-CERT of the next heights
                                 view lower or changing  -> NEW-VIEW, or VIEW-CHANGEs while we are changing too
                                 same view and height    -> PREPARED, or PRE-PREPARE and votes its bitmaps lack
Everything sent here is signed by its author, so a replica may pass on what others said; that keeps two halves
alive that are joined through a third.
"""

from __future__ import annotations

from collections.abc import Sequence

from consensus.amnesia import echo_of, heard
from consensus.commit import resume_sync
from consensus.events import Mode
from consensus.messages import (
    Commit,
    Committed,
    NewView,
    Prepare,
    Prepared,
    PreparedCertificate,
    Status,
    ViewChange,
)
from consensus.normal import ask_votes, verify_votes
from consensus.slots import COMMIT, PREPARE, Slot
from consensus.state import ReplicaState, primary_of, saw_view
from consensus.step import NS, Step, signers_mask
from consensus.tally import Tally, indexes
from consensus.validate import number
from consensus.viewchange import review, try_open
from ledger.errors import InvariantViolated
from ledger.ids import HASH_BYTES


def send_status(step: Step, peer: int) -> None:
    """Tell `peer` what we hold; `echo` is the highest vote of its own that we have (P98), a guest has none."""
    state = step.state
    slot = state.slots.get(state.height + 1)
    holders = state.target_changes if state.mode is Mode.CHANGING else {}
    step.send(
        peer,
        Status(
            epoch=state.members.epoch,
            view=state.view,
            mode=int(state.mode),
            committed_height=state.tip.height,
            committed_id=state.tip.block_id,
            prepared_height=_prepared_height(state),
            executed_height=state.executed,
            has_proposal=slot is not None and slot.pre_prepare is not None and not _unsigned(slot),
            prepares=_bitmap(state, slot.prepares.held if slot is not None else 0),
            commits=_bitmap(state, slot.commits.held if slot is not None else 0),
            view_changes=_bitmap(state, sum(1 << sender for sender in holders)),
            echo=b"" if peer in state.guests else echo_of(state, peer),
        ),
    )


def greet(step: Step, peer: int) -> None:
    """A member connected: tell it what we hold, its own VIEW-CHANGE first, which its journal must know (P98)."""
    change = step.state.highest_changes.get(peer)
    if change is not None:
        step.send(peer, change)
    send_status(step, peer)


def broadcast_status(step: Step) -> None:
    """To each connected member and guest, every STATUS_MS."""
    for index, peer in enumerate(step.state.peers):
        if peer.connected and index != step.state.me:
            send_status(step, index)
    for guest in step.state.guests:
        send_status(step, guest)


def on_guest_status(step: Step, guest: int, message: Status) -> None:
    """A node without a vote follows: it gets the certificates it lacks and is believed in nothing (P37)."""
    if number(message.committed_height):
        _send_certificates(step, guest, message)


def _unsigned(slot: Slot) -> bool:
    return slot.own and (slot.pre_prepare is None or not slot.pre_prepare.signature)


def _bitmap(state: ReplicaState, mask: int) -> bytes:
    return mask.to_bytes(state.members.bitmap_bytes, "little")


def _prepared_height(state: ReplicaState) -> int:
    heights = [height for height, slot in state.slots.items() if slot.prepared is not None]
    return max(heights, default=0)


def on_status(step: Step, peer: int, message: Status) -> None:
    """Keep the last one per peer, repair what it lacks, follow the views it shows (P37, P69, P106)."""
    state = step.state
    width = state.members.bitmap_bytes
    if not (number(message.view) and number(message.committed_height) and number(message.executed_height)):
        step.penalise(peer, "malformed")
        return
    lengths = (len(message.prepares), len(message.commits), len(message.view_changes))
    same = message.epoch == state.members.epoch
    if (same and lengths != (width, width, width)) or len(message.committed_id) != HASH_BYTES:
        step.penalise(peer, "malformed")
        return
    account = state.peers[peer]
    account.status, account.heard_ns = message, step.now
    account.executed = max(account.executed, message.executed_height)
    state.claimed_height = max(state.claimed_height, message.committed_height)
    step.dirty = True
    # A member of a later epoch may hold votes of ours that we cannot judge yet: it is heard when we are there (P98).
    cleared = message.epoch <= state.members.epoch and heard(step, peer, message.echo)
    if same:
        saw_view(state, peer, message.view)
        if state.mode is not Mode.LEARNER:
            _repair(step, peer, message)
            review(step)
        else:
            _send_certificates(step, peer, message)
    elif message.epoch < state.members.epoch:
        _send_certificates(step, peer, message)  # it stands before the barrier
    if cleared:
        try_open(step)  # what waited for the others to be heard (P98)
    resume_sync(step)


def _repair(step: Step, peer: int, status: Status) -> None:
    state = step.state
    _send_certificates(step, peer, status)
    learner = status.mode not in (Mode.NORMAL, Mode.CHANGING)
    if learner:
        return
    behind = status.view < state.view or (status.view == state.view and status.mode == Mode.CHANGING)
    if state.mode is Mode.NORMAL:
        new_view = state.picture.new_view
        if behind and new_view is not None and new_view.view == state.view:
            _help(step, peer, (new_view,))  # P58
        elif status.view == state.view and status.committed_height == state.tip.height:
            _send_slot(step, peer, status)
    elif status.view < state.view:
        own = state.picture.view_change
        if own is None:
            raise InvariantViolated(f"view {state.view} is changed to without a VIEW-CHANGE")
        step.send(peer, own)  # P67
    elif status.view == state.view:
        missing = ~int.from_bytes(status.view_changes, "little")
        changes = state.target_changes
        _help(step, peer, [changes[one] for one in sorted(changes) if missing >> one & 1 and one != peer])


def _help(step: Step, peer: int, messages: Sequence[NewView | ViewChange]) -> None:
    """Send what a view change needs, up to a megabyte: a correct member lacks it once in STATUS_MS (P140)."""
    account = step.state.peers[peer]
    if step.now - account.helped_ns < step.params.status_ms * NS // 2:
        return
    for message in messages:
        account.helped_ns = step.now
        step.send(peer, message)


def _send_certificates(step: Step, peer: int, status: Status) -> None:
    """COMMIT-CERTs of the next heights; a peer that is far behind syncs by itself (P37, P106)."""
    state = step.state
    first = status.committed_height + 1
    last = min(state.tip.height, status.committed_height + 2 * step.params.window)
    for height in range(first, last + 1):
        recent = state.recent.get(height)
        if recent is not None:
            step.send(peer, Committed(recent.certificate))
    if last < state.tip.height:
        step.send(peer, Committed(state.tip_certificate))


def _send_slot(step: Step, peer: int, status: Status) -> None:
    """The slot after the tip, unless it is so young that its messages are still on their way."""
    state = step.state
    height = state.tip.height + 1
    if not status.has_proposal:
        for at in sorted(state.reproposals):
            if primary_of(state, at) == peer:
                _send_origin(step, peer, state.reproposals[at])
    slot = state.slots.get(height)
    if slot is None or step.now - slot.since_ns < step.params.status_ms * NS // 4:
        return
    certificate = slot.prepared or slot.relayed
    if certificate is not None and status.prepared_height < height:
        held = state.blocks.get(certificate.vote.block_id)
        if held is not None:  # after a restart a certificate may be here without its block (swarm seed 249)
            step.send(peer, Prepared(certificate, held.proposal))
    else:
        if slot.pre_prepare is not None and not _unsigned(slot) and not status.has_proposal:
            step.send(peer, slot.pre_prepare)
        _send_votes(step, peer, slot, PREPARE, slot.prepares, status.prepares)
    _send_votes(step, peer, slot, COMMIT, slot.commits, status.commits)


def _send_votes(step: Step, peer: int, slot: Slot, kind: str, tally: Tally, bitmap: bytes) -> None:
    """Verified votes that the peer lacks; unverified ones are checked, for the next time."""
    lacks = ~int.from_bytes(bitmap, "little") & ~(1 << peer)
    unverified = tally.waiting() & lacks
    if unverified:
        verify_votes(step, slot, kind, tally, unverified)
        for block_id in list(tally.blocks):
            ask_votes(step, slot, kind, block_id)
    for signer in indexes(tally.valid & lacks):
        message = tally.votes[signer]
        if isinstance(message, Prepare | Commit):
            step.send(peer, message)


def _send_origin(step: Step, peer: int, block_id: bytes) -> None:
    """The new primary lacks a block it must repeat: PREPARED of the older view carries it (P57)."""
    held = step.state.blocks.get(block_id)
    if held is not None:
        step.send(peer, Prepared(_origin(step.state, block_id), held.proposal))


def _origin(state: ReplicaState, block_id: bytes) -> PreparedCertificate:
    """Return the prepared certificate behind an entry of O, from V of the current NEW-VIEW."""
    best: PreparedCertificate | None = None
    changes = () if state.picture.new_view is None else state.picture.new_view.view_changes
    for change in changes:
        for entry in change.prepared:
            if entry.vote.block_id == block_id and (best is None or entry.vote.view > best.vote.view):
                best = entry
    if best is None:
        raise InvariantViolated("a block is to be repeated that no VIEW-CHANGE of this view shows")
    return best


def ask_proposal(step: Step, height: int) -> None:
    """We must repeat a block we do not hold: show it, by a STATUS, to the members that signed for it (P57).

    The answer brings all blocks of O that are ours to repeat; a later one that is still missing is asked for again.
    """
    state = step.state
    if state.asked_height >= height:
        return
    state.asked_height = height
    for signer in indexes(signers_mask(_origin(state, state.reproposals[height])) & ~(1 << state.me)):
        send_status(step, signer)
