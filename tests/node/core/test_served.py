"""Bodies are served to each peer within its share; the others lose nothing by one that asks and asks (P140)."""

from __future__ import annotations

from collections.abc import Callable

from node.core import effects as ne
from node.core.machine import BODIES_ANSWER_BYTES
from node.core.messages import Bodies, BodiesRequest
from node.core.served import BURST_BYTES, SERVED_BYTES_S, VAIN_BYTES, Shares

from .conftest import Shell

SECOND = 1_000_000_000


def drawn(shares: Shares, peer: int, members: int, seconds: int, answer_bytes: int) -> int:
    """Return how many bytes a peer gets that asks every millisecond."""
    got = 0
    for now in range(0, seconds * SECOND, SECOND // 1_000):
        if shares.open(peer, members, now):
            shares.draw(peer, answer_bytes, 0)
            got += answer_bytes
    return got


def test_a_peer_gets_its_burst_and_then_its_share() -> None:
    shares = Shares()
    assert drawn(shares, 1, 4, 10, BODIES_ANSWER_BYTES) >= BURST_BYTES
    for members in (4, 64):
        got = drawn(Shares(), 1, members, 10, BODIES_ANSWER_BYTES)
        assert abs(got - BURST_BYTES - 10 * SERVED_BYTES_S // members) <= BODIES_ANSWER_BYTES


def test_who_overdraws_takes_nothing_from_the_others() -> None:
    shares = Shares()
    drawn(shares, 1, 4, 5, BODIES_ANSWER_BYTES)
    now = 5 * SECOND
    while shares.open(1, 4, now):
        shares.draw(1, BODIES_ANSWER_BYTES, 0)
    assert shares.open(2, 4, now) and not shares.open(1, 4, now)
    assert shares.open(1, 4, now + SECOND), "its share fills again"


def test_ids_that_are_not_here_cost_as_well() -> None:
    shares = Shares()
    asked = 0
    while shares.open(1, 4, 0):
        shares.draw(1, 0, 500)
        asked += 1
    assert asked == BURST_BYTES // (500 * VAIN_BYTES) + 1


def test_p140_a_peer_that_asks_and_asks_is_not_answered_any_more_and_another_is(shell: Callable[..., Shell]) -> None:
    one = shell(index=0)
    one.start()
    vain = BodiesRequest(bytes(32), tuple(bytes([index % 256, index // 256]) * 16 for index in range(500)))
    for _ in range(100):
        one.receive(1, vain)
    assert ne.Rejection(peer=1, reason="bodies_request") in one.rejections
    assert not one.penalties
    one.rejections.clear()
    one.receive(2, vain)
    assert not one.rejections and not one.messages(Bodies)
    one.pass_time(10_000)
    one.receive(1, vain)
    assert not one.rejections, "after a pause it is answered again"
