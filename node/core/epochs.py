"""From the ledger's epoch records and the ends of epochs to what consensus is told: one place for both shells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from consensus.events import EpochSpec, Member
from ledger.block import header_codec
from ledger.governance.follow import EpochEnd, TrustedMembers
from ledger.registry.epochs import EpochRecord
from ledger.registry.records import members_hash

EPOCHS_JUDGED: Final = 8
"""Latest epochs whose states can be judged (P107). The newest two snapshots of a peer are of these unless members
change far more often than snapshots are made; what is older is passed over."""


def epoch_spec(record: EpochRecord) -> EpochSpec:
    """Return the members of a record by index (P5), with the hash that headers carry (LR5)."""
    return EpochSpec(
        epoch=record.epoch,
        first_height=record.first_height,
        members=tuple(
            Member(company_id=item.company_id, consensus_key=item.consensus_key, in_rotation=item.in_rotation)
            for item in record.members
        ),
        members_hash=record.members_hash,
    )


def spec_of(trusted: TrustedMembers) -> EpochSpec:
    """Return the members that a walk along the ends of epochs arrived at (P85)."""
    return EpochSpec(
        epoch=trusted.epoch,
        first_height=trusted.first_height,
        members=tuple(
            Member(company_id=name, consensus_key=key, in_rotation=proposes) for name, key, proposes in trusted.members
        ),
        members_hash=members_hash(trusted.members),
    )


def passed_epochs(kept: Sequence[EpochEnd], present: int, reached: int) -> tuple[EpochSpec, ...]:
    """Return the epochs between two numbers, both left out, that `kept` (the ends of epochs 0, 1, ...) lead through.

    At most as many as states are judged of; the ends were checked before they were kept.
    """
    return specs_after(kept[max(present, reached - EPOCHS_JUDGED) : max(0, reached - 1)])


def specs_after(ends: Sequence[EpochEnd]) -> tuple[EpochSpec, ...]:
    """Return the epoch that each of these ends leads to."""
    found: list[EpochSpec] = []
    for end in ends:
        last = header_codec.decode(end.header)
        begun = TrustedMembers(
            chain_id=last.chain_id, epoch=last.epoch + 1, first_height=last.height + 1, members=end.members
        )
        found.append(spec_of(begun))
    return tuple(found)


def trusted_members(spec: EpochSpec, chain_id: bytes) -> TrustedMembers:
    """Return the members of an epoch as a walk along the ends of epochs starts from them: the way back of `spec_of`."""
    return TrustedMembers(
        chain_id=chain_id,
        epoch=spec.epoch,
        first_height=spec.first_height,
        members=tuple((one.company_id, one.consensus_key, one.in_rotation) for one in spec.members),
    )
