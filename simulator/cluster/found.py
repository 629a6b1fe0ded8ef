"""Found a local cluster: homes, genesis and directory of made-up companies, all from one seed (C8, C10).

Keys are a function of the seed and therefore public knowledge: they count on development networks only, and every
banner says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from contracts.library import sources
from ledger.codec import encode
from ledger.genesis import GenesisFile
from ledger.params import Params
from node.home import NewCompany, Places, install, make_home
from node.identity.founding import Card, Person, assemble, genesis_file
from node.identity.keystore import write_private
from node.identity.unlock import Secret
from simulator.cluster.plan import Plan, PlannedNode, free_ports, save

NETWORK: Final = "demo"
KEYSTORE_SECRET: Final = "keystore.secret"  # noqa: S105  # the name of a file
PEOPLE_SECRET: Final = "people.secret"  # noqa: S105  # the name of a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """One company of a story."""

    name: str
    title: str
    roles: tuple[str, ...]
    identifiers: tuple[tuple[str, str], ...] = ()


PEOPLE: Final = (
    Person(label="clerk", roles=("preparer",)),
    Person(label="manager", roles=("approver",)),
    Person(label="treasurer", roles=("treasurer",)),
    Person(label="risk", roles=("risk_officer",)),
    Person(label="books", roles=("controller", "reader")),
    Person(label="admin", roles=("company_admin",)),
    Person(label="operator", roles=("node_operator",)),
    Person(label="governor", roles=("governor",)),
)
"""Who works in every demo company."""


def seeded(seed: int, name: str) -> Callable[[int], bytes]:
    """Return a source of bytes that is a function of `seed` and `name`."""
    count = 0

    def draw(size: int) -> bytes:
        nonlocal count
        count += 1
        block = b""
        part = 0
        while len(block) < size:
            block += sha256(f"hansa demo {seed}/{name}/{count}/{part}".encode()).digest()
            part += 1
        return block[:size]

    return draw


def found(
    directory: Path,
    *,
    name: str,
    cast: Sequence[Cast],
    seed: int,
    port_base: int,
    people: Sequence[Person] = PEOPLE,
    params: Params | None = None,
    wall_ms: int | None = None,
) -> Plan:
    """Create every home under `directory`, found the network, and return the plan (also written to disk)."""
    now_ms = time.time_ns() // 1_000_000 if wall_ms is None else wall_ms
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    ports = free_ports(port_base, len(cast))
    cards: list[Card] = []
    nodes: list[PlannedNode] = []
    for company, (api, peer, ops) in zip(cast, ports, strict=True):
        draw = seeded(seed, company.name)
        home = directory / company.name
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        keystore_secret, people_secret = draw(32), draw(32)
        write_private(home / KEYSTORE_SECRET, keystore_secret.hex().encode() + b"\n")
        write_private(home / PEOPLE_SECRET, people_secret.hex().encode() + b"\n")
        card = make_home(
            home,
            NewCompany(name=company.title, roles=company.roles, people=tuple(people), identifiers=company.identifiers),
            Places(
                endpoint=f"127.0.0.1:{peer}", api=f"127.0.0.1:{api}", peers=f"127.0.0.1:{peer}", ops=f"127.0.0.1:{ops}"
            ),
            secret=Secret(keystore_secret),
            people_secret=Secret(people_secret),
            unlock="file",
            development=True,
            now_ms=now_ms,
            draw=draw,
        )
        cards.append(card)
        nodes.append(
            PlannedNode(
                name=company.name,
                title=company.title,
                company_id=card.company.company_id,
                roles=company.roles,
                home=company.name,
                api_port=api,
                peer_port=peer,
                ops_port=ops,
            )
        )
    document = assemble(
        cards,
        network=name,
        production=False,
        time_ms=now_ms,
        utc_offset_min=0,
        params=params or Params(),
        contracts=sources(),
    )
    file: GenesisFile = genesis_file(document, ())
    raw = encode(file)
    for company in cast:
        install(directory / company.name, raw, [card.entry for card in cards])
    plan = Plan(name=name, seed=seed, nodes=tuple(nodes))
    save(directory, plan)
    return plan
