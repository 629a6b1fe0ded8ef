"""Compiles the core to machine code with mypyc and prints the folder of the result: `scripts/compiled` calls this.

The sources stay as they are. What runs compiled is a copy of our packages, in which an extension module lies beside
each source that was compiled. A copy belongs to one state of the sources, one Python and one mypy: when any of them
changes, the next call makes another copy. Needs a C compiler and the headers of Python, about a minute, once.

Compiled are the modules that decide (consensus, the core of a node) and the engine of the simulator, all in one unit,
so that their calls of each other are calls in C. Two kinds of modules stay interpreted: those with msgspec records,
because mypyc drops the keywords of their classes and the types by which msgspec decodes; and everything around them.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = ("cli", "simulator", "node", "finance", "consensus", "contracts", "ledger")
FOLDERS: Final = ("consensus", "node/core")
"""Whole folders that are compiled."""
ENGINE: Final = (
    "clock", "cpu", "daemon", "ends", "execution", "heap", "hub", "late", "net", "oracle", "peering", "rng", "trace",
)  # fmt: skip
"""Modules of the simulator that are compiled: what every message passes through."""
KEPT: Final = 2
"""Copies that stay: the new one, and the one before, which a command may still be running from."""
LOG_LINES: Final = 15
UNABLE: Final = 3
"""Exit status when this machine cannot compile; everything runs interpreted here."""


class CannotCompile(Exception):
    """What is missing here, and what to do."""


def modules() -> list[str]:
    """Return the paths of the modules to compile, relative to the root, in order."""
    import msgspec

    sys.path.insert(0, str(ROOT))
    found = [path.relative_to(ROOT) for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.py"))]
    found += [Path("simulator") / f"{name}.py" for name in ENGINE]
    chosen = []
    for path in found:
        name = ".".join(path.with_suffix("").parts)
        if path.name == "__init__.py":
            continue
        own = [one for one in vars(importlib.import_module(name)).values() if getattr(one, "__module__", "") == name]
        if not any(isinstance(one, type) and issubclass(one, msgspec.Struct) for one in own):
            chosen.append(path.as_posix())
    return chosen


def compiled() -> Path:
    """Return the folder of the compiled copy, made now if there is none of these sources."""
    shelf = _shelf()
    shelf.mkdir(parents=True, exist_ok=True)
    target = shelf / _key()
    if target.exists():
        return target
    _ask_for_tools()
    with (shelf / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two commands at once compile once
        if not target.exists():
            print("hansa: compiling the core (about a minute, once for these sources)", file=sys.stderr)
            _make(shelf, target)
    return target


def _shelf() -> Path:
    if os.access(ROOT, os.W_OK):
        return ROOT / ".compiled"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "hansa" / f"compiled-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:16]}"


def _key() -> str:
    """Return the name of the copy: everything it depends on."""
    digest = hashlib.sha256(f"{sys.version} {sysconfig.get_platform()} {version('mypy')}".encode())
    for path in (Path(__file__), *_sources()):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _sources() -> Iterator[Path]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _ask_for_tools() -> None:
    without = "or run the command without scripts/compiled: it does the same, more slowly"
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        raise CannotCompile(f"there is no C compiler {compiler!r} here: install one (gcc or clang), {without}")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.exists():
        raise CannotCompile(f"{header} is missing: install the development files of this Python, {without}")


def _make(shelf: Path, target: Path) -> None:
    work = Path(tempfile.mkdtemp(prefix="new-", dir=shelf))
    try:
        for package in PACKAGES:
            shutil.copytree(ROOT / package, work / package, ignore=shutil.ignore_patterns("__pycache__"))
        done = subprocess.run(  # noqa: S603  # this file, on our own sources
            [sys.executable, str(Path(__file__).resolve()), "--in", str(work), *modules()],
            cwd=work,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        if done.returncode:
            raise CannotCompile("mypyc failed; the end of what it said:\n" + _end(done.stdout))
        shutil.rmtree(work / "build")
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    copies = sorted((one for one in shelf.iterdir() if one.is_dir()), key=lambda one: one.stat().st_mtime)
    for old in copies[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _end(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines()[-LOG_LINES:])


def _compile_here(paths: list[str]) -> None:
    """Compile in the current folder, each extension module beside its source."""
    from mypyc.build import mypycify
    from setuptools import setup

    extensions = mypycify(["--ignore-missing-imports", *paths], opt_level="3", debug_level="0", multi_file=True)
    setup(
        name="hansa-compiled",
        packages=[],
        py_modules=[],
        ext_modules=extensions,
        script_args=["build_ext", "--inplace", f"--parallel={os.cpu_count() or 1}"],
    )


def main() -> int:
    if sys.argv[1:2] == ["--in"]:
        _compile_here(sys.argv[3:])
        return 0
    try:
        print(compiled())
    except CannotCompile as error:
        print(f"hansa: the core was not compiled: {error}", file=sys.stderr)
        return UNABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
