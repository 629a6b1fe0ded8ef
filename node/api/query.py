"""Query parameters, typed and bounded: text from outside is matched as ASCII before it is converted (S15).

Unknown and repeated parameters are refused by name, so that a typing error is not silently a wider answer.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from node.api.problems import FieldError, Problem
from node.api.routes import Kind, Operation, Param

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 200
WAIT_MAX_S: Final = 30
TEXT_MAX: Final = 120

_PATTERNS: Final[Mapping[Kind, re.Pattern[str]]] = {
    Kind.INTEGER: re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII),
    Kind.DATE: re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII),
    Kind.WORD: re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII),
    Kind.ID: re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII),
    Kind.TEXT: re.compile(r"[^\x00-\x1f\x7f]{1,120}"),
    Kind.CURRENCY: re.compile(r"[A-Z]{3}", re.ASCII),
    Kind.FLAG: re.compile(r"[01]|true|false", re.ASCII),
    Kind.CURSOR: re.compile(r"[A-Za-z0-9._=-]{1,400}", re.ASCII),
    Kind.SECONDS: re.compile(r"[0-9]{1,3}", re.ASCII),
}
_MEANING: Final[Mapping[Kind, str]] = {
    Kind.INTEGER: "a whole number without sign",
    Kind.DATE: "a date like 2026-05-03",
    Kind.WORD: "one word of letters, digits, '-' and '_'",
    Kind.ID: "an id",
    Kind.TEXT: "text of at most 120 characters",
    Kind.CURRENCY: "a currency code like EUR",
    Kind.FLAG: "0 or 1",
    Kind.CURSOR: "a cursor as it was given out",
    Kind.SECONDS: "a number of seconds",
}


@dataclass(frozen=True, slots=True)
class Query:
    """Checked parameters of one request. Absent ones read as None, or as the default of the method."""

    values: Mapping[str, str]

    def text(self, name: str, default: str = "") -> str:
        return self.values.get(name, default)

    def integer(self, name: str) -> int | None:
        text = self.values.get(name)
        return None if text is None else int(text)

    def flag(self, name: str) -> bool:
        return self.values.get(name, "0") in ("1", "true")

    def day(self, name: str) -> str:
        """Return an ISO date, or "" when absent."""
        return self.values.get(name, "")

    def seconds(self, name: str) -> int:
        return min(int(self.values.get(name, "0")), WAIT_MAX_S)

    def limit(self) -> int:
        """Return the page size: 1 to 200, 50 when absent (U30)."""
        return max(1, min(int(self.values.get("limit", LIMIT_DEFAULT)), LIMIT_MAX))


def parse(operation: Operation, pairs: Iterable[tuple[str, str]]) -> Query:
    """Check query pairs against the row; raise `invalid` naming every wrong parameter at once."""
    known = {param.name: param for param in operation.params}
    values: dict[str, str] = {}
    errors: list[FieldError] = []
    for name, text in pairs:
        param = known.get(name)
        if param is None:
            hint = f"known here: {', '.join(sorted(known))}" if known else "this operation takes none"
            errors.append(FieldError(f"?{name[:40]}", "unknown_parameter", f"unknown parameter; {hint}"))
        elif name in values:
            errors.append(FieldError(f"?{name}", "repeated", "given twice"))
        elif text == "":
            continue  # an empty field of a form means no filter
        elif problem := _problem(param, text):
            errors.append(FieldError(f"?{name}", "invalid", problem))
        else:
            values[name] = text
    if errors:
        raise Problem("invalid", f"{errors[0].pointer}: {errors[0].msg}", errors=errors)
    return Query(values)


def _problem(param: Param, text: str) -> str:
    if len(text) > 400 or not _PATTERNS[param.kind].fullmatch(text):
        return f"expected {_MEANING[param.kind]}"
    if param.choices and text not in param.choices:
        return f"expected one of {', '.join(param.choices)}"
    if param.kind is Kind.DATE:
        try:
            date.fromisoformat(text)
        except ValueError:
            return "no such day in the calendar"
    return ""


def page_cursor(height: int, key: str) -> str:
    """Return an opaque cursor: the height of the first page and the last key given out (U30)."""
    return urlsafe_b64encode(f"{height}:{key}".encode()).decode("ascii").rstrip("=")


def read_page_cursor(text: str) -> tuple[int, str]:
    """Return (height, key) of `page_cursor`; raise `invalid` for anything else."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("utf-8")
        height, _, key = raw.partition(":")
        if not _PATTERNS[Kind.INTEGER].fullmatch(height) or len(key) > 200:
            raise ValueError
        return int(height), key
    except ValueError:
        raise Problem(
            "invalid",
            "?cursor: not a cursor of this interface",
            errors=(FieldError("?cursor", "invalid", "not a cursor of this interface"),),
            next_step="Start again without cursor.",
        ) from None


@dataclass(frozen=True, slots=True, order=True)
class EventCursor:
    """Place of a contract event in the chain: `height.tx.event`, the same on every node (U36)."""

    height: int
    position: int
    event: int

    def __str__(self) -> str:
        return f"{self.height}.{self.position}.{self.event}"


_EVENT_CURSOR: Final = re.compile(r"(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,6})\.([0-9]{1,6}))?", re.ASCII)
END_OF_BLOCK: Final = 999_999


def read_event_cursor(text: str) -> EventCursor:
    """Return the cursor of `412.3.1`; a bare height means the end of that block. Raises `invalid` otherwise."""
    match = _EVENT_CURSOR.fullmatch(text) if len(text) <= 40 else None
    if match is None:
        raise Problem(
            "invalid",
            "?from: not an event cursor",
            errors=(FieldError("?from", "invalid", "expected height.tx.event, for example 412.3.1"),),
            next_step="Use the id of the last event received, or a height.",
        )
    if match.group(2) is None:
        return EventCursor(int(match.group(1)), END_OF_BLOCK, END_OF_BLOCK)
    return EventCursor(int(match.group(1)), int(match.group(2)), int(match.group(3)))
