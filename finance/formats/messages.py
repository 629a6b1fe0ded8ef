"""The sentences of issues in both languages of the product, from `messages.toml` (X2)."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Final, Literal

from finance.model import Issue

Language = Literal["en", "zh"]
_PLACE: Final = re.compile(r"\{([a-z]+)\}")
LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """Return message key -> language -> sentence with `{placeholders}`."""
    table = tomllib.loads(files("finance.formats").joinpath("messages.toml").read_text("utf-8"))
    return {key: dict(sentences) for key, sentences in table.items() if isinstance(sentences, dict)}


def describe(issue: Issue, language: Language = "en") -> str:
    """Return the sentence of `issue`, without rule and place.

    >>> describe(Issue(rule="BR-02", severity="error", field="number", message="missing"))
    'number is missing.'
    """
    sentence = catalogue()[issue.message][language]
    shown = {"field": issue.field or "-", "line": str(issue.location.line), "column": str(issue.location.column)}
    shown.update(issue.values)
    return _PLACE.sub(lambda place: shown.get(place.group(1), "-"), sentence)
