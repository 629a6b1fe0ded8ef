"""docs/governance.md says what the code does: calls, kinds, refusals, events, bounds."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ledger.genesis import MEMBERS_MIN_PRODUCTION
from ledger.governance.act import EVENTS
from ledger.governance.calls import METHODS, OPEN_PER_COMPANY
from ledger.governance.members import MEMBERS_MAX_PRODUCTION
from ledger.governance.network import RENEWAL_MS, SUSPENSION_MS
from ledger.governance.records import PAYLOADS
from ledger.governance.refusal import CODES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "governance.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_calls_are_those_of_the_page() -> None:
    listed = re.findall(r"^\| `(\w+)\(([\w, ]+)\)` \|", section("Calls"), re.MULTILINE)
    assert listed == [(name, ", ".join(field for field, _ in method.arguments)) for name, method in METHODS.items()]


def test_the_kinds_and_their_payloads_are_those_of_the_page() -> None:
    listed = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", section("Kinds"), re.MULTILINE)
    assert [kind for kind, _ in listed] == list(PAYLOADS)
    vectors = json.loads((ROOT / "tests" / "vectors" / "governance.json").read_text(encoding="ascii"))
    example = {row["kind"]: bytes.fromhex(row["payload"]) for row in vectors["payloads"]}
    for kind, record in listed:
        assert type(PAYLOADS[kind].decode(example[kind])).__name__ == record


def test_the_refusals_are_those_of_the_page() -> None:
    between = PAGE.split("<!-- codes -->")[1].split("<!-- /codes -->")[0]
    assert re.findall(r"`(\w+)`", between) == list(CODES)


def test_the_events_are_those_of_the_page() -> None:
    listed = re.findall(r"^\| `(\w+)` \| (.+) \|$", section("Events"), re.MULTILINE)
    assert listed == [
        (name, ", ".join(f"{field}: {kind}" for field, kind in fields)) for name, fields in EVENTS.items()
    ]


def test_the_bounds_are_those_of_the_page() -> None:
    assert (MEMBERS_MIN_PRODUCTION, MEMBERS_MAX_PRODUCTION, OPEN_PER_COMPANY) == (4, 64, 4)
    assert (SUSPENSION_MS, RENEWAL_MS) == (24 * 3_600_000, 7 * 24 * 3_600_000)
