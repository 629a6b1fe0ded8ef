"""Values, their wire form and key bytes (contracts sections 5 and 17).

Inside the interpreter a value *is* its wire form: int, bool, str, (code, minor) for money, a scaled int for a rate,
None for `none`, tuples for lists and records. Dates stay ISO texts, which order like their day numbers; enum values
stay names. So a stored row needs no conversion after decoding, and
nothing from a program is ever looked up in a Python object (K35).

Character rules are fixed lists, never Unicode tables, because those differ between Python releases (D9).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from contracts.limits import ID_CHARS, INT_MAX
from contracts.types import ELEMENT_BYTES, SCALARS, Many, Type, memory_bytes
from ledger.money import CurrencyTable, format_minor

_FORBIDDEN: Final = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    + "".join(chr(plane * 0x10000 + end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
    + "]"
)
"""Controls, line separators, surrogates, noncharacters and bidirectional controls (section 5)."""

_DATE_FORM: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_ID_FORM: Final = re.compile(r"[a-z0-9][a-z0-9-]*", re.ASCII)
_MONTH_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_BEFORE_MONTH: Final = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)

DAY_LAST: Final = 3_652_058
"""Day number of 9999-12-31; 0001-01-01 is day 0."""

Money = tuple[str, int]
"""(currency code, minor units)."""


def text_problem(value: str) -> str:
    """Return "" when every code point may stand in a text, else which one may not."""
    found = _FORBIDDEN.search(value)
    return "" if found is None else f"U+{ord(found.group()):04X} may not stand in a text"


def date_number(iso: str) -> int | None:
    """Return days since 0001-01-01 (day 0), or None when `iso` is no civil date `YYYY-MM-DD`.

    >>> date_number("0001-01-01"), date_number("2026-03-05"), date_number("2026-02-29")
    (0, 739679, None)
    """
    if _DATE_FORM.fullmatch(iso) is None:
        return None
    year, month, day = int(iso[:4]), int(iso[5:7]), int(iso[8:])
    if not (year >= 1 and 1 <= month <= 12 and day >= 1):
        return None
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if day > _MONTH_DAYS[month - 1] + (leap and month == 2):
        return None
    past = year - 1
    return (
        past * 365 + past // 4 - past // 100 + past // 400 + _BEFORE_MONTH[month - 1] + (leap and month > 2) + day - 1
    )


def date_text(number: int) -> str:
    """Return the ISO text of a day number in 0..DAY_LAST.

    >>> date_text(0), date_text(739679), date_text(DAY_LAST)
    ('0001-01-01', '2026-03-05', '9999-12-31')
    """
    # Years are counted from March, so that the day a leap year adds is the last one: no table, no loop.
    cycles, rest = divmod(number + 306, 146_097)
    year = (rest - rest // 1_460 + rest // 36_524 - rest // 146_096) // 365
    rest -= 365 * year + year // 4 - year // 100
    month = (5 * rest + 2) // 153
    day = rest - (153 * month + 2) // 5 + 1
    year += cycles * 400
    if month > 9:
        return f"{year + 1:04d}-{month - 9:02d}-{day:02d}"
    return f"{year:04d}-{month + 3:02d}-{day:02d}"


def day_of(iso: str) -> int:
    """Return the day number of a date that is already known to be one."""
    year, month = int(iso[:4]), int(iso[5:7])
    past = year - 1
    leap = month > 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return past * 365 + past // 4 - past // 100 + past // 400 + _BEFORE_MONTH[month - 1] + leap + int(iso[8:]) - 1


# -- wire form ---------------------------------------------------------------------------------------------------

Reading = Callable[[Any], Any]
"""Turns a decoded argument into a value, or returns WRONG when it is not exactly of the type."""

WRONG: Final = object()
"""What a `Reading` answers for anything that is no value of its type; `None` is a value of an option."""


class Names(NamedTuple):
    """What types mean: values of enums and field types of records, by (contract, name)."""

    enums: Mapping[tuple[str, str], Sequence[str]]
    records: Mapping[tuple[str, str], Sequence[Type]]


def argument_reader(kind: Type, names: Names, currencies: CurrencyTable) -> Reading:
    """Return the strict reader of one parameter type (L12): exact Python type, bounds, known names."""
    if isinstance(kind, Many):
        return _reader_of_many(kind, names, currencies)
    if kind.kind in ("int", "rate"):
        return lambda v: v if type(v) is int and -INT_MAX <= v <= INT_MAX else WRONG
    if kind.kind == "bool":
        return lambda v: v if type(v) is bool else WRONG
    if kind.kind == "text":
        size = kind.size
        # printable ASCII, the usual case, is decided without another call
        return lambda v: (
            v
            if type(v) is str and len(v) <= size and ((v.isascii() and v.isprintable()) or _FORBIDDEN.search(v) is None)
            else WRONG
        )
    if kind.kind == "money":
        return lambda v: _read_money(v, currencies)
    if kind.kind == "currency":
        return lambda v: v if type(v) is str and v in currencies else WRONG
    if kind.kind == "date":
        return lambda v: v if type(v) is str and len(v) == 10 and date_number(v) is not None else WRONG
    if kind.kind == "enum":
        known = frozenset(names.enums[kind.contract, kind.name])
        return lambda v: v if type(v) is str and v in known else WRONG
    return lambda v: v if type(v) is str and len(v) <= ID_CHARS and _ID_FORM.fullmatch(v) is not None else WRONG


def _reader_of_many(kind: Many, names: Names, currencies: CurrencyTable) -> Reading:
    if kind.kind == "option":
        inner = argument_reader(kind.parts[0], names, currencies)
        return lambda v: None if v is None else inner(v)
    if kind.kind == "list":
        size, each = kind.size, argument_reader(kind.parts[0], names, currencies)

        def read_list(value: Any) -> Any:
            if type(value) not in (tuple, list) or len(value) > size:
                return WRONG
            found = tuple([each(item) for item in value])
            return WRONG if any(item is WRONG for item in found) else found

        return read_list
    parts = [argument_reader(part, names, currencies) for part in names.records[kind.contract, kind.name]]

    def read_record(value: Any) -> Any:
        if type(value) not in (tuple, list) or len(value) != len(parts):
            return WRONG
        found = tuple([part(item) for part, item in zip(parts, value, strict=True)])
        return WRONG if any(item is WRONG for item in found) else found

    return read_record


def _read_money(value: Any, currencies: CurrencyTable) -> Any:
    if type(value) not in (tuple, list) or len(value) != 2:
        return WRONG
    code, minor = value
    if type(code) is not str or code not in currencies or type(minor) is not int or not -INT_MAX <= minor <= INT_MAX:
        return WRONG
    return (code, minor)


def stored_type(kind: Type, names: Names) -> Any:
    """Return the msgspec type that a stored field of `kind` decodes to (H4)."""
    if isinstance(kind, Many):
        if kind.kind == "option":
            return stored_type(kind.parts[0], names) | None
        if kind.kind == "list":
            return tuple[stored_type(kind.parts[0], names), ...]  # type: ignore[misc]  # built from the schema
        parts = names.records[kind.contract, kind.name]
        return tuple[tuple(stored_type(part, names) for part in parts)]  # type: ignore[misc]
    if kind.kind == "money":
        return tuple[str, int]
    return {"int": int, "rate": int, "bool": bool}.get(kind.kind, str)


Measure = Callable[[Any], int]
"""Counted memory of a value, in bytes (G6)."""


def measure(kind: Type, names: Names) -> Measure:
    """Return the function that counts the memory of a value of `kind`; rows and maps are never counted this way."""
    if kind.kind in SCALARS:
        fixed = memory_bytes(kind)
        return lambda _: fixed
    if kind.kind == "text":
        return lambda v: 16 + 4 * len(v)
    parts = kind.parts if isinstance(kind, Many) else ()
    if kind.kind == "option":
        inner = measure(parts[0], names)
        return lambda v: 16 if v is None else 16 + inner(v)
    if kind.kind == "list":
        each = measure(parts[0], names)
        return lambda v: 16 + sum([ELEMENT_BYTES + each(item) for item in v])
    fields = [measure(part, names) for part in names.records[kind.contract, kind.name]]
    return lambda v: 16 + sum([field(item) for field, item in zip(fields, v, strict=True)])


# -- key bytes (H5) ----------------------------------------------------------------------------------------------

_TAGS: Final = {"int": 1, "bool": 2, "text": 3, "date": 4, "currency": 5, "party": 6, "user": 7, "enum": 8}
TEXT_ENDS: Final = {"text": "\0", "party": "\0", "user": "\0", "currency": ""}
"""What follows the text in the key bytes of the kinds that are tag and text."""
_INT_BIAS: Final = 2**63
_FALSE: Final = bytes([2, 0])
_TRUE: Final = bytes([2, 1])

KeyPart = Callable[[Any], bytes]


def key_part(kind: Type, enums: Mapping[tuple[str, str], Sequence[str]]) -> KeyPart:
    """Return the function from a value to its order-preserving, self-delimiting key bytes."""
    tag = bytes([_TAGS[kind.kind]])
    if kind.kind == "int":
        return lambda v: tag + (v + _INT_BIAS).to_bytes(8, "big")
    if kind.kind == "bool":
        return lambda v: _TRUE if v else _FALSE
    if kind.kind == "date":
        return lambda v: tag + day_of(v).to_bytes(4, "big")
    if kind.kind == "currency":
        return lambda v: tag + v.encode("ascii")
    if kind.kind == "enum":
        places = {name: tag + at.to_bytes(2, "big") for at, name in enumerate(enums[kind.contract, kind.name])}
        return lambda v: places[v]
    return lambda v: tag + v.encode("utf-8") + b"\x00"


def text_frame(prefix: bytes, kinds: Sequence[str]) -> tuple[str, ...]:
    """Return what stands before, between and after the parts of a key that are all texts; empty if some is not.

    Such a key is written as one text and encoded once, to the same bytes as part by part.
    """
    if not kinds or any(kind not in TEXT_ENDS for kind in kinds):
        return ()
    tags = [chr(_TAGS[kind]) for kind in kinds]
    ends = [TEXT_ENDS[kind] for kind in kinds]
    between = [end + tag for end, tag in zip(ends[:-1], tags[1:], strict=True)]
    return (prefix.decode("ascii") + tags[0], *between, ends[-1])


def skip_key_part(kind: str, data: bytes, at: int) -> int:
    """Return where the key part that starts at `at` ends."""
    if kind in ("text", "party", "user"):
        return data.index(b"\x00", at) + 1
    return at + {"int": 9, "bool": 2, "date": 5, "currency": 4, "enum": 3}[kind]


def after_prefix(prefix: bytes) -> bytes:
    """Return the least bytes above everything that starts with `prefix`; some byte of it is below 0xFF.

    >>> after_prefix(b"ab"), after_prefix(bytes([1, 255]))
    (b'ac', b'\\x02')
    """
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1])


# -- rendering (L30) ---------------------------------------------------------------------------------------------


def render(kind: Type, value: Any, currencies: CurrencyTable) -> str:
    """Return how an insert shows a value: digits, `EUR 1250.00`, ISO dates, ids, names, true and false."""
    match kind.kind:
        case "bool":
            return "true" if value else "false"
        case "money":
            return f"{value[0]} {format_minor(value[1], currencies[value[0]])}"
        case "rate":
            return format_minor(value, kind.size)
    return str(value)


def rendered_chars(kind: Type) -> int:
    """Return the largest number of code points an insert of this type can take."""
    if kind.kind == "text":
        return kind.size
    return {"int": 20, "rate": 22, "bool": 5, "money": 36, "date": 10, "currency": 3, "enum": 40}.get(
        kind.kind, ID_CHARS
    )
