"""Contracts by vote: sources stored once, versions by height, and who is active when (L57-L63).

A version is active from a height on that is fixed when the vote is counted, so which contracts run in a block follows
from state and height alone: there is nothing to switch at that height, and an old block finds its old versions. Plans
become active in the order in which they were accepted, therefore the program that the engine examines at acceptance is
the one that runs at activation (L59).

Keys: `c` + name: the version accepted last. `c/version/` + name + `/` + number (u32): every version of a contract that
changed after genesis. `c/source/` + code id: a source. `c/stop/` + name: the contract is suspended.
The source of a founding contract stays at `c` + name + `/source`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, runtime_checkable

from ledger.codec import Codec, Wire
from ledger.errors import InvariantViolated
from ledger.genesis import ContractMeta, contract_key, contract_meta_codec, source_key
from ledger.registry.lookup import Getter
from ledger.state import Reader

VERSION_PREFIX: Final = b"c/version/"
SOURCE_PREFIX: Final = b"c/source/"
STOP_PREFIX: Final = b"c/stop/"
SOURCE_BYTES_MAX: Final = 64 * 1024
"""As in the language (contracts section 16)."""
CONTRACTS_MAX: Final = 256
"""Contracts of a network; all of them are compiled and linked together."""
INDEX_ROWS_PER_BLOCK: Final = 2_000
"""Rows of a new index that one block before its contract begins takes in: some 50 ms beside the transactions (L59)."""
INDEX_ROWS_MAX: Final = 100_000
"""Rows over which one plan builds new indexes: they are counted in the block that accepts it, in about 0.1 s."""
VERSIONS_MAX: Final = 1_024
"""Versions of one contract that can be looked through."""

_source_codec: Codec[bytes] = Codec(bytes, "contract source", SOURCE_BYTES_MAX + 8)


@dataclass(frozen=True, slots=True)
class ActiveContract:
    """A contract as it runs at a height; `older` are (active from, source) of the versions before, ascending."""

    meta: ContractMeta
    source: bytes
    older: tuple[tuple[int, bytes], ...]

    @property
    def lineage(self) -> Lineage:
        """What the engine needs to compile it (L61, L62)."""
        return Lineage(self.meta.name, (*self.older, (self.meta.active_from, self.source)))


class Stop(Wire, frozen=True):
    """A suspended contract (L60), since which height and by which proposal."""

    name: str
    height: int
    proposal_id: bytes


stop_codec: Codec[Stop] = Codec(Stop, "contract suspension", 1_024)


class Lineage(NamedTuple):
    """A contract with all its versions up to the one to run, which is the last: (active from, source), ascending.

    Versions of several contracts with one `active from` became active together.
    """

    name: str
    versions: tuple[tuple[int, bytes], ...]

    @property
    def source(self) -> bytes:
        return self.versions[-1][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What the engine says about one contract of a plan. `uses` in the order of the source; `worst_gas` of its
    dearest action. `indexed`: (low, high) of the rows of its tables that get an index their last version has not."""

    name: str
    version: int
    code_id: bytes
    ir_hash: bytes
    uses: tuple[str, ...]
    worst_gas: int
    indexed: tuple[tuple[bytes, bytes], ...] = ()


@runtime_checkable
class Examiner(Protocol):
    """The engine's judgement about contracts; a `Runtime` that has these two calls can install contracts by vote."""

    def examine(self, planned: Sequence[Lineage]) -> Mapping[str, Examined] | str:
        """Compile and link `planned` as one program; return what each contract is, or why they do not run (L44, L45).

        Sorted by name and complete: all contracts that would run. The engine also judges whether a source may replace
        the version before it (L61). Pure and total: a refusal is a text.
        """
        ...

    def uses(self, contract: str) -> tuple[str, ...]:
        """Return the names of the contracts that an active contract calls; empty for an unknown one."""
        ...


class Entries(Protocol):
    """The schedule entries of the block in which governance acts (L55)."""

    def is_parked(self, contract: str, schedule: str, key: bytes) -> bool:
        """Tell whether an abort parked this entry."""
        ...

    def rearm(self, contract: str, schedule: str, key: bytes) -> None:
        """Put a parked entry back into the queue, at the day of the block."""
        ...


