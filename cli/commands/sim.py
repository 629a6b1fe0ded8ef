"""`hansa sim`: the same node in virtual time, with faults from a seed (M34, M36). The work is done by `simulator`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from cli import output, place
from cli.exit_codes import Exit
from cli.failure import CommandFailed


def _seconds(_context: click.Context, _option: click.Parameter, text: str) -> float:
    """Return the seconds of a time: a number, or a duration as scenario files write it."""
    from simulator.errors import InvalidScenario
    from simulator.scenario.units import duration_ns

    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else duration_ns(text, "time") / 1e9
    except InvalidScenario:
        seconds = -1.0
    if seconds < 0:
        raise click.BadParameter(f"{text!r} is no time; write seconds, or 90s, 10m, 2h")
    return seconds


@click.group("sim")
def command() -> None:
    """Run the network simulator.

    \b
    hansa sim list
    hansa sim run clean --seed 1
    """


@command.command("list")
@place.output_option
def list_(form: str) -> None:
    """List the scenarios that come with Hansa: examples, then the numbered core scenarios of the protocol.

    \b
    hansa sim list
    """
    from simulator.scenario.load import SWARM, catalogue, shipped

    names = [*shipped(), *catalogue(), SWARM]
    output.emit({"schema": "hansa.scenarios/1", "items": names}, form, [[name] for name in names], ["SCENARIO"])


@command.command("run")
@click.argument("scenario", default="clean")
@click.option("--seed", type=int, default=1, show_default=True, help="All chance follows from it.")
@click.option("--swarm", is_flag=True, help="Run the scenario that the swarm makes of the seed.")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change the scenario; repeat it.")
@click.option("--expect-trace", default="", help="Fail unless the trace begins like this.")
@click.option("--last", type=int, default=10, show_default=True, help="Blocks to show; 0 shows all.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show the blocks.")
@place.output_option
def run_one(
    scenario: str,
    seed: int,
    swarm: bool,
    overrides: tuple[str, ...],
    expect_trace: str,
    last: int,
    quiet: bool,
    form: str,
) -> None:
    """Run one scenario: a shipped name or a TOML file. The same seed gives the same trace on every machine.

    Exit code 10 when a property is broken.

    \b
    hansa sim run clean --seed 1
    """
    from simulator.errors import InvalidScenario
    from simulator.report.text import chain, summary
    from simulator.search.explore import command_of, scenario_of
    from simulator.world import World

    source = "" if swarm else scenario
    try:
        wanted = scenario_of(source, seed, overrides)
    except InvalidScenario as error:
        raise CommandFailed(Exit.USAGE, str(error), "hansa sim list shows the shipped scenarios") from None
    began = time.perf_counter()
    result = World(wanted, seed).run()
    if form == "json":
        output.emit(_as_json(result), form, [], [])
    else:
        if not quiet:
            click.echo(chain(result, last) + "\n")
        click.echo(summary(result, command_of(source, seed), time.perf_counter() - began))
    if expect_trace and not result.trace.startswith(expect_trace):
        raise CommandFailed(
            Exit.FINDINGS,
            f"the trace is {result.trace[:12]}, expected {expect_trace}",
            "the code behaves differently: find out why",
        )
    if not result.ok:
        raise CommandFailed(Exit.FINDINGS, f"seed {seed}: {result.violation}", f"repeat it: {command_of(source, seed)}")


@command.command()
@click.argument("scenario", default="")
@click.option("--seeds", default="0..200", show_default=True, help="First..last; the last is not run. Or one number.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change the scenario; repeat it.")
@click.option(
    "--budget",
    "--time",
    default="0",
    callback=_seconds,
    metavar="TIME",
    help="Stop after it: seconds, or 90s, 10m, 2h.",
)
@click.option("--save", type=click.Path(file_okay=False), help="Keep failing scenarios, made small, in this folder.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@place.output_option
def explore(
    scenario: str,
    seeds: str,
    workers: int,
    overrides: tuple[str, ...],
    budget: float,
    save: str | None,
    fail_fast: bool,
    form: str,
) -> None:
    """Run many seeds; the swarm's scenarios when none is named. A failure is printed with the command that repeats it.

    Exit code 10 when a seed fails.

    \b
    hansa sim explore --seeds 0..3
    """
    from simulator.errors import InvalidScenario
    from simulator.search.explore import explore as search
    from simulator.search.explore import parse_seeds, scenario_of

    try:
        wanted = parse_seeds(seeds)
    except ValueError:
        raise CommandFailed(Exit.USAGE, f"{seeds!r} are no seeds", "write them like 0..200, or one number") from None
    if not wanted:  # a search of nothing finds nothing, and would pass
        raise CommandFailed(Exit.USAGE, f"{seeds!r} holds no seed: the last is not run", "write it like 0..200")
    try:
        scenario_of(scenario, wanted.start, overrides)
    except InvalidScenario as error:
        raise CommandFailed(Exit.USAGE, str(error), "hansa sim list shows the shipped scenarios") from None
    findings = search(
        scenario,
        wanted,
        overrides=overrides,
        workers=workers,
        budget_s=budget,
        save=Path(save) if save else None,
        fail_fast=fail_fast,
    )
    failed = [
        {"seed": outcome.seed, "verdict": outcome.verdict, "violation": outcome.violation}
        for outcome in findings.failures
    ]
    document = {
        "schema": "hansa.exploration/1",
        "runs": findings.runs,
        "failed": failed,
        "heights": findings.heights,
        "transactions": findings.transactions,
        "view_changes": findings.view_changes,
        "events": findings.events,
        "coverage": len(findings.coverage),
        "seconds": round(findings.seconds, 3),
        "saved": findings.saved,
    }
    if form == "json":
        output.emit(document, form, [], [])
    else:
        click.echo(
            f"{findings.runs} seeds in {findings.seconds:.1f} s, {len(failed)} failed; {findings.heights} heights, "
            f"{findings.transactions} transactions, {findings.view_changes} view changes, {findings.events} events, "
            f"{len(findings.coverage)} (mode, event, fault) tuples"
        )
    if not findings.ok:
        raise CommandFailed(
            Exit.FINDINGS, f"{len(failed)} of {findings.runs} seeds failed", "repeat one with the command printed above"
        )


@command.command()
@click.option("--only", multiple=True, metavar="MU12", help="Run this mutant; repeat it. All of them without it.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
@click.option("--write", type=click.Path(exists=True, dir_okay=False), help="Put the table into this page.")
@place.output_option
def mutants(only: tuple[str, ...], workers: int, write: str | None, form: str) -> None:
    """Plant every known fault of the protocol, one at a time, and see that the simulator notices it.

    Exit code 10 when a fault survives: then the scenarios and checkers are too weak.

    \b
    hansa sim mutants --only MU39
    """
    from simulator.errors import InvalidScenario
    from simulator.search import mutants as faults

    def tell(fate: faults.Fate) -> None:
        click.echo(faults.line(fate), err=True)

    try:
        toll = faults.hunt(only, workers=workers, tell=tell)
        if write:
            faults.write(toll, Path(write))
    except InvalidScenario as error:
        raise CommandFailed(Exit.USAGE, str(error), "the list is simulator/search/mutants.toml") from None
    document = {
        "schema": "hansa.mutants/1",
        "mutants": len(toll.fates),
        "killed": toll.killed,
        "seconds": round(toll.seconds, 3),
        "items": [
            {
                "number": fate.number,
                "breaks": fate.breaks,
                "killed": fate.killed,
                "scenario": fate.scenario,
                "seed": fate.seed,
                "checker": fate.checker,
                "detail": fate.detail,
                "runs": fate.tried,
            }
            for fate in toll.fates
        ],
    }
    rows = [
        [fate.number, f"{fate.scenario} #{fate.seed}" if fate.killed else "SURVIVES", fate.checker, fate.breaks]
        for fate in toll.fates
    ]
    output.emit(document, form, rows, ["MUTANT", "KILLED BY", "CHECKER", "WHAT IT BREAKS"])
    if not toll.ok:
        raise CommandFailed(
            Exit.FINDINGS,
            f"{len(toll.survivors)} of {len(toll.fates)} mutants survive: {', '.join(toll.survivors)}",
            "strengthen a scenario or a checker, or prove that the fault is none",
        )


@command.command()
@click.argument("kind", type=click.Choice(["crash-points", "twins", "twins-n7"]))
@click.option("--views", type=click.IntRange(1, 4), default=2, show_default=True, help="Stretches of a twins run.")
@click.option("--first", type=click.IntRange(0), default=0, help="Seed or case to begin with.")
@click.option("--most", type=click.IntRange(1), default=200, show_default=True, help="Drawn cases of twins-n7.")
@click.option("--every", type=click.IntRange(1), default=1, help="Run one case in so many.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
@click.option(
    "--time", "budget", default="0", callback=_seconds, metavar="TIME", help="Stop after it: seconds, or 90s, 10m, 2h."
)
@click.option("--save", type=click.Path(file_okay=False), help="Keep failing cases as scenarios in this folder.")
@click.option("--resume", type=click.Path(dir_okay=False), help="Record in this file what is done, and leave it out.")
@place.output_option
def systematic(
    kind: str,
    views: int,
    first: int,
    most: int,
    every: int,
    workers: int,
    budget: float,
    save: str | None,
    resume: str | None,
    form: str,
) -> None:
    """Run every case of a kind: each point of each durable write, or each way to split a network with twins.

    Exit code 10 when a case fails.

    \b
    hansa sim systematic twins --views 1 --every 12
    """
    from simulator.errors import InvalidScenario
    from simulator.search.systematic import search

    try:
        gathered = search(
            kind,
            views=views,
            first=first,
            most=most,
            every=every,
            workers=workers,
            budget_s=budget,
            save=Path(save) if save else None,
            resume=Path(resume) if resume else None,
        )
    except InvalidScenario as error:
        raise CommandFailed(Exit.USAGE, str(error), "a record goes with one search and one state of the code") from None
    document = {
        "schema": "hansa.systematic/1",
        "kind": kind,
        "cases": gathered.cases,
        "runs": gathered.runs,
        "known": gathered.known,
        "failed": [{"case": name, "violation": problem} for name, problem in gathered.failures],
        "heights": gathered.heights,
        "events": gathered.events,
        "seconds": round(gathered.seconds, 3),
        "saved": gathered.saved,
    }
    if form == "json":
        output.emit(document, form, [], [])
    else:
        click.echo(
            f"{gathered.runs} of {gathered.cases} cases, {gathered.runs - gathered.known} of them now in "
            f"{gathered.seconds:.1f} s, {len(gathered.failures)} failed; "
            f"{gathered.heights} heights, {gathered.events} events"
        )
    if not gathered.ok:
        raise CommandFailed(
            Exit.FINDINGS, f"{len(gathered.failures)} of {gathered.runs} cases failed", "save them with --save FOLDER"
        )


@command.command()
@click.option("--only", multiple=True, metavar="FIGURE", help="n16, n100, block-100, block-256, block-512 or hour.")
def bench(only: tuple[str, ...]) -> None:
    """Measure how fast the simulator is on this machine.

    \b
    hansa sim bench --only n16
    """
    from simulator.report.bench import FIGURES, measure

    unknown = [name for name in only if name not in FIGURES]
    if unknown:
        raise CommandFailed(Exit.USAGE, f"{unknown[0]!r} is no figure", f"there are {', '.join(FIGURES)}")
    for figure in measure(only):
        click.echo(figure)


def _as_json(result: Any) -> dict[str, Any]:
    return {
        "schema": "hansa.run/1",
        "scenario": result.scenario.name,
        "seed": result.seed,
        "trace": result.trace,
        "ok": result.ok,
        "verdict": result.verdict,
        "violation": None if result.violation is None else str(result.violation),
        "nodes": result.n,
        "height": result.height,
        "submitted": result.submitted,
        "committed": result.committed,
        "failed": result.failed,
        "refused": result.refused,
        "pending": result.pending,
        "view_changes": result.view_changes,
        "messages": result.deliveries,
        "events": result.events,
        "virtual_ms": result.virtual_ns // 1_000_000,
    }
