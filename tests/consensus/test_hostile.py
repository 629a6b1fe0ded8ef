"""Hostile input: scenarios 16, 36, 48, 56-60, 83. `step` never raises, buffers stay within their caps."""

from __future__ import annotations

import random
import typing

import msgspec
import pytest
from pbft_harness import GENESIS, MS, WALL0, Signer, World

from consensus.effects import Halt, HaltReason, Penalise, VerifySignatures
from consensus.events import (
    AnyEvent,
    BlockBuilt,
    BlockChecked,
    Durable,
    Executed,
    Mode,
    Received,
    SignaturesChecked,
    Stored,
    Timer,
    TimerFired,
    Verdict,
)
from consensus.messages import (
    Committed,
    Heartbeat,
    Message,
    Prepared,
    Status,
    Suspect,
)
from consensus.replica import _EVENTS, _MESSAGES, Replica
from consensus.step import BODY_KEPT_BYTES
from consensus.validate import new_view_body
from ledger.block import BlockRef
from ledger.certificate import Vote, genesis_certificate
from ledger.codec import Codec, encode

CODEC: Codec[Message] = Codec(Message, "message", 1 << 22)


def test_the_dispatch_tables_cover_every_event_and_message() -> None:
    assert set(_EVENTS) == set(typing.get_args(AnyEvent))
    assert set(_MESSAGES) == set(typing.get_args(Message))


def collected(world: World) -> list[Message]:
    """One of each kind of message, from a run with a view change."""
    world.submit(1)
    world.run(200)
    world.kill(world.primary())
    world.submit(1)
    world.run(4000)
    found: dict[str, Message] = {}
    for *_, message in world.log:
        found.setdefault(type(message).__name__, message)
    proposal = world.first_proposal(0)
    entry = world.prepared_certificate(proposal, 1, world.state(1).members.collector(1), [0, 1, 2])
    found["Prepared"] = Prepared(entry, proposal)
    found["Committed"] = Committed(world.nodes[1].chain[0].certificate)
    found["Heartbeat"] = Heartbeat(0, 1, 2, bytes(32))
    found["ViewChange"] = world.view_change(1, 3, world.nodes[1].chain[0].certificate, ())
    return [found[name] for name in sorted(found)]


NUMBERS = [-(2**63), -1, 0, 1, 2, 3, 63, 2**31, 2**62, 2**63, 2**64 - 1]
BYTES = [b"", b"\0", b"\xff", bytes(31), bytes(32), bytes([255]) * 32, bytes(64), bytes(65), bytes(5000)]


def mutations(message: typing.Any) -> typing.Iterator[typing.Any]:
    """Every field of a record changed in several ways, records inside included."""
    for name in message.__struct_fields__:
        for value in changed(getattr(message, name)):
            yield msgspec.structs.replace(message, **{name: value})


