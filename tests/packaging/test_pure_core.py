"""The core is pure (P155, P160): no floats, no true division, no `hash` or `id`, no order that comes from a set.

What it may import is the business of import-linter; this reads what it does. Beside the sources, samples of each fault
show that the reader finds it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = ("ledger", "consensus", "contracts", "node/core")
SOURCES = sorted(path for package in PURE for path in (ROOT / package).rglob("*.py"))
IN_ORDER = ("list", "tuple", "iter", "next", "enumerate", "zip", "map", "filter", "reversed")
"""Built-ins whose result has the order of what they are given; `sorted`, `len`, `min`, `max`, `any`, `all` have none."""


def _is_set(item: ast.expr, names: set[str]) -> bool:
    match item:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Name(id=name):
            return name in names
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub(), right=right):
            return _is_set(left, names) or _is_set(right, names)
    return False


def _set_names(scope: ast.AST) -> set[str]:
    """Return the local names that hold sets, by what is assigned to them or how they are annotated."""
    names: set[str] = set()
    for item in ast.walk(scope):
        match item:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_set(value, names):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind) | ast.arg(arg=name, annotation=kind):
                if kind is not None and ast.unparse(kind).split("[")[0] in ("set", "frozenset", "AbstractSet"):
                    names.add(name)
    return names


def _ordered(scope: ast.AST) -> Iterator[ast.expr]:
    """Yield what is gone through in order."""
    for item in ast.walk(scope):
        match item:
            case ast.For(iter=source) | ast.comprehension(iter=source):
                yield source
            case ast.Call(func=ast.Name(id=name), args=sources) if name in IN_ORDER:
                yield from sources
            case ast.Call(func=ast.Attribute(attr="join" | "extend"), args=sources):
                yield from sources


def faults(text: str) -> list[str]:
    """Return what a pure module must not do, as `line: what`."""
    tree = ast.parse(text)
    found: list[str] = []
    for item in ast.walk(tree):
        match item:
            case ast.Constant(value=float()):
                found.append(f"{item.lineno}: a float")
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                found.append(f"{item.lineno}: true division")
            case ast.Call(func=ast.Name(id="float" | "hash" | "id" as name)):
                found.append(f"{item.lineno}: {name}()")
    scopes = [tree, *(item for item in ast.walk(tree) if isinstance(item, ast.FunctionDef))]
    for scope in scopes:
        names = _set_names(scope)
        found += [f"{source.lineno}: the order of a set" for source in _ordered(scope) if _is_set(source, names)]
    return sorted(set(found))


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_p155_p160_a_pure_module_depends_on_its_input_alone(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "x = 0.5", "x = 1 / 2", "x /= 2", "x = hash(b'a')", "x = id(x)", "x = float('1')", "for x in {1, 2}: pass",
        "x = [y for y in set(z)]", "def f():\n    s = set()\n    return list(s)", "def f(s: set[int]):\n    return tuple(s)",
        "a = {1}\nfor b in a | c: pass", "x = ','.join({y for y in z})",
    ],
)  # fmt: skip
def test_the_reader_finds_each_fault(text: str) -> None:
    assert len(faults(text)) == 1


def test_sets_may_be_asked_and_sorted() -> None:
    assert faults("s = {1, 2}\nfor x in sorted(s):\n    x in s\nn = len(s) + max(s)") == []
