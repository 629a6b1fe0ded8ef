"""What work costs in virtual time (M10, M57). Integer nanoseconds from one table, scaled per node.

A node's event loop is a first-in-first-out server; signature checks and execution have servers of their own, because
the daemon answers them between turns. The default table was measured on the machine named in it; `calibrate` makes
another. Trust figures where the network dominates.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTable:
    """Nanoseconds per unit of work."""

    machine: str = "two shared server cores, Python 3.11"
    step: int = 40_000
    decode_byte: int = 3
    sign: int = 15_000
    verify: int = 44_000
    gas: int = 30
    write: int = 20_000
    execute_block: int = 150_000
    commit_base: int = 240_000
    commit_byte: int = 1


DEFAULT_COSTS = CostTable()


class Server:
    """A first-in-first-out server: `take` returns when work that arrives now will be done."""

    __slots__ = ("_free", "slowness")

    def __init__(self) -> None:
        self._free = 0
        self.slowness = 1

    def take(self, now: int, cost_ns: int) -> int:
        free = self._free
        free = self._free = (now if now > free else free) + cost_ns * self.slowness
        return free

    def reset(self, now: int) -> None:
        """Drop all waiting work: the process died."""
        self._free = now
