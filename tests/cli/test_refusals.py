"""What a contract refused, as people and scripts read it (F85, U11, U17)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli.__main__ import _report
from cli.exit_codes import Exit
from cli.phrases import words
from cli.refusals import refusal_next, refusal_text, refused

ABORT = {
    "code": "require_failed",
    "contract": "acceptance",
    "version": 1,
    "line": 20,
    "reason": "RK1",
    "text": "exposure EUR 6355.11 > limit EUR 5000.00",
}
ENGLISH = "refused by rule RK1 (acceptance v1, line 20): exposure EUR 6355.11 > limit EUR 5000.00"


def told(capsys: pytest.CaptureFixture[str], abort: dict[str, Any], as_json: bool = False) -> str:
    assert _report(refused(abort), as_json=as_json) == Exit.REJECTED
    return capsys.readouterr().err


def test_a_refusal_names_rule_place_reason_and_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = told(capsys, ABORT).splitlines()
    assert first == ENGLISH
    assert second == "Next: ask the seller for a higher limit (hansa limit set), or pay open invoices first"


def test_u17_it_is_chinese_where_people_read_chinese(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANSA_LANG", "zh-CN")
    first, second = told(capsys, ABORT).splitlines()
    assert first == "被规则 RK1 拒绝（acceptance 第 1 版第 20 行）：占用 EUR 6355.11，超过额度 EUR 5000.00"
    assert second == "下一步：请卖方提高信用额度（hansa limit set），或先支付未结发票"


def test_u11_json_stays_english(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = told(capsys, ABORT, as_json=True)
    monkeypatch.setenv("HANSA_LANG", "zh-CN")
    assert told(capsys, ABORT, as_json=True) == plain
    assert json.loads(plain)["detail"] == ENGLISH


def test_people_read_names_of_companies_and_scripts_their_ids(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer, stranger = "c" + "a2" * 13, "c" + "b3" * 13
    abort = {**ABORT, "text": f"the credit limit of {buyer} is frozen or past its review date"}
    found = {
        "id": "00",
        "state": "committed",
        "args": [{"name": "id", "type": "text(40)", "value": "inv-1"}],
        "signers": [{"user": "u", "label": "clerk", "company": buyer, "company_name": "砺锋示例机械有限公司"}],
    }
    assert _report(refused(abort, found), as_json=False) == Exit.REJECTED
    assert "the credit limit of 砺锋示例机械有限公司 is frozen" in capsys.readouterr().err
    monkeypatch.setenv("HANSA_LANG", "zh-CN")
    assert _report(refused(abort, found), as_json=False) == Exit.REJECTED
    assert "砺锋示例机械有限公司 的信用额度已冻结，或已过复核日期" in capsys.readouterr().err
    assert _report(refused(abort, found), as_json=True) == Exit.REJECTED
    assert f"the credit limit of {buyer} is frozen" in json.loads(capsys.readouterr().err)["detail"]
    unknown = {**abort, "text": f"{stranger} is not an active company of this network"}
    assert stranger in refused(unknown, found).shown[0]


def test_what_another_contract_says_stays_as_its_author_wrote_it() -> None:
    abort = {**ABORT, "contract": "rent", "reason": "R1", "text": "the flat is let until 2026-12-31"}
    assert refusal_text(abort, "zh-CN") == "被规则 R1 拒绝（rent 第 1 版第 20 行）：the flat is let until 2026-12-31"
    assert refusal_next(abort, "zh-CN") == "查看该规则：hansa contract show rent --source"


def test_a_refusal_without_a_text_says_its_code() -> None:
    abort = {"code": "out_of_gas", "contract": "invoices", "version": 2, "line": 7}
    assert refusal_text(abort) == "refused by rule out_of_gas (invoices v2, line 7): out_of_gas"


@pytest.mark.parametrize("table", ["refused", "after"])
def test_both_languages_have_every_sentence_with_its_places(table: str) -> None:
    english, chinese = words("en", table), words("zh-CN", table)
    assert list(english) == list(chinese)
    for key, text in english.items():
        assert {
            part
            for part in ("{rule}", "{place}", "{text}", "{contract}", "{version}", "{line}", "{step}")
            if part in text
        } == {
            part
            for part in ("{rule}", "{place}", "{text}", "{contract}", "{version}", "{line}", "{step}")
            if part in chinese[key]
        }
