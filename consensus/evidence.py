"""Provable misbehaviour: found here, judged here, put on the chain by the node around (P122-P126).

    E1  two PRE-PREPAREs        E2  two PREPAREs, or a PRE-PREPARE and a PREPARE       for one (view, height),
    E3  two COMMITs                                                                    different blocks
    E4  two VIEW-CHANGEs, or two NEW-VIEWs, for one view, different bodies
    E5  a NEW-VIEW whose V is invalid, or whose O is not O(V)
    E6  amnesia: COMMIT(u, s) and a VIEW-CHANGE beyond u with a base below s that shows nothing of view u or later at s

An item is self-contained: the signed bodies and their signatures. `judge` is pure and needs only the members of the
epoch. A correct member never signs what convicts it (I16): one vote per place and one opening per view are durable
before they leave (P90), a COMMIT implies a durable certificate that stays until its height is final (P60), and a
collector computes O and checks V before it signs. A vote against the O of some NEW-VIEW is no evidence (P123): a lying
collector can show two of them, and is guilty by E4; such a vote is only counted.

A contradiction never changes what is counted: the first verified message keeps its place (B33, P124).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from consensus.effects import Report, SignatureItem
from consensus.membership import Membership
from consensus.messages import Commit, NewView, Prepare, PreparedCertificate, PrePrepare, ViewChange
from consensus.slots import COMMIT, PRE_PREPARE, PREPARE, Slot
from consensus.step import Step, signers_mask
from consensus.tally import SignedVote, Tally, indexes
from consensus.validate import (
    NEW_VIEW,
    VIEW_CHANGE,
    Contradiction,
    new_view,
    new_view_body,
    new_view_items,
    number,
    opening,
    view_change_body,
    vote_shape,
)
from ledger.certificate import CommitCertificate, Vote
from ledger.codec import Codec, Wire, encode
from ledger.crypto.ed25519 import SIGNATURE_BYTES
from ledger.errors import LedgerError
from ledger.evidence import ITEM_BYTES_MAX, Evidence, Statement

BAD_NEW_VIEW: Final = "bad-new-view"
"""Purpose of verifying the collector's signature on a NEW-VIEW that is wrong."""
AMNESIA: Final = "amnesia"


class ViewChangeBody(Wire, frozen=True):
    """What is signed of a VIEW-CHANGE: all fields but the signature (P11)."""

    epoch: int
    sender: int
    view: int
    base: CommitCertificate
    prepared: tuple[PreparedCertificate, ...]


class NewViewBody(Wire, frozen=True):
    """What is signed of a NEW-VIEW (P11)."""

    epoch: int
    sender: int
    view: int
    view_changes: tuple[ViewChange, ...]
    reproposals: tuple[tuple[int, bytes], ...]


_vote_codec: Codec[Vote] = Codec(Vote, "vote", 256)
_view_change_codec: Codec[ViewChangeBody] = Codec(ViewChangeBody, "view change", ITEM_BYTES_MAX)
_new_view_codec: Codec[NewViewBody] = Codec(NewViewBody, "new view", ITEM_BYTES_MAX)


# judging


@dataclass(frozen=True, slots=True)
class Case:
    """An item whose words prove its fault once its signatures are verified.

    `offender` is an index. `own` are its signatures, all must be valid. `content`, if not empty, are signatures inside
    its NEW-VIEW: one must be bad, because nothing else is wrong with it.
    """

    offender: int
    own: tuple[SignatureItem, ...]
    content: tuple[SignatureItem, ...] = ()

    @property
    def items(self) -> tuple[SignatureItem, ...]:
        """Return everything to verify; `convicted` takes the answer."""
        return self.own + self.content

    def convicted(self, valid: int) -> bool:
        """Tell whether the item proves its fault; `valid`: bit mask over `items`."""
        own = (1 << len(self.own)) - 1
        if valid & own != own:
            return False
        return not self.content or valid >> len(self.own) != (1 << len(self.content)) - 1


def judge(item: Evidence, members: Membership, genesis_id: bytes, window: int) -> Case | str:
    """Return the case that `item` makes, or the stable word for why it makes none; signatures are not looked at."""
    if item.epoch != members.epoch:
        return "wrong_epoch"  # MU89: members and keys are those of the epoch
    if item.company_id not in members.company_ids:
        return "unknown_member"
    offender = members.company_ids.index(item.company_id)
    if any(len(statement.signature) != SIGNATURE_BYTES for statement in item.statements):
        return "bad_signature_length"
    said = tuple(statement.kind for statement in item.statements)
    if said not in _STATEMENTS.get(item.kind, ()):
        return "wrong_statements"
    bodies = tuple(statement.body for statement in item.statements)
    if len(said) == 2 and said[0] == said[1] and bodies[0] >= bodies[1]:
        return "not_ascending"  # one form for each fault, and two equal statements are none
    try:
        found = _RULES[item.kind](item, offender, members, genesis_id, window)
    except LedgerError:
        return "malformed"
    return found


