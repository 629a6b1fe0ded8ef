"""Everything section 14 refuses, and the syntax of stage 2: one chunk each, with the code and place of the error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts.errors import SourceError
from contracts.runtime import load
from tests.language.hosts import CURRENCIES

HEAD = """contract c version 1
enum Phase: open, closed
table Tab key id: text(8):
    n: int, m: money, p: party, on: date, flag: bool, phase: Phase
    index (p, n)
event Done: n: int
"""


def _chunks() -> list[tuple[str, str, str]]:
    text = (Path(__file__).parent / "refused.txt").read_text(encoding="ascii")
    found = []
    for chunk in re.split(r"^### ", text, flags=re.M)[1:]:
        header, _, body = chunk.partition("\n")
        wanted, place, *title = header.split(" ")
        source = HEAD + body if wanted.startswith("+") else body
        found.append((f"{wanted.lstrip('+')} {place}", " ".join(title), source))
    return found


CHUNKS = _chunks()


@pytest.mark.parametrize(("wanted", "title", "source"), CHUNKS, ids=[f"{w} {t}" for w, t, _ in CHUNKS])
def test_refused(wanted: str, title: str, source: str) -> None:
    with pytest.raises(SourceError) as caught:
        load(source.encode("ascii"), {}, CURRENCIES)
    error = caught.value
    assert f"{error.code} {error.line}:{error.column}" == wanted, error.text
    assert len(error.text) <= 200


@pytest.mark.parametrize(
    ("line", "near"),
    [
        ("    let a = amout", "amount"), ('    let a = Tab["x"].phse', "phase"), ('    delete Tub["x"]', "Tab"),
        ("    let a = days_betwen(today, today)", "days_between"), ("    let a = Phase.opne", "open"),
        ("    emit Done(m = 1)", "n"), ("    let a: Phse = Phase.open", "Phase"), ("    let a = zzzz", ""), ("    let a = q", ""),
    ],
)  # fmt: skip
def test_a_misspelt_name_is_guessed(line: str, near: str) -> None:
    source = f"{HEAD}action go(amount: int) by anyone:\n{line}\n"
    with pytest.raises(SourceError) as caught:
        load(source.encode("ascii"), {}, CURRENCIES)
    found = caught.value.text.partition("did you mean `")[2].rstrip("`?")
    assert found == (near if len(near) != 1 else "")


def test_the_list_is_long_and_each_program_is_refused_for_its_own_reason() -> None:
    assert len(CHUNKS) > 120
    assert len({code.split(" ")[0] for code, _, _ in CHUNKS}) > 20
