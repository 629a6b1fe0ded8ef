"""Every scenario file beside this test holds: safety always, liveness after healing, and what it expects.

The number in a file's name is that of the consensus design. Each runs with two seeds, and with two and four blocks in
flight (slice 2); the swarm covers the rest.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.evidence import KINDS, fault_key
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
    ("name", "kinds"),
    [
        ("30-twins", {"E4"}),  # they notice each other and fall silent (P98), so little of it is seen
        ("33-equivocate", {"E1"}),
        ("35-double-votes", {"E2", "E3"}),
        ("45-bad-new-view", {"E5"}),
        ("76-false-witness", set()),
    ],
)
def test_i17_what_is_proven_is_recorded_on_every_chain(name: str, kinds: set[str]) -> None:
    world = World(load(str(Path(__file__).parent / f"{name}.toml")), 1)
    assert world.run().ok
    honest = [daemon for daemon in world.daemons if daemon.honest and daemon.core is not None]
    liars = {daemon.index for daemon in world.daemons if not daemon.honest}
    for daemon in honest:
        found = set()
        for firm in world.league.firms:
            for kind in KINDS:
                if daemon.store.view.get(fault_key(firm.company_id, 0, kind)) is not None:
                    assert firm.index in liars  # I16
                    found.add(kind)
        assert kinds <= found
        assert not kinds or found


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
