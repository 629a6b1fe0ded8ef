"""Asks a process of its own what a source compiles to, once for each source in its place (L58).

Whoever may submit can hand in any bytes. The language bounds the work of its compiler, and the block that accepts a
plan relies on these bounds alone, because every node must come to the same verdict. Here, where nothing depends on
equal answers, there is a second line: a fresh process with a limit on memory, processor time and wall-clock time, and
without network and files. A source that breaks it costs itself.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from contracts.ir import code_id
from ledger.errors import InvariantViolated
from ledger.money import CurrencyTable
from node.identity.isolated import end_isolated, start_isolated
from node.review.wire import FRAME_HEAD_BYTES, VERDICT_MAX_BYTES, Fault, Task, Verdict

TIME_MAX_S: Final = 30
"""Wall-clock seconds of one review: one second on an idle machine, the rest is for a busy one."""
VERDICTS_KEPT: Final = 64
STOPPED: Final = "stopped"
"""Code of the fault of a source whose compilation did not end within the bounds of the process."""
AT_ONCE: Final = 1
"""Processes at once: a review takes a processor, and the node wants the other."""

_WORKER: Final = str(Path(__file__).with_name("worker.py"))

Mark = tuple[tuple[str, bytes], ...]


class Reviewer:
    """Reviews sources for one node; verdicts are kept by the hashes of all sources that went into them."""

    def __init__(self, currencies: CurrencyTable) -> None:
        self._currencies = dict(currencies)
        self._verdicts: OrderedDict[tuple[Mark, ...], Verdict] = OrderedDict()
        self._busy = asyncio.Semaphore(AT_ONCE)

    async def review(self, before: Sequence[Mapping[str, bytes]], sources: Mapping[str, bytes]) -> Verdict:
        """Return what `sources` compile to after the steps `before`. Never raises for what a source holds."""
        steps = (*before, sources)
        key = tuple(tuple(sorted((name, code_id(source)) for name, source in step.items())) for step in steps)
        async with self._busy:
            known = self._verdicts.get(key)
            if known is None:
                task = Task(self._currencies, tuple(dict(step) for step in steps))
                known = await _ask(msgspec.msgpack.encode(task), sorted(sources)[0])
                if known.fault is not None and known.fault.code == STOPPED:
                    return known  # a matter of this machine at this moment
                self._verdicts[key] = known
            self._verdicts.move_to_end(key)
            while len(self._verdicts) > VERDICTS_KEPT:
                self._verdicts.popitem(last=False)
        return known


async def _ask(task: bytes, name: str) -> Verdict:
    """Start the process, hand it the task and return its answer; what kills it becomes a fault."""
    process = await start_isolated(_WORKER, VERDICT_MAX_BYTES)
    try:
        async with asyncio.timeout(TIME_MAX_S):
            answer = await _exchange(process, task)
    except TimeoutError:
        return _stopped(name, f"compiling took longer than {TIME_MAX_S} s")
    except (asyncio.IncompleteReadError, ConnectionError):
        return _stopped(name, "compiling needed more memory or processor time than a source may take")
    finally:
        await end_isolated(process)
    try:
        return msgspec.msgpack.decode(answer, type=Verdict)
    except msgspec.DecodeError:
        return _stopped(name, "the process that compiled it gave no answer that can be read")


async def _exchange(process: asyncio.subprocess.Process, task: bytes) -> bytes:
    """Hand over the task and return the answer; never more than an answer may have, whatever the process writes.

    Raises `IncompleteReadError` or `ConnectionError` when it ends before.
    """
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise InvariantViolated("an isolated process was started without its pipes")
    stdin.write(len(task).to_bytes(FRAME_HEAD_BYTES, "big") + task)
    await stdin.drain()
    size = int.from_bytes(await stdout.readexactly(FRAME_HEAD_BYTES), "big")
    return await stdout.readexactly(size) if size <= VERDICT_MAX_BYTES else b""


def _stopped(name: str, text: str) -> Verdict:
    return Verdict(Fault(name, STOPPED, 0, 0, f"{text}; write it shorter"), ())
