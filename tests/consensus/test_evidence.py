"""Provable misbehaviour (P122-P126): found, judged alone, and never against a member that kept to the rules (I16)."""

from __future__ import annotations

import random
from itertools import combinations

import msgspec
import pytest
import swarm
from pbft_harness import World

from consensus.messages import (
    Commit,
    Committed,
    NewView,
    Prepare,
    PrePrepare,
    Suspect,
    ViewChange,
)
from consensus.quorum import quorum, weak
from consensus.validate import new_view_body, view_change_body
from ledger.certificate import Vote
from ledger.codec import encode
from ledger.evidence import KINDS, Evidence, Statement, evidence_codec


def others(world: World, *without: int) -> list[int]:
    return [index for index in range(world.n) if index not in without]


def said(message: object) -> Statement:
    """What the author of a message signed."""
    if isinstance(message, ViewChange):
        return Statement("view-change", view_change_body(message), message.signature)
    if isinstance(message, NewView):
        return Statement("new-view", new_view_body(message), message.signature)
    kind = {PrePrepare: "pre-prepare", Prepare: "prepare", Commit: "commit"}[type(message)]
    return Statement(kind, encode(message.vote), message.signature)


def item(world: World, kind: str, offender: int, *messages: object) -> Evidence:
    statements = tuple(said(message) for message in messages)
    if len(statements) == 2 and statements[0].kind == statements[1].kind:
        statements = tuple(sorted(statements, key=lambda one: one.body))
    return Evidence(kind, 0, world.epoch.members[offender].company_id, statements)


def vote(view: int = 0, height: int = 1, block: int = 1) -> Vote:
    return Vote(0, view, height, bytes([block]) * 32)


def faults(world: World, liar: int = 1) -> dict[str, tuple[object, ...]]:
    """For every kind, the messages that prove it against `liar`."""
    collector = world.state(0).members.collector(1)
    entry = world.prepared_certificate(world.first_proposal(0), 0, 0, [0, 1, 2])
    plain = tuple(world.view_change(index, 1) for index in range(3))
    shown = (world.view_change(0, 1, prepared=(entry,)), *plain[1:])
    forged = (msgspec.structs.replace(plain[0], signature=bytes(64)), *plain[1:])
    two = world.first_proposal(0), world.first_proposal(0, 2)
    base = world.commit_certificate(entry.vote, [0, 1, 2])
    return {
        "E1": tuple(world.pre_prepare(liar, 0, proposal) for proposal in two),
        "E2": (world.prepare(liar, vote(block=1)), world.prepare(liar, vote(block=2))),
        "E2 as primary": (world.pre_prepare(liar, 0, two[0]), world.prepare(liar, vote(block=2))),
        "E3": (world.commit(liar, vote(block=1)), world.commit(liar, vote(block=2))),
        "E4 view change": (world.view_change(liar, 1), world.view_change(liar, 1, base)),
        "E4 new view": (world.new_view(collector, 1, plain), world.new_view(collector, 1, shown)),
        "E5 wrong O": (world.new_view(collector, 1, shown, ()),),
        "E5 too few": (world.new_view(collector, 1, plain[:2], ()),),
        "E5 not the collector": (world.new_view((collector + 1) % 4, 1, plain),),
        "E5 forged inside": (world.new_view(collector, 1, forged, ()),),
        "E6": (world.commit(liar, vote()), world.view_change(liar, 1)),
    }


def offender(messages: tuple[object, ...]) -> int:
    return messages[-1].sender


@pytest.mark.parametrize("name", sorted(faults(World(4))))
def test_p122_each_kind_is_proven_by_itself(name: str) -> None:
    world = World(4, real=True)
    messages = faults(world)[name]
    proof = item(world, name[:2], offender(messages), *messages)
    assert evidence_codec.decode(encode(proof)) == proof
    assert world.convicts(proof)
    if name[:2] in ("E1", "E2", "E3"):
        assert len(encode(proof)) <= 2048
    for position in range(len(proof.statements)):
        spoiled = msgspec.structs.replace(proof.statements[position], signature=bytes(64))
        statements = list(proof.statements)
        statements[position] = spoiled
        assert not world.convicts(msgspec.structs.replace(proof, statements=tuple(statements)))


