"""Programs that are refused (refused.txt, refused_beside.txt) and programs that are just accepted (accepted.txt).

    python -m tests.language.refusals

writes anew what tests compare: refused_words.txt, the words of each refusal, which the author of a contract sees, and
accepted_figures.txt, the IR and the worst cases of each accepted program, and changes.txt, what a version that replaces
another changes. Read the difference before it is kept.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from string import ascii_lowercase

from contracts.errors import SourceError
from contracts.interface import Interface
from contracts.resolve import resolve
from contracts.runtime import Code, load, older_of, program
from contracts.syntax.parse import parse
from contracts.syntax.tree import Contract
from contracts.upgrade import differences
from tests.language.hosts import ACME, CURRENCIES, GAS, DictHost, signer

HERE = Path(__file__).parent
WORDS = HERE / "refused_words.txt"
FIGURES = HERE / "accepted_figures.txt"
CHANGES = HERE / "changes.txt"

HEAD = """contract c version 1
enum Phase: open, closed
table Tab key id: text(8):
    n: int, m: money, p: party, on: date, flag: bool, phase: Phase
    index (p, n)
event Done: n: int
"""


BASE = """contract base version 1
table Thing key id: int:
    n: int
query thing(id: int) -> Thing:
    return Thing[id]
"""
"""What `other` uses: a contract that the chunks do not."""

OTHER = """contract other version 2
uses base@1
enum Kind: one, two
record Pair: a: int, b: text(8)
table Lot key id: text(8):
    pair: Pair, n: int, on: date, p: party, kind: Kind, r: rate(4), l: list(text(4), 3)
    index (p, n)
    index (n)
query count_of(id: text(8)) -> int:
    return Lot[id].n
query kind_of(id: text(8)) -> Kind:
    return Lot[id].kind
query pair_of(id: text(8)) -> Pair:
    return Lot[id].pair
query sum_of(a: int, b: int) -> int:
    return a - b
query thing_of(id: int) -> base.Thing:
    return base.thing(id)
query taken(t: text(90), u: text(9), v: text(9), w: text(9), m: money, l: list(int, 9), n: int) -> int:
    return n
action opened(n: int) -> int by contract:
    return n
action listed(n: int) by contract c, d:
    pass
action closed(n: int) by contract d:
    pass
action by_person() by anyone:
    pass
