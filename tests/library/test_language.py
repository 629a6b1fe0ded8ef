"""The tests that stand in the contracts themselves, run as `hansa contract test` runs them (L64)."""

from __future__ import annotations

import pytest

from contracts.library import ORDER, sources
from contracts.testing import run_tests
from ledger.money import ISO_4217


@pytest.mark.parametrize("place", range(len(ORDER)), ids=[name for name, _ in ORDER])
def test_the_tests_written_in_the_contract_pass(place: int) -> None:
    earlier, (_, source) = sources()[:place], sources()[place]
    report = run_tests(source, earlier, ISO_4217)
    assert report.results
    assert [(result.title, result.problem) for result in report.results if not result.passed] == []
