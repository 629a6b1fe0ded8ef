"""Memory that is free inside the process goes back to the system.

The C library keeps what was freed for the next request. In a busy node envelopes, pages of LMDB's writes and tree nodes
come and go between rows that stay, so 10 to 20 MB of whole pages were free and still counted as the node's
(docs/performance.md). Asking for them back takes 1 to 3 ms, so it is done rarely, and behind a durable write, which
votes have waited for anyway.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

TRIM_MS: Final = 1_000
"""Milliseconds between two trims: a thousandth to three thousandths of the loop's time."""


class Allocator:
    """The allocator of this process; does nothing where the C library has no `malloc_trim` (it is of glibc)."""

    __slots__ = ("_due_ns", "_trim")

    def __init__(self) -> None:
        self._trim: Callable[[Any], Any] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._due_ns = 0

    def trim(self, now_ns: int) -> bool:
        """Give free pages back if the last time is `TRIM_MS` ago; return whether it was asked for.

        `now_ns`: a monotonic time.
        """
        if self._trim is None or now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + TRIM_MS * 1_000_000
        self._trim(ctypes.c_size_t(0))
        return True
