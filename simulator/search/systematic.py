"""Systematic search (M37): every case of a kind instead of drawn ones. Door: `search`.

Crash points: a run of about 30 blocks, and one with view changes, again for every durable commit of every journal and
every point around it (scenario 20, GO4). Twins: two honest processes of one company, and every way to split the
network into two parts in each of up to four stretches, each long enough for a view (scenarios 31, 32, GO3).

A case is an ordinary scenario with its actions written out, so a failing one is saved and replayed like any other.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Final, Literal, TextIO

import msgspec

from simulator.byzantine import TWINS
from simulator.checkers import Checker, View
from simulator.daemon import Daemon
from simulator.disk import JournalBatch
from simulator.errors import InvalidScenario
from simulator.league import company_names
from simulator.rng import Rng
from simulator.scenario import schema as s
from simulator.scenario.load import TWIN, describe
from simulator.scenario.units import duration_text
from simulator.search.tree import Outcome, run_all
from simulator.world import World

Point = Literal["before", "torn", "kept", "after", "sent"]
POINTS: Final[tuple[Point, ...]] = ("before", "torn", "kept", "after", "sent")
"""Before the write, during it (lost or kept), durable but not sent, sent."""
MS: Final = 1_000_000
STRETCH_MS: Final = 900
"""One stretch of a twins run: enough for a timeout of 200 to 400 ms and a new view."""
CONSENSUS: Final = {"t0_ms": 200, "t_cap_ms": 800, "status_ms": 200, "fetch_ms": 100, "hb_ms": 200}
BRANCHING: Final = 2
"""Stretches of a twins run that one job goes through as a tree: at most 256 cases."""
PROGRESS_S: Final = 10.0
KINDS: Final = ("crash-points", "twins", "twins-n7")


@dataclass(slots=True, kw_only=True)
class Yield:
    """What a systematic search gave."""

    kind: str
    cases: int = 0
    runs: int = 0
    heights: int = 0
    events: int = 0
    seconds: float = 0.0
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Name of the case and what broke."""
    saved: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.failures


class _Commits(Checker):
    """Counts the durable commits of each journal; it breaks nothing."""

    name = "commits"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.count: dict[str, int] = {}

    def durable(self, daemon: Daemon, _batch: JournalBatch) -> None:
        self.count[daemon.name] = daemon.journal.commits


def bases() -> tuple[s.Scenario, ...]:
    """Return the runs whose crash points are enumerated: about 30 blocks without a fault, and three view changes."""
    quiet = s.Scenario(
        name="crash",
        duration="1800ms",
        fidelity="abstract",
        workload=(s.Workload(kind="kv", rate="fixed:9"),),
        consensus=dict(CONSENSUS),
    )
    changes = tuple(s.Pause(t=duration_text(at * MS), lasts="500ms", node="primary") for at in (300, 1200, 2100))
    return quiet, msgspec.structs.replace(quiet, name="crash-in-view-change", duration="2800ms", at=changes)


def crash_points() -> Iterator[s.Scenario]:
    """Yield one scenario for every journal, commit and point."""
    for base in bases():
        world = World(base, 1, listeners=(_Commits,))
        result = world.run()
        if not result.ok:
            raise InvalidScenario(base.name, f"the run without crashes fails: {result.violation}")
        counted = world.listeners[0]
        if not isinstance(counted, _Commits):
            raise InvalidScenario(base.name, "nobody counted its commits")
        for name, commits in sorted(counted.count.items()):
            for commit, point in product(range(1, commits + 1), POINTS):
                crash = s.Crash(t="0s", lasts="120ms", node=name, point=point, commit=commit)
                yield msgspec.structs.replace(base, name=f"{base.name}-{name}-{commit}-{point}", at=(crash, *base.at))


def splits(processes: tuple[str, ...]) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    """Return every split of the processes into two parts, the undivided network first, each once."""
    first, *rest = processes
    found_splits = []
    for bits in range(2 ** len(rest)):
        left = (first, *(name for place, name in enumerate(rest) if not bits >> place & 1))
        found_splits.append((left, tuple(name for name in processes if name not in left)))
    return tuple(found_splits)


def twins(views: int) -> Iterator[s.Scenario]:
    """Yield n = 4 with one pair of twins: each place of the pair among the leaders, each split in each stretch.

    The two processes of a pair are equal, so of two splits that differ only in exchanging them one is enough for the
    first stretch that tells them apart.
    """
    for leader, company in enumerate(company_names(4)):
        others = tuple(name for name in company_names(4) if name != company)
        ways = splits((company, company + TWIN, *others))
        for chosen in product(range(len(ways)), repeat=views):
            if _mirrored(ways, chosen, company):
                continue
            name = f"twins-{leader}-{'-'.join(str(way) for way in chosen)}"
            yield _twins(name, 4, (company,), [ways[way] for way in chosen])


