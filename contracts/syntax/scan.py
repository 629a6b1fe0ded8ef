"""Bytes to tokens (contracts section 3). Door: `scan(source) -> list[Token]`.

Rules
    * A source is printable ASCII and line feeds, nothing else (L1); lines are handled one at a time.
    * Blocks are indented by four spaces (L2). INDENT, DEDENT and NEWLINE are tokens of their own.
    * A number is followed by a space or a sign that cannot belong to it (L5).
    * Texts are taken apart here: a value is a tuple of literal strings and paths (L7).
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from contracts.errors import SourceError, quote
from contracts.limits import INT_MAX, LINE_CHARS, NAME_CHARS, SOURCE_BYTES, TEXT_CHARS
from contracts.values import date_number, text_problem

RESERVED: Final = frozenset({
    "abort", "and", "append", "as", "by", "delete", "elif", "else", "emit", "ensure", "exists", "expect", "false",
    "for", "if", "in", "insert", "is", "let", "none", "not", "of", "old", "or", "pass", "put", "remove", "require",
    "return", "role", "true", "update", "var", "where", "zero",
})  # fmt: skip
"""Words that are never names (L4)."""


class Token(NamedTuple):
    """`kind`: NAME WORD TYPE CCY CODE INT DECIMAL PERCENT DATE TEXT OP NEWLINE INDENT DEDENT END."""

    kind: str
    text: str
    value: Any
    line: int
    column: int


_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_TYPE: Final = re.compile(r"[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*", re.ASCII)
_CCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)
_CODE: Final = re.compile(r"[A-Z]{1,4}[0-9]{1,3}", re.ASCII)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_NUMBER: Final = re.compile(r"([0-9]+(?:_[0-9]+)*)(?:\.([0-9]+))?(%)?", re.ASCII)
_OP: Final = re.compile(r"->|==|!=|<=|>=|\+=|-=|[-+*/<>=()\[\]{}:,.?@]", re.ASCII)
_PATH: Final = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*", re.ASCII)
_ESCAPE: Final = re.compile(r'\\(?:(["\\])|u\{([0-9A-Fa-f]{1,6})\})', re.ASCII)
_ALLOWED: Final = bytes([0x0A, *range(0x20, 0x7F)])


def scan(source: bytes) -> list[Token]:
    """Return the tokens of `source`, ending in END; raise `SourceError` at the first byte that fits no rule."""
    return _Scanner(_checked_text(source)).run()


def _checked_text(source: bytes) -> str:
    """Check size, bytes and line lengths before any other work (L1)."""
    if len(source) > SOURCE_BYTES:
        raise SourceError("limit", 1, 1, f"the source has {len(source)} bytes, the limit is {SOURCE_BYTES}")
    strange = source.translate(None, _ALLOWED)
    if strange:
        at = min(source.index(bytes([b])) for b in dict.fromkeys(strange))
        line = source.count(b"\n", 0, at) + 1
        column = at - (source.rfind(b"\n", 0, at) + 1) + 1
        raise SourceError(
            "bad_byte", line, column, f"byte 0x{source[at]:02X} is neither printable ASCII nor a line end"
        )
    text = source.decode("ascii")
    for number, row in enumerate(text.split("\n"), 1):
        if len(row) > LINE_CHARS:
            raise SourceError("limit", number, LINE_CHARS + 1, f"the line is longer than {LINE_CHARS} characters")
    if not text.endswith("\n"):
        raise SourceError("bad_byte", text.count("\n") + 1, 1, "the last line does not end in a line feed (0x0A)")
    return text


def _no_word(word: str) -> str:
    """Return why `word` is of no class of L3."""
    if word[0].islower():
        return f"{quote(word)} is no name: names are small letters, digits and _"
    if "_" not in word and len(word) < NAME_CHARS:
        return f"{quote(word)} is no type: a type has a small letter, for example {word}x"
    return f"{quote(word)} is neither a name, a type, a currency nor a rule id"


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")[:-1]
        self.tokens: list[Token] = []
        self.open = 0
        self.indent = 0
        self.line = 0

    def run(self) -> list[Token]:
        continued = False
        for number, row in enumerate(self.lines, 1):
            self.line = number
            body = row.lstrip(" ")
            if not body or body.startswith("#"):
                continue
            start = len(row) - len(body)
            if not continued:
                self._indentation(start)
            self._tokens(row, start)
            continued = self.open > 0 or (self.tokens[-1].text == "," and self.tokens[-1].kind == "OP")
            if not continued:
                self._add("NEWLINE", "", None, len(row) + 1)
        self.line = len(self.lines) + 1
        if continued:
            raise SourceError("syntax", self.line, 1, "the file ends inside a bracket or after a comma")
        while self.indent > 0:
            self.indent -= 1
            self._add("DEDENT", "", None, 1)
        self._add("END", "", None, 1)
        return self.tokens

    def _add(self, kind: str, text: str, value: Any, column: int) -> None:
        self.tokens.append(Token(kind, text, value, self.line, column))

    def _fail(self, code: str, column: int, text: str) -> SourceError:
        return SourceError(code, self.line, column, text)

    def _indentation(self, spaces: int) -> None:
        if spaces % 4:
            raise self._fail("bad_indent", 1, f"{spaces} spaces: a block is indented by exactly 4")
        level = spaces // 4
        if level > self.indent + 1 or (level > self.indent and not self.tokens):
            raise self._fail("bad_indent", 1, "the line is indented by more than one block")
        if level > self.indent:
            self.indent = level
            self._add("INDENT", "", None, 1)
        while level < self.indent:
            self.indent -= 1
            self._add("DEDENT", "", None, 1)

    def _tokens(self, row: str, at: int) -> None:
        end = len(row)
        while at < end:
            char = row[at]
            if char == " ":
                at += 1
            elif char == "#":
                return
            elif char == '"':
                at = self._text(row, at)
            elif char.isdigit():
                at = self._number(row, at)
            elif char.isalpha():
                at = self._word(row, at)
            else:
                found = _OP.match(row, at)
                if found is None:
                    raise self._fail("bad_token", at + 1, f"{quote(char)} has no meaning here")
                sign = found.group()
                if sign in "([{":
                    self.open += 1
                elif sign in ")]}":
                    self.open = max(0, self.open - 1)
                self._add("OP", sign, None, at + 1)
                at = found.end()

    def _word(self, row: str, at: int) -> int:
        found = _WORD.match(row, at)
        word = "" if found is None else found.group()
        end = at + len(word)
        if len(word) > NAME_CHARS:
            raise self._fail("limit", at + 1, f"{quote(word)} is longer than {NAME_CHARS} characters")
        if _NAME.fullmatch(word):
            kind = "WORD" if word in RESERVED else "NAME"
        elif _CCY.fullmatch(word):
            kind = "CCY"
        elif _CODE.fullmatch(word):
            kind = "CODE"
        elif _TYPE.fullmatch(word):
            kind = "TYPE"
        else:
            raise self._fail("bad_token", at + 1, _no_word(word))
        self._add(kind, word, None, at + 1)
        return end

    def _number(self, row: str, at: int) -> int:
        date = _DATE.match(row, at)
        if date is not None:
            if date_number(date.group()) is None:
                raise self._fail("bad_token", at + 1, f"{date.group()} is no date of the calendar")
            self._add("DATE", date.group(), date.group(), at + 1)
            return self._number_end(row, date.end())
        found = _NUMBER.match(row, at)
        if found is None:
            raise self._fail("bad_token", at + 1, "not a number")
        whole = found.group(1).replace("_", "")
        places = found.group(2)
        if len(whole) > 1 and whole[0] == "0":
            raise self._fail("bad_token", at + 1, "a number has no leading zero")
        if len(whole) > 19 or int(whole) > INT_MAX:
            raise self._fail("bad_token", at + 1, f"{quote(whole)} is above {INT_MAX}")
        if places is not None and len(places) > 12:
            raise self._fail("bad_token", at + 1, "a decimal has at most 12 places")
        plain = whole if places is None else f"{whole}.{places}"
        if found.group(3):
            self._add("PERCENT", plain + "%", plain, at + 1)
        elif places is not None:
            self._add("DECIMAL", plain, plain, at + 1)
        else:
            self._add("INT", plain, int(whole), at + 1)
        return self._number_end(row, found.end())

    def _number_end(self, row: str, end: int) -> int:
        if end < len(row) and (row[end].isalnum() or row[end] in "_.-%"):
            raise self._fail("bad_token", end + 1, f"{quote(row[end])} may not follow a number directly")
        return end

    def _text(self, row: str, start: int) -> int:
        parts: list[str | tuple[str, ...]] = []
        literal: list[str] = []
        at, end = start + 1, len(row)
        while True:
            if at >= end:
                raise self._fail("bad_token", start + 1, "the text is not closed on its line")
            char = row[at]
            if char == '"':
                at += 1
                break
            if char == "\\":
                found = _ESCAPE.match(row, at)
                if found is None:
                    raise self._fail("bad_token", at + 1, 'after a backslash stands ", \\ or u{hex}')
                literal.append(found.group(1) or self._code_point(found.group(2), at))
                at = found.end()
            elif char in "{}":
                if row[at + 1 : at + 2] == char:
                    literal.append(char)
                    at += 2
                    continue
                path = _PATH.match(row, at + 1) if char == "{" else None
                if path is None or row[path.end() : path.end() + 1] != "}":
                    raise self._fail(
                        "bad_token", at + 1, "braces hold a name or a field of one; write {{ or }} for a brace"
                    )
                if literal:
                    parts.append("".join(literal))
                    literal = []
                parts.append(tuple(path.group().split(".")))
                at = path.end() + 1
            else:
                literal.append(char)
                at += 1
        if literal:
            parts.append("".join(literal))
        if sum(len(part) for part in parts if isinstance(part, str)) > TEXT_CHARS:
            raise self._fail("limit", start + 1, f"a text has at most {TEXT_CHARS} code points")
        self._add("TEXT", row[start:at], tuple(parts), start + 1)
        return at

    def _code_point(self, digits: str, at: int) -> str:
        number = int(digits, 16)
        char = chr(number) if number <= 0x10FFFF else ""
        if not char or text_problem(char):
            raise self._fail("bad_token", at + 1, f"U+{number:04X} may not stand in a text")
        return char
