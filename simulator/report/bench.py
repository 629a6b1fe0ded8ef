"""How fast the simulator is (M60): real node logic, modelled signatures, fidelity `abstract`, one checker.

Each figure is one run and its processor time, so that other work on the machine counts little. Figures are of the
machine they are measured on; docs/simulation.md keeps those of the reference machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from simulator.checkers.agreement import Agreement
from simulator.scenario import schema as s
from simulator.world import World

FIGURES: Final = ("n16", "block-100", "block-256", "block-512", "hour")
QUIET: Final = {"t0_ms": 10_000, "t_cap_ms": 40_000, "status_ms": 10_000, "hb_ms": 60_000, "req_ms": 20_000}
"""No timeout and no repair, so that only the normal case is measured."""


def measure(only: Sequence[str] = ()) -> Iterator[str]:
    """Yield the figures as lines of text, in order."""
    for name in only or FIGURES:
        yield f"{name:<10} {_MEASURES[name]()}"


def _deliveries() -> str:
    seconds, world = _timed(_scenario(16, "20s", "fixed:20"))
    rate = world.net.messages / seconds
    return f"{rate:,.0f} deliveries/s at n = 16 ({world.net.messages} in {seconds:.2f} s, {world.best_height} blocks)"


def _block(nodes: int) -> str:
    seconds, world = _timed(_scenario(nodes, "900ms", "burst:1,1h"))
    done = [daemon for daemon in world.daemons if daemon.store.view.height >= 1]
    blocks = max(1, world.best_height)
    return (
        f"{seconds / blocks:.2f} s a block at n = {nodes}, all phases ({world.net.messages} messages, {blocks} blocks, "
        f"executed by {len(done)})"
    )


def _hour() -> str:
    seconds, world = _timed(_scenario(4, "1h", "fixed:1"))
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


def _timed(scenario: s.Scenario) -> tuple[float, World]:
    world = World(scenario, 1, checkers=(Agreement,))
    began = time.process_time()
    result = world.run()
    seconds = time.process_time() - began
    if not result.ok:
        raise RuntimeError(f"{scenario.name}: {result.violation}")
    return seconds, world


_MEASURES: Final[dict[str, Callable[[], str]]] = {
    "n16": _deliveries,
    "block-100": lambda: _block(100),
    "block-256": lambda: _block(256),
    "block-512": lambda: _block(512),
    "hour": _hour,
}
