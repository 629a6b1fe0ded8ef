"""`hansa demo`: four companies on this machine, real documents, the whole story (C7, C33)."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from cli import local, mapping, output, place
from cli.commands.cluster import HEADER, banner, picture
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.story import Chapter, Story
from simulator.cluster import control
from simulator.cluster.plan import PORT_MAX

SAMPLES = Path(__file__).resolve().parent.parent / "samples"


@click.command("demo")
@click.option("--invoices", type=click.Path(exists=True, file_okay=False), help="Import these files instead.")
@click.option("--once", is_flag=True, help="Play on a fresh network, check everything, stop.")
@click.option("--name", default="demo", show_default=True, help="Cluster.")
@click.option("--dir", "chosen", type=click.Path(file_okay=False), help="Folder of the cluster.")
@click.option("--seed", type=int, default=1, show_default=True, help="Keys are a function of it.")
@click.option("--port-base", type=click.IntRange(1024, PORT_MAX), default=7400, show_default=True, help="First port.")
@click.option("--wait", "wait_s", type=float, default=20.0, show_default=True, help="Seconds until all must be ready.")
@place.output_option
def command(
    invoices: str | None,
    once: bool,
    name: str,
    chosen: str | None,
    seed: int,
    port_base: int,
    wait_s: float,
    form: str,
) -> None:
    """Four companies, real invoices, the whole story.

    A manufacturer, two suppliers and a bank, one node each: documents are imported, accepted, disputed, set off and
    paid; rules refuse what they must; every company's books are proven offline. Then it runs until Ctrl-C.

    \b
    hansa demo
    hansa demo --once -o json
    hansa demo --invoices my-invoices/
    """
    if once:
        with tempfile.TemporaryDirectory(prefix="hansa-demo-") as folder:
            code = _run(Path(folder) / name, name, invoices, seed, port_base, wait_s, form, once=True)
    else:
        directory = local.directory_of(name, chosen)
        if control.is_running(directory):
            raise CommandFailed(Exit.CONFLICT, f"cluster {name} is running already", f"hansa cluster down {name}")
        code = _run(directory, name, invoices, seed, port_base, wait_s, form, once=False)
    raise click.exceptions.Exit(int(code))


def _run(
    directory: Path,
    name: str,
    invoices: str | None,
    seed: int,
    port_base: int,
    wait_s: float,
    form: str,
    *,
    once: bool,
) -> Exit:
    for number in (signal.SIGTERM, signal.SIGINT):  # also where a shell started us with SIGINT ignored
        signal.signal(number, local.interrupted)
    resumed = (directory / "cluster.json").exists()
    started = time.monotonic()
    plan = local.prepare(directory, name, local.DEMO_CAST, seed, port_base)
    nodes = local.nodes_of(directory, plan)
    pid = local.start_detached(directory, plan)
    try:
        failed = asyncio.run(local.wait_ready(nodes, wait_s))
        seconds = time.monotonic() - started
        if failed:
            for company, reason in failed.items():
                click.echo(f"{company} is not ready: {reason}", err=True)
            return Exit.UNAVAILABLE
        profile = None if once else local.remember_profiles(nodes, name)
        quiet = form == "json"
        if not quiet:
            click.echo(banner(plan.seed, len(nodes)))
            click.echo(f"All nodes are ready after {seconds:.1f} s.\n")
        summary = asyncio.run(_play(nodes, invoices, quiet=quiet, resumed=resumed))
        summary["seconds_to_ready"] = round(seconds, 3)
        good = bool(summary["ok"])
        if quiet:
            click.echo(json.dumps(summary, ensure_ascii=False))
        else:
            _tell_summary(directory, nodes, summary, name, profile is not None, once=once)
        if once:
            return Exit.OK if good else Exit.FINDINGS
        try:
            while control.is_running(directory):
                time.sleep(0.5)
        except KeyboardInterrupt:
            click.echo("\nstopping; the data stays", err=True)
        return Exit.OK
    finally:
        local.end(pid, directory)


async def _play(nodes: list[local.LocalNode], invoices: str | None, *, quiet: bool, resumed: bool) -> dict[str, Any]:
    def tell(chapter: Chapter) -> None:
        if not quiet:
            mark = {"refused": "✗", "refused as it should be": "✗"}.get(chapter.outcome, "✓")
            click.echo(f"  {mark} {chapter.text}")

    async with Story(nodes, tell) as story:
        mapped: list[dict[str, str]] = []
        if resumed and invoices is None:
            if not quiet:
                click.echo("  The story was played before; the ledger goes on where it stood.")
        elif invoices is None:
            await story.play(await story.import_samples(SAMPLES))
        else:
            paths = sorted(path for path in Path(invoices).rglob("*") if path.is_file())
            plan = await mapping.plan(paths, [node.plan for node in nodes])
            mapped = plan.table
            if not quiet:
                click.echo("  Identifiers in these files are mapped to the demo companies (development only):")
                for row in mapped:
                    click.echo(f"    {row['identifier']:<34} {row['name'][:36]:<38} → {row['company']}")
            await story.import_mapped(paths, plan.parties)
        checks = await story.checks()
        book = story.book
    imported = sum(1 for item in book.imports if item.object_id)
    summary: dict[str, Any] = {
        "schema": "hansa.demo/1",
        "companies": len(nodes),
        **checks,
        "transactions": book.transactions,
        "committed": book.committed,
        "refused": book.refused,
        "invoices_imported": imported,
        "invoices_refused": len(book.imports) - imported,
        "documents": [item.as_json() for item in book.imports],
        "mapping": mapped,
        "story": [{"text": chapter.text, "outcome": chapter.outcome} for chapter in book.chapters],
    }
    summary["ok"] = (
        summary["state_roots_equal"]
        and summary["trial_balances_zero"]
        and summary["audit_verified"]
        and book.committed + book.refused == book.transactions
        and (bool(imported) or resumed)
    )
    return summary


def _tell_summary(
    directory: Path, nodes: list[local.LocalNode], summary: dict[str, Any], name: str, profile: bool, *, once: bool
) -> None:
    rows, _ = asyncio.run(picture(directory, nodes))
    click.echo()
    click.echo(output.render(rows, HEADER, indent="  "))
    yes = {True: "yes", False: "NO"}
    click.echo(
        f"\n  {summary['transactions']} transactions: {summary['committed']} done, "
        f"{summary['refused']} refused by a rule"
    )
    click.echo(f"  {summary['invoices_imported']} documents imported, {summary['invoices_refused']} refused")
    click.echo(f"  All nodes hold the same state at height {summary['height']}: {yes[summary['state_roots_equal']]}")
    click.echo(f"  Every company's trial balance is zero and ties: {yes[summary['trial_balances_zero']]}")
    click.echo(f"  Every company's proof pack verifies offline: {yes[summary['audit_verified']]}")
    if once:
        return
    click.echo(f"  Data     {directory} (kept; hansa cluster purge {name} removes it)")
    if profile:
        click.echo(f"  Profile  {name!r} is now current; other companies: --profile {name}-{nodes[1].plan.name}")
    click.echo(f"  Try      hansa invoice list · hansa ledger trial-balance · hansa cluster kill {nodes[-1].plan.name}")
    click.echo("  Pages    hansa login --web prints a link that opens them. Ctrl-C stops and keeps the data.")
