"""What the package must not contain, how deep it calls, how much it costs: D1, D9, D10, K40, K41, H8, E20."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import contracts
from contracts.errors import SourceError
from contracts.frames import make_room
from contracts.limits import PYTHON_FRAMES
from contracts.runtime import Program, load, program
from tests.language.hosts import ACME, CURRENCIES, GAS, DictHost, signer

FOLDER = Path(contracts.__file__).parent
ROOT = FOLDER.parent
FILES = sorted(path for path in FOLDER.rglob("*.py") if "library" not in path.parts)
FORBIDDEN_CALLS = {
    "exec", "eval", "compile", "__import__", "getattr", "setattr", "hash", "id", "open", "print", "input", "float",
    "vars", "globals", "locals", "breakpoint",
}  # fmt: skip
ALLOWED_MODULES = (
    "__future__", "base64", "collections", "contracts", "dataclasses", "ledger", "msgspec", "operator", "re", "types",
    "typing",
)  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_d1_d10_k40_the_package_is_plain(path: Path) -> None:
    """No text is run, no attribute is found by a name that is not ours, nothing depends on process or release."""
    modules = (*ALLOWED_MODULES, "sys") if path.name == "frames.py" else ALLOWED_MODULES  # the recursion limit (H8)
    for node in ast.walk(ast.parse(path.read_text(encoding="ascii"))):
        match node:
            case ast.Call(func=ast.Name(id=name)):
                assert name not in FORBIDDEN_CALLS, f"{path.name}:{node.lineno} calls {name}"
            case ast.Import(names=names):
                assert all(item.name.partition(".")[0] in modules for item in names), ast.unparse(node)
            case ast.ImportFrom(module=module):
                assert (module or "").partition(".")[0] in modules, ast.unparse(node)
            case ast.Constant(value=float()):
                raise AssertionError(f"{path.name}:{node.lineno} has a float")
            case ast.Attribute(attr="lower" | "upper" | "casefold" | "normalize", value=value):
                shown = ast.unparse(value)
                assert "ascii" in shown or "b32encode" in shown, f"D9: {path.name}:{node.lineno} maps case"
            case ast.For(iter=ast.Set() | ast.SetComp()) | ast.comprehension(iter=ast.Set() | ast.SetComp()):
                raise AssertionError(f"{path.name} iterates over a set")
            case ast.Div():
                raise AssertionError(f"{path.name} divides with /")
            case ast.ExceptHandler(type=None) | ast.ExceptHandler(type=ast.Name(id="Exception" | "BaseException")):
                raise AssertionError(f"{path.name}:{node.lineno} catches everything")
            case _:
                pass


def test_only_aborts_are_caught_where_calls_run() -> None:
    text = (FOLDER / "runtime.py").read_text(encoding="ascii")
    caught = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ExceptHandler)]
    kinds = sorted(ast.unparse(node.type) for node in caught if node.type is not None)
    assert kinds == ["Aborted", "Aborted", "Aborted", "SourceError"]  # calls, schedules, rows; a source that is wrong


DIGEST = """
import hashlib, sys
sys.path.insert(0, {root!r})
from contracts.library import sources
from contracts.runtime import program
from ledger.codec import encode
from ledger.money import ISO_4217
from tests.language.hosts import ACME, BETA, DictHost, signer
linked = program(sources(), ISO_4217)
every = "preparer+approver+treasurer+risk_officer"
host = DictHost({{}}, [(signer(ACME, "p"), every), (signer(ACME, "a"), every)])
out = hashlib.sha256()
for interface in linked.interfaces.values():
    out.update(interface.ir_hash + interface.code_id)
for number in range(20):
    host.tx_id = number.to_bytes(32, "big")
    args = (BETA, f"{{number:04x}}", "380", ("EUR", 100), ("EUR", 19), ("EUR", 119), "2026-03-01", "2026-03-31", "0" * 64)
    outcome = linked.execute("invoices", "issue", args, host, 200_000)
    assert outcome.abort is None
    out.update(encode([outcome.gas_used, outcome.events, outcome.result]))
