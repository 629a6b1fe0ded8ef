"""The simulated disks of a node (M12, SIM10): journal and block store, two environments with separate commits.

A durable commit survives every crash. A commit in progress at a crash is wholly kept or wholly lost, drawn from the
stream; the two environments are drawn apart, so a crash between their commits is a possible state. A failed write
ends the process and is never retried (P91); whether it reached the device is drawn too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from consensus.events import Lsn, Mode
from consensus.records import Anchor, Record
from ledger.block import BlockRef, Header
from ledger.certificate import CommitCertificate
from ledger.codec import Codec, encode
from ledger.state import StateView
from node.core.events import JournalBody
from simulator.rng import Rng

RECORD_LIMIT_BYTES = 64 * 1024 * 1024
_record_codec: Codec[Any] = Codec(Record, "journal record", RECORD_LIMIT_BYTES)


class JournalEntry(msgspec.Struct, frozen=True):
    """One record; `encoded` replaces `record` at fidelity `full`."""

    lsn: int
    record: Record | None
    encoded: bytes


def record_of(entry: JournalEntry) -> Record:
    """Return the record of an entry, decoded where the run keeps bytes."""
    return _record_codec.decode(entry.encoded) if entry.record is None else entry.record


@dataclass(slots=True)
class JournalBatch:
    """The writes of one turn: records with their bodies, then prunes, in one transaction."""

    entries: list[JournalEntry] = field(default_factory=list)
    bodies: list[tuple[int, JournalBody]] = field(default_factory=list)
    """With the lsn of the record that they belong to."""
    prunes: list[tuple[int, int, tuple[bytes, ...]]] = field(default_factory=list)
    size_bytes: int = 0

    def __bool__(self) -> bool:
        return bool(self.entries or self.bodies or self.prunes)


class JournalDisk:
    """The consensus journal of one node."""

    def __init__(self, encoded: bool) -> None:
        self._encoded = encoded
        self._entries: list[JournalEntry] = []
        self._bodies: dict[bytes, tuple[int, JournalBody]] = {}
        self._in_progress: JournalBatch | None = None
        self.durable_lsn = 0
        self.commits = 0
        self.saved: tuple[list[JournalEntry], dict[bytes, tuple[int, JournalBody]], int] | None = None

    def entry(self, lsn: int, record: Record) -> JournalEntry:
        if self._encoded:
            return JournalEntry(lsn, None, encode(record))
        return JournalEntry(lsn, record, b"")

    def begin(self, batch: JournalBatch) -> None:
        self._in_progress = batch

    def finish(self) -> JournalBatch:
        """Make the commit in progress durable and return it."""
        batch = self._in_progress
        if batch is None:
            raise RuntimeError("no journal commit is in progress")
        self._in_progress = None
        self._apply(batch)
        return batch

    @property
    def busy(self) -> bool:
        return self._in_progress is not None

    def crash(self, keep: bool) -> JournalBatch | None:
        """End the process: the commit in progress is kept or lost as a whole. Return it if it was kept."""
        batch, self._in_progress = self._in_progress, None
        if batch is not None and keep:
            self._apply(batch)
            return batch
        return None

    def records(self) -> tuple[tuple[Lsn, Record], ...]:
        """Return what a starting process reads, in order."""
        return tuple((Lsn(entry.lsn), record_of(entry)) for entry in self._entries)

    def bodies(self) -> tuple[JournalBody, ...]:
        found = (body for _, body in self._bodies.values())
        return tuple(sorted(found, key=lambda body: (body.height, body.block_id)))

    def save(self) -> None:
        """Remember the present content: what a lying device really holds, or what a backup took."""
        self.saved = (list(self._entries), dict(self._bodies), self.durable_lsn)

    def roll_back(self) -> bool:
        """Put the saved content back; False if nothing was saved."""
        if self.saved is None:
            return False
        entries, bodies, lsn = self.saved
        self._entries, self._bodies, self.durable_lsn = list(entries), dict(bodies), lsn
        return True

    def damage(self, how: str) -> bool:
        """Spoil what a starting process will read; False if there is too little to spoil.

        `all`: nothing is left. `missing`: a record in the middle does not open. `misplaced`: the device wrote a record
        over another place. `foreign`: the journal of another life of the company. `halted`: it begins in a mode that
        no journal is written in.
        """
        entries = self._entries
        if how == "all":
            self._entries, self._bodies, self.durable_lsn = [], {}, 0
            return True
        if len(entries) < 3:
            return False
        middle = len(entries) // 2
        if how == "missing":
            del entries[middle]
        elif how == "misplaced":
            entries[middle] = entries[middle - 1]
        else:
            first = record_of(entries[0])
            if isinstance(first, Anchor):
                spoilt: dict[str, Any] = {"journal_id": bytes(len(first.journal_id))}
                if how == "halted":
                    spoilt = {"mode": int(Mode.HALTED)}
                entries[0] = self.entry(entries[0].lsn, msgspec.structs.replace(first, **spoilt))
        return True

    def _apply(self, batch: JournalBatch) -> None:
        self.commits += 1
        self._entries.extend(batch.entries)
        for lsn, body in batch.bodies:
            self._bodies[body.block_id] = lsn, body
        for before, bodies_up_to, keep in batch.prunes:
            self._entries = [entry for entry in self._entries if entry.lsn >= before]
            self._bodies = {
                key: (lsn, body)
                for key, (lsn, body) in self._bodies.items()
                if body.height > bodies_up_to and (lsn >= before or key in keep)
            }
        if batch.entries:
            self.durable_lsn = batch.entries[-1].lsn


class StoredBlock(msgspec.Struct, frozen=True):
    """A certified block as the store keeps it."""

    ref: BlockRef
    header: Header
    header_bytes: bytes
    envelopes: tuple[bytes, ...]
    tx_ids: tuple[bytes, ...]
    certificate: CommitCertificate


V = TypeVar("V", bound=StateView)


@dataclass(frozen=True, slots=True)
class StoreImage(Generic[V]):
    """What a durable block store holds: blocks up to `height`, and the state after executing it."""

    height: int
    view: V


class BlockStoreDisk(Generic[V]):
    """Blocks and state of one node, from genesis or from a snapshot on. Memory runs ahead of the disk by one flush."""

    def __init__(self, first: StoredBlock, view: V) -> None:
        self.blocks: dict[int, StoredBlock] = {first.ref.height: first}
        self.roots: dict[int, bytes] = {first.ref.height: view.exec_root}
        self.scheduled = 0
        """The last height in which schedule entries ran (L56)."""
        self.older: tuple[tuple[bytes, int, int], ...] = ()
        """(transaction id, height, last height at which it is valid) of blocks that a snapshot stands for."""
        self.view = view
        self._durable = StoreImage(first.ref.height, view)
        self._in_progress: StoreImage[V] | None = None
        self.saved: StoreImage[V] | None = None

    @property
    def durable_height(self) -> int:
        return self._durable.height

    @property
    def busy(self) -> bool:
        return self._in_progress is not None

    def executed(self, view: V, exec_root: bytes, scheduled: bool = False) -> None:
        """Take over the state after the next height."""
        self.view = view
        if scheduled:
            self.scheduled = view.height
        self.roots[view.height] = exec_root

    def begin(self) -> None:
        self._in_progress = StoreImage(self.view.height, self.view)

    def finish(self) -> int:
        """Make the flush in progress durable; return its height."""
        if self._in_progress is None:
            raise RuntimeError("no flush is in progress")
        self._durable, self._in_progress = self._in_progress, None
        return self._durable.height

    def crash(self, keep: bool) -> None:
        """End the process: memory falls back to the last durable flush."""
        if self._in_progress is not None and keep:
            self._durable = self._in_progress
        self._in_progress = None
        self._fall_back()

    def save(self) -> None:
        self.saved = self._durable

    def roll_back(self) -> bool:
        if self.saved is None:
            return False
        self._durable = self.saved
        self._fall_back()
        return True

    def _fall_back(self) -> None:
        height = self._durable.height
        self.view = self._durable.view
        self.scheduled = min(self.scheduled, height)
        self.blocks = {h: block for h, block in self.blocks.items() if h <= height}
        self.roots = {h: root for h, root in self.roots.items() if h <= height}


def commit_latency(rng: Rng, base_ns: int, size_bytes: int, byte_ns: int, slowness: int) -> int:
    """Draw how long a durable commit takes: the base, up to as much again, and the bytes."""
    return (base_ns + rng.below(base_ns + 1) + size_bytes * byte_ns) * slowness
