"""The chain store: blocks, results and state, views of older heights, and what a crash leaves (E25, U6)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from ledger.errors import InvariantViolated
from ledger.merkle import prove, verify_proof
from ledger.receipt import ContractEvent, Receipt
from node.store import ledger
from node.store.errors import StoreCorrupt, StoreError, StoreFailed, StoreMissing, cause_of
from node.store.ledger import ChainStore
from node.store.views import RETAINED_HEIGHTS


def test_a_new_store_shows_block_0_and_its_state(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = maker.make(tmp_path / "chain")
    assert store.tip.height == 0 == store.executed_height == store.durable_height
    view = store.view()
    assert view.get(b"rcompany") == b"acme"
    assert view.get(b"missing") is None
    assert verify_proof(view.state_root, b"tshared", prove(view, b"tshared")) == (True, b"0")
    assert store.executed(8) == ((0, view.exec_root),)
    assert store.recent_ids() == ()
    assert store.events(None, 10) == []
    assert maker.reopen(store).view().state_root == view.state_root


def test_an_unfinished_store_is_made_again(maker: SimpleNamespace, tmp_path: Path) -> None:
    """A node that was killed during its very first start starts the next time."""
    (tmp_path / "chain.unfinished").mkdir()
    (tmp_path / "chain.unfinished" / "data.mdb").write_bytes(b"half")
    assert not ChainStore.exists(tmp_path / "chain")
    assert maker.make(tmp_path / "chain").tip.height == 0
    assert ChainStore.exists(tmp_path / "chain") and not (tmp_path / "chain.unfinished").exists()


def test_every_retained_height_can_be_read_and_proven(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = maker.make(tmp_path / "chain")
    for step in range(40):
        maker.grow(store, 1)
        if step % 5 == 4:
            store.flush()
        top = store.executed_height
        for height in range(max(0, top - RETAINED_HEIGHTS), top + 1):
            view = store.at(height)
            assert view is not None and view.height == height
            assert view.get(b"tshared") == b"%d" % height
            assert view.get(b"trow%04d" % (height + 1)) is None
            rows = view.scan(b"trow", b"trox", 1_000)
            assert rows == [b"trow%04d" % h for h in range(1, height + 1)]
            results = store.results(height)
            assert results is not None and results.state_root == view.state_root
            assert verify_proof(view.state_root, b"tshared", prove(view, b"tshared")) == (True, b"%d" % height)
    assert store.at(store.executed_height + 1) is None
    assert store.base_height > 0
    assert store.at(store.base_height - 1) is None


def test_a_view_does_not_change_while_it_is_held(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 20)
    held = store.view()
    maker.grow(store, 30, {b"trow0001": None})
    store.flush()
    assert store.base_height > 20
    assert held.get(b"trow0001") == b"value 1"
    assert held.get(b"tshared") == b"20"
    assert held.scan(b"trow", b"trox", 100) == [b"trow%04d" % h for h in range(1, 21)]
    assert verify_proof(held.state_root, b"trow0001", prove(held, b"trow0001")) == (True, b"value 1")
    assert store.view().get(b"trow0001") is None


def test_the_row_count_is_that_of_the_disk(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = maker.make(tmp_path / "chain")
    founding = store.row_count()
    maker.grow(store, 20)
    assert store.row_count() == founding, "nothing is flushed yet"
    store.flush()
    flushed = store.at(store.base_height)
    assert flushed is not None
    assert store.row_count() == len(flushed.scan(b"", b"\xff" * 16, 10_000)) > founding


def test_what_lmdb_keeps_of_its_largest_write_is_known(maker: SimpleNamespace, tmp_path: Path) -> None:
    """E39: these are pages of the ledger file, which the private memory of a node leaves out."""
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 1)
    store.flush()
    small = store.write_buffer_bytes()
    maker.grow(store, 12, per_block=200)
    store.flush()
    large = store.write_buffer_bytes()
    maker.grow(store, 1)
    store.flush()
    pages = store.size_bytes()
    assert 4096 < small < large <= pages, "no more than what the file holds, because all of it was written at once"
    assert store.write_buffer_bytes() == large, "the memory is kept for the next write"


@pytest.mark.parametrize("count", [0, 1, 3, 7, 100])
def test_scan_merges_memory_and_disk_in_order(maker: SimpleNamespace, tmp_path: Path, count: int) -> None:
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 40)
    store.flush()
    maker.grow(store, 3, {b"trow0002": None, b"trow0041a": b"new", b"trow0000": b"first"})
    expected = [b"trow0000", b"trow0001", *(b"trow%04d" % h for h in range(3, 42)), b"trow0041a"]
    expected += [b"trow0042", b"trow0043"]
    assert store.view().scan(b"trow", b"trox", count) == expected[:count]
    assert store.view().scan(b"trow0003", b"trow0005", 100) == [b"trow0003", b"trow0004"]
    assert store.view().scan(b"x", b"y", 2) == [b"xidx0001", b"xidx0002"]


def test_what_was_flushed_survives_and_the_rest_is_executed_again(maker: SimpleNamespace, tmp_path: Path) -> None:
    """E25: state lags, blocks and receipts do not; executing again gives the recorded results."""
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 30)
    assert store.flush() == 30
    roots = [store.results(height) for height in range(31)]
    maker.grow(store, 2)  # lost: never flushed
    store = maker.reopen(store)
    assert (store.tip.height, store.durable_height, store.base_height) == (30, 30, 30 - RETAINED_HEIGHTS)
    assert store.executed_height == store.base_height
    assert store.view().get(b"tshared") == b"%d" % (30 - RETAINED_HEIGHTS)
    assert [store.results(height) for height in range(31)] == roots
    for height in range(store.executed_height + 1, 31):
        held = store.block(height)
        assert held is not None
        writes = {b"tshared": b"%d" % height, b"trow%04d" % height: b"value %d" % height, b"xidx%04d" % height: b""}
        store.apply(maker.result(store, held, writes))  # type: ignore[arg-type]
    assert store.view().state_root == roots[30].state_root  # type: ignore[union-attr]
    assert store.unflushed == 0
    maker.grow(store, 1)
    assert store.flush() == 31
    assert store.receipts(30) is not None


def test_another_result_for_a_recorded_height_is_divergence(maker: SimpleNamespace, tmp_path: Path) -> None:
    """S111: two different results of one height can never both be believed."""
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 20)
    store.flush()
    store = maker.reopen(store)
    held = store.block(store.executed_height + 1)
    assert held is not None
    with pytest.raises(InvariantViolated, match="state divergence"):
        store.apply(maker.result(store, held, {b"tshared": b"forged"}))  # type: ignore[arg-type]


def test_blocks_are_found_by_height_id_and_transaction(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 5)
    for flushed in (False, True):
        if flushed:
            store.flush()
            store = maker.reopen(store)
        tip = store.block(5)
        assert tip is not None and tip.ref == store.tip and tip.certificate == store.tip_certificate
        assert tip.ref.work_height == 5
        assert store.height_of(tip.ref.block_id) == 5
        assert store.height_of(b"?" * 32) is None and store.height_of(b"short") is None
        assert store.find_transaction(tip.tx_ids[1]) == (5, 1)
        assert store.find_transaction(b"?" * 32) is None and store.find_transaction(b"") is None
        receipt = store.receipt(5, 1)
        assert receipt is not None and receipt.tx_id == tip.tx_ids[1]
        assert store.receipt(5, 2) is None and store.receipt(6, 0) is None
        assert [block.header for block in store.blocks(1, 99, 10**9)] == [
            item.header_bytes for height in range(1, 6) if (item := store.block(height))
        ]
        assert store.header(6) is None and store.header(-1) is None and store.block(99) is None


def test_ranges_stay_within_one_frame(maker: SimpleNamespace, tmp_path: Path) -> None:
    """P107: as many blocks as fit, and at least one, however large."""
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 6, per_block=4)
    one = store.blocks(1, 1, 10**9)
    assert store.blocks(1, 6, 1) == one
    assert len(store.blocks(1, 6, 3_000)) == 2
    assert store.blocks(7, 9, 10**9) == () == store.blocks(5, 4, 10**9)


def test_many_receipts_of_a_block_come_back_in_order(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 1, per_block=150)
    maker.grow(store, 1, per_block=64)
    maker.grow(store, 1, per_block=0)
    expected = [store.receipts(height) for height in (1, 2, 3)]
    store.flush()
    store = maker.reopen(store)
    assert [store.receipts(height) for height in (1, 2, 3)] == expected
    assert store.receipt(1, 149) == expected[0][149]  # type: ignore[index]
    assert store.receipts(4) is None


def test_recent_ids_are_those_that_could_still_be_offered(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 30, per_block=1)  # block h: valid until h + 20
    for flushed in (False, True):
        if flushed:
            store.flush()
            store = maker.reopen(store)
        assert sorted((height, until) for _, height, until in store.recent_ids()) == [
            (height, height + 20) for height in range(10, 31)
        ]
    effect = maker.block(store, (maker.envelope(1, 30),), exec_height=14)
    store.add_block(effect)
    assert (effect.tx_ids[0], 31, 30) not in store.recent_ids()


def test_events_in_order_by_cursor_and_by_company(maker: SimpleNamespace, tmp_path: Path) -> None:
    """U36: the cursor is height, position, index; nothing twice, nothing lost, flushed or not."""
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 4, per_block=2)
    store.flush()
    maker.grow(store, 3, per_block=2)
    everything = store.events(None, 1_000)
    places = [(row.height, row.position, row.index) for row in everything]
    assert places == [(height, position, 0) for height in range(1, 8) for position in range(2)]
    collected: list[tuple[int, int, int]] = []
    after = None
    while page := store.events(after, 3):
        collected += [(row.height, row.position, row.index) for row in page]
        after = collected[-1]
    assert collected == places
    assert store.events(None, 1_000, company=maker.ACME) == everything
    assert store.events((2, 1, 0), 2, company=maker.ACME) == everything[4:6]
    assert store.events(None, 1_000, company=maker.BOLT) == []
    assert store.events(None, 1_000, company="c?") == []
    assert [row.height for row in store.events(None, 99, up_to=2)] == [1, 1, 2, 2]
    assert [row.height for row in store.events(None, 99, up_to=5, company=maker.ACME)][-1] == 5


@pytest.mark.control("S70", "L54")
def test_events_of_governance_are_everybodys_and_those_of_schedules_are_found(
    maker: SimpleNamespace, tmp_path: Path
) -> None:
    store = maker.make(tmp_path / "chain")
    for number in range(1, 5):
        effect = maker.block(store, (maker.envelope(number),))
        store.add_block(effect)
        behind = tuple(
            Receipt(bytes([number]) * 32, contract, 1, "m", 0, 1, (), (ContractEvent(contract, "E", fields),), None)
            for contract, fields in (
                ("governance", (maker.BOLT, True)),
                ("governance", (b"x",)),
                ("c", (maker.BOLT, 1)),
            )
        )
        store.apply(maker.result(store, effect, {b"t%d" % number: b"1"}, more=behind))
        if number == 2:
            store.flush()

    def places(company: str, after: tuple[int, int, int] | None = None, **how: object) -> list[tuple[int, int]]:
        return [(row.height, row.position) for row in store.events(after, 100, company=company, **how)]

    for _ in range(2):
        assert places(maker.ACME) == [(height, at) for height in range(1, 5) for at in range(3)]
        assert places(maker.BOLT) == [(height, at) for height in range(1, 5) for at in (1, 2, 3)]
        assert places(maker.BOLT, (2, 2, 0), up_to=3) == [(2, 3), (3, 1), (3, 2), (3, 3)]
        store.flush()
    assert store.find_transaction(bytes([1]) * 32) is None, "an entry of a schedule is no transaction"
    receipts = store.receipts(2)
    assert receipts is not None and len(receipts) == 4


def test_the_certifying_header_is_the_first_that_names_the_height(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 3)
    store.add_block(maker.block(store, (), exec_height=1))
    assert store.certifying_height(1) == 2
    assert store.certifying_height(2) == 3
    assert store.certifying_height(3) is None
    assert store.certified_height == 1


def test_order_of_heights_is_enforced(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 2)
    ahead = maker.block(store, ())
    store.add_block(ahead)
    store.add_block(ahead)  # idempotent by height
    with pytest.raises(InvariantViolated, match="after 3"):
        store.add_block(type(ahead)(**{**_fields(ahead), "ref": _at(ahead.ref, 5)}))
    good = maker.result(store, ahead, {})
    store.apply(good)
    with pytest.raises(InvariantViolated, match="result of height 3 after 3"):
        store.apply(good)
    other = maker.block(store, ())
    with pytest.raises(InvariantViolated, match="two certified blocks"):
        store.add_block(type(other)(**{**_fields(other), "ref": _at(other.ref, 3)}))


def _fields(effect: object) -> dict[str, object]:
    return {name: getattr(effect, name) for name in type(effect).__slots__}  # type: ignore[attr-defined]


def _at(ref, height):  # type: ignore[no-untyped-def]
    return type(ref)(height, ref.block_id, ref.time_ms, ref.exec_height, ref.work_height)


def test_a_batch_may_be_written_while_the_chain_goes_on(maker: SimpleNamespace, tmp_path: Path) -> None:
    """The write is ready bytes; blocks and results that arrive meanwhile belong to the next flush."""
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 20)
    batch = store.prepare()
    assert batch is not None
    store.write(batch)
    maker.grow(store, 3)
    assert store.finish(batch) == 20
    assert (store.tip.height, store.executed_height, store.unflushed) == (23, 23, 3)
    assert store.view().get(b"tshared") == b"23"
    assert store.receipts(22) is not None and store.receipts(3) is not None
    assert store.flush() == 23
    assert maker.reopen(store).tip.height == 23


def test_large_blocks_are_kept_only_as_far_as_a_header_may_certify(
    maker: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory of a loaded node: heights that the tip has certified go to the disk when many changes are held."""
    monkeypatch.setattr(ledger, "RETAINED_CHANGES", 20)
    monkeypatch.setattr(ledger, "WRITE_CHANGES", 10)
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 20, {b"tbig%d" % row: b"x" for row in range(10)})
    assert store.executed_height == 20 and store.certified_height >= 19
    seen: list[int] = []
    write = store.write
    monkeypatch.setattr(store, "write", lambda batch: (seen.append(batch.meta.base), write(batch)))
    assert store.flush() == 20
    assert store.base_height == 20 - 1 == seen[-1] and len(seen) > 10 and seen == sorted(seen)
    for height in (19, 20):
        assert store.at(height) is not None
    again = maker.reopen(store)
    assert (again.tip.height, again.base_height, again.executed_height) == (20, 19, 19)


