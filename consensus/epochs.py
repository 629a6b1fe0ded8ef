"""The change of epoch (P112-P115): a block decides the next member set, its last header names it, then it begins.

    upon Executed with next_epoch           -> remember the set, which begins at A; nothing at or above A is proposed
                                               before A-1 is final (P113)
    upon A-1 final, the next set known      -> epoch e+1, view 0; slots, SUSPECTs, VIEW-CHANGEs of e are dropped (P114)
    and its decision g in the block store

A replica that learns the set late, because it executes behind, changes the moment it learns it. It cannot have voted
at A before: the result that header A must name is younger than the decision (A = g+L+W+1).
The journal may not speak of members that the block store does not know yet: whoever lost power then could only follow,
and if all of them did, nobody would be left to fetch the blocks from.
"""

from __future__ import annotations

from dataclasses import replace

from consensus.events import EpochSpec, Mode
from consensus.membership import Membership, membership
from consensus.state import Peer, Picture, ReplicaState
from consensus.step import Step, trim_verified
from ledger.errors import InvariantViolated


def last_height(state: ReplicaState) -> int | None:
    """Return A-1, the last height of this epoch, or None while no next epoch is decided (P113)."""
    return None if state.coming is None else state.coming.first_height - 1


def decision_height(state: ReplicaState, coming: Membership) -> int:
    """Return g, the height of the block that decided an epoch: A = g+L+W+1 (P112)."""
    params = state.config.params
    return coming.first_height - 1 - params.exec_lag - params.window


def top_height(state: ReplicaState, base: int, window: int) -> int:
    """Return the highest height that may be in flight above `base`: the window, clipped at A-1 (P113)."""
    last = last_height(state)
    return base + window if last is None else min(base + window, last)


def next_members_hash(state: ReplicaState, height: int) -> bytes:
    """Return what the header of `height` says about the members of the next one: another set only at A-1 (P114)."""
    if state.coming is not None and height == state.coming.first_height - 1:
        return state.coming.members_hash
    return state.members.members_hash


def decided(step: Step, spec: EpochSpec) -> None:
    """A block that was executed here decided the next epoch (P112); the same decision may be told again."""
    state = step.state
    if spec.epoch <= state.members.epoch:
        return  # a block executed again after a restart
    if spec.epoch != state.members.epoch + 1:
        raise InvariantViolated(f"epoch {spec.epoch} is decided in epoch {state.members.epoch}")
    config = state.config
    state.coming = membership(spec, config.chain_id, config.params.rotate_every, state.members)


def ends(state: ReplicaState) -> bool:
    """Tell whether the last block of this epoch is final here, and the next set known (P114)."""
    return state.coming is not None and state.tip.height >= state.coming.first_height - 1


def change(step: Step) -> None:
    """Begin the next epoch if its set is known and A-1 is final here (P114).

    Called when the rule of an event is done, never in its middle: it may still hold indexes and views of the old epoch.
    """
    state = step.state
    coming = state.coming
    if coming is None or not ends(state) or state.stored < decision_height(state, coming):
        return
    former, state.members, state.coming = state.members, coming, None
    company = state.config.company_id or (former.company_ids[state.me] if state.me >= 0 else "")
    _move_peers(state, former.company_ids)
    state.me = coming.company_ids.index(company) if company in coming.company_ids else -1
    _forget(state)
    voting = state.journaling and state.mode in (Mode.NORMAL, Mode.CHANGING)
    joined = state.unused and state.me >= 0  # its journal never held a vote, so nothing can be missing from it
    state.mode = Mode.NORMAL if state.me >= 0 and (voting or joined) else Mode.LEARNER
    if voting or joined:
        state.journaling = True
        picture = Picture(state.config.journal_id, coming.epoch, 0, state.mode, state.tip_certificate)
        step.persist(picture.anchor())
        state.journaling = state.mode is Mode.NORMAL
    else:
        state.picture = replace(state.picture, epoch=coming.epoch, view=0)
    if joined:
        state.unused = False
    if state.journaling and state.replayed:
        state.heard, state.cleared = 0, coming.q == 1  # P98: ask once more, now for votes of this epoch
    state.heard_primary_ns = step.now
    step.count("epoch_changed")
    step.dirty = step.moved = True


def _move_peers(state: ReplicaState, former: tuple[str, ...]) -> None:
    """Give each company that stays its account at the new index, without what it said in the old epoch."""
    old = dict(zip(former, state.peers, strict=True))
    peers = []
    for company in state.members.company_ids:
        known = old.get(company, Peer())
        peers.append(
            Peer(
                connected=known.connected,
                heard_ns=known.heard_ns,
                executed=known.executed,
                answered_ns=known.answered_ns,
                helped_ns=known.helped_ns,
            )
        )
    state.peers = peers


def _forget(state: ReplicaState) -> None:
    """Drop everything that belongs to a view of the old epoch: the decisions up to A-1 are all that is left of it."""
    state.view, state.base = 0, state.members.first_height - 1
    state.guests = {index: None for index in state.guests if index >= state.members.n}
    state.slots, state.later, state.reproposals, state.spoken = {}, {}, {}, {}
    state.blocks, state.jobs = {}, {}
    state.highest_changes, state.target_changes, state.accused = {}, {}, {}
    state.certificates = {
        height: one for height, one in state.certificates.items() if one.vote.epoch == state.members.epoch
    }
    state.backoff, state.asked_height, state.new_view_for = 0, 0, -1
    state.farthest_view, state.suspected_view = 0, -1
    state.suspecting = state.censored = state.silent_primary = False
    state.build, state.barren = None, b""
    state.restart_progress = True
    trim_verified(state)
