"""The event heap: virtual time, ordered by (time in ns, creation number) (M6, SIM1, SIM2).

A broadcast is one entry, not one per receiver: its arrivals are sorted once, each pop hands over the next and puts
the entry back with the following arrival. This sets the speed of the whole product (M7).

Nearly all entries are timers that are far away, and most of those are replaced before they fire. They wait in a heap of
their own, so that the one of the next milliseconds stays small: a push or a pop costs the logarithm of what is near.

An event that mostly turns out not to be needed is never put in: `reserve` takes its place in the order, `passed` tells
whether that place lies behind, and `at_place` puts the event in after all, just where it would have been.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush, heapreplace
from typing import Any, Final, TypeAlias

NEAR_NS: Final = 1 << 24
"""How far the near heap reaches: 17 ms, more than a message takes in a local network and less than timers run."""
Entry: TypeAlias = tuple[int, int, Callable[[Any], None] | None, Any]
"""Time, creation number, and what to call with which argument; without a call the argument is a `Flight`."""


class Flight:
    """A message on its way to several receivers. `arrivals` are (time, key), sorted; `receive(key, load)`."""

    __slots__ = ("arrivals", "load", "position", "receive")

    def __init__(self, arrivals: list[tuple[int, int]], receive: Callable[[int, Any], None], load: Any) -> None:
        self.arrivals = arrivals
        self.receive = receive
        self.load = load
        self.position = 0


class EventHeap:
    """Virtual time. `now` never decreases while `step` or `run` goes on; `number` is that of the event going on."""

    __slots__ = ("_far", "_horizon", "_near", "_number", "now", "number", "popped")

    def __init__(self) -> None:
        self.now = 0
        self.number = 0
        self.popped = 0
        self._number = 0
        self._near: list[Entry] = []
        """All entries before the horizon."""
        self._far: list[Entry] = []
        self._horizon = NEAR_NS

    def at(self, time_ns: int, call: Callable[[Any], None], argument: Any = None) -> None:
        """Call `call(argument)` at `time_ns`; a time in the past means now."""
        self._number += 1
        self._put((time_ns if time_ns > self.now else self.now, self._number, call, argument))

    def reserve(self) -> int:
        """Return the creation number of an event that may still be put in, with `at_place`, or never."""
        self._number += 1
        return self._number

    def at_place(self, time_ns: int, number: int, call: Callable[[Any], None], argument: Any) -> None:
        """Call `call(argument)` at a reserved place that has not passed."""
        self._put((time_ns, number, call, argument))

    def passed(self, time_ns: int, number: int) -> bool:
        """Tell whether an event at this place would have happened by now, or is the one going on."""
        return self.now > time_ns or (self.now == time_ns and self.number >= number)

    def fly(self, flight: Flight) -> None:
        """Deliver a message to each of its receivers; nothing to do without arrivals."""
        if not flight.arrivals:
            return
        self._number += 1
        self._put((max(flight.arrivals[0][0], self.now), self._number, None, flight))

    def step(self) -> None:
        """Perform the next event."""
        if self._comes():
            self.run(self._near[0][0], 1)

    def run(self, until_ns: int, most: int) -> bool:
        """Perform the events up to `until_ns`, at most so many; tell whether none of them is left."""
        near = self._near
        for _ in range(most):
            if not near and not self._comes():
                return True
            time_ns, number, call, load = near[0]
            if time_ns > until_ns:
                return True
            self.now = time_ns
            self.number = number
            self.popped += 1
            if call is not None:
                heappop(near)
                call(load)
                continue
            flight: Flight = load
            arrivals, position = flight.arrivals, flight.position
            key = arrivals[position][1]
            flight.position = position = position + 1
            following = arrivals[position][0] if position < len(arrivals) else self._horizon
            if following < self._horizon:
                heapreplace(near, (following if following > time_ns else time_ns, number, None, flight))
            else:
                heappop(near)
                if position < len(arrivals):
                    heappush(self._far, (following, number, None, flight))
            flight.receive(key, flight.load)
        return not self._comes() or near[0][0] > until_ns

    def _put(self, entry: Entry) -> None:
        heappush(self._near if entry[0] < self._horizon else self._far, entry)

    def _comes(self) -> bool:
        """Tell whether any event is left; if so, the first one is near."""
        near, far = self._near, self._far
        if near:
            return True
        if not far:
            return False
        self._horizon = horizon = far[0][0] + NEAR_NS
        while far and far[0][0] < horizon:
            heappush(near, heappop(far))
        return True

    def pass_to(self, time_ns: int) -> None:
        """Let time go on to `time_ns` after all events up to then: every place of that moment has passed."""
        if time_ns >= self.now:
            self.now = time_ns
            self.number = self._number

    def __len__(self) -> int:
        return len(self._near) + len(self._far)
