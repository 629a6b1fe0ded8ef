"""Sentences with parts that change, looked up by what they say in English.

What nodes compare or programs read is English everywhere; people read their own language. A table has each English
sentence, with `{1}`, `{2}` for the parts that change, and the sentence of the other language with the same parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

_PLACE: Final = re.compile(r"\{\d\}")
_COMPANY: Final = re.compile(r"\bc[a-z2-7]{26}\b", re.ASCII)


class Sentence(NamedTuple):
    """One row of a table, ready to be compared."""

    pattern: re.Pattern[str]
    told: str


class Told(NamedTuple):
    """The sentence of the other language, its parts still open, and the parts that were found, in order."""

    text: str
    parts: Sequence[str]

    def filled(self, parts: Sequence[str]) -> str:
        """Return the sentence with `parts` in their places."""
        return _PLACE.sub(lambda place: parts[int(place[0][1:-1]) - 1], self.text)


def compiled(table: Mapping[str, str]) -> tuple[Sentence, ...]:
    """Return the rows of English -> other language, those with the most fixed letters first."""
    ordered = sorted(table, key=lambda english: (-len(_PLACE.sub("", english)), english))
    return tuple(
        Sentence(re.compile("(.+?)".join(map(re.escape, _PLACE.split(english))), re.DOTALL), table[english])
        for english in ordered
    )


def look_up(rows: Sequence[Sentence], text: str) -> Told | None:
    """Return what an English sentence is in the other language, or None if no row fits the whole of it.

    >>> look_up(compiled({"height {1} of {2}": "{2} 的高度 {1}"}), "height 3 of acme").filled(["3", "acme"])
    'acme 的高度 3'
    """
    for pattern, told in rows:
        found = pattern.fullmatch(text)
        if found is not None:
            return Told(told, found.groups())
    return None


def named(text: str, names: Mapping[str, str]) -> str:
    """Return `text` with the names of companies for their ids, as far as `names` has them: contracts know ids only.

    >>> named(f"the limit of c{26 * 'a'} is frozen, not that of c{26 * 'b'}", {"c" + 26 * "a": "Acme"})
    'the limit of Acme is frozen, not that of cbbbbbbbbbbbbbbbbbbbbbbbbbb'
    """
    return _COMPANY.sub(lambda place: names.get(place[0], place[0]), text)


def names_in(transaction: Mapping[str, Any]) -> dict[str, str]:
    """Return the names that a transaction in the form of the API has beside the ids of its arguments and signers.

    >>> names_in({"args": [{"name": "buyer", "value": {"id": "c1", "name": "Acme"}}], "signers": []})
    {'c1': 'Acme'}
    """
    values = [argument["value"] for argument in transaction.get("args", ())]
    names = {
        str(one["id"]): str(one["name"]) for one in values if isinstance(one, Mapping) and {"id", "name"} <= one.keys()
    }
    return names | {str(one["company"]): str(one["company_name"]) for one in transaction.get("signers", ())}


__all__ = ["Sentence", "Told", "compiled", "look_up", "named", "names_in"]
