"""Admission, gossip, bodies, building and checking of the mempool (P130, P131, P141, LR2-LR4, I26)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec
import pytest

from consensus.events import Verdict
from consensus.membership import membership
from ledger.block import block_id, header_codec, list_root
from ledger.codec import encode
from ledger.evidence import split_bodies
from ledger.registry.lookup import UNUSED, encode_nonces, mandate_key, nonce_key, use_nonce
from ledger.registry.records import Mandate
from ledger.transaction import SignerRef, TxBody, decode_transaction, envelope_hash, sign_transaction
from node.core import effects as ne
from node.core import mempool
from node.core.messages import Bodies, TxBatch

from .conftest import MS, Pool, header


@pytest.fixture
def pool(make: Callable[..., Pool]) -> Pool:
    return make()


def tx_id(pool: Pool, envelope: bytes) -> bytes:
    return decode_transaction(envelope, pool.league.chain_id).tx_id


def names(effects: list[ne.NodeEffect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


# admission


def test_a_good_transaction_is_accepted_and_waits(pool: Pool) -> None:
    envelope = pool.envelope(0, 1)
    (result,) = pool.submit(envelope)
    assert (result.code, result.tx_id) == ("", tx_id(pool, envelope))
    assert list(pool.pool.waiting) == [result.tx_id] and pool.pool.waiting_bytes == len(envelope)
    work = pool.pool.work(pool.now, 5)
    assert (work.count, work.size_bytes, work.oldest_ns) == (1, len(envelope), pool.now)


def test_the_answer_has_one_result_for_each_envelope_in_order(pool: Pool) -> None:
    good, other = pool.envelope(0, 1), pool.envelope(1, 1)
    results = pool.submit(good, b"\xc1", other, good)
    assert [result.code for result in results] == ["", "malformed", "", ""]
    assert results[3].tx_id == results[0].tx_id and len(pool.pool.waiting) == 2


def test_cheap_checks_come_before_signatures(pool: Pool) -> None:
    """E16: what can be refused without a signature check costs none."""
    refused = {
        "expired": pool.envelope(0, 1, valid=0),
        "gas_limit": pool.envelope(0, 2, gas=1_000_000),
        "bad_nonce": pool.envelope(0, 1_000),
        "bad_signer": stranger(pool),
    }
    for code, envelope in refused.items():
        effects = pool.pool.submit(1, (envelope,))
        assert names(effects) == ["Answer"]
        assert effects[0].results[0].code == code, effects[0].results[0]
        assert effects[0].results[0].detail
        refusal = ne.Rejection(peer=2, reason=f"tx_{code}")
        assert pool.pool.receive(2, TxBatch((envelope,))) == [
            ne.Tally(metric=f"mempool_rejected.{code}", value=1),
            refusal,
        ]


def test_a_member_that_passes_on_what_is_no_transaction_is_charged_once_a_batch(pool: Pool) -> None:
    good = pool.envelope(0, 1)
    effects = pool.pool.receive(2, TxBatch((good, b"\xc1", b"\xc2", b"junk")))
    assert [effect for effect in effects if isinstance(effect, ne.Penalty)] == [
        ne.Penalty(peer=2, reason="malformed_tx")
    ]
    pool.settle(effects)
    assert len(pool.pool.waiting) == 1


def stranger(pool: Pool) -> bytes:
    """Signed by somebody the registry does not know under that key."""
    import dataclasses

    firm = pool.league.firms[0]
    person = dataclasses.replace(firm.staff["preparer"], key=pool.league.firms[1].staff["preparer"].key)
    twisted = dataclasses.replace(firm, staff={**firm.staff, "preparer": person})
    league = dataclasses.replace(pool.league, firms=(twisted, *pool.league.firms[1:]))
    return dataclasses.replace(pool, league=league).envelope(0, 1)


def test_a_transaction_larger_than_a_block_is_refused(make: Callable[..., Pool]) -> None:
    pool = make(max_block_bytes=64 * 1024)
    (result,) = pool.submit(pool.envelope(0, 1, text="x" * 70_000))
    assert result.code == "size" and not pool.pool.waiting


def test_lr4_a_bad_signature_condemns_the_envelope_and_not_the_id(pool: Pool) -> None:
    envelope = pool.envelope(0, 1)
    forged = bytes([*envelope[:-1], envelope[-1] ^ 1])
    assert tx_id(pool, forged) == tx_id(pool, envelope) and envelope_hash(forged) != envelope_hash(envelope)
    effects = pool.gossiped(2, forged, good=False)
    assert ne.Penalty(peer=2, reason="bad_signature") in effects
    assert pool.gossiped(3, forged) == [ne.Penalty(peer=3, reason="bad_signature")]  # remembered, not verified again
    (result,) = pool.submit(forged, good=False)
    assert result.code == "bad_signature"
    (result,) = pool.submit(envelope)  # the true one is as good as ever
    assert result.code == "" and len(pool.pool.waiting) == 1


def test_an_envelope_at_the_verifier_is_not_verified_twice(pool: Pool) -> None:
    envelope = pool.envelope(0, 1)
    first = pool.pool.submit(1, (envelope,))
    assert names(first) == ["VerifyTransactions"]
    assert pool.pool.submit(2, (envelope,)) == [] and pool.pool.receive(3, TxBatch((envelope,))) == []
    effects = pool.settle(first)
    assert sorted(effect.token for effect in effects if isinstance(effect, ne.Answer)) == [1, 2]  # both are told
    assert pool.pool._held_bytes == len(envelope)


def test_a_second_transaction_with_the_nonce_of_a_waiting_one_is_refused(pool: Pool) -> None:
    pool.submit(pool.envelope(0, 1, text="first"))
    (result,) = pool.submit(pool.envelope(0, 1, text="second"))
    assert result.code == "conflict" and result.detail
    pair = pool.envelope(0, 2, text="a"), pool.envelope(0, 2, text="b")
    results = pool.submit(*pair)  # both pass the cheap checks before either is verified
    assert sorted(result.code for result in results) == ["", "conflict"]


def test_lr3_a_nonce_used_on_the_chain_is_refused(pool: Pool) -> None:
    user = pool.league.firms[0].staff["preparer"].user_id
    pool.state.rows[nonce_key(user)] = encode_nonces(use_nonce(UNUSED, 1))
    pool.pool._state = None
    (used, free) = pool.submit(pool.envelope(0, 1), pool.envelope(0, 2))
    assert (used.code, free.code) == ("bad_nonce", "")


def test_p141_the_quota_is_that_of_the_origin(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "WAITING_TXS", 2 * pool.pool.evidence.members.n)
    monkeypatch.setattr(mempool, "SHARE_TXS_MIN", 1)
    pool.gossiped(1, *(pool.envelope(1, nonce) for nonce in range(1, 7)))
    assert len(pool.pool.waiting) == 4  # others may run ahead of us: they have heard of a block that is not here yet
    assert pool.pool.room == 2
    assert [result.code for result in pool.submit(*(pool.envelope(0, n) for n in (1, 2, 3)))] == [
        "",
        "",
        "mempool_full",
    ]
    assert pool.pool.room == 0
    assert len(pool.pool.waiting) == 6  # one flooding member fills only its own share (T29)
    proposal = pool.build()
    assert proposal is not None
    pool.commit(proposal)
    assert pool.submit(pool.envelope(0, 3))[0].code == ""  # what is committed frees its place
    company = pool.league.firms[1].company_id
    for origin in (1, company):  # the link while it was at the verifier, the company while it waited
        assert pool.pool._origin_txs[origin] == 0 and pool.pool._origin_bytes[origin] == 0


def flooded(make: Callable[..., Pool], liar: int, seats: tuple[int, ...]) -> tuple[Pool, Pool]:
    """A primary, and a member that handed it all that the liar's people gave to it only; 40 may wait for a company."""
    primary, honest = make(own=0), make(own=1)
    for one in (primary, honest):
        spec = one.league.epoch
        members = tuple(spec.members[seat] for seat in seats)
        one.pool.evidence.members = membership(dataclasses.replace(spec, members=members), one.league.chain_id, 0)
        one.pool.new_turn(one.now, 0, 0)
    for one, role in ((primary, "preparer"), (honest, "approver")):
        one.gossiped(liar, *(one.envelope(liar, nonce, role=role) for nonce in range(1, 42)))
        assert len(one.pool.waiting) == 40
    handed = [effect for _ in range(4) for effect in honest.forward(2_000) if isinstance(effect, ne.SendPeer)]
    assert handed, "every member hands the primary all that it holds (P132)"
    for effect in handed:
        assert isinstance(effect.message, TxBatch)
        primary.gossiped(1, *effect.message.envelopes)
    return primary, honest


