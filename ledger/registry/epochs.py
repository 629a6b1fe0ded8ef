"""Epochs in state: who votes at a height, by number and by height, readable and provable (P114, P115, S20).

An epoch is decided at one height and begins at a later one, so that whoever must vote on its last header of the old
set has executed the decision (P112). Rows are never changed: a certificate of any height can be checked against the
members of its own epoch.

Keys: `re` + epoch number, four bytes big-endian. The last decided number stands in the registry state (`rv`).
"""

from __future__ import annotations

from typing import Final

from ledger.codec import Codec, Wire
from ledger.errors import InvariantViolated
from ledger.registry.lookup import Getter, read_registry
from ledger.registry.records import members_hash

EPOCH_PREFIX: Final = b"re"
MEMBERS_MAX: Final = 512
"""Certificates are bounded for this many signatures (ledger.certificate)."""


class EpochMember(Wire, frozen=True):
    """A voting company of an epoch. `in_rotation` False: it votes and does not propose (P80)."""

    company_id: str
    node_id: str
    consensus_key: bytes
    in_rotation: bool


class EpochRecord(Wire, frozen=True):
    """`members` sorted by company id: the position is the index (P5). Decided at a height before `first_height`."""

    epoch: int
    first_height: int
    decided_height: int
    members: tuple[EpochMember, ...]

    @property
    def members_hash(self) -> bytes:
        """The hash that headers of this epoch carry, and the last header before it as `next_members_hash` (LR5)."""
        return members_hash([(item.company_id, item.consensus_key, item.in_rotation) for item in self.members])

    @property
    def keys(self) -> tuple[bytes, ...]:
        """Consensus keys by index, as certificates of this epoch are checked against."""
        return tuple(item.consensus_key for item in self.members)

    @property
    def companies(self) -> tuple[str, ...]:
        return tuple(item.company_id for item in self.members)

    def member(self, company_id: str) -> EpochMember | None:
        """Return the member of this company, or None."""
        return next((item for item in self.members if item.company_id == company_id), None)


epoch_codec: Codec[EpochRecord] = Codec(EpochRecord, "epoch record", 256 + MEMBERS_MAX * 112)


def epoch_key(epoch: int) -> bytes:
    return EPOCH_PREFIX + epoch.to_bytes(4, "big")


def read_epoch(reader: Getter, epoch: int) -> EpochRecord | None:
    """Return the epoch of this number, or None while it is not decided."""
    data = reader.get(epoch_key(epoch))
    return None if data is None else epoch_codec.decode(data)


def last_epoch(reader: Getter) -> EpochRecord:
    """Return the epoch decided last; it may begin later."""
    return _decided(reader, read_registry(reader).epoch)


def epoch_at(reader: Getter, height: int) -> EpochRecord:
    """Return the epoch whose members decide `height`, as far as it is decided in this state (S20)."""
    low, high = 0, read_registry(reader).epoch
    while low < high:  # epochs begin in ascending order: the last one that begins at or before `height`
        middle = (low + high + 1) // 2
        if _decided(reader, middle).first_height <= height:
            low = middle
        else:
            high = middle - 1
    return _decided(reader, low)


def members(reader: Getter, epoch: int) -> tuple[EpochMember, ...]:
    """Return the members of a decided epoch; empty while it is not decided."""
    record = read_epoch(reader, epoch)
    return () if record is None else record.members


def members_at(reader: Getter, height: int) -> tuple[EpochMember, ...]:
    """Return the members that decide `height`."""
    return epoch_at(reader, height).members


def next_members_hash(reader: Getter, height: int) -> bytes:
    """Return what the header of `height` names: the set of the next height (P114).

    It differs from that of `height` exactly in the last header of an epoch.
    """
    return epoch_at(reader, height + 1).members_hash


def pending_epoch(reader: Getter, height: int) -> EpochRecord | None:
    """Return the epoch that is decided and begins after `height`, or None."""
    last = last_epoch(reader)
    return last if last.first_height > height else None


def _decided(reader: Getter, epoch: int) -> EpochRecord:
    record = read_epoch(reader, epoch)
    if record is None:
        raise InvariantViolated(f"the state has no epoch {epoch}; it was not made by genesis_state")
    return record
