"""The tools: layout keeps the meaning, sentences tell everything, coverage and traces change nothing, findings are real."""

from __future__ import annotations

import json
import random
import re
import tomllib
from pathlib import Path

import pytest

from cli.phrases import translated
from contracts.errors import SourceError
from contracts.kit import observe
from contracts.kit.compare import compare
from contracts.kit.explain import explain
from contracts.kit.explore import explore
from contracts.kit.layout import logical_lines, tidy
from contracts.library import sources
from contracts.runtime import load, program
from contracts.syntax.phrases import PREDEFINED
from contracts.syntax.scan import RESERVED, scan
from contracts.testing import run_tests
from contracts.types import PLAIN
from ledger.money import ISO_4217
from tests.language.generator import make
from tests.language.hosts import CURRENCIES

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted((ROOT / "tests/language/programs").glob("*.contract"))
WORDS = {
    language: tomllib.loads((ROOT / f"cli/words/{language}.toml").read_text(encoding="utf-8"))
    for language in ("en", "zh-CN")
}


# -- layout


def rough(source: bytes, seed: int) -> bytes:
    """Return the source with random spaces between its tokens, and comments without a space after their sign."""
    rng = random.Random(seed)
    rows = source.decode().split("\n")
    starts: dict[int, list[int]] = {}
    for token in scan(source):
        if token.kind not in ("INDENT", "DEDENT", "NEWLINE", "END"):
            starts.setdefault(token.line, []).append(token.column - 1)
    for line, columns in starts.items():
        row = rows[line - 1]
        for column in reversed(columns[1:]):
            if len(row) < 190 and row[column - 1] == " " and rng.random() < 0.3:
                row = row[:column] + " " * rng.randrange(1, 3) + row[column:]
        rows[line - 1] = row + " " * rng.randrange(2) if len(row) < 198 else row
    return "\n".join(rows).encode()


@pytest.mark.parametrize("seed", range(60))
def test_tidy_is_idempotent_and_keeps_the_meaning(seed: int) -> None:
    source = make(seed)
    try:
        wanted = load(source, {}, CURRENCIES).interface.ir_hash
    except SourceError:
        wanted = b""
    shaped = tidy(source)
    assert tidy(shaped) == shaped
    assert tidy(rough(source, seed)) == shaped
    if wanted:
        assert load(shaped, {}, CURRENCIES).interface.ir_hash == wanted


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_programs_stay_what_they_are(path: Path) -> None:
    source = path.read_bytes()
    shaped = tidy(source)
    assert tidy(shaped) == shaped
    assert load(shaped, {}, CURRENCIES).interface.ir_hash == load(source, {}, CURRENCIES).interface.ir_hash


@pytest.mark.parametrize("name", [name for name, _ in sources()])
def test_the_library_is_tidy(name: str) -> None:
    source = dict(sources())[name]
    assert tidy(source) == source
    assert tidy(rough(source, 1)) == source


def test_the_layout_by_example() -> None:
    untidy = b"""contract c version 1
const  a=-1   #one
table Tab key(id:int,p : party):
    n:int,t:text( 8 )
    index( n )
#two
query q (a_list:list( int,3 ),n : int)->int :
    if n==- 1   or(n in[1,2]):
        return a_list [ 0 ]+n*  2
    return max(n,
      - n,)
"""
    with pytest.raises(SourceError):
        load(untidy, {}, CURRENCIES)
    assert (
        tidy(untidy).decode()
        == """contract c version 1
const a = -1  # one
table Tab key (id: int, p: party):
    n: int, t: text(8)
    index (n)
# two
query q(a_list: list(int, 3), n: int) -> int:
    if n == -1 or (n in [1, 2]):
        return a_list[0] + n * 2
    return max(n,
               -n,)
"""
    )


def test_logical_lines_have_no_comments_and_one_piece() -> None:
    lines = logical_lines(b"contract c version 1\nquery q(a: int,\n    b: int) -> int:  # sum\n    return a+b\n")
    assert [(line.number, line.level, line.text) for line in lines] == [
        (1, 0, "contract c version 1"),
        (2, 0, "query q(a: int, b: int) -> int:"),
        (4, 1, "return a + b"),
    ]


# -- sentences


