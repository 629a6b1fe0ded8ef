"""The document environment: sealed values under keyed names (S106, S107). Door: `BlobStore.open`.

Names are keyed hashes, so a stolen disk shows how many documents there are and how large, and nothing else. Each
`put` and `remove` is one durable transaction: a document is on disk before anybody is told that it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import lmdb

from node.store.environment import DATA_FILE, open_environment
from node.store.errors import StoreError, StoreFailed, cause_of, next_step, words_of
from node.store.places import make_directory, sync_directory
from node.store.sealed import NameKey, Sealer

NAMESPACE: Final = "documents"
MAP_BYTES: Final = 64 * 1024**3
MAP_SETTING: Final = "storage.documents_max_gib"

_DATABASES: Final = ("cards", "contents")


class BlobStore:
    """Documents by name: a small card that lists are made from, and the content."""

    def __init__(self, path: Path, environment: Any, keys: Mapping[int, bytes], index_key: bytes) -> None:
        """Use `open`."""
        self.path = path
        self._environment = environment
        self._databases = {name: environment.open_db(name.encode("ascii")) for name in _DATABASES}
        self._seals = {name: Sealer(NAMESPACE, name, keys) for name in _DATABASES}
        self._names = NameKey(index_key)

    @classmethod
    def open(cls, path: Path, keys: Mapping[int, bytes], index_key: bytes, *, map_bytes: int = MAP_BYTES) -> BlobStore:
        """Open the environment in `path`, made when it does not exist. Raises `StoreFailed`."""
        make_directory(path)
        new = not (path / DATA_FILE).exists()
        try:
            environment = open_environment(path, map_bytes=map_bytes, databases=len(_DATABASES), readers=64)
            store = cls(path, environment, keys, index_key)
        except (lmdb.Error, OSError) as error:
            raise _failure(path, error) from error
        if new:
            sync_directory(path)
            sync_directory(path.parent)
        return store

    def put(self, name: bytes, card: bytes, content: bytes) -> None:
        """Keep a document durably; an existing one of that name is replaced. Raises `StoreFailed`."""
        key = self._names.name(name)
        values = {"cards": card, "contents": content}
        sealed = [(database, self._seals[database].seal(key, value)) for database, value in values.items()]
        self._write([(database, key, value) for database, value in sealed])

    def put_card(self, name: bytes, card: bytes) -> None:
        """Replace the card of a document that is held; the content stays."""
        key = self._names.name(name)
        if self._get("cards", key) is None:
            raise StoreError("there is no document of this name")
        self._write([("cards", key, self._seals["cards"].seal(key, card))])

    def card(self, name: bytes) -> bytes | None:
        return self._get("cards", self._names.name(name))

    def content(self, name: bytes) -> bytes | None:
        return self._get("contents", self._names.name(name))

    def cards(self) -> Iterator[bytes]:
        """Yield all cards, in no meaningful order: names are hashes."""
        with self._environment.begin() as transaction:
            for key, sealed in transaction.cursor(db=self._databases["cards"]):
                yield self._seals["cards"].open(key, sealed)

    def remove(self, name: bytes) -> bool:
        """Forget a document; tell whether it was held.

        LMDB does not overwrite: the bytes stay in freed pages until they are used again (S100).
        """
        key = self._names.name(name)
        held = self._get("cards", key) is not None
        self._write([(database, key, None) for database in _DATABASES])
        return held

    def size_bytes(self) -> int:
        """Return the size of the file."""
        return (self.path / DATA_FILE).stat().st_size

    def close(self) -> None:
        """Close; harmless when repeated."""
        self._environment.close()

    def _get(self, database: str, key: bytes) -> bytes | None:
        with self._environment.begin() as transaction:
            sealed = transaction.get(key, db=self._databases[database])
        return None if sealed is None else self._seals[database].open(key, sealed)

    def _write(self, changes: list[tuple[str, bytes, bytes | None]]) -> None:
        try:
            with self._environment.begin(write=True) as transaction:
                for database, key, value in changes:
                    if value is None:
                        transaction.delete(key, db=self._databases[database])
                    else:
                        transaction.put(key, value, db=self._databases[database])
        except (lmdb.Error, OSError, MemoryError) as error:
            raise _failure(self.path, error) from error


def _failure(path: Path, error: BaseException) -> StoreFailed:
    cause = cause_of(error, path)
    return StoreFailed(str(path), cause, words_of(error), next_step(cause, MAP_SETTING))
