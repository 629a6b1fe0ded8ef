"""Errors of the consensus core. None of them leaves `Replica.step`: they end in the effect `Halt` (P159)."""

from __future__ import annotations

from consensus.effects import HaltReason


class ConsensusError(Exception):
    """Base of the errors of `consensus`."""


class ReplicaHalted(ConsensusError):
    """The replica has proof that going on would be wrong; nothing is sent after it (P36, P83)."""

    def __init__(self, reason: HaltReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail
