"""What changed between two versions, rule by rule (`hansa contract diff`). Door: `compare(old, new) -> list[Change]`.

Sources are compared by declaration and by logical line, in the one layout and without comments, so moving code or
changing spaces is no change. A line that begins with one of RULES is a rule: somebody's right or duty depends on it.
So is a line that calls what may refuse, and one on which such lines depend: what a condition compares, and what a query
or a function in a condition returns. Names decide that, so a line may be taken for a rule that only looks like one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from contracts.kit.layout import Line, logical_lines

RULES: Final = (
    "require", "ensure", "invariant", "action", "schedule", "readers", "query", "for", "const", "if", "elif",
)  # fmt: skip
"""First words of lines that grant, refuse, bound or promise something; rules use constants, and conditions choose."""

_WORD: Final = re.compile(r'"(?:[^"\\]|\\.)*"|([a-z][a-z0-9_]*)( ?\()?')
"""A text, which names nothing here, or a name and whether it is called."""
_TARGET: Final = re.compile(
    r"(?:(?:let|var) )?([a-z][a-z0-9_]*)(?:: [^=]+|\[.*\])? [-+]?= |append .* to ([a-z0-9_]+)$|remove ([a-z0-9_]+)"
)
"""Which local a statement sets or changes."""
_OUT: Final = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\(")
"""A statement that calls another contract, which may refuse."""


class Change(NamedTuple):
    """`kind`: added, removed or changed. `old_line` and `new_line` are 0 where there is none; texts are empty then."""

    kind: str
    declaration: str
    rule: bool
    old_line: int
    new_line: int
    old: str
    new: str


def compare(old: bytes, new: bytes) -> list[Change]:
    """Return what differs, in the order of the new source; removed declarations stand at the end.

    Raises `SourceError` when one of them is no text of the language. Tests are not compared: they change nothing.
    """
    before, after = _declarations(old), _declarations(new)
    rules = _deciding(before), _deciding(after)
    found: list[Change] = []
    for name, lines in after.items():
        if name not in before:
            found.append(Change("added", name, True, 0, lines[0].number, "", lines[0].text))
        else:
            found += _lines(name, before[name], lines, rules)
    for name, lines in before.items():
        if name not in after:
            found.append(Change("removed", name, True, lines[0].number, 0, lines[0].text, ""))
    return found


def _declarations(source: bytes) -> dict[str, list[Line]]:
    """Return the lines of each declaration by its kind and name; invariants count up, because they have no name."""
    found: dict[str, list[Line]] = {}
    name = ""
    for line in logical_lines(source):
        if line.level == 0:
            words = line.text.replace("(", " ").replace(":", " ").split(" ")
            name = f"{words[0]} {words[1]}" if len(words) > 1 else words[0]
            if words[0] in ("invariant", "uses", "contract"):
                name = line.text if words[0] == "invariant" else name.partition("@")[0]
        if not name.startswith("test"):
            found.setdefault(name, []).append(line)
    return found


def _deciding(declarations: Mapping[str, Sequence[Line]]) -> dict[int, bool]:
    """Return the numbers of all lines that are rules, that may refuse, or on which one of these depends.

    Lines are looked at from the last to the first, because a local is set before it is used: a long chain of them takes
    one turn.
    """
    read = [
        (name, line, _local(line.text), [(word, bool(call)) for word, call in _WORD.findall(line.text) if word])
        for name, lines in declarations.items()
        for line in lines
    ]
    read.reverse()
    rules: dict[int, bool] = {}
    needed: dict[tuple[str, str], bool] = {}
    """(declaration, local) of what decides."""
    asked = {name: True for name in declarations if name.startswith("query ")}
    """Declarations whose answer decides: queries for whoever calls, functions that a rule calls."""
    strict: dict[str, bool] = {}
    """Functions and queries that may refuse."""
    size = -1
    while size != len(rules) + len(needed) + len(asked) + len(strict):
        size = len(rules) + len(needed) + len(asked) + len(strict)
        for name, line, local, words in read:
            first = line.text.partition(" ")[0]
            refuses = (
                first in ("require", "ensure")
                or _OUT.match(line.text) is not None
                or any(call and word in strict for word, call in words)
            )
            if refuses and line.level > 0:
                strict[name.partition(" ")[2]] = True
            if refuses or first in RULES or (first == "return" and name in asked) or (name, local) in needed:
                rules[line.number] = True
                for word, call in words:
                    needed[name, word] = True
                    if call and f"function {word}" in declarations:
                        asked[f"function {word}"] = True
    return rules


def _local(text: str) -> str:
    """Return the local that a statement sets or changes, or ""."""
    target = _TARGET.match(text)
    return "" if target is None else next(part for part in target.groups() if part)


def _lines(
    name: str, old: Sequence[Line], new: Sequence[Line], rules: tuple[Mapping[int, bool], Mapping[int, bool]]
) -> list[Change]:
    """Return the changed lines of one declaration: what stands on one side only, paired in order by its first word."""
    kept = _common([_shown(line) for line in old], [_shown(line) for line in new])
    gone = [line for at, line in enumerate(old) if at not in kept[0]]
    come = [line for at, line in enumerate(new) if at not in kept[1]]
    found: list[Change] = []
    for line in come:
        partner = next((item for item in gone if _same_rule(item, line)), None)
        if partner is not None:
            gone.remove(partner)
            found.append(_change("changed", name, partner, line, rules))
        else:
            found.append(_change("added", name, None, line, rules))
    return found + [_change("removed", name, line, None, rules) for line in gone]


def _shown(line: Line) -> str:
    return " " * line.level + line.text


def _change(
    kind: str,
    name: str,
    old: Line | None,
    new: Line | None,
    rules: tuple[Mapping[int, bool], Mapping[int, bool]],
) -> Change:
    rule = (old is not None and old.number in rules[0]) or (new is not None and new.number in rules[1])
    return Change(
        kind, name, rule, 0 if old is None else old.number, 0 if new is None else new.number,
        "" if old is None else old.text, "" if new is None else new.text,
    )  # fmt: skip


def _same_rule(old: Line, new: Line) -> bool:
    """Tell whether two lines can be one line that changed: the same first word, and the same reason of a refusal."""
    first, second = old.text.split(" "), new.text.split(" ")
    if first[0] != second[0] or old.level != new.level:
        return False
    if first[0] in ("require", "ensure"):
        return _reason(old.text) == _reason(new.text)
    return (
        first[0] in ("action", "query", "function", "table", "contract", "for", "if", "return")
        or first[:2] == second[:2]
    )


def _reason(text: str) -> str:
    """Return the reason of a refusal, or its text where it has no reason."""
    tail = text.rpartition(" else ")[2]
    return tail if tail.startswith('"') else tail.partition(" ")[0]


def _common(old: Sequence[str], new: Sequence[str]) -> tuple[dict[int, bool], dict[int, bool]]:
    """Return the positions of a longest common part of both, in order; lists have at most some thousand lines."""
    first = 0
    while first < min(len(old), len(new)) and old[first] == new[first]:
        first += 1
    left: dict[int, bool] = dict.fromkeys(range(first), True)
    right = dict(left)
    rest_old, rest_new = old[first:], new[first:]
    best = [[0] * (len(rest_new) + 1) for _ in range(len(rest_old) + 1)]
    for i in range(len(rest_old) - 1, -1, -1):
        for j in range(len(rest_new) - 1, -1, -1):
            same = rest_old[i] == rest_new[j]
            best[i][j] = best[i + 1][j + 1] + 1 if same else max(best[i + 1][j], best[i][j + 1])
    i = j = 0
    while i < len(rest_old) and j < len(rest_new):
        if rest_old[i] == rest_new[j]:
            left[first + i] = right[first + j] = True
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
    return left, right
