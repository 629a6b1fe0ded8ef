"""Pure rules of the next member set: what a change gives, and whether the network survives it (P4, P5, P80, P116).

A change is looked at as a whole. Its answer is an `Effect`: quorum before and after, and who of the new members is
not known to vote. The same function answers a dry run and decides in a block, so the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledger.certificate import faults, quorum
from ledger.errors import InvariantViolated
from ledger.genesis import MEMBERS_MIN_PRODUCTION
from ledger.governance.refusal import Refused, need, short
from ledger.registry.epochs import MEMBERS_MAX, EpochMember

MEMBERS_MAX_PRODUCTION: Final = 64
"""A certificate of a production network has at most q of 64 signatures (P141)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one decision does to the member set. `unready`: companies whose key in the new set nobody has shown to
    be in use: a joiner before its `ready`, or a key that replaces a lost one."""

    joins: tuple[EpochMember, ...] = ()
    leaves: tuple[str, ...] = ()
    keys: tuple[tuple[str, bytes], ...] = ()
    nodes: tuple[tuple[str, str], ...] = ()
    """The node that votes with the key from now on, where it is another one."""
    rotation: tuple[tuple[str, bool], ...] = ()
    unready: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Tell whether the member set stays as it is."""
        return not (self.joins or self.leaves or self.keys or self.rotation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a change would do (P116). `missing`: members after it that cannot be counted on, sorted by company id.

    `refused` holds the refusal if the change is not possible, else nothing. `_after` values are those of the set that
    was asked for, also when it is refused.
    """

    members_before: tuple[EpochMember, ...]
    members_after: tuple[EpochMember, ...]
    quorum_before: int
    quorum_after: int
    faults_before: int
    faults_after: int
    missing: tuple[str, ...]
    refused: tuple[Refused, ...]


def effect(current: Sequence[EpochMember], change: Change, *, production: bool, frozen: Sequence[str] = ()) -> Effect:
    """Return what `change` does to the `current` members; `frozen` are suspended companies.

    A suspended company does not count as present: it keeps its consensus vote (S25) but cannot vote on proposals,
    and a set in which q companies cannot vote could never be changed again.
    """
    after = _changed(current, change)
    names = [member.company_id for member in after]
    missing = tuple(name for name in names if name in change.unready or name in frozen)
    refused: tuple[Refused, ...] = ()
    try:
        _check_change(current, change, after, production)
        present, q = len(after) - len(missing), quorum(len(after))
        need(
            present >= q,
            "no_quorum",
            "P116",
            f"{present} of {len(after)} members would be present, {q} must be; "
            f"first bring back {', '.join(short(name) for name in missing[:3])}",
        )
    except Refused as refusal:
        refused = (refusal,)
    return Effect(
        members_before=tuple(current),
        members_after=after,
        quorum_before=quorum(len(current)),
        quorum_after=quorum(len(after)) if after else 0,
        faults_before=faults(len(current)),
        faults_after=faults(len(after)) if after else 0,
        missing=missing,
        refused=refused,
    )


def next_members(
    current: Sequence[EpochMember], change: Change, *, production: bool, frozen: Sequence[str] = ()
) -> tuple[EpochMember, ...]:
    """Return the members after `change`, or raise `Refused`; checked from the other side before it is believed."""
    found = effect(current, change, production=production, frozen=frozen)
    if found.refused:
        raise found.refused[0]
    names = [member.company_id for member in found.members_after]
    keys = [member.consensus_key for member in found.members_after]
    if names != sorted(names) or len(dict.fromkeys(names)) != len(names) or len(dict.fromkeys(keys)) != len(keys):
        raise InvariantViolated("the next member set is not sorted, or a company or key stands in it twice")
    return found.members_after


def _changed(current: Sequence[EpochMember], change: Change) -> tuple[EpochMember, ...]:
    keys, nodes, rotation = dict(change.keys), dict(change.nodes), dict(change.rotation)
    kept = [
        EpochMember(
            member.company_id,
            nodes.get(member.company_id, member.node_id),
            keys.get(member.company_id, member.consensus_key),
            rotation.get(member.company_id, member.in_rotation),
        )
        for member in current
        if member.company_id not in change.leaves
    ]
    return tuple(sorted([*kept, *change.joins], key=lambda member: member.company_id))


def _check_change(
    current: Sequence[EpochMember], change: Change, after: Sequence[EpochMember], production: bool
) -> None:
    known = [member.company_id for member in current]
    for name in (*change.leaves, *(name for name, _ in change.keys), *(name for name, _ in change.rotation)):
        need(name in known, "not_member", "P112", f"{short(name)} is no member of this epoch; name one of its members")
    for member in change.joins:
        need(member.company_id not in known, "conflict", "P5", f"{short(member.company_id)} is a member already")
    limit = max(1, faults(len(current)))
    moved = len(change.joins) + len(change.leaves)
    need(
        moved <= limit,
        "too_many_changes",
        "P116",
        f"{moved} companies join or leave, {limit} may in one epoch; split the change over several epochs",
    )
    least = MEMBERS_MIN_PRODUCTION if production else 1
    need(
        len(after) >= least,
        "too_few_members",
        "P116",
        f"{len(after)} members would remain, the network needs {least}; add a member first",
    )
    most = MEMBERS_MAX_PRODUCTION if production else MEMBERS_MAX
    need(
        not change.joins or len(after) <= most,
        "limit_exceeded",
        "P141",
        f"{len(after)} members, at most {most} are possible; let a company leave first",
    )
    keys = [member.consensus_key for member in after]
    for member in after:
        need(
            keys.count(member.consensus_key) == 1,
            "key_in_use",
            "P5",
            f"two members would vote with key {short(member.consensus_key)}; use a fresh key",
        )
    resting = sum(1 for member in after if not member.in_rotation)
    need(
        resting <= faults(len(after)),
        "too_many_changes",
        "P80",
        f"{resting} members would not propose, at most {faults(len(after))} may rest; bring one back first",
    )
