"""The view change (P50-P60, P66-P69).

upon an expired timer:                    SUSPECT(v) to all, and keep voting
upon f+1 members against v:               persist Left, VIEW-CHANGE(v') to all, stop voting below v'
upon f+1 members known in views >= v':    the same, to the (f+1)-th largest view known
upon q VIEW-CHANGE(v') at rot[v' mod m]:  persist Entered, NEW-VIEW(v') to all
upon a valid NEW-VIEW(v'), v' not below:  persist Entered, repeat the blocks of O, go on
"""

from __future__ import annotations

from consensus.amnesia import claimed, in_view_change, keep_votes
from consensus.commit import learn, start_sync
from consensus.effects import HaltReason
from consensus.events import Mode
from consensus.evidence import BAD_NEW_VIEW, amnesia, false_opening, keep_commits, second_opening
from consensus.later import ask_help
from consensus.messages import Committed, Heartbeat, Message, NewView, Prepare, PrePrepare, Suspect, ViewChange
from consensus.normal import judge_pre_prepare, on_commit, on_prepare
from consensus.records import Entered, Left
from consensus.signatures import NEW_VIEW_CONTENT, require
from consensus.state import ReplicaState, primary_of, saw_view
from consensus.step import NS, Step, signers_here
from consensus.validate import (
    NEW_VIEW,
    NUMBER_MAX,
    VIEW_CHANGE,
    Contradiction,
    Opening,
    new_view,
    new_view_body,
    new_view_items,
    new_view_own_item,
    number,
    opening,
    view_change,
    view_change_body,
    view_change_items,
)
from ledger.crypto.ed25519 import SIGNATURE_BYTES
from ledger.errors import InvariantViolated

BACKOFF_MAX = 32
"""The exponent of P68 stops here; T_CAP has bounded the duration long before."""


# suspicion


def suspect(step: Step) -> None:
    """The progress timer expired: doubt the view, say so, keep voting (P50)."""
    state = step.state
    state.suspecting = True
    step.count("suspected")
    step.broadcast(Suspect(state.members.epoch, state.view))
    review(step)


def suspect_censorship(step: Step, overdue: bool) -> None:
    """The mempool says whether the primary passed a transaction over; commits of others end nothing (P51, P132)."""
    state = step.state
    rising = overdue and not state.censored
    state.censored = overdue
    if rising and state.mode is Mode.NORMAL:
        step.count("suspected_censorship")
        step.broadcast(Suspect(state.members.epoch, state.view))
        review(step)


def repeat_suspicion(step: Step) -> None:
    """Every STATUS_MS until a commit or leaving; for a censored transaction until that one commits (P51)."""
    state = step.state
    if (state.suspecting or state.censored) and state.mode is Mode.NORMAL:
        step.broadcast(Suspect(state.members.epoch, state.view))


def on_suspect(step: Step, peer: int, message: Suspect) -> None:
    """One place per sender, with the time of receipt (P139)."""
    state = step.state
    if message.epoch != state.members.epoch:
        step.reject(peer, "other_epoch")
        return
    if not number(message.view):
        step.penalise(peer, "number_out_of_range")
        return
    if message.view < state.view:
        return
    account = state.peers[peer]
    account.suspects, account.suspected_ns = message.view, step.now
    state.suspected_view = max(state.suspected_view, message.view)
    review(step)


def on_heartbeat(step: Step, peer: int, message: Heartbeat) -> None:
    """The idle primary is alive (P65)."""
    state = step.state
    if message.epoch != state.members.epoch:
        step.reject(peer, "other_epoch")
        return
    if message.view != state.view or state.mode is not Mode.NORMAL:
        return
    if peer != primary_of(state, state.height + 1):  # where turns are planned, one of us may stand elsewhere
        step.reject(peer, "not_the_primary")
        return
    state.heard_primary_ns = step.now
    if state.suspecting and state.silent_primary:
        state.suspecting = state.silent_primary = False
    step.dirty = True