def test_both_languages_have_the_same_keys_and_parts() -> None:
    english, chinese = WORDS["en"], WORDS["zh-CN"]
    assert english["explain"].keys() == chinese["explain"].keys()
    assert english["errors"].keys() == chinese["errors"].keys() == chinese["meanings"].keys()
    for key, text in english["explain"].items():
        parts = [sorted(re.findall(r"\{[a-z]+\}", words["explain"][key])) for words in (english, chinese)]
        assert parts[0] == parts[1], (key, text)


def test_every_error_code_has_advice() -> None:
    text = (ROOT / "tests/language/refused.txt").read_text(encoding="ascii")
    codes = {line.split(" ")[1].lstrip("+") for line in text.split("\n") if line.startswith("### ")}
    assert codes | {"incompatible", "worst_case", "bad_byte", "migrate", "version"} <= WORDS["en"]["errors"].keys()


@pytest.mark.parametrize("language", WORDS)
def test_everything_can_be_told(language: str) -> None:
    linked = program(sources(), ISO_4217)
    codes = [*linked.codes.values(), *(load(path.read_bytes(), {}, ISO_4217) for path in PROGRAMS)]
    for code in codes:
        told = explain(code, WORDS[language]["explain"])
        text = re.sub(r'"[^"\n]*"|\u201c[^\u201d\n]*\u201d', "", "\n".join(item.text for item in told))
        assert not re.search(r"\{(a|b|c|name|rule|value|sets|of|key|names|fields)\}", text), text
        assert {item.line for item in told} >= {item.line for item in code.tree.routines}
    for seed in range(40):
        try:
            code = load(make(seed), {}, CURRENCIES)
        except SourceError:
            continue
        assert explain(code, WORDS[language]["explain"])


TERMS = b"""contract terms version 1
enum Phase: open, closed
table Deal key id: text(8):
    buyer: party, open: money, late_rate: rate(6), phase: Phase, frozen: bool
action settle(id: text(8), pay: money) by role treasurer of Deal[id].buyer apart from sender and role approver:
    let deal = Deal[id]
    require deal.phase == Phase.open and not deal.frozen else closed "no"
    require pay >= deal.open + round_half_up(deal.open * deal.late_rate * 2.5%) or pay == zero else low "no"
    update Deal[id] with open = zero of pay
    ensure Deal[id].open == zero else kept "x"
"""


def test_sentences_by_example() -> None:
    told = [item.text for item in explain(load(TERMS, {}, CURRENCIES), WORDS["en"]["explain"])]
    assert (
        "It needs the signature of somebody with the role treasurer in buyer of the Deal for id, who is not the person who signs first."
        in told
    )
    assert "It is refused unless phase of deal is open and frozen of deal is false." in told
    assert (
        "It is refused unless pay is at least open of deal plus (open of deal times late rate of deal times 2.5%, "
        "rounded to the nearest unit, halves up) or pay is zero." in told
    )
    assert "When it ends, open of the Deal for id is zero; otherwise nothing of it happens." in told
    assert "These are different people." in told


def test_sentences_about_other_contracts_and_rows_that_may_be_missing() -> None:
    other = b"contract aa version 1\nquery f() -> int:\n    return 1\nquery g(n: int) -> int:\n    return n\n"
    source = b"""contract bb version 1
uses aa@1
table Tab key (a: int, b: int):
    n: int
query q(a: int, b: int) -> int:
    if not exists Tab[a, b]:
        return aa.f()
    require exists Tab[b, a] else gone "gone"
    return aa.g(a)
"""
    code = load(source, {"aa": load(other, {}, CURRENCIES).interface}, CURRENCIES)
    assert [item.text for item in explain(code, WORDS["en"]["explain"])][-4:] == [
        "If the Tab for a and b does not exist:",
        "The answer is f in contract aa.",
        "It is refused unless the Tab for b and a exists.",
        "The answer is g for a in contract aa.",
    ]
    assert "必须满足：存在 “Tab”（主键 “b”和“a”）；否则拒绝。" in [
        item.text for item in explain(code, WORDS["zh-CN"]["explain"])
    ]


# -- traces and coverage


def test_l65_a_trace_changes_nothing_and_shows_values() -> None:
    source = (ROOT / "tests/language/programs/ensures.contract").read_bytes()
    title = "an action that keeps its promise, and one that does not"
    report, entries = observe.trace(source, [], ISO_4217, title)
    assert report == run_tests(source, [], ISO_4217)
    lines = [entry.line for entry in entries]
    assert lines[:2] == [7, 7]
    shown = {(entry.line, local) for entry in entries for local in entry.locals}
    assert (13, ("amount", "EUR 4.00")) in shown
    assert all(0 <= entry.gas_used <= 200_000 for entry in entries)
    assert observe.trace(source, [], ISO_4217, "no such test")[0].results == ()


