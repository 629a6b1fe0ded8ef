"""Taking the state in chunks: P107, scenario 74. Peers serve a real state; each lie is named and costs only its sender."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count

import msgspec
import pytest

from consensus.effects import SignatureItem
from ledger.block import block_id, exec_root, header_codec
from ledger.codec import encode
from ledger.merkle import RangeProof, key_hash, prefix_of, prove_range
from ledger.transaction import decode_transaction
from node.core import snapshots as rules
from node.core.effects import (
    BeginSnapshot,
    DropSnapshot,
    InstallSnapshot,
    KeepChunk,
    KeepSkeleton,
    NodeEffect,
    Penalty,
    SendPeer,
    VerifyVotes,
)
from node.core.events import Collected
from node.core.messages import (
    Chunk,
    ChunkRequest,
    Held,
    PeerMessage,
    Skeleton,
    SkeletonRequest,
    SnapshotManifest,
    SnapshotOffer,
    SnapshotRequest,
)
from node.core.snapshots import Taking
from tests.node.core.league import League

SECOND = 1_000_000_000
AT, TOP, DEPTH = 300, 320, 1


@pytest.fixture(scope="module")
def league() -> League:
    made = League()
    made.grow(TOP, writes=2)
    return made


class Peer:
    """An honest holder of the snapshot of height `at`; `spoil` may change what it sends."""

    def __init__(self, league: League, at: int = AT) -> None:
        self.league, self.at = league, at
        state = league.states[at]
        rows = [(key, state.get(key)) for key in state.scan(b"", b"\xff" * 40, 1 << 30) if not key.startswith(b"x")]
        self.rows = sorted(((key, value or b"") for key, value in rows), key=lambda row: key_hash(row[0]))
        self.spoil: Callable[[PeerMessage], PeerMessage | None] = lambda message: message

    def manifest(self) -> SnapshotManifest:
        league, at = self.league, self.at
        block, later = league.blocks[at - 1], league.blocks[at]
        return SnapshotManifest(
            at, block.header, block.certificate, league.states[at - 1].exec_root, league.states[at].state_root,
            league.results[at - 1].receipts_root, (), later.header, later.certificate, DEPTH, len(self.rows), 0,
        )  # fmt: skip

    def answer(self, message: PeerMessage) -> PeerMessage | None:
        reply: PeerMessage
        if isinstance(message, SnapshotRequest):
            reply = SnapshotOffer((self.manifest(),) if self.at > message.above else ())
        elif isinstance(message, ChunkRequest):
            if (message.height, message.depth) != (self.at, DEPTH):
                return SnapshotOffer((self.manifest(),))
            prefix = prefix_of(message.index, DEPTH)
            rows = tuple(row for row in self.rows if key_hash(row[0])[0] >> 4 == prefix[0])
            reply = Chunk(self.at, message.index, rows, prove_range(self.league.states[self.at].tree_node, prefix))
        else:
            assert isinstance(message, SkeletonRequest)
            part = self.league.blocks[message.first - 1 : message.last]
            chain = self.league.network.chain
            ids = tuple(tuple(decode_transaction(one, chain).tx_id for one in block.envelopes) for block in part)
            reply = Skeleton(message.first, tuple(block.header for block in part), ids)
        return self.spoil(reply)


class Net:
    """A node that is `TOP` blocks behind and its three peers."""

    def __init__(self, league: League, replay_blocks: int = 100, validity: int = 1_000) -> None:
        self.league = league
        tokens = count(3, 2)
        self.connected: dict[int, None] = dict.fromkeys((1, 2, 3))
        self.taking = Taking(
            chain_id=league.network.chain, epoch=league.epoch, own=0, next_token=lambda: next(tokens),
            patience_ns=2 * SECOND, validity_heights=validity, replay_blocks=replay_blocks, connected=self.connected,
            faults={},
        )  # fmt: skip
        self.peers = {index: Peer(league) for index in (1, 2, 3)}
        self.now = 0
        self.queue: list[tuple[int, PeerMessage]] = []
        self.sent: Counter[tuple[int, str]] = Counter()
        self.most: Counter[int] = Counter()
        self.penalties: list[tuple[int, str]] = []
        self.begun: list[SnapshotManifest] = []
        self.chunks: dict[int, tuple[tuple[bytes, bytes], ...]] = {}
        self.skeleton: dict[int, tuple[bytes, tuple[bytes, ...]]] = {}
        self.parent = b""
        self.installed = 0
        self.dropped = 0

    def perform(self, effects: list[NodeEffect]) -> None:
        for effect in effects:
            if isinstance(effect, SendPeer):
                self.queue.append((effect.to, effect.message))
                self.sent[effect.to, type(effect.message).__name__] += 1
            elif isinstance(effect, VerifyVotes):
                self.perform(self.taking.votes_verified(effect.token, self.league.valid(effect.items), self.now))
            elif isinstance(effect, Penalty):
                self.penalties.append((effect.peer, effect.reason))
            elif isinstance(effect, BeginSnapshot):
                self.begun.append(effect.manifest)
                self.chunks, self.skeleton = {}, {}
            elif isinstance(effect, KeepChunk):
                assert effect.index not in self.chunks
                self.chunks[effect.index] = effect.rows
            elif isinstance(effect, KeepSkeleton):
                self.skeleton.update(enumerate(effect.blocks, effect.first))
                self.parent = effect.parent
            elif isinstance(effect, InstallSnapshot):
                self.installed = effect.height
            elif isinstance(effect, DropSnapshot):
                self.dropped += 1
        busy: Counter[int] = Counter(task.asked for task in self.taking._tasks if task.asked >= 0)
        for peer, number in busy.items():
            self.most[peer] = max(self.most[peer], number)
        assert len(self.taking._tasks) <= rules.REQUESTS_MAX

    def start(self) -> None:
        assert self.taking.wanted(TOP, 0, self.now)
        self.perform(self.taking.start(0, self.now))

    def run(self, rounds: int = 2_000) -> None:
        for _ in range(rounds):
            if self.installed or not self.taking.active:
                return
            if not self.queue:
                self.now += SECOND // 2
                self.perform(self.taking.tick(self.now))
                continue
            peer, request = self.queue.pop(0)
            reply = self.peers[peer].answer(request)
            if isinstance(reply, SnapshotOffer):
                self.perform(self.taking.offered(peer, reply, 0, self.now))
            elif isinstance(reply, Chunk):
                self.perform(self.taking.received(peer, reply, self.now))
            elif isinstance(reply, Skeleton):
                self.perform(self.taking.skeleton(peer, reply, self.now))
            elif isinstance(reply, Held):
                self.perform(self.taking.unheld(peer, reply, self.now))

    def complete(self) -> None:
        """What was kept is the whole state of the height, and the ids of every block that counts."""
        assert self.installed == AT
        rows = dict(row for part in self.chunks.values() for row in part)
        assert rows == dict(Peer(self.league).rows)
        low = max(1, AT - self.taking.validity_heights + 1)
        assert sorted(self.skeleton) == list(range(low, AT + 1))
        for height, (identity, ids) in self.skeleton.items():
            assert identity == self.league.refs[height].block_id and len(ids) == 1
        assert self.parent == self.league.refs[low - 1].block_id


def test_p107_chunks_and_headers_come_from_several_peers_within_bounds(league: League) -> None:
    net = Net(league)
    net.start()
    net.run()
    net.complete()
    assert net.penalties == []
    assert {peer for peer, kind in net.sent if kind == "ChunkRequest"} == {1, 2, 3}
    assert max(net.most.values()) <= rules.REQUESTS_PER_PEER


def test_only_headers_of_the_validity_window_are_fetched(league: League) -> None:
    net = Net(league, validity=40)
    net.start()
    net.run()
    net.complete()
    assert len(net.skeleton) == 40


def test_p107_a_small_lag_is_replayed(league: League) -> None:
    assert not Net(league, replay_blocks=TOP).taking.wanted(TOP, 0, 0)
    assert not Net(league, replay_blocks=0).taking.wanted(10**9, 0, 0)
    assert Net(league, replay_blocks=TOP - 1).taking.wanted(TOP, 0, 0)


def test_without_an_offer_the_blocks_are_replayed_and_nobody_is_asked_again_at_once(league: League) -> None:
    net = Net(league)
    for peer in net.peers.values():
        peer.spoil = lambda message: SnapshotOffer(())
    net.start()
    net.run()
    assert not net.taking.active and net.penalties == []
    assert net.now == 0, "f+1 answers are enough: a claim that nobody can show costs no time"
    assert not net.taking.wanted(TOP, 0, net.now)
    assert net.taking.wanted(TOP, 0, net.now + rules.LEFT_OUT_NS)


def test_one_peer_without_an_offer_is_not_enough_to_give_up(league: League) -> None:
    """It may be the only one that connected so far, or a liar."""
    net = Net(league)
    net.connected.clear()
    net.connected[1] = None
    net.peers[1].spoil = lambda message: SnapshotOffer(())
    net.start()
    net.run(rounds=2)
    assert net.taking.asking
    net.connected[2] = None
    net.perform(net.taking.joined(2, net.now))
    net.peers[1].spoil = lambda message: message
    net.run()
    net.complete()


def test_an_offer_that_saves_little_is_not_taken(league: League) -> None:
    """A liar's claim may start the search; a snapshot near our own tip is not worth dropping our blocks."""
    net = Net(league, replay_blocks=2 * AT)
    net.perform(net.taking.start(0, 0))
    net.run()
    assert not net.taking.active and net.begun == []


