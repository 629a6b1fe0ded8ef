"""`scripts/soak`: seven daemons under load while a seeded schedule kills, freezes, cuts off and restarts them (C31).

    found, start  ->  load and faults side by side  ->  mend everything, let it settle  ->  check  ->  stop  ->  replay

What must hold at the end: one chain on all nodes (no fork), every transaction that a node called committed is in it,
equal results, and the journal of every node replays in the simulator to the state that the node itself held.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import click

from cli import local
from cli.acting import Actor
from cli.calls import ACTS
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.local import LocalNode
from cli.wallet import Wallet
from ledger.certificate import faults
from simulator.cluster import control
from simulator.cluster.plan import ClusterError, load

READY_S: Final = 60.0
SETTLE_S: Final = 120.0
"""Time all nodes have to come together after everything was mended; timers back off to 30 s (P68)."""
PAUSE_S: Final = (1.0, 4.0)
"""Between two faults."""
LASTING_S: Final = (1.0, 8.0)
"""How long a fault lasts."""
WORSE: Final = 0.15
"""Share of faults that may disturb more nodes than the network tolerates: it must stop then, and go on afterwards."""
PACE_S: Final = 0.4
"""Between two invoices of one company."""
RATE: Final = (100_000, 100_000)
"""Units a second and burst of the load's tokens."""
KINDS: Final = ("kill", "kill", "pause", "restart", "partition", "isolate", "one_way", "slow")


@dataclass(slots=True)
class Report:
    """What happened, and what was found."""

    seed: int
    companies: int
    minutes: float
    faults: Counter[str] = field(default_factory=Counter)
    submitted: int = 0
    committed: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Transaction id -> (height, buyer), as the seller's node said."""
    height: int = 0
    view: int = 0
    problems: list[str] = field(default_factory=list)
    replayed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "schema": "hansa.soak/1",
            "seed": self.seed,
            "companies": self.companies,
            "minutes": self.minutes,
            "faults": dict(sorted(self.faults.items())),
            "submitted": self.submitted,
            "acknowledged": len(self.committed),
            "height": self.height,
            "view": self.view,
            "journals_replayed": self.replayed,
            "problems": self.problems,
            "ok": not self.problems,
        }


