"""How results reach a terminal, a pipe or a script (U10, U11).

stdout is data, stderr is everything else. A table on a terminal has aligned columns; on a pipe it is plain text
separated by tabs; JSON carries a schema name and is never localised.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import click


def emit(document: Mapping[str, Any], output: str, rows: Sequence[Sequence[str]], header: Sequence[str]) -> None:
    """Print `document` as JSON, or `rows` under `header` as a table."""
    if output == "json":
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        table(rows, header)


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> None:
    """Print rows; columns whose header ends in `>` are right-aligned."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
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
