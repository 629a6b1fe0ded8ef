"""Companies bring a contract by vote, use it, and replace it while the chain runs (L57-L63).

One company proposes the next version, the others vote in turn until it is accepted; from then on calls go to it, early
ones before it is active too: they are refused on the ledger. Every second version has a new field, so that rows of
older layouts are lifted, and each row has a schedule that closes it in a later block.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import ClassVar, Final

from contracts.errors import ContractFault
from ledger.codec import encode
from ledger.governance.records import InstallContracts, PlannedContract
from ledger.receipt import STATUS_OK, Receipt
from simulator.errors import InvalidScenario
from simulator.league import DEPUTY, GOVERNOR, Firm, contract_sources, programs
from simulator.scenario.schema import Workload
from simulator.workloads.base import Call, Tip, Trade

CONTRACT: Final = "tallies"
EXPIRES_HEIGHT: Final = 100_000
"""Beyond every run; a proposal ends by its votes."""
CALLS_BETWEEN: Final = 36
"""Calls of the contract between an accepted version and the next proposal: enough to meet its activation."""
VERSIONS: Final = 6
"""Versions of one run; afterwards only calls are made."""
RECORDS: Final = 64


@lru_cache(maxsize=VERSIONS)
def version_source(version: int) -> bytes:
    """Return the text of a version, counted from 1; every second one adds a field."""
    extra = [f"extra{number}" for number in range(2, version + 1, 2)]
    fresh = version % 2 == 0
    text = files("simulator.workloads").joinpath(f"{CONTRACT}.contract").read_text(encoding="ascii")
    for word, value in (
        ("REPLACES", f" replaces {version - 1}" if version > 1 else ""),
        ("FIELD", "".join(f", {name}: int" for name in extra)),
        ("MIGRATE", f"\nmigrate Tally: {extra[-1]} = row.amount\n" if fresh else ""),
        ("SET", "".join(f", {name} = amount" for name in extra)),
        ("NUMBER", str(version)),
    ):
        head, newline, body = text.partition("\n")
        text = head + newline + body.replace(word, value)
    return text.encode("ascii")


@lru_cache(maxsize=VERSIONS)
def planned(version: int, delay_heights: int = 0) -> InstallContracts:
    """Return the plan of a version, with the IR hash that the companies vote on."""
    steps = [dict(contract_sources()), *({CONTRACT: version_source(number)} for number in range(1, version + 1))]
    code = programs().compiled(steps)[CONTRACT]
    if code.version != version:
        raise ContractFault(f"version {version} of {CONTRACT} calls itself {code.version}")
    return InstallContracts((PlannedContract(CONTRACT, code.source, code.interface.ir_hash),), delay_heights)


class Upgrades(Trade):
    name = "upgrades"
    votes = True
    contract: ClassVar[str] = CONTRACT
    versions: ClassVar[int] = VERSIONS

    _proposal: bytes = b""
    _turn: int = 0
    _version: int = 0
    _calls: int = CALLS_BETWEEN
    _delay_heights: int = 0

    def prepare(self, wanted: Workload, _tip: Tip) -> None:
        self._delay_heights = wanted.delay_heights

    def next_call(self) -> Call:
        firms = self.league.firms
        if self._proposal:
            self._turn += 1
            return self._govern(firms[self._turn % len(firms)], "vote", (self._proposal, True))
        most = 1 if self._delay_heights else self.versions
        if self._calls >= CALLS_BETWEEN and self._version < most:
            payload = encode(self.plan(self._version + 1))
            return self._govern(firms[self._turn % len(firms)], "propose", ("contract", payload, EXPIRES_HEIGHT))
        self._calls += 1
        return self.use()

    def plan(self, version: int) -> InstallContracts:
        """Return what the companies vote on for `version`."""
        return planned(version, self._delay_heights)

    def use(self) -> Call:
        """Return a call of the contract."""
        firm = self.rng.choice(self.league.firms)
        args = (f"{firm.name}-{self.rng.below(RECORDS)}", self.rng.below(1_000_000))
        return Call(CONTRACT, "keep", args, ((firm.staff["preparer"], "maker"),), firm)

    def receipt(self, call: Call, receipt: Receipt) -> None:
        if receipt.status != STATUS_OK or call.contract == self.contract:
            return
        if call.method == "propose" and receipt.result == "open":
            self._proposal = receipt.tx_id
        elif receipt.result == "accepted":
            self._proposal = b""
            self._version += 1
            self._calls = 0
        elif receipt.result != "open":
            raise InvalidScenario("workload.kind", f"version {self._version + 1} ended as {receipt.result}")

    def _govern(self, firm: Firm, method: str, args: tuple[object, ...]) -> Call:
        people = ((firm.staff[GOVERNOR], "maker"), (firm.staff[DEPUTY], "checker"))
        return Call("governance", method, args, people, firm)
