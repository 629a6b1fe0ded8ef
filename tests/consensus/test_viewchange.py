"""The view change: P50-P60, P65-P69, and the attacks on it."""

from __future__ import annotations

import msgspec
import pytest
from pbft_harness import GENESIS, MS, WALL0, World

from consensus.events import Mode, Timer
from consensus.messages import Commit, NewView, Prepare, PrePrepare, Status, Suspect, ViewChange
from consensus.slots import Stage
from consensus.validate import Contradiction, Opening, opening
from ledger.block import BlockRef, block_id
from ledger.certificate import Vote, genesis_certificate
from ledger.params import Params

pytestmark = pytest.mark.usefixtures("window")


def later_primary(world: World) -> int:
    return world.state(0).members.collector(1)


def others(world: World, *without: int) -> list[int]:
    return [index for index in range(world.n) if index not in without]


@pytest.mark.parametrize("n", [4, 5, 6, 7, 10])
def test_scenario_02_a_dead_primary_is_replaced_by_one_view_change(n: int) -> None:
    world = World(n)
    world.submit(1)
    world.run(400)
    dead = world.primary()
    world.kill(dead)
    world.submit(2)
    assert world.run(10_000, lambda: world.height() >= 3)
    assert {world.state(index).view for index in others(world, dead)} == {1}
    world.settled()
    world.restart(dead)
    assert world.run(5_000, lambda: len(set(world.heights())) == 1)
    assert world.state(dead).view == 1
    world.settled()


def test_p58_the_idle_network_replaces_a_dead_primary_as_well() -> None:
    world = World(4)
    world.submit(1)
    world.run(400)
    world.kill(world.primary())
    world.run(30_000)
    assert {node.replica.state.view for node in world.nodes if node.alive} == {1}


def test_p50_a_suspecting_replica_keeps_voting() -> None:
    world = World(4)
    world.run(10)
    lone = (world.primary() + 1) % 4
    world.submit(1, to=[lone])
    plain = world.rule
    world.rule = lambda frm, to, message: None if type(message).__name__ == "Bodies" else plain(frm, to, message)
    world.run(10_000)
    assert world.nodes[lone].counts["suspected"] >= 1
    assert {world.state(index).view for index in range(4)} == {0}  # scenario 84
    world.submit(1, to=others(world, lone))
    world.run(1000)
    assert any(frm == lone and isinstance(message, Commit) for _, frm, _, message in world.log)
    assert world.state(lone).height >= 1


def test_p51_f_plus_1_suspicions_are_needed_and_they_expire() -> None:
    world = World(7)
    world.rule = lambda *_: None
    me = 0
    for peer in (1, 2):
        world.inject(peer, me, Suspect(0, 0))
    assert world.state(me).mode is Mode.NORMAL  # f = 2 of them are not enough
    world.run(4000)
    world.inject(3, me, Suspect(0, 0))
    assert world.state(me).mode is Mode.NORMAL  # the first two are too old (MU66)
    for peer in (1, 2):
        world.inject(peer, me, Suspect(0, 5))
    assert (world.state(me).mode, world.state(me).view) == (Mode.CHANGING, 1)


def test_scenario_14_a_block_committed_by_one_replica_survives_the_view_change() -> None:
    world = World(4)
    lucky = (world.primary() + 1) % 4
    plain = world.rule

    def rule(frm: int, to: int, message: object) -> int | None:
        return None if isinstance(message, Commit) and to != lucky else plain(frm, to, message)

    world.rule = rule
    world.submit(2)
    assert world.run(1000, lambda: world.heights()[lucky] == 1)
    first = world.nodes[lucky].chain[0].reference.block_id
    world.kill(lucky)
    world.rule = lambda frm, to, message: (
        None if isinstance(message, Commit) and message.vote.view == 0 else plain(frm, to, message)
    )
    world.submit(1)
    assert world.run(20_000, lambda: world.height() >= 2)
    assert {node.chain[0].reference.block_id for node in world.nodes if node.chain} == {first}
    again = [one for *_, one in world.log if isinstance(one, PrePrepare) and one.vote.view > 0 and one.vote.height == 1]
    originals = [one for *_, one in world.log if isinstance(one, PrePrepare) and one.vote.view == 0]
    assert again and {one.vote.block_id for one in again} == {first}
    assert again[0].proposal == originals[0].proposal  # MU29, B5: the original header, bodies and certificate
    world.settled()


