"""Blocks: a header that commits to everything, and the transactions it orders (LR5, LR6).

The view is not part of the header, so a block prepared in one view can be proposed again in a later one under
the same id. A header certifies the results of an earlier height (`exec_height`, `exec_root`): blocks are ordered
first and executed when committed.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.codec import Codec, Natural, Wire
from ledger.crypto.hashing import H, Tag
from ledger.ids import ZERO_HASH

PROTOCOL_VERSION = 1
HEADER_LIMIT_BYTES = 2048
TX_IDS_MAX = 5_000


class Header(Wire, frozen=True):
    """The canonical header (consensus.md section 4). Immutable: a re-proposal carries the original bytes."""

    version: Natural
    chain_id: bytes
    epoch: Natural
    height: Natural
    parent_id: bytes
    tx_root: bytes
    tx_count: Natural
    size_bytes: Natural
    time_ms: Natural
    proposer: Natural
    exec_height: Natural
    exec_root: bytes
    members_hash: bytes
    next_members_hash: bytes
    evidence_root: bytes
    last_cert_height: Natural
    last_cert_hash: bytes
    params_hash: bytes


class BlockRef(Wire, frozen=True):
    """What the next block must know about its parent.

    `work_height` is the highest height up to this one that holds transactions or evidence (P47).
    """

    height: int
    block_id: bytes
    time_ms: int
    exec_height: int
    work_height: int


class Block(Wire, frozen=True):
    """A header and the envelopes it orders, as the bytes that arrived (performance E9)."""

    header: bytes
    envelopes: tuple[bytes, ...]


header_codec: Codec[Header] = Codec(Header, "block header", HEADER_LIMIT_BYTES)


def block_id(header: bytes) -> bytes:
    """Return the id of the block with these canonical header bytes."""
    return H(Tag.BLOCK, header)


def list_root(leaves: Sequence[bytes]) -> bytes:
    """Return the binary tree root over `leaves`, in order (LR6).

    `leaf = H("list/leaf", item)`, `node = H("list/node", left, right)`, an odd last node moves up unchanged,
    `root = H("list/root", u32(count), top)` with an empty top for no items.
    """
    if not leaves:
        return EMPTY_LIST_ROOT
    level = [H(Tag.LIST_LEAF, item) for item in leaves]
    while len(level) > 1:
        paired = [H(Tag.LIST_NODE, level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return H(Tag.LIST_ROOT, len(leaves).to_bytes(4, "big"), level[0])


EMPTY_LIST_ROOT = H(Tag.LIST_ROOT, bytes(4), b"")
"""The root of no items."""


def carries_work(header: Header) -> bool:
    """Tell whether a block changes the state, so that its result must be certified: transactions or evidence (P47)."""
    return header.tx_count > 0 or header.evidence_root != EMPTY_LIST_ROOT


def list_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the siblings, leaf upwards, that lead from item `index` to `list_root(leaves)`."""
    level = [H(Tag.LIST_LEAF, item) for item in leaves]
    siblings: list[bytes] = []
    while len(level) > 1:
        if index ^ 1 < len(level):
            siblings.append(level[index ^ 1])
        paired = [H(Tag.LIST_NODE, level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level, index = paired, index // 2
    return tuple(siblings)


def list_root_from_proof(item: bytes, index: int, count: int, siblings: Sequence[bytes]) -> bytes | None:
    """Return the root that `siblings` prove for `item`, or None if they do not fit the shape of `count` (S81)."""
    if not 0 <= index < count < 1 << 32:
        return None
    node, width, used = H(Tag.LIST_LEAF, item), count, 0
    while width > 1:
        if index ^ 1 < width:
            if used == len(siblings):
                return None
            other = siblings[used]
            used += 1
            node = H(Tag.LIST_NODE, other, node) if index & 1 else H(Tag.LIST_NODE, node, other)
        index, width = index // 2, (width + 1) // 2
    if used != len(siblings):
        return None
    return H(Tag.LIST_ROOT, count.to_bytes(4, "big"), node)


def exec_root(previous: bytes, state_root: bytes, receipts_root: bytes) -> bytes:
    """Return the chained execution root of a height (architecture section 6)."""
    return H(Tag.EXEC, previous, state_root, receipts_root)


def genesis_exec_root(state_root: bytes) -> bytes:
    """Return exec_root(0) (LR8)."""
    return exec_root(ZERO_HASH, state_root, EMPTY_LIST_ROOT)
