"""Structured logs (U62, S56): one JSON object a line, or readable lines on a terminal. Door: `configure`.

Tracebacks never carry values of local variables: a token or a key would be among them (T43). Line breaks inside
values are escaped, so that nobody can write a second log line. What is logged comes from a list of allowed keys;
the value of any other key is replaced.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal, TextIO

import structlog

ALLOWED: Final = frozenset(
    {
        "event", "level", "ts", "node", "company", "height", "view", "epoch", "tx", "peer", "dur_s", "code",
        "reason", "detail", "route", "request_id", "status", "count", "bytes", "part", "api", "ops", "path",
        "version", "port", "logger", "exception", "offender", "member", "kind", "state", "seed", "error",
        "next", "address", "network", "n", "q",
    }
)  # fmt: skip
"""Keys whose values may be logged. Amounts, names and document text have no key (U62)."""
HIDDEN: Final = "***"
VALUE_MAX: Final = 2_000

Level = Literal["debug", "info", "warning", "error"]


def configure(level: Level = "info", form: Literal["json", "console"] = "json", stream: TextIO | None = None) -> None:
    """Set up structlog for this process; call it once, before anything logs."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        only_allowed,
    ]
    last: structlog.typing.Processor
    if form == "json":
        last = structlog.processors.JSONRenderer(sort_keys=False, ensure_ascii=False)
    else:
        last = structlog.dev.ConsoleRenderer(
            colors=False, timestamp_key="ts", exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def only_allowed(_: Any, __: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values of keys that are not in the list, and make every text one bounded line."""
    for key, value in list(fields.items()):
        if key not in ALLOWED:
            fields[key] = HIDDEN
        elif isinstance(value, str):
            fields[key] = _one_line(value) if key != "exception" else value[:VALUE_MAX].replace("\r", "\\r")
        elif not isinstance(value, int | float | bool | None):
            fields[key] = _one_line(str(value))
    return fields


def _one_line(text: str) -> str:
    return text[:VALUE_MAX].replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
