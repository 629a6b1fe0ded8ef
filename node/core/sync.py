"""Catch-up by certified blocks (P106, P107): ask a range, believe nothing, verify, hand over.

A claimed height is only a hint. Each block must extend ours, carry a commit certificate of q members over its id,
and hold transactions whose ids give its root and whose signatures verify: the certificate binds ids, and ids do
not bind signatures (LR4), so a lying peer could swap them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from consensus.effects import SignatureItem
from consensus.events import EpochSpec, Lsn
from ledger.block import BlockRef, block_id, header_codec, list_root
from ledger.certificate import CommitCertificate, bitmap_indexes, quorum
from ledger.codec import encode
from ledger.errors import LedgerError
from ledger.evidence import evidence_id, split_bodies
from ledger.transaction import Transaction, decode_transaction
from node.core.chain import ref_of
from node.core.effects import NodeEffect, Penalty, SendPeer, VerifyTransactions, VerifyVotes
from node.core.mempool import Candidate
from node.core.messages import Blocks, BlocksRequest, CertifiedBlock

RANGE_BLOCKS: Final = 64
"""Heights asked for in one request; the answer is cut to one frame by the sender."""


@dataclass(slots=True)
class Verified:
    """A block that sync vouches for."""

    ref: BlockRef
    candidate: Candidate
    certificate: CommitCertificate


@dataclass(slots=True)
class _Range:
    """Blocks of one answer between arrival and the last verdict."""

    peer: int
    blocks: list[Verified]
    votes_token: int
    txs_token: int
    votes_good: bool | None = None
    txs_good: bool | None = None


@dataclass(slots=True)
class Sync:
    """State of catch-up. `target` 0 means idle."""

    chain_id: bytes
    epoch: EpochSpec
    own: int | None
    next_token: Callable[[], int]
    target: int = 0
    sources: tuple[int, ...] = ()
    asked: int | None = None
    _turn: int = 0
    _range: _Range | None = None
    connected: dict[int, None] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Blocks up to `target` are still wanted."""
        return self.target > 0

    def start(self, height: int, sources: tuple[int, ...], tip: BlockRef) -> list[NodeEffect]:
        """Aim at `height`; `sources` are the members that are likely to hold it."""
        if height <= tip.height:
            return []
        self.target = max(self.target, height)
        self.sources = tuple(peer for peer in sources if peer != self.own) or self.sources
        return [] if self.asked is not None or self._range is not None else self.ask(tip)

    def ask(self, tip: BlockRef) -> list[NodeEffect]:
        """Ask the next source for what follows `tip`; called again when a source stays silent."""
        if tip.height >= self.target:
            self.target, self.asked = 0, None
            return []
        everybody = tuple(index for index in range(len(self.epoch.members)) if index != self.own)
        pool = tuple(peer for peer in (*self.sources, *everybody) if peer in self.connected)
        if not pool:
            self.asked = None
            return []
        self.asked = pool[self._turn % len(pool)]
        self._turn += 1
        self._range = None
        request = BlocksRequest(tip.height + 1, min(tip.height + RANGE_BLOCKS, self.target))
        return [SendPeer(to=self.asked, message=request, after=Lsn(0))]

    def receive(self, peer: int, message: Blocks, tip: BlockRef) -> list[NodeEffect]:
        """Check the shape of an answer and ask for the verdicts on its signatures."""
        if peer != self.asked or self._range is not None or not self.active:
            return []
        if not message.blocks:
            return self.ask(tip)
        blocks: list[Verified] = []
        items: list[SignatureItem] = []
        transactions: list[Transaction] = []
        parent = tip
        for block in message.blocks:
            if block_height(block) <= tip.height:
                continue
            verified = self._shape(block, parent)
            if isinstance(verified, str):
                return [Penalty(peer=peer, reason=f"sync_{verified}"), *self.ask(tip)]
            blocks.append(verified)
            parent = verified.ref
            body = encode(block.certificate.vote)
            indexes = bitmap_indexes(block.certificate.signers, len(self.epoch.members)) or ()
            items += [
                SignatureItem("commit", body, self.epoch.epoch, index, signature)
                for index, signature in zip(indexes, block.certificate.signatures, strict=True)
            ]
            transactions += verified.candidate.transactions
        if not blocks:
            return self.ask(tip)
        run = _Range(peer, blocks, self.next_token(), self.next_token())
        self._range = run
        effects: list[NodeEffect] = [VerifyVotes(token=run.votes_token, items=tuple(items))]
        if transactions:
            effects.append(VerifyTransactions(token=run.txs_token, transactions=tuple(transactions)))
        else:
            run.txs_good = True
        return effects

    def votes_verified(self, token: int, valid: int) -> None:
        """Take the verdict on the certificates of the range."""
        run = self._range
        if run is not None and token == run.votes_token:
            count = sum(len(block.certificate.signatures) for block in run.blocks)
            run.votes_good = valid == (1 << count) - 1

    def transactions_verified(self, token: int, verdicts: tuple[bool, ...]) -> None:
        """Take the verdict on the transactions of the range."""
        run = self._range
        if run is not None and token == run.txs_token:
            run.txs_good = all(verdicts)

    def take(self, tip: BlockRef) -> tuple[list[Verified], list[NodeEffect]]:
        """Return the blocks of a range whose verdicts are all here, in order, and what to do about a bad one."""
        run = self._range
        if run is None or run.votes_good is None or run.txs_good is None:
            return [], []
        self._range, self.asked = None, None
        if run.votes_good and run.txs_good:
            return [block for block in run.blocks if block.ref.height > tip.height], []
        reason = "sync_certificate" if not run.votes_good else "sync_transaction"
        return [], [Penalty(peer=run.peer, reason=reason), *self.ask(tip)]

    def _shape(self, block: CertifiedBlock, parent: BlockRef) -> Verified | str:
        try:
            header = header_codec.decode(block.header)
            envelopes, evidence = split_bodies(block.envelopes, header.tx_count)
            transactions = tuple(decode_transaction(envelope, self.chain_id) for envelope in envelopes)
        except LedgerError:
            return "malformed"
        identity = block_id(block.header)
        ids = tuple(tx.tx_id for tx in transactions)
        vote = block.certificate.vote
        if header.chain_id != self.chain_id or header.height != parent.height + 1:
            return "height"
        if header.parent_id != parent.block_id:
            return "parent"
        if header.tx_root != list_root(ids) or header.tx_count != len(ids):
            return "tx_root"
        if header.evidence_root != list_root([evidence_id(item) for item in evidence]):
            return "evidence_root"
        if (vote.block_id, vote.height, vote.epoch) != (identity, header.height, self.epoch.epoch):
            return "certificate"
        n = len(self.epoch.members)
        indexes = bitmap_indexes(block.certificate.signers, n)
        if indexes is None or len(indexes) != quorum(n) or len(block.certificate.signatures) != len(indexes):
            return "certificate"
        candidate = Candidate(header, block.header, ids, transactions, evidence)
        return Verified(ref_of(identity, candidate, parent), candidate, block.certificate)


def block_height(block: CertifiedBlock) -> int:
    """Return the height that a block claims; 0 if its header is malformed, so that it is refused by shape."""
    try:
        return header_codec.decode(block.header).height
    except LedgerError:
        return 1 << 62