"""
"""What a chunk may use, or replace: a contract with every kind of declaration."""

BESIDE = HEAD.replace("version 1\n", "version 1\nuses other@2\n")
"""The lines before chunks of refused_beside.txt."""


def _chunks(name: str) -> list[tuple[str, str]]:
    """Return (header, body) of each chunk of a file."""
    parts = re.split(r"^### ", (HERE / name).read_text(encoding="ascii"), flags=re.M)[1:]
    return [(header, body) for header, _, body in (part.partition("\n") for part in parts)]


def _refused(name: str, head: str) -> list[tuple[str, str, str]]:
    """Return (code and place, title, source) of each chunk of a file of refused programs."""
    found = []
    for header, body in _chunks(name):
        wanted, place, *title = header.split(" ")
        source = head + body if wanted.startswith("+") else body
        found.append((f"{wanted.lstrip('+')} {place}", " ".join(title), source))
    return found


def _accepted() -> dict[str, str]:
    """Return title -> source of each chunk of accepted.txt."""
    heads = {"+": HEAD, "&": BESIDE, "=": ""}
    return {header[2:]: heads[header[0]] + body for header, body in _chunks("accepted.txt")}


CHUNKS = [*_refused("refused.txt", HEAD), *_refused("refused_beside.txt", BESIDE)]


@cache
def other() -> Code:
    """Return `OTHER`, compiled."""
    base = load(BASE.encode("ascii"), {}, CURRENCIES).interface
    return load(OTHER.encode("ascii"), {"base": base}, CURRENCIES)


def compiled(source: str) -> Code:
    """Compile a chunk: it may use `other`, or be the version that replaces it; raise `SourceError`."""
    return load(source.encode("ascii"), {"other": other().interface}, CURRENCIES, other())


def _made() -> dict[str, str]:
    """Return title -> source of programs that are long because a bound is large; the second of each pair is refused."""
    names = [*ascii_lowercase, *(first + second for first in "abcdefgh" for second in "qrtuvwxz")]
    found = {}
    for count in (64, 65):
        found[f"{count} fields"] = "table Own key id: int:\n" + "".join(
            f"    {name}: bool\n" for name in names[1:count]
        )
        found[f"{count} values of an enum"] = f"enum Kind: {','.join(names[:count])}\n"
    for count in (65, 66):
        calls = [f"function {a}() -> int:\n    return {b}()\n" for a, b in pairwise(names[:count])]
        found[f"a chain of {count} routines"] = (
            "".join(calls) + f"function {names[count - 1]}() -> int:\n    return 1\n"
        )
    for count in (1, 2):
        wide = f"a: list(text(4096), 3), b: text(4090), c: list(bool, {count})"
        found[f"an event of {65535 + count} bytes"] = f"event Wide: {wide}\n"
    for count in (2, 3):
        flags = ", ".join(f"{name}: bool" for name in names[1 : 1 + count])
        found[f"a record of {16382 + count} bytes"] = f"record Rec: a: text(4094), {flags}\n"
    return {title: HEAD + source for title, source in found.items()}


ACCEPTED = {**_accepted(), **_made()}


def outcome(source: str) -> str:
    """Return what becomes of a program: hash of its IR and digest of its worst cases, or its refusal."""
    try:
        return figures(compiled(source))
    except SourceError as error:
        return str(error)


def figures(code: Code) -> str:
    """Return the hash of the IR and a digest of the worst cases."""
    interface = code.interface
    rows = [
        (name, item.worst_gas, item.cost, item.levels)
        for found in (interface.actions, interface.queries, interface.schedules)
        for name, item in found.items()
    ]
    worst = hashlib.sha256(repr((rows, sorted(interface.row_checks.items()))).encode()).hexdigest()
    return f"ir {interface.ir_hash.hex()[:16]} worst {worst[:16]}"


def changes(source: str) -> str:
    """Return what a version that replaces `other` changes, allowed or not (L61); "" for another program."""
    try:
        tree = parse(source.encode("ascii"))
        assert isinstance(tree, Contract)
        if tree.name != "other":
            return ""
        found = resolve(tree, {}, CURRENCIES)
    except SourceError:
        return ""
    return "; ".join(
        f"{'' if item.allowed else '! '}{item.kind} {item.name} {item.text}"
        for item in differences("other", older_of(other()), found)
    )


def pinned_changes() -> list[str]:
    """Return one line for each version that replaces `other`."""
    programs = [*((title, source) for _, title, source in CHUNKS), *ACCEPTED.items()]
    return [f"{title}: {found}" for title, source in programs if (found := changes(source))]


def pinned_words() -> list[str]:
    """Return one line for each refused program: code, place, title and the words of its refusal."""
    return [
        f"{wanted} {title}: {outcome(source).partition(': ')[2].partition(': ')[2]}" for wanted, title, source in CHUNKS
    ]


def used_gas() -> str:
    """Return the gas of calls that pass texts of growing length to another contract."""
    source = ACCEPTED["G6 what a call of another contract pays for its arguments"]
    group = [("base", BASE), ("other", OTHER), ("c", source)]
    linked = program([(name, text.encode("ascii")) for name, text in group], CURRENCIES)
    host = DictHost({}, [(signer(ACME, "a"), "preparer")])
    calls = [linked.execute("c", "go", ("x" * size, ("EUR", 1), (1, 2), 3), host, GAS) for size in range(9)]
    return " ".join(str(call.gas_used) for call in calls)


def used_chain() -> str:
    """Return what becomes of the last of nine contracts that use each other in a row, and of the one before it."""
    used: dict[str, Interface] = {}
    found = []
    for number in range(9):
        uses = f"uses c{number - 1}@1\n" if number else ""
        source = f"contract c{number} version 1\n{uses}query q() -> int:\n    return 1\n"
        try:
            code = load(source.encode("ascii"), used, CURRENCIES)
            used = {code.name: code.interface}
            found.append(figures(code))
        except SourceError as error:
            found.append(str(error))
    return " | ".join(found[-2:])


def dropped_use() -> str:
    """Return what becomes of a version that no longer uses the contract whose records the one before it knew."""
    rest = "query q() -> int:\n    return 1\n"
    first = compiled(f"contract c version 1\nuses other@2\n{rest}")
    return figures(load(f"contract c version 2 replaces 1\n{rest}".encode("ascii"), {}, CURRENCIES, first))


LINKED = {"gas of calls": used_gas, "a chain of contracts": used_chain, "a use that is dropped": dropped_use}
"""What more than one contract is needed for: title -> what gives the line to pin."""


def pinned_figures() -> list[str]:
    """Return one line for each accepted program, and those of `LINKED`."""
    return [
        *(f"{title}: {outcome(source)}" for title, source in ACCEPTED.items()),
        *(f"{title}: {found()}" for title, found in LINKED.items()),
    ]


if __name__ == "__main__":
    WORDS.write_text("\n".join(pinned_words()) + "\n", encoding="utf-8")
    FIGURES.write_text("\n".join(pinned_figures()) + "\n", encoding="utf-8")
    CHANGES.write_text("\n".join(pinned_changes()) + "\n", encoding="utf-8")
