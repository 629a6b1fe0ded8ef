"""What a run found: one record, its JSON, and a table for people (E40, E42). Figures say what they were divided by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

SCHEMA: Final = "hansa.bench/1"
PARTS: Final = (
    "verify", "pool", "consensus", "contract", "state", "store", "journal", "network", "api", "other",
)  # fmt: skip
STAGES: Final = (("C", 0.5), ("B", 0.35), ("A", 0.2))
"""Shares of the signature limit (performance section 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds from the moment a batch was due until its node had executed it, at one rate of arrivals."""

    load: float
    tx_per_s: float
    samples: tuple[float, ...]
    sustained: bool = True
    """False when the queue still grew at the end: the rate is more than the network carries in requests this small."""

    def percentile(self, share: float) -> float:
        """Return the value that `share` of the samples do not exceed (nearest rank); 0 without samples."""
        ranked = sorted(self.samples)
        return ranked[max(0, ceil(len(ranked) * share) - 1)] if ranked else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form without the samples."""
        return {
            "load": self.load,
            "tx_per_s": round(self.tx_per_s, 1),
            **{f"p{round(share * 100)}": round(self.percentile(share), 1) for share in (0.5, 0.95, 0.99)},
            "samples": len(self.samples),
            "sustained": self.sustained,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run. CPU figures are per transaction and node, memory and bytes per node."""

    mode: str
    nodes: int
    keys: int
    signatures: int
    batch: int
    cores: int
    seconds: float
    transactions: int
    tx_per_s: float
    verify_us: tuple[float, float]
    generator_cores: float
    other_cores: float
    nodes_cores: float
    cpu_us_per_tx: Mapping[str, float]
    counts_per_tx: Mapping[str, float]
    blocks_per_s: float
    txs_per_block: float
    latencies: tuple[Latency, ...]
    bytes_per_tx: float
    envelope_bytes: int
    state_rows: int
    memory_mb: tuple[float, ...]
    """Private memory of each node at its largest, without pages of LMDB: neither mapped ones nor its write buffers."""
    write_buffer_mb: tuple[float, ...]
    """Memory that LMDB keeps for the copies of pages it writes, at the end."""
    roots_equal: bool
    machine: str
    noise: tuple[str, ...]
    timeline: tuple[tuple[float, float], ...] = field(default=())
    """(seconds since the start of the window, transactions per second) of the saturated phase."""

    @property
    def v_us(self) -> float:
        """V: microseconds of one verification, mean of before and after (E1)."""
        return sum(self.verify_us) / 2

    @property
    def cores_left(self) -> float:
        """Cores that were there for the nodes: without the load generator and without strangers (E42)."""
        return max(0.01, self.cores - self.generator_cores - self.other_cores)

    @property
    def limit_tx_per_s(self) -> float:
        """The signature limit: cores / (nodes · signatures · V) (E2)."""
        return self.cores_left / (self.nodes * self.signatures * self.v_us / 1e6)

    @property
    def ratio(self) -> float:
        """Share of the signature limit that was reached."""
        return self.tx_per_s / self.limit_tx_per_s

    @property
    def stage(self) -> str:
        """The stage of performance.md that this ratio reaches, or ""."""
        return next((name for name, share in STAGES if self.ratio >= share), "")

    def latency_at(self, load: float) -> Latency | None:
        """Return the measurement nearest to this share of the maximum."""
        return min(self.latencies, key=lambda found: abs(found.load - load), default=None)

    def as_json(self) -> dict[str, Any]:
        """Return the one JSON object of `hansa bench -o json`."""
        half = self.latency_at(0.5)
        total = sum(self.cpu_us_per_tx.values())
        return {
            "schema": SCHEMA,
            "mode": self.mode,
            "nodes": self.nodes,
            "tx_per_s": round(self.tx_per_s, 1),
            "signature_limit_ratio": round(self.ratio, 4),
            "signature_limit_tx_per_s": round(self.limit_tx_per_s, 1),
            "stage": self.stage,
            "latency_ms": None if half is None else half.as_json(),
            "latency_by_load": [found.as_json() for found in self.latencies],
            "cpu_us_per_tx": {part: round(self.cpu_us_per_tx.get(part, 0.0), 2) for part in PARTS}
            | {"total": round(total, 2)},
            "cpu_v_per_tx": {part: round(self.cpu_us_per_tx.get(part, 0.0) / self.v_us, 3) for part in PARTS}
            | {"total": round(total / self.v_us, 3)},
            "call_to_verify_ratio": round(self.cpu_us_per_tx.get("contract", 0.0) / self.v_us, 3),
            "verify_us": {"before": round(self.verify_us[0], 2), "after": round(self.verify_us[1], 2)},
            "bytes_per_tx": round(self.bytes_per_tx, 1),
            "envelope_bytes": self.envelope_bytes,
            "memory_mb_per_node": round(max(self.memory_mb, default=0.0), 1),
            "memory_mb": [round(size, 1) for size in self.memory_mb],
            "write_buffer_mb": [round(size, 1) for size in self.write_buffer_mb],
            "keys": self.keys,
            "signatures_per_call": self.signatures,
            "batch": self.batch,
            "transactions": self.transactions,
            "seconds": round(self.seconds, 2),
            "blocks_per_s": round(self.blocks_per_s, 2),
            "txs_per_block": round(self.txs_per_block, 1),
            "counts_per_tx": {name: round(value, 4) for name, value in self.counts_per_tx.items()},
            "state_rows": self.state_rows,
            "state_roots_equal": self.roots_equal,
            "cores": self.cores,
            "cores_nodes": round(self.nodes_cores, 3),
            "cores_load_generator": round(self.generator_cores, 3),
            "cores_other_processes": round(self.other_cores, 3),
            "noisy": bool(self.noise),
            "noise": list(self.noise),
            "machine": self.machine,
        }


def table(result: Result) -> list[tuple[str, str]]:
    """Return label and value pairs for a terminal."""
    v = result.v_us
    rows = [
        ("throughput", f"{result.tx_per_s:,.0f} transactions/s, {result.blocks_per_s:.1f} blocks/s of "
                       f"{result.txs_per_block:.0f}"),
        ("signature limit", f"{result.limit_tx_per_s:,.0f} transactions/s: {result.cores_left:.2f} cores / "
                            f"({result.nodes} nodes · {result.signatures} signatures · {v:.1f} us)"),
        ("share of it", f"{result.ratio:.1%}" + (f" (stage {result.stage})" if result.stage else "")),
    ]  # fmt: skip
    for found in result.latencies:
        p50, p95, p99 = (found.percentile(share) for share in (0.5, 0.95, 0.99))
        rows.append(
            (f"latency at {found.load:.0%}", f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms "
                                             f"({found.tx_per_s:,.0f} transactions/s"
                                             + (")" if found.sustained else "; more than it carries, the queue grew)"))
        )  # fmt: skip
    total = sum(result.cpu_us_per_tx.values())
    rows.append(("CPU a transaction", f"{total:.0f} us a node = {total / v:.2f} V"))
    for part in PARTS:
        spent = result.cpu_us_per_tx.get(part, 0.0)
        rows.append((f"  {part}", f"{spent:7.1f} us  {spent / v:5.2f} V"))
    rows += [
        ("contract call", f"{result.cpu_us_per_tx.get('contract', 0.0) / v:.2f} of one verification"),
        ("disk", f"{result.bytes_per_tx:,.0f} bytes a transaction and node (envelope {result.envelope_bytes})"),
        ("private memory", f"{max(result.memory_mb, default=0.0):.0f} MB a node, and "
                           f"{max(result.write_buffer_mb, default=0.0):.0f} MB that LMDB keeps for its writes"),
        ("load", f"{result.transactions:,} invoices.issue calls, {result.signatures} signatures each, {result.keys} "
                 f"keys, batches of {result.batch}, generator {result.generator_cores:.2f} cores"),
        ("roots", "equal on all nodes" if result.roots_equal else "NOT EQUAL"),
        ("machine", result.machine),
    ]  # fmt: skip
    if result.noise:
        rows.append(("noisy", "; ".join(result.noise)))
    return rows
