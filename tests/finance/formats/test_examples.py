"""Documents that nobody here wrote, where they are present (X50, X53)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from finance.formats import ReadOptions, describe, read, write_ubl
from finance.formats.ubl_writer import NotExportable
from finance.totals import recompute

FOLDER = os.environ.get("HANSA_EXAMPLE_DOCUMENTS", "")
PATHS = sorted(path for path in Path(FOLDER, "invoices").rglob("*") if path.is_file()) if FOLDER else []
LENIENT = ReadOptions(strict=False)
READ_KINDS = {"ubl": "ubl", "cii": "cii"}

pytestmark = pytest.mark.skipif(not PATHS, reason="HANSA_EXAMPLE_DOCUMENTS is not set")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_x53_each_example_is_read_or_refused_with_field_and_reason(path: Path) -> None:
    for options in (LENIENT, ReadOptions()):
        result = read(path.read_bytes(), None, options)
        assert result.items or result.errors
        for issue in result.errors:
            assert issue.field and describe(issue)
    folder = path.parent.name
    if folder in READ_KINDS:  # conforming files of supported versions
        result = read(path.read_bytes(), None, LENIENT)
        assert result.kind == READ_KINDS[folder] and len(result.items) == 1


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_x34_the_stated_totals_are_the_computed_ones(path: Path) -> None:
    for item in read(path.read_bytes(), None, LENIENT).items:
        computed = recompute(item).totals
        assert (computed.net, computed.payable) == (item.totals.net, item.totals.payable)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_x6_written_examples_are_read_back(path: Path) -> None:
    for item in read(path.read_bytes(), None, LENIENT).items:
        if item.fapiao is not None:
            continue
        try:
            written = write_ubl(item)
        except NotExportable:
            continue
        (again,) = read(written, None, LENIENT).items
        assert (again.totals, again.lines, again.seller, again.buyer) == (
            item.totals,
            item.lines,
            item.seller,
            item.buyer,
        )
