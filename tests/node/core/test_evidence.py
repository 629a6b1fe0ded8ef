"""Evidence in the node: verified before it is kept, proposed once, fetched like a body, never believed (P124, P141)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from consensus.effects import Report
from consensus.events import EpochSpec, Lsn, Verdict
from consensus.membership import membership
from consensus.messages import Proposal, ViewChange
from consensus.validate import VIEW_CHANGE, signing_digest_of, view_change_body
from ledger.block import EMPTY_LIST_ROOT, block_id, list_root
from ledger.certificate import CommitCertificate, Vote, bitmap
from ledger.codec import encode
from ledger.evidence import Evidence, Fault, Statement, evidence_id, fault_codec, fault_key, split_bodies
from ledger.registry.epochs import epoch_key, read_epoch
from ledger.transition import apply_block
from node.core import effects as ne
from node.core import events as nv
from node.core.epochs import epoch_spec
from node.core.messages import Bodies, EvidenceItem
from simulator.execution import StubRuntime

from .conftest import MS, Pool, Shell, header
from .test_made_up import honest_tx, spread


def accusation(pool: Pool | Shell, liar: int, *, height: int = 1, kind: str = "commit", first: int = 1) -> Evidence:
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


def pass_epochs(pool: Pool, *first_heights: int) -> None:
    """Let epochs with the same members follow on epoch 0, at these first heights; the pool is that of the last one."""
    record = read_epoch(pool.state, 0)
    assert record is not None
    for epoch, first_height in enumerate(first_heights, start=1):
        record = msgspec.structs.replace(record, epoch=epoch, first_height=first_height)
        pool.state.rows[epoch_key(epoch)] = encode(record)
    pool.pool.evidence.members = membership(epoch_spec(record), pool.league.chain_id, 0)


def grow(pool: Pool, blocks: int, taken: tuple[bytes, ...] = ()) -> None:
    """Commit blocks without transactions, and without what is `taken`."""
    for _ in range(blocks):
        block = pool.build(taken=taken, empty=True)
        assert block is not None
        pool.commit(block)


def two_view_changes(pool: Pool, liar: int) -> Evidence:
    """E4: `liar` left one view twice, from the two oldest bases that there are."""
    firms, chain_id = pool.league.firms, pool.league.chain_id
    old = Vote(0, 0, 1, bytes([7]) * 32)
    signed = tuple(
        firms[one].consensus_key.sign(signing_digest_of("commit", chain_id, encode(old))) for one in (0, 1, 3)
    )
    statements = []
    for base in (pool.league.certificate, CommitCertificate(old, bitmap([0, 1, 3], 4), signed)):
        body = view_change_body(ViewChange(0, liar, 5, base, (), b""))
        digest = signing_digest_of(VIEW_CHANGE, chain_id, body)
        statements.append(Statement(VIEW_CHANGE, body, firms[liar].consensus_key.sign(digest)))
    statements.sort(key=lambda one: one.body)
    return Evidence("E4", 0, firms[liar].company_id, tuple(statements))


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
    last = 20 + league.params.max_validity_heights
    assert pool.pool.evidence.choose(last, ()) == (encode(item),)
    assert pool.pool.evidence.choose(last + 1, ()) == ()  # P124: within its window only
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


def test_p124_an_item_of_the_present_epoch_never_expires(make: Callable[..., Pool]) -> None:
    """The heights in it are of the liar's choosing: any certificate of the epoch is a valid base (P53)."""
    pool = make(max_validity_heights=10)
    grow(pool, 14)
    told(pool, 2, accusation(pool, 2, height=1))  # the liar about itself
    found(pool, 3, two_view_changes(pool, 3))
    assert {kind for _, _, kind in pool.pool.evidence.pending} == {"E3", "E4"}
    block = pool.build()
    assert block is not None and len(block.tx_ids) == 2, "the next block carries both"
    assert offered(make(max_validity_heights=10), make, accusation(pool, 2), height=15) == (Verdict.OK, "")


