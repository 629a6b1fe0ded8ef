"""Sentences about contracts in the two languages (U17): `words/en.toml` and `words/zh-CN.toml` have the same keys.

What the compiler says is English in the engine; `words/compiler.zh-CN.toml` has every sentence of it in Chinese.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from cli.language import chosen
from node.sentences import Sentence, compiled, look_up


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


def sentence(text: str) -> str:
    """Return a sentence of the compiler in the chosen language; the English one where no other is known.

    The engine speaks one language, because nodes compare what it says; people read theirs. The English sentence is the
    key: `cli/words/compiler.zh-CN.toml` has each with `{1}`, `{2}` for the parts that change.
    """
    return text if chosen() == "en" else translated(text) or text


def translated(text: str) -> str:
    """Return a sentence of the compiler in Chinese, or "" for one that is not in the file.

    >>> translated("expected an expression, found `*`")
    '此处应为表达式，却是`*`'
    >>> translated("`amout` is not declared; did you mean `amount`?")
    '`amout` 没有声明；您是不是要写 `amount`？'
    """
    whole = _ENDS.fullmatch(text)
    if whole is None:
        return ""
    said, rule, near = whole.groups()
    told = look_up(_sentences(), said)
    if told is None:
        return ""
    parts = _compiler_words()["parts"]
    chinese = told.filled([parts.get(part, part) for part in told.parts])
    return chinese + (rule or "") + (f"；您是不是要写 `{near}`？" if near else "")


_ENDS: Final = re.compile(r"(.*?)( \((?:LR?\d+|section \d+)\))?(?:; did you mean `(\w+)`\?)?", re.DOTALL)
"""A sentence, the rule it cites, and the name that was perhaps meant."""


@cache
def _compiler_words() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads((files("cli") / "words" / "compiler.zh-CN.toml").read_text(encoding="utf-8"))


@cache
def _sentences() -> tuple[Sentence, ...]:
    return compiled(_compiler_words()["sentences"])
