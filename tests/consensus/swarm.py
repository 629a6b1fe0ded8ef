"""Random runs for `test_swarm.py`: every seed draws its own network, rates, crashes and liars (SIM14)."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import msgspec
from pbft_harness import MS, World

from consensus.messages import Commit, Message, Prepare, PrePrepare, Proposal, ViewChange
from consensus.validate import view_change_body
from ledger.block import block_id, header_codec
from ledger.certificate import Vote
from ledger.codec import encode
from ledger.params import Params

KINDS = ["PrePrepare", "Prepare", "Commit", "ViewChange", "NewView", "Status", "Committed", "Prepared"]


def quick(window: int = 1, rotate_every: int = 0) -> Params:
    """Short timers; small blocks when several may be in flight, so that they are."""
    return Params(
        window=window,
        rotate_every=rotate_every,
        t0_ms=400,
        t_cap_ms=3000,
        status_ms=200,
        suspect_ttl_ms=600,
        hb_ms=500,
        max_block_txs=5_000 if window == 1 else 1,
    )


def crashes(seed: int, window: int = 1, rotate_every: int = 0) -> bool:
    """Loss, duplication, reordering, cuts, crashes and restarts; then healing. True if all caught up."""
    chance = random.Random(seed)
    n = chance.choice([4, 4, 5, 6, 7])
    world = World(n, params=quick(window, rotate_every), disk_ns=chance.choice([0, MS // 5, 2 * MS]))
    loss = chance.choice([0, 0.02, 0.1, 0.3])
    twice = chance.choice([0, 0.1])
    slowest = chance.choice([2, 20, 200, 600])
    crash_rate = chance.choice([0, 0.3, 1.0])
    cut_rate = chance.choice([0, 0.5])
    lost_kind = chance.choice(KINDS) if chance.random() < 0.3 else ""
    cut: list[int] = []

    def rule(frm: int, to: int, message: object) -> int | None:
        if (frm in cut) != (to in cut) or chance.random() < loss:
            return None
        if type(message).__name__ == lost_kind and chance.random() < 0.7:
            return None
        delay = chance.randrange(1, slowest + 1) * MS
        if chance.random() < twice:
            life = world.nodes[to].life
            world.at(2 * delay, lambda: world._arrive(frm, to, life, message))
        return delay

    world.rule = rule
    dead: list[int] = []
    for _ in range(12):
        if chance.random() < 0.8:
            world.submit(chance.randrange(1, 4) * window, to=chance.sample(range(n), chance.randrange(1, n + 1)))
        if chance.random() < crash_rate:
            if dead and chance.random() < 0.6:
                world.restart(dead.pop(0))
            else:
                victim = chance.choice([index for index in range(n) if index not in dead] or [0])
                if victim not in dead:
                    dead.append(victim)
                    world.kill(victim)
        for node in world.nodes:
            if node.alive and chance.random() < 0.2:
                world.store(node.index)
        cut[:] = chance.sample(range(n), chance.randrange(0, n)) if chance.random() < cut_rate else []
        world.run(chance.randrange(20, 900))
    cut.clear()
    world.rule = lambda *_: 2 * MS
    for index in dead:
        world.restart(index)
    goal = max(world.heights()) + 1
    world.gossip()
    world.submit(2)
    done = world.run(
        20_000,
        lambda: (
            world.height() >= goal and len(set(world.heights())) == 1 and not any(node.pool for node in world.nodes)
        ),
    )
    world.settled()
    assert not any(node.reports for node in world.nodes)  # I16: crashes and loss convict nobody
    return done


@dataclass
class Liars:
    """Members that lie in every message they sign, each in its own way."""

    world: World
    chance: random.Random
    members: list[int]
    style: dict[int, str] = field(default_factory=dict)
    twins: dict[bytes, bytes] = field(default_factory=dict)

    def __call__(self, frm: int, to: int, message: Message) -> Message:
        if frm not in self.members or getattr(message, "sender", -1) != frm:
            return message
        style = self.style.setdefault(frm, self.chance.choice(["equivocate", "amnesia", "both", "garbage"]))
        other_half = (to * 7 + 3) % 2 == 1
        if style in ("equivocate", "both") and other_half:
            if isinstance(message, PrePrepare):
                return self.twin(frm, message)
            if isinstance(message, Prepare | Commit):
                identity = self.twins.get(message.vote.block_id, bytes([1]) * 32)
                vote = Vote(0, message.vote.view, message.vote.height, identity)
                return self.world.prepare(frm, vote) if isinstance(message, Prepare) else self.world.commit(frm, vote)
        if style in ("amnesia", "both") and isinstance(message, ViewChange):
            empty = msgspec.structs.replace(message, prepared=(), signature=b"")
            signature = self.world.keys.sign(frm, "view-change", view_change_body(empty))
            return msgspec.structs.replace(empty, signature=signature)
        if style == "garbage" and self.chance.random() < 0.5:
            return msgspec.structs.replace(message, signature=bytes(64))
        return message

    def twin(self, frm: int, message: PrePrepare) -> PrePrepare:
        header = header_codec.decode(message.proposal.header)
        data = encode(msgspec.structs.replace(header, time_ms=header.time_ms + 1))
        self.twins[message.vote.block_id] = block_id(data)
        proposal = Proposal(data, message.proposal.tx_ids, message.proposal.last_certificate)
        return self.world.pre_prepare(frm, message.vote.view, proposal)


def lies(seed: int, window: int = 1, rotate_every: int = 0) -> bool:
    """Up to f liars on a lossy network, then a good one. True if the correct members commit again."""
    chance = random.Random(seed)
    n = chance.choice([4, 4, 5, 6, 7])
    world = World(n, params=quick(window, rotate_every), disk_ns=chance.choice([0, MS // 5]))
    liars = Liars(world, chance, chance.sample(range(n), (n - 1) // 3))
    world.twist = liars
    check = world._check_left
    world._check_left = lambda node, message: None if node.index in liars.members else check(node, message)
    loss, slowest = chance.choice([0, 0.05, 0.2]), chance.choice([2, 20, 200])
    world.rule = lambda *_: None if chance.random() < loss else chance.randrange(1, slowest + 1) * MS
    for _ in range(10):
        world.submit(chance.randrange(1, 4) * window)
        world.run(chance.randrange(20, 1200))
    world.rule = lambda *_: 2 * MS
    correct = [node for node in world.nodes if node.index not in liars.members]
    goal = max(len(node.chain) for node in correct) + 1
    world.gossip()
    world.submit(2)
    done = world.run(25_000, lambda: min(len(node.chain) for node in correct) >= goal)
    for node in correct:
        assert not node.halts, node.halts
        assert {report.offender for report in node.reports} <= set(liars.members)  # I16
        assert all(world.convicts(report.evidence) for report in node.reports)
        assert {penalty.peer for penalty in node.penalties} <= set(liars.members)
    return done
