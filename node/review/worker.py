"""The process that compiles a source: started by `reviewer` with `python -I` and this file, nothing else (L58).

It imports first, then gives up memory, processor time, files, processes and network, reads one task, answers and ends.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

if __name__ == "__main__":  # isolated mode leaves the project out of the search path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgspec

from contracts.errors import LinkError, SourceError
from contracts.frames import make_room
from contracts.runtime import link
from node.core.programs import Programs, examined
from node.identity.hardening import Bounds, confine, drop_network
from node.review.wire import FRAME_HEAD_BYTES, TASK_MAX_BYTES, Compiled, Fault, Task, Verdict

BOUNDS: Final = Bounds(memory_bytes=512 * 1024 * 1024, cpu_s=20, open_files=16)
"""The library and a source of 64 KiB take below 200 MiB and 2 seconds; the language's own limits keep it there."""


def main() -> int:
    """Answer one task; return the exit code."""
    make_room()
    confine(BOUNDS)
    drop_network()
    head = sys.stdin.buffer.read(FRAME_HEAD_BYTES)
    size = int.from_bytes(head, "big")
    if len(head) < FRAME_HEAD_BYTES or size > TASK_MAX_BYTES:
        return 1
    task = msgspec.msgpack.decode(sys.stdin.buffer.read(size), type=Task)
    body = msgspec.msgpack.encode(judge(task))
    sys.stdout.buffer.write(len(body).to_bytes(FRAME_HEAD_BYTES, "big") + body)
    sys.stdout.buffer.flush()
    return 0


def judge(task: Task) -> Verdict:
    """Compile the last step after those before it, and link everything (L44, L45)."""
    try:
        codes = Programs(task.currencies).compiled(task.steps)
        link(codes)
    except SourceError as error:
        return Verdict(Fault(error.contract, error.code, error.line, error.column, error.text), ())
    except LinkError as error:
        return Verdict(Fault(error.contract, "link", 0, 0, error.reason), ())
    found: list[Compiled] = []
    for name in sorted(task.steps[-1]):
        one, replaces = examined(codes[name]), codes[name].tree.replaces
        found.append(Compiled(name, one.version, replaces, one.code_id, one.ir_hash, one.uses, one.worst_gas))
    return Verdict(None, tuple(found))


if __name__ == "__main__":
    sys.exit(main())
