"""The disk side of the chain store: databases, seals, and batches of ready bytes (E25).

`ChainStore` decides what is true; this file knows how it lies in LMDB. A batch is prepared completely (encoded,
sealed, sorted) before its transaction is opened, so that writing it is nothing but puts and one sync.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import lmdb

from ledger.block import EMPTY_LIST_ROOT, block_id, header_codec
from ledger.certificate import genesis_certificate
from ledger.codec import encode
from ledger.errors import InvariantViolated
from ledger.merkle import build
from ledger.receipt import Receipt
from ledger.state import MemoryState
from node.store.environment import DATA_FILE, open_environment, written_bytes
from node.store.errors import StoreFailed, cause_of, next_step, words_of
from node.store.rows import (
    FORMAT,
    RECEIPTS_PER_CHUNK,
    HeaderRow,
    Meta,
    PayloadRow,
    ResultRow,
    Results,
    StoredBlock,
    chunk_key,
    height_key,
    parties_of,
    place_key,
    valid_until,
)
from node.store.sealed import Sealer
from node.store.views import Caches, Layer, Snapshot, node_key

MAP_SETTING: Final = "storage.ledger_max_gib"
READERS_MAX: Final = 256
"""Snapshots that may be held at once: one for each request in flight and each flush."""
META_KEY: Final = b"meta"
HORIZON_KEY: Final = b"horizon"

_DATABASES: Final = (
    "headers", "payloads", "rows", "nodes", "results", "receipts", "ids", "expiry", "events", "block_ids", "meta",
)  # fmt: skip
_SEALED: Final = {
    "headers": "blocks", "payloads": "blocks", "rows": "state", "nodes": "state", "results": "indexes",
    "receipts": "indexes", "meta": "indexes",
}  # fmt: skip
_LAST_KEY: Final = b"\xff" * 512
_EVERYTHING: Final = 2**62

Puts: TypeAlias = tuple[str, tuple[tuple[bytes, bytes], ...]]
"""A database and its ready (key, value) pairs in key order."""
Deletes: TypeAlias = tuple[str, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushBatch:
    """Ready bytes of one durable transaction; `rows` and `nodes` are its state changes in clear, for the caches."""

    meta: Meta | None
    puts: tuple[Puts, ...]
    deletes: tuple[Deletes, ...]
    rows: Mapping[bytes, bytes | None]
    nodes: Mapping[bytes, bytes | None]


class ChainDisk:
    """An open environment. `write` may run in another thread; everything else belongs to one."""

    def __init__(self, path: Path, keys: Mapping[str, Mapping[int, bytes]], map_bytes: int) -> None:
        """Open or create the environment. `keys`: namespace -> epoch -> key. Raises `lmdb.Error` or OSError."""
        self.path = path
        self._environment = open_environment(path, map_bytes=map_bytes, databases=len(_DATABASES), readers=READERS_MAX)
        self._databases = {name: self._environment.open_db(name.encode("ascii")) for name in _DATABASES}
        self._seals = {name: Sealer(namespace, name, keys[namespace]) for name, namespace in _SEALED.items()}
        self._failed = False
        self.largest_write_bytes = 0
        """Pages of the largest transaction: LMDB keeps the memory of so many for the next one."""

    def snapshot(self, caches: Caches) -> Snapshot:
        """Return the flushed state as it is now."""
        return Snapshot(
            self._environment.begin(),
            self._databases["rows"],
            self._databases["nodes"],
            self._seals["rows"],
            self._seals["nodes"],
            caches,
        )

    def read(self, snapshot: Snapshot, name: str, key: bytes) -> bytes | None:
        """Return an opened value of a sealed database, or None. Raises `SealBroken`."""
        sealed = snapshot.transaction.get(key, db=self._databases[name])
        return None if sealed is None else self._seals[name].open(key, sealed)

    def keys_from(self, snapshot: Snapshot, name: str, prefix: bytes, start: bytes | None = None) -> Iterator[bytes]:
        """Yield keys that begin with `prefix`, from `start` on, in order."""
        with snapshot.transaction.cursor(db=self._databases[name]) as cursor:
            if not cursor.set_range(start or prefix):
                return
            for key in cursor.iternext(keys=True, values=False):
                if not key.startswith(prefix):
                    return
                yield key

    def seal(self, name: str, rows: Sequence[tuple[bytes, bytes]]) -> Puts:
        """Return ready puts for a sealed database; `rows` are in key order."""
        return name, tuple(self._seals[name].seal_many(rows))

    def write(self, batch: FlushBatch) -> None:
        """Write a batch durably. Raises `StoreFailed`, after which the process must end."""
        if self._failed:
            raise StoreFailed(str(self.path), "io", "an earlier write failed", "end this process")
        before = written_bytes()
        try:
            with self._environment.begin(write=True) as transaction:
                for name, puts in batch.puts:
                    with transaction.cursor(db=self._databases[name]) as cursor:
                        cursor.putmulti(puts)
                for name, keys in batch.deletes:
                    database = self._databases[name]
                    for key in keys:
                        transaction.delete(key, db=database)
                if batch.meta is not None:
                    self._delete_expired(transaction, batch.meta.tip)
        except (lmdb.Error, OSError, MemoryError) as error:
            self._failed = True
            raise failure(self.path, error) from error
        self.largest_write_bytes = max(self.largest_write_bytes, written_bytes() - before)

    def put(self, puts: Sequence[Puts]) -> None:
        """Write ready rows durably, without a head record. Raises `StoreFailed`, after which the process must end."""
        self.write(FlushBatch(meta=None, puts=tuple(puts), deletes=(), rows={}, nodes={}))

    def remove(self, deletes: Sequence[Deletes], puts: Sequence[Puts]) -> None:
        """Delete rows and write others in one durable transaction. Raises `StoreFailed`; the process must then end."""
        self.write(FlushBatch(meta=None, puts=tuple(puts), deletes=tuple(deletes), rows={}, nodes={}))

    def live_bytes(self) -> int:
        """Return how much of the file holds rows; the rest are pages that are used again but not given back."""
        with self._environment.begin() as transaction:
            pages = 0
            for database in self._databases.values():
                stat = transaction.stat(db=database)
                pages += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return int(pages * self._environment.stat()["psize"])

    def copy(self, path: Path) -> None:
        """Write a compacted copy into the empty folder `path` and make it durable. Raises `lmdb.Error` or OSError."""
        self._environment.copy(str(path), compact=True)
        descriptor = os.open(path / DATA_FILE, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def size_bytes(self) -> int:
        return (self.path / DATA_FILE).stat().st_size

    def close(self) -> None:
        """Close; harmless when repeated."""
        self._environment.close()

    def _delete_expired(self, transaction: Any, below: int) -> None:
        """Forget the ids whose transactions can never enter a block again; at most a few per new block."""
        with transaction.cursor(db=self._databases["expiry"]) as cursor:
            if not cursor.first():
                return
            while int.from_bytes(cursor.key()[:8], "big") < below:
                if not cursor.delete() or not cursor.key():
                    return


def block_puts(disk: ChainDisk, blocks: Iterable[StoredBlock]) -> list[Puts]:
    """Return the rows of new blocks, ascending by height."""
    heads: list[tuple[bytes, bytes]] = []
    payloads: list[tuple[bytes, bytes]] = []
    names: list[tuple[bytes, bytes]] = []
    places: list[tuple[bytes, bytes]] = []
    expiries: list[tuple[bytes, bytes]] = []
    for block in blocks:
        key = height_key(block.ref.height)
        heads.append((key, encode(HeaderRow(block.header_bytes, block.certificate, block.ref.work_height))))
        payloads.append((key, encode(PayloadRow(block.tx_ids, block.envelopes))))
        names.append((block.ref.block_id + key, b""))
        for position, (tx_id, envelope) in enumerate(zip(block.tx_ids, block.envelopes, strict=False)):  # evidence last
            places.append((tx_id + key + position.to_bytes(4, "big"), b""))
            expiries.append((height_key(valid_until(envelope)) + tx_id + key, b""))
    return [
        disk.seal("headers", heads),
        disk.seal("payloads", payloads),
        ("block_ids", tuple(sorted(names))),
        ("ids", tuple(sorted(places))),
        ("expiry", tuple(sorted(expiries))),
    ]


def result_puts(disk: ChainDisk, executed: Iterable[tuple[Results, Sequence[Receipt]]]) -> list[Puts]:
    """Return the rows of new results, ascending by height."""
    roots: list[tuple[bytes, bytes]] = []
    chunks: list[tuple[bytes, bytes]] = []
    events: list[tuple[bytes, bytes]] = []
    for results, receipts in executed:
        height = results.height
        row = ResultRow(results.state_root, results.receipts_root, results.exec_root)
        roots.append((height_key(height), encode(row)))
        encoded = [encode(receipt) for receipt in receipts]
        for start in range(0, len(encoded), RECEIPTS_PER_CHUNK):
            part = tuple(encoded[start : start + RECEIPTS_PER_CHUNK])
            chunks.append((chunk_key(height, start // RECEIPTS_PER_CHUNK), encode(part)))
        for position, receipt in enumerate(receipts):
            for index, event in enumerate(receipt.events):
                place = place_key(height, position, index)
                events += [(party.encode("ascii") + place, b"") for party in parties_of(event)]
    return [disk.seal("results", roots), disk.seal("receipts", chunks), ("events", tuple(sorted(events)))]


def state_batch(disk: ChainDisk, meta: Meta, puts: Sequence[Puts], layers: Iterable[Layer]) -> FlushBatch:
    """Return the batch of `puts`, of the state changes of `layers` (ascending, the last value wins), and of `meta`."""
    rows: dict[bytes, bytes | None] = {}
    nodes: dict[bytes, bytes | None] = {}
    for layer in layers:
        rows.update(layer.writes)
        nodes.update(layer.nodes)
    ready = list(puts)
    deletes: list[Deletes] = []
    stored_nodes = {node_key(path): node for path, node in nodes.items()}
    for name, changes in (("rows", rows), ("nodes", stored_nodes)):
        if changes:
            ready.append(disk.seal(name, sorted((key, value) for key, value in changes.items() if value is not None)))
            deletes.append((name, tuple(sorted(key for key, value in changes.items() if value is None))))
    ready.append(disk.seal("meta", [(META_KEY, encode(meta))]))
    return FlushBatch(meta=meta, puts=tuple(ready), deletes=tuple(deletes), rows=rows, nodes=nodes)


def founding_batch(disk: ChainDisk, chain_id: bytes, state: MemoryState, header_bytes: bytes) -> FlushBatch:
    """Return block 0 and its state, compared with what its header claims."""
    header = header_codec.decode(header_bytes)
    if state.height != 0 or header.height != 0 or header.chain_id != chain_id:
        raise InvariantViolated("block 0 and its state do not belong together")
    rows = {key: _held(state.get(key)) for key in state.scan(b"", _LAST_KEY, _EVERYTHING)}
    root, nodes = build({key: value for key, value in rows.items() if not key.startswith(b"x")})
    if root != state.state_root:
        raise InvariantViolated("the state of block 0 does not have the root it claims")
    zero = height_key(0)
    genesis_id = block_id(header_bytes)
    certificate = genesis_certificate(genesis_id, header.epoch)
    puts = [
        disk.seal("headers", [(zero, encode(HeaderRow(header_bytes, certificate, 0)))]),
        disk.seal("payloads", [(zero, encode(PayloadRow((), ())))]),
        disk.seal("results", [(zero, encode(ResultRow(state.state_root, EMPTY_LIST_ROOT, state.exec_root)))]),
        ("block_ids", ((genesis_id + zero, b""),)),
    ]
    layer = Layer(
        height=0,
        state_root=state.state_root,
        exec_root=state.exec_root,
        writes=tuple(rows.items()),
        nodes=nodes,
    )
    return state_batch(disk, Meta(FORMAT, chain_id, 0, 0, 0), puts, [layer])


def failure(path: Path, error: BaseException) -> StoreFailed:
    """Return what to raise for a failed open or write."""
    cause = cause_of(error, path)
    return StoreFailed(str(path), cause, words_of(error), next_step(cause, MAP_SETTING))


def _held(value: bytes | None) -> bytes:
    if value is None:
        raise InvariantViolated("a state lists a key that it does not hold")
    return value
