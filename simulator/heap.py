"""The event heap: virtual time, ordered by (time in ns, creation number) (M6, SIM1, SIM2).

A broadcast is one entry, not one per receiver: its arrivals are sorted once, each pop hands over the next and puts
the entry back with the following arrival. This sets the speed of the whole product (M7).

An event that mostly turns out not to be needed is never put in: `reserve` takes its place in the order, `passed` tells
whether that place lies behind, and `at_place` puts the event in after all, just where it would have been.
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
    """Virtual time. `now` never decreases while `step` or `run` goes on; `number` is that of the event going on."""

    __slots__ = ("_entries", "_number", "now", "number", "popped")

    def __init__(self) -> None:
        self.now = 0
        self.number = 0
        self.popped = 0
        self._number = 0
        self._entries: list[tuple[int, int, Any, Any]] = []

    def at(self, time_ns: int, call: Callable[[Any], None], argument: Any = None) -> None:
        """Call `call(argument)` at `time_ns`; a time in the past means now."""
        self._number += 1
        heappush(self._entries, (time_ns if time_ns > self.now else self.now, self._number, call, argument))

    def reserve(self) -> int:
        """Return the creation number of an event that may still be put in, with `at_place`, or never."""
        self._number += 1
        return self._number

    def at_place(self, time_ns: int, number: int, call: Callable[[Any], None], argument: Any) -> None:
        """Call `call(argument)` at a reserved place that has not passed."""
        heappush(self._entries, (time_ns, number, call, argument))

    def passed(self, time_ns: int, number: int) -> bool:
        """Tell whether an event at this place would have happened by now, or is the one going on."""
        return self.now > time_ns or (self.now == time_ns and self.number >= number)

    def fly(self, flight: Flight) -> None:
        """Deliver a message to each of its receivers; nothing to do without arrivals."""
        if not flight.arrivals:
            return
        self._number += 1
        heappush(self._entries, (max(flight.arrivals[0][0], self.now), self._number, None, flight))

    def step(self) -> None:
        """Perform the next event."""
        self.run(self._entries[0][0], 1)

    def run(self, until_ns: int, most: int) -> bool:
        """Perform the events up to `until_ns`, at most so many; tell whether none of them is left."""
        entries = self._entries
        for _ in range(most):
            if not entries or entries[0][0] > until_ns:
                return True
            time_ns, number, call, load = entries[0]
            self.now = time_ns
            self.number = number
            self.popped += 1
            if call is not None:
                heappop(entries)
                call(load)
                continue
            arrivals, position = load.arrivals, load.position
            key = arrivals[position][1]
            load.position = position = position + 1
            if position < len(arrivals):
                following = arrivals[position][0]
                heapreplace(entries, (following if following > time_ns else time_ns, number, None, load))
            else:
                heappop(entries)
            load.receive(time_ns, key, load.load)
        return not entries or entries[0][0] > until_ns

    def pass_to(self, time_ns: int) -> None:
        """Let time go on to `time_ns` after all events up to then: every place of that moment has passed."""
        if time_ns >= self.now:
            self.now = time_ns
            self.number = self._number

    def __len__(self) -> int:
        return len(self._entries)
