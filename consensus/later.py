"""Votes that come before or after their time (P36, P38, P58, P138)."""

from __future__ import annotations

from consensus.effects import SignatureItem
from consensus.events import Mode
from consensus.messages import Commit, Committed, Prepare, PrePrepare
from consensus.slots import PRE_PREPARE, Later
from consensus.step import NS, Step, remember
from ledger.codec import encode


def buffer_later(step: Step, peer: int, message: PrePrepare | Prepare | Commit, kind: str) -> None:
    """Keep a vote of its signer's highest later view; only from its own channel (P38, P138)."""
    state = step.state
    sender = message.sender
    if peer != sender or sender == state.me or state.mode is Mode.LEARNER:
        return
    view = message.vote.view
    if kind == PRE_PREPARE and state.members.rotate_every == 0 and state.members.collector(view) != sender:
        return
    later = state.later.get(sender)
    if later is None or later.view < view:
        later = state.later[sender] = Later(view)
    elif later.view > view:
        return
    low = state.height
    for key in [key for key in later.votes if key[1] <= low]:
        del later.votes[key]
    later.votes.setdefault((kind, message.vote.height), (message, step.wall))


def late(step: Step, peer: int, height: int) -> None:
    """A vote for a height that is over since a while: its sender is behind; COMMIT-CERT, rate-limited (P36)."""
    state = step.state
    recent = state.recent.get(height)
    period = step.params.status_ms * NS
    account = state.peers[peer]
    if recent is None or step.now - recent.committed_ns < period or step.now - account.answered_ns < period:
        return
    account.answered_ns = step.now
    step.send(peer, Committed(recent.certificate))


def ask_help(step: Step, peer: int) -> None:
    """The peer votes in a view that was left: show it the proof of ours, rate-limited (P58)."""
    state = step.state
    new_view = state.picture.new_view
    account = state.peers[peer]
    if state.mode is not Mode.NORMAL or new_view is None or new_view.view != state.view:
        return
    if step.now - account.helped_ns < step.params.status_ms * NS:
        return
    account.helped_ns = step.now
    step.send(peer, new_view)


def remember_own(step: Step, kind: str, message: Prepare | Commit | PrePrepare) -> None:
    """After a restart: our own recorded signature is valid without asking anyone."""
    vote = message.vote
    item = SignatureItem(kind, encode(vote), vote.epoch, message.sender, message.signature)
    remember(step.state, (item,))
