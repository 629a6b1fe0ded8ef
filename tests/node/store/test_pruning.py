"""Pruning: what the rule keeps stays whole, what goes frees its space, and a crash leaves the old or the new file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ledger.errors import InvariantViolated
from ledger.merkle import prove, verify_proof
from node.store import pruning, swap
from node.store.ledger import ChainStore
from node.store.pruning import Keep, bound_of, compact, plan, prune
from node.store.snapshots import Snapshots


def grown(maker: SimpleNamespace, path: Path, height: int, per_block: int = 2) -> ChainStore:
    store = maker.make(path / "chain")
    for _ in range(height // 10):
        maker.grow(store, 10, per_block=per_block)
        store.flush()
    return store


def keep(blocks: int = 0, days: int = 0, validity: int = 20) -> Keep:
    return Keep(blocks=blocks, days=days, validity_heights=validity)


def test_everything_is_kept_by_default(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = grown(maker, tmp_path, 60)
    assert bound_of(store, keep()) == (1, "") and prune(store, keep()) == 0
    assert plan(store, keep()).blocks == 0


@pytest.mark.parametrize(
    ("rule", "bound", "limit"),
    [
        (keep(blocks=50), 51, ""),
        (keep(blocks=1_000), 1, ""),
        (keep(blocks=5), 80, "offered again"),
        (keep(blocks=5, validity=1), 84, "executes"),
        (keep(blocks=5, validity=200), 1, "offered again"),
        (keep(blocks=60, days=1), 1, ""),
    ],
)
def test_what_either_rule_keeps_stays_and_safety_comes_first(
    maker: SimpleNamespace, tmp_path: Path, rule: Keep, bound: int, limit: str
) -> None:
    store = grown(maker, tmp_path, 100)
    found, words = bound_of(store, rule)
    assert found == bound and (limit in words if limit else words == "")


def test_days_are_counted_back_from_the_newest_block(
    maker: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = grown(maker, tmp_path, 100)
    monkeypatch.setattr(pruning, "DAY_MS", 10_000)  # blocks of these tests are a second apart
    assert bound_of(store, keep(days=4)) == (60, "")
    assert bound_of(store, keep(days=4, blocks=70)) == (31, "")


def test_pruned_heights_are_gone_and_the_rest_is_as_before(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = grown(maker, tmp_path, 100)
    before = {height: (store.block(height), store.receipts(height), store.results(height)) for height in range(41, 101)}
    old = store.block(10)
    rule = keep(blocks=60)
    steps = 0
    while prune(store, rule, at_once=7):
        steps += 1
    assert steps == 6 and store.oldest_height == 41
    for reopened in (False, True):
        if reopened:
            store = maker.reopen(store)
            assert store.oldest_height == 41
        assert {h: (store.block(h), store.receipts(h), store.results(h)) for h in range(41, 101)} == before
        assert store.results(40) is not None, "proofs about height 41 begin with it"
        assert store.results(39) is None
        assert [event.height for event in store.events(None, 3)] == [41, 41, 42]
        own = [event.height for event in store.events(None, 500, company=maker.ACME)]
        assert own[0] == 41 and own[-1] == store.executed_height
        view = store.view()
        assert view.state_root == store.results(view.height).state_root
        assert store.view().get(b"trow0003") == b"value 3", "the state is never pruned"
    reopened_store = maker.reopen(store)
    assert reopened_store.block(10) is None and reopened_store.header(10) is None
    assert reopened_store.receipts(10) is None
    assert reopened_store.find_transaction(old.tx_ids[0]) is None and reopened_store.height_of(old.ref.block_id) is None
    assert reopened_store.skeleton(30, 45, 1 << 20).first == 41
    view = reopened_store.view()
    assert verify_proof(view.state_root, b"trow0003", prove(view, b"trow0003")) == (True, b"value 3")


def test_a_plan_says_what_would_go_and_changes_nothing(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = grown(maker, tmp_path, 100)
    found = plan(store, keep(blocks=60))
    assert (found.oldest, found.bound, found.blocks, found.tip, found.limit) == (1, 41, 40, 100, "")
    assert found.payload_bytes == sum(len(e) for h in range(1, 41) for e in store.block(h).envelopes)
    assert store.oldest_height == 0 and store.block(1) is not None


def test_the_file_shrinks_by_what_was_pruned(maker: SimpleNamespace, tmp_path: Path) -> None:
    """Q15: at least 90 % of the pruned payload is given back."""
    store = grown(maker, tmp_path, 400, per_block=20)
    rule = keep(blocks=40)
    found = plan(store, rule)
    before = store.size_bytes()
    assert found.payload_bytes > 1_000_000
    while prune(store, rule, at_once=50):
        pass
    grown_to = store.size_bytes()
    assert before <= grown_to < before + before // 4, "LMDB itself gives nothing back, and uses freed pages again"
    assert before - store.live_bytes() > found.payload_bytes
    oldest, results = store.oldest_height, store.results(store.base_height)
    store = compact(store, maker.KEYS, maker.CHAIN_ID, maker.MAP_BYTES)
    assert before - store.size_bytes() >= 0.9 * found.payload_bytes
    assert (store.oldest_height, store.tip.height) == (oldest, 400)
    assert store.view().state_root == results.state_root, "a start executes the last blocks again from here"
    assert {path.name for path in tmp_path.iterdir()} == {"chain"}
    assert maker.reopen(store).tip.height == 400


def test_a_file_without_much_to_give_back_is_left_alone(
    maker: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = grown(maker, tmp_path, 300, per_block=20)
    assert not pruning.worth_compacting(store)
    monkeypatch.setattr(pruning, "SLACK_BYTES", 100_000)
    while prune(store, keep(blocks=30), at_once=50):
        pass
    assert pruning.worth_compacting(store)
    monkeypatch.setattr(pruning, "free_bytes", lambda path: 0)
    assert not pruning.worth_compacting(store), "the copy needs room"


def test_a_crash_while_compacting_leaves_one_whole_store(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = grown(maker, tmp_path, 100)
    while prune(store, keep(blocks=60)):
        pass
    folder = tmp_path / "chain.compact"
    folder.mkdir()
    (folder / "data.mdb").write_bytes(b"half a copy")
    store.close()
    swap.settle(tmp_path / "chain")
    opened = ChainStore.open(tmp_path / "chain", maker.KEYS, maker.CHAIN_ID, map_bytes=maker.MAP_BYTES)
    assert opened.oldest_height == 41
    again = compact(opened, maker.KEYS, maker.CHAIN_ID, maker.MAP_BYTES)
    assert again.oldest_height == 41 and not folder.exists()


def test_a_running_node_waits_until_enough_is_due(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = grown(maker, tmp_path, 100)
    assert prune(store, keep(blocks=90), least=32) == 0
    assert prune(store, keep(blocks=60), least=32) == 32


def test_what_a_start_needs_is_never_forgotten(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = grown(maker, tmp_path, 50)
    with pytest.raises(InvariantViolated, match="forgetting below"):
        store.forget(store.base_height + 1)
    with pytest.raises(InvariantViolated, match="forgetting below"):
        store.forget(1)


def with_snapshots(
    maker: SimpleNamespace, path: Path, height: int, every: int, made: Callable[[int], bool] = lambda _: True
) -> tuple[ChainStore, Snapshots]:
    """A store that was flushed after every block, and the snapshots of the grid, as far as they were made."""
    store = maker.make(path / "chain")
    store.snapshot_every = every
    shelf = Snapshots(store, maker.KEYS, maker.CHAIN_ID, lambda _: [], maker.MAP_BYTES)
    for _ in range(height):
        maker.grow(store, 1)
        store.flush()
        if store.snapshot_due and made(store.base_height):
            shelf.begin()
        while shelf.step():
            pass
    return store, shelf


@pytest.mark.parametrize("height", [75, 79, 83, 95])
def test_p107_who_takes_a_snapshot_that_is_kept_finds_the_ids_below_it(
    maker: SimpleNamespace, tmp_path: Path, height: int
) -> None:
    """All members may prune as tightly as they can: a node that joins asks them for `validity` blocks below H."""
    store, shelf = with_snapshots(maker, tmp_path, height, every=20)
    rule = keep(blocks=1, validity=30)
    while prune(store, rule):
        pass
    assert len(shelf.heights) == 2
    for taken in shelf.heights:
        low = max(1, taken - 30 + 1)
        skeleton = store.skeleton(low, taken, 1 << 22)
        assert skeleton is not None and skeleton.first == low
        assert len(store.blocks(taken + 1, height, 1 << 22)) == height - taken, "and the blocks above it"
    assert store.oldest_height == shelf.heights[0] - 29, "nothing else is kept"
    found = plan(store, rule)
    assert found.blocks == 0 and "a node that joins" in found.limit


def test_p107_a_snapshot_that_is_being_made_counts_and_so_does_one_to_come(
    maker: SimpleNamespace, tmp_path: Path
) -> None:
    store, shelf = with_snapshots(maker, tmp_path, 95, every=20, made=lambda _: False)
    rule = keep(blocks=1, validity=30)
    assert bound_of(store, rule)[0] == 95 - 2 * 20 - 30 + 1, "until there is one, as if there were the usual two"
    while store.base_height < 100:
        maker.grow(store, 1)
        store.flush()
    shelf.begin()
    tip = store.tip.height
    assert shelf.heights == () and bound_of(store, rule)[0] == 100 - 30 + 1
    while shelf.step():
        pass
    assert shelf.heights == (100,) and bound_of(store, rule)[0] == 100 - 30 + 1 < tip - 30
    shelf.close()
    assert bound_of(maker.reopen(store), rule)[0] == tip - 30, "a node that makes none keeps nothing for them"


def test_an_old_snapshot_holds_pruning_up_for_three_steps_and_not_for_ever(
    maker: SimpleNamespace, tmp_path: Path
) -> None:
    """No later one was made, for want of room: blocks that stay without end would take the rest of it."""
    store, shelf = with_snapshots(maker, tmp_path, 130, every=20, made=lambda height: height <= 40)
    assert shelf.heights == (20, 40)
    assert bound_of(store, keep(blocks=1, validity=30))[0] == 130 - 3 * 20 - 30 + 1
