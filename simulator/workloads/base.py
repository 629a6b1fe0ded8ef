"""What a workload is: a source of calls that hears what became of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Protocol

from ledger.block import BlockRef
from ledger.receipt import Receipt
from simulator.errors import InvalidScenario
from simulator.league import Firm, League, Person
from simulator.rng import Rng, exponential
from simulator.scenario.schema import Workload
from simulator.scenario.units import duration_ns, ppm

SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class Call:
    """One contract call to be signed and submitted by the clients of `firm`.

    `spoil` names how the envelope is broken on purpose (workload `hostile`); such a call must be refused.
    """

    contract: str
    method: str
    args: tuple[Any, ...]
    signers: tuple[tuple[Person, str], ...]
    firm: Firm
    spoil: str = ""
    note: Any = field(default=None, compare=False)


Tip = Callable[[int], BlockRef]
"""The highest block that the node of a company has executed, by index in the league."""


class Trade:
    """Base of the workloads: draws calls from its own stream."""

    name: ClassVar[str] = ""
    votes: ClassVar[bool] = False
    """It needs people who vote for their companies."""

    def __init__(self, league: League, rng: Rng, conflict: Decimal) -> None:
        self.league = league
        self.rng = rng
        self.conflict_ppm = ppm(conflict, "workload.conflict")

    def next_call(self) -> Call:
        """Return the next call."""
        raise NotImplementedError

    def prepare(self, wanted: Workload, tip: Tip) -> None:
        """Hear what the scenario wants of this workload besides calls."""

    def receipt(self, call: Call, receipt: Receipt) -> None:
        """A call of this trade was executed."""

    def maker_and_checker(self, firm: Firm) -> tuple[tuple[Person, str], ...]:
        return ((firm.staff["preparer"], "maker"), (firm.staff["approver"], "checker"))


class Pace(Protocol):
    """Times of submission: nanoseconds from one to the next, or None when nothing more is due at this rate."""

    def gap_ns(self, elapsed_ns: int, in_flight: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Steady:
    """`fixed:N`, `linear:A..B`, `poisson:N`, `burst:N,every` in transactions per second, and `fixed-load:N`."""

    kind: str
    first: Decimal
    last: Decimal
    every_ns: int
    duration_ns: int
    rng: Rng

    def gap_ns(self, elapsed_ns: int, in_flight: int) -> int:
        if self.kind == "fixed-load":
            return 1_000_000 if in_flight < self.first else 20_000_000
        if self.kind == "burst":
            return self.every_ns
        rate = self.first
        if self.kind == "linear":
            rate = self.first + (self.last - self.first) * min(elapsed_ns, self.duration_ns) / self.duration_ns
        mean = int(SECOND_NS / rate) if rate > 0 else self.duration_ns
        return max(1, self.rng.quantile(exponential(), mean)) if self.kind == "poisson" else mean

    def batch(self, in_flight: int) -> int:
        """Return how many calls are due at once."""
        if self.kind == "burst":
            return int(self.first)
        if self.kind == "fixed-load":
            return max(0, int(self.first) - in_flight)
        return 1


def pace(text: str, field_name: str, run_ns: int, rng: Rng) -> Steady:
    """Return the pace that a `rate` of a scenario names (M25)."""
    kind, separator, value = text.partition(":")
    try:
        if kind == "linear":
            low, _, high = value.partition("..")
            return Steady(kind, Decimal(low), Decimal(high), 0, max(1, run_ns), rng)
        if kind == "burst":
            count, _, every = value.partition(",")
            return Steady(kind, Decimal(count), Decimal(0), duration_ns(every, field_name), run_ns, rng)
        if separator and kind in ("fixed", "poisson", "fixed-load"):
            return Steady(kind, Decimal(value), Decimal(0), 0, max(1, run_ns), rng)
    except ArithmeticError:
        pass
    raise InvalidScenario(
        field_name, f"{text!r} is none of fixed:N, linear:A..B, poisson:N, burst:N,every, fixed-load:N"
    )
