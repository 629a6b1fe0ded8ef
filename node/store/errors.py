"""What can go wrong between the node and its disk. Each message says what to do next (style 18)."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

import lmdb

DISK_FULL = "disk_full"
MAP_FULL = "map_full"
IO = "io"
FULL_BELOW_BYTES: Final = 1024 * 1024
"""With less than this left, a failed write is put down to the full disk."""


class StoreError(Exception):
    """Base of the errors of `node.store`."""

    code = "store"


class SealBroken(StoreError):
    """A sealed value does not open: it was changed, moved, cut short, or sealed under another key (S105)."""

    code = "seal_broken"

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"a value of {place} does not open: {reason}")
        self.place = place
        self.reason = reason


class StoreLocked(StoreError):
    """Another process works on this data directory."""

    code = "store_locked"

    def __init__(self, path: str, holder: str) -> None:
        who = f"process {holder}" if holder else "another process"
        super().__init__(
            f"the data directory {path} is in use by {who}; stop that node first, "
            "or give this one a node.data_dir of its own"
        )
        self.path = path
        self.holder = holder


class StoreMissing(StoreError):
    """An environment that must exist does not."""

    code = "store_missing"

    def __init__(self, path: str, next_step: str) -> None:
        super().__init__(f"{path} does not exist; {next_step}")
        self.path = path


class StoreCorrupt(StoreError):
    """The chain store contradicts itself. Its content can be fetched again from the other companies."""

    code = "store_corrupt"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"the chain store in {path} is damaged ({reason}); move this folder away (never the journal beside it) "
            "and start again: the node fetches certified blocks from its peers"
        )
        self.path = path
        self.reason = reason


class WriteFailed(StoreError):
    """A durable write failed or its outcome is unknown. Fatal for the process, never retried in it (P91).

    `cause` is one of `disk_full`, `map_full`, `io`.
    """

    code = "write_failed"

    def __init__(self, path: str, cause: str, detail: str, next_step: str) -> None:
        super().__init__(f"cannot write to {path}: {detail}; {next_step}")
        self.path = path
        self.cause = cause
        self.detail = detail


class JournalFailed(WriteFailed):
    """The consensus journal could not be made durable (P91)."""

    code = "journal_failed"


class StoreFailed(WriteFailed):
    """The chain store or the document store could not be made durable."""

    code = "store_failed"


def cause_of(error: BaseException, path: Path | None = None) -> str:
    """Classify an exception of LMDB or the operating system as `disk_full`, `map_full` or `io`.

    LMDB reports a write that was cut short by a full disk as an input/output error, so with `path` the space that
    is left there is looked at.
    """
    if isinstance(error, lmdb.MapFullError):
        return MAP_FULL
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DISK_FULL
    text = str(error)
    if "No space left" in text or "quota" in text.lower():
        return DISK_FULL
    if path is not None and _is_full(path):
        return DISK_FULL
    return IO


def _is_full(path: Path) -> bool:
    try:
        status = os.statvfs(path)
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < FULL_BELOW_BYTES


def next_step(cause: str, setting: str) -> str:
    """Return the advice for a failed write; `setting` is the key that sizes the environment, or empty."""
    if cause == DISK_FULL:
        return "free space on this file system and start the node again: nothing that was acknowledged is lost"
    if cause == MAP_FULL and setting:
        return f"raise {setting} in the configuration and start the node again"
    return "check the disk and the permissions of the folder, then start the node again"


def words_of(error: BaseException) -> str:
    """Return what the system said, without its number."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
