"""The data directory: one node at a time, and a clear word when it is taken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from node.store.errors import StoreError, StoreLocked
from node.store.places import DataDirectory


def test_a_second_node_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "a" / "data") as held:
        assert (tmp_path / "a" / "data").stat().st_mode & 0o777 == 0o700
        assert held.free_bytes() > 0
        with pytest.raises(StoreLocked, match=r"in use by process \d+; stop that node first"):
            DataDirectory(tmp_path / "a" / "data")
    DataDirectory(tmp_path / "a" / "data").close()


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from node.store.places import DataDirectory\n"
        "d = DataDirectory(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path.cwd()
    )
    assert other.stdout is not None and other.stdin is not None
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(StoreLocked, match=str(other.pid)):
        DataDirectory(tmp_path)
    other.kill()
    other.communicate()
    DataDirectory(tmp_path).close()


def test_what_is_not_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"node\.data_dir"):
        DataDirectory(tmp_path / "file")
