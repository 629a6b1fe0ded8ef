"""I1, I2, I8: one block per height over all commit certificates that exist anywhere, or that could be assembled.

Certificates are taken from stores and from every message. Beyond those, the checker counts signed commits itself:
honest ones as they are sent, Byzantine ones for everything. Two ids of one height with a possible quorum each are a
fork that somebody could show, even if nobody has yet (scenario 15).
"""

from __future__ import annotations

from collections.abc import Iterator

from consensus.messages import Commit, Committed, NewView, Prepared, PrePrepare, ViewChange
from ledger.certificate import CommitCertificate, Vote, verify_commit_certificate
from node.core.messages import Blocks, PeerMessage
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.disk import StoredBlock


class Agreement(Checker):
    name = "agreement"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._by_height: dict[int, bytes] = {0: view.league.genesis.ref.block_id}
        self._known: dict[Vote, None] = {}
        self._signers: dict[int, dict[Vote, int]] = {}

    def stored(self, daemon: Daemon, block: StoredBlock) -> None:
        if daemon.honest:
            self._claim(block.ref.height, block.ref.block_id, f"{daemon.name} committed")

    def sending(self, daemon: Daemon, message: PeerMessage, _to: int | None) -> None:
        if isinstance(message, Commit) and message.sender == daemon.index and daemon.honest:
            self._commit(daemon.index, message.vote)
        for certificate in certificates(message):
            self._certificate(certificate)

    def _certificate(self, certificate: CommitCertificate) -> None:
        vote = certificate.vote
        if vote in self._known or vote.height == 0 or vote.epoch not in self.view.epochs:
            return
        keys, chain_id = self.view.epochs[vote.epoch].keys, self.view.league.chain_id
        if verify_commit_certificate(certificate, keys, chain_id, self.view.oracle.verify):
            return
        self._known[vote] = None
        self._claim(vote.height, vote.block_id, f"a certificate of view {vote.view} shows")

    def _commit(self, index: int, vote: Vote) -> None:
        masks = self._signers.get(vote.height)
        if masks is None:
            masks = self._signers[vote.height] = {}
            for height in [h for h in self._signers if h < vote.height - 256]:
                del self._signers[height]
        before = masks.get(vote, 0)
        mask = before | 1 << index
        if mask == before or self.view.too_many(vote.epoch):
            return
        masks[vote] = mask
        view = self.view
        possible = [v for v, m in masks.items() if (m | view.liars(v.epoch)).bit_count() >= view.epochs[v.epoch].q]
        ids = sorted({v.block_id for v in possible})
        if len(ids) > 1:
            self.fail(
                f"height {vote.height}: commits of a quorum exist for {ids[0].hex()[:12]} and {ids[1].hex()[:12]}"
            )

    def _claim(self, height: int, block_id: bytes, who: str) -> None:
        if self.view.too_many(self.view.epoch_of(height).epoch):
            return  # a fork is possible; what remains to be asked for is that honest members notice it (P36)
        known = self._by_height.setdefault(height, block_id)
        if known != block_id:
            self.fail(f"height {height}: {who} {block_id.hex()[:12]}, {known.hex()[:12]} is committed already")


def certificates(message: PeerMessage) -> Iterator[CommitCertificate]:
    """Yield every commit certificate inside a message."""
    match message:
        case Committed():
            yield message.certificate
        case PrePrepare() | Prepared():
            yield message.proposal.last_certificate
        case ViewChange():
            yield message.base
        case NewView():
            for change in message.view_changes:
                yield change.base
        case Blocks():
            for block in message.blocks:
                yield block.certificate
        case _:
            return
