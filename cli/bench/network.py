"""The network under test: fresh nodes with their own data, processes and ports, as `hansa cluster up` makes them.

Nothing is switched off: TLS, sealing, durable writes and access checks are those of every node. Only the rate limits
of the load's own tokens are raised, by the setting that an ERP system would get (S52).
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from cli import local
from cli.bench.machine import disk_bytes
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from contracts.interface import Interface
from node.app import compile_programs, read_genesis
from node.identity.founding import Person
from simulator.cluster import control
from simulator.cluster.found import found
from simulator.cluster.supervisor import LOG_FILE

READY_S: Final = 30.0
SETTLE_S: Final = 30.0
"""Time all nodes have to reach one height after the load ended."""
RATE: Final = (1_000_000, 1_000_000)
"""Units per second and burst of the load's tokens: as good as none."""
CHECKER: Final = "manager"
MAKER: Final = "clerk"
_LINE: Final = re.compile(r"hansa_([a-z_]+)(?:\{([^}]*)\})? ([0-9.e+-]+)")
_LABEL: Final = re.compile(r'([a-z_]+)="([^"]*)"')


def staff(makers: int) -> tuple[Person, ...]:
    """Return who works in each company: many makers, because one may have 256 calls under way (LR3)."""
    return (
        *(Person(label=f"{MAKER}-{number:03d}", roles=("preparer",)) for number in range(1, makers + 1)),
        Person(label=CHECKER, roles=("approver",)),
        Person(label="books", roles=("controller", "reader")),
        Person(label="admin", roles=("company_admin",)),
        Person(label="operator", roles=("node_operator",)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Running nodes. `start` before there is an event loop, `end` in a `finally`."""

    directory: Path
    nodes: tuple[local.LocalNode, ...]
    supervisor: int
    chain_id: bytes
    interface: Interface

    @staticmethod
    def start(directory: Path, companies: int, makers: int, port_base: int, seed: int) -> Network:
        """Found and start a network under `directory`; raise `CommandFailed` when it does not get ready."""
        cast = local.cast_of(companies)
        try:
            plan = found(directory, name="bench", cast=cast, seed=seed, port_base=port_base, people=staff(makers))
        except OSError as error:
            raise CommandFailed(
                Exit.FAILED, f"cannot write {directory}: {error.strerror}", "name another folder with --dir"
            ) from None
        nodes = tuple(local.nodes_of(directory, plan))
        for node in nodes:
            _raise_rates(node)
        document, chain = read_genesis(nodes[0].home / "genesis.hansa")
        program = compile_programs(document)
        pid = local.start_detached(directory, plan)
        network = Network(
            directory=directory,
            nodes=nodes,
            supervisor=pid,
            chain_id=chain,
            interface=program.interfaces["invoices"],
        )
        failed = asyncio.run(local.wait_ready(nodes, READY_S))
        if failed:
            network.end()
            raise CommandFailed(Exit.UNAVAILABLE, f"the nodes are not ready: {failed}", f"look into {directory}")
        return network

    def end(self, *, keep: bool = False) -> None:
        """Stop all nodes and remove their data."""
        local.end(self.supervisor, self.directory)
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def last_words(self, lines: int = 3) -> list[str]:
        """Return the last log lines of each node: its data is gone when the command ends."""
        found: list[str] = []
        for node in self.nodes:
            try:
                text = (node.home / LOG_FILE).read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            found += [f"{node.plan.name}: {line[:300]}" for line in text.strip().splitlines()[-lines:]]
        return found

    def pids(self) -> tuple[int, ...]:
        """Return the process ids of the nodes, in order."""
        answer = control.ask(self.directory, {"do": "status"})
        found = {item["name"]: int(item["pid"]) for item in answer["nodes"]}
        return tuple(found[node.plan.name] for node in self.nodes)

    def disk_bytes(self) -> tuple[int, ...]:
        """Return the bytes on disk of each node's data."""
        return tuple(disk_bytes(node.home / "data") for node in self.nodes)


@dataclass(frozen=True, slots=True)
class Figures:
    """Counters of one node as its /metrics says them: plain counters, and CPU seconds by part."""

    counters: Mapping[str, float]
    cpu_s: Mapping[str, float]

    @property
    def executed(self) -> int:
        """Transactions executed since the start, with whatever outcome."""
        return int(self.counters.get("txs_total.ok", 0) + self.counters.get("txs_total.failed", 0))

    @property
    def failed(self) -> int:
        """Transactions whose receipt says failed."""
        return int(self.counters.get("txs_total.failed", 0))

    @property
    def write_buffer_mb(self) -> float:
        """Megabytes that the ledger file's library keeps for the pages of its next write."""
        return self.counters.get("storage_write_buffer_bytes", 0.0) / 1e6


def read_figures(text: str) -> Figures:
    """Return the figures in a Prometheus text; a label value is appended to the name with a dot."""
    counters: dict[str, float] = {}
    cpu: dict[str, float] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        name, labels, value = match.group(1), dict(_LABEL.findall(match.group(2) or "")), float(match.group(3))
        if name == "cpu_seconds_total":
            cpu[labels["part"]] = value
        elif name == "node_counter_total":
            counters[labels["name"]] = value
        elif name == "txs_total":
            counters[f"{name}.{labels['outcome']}"] = value
        elif not labels:
            counters[name] = value
    return Figures(counters, cpu)


class Observer:
    """Reads figures and chain of running nodes; an asynchronous context."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Observer:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def figures(self) -> list[Figures]:
        """Return the figures of all nodes."""
        return list(await asyncio.gather(*(self._figures(node) for node in self._network.nodes)))

    async def executed(self) -> int:
        """Return how many transactions the first node has executed."""
        return (await self._figures(self._network.nodes[0])).executed

    async def settled(self) -> bool:
        """Wait until all nodes have executed one height with nothing waiting; tell whether their chains agree."""
        deadline = asyncio.get_running_loop().time() + SETTLE_S
        while asyncio.get_running_loop().time() < deadline:
            now = await self.figures()
            heights = {int(figures.counters["consensus_executed_height"]) for figures in now}
            if len(heights) == 1 and not any(figures.counters["mempool_txs"] for figures in now):
                height = heights.pop()
                heads = await asyncio.gather(*(self._get(node, f"v1/blocks/{height}") for node in self._network.nodes))
                # A header certifies the state root of the heights before it: equal ids are equal states.
                return len({(head["id"], head["exec_height"], head["exec_root"]) for head in heads}) == 1
            await asyncio.sleep(0.1)
        return False

    async def blocks(self, since: int, until: int) -> list[tuple[int, int]]:
        """Return (time in ms, transactions) of the blocks of heights since..until, ascending."""
        node = self._network.nodes[0]
        found: dict[int, tuple[int, int]] = {}
        path = "v1/blocks?limit=200"
        while path:
            answer = await self._get(node, path)
            for item in answer["items"]:
                found[int(item["height"])] = (_ms(item["time"]), int(item["tx_count"]))
            oldest = min((int(item["height"]) for item in answer["items"]), default=0)
            path = f"v1/blocks?limit=200&cursor={answer['next']}" if answer.get("next") and oldest > since else ""
        return [found[height] for height in sorted(found) if since <= height <= until]

    async def height(self) -> int:
        """Return the committed height of the first node."""
        return int((await self._get(self._network.nodes[0], "v1/status"))["height_committed"])

    async def _figures(self, node: local.LocalNode) -> Figures:
        async with self._open.get(f"http://127.0.0.1:{node.plan.ops_port}/metrics") as answer:
            return read_figures(await answer.text())

    async def _get(self, node: local.LocalNode, path: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {node.token}"}
        async with self._open.get(f"{node.api}/{path}", headers=headers) as answer:
            body = await answer.read()
            if answer.status != 200:
                raise CommandFailed(Exit.FAILED, f"{node.plan.name}: {path} answered {answer.status}", "see its log")
            document: dict[str, Any] = msgspec.json.decode(body)
            return document

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the observer is used outside its context")
        return self._session


def _raise_rates(node: local.LocalNode) -> None:
    token_id = node.token.split("_")[1]
    with (node.home / "node.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[api.rates]\n{token_id} = [{RATE[0]}, {RATE[1]}]\n")


def _ms(instant: str) -> int:
    from datetime import datetime

    return round(datetime.fromisoformat(instant.replace("Z", "+00:00")).timestamp() * 1000)
