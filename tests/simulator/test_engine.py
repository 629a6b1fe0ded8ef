"""The engine: heap, streams, clocks, network, disks, signatures, guard, trace."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.messages import Suspect
from consensus.records import Silenced
from ledger.crypto.ed25519 import SigningKey, verify_strict
from simulator.clock import NodeClock
from simulator.disk import JournalBatch, JournalDisk
from simulator.errors import GuardBreach
from simulator.guard import guarded
from simulator.heap import EventHeap, Flight
from simulator.net import LinkPolicy, Network, Parcel
from simulator.oracle import ModelledOracle, RealOracle
from simulator.rng import QUANTILES, Rng, Streams, exponential, lognormal, uniform
from simulator.trace import TraceHash


def test_m6_events_come_in_order_of_time_then_creation() -> None:
    heap, seen = EventHeap(), []
    for name, at in (("b", 5), ("a", 3), ("c", 5)):
        heap.at(at, seen.append, name)
    while len(heap):
        heap.step()
    assert seen == ["a", "b", "c"]
    assert heap.now == 5


def test_m7_a_broadcast_is_one_entry_and_interleaves_with_others() -> None:
    heap = EventHeap()
    seen: list[tuple[int, Any]] = []
    heap.fly(Flight([(1, 10), (4, 11), (4, 12)], lambda t, key, load: seen.append((t, key)), "x"))
    assert len(heap) == 1
    heap.at(2, lambda _: seen.append((2, "timer")))
    heap.at(4, lambda _: seen.append((4, "later")))
    while len(heap):
        heap.step()
    assert seen == [(1, 10), (2, "timer"), (4, 11), (4, 12), (4, "later")]


def test_m8_streams_are_independent_and_pinned() -> None:
    streams = Streams(42)
    first = [streams["net/acme"].below(1000) for _ in range(5)]
    other = Streams(42)
    _ = [other["net/bolt"].below(1000) for _ in range(50)]
    assert [other["net/acme"].below(1000) for _ in range(5)] == first
    assert [Rng(42, "net/acme").below(1000) for _ in range(3)] == [first[0]] * 3
    pinned = Rng(7, "pinned")
    assert [pinned.below(100) for _ in range(6)] == [55, 8, 43, 66, 65, 44]


@given(st.integers(0, 2**32), st.integers(1, 50))
def test_m8_sampling_is_without_repetition(seed: int, size: int) -> None:
    items = list(range(size))
    assert sorted(Rng(seed, "x").shuffled(items)) == items
    assert all(0 <= Rng(seed, f"{i}").below(size) < size for i in range(5))


def test_sim5_quantile_tables_are_ascending_integers() -> None:
    for table in (exponential(), lognormal(Decimal("0.5")), uniform(Decimal("0.2"))):
        assert len(table) == QUANTILES
        assert list(table) == sorted(table)
    assert abs(sum(exponential()) / QUANTILES - 1000) < 10
    assert abs(lognormal(Decimal("0.5"))[QUANTILES // 2] - 1000) < 5


@given(st.integers(-5_000_000, 5_000_000), st.integers(0, 10**13), st.integers(0, 10**9))
def test_m11_a_deadline_is_never_early(drift: int, at: int, wait: int) -> None:
    clock = NodeClock(0, mono_offset_ns=17, drift_ppb=drift)
    deadline = clock.mono(at) + wait
    fires = clock.time_of_mono(deadline)
    assert clock.mono(fires) >= deadline
    assert fires - at <= wait + wait // 100 + 2


def test_m11_the_wall_clock_jumps_and_stands_still_the_monotonic_does_not() -> None:
    clock = NodeClock(1_000_000)
    second = 1_000_000_000
    clock.jump(second, -500_000)
    assert clock.wall_ms(second) == 501_000
    assert clock.mono(second) == second
    clock.freeze(2 * second, True)
    assert clock.wall_ms(9 * second) == clock.wall_ms(2 * second) == 502_000
    clock.freeze(9 * second, False)
    assert clock.wall_ms(10 * second) == 503_000
    assert clock.mono(10 * second) == 10 * second


def _network(policy: LinkPolicy) -> tuple[EventHeap, Network, list[tuple[int, int]]]:
    heap = EventHeap()
    arrived: list[tuple[int, int]] = []
    names = ("acme", "bolt", "corex")
    net = Network(heap, Streams(1), names, policy, 10**9, lambda to, parcel: arrived.append((heap.now, to)))
    return heap, net, arrived


def _drain(heap: EventHeap) -> None:
    while len(heap):
        heap.step()


def test_m9_cuts_act_on_arrival_and_are_counted() -> None:
    heap, net, arrived = _network(LinkPolicy(delay_ns=1000))
    parcel = Parcel(0, Suspect(0, 0), 10, b"")
    net.send(parcel, [1, 2])
    net.cut(0, 1)
    net.cut(0, 1)
    _drain(heap)
    assert [to for _, to in arrived] == [2]
    net.mend(0, 1)
    assert net.is_cut(0, 1)
    net.mend(0, 1)
    net.send(parcel, [1])
    _drain(heap)
    assert [to for _, to in arrived] == [2, 1]


def test_m9_held_messages_arrive_when_released() -> None:
    heap, net, arrived = _network(LinkPolicy(delay_ns=1000))
    net.hold(0, 1)
    for _ in range(3):
        net.send(Parcel(0, Suspect(0, 0), 10, b""), [1])
    _drain(heap)
    assert arrived == []
    net.release(0, 1)
    assert len(arrived) == 3


def test_m9_loss_and_duplication_follow_their_rates() -> None:
    heap, net, arrived = _network(LinkPolicy(delay_ns=1000, loss_ppm=300_000, duplicate_ppm=200_000))
    for _ in range(2000):
        net.send(Parcel(0, Suspect(0, 0), 10, b""), [1])
    _drain(heap)
    assert 1500 < len(arrived) < 1860


def test_m9_a_narrow_link_sends_one_after_the_other() -> None:
    heap, net, arrived = _network(LinkPolicy(delay_ns=0))
    net.send(Parcel(0, Suspect(0, 0), 125_000 - 34, b""), [1, 2])
    _drain(heap)
    assert [at for at, _ in arrived] == [1_000_000, 2_000_000]


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("keep", [False, True])
def test_m12_a_commit_in_progress_is_whole_or_absent(encoded: bool, keep: bool) -> None:
    disk = JournalDisk(encoded)
    disk.begin(JournalBatch(entries=[disk.entry(1, Silenced("one"))]))
    disk.finish()
    disk.begin(JournalBatch(entries=[disk.entry(2, Silenced("two")), disk.entry(3, Silenced("three"))]))
    kept = disk.crash(keep)
    assert (kept is not None) == keep
    assert [lsn for lsn, _ in disk.records()] == ([1, 2, 3] if keep else [1])
    assert disk.durable_lsn == (3 if keep else 1)
    assert disk.records()[0][1] == Silenced("one")


def test_m12_prunes_are_part_of_the_commit() -> None:
    disk = JournalDisk(False)
    disk.begin(JournalBatch(entries=[disk.entry(n, Silenced(str(n))) for n in (1, 2, 3)]))
    disk.finish()
    disk.begin(JournalBatch(prunes=[(3, 0)]))
    disk.crash(False)
    assert len(disk.records()) == 3
    disk.begin(JournalBatch(prunes=[(3, 0)]))
    disk.finish()
    assert [lsn for lsn, _ in disk.records()] == [3]
    assert disk.durable_lsn == 3


@pytest.mark.control("M19")
def test_m19_only_the_owner_of_a_handle_signs_and_no_real_node_believes_it() -> None:
    oracle, key, digest = ModelledOracle(5), SigningKey(bytes([1]) * 32), bytes(32)
    signature = oracle.handle(key).sign(digest)
    assert len(signature) == 64
    assert oracle.verify(key.public_key, signature, digest)
    assert not oracle.verify(key.public_key, signature, bytes([1]) * 32)
    assert not oracle.verify(SigningKey(bytes([2]) * 32).public_key, signature, digest)
    assert not ModelledOracle(6).verify(key.public_key, signature, digest)
    assert not verify_strict(key.public_key, signature, digest)
    real = RealOracle()
    assert real.verify(key.public_key, real.handle(key).sign(digest), digest)
    assert not real.verify(key.public_key, signature, digest)


@pytest.mark.parametrize(
    "reach",
    [
        lambda: time.time(),
        lambda: time.monotonic(),
        lambda: random.random(),
        lambda: random.choice([1]),
        lambda: os.urandom(4),
        lambda: socket.socket(),
        lambda: threading.Thread(target=int).start(),
        lambda: asyncio.new_event_loop(),
    ],
    ids=["time", "monotonic", "random", "choice", "urandom", "socket", "thread", "loop"],
)
def test_m14_the_real_world_is_out_of_reach_during_a_run(reach: Any) -> None:
    with guarded(), pytest.raises(GuardBreach, match="during a simulated run at"):
        reach()
    assert time.time() > 0
    assert 0 <= random.random() < 1


def test_m14_other_threads_are_not_touched() -> None:
    seen: list[float] = []
    go = threading.Event()
    thread = threading.Thread(target=lambda: (go.wait(), seen.append(time.time())))
    thread.start()
    with guarded():
        go.set()
        thread.join()
    assert seen


def test_m15_the_trace_hash_depends_on_every_part() -> None:
    base = TraceHash(b"a")
    base.note(1, "crash", "acme")
    for other in (TraceHash(b"b"), TraceHash(b"a"), TraceHash(b"a")):
        other.note(2, "crash", "acme")
        assert other.hexdigest() != base.hexdigest()
    same = TraceHash(b"a")
    same.note(1, "crash", "acme")
    assert same.hexdigest() == base.hexdigest()