@pytest.mark.parametrize("name", sorted(faults(World(4))))
def test_scenario_76_a_changed_item_proves_nothing(name: str) -> None:
    world = World(4)
    messages = faults(world)[name]
    proof = item(world, name[:2], offender(messages), *messages)
    replace = msgspec.structs.replace
    changed = [
        replace(proof, epoch=1),  # MU89
        replace(proof, company_id="c999"),
        replace(proof, company_id=world.epoch.members[(offender(messages) + 1) % 4].company_id),
        replace(proof, statements=proof.statements[::-1] if len(proof.statements) == 2 else ()),
        replace(proof, statements=(proof.statements[0],) * 2),
        replace(proof, statements=proof.statements[:1] if len(proof.statements) == 2 else proof.statements * 2),
    ]
    changed += [replace(proof, kind=kind) for kind in (*KINDS, "E7", "") if kind != proof.kind]
    for one in changed:
        assert not world.convicts(one), one
    rng = random.Random(name)
    for _ in range(200):
        statement = rng.choice(proof.statements)
        body = bytearray(statement.body)
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        bent = tuple(replace(one, body=bytes(body)) if one is statement else one for one in proof.statements)
        assert not world.convicts(replace(proof, statements=bent))  # I22: and judging never raises


def test_p122_what_looks_like_a_fault_and_is_none() -> None:
    world = World(4)
    entry = world.prepared_certificate(world.first_proposal(0), 0, 0, [0, 1, 2])
    later = world.prepared_certificate(world.first_proposal(0), 2, 0, [0, 1, 2])
    base = world.commit_certificate(entry.vote, [0, 1, 2])
    members = world.state(0).members
    plain = tuple(world.view_change(index, 1) for index in range(3))
    honest = {
        "another height": ("E3", world.commit(1, vote(height=1)), world.commit(1, vote(height=2, block=2))),
        "another view": ("E2", world.prepare(1, vote(view=0)), world.prepare(1, vote(view=1, block=2))),
        "the same vote twice": ("E3", world.commit(1, vote()), world.commit(1, vote())),
        "shown in the same view": ("E6", world.commit(1, entry.vote), world.view_change(1, 1, prepared=(entry,))),
        "shown in a later view": ("E6", world.commit(1, entry.vote), world.view_change(1, 3, prepared=(later,))),
        "final meanwhile": ("E6", world.commit(1, entry.vote), world.view_change(1, 1, base)),
        "a later commit": ("E6", world.commit(1, vote(view=2)), world.view_change(1, 2)),  # MU87
        "a good opening": ("E5", world.new_view(members.collector(1), 1, plain)),
        "one opening for each view": ("E4", world.view_change(1, 1), world.view_change(1, 2)),
    }
    for name, (kind, *messages) in honest.items():
        assert not world.convicts(item(world, kind, offender(tuple(messages)), *messages)), name


def test_p122_two_impossible_certificates_convict_no_collector() -> None:
    world = World(4)
    one = world.prepared_certificate(world.first_proposal(0, 1), 0, 0, [0, 1, 2])
    two = world.prepared_certificate(world.first_proposal(0, 2), 0, 0, [0, 1, 2])
    collector = world.state(0).members.collector(1)
    forged = msgspec.structs.replace(two, signatures=(bytes(64),) * 3)
    for second, guilty in ((two, False), (forged, True)):
        changes = (
            world.view_change(0, 1, prepared=(one,)),
            world.view_change(1, 1, prepared=(second,)),
            world.view_change(2, 1),
        )
        proof = item(world, "E5", collector, world.new_view(collector, 1, changes, ()))
        # More than f lie if both are true; whoever passes on a forged one to hide behind that is guilty (57-sweep-views).
        assert world.convicts(proof) is guilty


def test_p15_the_primary_that_prepares_another_block_is_reported() -> None:
    world = World(4)
    world.run(5)
    world.rule = lambda *_: None
    primary = world.primary()
    me = others(world, primary)[0]
    other = world.prepare(primary, vote(block=9))
    world.inject(primary, me, other)  # before its proposal: counted, and nothing to compare it with
    world.run(1)
    assert not world.nodes[me].reports and not any(world.state(me).slots.values())
    world.inject(primary, me, world.pre_prepare(primary, 0, world.first_proposal(primary)))
    world.run(1)
    for _ in range(3):
        world.inject(primary, me, other)
        world.run(1)
    (report,) = world.nodes[me].reports  # once
    assert (report.kind, report.offender) == ("E2", primary) and world.convicts(report.evidence)
    assert world.state(me).slots[1].prepares.votes[primary].vote.block_id != other.vote.block_id


@pytest.mark.parametrize("name", ["E5 wrong O", "E5 too few", "E5 not the collector", "E5 forged inside"])
def test_scenario_45_a_false_opening_is_reported_once(name: str) -> None:
    world = World(4)
    world.rule = lambda *_: None
    (message,) = faults(world)[name]
    me = others(world, message.sender, world.state(0).members.collector(1))[0]
    for _ in range(2):
        world.inject(message.sender, me, message)
        world.run(1)
    (report,) = world.nodes[me].reports
    assert (report.kind, report.offender) == ("E5", message.sender) and world.convicts(report.evidence)
    relayed = others(world, me, message.sender)[0]
    world.inject(relayed, me, msgspec.structs.replace(message, view=7, signature=bytes(64)))
    world.run(1)
    assert len(world.nodes[me].reports) == 1  # scenario 76: nobody is blamed for what it did not sign


