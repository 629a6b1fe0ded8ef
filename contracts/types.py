"""Types of the language (contracts section 5).

A type is a small value, so two types are equal exactly when a value of one is a value of the other. `rows` are the
rows of a table, with key fields first; the bare word `zero` and `n days` have types of their own that no name can
have, which keeps them inside one expression; so have the two unrounded kinds `ratio` and `raw_money` (L21).

A type made of others is a `Many`. It carries the largest size of a value, worked out once where all names are known, so
that a type stays small whatever a record holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from contracts.limits import ID_CHARS, INT_BITS
from ledger.codec import Wire


class Type(Wire, frozen=True):
    """`size`: bound of a text, list or map, places of a rate. `contract`, `name`: which enum, record or table."""

    kind: str
    size: int = 0
    contract: str = ""
    name: str = ""

    def __str__(self) -> str:
        if self.kind == "text":
            return f"text({self.size})"
        if self.kind == "rate":
            return f"rate({self.size})"
        if self.kind in ("enum", "row"):
            return f"{self.contract}.{self.name}"
        return {"ratio": "an unrounded number", "raw_money": "unrounded money"}.get(self.kind, self.kind)


class Many(Type, frozen=True):
    """An option, a list, a map or a record. `parts`: the types inside, of a record none, because its fields are found
    by its name. `wire` and `memory`: largest bytes of a value, in canonical form and as counted (G6)."""

    parts: tuple[Type, ...] = ()
    wire: int = 0
    memory: int = 0

    def __str__(self) -> str:
        match self.kind:
            case "option":
                return f"{self.parts[0]}?"
            case "list" | "map":
                return f"{self.kind}({', '.join(str(part) for part in self.parts)}, {self.size})"
        return f"{self.contract}.{self.name}"


INT: Final = Type("int")
BOOL: Final = Type("bool")
MONEY: Final = Type("money")
CURRENCY: Final = Type("currency")
DATE: Final = Type("date")
PARTY: Final = Type("party")
USER: Final = Type("user")
ZERO: Final = Type("zero")
DAYS: Final = Type("days")
NOTHING: Final = Type("nothing")
NONE: Final = Type("none")
"""The bare word `none`, which becomes a value of the option expected at its place."""
RATIO: Final = Type("ratio")
RAW_MONEY: Final = Type("raw_money")

PLAIN: Final = {t.kind: t for t in (INT, BOOL, MONEY, CURRENCY, DATE, PARTY, USER)}
"""Types written as one word."""

KEY_KINDS: Final = ("int", "bool", "text", "date", "currency", "party", "user", "enum")
"""What may stand in a key or an index (L36)."""

ORDERED: Final = ("int", "rate", "money", "date", "text")
"""Kinds with < and its kin (L15)."""

EQUALITY: Final = ("int", "rate", "bool", "text", "money", "currency", "date", "party", "user", "enum")

SCALARS: Final = frozenset({"int", "rate", "bool", "money", "currency", "date", "party", "user", "enum"})
"""Kinds whose counted memory does not depend on the value."""

ELEMENT_BYTES: Final = 32
"""Counted memory of one place in a list or map (G6); what stands there was counted when it was made."""


def text(size: int) -> Type:
    """Return the type of a text with at most `size` code points."""
    return Type("text", size)


def rate(places: int) -> Type:
    """Return the type of exact decimals with `places` places."""
    return Type("rate", places)


def option(inner: Type) -> Many:
    """Return the type `inner?`."""
    return Many("option", 0, "", "", (inner,), max(1, wire_bytes(inner)), 16 + memory_bytes(inner))


def list_of(inner: Type, size: int) -> Many:
    """Return the type of lists with at most `size` values of `inner`."""
    wire = 3 + size * wire_bytes(inner)
    return Many("list", size, "", "", (inner,), wire, 16 + size * (ELEMENT_BYTES + memory_bytes(inner)))


def map_of(key: Type, inner: Type, size: int) -> Many:
    """Return the type of maps with at most `size` entries; a map has no wire form (section 5)."""
    entry = 48 + memory_bytes(key) + memory_bytes(inner)
    return Many("map", size, "", "", (key, inner), 0, 16 + size * entry)


def record_of(contract: str, name: str, fields: Sequence[Type]) -> Many:
    """Return the type of a record with these field types."""
    wire = 3 + sum(wire_bytes(kind) for kind in fields)
    return Many("record", 0, contract, name, (), wire, 16 + sum(memory_bytes(kind) for kind in fields))


def row_of(contract: str, name: str) -> Type:
    """Return the type of the rows of a table."""
    return Type("row", 0, contract, name)


def parts_of(kind: Type) -> tuple[Type, ...]:
    """Return the types an option, list or map is made of; empty for any other type."""
    return kind.parts if isinstance(kind, Many) else ()


def stored_width(kind: Type) -> int:
    """Return the bits of a stored value, 0 where it has no size (L19)."""
    return INT_BITS if kind.kind in ("int", "rate", "money") else 0


def key_bytes(kind: Type) -> int:
    """Return the largest number of bytes of one key part, tag byte included (H5)."""
    if kind.kind == "text":
        return 2 + 4 * kind.size
    return {"int": 9, "date": 5, "bool": 2, "enum": 3, "currency": 4}.get(kind.kind, 2 + ID_CHARS)


def wire_bytes(kind: Type) -> int:
    """Return the largest number of bytes of a value in canonical MessagePack (L12)."""
    if isinstance(kind, Many):
        return kind.wire
    if kind.kind == "text":
        return 3 + 4 * kind.size
    return {"int": 9, "rate": 9, "date": 11, "bool": 1, "enum": 42, "currency": 4, "money": 14}.get(
        kind.kind, 2 + ID_CHARS
    )


def memory_bytes(kind: Type) -> int:
    """Return the counted memory of the largest value (G6): scalar 16, money 32, text 16 + 4 a code point."""
    if isinstance(kind, Many):
        return kind.memory
    if kind.kind == "text":
        return 16 + 4 * kind.size
    return 32 if kind.kind == "money" else 16
