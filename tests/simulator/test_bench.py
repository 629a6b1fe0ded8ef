"""The figures of `hansa sim bench`: what is counted, and what stands for execution (M60); nothing is said about speed."""

from __future__ import annotations

from typing import ClassVar

import pytest

from node.core import effects as ne
from node.core.events import PeerReceived
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.execution import Executed, Execution, StubExecution
from simulator.report import bench
from simulator.report.bench import QUIET, measure, taken
from simulator.scenario import schema as s
from simulator.world import World


class Steps(Checker):
    """Counts the messages that cores step, and keeps the results."""

    name = "steps"
    watches = (PeerReceived,)
    messages: ClassVar[int] = 0
    roots: ClassVar[dict[int, set[tuple[bytes, bytes]]]] = {}

    def __init__(self, view: View) -> None:
        super().__init__(view)
        Steps.messages, Steps.roots = 0, {}

    def stepped(self, daemon: Daemon, event: object, effects: list[ne.NodeEffect]) -> None:
        Steps.messages += isinstance(event, PeerReceived)

    def executed(self, daemon: Daemon, height: int, executed: Executed) -> None:
        result = executed.result
        Steps.roots.setdefault(height, set()).add((result.state_root, result.exec_root))


def _scenario() -> s.Scenario:
    return s.Scenario(
        name="bench-4",
        duration="1s",
        fidelity="abstract",
        workload=(s.Workload(kind="kv", rate="fixed:20"),),
        network=s.NetworkTable(nodes=4),
        consensus=dict(QUIET),
        expect=s.Expect(liveness=s.Liveness(after="never")),
        exec_recheck=0,
    )


@pytest.mark.parametrize("execution", [StubExecution, Execution])
def test_m60_only_messages_that_a_core_stepped_are_counted(execution: type[Execution]) -> None:
    world = World(_scenario(), 1, listeners=(Steps,), execution=execution)
    result = world.run()
    assert result.ok and result.height >= 15
    assert Steps.messages == taken(world) <= result.deliveries
    assert result.committed == result.transactions > 0


def test_m60_stub_execution_writes_nothing_and_tells_every_block_apart() -> None:
    """All nodes have one root a height, no two heights have the same; the rows of the state stay as they were."""
    world = World(_scenario(), 1, listeners=(Steps,), execution=StubExecution)
    before = world.league.state
    assert world.run().ok
    one = [next(iter(found)) for found in Steps.roots.values() if len(found) == 1]
    assert len(one) == len(Steps.roots) > 10
    assert {state_root for state_root, _ in one} == {before.state_root}
    assert len({exec_root for _, exec_root in one}) == len(one)
    for daemon in world.daemons:
        assert list(daemon.store.view.scan(b"", b"\xff", 10_000)) == list(before.scan(b"", b"\xff", 10_000))


def test_m60_each_figure_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    small = bench._scenario(4, "300ms", "fixed:20")
    monkeypatch.setattr(bench, "_scenario", lambda nodes, duration, rate: small)
    core, line = measure(("n100",))
    assert core == "core       interpreted; scripts/compiled runs it compiled"
    assert line.startswith("n100 ") and "with stub execution" in line and "with execution and all checkers" in line
