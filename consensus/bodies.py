"""Bodies of proposed blocks: the verdict of the mempool, and the pull of what is missing (P32, P131)."""

from __future__ import annotations

from consensus.effects import CheckBlock, FetchBodies
from consensus.events import BlockChecked, Verdict
from consensus.slots import Held
from consensus.state import ReplicaState, primary_of
from consensus.step import NS, Step, signers_mask
from consensus.tally import indexes


def check_block(step: Step, held: Held, fresh: bool) -> None:
    """Ask the mempool about a block; answered by BlockChecked (P30i)."""
    held.asked = True
    taken = transactions_in_flight(step.state, held.header.parent_id)
    step.out.append(CheckBlock(block_id=held.block_id, proposal=held.proposal, fresh=fresh, taken=taken))


def transactions_in_flight(state: ReplicaState, parent_id: bytes) -> tuple[bytes, ...]:
    """Return the ids in the block `parent_id` and its uncommitted ancestors: all of them are held (P30e).

    The chain of parents is part of a block's id, so the answer for one block never changes, except that what is
    committed meanwhile moves to the mempool's own memory.
    """
    ids: list[bytes] = []
    held = state.blocks.get(parent_id)
    while held is not None:
        ids += held.proposal.tx_ids
        held = state.blocks.get(held.header.parent_id)
    return tuple(ids)


def on_block_checked(step: Step, event: BlockChecked) -> None:
    """Verdict on a block; MISSING starts the pull from the primary, then from voters (P32, P131)."""
    state = step.state
    held = state.blocks.get(event.block_id)
    if held is None or held.verdict in (Verdict.OK, Verdict.INVALID):
        return
    held.asked = False
    held.verdict = event.verdict
    step.dirty = step.moved = True
    if event.verdict is Verdict.MISSING:
        fetch(step, held)


def fetch(step: Step, held: Held) -> None:
    """Ask the next member that should have the bodies, T_fetch each, then start over (P131)."""
    state = step.state
    first = primary_of(state, held.header.height)
    candidates = _holders(state, held) & ~(1 << state.me if state.me >= 0 else 0)
    rest = candidates & ~held.tried
    held.fetch_at = step.now + step.params.fetch_ms * NS
    step.dirty = True
    if not rest:
        held.tried = 0  # a round is over; the timer starts the next one
        return
    source = first if rest >> first & 1 else indexes(rest)[0]
    held.tried |= 1 << source
    step.out.append(FetchBodies(block_id=held.block_id, source=source))


def _holders(state: ReplicaState, held: Held) -> int:
    """Return the members that voted for a block: its voters have the bodies durably (P33)."""
    block_id, height = held.block_id, held.header.height
    mask = 0
    slot = state.slots.get(height)
    if slot is not None:
        mask |= slot.prepares.blocks.get(block_id, 0) | slot.commits.blocks.get(block_id, 0)
        if slot.block_id == block_id:
            mask |= 1 << primary_of(state, height)
    certificate = state.certificates.get(height)
    if certificate is not None and certificate.vote.block_id == block_id:
        mask |= signers_mask(certificate)
    entry = state.picture.prepared.get(height)
    if entry is not None and entry.vote.block_id == block_id:
        mask |= signers_mask(entry)
    if state.picture.new_view is not None:
        for change in state.picture.new_view.view_changes:
            for one in change.prepared:
                if one.vote.block_id == block_id:
                    mask |= signers_mask(one)
    return mask
