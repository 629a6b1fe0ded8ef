"""`hansa cluster`: several companies on this machine, one process each (C7 to C21)."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from cli import local, output, place
from cli.commands.links import add_to
from cli.commands.membership import add_to as add_membership
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.profile import choose
from simulator.cluster import control
from simulator.cluster.plan import PLAN_FILE, PORT_MAX, ClusterError, Plan, clusters_directory, load
from simulator.cluster.supervisor import LOG_FILE

_dir = click.option("--dir", "chosen", type=click.Path(file_okay=False), help="Folder of the cluster.")
_which = click.option("--name", help="Cluster. [default: that of the current profile, or demo]")


@click.group("cluster")
def command() -> None:
    """Run several companies on this machine.

    \b
    hansa cluster up              four companies, ready to use
    hansa cluster kill qiming     see what the others do
    """


@command.command()
@click.argument("name", default="demo")
@click.option("-n", "--companies", type=int, default=4, show_default=True, help="One node each.")
@click.option("--seed", type=int, default=1, show_default=True, help="Keys are a function of it.")
@click.option("--port-base", type=click.IntRange(1024, PORT_MAX), default=7400, show_default=True, help="First port.")
@click.option("--wait", "wait_s", type=float, default=20.0, show_default=True, help="Seconds until all must be ready.")
@click.option("-d", "--detach", is_flag=True, help="Leave the nodes running in the background.")
@_dir
@place.output_option
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
        raise CommandFailed(
            Exit.CONFLICT,
            f"the cluster in {directory} is running already",
            f"hansa cluster status{_flags(directory)} shows it, hansa cluster down{_flags(directory)} stops it",
        )
    started = time.monotonic()
    plan = local.prepare(directory, name, local.cast_of(companies), seed, port_base)
    name = plan.name
    if len(plan.nodes) != companies:
        output.say(f"{directory} holds {len(plan.nodes)} companies and goes on with them; -n is for new clusters")
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
        flags = _flags(directory)
        click.echo(f"  Data     {directory} (kept; hansa cluster purge{flags} removes it)")
        click.echo(f"  Profile  {name!r} is now current" if profile else "  Profile  not written: no writable home")
        if profile:
            click.echo(f"  Try      hansa invoice list · hansa node status · hansa cluster kill {nodes[-1].plan.name}")
        else:
            click.echo(f"  Try      HANSA_TOKEN={nodes[0].token} hansa invoice list --home {nodes[0].home}")
            click.echo(f"           hansa cluster kill {nodes[-1].plan.name} --dir {directory}")
        click.echo(f"  Started in {seconds:.1f} s.")
    if failed:
        for node, reason in failed.items():
            click.echo(f"{node} is not ready: {reason}", err=True)
        raise CommandFailed(
            Exit.UNAVAILABLE,
            f"{len(failed)} of {len(nodes)} nodes are not ready",
            f"hansa cluster logs {next(iter(failed))}{_flags(directory)}",
        )
    if detach:
        return
    for number in (signal.SIGTERM, signal.SIGINT):  # also where a shell started us with SIGINT ignored
        signal.signal(number, local.interrupted)
    try:
        while control.is_running(directory):
            time.sleep(0.5)
    except KeyboardInterrupt:
        click.echo("\nstopping", err=True)
    finally:
        local.end(pid, directory)


@command.command()
@click.argument("name", required=False)
@_dir
def down(name: str | None, chosen: str | None) -> None:
    """Stop all nodes and keep the data.

    \b
    hansa cluster down
    """
    directory = _directory(name, chosen)
    plan = _plan(directory)
    local.ask(directory, {"do": "down"})
    deadline = time.monotonic() + 20
    while control.is_running(directory) and time.monotonic() < deadline:
        time.sleep(0.05)
    click.echo(f"cluster {plan.name} is down; its data is in {directory}")


@command.command()
@click.argument("name", default="demo")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_dir
def purge(name: str, yes: bool, chosen: str | None) -> None:
    """Remove a cluster and all its data. It must be named, or its folder; `demo` if neither is.

    \b
    hansa cluster purge demo --yes
    """
    directory = local.directory_of(name, chosen)
    if not (directory / PLAN_FILE).exists():
        raise CommandFailed(Exit.NOT_FOUND, f"there is no cluster in {directory}", "hansa cluster ls")
    if control.is_running(directory):
        raise CommandFailed(
            Exit.CONFLICT, f"the cluster in {directory} is running", f"hansa cluster down{_flags(directory)}"
        )
    if not yes:
        if not sys.stdin.isatty():
            raise CommandFailed(
                Exit.USAGE, f"whether {directory} may be removed cannot be asked here", "say --yes if you mean it"
            )
        click.confirm(f"Remove {directory} and everything in it?", abort=True)
    local.discard(directory)
    click.echo(f"{directory} is removed")


@command.command("ls")
@click.argument("name", required=False)
@_dir
@place.output_option
def list_clusters(name: str | None, chosen: str | None, form: str) -> None:
    """List clusters, or the nodes of one.

    \b
    hansa cluster ls
    hansa cluster ls demo -o json
    """
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
    if not rows and form == "table":
        output.say(f"no cluster in {clusters_directory()}; hansa cluster up makes one")


@command.command()
@click.argument("name", required=False)
@_dir
@place.output_option
def status(name: str | None, chosen: str | None, form: str) -> None:
    """Show the nodes of a cluster, and in one sentence whether blocks go on.

    \b
    hansa cluster status
    """
    directory = _directory(name, chosen)
    nodes = local.nodes_of(directory, _plan(directory))
    rows, document = asyncio.run(picture(directory, nodes))
    running = control.is_running(directory)
    said = asyncio.run(sentence(nodes)) if running else f"the cluster in {directory} is down: hansa cluster up"
    output.emit(document | {"sentence": said}, form, rows, HEADER)
    output.say(said)


def _action(verb: str, text: str) -> None:
    @command.command(verb, help=f"{text}\n\n\b\nhansa cluster {verb} qiming")
    @click.argument("node")
    @_which
    @_dir
    def act(node: str, name: str | None, chosen: str | None) -> None:
        directory = _directory(name, chosen)
        plan = _plan(directory)
        _known(plan, node)
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
@_which
@click.option("-n", "--lines", type=click.IntRange(min=1), default=20, show_default=True, help="Of each node.")
@_dir
def logs(node: str | None, name: str | None, lines: int, chosen: str | None) -> None:
    """Print the last log lines of a node, or of all.

    \b
    hansa cluster logs qiming -n 5
    """
    directory = _directory(name, chosen)
    plan = _plan(directory)
    if node is not None:
        _known(plan, node)
    for item in [item for item in plan.nodes if node in (None, item.name)]:
        path = directory / item.home / LOG_FILE
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        for line in text.splitlines()[-lines:]:
            click.echo(f"{item.name}: {line}" if node is None else line)


@command.command()
@click.argument("name", required=False)
@_dir
def path(name: str | None, chosen: str | None) -> None:
    """Print the folder of a cluster: one company home in each subfolder.

    \b
    hansa cluster path
    """
    directory = _directory(name, chosen)
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
        return f"{node.plan.name} says: {why['headline']}"
    return "no node answers"


def _directory(name: str | None, chosen: str | None) -> Path:
    """Return the folder of the cluster that is meant: named, that of the current profile, or demo."""
    if not name and not chosen:
        home = Path(choose(None, None, None, None).home or ".")
        if (home.parent / PLAN_FILE).exists():
            return home.parent
    return local.directory_of(name or "demo", chosen)


def _flags(directory: Path) -> str:
    """Return what names this cluster on a command line, with a space before it."""
    if directory.parent == clusters_directory():
        return f" {directory.name}"
    return f" --dir {directory}"


def _known(plan: Plan, node: str) -> None:
    """Refuse a name that no node of the cluster has."""
    names = [item.name for item in plan.nodes]
    if node not in names:
        close = get_close_matches(node, names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise CommandFailed(Exit.NOT_FOUND, f"no node is called {node!r}", f"{hint}known are {', '.join(names)}")


def _resolve(name: str | None, chosen: str | None) -> tuple[Path, Plan]:
    directory = _directory(name, chosen)
    return directory, _plan(directory)


def _plan(directory: Path) -> Plan:
    try:
        return load(directory)
    except ClusterError as error:
        text, _, step = str(error).rpartition("; ")
        raise CommandFailed(Exit.NOT_FOUND, text, step) from None


add_to(command, _which, _dir, _resolve, sentence)
add_membership(command, _which, _dir, _resolve)
