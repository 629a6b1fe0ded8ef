"""Programs and arguments by the million: none may end in anything but a result, a refusal or an abort (K list, L66).

    python -m tests.language.fuzz FILE [--programs 1000000] [--first 0]

A number names a case, as long as the programs that are changed stay: it chooses the kind, and is the seed. `FILE` is the
progress, one JSON object, written every thousand cases; a run that was stopped goes on where it stands. A finding is a
case that raises anything else, whose error is too long or stands nowhere, or in which the two ways of running differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from contracts.errors import SourceError
from contracts.host import Outcome
from contracts.runtime import Program, load, program
from contracts.syntax.parse import parse
from tests.language.calls import random_calls
from tests.language.generator import REFUSALS, make
from tests.language.hosts import ACME, CURRENCIES, GAS, DictHost, signer

HERE: Final = Path(__file__).parent
KINDS: Final = ("typed", "tokens", "tokens", "tokens", "bytes", "bytes", "bytes", "noise", "noise", "arguments")
"""What each of ten numbers in a row is: one grammar-generated program, changed programs, and values at the door."""
TYPED_CALLS: Final = 4
CHANGED_CALLS: Final = 3
ERROR_CHARACTERS: Final = 200
EVERY: Final = 1_000
"""Cases between two writes of the progress file."""
PIECE: Final = re.compile(r"[A-Za-z_]\w*|\d[\d_.]*%?|\"[^\"\n]*\"|\n *|[<>=!]=|->|\S| ")
DOOR: Final = b"""contract door version 1
record Pair: n: int, m: money
enum Shade: light, dark
query plain(n: int, t: text(6), b: bool, d: date, c: currency) -> int:
    return n
query deep(l: list(Pair, 3), o: list(int, 2)?, s: Shade, p: party, r: rate(4)) -> int:
    return count(l)