@pytest.mark.parametrize("seats", [(0, 1, 2, 3), (0, 1, 2)], ids=["a member", "without a seat"])
def test_p141_who_passes_on_the_flood_of_another_company_does_not_pay_for_it(
    make: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch, seats: tuple[int, ...]
) -> None:
    monkeypatch.setattr(mempool, "WAITING_TXS", 20 * len(seats))
    monkeypatch.setattr(mempool, "SHARE_TXS_MIN", 20)
    primary, honest = flooded(make, 3, seats)
    assert len(primary.pool.waiting) == 40
    own = primary.envelope(1, 1)
    assert honest.submit(own)[0].code == ""
    assert primary.gossiped(1, own) == [] and tx_id(primary, own) in primary.pool.waiting
    assert primary.pool.room == 20


def test_p141_forged_names_use_up_the_quota_of_their_link_only(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "WAITING_TXS", 8)
    monkeypatch.setattr(mempool, "SHARE_TXS_MIN", 1)
    held = pool.pool.receive(3, TxBatch(tuple(pool.envelope(1, nonce) for nonce in range(1, 9))))
    assert sum(isinstance(effect, ne.Rejection) for effect in held) == 4  # at the verifier, and none of it is true
    assert pool.gossiped(1, pool.envelope(1, 20)) == []
    pool.settle(held, good=False)
    assert list(pool.pool.waiting) == [tx_id(pool, pool.envelope(1, 20))]
    person = pool.league.firms[1].staff["preparer"]
    for number in range(10):
        body = TxBody(
            1, (SignerRef(f"u{number}", "maker", person.company),), 1, 1_000, "notes", "keep", ("x", 1), 10_000
        )
        made_up = sign_transaction(body, [person.key], pool.league.chain_id)
        assert ne.Rejection(peer=3, reason="tx_bad_signer") in pool.gossiped(3, made_up)
    assert list(pool.pool._companies) == [person.user_id], "names of nobody are not remembered"


