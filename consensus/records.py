"""Journal records (consensus.md section 11): what must be durable before a message may leave."""

from __future__ import annotations

from typing import TypeAlias

from consensus.messages import Commit, NewView, Prepare, PreparedCertificate, PrePrepare, ViewChange
from ledger.certificate import CommitCertificate
from ledger.codec import Wire


class Anchor(Wire, frozen=True, tag=32):
    """A full picture; every journal begins with one. `accepted` are slots above `committed`."""

    journal_id: bytes
    epoch: int
    view: int
    mode: int
    committed: CommitCertificate
    new_view: NewView | None
    view_change: ViewChange | None
    accepted: tuple[PrePrepare, ...]
    own_votes: tuple[Prepare | Commit, ...]
    prepared: tuple[PreparedCertificate, ...]


class Accepted(Wire, frozen=True, tag=33):
    """A proposal was accepted; `prepare` is None on the primary."""

    pre_prepare: PrePrepare
    prepare: Prepare | None


class PreparedHere(Wire, frozen=True, tag=34):
    certificate: PreparedCertificate
    commit: Commit


class CommittedHere(Wire, frozen=True, tag=35):
    certificate: CommitCertificate


class Left(Wire, frozen=True, tag=36):
    view_change: ViewChange


class Entered(Wire, frozen=True, tag=37):
    new_view: NewView


class Silenced(Wire, frozen=True, tag=39):
    """Votes no more: the node follows as a learner (P97)."""

    reason: str


Record: TypeAlias = Anchor | Accepted | PreparedHere | CommittedHere | Left | Entered | Silenced
