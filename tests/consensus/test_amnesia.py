"""A journal that was set back is found out and ends voting; an intact one never is (P97, P98, scenarios 27 and 29)."""

from __future__ import annotations

from copy import deepcopy

import msgspec
import pytest
from pbft_harness import WALL0, Node, World

from consensus.amnesia import echo_of
from consensus.effects import SignatureItem
from consensus.events import Mode, Synced
from consensus.messages import Commit, NewView, Prepare, PrePrepare, Status, ViewChange
from consensus.records import Anchor, Silenced
from consensus.step import remember
from consensus.validate import commit_items
from ledger.block import BlockRef, block_id
from ledger.certificate import Vote
from ledger.codec import encode

SIGNED = (PrePrepare, Prepare, Commit, ViewChange, NewView)


def backup(node: Node) -> dict[str, object]:
    return {name: deepcopy(getattr(node, name)) for name in ("journal", "journal_bodies", "chain", "stored", "durable")}


def restore(world: World, index: int, copy: dict[str, object]) -> Node:
    world.kill(index)
    node = world.nodes[index]
    for name, value in deepcopy(copy).items():
        setattr(node, name, value)
    node.digests.clear()
    return world.restart(index)


def new_votes(world: World, index: int, since: int) -> list[bytes]:
    """Signed bodies that `index` sent since `since` and never before."""

    def sent(part: list) -> list[bytes]:
        return [encode(m) for _, frm, _, m in part if frm == index and isinstance(m, SIGNED) and m.sender == index]

    before = dict.fromkeys(sent(world.log[:since]))
    return [one for one in sent(world.log[since:]) if one not in before]


def ran(n: int = 4, blocks: int = 3) -> World:
    world = World(n)
    for _ in range(blocks):
        world.submit(1)
        world.run(100)
    return world


# a journal that was set back


@pytest.mark.parametrize("role", ["primary", "backup"])
def test_scenario_29_a_restored_backup_silences_itself_and_the_others_go_on(role: str) -> None:
    world = ran()
    index = world.primary() if role == "primary" else (world.primary() + 1) % 4
    copy = backup(world.nodes[index])
    for _ in range(3):
        world.submit(1)
        world.run(100)
    since = len(world.log)
    node = restore(world, index, copy)
    world.run(1500)
    assert node.replica.state.mode is Mode.LEARNER
    assert isinstance(node.journal[-1][1], Silenced)
    assert [silence.reason for silence in node.silences] == [node.replica.state.silenced]
    assert "is not in the journal" in node.replica.why(world.now).silenced
    goal = world.height() + 3
    for _ in range(3):
        world.submit(1)
        world.run(5000)
    assert min(world.heights()) >= goal  # it follows, and the others do not need it
    assert new_votes(world, index, since) == []
    assert not node.halts


def test_p97_a_silenced_node_stays_a_learner_after_further_restarts() -> None:
    world = ran()
    index = (world.primary() + 1) % 4
    copy = backup(world.nodes[index])
    world.submit(1)
    world.run(100)
    node = restore(world, index, copy)
    world.run(1500)
    reason = node.replica.state.silenced
    world.kill(index)
    node.digests.clear()
    node = world.restart(index)
    assert (node.replica.state.mode, node.replica.state.silenced) == (Mode.LEARNER, reason)
    world.submit(1)
    goal = world.height() + 1
    assert world.run(10_000, lambda: min(world.heights()) >= goal)


def test_p98_an_open_slot_is_echoed_before_a_second_vote_could_be_made() -> None:
    """The dangerous case: a PREPARE was given in a slot that is not decided, and forgotten."""
    world = ran()
    plain = world.rule
    index = (world.primary() + 1) % 4
    copy = backup(world.nodes[index])
    world.rule = lambda frm, to, message: None if isinstance(message, Commit) else plain(frm, to, message)
    world.submit(1)
    world.run(50)
    assert world.state(world.primary()).slots[4].prepares.votes[index] is not None
    since = len(world.log)
    node = restore(world, index, copy)
    world.run(20)
    assert node.replica.state.mode is Mode.LEARNER
    assert "PREPARE at height 4" in node.replica.state.silenced
    assert new_votes(world, index, since) == []


def test_p98_a_forgotten_view_change_is_shown_on_connect() -> None:
    world = ran()
    old = world.primary()
    world.kill(old)
    world.submit(1)
    index = next(node.index for node in world.nodes if node.alive)
    copy = backup(world.nodes[index])
    other = next(node.index for node in world.nodes if node.alive and node.index != index)
    world.kill(other)
    world.run(10_000, lambda: world.state(index).mode is Mode.CHANGING)
    third = next(node.index for node in world.nodes if node.alive and node.index != index)
    world.run(2000, lambda: index in world.state(third).highest_changes)
    left = world.state(index).picture.view_change
    assert left is not None and world.state(third).highest_changes[index] == left
    since = len(world.log)
    node = restore(world, index, copy)
    world.run(50)
    assert node.replica.state.mode is Mode.LEARNER
    assert f"VIEW-CHANGE to view {left.view}" in node.replica.state.silenced
    assert new_votes(world, index, since) == []