"""
"""What arguments are given to."""


class Case(NamedTuple):
    """`end`: accepted, the code of the refusal, or what became of a call. `digest`: everything the case gave."""

    kind: str
    end: str
    calls: int
    aborts: int
    digest: bytes


class Finding(Exception):
    """A case that ends as none may."""


def corpus() -> list[bytes]:
    """Return the sources that are changed: refused ones, which are small, as many random ones, the test programs."""
    chunks = re.split(r"^### [^\n]*\n", (HERE / "refused.txt").read_text(encoding="ascii"), flags=re.M)[1:]
    head = "contract c version 1\n"
    small = [(chunk if chunk.startswith("contract") else head + chunk).encode() for chunk in chunks]
    whole = [path.read_bytes() for path in sorted((HERE / "programs").glob("*.contract"))]
    # tests are parsed alike everywhere, so a program is cut before its first one
    made = [make(10**9 + number) for number in range(len(small))]
    return [*small, *made, *[source.partition(b"\ntest ")[0] + b"\n" for source in whole]]


CORPUS: Final = corpus()
SPARE: Final = [piece for source in CORPUS for piece in PIECE.findall(source.decode())]
"""Tokens to put in, as often as programs use them."""


def changed_tokens(rng: random.Random) -> bytes:
    """Return a program with up to three tokens left out, doubled, exchanged or put in."""
    pieces = PIECE.findall(rng.choice(CORPUS).decode())
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(pieces))
        match rng.randrange(4):
            case 0:
                pieces[at] = ""
            case 1:
                pieces[at] += pieces[at]
            case 2:
                other = rng.randrange(len(pieces))
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case _:
                pieces[at] = rng.choice(SPARE)
    return "".join(pieces).encode()


def changed_bytes(rng: random.Random, sources: Sequence[bytes] = CORPUS) -> bytes:
    """Return one of `sources` with some bytes flipped, cut out, put in, or copied from another one."""
    data = bytearray(rng.choice(sources))
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + rng.randrange(1, 30)]
            case 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 6))
            case _:
                other = rng.choice(sources)
                start = rng.randrange(len(other))
                data[at:at] = other[start : start + rng.randrange(1, 60)]
    return bytes(data)


def noise(rng: random.Random) -> bytes:
    """Return bytes, or tokens in any order after a first line that is right."""
    if rng.random() < 0.5:
        return rng.randbytes(rng.randrange(200))
    return b"contract c version 1\n" + " ".join(rng.choices(SPARE, k=rng.randrange(1, 60))).encode()


def value(rng: random.Random, depth: int = 0) -> Any:
    """Return something that the codec of the ledger could hand to a program."""
    match rng.randrange(8 if depth < 4 else 6):
        case 0:
            return rng.choice([0, 1, -1, 2**63 - 1, -(2**63), 2**64 - 1, rng.randrange(1_000)])
        case 1:
            return rng.random() < 0.5
        case 2:
            return rng.choice(["", "EUR", "light", "2026-02-30", "2026-02-28", ACME, "\u202e", "x" * 7, "\x00", "{n}"])
        case 3:
            return None
        case 4:
            return rng.randbytes(rng.randrange(5))
        case 5:
            return ("EUR", rng.randrange(500))
        case _:
            return tuple(value(rng, depth + 1) for _ in range(rng.randrange(6)))


@lru_cache(maxsize=1)
def _door() -> Program:
    return program([("door", DOOR)], CURRENCIES)


def arguments(rng: random.Random) -> Case:
    """Give a query values that mostly are none of its own; nothing is read before they are refused (L12)."""
    right = (("plain", (1, "abc", True, "2026-02-28", "EUR")), ("deep", ((), None, "light", ACME, 5)))
    method, given = rng.choice(right)
    args = tuple(value(rng) if rng.random() < 0.2 else arg for arg in given)
    if rng.random() < 0.1:
        args = tuple(value(rng) for _ in range(rng.randrange(8)))
    outcome = give(method, args)
    end = "ran" if outcome.abort is None else "bad_argument"
    return Case("arguments", end, 1, int(end != "ran"), repr(outcome).encode())


def give(method: str, args: tuple[Any, ...]) -> Outcome:
    """Call a query of `DOOR`; raise `Finding` when wrong arguments end otherwise, cost gas or reach the host."""
    host = DictHost({}, [(signer(ACME, "preparer"), "preparer")])
    outcome = _door().query("door", method, args, host, GAS)
    if outcome.abort is not None and (outcome.abort.code != "bad_argument" or outcome.gas_used or host.used):
        raise Finding(f"{method}{args}: {outcome.abort}, {outcome.gas_used} units, {host.used}")
    return outcome


def case(number: int) -> Case:
    """Make and run one case; raise `Finding`, or whatever escaped."""
    kind = KINDS[number % len(KINDS)]
    rng = random.Random(f"{kind} {number}")  # a text seeds alike under every hash seed
    match kind:
        case "arguments":
            return arguments(rng)
        case "typed":
            source, calls = make(number), TYPED_CALLS
        case "tokens":
            source, calls = changed_tokens(rng), CHANGED_CALLS
        case "bytes":
            source, calls = changed_bytes(rng), CHANGED_CALLS
        case _:
            source, calls = noise(rng), CHANGED_CALLS
    name = ""
    try:
        file = parse(source)
        name = str(getattr(file, "name", ""))
        load(source, {}, CURRENCIES)
    except SourceError as error:
        if len(error.text) > ERROR_CHARACTERS or error.line < 1 or error.column < 1:
            raise Finding(f"an error that is too long or stands nowhere: {error}") from None
        if kind == "typed" and error.code not in REFUSALS:
            raise Finding(f"a typed program is refused: {error}") from None
        return Case(kind, error.code, 0, 0, str(error).encode())
    outcomes = hashlib.blake2b(digest_size=16)
    methods = program([(name, source)], CURRENCIES).interfaces[name]
    if not methods.actions and not methods.queries:
        return Case(kind, "accepted", 0, 0, b"")
    try:
        fine, aborts = random_calls(
            [(name, source)], number, calls, seen=lambda outcome: outcomes.update(repr(outcome).encode())
        )
    except AssertionError as error:
        raise Finding(f"the two ways of running differ: {error}") from None
    return Case(kind, "accepted", fine + aborts, aborts, outcomes.digest())


def digest(numbers: Iterable[int]) -> str:
    """Return one digest of everything that some cases gave."""
    found = hashlib.blake2b(digest_size=16)
    for number in numbers:
        one = case(number)
        found.update(f"{number} {one.kind} {one.end} ".encode() + one.digest)
    return found.hexdigest()


def run(progress: Path, programs: int, first: int) -> dict[str, Any]:
    """Run cases up to `programs`, from where the progress file stands; return and keep the figures."""
    done: dict[str, Any] = {"first": first, "next": first, "seconds": 0.0, "ends": {}, "calls": 0, "aborts": 0}
    done["findings"] = []
    if progress.exists():
        done = json.loads(progress.read_text(encoding="utf-8"))
    ends = Counter(done["ends"])
    began, before = time.process_time(), float(done["seconds"])
    for number in range(int(done["next"]), first + programs):
        try:
            one = case(number)
            ends[f"{one.kind} {'accepted' if one.end in ('accepted', 'ran') else 'refused'}"] += 1
            done["calls"] += one.calls
            done["aborts"] += one.aborts
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # any other end is what is looked for
            done["findings"].append([number, KINDS[number % len(KINDS)], f"{type(error).__name__}: {error}"[:500]])
        if (number + 1) % EVERY == 0 or number + 1 == first + programs:
            done.update(next=number + 1, ends=dict(sorted(ends.items())))
            done["seconds"] = round(before + time.process_time() - began, 1)
            part = progress.with_suffix(".part")
            part.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
            os.replace(part, progress)
    return done


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Fuzz the contract language.")
    parser.add_argument("progress", type=Path, help="JSON file with the figures; an existing one is continued")
    parser.add_argument("--programs", type=int, default=1_000_000, help="how many cases (default 1000000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case (default 0)")
    options = parser.parse_args(given)
    done = run(options.progress, options.programs, options.first)
    print(json.dumps(done, indent=1))
    return 1 if done["findings"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
