"""Planned rotation of the primary (P76-P78) and the replica's part of the rule against censorship (P132)."""

from __future__ import annotations

import pytest
from pbft_harness import MS, World

from consensus.events import Mode
from consensus.messages import Commit, NewView, PrePrepare, Suspect, ViewChange
from consensus.state import leader_of, primary_of
from ledger.block import header_codec
from ledger.params import Params


def turning(every: int, window: int = 1, **more: int) -> Params:
    return Params(rotate_every=every, window=window, max_block_txs=1, **more)


def others(world: World, *without: int) -> list[int]:
    return [index for index in range(world.n) if index not in without]


def proposers(world: World, index: int = 0) -> list[int]:
    return [header_codec.decode(block.header).proposer for block in world.nodes[index].chain]


def overdue(world: World, index: int, value: bool) -> None:
    """The mempool of a member says that the primary passes a transaction over, or no more."""
    world.nodes[index].overdue = value
    world.tell_work(world.nodes[index])


@pytest.mark.parametrize("window", [1, 2, 4])
@pytest.mark.parametrize(("n", "every"), [(4, 1), (4, 3), (5, 2), (7, 4)])
def test_p77_the_primary_hands_over_every_r_blocks_without_a_view_change(n: int, every: int, window: int) -> None:
    world = World(n, params=turning(every, window))
    world.submit(20)
    assert world.run(20_000, lambda: world.height() >= 20)
    members = world.state(0).members
    assert proposers(world)[:20] == [members.primary(0, height, 0) for height in range(1, 21)]  # I25
    assert len(set(proposers(world))) == min(n, 20 // every + 1)
    assert world.sent["ViewChange"] == world.sent["Suspect"] == 0  # LV5: a rotation is none
    assert {world.state(index).view for index in range(n)} == {0}
    world.settled()


def test_p77_the_next_primary_proposes_as_soon_as_the_parent_is_prepared_at_it() -> None:
    world = World(4, params=turning(2, 2))
    world.run(10)
    plain = world.rule
    world.rule = lambda frm, to, message: None if isinstance(message, Commit) else plain(frm, to, message)
    world.submit(2)
    world.run(300)
    found = {one.vote.height: one.sender for *_, one in world.log if isinstance(one, PrePrepare)}
    rotation = world.state(0).members.rotation
    assert found == {1: rotation[0], 2: rotation[1]}  # nothing is committed yet
    world.rule = plain
    assert world.run(5_000, lambda: world.height() >= 2)
    world.settled()


@pytest.mark.parametrize("boundary", [2, 3, 4, 5])
def test_scenario_85_a_view_change_away_from_a_rotated_primary_chooses_another(boundary: int) -> None:
    world = World(4, params=turning(3))
    for _ in range(boundary):
        height = world.height() + 1
        world.submit(1)
        assert world.run(2_000, lambda height=height: world.height() >= height)
    world.run(1_000)
    survivor = world.state(0)
    dead = primary_of(survivor, survivor.height + 1)
    turns = survivor.members.shift(survivor.height + 1, survivor.base)
    world.kill(dead)
    world.submit(1)
    top = survivor.height
    assert world.run(15_000, lambda: world.height() > top)
    asked = {one.view for *_, one in world.log if isinstance(one, ViewChange)}
    assert asked == {turns % 4 + 1}  # P78, MU83: v+1 would be the dead one again when it was rotated in
    state = next(node.replica.state for node in world.nodes if node.alive)
    assert state.members.collector(state.view) != dead
    world.settled()


def test_p77_rotation_counts_from_where_the_view_began() -> None:
    world = World(4, params=turning(4))
    for _ in range(3):
        world.submit(1)
        world.run(400)
    tip = world.height()
    for index in range(4):
        for peer in others(world, index):
            world.inject(peer, index, Suspect(0, 0))
    world.run(1_000)
    state = world.state(0)
    assert state.mode is Mode.NORMAL and state.view >= 1 and state.base >= tip
    world.submit(12)
    assert world.run(20_000, lambda: world.height() >= state.base + 12)
    first = state.base + 1
    expected = [state.members.primary(state.view, height, first - 1) for height in range(first, first + 12)]
    assert proposers(world)[first - 1 : first + 11] == expected
    assert expected[0] == state.members.collector(state.view)  # MU82: also if first is a multiple of R
    assert world.sent["NewView"] > 0 and len(set(expected)) >= 3
    world.settled()


def test_p95_a_restart_inside_a_later_view_knows_whose_turn_it_is() -> None:
    world = World(4, params=turning(2))
    world.submit(3)
    assert world.run(5_000, lambda: world.height() >= 3)
    for index in range(4):
        for peer in others(world, index):
            world.inject(peer, index, Suspect(0, 0))
    world.run(1_000)
    world.submit(3)
    top = world.height()
    assert world.run(5_000, lambda: world.height() >= top + 3)
    world.run(1_000)
    view, height, base = world.state(0).view, world.state(0).height, world.state(0).base
    leaders = [leader_of(world.state(index)) for index in range(4)]
    assert view >= 1 and len(set(leaders)) == 1
    for index in range(4):
        world.store(index)
        world.kill(index)
        world.restart(index)
    assert {(world.state(index).view, world.state(index).base) for index in range(4)} == {(view, base)}
    assert [leader_of(world.state(index)) for index in range(4)] == leaders
    world.submit(6)
    assert world.run(10_000, lambda: world.height() >= height + 6)
    assert {world.state(index).view for index in range(4)} == {view}
    world.settled()


def test_p65_a_primary_that_is_rotated_in_is_given_its_time() -> None:
    world = World(4, params=turning(2))
    world.submit(1)
    assert world.run(2_000, lambda: world.height() >= 1)
    for node in world.nodes:
        assert node.replica.state.heard_primary_ns == node.replica.state.pace.last_commit_ns
    world.run(500)
    state = world.state(0)
    second = primary_of(state, state.height + 1)
    assert second != state.members.collector(0)
    world.run(20_000)
    assert world.sent["Suspect"] == 0  # its heartbeats are heard
    world.kill(second)
    params = world.params
    silent = params.hb_ms * params.hb_misses + params.t0_ms
    assert world.run(silent + params.hb_ms + 500, lambda: world.sent["NewView"] > 0)


def test_u21_why_names_who_is_waited_for() -> None:
    world = World(4, params=turning(2))
    world.submit(2)
    assert world.run(5_000, lambda: world.height() >= 2)
    world.run(1_000)
    members = world.state(0).members
    for node in world.nodes:
        assert node.replica.why(world.now).primary == members.primary(0, node.replica.state.height + 1, 0)
    me = 0
    turns = members.shift(world.state(me).height + 1, 0)
    world.rule = lambda *_: None
    for peer in others(world, me):
        world.inject(peer, me, Suspect(0, 0))
    picture = world.nodes[me].replica.why(world.now)
    assert picture.mode is Mode.CHANGING
    assert picture.primary == members.collector(turns + 1)  # who must open the view, not who would propose in it


def test_p132_a_transaction_passed_over_is_suspected_until_it_commits() -> None:
    world = World(4)
    world.run(10)
    me = others(world, world.primary())[0]
    overdue(world, me, True)
    assert world.sent["Suspect"] == 3  # at once
    overdue(world, me, True)
    assert world.sent["Suspect"] == 3  # the same word twice says nothing new
    for _ in range(6):
        world.submit(1, label=b"other")
        world.run(500)
        overdue(world, me, True)
    assert world.height() >= 5  # P50: it keeps voting, and others commit
    assert world.sent["Suspect"] >= 3 * 3  # P51: with every STATUS, commits or not
    assert world.nodes[me].replica.why(world.now).suspecting
    assert {world.state(index).view for index in range(4)} == {0}  # one member alone moves nobody
    overdue(world, me, False)
    sent = world.sent["Suspect"]
    world.run(5_000)
    assert world.sent["Suspect"] == sent and not world.nodes[me].replica.why(world.now).suspecting


def test_p132_the_own_word_counts_towards_f_plus_1() -> None:
    world = World(4)
    world.run(10)
    me, peer = others(world, world.primary())[:2]
    world.rule = lambda *_: None
    world.inject(peer, me, Suspect(0, 0))
    assert world.state(me).mode is Mode.NORMAL
    overdue(world, me, True)
    assert (world.state(me).mode, world.state(me).view) == (Mode.CHANGING, 1)


def test_p132_f_plus_1_members_that_see_it_change_the_view() -> None:
    world = World(4)
    world.run(10)
    primary = world.primary()
    for index in others(world, primary)[:2]:
        overdue(world, index, True)
    assert world.run(1_000, lambda: world.sent["NewView"] > 0)
    world.run(200)
    assert {world.state(index).view for index in range(4)} == {1}
    assert not any(world.state(index).censored for index in range(4))  # a new primary, a new chance
    overdue(world, primary, True)
    opened = [one for *_, one in world.log if isinstance(one, NewView)]
    assert {one.view for one in opened} == {1}
    assert world.now < 2_000 * MS
