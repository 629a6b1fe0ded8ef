"""Reading what `hansa cluster partition` and `link` are told (C4)."""

from __future__ import annotations

import doctest

import pytest

from cli.commands import links
from cli.exit_codes import Exit
from cli.failure import CommandFailed

NAMES = ["acme", "bolt", "corex", "delta"]


def test_the_examples_hold() -> None:
    assert doctest.testmod(links).failed == 0


@pytest.mark.parametrize(
    ("text", "left", "right"),
    [
        ("acme,bolt / corex,delta", ["acme", "bolt"], ["corex", "delta"]),
        ("acme/*", ["acme"], ["bolt", "corex", "delta"]),
        ("* / acme", ["bolt", "corex", "delta"], ["acme"]),
        ("acme / bolt", ["acme"], ["bolt"]),
    ],
)
def test_sides(text: str, left: list[str], right: list[str]) -> None:
    assert links._sides(text, NAMES) == (left, right)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("acme", Exit.USAGE), ("acme / ", Exit.USAGE), ("acme,, / bolt", Exit.USAGE), ("acme / bolt / corex", Exit.USAGE),
        ("acme / acme", Exit.USAGE), ("* / *", Exit.USAGE), ("acme,* / bolt", Exit.USAGE), ("acme / bolr", Exit.NOT_FOUND),
    ],
)  # fmt: skip
def test_sides_that_mean_nothing_are_refused_with_a_next_step(text: str, code: Exit) -> None:
    with pytest.raises(CommandFailed) as caught:
        links._sides(text, NAMES)
    assert caught.value.code is code and caught.value.next_step


@pytest.mark.parametrize("text", ["5", "-1%", "101%", "5 %", "1e1%", "٥%"])
def test_a_loss_is_a_share_in_per_cent(text: str) -> None:
    with pytest.raises(CommandFailed, match="no share"):
        links._loss_ppm(text)


@pytest.mark.parametrize("text", ["30", "1m", "-5s", "1.5s"])
def test_a_time_has_a_unit(text: str) -> None:
    with pytest.raises(CommandFailed, match="no time"):
        links._time_us("--for", text)
