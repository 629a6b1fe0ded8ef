"""What clients do in a run (M25). Door: `Clients`; each kind of workload is one file with a `Trade` class.

A trade decides what to call next and learns from receipts; `Clients` signs, submits, retries and measures.
"""

from __future__ import annotations

from typing import Final

from simulator.workloads.base import Call, Trade
from simulator.workloads.clients import Clients
from simulator.workloads.deadlines import Deadlines
from simulator.workloads.hostile import Hostile
from simulator.workloads.invoices import Invoices
from simulator.workloads.kv import KeyValue
from simulator.workloads.members import Members
from simulator.workloads.rest import Rest
from simulator.workloads.upgrades import Upgrades

KINDS: Final[dict[str, type[Trade]]] = {
    kind.name: kind for kind in (KeyValue, Invoices, Hostile, Rest, Members, Upgrades, Deadlines)
}

__all__ = ["Clients", "KINDS", "Call", "Trade"]
