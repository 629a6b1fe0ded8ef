"""Every scenario of the catalogue holds: safety always, liveness after healing, and what it expects.

The number in a name is that of the consensus design. Each runs with one seed here; `hansa sim explore NAME` runs
more, and the mutants run many of them with others.
"""

from __future__ import annotations

import pytest

from ledger.evidence import KINDS, fault_key
from simulator.scenario import load
from simulator.scenario.draw import TARGETS
from simulator.scenario.load import catalogue
from simulator.world import World

CASES = [(name, 1 + position % 3) for position, name in enumerate(catalogue())]
WIDE = [(name, 2 + 2 * (position % 2)) for position, name in enumerate(catalogue())]


@pytest.mark.parametrize(("name", "seed"), CASES, ids=[name for name, _ in CASES])
def test_scenario(name: str, seed: int) -> None:
    scenario = load(name)
    assert scenario.name == name
    result = World(scenario, seed).run()
    assert result.ok, f"{result.violation}; repeat: hansa sim run {name} --seed {seed}"
    assert result.committed > 0 or scenario.allow_excess_faults  # with more than f liars nothing is promised


@pytest.mark.parametrize(("name", "window"), WIDE, ids=[f"{name}-{window}" for name, window in WIDE])
def test_scenario_with_several_blocks_in_flight(name: str, window: int) -> None:
    """Slice 2: what holds with one block in flight holds with two and four; every other scenario runs with each."""
    override, seed = f"consensus.window={window}", window
    scenario = load(name, [override])
    result = World(scenario, seed).run()
    assert result.ok, f"{result.violation}; repeat: hansa sim run {name} --seed {seed} --set {override}"
    assert result.committed > 0 or scenario.allow_excess_faults


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("30-twins", {"E1"}),  # they notice each other and fall silent (P98), so little of it is seen
        ("33-equivocate", {"E1"}),
        ("35-double-votes", {"E2", "E3"}),
        ("45-bad-new-view", {"E5"}),
        ("46-two-new-views", {"E4", "E5"}),
        ("76-false-witness", set()),
    ],
)
def test_i17_what_is_proven_is_recorded_on_every_chain(name: str, kinds: set[str]) -> None:
    # Seeds in which the liar comes to propose, or to collect a view.
    seeds = {"30-twins": 3, "33-equivocate": 6, "45-bad-new-view": 2, "46-two-new-views": 2}
    world = World(load(name), seeds.get(name, 1))
    assert world.run().ok
    honest = [daemon for daemon in world.daemons if daemon.honest and daemon.core is not None]
    liars = {daemon.index for daemon in world.daemons if not daemon.honest}
    for daemon in honest:
        found = set()
        for firm in world.league.firms:
            for kind in KINDS:
                if daemon.store.view.get(fault_key(firm.company_id, 0, kind)) is not None:
                    assert firm.index in liars  # I16
                    found.add(kind)
        assert kinds <= found
        assert not kinds or found


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
