"""What the composition root decides by itself: whether a node is ready (U61), and when it goes away to compact its store
(U6). The daemon runs no loop here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import node.app
from cli.commands.node import _REASONS
from node.app import Daemon, prepare
from node.config import load_config
from node.epochs import start_event
from node.ops.listener import NEXT_STEPS
from tests.node.test_epochs import Town


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """The first of four nodes, started; it has no links."""
    town = Town(tmp_path / "town")
    parts = prepare(load_config([town.homes[0] / "node.toml"], {}))
    made = Daemon(parts)
    made.core.step(start_event(parts, 0, 0))
    yield made
    parts.close()


def see(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, *, reachable: int, height: int = 0, mode: str = "normal"
) -> None:
    """Let the node see so many members that vote, the first ones, and the others at a height; `mode` is its own."""
    picture = replace(daemon.consensus(), mode=mode)
    members = tuple(
        member if member.is_self else replace(
            member, connected=member.index < reachable, mode="normal", height=height, last_heard_ms=picture.wall_ms
        )
        for member in picture.members
    )  # fmt: skip
    monkeypatch.setattr(daemon, "consensus", lambda: replace(picture, members=members))


def test_u61_a_node_that_gets_none_of_the_blocks_it_lacks_is_not_ready(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert daemon.consensus().near == 2 * daemon._parts.document.params.window
    for height, reasons in ((2, set()), (600, {"behind"})):
        with monkeypatch.context() as patch:
            see(daemon, patch, reachable=4, height=height)
            assert set(daemon.not_ready()) == reasons
    see(daemon, monkeypatch, reachable=2, height=600)
    assert set(daemon.not_ready()) == {"no_quorum"}, "one claim says nothing"


def test_u59_a_node_alone_counts_one_voting_member(daemon: Daemon) -> None:
    assert daemon.service.voting_members() == 1


def test_u16_every_reason_has_a_next_step() -> None:
    words = set(re.findall(r'reasons\.append\("(\w+)"\)', inspect.getsource(Daemon.not_ready)))
    assert "behind" in words and words == set(_REASONS)
    assert words == {"starting", *NEXT_STEPS}, "of a node that is just starting the log tells more"


@pytest.mark.parametrize(
    ("reachable", "mode", "goes"),
    [(1, "normal", False), (3, "normal", False), (4, "normal", True), (1, "learner", True)],
)
def test_u6_a_node_that_is_needed_for_the_quorum_does_not_go_away_to_compact(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, reachable: int, mode: str, goes: bool
) -> None:
    """The member whose turn was before may still be copying: then three of four are here, and all three must vote."""
    monkeypatch.setattr(node.app, "prune", lambda *_, **__: 32)
    monkeypatch.setattr(node.app, "worth_compacting", lambda _: True)
    see(daemon, monkeypatch, reachable=reachable, mode=mode)
    daemon._prune()
    assert daemon.compacting is goes