def test_p57_a_new_primary_that_never_saw_the_block_gets_it_from_the_signers() -> None:
    world = World(4)
    world.run(10)
    old, new = world.primary(), later_primary(world)
    plain = world.rule

    def rule(frm: int, to: int, message: object) -> int | None:
        if new in (frm, to) and isinstance(message, PrePrepare | Prepare):
            return None
        return None if isinstance(message, Commit) else plain(frm, to, message)

    world.rule = rule
    world.submit(1, to=others(world, new))
    world.run(100)
    assert [index for index in range(4) if world.state(index).picture.prepared] == others(world, new)
    identity = world.state(old).picture.prepared[1].vote.block_id
    assert identity not in world.state(new).blocks
    for index in others(world):
        for peer in others(world, index):
            world.inject(peer, index, Suspect(0, 0))
    world.rule = plain
    assert world.run(6_000, lambda: world.height() >= 1)
    assert world.nodes[new].chain[0].reference.block_id == identity
    assert world.state(0).view == 1
    world.settled()


def test_scenario_51_two_replicas_prepared_on_different_blocks_agree_again() -> None:
    world = World(4)
    world.run(10)
    lower = world.prepared_certificate(world.first_proposal(0, 1), 0, world.primary(), [0, 1, world.primary()][:3])
    higher = world.prepared_certificate(world.first_proposal(0, 2), 1, later_primary(world), [0, 2, 3])
    changes = (
        world.view_change(0, 2, prepared=(lower,)),
        world.view_change(1, 2, prepared=(higher,)),
        world.view_change(2, 2),
    )
    outcome = opening(changes)
    assert isinstance(outcome, Opening)
    assert outcome.reproposals() == ((1, higher.vote.block_id),)  # P55: the highest view wins (MU41, MU42)
    assert opening(changes[::-1]).reproposals() == outcome.reproposals()


def test_p55_the_base_is_the_highest_and_a_broken_link_ends_o() -> None:
    world = World(4)
    proposal = world.first_proposal(0)
    vote = world.prepare(0, world.pre_prepare(0, 0, proposal).vote).vote
    base = world.commit_certificate(vote, [0, 1, 2])
    parent = BlockRef(1, vote.block_id, 0, 0, 1)
    second = world.proposal(world.nodes[0], 2, parent, base, (), ())
    stray = world.proposal(world.nodes[0], 2, BlockRef(1, bytes(32), 0, 0, 1), base, (), ())
    linked = world.prepared_certificate(second, 1, 0, [0, 1, 2])
    loose = world.prepared_certificate(stray, 1, 0, [0, 1, 2])
    behind = world.view_change(0, 3)
    outcome = opening((behind, world.view_change(1, 3, base, (linked,)), world.view_change(2, 3)))
    assert isinstance(outcome, Opening)
    assert (outcome.base, outcome.reproposals()) == (base, ((2, block_id(second.header)),))  # MU55
    outcome = opening((behind, world.view_change(1, 3, base, (loose,)), world.view_change(2, 3)))
    assert isinstance(outcome, Opening) and outcome.reproposals() == ()  # MU59
    assert isinstance(
        opening((world.view_change(0, 3, base, (linked,)), world.view_change(1, 3, base, (loose,)))), Contradiction
    )


def test_p55_two_certificates_of_one_view_are_a_proof_and_halt() -> None:
    world = World(4)
    world.rule = lambda *_: None
    me = others(world, later_primary(world))[0]
    one = world.prepared_certificate(world.first_proposal(0, 1), 0, 0, [0, 1, 2])
    two = world.prepared_certificate(world.first_proposal(0, 2), 0, 0, [0, 1, 2])
    collector = later_primary(world)
    changes = (
        world.view_change(0, 1, prepared=(one,)),
        world.view_change(1, 1, prepared=(two,)),
        world.view_change(2, 1),
    )
    world.inject(collector, me, world.new_view(collector, 1, changes, ()))
    world.run(1)
    assert [halt.reason.value for halt in world.nodes[me].halts] == ["safety_violation"]
    sent = len(world.log)
    world.inject(collector, me, Suspect(0, 9))
    world.run(5000)
    assert not [entry for entry in world.log[sent:] if entry[1] == me]  # P20: a halted replica sends nothing


