"""The state tree: 16-ary over the nibbles of hashed keys, updated once a block (LR7).

Rules
    * `k = H("state/key", key)`; a leaf `H("state/leaf", k, H("state/value", value))` stands at the shallowest place
      where it is alone; a branch is `H("state/branch", u16 bitmap, child hashes in order)`; a branch left with a
      single leaf becomes that leaf; the empty root is `H("state/empty")`. The root depends on the rows only, never
      on the order in which they were written.
    * Stored nodes are branches, keyed by their nibble path (one byte a nibble, the root has the empty path). A leaf
      lives inside its parent with its `k`, so no leaf is stored or read apart (performance E23). A tree of one row
      is a root node that holds this leaf.
    * Absence is shown by an empty place, or by the leaf of another key that stands on the path.

Layout of a stored node: one byte kind, then
    branch (2): u16 map of the children that are leaves; `k` and value hash of each, in order of nibble; then literally
                the hash input after the tag: `lp(u16 bitmap, child hash ...)`, so a changed child is a splice.
    leaf (1):   `k`, value hash. At the empty path only.
The value hash is kept because the leaf of another key must be shown in a proof of absence, without its row.

Door: `update` for a block's writes, `prove` and `verify_proof` for clients; `prove_range`, `root_from_range` and
`join` for whole subtrees, which is how a state travels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol, TypeAlias

from ledger.codec import Codec, Natural, Wire
from ledger.crypto.hashing import H, Tag, hash_encoded, lp
from ledger.errors import InvariantViolated
from ledger.ids import HASH_BYTES

EMPTY_ROOT: Final = H(Tag.STATE_EMPTY)
PATH_NIBBLES_MAX: Final = 2 * HASH_BYTES
PROOF_LIMIT_BYTES: Final = 256 * 1024
"""64 levels of 15 siblings (38 KB, out of reach for an honest tree) and a row at its size limit."""
KEY_CACHE_ENTRIES: Final = 4_096
"""Hashes of recently used keys (performance E26), 1 MB when full of long keys: hot rows and nonces. A new row is hashed
once anyway."""

_LEAF: Final = 1
_ENTRY_BYTES: Final = 2 * HASH_BYTES
_BRANCH: Final = 2
_CHILD_BYTES: Final = 4 + HASH_BYTES
_BITMAP_BYTES: Final = 4 + 2
_HASH_LENGTH: Final = HASH_BYTES.to_bytes(4, "big")
_NIBBLES: Final = tuple(bytes((nibble,)) for nibble in range(16))

ViewNode: TypeAlias = Callable[[bytes], bytes | None]
_Item: TypeAlias = tuple[bytes, bytes | None]
"""(k, value hash), None deletes. Lists of items are sorted by k and have no repeats."""
_Child: TypeAlias = tuple[bytes | None, bytes]
"""(k + value hash, leaf hash) of a leaf, or (None, hash) of a branch that is stored under its own path."""


class ProofLevel(Wire, frozen=True):
    """One branch on the way down: its bitmap, and the hashes of all children except the one on the path."""

    bitmap: Natural
    siblings: tuple[bytes, ...]


class StateProof(Wire, frozen=True):
    """Why a key has a value, or has none. `levels` from the root downwards.

    Presence: `found` holds the value. Absence: `other` holds (k, value hash) of the leaf that stands in the place,
    or both are empty because the place is empty.
    """

    levels: tuple[ProofLevel, ...]
    found: tuple[bytes, ...]
    other: tuple[tuple[bytes, bytes], ...]


class RangeProof(Wire, frozen=True):
    """Why rows are all that a subtree holds: the branches above it, or, if the path ends earlier at the leaf of another
    key, (k, value hash) of that leaf."""

    levels: tuple[ProofLevel, ...]
    other: tuple[tuple[bytes, bytes], ...]


proof_codec: Codec[StateProof] = Codec(StateProof, "state proof", PROOF_LIMIT_BYTES)


class ProvableView(Protocol):
    """The part of a `StateView` that proofs need."""

    @property
    def state_root(self) -> bytes: ...
    def get(self, key: bytes) -> bytes | None: ...
    def tree_node(self, path: bytes) -> bytes | None: ...


@lru_cache(maxsize=KEY_CACHE_ENTRIES)
def key_hash(key: bytes) -> bytes:
    """Return `k`, the place of a raw key in the tree."""
    return H(Tag.STATE_KEY, key)


def value_hash(value: bytes) -> bytes:
    """Return the hash of a row's value, as it stands in the leaf."""
    return H(Tag.STATE_VALUE, value)


