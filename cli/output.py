"""How results reach a terminal, a pipe or a script (U10, U11).

stdout is data, stderr is everything else. A table on a terminal has aligned columns; on a pipe it is plain text
separated by tabs; JSON carries a schema name and is never localised. JSON lines and CSV carry the items of a list.
`--columns` and `--filter` choose among what a node has answered (U12): they ask for nothing else.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import click

from cli.exit_codes import Exit
from cli.failure import CommandFailed

FORMS: Final = ("table", "json", "jsonl", "csv")
SHAPE_KEY: Final = "hansa.shape"
"""Where the context of a command keeps its `Shape`."""
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What of a list is shown: `columns` by name, in this order, or all; `filters` as (name, value), all must fit.

    A name is a field of the items as `-o csv` names it, the head of such fields (`total` for `total.amount` and
    `total.currency`), or, in a table, a heading in any case.
    """

    columns: tuple[str, ...] = ()
    filters: tuple[tuple[str, str], ...] = ()


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
    context = click.get_current_context(silent=True)
    shape = context.meta.get(SHAPE_KEY) if context is not None else None
    if isinstance(shape, Shape) and (shape.columns or shape.filters):
        shape = replace(shape, columns=()) if output == "ids" else shape
        items, rows, header = shaped(shape, items, rows, header, headings=output in ("table", "ids"))
        document = {**document, "items": items}
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


def shaped(
    shape: Shape,
    items: Sequence[Mapping[str, Any]],
    rows: Sequence[Sequence[str]],
    header: Sequence[str],
    *,
    headings: bool,
) -> tuple[list[Mapping[str, Any]], list[list[str]], list[str]]:
    """Return (items, rows, header) of the lines that fit, with the chosen columns: of rows when they have `headings`,
    of items otherwise.

    `rows` are parallel to `items`; further rows are totals, which a filter drops: they would belong to other lines.
    Refuses a name that no item has, with those there are.

    >>> shaped(Shape(columns=("due",), filters=(("STATUS", "open"),)),
    ...        [{"due": "2026-04-01"}, {"due": "2026-05-01"}],
    ...        [["a", "open"], ["b", "paid"]], ["ID", "STATUS"], headings=True)
    ([{'due': '2026-04-01'}], [['2026-04-01']], ['DUE'])
    """
    marks = {name.rstrip(">").casefold(): name for name in header} if headings else {}
    places = {name: place for place, name in enumerate(marks)}
    flats = [flat(item) for item in items]
    known = list(dict.fromkeys([*places, *(name for found in flats for name in _with_heads(found))]))
    for name in (*shape.columns, *(name for name, _ in shape.filters)):
        if items and name not in known and name.casefold() not in places:
            raise CommandFailed(Exit.USAGE, f"there is no column {name!r} here", f"choose of {', '.join(known)}")

    def cell(line: int, name: str) -> str:
        place = places.get(name.casefold())
        if place is not None:
            return rows[line][place]
        return _cell(flats[line], name) if line < len(flats) else ""

    lines = range(len(rows) if headings and not shape.filters else len(items))
    kept = [line for line in lines if all(_same(cell(line, name), value) for name, value in shape.filters)]
    some = [items[line] for line in kept if line < len(items)]
    if headings:
        chosen = shape.columns or tuple(marks)
        named = [marks.get(name.casefold(), name.upper()) for name in chosen]
        return some, [[cell(line, name) for name in chosen] for line in kept], named
    picked = [{name: _part(item, name) for name in shape.columns} for item in some] if shape.columns else some
    return list(picked), [], []


def _with_heads(fields: Mapping[str, str]) -> list[str]:
    """Return names of fields, each after the heads it has: `total`, `total.amount`."""
    parts = [name.split(".") for name in fields]
    return [".".join(part[:end]) for part in parts for end in range(1, len(part) + 1)]


def _cell(fields: Mapping[str, str], name: str) -> str:
    """Return a field of a flat record as text; of a head its fields, an amount as `1234.50 EUR`."""
    if name in fields:
        return fields[name]
    return " ".join(value for field, value in fields.items() if field.startswith(f"{name}."))


def _same(shown: str, wanted: str) -> bool:
    """Tell whether a cell is what was asked for; thousands that a table groups need not be grouped in a question."""
    return wanted in (shown, shown.replace(",", ""))


def _part(item: Mapping[str, Any], name: str) -> Any:
    """Return the field of an item that a dotted name stands for."""
    value: Any = item
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


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
