"""The chain store: certified blocks, what executing them did, and the state (U6). Door: `ChainStore.open`.

One LMDB environment, values sealed in three namespaces
    blocks   headers   height -> header, certificate        payloads  height -> transaction ids and envelopes
    state    rows      state key -> value                    nodes     tree path -> node
    indexes  results   height -> roots                       receipts  height, chunk -> 64 receipts
             ids       transaction id, place (no value)      expiry    expiry height, id, height (no value)
             events    company, place (no value)             block_ids block id, height (no value)
    and one record `meta` with the heights up to which all of it is durable.

Rules
    * `add_block` and `apply` change memory only; `flush` makes durable what came since the last one (E25): one
      transaction, or several if much changed, each of which leaves a whole store. What is not flushed can be made
      again: the journal holds the bodies of the blocks, the blocks hold the results.
    * Blocks, receipts and indexes become durable with the next flush. State rows and tree nodes follow behind the
      height that the tip certifies (`node.store.views`), so `at` can show every height that a header may certify; a
      start executes these few blocks again (`node.store.replay`).
    * All calls come from one thread, with one exception: `write` of a batch that was prepared may run in another.
    * A failed write is fatal for the process; nothing that was acknowledged is lost by ending it.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from pathlib import Path
from typing import Final, Protocol

import lmdb

from ledger.block import BlockRef, block_id, header_codec
from ledger.certificate import CommitCertificate
from ledger.codec import encode
from ledger.errors import InvariantViolated, Malformed
from ledger.ids import HASH_BYTES
from ledger.receipt import Receipt, receipt_codec
from ledger.state import MemoryState
from node.core.effects import StoreBlock
from node.core.messages import CertifiedBlock, Skeleton
from node.store.disk import (
    HORIZON_KEY,
    META_KEY,
    ChainDisk,
    FlushBatch,
    block_puts,
    failure,
    founding_batch,
    result_puts,
    state_batch,
)
from node.store.environment import DATA_FILE
from node.store.errors import SealBroken, StoreCorrupt, StoreError, StoreMissing
from node.store.places import make_directory, sync_directory
from node.store.rows import (
    EVERYBODY,
    FORMAT,
    PARTY_BYTES,
    RECEIPTS_PER_CHUNK,
    EventRow,
    Horizon,
    Meta,
    Results,
    StoredBlock,
    StoredHeader,
    chunk_codec,
    chunk_key,
    header_row_codec,
    height_key,
    horizon_codec,
    meta_codec,
    parties_of,
    payload_codec,
    place_key,
    result_codec,
    split_place,
    valid_until,
)
from node.store.views import RETAINED_CHANGES, RETAINED_HEIGHTS, Caches, ChainView, Layer, Pending, Snapshot

MAP_BYTES: Final = 64 * 1024**3
"""Address space kept for the environment, not disk space; `storage.ledger_max_gib` changes it."""
HEADERS_CACHED: Final = 256
CHUNKS_CACHED: Final = 16
WRITE_CHANGES: Final = 1_500
"""State changes of one durable transaction, unless a single height has more: LMDB copies about one page of 4 KiB for
each, and keeps the memory of its largest transaction for the next ones."""
CHANGES_A_TX: Final = 3
"""Pages that a transaction's place in a block costs beside the state: its id, its expiry, its share of the bodies."""
MESSAGE_OVERHEAD_BYTES: Final = 64
"""Bytes around one block in a `Blocks` message."""


class BlockResult(Protocol):
    """What `ledger.transition.BlockExecution.finish` returns, as far as it is stored."""

    @property
    def height(self) -> int: ...
    @property
    def writes(self) -> Sequence[tuple[bytes, bytes | None]]: ...
    @property
    def nodes(self) -> Mapping[bytes, bytes | None]: ...
    @property
    def receipts(self) -> Sequence[Receipt]: ...
    @property
    def receipts_root(self) -> bytes: ...
    @property
    def state_root(self) -> bytes: ...
    @property
    def exec_root(self) -> bytes: ...


@dataclass(slots=True)
class _Executed:
    """Results of a height that are not durable yet."""

    results: Results
    receipts: tuple[Receipt, ...]