def test_p141_an_agent_uses_the_quota_of_its_own_company(pool: Pool) -> None:
    """A mandate lets it act for another one, which could be left without a place of its own (F12)."""
    agent, principal = pool.league.firms[3].staff["preparer"], pool.league.firms[1].company_id
    row = Mandate(principal, agent.user_id, ("preparer",), 0, 1 << 50, "active")
    pool.state.rows[mandate_key(principal, agent.user_id)] = encode(row)
    assert pool.gossiped(2, pool.envelope(3, 1, acts_for=1)) == []
    ((waiting),) = pool.pool.waiting.values()
    assert waiting.origin == agent.company != principal


def test_p141_shares_are_of_the_whole_network(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pool.pool.share == mempool.WAITING_TXS // pool.pool.evidence.members.n == pool.pool.room
    monkeypatch.setattr(mempool, "WAITING_TXS", 1)
    assert pool.pool.share == mempool.SHARE_TXS_MIN


@pytest.mark.parametrize("bound", ["POOL_BYTES_MAX", "ORIGIN_BYTES_MAX"])
def test_p141_bytes_are_bounded_and_what_is_at_the_verifier_counts(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    envelope = pool.envelope(0, 1)
    monkeypatch.setattr(mempool, bound, 2 * len(envelope) + 10)
    effects = pool.pool.submit(1, tuple(pool.envelope(0, nonce) for nonce in range(1, 6)))
    run = next(effect for effect in effects if isinstance(effect, ne.VerifyTransactions))
    assert len(run.transactions) == 2
    pool.settle(effects)
    assert len(pool.pool.waiting) == 2 and pool.pool._held_bytes == pool.pool.waiting_bytes


def test_a_batch_that_is_too_large_is_misbehaviour(pool: Pool) -> None:
    many = TxBatch((b"x",) * (mempool.BATCH_ENVELOPES_MAX + 1))
    assert pool.pool.receive(1, many) == [ne.Penalty(peer=1, reason="batch_too_large")]


def test_the_memory_of_bad_envelopes_is_bounded(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "REFUSED_MAX", 3)
    for nonce in range(1, 10):
        pool.gossiped(1, pool.envelope(0, nonce), good=False)
    assert len(pool.pool._refused) == 3


# gossip


def test_p130_only_what_was_admitted_here_is_gossiped_and_once(pool: Pool) -> None:
    mine = pool.envelope(0, 1)
    pool.submit(mine)
    pool.gossiped(1, pool.envelope(1, 1))
    assert pool.pool.has_outbox
    (sent,) = pool.pool.gossip()
    assert isinstance(sent, ne.BroadcastPeer) and sent.message == TxBatch((mine,))
    assert pool.pool.gossip() == [] and not pool.pool.has_outbox


def test_p130_frames_are_bounded(pool: Pool) -> None:
    envelopes = [pool.envelope(0, nonce, text="x" * 20_000) for nonce in range(1, 31)]
    effects = pool.settle(pool.pool.submit(1, tuple(envelopes)))
    sent = [effect for effect in effects if isinstance(effect, ne.BroadcastPeer)]
    assert [one for effect in sent for one in effect.message.envelopes] == envelopes  # full frames leave at once
    assert all(sum(map(len, effect.message.envelopes)) <= 4 * mempool.BATCH_BYTES for effect in sent)


def test_u19_a_resubmission_makes_this_node_vouch_for_it(pool: Pool) -> None:
    pool.pool.new_turn(pool.now, 2, 0)
    envelope = pool.envelope(1, 1)
    pool.gossiped(1, envelope)
    (result,) = pool.submit(envelope)
    assert result.detail == "already waiting"
    (sent,) = pool.forward(1)  # at once, not after T_fwd
    assert isinstance(sent, ne.SendPeer) and sent.message.envelopes == (envelope,)


@pytest.mark.parametrize("checking", [False, True], ids=["waiting", "being checked"])
def test_u19_what_a_client_hands_in_once_more_is_told_to_all_where_no_primary_is_known(
    pool: Pool, checking: bool
) -> None:
    """Swarm seed 23527: who took it first had crashed, the frame to the primary was lost, and this member was alone."""
    envelope = pool.envelope(1, 1)
    if checking:
        checks = pool.pool.receive(1, TxBatch((envelope,)))
        assert pool.pool.submit(1, (envelope,)) == []
        pool.settle(checks)
    else:
        pool.gossiped(1, envelope)
        pool.submit(envelope)
    pool.pool.new_turn(pool.now, 2, 0)
    pool.forward(1)  # to the primary: lost
    pool.pool.gossip()  # lost too
    pool.pool.new_turn(pool.now, mempool.UNLED, 0)
    told = [sent for _ in range(4) for sent in pool.forward(pool.pool.params.fwd_ms)]
    assert any(isinstance(sent, ne.BroadcastPeer) and sent.message == TxBatch((envelope,)) for sent in told)


def test_u19_what_was_admitted_here_is_told_again_where_no_primary_is_known(pool: Pool) -> None:
    """Swarm seed 1328: a member that woke up alone in a later view, and whose one frame of gossip was lost."""
    mine, other = pool.envelope(0, 1), pool.envelope(1, 1)
    pool.submit(mine)
    pool.gossiped(1, other)
    pool.pool.gossip()  # lost
    fwd_ms = pool.pool.params.fwd_ms
    assert pool.forward(fwd_ms - 1) == []
    (sent,) = pool.forward(1)
    assert isinstance(sent, ne.BroadcastPeer) and sent.message == TxBatch((mine,))
    assert pool.forward(1) == []  # not before twice the time


@pytest.mark.parametrize("before", ["ours", "nobodys"])
def test_p132_what_waited_while_nobody_else_led_is_handed_to_the_next_primary(pool: Pool, before: str) -> None:
    """Swarm seed 6610: the pauses had doubled while this node led, and a view change gave the lead to another."""
    if before == "ours":
        pool.pool.new_turn(pool.now, pool.own, 0)
    envelope = pool.envelope(1, 1)
    pool.gossiped(1, envelope)
    fwd_ms = pool.pool.params.fwd_ms
    for wait in range(4):
        assert pool.forward(fwd_ms << wait) == []
    pool.pool.new_turn(pool.now, 2, 0)
    (sent,) = pool.forward(fwd_ms)
    assert isinstance(sent, ne.SendPeer) and sent.to == 2 and sent.message.envelopes == (envelope,)


# building and checking


def test_p45_the_oldest_come_first_and_the_header_binds_them(pool: Pool) -> None:
    envelopes = [pool.envelope(firm, nonce) for nonce in (1, 2) for firm in (0, 1, 2)]
    pool.submit(*envelopes)
    proposal = pool.build(max_txs=4)
    assert proposal is not None
    ids = tuple(tx_id(pool, envelope) for envelope in envelopes[:4])
    top = header(proposal)
    assert proposal.tx_ids == ids and (top.tx_root, top.tx_count) == (list_root(ids), 4)
    assert top.size_bytes == sum(map(len, envelopes[:4])) and top.proposer == pool.own
    assert pool.pool.check(block_id(proposal.header), proposal, ()) == (Verdict.OK, "")
    assert len(pool.pool.waiting) == 6  # proposed is not committed


def test_p30i_what_the_ancestors_in_flight_hold_is_not_proposed_and_not_accepted_again(pool: Pool) -> None:
    pool.submit(*(pool.envelope(0, nonce) for nonce in (1, 2, 3)))
    first = pool.build(max_txs=2)
    assert first is not None
    second = pool.build(first.tx_ids, height=2, parent=block_id(first.header))
    assert second is not None and len(second.tx_ids) == 1 and not set(second.tx_ids) & set(first.tx_ids)
    taken = (*first.tx_ids, *second.tx_ids)
    assert pool.build(taken, height=3) is None
    assert pool.pool.check(block_id(second.header), second, first.tx_ids) == (Verdict.OK, "")
    repeats = pool.build(height=2, parent=block_id(first.header))
    assert repeats is not None
    assert pool.pool.check(block_id(repeats.header), repeats, first.tx_ids) == (Verdict.INVALID, "duplicate")


def test_the_first_transaction_is_taken_even_above_a_lowered_cap(pool: Pool) -> None:
    """P46 may have lowered the cap below one large transaction; the queue behind it must not wait for ever."""
    pool.submit(pool.envelope(0, 1, text="x" * 90_000), pool.envelope(0, 2))
    proposal = pool.build(max_size=64 * 1024)
    assert proposal is not None and len(proposal.tx_ids) == 1
    pool.commit(proposal)
    proposal = pool.build(max_size=64 * 1024)
    assert proposal is not None and len(proposal.tx_ids) == 1


def test_gas_and_bytes_bound_a_block(make: Callable[..., Pool]) -> None:
    pool = make(max_block_gas=200_000, max_tx_gas=100_000)
    pool.submit(*(pool.envelope(0, nonce, gas=90_000) for nonce in (1, 2, 3)))
    proposal = pool.build()
    assert proposal is not None and len(proposal.tx_ids) == 2
    proposal = pool.build(max_size=len(pool.envelope(0, 1)) + 1)
    assert proposal is not None and len(proposal.tx_ids) == 1


def test_nothing_to_propose_is_none_and_a_proof_block_is_empty(pool: Pool) -> None:
    assert pool.build() is None
    proof = pool.build(empty=True)
    assert proof is not None and proof.tx_ids == () and header(proof).tx_count == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tx_root": bytes(32)}, "tx_root"),
        ({"tx_count": 5}, "tx_count"),
        ({"size_bytes": 1}, "size_bytes"),
        ({"evidence_root": bytes(32)}, "evidence_root"),
    ],
)
def test_scenario_39_a_header_that_lies_about_its_content_is_invalid(
    pool: Pool, make: Callable[..., Pool], changes: dict[str, object], reason: str
) -> None:
    other = make(own=1)
    envelope = other.envelope(1, 1)
    for one in (other, pool):
        one.gossiped(1, envelope)
    proposal = other.build()
    assert proposal is not None
    raw = encode(msgspec.structs.replace(header(proposal), **changes))
    lying = msgspec.structs.replace(proposal, header=raw)
    assert pool.pool.check(block_id(raw), lying, ()) == (Verdict.INVALID, reason)
    assert pool.pool.check(block_id(proposal.header), proposal, ()) == (Verdict.OK, "")


