"""Unseen sources are compiled in a process of its own, whose verdict is that of the engine (L58, S57)."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest

from contracts.library import sources
from ledger.money import ISO_4217
from node.core.programs import Programs, examined
from node.review import reviewer, worker
from node.review.reviewer import STOPPED, Reviewer
from node.review.wire import FRAME_HEAD_BYTES, Task, Verdict

ROOT = Path(__file__).resolve().parents[3]
NOTES = b"contract notes version 1\n\ntable Note key id: text(20):\n    words: text(40)\n"


def test_l58_the_verdict_is_that_of_the_engine() -> None:
    desk = Reviewer(ISO_4217)
    verdict = asyncio.run(desk.review([dict(sources())], {"notes": NOTES}))
    code = Programs(ISO_4217).compiled([dict(sources()), {"notes": NOTES}])["notes"]
    (found,) = verdict.contracts
    assert verdict.fault is None and found.ir_hash == code.interface.ir_hash
    assert (found.name, found.version, found.replaces, found.code_id) == ("notes", 1, 0, examined(code).code_id)


@pytest.mark.parametrize(
    ("name", "source", "code", "line"),
    [
        ("notes", NOTES + b"table\n", "syntax", 5),
        ("notes", b"\x00" * 60_000, "bad_byte", 1),
        ("notes", b"((((" * 10_000, "limit", 1),
        ("other", NOTES, "link", 0),
        ("notes", NOTES.replace(b"version 1", b"version 2 replaces 1"), "version", 1),
        ("notes", b"contract notes version 1\nuses nothing@1\n" + NOTES.split(b"\n", 1)[1], "link", 0),
    ],
)
def test_l58_a_fault_names_contract_line_and_cause(name: str, source: bytes, code: str, line: int) -> None:
    verdict = asyncio.run(Reviewer(ISO_4217).review([], {name: source}))
    assert verdict.fault is not None and verdict.contracts == ()
    assert (verdict.fault.contract, verdict.fault.line) == (name, line), verdict.fault
    assert verdict.fault.text
    assert verdict.fault.code == code


def test_a_verdict_is_asked_for_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    plain = reviewer._ask

    async def counting(task: bytes, name: str) -> Verdict:
        started.append(name)
        return await plain(task, name)

    monkeypatch.setattr(reviewer, "_ask", counting)
    desk = Reviewer(ISO_4217)

    async def many() -> list[Verdict]:
        return list(await asyncio.gather(*(desk.review([], {"notes": NOTES}) for _ in range(4))))

    first, *others = asyncio.run(many())
    assert all(other is first for other in others) and started == ["notes"]


@pytest.mark.parametrize(
    "body",
    [
        "raise MemoryError",
        "x = bytearray(2 << 30)",
        "while True: pass",
        "open(__file__[:-9] + 'written', 'wb', buffering=0).write(b'x')",
        "print('not an answer')",
        "import sys; sys.stdout.buffer.write(b'\\xff' * 100)",
        "import os; os.fork()",
        "pass",
    ],
)
def test_s57_whatever_kills_the_process_costs_only_the_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str
) -> None:
    fake = tmp_path / "worker.py"
    fake.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(ROOT)!r})
            from node.identity.hardening import confine
            from node.review.worker import BOUNDS
            confine(BOUNDS._replace(cpu_s=1))
            {body}
            """
        )
    )
    monkeypatch.setattr(reviewer, "_WORKER", str(fake))
    desk = Reviewer(ISO_4217)
    verdict = asyncio.run(desk.review([], {"notes": NOTES}))
    assert verdict.fault is not None and verdict.fault.code == STOPPED
    written = tmp_path / "written"
    assert not written.exists() or written.stat().st_size == 0
    monkeypatch.undo()
    assert asyncio.run(desk.review([], {"notes": NOTES})).fault is None, "a stop is not kept: it may be the machine's"


def test_a_review_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "worker.py"
    fake.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(reviewer, "_WORKER", str(fake))
    monkeypatch.setattr(reviewer, "TIME_MAX_S", 0.3)
    verdict = asyncio.run(Reviewer(ISO_4217).review([], {"notes": NOTES}))
    assert verdict.fault is not None and "0.3 s" in verdict.fault.text


def test_the_process_reads_one_task_and_refuses_a_larger_one() -> None:
    task = msgspec.msgpack.encode(Task(dict(ISO_4217), ({"notes": NOTES},)))
    command = [sys.executable, "-I", worker.__file__]
    done = subprocess.run(command, input=len(task).to_bytes(4, "big") + task, capture_output=True, env={}, timeout=60)
    size = int.from_bytes(done.stdout[:FRAME_HEAD_BYTES], "big")
    assert done.returncode == 0 and len(done.stdout) == FRAME_HEAD_BYTES + size
    assert msgspec.msgpack.decode(done.stdout[4:], type=Verdict).fault is None
    for wrong in (b"", b"\x00\x00", b"\xff\xff\xff\xff"):
        assert subprocess.run(command, input=wrong, capture_output=True, env={}, timeout=60).returncode == 1


def test_l58_the_process_has_no_network_where_linux_lets_us(tmp_path: Path) -> None:
    """As for documents (S57): a matter of the platform, so it is only checked where the namespace was left."""
    probe = tmp_path / "probe.py"
    probe.write_text(
        textwrap.dedent(
            f"""
            import socket, sys
            sys.path.insert(0, {str(ROOT)!r})
            from node.identity.hardening import drop_network
            dropped = drop_network()
            try:
                socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=1)
                reached = True
            except OSError:
                reached = False
            print(dropped, reached)
            """
        )
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        done = subprocess.run(
            [sys.executable, str(probe), port], capture_output=True, text=True, timeout=60, check=True
        )
    dropped, reached = done.stdout.split()
    assert (dropped, reached) in {("True", "False"), ("False", "True")}


def test_s57_a_process_that_writes_without_end_fills_no_memory_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever breaks out of the compiler has its pipe left: no more is read from it than an answer may have."""
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import sys\nsys.stdin.buffer.read(4)\nwhile True:\n    sys.stdout.buffer.write(b'\\x7f' * 65536)\n"
    )
    monkeypatch.setattr(reviewer, "_WORKER", str(worker))
    monkeypatch.setattr(reviewer, "TIME_MAX_S", 2)
    verdict = asyncio.run(Reviewer(ISO_4217).review([], {"notes": NOTES}))
    assert verdict.fault is not None and verdict.fault.code == STOPPED
    assert "no answer that can be read" in verdict.fault.text, "it was told apart at its first bytes"
