"""The guard (M14, SIM11): while a run goes on, its thread cannot reach the real world.

Wall clock, chance, sockets, threads and event loops raise `GuardBreach` with the place of the call. Other threads of
the process are not touched. Names that a module imported directly are the import linter's business.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from simulator.errors import GuardBreach

_FORBIDDEN: tuple[tuple[Any, str], ...] = (
    *((time, name) for name in ("time", "time_ns", "monotonic", "monotonic_ns", "sleep")),
    *((random, name) for name in ("random", "randint", "randrange", "choice", "shuffle", "sample", "getrandbits")),
    (os, "urandom"),
    (socket.socket, "__init__"),
    (threading.Thread, "start"),
    (asyncio, "new_event_loop"),
    (asyncio, "run"),
)


@contextmanager
def guarded() -> Iterator[None]:
    """Forbid the real world to the current thread until the block ends."""
    owner = threading.get_ident()
    saved = [(place, name, getattr(place, name)) for place, name in _FORBIDDEN]
    try:
        for place, name, original in saved:
            setattr(place, name, _refusal(place, name, original, owner))
        yield
    finally:
        for place, name, original in saved:
            setattr(place, name, original)


def _refusal(place: Any, name: str, original: Any, owner: int) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != owner:
            return original(*args, **kwargs)
        caller = sys._getframe(1)
        where = f"{caller.f_code.co_filename}:{caller.f_lineno}"
        raise GuardBreach(f"{getattr(place, '__name__', place)}.{name} was called during a simulated run at {where}")

    return refuse
