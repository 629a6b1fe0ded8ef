"""A sample of the fuzzing; `tests/language/fuzz.py` says how a long run is made, docs/contract-internals.md what it gave."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.language import fuzz
from tests.simulator.test_determinism import said_by_all

SAMPLE = 1_500
DIGEST = "652483c1c10097beebfabd1c7f9ff130"
"""Of 60 typed programs and 60 argument lists, which depend on no file. Another price or meaning changes it: write it
anew on purpose."""
PROGRAM = "from tests.language.fuzz import digest; print(digest([*range(0, 600, 10), *range(9, 600, 10)]))"


def test_random_sources_and_arguments_end_in_a_result_a_refusal_or_an_abort() -> None:
    """Every kind occurs, and of the changed programs some are still accepted and run on both."""
    ends = Counter((one.kind, one.end in ("accepted", "ran")) for one in map(fuzz.case, range(SAMPLE)))
    assert {kind for kind, _ in ends} == set(fuzz.KINDS)
    assert ends["typed", True] > SAMPLE // 20
    assert ends["tokens", True] > 5
    assert ends["arguments", True] > 10
    assert ends["arguments", False] > 10


def test_a_stopped_run_goes_on_and_a_finding_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "progress.json"
    whole = fuzz.run(tmp_path / "whole.json", 40, 7)
    fuzz.run(file, 15, 7)
    assert json.loads(file.read_text())["next"] == 22
    assert {**fuzz.run(file, 40, 7), "seconds": 0} == {**whole, "seconds": 0}
    plain = fuzz.load

    def broken(source: bytes, *rest: object) -> object:
        if b"table" in source:
            raise KeyError("lost")
        return plain(source, *rest)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(fuzz, "load", broken)
    done = fuzz.run(tmp_path / "broken.json", 30, 0)
    assert [0, "typed", "KeyError: 'lost'"] in done["findings"]


def test_k41_k44_one_digest_on_every_python_and_hash_seed() -> None:
    """Ends, errors, gas, events and writes; both back ends agree inside each case."""
    found = said_by_all(PROGRAM)
    assert set(found) == {DIGEST}, found
