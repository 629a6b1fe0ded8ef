"""Histories that begin alike run their beginning once.

The cases of a systematic search differ in what happens from some moment on. A world cannot be copied, but its process
can: where cases part, the process forks, each child puts its own actions in place of those that are still to come and
goes on. A case run here and the same case run from its scenario file are the same history; a test compares them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from simulator.errors import Stopped
from simulator.memory import uncollected
from simulator.scenario import schema as s
from simulator.scenario.units import duration_ns
from simulator.world import World

READ_BYTES: Final = 65_536


class Outcome(NamedTuple):
    """How a case ended; `problem` is "" if all held."""

    place: int
    problem: str
    height: int
    events: int


def run_all(cases: Sequence[tuple[int, s.Scenario]], seed: int) -> list[Outcome]:
    """Run cases that differ in the timed actions after some place of `at` and in nothing else, in their order.

    `cases`: each with a number of its own. The actions are in the order of their times.
    """
    with uncollected():  # also in the children, where a search for cycles would copy all memory it looks at
        world = World(cases[0][1], seed)
        world.begin()
        return _descend(world, list(cases), 0)


def _descend(world: World, cases: list[tuple[int, s.Scenario]], place: int) -> list[Outcome]:
    """Go on from just before the action at `place`, up to which all `cases` are alike."""
    scenario = cases[0][1]
    while place < len(scenario.at):
        ways = _ways(cases, place)
        if len(ways) > 1:
            found: list[Outcome] = []
            for way in ways:
                found += _in_child(world, way, place)
            return found
        world.faults.exchange(place, scenario.at[place])
        place += 1
        if place < len(scenario.at):
            try:
                world.advance_until(duration_ns(scenario.at[place].t, f"at[{place}].t") - 1)
            except Stopped as stopped:
                return [Outcome(number, str(stopped.violation), world.best_height, 0) for number, _ in cases]
    result = world.conclude()
    return [Outcome(number, str(result.violation or ""), result.height, result.events) for number, _ in cases]


def _ways(cases: Iterable[tuple[int, s.Scenario]], place: int) -> list[list[tuple[int, s.Scenario]]]:
    """Return the cases by their action at `place`, in order."""
    ways: dict[s.Action, list[tuple[int, s.Scenario]]] = {}
    for case in cases:
        ways.setdefault(case[1].at[place], []).append(case)
    return list(ways.values())


def _in_child(world: World, cases: list[tuple[int, s.Scenario]], place: int) -> list[Outcome]:
    """Run `cases` in a copy of this process; one that dies fails them all."""
    outcomes, status = _forked(lambda: _descend(world, cases, place))
    if outcomes is not None:
        return outcomes
    return [Outcome(number, f"the process of this case ended with status {status}", 0, 0) for number, _ in cases]


def _forked(work: Callable[[], list[Outcome]]) -> tuple[list[Outcome] | None, int]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(msgspec.msgpack.encode(work()))
            status = 0
        finally:
            os._exit(status)  # nothing of the parent's that is open or registered is ours to close
    os.close(writer)
    parts: list[bytes] = []
    while part := os.read(reader, READ_BYTES):
        parts.append(part)
    os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 0:
        return None, status
    return msgspec.msgpack.decode(b"".join(parts), type=list[Outcome]), 0
