"""Every scenario file beside this test holds: safety always, liveness after healing, and what it expects.

The number in a file's name is that of the consensus design. Each runs with two seeds, and with two and four blocks in
flight (slice 2); the swarm covers the rest.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.scenario import load
from simulator.world import World

FILES = sorted(Path(__file__).parent.glob("*.toml"))


@pytest.mark.parametrize(("window", "seed"), [(0, 1), (0, 2), (2, 3), (4, 4)])
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_scenario(path: Path, window: int, seed: int) -> None:
    """`window` 0: as the file says."""
    override = f"consensus.window={window}" if window else ""
    result = World(load(str(path), [override] if override else []), seed).run()
    again = f"python -m simulator run {path} --seed {seed}" + (f" --set {override}" if override else "")
    assert result.ok, f"{result.violation}; repeat: {again}"
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
