"""Frames and limits: what a peer can make us hold (S33, P140)."""

from __future__ import annotations

import pytest

from consensus.messages import Heartbeat, Suspect
from ledger.codec import encode
from ledger.errors import InvariantViolated, PeerMisbehaved
from node.core.messages import FRAME_LIMIT_BYTES, FRAME_LIMITS, TxBatch
from node.transport.frames import HEAD_BYTES, LIMITS, FrameReader, decode_message, encode_message, frame
from node.transport.limits import (
    QUEUED_FRAMES_MAX,
    RATES,
    SCORE_LIMIT,
    UNKNOWN_RATE,
    Buckets,
    Demerits,
    OutboundQueue,
)

SECOND = 1_000_000_000


@pytest.mark.parametrize("step", [1, 2, 5, 7, 64, 10_000])
def test_frames_come_out_whole_and_in_order_however_they_arrive(step: int) -> None:
    messages = [Suspect(0, 1), TxBatch((b"x" * 3_000,)), Heartbeat(0, 1, 2, b"h" * 32), Suspect(0, 2)]
    stream = b"".join(encode_message(message) for message in messages)
    reader = FrameReader()
    out = []
    for start in range(0, len(stream), step):
        reader.feed(stream[start : start + step])
        while (found := reader.next()) is not None:
            out.append(decode_message(*found))
    assert out == messages
    assert reader.held_bytes == 0


@pytest.mark.control("S33", "T25")
@pytest.mark.parametrize("kind", sorted(LIMITS))
def test_a_length_above_the_cap_of_its_type_is_refused_from_the_head(kind: int) -> None:
    reader = FrameReader()
    reader.feed(bytes((kind,)) + (LIMITS[kind] + 1).to_bytes(4, "big"))
    with pytest.raises(PeerMisbehaved, match="frame_size"):
        reader.next()
    with pytest.raises(InvariantViolated):
        frame(kind, bytes(LIMITS[kind] + 1))


def test_unknown_types_and_wrong_bodies_are_refused() -> None:
    reader = FrameReader()
    reader.feed(bytes((99,)) + bytes(HEAD_BYTES))
    with pytest.raises(PeerMisbehaved, match="frame_type"):
        reader.next()
    with pytest.raises(PeerMisbehaved, match="frame_type"):
        decode_message(7, encode(Suspect(0, 1)))
    for body in (b"", b"\x93\x06\x00\x81", b"\x93\x63\x00\x01", encode(Suspect(0, 1)) + b"\x00"):
        with pytest.raises(PeerMisbehaved, match="frame_malformed"):
            decode_message(6, body)


@pytest.mark.parametrize("step", [1, 3, 64, 10_000])
def test_p22_the_body_of_an_unknown_type_is_passed_over_and_not_held(step: int) -> None:
    stream = bytes((99,)) + (3_000).to_bytes(4, "big") + bytes(3_000) + bytes((98,)) + bytes(4)
    stream += encode_message(Suspect(0, 1))
    reader = FrameReader()
    reader.skips_unknown = True
    out = []
    for start in range(0, len(stream), step):
        reader.feed(stream[start : start + step])
        while (found := reader.next()) is not None:
            out.append(found)
        assert reader.held_bytes < max(step, 64)
    assert out[:2] == [(99, b""), (98, b"")] and decode_message(*out[2]) == Suspect(0, 1) and len(out) == 3
    reader.feed(bytes((99,)) + (FRAME_LIMIT_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(PeerMisbehaved, match="frame_size"):
        reader.next()


def test_every_message_type_has_a_rate() -> None:
    assert set(RATES) == set(FRAME_LIMITS)


def test_a_bucket_allows_its_burst_and_then_its_rate() -> None:
    buckets = Buckets()
    rate, burst = RATES[6]
    assert sum(buckets.take(6, 0) for _ in range(burst + 50)) == burst
    assert sum(buckets.take(6, SECOND) for _ in range(burst)) == rate
    assert buckets.take(7, SECOND)
    assert sum(buckets.take(6, 100 * SECOND) for _ in range(2 * burst)) == burst


def test_p22_unknown_types_share_one_bucket() -> None:
    buckets = Buckets()
    assert sum(buckets.take(100 + number % 50, 0) for number in range(2 * UNKNOWN_RATE[1])) == UNKNOWN_RATE[1]
    assert buckets.take(6, 0)


def test_demerits_fade_and_cut_at_the_limit() -> None:
    slow = Demerits()
    assert not any(slow.add("other", second * 20 * SECOND) for second in range(1, 100))
    fast = Demerits()
    verdicts = [fast.add("other", SECOND) for _ in range(SCORE_LIMIT // 10)]
    assert verdicts == [False] * (len(verdicts) - 1) + [True]
    assert fast.until_ns > SECOND


def test_a_slow_peer_loses_old_status_first_then_votes_then_the_oldest() -> None:
    queue = OutboundQueue(100)
    queue.add(8, b"status 1")
    queue.add(2, b"v" * 30)
    queue.add(8, b"status 2")
    assert [item.frame for item in queue.take()] == [b"v" * 30, b"status 2"]
    queue.add(2, b"a" * 30)
    queue.add(16, b"b" * 30)
    queue.add(3, b"c" * 30)
    queue.add(16, b"d" * 30)
    assert [item.kind for item in queue.take()] == [16, 3, 16]
    for size in (40, 40, 40):
        queue.add(16, b"x" * size)
    assert len(queue) == 2 and queue.size_bytes == 80
    queue.add(20, b"y" * 500)
    assert [len(item.frame) for item in queue.take()] == [500]
    assert queue.size_bytes == 0 and queue.dropped == 1 + 1 + 1 + 2


def test_p140_small_frames_for_a_slow_peer_are_bounded_in_number_too() -> None:
    """The same order of dropping as by size: old status, then votes, then the oldest; the newest frame stays."""
    queue = OutboundQueue(1 << 30)
    queue.add(16, b"batch")
    queue.add(8, b"old status")
    for number in range(QUEUED_FRAMES_MAX - 3):
        queue.add(2, b"vote %d" % number)
    queue.add(8, b"status")
    queue.add(16, b"last")
    assert len(queue) == QUEUED_FRAMES_MAX and queue.dropped == 1
    queue.add(3, b"newest")
    assert len(queue) == QUEUED_FRAMES_MAX and queue.dropped == 2
    kept = [item.frame for item in queue.take()]
    assert kept[:2] == [b"batch", b"vote 1"] and kept[-3:] == [b"status", b"last", b"newest"]
    assert len(queue) == queue.size_bytes == 0
    for number in range(QUEUED_FRAMES_MAX + 10):
        queue.add(16, b"batch %d" % number)
    queue.add(8, b"status")
    queue.add(8, b"status again")
    kept = [item.frame for item in queue.take()]
    assert len(kept) == QUEUED_FRAMES_MAX and kept[0] == b"batch 11" and kept[-1] == b"status again"
    assert queue.dropped == 2 + 10 + 1 + 1
