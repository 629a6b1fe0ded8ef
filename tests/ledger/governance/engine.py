"""The real engine as a runtime that takes contracts by vote: what a node links for a height (L44, L45, L59)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.errors import LinkError, SourceError
from contracts.host import Outcome
from contracts.runtime import Code, Program, link, load
from contracts.syntax import tree
from contracts.syntax.parse import parse
from ledger.governance.programs import Examined, Lineage, active_contracts
from ledger.money import CurrencyTable
from ledger.state import Reader
from ledger.transition import TransactionHost


def compiled(lineages: Sequence[Lineage], currencies: CurrencyTable) -> dict[str, Code]:
    """Compile contracts, each after those it uses; raise `SourceError` or `LinkError`."""
    waiting = {item.name: item.source for item in lineages}
    uses: dict[str, tuple[str, ...]] = {}
    for name, source in waiting.items():
        file = parse(source)
        if not isinstance(file, tree.Contract) or file.name != name:
            raise LinkError(name, "the source is no contract of this name")
        uses[name] = tuple(use.name for use in file.uses)
    codes: dict[str, Code] = {}
    while waiting:
        free = [name for name in sorted(waiting) if all(used in codes or used not in waiting for used in uses[name])]
        if not free:
            raise LinkError(sorted(waiting)[0], "contracts use each other in a circle")
        for name in free:
            interfaces = {other: code.interface for other, code in codes.items()}
            codes[name] = load(waiting.pop(name), interfaces, currencies)
    return codes


class Engine:
    """A linked program with the two calls of an `Examiner`."""

    def __init__(self, lineages: Sequence[Lineage], currencies: CurrencyTable) -> None:
        self.currencies = currencies
        self.program: Program = link(compiled(lineages, currencies))
        self.examined = 0

    def execute(
        self, contract: str, method: str, args: tuple[Any, ...], host: TransactionHost, gas_limit: int
    ) -> Outcome:
        return self.program.execute(contract, method, args, host, gas_limit)

    def uses(self, contract: str) -> tuple[str, ...]:
        code = self.program.codes.get(contract)
        return () if code is None else tuple(code.used)

    def examine(self, planned: Sequence[Lineage]) -> Mapping[str, Examined] | str:
        self.examined += 1
        try:
            codes = compiled(planned, self.currencies)
            link(codes)
        except (SourceError, LinkError) as error:
            return str(error)
        for item in planned:
            if len(item.versions) > 1:
                older = load(item.versions[-2][1], {}, self.currencies).interface.tables
                if older != codes[item.name].interface.tables:
                    return f"{item.name}: a new version keeps its tables"
        return {
            name: Examined(
                name=name,
                version=code.version,
                code_id=code.interface.code_id,
                ir_hash=code.interface.ir_hash,
                uses=tuple(code.used),
                worst_gas=max((schema.worst_gas for schema in code.interface.actions.values()), default=0),
            )
            for name, code in codes.items()
        }


def linked(reader: Reader, height: int, currencies: CurrencyTable) -> Engine:
    """Return the engine that runs a block of `height` over the state before it."""
    return Engine([item.lineage for item in active_contracts(reader, height)], currencies)