def test_p65_a_liar_that_tells_old_faults_of_itself_leaves_an_idle_network_in_its_view(
    shell: Callable[..., Shell],
) -> None:
    nodes = [shell(index=index, max_validity_heights=10) for index in range(4)]
    liar, honest = 3, nodes[:3]
    for one in nodes:
        one.start()
        for peer in range(4):
            if peer != one.index:
                one.feed(nv.PeerConnected, peer=peer)
    league = nodes[0].league
    for nonce in range(1, 15):
        nodes[0].feed(nv.Submitted, token=nonce, envelopes=(honest_tx(league, 0, nonce, valid=nonce + 5),))
        for _ in spread(nodes, 1_000):
            pass
    state = [one.core.replica.state for one in nodes]
    views, height = [one.view for one in state], min(one.tip.height for one in state)
    assert height > 12
    for kind in ("commit", "prepare"):
        for one in honest:
            one.receive(liar, EvidenceItem(encode(accusation(one, liar, height=1, kind=kind))))
        for _ in spread(nodes, 60_000):
            pass
    assert [one.view for one in state] == views and min(one.tip.height for one in state) >= height + 2


@pytest.mark.parametrize("first_heights", [(8,), (8, 20)], ids=["the epoch before", "an older epoch"])
def test_p124_the_time_of_an_item_begins_with_the_end_of_its_epoch(
    make: Callable[..., Pool], first_heights: tuple[int, ...]
) -> None:
    verdicts = {}
    for height in (18, 19):
        pool = make(max_validity_heights=10)
        pass_epochs(pool, *first_heights)
        verdicts[height] = offered(pool, make, accusation(pool, 2), height=height)
    assert verdicts == {18: (Verdict.OK, ""), 19: (Verdict.INVALID, "evidence_expired")}


def test_p124_evidence_too_old_for_the_next_block_is_dropped(make: Callable[..., Pool]) -> None:
    pool = make(max_validity_heights=10)
    pass_epochs(pool, 8)
    told(pool, 1, accusation(pool, 2))
    (identity,) = pool.pool.evidence.pending.values()
    grow(pool, 17, taken=(identity,))
    assert pool.pool.evidence.proposable == 1, "block 18 may carry it"
    grow(pool, 1, taken=(identity,))
    assert not pool.pool.evidence.pending and not pool.pool.evidence.items


def test_p65_an_item_that_no_block_may_carry_is_no_work(make: Callable[..., Pool]) -> None:
    """Else a liar that tells of itself what is too old has an idle network change its views, again and again."""
    pool = make(max_validity_heights=10)
    pass_epochs(pool, 8)
    grow(pool, 17)
    (asked,) = pool.pool.evidence.told(2, EvidenceItem(encode(accusation(pool, 2))))
    assert isinstance(asked, ne.VerifyVotes)
    grow(pool, 1)
    answered(pool, [asked])  # it lapsed at the verifier
    late = accusation(pool, 2, height=3)
    assert told(pool, 2, late) == [ne.Rejection(peer=2, reason="evidence_expired")]
    assert answered(pool, pool.pool.evidence.carry((encode(late),))) == [ne.Tally(metric="evidence_expired", value=1)]
    assert offered(pool, make, late, height=19) == (Verdict.INVALID, "evidence_expired")  # it was fetched and verified
    assert pool.pool.work(pool.now, 0).count == 0 and not pool.pool.evidence.pending
    grow(pool, 1)
    assert not pool.pool.evidence.items


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
    identity = block_id(proposal.header)
    assert pool.pool.check(identity, proposal, ()) == (Verdict.MISSING, "bodies")
    assert pool.pool.receive_bodies(1, Bodies(identity, (encode(item),))) == []
    assert pool.pool.receive_bodies(1, Bodies(identity, (b"\xc1",))) == [ne.Penalty(peer=1, reason="malformed_body")]
