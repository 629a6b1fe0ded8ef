"""How many members decide (P2). One function for the whole project; it lives in `ledger` because the offline
check of certificates needs it as well.

>>> [(n, faults(n), quorum(n), weak(n)) for n in (4, 5, 6, 7)]
[(4, 1, 3, 2), (5, 1, 4, 2), (6, 1, 4, 2), (7, 2, 5, 3)]
"""

from __future__ import annotations

from ledger.certificate import faults, quorum

__all__ = ["quorum", "faults", "weak"]


def weak(n: int) -> int:
    """Return f+1: among so many distinct members at least one is correct (P2)."""
    return faults(n) + 1
