"""docs/simulation.md names every action, attacker, checker and workload there is, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from simulator.byzantine import BEHAVIOURS, TWINS
from simulator.checkers import CHECKERS
from simulator.scenario.load import ACTIONS, PLACES, catalogue, parse
from simulator.workloads import KINDS
from simulator.world import World

TEXT = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", [*ACTIONS, *BEHAVIOURS, TWINS, *KINDS, *PLACES, *catalogue(), *(checker.name for checker in CHECKERS)]
)
def test_the_page_names_it(name: str) -> None:
    assert f"`{name}`" in TEXT


def test_the_example_scenario_runs() -> None:
    example = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)[0]
    result = World(parse(example, ["duration=11s"])).run()
    assert result.ok, str(result.violation)
