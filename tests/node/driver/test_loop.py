"""The driver's order: nothing leaves before what it promises is durable, and a failed write ends the process (P91)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consensus.events import Lsn
from consensus.messages import Prepare, PrePrepare, Proposal, Status
from consensus.records import Accepted, Anchor
from consensus.state import primary_of
from consensus.validate import signing_digest_of
from ledger.block import EMPTY_LIST_ROOT, BlockRef, block_id
from ledger.certificate import Vote, certificate_hash
from ledger.codec import encode
from ledger.crypto.ed25519 import verify_strict
from ledger.governance.follow import EpochEnd
from ledger.merkle import RangeProof
from ledger.params import Params
from ledger.proof import ResultProof
from node.core import effects as ne
from node.core import events as nv
from node.core.machine import NodeContext, NodeCore
from node.core.messages import (
    BlocksRequest,
    CertifiedBlock,
    Chunk,
    ChunkRequest,
    EpochEnds,
    EpochEndsRequest,
    Held,
    PeerMessage,
    Skeleton,
    SkeletonRequest,
    SnapshotOffer,
    SnapshotRequest,
)
from node.core.snapshots import REQUESTS_PER_PEER
from node.core.sync import RANGES_PER_PEER
from node.driver.asked import UNANSWERED_MAX
from node.driver.loop import Driver
from node.store.errors import JournalFailed
from node.store.journal import Journal
from simulator.league import League, found

KEYS = {1: b"k" * 32}
JOURNAL_ID = b"journal-id-00001"
NAMES = ("alfa", "beta", "gama", "dela")


class Wire:
    """The links of the driver under test: with each message, what the journal on disk holds when it leaves."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.left: list[tuple[PeerMessage, tuple[object, ...]]] = []
        self.rejected: list[tuple[int, str]] = []

    def send(self, _to: int, message: PeerMessage) -> None:
        self.broadcast(message)

    def broadcast(self, message: PeerMessage) -> None:
        records = tuple(record for _, record in self._journal.image(JOURNAL_ID).records)
        self.left.append((message, records))

    def flush(self) -> None:
        return

    def penalise(self, peer: int, reason: str) -> None:
        raise AssertionError(f"member {peer} is charged with {reason}")

    def reject(self, peer: int, reason: str) -> None:
        self.rejected.append((peer, reason))


class NoSnapshot:
    """No snapshot is made or taken."""

    def step(self) -> bool:
        return False


class Node:
    """A driver with a real core and a real journal on disk; its store stays at genesis."""

    def __init__(self, league: League, index: int, path: Path, **shell: Any) -> None:
        """`shell` replaces parts around the driver by name."""
        key = league.firms[index].consensus_key

        class Signer:
            def sign(self, kind: str, body: bytes) -> bytes:
                return key.sign(signing_digest_of(kind, league.chain_id, body))

        def verified(item: Any) -> bool:
            digest = signing_digest_of(item.kind, league.chain_id, item.body)
            return verify_strict(league.keys[item.signer], item.signature, digest)

        self.league, self.index = league, index
        self.core = NodeCore(Signer(), NodeContext(read=lambda: league.state))
        self.journal = Journal.create(path, KEYS, JOURNAL_ID)
        self.wire = Wire(self.journal)
        no_snapshot: Any = NoSnapshot()
        unused: Any = None  # no block, snapshot, epoch or report comes into being here
        parts: dict[str, Any] = {"store": unused, "snapshots": no_snapshot, "ends": unused, "links": self.wire}
        self.driver = Driver(
            core=self.core, journal=self.journal, runtime=unused, utc_offset_min=0, verify_vote=verified,
            on_block=unused, on_halt=unused, on_report=unused, on_silence=unused, begin_epoch=unused, **parts | shell,
        )  # fmt: skip

    def start(self, now: int, wall: int) -> nv.NodeStart:
        league = self.league
        return nv.NodeStart(
            now=now, wall=wall, config=league.config(self.index), tip=league.genesis.ref,
            tip_certificate=league.certificate, executed=((0, league.genesis.header.exec_root),), records=(), bodies=(),
            recent=(), voting=True,
        )  # fmt: skip

    def proposal(self, sender: int) -> PrePrepare:
        """A real proposal of the primary for height 1: an empty block."""
        league = self.league
        header = msgspec.structs.replace(
            self.core._header_base(1), height=1, parent_id=league.genesis.ref.block_id, tx_root=EMPTY_LIST_ROOT,
            tx_count=0, size_bytes=0, time_ms=time.time_ns() // 1_000_000, proposer=sender,
            last_cert_hash=certificate_hash(league.certificate),
        )  # fmt: skip
        raw = encode(header)
        vote = Vote(0, 0, 1, block_id(raw))
        signature = league.firms[sender].consensus_key.sign(
            signing_digest_of("pre-prepare", league.chain_id, encode(vote))
        )
        return PrePrepare(sender, vote, signature, Proposal(raw, (), league.certificate))

    async def run(self, then: Callable[[], None], until: Callable[[], bool]) -> None:
        """Run the driver, call `then` after its start, and stop it when `until` holds; raise what the driver raises."""
        task = asyncio.ensure_future(self.driver.run(self.start))
        await asyncio.sleep(0)
        then()
        async with asyncio.timeout(20):
            while not until() and not task.done():
                await asyncio.sleep(0.001)
        self.driver.stop()
        await task