def test_an_id_twice_in_one_block_and_one_of_the_chain_are_duplicates(pool: Pool, make: Callable[..., Pool]) -> None:
    other = make(own=1)
    envelope = other.envelope(1, 1)
    for one in (other, pool):
        one.gossiped(1, envelope)
    proposal = other.build()
    assert proposal is not None
    twice = (*proposal.tx_ids, *proposal.tx_ids)
    raw = encode(msgspec.structs.replace(header(proposal), tx_count=2, tx_root=list_root(twice)))
    bad = msgspec.structs.replace(proposal, header=raw, tx_ids=twice)
    assert pool.pool.check(block_id(raw), bad, ()) == (Verdict.INVALID, "duplicate")
    assert pool.pool.check(block_id(proposal.header), proposal, ()) == (Verdict.OK, "")
    pool.commit(proposal)
    raw = encode(msgspec.structs.replace(header(proposal), height=2))
    replayed = msgspec.structs.replace(proposal, header=raw)
    assert pool.pool.check(block_id(raw), replayed, ()) == (Verdict.INVALID, "duplicate")  # I4


# bodies


def foreign(pool: Pool, make: Callable[..., Pool], count: int = 2) -> tuple[bytes, object, list[bytes]]:
    """A proposal of another node whose transactions are not here."""
    other = make(own=1)
    envelopes = [other.envelope(1, nonce) for nonce in range(1, count + 1)]
    other.gossiped(1, *envelopes)
    proposal = other.build()
    assert proposal is not None
    identity = block_id(proposal.header)
    assert pool.pool.check(identity, proposal, ()) == (Verdict.MISSING, "bodies")
    return identity, proposal, envelopes


