"""Worst cases as values: what one call can use at most (G5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_NONE: Mapping[tuple[str, str], int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Cost:
    """Units of gas, bytes of memory, rows and bytes written, events and their bytes.

    `rows` counts written rows by (contract, table), because every written row is tested at the end (L49).
    """

    gas: int = 0
    memory: int = 0
    rows: Mapping[tuple[str, str], int] = field(default_factory=lambda: _NONE)
    row_bytes: int = 0
    events: int = 0
    event_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        if not other.rows:
            rows = self.rows
        elif not self.rows:
            rows = other.rows
        else:
            rows = {key: self.rows.get(key, 0) + other.rows.get(key, 0) for key in sorted({*self.rows, *other.rows})}
        return Cost(
            self.gas + other.gas,
            self.memory + other.memory,
            rows,
            self.row_bytes + other.row_bytes,
            self.events + other.events,
            self.event_bytes + other.event_bytes,
        )

    def times(self, count: int) -> Cost:
        """Return the cost of doing this `count` times."""
        return Cost(
            self.gas * count,
            self.memory * count,
            {key: value * count for key, value in self.rows.items()},
            self.row_bytes * count,
            self.events * count,
            self.event_bytes * count,
        )

    def or_else(self, other: Cost) -> Cost:
        """Return the larger of both in every respect: only one of two branches runs."""
        return Cost(
            max(self.gas, other.gas),
            max(self.memory, other.memory),
            {key: max(self.rows.get(key, 0), other.rows.get(key, 0)) for key in sorted({*self.rows, *other.rows})},
            max(self.row_bytes, other.row_bytes),
            max(self.events, other.events),
            max(self.event_bytes, other.event_bytes),
        )

    @property
    def rows_written(self) -> int:
        return sum(self.rows.values())


NOTHING = Cost()


def gas(units: int) -> Cost:
    """Return a cost of `units` of gas and nothing else."""
    return Cost(gas=units)
