"""Several blocks in flight (slice 2): the edge of the window, the chain of parents, and O over several heights."""

from __future__ import annotations

import pytest
from pbft_harness import GENESIS, MS, WALL0, World

from consensus.effects import BuildBlock
from consensus.events import BlockBuilt, Mode, WorkChanged
from consensus.messages import Commit, NewView, Prepare, PreparedCertificate, PrePrepare, Suspect
from consensus.slots import Stage
from consensus.validate import Opening, opening, view_change
from ledger.block import BlockRef, block_id, header_codec
from ledger.certificate import CommitCertificate, Vote, genesis_certificate
from ledger.errors import InvalidGenesis
from ledger.params import Params


def narrow(window: int, **more: int) -> Params:
    """One transaction a block, so that a few of them fill the window."""
    return Params(window=window, max_block_txs=1, **more)


def others(world: World, *without: int) -> list[int]:
    return [index for index in range(world.n) if index not in without]


def heights_of(world: World, kind: type, frm: int) -> set[int]:
    return {one.vote.height for _, sender, _, one in world.log if sender == frm and isinstance(one, kind)}


def test_the_window_is_at_most_half_the_execution_lag() -> None:
    for lag in range(2, 9):
        for window in range(1, 6):
            if window <= min(4, lag // 2):
                Params(window=window, exec_lag=lag).check()
                continue
            with pytest.raises(InvalidGenesis, match="window"):
                Params(window=window, exec_lag=lag).check()


@pytest.mark.parametrize("window", [2, 4])
def test_scenario_65_the_primary_moves_its_window_first_and_nobody_leaves_the_view(window: int) -> None:
    world = World(4, params=narrow(window))
    world.run(10)
    late = others(world, world.primary())[0]
    plain = world.rule

    def rule(frm: int, to: int, message: object) -> int | None:
        """Every fourth proposal reaches one backup late, when the others are done with it."""
        slow = isinstance(message, PrePrepare) and message.vote.height % 4 == 1
        return 60 * MS if to == late and slow else plain(frm, to, message)

    world.rule = rule
    world.submit(30)
    waited = 0

    def until() -> bool:
        nonlocal waited
        state = world.state(late)
        beyond = [slot for slot in state.slots.values() if slot.height > state.height + window and slot.block_id]
        assert all(slot.stage is Stage.WAITING for slot in beyond)  # P30a
        assert all(slot.height <= state.height + 2 * window for slot in state.slots.values())  # P38, P84
        waited += bool(beyond)
        return world.height() >= 30

    assert world.run(10_000, until)
    assert waited  # MU32: what is beyond the window is kept, not dropped
    assert {world.state(index).view for index in range(4)} == {0} and world.sent["Suspect"] == 0
    assert world.sent["PrePrepare"] == 3 * world.state(0).tip.height  # kept, so nothing was sent again
    world.settled()


@pytest.mark.parametrize("window", [2, 4])
def test_p30e_a_child_gets_no_vote_before_its_parent_is_prepared(window: int) -> None:
    world = World(4, params=narrow(window))
    world.run(10)
    backup = others(world, world.primary())[0]
    plain = world.rule
    hold = [True]

    def rule(frm: int, to: int, message: object) -> int | None:
        if hold[0] and to == backup and isinstance(message, Prepare | Commit):
            return None
        if hold[0] and isinstance(message, Commit):
            return None
        return plain(frm, to, message)

    world.rule = rule
    world.submit(window + 2)
    world.run(400)
    slots = world.state(backup).slots
    assert sorted(height for height in slots if slots[height].block_id) == list(range(1, window + 1))
    assert heights_of(world, Prepare, backup) == {1}  # MU23: s+1 waits for s
    assert {slots[height].reason for height in range(2, window + 1)} == {"parent"}
    hold[0] = False
    assert world.run(5_000, lambda: world.height() >= window + 2)
    world.settled()


def test_p30a_no_vote_beyond_the_window_even_when_the_parent_is_prepared() -> None:
    """MU34: one member lacks the bodies of block 1, so it cannot commit it; blocks 2 and 3 are prepared around it."""
    world = World(4, params=narrow(2))
    world.run(10)
    me = others(world, world.primary())[0]
    plain = world.rule

    def rule(frm: int, to: int, message: object) -> int | None:
        return None if me in (frm, to) and type(message).__name__ in ("Bodies", "Blocks") else plain(frm, to, message)

    world.rule = rule
    world.submit(1, to=others(world, me))
    world.run(5)
    world.submit(4, label=b"everywhere")
    world.run(400)
    state = world.state(me)
    assert state.height == 0 and 1 in state.certificates and state.slots[1].reason == "bodies"
    assert [height for height in (1, 2) if state.slots[height].prepared] == [1, 2]  # P34: without our acceptance
    assert state.slots[3].block_id and state.slots[3].reason == "window" and not state.slots[3].prepared
    assert heights_of(world, Prepare, me) == {2} and heights_of(world, Commit, me) == {1, 2}
    world.rule = plain
    assert world.run(5_000, lambda: world.height() >= 5)
    world.settled()


@pytest.mark.parametrize("window", [2, 4])
def test_scenario_66_several_prepared_blocks_are_repeated_in_order(window: int) -> None:
    world = World(4, params=narrow(window))
    world.run(10)
    dead, new = world.primary(), world.state(0).members.collector(1)
    plain = world.rule

    def rule(frm: int, to: int, message: object) -> int | None:
        if isinstance(message, Commit) or (new in (frm, to) and isinstance(message, PrePrepare | Prepare)):
            return None
        return plain(frm, to, message)

    world.rule = rule
    world.submit(window, to=others(world, new))
    world.run(400)
    prepared = world.state(dead).picture.prepared
    assert sorted(prepared) == list(range(1, window + 1))
    originals = {height: prepared[height].vote.block_id for height in prepared}
    for index in others(world):
        for peer in others(world, index):
            world.inject(peer, index, Suspect(0, 0))
    world.rule = lambda frm, to, message: None if isinstance(message, Commit) else plain(frm, to, message)
    assert world.run(6_000, lambda: len(world.state(new).slots) >= window)  # P57: all of O came with one answer
    opened = next(one for *_, one in world.log if isinstance(one, NewView))
    assert opened.reproposals == tuple(originals.items())
    world.rule = plain
    assert world.run(6_000, lambda: world.height() >= window)
    assert {node.chain[height - 1].reference.block_id for node in world.nodes for height in originals} == set(
        originals.values()
    )
    again = [one for *_, one in world.log if isinstance(one, PrePrepare) and one.vote.view == 1]
    firsts = {one.vote.height: one for *_, one in world.log if isinstance(one, PrePrepare) and one.vote.view == 0}
    for one in again:
        if one.vote.height in originals:
            assert one.proposal == firsts[one.vote.height].proposal  # MU29: header, ids and certificate as they were
    world.settled()


def test_scenario_66_s_committed_and_its_child_prepared_nowhere() -> None:
    world = World(4, params=narrow(2))
    world.run(10)
    dead = world.primary()
    plain = world.rule
    world.rule = lambda frm, to, message: (
        None
        if isinstance(message, Prepare) and message.vote.view == 0 and message.vote.height == 2
        else plain(frm, to, message)
    )
    world.submit(2)
    world.run(300)
    assert world.height() == 1 and not any(world.state(index).picture.prepared for index in others(world, dead))
    lost = world.state(others(world, dead)[0]).slots[2].block_id
    world.kill(dead)
    assert world.run(10_000, lambda: world.height() >= 2)
    opened = next(one for *_, one in world.log if isinstance(one, NewView))
    assert opened.reproposals == ()  # nothing above 1 can have committed, so nothing is repeated
    assert world.nodes[others(world, dead)[0]].chain[1].reference.block_id != lost
    world.settled()


def chain_of(world: World, count: int, view: int = 0, stray: int = 0) -> tuple[PreparedCertificate, ...]:
    """Prepared certificates for heights 1..count; the one at height `stray` has another parent."""
    parent = BlockRef(0, GENESIS, WALL0 - 1000, 0, 0)
    found = []
    for height in range(1, count + 1):
        above = BlockRef(height - 1, bytes(32), parent.time_ms, 0, 0) if height == stray else parent
        proposal = world.proposal(world.nodes[0], height, above, genesis_certificate(GENESIS), (), ())
        found.append(world.prepared_certificate(proposal, view, 0, [0, 1, 2]))
        header = header_codec.decode(proposal.header)
        parent = BlockRef(height, block_id(proposal.header), header.time_ms, 0, 0)
    return tuple(found)


@pytest.mark.parametrize(
    ("shown", "stray", "repeated"),
    [
        ([(1, 2, 3, 4), (), ()], 0, 4),
        ([(1, 2), (3,), (4,)], 0, 4),  # entries of different members join, as each is prepared
        ([(1, 2, 4), (), (1,)], 0, 2),  # a gap: 4 cannot have committed
        ([(2, 3), (), ()], 0, 0),  # 1 is prepared at nobody here, so 2 is not committed either
        ([(1, 2, 3, 4), (), ()], 3, 2),  # a broken link
    ],
)
def test_scenario_66_o_ends_at_the_first_gap_or_broken_link(
    shown: list[tuple[int, ...]], stray: int, repeated: int
) -> None:
    world = World(4, params=narrow(4))
    chain = chain_of(world, 4, stray=stray)
    changes = tuple(
        world.view_change(sender, 1, prepared=tuple(chain[height - 1] for height in heights))
        for sender, heights in enumerate(shown)
    )
    for change in changes:
        assert view_change(change, world.state(0).members, GENESIS, 4) == ""  # P53: entries need not be contiguous
    outcome = opening(changes)
    assert isinstance(outcome, Opening)
    assert outcome.reproposals() == tuple((at, chain[at - 1].vote.block_id) for at in range(1, repeated + 1))


def test_p53_entries_reach_w_above_the_base_and_no_further() -> None:
    world = World(4, params=narrow(4))
    members = world.state(0).members
    chain = chain_of(world, 4)
    assert view_change(world.view_change(0, 1, prepared=chain), members, GENESIS, 4) == ""
    assert view_change(world.view_change(0, 1, prepared=chain), members, GENESIS, 3) == "too_many_entries"
    assert view_change(world.view_change(0, 1, prepared=chain[2:]), members, GENESIS, 3) == "entry_height"
    assert view_change(world.view_change(0, 1, prepared=chain[1::-1]), members, GENESIS, 4) == "entry_height"


def test_p60_certificates_of_lower_views_survive_until_their_height_is_committed() -> None:
    world = World(4, params=narrow(2))
    world.run(10)
    plain = world.rule
    world.rule = lambda frm, to, message: None if isinstance(message, Commit) else plain(frm, to, message)
    world.submit(2)
    world.run(300)
    me = others(world, world.primary(), world.state(0).members.collector(1))[0]
    before = dict(world.state(me).picture.prepared)
    assert sorted(before) == [1, 2]
    world.rule = lambda *_: None
    for peer in others(world, me):
        world.inject(peer, me, Suspect(0, 0))
    assert world.state(me).mode is Mode.CHANGING
    assert world.state(me).picture.view_change.prepared == tuple(before.values())  # MU39, MU44
    world.inject(1 if me != 1 else 2, me, msg_committed(world, before[1].vote))
    world.run(5)
    assert sorted(world.state(me).picture.prepared) == [2]  # 1 is final, 2 still may have to be shown


def msg_committed(world: World, vote: Vote) -> object:
    from consensus.messages import Committed

    return Committed(world.commit_certificate(vote, [0, 1, 2]))


def test_p30f_the_certificate_a_header_names_never_falls_from_parent_to_child() -> None:
    world = World(4, params=narrow(4))
    world.submit(2)
    assert world.run(2000, lambda: world.height() >= 2)
    world.run(500)
    me = others(world, world.primary())[0]
    primary = world.nodes[world.primary()]
    tip, first = world.state(me).tip, primary.chain[0].certificate
    world.rule = lambda *_: None

    def offered(parent: BlockRef, certificate: CommitCertificate) -> str:
        proposal = world.proposal(primary, parent.height + 1, parent, certificate, (), ())
        world.inject(primary.index, me, world.pre_prepare(primary.index, 0, proposal))
        world.run(1)
        return world.state(me).slots[parent.height + 1].reason

    assert header_codec.decode(primary.chain[-1].header).last_cert_height > 1
    assert offered(tip, first) == "wrong_last_certificate_height"


def test_p45_what_is_in_flight_is_not_built_again_and_barren_ground_is_left_alone() -> None:
    world = World(4, params=Params(window=2))
    world.run(10)
    primary = world.nodes[world.primary()]
    plain = world.rule
    world.rule = lambda frm, to, message: None if isinstance(message, Commit) else plain(frm, to, message)
    asked: list[BuildBlock] = []
    build = world.build

    def counting(node, effect):
        asked.append(effect)
        return build(node, effect)

    world.build = counting
    world.submit(3)
    world.run(500)
    assert [effect.height for effect in asked] == [1]  # all that waits is in block 1
    ids = primary.replica.state.slots[1].pre_prepare.proposal.tx_ids
    assert len(ids) == 3
    world.submit(1, label=b"more")
    world.run(500)
    assert [(effect.height, effect.taken) for effect in asked] == [(1, ()), (2, ids)]
    world.rule = plain
    assert world.run(3_000, lambda: world.height() >= 2)
    world.settled()


def test_p158_nothing_to_propose_on_a_block_is_remembered_until_the_mempool_changes() -> None:
    world = World(4, params=Params(window=2))
    world.run(10)
    primary = world.nodes[world.primary()]
    world.rule = lambda frm, to, message: None if isinstance(message, Commit) else 2 * MS
    refused: list[int] = []
    build = world.build
    world.build = lambda node, effect: refused.append(effect.height) if effect.height == 2 else build(node, effect)
    world.submit(1)
    world.submit(1, label=b"second", to=[primary.index])
    world.run(300)
    count = len(refused)
    assert count <= 2 and primary.replica.state.slots[1].block_id
    for size in (5, 6):
        event = WorkChanged(
            now=world.now, wall=world.wall(primary), count=size, size_bytes=9, oldest_ns=1, overdue=False
        )
        world.feed(primary, event)
        world.run(100)
    assert len(refused) == count + 2  # once for each word of the mempool, not in a loop
    assert isinstance(world.state(primary.index).barren, bytes) and world.state(primary.index).work.count == 6
    world.feed(primary, BlockBuilt(now=world.now, wall=world.wall(primary), request=10**6, proposal=None))
    assert not primary.halts