def changed(value: typing.Any) -> typing.Iterator[typing.Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (number for number in [*NUMBERS, value + 1, value - 1] if number != value)
    elif isinstance(value, bytes):
        yield from (one for one in BYTES if one != value)
        if value:
            yield bytes([value[0] ^ 1]) + value[1:]
            yield value[:-1]
            yield value + b"\0"
    elif isinstance(value, tuple):
        yield ()
        if value:
            yield (*value, value[-1])
            yield value[::-1]
            yield value[1:]
            for one in changed(value[0]):
                yield (one, *value[1:])
    elif isinstance(value, msgspec.Struct):
        yield from mutations(value)


def test_scenario_57_no_mutated_message_raises_or_halts_or_counts() -> None:
    source = World(4)
    messages = collected(source)
    assert len({type(message) for message in messages}) == len(typing.get_args(Message))
    tried = refused = 0
    for view in (0, 1):
        for message in messages:
            world = World(4)
            world.rule = lambda *_: None
            if view:
                world.inject(1, 0, Suspect(0, 0))
                world.inject(2, 0, Suspect(0, 0))
            for mutant in mutations(message):
                try:
                    if CODEC.decode(encode(mutant)) != mutant:
                        continue
                except (msgspec.EncodeError, OverflowError, ValueError):
                    continue  # cannot be on the wire
                except Exception as error:
                    assert type(error).__name__ in ("Malformed", "TooLarge")
                    refused += 1
                    continue
                for peer in (1, 3, 0, 4, -1, 10**9):
                    world.inject(peer, 0, mutant)
                tried += 1
            world.run(1)
            assert not world.nodes[0].halts
            assert world.state(0).height == 0
            assert world.state(0).mode is not Mode.HALTED
    assert tried > 1_800 and refused > 250  # negative numbers are refused by the decoder


def test_scenario_83_late_and_stale_answers_are_ignored() -> None:
    world = World(4)
    world.submit(1)
    world.run(200)
    replica = world.nodes[0].replica
    before = (replica.state.view, replica.state.height, replica.state.slots)
    clocks = {"now": world.now, "wall": WALL0}
    events = [
        SignaturesChecked(token=1, valid=0, **clocks),
        SignaturesChecked(token=10**6, valid=2**70, **clocks),
        BlockBuilt(request=1, proposal=None, **clocks),
        BlockBuilt(request=99, proposal=None, **clocks),
        BlockChecked(block_id=bytes(32), verdict=Verdict.OK, reason="", **clocks),
        BlockChecked(block_id=bytes(32), verdict=Verdict.INVALID, reason="x", **clocks),
        Durable(lsn=1, **clocks),
        Stored(height=0, **clocks),
        Stored(height=10**6, **clocks),
        Executed(height=1, exec_root=world.nodes[0].roots[1], **clocks),
        *(TimerFired(timer=timer, generation=0, **clocks) for timer in Timer),
        *(TimerFired(timer=timer, generation=10**6, **clocks) for timer in Timer),
    ]
    for event in events:
        for effect in replica.step(event):
            assert type(effect).__name__ not in ("Send", "Broadcast", "Persist", "Halt", "Deliver")
    assert (replica.state.view, replica.state.height, replica.state.slots) == before
    assert replica.state.stored == replica.state.tip.height


def test_p159_our_own_contradictions_halt_and_do_not_raise() -> None:
    world = World(4)
    replica = Replica(Signer(world.keys, 0))
    effects = replica.step(Durable(now=0, wall=0, lsn=0))
    assert isinstance(effects[0], Halt) and effects[0].reason is HaltReason.INVARIANT
    running = world.nodes[0].replica
    event = SignaturesChecked(now=0, wall=0, token=1, valid=-1)
    world.inject(1, 0, Committed(world.commit_certificate(Vote(0, 0, 1, bytes(32)), [0, 1, 2])))
    (effect,) = running.step(event)
    assert isinstance(effect, Halt)
    assert running.step(Durable(now=0, wall=0, lsn=0)) == []  # P20


def sizes(world: World, index: int) -> dict[str, int]:
    state = world.state(index)
    return {
        "slots": len(state.slots),
        "blocks": len(state.blocks),
        "later": len(state.later),
        "later votes": max((len(one.votes) for one in state.later.values()), default=0),
        "jobs": len(state.jobs),
        "verified": len(state.verified),
        "changes": len(state.highest_changes),
        "targets": len(state.target_changes),
        "certificates": len(state.certificates),
        "accepted": len(state.picture.accepted),
    }


def test_scenario_56_flooding_stays_within_every_cap() -> None:
    world = World(4)
    world.rule = lambda *_: None
    n, window = 4, world.params.window
    chance = random.Random(5)
    liar = (world.primary() + 1) % 4
    me = next(index for index in range(4) if index not in (liar, world.primary()))
    for _ in range(3000):
        vote = Vote(
            chance.choice([0, 0, 0, 1, 7]),
            chance.choice([0, 0, 1, 2, 3, 10**6]),
            chance.choice([1, 1, 2, 3, 4, 5, 10**6]),
            chance.randbytes(32),
        )
        kind = chance.choice(["prepare", "commit"])
        message = getattr(world, kind)(liar, vote)
        if chance.random() < 0.3:
            message = msgspec.structs.replace(message, signature=bytes(64), sender=chance.randrange(4))
        world.inject(liar, me, message)
        if chance.random() < 0.1:
            world.inject(liar, me, world.view_change(liar, chance.choice([1, 2, 5, 10**9])))
            world.inject(liar, me, Status(0, 0, 0, 5, GENESIS, 0, 0, False, b"\0", b"\0", b"\0", chance.randbytes(99)))
            world.inject(liar, me, Committed(world.commit_certificate(vote, [liar])))
        if chance.random() < 0.1:
            world.run(1)
    found = sizes(world, me)
    assert found["slots"] <= 2 * window
    assert found["later"] <= n and found["later votes"] <= 3 * 2 * window
    assert found["changes"] <= n and found["targets"] <= n and found["certificates"] <= 2 * window
    assert found["verified"] <= 64 + 16 * n
    assert found["jobs"] <= 2 * n
    assert len(world.nodes[me].reports) <= 12  # one per kind, height and view, however much is sent
    assert (world.state(me).view, world.state(me).mode) == (0, Mode.NORMAL)


def test_p18_what_is_remembered_of_a_signature_is_small_however_long_its_body() -> None:
    """A collector signs one NEW-VIEW after another; with 64 members each has about a megabyte."""
    world = World(7)
    world.rule = lambda *_: None
    world.run(1)
    members = world.state(0).members
    me, liar = world.primary(), members.collector(1)
    views = [view for view in range(1, 200) if members.collector(view) == liar]
    longest = 0
    for view in views:
        changes = tuple(world.view_change(index, view) for index in range(5))
        message = world.new_view(liar, view, changes)
        longest = max(longest, len(new_view_body(message)))
        world.inject(liar, me, message)
        world.run(1)
    kept = [item for item in world.state(me).verified if item.kind.startswith(("new-view", "view-change"))]
    assert len([item for item in kept if item.signer == liar]) >= len(views) and longest > 2 * BODY_KEPT_BYTES
    assert max(len(item.body) for item in world.state(me).verified) <= BODY_KEPT_BYTES


def test_p139_a_lying_collector_whose_proof_is_being_checked_keeps_nobody_from_the_true_one() -> None:
    world = World(4)
    world.run(1)
    members = world.state(0).members
    liar, true = members.collector(1), members.collector(2)
    me = next(index for index in range(4) if index not in (liar, true))
    clocks = {"now": world.now + 1, "wall": WALL0 + 10}
    replica = world.nodes[me].replica

    def asked(peer: int, message: Message) -> list[VerifySignatures]:
        effects = replica.step(Received(peer=peer, message=message, **clocks))
        return [effect for effect in effects if isinstance(effect, VerifySignatures)]

    def opening_of(view: int, collector: int) -> Message:
        return world.new_view(collector, view, tuple(world.view_change(index, view) for index in range(3)))

    (own,) = asked(liar, opening_of(1, liar))
    (content,) = (
        effect
        for effect in replica.step(SignaturesChecked(token=own.token, valid=1, **clocks))
        if isinstance(effect, VerifySignatures)
    )
    (second,) = asked(true, opening_of(2, true))  # while the content of the liar is with the verifier
    effects = replica.step(SignaturesChecked(token=second.token, valid=1, **clocks))
    (proof,) = (effect for effect in effects if isinstance(effect, VerifySignatures))
    replica.step(SignaturesChecked(token=proof.token, valid=(1 << len(proof.items)) - 1, **clocks))
    assert world.state(me).view == 2
    again = world.nodes[me].replica.step(SignaturesChecked(token=content.token, valid=0, **clocks))
    assert [effect.peer for effect in again if isinstance(effect, Penalise)] == [liar]


def test_scenario_16_old_traffic_is_ignored() -> None:
    world = World(4)
    for _ in range(4):
        world.submit(1)
        world.run(100)
    world.kill(world.primary())
    world.submit(1)
    world.run(6000)
    old = list(world.log)
    survivors = [node.index for node in world.nodes if node.alive]
    before = {index: (world.state(index).view, world.state(index).height) for index in survivors}
    reports = sum(len(node.reports) for node in world.nodes)
    for _, frm, to, message in old:
        if to in survivors and isinstance(message, Message) and not isinstance(message, Suspect | Status):
            world.inject(frm, to, message)
    world.run(100)
    assert {index: (world.state(index).view, world.state(index).height) for index in survivors} == before
    assert sum(len(node.reports) for node in world.nodes) == reports
    world.settled()


@pytest.mark.parametrize("peer", [0, 1])
def test_scenario_60_another_members_signature_under_our_name_is_refused(peer: int) -> None:
    world = World(4)
    world.rule = lambda *_: None
    me = 2
    vote = Vote(0, 0, 1, bytes([5]) * 32)
    stolen = msgspec.structs.replace(world.commit(3, vote), sender=peer)
    world.inject(peer, me, stolen)
    for index in (1 - peer, 3):
        world.inject(index, me, world.commit(index, vote))
    world.run(1)
    assert world.state(me).certificates == {}
    assert [penalty.peer for penalty in world.nodes[me].penalties] == [peer]


def test_scenario_57_who_passes_on_another_proposal_beside_a_good_vote_is_charged() -> None:
    """Swarm seed 10308: the primary signs the vote alone, so a liar can put anything beside it."""
    world = World(4)
    world.rule = lambda *_: None
    primary = world.primary()
    me, liar = (primary + 1) % 4, (primary + 2) % 4
    first = BlockRef(0, GENESIS, WALL0 - 1000, 0, 0)
    ids = (bytes([7]) * 32,)
    proposal = world.proposal(world.nodes[primary], 1, first, genesis_certificate(GENESIS), ids, (b"body",))
    good = world.pre_prepare(primary, 0, proposal)
    other = msgspec.structs.replace(proposal, tx_ids=(bytes(32),))
    world.inject(liar, me, msgspec.structs.replace(good, proposal=other))
    world.run(1)
    assert [(penalty.peer, penalty.reason) for penalty in world.nodes[me].penalties] == [(liar, "unbound_proposal")]
    world.inject(primary, me, good)
    world.run(1)
    assert world.state(me).slots[1].block_id == good.vote.block_id and len(world.nodes[me].penalties) == 1


def test_scenario_48_view_spam_every_millisecond_changes_nothing() -> None:
    world = World(4)
    liar = (world.primary() + 1) % 4
    for view in range(1, 300):
        for index in range(4):
            if index != liar:
                world.inject(liar, index, world.view_change(liar, view))
                world.inject(liar, index, Suspect(0, view))
        if view % 40 == 1:
            world.submit(1)
        world.run(1)
    world.run(300)
    assert max(world.heights()) >= 5
    honest = [index for index in range(4) if index != liar]
    assert {world.state(index).view for index in honest} == {0}
    assert MS == 1_000_000
