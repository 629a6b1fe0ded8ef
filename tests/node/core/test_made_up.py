"""A primary makes up transactions that no block may hold: its block is refused, and nothing of it stays behind (P130, P131).

It needs one proposal, and the other members fetch the bodies themselves. Once they lay in everybody's pool, at the head of
the queue, and no correct primary could propose a good block any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from consensus.events import Verdict
from consensus.messages import PrePrepare, Proposal
from consensus.state import primary_of
from consensus.validate import signing_digest_of
from ledger.block import block_id, list_root
from ledger.certificate import Vote, certificate_hash
from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey
from ledger.transaction import SignerRef, TxBody, decode_transaction, sign_transaction
from node.core import effects as ne
from node.core import events as nv
from node.core.messages import Bodies, BodiesRequest, TxBatch

from .conftest import MS, Pool, Shell


def made_up(league: Any, firm: int, nonce: int, valid: int = 1_000, gas: int = 10_000, text: str = "x") -> bytes:
    """A transaction in the name of an honest user, signed with a key that nobody registered."""
    person = league.firms[firm].staff["preparer"]
    signer = SignerRef(person.user_id, "maker", person.company)
    body = TxBody(1, (signer,), nonce, valid, "notes", "keep", (text, nonce), gas)
    return sign_transaction(body, [SigningKey(b"\7" * 32)], league.chain_id)


def honest_tx(league: Any, firm: int, nonce: int, valid: int = 1_000) -> bytes:
    person = league.firms[firm].staff["preparer"]
    signer = SignerRef(person.user_id, "maker", person.company)
    return sign_transaction(
        TxBody(1, (signer,), nonce, valid, "notes", "keep", ("real", nonce), 10_000), [person.key], league.chain_id
    )


def first_block(nodes: list[Shell], liar: int, ids: tuple[bytes, ...], size_bytes: int) -> PrePrepare:
    """A signed proposal of `liar` for height 1 with these ids, right in all else."""
    league = nodes[liar].league
    header = msgspec.structs.replace(
        nodes[liar].core._header_base(1), height=1, parent_id=league.genesis.ref.block_id, tx_root=list_root(ids),
        tx_count=len(ids), size_bytes=size_bytes, time_ms=nodes[0].wall, proposer=liar,
        last_cert_hash=certificate_hash(league.certificate),
    )  # fmt: skip
    raw = encode(header)
    vote = Vote(0, 0, 1, block_id(raw))
    signature = league.firms[liar].consensus_key.sign(signing_digest_of("pre-prepare", league.chain_id, encode(vote)))
    return PrePrepare(liar, vote, signature, Proposal(raw, ids, league.certificate))


def spread(nodes: list[Shell], ms: int) -> Iterator[tuple[Shell, int | None, Any]]:
    """Let time pass and deliver what these nodes say to each other; yield what is addressed to anybody else too."""
    for _ in range(ms // 10):
        for one in nodes:
            one.pass_time(10)
        while batch := [(one, to, message) for one in nodes for to, message in one.sent]:
            for one in nodes:
                one.sent.clear()
            for sender, to, message in batch:
                for one in nodes:
                    if one is not sender and (to is None or to == one.index):
                        one.receive(sender.index, message)
                yield sender, to, message


@pytest.mark.parametrize(
    "wrong",
    [{"gas": 6_000_000}, {"gas": 300_000}, {"valid": 1_000_000}, {}],
    ids=["more gas than a block", "more gas than a transaction", "valid for too long", "nobody's key"],
)
def test_p131_what_a_lying_primary_made_up_enters_no_pool_and_stops_nobody(
    shell: Callable[..., Shell], wrong: dict[str, int]
) -> None:
    nodes = [shell(index=index) for index in range(4)]
    for one in nodes:
        one.start()
    liar = primary_of(nodes[0].core.replica.state, 1)
    honest = [one for one in nodes if one.index != liar]
    for one in honest:
        for other in honest:
            if other is not one:
                one.feed(nv.PeerConnected, peer=other.index)
    league, client = nodes[0].league, honest[0]
    lie = made_up(league, client.index, 50, **wrong)
    ids = (decode_transaction(lie, league.chain_id).tx_id,)
    proposed = first_block(nodes, liar, ids, len(lie))
    for one in honest:
        one.receive(liar, proposed)
    asked = 0
    for sender, to, message in spread(honest, 100):
        if to == liar and isinstance(message, BodiesRequest):
            asked += 1
            sender.receive(liar, Bodies(message.block_id, (lie,)))
    assert asked >= 3, "all have fetched it"
    assert [len(one.core.mempool.waiting) for one in honest] == [0, 0, 0]
    for nonce in range(1, 4):
        client.feed(nv.Submitted, token=nonce, envelopes=(honest_tx(league, client.index, nonce),))
    for _ in spread(honest, 60_000):
        pass
    assert min(one.core.replica.state.tip.height for one in honest) > 0 and not any(one.halts for one in honest)
    assert [len(one.core.mempool.waiting) for one in honest] == [0, 0, 0], "everything of the client is committed"
    client.answers.clear()
    client.feed(nv.Submitted, token=99, envelopes=(honest_tx(league, client.index, 50),))
    assert [result.code for answer in client.answers for result in answer.results] == [""], "its nonces are its own"


def proposal_of(pool: Pool, envelopes: list[bytes], size_bytes: int) -> tuple[bytes, Proposal]:
    league = pool.league
    ids = tuple(decode_transaction(one, league.chain_id).tx_id for one in envelopes)
    header = msgspec.structs.replace(
        league.genesis.header, height=pool.pool.height + 1, tx_root=list_root(ids), tx_count=len(ids),
        size_bytes=size_bytes, time_ms=pool.now // MS,
    )  # fmt: skip
    raw = encode(header)
    return block_id(raw), Proposal(raw, ids, league.certificate)


def test_p131_bodies_beyond_the_size_that_a_header_names_are_not_gathered(make: Callable[..., Pool]) -> None:
    pool = make(own=0)
    lies = [made_up(pool.league, 1, nonce, text="x" * 20_000) for nonce in range(1, 21)]
    identity, proposal = proposal_of(pool, lies, 50_000)
    assert pool.pool.check(identity, proposal, ()) == (Verdict.MISSING, "bodies")
    for lie in lies:
        pool.settle(pool.pool.receive_bodies(1, Bodies(identity, (lie,))))
    assert pool.pool.completed() == [(identity, Verdict.INVALID, "size_bytes")]
    assert not pool.pool._bodies and not pool.pool.waiting


def test_p131_bodies_of_a_refused_proposal_are_forgotten(make: Callable[..., Pool]) -> None:
    pool = make(own=0)
    lies = [made_up(pool.league, 1, nonce, valid=1_000_000) for nonce in range(1, 4)]
    identity, proposal = proposal_of(pool, lies, sum(map(len, lies)))
    assert pool.pool.check(identity, proposal, ()) == (Verdict.MISSING, "bodies")
    pool.settle(pool.pool.receive_bodies(1, Bodies(identity, tuple(lies))))
    assert pool.pool.completed() == [(identity, Verdict.INVALID, "validity_too_long")]
    assert not pool.pool._bodies and not pool.pool.waiting


def test_p131_bodies_of_a_proposal_whose_height_is_decided_are_forgotten(make: Callable[..., Pool]) -> None:
    pool = make(own=0)
    lies = [made_up(pool.league, 1, nonce) for nonce in range(1, 4)]
    identity, proposal = proposal_of(pool, lies, sum(map(len, lies)))
    assert pool.pool.check(identity, proposal, ()) == (Verdict.MISSING, "bodies")
    pool.settle(pool.pool.receive_bodies(1, Bodies(identity, tuple(lies[:2]))))
    assert len(pool.pool._bodies) == 2
    empty = pool.build(empty=True)
    assert empty is not None
    pool.commit(empty)
    assert not pool.pool._bodies and pool.pool.completed() == []


def test_lr2_a_transaction_that_lapses_at_the_verifier_does_not_wait_for_ever(make: Callable[..., Pool]) -> None:
    pool = make(own=0)
    pool.submit(pool.envelope(2, 1))
    held = pool.pool.receive(1, TxBatch((pool.envelope(1, 7, valid=1),)))
    ours = pool.pool.submit(9, (pool.envelope(3, 7, valid=1),))
    good = pool.build()
    assert good is not None
    pool.commit(good)
    pool.settle(held)
    answers = [effect for effect in pool.settle(ours) if isinstance(effect, ne.Answer)]
    assert [result.code for answer in answers for result in answer.results] == ["expired"]
    assert not pool.pool.waiting and pool.pool.work(pool.now, 0).count == 0


def test_lr2_a_transaction_that_is_committed_while_it_is_at_the_verifier_did_not_lapse(
    make: Callable[..., Pool],
) -> None:
    """Another node proposed it for its last height: its client is not told that it came too late."""
    pool, other = make(own=0), make(own=1)
    envelope = pool.envelope(1, 7, valid=1)
    other.submit(envelope)
    block = other.build()
    assert block is not None
    ours = pool.pool.submit(9, (envelope,))
    pool.pool.committed(other.candidate(block))
    answers = [effect for effect in pool.settle(ours) if isinstance(effect, ne.Answer)]
    assert [result.code for answer in answers for result in answer.results] == [""]
    assert not pool.pool.waiting