def test_the_highest_offer_is_taken_and_silent_peers_do_not_hold_it_up(league: League) -> None:
    net = Net(league)
    net.peers[1] = Peer(league, 250)
    net.peers[3].spoil = lambda message: None
    net.start()
    net.run()
    net.complete()
    assert [manifest.height for manifest in net.begun] == [AT]


replace = msgspec.structs.replace


def forged(manifest: SnapshotManifest, **changes: object) -> Callable[[PeerMessage], PeerMessage]:
    return lambda message: (
        SnapshotOffer((replace(manifest, **changes),)) if isinstance(message, SnapshotOffer) else message
    )


def bad_manifests(league: League) -> dict[str, tuple[str, dict[str, object]]]:
    honest = Peer(league).manifest()
    other = league.blocks[100]
    unsigned = replace(honest.certificate, signatures=(bytes(64),) * 3)
    return {
        "another state root": ("snapshot_exec_root", {"state_root": bytes(32)}),
        "another receipts root": ("snapshot_exec_root", {"receipts_root": bytes(32)}),
        "a root of a wrong length": ("snapshot_links", {"previous_exec_root": b""}),
        "a link too many": ("snapshot_links", {"links": ((bytes(32), bytes(32)),)}),
        "a height that is not the header's": ("snapshot_header", {"height": AT + 1}),
        "garbage for a header": ("snapshot_header", {"header": b"\x90"}),
        "garbage for the proof": ("snapshot_header", {"proof_header": b"\x90"}),
        "an absurd depth": ("snapshot_header", {"depth": 40}),
        "a certificate of another block": ("snapshot_certificate", {"certificate": other.certificate}),
        "a proof certified by another block": ("snapshot_certificate", {"proof_certificate": other.certificate}),
        "forged signatures": ("snapshot_certificate", {"certificate": unsigned}),
        "a forged proof": ("snapshot_certificate", {"proof_certificate": replace(unsigned, vote=honest.proof_certificate.vote)}),
    }  # fmt: skip


