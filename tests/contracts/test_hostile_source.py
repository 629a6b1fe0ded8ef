"""Hostile sources: K1-K12, K14, K23, K32, K35-K38 of the hostile list. Each is refused by name, in time, at its place."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from contracts.errors import LinkError, SourceError
from contracts.runtime import link, load, program
from contracts.syntax.parse import parse
from contracts.syntax.scan import scan
from contracts.testing import run_tests
from tests.language.hosts import CURRENCIES, GAS, DictHost

HEAD = "contract c version 1\n"
PROGRAMS = sorted((Path(__file__).parents[1] / "language" / "programs").glob("*.contract"))


def refused(source: str | bytes) -> SourceError:
    """Return the error of a source that must be refused within half a second."""
    data = source if isinstance(source, bytes) else source.encode("ascii")
    began = time.process_time()
    with pytest.raises(SourceError) as caught:
        load(data, {}, CURRENCIES)
    assert time.process_time() - began < 0.5
    assert len(caught.value.text) <= 200
    return caught.value


def value_of(expression: str, kind: str = "int") -> object:
    """Compile `query q() -> kind: return expression` and run it."""
    linked = program([("c", f"{HEAD}query q() -> {kind}:\n    return {expression}\n".encode())], CURRENCIES)
    outcome = linked.query("c", "q", (), DictHost(), GAS)
    return outcome.result if outcome.abort is None else outcome.abort.code


def test_k1_prefixes_are_counted() -> None:
    error = refused(f"{HEAD}query q() -> int:\n    return {'-' * 5000}1\n")
    assert error.code == "limit"  # the line is too long before anything is parsed
    assert refused(f"{HEAD}query q() -> int:\n    return {'-' * 33}1\n").code == "depth"
    assert refused(f"{HEAD}query q() -> bool:\n    return {'not ' * 33}true\n").code == "depth"
    assert value_of("-" * 32 + "1") == 1
    assert value_of("not " * 32 + "true", "bool") is True


def test_k1_prefixes_over_many_lines() -> None:
    opened, closed = "(\n" * 5000, ")\n" * 5000
    assert refused(f"{HEAD}query q() -> int:\n    return {opened}1\n{closed}").code == "depth"


@pytest.mark.parametrize(("sign", "kind"), [(" + ", "int"), (" and ", "bool"), (" * ", "int"), (" or ", "bool")])
def test_k2_chains_have_64_operands(sign: str, kind: str) -> None:
    item = "1" if kind == "int" else "true"
    long = f"(\n{(sign + chr(10)).join([item] * 5000)})"
    assert refused(f"{HEAD}query q() -> {kind}:\n    return {long}\n").code in ("chain", "limit")
    over = f"({(sign + chr(10)).join([item] * 65)})"
    assert refused(f"{HEAD}query q() -> {kind}:\n    return {over}\n").code == "chain"
    exact = f"({(sign + chr(10)).join([item] * 64)})"
    assert value_of(exact, kind) in (64, 1, True)


def test_k2_inserts_in_a_text() -> None:
    body = "{a}" * 65  # more parts than a line can hold
    assert refused(f'{HEAD}query q(a: int) -> text(4096):\n    return "{body}"\n').code == "limit"
    fine = f'{HEAD}query q(a: int) -> text(4096):\n    return "{"".join("{a}" for _ in range(50))}"\n'
    linked = program([("c", fine.encode())], CURRENCIES)
    assert linked.query("c", "q", (7,), DictHost(), GAS).result == "7" * 50


@pytest.mark.parametrize("count", [300, 30_000])
@pytest.mark.parametrize("bracket", ["(", "["])
def test_k3_brackets(count: int, bracket: str) -> None:
    closing = {"(": ")", "[": "]"}[bracket]
    lines = (bracket + "\n") * count
    for text in (lines, lines + "1" + ("\n" + closing) * (count if count < 1000 else 0)):
        error = refused(f"{HEAD}query q() -> int:\n    return {text}\n")
        assert error.code in ("depth", "stage_2", "limit", "syntax")


def _nested(header: str, levels: int) -> str:
    lines = [HEAD + "table Tab key id: int:", "    n: int", "action go() by anyone:"]
    for level in range(levels):
        lines.append("    " * (level + 1) + header.replace("NAME", f"r{level}"))
    return "\n".join([*lines, "    " * (levels + 1) + "pass", ""])


def test_k4_blocks_are_eight_levels_deep() -> None:
    assert refused(_nested("if true:", 96)).code in ("depth", "limit")
    assert refused(_nested("for NAME in Tab limit 1:", 25)).code == "depth"
    assert refused(_nested("if true:", 8)).code == "depth"
    load(_nested("if true:", 7).encode(), {}, CURRENCIES)
    linked = program([("c", _nested("for NAME in Tab limit 1:", 7).encode())], CURRENCIES)
    assert linked.execute("c", "go", (), DictHost(), GAS).abort is None


@pytest.mark.parametrize("text", ["\ufb01eld", "\uff41", "\u0430", "\u202e", "\u200b", "\u00b2"])
@pytest.mark.parametrize("frame", ["let {} = 3", "pass # {}", 'require 1 == 2 else x "{}"'])
def test_k6_only_ascii(text: str, frame: str) -> None:
    error = refused((f"{HEAD}action go() by anyone:\n    " + frame.replace("{}", text) + "\n").encode())
    assert (error.code, error.line) == ("bad_byte", 3)
    assert error.column == 5 + frame.index("{}")
    assert re.search(r"0x[0-9A-F]{2}", error.text)


@pytest.mark.parametrize(
    ("data", "line", "column", "byte"),
    [
        (b"contract c version 1\x00\n", 1, 21, "0x00"),
        (b"\xef\xbb\xbfcontract c version 1\n", 1, 1, "0xEF"),
        (b"contract c version 1\r\n", 1, 21, "0x0D"),
        (b"contract c version 1\ncon\rst a = 1\n", 2, 4, "0x0D"),
        (b"contract c version 1\x0c\n", 1, 21, "0x0C"),
        (b"contract c version 1\nquery q() -> int:\n\treturn 1\n", 3, 1, "0x09"),
        (b"contract c version 1\n\xff\xfe\n", 2, 1, "0xFF"),
        (b"contract c version 1\nconst a = 1", 2, 1, "0x0A"),
        (b"", 1, 1, "0x0A"),
    ],
)
def test_k7_bytes(data: bytes, line: int, column: int, byte: str) -> None:
    error = refused(data)
    assert (error.code, error.line, error.column) == ("bad_byte", line, column)
    assert byte in error.text


def _without_places(tree: object) -> str:
    return re.sub(r"(line|column)=\d+", "", repr(tree))


@pytest.mark.parametrize("path", PROGRAMS[:3], ids=lambda path: path.stem)
def test_k8_no_token_is_ignored(path: Path) -> None:
    """Delete, double or replace any one token: an error, or another tree."""
    source = path.read_bytes()
    plain = _without_places(parse(source))
    lines = source.decode().split("\n")
    for number, token in enumerate(scan(source)):
        if token.kind in ("NEWLINE", "INDENT", "DEDENT", "END"):
            continue
        for change in [""] if number % 3 == 0 else [token.text + " " + token.text] if number % 3 == 1 else [" zz "]:
            row = lines[token.line - 1]
            start = token.column - 1
            changed = row[:start] + change + row[start + len(token.text) :]
            altered = "\n".join([*lines[: token.line - 1], changed, *lines[token.line :]]).encode()
            try:
                tree = parse(altered)
            except SourceError:
                continue
            same = _without_places(tree) == plain
            assert not same or token.kind == "INT" or token.text == ",", (token, change)


NAMES_K9 = ["self", "host", "gas", "v0", "globals", "print", "class", "version", "limit", "days", "sum", "money", "key"]


@pytest.mark.parametrize("name", NAMES_K9)
def test_k9_strange_names_are_plain_names(name: str) -> None:
    source = f"""contract c version 1
