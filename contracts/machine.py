"""What closures share while they run: the run with its budgets, and the unit a closure was built for.

`Run` lives for one call from outside; every contract entered by it uses the same one. `Unit` is one compiled contract
without state of its own (H9).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from contracts import ir
from contracts.errors import Aborted
from contracts.host import Host
from contracts.interface import Interface
from contracts.keys import RowFormat
from contracts.limits import TX_EVENT_BYTES, TX_EVENTS, TX_MEMORY_BYTES, TX_ROW_BYTES, TX_ROWS
from contracts.values import Names, date_text
from ledger.crypto.hashing import Tag, hash_encoded
from ledger.money import CurrencyTable
from ledger.receipt import ContractEvent

Frame = list[Any]
"""Slot 0 is the run, 1 the result, then parameters and locals."""

Value = Callable[[Frame], Any]
Step = Callable[[Frame], Any]
"""A statement; True when the routine has returned."""


_BASE32: Final = "abcdefghijklmnopqrstuvwxyz234567"
_BASE32_PAIRS: Final = tuple(first + second for first in _BASE32 for second in _BASE32)
"""Two base32 characters for each value of ten bits; an id has thirteen such pairs."""
_FIFTY_BITS: Final = 2**50 - 1


Known = tuple[Any, int, int]
"""A decoded row, and what every reading of it costs beside `READ`: units of gas and bytes of memory (H3)."""


class Run:
    """Budgets, events and written rows of one call from outside. A budget below zero is spent."""

    __slots__ = (
        "_today", "caller", "counter", "event_bytes_left", "events", "events_left", "gas", "height", "host", "memory",
        "row_bytes_left", "rows", "rows_left", "scheduled", "sender", "touched",
    )  # fmt: skip

    def __init__(self, host: Host, gas: int, scheduled: bool = False) -> None:
        self.host = host
        self.scheduled = scheduled
        self.gas = gas
        self.memory = TX_MEMORY_BYTES
        self.rows_left = TX_ROWS
        self.row_bytes_left = TX_ROW_BYTES
        self.events_left = TX_EVENTS
        self.event_bytes_left = TX_EVENT_BYTES
        self.events: list[ContractEvent] = []
        self.rows: dict[bytes, Known] = {}
        """Rows that this run has read or written, by state key, as they now are; the budgets of memory and of written
        bytes bound them, because every row in here was counted there."""
        self.touched: dict[bytes, Touched] = {}
        self.counter = 0
        signers = host.signers
        self.sender, self.caller = (signers[0].user, signers[0].company) if signers else ("", "")
        self.height = host.height
        self._today = ""

    @property
    def today(self) -> str:
        """The date of the block, worked out once."""
        if not self._today:
            self._today = date_text(self.host.day)
        return self._today

    def new_id(self, prefix: str) -> str:
        """Return a fresh id of this transaction (finance F4): prefix, `-`, 26 base32 characters."""
        self.counter += 1
        tx_id = self.host.tx_id
        # H(Tag.OBJECT_ID, tx_id, counter): both parts with their lengths, hashed in one piece
        body = len(tx_id).to_bytes(4, "big") + tx_id + b"\0\0\0\4" + self.counter.to_bytes(4, "big")
        digest = hash_encoded(Tag.OBJECT_ID, body)
        bits = int.from_bytes(digest[:17], "big") >> 6
        pairs, first, middle, last = _BASE32_PAIRS, bits >> 80, bits >> 30 & _FIFTY_BITS, bits & 0x3FFFFFFF
        return (
            f"{prefix}-{pairs[first >> 40]}{pairs[first >> 30 & 1023]}{pairs[first >> 20 & 1023]}"
            f"{pairs[first >> 10 & 1023]}{pairs[first & 1023]}{pairs[middle >> 40]}{pairs[middle >> 30 & 1023]}"
            f"{pairs[middle >> 20 & 1023]}{pairs[middle >> 10 & 1023]}{pairs[middle & 1023]}"
            f"{pairs[last >> 20]}{pairs[last >> 10 & 1023]}{pairs[last & 1023]}"
        )


class Touched:
    """A row written in this run, of a table that some invariant speaks of: the row before and now, None if absent."""

    __slots__ = ("before", "now", "table", "unit")

    def __init__(self, unit: Unit, table: int, before: Any, now: Any) -> None:
        self.unit = unit
        self.table = table
        self.before = before
        self.now = now


class Unit:
    """One contract as closures see it."""

    def __init__(self, module: ir.Module, interface: Interface, currencies: CurrencyTable) -> None:
        self.module = module
        self.name = module.name
        self.version = module.version
        self.interface = interface
        self.currencies = currencies
        self.names: Names = interface.names()
        self.formats: tuple[RowFormat, ...] = tuple(interface.formats[decl.name] for decl in module.tables)
        self.watched: dict[int, bool] = {}
        """Tables that an invariant speaks of."""
        for item in module.invariants:
            if isinstance(item, ir.EachInvariant):
                self.watched[item.table] = True
            else:
                self.watched.update((table, True) for _, table, _ in item.terms)
        self.armed: dict[int, list[ir.Schedule]] = {}
        """Schedules that follow a date of a table."""
        for schedule in module.schedules if isinstance(module, ir.Extended) else ():
            if schedule.kind == "row":
                self.armed.setdefault(schedule.table, []).append(schedule)

    def abort(self, code: str, line: int, text: str = "", reason: str = "") -> Aborted:
        """Return the exception that ends the run at `line` of this contract."""
        return Aborted(code, reason, self.name, self.version, line, text)

    def mismatch(self, line: int, left: str, right: str) -> Aborted:
        """Return the abort for two currencies that meet (L22)."""
        return self.abort("currency_mismatch", line, f"{left} and {right} cannot meet in one sum or comparison")

    def spent(self, run: Run, line: int) -> Aborted:
        """Return the abort for whichever budget is below zero; gas comes first."""
        if run.gas < 0:
            return self.abort("out_of_gas", line)
        if run.memory < 0:
            return self.abort("memory_budget", line)
        if run.rows_left < 0 or run.row_bytes_left < 0:
            return self.abort("write_budget", line)
        return self.abort("event_budget", line)
