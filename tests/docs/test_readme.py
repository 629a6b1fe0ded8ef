"""Every `console` line of the README works as printed, in order, on a machine where nothing was set up."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, environment

pytestmark = pytest.mark.e2e

BLOCK = re.compile(r"```console\n(.*?)```", re.S)


def commands(path: Path) -> list[str]:
    return [
        line[2:]
        for block in BLOCK.findall(path.read_text(encoding="utf-8"))
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def test_the_readme_works_as_printed(tmp_path: Path) -> None:
    shell = environment(tmp_path)
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (bin_dir / "hansa").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli "$@"\n', encoding="utf-8")
    (bin_dir / "hansa").chmod(0o755)
    shell["PATH"] = f"{bin_dir}:{shell['PATH']}"
    work = tmp_path / "work"
    work.mkdir()
    (work / "cli").symlink_to(ROOT / "cli")
    lines = commands(ROOT / "README.md")
    assert len(lines) >= 15
    breaking = lines.index("hansa cluster kill chenghu")
    lines[breaking:breaking] = [
        line for name in ("command-line.md", "pages.md") for line in commands(ROOT / "docs" / name)
    ]
    try:
        for line in lines:
            done = subprocess.run(
                ["sh", "-c", line], capture_output=True, text=True, env=shell, cwd=work, timeout=60, check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    finally:
        subprocess.run(["hansa", "cluster", "down"], env=shell, cwd=work, capture_output=True, check=False)


def test_every_document_that_is_linked_exists() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}, which does not exist"
