"""Foreign documents on the demo network: which identifier stands for which demo company (C33, development only).

Real documents name companies that are no members. Each identifier found is given one demo company, always the same one,
so that seller and buyer of every document differ; the mapping is printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from finance.formats import ReadOptions
from finance.model import Party
from node.documents.intake import Upload, parse_files
from simulator.cluster.plan import PlannedNode


@dataclass(frozen=True, slots=True)
class MappingPlan:
    """`parties`: file -> (seller id, buyer id). `table`: identifier, name and company, for people."""

    parties: dict[str, tuple[str, str]]
    table: list[dict[str, str]]


async def plan(paths: Sequence[Path], nodes: Sequence[PlannedNode]) -> MappingPlan:
    """Read the files and give each identifier a company; the bank trades only when all others are taken."""
    uploads = [Upload(name=path.name, data=path.read_bytes()) for path in paths]
    results = await parse_files(uploads, ReadOptions(strict=False))
    edges: list[tuple[str, str, str]] = []
    names: dict[str, str] = {}
    for path, result in zip(paths, results, strict=True):
        for item in result.items[:1]:
            seller, buyer = identify(item.seller), identify(item.buyer)
            names.setdefault(seller, item.seller.name)
            names.setdefault(buyer, item.buyer.name)
            edges.append((str(path), seller, buyer))
    companies = sorted(nodes, key=lambda node: "settlement_bank" in node.roles)
    chosen: dict[str, int] = {}
    for identifier in sorted(names):
        taken = {chosen[other] for other in _partners(edges, identifier) if other in chosen}
        start = int.from_bytes(sha256(identifier.encode()).digest()[:4], "big") % max(1, len(companies) - 1)
        order = [*range(start, len(companies) - 1), *range(start), len(companies) - 1]
        chosen[identifier] = next((place for place in order if place not in taken), start)
    parties = {
        path: (companies[chosen[seller]].company_id, companies[chosen[buyer]].company_id)
        for path, seller, buyer in edges
    }
    table = [
        {"identifier": identifier, "name": names[identifier], "company": companies[place].name}
        for identifier, place in sorted(chosen.items())
    ]
    return MappingPlan(parties, table)


def identify(party: Party) -> str:
    """Return the strongest identifier of a party as text, or its name."""
    for identifier in party.identifiers():
        return f"{identifier.scheme.lower() or 'legal'} {identifier.value}"
    return f"name {party.name}"


def _partners(edges: Sequence[tuple[str, str, str]], identifier: str) -> list[str]:
    found = [buyer for _, seller, buyer in edges if seller == identifier]
    found += [seller for _, seller, buyer in edges if buyer == identifier]
    return sorted(dict.fromkeys(found))