def test_p131_missing_bodies_are_fetched_verified_and_complete_the_proposal(
    pool: Pool, make: Callable[..., Pool]
) -> None:
    identity, proposal, envelopes = foreign(pool, make)
    assert pool.pool.missing(identity) == proposal.tx_ids
    pool.settle(pool.pool.receive_bodies(1, Bodies(identity, (envelopes[0],))))
    assert pool.pool.completed() == [] and pool.pool.missing(identity) == proposal.tx_ids[1:]
    pool.settle(pool.pool.receive_bodies(2, Bodies(identity, (envelopes[1],))))
    assert pool.pool.completed() == [(identity, Verdict.OK, "")]
    assert pool.pool.completed() == []  # told once
    assert pool.pool.bodies(proposal.tx_ids, 1 << 20) == tuple(envelopes)


def test_p131_a_body_that_comes_by_gossip_completes_it_as_well(pool: Pool, make: Callable[..., Pool]) -> None:
    identity, _, envelopes = foreign(pool, make)
    first = pool.pool.receive(3, TxBatch(tuple(envelopes)))
    assert pool.pool.missing(identity) == ()  # at the verifier: not asked for as well
    pool.settle(first)
    assert pool.pool.completed() == [(identity, Verdict.OK, "")]


def test_lr4_a_body_with_a_bad_signature_counts_as_missing(pool: Pool, make: Callable[..., Pool]) -> None:
    identity, proposal, envelopes = foreign(pool, make, 1)
    forged = bytes([*envelopes[0][:-1], envelopes[0][-1] ^ 1])
    effects = pool.settle(pool.pool.receive_bodies(1, Bodies(identity, (forged,))), good=False)
    assert ne.Penalty(peer=1, reason="bad_signature") in effects
    assert pool.pool.missing(identity) == proposal.tx_ids  # never an invalid block: the next source is asked
    pool.settle(pool.pool.receive_bodies(2, Bodies(identity, tuple(envelopes))))
    assert pool.pool.completed() == [(identity, Verdict.OK, "")]


