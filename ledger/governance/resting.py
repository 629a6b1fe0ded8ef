"""Rest for companies whose node broke the rules: what follows from evidence, if the companies choose it (P80, P125).

    the policy    off, until q companies accept `fault_policy`; they turn it off in the same way
    a fault       proven in a block while the policy is on: the company is to rest, if it proposes and still votes with
                  the key that is guilty
    a block       before its transactions, if no other change of members waits: those that are to rest no longer
                  propose from the next epoch on, in order of their ids, as many as may rest at once (f, P80); the
                  others wait for their turn
    while it rests it votes, and opens no proposals but for its own keys and its leaving
    return        with a new consensus key (P118), or when q companies accept `rotation`

Nobody is removed by a machine: more than f removals would halt the network, and the usual cause of evidence is a node
that runs twice with one key, which a new key ends.
"""

from __future__ import annotations

from typing import Final

from ledger.certificate import faults
from ledger.codec import Codec, Wire, encode
from ledger.evidence import Fault
from ledger.governance.records import FaultPolicy, Rows
from ledger.registry.epochs import EpochRecord, last_epoch, read_epoch
from ledger.registry.lookup import Getter
from ledger.state import Reader

POLICY_KEY: Final = b"rg"
RESTING_PREFIX: Final = b"rw"
_END: Final = b"rx"
RESTING_MAX: Final = 512
"""Rows read at once: one a member at most."""


class Resting(Wire, frozen=True):
    """A company that is to rest for a fault of `kind` in `fault_epoch`, or rests since `since_epoch` (0: it waits)."""

    company_id: str
    kind: str
    fault_epoch: int
    since_epoch: int


resting_codec: Codec[Resting] = Codec(Resting, "resting company", 512)
policy_codec: Codec[FaultPolicy] = Codec(FaultPolicy, "fault policy", 64)


def resting_key(company_id: str) -> bytes:
    return RESTING_PREFIX + company_id.encode()


def read_policy(reader: Getter) -> FaultPolicy:
    """Return the policy in force; a network that never voted on one has none."""
    data = reader.get(POLICY_KEY)
    return FaultPolicy(False) if data is None else policy_codec.decode(data)


def read_resting(reader: Getter, company_id: str) -> Resting | None:
    """Return why a company rests, or is to rest; None if it does neither by evidence."""
    data = reader.get(resting_key(company_id))
    return None if data is None else resting_codec.decode(data)


def rests(reader: Getter, company_id: str) -> bool:
    """Tell whether a company rests by evidence; one that only waits for its turn does not."""
    found = read_resting(reader, company_id)
    return found is not None and found.since_epoch > 0


def note_fault(rows: Rows, fault: Fault) -> None:
    """Let the policy look at a fault that was just recorded."""
    if not read_policy(rows).rest or rows.get(resting_key(fault.company_id)) is not None:
        return
    resting = Resting(fault.company_id, fault.kind, fault.epoch, 0)
    if _guilty(rows, last_epoch(rows), resting):
        rows.put(resting_key(fault.company_id), encode(resting))


def due(rows: Rows) -> tuple[Resting, ...]:
    """Return whose turn it is to rest, sorted by company id; forget those that no longer have to."""
    if not read_policy(rows).rest:
        return ()
    keys = rows.scan(RESTING_PREFIX, _END, RESTING_MAX)
    found = [resting_codec.decode(rows.get(key) or b"") for key in keys]
    waiting = [item for item in found if not item.since_epoch]
    if not waiting:
        return ()
    last = last_epoch(rows)
    free = faults(len(last.members)) - sum(1 for member in last.members if not member.in_rotation)
    chosen: list[Resting] = []
    for item in waiting:
        if not _guilty(rows, last, item):
            rows.delete(resting_key(item.company_id))
        elif len(chosen) < free:
            chosen.append(item)
    return tuple(chosen)


def begin(rows: Rows, item: Resting, epoch: int) -> None:
    """Keep that a company rests from `epoch` on."""
    rows.put(resting_key(item.company_id), encode(Resting(item.company_id, item.kind, item.fault_epoch, epoch)))


def forget(rows: Rows, company_id: str) -> None:
    """A company has a new key, was brought back, or left: nothing more follows from its fault."""
    if rows.get(resting_key(company_id)) is not None:
        rows.delete(resting_key(company_id))


def _guilty(reader: Reader, last: EpochRecord, item: Resting) -> bool:
    """Tell whether the member proposes now with the key that broke the rules."""
    then, now = read_epoch(reader, item.fault_epoch), last.member(item.company_id)
    before = None if then is None else then.member(item.company_id)
    return now is not None and now.in_rotation and before is not None and before.consensus_key == now.consensus_key
