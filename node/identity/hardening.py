"""What a process does to keep keys out of dumps (S38), and what one that works on foreign bytes gives up (S57, L58).

Best effort: the documentation says so.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final, NamedTuple

_PR_SET_DUMPABLE: Final = 4
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000


class Bounds(NamedTuple):
    """What a process may still use: bytes of address space, processor seconds, descriptors."""

    memory_bytes: int
    cpu_s: int
    open_files: int


def confine(bounds: Bounds) -> None:
    """Set the limits of this process, soft and hard, so that nothing in it can raise them again."""
    for kind, value in (
        (resource.RLIMIT_AS, bounds.memory_bytes),
        (resource.RLIMIT_CPU, bounds.cpu_s),
        (resource.RLIMIT_NOFILE, bounds.open_files),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def drop_network() -> bool:
    """Move into an empty network namespace where Linux lets us; tell whether it did."""
    if not sys.platform.startswith("linux"):
        return False
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    return bool(unshare(_CLONE_NEWNET) == 0 or unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0)


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
