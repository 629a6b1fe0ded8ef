"""Corners that ordinary runs do not reach: proofs of a fork, own mistakes, bounds, and the answer to "why?"."""

from __future__ import annotations

import msgspec
import pytest
from pbft_harness import MS, WALL0, World

import consensus.state as state_rules
from consensus.effects import BuildBlock
from consensus.events import BlockBuilt, Executed, Mode, Synced, Timer, WorkChanged
from consensus.messages import Commit, Committed, PrePrepare, Suspect
from consensus.records import Accepted, PreparedHere
from consensus.state import fold
from ledger.block import BlockRef, block_id
from ledger.certificate import Vote
from ledger.params import Params


def halted(world: World, index: int) -> list[str]:
    return [halt.reason.value for halt in world.nodes[index].halts]


def test_p36_two_certificates_for_a_height_are_proof_of_a_fork() -> None:
    world = World(4)
    world.submit(1)
    world.run(200)
    other = Vote(0, 3, world.nodes[0].chain[-1].reference.height, bytes([8]) * 32)
    world.inject(1, 0, Committed(world.commit_certificate(other, [1, 2, 3])))
    world.run(1)
    assert halted(world, 0) == ["safety_violation"]


def test_p36_two_certificates_for_a_height_still_open_are_as_well() -> None:
    world = World(4)
    world.rule = lambda *_: None
    for view, identity in ((0, bytes([1]) * 32), (1, bytes([2]) * 32)):
        world.inject(1, 0, Committed(world.commit_certificate(Vote(0, view, 2, identity), [1, 2, 3])))
        world.run(1)
    assert halted(world, 0) == ["safety_violation"]


def test_mu35_a_bare_proposal_for_a_committed_height_proves_nothing() -> None:
    world = World(4)
    world.submit(1)
    world.run(2000)
    world.inject(
        world.primary(), 0 if world.primary() else 1, world.pre_prepare(world.primary(), 0, world.first_proposal(0, 5))
    )
    world.run(10)
    world.settled()


def test_p106_synced_blocks_that_contradict_a_certificate_halt() -> None:
    world = World(4)
    world.rule = lambda *_: None
    certificate = world.commit_certificate(Vote(0, 0, 1, bytes([1]) * 32), [1, 2, 3])
    world.inject(1, 0, Committed(certificate))
    world.run(1)
    other = world.commit_certificate(Vote(0, 0, 1, bytes([2]) * 32), [1, 2, 3])
    reference = BlockRef(1, bytes([2]) * 32, WALL0, 0, 1)
    world.feed(world.nodes[0], Synced(now=world.now, wall=WALL0, tip=reference, certificate=other))
    assert halted(world, 0) == ["safety_violation"]


def test_p83_a_result_that_comes_later_than_its_certificate_is_compared_as_well() -> None:
    world = World(4)
    slow = (world.primary() + 1) % 4
    world.nodes[slow].slow_execution = True
    world.submit(1)
    world.run(300)
    assert world.state(slow).certified_roots.keys() == {1}
    event = Executed(now=world.now, wall=WALL0, height=1, exec_root=bytes(32))
    world.feed(world.nodes[slow], event)
    assert halted(world, slow) == ["state_divergence"]


def built(world: World, primary: int) -> list[BuildBlock]:
    """Take over the mempool of the primary: what it is asked from now on."""
    asked: list[BuildBlock] = []
    plain = world.perform

    def perform(node, effect):
        if isinstance(effect, BuildBlock) and node.index == primary:
            asked.append(effect)
        else:
            plain(node, effect)

    world.perform = perform
    return asked


def answer(world: World, primary: int, request: int, proposal: object) -> None:
    world.feed(world.nodes[primary], BlockBuilt(now=world.now, wall=WALL0, request=request, proposal=proposal))


def test_p164_our_own_bad_block_is_never_signed_and_the_next_one_is() -> None:
    world = World(4)
    world.run(10)
    primary = world.primary()
    asked = built(world, primary)
    world.submit(1)
    good = world.first_proposal(primary)
    bad = [
        world.first_proposal(primary, version=7),
        world.first_proposal(primary, time_ms=WALL0 + 60_000),
        msgspec.structs.replace(good, tx_ids=()),
        msgspec.structs.replace(good, header=b"nonsense"),
    ]
    for number, proposal in enumerate(bad):
        assert len(asked) == number + 1
        answer(world, primary, asked[-1].request, proposal)
        world.run(40)
        assert len(asked) == number + 1  # MU28: refused, and no busy loop
        world.run(20)
    identity = block_id(good.header)
    world.nodes[primary].held[identity] = (good.header, (b"first 0",))
    answer(world, primary, asked[-1].request, good)
    assert world.run(50, lambda: world.height() >= 1)
    proposals = [one for *_, one in world.log if isinstance(one, PrePrepare)]
    assert {one.vote.block_id for one in proposals if one.vote.height == 1} == {identity}


