"""Every finding has a sentence in both languages, and the sentence has its values (X2)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import finance.formats
from finance.formats import read
from finance.formats.messages import LANGUAGES, catalogue, describe
from finance.vat_groups import CATEGORIES

ROOT = Path(finance.formats.__file__).parents[1]
SOURCES = [*(ROOT / "formats").glob("*.py"), ROOT / "rules.py", ROOT / "vat_groups.py"]
PLACES = {"error": 2, "fault": 2, "issue": 3, "report": 2, "Refused": 1, "BadValue": 0}


def used_keys() -> set[str]:
    """Return the literal message keys of all calls that record a finding."""
    found: set[str] = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place = 1 if path.name in ("rules.py", "vat_groups.py") and name == "fault" else PLACES.get(name)
            if place is None or len(node.args) <= place:
                continue
            for part in ast.walk(node.args[place]):
                if (
                    isinstance(part, ast.Constant)
                    and isinstance(part.value, str)
                    and part.value.isidentifier()
                    and part.value[-1] != "_"
                ):
                    found.add(part.value)
    return found


def test_x2_every_key_has_both_sentences_with_the_same_places() -> None:
    for key, sentences in catalogue().items():
        assert set(sentences) == set(LANGUAGES), key
        places = [set(re.findall(r"\{[a-z]+\}", sentence)) for sentence in sentences.values()]
        assert places[0] == places[1], key


def test_x2_every_key_in_the_source_is_in_the_catalogue() -> None:
    keys = used_keys()
    assert len(keys) > 60
    keys |= {category.needs for category in CATEGORIES} | {f"rate_{category.rate}" for category in CATEGORIES}
    assert keys - set(catalogue()) == set()


def test_x2_sentences_are_filled(sample: object) -> None:
    result = read(sample("wrong-total"))  # type: ignore[operator]  # the fixture is a function
    (issue,) = result.errors
    assert describe(issue) == "totals.payable is 3470.40, but gross - prepaid + rounding gives 3407.40."
    assert "3470.40" in describe(issue, "zh")
