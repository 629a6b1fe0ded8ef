"""A certified chain of real blocks, signatures and results, for tests of what a node takes from its peers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from consensus.effects import SignatureItem
from consensus.events import EpochSpec, Member
from consensus.validate import signing_digest_of
from ledger.block import BlockRef, block_id, header_codec
from ledger.certificate import CommitCertificate
from ledger.crypto.ed25519 import verify_strict
from ledger.genesis import epoch_members
from ledger.registry.records import members_hash
from ledger.state import MemoryState
from ledger.transaction import Transaction
from ledger.transition import BlockResult, apply_block
from node.core.messages import Blocks, CertifiedBlock
from tests.ledger.conftest import Sample, ScriptRuntime, make_document


class League:
    """Four companies and the chain they agreed on. `blocks[h - 1]` is block h, `states[h]` the state after it."""

    def __init__(self) -> None:
        self.network: Sample = make_document()[1]
        members = epoch_members(self.network.document)
        self.keys = [key for _, key in members]
        self.epoch = EpochSpec(
            epoch=0,
            first_height=1,
            members=tuple(Member(company_id=company, consensus_key=key) for company, key in members),
            members_hash=members_hash([(company, key, True) for company, key in members]),
        )
        self.genesis = BlockRef(0, self.network.block_id, self.network.header.time_ms, 0, 0)
        self.refs: list[BlockRef] = [self.genesis]
        self.blocks: list[CertifiedBlock] = []
        self.states: list[MemoryState] = [self.network.state]
        self.results: list[BlockResult] = []

    def grow(self, count: int, writes: int = 1) -> None:
        """Add blocks of one transaction each, which writes `writes` rows; the header certifies the parent's result."""
        for _ in range(count):
            height = len(self.blocks) + 1
            steps = tuple(("put", f"trow{height:05d}-{i}".encode(), b"value %d" % height) for i in range(writes))
            self.add([self.network.transaction((*steps, ("emit", "Moved")), nonce=self._nonce(height))])

    def add(self, transactions: Sequence[Transaction]) -> None:
        parent, state = self.refs[-1], self.states[-1]
        header, raw = self.network.block_on(state, parent, transactions, state.exec_root)
        last = self.blocks[-1].certificate.vote.height if self.blocks else 0
        header = msgspec.structs.replace(header, last_cert_height=last)
        raw = msgspec.msgpack.encode(header)
        assert header_codec.decode(raw) == header
        identity = block_id(raw)
        result = apply_block(state, header, tuple(transactions), ScriptRuntime(), self.network.document.utc_offset_min)
        work = header.height if transactions else parent.work_height
        self.refs.append(BlockRef(header.height, identity, header.time_ms, header.exec_height, work))
        certificate = self.network.certify(header.height, identity)
        self.blocks.append(CertifiedBlock(raw, tuple(tx.envelope for tx in transactions), certificate))
        self.results.append(result)
        self.states.append(state.apply(result.writes, result.nodes, result.height, result.state_root, result.exec_root))

    @staticmethod
    def _nonce(height: int) -> int:
        return height

    def serve(self, first: int, last: int) -> Blocks:
        """What an honest peer answers, without a cut."""
        return Blocks(tuple(self.blocks[first - 1 : last]))

    def valid(self, items: Sequence[SignatureItem]) -> int:
        mask = 0
        for position, item in enumerate(items):
            digest = signing_digest_of(item.kind, self.network.chain, item.body)
            if verify_strict(self.keys[item.signer], item.signature, digest):
                mask |= 1 << position
        return mask

    @staticmethod
    def verdicts(transactions: Sequence[Transaction]) -> tuple[bool, ...]:
        return tuple(all(verify_strict(key, sig, tx.digest) for key, sig in tx.signatures) for tx in transactions)

    def recertified(self, block: CertifiedBlock, **changes: Any) -> CommitCertificate:
        return msgspec.structs.replace(block.certificate, **changes)
