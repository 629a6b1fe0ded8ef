"""Ends of epochs in the simulated network: kept, served, walked along, and lied about (P85, P107, P117)."""

from __future__ import annotations

from functools import cache

import pytest

from ledger.codec import encode
from ledger.governance.follow import EpochEnd, follow, trust_genesis
from ledger.registry.epochs import last_epoch
from node.core import effects as ne
from node.core import events as nv
from node.core.ends import REFUSED
from node.core.messages import ENDS_MAX, EpochEnds, PeerMessage, peer_codec
from simulator.byzantine import LyingEnds
from simulator.checkers import Checker
from simulator.daemon import Daemon
from simulator.rng import Rng
from simulator.scenario import load
from simulator.world import World


class Walks(Checker):
    """What each company's node learnt of ends and nodes, whom it asked, and with what it started."""

    name = "walks"

    def __init__(self, view: object) -> None:
        super().__init__(view)  # type: ignore[arg-type]  # the world hands in its view
        self.kept: dict[str, list[int]] = {}
        self.nodes: dict[str, list[ne.LearnNodes]] = {}
        self.charged: dict[str, list[str]] = {}
        self.begun_beyond: dict[str, int] = {}
        """Starts of a node whose kept ends lead beyond its state."""
        self.begun: dict[str, list[int]] = {}
        """Epochs that the cores of a node lived in, one after the other."""
        self.shown: list[EpochEnds] = []

    def stepped(self, daemon: Daemon, event: nv.NodeEvent, effects: list[ne.NodeEffect]) -> None:
        name = daemon.name
        if isinstance(event, nv.NodeStart):
            self.begun.setdefault(name, []).append(event.config.epoch.epoch)
        if isinstance(event, nv.NodeStart) and event.reached is not None:
            assert event.reached.epoch > event.config.epoch.epoch  # nothing is missing here that was kept once
            self.begun_beyond[name] = self.begun_beyond.get(name, 0) + 1
        for effect in effects:
            if isinstance(effect, ne.KeepEpochEnd):
                self.kept.setdefault(name, []).append(effect.epoch)
            elif isinstance(effect, ne.LearnNodes):
                self.nodes.setdefault(name, []).append(effect)
            elif isinstance(effect, ne.Penalty) and effect.reason == REFUSED:
                firm = daemon.world.companies[daemon.firm_of(effect.peer)]
                self.charged.setdefault(name, []).append(firm)

    def sending(self, _daemon: Daemon, message: PeerMessage, _to: int | None) -> None:
        if isinstance(message, EpochEnds):
            self.shown.append(message)


@cache
def _run(name: str, *overrides: str, seed: int = 1) -> tuple[World, Walks]:
    world = World(load(name, list(overrides)), seed, listeners=(Walks,))
    result = world.run()
    assert result.ok, str(result.violation)
    walks = world.listeners[0]
    assert isinstance(walks, Walks)
    return world, walks


def _node(world: World, name: str) -> Daemon:
    return next(daemon for daemon in world.daemons if daemon.name == name)


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("74-snapshot-over-barriers", "delta"),
        ("74-lost-disk-after-barriers", "delta"),
        ("71-joins-over-a-barrier", "elmar"),
    ],
)
def test_p85_p107_a_node_that_was_away_over_two_barriers_walks_and_takes_the_state(name: str, who: str) -> None:
    world, walks = _run(name)
    daemon = _node(world, who)
    assert daemon.snapshots == 1
    assert walks.kept == {who: [0, 1]}, "nobody else had anything to learn"
    assert min(daemon.store.blocks) >= world.view.epochs[2].first_height
    away = len(walks.begun[who]) - 1 - walks.begun[who][::-1].index(0)
    assert walks.begun[who][away : away + 2] == [0, 2], "it had no blocks of the epoch between"
    other = next(one for one in world.daemons if one is not daemon and one.up)
    shown = [(end.header, end.members) for end in daemon.ends.kept]
    assert len(shown) >= 2
    assert shown == [(end.header, end.members) for end in other.ends.kept][: len(shown)]


