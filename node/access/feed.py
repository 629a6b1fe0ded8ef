"""What a subscriber or a search may be told about a contract event: its parties decide, event by event (S70).

A party field names a company. An event that names none is shown to nobody: default deny. What companies decide about
their network, events of the reserved contract `governance`, concerns every member, whoever they name (S22).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from ledger.errors import InvariantViolated
from ledger.governance.act import EVENTS


class Field(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> Any: ...


class DeclaredField(NamedTuple):
    """A field of an event that no contract declares: its name and the text of its type."""

    name: str
    type: str


PARTY: Final = "party"
GOVERNANCE_FIELDS: Final[Mapping[str, tuple[DeclaredField, ...]]] = {
    name: tuple(DeclaredField(field, kind) for field, kind in fields) for name, fields in EVENTS.items()
}
"""Events of the reserved contract `governance` and their fields."""


class Table(Protocol):
    """`readers`: names of the party fields whose companies may read a row, empty for everyone, None for all (L41)."""

    @property
    def fields(self) -> Sequence[Field]: ...
    @property
    def readers(self) -> tuple[str, ...] | None: ...


def readers_of_row(table: Table, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the companies that a row names as its readers, sorted and unique; empty if it names none."""
    chosen = [field for field in table.fields if table.readers is None or field.name in table.readers]
    return parties_of(chosen, values)


def is_open(table: Table) -> bool:
    """Tell whether everyone may read the rows of a table (L41)."""
    return table.readers == ()


def named(fields: Sequence[Field], values: Sequence[Any]) -> dict[str, Any]:
    """Return the values of an event by the names of its fields; another number of them is damaged state."""
    if len(fields) != len(values):
        raise InvariantViolated(f"an event has {len(values)} values and {len(fields)} declared fields")
    return {field.name: value for field, value in zip(fields, values, strict=True)}


def parties_of(fields: Sequence[Field], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the companies that `values` name in party fields, sorted and unique; empty texts count for nothing."""
    found = {values[field.name] for field in fields if str(field.type) == PARTY and values.get(field.name)}
    return tuple(sorted(found))
