"""What the compiler says is said in Chinese too: every sentence, every code (U17)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import contracts
from cli.phrases import sentence, translated, words
from tests.language.refusals import CHUNKS, WORDS

SOURCES = [path for path in sorted(Path(contracts.__file__).parent.rglob("*.py")) if "kit" not in path.parts]
RAISES = ("fail", "_fail", "SourceError", "LinkError", "TestFailed")


ENDS = ("near", "why", "advice")
"""Names that hold what a sentence may end with. The pinned refusals have such ends."""


def _part(node: ast.expr) -> str:
    value = node.value if isinstance(node, ast.FormattedValue) else node
    if isinstance(value, ast.Constant):
        return str(value.value)
    called = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
    if called == "_told":
        return "Xy Xy in line Xy of Xy: Xy"  # how an abort is told
    return "" if called == "meant" or (isinstance(value, ast.Name) and value.id in ENDS) else "Xy"


def _said(node: ast.expr) -> list[str]:
    """Return the sentences that an expression can be, with a word for each part that changes."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr():
            return ["".join(_part(part) for part in node.values)]
        case ast.IfExp():
            return [*_said(node.body), *_said(node.orelse)]
    return []


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="ascii"))):
            if isinstance(node, ast.Call) and node.args:
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                if name in RAISES:
                    yield path.name, node


def _codes() -> set[str]:
    found = set()
    for _, call in _calls():
        texts = [arg.value for arg in call.args[:2] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        found.update(text for text in texts if text.replace("_", "").isalpha() and text.islower())
    return found | {"link"}


def test_u17_every_code_has_its_next_step_in_both_languages_and_its_meaning_in_chinese() -> None:
    codes = _codes()
    assert len(codes) > 35
    for language, table in (("en", "errors"), ("zh-CN", "errors"), ("zh-CN", "meanings")):
        assert codes - set(words(language, table)) == set(), (language, table)


def test_u17_every_sentence_that_the_compiler_can_raise_is_in_chinese() -> None:
    found = [(file, text) for file, call in _calls() for text in _said(call.args[-1])]
    assert len(found) > 200
    assert [(file, text) for file, text in found if not translated(text)] == []


def test_u17_so_are_the_words_of_every_pinned_refusal() -> None:
    lines = WORDS.read_text(encoding="utf-8").splitlines()
    heads = [f"{place} {title}: " for place, title, _ in CHUNKS]
    said = [line.removeprefix(head) for head, line in zip(heads, lines, strict=True)]
    assert len(said) > 500
    assert all(line.startswith(head) for head, line in zip(heads, lines, strict=True))
    assert [text for text in said if not translated(text)] == []


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("expected the end of the line, found `1%`", "此处应为行尾，却是`1%`"),
        ("expected rate(2), found unrounded money", "此处应为rate(2)，却是未舍入的金额"),
        ("text(1) + text(1) is not defined", "没有定义 text(1) + text(1)"),
        ("a scan may not stand here: this place must not read tables or roles", "遍历 不能写在这里：此处不允许读取表或角色"),
        ("`old` stands in `ensure` only, and not inside another `old` (L48)", "`old` 只能用在 `ensure` 中，且不能在另一个 `old` 之内 (L48)"),
        ("`go` can use 600 contract events, the limit is 512", "`go` 最多可能用 600 个合约事件，上限是 512"),
        ("the type of `{}` is not known here; write `var x: map(K, V, n) = {}`", "此处不知道 `{}` 的类型；请写 `var x: map(K, V, n) = {}`"),
        ("nobody has ever said this", ""),
    ],
)  # fmt: skip
def test_u17_parts_of_a_sentence_are_translated_and_what_the_author_wrote_is_not(english: str, chinese: str) -> None:
    assert translated(english) == chinese


def test_u17_the_chosen_language_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "expected an expression, found `*`"
    monkeypatch.setenv("HANSA_LANG", "en")
    assert sentence(text) == text
    monkeypatch.setenv("HANSA_LANG", "zh-CN")
    assert sentence(text) == "此处应为表达式，却是`*`"
    assert sentence("nobody has ever said this") == "nobody has ever said this"
