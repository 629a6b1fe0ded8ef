"""I13: every stored block carries exactly q valid signatures of distinct members over its id, in one view."""

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
        league = self.view.league
        if int.from_bytes(certificate.signers, "little") >> len(self.view.league.firms):
            self.fail(f"certificate of block {ref.height} has bits of members that do not exist", daemon.name)
        problem = verify_commit_certificate(certificate, league.keys, league.chain_id, self.view.oracle.verify)
        if problem:
            self.fail(f"certificate of block {ref.height}: {problem}", daemon.name)
        self._good[ref.height] = shape
