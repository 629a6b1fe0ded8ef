"""How a command ends: exit codes that never change, problem objects, suggestions, and no traceback (U16, U18, U33)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli import VERSION
from cli.__main__ import _wants_json
from cli.exit_codes import Exit
from cli.failure import PROBLEM_SCHEMA, CommandFailed
from node import service
from node.api import problems
from tests.cli.conftest import Done

ROOT = Path(__file__).resolve().parent.parent.parent
FROZEN = {
    "OK": 0, "FAILED": 1, "USAGE": 2, "NOT_FOUND": 3, "NOT_ALLOWED": 4, "REJECTED": 5, "CONFLICT": 6, "UNKNOWN": 7,
    "UNAVAILABLE": 8, "NO_QUORUM": 9, "FINDINGS": 10, "INTERRUPTED": 130,
}  # fmt: skip


def test_u18_exit_codes_never_change_meaning() -> None:
    assert {code.name: int(code) for code in Exit} == FROZEN
    assert sorted(map(int, problems.Exit)) == sorted(map(int, Exit)), "the node's table speaks of the same codes"
    for row in problems.PROBLEMS.values():
        Exit(int(row.exit))


def test_the_version_is_that_of_the_node() -> None:
    assert VERSION == service.VERSION


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["invoce", "list"], "'invoice'"),
        (["invoice", "lst"], "'list'"),
        (["invoice", "list", "--statsu", "open"], "'--status'"),
        (["token", "revok", "x"], "'revoke'"),
        (["cluster", "stauts"], "'status'"),
    ],
)
def test_u16_a_typo_gets_a_suggestion(command: Callable[..., Done], arguments: list[str], names: str) -> None:
    done = command(*arguments)
    assert done.code == Exit.USAGE and not done.out
    assert "Did you mean" in done.err and names in done.err
    assert done.err.splitlines()[-1].startswith("Next: hansa")


def test_a_word_that_is_like_no_command_gets_no_wild_guess(command: Callable[..., Done]) -> None:
    done = command("zzzzzz")
    assert done.code == Exit.USAGE and "zzzzzz" in done.err and "Did you mean" not in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["invoice", "show", "-o", "json"], "usage", "Missing argument 'ID'"),
        (["invoice", "lst", "-o", "json"], "usage", "lst"),
        (["invoice", "list", "--limit", "many", "-ojson"], "usage", "many"),
        (["invoice", "list", "--limit", "0", "--output=json"], "usage", "0"),
        (["invoice", "list", "--timeout", "-1", "-o", "json"], "usage", "-1"),
        (["invoice", "list", "--as-of", "2026-02-30", "-o", "json"], "usage", "2026-02-30"),
        (["invoice", "list", "--profile", "nobody", "-o", "json"], "usage", "'nobody'"),
        (["invoice", "list", "-o", "json"], "usage", "no node is chosen"),
        (["key", "list", "--home", "/nowhere", "-o", "json"], "usage", "/nowhere"),
        (["verify", "/nowhere", "-o", "json"], "not_found", "/nowhere"),
    ],
)
def test_u11_with_json_an_error_is_one_problem_object_on_stderr(
    command: Callable[..., Done], arguments: list[str], code: str, text: str
) -> None:
    done = command(*arguments)
    assert done.out == "", "stdout is data only"
    assert len(done.err.splitlines()) == 1
    problem = done.problem()
    assert problem["schema"] == PROBLEM_SCHEMA and problem["code"] == code
    assert text in problem["detail"] and problem["title"] and problem["next"]
    assert problem["exit"] == done.code == Exit[code.upper()]
    assert problem["retryable"] is False


def test_for_people_the_same_error_is_cause_and_next_step(command: Callable[..., Done]) -> None:
    done = command("invoice", "list")
    assert done.code == Exit.USAGE
    assert done.err.splitlines() == [
        "no node is chosen", "Next: hansa demo, or hansa login --api URL --token TOKEN, or --api",
    ]  # fmt: skip


def test_what_the_operating_system_refuses_is_told_without_a_traceback(
    command: Callable[..., Done], tmp_path: Path
) -> None:
    (tmp_path / "folder.tx").mkdir()
    done = command("tx", "decode", str(tmp_path / "folder.tx"))
    assert done.code == Exit.USAGE and "is a directory" in done.err
    (tmp_path / "file").write_text("x")
    done = command("init", "Acme", "--development", "--home", str(tmp_path / "file" / "home"))
    assert done.code == Exit.FAILED
    assert "Not a directory" in done.err and "Traceback" not in done.err and "Next: " in done.err


def _hear_interrupts() -> None:
    """A shell starts what runs in the background with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_u18_an_interrupted_command_ends_with_130_and_one_word(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        child = subprocess.Popen(
            [sys.executable, "-m", "cli", "invoice", "list", "--api", address],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "HOME": str(tmp_path)},
            preexec_fn=_hear_interrupts,
        )  # fmt: skip
        silent.settimeout(30)
        link, _ = silent.accept()
        with link:
            link.recv(1)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=20)  # less than the client waits: the signal ends it, not its patience
    assert (child.returncode, out, err.strip()) == (Exit.INTERRUPTED, "", "interrupted")


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m cli --help | true"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path)},
        check=False,
    )
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["x", "-o", "json"], True),
        (["x", "-ojson"], True),
        (["x", "--output", "jsonl"], True),
        (["x", "--output=json"], True),
        (["json"], False),
        (["-o", "table", "json"], False),
        (["invoice", "show", "json"], False),
    ],
)
def test_whether_json_was_asked_for_is_known_before_the_line_is_understood(arguments: list[str], wanted: bool) -> None:
    assert _wants_json(arguments) is wanted


# -- problem objects


def test_u33_the_node_s_own_problem_is_handed_on_with_exit_and_next_step() -> None:
    answer = {"schema": PROBLEM_SCHEMA, "type": "/docs/problems#not_found", "title": "Not found", "status": 404,
              "code": "not_found", "detail": "Nothing here", "retryable": False}  # fmt: skip
    found = CommandFailed(Exit.NOT_FOUND, "there is no invoice 'x'", "hansa invoice list", answer).document()
    assert found == {**answer, "exit": 3, "next": "hansa invoice list"}


@pytest.mark.parametrize(
    ("code", "state", "retryable"),
    [(Exit.REJECTED, "committed", False), (Exit.CONFLICT, "expired", False), (Exit.NO_QUORUM, "pending", True),
     (Exit.UNKNOWN, "pending", True)],
)  # fmt: skip
def test_a_transaction_that_did_not_end_well_is_a_problem_that_names_it(
    code: Exit, state: str, retryable: bool
) -> None:
    transaction = {"schema": "hansa.transaction/1", "id": "ab" * 32, "state": state}
    found = CommandFailed(code, "because", "then", {**transaction, "code": "failed"}).document()
    assert found["schema"] == PROBLEM_SCHEMA and found["code"] == "failed"
    assert found["tx_id"] == "ab" * 32 and found["transaction"] == transaction
    assert (found["exit"], found["retryable"], found["next"]) == (int(code), retryable, "then")
