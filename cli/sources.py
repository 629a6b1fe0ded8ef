"""Contract files on disk and the contracts they use, in the order in which they compile (L45).

A used contract is looked for among the files that were named, then beside the file, then in the shipped library. The
version that another replaces is looked for in the same places, by its name and number (L61).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cli import place
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.phrases import advice, sentence

if TYPE_CHECKING:
    from contracts.interface import Interface
    from contracts.runtime import Code

SUFFIX: Final = ".contract"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The first thing wrong with a source, with the line that is meant."""

    file: str
    code: str
    line: int
    column: int
    text: str
    source_line: str

    def words(self) -> str:
        """Return the message as compilers print it."""
        where = f"{self.file}:{self.line}:{self.column}: {self.code}: {sentence(self.text)}"
        shown = f"{where}\n    {self.source_line}\n    {' ' * (self.column - 1)}^" if self.source_line else where
        step = advice(self.code)
        return f"{shown}\n    {step}" if step else shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The first lines of a file. `kind`: contract or tests; `replaces`: the version before, 0 for none."""

    kind: str
    name: str
    uses: tuple[str, ...]
    version: int
    replaces: int


class SourceRefused(Exception):
    """A source that does not compile."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.words())
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A file to work on: its text, and the sources it uses, each after what it uses itself."""

    path: Path
    name: str
    source: bytes
    is_tests: bool
    used: tuple[tuple[str, str, bytes], ...]
    """(name, file, source); a name that comes again is a version that replaces the one before."""

    @property
    def sources(self) -> tuple[tuple[str, bytes], ...]:
        """Return (name, source) of what is used, as the language takes it."""
        return tuple((name, source) for name, _, source in self.used)


def read_unit(path: Path, others: Sequence[Path] = ()) -> Unit:
    """Return a contract or test file with everything it uses; raise `SourceRefused` for what does not parse.

    A file of `others` that does not parse is nobody's: what is wrong with it is said when its turn comes.
    """
    named: dict[str, Path] = {}
    versions: dict[str, int] = {}
    source = place.read_bytes(path, "contract")
    own = read_head(path, source)
    for other in others:
        if other != path:
            try:
                head = read_head(other, place.read_bytes(other, "contract"))
            except SourceRefused:
                continue
            if head.kind == "contract" and (head.name not in named or head.version > versions[head.name]):
                named[head.name], versions[head.name] = other, head.version
    used: dict[str, tuple[str, bytes]] = {}
    wanted = (own.name,) if own.kind == "tests" else own.uses
    for item in wanted:
        _gather(item, path, named, used, (own.name,) if own.kind == "contract" else ())
    parts: list[tuple[str, str, bytes]] = []
    for item, (file, text) in used.items():
        parts += _chain(Path(file), text, others)
        parts.append((item, file, text))
    if own.kind == "contract":
        parts += _chain(path, source, others)
    return Unit(path=path, name=own.name, source=source, is_tests=own.kind == "tests", used=tuple(parts))


def compile_unit(unit: Unit, currencies: Mapping[str, int]) -> tuple[Code, dict[str, Interface]]:
    """Return the compiled contract (of a test file: the tested one) and all interfaces; raise `SourceRefused`."""
    from contracts.errors import SourceError
    from contracts.runtime import load, replace_version

    codes: dict[str, Code] = {}
    parts = [*unit.used] if unit.is_tests else [*unit.used, (unit.name, str(unit.path), unit.source)]
    for name, file, source in parts:
        try:
            if name in codes:
                codes = replace_version(codes, source)
            else:
                codes[name] = load(source, {earlier: code.interface for earlier, code in codes.items()}, currencies)
        except SourceError as error:
            raise refused(file, source, error) from None
    return codes[unit.name], {name: code.interface for name, code in codes.items()}


def refused(file: str, source: bytes, error: object) -> SourceRefused:
    """Return what a `SourceError` means for a person."""
    code, line, column = (getattr(error, name) for name in ("code", "line", "column"))
    lines = source.decode("utf-8", "replace").splitlines()
    shown = lines[line - 1] if 1 <= line <= len(lines) else ""
    return SourceRefused(
        Problem(
            file=file, code=code, line=line, column=column, text=str(getattr(error, "text", error)), source_line=shown
        )
    )


def _gather(
    name: str, near: Path, named: Mapping[str, Path], used: dict[str, tuple[str, bytes]], path: tuple[str, ...]
) -> None:
    if name in used:
        return
    if name in path:
        raise CommandFailed(
            Exit.REJECTED, f"contracts use each other in a circle: {' -> '.join((*path, name))}", "break the circle"
        )
    where, source = _find(name, near, named)
    for item in read_head(where, source).uses:
        _gather(item, where, named, used, (*path, name))
    used[name] = (str(where), source)


def _find(name: str, near: Path, named: Mapping[str, Path]) -> tuple[Path, bytes]:
    from contracts.library import sources

    if name in named:
        return named[name], place.read_bytes(named[name], "contract")
    beside = near.with_name(name + SUFFIX)
    if beside.exists():
        return beside, place.read_bytes(beside, "contract")
    library = dict(sources())
    if name in library:
        return Path(f"library/{name}{SUFFIX}"), library[name]
    raise CommandFailed(
        Exit.NOT_FOUND,
        f"{near} needs the contract {name}, and it is neither named, nor beside it, nor in the library",
        f"put {name}{SUFFIX} beside it, or name its file too",
    )


def _chain(path: Path, source: bytes, others: Sequence[Path]) -> list[tuple[str, str, bytes]]:
    """Return the versions before a source, the first first, as (name, file, source)."""
    head = read_head(path, source)
    found: list[tuple[str, str, bytes]] = []
    while head.replaces:
        wanted = (head.name, head.replaces)
        candidates = [*others, *sorted(path.parent.glob("*" + SUFFIX))]
        earlier = next((file for file in candidates if file != path and _is_version(file, wanted)), None)
        if earlier is None:
            raise CommandFailed(
                Exit.NOT_FOUND,
                f"{path} replaces version {head.replaces} of {head.name}, and no file named or beside it holds that",
                f"name the file of version {head.replaces} too",
            )
        text = place.read_bytes(earlier, "contract")
        found.insert(0, (head.name, str(earlier), text))
        head = read_head(earlier, text)
    return found


def _is_version(file: Path, wanted: tuple[str, int]) -> bool:
    """Tell whether a file holds a contract of this name and version; a file that does not parse does not."""
    try:
        head = read_head(file, place.read_bytes(file, "contract"))
    except SourceRefused:
        return False
    return (head.name, head.version) == wanted


def read_head(path: Path, source: bytes) -> Head:
    """Return what the first lines of a file say."""
    from contracts.errors import SourceError
    from contracts.syntax import tree
    from contracts.syntax.parse import parse

    try:
        file = parse(source)
    except SourceError as error:
        raise refused(str(path), source, error) from None
    if isinstance(file, tree.Contract):
        uses = tuple(use.name for use in file.uses)
        return Head(kind="contract", name=file.name, uses=uses, version=file.version, replaces=file.replaces)
    return Head(kind="tests", name=file.contract, uses=(), version=0, replaces=0)
