"""The folder a run leaves behind, and its verification (M41, M44).

`manifest.json` holds all that decides a run (the scenario as text, the seed) and the trace hash it gave; `summary.json`
the figures; `blocks.jsonl` a line a block; `metrics.csv` the latencies. Times are integer nanoseconds.
"""

from __future__ import annotations

import json
import platform
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from simulator.errors import InvalidScenario
from simulator.report.measures import percentile
from simulator.scenario.load import describe, parse
from simulator.world import RunResult, World

SCHEMA: Final = "hansa.run/1"


def write(result: RunResult, parent: Path) -> Path:
    """Write the folder `parent/<name>-<seed>-<hash8>` and return it; an equal run writes the same files."""
    folder = parent / f"{result.scenario.name}-{result.seed}-{result.trace[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    scenario = describe(result.scenario)
    manifest = {
        "schema": SCHEMA,
        "scenario": scenario,
        "scenario_sha256": sha256(scenario.encode()).hexdigest(),
        "seed": result.seed,
        "fidelity": result.fidelity,
        "cost_table": result.machine,
        "python": platform.python_version(),
        "trace": result.trace,
    }
    _write_json(folder / "manifest.json", manifest)
    _write_json(folder / "summary.json", figures(result))
    lines = [
        json.dumps({"height": height, "t_ns": time_ns, "block_id": block_id.hex(), "transactions": count, "view": view})
        for height, time_ns, block_id, count, view in result.blocks
    ]
    (folder / "blocks.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    rows = [f"consensus,{value}" for value in result.latency_ns] + [f"client,{v}" for v in result.client_latency_ns]
    (folder / "metrics.csv").write_text("kind,latency_ns\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return folder


def figures(result: RunResult) -> dict[str, Any]:
    """Return the figures of a run as JSON values."""
    violation = result.violation
    return {
        "schema": "hansa.run-summary/1",
        "verdict": result.verdict,
        "violation": None if violation is None else str(violation),
        "n": result.n,
        "f": result.f,
        "q": result.q,
        "height": result.height,
        "transactions": result.transactions,
        "submitted": result.submitted,
        "committed": result.committed,
        "failed": result.failed,
        "refused": result.refused,
        "pending": result.pending,
        "view_changes": result.view_changes,
        "events": result.events,
        "messages": result.deliveries,
        "bytes": result.sent_bytes,
        "messages_by_type": result.by_type,
        "virtual_ns": result.virtual_ns,
        "healed_after_ns": result.healed_after_ns,
        "latency_ns": {name: percentile(result.latency_ns, at) for name, at in _PERCENTILES},
        "client_latency_ns": {name: percentile(result.client_latency_ns, at) for name, at in _PERCENTILES},
        "byzantine": list(result.byzantine),
        "reports": result.reports,
        "faults": [{"t_ns": time_ns, "what": what} for time_ns, what in result.faults],
        "trace": result.trace,
    }


def verify(folder: Path) -> str:
    """Run the manifest of a folder again; return "" if trace and summary are equal, else what differs."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        scenario, seed, trace = manifest["scenario"], manifest["seed"], manifest["trace"]
    except (OSError, ValueError, KeyError) as error:
        raise InvalidScenario(str(folder), f"is not the folder of a run: {error}") from None
    result = World(parse(scenario), seed).run()
    if result.trace != trace:
        return f"the trace is {result.trace[:12]}, the manifest says {trace[:12]}"
    now = json.loads(json.dumps(figures(result)))
    differing = [key for key in now if now[key] != summary.get(key)]
    return f"the summary differs in {', '.join(differing)}" if differing else ""


_PERCENTILES: Final = (("p50", 500), ("p95", 950), ("p99", 990))


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=False) + "\n", encoding="utf-8")
