"""Contracts that come and go by vote in whole runs: every node links the same ones in the same block (L57-L63)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest

from ledger.governance.programs import contract_at, versions
from ledger.state import Reader
from node.core.programs import Linked, Programs
from simulator.checkers.base import Checker
from simulator.daemon import Daemon
from simulator.execution import Executed, Execution
from simulator.scenario import load
from simulator.workloads.upgrades import CONTRACT, VERSIONS
from simulator.world import World

NAME = "90-contracts-by-vote"


class Seen:
    """What each life of each node executed, and what became of the calls and schedules of the contract."""

    def __init__(self) -> None:
        self.lives: defaultdict[int, dict[int, list[int]]] = defaultdict(dict)
        self.calls: defaultdict[int, set[tuple[int, str]]] = defaultdict(set)
        self.scheduled: set[int] = set()

    def listener(self) -> type[Checker]:
        seen = self

        class Watching(Checker):
            def executed(self, daemon: Daemon, height: int, executed: Executed) -> None:
                seen.lives[daemon.slot].setdefault(daemon.incarnation, []).append(height)
                for receipt in executed.result.receipts:
                    if receipt.contract == CONTRACT and receipt.method == "close":
                        seen.scheduled.add(receipt.version)
                    elif receipt.contract == CONTRACT:
                        seen.calls[height].add((receipt.version, receipt.abort[0].code if receipt.abort else "ok"))

        return Watching


@pytest.mark.control("L59", "L63")
def test_l59_versions_begin_around_crashes_and_a_node_that_catches_up() -> None:
    watched = Seen()
    world = World(load(NAME), 1, listeners=(watched.listener(),))
    result = world.run()
    assert result.ok, f"{result.violation}; repeat: hansa sim run {NAME} --seed 1"  # equal roots are a checker's
    best = max((daemon.store.view for daemon in world.daemons), key=lambda view: view.height)
    begins = {meta.version: meta.active_from for meta in versions(best, CONTRACT)}
    assert sorted(begins) == list(range(1, VERSIONS + 1))

    for height, calls in watched.calls.items():  # in the version of its height; before the first there is none
        active = contract_at(best, CONTRACT, height)
        assert calls <= ({(active.version, "ok")} if active else {(0, "unknown_method")}), height
    seen = set().union(*watched.calls.values())
    assert seen == {(0, "unknown_method"), *((version, "ok") for version in begins)}

    # L54: rows were closed by every version, also those that an older one had written; nothing is parked.
    assert watched.scheduled == set(begins)
    assert best.scan(b"p", b"q", 1) == best.scan(b"s", b"t", 1) == []

    # A node that died just before a version began lived again after it, and one was away for several of them.
    missed = defaultdict(set)
    for slot, lives in watched.lives.items():
        ends = [heights[-1] for heights in lives.values()]
        starts = [heights[0] for heights in lives.values()]
        for end, start in zip(ends[:-1], starts[1:], strict=True):
            assert start <= end + 1, "what was executed and not durable is executed again"
            missed[slot] |= {version for version, begin in begins.items() if end < begin}
    assert any(missed.values())
    for daemon in world.daemons:
        assert versions(daemon.store.view, CONTRACT)[-1].version == VERSIONS


class Forgetful(Programs):
    """Links for ever what it linked first."""

    first: Linked | None = None

    def at(self, reader: Reader, height: int) -> Linked:
        self.first = self.first or super().at(reader, height)
        return self.first


@pytest.mark.control("L59")
def test_l59_a_node_that_does_not_follow_the_votes_has_other_roots() -> None:
    """The test above can fail: one node links only the contracts of its start, and the run ends with a violation."""
    world = World(load(NAME), 1)
    forgetful = Execution(Forgetful(dict(world.league.document.currencies)), 0, share=False, recheck=0)
    world.daemons[1].world = replace(world.daemons[1].world, execution=forgetful)
    assert not world.run().ok
