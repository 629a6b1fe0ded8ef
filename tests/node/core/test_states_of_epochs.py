"""A state is offered while members change: which epoch judges it, and what a walk that ends meanwhile does (P85, P107,
P115)."""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import Any

import msgspec

from consensus.events import Mode
from consensus.messages import Status
from consensus.validate import signing_digest_of
from ledger.block import Header, block_id, exec_root
from ledger.certificate import CommitCertificate, Vote, bitmap
from ledger.codec import encode
from ledger.governance.follow import EpochEnd
from ledger.registry.records import members_hash
from node.core import effects as ne
from node.core import events as nv
from node.core.effects import BeginSnapshot, DropSnapshot
from node.core.messages import (
    BlocksRequest,
    EpochEnds,
    EpochEndsRequest,
    Held,
    PeerMessage,
    SnapshotManifest,
    SnapshotOffer,
    SnapshotRequest,
)

replace = msgspec.structs.replace
STATE, FORGED = b"\3" * 32, b"\xee" * 32


def certified(league: Any, header: Header, real: bool = True) -> tuple[bytes, CommitCertificate]:
    raw = encode(header)
    vote = Vote(header.epoch, 0, header.height, block_id(raw))
    digest = signing_digest_of("commit", league.chain_id, encode(vote))
    signed = tuple(league.firms[i].consensus_key.sign(digest) if real else bytes(64) for i in (0, 1, 2))
    return raw, CommitCertificate(vote, bitmap((0, 1, 2), 4), signed)


def manifest(
    league: Any, epochs: tuple[int, int], hashes: tuple[bytes, bytes], state: bytes, real: bool = True
) -> SnapshotManifest:
    """A state of height 200 of the first epoch, certified by a header of the second."""
    before, receipts = b"\1" * 32, b"\2" * 32
    base = league.genesis.header
    first = replace(base, epoch=epochs[0], members_hash=hashes[0], next_members_hash=hashes[0], height=200)
    second = replace(
        base, epoch=epochs[1], members_hash=hashes[1], next_members_hash=hashes[1], height=201, exec_height=200,
        exec_root=exec_root(before, state, receipts),
    )  # fmt: skip
    (own, own_cert), (later, later_cert) = certified(league, first, real), certified(league, second, real)
    return SnapshotManifest(200, own, own_cert, before, state, receipts, (), later, later_cert, 0, 1, 1)


def turn(shell: Any, *events: tuple[type[Any], dict[str, Any]]) -> list[Any]:
    """Step events as a turn of the driver does: verdicts on signatures after all others."""
    queue, out = deque(events), []
    while queue:
        kind, fields = queue.popleft()
        for effect in shell.core.step(kind(now=shell.now, wall=shell.wall, **fields)):
            if isinstance(effect, ne.VerifyVotes):
                queue += shell.perform(effect)
            else:
                out.append(effect)
    for effect in out:
        shell.perform(effect)
    return out


def status(epoch: int, height: int) -> Status:
    return Status(epoch, 0, int(Mode.NORMAL), height, bytes(32), 0, height, False, b"\0", b"\0", b"\0", b"")


def from_(peer: int, message: PeerMessage) -> tuple[type[Any], dict[str, Any]]:
    return nv.PeerReceived, {"peer": peer, "message": message}


class Change:
    """Four members, of whom the last leaves the rotation with epoch 1, which begins after height `last`."""

    def __init__(self, league: Any, last: int) -> None:
        seats = tuple((m.company_id, m.consensus_key, m.in_rotation) for m in league.config(0).epoch.members)
        new = (*seats[:-1], (*seats[-1][:2], False))
        self.hashes = members_hash(seats), members_hash(new)
        header = replace(
            league.genesis.header, epoch=0, height=last, members_hash=self.hashes[0], next_members_hash=self.hashes[1]
        )
        self.end = EpochEnd(*certified(league, header), new)


def asking(shell: Any) -> tuple[Any, Change]:
    """A node that asks for offers, while member 1 leads it to epoch 1."""
    one = shell()
    one.core._context = dataclasses.replace(one.core._context, replay_blocks=10)
    one.start()
    change = Change(one.league, 100)
    for peer in (1, 2, 3):
        one.feed(nv.PeerConnected, peer=peer)
    turn(one, from_(2, status(0, 300)))
    turn(one, from_(2, EpochEnds(0, (), ())))
    assert len(one.messages(SnapshotRequest)) == 3 and one.core.taking.asking
    turn(one, from_(2, SnapshotOffer(())))
    turn(one, from_(1, status(2, 10_000)))
    assert one.messages(EpochEndsRequest)[-1] == EpochEndsRequest(0)
    turn(one, from_(1, EpochEnds(0, (change.end,), ())))
    assert one.core.walk.reached.epoch == 1 and one.core.walk.active
    return one, change


