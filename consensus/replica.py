"""The door of the package: `Replica.step(event) -> list[Effect]`.

A pure function of state and event (P155): no clock, no chance, no I/O. Effects are performed in list order; a
message leaves only when the journal is durable up to its `after` (P90, P156). `step` never raises on any decoded
message (P159): hostile input is dropped, counted or charged to its peer; a contradiction inside, or a proof that
going on would be wrong, becomes the effect `Halt`, after which nothing is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from consensus.amnesia import own_checked
from consensus.bodies import on_block_checked
from consensus.commit import learn, on_committed, on_executed, on_synced
from consensus.effects import Effect, Halt, HaltReason
from consensus.epochs import change
from consensus.errors import ReplicaHalted
from consensus.events import (
    HALTED,
    AnyEvent,
    BlockBuilt,
    BlockChecked,
    Durable,
    Executed,
    PeerDown,
    PeerUp,
    Received,
    SignaturesChecked,
    Start,
    Stored,
    Synced,
    TimerFired,
    WorkChanged,
)
from consensus.evidence import BAD_NEW_VIEW
from consensus.messages import (
    Commit,
    Committed,
    Heartbeat,
    Message,
    NewView,
    Prepare,
    Prepared,
    PrePrepare,
    Status,
    Suspect,
    ViewChange,
)
from consensus.normal import (
    consider_all,
    on_commit,
    on_pre_prepare,
    on_prepare,
    on_prepared,
    pre_prepare_verified,
    prepared_verified,
    timely_pre_prepare_verified,
    vote_verified,
    votes_checked,
)
from consensus.propose import on_block_built, on_work_changed, propose
from consensus.recovery import initial_state, on_durable, on_stored, resume
from consensus.repair import greet, on_guest_status, on_status, send_status
from consensus.signatures import NEW_VIEW_CONTENT, OWN, VOTES, answered, complete
from consensus.slots import COMMIT, PRE_PREPARE, PREPARE, TIMELY_PRE_PREPARE
from consensus.stall import StallView, why
from consensus.state import ReplicaState
from consensus.step import Completion, Step, VoteSigner
from consensus.timers import on_timer, update
from consensus.validate import NEW_VIEW, VIEW_CHANGE
from consensus.viewchange import (
    false_opening_signed,
    new_view_signed,
    new_view_verified,
    on_heartbeat,
    on_new_view,
    on_suspect,
    on_view_change,
    try_open,
    view_change_verified,
)
from ledger.errors import InvariantViolated

SETTLE_MAX: Final = 64
"""Rounds of reconsidering slots in one step; the window is at most 4, so this is never reached."""


class Replica:
    """One member's consensus machine, or a learner that follows without a vote."""

    __slots__ = ("_signer", "_step")

    def __init__(self, signer: VoteSigner) -> None:
        self._signer = signer
        self._step: Step | None = None

    @property
    def state(self) -> ReplicaState:
        """The state, to be read only; raises `InvariantViolated` before `Start`."""
        if self._step is None:
            raise InvariantViolated("the replica has not started")
        return self._step.state

    def step(self, event: AnyEvent) -> list[Effect]:
        """Take one event, return the effects in the order in which they are to be performed."""
        return self._take(event.now, event.wall, None, event)

    def receive(self, now: int, wall: int, peer: int, message: Message) -> list[Effect]:
        """Do what `step` does with a `Received` of these fields; most events are one, and making it is saved."""
        return self._take(now, wall, peer, message)

    def _take(self, now: int, wall: int, peer: int | None, what: Any) -> list[Effect]:
        """Take a message of a peer, or with None an event."""
        step = self._step
        try:
            if step is None:
                return self._start(what)
            if step.state.mode is HALTED:
                return []
            step.begin(now, wall)
            if peer is None:
                _EVENTS[type(what)](step, what)
            else:
                _receive(step, now, peer, what)
            if step.dirty or step.moved:
                _settle(step)
            return step.out
        except ReplicaHalted as stop:
            return self._halted(stop.reason, stop.detail)
        except InvariantViolated as error:
            return self._halted(HaltReason.INVARIANT, str(error))

    def why(self, now: int) -> StallView:
        """Return what this replica waits for (U21), by the time of day of its last event."""
        return why(self.state, now, self._step.wall if self._step is not None else 0)

    def _start(self, event: Any) -> list[Effect]:
        if not isinstance(event, Start):
            raise InvariantViolated(f"{type(event).__name__} before Start")
        step = self._step = Step(initial_state(event), self._signer, _COMPLETIONS)
        step.now, step.wall = event.now, event.wall
        resume(step, event)
        _settle(step)
        return step.out

    def _halted(self, reason: HaltReason, detail: str) -> list[Effect]:
        """Keep what was emitted before, it is in order; nothing follows (P20)."""
        out: list[Effect] = []
        if self._step is not None:
            out = self._step.out
            self._step.state.mode = HALTED
        out.append(Halt(reason=reason, detail=detail))
        return out


