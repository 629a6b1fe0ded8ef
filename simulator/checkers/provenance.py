"""I13, P10-P12: whatever an honest member relies on as signed by an honest member was signed by it, for just that.

Made: the signatures in a member's own durable records; nothing leaves it before (P90). Relied on: the proposal, the
prepared and commit certificates, and the VIEW-CHANGEs in the durable records of the others, and the certificates of
stored blocks. The checker compares what was said, (kind, vote or body), and not bytes, so it also notices a domain,
chain, view or height that the signature does not cover.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from consensus.messages import PreparedCertificate, ViewChange
from consensus.records import Accepted, CommittedHere, Entered, Left, PreparedHere, Record
from consensus.slots import COMMIT, PRE_PREPARE, PREPARE
from consensus.validate import NEW_VIEW, VIEW_CHANGE, new_view_body, view_change_body
from ledger.certificate import CommitCertificate
from ledger.codec import encode
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.disk import JournalBatch, StoredBlock, record_of

Claim = tuple[str, bytes]


class Provenance(Checker):
    name = "provenance"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._made: list[dict[Claim, None]] = [{} for _ in view.league.everyone]
        """What each company said, by its index in the league; each claim names its epoch."""
        self._good: dict[bytes, None] = {}

    def durable(self, daemon: Daemon, batch: JournalBatch) -> None:
        if not daemon.honest:
            return
        for entry in batch.entries:
            record = record_of(entry)
            for claim in own_claims(record, daemon.index):
                self._made[daemon.firm][claim] = None
            for epoch, signer, claim in relied_on(record):
                self._check(daemon, epoch, signer, claim)
            for certificate in certificates_in(record):
                self._certificate(daemon, certificate)

    def stored(self, daemon: Daemon, block: StoredBlock) -> None:
        if daemon.honest:
            self._certificate(daemon, block.certificate)

    def _certificate(self, daemon: Daemon, certificate: CommitCertificate | PreparedCertificate) -> None:
        """Check every signer of a certificate; the same certificate is looked at once."""
        raw = encode(certificate)
        known = sha256(raw).digest()
        if known in self._good:
            return
        body = encode(certificate.vote)
        mask = int.from_bytes(certificate.signers, "little")
        for signer in (bit for bit in range(mask.bit_length()) if mask >> bit & 1):
            kind = COMMIT
            if isinstance(certificate, PreparedCertificate):
                kind = PRE_PREPARE if signer == certificate.primary else PREPARE
            self._check(daemon, certificate.vote.epoch, signer, (kind, body))
        self._good[known] = None

    def _check(self, daemon: Daemon, epoch: int, signer: int, claim: Claim) -> None:
        members = self.view.epochs.get(epoch)
        if members is None or not 0 <= signer < members.n:
            self.fail(f"relies on a {claim[0]} of member {signer} of epoch {epoch}, who does not exist", daemon.name)
            return
        firm = self.view.firm(epoch, signer)
        if not self.view.byzantine_mask >> firm.index & 1 and claim not in self._made[firm.index]:
            self.fail(f"relies on a {claim[0]} of {firm.name} that {firm.name} never made", daemon.name)


def own_claims(record: Record, index: int) -> Iterator[Claim]:
    """Yield what the owner of a record says in it under its own signature."""
    match record:
        case Accepted():
            if record.prepare is not None:
                yield PREPARE, encode(record.prepare.vote)
            elif record.pre_prepare.sender == index:
                yield PRE_PREPARE, encode(record.pre_prepare.vote)
        case PreparedHere():
            yield COMMIT, encode(record.commit.vote)
        case Left():
            yield VIEW_CHANGE, view_change_body(record.view_change)
        case Entered():
            if record.new_view.sender == index:
                yield NEW_VIEW, new_view_body(record.new_view)
        case _:
            return


def relied_on(record: Record) -> Iterator[tuple[int, int, Claim]]:
    """Yield epoch, signer and words of the single signatures of others that a record relies on."""
    match record:
        case Accepted():
            vote = record.pre_prepare.vote
            yield vote.epoch, record.pre_prepare.sender, (PRE_PREPARE, encode(vote))
        case Entered():
            yield record.new_view.epoch, record.new_view.sender, (NEW_VIEW, new_view_body(record.new_view))
            for change in record.new_view.view_changes:
                yield change.epoch, change.sender, (VIEW_CHANGE, view_change_body(change))
        case _:
            return


def certificates_in(record: Record) -> Iterator[CommitCertificate | PreparedCertificate]:
    """Yield the certificates that a record relies on; block 0 needs none."""
    changes: tuple[ViewChange, ...] = ()
    match record:
        case PreparedHere() | CommittedHere():
            yield record.certificate
        case Left():
            changes = (record.view_change,)
        case Entered():
            changes = record.new_view.view_changes
        case _:
            return
    for change in changes:
        if change.base.vote.height:
            yield change.base
        yield from change.prepared
