"""`hansa cluster`: several companies on this machine, one process each (C7 to C21)."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Any

import click

from cli import local, output
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from simulator.cluster import control
from simulator.cluster.plan import PLAN_FILE, ClusterError, clusters_directory, load
from simulator.cluster.supervisor import LOG_FILE

_dir = click.option("--dir", "chosen", type=click.Path(file_okay=False), help="Folder of the cluster.")
_output = click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table")


@click.group("cluster")
def command() -> None:
    """Run several companies on this machine.

    \b
    hansa cluster up              four companies, ready to use
    hansa cluster kill qiming     see what the others do
    """


@command.command()
@click.argument("name", default="demo")
@click.option("-n", "--companies", type=int, default=4, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Keys are a function of it.")
@click.option("--port-base", type=int, default=7400, show_default=True)
@click.option("--wait", "wait_s", type=float, default=20.0, show_default=True, help="Seconds until all must be ready.")
@click.option("-d", "--detach", is_flag=True, help="Leave the nodes running in the background.")
@_dir
@_output
def up(
    name: str, companies: int, seed: int, port_base: int, wait_s: float, detach: bool, chosen: str | None, form: str
) -> None:
    """Start a cluster, or go on with one that exists.

    \b
    hansa cluster up              in the foreground; Ctrl-C stops and keeps the data
    hansa cluster up -d           in the background; hansa cluster down ends it
    """
    directory = local.directory_of(name, chosen)
    if control.is_running(directory):
        raise CommandFailed(Exit.CONFLICT, f"cluster {name} is running already", f"hansa cluster ls {name}")
    started = time.monotonic()
    plan = local.prepare(directory, name, local.cast_of(companies), seed, port_base)
    nodes = local.nodes_of(directory, plan)
    pid = local.start_detached(directory, plan)
    failed = asyncio.run(local.wait_ready(nodes, wait_s))
    seconds = time.monotonic() - started
    profile = local.remember_profiles(nodes, name)
    rows, document = asyncio.run(picture(directory, nodes))
    if form == "json":
        output.emit(document | {"seconds_to_ready": round(seconds, 3), "failed": failed}, form, [], [])
    else:
        click.echo(banner(plan.seed, len(nodes)))
        click.echo(output.render(rows, HEADER, indent="  "))
        click.echo(f"  Data     {directory} (kept; hansa cluster purge {name} removes it)")
        click.echo(f"  Profile  {name!r} is now current" if profile else "  Profile  not written: no writable home")
        click.echo(f"  Try      hansa invoice list · hansa node status · hansa cluster kill {nodes[-1].plan.name}")
        click.echo(f"  Started in {seconds:.1f} s.")
    if failed:
        for node, reason in failed.items():
            click.echo(f"{node} is not ready: {reason}", err=True)
        raise CommandFailed(
            Exit.UNAVAILABLE, f"{len(failed)} of {len(nodes)} nodes are not ready", "hansa cluster logs"
        )
    if detach:
        return
    signal.signal(signal.SIGTERM, local.interrupted)
    try:
        while control.is_running(directory):
            time.sleep(0.5)
    except KeyboardInterrupt:
        click.echo("\nstopping", err=True)
    finally:
        local.end(pid, directory)


@command.command()
@click.argument("name", default="demo")
@_dir
def down(name: str, chosen: str | None) -> None:
    """Stop all nodes and keep the data."""
    directory = local.directory_of(name, chosen)
    local.ask(directory, {"do": "down"})
    deadline = time.monotonic() + 20
    while control.is_running(directory) and time.monotonic() < deadline:
        time.sleep(0.05)
    click.echo(f"cluster {name} is down; its data is in {directory}")


@command.command()
@click.argument("name", default="demo")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_dir
def purge(name: str, yes: bool, chosen: str | None) -> None:
    """Remove a cluster and all its data."""
    directory = local.directory_of(name, chosen)
    if not (directory / PLAN_FILE).exists():
        raise CommandFailed(Exit.NOT_FOUND, f"there is no cluster in {directory}", "hansa cluster ls")
    if control.is_running(directory):
        raise CommandFailed(Exit.CONFLICT, f"cluster {name} is running", f"hansa cluster down {name}")
    if not yes:
        if not sys.stdin.isatty():
            raise CommandFailed(Exit.USAGE, "nobody can be asked here", "say --yes")
        click.confirm(f"Remove {directory} and everything in it?", abort=True)
    local.discard(directory)


@command.command("ls")
@click.argument("name", required=False)
@_dir
@_output
def list_clusters(name: str | None, chosen: str | None, form: str) -> None:
    """List clusters, or the nodes of one."""
    if name or chosen:
        directory = local.directory_of(name or "demo", chosen)
        plan = _plan(directory)
        rows, document = asyncio.run(picture(directory, local.nodes_of(directory, plan)))
        output.emit(document, form, rows, HEADER)
        return
    rows = []
    for directory in sorted(clusters_directory().glob(f"*/{PLAN_FILE}")):
        plan = _plan(directory.parent)
        state = "running" if control.is_running(directory.parent) else "down"
        rows.append([plan.name, str(len(plan.nodes)), state, str(directory.parent)])
    items = [dict(zip(("name", "companies", "state", "directory"), row, strict=True)) for row in rows]
    output.emit(
        {"schema": "hansa.clusters/1", "items": items}, form, rows, ["NAME", "COMPANIES>", "STATE", "DIRECTORY"]
    )


def _action(verb: str, text: str) -> None:
    @command.command(verb, help=text)
    @click.argument("node")
    @click.option("--name", default="demo", show_default=True, help="Cluster.")
    @_dir
    def act(node: str, name: str, chosen: str | None) -> None:
        directory = local.directory_of(name, chosen)
        plan = _plan(directory)
        local.ask(directory, {"do": verb, "node": node})
        click.echo(asyncio.run(sentence(local.nodes_of(directory, plan))))


_action("kill", "End a node at once (SIGKILL); the others are told nothing.")
_action("stop", "Stop a node cleanly.")
_action("start", "Start a node again.")
_action("restart", "Stop and start a node.")
_action("pause", "Freeze a node (SIGSTOP).")
_action("resume", "Let a frozen node go on.")


@command.command()
@click.argument("node", required=False)
@click.option("--name", default="demo", show_default=True, help="Cluster.")
@click.option("-n", "--lines", type=int, default=20, show_default=True)
@_dir
def logs(node: str | None, name: str, lines: int, chosen: str | None) -> None:
    """Print the last log lines of a node, or of all."""
    directory = local.directory_of(name, chosen)
    plan = _plan(directory)
    wanted = [item for item in plan.nodes if node in (None, item.name)]
    if not wanted:
        known = ", ".join(item.name for item in plan.nodes)
        raise CommandFailed(Exit.NOT_FOUND, f"no node is called {node!r}", f"known are {known}")
    for item in wanted:
        path = directory / item.home / LOG_FILE
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        for line in text.splitlines()[-lines:]:
            click.echo(f"{item.name}: {line}" if node is None else line)


@command.command()
@click.argument("name", default="demo")
@_dir
def path(name: str, chosen: str | None) -> None:
    """Print the folder of a cluster: one company home in each subfolder."""
    directory = local.directory_of(name, chosen)
    _plan(directory)
    click.echo(str(directory))


HEADER = ["COMPANY", "ROLE", "STATUS", "HEIGHT>", "API AND PAGES", "TOKEN"]


def banner(seed: int, companies: int) -> str:
    """Return the first line of every local cluster (C8, C11)."""
    from ledger.certificate import faults, quorum

    tolerance = "no fault tolerance" if companies < 4 else f"PBFT f={faults(companies)} q={quorum(companies)}"
    return (
        f"hansa: {companies} companies, {tolerance}, seed {seed}      "
        "development keys, known to everybody: never use for real data"
    )


async def picture(directory: Path, nodes: list[local.LocalNode]) -> tuple[list[list[str]], dict[str, Any]]:
    """Return table rows and the JSON document of a cluster's nodes."""
    states = {node.plan.name: "down" for node in nodes}
    if control.is_running(directory):
        answer = local.ask(directory, {"do": "status"})
        states = {item["name"]: item["state"] for item in answer["nodes"]}

    async def one(node: local.LocalNode) -> dict[str, Any]:
        base: dict[str, Any] = {
            "company": node.plan.name,
            "title": node.plan.title,
            "company_id": node.plan.company_id,
            "roles": list(node.plan.roles),
            "state": states[node.plan.name],
            "role": "",
            "height": 0,
            "api": node.api,
            "token": node.token,
            "home": str(node.home),
        }
        if states[node.plan.name] != "up":
            return base
        try:
            async with node.client(5.0) as client:
                consensus = await client.get("v1/consensus", retry=False)
        except CommandFailed as failure:
            return base | {"state": "up, no answer", "problem": failure.text}
        return base | {
            "role": next((member["role"] for member in consensus["members"] if member["self"]), ""),
            "height": consensus["height"],
            "state": "ready",
        }

    items = await asyncio.gather(*(one(node) for node in nodes))
    rows = [
        [item["title"], item["role"], item["state"], str(item["height"]), item["api"], item["token"][:22] + "…"]
        for item in items
    ]
    return rows, {"schema": "hansa.cluster/1", "nodes": list(items)}


async def sentence(nodes: list[local.LocalNode]) -> str:
    """Return the quorum sentence as the first node that answers sees it (C18)."""
    await asyncio.sleep(0.3)
    for node in nodes:
        try:
            async with node.client(3.0) as client:
                why = await client.get("v1/consensus/why", retry=False)
        except CommandFailed:
            continue
        return f"{node.plan.name} says: {why.get('sentence', '')}"
    return "no node answers"


def _plan(directory: Path) -> Any:
    try:
        return load(directory)
    except ClusterError as error:
        raise CommandFailed(Exit.NOT_FOUND, str(error)) from None
