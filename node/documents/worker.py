"""The process that reads foreign files. Started by `intake` with `python -I` and this file, nothing else (S57).

It imports first, then gives up what it does not need (memory, processor time, files, processes, network), says
hello and reads one task after the other from its input until that ends.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO, Final

if __name__ == "__main__":  # isolated mode leaves the project out of the search path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgspec

from finance.formats import ReadOptions, read
from node.documents.wire import FRAME_HEAD_BYTES, TASK_MAX_BYTES, FileTask, Hello, WireResult, to_wire
from node.identity.hardening import Bounds, confine, drop_network

BOUNDS: Final = Bounds(memory_bytes=768 * 1024 * 1024, cpu_s=120, open_files=32)
"""Interpreter and libraries take about 200 MiB, a 5 MiB document less than 200 more (X53). A batch of 64 ordinary files
needs two processor seconds; one file is bounded by the parent. Descriptors: standard streams, and modules and tables
that are loaded late."""


def main() -> int:
    """Read tasks until the input ends; return the exit code."""
    confine(BOUNDS)
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