BAD_MANIFESTS = (
    "another state root", "another receipts root", "a root of a wrong length", "a link too many",
    "a height that is not the header's", "garbage for a header", "garbage for the proof", "an absurd depth",
    "a certificate of another block", "a proof certified by another block", "forged signatures", "a forged proof",
)  # fmt: skip


@pytest.mark.parametrize("name", BAD_MANIFESTS)
def test_scenario_74_a_false_manifest_is_never_begun(league: League, name: str) -> None:
    reason, changes = bad_manifests(league)[name]
    net = Net(league)
    net.peers[1].spoil = forged(net.peers[1].manifest(), **changes)
    net.start()
    net.run()
    net.complete()
    assert net.penalties == [(1, reason)]
    assert [manifest.state_root for manifest in net.begun] == [league.states[AT].state_root]


def spoiled_chunks() -> dict[str, Callable[[Chunk], PeerMessage]]:
    return {
        "a row missing": lambda chunk: replace(chunk, rows=chunk.rows[1:]),
        "a value changed": lambda chunk: replace(chunk, rows=((chunk.rows[0][0], b"?"), *chunk.rows[1:])),
        "a row added": lambda chunk: replace(chunk, rows=(*chunk.rows, (b"tinvented", b"1"))),
        "two rows swapped": lambda chunk: replace(chunk, rows=chunk.rows[::-1]),
        "no rows": lambda chunk: replace(chunk, rows=()),
        "no proof": lambda chunk: replace(chunk, proof=RangeProof((), ())),
        "a foreign leaf": lambda chunk: replace(chunk, rows=(), proof=RangeProof((), ((bytes(32), bytes(32)),))),
    }


