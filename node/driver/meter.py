"""Where the CPU time of a node goes, in plain integers (performance E40, E42). Scraped, never logged per event.

The parts are phases of the loop's thread, measured with its own clock, so waiting costs nothing
    verify     signatures of transactions and votes            pool       admission, gossip, proposals' bodies
    consensus  the replica and everything around it            journal    the durable write of a turn
    contract   execution of calls, receipts                    state      tree, roots, pending results
    store      flushes                                         network    encoding, decoding, writing to peers
    api        HTTP requests, from the parsed head to the answer
What is left of the process (TLS, HTTP parsing, the event loop, the collector) is "other".
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from time import thread_time_ns
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

PARTS: Final = ("verify", "pool", "consensus", "contract", "state", "store", "journal", "network", "api")
"""Phases that are measured apart."""


class Meter:
    """Adds up CPU nanoseconds by part and counts of whatever the core tallies."""

    __slots__ = ("counters", "cpu_ns")

    def __init__(self) -> None:
        self.cpu_ns: dict[str, int] = dict.fromkeys(PARTS, 0)
        self.counters: dict[str, int] = {}

    def count(self, metric: str, value: int = 1) -> None:
        """Add `value` to a counter."""
        self.counters[metric] = self.counters.get(metric, 0) + value

    def since(self, part: str, start_ns: int) -> int:
        """Charge the CPU time since `start_ns` to `part` and return the time now."""
        now = thread_time_ns()
        self.cpu_ns[part] += now - start_ns
        return now

    def charge(self, part: str, spent_ns: int) -> None:
        """Add CPU nanoseconds to `part`."""
        self.cpu_ns[part] += spent_ns

    def charger(self, part: str) -> Callable[[int], None]:
        """Return a function that charges nanoseconds to `part`."""
        cpu_ns = self.cpu_ns

        def charge(spent_ns: int) -> None:
            cpu_ns[part] += spent_ns

        return charge


class Timed(Generic[T]):
    """Awaits a coroutine and charges the CPU time of its steps, not the time between them."""

    __slots__ = ("_charge", "_coroutine")

    def __init__(self, coroutine: Coroutine[Any, Any, T], charge: Callable[[int], None]) -> None:
        self._coroutine = coroutine
        self._charge = charge

    def __await__(self) -> Generator[Any, Any, T]:
        coroutine, charge = self._coroutine, self._charge
        value: Any = None
        error: BaseException | None = None
        while True:
            mark = thread_time_ns()
            try:
                waits_for = coroutine.send(value) if error is None else coroutine.throw(error)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                charge(thread_time_ns() - mark)
            value = error = None
            try:
                value = yield waits_for
            except BaseException as raised:  # cancellation belongs to the coroutine: it is handed in there
                error = raised
