"""Who votes in an epoch, and who proposes when (P5, P76, P77).

Members are sorted by company id and known by their position, the index. `rotation` is a fixed shuffle of
the indexes per epoch, the same on every replica.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from consensus.events import EpochSpec, ReplicaConfig
from consensus.quorum import faults, quorum, weak
from ledger.crypto.hashing import H, Tag
from ledger.errors import InvariantViolated

MEMBERS_MAX = 512
"""The simulator goes to 512 members; genesis of a production network refuses more than 64 (P141)."""


@dataclass(frozen=True, slots=True)
class Membership:
    """The member set of one epoch with everything that follows from it."""

    epoch: int
    first_height: int
    n: int
    f: int
    q: int
    weak: int
    company_ids: tuple[str, ...]
    keys: tuple[bytes, ...]
    members_hash: bytes
    rotation: tuple[int, ...]
    rotate_every: int
    bitmap_bytes: int
    before: Membership | None = None
    """The epoch before: certificates below the first height are its own (P115). It knows of none before itself."""

    def at(self, height: int) -> Membership:
        """Return the members whose quorum certifies `height`, as far as they are known here (P115)."""
        return self if height >= self.first_height or self.before is None else self.before

    def collector(self, view: int) -> int:
        """Return the member that builds NEW-VIEW(view) and proposes first in it (P76)."""
        return self.rotation[view % len(self.rotation)]

    def shift(self, height: int, base: int) -> int:
        """Return c of P77: how many planned rotations lie in (base+1, height]; 0 while rotation is off."""
        if self.rotate_every == 0 or height <= base + 1:
            return 0
        return height // self.rotate_every - (base + 1) // self.rotate_every

    def primary(self, view: int, height: int, base: int) -> int:
        """Return the member that proposes `height` in `view`; NEW-VIEW started from height `base` (P77)."""
        planned = self.shift(height, base) if self.rotate_every else 0
        return self.rotation[(view + planned) % len(self.rotation)]

    def next_view(self, view: int, height: int, base: int) -> int:
        """Return the view to leave to, so that the failed primary is not chosen again (P78)."""
        return view + self.shift(height, base) % len(self.rotation) + 1


def membership(spec: EpochSpec, chain_id: bytes, rotate_every: int, before: Membership | None = None) -> Membership:
    """Return the member set of `spec`, which follows on `before`; raise `InvariantViolated` if it breaks P5."""
    ids = tuple(member.company_id for member in spec.members)
    keys = tuple(member.consensus_key for member in spec.members)
    n = len(ids)
    if not 1 <= n <= MEMBERS_MAX:
        raise InvariantViolated(f"{n} members, 1 to {MEMBERS_MAX} are possible")
    if list(ids) != sorted(ids) or len(dict.fromkeys(ids)) != n:
        raise InvariantViolated("members are not sorted by company id, each once")
    if len(dict.fromkeys(keys)) != n:
        raise InvariantViolated("two members share a consensus key")
    proposing = tuple(member.company_id for member in spec.members if member.in_rotation)
    if not proposing:
        raise InvariantViolated("no member is in the rotation")
    order = rotation(proposing, chain_id, spec.epoch, spec.members_hash)
    return Membership(
        epoch=spec.epoch,
        first_height=spec.first_height,
        n=n,
        f=faults(n),
        q=quorum(n),
        weak=weak(n),
        company_ids=ids,
        keys=keys,
        members_hash=spec.members_hash,
        rotation=tuple(ids.index(proposing[place]) for place in order),
        rotate_every=rotate_every,
        bitmap_bytes=(n + 7) // 8,
        before=None if before is None else replace(before, before=None),
    )


def membership_of(config: ReplicaConfig) -> Membership:
    """Return the members that decide the next height of a node that starts with `config`, and those before them."""
    chain_id, rotate_every = config.chain_id, config.params.rotate_every
    former = None if config.former is None else membership(config.former, chain_id, rotate_every)
    return membership(config.epoch, chain_id, rotate_every, former)


def rotation(company_ids: tuple[str, ...], chain_id: bytes, epoch: int, members_hash: bytes) -> tuple[int, ...]:
    """Return the indexes in the order in which their members propose: sorted by a hash seeded per epoch (P76)."""
    seed = H(Tag.ROTATION, chain_id, epoch.to_bytes(8, "big"), members_hash)
    ranks = [(H(Tag.ROTATION, seed, company_id.encode("ascii")), index) for index, company_id in enumerate(company_ids)]
    return tuple(index for _, index in sorted(ranks))
