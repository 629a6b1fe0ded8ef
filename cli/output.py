"""How results reach a terminal, a pipe or a script (U10, U11).

stdout is data, stderr is everything else. A table on a terminal has aligned columns; on a pipe it is plain text
separated by tabs; JSON carries a schema name and is never localised. JSON lines and CSV carry the items of a list.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

FORMS: Final = ("table", "json", "jsonl", "csv")
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


def emit(
    document: Mapping[str, Any],
    output: str,
    rows: Sequence[Sequence[str]],
    header: Sequence[str],
    records: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Print a list: `rows` under `header` as a table, `document` as JSON, or only the first column as ids.

    JSON lines and CSV are made of `records`, one a line; they are the items of the document if left out.
    """
    items: Sequence[Mapping[str, Any]] = document.get("items", [document]) if records is None else records
    if output == "json":
        click.echo(json.dumps(document, ensure_ascii=False))
    elif output == "jsonl":
        for item in items:
            click.echo(json.dumps(item, ensure_ascii=False))
    elif output == "csv":
        _write_csv([flat(item) for item in items])
    elif output == "ids":
        for name in dict.fromkeys(row[0] for row in rows if row[0]):
            click.echo(name)
    else:
        table(rows, header)


def one(document: Mapping[str, Any], output: str, pairs: Sequence[tuple[str, str]], name: str) -> None:
    """Print a single thing: `pairs` as lines, `document` as JSON or CSV, or its id `name` alone."""
    if output in ("json", "jsonl"):
        click.echo(json.dumps(document, ensure_ascii=False))
    elif output == "csv":
        _write_csv([flat(document)])
    elif output == "ids":
        click.echo(name)
    else:
        fields(pairs)


def flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return the columns of a record: `total.amount`, `total.currency`; amounts stay plain digits.

    >>> flat({"id": "a", "total": {"amount": "1.50", "currency": "EUR"}, "flags": ["x", "y"], "last": None})
    {'id': 'a', 'total.amount': '1.50', 'total.currency': 'EUR', 'flags': 'x y', 'last': ''}
    """
    found: dict[str, str] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and not any(isinstance(part, Mapping | list) for part in value):
            found[prefix + name] = " ".join(str(part) for part in value)
        elif isinstance(value, list):
            found[prefix + name] = json.dumps(value, ensure_ascii=False)
        elif isinstance(value, bool):
            found[prefix + name] = "true" if value else "false"
        else:
            found[prefix + name] = "" if value is None else str(value)
    return found


def _write_csv(records: Sequence[Mapping[str, str]]) -> None:
    """Print records with a header line; a cell that a spreadsheet would take for a formula is quoted (U53)."""
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if names:
        writer.writerow(names)
    for record in records:
        writer.writerow([_harmless(record.get(name, "")) for name in names])
    click.echo(text.getvalue(), nl=False)


def _harmless(cell: str) -> str:
    return "'" + cell if cell[:1] in ("=", "+", "-", "@", "\t") and not _NUMBER.fullmatch(cell) else cell


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> None:
    """Print rows; columns whose header ends in `>` are right-aligned."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(" ".join(cell.split()) for cell in row))
    elif rows:
        click.echo(render(rows, header))


def render(rows: Sequence[Sequence[str]], header: Sequence[str], indent: str = "") -> str:
    """Return an aligned table; wide characters count as two columns."""
    right = [name.endswith(">") for name in header]
    names = [name.rstrip(">") for name in header]
    widths = [max([width(name), *(width(row[column]) for row in rows)]) for column, name in enumerate(names)]
    lines = []
    for row in [names, *rows]:
        cells = [_pad(text, widths[column], right[column]) for column, text in enumerate(row)]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def foot(document: Mapping[str, Any], remarks: Sequence[str], shown: int) -> None:
    """Say under a list how much of it was shown, at which height, and how to go on (U4, U12)."""
    whole = document.get("count", shown)
    counted = f"{shown} of {whole}" if whole != shown else str(shown)
    parts = [f"{counted} at height {document['height']}", *remarks]
    if document.get("next"):
        parts.append(f"next: --cursor {document['next']}")
    say(" · ".join(parts))


def fields(pairs: Sequence[tuple[str, str]]) -> None:
    """Print label and value pairs, one a line."""
    longest = max(width(label) for label, _ in pairs)
    for label, value in pairs:
        click.echo(f"{label}{' ' * (longest - width(label))}  {value}" if sys.stdout.isatty() else f"{label}\t{value}")


def say(text: str) -> None:
    """Print progress and remarks: never data."""
    click.echo(text, err=True)


def width(text: str) -> int:
    """Return the number of terminal columns of `text`."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _pad(text: str, columns: int, right: bool) -> str:
    space = " " * (columns - width(text))
    return space + text if right else text + space