def amnesiac(world: World) -> tuple[int, int, Vote]:
    """Nothing commits, but one witness has the verified COMMIT of a member that will say it knows nothing."""
    world.run(10)
    me, liar = others(world, world.primary(), world.state(0).members.collector(1))[:2]
    plain = world.rule

    def rule(frm: int, to: int, message: object) -> int | None:
        lost = isinstance(message, Commit) and (to, frm, message.sender) != (me, liar, liar)
        return None if lost else plain(frm, to, message)

    world.rule = rule
    world.submit(1)
    world.run(1_500)  # STATUS has the waiting vote verified (P37)
    world.rule = lambda *_: None
    spoken = world.state(liar).picture.prepared[1].vote
    assert world.state(me).slots[1].commits.valid >> liar & 1
    return me, liar, spoken


@pytest.mark.parametrize("when", ["before", "after"])
def test_scenario_44_a_member_that_forgets_its_commit_is_reported(when: str) -> None:
    world = World(4)
    me, liar, spoken = amnesiac(world)
    state = world.state(me)
    if when == "after":
        for peer in others(world, me):
            world.inject(peer, me, Suspect(0, 0))
        assert state.view == 1 and not state.slots
        assert state.spoken[1][liar].vote == spoken  # P60: the view is left, what was said in it is not forgotten
    for _ in range(2):
        world.inject(liar, me, world.view_change(liar, 2))
        world.run(1)
    reports = [report for report in world.nodes[me].reports if report.kind == "E6"]
    assert [report.offender for report in reports] == [liar] and world.convicts(reports[0].evidence)
    honest = others(world, me, liar)[0]
    picture = world.state(honest).picture
    world.inject(honest, me, world.view_change(honest, 2, prepared=tuple(picture.prepared.values())))
    world.run(1)
    assert len(world.nodes[me].reports) == len(reports)


def test_scenario_44_a_commit_inside_a_certificate_is_remembered_as_well() -> None:
    world = World(4)
    world.submit(1)
    assert world.run(2_000, lambda: world.height() >= 1)
    world.run(500)
    world.rule = lambda *_: None
    me = 0
    certificate = world.state(me).recent[1].certificate
    signers = [index for index in range(4) if certificate.signers[0] >> index & 1]
    liar = next(index for index in signers if index != me)
    world.inject(liar, me, world.view_change(liar, 1))
    world.run(1)
    (report,) = world.nodes[me].reports
    assert (report.kind, report.offender) == ("E6", liar) and world.convicts(report.evidence)
    assert len(world.state(me).spoken) == 0  # P84: what is final is gone


def test_p123_a_vote_against_some_opening_convicts_nobody() -> None:
    """Scenario 46, MU88: two valid NEW-VIEWs lead honest members to different votes; only the collector is guilty."""
    world = World(4)
    world.rule = lambda *_: None
    collector = world.state(0).members.collector(1)
    entry = world.prepared_certificate(world.first_proposal(0), 0, 0, [0, 1, 2])
    plain = tuple(world.view_change(index, 1) for index in range(4))
    shown = world.view_change(others(world, collector)[0], 1, prepared=(entry,))
    with_entry = tuple(
        sorted((shown, *[one for one in plain if one.sender != shown.sender][:2]), key=lambda one: one.sender)
    )
    without = tuple(one for one in plain if one.sender != shown.sender)
    me, voter = others(world, collector)[1:3]
    world.inject(collector, me, world.new_view(collector, 1, with_entry))
    world.run(1)
    assert world.state(me).reproposals
    against = Vote(0, 1, 1, bytes([5]) * 32)
    world.inject(voter, me, world.prepare(voter, against))
    world.inject(voter, me, world.commit(voter, against))
    world.run(5)
    assert not world.nodes[me].reports
    world.inject(collector, me, world.new_view(collector, 1, without))
    world.run(1)
    assert {(report.kind, report.offender) for report in world.nodes[me].reports} == {("E4", collector)}


# I16: whatever correct members ever signed, no combination of it convicts one of them


def everything_said(world: World) -> dict[int, list[object]]:
    """Distinct signed messages by author, from all that was ever sent."""
    found: dict[bytes, object] = {}
    for *_, message in world.log:
        if isinstance(message, PrePrepare | Prepare | Commit | ViewChange | NewView):
            found.setdefault(encode(said(message)) + bytes([message.sender]), message)
    by_author: dict[int, list[object]] = {}
    for message in found.values():
        by_author.setdefault(message.sender, []).append(message)
    return by_author


