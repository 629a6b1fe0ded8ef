"""Wire messages of the protocol (consensus.md section 4). Field order is wire order; tags are frozen."""

from __future__ import annotations

from typing import TypeAlias

from ledger.certificate import CommitCertificate, Vote
from ledger.codec import Wire


class PreparedCertificate(Wire, frozen=True):
    """q matching votes of one view; `primary` names the one PRE-PREPARE signature (P15)."""

    vote: Vote
    header: bytes
    primary: int
    signers: bytes
    signatures: tuple[bytes, ...]


class Proposal(Wire, frozen=True):
    """Unsigned; bound by block_id, tx_root and last_cert_hash."""

    header: bytes
    tx_ids: tuple[bytes, ...]
    last_certificate: CommitCertificate


class PrePrepare(Wire, frozen=True, tag=1):
    sender: int
    vote: Vote
    signature: bytes
    proposal: Proposal


class Prepare(Wire, frozen=True, tag=2):
    sender: int
    vote: Vote
    signature: bytes


class Commit(Wire, frozen=True, tag=3):
    sender: int
    vote: Vote
    signature: bytes


class ViewChange(Wire, frozen=True, tag=4):
    """Signed leaving of a view: `view` is the one to move to, `base` the highest committed height of the sender."""

    epoch: int
    sender: int
    view: int
    base: CommitCertificate
    prepared: tuple[PreparedCertificate, ...]
    signature: bytes


class NewView(Wire, frozen=True, tag=5):
    """Opens a view: exactly q VIEW-CHANGEs, ascending by sender, and O as every receiver recomputes it."""

    epoch: int
    sender: int
    view: int
    view_changes: tuple[ViewChange, ...]
    reproposals: tuple[tuple[int, bytes], ...]
    signature: bytes


class Suspect(Wire, frozen=True, tag=6):
    """Channel-authenticated, not signed; its sender still votes (P50)."""

    epoch: int
    view: int


class Heartbeat(Wire, frozen=True, tag=7):
    """The idle primary is alive."""

    epoch: int
    view: int
    height: int
    block_id: bytes


class Status(Wire, frozen=True, tag=8):
    """What the sender holds, to each peer every STATUS_MS and on connect; drives all repair (P37)."""

    epoch: int
    view: int
    mode: int
    committed_height: int
    committed_id: bytes
    prepared_height: int
    executed_height: int
    has_proposal: bool
    prepares: bytes
    commits: bytes
    view_changes: bytes
    echo: bytes


class Committed(Wire, frozen=True, tag=9):
    """COMMIT-CERT: anyone may send it to anyone."""

    certificate: CommitCertificate


class Prepared(Wire, frozen=True, tag=10):
    """Relay of a prepared certificate with its proposal."""

    certificate: PreparedCertificate
    proposal: Proposal


Message: TypeAlias = (
    PrePrepare | Prepare | Commit | ViewChange | NewView | Suspect | Heartbeat | Status | Committed | Prepared
)
