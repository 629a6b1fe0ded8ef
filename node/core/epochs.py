"""From the ledger's epoch records to what consensus is told: one place for both shells."""

from __future__ import annotations

from consensus.events import EpochSpec, Member
from ledger.registry.epochs import EpochRecord


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
