"""Crash and restart: P90-P97, scenarios 20-23, and the length of the journal."""

from __future__ import annotations

import pytest
from pbft_harness import GENESIS, JOURNAL, MS, WALL0, Signer, World

import consensus.recovery as recovery
import consensus.state as state_rules
from consensus.effects import Broadcast, Deliver, Halt, Persist, Prune
from consensus.events import Durable, Mode, PeerUp, Start, Synced
from consensus.messages import Commit, NewView, Prepare, Prepared, PrePrepare, ViewChange
from consensus.records import Anchor, CommittedHere, Silenced
from consensus.replica import Replica
from ledger.certificate import genesis_certificate
from ledger.codec import encode
from ledger.params import Params

pytestmark = pytest.mark.usefixtures("window")


def own(world: World, index: int, kinds: tuple[type, ...], since: int = 0) -> list[bytes]:
    """Distinct signed messages of `index` that left it, in order."""
    found = [
        encode(message)
        for _, frm, _, message in world.log[since:]
        if frm == index and isinstance(message, kinds) and message.sender == index
    ]
    return list(dict.fromkeys(found))


def test_p95_a_restart_sends_the_same_bytes_again() -> None:
    world = World(4, real=True)
    world.run(10)
    plain = world.rule
    world.rule = lambda frm, to, message: None if isinstance(message, Commit) else plain(frm, to, message)
    world.submit(2)
    world.run(100)
    for index in range(4):
        sent = own(world, index, (PrePrepare, Prepare, Commit))
        assert len(sent) == 2
        since = len(world.log)
        digest = world.state(index).durable_digest()
        world.kill(index)
        node = world.restart(index)
        assert node.replica.state.durable_digest() == digest  # I21
        assert own(world, index, (PrePrepare, Prepare, Commit), since) == sent
        world.run(50)
    world.rule = plain
    assert world.run(5000, lambda: world.height() >= 1)
    assert world.sent["ViewChange"] == 0
    world.settled()


def test_p95_a_restart_while_changing_sends_the_same_view_change() -> None:
    world = World(4)
    world.submit(1)
    world.run(200)
    world.kill(world.primary())
    other = next(node.index for node in world.nodes if node.alive)
    world.kill(other)
    world.submit(1)
    world.run(10_000)
    for index in [node.index for node in world.nodes if node.alive]:
        assert world.state(index).mode is Mode.CHANGING
        (sent,) = own(world, index, (ViewChange,))
        since = len(world.log)
        world.kill(index)
        node = world.restart(index)
        assert (node.replica.state.view, node.replica.state.mode) == (1, Mode.CHANGING)
        assert own(world, index, (ViewChange,), since) == [sent]
    world.restart(other)
    assert world.run(20_000, lambda: world.height() >= 3)
    world.settled()


def crash_world() -> World:
    """Two blocks, then a dead primary and a view change: every kind of record is written."""
    world = World(4)
    plain = world.rule
    world.rule = lambda frm, to, message: (
        None
        if isinstance(message, Commit) and message.vote.view == 0 and message.vote.height == 3
        else plain(frm, to, message)
    )
    return world


def play(world: World) -> None:
    world.submit(1)
    world.run(150)
    world.submit(1)
    world.run(3500)


def writes_of(index: int) -> int:
    world = crash_world()
    play(world)
    assert world.state(index).view == 1
    return world.nodes[index].journal[-1][0]


@pytest.mark.parametrize("point", ["before", "durable", "sent"])
@pytest.mark.parametrize("index", range(4))
def test_scenario_20_a_crash_at_every_durable_write(index: int, point: str) -> None:
    kinds = set()
    for lsn in range(1, writes_of(index) + 1):
        world = crash_world()
        done = []

        def written(node, batch, done=done, lsn=lsn):
            if node.index == index and not done and batch[0].lsn <= lsn <= batch[-1].lsn:
                done.append(batch[0].record)
                return point
            return ""

        world.written = written
        play(world)
        assert done
        kinds.add(type(done[0]).__name__)
        if not world.nodes[index].alive:
            world.restart(index)
        goal = max(world.heights())
        world.submit(1)
        assert world.run(20_000, lambda world=world, goal=goal: world.height() > goal), (index, point, lsn)
        world.settled()
    assert {"Anchor", "Accepted", "PreparedHere", "CommittedHere", "Left", "Entered"} <= kinds


def test_scenario_22_a_power_cut_at_any_moment_loses_nothing_committed() -> None:
    for moment in range(1, 60, 2):
        world = World(4, disk_ns=3 * MS)
        world.submit(2)
        world.run(moment)
        reported = dict(world.committed)
        for index in range(4):
            world.kill(index)
        for index in range(4):
            world.restart(index)
        world.submit(1)
        assert world.run(20_000, lambda world=world: world.height() >= 2)
        for height, identity in reported.items():
            assert world.committed[height] == identity  # I20
        world.settled()


