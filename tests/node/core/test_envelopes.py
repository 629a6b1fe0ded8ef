"""One id, one result: whoever serves the bodies of a block, all members execute the same (I14, I22, ADR 0031).

What is signed does not name the keys, so anybody can sign it with a key of his own. Once that made another envelope with
the same id: members that held different ones executed one block to different results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from consensus.messages import Committed
from consensus.state import primary_of
from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey, verify_strict
from ledger.transaction import Envelope, SignerRef, TxBody, decode_transaction, envelope_codec, sign_transaction
from node.core import effects as ne
from node.core import events as nv
from node.core.messages import Blocks, BlocksRequest, Bodies, BodiesRequest, CertifiedBlock, TxBatch

from .conftest import Pool, Shell
from .test_made_up import first_block, spread


def twins(league: Any, firm: int) -> tuple[bytes, bytes]:
    """One body under two keys: that of the user, and somebody's."""
    person = league.firms[firm].staff["preparer"]
    signer = SignerRef(person.user_id, "maker", person.company)
    body = TxBody(1, (signer,), 1, 1_000, "notes", "keep", ("x", 1), 10_000)
    keys = person.key, SigningKey(b"\7" * 32)
    right, wrong = (sign_transaction(body, [key], league.chain_id) for key in keys)
    return right, wrong


def test_one_body_under_two_keys_is_two_transactions_and_both_are_signed_right(shell: Callable[..., Shell]) -> None:
    league = shell(index=0).league
    right, wrong = (decode_transaction(one, league.chain_id) for one in twins(league, 0))
    for tx in (right, wrong):
        ((key, signature),) = tx.signatures
        assert verify_strict(key, signature, tx.digest)
    assert right.digest == wrong.digest and right.tx_id != wrong.tx_id and len(right.envelope) == len(wrong.envelope)


@pytest.mark.parametrize("served", ["to one the true one", "to one another one"])
def test_p131_a_primary_that_serves_other_keys_gives_no_block_two_contents(
    shell: Callable[..., Shell], served: str
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
    league = nodes[0].league
    right, wrong = twins(league, liar)
    ids = (decode_transaction(right, league.chain_id).tx_id,)
    proposed = first_block(nodes, liar, ids, len(right))
    for one in honest:
        one.receive(liar, proposed)
    few = (right, wrong) if served == "to one the true one" else (wrong, right)
    for sender, to, message in spread(honest, 3_000):
        if to == liar and isinstance(message, BodiesRequest):
            sender.receive(liar, Bodies(message.block_id, (few[0] if sender is honest[0] else few[1],)))
    first = [one.stored[0].envelopes for one in honest]
    assert first == [(right,)] * 3, "who was served another one has it from the others"


def test_p107_a_certified_block_with_another_key_in_an_envelope_is_not_taken(shell: Callable[..., Shell]) -> None:
    nodes = [shell(index=index) for index in range(4)]
    work, late = nodes[:3], nodes[3]
    for one in nodes:
        one.start()
    for one in work:
        for other in work:
            if other is not one:
                one.feed(nv.PeerConnected, peer=other.index)
    right, wrong = twins(late.league, 0)
    work[0].feed(nv.Submitted, token=1, envelopes=(right,))
    for _ in spread(work, 20_000):
        pass
    block = work[0].stored[0]
    assert block.envelopes == (right,)
    late.feed(nv.PeerConnected, peer=0)
    late.receive(0, Committed(block.certificate))
    for _ in range(50):
        late.pass_time(100)
        if late.messages(BlocksRequest):
            late.receive(0, Blocks((CertifiedBlock(block.header_bytes, (wrong,), block.certificate),)))
        late.sent.clear()
    assert not late.stored and ne.Penalty(peer=0, reason="sync_tx_root") in late.penalties


def test_e16_what_waits_is_not_verified_under_every_signature_that_its_keys_make(make: Callable[..., Pool]) -> None:
    """The owner of a key can make as many signatures of one call as it likes, all of them right."""
    pool = make(own=0)
    true = pool.envelope(1, 1)
    pool.gossiped(1, true)
    (waiting,) = pool.pool.waiting.values()
    body = envelope_codec.decode(true).body
    ((key, _),) = waiting.tx.signatures
    frame = TxBatch(tuple(encode(Envelope(body, ((key, bytes([number]) * 64),))) for number in range(200)))
    assert pool.pool.receive(3, frame) == []
    answers = pool.settle(pool.pool.submit(9, frame.envelopes[:1]))
    assert [result.detail for answer in answers for result in answer.results] == ["already waiting"]
    assert waiting.ours, "what is handed in here once more is told to all (P132)"
