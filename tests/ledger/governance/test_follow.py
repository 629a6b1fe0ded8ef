"""P85: from genesis to the members of a later epoch by epoch ends alone, and everything that must not be believed."""

from __future__ import annotations

import msgspec
import pytest

from ledger.certificate import CommitCertificate, bitmap
from ledger.codec import encode
from ledger.governance.follow import EpochEnd, TrustedMembers, epoch_end_codec, follow, trust_genesis, wire_members
from tests.ledger.governance.story import Story, certified, told


@pytest.fixture(scope="module")
def story() -> Story:
    return told()


@pytest.mark.control("P85", "S22")
def test_p85_the_walk_from_genesis_reaches_every_epoch(story: Story) -> None:
    trusted = trust_genesis(story.league.document)
    assert trusted.chain_id == story.league.chain
    for count, record in enumerate(story.epochs):
        found = follow(trusted, story.ends[:count])
        assert isinstance(found, TrustedMembers), found
        assert (found.epoch, found.first_height) == (record.epoch, record.first_height)
        assert (found.members, found.keys) == (wire_members(record), record.keys)


@pytest.mark.control("P85")
def test_p85_the_walk_goes_on_from_a_kept_point(story: Story) -> None:
    kept = follow(trust_genesis(story.league.document), story.ends[:1])
    assert isinstance(kept, TrustedMembers)
    found = follow(kept, story.ends[1:])
    assert found == follow(trust_genesis(story.league.document), story.ends)


def test_an_epoch_end_travels_as_bytes(story: Story) -> None:
    for end in story.ends:
        assert epoch_end_codec.decode(encode(end)) == end


@pytest.mark.control("P85", "S20")
def test_p85_nothing_else_is_believed(story: Story) -> None:
    league, held, epochs, ends = story
    trusted = trust_genesis(league.document)
    first, second = ends[:2]
    stale = encode(msgspec.structs.replace(league.header, height=9, next_members_hash=league.header.members_hash))
    other = encode(msgspec.structs.replace(league.header, height=9, members_hash=bytes(32)))
    foreign = encode(msgspec.structs.replace(league.header, height=9, chain_id=bytes(32)))
    zero = encode(msgspec.structs.replace(league.header, next_members_hash=bytes(32)))
    members = first.members
    flipped = (*members[:-1], (members[-1][0], members[-1][1], False))
    doubled = (*members[:-1], (members[-1][0], members[0][1], True))
    cases: list[tuple[list[EpochEnd], str]] = [
        ([second], "exactly 3 are needed"),  # an epoch is left out: five members signed, four are trusted
        ([first, first], "exactly 4 are needed"),
        ([*ends, ends[2]], "of epoch 2"),
        ([msgspec.structs.replace(first, header=first.header[:-1])], "block header"),
        ([msgspec.structs.replace(first, header=second.header)], "another block"),
        ([msgspec.structs.replace(first, certificate=second.certificate)], "another block"),
        ([msgspec.structs.replace(first, members=flipped)], "not those the header names"),
        ([msgspec.structs.replace(first, members=members[::-1])], "sorted"),
        ([msgspec.structs.replace(first, members=())], "sorted"),
        ([msgspec.structs.replace(first, members=doubled)], "share a consensus key"),
        ([EpochEnd(stale, certified(league, held, epochs[0], stale, 9), wire_members(epochs[0]))], "does not end"),
        ([EpochEnd(other, certified(league, held, epochs[0], other, 9), members)], "another member set"),
        ([EpochEnd(foreign, certified(league, held, epochs[0], foreign, 9), members)], "another chain"),
        ([EpochEnd(zero, certified(league, held, epochs[0], zero, 0), members)], "height 0"),
    ]
    for steps, word in cases:
        problem = follow(trusted, steps)
        assert isinstance(problem, str), word
        assert word in problem
        assert problem.startswith("end of epoch ")


@pytest.mark.control("P85", "S20")
def test_p85_the_new_members_cannot_sign_themselves_in(story: Story) -> None:
    """A certificate of the new set under the old epoch number: right signatures, wrong people."""
    league, held, epochs, ends = story
    height = epochs[2].first_height - 1
    forged = msgspec.structs.replace(ends[1], certificate=certified(league, held, epochs[2], ends[1].header, height))
    forged = msgspec.structs.replace(
        forged, certificate=msgspec.structs.replace(forged.certificate, vote=ends[1].certificate.vote)
    )
    problem = follow(trust_genesis(league.document), [ends[0], forged])
    assert isinstance(problem, str)
    assert "does not verify" in problem


@pytest.mark.control("P85")
def test_p85_fewer_than_q_signatures_are_not_enough(story: Story) -> None:
    league, _, epochs, ends = story
    few = CommitCertificate(
        ends[0].certificate.vote, bitmap(range(2), len(epochs[0].members)), ends[0].certificate.signatures[:2]
    )
    problem = follow(trust_genesis(league.document), [msgspec.structs.replace(ends[0], certificate=few)])
    assert isinstance(problem, str)
    assert "exactly 3 are needed" in problem
