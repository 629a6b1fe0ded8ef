"""Refusals on Chinese pages are Chinese (U17): the file has each sentence written in the sources, and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import node.api
import node.web
from node.api.problems import Problem, height_pruned, invalid
from node.api.query import _MEANING
from node.web.refusals import refusal, sentences

CALLS = ("Problem", "FieldError", "invalid", "height_pruned", "_too_large", "NotYet")
WORDS = ("detail", "next_step", "msg")


def template(item: ast.expr) -> str:
    """Return a text with `{1}`, `{2}` for its parts, or "" for what is no text or has no words of its own."""
    match item:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            count, text = 0, ""
            for value in values:
                count += not isinstance(value, ast.Constant)
                text += str(value.value) if isinstance(value, ast.Constant) else f"{{{count}}}"
            return text
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"{template(left)}{template(right) or '{1}'}"
    return ""


def _said() -> Iterator[tuple[str, str]]:
    """Yield (where, sentence) of each refusal in the sources of the API, the pages and the packs."""
    api = Path(node.api.__file__).parent
    for path in sorted([*api.glob("*.py"), *Path(node.web.__file__).parent.glob("*.py"), *api.parent.glob("*.py")]):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in CALLS:
                continue
            first = 0 if call.func.id == "NotYet" else 1
            items = [*call.args[first:], *(word.value for word in call.keywords if word.arg in WORDS)]
            for item in items:
                text = template(item)
                if re.search(r"[A-Za-z]{2,}.* ", re.sub(r"\{\d\}", "", text)):
                    yield f"{path.name}:{item.lineno}", text


SAID = [*_said(), *(("query.py", f"expected {meaning}") for meaning in _MEANING.values())]
QUERY = ("expected one of {1}", "no such day in the calendar", "known here: {1}", "this operation takes none")
"""What `parse` puts together itself."""


def test_the_walk_finds_the_sentences() -> None:
    assert len(SAID) > 80


@pytest.mark.parametrize(("place", "text"), SAID, ids=[f"{place} {text[:40]}" for place, text in SAID])
def test_u17_every_sentence_has_a_chinese_one(place: str, text: str) -> None:
    told = refusal(re.sub(r"\{(\d)\}", r"<\1>", text), "zh-CN")
    assert told, f"{place}: {text}"
    assert not re.search(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}", re.sub(r"hansa \w+ \w+", "", told)), told
    assert sorted(re.findall(r"<\d>", told)) == sorted(
        re.sub(r"\{(\d)\}", r"<\1>", one) for one in re.findall(r"\{\d\}", text)
    )


def test_no_sentence_of_the_file_is_unused() -> None:
    said = {text for _, text in SAID} | set(QUERY)
    said |= {text.partition(": ")[2] for text in said if text.startswith("?")}
    assert set(sentences()) - said == set()


def test_parts_that_are_sentences_are_chinese_too() -> None:
    told = refusal(height_pruned(7, "Block 3 was asked for.").detail, "zh-CN")
    assert told == "所请求的是区块 3。区块、回执和事件自高度 7 起保存。"


@pytest.mark.parametrize(
    ("pointer", "told"),
    [("", "请求体不是提案：x"), ("/kind", "/kind：请求体不是提案：x"), ("/a/0/b", "/a/0/b：请求体不是提案：x")],
)
def test_a_refusal_of_a_field_says_where_it_stands(pointer: str, told: str) -> None:
    assert refusal(invalid(pointer, "the body is not a proposal: x").detail, "zh-CN") == told


def test_what_nobody_translated_stays_english() -> None:
    assert refusal("An error of a library.", "zh-CN") == ""
    assert refusal(Problem("conflict", "As it is.").detail, "en") == "As it is."
