"""Values as an author writes them: `EUR 5.00`, `Kind.rent`, `[1, 2]`, `Share(owner = acme, weight = 2)`.

For traces, findings and failing tests; nothing that runs depends on it. Door: `Notation`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.interface import Field, Interface
from contracts.types import Type, parts_of
from contracts.values import render
from ledger.money import CurrencyTable

_TO_ESCAPE = re.compile(r'["\\]')


class Notation:
    """Of one contract. `parties` are names by company id; a company without one is written as its id."""

    def __init__(
        self,
        contract: str,
        interfaces: Mapping[str, Interface],
        currencies: CurrencyTable,
        parties: Mapping[str, str] | None = None,
    ) -> None:
        self._contract = contract
        self._interfaces = interfaces
        self._currencies = currencies
        self._parties = parties or {}

    def value(self, kind: Type, value: Any) -> str:
        """Return a value of `kind`, as it is in a frame or on the wire.

        >>> from ledger.money import ISO_4217
        >>> Notation("loans", {}, ISO_4217).value(Type("money"), ("EUR", 500))
        'EUR 5.00'
        """
        match kind.kind:
            case "option":
                return "none" if value is None else self.value(parts_of(kind)[0], value)
            case "list":
                (part,) = parts_of(kind)
                return f"[{', '.join(self.value(part, item) for item in value)}]"
            case "map":
                key, part = parts_of(kind)
                items = value.items() if isinstance(value, Mapping) else value
                return f"{{{', '.join(f'{self.value(key, name)}: {self.value(part, item)}' for name, item in items)}}}"
            case "record":
                fields = self._interfaces[self._contract].all_records[kind.contract, kind.name]
                return f"{self._name(kind)}({self.fields(fields, value)})"
            case "row":
                columns = self._interfaces[kind.contract].tables[kind.name].fields
                return f"{self._name(kind)}({self.fields([(item.name, item.spec) for item in columns], value[1:])})"
            case "enum":
                return f"{self._name(kind)}.{value}"
            case "money" if value[1] < 0:
                return f"-{render(kind, (value[0], -value[1]), self._currencies)}"
            case "party":
                return self._parties.get(value, value)
            case "text":
                return '"' + _TO_ESCAPE.sub(r"\\\g<0>", value).replace("{", "{{").replace("}", "}}") + '"'
        return render(kind, value, self._currencies)

    def fields(self, fields: Sequence[tuple[str, Type]], values: Sequence[Any]) -> str:
        """Return named values, as in `insert` and `emit`."""
        return ", ".join(
            f"{name} = {self.value(kind, value)}" for (name, kind), value in zip(fields, values, strict=True)
        )

    def call(self, contract: str, method: str, params: Sequence[Field], args: Sequence[Any]) -> str:
        """Return a call as a test makes it; `contract` is empty for the own one."""
        given = ", ".join(self.value(item.spec, value) for item, value in zip(params, args, strict=True))
        return f"{contract}{'.' if contract else ''}{method}({given})"

    def _name(self, kind: Type) -> str:
        return kind.name if kind.contract == self._contract else f"{kind.contract}.{kind.name}"