def test_p158_an_answer_for_another_view_or_request_is_stale() -> None:
    world = World(4)
    world.run(10)
    primary = world.primary()
    asked = built(world, primary)
    world.submit(1)
    good = world.first_proposal(primary)
    answer(world, primary, asked[0].request + 1, good)
    for peer in range(4):
        if peer != primary:
            world.inject(peer, primary, Suspect(0, 0))
    assert world.state(primary).mode is Mode.CHANGING
    answer(world, primary, asked[0].request, good)
    assert world.state(primary).slots == {}
    assert not [one for *_, one in world.log if isinstance(one, PrePrepare)]


def test_p45_nothing_to_propose_waits_for_the_mempool() -> None:
    world = World(4)
    world.run(10)
    primary = world.primary()
    asked = built(world, primary)
    world.submit(1)
    answer(world, primary, asked[0].request, None)
    world.run(500)
    assert len(asked) == 1
    work = WorkChanged(now=world.now, wall=WALL0, count=2, size_bytes=10, oldest_ns=world.now, overdue=False)
    world.feed(world.nodes[primary], work)
    assert len(asked) == 2


def test_p33_kept_proposals_are_bounded_and_a_prepared_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(4)
    picture = world.state(0).picture
    first = world.pre_prepare(0, 0, world.first_proposal(0, time_ms=WALL0 + 1))
    certificate = world.prepared_certificate(first.proposal, 0, 0, [0, 1, 2])
    fold(picture, Accepted(first, None))
    fold(picture, PreparedHere(certificate, world.commit(0, first.vote)))
    monkeypatch.setattr(state_rules, "KEPT_PROPOSALS", 12)
    for view in range(1, 20):
        fold(picture, Accepted(world.pre_prepare(0, view, world.first_proposal(0, time_ms=WALL0 + 1 + view)), None))
        assert len(picture.accepted) <= 12
    assert [message.vote.view for message in picture.accepted] == [0, *range(9, 20)]
    monkeypatch.setattr(state_rules, "KEPT_BYTES", 1)
    fold(picture, Accepted(world.pre_prepare(0, 20, world.first_proposal(0, time_ms=WALL0 + 21)), None))
    assert [message.vote.view for message in picture.accepted] == [0, *range(13, 21)], (
        "so many stay whatever their size"
    )


def test_p35_a_block_accepted_in_an_older_view_is_committed_by_its_certificate() -> None:
    world = World(4)
    world.run(10)
    poor = (world.primary() + 1) % 4
    plain = world.rule
    world.rule = lambda frm, to, message: (
        None if isinstance(message, Commit) and to == poor else plain(frm, to, message)
    )
    world.submit(1)
    world.run(7)
    for peer in range(4):
        if peer != poor:
            world.inject(peer, poor, Suspect(0, 0))
    assert world.state(poor).mode is Mode.CHANGING and world.state(poor).height == 0
    world.run(20)
    donor = next(index for index in range(4) if len(world.nodes[index].chain))
    world.inject(donor, poor, Committed(world.nodes[donor].chain[0].certificate))
    world.run(5)
    assert world.state(poor).height >= 1 and world.state(poor).mode is Mode.CHANGING
    world.rule = plain
    world.run(8000)
    world.settled()


def test_p51_a_suspicion_ends_when_its_reason_is_gone() -> None:
    world = World(4)
    world.run(10)
    lone = (world.primary() + 1) % 4
    world.rule = lambda frm, to, message: None if type(message).__name__ == "Bodies" else 2 * MS
    world.submit(1, to=[lone])
    world.run(3000)
    assert world.state(lone).suspecting
    assert world.nodes[lone].replica.why(world.now).suspecting
    world.nodes[lone].pool.clear()  # it expired
    world.tell_work(world.nodes[lone])
    assert not world.state(lone).suspecting


def test_p65_a_heartbeat_ends_a_suspicion_of_silence() -> None:
    world = World(4)
    world.submit(1)
    world.run(300)
    deaf = (world.primary() + 1) % 4
    world.rule = lambda frm, to, message: None if (frm, to) == (world.primary(), deaf) else 2 * MS
    world.run(20_000)
    assert world.state(deaf).suspecting and world.state(deaf).silent_primary
    assert world.state(deaf).view == 0
    world.rule = lambda *_: 2 * MS
    world.run(3500)
    assert not world.state(deaf).suspecting


# why


