"""Snapshots on disk: made at heights that are the same on every node, served in chunks, collected and installed.

    snapshots/<height>/   LMDB, values sealed: rows  k -> [raw key, value] of every row of the state tree, so that a
                          subtree is one range of keys; nodes  path -> the tree nodes above the chunks; meta  manifest
    chain.joining/        the chain store of a node that joins, filled chunk by chunk (node.store.swap)

A snapshot is a function of the state, chunk depth included, so chunks of one height can be taken from any peer. It is
made in slices over a frozen view beside the running node, under another name, and renamed when it is whole; the newest
two are kept, so that nobody who is taking one is cut off at once.

Door: `Snapshots`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import lmdb

from ledger.block import block_id, exec_root, header_codec
from ledger.codec import Codec, Wire, encode
from ledger.errors import InvariantViolated, Malformed
from ledger.merkle import join, key_hash, prefix_of, prove_range, subtree
from ledger.state import StateView
from node.core.events import Collected
from node.core.messages import Chunk, SnapshotManifest, SnapshotOffer
from node.core.snapshots import DEPTH_MAX
from node.store import swap
from node.store.disk import HORIZON_KEY, META_KEY, ChainDisk, Puts, failure
from node.store.environment import DATA_FILE, open_environment
from node.store.errors import SealBroken, StoreError
from node.store.ledger import ChainStore
from node.store.places import free_bytes, make_directory, sync_directory
from node.store.rows import FORMAT, HeaderRow, Horizon, Meta, ResultRow, height_key
from node.store.sealed import Sealer
from node.store.views import Caches, ChainView, Pending, Snapshot, node_key

CHUNK_BYTES: Final = 1024 * 1024
"""Rows of one chunk: the shallowest depth is taken at which no chunk is larger, below the frame cap of 4 MiB."""
KEPT: Final = 2
"""Newest snapshots that are kept; so is what a node that takes one needs of the chain (node.store.pruning)."""
SPARE_FACTOR: Final = 2
"""Free space below which no snapshot is made, in units of the chain store: a full disk would stop the node."""
SLICE_ROWS: Final = 200
"""Rows copied between two turns of the driver: a few milliseconds."""
ROW_OVERHEAD_BYTES: Final = 16
PUT_ROWS: Final = 10_000
"""Index entries written in one transaction when a snapshot is installed."""

_UNFINISHED: Final = ".unfinished"
_MANIFEST_KEY: Final = b"manifest"
_SKELETON_KEY: Final = b"skeleton"
_CHUNK_PREFIX: Final = b"chunk"
_MANIFEST_LIMIT_BYTES: Final = 128 * 1024
_ROW_LIMIT_BYTES: Final = 1024 * 1024


def heights_on_disk(chain: Path) -> tuple[int, ...]:
    """Return the heights of the snapshots beside a chain store, ascending, those that are being made included."""
    folder = _folder_of(chain)
    names = [path.name.removesuffix(_UNFINISHED) for path in folder.iterdir()] if folder.exists() else []
    return tuple(sorted({int(name) for name in names if name.isdigit()}))


class _Row(Wire, frozen=True):
    key: bytes
    value: bytes


class _Skeleton(Wire, frozen=True):
    """Ids are here from `first` upwards; `parent` is the id of the block below."""

    first: int
    parent: bytes


manifest_codec: Final[Codec[SnapshotManifest]] = Codec(SnapshotManifest, "snapshot manifest", _MANIFEST_LIMIT_BYTES)
_row_codec: Final[Codec[_Row]] = Codec(_Row, "snapshot row", _ROW_LIMIT_BYTES)
_skeleton_codec: Final[Codec[_Skeleton]] = Codec(_Skeleton, "skeleton mark", 128)


class _Shelf:
    """One snapshot environment, open."""

    def __init__(self, path: Path, keys: Mapping[int, bytes], map_bytes: int) -> None:
        self.path = path
        self._environment: Any = open_environment(path, map_bytes=map_bytes, databases=3, readers=16)
        names = ("rows", "nodes", "meta")
        self._databases = {name: self._environment.open_db(name.encode("ascii")) for name in names}
        self._seals = {name: Sealer("state", f"snapshot/{name}", keys) for name in names}

    def put(self, name: str, rows: list[tuple[bytes, bytes]]) -> None:
        try:
            with self._environment.begin(write=True) as transaction:
                for key, value in self._seals[name].seal_many(rows):
                    transaction.put(key, value, db=self._databases[name])
        except (lmdb.Error, OSError, MemoryError) as error:
            raise failure(self.path, error) from error

    def get(self, name: str, key: bytes) -> bytes | None:
        with self._environment.begin() as transaction:
            sealed = transaction.get(key, db=self._databases[name])
        return None if sealed is None else self._seals[name].open(key, sealed)

    def manifest(self) -> SnapshotManifest:
        plain = self.get("meta", _MANIFEST_KEY)
        if plain is None:
            raise SealBroken(str(self.path), "its manifest is missing")
        return manifest_codec.decode(plain)

    def rows(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (raw key, value) below a nibble prefix, sorted by place."""
        low = _bytes_of(prefix)
        with self._environment.begin() as transaction, transaction.cursor(db=self._databases["rows"]) as cursor:
            if not cursor.set_range(low or b"\0"):
                return
            for place, sealed in cursor.iternext():
                if not _below(place, prefix):
                    return
                row = _row_codec.decode(self._seals["rows"].open(place, sealed))
                yield row.key, row.value

    def close(self) -> None:
        self._environment.close()


