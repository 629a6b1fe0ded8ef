"""Shrinking a failing scenario (M38, SIM16): fewer actions, then nodes, workload, duration, by delta debugging.

A smaller scenario counts only if it fails with the same verdict and checker. There is a time limit, and the best
result so far is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from simulator.errors import InvalidScenario
from simulator.league import company_names
from simulator.scenario.schema import Byzantine, Scenario
from simulator.scenario.units import duration_ns, duration_text
from simulator.world import World

T = TypeVar("T")


def shrink(scenario: Scenario, verdict: str, checker: str, deadline: float, clock: Callable[[], float]) -> Scenario:
    """Return the smallest scenario found before `clock()` passes `deadline` that still fails in the same way."""

    def fails(candidate: Scenario) -> bool:
        if clock() > deadline:
            return False
        try:
            violation = World(candidate).run().violation
        except InvalidScenario:
            return False
        return violation is not None and (violation.verdict, violation.checker) == (verdict, checker)

    best = _shorten(scenario, fails)
    best = _drop_actions(best, fails)
    best = _drop_nodes(best, fails)
    best = _simplify(best, fails)
    return _shorten(best, fails)


def minimise(items: list[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """Return a sublist that still fails and from which no single tried chunk can be dropped (delta debugging)."""
    size = max(1, len(items) // 2)
    while items:
        start, dropped = 0, False
        while start < len(items):
            candidate = items[:start] + items[start + size :]
            if fails(candidate):
                items, dropped = candidate, True
            else:
                start += size
        if size == 1 and not dropped:
            break
        size = max(1, size // 2)
    return items


def _drop_actions(scenario: Scenario, fails: Callable[[Scenario], bool]) -> Scenario:
    kept = minimise(list(scenario.at), lambda actions: fails(_with(scenario, at=tuple(actions))))
    return _with(scenario, at=tuple(kept))


def _drop_nodes(scenario: Scenario, fails: Callable[[Scenario], bool]) -> Scenario:
    nodes = scenario.network.nodes
    for smaller in range(4, nodes):
        names = company_names(smaller)
        if any(name.removesuffix("-twin") not in names for action in scenario.at for name in _names(action)):
            continue
        candidate = _with(scenario, network=msgspec.structs.replace(scenario.network, nodes=smaller))
        if fails(candidate):
            return candidate
    return scenario


def _simplify(scenario: Scenario, fails: Callable[[Scenario], bool]) -> Scenario:
    """Try the plainest value of every other part."""
    plain = Scenario(name=scenario.name)
    candidates: list[dict[str, Any]] = [
        {"workload": scenario.workload[:1]},
        {"time": plain.time},
        {"disk": plain.disk},
        {"network": msgspec.structs.replace(scenario.network, jitter="none", topology="lan")},
        {"fidelity": "normal"},
    ]
    for changes in candidates:
        candidate = _with(scenario, **changes)
        if candidate != scenario and fails(candidate):
            scenario = candidate
    return scenario


def _shorten(scenario: Scenario, fails: Callable[[Scenario], bool]) -> Scenario:
    """Halve the duration as long as it still fails."""
    while True:
        run_ns = duration_ns(scenario.duration, "duration") // 2
        if run_ns < 100_000_000:
            return scenario
        actions = tuple(a for a in scenario.at if duration_ns(a.t, "t") < run_ns or isinstance(a, Byzantine))
        candidate = _with(scenario, duration=duration_text(run_ns), at=actions)
        if not fails(candidate):
            return scenario
        scenario = candidate


def _names(action: Any) -> list[str]:
    found = [getattr(action, field) for field in ("node", "source", "target") if getattr(action, field, "*") != "*"]
    for group in getattr(action, "groups", ()):
        found += [name for name in group if name != "*"]
    return found


def _with(scenario: Scenario, **changes: Any) -> Scenario:
    return msgspec.structs.replace(scenario, **changes)
