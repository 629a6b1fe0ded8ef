"""Provable misbehaviour as an item of a block, and the record it leaves on the chain (P122-P125).

An item carries what its offender signed: the bodies and the signatures, so anybody who knows the members of the epoch
can judge it without having been there. Here is only its form; `consensus.evidence` judges. An item counts in a block
after that was done by every voter, so the transition does not judge again: it records the fault, once for each
offender, kind and epoch, and nothing else follows from it.

In every list of bodies (proposal, journal, block store, sync) the evidence stands behind the transactions:
`header.tx_count` says how many of the list are transactions. A block without evidence has the bytes it always had.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from ledger.codec import Codec, Natural, Wire
from ledger.crypto.hashing import H, Tag

KINDS: Final = ("E1", "E2", "E3", "E4", "E5", "E6")
"""Two proposals, two prepare votes, two commits, two openings of a view, a false opening, amnesia (P122)."""
ITEM_BYTES_MAX: Final = 256 * 1024
"""One item; two NEW-VIEWs of a large league need most of it, votes far below 2 KiB (P122)."""
ITEMS_MAX: Final = 64
"""Items of one block: more than the faults that 64 members could commit in all kinds in one go."""

_T = TypeVar("_T")


class Statement(Wire, frozen=True):
    """Something signed: `kind` is a vote kind of P10, `body` the canonical signed bytes."""

    kind: str
    body: bytes
    signature: bytes


class Evidence(Wire, frozen=True):
    """One fault of one member of `epoch`; `statements` in the order that `consensus.evidence` demands."""

    kind: str
    epoch: Natural
    company_id: str
    statements: tuple[Statement, ...]


class Fault(Wire, frozen=True):
    """What the chain keeps of an item: the block that carried it and its id."""

    company_id: str
    kind: str
    epoch: Natural
    height: Natural
    evidence_id: bytes


evidence_codec: Codec[Evidence] = Codec(Evidence, "evidence", ITEM_BYTES_MAX)
fault_codec: Codec[Fault] = Codec(Fault, "recorded fault", 512)


def evidence_id(item: bytes) -> bytes:
    """Return the id of an encoded item; `evidence_root` is over these, in block order (LR6)."""
    return H(Tag.EVIDENCE, item)


def fault_key(company_id: str, epoch: int, kind: str) -> bytes:
    """Return the state key of a recorded fault: one for each offender, epoch and kind (P124)."""
    return b"rf" + company_id.encode("ascii") + b"/" + epoch.to_bytes(8, "big") + kind.encode("ascii")


def order_of(item: Evidence) -> tuple[str, int, str]:
    """Return what items of a block ascend by; equal means the same fault twice (P124)."""
    return item.company_id, item.epoch, item.kind


def split_bodies(bodies: Sequence[_T], tx_count: int) -> tuple[tuple[_T, ...], tuple[_T, ...]]:
    """Return the transactions and the evidence of a list of bodies, or of their ids."""
    return tuple(bodies[:tx_count]), tuple(bodies[tx_count:])
