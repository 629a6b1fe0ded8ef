"""Every program runs twice: as closures and by the plain tree walker. Outcome, events and writes are equal (K57)."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from contracts.errors import SourceError
from contracts.library import sources
from contracts.runtime import program
from contracts.testing import run_tests
from ledger.money import ISO_4217
from tests.language.calls import random_calls
from tests.language.generator import REFUSALS, make
from tests.language.hosts import CURRENCIES

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.contract"))


@pytest.mark.parametrize("name", [name for name, _ in sources()])
def test_k57_library_programs_mean_the_same_on_both(name: str, differences: list[str]) -> None:
    texts = dict(sources())
    earlier = [(other, texts[other]) for other in list(texts)[: list(texts).index(name)]]
    report = run_tests(texts[name], earlier, ISO_4217)
    assert report.failed == 0
    assert differences[1:] == []
    assert int(differences[0]) > 3


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_language_programs_pass_and_mean_the_same_on_both(path: Path, differences: list[str]) -> None:
    report = run_tests(path.read_bytes(), [], ISO_4217)
    assert [result for result in report.results if not result.passed] == []
    assert differences[1:] == []


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_random_calls_agree(path: Path) -> None:
    """Also: no call uses more gas than the worst case that was printed (acceptance numbers)."""
    succeeded = sum(random_calls([(path.stem, path.read_bytes())], seed, 250)[0] for seed in range(2))
    assert succeeded > 50


def test_random_calls_of_the_library_agree() -> None:
    succeeded, aborted = random_calls(list(sources()), 1, 700)
    assert succeeded > 50
    assert aborted > 50


def _upgraded(source: bytes) -> bytes:
    """Return a next version: each table has one more field, filled from the older row, and every write gives it.

    Some lifts abort, depending on the row: the text of a value is longer than its field (L62).
    """
    text = source.decode().replace("version 1", "version 2 replaces 1", 1)
    tables = re.findall(r"table (\w+) key [^\n]*\n    ([^\n]+)\n", text)
    for name, fields in tables:
        text = text.replace(f"    {fields}\n", f"    added: text(6), {fields}\n", 1)
        declared = re.search(rf"table {name} key [^\n]*\n(    [^\n]*\n)+", text)
        assert declared is not None
        kinds = re.findall(r"([kf]\d): (int|money|text\(6\)|date)(?=[,):\n])", declared[0])
        value = f'"{{row.{kinds[-1][0]}}}-"' if kinds else 'min("zz", max("a", "b"))'
        text = text.replace("event Seen", f"migrate {name}: added = {value}\nevent Seen", 1)
        text = re.sub(rf"(insert|put) {name}\(", rf'\1 {name}(added = "new", ', text)
    return text.encode()


LIFTS = (114, 132, 136, 147, 231, 286)
"""Seeds where lifts that abort once ended differently: rows beside the range, rows above the limit, rows under `put`."""


def test_random_programs_agree_after_an_upgrade() -> None:
    """Rows of version 1 are read, changed and scanned by version 2, alike on both; a lift may abort (L62)."""
    upgraded = lifted = 0
    for seed in [*range(60), *LIFTS]:
        source = make(seed)
        try:
            program([("generated", source)], CURRENCIES)
            program([("generated", source), ("generated", _upgraded(source))], CURRENCIES)
        except SourceError as error:
            assert error.code in REFUSALS, (seed, error)
            continue
        upgraded += 1
        state: dict[bytes, bytes] = {}
        random_calls([("generated", source)], seed, 12, state)
        rows = sum(key[:1] == b"t" for key in state)
        random_calls([("generated", source), ("generated", _upgraded(source))], seed + 1, 12, state)
        lifted += rows > 0
    assert upgraded > 40
    assert lifted > 10


def test_random_programs_agree() -> None:
    """Typed random programs: accepted or refused by name, and equal on both. `HANSA_FUZZ` sets how many."""
    count = int(os.environ.get("HANSA_FUZZ", "120"))
    accepted = calls = 0
    for seed in range(count):
        source = make(seed)
        try:
            accepted_one = program([("generated", source)], CURRENCIES)
        except SourceError as error:
            assert error.code in REFUSALS, (seed, error)
            continue
        del accepted_one
        accepted += 1
        calls += sum(random_calls([("generated", source)], seed, 12))
    assert accepted > count // 2
    assert calls == 12 * accepted
