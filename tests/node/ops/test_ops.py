"""Health, metrics and logs: small, without credentials, and without anything confidential (U59-U62, S56, T43)."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from aiohttp.test_utils import TestClient, TestServer

from node.ops import logs
from node.ops.listener import build_ops, serve_ops
from node.ops.metrics import METRICS, SERIES_MAX, Registry, UnknownMetric


@dataclass(frozen=True)
class Member:
    company_id: str
    index: int
    is_self: bool
    connected: bool
    height: int = 412
    round_trip_ms: int = 12
    rejected: dict[str, int] = field(default_factory=lambda: {"wrong_epoch": 2, "bad_signature": 1})


@dataclass
class Node:
    """What the operations listener sees of a node."""

    version: str = "0.1.0"
    protocol: int = 1
    company_id: str = "cacme"
    node_id: str = "nacme"
    started_ms: int = 1_772_700_000_000
    reasons: tuple[str, ...] = ()
    wall_ms: int = 1_772_700_100_000
    epoch: int = 0
    view: int = 3
    mode: str = "normal"
    halt_reason: str = ""
    vote_problem: str = ""
    height: int = 412
    executed_height: int = 411
    primary: int = 1
    own_index: int | None = 0
    last_block_ms: int = 1_772_700_098_000
    waiting: int = 14
    waiting_bytes: int = 5_000
    oldest_waiting_ms: int = 2_500
    view_changes: int = 3
    evidence: tuple[object, ...] = ()
    members: tuple[Member, ...] = (
        Member("cacme", 0, True, False), Member("cbolt", 1, False, True),
        Member("ccorex", 2, False, True), Member("cdelta", 3, False, False),
    )  # fmt: skip
    counted: dict[str, int] = field(
        default_factory=lambda: {
            "blocks": 412, "txs_ok": 900, "txs_failed": 3, "mempool_rejected.bad_nonce": 2, "cpu_ns.verify": 1_500_000_000,
            "storage_bytes.chain": 4_096, "storage_write_buffer_bytes": 8_192, "submissions_standing": 6, "rejected_messages.stale": 1, "mempool_txs": 14, "something_else": 5,
        }
    )  # fmt: skip

    def consensus(self) -> Node:
        return self

    def voting_members(self) -> int:
        return 2

    def counters(self) -> dict[str, int]:
        return self.counted

    def not_ready(self) -> tuple[str, ...]:
        return self.reasons


async def ask(node: Node, path: str, registry: Registry | None = None) -> tuple[int, str, Any]:
    client: TestClient[Any, Any] = TestClient(TestServer(build_ops(node, registry or Registry())))
    async with client:
        answer = await client.get(path)
        return answer.status, await answer.text(), answer.headers


async def test_u61_losing_the_quorum_makes_a_node_unready_but_not_dead() -> None:
    node = Node(reasons=("no_quorum", "disk"))
    status, text, _ = await ask(node, "/readyz")
    body = json.loads(text)
    assert status == 503 and [reason["code"] for reason in body["reasons"]] == ["no_quorum", "disk"]
    assert all(reason["next"] for reason in body["reasons"])
    assert (await ask(node, "/livez"))[0] == 200
    assert (await ask(Node(), "/readyz"))[0] == 200 and (await ask(Node(), "/startupz"))[0] == 200
    status, text, _ = await ask(node, "/other")
    assert status == 404 and json.loads(text)["schema"] == "hansa.problem/1"


async def test_p98_readiness_says_why_a_node_does_not_vote() -> None:
    reason = "our COMMIT at height 4 in view 0 is not in the journal"
    status, text, _ = await ask(Node(reasons=("learner",), vote_problem=reason), "/readyz")
    (shown,) = json.loads(text)["reasons"]
    assert status == 503 and shown["detail"] == reason and "new consensus key" in shown["next"]


LINE = re.compile(r'hansa_[a-z_]+(?:\{(?:[a-z_]+="(?:[^"\\]|\\.)*"(?:,|(?=\})))+\})? -?[0-9.eE+-]+')


async def test_u59_metrics_are_valid_text_with_figures_of_the_node() -> None:
    registry = Registry()
    registry.request("/v1/invoices/{invoice}", "GET", 200, 0.004)
    registry.request("/v1/invoices/{invoice}", "GET", 200, 0.2)
    registry.request("/v1/status", "BREW", 405, 0.001)
    registry.subscribers(1)
    _, text, headers = await ask(Node(), "/metrics", registry)
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines and all(LINE.fullmatch(line) for line in lines), [line for line in lines if not LINE.fullmatch(line)]
    for line in (
        "hansa_consensus_height 412", "hansa_consensus_exec_lag_blocks 1", "hansa_consensus_quorum 3",
        "hansa_consensus_reachable_members 3", "hansa_consensus_voting_members 2", 'hansa_peers{state="lost"} 1', "hansa_mempool_txs 14", "hansa_submissions_standing 6",
        "hansa_mempool_oldest_age_seconds 2.5", 'hansa_txs_total{outcome="failed"} 3',
        'hansa_peer_rejected_messages_total{peer="cbolt"} 3',
        'hansa_mempool_rejected_total{reason="bad_nonce"} 2', 'hansa_cpu_seconds_total{part="verify"} 1.5',
        'hansa_node_counter_total{name="something_else"} 5', "hansa_consensus_last_block_age_seconds 2",
        'hansa_http_requests_total{route="/v1/status",method="other",status="405"} 1', "hansa_sse_subscribers 1",
        'hansa_http_request_duration_seconds_bucket{route="/v1/invoices/{invoice}",le="0.005"} 1',
        'hansa_http_request_duration_seconds_bucket{route="/v1/invoices/{invoice}",le="+Inf"} 2',
        'hansa_http_request_duration_seconds_count{route="/v1/invoices/{invoice}"} 2', "hansa_ready 1",
        "hansa_storage_write_buffer_bytes 8192",
        'hansa_storage_bytes{environment="chain"} 4096', 'hansa_consensus_rejected_messages_total{reason="stale"} 1',
    ):  # fmt: skip
        assert line in lines, line
    names = {re.split(r"[{ ]", line)[0] for line in lines}
    for name in names:
        base = re.sub(r"_(bucket|sum|count)$", "", name) if "duration" in name else name
        assert f"# TYPE {base} " in text and f"# HELP {base} " in text


def test_u59_names_and_labels_are_closed_and_bounded() -> None:
    registry = Registry()
    with pytest.raises(UnknownMetric):
        registry.add("surprise")
    with pytest.raises(UnknownMetric):
        registry.add("txs_total")
    with pytest.raises(UnknownMetric):
        registry.observe("txs_total", 1.0, outcome="ok")
    for number in range(SERIES_MAX + 50):
        registry.add("node_counter_total", 1, name=f"n{number}")
    assert 'name="other"} 50' in registry.text()
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name


def test_u59_label_values_are_escaped() -> None:
    registry = Registry()
    registry.set("node_info", 1, company='a"b\\c\nd', node="n")
    assert 'company="a\\"b\\\\c\\nd"' in registry.text()


async def test_two_registries_do_not_share_figures() -> None:
    one, two = Registry(), Registry()
    one.lagged()
    assert "sse_lagged" in one.text() and "sse_lagged" not in two.text()


async def test_the_listener_opens_and_closes() -> None:
    runner = await serve_ops(Node(), ("127.0.0.1", 0))
    try:
        port = runner.addresses[0][1]
        with pytest.raises(OSError):
            await serve_ops(Node(), ("127.0.0.1", port))
    finally:
        await runner.cleanup()


# -- logs


@pytest.fixture
def log_lines() -> Any:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()


@pytest.mark.control("S56", "T43")
def test_t43_a_crash_never_logs_values_of_variables(log_lines: Any) -> None:
    def handler() -> None:
        token = "hansa_acme_" + "5ec2e7" * 10  # what must not appear
        if token:
            raise ValueError("bad input")

    try:
        handler()
    except ValueError:
        structlog.get_logger("api").exception("api.crashed", route="/v1/status", request_id="ab")
    line = log_lines()[0]
    assert line["event"] == "api.crashed" and line["level"] == "error" and "ValueError: bad input" in line["exception"]
    assert "5ec2e75ec2e7" not in json.dumps(line)


@pytest.mark.control("S56")
def test_s56_only_listed_keys_are_logged_and_lines_stay_lines(log_lines: Any) -> None:
    log = structlog.get_logger("node")
    log.info("node_started", height=3, amount="1234.50", token="secret", reason='x"\n{"event":"forged"}')
    log.debug("hidden")
    found = log_lines()
    assert len(found) == 1 and found[0]["height"] == 3 and found[0]["amount"] == found[0]["token"] == logs.HIDDEN
    assert found[0]["reason"] == 'x"\\n{"event":"forged"}'
    assert set(found[0]) >= {"ts", "level", "event"}


def test_the_console_form_is_readable() -> None:
    stream = io.StringIO()
    logs.configure("warning", "console", stream)
    try:
        structlog.get_logger().info("quiet")
        structlog.get_logger().warning("disk_low", bytes=5)
        assert "disk_low" in stream.getvalue() and "quiet" not in stream.getvalue()
    finally:
        structlog.reset_defaults()
