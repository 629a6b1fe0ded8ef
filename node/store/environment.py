"""Opening an LMDB environment so that neither a full disk nor a file cut short can kill the process.

LMDB maps two files. Touching a mapped page that the disk cannot back, or that lies behind the end of the file, ends
the process with a signal instead of an error. So the lock file gets its blocks before it is mapped, and a data file
that was cut short gets its length back, filled with zeros, which LMDB or the seals then refuse.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import lmdb

DATA_FILE: Final = "data.mdb"
LOCK_FILE: Final = "lock.mdb"
FILE_MODE: Final = 0o600

_LOCK_HEAD_BYTES: Final = 128
_READER_BYTES: Final = 64
_BLOCK_BYTES: Final = 4096
_THREAD_IO: Final = Path("/proc/thread-self/io")


def open_environment(path: Path, *, map_bytes: int, databases: int, readers: int) -> Any:
    """Open or create the environment in folder `path`, fully durable. Raises `lmdb.Error` or OSError."""
    _back_lock_file(path / LOCK_FILE, readers)
    environment = lmdb.open(str(path), map_size=map_bytes, max_dbs=databases, max_readers=readers, mode=FILE_MODE)
    _widen(path / DATA_FILE, environment)
    environment.reader_check()
    return environment


def _back_lock_file(path: Path, readers: int) -> None:
    """Give the reader table its disk blocks; a full disk is an error here instead of a signal later."""
    needed = _LOCK_HEAD_BYTES + readers * _READER_BYTES
    size = (needed + _BLOCK_BYTES - 1) // _BLOCK_BYTES * _BLOCK_BYTES
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def _widen(path: Path, environment: Any) -> None:
    """Give a data file that was cut short its length back."""
    pages = environment.info()["last_pgno"] + 1
    needed = pages * environment.stat()["psize"]
    if path.stat().st_size < needed:
        os.truncate(path, needed)


def written_bytes() -> int:
    """Return the bytes that this thread has handed to the system for writing so far; 0 where the system does not say.

    Around a transaction the difference is what LMDB wrote: the copies of pages that it made outside of its map, and
    keeps for the next transaction.
    """
    try:
        text = _THREAD_IO.read_text(encoding="ascii")
    except OSError:
        return 0
    for line in text.splitlines():
        name, _, value = line.partition(": ")
        if name == "wchar":
            return int(value)
    return 0
