"""A process in which one mutant lives: `python -m simulator.search.mutated MU27 NAME#FIRST..LAST ...`.

The fault is made in memory: an import hook hands the interpreter the changed source of a module before anything else
has imported it, so the files on disk stay as they are and no copy of the code exists. This module therefore imports
nothing of ours at its top. One JSON line tells the outcome; progress goes nowhere.
"""

from __future__ import annotations

import ast
import json
import sys
import time
import tomllib
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

TABLE: Final = Path(__file__).with_name("mutants.toml")
SEEDS: Final = (1, 4)
"""Seeds of a scenario that names none, the last one excluded."""
Patch = dict[str, str]


class PatchFailed(Exception):
    """A fragment does not occur exactly once where its mutant says: the code has changed, so must the list."""


def entries() -> list[dict[str, Any]]:
    """Return the list of mutants as it stands in `mutants.toml`."""
    return list(tomllib.loads(TABLE.read_text(encoding="utf-8"))["mutant"])


def patched(source: str, patch: Patch) -> str:
    """Return `source` with one fragment replaced inside the function that the patch names."""
    start, end = _extent(source, patch["function"])
    part = source[start:end]
    count = part.count(patch["old"])
    if count != 1:
        where = f"{patch['module']}.{patch['function']}".rstrip(".")
        raise PatchFailed(f"{where}: {patch['old']!r} occurs {count} times, once is needed")
    return source[:start] + part.replace(patch["old"], patch["new"]) + source[end:]


def _extent(source: str, function: str) -> tuple[int, int]:
    """Return where a function, `Class.method` or the whole module begins and ends in `source`."""
    if not function:
        return 0, len(source)
    scope: Any = ast.parse(source)
    for name in function.split("."):
        found = [node for node in scope.body if getattr(node, "name", "") == name]
        if not found:
            raise PatchFailed(f"there is no {function}")
        scope = found[0]
    lines = source.splitlines(keepends=True)
    start = sum(len(line) for line in lines[: scope.lineno - 1])
    return start, start + sum(len(line) for line in lines[scope.lineno - 1 : scope.end_lineno])


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, patches: Sequence[Patch]) -> None:
        super().__init__(fullname, path)
        self._patches = patches

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = Path(path).read_text(encoding="utf-8")
        for patch in self._patches:
            source = patched(source, patch)
        return self.source_to_code(source.encode(), path)


class Mutation(MetaPathFinder):
    """The import hook. Must be installed before the modules it changes are imported."""

    def __init__(self, patches: Sequence[Patch]) -> None:
        self._patches: dict[str, list[Patch]] = {}
        for patch in patches:
            self._patches.setdefault(patch["module"], []).append(patch)

    def install(self) -> None:
        early = [name for name in self._patches if name in sys.modules]
        if early:
            raise PatchFailed(f"{', '.join(early)} is imported already")
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        patches = self._patches.get(fullname)
        if patches is None:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            return None
        spec.loader = _Loader(fullname, spec.origin, patches)
        return spec


def parse_run(text: str) -> tuple[str, range]:
    """Return scenario and seeds of an entry of `runs`.

    >>> parse_run("01-clean"), parse_run("swarm#0..30")
    (('01-clean', range(1, 4)), ('swarm', range(0, 30)))
    """
    name, separator, seeds = text.partition("#")
    if not separator:
        return name, range(*SEEDS)
    first, _, last = seeds.partition("..")
    return name, range(int(first), int(last))


def main(arguments: Sequence[str]) -> int:
    """Run one mutant, or only its lens, until a checker notices it."""
    number, lens_only, limit = arguments[0], arguments[1] == "lens", float(arguments[2])
    entry = next(entry for entry in entries() if entry["number"] == number)
    Mutation([*entry.get("lens", ()), *(() if lens_only else entry["patch"])]).install()
    from simulator.scenario import load
    from simulator.search.swarm import swarm
    from simulator.world import World

    tried, began = 0, time.monotonic()
    outcome: dict[str, Any] = {"number": number, "killed": False}
    for text in entry["runs"]:
        name, seeds = parse_run(text)
        for seed in seeds:
            if time.monotonic() - began > limit:
                break
            tried += 1
            violation = World(swarm(seed) if name == "swarm" else load(name), seed).run().violation
            if violation is not None:
                found = {"killed": True, "scenario": name, "seed": seed, "checker": violation.checker}
                outcome.update(found, detail=str(violation))
                break
        if outcome["killed"]:
            break
    outcome.update(tried=tried, seconds=round(time.monotonic() - began, 2))
    sys.stdout.write(json.dumps(outcome) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
