"""docs/wire-and-disk.md says what the code does: records, tags, limits, versions."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import msgspec
import pytest

from ledger.block import HEADER_LIMIT_BYTES, PROTOCOL_VERSION
from ledger.codec import MAX_DEPTH, Wire
from ledger.crypto.fieldtree import FIELDS_MAX, PATH_BYTES_MAX, PATH_DEPTH_MAX, VALUE_BYTES_MAX
from ledger.crypto.hashing import Tag
from ledger.genesis import GENESIS_LIMIT_BYTES, GENESIS_VERSION
from ledger.merkle import PROOF_LIMIT_BYTES
from ledger.proof import LINKS_MAX
from ledger.receipt import receipt_codec
from ledger.registry.lookup import NONCE_WINDOW
from ledger.transaction import ENVELOPE_LIMIT_BYTES, SIGNERS_MAX, TX_VERSION

PAGE = (Path(__file__).parent.parent.parent / "docs" / "wire-and-disk.md").read_text(encoding="utf-8")
RECORDS = re.findall(r"^\| `(\w+)` \| `([\w.]+)` \| (.+) \|$", PAGE, re.MULTILINE)


def section(name: str) -> str:
    return PAGE.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]


@pytest.mark.parametrize(("record", "module", "fields"), RECORDS, ids=[row[0] for row in RECORDS])
def test_each_record_has_the_fields_of_the_page(record: str, module: str, fields: str) -> None:
    kind = getattr(importlib.import_module(module), record)
    assert list(kind.__struct_fields__) == fields.split(", ")
    assert kind.__struct_config__.array_like
    assert kind.__struct_config__.forbid_unknown_fields


def test_no_record_of_the_ledger_is_missing_on_the_page() -> None:
    known = {(name, module) for name, module, _ in RECORDS}
    written: set[tuple[str, str]] = set()
    for module in {module for _, module, _ in RECORDS}:
        for name, kind in vars(importlib.import_module(module)).items():
            if isinstance(kind, type) and issubclass(kind, Wire) and kind is not Wire and kind.__module__ == module:
                written.add((name, module))
    assert written == known
    assert issubclass(Wire, msgspec.Struct)


def test_s2_the_tags_are_those_of_the_page() -> None:
    assert re.findall(r"`([^`]+)`", section("tags")) == [tag.value for tag in Tag]


def test_limits_and_versions_are_those_of_the_page() -> None:
    assert TX_VERSION == PROTOCOL_VERSION == GENESIS_VERSION == 1
    for name, value in (
        ("transaction envelope", ENVELOPE_LIMIT_BYTES),
        ("block header", HEADER_LIMIT_BYTES),
        ("receipt", receipt_codec.limit_bytes),
        ("state proof", PROOF_LIMIT_BYTES),
        ("genesis document", GENESIS_LIMIT_BYTES),
    ):
        assert f"| {name} | {value:,} bytes |" in PAGE
    assert (MAX_DEPTH, SIGNERS_MAX, NONCE_WINDOW, LINKS_MAX) == (32, 8, 256, 8)
    assert (PATH_DEPTH_MAX, PATH_BYTES_MAX, VALUE_BYTES_MAX, FIELDS_MAX) == (8, 128, 65_536, 4_096)
