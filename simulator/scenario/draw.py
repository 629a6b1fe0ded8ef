"""Drawing faults: for `random_faults` of a scenario file and for the swarm. The result is ordinary timed actions."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from simulator.errors import InvalidScenario
from simulator.rng import Rng, exponential
from simulator.scenario import schema as s
from simulator.scenario.units import duration_ns, duration_text

MS: Final = 1_000_000
TARGETS: Final = (
    "PrePrepare", "Prepare", "Commit", "ViewChange", "NewView", "Status", "Committed", "Prepared", "Bodies", "TxBatch",
    "Blocks", "Heartbeat", "Suspect",
)  # fmt: skip
"""Kinds of message that a run may drop."""
NODE_FAULTS: Final = (
    "crash",
    "crash",
    "pause",
    "restart",
    "io_error",
    "torn_commit",
    "slow_cpu",
    "slow_disk",
    "crash_loop",
)
LINK_FAULTS: Final = ("partition", "partition", "one_way", "isolate", "bridge", "hold", "slow_link", "flap")
NOISE: Final = ("loss", "duplicate", "reorder", "drop_type")
CLOCK_FAULTS: Final = ("clock_skew", "clock_jump", "clock_drift", "clock_freeze")
WHOLE: Final = ("power_cut",)
FAULTS: Final = tuple(dict.fromkeys((*NODE_FAULTS, *LINK_FAULTS, *NOISE, *CLOCK_FAULTS, *WHOLE)))
"""Kinds that `random_faults` may name; `one_way` and `isolate` are shapes of `partition`."""


def expand(
    faults: s.RandomFaults, field: str, rng: Rng, names: tuple[str, ...], liars: Sequence[str], f: int, run_ns: int
) -> list[s.Action]:
    """Return the actions that `random_faults` stands for with this stream.

    At most `max_concurrent` companies suffer at once, Byzantine ones counted (M29); a fault too many is left out.
    """
    for kind in faults.kinds:
        if kind not in FAULTS:
            raise InvalidScenario(f"{field}.kinds", f"{kind!r} is none of {', '.join(FAULTS)}")
    mean = duration_ns(faults.mean_every, f"{field}.mean_every")
    most = f if faults.max_concurrent == "f" else faults.max_concurrent
    others = [name for name in names if name not in liars]
    busy: list[tuple[int, str]] = [(run_ns, liar) for liar in liars]
    actions: list[s.Action] = []
    t = 0
    while others and faults.kinds:
        t += max(1, rng.quantile(exponential(), mean))
        if t >= run_ns:
            break
        action = draw_fault(rng, rng.choice(faults.kinds), t, others, names, len(actions))
        until = t + duration_ns(action.lasts or "1s", field)
        busy = [entry for entry in busy if entry[0] > t]
        suffering = _companies(action, names)
        if len({name for _, name in busy} | set(suffering)) > most:
            continue
        busy += [(until, name) for name in suffering]
        actions.append(action)
    return actions


def _companies(action: s.Action, names: tuple[str, ...]) -> list[str]:
    """Return the companies an action takes from the working network: the smaller side of a cut, or its node."""
    if isinstance(action, s.PowerCut):
        return list(names)
    if isinstance(action, s.Partition):
        sides = [[name for name in group if name != "*"] or list(names) for group in action.groups]
        return min(sides, key=len)
    if isinstance(action, s.Bridge):
        return list(names[: len(names) // 2])
    node = getattr(action, "node", "") or getattr(action, "source", "")
    return [node] if node and node != "*" else []


def draw_fault(rng: Rng, kind: str, at_ns: int, others: list[str], names: tuple[str, ...], number: int) -> s.Action:
    t = duration_text(at_ns)
    lasts = duration_text(rng.choice((50, 200, 800, 2500, 6000)) * rng.between(500, 1500) * 1000)
    node = rng.choice(others)
    source, target = rng.sample(names, 2)
    name = f"p{number}"
    match kind:
        case "crash":
            point = rng.choice(("", "before", "inside", "after"))
            return s.Crash(t=t, lasts=lasts, node=node, point=point)  # type: ignore[arg-type]  # one of the literals
        case "restart":
            return s.Restart(t=t, node=node)
        case "crash_loop":
            return s.CrashLoop(t=t, lasts=lasts, node=node, every=duration_text(rng.between(30, 400) * MS))
        case "pause":
            return s.Pause(t=t, lasts=lasts, node=node)
        case "io_error":
            return s.IoError(t=t, lasts=lasts, node=node)
        case "torn_commit":
            return s.TornCommit(t=t, lasts=lasts, node=node)
        case "slow_cpu":
            if rng.bits(1):
                return s.SlowCpu(t=t, lasts=lasts, node=node, factor=rng.choice((100, 500)), part="execution")
            return s.SlowCpu(t=t, lasts=lasts, node=node, factor=rng.choice((5, 20, 100)))
        case "slow_disk":
            return s.SlowDisk(t=t, lasts=lasts, node=node, factor=rng.choice((10, 100, 500)))
        case "partition":
            order = rng.shuffled(names)
            cut = rng.between(1, len(order) - 1)
            return s.Partition(t=t, lasts=lasts, groups=(tuple(order[:cut]), tuple(order[cut:])), name=name)
        case "one_way":
            return s.Partition(t=t, lasts=lasts, groups=((source,), (target,)), name=name, one_way=True)
        case "isolate":
            return s.Partition(t=t, lasts=lasts, groups=((source,), ("*",)), name=name, one_way=bool(rng.bits(1)))
        case "bridge":
            return s.Bridge(t=t, lasts=lasts, node=source, name=name)
        case "hold":
            return s.Hold(t=t, lasts=lasts, source=source, target=target)
        case "slow_link":
            delay = duration_text(rng.choice((50, 300, 900, 3000)) * MS)
            return s.SlowLink(t=t, lasts=lasts, source=source, target=rng.choice((target, "*")), delay=delay)
        case "flap":
            every = duration_text(rng.between(20, 500) * MS)
            return s.Flap(t=t, lasts=lasts, source=source, target=target, every=every)
        case "loss":
            return s.Loss(t=t, lasts=lasts, share=Decimal(rng.choice(("0.02", "0.1", "0.3"))))
        case "duplicate":
            return s.Duplicate(t=t, lasts=lasts, share=Decimal(rng.choice(("0.05", "0.2", "0.5"))))
        case "reorder":
            late = duration_text(rng.choice((20, 200, 2000, 5000)) * MS)
            return s.Reorder(t=t, lasts=lasts, share=Decimal(rng.choice(("0.05", "0.3"))), late=late)
        case "drop_type":
            return s.DropType(t=t, lasts=lasts, message=rng.choice(TARGETS), source=rng.choice((source, "*")))
        case "clock_skew":
            return s.ClockSkew(t=t, lasts=lasts, node=node, by=duration_text(rng.between(-10_000, 10_000) * MS))
        case "clock_jump":
            return s.ClockJump(t=t, lasts=lasts, node=node, by=rng.choice(("-1h", "-5s", "2s", "10s")))
        case "clock_drift":
            return s.ClockDrift(t=t, lasts=lasts, node=node, ppm=rng.between(-1000, 1000))
        case "clock_freeze":
            return s.ClockFreeze(t=t, lasts=lasts, node=node)
        case _:
            return s.PowerCut(t=t, lasts=lasts)
