"""Everything section 14 refuses, and the syntax of stage 2: one chunk each, with the code and place of the error."""

from __future__ import annotations

import pytest

from contracts.errors import SourceError
from contracts.runtime import load
from tests.language.hosts import CURRENCIES
from tests.language.refusals import (
    ACCEPTED,
    CHANGES,
    CHUNKS,
    FIGURES,
    HEAD,
    LINKED,
    WORDS,
    compiled,
    pinned_changes,
    pinned_figures,
    pinned_words,
)


@pytest.mark.parametrize(("wanted", "title", "source"), CHUNKS, ids=[f"{w} {t}" for w, t, _ in CHUNKS])
def test_refused(wanted: str, title: str, source: str) -> None:
    with pytest.raises(SourceError) as caught:
        compiled(source)
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


def test_l8_the_words_of_each_refusal_are_the_ones_that_were_read() -> None:
    """`python -m tests.language.refusals` writes the file anew."""
    assert pinned_words() == WORDS.read_text(encoding="utf-8").splitlines()


def test_g5_ir_and_worst_cases_of_what_is_just_accepted() -> None:
    """Programs at a bound and in every form; of those made for a bound, the second of each pair is refused."""
    found = pinned_figures()
    assert found == FIGURES.read_text(encoding="utf-8").splitlines()
    assert sum(": ir " not in line for line in found[: len(ACCEPTED)]) == 5
    assert len(ACCEPTED) + len(LINKED) == len(found) > 50


def test_l61_what_a_version_changes_is_named_whether_it_may_or_not() -> None:
    assert pinned_changes() == CHANGES.read_text(encoding="utf-8").splitlines()


def test_l33_a_range_is_as_long_as_it_says() -> None:
    """The worst case grows with the turns; a bound beside a literal counts instead of it."""

    def worst(loop: str) -> int:
        source = f"{HEAD}action go() by anyone:\n    for i in {loop}:\n        pass\n"
        return load(source.encode("ascii"), {}, CURRENCIES).interface.actions["go"].worst_gas

    turn = worst("range(2)") - worst("range(1)")
    assert turn > 0
    assert worst("range(1000)") - worst("range(1)") == 999 * turn
    assert worst("range(5) limit 9") == worst("range(9)")
