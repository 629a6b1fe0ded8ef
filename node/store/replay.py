"""Bring the state of a store up to its highest block: at a start the last few blocks are executed again (E25)."""

from __future__ import annotations

from collections.abc import Callable

from ledger.evidence import split_bodies
from ledger.transaction import decode_transaction
from ledger.transition import Linker, Runtime, apply_block
from node.store.errors import StoreCorrupt
from node.store.ledger import ChainStore


def replay(
    store: ChainStore,
    runtime: Runtime | Linker,
    chain_id: bytes,
    utc_offset_min: int,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Execute every stored block above the executed height; return how many there were.

    Signatures are not checked again: the blocks are certified and were checked before they were stored. A result that
    differs from the one recorded before is state divergence, `InvariantViolated`.
    """
    count = 0
    for height in range(store.executed_height + 1, store.tip.height + 1):
        block = store.block(height)
        if block is None:
            raise StoreCorrupt(str(store.path), f"block {height} is missing")
        envelopes, evidence = split_bodies(block.envelopes, block.header.tx_count)
        transactions = tuple(decode_transaction(envelope, chain_id) for envelope in envelopes)
        store.apply(apply_block(store.view(), block.header, transactions, runtime, utc_offset_min, evidence))
        count += 1
        progress(height)
    return count
