"""Snapshots of a simulated node (P107): made every so many blocks, served in chunks, collected from others, installed.

Does with states in memory what `node.store.snapshots` does on disk. What is collected survives a crash, for the daemon
keeps it durably; the snapshots that are served are made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ledger.block import BlockRef, block_id, header_codec
from ledger.block import exec_root as exec_root_of
from ledger.merkle import build, key_hash, prefix_of, prove_range
from ledger.proof import ResultProof, state_claim
from ledger.registry.lookup import node_key
from ledger.registry.lookup import nodes as registered
from ledger.state import MemoryState
from ledger.transition import INDEX_PREFIX, BlockResult
from node.core import effects as ne
from node.core.events import Collected
from node.core.messages import Chunk, Held, Skeleton, SnapshotManifest, SnapshotOffer
from simulator.disk import BlockStoreDisk, StoredBlock

DEPTH: Final = 1
"""Sixteen chunks: small states, and still several at once on their way."""
KEPT: Final = 2
"""Snapshots that are served, so that nobody who takes one is cut off by the next."""
KEYS_END: Final = b"\xff" * 64
"""Above every key of a state."""
ROWS_MAX: Final = 1 << 30
Rows = tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True)
class _Joining:
    """A snapshot that is being collected."""

    manifest: SnapshotManifest
    chunks: dict[int, Rows] = field(default_factory=dict)
    ids: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    parent: bytes = b""


@dataclass(slots=True)
class Shelf:
    """The snapshots of one node. `every`: blocks from one to the next; 0: it makes none."""

    every: int
    _views: dict[int, MemoryState] = field(default_factory=dict)
    _results: dict[int, BlockResult] = field(default_factory=dict)
    _joining: _Joining | None = None

    def executed(self, height: int, result: BlockResult, view: MemoryState) -> None:
        """Remember what a later manifest needs, and the state itself if a snapshot is due."""
        if not self.every:
            return
        self._results[height] = result
        if height % self.every == 0:
            self._views[height] = view
        for old in sorted(self._views)[:-KEPT]:
            del self._views[old]
        low = min(self._views, default=height) - 1
        for old in [one for one in self._results if one < low]:
            del self._results[old]

    # -- serving ---------------------------------------------------------------------------------------------------

    def offer(self, above: int, blocks: Mapping[int, StoredBlock]) -> SnapshotOffer:
        """Return the newest snapshot above a height whose state a later block certifies, or none."""
        for height in sorted(self._views, reverse=True):
            manifest = self._manifest(height, blocks) if height > above else None
            if manifest is not None:
                return SnapshotOffer((manifest,))
        return SnapshotOffer(())

    def _manifest(self, height: int, blocks: Mapping[int, StoredBlock]) -> SnapshotManifest | None:
        own, before = self._results.get(height), self._results.get(height - 1)
        later = [blocks[at] for at in sorted(blocks) if at > height and blocks[at].header.exec_height >= height]
        if own is None or before is None or height not in blocks or not later:
            return None
        between = [self._results[at] for at in range(height + 1, later[0].header.exec_height + 1)]
        rows = self._rows(height)
        return SnapshotManifest(
            height,
            blocks[height].header_bytes,
            blocks[height].certificate,
            before.exec_root,
            own.state_root,
            own.receipts_root,
            tuple((one.state_root, one.receipts_root) for one in between),
            later[0].header_bytes,
            later[0].certificate,
            DEPTH,
            len(rows),
            sum(len(key) + len(value) for key, value in rows),
        )

    def chunk(self, height: int, depth: int, index: int) -> Chunk | None:
        """Return one chunk of a snapshot with its proof; None if that snapshot is not held."""
        view = self._views.get(height)
        if view is None or depth != DEPTH or not 0 <= index < 16**DEPTH:
            return None
        prefix = prefix_of(index, DEPTH)
        rows = tuple(row for row in self._rows(height) if key_hash(row[0])[0] >> 4 == prefix[0])
        return Chunk(height, index, rows, prove_range(view.tree_node, prefix))

    def nodes(self, blocks: Mapping[int, StoredBlock]) -> tuple[ResultProof, ...]:
        """Return a proof for each node record of the newest snapshot that is certified; none without one (P117).

        A daemon proves those of its newest certified state: here the states of snapshots are the only ones kept.
        """
        manifests = self.offer(0, blocks).manifests
        if not manifests:
            return ()
        (one,) = manifests
        view = self._views[one.height]
        return tuple(
            ResultProof(
                height=one.height,
                state=(state_claim(view, node_key(node.node_id)),),
                receipt=(),
                previous_exec_root=one.previous_exec_root,
                state_root=one.state_root,
                receipts_root=one.receipts_root,
                links=one.links,
                header=one.proof_header,
                certificate=one.proof_certificate,
            )
            for node in registered(view)
        )

    def _rows(self, height: int) -> Rows:
        """Return the rows of the state tree, sorted by place; index entries are derived and stand outside it."""
        view = self._views[height]
        keys = [key for key in view.scan(b"", KEYS_END, ROWS_MAX) if not key.startswith(INDEX_PREFIX)]
        return tuple(sorted(((key, view.get(key) or b"") for key in keys), key=lambda row: key_hash(row[0])))

    # -- collecting ------------------------------------------------------------------------------------------------

    @property
    def collected(self) -> Collected | None:
        """What a starting core is told of the snapshot that was being taken."""
        one = self._joining
        if one is None:
            return None
        return Collected(
            manifest=one.manifest,
            chunks=tuple(sorted(one.chunks)),
            skeleton_from=min(one.ids, default=one.manifest.height + 1),
            skeleton_parent=one.parent or block_id(one.manifest.header),
        )

    def begin(self, effect: ne.BeginSnapshot) -> None:
        self._joining = _Joining(effect.manifest)

    def keep(self, effect: ne.KeepChunk | ne.KeepSkeleton) -> None:
        """Keep verified rows, or the ids of verified blocks, of the snapshot that was begun."""
        if self._joining is None:
            return
        if isinstance(effect, ne.KeepChunk):
            self._joining.chunks[effect.index] = effect.rows
            return
        self._joining.parent = effect.parent
        for height, (_, ids) in enumerate(effect.blocks, effect.first):
            self._joining.ids[height] = ids

    def drop(self) -> None:
        self._joining = None

    def install(
        self, validity_heights: int, index_entries: Callable[[MemoryState], Iterable[tuple[bytes, bytes]]]
    ) -> BlockStoreDisk[MemoryState] | None:
        """Return the block store that holds nothing but the snapshot; None if none was collected."""
        one, self._joining = self._joining, None
        if one is None:
            return None
        manifest = one.manifest
        header = header_codec.decode(manifest.header)
        rows = dict(row for index in sorted(one.chunks) for row in one.chunks[index])
        root, nodes = build(rows)
        executed = exec_root_of(manifest.previous_exec_root, root, manifest.receipts_root)
        work = header.height if header.tx_count else header.exec_height
        ref = BlockRef(header.height, block_id(manifest.header), header.time_ms, header.exec_height, work)
        block = StoredBlock(ref, header, manifest.header, (), one.ids.get(header.height, ()), manifest.certificate)
        state = MemoryState(rows, nodes, header.height, root, executed)
        store = BlockStoreDisk(block, state.apply(tuple(index_entries(state)), {}, header.height, root, executed))
        store.older = tuple(
            (tx_id, height, height + validity_heights) for height, ids in sorted(one.ids.items()) for tx_id in ids
        )
        return store


def skeleton(first: int, last: int, blocks: Mapping[int, StoredBlock]) -> Skeleton | Held:
    """Return headers and ids of the blocks up to `last` that are held, or what is held instead."""
    wanted = [blocks[height] for height in range(first, last + 1) if height in blocks and blocks[height].header_bytes]
    if not wanted or wanted[-1].ref.height != last or wanted[0].ref.height != last - len(wanted) + 1:
        return Held(first, min(blocks), max(blocks))
    return Skeleton(
        wanted[0].ref.height, tuple(one.header_bytes for one in wanted), tuple(one.tx_ids for one in wanted)
    )
