"""`hansa company add|remove|leave|approve|endorse`: what would stop the network is shown, and not sent unless one insists (P116)."""

from __future__ import annotations

import inspect
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cli import proposing
from cli.acting import Actor
from cli.commands import company
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.profile import Session
from cli.writing import Writing

SENTENCE = "It would stop the network: of the 5 members then, 3 can vote as this node sees it, and 4 must."
ACME, BOLT = {"id": "c1", "name": "Acme"}, {"id": "c2", "name": "Bolt"}
STOPS = {
    "members_before": [ACME, BOLT], "members_after": [BOLT], "quorum_before": 4, "quorum_after": 4,
    "faults_before": 1, "faults_after": 1, "missing": [], "unreachable": [BOLT], "voteless": [], "present_after": 3,
    "stops": True, "sentence": SENTENCE, "refused": [],
}  # fmt: skip
GOES_ON = {**STOPS, "stops": False, "sentence": "", "unreachable": [], "present_after": 5}


class Node:
    """Answers what a change would do, and counts how often it was asked."""

    def __init__(self, effect: dict[str, Any] | CommandFailed) -> None:
        self.effect = effect
        self.asked = 0

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path == "v1/proposals/effect" and body["kind"] == "leave"
        self.asked += 1
        if isinstance(self.effect, CommandFailed):
            raise self.effect
        return self.effect

    async def get(self, _path: str) -> dict[str, Any]:
        return {"height_committed": 7}


async def sent(monkeypatch: pytest.MonkeyPatch, node: Node, despite: bool | None) -> Sequence[Any]:
    """Return the arguments that a leave would be sent with."""
    kept: list[Callable[[Actor], Awaitable[Sequence[Any]]]] = []

    async def payload(_: Actor) -> bytes:
        return b"payload"

    writing = SimpleNamespace(
        session=SimpleNamespace(wallet=lambda: None), carry_out=lambda _act, arguments, _said: kept.append(arguments)
    )
    monkeypatch.setattr(proposing.governing, "act", lambda _method, _wallet: None)
    proposing.propose(cast(Writing, writing), "leave", payload, 500, False, despite)
    return await kept[0](cast(Actor, SimpleNamespace(client=node)))


PROPOSED = {"id": "8d" * 32, "kind": "leave", "payload": b64encode(b"payload").decode()}


class Voting(Node):
    """The same, with one proposal that waits for votes."""

    async def get(self, path: str) -> dict[str, Any]:
        assert path == "v1/proposals"
        return {"items": [PROPOSED, {**PROPOSED, "id": "91" * 32}]}


async def voted(monkeypatch: pytest.MonkeyPatch, verb: str, node: Node, *, despite: bool) -> Sequence[Any]:
    """Return the arguments that an approval would be sent with."""
    kept: list[Callable[[Actor], Awaitable[Sequence[Any]]]] = []
    writing = SimpleNamespace(
        session=SimpleNamespace(wallet=lambda: None),
        home=None,
        carry_out=lambda _act, arguments, _said: kept.append(arguments),
    )
    monkeypatch.setattr(company.governing, "act", lambda method, _wallet: method)
    monkeypatch.setattr(company.governing, "endorsement", lambda *_: "signatures")
    monkeypatch.setattr(company, "Home", lambda _: None)
    send: Any = inspect.unwrap(cast(Any, company.command.commands[verb].callback))
    send(cast(Writing, writing), proposal="8d", dry_run=False, despite_missing=despite)
    actor = SimpleNamespace(client=node, chain_id=b"chain", wallet=SimpleNamespace(company_id="c1"))
    return await kept[0](cast(Actor, actor))


@pytest.mark.parametrize(("verb", "last"), [("approve", True), ("endorse", "signatures")])
async def test_p116_an_approval_that_would_stop_the_network_is_not_sent(
    monkeypatch: pytest.MonkeyPatch, verb: str, last: object
) -> None:
    """Which approval decides is known only in the block, so each is looked at."""
    with pytest.raises(CommandFailed) as refused:
        await voted(monkeypatch, verb, Voting(STOPS), despite=False)
    assert refused.value.code is Exit.NO_QUORUM and refused.value.text == SENTENCE
    wanted, insisting = (bytes.fromhex("8d" * 32), last), Voting(STOPS)
    assert await voted(monkeypatch, verb, insisting, despite=True) == wanted and insisting.asked == 0
    assert await voted(monkeypatch, verb, Voting(GOES_ON), despite=False) == wanted
    broken = CommandFailed(Exit.USAGE, "'contract' does not change the members", "", {"code": "invalid"})
    assert await voted(monkeypatch, verb, Voting(broken), despite=False) == wanted, "contracts are voted on as well"


async def test_p116_what_would_stop_the_network_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandFailed) as refused:
        await sent(monkeypatch, Node(STOPS), False)
    assert refused.value.code is Exit.NO_QUORUM and refused.value.text == SENTENCE
    assert "--despite-missing" in refused.value.next_step


async def test_p116_it_is_sent_when_one_insists_and_when_it_harms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ("leave", b"payload", 507)
    insisting, unasked = Node(STOPS), Node(STOPS)
    assert await sent(monkeypatch, insisting, True) == wanted and insisting.asked == 0
    assert await sent(monkeypatch, unasked, None) == wanted and unasked.asked == 0
    assert await sent(monkeypatch, Node(GOES_ON), False) == wanted
    refused = {**STOPS, "refused": [{"code": "no_quorum", "rule": "P116", "text": "too few"}]}
    assert await sent(monkeypatch, Node(refused), False) == wanted, "the chain refuses it by its rule"
    broken = CommandFailed(Exit.USAGE, "the payload", "", {"code": "invalid"})
    assert await sent(monkeypatch, Node(broken), False) == wanted, "and says what is wrong with it"


async def test_p116_a_node_that_does_not_answer_lets_nothing_through(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandFailed, match="no node"):
        await sent(monkeypatch, Node(CommandFailed(Exit.UNAVAILABLE, "no node")), False)


@pytest.mark.parametrize(
    ("effect", "line"), [(STOPS, f"no: {SENTENCE}"), (GOES_ON, "yes"), ({**GOES_ON, "voteless": [ACME]}, "Acme")]
)
def test_p116_a_dry_run_says_it_in_plain_words(
    effect: dict[str, Any], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    proposing._show_effect(effect, cast(Session, SimpleNamespace(output="table")))
    shown = capsys.readouterr().out
    assert line in shown and f"{effect['present_after']} of 1, as this node sees it" in shown
    proposing._show_effect(effect, cast(Session, SimpleNamespace(output="ids")))
    assert capsys.readouterr().out.strip() == ("stops" if effect["stops"] else "possible")


@pytest.mark.parametrize("name", ["add", "remove", "leave", "approve", "endorse"])
def test_p116_the_commands_that_change_the_set_have_the_option(name: str) -> None:
    assert {"despite_missing", "dry_run"} <= {parameter.name for parameter in company.command.commands[name].params}
