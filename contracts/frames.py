"""Room on the Python stack for a process that checks or runs contracts (H8).

A call path of 400 levels needs at most 1,200 Python frames, and Python stops at 1,000 unless it is told otherwise.
Whether a program runs would then depend on who called it, and a node would stop where another goes on. Every process
that compiles or runs contracts calls this once, before it does: node, review, command line, simulator.
"""

from __future__ import annotations

import sys

from contracts.limits import PYTHON_FRAMES


def make_room() -> None:
    """Raise the recursion limit of this process to what contracts need; a higher one stays."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), PYTHON_FRAMES))
