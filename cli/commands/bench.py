"""`hansa bench`: measure a network of real nodes on this machine (performance E40 to E43)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from cli import output, place
from cli.exit_codes import Exit
from cli.failure import CommandFailed


@click.command("bench")
@click.option("--quick", is_flag=True, help="Under a minute: 10 s saturated, 10 s at half load.")
@click.option("--seconds", type=click.FloatRange(1, 3600), help="Length of the saturated phase. [default: 60]")
@click.option("-n", "--companies", type=click.IntRange(4, 16), default=4, show_default=True, help="One node each.")
@click.option("--port-base", type=click.IntRange(1024, 65_000), default=7900, show_default=True, help="First port.")
@click.option("--seed", type=int, default=1, show_default=True, help="Keys and arrival times are functions of it.")
@click.option("--dir", "chosen", type=click.Path(file_okay=False), help="Where the nodes keep their data meanwhile.")
@click.option("--html", "page", type=click.Path(dir_okay=False), help="Write plots of latency and throughput here.")
@click.option("--contracts", "calls", is_flag=True, help="Measure contracts in this process, without a network.")
@place.output_option
def command(
    quick: bool,
    seconds: float | None,
    companies: int,
    port_base: int,
    seed: int,
    chosen: str | None,
    page: str | None,
    calls: bool,
    form: str,
) -> None:
    """Measure a network of real nodes on this machine.

    Founds a network of its own, sends signed invoices to all nodes, and ends it. Figures are CPU time; the share of
    the signature limit is the one to compare between machines.

    \b
    hansa bench --quick           a first figure
    hansa bench --html bench.html sixty seconds, latency at four loads, with plots
    hansa bench --contracts       calls, prices of gas, compilation; no network
    """
    if calls:
        from cli.bench import contracts

        found = contracts.measure(output.say)
        if form == "json":
            output.emit(found.as_json(), form, [], [])
        else:
            output.fields(contracts.table(found))
        return
    from cli.bench import run
    from cli.bench.page import render
    from cli.bench.result import table

    settings = dataclasses.replace(
        run.QUICK if quick else run.Settings(),
        companies=companies,
        port_base=port_base,
        seed=seed,
        directory=Path(chosen) if chosen else None,
    )
    if seconds is not None:
        settings = dataclasses.replace(settings, window_s=seconds)
    result = run.measure(settings, output.say)
    if page:
        try:
            Path(page).write_text(render(result), encoding="utf-8")
        except OSError as error:
            raise CommandFailed(Exit.FAILED, f"cannot write {page}: {error.strerror}", "name another file") from None
    if form == "json":
        output.emit(result.as_json(), form, [], [])
    else:
        output.fields(table(result))
    if not result.roots_equal:
        raise CommandFailed(Exit.FAILED, "the nodes ended with different state roots", "keep the logs and report it")
