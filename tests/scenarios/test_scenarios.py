"""Every scenario file beside this test holds: safety always, liveness after healing, and what it expects.

The number in a file's name is that of the consensus design. Each runs with two seeds; the swarm covers the rest.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.scenario import load
from simulator.world import World

FILES = sorted(Path(__file__).parent.glob("*.toml"))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_scenario(path: Path, seed: int) -> None:
    result = World(load(str(path)), seed).run()
    assert result.ok, f"{result.violation}; repeat: python -m simulator run {path} --seed {seed}"
    assert result.committed > 0


@pytest.mark.parametrize(
    "kind", ["PrePrepare", "Prepare", "Commit", "ViewChange", "NewView", "Status", "TxBatch", "Bodies"]
)
def test_scenario_13_one_kind_of_message_is_dropped(kind: str) -> None:
    path = Path(__file__).parent / "02-isolate-primary.toml"
    at = f'at=[{{ t = "800ms", do = "drop_type", message = "{kind}", for = "2s" }}, ' + (
        '{ t = "1s", do = "pause", node = "primary", for = "1s" }]'
    )
    result = World(load(str(path), [at, 'expect.view_changes=""']), 3).run()
    assert result.ok, str(result.violation)
