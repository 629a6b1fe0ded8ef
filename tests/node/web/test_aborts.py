"""Why a transaction was refused is Chinese on Chinese pages (U17): each sentence of the sources, and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import contracts
import ledger.governance
from contracts.library import sources
from contracts.syntax import tree
from contracts.syntax.parse import parse
from node.web.aborts import aborted, sentences
from node.web.texts import catalogue
from tests.node.web.test_refusals import template

ENGINE = Path(contracts.__file__).parent
GOVERNANCE = Path(ledger.governance.__file__).parent
NO_WORDS = ("{1}: {2}", "user key {1}: {2}")
"""What only says where another sentence stands."""
ROLE = ("nobody who signs holds role {1}", "nobody who signs holds role {1} of {2}")
"""Put together from two parts in the source."""


def _raised(paths: Sequence[Path], names: Sequence[str]) -> Iterator[str]:
    """Yield the sentences among the arguments of calls of these names."""
    for path in paths:
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call):
                name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
                yield from (text for item in call.args if name in names and " " in (text := template(item)))


def _library() -> Iterator[str]:
    """Yield the text of every refusal in the contracts that come with it, with `{1}`, `{2}` for its parts."""

    def walk(item: object) -> Iterator[str]:
        if isinstance(item, tree.Require | tree.Ensure):
            number = 0
            text = ""
            for part in item.text.parts:
                number += not isinstance(part, str)
                text += part if isinstance(part, str) else f"{{{number}}}"
            yield text
        if isinstance(item, tree.Node):
            for name in item.__dataclass_fields__:
                yield from walk(getattr(item, name))
        elif isinstance(item, tuple):
            for part in item:
                yield from walk(part)

    for _, source in sources():
        yield from walk(parse(source))


SAID = {
    "contracts": {*_library()},
    "engine": {
        *_raised(sorted(ENGINE.glob("*.py")), ("abort", "_aborted", "_bad", "Aborted")),
        *_raised([GOVERNANCE.parent / "transition.py"], ("_refused",)),
        *ROLE,
    },
    "governance": {*_raised(sorted(GOVERNANCE.glob("*.py")), ("Refused", "need"))} - {*NO_WORDS},
}
ABORT = {
    "contracts": {"code": "require_failed", "contract": "invoices"},
    "engine": {"code": "missing_row", "contract": "loans"},
    "governance": {"code": "conflict", "contract": "governance"},
}


@pytest.mark.parametrize("group", SAID)
def test_u17_each_sentence_of_the_sources_has_a_chinese_one_and_no_other_has(group: str) -> None:
    assert len(SAID[group]) > 25
    assert set(sentences(group)) == SAID[group]


@pytest.mark.parametrize("group", SAID)
def test_every_part_stands_in_the_chinese_sentence(group: str) -> None:
    for text in SAID[group]:
        count = len(re.findall(r"\{\d\}", text))
        said = re.sub(r"\{(\d)\}", r"<\1>", text)
        told = aborted({**ABORT[group], "text": said}, "zh-CN")
        assert sorted(re.findall(r"<\d>", told)) == [f"<{at}>" for at in range(1, count + 1)], (text, told)
        assert not re.search(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}", told), told
        assert aborted({**ABORT[group], "text": said}, "en") == said


@pytest.mark.parametrize(
    ("code", "contract", "text", "told"),
    [
        (
            "require_failed",
            "invoices",
            "INV: inv-1 is in_process and cannot be accepted",
            "发票 inv-1 审核中，不能确认",
        ),
        ("require_failed", "payments", "PAY: pay-1 is timed_out and cannot be released", "付款 pay-1 超时，不能放行"),
        ("require_failed", "invoices", "DSP: 7 is lapsed and takes no evidence", "争议 7 已失效，不能再补充凭据"),
        ("require_failed", "invoices", "CRN: crn-1 is reversed and cannot be used", "红字发票 crn-1 已撤销，不能使用"),
        ("require_failed", "acceptance", "exposure EUR 9.00 > limit EUR 5.00", "占用 EUR 9.00，超过额度 EUR 5.00"),
        ("not_authorised", "x", "nobody who signs holds role approver of cabc", "签名人中没有人在 cabc 担任审批人"),
        ("conflict", "governance", "proposal ab12 is withdrawn already", "提案 ab12 已撤回"),
        ("require_failed", "x", "the shop is closed already", ""),
        ("refused_by_engine", "governance", "c: 2:1: syntax: expected an event", ""),
    ],
)
def test_examples(code: str, contract: str, text: str, told: str) -> None:
    assert aborted({"code": code, "contract": contract, "text": text}, "zh-CN") == told


def test_words_of_groups_are_in_the_catalogue_or_in_the_file() -> None:
    """Every value of an enum that a sentence names has a word."""
    chinese = catalogue("zh-CN")
    files = [file for file in (parse(source) for _, source in sources()) if isinstance(file, tree.Contract)]
    values = {enum.name: [value for value, _, _ in enum.values] for file in files for enum in file.enums}
    for group, enum in (("document", "Document"), ("phase", "Phase"), ("case", "CaseState")):
        assert [value for value in values[enum] if not chinese.has(f"{group}.{value}")] == [], group
