"""Exit codes (U18). Their meaning never changes."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a script may rely on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    REJECTED = 5
    CONFLICT = 6
    UNKNOWN = 7
    UNAVAILABLE = 8
    NO_QUORUM = 9
    FINDINGS = 10
    INTERRUPTED = 130
