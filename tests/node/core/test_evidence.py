"""Evidence in the node: verified before it is kept, proposed once, fetched like a body, never believed (P124, P141)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from consensus.effects import Report
from consensus.events import EpochSpec, Lsn, Verdict
from consensus.membership import membership
from consensus.messages import Proposal
from consensus.validate import signing_digest_of
from ledger.block import EMPTY_LIST_ROOT, block_id, list_root
from ledger.certificate import Vote
from ledger.codec import encode
from ledger.evidence import Evidence, Fault, Statement, evidence_id, fault_codec, fault_key, split_bodies
from ledger.transition import apply_block
from node.core import effects as ne
from node.core.messages import Bodies, EvidenceItem
from simulator.execution import StubRuntime

from .conftest import MS, Pool, header


def accusation(pool: Pool, liar: int, *, height: int = 1, kind: str = "commit", first: int = 1) -> Evidence:
    """Two votes of `liar` for different blocks at one height, really signed."""
    firm = pool.league.firms[liar]
    statements = []
    for block in (first, first + 1):
        body = encode(Vote(0, 0, height, bytes([block]) * 32))
        digest = signing_digest_of(kind, pool.league.chain_id, body)
        statements.append(Statement(kind, body, firm.consensus_key.sign(digest)))
    statements.sort(key=lambda one: one.body)
    return Evidence({"commit": "E3", "prepare": "E2"}[kind], 0, firm.company_id, tuple(statements))


def answered(pool: Pool, effects: list[ne.NodeEffect], good: bool = True) -> list[ne.NodeEffect]:
    """Answer verifications of votes; the proposals that waited go on as the machine lets them."""
    out: list[ne.NodeEffect] = []
    for effect in effects:
        if isinstance(effect, ne.VerifyVotes):
            valid = (1 << len(effect.items)) - 1 if good else 0
            identity, more = pool.pool.evidence.verified(pool.now, effect.token, valid)
            pool.pool.evidence_judged(identity)
            out += more
        else:
            out.append(effect)
    return out


def told(pool: Pool, peer: int, item: Evidence, good: bool = True) -> list[ne.NodeEffect]:
    return answered(pool, pool.pool.evidence.told(peer, EvidenceItem(encode(item))), good)


def found(pool: Pool, liar: int, item: Evidence) -> list[ne.NodeEffect]:
    return answered(pool, pool.pool.evidence.found(Report(kind=item.kind, offender=liar, evidence=item)))


@pytest.fixture
def pool(make: Callable[..., Pool]) -> Pool:
    return make()


def test_p124_what_is_found_is_verified_told_to_all_and_told_again(pool: Pool) -> None:
    item = accusation(pool, 2)
    (spread,) = found(pool, 2, item)
    assert isinstance(spread, ne.BroadcastPeer) and spread.message == EvidenceItem(encode(item))
    assert pool.pool.evidence.changed and pool.pool.work(pool.now, 0).count == 1  # I17: it makes a block due
    assert pool.pool.owes
    assert found(pool, 2, item) == []  # the same fault twice is nothing new
    assert found(pool, 2, accusation(pool, 2, height=7)) == []  # one item for each offender, kind and epoch
    assert pool.forward(pool.league.params.req_ms - 1) == []
    (again,) = pool.forward(1)
    assert isinstance(again, ne.BroadcastPeer) and again.message == spread.message  # a link may have lost it


def test_p124_what_is_told_is_kept_and_not_passed_on(pool: Pool) -> None:
    item = accusation(pool, 2)
    assert told(pool, 1, item) == []
    assert pool.pool.evidence.pending.keys() == {(item.company_id, 0, "E3")}
    assert pool.forward(60_000) == []


def test_p124_an_ended_epoch_is_judged_by_its_own_members(pool: Pool) -> None:
    """The liar has left; its index belongs to somebody else now, and its fault is as provable as ever."""
    league, liar = pool.league, 1
    spec = league.epoch
    left = tuple(member for member in spec.members if member.company_id != league.firms[liar].company_id)
    pool.pool.evidence.members = membership(
        EpochSpec(epoch=1, first_height=20, members=left, members_hash=bytes(32)), league.chain_id, 0
    )
    item = accusation(pool, liar)
    (asked,) = pool.pool.evidence.told(0, EvidenceItem(encode(item)))
    assert isinstance(asked, ne.VerifyVotes)
    assert [(one.epoch, one.signer) for one in asked.items] == [(0, liar), (0, liar)]
    answered(pool, [asked])
    assert pool.pool.evidence.choose(21, ()) == (encode(item),)
    expired = league.params.max_validity_heights + 2
    assert pool.pool.evidence.choose(expired, ()) == ()  # P124: within its window only
    later = msgspec.structs.replace(item, epoch=2)
    assert told(pool, 2, later) == [ne.Penalty(peer=2, reason="evidence_wrong_epoch")]  # MU89


def test_p124_what_waits_goes_on_in_the_next_epoch(make: Callable[..., Pool]) -> None:
    before, after = make(), make()
    item = accusation(before, 2)
    found(before, 2, item)
    assert before.pool.evidence.waiting() == (encode(item),)
    (spread,) = answered(after, after.pool.evidence.carry(before.pool.evidence.waiting()))
    assert spread == ne.BroadcastPeer(message=EvidenceItem(encode(item)), after=Lsn(0))
    assert after.pool.evidence.waiting() == (encode(item),)


def test_scenario_76_forged_and_senseless_items_cost_their_sender(pool: Pool) -> None:
    item = accusation(pool, 2)
    (penalty,) = told(pool, 1, item, good=False)
    assert penalty == ne.Penalty(peer=1, reason="evidence_not_proven")
    assert told(pool, 3, item) == [ne.Penalty(peer=3, reason="evidence_refused")]  # not verified a second time
    assert pool.pool.evidence.items == {} and not pool.pool.evidence.pending
    other = msgspec.structs.replace(item, epoch=9)
    assert told(pool, 1, other) == [ne.Penalty(peer=1, reason="evidence_wrong_epoch")]
    rubbish = pool.pool.evidence.told(1, EvidenceItem(b"\xc1"))
    assert rubbish == [ne.Penalty(peer=1, reason="evidence_malformed")]
    unproven = answered(
        pool, pool.pool.evidence.found(Report(kind="E3", offender=3, evidence=accusation(pool, 3))), False
    )
    assert unproven == [ne.Tally(metric="evidence_unproven.not_proven", value=1)]  # never charged to ourselves


def test_scenario_76_spam_is_looked_at_one_item_a_member_at_a_time(pool: Pool) -> None:
    evidence = pool.pool.evidence
    first = evidence.told(1, EvidenceItem(encode(accusation(pool, 2, height=1))))
    assert [type(effect) for effect in first] == [ne.VerifyVotes]
    for height in range(2, 500):
        again = evidence.told(1, EvidenceItem(encode(accusation(pool, 2, height=height))))
        assert again == [ne.Rejection(peer=1, reason="evidence_unread")]
    assert len(evidence._checking) == 1
    answered(pool, first)
    for height in range(2, 50):
        told(pool, 3, accusation(pool, 2, height=height))
    assert len(evidence.items) == len(evidence.pending) == 1  # P141: bounded by the faults there can be
    assert evidence.verified(pool.now, 10**9, 1) == (b"", [])  # P158: a stale answer


def test_p124_items_are_proposed_with_the_next_block_and_only_once(pool: Pool) -> None:
    late, early = (accusation(pool, index) for index in (3, 1))
    for peer, item in ((1, late), (2, early)):
        told(pool, peer, item)
    proposal = pool.build()
    assert proposal is not None  # no transaction waits, and there is something to record
    names = [evidence_id(encode(item)) for item in sorted((late, early), key=lambda one: one.company_id)]
    assert list(proposal.tx_ids) == names and header(proposal).tx_count == 0
    assert header(proposal).evidence_root == list_root(names) != EMPTY_LIST_ROOT
    assert pool.build(taken=proposal.tx_ids) is None  # in flight already
    assert pool.pool.check(block_id(proposal.header), proposal, ()) == (Verdict.OK, "")
    pool.commit(proposal)
    assert not pool.pool.evidence.pending and pool.build() is None
    assert len(pool.pool.bodies(proposal.tx_ids, 1 << 20)) == 2  # members that are late still get them
    assert pool.pool.work(pool.now, 0).count == 0
    assert told(pool, 1, late) == []  # recorded: nobody keeps it again
    assert not pool.pool.evidence.items


def test_p124_evidence_stands_behind_the_transactions(pool: Pool) -> None:
    envelope = pool.envelope(0, 1)
    pool.submit(envelope)
    item = accusation(pool, 2)
    told(pool, 1, item)
    proposal = pool.build()
    assert proposal is not None
    candidate = pool.candidate(proposal)
    assert candidate.bodies == (envelope, encode(item))
    assert split_bodies(candidate.bodies, header(proposal).tx_count) == ((envelope,), (encode(item),))
    assert header(proposal).size_bytes == len(envelope)
    assert pool.pool.bodies(proposal.tx_ids, 1 << 20) == candidate.bodies  # both are served to who lacks them


def test_p124_max_evidence_bytes_or_a_single_item(make: Callable[..., Pool]) -> None:
    for most, expected in ((0, 0), (1, 1), (1_000_000, 3)):
        pool = make(max_evidence_bytes=min(most, 64 * 1024))
        for index in (1, 2, 3):
            told(pool, 1, accusation(pool, index))
        proposal = pool.build()
        assert (0 if proposal is None else len(proposal.tx_ids)) == expected


def offered(pool: Pool, make: Callable[..., Pool], *items: Evidence, height: int = 1) -> tuple[Verdict, str]:
    """A proposal of another node with these items, checked here; missing items are fetched from it."""
    proposer = make(own=1)
    built = proposer.build(empty=True, height=height)
    assert built is not None
    ids = tuple(evidence_id(encode(item)) for item in items)
    raw = encode(msgspec.structs.replace(header(built), evidence_root=list_root(ids)))
    proposal = msgspec.structs.replace(built, header=raw, tx_ids=ids)
    identity = block_id(raw)
    verdict = pool.pool.check(identity, proposal, ())
    if verdict[0] is not Verdict.MISSING:
        return verdict
    assert pool.pool.missing(identity) == tuple(one for one in ids if not pool.pool.evidence.judged(one))
    by_id = {evidence_id(encode(item)): encode(item) for item in items}
    bodies = Bodies(identity, tuple(by_id[one] for one in pool.pool.missing(identity)))
    digests = {one.consensus_key: None for one in pool.league.epoch.members}
    assert len(digests) == 4
    for effect in pool.pool.receive_bodies(1, bodies):
        if isinstance(effect, ne.VerifyVotes):
            valid = 0
            for position, one in enumerate(effect.items):
                digest = signing_digest_of(one.kind, pool.league.chain_id, one.body)
                signed = pool.league.firms[one.signer].consensus_key.sign(digest) == one.signature
                valid |= signed << position
            judged, _ = pool.pool.evidence.verified(pool.now, effect.token, valid)
            pool.pool.evidence_judged(judged)
    ((done, verdict_now, reason),) = pool.pool.completed()
    assert done == identity
    return verdict_now, reason


def test_p124_a_voter_fetches_verifies_and_accepts(pool: Pool, make: Callable[..., Pool]) -> None:
    assert offered(pool, make, accusation(pool, 2)) == (Verdict.OK, "")


def test_scenario_76_blocks_with_bad_evidence_are_refused(pool: Pool, make: Callable[..., Pool]) -> None:
    good = sorted((accusation(pool, 1), accusation(pool, 3)), key=lambda one: one.company_id)
    forged = msgspec.structs.replace(
        accusation(pool, 2),
        statements=tuple(msgspec.structs.replace(one, signature=bytes(64)) for one in accusation(pool, 2).statements),
    )
    assert offered(pool, make, forged) == (Verdict.INVALID, "evidence_refused")
    assert offered(pool, make, msgspec.structs.replace(good[0], epoch=3)) == (Verdict.INVALID, "evidence_refused")
    assert offered(pool, make, *good[::-1]) == (Verdict.INVALID, "evidence_not_ascending")
    twice = accusation(pool, 1), accusation(pool, 1, height=2)
    assert offered(pool, make, *twice) == (Verdict.INVALID, "evidence_not_ascending")
    late = 1 + pool.league.params.max_validity_heights + 1
    assert offered(pool, make, good[0], height=late) == (Verdict.INVALID, "evidence_expired")
    assert offered(pool, make, *good) == (Verdict.OK, "")
    off = make(max_evidence_bytes=0)
    assert offered(off, make, accusation(off, 1)) == (Verdict.INVALID, "evidence_too_large")


@pytest.mark.parametrize("executed", [True, False])
def test_scenario_76_a_fault_on_the_chain_is_not_proposed_again_and_refused_by_nobody(
    pool: Pool, make: Callable[..., Pool], executed: bool
) -> None:
    """A member that judged the block while the first one was in flight found it good: so must those that judge it now,
    else a block that was prepared could be repeated by too few (P30i, P58)."""
    item = accusation(pool, 2)
    told(pool, 1, item)
    proposal = pool.build()
    assert proposal is not None
    pool.commit(proposal, execute=False)
    if executed:
        fault = Fault(item.company_id, item.kind, 0, 1, evidence_id(encode(item)))
        pool.state.rows[fault_key(item.company_id, 0, item.kind)] = encode(fault)
        pool.pool.evidence.executed = 1
        empty = pool.build(empty=True)
        assert empty is not None
        pool.commit(empty)
        assert not pool.pool.evidence._recorded  # the state speaks for itself now
    replayed = accusation(pool, 2, height=5)
    height = pool.pool.height + 1
    told(pool, 1, replayed)
    assert pool.pool.evidence.choose(height, ()) == () and pool.pool.work(pool.now, 0).count == 0
    assert offered(pool, make, replayed, height=height) == (Verdict.OK, "")
    assert offered(pool, make, accusation(pool, 2, kind="prepare"), height=height) == (Verdict.OK, "")


def test_p124_evidence_too_old_for_a_block_is_dropped(make: Callable[..., Pool]) -> None:
    pool = make(max_validity_heights=10)
    told(pool, 1, accusation(pool, 2, height=1))
    for _ in range(12):
        proposal = pool.build(taken=tuple(pool.pool.evidence.pending.values()), empty=True)
        assert proposal is not None
        pool.commit(proposal)
    assert not pool.pool.evidence.pending and not pool.pool.evidence.items


def test_p125_the_transition_records_a_fault_once_and_nothing_else(pool: Pool) -> None:
    first, second = accusation(pool, 2), accusation(pool, 2, height=9)
    state = pool.league.state
    data = encode(first)
    top = msgspec.structs.replace(pool.league.genesis.header, height=1, tx_count=0, time_ms=state_time(pool))
    result = apply_block(state, top, (), StubRuntime(), 0, (data,))
    key = fault_key(first.company_id, 0, "E3")
    fault = Fault(first.company_id, "E3", 0, 1, evidence_id(data))
    assert result.writes == ((key, encode(fault)),) and result.receipts == ()
    assert fault_codec.decode(encode(fault)) == fault
    plain = apply_block(state, top, (), StubRuntime(), 0)
    assert plain.writes == () and plain.exec_root != result.exec_root
    after = state.apply(result.writes, result.nodes, 1, result.state_root, result.exec_root)
    later = msgspec.structs.replace(top, height=2)
    again = apply_block(after, later, (), StubRuntime(), 0, (encode(second),))
    assert again.writes == ()  # one record for each offender, kind and epoch


def state_time(pool: Pool) -> int:
    return pool.league.genesis.header.time_ms + MS


def test_p17_an_item_that_was_told_before_the_answer_with_it_came_is_no_lie(pool: Pool) -> None:
    """Swarm seeds 248, 450 and 478: an honest member was charged with a malformed body."""
    item = accusation(pool, 2)
    assert told(pool, 3, item) == []
    answer = Bodies(bytes(32), (encode(item),))
    assert pool.pool.receive_bodies(1, answer) == [ne.Rejection(peer=1, reason="unasked")], "no proposal waits"
    waits = msgspec.structs.replace(
        pool.league.genesis.header, height=1, tx_root=list_root((b"w" * 32,)), tx_count=1, time_ms=1
    )
    proposal = Proposal(encode(waits), (b"w" * 32,), pool.league.certificate)
    assert pool.pool.check(block_id(proposal.header), proposal, ()) == (Verdict.MISSING, "bodies")
    assert pool.pool.receive_bodies(1, Bodies(bytes(32), (encode(item),))) == []
    assert pool.pool.receive_bodies(1, Bodies(bytes(32), (b"\xc1",))) == [ne.Penalty(peer=1, reason="malformed_body")]
