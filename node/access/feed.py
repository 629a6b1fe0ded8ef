"""What a subscriber or a search may be told about a contract event: its parties decide, event by event (S70).

A party field names a company. An event that names none is shown to nobody: default deny. What companies decide about
their network, events of the reserved contract `governance`, concerns every member and is shown to all (S22).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ledger.governance.act import EVENTS, GOVERNANCE
from ledger.receipt import ContractEvent


class Field(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> Any: ...


class Declares(Protocol):
    """A program, as far as its events go."""

    @property
    def events(self) -> Mapping[str, Any]: ...
    def decode_event(self, event: str, fields: Sequence[Any]) -> Mapping[str, Any]: ...


PARTY = "party"


@dataclass(frozen=True, slots=True)
class ReservedField:
    """A field of an event that no program declares."""

    name: str
    type: str


RESERVED: Final[Mapping[str, Mapping[str, tuple[ReservedField, ...]]]] = {
    GOVERNANCE: {event: tuple(ReservedField(name, kind) for name, kind in fields) for event, fields in EVENTS.items()}
}
"""Contract -> event -> fields, of contracts that are part of the ledger."""


def event_fields(interfaces: Mapping[str, Declares], contract: str, name: str) -> Sequence[Field] | None:
    """Return the declared fields of an event, or None if nothing on this network declares it."""
    if contract in RESERVED:
        return RESERVED[contract].get(name)
    program = interfaces.get(contract)
    declared: Sequence[Field] | None = None
    if program is not None and name in program.events:
        declared = program.events[name].fields
    return declared


def event_values(interfaces: Mapping[str, Declares], event: ContractEvent) -> Mapping[str, Any]:
    """Return the fields of a declared event by name."""
    if event.contract in RESERVED:
        fields = RESERVED[event.contract][event.name]
        return {field.name: value for field, value in zip(fields, event.fields, strict=True)}
    return interfaces[event.contract].decode_event(event.name, event.fields)


def parties_of(fields: Sequence[Field], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the companies that `values` name in party fields, sorted and unique; empty texts count for nothing."""
    found = {values[field.name] for field in fields if str(field.type) == PARTY and values.get(field.name)}
    return tuple(sorted(found))
