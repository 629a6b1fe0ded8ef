"""What reaches a terminal, a pipe or a script: tables, JSON, JSON lines, CSV, ids (U10, U11, U53)."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from typing import Any

import click
import pytest

from cli import output
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from tests.cli.conftest import Done

MONEY = {"amount": "-1234.50", "currency": "EUR"}
DOCUMENT: dict[str, Any] = {
    "schema": "hansa.things/1",
    "height": 7,
    "items": [
        {"id": "a", "total": MONEY, "flags": ["late", "held"], "frozen": False, "note": None},
        {"id": "b", "total": {"amount": "0.00", "currency": "JPY"}, "flags": [], "frozen": True, "extra": "=1+1"},
    ],
}
ROWS = [["a", "-1,234.50 EUR"], ["b", "0 JPY"]]
HEADER = ["ID", "TOTAL>"]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    def emit(form: str) -> str:
        output.emit(DOCUMENT, form, ROWS, HEADER)
        return capsys.readouterr().out

    return emit


def test_u10_on_a_pipe_a_table_is_tabs_without_header(printed: Callable[[str], str]) -> None:
    assert printed("table") == "a\t-1,234.50 EUR\nb\t0 JPY\n"


def test_u10_cells_never_break_a_line_of_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    output.table([["a\tb\nc", " d "]], ["X", "Y"])
    assert capsys.readouterr().out == "a b c\td\n"


def test_u10_on_a_terminal_amounts_stand_under_each_other_and_wide_characters_count_twice() -> None:
    shown = output.render([["砺锋", "1.00 EUR"], ["Bolt SAS", "12,400.00 EUR"]], ["NAME", "AMOUNT>"]).splitlines()
    assert shown[0] == "NAME             AMOUNT"
    assert {output.width(line) for line in shown[1:]} == {23}
    assert shown[1].endswith("     1.00 EUR")


def test_u11_json_is_the_document_on_one_line_and_lines_are_its_items(printed: Callable[[str], str]) -> None:
    assert json.loads(printed("json")) == DOCUMENT
    assert [json.loads(line) for line in printed("jsonl").splitlines()] == DOCUMENT["items"]


def test_u53_csv_has_plain_amounts_and_no_formula(printed: Callable[[str], str]) -> None:
    rows = list(csv.DictReader(io.StringIO(printed("csv"))))
    assert rows[0] == {
        "id": "a", "total.amount": "-1234.50", "total.currency": "EUR", "flags": "late held", "frozen": "false",
        "note": "", "extra": "",
    }  # fmt: skip
    assert rows[1]["extra"] == "'=1+1", "a spreadsheet would run it"
    assert rows[1]["frozen"] == "true" and rows[1]["flags"] == ""


@pytest.mark.parametrize("cell", ["=cmd", "+1+1", "-x", "@sum", "\tx"])
def test_u53_every_beginning_of_a_formula_is_quoted(cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.emit({"items": [{"a": cell}]}, "csv", [], [])
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows == [["a"], ["'" + cell]]


def test_an_empty_list_is_empty_in_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("table", "jsonl", "csv", "ids"):
        output.emit({"items": []}, form, [], HEADER)
        assert capsys.readouterr().out == "", form


def test_u10_ids_are_the_first_column_once(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit(DOCUMENT, "ids", [["a", "x"], ["a", "y"], ["", "total"], ["b", "z"]], HEADER)
    assert capsys.readouterr().out == "a\nb\n"


def test_a_single_thing_is_lines_json_csv_or_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    shown = {}
    for form in (*output.FORMS, "ids"):
        output.one({"schema": "x/1", "total": MONEY}, form, [("total", "-1,234.50 EUR")], "a")
        shown[form] = capsys.readouterr().out
    assert shown["table"] == "total\t-1,234.50 EUR\n" and shown["ids"] == "a\n"
    assert shown["json"] == shown["jsonl"] == '{"schema": "x/1", "total": {"amount": "-1234.50", "currency": "EUR"}}\n'
    assert shown["csv"] == "schema,total.amount,total.currency\nx/1,-1234.50,EUR\n"


def test_u4_a_foot_names_height_and_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    output.foot({"height": 412, "count": 57, "next": "abc"}, ["open 1.00 EUR"], 2)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "2 of 57 at height 412 · open 1.00 EUR · next: --cursor abc\n")
    output.foot({"height": 3}, [], 2)
    assert capsys.readouterr().err == "2 at height 3\n"


def test_json_is_never_localised(command: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    english = command("version", "-o", "json").out
    monkeypatch.setenv("HANSA_LANG", "zh-CN")
    assert command("version", "-o", "json").out == english
    assert json.loads(english)["python"] == ".".join(map(str, sys.version_info[:3]))


def chosen(form: str, capsys: pytest.CaptureFixture[str], columns: str = "", **filters: str) -> str:
    shape = output.Shape(columns=tuple(columns.split(",")) if columns else (), filters=tuple(filters.items()))
    with click.Context(click.Command("list")) as context:
        context.meta[output.SHAPE_KEY] = shape
        output.emit(DOCUMENT, form, [*ROWS, ["total", "-1,234.50 EUR"]], HEADER)
    return capsys.readouterr().out


def test_u12_columns_are_headings_or_fields_in_the_order_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert chosen("table", capsys, "total,frozen,Id") == (
        "-1,234.50 EUR\tfalse\ta\n0 JPY\ttrue\tb\n-1,234.50 EUR\t\ttotal\n"
    )
    assert json.loads(chosen("json", capsys, "total.amount,id")) == {
        **DOCUMENT,
        "items": [{"total.amount": "-1234.50", "id": "a"}, {"total.amount": "0.00", "id": "b"}],
    }
    assert chosen("csv", capsys, "id,total") == ("id,total.amount,total.currency\na,-1234.50,EUR\nb,0.00,JPY\n")
    assert json.loads(chosen("jsonl", capsys, "total").splitlines()[0]) == {"total": MONEY}


def test_u12_a_filter_keeps_lines_and_drops_totals_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert chosen("table", capsys, frozen="true") == "b\t0 JPY\n"
    assert chosen("table", capsys, total="-1234.50 EUR") == "a\t-1,234.50 EUR\n", "thousands need no commas"
    assert chosen("ids", capsys, "total", frozen="false") == "a\n", "ids stay ids"
    assert json.loads(chosen("json", capsys, frozen="true"))["items"] == DOCUMENT["items"][1:]
    assert chosen("jsonl", capsys, frozen="true", id="a") == ""


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_u16_an_unknown_column_is_named_with_those_there_are(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandFailed, match="there is no column 'due' here") as failed:
        chosen(form, capsys, "id,due")
    assert failed.value.code is Exit.USAGE and "total.currency" in failed.value.next_step
    with pytest.raises(CommandFailed):
        chosen(form, capsys, due="2026-01-01")
