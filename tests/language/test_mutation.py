"""The runner of mutants: what it changes, and that pinned programs notice it. docs/contract-internals.md has a whole run."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

from tests.language.mutation import MODULES, Mutator, path_of, places


def test_k57_one_place_changes_at_a_time() -> None:
    source = "def f(a, b):\n    if a < b and not a:\n        raise ValueError(1)\n    return a + 1\n"
    counter = Mutator()
    counter.visit(ast.parse(source))
    found = {ast.unparse(Mutator(number).visit(ast.parse(source))) for number in range(counter.count)}
    assert len(found) == counter.count == 8
    assert "def f(a, b):\n    if a <= b and (not a):\n        raise ValueError(1)\n    return a + 1" in found
    assert "def f(a, b):\n    if a < b and (not a):\n        pass\n    return a + 1" in found
    assert ast.unparse(ast.parse(source)) not in found


def test_k57_every_module_of_the_checker_has_places() -> None:
    for module in MODULES:
        assert places(module) > 20
        assert path_of(module).is_file()


def test_k57_mutants_live_in_a_process_of_their_own_and_are_noticed(tmp_path: Path) -> None:
    """A sample: every eighth mutant of `scans`, which chooses keys and indexes of loops."""
    file = tmp_path / "report.json"
    subprocess.run(
        [sys.executable, "-m", "tests.language.mutation", str(file), "--modules", "scans", "--share", "8"],
        cwd=Path(__file__).parents[2], check=True, timeout=120, capture_output=True,
    )  # fmt: skip
    report = json.loads(file.read_text(encoding="utf-8"))
    figures = report["modules"]["scans"]
    assert figures["tried"] == 8
    assert figures["noticed"] == 6
    # `lower` sets the charge anew, and only bounds of ints use their line: both mean the same
    assert [what.partition("line ")[2].partition(":")[0] for what in report["survivors"]["scans"]] == ["53", "65"]
