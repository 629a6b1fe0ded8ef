"""What a subscriber or a search may be told about a contract event: its parties decide, event by event (S70).

A party field names a company. An event that names none is shown to nobody: default deny.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Field(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> Any: ...


PARTY = "party"


def parties_of(fields: Sequence[Field], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the companies that `values` name in party fields, sorted and unique; empty texts count for nothing."""
    found = {values[field.name] for field in fields if str(field.type) == PARTY and values.get(field.name)}
    return tuple(sorted(found))
