"""docs/contract-tutorial.md as a new user follows it: every command as printed, beside a demo that keeps running."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.conftest import ROOT, environment

pytestmark = pytest.mark.e2e

PAGE = ROOT / "docs" / "contract-tutorial.md"
BLOCK = re.compile(r"```(contract|console)\n(.*?)```", re.S)
READY_S = 90
MARK = "=== "


class Step(NamedTuple):
    """A command with what it printed."""

    command: str
    output: str


def script(text: str) -> str:
    """Return the page as one shell session: files are written where they stand, commands follow each other."""
    lines = ["set -e"]
    for kind, body in BLOCK.findall(text):
        if kind == "contract":
            version = re.search(r"^contract late_fee version (\d+)", body, re.M)
            assert version is not None
            name = "late_fee.contract" if version[1] == "1" else f"late_fee-{version[1]}.contract"
            lines += [f"cat > {name} <<'END_OF_CONTRACT'", body.rstrip("\n"), "END_OF_CONTRACT"]
        for line in body.splitlines() if kind == "console" else ():
            assert line.startswith("$ "), line
            lines += [f"printf '%s\\n' '{MARK}'{quoted(line[2:])}", line[2:]]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Step]]:
    tmp = tmp_path_factory.mktemp("tutorial")
    shell = environment(tmp)
    for name in ("HANSA_HOME", "HANSA_PROFILE", "HANSA_API", "HANSA_TOKEN", "HANSA_KEY_FILE", "HANSA_STATE"):
        shell.pop(name, None)
    bin_dir, work = tmp / "bin", tmp / "work"
    bin_dir.mkdir()
    work.mkdir()
    (bin_dir / "hansa").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli "$@"\n', encoding="utf-8")
    (bin_dir / "hansa").chmod(0o755)
    shell["PATH"] = f"{bin_dir}:{shell['PATH']}"
    shell["HANSA_LANG"] = "en"
    port = 40_000 + 40 * (os.getpid() % 220)
    with (tmp / "demo.out").open("wb") as told:
        demo = subprocess.Popen(
            ["hansa", "demo", "--port-base", str(port)], env=shell, cwd=ROOT, stdout=told, stderr=told
        )
        try:
            await_demo(demo, tmp / "demo.out")
            done = subprocess.run(
                ["bash", "-c", script(PAGE.read_text(encoding="utf-8"))],
                capture_output=True,
                text=True,
                env=shell,
                cwd=work,
                timeout=240,
                check=False,
            )
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        finally:
            demo.terminate()
            demo.wait(timeout=30)
    parts = done.stdout.split("\n" + MARK) if done.stdout.startswith(MARK) else []
    yield [Step(*part.removeprefix(MARK).partition("\n")[::2]) for part in parts]


def await_demo(demo: subprocess.Popen[bytes], told: Path) -> None:
    ends = time.monotonic() + READY_S
    while b"Ctrl-C stops" not in told.read_bytes():
        assert demo.poll() is None and time.monotonic() < ends, told.read_text(encoding="utf-8")[-3000:]
        time.sleep(0.2)


def outputs(session: list[Step], begin: str) -> list[str]:
    found = [step.output for step in session if step.command.startswith(begin)]
    assert found, begin
    return found


def test_every_command_of_the_page_ran(session: list[Step]) -> None:
    printed = [
        line
        for kind, body in BLOCK.findall(PAGE.read_text(encoding="utf-8"))
        if kind == "console"
        for line in body.splitlines()
    ]
    assert [step.command for step in session] == [line[2:] for line in printed]
    assert len(session) > 30


@pytest.mark.control("L58")
def test_l58_a_person_sees_what_is_voted_on_before_signing(session: list[Step]) -> None:
    first, second = outputs(session, "hansa contract propose")
    assert "late_fee version 1: a new contract" in first
    assert "charge: by itself, when its date comes" in first and "It calls invoices (new)." in first
    assert "fee becomes open times rate of the row times days divided by days per year (365)" in first
    assert "open; 1 of 3 needed companies agree: Falkenberg" in first
    assert "late_fee version 2, in place of version 1" in second
    assert "migrate Terms" in second and "* " in second
    approvals = outputs(session, "hansa contract approve")
    assert all(line in approvals[0] for line in first.split("proposed as")[0].splitlines())
    assert "2 of 3" in approvals[0]
    assert "accepted; 3 of 3" in approvals[1] and "it runs from height" in approvals[1]


@pytest.mark.control("L59")
def test_l59_every_member_is_told_and_runs_it(session: list[Step]) -> None:
    (told,) = outputs(session, "hansa contract events governance")
    assert [word in told for word in ("Proposed", "Voted", "ContractAccepted", "Accepted")] == [True] * 4
    first, last = outputs(session, "hansa contract history")
    assert re.search(r"^late_fee\t[1-9]\d*\tactive", first, re.M)
    assert len(re.findall(r"^late_fee\t[1-9]\d*\tactive", last, re.M)) == 2


def test_a_late_fee_is_charged_by_itself_and_shown(session: list[Step]) -> None:
    refused, planned, stopped = outputs(session, "hansa contract simulate late_fee agree")
    assert "bad_rate (late_fee v1" in refused and "0.2100 a year is not above 0 and at most 20%" in refused
    assert "inserts late_fee.Terms" in planned and "emits   late_fee.Agreed" in planned
    (told,) = outputs(session, "hansa contract events late_fee")
    charged = re.search(r"Charged\t.*open ([\d.,]+) EUR, fee ([\d.,]+) EUR, days (\d+)", told)
    assert charged is not None
    open_, fee, days = (int(text.replace(",", "").replace(".", "")) for text in charged.groups())
    assert days > 200 and abs(fee * 365 * 100 - open_ * 8 * days) <= 365 * 100 // 2  # half a cent
    (shown,) = outputs(session, "hansa contract simulate late_fee fee_of")
    assert f"result\t{charged[2]} EUR" in shown
    assert "suspended" in stopped and "suspended by vote" in stopped  # L60


@pytest.mark.control("L62")
def test_l62_the_next_version_reads_the_rows_of_the_first(session: list[Step]) -> None:
    (most,) = outputs(session, "hansa contract simulate late_fee most_of")
    assert "ok" in most and "late_fee v2" in most
