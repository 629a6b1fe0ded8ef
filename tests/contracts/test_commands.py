"""`hansa contract`: the offline commands on files, as people use them (L58, L64, L65)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.commands.contract import command
from cli.failure import CommandFailed
from cli.sources import compile_unit, read_unit
from ledger.money import ISO_4217
from tests.contracts.test_kit import CARELESS, HALF
from tests.contracts.test_upgrade import FIRST, SECOND, THIRD, USER


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HANSA_LANG", "en")
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(command, list(words))


def failed(result: Result) -> CommandFailed:
    assert isinstance(result.exception, CommandFailed), result.output
    return result.exception


def test_new_test_fmt_explain(folder: Path) -> None:
    assert run("new", "notes").exit_code == 0
    result = run("test", "notes.contract")
    assert result.exit_code == 0
    assert "ok      a note is written and read" in result.output
    assert run("fmt", "--check", "notes.contract").exit_code == 0
    source = (folder / "notes.contract").read_bytes()
    (folder / "notes.contract").write_bytes(source.replace(b"count(words) > 0", b"count( words )>0"))
    assert "1 of 1 files are not tidy" in failed(run("fmt", "--check", "notes.contract")).text
    assert run("fmt", "notes.contract").exit_code == 0
    assert (folder / "notes.contract").read_bytes() == source
    told = run("explain", "notes.contract").output
    assert "It is refused unless the count of words is more than 0." in told
    shown = json.loads(run("explain", "--lang", "zh-CN", "-o", "json", "notes.contract").output)
    assert shown["items"][0]["sentences"][0]["text"] == "合约“notes”，第 1 版"
    assert "is there already" in failed(run("new", "notes")).text
    assert "no name of a contract" in failed(run("new", "Notes")).text
    assert "small letters" in failed(run("new", "my notes")).next_step
    for taken in ("registry", "if"):
        assert f"my_{taken}" in failed(run("new", taken)).next_step


def test_each_of_several_files_is_refused_for_its_own_fault(folder: Path) -> None:
    (folder / "one.contract").write_text("contract one version 1\ntable T key id: int:\n    n: int\n")
    (folder / "two.contract").write_text("")
    (folder / "three.contract").write_text("contract three version 1\nquery q() -> int:\n    return 3\n")
    result = run("check", "one.contract", "two.contract", "three.contract")
    assert "one.contract:2:7: bad_token: T is no type: a type has a small letter, for example Tx" in result.output
    assert "two.contract:1:1: bad_byte" in result.output
    assert "2 of 3 files are not right" in failed(result).text


def test_errors_name_the_next_step_in_both_languages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "c.contract").write_text("contract c version 1\nquery q(n: int) -> int:\n    return n / 2\n")
    english = run("check", "c.contract").output
    assert "c.contract:3:12: wrong_type" in english
    assert "convert it, round it, or change the declared type" in english
    monkeypatch.setenv("HANSA_LANG", "zh-CN")
    chinese = run("check", "c.contract").output
    assert "wrong_type: 此处应为int，却是未舍入的数" in chinese
    assert "类型不符；转换、舍入，或修改声明的类型" in chinese


def test_coverage_and_generated_calls(folder: Path) -> None:
    (folder / "half.contract").write_bytes(HALF)
    output = run("test", "--coverage", "half.contract").output
    assert 'half.contract:6  never refuses: require n > -100 else small "no"' in output
    assert "half: 6 of 8 lines, 2 of 5 branches and refusals" in output
    (folder / "careless.contract").write_bytes(CARELESS)
    result = run("test", "--property", "--runs", "60", "--seed", "4", "careless.contract")
    assert "generated calls are findings" in failed(result).text
    assert "invariant_failed stops withdraw" in result.output
    shown = json.loads(run("test", "--property", "--coverage", "--runs", "5", "-o", "json", "half.contract").output)
    assert shown["coverage"][0]["lines"] == [6, 8]
    assert shown["generated"][0]["calls"] > 20


def test_trace(folder: Path) -> None:
    (folder / "half.contract").write_bytes(HALF)
    shown = json.loads(run("trace", "-o", "json", "half.contract", "one side").output)
    assert [item["line"] for item in shown["items"]][:3] == [5, 6, 7]
    assert shown["passed"]
    assert "has no test called 'other'" in failed(run("trace", "half.contract", "other")).text


def test_l61_upgrades_find_the_version_they_replace(folder: Path) -> None:
    for name, source in (("shelf-1", FIRST), ("shelf-2", SECOND), ("shelf", THIRD), ("buyer", USER)):
        (folder / f"{name}.contract").write_bytes(source)
    assert "shelf v3 is right" in run("check", "shelf.contract").output
    assert "buyer v1 is right" in run("check", "buyer.contract").output
    code, _ = compile_unit(read_unit(folder / "shelf.contract"), ISO_4217)
    assert code.interface.formats["Item"].layout == 3
    changes = json.loads(run("diff", "-o", "json", "shelf-1.contract", "shelf-2.contract").output)["items"]
    assert {"added"} <= {item["kind"] for item in changes}
    assert "* added in query held" in run("diff", "--rules", "shelf-1.contract", "shelf-2.contract").output
    (folder / "shelf-1.contract").unlink()
    assert "replaces version 1 of shelf, and no file named" in failed(run("check", "shelf-2.contract")).text