out.update(encode(sorted(host.state.items())))
print(out.hexdigest())
"""


def test_k41_one_digest_whatever_the_process(tmp_path: Path) -> None:
    root = str(FOLDER.parent)
    found = []
    for seed, zone, language in (("0", "UTC", "C"), ("4711", "Asia/Shanghai", "zh_CN.UTF-8")):
        env = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LANG": language, "LC_ALL": language}
        done = subprocess.run(
            [sys.executable, "-O", "-c", DIGEST.format(root=root)],
            cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        found.append(done.stdout)
    assert found[0] == found[1]


def test_k41_eight_threads() -> None:
    linked = _books()
    outcomes = []

    def work() -> None:
        for number in range(20):
            host = DictHost({}, [(signer(ACME, "p"), "preparer")])
            outcomes.append((number, linked.execute("deep", "go", (number,), host, GAS)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({(number, repr(outcome)) for number, outcome in outcomes}) == 20


def _books() -> Program:
    return program(
        [("deep", b'contract deep version 1\naction go(n: int) by anyone:\n    require n < 15 else x "{n}"\n')],
        CURRENCIES,
    )


def _chain(functions: int, body: str) -> bytes:
    lines = [
        "contract deep version 1",
        "table Tab key id: int:",
        "    n: int",
        "function f0(n: int) -> int:",
        "    return n",
    ]
    for number in range(1, functions + 1):
        lines.append(f"function f{number}(n: int) -> int:")
        lines += body.replace("NEXT", f"f{number - 1}").split("\n")
    lines += ["query q(n: int) -> int:", f"    return f{functions}(n)"]
    return ("\n".join(lines) + "\n").encode()


IFS = "\n".join("    " * (level + 1) + "if n > -1:" for level in range(7))
SHAPES = {
    "prefixes": "    return " + "-" * 30 + "NEXT(n)",
    "arguments": "    return " + "min(n, " * 20 + "NEXT(n)" + ")" * 20,
    "blocks": IFS + "\n" + "    " * 8 + "return NEXT(n)\n    return 0",
    "elif": "    if n == -1:\n        return 1\n    elif n == -2:\n        return 2\n    else:\n        return NEXT(n)",
    "loops": "\n".join("    " * (level + 1) + f"for x{level} in [n]:" for level in range(7))
    + "\n"
    + "    " * 8
    + "return NEXT(n)\n    return 0",
    "short": "    return NEXT(n)",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_h8_four_hundred_levels_need_at_most_1200_frames(shape: str) -> None:
    deepest = 0
    for functions in range(1, 64):
        try:
            linked = program([("deep", _chain(functions, SHAPES[shape]))], CURRENCIES)
        except SourceError as error:
            assert error.code == "worst_case"
            assert "call levels" in error.text
            break
        deepest = linked.interfaces["deep"].queries["q"].levels
        last = linked
    assert deepest > 180
    frames = len(inspect.stack(0))
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(frames + 1200)
    try:
        outcome = last.query("deep", "q", (3,), DictHost(), GAS)
    finally:
        sys.setrecursionlimit(before)
    assert outcome.abort is None


DEEP_CHAIN = 17
"""Functions of the shape `arguments`, each 22 levels: 397 of the 400 that a call path may have."""
STARTED_LOW = "import sys; sys.setrecursionlimit(400); "
PLACES = {
    "command line": "from cli.__main__ import run; sys.exit(run(['contract', 'test', sys.argv[1]]))",
    "simulator": (
        "from pathlib import Path; from contracts.testing import run_tests; from simulator.execution import *; "
        "Execution(StubRuntime(), 0, share=False, recheck=0); "
        "report = run_tests(Path(sys.argv[1]).read_bytes(), (), {'EUR': 2}); sys.exit(bool(report.failed))"
    ),
}


@pytest.mark.control("H8")
@pytest.mark.parametrize("place", PLACES)
def test_h8_the_deepest_program_runs_wherever_contracts_are_run(place: str, tmp_path: Path) -> None:
    """A process that starts with little room makes enough of it before it compiles and runs."""
    file = tmp_path / "deep.contract"
    test = b'test "deep":\n    let n = q(3)\n    expect n == 3\n'
    file.write_bytes(_chain(DEEP_CHAIN, SHAPES["arguments"]) + test)
    command = [sys.executable, "-c", STARTED_LOW + PLACES[place], str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.control("H8")
def test_h8_without_room_the_deepest_program_does_not_run() -> None:
    """The test above can fail: what is asked for there is needed."""
    linked = program([("deep", _chain(DEEP_CHAIN, SHAPES["arguments"]))], CURRENCIES)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 360)
    try:
        with pytest.raises(RecursionError):
            linked.query("deep", "q", (3,), DictHost(), GAS)
        make_room()
        assert sys.getrecursionlimit() == PYTHON_FRAMES
        assert linked.query("deep", "q", (3,), DictHost(), GAS).abort is None
    finally:
        sys.setrecursionlimit(before)


def test_compiling_the_largest_sources_is_fast_and_linear() -> None:
    """Doubling the source costs at most 2.2 times, counted in Python calls; a clock would lie on a busy machine."""

    def source(count: int) -> bytes:
        lines = ["contract c version 1", "table Tab key id: int:", "    n: int, p: party", "    index (p)"]
        for number in range(count):
            lines += [
                f"action act{number}(a: int, b: int) -> int by role preparer of caller and role approver of caller:",
                "    let c = a + b * 2 - floor_div(a, 3)",
                '    require c > 0 and b != 3 or a == 4 else bad "c is {c} and not {b}"',
                "    for t in Tab where t.p == caller and t.n > c limit 10:",
                "        update Tab[t.id] with n = t.n + c",
                "    insert Tab(id = c, n = a, p = caller)",
                "    return c",
            ]
        return ("\n".join(lines) + "\n").encode()

    def calls(data: bytes) -> int:
        count = 0

        def note(_frame: object, event: str, _arg: object) -> None:
            nonlocal count
            count += event == "call"

        sys.setprofile(note)
        try:
            load(data, {}, CURRENCIES)
        finally:
            sys.setprofile(None)
        return count

    small, large = calls(source(80)), calls(source(160))
    assert len(source(160)) > 57_000
    assert large < 2.2 * small
    assert large < 1_500_000
