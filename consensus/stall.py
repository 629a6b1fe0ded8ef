"""Why is nothing happening? The data behind that sentence (U21); wording is the caller's business."""

from __future__ import annotations

from dataclasses import dataclass

from consensus.events import CHANGING, HALTED, LEARNER, NORMAL, Mode, Timer
from consensus.messages import Status
from consensus.propose import proof_due, throttled
from consensus.slots import Stage
from consensus.state import ReplicaState, leader_of


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """What this replica knows about one member. `heard_ns` is the age of its last message, -1 if there was none.

    `mode` is what its last STATUS said, None before the first one.
    """

    index: int
    company_id: str
    own: bool
    connected: bool
    view: int
    height: int
    executed: int
    heard_ns: int
    suspects: bool
    mode: Mode | None

    @property
    def votes(self) -> bool:
        """Whether it votes as far as is known here: a learner, as one with a lost journal is, only follows (P97)."""
        return self.mode is None or self.mode in (NORMAL, CHANGING)


@dataclass(frozen=True, slots=True, kw_only=True)
class StallView:
    """A picture for people. `waiting_for` is one stable word; `deadline_ns` counts from now, -1 without a timer.

    silenced: the own signature that the journal forgot, for a learner that found one; else empty (P97).
    reachable: members that are linked and vote, this replica included if it does.
    waiting_for: halted, learner, quorum (too few members reachable), echo (after a restart, until q-1 others were
    heard, P98), view_change (members missing in the target view), new_view (enough are there, its collector is
    silent), sync (certified blocks are missing here), execution (results lag), proposal (the primary has not
    proposed), bodies, refused (this replica does not accept the block of the primary; `slot_reason` says why),
    votes, or nothing.
    """

    mode: Mode
    view: int
    height: int
    executed: int
    n: int
    f: int
    q: int
    reachable: int
    primary: int
    in_target_view: int
    waiting_for: str
    silenced: str
    slot_reason: str
    suspecting: bool
    timer: Timer | None
    deadline_ns: int
    pending: int
    oldest_ns: int
    idle_ns: int
    members: tuple[MemberView, ...]


def why(state: ReplicaState, now: int, wall: int) -> StallView:
    """Return what the replica waits for at `now`; `wall` is the time of day then."""
    members = tuple(_member(state, index, now) for index in range(state.members.n))
    reachable = sum(1 for member in members if member.votes and (member.connected or member.own))
    timer = Timer.PROGRESS if state.mode is Mode.NORMAL else Timer.NEW_VIEW
    armed = state.timers.get(timer)
    slot = state.slots.get(state.height + 1)
    return StallView(
        mode=state.mode,
        view=state.view,
        height=state.tip.height,
        executed=state.executed,
        n=state.members.n,
        f=state.members.f,
        q=state.members.q,
        reachable=reachable,
        primary=leader_of(state),
        in_target_view=sum(1 for peer in state.peers if peer.known_view >= state.view),
        waiting_for=_waiting_for(state, reachable, wall),
        silenced=state.silenced,
        slot_reason=slot.reason if slot is not None else "",
        suspecting=state.suspecting or state.censored,
        timer=timer if armed is not None else None,
        deadline_ns=max(0, armed.deadline_ns - now) if armed is not None else -1,
        pending=state.work.count,
        oldest_ns=max(0, now - state.work.oldest_ns) if state.work.count else 0,
        idle_ns=max(0, now - state.pace.last_commit_ns),
        members=members,
    )


def _member(state: ReplicaState, index: int, now: int) -> MemberView:
    peer = state.peers[index]
    own = index == state.me
    status = peer.status
    return MemberView(
        index=index,
        company_id=state.members.company_ids[index],
        own=own,
        connected=peer.connected,
        view=state.view if own else peer.known_view,
        height=state.tip.height if own else (status.committed_height if status is not None else 0),
        executed=state.executed if own else peer.executed,
        heard_ns=now - peer.heard_ns if peer.heard_ns else -1,
        suspects=state.suspecting or state.censored if own else peer.suspects >= state.view,
        mode=state.mode if own else _mode(status),
    )


def _mode(status: Status | None) -> Mode | None:
    """Return what a member said of itself; a number that is no mode comes from a liar, and promises no vote."""
    if status is None:
        return None
    return Mode(status.mode) if status.mode <= HALTED else LEARNER


def _waiting_for(state: ReplicaState, reachable: int, wall: int) -> str:
    if state.mode is Mode.HALTED:
        return "halted"
    if state.mode is Mode.LEARNER:
        return "learner"
    if reachable < state.members.q:
        return "quorum"
    if not state.cleared:
        return "echo"
    if state.mode is Mode.CHANGING:
        gathered = sum(1 for peer in state.peers if peer.known_view >= state.view)
        return "new_view" if gathered >= state.members.q else "view_change"
    if state.certificates or state.tip.height < state.height:
        return "sync"
    slot = state.slots.get(state.height + 1)
    if slot is not None and slot.stage is Stage.REJECTED and slot.prepared is None:  # else the others decide it
        return "refused"
    if slot is not None and slot.block_id:
        return slot.reason if slot.reason in ("bodies", "execution", "execution_lag") else "votes"
    if state.work.count or proof_due(state, wall) or state.reproposals:
        return "execution" if throttled(state) else "proposal"
    return "nothing"