def update(
    view_node: ViewNode, root: bytes, writes: Iterable[tuple[bytes, bytes | None]]
) -> tuple[bytes, dict[bytes, bytes | None]]:
    """Return the root after `writes` and the nodes that changed: path -> node, None is a deleted node.

    `writes` are (raw key, value or None) in any order, no key twice. `root` is what the nodes of `view_node` hash
    to; a stored root node that does not is InvariantViolated. The answer is sorted by path.
    """
    items: list[_Item] = [(key_hash(key), None if value is None else value_hash(value)) for key, value in writes]
    if not items:
        return root, {}
    items.sort(key=_place)
    for i in range(1, len(items)):
        if items[i - 1][0] == items[i][0]:
            raise InvariantViolated("a write set names one key twice")
    changed: dict[bytes, bytes | None] = {}
    child = _update_root(view_node, root, items, changed)
    return (EMPTY_ROOT if child is None else child[1]), dict(sorted(changed.items()))


def build(rows: Mapping[bytes, bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """Return root and stored nodes of the tree over `rows`, from nothing."""
    root, nodes = update(lambda _: None, EMPTY_ROOT, rows.items())
    return root, {path: node for path, node in nodes.items() if node is not None}


def prove(view: ProvableView, key: bytes) -> StateProof:
    """Return the proof of presence or absence of `key` under `view.state_root`."""
    k = key_hash(key)
    levels: list[ProofLevel] = []
    path = b""
    node = view.tree_node(path)
    if node is None:
        return StateProof((), (), ())
    if node[0] == _LEAF:
        return _ending(view, key, k, (), node[1:])
    while True:
        children = _parse(node)
        nibble = _nibble(k, len(path))
        bitmap = sum(1 << n for n in children)
        levels.append(ProofLevel(bitmap, tuple(children[n][1] for n in sorted(children) if n != nibble)))
        child = children.get(nibble)
        if child is None:
            return StateProof(tuple(levels), (), ())
        if child[0] is not None:
            return _ending(view, key, k, tuple(levels), child[0])
        path += bytes((nibble,))
        node = _load(view.tree_node, path)


def root_from_proof(key: bytes, proof: StateProof) -> bytes | None:
    """Return the root under which `proof` speaks about `key`, or None if its shape cannot be a proof (S81)."""
    k = key_hash(key)
    depth = len(proof.levels)
    if depth > PATH_NIBBLES_MAX or len(proof.found) + len(proof.other) > 1:
        return None
    top: bytes | None = None
    if proof.found:
        top = H(Tag.STATE_LEAF, k, value_hash(proof.found[0]))
    elif proof.other:
        standing, hashed = proof.other[0]
        if len(standing) != HASH_BYTES or len(hashed) != HASH_BYTES or standing == k:
            return None
        if any(_nibble(standing, i) != _nibble(k, i) for i in range(depth)):
            return None
        top = H(Tag.STATE_LEAF, standing, hashed)
    for i in range(depth - 1, -1, -1):
        top = _climb(proof.levels[i], _nibble(k, i), top)
        if top is None:
            return None
    return EMPTY_ROOT if top is None else top


def verify_proof(root: bytes, key: bytes, proof: StateProof) -> tuple[bool, bytes | None]:
    """Return (does `proof` hold under `root`, the value of `key` or None for proven absence)."""
    if root_from_proof(key, proof) != root:
        return False, None
    return True, proof.found[0] if proof.found else None


# whole subtrees


def prove_range(view_node: ViewNode, prefix: bytes) -> RangeProof:
    """Return why the rows whose `k` begins with the nibbles `prefix` are what they are."""
    levels: list[ProofLevel] = []
    node = view_node(b"")
    if node is None or not prefix:
        return RangeProof((), ())
    if node[0] == _LEAF:
        return RangeProof((), _elsewhere(node[1:], prefix))
    for depth, nibble in enumerate(prefix):
        children = _parse(node)
        bitmap = sum(1 << n for n in children)
        levels.append(ProofLevel(bitmap, tuple(children[n][1] for n in sorted(children) if n != nibble)))
        child = children.get(nibble)
        if child is None or depth == len(prefix) - 1:
            break
        if child[0] is not None:
            return RangeProof(tuple(levels), _elsewhere(child[0], prefix))
        node = _load(view_node, prefix[: depth + 1])
    return RangeProof(tuple(levels), ())


def root_from_range(prefix: bytes, rows: Sequence[tuple[bytes, bytes]], proof: RangeProof) -> bytes | None:
    """Return the root under which `rows` are exactly the rows of the subtree at `prefix`, or None for a wrong shape.

    `rows` are (raw key, value), sorted by `k` without repeats, all of them below `prefix`.
    """
    items: list[_Item] = [(key_hash(key), value_hash(value)) for key, value in rows]
    if any(items[i - 1][0] >= items[i][0] for i in range(1, len(items))):
        return None
    if any(_nibbles(k, len(prefix)) != prefix for k, _ in items):
        return None
    depth = len(proof.levels)
    if depth > len(prefix) or len(proof.other) > 1 or (proof.other and (items or depth == len(prefix))):
        return None
    if depth < len(prefix) and len(items) > 1:
        return None  # the path ends above the subtree, so at most one leaf stands there
    child = _build(prefix, items, {})
    top = None if child is None else child[1]
    if proof.other:
        standing, hashed = proof.other[0]
        if len(standing) != HASH_BYTES or len(hashed) != HASH_BYTES:
            return None
        if _nibbles(standing, depth) != prefix[:depth] or _nibbles(standing, len(prefix)) == prefix:
            return None
        top = H(Tag.STATE_LEAF, standing, hashed)
    for i in range(depth - 1, -1, -1):
        top = _climb(proof.levels[i], prefix[i], top)
        if top is None:
            return None
    return EMPTY_ROOT if top is None else top


def subtree(prefix: bytes, rows: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the stub of the subtree at `prefix` over `rows`, for `join`, and its stored nodes by path.

    A stub is empty (no rows), `k` and value hash (one row: a leaf finds its place from above), or a branch's hash.
    """
    changed: dict[bytes, bytes | None] = {}
    items: list[_Item] = sorted(((key_hash(key), value_hash(value)) for key, value in rows), key=_place)
    child = _build(prefix, items, changed)
    nodes = {path: node for path, node in changed.items() if node is not None}
    if child is None:
        return b"", nodes
    return (child[1] if child[0] is None else child[0]), nodes


def join(depth: int, stubs: Mapping[bytes, bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the root over all subtrees at `depth` (prefix -> stub of `subtree`) and the stored nodes above them."""
    children: dict[bytes, _Child] = {}
    for prefix, stub in stubs.items():
        if stub:
            children[prefix] = (None, stub) if len(stub) == HASH_BYTES else _leaf(stub)
    nodes: dict[bytes, bytes] = {}
    for length in range(depth, 0, -1):
        groups: dict[bytes, dict[int, _Child]] = {}
        for prefix in sorted(children):
            groups.setdefault(prefix[: length - 1], {})[prefix[length - 1]] = children[prefix]
        children = {}
        for path, below in groups.items():
            only = next(iter(below.values()))
            if len(below) == 1 and only[0] is not None:
                children[path] = only  # LR7: a leaf stands at the shallowest place where it is alone
                continue
            nodes[path] = _serialise(below)
            children[path] = (None, hash_encoded(Tag.STATE_BRANCH, nodes[path][_body_start(nodes[path]) :]))
    top = children.get(b"")
    if top is None:
        return EMPTY_ROOT, nodes
    if top[0] is not None:
        nodes[b""] = bytes((_LEAF,)) + top[0]
    return top[1], nodes


def prefix_of(index: int, depth: int) -> bytes:
    """Return the nibbles of subtree `index` among the 16**depth at `depth`, in order of `k`."""
    return bytes(index >> 4 * (depth - 1 - i) & 15 for i in range(depth))


def _elsewhere(entry: bytes, prefix: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return a leaf that stands on the path to `prefix` and is not below it."""
    standing, hashed = entry[:HASH_BYTES], entry[HASH_BYTES:]
    return () if _nibbles(standing, len(prefix)) == prefix else ((standing, hashed),)


def _nibbles(k: bytes, count: int) -> bytes:
    return bytes(_nibble(k, i) for i in range(count))


def _climb(level: ProofLevel, nibble: int, below: bytes | None) -> bytes | None:
    """Return the hash of the branch with child `below` at `nibble` (None: an empty place), None if it cannot be one."""
    bitmap = level.bitmap
    if not 0 < bitmap < 1 << 16 or (below is not None) != bool(bitmap >> nibble & 1):
        return None
    hashes = list(level.siblings)
    if below is not None:
        hashes.insert((bitmap & ((1 << nibble) - 1)).bit_count(), below)
    if len(hashes) != bitmap.bit_count() or any(len(child) != HASH_BYTES for child in hashes):
        return None
    return H(Tag.STATE_BRANCH, bitmap.to_bytes(2, "big"), *hashes)


def _ending(view: ProvableView, key: bytes, k: bytes, levels: tuple[ProofLevel, ...], entry: bytes) -> StateProof:
    standing, hashed = entry[:HASH_BYTES], entry[HASH_BYTES:]
    if standing != k:
        return StateProof(levels, (), ((standing, hashed),))
    value = view.get(key)
    if value is None or value_hash(value) != hashed:
        raise InvariantViolated("a row and its leaf in the state tree differ")
    return StateProof(levels, (value,), ())


def _update_root(
    view_node: ViewNode, root: bytes, items: list[_Item], changed: dict[bytes, bytes | None]
) -> _Child | None:
    node = view_node(b"")
    if node is None:
        if root != EMPTY_ROOT:
            raise InvariantViolated("the state tree has no root node")
        child = _build(b"", items, changed)
    elif node[0] == _LEAF:
        entry = node[1:]
        if _leaf(entry)[1] != root:
            raise InvariantViolated("the root node of the state tree does not hash to the state root")
        child = _build(b"", _merge(entry, items), changed)
    else:
        if hash_encoded(Tag.STATE_BRANCH, node[_body_start(node) :]) != root:
            raise InvariantViolated("the root node of the state tree does not hash to the state root")
        child = _update(view_node, b"", node, items, changed)
    if child is None:
        after = None
    elif child[0] is not None:
        after = bytes((_LEAF,)) + child[0]
    else:
        return child  # the branch noted itself, if it changed
    if after != node:
        changed[b""] = after
    return child


def _build(path: bytes, items: list[_Item], changed: dict[bytes, bytes | None]) -> _Child | None:
    """Return the subtree of the live `items` at an empty place, noting its branches."""
    live = [item for item in items if item[1] is not None]
    if not live:
        return None
    if len(live) == 1:
        k, hashed = live[0]
        return _leaf(k + (hashed or b""))
    children: dict[int, _Child] = {}
    for nibble, group in _groups(live, len(path)):
        child = _build(path + bytes((nibble,)), group, changed)
        if child is not None:
            children[nibble] = child
    node = _serialise(children)
    changed[path] = node
    return None, hash_encoded(Tag.STATE_BRANCH, node[_body_start(node) :])


def _update(
    view_node: ViewNode, path: bytes, node: bytes, items: list[_Item], changed: dict[bytes, bytes | None]
) -> _Child | None:
    """Return what stands at `path` after `items`, noting changed nodes at and below it.

    Children that are changed, added, or turned from leaf to branch are spliced into the bytes (performance E23); the
    node is taken apart only when a child goes away or a branch becomes a leaf again.
    """
    depth, start = len(path), _body_start(node)
    leaf_map = node[1] << 8 | node[2]
    bitmap = node[start + 4] << 8 | node[start + 5]
    new = bytearray(node)
    reshaped: list[tuple[int, _Child]] = []
    shrunk: dict[int, _Child | None] = {}
    for nibble, group in _groups(items, depth):
        below = path + _NIBBLES[nibble]
        bit = 1 << nibble
        after: _Child | None
        if not bitmap & bit:
            after = _build(below, group, changed)
            if after is not None:
                reshaped.append((nibble, after))
            continue
        is_leaf = leaf_map & bit
        entry = 3 + _ENTRY_BYTES * (leaf_map & (bit - 1)).bit_count()
        if is_leaf:
            after = _build(below, _merge(node[entry : entry + _ENTRY_BYTES], group), changed)
        else:
            after = _update(view_node, below, _load(view_node, below), group, changed)
        if after is None or (after[0] is not None and not is_leaf):
            shrunk[nibble] = after
            continue
        if is_leaf and after[0] is None:
            reshaped.append((nibble, after))
            continue
        if after[0] is not None:
            new[entry : entry + _ENTRY_BYTES] = after[0]
        child = start + _BITMAP_BYTES + _CHILD_BYTES * (bitmap & (bit - 1)).bit_count() + 4
        new[child : child + HASH_BYTES] = after[1]
    if reshaped:
        start = _splice(new, start, leaf_map, bitmap, reshaped)
    if shrunk:
        children = _parse(bytes(new))
        for nibble, after in shrunk.items():
            if after is None:
                del children[nibble]
            else:
                children[nibble] = after
        if len(children) < 2:
            only = next(iter(children.values()), None)
            if only is None or only[0] is not None:  # LR7: a branch left with a single leaf becomes that leaf
                changed[path] = None
                return only
        new = bytearray(_serialise(children))
        start = _body_start(new)
    stored = bytes(new)
    if stored != node:
        changed[path] = stored
    return None, hash_encoded(Tag.STATE_BRANCH, stored[start:])


def _splice(new: bytearray, start: int, leaf_map: int, bitmap: int, reshaped: list[tuple[int, _Child]]) -> int:
    """Put added children, and leaves that became branches, into the stored branch `new`; return its new body start.

    `reshaped` ascends by nibble. Hashes come first and both lists are filled from their ends, so that every position
    can be counted in the maps of before.
    """
    new_leaves, new_bitmap = leaf_map, bitmap
    for nibble, (_, hashed) in reversed(reshaped):
        bit = 1 << nibble
        child = start + _BITMAP_BYTES + _CHILD_BYTES * (bitmap & (bit - 1)).bit_count()
        if bitmap & bit:
            new[child + 4 : child + _CHILD_BYTES] = hashed
        else:
            new[child:child] = _HASH_LENGTH + hashed
            new_bitmap |= bit
    for nibble, (entry, _) in reversed(reshaped):
        bit = 1 << nibble
        at = 3 + _ENTRY_BYTES * (leaf_map & (bit - 1)).bit_count()
        if leaf_map & bit:
            del new[at : at + _ENTRY_BYTES]
            new_leaves &= ~bit
        elif entry is not None:
            new[at:at] = entry
            new_leaves |= bit
    start = 3 + _ENTRY_BYTES * new_leaves.bit_count()
    new[1:3] = new_leaves.to_bytes(2, "big")
    new[start + 4 : start + _BITMAP_BYTES] = new_bitmap.to_bytes(2, "big")
    return start


def _groups(items: list[_Item], depth: int) -> list[tuple[int, list[_Item]]]:
    """Return `items`, which are sorted and share their first `depth` nibbles, by their next nibble."""
    groups: list[tuple[int, list[_Item]]] = []
    byte, shift = depth >> 1, 0 if depth & 1 else 4
    last = -1
    for item in items:
        nibble = item[0][byte] >> shift & 15
        if nibble != last:
            group: list[_Item] = []
            groups.append((nibble, group))
            last = nibble
        group.append(item)
    return groups


def _merge(entry: bytes, items: list[_Item]) -> list[_Item]:
    """Return `items` and the standing leaf `entry`, unless one of them replaces it; sorted."""
    k = entry[:HASH_BYTES]
    for item in items:
        if item[0] == k:
            return items
    return sorted([*items, (k, entry[HASH_BYTES:])], key=_place)


def _place(item: _Item) -> bytes:
    return item[0]


def _leaf(entry: bytes) -> _Child:
    return entry, H(Tag.STATE_LEAF, entry[:HASH_BYTES], entry[HASH_BYTES:])


def _nibble(k: bytes, depth: int) -> int:
    return k[depth >> 1] & 15 if depth & 1 else k[depth >> 1] >> 4


def _load(view_node: ViewNode, path: bytes) -> bytes:
    node = view_node(path)
    if node is None:
        raise InvariantViolated(f"the state tree has no node at {path.hex()}")
    return node


def _body_start(node: bytes | bytearray) -> int:
    """Return where the hash input begins in a stored branch."""
    return 3 + _ENTRY_BYTES * (node[1] << 8 | node[2]).bit_count()


def _parse(node: bytes) -> dict[int, _Child]:
    """Return the children of a stored branch by nibble."""
    leaf_map = node[1] << 8 | node[2]
    start = _body_start(node)
    bitmap = node[start + 4] << 8 | node[start + 5]
    entry, child = 3, start + _BITMAP_BYTES + 4
    children: dict[int, _Child] = {}
    for nibble in range(16):
        if not bitmap >> nibble & 1:
            continue
        hashed = node[child : child + HASH_BYTES]
        child += _CHILD_BYTES
        if leaf_map >> nibble & 1:
            children[nibble] = (node[entry : entry + _ENTRY_BYTES], hashed)
            entry += _ENTRY_BYTES
        else:
            children[nibble] = (None, hashed)
    return children


def _serialise(children: Mapping[int, _Child]) -> bytes:
    """Return the stored form of a branch."""
    bitmap = leaf_map = 0
    entries: list[bytes] = []
    hashes: list[bytes] = []
    for nibble in sorted(children):
        entry, hashed = children[nibble]
        bitmap |= 1 << nibble
        hashes.append(hashed)
        if entry is not None:
            leaf_map |= 1 << nibble
            entries.append(entry)
    return b"".join((bytes((_BRANCH,)), leaf_map.to_bytes(2, "big"), *entries, lp(bitmap.to_bytes(2, "big"), *hashes)))
