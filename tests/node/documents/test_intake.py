"""Foreign files are read in a process of their own, and nothing they do reaches the node (S57)."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from finance.formats import ReadOptions, ReadResult, read
from finance.model import CreditNote
from ledger.money import Money
from node.documents import intake
from node.documents.intake import Upload, parse_files, parse_files_now, reaches_network
from node.documents.wire import Hello, WireResult, from_wire, to_wire

SAMPLES = Path(__file__).parents[3] / "cli" / "samples"
UPLOADS = [Upload(name=path.name, data=path.read_bytes()) for path in sorted(SAMPLES.rglob("*.xml"))]

WORKER_HEAD = f"""
import os, resource, sys, time
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
import msgspec
from node.documents import worker
from node.documents.wire import Hello, WireResult
out = sys.stdout.buffer
worker.confine(worker.BOUNDS)
worker.send(out, msgspec.msgpack.encode(Hello(network=False)))
"""


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]  # a function of one text
    """Replace the worker's program by the usual start and the given lines."""

    def use(body: str) -> None:
        path = tmp_path / "other_worker.py"
        path.write_text(WORKER_HEAD + body)
        monkeypatch.setattr(intake, "_WORKER", str(path))

    return use


def reasons(results: list[ReadResult]) -> list[dict[str, str]]:
    return [dict(issue.values) for result in results for issue in result.issues]


@pytest.mark.control("S57")
def test_s57_the_worker_gives_what_the_reader_gives() -> None:
    results = parse_files_now(UPLOADS)
    assert results == [read(upload.data) for upload in UPLOADS]
    assert any(isinstance(item, CreditNote) for result in results for item in result.items)
    lenient = ReadOptions(strict=False)
    assert parse_files_now(UPLOADS, lenient) == [read(upload.data, None, lenient) for upload in UPLOADS]


def test_a_file_that_is_too_large_starts_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_WORKER", "/nowhere")
    (result,) = parse_files_now([Upload(name="big.xml", data=b"x" * 6_000_000)])
    assert [(issue.rule, issue.message) for issue in result.issues] == [("S57", "too_large")]


def test_order_is_kept_when_some_files_are_too_large() -> None:
    big = Upload(name="big.xml", data=b"x" * 6_000_000)
    results = parse_files_now([big, UPLOADS[0], big, UPLOADS[1]])
    assert [len(result.items) for result in results] == [0, 1, 0, 1]


def test_s57_a_file_that_takes_too_long_costs_itself_alone(worker, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]  # see the fixture
    monkeypatch.setattr(intake, "FILE_TIME_MAX_S", 1)
    worker(
        """
while (task := worker.receive(sys.stdin.buffer)) is not None:
    while b"slow" in task.data:
        pass
    worker.send(out, msgspec.msgpack.encode(worker.work(task)))
"""
    )
    results = parse_files_now([UPLOADS[0], Upload(name="slow.xml", data=b"<slow/>"), UPLOADS[1]])
    assert [len(result.items) for result in results] == [1, 0, 1]
    assert reasons(results[1:2]) == [{"limit": "1 s", "reason": "time"}]


def test_s57_memory_ends_the_file_not_the_node(worker) -> None:  # type: ignore[no-untyped-def]  # see the fixture
    worker(
        """
worker.read = lambda *a: bytearray(2 << 30)
while (task := worker.receive(sys.stdin.buffer)) is not None:
    worker.send(out, msgspec.msgpack.encode(worker.work(task)))
"""
    )
    assert reasons(parse_files_now(UPLOADS[:1])) == [{"limit": "memory limit", "reason": "MemoryError"}]


def test_s57_a_worker_cannot_write_files_or_raise_its_limits(worker, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # see the fixture
    worker(
        f"""
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def attempt():
    found = []
    try:
        with open({str(tmp_path / "loot")!r}, "wb") as file:
            file.write(b"x")
    except OSError:
        found.append("no writing")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft == hard == worker.BOUNDS.memory_bytes:
        found.append("memory")
    if sorted(os.listdir("/proc/self/fd"))[:3] == ["0", "1", "2"] and len(os.listdir("/proc/self/fd")) <= 4:
        found.append("descriptors")
    if not dict(os.environ).keys() - {{"LC_CTYPE"}}:
        found.append("environment")
    return " ".join(found)
worker.receive(sys.stdin.buffer)
worker.send(out, msgspec.msgpack.encode(WireResult(failed=attempt())))
"""
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("looks at /proc")
    os.environ["HANSA_TEST_SECRET"] = "not for the worker"
    try:
        (shown,) = reasons(parse_files_now(UPLOADS[:1]))
    finally:
        del os.environ["HANSA_TEST_SECRET"]
    assert shown["reason"] == "no writing memory descriptors environment"[:40]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("sys.exit(1)", "worker_ended"),
        ("worker.receive(sys.stdin.buffer); os.kill(os.getpid(), 9)", "worker_ended"),
        (
            "worker.receive(sys.stdin.buffer); out.write(b'\\xff\\xff\\xff\\xff'); out.flush(); time.sleep(9)",
            "result_too_large",
        ),
        ("worker.receive(sys.stdin.buffer); worker.send(out, b'\\xc1')", "not_a_result"),
        ("worker.receive(sys.stdin.buffer); worker.send(out, msgspec.msgpack.encode(WireResult()))", "wrong_hash"),
        ("worker.receive(sys.stdin.buffer); worker.send(out, b'\\x91' * 100000 + b'\\x00')", "not_a_result"),
    ],
)
def test_s57_a_taken_over_worker_is_not_believed(worker, body: str, reason: str) -> None:  # type: ignore[no-untyped-def]  # see the fixture
    worker(body)
    (shown,) = reasons(parse_files_now(UPLOADS[:1]))
    assert shown["reason"] == reason


def test_s57_numbers_from_the_worker_are_bounded() -> None:
    (item,) = read(UPLOADS[0].data).items
    assert intake._bounded(item, {"EUR": 2})
    line = item.lines[0]
    for broken in (
        dataclasses.replace(line, price=Decimal("1e3000000")),
        dataclasses.replace(line, price=Decimal("NaN")),
        dataclasses.replace(line, price=Decimal("0." + "1" * 21)),
        dataclasses.replace(line, net=Money(2**70, "EUR")),
        dataclasses.replace(line, net=Money(1, "XXX")),
    ):
        assert not intake._bounded(dataclasses.replace(item, lines=(broken,)), {"EUR": 2})


def test_the_wire_form_returns_the_same_result() -> None:
    for upload in UPLOADS:
        result = read(upload.data)
        wire = msgspec.msgpack.decode(msgspec.msgpack.encode(to_wire(result)), type=WireResult)
        assert from_wire(wire) == result
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(Hello(network=True)), type=Hello).network


def test_many_files_take_several_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BATCH_FILES_MAX", 5)
    assert parse_files_now(UPLOADS * 2) == [read(upload.data) for upload in UPLOADS * 2]


async def test_the_network_is_out_of_reach_where_the_platform_allows() -> None:
    assert isinstance(await reaches_network(), bool)


async def test_parsing_does_not_block_the_event_loop() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await parse_files(UPLOADS[:3])
    ticking.cancel()
    assert ticks > 2
