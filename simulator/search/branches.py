"""Which branches of `consensus` simulated runs take (GO6): no unit test counts here, only whole networks.

A branch that no run takes is a rule that no run checks, so what is missing is printed with its place. The runs are
those of the catalogue, the systematic search in a sample, and the swarm. Each share of them lives in a process of its
own, because counting must begin before anything imports `consensus`; this module therefore imports nothing of ours at
its top. Branches that end in `InvariantViolated` or `assert_never` are left out: only a bug of ours reaches them.
"""

from __future__ import annotations

import ast
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


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the list: a scenario of the catalogue by name, or what a search made.

    `reaches` names what it is there for: module and a part of the condition that comes true; `in NAME` before it says
    in which function, `else` that it comes out false. `prunes`: the journal begins anew after `PRUNING`
    bytes, and few proposals are kept.
    """

    scenario: Any
    seed: int = 1
    overrides: tuple[str, ...] = ()
    reaches: tuple[str, ...] = ()
    prunes: bool = False


NARROW: Final = (
    Run(
        "12-votes-told-by-others",
        reaches=("normal: tally.asked >> message.sender & 1", "normal: else tally.asked >> message.sender & 1"),
    ),
    Run("23-crash-after-entry", reaches=("recovery: certificate.vote.view != state.view or slot_or_none",)),
    Run("23-unheard-while-changing", reaches=("viewchange: else state.mode is Mode.CHANGING and state.cleared",)),
    Run("25-journal-halted", overrides=("duration=3s",), reaches=("recovery: first.mode not in",)),
    Run(
        "29-restored-blocks-barrier",
        overrides=("duration=4s",),
        reaches=("recovery: ahead and coming is not None", "recovery: state.ahead"),
    ),
    Run(
        "29-restored-blocks-unknown",
        2,
        ("duration=4s",),
        reaches=("recovery: picture.epoch > (config.epoch",),
    ),
    Run("29-restored-journal", overrides=("duration=4s",), reaches=("recovery: state.silenced",)),
    Run("29-restored-journal-barrier", overrides=("duration=4s",), reaches=("recovery: older",)),
    Run("29-restored-opener", reaches=("amnesia: in _words: isinstance(message, NewView)",)),
    Run(
        "29-restored-preparer", overrides=("duration=3s",), reaches=("amnesia: signed and _forgot_vote(state, PREPARE",)
    ),
    Run(
        "30-too-many-histories",
        2,
        reaches=(
            "viewchange: else recent is None or recent.reference.block_id == block_id",
            "viewchange: recent.certificate.vote.view < message.view",
        ),
    ),
    Run(
        "30-too-many-openings",
        2,
        reaches=("viewchange: in try_open: isinstance(outcome", "viewchange: in new_view_verified: isinstance(outcome"),
    ),
    Run(
        "30-too-many-bases",
        2,
        reaches=("commit: in learn: recent is not None and recent.reference.block_id != block_id",),
    ),
    Run("30-too-many-twins", reaches=("commit: in learn: known.vote.block_id != block_id",)),
    Run(
        "30-twin-prepared-elsewhere",
        3,
        ("duration=4s",),
        ("normal: not slot.prepares.verified(block_id) >> primary_of",),
    ),
    Run("33-other-half-lacks-bodies", overrides=("duration=3s",), reaches=("bodies: else slot.block_id == block_id",)),
    Run(
        "36-old-opening",
        overrides=("duration=5s",),
        reaches=("viewchange: else recent.certificate.vote.view < message.view",),
    ),
    Run(
        "38-prepared-without-block",
        overrides=("duration=3s",),
        reaches=("repair: in _send_slot: else held is not None",),
    ),
    Run("47-late-entry", overrides=("duration=3s",), reaches=("viewchange: message.vote.height <= state.height",)),
    Run("52-others-lack-it", overrides=("duration=4s",), reaches=("repair: in _send_origin: else held is not None",)),
    Run("55-rush", reaches=("propose: work.count >= BUSY_WAIT_TXS",)),
    Run(
        "57-deviate",
        overrides=("duration=6s",),
        reaches=(
            "commit: in start_sync: height <= state.tip.height",
            "evidence: valid & own != own",
            "evidence: first.block_id == second.block_id:",
            "later: kind == PRE_PREPARE and",
            "later: later.view > view",
            "normal: fresh and header.last_cert_height < last_certified",
            "normal: prepared_certificate(certificate",
            "normal: certificate.primary != primary_of(state, vote.height):",
            "normal: in on_prepared: problem",
            "signatures: account.in_check and",
            "normal: in prepared_verified: header is None or not bound",
            "validate: not int.from_bytes(certificate.signers",
        ),
    ),
    Run(
        "57-deviate-epochs",
        overrides=("duration=5s",),
        reaches=("commit: epoch < members.epoch and", "validate: base < members.first_height - 1"),
    ),
    Run("57-deviate-turns", reaches=("validate: not header.height - rules.window",)),
    Run(
        "57-sweep",
        2,
        reaches=(
            "validate: header.size_bytes > rules.max_block_bytes",
            "viewchange: in on_new_view: not 0 < message.view < NUMBER_MAX",
        ),
    ),
    Run(
        "61-slow-clock-leads",
        overrides=("duration=5s",),
        reaches=("propose: in propose: step.now < state.pace.hold_until_ns",),
    ),
    Run("71-guest-claims", overrides=("duration=1s",), reaches=("repair: else number(message.committed_height)",)),
    Run("71-new-member", reaches=("recovery: state.tip.height < state.height or (at",), prunes=True),
    Run("74-snapshot", overrides=("duration=5s",), reaches=("recovery: event.tip.height > committed",)),
    Run("13-new-view-lost", reaches=("state: len(same_height) >= KEPT_LEAST",), prunes=True),
    Run("82-slow-store", 4, reaches=("recovery: one is None or one.pre_prepare is None",), prunes=True),
    Run("83-event-order", overrides=("duration=3s",), reaches=("replica: job is None",)),
    Run("83-late-and-overtaken", 3, reaches=("commit: state.build is not None and state.build.height <= height",)),
    Run("83-late-blocks", overrides=("duration=4s",), reaches=("propose: build is None or build.request",)),
    Run("84-silent-link", reaches=("viewchange: state.suspecting and state.silent_primary",)),
    Run("90-contracts-far-off", reaches=("propose: contracts > state.tip.height + AWAITED_MAX",)),
    Run(
        "91-early-clock",
        reaches=(
            "timers: else state.silent_primary or kind == WORK",
            "propose: state.executed >= state.tip.height and (",
        ),
    ),
)
"""Runs for branches that many others pass by: a rule for a rare moment, with the scenario made for it."""
NARROW_ONLY: Final = "narrow"
"""In the place of names: only the runs of `NARROW`."""


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


def measure(seeds: range, workers: int = 1, names: tuple[str, ...] = ()) -> Reached:
    """Run everything in `workers` processes and return what they took together. Takes minutes.

    With `names`, only those scenarios of the catalogue are run, each once with each seed.
    """
    from simulator.compiled import sources_only  # only here: no share of the runs may find consensus imported

    sources_only("branches")
    with tempfile.TemporaryDirectory(prefix="hansa-branches-") as folder:
        with ThreadPoolExecutor(workers) as pool:
            jobs = [pool.submit(_share, folder, number, workers, seeds, names) for number in range(workers)]
            runs = sum(job.result() for job in jobs)
        return _summed(Path(folder), runs)


def unreached() -> list[str]:
    """Run `NARROW`, in less than a minute, and return what it is there for and does not reach."""
    with tempfile.TemporaryDirectory(prefix="hansa-branches-") as folder:
        _share(folder, 0, 1, range(0), (NARROW_ONLY,))
        counter = _counter(Path(folder) / "all")
        counter.combine([str(path) for path in sorted(Path(folder).glob("share-*"))])
        taken = counter.get_data()
        return [goal for run in NARROW for goal in run.reaches if not _met(goal, taken)]


def _met(goal: str, taken: Any) -> bool:
    """Tell whether a condition came out as the goal says."""
    path, line, body, other = place_of(goal)
    arcs = taken.arcs(str(path)) or ()
    return any(first == line and (second != body if other else second == body) for first, second in arcs)


def place_of(goal: str) -> tuple[Path, int, int, bool]:
    """Return module, line of the condition, first line of what follows if it is true, and whether it is to be false.

    A goal that fits no single condition is an error: the code has moved on and the list must follow.
    """
    module, _, words = goal.partition(": ")
    inside = ""
    if words.startswith("in "):
        inside, _, words = words.removeprefix("in ").partition(": ")
    other = words.startswith("else ")
    words = words.removeprefix("else ")
    path = ROOT / PACKAGE / f"{module}.py"
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    scopes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    found = {
        (node.lineno, node.body[0].lineno)
        for scope in scopes
        if inside in ("", scope.name)
        for node in ast.walk(scope)
        if isinstance(node, ast.If) and f"if {words}" in lines[node.lineno - 1]
    }
    if len(found) != 1:
        raise ValueError(f"{goal!r} fits {len(found)} conditions of {path.name}, one is needed")
    ((line, body),) = found
    return path, line, body, other


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


def _share(folder: str, number: int, workers: int, seeds: range, names: tuple[str, ...]) -> int:
    command = [sys.executable, "-m", "simulator.search.branches", folder, str(number), str(workers)]
    done = subprocess.run(  # noqa: S603  # our own module
        [*command, str(seeds.start), str(seeds.stop), *names], capture_output=True, text=True, cwd=ROOT, check=False
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
    folder, number, workers, first, last = arguments[0], *(int(text) for text in arguments[1:5])
    counter = _counter(Path(folder) / f"share-{number}")
    counter.start()
    runs = _run_all(number, workers, range(first, last), arguments[5:])
    counter.stop()
    counter.save()
    sys.stdout.write(f"{runs}\n")
    return 0


def _run_all(number: int, workers: int, seeds: range, names: list[str]) -> int:
    from consensus import recovery, state
    from simulator.scenario import load
    from simulator.world import World

    usual, most = recovery.ANCHOR_BYTES, state.KEPT_PROPOSALS
    mine = _wanted(seeds, names)[number::workers]
    for run in mine:
        scenario = load(run.scenario, list(run.overrides)) if isinstance(run.scenario, str) else run.scenario
        setattr(recovery, "ANCHOR_BYTES", PRUNING if run.prunes else usual)  # noqa: B010  # it is a Final
        state.KEPT_PROPOSALS = state.KEPT_LEAST if run.prunes else most
        World(scenario, run.seed).run()
    setattr(recovery, "ANCHOR_BYTES", usual)  # noqa: B010
    state.KEPT_PROPOSALS = most
    return len(mine)


def _wanted(seeds: range, names: list[str]) -> list[Run]:
    from simulator.scenario.load import catalogue
    from simulator.search.swarm import swarm
    from simulator.search.systematic import cases

    if names == [NARROW_ONLY]:
        return list(NARROW)
    if names:
        return [Run(name, seed) for name in names for seed in seeds]
    wanted: list[Run] = list(NARROW)
    for place, name in enumerate(catalogue()):
        wanted.append(Run(name))
        if place % 2:
            wanted.append(Run(name, 3, ("consensus.window=3",)))
    for kind, step in SYSTEMATIC:
        wanted += [Run(scenario) for scenario in islice(cases(kind, 2, 0, 0), 0, None, step)]
    return wanted + [Run(swarm(seed), seed, prunes=seed % 4 == 0) for seed in seeds]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
