"""Each transcript beside this file gives the log it holds. `pytest --update-transcripts` writes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.report.transcript import rewrite

FILES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_transcript(path: Path, pytestconfig: pytest.Config) -> None:
    text = path.read_text(encoding="utf-8")
    now = rewrite(text)
    if pytestconfig.getoption("--update-transcripts"):
        path.write_text(now, encoding="utf-8")
    else:
        assert now == text


def test_there_is_a_transcript_for_each_phase() -> None:
    assert {path.stem for path in FILES} >= {"normal-case", "view-change", "recovery", "catch-up"}
