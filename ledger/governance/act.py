"""One governance call while it runs: whose it is, when, what it may touch, and what it leaves behind.

An act collects contract events and gas; rows are those of the block's overlay, in a layer that is dropped as a whole
when the act is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ledger.codec import Codec, encode
from ledger.errors import InvariantViolated
from ledger.genesis import NETWORK_KEY, PARAMS_KEY
from ledger.governance.programs import Entries, Examiner
from ledger.governance.records import Rows
from ledger.governance.refusal import need
from ledger.params import Params
from ledger.receipt import ContractEvent
from ledger.registry.epochs import EpochRecord
from ledger.registry.lookup import REGISTRY_KEY, Getter, read_registry
from ledger.registry.records import RegistryState

GOVERNANCE: Final = "governance"

CALL_GAS: Final = 2_000
SIGNATURE_GAS: Final = 500
"""One Ed25519 verification, about 70 microseconds."""
BYTES_PER_GAS: Final = 4
"""Payload bytes that cost one unit: they are decoded, hashed and stored."""

EVENTS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "Invited": (("sponsor", "party"), ("invite_hash", "bytes"), ("expires_height", "int")),
    "Proposed": (("proposal", "bytes"), ("kind", "text"), ("company", "party"), ("expires_height", "int")),
    "Voted": (
        ("proposal", "bytes"),
        ("company", "party"),
        ("approve", "bool"),
        ("approvals", "int"),
        ("quorum", "int"),
    ),
    "Accepted": (("proposal", "bytes"), ("kind", "text")),
    "Rejected": (("proposal", "bytes"), ("kind", "text")),
    "Withdrawn": (("proposal", "bytes"), ("company", "party")),
    "Failed": (("proposal", "bytes"), ("kind", "text"), ("reason", "text")),
    "CompanyAdded": (("company", "party"), ("node", "text"), ("sponsor", "party")),
    "CompanyLeft": (("company", "party"), ("status", "text")),
    "KeyAgreed": (("company", "party"), ("node", "text"), ("public_key", "bytes")),
    "TlsRotated": (("company", "party"), ("node", "text")),
    "CompanySuspended": (("company", "party"), ("until_ms", "int")),
    "CompanyResumed": (("company", "party"),),
    "CompanyRests": (("company", "party"), ("fault", "text"), ("epoch", "int")),
    "FaultPolicySet": (("rest", "bool"),),
    "KeysAsked": (("company", "party"), ("proposal", "bytes"), ("begins_ms", "int")),
    "KeysReplaced": (("company", "party"), ("node", "text")),
    "EpochDecided": (("epoch", "int"), ("first_height", "int"), ("members", "int"), ("members_hash", "bytes")),
    "ContractAccepted": (
        ("name", "text"),
        ("version", "int"),
        ("code_id", "bytes"),
        ("ir_hash", "bytes"),
        ("active_from", "int"),
    ),
    "ContractSuspended": (("name", "text"),),
    "ContractResumed": (("name", "text"),),
    "ScheduleRearmed": (("name", "text"), ("schedule", "text"), ("key", "bytes")),
}
"""Contract events of governance and their fields; `party` is a company id. All members may read all of them."""

_params_codec: Codec[Params] = Codec(Params, "parameters", 4_096)
_network_codec: Codec[tuple[str, bool, int]] = Codec(tuple[str, bool, int], "network", 4_096)


@dataclass(slots=True, kw_only=True)
class Act:
    """A call by people of `company_id`, in a block of `height` and `time_ms` whose parent is `parent_id`."""

    rows: Rows
    examiner: Examiner | None
    entries: Entries | None
    chain_id: bytes
    parent_id: bytes
    height: int
    time_ms: int
    tx_id: bytes
    company_id: str
    signers: tuple[str, ...]
    gas_limit: int
    gas_used: int = 0
    events: list[ContractEvent] = field(default_factory=list)
    next_epoch: EpochRecord | None = None

    def charge(self, gas: int) -> None:
        """Count work before it is done; refuse what the transaction has not allowed."""
        self.gas_used += gas
        need(
            self.gas_used <= self.gas_limit,
            "out_of_gas",
            "L66",
            f"{self.gas_used} gas are needed, the limit of this transaction is {self.gas_limit}; send it with more",
        )

    def emit(self, name: str, *fields: Any) -> None:
        """Add an event; its fields are those of `EVENTS`, in order."""
        if len(fields) != len(EVENTS[name]):
            raise InvariantViolated(f"event {name} has {len(EVENTS[name])} fields, not {len(fields)}")
        self.events.append(ContractEvent(GOVERNANCE, name, fields))

    def put(self, key: bytes, record: msgspec.Struct) -> None:
        self.rows.put(key, encode(record))

    def registry_moved(self, epoch: int | None = None) -> None:
        registry_moved(self.rows, epoch)

    @property
    def params(self) -> Params:
        return read_params(self.rows)

    @property
    def production(self) -> bool:
        return is_production(self.rows)


def registry_moved(rows: Rows, epoch: int | None = None) -> None:
    """Count a change of the registry (S21) and, when one was decided, name the last epoch."""
    before = read_registry(rows)
    rows.put(REGISTRY_KEY, encode(RegistryState(before.version + 1, before.epoch if epoch is None else epoch)))


def read_params(rows: Getter) -> Params:
    """Return the parameters of the network."""
    return _params_codec.decode(_row(rows, PARAMS_KEY))


def is_production(rows: Getter) -> bool:
    """Tell whether genesis says production (P4)."""
    return _network_codec.decode(_row(rows, NETWORK_KEY))[1]


def _row(rows: Getter, key: bytes) -> bytes:
    data = rows.get(key)
    if data is None:
        raise InvariantViolated(f"the state has no {key.decode()}; it was not made by genesis_state")
    return data
