"""Exploring seeds (M36): many runs, each from its own seed, over several processes.

A failure is printed the moment it is found, with its seed and the one command that repeats it, then shrunk within a
time limit and saved as a scenario file (M38). Real time is used here, outside of runs, for rates and limits only.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

from simulator.errors import InvalidScenario
from simulator.hub import Listener
from simulator.report.coverage import Coverage
from simulator.scenario.load import SWARM, describe, load
from simulator.scenario.schema import Scenario
from simulator.search.shrink import shrink
from simulator.search.swarm import swarm
from simulator.world import RunResult, World

SHRINK_SECONDS: Final = 60
PROGRESS_SECONDS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One explored seed, small enough to cross a process boundary."""

    seed: int
    verdict: str
    violation: str
    checker: str
    trace: str
    n: int
    height: int
    transactions: int
    view_changes: int
    events: int
    coverage: tuple[str, ...] = ()
    """Tuples (mode, event, fault) that the run reached, as text."""
    error: str = ""


@dataclass(slots=True, kw_only=True)
class Findings:
    """Sum of an exploration."""

    runs: int = 0
    heights: int = 0
    transactions: int = 0
    view_changes: int = 0
    events: int = 0
    seconds: float = 0.0
    coverage: dict[str, int] = field(default_factory=dict)
    """Runs that reached a tuple (mode, event, fault)."""
    failures: list[Outcome] = field(default_factory=list)
    saved: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.failures


def scenario_of(source: str, seed: int, overrides: Sequence[str] = ()) -> Scenario:
    """Return the scenario of a seed: the swarm's own if `source` is empty, or its number in the catalogue."""
    if source not in ("", SWARM):
        return load(source, overrides, seed)
    if overrides:
        raise InvalidScenario(overrides[0].partition("=")[0], "the swarm draws its scenario from the seed alone")
    return swarm(seed)


def command_of(source: str, seed: int) -> str:
    """Return the command that repeats a run."""
    return (
        f"python -m simulator run {source} --seed {seed}"
        if source not in ("", SWARM)
        else f"python -m simulator run --swarm --seed {seed}"
    )


def explore(
    source: str,
    seeds: Sequence[int],
    *,
    overrides: Sequence[str] = (),
    workers: int = 1,
    budget_s: float = 0.0,
    shrink_s: float = SHRINK_SECONDS,
    save: Path | None = None,
    fail_fast: bool = False,
    out: TextIO | None = None,
) -> Findings:
    """Run `seeds`; print progress and failures to `out` (stderr by default)."""
    out = sys.stderr if out is None else out
    findings = Findings()
    began = told = time.monotonic()
    for outcome in _outcomes(source, seeds, overrides, workers):
        findings.runs += 1
        findings.heights += outcome.height
        findings.transactions += outcome.transactions
        findings.view_changes += outcome.view_changes
        findings.events += outcome.events
        for reached in outcome.coverage:
            findings.coverage[reached] = findings.coverage.get(reached, 0) + 1
        if outcome.verdict != "ok":
            findings.failures.append(outcome)
            out.write(f"FAILED seed {outcome.seed} (n={outcome.n}): {outcome.violation}\n")
            out.write(f"  repeat: {command_of(source, outcome.seed)}\n")
            out.flush()
            if save is not None or shrink_s:
                path = _keep(source, outcome, overrides, shrink_s, save, out)
                if path:
                    findings.saved.append(path)
            if fail_fast:
                break
        now = time.monotonic()
        if now - told >= PROGRESS_SECONDS:
            told = now
            rate = findings.runs / (now - began)
            left = (len(seeds) - findings.runs) / rate
            out.write(f"{findings.runs}/{len(seeds)} seeds, {len(findings.failures)} failed, ")
            out.write(f"{rate:.1f} seeds/s, {findings.heights} heights, ")
            out.write(f"{len(findings.coverage)} (mode, event, fault) tuples, about {left:.0f} s left\n")
            out.flush()
        if budget_s and now - began > budget_s:
            break
    findings.seconds = time.monotonic() - began
    return findings


def run_seed(source: str, seed: int, overrides: Sequence[str] = ()) -> Outcome:
    """Run one seed and sum it up; an exception of the simulator itself becomes the outcome `error`."""
    try:
        scenario = scenario_of(source, seed, overrides)
        world = World(scenario, seed, listeners=(Coverage,))
        return outcome_of(world.run(), world.listeners[0])
    except Exception as error:  # the boundary of a worker: the exploration goes on and shows it
        return Outcome(
            seed=seed, verdict="error", violation=f"the simulator failed: {error!r}", checker="simulator", trace="",
            n=0, height=0, transactions=0, view_changes=0, events=0, error=traceback.format_exc(),
        )  # fmt: skip


def outcome_of(result: RunResult, listener: Listener | None = None) -> Outcome:
    violation = result.violation
    reached = listener.reached if isinstance(listener, Coverage) else {}
    return Outcome(
        seed=result.seed,
        verdict=result.verdict,
        violation="" if violation is None else str(violation),
        checker="" if violation is None else violation.checker,
        trace=result.trace,
        n=result.n,
        height=result.height,
        transactions=result.transactions,
        view_changes=result.view_changes,
        events=result.events,
        coverage=tuple(sorted(reached)),
    )


def parse_seeds(text: str) -> range:
    """Return the range of `0..500` (500 excluded) or of one number.

    >>> parse_seeds("3..6"), parse_seeds("7")
    (range(3, 6), range(7, 8))
    """
    low, separator, high = text.partition("..")
    return range(int(low), int(high)) if separator else range(int(low), int(low) + 1)


def _outcomes(source: str, seeds: Sequence[int], overrides: Sequence[str], workers: int) -> Iterator[Outcome]:
    if workers <= 1:
        for seed in seeds:
            yield run_seed(source, seed, overrides)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers) as pool:
        jobs = [(source, seed, tuple(overrides)) for seed in seeds]
        yield from pool.imap_unordered(_job, jobs, chunksize=4)


def _job(job: tuple[str, int, tuple[str, ...]]) -> Outcome:
    return run_seed(*job)


def _keep(
    source: str, outcome: Outcome, overrides: Sequence[str], shrink_s: float, save: Path | None, out: TextIO
) -> str:
    """Shrink a failure and save it; return the path, or nothing if it is not kept."""
    if outcome.verdict == "error":
        out.write(outcome.error)
        return ""
    scenario = scenario_of(source, outcome.seed, overrides)
    if shrink_s:
        clock: Callable[[], float] = time.monotonic
        shrunk = shrink(scenario, outcome.verdict, outcome.checker, clock() + shrink_s, clock)
        out.write(
            f"  shrunk: {len(scenario.at)} actions to {len(shrunk.at)}, {scenario.duration} to {shrunk.duration}\n"
        )
        scenario = shrunk
    if save is None:
        return ""
    save.mkdir(parents=True, exist_ok=True)
    path = save / f"failure-{outcome.checker}-{outcome.seed}.toml"
    path.write_text(describe(scenario), encoding="utf-8")
    out.write(f"  saved: {path}\n")
    return str(path)
