"""Immutable views of the state at one height: results in memory over a snapshot of the disk (performance E25).

    ChainView(height)  reads `Pending` (results above the flushed height, newest first down to its own height)
                       and then `Snapshot` (one LMDB read transaction at the flushed height, with caches)

Rules
    * A view never changes while somebody holds it: entries above its height are invisible to it, a flush makes new
      `Pending` and `Snapshot` objects, and the old ones live as long as their views.
    * The flushed state stays behind the executed height, at the height that the tip certifies or further down, so a
      result can be proven against that height, also after a restart. Small blocks are kept for `RETAINED_HEIGHTS`,
      large ones as far as `RETAINED_CHANGES` allows.
    * Hold a view for one request or one block, not longer: an old read transaction keeps freed pages from being
      used again (E29).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeAlias

from ledger.errors import InvariantViolated
from node.store.sealed import Sealer

RETAINED_HEIGHTS: Final = 8
"""The lag of the executed height that a header may name (section 6 of the architecture), so the height that the tip
certifies can always be shown; with what is not flushed yet it is up to twice as many."""
RETAINED_CHANGES: Final = 5_000
"""Rows and tree nodes of heights that the tip has certified and that are kept in memory all the same, about 1.5 MB.
Blocks of a loaded network change 5,000 each: there only what a header may still certify is kept."""
KEY_LIMIT_BYTES: Final = 511
"""Of LMDB. State keys stay below it by the limits of the contract language."""
ROW_CACHE_BYTES: Final = 4 * 1024 * 1024
NODE_CACHE_BYTES: Final = 4 * 1024 * 1024
"""Caps in bytes of content; a half and a quarter of what E26 allows, for a node below 100 MB (docs/performance.md)."""
TOP_NIBBLES: Final = 3
"""Tree levels that are never evicted: at most 4,369 nodes (E26)."""

_ENTRY_OVERHEAD_BYTES: Final = 200
_NODE_PREFIX: Final = b"."
_INDEX_SPACE: Final = b"x"
"""First byte of index entries (H6)."""

_Entry: TypeAlias = tuple[int, bytes | None, Any]
"""(height, value or None for deleted, older entry or None), newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What one executed block changed. `writes` sorted by key, `nodes` by path."""

    height: int
    state_root: bytes
    exec_root: bytes
    writes: tuple[tuple[bytes, bytes | None], ...]
    nodes: Mapping[bytes, bytes | None]

    @property
    def changes(self) -> int:
        return len(self.writes) + len(self.nodes)


def node_key(path: bytes) -> bytes:
    """Return the LMDB key of a tree node; the root has an empty path, and LMDB refuses empty keys."""
    return _NODE_PREFIX + path


class Pending:
    """The changes of all layers above the flushed height, by key and by path."""

    __slots__ = ("keys", "nodes", "rows")

    def __init__(self, layers: Sequence[Layer] = ()) -> None:
        self.rows: dict[bytes, _Entry] = {}
        self.nodes: dict[bytes, _Entry] = {}
        self.keys: list[bytes] = []
        for layer in layers:
            self.add(layer)

    def add(self, layer: Layer) -> None:
        """Add the next height; views of lower heights do not see it."""
        rows, height = self.rows, layer.height
        fresh: list[bytes] = []
        for key, value in layer.writes:
            older = rows.get(key)
            if older is None:
                if len(key) > KEY_LIMIT_BYTES:
                    raise InvariantViolated(f"a state key of {len(key)} bytes, the limit is {KEY_LIMIT_BYTES}")
                fresh.append(key)
            rows[key] = (height, value, older)
        if fresh:
            self.keys += fresh
            self.keys.sort()
        nodes = self.nodes
        for path, node in layer.nodes.items():
            nodes[path] = (height, node, nodes.get(path))

    def trimmed(self, base: int) -> Pending:
        """Return the changes above `base`.

        This object stays as it is, for the views that hold it. One pass over what is left and what was flushed is
        cheaper than copying all and removing the flushed entries one by one.
        """
        left = Pending()
        left.rows = _above(self.rows, base)
        left.nodes = _above(self.nodes, base)
        left.keys = [key for key in self.keys if key in left.rows]
        return left


def _above(entries: Mapping[bytes, _Entry], base: int) -> dict[bytes, _Entry]:
    """Return what the entries say about heights above `base`."""
    return {key: entry if entry[2] is None else _cut(entry, base) for key, entry in entries.items() if entry[0] > base}


def _cut(entry: _Entry, base: int) -> _Entry:
    """Return an entry above `base` without what it says about `base` and below."""
    above = [entry]
    older: _Entry | None = entry[2]
    while older is not None and older[0] > base:
        above.append(older)
        older = older[2]
    if older is None:
        return entry
    kept: _Entry | None = None
    for height, value, _ in reversed(above):
        kept = (height, value, kept)
    return entry if kept is None else kept


class _Cache:
    """Opened values, first in, first out, bounded in bytes."""

    __slots__ = ("_limit", "_size", "_values")

    def __init__(self, limit_bytes: int) -> None:
        self._values: dict[bytes, bytes] = {}
        self._limit = limit_bytes
        self._size = 0

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        old = self._values.pop(key, None)
        if old is not None:
            self._size -= len(key) + len(old) + _ENTRY_OVERHEAD_BYTES
        self._values[key] = value
        self._size += len(key) + len(value) + _ENTRY_OVERHEAD_BYTES
        if self._size > self._limit:
            self._evict()

    def drop(self, key: bytes) -> None:
        old = self._values.pop(key, None)
        if old is not None:
            self._size -= len(key) + len(old) + _ENTRY_OVERHEAD_BYTES

    def _evict(self) -> None:
        """Drop the oldest eighth: one at a time, a dictionary searches its emptied front again and again."""
        values = self._values
        for key in list(islice(values, len(values) // 8 + 1)):
            self._size -= len(key) + len(values.pop(key)) + _ENTRY_OVERHEAD_BYTES
        self._values = dict(values)

    @property
    def size_bytes(self) -> int:
        return self._size


class Caches:
    """Opened rows and tree nodes of one flushed height; they move on with the newest snapshot."""

    __slots__ = ("nodes", "rows", "top")

    def __init__(self) -> None:
        self.rows = _Cache(ROW_CACHE_BYTES)
        self.nodes = _Cache(NODE_CACHE_BYTES)
        self.top: dict[bytes, bytes] = {}

    def update(self, rows: Mapping[bytes, bytes | None], nodes: Mapping[bytes, bytes | None]) -> None:
        """Follow a flush: keep what was written, forget what was deleted.

        Index entries are left out: they are found by scanning, nobody reads their values.
        """
        put_row, put_node, top = self.rows.put, self.nodes.put, self.top
        for key, value in rows.items():
            if value is None:
                self.rows.drop(key)
            elif key[:1] != _INDEX_SPACE:
                put_row(key, value)
        for path, node in nodes.items():
            if len(path) <= TOP_NIBBLES:
                if node is None:
                    top.pop(path, None)
                else:
                    top[path] = node
            elif node is None:
                self.nodes.drop(path)
            else:
                put_node(path, node)


class Snapshot:
    """The flushed state: one LMDB read transaction, ended when nobody holds the snapshot any more."""

    __slots__ = ("_caches", "_node_seal", "_nodes", "_row_seal", "_rows", "transaction")

    def __init__(
        self, transaction: Any, rows: Any, nodes: Any, row_seal: Sealer, node_seal: Sealer, caches: Caches
    ) -> None:
        self.transaction = transaction
        self._rows = rows
        self._nodes = nodes
        self._row_seal = row_seal
        self._node_seal = node_seal
        self._caches = caches

    def take_caches(self) -> Caches:
        """Hand the caches to the next snapshot; this one goes on with empty ones."""
        caches, self._caches = self._caches, Caches()
        return caches

    def get(self, key: bytes) -> bytes | None:
        cached = self._caches.rows.get(key)
        if cached is not None:
            return cached
        if not 0 < len(key) <= KEY_LIMIT_BYTES:
            return None
        sealed = self.transaction.get(key, db=self._rows)
        if sealed is None:
            return None
        value = self._row_seal.open(key, sealed)
        self._caches.rows.put(key, value)
        return value

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all rows that are in the state tree, in byte order, past the caches."""
        with self.transaction.cursor(db=self._rows) as cursor:
            for key, sealed in cursor.iternext():
                if key[:1] != _INDEX_SPACE:
                    yield key, self._row_seal.open(key, sealed)

    def tree_node(self, path: bytes) -> bytes | None:
        caches = self._caches
        top = len(path) <= TOP_NIBBLES
        cached = caches.top.get(path) if top else caches.nodes.get(path)
        if cached is not None:
            return cached
        key = node_key(path)
        sealed = self.transaction.get(key, db=self._nodes)
        if sealed is None:
            return None
        node = self._node_seal.open(key, sealed)
        if top:
            caches.top[path] = node
        else:
            caches.nodes.put(path, node)
        return node

    def row_count(self) -> int:
        """Return how many rows there are, index entries included."""
        count: int = self.transaction.stat(self._rows)["entries"]
        return count

    def keys(self, low: bytes, high: bytes) -> Iterator[bytes]:
        """Yield the keys in [low, high) in byte order."""
        with self.transaction.cursor(db=self._rows) as cursor:
            if not cursor.set_range(low):
                return
            for key in cursor.iternext(keys=True, values=False):
                if key >= high:
                    return
                yield key