def test_p131_unwanted_and_malformed_bodies(pool: Pool, make: Callable[..., Pool]) -> None:
    identity, _, _ = foreign(pool, make)
    assert pool.pool.receive_bodies(1, Bodies(identity, (pool.envelope(3, 9),))) == []
    assert pool.pool.receive_bodies(1, Bodies(identity, (b"\xc1",))) == [ne.Penalty(peer=1, reason="malformed_body")]


def test_p131_an_answer_about_no_proposal_that_waits_is_dropped_unread(
    pool: Pool, make: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Review: 5,000 bodies were decoded one by one, and nobody was charged, while any proposal waited."""
    identity, proposal, envelopes = foreign(pool, make)

    def read(*_: object) -> None:
        raise AssertionError("read")

    with monkeypatch.context() as context:
        context.setattr(mempool, "decode_transaction", read)
        dropped = pool.pool.receive_bodies(1, Bodies(bytes(32), tuple(envelopes)))
    assert dropped == [ne.Rejection(peer=1, reason="unasked")]
    assert pool.pool.missing(identity) == proposal.tx_ids


def test_p131_bodies_for_one_proposal_serve_another_that_waits_for_them(pool: Pool, make: Callable[..., Pool]) -> None:
    identity, proposal, envelopes = foreign(pool, make)
    header = msgspec.structs.replace(header_codec.decode(proposal.header), time_ms=5)
    twin = msgspec.structs.replace(proposal, header=encode(header))
    other = block_id(twin.header)
    assert pool.pool.check(other, twin, ()) == (Verdict.MISSING, "bodies")
    pool.settle(pool.pool.receive_bodies(1, Bodies(other, tuple(envelopes))))
    assert {candidate for candidate, _, _ in pool.pool.completed()} == {identity, other}


def test_bodies_answer_what_fits(pool: Pool) -> None:
    envelopes = [pool.envelope(0, nonce) for nonce in (1, 2, 3)]
    pool.submit(*envelopes)
    ids = tuple(pool.pool.waiting)
    limit = len(envelopes[0]) + len(envelopes[1])
    assert pool.pool.bodies((bytes(32), *ids), limit) == tuple(envelopes[:2])


def test_p131_a_proposal_that_is_over_no_longer_waits(pool: Pool, make: Callable[..., Pool]) -> None:
    identity, _, _ = foreign(pool, make)
    empty = pool.build(empty=True)
    assert empty is not None
    pool.commit(empty)
    assert pool.pool.missing(identity) == () and pool.pool.completed() == []


# commitment


def test_i26_what_is_committed_leaves_the_pool_and_is_remembered_until_it_expires(pool: Pool) -> None:
    short = pool.envelope(0, 1, valid=3)
    pool.submit(short, pool.envelope(0, 2))
    proposal = pool.build(max_txs=1)
    assert proposal is not None
    pool.commit(proposal)
    assert len(pool.pool.waiting) == 1 and proposal.tx_ids[0] in pool.pool.recent
    (result,) = pool.submit(short)
    assert result.detail == "committed"
    assert pool.gossiped(1, short) == []
    for _ in range(3):
        empty = pool.build(taken=tuple(pool.pool.waiting), empty=True)
        assert empty is not None
        pool.commit(empty)
    assert pool.submit(short)[0].code == "expired"


def test_what_expires_unordered_leaves_the_pool(pool: Pool) -> None:
    pool.submit(pool.envelope(0, 1, valid=2))
    for height in (1, 2):
        assert len(pool.pool.waiting) == 1
        empty = pool.build(taken=tuple(pool.pool.waiting), empty=True)
        assert empty is not None
        pool.pool.changed = False
        pool.commit(empty)
        assert pool.pool.height == height
    assert not pool.pool.waiting and pool.pool.changed
    assert pool.pool.waiting_bytes == 0 and pool.pool._held_bytes == 0 and not pool.pool.owes


def test_a_proposal_never_holds_what_would_have_expired(pool: Pool) -> None:
    pool.submit(pool.envelope(0, 1, valid=1), pool.envelope(0, 2))
    proposal = pool.build(height=2)
    assert proposal is not None and len(proposal.tx_ids) == 1


def test_only_the_last_blocks_are_kept_for_others(pool: Pool) -> None:
    for nonce in range(1, mempool.KEPT_BLOCKS + 4):
        pool.submit(pool.envelope(0, nonce))
        proposal = pool.build()
        assert proposal is not None
        pool.now += MS
        pool.commit(proposal)
    assert pool.pool.candidates == {}
    assert sorted(one.height for one in pool.pool.settled.values()) == list(
        range(pool.pool.height - mempool.KEPT_BLOCKS + 1, pool.pool.height + 1)
    )


def test_a_block_in_the_chain_is_kept_as_bytes_and_still_answers(pool: Pool) -> None:
    """P131: a member that lags behind is given the bodies; the decoded transactions are let go."""
    pool.submit(pool.envelope(0, 1), pool.envelope(0, 2))
    proposal = pool.build()
    assert proposal is not None
    before = pool.candidate(proposal)
    pool.commit(proposal)
    identity = block_id(proposal.header)
    assert identity not in pool.pool.candidates
    assert tuple(pool.pool.settled[identity].bodies.values()) == before.bodies
    assert pool.pool.bodies(proposal.tx_ids, 1 << 20) == before.bodies
    assert pool.pool.check(identity, proposal, ()) == (Verdict.OK, "")


def test_p30_a_committed_id_in_another_proposal_is_a_duplicate_without_asking_for_its_body(pool: Pool) -> None:
    pool.submit(pool.envelope(0, 1))
    first = pool.build()
    assert first is not None
    pool.commit(first)
    header = header_codec.decode(first.header)
    again = msgspec.structs.replace(first, header=encode(msgspec.structs.replace(header, height=header.height + 1)))
    assert pool.pool.check(block_id(again.header), again, ()) == (Verdict.INVALID, "duplicate")
    assert pool.pool.missing(block_id(again.header)) == ()


def test_split_bodies_puts_transactions_first() -> None:
    assert split_bodies((1, 2, 3), 2) == ((1, 2), (3,))
    assert split_bodies((), 0) == ((), ()) and split_bodies((1,), 5) == ((1,), ())
