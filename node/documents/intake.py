"""Foreign files are read here: in a fresh process with limits, never in the node (S57).

The door is `parse_files` (and `parse_files_now` where no event loop runs).

Rules
    * One worker process reads a bounded batch of files and ends. It gets no descriptors but its two pipes, no
      environment and no keys; it limits its own memory and processor time before the first byte arrives.
    * Files go in and results come out one at a time. A file that takes too long or kills the worker costs itself
      alone: its result says so, and the next files get a new process.
    * What comes back is data of a process that may have been taken over: it is bounded, typed, compared with the
      hash of what was sent, and its numbers are looked at again before anything uses them.
    * File names are labels for people. Nothing is opened by them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from finance.formats import ReadOptions, ReadResult
from finance.formats.archive import ZIP_SIZE_MAX_BYTES
from finance.formats.detect import is_zip
from finance.formats.xml import XML_SIZE_MAX_BYTES
from finance.model import Issue
from ledger.money import MINOR_MAX, CurrencyTable, Money
from node.documents.wire import FRAME_HEAD_BYTES, RESULT_MAX_BYTES, FileTask, Hello, WireResult, from_wire
from node.identity.isolated import end_isolated, start_isolated

FILE_TIME_MAX_S: Final = 20
"""Wall-clock seconds for one file. A 5 MiB document takes one; the rest is for a busy machine."""

START_TIME_MAX_S: Final = 20
"""Wall-clock seconds until a worker is ready: interpreter, imports and limits."""

BATCH_FILES_MAX: Final = 64
"""Files that one worker reads before a new one takes over."""

FILES_MAX: Final = 10_000
"""Files of one call; an import of more is cut by the caller."""

T = TypeVar("T")

_WORKER: Final = str(Path(__file__).with_name("worker.py"))
_DIGITS_MAX: Final = 35
_DECIMALS_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file as somebody handed it in. `kind` overrides detection; `name` is shown and never opened."""

    name: str
    data: bytes
    kind: str | None = None


class WorkerFailed(Exception):
    """The process did not answer as it should; `reason` is a stable word, `limit` what it ran into."""

    def __init__(self, reason: str, limit: str) -> None:
        super().__init__(f"{reason}: {limit}")
        self.reason = reason
        self.limit = limit


async def parse_files(uploads: Sequence[Upload], options: ReadOptions | None = None) -> list[ReadResult]:
    """Return one result for each upload, in order. Never raises for what a file holds; see `ReadResult.issues`.

    More than `FILES_MAX` uploads: ValueError.
    """
    if len(uploads) > FILES_MAX:
        raise ValueError(f"{len(uploads)} files in one call, the limit is {FILES_MAX}")
    options = options if options is not None else ReadOptions()
    results: list[ReadResult] = []
    waiting = list(uploads)
    while waiting:
        if (size := _over_size(waiting[0])) is not None:
            results.append(_too_large(waiting.pop(0), size))
            continue
        batch = []
        for upload in waiting[:BATCH_FILES_MAX]:
            if _over_size(upload) is not None:
                break
            batch.append(upload)
        done = await _batch(batch, options)
        results.extend(done)
        waiting = waiting[len(done) :]
    return results


def parse_files_now(uploads: Sequence[Upload], options: ReadOptions | None = None) -> list[ReadResult]:
    """Do what `parse_files` does, for callers without an event loop."""
    return asyncio.run(parse_files(uploads, options))


async def reaches_network() -> bool:
    """Start a worker and tell whether it could still reach a network: a matter of the platform (S57)."""
    process = await start_isolated(_WORKER, RESULT_MAX_BYTES)
    try:
        return (await _frame(process, START_TIME_MAX_S, Hello)).network
    finally:
        await end_isolated(process)


async def _batch(batch: Sequence[Upload], options: ReadOptions) -> list[ReadResult]:
    """Return results of the first files of `batch`, at least one; the worker is gone afterwards."""
    results: list[ReadResult] = []
    process = await start_isolated(_WORKER, RESULT_MAX_BYTES)
    try:
        await _frame(process, START_TIME_MAX_S, Hello)
        for upload in batch:
            results.append(await _one(process, upload, options))
    except WorkerFailed as failed:
        results.append(_stopped(batch[len(results)], failed))
    finally:
        await end_isolated(process)
    return results