def bad_new_views(world: World) -> dict[str, NewView]:
    collector = later_primary(world)
    changes = tuple(world.view_change(index, 1) for index in range(3))
    entry = world.prepared_certificate(world.first_proposal(0), 0, 0, [0, 1, 2])
    shown = (world.view_change(0, 1, prepared=(entry,)), *changes[1:])
    forged = msgspec.structs.replace(changes[0], signature=bytes(64))
    fake = msgspec.structs.replace(entry, vote=msgspec.structs.replace(entry.vote, view=0, height=1))
    fake = msgspec.structs.replace(fake, signatures=(bytes(64), *entry.signatures[1:]))
    base = world.commit_certificate(entry.vote, [0, 1, 2])
    false_base = msgspec.structs.replace(base, signatures=(bytes(64), *base.signatures[1:]))
    return {
        "wrong O": world.new_view(collector, 1, shown, ()),  # MU43
        "invented O": world.new_view(collector, 1, changes, ((1, bytes(32)),)),
        "wrong sender": world.new_view((collector + 1) % 4, 1, changes),  # MU48
        "too few": world.new_view(collector, 1, changes[:2], ()),  # MU45
        "twice the same sender": world.new_view(collector, 1, (changes[0], changes[0], changes[1]), ()),  # MU46
        "not ascending": world.new_view(collector, 1, changes[::-1], ()),
        "mixed views": world.new_view(collector, 1, (*changes[:2], world.view_change(2, 2)), ()),  # MU47
        "forged VIEW-CHANGE": world.new_view(collector, 1, (forged, *changes[1:]), ()),
        "forged entry": world.new_view(collector, 1, (world.view_change(0, 1, prepared=(fake,)), *changes[1:]), ()),
        "forged base": world.new_view(collector, 1, (world.view_change(0, 1, false_base), *changes[1:]), ()),  # MU51
        "not signed": msgspec.structs.replace(world.new_view(collector, 1, changes), signature=bytes(64)),
    }


@pytest.mark.parametrize("name", sorted(bad_new_views(World(4))))
def test_scenario_45_a_bad_new_view_opens_nothing(name: str) -> None:
    world = World(4)
    world.rule = lambda *_: None
    me = others(world, later_primary(world))[-1]  # signs nothing in these messages, or it would silence itself (P98)
    message = bad_new_views(world)[name]
    world.inject(message.sender, me, message)
    world.run(1)
    assert (world.state(me).view, world.state(me).mode) == (0, Mode.NORMAL)
    assert world.nodes[me].penalties
    good = world.new_view(later_primary(world), 1, tuple(world.view_change(index, 1) for index in range(3)))
    world.inject(later_primary(world), me, good)
    world.run(1)
    assert (world.state(me).view, world.state(me).mode) == (1, Mode.NORMAL)  # MU57: no own VIEW-CHANGE is needed


def bad_view_changes(world: World) -> dict[str, ViewChange]:
    proposal = world.first_proposal(0)
    entry = world.prepared_certificate(proposal, 0, 0, [0, 1, 2])
    vote = entry.vote
    base = world.commit_certificate(vote, [0, 1, 2])
    replace = msgspec.structs.replace
    short = replace(entry, signers=b"\x03", signatures=entry.signatures[:2])
    cases = {
        "relabelled view": replace(entry, vote=replace(vote, view=1)),  # MU12
        "relabelled height": replace(entry, vote=replace(vote, height=2)),  # MU13
        "padding bits": replace(entry, signers=b"\x17"),  # MU16
        "too few signers": short,  # MU17
        "header of another block": replace(entry, header=world.first_proposal(0, 2).header),
        "primary did not sign": replace(entry, primary=3),
        "own view too high": world.prepared_certificate(proposal, 2, 0, [0, 1, 2]),  # MU49
        "wrong epoch": replace(entry, vote=replace(vote, epoch=1)),
    }
    messages = {name: world.view_change(1, 2, prepared=(one,)) for name, one in cases.items()}
    messages["entry at base"] = world.view_change(1, 2, base, (entry,))
    messages["entry twice"] = world.view_change(1, 2, prepared=(entry, entry))
    messages["wrong genesis"] = world.view_change(1, 2, genesis_certificate(bytes(32)))
    messages["base without signatures"] = world.view_change(1, 2, replace(base, signers=b"", signatures=()))
    messages["not signed"] = replace(world.view_change(1, 2), signature=bytes(64))
    messages["signed by another"] = replace(world.view_change(0, 2), sender=1)  # MU10
    return messages


