"""`hansa node status`: a node that makes no blocks says why, in the language of the person (U21, U57)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from tests.cli.conftest import Done

STATUS = {
    "schema": "hansa.status/1", "network": "net", "production": False, "company": {"id": "c1", "name": "Acme"},
    "node": "n1", "version": "1", "protocol": 1, "height_committed": 7, "height_executed": 7, "reachable": 2,
    "members": 4, "quorum": 3, "view": 4, "epoch": 0, "mode": "changing", "not_ready": ["no_quorum"], "stalled": True,
    "sentence": "No new blocks.", "chain_id": "ab",
}  # fmt: skip
WHY = {
    "headline": "No new blocks for 48 s.", "state": "Moving to view 4; no timer runs.", "next": "Start Bolt.",
    "members": [{"company": {"id": "c2", "name": "Bolt"}, "link": "no connection for 51 s", "seen": "view 3, height 7"}],
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the node answers by path, and under "params" with what it was asked."""
    answers: dict[str, Any] = {"v1/status": dict(STATUS), "v1/consensus/why": WHY, "params": {}}

    async def get(_: Client, path: str, params: Mapping[str, str] | None = None, *, retry: bool = True) -> Any:
        answers["params"][path] = dict(params or {})
        if isinstance(answers[path], Exception):
            raise answers[path]
        return answers[path]

    monkeypatch.setattr(Client, "get", get)
    return answers


def status(command: Callable[..., Done], *arguments: str) -> Done:
    return command("node", "status", "--api", "http://127.0.0.1:1", *arguments)


def test_u21_a_stall_names_who_is_missing_the_views_the_timer_and_the_next_step(
    command: Callable[..., Done], asked: dict[str, Any]
) -> None:
    done = status(command)
    assert done.code == Exit.OK, done.err
    for line in (
        "No new blocks for 48 s.",
        "Bolt",
        "no connection for 51 s",
        "view 3",
        "Moving to view 4",
        "Start Bolt.",
    ):
        assert line in done.err
    assert "Next: too few other nodes are reachable: hansa node why" in done.err
    assert status(command, "-o", "json").json()["why"] == WHY


def test_u57_it_does_so_in_chinese(
    command: Callable[..., Done], asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANSA_LANG", "zh-CN")
    assert "下一步：可连到的其他节点太少" in status(command).err
    assert asked["params"]["v1/consensus/why"] == {"lang": "zh-CN"}


def test_u21_a_node_that_makes_blocks_is_not_asked_why(command: Callable[..., Done], asked: dict[str, Any]) -> None:
    asked["v1/status"] |= {"stalled": False, "not_ready": []}
    done = status(command)
    assert "No new blocks." in done.err and "v1/consensus/why" not in asked["params"]
    assert status(command, "-o", "json").json()["why"] is None


def test_u21_without_a_token_the_sentence_of_the_status_is_there(
    command: Callable[..., Done], asked: dict[str, Any]
) -> None:
    asked["v1/consensus/why"] = CommandFailed(Exit.NOT_ALLOWED, "no token")
    done = status(command)
    assert done.code == Exit.OK and "No new blocks." in done.err
