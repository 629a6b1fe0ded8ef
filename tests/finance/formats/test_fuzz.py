"""Damaged documents never crash a reader (X51); the seeds are Hypothesis' own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finance.formats import ReadOptions, describe, read

SAMPLES = Path(__file__).parents[3] / "cli" / "samples"
PATHS = sorted(SAMPLES.glob("0[1-7]*.xml"))
TEXTS = ["", "-1", "0", "1e9", "NaN", "９", "\u202e", "<", "&amp;", "]]>", "true", "EUR", "USD", "S", "O", "20260230"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 40), st.sampled_from(TEXTS)), min_size=1, max_size=6)
)
def test_x51_damage_gives_issues_never_an_exception(path: Path, cuts: list[tuple[int, int, str]]) -> None:
    text = path.read_text()
    for at, size, new in cuts:
        at %= len(text)
        text = text[:at] + new + text[at + size :]
    for strict in (True, False):
        result = read(text.encode(), None, ReadOptions(strict=strict))
        assert result.items or result.errors
        for issue in result.issues:
            assert describe(issue) and describe(issue, "zh")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
@settings(max_examples=40, deadline=None)
@given(drop=st.integers(0, 400), value=st.sampled_from(TEXTS))
def test_x51_values_of_elements(path: Path, drop: int, value: str) -> None:
    """Replace the text of one element: well-formed, so every branch of the readers is reached."""
    parts = path.read_text().split("</")
    place = drop % (len(parts) - 1)
    head, _, _ = parts[place].rpartition(">")
    escaped = value.replace("<", "&lt;")
    parts[place] = f"{head}>{escaped}"
    result = read("</".join(parts).encode(), None, ReadOptions(strict=False))
    assert result.items or result.errors


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_x51_noise(data: bytes) -> None:
    assert read(data).errors
    assert read(b"PK\x03\x04" + data).errors
    assert read(b"<?xml version='1.0'?>" + data).errors
