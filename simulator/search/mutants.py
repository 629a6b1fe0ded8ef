"""Mutants judge the simulator (M39, SIM15): each deliberate fault of the protocol must be noticed by some checker.

The list is data, `mutants.toml`. Every mutant lives in a process of its own (`mutated`), so nothing of it is left
behind; several run at once. A survivor is a finding: either the scenarios and checkers are too weak, or the fault is
none, which then is proven and noted in docs/simulation.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from simulator.compiled import sources_only
from simulator.errors import InvalidScenario
from simulator.search.mutated import PatchFailed, entries, parse_run, patched

PATIENCE_S: Final = 90.0
"""Time for all runs of one mutant; most die in the first run, within a second."""
BEGIN_MARK: Final = "<!-- mutants: written by `hansa sim mutants --write docs/simulation.md` -->"
END_MARK: Final = "<!-- end of mutants -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of one mutant. `scenario`, `seed` and `checker` say who killed it; empty for a survivor."""

    number: str
    breaks: str
    killed: bool
    scenario: str
    seed: int
    checker: str
    detail: str
    tried: int
    seconds: float


@dataclass(slots=True, kw_only=True)
class Toll:
    """All fates, in the order of the list."""

    fates: list[Fate] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def killed(self) -> int:
        return sum(fate.killed for fate in self.fates)

    @property
    def survivors(self) -> list[str]:
        return [fate.number for fate in self.fates if not fate.killed]

    @property
    def ok(self) -> bool:
        return not self.survivors


def numbers() -> tuple[str, ...]:
    """Return the numbers of all mutants, in order."""
    return tuple(entry["number"] for entry in entries())


def chosen(only: Sequence[str]) -> list[dict[str, Any]]:
    """Return the entries named by `only`, or all of them."""
    known = {entry["number"]: entry for entry in entries()}
    for number in only:
        if number not in known:
            raise InvalidScenario("--only", f"{number!r} is not a mutant; there are {', '.join(known)}")
    return [known[number] for number in only or known]


def misfits() -> list[str]:
    """Return the patches that no longer fit the code, in words: the code has moved on and the list must follow."""
    problems: list[str] = []
    for entry in entries():
        sources: dict[str, str] = {}
        for patch in (*entry.get("lens", ()), *entry["patch"]):
            module = patch["module"]
            try:
                source = sources[module] if module in sources else _source(module)
                sources[module] = patched(source, patch)
                compile(sources[module], module, "exec")
            except (PatchFailed, SyntaxError) as error:
                problems.append(f"{entry['number']}: {error}")
        for run in entry["runs"]:
            parse_run(run)
    return problems


def hunt(
    only: Sequence[str] = (),
    *,
    workers: int = 1,
    patience_s: float = PATIENCE_S,
    tell: Callable[[Fate], None] | None = None,
) -> Toll:
    """Run the mutants; `tell` hears of each fate as soon as it is known."""
    sources_only("mutants")
    wanted = chosen(only)
    began = time.monotonic()
    fates: dict[str, Fate] = {}
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(fate_of, entry, patience_s) for entry in wanted]
        for job in as_completed(jobs):
            fate = job.result()
            fates[fate.number] = fate
            if tell is not None:
                tell(fate)
    return Toll(fates=[fates[entry["number"]] for entry in wanted], seconds=time.monotonic() - began)


def fate_of(entry: dict[str, Any], patience_s: float = PATIENCE_S, lens_only: bool = False) -> Fate:
    """Run one mutant in its own process. A process that fails or never ends is not a kill, but is told as it is."""
    number = entry["number"]
    mode = "lens" if lens_only else "whole"
    command = [sys.executable, "-m", "simulator.search.mutated", number, mode, str(patience_s)]
    root = Path(__file__).parents[2]
    outcome: dict[str, Any] = {"killed": False, "tried": 0, "seconds": patience_s}
    try:
        done = subprocess.run(  # noqa: S603  # our own module
            command, capture_output=True, text=True, cwd=root, check=False, timeout=3 * patience_s
        )
    except subprocess.TimeoutExpired:
        outcome["detail"] = f"a run did not end within {3 * patience_s:.0f} s"
    else:
        if done.returncode:
            outcome["detail"] = f"its process failed: {(done.stderr.strip().splitlines() or ['no word'])[-1]}"
        else:
            outcome = json.loads(done.stdout)
    return Fate(
        number=number,
        breaks=entry["breaks"],
        killed=outcome["killed"],
        scenario=outcome.get("scenario", ""),
        seed=outcome.get("seed", 0),
        checker=outcome.get("checker", ""),
        detail=outcome.get("detail", ""),
        tried=outcome["tried"],
        seconds=outcome["seconds"],
    )


def line(fate: Fate) -> str:
    """Return one line of progress."""
    if fate.killed:
        return f"{fate.number} killed by {fate.checker} in {fate.scenario}, seed {fate.seed} ({fate.seconds:.1f} s)"
    return f"{fate.number} SURVIVES {fate.tried} runs: {fate.breaks}{f' ({fate.detail})' if fate.detail else ''}"


def table(toll: Toll) -> str:
    """Return the fates as a Markdown table, without times, so that equal code gives equal text."""
    lines = [
        f"{len(toll.fates)} mutants, {toll.killed} killed.",
        "",
        "| Mutant | What it breaks | Killed by | Seed | Checker |",
        "|---|---|---|---|---|",
    ]
    for fate in toll.fates:
        by, seed = (f"`{fate.scenario}`", str(fate.seed)) if fate.killed else ("survives", "")
        checker = f"`{fate.checker}`" if fate.killed else ""
        lines.append(f"| {fate.number} | {fate.breaks} | {by} | {seed} | {checker} |")
    return "\n".join(lines)


def write(toll: Toll, page: Path) -> None:
    """Put the table between the two marks of a page."""
    text = page.read_text(encoding="utf-8")
    before, mark, rest = text.partition(BEGIN_MARK)
    _, end, after = rest.partition(END_MARK)
    if not mark or not end:
        raise InvalidScenario(str(page), f"has no lines {BEGIN_MARK!r} and {END_MARK!r}")
    page.write_text(f"{before}{BEGIN_MARK}\n\n{table(toll)}\n\n{END_MARK}{after}", encoding="utf-8")


def _source(module: str) -> str:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise PatchFailed(f"there is no module {module}")
    return Path(spec.origin).read_text(encoding="utf-8")
