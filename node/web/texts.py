"""Message catalogues: flat JSON files of id -> text with named parts, one for each language (U57).

Both files hold the same ids with the same named parts; a test compares them. Counted texts have two ids, `x.one` and
`x.other`; languages without a singular repeat the text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Final

LANGUAGES: Final = ("en", "zh-CN")
NAMES: Final[Mapping[str, str]] = {"en": "English", "zh-CN": "简体中文"}

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class MissingText(KeyError):
    """A page asks for a text that no catalogue has: our bug, found by the tests."""


class Catalogue:
    """The texts of one language."""

    __slots__ = ("_texts", "language")

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language = language
        self._texts = texts

    def __call__(self, key: str, /, **parts: object) -> str:
        """Return the text `key` with its named parts filled in; MissingText if there is none."""
        try:
            return self._texts[key].format_map(parts)
        except KeyError:
            raise MissingText(f"{self.language}: {key} {sorted(parts)}") from None

    def counted(self, key: str, count: int, /, **parts: object) -> str:
        """Return the text for one or for many, with `count` as a named part."""
        return self(f"{key}.one" if count == 1 else f"{key}.other", count=count, **parts)

    def has(self, key: str) -> bool:
        return key in self._texts

    def names(self, key: str) -> set[str]:
        """Return the named parts of a text."""
        return {name for _, name, _, _ in Formatter().parse(self._texts[key]) if name}

    def reason(self, code: str) -> str:
        """Return a reason code of the ledger with what it means; a code that nobody listed stands alone (F34)."""
        key = f"reason.{code}"
        return f"{self(key)} ({code})" if self.has(key) else code

    def day(self, iso: str | None) -> str:
        """Return an ISO date (or the date of an RFC 3339 time) as people write it."""
        if not iso:
            return "–"
        year, month, day = iso[:10].split("-")
        if self.language == "zh-CN":
            return f"{year}年{int(month)}月{int(day)}日"
        return f"{int(day)} {_MONTHS[int(month) - 1]} {year}"

    def moment(self, iso: str | None) -> str:
        """Return an RFC 3339 time as date and time, in UTC as the ledger has it."""
        return "–" if not iso else f"{self.day(iso)} {iso[11:19]} UTC"


@cache
def catalogue(language: str) -> Catalogue:
    """Return the catalogue of a language; any unknown one reads English."""
    chosen = language if language in LANGUAGES else "en"
    return Catalogue(chosen, texts(chosen))


@cache
def texts(language: str) -> Mapping[str, str]:
    """Return id -> text of one language as the file has it."""
    data = files("node.web").joinpath("locales", f"{language}.json").read_text("utf-8")
    found: dict[str, str] = json.loads(data)
    return found
