"""What `explain` says of an expression can be read in one way: two expressions told alike mean the same.

People approve contracts by these sentences. Random expressions over all operators and many built-ins are told in both
languages, and each text stands for one structure.
"""

from __future__ import annotations

import random
import tomllib
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import SourceError
from contracts.kit.explain import explain
from contracts.runtime import load
from ledger.money import ISO_4217

WORDS = {
    language: tomllib.loads((Path(__file__).parents[2] / f"cli/words/{language}.toml").read_text(encoding="utf-8"))
    for language in ("en", "zh-CN")
}
HEAD = """contract readings version 1
enum Kind: cash, card
table Tab key id: int:
    amount: int, paid: money, owner: party
table Pair key (id: int, kind: Kind):
    parts: list(int, 9)
function twice(n: int) -> int:
    return n + n
function sum_of(n: int, o: int) -> int:
    return n + o
function odd(n: int) -> bool:
    return mod(n, 2) == 1
function close(n: int, o: int) -> bool:
    return abs(n - o) < 2
"""
GIVEN = (
    "x: int, y: int, b: bool, c: bool, d: date, e: date, m: money, n: money, r: rate(4), some: int?, l: list(int, 9), "
    "p: party"
)
FORMS: dict[str, list[str]] = {
    "int": [
        "x", "y", "7", "Tab[{int}].amount", "Pair[{int}, Kind.cash].parts[{int}]", "l[{int}]", "value_of(some)",
        "default(some, {int})", "min({int}, {int})", "max({int}, {int})", "abs({int})", "floor_div({int}, 3)",
        "mod({int}, 5)", "count(l)", "days_between({date}, {date})", "year_of({date})", "{int} + {int}", "{int} - {int}",
        "{int} - {int} + {int}", "{int} * 3", "-{int}", "twice({int})", "sum_of({int}, {int})", "{money}.minor",
        "round_half_up({rate} * {int} / {int})",
    ],
    "bool": [
        "b", "c", "{int} == {int}", "{int} <= {int}", "{money} > {money}", "{bool} and {bool}", "{bool} or {bool}",
        "{bool} and {bool} and {bool}", "{bool} == {bool}", "not {bool}", "{int} in [{int}, {int}]", "{int} in l",
        "{int} not in l", "some is none", "exists Tab[{int}]", "odd({int})", "close({int}, {int})",
        "{money} < {money} * {rate} / {int}", "Tab[{int}].owner == p", "role approver of Tab[{int}].owner",
    ],
    "date": ["d", "e", "today", "{date} + {int} days", "{date} - 2 days", "end_of_month({date})", "add_months({date}, {int})"],
    "money": [
        "m", "n", "zero of {money}", "Tab[{int}].paid", "{money} + {money}", "{money} - {money}", "{money} * {int}",
        "-{money}", "round_down({money} * {rate})", "round_half_up({money} * {rate} / {int})",
        "round_half_even({money} * {rate} + {money} * {rate})", "split({money}, 3)[{int}]", "min({money}, {money})",
        "money_of(EUR, {int})",
    ],
    "rate": ["r", "2.5%", "max({rate}, {rate})", "{rate} + {rate}", "{rate} - {rate}", "round_half_up({rate} * {rate}, 4)"],
}  # fmt: skip

Tree = Any
"""A form with its parts; the leaves are texts."""


def grow(kind: str, rng: random.Random, depth: int) -> Tree:
    forms = [form for form in FORMS[kind] if depth or "{" not in form]
    form = rng.choice(forms)
    parts = [grow(part.split("}")[0], rng, depth - 1) for part in form.split("{")[1:]]
    return (form, *parts)


def written(tree: Tree) -> str:
    """Return an expression with brackets around each part, which the tree of a source does not have."""
    form, *parts = tree
    for part in parts:
        start, end = form.index("{"), form.index("}") + 1
        form = form[:start] + (written(part) if len(part) == 1 else f"({written(part)})") + form[end:]
    return form


def meaning(tree: Tree) -> Tree:
    """Return the structure; a sum of a sum and more is one sum, and there is one amount of nothing."""
    form, *parts = tree
    known = [meaning(part) for part in parts]
    if form.startswith("zero of"):
        return ("zero of",)
    if form in ("{int} - {int} + {int}", "{int} + {int}", "{int} - {int}", "{money} + {money}", "{money} - {money}",
                "{rate} + {rate}", "{rate} - {rate}"):  # fmt: skip
        signs = [sign for sign in form if sign in "+-"]
        first, *rest = known
        head = first[1:] if first[0] == "sum" else (("+", first),)
        return ("sum", *head, *zip(signs, rest, strict=True))
    return (form, *known)


def sources(rng: random.Random, count: int) -> list[tuple[str, Tree]]:
    kinds = [kind for kind in FORMS for _ in range(2 if kind in ("int", "bool") else 1)]
    made = []
    for _ in range(count):
        kind = rng.choice(kinds)
        made.append(({"rate": "rate(4)"}.get(kind, kind), grow(kind, rng, rng.choice([1, 2, 2, 3]))))
    return made


def told(made: list[tuple[str, Tree]], language: str) -> list[tuple[Tree, str]]:
    """Return what is said of each expression; those that the compiler refuses are left out, one by one."""
    text = HEAD
    for number, (kind, tree) in enumerate(made):
        text += f"query q{number}({GIVEN}) -> {kind}:\n    return {written(tree)}\n"
    try:
        code = load(text.encode("ascii"), {}, ISO_4217)
    except SourceError:
        if len(made) == 1:
            return []
        half = len(made) // 2
        return told(made[:half], language) + told(made[half:], language)
    first = HEAD.count("\n") + 2
    by_line = {item.line: item.text for item in explain(code, WORDS[language]["explain"]) if item.level == 1}
    return [(tree, by_line[first + 2 * at]) for at, (_, tree) in enumerate(made)]


@pytest.mark.parametrize("language", WORDS)
def test_expressions_told_alike_mean_the_same(language: str) -> None:
    rng = random.Random(20)
    seen: dict[str, Tree] = {}
    heard = 0
    for _ in range(40):
        for tree, text in told(sources(rng, 100), language):
            heard += 1
            assert meaning(seen.setdefault(text, tree)) == meaning(tree), (text, written(seen[text]), written(tree))
    assert heard > 2_000
    assert len(seen) > 1_000
