"""Named timers with generations (P65-P70). After every step `update` compares what should run with what runs.

PROGRESS   there is work and no commit: suspect the view; or the primary is silent (P65)
NEW_VIEW   q members are in our target view or beyond, and nobody opens it (P66)
STATUS     repair, repeated suspicion, repeated sync (P37)
HEARTBEAT  the idle primary shows that it is alive
BATCH      the primary's pause before the next block (P45)
FETCH      bodies, or a certified block, are still missing (P131)
"""

from __future__ import annotations

from typing import Final

from consensus.bodies import fetch
from consensus.commit import resume_sync
from consensus.effects import StartTimer, StopTimer
from consensus.epochs import top_height
from consensus.events import CHANGING, NORMAL, Timer, TimerFired, Verdict
from consensus.messages import Heartbeat
from consensus.normal import parent_of
from consensus.propose import batch_deadline, proof_at, proof_due, throttled, unordered
from consensus.repair import broadcast_status
from consensus.slots import Stage
from consensus.state import Armed, ReplicaState, primary_of
from consensus.step import NS, Step
from consensus.viewchange import gathered, new_view_timeout, repeat_suspicion, suspect

WORK, SILENCE, NOTHING = "work", "silence", ""
PROGRESS: Final = Timer.PROGRESS
NEW_VIEW: Final = Timer.NEW_VIEW
STATUS: Final = Timer.STATUS
HEARTBEAT: Final = Timer.HEARTBEAT
BATCH: Final = Timer.BATCH
FETCH: Final = Timer.FETCH


def on_timer(step: Step, event: TimerFired) -> None:
    """A timer of a past generation is ignored by rule (P70)."""
    state = step.state
    armed = state.timers.get(event.timer)
    if armed is None or armed.generation != event.generation:
        return
    del state.timers[event.timer]
    step.dirty = True
    if event.timer is PROGRESS:
        _progress_expired(step)
    elif event.timer is NEW_VIEW:
        new_view_timeout(step)
    elif event.timer is STATUS:
        broadcast_status(step)
        repeat_suspicion(step)
        resume_sync(step)
        arm(step, STATUS, step.now + step.params.status_ms * NS)
    elif event.timer is HEARTBEAT:
        _heartbeat_due(step)
    elif event.timer is FETCH:
        resume_sync(step)
        for held in list(state.blocks.values()):
            if held.verdict is Verdict.MISSING and held.fetch_at <= step.now:
                fetch(step, held)
    # BATCH: the step itself proposes


def arm(step: Step, timer: Timer, deadline_ns: int) -> None:
    """Start a timer, or move it, under a new generation."""
    state = step.state
    generation = state.generations.get(timer, 0) + 1
    state.generations[timer] = generation
    state.timers[timer] = Armed(generation, deadline_ns)
    step.out.append(StartTimer(timer=timer, generation=generation, deadline_ns=deadline_ns))


def disarm(step: Step, timer: Timer) -> None:
    """Stop a timer if it runs."""
    if step.state.timers.pop(timer, None) is not None:
        step.out.append(StopTimer(timer=timer))


def duration(step: Step) -> int:
    """Return T(k) = min(T0 << k, T_CAP) in nanoseconds (P68); the cap keeps recovery short (B6)."""
    return min(step.params.t0_ms << step.state.backoff, step.params.t_cap_ms) * NS


def update(step: Step) -> None:
    """Start and stop timers so that they fit the state."""
    state = step.state
    leads = state.mode is NORMAL and primary_of(state, state.height + 1) == state.me
    _update_progress(step, leads)
    if state.mode is CHANGING or NEW_VIEW in state.timers:
        _update_new_view(step)
    if leads or HEARTBEAT in state.timers:
        _update_heartbeat(step, leads)
    _update_batch(step)
    if state.gap_ns >= 0 or FETCH in state.timers:
        _update_fetch(step)
        return
    for held in state.blocks.values():
        if held.verdict is Verdict.MISSING:
            _update_fetch(step)
            return


# PROGRESS


