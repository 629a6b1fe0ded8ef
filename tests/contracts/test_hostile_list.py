"""The hostile list is complete: every number has its tests, and every test that names a number stands in the table."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

from tests.language.refusals import CHUNKS

ROOT = Path(__file__).parents[2]
TABLE = tomllib.loads(Path(__file__).with_name("hostile.toml").read_text(encoding="utf-8"))
NUMBERS = 58


def functions(path: Path) -> set[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {name for name in found if name.startswith("test_")}


def test_every_number_has_tests_that_exist() -> None:
    assert list(TABLE) == [f"K{number}" for number in range(1, NUMBERS + 1)]
    for number, entry in TABLE.items():
        assert entry["input"], number
        assert entry["tests"], number
        for named in entry["tests"]:
            path, _, test = named.partition("::")
            if named.startswith("refused "):
                word = named.removeprefix("refused ")
                assert any(re.search(rf"\b{word}\b", title) for _, title, _ in CHUNKS), named
            else:
                assert test in functions(ROOT / path), named


def test_every_test_that_names_a_number_stands_in_the_table() -> None:
    for folder in ("contracts", "language"):
        for path in sorted((ROOT / "tests" / folder).glob("test_*.py")):
            for name in sorted(functions(path)):
                for number in re.findall(r"(?<=_)k(\d+)(?=_)", name):
                    assert f"{path.relative_to(ROOT)}::{name}" in TABLE[f"K{number}"]["tests"]
