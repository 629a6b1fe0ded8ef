"""What is wrong or out of place is rejected by name and counted for the peer that sent it; only what no correct node sends
is charged (P17, P18, P115, P138, P159)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from pbft_harness import World

from consensus.messages import Committed, Heartbeat, Message, NewView, Prepared, Status, Suspect
from consensus.validate import NUMBER_MAX
from ledger.block import block_id
from ledger.certificate import Vote
from ledger.crypto.ed25519 import SIGNATURE_BYTES
from ledger.params import Params

LATER = 7
"""An epoch that nobody here has heard of."""


def vote(world: World, **changes: Any) -> Vote:
    """A vote for the next height; nobody knows the block."""
    state = world.state(0)
    return msgspec.structs.replace(Vote(0, state.view, state.height + 1, b"b" * 32), **changes)


def proposed(world: World, peer: int, **changes: Any) -> Any:
    """A signed proposal of `peer`, whatever is wrong with its vote."""
    message = world.pre_prepare(peer, 0, world.first_proposal(peer))
    return msgspec.structs.replace(message, vote=msgspec.structs.replace(message.vote, **changes))


def prepared(world: World, peer: int, **changes: Any) -> Prepared:
    proposal = world.first_proposal(peer)
    certificate = world.prepared_certificate(proposal, 0, peer, [peer, *[i for i in range(4) if i != peer][:2]])
    changed = msgspec.structs.replace(certificate, vote=msgspec.structs.replace(certificate.vote, **changes))
    return Prepared(changed, proposal)


def committed(world: World, **changes: Any) -> Committed:
    return Committed(world.commit_certificate(vote(world, **changes), [1, 2, 3]))


def changed(message: Message, **changes: Any) -> Message:
    return msgspec.structs.replace(message, **changes)


Make = Callable[[World, int], Message]
FAR = 100
COUNTED: dict[str, tuple[Make, str]] = {
    "proposal of another epoch": (lambda w, p: proposed(w, p, epoch=LATER), "other_epoch"),
    "proposal far ahead": (lambda w, p: proposed(w, p, height=FAR), "beyond_window"),
    "PREPARE of another epoch": (lambda w, p: w.prepare(p, vote(w, epoch=LATER)), "other_epoch"),
    "COMMIT far ahead": (lambda w, p: w.commit(p, vote(w, height=FAR)), "beyond_window"),
    "PREPARED of another epoch": (lambda w, p: prepared(w, p, epoch=LATER), "other_epoch"),
    "VIEW-CHANGE of another epoch": (lambda w, p: changed(w.view_change(p, 1), epoch=LATER), "other_epoch"),
    "NEW-VIEW of another epoch": (lambda w, p: NewView(LATER, p, 1, (), (), bytes(SIGNATURE_BYTES)), "other_epoch"),
    "SUSPECT of another epoch": (lambda _, _p: Suspect(LATER, 0), "other_epoch"),
    "HEARTBEAT of another epoch": (lambda _, _p: Heartbeat(LATER, 0, 0, bytes(32)), "other_epoch"),
    "HEARTBEAT of a backup": (lambda _, _p: Heartbeat(0, 0, 0, bytes(32)), "not_the_primary"),
    "COMMIT-CERT of a later epoch": (lambda w, _p: committed(w, epoch=LATER), "newer_epoch"),
}  # fmt: skip
"""A correct node may send these to one that stands elsewhere."""
CHARGED: dict[str, tuple[Make, str]] = {
    "proposal of nobody": (lambda w, p: changed(proposed(w, p), sender=64), "malformed"),
    "proposal with half a signature": (lambda w, p: changed(proposed(w, p), signature=b"s" * 32), "malformed"),
    "proposal with a short block id": (lambda w, p: proposed(w, p, block_id=b"b"), "bad_block_id"),
    "proposal of a backup": (proposed, "not_the_primary"),
    "PREPARE of height 0": (lambda w, p: w.prepare(p, vote(w, height=0)), "number_out_of_range"),
    "PREPARE in no view": (lambda w, p: w.prepare(p, vote(w, view=NUMBER_MAX)), "number_out_of_range"),
    "COMMIT for half a block id": (lambda w, p: w.commit(p, vote(w, block_id=b"b" * 16)), "bad_block_id"),
    "COMMIT of nobody": (lambda w, p: changed(w.commit(p, vote(w)), sender=4), "malformed"),
    "a vote that another signed": (lambda w, p: changed(w.commit(p, vote(w)), sender=w.primary()), "bad_signature"),
    "PREPARED of a backup": (prepared, "not_the_primary"),
    "PREPARED for another header": (lambda w, p: prepared(w, p, block_id=b"b" * 32), "bad_prepared_certificate"),
    "VIEW-CHANGE to view 0": (lambda w, p: w.view_change(p, 0), "malformed"),
    "VIEW-CHANGE of nobody": (lambda w, p: changed(w.view_change(p, 1), sender=9), "malformed"),
    "NEW-VIEW of view 0": (lambda _, p: NewView(0, p, 0, (), (), bytes(SIGNATURE_BYTES)), "number_out_of_range"),
    "NEW-VIEW without proof": (
        lambda w, _p: w.new_view(w.state(0).members.collector(1), 1, (), ()), "wrong_number_of_view_changes",
    ),
    "SUSPECT in no view": (lambda _, _p: Suspect(0, NUMBER_MAX), "number_out_of_range"),
    "STATUS beyond all numbers": (
        lambda _, _p: Status(0, NUMBER_MAX, 0, 0, bytes(32), 0, 0, False, b"\0", b"\0", b"\0", b""), "malformed",
    ),
    "STATUS with a bitmap too wide": (
        lambda _, _p: Status(0, 0, 0, 0, bytes(32), 0, 0, False, bytes(9), b"\0", b"\0", b""), "malformed",
    ),
    "COMMIT-CERT of q - 1": (
        lambda w, _p: Committed(w.commit_certificate(vote(w), [1, 2])), "bad_certificate",
    ),
    "COMMIT-CERT of the genesis": (lambda w, _p: Committed(w.state(0).tip_certificate), "bad_certificate"),
    "COMMIT-CERT with a signer twice": (
        lambda w, _p: Committed(msgspec.structs.replace(committed(w).certificate, signers=b"\x06")), "bad_certificate",
    ),
}  # fmt: skip
"""No correct node sends these."""


def network() -> tuple[World, int, int]:
    """Four members before the first block, their links cut; one that listens, and a backup that sends."""
    world = World(4, params=Params(rotate_every=0))  # where turns are planned, a backup may be primary elsewhere (P77)
    world.rule = lambda *_: None
    world.run(1)
    listener, peer = [index for index in range(4) if index != world.primary()][:2]
    return world, listener, peer


@pytest.mark.parametrize("case", list(COUNTED))
def test_what_a_correct_node_may_send_from_elsewhere_is_counted_for_it_and_not_charged(case: str) -> None:
    world, listener, peer = network()
    make, reason = COUNTED[case]
    world.inject(peer, listener, make(world, peer))
    world.run(1)
    node = world.nodes[listener]
    assert dict(node.rejections) == {(peer, reason): 1}
    assert not node.penalties and not node.halts
    state = world.state(listener)
    assert not state.slots and not state.later and not state.jobs and not state.highest_changes


@pytest.mark.parametrize("case", list(CHARGED))
def test_what_no_correct_node_sends_is_charged_to_the_peer_by_name(case: str) -> None:
    world, listener, peer = network()
    make, reason = CHARGED[case]
    world.inject(peer, listener, make(world, peer))
    world.run(10)
    node = world.nodes[listener]
    assert [(penalty.peer, penalty.reason) for penalty in node.penalties] == [(peer, reason)]
    assert not node.rejections and not node.halts
    assert not any(slot.prepares.held or slot.commits.held for slot in world.state(listener).slots.values())


def test_a_proposal_that_is_refused_is_counted_for_its_primary_with_the_reason() -> None:
    world, listener, _ = network()
    primary = world.primary()
    proposal = world.first_proposal(primary, time_ms=0)
    world.inject(primary, listener, world.pre_prepare(primary, 0, proposal))
    world.run(50)
    slot = world.state(listener).slots[1]
    assert slot.block_id == block_id(proposal.header)
    assert world.nodes[listener].rejections[(primary, slot.reason)] == 1 and slot.reason


def test_more_signatures_than_a_peer_may_have_out_are_counted_for_it() -> None:
    world, listener, peer = network()
    others = [index for index in range(4) if index not in (listener, peer)]
    for height in range(1, 3):
        for block in range(60):
            world.inject(
                peer, listener, world.commit(others[0], vote(world, height=height, block_id=bytes([block]) * 32))
            )
    assert world.nodes[listener].rejections[(peer, "too_many_unverified")] > 0
    assert not world.nodes[listener].penalties


def test_every_message_of_consensus_is_in_these_tables() -> None:
    world, _, peer = network()
    made = {type(make(world, peer)) for table in (COUNTED, CHARGED) for make, _ in table.values()}
    assert {kind.__name__ for kind in made} == {kind.__name__ for kind in Message.__args__}
