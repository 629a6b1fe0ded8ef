"""The runner of mutants: what it changes, and that pinned programs notice it. docs/contract-internals.md has a whole run."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.language.mutation import MODULES, Mutator, listed, places

LEFT: Final = {"cost": 5, "scans": 3}
"""Modules that are so small that a few mutants which mean the same are more than one in twenty."""


def test_k57_one_place_changes_at_a_time() -> None:
    source = "def f(a, b):\n    if a < b and not a:\n        raise ValueError(1)\n    return a + 1\n"
    counter = Mutator()
    counter.visit(ast.parse(source))
    found = {ast.unparse(Mutator(number).visit(ast.parse(source))) for number in range(len(counter.named))}
    assert len(found) == len(counter.named) == len(set(counter.named)) == 8
    assert counter.named[-1] == "f: `a + 1` with Sub"
    assert "def f(a, b):\n    if a <= b and (not a):\n        raise ValueError(1)\n    return a + 1" in found
    assert "def f(a, b):\n    if a < b and (not a):\n        pass\n    return a + 1" in found
    assert ast.unparse(ast.parse(source)) not in found


def test_k57_every_module_of_the_checker_has_places() -> None:
    for module in MODULES:
        named = places(module)
        assert len(named) == len(set(named)) > 20


def test_the_list_of_survivors_fits_the_code() -> None:
    """Each place exists, has a reason, and they are few: 95 of a hundred mutants of each module are noticed or more."""
    reasons = listed()
    assert reasons.keys() == set(MODULES)
    for module, survivors in reasons.items():
        named = places(module)
        assert survivors.keys() <= set(named), sorted(survivors.keys() - set(named))
        assert all(len(why) > 30 for why in survivors.values())
        assert len(survivors) <= LEFT.get(module, len(named) // 20)


def test_k57_mutants_live_in_a_process_of_their_own_and_are_noticed(tmp_path: Path) -> None:
    """Of the list a sample survives, of the others none. A whole run is in docs/contract-internals.md."""
    earlier: dict[str, Any] = {"modules": {}, "survivors": {}}
    left, others = 0, 0
    for module, step in (("scans", 9), ("gas", 40)):
        named, known = places(module), list(listed()[module])
        sample = [*known[:3], *[name for name in named if name not in known][::step]]
        left += min(3, len(known))
        others += len(sample) - min(3, len(known))
        earlier["modules"][module] = {"places": len(named), "tried": len(sample)}
        earlier["survivors"][module] = sample
    given, file = tmp_path / "sample.json", tmp_path / "report.json"
    given.write_text(json.dumps(earlier), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tests.language.mutation", str(file), "--again", str(given), "--seconds", "60",
         "--modules", "scans", "gas"],
        cwd=Path(__file__).parents[2], check=False, timeout=600, capture_output=True,
    )  # fmt: skip
    report = json.loads(file.read_text(encoding="utf-8"))
    assert (done.returncode, report["unlisted"]) == (0, {"scans": [], "gas": []})
    assert sum(len(found) for found in report["survivors"].values()) == left >= 5
    assert sum(found["noticed"] for found in report["modules"].values()) == others >= 10
