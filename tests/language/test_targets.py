"""The fuzz targets, driven by seeds as far as a test may; with `atheris` they run longer and by coverage."""

from __future__ import annotations

import pytest

from tests.language import fuzz, targets


@pytest.mark.parametrize(("name", "runs"), [("scan", 1_500), ("parse", 1_500), ("arguments", 3_000)])
def test_no_input_ends_in_anything_but_a_refusal(name: str, runs: int) -> None:
    assert targets.drive(name, runs) == runs + len(targets.inputs(name))


def test_a_target_notices_what_it_looks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = targets.scan
    monkeypatch.setattr(targets, "scan", lambda data: list(reversed(tokens(data))))
    with pytest.raises(fuzz.Finding):
        targets.drive("scan", 0)
