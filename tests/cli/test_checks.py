"""`hansa doctor`: what a node that runs says of itself is a fault there, with what to do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from cli.checks import FAULT, OK, Subject, _store
from node.config import NodeConfig


@pytest.mark.parametrize(("word", "level"), [("behind", FAULT), ("learner", FAULT), ("halted", FAULT), ("syncing", OK)])
def test_u61_what_does_not_pass_by_itself_is_a_fault_of_the_store(word: str, level: str, tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "data.mdb").touch()
    status = {"not_ready": [word], "sentence": "acme stands at height 412", "height_executed": 412}
    config = cast(NodeConfig, SimpleNamespace(data_dir=tmp_path))
    (found,) = _store(Subject(home=tmp_path, status=status, network=None, config=config, running=True))
    assert found.level == level and bool(found.repair) is (level == FAULT)
