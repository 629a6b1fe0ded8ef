"""P2-P5, P76, P77: how many decide, who they are, who proposes."""

from __future__ import annotations

import pytest
from pbft_harness import CHAIN, World

from consensus.events import EpochSpec, Member
from consensus.membership import membership
from consensus.quorum import faults, quorum, weak
from ledger.errors import InvariantViolated

TABLE = [
    (4, 1, 3),
    (5, 1, 4),
    (6, 1, 4),
    (7, 2, 5),
    (8, 2, 6),
    (9, 2, 6),
    (10, 3, 7),
    (13, 4, 9),
    (16, 5, 11),
    (19, 6, 13),
    (22, 7, 15),
    (25, 8, 17),
]


def test_p3_the_table() -> None:
    assert [(n, faults(n), quorum(n)) for n, _, _ in TABLE] == TABLE
    assert [quorum(n) for n in (1, 2, 3)] == [1, 2, 2]  # P4: development only


@pytest.mark.parametrize("n", range(4, 513))
def test_p3_two_quorums_share_a_correct_member_and_the_correct_ones_suffice(n: int) -> None:
    assert 2 * quorum(n) - n >= weak(n)
    assert quorum(n) <= n - faults(n)


def spec(ids: list[str], keys: list[bytes]) -> EpochSpec:
    members = tuple(Member(company_id=one, consensus_key=key) for one, key in zip(ids, keys, strict=True))
    return EpochSpec(epoch=0, first_height=1, members=members, members_hash=bytes(32))


def test_p5_members_are_sorted_and_keys_unique() -> None:
    good = spec(["a", "b"], [bytes(32), bytes([1]) * 32])
    assert membership(good, CHAIN, 0).n == 2
    for bad in (
        spec(["b", "a"], [bytes(32), bytes([1]) * 32]),
        spec(["a", "a"], [bytes(32), bytes([1]) * 32]),
        spec(["a", "b"], [bytes(32), bytes(32)]),
        spec([], []),
    ):
        with pytest.raises(InvariantViolated):
            membership(bad, CHAIN, 0)


def test_p76_the_rotation_is_a_shuffle_that_depends_on_the_chain() -> None:
    world = World(10)
    members = membership(world.epoch, CHAIN, 0)
    assert sorted(members.rotation) == list(range(10))
    assert members.rotation != membership(world.epoch, bytes(32), 0).rotation
    assert [members.collector(view) for view in range(20)] == [*members.rotation, *members.rotation]


def test_p77_the_primary_moves_only_at_multiples_of_r() -> None:
    world = World(4)
    sticky = membership(world.epoch, CHAIN, 0)
    assert {sticky.primary(3, height, 0) for height in range(1, 500)} == {sticky.rotation[3]}
    planned = membership(world.epoch, CHAIN, 64)
    assert planned.primary(0, 63, 0) == planned.rotation[0]
    assert planned.primary(0, 64, 0) == planned.primary(0, 127, 0) == planned.rotation[1]
    assert planned.primary(5, 64, 63) == planned.rotation[1]  # the collector proposes first, also at a multiple
    assert planned.primary(5, 65, 63) == planned.collector(5)
    assert planned.next_view(0, 130, 0) == 3  # P78: not the rotated one again
    assert sticky.next_view(7, 130, 0) == 8
