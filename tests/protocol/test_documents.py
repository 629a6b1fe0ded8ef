"""The protocol documents say what the code does: rules are cited, tables are complete (style 19, 21)."""

from __future__ import annotations

import re
import typing
from pathlib import Path

import msgspec
import pytest

from consensus.messages import Message
from consensus.records import Record
from ledger.block import Header
from ledger.evidence import Evidence
from node.core.messages import PeerMessage

ROOT = Path(__file__).parents[2]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
TABLE = (ROOT / "docs" / "message-table.md").read_text(encoding="utf-8")
RULES = re.findall(r"\*\*(P\d+)\*\*", PROTOCOL)
ELSEWHERE = {"P1", "P21", "P22", "P55", "P91", "P98", "P107", "P126", "P130", "P162"}
"""Stated for the reader; kept by the model, the transport, the driver or the mempool, or cited in a wider range."""


def sources() -> str:
    files = [*ROOT.glob("consensus/*.py"), *ROOT.glob("ledger/*.py"), *ROOT.glob("tests/consensus/*.py")]
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(files))


def cited() -> set[str]:
    """Rule numbers in code and tests, with ranges such as P30-P38 counted as their ends and members."""
    text = sources()
    found = set(re.findall(r"\bP\d+\b", text))
    found |= {number.upper() for number in re.findall(r"\bp\d+(?=_)", text)}
    found |= {name.upper() for name in re.findall(r"_(p\d+)_", text)}
    for low, high in re.findall(r"\bP(\d+)-P(\d+)\b", text):
        found |= {f"P{number}" for number in range(int(low), int(high) + 1)}
    return found | {rule.rstrip("abcdefghi") for rule in re.findall(r"\bP\d+[a-i]\b", text)}


def test_rule_numbers_are_unique_and_ascending() -> None:
    numbers = [int(rule[1:]) for rule in RULES]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 70


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_cited_by_code_or_tests(rule: str) -> None:
    assert rule in cited() or rule in ELSEWHERE


def test_code_cites_only_rules_that_exist() -> None:
    later = {"P80", "P85", "P112", "P118", "P150"}  # named in the list of what is not built yet, or by the ledger
    for rule in cited():
        assert rule in RULES or rule in later, rule


def rows(heading: str) -> dict[str, tuple[int, list[str]]]:
    part = TABLE.split(heading)[1].split("\n## ")[0]
    found = re.findall(r"^\| (\d+) \| (\w+) \| ([^|]+) \|", part, re.MULTILINE)
    return {name: (int(tag), [field.strip() for field in fields.split(",")]) for tag, name, fields in found}


def negative(one: msgspec.inspect.Type, path: str) -> list[str]:
    """Return where a value of this type may hold an integer below zero."""
    if isinstance(one, msgspec.inspect.IntType):
        return [] if one.ge == 0 else [path]
    if isinstance(one, msgspec.inspect.StructType):
        return [found for field in one.fields for found in negative(field.type, f"{path}.{field.name}")]
    if isinstance(one, msgspec.inspect.VarTupleType):
        return negative(one.item_type, path)
    if isinstance(one, msgspec.inspect.TupleType | msgspec.inspect.UnionType):
        parts = one.item_types if isinstance(one, msgspec.inspect.TupleType) else one.types
        return [found for part in parts for found in negative(part, path)]
    return []


def test_s5_no_integer_that_peers_send_can_be_negative() -> None:
    """A chunk of number -1 once passed for something else: rules behind the decoder never meet such a number."""
    kinds = (*typing.get_args(PeerMessage), Header, Evidence)  # the last two within bytes
    assert len(kinds) > 20
    assert [found for kind in kinds for found in negative(msgspec.inspect.type_info(kind), kind.__name__)] == []


AROUND = tuple(one for one in typing.get_args(PeerMessage) if one not in typing.get_args(Message))


@pytest.mark.parametrize(
    ("heading", "kinds"),
    [
        ("## Messages", typing.get_args(Message)),
        ("## Around the replica", AROUND),
        ("## Journal records", typing.get_args(Record)),
    ],
)
def test_the_message_table_names_every_tag_and_field(heading: str, kinds: tuple[type, ...]) -> None:
    code = {one.__name__: (one.__struct_config__.tag, list(one.__struct_fields__)) for one in kinds}
    assert rows(heading) == code
