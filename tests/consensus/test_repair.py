"""STATUS and what it repairs: P36, P37, P58, P106-P108, scenarios 03, 05, 07-10, 13."""

from __future__ import annotations

import msgspec
import pytest
from pbft_harness import World

from consensus.events import Mode
from consensus.messages import Commit, Committed, NewView, Prepare, Prepared, PrePrepare, Status, ViewChange
from ledger.certificate import verify_commit_certificate

pytestmark = pytest.mark.usefixtures("window")


def test_a_laggard_gets_the_commit_certificate() -> None:
    world = World(4)
    world.run(10)
    poor = (world.primary() + 1) % 4
    plain = world.rule
    world.rule = lambda frm, to, message: (
        None if isinstance(message, Commit) and to == poor else plain(frm, to, message)
    )
    world.submit(1)
    world.run(200)
    assert (world.heights()[poor], max(world.heights())) == (1, 2)  # the second PRE-PREPARE shows the first one's
    assert world.run(3000, lambda: world.heights()[poor] == 2)
    got = [message for _, _, to, message in world.log if to == poor and isinstance(message, Committed)]
    assert got
    assert not verify_commit_certificate(got[0].certificate, world.keys.public, bytes([7]) * 32, world.keys.verify)
    assert world.sent["ViewChange"] == 0
    world.settled()


def test_scenario_03_an_isolated_backup_catches_up() -> None:
    world = World(4)
    world.run(10)
    poor = (world.primary() + 1) % 4
    plain = world.rule
    world.rule = lambda frm, to, message: None if poor in (frm, to) else plain(frm, to, message)
    for _ in range(60):
        world.submit(1)
        world.run(40)
    assert world.heights()[poor] == 0 and max(world.heights()) >= 50
    world.rule = plain
    assert world.run(5000, lambda: len(set(world.heights())) == 1)
    assert world.state(poor).tip == world.state(world.primary()).tip
    world.submit(1)
    world.run(500)
    assert any(frm == poor and isinstance(one, Prepare) and one.vote.height > 50 for _, frm, _, one in world.log)
    world.settled()


def test_scenario_05_the_minority_is_needed_at_once_after_healing() -> None:
    world = World(4)
    world.run(10)
    poor = (world.primary() + 1) % 4
    plain = world.rule
    world.rule = lambda frm, to, message: None if poor in (frm, to) else plain(frm, to, message)
    for _ in range(20):
        world.submit(1)
        world.run(60)
    world.rule = plain
    world.kill(world.primary())
    world.submit(1)
    high = max(world.heights())
    assert world.run(15_000, lambda: world.height() > high)
    assert {node.replica.state.view for node in world.nodes if node.alive} == {1}
    world.settled()


def test_scenario_04_an_even_split_stops_both_halves_and_heals() -> None:
    world = World(4)
    world.submit(1)
    world.run(200)
    plain = world.rule
    world.rule = lambda frm, to, message: None if (frm < 2) != (to < 2) else plain(frm, to, message)
    before = max(world.heights())
    world.submit(2)
    world.run(20_000)
    assert max(world.heights()) == before
    world.rule = plain
    assert world.run(35_000, lambda: world.height() > before)
    assert len({world.state(index).view for index in range(4)}) == 1  # LV2
    world.settled()


@pytest.mark.parametrize("one_way", [(0, 1), (1, 0), (2, 3), (3, 0)])
def test_scenario_07_a_one_way_link_stops_nothing(one_way: tuple[int, int]) -> None:
    world = World(4)
    plain = world.rule
    world.rule = lambda frm, to, message: None if (frm, to) == one_way else plain(frm, to, message)
    for _ in range(5):
        world.submit(1)
        world.run(1500)
    assert max(world.heights()) >= 5
    assert world.run(20_000, lambda: world.height() >= 5)
    world.settled()


def test_scenario_09_a_bridge_joins_two_halves() -> None:
    world = World(7)
    plain = world.rule
    bridge = 3

    def rule(frm: int, to: int, message: object) -> int | None:
        apart = bridge not in (frm, to) and (frm < bridge) != (to < bridge)
        return None if apart else plain(frm, to, message)

    world.rule = rule
    for _ in range(3):
        world.submit(1)
        goal = world.height() + 1
        assert world.run(40_000, lambda goal=goal: world.height() >= goal)
    world.settled()


@pytest.mark.parametrize("kind", [PrePrepare, Prepare, Commit, ViewChange, NewView, Status, Committed, Prepared])
def test_scenario_13_one_kind_of_message_is_lost_for_one_member(kind: type) -> None:
    world = World(4)
    world.run(10)
    poor = (world.primary() + 2) % 4
    plain = world.rule
    world.rule = lambda frm, to, message: (
        None if isinstance(message, kind) and poor in (frm, to) else plain(frm, to, message)
    )
    world.submit(1)
    world.run(3000)
    world.kill(world.primary())
    world.rule = plain
    world.submit(1)
    assert world.run(30_000, lambda: world.height() >= 2)
    world.settled()