@pytest.mark.parametrize("name", list(spoiled_chunks()))
def test_scenario_74_a_lie_is_caught_at_its_chunk(league: League, name: str) -> None:
    net = Net(league)
    spoil = spoiled_chunks()[name]
    net.peers[2].spoil = lambda message: spoil(message) if isinstance(message, Chunk) else message
    net.start()
    net.run()
    net.complete()
    assert net.penalties == [(2, "snapshot_chunk")]


def test_scenario_74_a_chunk_of_another_place_is_no_answer(league: League) -> None:
    net = Net(league)

    def swapped(message: PeerMessage) -> PeerMessage:
        return replace(message, index=(message.index + 1) % 16) if isinstance(message, Chunk) else message

    net.peers[2].spoil = swapped
    net.start()
    net.run()
    net.complete()
    assert {peer for peer, _ in net.penalties} <= {2}


def spoiled_skeletons(league: League) -> dict[str, Callable[[Skeleton], PeerMessage]]:
    other = header_codec.decode(league.blocks[5].header).tx_root
    return {
        "ids of another block": lambda s: replace(s, tx_ids=(s.tx_ids[-1], *s.tx_ids[1:])),
        "an id left out": lambda s: replace(s, tx_ids=((), *s.tx_ids[1:])),
        "a foreign header": lambda s: replace(s, headers=(league.blocks[-1].header, *s.headers[1:])),
        "garbage": lambda s: replace(s, headers=(b"\x90", *s.headers[1:])),
        "another start": lambda s: replace(s, first=s.first + 1),
        "lists of different length": lambda s: replace(s, tx_ids=s.tx_ids[1:]),
        "nothing": lambda s: replace(s, headers=(), tx_ids=()),
        "an id of a wrong length": lambda s: replace(s, tx_ids=((other[:31],), *s.tx_ids[1:])),
    }


@pytest.mark.parametrize("name", (
    "ids of another block", "an id left out", "a foreign header", "garbage", "another start",
    "lists of different length", "nothing", "an id of a wrong length",
))  # fmt: skip
def test_scenario_74_false_headers_and_ids_are_named(league: League, name: str) -> None:
    net = Net(league)
    spoil = spoiled_skeletons(league)[name]
    for peer in (1, 2, 3):
        if peer != 3:
            net.peers[peer].spoil = lambda message: spoil(message) if isinstance(message, Skeleton) else message
    net.start()
    net.run()
    net.complete()
    assert net.penalties and {reason for _, reason in net.penalties} == {"snapshot_skeleton"}
    assert {peer for peer, _ in net.penalties} <= {1, 2}


def test_headers_that_come_cut_and_in_any_order_are_bound_from_above(league: League) -> None:
    net = Net(league)

    def cut(message: PeerMessage) -> PeerMessage:
        if isinstance(message, Skeleton):
            low = max(0, len(message.headers) - 30)
            return Skeleton(message.first + low, message.headers[low:], message.tx_ids[low:])
        return message

    for peer in net.peers.values():
        peer.spoil = cut
    net.start()
    net.run()
    net.complete()
    assert net.penalties == []


