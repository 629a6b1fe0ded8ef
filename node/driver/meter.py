"""Where the CPU time of a node goes, in plain integers (performance E40, E42). Scraped, never logged per event."""

from __future__ import annotations

from time import thread_time_ns
from typing import Final

PARTS: Final = ("verify", "consensus", "contract", "state", "store", "journal", "network", "api")
"""Phases of a turn that are measured apart."""


class Meter:
    """Adds up CPU nanoseconds by part and counts of whatever the core tallies."""

    __slots__ = ("counters", "cpu_ns")

    def __init__(self) -> None:
        self.cpu_ns: dict[str, int] = dict.fromkeys(PARTS, 0)
        self.counters: dict[str, int] = {}

    def count(self, metric: str, value: int = 1) -> None:
        """Add `value` to a counter."""
        self.counters[metric] = self.counters.get(metric, 0) + value

    def since(self, part: str, start_ns: int) -> int:
        """Charge the CPU time since `start_ns` to `part` and return the time now."""
        now = thread_time_ns()
        self.cpu_ns[part] += now - start_ns
        return now
