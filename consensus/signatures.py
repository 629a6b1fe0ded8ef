"""Which signatures are asked for, and what happens with the answers (P17, P18, P163).

Verified signatures are remembered, because certificates repeat them. A message is judged as a whole: one bad
signature voids it and is charged to the peer that handed it in. Votes in a slot are judged one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from consensus.effects import SignatureItem, VerifySignatures
from consensus.events import SignaturesChecked
from consensus.messages import Message
from consensus.state import Job
from consensus.step import Step, is_verified, remember
from ledger.errors import InvariantViolated

UNVERIFIED_MAX: Final = 64
"""Signatures of one peer's messages that may be out for verification at once (P140)."""
VOTES: Final = "votes"
OWN: Final = "own"
"""A signature that is said to be ours (P98); one of several kinds, any valid one counts."""
NEW_VIEW_CONTENT: Final = "new-view-content"
"""The signatures inside a NEW-VIEW that its collector did sign: more than one peer's share, so counted apart."""


def require(step: Step, purpose: str, peer: int, subject: Message, items: Iterable[SignatureItem]) -> None:
    """Go on with `subject` under `purpose` once all `items` are valid; at once if all are known to be."""
    state = step.state
    unknown = tuple(item for item in dict.fromkeys(items) if not is_verified(state, item))
    if not unknown:
        step.completions[purpose](step, peer, subject)
        return
    if purpose == NEW_VIEW_CONTENT:
        if any(job.purpose == NEW_VIEW_CONTENT and job.peer == peer for job in state.jobs.values()):
            step.reject(peer, "too_many_unverified")  # one of each peer at a time; STATUS brings it again (P139)
            return
    else:
        account = state.peers[peer]
        if account.in_check and account.in_check + len(unknown) > UNVERIFIED_MAX:
            step.reject(peer, "too_many_unverified")
            return
        account.in_check += len(unknown)
    _ask(step, Job(purpose, peer, subject, unknown))


def require_any(step: Step, purpose: str, peer: int, subject: Message, items: tuple[SignatureItem, ...]) -> None:
    """Verify `items`, of which one valid is enough for `purpose`; at most one such question a peer at a time (P140)."""
    state = step.state
    if any(job.purpose == purpose and job.peer == peer for job in state.jobs.values()):
        step.reject(peer, "too_many_unverified")
        return
    _ask(step, Job(purpose, peer, subject, items))


def require_votes(step: Step, kind: str, view: int, height: int, mask: int, items: tuple[SignatureItem, ...]) -> None:
    """Verify votes that hold their places already; the answer goes to the purpose `votes`."""
    _ask(step, Job(VOTES, -1, (kind, view, height, mask), items))


def _ask(step: Step, job: Job) -> None:
    state = step.state
    state.token += 1
    state.jobs[state.token] = job
    step.out.append(VerifySignatures(token=state.token, items=job.items))


def answered(step: Step, event: SignaturesChecked) -> Job | None:
    """Take the job of an answer and remember what is valid; None for a stale token (P158)."""
    state = step.state
    job = state.jobs.pop(event.token, None)
    if job is None:
        return None
    if event.valid < 0:
        raise InvariantViolated("a mask of verdicts is never negative")
    if 0 <= job.peer < len(state.peers) and job.purpose not in (NEW_VIEW_CONTENT, OWN):
        account = state.peers[job.peer]
        account.in_check = max(0, account.in_check - len(job.items))
    remember(state, (item for position, item in enumerate(job.items) if event.valid >> position & 1))
    return job


def complete(step: Step, job: Job, valid: int) -> bool:
    """Go on with a message whose signatures were checked, or charge the peer; tell whether all were good."""
    if valid & ((1 << len(job.items)) - 1) != (1 << len(job.items)) - 1:
        step.count("bad_signature")
        step.penalise(job.peer, "bad_signature")
        return False
    step.completions[job.purpose](step, job.peer, job.message)
    return True
