"""How rows of one table lie in state: key bytes, stored bytes, index entries (H5, H6).

A row is stored as the canonical bytes of [layout, field ...], all fields in declared order, key fields included. An
index entry's key ends with the row's key parts, so the row is found without reading the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from contracts.errors import ContractFault
from contracts.ir import TableDecl
from contracts.limits import KEY_BYTES, ROW_BYTES
from contracts.types import KEY_KINDS, Many, key_bytes, memory_bytes, wire_bytes
from contracts.values import KeyPart, Names, after_prefix, key_part, measure, skip_key_part, stored_type, text_frame
from ledger.codec import encode

ENTRY: Final = encode(None)
"""Value of every index entry; all that matters is its key."""


def table_prefix(space: bytes, contract: str, table: str) -> bytes:
    """Return the bytes before the key parts: space, then both names with a length byte each."""
    return space + bytes([len(contract)]) + contract.encode("ascii") + bytes([len(table)]) + table.encode("ascii")


def names_of(key: bytes) -> tuple[str, str]:
    """Return contract and table of a key that begins with `table_prefix` of some space."""
    split = 2 + key[1]
    return key[2:split].decode("ascii"), key[split + 1 : split + 1 + key[split]].decode("ascii")


Lift = Callable[[Any, tuple[Any, ...]], tuple[Any, ...]]
"""(run, row of one layout) -> row of the next."""

_FIRST: Final = msgspec.msgpack.Decoder(list[Any])


class RowFormat:
    """Encoders and decoders of one table, built once.

    `older` are the tables of the layouts before this one, the first first; `lifts` makes a row of one layout one of the
    next (L62), and is set once its closures are built.
    `decode` and `encode` work on row tuples [layout, field ...]. `read_memory` is the fixed part of the counted
    memory of a row (G6); each byte of the stored form adds four, which covers its texts.
    """

    def __init__(self, contract: str, decl: TableDecl, names: Names, older: Sequence[TableDecl] = ()) -> None:
        self.contract = contract
        self.table = decl.name
        self.prefix = table_prefix(b"t", contract, decl.name)
        self.span = (self.prefix, after_prefix(self.prefix))
        parts: list[KeyPart] = [
            key_part(kind, names.enums) if keyable(kind.kind) else _no_key for _, kind in decl.fields
        ]
        self.field_parts: tuple[KeyPart, ...] = tuple(parts)
        self.key_parts: tuple[KeyPart, ...] = tuple(parts[: decl.keys])
        self.text_frame = text_frame(self.prefix, [kind.kind for _, kind in decl.fields[: decl.keys]])
        """What stands around the key parts of a row when all are texts, else empty."""
        self.row_key = self._row_key()
        """From a row tuple to its full state key."""
        self.keys = decl.keys
        self.size = len(decl.fields) + 1
        plain = [kind for _, kind in decl.fields if kind.kind != "text" and not isinstance(kind, Many)]
        self.read_memory = 16 + sum(memory_bytes(kind) for kind in plain)
        self.measures = tuple(
            (at + 1, measure(kind, names)) for at, (_, kind) in enumerate(decl.fields) if isinstance(kind, Many)
        )
        """(place, counted memory) of the fields whose parts are counted one by one."""
        self.layout = len(older) + 1
        self.decoder = _decoder(decl, names)
        self.older = tuple(_decoder(item, names) for item in older)
        self.lifts: tuple[Lift, ...] = ()
        self.index_columns = decl.indexes
        self.index_prefixes = tuple(
            table_prefix(b"x", contract, decl.name) + bytes([number]) for number in range(len(decl.indexes))
        )
        self.index_keys: tuple[Callable[[Sequence[Any]], bytes], ...] = tuple(
            self._index_key(number) for number in range(len(decl.indexes))
        )
        self.column_kinds = tuple(tuple(decl.fields[at][1].kind for at in columns) for columns in decl.indexes)

    def key(self, values: Sequence[Any]) -> bytes:
        """Return the full state key from the values of the key fields."""
        if self.keys == 1:
            return self.prefix + self.key_parts[0](values[0])
        return self.prefix + b"".join(part(value) for part, value in zip(self.key_parts, values, strict=True))

    def decode(self, value: bytes) -> tuple[Any, ...]:
        """Return the row tuple as it is stored; other bytes are damage, never an abort (H4)."""
        layout = self.layout
        decoder = self.decoder
        try:
            if self.older:
                layout = _FIRST.decode(value)[0]
                if 0 < layout < self.layout:
                    decoder = self.older[layout - 1]
            row: tuple[Any, ...] = decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, IndexError) as error:
            raise ContractFault(f"a stored row of {self.contract}.{self.table} does not decode: {error}") from None
        if row[0] != layout or layout > self.layout:
            raise ContractFault(f"a stored row of {self.contract}.{self.table} has layout {row[0]}")
        return row

    def lifted(self, run: Any, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a row in this layout; `run` pays for each layout it passes (L62)."""
        while row[0] < self.layout:
            row = self.lifts[row[0] - 1](run, row)
        return row

    def row_key_of_entry(self, index: int, entry: bytes) -> bytes:
        """Return the row's state key from the key of an index entry."""
        at = len(self.index_prefixes[index])
        for kind in self.column_kinds[index]:
            at = skip_key_part(kind, entry, at)
        return self.prefix + entry[at:]

    def _row_key(self) -> Callable[[Sequence[Any]], bytes]:
        """Return what makes the key of a row; one and two key fields, the usual numbers, need no list."""
        prefix, parts = self.prefix, self.key_parts
        if len(self.text_frame) == 2:
            head, end = self.text_frame
            return lambda row: f"{head}{row[1]}{end}".encode()
        if len(self.text_frame) == 3:
            head, middle, end = self.text_frame
            return lambda row: f"{head}{row[1]}{middle}{row[2]}{end}".encode()
        if len(self.text_frame) == 4:
            head, one, two, end = self.text_frame
            return lambda row: f"{head}{row[1]}{one}{row[2]}{two}{row[3]}{end}".encode()
        if len(parts) == 1:
            only = parts[0]
            return lambda row: prefix + only(row[1])
        if len(parts) == 2:
            first, second = parts
            return lambda row: prefix + first(row[1]) + second(row[2])
        return lambda row: prefix + b"".join([part(row[at]) for at, part in enumerate(parts, start=1)])

    def _index_key(self, number: int) -> Callable[[Sequence[Any]], bytes]:
        prefix = self.index_prefixes[number]
        columns = tuple((self.field_parts[at], at + 1) for at in self.index_columns[number])
        keys = tuple((part, at + 1) for at, part in enumerate(self.key_parts))
        every = columns + keys
        if len(every) == 3:
            (part_a, a), (part_b, b), (part_c, c) = every
            return lambda row: prefix + part_a(row[a]) + part_b(row[b]) + part_c(row[c])
        return lambda row: prefix + b"".join([part(row[at]) for part, at in every])


