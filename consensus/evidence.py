"""Contradictions that a replica sees: two different signed messages of one member for one slot (P122, P124).

Here they only become the effect `Report`, an operator's alarm: the usual cause is a node that runs twice with
one key. A contradiction never changes what is counted: the first verified message keeps its place (B33), and
never convicts anybody for a vote against some NEW-VIEW (P123). At most one report per (kind, member, view).
"""

from __future__ import annotations

from consensus.messages import Commit, NewView, Prepare, PrePrepare, ViewChange
from consensus.slots import PREPARE, Slot
from consensus.step import Step
from consensus.tally import SignedVote, Tally
from ledger.codec import encode


def second_proposal(step: Step, slot: Slot, second: PrePrepare) -> None:
    """E1: two verified PRE-PREPAREs of one primary for one (view, height)."""
    first = slot.pre_prepare
    if first is None or slot.accused or slot.own or first.vote.block_id == second.vote.block_id:
        return
    slot.accused = True
    step.report("E1", second.sender, first, second)


def second_vote(step: Step, kind: str, tally: Tally, first: SignedVote, second: Prepare | Commit) -> None:
    """E2, E3: two verified PREPAREs, or COMMITs, of one member for one (view, height)."""
    bit = 1 << second.sender
    if tally.accused & bit or first.vote.block_id == second.vote.block_id:
        return
    tally.accused |= bit
    step.report("E2" if kind == PREPARE else "E3", second.sender, first, second)


def second_opening(step: Step, first: ViewChange | NewView, second: ViewChange | NewView) -> None:
    """E4: two verified VIEW-CHANGEs, or NEW-VIEWs, of one member for one view with different bodies."""
    key = ("new-view" if isinstance(second, NewView) else "view-change", second.sender)
    accused = step.state.accused
    if accused.get(key, -1) >= second.view or encode(first) == encode(second):
        return
    accused[key] = second.view
    step.report("E4", second.sender, first, second)
