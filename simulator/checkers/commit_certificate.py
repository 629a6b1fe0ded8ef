"""I3, I13: every stored block carries exactly q valid signatures over its id, in one view, of members of its epoch."""

from __future__ import annotations

from ledger.block import block_id
from ledger.certificate import verify_commit_certificate
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.disk import StoredBlock


class Certificates(Checker):
    name = "commit_certificate"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._good: dict[int, tuple[bytes, bytes, tuple[bytes, ...]]] = {}

    def stored(self, daemon: Daemon, block: StoredBlock) -> None:
        if not daemon.honest:
            return
        certificate, ref = block.certificate, block.ref
        if certificate.vote.block_id != ref.block_id or certificate.vote.height != ref.height:
            self.fail(f"block {ref.height} is stored with a certificate of another block", daemon.name)
        if block_id(block.header_bytes) != ref.block_id:
            self.fail(f"block {ref.height} is stored under an id that its header does not have", daemon.name)
        shape = (certificate.signers, ref.block_id, certificate.signatures)
        if self._good.get(ref.height) == shape:
            return
        members = self.view.epoch_of(ref.height)
        if certificate.vote.epoch != members.epoch or block.header.epoch != members.epoch:
            self.fail(
                f"block {ref.height} is of epoch {block.header.epoch}, certified in {certificate.vote.epoch}; "
                f"the members of epoch {members.epoch} decide it (P112)",
                daemon.name,
            )
        if int.from_bytes(certificate.signers, "little") >> members.n:
            self.fail(f"certificate of block {ref.height} has bits of members that do not exist", daemon.name)
        chain_id = self.view.league.chain_id
        problem = verify_commit_certificate(certificate, members.keys, chain_id, self.view.oracle.verify)
        if problem:
            self.fail(f"certificate of block {ref.height}: {problem}", daemon.name)
        self._good[ref.height] = shape
