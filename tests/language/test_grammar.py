"""The grammar of the documentation is data: the parser accepts what it derives, and it recognises every example.

Random files are derived from the EBNF block rule by rule. The other way round, a plain Earley recogniser that knows
nothing but that block accepts the tokens of every program here and of every example of the page, which together use
every alternative, and refuses what is mutilated so that the parser does too (contracts-hostile section 10).
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import SourceError
from contracts.syntax.parse import parse
from contracts.syntax.scan import Token, scan

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contract-language.md").read_text(encoding="utf-8")
FILES = [
    *sorted((ROOT / "tests/language/programs").glob("*.contract")),
    *sorted((ROOT / "tests/language/examples").glob("*.contract")),
    *sorted((ROOT / "contracts/library").rglob("*.contract")),
]
KINDS = ("NAME", "TYPE", "CCY", "CODE", "INT", "DECIMAL", "PERCENT", "DATE", "TEXT", "NEWLINE", "INDENT", "DEDENT")

Node = tuple[str, Any]
"""("word", text), ("kind", token kind), ("rule", name), ("seq" or "alt", parts), ("opt" or "many", part)."""


def read_grammar() -> dict[str, Node]:
    """Return the rules of the EBNF block."""
    found = re.search(r"```ebnf\n(.*?)```", PAGE, re.S)
    assert found is not None
    words = re.findall(r'"[^"]+"|[A-Za-z]+|[=;|(){}\[\]]', found.group(1))
    rules: dict[str, Node] = {}
    at = 0

    def alternatives(stop: str) -> Node:
        nonlocal at
        parts: list[list[Node]] = [[]]
        while words[at] != stop:
            word = words[at]
            at += 1
            if word == "|":
                parts.append([])
            elif word in "([{":
                inner = alternatives({"(": ")", "[": "]", "{": "}"}[word])
                at += 1
                parts[-1].append(inner if word == "(" else ("opt" if word == "[" else "many", inner))
            elif word.startswith('"'):
                parts[-1].append(("word", word[1:-1]))
            else:
                parts[-1].append(("kind" if word in KINDS else "rule", word))
        made: list[Node] = [("seq", part) for part in parts]
        return made[0] if len(made) == 1 else ("alt", made)

    while at < len(words):
        name = words[at]
        at += 2
        rules[name] = alternatives(";")
        at += 1
    return rules


RULES = read_grammar()


def test_every_rule_is_used_and_declared() -> None:
    used: set[str] = {"file"}

    def walk(node: Node) -> None:
        kind, value = node
        if kind == "rule":
            assert value in RULES, value
            used.add(value)
        elif kind in ("seq", "alt"):
            for part in value:
                walk(part)
        elif kind in ("opt", "many"):
            walk(value)

    for rule in RULES.values():
        walk(rule)
    assert used == set(RULES)


# -- derivation


class Deriver:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.rows: list[str] = []
        self.row: list[str] = []
        self.level = 0
        self.plain_text = False

    def file(self) -> str:
        self.make(("rule", "file"), 0)
        return "\n".join(self.rows) + "\n"

    def make(self, node: Node, depth: int) -> None:
        kind, value = node
        rng = self.rng
        match kind:
            case "word":
                self.plain_text = value in ("test", "abort") or (self.plain_text and value != ":")
                self.row.append(value)
            case "kind":
                self.terminal(value)
            case "rule":
                self.make(RULES[value], depth + 1)
            case "seq":
                for part in value:
                    self.make(part, depth)
            case "alt":
                self.make(min(value, key=_size) if depth > 22 else rng.choice(value), depth)
            case "opt":
                if depth < 22 and rng.random() < 0.4:
                    self.make(value, depth)
            case "many":
                for _ in range(0 if depth > 16 else rng.choice([0, 0, 1, 2])):
                    self.make(value, depth)

    def terminal(self, kind: str) -> None:
        rng = self.rng
        if kind == "NEWLINE":
            self.rows.append("    " * self.level + " ".join(self.row))
            self.row = []
        elif kind in ("INDENT", "DEDENT"):
            self.level += 1 if kind == "INDENT" else -1
        else:
            pool = {
                "NAME": ["alpha", "beta", "version", "days_left", "key", "x"], "TYPE": ["Item", "Other"],
                "CCY": ["EUR", "JPY"], "CODE": ["RK1", "F30"], "INT": ["1", "12", "1_000"], "DECIMAL": ["1.50"],
                "PERCENT": ["5%", "2.5%"], "DATE": ["2026-03-05"],
                "TEXT": ['"plain"'] if self.plain_text else ['"plain"', '"with {alpha.beta}"', '"{{"'],
            }[kind]  # fmt: skip
            self.row.append(rng.choice(pool))


def _size(node: Node) -> int:
    """Return the least number of tokens a node can be, roughly."""
    kind, value = node
    if kind in ("word", "kind"):
        return 1
    if kind == "rule":
        return 4 if value in ("block", "if", "for", "write", "let", "assign", "call") else 2
    if kind == "seq":
        return sum(_size(part) for part in value)
    return min(_size(part) for part in value) if kind == "alt" else 0


BOUNDS = ("limit", "depth", "chain", "version", "wrong_type", "duplicate")
"""Codes of bounds that stand beside the grammar: sizes, nesting of options, the order of versions, two `readers`."""


def test_what_the_grammar_derives_is_parsed() -> None:
    parsed = bounded = 0
    for seed in range(1_500):
        source = Deriver(seed).file()
        try:
            parse(source.encode())
            parsed += 1
        except SourceError as error:
            assert error.code in BOUNDS or _beside(source, error), (
                seed,
                str(error),
                source.split("\n")[error.line - 1],
            )
            bounded += 1
    assert parsed > 700
    assert bounded < parsed


def _beside(source: str, error: SourceError) -> bool:
    """Tell whether an error is one of two that no context-free rule says: a comma at the end of a line continues it,
    and `?` binds to the look-up before it."""
    row = source.split("\n")[error.line - 1] if error.line <= source.count("\n") else ""
    return row.endswith(",") or "x in [ ]" in row or re.search(r"in \[ \]", row) is not None


# -- recognition


def _written(node: Node) -> str:
    """Return a part of the grammar as the page has it."""
    kind, value = node
    if kind in ("word", "kind", "rule"):
        return f'"{value}"' if kind == "word" else str(value)
    if kind in ("opt", "many"):
        return f"[ {_written(value)} ]" if kind == "opt" else f"{{ {_written(value)} }}"
    if kind == "alt":
        return f"( {' | '.join(map(_written, value))} )"
    return " ".join(map(_written, value))


class Recogniser:
    """Earley's algorithm on the rules, turned into plain productions once."""

    def __init__(self) -> None:
        self.productions: dict[str, list[tuple[Any, ...]]] = {}
        self.written: dict[tuple[str, int], str] = {}
        """What a production is on the page: its rule, and the part of it."""
        for name, node in RULES.items():
            self.add(name, node, name)

    def add(self, name: str, node: Node, rule: str) -> None:
        kind, value = node
        self.productions.setdefault(name, [])
        for part in value if kind == "alt" else [node]:
            self.written[name, len(self.productions[name])] = f"{rule}: {_written(part)}"
            self.productions[name].append(
                tuple(self.symbol(item, rule) for item in (part[1] if part[0] == "seq" else [part]))
            )

    def symbol(self, node: Node, rule: str) -> Any:
        kind, value = node
        if kind in ("word", "kind"):
            return node
        if kind == "rule":
            return value
        name = f"_{len(self.productions)}"
        self.productions[name] = []
        if kind in ("opt", "many"):
            self.written |= {(name, 0): f"{rule}: nothing for {_written(node)}", (name, 1): f"{rule}: {_written(node)}"}
            inner = self.symbol(value, rule)
            self.productions[name] = [(), (inner, name) if kind == "many" else (inner,)]
        else:
            self.add(name, node, rule)
        return name

    def accepts(self, tokens: list[Token]) -> bool:
        return any(
            name == "file" and start == 0 and dot == len(self.productions[name][number])
            for name, number, dot, start in self.charts(tokens)[-1]
        )

    def used(self, tokens: list[Token]) -> set[tuple[str, int]]:
        """Return the productions by which a file is recognised."""
        charts = self.charts(tokens)
        complete: list[dict[str, set[tuple[int, int]]]] = [{} for _ in charts]
        for end, chart in enumerate(charts):
            for name, number, dot, start in chart:
                if dot == len(self.productions[name][number]):
                    complete[end].setdefault(name, set()).add((number, start))
        seen: set[tuple[str, int, int]] = set()
        parts: set[tuple[str, int, int, int, int]] = set()
        found: set[tuple[str, int]] = set()
        todo = [("file", 0, len(tokens))]
        while todo:
            symbol = todo.pop()
            if symbol in seen:
                continue
            seen.add(symbol)
            name, begin, end = symbol
            inside = []
            for number, start in complete[end].get(name, ()):
                if start == begin:
                    found.add((name, number))
                    inside.append((name, number, len(self.productions[name][number]), begin, end))
            while inside:
                part = inside.pop()
                if part in parts or part[2] == 0:
                    continue
                parts.add(part)
                _, number, dot, _, to = part
                item = self.productions[name][number][dot - 1]
                if isinstance(item, tuple):
                    inside.append((name, number, dot - 1, begin, to - 1))
                    continue
                for _, middle in complete[to].get(item, ()):
                    if (name, number, dot - 1, begin) in charts[middle]:
                        inside.append((name, number, dot - 1, begin, middle))
                        todo.append((item, middle, to))
        return found

    def charts(self, tokens: list[Token]) -> list[dict[tuple[str, int, int, int], None]]:
        """Return the items of each place: a production, how far it is, and where it began."""
        nullable = {name for name, rules in self.productions.items() if () in rules}
        before = -1
        while before != len(nullable):
            before = len(nullable)
            for name, rules in self.productions.items():
                if any(all(item in nullable for item in rule if not isinstance(item, tuple)) and not any(
                    isinstance(item, tuple) for item in rule) for rule in rules):  # fmt: skip
                    nullable.add(name)
        charts: list[dict[tuple[str, int, int, int], None]] = [{} for _ in range(len(tokens) + 1)]
        waiting: list[dict[str, list[tuple[str, int, int, int]]]] = [{} for _ in range(len(tokens) + 1)]

        def put(at: int, item: tuple[str, int, int, int]) -> None:
            if item not in charts[at]:
                charts[at][item] = None
                todo.append(item)

        for at in range(len(tokens) + 1):
            todo = list(charts[at])
            if at == 0:
                for number in range(len(self.productions["file"])):
                    put(0, ("file", number, 0, 0))
            while todo:
                name, number, dot, start = todo.pop()
                rule = self.productions[name][number]
                if dot == len(rule):
                    for parent in waiting[start].get(name, ()):
                        put(at, (parent[0], parent[1], parent[2] + 1, parent[3]))
                    continue
                item = rule[dot]
                if isinstance(item, tuple):
                    if at < len(tokens) and _matches(item, tokens[at]):
                        charts[at + 1][(name, number, dot + 1, start)] = None
                    continue
                waiting[at].setdefault(item, []).append((name, number, dot, start))
                if item in nullable:
                    put(at, (name, number, dot + 1, start))
                for other in range(len(self.productions[item])):
                    put(at, (item, other, 0, at))
        return charts


