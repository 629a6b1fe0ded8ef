"""Wire messages of the protocol (consensus.md section 4). Field order is wire order; tags are frozen."""

from __future__ import annotations

from typing import TypeAlias

from ledger.certificate import CommitCertificate, Vote
from ledger.codec import Natural, Wire


class PreparedCertificate(Wire, frozen=True):
    """q matching votes of one view; `primary` names the one PRE-PREPARE signature (P15)."""

    vote: Vote
    header: bytes
    primary: Natural
    signers: bytes
    signatures: tuple[bytes, ...]


class Proposal(Wire, frozen=True):
    """Unsigned; bound by block_id, tx_root and last_cert_hash."""

    header: bytes
    tx_ids: tuple[bytes, ...]
    last_certificate: CommitCertificate


class PrePrepare(Wire, frozen=True, tag=1):
    sender: Natural
    vote: Vote
    signature: bytes
    proposal: Proposal


class Prepare(Wire, frozen=True, tag=2):
    sender: Natural
    vote: Vote
    signature: bytes


class Commit(Wire, frozen=True, tag=3):
    sender: Natural
    vote: Vote
    signature: bytes


class ViewChange(Wire, frozen=True, tag=4):
    """Signed leaving of a view: `view` is the one to move to, `base` the highest committed height of the sender."""

    epoch: Natural
    sender: Natural
    view: Natural
    base: CommitCertificate
    prepared: tuple[PreparedCertificate, ...]
    signature: bytes


class NewView(Wire, frozen=True, tag=5):
    """Opens a view: exactly q VIEW-CHANGEs, ascending by sender, and O as every receiver recomputes it."""

    epoch: Natural
    sender: Natural
    view: Natural
    view_changes: tuple[ViewChange, ...]
    reproposals: tuple[tuple[Natural, bytes], ...]
    signature: bytes


class Suspect(Wire, frozen=True, tag=6):
    """Channel-authenticated, not signed; its sender still votes (P50)."""

    epoch: Natural
    view: Natural


class Heartbeat(Wire, frozen=True, tag=7):
    """The idle primary is alive."""

    epoch: Natural
    view: Natural
    height: Natural
    block_id: bytes


class Status(Wire, frozen=True, tag=8):
    """What the sender holds, to each peer every STATUS_MS and on connect; drives all repair (P37)."""

    epoch: Natural
    view: Natural
    mode: Natural
    committed_height: Natural
    committed_id: bytes
    prepared_height: Natural
    executed_height: Natural
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