table Tab key {name}: int:
    n: int
event Note: {name}: int
query q({name}: int) -> int:
    return {name} + 1
action go() by anyone:
    let {name} = 2
    insert Tab({name} = {name}, n = {name})
    emit Note({name} = Tab[{name}].{name})
"""
    linked = program([("c", source.encode())], CURRENCIES)
    assert linked.query("c", "q", (4,), DictHost(), GAS).result == 5
    outcome = linked.execute("c", "go", (), DictHost(), GAS)
    assert outcome.abort is None
    assert outcome.events[0].fields == (2,)


def test_k9_words_that_are_refused() -> None:
    for name in ("None", "caller", "min", "result", "row", "for", "Len", "ABC"):
        assert refused(f"{HEAD}action go() by anyone:\n    let {name} = 2\n").line == 3


def test_k11_uses_has_no_circle() -> None:
    first = load(b"contract a version 1\nquery q() -> int:\n    return 1\n", {}, CURRENCIES)
    second = load(
        b"contract b version 1\nuses a@1\nquery q() -> int:\n    return a.q()\n", {"a": first.interface}, CURRENCIES
    )
    newer = load(
        b"contract a version 2\nuses b@1\nquery q() -> int:\n    return b.q()\n", {"b": second.interface}, CURRENCIES
    )
    with pytest.raises(LinkError):
        link({"a": newer, "b": second})
    assert link({"a": first, "b": second}).query("b", "q", (), DictHost(), GAS).result == 1
    with pytest.raises(SourceError) as caught:
        load(b"contract a version 2\nuses a@1\n", {"a": first.interface}, CURRENCIES)
    assert caught.value.code == "recursion"


def test_k11_a_used_contract_must_be_active_and_the_same() -> None:
    first = load(b"contract a version 1\nquery q() -> int:\n    return 1\n", {}, CURRENCIES)
    second = load(
        b"contract b version 1\nuses a@1\nquery q() -> int:\n    return a.q()\n", {"a": first.interface}, CURRENCIES
    )
    with pytest.raises(LinkError):
        link({"b": second})
    other = load(b"contract a version 1\nquery q() -> int:\n    return 2\n", {}, CURRENCIES)
    with pytest.raises(LinkError):
        link({"a": other, "b": second})
    with pytest.raises(SourceError) as caught:
        load(b"contract b version 1\nuses a@2\n", {"a": first.interface}, CURRENCIES)
    assert caught.value.code == "version"


def test_uses_is_at_most_eight_deep() -> None:
    sources = [("a0", b"contract a0 version 1\nquery q() -> int:\n    return 1\n")]
    for number in range(1, 9):
        text = f"contract a{number} version 1\nuses a{number - 1}@1\nquery q() -> int:\n    return a{number - 1}.q()\n"
        sources.append((f"a{number}", text.encode()))
    assert program(sources[:8], CURRENCIES).query("a7", "q", (), DictHost(), GAS).result == 1
    with pytest.raises(SourceError) as caught:
        program(sources, CURRENCIES)
    assert caught.value.code == "limit"


def test_k12_errors_quote_little() -> None:
    for source in (
        HEAD + "x" * 60_000 + "\n",
        HEAD + "query " + "q" * 150 + "() -> int:\n    return 1\n",
        HEAD + "?" * 150 + "\n",
        HEAD + "const a = " + "9" * 150 + "\n",
        HEAD + "bad line\n" * 5000,
    ):
        error = refused(source)
        assert error.line == 2
        assert not re.search(r"(.)\1{40}", error.text)


def test_a_source_has_a_size() -> None:
    assert refused(HEAD + "# comment\n" * 6600).code == "limit"
    many = "".join(f"const c{number} = {' + '.join(['1'] * 40)}\n" for number in range(500))
    assert refused(HEAD + many).code == "limit"


def test_k38_guards_see_the_values_the_callee_declared() -> None:
    first = b"""contract a version 1
event Got: get: int, gas: int
action take(get: int, gas: int) by contract:
    emit Got(gas = gas, get = get)
"""
    second = b"""contract b version 1
uses a@1
action go(gas: int) by anyone:
    a.take(gas = gas, get = gas * 2)
"""
    linked = program([("a", first), ("b", second)], CURRENCIES)
    outcome = linked.execute("b", "go", (3,), DictHost(), GAS)
    assert outcome.events[0].fields == (6, 3)


def test_a_file_of_tests_is_no_contract_and_runs_beside_one() -> None:
    contract = b"contract c version 1\nquery q() -> int:\n    return 1\n"
    tests = b'tests for c\ntest "one":\n    expect q() == 1\ntest "two":\n    expect q() == 2\n'
    with pytest.raises(SourceError):
        load(tests, {}, CURRENCIES)
    report = run_tests(tests, [("c", contract)], CURRENCIES)
    assert (report.passed, report.failed) == (1, 1)
    assert report.results[1].line == 5