HALF = b"""contract half version 1
table Tab key id: int:
    n: int
action go(n: int) by anyone:
    require n < 100 else big "no"
    require n > -100 else small "no"
    if n == 1:
        put Tab(id = 1, n = n)
    elif n == 2:
        pass
    for t in Tab limit 3:
        update Tab[t.id] with n = 5
query never() -> int:
    return 1
test "one side":
    go(1)
    expect abort big: go(100)
"""


def test_coverage_names_what_is_not_reached() -> None:
    report, reached = observe.coverage(HALF, [], ISO_4217)
    assert report.failed == 0
    assert [(item.kind, item.line) for item in reached.missed] == [
        ("refusal", 6), ("branch", 7), ("line", 10), ("line", 14),
    ]  # fmt: skip
    assert (reached.lines, reached.branches) == ((6, 8), (2, 5))
    full = HALF.replace(
        b"    expect abort big",
        b"    go(2)\n    go(3)\n    expect never() == 1\n    expect abort small: go(-100)\n    expect abort big",
    )
    assert observe.coverage(full, [], ISO_4217)[1].missed == ()


def test_coverage_of_the_language_programs_is_known() -> None:
    """Tests in the language reach nearly all of their programs; random calls reach the rest."""
    for path in PROGRAMS:
        _, reached = observe.coverage(path.read_bytes(), [], ISO_4217)
        assert reached.lines[0] >= 0.8 * reached.lines[1], path.stem


# -- generated calls

CARELESS = b"""contract careless version 1
table Account key owner: party:
    amount: money
invariant each Account: row.amount >= zero
action deposit(amount: money) by role preparer of caller:
    require amount > zero else F1 "nothing"
    if exists Account[caller]:
        update Account[caller] with amount = Account[caller].amount + amount
    else:
        insert Account(owner = caller, amount = amount)
action withdraw(amount: money) by role preparer of caller:
    require amount > zero else F1 "nothing"
    update Account[caller] with amount = Account[caller].amount - amount
action double(n: int) -> int by anyone:
    return n * 2
test "in and out":
    parties acme
    as acme role preparer:
        deposit(EUR 5.00)
        withdraw(EUR 2.00)
"""


def test_generated_calls_find_a_missing_refusal_and_repeat() -> None:
    first = explore(CARELESS, [], ISO_4217, seed=4, runs=60)
    found = {(item.code, item.method, item.line) for item in first.findings}
    assert ("invariant_failed", "withdraw", 4) in found
    assert ("overflow", "double", 15) in found
    assert all(item.code in ("invariant_failed", "overflow") for item in first.findings)
    assert explore(CARELESS, [], ISO_4217, seed=4, runs=60) == first
    assert explore(CARELESS, [], ISO_4217, seed=5, runs=60) != first
    careful = CARELESS.replace(
        b"    update Account[caller] with amount = Account[caller].amount - amount",
        b'    require amount <= Account[caller].amount else F2 "more than there is"\n'
        b"    update Account[caller] with amount = Account[caller].amount - amount",
    )
    after = explore(careful, [], ISO_4217, seed=4, runs=60)
    assert "invariant_failed" not in {item.code for item in after.findings}
    assert after.never == ()


def test_generated_calls_let_schedules_run() -> None:
    source = (ROOT / "tests/language/programs/schedules.contract").read_bytes()
    found = explore(source, [], ISO_4217, seed=1, runs=25)
    assert ("invariant_failed", "schedule") in {(item.code, item.method) for item in found.findings}


def test_generated_calls_reach_the_library() -> None:
    texts = dict(sources())
    names = list(texts)
    for name in ("credit_risk", "payments"):
        earlier = [(other, texts[other]) for other in names[: names.index(name)]]
        found = explore(texts[name], earlier, ISO_4217, runs=25)
        assert found.succeeded > 50
        assert len(found.never) < 4
        assert [item for item in found.findings if item.code == "ensure_failed"] == []


# -- differences


