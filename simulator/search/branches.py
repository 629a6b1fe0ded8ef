"""Which branches of `consensus` simulated runs take (GO6): no unit test counts here, only whole networks.

A branch that no run takes is a rule that no run checks, so what is missing is printed with its place. The runs are
those of the catalogue, the systematic search in a sample, and the swarm. Each share of them lives in a process of its
own, because counting must begin before anything imports `consensus`; this module therefore imports nothing of ours at
its top. Branches that end in `InvariantViolated` or `assert_never` are left out: only a bug of ours reaches them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = "consensus"
UNREACHABLE: Final = (r"^\s*raise InvariantViolated", r"^\s*assert_never\(")
"""Lines that only a bug of ours reaches (style rule 13)."""
SYSTEMATIC: Final = (("crash-points", 461), ("twins", 97))
"""Kinds of systematic search with the step of the sample: about ten runs of each."""
PRUNING: Final = 8_000
"""Bytes of journal after which every fourth run of the swarm begins it anew, as the daemon does after a day (P93)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What the runs took. `missing`: (module, from line, to line) in order; a negative line ends a function."""

    branches: int
    taken: int
    runs: int
    missing: tuple[tuple[str, int, int], ...]

    @property
    def per_mille(self) -> int:
        return 1000 if not self.branches else self.taken * 1000 // self.branches


def available() -> bool:
    """Tell whether the library that counts is installed; it belongs to the test environment only."""
    return find_spec("coverage") is not None


def measure(seeds: range, workers: int = 1) -> Reached:
    """Run everything in `workers` processes and return what they took together. Takes minutes."""
    with tempfile.TemporaryDirectory(prefix="hansa-branches-") as folder:
        with ThreadPoolExecutor(workers) as pool:
            jobs = [pool.submit(_share, folder, number, workers, seeds) for number in range(workers)]
            runs = sum(job.result() for job in jobs)
        return _summed(Path(folder), runs)


def listing(reached: Reached) -> str:
    """Return the figure and every branch that no run took, with its source line."""
    lines = [
        f"{reached.taken} of {reached.branches} branches of {PACKAGE} in {reached.runs} runs: "
        f"{reached.per_mille // 10}.{reached.per_mille % 10} %"
    ]
    for module, first, second in reached.missing:
        source = (ROOT / module).read_text(encoding="utf-8").splitlines()
        goal = "leaves the function" if second < 0 else f"goes to line {second}"
        lines.append(f"  {module}:{first} never {goal}: {source[first - 1].strip()}")
    return "\n".join(lines)


def _share(folder: str, number: int, workers: int, seeds: range) -> int:
    command = [sys.executable, "-m", "simulator.search.branches", folder, str(number), str(workers)]
    done = subprocess.run(  # noqa: S603  # our own module
        [*command, str(seeds.start), str(seeds.stop)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the runs failed: {done.stderr.strip()}")
    return int(done.stdout)


def _counter(data: Path) -> Any:
    import coverage

    counter = coverage.Coverage(
        data_file=str(data), branch=True, source=[str(ROOT / PACKAGE)], config_file=False, data_suffix=None
    )
    for line in UNREACHABLE:
        counter.exclude(line)
    return counter


def _summed(folder: Path, runs: int) -> Reached:
    counter = _counter(folder / "all")
    counter.combine([str(path) for path in sorted(folder.glob("share-*"))])
    report = folder / "report.json"
    counter.json_report(outfile=str(report))
    files = json.loads(report.read_text(encoding="utf-8"))["files"]
    missing: list[tuple[str, int, int]] = []
    branches = taken = 0
    for path, entry in sorted(files.items()):
        module = (
            Path(path).resolve().relative_to(ROOT).as_posix() if Path(path).is_absolute() else Path(path).as_posix()
        )
        branches += entry["summary"]["num_branches"]
        taken += entry["summary"]["covered_branches"]
        missing += [(module, first, second) for first, second in sorted(entry["missing_branches"])]
    return Reached(branches=branches, taken=taken, runs=runs, missing=tuple(missing))


def main(arguments: list[str]) -> int:
    """Run one share: every so manieth run of the whole list. Prints the number of runs."""
    folder, number, workers, first, last = arguments[0], *(int(text) for text in arguments[1:])
    counter = _counter(Path(folder) / f"share-{number}")
    counter.start()
    runs = _run_all(number, workers, range(first, last))
    counter.stop()
    counter.save()
    sys.stdout.write(f"{runs}\n")
    return 0


def _run_all(number: int, workers: int, seeds: range) -> int:
    from consensus import recovery
    from simulator.scenario import load
    from simulator.scenario.load import catalogue
    from simulator.search.swarm import swarm
    from simulator.search.systematic import cases
    from simulator.world import World

    wanted: list[tuple[Any, int]] = []
    for place, name in enumerate(catalogue()):
        wanted.append((load(name), 1))
        if place % 2:
            wanted.append((load(name, ["consensus.window=3"]), 3))
    for kind, step in SYSTEMATIC:
        wanted += [(scenario, 1) for scenario in islice(cases(kind, 2, 0, 0), 0, None, step)]
    mine = wanted[number::workers]
    for scenario, seed in mine:
        World(scenario, seed).run()
    drawn = seeds[number::workers]
    usual = recovery.ANCHOR_BYTES
    for seed in drawn:
        setattr(recovery, "ANCHOR_BYTES", PRUNING if seed % 4 == 0 else usual)  # noqa: B010  # it is a Final
        World(swarm(seed), seed).run()
    return len(mine) + len(drawn)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
