"""Systematic search (M37): every case of a kind instead of drawn ones. Door: `search`.

Crash points: a run of about 30 blocks, and one with view changes, again for every durable commit of every journal and
every point around it (scenario 20, GO4). Twins: two honest processes of one company, and every way to split the
network into two parts in each of up to four stretches, each long enough for a view (scenarios 31, 32, GO3).

A case is an ordinary scenario with its actions written out, so a failing one is saved and replayed like any other.
Cases are gathered in jobs, which share a beginning; with a record (`simulator.search.record`) a search goes on where it
was stopped.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Final, Literal, NamedTuple, TextIO

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
from simulator.search.record import Done, Plan, Record, code_digest
from simulator.search.tree import Outcome, run_all
from simulator.world import World

Point = Literal["before", "torn", "kept", "after", "sent"]
POINTS: Final[tuple[Point, ...]] = ("before", "torn", "kept", "after", "sent")
"""Before the write, during it (lost or kept), durable but not sent, sent."""
MS: Final = 1_000_000
STRETCH_MS: Final = 900
"""One stretch of a twins run: enough for a timeout of 200 to 400 ms and a new view."""
CALL_EVERY_MS: Final = 300
"""Three calls a stretch: one where it begins, two that meet the views that follow."""
BEGIN_MS: Final = 17
"""The first stretch begins so long after the first call. A block is then under way, with PREPAREs and COMMITs between
the nodes (3 to 20 ms after a call). `CALL_EVERY_MS` divides a stretch, so it is the same where the others begin."""
CONSENSUS: Final = {"t0_ms": 200, "t_cap_ms": 800, "status_ms": 200, "fetch_ms": 100, "hb_ms": 200}
BRANCHING: Final = 2
"""Stretches of a twins run that one job goes through as a tree: at most 256 cases."""
PROGRESS_S: Final = 10.0
KINDS: Final = ("crash-points", "twins", "twins-n7")


@dataclass(slots=True, kw_only=True)
class Yield:
    """What a systematic search gave, with what its record knew already."""

    kind: str
    cases: int = 0
    runs: int = 0
    known: int = 0
    """Runs that the record knew."""
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


class Choice(NamedTuple):
    """A twins case in short: the place of the pair among the leaders, and the number of the split in each stretch."""

    leader: int
    ways: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"twins-{self.leader}-{'-'.join(str(way) for way in self.ways)}"

    def scenario(self) -> s.Scenario:
        """Return the case in full."""
        company, ways = _ways(self.leader)
        return _twins(self.name, 4, (company,), [ways[way] for way in self.ways])


def choices(views: int) -> Iterator[Choice]:
    """Yield n = 4 with one pair of twins: each place of the pair among the leaders, each split in each stretch.

    The two processes of a pair run the same code with the same key, so of two cases that differ only in exchanging them
    everywhere the later one is left out. They differ in two things: the delays drawn for their links, and that their
    company's clients call the first of them.
    """
    for leader in range(4):
        company, ways = _ways(leader)
        mirrors = [_mirror(ways, way, company) for way in range(len(ways))]
        for chosen in product(range(len(ways)), repeat=views):
            if tuple([mirrors[way] for way in chosen]) >= chosen:
                yield Choice(leader, chosen)


def twins(views: int) -> Iterator[s.Scenario]:
    """Yield the cases of `choices` in full."""
    for choice in choices(views):
        yield choice.scenario()


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


def _ways(leader: int) -> tuple[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]]:
    """Return the company that runs twice and the splits of the five processes."""
    companies = company_names(4)
    company = companies[leader]
    return company, splits((company, company + TWIN, *(name for name in companies if name != company)))


def _mirror(ways: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...], way: int, company: str) -> int:
    """Return the number of the split that `way` becomes when the two processes of the pair change places."""
    place = {company: company + TWIN, company + TWIN: company}
    parts = {frozenset(place.get(name, name) for name in part) for part in ways[way]}
    return next(other for other, split in enumerate(ways) if {frozenset(part) for part in split} == parts)


def _twins(
    name: str, n: int, pair: tuple[str, ...], chosen: list[tuple[tuple[str, ...], tuple[str, ...]]]
) -> s.Scenario:
    actions: list[s.Action] = [s.Byzantine(t="0s", node=company, behaviour=TWINS) for company in pair]
    for stretch, (left, right) in enumerate(chosen):
        began = duration_text((1 + BEGIN_MS + stretch * STRETCH_MS) * MS)  # the first call is made after 1 ms
        lasts = duration_text(STRETCH_MS * MS)
        groups = (left, right) if right else (left,)  # one group is cut from nobody
        actions.append(s.Partition(t=began, lasts=lasts, groups=groups, name=f"p{stretch}"))
    return s.Scenario(
        name=name,
        duration=duration_text((1 + BEGIN_MS + len(chosen) * STRETCH_MS) * MS),
        fidelity="abstract",
        at=tuple(actions),
        workload=(s.Workload(kind="kv", rate=f"burst:1,{CALL_EVERY_MS}ms"),),
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


class Job(NamedTuple):
    """Cases that one process runs, with a name that is their own."""

    name: str
    cases: tuple[s.Scenario | Choice, ...]


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
    resume: Path | None = None,
    out: TextIO | None = None,
) -> Yield:
    """Run all cases of a kind, or every `every`-th; print progress and failures to `out` (stderr by default).

    With `first` from 0 to `every` - 1 the shares are the whole. `resume` names a record: what it holds is counted and
    not run again, and what ends is added to it.
    """
    out = sys.stderr if out is None else out
    gathered = Yield(kind=kind)
    wanted = jobs(kind, views, first, most, every)
    gathered.cases = sum(len(job.cases) for job in wanted)
    began = told = time.monotonic()
    record = None
    if resume is not None:
        plan = Plan(kind=kind, views=views, first=first, most=most, every=every, code=code_digest())
        record = Record(resume, plan)
        for done in record.done.values():
            _count(gathered, done)
        gathered.known = gathered.runs
        wanted = [job for job in wanted if job.name not in record.done]
    for job, outcomes in _outcomes(wanted, workers):
        failed = [(job.cases[place], problem) for place, problem, _, _ in outcomes if problem]
        done = Done(
            job=job.name,
            runs=len(outcomes),
            heights=sum(outcome.height for outcome in outcomes),
            events=sum(outcome.events for outcome in outcomes),
            failed=tuple((case.name, problem) for case, problem in failed),
        )
        _count(gathered, done)
        for case, problem in failed:
            _report(case, problem, gathered, save, out)
        if record is not None:
            record.add(done)
        now = time.monotonic()
        if now - told >= PROGRESS_S:
            told, rate = now, (gathered.runs - gathered.known) / (now - began)
            out.write(f"{gathered.runs}/{gathered.cases} cases, {len(gathered.failures)} failed, {rate:.1f}/s\n")
            out.flush()
        if budget_s and now - began > budget_s:
            break
    if record is not None:
        record.close()
    gathered.seconds = time.monotonic() - began
    return gathered


def jobs(kind: str, views: int, first: int, most: int, every: int) -> list[Job]:
    """Return the work of a search; twins that are alike up to the last `BRANCHING` stretches are one job."""
    if kind != "twins":
        found = [Job(case.name, (case,)) for case in cases(kind, views, first, most)]
        return found[first % every :: every]
    groups: dict[str, list[Choice]] = {}
    for number, choice in enumerate(choices(views)):
        if number % every == first % every:
            alike = Choice(choice.leader, choice.ways[:-BRANCHING])
            groups.setdefault(alike.name, []).append(choice)
    return [Job(name, tuple(alike)) for name, alike in groups.items()]


def _count(gathered: Yield, done: Done) -> None:
    gathered.runs += done.runs
    gathered.heights += done.heights
    gathered.events += done.events
    gathered.failures += done.failed


def _report(case: s.Scenario | Choice, problem: str, gathered: Yield, save: Path | None, out: TextIO) -> None:
    """Print a failing case and keep it as a scenario."""
    out.write(f"FAILED {case.name}: {problem}\n")
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        path = save / f"failure-{case.name}.toml"
        path.write_text(describe(_in_full(case)), encoding="utf-8")
        gathered.saved.append(str(path))
        out.write(f"  repeat: hansa sim run {path} --seed 1\n")


def _outcomes(wanted: list[Job], workers: int) -> Iterator[tuple[Job, list[Outcome]]]:
    """Yield each job with how its cases ended, as they end."""
    if workers <= 1:
        yield from map(_run, wanted)
        return
    pool = multiprocessing.get_context("spawn").Pool(workers)
    try:
        yield from pool.imap_unordered(_run, wanted)
    finally:
        pool.terminate()
        pool.join()


def _run(job: Job) -> tuple[Job, list[Outcome]]:
    return job, run_all([(place, _in_full(case)) for place, case in enumerate(job.cases)], 1)


def _in_full(case: s.Scenario | Choice) -> s.Scenario:
    return case.scenario() if isinstance(case, Choice) else case