def test_a_crash_between_the_parts_of_a_flush_leaves_a_whole_store(
    maker: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "WRITE_CHANGES", 1)
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 20)
    roots = {height: store.results(height) for height in range(1, 21)}
    for _ in range(5):
        batch = store.prepare()
        assert batch is not None
        store.write(batch)
        store.finish(batch)
    again = maker.reopen(store)
    assert again.tip.height == 20 and 0 < again.base_height < 20 - RETAINED_HEIGHTS
    assert {height: again.results(height) for height in range(1, 21)} == roots
    assert again.view().state_root == roots[again.base_height].state_root


def test_a_store_of_another_network_is_refused_by_name(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = maker.make(tmp_path / "chain")
    store.close()
    with pytest.raises(StoreError, match="belongs to the network 1111"):
        ChainStore.open(store.path, maker.KEYS, b"\x22" * 32, map_bytes=maker.MAP_BYTES)
    with pytest.raises(StoreMissing, match="hansa init"):
        ChainStore.open(tmp_path / "nowhere", maker.KEYS, maker.CHAIN_ID)
    with pytest.raises(StoreError, match="already holds"):
        maker.make(tmp_path / "chain")


@pytest.mark.control("S105", "T45")
def test_without_its_keys_the_store_does_not_open(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = maker.make(tmp_path / "chain")
    store.close()
    wrong = {**maker.KEYS, "indexes": {1: b"?" * 32}}
    with pytest.raises(StoreCorrupt, match="does not open"):
        ChainStore.open(store.path, wrong, maker.CHAIN_ID, map_bytes=maker.MAP_BYTES)


@pytest.mark.control("S110", "T45")
def test_nothing_written_can_be_read_in_the_raw_file(maker: SimpleNamespace, tmp_path: Path) -> None:
    store = maker.make(tmp_path / "chain")
    maker.grow(store, 40, {b"tsecret": b"CANARY-VALUE"})
    store.flush()
    store.close()
    raw = (store.path / "data.mdb").read_bytes()
    assert b"CANARY-VALUE" not in raw
    assert maker.envelope(4000 + 100, 60)[60:90] not in raw


def test_a_full_map_is_named_with_the_setting_that_helps(maker: SimpleNamespace, tmp_path: Path) -> None:
    """Full disk and full map end the process with a clear error, and what was flushed stays."""
    store = maker.make(tmp_path / "chain", map_bytes=512 * 1024)
    with pytest.raises(StoreFailed, match=r"storage\.ledger_max_gib") as failure:
        for _ in range(200):
            maker.grow(store, 1, {b"tbig": b"x" * 20_000})
            store.flush()
    assert failure.value.cause == "map_full"
    durable = store.durable_height
    with pytest.raises(StoreFailed, match="end this process"):
        maker.grow(store, 1)
        store.flush()
    store.close()
    assert ChainStore.open(store.path, maker.KEYS, maker.CHAIN_ID, map_bytes=maker.MAP_BYTES).tip.height == durable


def test_a_disk_error_is_classified() -> None:
    assert cause_of(OSError(28, "No space left on device")) == "disk_full"
    assert cause_of(OSError(5, "Input/output error")) == "io"