def review(step: Step) -> None:
    """Leave the view if enough members are against it, or already beyond it (P51, P69)."""
    state = step.state
    if state.mode not in (Mode.NORMAL, Mode.CHANGING) or not state.cleared:
        return
    step.dirty = True
    calm = not (state.suspecting or state.censored) and state.suspected_view < state.view
    if calm and state.farthest_view <= state.view:
        return  # nobody at all is against it
    members = state.members
    views = sorted((peer.known_view for peer in state.peers), reverse=True)
    reached = views[members.f]  # the (f+1)-th largest: at least one correct replica is there
    if reached > state.view:
        leave(step, reached)
        return
    if state.mode is not Mode.NORMAL:
        return
    ttl = step.params.suspect_ttl_ms * NS
    against = 0
    for index, peer in enumerate(state.peers):
        if index == state.me:
            against += state.suspecting or state.censored
        else:
            recent = peer.suspects >= state.view and step.now - peer.suspected_ns < ttl
            against += recent or peer.known_view > state.view
    if against >= members.weak:
        leave(step, members.next_view(state.view, state.height + 1, state.base))


# leaving


def leave(step: Step, target: int) -> None:
    """Move to `target` and say with certificates what was prepared here; frozen per view (P52)."""
    state = step.state
    if not state.view < target < NUMBER_MAX:
        raise InvariantViolated(f"leaving view {state.view} for {target}")
    picture = state.picture
    unsigned = ViewChange(
        state.members.epoch,
        state.me,
        target,
        picture.committed,
        tuple(picture.prepared[height] for height in sorted(picture.prepared)),
        b"",
    )
    signature = step.sign(VIEW_CHANGE, view_change_body(unsigned))
    change = ViewChange(unsigned.epoch, unsigned.sender, unsigned.view, unsigned.base, unsigned.prepared, signature)
    step.persist(Left(change))
    step.count("view_left")
    _move(step, target, Mode.CHANGING)
    state.target_changes = {sender: one for sender, one in state.highest_changes.items() if one.view == target}
    state.target_changes[state.me] = change
    step.broadcast(change)
    try_open(step)


