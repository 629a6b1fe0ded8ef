"""Companies bring a contract whose schedules are due at midnight, make promises, and leave the rest to the network.

What this trade calls is over long before the day turns; that promises lapse and days are counted is then the work of
blocks that nobody asked for (L56). The vote is that of `upgrades`, with one version.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import ClassVar, Final

from contracts.errors import ContractFault
from ledger.governance.records import InstallContracts, PlannedContract
from simulator.league import contract_sources, programs
from simulator.workloads.base import Call
from simulator.workloads.upgrades import Upgrades

DEADLINES: Final = "deadlines"
PROMISES: Final = 64


@lru_cache(maxsize=1)
def plan_of_deadlines(version: int) -> InstallContracts:
    """Return the plan that the companies vote on; there is one version."""
    source = files("simulator.workloads").joinpath(f"{DEADLINES}.contract").read_bytes()
    code = programs().compiled([dict(contract_sources()), {DEADLINES: source}])[DEADLINES]
    if code.version != version:
        raise ContractFault(f"version {version} of {DEADLINES} calls itself {code.version}")
    return InstallContracts((PlannedContract(DEADLINES, code.source, code.interface.ir_hash),), 0)


class Deadlines(Upgrades):
    name = "deadlines"
    contract: ClassVar[str] = DEADLINES
    versions: ClassVar[int] = 1

    def plan(self, version: int) -> InstallContracts:
        return plan_of_deadlines(version)

    def use(self) -> Call:
        firm = self.rng.choice(self.league.firms)
        args = (f"{firm.name}-{self.rng.below(PROMISES)}",)
        return Call(DEADLINES, "promise", args, ((firm.staff["preparer"], "maker"),), firm)
