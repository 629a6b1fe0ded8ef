"""Whole runs: determinism, fidelity, stability, liveness bounds, twins, exploration and shrinking."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

import consensus.recovery
from ledger.certificate import quorum
from node.core import effects as ne
from node.core import events as nv
from node.core.mempool import Mempool
from simulator.checkers import Checker
from simulator.daemon import Daemon
from simulator.errors import InvalidScenario
from simulator.report.folder import verify, write
from simulator.report.text import chain, summary
from simulator.scenario import load
from simulator.scenario.load import parse
from simulator.search.abstract import MUTANTS, explore_abstract
from simulator.search.explore import explore, outcome_of, parse_seeds, run_seed
from simulator.search.shrink import minimise
from simulator.search.swarm import swarm
from simulator.world import World

ROOT = Path(__file__).parents[2]
SHORT = ["duration=1s"]
KV = 'workload=[{ kind = "kv", rate = "fixed:10" }]'


@pytest.mark.parametrize("seed", [0, 3, 10, 11])
def test_m3_the_same_seed_gives_the_same_trace(seed: int) -> None:
    assert World(swarm(seed), seed).run().trace == World(swarm(seed), seed).run().trace


def test_m20_normal_and_full_commit_the_same_blocks() -> None:
    normal = World(load("clean", SHORT)).run()
    full = World(load("clean", [*SHORT, "fidelity=full"])).run()
    assert full.ok and normal.ok
    # Block ids differ, because a header names the signatures of the last certificate.
    assert [(b[0], b[1], b[3], b[4]) for b in full.blocks] == [(b[0], b[1], b[3], b[4]) for b in normal.blocks]
    assert full.height > 10


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 5, 6, 7, 10, 13])
def test_consensus_works_for_every_size_and_counts_its_messages(nodes: int) -> None:
    """Scenario 01: 2n(n-1) consensus messages a block."""
    result = World(load("clean", [*SHORT, f"network.nodes={nodes}", "fidelity=abstract", KV])).run()
    assert result.ok, str(result.violation)
    assert result.q == quorum(nodes)
    if nodes > 3:
        plain = World(
            load("clean", [*SHORT, f"network.nodes={nodes}", "fidelity=abstract", KV, "expect.liveness.after=never"])
        ).run()
        votes = sum(plain.by_type[kind] for kind in ("PrePrepare", "Prepare", "Commit"))
        assert abs(votes / plain.height - 2 * nodes * (nodes - 1)) < 0.15 * votes / plain.height


def test_m33_an_idle_network_is_quiet() -> None:
    scenario = parse('name = "idle"\nduration = "10m"\n[expect]\nview_changes = "= 0"\nheight = "= 0"\n')
    result = World(scenario).run()
    assert result.ok, str(result.violation)
    assert set(result.by_type) == {"Heartbeat", "Status"}
    assert result.deliveries < 10 * 60 * 12 * 2


def test_m32_without_a_quorum_nothing_commits_and_the_run_says_so() -> None:
    at = 'at=[{ t = "200ms", do = "crash", node = "acme" }, { t = "200ms", do = "crash", node = "bolt" }]'
    stalled = World(load("clean", ["duration=8s", at, "expect.view_changes=", "expect.liveness.after=never"])).run()
    assert stalled.ok
    assert stalled.height < 8
    assert stalled.pending > 0
    healed = World(load("clean", ["duration=8s", at, "expect.view_changes="])).run()
    assert healed.ok, str(healed.violation)
    assert healed.pending == 0


def test_m30_twins_are_two_processes_with_one_identity() -> None:
    world = World(load("30-twins"))
    assert [daemon.name for daemon in world.daemons if daemon.index == world.daemons[-1].index] == ["acme", "acme-twin"]
    assert world.run().ok


def test_i22_a_core_that_raises_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def submit(self: Mempool, token: int, envelopes: tuple[bytes, ...]) -> list[ne.NodeEffect]:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Mempool, "submit", submit)
    result = World(load("clean", SHORT)).run()
    assert result.violation is not None
    assert result.violation.checker == "never_raises"
    assert "ZeroDivisionError: planted" in str(result.violation)


def test_m31_checkers_see_every_step() -> None:
    class Count(Checker):
        name = "count"
        seen = 0

        def stepped(self, daemon: Daemon, event: nv.NodeEvent, effects: list[ne.NodeEffect]) -> None:
            Count.seen += 1

    World(load("clean", SHORT), listeners=(Count,)).run()
    assert Count.seen > 500


def test_m31_a_checker_that_watches_hears_of_every_step_that_concerns_it() -> None:
    """What a checker names in `watches` is all it hears of, and it hears of all of that."""

    class All(Checker):
        name = "all"
        seen: ClassVar[list[tuple[type, int]]] = []

        def stepped(self, daemon: Daemon, event: nv.NodeEvent, effects: list[ne.NodeEffect]) -> None:
            concerned = isinstance(event, nv.TimerElapsed) or any(isinstance(one, ne.StoreBlock) for one in effects)
            if concerned:
                self.seen.append((type(event), len(effects)))

    class Some(All):
        watches = (nv.TimerElapsed, ne.StoreBlock)
        seen: ClassVar[list[tuple[type, int]]] = []

        def stepped(self, daemon: Daemon, event: nv.NodeEvent, effects: list[ne.NodeEffect]) -> None:
            self.seen.append((type(event), len(effects)))

    World(load("clean", SHORT), listeners=(All, Some)).run()
    assert Some.seen == All.seen
    assert {kind for kind, _ in Some.seen} > {nv.TimerElapsed}


SWARM = [range(first, first + 20) for first in range(0, 300, 20)]
FAILED_ONCE = [
    (450, 478, 1328, 1823, 1972, 2031, 2444, 2467, 2580, 2593),
    (3464, 3609, 4422, 5269, 6428, 6497, 6589, 6610, 7176, 7182),
    (7335, 7430, 8857, 9658, 9685, 9946, 10090, 10308, 10330, 11522),
    (11542, 11579, 11662, 11767, 11801, 12218, 12287, 12418, 12511, 13113, 13902, 15923, 6911),
    (23527, 29021, 42844, 48720),
]
"""Each found a fault of the protocol, of an attacker or of a checker, as 60, 248 and 249 did (docs/simulation.md)."""


@pytest.mark.parametrize("seeds", [*SWARM, *FAILED_ONCE], ids=str)
def test_scenario_86_swarm(seeds: Sequence[int]) -> None:
    for seed in seeds:
        outcome = run_seed("", seed)
        assert outcome.verdict == "ok", f"{outcome.violation}; repeat: python -m simulator run --swarm --seed {seed}"


def test_p93_the_swarm_holds_with_a_journal_that_is_pruned_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consensus.recovery, "ANCHOR_BYTES", 8_000)
    for seed in range(100, 112):
        outcome = run_seed("", seed)
        assert outcome.verdict == "ok", f"seed {seed}: {outcome.violation}"


def test_m38_a_failure_prints_its_command_and_is_shrunk_and_saved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Mempool, "forward", lambda self, now: [])
    source = tmp_path / "noisy.toml"
    source.write_text(
        (ROOT / "simulator/scenario/catalogue/03-isolate-backup.toml")
        .read_text()
        .replace("at = [", 'at = [\n  { t = "1s", do = "clock_jump", node = "acme", by = "1s", for = "1s" },')
        .replace('name = "03-isolate-backup"', 'name = "noisy"')
    )
    out = io.StringIO()
    findings = explore(str(source), range(1, 3), out=out, save=tmp_path, shrink_s=8, fail_fast=True)
    assert not findings.ok
    assert "FAILED seed 1" in out.getvalue()
    assert f"repeat: python -m simulator run {source} --seed 1" in out.getvalue()
    saved = load(findings.saved[0])
    assert len(saved.at) == 1
    violation = World(saved).run().violation
    assert violation is not None
    assert violation.checker == "liveness"


def test_m38_delta_debugging_keeps_what_is_needed() -> None:
    needed = {3, 17}
    assert minimise(list(range(20)), lambda items: needed <= set(items)) == [3, 17]
    assert minimise([1], lambda items: False) == [1]


def test_m36_workers_find_the_same(tmp_path: Path) -> None:
    alone = explore("clean", parse_seeds("1..4"), overrides=["duration=300ms"], shrink_s=0, out=io.StringIO())
    both = explore("clean", parse_seeds("1..4"), overrides=["duration=300ms"], shrink_s=0, workers=2, out=io.StringIO())
    assert alone.ok and both.ok
    assert (alone.runs, alone.heights, alone.events) == (both.runs, both.heights, both.events)


def test_m42_the_summary_names_verdict_fidelity_trace_and_command() -> None:
    result = World(load("clean", SHORT)).run()
    text = summary(result, "python -m simulator run clean --seed 1")
    for part in ("seed 1", "f=1 q=3", "fidelity normal", "OK at height", "cost table", result.trace[:12]):
        assert part in text
    assert chain(result, 2).count("\n") == 2
    assert outcome_of(result).verdict == "ok"


def test_p61_the_rules_of_the_view_change_hold_in_the_abstract() -> None:
    assert explore_abstract(0, 8_000) == (-1, "")
    assert explore_abstract(0, 2_000, "MU59") == (-1, ""), "the link rule is about liveness only"


@pytest.mark.parametrize("mutant", [name for name in MUTANTS if name not in ("MU59", "MU40", "MU49")])
def test_sim15_abstract_mutants_die_early(mutant: str) -> None:
    seed, problem = explore_abstract(0, 20_000, mutant)
    assert seed >= 0, problem


@pytest.mark.parametrize(("mutant", "first"), [("MU40", 20_000), ("MU49", 165_500)])
def test_sim15_abstract_mutants_that_need_many_runs(mutant: str, first: int) -> None:
    """They die within 200,000 runs; the test starts near the run that kills them."""
    seed, problem = explore_abstract(first, 200, mutant)
    assert seed >= 0, problem


def test_a_run_with_recheck_executes_on_every_node() -> None:
    shared = World(load("clean", [*SHORT, "exec_recheck=0"]))
    single = World(load("clean", [*SHORT, "exec_recheck=1"]))
    first, second = shared.run(), single.run()
    assert first.ok and second.ok
    assert msgspec.structs.replace(first.scenario, exec_recheck=1) == second.scenario
    assert first.blocks == second.blocks


def test_m41_m44_the_folder_of_a_run_can_be_verified(tmp_path: Path) -> None:
    folder = write(World(load("clean", SHORT)).run(), tmp_path)
    names = ["blocks.jsonl", "manifest.json", "metrics.csv", "summary.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert verify(folder) == ""
    summary_file = folder / "summary.json"
    summary_file.write_text(summary_file.read_text().replace('"height": ', '"height": 1'))
    assert verify(folder) == "the summary differs in height"
    with pytest.raises(InvalidScenario, match="is not the folder of a run"):
        verify(tmp_path)


def test_p83_a_node_whose_state_diverges_halts_and_says_why() -> None:
    world = World(load("63-divergence"))
    result = world.run()
    assert result.ok, str(result.violation)
    halts = [daemon.halt for daemon in world.daemons if daemon.halt is not None]
    assert [halt.reason.value for halt in halts] == ["state_divergence"]
