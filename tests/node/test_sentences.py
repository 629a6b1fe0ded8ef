"""English sentences as keys: the row with the most fixed letters is meant, and parts stay as they are."""

from __future__ import annotations

import pytest

from node.sentences import compiled, look_up

ROWS = compiled(
    {
        "{1} is not here": "没有 {1}",
        "the key {1} is not here": "没有键 {1}",
        "{1} before {2}": "{2} 在 {1} 之后",
        "write {{ or }} for {1}": "{1} 要写成 {{ 或 }}",
    }
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("the key a is not here", "没有键 a"),
        ("the row is not here", "没有 the row"),
        ("a before b", "b 在 a 之后"),
        ("{2} before {1}", "{1} 在 {2} 之后"),
        ("write {{ or }} for a brace", "a brace 要写成 {{ 或 }}"),
    ],
)
def test_a_sentence_is_found_as_a_whole_and_its_parts_are_not_read_again(text: str, wanted: str) -> None:
    told = look_up(ROWS, text)
    assert told is not None and told.filled(told.parts) == wanted


@pytest.mark.parametrize("text", ["", "is not here", "before b", "The key"])
def test_what_no_row_fits_is_not_guessed(text: str) -> None:
    assert look_up(ROWS, text) is None