class ChainView:
    """A `ledger.state.StateView`: the state after one executed height."""

    __slots__ = ("_base", "_pending", "exec_root", "height", "state_root")

    def __init__(self, height: int, state_root: bytes, exec_root: bytes, pending: Pending, base: Snapshot) -> None:
        self.height = height
        self.state_root = state_root
        self.exec_root = exec_root
        self._pending = pending
        self._base = base

    def get(self, key: bytes) -> bytes | None:
        entry = self._pending.rows.get(key)
        while entry is not None:
            if entry[0] <= self.height:
                return entry[1]
            entry = entry[2]
        return self._base.get(key)

    def tree_node(self, path: bytes) -> bytes | None:
        entry = self._pending.nodes.get(path)
        while entry is not None:
            if entry[0] <= self.height:
                return entry[1]
            entry = entry[2]
        return self._base.tree_node(path)

    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]:
        """Return keys in [low, high) in byte order, at most `count`."""
        found: list[bytes] = []
        if count <= 0 or low >= high:
            return found
        own = self._own_keys(low, high)
        mine = next(own, None)
        for key in self._base.keys(low, high):
            while mine is not None and mine[0] < key:
                if mine[1]:
                    found.append(mine[0])
                    if len(found) == count:
                        return found
                mine = next(own, None)
            if mine is not None and mine[0] == key:
                alive, mine = mine[1], next(own, None)
                if not alive:
                    continue
            found.append(key)
            if len(found) == count:
                return found
        while mine is not None and len(found) < count:
            if mine[1]:
                found.append(mine[0])
            mine = next(own, None)
        return found

    def _own_keys(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield (key, still there) of the keys in [low, high) that a layer visible to this view has written."""
        pending, height = self._pending, self.height
        keys = pending.keys
        for index in range(bisect_left(keys, low), bisect_left(keys, high)):
            entry: _Entry | None = pending.rows[keys[index]]
            while entry is not None and entry[0] > height:
                entry = entry[2]
            if entry is not None:
                yield keys[index], entry[1] is not None
