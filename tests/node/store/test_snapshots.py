"""Snapshots: made at heights of the grid, served in proven chunks, collected, resumed and installed whole (P107, C24)."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from ledger.errors import InvariantViolated
from ledger.ids import HASH_BYTES
from ledger.merkle import build, prefix_of, root_from_range
from ledger.state import StateView
from node.core.messages import Chunk, SnapshotManifest
from node.store import snapshots as rules
from node.store import swap
from node.store.ledger import ChainStore
from node.store.snapshots import Snapshots

EVERY = 20


def no_index(_view: StateView) -> list[tuple[bytes, bytes]]:
    return []


def index_of(view: StateView) -> list[tuple[bytes, bytes]]:
    """The index that the programs of these tests have: one entry for each row of a table."""
    return [(b"xidx" + key[4:], b"") for key in view.scan(b"trow", b"trox", 100_000)]


def shelf_of(store: ChainStore, maker: SimpleNamespace, index=index_of) -> Snapshots:
    return Snapshots(store, maker.KEYS, maker.CHAIN_ID, index, maker.MAP_BYTES)


def grown(maker: SimpleNamespace, path: Path, height: int, every: int = EVERY) -> tuple[ChainStore, Snapshots]:
    """A store that was flushed after every block, and its snapshots, made as they fell due."""
    store = maker.make(path / "chain")
    store.snapshot_every = every
    shelf = shelf_of(store, maker)
    for _ in range(height):
        maker.grow(store, 1)
        store.flush()
        if store.snapshot_due:
            shelf.begin()
        while shelf.step():
            pass
    return store, shelf


def chunks_of(shelf: Snapshots, manifest: SnapshotManifest) -> list[Chunk]:
    found = [shelf.chunk(manifest.height, manifest.depth, index) for index in range(1 << 4 * manifest.depth)]
    assert all(chunk is not None for chunk in found)
    return [chunk for chunk in found if chunk is not None]


def transfer(store: ChainStore, shelf: Snapshots, joiner: Snapshots, manifest: SnapshotManifest, skip: int = 0) -> None:
    """Give `joiner` everything of a snapshot but the first `skip` chunks."""
    joiner.begin_joining(manifest)
    for chunk in chunks_of(shelf, manifest)[skip:]:
        joiner.keep_chunk(chunk.index, chunk.rows)
    skeleton = store.skeleton(1, manifest.height, 1 << 22)
    assert skeleton is not None
    ids = [store.header(height).ref.block_id for height in range(1, manifest.height + 1)]
    blocks = tuple(zip(ids, skeleton.tx_ids, strict=True))
    joiner.keep_skeleton(1, store.header(0).ref.block_id, blocks, 1_000)


@pytest.mark.parametrize("chunk_bytes", [1024 * 1024, 400, 120])
def test_a_snapshot_holds_exactly_the_state_of_its_height(
    maker: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr(rules, "CHUNK_BYTES", chunk_bytes)
    store, shelf = grown(maker, tmp_path, 75)
    assert shelf.heights == (40, 60), "of three the newest two are kept"
    (manifest,) = shelf.offer(0).manifests
    assert manifest.height == 60 and shelf.offer(60).manifests == ()
    rows: dict[bytes, bytes] = {}
    for chunk in chunks_of(shelf, manifest):
        prefix = prefix_of(chunk.index, manifest.depth)
        assert root_from_range(prefix, chunk.rows, chunk.proof) == manifest.state_root
        rows.update(chunk.rows)
    assert (manifest.depth > 0) is (chunk_bytes < 1024)
    assert rows[b"tshared"] == b"60" and b"trow0061" not in rows and len(rows) == manifest.rows
    assert build(rows)[0] == manifest.state_root == store.results(60).state_root
    assert not [key for key in rows if key.startswith(b"x")]


def test_two_nodes_make_the_same_snapshot_whatever_they_flush(maker: SimpleNamespace, tmp_path: Path) -> None:
    _, first = grown(maker, tmp_path / "a", 50)
    store = maker.make(tmp_path / "b" / "chain")
    store.snapshot_every = EVERY
    second = shelf_of(store, maker)
    while store.executed_height < 50:
        maker.grow(store, 3 if store.executed_height < 48 else 1)
        store.flush()
        if store.snapshot_due:
            second.begin()
        while second.step():
            maker.grow(store, 0)
    assert first.heights == second.heights == (20, 40)
    (one,), (other,) = first.offer(0).manifests, second.offer(0).manifests
    assert (one.state_root, one.depth, one.rows) == (other.state_root, other.depth, other.rows)
    assert chunks_of(first, one) == chunks_of(second, other)


def test_a_joining_node_stands_at_the_height_of_the_snapshot(maker: SimpleNamespace, tmp_path: Path) -> None:
    store, shelf = grown(maker, tmp_path / "old", 55)
    (manifest,) = shelf.offer(0).manifests
    fresh = maker.make(tmp_path / "new" / "chain")
    joiner = shelf_of(fresh, maker)
    transfer(store, shelf, joiner, manifest)
    joiner.install()
    joiner.close()
    fresh.close()
    assert swap.settle(fresh.path)
    joined = ChainStore.open(fresh.path, maker.KEYS, maker.CHAIN_ID, map_bytes=maker.MAP_BYTES)
    assert joined.tip.height == joined.executed_height == joined.base_height == 40
    assert joined.tip == store.header(40).ref and joined.tip_certificate == store.header(40).certificate
    assert joined.executed(9) == ((40, store.results(40).exec_root),)
    view, then = joined.view(), store
    assert view.state_root == then.results(40).state_root
    assert view.get(b"tshared") == b"40"
    assert view.scan(b"trow", b"trox", 1_000) == [b"trow%04d" % h for h in range(1, 41)]
    assert view.scan(b"xidx", b"xidy", 1_000) == [b"xidx%04d" % h for h in range(1, 41)], "the index is rebuilt (H6)"
    assert joined.oldest_height == 41 and joined.block(40) is None and joined.receipts(39) is None
    assert joined.events(None, 10) == []
    old = store.block(30)
    assert joined.find_transaction(old.tx_ids[1]) == (30, 1)
    assert joined.height_of(old.ref.block_id) == 30
    remembered = {tx_id for tx_id, _, until in joined.recent_ids() if until >= 40}
    assert {tx_id for height in range(1, 41) for tx_id in store.block(height).tx_ids} == remembered
    # and it goes on with the same blocks as the others
    for height in range(41, 56):
        source = store.block(height)
        effect = maker.block(joined, source.envelopes)
        assert effect.ref == source.ref
        joined.add_block(effect)
        own = {
            b"tshared": b"%d" % height,
            b"trow%04d" % height: b"value %d" % height,
            b"xidx%04d" % height: b"",
        }
        joined.apply(maker.result(joined, effect, own))
    assert joined.results(55) == store.results(55)
    joined.flush()
    assert maker.reopen(joined).oldest_height == 41


def test_what_was_collected_survives_a_crash_and_the_rest_is_asked_for(
    maker: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "CHUNK_BYTES", 400)
    store, shelf = grown(maker, tmp_path / "old", 55)
    (manifest,) = shelf.offer(0).manifests
    fresh = maker.make(tmp_path / "new" / "chain")
    joiner = shelf_of(fresh, maker)
    transfer(store, shelf, joiner, manifest, skip=5)
    with pytest.raises(InvariantViolated, match="chunk 0"):
        joiner.install()
    joiner.close()
    again = shelf_of(fresh, maker)
    assert again.collected is not None and again.collected.manifest == manifest
    missing = sorted(set(range(1 << 4 * manifest.depth)) - set(again.collected.chunks))
    assert missing == [0, 1, 2, 3, 4]
    assert (again.collected.skeleton_from, len(again.collected.skeleton_parent)) == (1, HASH_BYTES)
    for chunk in chunks_of(shelf, manifest)[:5]:
        again.keep_chunk(chunk.index, chunk.rows)
    again.install()
    again.close()
    fresh.close()
    assert swap.settle(fresh.path) and not swap.settle(fresh.path)


def test_never_half_a_state_whatever_rename_a_crash_hits(maker: SimpleNamespace, tmp_path: Path) -> None:
    store, shelf = grown(maker, tmp_path / "old", 45)
    (manifest,) = shelf.offer(0).manifests
    for crash in range(4):
        home = tmp_path / f"new{crash}"
        fresh = maker.make(home / "chain")
        joiner = shelf_of(fresh, maker)
        transfer(store, shelf, joiner, manifest)
        if crash > 0:
            joiner.install()
        joiner.close()
        fresh.close()
        if crash == 2:
            (home / "chain").rename(home / "chain.replaced")
        if crash == 3:
            (home / "chain").rename(home / "chain.replaced")
            (home / "chain.next").rename(home / "chain")
        swap.settle(home / "chain")
        opened = ChainStore.open(home / "chain", maker.KEYS, maker.CHAIN_ID, map_bytes=maker.MAP_BYTES)
        assert opened.tip.height == (0 if crash == 0 else manifest.height)
        assert {path.name for path in home.iterdir()} <= {"chain", "chain.joining", "snapshots"}
        opened.close()


def test_an_unfinished_or_damaged_snapshot_is_deleted_at_the_next_start(maker: SimpleNamespace, tmp_path: Path) -> None:
    store, shelf = grown(maker, tmp_path, 50)
    shelf.close()
    folder = tmp_path / "snapshots"
    (folder / "60.unfinished").mkdir()
    (folder / "20" / "data.mdb").write_bytes(b"garbage")
    again = shelf_of(store, maker)
    assert again.heights == (40,)
    assert sorted(path.name for path in folder.iterdir()) == ["40"]


def test_a_snapshot_in_the_making_does_not_see_later_blocks(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = maker.make(tmp_path / "chain")
    store.snapshot_every = EVERY
    shelf = shelf_of(store, maker)
    while not store.snapshot_due:
        maker.grow(store, 1)
        store.flush()
    shelf.begin()
    maker.grow(store, 30, {b"trow0001": None})
    store.flush()
    while shelf.step():
        store.flush()
    (manifest,) = shelf.offer(0).manifests
    rows = dict(row for chunk in chunks_of(shelf, manifest) for row in chunk.rows)
    assert rows[b"trow0001"] == b"value 1" and rows[b"tshared"] == b"20"


def test_a_stolen_snapshot_shows_no_values(maker: SimpleNamespace, tmp_path: Path) -> None:
    """S110: what is kept for others is sealed like the state itself."""
    _, shelf = grown(maker, tmp_path, 45)
    shelf.close()
    for path in (tmp_path / "snapshots").rglob("data.mdb"):
        assert b"value 7" not in path.read_bytes()


def test_asking_for_what_is_not_there_is_answered_with_nothing(maker: SimpleNamespace, tmp_path: Path) -> None:
    store, shelf = grown(maker, tmp_path, 45)
    (held,) = shelf.offer(0).manifests
    height, depth = held.height, held.depth
    wrong = ((height, depth, 1 << 20), (height, depth, -1), (height - 1, depth, 0), (height, depth + 1, 0))
    assert shelf.chunk(height, depth, 0) is not None and not any(shelf.chunk(*one) for one in wrong)
    assert store.skeleton(46, 50, 1000) is None
    cut = store.skeleton(1, 45, 600)
    assert cut is not None and 0 < len(cut.headers) < 45 and cut.first + len(cut.headers) - 1 == 45
    shutil.rmtree(tmp_path / "snapshots")


def test_p107_headers_and_ids_are_bounded_by_what_has_to_be_read_for_them(
    maker: SimpleNamespace, tmp_path: Path
) -> None:
    """Ids stand in the row of the envelopes: full blocks would cost tens of megabytes for one answer."""
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 20, per_block=10)
    store.flush()
    each = sum(len(envelope) for envelope in store.block(20).envelopes)
    found = store.skeleton(1, 20, 5 * each)
    assert found is not None and found.first + len(found.headers) - 1 == 20 and 1 < len(found.headers) <= 5
    least = store.skeleton(1, 20, 1)
    assert least is not None and least.first == 20, "one block is always shown"


def test_a_snapshot_that_cannot_be_made_is_reported_once(
    maker: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = maker.make(tmp_path / "chain")
    store.snapshot_every = EVERY
    told: list[str] = []
    shelf = Snapshots(store, maker.KEYS, maker.CHAIN_ID, index_of, maker.MAP_BYTES, told.append)
    while not store.snapshot_due:
        maker.grow(store, 1)
        store.flush()
    monkeypatch.setattr(rules, "CHUNK_BYTES", 10)
    for _ in range(3):
        shelf.begin()
        while shelf.step():
            pass
    assert shelf.heights == () and len(told) == 1 and "in one subtree" in told[0]
    monkeypatch.setattr(rules, "CHUNK_BYTES", 1 << 20)
    monkeypatch.setattr(rules, "free_bytes", lambda path: 0)
    while store.base_height < 2 * EVERY:
        maker.grow(store, 1)
        store.flush()
    shelf.begin()
    assert not shelf.step() and "free space" in told[1]
    assert not list((tmp_path / "snapshots").iterdir())