def test_p98_an_old_backup_is_known_by_its_signatures_in_synced_certificates() -> None:
    """Its votes are no longer in any slot: the certificates of the blocks it fetches show them."""
    world = ran()
    index = (world.primary() + 1) % 4
    copy = backup(world.nodes[index])
    world.submit(1)
    world.run(100)
    forgotten = world.nodes[index].chain[-1]
    node = restore(world, index, copy)
    state = node.replica.state
    assert forgotten.certificate.vote.height > state.height
    signed = world.commit_certificate(
        forgotten.certificate.vote, [index, *[one for one in range(4) if one != index][:2]]
    )
    world.feed(
        node,
        Synced(now=world.now, wall=WALL0, tip=forgotten.reference, certificate=signed, certificates=(signed,)),
    )
    assert state.mode is Mode.LEARNER
    assert state.tip == forgotten.reference


def test_p98_the_block_store_may_remember_what_the_journal_forgot() -> None:
    """Scenario 27: only the journal was set back; the certificate of the own tip holds the forgotten COMMIT."""
    world = ran()
    signers = world.nodes[0].chain[-1].certificate.signers
    index = next(one for one in range(4) if int.from_bytes(signers, "little") >> one & 1)
    world.store(index, behind=0)
    node = world.nodes[index]
    world.kill(index)
    first = next(lsn for lsn, record in node.journal if not isinstance(record, Anchor))
    node.journal = [one for one in node.journal if one[0] <= first]
    node.durable = node.journal[-1][0]
    node.digests.clear()
    node.chain[-1].certificate = world.nodes[0].chain[-1].certificate
    node = world.restart(index)
    assert node.replica.state.mode is Mode.LEARNER
    assert [silence.reason for silence in node.silences]


def test_p98_two_nodes_with_one_key_find_each_other() -> None:
    """A vote of ours that we never made is somebody else with our key; neither copy should go on voting."""
    world = ran()
    index = (world.primary() + 1) % 4
    twin = world.commit(index, Vote(0, 0, 4, bytes(32)))
    peer = (index + 1) % 4
    world.inject(peer, index, twin)
    world.run(1)
    assert world.state(index).mode is Mode.LEARNER
    assert "COMMIT at height 4 in view 0" in world.state(index).silenced


def test_p98_what_waited_for_a_view_may_itself_show_a_forgotten_vote() -> None:
    """Votes wait for a view to be entered; the certificate in one of them ends our voting before the others' turn."""
    world = World(4, connect=False)
    leader = world.state(0).members.collector(1)
    index, *others = [one for one in range(4) if one != leader]
    state = world.state(index)
    first = block_id(world.first_proposal(leader).header)
    parent = BlockRef(1, first, WALL0 - 999, 0, 1)
    certificate = world.commit_certificate(Vote(0, 1, 1, parent.block_id), (index, *others))
    ahead = world.pre_prepare(leader, 1, world.proposal(world.nodes[leader], 2, parent, certificate, (), ()))
    for item in commit_items(certificate):  # verified one by one, as parts of messages that were void (P18)
        remember(state, (item,))
    remember(state, (SignatureItem("pre-prepare", encode(ahead.vote), 0, leader, ahead.signature),))
    vote = Vote(0, 1, 1, parent.block_id)
    for sender, message in [(leader, ahead), *((one, world.prepare(one, vote)) for one in others)]:
        world.inject(sender, index, message)
    world.run(1)
    assert sorted(state.later) == sorted([leader, *others]) and leader < max(others)
    opening = world.new_view(leader, 1, tuple(world.view_change(one, 1) for one in sorted((leader, *others))))
    world.inject(leader, index, opening)
    world.run(1)
    assert state.mode is Mode.LEARNER
    assert "COMMIT at height 1 in view 1" in state.silenced
    assert not state.later and not state.slots


# what proves nothing


def status(world: World, index: int, echo: bytes) -> Status:
    tip = world.state(index).tip
    return Status(0, 0, 0, tip.height, tip.block_id, 0, tip.height, False, b"\0", b"\0", b"\0", echo)


