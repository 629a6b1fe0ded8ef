"""Systematic search (M37, GO3, GO4): how the cases are made, and a sample of them. `hansa sim systematic` runs all."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from simulator.errors import InvalidScenario
from simulator.scenario import load
from simulator.scenario import schema as s
from simulator.search import systematic
from simulator.world import World


def test_scenario_20_every_commit_of_every_journal_and_every_point_is_a_case() -> None:
    cases = list(systematic.crash_points())
    crashes = [action for case in cases for action in case.at if isinstance(action, s.Crash)]
    assert len(crashes) == len(cases) > 3000
    assert {crash.point for crash in crashes} == set(systematic.POINTS)
    assert {crash.node for crash in crashes} == {"acme", "bolt", "corex", "delta"}
    acme = sorted({crash.commit for crash in crashes if crash.node == "acme"})
    assert acme == list(range(1, acme[-1] + 1))
    assert len({case.name for case in cases}) == len(cases)


def test_scenario_20_a_sample_of_the_crash_points_holds() -> None:
    gathered = systematic.search("crash-points", every=331, out=io.StringIO())
    assert gathered.ok, gathered.failures
    assert gathered.runs == gathered.cases >= 13


@pytest.mark.parametrize(("point", "sent"), [("before", False), ("torn", False), ("after", False), ("sent", True)])
def test_a_crash_point_is_what_it_says(point: str, sent: bool) -> None:
    """The second commit of the primary holds its first proposal: it reaches others only when the process ends after the send."""
    plain = ["duration=300ms", "consensus.rotate_every=0", "expect.liveness.after=never", "expect.view_changes="]
    primary = World(load("clean", plain)).resolve("primary")
    at = f'at=[{{ t = "0s", do = "crash", node = "{primary}", point = "{point}", commit = 2 }}]'
    world = World(load("clean", [*plain, at]))
    result = world.run()
    one = next(daemon for daemon in world.daemons if daemon.name == primary)
    assert result.ok and not one.up
    assert one.journal.commits == (1 if point in ("before", "torn") else 2)
    others = [daemon for daemon in world.daemons if daemon.up and daemon.replica_state is not None]
    heard = 0
    for daemon in others:
        state = daemon.replica_state
        assert state is not None
        heard += any(slot.prepares.held >> one.index & 1 for slot in state.slots.values()) or state.height > 0
    assert bool(heard) is sent


def test_scenario_31_splits_are_complete_and_each_there_once() -> None:
    ways = systematic.splits(("a", "b", "c"))
    assert ways[0] == (("a", "b", "c"), ())
    assert sorted(sorted(left) for left, _ in ways) == [["a"], ["a", "b"], ["a", "b", "c"], ["a", "c"]]


def test_scenario_31_every_company_is_the_pair_once_and_mirrors_are_left_out() -> None:
    cases = list(systematic.twins(1))
    pairs = {action.node for case in cases for action in case.at if isinstance(action, s.Byzantine)}
    assert pairs == {"acme", "bolt", "corex", "delta"}
    assert len(cases) == 4 * (8 + 4), "8 splits keep the pair together, of 8 that part it 4 are mirrors"
    assert len(list(systematic.twins(2))) > 8 * len(cases)


def test_scenario_31_a_sample_of_the_twins_holds() -> None:
    gathered = systematic.search("twins", views=2, every=53, out=io.StringIO())
    assert gathered.ok, gathered.failures
    assert gathered.runs >= 12


def test_scenario_32_drawn_twins_hold() -> None:
    gathered = systematic.search("twins-n7", most=3, out=io.StringIO())
    assert gathered.ok, gathered.failures


def test_m38_a_failing_case_is_saved_and_replays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def cases(*_: object) -> list[s.Scenario]:
        return [s.Scenario(name="stuck", duration="1s", expect=s.Expect(height=">= 5"))]

    monkeypatch.setattr(systematic, "cases", cases)
    out = io.StringIO()
    gathered = systematic.search("twins", save=tmp_path, out=out)
    assert [name for name, _ in gathered.failures] == ["stuck"]
    assert f"repeat: hansa sim run {gathered.saved[0]} --seed 1" in out.getvalue()
    assert not World(load(gathered.saved[0]), 1).run().ok


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InvalidScenario, match="is none of crash-points, twins, twins-n7"):
        systematic.search("everything")