def test_p116_the_newcomer_has_taken_the_state_before_it_is_a_member() -> None:
    world, _ = _run("71-joins-over-a-barrier")
    assert min(_node(world, "elmar").store.blocks) < world.view.epochs[3].first_height


def test_p117_the_last_answer_shows_where_all_nodes_are_and_so_does_each_other_peer_once() -> None:
    world, walks = _run("74-snapshot-over-barriers")
    assert len(walks.nodes["delta"]) == 3
    for learned in walks.nodes["delta"]:
        nodes = {node.company_id: node for node in learned.nodes}
        assert sorted(nodes) == sorted(firm.company_id for firm in world.league.firms)
        for name in ("acme", "bolt"):
            firm = world.league.by_name(name)
            assert nodes[firm.company_id].consensus[-1].public_key == firm.next_key.public_key


def test_p107_kept_ends_lead_on_after_a_crash() -> None:
    world, walks = _run("74-crash-over-barriers")
    assert walks.begun_beyond["delta"] >= 1
    assert walks.kept["delta"] == [0, 1], "no end is learnt twice"
    assert _node(world, "delta").snapshots == 1


@pytest.mark.parametrize("seed", range(1, 5))
def test_p85_who_shows_spoilt_ends_is_named_and_the_node_arrives_by_others(seed: int) -> None:
    world, walks = _run("74-lying-ends", seed=seed)
    assert walks.charged == {"delta": [world.league.by_name("bolt").company_id]}, "once: it is left out from then on"
    assert walks.kept["delta"] == [0, 1]
    assert _node(world, "delta").snapshots == 1


@pytest.mark.parametrize("seed", range(1, 4))
def test_p117_who_shows_spoilt_node_records_is_named(seed: int) -> None:
    quiet = ('workload=[{ kind = "kv", rate = "fixed:15" }]', 'expect.epochs="= 0"')
    world, walks = _run("74-lying-ends", *quiet, seed=seed)
    assert walks.charged == {"delta": [world.league.by_name("bolt").company_id]}
    assert _node(world, "delta").snapshots == 1, "the liar alone was in reach; its snapshot was a good one"
    known = {firm.company_id for firm in world.league.firms}
    assert all({node.company_id for node in learned.nodes} == known for learned in walks.nodes.get("delta", []))


def test_p85_every_lie_about_an_end_is_a_message_and_no_end() -> None:
    """They arrive, and none of them leads anywhere."""
    world, walks = _run("74-snapshot-over-barriers")
    told = max(walks.shown, key=lambda message: len(message.ends))
    trusted = trust_genesis(world.league.document)
    verify = world.oracle.verify
    assert not isinstance(follow(trusted, told.ends, verify), str)
    liar = LyingEnds(_node(world, "bolt"), Rng(1, "lies"), 4)
    lies = [lie for _ in range(24) for lie, _ in liar.outgoing(told, 0)]
    assert len({encode(lie) for lie in lies}) == 4 * len(told.ends)
    for lie in lies:
        assert isinstance(lie, EpochEnds) and peer_codec.decode(encode(lie)) == lie
        assert isinstance(follow(trusted, lie.ends, verify), str)


def test_p85_a_node_serves_what_is_kept_and_nothing_before_the_first_or_after_the_last() -> None:
    world, _ = _run("67-replace-all")
    daemon = max(world.daemons, key=lambda one: len(one.ends.kept))
    kept = daemon.ends.kept
    assert len(kept) == last_epoch(daemon.store.view).epoch == ENDS_MAX
    assert daemon.ends.learned == 0, "it was there at every barrier"
    assert daemon.ends.after(0) == kept and daemon.ends.after(6) == kept[6:]
    assert daemon.ends.after(ENDS_MAX) == daemon.ends.after(-1) == ()
    assert all(isinstance(end, EpochEnd) for end in kept)
