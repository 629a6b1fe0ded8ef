"""Entries of schedules in state: arming, moving, removing, what is due, parking (L53-L55, H5).

Two keys belong to one entry, both inside the state root:
    "s" day contract 0x00 schedule 0x00 row-key   the queue, in the order in which entries run; value nil
    "p" contract 0x00 schedule 0x00 row-key       where the entry stands: [day, abort code, reason]

The abort code is empty while the entry waits. After an abort the entry leaves the queue and keeps its "p" key with the
reason: it is parked and not repeated, until a new date or an order arms it again. Days are 4 bytes, row keys are key
parts, empty for `every` schedules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from contracts.calendar import next_monthly
from contracts.errors import ContractFault
from contracts.keys import ENTRY
from contracts.values import DAY_LAST, day_of
from ledger.codec import encode

_QUEUE: Final = b"s"
_STANDING: Final = b"p"
_RECORD: Final = msgspec.msgpack.Decoder(tuple[int, str, str])


class Queue(Protocol):
    """What reading the queue needs of a host."""

    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]: ...


class Store(Queue, Protocol):
    """What entries need of a host."""

    def get(self, key: bytes) -> bytes | None: ...
    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> None: ...


class Entry(NamedTuple):
    """`key`: key parts of the row, empty for an `every` schedule."""

    contract: str
    schedule: str
    key: bytes

    @property
    def name(self) -> bytes:
        return self.contract.encode("ascii") + b"\x00" + self.schedule.encode("ascii") + b"\x00" + self.key

    def standing(self, store: Store) -> tuple[int, str, str] | None:
        """Return [day, abort code, reason], or None when no entry stands."""
        data = store.get(self.standing_key)
        if data is None:
            return None
        try:
            return _RECORD.decode(data)
        except msgspec.DecodeError as error:
            raise ContractFault(
                f"the entry of schedule {self.contract}.{self.schedule} does not decode: {error}"
            ) from None

    def arm(self, store: Store, day: int) -> int:
        """Put the entry at `day`, wherever it stood before; return how many entries of the queue changed."""
        changed = self.remove(store)
        store.put(self.queue_key(day), ENTRY)
        store.put(self.standing_key, encode((day, "", "")))
        return changed + 1

    def remove(self, store: Store) -> int:
        """Take the entry away, waiting or parked; return how many entries of the queue changed."""
        found = self.standing(store)
        if found is None:
            return 0
        store.delete(self.standing_key)
        if found[1]:
            return 0
        store.delete(self.queue_key(found[0]))
        return 1

    def park(self, store: Store, day: int, code: str, reason: str) -> None:
        """Keep the entry out of the queue with the reason of its abort (L55)."""
        self.remove(store)
        store.put(self.standing_key, encode((day, code, reason)))

    @property
    def standing_key(self) -> bytes:
        return _STANDING + self.name

    def queue_key(self, day: int) -> bytes:
        return _QUEUE + day.to_bytes(4, "big") + self.name


def armed_day(day: int | None, shift: int, earliest: int) -> int | None:
    """Return the day of an entry for a field with `day`; None when there is none, or it would be outside the calendar.

    `earliest` is the day after today while a schedule runs, so that what it arms fires on a later date (L53).
    """
    if day is None or not 0 <= day + shift <= DAY_LAST:
        return None
    return max(day + shift, earliest)


def next_day(kind: str, day_of_month: int, today: int) -> int | None:
    """Return when an `every` schedule runs next; None after the end of the calendar."""
    if kind == "day":
        return today + 1 if today < DAY_LAST else None
    found = next_monthly(today, day_of_month)
    return None if found is None else day_of(found)


def due_entries(store: Queue, today: int, count: int) -> tuple[tuple[int, Entry], ...]:
    """Return (day, entry) of at most `count` entries with a day up to today, in the order in which they run (L54)."""
    high = _QUEUE + (today + 1).to_bytes(4, "big")
    return tuple((int.from_bytes(key[1:5], "big"), _entry(key[5:])) for key in store.scan(_QUEUE, high, count))


def entries_after(store: Queue, after: bytes, count: int) -> tuple[Entry, ...]:
    """Return at most `count` entries, waiting or parked, behind the `standing_key` `after`, or the first ones."""
    low = after + b"\x00" if after else _STANDING
    return tuple(_entry(key[1:]) for key in store.scan(low, bytes([_STANDING[0] + 1]), count))


def _entry(name: bytes) -> Entry:
    contract, schedule, key = name.split(b"\x00", 2)
    return Entry(contract.decode("ascii"), schedule.decode("ascii"), key)


def field_day(row: Sequence[Any] | None, at: int) -> int | None:
    """Return the day number in field `at` of a row, None without row or date."""
    if row is None or row[at] is None:
        return None
    return day_of(row[at])