def begun(effects: list[Any]) -> list[bytes]:
    return [effect.manifest.state_root for effect in effects if isinstance(effect, BeginSnapshot)]


def test_p85_no_verdict_on_one_state_begins_another(shell: Any) -> None:
    """One turn: an offer whose verdict is on its way, the end of the walk, and a forged offer of the later epoch."""
    one, change = asking(shell)
    old, new = change.hashes
    good = manifest(one.league, (0, 0), (old, old), STATE)
    lie = manifest(one.league, (1, 1), (new, new), FORGED, real=False)
    turn(one, from_(3, SnapshotOffer((good,))))
    out = turn(one, from_(1, SnapshotOffer((good,))), from_(1, EpochEnds(1, (), ())), from_(1, SnapshotOffer((lie,))))
    assert FORGED not in begun(out)
    one.pass_time(10_000)
    assert one.core.taking.manifest is None or one.core.taking.manifest.state_root == STATE


def test_p107_asking_anew_while_a_verdict_is_on_its_way_raises_nothing(shell: Any) -> None:
    one, change = asking(shell)
    good = manifest(one.league, (0, 0), (change.hashes[0],) * 2, STATE)
    turn(one, from_(3, SnapshotOffer((good,))))
    turn(one, from_(1, SnapshotOffer((good,))), from_(1, EpochEnds(1, (), ())))
    assert one.core.taking.active


def test_p107_a_walk_that_ends_later_leaves_the_state_that_is_taken(shell: Any) -> None:
    one, change = asking(shell)
    good = SnapshotOffer((manifest(one.league, (0, 0), (change.hashes[0],) * 2, STATE),))
    out = turn(one, from_(3, good), from_(1, good))
    one.pass_time(10_000)
    assert one.core.taking.manifest is not None or begun(out)
    out = turn(one, from_(1, EpochEnds(1, (), ())))
    out += [effect for peer in (1, 2, 3) for effect in turn(one, from_(peer, good))]
    assert one.core.taking.manifest is not None and not any(isinstance(effect, DropSnapshot) for effect in out)


def joins(shell: Any, epochs: tuple[int, int]) -> Any:
    """A node at genesis, peers in epoch 1 that hold blocks from 150 on, and one state of height 200."""
    one = shell(3)
    one.core._context = dataclasses.replace(one.core._context, replay_blocks=50)
    one.start()
    change = Change(one.league, 250)
    offer = SnapshotOffer((manifest(one.league, epochs, tuple(change.hashes[e] for e in epochs), STATE),))  # type: ignore[arg-type]
    taken: list[Any] = []
    perform = one.perform
    one.perform = lambda effect: taken.append(effect) or [] if isinstance(effect, BeginSnapshot) else perform(effect)
    for peer in (0, 1, 2):
        one.feed(nv.PeerConnected, peer=peer)
    for _ in range(30):
        for peer in (0, 1, 2):
            one.receive(peer, status(1, 300))
        one.pass_time(1_000)
        todo, one.sent = one.sent, []
        for to, message in todo:
            if isinstance(message, EpochEndsRequest):
                one.receive(to, EpochEnds(message.first, (change.end,) if message.first == 0 else (), ()))
            elif isinstance(message, SnapshotRequest):
                one.receive(to, offer)
            elif isinstance(message, BlocksRequest):
                one.receive(to, Held(message.first, 150, 300))
        if taken:
            break
    assert one.core.walk.reached.epoch == 1 and not one.penalties
    return taken


def test_p115_a_state_of_the_epoch_before_is_taken_when_no_later_one_is_made_yet(shell: Any) -> None:
    """Without it a node that joins after a change of members, where all have pruned, waits for the next snapshot."""
    assert begun(joins(shell, (0, 0))) == [STATE]


def test_p115_a_state_across_the_barrier_is_judged_by_both_epochs(shell: Any) -> None:
    assert begun(joins(shell, (0, 1))) == [STATE]
