"""Requests of other nodes wait in bounded queues, are answered in turn, and follow their nodes over an epoch (P140)."""

from __future__ import annotations

from node.core import effects as ne
from node.driver.asked import REQUESTS, UNANSWERED_MAX, Asked, Request


def blocks(to: int, first: int) -> ne.SendBlocks:
    return ne.SendBlocks(to=to, first=first, last=first + 63)


def drained(asked: Asked) -> list[Request]:
    found: list[Request] = []
    while (request := asked.take()) is not None:
        found.append(request)
    assert len(asked) == 0
    return found


def test_of_one_node_no_more_waits_than_a_correct_one_may_have_unanswered() -> None:
    asked = Asked()
    taken = [asked.add(blocks(1, first)) for first in range(1, UNANSWERED_MAX + 4)]
    assert taken == [True] * UNANSWERED_MAX + [False] * 3 and len(asked) == UNANSWERED_MAX
    assert asked.add(blocks(2, 1)), "each node has a queue of its own"
    asked.take()
    assert asked.add(blocks(1, 99)), "an answer makes room"


def test_nodes_take_turns_and_each_is_answered_in_its_order() -> None:
    asked = Asked()
    for first in (1, 2, 3):
        asked.add(blocks(7, first))
    asked.add(blocks(4, 1))
    asked.add(blocks(5, 1))
    assert [(one.to, one.first) for one in drained(asked) if isinstance(one, ne.SendBlocks)] == [
        (7, 1), (4, 1), (5, 1), (7, 2), (7, 3),
    ]  # fmt: skip


def test_what_waits_already_is_neither_queued_again_nor_refused() -> None:
    """A node that gave up waiting asks again: one answer serves both."""
    asked = Asked()
    every = [asked.add(blocks(1, first)) for _ in range(3) for first in range(1, UNANSWERED_MAX + 1)]
    assert all(every) and len(asked) == UNANSWERED_MAX
    same = [
        ne.SendBlocks(to=2, first=1, last=5), ne.SendSkeleton(to=2, first=1, last=5), ne.SendChunk(to=2, height=1, depth=1, index=5),
        ne.SendSnapshot(to=2, above=1), ne.SendEpochEnds(to=2, first=1),
    ]  # fmt: skip
    asked = Asked()
    assert all(asked.add(one) for one in same)
    assert drained(asked) == same and {type(one) for one in same} == set(REQUESTS), "other things with the same numbers"


def test_p114_requests_follow_their_nodes_and_end_with_their_links() -> None:
    asked = Asked()
    for peer in (1, 2, 3):
        asked.add(blocks(peer, peer))
    asked.forget(1)
    asked.forget(9)
    asked.move({2: 3, 1: 0})
    assert drained(asked) == [blocks(3, 2)], "the third has no place any more, and the second has its index"
