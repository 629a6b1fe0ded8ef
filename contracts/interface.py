"""What others may know of a contract: names, types, who may call, and how to read its rows and events.

The checker reads interfaces of used contracts; nodes read them to decode rows, events and results, and to find the
state keys of rows (H5). Values here are wire values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from contracts.cost import Cost
from contracts.errors import ContractFault
from contracts.keys import RowFormat
from contracts.types import Type
from contracts.values import Names


class Field(NamedTuple):
    """`type` is how it is written, `kind` its first word (`text`, `money`, `enum`, ...), `spec` the type itself."""

    name: str
    type: str
    kind: str
    spec: Type


class TableSchema(NamedTuple):
    """`fields` has the key fields first; `key` are those. `readers` (L41): the party fields whose companies may read a
    row; empty for everyone; None when every party field counts."""

    key: tuple[Field, ...]
    fields: tuple[Field, ...]
    indexes: tuple[tuple[str, ...], ...]
    readers: tuple[str, ...] | None = None


class EventSchema(NamedTuple):
    fields: tuple[Field, ...]


class MethodSchema(NamedTuple):
    """`result` is None for an action without one. `callers`: None when a transaction calls it, else the contracts
    that may (empty: any that uses this one). `levels` and `cost` are worst cases (G5)."""

    params: tuple[Field, ...]
    result: Field | None
    authority: str
    worst_gas: int
    callers: tuple[str, ...] | None
    cost: Cost
    levels: int


class Unmetered:
    """Stands for a run where rows are read outside one: budgets that are never spent."""

    __slots__ = ("gas", "memory")

    def __init__(self) -> None:
        self.gas = self.memory = 2**62


@dataclass(frozen=True)
class Interface:
    """Immutable; build with `Code.interface`. Methods raise KeyError for a name that is not declared."""

    name: str
    version: int
    code_id: bytes
    ir_hash: bytes
    uses: tuple[tuple[str, int], ...]
    tables: Mapping[str, TableSchema]
    events: Mapping[str, EventSchema]
    actions: Mapping[str, MethodSchema]
    queries: Mapping[str, MethodSchema]
    schedules: Mapping[str, MethodSchema]
    """Worst cases of schedules; nobody calls them."""
    enums: Mapping[str, tuple[str, ...]]
    all_enums: Mapping[tuple[str, str], tuple[str, ...]]
    """Own enums and those of the used contracts, by (contract, name)."""
    all_records: Mapping[tuple[str, str], tuple[tuple[str, Type], ...]]
    """(name, type) of the fields of own records and of those of the used contracts, by (contract, name)."""
    chain: int
    """Contracts on the longest path of `uses`, this one included."""
    row_checks: Mapping[tuple[str, str], int]
    """Units one written row costs at the end of a transaction (L49), own tables and those of used contracts."""
    formats: Mapping[str, RowFormat] = field(repr=False, compare=False)

    def names(self) -> Names:
        """Return what enum and record types mean here."""
        records = {key: tuple(kind for _, kind in items) for key, items in self.all_records.items()}
        return Names(self.all_enums, records)

    def row_key(self, table: str, key: Sequence[Any]) -> bytes:
        """Return the full state key of a row from the wire values of its key fields."""
        shape = self.formats[table]
        if len(key) != len(shape.key_parts):
            raise ValueError(f"{self.name}.{table} has {len(shape.key_parts)} key fields, {len(key)} values were given")
        return shape.key(key)

    def table_range(self, table: str) -> tuple[bytes, bytes]:
        """Return (low, high) so that low <= key < high holds for exactly the rows of the table."""
        return self.formats[table].span

    def decode_row(self, table: str, value: bytes) -> dict[str, Any]:
        """Return a stored row as field name -> wire value, key fields included."""
        row = self._row(table, value)
        return {item.name: row[at + 1] for at, item in enumerate(self.tables[table].fields)}

    def _row(self, table: str, value: bytes) -> tuple[Any, ...]:
        """Return a stored row in the layout of this version; nothing is charged outside a call."""
        shape = self.formats[table]
        return shape.lifted(Unmetered(), shape.decode(value))

    def decode_event(self, name: str, fields: Sequence[Any]) -> dict[str, Any]:
        """Return the fields of an emitted event as name -> wire value."""
        schema = self.events[name].fields
        if len(schema) != len(fields):
            raise ContractFault(f"event {self.name}.{name} has {len(schema)} fields, the record has {len(fields)}")
        return {item.name: value for item, value in zip(schema, fields, strict=True)}

    def index_entries(self, table: str, value: bytes) -> tuple[bytes, ...]:
        """Return the keys of the index entries of a stored row; they are rebuilt after state sync (H6)."""
        shape = self.formats[table]
        row = self._row(table, value)
        return tuple(make(row) for make in shape.index_keys)
