"""The normal case: P30-P39, P45-P48, and what hostile members do to it."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from pbft_harness import MS, WALL0, World, protocol_messages

from consensus.events import Mode, Verdict
from consensus.messages import Commit, Prepare, PrePrepare, Proposal
from consensus.slots import Stage
from ledger.block import block_id, header_codec
from ledger.certificate import Vote
from ledger.codec import encode
from ledger.params import Params


@pytest.mark.parametrize("n", range(1, 11))
def test_scenario_01_a_clean_run_takes_exactly_2n_n_minus_1_messages_a_block(n: int) -> None:
    world = World(n)
    for number in range(1, 6):
        world.submit(3)
        world.run(80)
        assert world.height() == number + world.nodes[0].chain[-1].reference.height - number
    world.run(300)
    blocks = world.height()
    assert protocol_messages(world) == blocks * 2 * n * (n - 1)
    assert world.sent["ViewChange"] == world.sent["Suspect"] == 0  # LV5
    assert world.sent["Committed"] == 0
    world.settled()


def test_scenario_01_with_real_signatures() -> None:
    world = World(4, real=True)
    world.submit(5)
    world.run(300)
    assert world.heights() == [2, 2, 2, 2]
    world.settled()


def test_p18_no_more_than_q_minus_1_votes_of_a_phase_are_verified() -> None:
    world = World(10)
    asked = []
    plain = world.perform

    def perform(node, effect):
        if type(effect).__name__ == "VerifySignatures" and node.index == 0:
            asked.extend(item.kind for item in effect.items if item.body.find(b"") >= 0)
        plain(node, effect)

    world.perform = perform
    world.submit(1)
    world.run(40, lambda: world.height() == 1)
    q = world.state(0).members.q
    assert asked.count("prepare") <= q - 1
    assert asked.count("commit") <= q - 1


def test_p47_an_idle_network_certifies_its_last_results_with_one_empty_block() -> None:
    world = World(4)
    world.submit(2)
    world.run(200)
    first, proof = (header_codec.decode(block.header) for block in world.nodes[0].chain)
    assert (first.tx_count, proof.tx_count) == (2, 0)
    assert (proof.exec_height, proof.exec_root) == (1, world.nodes[0].roots[1])
    sent = protocol_messages(world)
    world.run(20_000)
    assert protocol_messages(world) == sent and world.height() == 2  # LV6: then silence
    assert world.sent["Heartbeat"] > 0 and world.sent["Suspect"] == 0


def test_p30e_every_block_names_its_parent_and_its_commit_certificate() -> None:
    world = World(4)
    for _ in range(4):
        world.submit(1)
        world.run(60)
    chain = world.nodes[2].chain
    for below, above in pairwise(chain):
        header = header_codec.decode(above.header)
        assert header.parent_id == below.reference.block_id
        assert header.last_cert_height == below.reference.height
        assert header.time_ms > below.reference.time_ms  # P145, I18


def offered(world: World, proposal: Proposal, to: int) -> Stage:
    """Hand a first proposal of the primary to one backup, return what became of it."""
    world.inject(world.primary(), to, world.pre_prepare(world.primary(), 0, proposal))
    world.run(1)
    slot = world.state(to).slots.get(1)
    return slot.stage if slot is not None else Stage.EMPTY


def backup(world: World) -> int:
    return (world.primary() + 1) % world.n


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("chain_id", bytes(32)),
        ("parent_id", bytes(32)),
        ("members_hash", bytes(32)),
        ("next_members_hash", bytes(32)),
        ("params_hash", bytes(32)),
        ("size_bytes", 3 * 1024 * 1024),
        ("time_ms", WALL0 - 1000),
        ("time_ms", WALL0 + 10_000),
        ("exec_height", 1),
        ("exec_root", bytes(32)),
        ("proposer", 9),
    ],
)
def test_scenario_39_a_bad_header_is_refused(field: str, value: object) -> None:
    world = World(4)
    world.run(5)
    world.rule = lambda *_: None
    assert offered(world, world.first_proposal(world.primary(), **{field: value}), backup(world)) is Stage.REJECTED
    assert world.state(backup(world)).picture.votes == {}


def test_p145_a_header_time_too_far_in_the_past_is_refused() -> None:
    world = World(4)
    world.run(5000)
    world.rule = lambda *_: None
    old = world.first_proposal(world.primary(), time_ms=WALL0 + 2000)
    assert offered(world, old, backup(world)) is Stage.REJECTED  # MU95


@pytest.mark.parametrize("fault", ["signature", "binding"])
def test_p145_another_message_for_the_slot_does_not_vouch_for_the_time_of_a_proposal(fault: str) -> None:
    """Seed 6911: a proposal that was never taken, with a good time, made a late one of the same slot look timely."""
    world = World(4)
    world.run(5000)
    world.rule = lambda *_: None
    primary, to = world.primary(), backup(world)
    good = world.first_proposal(primary)
    if fault == "binding":
        world.inject(primary, to, world.pre_prepare(primary, 0, msgspec.structs.replace(good, tx_ids=(bytes(32),))))
    else:
        forged = world.pre_prepare(primary, 0, good)
        world.inject((to + 1) % 4, to, msgspec.structs.replace(forged, signature=bytes(64)))
    world.run(1)
    slot = world.state(to).slots.get(1)
    assert slot is not None and slot.stage is Stage.EMPTY
    assert offered(world, world.first_proposal(primary, time_ms=WALL0 + 2000), to) is Stage.REJECTED
    world = World(4)
    world.run(5000)
    world.rule = lambda *_: None
    edge = world.first_proposal(world.primary(), time_ms=WALL0 + 2501)
    assert offered(world, edge, backup(world)) is Stage.ACCEPTED


def test_scenario_39_the_same_header_unchanged_is_accepted() -> None:
    world = World(4)
    world.run(5)
    world.rule = lambda *_: None
    assert offered(world, world.first_proposal(world.primary()), backup(world)) is Stage.ACCEPTED


def test_p30_ids_and_certificate_must_be_those_of_the_header() -> None:
    world = World(4)
    world.rule = lambda *_: None
    proposal = world.first_proposal(world.primary())
    other = msgspec.structs.replace(proposal, tx_ids=(bytes(32),))
    assert offered(world, other, backup(world)) is Stage.EMPTY
    assert world.nodes[backup(world)].penalties
    extra = msgspec.structs.replace(proposal, tx_ids=(*proposal.tx_ids, bytes(32)))  # evidence the header lacks
    assert offered(world, extra, backup(world)) is Stage.EMPTY
    root = world.first_proposal(world.primary(), evidence_root=bytes(32))
    assert offered(world, root, backup(world)) is Stage.EMPTY
    assert len(world.nodes[backup(world)].penalties) == 3
    assert offered(world, proposal, backup(world)) is Stage.ACCEPTED  # the true one still counts


def test_scenario_36_a_pre_prepare_from_a_backup_and_a_prepare_from_the_primary_count_nothing() -> None:
    world = World(4)
    world.rule = lambda *_: None
    me = backup(world)
    liar = (world.primary() + 2) % 4
    proposal = world.first_proposal(liar, proposer=liar)
    world.inject(liar, me, world.pre_prepare(liar, 0, proposal))
    assert 1 not in world.state(me).slots or not world.state(me).slots[1].block_id
    vote = Vote(0, 0, 1, block_id(proposal.header))
    world.inject(world.primary(), me, world.prepare(world.primary(), vote))
    assert world.nodes[me].rejections[(world.primary(), "prepare_of_primary")] == 1
    assert 1 not in world.state(me).slots


def test_scenario_36_a_commit_without_a_prepare_counts_as_what_it_is() -> None:
    world = World(4)
    world.run(5)
    world.rule = lambda *_: None
    me = backup(world)
    proposal = world.first_proposal(world.primary())
    offered(world, proposal, me)
    vote = Vote(0, 0, 1, block_id(proposal.header))
    for index in range(4):
        if index != me:
            world.inject(index, me, world.commit(index, vote))
    world.run(5)
    assert world.state(me).height == 1  # P35: q commits decide, even if we never prepared it


def test_scenario_33_an_equivocating_primary_cannot_split_the_network() -> None:
    world = World(4)
    world.run(5)
    liar = world.primary()
    twins = {}

    def twist(frm, to, message):
        if frm == liar and isinstance(message, PrePrepare) and to % 2:
            header = header_codec.decode(message.proposal.header)
            later = encode(msgspec.structs.replace(header, time_ms=header.time_ms + 1))
            twins[to] = message
            return world.pre_prepare(liar, message.vote.view, msgspec.structs.replace(message.proposal, header=later))
        return message

    world.twist = twist
    world.submit(2)
    assert world.run(30_000, lambda: min(len(world.nodes[i].chain) for i in range(4) if i != liar) >= 1)
    assert twins
    world.settled()


def test_e1_two_proposals_of_one_primary_are_reported_once_and_the_first_stays() -> None:
    world = World(4)
    world.run(5)
    world.rule = lambda *_: None
    me = backup(world)
    first = world.pre_prepare(world.primary(), 0, world.first_proposal(world.primary()))
    second = world.pre_prepare(world.primary(), 0, world.first_proposal(world.primary(), count=2))
    for message in (first, second, second):
        world.inject(world.primary(), me, message)
        world.run(1)
    assert world.state(me).slots[1].block_id == first.vote.block_id
    (report,) = world.nodes[me].reports
    assert (report.kind, report.offender) == ("E1", world.primary())
    assert {one.body for one in report.evidence.statements} == {encode(first.vote), encode(second.vote)}


@pytest.mark.parametrize(("kind", "code"), [("prepare", "E2"), ("commit", "E3")])
def test_scenario_35_double_votes_count_once_and_are_reported(kind: str, code: str) -> None:
    world = World(7)
    world.rule = lambda *_: None
    me, liar = 0, (world.primary() + 1) % 7 or 1
    make = getattr(world, kind)
    world.inject(liar, me, make(liar, Vote(0, 0, 1, bytes([1]) * 32)))
    for _ in range(3):
        world.inject(liar, me, make(liar, Vote(0, 0, 1, bytes([2]) * 32)))
        world.run(1)
    (report,) = world.nodes[me].reports
    assert (report.kind, report.offender) == (code, liar)
    slot = world.state(me).slots[1]
    tally = slot.prepares if kind == "prepare" else slot.commits
    assert tally.votes[liar].vote.block_id == bytes([1]) * 32
    assert tally.held.bit_count() == 1


def test_scenario_60_a_forged_relay_never_blocks_the_true_vote() -> None:
    world = World(4)
    world.rule = lambda *_: None
    me, victim, liar = 0, 1, 2
    vote = Vote(0, 0, 1, bytes([3]) * 32)
    forged = Commit(victim, Vote(0, 0, 1, bytes([4]) * 32), bytes(64))
    world.inject(liar, me, forged)
    world.run(1)
    assert world.state(me).slots[1].commits.held == 0
    assert [penalty.peer for penalty in world.nodes[me].penalties] == [liar]  # P17: charged to the relaying peer
    world.inject(victim, me, world.commit(victim, vote))
    assert world.state(me).slots[1].commits.votes[victim].vote == vote


def test_p18_a_bad_signature_frees_the_place() -> None:
    world = World(4)
    world.run(5)
    world.rule = lambda *_: None
    me = backup(world)
    others = [index for index in range(4) if index not in (me, world.primary())]
    proposal = world.first_proposal(world.primary())
    vote = Vote(0, 0, 1, block_id(proposal.header))
    offered(world, proposal, me)
    world.inject(others[0], me, Prepare(others[0], vote, bytes(64)))
    world.run(1)
    assert world.state(me).slots[1].prepared is None
    assert [penalty.peer for penalty in world.nodes[me].penalties] == [others[0]]
    world.inject(others[0], me, world.prepare(others[0], vote))
    world.run(1)
    assert world.state(me).slots[1].prepared is not None


def test_scenario_59_a_signature_of_one_kind_is_no_vote_of_another() -> None:
    world = World(4)
    world.run(5)
    world.rule = lambda *_: None
    me = backup(world)
    proposal = world.first_proposal(world.primary())
    vote = Vote(0, 0, 1, block_id(proposal.header))
    offered(world, proposal, me)
    for index in range(4):
        if index not in (me, world.primary()):
            prepare = world.prepare(index, vote)
            world.inject(index, me, Commit(index, vote, prepare.signature))
    world.inject(world.primary(), me, Commit(world.primary(), vote, world.prepare(world.primary(), vote).signature))
    world.run(2)
    assert world.state(me).height == 0
    assert len(world.nodes[me].penalties) >= 2


def test_scenario_38_no_prepare_without_bodies_and_the_pull_asks_the_primary_first() -> None:
    world = World(4)
    world.submit(1, to=[world.primary()])
    world.run(400)
    assert world.height() >= 1  # pulled
    world.settled()
    world = World(4)
    primary = world.primary()
    plain = world.rule
    world.rule = lambda frm, to, message: None if type(message).__name__ == "Bodies" else plain(frm, to, message)
    world.submit(1, to=[primary])
    world.run(1500)
    for index in range(4):
        if index != primary:
            held = next(iter(world.state(index).blocks.values()))
            assert held.verdict is Verdict.MISSING
            assert world.state(index).picture.votes == {}
    world.rule = plain
    assert world.run(10_000, lambda: world.height() >= 1)
    world.settled()


def test_scenario_39_an_invalid_transaction_costs_one_view_change() -> None:
    world = World(4)
    liar = world.primary()
    world.submit(1, to=[liar], label=b"INVALID")
    node = world.nodes[liar]
    bad = next(iter(node.pool))
    world.run(3000)
    assert world.heights() == [0, 0, 0, 0]
    for one in world.nodes:
        one.pool.pop(bad, None)
    world.submit(1)
    assert world.run(10_000, lambda: world.height() >= 1)
    assert all(world.state(index).view >= 1 for index in range(4))
    world.settled()


def test_p31_no_vote_while_results_lag_more_than_l() -> None:
    world = World(4)
    slow = (world.primary() + 1) % 4
    world.nodes[slow].slow_execution = True
    for _ in range(14):
        world.submit(1)
        world.run(30)
    lag = world.params.exec_lag
    voted = [
        message.vote.height
        for _, frm, _, message in world.log
        if frm == slow and isinstance(message, Prepare | Commit | PrePrepare)
    ]
    assert max(voted) == lag  # executed 0: votes up to height L, then silence (I15)
    assert world.heights()[slow] > lag  # it follows by the votes of the others
    world.execute_on(slow)
    world.submit(1)
    world.run(2000)
    assert world.nodes[slow].executed == world.nodes[slow].chain[-1].reference.height
    assert world.sent["ViewChange"] == 0  # scenario 64
    world.settled()


def test_p48_a_lagging_primary_proposes_nothing_fresh() -> None:
    world = World(4)
    primary = world.primary()
    world.nodes[primary].slow_execution = True
    for _ in range(14):
        world.submit(1)
        world.run(30)
    assert world.height() == world.params.exec_lag // 2 + 1
    assert world.nodes[primary].replica.why(world.now).waiting_for == "execution"


def test_p48_slow_execution_everywhere_makes_nobody_impatient() -> None:
    world = World(4)
    for node in world.nodes:
        node.slow_execution = True
    for _ in range(14):
        world.submit(1)
        world.run(30)
    world.run(20_000)
    assert world.sent["Suspect"] == 0  # MU67, scenario 64
    for index in range(4):
        world.execute_on(index)
    assert world.run(2000, lambda: not any(node.pool for node in world.nodes))
    world.settled()


def test_p45_under_load_the_next_block_waits_for_more_transactions() -> None:
    world = World(4)
    world.submit(60)
    world.run(400, lambda: world.height() == 1)
    world.submit(3)
    start = world.now
    world.run(400, lambda: world.height() == 2)
    assert 45 * MS <= world.now - start <= 70 * MS
    world.submit(3)
    start = world.now
    world.run(400, lambda: world.height() == 3)
    assert world.now - start <= 20 * MS


def test_p46_a_block_never_holds_more_than_the_cap() -> None:
    world = World(4, params=Params(max_block_txs=10))
    world.submit(35)
    world.run(1000)
    counts = [header_codec.decode(block.header).tx_count for block in world.nodes[0].chain]
    assert counts == [10, 10, 10, 5, 0]


def test_p38_votes_before_the_proposal_are_kept() -> None:
    world = World(4)
    primary = world.primary()
    slow = (primary + 1) % 4
    world.rule = lambda _from, to, message: 40 * MS if isinstance(message, PrePrepare) and to == slow else 2 * MS
    world.submit(1)
    world.run(39)
    assert world.state(slow).slots[1].prepares.held and world.heights()[slow] == 0
    world.run(6)
    assert world.heights()[slow] == 1
    assert world.sent["Committed"] == 0


def test_p146_a_parent_ahead_of_our_clock_makes_the_proposer_wait() -> None:
    world = World(4)
    for node in world.nodes:
        node.skew_ms = 400
    world.submit(1)
    world.run(30)
    for node in world.nodes:
        node.skew_ms = -4000
    world.submit(1)
    world.run(1000)
    assert all(message.vote.view == 0 for *_, message in world.log if isinstance(message, PrePrepare))
    world.run(20_000)
    assert world.height() >= 2
    world.settled()


def test_scenario_61_a_clock_far_off_costs_nothing_but_its_own_votes() -> None:
    world = World(4)
    odd = (world.primary() + 1) % 4
    world.nodes[odd].skew_ms = -10_000
    for _ in range(3):
        world.submit(1)
        world.run(100)
    assert world.height() >= 3
    assert world.sent["ViewChange"] == 0
    mine = [message for _, frm, _, message in world.log if frm == odd]
    assert not any(isinstance(message, Prepare) for message in mine)
    assert any(isinstance(message, Commit) for message in mine)  # P34: own acceptance is not required
    world.settled()


def test_scenario_63_a_wrong_result_on_one_replica_halts_that_one() -> None:
    world = World(4)
    odd = (world.primary() + 1) % 4
    world.submit(1)
    world.run(30, lambda: world.heights()[odd] == 1)
    world.nodes[odd].chain[0] = msgspec_free_copy(world.nodes[odd].chain[0])
    world.run(500)
    node = world.nodes[odd]
    assert [halt.reason.value for halt in node.halts] == ["state_divergence"]
    assert node.replica.state.mode is Mode.HALTED
    world.kill(odd)
    world.submit(1)
    world.run(500)
    others = [index for index in range(4) if index != odd]
    assert all(len(world.nodes[index].chain) >= 3 for index in others)


def msgspec_free_copy(block):
    """A block whose execution will give another result."""
    reference = msgspec.structs.replace(block.reference, block_id=bytes(32))
    return type(block)(reference, block.header, block.bodies, block.certificate)


@pytest.mark.parametrize("crash", [False, True])
def test_p47_an_idle_network_goes_on_until_decided_contracts_begin(crash: bool) -> None:
    """L59: who voted for contracts need not make work so that they begin; a primary that dies meanwhile is replaced."""
    world = World(4)
    world.beginnings = {1: 14}
    world.submit(1)
    world.run(300)
    assert 1 <= world.height() < 13
    if crash:
        world.kill(world.primary())
    world.run(20_000)
    reached = world.height()
    assert reached == 14, "their first block arms what they run every day (L53)"
    world.run(3_000)
    assert world.height() == reached


@pytest.mark.control("L56")
@pytest.mark.parametrize("crash", [False, True])
def test_l56_an_idle_network_makes_a_block_when_entries_are_due_and_certifies_its_result(crash: bool) -> None:
    world = World(4)
    world.due = [WALL0 + 10_000, WALL0 + 20_000]
    world.submit(1)
    world.run(9_900)
    quiet, view = world.height(), world.nodes[0].replica.state.view
    if crash:
        world.kill(world.primary())
    world.run(9_000)
    alive = next(node for node in world.nodes if node.alive)
    ran = [block.reference.height for block in alive.chain if world.ran(alive, block.reference.height)]
    assert ran == [quiet + 1] and alive.chain[quiet].bodies == (), "no transaction asked for it"
    assert alive.chain[quiet].reference.time_ms >= world.due[0]
    assert world.height() == quiet + 2, "its result is certified, then it is quiet again"
    assert alive.chain[-1].reference.exec_height == quiet + 1
    assert (alive.replica.state.view > view) is crash, "only a lost primary is suspected"
    world.run(6_000)
    assert world.height() == quiet + 4


@pytest.mark.control("L56")
def test_l56_a_restart_knows_what_is_due_and_what_no_header_certifies() -> None:
    world = World(4)
    world.due = [WALL0 + 5_000]
    world.submit(1)
    world.run(2_000)
    for node in world.nodes:
        world.kill(node.index)
    world.run(8_000)
    for node in world.nodes:
        world.restart(node.index)
    world.run(4_000)
    last = world.nodes[0].chain[-1]
    assert (last.reference.height, last.reference.exec_height) == (4, 3), "a late block, and the one that certifies it"


def test_p47_contracts_that_begin_much_later_wait_for_work() -> None:
    world = World(4)
    world.beginnings = {1: 5_000}
    world.submit(1)
    world.run(5_000)
    assert world.height() == 2
