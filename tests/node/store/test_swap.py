"""A sync or rename that fails ends the process with its cause, and the next start finds one whole store (P91, P94, B22)."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from node.store import swap
from node.store.errors import DISK_FULL, StoreFailed
from node.store.ledger import ChainStore
from node.store.pruning import Keep, compact, prune


def failing_sync(monkeypatch: pytest.MonkeyPatch, number: int, code: int = errno.EIO) -> list[int]:
    """Let the fsync of a folder fail at its `number`-th call from now on; returns the calls so far."""
    real, calls = os.fsync, [0]

    def fsync(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            calls[0] += 1
            if calls[0] == number:
                raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return calls


def pruned(maker: SimpleNamespace, path: Path) -> ChainStore:
    store = maker.make(path / "chain")
    maker.grow(store, 100)
    store.flush()
    while prune(store, Keep(blocks=40, days=0, validity_heights=10)):
        pass
    return store


@pytest.mark.parametrize("number", range(1, 7))
def test_a_failed_sync_while_compacting_stops_and_loses_nothing(
    maker: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = pruned(maker, tmp_path)
    oldest = store.oldest_height
    with monkeypatch.context() as patch:
        calls = failing_sync(patch, number)
        try:
            compact(store, maker.KEYS, maker.CHAIN_ID, maker.MAP_BYTES).close()
            assert calls[0] < number, "a failed sync was treated as done (MU76)"
        except (StoreFailed, OSError) as error:
            assert "Input/output error" in str(error)
    store.close()
    swap.settle(tmp_path / "chain")
    opened = ChainStore.open(tmp_path / "chain", maker.KEYS, maker.CHAIN_ID, map_bytes=maker.MAP_BYTES)
    assert (opened.tip.height, opened.oldest_height) == (100, oldest)
    assert opened.block(oldest) is not None


def test_a_full_disk_is_named(maker: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = pruned(maker, tmp_path)
    store.close()
    folder = tmp_path / "copy"
    folder.mkdir()
    failing_sync(monkeypatch, 1, errno.ENOSPC)
    with pytest.raises(StoreFailed, match="free space") as caught:
        swap.offer(folder, tmp_path / "chain")
    assert caught.value.cause == DISK_FULL
    assert (tmp_path / "chain").exists()


def test_nothing_to_settle_changes_nothing(tmp_path: Path) -> None:
    assert not swap.settle(tmp_path / "chain")
    assert list(tmp_path.iterdir()) == []