def test_taking_goes_on_after_a_restart_with_what_was_kept(league: League) -> None:
    first = Net(league, validity=120)
    first.start()
    first.run(rounds=14)
    assert not first.installed and first.chunks
    kept = Collected(
        manifest=first.begun[0],
        chunks=tuple(first.chunks),
        skeleton_from=min(first.skeleton, default=AT + 1),
        skeleton_parent=first.parent or league.refs[AT].block_id,
    )
    second = Net(league, validity=120)
    second.chunks, second.skeleton, second.parent = dict(first.chunks), dict(first.skeleton), first.parent
    second.perform(second.taking.resume(kept, 0, 0))
    second.run()
    second.complete()
    asked = sum(number for (_, kind), number in second.sent.items() if kind == "ChunkRequest")
    assert asked == 16 - len(first.chunks), "nothing is fetched twice"


def test_a_snapshot_that_is_gone_everywhere_is_dropped_and_asked_for_anew(league: League) -> None:
    net = Net(league)
    net.start()
    net.run(rounds=6)
    assert net.begun
    for index in net.peers:
        net.peers[index] = Peer(league, 310)
    net.run(rounds=600)
    assert net.dropped == 1 and not net.taking.active
    net.start()
    net.queue = [entry for entry in net.queue if isinstance(entry[1], SnapshotRequest)]
    net.run()
    assert net.installed == 310


def test_a_peer_that_leaves_gives_its_requests_to_others(league: League) -> None:
    net = Net(league)
    net.start()
    net.run(rounds=4)
    net.connected.pop(2)
    net.taking.lost(2)
    net.queue = [entry for entry in net.queue if entry[0] != 2]
    net.run()
    net.complete()