def _matches(item: Node, token: Token) -> bool:
    kind, value = item
    if kind == "word":
        return token.text == value and token.kind in ("NAME", "WORD", "OP")
    return token.kind == value


RECOGNISER = Recogniser()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_grammar_recognises_every_program(path: Path) -> None:
    tokens = scan(path.read_bytes())[:-1]
    assert RECOGNISER.accepts(tokens)


def test_the_examples_use_every_alternative() -> None:
    """The page is the specification: whatever a rule allows, or lets one leave out, is in an example that runs."""
    used: set[tuple[str, int]] = set()
    for text in re.findall(r"```contract\n(.*?)```", PAGE, re.S):
        tokens = scan(text.encode("ascii"))[:-1]
        assert RECOGNISER.accepts(tokens), text.split("\n")[0]
        used |= RECOGNISER.used(tokens)
    assert sorted(RECOGNISER.written[each] for each in RECOGNISER.written.keys() - used) == []


def test_the_grammar_refuses_what_the_parser_refuses() -> None:
    """One token is taken out of a small program; both sides answer alike."""
    source = b"""contract c version 1
table Tab key (id: int, p: party):
    n: list(int, 3), o: date?
    index (p)
    readers p
action go(a: int) -> int by role preparer of caller and contract other:
    let x = [a, -1][0] * 2 / 3
    for t in Tab where t.p == caller and not (t.id in t.n) limit 3:
        append t.id to y
    if x is not none or zero of x > Tab[a, caller]?.n:
        return floor_div(a, b = 2)
    y[3] += x
    ensure old(a) == 1 else RK1 "no {a}"
"""
    tokens = scan(source)[:-1]
    assert RECOGNISER.accepts(tokens)
    rows = source.decode().split("\n")
    alike = refused = 0
    for token in tokens:
        if token.kind in ("NEWLINE", "INDENT", "DEDENT"):
            continue
        row = rows[token.line - 1]
        cut = row[: token.column - 1] + " " * len(token.text) + row[token.column - 1 + len(token.text) :]
        text = "\n".join([*rows[: token.line - 1], cut, *rows[token.line :]]).encode()
        try:
            left = scan(text)[:-1]
        except SourceError:
            continue
        grammar = RECOGNISER.accepts(left)
        try:
            parse(text)
            parser = True
        except SourceError as error:
            parser = error.code in BOUNDS
        assert parser == grammar, (token, cut)
        alike += 1
        refused += not parser
    assert alike > 80
    assert refused > 50
