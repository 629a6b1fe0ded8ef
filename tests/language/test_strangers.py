"""Programs, versions and calls by people who did not write the engine (issue 4, hostile list).

Each ends as accepted, refused at check, or aborted; the two ways of running agree; the tools for authors take it too.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import re
from pathlib import Path
from typing import Any

import pytest

from cli.phrases import translated, words
from contracts.errors import LinkError, SourceError
from contracts.kit.compare import compare
from contracts.kit.explain import explain
from contracts.kit.layout import tidy
from contracts.runtime import Program, install, load, program
from contracts.testing import run_tests, user_id
from ledger.money import ISO_4217
from tests.language.calls import random_calls
from tests.language.hosts import ACME, CURRENCIES, GAS, DictHost, signer

FIRST = "contract c version 1\n"


def _programs() -> list[tuple[str, str, str]]:
    """Return (what the check says, title, source) of each chunk of strangers.txt."""
    text = (Path(__file__).parent / "strangers.txt").read_text(encoding="ascii")
    found = []
    for chunk in re.split(r"^### ", text, flags=re.M)[1:]:
        header, _, body = chunk.partition("\n")
        says, _, title = header.partition(" | ")
        found.append((says, title, FIRST + body))
    return found


PROGRAMS = _programs()
ACCEPTED = [(title, source) for says, title, source in PROGRAMS if says == "ok"]
REFUSED = [item for item in PROGRAMS if item[0] != "ok"]


def test_the_list_is_long() -> None:
    assert len(ACCEPTED) > 140
    assert len(REFUSED) > 110
    assert len({title for _, title, _ in PROGRAMS}) == len(PROGRAMS)


@pytest.mark.parametrize(("says", "title", "source"), REFUSED, ids=[title for _, title, _ in REFUSED])
def test_a_program_is_refused_where_it_is_wrong_and_in_both_languages(says: str, title: str, source: str) -> None:
    with pytest.raises(SourceError) as caught:
        load(source.encode("ascii"), {}, CURRENCIES)
    error = caught.value
    assert f"{error.code} {error.line}:{error.column}" == says, error.text
    assert len(error.text) <= 200
    assert translated(error.text), error.text


TESTED = [(title, source) for title, source in ACCEPTED if '\ntest "' in source]


@pytest.mark.parametrize(("title", "source"), TESTED, ids=[title for title, _ in TESTED])
def test_a_program_does_what_its_author_expects_on_both(title: str, source: str, differences: list[str]) -> None:
    report = run_tests(source.encode("ascii"), [], ISO_4217)
    assert [result for result in report.results if not result.passed] == []
    assert differences[1:] == []


@pytest.mark.parametrize(("title", "source"), ACCEPTED, ids=[title for title, _ in ACCEPTED])
def test_a_program_means_the_same_on_both_and_the_tools_take_it(title: str, source: str) -> None:
    text = source.encode("ascii")
    code = load(text, {}, CURRENCIES)
    if code.interface.actions or code.interface.queries:
        random_calls([("c", text)], 7, 10)
    shaped = tidy(text)
    assert tidy(shaped) == shaped
    assert load(shaped, {}, CURRENCIES).interface.ir_hash == code.interface.ir_hash
    assert [change for change in compare(text, shaped) if change.rule] == []
    for language in ("en", "zh-CN"):
        assert list(explain(code, words(language, "explain"))) or not code.module.routines


# -- sources that are long, deep or cut off --------------------------------------------------------------------------

QUERY = FIRST + "query q(n: int, a: list(int, 9)) -> int:\n"


def _calls(count: int, body: str) -> str:
    rest = "".join(f"function f{at}() -> int:\n    return {body.format(at - 1)}\n" for at in range(1, count))
    return FIRST + "function f0() -> int:\n    return 1\n" + rest + f"query q() -> int:\n    return f{count - 1}()\n"


MADE = {
    "1,700 branches": ("chain", QUERY + "    if n == 0:\n        return 0\n" + "".join(
        f"    elif n == {at}:\n        return 1\n" for at in range(1_700)) + "    return 2\n"),
    "2,500 constants, each the one before": ("", FIRST + "const c0 = 2\n" + "".join(
        f"const c{at} = c{at - 1}\n" for at in range(1, 2_500)) + "query q() -> int:\n    return c63\n"),
    "constants that square": ("width", FIRST + "const c0 = 2\n" + "".join(
        f"const c{at} = c{at - 1} * c{at - 1}\n" for at in range(1, 64))),
    "three calls of the one before, sixty times": ("worst_case", _calls(60, "f{0}() + f{0}() + f{0}()")),
    "a chain of 900": ("worst_case", _calls(900, "f{0}()")),
    "a circle of 900": ("limit", _calls(900, "f{0}()").replace("return 1\n", "return f899()\n", 1)),
    "3,000 used contracts": ("undeclared", FIRST + "".join(f"uses u{at}@1\n" for at in range(3_000))),
    "60,000 empty lines": ("", FIRST + "\n" * 60_000),
    "30,000 open brackets": ("syntax", QUERY + "    return (\n" + "(\n" * 30_000),
    "10,000 arguments": ("limit", QUERY + "    return min(n,\n" + "n,\n" * 10_000 + "n)\n"),
    "1,001 values": ("chain", QUERY + "    let l = [" + "n,\n" * 1_000 + "n]\n    return l[0]\n"),
    "sixty places in a row": ("depth", QUERY + "    return a" + "[0]" * 60 + "\n"),
    "eighty parts in a row": ("depth", QUERY + "    return a" + ".b" * 80 + "\n"),
    "nothing": ("bad_byte", ""),
    "one line end": ("syntax", "\n"),
    "no name": ("syntax", "contract\n"),
    "version 0": ("syntax", "contract c version 0\n"),
    "the greatest version": ("", "contract c version 9223372036854775807\n"),
    "NUL": ("bad_byte", FIRST + "\0\n"), "CR": ("bad_byte", "contract c version 1\r\n"),
    "DEL": ("bad_byte", FIRST + "# \x7f\n"), "accents": ("bad_byte", FIRST + "# \xe9\n"),
    "UTF-16": ("bad_byte", FIRST.encode("utf-16").decode("latin-1")),
    "semicolon": ("bad_token", QUERY + "    return 1;\n"), "tab": ("bad_byte", QUERY + "\treturn 1\n"),
    "five spaces": ("bad_indent", QUERY + "     return 1\n"), "none": ("syntax", QUERY + "return 1\n"),
    "records that double": ("depth", FIRST + "record Ra0: a: int\n" + "".join(
        f"record Ra{at}: a: Ra{at - 1}, b: Ra{at - 1}\n" for at in range(1, 60))),
    "a row that is a little too large": ("limit", FIRST + "table Tab key id: int:\n" + "".join(
        f"    f{at}: list(int?, 30)\n" for at in range(60))),
    "seven loops of a thousand": ("worst_case", QUERY + "    var s = 0\n" + "".join(
        "    " * (at + 1) + f"for i{at} in range(1000):\n" for at in range(7)) + "    " * 8 + "s += 1\n    return s\n"),
}  # fmt: skip


@pytest.mark.parametrize("title", MADE)
def test_a_long_source_ends_as_it_should(title: str) -> None:
    wanted, source = MADE[title]
    try:
        load(source.encode("latin-1"), {}, CURRENCIES)
        said = ""
    except SourceError as error:
        said = error.code
        assert len(error.text) <= 200
        assert translated(error.text), error.text
    assert said == wanted


# -- versions that replace each other --------------------------------------------------------------------------------

TAB = """contract c version 1
table Tab key id: int:
    n: int, t: text(4)