class Load:
    """Issues invoices in the name of one company, as its own people would, and notes what was committed."""

    def __init__(self, node: LocalNode, buyers: Sequence[str], report: Report, seed: int) -> None:
        self._node = node
        self._buyers = buyers
        self._report = report
        self._seed = seed
        self._count = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Go on until `stop`; a node that is down or cut off is tried again."""
        while not stop.is_set():
            try:
                async with self._node.client(15.0) as client:
                    actor = Actor(client, Wallet(self._node.home))
                    await actor.open()
                    while not stop.is_set():
                        await self._issue(client, actor)
                        await asyncio.sleep(PACE_S)
            except (CommandFailed, OSError, TimeoutError):
                await asyncio.sleep(0.5)

    async def _issue(self, client: Client, actor: Actor) -> None:
        self._count += 1
        number = f"{self._seed:08x}{self._count:056x}"
        today = datetime.now(UTC).date()
        net = 10_000 + self._count
        buyer = self._buyers[self._count % len(self._buyers)]
        args: list[Any] = [
            buyer, number, "380", ["EUR", net], ["EUR", 1_900],
            ["EUR", net + 1_900], today.isoformat(), (today + timedelta(days=30)).isoformat(), number,
        ]  # fmt: skip
        file, signings = await actor.compose(ACTS["issue"], args)
        tx_id = await actor.sign_and_send(file, signings)
        self._report.submitted += 1
        found = await client.wait(tx_id, seconds=10)
        if found["state"] in ("committed", "final"):
            self._report.committed[tx_id] = int(found["height"]), buyer


class Faults:
    """Disturbs the cluster on a schedule that is a function of the seed; every fault is mended again."""

    def __init__(self, directory: Path, names: Sequence[str], report: Report, seed: int) -> None:
        self._directory = directory
        self._names = list(names)
        self._report = report
        self._random = Random(seed)  # noqa: S311  # a schedule, not a secret

    async def run(self, until: float) -> None:
        """Disturb until the moment `until` of the monotonic clock."""
        while time.monotonic() < until:
            await asyncio.sleep(self._random.uniform(*PAUSE_S))
            kind = self._random.choice(KINDS)
            tolerated = max(1, faults(len(self._names)))
            most = len(self._names) - 1 if self._random.random() < WORSE else tolerated
            hit = self._random.sample(self._names, self._random.randint(1, most))
            lasting = min(self._random.uniform(*LASTING_S), max(0.0, until - time.monotonic()))
            self._report.faults[kind] += 1
            await self._disturb(kind, hit, lasting)

    async def _disturb(self, kind: str, hit: list[str], lasting_s: float) -> None:
        others = [name for name in self._names if name not in hit]
        if kind in ("kill", "pause", "restart"):
            for name in hit:
                await self._ask({"do": kind, "node": name})
            await asyncio.sleep(lasting_s)
            if kind != "restart":
                for name in hit:
                    await self._ask({"do": "start" if kind == "kill" else "resume", "node": name})
            return
        if kind == "slow":
            shape = {"latency_us": self._random.randint(1_000, 200_000), "loss_ppm": self._random.randint(0, 50_000)}
            await self._ask({"do": "link", "left": hit, "right": others, **shape})
        elif kind == "isolate":
            for name in hit:
                await self._ask({"do": "partition", "left": [name], "right": [o for o in self._names if o != name]})
        else:
            await self._ask({"do": "partition", "left": hit, "right": others, "one_way": kind == "one_way"})
        await asyncio.sleep(lasting_s)
        await self._ask({"do": "heal", "all": True})

    async def mend(self) -> None:
        """Undo whatever may still be disturbed."""
        await self._ask({"do": "heal", "all": True})
        for name in self._names:
            await self._ask({"do": "resume", "node": name})
            await self._ask({"do": "start", "node": name})

    async def _ask(self, request: dict[str, Any]) -> None:
        await asyncio.to_thread(control.ask, self._directory, request)


async def stress(directory: Path, nodes: Sequence[LocalNode], report: Report, tell: Callable[[str], None]) -> None:
    """Load and disturb for the time of the report, then mend, settle and check; findings go into the report."""
    companies = [node.plan.company_id for node in nodes]
    stop = asyncio.Event()
    loads = [
        Load(node, [company for company in companies if company != node.plan.company_id], report, report.seed + place)
        for place, node in enumerate(nodes)
    ]
    disturbance = Faults(directory, [node.plan.name for node in nodes], report, report.seed)
    until = time.monotonic() + 60 * report.minutes
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(load_.run(stop)) for load_ in loads]
        faulty = group.create_task(disturbance.run(until))
        while not faulty.done():
            await asyncio.wait([faulty], timeout=10)
            tell(f"{len(report.committed)} of {report.submitted} committed, {sum(report.faults.values())} faults")
        await disturbance.mend()
        stop.set()
        _, late = await asyncio.wait(tasks, timeout=60)
        for task in late:
            task.cancel()
    heads = await _settled(nodes)
    if heads is None:
        report.problems.append(f"the nodes did not come together within {SETTLE_S:.0f} s")
        return
    report.height, report.view = heads
    await _compare(nodes, report)


async def _settled(nodes: Sequence[LocalNode]) -> tuple[int, int] | None:
    """Wait until all nodes have executed one height and nothing waits; return (height, view), or None."""
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        found: list[tuple[int, int, int]] = []
        for node in nodes:
            with contextlib.suppress(CommandFailed):
                async with node.client(5.0) as client:
                    network = await client.get("v1/network", retry=False)
                found.append((network["height_executed"], network["view"], network["waiting"]))
        if len(found) == len(nodes) and len({item[0] for item in found}) == 1 and not any(item[2] for item in found):
            return found[0][0], max(item[1] for item in found)
        await asyncio.sleep(0.3)
    return None


async def _compare(nodes: Sequence[LocalNode], report: Report) -> None:
    """Compare the chains of all nodes block by block, and look for every acknowledged transaction."""
    first: dict[int, tuple[str, str]] = {}
    for node in nodes:
        async with node.client() as client:
            chain = await _chain(client)
        if not first:
            first = chain
            continue
        for height in sorted(first.keys() | chain.keys()):
            if first.get(height) != chain.get(height):
                report.problems.append(f"{node.plan.name} has another block or result at height {height}: a fork")
                break
    for node in nodes:
        # The seller's node said that it is committed; the buyer's must say the same.
        bought = {tx_id: at for tx_id, (at, buyer) in report.committed.items() if buyer == node.plan.company_id}
        async with node.client() as client:
            for tx_id, height in bought.items():
                try:
                    found = await client.get(f"v1/transactions/{tx_id}")
                except CommandFailed as failure:
                    report.problems.append(f"{node.plan.name} lost transaction {tx_id} of height {height}: {failure}")
                    continue
                if int(found["height"]) != height or found["outcome"] != "ok":
                    report.problems.append(f"transaction {tx_id} moved from height {height} to {found['height']}")


async def _chain(client: Client) -> dict[int, tuple[str, str]]:
    """Return height -> (block id, certified execution root) of a node's whole chain."""
    found: dict[int, tuple[str, str]] = {}
    cursor = ""
    while True:
        page = await client.get("v1/blocks", {"limit": "200"} | ({"cursor": cursor} if cursor else {}))
        for item in page["items"]:
            found[int(item["height"])] = (str(item["id"]), str(item.get("exec_root", "")))
        cursor = page.get("next") or ""
        if not cursor:
            return found


