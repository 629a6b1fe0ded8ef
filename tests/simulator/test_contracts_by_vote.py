"""Contracts that come and go by vote in whole runs: every node links the same ones in the same block (L57-L63)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest

from ledger.governance.programs import contract_at, versions
from ledger.state import Reader
from ledger.transition import SCHEDULE_ENTRIES_MAX
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


class Midnight:
    """The blocks after trade ended: their receipts, and how many transactions they carry."""

    def __init__(self) -> None:
        self.ran: dict[int, tuple[str, ...]] = {}
        self.transactions: dict[int, int] = {}

    def listener(self) -> type[Checker]:
        seen = self

        class Watching(Checker):
            def executed(self, daemon: Daemon, height: int, executed: Executed) -> None:
                result = executed.result
                ran = [receipt.method for receipt in result.receipts if receipt.method in ("lapse", "daily")]
                if ran:
                    assert result.scheduled == len(ran)
                    seen.ran[height] = tuple(ran)
                    seen.transactions[height] = len(result.receipts) - len(ran)

        return Watching


@pytest.mark.control("L53", "L54", "L56")
def test_l56_an_idle_network_runs_what_is_due_when_the_day_turns_and_certifies_it() -> None:
    seen = Midnight()
    world = World(load("91-idle-deadlines"), 1, listeners=(seen.listener(),))
    result = world.run()
    assert result.ok, f"{result.violation}; repeat: hansa sim run 91-idle-deadlines --seed 1"
    first, last = min(seen.ran), max(seen.ran)
    assert not any(seen.transactions.values()), "no transaction carried what was due"
    promises = sum(methods.count("lapse") for methods in seen.ran.values())
    assert promises > SCHEDULE_ENTRIES_MAX, "more than one block can run"
    assert sum(methods.count("daily") for methods in seen.ran.values()) == 1, "every day, once"
    assert all(len(methods) <= SCHEDULE_ENTRIES_MAX for methods in seen.ran.values())
    assert last - first + 1 == len(seen.ran), "one block after the other, until nothing is due"
    best = max((daemon.store.view for daemon in world.daemons), key=lambda view: view.height)
    days = {key[1:5] for key in best.scan(b"s", b"t", 1_000)}
    assert len(days) == 1, "only the next day is armed: the count, and what the probes after midnight promised"
