"""Cases that share their beginning are the same histories as when each is run alone (M37)."""

from __future__ import annotations

import os

import msgspec
import pytest

from simulator.errors import InvalidScenario
from simulator.scenario import schema as s
from simulator.search import tree
from simulator.search.systematic import twins
from simulator.world import World


def alone(case: s.Scenario) -> tuple[str, int, int]:
    result = World(case, 1).run()
    return str(result.violation or ""), result.height, result.events


def test_m37_a_tree_gives_what_each_case_gives_alone() -> None:
    """Two beginnings, three ways each, whole networks among them: every kind of parting."""
    cases = [(place, case) for place, case in enumerate(twins(3)) if place % 293 < 2][:8]
    found = tree.run_all([case for case in cases if case[1].at[0] == cases[0][1].at[0]], 1)
    assert len(found) >= 2
    for place, problem, height, events in found:
        assert (problem, height, events) == alone(dict(cases)[place])
    assert len({outcome.events for outcome in found}) == len(found), "they are different histories"


def test_a_beginning_that_breaks_fails_all_its_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is broken before the cases part is reported for each, with the same words as alone."""
    monkeypatch.setattr("simulator.world.CONFIRM_EVENTS_MAX", 900)
    whole = s.Partition(t="0s", lasts="2s", groups=(("acme", "bolt", "corex", "delta"),), name="p")
    late = [s.Partition(t="3s", lasts="1s", groups=groups, name="q") for groups in ((("acme",), ("*",)), (("*",),))]
    base = s.Scenario(name="x", duration="4s", workload=(s.Workload(kind="kv", rate="fixed:9"),))
    cases = [msgspec.structs.replace(base, at=(whole, end)) for end in late]
    found = tree.run_all(list(enumerate(cases)), 1)
    assert [(outcome.problem, outcome.height) for outcome in found] == [alone(case)[:2] for case in cases]
    assert all("more than 900 events" in outcome.problem for outcome in found)


def test_a_process_that_dies_is_a_failure_of_its_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [(place, case) for place, case in enumerate(twins(1))][:3]
    parent = os.getpid()
    conclude = World.conclude

    def dies(world: World) -> object:
        if os.getpid() != parent and world.faults._actions[-1] == cases[1][1].at[-1]:
            os._exit(7)
        return conclude(world)

    monkeypatch.setattr(World, "conclude", dies)
    found = tree.run_all(cases, 1)
    assert [bool(outcome.problem) for outcome in found] == [False, True, False]
    assert "ended with status 7" in found[1].problem


def test_an_action_is_exchanged_for_one_of_the_same_time_only() -> None:
    case = next(iter(twins(1)))
    world = World(case, 1)
    world.begin()
    with pytest.raises(InvalidScenario, match="same time and length"):
        world.faults.exchange(1, msgspec.structs.replace(case.at[1], t="5s"))
