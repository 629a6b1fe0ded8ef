"""The public Starlark conformance suite, as far as our language says the same: assertions become queries.

The suite is the folder `conformance` in the sdist of the PyPI package `starlark` (Apache-2.0). No file of it stands
here: `scripts/starlark-suite` fetches the pinned archive, and what a test uses is read out of it at test time. One piece
is one top-level statement. `assert_eq`, `assert_` and `assert_fails` over integers, bools, texts and lists of them are
rewritten; every other piece is skipped with a reason.

We are a dialect of nothing: integers end at 63 bits, `//` and `%` are the functions `floor_div` and `mod`, conditions
are bools and never numbers, nothing converts, lists have one type, and values are never shared.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ARCHIVE: Final = "starlark-0.6.0.tar.gz"
SHA256: Final = "ed81fa6ec5a7c46685e3eb42a10589a1db64862cf8a60dcdb0bddc3d547323d6"
BIG: Final = 2**63 - 1
COMPARED: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.In: "in",
    ast.NotIn: "not in",
}  # fmt: skip
FAILS: Final = {"by zero": "divide_by_zero", "out of range": "index_range"}
"""What a message of Starlark says, and the abort code that stands for it."""


class Skipped(Exception):
    """Why a piece is not rewritten."""


class Piece(NamedTuple):
    """`body`: the expression of a query of type bool, or int when the piece must abort. `abort`: its code, or ""."""

    file: str
    line: int
    body: str
    abort: str


class Typed(NamedTuple):
    text: str
    kind: str


def archive() -> Path | None:
    """Return the pinned archive, where `HANSA_STARLARK` or `scripts/starlark-suite` put it; None if it is not there."""
    places = [os.environ.get("HANSA_STARLARK", ""), str(Path(sys.prefix) / ARCHIVE)]
    found = next((Path(place) for place in places if place and Path(place).is_file()), None)
    if found is not None and hashlib.sha256(found.read_bytes()).hexdigest() != SHA256:
        raise ValueError(f"{found} is not {ARCHIVE} as pinned; fetch it again with scripts/starlark-suite")
    return found


def files(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of each file of the suite."""
    with tarfile.open(path) as tar:
        for member in sorted(tar.getmembers(), key=lambda item: item.name):
            data = tar.extractfile(member) if "/conformance/" in member.name else None
            if data is not None and member.name.endswith(".star"):
                yield member.name.rpartition("/")[2], data.read().decode()