def test_headers_that_come_late_charge_nobody(league: League, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that was too slow is asked for others, and then answers the question it had first."""
    monkeypatch.setattr(rules, "SKELETON_BLOCKS", 20)
    net = Net(league)
    kept: list[tuple[int, Skeleton]] = []
    take = Taking.skeleton

    def slow(taking: Taking, peer: int, message: Skeleton, now: int) -> list[NodeEffect]:
        if len(kept) < 3:
            kept.append((peer, message))
            taking.lost(peer)
            return taking.plan(now)
        effects = take(taking, peer, message, now)
        late = [message for other, message in kept if other == peer]
        return effects + [effect for message in late for effect in take(taking, peer, message, now)]

    monkeypatch.setattr(Taking, "skeleton", slow)
    net.start()
    net.run()
    net.complete()
    assert len(kept) == 3 and net.penalties == []


def test_a_peer_that_joins_late_is_asked_too(league: League) -> None:
    net = Net(league)
    net.connected.clear()
    net.start()
    assert net.queue == []
    net.connected[3] = None
    net.perform(net.taking.joined(3, net.now))
    net.run()
    net.complete()


def test_verdicts_for_another_question_change_nothing(league: League) -> None:
    net = Net(league)
    assert net.taking.votes_verified(99, 0, 0) == []
    assert net.league.valid((SignatureItem("commit", b"", 0, 0, bytes(64)),)) == 0


def test_p107_a_quick_answer_ends_the_patience_of_long_silence(league: League) -> None:
    """After a minute without answers all are heard again, but three requests are lost: they are not waited for long."""
    net = Net(league)
    net.start()
    net.run(rounds=4)
    while net.now < 60 * SECOND:  # silence: each attempt is given more time
        net.queue.clear()
        net.now += SECOND // 2
        net.perform(net.taking.tick(net.now))
    while len(net.queue) < 4:
        net.now += SECOND // 2
        net.perform(net.taking.tick(net.now))
    del net.queue[1:4]
    began = net.now
    net.run()
    net.complete()
    assert net.now - began <= 4 * SECOND


# -- peers that keep what they offer to themselves, and verdicts that come late ------------------------------------------


def test_p107_a_chunk_below_zero_is_no_chunk_and_names_its_sender(league: League) -> None:
    """-1 is how requests for headers are told apart; the rows of the last chunk would have passed for one of them."""
    net = Net(league)
    honest = net.peers[2].answer

    def answer(request: PeerMessage) -> PeerMessage | None:
        if isinstance(request, SkeletonRequest):
            found = honest(ChunkRequest(AT, DEPTH, 16**DEPTH - 1))
            assert isinstance(found, Chunk)
            return replace(found, index=-1)
        return honest(request)

    net.peers[2].answer = answer  # type: ignore[method-assign]
    net.start()
    net.run()
    net.complete()
    assert set(net.penalties) == {(2, "snapshot_chunk")} and min(net.chunks) == 0


def test_p107_a_state_that_one_peer_alone_offers_makes_room_for_what_others_agree_on(league: League) -> None:
    net = Net(league)
    net.peers[1] = Peer(league, 310)
    net.peers[1].spoil = lambda message: message if isinstance(message, SnapshotOffer) else None
    for peer in (2, 3):
        net.connected.pop(peer)
    net.start()
    net.run(rounds=20)
    assert [manifest.height for manifest in net.begun] == [310], "nobody else is there yet"
    for peer in (2, 3):
        net.connected[peer] = None
        net.perform(net.taking.joined(peer, net.now))
    net.run()
    net.complete()
    assert [manifest.height for manifest in net.begun] == [310, AT] and net.dropped == 0
    assert net.now <= rules.LEFT_OUT_NS + 4 * net.taking.patience_ns and net.taking.faults.keys() <= {1}


def test_p107_a_state_that_one_peer_alone_offers_and_keeps_to_itself_is_given_up(league: League) -> None:
    net = Net(league)
    net.peers[1] = Peer(league, 310)
    net.peers[1].spoil = lambda message: message if isinstance(message, SnapshotOffer) else None
    for peer in (2, 3):
        net.connected.pop(peer)
    net.start()
    net.run()
    assert net.dropped == 1 and net.now <= 2 * rules.VAIN_PERIODS * net.taking.patience_ns
    assert net.taking.faults[1].reason == rules.VAIN
    net.peers[2] = Peer(league, 250)
    net.connected[2] = None
    net.now += rules.LEFT_OUT_NS
    net.start()
    net.run()
    assert net.installed == 250, "who was not waited for in vain goes before a higher state"


def test_p107_a_state_that_few_offer_is_not_begun_when_f_plus_one_have_none(league: League) -> None:
    """They hold the blocks, and what one alone offers may be a trap; where the blocks are gone, there is only that."""
    for gone in (False, True):
        net = Net(league)
        for peer in (2, 3):
            net.peers[peer].spoil = lambda message: SnapshotOffer(()) if isinstance(message, SnapshotOffer) else message
        net.perform(net.taking.start(0, net.now, gone=gone))
        net.run()
        assert bool(net.begun) is gone and net.penalties == []


def deep(league: League, at: int = 310) -> Peer:
    """A liar: the true state of a height that nobody else offers, cut into the smallest pieces."""
    made = Peer(league, at)
    whole = replace(made.manifest(), depth=rules.DEPTH_MAX)
    made.answer = lambda message: SnapshotOffer((whole,)) if isinstance(message, SnapshotRequest) else None  # type: ignore[method-assign]
    return made


def piece(peer: Peer, request: ChunkRequest) -> Chunk:
    prefix = prefix_of(request.index, request.depth)
    path = list(prefix)
    rows = []
    for row in peer.rows:
        place = key_hash(row[0])
        if [place[i >> 1] & 15 if i & 1 else place[i >> 1] >> 4 for i in range(len(path))] == path:
            rows.append(row)
    return Chunk(peer.at, request.index, tuple(rows), prove_range(peer.league.states[peer.at].tree_node, prefix))


def trickle(net: Net, liar: Peer, hours: int) -> None:
    """Peer 1 sends one piece every 120 s, less than the time after which silence counts; others do not answer."""
    last, until = net.now, net.now + hours * 3_600 * SECOND
    waiting: list[ChunkRequest] = []
    while net.now < until and not net.dropped:
        waiting += [request for peer, request in net.queue if peer == 1 and isinstance(request, ChunkRequest)]
        net.queue.clear()
        if waiting and net.now - last >= 120 * SECOND:
            last = net.now
            net.perform(net.taking.received(1, piece(liar, waiting[-1]), net.now))
            waiting.clear()
        net.now += 2 * SECOND
        net.perform(net.taking.tick(net.now))


@pytest.mark.parametrize("restart", [False, True])
def test_p107_a_state_that_one_liar_alone_offers_has_the_time_that_its_pieces_take(
    league: League, restart: bool
) -> None:
    """Review, f = 1: one chunk of 65,536 every 120 s kept a node out for 90 days, and a restart went on with it."""
    net = Net(league)
    net.peers[1] = liar = deep(league)
    for peer in (2, 3):
        net.connected.pop(peer)
    net.start()
    net.run(rounds=20)
    assert [manifest.depth for manifest in net.begun] == [rules.DEPTH_MAX]
    if restart:
        net = Net(league)
        for peer in (2, 3):
            net.connected.pop(peer)
        kept = Collected(
            manifest=replace(liar.manifest(), depth=rules.DEPTH_MAX), chunks=(), skeleton_from=liar.at + 1,
            skeleton_parent=league.refs[liar.at].block_id,
        )  # fmt: skip
        net.perform(net.taking.resume(kept, 0, net.now))
        offer = SnapshotOffer((kept.manifest,))
        net.perform([*net.taking.tick(net.now), *net.taking.offered(1, offer, 0, net.now)])
    trickle(net, liar, hours=24)
    assert net.dropped == 1 and net.taking.faults[1].reason == rules.VAIN
    pieces = 16**rules.DEPTH_MAX + 2
    assert net.now <= (rules.VAIN_PERIODS + pieces // rules.REQUESTS_MAX + 2) * net.taking.patience_ns + 4 * SECOND


@pytest.mark.parametrize("peers", [(2, 3), (2, 70_000)])
def test_p107_f_plus_one_members_lift_that_bound_and_guests_do_not(league: League, peers: tuple[int, int]) -> None:
    net = Net(league)
    net.peers[1] = liar = deep(league)
    for peer in (2, 3):
        net.connected.pop(peer)
    net.start()
    net.run(rounds=20)
    for peer in peers:
        net.connected[peer] = None
        net.perform(net.taking.offered(peer, SnapshotOffer((net.begun[0],)), 0, net.now))
    net.taking._offerers.pop(1)
    trickle(net, liar, hours=4)
    assert net.dropped == (0 if 3 in peers else 1)


def test_p107_what_f_plus_one_offer_goes_before_a_higher_state_of_one(league: League) -> None:
    net = Net(league)
    net.peers[1] = Peer(league, 310)
    net.peers[1].spoil = lambda message: message if isinstance(message, SnapshotOffer) else None
    net.start()
    net.run()
    net.complete()
    assert [manifest.height for manifest in net.begun] == [AT] and net.penalties == []


def test_p107_a_state_whose_last_holder_left_makes_room_for_another(league: League) -> None:
    net = Net(league)
    net.peers[1] = Peer(league, 310)
    for peer in (2, 3):
        net.peers[peer].answer = lambda message: None  # type: ignore[method-assign]
    net.start()
    net.run(rounds=20)
    assert [manifest.height for manifest in net.begun] == [310]
    for peer in (2, 3):
        net.peers[peer] = Peer(league)
    net.connected.pop(1)
    net.taking.lost(1)
    net.queue = [item for item in net.queue if item[0] != 1]
    net.run()
    net.complete()
    assert [manifest.height for manifest in net.begun] == [310, AT]


def test_p107_another_cut_of_the_same_state_charges_no_honest_peer(league: League) -> None:
    """How deep the chunks lie is in no certificate: who cut them otherwise does not hold the chunk that is asked for."""
    net = Net(league)
    liar = net.peers[1]
    liar.answer = lambda message: (  # type: ignore[method-assign]
        SnapshotOffer((replace(liar.manifest(), depth=2),)) if isinstance(message, SnapshotRequest) else None
    )
    for peer in (2, 3):
        net.connected.pop(peer)
    net.start()
    net.run(rounds=20)
    assert [manifest.depth for manifest in net.begun] == [2]
    for peer in (2, 3):
        net.connected[peer] = None
        net.perform(net.taking.joined(peer, net.now))
    net.run()
    assert net.penalties == []
    net.complete()
    assert [manifest.depth for manifest in net.begun] == [2, DEPTH]


def test_p107_a_late_offer_of_the_state_that_is_taken_is_one_more_source(league: League) -> None:
    net = Net(league)
    held: list[PeerMessage] = []
    for peer in (2, 3):
        net.peers[peer].spoil = lambda message: (held.append(message), None)[1] if isinstance(message, SnapshotOffer) else message  # type: ignore[func-returns-value]  # fmt: skip
    net.start()
    while not net.begun:
        net.run(rounds=1)
    for peer, late in zip((2, 3), held, strict=True):
        assert isinstance(late, SnapshotOffer)
        net.perform(net.taking.offered(peer, late, 0, net.now))
    net.connected.pop(1)
    net.taking.lost(1)
    net.queue = [item for item in net.queue if item[0] != 1]
    net.run()
    net.complete()


def test_p85_a_verdict_counts_for_the_state_that_was_verified_and_for_no_other(league: League) -> None:
    """Asked anew while a verdict is on its way, as after a later epoch became known: it is about nothing any more."""
    net = Net(league)
    taking = net.taking
    taking.start(0, 0)
    taking.offered(2, SnapshotOffer(()), 0, 0)
    honest = net.peers[1].manifest()
    found = [*taking.offered(1, SnapshotOffer((honest,)), 0, 0), *taking.tick(10 * SECOND)]
    (asked,) = [effect for effect in found if isinstance(effect, VerifyVotes)]
    taking.start(0, 10 * SECOND)
    forged_root = exec_root(honest.previous_exec_root, b"\xee" * 32, honest.receipts_root)
    header = encode(replace(header_codec.decode(honest.proof_header), exec_root=forged_root))
    vote = replace(honest.proof_certificate.vote, block_id=block_id(header))
    lie = replace(
        honest,
        state_root=b"\xee" * 32,
        proof_header=header,
        proof_certificate=replace(honest.proof_certificate, vote=vote),
    )
    taking.offered(1, SnapshotOffer((lie,)), 0, 10 * SECOND)
    assert taking.votes_verified(asked.token, league.valid(asked.items), 10 * SECOND) == []
    assert taking.manifest is None and taking.asking
    found = taking.tick(20 * SECOND)
    (asked,) = [effect for effect in found if isinstance(effect, VerifyVotes)]
    found = taking.votes_verified(asked.token, league.valid(asked.items), 20 * SECOND)
    assert [effect.reason for effect in found if isinstance(effect, Penalty)] == ["snapshot_certificate"]
    assert not any(isinstance(effect, BeginSnapshot) for effect in found)


def test_p107_headers_of_a_state_that_was_given_up_charge_nobody_when_they_come(league: League) -> None:
    net = Net(league)
    net.peers[1] = Peer(league, 310)
    for peer in (2, 3):
        net.connected.pop(peer)
    wished: list[PeerMessage] = []
    honest = net.peers[1].answer

    def slow(request: PeerMessage) -> PeerMessage | None:
        if isinstance(request, SnapshotRequest):
            return honest(request)
        wished.append(request)
        return None

    net.peers[1].answer = slow  # type: ignore[method-assign]
    net.start()
    net.run()
    assert net.dropped == 1
    net.peers[1] = Peer(league)
    net.now += rules.LEFT_OUT_NS
    net.start()
    while net.taking.manifest is None:
        net.run(rounds=1)
    assert any(task.asked == 1 for task in net.taking._tasks)
    late = next(request for request in wished if isinstance(request, SkeletonRequest) and request.last == 310)
    answer = honest(late)
    assert isinstance(answer, Skeleton)
    net.perform(net.taking.skeleton(1, answer, net.now))
    assert net.penalties == []
