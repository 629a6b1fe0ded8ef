"""Snapshots in the simulated network: taken instead of blocks, checked chunk by chunk, kept over a crash (P107)."""

from __future__ import annotations

import pytest

from node.core import effects as ne
from node.core import events as nv
from node.core.messages import ChunkRequest
from simulator.checkers import Checker
from simulator.daemon import Daemon
from simulator.scenario import load
from simulator.world import World


class Requests(Checker):
    """Counts the chunks that the company `delta` asks for and keeps."""

    name = "requests"
    asked = 0
    kept = 0

    def stepped(self, daemon: Daemon, _event: nv.NodeEvent, effects: list[ne.NodeEffect]) -> None:
        if daemon.name == "delta":
            sent = [effect.message for effect in effects if isinstance(effect, ne.SendPeer)]
            self.asked += sum(isinstance(message, ChunkRequest) for message in sent)
            self.kept += sum(isinstance(effect, ne.KeepChunk) for effect in effects)


def _run(name: str) -> tuple[World, Requests, Daemon]:
    world = World(load(name), 1, listeners=(Requests,))
    result = world.run()
    assert result.ok, str(result.violation)
    requests = world.listeners[0]
    assert isinstance(requests, Requests)
    return world, requests, next(daemon for daemon in world.daemons if daemon.name == "delta")


def test_p107_a_company_that_was_away_takes_the_state_and_has_no_blocks_below() -> None:
    world, requests, daemon = _run("74-snapshot")
    assert daemon.snapshots == 1
    assert requests.asked == requests.kept == 16
    assert min(daemon.store.blocks) % world.scenario.disk.snapshot_every == 0
    assert min(daemon.store.blocks) > 0
    level = [one.store.view for one in world.daemons if one.store.view.height == daemon.store.view.height]
    assert len(level) >= 3  # one may be down, to show that it can be spared
    assert {view.state_root for view in level} == {daemon.store.view.state_root}


def test_p107_a_spoilt_chunk_is_charged_to_its_sender_and_asked_for_elsewhere() -> None:
    world, requests, daemon = _run("74-lying-snapshot")
    assert daemon.snapshots == 1
    assert daemon.firm in world.measures.charged["snapshot_chunk"]
    assert requests.asked > requests.kept == 16


def test_p107_what_was_collected_is_there_after_a_crash() -> None:
    _, requests, daemon = _run("74-snapshot-crash")
    assert daemon.snapshots == 1
    assert requests.kept == 16


@pytest.mark.parametrize("name", ["74-snapshot", "74-after-lost-disk"])
def test_p107_indexes_are_derived_again(name: str) -> None:
    """H6: they are in no chunk and outside the root; calls that need them give the same results."""
    world, _, daemon = _run(name)
    other = next(one for one in world.daemons if one is not daemon)
    keys = other.store.view.scan(b"x", b"y", 1 << 20)
    assert keys
    assert daemon.store.view.scan(b"x", b"y", 1 << 20) == keys