def index_blocks(rows: int) -> int:
    """Return how many blocks between acceptance and beginning an index over so many rows takes."""
    return -(-rows // INDEX_ROWS_PER_BLOCK)


def version_key(name: str, version: int) -> bytes:
    return VERSION_PREFIX + name.encode() + b"/" + version.to_bytes(4, "big")


def code_key(code: bytes) -> bytes:
    return SOURCE_PREFIX + code


def stop_key(name: str) -> bytes:
    return STOP_PREFIX + name.encode()


def contract_names(reader: Reader) -> tuple[str, ...]:
    """Return the names of all contracts the ledger knows, active or planned, sorted."""
    keys = reader.scan(b"c0", b"d", 2 * CONTRACTS_MAX)
    return tuple(key[1:].decode() for key in keys if b"/" not in key)


def versions(reader: Reader, name: str) -> tuple[ContractMeta, ...]:
    """Return every version of a contract, ascending; empty for an unknown one. Old ones stay (L63)."""
    prefix = VERSION_PREFIX + name.encode() + b"/"
    found = [_meta(reader, key) for key in reader.scan(prefix, prefix[:-1] + b"0", VERSIONS_MAX)]
    if not found and reader.get(contract_key(name)) is not None:
        found = [_meta(reader, contract_key(name))]
    return tuple(found)


def contract_at(reader: Reader, name: str, height: int) -> ContractMeta | None:
    """Return the version of a contract that runs at `height`, or None if there is none yet."""
    latest = reader.get(contract_key(name))
    if latest is None:
        return None
    meta = contract_meta_codec.decode(latest)
    if meta.active_from <= height:
        return meta
    begun = [item for item in versions(reader, name) if item.active_from <= height]
    return begun[-1] if begun else None


def active_contracts(reader: Reader, height: int) -> tuple[ActiveContract, ...]:
    """Return the contracts that run in a block of `height`, sorted by name, also the suspended ones (L59, L63)."""
    found: list[ActiveContract] = []
    for name in contract_names(reader):
        begun = [meta for meta in versions(reader, name) if meta.active_from <= height]
        if begun:
            sources = [(meta.active_from, read_source(reader, meta)) for meta in begun]
            found.append(ActiveContract(begun[-1], sources[-1][1], tuple(sources[:-1])))
    return tuple(found)


def read_source(reader: Getter, meta: ContractMeta) -> bytes:
    """Return the source of this version; each is stored once, under its code id."""
    data = reader.get(code_key(meta.code_id)) or reader.get(source_key(meta.name))
    if data is None:
        raise InvariantViolated(f"the source of contract {meta.name} version {meta.version} is not in the state")
    return _source_codec.decode(data)


def stored_source(reader: Getter, code: bytes) -> bytes:
    """Return the source a plan names by its code id."""
    data = reader.get(code_key(code))
    if data is None:
        raise InvariantViolated(f"the source {code.hex()[:12]} of a plan is not in the state")
    return _source_codec.decode(data)


def is_stopped(reader: Getter, name: str) -> bool:
    """Tell whether the contract itself is suspended (L60)."""
    return reader.get(stop_key(name)) is not None


def stopped_by(reader: Getter, name: str, examiner: Examiner | None) -> str:
    """Return the suspended contract that keeps `name` from running: itself or one it uses, directly or not, or "".

    A call into a suspended contract would abort anyway; refusing it at the door needs no state of the program.
    """
    waiting, seen = [name], [name]
    while waiting:
        found = waiting.pop()
        if is_stopped(reader, found):
            return found
        for used in examiner.uses(found) if examiner is not None else ():
            if used not in seen:
                seen.append(used)
                waiting.append(used)
    return ""


def _meta(reader: Getter, key: bytes) -> ContractMeta:
    data = reader.get(key)
    if data is None:
        raise InvariantViolated(f"the contract record {key!r} vanished under a scan")
    return contract_meta_codec.decode(data)
