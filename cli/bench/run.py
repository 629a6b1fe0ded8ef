"""One run of `hansa bench`: warm up, saturate, then measure latency at parts of the maximum (performance E42).

    V  ->  found, start  ->  warm up  ->  saturate: CPU, rate  ->  paced loads: latency  ->  settle, compare  ->  V

The rate is counted on the chain: transactions of the blocks after the first one of the window, divided by the time
between the first and the last. The nodes' CPU time comes from /proc, its parts from the nodes' own counters.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from cli.bench import machine
from cli.bench.load import BATCH, SIGNATURES, VALID_BLOCKS, Batch, Company, Sender
from cli.bench.machine import CpuTimes
from cli.bench.network import Figures, Network, Observer
from cli.bench.result import Latency, Result
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from simulator.cluster.plan import clusters_directory

RAMP_S: Final = 1.0
RAMP_MAX: Final = 15
"""Steps of RAMP_S under load, at most, before the window opens."""
PACED_BATCH: Final = 8
"""Calls a request while latency is measured: people's systems do not wait to fill large batches."""
LATE: Final = 0.15
"""Share of a paced phase that the last batch may take after it was due; more means that the queue grew all the time."""
SPARE: Final = 1.5
"""Calls signed in excess of what the warm-up suggests; what is left over is thrown away."""
V_MOVED: Final = 0.10
STRANGERS: Final = 0.10
"""Share of the cores that other processes may use before a run counts as noisy."""
_COUNTS: Final = {
    "verified": "txs_verified", "rows": "rows_written", "tree_nodes": "tree_nodes_written",
    "votes_verified": "votes_verified", "journal_writes": "journal_writes", "flushes": "flushes", "turns": "turns",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is measured, and for how long."""

    mode: str = "full"
    companies: int = 4
    makers: int = 16
    port_base: int = 7900
    seed: int = 1
    directory: Path | None = None
    """Parent of the network's folder; None: beside the local clusters."""
    warm_s: float = 5.0
    window_s: float = 60.0
    paced_s: float = 30.0
    loads: tuple[float, ...] = (0.25, 0.5, 0.75, 0.9)
    in_flight: int = 3
    """Batches of each node under way while saturated."""
    batch: int = BATCH


QUICK: Final = Settings(mode="quick", warm_s=3.0, window_s=10.0, paced_s=10.0, loads=(0.5,))


@dataclass(slots=True)
class _Window:
    """The saturated phase."""

    seconds: float
    transactions: int
    tx_per_s: float
    blocks_per_s: float
    txs_per_block: float
    timeline: tuple[tuple[float, float], ...]
    generator_s: float
    others_s: float
    nodes_s: float
    cpu_us: dict[str, float]
    counts: dict[str, float]


def measure(settings: Settings, tell: Callable[[str], None]) -> Result:
    """Run on fresh nodes and return the result; `tell` hears what is being done. Raises `CommandFailed`."""
    parent = settings.directory or clusters_directory().parent / "bench"
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    line = machine.describe(directory)
    before_us = machine.verification_us()
    tell(f"one verification takes {before_us:.1f} us; starting {settings.companies} nodes")
    network: Network | None = None
    try:
        network = Network.start(directory, settings.companies, settings.makers, settings.port_base, settings.seed)
        run = _Run(settings, network, tell)
        return asyncio.run(run.all(line, before_us))
    except (CommandFailed, aiohttp.ClientError, TimeoutError) as error:
        text = error.text if isinstance(error, CommandFailed) else f"a node does not answer: {error}"
        lines = [] if network is None else network.last_words()
        said = "\n".join([text, *lines])
        raise CommandFailed(Exit.FAILED, said, "run it again; --dir FOLDER chooses the disk") from None
    finally:
        if network is not None:
            network.end()
        shutil.rmtree(directory, ignore_errors=True)


class _Run:
    """The phases of one run on running nodes."""

    def __init__(self, settings: Settings, network: Network, tell: Callable[[str], None]) -> None:
        self._settings = settings
        self._network = network
        self._tell = tell
        self._companies = [Company(network, place) for place in range(len(network.nodes))]
        self._pids = network.pids()
        self._peak_mb = [0.0] * len(self._pids)
        self._write_buffer_mb = [0.0] * len(self._pids)

    async def all(self, line: str, before_us: float) -> Result:
        """Run all phases."""
        settings, network = self._settings, self._network
        disk_before = network.disk_bytes()
        async with Observer(network) as observer, Sender(self._companies) as sender:
            rate = await self._warm_up(observer, sender)
            window = await self._saturate(observer, sender, rate)
            latencies = [await self._paced(observer, sender, window.tx_per_s, load) for load in settings.loads]
            equal = await observer.settled()
            figures = await observer.figures()
        executed = min(found.executed for found in figures)
        failed = max(found.failed for found in figures)
        if failed:
            raise CommandFailed(Exit.FAILED, f"{failed} calls of the load failed on the ledger", "see the nodes' logs")
        grown = [after - before for before, after in zip(disk_before, network.disk_bytes(), strict=True)]
        after_us = machine.verification_us()
        noise: list[str] = []
        if abs(after_us / before_us - 1) > V_MOVED:
            noise.append(f"one verification took {before_us:.1f} us before and {after_us:.1f} us after the run")
        others = window.others_s / window.seconds
        if others > STRANGERS * machine.cores():
            noise.append(f"other processes used {others:.2f} cores")
        return Result(
            mode=settings.mode,
            nodes=len(network.nodes),
            keys=sum(company.keys for company in self._companies),
            signatures=SIGNATURES,
            batch=settings.batch,
            cores=machine.cores(),
            seconds=window.seconds,
            transactions=window.transactions,
            tx_per_s=window.tx_per_s,
            verify_us=(before_us, after_us),
            generator_cores=window.generator_s / window.seconds,
            other_cores=others,
            nodes_cores=window.nodes_s / window.seconds,
            cpu_us_per_tx=window.cpu_us,
            counts_per_tx=window.counts,
            blocks_per_s=window.blocks_per_s,
            txs_per_block=window.txs_per_block,
            latencies=tuple(latencies),
            bytes_per_tx=max(grown) / max(1, executed),
            envelope_bytes=self._companies[0].envelope_bytes,
            state_rows=int(min(found.counters.get("state_rows", 0) for found in figures)),
            memory_mb=tuple(self._peak_mb),
            write_buffer_mb=tuple(self._write_buffer_mb),
            roots_equal=equal,
            machine=line,
            noise=tuple(noise),
            timeline=window.timeline,
        )

    # -- phases --------------------------------------------------------------------------------------------------

    async def _warm_up(self, observer: Observer, sender: Sender) -> float:
        """Load the network until everything ran once; return the rate of the second half."""
        settings = self._settings
        stop = asyncio.Event()
        valid = await self._expiry(observer)
        supplies = [self._endless(company, valid) for company in self._companies]
        load = asyncio.create_task(sender.keep_busy(supplies, settings.in_flight, stop))
        await asyncio.sleep(settings.warm_s / 2)
        first, start = await observer.executed(), time.monotonic()
        await asyncio.sleep(settings.warm_s / 2)
        second, end = await observer.executed(), time.monotonic()
        stop.set()
        await load
        await self._settle(observer)
        return max(50.0, (second - first) / (end - start))

    async def _saturate(self, observer: Observer, sender: Sender, expected: float) -> _Window:
        settings = self._settings
        calls = expected * (RAMP_S + settings.window_s) * SPARE
        wanted = int(calls / len(self._companies) / settings.batch) + 3 * settings.in_flight
        self._tell(f"warm: about {expected:,.0f} transactions/s; signing {wanted * len(self._companies)} batches")
        valid = await self._expiry(observer)
        supplies = [iter([company.batch(settings.batch, valid) for _ in range(wanted)]) for company in self._companies]
        self._tell(f"saturating for {settings.window_s:.0f} s")
        stop = asyncio.Event()
        load = asyncio.create_task(sender.keep_busy(supplies, settings.in_flight, stop))
        await self._ramp(observer, load)
        first_height, first_ms = await observer.height(), time.time_ns() // 1_000_000
        figures, cpu, own, start = await observer.figures(), self._cpu(), time.process_time(), time.monotonic()
        await self._watching(settings.window_s, load)
        now_figures, now_cpu = await observer.figures(), self._cpu()
        elapsed, generator_s = time.monotonic() - start, time.process_time() - own
        last_height = await observer.height()
        stop.set()
        await load
        await self._settle(observer)
        blocks = await observer.blocks(first_height, last_height)
        if len(blocks) < 3:
            raise CommandFailed(Exit.FAILED, f"only {len(blocks)} blocks in {elapsed:.0f} s", "run it longer")
        span_s = max(0.001, (blocks[-1][0] - blocks[0][0]) / 1000)
        transactions = sum(count for _, count in blocks[1:])
        rate = transactions / span_s
        done = rate * elapsed
        nodes = len(self._pids)
        spent = [now_cpu.ours_s[pid] - cpu.ours_s[pid] for pid in self._pids]
        parts = _cpu_parts(figures, now_figures)
        cpu_us = {part: seconds / nodes / done * 1e6 for part, seconds in parts.items()}
        cpu_us["other"] = max(0.0, sum(spent) / nodes / done * 1e6 - sum(cpu_us.values()))
        return _Window(
            seconds=elapsed,
            transactions=transactions,
            tx_per_s=rate,
            blocks_per_s=(len(blocks) - 1) / span_s,
            txs_per_block=transactions / (len(blocks) - 1),
            timeline=_timeline(blocks, first_ms),
            generator_s=generator_s,
            others_s=now_cpu.others_s(cpu),
            nodes_s=sum(spent),
            cpu_us=cpu_us,
            counts=_counts(figures, now_figures, done * nodes),
        )

    async def _paced(self, observer: Observer, sender: Sender, maximum: float, load: float) -> Latency:
        """Measure latency at a part of the maximum."""
        settings = self._settings
        rate = maximum * load
        batches_per_s = rate / PACED_BATCH / len(self._companies)
        count = max(4, int(batches_per_s * settings.paced_s))
        self._tell(f"latency at {rate:,.0f} transactions/s for {settings.paced_s:.0f} s")
        valid = await self._expiry(observer)
        supplies: Sequence[Sequence[Batch]] = [
            [company.batch(PACED_BATCH, valid) for _ in range(count)] for company in self._companies
        ]
        sent = await sender.keep_pace(supplies, batches_per_s, settings.seed)
        self._note_memory()
        await self._settle(observer)
        return Latency(
            load=load,
            tx_per_s=rate,
            samples=tuple(sent.latencies_ms),
            sustained=sent.late_s <= max(1.0, LATE * settings.paced_s),
        )

    # -- small parts ---------------------------------------------------------------------------------------------

    async def _expiry(self, observer: Observer) -> int:
        """Prepare for signing; return the height until which the next calls are valid."""
        for company in self._companies:
            company.rewind()
        return await observer.height() + VALID_BLOCKS

    def _endless(self, company: Company, valid_until: int) -> Iterator[Batch]:
        while True:
            yield company.batch(self._settings.batch, valid_until)

    async def _watching(self, seconds: float, load: asyncio.Task[object]) -> None:
        """Let `seconds` pass while noting the nodes' memory; a load that ends early fails the run."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(1.0, left))
            if load.done():
                load.result()
                raise CommandFailed(Exit.FAILED, "the signed load ran out before the window ended", "run it again")
            self._note_memory()

    async def _ramp(self, observer: Observer, load: asyncio.Task[object]) -> None:
        """Wait until as many calls went through as are under way: from then on each phase does what it always does."""
        under_way = self._settings.in_flight * self._settings.batch * len(self._companies)
        start = await observer.executed()
        for _ in range(RAMP_MAX):
            await self._watching(RAMP_S, load)
            if await observer.executed() - start >= under_way:
                return

    async def _settle(self, observer: Observer) -> None:
        if not await observer.settled():
            raise CommandFailed(Exit.FAILED, "the nodes do not reach one height with equal roots", "see their logs")
        self._write_buffer_mb = [found.write_buffer_mb for found in await observer.figures()]

    def _cpu(self) -> CpuTimes:
        return CpuTimes.read((*self._pids, os.getpid()))

    def _note_memory(self) -> None:
        """Note what the nodes hold now. The buffers only grow, so the ones of the phase before are there at least."""
        for place, (pid, buffer_mb) in enumerate(zip(self._pids, self._write_buffer_mb, strict=True)):
            self._peak_mb[place] = max(self._peak_mb[place], machine.private_mb(pid) - buffer_mb)


def _cpu_parts(before: Sequence[Figures], after: Sequence[Figures]) -> dict[str, float]:
    """Return CPU seconds by part, all nodes together."""
    parts: dict[str, float] = {}
    for old, new in zip(before, after, strict=True):
        for part, spent in new.cpu_s.items():
            parts[part] = parts.get(part, 0.0) + spent - old.cpu_s.get(part, 0.0)
    return parts


def _counts(before: Sequence[Figures], after: Sequence[Figures], done: float) -> dict[str, float]:
    """Return counts per transaction and node (E43); `done` counts a transaction once for each node."""
    found: dict[str, float] = {}
    for name, counter in _COUNTS.items():
        grown = sum(
            new.counters.get(counter, 0) - old.counters.get(counter, 0) for old, new in zip(before, after, strict=True)
        )
        found[name] = grown / max(1.0, done)
    return found


def _timeline(blocks: Sequence[tuple[int, int]], start_ms: int) -> tuple[tuple[float, float], ...]:
    """Return transactions per second in steps of one second."""
    bins: dict[int, int] = {}
    for moment, count in blocks:
        place = (moment - start_ms) // 1000
        bins[place] = bins.get(place, 0) + count
    if not bins:
        return ()
    last = max(bins)
    return tuple((float(place), float(bins.get(place, 0))) for place in range(max(0, min(bins)), last))


__all__ = ["QUICK", "Settings", "measure"]