def test_differences_are_named_by_declaration() -> None:
    old = TERMS
    new = (
        TERMS.replace(b"2.5%", b"3%").replace(b"    require deal.phase", b"    # why\n    require   deal.phase")
        .replace(b" and role approver", b"").replace(b"version 1", b"version 2")
        + b'query all_of() -> int:\n    return 1\ntest "x":\n    at 2026-01-01\n'
    )  # fmt: skip
    changes = compare(old, new)
    shown = [(item.kind, item.declaration, item.rule, item.old_line, item.new_line) for item in changes]
    assert shown == [
        ("changed", "contract terms", False, 1, 1),
        ("changed", "action settle", True, 5, 5),
        ("changed", "action settle", True, 8, 9),
        ("added", "query all_of", True, 0, 12),
    ]
    assert compare(old, tidy(old)) == []
    back = compare(new, old)
    assert ("removed", "query all_of") in [(item.kind, item.declaration) for item in back]


def test_a_dropped_refusal_is_a_rule() -> None:
    lines = TERMS.split(b"\n")
    without = b"\n".join(line for line in lines if b"else closed" not in line)
    (change,) = compare(TERMS, without)
    assert (change.kind, change.rule, change.old_line) == ("removed", True, 7)
    moved = b"\n".join([*lines[:6], lines[7], lines[6], *lines[8:]])
    assert {item.kind for item in compare(TERMS, moved)} <= {"added", "removed", "changed"}
    assert compare(TERMS, moved) != []


# -- editors


def test_highlighting_knows_the_words_of_the_language() -> None:
    grammar = json.loads((ROOT / "docs/editors/hansa-contract.tmLanguage.json").read_text(encoding="utf-8"))
    patterns = {item["name"].rsplit(".", 1)[0]: item.get("match", "") for item in grammar["patterns"]}
    assert set(re.findall(r"[a-z]+", patterns["keyword.control"])) - {"b"} == RESERVED
    special = {"caller", "sender", "today", "height", "row", "result"}
    assert set(re.findall(r"[a-z_]{3,}", patterns["support.function"])) == PREDEFINED - special
    assert set(re.findall(r"[a-z]{3,}", patterns["support.type"])) == {*PLAIN, "text", "rate", "list", "map"}
    vim = (ROOT / "docs/editors/contract.vim").read_text(encoding="utf-8")
    keywords = next(line for line in vim.split("\n") if "contractKeyword " in line).split(" ")[3:]
    assert set(keywords) == RESERVED
    for item in grammar["patterns"]:
        re.compile(item.get("match") or item["begin"])


# -- tests that fail


FAILING = b"""contract failing version 1

enum Kind: a, b

table Tab key id: int:
    n: int, m: money, k: Kind, d: date?

action go(id: int, m: money) by anyone:
    require m > zero else low "too low {m}"
    insert Tab(id = id, n = 2, m = m, k = Kind.a, d = none)

test "one":
    parties acme
    go(1, EUR 5.00)
    expect Tab[1].n == 2 and Tab[1].m == EUR 6.00
test "two":
    parties acme
    go(1, EUR 5.00)
    expect Tab[1].m < zero
test "three":
    go(1, EUR 5.00)
    expect Tab[1].k == Kind.b
test "four":
    go(1, EUR 5.00)
    expect not exists Tab[1]
test "five":
    go(1, EUR 5.00)
    expect Tab[1].d == 2026-01-01
test "six":
    go(1, EUR 0.00)
test "seven":
    expect abort low "hallo": go(1, EUR 0.00)
test "eight":
    expect abort high: go(1, EUR 0.00)
test "nine":
    parties acme
    expect abort high: go(1, EUR 2.00)
test "ten":
    expect Tab[1].n == 3
"""
SAID = {
    "one": ("part 2 of this does not hold: EUR 5.00 == EUR 6.00", "第 2 个条件不成立：EUR 5.00 == EUR 6.00"),
    "two": ("this does not hold: EUR 5.00 < zero", "条件不成立：EUR 5.00 < zero"),
    "three": ("this does not hold: Kind.a == Kind.b", "条件不成立：Kind.a == Kind.b"),
    "four": ("this does not hold", "条件不成立"),
    "five": ("this does not hold: none == 2026-01-01", "条件不成立：none == 2026-01-01"),
    "six": (
        "the call aborts require_failed low in line 9 of failing: too low EUR 0.00",
        "调用在 failing 第 9 行中止（require_failed low）：too low EUR 0.00",
    ),
    "seven": (
        'the text has no "hallo"; the call aborts require_failed low in line 9 of failing: too low EUR 0.00',
        "文字中没有“hallo”；调用在 failing 第 9 行中止（require_failed low）：too low EUR 0.00",
    ),
    "eight": (
        "expected high, the call aborts require_failed low in line 9 of failing: too low EUR 0.00",
        "应为 high，调用却在 failing 第 9 行中止（require_failed low）：too low EUR 0.00",
    ),
    "nine": ("the call succeeds, and an abort is expected", "调用成功了，而这里应当中止"),
    "ten": (
        "the expression aborts missing_row in line 39 of failing: there is no such row in Tab",
        "表达式在 failing 第 39 行中止（missing_row）：there is no such row in Tab",
    ),
}