def _own(item: Evidence, offender: int) -> tuple[SignatureItem, ...]:
    return tuple(SignatureItem(one.kind, one.body, item.epoch, offender, one.signature) for one in item.statements)


def _two_votes(item: Evidence, offender: int, members: Membership, _genesis_id: bytes, _window: int) -> Case | str:
    """E1-E3: one place, two blocks."""
    first, second = (_vote_codec.decode(statement.body) for statement in item.statements)
    for vote in (first, second):
        if problem := vote_shape(vote, members.epoch):
            return problem
    if (first.view, first.height) != (second.view, second.height):
        return "different_places"
    if first.block_id == second.block_id:
        return "same_block"
    return Case(offender, _own(item, offender))


def _two_openings(item: Evidence, offender: int, members: Membership, _genesis_id: bytes, _window: int) -> Case | str:
    """E4: one view, two bodies."""
    found = []
    for statement in item.statements:
        body = _opening_body(statement)
        if body.epoch != members.epoch or body.sender != offender:
            return "of_somebody_else"
        found.append(body.view)
    if found[0] != found[1]:
        return "different_places"
    return Case(offender, _own(item, offender))


def _opening_body(statement: Statement) -> ViewChangeBody | NewViewBody:
    if statement.kind == VIEW_CHANGE:
        return _view_change_codec.decode(statement.body)
    return _new_view_codec.decode(statement.body)


def _false_opening(item: Evidence, offender: int, members: Membership, genesis_id: bytes, window: int) -> Case | str:
    """E5: what no collector may sign. Two true certificates that contradict are no fault of it; a forged one is."""
    (statement,) = item.statements
    body = _new_view_codec.decode(statement.body)
    if body.epoch != members.epoch or body.sender != offender:
        return "of_somebody_else"
    whole = NewView(body.epoch, body.sender, body.view, body.view_changes, body.reproposals, statement.signature)
    if new_view(whole, members, genesis_id, window):
        return Case(offender, _own(item, offender))
    outcome = opening(body.view_changes)
    if not isinstance(outcome, Contradiction) and outcome.reproposals() != body.reproposals:
        return Case(offender, _own(item, offender))
    return Case(offender, _own(item, offender), tuple(new_view_items(whole)))


def _amnesia(item: Evidence, offender: int, members: Membership, _genesis_id: bytes, _window: int) -> Case | str:
    """E6: a certificate that must be durable there is not shown (MU87: only an earlier view's COMMIT asks for it)."""
    commit, left = item.statements
    vote = _vote_codec.decode(commit.body)
    change = _view_change_codec.decode(left.body)
    if problem := vote_shape(vote, members.epoch):
        return problem
    if change.epoch != members.epoch or change.sender != offender:
        return "of_somebody_else"
    if not number(change.view) or not _forgets(vote, change.view, change.base, change.prepared):
        return "nothing_forgotten"
    return Case(offender, _own(item, offender))


def _forgets(vote: Vote, view: int, base: CommitCertificate, prepared: tuple[PreparedCertificate, ...]) -> bool:
    """Tell whether a VIEW-CHANGE leaves out what its sender's COMMIT `vote` says it holds."""
    if view <= vote.view or base.vote.height >= vote.height:
        return False
    return not any(one.vote.height == vote.height and one.vote.view >= vote.view for one in prepared)


_STATEMENTS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "E1": ((PRE_PREPARE, PRE_PREPARE),),
    "E2": ((PREPARE, PREPARE), (PRE_PREPARE, PREPARE)),
    "E3": ((COMMIT, COMMIT),),
    "E4": ((VIEW_CHANGE, VIEW_CHANGE), (NEW_VIEW, NEW_VIEW)),
    "E5": ((NEW_VIEW,),),
    "E6": ((COMMIT, VIEW_CHANGE),),
}
_RULES: Final = {
    "E1": _two_votes,
    "E2": _two_votes,
    "E3": _two_votes,
    "E4": _two_openings,
    "E5": _false_opening,
    "E6": _amnesia,
}


# finding