action add(id: int, n: int, t: text(4)) by anyone:
    put Tab(id = id, n = n, t = t)
"""


def _next(lift: str, kind: str = "int", given: str = "1", head: str = "contract c version 2 replaces 1") -> str:
    """Return version 2 of `TAB` with one more field `z`, filled by `lift`."""
    return f"""{head}
table Tab key id: int:
    n: int, t: text(4), z: {kind}
migrate Tab: {lift}
action add(id: int, n: int, t: text(4)) by anyone:
    put Tab(id = id, n = n, t = t, z = {given})
action touch(id: int) by anyone:
    update Tab[id] with n = Tab[id].n
query one(id: int) -> {kind}:
    return Tab[id].z
"""


LIFTS = {
    "plain": ("", _next("z = 5")),
    "divides by zero": ("", _next("z = floor_div(1, row.n)")),
    "overflows": ("", _next("z = row.n * row.n")),
    "a text that may be too long": ("", _next('z = "{row.t}{row.n}"', "text(5)", '"a"')),
    "a list": ("", _next("z = [row.n, 2]", "list(int, 3)", "[]")),
    "an empty list": ("", _next("z = []", "list(int, 3)", "[]")),
    "none": ("", _next("z = none", "date?", "none")),
    "twice": ("duplicate", _next("z = 5\nmigrate Tab: z = 6")),
    "an old field too": ("arguments", _next("z = 5, n = 6")),
    "the key too": ("arguments", _next("z = 5, id = 6")),
    "one field twice": ("duplicate", _next("z = 1, z = 2")),
    "itself": ("undeclared", _next("z = row.z")),
    "a function": ("migrate", _next("z = f(row.n)\nfunction f(n: int) -> int:\n    return n")),
    "another row": ("effect", _next("z = Tab[1].n")),
    "the caller": ("no_caller", _next("z = caller", "party", "caller")),
    "the date": ("migrate", _next("z = today", "date", "today")),
    "the height": ("migrate", _next("z = height")),
    "a fresh id": ("effect", _next('z = new_id("a")', "text(40)", '"a"')),
    "no table": ("migrate", _next("z = 5").replace("migrate Tab", "migrate Tub")),
    "nothing": ("migrate", _next("z = 5").replace("migrate Tab: z = 5\n", "")),
    "replaces itself": ("version", _next("z = 5", head="contract c version 2 replaces 2")),
    "leaves one out": ("version", _next("z = 5", head="contract c version 3 replaces 1")),
    "is the first again": ("version", _next("z = 5", head="contract c version 1 replaces 1")),
    "replaces none": ("version", _next("z = 5", head="contract c version 2")),
}


def _history(*sources: str) -> list[tuple[str, bytes]]:
    return [(source.split()[1], source.encode("ascii")) for source in sources]


def _end(*sources: str) -> str:
    """Run calls on each version in turn, over the rows that the one before left; return how the last ends."""
    state: dict[bytes, bytes] = {}
    for count in range(1, len(sources) + 1):
        history = _history(*sources[:count])
        try:
            linked = program(history, CURRENCIES)
        except SourceError as error:
            assert count == len(sources)
            assert translated(error.text), error.text
            return error.code
        except LinkError as error:
            assert count == len(sources)
            assert translated(error.reason), error.reason
            return f"link {error.contract}"
        if any(item.actions or item.queries for item in linked.interfaces.values()):
            random_calls(history, count, 12, state)
    return ""


@pytest.mark.parametrize("title", LIFTS)
def test_l62_a_lift_ends_as_accepted_or_refused_and_alike_on_both(title: str) -> None:
    wanted, source = LIFTS[title]
    assert _end(TAB, source) == wanted


def _aa(version: int, body: str, uses: str = "") -> str:
    follows = f" replaces {version - 1}" if version > 1 else ""
    return f"contract aa version {version}{follows}\n{uses}{body}"


def _bb(body: str, uses: str = "uses aa@1\n") -> str:
    return f"contract bb version 1\n{uses}{body}"


ONE = "query f() -> int:\n    return 1\n"
ASKS = "query g() -> int:\n    return aa.f() + 1\n"
KEEPS = """table Own key id: int:
    p: aa.Ph
