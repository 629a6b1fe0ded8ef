"""How much a peer may send and how much we keep for it (P140). Pure: the time is an argument."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

RATES: Final[dict[int, tuple[int, int]]] = {
    1: (200, 400), 2: (500, 1_000), 3: (500, 1_000), 4: (50, 200), 5: (20, 60), 6: (50, 200), 7: (50, 100),
    8: (50, 200), 9: (500, 1_000), 10: (100, 200), 16: (200, 600), 17: (200, 400), 18: (200, 400), 19: (100, 200),
    20: (100, 200), 21: (100, 200), 22: (10, 20), 23: (100, 200), 24: (100, 200), 25: (100, 200), 26: (100, 200),
    27: (100, 200), 28: (5, 40), 29: (500, 1_000), 30: (500, 1_000),
}  # fmt: skip
"""Message type -> (messages per second, burst). Ten times what a correct node sends under full load.

29 and 30: a node that was away over many epochs asks as soon as the answer before is checked, which is some 2 ms where
links are short. A request too many would be taken for silence there. What requests cost is bounded by the queue of
`node.driver.asked`.
"""
UNKNOWN_RATE: Final = (500, 1_000)
"""The same for all types together that only a later version knows: as many as of any type we know (P22)."""

LATEST_ONLY: Final = frozenset({6, 7, 8})
"""SUSPECT, HEARTBEAT, STATUS: only the newest one says anything."""
VOTES: Final = frozenset({1, 2, 3})
"""Dropped first when a peer does not keep up: STATUS makes us send again what it lacks (P37)."""
QUEUED_FRAMES_MAX: Final = 4_096
"""Frames that wait for one peer: about nine seconds of what a correct node says to another under full load, a tenth of
`RATES` together. Small frames would take far more memory and time than their bytes say."""

SCORE_LIMIT: Final = 100
"""Demerits at which a link is cut; one fades every second."""
QUARANTINE_NS: Final = 10_000_000_000
WEIGHTS: Final = {"rate": 2, "unanswered": 2, "never_asked": 2, "invalid": 10}
"""Demerits by reason; any other reason counts `DEFAULT_WEIGHT`."""
DEFAULT_WEIGHT: Final = 10

_SECOND_NS: Final = 1_000_000_000
_UNKNOWN_KIND: Final = -1
"""Stands for all types without a rate of their own."""


class Buckets:
    """Token buckets by message type; unknown types share one."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state: dict[int, tuple[int, int]] = {}

    def take(self, kind: int, now_ns: int) -> bool:
        """Tell whether a message of type `kind` is within its rate at `now_ns`, and count it."""
        if kind not in RATES:
            kind = _UNKNOWN_KIND
        rate, burst = RATES.get(kind, UNKNOWN_RATE)
        full = burst * _SECOND_NS
        level, at = self._state.get(kind, (full, now_ns))
        level = min(full, level + (now_ns - at) * rate)
        if level < _SECOND_NS:
            self._state[kind] = (level, now_ns)
            return False
        self._state[kind] = (level - _SECOND_NS, now_ns)
        return True


class Demerits:
    """Faults of one peer, fading with time."""

    __slots__ = ("_at_ns", "_score", "until_ns")

    def __init__(self) -> None:
        self._score = 0
        self._at_ns = 0
        self.until_ns = 0
        """The peer is kept out until then."""

    def add(self, reason: str, now_ns: int) -> bool:
        """Count a fault; tell whether the link must be cut now."""
        faded = (now_ns - self._at_ns) // _SECOND_NS
        self._score = max(0, self._score - faded) + WEIGHTS.get(reason, DEFAULT_WEIGHT)
        self._at_ns = now_ns
        if self._score < SCORE_LIMIT:
            return False
        self._score = 0
        self.until_ns = now_ns + QUARANTINE_NS
        return True


@dataclass(frozen=True, slots=True)
class Queued:
    kind: int
    frame: bytes


class OutboundQueue:
    """Frames for a peer that does not take them fast enough. Bounded in bytes and in frames; what is dropped is sent
    again later.

    Order of dropping: of `LATEST_ONLY` types only the newest is kept at all; then the oldest votes; then the oldest
    of anything. The newest frame stays. Every frame has a number, so that each is found without a walk over all.
    """

    __slots__ = ("_frames", "_latest", "_limit", "_next", "_votes", "dropped", "size_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._frames: OrderedDict[int, Queued] = OrderedDict()
        self._votes: deque[int] = deque()
        self._latest: dict[int, int] = {}
        self._next = 0
        self._limit = limit_bytes
        self.size_bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, kind: int, frame: bytes) -> None:
        """Queue a frame, and drop others when it would be too much."""
        if kind in LATEST_ONLY and kind in self._latest:
            self._drop(self._latest[kind])
        while self._frames and self._over(len(frame)):
            self._drop(self._votes[0] if self._votes else next(iter(self._frames)))
        number = self._next
        self._next += 1
        self._frames[number] = Queued(kind, frame)
        self.size_bytes += len(frame)
        if kind in VOTES:
            self._votes.append(number)
        elif kind in LATEST_ONLY:
            self._latest[kind] = number

    def take(self) -> list[Queued]:
        """Return all frames in order and empty the queue."""
        frames = list(self._frames.values())
        self._frames.clear()
        self._votes.clear()
        self._latest.clear()
        self.size_bytes = 0
        return frames

    def _over(self, more_bytes: int) -> bool:
        """Tell whether one more frame of this size would be too much."""
        return self.size_bytes + more_bytes > self._limit or len(self._frames) >= QUEUED_FRAMES_MAX

    def _drop(self, number: int) -> None:
        queued = self._frames.pop(number)
        self.size_bytes -= len(queued.frame)
        self.dropped += 1
        if self._votes and self._votes[0] == number:
            self._votes.popleft()
        elif self._latest.get(queued.kind) == number:
            del self._latest[queued.kind]
