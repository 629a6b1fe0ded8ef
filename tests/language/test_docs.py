"""The documentation of the language is tested against the code: examples run, lists and numbers are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts import gas, limits
from contracts.errors import ABORT_CODES
from contracts.runtime import load
from contracts.syntax.phrases import PREDEFINED
from contracts.syntax.scan import RESERVED
from contracts.testing import run_tests
from contracts.values import key_part
from ledger.money import ISO_4217
from tests.language.calls import random_calls
from tests.language.hosts import ACME

DOCS = Path(__file__).parents[2] / "docs"
LANGUAGE = (DOCS / "contract-language.md").read_text(encoding="utf-8")
INTERNALS = (DOCS / "contract-internals.md").read_text(encoding="utf-8")
EXAMPLES = [text for page in (LANGUAGE, INTERNALS) for text in re.findall(r"```contract\n(.*?)```", page, re.S)]


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_pass_their_tests(text: str) -> None:
    report = run_tests(text.encode("ascii"), [], ISO_4217)
    assert report.results
    assert [result for result in report.results if not result.passed] == []
    name = load(text.encode("ascii"), {}, ISO_4217).name
    random_calls([(name, text.encode("ascii"))], 1, 100)


def _table(page: str, header: str) -> list[list[str]]:
    """Return the cells of the table that begins with `header`."""
    lines = page[page.index(header) :].split("\n\n")[0].split("\n")[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def test_words_and_names() -> None:
    words = re.search(r"never names: `([a-z ]+)`", LANGUAGE)
    assert words is not None
    assert set(words.group(1).split()) == RESERVED
    listed = {word for row in _table(LANGUAGE, "| built-in |") for word in re.findall(r"`([a-z_]+)", row[0])}
    assert listed <= PREDEFINED
    assert {"min", "max", "abs", "floor_div", "mod", "count", "days_between", "money_of", "new_id", "today"} <= listed


def test_abort_codes() -> None:
    listed = [code for row in _table(LANGUAGE, "| code | meaning") for code in re.findall(r"`([a-z_]+)`", row[0])]
    assert sorted(listed) == sorted(ABORT_CODES)


def test_limits() -> None:
    numbers = [
        [int(number.replace(",", "")) for number in re.findall(r"[0-9][0-9,]*", row[1])]
        for row in _table(LANGUAGE, "| what | limit |")
    ]
    assert numbers == [
        [limits.SOURCE_BYTES, limits.LINE_CHARS, limits.NAME_CHARS, limits.TREE_NODES],
        [limits.EXPRESSION_DEPTH, limits.BLOCK_DEPTH, limits.TYPE_DEPTH, limits.CALL_LEVELS],
        [limits.CHAIN_OPERANDS, limits.PARAMETERS, limits.FIELDS, limits.ENUM_VALUES, limits.INDEXES],
        [limits.TABLES, limits.RECORDS, limits.SCHEDULES, limits.TABLE_SCHEDULES],
        [limits.TEXT_CHARS, limits.SCAN_BOUND, limits.LIST_BOUND, limits.RATE_PLACES],
        [limits.ROW_BYTES, limits.KEY_BYTES],
        [limits.WIDTH_MAX],
        [limits.USES_CHAIN],
        [limits.TX_GAS, limits.TX_MEMORY_BYTES, limits.TX_ARGUMENT_BYTES],
        [limits.TX_ROWS, limits.TX_ROW_BYTES, limits.TX_EVENTS, limits.TX_EVENT_BYTES],
        [limits.QUERY_GAS],
    ]


def test_prices() -> None:
    rows = {
        row[0]: [int(number) for number in re.findall(r"[0-9]+", row[1])] for row in _table(INTERNALS, "| operation |")
    }
    prices = list(rows.values())
    assert prices == [
        [gas.STEP], [1, 2], [gas.TIMES, 2 * gas.TIMES], [gas.DIVIDE, 2 * gas.DIVIDE], [gas.DATE_STEP], [gas.NEW_ID],
        [gas.DATE_STEP], [gas.LIFT, gas.RATIO_SUM, gas.RATIO_PRODUCT, gas.RATIO_COMPARE], [gas.ROUND, gas.ROUND_WIDE],
        [gas.SHARE, gas.SHARE_PART], [gas.LIST_INDEX, gas.LIST_CHANGE, gas.COPY_BYTES], [1, 1],
        [gas.MAP_STEP, gas.KEY_BYTES], [gas.LOOP, gas.LOOP_TURN, gas.MAP_TURN, 1],
        [gas.TEXT, 1, 1, gas.CHARS_BUILT], [1, 1, gas.CHARS_COMPARED], [gas.MEMBER_OF_LIST],
        [gas.MEMBER_OF_LIST, 1, gas.MEMBERS_COMPARED, gas.CHARS_COMPARED, 1], [gas.INVOKE, 1],
        [gas.CALL_OUT, 1, gas.ARGUMENT_BYTES], [gas.QUESTION], [gas.READ, 1, gas.READ_BYTES, gas.EXISTS],
        [gas.SCAN, gas.SCAN_KEY], [gas.WRITE, 1, gas.WRITE_BYTES, gas.INDEX_ENTRY], [gas.EMIT, 1, gas.EMIT_BYTES],
        [gas.INVARIANT],
    ]  # fmt: skip


def test_key_tags() -> None:
    samples = {
        "int": 0,
        "bool": True,
        "text(n)": "a",
        "date": "2026-01-01",
        "currency": "EUR",
        "party": ACME,
        "user": ACME,
    }
    code = load(b"contract c version 1\nenum Phase: a\n", {}, ISO_4217)
    for row in _table(INTERNALS, "| type | wire form |"):
        tag = re.search(r"tag (\d)", row[2])
        if tag is None:
            assert row[0] in ("money", "rate(n)", "T?", "list(T, n)", "record")
            continue
        from contracts.types import PLAIN, Type, text

        kind = {"text(n)": text(3), "enum": Type("enum", 0, "c", "Phase")}.get(row[0]) or PLAIN[row[0]]
        assert key_part(kind, code.interface.all_enums)(samples.get(row[0], "a"))[0] == int(tag.group(1))


def test_every_module_is_named() -> None:
    folder = Path(gas.__file__).parent
    names = {path.stem for path in folder.glob("*.py")} | {
        f"{path.parent.name}/{path.stem}" for part in ("syntax", "kit") for path in folder.glob(f"{part}/*.py")
    }
    named = {name for row in _table(INTERNALS, "| module | holds") for name in re.findall(r"`([a-z_/]+)`", row[0])}
    assert named == {name for name in names if not name.endswith("__init__")}
