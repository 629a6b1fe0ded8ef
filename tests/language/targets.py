"""Fuzz targets for the scanner, the parser and the reading of arguments: bytes in, nothing but a refusal out.

    python -m tests.language.targets scan|parse|arguments [--runs 20000]

drives a target by seeds over the inputs of tests/language/fuzz.py, as the tests do; tests/language/guided.py drives the
same targets by coverage, with `atheris`.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Final

import msgspec

from contracts.errors import SourceError
from contracts.syntax.parse import parse
from contracts.syntax.scan import scan
from tests.language.fuzz import CORPUS, Finding, changed_bytes, give, noise

Target = Callable[[bytes], None]


def scanned(data: bytes) -> None:
    """Scan any bytes; tokens stand in order of lines and columns."""
    try:
        tokens = scan(data)
    except SourceError:
        return
    places = [(token.line, token.column) for token in tokens]
    if places != sorted(places):
        raise Finding("tokens are out of order")


def parsed(data: bytes) -> None:
    """Parse any bytes, twice alike."""
    try:
        first = parse(data)
    except SourceError:
        return
    if parse(data) != first:
        raise Finding("one source has two trees")


def read(data: bytes) -> None:
    """Read any MessagePack as the arguments of two queries."""
    try:
        args = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return  # the codec of the ledger refuses these before a program is asked
    for method in ("plain", "deep"):
        give(method, tuple(args) if isinstance(args, list) else (args,))


TARGETS: Final[dict[str, Target]] = {"scan": scanned, "parse": parsed, "arguments": read}
ARGUMENTS: Final = [
    msgspec.msgpack.encode(args)
    for args in (
        [1, "abc", True, "2026-02-28", "EUR"],
        [[[1, ["EUR", 5]]], None, "light", "company-a", 5],
        [[], [1], "dark"],
    )
]


def inputs(name: str) -> list[bytes]:
    """Return what a target begins with."""
    return ARGUMENTS if name == "arguments" else CORPUS


def drive(name: str, runs: int) -> int:
    """Run a target over its inputs and over `runs` changed ones; return how many inputs it got."""
    target, given = TARGETS[name], inputs(name)
    for data in given:
        target(data)
    for number in range(runs):
        rng = random.Random(f"{name} {number}")  # a text seeds alike under every hash seed
        target(noise(rng) if rng.random() < 0.1 else changed_bytes(rng, given))
    return len(given) + runs


def main(given: list[str]) -> int:
    if not given or given[0] not in TARGETS:
        print(f"usage: python -m tests.language.targets {'|'.join(TARGETS)} [--runs 20000]", file=sys.stderr)
        return 2
    runs = int(given[given.index("--runs") + 1]) if "--runs" in given else 20_000
    print(f"{drive(given[0], runs)} inputs, no finding")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
