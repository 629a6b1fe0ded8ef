"""The documentation says what the code does: limits, rules, samples (style rule 21)."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

import finance.formats
from finance.formats import archive, read, reader, xml
from finance.identifiers import Status, check
from finance.model import LINES_MAX
from finance.rules import RULES
from finance.vat_groups import VAT_RULES
from node.documents import intake, worker

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs" / "formats.md").read_text()
SAMPLES = ROOT / "cli" / "samples"

LIMITS = {
    "one XML document": xml.XML_SIZE_MAX_BYTES,
    "element levels": xml.XML_DEPTH_MAX,
    "signs `<` and `=` together": xml.XML_MARKUP_MAX,
    "attributes of an element": xml.XML_ATTRIBUTES_MAX,
    "lines of a document": LINES_MAX,
    "other lists of a document": reader.LIST_MAX,
    "findings kept": reader.ISSUES_MAX,
    "extras kept": reader.EXTRAS_MAX,
    "zip file": archive.ZIP_SIZE_MAX_BYTES,
    "zip entries": archive.ENTRIES_MAX,
    "zip ratio": archive.RATIO_MAX,
    "unpacked zip": archive.UNPACKED_MAX_BYTES,
    "time for one file": intake.FILE_TIME_MAX_S,
    "address space of the reader": worker.BOUNDS.memory_bytes,
    "files of one reader process": intake.BATCH_FILES_MAX,
}


def test_the_table_of_limits_is_that_of_the_code() -> None:
    section = DOCS.partition("## Limits")[2].partition("\n\nAn amount")[0]
    rows = re.findall(r"^\| (.+?) \| ([0-9]+)(?: bytes| s)? \|$", section, re.MULTILINE)
    assert {name: int(value) for name, value in rows} == LIMITS


def named(text: str) -> set[str]:
    """Return the rule names of a text, with ranges (`BR-01 … BR-11`) written out."""
    found: set[str] = set()
    for first, last in re.findall(r"(BR-[A-Z-]*[0-9]{2})(?: … (BR-[A-Z-]*[0-9]{2}))?", text):
        prefix, low = first[:-2], int(first[-2:])
        found.update(f"{prefix}{n:02}" for n in range(low, int((last or first)[-2:]) + 1))
    return found


def test_the_rules_named_are_the_rules_checked() -> None:
    rows = [line for line in DOCS.splitlines() if line.endswith("| `finance/rules.py` |")]
    assert named(" ".join(rows)) == {rule.name for rule in RULES if rule.name.startswith("BR")}
    (row,) = [line for line in DOCS.splitlines() if line.endswith("| `finance/vat_groups.py` |")]
    groups = {rule.name.rpartition("-")[0] for rule in VAT_RULES}
    assert all(group in row for group in groups)
    assert {rule.name for rule in VAT_RULES if int(rule.name[-2:]) > 10} <= named(row)


def companies() -> dict[str, dict[str, str]]:
    table = tomllib.loads((SAMPLES / "companies.toml").read_text())
    return {company["key"]: company["identifiers"] for company in table["company"]}


def test_the_companies_of_the_samples_have_valid_identifiers() -> None:
    for identifiers in companies().values():
        for kind, value in identifiers.items():
            if kind != "legal":
                assert check(kind, value).status is Status.valid


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.xml")), ids=lambda path: path.stem)
def test_the_parties_of_a_sample_are_found_by_their_identifiers(path: Path) -> None:
    (item,) = read(path.read_bytes()).items
    owners = {value: key for key, identifiers in companies().items() for value in identifiers.values()}
    found = []
    for party in (item.seller, item.buyer):
        keys = {owners[one.value] for one in party.identifiers()}
        assert len(keys) == 1
        found.append(*keys)
    assert found[0] == path.stem.split("-")[1] and found[0] != found[1]


def test_the_readme_of_the_samples_lists_them_with_their_amounts() -> None:
    text = (SAMPLES / "README.md").read_text()
    for path in SAMPLES.rglob("*.xml"):
        assert f"`{path.relative_to(SAMPLES)}`" in text
    for path in SAMPLES.glob("*.xml"):
        (item,) = read(path.read_bytes()).items
        minor = item.totals.payable.minor
        assert f"| {minor // 100}.{minor % 100:02} {item.currency} |" in text


def test_f13_no_float_in_the_finance_of_documents() -> None:
    folder = Path(finance.formats.__file__).parents[1]
    for path in [
        *(folder / "formats").glob("*.py"),
        *(folder / f"{n}.py" for n in ("model", "totals", "rules", "vat_groups")),
    ]:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), path
            assert not (isinstance(node, ast.Name) and node.id == "float"), path
            assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)) or path.name == "totals.py", path
