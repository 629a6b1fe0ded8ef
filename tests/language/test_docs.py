"""The documentation of the language is tested against the code: examples run, lists and numbers are those of the code."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from contracts import gas, limits
from contracts.errors import ABORT_CODES
from contracts.host import Outcome
from contracts.runtime import Program, load, program
from contracts.syntax import tree
from contracts.syntax.parse import parse
from contracts.syntax.phrases import PREDEFINED
from contracts.syntax.scan import RESERVED
from contracts.testing import run_tests
from contracts.values import key_part
from ledger.money import ISO_4217
from tests.language.calls import random_calls
from tests.language.hosts import ACME, BANK, CURRENCIES, GAS, DictHost, reference_of, same, signer

DOCS = Path(__file__).parents[2] / "docs"
LANGUAGE = (DOCS / "contract-language.md").read_text(encoding="utf-8")
INTERNALS = (DOCS / "contract-internals.md").read_text(encoding="utf-8")
EXAMPLES = [text for page in (LANGUAGE, INTERNALS) for text in re.findall(r"```contract\n(.*?)```", page, re.S)]


def test_there_are_examples() -> None:
    assert EXAMPLES


def _needed(at: int) -> list[tuple[str, bytes]]:
    """Return what example `at` uses, replaces or tests, by name and in order: examples further up, with what they need."""
    heads = [re.match(r"contract (\w+) version (\d+)", text) for text in EXAMPLES]
    found = {(head[1], head[2]): place for place, head in enumerate(heads[:at]) if head is not None}
    newest = {name: place for (name, _), place in found.items()}
    text = EXAMPLES[at]
    places = [found[name, version] for name, version in re.findall(r"^uses (\w+)@(\d+)$", text, re.M)]
    places += [
        found[name, version] for name, version in re.findall(r"^contract (\w+) version \d+ replaces (\d+)", text)
    ]
    places += [newest[name] for name in re.findall(r"^tests for (\w+)", text)]
    sources: list[tuple[str, bytes]] = []
    for place in places:
        sources += [*_needed(place), (EXAMPLES[place].split()[1], EXAMPLES[place].encode("ascii"))]
    return sources


@pytest.mark.parametrize("at", range(len(EXAMPLES)))
def test_examples_pass_their_tests(at: int) -> None:
    text, used = EXAMPLES[at].encode("ascii"), _needed(at)
    report = run_tests(text, used, ISO_4217)
    assert report.results
    assert [result for result in report.results if not result.passed] == []
    file = parse(text)
    if isinstance(file, tree.Contract):
        random_calls([*used, (file.name, text)], 1, 100)


def _call(linked: Program, state: dict[bytes, bytes], company: str, role: str, method: str, *args: Any) -> Outcome:
    """Make a call on both implementations, which must agree."""
    contract, name = method.split(".")
    host, other = (DictHost(each, [(signer(company, role), role)]) for each in (state, dict(state)))
    call = linked.execute if name in linked.interfaces[contract].actions else linked.query
    outcome = call(contract, name, args, host, GAS)
    assert same(outcome, reference_of(linked, CURRENCIES), (contract, name, args, False), other) == ""
    assert outcome.abort is not None or host.state == other.state
    return outcome


def _example(head: str) -> int:
    return next(at for at, text in enumerate(EXAMPLES) if text.startswith(f"contract {head}\n"))


def test_l42_the_example_by_contract_is_called_by_the_other_one_only() -> None:
    at = _example("orders version 1")
    linked = program([*_needed(at), ("orders", EXAMPLES[at].encode("ascii"))], CURRENCIES)
    state: dict[bytes, bytes] = {}
    assert _call(linked, state, ACME, "treasurer", "purses.fill", ("EUR", 900)).abort is None
    assert _call(linked, state, BANK, "treasurer", "purses.fill", ("EUR", 100)).abort is None
    refused = _call(linked, state, ACME, "preparer", "purses.move", ACME, BANK, ("EUR", 400)).abort
    assert refused is not None and refused.code == "not_authorised"


def test_l62_the_examples_of_an_upgrade_read_what_the_first_version_wrote() -> None:
    first, second = _example("notes version 1"), _example("notes version 2 replaces 1")
    state: dict[bytes, bytes] = {}
    one = program([("notes", EXAMPLES[first].encode("ascii"))], CURRENCIES)
    assert _call(one, state, ACME, "preparer", "notes.write", "a", "ask").abort is None
    both = program([*_needed(second), ("notes", EXAMPLES[second].encode("ascii"))], CURRENCIES)
    before = dict(state)
    assert _call(both, state, ACME, "preparer", "notes.author_of", "a").result == ACME
    assert _call(both, state, ACME, "preparer", "notes.votes_of", "a").result == 0
    assert state == before, "a reader rewrites nothing"
    assert _call(both, state, ACME, "preparer", "notes.vote", "a").abort is None
    assert state != before and _call(both, state, ACME, "preparer", "notes.votes_of", "a").result == 1


def test_every_construct_is_in_an_example() -> None:
    """The page is the specification, so nothing that the parser can build is without an example that runs."""
    seen: set[type] = set()

    def walk(item: object) -> None:
        if isinstance(item, tree.Node):
            seen.add(type(item))
            for each in fields(item):
                walk(getattr(item, each.name))
        elif isinstance(item, tuple):
            for part in item:
                walk(part)

    for text in re.findall(r"```contract\n(.*?)```", LANGUAGE, re.S):
        walk(parse(text.encode("ascii")))
    kinds = {kind for kind in vars(tree).values() if isinstance(kind, type) and issubclass(kind, tree.Node)}
    assert {kind.__name__ for kind in kinds - seen - {tree.Node}} == set()
    words = set(re.findall(r"[a-z]+", "\n".join(re.findall(r"```contract\n(.*?)```", LANGUAGE, re.S))))
    assert RESERVED - words == set()


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
    used = set(re.findall(r"[A-Za-z_]+", "\n".join(re.findall(r"```contract\n(.*?)```", LANGUAGE, re.S))))
    assert (listed | PREDEFINED) - used == set(), "an example uses every built-in"
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
