"""Records of the simulated world: what is on its way, and the event that only a simulated shell has.

They stand apart from the modules that use them, because a module with msgspec records is never compiled (ADR 0030).
"""

from __future__ import annotations

from typing import Any

import msgspec

from consensus import events as cv


class Parcel(msgspec.Struct, frozen=True):
    """One message on its way. `size_bytes` is the encoded size; `encoded` is set when receivers decode (M18)."""

    source: int
    message: Any
    size_bytes: int
    encoded: bytes


class LateAnswer(cv.Event, frozen=True, kw_only=True):
    """The mempool has the block that was asked for."""

    answer: cv.BlockBuilt