@pytest.mark.parametrize("name", sorted(bad_view_changes(World(4))))
def test_scenarios_41_42_a_bad_view_change_is_void_and_voids_nothing_else(name: str) -> None:
    world = World(4)
    world.rule = lambda *_: None
    me = 0 if later_primary(world) != 0 else 2
    world.inject(1, me, bad_view_changes(world)[name])
    world.run(1)
    assert world.state(me).highest_changes == {}
    assert world.state(me).peers[1].known_view == 0
    assert [penalty.peer for penalty in world.nodes[me].penalties] == [1]
    world.inject(3, me, world.view_change(3, 2))  # scenario 43: the others are still used
    world.run(1)
    assert world.state(me).highest_changes.keys() == {3}


def test_scenario_48_a_huge_view_moves_nobody() -> None:
    world = World(4)
    liar = (world.primary() + 1) % 4
    for view in (1 << 61, 2**62, 2**63, 2**64 - 1):
        for index in others(world, liar):
            world.inject(liar, index, world.view_change(liar, view))
            status = Status(0, view, 0, 0, GENESIS, 0, 0, False, b"\0", b"\0", b"\0", b"")
            world.inject(liar, index, status)
    world.submit(1)
    world.run(3000)
    assert world.height() >= 1
    assert {world.state(index).view for index in others(world, liar)} == {0}
    assert {world.state(index).mode for index in others(world, liar)} == {Mode.NORMAL}


def test_p69_the_f_plus_1st_largest_view_is_followed_at_once() -> None:
    world = World(7)
    world.rule = lambda *_: None
    for peer, view in ((1, 9), (2, 8)):
        world.inject(peer, 0, world.view_change(peer, view))
        world.run(1)
    assert world.state(0).view == 0
    world.inject(3, 0, world.view_change(3, 5))
    world.run(1)
    assert (world.state(0).view, world.state(0).mode) == (5, Mode.CHANGING)


def test_p52_a_view_change_is_frozen() -> None:
    world = World(4)
    world.run(10)
    me = others(world, world.primary(), later_primary(world))[0]
    world.rule = lambda *_: None
    for peer in others(world, me):
        world.inject(peer, me, Suspect(0, 0))
    assert world.state(me).mode is Mode.CHANGING
    first = world.state(me).picture.view_change
    proposal = world.first_proposal(world.primary())
    vote = world.pre_prepare(world.primary(), 0, proposal).vote
    held = world.nodes[me]
    world.inject(1 if me != 1 else 2, me, msg_committed(world, vote))
    world.run(20)
    assert 1 in world.state(me).certificates or world.state(me).height == 1  # COMMIT-CERTs still count
    assert world.state(me).picture.view_change == first  # MU53
    assert held.replica.state.view == 1


def msg_committed(world: World, vote):
    from consensus.messages import Committed

    return Committed(world.commit_certificate(vote, [0, 1, 2]))


def test_p66_p67_a_lone_leaver_does_not_climb_but_q_of_them_do() -> None:
    world = World(4)
    world.kill(later_primary(world))
    world.kill(world.primary())
    world.submit(1)
    world.run(120_000)
    living = [node.replica.state for node in world.nodes if node.alive]
    assert {(state.view, state.mode) for state in living} == {(1, Mode.CHANGING)}  # P67, LV4
    world.restart(later_primary(world))
    assert world.run(10_000, lambda: world.height() >= 1)
    world.settled()


def test_p66_a_silent_collector_costs_one_more_view() -> None:
    world = World(7)
    world.kill(later_primary(world))
    world.kill(world.primary())
    world.submit(1)
    assert world.run(20_000, lambda: world.height() >= 1)
    assert {node.replica.state.view for node in world.nodes if node.alive} == {2}
    world.settled()


def test_p68_the_back_off_is_capped_and_halves_with_each_commit() -> None:
    from consensus.timers import duration

    world = World(4)
    replica = world.nodes[0].replica
    state = replica.state
    step = replica._step
    for exponent, expected in ((0, 2000), (1, 4000), (3, 16_000), (4, 30_000), (32, 30_000)):
        state.backoff = exponent
        assert duration(step) == expected * MS
    state.backoff = 9
    world.submit(1)
    world.run(30, lambda: world.heights()[0] == 1)
    assert state.backoff == 4


