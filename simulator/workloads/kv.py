"""Small writes to one table: the baseline for consensus figures (M25). Uses the contract `notes` beside this file."""

from __future__ import annotations

from typing import Final

from simulator.league import NOTES as CONTRACT
from simulator.workloads.base import Call, Trade

RECORDS: Final = 64
"""Different notes that contended writes go to."""


class KeyValue(Trade):
    name = "kv"

    def next_call(self) -> Call:
        firm = self.rng.choice(self.league.firms)
        if self.rng.chance(self.conflict_ppm):
            note = f"shared-{self.rng.below(4)}"
        else:
            note = f"{firm.name}-{self.rng.below(RECORDS)}"
        args = (note, self.rng.below(1_000_000))
        return Call(CONTRACT, "keep", args, ((firm.staff["preparer"], "maker"),), firm)
