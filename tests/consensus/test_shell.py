"""A replica as its shell sees it: one step, effects in order, signatures checked outside (P82, P99, P137, P155-P163)."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import msgspec
import pbft_harness
import pytest
from pbft_harness import Keys, Signer, World

import consensus
from consensus.effects import Broadcast, Effect, Halt, HaltReason, Persist, VerifySignatures
from consensus.events import AnyEvent, Received
from consensus.messages import Prepare
from consensus.replica import Replica
from ledger.certificate import Vote


def _questions(world: World, to: int) -> list[VerifySignatures]:
    """Return the list into which every signature question of `to` falls from now on."""
    asked: list[VerifySignatures] = []
    plain = world.perform

    def perform(node, effect):
        if isinstance(effect, VerifySignatures) and node.index == to:
            asked.append(effect)
        plain(node, effect)

    world.perform = perform
    return asked


def _offered() -> tuple[World, int, int]:
    """Return a world in which one backup has a verified proposal for height 1 and nobody's votes, with primary and backup."""
    world = World(4)
    world.run(5)
    world.rule = lambda *_: None
    primary = world.primary()
    to = (primary + 1) % 4
    world.inject(primary, to, world.pre_prepare(primary, 0, world.first_proposal(primary)))
    world.run(1)
    return world, primary, to


@pytest.mark.parametrize("fault", ["epoch", "height", "sender", "size", "place"])
def test_p137_what_can_be_refused_without_arithmetic_costs_no_signature_check(fault: str) -> None:
    world, primary, to = _offered()
    liar = (primary + 2) % 4
    slot = world.state(to).slots[1]
    vote = Vote(0, 0, 1, slot.block_id)
    message = world.prepare(liar, vote)
    match fault:
        case "epoch":
            message = msgspec.structs.replace(message, vote=msgspec.structs.replace(vote, epoch=1))
        case "height":
            message = msgspec.structs.replace(message, vote=msgspec.structs.replace(vote, height=1_000))
        case "sender":
            message = msgspec.structs.replace(message, sender=9)
        case "size":
            message = msgspec.structs.replace(message, signature=bytes(63))
        case "place":
            world.inject(liar, to, message)
            world.run(1)
    asked = _questions(world, to)
    world.inject(liar, to, message)
    world.run(1)
    assert asked == []


def test_p137_the_same_vote_without_a_fault_is_looked_at() -> None:
    world, primary, to = _offered()
    asked = _questions(world, to)
    for liar in ((primary + 2) % 4, (primary + 3) % 4):
        world.inject(liar, to, world.prepare(liar, Vote(0, 0, 1, world.state(to).slots[1].block_id)))
    world.run(1)
    assert asked, "else the test above shows nothing"


def test_p157_an_own_vote_counts_before_its_record_is_durable_and_leaves_after_it() -> None:
    world = World(4)
    world.run(5)
    world.rule = lambda *_: None
    primary = world.primary()
    to = (primary + 1) % 4
    seen: list[tuple[str, bool]] = []
    plain = world.perform

    def perform(node, effect):
        if node.index == to and isinstance(effect, Persist | Broadcast):
            slot = world.state(to).slots.get(1)
            seen.append((type(effect).__name__, slot is not None and bool(slot.prepares.valid >> to & 1)))
            if isinstance(effect, Broadcast) and isinstance(effect.message, Prepare):
                assert effect.after > node.durable, "P90: it waits for the log"
        plain(node, effect)

    world.perform = perform
    world.inject(primary, to, world.pre_prepare(primary, 0, world.first_proposal(primary)))
    world.run(1)
    assert seen[:2] == [("Persist", True), ("Broadcast", True)], "P156: the record first"


def test_p82_nothing_is_kept_of_a_height_that_is_committed() -> None:
    world = World(4)
    for number in range(1, 6):
        world.submit(2)
        world.run(80)
        assert world.height() >= number
        for index in range(4):
            state = world.state(index)
            assert all(height > state.height for height in state.slots)
            assert all(height > state.height for height in state.picture.prepared)


def test_p99_the_same_body_is_signed_with_the_same_bytes() -> None:
    keys = Keys(2, real=True)
    assert keys.sign(1, "prepare", b"body") == keys.sign(1, "prepare", b"body") != keys.sign(0, "prepare", b"body")


class _ByMessage(Replica):
    """Takes its messages by `receive`, as a node hands them over."""

    def step(self, event: AnyEvent) -> list[Effect]:
        if isinstance(event, Received):
            return self.receive(event.now, event.wall, event.peer, event.message)
        return super().step(event)


def test_p155_a_message_handed_over_by_receive_is_the_event_of_its_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a view change, with a message of nobody and one to a halted replica."""
    told = []
    for kind in (Replica, _ByMessage):
        monkeypatch.setattr(pbft_harness, "Replica", kind)
        world = World(4)
        world.submit(1)
        world.run(200)
        world.kill(world.primary())
        world.submit(1)
        world.run(4_000)
        living = [node.replica for node in world.nodes if node.alive]
        message = world.prepare(1, Vote(0, 0, 1, bytes(32)))
        strange = [one.step(Received(now=world.now, wall=0, peer=9, message=message)) for one in living]
        living[0]._halted(HaltReason.INVARIANT, "to see that nothing follows")
        assert living[0].step(Received(now=world.now, wall=0, peer=1, message=message)) == []
        told.append((world.log, strange, [one.state.digest() for one in living]))
    assert len(told[0][0]) > 50 and told[0] == told[1]


def test_p155_a_message_before_the_start_halts() -> None:
    world = World(4)
    replica = Replica(Signer(world.keys, 0))
    (halt,) = replica.receive(0, 0, 1, world.prepare(1, Vote(0, 0, 1, bytes(32))))
    assert halt == Halt(reason=HaltReason.INVARIANT, detail="Prepare before Start")


def test_p161_every_field_of_the_state_is_in_its_digest() -> None:
    state = World(4).state(0)
    digest = state.digest()
    for each in fields(state):
        kept = getattr(state, each.name)
        setattr(state, each.name, f"another {each.name}")
        assert state.digest() != digest, each.name
        setattr(state, each.name, kept)
    assert state.digest() == digest and str(state)


def test_p163_no_module_of_consensus_can_check_a_signature() -> None:
    for path in Path(consensus.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        taken = {
            (item.module, name.name)
            for item in ast.walk(tree)
            if isinstance(item, ast.ImportFrom)
            for name in item.names
        }
        scheme = {name for module, name in taken if module == "ledger.crypto.ed25519"}
        assert scheme <= {"SIGNATURE_BYTES"}, f"{path.name} takes {sorted(scheme)}"
        assert not any(str(module).split(".")[0] in ("nacl", "cryptography") for module, _ in taken), path.name
