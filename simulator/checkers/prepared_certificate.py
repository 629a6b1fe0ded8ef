"""I9, I11, I13: every COMMIT stands on a prepared certificate of exactly q members, the primary of its view among them.

Read from the durable records, together with the entries of VIEW-CHANGEs in an accepted NEW-VIEW. Bits are counted
here and not by the code under test.
"""

from __future__ import annotations

from hashlib import sha256

from consensus.messages import PreparedCertificate
from consensus.records import Entered, PreparedHere
from consensus.slots import PRE_PREPARE, PREPARE
from consensus.validate import signing_digest_of
from ledger.block import block_id
from ledger.codec import encode
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.disk import JournalBatch, record_of


class PreparedCertificates(Checker):
    name = "prepared_certificate"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._good: dict[bytes, None] = {}

    def durable(self, daemon: Daemon, batch: JournalBatch) -> None:
        if not daemon.honest:
            return
        for entry in batch.entries:
            record = record_of(entry)
            if isinstance(record, PreparedHere):
                if record.commit.vote != record.certificate.vote:
                    self.fail("a COMMIT names another block than the certificate beside it", daemon.name)
                self._check(daemon, record.certificate)
            elif isinstance(record, Entered):
                for change in record.new_view.view_changes:
                    for certificate in change.prepared:
                        self._check(daemon, certificate)

    def _check(self, daemon: Daemon, certificate: PreparedCertificate) -> None:
        identity = sha256(encode(certificate)).digest()
        if identity in self._good:
            return
        problem = self._problem(certificate)
        if problem:
            vote = certificate.vote
            self.fail(f"prepared certificate of height {vote.height} in view {vote.view}: {problem}", daemon.name)
        self._good[identity] = None

    def _problem(self, certificate: PreparedCertificate) -> str:
        league, vote = self.view.league, certificate.vote
        members = self.view.epoch_of(vote.height)
        if vote.epoch != members.epoch:
            return f"it is of epoch {vote.epoch}, the members of epoch {members.epoch} decide the height (P113)"
        mask = int.from_bytes(certificate.signers, "little")
        if mask >> members.n:
            return "bits of members that do not exist"
        if mask.bit_count() != members.q or len(certificate.signatures) != members.q:
            return f"{mask.bit_count()} signers, {len(certificate.signatures)} signatures, exactly {members.q} needed"
        if not mask >> certificate.primary & 1:
            return "the primary has not signed"
        if league.params.rotate_every == 0 and certificate.primary != members.collector(vote.view):
            return "its proposal is not of the primary of the view"
        if block_id(certificate.header) != vote.block_id:
            return "the header is not that of the block"
        body = encode(vote)
        signers = [index for index in range(members.n) if mask >> index & 1]
        for signer, signature in zip(signers, certificate.signatures, strict=True):
            kind = PRE_PREPARE if signer == certificate.primary else PREPARE
            digest = signing_digest_of(kind, league.chain_id, body)
            if not self.view.oracle.verify(members.keys[signer], signature, digest):
                return f"the signature of member {signer} does not verify"
        return ""
