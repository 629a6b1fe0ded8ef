"""Requests that must be refused or fail cleanly: bad signatures, rubbish, replays, wrong keys, gas burners (M25)."""

from __future__ import annotations

from simulator.league import NOTES as CONTRACT
from simulator.workloads.base import Call, Trade

SPOILS = (
    "signature", "truncated", "rubbish", "oversize", "expired", "foreign_key", "other_chain", "nonce", "gas",
    "trailing", "not_canonical",
)  # fmt: skip
"""How an envelope is broken before it is submitted."""


class Hostile(Trade):
    name = "hostile"

    def next_call(self) -> Call:
        firm = self.rng.choice(self.league.firms)
        signers = ((firm.staff["preparer"], "maker"),)
        draw = self.rng.below(len(SPOILS) + 3)
        if draw < len(SPOILS):
            return Call(CONTRACT, "keep", (f"h-{self.rng.below(8)}", 1), signers, firm, spoil=SPOILS[draw])
        if draw == len(SPOILS):
            return Call("no_such_contract", "keep", (), signers, firm)
        if draw == len(SPOILS) + 1:
            return Call(CONTRACT, "keep", ("x" * 41, "not a number", 1), signers, firm)
        return Call(CONTRACT, "keep", (f"h-{self.rng.below(8)}", 1), ((firm.staff["approver"], "maker"),), firm)