def test_p37_repair_sends_what_the_bitmaps_lack_and_nothing_twice() -> None:
    world = World(4)
    world.run(10)
    primary = world.primary()
    plain = world.rule
    world.rule = lambda frm, to, message: None if isinstance(message, Commit | Prepare) else plain(frm, to, message)
    world.submit(1)
    world.run(500)
    assert max(world.heights()) == 0
    world.rule = plain
    first = len(world.log)
    assert world.run(3000, lambda: world.height() >= 1)
    repaired = [(frm, to, one) for _, frm, to, one in world.log[first:] if isinstance(one, Prepare)]
    assert repaired
    assert world.sent["ViewChange"] == 0 and world.state(primary).view == 0
    world.settled()


def test_p36_late_votes_are_answered_once_per_period() -> None:
    world = World(4)
    world.submit(1)
    world.run(3000)
    for _ in range(10):
        world.inject(1, 0, world.commit(1, world.nodes[0].chain[-1].certificate.vote))
    world.run(1)
    assert world.sent["Committed"] == 1
    for _ in range(4 + 2 * world.params.window):
        world.submit(1)
        world.run(100)
    world.store(0)
    world.run(1000)
    world.inject(1, 0, world.commit(1, world.nodes[0].chain[0].certificate.vote))
    assert world.sent["Committed"] == 1  # P84: stored, and out of the window: it comes by sync


def test_p106_a_claimed_height_alone_moves_nothing() -> None:
    world = World(4)
    world.run(10)
    world.inject(1, 0, Status(0, 0, 0, 10_000, bytes(32), 0, 10_000, False, b"\0", b"\0", b"\0", b""))
    world.run(100)
    assert world.state(0).height == 0
    world.submit(1)
    world.run(100)
    assert world.height() >= 1


def test_p97_a_learner_follows_and_signs_nothing() -> None:
    world = World(4, alive=[0, 1, 2])
    learner = world.nodes[3]
    learner.voting = False
    world.restart(3)
    world.submit(1)
    assert world.run(20_000, lambda: world.height() >= 1)
    assert world.state(3).mode is Mode.LEARNER
    assert learner.journal == []
    signed = (PrePrepare, Prepare, Commit, ViewChange, NewView)
    assert not [one for _, frm, _, one in world.log if frm == 3 and isinstance(one, signed) and one.sender == 3]
    world.kill(0)
    world.submit(1)
    before = max(world.heights())
    world.run(20_000)
    assert max(world.heights()) <= before + 1  # two voters of four are no quorum


def test_p37_the_bounds_that_let_most_statuses_pass_quickly_are_never_too_low() -> None:
    """P51, P69, P106: what no member has said is not looked for; what one has said is covered at once."""
    world = World(7)
    world.run(10)
    plain = world.rule
    world.rule = lambda frm, to, message: None if world.primary() in (frm, to) else plain(frm, to, message)
    for _ in range(40):
        world.submit(1)
        world.run(150)
        for index in range(7):
            state = world.state(index)
            others = [peer for at, peer in enumerate(state.peers) if at != index]
            assert state.farthest_view >= max(peer.known_view for peer in state.peers)
            assert state.suspected_view >= max(peer.suspects for peer in others)
            told = [peer.status.committed_height for peer in others if peer.status is not None]
            assert state.claimed_height >= max(told, default=0)
    assert max(world.state(index).farthest_view for index in range(7)) > 0
    assert max(world.state(index).suspected_view for index in range(7)) >= 0
    world.rule = plain
    assert world.run(20_000, lambda: len(set(world.heights())) == 1 and min(world.heights()) > 0)


def test_p140_who_asks_and_asks_is_shown_the_new_view_only_now_and_then() -> None:
    """A STATUS has some hundred bytes, a NEW-VIEW of 64 members up to a megabyte."""
    world = World(4)
    world.run(300)
    world.kill(world.primary())
    world.submit(1)
    world.run(4_000)
    me = next(node.index for node in world.nodes if node.alive)
    peer = next(node.index for node in world.nodes if node.alive and node.index != me)
    state = world.state(me)
    assert state.view > 0 and state.mode is Mode.NORMAL
    world.run(2 * world.params.status_ms)
    behind = msgspec.structs.replace(state.peers[peer].status, view=0)
    before = len(world.log)
    for _ in range(world.params.status_ms // 10):
        world.inject(peer, me, behind)
        world.run(10)
    shown = [message for _, frm, to, message in world.log[before:] if (frm, to) == (me, peer)]
    assert 1 <= sum(isinstance(message, NewView) for message in shown) <= 3
