"""Starts and ends a process that works on foreign bytes: documents (S57), sources of contracts (L58).

It gets no descriptors but its two pipes, no environment and no keys. What it gives up itself, before it reads, stands
in `hardening.confine`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys


async def start_isolated(worker: str, answer_max_bytes: int) -> asyncio.subprocess.Process:
    """Start the file `worker` in an isolated interpreter, with an empty environment and two pipes."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        worker,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
        close_fds=True,
        start_new_session=True,
        limit=answer_max_bytes,
    )


async def end_isolated(process: asyncio.subprocess.Process) -> None:
    """End such a process, whatever it does, and take its exit status."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