action g(id: int, p: aa.Ph) by anyone:
    put Own(id = id, p = p)
"""
ACTS = "event Ev: n: int\naction act(t: text(5)) by contract {}:\n    emit Ev(n = count(t))\n"
CALLS = "action g(t: text(9)) by anyone:\n    aa.act(t)\n"
TABLE = "table Tab key id: int:\n    n: int\n"

USES = {
    "one": ("", _aa(1, ONE), _bb(ASKS)),
    "a circle over versions": (
        "link aa", _aa(1, ONE), _bb(ASKS), _aa(2, "query f() -> int:\n    return bb.g()\n", "uses bb@1\n")),
    "a query that is dropped": ("link bb", _aa(1, ONE), _bb(ASKS), _aa(2, "query h() -> int:\n    return 1\n")),
    "a query of another type": (
        "link bb", _aa(1, ONE), _bb(ASKS), _aa(2, "query f() -> rate(2):\n    return 1.0\n")),
    "a version to come": ("version", _aa(1, ONE), _bb(ASKS, "uses aa@2\n")),
    "twice": ("duplicate", _aa(1, ONE), _bb(ASKS, "uses aa@1\nuses aa@1\n")),
    "nobody asks": ("", _aa(1, ONE), _bb(ONE)),
    "unknown": ("undeclared", _bb(ASKS)),
    "an action from a query": (
        "effect", _aa(1, ACTS.format("bb")), _bb('query g() -> int:\n    aa.act("a")\n    return 1\n')),
    "another caller": ("not_callable", _aa(1, ACTS.format("zz")), _bb(CALLS)),
    "the right caller": ("", _aa(1, ACTS.format("bb")), _bb(CALLS)),
    "a function": ("undeclared", _aa(1, "function f() -> int:\n    return 1\n"), _bb(ASKS)),
    "a constant": ("wrong_type", _aa(1, "const f = 1\n"), _bb("query g() -> int:\n    return aa.f\n")),
    "a row": ("foreign_table", _aa(1, TABLE), _bb("query g() -> int:\n    return aa.Tab[1].n\n")),
    "whether a row exists": ("foreign_table", _aa(1, TABLE), _bb("query g() -> bool:\n    return exists aa.Tab[1]\n")),
    "a row as a field": ("wrong_type", _aa(1, TABLE), _bb("table Own key id: int:\n    t: aa.Tab\n")),
    "its event": ("syntax", _aa(1, "event Ev: n: int\n"), _bb("action g() by anyone:\n    emit aa.Ev(n = 1)\n")),
    "a row by a query": (
        "", _aa(1, TABLE + "query f(i: int) -> Tab?:\n    return Tab[i]?\n"),
        _bb("query g(i: int) -> int:\n    let x = aa.f(i)\n    if x is none:\n        return 0\n    return value_of(x).n\n")),
    "an enum that grows": ("", _aa(1, "enum Ph: x, y\n"), _bb(KEEPS), _aa(2, "enum Ph: x, y, z\n")),
    "an enum that turns": ("incompatible", _aa(1, "enum Ph: x, y\n"), _bb(KEEPS), _aa(2, "enum Ph: y, x\n")),
    "a record that grows": (
        "incompatible", _aa(1, "record Ph: x: int\n"), _bb(KEEPS), _aa(2, "record Ph: x: int, y: int\n")),
    "a record that widens": (
        "", _aa(1, "record Ph: x: text(3)\n"), _bb(KEEPS), _aa(2, "record Ph: x: text(4000)\n")),
    "a record that widens beyond a row": (
        "link bb", _aa(1, "record Ph: x: list(text(3), 3)\n"), _bb(KEEPS), _aa(2, "record Ph: x: list(text(1364), 3)\n")),
    "a record that goes": (
        "incompatible", _aa(1, "record Ph: x: int\n"), _bb(KEEPS), _aa(2, "record Pg: x: int\n")),
}  # fmt: skip


@pytest.mark.parametrize("title", USES)
def test_l44_what_is_used_stays_or_the_change_is_refused(title: str) -> None:
    wanted, *sources = USES[title]
    assert _end(*sources) == wanted


def test_k11_two_that_use_each_other_do_not_come_in_one_group() -> None:
    circle = {"aa": _aa(1, "query f() -> int:\n    return bb.g()\n", "uses bb@1\n"), "bb": _bb(ASKS)}
    with pytest.raises(LinkError, match="aa -> bb -> aa"):
        install({}, {name: source.encode("ascii") for name, source in circle.items()}, CURRENCIES)


# -- arguments and gas -----------------------------------------------------------------------------------------------

TAKES = b"""contract c version 1
enum Ph: open, closed
record Par: a: int?, b: list(text(3), 2)
table Tab key id: int:
    n: int