def replay_all(nodes: Sequence[LocalNode], report: Report) -> None:
    """Replay the journal of every stopped node in the simulator and compare with its last words."""
    from simulator.cluster.replay import replay_journal

    for node in nodes:
        result = replay_journal(node.home)
        if not result.said:
            report.problems.append(f"{node.plan.name} did not say how it stopped")
        elif result.said != result.digest:
            report.problems.append(
                f"the journal of {node.plan.name} replays to {result.digest[:16]}…, it stopped with {result.said[:16]}…"
            )
        else:
            report.replayed += 1


def soak(directory: Path, report: Report, port_base: int, tell: Callable[[str], None]) -> Report:
    """Run one soak in `directory`, a folder of its own; return the filled report. Raises `CommandFailed`."""
    plan = local.prepare(directory, "soak", local.cast_of(report.companies), report.seed, port_base)
    nodes = local.nodes_of(directory, plan)
    for node in nodes:
        with (node.home / "node.toml").open("a", encoding="utf-8") as file:
            file.write(f"\n[api.rates]\n{node.token.split('_')[1]} = [{RATE[0]}, {RATE[1]}]\n")
    pid = local.start_detached(directory, load(directory))
    try:
        failed = asyncio.run(local.wait_ready(nodes, READY_S))
        if failed:
            raise CommandFailed(Exit.UNAVAILABLE, f"the nodes are not ready: {failed}", f"look into {directory}")
        tell(f"{report.companies} nodes are ready; {report.minutes:g} minutes with seed {report.seed}")
        asyncio.run(stress(directory, nodes, report, tell))
    except ClusterError as error:
        raise CommandFailed(Exit.FAILED, str(error), f"look at {directory}/supervisor.log") from None
    finally:
        local.end(pid, directory, seconds=60.0)
    replay_all(nodes, report)
    return report


@click.command()
@click.argument("minutes", type=click.FloatRange(0.1, 240))
@click.option("--seed", type=int, default=1, show_default=True, help="Keys and schedule are functions of it.")
@click.option("-n", "--companies", type=click.IntRange(4, 16), default=7, show_default=True)
@click.option("--port-base", type=int, default=8200, show_default=True)
@click.option("--dir", "chosen", type=click.Path(file_okay=False), help="Keep the data in this new folder.")
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table")
def main(minutes: float, seed: int, companies: int, port_base: int, chosen: str | None, form: str) -> None:
    """Run daemons for MINUTES under load and faults, then check chains, results and journals.

    Exit code 10 when something does not hold; the data is kept then.
    """
    directory = Path(chosen) if chosen else Path(tempfile.mkdtemp(prefix="hansa-soak-"))
    report = Report(seed=seed, companies=companies, minutes=minutes)
    try:
        soak(directory, report, port_base, lambda text: click.echo(text, err=True))
    except CommandFailed as failure:
        click.echo(f"{failure.text}\nNext: {failure.next_step}", err=True)
        raise SystemExit(int(failure.code)) from None
    if form == "json":
        click.echo(json.dumps(report.as_json()))
    else:
        done = ", ".join(f"{count} {kind}" for kind, count in sorted(report.faults.items()))
        click.echo(f"faults    {sum(report.faults.values())}: {done}")
        click.echo(f"load      {report.submitted} invoices, {len(report.committed)} acknowledged as committed")
        click.echo(f"chain     height {report.height}, view {report.view}, on {companies} nodes")
        click.echo(f"journals  {report.replayed} of {companies} replay to the state their node held")
        for problem in report.problems[:20]:
            click.echo(f"PROBLEM   {problem}")
        click.echo("everything held" if not report.problems else f"{len(report.problems)} problems")
    if report.problems:
        click.echo(f"the data is in {directory}; repeat with --seed {seed}", err=True)
        raise SystemExit(int(Exit.FINDINGS))
    if not chosen:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
