"""A small chain of real headers, receipts and state for the tests of the store. Votes are not signed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from ledger.block import EMPTY_LIST_ROOT, BlockRef, Header, block_id, exec_root, genesis_exec_root, list_root
from ledger.certificate import CommitCertificate, Vote
from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey
from ledger.ids import ZERO_HASH
from ledger.merkle import build, update
from ledger.receipt import ContractEvent, Receipt, receipts_root
from ledger.state import MemoryState
from ledger.transaction import SignerRef, TxBody, decode_transaction, sign_transaction
from node.core.effects import StoreBlock
from node.store.ledger import ChainStore

CHAIN_ID = b"\x11" * 32
KEYS = {
    "blocks": {1: b"b" * 32},
    "state": {1: b"s" * 32},
    "indexes": {1: b"i" * 32},
}
USER = SigningKey(b"\x55" * 32)
ACME = "c" + "a" * 26
BOLT = "c" + "b" * 26


@dataclass(frozen=True)
class Result:
    height: int
    writes: tuple[tuple[bytes, bytes | None], ...]
    nodes: Mapping[bytes, bytes | None]
    receipts: tuple[Receipt, ...]
    receipts_root: bytes
    state_root: bytes
    exec_root: bytes


def genesis(rows: Mapping[bytes, bytes]) -> tuple[MemoryState, bytes]:
    """Return the state of block 0 and its header bytes."""
    root, nodes = build({key: value for key, value in rows.items() if not key.startswith(b"x")})
    state = MemoryState(rows, nodes, 0, root, genesis_exec_root(root))
    return state, encode(_header(0, ZERO_HASH, (), 0, 0, state.exec_root))


def _header(
    height: int, parent: bytes, tx_ids: tuple[bytes, ...], size: int, exec_height: int, executed: bytes
) -> Header:
    return Header(
        version=1,
        chain_id=CHAIN_ID,
        epoch=0,
        height=height,
        parent_id=parent,
        tx_root=list_root(tx_ids),
        tx_count=len(tx_ids),
        size_bytes=size,
        time_ms=1_000 * height,
        proposer=0,
        exec_height=exec_height,
        exec_root=executed,
        members_hash=ZERO_HASH,
        next_members_hash=ZERO_HASH,
        evidence_root=EMPTY_LIST_ROOT,
        last_cert_height=max(0, height - 1),
        last_cert_hash=ZERO_HASH,
        params_hash=ZERO_HASH,
    )


def envelope(nonce: int, valid_until_height: int = 1_000) -> bytes:
    body = TxBody(1, (SignerRef("u" + "a" * 26, "maker", ACME),), nonce, valid_until_height, "c", "m", (nonce,), 10)
    return sign_transaction(body, [USER], CHAIN_ID)


def block(store: ChainStore, envelopes: tuple[bytes, ...], exec_height: int | None = None) -> StoreBlock:
    """Return the next block above the tip of `store`."""
    height = store.tip.height + 1
    named = height - 1 if exec_height is None else exec_height
    results = store.results(named)
    assert results is not None
    tx_ids = tuple(decode_transaction(item, CHAIN_ID).tx_id for item in envelopes)
    header = _header(height, store.tip.block_id, tx_ids, sum(map(len, envelopes)), named, results.exec_root)
    raw = encode(header)
    ref = BlockRef(height, block_id(raw), header.time_ms, named, height if tx_ids else store.tip.work_height)
    certificate = CommitCertificate(Vote(0, 0, height, ref.block_id), b"\x07", (b"s" * 64,) * 3)
    return StoreBlock(
        ref=ref,
        header=header,
        header_bytes=raw,
        envelopes=envelopes,
        tx_ids=tx_ids,
        certificate=certificate,
        after=0,  # type: ignore[arg-type]
    )


def result(
    store: ChainStore,
    effect: StoreBlock,
    writes: Mapping[bytes, bytes | None],
    events: int = 1,
    more: tuple[Receipt, ...] = (),
) -> Result:
    """Return the result of executing `effect` with these writes and `events` events a transaction, and `more` receipts
    behind theirs."""
    view = store.view()
    proven = [(key, value) for key, value in writes.items() if not key.startswith(b"x")]
    root, nodes = update(view.tree_node, view.state_root, proven)
    receipts = tuple(
        Receipt(
            tx_id,
            "c",
            1,
            "m",
            0,
            7,
            (),
            tuple(ContractEvent("c", "Moved", (ACME if i % 2 == 0 else BOLT, position, i)) for i in range(events)),
            None,
        )
        for position, tx_id in enumerate(effect.tx_ids)
    )
    receipts += more
    listed = receipts_root(receipts)
    return Result(
        height=effect.ref.height,
        writes=tuple(sorted(writes.items())),
        nodes=nodes,
        receipts=receipts,
        receipts_root=listed,
        state_root=root,
        exec_root=exec_root(view.exec_root, root, listed),
    )


def grow(store: ChainStore, count: int, writes: Mapping[bytes, bytes | None] | None = None, per_block: int = 2) -> None:
    """Add and execute `count` blocks; block h writes `h` under a key of its own and under a shared one."""
    for _ in range(count):
        height = store.tip.height + 1
        envelopes = tuple(envelope(height * 100 + i, height + 20) for i in range(per_block))
        effect = block(store, envelopes)
        store.add_block(effect)
        own = {b"tshared": b"%d" % height, b"trow%04d" % height: b"value %d" % height, b"xidx%04d" % height: b""}
        store.apply(result(store, effect, {**own, **(writes or {})}))


ROWS = {b"tshared": b"0", b"rcompany": b"acme", b"xlist": b""}
MAP_BYTES = 256 * 1024 * 1024


def make(path: Path, map_bytes: int = MAP_BYTES) -> ChainStore:
    state, header = genesis(ROWS)
    return ChainStore.create(path, KEYS, CHAIN_ID, state, header, map_bytes=map_bytes)


def reopen(store: ChainStore) -> ChainStore:
    store.close()
    return ChainStore.open(store.path, KEYS, CHAIN_ID, map_bytes=MAP_BYTES)


@pytest.fixture
def maker() -> SimpleNamespace:
    """The functions and constants of this file."""
    return SimpleNamespace(
        make=make, reopen=reopen, grow=grow, block=block, result=result, envelope=envelope, CHAIN_ID=CHAIN_ID,
        KEYS=KEYS, ACME=ACME, BOLT=BOLT, MAP_BYTES=MAP_BYTES,
    )  # fmt: skip
