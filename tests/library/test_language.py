"""The tests that stand in the contracts themselves, run as `hansa contract test` runs them (L64)."""

from __future__ import annotations

import pytest

from contracts.kit.explore import explore
from contracts.kit.observe import coverage
from contracts.library import ORDER, sources
from contracts.testing import run_tests
from ledger.money import ISO_4217


@pytest.mark.parametrize("place", range(len(ORDER)), ids=[name for name, _ in ORDER])
def test_the_tests_written_in_the_contract_pass(place: int) -> None:
    earlier, (_, source) = sources()[:place], sources()[place]
    report = run_tests(source, earlier, ISO_4217)
    assert report.results
    assert [(result.title, result.problem) for result in report.results if not result.passed] == []


@pytest.mark.parametrize("place", range(len(ORDER)), ids=[name for name, _ in ORDER])
def test_every_line_and_branch_is_reached_by_a_test_in_the_contract(place: int) -> None:
    """What a `company_has` refuses is left to test_amounts and test_signatures: in a test every party has every role."""
    earlier, (_, source) = sources()[:place], sources()[place]
    _, reached = coverage(source, earlier, ISO_4217)
    rows = source.decode("ascii").split("\n")
    assert reached.lines[0] == reached.lines[1]
    assert [rows[missed.line - 1] for missed in reached.missed if "company_has(" not in rows[missed.line - 1]] == []


@pytest.mark.parametrize("place", range(len(ORDER)), ids=[name for name, _ in ORDER])
def test_no_generated_call_is_stopped_by_an_invariant_only(place: int) -> None:
    """A person is told by a `require` what is wrong; found in `take_back`, which let more be taken back than was paid."""
    earlier, (_, source) = sources()[:place], sources()[place]
    explored = explore(source, earlier, ISO_4217, seed=0, runs=60)
    assert explored.succeeded > 100
    assert explored.findings == ()