def _settle(step: Step) -> None:
    """Let waiting slots go on, propose, and bring the timers in line."""
    for _ in range(SETTLE_MAX):
        if step.moved:
            step.moved = False
            change(step)
            consider_all(step)
            try_open(step)  # what a collector waited for may have been committed
            continue
        propose(step)
        if not step.moved:
            update(step)
            return
    raise InvariantViolated("the slots do not settle")


# events


def _on_received(step: Step, event: Received) -> None:
    _receive(step, event.now, event.peer, event.message)


def _receive(step: Step, now: int, peer: int, message: Message) -> None:
    state = step.state
    if not 0 <= peer < state.members.n or peer == state.me:
        if peer in state.guests and isinstance(message, Status):
            on_guest_status(step, peer, message)
        else:
            step.reject(peer, "not_a_member")
        return
    state.peers[peer].heard_ns = now
    _MESSAGES[type(message)](step, peer, message)


def _on_signatures(step: Step, event: SignaturesChecked) -> None:
    job = answered(step, event)
    if job is None:
        return
    if job.purpose == VOTES:
        votes_checked(step, job, event.valid)
    elif job.purpose == OWN:
        own_checked(step, job, event.valid)
    else:
        step.dirty = True
        if not complete(step, job, event.valid) and job.purpose == NEW_VIEW_CONTENT:
            false_opening_signed(step, job.peer, job.message)


def _on_peer_up(step: Step, event: PeerUp) -> None:
    state = step.state
    if event.peer >= state.members.n:
        state.guests[event.peer] = None
        send_status(step, event.peer)
        return
    if event.peer < 0 or event.peer == state.me:
        raise InvariantViolated(f"a connection to peer {event.peer}, which is nobody else")
    state.peers[event.peer].connected = True
    greet(step, event.peer)


def _on_peer_down(step: Step, event: PeerDown) -> None:
    state = step.state
    if 0 <= event.peer < state.members.n:
        state.peers[event.peer].connected = False
    state.guests.pop(event.peer, None)


def _on_second_start(_step: Step, _event: Start) -> None:
    raise InvariantViolated("Start comes once")


def _committed_verified(step: Step, _peer: int, message: Message) -> None:
    if not isinstance(message, Committed):
        raise InvariantViolated("a COMMIT-CERT was expected")
    learn(step, message.certificate)


_EVENTS: Final[dict[type, Callable[[Step, Any], None]]] = {
    Received: _on_received,
    SignaturesChecked: _on_signatures,
    BlockBuilt: on_block_built,
    BlockChecked: on_block_checked,
    Executed: on_executed,
    Durable: on_durable,
    Stored: on_stored,
    Synced: on_synced,
    WorkChanged: on_work_changed,
    TimerFired: on_timer,
    PeerUp: _on_peer_up,
    PeerDown: _on_peer_down,
    Start: _on_second_start,
}
"""From type to rule; a table instead of `match`, for speed (performance E6). A test compares it with `AnyEvent`."""

_MESSAGES: Final[dict[type, Callable[[Step, int, Any], None]]] = {
    PrePrepare: on_pre_prepare,
    Prepare: on_prepare,
    Commit: on_commit,
    ViewChange: on_view_change,
    NewView: on_new_view,
    Suspect: on_suspect,
    Heartbeat: on_heartbeat,
    Status: on_status,
    Committed: on_committed,
    Prepared: on_prepared,
}
"""From message to rule; a test compares it with `Message`."""

_COMPLETIONS: Final[dict[str, Completion]] = {
    PRE_PREPARE: pre_prepare_verified,
    TIMELY_PRE_PREPARE: timely_pre_prepare_verified,
    PREPARE: vote_verified,
    COMMIT: vote_verified,
    "prepared": prepared_verified,
    "committed": _committed_verified,
    VIEW_CHANGE: view_change_verified,
    NEW_VIEW: new_view_signed,
    NEW_VIEW_CONTENT: new_view_verified,
    BAD_NEW_VIEW: false_opening_signed,
}
"""What goes on once all signatures of a message are valid."""
