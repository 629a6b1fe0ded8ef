"""The consensus journal: the guard against signing twice (consensus P90-P97). Door: `Journal.open`.

An LMDB environment of its own, with two databases written in the same transaction
    log     8-byte big-endian lsn -> [lsn, hash of the entry before, record]; lsn 0 holds the head
    bodies  block id -> the payload of that block, one sealed value (performance E30)

Rules
    * `append` is one durable transaction; when it returns, everything in it survives a power failure. One call a
      turn (E28). An error leaves the outcome unknown: `JournalFailed`, the journal refuses every further call, and
      the process must end (P91).
    * Each entry names the hash of the one before, and the head names the last one, so a gap, a changed entry and a
      lost tail are seen. The chain begins at an `Anchor` (P92). A journal that was set back as a whole cannot be
      seen from here; the echo of other members shows it (P98).
    * The journal is created by an explicit act together with the consensus key; both carry `journal_id`. A missing,
      damaged or foreign journal never stops the node: it follows without voting (P94, P97).
    * `prune` is carried out with the next `append`; a crash in between only leaves more than needed.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

import lmdb

from consensus.events import Lsn
from consensus.records import Anchor, Record
from ledger.codec import Codec, Wire, encode
from ledger.crypto.hashing import H, Tag
from ledger.errors import InvariantViolated, LedgerError
from ledger.ids import HASH_BYTES, ZERO_HASH
from node.core.events import JournalBody
from node.store.environment import DATA_FILE, open_environment
from node.store.errors import JournalFailed, SealBroken, StoreError, cause_of, next_step, words_of
from node.store.places import make_directory, sync_directory
from node.store.sealed import Sealer

NAMESPACE: Final = "journal"
MAP_BYTES: Final = 512 * 1024 * 1024
"""Fixed (P91). The content is tens of MiB; what grows to this size is a bug and stops the node."""
JOURNAL_ID_BYTES: Final = 16
RECORD_LIMIT_BYTES: Final = 16 * 1024 * 1024
BODY_LIMIT_BYTES: Final = 8 * 1024 * 1024

_HEAD_KEY: Final = bytes(8)


class LogEntry(Wire, frozen=True):
    """One value of `log`. `previous` is the link hash of the entry before it; the record is kept as bytes."""

    lsn: int
    previous: bytes
    record: bytes


class LogHead(Wire, frozen=True):
    """What the log must end with. `last_lsn` 0 is a journal in which nothing was ever written."""

    journal_id: bytes
    last_lsn: int
    last_link: bytes


class BodyRow(Wire, frozen=True):
    height: int
    block_id: bytes
    header: bytes
    envelopes: tuple[bytes, ...]


_entry_codec: Final[Codec[LogEntry]] = Codec(LogEntry, "journal entry", RECORD_LIMIT_BYTES + 128)
_head_codec: Final[Codec[LogHead]] = Codec(LogHead, "journal head", 256)
_record_codec: Final[Codec[Record]] = Codec(Record, "journal record", RECORD_LIMIT_BYTES)
_body_codec: Final[Codec[BodyRow]] = Codec(BodyRow, "journal body", BODY_LIMIT_BYTES)


class JournalVerdict(Enum):
    """What a journal is good for. Only with `OURS` may the node vote."""

    OURS = "ours"
    FOREIGN = "foreign"
    """Sound, but not the one that was made with this consensus key (P94)."""
    MISSING = "missing"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalImage:
    """Content of a journal at start. `problem` says in words why the node does not vote, or is empty."""

    verdict: JournalVerdict
    problem: str
    records: tuple[tuple[Lsn, Record], ...]
    bodies: tuple[JournalBody, ...]

    @property
    def voting(self) -> bool:
        """Tell whether the guard is whole; other reasons not to vote are decided elsewhere."""
        return self.verdict is JournalVerdict.OURS


class _Damaged(Exception):
    """Why the content of a journal cannot be trusted."""


def link_of(entry: bytes) -> bytes:
    """Return the hash by which the next entry names this one (P92)."""
    return H(Tag.JOURNAL_LINK, entry)


class Journal:
    """An open journal. Not safe for use by two threads at once; the driver writes once a turn."""

    def __init__(self, path: Path, environment: Any, keys: Mapping[int, bytes], journal_id: bytes) -> None:
        """Use `create` or `open`; this only ties the parts together."""
        self.path = path
        self.journal_id = journal_id
        self._environment = environment
        self._log_seal = Sealer(NAMESPACE, "log", keys)
        self._body_seal = Sealer(NAMESPACE, "bodies", keys)
        self._log = environment.open_db(b"log")
        self._bodies = environment.open_db(b"bodies")
        self._last_lsn = 0
        self._last_link = ZERO_HASH
        self._held: dict[bytes, tuple[int, int]] = {}
        """Height of every body, and the lsn that it was written with last; 0 if that was before this process."""
        self._prune: tuple[int, int, frozenset[bytes]] | None = None
        self._first_lsn = 0
        self._failed = False

    # -- construction ------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path, keys: Mapping[int, bytes], journal_id: bytes) -> Journal:
        """Make an empty journal; an explicit act of the operator, together with the consensus key (P94)."""
        if len(journal_id) != JOURNAL_ID_BYTES:
            raise ValueError(f"a journal id has {JOURNAL_ID_BYTES} bytes, not {len(journal_id)}")
        if (path / DATA_FILE).exists():
            raise StoreError(f"{path} already holds a journal; a journal is never replaced in place (P97)")
        make_directory(path)
        journal = cls(path, _open_environment(path), keys, journal_id)
        journal._write_head()
        sync_directory(path)
        sync_directory(path.parent)
        return journal

    @classmethod
    def open(cls, path: Path, keys: Mapping[int, bytes], journal_id: bytes) -> tuple[Journal, JournalImage]:
        """Open the journal that belongs to the consensus key with `journal_id`, and read it.

        A damaged journal is moved aside and a missing one replaced by an empty journal under another id, which can
        never vote; the image says why. Raises `JournalFailed` only when the disk itself refuses.
        """
        if not (path / DATA_FILE).exists():
            problem = "the journal is missing, but the consensus key was used with one"
            return cls._follower(path, keys), _image(JournalVerdict.MISSING, problem)
        journal: Journal | None = None
        try:
            journal = cls(path, _open_environment(path), keys, journal_id)
            image = journal._load(journal_id)
        except (_Damaged, lmdb.Error) as error:
            if isinstance(error, lmdb.Error) and not _is_damage(error):
                raise _failure(path, error) from error
            if journal is not None:
                journal.close()
            aside = set_aside(path, "damaged")
            problem = f"the journal is damaged ({error}); it was kept as {aside.name}"
            return cls._follower(path, keys), _image(JournalVerdict.CORRUPT, problem)
        return journal, image

    @classmethod
    def _follower(cls, path: Path, keys: Mapping[int, bytes]) -> Journal:
        """Return an empty journal for a node that follows without a vote (P97)."""
        return cls.create(path, keys, secrets.token_bytes(JOURNAL_ID_BYTES))

    # -- use ---------------------------------------------------------------------------------------------------

    @property
    def last_lsn(self) -> Lsn:
        return Lsn(self._last_lsn)

    def append(self, entries: Sequence[tuple[Lsn, Record, JournalBody | None]]) -> None:
        """Make `entries` durable in one transaction; lsns continue the last one without a gap.

        Raises `JournalFailed`: the outcome is unknown and the process must end (P91).
        """
        self._refuse_after_failure()
        if not entries:
            return
        lsn, link = self._last_lsn, self._last_link
        rows: list[tuple[bytes, bytes]] = []
        bodies: dict[bytes, bytes] = {}
        written: dict[bytes, tuple[int, int]] = {}
        for wanted, record, body in entries:
            lsn += 1
            if wanted != lsn:
                raise InvariantViolated(f"journal entry {wanted} follows {lsn - 1}")
            value = encode(LogEntry(lsn, link, encode(record)))
            link = link_of(value)
            rows.append((lsn.to_bytes(8, "big"), value))
            if body is None:
                continue
            if body.block_id in self._held:
                self._held[body.block_id] = body.height, lsn  # a pruning of what was written before spares it
            elif body.block_id not in bodies:
                row = BodyRow(body.height, body.block_id, body.header, body.envelopes)
                bodies[body.block_id] = encode(row)
                written[body.block_id] = body.height, lsn
        rows.append((_HEAD_KEY, encode(LogHead(self.journal_id, lsn, link))))
        self._write(self._log_seal.seal_many(rows), self._body_seal.seal_many(list(bodies.items())))
        if self._first_lsn == 0:
            self._first_lsn = int(entries[0][0])
        self._last_lsn, self._last_link = lsn, link
        self._held.update(written)

    def prune(self, before: Lsn, bodies_up_to: int, keep: Collection[bytes]) -> None:
        """Drop entries below `before`, and bodies up to a height or written before and not to `keep`.

        It is done together with the next `append`. The caller guarantees that a newer `Anchor` is durable at `before`
        or later, and the block store durable at `bodies_up_to` (P93).
        """
        if before > self._last_lsn:
            raise InvariantViolated(f"pruning below {before}, the last entry is {self._last_lsn}")
        old = self._prune or (0, -1, frozenset())
        if int(before) >= old[0]:
            self._prune = int(before), max(old[1], bodies_up_to), frozenset(keep)

    def image(self, journal_id: bytes) -> JournalImage:
        """Read the journal again, as `open` did; for a core that begins while the process runs (P114)."""
        return self._load(journal_id)

    def size_bytes(self) -> int:
        """Return the size of the file; it does not shrink, freed pages are used again."""
        return (self.path / DATA_FILE).stat().st_size

    def close(self) -> None:
        """Close the environment; harmless when repeated."""
        self._environment.close()

    # -- reading -----------------------------------------------------------------------------------------------

    def _load(self, journal_id: bytes) -> JournalImage:
        with self._environment.begin() as transaction:
            head = self._read_head(transaction)
            records = self._read_log(transaction, head)
            bodies = self._read_bodies(transaction)
        self._last_lsn, self._last_link = head.last_lsn, head.last_link
        self._first_lsn = int(records[0][0]) if records else 0
        known = self._held  # a pruning that waits spares what was written after its anchor, also once it is read again
        self._held = {one.block_id: known.get(one.block_id, (one.height, 0)) for one in bodies}
        if head.journal_id != journal_id:
            self.journal_id = head.journal_id
            problem = (
                f"the journal {head.journal_id.hex()} is not the one that was made with this consensus key "
                f"({journal_id.hex()})"
            )
            return JournalImage(verdict=JournalVerdict.FOREIGN, problem=problem, records=records, bodies=bodies)
        return JournalImage(verdict=JournalVerdict.OURS, problem="", records=records, bodies=bodies)

    def _read_head(self, transaction: Any) -> LogHead:
        sealed = transaction.get(_HEAD_KEY, db=self._log)
        if sealed is None:
            raise _Damaged("its head is missing")
        try:
            head = _head_codec.decode(self._log_seal.open(_HEAD_KEY, sealed))
        except (SealBroken, LedgerError) as error:
            raise _Damaged(f"head: {error}") from error
        if len(head.journal_id) != JOURNAL_ID_BYTES or len(head.last_link) != HASH_BYTES:
            raise _Damaged("its head is malformed")
        return head

    def _read_log(self, transaction: Any, head: LogHead) -> tuple[tuple[Lsn, Record], ...]:
        records: list[tuple[Lsn, Record]] = []
        link, expected = b"", 0
        for key, sealed in transaction.cursor(db=self._log):
            if key == _HEAD_KEY:
                continue
            lsn = int.from_bytes(key, "big")
            try:
                value = self._log_seal.open(key, sealed)
                entry = _entry_codec.decode(value)
                record = _record_codec.decode(entry.record)
            except (SealBroken, LedgerError) as error:
                raise _Damaged(f"entry {lsn}: {error}") from error
            if entry.lsn != lsn or (records and lsn != expected):
                raise _Damaged(f"entry {lsn} stands where {expected} belongs")
            if records and entry.previous != link:
                raise _Damaged(f"entry {lsn} does not name the entry before it")
            if not records and not isinstance(record, Anchor):
                raise _Damaged(f"it begins with entry {lsn}, which is no anchor")
            records.append((Lsn(lsn), record))
            link, expected = link_of(value), lsn + 1
        if head.last_lsn != (records[-1][0] if records else 0) or (records and link != head.last_link):
            raise _Damaged(f"it ends before entry {head.last_lsn}")
        return tuple(records)

    def _read_bodies(self, transaction: Any) -> tuple[JournalBody, ...]:
        bodies: list[JournalBody] = []
        for key, sealed in transaction.cursor(db=self._bodies):
            try:
                row = _body_codec.decode(self._body_seal.open(key, sealed))
            except (SealBroken, LedgerError) as error:
                raise _Damaged(f"body {key.hex()[:12]}: {error}") from error
            if row.block_id != key:
                raise _Damaged(f"body {key.hex()[:12]} is about another block")
            bodies.append(
                JournalBody(height=row.height, block_id=row.block_id, header=row.header, envelopes=row.envelopes)
            )
        return tuple(sorted(bodies, key=lambda body: (body.height, body.block_id)))

    # -- writing -----------------------------------------------------------------------------------------------

    def _write_head(self) -> None:
        head = encode(LogHead(self.journal_id, self._last_lsn, self._last_link))
        self._write([(_HEAD_KEY, self._log_seal.seal(_HEAD_KEY, head))], [])

    def _write(self, log: Sequence[tuple[bytes, bytes]], bodies: Sequence[tuple[bytes, bytes]]) -> None:
        prune, self._prune = self._prune, None
        gone: list[bytes] = []
        try:
            with self._environment.begin(write=True) as transaction:
                for key, value in log:
                    transaction.put(key, value, db=self._log)
                for key, value in bodies:
                    transaction.put(key, value, db=self._bodies)
                if prune is not None:
                    before, up_to, keep = prune
                    for lsn in range(self._first_lsn, before):
                        transaction.delete(lsn.to_bytes(8, "big"), db=self._log)
                    gone = [
                        block_id
                        for block_id, (height, lsn) in self._held.items()
                        if height <= up_to or (lsn < before and block_id not in keep)
                    ]
                    for block_id in gone:
                        transaction.delete(block_id, db=self._bodies)
        except (lmdb.Error, OSError, MemoryError) as error:
            self._failed = True
            raise _failure(self.path, error) from error
        if prune is not None:
            self._first_lsn = max(self._first_lsn, prune[0])
            for block_id in gone:
                self._held.pop(block_id)

    def _refuse_after_failure(self) -> None:
        if self._failed:
            raise JournalFailed(
                str(self.path), "io", "an earlier write failed and its outcome is unknown", "end this process (P91)"
            )


def _open_environment(path: Path) -> Any:
    """Open or create the environment with the fixed map and full durability."""
    try:
        return open_environment(path, map_bytes=MAP_BYTES, databases=2, readers=8)
    except (lmdb.Error, OSError) as error:
        if _is_damage(error):
            raise
        raise _failure(path, error) from error


def _is_damage(error: Exception) -> bool:
    """Tell damage of the content, which is answered by not voting, from a refusal of the disk or a permission."""
    damage = (
        lmdb.CorruptedError,
        lmdb.InvalidError,
        lmdb.PageNotFoundError,
        lmdb.VersionMismatchError,
        lmdb.PanicError,
        lmdb.IncompatibleError,
        lmdb.DbsFullError,
        lmdb.NotFoundError,
    )
    return isinstance(error, damage)


def _failure(path: Path, error: BaseException) -> JournalFailed:
    cause = cause_of(error, path)
    return JournalFailed(str(path), cause, words_of(error), next_step(cause, ""))


def _image(verdict: JournalVerdict, problem: str) -> JournalImage:
    return JournalImage(verdict=verdict, problem=problem, records=(), bodies=())


def set_aside(path: Path, mark: str) -> Path:
    """Rename the folder of a journal of no use, so that it can be looked at; nothing is deleted. Return its place."""
    number = 1
    while (aside := path.with_name(f"{path.name}.{mark}-{number}")).exists():
        number += 1
    path.rename(aside)
    sync_directory(path.parent)
    return aside
