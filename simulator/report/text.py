"""The text summary of a run, same layout always (M42)."""

from __future__ import annotations

from simulator.report.measures import percentile
from simulator.scenario.units import duration_ns
from simulator.world import RunResult

NS = 1_000_000_000


def summary(result: RunResult, command: str, real_seconds: float = 0.0) -> str:
    """Return the summary. `real_seconds` 0 leaves the speed out, for output that must not differ between machines."""
    verdict = "OK" if result.ok else "FAILED"
    virtual = result.virtual_ns / NS
    speed = f" in {real_seconds:.1f}s ({virtual / real_seconds:.0f}x)" if real_seconds else ""
    per_minute = result.height * 60 / virtual if virtual else 0
    lines = [
        f"{result.scenario.name}  seed {result.seed}  {result.n} nodes {result.scenario.network.topology}"
        f"  pbft f={result.f} q={result.q}  fidelity {result.fidelity}     virtual {virtual:.2f}s{speed}",
        f" verdict    {verdict} at height {result.height}   {_liveness(result)}"
        + (
            f"   Byzantine: {', '.join(result.byzantine)}, reports {sum(result.reports.values())}"
            if result.byzantine
            else ""
        ),
        f" consensus  {per_minute:.0f} blocks/min   latency {_latency(result.latency_ns)}"
        f"     client view {_latency(result.client_latency_ns)}",
        f" work       {result.committed} of {result.submitted} committed, {result.failed} failed receipts,"
        f" {result.refused} refused, {result.pending} pending",
        f" network    {result.deliveries} messages, {_per_block(result)} per block, {result.sent_bytes / 1024:.0f} KiB,"
        f" view changes {result.view_changes}, events {result.events}",
        f" note       trust this where the network dominates; CPU figures come from the cost table of {result.machine}",
    ]
    if result.violation is not None:
        lines.append(f" broken     {result.violation}")
    lines.append(
        f" trace {result.trace[:4]}…{result.trace[-4:]}   reproduce: {command} --expect-trace {result.trace[:12]}"
    )
    return "\n".join(lines)


def chain(result: RunResult, last: int = 0) -> str:
    """Return the committed blocks as a table; `last` limits it to the end."""
    blocks = result.blocks[-last:] if last else result.blocks
    lines = ["height  view  transactions  committed at    block"]
    for height, time_ns, block_id, count, view in blocks:
        lines.append(f"{height:>6}  {view:>4}  {count:>12}  {time_ns / 1e6:>9.3f} ms  {block_id.hex()[:16]}")
    return "\n".join(lines)


def story(result: RunResult, language: str = "en") -> str:
    """Return what the scenario did and said, in order of time; empty if it did nothing."""
    told = [(time_ns, what) for time_ns, what in result.faults]
    for caption in result.scenario.caption:
        words = caption.zh_CN if language.startswith("zh") and caption.zh_CN else caption.en
        told.append((duration_ns(caption.t, "caption.t"), f'"{words}"'))
    return "\n".join(f"{time_ns / NS:>8.3f} s  {what}" for time_ns, what in sorted(told))


def _latency(values: tuple[int, ...]) -> str:
    if not values:
        return "none"
    return "  ".join(
        f"{name} {percentile(values, at) / 1e6:.1f}ms" for name, at in (("p50", 500), ("p95", 950), ("p99", 990))
    )


def _liveness(result: RunResult) -> str:
    return (
        f"liveness OK (healed +{result.healed_after_ns / NS:.1f}s)"
        if result.healed_after_ns >= 0
        else "liveness not reached"
    )


def _per_block(result: RunResult) -> int:
    votes = sum(result.by_type.get(kind, 0) for kind in ("PrePrepare", "Prepare", "Commit"))
    return votes // result.height if result.height else 0
