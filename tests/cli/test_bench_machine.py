"""What the bench reads from the system about a process (performance E39)."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.bench import machine

SMAPS = """\
55d0c0a00000-55d0c0a21000 rw-p 00000000 00:00 0                          [heap]
Size:                132 kB
Private_Clean:         8 kB
Private_Dirty:      1000 kB
VmFlags: rd wr mr mw me ac sd
7f0000000000-7f1000000000 r--s 00000000 fd:01 131                        /data/chain/data.mdb
Size:           67108864 kB
Private_Clean:     70000 kB
Private_Dirty:     50000 kB
VmFlags: rd mr mw me ms sd
7f1000200000-7f1000400000 rw-p 00000000 00:00 0 
Private_Dirty:       500 kB
"""


def test_e39_private_memory_leaves_out_the_pages_of_the_ledger_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "PROC", tmp_path)
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "smaps").write_text(SMAPS)
    assert machine.private_mb(7) == pytest.approx(1_500 * 1024 / 1e6)
    assert machine.private_mb(8) == 0.0  # it has ended
