"""What the process does to keep keys out of dumps (S38). Best effort: the documentation says so."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def forbid_dumps(*, development: bool) -> None:
    """Allow no core file; on production networks also no debugger or reader of our memory by the same user.

    A development network stays readable, because `hansa bench` reads the memory figures of its nodes.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and not development:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def lock_pages(buffer: bytearray) -> bool:
    """Keep the pages of a key buffer out of swap; tell whether the system allowed it.

    Never all pages of the process: that would pin LMDB's maps and every thread's stack.
    """
    try:
        library = ctypes.CDLL(None, use_errno=True)
        address = ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))
        return int(library.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(buffer)))) == 0
    except (OSError, AttributeError):
        return False
