"""Mutation testing of the checker and the charges: which single changes of the compiler do the pinned programs notice?

    python -m tests.language.mutation FILE [--modules check check_expressions] [--share 1] [--again EARLIER]

A mutant changes one place of a module's syntax tree: a comparison, a connective, a condition, a number, a refusal left
out. It lives in a child process whose import hook compiles the changed tree; no file changes. The child compiles what
the tests pin: every chunk of refused.txt (code, place and words), the programs and examples of the language and the
library (hash of the IR, worst cases). A mutant under which all of it comes out as before survives. `FILE` gets the
figures. A survivor that survivors.toml does not list with its reason makes the run fail. `--again` tries only the
survivors of an earlier run: what new programs are for; they take nothing from the ones noticed before.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import json
import os
import pickle
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
LIST: Final = Path(__file__).parent / "survivors.toml"
MODULES: Final = ("check", "check_expressions", "scans", "resolve", "upgrade", "lower", "gas", "cost")
SWAPS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
ADDED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
}  # fmt: skip


class Mutator(ast.NodeTransformer):
    """Counts the places that can change; changes the one with number `wanted`.

    `named` holds the name of each place: function, change, and a number if the function has several of that wording.
    Names have no line numbers, so that a list of them outlives changes elsewhere in the module.
    """

    def __init__(self, wanted: int = -1) -> None:
        self.wanted = wanted
        self.named: list[str] = []
        self.wordings: Counter[str] = Counter()
        self.inside: list[ast.AST] = []

    def visit(self, node: ast.AST) -> Any:
        self.inside.append(node)
        try:
            return super().visit(node)
        finally:
            self.inside.pop()

    def here(self, node: ast.AST, what: str) -> bool:
        functions = [item.name for item in self.inside if isinstance(item, ast.FunctionDef | ast.ClassDef)]
        if isinstance(node, ast.Constant):  # a number says little without the call or line it stands in
            home = next(item for item in reversed(self.inside) if isinstance(item, ast.Call | ast.stmt))
            what = f"{what} in `{ast.unparse(home).splitlines()[0]}`"
        name = f"{'.'.join(functions) or 'module'}: {what}"
        self.wordings[name] += 1
        self.named.append(name if self.wordings[name] == 1 else f"{name} ({self.wordings[name]})")
        return len(self.named) - 1 == self.wanted

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
            if self.here(node, f"`{ast.unparse(node)}` with {other.__name__}"):
                node.ops[at] = other()
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if self.here(node, f"and/or exchanged in `{ast.unparse(node)}`"):
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not) and self.here(node, f"without its `not`: `{ast.unparse(node)}`"):
            return node.operand
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        other = ADDED.get(type(node.op))
        if other is not None and self.here(node, f"`{ast.unparse(node)}` with {other.__name__}"):
            node.op = other()
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if type(node.value) is int and self.here(node, f"{node.value} is {node.value + 1}"):
            return ast.copy_location(ast.Constant(node.value + 1), node)
        if type(node.value) is bool and self.here(node, f"{node.value} is {not node.value}"):
            return ast.copy_location(ast.Constant(not node.value), node)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node  # wording

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if self.here(node, f"left out: `{ast.unparse(node)}`"):
            return ast.copy_location(ast.Pass(), node)
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        for value in (True, False):
            if self.here(node, f"`if {ast.unparse(node.test)}` is {value}"):
                node.test = ast.copy_location(ast.Constant(value), node.test)
                break
        return node


# Imported before the fork, once for all children: what pinned programs need and no mutated module is part of.
BEFORE: Final = (
    "pytest",
    "contracts.syntax.parse",
    "contracts.ir",
    "contracts.errors",
    "contracts.library",
    "ledger.receipt",
)


def path_of(module: str) -> Path:
    return ROOT / "contracts" / f"{module}.py"


def places(module: str) -> list[str]:
    """Return the name of each mutant of a module, in the order of their numbers."""
    mutator = Mutator()
    mutator.visit(ast.parse(path_of(module).read_text(encoding="utf-8")))
    return mutator.named


def listed() -> dict[str, dict[str, str]]:
    """Return module -> name of a survivor -> why it stands in survivors.toml."""
    found: dict[str, dict[str, str]] = {module: {} for module in MODULES}
    for item in tomllib.loads(LIST.read_text(encoding="utf-8"))["survivor"]:
        for name in item["changed"]:
            assert name not in found[item["module"]], f"survivors.toml names {name} twice"
            found[item["module"]][name] = item["why"]
    return found


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


def mutate(module: str, number: int) -> None:
    """Make this process import one mutant of `contracts.<module>`."""
    mutator = Mutator(number)
    changed = mutator.visit(ast.parse(path_of(module).read_text(encoding="utf-8")))
    code = compile(ast.fix_missing_locations(changed), str(path_of(module)), "exec")
    assert not [name for name in MODULES if f"contracts.{name}" in sys.modules], "the compiler is imported already"
    sys.meta_path.insert(0, _Hook(f"contracts.{module}", code))


def pinned() -> Iterator[tuple[str, str]]:
    """Compile what tests pin; yield (name, what came of it), the quickest first."""
    from contracts.library import sources  # only now: a mutant is imported after its hook
    from contracts.runtime import load, program, replace_version
    from tests.language import refusals
    from tests.language.hosts import CURRENCIES

    for number, (_, title, source) in enumerate(refusals.CHUNKS):
        yield f"refused {number} {title}", refusals.outcome(source)
    for title, source in refusals.ACCEPTED.items():
        yield title, refusals.outcome(source)
    yield "changes", "\n".join(refusals.pinned_changes())
    for title, found in refusals.LINKED.items():
        yield title, found()
    here = ROOT / "tests" / "language"
    for path in sorted((here / "programs").glob("*.contract")):
        yield path.stem, refusals.figures(load(path.read_bytes(), {}, CURRENCIES))
    examples = [(name, (here / "examples" / f"{name}.contract").read_bytes()) for name in EXAMPLES]
    for group in (examples, list(sources())):
        linked = program(group, CURRENCIES)
        for name, code in linked.codes.items():
            yield name, refusals.figures(code)
    from tests.contracts import test_upgrade as upgrades

    codes = dict(program([("shelf", upgrades.FIRST)], CURRENCIES).codes)
    for version in (upgrades.SECOND, upgrades.THIRD):
        codes = replace_version(codes, version)
        yield f"shelf {codes['shelf'].version}", refusals.figures(codes["shelf"])


EXAMPLES: Final = ("accounts", "invoices", "credit_risk", "netting")


def _child(module: str, number: int, baseline: list[tuple[str, str]], seconds: int) -> int:
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


def surviving(module: str, numbers: Iterable[int], seconds: int) -> list[int]:
    """Try mutants of a module; return the numbers of those that nothing pinned notices."""
    for name in BEFORE:
        importlib.import_module(name)
    code, baseline = _forked(lambda: list(pinned()))
    assert code == 0, "the intact compiler does not compile what is pinned"
    found = []
    for number in numbers:
        code, answer = _forked(lambda: _child(module, number, baseline, seconds))  # noqa: B023  # run at once
        if code == 0 and answer == 1:
            found.append(number)
    return found


def run(file: Path, modules: Sequence[str], share: int, seconds: int, earlier: dict[str, Any]) -> dict[str, Any]:
    """Try every `share`-th mutant of the modules, or the survivors of `earlier`; return figures, survivors, unlisted.

    `file` is written after each module.
    """
    report: dict[str, Any] = {"modules": {}, "survivors": {}, "unlisted": {}}
    reasons = listed()
    began = time.monotonic()
    for module in modules:
        named = places(module)
        numbers = list(range(0, len(named), share))
        tried = len(numbers)
        if earlier:
            before = earlier["modules"][module]
            assert before["places"] == len(named), f"{module} has changed since the earlier run"
            numbers = [named.index(name) for name in earlier["survivors"][module]]
            tried = before["tried"]
        survivors = [named[number] for number in surviving(module, numbers, seconds)]
        report["modules"][module] = {"places": len(named), "tried": tried, "noticed": tried - len(survivors)}
        report["survivors"][module] = survivors
        report["unlisted"][module] = [name for name in survivors if name not in reasons[module]]
        report["seconds"] = round(time.monotonic() - began)
        file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(module, report["modules"][module], *report["unlisted"][module], sep="\n  ", flush=True)
    return report


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Mutation testing of the contract compiler.")
    parser.add_argument("file", type=Path, help="JSON file for the figures")
    parser.add_argument("--modules", nargs="+", default=list(MODULES), choices=MODULES)
    parser.add_argument("--share", type=int, default=1, help="try every n-th mutant (default 1: all)")
    parser.add_argument("--again", type=Path, help="figures of an earlier run: try only its survivors")
    parser.add_argument("--seconds", type=int, default=20, help="most a mutant may run before it counts as noticed")
    options = parser.parse_args(given)
    earlier = {} if options.again is None else json.loads(options.again.read_text(encoding="utf-8"))
    report = run(options.file, options.modules, options.share, options.seconds, earlier)
    return 1 if any(report["unlisted"].values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
