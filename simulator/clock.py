"""Clocks of one node (M11): monotonic for timers, wall for block time, both with drift, the wall also with jumps.

All integers: nanoseconds of virtual time in, nanoseconds (monotonic) or milliseconds (wall) out; drift in parts per
billion. The monotonic clock starts anew with every process, as `CLOCK_MONOTONIC` does after a boot.
"""

from __future__ import annotations

PPB = 1_000_000_000
MS = 1_000_000


class NodeClock:
    """Maps virtual time to what a node's clocks show. `wall` may be skewed, drift, jump and stand still."""

    __slots__ = ("_base_mono", "_base_time", "_base_wall", "_drift", "_stopped_ns", "_stops", "jumped_ns")

    def __init__(self, start_ms: int, *, mono_offset_ns: int = 0, skew_ms: int = 0, drift_ppb: int = 0) -> None:
        self._base_time = 0
        self._base_mono = mono_offset_ns
        self._base_wall = (start_ms + skew_ms) * MS
        self._drift = drift_ppb
        self._stops = self._stopped_ns = 0
        self.jumped_ns: int | None = None
        """When the wall clock last jumped, stopped or went on: a reading of now says little about one from before."""

    def mono(self, time_ns: int) -> int:
        elapsed = time_ns - self._base_time
        return self._base_mono + elapsed + elapsed * self._drift // PPB

    def wall_ms(self, time_ns: int) -> int:
        if self._stops:
            return self._base_wall // MS
        elapsed = time_ns - self._base_time
        return (self._base_wall + elapsed + elapsed * self._drift // PPB) // MS

    def both(self, time_ns: int) -> tuple[int, int]:
        """Return what `mono` and `wall_ms` show."""
        elapsed = time_ns - self._base_time
        if self._drift:
            elapsed += elapsed * self._drift // PPB
        return self._base_mono + elapsed, (self._base_wall if self._stops else self._base_wall + elapsed) // MS

    def time_of_mono(self, mono_ns: int) -> int:
        """Return the first virtual time at which `mono` shows at least `mono_ns`."""
        ahead = mono_ns - self._base_mono
        time_ns = self._base_time + ahead * PPB // (PPB + self._drift)
        while self.mono(time_ns) < mono_ns:
            time_ns += 1
        return time_ns

    def jump(self, time_ns: int, by_ms: int) -> None:
        """Move the wall clock; the monotonic clock does not notice."""
        self._rebase(time_ns)
        self._base_wall += by_ms * MS
        self.jumped_ns = time_ns

    def drift(self, time_ns: int, drift_ppb: int) -> None:
        self._rebase(time_ns)
        self._drift = drift_ppb

    def freeze(self, time_ns: int) -> None:
        """Stop the wall clock. It may be stopped several times over; it goes on when the last one is over."""
        self._rebase(time_ns)
        if not self._stops:
            self._stopped_ns = time_ns
        self._stops += 1
        self.jumped_ns = time_ns

    def thaw(self, time_ns: int) -> None:
        """Take one stop back; with the last the clock is set right again, as a time service would."""
        self._rebase(time_ns)
        self._stops -= 1
        if not self._stops:
            self._base_wall += time_ns - self._stopped_ns
        self.jumped_ns = time_ns

    def _rebase(self, time_ns: int) -> None:
        mono = self.mono(time_ns)
        if not self._stops:
            elapsed = time_ns - self._base_time
            self._base_wall += elapsed + elapsed * self._drift // PPB
        self._base_mono = mono
        self._base_time = time_ns