def _decoder(decl: TableDecl, names: Names) -> msgspec.msgpack.Decoder[Any]:
    """Return the decoder of the rows of one layout."""
    return msgspec.msgpack.Decoder(
        tuple[(int, *(stored_type(kind, names) for _, kind in decl.fields))]  # type: ignore[misc]  # built from the schema
    )


def keyable(kind: str) -> bool:
    """Tell whether values of this kind may stand in a key or index (L36)."""
    return kind in KEY_KINDS


def _no_key(_: Any) -> bytes:
    raise ContractFault("only the types of L36 have key bytes")


def size_problem(contract: str, decl: TableDecl) -> str:
    """Return "" when the largest row and keys stay within their limits, else which one does not (section 14)."""
    row = 5 + sum(wire_bytes(kind) for _, kind in decl.fields)
    if row > ROW_BYTES:
        return f"a row can have {row} bytes, the limit is {ROW_BYTES}"
    prefix = len(table_prefix(b"t", contract, decl.name))
    own = sum(key_bytes(kind) for _, kind in decl.fields[: decl.keys])
    if prefix + own > KEY_BYTES:
        return f"a key can have {prefix + own} bytes, the limit is {KEY_BYTES}"
    for columns in decl.indexes:
        size = prefix + 1 + own + sum(key_bytes(decl.fields[at][1]) for at in columns)
        if size > KEY_BYTES:
            return f"an index entry can have {size} bytes, the limit is {KEY_BYTES}"
    return ""
