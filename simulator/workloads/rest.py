"""Members put one of them out of the rotation of the primary, and back in: each change is an epoch (P80, P112).

Five calls make a change: one company proposes, the others vote in turn until the vote is decided. A call that comes too
early, because an epoch is still to begin, is refused on the ledger and made again.
"""

from __future__ import annotations

from typing import Final

from ledger.codec import encode
from ledger.governance.records import Rotation
from ledger.receipt import STATUS_OK, Receipt
from simulator.league import DEPUTY, GOVERNOR, Firm
from simulator.workloads.base import Call, Trade

EXPIRES_HEIGHT: Final = 100_000
"""Beyond every run; a proposal ends by its votes."""


class Rest(Trade):
    name = "rest"
    votes = True

    _proposal: bytes = b""
    _turn: int = 0
    _target: Firm | None = None
    _resting: bool = False

    def next_call(self) -> Call:
        firms = self.league.firms
        if not self._proposal:
            if not self._resting:
                self._target = self.rng.choice(firms)
            target = self._target or firms[0]
            payload = encode(Rotation(target.company_id, self._resting))
            return self._call(firms[self._turn % len(firms)], "propose", ("rotation", payload, EXPIRES_HEIGHT))
        self._turn += 1
        return self._call(firms[self._turn % len(firms)], "vote", (self._proposal, True))

    def receipt(self, call: Call, receipt: Receipt) -> None:
        if receipt.status != STATUS_OK:
            return
        if call.method == "propose" and receipt.result == "open":
            self._proposal = receipt.tx_id
        elif receipt.result == "accepted":
            self._proposal = b""
            self._resting = not self._resting

    def _call(self, firm: Firm, method: str, args: tuple[object, ...]) -> Call:
        people = ((firm.staff[GOVERNOR], "maker"), (firm.staff[DEPUTY], "checker"))
        return Call("governance", method, args, people, firm)