def test_scenario_21_a_crash_loop_hurts_only_itself() -> None:
    world = World(4)
    loop = (world.primary() + 1) % 4
    for _ in range(20):
        world.kill(loop)
        world.restart(loop)
        world.submit(1)
        world.run(50)
    assert max(world.heights()) >= 10
    assert world.run(5000, lambda: len(set(world.heights())) == 1)
    assert world.sent["ViewChange"] == 0
    world.settled()


def test_scenario_23_a_crash_between_view_change_and_new_view() -> None:
    for delay in range(1980, 2030, 4):
        world = World(4)
        world.submit(1)
        world.run(200)
        world.kill(world.primary())
        world.submit(1)
        world.run(delay)
        victim = world.state(next(n.index for n in world.nodes if n.alive)).members.collector(1)
        world.kill(victim)
        world.run(20)
        world.restart(victim)
        assert world.run(30_000, lambda world=world: world.height() >= 3)
        sent = [encode(one) for _, _, _, one in world.log if isinstance(one, NewView) and one.view == 1]
        assert len(dict.fromkeys(sent)) <= 1
        world.settled()


# what makes a learner


def fresh_start(world: World, records: tuple, voting: bool = True, **changes) -> tuple[Replica, list]:
    values = {
        "now": 0,
        "wall": WALL0,
        "config": world.config(0),
        "tip": world.nodes[0].chain[-1].reference if world.nodes[0].chain else None,
        "tip_certificate": world.nodes[0].chain[-1].certificate if world.nodes[0].chain else None,
        "executed": ((0, bytes(32)),),
        "records": records,
        "voting": voting,
    }
    values.update(changes)
    replica = Replica(Signer(world.keys, 0))
    return replica, replica.step(Start(**values))


def ran() -> World:
    world = World(4)
    for _ in range(3):
        world.submit(1)
        world.run(100)
    return world


def test_p94_p97_what_is_wrong_with_a_journal_makes_a_learner() -> None:
    world = ran()
    good = tuple(world.nodes[0].journal)
    replica, _ = fresh_start(world, good)
    assert replica.state.mode is Mode.NORMAL
    anchor = good[0][1]
    assert isinstance(anchor, Anchor)
    strange = Anchor(b"another", *[getattr(anchor, name) for name in anchor.__struct_fields__[1:]])
    bad = {
        "lost": (),
        "gap": good[:3] + good[4:],
        "no anchor": good[1:],
        "another journal": ((1, strange), *good[1:]),
        "silenced": (*good, (good[-1][0] + 1, Silenced("amnesia"))),
    }
    for name, records in bad.items():
        replica, effects = fresh_start(world, records)
        assert replica.state.mode is Mode.LEARNER, name
        assert not [one for one in effects if isinstance(one, Persist | Broadcast | Halt)], name
    replica, _ = fresh_start(world, good, voting=False)
    assert replica.state.mode is Mode.LEARNER


def test_p95_the_block_store_ahead_of_the_journal_is_adopted() -> None:
    world = ran()
    node = world.nodes[0]
    commits = [lsn for lsn, record in node.journal if isinstance(record, CommittedHere)]
    cut = tuple(one for one in node.journal if one[0] < commits[-1])
    replica, effects = fresh_start(world, cut)
    assert replica.state.height == node.chain[-1].reference.height
    assert isinstance(effects[1], Persist) and isinstance(effects[1].record, CommittedHere)
    assert replica.state.slots == {} and replica.state.picture.accepted == []


def test_p95_the_journal_ahead_of_the_block_store_delivers_again() -> None:
    world = ran()
    node = world.nodes[0]
    first = node.chain[0]
    replica, effects = fresh_start(world, tuple(node.journal), tip=first.reference, tip_certificate=first.certificate)
    delivered = [one.block for one in effects if isinstance(one, Deliver)]
    assert delivered == [block.reference for block in node.chain[1:]]
    assert replica.state.tip == node.chain[-1].reference


def test_i6_a_height_that_came_by_sync_is_not_voted_on_again_after_a_crash() -> None:
    world = ran()
    node = world.nodes[0]
    top = node.chain[-1]
    replica = Replica(Signer(world.keys, 0))
    start = Start(
        now=0,
        wall=WALL0,
        config=world.config(0),
        tip=genesis_reference(),
        tip_certificate=genesis_certificate(GENESIS),
        executed=((0, node.roots[0]),),
        records=(),
        voting=True,
    )
    records = [one for one in replica.step(start) if isinstance(one, Persist)]
    synced = Synced(now=1, wall=WALL0, tip=top.reference, certificate=top.certificate)
    records += [one for one in replica.step(synced) if isinstance(one, Persist)]
    journal = tuple((one.lsn, one.record) for one in records)
    replica, effects = fresh_start(
        world,
        journal,
        tip=genesis_reference(),
        tip_certificate=genesis_certificate(GENESIS),
        executed=((0, node.roots[0]),),
    )
    state = replica.state
    assert (state.height, state.tip.height) == (top.reference.height, 0)
    assert not [one for one in effects if isinstance(one, Deliver)]
    replica.step(PeerUp(now=2, wall=WALL0, peer=1))
    assert replica.why(2).waiting_for in ("quorum", "sync")
    assert [type(one).__name__ for one in effects].count("StartSync") == 1


