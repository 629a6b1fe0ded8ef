"""Sentences about contracts in the two languages: the files `words/*.toml`, which have the same keys (U17)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from cli.language import chosen


@cache
def words(language: str, table: str) -> Mapping[str, str]:
    """Return one table of a language: `explain`, `errors` (what to do), or `meanings` (zh-CN only).

    >>> words("en", "errors")["unbounded"]
    'add `limit N`'
    """
    found = tomllib.loads((files("cli") / "words" / f"{language}.toml").read_text(encoding="utf-8"))
    named: Mapping[str, str] = found.get(table, {})
    return named


def advice(code: str) -> str:
    """Return the next step for an error of a source, in the chosen language, after its meaning where that differs."""
    language = chosen()
    step = words(language, "errors").get(code, "")
    meaning = words(language, "meanings").get(code, "")
    return f"{meaning}；{step}" if meaning and step else step