def twins_n7(seed: int) -> s.Scenario:
    """Return n = 7 with two pairs of twins and four splits, all drawn from `seed`."""
    rng = Rng(seed, "twins")
    pair = tuple(rng.sample(company_names(7)[:4], 2))
    processes = (*company_names(7), *(name + TWIN for name in pair))
    chosen = []
    for _ in range(4):
        order = rng.shuffled(processes)
        cut = rng.between(0, len(order) - 1)
        chosen.append((tuple(order[cut:]), tuple(order[:cut])))
    return _twins(f"twins-n7-{seed}", 7, pair, chosen)


def _mirrored(ways: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...], chosen: tuple[int, ...], company: str) -> bool:
    """Tell whether exchanging the twins gives a case that comes earlier."""
    for way in chosen:
        left, right = (frozenset(part) for part in ways[way])
        if company in left and company + TWIN in left:
            continue
        swapped = (right - {company + TWIN}) | {company}
        for other, (again, _) in enumerate(ways):
            if frozenset(again) == swapped:
                return other < way
    return False


def _twins(
    name: str, n: int, pair: tuple[str, ...], chosen: list[tuple[tuple[str, ...], tuple[str, ...]]]
) -> s.Scenario:
    actions: list[s.Action] = [s.Byzantine(t="0s", node=company, behaviour=TWINS) for company in pair]
    for stretch, (left, right) in enumerate(chosen):
        began, lasts = duration_text(stretch * STRETCH_MS * MS), duration_text(STRETCH_MS * MS)
        groups = (left, right) if right else (left,)  # one group is cut from nobody
        actions.append(s.Partition(t=began, lasts=lasts, groups=groups, name=f"p{stretch}"))
    return s.Scenario(
        name=name,
        duration=duration_text((len(chosen) * STRETCH_MS + 200) * MS),
        fidelity="abstract",
        at=tuple(actions),
        workload=(s.Workload(kind="kv", rate="fixed:12"),),
        network=s.NetworkTable(nodes=n),
        consensus=dict(CONSENSUS),
    )


def cases(kind: str, views: int, first: int, most: int) -> Iterator[s.Scenario]:
    """Yield the cases of a kind; `first` and `most` are for the drawn ones."""
    if kind == "crash-points":
        yield from crash_points()
    elif kind == "twins":
        yield from twins(views)
    elif kind == "twins-n7":
        yield from (twins_n7(seed) for seed in range(first, first + most))
    else:
        raise InvalidScenario("kind", f"{kind!r} is none of {', '.join(KINDS)}")


def search(
    kind: str,
    *,
    views: int = 2,
    first: int = 0,
    most: int = 200,
    every: int = 1,
    workers: int = 1,
    budget_s: float = 0.0,
    save: Path | None = None,
    out: TextIO | None = None,
) -> Yield:
    """Run all cases of a kind, or every `every`-th; print progress and failures to `out` (stderr by default)."""
    out = sys.stderr if out is None else out
    gathered = Yield(kind=kind)
    wanted = [case for number, case in enumerate(cases(kind, views, first, most)) if number % every == first % every]
    gathered.cases = len(wanted)
    began = told = time.monotonic()
    for scenario, problem, height, events in _outcomes(kind, wanted, workers):
        gathered.runs += 1
        gathered.heights += height
        gathered.events += events
        now = time.monotonic()
        if problem:
            gathered.failures.append((scenario.name, problem))
            out.write(f"FAILED {scenario.name}: {problem}\n")
            if save is not None:
                save.mkdir(parents=True, exist_ok=True)
                path = save / f"failure-{scenario.name}.toml"
                path.write_text(describe(scenario), encoding="utf-8")
                gathered.saved.append(str(path))
                out.write(f"  repeat: hansa sim run {path} --seed 1\n")
        if now - told >= PROGRESS_S:
            told, rate = now, gathered.runs / (now - began)
            out.write(f"{gathered.runs}/{len(wanted)} cases, {len(gathered.failures)} failed, {rate:.1f}/s\n")
            out.flush()
        if budget_s and now - began > budget_s:
            break
    gathered.seconds = time.monotonic() - began
    return gathered


def _outcomes(kind: str, wanted: list[s.Scenario], workers: int) -> Iterator[tuple[s.Scenario, str, int, int]]:
    """Yield each case with what broke, its height and its events; cases with one beginning run that once."""
    jobs = _alike(wanted) if kind == "twins" else [[case] for case in enumerate(wanted)]
    if workers <= 1:
        done: Iterator[list[Outcome]] = map(_run, jobs)
    else:
        pool = multiprocessing.get_context("spawn").Pool(workers)
        done = pool.imap_unordered(_run, jobs)
    try:
        for outcomes in done:
            for place, problem, height, events in outcomes:
                yield wanted[place], problem, height, events
    finally:
        if workers > 1:
            pool.terminate()
            pool.join()


def _alike(wanted: list[s.Scenario]) -> list[list[tuple[int, s.Scenario]]]:
    """Return the cases in groups that are alike up to the last `BRANCHING` actions."""
    groups: dict[tuple[s.Action, ...], list[tuple[int, s.Scenario]]] = {}
    for place, case in enumerate(wanted):
        groups.setdefault(case.at[:-BRANCHING], []).append((place, case))
    return list(groups.values())


def _run(job: list[tuple[int, s.Scenario]]) -> list[Outcome]:
    return run_all(job, 1)
