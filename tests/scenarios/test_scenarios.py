"""Every scenario of the catalogue holds: safety always, liveness after healing, and what it expects.

The number in a name is that of the consensus design. Each runs with one seed here; `hansa sim explore NAME` runs
more, and the mutants run many of them with others.
"""

from __future__ import annotations

import pytest

from simulator.scenario import load
from simulator.scenario.draw import TARGETS
from simulator.scenario.load import catalogue
from simulator.world import World

CASES = [(name, 1 + position % 3) for position, name in enumerate(catalogue())]


@pytest.mark.parametrize(("name", "seed"), CASES, ids=[name for name, _ in CASES])
def test_scenario(name: str, seed: int) -> None:
    scenario = load(name)
    assert scenario.name == name
    result = World(scenario, seed).run()
    assert result.ok, f"{result.violation}; repeat: hansa sim run {name} --seed {seed}"
    assert result.committed > 0


@pytest.mark.parametrize("nodes", [5, 6, 7, 10])
@pytest.mark.parametrize("name", ["02-isolate-primary", "14-commits-lost", "22-power-cut", "33-equivocate"])
def test_scenarios_hold_where_n_is_not_3f_plus_1(name: str, nodes: int) -> None:
    """B4: a quorum of 2f+1 is wrong there."""
    result = World(load(name, [f"network.nodes={nodes}", "duration=3s", 'expect.view_changes=""']), nodes).run()
    assert result.ok, str(result.violation)
    assert result.n == nodes


@pytest.mark.parametrize("kind", TARGETS)
def test_scenario_13_one_kind_of_message_is_dropped(kind: str) -> None:
    at = f'at=[{{ t = "800ms", do = "drop_type", message = "{kind}", for = "2s" }}, ' + (
        '{ t = "1s", do = "pause", node = "primary", for = "1s" }]'
    )
    result = World(load("02-isolate-primary", [at, 'expect.view_changes=""', "duration=4s"]), 3).run()
    assert result.ok, str(result.violation)
