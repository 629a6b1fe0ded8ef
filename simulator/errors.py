"""Errors of the simulator. A broken rule of the simulated network is a `Violation`: a result, not a crash."""

from __future__ import annotations

from dataclasses import dataclass


class SimulatorError(Exception):
    """Base of the errors of `simulator`."""


class InvalidScenario(SimulatorError):
    """A scenario cannot be run. `field` is the path of the offending value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class GuardBreach(SimulatorError):
    """Simulated code reached for the real world (M14). The message names the call and its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken rule: which checker, what it saw, where and when.

    `verdict` is `safety`, `liveness` or `expectation` (M34).
    """

    verdict: str
    checker: str
    detail: str
    time_ns: int
    node: str

    def __str__(self) -> str:
        at = f"{self.time_ns // 1_000_000}.{self.time_ns // 1000 % 1000:03d} ms"
        return f"{self.verdict}/{self.checker} at {at} on {self.node or 'the network'}: {self.detail}"


class Stopped(SimulatorError):
    """Raised inside a run to end it at the first violation."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(str(violation))
        self.violation = violation
