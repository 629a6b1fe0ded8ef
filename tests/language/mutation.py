"""Mutation testing of the checker and the charges: which single changes of the compiler do the pinned programs notice?

    python -m tests.language.mutation FILE [--modules check check_expressions] [--share 1] [--seconds 20]

A mutant changes one place of a module's syntax tree: a comparison, a connective, a condition, a number, a refusal left
out. It lives in a child process whose import hook compiles the changed tree; no file changes. The child compiles what
the tests pin: every chunk of refused.txt (code and place), the programs and examples of the language and the library
(hash of the IR, worst cases). A mutant under which all of it comes out as before survives. `FILE` gets the figures.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.util
import json
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
MODULES: Final = ("check", "check_expressions", "scans", "resolve", "upgrade", "lower", "gas", "cost")
SWAPS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
ADDED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
}  # fmt: skip


class Mutator(ast.NodeTransformer):
    """Counts the places that can change; changes the one with number `wanted`, and remembers what it was."""

    def __init__(self, wanted: int = -1) -> None:
        self.wanted = wanted
        self.count = 0
        self.what = ""

    def here(self, node: ast.AST, what: str) -> bool:
        self.count += 1
        if self.count - 1 != self.wanted:
            return False
        self.what = f"line {getattr(node, 'lineno', 0)}: {what}"
        return True

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        for at, op in enumerate(node.ops):
            other = SWAPS[type(op)]
            if self.here(node, f"{ast.unparse(node)} with {other.__name__}"):
                node.ops[at] = other()
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if self.here(node, f"and/or exchanged in {ast.unparse(node)}"):
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not) and self.here(node, f"without `not`: {ast.unparse(node)}"):
            return node.operand
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        other = ADDED.get(type(node.op))
        if other is not None and self.here(node, f"{ast.unparse(node)} with {other.__name__}"):
            node.op = other()
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if type(node.value) is int and self.here(node, f"{node.value} and 1"):
            return ast.copy_location(ast.Constant(node.value + 1), node)
        if type(node.value) is bool and self.here(node, f"not {node.value}"):
            return ast.copy_location(ast.Constant(not node.value), node)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node  # wording

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if self.here(node, f"left out: {ast.unparse(node)}"):
            return ast.copy_location(ast.Pass(), node)
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        for value in (True, False):
            if self.here(node, f"`if {ast.unparse(node.test)}` is {value}"):
                node.test = ast.copy_location(ast.Constant(value), node.test)
                break
        return node


def path_of(module: str) -> Path:
    return ROOT / "contracts" / f"{module}.py"


def places(module: str) -> int:
    """Return how many mutants a module has."""
    mutator = Mutator()
    mutator.visit(ast.parse(path_of(module).read_text(encoding="utf-8")))
    return mutator.count


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, code: CodeType) -> None:
        super().__init__(fullname, path)
        self.code = code

    def get_code(self, fullname: str) -> CodeType:
        return self.code


class _Hook(MetaPathFinder):
    """Hands the interpreter one changed module."""

    def __init__(self, name: str, code: CodeType) -> None:
        self.name = name
        self.code = code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        return importlib.util.spec_from_loader(fullname, _Loader(fullname, spec.origin, self.code))


def mutate(module: str, number: int) -> str:
    """Make this process import one mutant of `contracts.<module>`; return what was changed."""
    mutator = Mutator(number)
    changed = mutator.visit(ast.parse(path_of(module).read_text(encoding="utf-8")))
    code = compile(ast.fix_missing_locations(changed), str(path_of(module)), "exec")
    assert not [name for name in sys.modules if name.startswith("contracts.")], "contracts is imported already"
    sys.meta_path.insert(0, _Hook(f"contracts.{module}", code))
    return mutator.what


def pinned() -> Iterator[tuple[str, Any]]:
    """Compile what tests pin; yield (name, what came of it), the quickest first."""
    from contracts.errors import SourceError  # only now: a mutant is imported after its hook
    from contracts.library import sources
    from contracts.runtime import load, program, replace_version
    from tests.language.hosts import CURRENCIES
    from tests.language.refusals import AT_THE_BOUND, CHUNKS, HEAD

    def figures(code: Any) -> Any:
        return code.interface.ir_hash, worst(code.interface)

    for number, (_, title, source) in enumerate(CHUNKS):
        try:
            yield f"refused {number} {title}", figures(load(source.encode(), {}, CURRENCIES))
        except SourceError as error:
            yield f"refused {number} {title}", (error.code, error.line, error.column)
    for title, body in AT_THE_BOUND.items():
        yield title, figures(load((HEAD + body).encode(), {}, CURRENCIES))
    here = ROOT / "tests" / "language"
    for path in sorted((here / "programs").glob("*.contract")):
        yield path.stem, figures(load(path.read_bytes(), {}, CURRENCIES))
    examples = [(name, (here / "examples" / f"{name}.contract").read_bytes()) for name in EXAMPLES]
    for group in (examples, list(sources())):
        linked = program(group, CURRENCIES)
        for name, code in linked.codes.items():
            yield name, figures(code)
    from tests.contracts import test_upgrade as upgrades

    codes = dict(program([("shelf", upgrades.FIRST)], CURRENCIES).codes)
    for version in (upgrades.SECOND, upgrades.THIRD):
        codes = replace_version(codes, version)
        yield f"shelf {codes['shelf'].version}", figures(codes["shelf"])


EXAMPLES: Final = ("accounts", "invoices", "credit_risk", "netting")


def worst(interface: Any) -> str:
    """Return a short digest of the worst cases that an interface prints."""
    rows = [
        (name, item.worst_gas, item.cost, item.levels)
        for found in (interface.actions, interface.queries, interface.schedules)
        for name, item in found.items()
    ]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


def _child(module: str, number: int, baseline: list[tuple[str, Any]], seconds: int) -> int:
    """Return 0 when the mutant is noticed, 1 when it survives; run in a process of its own."""
    signal.alarm(seconds)  # a mutant that never ends is noticed: the process dies
    try:
        mutate(module, number)
        for (name, wanted), (found_name, found) in zip(baseline, pinned(), strict=True):
            if (name, wanted) != (found_name, found):
                return 0
    except BaseException:  # whatever a mutant does instead of compiling is noticed
        return 0
    return 1


def _forked(work: Callable[[], Any]) -> tuple[int, Any]:
    """Run `work()` in a child; return (its exit code or -signal, what it returned; None when it ended otherwise)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(pickle.dumps(work()))
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, pickle.loads(data) if code == 0 else None  # noqa: S301  # from our own child


