"""The data directory: who may use it, what must be durable when a folder is made, how much space is left.

DATA_DIR/lock          held by the running node
DATA_DIR/journal/      LMDB: consensus journal (its loss ends voting, P97); journal-2, ... are those of later keys (S23)
DATA_DIR/chain/        LMDB: blocks, state, indexes (can be fetched again); chain.joining, chain.next, chain.replaced
                       while another one takes its place (node.store.swap)
DATA_DIR/snapshots/    LMDB, one folder for each: states that joining nodes take (can be made again)
DATA_DIR/documents/    LMDB: sealed originals of imported files
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final

from node.store.errors import StoreError, StoreLocked

JOURNAL: Final = "journal"
CHAIN: Final = "chain"
DOCUMENTS: Final = "documents"
LOCK: Final = "lock"
DIRECTORY_MODE: Final = 0o700
LOW_SPACE_BYTES: Final = 256 * 1024 * 1024
"""Below this much free space the node reports itself not ready (U60) before a write can fail."""


class DataDirectory:
    """An exclusively locked data directory; the lock is given back when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """Create `path` when needed and lock it; raise `StoreLocked` when another process has it."""
        self.path = path
        make_directory(path)
        try:
            self._descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(
                f"cannot open {path / LOCK}: {error.strerror}; check the owner and permissions of {path}"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            if not isinstance(error, BlockingIOError):
                raise StoreError(f"cannot lock {path / LOCK}: {error.strerror}; put it on a local disk") from error
            raise StoreLocked(str(path), holder) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode("ascii"), 0)

    @property
    def journal(self) -> Path:
        return self.journal_of(1)

    def journal_of(self, number: int) -> Path:
        """Return the folder of the journal that belongs to the `number`-th consensus key of this node."""
        return journal_path(self.path, number)

    @property
    def chain(self) -> Path:
        return self.path / CHAIN

    @property
    def documents(self) -> Path:
        return self.path / DOCUMENTS

    def free_bytes(self) -> int:
        """Return the space that this user may still fill on the file system of the directory."""
        return free_bytes(self.path)

    def close(self) -> None:
        """Give the lock back; harmless when repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> DataDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def journal_path(data: Path, number: int) -> Path:
    """Return where a data directory keeps the journal of the `number`-th consensus key, counted from 1."""
    return data / (JOURNAL if number == 1 else f"{JOURNAL}-{number}")


def make_directory(path: Path) -> None:
    """Create `path` and its missing parents with mode 0700, each made durable in its parent (P94)."""
    missing: list[Path] = []
    probe = path
    while not probe.exists():
        missing.append(probe)
        probe = probe.parent
    for folder in reversed(missing):
        try:
            folder.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot create {folder}: {error.strerror}; check node.data_dir and its owner") from error
        sync_directory(folder.parent)
    if not path.is_dir():
        raise StoreError(f"{path} is not a folder; set node.data_dir to a folder")


def sync_directory(path: Path) -> None:
    """Make the entries of `path` durable: a rename or a new file is lost without it (P94)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_bytes(path: Path) -> int:
    """Return the free bytes for unprivileged users on the file system that holds `path`."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize
