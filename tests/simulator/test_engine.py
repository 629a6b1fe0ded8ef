"""The engine: heap, streams, clocks, network, disks, signatures, guard, trace."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import threading
import time
import typing
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.messages import Suspect
from consensus.records import Silenced
from ledger.crypto.ed25519 import SigningKey, verify_strict
from ledger.crypto.hashing import Tag, lp
from node.core.effects import NodeEffect, Penalty
from node.core.events import VotesVerified
from simulator import daemon
from simulator.clock import NodeClock
from simulator.daemon import Daemon
from simulator.disk import JournalBatch, JournalDisk
from simulator.errors import GuardBreach
from simulator.guard import guarded
from simulator.heap import NEAR_NS, EventHeap, Flight
from simulator.memory import uncollected
from simulator.net import LinkPolicy, Network
from simulator.oracle import ModelledOracle, RealOracle
from simulator.records import Parcel
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
    heap.fly(Flight([(1, 10), (4, 11), (4, 12)], lambda key, load: seen.append((heap.now, key)), "x"))
    assert len(heap) == 1
    heap.at(2, lambda _: seen.append((2, "timer")))
    heap.at(4, lambda _: seen.append((4, "later")))
    while len(heap):
        heap.step()
    assert seen == [(1, 10), (2, "timer"), (4, 11), (4, 12), (4, "later")]


def test_m6_a_reserved_place_is_kept_in_the_order() -> None:
    """An event that is put in late happens where it would have happened, or its place is seen to have passed."""
    heap = EventHeap()
    seen: list[str] = []
    place = heap.reserve()
    heap.at(5, seen.append, "after")
    heap.at(3, lambda _: heap.at_place(5, place, seen.append, "kept"))
    assert not heap.passed(5, place)
    assert heap.run(4, 10)
    assert (seen, heap.passed(5, place)) == ([], False)
    heap.step()
    assert (seen, heap.passed(5, place), heap.passed(5, place + 1)) == (["kept"], True, False)
    heap.step()
    assert seen == ["kept", "after"]


def test_m6_time_passes_without_events_and_every_place_up_to_it() -> None:
    heap = EventHeap()
    early, late = heap.reserve(), heap.reserve()
    assert heap.run(7, 10)
    heap.pass_to(7)
    assert (heap.now, heap.passed(7, early), heap.passed(7, late)) == (7, True, True)
    assert not heap.passed(8, early)
    heap.pass_to(6)
    assert heap.now == 7


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("at", "fly", "place")),
            st.lists(st.integers(0, 4 * NEAR_NS), min_size=1, max_size=4),
            st.lists(st.integers(0, 4 * NEAR_NS), max_size=2),
        ),
        max_size=12,
    ),
    st.lists(st.integers(0, 8 * NEAR_NS), max_size=4).map(sorted),
)
def test_m6_near_and_far_events_come_in_one_order(
    plans: list[tuple[str, list[int], list[int]]], stops: list[int]
) -> None:
    """Whatever is put in near or far, from outside or by an event, happens in the order of one sorted list."""
    heap = EventHeap()
    seen: list[tuple[int, int]] = []
    due: list[tuple[int, int]] = []

    def happen(place: tuple[int, list[int]]) -> None:
        number, following = place
        seen.append((heap.now, number))
        for delay in following:
            put("at", [delay], [])

    def put(kind: str, delays: list[int], following: list[int]) -> None:
        times = sorted(heap.now + delay for delay in delays)
        number = heap._number + 1
        due.extend((time_ns, number) for time_ns in (times if kind == "fly" else times[:1]))
        if kind == "fly":
            heap.fly(Flight([(at, 0) for at in times], lambda _key, place: happen(place), (number, following)))
        elif kind == "at":
            heap.at(times[0], happen, (number, following))
        else:
            assert heap.reserve() == number
            heap.at_place(times[0], number, happen, (number, following))

    for position, plan in enumerate(plans):
        put(*plan)
        if position < len(stops):
            heap.run(stops[position], 1_000)
            heap.pass_to(stops[position])
    while len(heap):
        heap.step()
    assert seen == sorted(due)


def test_m6_a_run_stops_at_its_bound_of_events() -> None:
    heap = EventHeap()
    seen: list[int] = []
    for number in range(5):
        heap.at(number, seen.append, number)
    assert not heap.run(9, 3)
    assert seen == [0, 1, 2]
    assert not heap.run(9, 1)
    assert heap.run(9, 1)


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
    clock.freeze(2 * second)
    assert clock.wall_ms(9 * second) == clock.wall_ms(2 * second) == 502_000
    clock.freeze(4 * second)
    clock.thaw(6 * second)
    assert clock.wall_ms(9 * second) == 502_000  # swarm seed 11662: stopped twice, and let go once
    clock.thaw(9 * second)
    assert clock.wall_ms(10 * second) == 510_000
    assert clock.mono(10 * second) == 10 * second


@given(st.integers(-5_000_000, 5_000_000), st.integers(0, 10**13), st.integers(-1000, 1000), st.booleans())
def test_m11_both_clocks_are_read_as_each_of_them(drift: int, at: int, jump: int, frozen: bool) -> None:
    clock = NodeClock(1_700_000_000_000, mono_offset_ns=17, drift_ppb=drift)
    clock.jump(at // 2, jump)
    if frozen:
        clock.freeze(at // 2)
    assert clock.both(at) == (clock.mono(at), clock.wall_ms(at))


def _network(policy: LinkPolicy) -> tuple[EventHeap, Network, list[tuple[int, int]]]:
    heap = EventHeap()
    arrived: list[tuple[int, int]] = []
    names = ("acme", "bolt", "corex")

    def take(slot: int, _parcel: Parcel) -> None:
        arrived.append((heap.now, slot))

    net = Network(heap, Streams(1), names, policy, 10**9, [partial(take, slot) for slot in range(len(names))])
    return heap, net, arrived


def _drain(heap: EventHeap) -> None:
    while len(heap):
        heap.step()


@pytest.mark.parametrize("jitter", [(), exponential()])
def test_m9_links_that_are_all_alike_draw_what_any_link_draws(jitter: tuple[int, ...]) -> None:
    """Where nothing can be lost a broadcast is drawn in one pass; a rule that meets nobody takes the long way."""
    ways: list[tuple[list[tuple[int, int]], int, int]] = []
    both: tuple[dict[str, list[tuple[int, int]]], ...] = ({}, {"Nothing": [(2, 2)]})
    for rules in both:
        heap, net, arrived = _network(LinkPolicy(delay_ns=500_000, jitter=jitter))
        net.dropped_types = rules
        for size in (10, 4_000, 300):
            net.send(Parcel(0, Suspect(0, 0), size, b""), [1, 2])
        net.send(Parcel(1, Suspect(0, 0), 10, b""), [])
        _drain(heap)
        ways.append((arrived, net.messages, net.bytes))
    assert ways[0] == ways[1] and len(ways[0][0]) == 6


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
    disk.begin(JournalBatch(prunes=[(3, 0, ())]))
    disk.crash(False)
    assert len(disk.records()) == 3
    disk.begin(JournalBatch(prunes=[(3, 0, ())]))
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


@given(st.lists(st.tuples(st.integers(0, 2**70), st.binary(max_size=400)), max_size=80))
def test_m15_the_hash_of_a_run_is_that_of_its_records_one_by_one(steps: list[tuple[int, bytes]]) -> None:
    """However records are collected; a mask of more than 64 bits counts as its bytes, in a list of the fields."""
    encode = msgspec.msgpack.Encoder(enc_hook=repr).encode
    trace, expected = TraceHash(b"a"), sha256(lp(Tag.TRACE.value.encode(), b"a"))
    for time_ns, (valid, body) in enumerate(steps):
        event = VotesVerified(now=time_ns, wall=0, token=2, valid=valid)
        effects = [Penalty(peer=1, reason="x"), body]
        trace.step(time_ns, 3, event, effects)
        if valid < 2**64:
            expected.update(encode((time_ns, 3, "VotesVerified", event)))
            expected.update(encode(("Penalty", effects[0])))
        else:
            fields = [time_ns, 0, 2, valid.to_bytes((valid.bit_length() + 7) // 8, "big")]
            expected.update(encode((time_ns, 3, "VotesVerified", fields)))
            expected.update(encode(("Penalty", [1, "x"])))
        expected.update(encode(("bytes", body)))
        trace.note(time_ns, "crash", "acme")
        expected.update(encode((time_ns, "crash", ("acme",))))
    assert trace.hexdigest() == expected.hexdigest()
    assert trace.records == 2 * len(steps)


def test_every_effect_of_a_node_has_its_place_in_the_simulated_shell() -> None:
    assert set(daemon._TAKE) == set(typing.get_args(NodeEffect))
    gated = {kind for kind, rule in daemon._TAKE.items() if rule in (Daemon._gate, Daemon._gate_answer)}
    assert set(daemon._PERFORM) == gated
    assert gated > daemon._BLOCKS


def test_memory_is_left_alone_while_a_run_goes_on() -> None:
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="over"), uncollected():
        raise ValueError("over")
    assert gc.isenabled()
