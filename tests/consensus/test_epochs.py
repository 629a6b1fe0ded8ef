"""The change of epoch (P112-P115, scenarios 67-71): decided, clipped, named by header A-1, begun at A."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec.structs import replace as replace_struct
from pbft_harness import CHAIN, GENESIS, GENESIS_ROOT, JOURNAL, WALL0, Keys, Node, Signer, World

from consensus.effects import Broadcast, BuildBlock, Deliver, Effect, Persist, Send, StartSync
from consensus.events import (
    EpochSpec,
    Lsn,
    Member,
    Mode,
    PeerDown,
    PeerUp,
    Received,
    ReplicaConfig,
    Start,
    Synced,
)
from consensus.membership import membership
from consensus.messages import Commit, Committed, Prepare, PrePrepare, Proposal, Status
from consensus.records import Anchor, CommittedHere, Record
from consensus.replica import Replica
from consensus.state import ReplicaState
from ledger.block import EMPTY_LIST_ROOT, BlockRef, Header, block_id, header_codec
from ledger.certificate import CommitCertificate, Vote, bitmap, genesis_certificate
from ledger.codec import encode
from ledger.params import Params
from ledger.registry.records import members_hash

PARAMS = Params(window=2, max_block_txs=1)
"""One transaction a block, two blocks in flight: the window would reach over the barrier if it were not clipped."""


def busy(world: World, height: int, limit_ms: int = 60_000) -> bool:
    """Keep work in the pools until all living nodes have `height`."""
    for _ in range(limit_ms // 200):
        if world.height() >= height:
            return True
        world.submit(8)
        world.run(200, lambda: world.height() >= height)
    return world.height() >= height


def check_chain(world: World, index: int) -> None:
    """Every header names the epoch of its height and the set of the next one (P114)."""
    for block in world.nodes[index].chain:
        header = header_codec.decode(block.header)
        assert header.epoch == world.epoch_at(header.height).epoch
        assert header.members_hash == world.epoch_at(header.height).members_hash
        assert header.next_members_hash == world.epoch_at(header.height + 1).members_hash
        assert block.certificate.vote.epoch == header.epoch


def test_p114_the_journal_never_speaks_of_members_that_the_store_does_not_know() -> None:
    """Scenario 22 at the barrier: all lose power while no block store has the block that decided the next epoch."""
    world = World(4, params=PARAMS)
    world.prompt = False
    spec = world.decide(3, range(4), resting=(0,))
    assert busy(world, spec.first_height - 1)
    world.run(2_000)
    assert set(world.heights()) == {spec.first_height - 1}  # A-1 is final, and nothing at A is proposed
    assert {world.state(index).members.epoch for index in range(4)} == {0}
    for index in range(4):
        world.kill(index)
    for index in range(4):
        world.restart(index)
    world.run(2_000)
    assert {world.state(index).mode for index in range(4)} == {Mode.NORMAL}
    assert set(world.heights()) == {spec.first_height - 1}  # delivered again from the journals
    for index in range(4):
        world.store(index, behind=len(world.nodes[index].chain) - 3)
    assert {world.state(index).members.epoch for index in range(4)} == {1}
    assert busy(world, spec.first_height + 4)


def test_scenario_67_a_company_is_added_and_votes_from_the_first_height_of_its_epoch_on() -> None:
    world = World(5, params=PARAMS, founders=4)
    world.follow(4)
    spec = world.decide(3, range(5))
    assert busy(world, spec.first_height + 12)
    world.run(500)
    assert busy(world, world.height() + 12)  # caught up meanwhile, it takes part
    world.run(100)
    world.settled()
    check_chain(world, 0)
    for node in world.nodes:
        state = node.replica.state
        assert (state.members.epoch, state.members.n, state.mode) == (1, 5, Mode.NORMAL)
        assert state.me == node.index
    votes = [one.vote for _, frm, _, one in world.log if frm == 4 and isinstance(one, Prepare | Commit | PrePrepare)]
    assert votes
    assert {vote.epoch for vote in votes} == {1}
    assert min(vote.height for vote in votes) >= spec.first_height


@pytest.mark.parametrize("window", [1, 2, 4])
def test_p113_nothing_at_or_above_a_is_built_before_a_minus_1_is_final(window: int) -> None:
    world = World(4, params=Params(window=window, max_block_txs=1))
    spec = world.decide(2, range(4))
    asked: list[tuple[int, int]] = []
    plain = world.build

    def build(node: Node, effect: BuildBlock) -> Proposal | None:
        asked.append((node.replica.state.members.epoch, effect.height))
        return plain(node, effect)

    world.build = build
    assert busy(world, spec.first_height + 4)
    assert max(height for epoch, height in asked if epoch == 0) == spec.first_height - 1
    assert min(height for epoch, height in asked if epoch == 1) == spec.first_height
    check_chain(world, 0)


def test_p112_an_idle_network_reaches_the_next_epoch() -> None:
    """Blocks without transactions follow until the decided epoch begins, and none after that."""
    world = World(4, params=PARAMS)
    spec = world.decide(2, range(4))
    assert busy(world, 3)
    world.run(6_000)
    assert [world.state(index).members.epoch for index in range(4)] == [1, 1, 1, 1]
    assert spec.first_height - 1 <= world.height() <= spec.first_height + 1
    reached = world.height()
    world.run(3_000)
    assert world.height() == reached
    check_chain(world, 0)


@pytest.mark.parametrize("resting", [0, 3])
def test_scenario_67_a_removed_company_follows_without_a_vote(resting: int) -> None:
    world = World(5, params=PARAMS)
    spec = world.decide(2, range(4), resting=(resting,))
    target = spec.first_height + 8
    for _ in range(200):
        world.submit(8)
        world.run(100)
        if min(len(world.nodes[index].chain) for index in range(4)) >= target:
            break
    assert min(len(world.nodes[index].chain) for index in range(4)) >= target
    world.run(200)
    gone = world.state(4)
    assert (gone.me, gone.mode, gone.journaling) == (-1, Mode.LEARNER, False)
    left = [one for _, frm, _, one in world.log if frm == 4 and isinstance(one, Prepare | Commit | PrePrepare)]
    assert all(one.vote.height < spec.first_height for one in left)
    proposers = {
        header_codec.decode(block.header).proposer
        for block in world.nodes[0].chain
        if block.reference.height >= spec.first_height
    }
    assert resting not in proposers  # P80: out of the rotation
    check_chain(world, 0)


def test_p80_a_member_out_of_the_rotation_never_leads_and_counts_for_the_quorum() -> None:
    world = World(4)
    members = membership(world.spec(1, 9, range(4), resting=(2,)), CHAIN, 0)
    assert sorted(members.rotation) == [0, 1, 3]
    assert (members.n, members.q) == (4, 3)


def test_p115_certificates_are_checked_with_the_members_of_their_own_height() -> None:
    world = World(5, params=PARAMS, founders=4)
    world.follow(4)
    spec = world.decide(2, range(5))
    assert busy(world, spec.first_height + 1)
    last = world.nodes[0].chain[spec.first_height - 2].certificate
    members = world.state(0).members
    assert members.at(spec.first_height - 1).epoch == 0
    assert members.at(spec.first_height).epoch == 1
    before = len(world.nodes[1].penalties)
    world.inject(0, 1, Committed(last))
    assert len(world.nodes[1].penalties) == before
    forged = world.commit_certificate(last.vote.__class__(0, 0, spec.first_height, bytes(32)), [0, 1, 2])
    world.inject(0, 1, Committed(forged))
    assert len(world.nodes[1].penalties) == before + 1  # the old set has no say from A on


def test_a_certificate_of_an_unknown_later_epoch_asks_for_blocks_and_blames_nobody() -> None:
    world = World(4)
    world.run(1000)
    vote = world.nodes[0].replica.state.tip_certificate.vote.__class__(1, 0, 40, bytes(32))
    world.inject(1, 0, Committed(world.commit_certificate(vote, [1, 2, 3])))
    node = world.nodes[0]
    assert node.rejections[(1, "newer_epoch")] == 1
    assert not node.penalties
    assert node.replica.state.sync_height == 40


@pytest.mark.parametrize("point", ["before", "durable"])
@pytest.mark.parametrize("behind", [0, 3])
def test_scenario_69_a_crash_at_the_barrier_comes_back_on_the_right_side(point: str, behind: int) -> None:
    """The write that makes A-1 final and begins the epoch is lost, or durable and nothing was sent."""
    world = World(4, params=PARAMS)
    spec = world.decide(2, range(4))
    hit: list[int] = []

    def written(node: object, batch: list) -> str:
        final = any(
            type(one.record).__name__ == "CommittedHere" and one.record.certificate.vote.height == spec.first_height - 1
            for one in batch
        )
        if final and not hit and node.index == 1:
            hit.append(node.index)
            return point
        return ""

    world.written = written
    for _ in range(100):
        world.submit(4)
        world.run(100, lambda: bool(hit))
        if hit:
            break
    assert hit == [1]
    node = world.nodes[1]
    node.stored = max(0, len(node.chain) - behind)
    world.run(50)
    world.restart(1)
    state = world.state(1)
    assert state.journaling or state.ahead  # a journal of the next epoch waits for the blocks before it
    assert busy(world, spec.first_height + 6)
    state = world.state(1)
    assert (state.members.epoch, state.mode, state.picture.epoch) == (1, Mode.NORMAL, 1)
    assert not world.nodes[1].silences
    world.settled()
    check_chain(world, 1)


def test_a_journal_of_the_old_epoch_with_blocks_of_the_new_one_goes_on_voting() -> None:
    world = World(4, params=PARAMS)
    spec = world.decide(2, range(4))
    assert busy(world, spec.first_height - 3)
    world.kill(3)
    assert busy(world, spec.first_height + 6)
    node, source = world.nodes[3], world.nodes[0]
    node.chain = list(source.chain[: spec.first_height])
    node.stored = spec.first_height
    world.restart(3)
    state = world.state(3)
    assert (state.members.epoch, state.picture.epoch, state.mode, state.journaling) == (1, 1, Mode.NORMAL, True)
    assert busy(world, spec.first_height + 12)
    world.settled()


def test_p98_a_member_of_a_later_epoch_is_not_heard_before_we_are_there() -> None:
    world = World(4, params=PARAMS)
    assert busy(world, 2)
    world.kill(0)
    world.restart(0)
    state = world.state(0)
    assert not state.cleared
    for peer in (1, 2, 3):
        world.inject(
            peer,
            0,
            Status(1, 0, 0, 40, bytes(32), 0, 40, False, bytes(1), bytes(1), bytes(1), b""),
        )
    assert not state.cleared
    assert state.heard == 0


def test_scenario_69_a_view_change_across_the_barrier_belongs_to_the_old_epoch() -> None:
    world = World(4, params=PARAMS)
    spec = world.decide(2, range(4))
    assert busy(world, spec.first_height - 3)
    dead = world.primary()
    world.kill(dead)
    assert busy(world, spec.first_height + 6)
    living = [index for index in range(4) if index != dead]
    certificate = world.nodes[living[0]].chain[spec.first_height - 2].certificate
    assert certificate.vote.epoch == 0
    assert certificate.vote.view > 0
    assert world.state(living[0]).members.epoch == 1
    world.restart(dead)
    assert busy(world, spec.first_height + 12)
    world.settled()


def test_p98_after_a_restart_the_others_are_heard_again_in_the_new_epoch() -> None:
    """A journal that was set back may have forgotten votes of the epoch that it does not know."""
    world = World(4, params=PARAMS)
    spec = world.decide(2, range(4))
    assert busy(world, 2)
    world.kill(1)
    world.restart(1)
    world.run(400)
    assert world.height() < spec.first_height - 1
    assert world.state(1).cleared
    seen: list[bool] = []

    def changed() -> bool:
        if world.state(1).members.epoch == 1:
            seen.append(world.state(1).cleared)
        return bool(seen)

    for _ in range(40):
        world.submit(8)
        if world.run(100, changed):
            break
    assert seen == [False]
    assert busy(world, spec.first_height + 8)
    world.run(1000)
    assert world.state(1).cleared


def test_scenario_69_a_journal_beyond_the_barrier_waits_for_the_blocks_before_it() -> None:
    """Blocks that came by sync are not in the journal: the store lost them, the votes of the new epoch are there."""
    world = World(4, params=PARAMS)
    spec = world.decide(2, range(4))
    assert busy(world, spec.first_height - 6)
    stored = spec.first_height - 6
    world.kill(3)
    assert busy(world, spec.first_height + 30)
    node = world.nodes[3]
    node.stored = min(stored, len(node.chain))
    world.restart(3)
    assert busy(world, spec.first_height + 40)
    world.run(500)
    assert world.state(3).picture.epoch == 1
    world.kill(3)
    entries, votes = list(node.journal), world.state(3).picture.own_votes()
    world.restart(3)
    state = world.state(3)
    assert state.tip.height < spec.first_height - 1
    assert (state.members.epoch, state.mode, state.journaling, state.ahead) == (0, Mode.LEARNER, False, True)
    assert state.coming is not None
    again: list[ReplicaState] = []

    def taken_up() -> bool:
        if not world.state(3).ahead:
            again.append(world.state(3))
        return bool(again)

    assert world.run(5_000, taken_up)
    assert node.journal[: len(entries)] == entries  # nothing was written meanwhile, nor signed
    assert (again[0].members.epoch, again[0].picture.epoch, again[0].mode) == (1, 1, Mode.NORMAL)
    assert again[0].picture.own_votes() == votes
    assert busy(world, spec.first_height + 50)
    world.run(2_000)
    assert world.state(3).cleared
    assert not node.silences
    world.settled()
    check_chain(world, 3)


FOUNDERS, STAYING = ("bolt", "corex", "delta", "elmar"), ("acme", "bolt", "corex", "delta", "elmar")
"""A company joins whose name sorts first: every index of the next epoch is one higher."""


class Shifted:
    """One member, bolt, whose index moves at the barrier, and what its disks hold after a loss of power (P114)."""

    def __init__(self) -> None:
        self.keys = Keys(5, False)
        self.params = params = Params(window=1)
        self.decided = 5
        self.first = self.decided + params.exec_lag + params.window + 1
        self.epochs = (self.spec(0, 1, FOUNDERS), self.spec(1, self.first, STAYING))

    def spec(self, epoch: int, first: int, names: tuple[str, ...]) -> EpochSpec:
        keys = {name: self.keys.public[(STAYING.index(name) - 1) % 5] for name in names}
        return EpochSpec(
            epoch=epoch,
            first_height=first,
            members=tuple(Member(company_id=name, consensus_key=keys[name]) for name in names),
            members_hash=members_hash([(name, keys[name], True) for name in names]),
        )

    def certificate(self, height: int, identity: bytes = b"") -> CommitCertificate:
        vote = Vote(0, 0, height, identity or bytes([height]) * 32)
        signatures = tuple(self.keys.sign(index, "commit", encode(vote)) for index in (1, 2, 3))
        return CommitCertificate(vote, bitmap([1, 2, 3], 4), signatures)

    def reference(self, height: int) -> BlockRef:
        return BlockRef(height, bytes([height]) * 32, WALL0 - 5, height - 1, height)

    def start(
        self, records: tuple[Record, ...], stored: int, epoch: int = 0, headers: tuple[bytes, ...] = ()
    ) -> tuple[Replica, list[Effect]]:
        replica = Replica(Signer(self.keys, 0))
        config = ReplicaConfig(
            index=epoch,
            chain_id=CHAIN,
            genesis_id=GENESIS,
            epoch=self.epochs[epoch],
            params=self.params,
            journal_id=JOURNAL,
            company_id="bolt",
            former=self.epochs[0] if epoch else None,
            coming=None if epoch else self.epochs[1],
        )
        started = Start(
            now=0,
            wall=WALL0,
            config=config,
            tip=self.reference(stored),
            tip_certificate=self.certificate(stored),
            executed=tuple((height, GENESIS_ROOT) for height in range(stored + 1)),
            records=tuple((Lsn(lsn), record) for lsn, record in enumerate(records, start=1)),
            voting=True,
            headers=headers,
        )
        return replica, replica.step(started)

    def synced_over_it(self) -> tuple[Record, ...]:
        """The journal of a member that reached A-1 by sync: it holds nothing of the blocks between."""
        genesis, last = genesis_certificate(GENESIS), self.certificate(self.first - 1)
        return (
            Anchor(JOURNAL, 0, 0, 0, genesis, None, None, (), (), ()),
            CommittedHere(last),
            Anchor(JOURNAL, 1, 0, 0, last, None, None, (), (), ()),
        )


def test_p114_power_lost_before_the_last_blocks_are_stored_leaves_the_numbering_to_the_blocks() -> None:
    """The shell numbers links by the epoch of its stored blocks; the journal's own index is somebody else there."""
    shifted = Shifted()
    replica, effects = shifted.start(shifted.synced_over_it(), shifted.decided)
    state = replica.state
    assert (state.members.epoch, state.me, state.mode) == (0, 0, Mode.LEARNER)
    assert [type(one) for one in effects if isinstance(one, Persist | Broadcast)] == []
    for peer in (1, 2, 3):
        greeting = replica.step(PeerUp(now=1, wall=WALL0, peer=peer))
        assert [effect.to for effect in greeting if isinstance(effect, Send)] == [peer]
        told = Status(1, 0, 0, 20, bytes(32), 0, 20, False, bytes(1), bytes(1), bytes(1), b"")
        replica.step(Received(now=1, wall=WALL0, peer=peer, message=told))
    assert [peer.connected for peer in state.peers] == [False, True, True, True]
    last = shifted.reference(shifted.first - 1)
    effects = replica.step(Synced(now=2, wall=WALL0, tip=last, certificate=shifted.certificate(last.height)))
    assert (state.members.epoch, state.mode, state.journaling) == (1, Mode.LEARNER, False)
    assert not any(isinstance(effect, Persist | Broadcast) for effect in effects)


