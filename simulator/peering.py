"""Connections between processes: who hears `PeerConnected` and `PeerLost`, and when.

A connection needs two running processes and a path that is open both ways. Its end is noticed at once when a process
dies, and after `KEEPALIVE_NS` when the path is cut. Nodes are named by company; twins of one company are one peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from simulator.daemon import Daemon
from simulator.heap import EventHeap
from simulator.net import Network

HANDSHAKE_NS: Final = 5_000_000
RESET_NS: Final = 1_000_000
KEEPALIVE_NS: Final = 3_000_000_000


class Peering:
    """Keeps the connections of all pairs of slots in step with processes and cuts."""

    __slots__ = ("_daemons", "_heap", "_linked", "_net")

    def __init__(self, heap: EventHeap, net: Network, daemons: Sequence[Daemon]) -> None:
        self._heap = heap
        self._net = net
        self._daemons = daemons
        self._linked: dict[tuple[int, int], tuple[int, int]] = {}

    def process_changed(self, daemon: Daemon) -> None:
        """A process started or ended."""
        for other in self._daemons:
            if other.firm != daemon.firm:
                self._look(daemon.slot, other.slot)

    def paths_changed(self) -> None:
        """Links were cut or mended."""
        for first in self._daemons:
            for second in self._daemons[first.slot + 1 :]:
                if first.firm != second.firm:
                    self._look(first.slot, second.slot)

    def is_linked(self, first: int, second: int) -> bool:
        return (min(first, second), max(first, second)) in self._linked

    def _look(self, first: int, second: int) -> None:
        pair = (min(first, second), max(first, second))
        linked = self._linked.get(pair)
        a, b = self._daemons[pair[0]], self._daemons[pair[1]]
        if linked is not None and linked != (a.incarnation, b.incarnation):
            # One end has another life now: whoever lived on hears of the loss.
            del self._linked[pair]
            for daemon, other, incarnation in ((a, b, linked[0]), (b, a, linked[1])):
                if daemon.up and daemon.incarnation == incarnation:
                    self._tell(daemon, other, False)
            linked = None
        if linked is None and self._open(pair):
            self._heap.at(self._heap.now + HANDSHAKE_NS, self._connect, pair)
        elif linked is not None and not self._open(pair):
            self._heap.at(self._heap.now + KEEPALIVE_NS, self._disconnect, (pair, linked))

    def _open(self, pair: tuple[int, int]) -> bool:
        a, b = pair
        both = self._daemons[a].up and self._daemons[b].up
        return both and not self._net.is_cut(a, b) and not self._net.is_cut(b, a)

    def _connect(self, pair: tuple[int, int]) -> None:
        if pair in self._linked or not self._open(pair):
            return
        a, b = self._daemons[pair[0]], self._daemons[pair[1]]
        self._linked[pair] = (a.incarnation, b.incarnation)
        a.connected(b.firm, True)
        b.connected(a.firm, True)

    def _disconnect(self, what: tuple[tuple[int, int], tuple[int, int]]) -> None:
        pair, linked = what
        if self._linked.get(pair) != linked or self._open(pair):
            return
        del self._linked[pair]
        a, b = self._daemons[pair[0]], self._daemons[pair[1]]
        for daemon, other in ((a, b), (b, a)):
            if daemon.up:
                self._tell(daemon, other, False)

    def _tell(self, daemon: Daemon, other: Daemon, up: bool) -> None:
        twins = [slot for slot in self._daemons if slot.firm == other.firm and slot.slot != other.slot]
        if any(self.is_linked(daemon.slot, twin.slot) for twin in twins):
            return
        daemon.connected(other.firm, up)
