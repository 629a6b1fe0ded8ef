"""Settlement, credit limit and netting: four contracts that use each other and most of the language.

They are read by people as much as by the compiler. Each runs its tests, random calls agree with the plain tree walker,
and the tidy layout, the sentences and the worst cases hold for them too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts import limits
from contracts.kit.layout import tidy
from contracts.runtime import program
from contracts.testing import run_tests
from ledger.money import ISO_4217
from tests.language.calls import random_calls

FOLDER = Path(__file__).parent / "examples"
NAMES = ("accounts", "invoices", "credit_risk", "netting")
SOURCES = [(name, (FOLDER / f"{name}.contract").read_bytes()) for name in NAMES]


@pytest.mark.parametrize("name", NAMES[1:])
def test_examples_pass_and_mean_the_same_on_both(name: str, differences: list[str]) -> None:
    at = NAMES.index(name)
    report = run_tests(SOURCES[at][1], SOURCES[:at], ISO_4217)
    assert [result for result in report.results if not result.passed] == []
    assert report.results
    assert differences[1:] == []
    assert int(differences[0]) > 3


def test_random_calls_of_the_examples_agree() -> None:
    succeeded, aborted = random_calls(SOURCES, 3, 600)
    assert succeeded > 100
    assert aborted > 100


def test_examples_are_tidy_and_within_the_limits() -> None:
    linked = program(SOURCES, ISO_4217)
    for name, source in SOURCES:
        assert tidy(source) == source, name
        for schema in linked.interfaces[name].actions.values():
            assert schema.worst_gas <= limits.TX_GAS
