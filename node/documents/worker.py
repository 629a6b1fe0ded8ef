"""The process that reads foreign files. Started by `intake` with `python -I` and this file, nothing else (S57).

It imports first, then gives up what it does not need (memory, processor time, files, processes, network), says
hello and reads one task after the other from its input until that ends.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path
from typing import BinaryIO, Final

if __name__ == "__main__":  # isolated mode leaves the project out of the search path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgspec

from finance.formats import ReadOptions, read
from node.documents.wire import FRAME_HEAD_BYTES, TASK_MAX_BYTES, FileTask, Hello, WireResult, to_wire

MEMORY_MAX_BYTES: Final = 768 * 1024 * 1024
"""Address space: interpreter and libraries take about 200 MiB, a 5 MiB document less than 200 more (X53)."""

CPU_MAX_S: Final = 120
"""Processor seconds of a worker: a batch of 64 ordinary files needs two. One file is bounded by the parent."""

OPEN_FILES_MAX: Final = 32
"""Descriptors: standard streams, and modules and tables that are loaded late."""

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000


def main() -> int:
    """Read tasks until the input ends; return the exit code."""
    limit()
    reachable = not drop_network()
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    send(stdout, msgspec.msgpack.encode(Hello(network=reachable)))
    while (task := receive(stdin)) is not None:
        send(stdout, msgspec.msgpack.encode(work(task)))
    return 0


def work(task: FileTask) -> WireResult:
    """Read one file. This is the boundary of the process: whatever goes wrong becomes a name (S57)."""
    try:
        return to_wire(read(task.data, task.kind, ReadOptions(strict=task.strict, currencies=task.currencies)))
    except Exception as error:
        return WireResult(failed=type(error).__name__)


def limit() -> None:
    """Set the limits of this process, soft and hard, so that nothing in it can raise them again."""
    for kind, value in (
        (resource.RLIMIT_AS, MEMORY_MAX_BYTES),
        (resource.RLIMIT_CPU, CPU_MAX_S),
        (resource.RLIMIT_NOFILE, OPEN_FILES_MAX),
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


def receive(stream: BinaryIO) -> FileTask | None:
    """Return the next task, None at the end of the input."""
    head = stream.read(FRAME_HEAD_BYTES)
    if len(head) < FRAME_HEAD_BYTES:
        return None
    size = int.from_bytes(head, "big")
    if size > TASK_MAX_BYTES:
        return None
    return msgspec.msgpack.decode(stream.read(size), type=FileTask)


def send(stream: BinaryIO, body: bytes) -> None:
    stream.write(len(body).to_bytes(FRAME_HEAD_BYTES, "big") + body)
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
