"""What a long search has done, so that it can be run in pieces: a file with one line a job.

A search of hours is stopped and taken up again, on a small machine every night. The first line says of which search and
of which code the record is; a record of another one is refused, because the pieces would not add up to a whole. Each
other line is one job that ended. A job that was cut off has left no line, or half of one, and is run again.
"""

from __future__ import annotations

import importlib
from hashlib import sha256
from pathlib import Path
from typing import IO, Final

import msgspec

from simulator.errors import InvalidScenario

SCHEMA: Final = "hansa.systematic-record/1"
CODE: Final = ("consensus", "contracts", "finance", "ledger", "node", "simulator")
"""The packages that decide what a history is."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which search a record is of; `code` is the digest of the sources."""

    kind: str
    views: int
    first: int
    most: int
    every: int
    code: str
    schema: str = SCHEMA


class Done(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job that ended: `failed` holds the name of each case that broke something, and what."""

    job: str
    runs: int
    heights: int
    events: int
    failed: tuple[tuple[str, str], ...] = ()


class Record:
    """The record of `plan` in the file `path`, which may not be there yet.

    Raises `InvalidScenario` for the record of another search, and for a file that is none.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self.done: dict[str, Done] = {}
        """By the name of the job."""
        whole, half = _lines(path)
        if whole:
            self._read(path, plan, whole)
        elif not _line(plan).startswith(half):
            raise _not_a_record(path, "no whole line")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("ab")
        self._file.truncate(sum(map(len, whole)))  # the half line of a search that was cut off goes
        if not whole:
            self._write(plan)

    def add(self, done: Done) -> None:
        """Note a job that ended; it is in the file when this returns."""
        self.done[done.job] = done
        self._write(done)

    def close(self) -> None:
        self._file.close()

    def _read(self, path: Path, plan: Plan, lines: list[bytes]) -> None:
        try:
            known = msgspec.json.decode(lines[0], type=Plan)
            for line in lines[1:]:
                done = msgspec.json.decode(line, type=Done)
                self.done[done.job] = done
        except msgspec.DecodeError as error:
            raise _not_a_record(path, str(error)) from None
        for name in plan.__struct_fields__:
            there, here = getattr(known, name), getattr(plan, name)
            if there != here:
                raise InvalidScenario(
                    "resume",
                    f"{path} is of another search: {name} is {there!r} there and {here!r} here: name another file",
                )

    def _write(self, line: Plan | Done) -> None:
        self._file.write(_line(line))
        self._file.flush()


def code_digest() -> str:
    """Return the digest of all sources that a history depends on, in hex; the same tree gives the same."""
    digest = sha256()
    for package in CODE:
        folder = Path(next(iter(importlib.import_module(package).__path__)))
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{package}/{path.relative_to(folder).as_posix()}\n".encode())
                digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _line(line: Plan | Done) -> bytes:
    return msgspec.json.encode(line) + b"\n"


def _lines(path: Path) -> tuple[list[bytes], bytes]:
    """Return the whole lines of a file, and what stands behind the last one."""
    if not path.exists():
        return [], b""
    *whole, half = path.read_bytes().split(b"\n")
    return [line + b"\n" for line in whole], half


def _not_a_record(path: Path, why: str) -> InvalidScenario:
    return InvalidScenario("resume", f"{path} is no record of a search ({why}): name another file")
