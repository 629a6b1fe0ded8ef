"""Figures of one node in the Prometheus text format (U59). One `Registry` per node object; no global state.

The metric table is closed: a name that is not in it cannot be counted. Label values come from code or from the member
list, never from a peer or a client; a metric keeps at most `SERIES_MAX` of them, more fall into "other".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]
SERIES_MAX: Final = 400
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One row: name without the prefix `hansa_`, kind, labels, and what it says."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


METRICS: Final = (
    Metric("build_info", "gauge", ("version", "protocol"), "Always 1; the labels say which software runs."),
    Metric("node_info", "gauge", ("company", "node"), "Always 1; the labels say whose node this is."),
    Metric("start_time_seconds", "gauge", (), "Unix time at which this node started."),
    Metric("ready", "gauge", (), "1 when the node is ready, see /readyz for the reasons."),
    Metric("consensus_height", "gauge", (), "Highest committed height."),
    Metric("consensus_executed_height", "gauge", (), "Highest executed height."),
    Metric("consensus_exec_lag_blocks", "gauge", (), "Committed blocks not executed yet."),
    Metric("consensus_view", "gauge", (), "View of this node."),
    Metric("consensus_epoch", "gauge", (), "Epoch of this node."),
    Metric("consensus_members", "gauge", (), "Voting companies of the epoch."),
    Metric("consensus_quorum", "gauge", (), "Members whose votes decide."),
    Metric("consensus_reachable_members", "gauge", (), "Members this node reaches, itself included."),
    Metric(
        "consensus_voting_members", "gauge", (), "Members that can decide as far as this node sees, itself included."
    ),
    Metric("consensus_is_leader", "gauge", (), "1 while this node proposes."),
    Metric("consensus_halted", "gauge", (), "1 after this node stopped for good."),
    Metric("consensus_last_block_age_seconds", "gauge", (), "Seconds since the last block was committed here."),
    Metric("consensus_view_changes_total", "counter", (), "Views entered after the first."),
    Metric("consensus_evidence", "gauge", (), "Proofs of misbehaviour held."),
    Metric("consensus_rejected_messages_total", "counter", ("reason",), "Messages of peers refused, by reason."),
    Metric("blocks_total", "counter", (), "Blocks executed since the start."),
    Metric("txs_total", "counter", ("outcome",), "Transactions executed since the start, by outcome."),
    Metric("mempool_txs", "gauge", (), "Transactions that wait."),
    Metric("mempool_bytes", "gauge", (), "Their size."),
    Metric("submissions_standing", "gauge", (), "Submissions that stand in the line for room in the queue."),
    Metric("mempool_oldest_age_seconds", "gauge", (), "Age of the oldest waiting transaction."),
    Metric("peer_rejected_messages_total", "counter", ("peer",), "Messages of a member refused, all reasons together."),
    Metric("mempool_rejected_total", "counter", ("reason",), "Transactions not taken, by reason."),
    Metric("state_rows", "gauge", (), "State rows on disk, index entries included."),
    Metric("storage_bytes", "gauge", ("environment",), "Bytes in use, by store environment."),
    Metric("storage_write_buffer_bytes", "gauge", (), "Memory the ledger file's library keeps for its next write."),
    Metric("cpu_seconds_total", "counter", ("part",), "Processor time of the loop's thread, by part."),
    Metric("peers", "gauge", ("state",), "Other members by state of the link."),
    Metric("peer_rtt_seconds", "gauge", ("peer",), "Round trip to a member."),
    Metric("peer_height", "gauge", ("peer",), "Committed height last heard from a member."),
    Metric("http_requests_total", "counter", ("route", "method", "status"), "Answered requests."),
    Metric("http_request_duration_seconds", "histogram", ("route",), "Time from request to answer."),
    Metric("sse_subscribers", "gauge", (), "Open event streams."),
    Metric("sse_lagged_total", "counter", (), "Streams closed because the reader was too slow."),
    Metric("node_counter_total", "counter", ("name",), "Other counters of the node, by name in the code."),
)
_BY_NAME: Final[Mapping[str, Metric]] = {metric.name: metric for metric in METRICS}


class UnknownMetric(KeyError):
    """A name or label set that is not in the table: our bug."""


class _Histogram:
    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.total = 0.0


class Registry:
    """Values of the metrics of one node. Also the meter of its HTTP listener (`node.api.ports.RequestMeter`)."""

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[str, ...], float]] = {}
        self._histograms: dict[str, dict[tuple[str, ...], _Histogram]] = {}

    def add(self, name: str, value: float = 1, /, **labels: str) -> None:
        """Add to a counter or gauge."""
        series = self._series(name, ("counter", "gauge"))
        key = self._key(name, series, labels)
        series[key] = series.get(key, 0) + value

    def set(self, name: str, value: float, /, **labels: str) -> None:
        """Set a gauge, or a counter that is counted elsewhere."""
        series = self._series(name, ("counter", "gauge"))
        series[self._key(name, series, labels)] = value

    def clear(self, name: str) -> None:
        """Forget all series of a metric, before it is filled anew."""
        self._values.pop(name, None)

    def observe(self, name: str, seconds: float, /, **labels: str) -> None:
        """Add one duration to a histogram."""
        metric = _BY_NAME.get(name)
        if metric is None or metric.kind != "histogram":
            raise UnknownMetric(name)
        series = self._histograms.setdefault(name, {})
        key = self._key(name, series, labels)
        found = series.get(key)
        if found is None:
            found = series[key] = _Histogram()
        found.counts[bisect_left(SECONDS, seconds)] += 1
        found.total += seconds

    # -- the meter of the HTTP listener

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request by its route pattern."""
        known = method if method in ("GET", "POST", "PUT", "DELETE", "HEAD") else "other"
        self.add("http_requests_total", 1, route=route, method=known, status=str(status))
        self.observe("http_request_duration_seconds", seconds, route=route)

    def subscribers(self, change: int) -> None:
        """Count an event stream that opened (+1) or closed (-1)."""
        self.add("sse_subscribers", change)

    def lagged(self) -> None:
        """Count a stream closed because its reader was too slow."""
        self.add("sse_lagged_total")

    # -- the text

    def text(self) -> str:
        """Return all values in the Prometheus text format, version 0.0.4, sorted."""
        lines: list[str] = []
        for metric in METRICS:
            if metric.kind == "histogram":
                lines += self._histogram_lines(metric)
                continue
            series = self._values.get(metric.name)
            if series:
                lines += _head(metric)
                for key in sorted(series):
                    lines.append(f"hansa_{metric.name}{_labels(metric.labels, key)} {_number(series[key])}")
        return "\n".join(lines) + "\n"

    def _histogram_lines(self, metric: Metric) -> list[str]:
        series = self._histograms.get(metric.name)
        if not series:
            return []
        lines = _head(metric)
        for key in sorted(series):
            found, running = series[key], 0
            for edge, count in zip((*map(str, SECONDS), "+Inf"), found.counts, strict=True):
                running += count
                labels = _labels((*metric.labels, "le"), (*key, edge))
                lines.append(f"hansa_{metric.name}_bucket{labels} {running}")
            lines.append(f"hansa_{metric.name}_sum{_labels(metric.labels, key)} {_number(found.total)}")
            lines.append(f"hansa_{metric.name}_count{_labels(metric.labels, key)} {running}")
        return lines

    def _series(self, name: str, kinds: Sequence[Kind]) -> dict[tuple[str, ...], float]:
        metric = _BY_NAME.get(name)
        if metric is None or metric.kind not in kinds:
            raise UnknownMetric(name)
        return self._values.setdefault(name, {})

    def _key(self, name: str, series: Mapping[tuple[str, ...], object], labels: Mapping[str, str]) -> tuple[str, ...]:
        names = _BY_NAME[name].labels
        if tuple(sorted(labels)) != tuple(sorted(names)):
            raise UnknownMetric(f"{name}{sorted(labels)}")
        key = tuple(labels[label] for label in names)
        if key not in series and len(series) >= SERIES_MAX:
            return tuple("other" for _ in names)
        return key


def _head(metric: Metric) -> list[str]:
    return [f"# HELP hansa_{metric.name} {metric.help}", f"# TYPE hansa_{metric.name} {metric.kind}"]


def _labels(names: Iterable[str], values: Iterable[str]) -> str:
    pairs = [f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