def second_proposal(step: Step, slot: Slot, second: PrePrepare) -> None:
    """E1: two verified PRE-PREPAREs of one primary for one (view, height)."""
    first = slot.pre_prepare
    if first is None or slot.accused or slot.own or first.vote.block_id == second.vote.block_id:
        return
    slot.accused = True
    report(step, "E1", second.sender, (_said(first), _said(second)))


def second_vote(step: Step, kind: str, tally: Tally, first: SignedVote, second: Prepare | Commit) -> None:
    """E2, E3: two verified votes of one member for one (view, height); a PRE-PREPARE votes like a PREPARE."""
    bit = 1 << second.sender
    if tally.accused & bit or first.vote.block_id == second.vote.block_id:
        return
    tally.accused |= bit
    report(step, "E2" if kind == PREPARE else "E3", second.sender, (_said(first), _said(second)))


def second_opening(step: Step, first: ViewChange | NewView, second: ViewChange | NewView) -> None:
    """E4: two verified VIEW-CHANGEs, or NEW-VIEWs, of one member for one view with different bodies."""
    kind = NEW_VIEW if isinstance(second, NewView) else VIEW_CHANGE
    if _once(step, kind, second.sender, second.view) and encode(first) != encode(second):
        step.state.accused[(kind, second.sender)] = second.view
        report(step, "E4", second.sender, (_said(first), _said(second)))


def false_opening(step: Step, message: NewView) -> None:
    """E5: a NEW-VIEW that its sender did sign, and that no correct collector signs."""
    if _once(step, BAD_NEW_VIEW, message.sender, message.view):
        step.state.accused[(BAD_NEW_VIEW, message.sender)] = message.view
        report(step, "E5", message.sender, (_said(message),))


def amnesia(step: Step, change: ViewChange) -> None:
    """E6: look whether a verified VIEW-CHANGE leaves out a COMMIT of its sender that is held here."""
    if not _once(step, AMNESIA, change.sender, change.view):
        return
    for commit in _commits_of(step, change.sender):
        if _forgets(commit.vote, change.view, change.base, change.prepared):
            step.state.accused[(AMNESIA, change.sender)] = change.view
            report(step, "E6", change.sender, (_said(commit), _said(change)))
            return


def _commits_of(step: Step, sender: int) -> Iterable[Commit]:
    """Yield the verified COMMITs of a member that are at hand: open heights, views left, the last certificates."""
    state = step.state
    for height in sorted(state.slots):
        tally = state.slots[height].commits
        message = tally.votes[sender]
        if isinstance(message, Commit) and tally.valid >> sender & 1:
            yield message
    for height in sorted(state.spoken):
        if sender in state.spoken[height]:
            yield state.spoken[height][sender]
    oldest = max(state.members.first_height - 1, state.tip.height - 2 * step.params.window)
    for height in range(state.tip.height, oldest, -1):
        recent = state.recent.get(height)
        if recent is None or not signers_mask(recent.certificate) >> sender & 1:
            continue
        place = indexes(signers_mask(recent.certificate)).index(sender)
        yield Commit(sender, recent.certificate.vote, recent.certificate.signatures[place])


def keep_commits(step: Step) -> None:
    """A view is left and its slots go: keep each member's latest verified COMMIT per open height, for E6."""
    state = step.state
    for height, slot in state.slots.items():
        for sender in indexes(slot.commits.valid):
            message = slot.commits.votes[sender]
            if isinstance(message, Commit) and sender != state.me:
                state.spoken.setdefault(height, {})[sender] = message


def _once(step: Step, kind: str, sender: int, view: int) -> bool:
    """Tell whether nothing was reported yet: at most once per (kind, member, view), and never our own."""
    return sender != step.state.me and step.state.accused.get((kind, sender), -1) < view


def _said(message: SignedVote | ViewChange | NewView) -> Statement:
    """Return what the author of a message signed."""
    if isinstance(message, ViewChange):
        return Statement(VIEW_CHANGE, view_change_body(message), message.signature)
    if isinstance(message, NewView):
        return Statement(NEW_VIEW, new_view_body(message), message.signature)
    kind = PRE_PREPARE if isinstance(message, PrePrepare) else PREPARE if isinstance(message, Prepare) else COMMIT
    return Statement(kind, encode(message.vote), message.signature)


def report(step: Step, kind: str, offender: int, statements: tuple[Statement, ...]) -> None:
    """Hand over an item: for the operator's alarm, and for the chain."""
    if len(statements) == 2 and (statements[0].kind == statements[1].kind):
        statements = tuple(sorted(statements, key=lambda one: one.body))
    members = step.state.members
    item = Evidence(kind, members.epoch, members.company_ids[offender], statements)
    step.out.append(Report(kind=kind, offender=offender, evidence=item))