@pytest.mark.parametrize(("window", "rotate_every", "seed"), [(1, 0, 3), (2, 0, 8), (4, 2, 5), (1, 1, 14), (4, 3, 21)])
def test_i16_no_combination_of_what_correct_members_signed_convicts_them(
    window: int, rotate_every: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds: list[World] = []

    class Kept(World):
        def __init__(self, *args: object, **more: object) -> None:
            super().__init__(*args, **more)
            worlds.append(self)

    monkeypatch.setattr(swarm, "World", Kept)
    assert swarm.crashes(seed, window, rotate_every)
    (world,) = worlds
    tried = 0
    for author, messages in everything_said(world).items():
        openings = [one for one in messages if isinstance(one, ViewChange | NewView)]
        votes = {}
        for one in messages:
            if not isinstance(one, ViewChange | NewView):
                votes.setdefault((one.vote.view, one.vote.height), []).append(one)
        pairs = [pair for group in votes.values() for pair in combinations(group, 2)]
        pairs += list(combinations(openings, 2))
        pairs += [(one, change) for one in messages for change in openings if isinstance(one, Commit)]
        for kind in KINDS:
            for pair in pairs:
                tried += 1
                assert not world.convicts(item(world, kind, author, *pair)), (kind, pair)
        for one in openings:
            assert not world.convicts(item(world, "E5", author, one))
    assert tried > 100


# P126


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9, 10])
def test_scenario_78_two_blocks_in_one_view_convict_f_plus_1(n: int) -> None:
    """Any two commit certificates of one view and height share f+1 signers at least, and each of them said E3 (I9)."""
    rng = random.Random(n)
    world = World(n)
    for _ in range(5):
        first, second = (sorted(rng.sample(range(n), quorum(n))) for _ in range(2))
        guilty = [
            index
            for index in first
            if index in second
            and world.convicts(
                item(world, "E3", index, world.commit(index, vote(block=1)), world.commit(index, vote(block=2)))
            )
        ]
        assert len(guilty) >= weak(n)


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9, 10])
def test_scenario_78_a_block_undone_by_a_later_view_convicts_f_plus_1(n: int) -> None:
    """A valid NEW-VIEW that undoes a committed block has f+1 of its signers among the senders, and each forgot (E6)."""
    rng = random.Random(100 + n)
    world = World(n)
    for _ in range(5):
        signers = sorted(rng.sample(range(n), quorum(n)))
        entry = world.prepared_certificate(world.first_proposal(0), 0, signers[0], signers)
        senders = sorted(rng.sample(range(n), quorum(n)))
        changes = tuple(world.view_change(index, 1) for index in senders)  # nobody shows what it committed
        opened = world.new_view(world.state(0).members.collector(1), 1, changes)
        assert opened.reproposals == ()
        guilty = [
            change.sender
            for change in changes
            if change.sender in signers
            and world.convicts(item(world, "E6", change.sender, world.commit(change.sender, entry.vote), change))
        ]
        assert len(guilty) >= weak(n)


def test_scenario_78_a_fork_in_front_of_a_replica_is_reported_before_it_halts() -> None:
    world = World(4)
    world.run(10)
    primary = world.primary()
    me, *liars = others(world, primary)
    world.rule = lambda *_: None
    world.inject(primary, me, world.pre_prepare(primary, 0, world.first_proposal(primary)))
    world.run(1)
    for block in (1, 2):
        for liar in (*liars, primary):
            world.inject(liar, me, world.commit(liar, vote(block=block)))
    world.run(2)
    assert {(one.kind, one.offender) for one in world.nodes[me].reports} == {
        ("E3", index) for index in (*liars, primary)
    }
    for block in (1, 2):
        world.inject(primary, me, Committed(world.commit_certificate(vote(block=block), [primary, *liars])))
    world.run(2)
    assert [halt.reason.value for halt in world.nodes[me].halts] == ["safety_violation"]


def test_the_memory_for_e6_is_bounded() -> None:
    world = World(4)
    me, liar, spoken = amnesiac(world)
    state = world.state(me)
    for view in range(6):
        for peer in others(world, me):
            world.inject(peer, me, world.view_change(peer, view + 1))
        world.run(1)
    assert sorted(state.spoken) == [1] and sorted(state.spoken[1]) == [liar]  # one for each height and member
    world.inject(liar, me, Committed(world.commit_certificate(spoken, [0, 1, 2])))
    world.run(10)
    assert state.height == 1 and state.spoken == {}  # P84
