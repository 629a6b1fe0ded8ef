"""Three changes of the member set of one league, and how each epoch before them ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from ledger.block import block_id
from ledger.certificate import CommitCertificate, Vote, bitmap, quorum
from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey
from ledger.crypto.hashing import Tag, signing_digest
from ledger.governance.follow import EpochEnd, wire_members
from ledger.governance.records import Rotation
from ledger.registry.epochs import EpochRecord, next_members_hash, read_epoch
from tests.ledger.governance.conftest import Firm, League, found_league, key

NEW = Firm("newcomer")


class Story(NamedTuple):
    league: League
    held: dict[bytes, SigningKey]
    epochs: list[EpochRecord]
    ends: list[EpochEnd]


def end_of(league: League, held: dict[bytes, SigningKey], old: EpochRecord, new: EpochRecord) -> EpochEnd:
    """Return what the members of `old` sign at the last height before `new`."""
    height = new.first_height - 1
    header = encode(
        msgspec.structs.replace(
            league.header,
            epoch=old.epoch,
            height=height,
            members_hash=old.members_hash,
            next_members_hash=next_members_hash(league.state, height),
        )
    )
    return EpochEnd(header, certified(league, held, old, header, height), wire_members(new))


def certified(
    league: League, held: dict[bytes, SigningKey], signers: EpochRecord, header: bytes, height: int
) -> CommitCertificate:
    vote = Vote(signers.epoch, 0, height, block_id(header))
    digest = signing_digest(Tag.SIG_COMMIT, league.chain, encode(vote))
    n = len(signers.members)
    indexes = range(quorum(n))
    return CommitCertificate(
        vote, bitmap(indexes, n), tuple(held[signers.members[i].consensus_key].sign(digest) for i in indexes)
    )


def told() -> Story:
    """Return three epoch changes: a company joins, a key changes, a member rests."""
    league = found_league()
    firm, second = league.firms[1], key("second key")
    held = {item.consensus.public_key: item.consensus for item in [*league.firms, NEW]} | {second.public_key: second}
    first = read_epoch(league.state, 0)
    assert first is not None
    changes: list[Callable[[], object]] = [
        lambda: league.ready(NEW),
        lambda: league.agree("rotate_consensus", league.rotation(firm, second, old=firm.consensus)),
        lambda: league.agree("rotation", Rotation(firm.company_id, False)),
    ]
    league.admit(NEW)
    epochs, ends = [first], []
    for change in changes:
        change()
        epochs.append(league.decided[-1])
        ends.append(end_of(league, held, epochs[-2], epochs[-1]))
        league.advance(epochs[-1].first_height)
    return Story(league, held, epochs, ends)