def run(file: Path, modules: Sequence[str], share: int, seconds: int) -> dict[str, Any]:
    """Try every `share`-th mutant of the modules; return the figures and the survivors, kept after each module."""
    _, baseline = _forked(lambda: list(pinned()))
    assert baseline, "the intact compiler does not compile what is pinned"
    report: dict[str, Any] = {"modules": {}, "survivors": {}}
    began = time.monotonic()
    for module in modules:
        tried = noticed = 0
        survivors = []
        for number in range(0, places(module), share):
            tried += 1
            code, answer = _forked(lambda: _child(module, number, baseline, seconds))  # noqa: B023  # run at once
            if code != 0 or answer == 0:
                noticed += 1
            else:
                mutator = Mutator(number)
                mutator.visit(ast.parse(path_of(module).read_text(encoding="utf-8")))
                survivors.append(f"{number} {mutator.what}"[:200])
        report["modules"][module] = {"places": places(module), "tried": tried, "noticed": noticed}
        report["survivors"][module] = survivors
        report["seconds"] = round(time.monotonic() - began)
        file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(module, report["modules"][module], flush=True)
    return report


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Mutation testing of the contract compiler.")
    parser.add_argument("file", type=Path, help="JSON file for the figures")
    parser.add_argument("--modules", nargs="+", default=list(MODULES), choices=MODULES)
    parser.add_argument("--share", type=int, default=1, help="try every n-th mutant (default 1: all)")
    parser.add_argument("--seconds", type=int, default=20, help="most a mutant may run before it counts as noticed")
    options = parser.parse_args(given)
    run(options.file, options.modules, options.share, options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