def test_p98_a_claim_without_our_signature_is_ignored() -> None:
    world = ran()
    index, liar = (world.primary() + 1) % 4, (world.primary() + 2) % 4
    good = world.commit(index, Vote(0, 0, 4, bytes(32)))
    forged = msgspec.structs.replace(good, signature=bytes(64))
    others = world.commit(liar, Vote(0, 0, 4, bytes(32)))
    renamed = msgspec.structs.replace(others, sender=index)
    for echo in (encode(forged), encode(renamed), encode(others), b"\xff" * 10, bytes(600)):
        world.inject(liar, index, status(world, index, echo))
        world.run(1)
        assert world.state(index).mode is Mode.NORMAL
    assert world.nodes[index].rejections[(liar, "false_echo")] == 2
    assert [penalty.reason for penalty in world.nodes[index].penalties] == ["malformed"] * 2


def test_p98_votes_that_are_over_prove_nothing() -> None:
    """A journal forgets what is decided and what view was left; only what still counts must be in it."""
    world = ran()
    index = (world.primary() + 1) % 4
    decided = world.commit(index, Vote(0, 0, 3, bytes(32)))
    world.inject((index + 1) % 4, index, status(world, index, encode(decided)))
    world.run(1)
    assert world.state(index).mode is Mode.NORMAL


def test_p98_the_echo_is_the_highest_vote_and_outlives_its_slot() -> None:
    world = ran()
    for viewer in range(4):
        for peer in range(4):
            if viewer == peer:
                continue
            echo = echo_of(world.state(viewer), peer)
            assert echo
            message = msgspec.msgpack.decode(echo)
            assert message[1] == peer and message[2][2] == 3  # [tag, sender, [epoch, view, height, id], signature]
    primary = world.primary()
    plain = world.rule
    world.rule = lambda frm, to, message: None if isinstance(message, Commit) else plain(frm, to, message)
    world.submit(1)
    world.run(50)
    viewer = (primary + 1) % 4
    message = msgspec.msgpack.decode(echo_of(world.state(viewer), primary))
    assert (message[0], message[2][2]) == (2, 4)  # a PRE-PREPARE in the form of a PREPARE
    assert world.state(viewer).slots[4].prepares.votes[primary].signature == message[3]


# normal restarts must not cost liveness


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_p98_the_whole_network_restarts_and_goes_on(n: int) -> None:
    world = ran(n)
    for index in range(n):
        world.kill(index)
    for index in range(n):
        world.restart(index)
    assert world.run(200, lambda: all(world.state(index).cleared for index in range(n)))
    world.submit(1)
    goal = world.height() + 1
    assert world.run(1000, lambda: min(world.heights()) >= goal)
    assert world.sent["ViewChange"] == 0
    assert {world.state(index).mode for index in range(n)} == {Mode.NORMAL}
    world.settled()


@pytest.mark.parametrize("n", [4, 5, 6, 7, 10])
def test_p98_f_plus_1_members_were_down_and_come_back(n: int) -> None:
    world = ran(n)
    down = list(range(world.state(0).members.f + 1))
    for index in down:
        world.kill(index)
    world.submit(1)
    world.run(300)
    for index in down:
        world.restart(index)
    goal = world.height() + 1
    assert world.run(20_000, lambda: world.height() >= goal)
    assert {world.state(index).mode for index in range(n)} == {Mode.NORMAL}
    world.settled()


def test_p98_a_crash_in_every_phase_of_a_block_is_no_amnesia() -> None:
    """Crash points over a whole block with unverified votes around: nobody is silenced."""
    for moment in range(14):
        for index in range(4):
            world = ran(blocks=1)
            world.submit(1)
            world.run(moment)
            world.kill(index)
            world.restart(index)
            goal = 2
            assert world.run(20_000, lambda world=world, goal=goal: world.height() >= goal)
            assert [node.silences for node in world.nodes] == [[], [], [], []]
            world.settled()


def test_p98_nothing_new_is_signed_before_q_minus_1_others_were_heard() -> None:
    world = ran()
    plain = world.rule
    index = (world.primary() + 1) % 4
    deaf_to = [one for one in range(4) if one not in (index, world.primary())]
    world.kill(index)
    # the restarted node hears proposals and votes of everybody, but the STATUS of one member only
    world.rule = lambda frm, to, message: (
        None if to == index and frm in deaf_to and isinstance(message, Status) else plain(frm, to, message)
    )
    since = len(world.log)
    node = world.restart(index)
    world.submit(1)
    world.run(900)
    assert max(world.heights()) >= 4
    assert node.replica.state.cleared is False
    assert node.replica.why(world.now).waiting_for in ("echo", "sync")
    assert new_votes(world, index, since) == []
    world.rule = plain
    world.run(2500)
    assert node.replica.state.cleared
    world.submit(1)
    world.run(300)
    assert new_votes(world, index, since)
    world.settled()


def test_p98_the_first_start_of_a_network_waits_for_nobody() -> None:
    world = World(4, connect=False)
    assert all(world.state(index).cleared for index in range(4))
    assert [world.state(index).heard for index in range(4)] == [0, 0, 0, 0]