def test_p114_the_replica_after_the_barrier_keeps_what_the_journal_promised() -> None:
    """A vote of the next epoch that was durable is sent again, and no other one in its place."""
    shifted = Shifted()
    vote = Vote(1, 0, shifted.first, b"\7" * 32)
    own = Prepare(1, vote, shifted.keys.sign(0, "prepare", encode(vote)))
    *before, anchor = shifted.synced_over_it()
    assert isinstance(anchor, Anchor)
    records = (*before, replace_struct(anchor, own_votes=(own,)))
    replica, effects = shifted.start(records, shifted.first - 2)
    assert not any(isinstance(effect, Broadcast) for effect in effects)
    assert (replica.state.ahead, replica.state.journaling) == (True, False)
    replica, effects = shifted.start(records, shifted.first - 1, epoch=1)
    state = replica.state
    assert (state.members.epoch, state.me, state.mode, state.ahead) == (1, 1, Mode.NORMAL, False)
    assert [effect.message for effect in effects if isinstance(effect, Broadcast)] == [own]
    assert not state.cleared, "the others are heard before anything new is signed (P98)"


@pytest.mark.parametrize("left", [0, 1], ids=["all of them", "all but the last"])
def test_p95_p114_bodies_of_the_journal_reach_the_barrier_and_no_further(left: int) -> None:
    """Who voted on the last blocks needs nobody for them; what is above the barrier is for the next replica."""
    shifted = Shifted()
    first, blocks = shifted.first, []
    parent = shifted.reference(first - 3).block_id
    for height in (first - 2, first - 1, first):
        header = encode(shifted_header(shifted, height, parent))
        blocks.append((header, shifted.certificate(height, parent := block_id(header))))
    bodies = [header for header, _ in blocks]
    if left:
        del bodies[1]
    records = (
        Anchor(JOURNAL, 0, 0, 0, shifted.certificate(first - 3), None, None, (), (), ()),
        CommittedHere(blocks[0][1]),
        CommittedHere(blocks[1][1]),
        Anchor(JOURNAL, 1, 0, 0, blocks[1][1], None, None, (), (), ()),
        CommittedHere(blocks[2][1]),
    )
    replica, effects = shifted.start(records, first - 3, headers=tuple(bodies))
    delivered = [effect.block.height for effect in effects if isinstance(effect, Deliver)]
    assert delivered == [first - 2, first - 1][: 2 - left]
    assert replica.state.members.epoch == 1 - left  # at the barrier it ends, before any link is up
    assert any(isinstance(effect, StartSync) for effect in effects) is bool(left)


