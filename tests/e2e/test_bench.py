"""`hansa bench` in a few seconds: every promised figure is there and consistent; nothing is said about speed (E40)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.bench.result import PARTS, SCHEMA
from tests.e2e.conftest import ROOT, environment

pytestmark = pytest.mark.e2e

MEASURE = """
import json, sys
from pathlib import Path
from cli.bench.run import Settings, measure
settings = Settings(mode="test", makers=4, warm_s=3, window_s=2, paced_s=2, loads=(0.5,), batch=64, in_flight=3,
                    port_base=int(sys.argv[2]), directory=Path(sys.argv[1]))
print(json.dumps(measure(settings, lambda text: print(text, file=sys.stderr)).as_json()))
"""
KEYS = (
    "schema", "mode", "nodes", "tx_per_s", "signature_limit_ratio", "latency_ms", "cpu_us_per_tx", "cpu_v_per_tx",
    "call_to_verify_ratio", "bytes_per_tx", "memory_mb_per_node", "machine", "verify_us", "keys", "batch", "cores",
    "noisy", "noise", "state_roots_equal", "transactions", "seconds", "blocks_per_s", "txs_per_block",
)  # fmt: skip


def test_e40_a_short_run_reports_every_figure_and_ends_with_equal_roots(tmp_path: Path) -> None:
    port_base = str(30_000 + 40 * (os.getpid() % 60))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path), port_base],
        capture_output=True, text=True, env=environment(tmp_path), cwd=ROOT, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert [key for key in KEYS if key not in found] == []
    assert found["schema"] == SCHEMA == "hansa.bench/1" and found["mode"] == "test" and found["nodes"] == 4
    assert found["state_roots_equal"] is True
    assert found["transactions"] > 0 and found["tx_per_s"] > 0 and found["blocks_per_s"] > 0
    for figures in (found["cpu_us_per_tx"], found["cpu_v_per_tx"]):
        assert set(figures) == {*PARTS, "total"} and all(value >= 0 for value in figures.values())
        assert figures["total"] == pytest.approx(sum(figures[part] for part in PARTS), abs=0.1)
    assert found["signature_limit_ratio"] == pytest.approx(
        found["tx_per_s"] / found["signature_limit_tx_per_s"], rel=0.05
    )
    latency = found["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] and latency["samples"] > 0
    assert found["envelope_bytes"] > 200 and found["bytes_per_tx"] > 0
    assert found["memory_mb_per_node"] == max(found["memory_mb"]) > 0
    assert len(found["write_buffer_mb"]) == 4 and all(size > 0 for size in found["write_buffer_mb"])
    assert isinstance(found["noise"], list) and found["noisy"] == bool(found["noise"])
    assert not list(tmp_path.glob("run-*")), "nothing of the run stays"