def genesis_reference():
    from ledger.block import BlockRef

    return BlockRef(0, GENESIS, WALL0 - 1000, 0, 0)


def test_p93_the_journal_stays_short_under_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "ANCHOR_BYTES", 20_000)
    world = World(4)
    longest = 0
    for number in range(120):
        world.submit(2)
        world.run(20)
        if number % 5 == 0:  # the block store is always some blocks behind
            for index in range(4):
                world.store(index, behind=3)
        longest = max(longest, len(world.nodes[0].journal))
    assert world.height() > 80
    node = world.nodes[0]
    assert longest < 80 and len(node.journal_bodies) < 30
    assert isinstance(node.journal[0][1], Anchor)
    assert len(node.chain) > node.stored
    for index in range(4):
        world.kill(index)
        digest = world.nodes[index].digests[world.nodes[index].durable]
        world.restart(index)
        assert world.state(index).durable_digest() == digest
    world.submit(1)
    goal = world.height()
    assert world.run(10_000, lambda: world.height() > goal)
    world.settled()


def test_p93_the_journal_stays_short_while_nothing_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views come and go without a block: their openings are folded, and bodies stay of proposals that are kept."""
    monkeypatch.setattr(recovery, "ANCHOR_BYTES", 64 * 1024)
    monkeypatch.setattr(state_rules, "KEPT_PROPOSALS", 16)  # they are part of every anchor
    quick = Params(rotate_every=0, t0_ms=200, t_cap_ms=800, status_ms=200, suspect_ttl_ms=600, hb_ms=300, fetch_ms=100)
    world = World(4, params=quick)
    world.submit(40)
    world.run(2_000)
    for index in range(4):
        world.store(index)
    height, plain = world.height(), world.rule
    world.rule = lambda frm, to, message: None if isinstance(message, Prepare | Prepared) else plain(frm, to, message)
    world.submit(3)
    longest = most = 0
    for _ in range(60):
        world.run(1_000)
        longest = max(longest, world.state(0).logged_bytes)
        most = max(most, len(world.nodes[0].journal_bodies))
    assert world.height() == height and world.state(0).view > 60
    assert longest < 2 * 64 * 1024
    assert most < 60
    node, state = world.nodes[0], world.state(0)
    assert isinstance(node.journal[0][1], Anchor)
    named = {message.vote.block_id for message in state.picture.accepted}
    assert named <= set(node.journal_bodies), "every proposal that it may have to show is still there"
    for index in range(4):
        world.kill(index)
        digest = world.nodes[index].digests[world.nodes[index].durable]
        world.restart(index)
        assert world.state(index).durable_digest() == digest
    world.rule = plain
    world.submit(1)
    assert world.run(30_000, lambda: world.height() > height)
    world.settled()


def test_p93_pruning_waits_for_the_durable_anchor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "ANCHOR_BYTES", 1)
    world = ran()
    node = world.nodes[0]
    world.disk_ns = 10**15
    world.store(0, behind=1)
    state = node.replica.state
    assert state.anchor_lsn > node.durable
    clocks = {"now": world.now, "wall": WALL0}
    assert node.replica.step(Durable(lsn=state.anchor_lsn - 1, **clocks)) == []
    (prune,) = node.replica.step(Durable(lsn=state.anchor_lsn, **clocks))
    assert isinstance(prune, Prune) and prune.bodies_up_to == node.stored < len(node.chain)


def test_p93_nothing_is_pruned_before_the_block_store_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "ANCHOR_BYTES", 2_000)
    world = World(4)
    for _ in range(30):
        world.submit(2)
        world.run(20)
    assert world.nodes[0].journal[0][0] == 1  # nothing was stored: MU75
    assert world.nodes[0].journal[0][1].journal_id == JOURNAL


def test_p31_after_a_restart_the_primary_waits_for_its_own_results() -> None:
    world = World(4)
    world.submit(1)
    world.run(300)
    for index in range(4):
        world.kill(index)
    world.submit(2)
    for index in range(4):
        world.restart(index)
    assert world.run(1000, lambda: world.height() >= 3)
    assert sum(node.counts["proposal_rejected"] for node in world.nodes) == 0
    world.settled()
