"""A league of four, its genesis state, and a mempool of one of its nodes with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from consensus.effects import BuildBlock, Halt
from consensus.membership import membership
from consensus.messages import Proposal
from consensus.validate import signing_digest_of
from ledger.block import BlockRef, Header, block_id, header_codec
from ledger.crypto.ed25519 import verify_strict
from ledger.params import Params
from ledger.registry.lookup import encode_nonces, nonce_key, read_nonces, use_nonce
from ledger.state import Reader
from ledger.transaction import SignerRef, TxBody, sign_transaction
from node.core import effects as ne
from node.core import events as nv
from node.core.evidence import EvidencePool
from node.core.machine import NodeContext, NodeCore
from node.core.mempool import Candidate, Mempool
from node.core.messages import TxBatch
from simulator.league import League, found

MS = 1_000_000
NAMES = ("alfa", "beta", "gama", "dela")
SEVEN = (*NAMES, "epsi", "zeta", "etaa")


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

    def envelope(
        self,
        firm: int,
        nonce: int,
        *,
        text: str = "",
        valid: int = 1_000,
        gas: int = 10_000,
        role: str = "preparer",
        acts_for: int | None = None,
    ) -> bytes:
        """A signed call of somebody of a company, for its own or for another one."""
        person = self.league.firms[firm].staff[role]
        company = person.company if acts_for is None else self.league.firms[acts_for].company_id
        body = TxBody(
            version=1,
            signers=(SignerRef(person.user_id, "maker", company),),
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
            chain_id=league.chain_id,
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


@dataclass
class Shell:
    """A driver in a nutshell: verifies with real keys, makes records durable, executes, and keeps what leaves."""

    league: League
    index: int
    core: NodeCore
    now: int = 1_000 * MS
    sent: list[tuple[int | None, object]] = field(default_factory=list)
    journal: list[ne.AppendJournal] = field(default_factory=list)
    stored: list[ne.StoreBlock] = field(default_factory=list)
    executed: list[ne.Execute] = field(default_factory=list)
    answers: list[ne.Answer] = field(default_factory=list)
    penalties: list[ne.Penalty] = field(default_factory=list)
    rejections: list[ne.Rejection] = field(default_factory=list)
    halts: list[Halt] = field(default_factory=list)
    ended: list[ne.EndEpoch] = field(default_factory=list)
    timers: dict[object, tuple[int, int]] = field(default_factory=dict)
    hold_execution: bool = False

    def start(self, **changes: object) -> None:
        league = self.league
        tip = league.genesis.ref
        fields = {
            "config": league.config(self.index),
            "tip": tip,
            "tip_certificate": league.certificate,
            "executed": ((0, league.genesis.header.exec_root),),
            "records": (),
            "bodies": (),
            "recent": (),
            "voting": True,
        }
        self.feed(nv.NodeStart, **(fields | changes))

    def feed(self, kind: type, **fields: object) -> None:
        """Step one event and everything that follows from it."""
        events = [(kind, fields)]
        while events:
            kind, fields = events.pop(0)
            for effect in self.core.step(kind(now=self.now, wall=self.wall, **fields)):
                events += self.perform(effect)

    @property
    def wall(self) -> int:
        return self.league.genesis.ref.time_ms + self.now // MS

    def perform(self, effect: ne.NodeEffect) -> list[tuple[type, dict[str, object]]]:
        match effect:
            case ne.VerifyVotes():
                valid = 0
                for position, one in enumerate(effect.items):
                    digest = signing_digest_of(one.kind, self.league.chain_id, one.body)
                    valid |= verify_strict(self.league.keys[one.signer], one.signature, digest) << position
                return [(nv.VotesVerified, {"token": effect.token, "valid": valid})]
            case ne.VerifyTransactions():
                verdicts = tuple(
                    all(verify_strict(key, signature, tx.digest) for key, signature in tx.signatures)
                    for tx in effect.transactions
                )
                return [(nv.TransactionsVerified, {"token": effect.token, "verdicts": verdicts})]
            case ne.AppendJournal():
                self.journal.append(effect)
                return [(nv.JournalDurable, {"lsn": effect.lsn})]
            case ne.SendPeer():
                self.sent.append((effect.to, effect.message))
            case ne.BroadcastPeer():
                self.sent.append((None, effect.message))
            case ne.StoreBlock():
                self.stored.append(effect)
            case ne.Execute():
                self.executed.append(effect)
                if not self.hold_execution:
                    return [(nv.BlockExecuted, self.result(effect.height))]
            case ne.Answer():
                self.answers.append(effect)
            case ne.Penalty():
                self.penalties.append(effect)
            case ne.Rejection():
                self.rejections.append(effect)
            case ne.SetTimer():
                self.timers[effect.timer] = (effect.generation, effect.deadline_ns)
            case ne.CancelTimer():
                self.timers.pop(effect.timer, None)
            case ne.EndEpoch():
                self.ended.append(effect)
            case Halt():
                self.halts.append(effect)
            case _:
                pass
        return []

    @staticmethod
    def result(height: int) -> dict[str, object]:
        root = bytes([height % 256]) * 32
        return {"height": height, "exec_root": root, "state_root": root, "receipts": ()}

    def pass_time(self, milliseconds: int) -> None:
        """Fire what falls due, in order."""
        end = self.now + milliseconds * MS
        while True:
            due = sorted((deadline, str(timer), timer) for timer, (_, deadline) in self.timers.items())
            if not due or due[0][0] > end:
                break
            timer = due[0][2]
            generation, deadline = self.timers.pop(timer)
            self.now = max(self.now, deadline)
            self.feed(nv.TimerElapsed, timer=timer, generation=generation)
        self.now = end

    def receive(self, peer: int, message: object) -> None:
        self.feed(nv.PeerReceived, peer=peer, message=message)

    def messages(self, kind: type) -> list[object]:
        return [message for _, message in self.sent if isinstance(message, kind)]


@pytest.fixture
def shell() -> Callable[..., Shell]:
    """Return a maker of started cores: `shell(index=0, members=4, **parameters)`."""

    def build(index: int = 0, members: int = 4, **parameters: int) -> Shell:
        league = found(SEVEN[:members], Params(**parameters), True)
        key = league.firms[index].consensus_key

        class Signer:
            def sign(self, kind: str, body: bytes) -> bytes:
                return key.sign(signing_digest_of(kind, league.chain_id, body))

        return Shell(league, index, NodeCore(Signer(), NodeContext(read=lambda: league.state)))

    return build


def header(proposal: Proposal) -> Header:
    return header_codec.decode(proposal.header)
