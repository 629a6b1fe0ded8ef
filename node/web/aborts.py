"""Why a transaction was refused, for people who read Chinese (U17, U57).

Receipts speak English, because all nodes compare them. `locales/aborts.zh-CN.json` has each sentence of the engine, of
the ledger's own contract and of the contracts that come with it; `{2|document}` is a part that is a word of a group,
as the catalogue or the file itself has it. What other contracts say has no row, and pages show it as it was said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from ledger.governance.act import GOVERNANCE
from node.sentences import Sentence, compiled, look_up
from node.web.texts import LANGUAGES, catalogue

_PART: Final = re.compile(r"\{(\d)(?:\|([a-z]+))?\}")
_OF_AUTHORS: Final = ("require_failed", "ensure_failed")
"""Aborts whose text stands in the contract."""


def aborted(abort: Mapping[str, Any], language: str) -> str:
    """Return the text of a receipt's abort in `language`, or "" where only the English one is known.

    >>> aborted({"code": "missing_row", "contract": "loans", "text": "there is no such row in Loan"}, "zh-CN")
    'Loan 中没有这条记录'
    """
    text = str(abort["text"])
    if language == LANGUAGES[0]:
        return text
    if abort["contract"] == GOVERNANCE:
        told = look_up(_rows("governance"), text) or look_up(_rows("engine"), text)
    else:
        told = look_up(_rows("contracts" if abort["code"] in _OF_AUTHORS else "engine"), text)
    if told is None:
        return ""
    return _PART.sub(lambda place: _word(place[2] or "", told.parts[int(place[1]) - 1], language), told.text)


def sentences(group: str) -> Mapping[str, str]:
    """Return English sentence -> Chinese one, of the `engine`, of `governance` or of the `contracts` of the library."""
    found: Mapping[str, str] = _file()[group]
    return found


def _word(group: str, word: str, language: str) -> str:
    """Return a word of a group in a language; itself where nobody translated it."""
    if not group:
        return word
    t = catalogue(language)
    known: str = _file()["values"].get(group, {}).get(word, "")
    return known or (t(f"{group}.{word}") if t.has(f"{group}.{word}") else word)


@cache
def _file() -> Mapping[str, Any]:
    text = (files("node.web") / "locales" / "aborts.zh-CN.json").read_text(encoding="utf-8")
    found: Mapping[str, Any] = json.loads(text)
    return found


@cache
def _rows(group: str) -> tuple[Sentence, ...]:
    return compiled(sentences(group))


__all__ = ["aborted", "sentences"]