class ChainStore:
    """An open chain store. `tip`, `executed` and `view` speak of memory, `durable_height` of the disk."""

    def __init__(self, disk: ChainDisk, chain_id: bytes) -> None:
        """Use `create` or `open`."""
        self.path = disk.path
        self._disk = disk
        self._blocks: dict[int, StoredBlock] = {}
        self._block_heights: dict[bytes, int] = {}
        self._places: dict[bytes, tuple[int, int]] = {}
        self._layers: deque[Layer] = deque()
        self._fresh: dict[int, _Executed] = {}
        self._headers: dict[int, StoredHeader] = {}
        self._chunks: dict[bytes, tuple[Receipt, ...]] = {}
        self._pending = Pending()
        self._target = 0
        """Where the state stands when the flush that is under way is done."""
        self._snapshot = disk.snapshot(Caches())
        self.snapshot_every = 0
        """Heights between two snapshots of the state (`storage.snapshot_every`); 0: none are made."""
        plain = self._read("meta", HORIZON_KEY)
        self._horizon = Horizon(0, 0) if plain is None else horizon_codec.decode(plain)
        self._meta, self._tip, self._base_results = self._load(chain_id)
        base = self._base_results
        self._view = ChainView(base.height, base.state_root, base.exec_root, self._pending, self._snapshot)

    # -- construction ------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: Path,
        keys: Mapping[str, Mapping[int, bytes]],
        chain_id: bytes,
        state: MemoryState,
        header_bytes: bytes,
        *,
        map_bytes: int = MAP_BYTES,
    ) -> ChainStore:
        """Make the store of a new node: block 0 and the state it opens with (`ledger.genesis`).

        It is made under another name and renamed when it is whole, so a process that is killed here leaves nothing
        that the next start would take for a damaged store.
        """
        if (path / DATA_FILE).exists():
            raise StoreError(f"{path} already holds a chain store")
        unfinished = path.with_name(f"{path.name}.unfinished")
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            make_directory(unfinished)
            disk = ChainDisk(unfinished, keys, map_bytes)
            try:
                disk.write(founding_batch(disk, chain_id, state, header_bytes))
            finally:
                disk.close()
            sync_directory(unfinished)
            unfinished.rename(path)
            sync_directory(path.parent)
        except (lmdb.Error, OSError) as error:
            raise failure(path, error) from error
        return cls.open(path, keys, chain_id, map_bytes=map_bytes)

    @classmethod
    def open(
        cls, path: Path, keys: Mapping[str, Mapping[int, bytes]], chain_id: bytes, *, map_bytes: int = MAP_BYTES
    ) -> ChainStore:
        """Open the store of chain `chain_id`.

        Raises `StoreMissing`, `StoreCorrupt`, `StoreFailed`, or `StoreError` when it belongs to another network.
        """
        if not (path / DATA_FILE).exists():
            raise StoreMissing(str(path), "create it from the genesis file with `hansa init`")
        disk: ChainDisk | None = None
        try:
            disk = ChainDisk(path, keys, map_bytes)
            return cls(disk, chain_id)
        except (SealBroken, Malformed) as error:
            fault: Exception = StoreCorrupt(str(path), str(error))
        except (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.VersionMismatchError) as error:
            fault = StoreCorrupt(str(path), str(error))
        except (lmdb.Error, OSError) as error:
            fault = failure(path, error)
        except StoreError as error:
            fault = error
        if disk is not None:
            disk.close()
        raise fault

    @staticmethod
    def exists(path: Path) -> bool:
        return (path / DATA_FILE).exists()

    # -- what arrives ------------------------------------------------------------------------------------------

    def add_block(self, effect: StoreBlock) -> None:
        """Keep a certified block; heights arrive in order, a height that is held already is left as it is."""
        height = effect.ref.height
        if height <= self.tip.height:
            held = self.header(height)
            if held is None or held.ref.block_id != effect.ref.block_id:
                raise InvariantViolated(f"two certified blocks at height {height}")
            return
        if height != self.tip.height + 1:
            raise InvariantViolated(f"block {height} stored after {self.tip.height}")
        block = StoredBlock(
            ref=effect.ref,
            header=effect.header,
            header_bytes=effect.header_bytes,
            envelopes=effect.envelopes,
            tx_ids=effect.tx_ids,
            certificate=effect.certificate,
        )
        self._blocks[height] = block
        self._block_heights[effect.ref.block_id] = height
        for position, tx_id in enumerate(effect.tx_ids):
            self._places[tx_id] = (height, position)
        self._tip = StoredHeader(
            ref=block.ref, header=block.header, header_bytes=block.header_bytes, certificate=block.certificate
        )
        self._remember_header(self._tip)

    def apply(self, result: BlockResult) -> ChainView:
        """Take the result of executing the next height and return the view after it."""
        height = result.height
        if height != self.executed_height + 1:
            raise InvariantViolated(f"result of height {height} after {self.executed_height}")
        if height > self.tip.height:
            raise InvariantViolated(f"result of height {height}, whose block is not stored")
        results = Results(
            height=height,
            state_root=result.state_root,
            receipts_root=result.receipts_root,
            exec_root=result.exec_root,
        )
        if height <= self._meta.executed and self.results(height) != results:
            raise InvariantViolated(f"executing height {height} again gave another result: state divergence")
        layer = Layer(
            height=height,
            state_root=result.state_root,
            exec_root=result.exec_root,
            writes=tuple(result.writes),
            nodes=dict(result.nodes),
        )
        self._layers.append(layer)
        self._pending.add(layer)
        if height > self._meta.executed:
            self._fresh[height] = _Executed(results, tuple(result.receipts))
        self._view = ChainView(height, result.state_root, result.exec_root, self._pending, self._snapshot)
        return self._view

    # -- state -------------------------------------------------------------------------------------------------

    def view(self) -> ChainView:
        """Return the state after the highest executed height."""
        return self._view

    def at(self, height: int) -> ChainView | None:
        """Return the state after `height`, or None when it is not executed or no longer held.

        Every height from the one that the tip certifies is held.
        """
        if height == self._view.height:
            return self._view
        if height == self._meta.base:
            base = self._base_results
            return ChainView(height, base.state_root, base.exec_root, Pending(), self._snapshot)
        if not self._meta.base < height <= self.executed_height:
            return None
        layer = self._layers[height - self._meta.base - 1]
        return ChainView(height, layer.state_root, layer.exec_root, self._pending, self._snapshot)

    @property
    def executed_height(self) -> int:
        return self._view.height

    @property
    def base_height(self) -> int:
        """Height of the flushed state rows: the oldest height that `at` shows."""
        return self._meta.base

    def executed(self, count: int) -> tuple[tuple[int, bytes], ...]:
        """Return (height, exec_root) of the last `count` executed heights, ascending; never empty."""
        last = self.executed_height
        found: list[tuple[int, bytes]] = []
        for height in range(max(self._horizon.results_from, last - count + 1), last + 1):
            results = self.results(height)
            if results is None:
                raise StoreCorrupt(str(self.path), f"the result of height {height} is missing")
            found.append((height, results.exec_root))
        return tuple(found)

    def results(self, height: int) -> Results | None:
        """Return the roots of an executed height, or None."""
        fresh = self._fresh.get(height)
        if fresh is not None:
            return fresh.results
        plain = self._read("results", height_key(height))
        if plain is None:
            return None
        row = result_codec.decode(plain)
        return Results(
            height=height, state_root=row.state_root, receipts_root=row.receipts_root, exec_root=row.exec_root
        )

    # -- blocks ------------------------------------------------------------------------------------------------

    @property
    def tip(self) -> BlockRef:
        return self._tip.ref

    @property
    def tip_certificate(self) -> CommitCertificate:
        return self._tip.certificate

    @property
    def durable_height(self) -> int:
        """Height up to which blocks are durable; state can be made again from there."""
        return self._meta.tip

    @property
    def oldest_height(self) -> int:
        """Lowest height whose block, receipts and events are held: 0, unless they were pruned or came as a snapshot."""
        return self._horizon.oldest

    def header(self, height: int) -> StoredHeader | None:
        cached = self._headers.get(height)
        if cached is not None:
            return cached
        plain = self._read("headers", height_key(height)) if height >= 0 else None
        if plain is None:
            return None
        row = header_row_codec.decode(plain)
        header = header_codec.decode(row.header)
        stored = StoredHeader(
            ref=BlockRef(height, block_id(row.header), header.time_ms, header.exec_height, row.work_height),
            header=header,
            header_bytes=row.header,
            certificate=row.certificate,
        )
        self._remember_header(stored)
        return stored

    def block(self, height: int) -> StoredBlock | None:
        pending = self._blocks.get(height)
        if pending is not None:
            return pending
        head = self.header(height)
        plain = self._read("payloads", height_key(height)) if head is not None else None
        if head is None or plain is None:
            return None
        row = payload_codec.decode(plain)
        return StoredBlock(
            ref=head.ref,
            header=head.header,
            header_bytes=head.header_bytes,
            envelopes=row.envelopes,
            tx_ids=row.tx_ids,
            certificate=head.certificate,
        )

    def height_of(self, wanted: bytes) -> int | None:
        """Return the height of the block with this id, or None."""
        pending = self._block_heights.get(wanted)
        if pending is not None or len(wanted) != HASH_BYTES:
            return pending
        for key in self._keys_from("block_ids", wanted):
            return int.from_bytes(key[HASH_BYTES:], "big")
        return None

    def blocks(self, first: int, last: int, max_bytes: int) -> tuple[CertifiedBlock, ...]:
        """Return certified blocks first..last, as many as fit in `max_bytes`, at least one if it is held (P107)."""
        found: list[CertifiedBlock] = []
        size = 0
        for height in range(max(1, first), min(last, self.tip.height) + 1):
            block = self.block(height)
            if block is None:
                break
            size += len(block.header_bytes) + MESSAGE_OVERHEAD_BYTES
            size += sum(len(envelope) + 5 for envelope in block.envelopes)
            size += sum(len(signature) + 2 for signature in block.certificate.signatures)
            if found and size > max_bytes:
                break
            found.append(CertifiedBlock(block.header_bytes, block.envelopes, block.certificate))
        return tuple(found)

    def skeleton(self, first: int, last: int, max_bytes: int) -> Skeleton | None:
        """Return headers and ids of the blocks up to `last`, down to `first` or as far as `max_bytes` of blocks go.

        None if block `last` is not held. To read the ids is to read the block, so its whole size counts.
        """
        headers: list[bytes] = []
        ids: list[tuple[bytes, ...]] = []
        size = 0
        for height in range(last, first - 1, -1) if last <= self.tip.height else ():
            block = self.block(height)
            if block is None:
                break
            size += len(block.header_bytes) + 34 * len(block.tx_ids) + MESSAGE_OVERHEAD_BYTES
            size += sum(len(envelope) for envelope in block.envelopes)
            if headers and size > max_bytes:
                break
            headers.append(block.header_bytes)
            ids.append(block.tx_ids)
        if not headers:
            return None
        return Skeleton(last - len(headers) + 1, tuple(reversed(headers)), tuple(reversed(ids)))

    def certifying_height(self, height: int) -> int | None:
        """Return the lowest block height whose header certifies the results of `height`, or None (U14: final)."""
        for candidate in range(height + 1, self.tip.height + 1):
            head = self.header(candidate)
            if head is None:
                return None
            if head.header.exec_height >= height:
                return candidate
        return None

    @property
    def certified_height(self) -> int:
        """Highest executed height whose results the tip certifies."""
        return min(self._tip.header.exec_height, self.executed_height)

    # -- transactions ------------------------------------------------------------------------------------------

    def find_transaction(self, tx_id: bytes) -> tuple[int, int] | None:
        """Return (height, position) of a transaction in the chain, or None."""
        pending = self._places.get(tx_id)
        if pending is not None:
            return pending
        if len(tx_id) != HASH_BYTES:
            return None
        for key in self._keys_from("ids", tx_id):
            return int.from_bytes(key[HASH_BYTES:-4], "big"), int.from_bytes(key[-4:], "big")
        return None

    def receipt(self, height: int, position: int) -> Receipt | None:
        """Return one receipt, or None while its block is not executed here."""
        fresh = self._fresh.get(height)
        if fresh is not None:
            return fresh.receipts[position] if 0 <= position < len(fresh.receipts) else None
        if position < 0:
            return None
        chunk = self._chunk(height, position // RECEIPTS_PER_CHUNK)
        place = position % RECEIPTS_PER_CHUNK
        return chunk[place] if place < len(chunk) else None

    def receipts(self, height: int) -> tuple[Receipt, ...] | None:
        """Return all receipts of a height in order, or None while it is not executed here."""
        fresh = self._fresh.get(height)
        if fresh is not None:
            return fresh.receipts
        if self.results(height) is None:
            return None
        found: list[Receipt] = []
        chunk = 0
        while part := self._chunk(height, chunk):
            found += part
            if len(part) < RECEIPTS_PER_CHUNK:
                break
            chunk += 1
        return tuple(found)

    def scheduled_height(self) -> int:
        """Return the last height in which schedule entries ran and whose result no header certifies, or 0 (L56)."""
        for height in range(self.executed_height, self.certified_height, -1):
            stored = self.header(height)
            if stored is not None and self.receipt(height, stored.header.tx_count) is not None:
                return height
        return 0

    def recent_ids(self) -> tuple[tuple[bytes, int, int], ...]:
        """Return (tx id, height, valid until) of transactions in the chain that could still be offered again."""
        tip = self.tip.height
        found: list[tuple[bytes, int, int]] = []
        for key in self._keys_from("expiry", b"", start=height_key(tip)):
            found.append((key[8:-8], int.from_bytes(key[-8:], "big"), int.from_bytes(key[:8], "big")))
        for height in sorted(self._blocks):
            if height > self._meta.tip:
                block = self._blocks[height]
                for tx_id, envelope in zip(block.tx_ids, block.envelopes, strict=False):  # evidence stands last
                    found.append((tx_id, height, valid_until(envelope)))
        return tuple(item for item in found if item[2] >= tip)

    # -- events ------------------------------------------------------------------------------------------------

    def events(
        self,
        after: tuple[int, int, int] | None,
        limit: int,
        *,
        company: str | None = None,
        up_to: int | None = None,
    ) -> list[EventRow]:
        """Return contract events after the place `after` (height, position, index) in order, at most `limit`.

        `company`: only events that name this company in a field, and those that concern every member (S22).
        `up_to`: last height to look at.
        """
        last = self.executed_height if up_to is None else min(up_to, self.executed_height)
        places = self._all_places(after, last) if company is None else self._party_places(company, after, last)
        found: list[EventRow] = []
        for height, position, index in places:
            if len(found) == limit:
                break
            receipt = self.receipt(height, position)
            if receipt is None or index >= len(receipt.events):
                raise StoreCorrupt(str(self.path), f"the event {height}.{position}.{index} of the index is missing")
            found.append(
                EventRow(
                    height=height,
                    position=position,
                    index=index,
                    tx_id=receipt.tx_id,
                    event=receipt.events[index],
                )
            )
        return found

    # -- becoming durable --------------------------------------------------------------------------------------

    @property
    def unflushed(self) -> int:
        """Blocks and results that the next flush would make durable."""
        return max(self.tip.height - self._meta.tip, self.executed_height - self._meta.executed)

    def flush(self) -> int:
        """Make durable what came since the last flush and return the height up to which blocks are (E25)."""
        while (batch := self.prepare()) is not None:
            self.write(batch)
            self.finish(batch)
        return self._meta.tip

    @property
    def snapshot_due(self) -> bool:
        """The flushed state stands exactly at a height of the grid, where every node makes the same snapshot."""
        base = self._meta.base
        return bool(self.snapshot_every) and base > 0 and base % self.snapshot_every == 0

    def frozen(self) -> Snapshot:
        """Return the flushed state for a long look at it: it stays as it is until the object is dropped."""
        return self._disk.snapshot(Caches())

    def prepare(self) -> FlushBatch | None:
        """Seal the next part of what came since the last flush; None when there is nothing. At most one batch may be
        under way. The first part holds the blocks and results, and all of them state as far as `WRITE_CHANGES` goes."""
        if self.unflushed:
            self._target = self._flush_target()
        elif self._meta.base >= self._target:
            return None
        base, changes = self._meta.base, CHANGES_A_TX * len(self._places)
        for layer in self._layers:
            changes += layer.changes
            fits = changes <= WRITE_CHANGES or not (self.unflushed or base > self._meta.base)
            if layer.height > self._target or not fits:
                break
            base = layer.height
        executed = max(self.executed_height, self._meta.executed)
        puts = block_puts(self._disk, (self._blocks[height] for height in sorted(self._blocks)))
        fresh = (self._fresh[height] for height in sorted(self._fresh))
        puts += result_puts(self._disk, ((item.results, item.receipts) for item in fresh))
        meta = Meta(FORMAT, self._meta.chain_id, self.tip.height, base, executed)
        return state_batch(self._disk, meta, puts, (layer for layer in self._layers if layer.height <= base))

    def _flush_target(self) -> int:
        """Return the height at which the flushed state should stand."""
        base = max(self._meta.base, self.executed_height - RETAINED_HEIGHTS)
        kept = sum(layer.changes for layer in self._layers if layer.height > base)
        for layer in self._layers:
            if kept <= RETAINED_CHANGES or base >= self.certified_height:
                break
            if layer.height == base + 1:
                base = layer.height
                kept -= layer.changes
        if self.snapshot_every:  # stop at the next height of the grid: the state must be seen exactly there
            base = min(base, (self._meta.base // self.snapshot_every + 1) * self.snapshot_every)
        return base

    def write(self, batch: FlushBatch) -> None:
        """Write a prepared batch durably. The only call that may run in another thread.

        Raises `StoreFailed`, after which the store refuses further writes and the process must end.
        """
        self._disk.write(batch)

    def finish(self, batch: FlushBatch) -> int:
        """Move the views on after a successful `write`; return the height up to which blocks are durable."""
        meta = batch.meta
        if meta is None:
            raise InvariantViolated("a flush without a head record")
        if meta.base != self._meta.base:
            base = self.results(meta.base)
            if base is None:
                raise InvariantViolated(f"the result of height {meta.base} is missing")
            self._base_results = base
        self._meta = meta
        flushed = False
        while self._layers and self._layers[0].height <= meta.base:
            self._layers.popleft()
            flushed = True
        caches = self._snapshot.take_caches()
        caches.update(batch.rows, batch.nodes)
        if flushed:
            self._pending = self._pending.trimmed(meta.base)
        for height in [height for height in self._fresh if height <= meta.executed]:
            del self._fresh[height]
        for height in [height for height in self._blocks if height <= meta.tip]:
            block = self._blocks.pop(height)
            del self._block_heights[block.ref.block_id]
            for tx_id in block.tx_ids:
                del self._places[tx_id]
        self._renew(caches)
        return meta.tip

    def _renew(self, caches: Caches) -> None:
        """Look at the disk as it is now; the old look ends with its views, and its pages can be used again."""
        self._snapshot = self._disk.snapshot(caches)
        view = self._view
        self._view = ChainView(view.height, view.state_root, view.exec_root, self._pending, self._snapshot)

    # -- forgetting --------------------------------------------------------------------------------------------

    def forget(self, below: int) -> None:
        """Delete blocks, receipts and indexes of the heights from the oldest held up to `below`, in one transaction.

        Only what is flushed, certified by a later block, and below the state that a start executes from; the root of
        the height just below stays, because proofs about `below` begin with it.
        """
        first = max(1, self._horizon.oldest)
        if not first < below <= self._meta.base:
            raise InvariantViolated(
                f"forgetting below {below}: held from {first}, the state stands at {self._meta.base}"
            )
        gone: dict[str, list[bytes]] = {name: [] for name in ("headers", "payloads", "results", "receipts")}
        names: dict[str, list[bytes]] = {name: [] for name in ("block_ids", "ids", "events")}
        for height in range(first, below):
            key = height_key(height)
            block = self.block(height)
            if block is None:
                raise StoreCorrupt(str(self.path), f"block {height} is missing")
            gone["headers"].append(key)
            gone["payloads"].append(key)
            names["block_ids"].append(block.ref.block_id + key)
            for position, tx_id in enumerate(block.tx_ids):
                names["ids"].append(tx_id + key + position.to_bytes(4, "big"))
            receipts = self.receipts(height) or ()
            gone["receipts"] += [chunk_key(height, n) for n in range(-(-len(receipts) // RECEIPTS_PER_CHUNK))]
            for position, receipt in enumerate(receipts):
                for index, event in enumerate(receipt.events):
                    place = place_key(height, position, index)
                    names["events"] += [party.encode("ascii") + place for party in parties_of(event)]
        gone["results"] = [height_key(height) for height in range(max(0, self._horizon.results_from), below - 1)]
        horizon = Horizon(below, max(self._horizon.results_from, below - 1))
        deletes = [(name, tuple(keys)) for name, keys in (*gone.items(), *names.items())]
        self._disk.remove(deletes, [self._disk.seal("meta", [(HORIZON_KEY, encode(horizon))])])
        self._horizon = horizon
        self._headers = {height: head for height, head in self._headers.items() if height >= below}
        self._chunks.clear()
        self._renew(self._snapshot.take_caches())

    def live_bytes(self) -> int:
        """Return how much of the file holds rows; the rest shrinks away with `compacted`."""
        return self._disk.live_bytes()

    def compacted(self, path: Path) -> None:
        """Write a compacted copy of the flushed store into the empty folder `path`. Raises `StoreFailed`."""
        try:
            self._disk.copy(path)
        except (lmdb.Error, OSError) as error:
            raise failure(path, error) from error

    def row_count(self) -> int:
        """Return the number of flushed state rows, index entries included."""
        return self._snapshot.row_count()

    def size_bytes(self) -> int:
        """Return the size of the file."""
        return self._disk.size_bytes()

    def write_buffer_bytes(self) -> int:
        """Return the memory of the pages that LMDB keeps from its largest write; 0 where the system does not tell."""
        return self._disk.largest_write_bytes

    def close(self) -> None:
        """Close without flushing; views must not be used any more. Harmless when repeated."""
        self._snapshot.transaction.abort()
        self._disk.close()

    # -- private: opening --------------------------------------------------------------------------------------

    def _load(self, chain_id: bytes) -> tuple[Meta, StoredHeader, Results]:
        """Return the head record, the highest block and the result of the flushed height."""
        plain = self._read("meta", META_KEY)
        if plain is None:
            raise StoreCorrupt(str(self.path), "its head record is missing")
        meta = meta_codec.decode(plain)
        if meta.format != FORMAT:
            raise StoreError(f"{self.path} has format {meta.format}, this version reads format {FORMAT}")
        if meta.chain_id != chain_id:
            raise StoreError(
                f"{self.path} belongs to the network {meta.chain_id.hex()[:16]}, the genesis file to "
                f"{chain_id.hex()[:16]}; use the genesis file of that network, or another node.data_dir"
            )
        tip, base = self.header(meta.tip), self.results(meta.base)
        if tip is None or base is None or not meta.base <= meta.executed <= meta.tip:
            raise StoreCorrupt(str(self.path), f"block {meta.tip} or the result of {meta.base} is missing")
        return meta, tip, base

    # -- private: reading --------------------------------------------------------------------------------------

    def _read(self, name: str, key: bytes) -> bytes | None:
        return self._disk.read(self._snapshot, name, key)

    def _keys_from(self, name: str, prefix: bytes, start: bytes | None = None) -> Iterator[bytes]:
        return self._disk.keys_from(self._snapshot, name, prefix, start)

    def _chunk(self, height: int, chunk: int) -> tuple[Receipt, ...]:
        key = chunk_key(height, chunk)
        cached = self._chunks.get(key)
        if cached is not None:
            return cached
        plain = self._read("receipts", key)
        if plain is None:
            return ()
        receipts = tuple(receipt_codec.decode(item) for item in chunk_codec.decode(plain))
        if len(self._chunks) >= CHUNKS_CACHED:
            del self._chunks[next(iter(self._chunks))]
        self._chunks[key] = receipts
        return receipts

    def _remember_header(self, stored: StoredHeader) -> None:
        if len(self._headers) >= HEADERS_CACHED:
            del self._headers[next(iter(self._headers))]
        self._headers[stored.ref.height] = stored

    def _all_places(self, after: tuple[int, int, int] | None, last: int) -> Iterator[tuple[int, int, int]]:
        first = max(1, self._horizon.oldest, 0 if after is None else after[0])
        for height in range(first, last + 1):
            for position, receipt in enumerate(self.receipts(height) or ()):
                for index in range(len(receipt.events)):
                    if after is None or (height, position, index) > after:
                        yield height, position, index

    def _party_places(
        self, company: str, after: tuple[int, int, int] | None, last: int
    ) -> Iterator[tuple[int, int, int]]:
        prefixes = [company.encode("utf-8", "replace"), EVERYBODY.encode()]
        if len(prefixes[0]) != PARTY_BYTES:
            return
        for place in merge(*(self._stored_places(prefix, after) for prefix in prefixes)):
            if place[0] > last:
                return
            yield place
        for height in sorted(self._fresh):
            if height > last:
                return
            for position, receipt in enumerate(self._fresh[height].receipts):
                for index, event in enumerate(receipt.events):
                    place = (height, position, index)
                    named = parties_of(event)
                    if (company in named or EVERYBODY in named) and (after is None or place > after):
                        yield place

    def _stored_places(self, prefix: bytes, after: tuple[int, int, int] | None) -> Iterator[tuple[int, int, int]]:
        """Yield the places in the index of events under a prefix that come after a place, ascending."""
        start = prefix if after is None else prefix + place_key(after[0], after[1], after[2])
        for key in self._keys_from("events", prefix, start):
            place = split_place(key)
            if after is None or place > after:
                yield place