def shifted_header(shifted: Shifted, height: int, parent: bytes) -> Header:
    """The header of an empty block on top of `parent`."""
    return Header(
        version=1,
        chain_id=CHAIN,
        epoch=0,
        height=height,
        parent_id=parent,
        tx_root=EMPTY_LIST_ROOT,
        tx_count=0,
        size_bytes=0,
        time_ms=WALL0,
        proposer=0,
        exec_height=height - 3,
        exec_root=GENESIS_ROOT,
        members_hash=shifted.epochs[0].members_hash,
        next_members_hash=shifted.epochs[0].members_hash,
        evidence_root=EMPTY_LIST_ROOT,
        last_cert_height=0,
        last_cert_hash=bytes(32),
        params_hash=shifted.params.hash(),
    )


GUEST = (1 << 16) + 1
"""Index of a link to a node without a vote."""


def test_p117_a_guest_gets_status_and_certificates_and_is_believed_in_nothing() -> None:
    world = World(4, params=PARAMS)
    assert busy(world, 6)
    replica = world.nodes[0].replica
    state = replica.state

    def told(event: object) -> list[object]:
        return [effect.message for effect in replica.step(event) if isinstance(effect, Send) and effect.to == GUEST]

    at = {"now": world.now, "wall": world.wall(world.nodes[0])}
    (greeting,) = told(PeerUp(**at, peer=GUEST))
    assert isinstance(greeting, Status)
    assert (greeting.committed_height, greeting.echo) == (state.tip.height, b"")
    empty = Status(0, 0, int(Mode.LEARNER), 2, bytes(32), 0, 2, False, b"", b"", b"", b"")
    answers = told(Received(**at, peer=GUEST, message=empty))
    assert answers and all(isinstance(message, Committed) for message in answers)
    assert answers[-1].certificate.vote.height == state.tip.height
    before = state.digest()
    vote = world.commit(1, Vote(0, state.view, state.height + 1, bytes(32)))
    effects = replica.step(Received(**at, peer=GUEST, message=vote))
    assert [(effect.peer, effect.reason) for effect in effects] == [(GUEST, "not_a_member")]
    assert state.digest() == before
    replica.step(PeerDown(**at, peer=GUEST))
    assert not state.guests
    assert told(Received(**at, peer=GUEST, message=empty)) == []