def test_scenario_47_new_view_reaches_one_and_the_rest_pull_it() -> None:
    world = World(4)
    world.run(10)
    collector = later_primary(world)
    dead = world.primary()
    lucky = others(world, collector, dead)[0]
    plain = world.rule

    def rule(frm: int, to: int, message: object) -> int | None:
        if isinstance(message, NewView) and frm == collector and to != lucky:
            return None
        return plain(frm, to, message)

    world.rule = rule
    world.kill(dead)
    world.submit(1)
    assert world.run(10_000, lambda: world.height() >= 1)
    relayed = [(frm, to) for _, frm, to, message in world.log if isinstance(message, NewView) and frm != collector]
    assert relayed and all(frm == lucky for frm, _ in relayed)  # P58
    world.settled()


def test_e4_two_view_changes_of_one_member_are_reported() -> None:
    world = World(4)
    world.rule = lambda *_: None
    entry = world.prepared_certificate(world.first_proposal(0), 0, 0, [0, 1, 2])
    world.inject(1, 0, world.view_change(1, 3))
    for _ in range(2):
        world.inject(1, 0, world.view_change(1, 3, prepared=(entry,)))
        world.run(1)
    assert [(report.kind, report.offender) for report in world.nodes[0].reports] == [("E4", 1)]
    assert world.state(0).highest_changes[1].prepared == ()


def test_scenario_46_two_new_views_convict_the_collector_and_nobody_else() -> None:
    world = World(4)
    world.rule = lambda *_: None
    collector = later_primary(world)
    me = others(world, collector)[0]
    changes = tuple(world.view_change(index, 1) for index in range(4))
    world.inject(collector, me, world.new_view(collector, 1, changes[:3]))
    world.run(1)
    world.inject(collector, me, world.new_view(collector, 1, changes[1:]))
    world.run(1)
    assert [(report.kind, report.offender) for report in world.nodes[me].reports] == [("E4", collector)]


def test_p36_a_new_view_that_undoes_a_committed_block_halts_us() -> None:
    world = World(4)
    world.submit(1)
    world.run(100)
    world.rule = lambda *_: None
    collector = later_primary(world)
    me = others(world, collector)[0]
    entry = world.prepared_certificate(world.first_proposal(0, 3), 0, 0, [0, 1, 2])
    changes = (world.view_change(0, 1, prepared=(entry,)), world.view_change(1, 1), world.view_change(2, 1))
    world.inject(collector, me, world.new_view(collector, 1, changes))
    world.run(1)
    assert [halt.reason.value for halt in world.nodes[me].halts] == ["safety_violation"]


def test_mu36_a_new_view_not_later_than_the_certificate_proves_nothing() -> None:
    world = World(4)
    world.kill(world.primary())
    world.submit(1)
    world.run(8000, lambda: world.height() >= 1)
    me = next(node.index for node in world.nodes if node.alive)
    state = world.state(me)
    assert state.view == 1
    certificate_view = state.recent[1].certificate.vote.view
    assert certificate_view == 1
    world.rule = lambda *_: None
    collector = state.members.collector(1)
    entry = world.prepared_certificate(world.first_proposal(0, 3), 0, 0, [0, 1, 2])
    changes = (world.view_change(0, 1, prepared=(entry,)), world.view_change(1, 1), world.view_change(2, 1))
    world.inject(collector if collector != me else (me + 1) % 4, me, world.new_view(collector, 1, changes))
    world.run(1)
    assert not world.nodes[me].halts


def test_scenario_18_delays_around_t0_settle_by_back_off() -> None:
    world = World(4, params=Params(t0_ms=200, t_cap_ms=3000), delay_ns=150 * MS)
    world.submit(1)
    assert world.run(30_000, lambda: world.height() >= 1)
    world.submit(1)
    assert world.run(30_000, lambda: world.height() >= 2)
    world.settled()


def test_p36_certificates_are_pushed_once_when_a_view_starts_below_us() -> None:
    world = World(4)
    plain = world.rule
    lucky = others(world, later_primary(world), world.primary())[0]

    def rule(frm: int, to: int, message: object) -> int | None:
        if isinstance(message, ViewChange) and frm == lucky:
            return None
        return None if isinstance(message, Commit) and to != lucky else plain(frm, to, message)

    world.rule = rule
    world.submit(1)
    world.run(20, lambda: world.heights()[lucky] == 1)
    for index in others(world):
        for peer in others(world, index):
            world.inject(peer, index, Suspect(0, 0))
    world.run(60)
    assert world.sent["Committed"] >= 3
    assert world.height() == 1
    world.settled()