def progress_kind(state: ReplicaState, wall: int, leads: bool) -> str:
    """Return what the progress timer would wait for: work, a sign of the primary, or nothing (P65).

    `leads`: the primary of the next height is this replica. An idle primary looks at its clock with each STATUS, and
    it may be behind ours by PRECISION_MS: what is due by the clock becomes work that much later here (L56).
    """
    if state.mode is not NORMAL:
        return NOTHING
    if state.reproposals:
        return WORK
    for slot in state.slots.values():
        if slot.stage is Stage.ACCEPTED:
            return WORK
    grace = state.config.params.status_ms + state.config.params.precision_ms
    if proof_due(state, wall - grace) or (state.work.count > 0 and not throttled(state)):
        return WORK
    return NOTHING if leads else SILENCE


def _silence_deadline(step: Step) -> int:
    params = step.params
    return step.state.heard_primary_ns + params.hb_misses * params.hb_ms * NS + duration(step)


def _update_progress(step: Step, leads: bool) -> None:
    state = step.state
    kind = progress_kind(state, step.wall, leads)
    if state.suspecting:
        if state.silent_primary or kind == WORK:
            disarm(step, PROGRESS)
            state.progress_kind = NOTHING
            return
        state.suspecting = False  # the work went away by itself
    if kind == state.progress_kind and not state.restart_progress:
        return
    state.progress_kind, state.restart_progress = kind, False
    if kind == WORK:
        arm(step, PROGRESS, step.now + duration(step))
    elif kind == SILENCE:
        arm(step, PROGRESS, max(step.now, _silence_deadline(step)))
    else:
        disarm(step, PROGRESS)


def _progress_expired(step: Step) -> None:
    state = step.state
    if state.progress_kind == SILENCE:
        deadline = _silence_deadline(step)
        if step.now < deadline:  # it was heard meanwhile
            arm(step, PROGRESS, deadline)
            return
        state.silent_primary = True
    suspect(step)


# the others


def _update_new_view(step: Step) -> None:
    state = step.state
    if state.mode is not CHANGING or not gathered(state):
        disarm(step, NEW_VIEW)
        return
    if NEW_VIEW not in state.timers or state.new_view_for != state.view:
        state.new_view_for = state.view
        arm(step, NEW_VIEW, step.now + duration(step))


def _update_heartbeat(step: Step, leads: bool) -> None:
    state = step.state
    if not leads or state.members.n == 1:
        disarm(step, HEARTBEAT)
    elif HEARTBEAT not in state.timers:
        arm(step, HEARTBEAT, step.now + step.params.hb_ms * NS)


def _heartbeat_due(step: Step) -> None:
    """Only an idle primary beats: a proposal is a sign of life as well (P65)."""
    state = step.state
    if step.now - state.pace.last_sent_ns >= step.params.hb_ms * NS:
        state.pace.last_sent_ns = step.now
        step.broadcast(Heartbeat(state.members.epoch, state.view, state.tip.height, state.tip.block_id))


def _update_batch(step: Step) -> None:
    state = step.state
    due = _propose_at(step)
    if due <= step.now:
        disarm(step, BATCH)
        return
    armed = state.timers.get(BATCH)
    if armed is None or armed.deadline_ns != due:
        arm(step, BATCH, due)


def _propose_at(step: Step) -> int:
    """Return when this primary should look again, or 0 when no clock is waited for (P45, P146)."""
    state = step.state
    height = state.tip.height + 1
    if state.mode is not NORMAL or state.build is not None:
        return 0
    while height <= top_height(state, state.tip.height, step.params.window):
        slot = state.slots.get(height)
        if slot is None or not slot.block_id:
            break
        height += 1
    else:
        return 0
    if primary_of(state, height) != state.me:
        return 0
    if height in state.reproposals:
        return state.pace.hold_until_ns
    if proof_due(state, step.wall) and height == state.tip.height + 1:
        return max(state.pace.hold_until_ns, proof_at(state))
    parent = parent_of(state, height)
    if parent is None or parent.block_id == state.barren or unordered(state, height) == 0:
        return 0
    return max(state.pace.hold_until_ns, batch_deadline(step, height))


def _update_fetch(step: Step) -> None:
    state = step.state
    deadlines = [held.fetch_at for held in state.blocks.values() if held.verdict is Verdict.MISSING]
    if state.gap_ns >= 0:
        gap = state.gap_ns + step.params.fetch_ms * NS
        if gap > step.now:
            deadlines.append(gap)
    if not deadlines:
        disarm(step, FETCH)
        return
    due = max(step.now, min(deadlines))
    armed = state.timers.get(FETCH)
    if armed is None or armed.deadline_ns > due:
        arm(step, FETCH, due)
