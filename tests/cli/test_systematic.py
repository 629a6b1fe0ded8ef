"""`hansa sim systematic` in pieces: what a record holds is counted and not run again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cli.exit_codes import Exit
from tests.cli.conftest import Done


def test_m37_a_search_is_taken_up_again_from_its_record(command: Callable[..., Done], tmp_path: Path) -> None:
    record = tmp_path / "twins.record"
    words = ("sim", "systematic", "twins", "--views", "1", "--every", "24", "--resume", str(record))
    first = command(*words, "-o", "json").json()
    assert (first["runs"], first["cases"], first["known"], first["failed"]) == (2, 2, 0, [])
    again = command(*words)
    assert again.out.startswith("2 of 2 cases, 0 of them now in ")
    other = command("sim", "systematic", "twins", "--views", "2", "--resume", str(record))
    assert other.code == Exit.USAGE
    assert "views is 1 there and 2 here: name another file" in other.err
