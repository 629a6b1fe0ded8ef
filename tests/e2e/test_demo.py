"""The demo as a new user runs it: the story on the samples, and real documents nobody here wrote (C33, F90)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, environment

pytestmark = pytest.mark.e2e

KEYS = (
    "schema", "companies", "height", "transactions", "committed", "refused", "state_roots_equal", "invoices_imported",
    "invoices_refused", "trial_balances_zero", "audit_verified", "seconds_to_ready",
)  # fmt: skip


def demo(tmp: Path, port_base: int, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "demo", "--once", "-o", "json", "--port-base", str(port_base), *arguments],
        capture_output=True,
        text=True,
        env=environment(tmp),
        cwd=ROOT,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-4000:]
    summary: dict[str, Any] = json.loads(done.stdout)
    assert all(key in summary for key in KEYS)
    assert summary["companies"] == 4
    assert summary["state_roots_equal"] and summary["trial_balances_zero"] and summary["audit_verified"]
    assert summary["committed"] + summary["refused"] == summary["transactions"]
    return summary


def test_f90_the_story_on_the_shipped_samples(tmp_path: Path) -> None:
    summary = demo(tmp_path, 31_000)
    assert (summary["invoices_imported"], summary["invoices_refused"]) == (8, 3)
    told = [chapter["text"] for chapter in summary["story"]]
    assert any("RK1" in text and "exposure" in text for text in told), "the credit limit refuses and explains"
    assert any("set off" in text for text in told)
    assert any("BR-CO-16" in text for text in told), "a wrong total is refused by its rule"
    refused = [item for item in summary["documents"] if not item["object_id"]]
    assert all(item["field"] and item["reason"] for item in refused)


@pytest.mark.skipif("HANSA_EXAMPLE_DOCUMENTS" not in os.environ, reason="HANSA_EXAMPLE_DOCUMENTS is not set")
def test_real_documents_are_each_accepted_or_refused_with_a_field_and_a_reason(tmp_path: Path) -> None:
    folder = Path(os.environ["HANSA_EXAMPLE_DOCUMENTS"]) / "invoices"
    files = [path for path in folder.rglob("*") if path.is_file()]
    summary = demo(tmp_path, 32_000, "--invoices", str(folder))
    documents = summary["documents"]
    assert {item["file"] for item in documents} == {path.name for path in files}
    assert summary["invoices_imported"] + summary["invoices_refused"] == len(documents)
    assert summary["invoices_imported"] >= 10
    for item in documents:
        assert item["object_id"] or (item["field"] and item["reason"])
    assert summary["mapping"], "the mapping of foreign identifiers is told"
