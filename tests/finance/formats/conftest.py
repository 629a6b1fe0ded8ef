"""The project's own samples: invented companies, consistent identifiers, one peculiarity each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from finance.formats import ReadOptions, ReadResult, read
from finance.model import Issue

SAMPLES = Path(__file__).parents[3] / "cli" / "samples"
FILES = Path(__file__).parent / "files"


@pytest.fixture
def sample() -> Callable[[str], bytes]:
    """Return the bytes of a sample by the start of its name."""

    def load(name: str) -> bytes:
        (path,) = [*SAMPLES.rglob(f"{name}*.xml"), *FILES.glob(f"{name}*.xml")]
        return path.read_bytes()

    return load


@pytest.fixture
def changed(sample: Callable[[str], bytes]) -> Callable[..., ReadResult]:
    """Read a sample after replacing texts; every text must occur."""

    def run(name: str, *pairs: tuple[str, str], strict: bool = True) -> ReadResult:
        text = sample(name).decode()
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new)
        return read(text.encode(), None, ReadOptions(strict=strict))

    return run


@pytest.fixture
def rules() -> Callable[[ReadResult], set[str]]:
    """Return the rules of the errors of a result."""

    def run(result: ReadResult) -> set[str]:
        return {issue.rule for issue in result.errors}

    return run


@pytest.fixture
def only() -> Callable[[ReadResult], Issue]:
    """Return the one error of a result."""

    def run(result: ReadResult) -> Issue:
        (issue,) = result.errors
        return issue

    return run
