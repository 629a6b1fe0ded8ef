"""Link faults as data: same question, same answer, order kept (C5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.transport.link_policy import CLEAR, MILLION, LinkPolicy, LinkRule, PolicyMalformed, passage

SECOND = 1_000_000_000


def test_a_partition_cuts_both_ways_and_heals() -> None:
    policy = LinkPolicy().partition([0, 1], [2, 3])
    assert policy.severed(0, 2) and policy.severed(3, 1)
    assert not policy.severed(0, 1) and policy.rule(2, 3).transparent
    one_way = LinkPolicy().partition([0], [1], one_way=True)
    assert one_way.rule(0, 1).cut and not one_way.rule(1, 0).cut and not one_way.severed(0, 1)
    slow = policy.with_link(0, 1, LinkRule(latency_us=50))
    assert slow.heal() == LinkPolicy().with_link(0, 1, LinkRule(latency_us=50))
    assert policy.heal() == LinkPolicy()


def test_rate_delay_and_loss() -> None:
    rule = LinkRule(latency_us=1_000, rate_bytes_per_s=1_000_000)
    fate = passage(rule, now_ns=0, size_bytes=500_000, free_ns=0, last_ns=0, draw=0)
    assert (fate.dropped, fate.free_ns, fate.arrives_ns) == (False, SECOND // 2, SECOND // 2 + 1_000_000)
    late = passage(rule, now_ns=10, size_bytes=500_000, free_ns=fate.free_ns, last_ns=fate.arrives_ns, draw=0)
    assert late.free_ns == SECOND
    assert passage(LinkRule(cut=True), now_ns=5, size_bytes=1, free_ns=3, last_ns=0, draw=0).dropped
    lossy = LinkRule(loss_ppm=250_000)
    fates = [passage(lossy, now_ns=0, size_bytes=1, free_ns=0, last_ns=0, draw=draw) for draw in range(0, MILLION, 97)]
    assert sum(fate.dropped for fate in fates) * 4 in range(len(fates) - 8, len(fates) + 9)


@given(
    st.integers(0, 100_000),
    st.integers(0, 100_000),
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 2**64 - 1)), max_size=20),
)
def test_a_message_never_overtakes_an_earlier_one(latency: int, jitter: int, sent: list[tuple[int, int]]) -> None:
    rule = LinkRule(latency_us=latency, jitter_us=jitter, rate_bytes_per_s=1_000_000)
    free = last = now = 0
    for gap, draw in sent:
        now += gap
        fate = passage(rule, now_ns=now, size_bytes=100, free_ns=free, last_ns=last, draw=draw)
        assert fate.arrives_ns >= last and fate.arrives_ns >= now + latency * 1_000
        free, last = fate.free_ns, fate.arrives_ns


def test_rules_outside_their_bounds_are_refused() -> None:
    for bad in ({"latency_us": -1}, {"jitter_us": 10**9}, {"loss_ppm": MILLION + 1}, {"rate_bytes_per_s": 5}):
        with pytest.raises(PolicyMalformed):
            LinkRule(**bad)  # type: ignore[arg-type]
    assert CLEAR.transparent
