"""`python -m simulator --seed 1` prints a chain. Also: `run`, `list`, `explore`, `mutants`, `systematic`, `bench`,
`coverage`, `abstract`, `verify`, `transcript`.

Exit codes: 0 all held, 10 a property is broken, 2 the scenario or the arguments are wrong (M34).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from simulator.errors import InvalidScenario
from simulator.report.bench import FIGURES, measure
from simulator.report.folder import verify, write
from simulator.report.text import chain, story, summary
from simulator.report.transcript import rewrite
from simulator.scenario.load import SWARM, catalogue, shipped
from simulator.scenario.schema import Scenario
from simulator.search.abstract import MUTANTS, explore_abstract
from simulator.search.branches import available, listing
from simulator.search.branches import measure as measure_branches
from simulator.search.explore import command_of, explore, parse_seeds, scenario_of
from simulator.search.mutants import Fate, hunt, line, table
from simulator.search.mutants import write as write_table
from simulator.search.systematic import KINDS, search
from simulator.world import World

FAILED = 10
INVALID = 2
DEFAULT = "clean"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "explore":
            return _explore(options)
        if options.command == "abstract":
            return _abstract(options)
        if options.command == "verify":
            problem = verify(Path(options.folder))
            sys.stdout.write(f"{problem or 'equal'}\n")
            return FAILED if problem else 0
        if options.command == "transcript":
            sys.stdout.write(rewrite(Path(options.file).read_text(encoding="utf-8")))
            return 0
        if options.command == "list":
            sys.stdout.write("\n".join((*shipped(), *catalogue(), SWARM)) + "\n")
            return 0
        if options.command == "mutants":
            return _mutants(options)
        if options.command == "systematic":
            return _systematic(options)
        if options.command == "coverage":
            return _coverage(options)
        if options.command == "bench":
            return _bench(options)
        return _run(options)
    except InvalidScenario as error:
        sys.stderr.write(f"{error}\n")
        return INVALID


def _run(options: argparse.Namespace) -> int:
    source = "" if options.swarm else options.scenario
    seed = options.seed if options.seed is not None else 1
    scenario: Scenario = scenario_of(source, seed, options.set)
    began = time.perf_counter()
    result = World(scenario, seed).run()
    seconds = time.perf_counter() - began
    if not options.quiet:
        sys.stdout.write(chain(result, options.last) + "\n\n")
        told = story(result, os.environ.get("HANSA_LANG", "en"))
        sys.stdout.write(f"{told}\n\n" if told else "")
    sys.stdout.write(summary(result, command_of(source, seed), seconds) + "\n")
    if options.out:
        sys.stdout.write(f" folder {write(result, Path(options.out))}\n")
    if options.expect_trace and not result.trace.startswith(options.expect_trace):
        sys.stderr.write(f"the trace is {result.trace[:12]}, expected {options.expect_trace}\n")
        return FAILED
    return 0 if result.ok else FAILED


def _explore(options: argparse.Namespace) -> int:
    findings = explore(
        options.scenario,
        parse_seeds(options.seeds),
        overrides=options.set,
        workers=options.workers,
        budget_s=options.budget,
        shrink_s=0 if options.no_shrink else options.shrink_seconds,
        save=Path(options.save) if options.save else None,
        fail_fast=options.fail_fast,
    )
    sys.stdout.write(
        f"{findings.runs} seeds in {findings.seconds:.1f} s, {len(findings.failures)} failed; "
        f"{findings.heights} heights, {findings.transactions} transactions, "
        f"{findings.view_changes} view changes, {findings.events} events\n"
    )
    return 0 if findings.ok else FAILED


def _mutants(options: argparse.Namespace) -> int:
    toll = hunt(options.only, workers=options.workers, tell=_tell)
    sys.stdout.write(f"{table(toll)}\n")
    if options.write:
        write_table(toll, Path(options.write))
    return 0 if toll.ok else FAILED


def _tell(fate: Fate) -> None:
    sys.stderr.write(f"{line(fate)}\n")
    sys.stderr.flush()


def _systematic(options: argparse.Namespace) -> int:
    gathered = search(
        options.kind,
        views=options.views,
        first=options.first,
        most=options.most,
        every=options.every,
        workers=options.workers,
        budget_s=options.budget,
        save=Path(options.save) if options.save else None,
        resume=Path(options.resume) if options.resume else None,
    )
    sys.stdout.write(
        f"{gathered.runs} of {gathered.cases} cases, {gathered.runs - gathered.known} of them now in "
        f"{gathered.seconds:.1f} s, {len(gathered.failures)} failed; "
        f"{gathered.heights} heights, {gathered.events} events\n"
    )
    return 0 if gathered.ok else FAILED


def _coverage(options: argparse.Namespace) -> int:
    if not available():
        sys.stderr.write(
            "the library `coverage` is not installed; run this in the environment of `scripts/environment test`\n"
        )
        return INVALID
    reached = measure_branches(parse_seeds(options.seeds), options.workers, tuple(options.scenario))
    sys.stdout.write(f"{listing(reached)}\n")
    return 0


def _bench(options: argparse.Namespace) -> int:
    for figure in measure(tuple(options.only)):
        sys.stdout.write(f"{figure}\n")
        sys.stdout.flush()
    return 0


def _abstract(options: argparse.Namespace) -> int:
    seed, problem = explore_abstract(options.first, options.runs, options.mutant)
    if seed < 0:
        sys.stdout.write(f"{options.runs} runs, nothing broken\n")
        return 0
    sys.stdout.write(f"run {seed}: {problem}\n")
    return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    for place in (parser, commands.add_parser("run", help="run one scenario")):
        if place is not parser:
            place.add_argument("scenario", nargs="?", default=DEFAULT)
        place.add_argument("--seed", type=int)
        place.add_argument("--swarm", action="store_true", help="run the swarm's scenario of the seed")
        place.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
        place.add_argument("--expect-trace", default="")
        place.add_argument("--last", type=int, default=0, help="show only the last blocks")
        place.add_argument("--out", default="", metavar="FOLDER", help="write the folder of the run here")
        place.add_argument("-q", "--quiet", action="store_true", help="do not show the chain")
    parser.set_defaults(scenario=DEFAULT)
    search = commands.add_parser("explore", help="run many seeds")
    search.add_argument("scenario", nargs="?", default="")
    search.add_argument("--seeds", default="0..200")
    search.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    search.add_argument("--workers", type=int, default=1)
    search.add_argument("--budget", type=float, default=0, metavar="SECONDS")
    search.add_argument("--shrink-seconds", type=float, default=60)
    search.add_argument("--no-shrink", action="store_true")
    search.add_argument("--save", default="", metavar="FOLDER")
    search.add_argument("--fail-fast", action="store_true")
    faults = commands.add_parser("mutants", help="plant every known fault of the protocol and see it found (M39)")
    faults.add_argument("--only", action="append", default=[], metavar="MU12")
    faults.add_argument("--workers", type=int, default=1)
    faults.add_argument("--write", default="", metavar="PAGE", help="put the table into this page")
    every = commands.add_parser("systematic", help="every crash point, or every split of twins (M37)")
    every.add_argument("kind", choices=KINDS)
    every.add_argument("--views", type=int, default=2, help="stretches of a twins run, at most 4")
    every.add_argument("--first", type=int, default=0)
    every.add_argument("--most", type=int, default=200, help="drawn cases of twins-n7")
    every.add_argument("--every", type=int, default=1, help="run only every so manieth case")
    every.add_argument("--workers", type=int, default=1)
    every.add_argument("--budget", type=float, default=0, metavar="SECONDS")
    every.add_argument("--save", default="", metavar="FOLDER")
    every.add_argument("--resume", default="", metavar="FILE", help="record what is done, and leave it out")
    branches = commands.add_parser("coverage", help="branches of consensus that no simulated run takes (GO6)")
    branches.add_argument("scenario", nargs="*", help="only these of the catalogue, with each seed")
    branches.add_argument("--seeds", default="0..40", help="of the swarm, beside the whole catalogue")
    branches.add_argument("--workers", type=int, default=1)
    speed = commands.add_parser("bench", help="measure the speed of the simulator (M60)")
    speed.add_argument("--only", action="append", default=[], choices=FIGURES)
    rules = commands.add_parser("abstract", help="explore quorums and view change without replicas (P61)")
    rules.add_argument("--runs", type=int, default=100_000)
    rules.add_argument("--first", type=int, default=0)
    rules.add_argument("--mutant", choices=MUTANTS, default="")
    again = commands.add_parser("verify", help="run the manifest of a folder again and compare")
    again.add_argument("folder")
    story = commands.add_parser("transcript", help="print a transcript with the log its commands give now")
    story.add_argument("file")
    commands.add_parser("list", help="names of all scenarios")
    return parser


if __name__ == "__main__":
    sys.exit(main())
