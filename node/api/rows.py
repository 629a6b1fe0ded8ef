"""Rows of programs, read from a state view through the programs' own interfaces, filtered by party (F3).

A row's parties are the companies it names. A row that names none (an allocation, a payment line) belongs to the
parties of the object it refers to. Whoever asks for a row he may not see gets what he would get for none.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

from contracts.errors import Aborted
from ledger.state import StateView
from node.access.enforce import Gate
from node.access.feed import is_open, readers_of_row
from node.api.ports import Interface, TableSchema

SCAN_STEP: Final = 128
"""Rows read between two turns of the loop: a long table must not hold up votes."""
DECODED_MAX: Final = 10_000
"""Decoded rows kept by their bytes; a row has about 1 KB, and most rows never change again."""
_OWNERS: Final = (
    ("invoice", "invoices", "Invoice"),
    ("payment", "payments", "Payment"),
    ("credit", "invoices", "Credit"),
)
"""Field that refers to an object, and where that object stands."""


class Row(NamedTuple):
    """One row: state key, field values in wire form, and its parties."""

    key: bytes
    values: Mapping[str, Any]
    parties: tuple[str, ...]


class Decoded:
    """Rows by their bytes, shared by all requests of a listener."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: OrderedDict[tuple[str, str, bytes], Mapping[str, Any]] = OrderedDict()

    def read(self, program: Interface, table: str, value: bytes) -> Mapping[str, Any]:
        """Return the fields of a stored row. Callers must not change the mapping."""
        key = (program.name, table, value)
        found = self._rows.get(key)
        if found is not None:
            self._rows.move_to_end(key)
            return found
        found = self._rows[key] = program.decode_row(table, value)
        if len(self._rows) > DECODED_MAX:
            self._rows.popitem(last=False)
        return found


class Tables:
    """Reads tables of one view. Cheap to make, meant for one request."""

    __slots__ = ("_decoded", "_gate", "_interfaces", "view")

    def __init__(self, view: StateView, interfaces: Mapping[str, Interface], gate: Gate, decoded: Decoded) -> None:
        self.view = view
        self._interfaces = interfaces
        self._gate = gate
        self._decoded = decoded

    def has(self, contract: str, table: str) -> bool:
        """Tell whether this network has the table at all; networks may be founded with fewer programs."""
        program = self._interfaces.get(contract)
        return program is not None and table in program.tables

    def schema(self, contract: str, table: str) -> TableSchema:
        """Return what the table declares; KeyError if there is none."""
        return self._interfaces[contract].tables[table]

    async def rows(self, contract: str, table: str) -> AsyncIterator[Row]:
        """Yield the rows of a table that the caller may see, in key order."""
        if not self.has(contract, table):
            return
        program = self._interfaces[contract]
        low, high = program.table_range(table)
        while True:
            keys = self.view.scan(low, high, SCAN_STEP)
            for key in keys:
                row = self._row(program, contract, table, key)
                if row is not None:
                    yield row
            if len(keys) < SCAN_STEP:
                return
            low = keys[-1] + b"\x00"
            await asyncio.sleep(0)

    def get(self, contract: str, table: str, *key: Any) -> Row | None:
        """Return one row by the wire values of its key, or None if it is absent or not for the caller's eyes."""
        if not self.has(contract, table):
            return None
        program = self._interfaces[contract]
        try:
            place = program.row_key(table, key)
        except (ValueError, KeyError, TypeError):
            return None
        return self._row(program, contract, table, place)

    def place(self, key: bytes) -> tuple[str, str] | None:
        """Return (contract, table) of a raw row key, or None if no program has it."""
        if not key.startswith(b"t"):
            return None
        for name, program in self._interfaces.items():
            for table in program.tables:
                low, high = program.table_range(table)
                if low <= key < high:
                    return name, table
        return None

    def at(self, key: bytes) -> Row | None:
        """Return the row at a raw key, or None if it is absent or not for the caller's eyes."""
        found = self.place(key)
        return None if found is None else self._row(self._interfaces[found[0]], found[0], found[1], key)

    def _row(self, program: Interface, contract: str, table: str, key: bytes) -> Row | None:
        value = self.view.get(key)
        if value is None:
            return None
        try:
            values = self._decoded.read(program, table, value)
        except Aborted:  # `migrate` cannot lift it, so no call can read it either (L62)
            return None
        schema = program.tables[table]
        parties = readers_of_row(schema, values) or self._borrowed(values, contract, table)
        return Row(key, values, parties) if is_open(schema) or self._gate.sees(parties) else None

    def _borrowed(self, values: Mapping[str, Any], contract: str, table: str) -> tuple[str, ...]:
        for field, owner, owner_table in _OWNERS:
            reference = values.get(field)
            if not isinstance(reference, str) or not reference or (contract, table) == (owner, owner_table):
                continue
            if not self.has(owner, owner_table):
                continue
            program = self._interfaces[owner]
            value = self.view.get(program.row_key(owner_table, (reference,)))
            if value is None:
                continue
            try:
                return readers_of_row(program.tables[owner_table], self._decoded.read(program, owner_table, value))
            except Aborted:  # an owner that cannot be lifted names nobody (L62)
                return ()
        return ()