def test_p30d_a_new_view_accepts_only_the_block_it_must_repeat() -> None:
    world = World(4)
    world.run(10)
    world.rule = lambda *_: None
    collector = later_primary(world)
    me = others(world, collector)[-1]
    must = world.first_proposal(0, 1)
    entry = world.prepared_certificate(must, 0, 0, [0, 1, 2])
    changes = (world.view_change(0, 1, prepared=(entry,)), world.view_change(1, 1), world.view_change(2, 1))
    world.inject(collector, me, world.new_view(collector, 1, changes))
    world.inject(collector, me, world.pre_prepare(collector, 1, world.first_proposal(collector, 2)))
    world.run(1)
    slot = world.state(me).slots[1]
    assert (slot.stage, slot.reason) == (Stage.REJECTED, "not_the_reproposal")
    told = world.nodes[me].replica.why(world.now)
    assert (told.waiting_for, told.slot_reason) == ("refused", "not_the_reproposal"), (
        "no votes are awaited for it (U21)"
    )
    other = Vote(0, 1, 1, slot.block_id)
    for index in others(world, me):
        if index != collector:
            world.inject(index, me, world.prepare(index, other))
    world.run(1)
    assert slot.prepared is None  # P34 needs P30d as well


def test_p31_a_repeated_block_gets_no_vote_either_while_execution_lags() -> None:
    world = World(4)
    world.run(10)
    slow = others(world, world.primary(), later_primary(world))[0]
    world.nodes[slow].slow_execution = True
    while world.height() < world.params.exec_lag:
        world.submit(1)
        world.run(30)
    plain = world.rule
    world.rule = lambda frm, to, message: (
        None if isinstance(message, Commit) and message.vote.view == 0 else plain(frm, to, message)
    )
    world.submit(1)
    world.run(100)
    for index in others(world):
        for peer in others(world, index):
            world.inject(peer, index, Suspect(0, 0))
    assert world.run(3000, lambda: world.height() == world.params.exec_lag + 1)
    voted = [one for _, frm, _, one in world.log if frm == slow and isinstance(one, Prepare | Commit)]
    assert {one.vote.view for one in voted if one.vote.height == world.params.exec_lag + 1} == set()
    assert world.state(slow).view == 1
    world.execute_on(slow)
    world.run(500)
    world.settled()


def test_p66_members_in_later_views_count_for_the_timer() -> None:
    world = World(4)
    world.rule = lambda *_: None
    me = others(world, later_primary(world))[0]
    first, second, _ = others(world, me)
    for peer in (first, second):
        world.inject(peer, me, Suspect(0, 0))
    world.inject(first, me, world.view_change(first, 1))
    world.run(10)
    assert Timer.NEW_VIEW not in world.state(me).timers  # P67: two are not q
    world.inject(second, me, world.view_change(second, 2))
    world.run(10)
    assert Timer.NEW_VIEW in world.state(me).timers  # MU62
    world.run(5000)
    assert world.state(me).view == 2
    assert world.state(me).backoff == 2  # P68, MU68


def test_p57_a_repeated_block_is_not_judged_by_our_results_or_clock() -> None:
    world = World(4)
    world.run(60_000)
    world.rule = lambda *_: None
    collector = later_primary(world)
    me = others(world, collector)[-1]
    old = world.first_proposal(0, 1, exec_root=bytes(32), time_ms=WALL0)
    entry = world.prepared_certificate(old, 0, 0, [0, 1, 2])
    changes = (world.view_change(0, 1, prepared=(entry,)), world.view_change(1, 1), world.view_change(2, 1))
    world.inject(collector, me, world.new_view(collector, 1, changes))
    world.inject(collector, me, world.pre_prepare(collector, 1, old))
    world.run(1)
    assert world.state(me).slots[1].stage is Stage.ACCEPTED  # P31, P145


def test_p58_a_vote_of_a_left_view_is_answered_with_the_new_view() -> None:
    world = World(4)
    world.rule = lambda *_: None
    collector = later_primary(world)
    me = others(world, collector)[-1]
    late = others(world, collector, me)[0]
    world.inject(collector, me, world.new_view(collector, 1, tuple(world.view_change(i, 1) for i in range(3))))
    world.run(1)
    for _ in range(5):
        world.inject(late, me, world.commit(late, Vote(0, 0, 1, bytes(32))))
    world.run(1)
    answers = [to for _, frm, to, one in world.log if frm == me and isinstance(one, NewView)]
    assert answers == [late]  # MU58, once per STATUS period