def test_a_failing_test_says_what_was_compared_in_both_languages() -> None:
    report = run_tests(FAILING, [], ISO_4217)
    assert {result.title: (result.problem, translated(result.problem)) for result in report.results} == SAID


def test_the_words_of_the_kit_are_the_same_in_both_languages() -> None:
    english, chinese = WORDS["en"]["kit"], WORDS["zh-CN"]["kit"]
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        parts = [sorted(re.findall(r"\{[a-z_]+\}", told)) for told in (text, chinese[key])]
        assert parts[0] == parts[1], key


def test_a_changed_constant_is_a_changed_rule() -> None:
    old = b"contract c version 1\nconst most = 3\nquery q(n: int) -> bool:\n    return n < most\n"
    (change,) = compare(old, old.replace(b"= 3", b"= 400"))
    assert (change.kind, change.declaration, change.rule) == ("changed", "const most", True)


DEPENDS = b"""contract c version 1

table Tab key id: int:
    n: int, left: money

function late(n: int) -> bool:
    return n > 3

function label(n: int) -> text(9):
    return "a{n}"

function most() -> int:
    var found = 1
    found += 2
    return found

function note(id: int, m: money):
    require m > zero else low "no"
    update Tab[id] with left = m

function outer(id: int, m: money):
    note(id, m)

query owed(id: int) -> money:
    let row_of = Tab[id]
    return row_of.left

action go(id: int, m: money) by anyone:
    let total = m + m
    let words = "x"
    let other = Tab[id].n
    require total > zero and not late(id) and id < most() else low "no"
    note(id, m - m)
    outer(id, m)
    put Tab(id = id, n = count(words) + other + count(label(id)), left = total)
"""


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (b"return n > 3", b"return n > 300", True),  # a function that a condition asks
        (b"    found += 2\n", b"    found += 200\n", True),  # what that function adds up
        (b"let total = m + m", b"let total = m", True),  # what a condition compares
        (b"let row_of = Tab[id]", b"let row_of = Tab[id + 1]", True),  # what a query answers with
        (b"    note(id, m - m)\n", b"", True),  # a call that may refuse
        (b"    note(id, m - m)\n", b"    note(id, m + m)\n", True),
        (b"    outer(id, m)\n", b"    outer(id, m + m)\n", True),  # it calls one that may refuse
        (b'return "a{n}"', b'return "b{n}"', False),  # words that nothing asks for
        (b'let words = "x"', b'let words = "y"', False),
        (b"left = total)", b"left = m + total)", False),  # what is done, not whether
    ],
)
def test_what_a_rule_depends_on_is_a_rule(old: bytes, new: bytes, rule: bool) -> None:
    assert DEPENDS.count(old) == 1
    load(DEPENDS, {}, CURRENCIES)
    changes = compare(DEPENDS, DEPENDS.replace(old, new))
    assert {change.rule for change in changes} == {rule}


def test_a_long_chain_of_locals_is_followed_in_one_turn() -> None:
    """A review of 64 KiB must not take the square of its lines."""
    chain = "".join(f"    let a{at} = a{at - 1} + 1\n" for at in range(1, 1_500))
    source = f"contract c version 1\nquery q(a0: int) -> int:\n{chain}    return a1499\n".encode()
    (change,) = compare(source, source.replace(b"a1 = a0 + 1\n", b"a1 = a0 + 2\n"))
    assert change.rule


def test_an_expectation_that_costs_most_of_a_transaction_can_fail() -> None:
    """What was compared is worked out once more, with a budget of its own."""
    source = b"""contract c version 1
query q(n: int) -> int:
    var found = 0
    for i in range(n) limit 1000:
        for j in range(25):
            found += j
    return found
test "dear":
    expect q(900) == 1 and q(1) == 2
"""
    (result,) = run_tests(source, [], ISO_4217).results
    assert result.problem == "part 1 of this does not hold: 270000 == 1"