@dataclass(slots=True)
class _Making:
    """A snapshot under way. `sizes` are bytes by subtree at the greatest depth."""

    height: int
    shelf: _Shelf
    frozen: Snapshot
    left: Iterator[tuple[bytes, bytes]]
    sizes: list[int] = field(default_factory=lambda: [0] * (1 << 4 * DEPTH_MAX))
    rows: int = 0


class Snapshots:
    """The snapshots of a node, and the one it is collecting, if any. All calls on the loop's thread."""

    def __init__(
        self,
        store: ChainStore,
        keys: Mapping[str, Mapping[int, bytes]],
        chain_id: bytes,
        index_entries: Callable[[StateView], Iterable[tuple[bytes, bytes]]],
        map_bytes: int,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Open what is on disk; what was being made when the process ended is deleted, what was collected is kept.

        `index_entries` returns the index entries of all rows of a whole state: they are derived, outside the state
        root, and follow from the contracts that run in it (H6).
        `report` is told, in words, why a snapshot was not made.
        """
        self._store = store
        self._keys = keys
        self._chain_id = chain_id
        self._index_entries = index_entries
        self._map_bytes = map_bytes
        self._folder = _folder_of(store.path)
        self._shelves: dict[int, _Shelf] = {}
        self._manifests: dict[int, SnapshotManifest] = {}
        self._making: _Making | None = None
        self._joining: ChainDisk | None = None
        self._report = report
        self._given_up = 0
        """Height whose snapshot could not be made: it is not tried again for every flush."""
        self._open_shelves()
        self.collected = self._open_joining()

    # -- making ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the snapshot of the flushed height, unless one of it is there or under way."""
        height = self._store.base_height
        if self._making is not None or height in self._shelves or height == self._given_up:
            return
        if free_bytes(self._store.path) < SPARE_FACTOR * self._store.size_bytes():
            self._give_up(height, "there is too little free space on the disk")
            return
        path = self._folder / f"{height}{_UNFINISHED}"
        shutil.rmtree(path, ignore_errors=True)
        make_directory(path)
        frozen = self._store.frozen()
        shelf = _Shelf(path, self._keys["state"], self._map_bytes)
        self._making = _Making(height, shelf, frozen, frozen.rows())

    def step(self) -> bool:
        """Copy a few rows; tell whether there is more to do."""
        making = self._making
        if making is None:
            return False
        batch: list[tuple[bytes, bytes]] = []
        for key, value in making.left:
            place = key_hash(key)
            batch.append((place, encode(_Row(key, value))))
            making.sizes[place[0] << 8 | place[1]] += len(key) + len(value) + ROW_OVERHEAD_BYTES
            if len(batch) == SLICE_ROWS:
                break
        if batch:
            making.rows += len(batch)
            making.shelf.put("rows", batch)
            return True
        self._finish(making)
        return False

    def _finish(self, making: _Making) -> None:
        """Write the manifest, give the snapshot its name, forget the oldest."""
        self._making = None
        manifest = self._manifest(making)
        if manifest is None:
            making.shelf.close()
            shutil.rmtree(making.shelf.path, ignore_errors=True)
            return
        nodes: list[tuple[bytes, bytes]] = []
        for path in _paths(manifest.depth):
            node = making.frozen.tree_node(path)
            if node is not None:
                nodes.append((node_key(path), node))
        making.shelf.put("nodes", nodes)
        making.shelf.put("meta", [(_MANIFEST_KEY, encode(manifest))])
        making.shelf.close()
        finished = self._folder / str(making.height)
        try:
            making.shelf.path.rename(finished)
            sync_directory(self._folder)
        except OSError as error:
            raise failure(self._folder, error) from error
        self._shelves[making.height] = _Shelf(finished, self._keys["state"], self._map_bytes)
        self._manifests[making.height] = manifest
        for height in sorted(self._shelves)[:-KEPT]:
            self._shelves.pop(height).close()
            del self._manifests[height]
            shutil.rmtree(self._folder / str(height))

    def _give_up(self, height: int, reason: str) -> None:
        self._given_up = height
        self._report(f"no snapshot of height {height}: {reason}; joining nodes take it from others")

    def _manifest(self, making: _Making) -> SnapshotManifest | None:
        store, height = self._store, making.height
        head, own, before = store.header(height), store.results(height), store.results(height - 1)
        by = store.certifying_height(height)
        proof = None if by is None else store.header(by)
        depth = _depth(making.sizes)
        if head is None or own is None or before is None or proof is None or depth is None:
            uncertified = "its state is not certified yet"
            self._give_up(height, f"more than {CHUNK_BYTES} bytes lie in one subtree" if depth is None else uncertified)
            return None
        links: list[tuple[bytes, bytes]] = []
        for later in range(height + 1, proof.header.exec_height + 1):
            result = store.results(later)
            if result is None:
                raise InvariantViolated(f"the result of height {later} is missing")
            links.append((result.state_root, result.receipts_root))
        return SnapshotManifest(
            height,
            head.header_bytes,
            head.certificate,
            before.exec_root,
            own.state_root,
            own.receipts_root,
            tuple(links),
            proof.header_bytes,
            proof.certificate,
            depth,
            making.rows,
            sum(making.sizes),
        )

    # -- serving -----------------------------------------------------------------------------------------------

    @property
    def heights(self) -> tuple[int, ...]:
        """Heights of the snapshots that are held, ascending."""
        return tuple(sorted(self._shelves))

    def offer(self, above: int) -> SnapshotOffer:
        """Return the newest snapshot above a height, or none."""
        best = max((height for height in self._manifests if height > above), default=0)
        return SnapshotOffer((self._manifests[best],) if best else ())

    def chunk(self, height: int, depth: int, index: int) -> Chunk | None:
        """Return one chunk of a snapshot that is held and cut at that depth, or None."""
        shelf, manifest = self._shelves.get(height), self._manifests.get(height)
        if shelf is None or manifest is None or manifest.depth != depth or not 0 <= index < 1 << 4 * depth:
            return None
        prefix = prefix_of(index, manifest.depth)
        proof = prove_range(lambda path: shelf.get("nodes", node_key(path)), prefix)
        return Chunk(height, index, tuple(shelf.rows(prefix)), proof)

    # -- collecting --------------------------------------------------------------------------------------------

    def begin_joining(self, manifest: SnapshotManifest) -> None:
        """Make room for a snapshot of other nodes; its manifest was verified."""
        self.drop_joining()
        disk = self._joining_disk()
        disk.put([disk.seal("meta", [(_MANIFEST_KEY, encode(manifest))])])
        sync_directory(disk.path)
        sync_directory(disk.path.parent)
        self._joining = disk
        self.collected = Collected(
            manifest=manifest, chunks=(), skeleton_from=manifest.height + 1, skeleton_parent=block_id(manifest.header)
        )

    def keep_chunk(self, index: int, rows: tuple[tuple[bytes, bytes], ...]) -> None:
        """Keep the verified rows of a chunk and their tree nodes, in one durable transaction."""
        disk, collected = self._collecting()
        stub, nodes = subtree(prefix_of(index, collected.manifest.depth), rows)
        disk.put(
            [
                disk.seal("rows", sorted(rows)),
                disk.seal("nodes", sorted((node_key(path), node) for path, node in nodes.items())),
                disk.seal("meta", [(_CHUNK_PREFIX + index.to_bytes(4, "big"), stub)]),
            ]
        )

    def keep_skeleton(
        self, first: int, parent: bytes, blocks: tuple[tuple[bytes, tuple[bytes, ...]], ...], validity_heights: int
    ) -> None:
        """Keep the ids of verified blocks. Their envelopes are not here, so each counts as valid for as long as any."""
        disk, _ = self._collecting()
        names: list[tuple[bytes, bytes]] = []
        places: list[tuple[bytes, bytes]] = []
        expiries: list[tuple[bytes, bytes]] = []
        for height, (identity, ids) in enumerate(blocks, first):
            key = height_key(height)
            names.append((identity + key, b""))
            for position, tx_id in enumerate(ids):
                places.append((tx_id + key + position.to_bytes(4, "big"), b""))
                expiries.append((height_key(height + validity_heights) + tx_id + key, b""))
        disk.put(
            [
                ("block_ids", tuple(sorted(names))),
                ("ids", tuple(sorted(places))),
                ("expiry", tuple(sorted(expiries))),
                disk.seal("meta", [(_SKELETON_KEY, encode(_Skeleton(first, parent)))]),
            ]
        )

    def drop_joining(self) -> None:
        """Forget what was collected."""
        if self._joining is not None:
            self._joining.close()
            self._joining = None
        self.collected = None
        shutil.rmtree(swap.joining(self._store.path), ignore_errors=True)

    def install(self) -> None:
        """Complete the collected store and make it the next one; `swap.settle` puts it in place once all is closed.

        The roots are computed again from what is on disk: a difference is our own fault, never a half-installed state.
        """
        disk, collected = self._collecting()
        manifest = collected.manifest
        frozen = disk.snapshot(Caches())
        stubs: dict[bytes, bytes] = {}
        for index in range(1 << 4 * manifest.depth):
            stub = disk.read(frozen, "meta", _CHUNK_PREFIX + index.to_bytes(4, "big"))
            if stub is None:
                raise InvariantViolated(f"chunk {index} of the snapshot {manifest.height} is missing")
            stubs[prefix_of(index, manifest.depth)] = stub
        root, nodes = join(manifest.depth, stubs)
        if root != manifest.state_root:
            raise InvariantViolated(f"the collected state of height {manifest.height} has another root")
        header = header_codec.decode(manifest.header)
        work = header.height if header.tx_count else header.exec_height
        key = height_key(manifest.height)
        executed = exec_root(manifest.previous_exec_root, manifest.state_root, manifest.receipts_root)
        view = ChainView(manifest.height, manifest.state_root, executed, Pending(), frozen)
        for some in _batches(self._index_entries(view)):
            disk.put([disk.seal("rows", sorted(some))])
        frozen.transaction.abort()
        result = ResultRow(manifest.state_root, manifest.receipts_root, executed)
        meta = Meta(FORMAT, self._chain_id, manifest.height, manifest.height, manifest.height)
        puts: list[Puts] = [
            disk.seal("nodes", sorted((node_key(path), node) for path, node in nodes.items())),
            disk.seal("headers", [(key, encode(HeaderRow(manifest.header, manifest.certificate, work)))]),
            disk.seal("results", [(key, encode(result))]),
            disk.seal(
                "meta",
                [
                    (HORIZON_KEY, encode(Horizon(manifest.height + 1, manifest.height))),
                    (META_KEY, encode(meta)),
                ],
            ),
        ]
        disk.put(puts)
        disk.close()
        self._joining = None
        self.collected = None
        swap.offer(swap.joining(self._store.path), self._store.path)

    def close(self) -> None:
        """Close all environments; harmless when repeated."""
        if self._making is not None:
            self._making.shelf.close()
            self._making = None
        for shelf in self._shelves.values():
            shelf.close()
        self._shelves.clear()
        if self._joining is not None:
            self._joining.close()
            self._joining = None

    # -- private -----------------------------------------------------------------------------------------------

    def _open_shelves(self) -> None:
        if not self._folder.exists():
            return
        for path in sorted(self._folder.iterdir()):
            if not path.name.isdigit() or int(path.name) > self._store.tip.height:
                shutil.rmtree(path, ignore_errors=True)
                continue
            try:
                shelf = _Shelf(path, self._keys["state"], self._map_bytes)
                manifest = shelf.manifest()
            except (lmdb.Error, SealBroken, Malformed):
                shutil.rmtree(path, ignore_errors=True)  # it can be made again; others hold the same one
                continue
            self._shelves[manifest.height], self._manifests[manifest.height] = shelf, manifest

    def _open_joining(self) -> Collected | None:
        path = swap.joining(self._store.path)
        if not (path / DATA_FILE).exists():
            return None
        try:
            disk = self._joining_disk()
            frozen = disk.snapshot(Caches())
            plain = disk.read(frozen, "meta", _MANIFEST_KEY)
            mark = disk.read(frozen, "meta", _SKELETON_KEY)
            manifest = None if plain is None else manifest_codec.decode(plain)
            chunks = [int.from_bytes(key[-4:], "big") for key in disk.keys_from(frozen, "meta", _CHUNK_PREFIX)]
            frozen.transaction.abort()
        except (lmdb.Error, StoreError, Malformed):
            shutil.rmtree(path, ignore_errors=True)
            return None
        if manifest is None or manifest.height <= self._store.tip.height:
            disk.close()
            shutil.rmtree(path, ignore_errors=True)
            return None
        self._joining = disk
        skeleton = (
            _Skeleton(manifest.height + 1, block_id(manifest.header)) if mark is None else _skeleton_codec.decode(mark)
        )
        return Collected(
            manifest=manifest, chunks=tuple(chunks), skeleton_from=skeleton.first, skeleton_parent=skeleton.parent
        )

    def _joining_disk(self) -> ChainDisk:
        path = swap.joining(self._store.path)
        make_directory(path)
        try:
            return ChainDisk(path, self._keys, self._map_bytes)
        except (lmdb.Error, OSError) as error:
            raise failure(path, error) from error

    def _collecting(self) -> tuple[ChainDisk, Collected]:
        if self._joining is None or self.collected is None:
            raise InvariantViolated("no snapshot is being collected")
        return self._joining, self.collected


def _folder_of(chain: Path) -> Path:
    return chain.with_name("snapshots")


def _batches(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    """Yield rows in lists that one durable transaction takes."""
    waiting = iter(rows)
    while some := list(islice(waiting, PUT_ROWS)):
        yield some


def _depth(sizes: list[int]) -> int | None:
    """Return the shallowest depth at which no chunk is larger than `CHUNK_BYTES`; None if there is none."""
    for depth in range(DEPTH_MAX + 1):
        width = 1 << 4 * (DEPTH_MAX - depth)
        if all(sum(sizes[at : at + width]) <= CHUNK_BYTES for at in range(0, len(sizes), width)):
            return depth
    return None


def _paths(depth: int) -> Iterator[bytes]:
    """Yield the paths of all places above `depth`, the root included: what proofs of chunks go through."""
    for length in range(max(1, depth)):
        for index in range(1 << 4 * length):
            yield prefix_of(index, length)


def _bytes_of(prefix: bytes) -> bytes:
    """Return the smallest place below a nibble prefix."""
    padded = prefix + b"\0" * (len(prefix) % 2)
    return bytes(padded[i] << 4 | padded[i + 1] for i in range(0, len(padded), 2))


def _below(place: bytes, prefix: bytes) -> bool:
    return all((place[i >> 1] & 15 if i & 1 else place[i >> 1] >> 4) == nibble for i, nibble in enumerate(prefix))
