"""Forgetting old blocks by a rule of the operator, and giving their space back (U6).

    bound      lowest height that is kept: `keep_blocks` of the newest blocks, or those of `keep_days`; what either
               keeps stays. Never above what others may still need of us, or a start needs itself: the blocks in which
               a still valid transaction may stand (LR2), at the tip and at the height of each snapshot that others may
               take here (P107), and the heights from which the state is executed again.
    prune      deletes blocks, receipts and indexes below it, a few at a time; every kept block is certified by q
               members, so nothing that is needed to trust the rest goes
    compact    LMDB uses freed pages again and never gives them back: a compacted copy takes the place of the file,
               crash-safe (node.store.swap), while the store is closed

The state itself, and with it every balance of today, is never pruned.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.store import swap
from node.store.ledger import ChainStore
from node.store.places import free_bytes, make_directory
from node.store.snapshots import KEPT, heights_on_disk
from node.store.views import RETAINED_HEIGHTS

DAY_MS: Final = 86_400_000
BLOCKS_AT_ONCE: Final = 32
"""Blocks deleted in one durable transaction beside a running node: some milliseconds."""
SLACK_BYTES: Final = 16 * 1024 * 1024
"""A file with less to give back than this is left as it is."""
SPARE_FACTOR: Final = 2
"""Free space a compacting copy needs, in units of what is copied."""
STEPS_WAITED: Final = KEPT + 1
"""Steps of the grid that a snapshot may hold pruning up: those that are kept, and the one that is being made. One that
stays longer, because there was no room for the next, gives way: blocks without end would fill the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """The operator's rule; 0 and 0 keep everything. `validity_heights` is a parameter of the network."""

    blocks: int
    days: int
    validity_heights: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What pruning would do: heights `oldest`..`bound`-1 go, `payload_bytes` of envelopes with them."""

    oldest: int
    bound: int
    tip: int
    payload_bytes: int
    limit: str
    """Why not more goes, in words, when the rule alone would take more; else empty."""

    @property
    def blocks(self) -> int:
        return max(0, self.bound - self.oldest)


def bound_of(store: ChainStore, keep: Keep) -> tuple[int, str]:
    """Return the lowest height to keep, and what limits the rule, or ""."""
    oldest, tip = max(1, store.oldest_height), store.durable_height
    wanted: list[int] = []
    if keep.blocks:
        wanted.append(tip - keep.blocks + 1)
    if keep.days:
        wanted.append(_first_since(store, oldest, tip, store.tip.time_ms - keep.days * DAY_MS))
    if not wanted:
        return oldest, ""
    bound, limit = min(wanted), ""
    for height, words in (
        (tip - keep.validity_heights, f"transactions of the last {keep.validity_heights} blocks may be offered again"),
        (store.base_height - RETAINED_HEIGHTS, "a start executes the newest blocks again"),
        (
            _oldest_snapshot(store) - keep.validity_heights + 1,
            "a node that joins needs the blocks below the oldest snapshot",
        ),
    ):
        if height < bound:
            bound, limit = height, words
    return max(oldest, bound), limit


def plan(store: ChainStore, keep: Keep) -> Plan:
    """Return what pruning would delete now; reads only."""
    oldest = max(1, store.oldest_height)
    bound, limit = bound_of(store, keep)
    size = 0
    for height in range(oldest, bound):
        block = store.block(height)
        if block is not None:
            size += sum(len(envelope) for envelope in block.envelopes)
    return Plan(oldest=oldest, bound=bound, tip=store.durable_height, payload_bytes=size, limit=limit)


def prune(store: ChainStore, keep: Keep, *, at_once: int = BLOCKS_AT_ONCE, least: int = 1) -> int:
    """Delete the oldest blocks that the rule lets go, at most `at_once`; return how many.

    Nothing happens while fewer than `least` are due, so that a running node does not write for every block.
    """
    oldest = max(1, store.oldest_height)
    bound, _ = bound_of(store, keep)
    if bound - oldest < least:
        return 0
    below = min(bound, oldest + at_once)
    store.forget(below)
    return below - oldest


def worth_compacting(store: ChainStore) -> bool:
    """Tell whether the file is mostly free pages, and the disk has room for the copy."""
    size, live = store.size_bytes(), store.live_bytes()
    return size - live > max(SLACK_BYTES, live // 2) and free_bytes(store.path) > SPARE_FACTOR * live


def compact(store: ChainStore, keys: Mapping[str, Mapping[int, bytes]], chain_id: bytes, map_bytes: int) -> ChainStore:
    """Replace the file by a compacted copy and return the store opened again; `store` is closed."""
    path = store.path
    folder = _copy_place(path)
    shutil.rmtree(folder, ignore_errors=True)
    make_directory(folder)
    store.compacted(folder)
    every = store.snapshot_every
    store.close()
    swap.offer(folder, path)
    swap.settle(path)
    opened = ChainStore.open(path, keys, chain_id, map_bytes=map_bytes)
    opened.snapshot_every = every
    return opened


def _oldest_snapshot(store: ChainStore) -> int:
    """Return the height of the oldest snapshot that others may take here.

    As if there were the usual ones while there is none: without a snapshot a node joins by replaying all blocks.
    """
    every, tip = store.snapshot_every, store.durable_height
    if not every:
        return tip
    held = heights_on_disk(store.path)
    return max(held[0], tip - STEPS_WAITED * every) if held else tip - KEPT * every


def _copy_place(chain: Path) -> Path:
    return chain.with_name(f"{chain.name}.compact")


def _first_since(store: ChainStore, low: int, high: int, time_ms: int) -> int:
    """Return the lowest height in [low, high] whose block is not older than `time_ms`; times ascend (P145)."""
    while low < high:
        middle = (low + high) // 2
        head = store.header(middle)
        if head is not None and head.ref.time_ms >= time_ms:
            high = middle
        else:
            low = middle + 1
    return low
