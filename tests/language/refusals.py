"""The refused programs of refused.txt, one chunk each: (code and place, title, source); and what is just allowed."""

from __future__ import annotations

import re
from pathlib import Path

HEAD = """contract c version 1
enum Phase: open, closed
table Tab key id: text(8):
    n: int, m: money, p: party, on: date, flag: bool, phase: Phase
    index (p, n)
event Done: n: int
"""


def _chunks() -> list[tuple[str, str, str]]:
    text = (Path(__file__).parent / "refused.txt").read_text(encoding="ascii")
    found = []
    for chunk in re.split(r"^### ", text, flags=re.M)[1:]:
        header, _, body = chunk.partition("\n")
        wanted, place, *title = header.split(" ")
        source = HEAD + body if wanted.startswith("+") else body
        found.append((f"{wanted.lstrip('+')} {place}", " ".join(title), source))
    return found


CHUNKS = _chunks()


AT_THE_BOUND = {
    "sixteen schedules": "".join(f"schedule s{letter} every day:\n    pass\n" for letter in "abcdefghijklmnop"),
    "four schedules a table": "".join(f"schedule s{letter} on Tab.on:\n    pass\n" for letter in "abcd"),
    "four a table and one every day": "schedule daily every day:\n    pass\n"
    + "".join(f"schedule s{letter} on Tab.on:\n    pass\n" for letter in "abcd"),
    "a thousand turns": "action go() by anyone:\n    for i in range(1000):\n        pass\n",
    "no turn": "action go() by anyone:\n    for i in range(0):\n        pass\n",
    "a long refusal": 'action go(a: text(4000), b: text(96)) by anyone:\n    require a == b else no "{a}{b}"\n',
    "every branch returns": "query q(n: int) -> int:\n    if n > 1:\n        return 1\n    elif n > 0:\n        return 2\n"
    "    else:\n        return 3\n",
    "readers": "table Own key id: int:\n    owner: party, holder: party\n    readers holder, owner\n",
    "schedule with a filter": "schedule s on Tab.on - 3 days where row.n > 0 and row.flag:\n    update Tab[row.id] with n = 0\n",
    "sums of three tables": "table One key id: int:\n    n: int\ntable Two key id: int:\n    n: int\n"
    "invariant unchanged sum(One.n) + sum(Two.n) - sum(Tab.n)\n",
    "a filter with texts": 'query q(t: text(40)) -> int:\n    for r in Tab where "{r.id}{t}" == t and r.flag limit 7:\n'
    "        return r.n\n    return 0\n",
}
"""Declarations after `HEAD` that are accepted, at a bound or in a form that no other program has."""
