"""How fast the simulator is (M60): real node logic, modelled signatures, fidelity `abstract`.

Each figure is one run and its processor time, so that other work on the machine counts little. What is done once, that
everybody connects to everybody and the first block, is told apart from a block. Figures are of the machine they are
measured on; docs/simulation.md keeps those of the reference machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from simulator.checkers import CHECKERS, Checker
from simulator.checkers.agreement import Agreement
from simulator.compiled import core_compiled
from simulator.execution import Execution, StubExecution
from simulator.scenario import schema as s
from simulator.world import World

FIGURES: Final = ("n16", "n100", "block-100", "block-256", "block-512", "hour")
QUIET: Final = {"t0_ms": 10_000, "t_cap_ms": 40_000, "status_ms": 10_000, "hb_ms": 60_000, "req_ms": 20_000}
"""No timeout and no repair, so that only the normal case is measured."""
ONE: Final = (Agreement,)
CALM_NS: Final = 900_000_000
"""By then all are connected, the first block and the one that certifies its result are over; at 1 s comes the next."""


def measure(only: Sequence[str] = ()) -> Iterator[str]:
    """Yield the figures as lines of text, in order; before them, what they are the figures of."""
    yield f"{'core':<10} {'compiled' if core_compiled() else 'interpreted; scripts/compiled runs it compiled'}"
    for name in only or FIGURES:
        yield f"{name:<10} {_MEASURES[name]()}"


def _deliveries(nodes: int, duration: str) -> str:
    """Only messages count that the step of a core was given; what is still on its way at the end does not."""
    scenario = _scenario(nodes, duration, "fixed:20")
    seconds, world = _timed(scenario, ONE, StubExecution)
    executed_seconds, executed = _timed(scenario, ONE)
    checked_seconds, checked = _timed(scenario, CHECKERS)
    return (
        f"{taken(world) / seconds:,.0f} deliveries/s at n = {nodes} with stub execution ({taken(world)} in "
        f"{seconds:.2f} s, {world.best_height} blocks), {taken(executed) / executed_seconds:,.0f} with execution, "
        f"{taken(checked) / checked_seconds:,.0f} with execution and all checkers"
    )


def taken(world: World) -> int:
    """Return how many messages the cores of all nodes were given."""
    return sum(daemon.taken for daemon in world.daemons)


def _block(nodes: int) -> str:
    world = World(_scenario(nodes, "2s", "burst:1,1s"), 1, checkers=ONE)
    began = time.process_time()
    world.begin()
    world.advance(CALM_NS)
    connected = time.process_time()
    height, messages = world.best_height, taken(world)
    world.advance(1_000_000_000)
    seconds = time.process_time() - connected
    blocks = world.best_height - height
    done = sum(daemon.store.view.height == world.best_height for daemon in world.daemons)
    if not blocks:
        raise RuntimeError(f"{nodes} nodes finished no block")
    each = (taken(world) - messages) // blocks
    return (
        f"{seconds / blocks:.2f} s a block at n = {nodes}, all phases ({each} messages, {blocks} blocks, executed by "
        f"{done}); before that {connected - began:.2f} s to connect all and for the first block"
    )


def _hour() -> str:
    seconds, world = _timed(_scenario(4, "1h", "fixed:1"), ONE)
    return f"{seconds:.1f} s for one hour of 4 nodes ({world.best_height} blocks)"


def _scenario(nodes: int, duration: str, rate: str) -> s.Scenario:
    return s.Scenario(
        name=f"bench-{nodes}",
        duration=duration,
        fidelity="abstract",
        workload=(s.Workload(kind="kv", rate=rate),),
        network=s.NetworkTable(nodes=nodes, bandwidth="10Gbit"),
        consensus=dict(QUIET),
        expect=s.Expect(liveness=s.Liveness(after="never")),
        exec_recheck=0,
    )


def _timed(
    scenario: s.Scenario, checkers: tuple[type[Checker], ...], execution: type[Execution] = Execution
) -> tuple[float, World]:
    world = World(scenario, 1, checkers=checkers, execution=execution)
    began = time.process_time()
    result = world.run()
    seconds = time.process_time() - began
    if not result.ok:
        raise RuntimeError(f"{scenario.name}: {result.violation}")
    return seconds, world


_MEASURES: Final[dict[str, Callable[[], str]]] = {
    "n16": lambda: _deliveries(16, "20s"),
    "n100": lambda: _deliveries(100, "1s"),
    "block-100": lambda: _block(100),
    "block-256": lambda: _block(256),
    "block-512": lambda: _block(512),
    "hour": _hour,
}
