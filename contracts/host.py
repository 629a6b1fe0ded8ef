"""All a contract can reach (contracts.md section 17). Programs never hold a host object (H1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from ledger.receipt import Abort, ContractEvent


class Signer(NamedTuple):
    """A verified signer of the transaction."""

    user: str
    company: str


@dataclass(frozen=True, slots=True)
class Call:
    """One invocation; `args` in wire form (L12)."""

    kind: Literal["action", "query", "schedule"]
    contract: str
    method: str
    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call did. `version` is the contract version that ran; `abort` is None on success."""

    abort: Abort | None
    gas_used: int
    events: tuple[ContractEvent, ...]
    result: Any
    version: int


class Host(Protocol):
    """Synchronous, total, deterministic; sees the transaction's own writes (H2)."""

    tx_id: bytes
    height: int
    day: int
    """Day number of `today`: days since 0001-01-01, which is day 0 (proleptic Gregorian)."""
    signers: tuple[Signer, ...]

    def get(self, key: bytes) -> bytes | None: ...
    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> None: ...
    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]: ...
    def decide(self, signer: int, role: str, company: str | None, apart: tuple[str, ...]) -> str:
        """Return "ok..." or "deny...": does signer hold people role `role` in `company` (None: any active company)."""
        ...

    def company_has(self, company: str, role: str) -> bool: ...