@pytest.mark.parametrize("fresh", [True, False], ids=["its first epoch", "a later one"])
def test_p118_an_empty_journal_votes_only_in_the_first_epoch_of_its_key(fresh: bool) -> None:
    world = World(4, params=PARAMS)
    spec = world.decide(2, range(4))
    assert busy(world, spec.first_height + 4)
    world.run(2_000)
    top = world.nodes[0].chain[-1]
    config = replace(world.state(0).config, index=3, epoch=spec, former=world.epochs[0], fresh_key=fresh)
    start = Start(
        now=world.now,
        wall=world.wall(world.nodes[3]),
        config=config,
        tip=top.reference,
        tip_certificate=top.certificate,
        executed=((top.reference.height, world.nodes[0].roots[top.reference.height]),),
        records=(),
        voting=True,
    )
    replica = Replica(Signer(world.keys, 3))
    effects = replica.step(start)
    state = replica.state
    assert state.mode is (Mode.NORMAL if fresh else Mode.LEARNER)
    records = [effect.record for effect in effects if isinstance(effect, Persist)]
    assert [type(record) for record in records] == ([Anchor] if fresh else [])
    if not fresh:
        return
    assert records[0].epoch == 1 and not state.cleared, "it may have been set back to its beginning: ask first (P98)"
    for peer in (0, 1):
        status = Status(
            1, 0, 0, top.reference.height, top.reference.block_id, 0, 1, False, bytes(1), bytes(1), bytes(1), b""
        )
        replica.step(Received(now=world.now, wall=world.wall(world.nodes[3]), peer=peer, message=status))
    assert state.cleared


def test_p114_votes_of_the_old_epoch_for_heights_of_the_new_one_are_dropped() -> None:
    world = World(4, params=PARAMS)
    spec = world.decide(2, range(4))
    first = spec.first_height
    node = world.nodes[0]
    for _ in range(200):
        if node.replica.state.height >= first - 3:
            break
        world.submit(1)
        world.run(20, lambda: node.replica.state.height >= first - 3)
    state = world.state(0)
    assert (state.height, state.members.epoch) == (first - 3, 0)
    liar = next(index for index in (1, 2, 3) if index != world.primary())
    world.inject(liar, 0, world.commit(liar, Vote(0, state.view, first, bytes(32))))
    assert state.slots[first].commits.votes[liar] is not None
    for _ in range(200):
        if state.members.epoch == 1:
            break
        world.submit(1)
        world.run(100, lambda: state.members.epoch == 1)
    assert state.members.epoch == 1
    assert first not in state.slots or state.slots[first].commits.votes[liar] is None
    assert (state.view, state.base, state.coming) == (0, first - 1, None)
    assert busy(world, first + 4)
    world.settled()