query q(i: int, b: bool, t: text(3), m: money, c: currency, d: date, p: party, u: user, e: Ph, r: rate(2), o: int?,
        l: list(int, 2), w: Par) -> int:
    return i
action go(i: int) by anyone:
    put Tab(id = i, n = i)
schedule s every day:
    insert Tab(id = height, n = 1)
"""

GOOD: dict[str, Any] = {
    "i": 1, "b": True, "t": "abc", "m": ("EUR", 5), "c": "EUR", "d": "2026-01-01", "p": ACME,
    "u": user_id(ACME, "preparer"), "e": "open", "r": 5, "o": None, "l": (1, 2), "w": (None, ("a",)),
}  # fmt: skip


class Whole(int):
    """A number that is not exactly an int."""


class Words(str):
    """A text that is not exactly a str."""


class Level(enum.IntEnum):
    ONE = 1


BAD: dict[str, list[Any]] = {
    "i": [1.0, True, "1", None, 2**63, -(2**63), Whole(1), Level.ONE, decimal.Decimal(1), (1,), b"1", float("nan"),
          float("inf"), 1j, 10**400],
    "b": [0, 1, "true", None, Whole(1)],
    "t": ["abcd", "a\x00", "\ud800", "\u202e", "\u2028", Words("a"), b"a", 1, None, "\ufffe", "\x7f", "\x85", "\U0010ffff"],
    "m": [("EUR", 5.0), ("EUR", True), ("eur", 5), ("XXX", 1), ("EUR", 2**63), ("EUR",), ("EUR", 1, 1), "EUR 5.00",
          ("EUR", "5"), (Words("EUR"), 1), None, ("EUR ", 1), {"EUR": 1}],
    "c": ["XXX", "eur", "EUR ", "E\uff35R", 1, None, "", Words("EUR")],
    "d": ["2026-1-1", "2026-02-30", "0000-01-01", "10000-01-01", "2026-01-01\n", " 2026-01-01", "\uff12026-01-01",
          "2026-01-01T00:00", 20260101, datetime.date(2026, 1, 1), None, "2026-13-01", "-001-01-01", "2026/01/01"],
    "p": ["", "ACME", "a b", "a\n", 1, None, "-", "a" * 500, "acme\u0430", "\xe9"],
    "u": ["", "X", 1, None, "a" * 500],
    "e": ["Open", "", 0, None, "closed ", "mro", "__class__"],
    "r": [0.05, "0.05", True, 2**63, None, decimal.Decimal("0.05")],
    "o": [1.0, True, "", (), (1,), 2**63],
    "l": [(1, 2, 3), (1, 2.0), (True, 1), None, (None,), "12", range(2), {1: 1}, frozenset({1})],
    "w": [(), (1,), (1, (), 1), (1.0, ()), (None, ("abcd",)), (None, (1,)), (None, ("a", "b", "c")), None, {"a": 1}],
}  # fmt: skip


@pytest.fixture(scope="module")
def takes() -> Program:
    return program([("c", TAKES)], CURRENCIES)


@pytest.mark.parametrize("name", BAD)
def test_k55_a_wrong_argument_is_refused_by_its_name_before_anything_runs(takes: Program, name: str) -> None:
    for value in BAD[name]:
        host = DictHost({}, [])
        outcome = takes.query("c", "q", tuple({**GOOD, name: value}.values()), host, GAS)
        assert outcome.abort is not None, (name, value)
        assert (outcome.abort.code, outcome.gas_used, host.used) == ("bad_argument", 0, []), (name, value)
        assert f"`{name}`" in outcome.abort.text
        assert len(outcome.abort.text) <= 200
    assert takes.query("c", "q", tuple(GOOD.values()), DictHost({}, []), GAS).abort is None


@pytest.mark.parametrize("count", [0, 1, 12, 14, 1_000])
def test_k55_so_is_a_wrong_number_of_them(takes: Program, count: int) -> None:
    outcome = takes.query("c", "q", (1,) * count, DictHost({}, []), GAS)
    assert outcome.abort is not None
    assert (outcome.abort.code, outcome.gas_used) == ("bad_argument", 0)


@pytest.mark.parametrize("method", ["nope", "q", "s", "", "__init__", "Tab", "c.go", "go "])
def test_k55_so_is_a_method_that_is_none(takes: Program, method: str) -> None:
    outcome = takes.execute("c", method, (), DictHost({}, []), GAS)
    assert outcome.abort is not None
    assert (outcome.abort.code, outcome.gas_used) == ("unknown_method", 0)


def test_g4_a_call_needs_exactly_its_gas(takes: Program) -> None:
    need = takes.execute("c", "go", (1,), DictHost({}, []), GAS).gas_used
    for limit in [0, 1, *range(need - 60, need)]:
        outcome = takes.execute("c", "go", (1,), DictHost({}, []), limit)
        assert outcome.abort is not None
        assert (outcome.abort.code, outcome.gas_used) == ("out_of_gas", limit)
    for limit in (need, 2**63, 10**30):
        outcome = takes.execute("c", "go", (1,), DictHost({}, [(signer(ACME, "a"), "preparer")] * 9), limit)
        assert (outcome.abort, outcome.gas_used) == (None, need)
