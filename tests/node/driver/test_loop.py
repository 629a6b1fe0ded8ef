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
from ledger.block import EMPTY_LIST_ROOT, block_id
from ledger.certificate import Vote, certificate_hash
from ledger.codec import encode
from ledger.crypto.ed25519 import verify_strict
from ledger.params import Params
from node.core import events as nv
from node.core.machine import NodeContext, NodeCore
from node.core.messages import PeerMessage
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

    def send(self, _to: int, message: PeerMessage) -> None:
        self.broadcast(message)

    def broadcast(self, message: PeerMessage) -> None:
        records = tuple(record for _, record in self._journal.image(JOURNAL_ID).records)
        self.left.append((message, records))

    def flush(self) -> None:
        return

    def penalise(self, peer: int, reason: str) -> None:
        raise AssertionError(f"member {peer} is charged with {reason}")


class NoSnapshot:
    """No snapshot is made or taken."""

    def step(self) -> bool:
        return False


class Node:
    """A driver with a real core and a real journal on disk; its store stays at genesis."""

    def __init__(self, league: League, index: int, path: Path) -> None:
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
        self.driver = Driver(
            core=self.core, journal=self.journal, store=unused, snapshots=no_snapshot, ends=unused, links=self.wire,
            runtime=unused, utc_offset_min=0, verify_vote=verified, on_block=unused, on_halt=unused, on_report=unused,
            on_silence=unused, begin_epoch=unused,
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


@pytest.fixture
def backup(tmp_path: Path) -> Node:
    league = found(NAMES, Params(), True)
    probe = Node(league, 0, tmp_path / "probe")
    probe.driver._turn([probe.start])
    primary = primary_of(probe.core.replica.state, 1)
    probe.journal.close()
    return Node(league, (primary + 1) % 4, tmp_path / "journal")


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
