"""Committed blocks go into store and state strictly in order, and results are compared with what is certified (P83)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from consensus.events import Lsn
from ledger.block import block_id
from ledger.codec import encode
from ledger.errors import InvariantViolated
from node.core import effects as ne
from node.core.chain import RESULTS_KEPT, Chain, ref_of
from node.core.mempool import Candidate

from .conftest import Pool


def blocks(
    pool: Pool, count: int, *, exec_height: int = 0, exec_root: bytes = bytes(32)
) -> list[tuple[bytes, Candidate]]:
    """A chain of empty blocks on the genesis block; all name the same result."""
    found: list[tuple[bytes, Candidate]] = []
    parent = pool.league.genesis.ref.block_id
    for height in range(1, count + 1):
        header = msgspec.structs.replace(
            pool.league.genesis.header,
            height=height,
            parent_id=parent,
            time_ms=pool.league.genesis.ref.time_ms + height,
            exec_height=exec_height,
            exec_root=exec_root,
        )
        raw = encode(header)
        parent = block_id(raw)
        found.append((parent, Candidate(header, raw, (), (), (b"item",) if height == 2 else ())))
    return found


@pytest.fixture
def pool(make: Callable[..., Pool]) -> Pool:
    return make()


def chain(pool: Pool) -> Chain:
    return Chain(pool.league.genesis.ref, 0, {0: bytes(32)})


def deliver(one: Chain, pool: Pool, block: tuple[bytes, Candidate], after: int = 0) -> list[ne.NodeEffect]:
    ref = ref_of(block[0], block[1], one.tip)
    return one.deliver(ref, block[1], pool.league.certificate, Lsn(after))


def test_blocks_are_stored_at_once_and_executed_one_after_the_other(pool: Pool) -> None:
    one = chain(pool)
    first, second, third = blocks(pool, 3)
    assert [type(effect) for effect in deliver(one, pool, first, 7)] == [ne.StoreBlock, ne.Execute]
    (stored,) = deliver(one, pool, second, 9)  # the first is still running
    assert isinstance(stored, ne.StoreBlock) and (stored.after, stored.envelopes, stored.tx_ids) == (9, (b"item",), ())
    deliver(one, pool, third)
    (execute,) = one.finished(1, b"\1" * 32)
    assert isinstance(execute, ne.Execute)
    assert (execute.height, execute.after, execute.evidence, execute.transactions) == (2, 9, (b"item",), ())
    assert one.executed == 1 and one.root == b"\1" * 32
    one.finished(2, b"\2" * 32)
    assert one.finished(3, b"\3" * 32) == [] and one.root == b"\3" * 32


def test_delivery_is_idempotent_by_height_and_a_gap_is_our_bug(pool: Pool) -> None:
    one = chain(pool)
    first, second, third = blocks(pool, 3)
    deliver(one, pool, first)
    assert (
        one.deliver(ref_of(first[0], first[1], pool.league.genesis.ref), first[1], pool.league.certificate, Lsn(0))
        == []
    )
    with pytest.raises(InvariantViolated):
        deliver(one, pool, third)
    stray = (second[0], Candidate(msgspec.structs.replace(second[1].header, parent_id=bytes(32)), b"", (), ()))
    with pytest.raises(InvariantViolated):
        deliver(one, pool, stray)
    with pytest.raises(InvariantViolated):
        one.finished(2, bytes(32))


def test_p83_a_certified_result_that_differs_is_divergence_now_or_later(pool: Pool) -> None:
    later = chain(pool)
    for block in blocks(pool, 3, exec_height=2, exec_root=b"\x09" * 32):
        deliver(later, pool, block)
    later.finished(1, b"\1" * 32)
    assert not later.divergence  # not executed yet: kept for comparing
    later.finished(2, b"\2" * 32)
    assert (
        "height 2" in later.divergence
        and ("09" * 32) in later.divergence
        and "fetch the chain anew" in later.divergence
    )
    now = chain(pool)
    first = blocks(pool, 1, exec_height=0, exec_root=b"\x09" * 32)[0]
    deliver(now, pool, first)
    assert "height 0" in now.divergence
    good = chain(pool)
    deliver(good, pool, blocks(pool, 1)[0])
    assert not good.divergence


def test_results_are_remembered_for_as_long_as_headers_may_name_them(pool: Pool) -> None:
    one = chain(pool)
    many = blocks(pool, RESULTS_KEPT + 5)
    for block in many:
        deliver(one, pool, block)
    for height in range(1, len(many) + 1):
        one.finished(height, bytes([height]) * 32)
    assert sorted(one.roots) == list(range(len(many) - RESULTS_KEPT + 1, len(many) + 1))
    assert not one._certified


def test_p47_evidence_alone_is_work_whose_result_must_be_certified(pool: Pool) -> None:
    parent = pool.league.genesis.ref
    plain, other = blocks(pool, 2)
    assert ref_of(*plain, parent).work_height == 0
    with_evidence = msgspec.structs.replace(other[1].header, evidence_root=bytes(32))
    assert ref_of(other[0], Candidate(with_evidence, b"", (), ()), parent).work_height == 2
