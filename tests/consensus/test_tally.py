"""P14, P18, P124, P138: one place per signer, and only the signatures that are needed."""

from __future__ import annotations

from consensus.messages import Prepare
from consensus.tally import indexes, tally
from ledger.certificate import Vote

A, B = bytes([1]) * 32, bytes([2]) * 32


def prepare(sender: int, block_id: bytes = A) -> Prepare:
    return Prepare(sender, Vote(0, 0, 1, block_id), bytes([sender]) * 64)


def test_p18_nothing_is_verified_before_a_quorum_is_possible() -> None:
    votes = tally(7)
    for sender in range(4):
        votes.put(sender, prepare(sender), verified=False)
        assert votes.wanted(A, 5) == 0
    votes.put(5, prepare(5), verified=False)
    assert indexes(votes.wanted(A, 5)) == [0, 1, 2, 3, 5]


def test_p18_only_as_many_as_are_missing() -> None:
    votes = tally(7)
    votes.put(6, prepare(6), verified=True)
    for sender in range(6):
        votes.put(sender, prepare(sender), verified=False)
    assert indexes(votes.wanted(A, 5)) == [0, 1, 2, 3]
    votes.asked |= 0b1111
    assert votes.wanted(A, 5) == 0
    votes.free(2)  # a bad signature: the place is free, another vote is asked for
    assert indexes(votes.wanted(A, 5)) == [4]
    assert votes.votes[2] is None and not votes.held >> 2 & 1


def test_mu7_votes_for_different_blocks_never_add_up() -> None:
    votes = tally(4)
    votes.put(0, prepare(0, A), verified=True)
    votes.put(1, prepare(1, A), verified=True)
    votes.put(2, prepare(2, B), verified=True)
    assert not votes.reaches(A, 3) and not votes.reaches(B, 3)
    votes.put(3, prepare(3, A), verified=True)
    assert votes.reaches(A, 3)
    assert not votes.reaches(A, 3)  # each threshold once


def test_p14_exactly_q_signatures_in_order_with_the_primary_among_them() -> None:
    votes = tally(7)
    for sender in range(7):
        votes.put(sender, prepare(sender), verified=True)
    assert [signer for signer, _ in votes.signatures(A, 5)] == [0, 1, 2, 3, 4]
    assert [signer for signer, _ in votes.signatures(A, 5, always=6)] == [0, 1, 2, 3, 6]
