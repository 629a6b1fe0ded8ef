"""The event heap: virtual time, ordered by (time in ns, creation number) (M6, SIM1, SIM2).

A broadcast is one entry, not one per receiver: its arrivals are sorted once, each pop hands over the next and puts
the entry back with the following arrival. This sets the speed of the whole product (M7).
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush, heapreplace
from typing import Any


class Flight:
    """A message on its way to several receivers. `arrivals` are (time, key), sorted; `receive(time, key, load)`."""

    __slots__ = ("arrivals", "load", "position", "receive")

    def __init__(self, arrivals: list[tuple[int, int]], receive: Callable[[int, int, Any], None], load: Any) -> None:
        self.arrivals = arrivals
        self.receive = receive
        self.load = load
        self.position = 0


class EventHeap:
    """Virtual time. `now` never decreases while `step` runs."""

    __slots__ = ("_entries", "_number", "now", "popped")

    def __init__(self) -> None:
        self.now = 0
        self.popped = 0
        self._number = 0
        self._entries: list[tuple[int, int, Any, Any]] = []

    def at(self, time_ns: int, call: Callable[[Any], None], argument: Any = None) -> None:
        """Call `call(argument)` at `time_ns`; a time in the past means now."""
        self._number += 1
        heappush(self._entries, (max(time_ns, self.now), self._number, call, argument))

    def fly(self, flight: Flight) -> None:
        """Deliver a message to each of its receivers; nothing to do without arrivals."""
        if not flight.arrivals:
            return
        self._number += 1
        heappush(self._entries, (max(flight.arrivals[0][0], self.now), self._number, None, flight))

    def peek(self) -> int | None:
        """Return the time of the next event, or None."""
        return self._entries[0][0] if self._entries else None

    def step(self) -> None:
        """Perform the next event."""
        entries = self._entries
        time_ns, number, call, load = entries[0]
        self.now = time_ns
        self.popped += 1
        if call is not None:
            heappop(entries)
            call(load)
            return
        position = load.position
        key = load.arrivals[position][1]
        load.position = position = position + 1
        if position < len(load.arrivals):
            heapreplace(entries, (max(load.arrivals[position][0], time_ns), number, None, load))
        else:
            heappop(entries)
        load.receive(time_ns, key, load.load)

    def __len__(self) -> int:
        return len(self._entries)
