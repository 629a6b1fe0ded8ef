"""A league of four, its genesis state, and a mempool of one of its nodes with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from consensus.effects import BuildBlock
from consensus.membership import membership
from consensus.messages import Proposal
from ledger.block import BlockRef, Header, block_id, header_codec
from ledger.params import Params
from ledger.registry.lookup import encode_nonces, nonce_key, read_nonces, use_nonce
from ledger.state import Reader
from ledger.transaction import SignerRef, TxBody, sign_transaction
from node.core import effects as ne
from node.core.evidence import EvidencePool
from node.core.machine import NodeContext, NodeCore
from node.core.mempool import Candidate, Mempool
from node.core.messages import TxBatch
from simulator.league import League, found

MS = 1_000_000
NAMES = ("alfa", "beta", "gama", "dela")


class Rows:
    """The genesis state with some rows on top."""

    def __init__(self, base: Reader) -> None:
        self.base = base
        self.rows: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key, self.base.get(key))

    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]:
        return self.base.scan(low, high, count)


@dataclass
class Pool:
    """A mempool and what a driver would do around it."""

    league: League
    own: int
    pool: Mempool
    state: Rows
    now: int = 1_000 * MS
    tokens: list[int] = field(default_factory=lambda: [0])

    def envelope(self, firm: int, nonce: int, *, text: str = "", valid: int = 1_000, gas: int = 10_000) -> bytes:
        """A signed call of the preparer of a company."""
        person = self.league.firms[firm].staff["preparer"]
        body = TxBody(
            version=1,
            signers=(SignerRef(person.user_id, "maker", person.company),),
            nonce=nonce,
            valid_until_height=valid,
            contract="notes",
            method="keep",
            args=(text, nonce),
            gas_limit=gas,
        )
        return sign_transaction(body, [person.key], self.league.chain_id)

    def settle(self, effects: list[ne.NodeEffect], good: bool = True) -> list[ne.NodeEffect]:
        """Answer every verification among `effects`; return all other effects, those of the answers too."""
        out: list[ne.NodeEffect] = []
        for effect in effects:
            if isinstance(effect, ne.VerifyTransactions):
                verdicts = (good,) * len(effect.transactions)
                out += self.settle(self.pool.verified(self.now, effect.token, verdicts), good)
            else:
                out.append(effect)
        return out

    def submit(self, *envelopes: bytes, good: bool = True) -> tuple[ne.SubmitResult, ...]:
        """Hand in through the API; return the verdicts."""
        self.tokens[0] += 1
        effects = self.settle(self.pool.submit(self.tokens[0], envelopes), good)
        return next(effect.results for effect in effects if isinstance(effect, ne.Answer))

    def gossiped(self, peer: int, *envelopes: bytes, good: bool = True) -> list[ne.NodeEffect]:
        return self.settle(self.pool.receive(peer, TxBatch(envelopes)), good)

    def build(
        self,
        taken: tuple[bytes, ...] = (),
        *,
        height: int = 0,
        max_size: int = 1 << 20,
        max_txs: int = 500,
        empty: bool = False,
        parent: bytes = b"",
    ) -> Proposal | None:
        at = height or self.pool.height + 1
        tip = self.league.genesis.ref
        request = BuildBlock(
            request=1,
            height=at,
            parent=BlockRef(at - 1, parent or tip.block_id, tip.time_ms, 0, 0),
            last_certificate=self.league.certificate,
            max_size_bytes=max_size,
            max_txs=max_txs,
            allow_empty=empty,
            taken=taken,
        )
        return self.pool.build(request, self.league.genesis.header, self.now // MS)

    def candidate(self, proposal: Proposal) -> Candidate:
        return self.pool.candidates[block_id(proposal.header)]

    def commit(self, proposal: Proposal, *, live: bool = True, execute: bool = True) -> None:
        """The block is in the chain; its transactions use up their nonces when it is executed."""
        candidate = self.candidate(proposal)
        if live:
            self.pool.passed(self.now, candidate)
        self.pool.committed(candidate)
        if execute:
            self.pool.executed = candidate.header.height
            for tx in candidate.transactions:
                user = tx.body.signers[0].user_id
                window = use_nonce(read_nonces(self.state, user), tx.body.nonce)
                self.state.rows[nonce_key(user)] = encode_nonces(window)

    def forward(self, after_ms: int) -> list[ne.NodeEffect]:
        self.now += after_ms * MS
        return self.pool.forward(self.now)


@pytest.fixture
def make() -> Callable[..., Pool]:
    """Return a maker of pools: `make(own=0, **parameters)`."""

    def build(own: int = 0, **parameters: int) -> Pool:
        league = found(NAMES, Params(**parameters), True)
        state = Rows(league.state)
        counter = iter(range(1, 1_000_000))
        evidence = EvidencePool(
            own=own,
            members=membership(league.epoch, league.chain_id, league.params.rotate_every),
            genesis_id=league.genesis.ref.block_id,
            params=league.params,
            read=lambda: state,
            next_token=lambda: next(counter),
        )
        pool = Mempool(
            own=own,
            chain_id=league.chain_id,
            params=league.params,
            read=lambda: state,
            next_token=lambda: next(counter),
            evidence=evidence,
            time_ms=league.genesis.ref.time_ms,
        )
        return Pool(league, own, pool, state)

    return build


@pytest.fixture
def core() -> Callable[..., tuple[NodeCore, League]]:
    """Return a maker of whole cores, not started yet."""

    class Signer:
        def sign(self, kind: str, body: bytes) -> bytes:
            return bytes(64)

    def build(**parameters: int) -> tuple[NodeCore, League]:
        league = found(NAMES, Params(**parameters), True)
        return NodeCore(Signer(), NodeContext(read=lambda: league.state)), league

    return build


def header(proposal: Proposal) -> Header:
    return header_codec.decode(proposal.header)