class Rewriter:
    """Rewrites expressions; knows the top-level names that hold one constant expression."""

    def __init__(self) -> None:
        self.names: dict[str, ast.expr] = {}

    def assign(self, node: ast.Assign) -> None:
        """Remember `name = expression`; a name given twice is forgotten, because later pieces may mean either."""
        for target in node.targets:
            if isinstance(target, ast.Name):
                value = node.value
                self.names.pop(target.id, None) if target.id in self.names else self.names.update({target.id: value})
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for name, value in zip(target.elts, node.value.elts, strict=False):
                    if isinstance(name, ast.Name):
                        self.names[name.id] = value

    def typed(self, node: ast.expr) -> Typed:
        constant = self.number(node)
        if constant is not None:
            if not -BIG <= constant <= BIG:
                raise Skipped("a number over 63 bits")
            if isinstance(node, ast.Constant):
                return Typed(str(constant), "int")
        match node:
            case ast.Constant(value=bool(value)):
                return Typed("true" if value else "false", "bool")
            case ast.Constant(value=str(value)):
                if not re.fullmatch(r"[ -!#-\[\]-z|~]*", value):
                    raise Skipped("a text with escapes")
                return Typed(f'"{value}"', "text")
            case ast.Name(id=name) if name in self.names:
                found = self.typed(self.names[name])
                return Typed(f"({found.text})", found.kind)
            case ast.Name():
                raise Skipped("a name that is no constant")
            case ast.UnaryOp(op=ast.USub(), operand=of):
                return Typed(f"(-{self.of(of, 'int')})", "int")
            case ast.UnaryOp(op=ast.UAdd(), operand=of):
                raise Skipped("unary plus")
            case ast.UnaryOp(op=ast.Not(), operand=of):
                return Typed(f"(not {self.of(of, 'bool')})", "bool")
            case ast.BinOp(op=op):
                return self.arithmetic(node, op)
            case ast.BoolOp(op=op, values=values):
                word = " and " if isinstance(op, ast.And) else " or "
                return Typed(f"({word.join(self.of(value, 'bool') for value in values)})", "bool")
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self.compare(left, op, right)
            case ast.IfExp():
                raise Skipped("a conditional expression")
            case ast.List(elts=items) if items:
                found_items = [self.typed(item) for item in items]
                if len({item.kind for item in found_items}) != 1 or found_items[0].kind not in ("int", "bool", "text"):
                    raise Skipped("a list of several types or of lists")
                return Typed(f"[{', '.join(item.text for item in found_items)}]", f"list {found_items[0].kind}")
            case ast.Subscript(value=value, slice=index) if not isinstance(index, ast.Slice):
                found = self.typed(value)
                if not found.kind.startswith("list "):
                    raise Skipped("an element of a text or map")
                if isinstance(index, ast.UnaryOp):
                    raise Skipped("an index from the end")
                return Typed(f"{found.text}[{self.of(index, 'int')}]", found.kind[5:])
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self.call(name, args)
            case ast.Call():
                raise Skipped("a method call")
        raise Skipped(f"{type(node).__name__} does not exist here")

    def of(self, node: ast.expr, kind: str) -> str:
        found = self.typed(node)
        if found.kind != kind:
            raise Skipped(f"{found.kind.split(' ')[0]} where only {kind} may stand")
        return found.text

    def arithmetic(self, node: ast.BinOp, op: ast.operator) -> Typed:
        plain = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}.get(type(op))
        function = {ast.FloorDiv: "floor_div", ast.Mod: "mod"}.get(type(op))
        if plain is None and function is None:
            raise Skipped(f"the operator {type(op).__name__}")
        left, right = self.of(node.left, "int"), self.of(node.right, "int")
        return Typed(f"({left} {plain} {right})" if plain else f"{function}({left}, {right})", "int")

    def compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Typed:
        a, b, sign = self.typed(left), self.typed(right), COMPARED.get(type(op))
        if sign in ("in", "not in"):
            if b.kind != f"list {a.kind}":
                raise Skipped("`in` over something else than a list of that type")
            return Typed(f"({a.text} in {b.text})" if sign == "in" else f"(not {a.text} in {b.text})", "bool")
        if a.kind != b.kind or sign is None:
            raise Skipped("a comparison of two types")
        if a.kind.startswith("list ") or (a.kind == "bool" and sign not in ("==", "!=")):
            raise Skipped("lists are not compared, bools have no order")
        return Typed(f"({a.text} {sign} {b.text})", "bool")

    def call(self, name: str, args: list[ast.expr]) -> Typed:
        if name == "len" and len(args) == 1:
            found = self.typed(args[0])
            if not found.kind.startswith("list "):
                raise Skipped("the length of a text or map")
            return Typed(f"count({found.text})", "int")
        if name in ("min", "max") and len(args) == 1 and isinstance(args[0], ast.List) and len(args[0].elts) > 1:
            args = args[0].elts
        if name in ("min", "max") and len(args) > 1:
            found = self.typed(args[0])
            if found.kind not in ("int", "text"):
                raise Skipped("the least of something without order")
            text = found.text
            for arg in args[1:]:
                text = f"{name}({text}, {self.of(arg, found.kind)})"
            return Typed(text, found.kind)
        raise Skipped(f"the function {name}")

    def number(self, node: ast.expr) -> int | None:
        """Return the value of an expression of integers, however large, or None."""
        match node:
            case ast.Constant(value=value) if type(value) is int:
                return value
            case ast.UnaryOp(op=ast.USub(), operand=of):
                found = self.number(of)
                return None if found is None else -found
            case ast.Name(id=name) if name in self.names:
                return self.number(self.names[name])
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() as op, right=right):
                a, b = self.number(left), self.number(right)
                if a is None or b is None:
                    return None
                return a + b if isinstance(op, ast.Add) else a - b if isinstance(op, ast.Sub) else a * b
        return None

    def piece(self, file: str, node: ast.stmt) -> Piece:
        """Return a statement as a query; raise `Skipped`."""
        match node:
            case ast.Expr(value=ast.Call(func=ast.Name(id="assert_eq"), args=[left, right])):
                return Piece(file, node.lineno, self.compare(left, ast.Eq(), right).text, "")
            case ast.Expr(value=ast.Call(func=ast.Name(id="assert_"), args=[condition])):
                return Piece(file, node.lineno, self.of(condition, "bool"), "")
            case ast.Expr(value=ast.Call(func=ast.Name(id="assert_fails"), args=[ast.Lambda(body=body), why])):
                message = str(why.value) if isinstance(why, ast.Constant) else ""
                code = next((code for word, code in FAILS.items() if word in message), None)
                if code is None:
                    raise Skipped("an error of a rule that does not exist here")
                return Piece(file, node.lineno, self.of(body, "int"), code)
            case ast.Expr(value=ast.Call(func=ast.Name(id=name))) if name.startswith("assert_"):
                raise Skipped(f"{name} with other arguments")
        raise Skipped(f"the statement {type(node).__name__}")


def pieces(path: Path) -> tuple[list[Piece], list[tuple[str, int, str]]]:
    """Return what is rewritten, and (file, line, reason) of what is not."""
    kept: list[Piece] = []
    skipped: list[tuple[str, int, str]] = []
    for name, text in files(path):
        line = 0
        for chunk in text.split("---\n"):
            rewriter = Rewriter()
            try:
                statements = ast.parse("\n" * line + chunk).body
            except SyntaxError:
                skipped.append((name, line + 1, "no syntax of Python, which reads the suite"))
                statements = []
            if "###" in chunk:
                skipped += [(name, node.lineno, "a chunk that fails as a whole") for node in statements]
                statements = []
            for node in statements:
                if isinstance(node, ast.Assign):
                    rewriter.assign(node)
                    continue
                try:
                    kept.append(rewriter.piece(name, node))
                except Skipped as reason:
                    skipped.append((name, node.lineno, str(reason)))
            line += chunk.count("\n") + 1
    return kept, skipped


def main() -> int:
    """Print what is skipped, with reasons."""
    path = archive()
    if path is None:
        print(f"there is no {ARCHIVE}; fetch it with scripts/starlark-suite", file=sys.stderr)
        return 1
    kept, skipped = pieces(path)
    for file, line, reason in skipped:
        print(f"{file}:{line}: {reason}")
    print(f"{len(kept)} rewritten, {len(skipped)} skipped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
