"""Types of the language (contracts section 5), the part of stage 1.

A type is a small value, so two types are equal exactly when a value of one is a value of the other. `rows` are the
rows of a table, with key fields first; the bare word `zero` and `n days` have types of their own that no name can
have, which keeps them inside one expression.
"""

from __future__ import annotations

from typing import Final

from contracts.limits import ID_CHARS
from ledger.codec import Wire


class Type(Wire, frozen=True):
    """`size` is the bound of a text; `contract` and `name` say which enum or table."""

    kind: str
    size: int = 0
    contract: str = ""
    name: str = ""

    def __str__(self) -> str:
        if self.kind == "text":
            return f"text({self.size})"
        if self.kind in ("enum", "row"):
            return f"{self.contract}.{self.name}"
        return self.kind


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

PLAIN: Final = {t.kind: t for t in (INT, BOOL, MONEY, CURRENCY, DATE, PARTY, USER)}
"""Types written as one word."""

KEY_KINDS: Final = ("int", "bool", "text", "date", "currency", "party", "user", "enum")
"""What may stand in a key or an index (L36)."""

ORDERED: Final = ("int", "money", "date", "text")
"""Kinds with < and its kin (L15)."""

EQUALITY: Final = ("int", "bool", "text", "money", "currency", "date", "party", "user", "enum")


def text(size: int) -> Type:
    """Return the type of a text with at most `size` code points."""
    return Type("text", size)


def key_bytes(kind: Type) -> int:
    """Return the largest number of bytes of one key part, tag byte included (H5)."""
    if kind.kind == "text":
        return 2 + 4 * kind.size
    return {"int": 9, "date": 5, "bool": 2, "enum": 3, "currency": 4}.get(kind.kind, 2 + ID_CHARS)


def wire_bytes(kind: Type) -> int:
    """Return the largest number of bytes of a value in canonical MessagePack (L12)."""
    if kind.kind == "text":
        return 3 + 4 * kind.size
    return {"int": 9, "date": 11, "bool": 1, "enum": 42, "currency": 4, "money": 14}.get(kind.kind, 2 + ID_CHARS)


def memory_bytes(kind: Type) -> int:
    """Return the counted memory of the largest value (G6): scalar 16, money 32, text 16 + 4 a code point."""
    if kind.kind == "text":
        return 16 + 4 * kind.size
    return 32 if kind.kind == "money" else 16
