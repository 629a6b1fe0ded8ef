"""State as the transition sees it: an immutable view below, an overlay with nested transactions above.

`StateView` is what reads are injected through; `Overlay` collects writes. Keys are bytes and ordered (LR9);
a view never changes while somebody holds it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

SORT_AT_ONCE: Final = 64
"""Fresh keys from which sorting all is cheaper than inserting each."""


class StateView(Protocol):
    """Read access to the state after one executed height."""

    @property
    def height(self) -> int: ...
    @property
    def state_root(self) -> bytes: ...
    @property
    def exec_root(self) -> bytes: ...
    def get(self, key: bytes) -> bytes | None: ...
    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]:
        """Return keys in [low, high) in byte order, at most `count`."""
        ...

    def tree_node(self, path: bytes) -> bytes | None:
        """Return the stored tree node at nibble path `path` (one byte per nibble), or None (LR7)."""
        ...


class Reader(Protocol):
    """The part of a view that programs and access rules need."""

    def get(self, key: bytes) -> bytes | None: ...
    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]: ...


class Overlay:
    """Uncommitted writes over a reader, in nested layers: `begin`, then `commit` or `rollback`."""

    __slots__ = ("_base", "_layers", "_sorted", "_unsorted")

    def __init__(self, base: Reader) -> None:
        self._base = base
        self._layers: list[dict[bytes, bytes | None]] = [{}]
        self._sorted: list[bytes] = []
        self._unsorted: list[bytes] = []
        """Keys written since the last scan, with repeats: most blocks are never scanned."""

    def begin(self) -> None:
        """Open a layer; everything written from here can be dropped."""
        self._layers.append({})

    def commit(self) -> None:
        """Fold the top layer into the one below."""
        top = self._layers.pop()
        self._layers[-1].update(top)

    def rollback(self) -> None:
        """Drop the top layer."""
        self._layers.pop()

    def get(self, key: bytes) -> bytes | None:
        for layer in reversed(self._layers):
            if key in layer:
                return layer[key]
        return self._base.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._unsorted.append(key)
        self._layers[-1][key] = value

    def delete(self, key: bytes) -> None:
        self._unsorted.append(key)
        self._layers[-1][key] = None

    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]:
        """Return keys in [low, high), own writes included, in byte order, at most `count`."""
        self._sort()
        start = bisect_left(self._sorted, low)
        stop = bisect_left(self._sorted, high, lo=start)
        own = self._sorted[start:stop]
        if not own:
            return self._base.scan(low, high, count)
        live: list[bytes] = []
        gone: dict[bytes, None] = {}
        for key in own:
            touched, value = self._written(key)
            if not touched:
                continue
            if value is None:
                gone[key] = None
            else:
                live.append(key)
        below = [key for key in self._base.scan(low, high, count + len(gone)) if key not in gone]
        merged = sorted(dict.fromkeys([*below, *live]))
        return merged[:count]

    def layer_writes(self) -> Mapping[bytes, bytes | None]:
        """Return the writes of the top layer, in order of first write; None is a deletion."""
        return self._layers[-1]

    def writes(self) -> list[tuple[bytes, bytes | None]]:
        """Return the write set of all layers sorted by key; None is a deletion."""
        merged: dict[bytes, bytes | None] = {}
        for layer in self._layers:
            merged.update(layer)
        return sorted(merged.items(), key=lambda item: item[0])

    def _written(self, key: bytes) -> tuple[bool, bytes | None]:
        for layer in reversed(self._layers):
            if key in layer:
                return True, layer[key]
        return False, None

    def _sort(self) -> None:
        """Bring the written keys into order: a few one by one, many at once."""
        fresh, self._unsorted = self._unsorted, []
        if len(fresh) > SORT_AT_ONCE:
            self._sorted = sorted(dict.fromkeys([*self._sorted, *fresh]))
            return
        for key in fresh:
            index = bisect_left(self._sorted, key)
            if index == len(self._sorted) or self._sorted[index] != key:
                self._sorted.insert(index, key)


class MemoryState:
    """A `StateView` in memory: used by the simulator, by contract tests and to build block 0.

    `apply` returns a new view that shares nothing mutable with the old one except unchanged bytes.
    """

    __slots__ = ("_keys", "_nodes", "_rows", "exec_root", "height", "state_root")

    def __init__(
        self,
        rows: Mapping[bytes, bytes],
        nodes: Mapping[bytes, bytes],
        height: int,
        state_root: bytes,
        exec_root: bytes,
    ) -> None:
        self._rows = dict(rows)
        self._nodes = dict(nodes)
        self._keys = sorted(self._rows)
        self.height = height
        self.state_root = state_root
        self.exec_root = exec_root

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]:
        start = bisect_left(self._keys, low)
        stop = bisect_left(self._keys, high, lo=start)
        return self._keys[start : min(stop, start + count)]

    def tree_node(self, path: bytes) -> bytes | None:
        return self._nodes.get(path)

    def apply(
        self,
        writes: Sequence[tuple[bytes, bytes | None]],
        nodes: Mapping[bytes, bytes | None],
        height: int,
        state_root: bytes,
        exec_root: bytes,
    ) -> MemoryState:
        """Return the view after a block: `writes` and changed tree `nodes`, None deletes."""
        rows, tree = dict(self._rows), dict(self._nodes)
        for key, value in writes:
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
        for path, node in nodes.items():
            if node is None:
                tree.pop(path, None)
            else:
                tree[path] = node
        return MemoryState(rows, tree, height, state_root, exec_root)
