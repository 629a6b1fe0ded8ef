"""Options that reads share: looking again and again, and what --columns and --filter take (U12)."""

from __future__ import annotations

from typing import Any

import click
import pytest

from cli import output, place
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.profile import Profile, Session

SESSION = Session(profile=Profile(name="", api="", token="", home=""), output="json", timeout_s=1)


class Ends(Exception):
    """Somebody pressed Ctrl-C."""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise Ends

    monkeypatch.setattr(place.time, "sleep", sleep)
    return slept


def test_u12_watching_looks_again_and_waits_for_a_node_that_is_down(
    pauses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    looks: list[int] = []

    @place.watch_option
    def look(session: Session) -> None:
        looks.append(len(looks))
        if len(looks) == 2:
            raise CommandFailed(Exit.UNAVAILABLE, "no answer from the node")
        click.echo(session.output)

    with pytest.raises(Ends):
        look(SESSION, watch=2.5)
    assert (looks, pauses) == ([0, 1, 2], [2.5, 2.5, 2.5])
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("json\njson\n", "no answer from the node\n")


def test_u12_every_other_refusal_ends_watching_and_without_it_there_is_one_look(pauses: list[float]) -> None:
    looks: list[str] = []

    @place.watch_option
    def look(session: Session) -> None:
        looks.append(session.output)
        raise CommandFailed(Exit.NOT_FOUND, "there is no invoice")

    for watch in (2.5, None):
        with pytest.raises(CommandFailed):
            look(SESSION, watch=watch)
    assert (len(looks), pauses) == (2, [])


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ([], output.Shape()),
        (["--columns", "id, due"], output.Shape(columns=("id", "due"))),
        (
            ["--filter", "status=a=b", "--filter", "due="],
            output.Shape(filters=(("status", "a=b"), ("due", ""))),
        ),
    ],
)
def test_u12_columns_and_filters_are_read_from_the_line(arguments: list[str], shape: output.Shape) -> None:
    @place.list_options
    def show(session: Session) -> None:
        raise AssertionError("only its options are used")

    found: Any = click.Command("list", params=list(reversed(show.__click_params__)))
    with found.make_context("list", arguments) as context:
        assert context.meta[output.SHAPE_KEY] == shape


@pytest.mark.parametrize(
    "arguments", [["--columns", ""], ["--columns", "a,,b"], ["--filter", "due"], ["--filter", "=x"]]
)
def test_u16_a_condition_that_is_none_is_refused_before_anybody_is_asked(arguments: list[str]) -> None:
    @place.list_options
    def show(session: Session) -> None:
        raise AssertionError("only its options are used")

    found: Any = click.Command("list", params=list(reversed(show.__click_params__)))
    with pytest.raises(click.BadParameter, match="write it like"):
        found.make_context("list", arguments)