def _move(step: Step, view: int, mode: Mode) -> None:
    """Change view or mode: acceptance goes, certificates stay (P60); back-off grows with the view (P68)."""
    state = step.state
    if view > state.view:
        state.backoff = min(state.backoff + 1, BACKOFF_MAX)
        state.pace.cap_txs = max(min(64, step.params.max_block_txs), state.pace.cap_txs // 2)  # P46
    keep_commits(step)
    state.view, state.mode = view, mode
    for slot in state.slots.values():
        keep_votes(state, slot)
    state.slots = {}
    state.reproposals = {}
    state.build = None
    state.suspecting = state.silent_primary = state.censored = False
    state.asked_height = 0
    state.barren = b""
    state.heard_primary_ns = step.now
    state.restart_progress = True
    if state.me >= 0:
        saw_view(state, state.me, view)
    kept = {one.vote.block_id for one in state.picture.accepted}
    kept |= {certificate.vote.block_id for certificate in state.picture.prepared.values()}
    kept |= {certificate.vote.block_id for certificate in state.certificates.values()}
    state.blocks = {block_id: held for block_id, held in state.blocks.items() if block_id in kept}
    step.dirty = True


# VIEW-CHANGE


def on_view_change(step: Step, peer: int, message: ViewChange) -> None:
    """Free place first, then shape, then signatures (P53, P137, P139)."""
    state = step.state
    sender = message.sender
    if message.epoch != state.members.epoch:
        step.reject(peer, "other_epoch")
        return
    if not 0 <= sender < state.members.n or not 0 < message.view < NUMBER_MAX:
        step.penalise(peer, "malformed")
        return
    if sender == state.me:
        claimed(step, peer, message)
        return
    if state.mode is Mode.LEARNER:
        return
    if message.view < state.view or (message.view == state.view and state.mode is Mode.NORMAL):
        if sender == peer:
            ask_help(step, peer)
        return
    highest = state.highest_changes.get(sender)
    if highest is not None:
        if highest.view > message.view and (message.view != state.view or sender in state.target_changes):
            return
        if highest.view == message.view and (
            highest == message or state.accused.get(("view-change", sender), -1) >= message.view
        ):
            return
    problem = view_change(message, state.members, state.config.genesis_id, step.params.window)
    if problem:
        step.penalise(peer, problem)  # P54: voids this one only
        return
    require(step, VIEW_CHANGE, peer, message, view_change_items(message))


def view_change_verified(step: Step, _peer: int, message: Message) -> None:
    """Keep the highest per sender and the one for our own target; look at what it says (P139)."""
    if not isinstance(message, ViewChange):
        raise InvariantViolated("a VIEW-CHANGE was expected")
    state = step.state
    sender = message.sender
    amnesia(step, message)
    in_view_change(step, message)
    highest = state.highest_changes.get(sender)
    if highest is not None and highest.view == message.view:
        second_opening(step, highest, message)
        return
    if highest is None or highest.view < message.view:
        state.highest_changes[sender] = message
    if message.view == state.view and state.mode is Mode.CHANGING:
        state.target_changes.setdefault(sender, message)
    saw_view(state, sender, message.view)
    learn(step, message.base)
    review(step)
    try_open(step)


# NEW-VIEW


def try_open(step: Step) -> None:
    """The collector of our target view has q VIEW-CHANGEs whose bases it has reached itself: open it (P56, P66).

    With a window, a liar may hold the certificate of a height and hide the one below it; nobody could go on from such a
    base. What a correct member committed can be fetched, and then this is asked again.
    """
    state = step.state
    members = state.members
    step.dirty = True
    if state.mode is not Mode.CHANGING or members.collector(state.view) != state.me or not state.cleared:
        return
    tip = state.tip.height
    reached = {sender: one for sender, one in state.target_changes.items() if one.base.vote.height <= tip}
    if len(reached) < members.q or state.me not in reached:
        return
    others = [sender for sender in sorted(reached) if sender != state.me][: members.q - 1]
    chosen = tuple(reached[sender] for sender in sorted([*others, state.me]))
    outcome = opening(chosen)
    if isinstance(outcome, Contradiction):
        step.halt(HaltReason.SAFETY_VIOLATION, outcome.detail)
        return
    unsigned = NewView(members.epoch, state.me, state.view, chosen, outcome.reproposals(), b"")
    signature = step.sign(NEW_VIEW, new_view_body(unsigned))
    message = NewView(
        unsigned.epoch, unsigned.sender, unsigned.view, unsigned.view_changes, unsigned.reproposals, signature
    )
    enter(step, message, outcome)


def on_new_view(step: Step, peer: int, message: NewView) -> None:
    """Shape, then the collector's own signature, then all of V (P56)."""
    state = step.state
    if message.epoch != state.members.epoch:
        step.reject(peer, "other_epoch")
        return
    if not 0 < message.view < NUMBER_MAX:
        step.penalise(peer, "number_out_of_range")
        return
    if message.sender == state.me:
        claimed(step, peer, message)
        return
    current = state.picture.new_view
    if current is not None and current.view == message.view == state.view and current.sender == message.sender:
        if current != message and state.accused.get(("new-view", message.sender), -1) < message.view:
            _check_new_view(step, peer, message)
        return
    if message.view < state.view or (message.view == state.view and state.mode is not Mode.CHANGING):
        return
    _check_new_view(step, peer, message)


def _check_new_view(step: Step, peer: int, message: NewView) -> None:
    state = step.state
    problem = new_view(message, state.members, state.config.genesis_id, step.params.window)
    if not problem:
        require(step, NEW_VIEW, peer, message, (new_view_own_item(message),))
        return
    step.penalise(peer, problem)
    signed = len(message.signature) == SIGNATURE_BYTES and 0 <= message.sender < state.members.n
    if signed and state.accused.get((BAD_NEW_VIEW, message.sender), -1) < message.view:
        require(step, BAD_NEW_VIEW, peer, message, (new_view_own_item(message),))  # E5, if it really is its own


def false_opening_signed(step: Step, _peer: int, message: Message) -> None:
    """Its sender did sign what no correct collector signs, or passed on a forged signature inside it (E5)."""
    if not isinstance(message, NewView):
        raise InvariantViolated("a NEW-VIEW was expected")
    false_opening(step, message)


def new_view_signed(step: Step, peer: int, message: Message) -> None:
    """The collector did sign this: now everything inside."""
    if not isinstance(message, NewView):
        raise InvariantViolated("a NEW-VIEW was expected")
    require(step, NEW_VIEW_CONTENT, peer, message, new_view_items(message))


def new_view_verified(step: Step, _peer: int, message: Message) -> None:
    """All signatures are good: recompute O(V) and enter (P56, P57)."""
    if not isinstance(message, NewView):
        raise InvariantViolated("a NEW-VIEW was expected")
    state = step.state
    outcome = opening(message.view_changes)
    if isinstance(outcome, Contradiction):
        step.halt(HaltReason.SAFETY_VIOLATION, outcome.detail)
        return
    if outcome.reproposals() != message.reproposals:
        step.count("wrong_reproposals")
        step.penalise(message.sender, "wrong_reproposals")
        false_opening(step, message)
        return
    current = state.picture.new_view
    if current is not None and current.view == message.view and state.view == message.view:
        second_opening(step, current, message)
        return
    for change in message.view_changes:
        in_view_change(step, change)
        saw_view(state, change.sender, change.view)
        amnesia(step, change)
    _check_history(step, message, outcome)
    if message.view < state.view or (message.view == state.view and state.mode is not Mode.CHANGING):
        return
    enter(step, message, outcome)


def _check_history(step: Step, message: NewView, outcome: Opening) -> None:
    """A later view that would decide a committed height otherwise is proof of a fork (P36)."""
    for height, block_id in message.reproposals:
        recent = step.state.recent.get(height)
        if recent is None or recent.reference.block_id == block_id:
            continue
        if recent.certificate.vote.view < message.view:
            step.halt(HaltReason.SAFETY_VIOLATION, f"view {message.view} repeats another block at height {height}")
    learn(step, outcome.base)


def enter(step: Step, message: NewView, outcome: Opening) -> None:
    """Adopt NEW-VIEW(v'): durable before the first vote in it (P57)."""
    state = step.state
    learner = state.mode is Mode.LEARNER
    step.persist(Entered(message))
    step.count("view_entered")
    if message.sender == state.me:
        step.broadcast(message)
    _move(step, message.view, Mode.LEARNER if learner else Mode.NORMAL)
    if learner:
        state.picture.new_view = message  # followed, not voted in; kept to answer others
        state.picture.view = message.view
    state.target_changes = {}
    state.highest_changes = {sender: one for sender, one in state.highest_changes.items() if one.view > message.view}
    adopt_opening(state, outcome)
    learn(step, outcome.base)
    base = outcome.base.vote.height
    if base > state.tip.height:
        start_sync(step, base, outcome.base, signers_here(state, outcome.base))
    for height in range(base + 1, min(state.tip.height, base + step.params.window) + 1):  # P36: push once
        recent = state.recent.get(height)
        if recent is not None and not learner:
            step.broadcast(Committed(recent.certificate))
    step.moved = True
    if not learner:
        replay_later(step)


def adopt_opening(state: ReplicaState, outcome: Opening) -> None:
    """Set base* and the part of O that is not committed here (P57)."""
    state.base = outcome.base.vote.height
    state.reproposals = {
        entry.vote.height: entry.vote.block_id for entry in outcome.entries if entry.vote.height > state.tip.height
    }


def replay_later(step: Step) -> None:
    """Feed the votes that waited for the view just entered (P38).

    A certificate in one of them may show a vote of ours that the journal forgot: then we vote no more (P98).
    """
    state = step.state
    due = [signer for signer in sorted(state.later) if state.later[signer].view <= state.view]
    for signer, later in [(signer, state.later.pop(signer)) for signer in due]:
        if later.view != state.view:
            continue
        for message, wall in later.votes.values():
            if message.vote.height <= state.height or state.mode is not Mode.NORMAL:
                continue
            if isinstance(message, PrePrepare):
                judge_pre_prepare(step, signer, message, wall)
            elif isinstance(message, Prepare):
                on_prepare(step, signer, message)
            else:
                on_commit(step, signer, message)


# timer


def new_view_timeout(step: Step) -> None:
    """T_nv: q members are here and nobody opened the view: go on to the next one (P66)."""
    state = step.state
    if state.mode is Mode.CHANGING and state.cleared:
        leave(step, state.view + 1)


def gathered(state: ReplicaState) -> bool:
    """Tell whether q members, own included, are known in our target view or beyond (P66)."""
    return sum(1 for peer in state.peers if peer.known_view >= state.view) >= state.members.q