async def _one(process: asyncio.subprocess.Process, upload: Upload, options: ReadOptions) -> ReadResult:
    """Send one file and return its result; raise `WorkerFailed` if there is none."""
    task = FileTask(
        data=upload.data, kind=upload.kind, strict=options.strict, currencies=dict(sorted(options.currencies.items()))
    )
    body = msgspec.msgpack.encode(task)
    if process.stdin is None:
        raise WorkerFailed("no_pipe", "start")
    process.stdin.write(len(body).to_bytes(FRAME_HEAD_BYTES, "big") + body)
    try:
        async with asyncio.timeout(FILE_TIME_MAX_S):
            await process.stdin.drain()
    except TimeoutError:
        raise WorkerFailed("time", f"{FILE_TIME_MAX_S} s") from None
    except ConnectionError:
        raise WorkerFailed("worker_ended", "memory or processor limit") from None
    wire = await _frame(process, FILE_TIME_MAX_S, WireResult)
    if wire.failed:
        raise WorkerFailed(wire.failed[:40], "memory limit" if wire.failed == "MemoryError" else "an error")
    result = from_wire(wire)
    if result.source_hash != hashlib.sha256(upload.data).digest():
        raise WorkerFailed("wrong_hash", "the check of its result")
    for item in (*result.items, *result.refused):
        if not _bounded(item, options.currencies):
            raise WorkerFailed("numbers_out_of_bounds", "the check of its result")
    return result


async def _frame(process: asyncio.subprocess.Process, seconds: int, kind: type[T]) -> T:
    """Return the next record of the worker; raise `WorkerFailed` if it is late, too large or not one."""
    if process.stdout is None:
        raise WorkerFailed("no_pipe", "start")
    try:
        async with asyncio.timeout(seconds):
            head = await process.stdout.readexactly(FRAME_HEAD_BYTES)
            size = int.from_bytes(head, "big")
            if size > RESULT_MAX_BYTES:
                raise WorkerFailed("result_too_large", f"{RESULT_MAX_BYTES} bytes")
            body = await process.stdout.readexactly(size)
    except TimeoutError:
        raise WorkerFailed("time", f"{seconds} s") from None
    except (asyncio.IncompleteReadError, ConnectionError):
        raise WorkerFailed("worker_ended", "memory or processor limit") from None
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.DecodeError, ArithmeticError, RecursionError):
        raise WorkerFailed("not_a_result", "the check of its result") from None


def _bounded(value: object, currencies: CurrencyTable) -> bool:
    """Tell whether every number below `value` has the size that the readers allow (X45)."""
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, Decimal):
            _, digits, exponent = one.as_tuple()
            if not isinstance(exponent, int) or not -_DECIMALS_MAX <= exponent <= 0 or len(digits) > _DIGITS_MAX:
                return False
        elif isinstance(one, Money):
            if abs(one.minor) > MINOR_MAX or (one.ccy and one.ccy not in currencies):
                return False
        elif isinstance(one, tuple):
            stack.extend(one)
        elif dataclasses.is_dataclass(one):
            stack.extend(getattr(one, f.name) for f in dataclasses.fields(one))
    return True


# -- results without a worker -----------------------------------------------------------------------------------


def _over_size(upload: Upload) -> int | None:
    """Return the limit that `upload` breaks, None if it may be read."""
    limit = ZIP_SIZE_MAX_BYTES if is_zip(upload.data) else XML_SIZE_MAX_BYTES
    return limit if len(upload.data) > limit else None


def _refused(upload: Upload, rule: str, message: str, shown: dict[str, str]) -> ReadResult:
    issue = Issue(rule=rule, severity="error", field="file", message=message, values=tuple(sorted(shown.items())))
    return ReadResult(
        items=(),
        issues=(issue,),
        kind=upload.kind or "",
        profile="",
        source_hash=hashlib.sha256(upload.data).digest(),
    )


def _too_large(upload: Upload, limit: int) -> ReadResult:
    return _refused(upload, "S57", "too_large", {"size": str(len(upload.data)), "limit": str(limit)})


def _stopped(upload: Upload, failed: WorkerFailed) -> ReadResult:
    return _refused(upload, "S57", "reader_stopped", {"limit": failed.limit, "reason": failed.reason})
