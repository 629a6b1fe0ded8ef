"""P97, P98 in whole networks: who forgot votes is silenced, nobody else is, and a second copy of a key as well."""

from __future__ import annotations

import pytest

from consensus.events import Mode
from consensus.records import Silenced
from simulator.scenario import load
from simulator.world import World


def run(name: str, seed: int) -> World:
    world = World(load(name), seed)
    result = world.run()
    assert result.ok, str(result.violation)
    return world


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_scenario_29_a_restored_backup_follows_to_the_end_without_a_vote(seed: int) -> None:
    world = run("29-restored-backup", seed)
    restored = [daemon for daemon in world.daemons if daemon.set_back]
    assert [daemon.name for daemon in restored] == ["acme"]
    for daemon in world.daemons:
        assert daemon.silenced is daemon.set_back
    (acme,) = restored
    assert acme.replica_state is not None and acme.replica_state.mode is Mode.LEARNER
    assert isinstance(acme.journal.records()[-1][1], Silenced)
    assert acme.store.view.height == max(daemon.store.view.height for daemon in world.daemons if daemon.up)


@pytest.mark.parametrize("name", ["22-power-cut", "22-f-plus-one-down", "20-crash-points", "21-crash-primary"])
def test_p98_crashes_with_a_whole_journal_silence_nobody(name: str) -> None:
    assert not [daemon.name for daemon in run(name, 3).daemons if daemon.silenced]


@pytest.mark.parametrize("seed", [1, 5])
def test_p98_of_two_nodes_with_one_key_at_least_one_finds_out(seed: int) -> None:
    silenced = [daemon.name for daemon in run("30-twins", seed).daemons if daemon.silenced]
    assert silenced and all(name.startswith("acme") for name in silenced)
