"""The network (M9, SIM3): delay, jitter, loss, duplication and reordering are drawn when sending; cuts act on arrival.

Each node has one outgoing queue with a bandwidth. A connection between two nodes exists while both processes run and
the path is open in both directions; the ends hear of its loss at once when a process dies, and after a timeout when
the path is cut, as with TCP keep-alive.

Addresses are slots: one per process. Two slots share a member index when a company runs twins (M30).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from simulator.heap import EventHeap, Flight
from simulator.records import Parcel
from simulator.rng import QUANTILE_BITS, Rng, Streams

FRAME_OVERHEAD_BYTES = 34
"""Length, tag and TLS record of a frame; counts against bandwidth."""
ANY = -1
HELD_MAX = 20_000
"""Messages a held link keeps; beyond it the oldest are dropped, as a bounded send queue does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPolicy:
    """How one direction of a link treats messages. Probabilities in parts per million."""

    delay_ns: int = 500_000
    jitter: tuple[int, ...] = ()
    """Quantile table (per mille of `delay_ns`); empty means none."""
    loss_ppm: int = 0
    duplicate_ppm: int = 0
    reorder_ppm: int = 0
    reorder_ns: int = 0
    """A reordered message is late by up to this much."""


class Network:
    """Carries parcels between slots; `receivers` are who takes them in, by slot."""

    def __init__(
        self,
        heap: EventHeap,
        streams: Streams,
        names: Sequence[str],
        policy: LinkPolicy,
        bandwidth_bits: int,
        receivers: Sequence[Callable[[Parcel], None]],
    ) -> None:
        self._heap = heap
        self._rngs = [streams[f"net/{name}"] for name in names]
        self._receivers = receivers
        self._free = [0] * len(names)
        self._bits = bandwidth_bits
        self.default = policy
        self.links: dict[tuple[int, int], LinkPolicy] = {}
        self.dropped_types: dict[str, list[tuple[int, int]]] = {}
        """(source, target) by kind of message; `ANY` stands for everybody."""
        self._cuts: dict[tuple[int, int], int] = {}
        self._holds: dict[tuple[int, int], list[Parcel]] = {}
        self.messages = 0
        self.bytes = 0
        self.by_type: dict[str, int] = {}

    def send(self, parcel: Parcel, targets: Sequence[int]) -> None:
        """Send one parcel to each target slot; the message object is shared."""
        heap, source = self._heap, parcel.source
        rng = self._rngs[source]
        wire_ns = (parcel.size_bytes + FRAME_OVERHEAD_BYTES) * 8 * 1_000_000_000 // self._bits
        leaves = max(heap.now, self._free[source])
        kind = type(parcel.message).__name__
        arrivals: list[tuple[int, int]] = []
        self.messages += len(targets)
        self.bytes += parcel.size_bytes * len(targets)
        self.by_type[kind] = self.by_type.get(kind, 0) + len(targets)
        policy = self.default
        if not (self.links or self.dropped_types or policy.loss_ppm or policy.duplicate_ppm or policy.reorder_ppm):
            self._free[source] = self._send_calmly(parcel, targets, leaves, wire_ns)
            return
        for target in targets:
            leaves += wire_ns
            if self.links:
                policy = self.links.get((source, target), self.default)
            if self.dropped_types and self._drops(kind, source, target):
                continue
            if policy.loss_ppm and rng.chance(policy.loss_ppm):
                continue
            arrivals.append((leaves + self._delay(policy, rng), target))
            if policy.duplicate_ppm and rng.chance(policy.duplicate_ppm):
                arrivals.append((leaves + self._delay(policy, rng) * 2, target))
        self._free[source] = leaves
        arrivals.sort()
        heap.fly(Flight(arrivals, self._arrive, parcel))

    def _send_calmly(self, parcel: Parcel, targets: Sequence[int], leaves: int, wire_ns: int) -> int:
        """Send where all links are alike and nothing is lost: the same draws. Return when the last copy has left."""
        delay, jitter = self.default.delay_ns, self.default.jitter
        if jitter:
            bits = self._rngs[parcel.source].bits
            arrivals = [
                (leaves + wire_ns * place + delay * jitter[bits(QUANTILE_BITS)] // 1000, target)
                for place, target in enumerate(targets, 1)
            ]
        else:
            arrivals = [(leaves + wire_ns * place + delay, target) for place, target in enumerate(targets, 1)]
        arrivals.sort()
        self._heap.fly(Flight(arrivals, self._arrive, parcel))
        return leaves + wire_ns * len(targets)

    def cut(self, source: int, target: int) -> None:
        """Drop everything from `source` to `target` from now on; cuts are counted, so they may overlap."""
        self._cuts[source, target] = self._cuts.get((source, target), 0) + 1

    def mend(self, source: int, target: int) -> None:
        left = self._cuts.get((source, target), 0) - 1
        if left > 0:
            self._cuts[source, target] = left
        else:
            self._cuts.pop((source, target), None)

    def is_cut(self, source: int, target: int) -> bool:
        return (source, target) in self._cuts

    def hold(self, source: int, target: int) -> None:
        """Keep what arrives until `release`, like a path whose retransmissions get through in the end."""
        self._holds.setdefault((source, target), [])

    def release(self, source: int, target: int) -> None:
        for parcel in self._holds.pop((source, target), []):
            self._receivers[target](parcel)

    def slow(self, source: int, target: int, **changes: Any) -> None:
        """Change the policy of one direction of a link."""
        self.links[source, target] = replace(self.links.get((source, target), self.default), **changes)

    def restore(self, source: int, target: int) -> None:
        self.links.pop((source, target), None)

    def mend_all(self) -> None:
        """End every fault of the network (second phase of a run, M32)."""
        self._cuts.clear()
        self.links.clear()
        self.dropped_types.clear()
        for source, target in list(self._holds):
            self.release(source, target)

    def _drops(self, kind: str, source: int, target: int) -> bool:
        paths = self.dropped_types.get(kind, ())
        return any(first in (ANY, source) and second in (ANY, target) for first, second in paths)

    def _delay(self, policy: LinkPolicy, rng: Rng) -> int:
        delay = rng.quantile(policy.jitter, policy.delay_ns) if policy.jitter else policy.delay_ns
        if policy.reorder_ppm and rng.chance(policy.reorder_ppm):
            delay += rng.below(policy.reorder_ns + 1)
        return delay

    def _arrive(self, target: int, parcel: Parcel) -> None:
        if self._cuts and (parcel.source, target) in self._cuts:
            return
        if self._holds:
            held = self._holds.get((parcel.source, target))
            if held is not None:
                held.append(parcel)
                if len(held) > HELD_MAX:
                    del held[0]
                return
        self._receivers[target](parcel)
