"""The swarm (M36, SIM14): each seed draws its own n, parameters, subset of faults and rates.

The result is an ordinary scenario with every action written out, so a failing one can be saved, read and shrunk.
Fixed rates miss most planted bugs; a run that does few things often finds more than one that does everything.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from ledger.certificate import faults as tolerated
from simulator.byzantine import BEHAVIOURS, TWINS
from simulator.league import company_names
from simulator.rng import Rng
from simulator.scenario import schema as s
from simulator.scenario.draw import CLOCK_FAULTS, LINK_FAULTS, NODE_FAULTS, NOISE, WHOLE, draw_fault
from simulator.scenario.load import TWIN
from simulator.scenario.units import duration_ns, duration_text

SIZES: Final = (4, 4, 4, 4, 5, 6, 7)
"""Small networks more often: they are faster, and most faults need few nodes."""
NOT_DRAWN: Final = frozenset(
    (
        "accuse_twice",
        "draw_bodies",
        "hide_predecessor",
        "hoard",
        "lying_ends",
        "make_up",
        "old_last",
        "repeat",
        "silent_snapshot",
        "swap_keys",
    )
)
"""No node of a swarm takes a snapshot, so `lying_ends` and `silent_snapshot` would have nothing to lie about. The
others have scenarios of their own: a draw among one more would give every recorded seed another run."""
MS: Final = 1_000_000
SECOND: Final = 1_000 * MS


def swarm(seed: int) -> s.Scenario:
    """Return the scenario of one seed."""
    rng = Rng(seed, "swarm")
    n = rng.choice(SIZES)
    f = tolerated(n)
    names = company_names(n)
    run_ns = rng.between(4, 14) * SECOND
    actions: list[s.Action] = []
    t0 = rng.choice((300, 500, 1000))
    consensus = {
        "t0_ms": t0,
        "t_cap_ms": 4 * t0,
        "status_ms": rng.choice((200, 300)),
        "hb_ms": rng.choice((200, 1000)),
        "fetch_ms": 100,
        "window": rng.choice((1, 1, 2, 3, 4)),
        "rotate_every": rng.choice((0, 1, 3, 64)),
    }
    liars: list[str] = []
    draw = rng.below(20)
    if draw < 12:
        # The first primary lies in half of these runs: most attacks need the chair.
        liars = rng.sample(names, f)
        if rng.bits(1) and names[0] not in liars:
            liars[0] = names[0]
        for liar in liars:
            actions += _attacker(rng, liar, names, run_ns)
    elif draw < 14:
        # Not a lie, but it uses up a place among the f: a disk that forgot (SIM10), or is gone (P97).
        liars = rng.sample(names, 1)
        lost_at = duration_text(rng.below(run_ns))
        losses: tuple[s.Action, ...] = (
            s.LostCommit(t=lost_at, node=liars[0]),
            s.WipeDisk(t=lost_at, node=liars[0]),
            s.BitRot(t=lost_at, node=liars[0]),
        )
        actions.append(rng.choice(losses))
        actions.append(s.Restart(t=duration_text(rng.between(run_ns // 2, run_ns)), node=liars[0]))
    others = [name for name in names if name not in liars]
    kinds = _subset(rng)
    if kinds:
        mean = rng.choice((300, 800, 2000, 4000)) * MS
        t = rng.below(mean)
        while t < run_ns:
            kind = rng.choice(kinds)
            actions.append(draw_fault(rng, kind, t, others, names, len(actions)))
            t += max(1, rng.between(mean // 4, mean * 2))
    actions.sort(key=_when)
    return s.Scenario(
        name=f"swarm-{seed}",
        seed=seed,
        duration=duration_text(run_ns),
        fidelity="full" if rng.below(100) == 0 else "normal",
        at=tuple(actions),
        workload=_workload(rng),
        network=s.NetworkTable(
            nodes=n,
            topology=rng.choice(("lan", "lan", "lan", "wan:3", "ring")),
            jitter=rng.choice(("none", "exponential", "lognormal:0.5")),
        ),
        consensus=consensus,
        time=s.TimeTable(skew=rng.choice(("0s", "0s", "200ms")), drift_ppm=rng.choice((0, 0, 50))),
        disk=s.DiskTable(pipelined=rng.below(4) == 0),
    )


def _subset(rng: Rng) -> list[str]:
    """Draw which kinds of fault this run knows."""
    groups = [NODE_FAULTS, LINK_FAULTS, NOISE, CLOCK_FAULTS, WHOLE]
    draw = rng.below(10)
    if draw == 0:
        return []
    if draw < 5:
        pool = list(rng.choice(groups))
    else:
        pool = [kind for group in groups if rng.bits(1) for kind in group]
    return rng.sample(pool, rng.between(1, max(1, len(pool))))


def _workload(rng: Rng) -> tuple[s.Workload, ...]:
    rate = rng.choice((2, 5, 10, 15))
    main = rng.choice((f"fixed:{rate}", f"poisson:{rate}", f"burst:{rate * 2},{rng.choice((700, 2000, 4000))}ms"))
    loads = [
        s.Workload(kind=rng.choice(("kv", "invoices")), rate=main, conflict=rng.choice((Decimal(0), Decimal("0.2"))))
    ]
    if rng.below(5) == 0:
        loads.append(s.Workload(kind="hostile", rate="poisson:3"))
    return tuple(loads)


def _attacker(rng: Rng, liar: str, names: tuple[str, ...], run_ns: int) -> list[s.Action]:
    if rng.below(4) == 0:
        actions: list[s.Action] = [s.Byzantine(t="0s", node=liar, behaviour=TWINS)]
        t = 0
        while t < run_ns:
            lasts = rng.between(300, 3000) * MS
            others = rng.shuffled([name for name in names if name != liar])
            cut = rng.below(len(others) + 1)
            pair = rng.shuffled([liar, liar + TWIN])
            groups = ((pair[0], *others[:cut]), (pair[1], *others[cut:]))
            actions.append(
                s.Partition(t=duration_text(t), lasts=duration_text(lasts), groups=groups, name=f"twins-{liar}")
            )
            t += lasts + rng.below(SECOND)
        return actions
    begins = duration_text(rng.below(run_ns // 2))
    return [s.Byzantine(t=begins, node=liar, behaviour=rng.choice(sorted(BEHAVIOURS.keys() - NOT_DRAWN)))]


def _when(action: s.Action) -> int:
    return duration_ns(action.t, "t")
