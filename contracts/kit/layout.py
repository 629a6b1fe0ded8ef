"""One layout for every contract: spaces, indentation of continued lines, comments (`hansa contract fmt`).

Lines stay where they are, because aborts name them and the IR keeps them; so a tidy source has the same IR hash as the
one it came from. Doors: `tidy(source) -> bytes`, which is idempotent, and `logical_lines` for comparing sources.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from contracts.limits import LINE_CHARS
from contracts.syntax.scan import Token, scan

_NUMBER: Final = re.compile(r"[0-9][0-9_.]*%?", re.ASCII)
_VALUES: Final = frozenset({"NAME", "TYPE", "CCY", "CODE", "INT", "DECIMAL", "PERCENT", "DATE", "TEXT"})
_CLOSING: Final = (")", "]", "}", "?")
_VALUE_WORDS: Final = ("true", "false", "none", "zero")


class Line(NamedTuple):
    """One logical line: where it begins, how deep it stands, and its text with the usual spaces and no comment."""

    number: int
    level: int
    text: str


def tidy(source: bytes) -> bytes:
    """Return `source` in the one layout; raise `SourceError` when it is no text of the language."""
    rows = source.decode("ascii").split("\n")[:-1] if source.isascii() else []
    by_line: dict[int, list[Token]] = {}
    level, levels, starts = 0, dict[int, int](), dict[int, bool]()
    fresh = True
    for token in scan(source):
        if token.kind in ("INDENT", "DEDENT"):
            level += 1 if token.kind == "INDENT" else -1
        elif token.kind == "NEWLINE":
            fresh = True
        elif token.kind != "END":
            line = by_line.setdefault(token.line, [])
            if not line:
                levels[token.line], starts[token.line] = level, fresh
            line.append(token)
            fresh = False
    shaper = _Shaper(rows)
    done = []
    for number, row in enumerate(rows, 1):
        tokens = by_line.get(number)
        if tokens is None:
            done.append(_comment_line(row))
            continue
        shaped = shaper.line(number, tokens, 4 * levels[number], starts[number])
        done.append(shaped if len(shaped) <= LINE_CHARS else row.rstrip(" "))
    return ("\n".join(done) + "\n").encode("ascii")


def logical_lines(source: bytes) -> list[Line]:
    """Return the logical lines of a source, each in one piece with the usual spaces, without comments."""
    rows = source.decode("ascii").split("\n")
    found: list[Line] = []
    level = 0
    kept: list[Token] = []
    for token in scan(source):
        if token.kind in ("INDENT", "DEDENT"):
            level += 1 if token.kind == "INDENT" else -1
        elif token.kind == "NEWLINE":
            text = "".join(space + _written(rows, item) for space, item in _spaced(kept))
            found.append(Line(kept[0].line, level, text))
            kept = []
        elif token.kind != "END":
            kept.append(token)
    return found


def _comment_line(row: str) -> str:
    body = row.strip(" ")
    return "" if not body else row[: len(row) - len(row.lstrip(" "))] + _comment(body)


def _comment(text: str) -> str:
    """Return a comment with one space after its sign."""
    rest = text[1:].rstrip(" ")
    return "#" + rest if not rest or rest[0] in " #!" else "# " + rest


def _written(rows: list[str], token: Token) -> str:
    """Return a token as it is written; numbers keep their underscores and places."""
    if token.kind in ("INT", "DECIMAL", "PERCENT"):
        found = _NUMBER.match(rows[token.line - 1], token.column - 1)
        return token.text if found is None else found.group()
    return token.text


def _spaced(tokens: list[Token], before: Token | None = None, older: Token | None = None) -> list[tuple[str, Token]]:
    """Return each token with the space before it; `before` is the last token of the line above."""
    found = []
    first = True
    for token in tokens:
        space = "" if first or before is None or _tight(older, before, token) else " "
        found.append((space, token))
        older, before, first = before, token, False
    return found


def _tight(older: Token | None, left: Token, right: Token) -> bool:
    """Tell whether no space stands between two tokens."""
    if right.kind == "OP" and right.text in (")", "]", "}", ",", ":", ".", "?", "@"):
        return True
    if left.kind == "OP" and left.text in ("(", "[", "{", ".", "@"):
        return True
    if left.kind == "OP" and left.text == "-" and not _is_value(older):
        return True
    if right.kind == "OP" and right.text in ("(", "["):
        if left.kind == "NAME":
            clause = (right.text == "(" and left.text == "index" and older is None) or (
                left.text == "key" and older is not None and older.kind == "TYPE"
            )
            return not clause
        return left.kind == "TYPE" or (left.kind == "OP" and left.text in _CLOSING) or left.text == "old"
    return False


def _is_value(token: Token | None) -> bool:
    """Tell whether a `-` after this token takes something away from it."""
    if token is None:
        return False
    if token.kind == "OP":
        return token.text in _CLOSING
    return token.kind in _VALUES or token.text in _VALUE_WORDS


class _Shaper:
    """Shapes one line after the other; remembers open brackets for the lines that continue."""

    def __init__(self, rows: list[str]) -> None:
        self.rows = rows
        self.open: list[int] = []
        """Column at which a continued line begins, for each open bracket."""
        self.last: Token | None = None
        self.older: Token | None = None
        self.base = 0

    def line(self, number: int, tokens: list[Token], indent: int, starts: bool) -> str:
        if starts:
            self.open, self.last, self.older, self.base = [], None, None, indent
        else:
            closing = tokens[0].kind == "OP" and tokens[0].text in _CLOSING
            indent = self.open[-1] if self.open else self.base + 4
            if closing and self.open and indent == self.base + 4:
                indent = self.base
        before = (list(self.open), self.last, self.older)
        shaped = self._shape(number, tokens, indent)
        if len(shaped) > LINE_CHARS and indent > self.base + 4:
            self.open, self.last, self.older = before
            shaped = self._shape(number, tokens, self.base + 4)
        return shaped

    def _shape(self, number: int, tokens: list[Token], indent: int) -> str:
        shaped = " " * indent
        pieces = _spaced(tokens, self.last, self.older)
        for at, (space, token) in enumerate(pieces):
            shaped += space + _written(self.rows, token)
            if token.kind == "OP" and token.text in ("(", "[", "{"):
                self.open.append(len(shaped) if at + 1 < len(pieces) else self.base + 4)
            elif token.kind == "OP" and token.text in (")", "]", "}") and self.open:
                self.open.pop()
            self.older, self.last = self.last, token
        return shaped + self._trailing(number, tokens[-1], len(shaped))

    def _trailing(self, number: int, last: Token, width: int) -> str:
        """Return the comment at the end of a line, in its column when there is room, after two spaces otherwise."""
        row = self.rows[number - 1]
        end = last.column - 1 + len(_written(self.rows, last))
        at = row.find("#", end)
        if at < 0:
            return ""
        comment = _comment(row[at:])
        room = LINE_CHARS - width - len(comment)
        return " " * max(2, min(at - width, room)) + comment
