"""Memory of a run: no search for cycles while it goes on.

A run makes millions of small objects, none of which refers back to what made it: they are freed the moment nobody
needs them. Python's collector would look at all of them again and again, for a fifth of the time, and find nothing.
The worlds themselves are cycles (a daemon knows its world), so between runs the collector works as usual.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the cyclic collector off until the block ends; nested blocks are one."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
