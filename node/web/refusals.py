"""What a refusal says, for people who read Chinese (U17, U57).

The API speaks English, because programs read it; a page speaks the language of its reader. The English sentence is the
key: `locales/refusals.zh-CN.json` has each with `{1}`, `{2}` for the parts that change. A test compares the file with
the sentences in the sources; what a library or a rule of the ledger says has no row, and pages show it as it was said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from node.sentences import Sentence, compiled, look_up
from node.web.texts import LANGUAGES

_POINTER: Final = re.compile(r"(|[?/][^ :]*): (.+)", re.DOTALL)
"""A refusal of one field begins with where it stands: RFC 6901, where "" is all of it, or a query parameter."""


def refusal(text: str, language: str) -> str:
    """Return a sentence of a refusal in `language`, or "" where only the English one is known.

    >>> refusal("This token lacks the scope 'read'.", "zh-CN")
    "此令牌没有权限范围 'read'。"
    >>> refusal("?limit: given twice", "zh-CN")
    '?limit：给出了两次'
    """
    if language == LANGUAGES[0]:
        return text
    pointed = _POINTER.fullmatch(text)
    if pointed is not None:
        rest = refusal(pointed[2], language)
        return f"{pointed[1]}：{rest}" if rest and pointed[1] else rest
    told = look_up(_rows(), text)
    if told is None:
        return ""
    return told.filled([refusal(part, language) or part for part in told.parts])  # a part may be a sentence itself


@cache
def sentences() -> Mapping[str, str]:
    """Return English sentence -> Chinese one."""
    text = (files("node.web") / "locales" / "refusals.zh-CN.json").read_text(encoding="utf-8")
    found: Mapping[str, str] = json.loads(text)
    return found


@cache
def _rows() -> tuple[Sentence, ...]:
    return compiled(sentences())


__all__ = ["refusal", "sentences"]