def test_u21_why_names_what_is_missing() -> None:
    world = World(4)
    assert world.nodes[0].replica.why(0).waiting_for == "nothing"
    world.submit(1)
    world.run(400)
    idle = world.nodes[0].replica.why(world.now)
    assert (idle.waiting_for, idle.n, idle.f, idle.q, idle.reachable, idle.height) == ("nothing", 4, 1, 3, 4, 2)
    assert [member.height for member in idle.members if not member.own] == [0, 0, 0]  # as of the last STATUS
    world.run(1000)
    assert {member.height for member in world.nodes[0].replica.why(world.now).members} == {2}
    world.kill(1)
    world.kill(2)
    world.submit(3)
    world.run(1000)
    stalled = world.nodes[0].replica.why(world.now)
    assert (stalled.waiting_for, stalled.reachable, stalled.pending, stalled.view) == ("quorum", 2, 3, 0)
    assert stalled.timer is Timer.PROGRESS and 0 < stalled.deadline_ns <= 2000 * MS
    assert stalled.oldest_ns == 1000 * MS
    down = [member for member in stalled.members if not member.connected and not member.own]
    assert [member.company_id for member in down] == ["c001", "c002"]
    assert all(member.heard_ns >= 1000 * MS for member in down)
    world.run(10_000)
    changing = world.nodes[0].replica.why(world.now)
    assert (changing.mode, changing.view, changing.in_target_view) == (Mode.CHANGING, 1, 2)
    assert (changing.timer, changing.deadline_ns) == (None, -1)
    world.restart(1)
    assert world.run(20_000, lambda: world.height() >= 3)
    world.settled()


def test_u21_why_in_the_other_modes() -> None:
    world = World(4, connect=True)
    world.run(10)
    me = next(index for index in range(4) if index not in (world.primary(), world.state(0).members.collector(1)))
    world.rule = lambda *_: None
    world.submit(1)
    assert world.nodes[me].replica.why(world.now).waiting_for == "proposal"
    proposal = world.first_proposal(world.primary())
    world.inject(world.primary(), me, world.pre_prepare(world.primary(), 0, proposal))
    world.run(1)
    assert world.nodes[me].replica.why(world.now).waiting_for == "votes"
    peers = [index for index in range(4) if index != me]
    for peer in peers[:2]:
        world.inject(peer, me, Suspect(0, 0))
    assert world.nodes[me].replica.why(world.now).waiting_for == "view_change"
    for peer in peers[:2]:
        world.inject(peer, me, world.view_change(peer, 1))
        world.run(1)
    assert world.nodes[me].replica.why(world.now).waiting_for == "new_view"
    world.inject(peers[0], me, Committed(world.commit_certificate(Vote(0, 0, 2, bytes(32)), peers)))
    world.inject(peers[0], me, Committed(world.commit_certificate(Vote(0, 0, 2, bytes([1]) * 32), peers)))
    world.run(1)
    assert world.nodes[me].replica.why(world.now).waiting_for == "halted"
    learner = World(4, alive=[0, 1, 2])
    learner.nodes[3].voting = False
    learner.restart(3)
    assert learner.nodes[3].replica.why(0).waiting_for == "learner"
    assert str(learner.state(3)) == "LEARNER view 0 height 0 executed 0 prepared [] lsn 0/0"


def test_u21_why_counts_no_member_that_follows_without_a_vote() -> None:
    """A member without its journal is linked and brings no block about: with another one away two can decide."""
    world = World(4, alive=[0, 1, 2])
    world.nodes[3].voting = False
    world.restart(3)
    world.submit(1)
    world.run(2000)
    seen = world.nodes[0].replica.why(world.now)
    assert [member.mode for member in seen.members] == [Mode.NORMAL] * 3 + [Mode.LEARNER]
    assert (seen.reachable, seen.members[3].votes) == (3, False) and seen.waiting_for != "quorum"
    world.kill(1)
    world.run(10)
    stalled = world.nodes[0].replica.why(world.now)
    assert (stalled.reachable, stalled.waiting_for) == (2, "quorum")
    told = world.state(0).peers[3]
    assert told.status is not None
    told.status = msgspec.structs.replace(told.status, mode=9)
    assert not world.nodes[0].replica.why(world.now).members[3].votes, "a mode that is none comes from a liar"


@pytest.mark.parametrize("window", [2, 4])
def test_p45_more_blocks_in_flight_hide_the_latency(window: int) -> None:
    world = World(4, params=Params(window=window, max_block_txs=2), delay_ns=50 * MS)
    world.submit(40)
    deepest = 0

    def until() -> bool:
        nonlocal deepest
        deepest = max(deepest, max(len(node.replica.state.slots) for node in world.nodes))
        return world.height() >= 20

    assert world.run(2500, until)  # 3030 ms with one block in flight
    assert deepest >= 2
    world.settled()