def backup_of(path: Path, **shell: Any) -> Node:
    """Return the node after the primary of height 1."""
    league = found(NAMES, Params(), True)
    probe = Node(league, 0, path / "probe")
    probe.driver._turn([probe.start])
    primary = primary_of(probe.core.replica.state, 1)
    probe.journal.close()
    return Node(league, (primary + 1) % 4, path / "journal", **shell)


@pytest.fixture
def backup(tmp_path: Path) -> Node:
    return backup_of(tmp_path)


async def test_p91_a_vote_leaves_when_its_record_is_on_the_disk(backup: Node) -> None:
    sender = (backup.index - 1) % 4

    def hand_in() -> None:
        backup.driver.received(sender, backup.proposal(sender))

    def voted() -> bool:
        return any(isinstance(message, Prepare) for message, _ in backup.wire.left)

    await backup.run(hand_in, voted)
    first, records = next(one for one in backup.wire.left if isinstance(one[0], Prepare))
    assert isinstance(first, Prepare)
    kept = [record for record in records if isinstance(record, Accepted)]
    assert [record.pre_prepare.vote for record in kept] == [first.vote]
    assert isinstance(records[0], Anchor), "the journal begins before anything is promised"


async def test_p91_nothing_leaves_after_a_failed_write_and_the_process_ends(
    backup: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = (backup.index - 1) % 4

    def fail(_entries: object) -> None:
        raise JournalFailed("journal", cause="disk_full", detail="no space is left", next_step="make room")

    def hand_in() -> None:
        backup.wire.left.clear()
        monkeypatch.setattr(backup.journal, "append", fail)
        backup.driver.received(sender, backup.proposal(sender))

    with pytest.raises(JournalFailed):
        await backup.run(hand_in, lambda: False)
    assert all(isinstance(message, Status) for message, _ in backup.wire.left), "a vote left that no disk holds"
    records = [record for _, record in backup.journal.image(JOURNAL_ID).records]
    assert not any(isinstance(record, Accepted) for record in records)
    assert backup.journal.last_lsn == Lsn(1)


async def test_p141_what_is_on_its_way_to_the_core_takes_places_too(backup: Node) -> None:
    """Two batches that arrive together may not both count on the same free places."""
    driver = backup.driver
    driver._turn([backup.start])
    tasks = [asyncio.ensure_future(driver.submit((b"x", b"y"))) for _ in range(2)]
    await asyncio.sleep(0)
    assert driver.entering == 4
    driver._turn(driver._take())
    assert driver.entering == 0
    results = [await task for task in tasks]
    assert [[one.code for one in result] for result in results] == [["malformed", "malformed"]] * 2


async def test_p140_transactions_of_blocks_that_are_fetched_hold_no_member_back(
    backup: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Review: a node that catches up was deaf to all members while more than 4,096 of them waited."""
    driver = backup.driver
    driver._turn([backup.start])
    waiting: Any = (None,) * 5_000
    for certified, backlog in ((True, 0), (False, 5_000)):
        question = ne.VerifyTransactions(token=1, transactions=waiting, certified=certified)
        monkeypatch.setattr(backup.core, "step", lambda _event, question=question: [question])
        driver._turn([backup.start])
        assert driver.backlog == backlog


class Shelves:
    """Store, snapshots, ends and links of a node that is asked for things: what it does, in order, is in `log`.

    `during` is called while the answer of that number is made: messages arrive in any moment.
    """

    def __init__(self) -> None:
        self.log: list[tuple[str, object]] = []
        self.during: dict[int, Callable[[], None]] = {}
        self.made = 0
        self.refused: list[tuple[int, str]] = []

    @property
    def parts(self) -> dict[str, Any]:
        return {"store": self, "snapshots": self, "ends": self, "links": self}

    def answered(self) -> list[int]:
        """Who was answered, in order."""
        return [to for what, to in self.log if what == "answer" and isinstance(to, int)]

    def _make(self) -> None:
        self.made += 1
        self.during.pop(self.made, lambda: None)()

    # what is read for an answer

    oldest_height = 0
    tip = BlockRef(9_000, bytes(32), 0, 8_999, 9_000)

    def blocks(self, _first: int, _last: int, _max_bytes: int) -> tuple[CertifiedBlock, ...]:
        self._make()
        return ()

    def skeleton(self, first: int, _last: int, _max_bytes: int) -> Skeleton | None:
        self._make()
        return Skeleton(first, (b"h",), ((),)) if first < self.tip.height else None

    def chunk(self, height: int, depth: int, index: int) -> Chunk | None:
        self._make()
        return None if index else Chunk(height, index, (), RangeProof((), ()))

    def offer(self, _above: int) -> SnapshotOffer:
        return SnapshotOffer(())

    def after(self, _epoch: int, _most: int) -> tuple[EpochEnd, ...]:
        self._make()
        return ()

    def nodes(self) -> tuple[ResultProof, ...]:
        return ()

    def step(self) -> bool:
        return False

    # links

    def send(self, to: int, message: PeerMessage) -> None:
        if isinstance(message, Held | Skeleton | Chunk | SnapshotOffer | EpochEnds):
            self.log += [("answer", to), ("message", message)]

    def broadcast(self, message: PeerMessage) -> None:
        if isinstance(message, Prepare):
            self.log.append(("vote", message))

    def flush(self) -> None:
        return

    def penalise(self, peer: int, reason: str) -> None:
        self.refused.append((peer, reason))

    def reject(self, peer: int, reason: str) -> None:
        raise AssertionError(f"a message of member {peer} is not taken: {reason}")


def everything(offset: int = 0) -> list[PeerMessage]:
    """All that a correct node may have unanswered of another one (P107)."""
    blocks = [BlocksRequest(64 * i + 1 + offset, 64 * i + 64 + offset) for i in range(RANGES_PER_PEER)]
    half = REQUESTS_PER_PEER // 2
    chunks: list[PeerMessage] = [ChunkRequest(2_500, 1, i + offset) for i in range(half)]
    headers = [SkeletonRequest(256 * i + 1, 256 * i + 256 + offset) for i in range(REQUESTS_PER_PEER - half)]
    return [*blocks, *chunks, *headers, EpochEndsRequest(offset), SnapshotRequest(offset)]


async def test_p140_whatever_a_correct_node_may_ask_for_is_answered(tmp_path: Path) -> None:
    shelves = Shelves()
    one = backup_of(tmp_path, **shelves.parts)
    asked = everything()
    assert len(asked) == UNANSWERED_MAX

    def hand_in() -> None:
        for message in asked:
            one.driver.received(3, message)

    await one.run(hand_in, lambda: len(shelves.answered()) == len(asked))
    kinds = [type(message) for what, message in shelves.log if what == "message"]
    assert kinds.count(Held) == RANGES_PER_PEER and kinds.count(EpochEnds) == 1
    assert kinds.count(Skeleton) == REQUESTS_PER_PEER // 2
    assert kinds.count(Chunk) == 1 and kinds.count(SnapshotOffer) == 4, "a chunk that is gone is answered by an offer"
    assert shelves.refused == [] and set(shelves.answered()) == {3}


async def test_p140_a_vote_waits_for_one_answer_at_most(tmp_path: Path) -> None:
    """A burst of requests of 15 bytes each must not hold the loop: each costs a read of up to some megabytes."""
    shelves = Shelves()
    one = backup_of(tmp_path, **shelves.parts)
    sender = (one.index - 1) % 4
    shelves.during[3] = lambda: one.driver.received(sender, one.proposal(sender))

    def hand_in() -> None:
        for message in everything():
            one.driver.received((one.index + 1) % 4, message)

    await one.run(hand_in, lambda: len(shelves.answered()) == UNANSWERED_MAX)
    order = [what for what, _ in shelves.log if what != "message"]
    assert order.index("vote") == 3, "the proposal came while the third answer was made: the vote is next"


async def test_p140_nodes_are_answered_in_turn(tmp_path: Path) -> None:
    shelves = Shelves()
    one = backup_of(tmp_path, **shelves.parts)
    first, second = ((one.index + step) % 4 for step in (1, 2))

    def hand_in() -> None:
        for message in everything():
            one.driver.received(first, message)
        one.driver.received(second, BlocksRequest(1, 64))
        one.driver.received(second, BlocksRequest(65, 128))

    await one.run(hand_in, lambda: len(shelves.answered()) == UNANSWERED_MAX + 2)
    assert shelves.answered()[:5] == [first, second, first, second, first]


async def test_p140_what_exceeds_the_bound_is_refused_and_counted(tmp_path: Path) -> None:
    shelves = Shelves()
    one = backup_of(tmp_path, **shelves.parts)
    peer = (one.index + 1) % 4

    def hand_in() -> None:
        for message in (*everything(), *everything(), *everything(100)):
            one.driver.received(peer, message)

    await one.run(hand_in, lambda: len(shelves.answered()) == UNANSWERED_MAX)
    assert len(shelves.answered()) == UNANSWERED_MAX, "what waits already is not queued twice"
    assert shelves.refused == [(peer, "unanswered")] * UNANSWERED_MAX
    assert one.driver.meter.counters["rejected_messages.unanswered"] == UNANSWERED_MAX


async def test_p140_what_was_asked_over_a_link_that_ended_is_dropped(tmp_path: Path) -> None:
    shelves = Shelves()
    one = backup_of(tmp_path, **shelves.parts)
    peer = (one.index + 1) % 4

    def hand_in() -> None:
        one.driver.connected(peer)
        for message in everything():
            one.driver.received(peer, message)
        one.driver.lost(peer)
        one.driver.connected(peer)
        one.driver.received(peer, BlocksRequest(7, 8))

    await one.run(hand_in, lambda: len(shelves.answered()) > 0)
    assert [message for what, message in shelves.log if what == "message"] == [Held(7, 0, 9_000)]
