"""Fills the registry from the node when somebody asks for it: heights, members, mempool, counters (U59).

`Source` is the part of the node's service that is needed; `node.service.Service` has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from ledger.certificate import quorum
from node.ops.metrics import Registry


class MemberFigures(Protocol):
    @property
    def company_id(self) -> str: ...
    @property
    def is_self(self) -> bool: ...
    @property
    def connected(self) -> bool: ...
    @property
    def height(self) -> int: ...
    @property
    def round_trip_ms(self) -> int: ...
    @property
    def index(self) -> int: ...
    @property
    def rejected(self) -> Mapping[str, int]: ...


class ConsensusFigures(Protocol):
    @property
    def wall_ms(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def view(self) -> int: ...
    @property
    def mode(self) -> str: ...
    @property
    def halt_reason(self) -> str: ...
    @property
    def vote_problem(self) -> str: ...
    @property
    def height(self) -> int: ...
    @property
    def executed_height(self) -> int: ...
    @property
    def primary(self) -> int: ...
    @property
    def own_index(self) -> int | None: ...
    @property
    def members(self) -> Sequence[MemberFigures]: ...
    @property
    def last_block_ms(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def waiting_bytes(self) -> int: ...
    @property
    def oldest_waiting_ms(self) -> int: ...
    @property
    def view_changes(self) -> int: ...
    @property
    def evidence(self) -> Sequence[object]: ...


class Source(Protocol):
    """What the operations listener asks of the node."""

    @property
    def version(self) -> str: ...
    @property
    def protocol(self) -> int: ...
    @property
    def company_id(self) -> str: ...
    @property
    def node_id(self) -> str: ...
    @property
    def started_ms(self) -> int: ...
    def consensus(self) -> ConsensusFigures: ...
    def voting_members(self) -> int: ...
    def counters(self) -> Mapping[str, int]: ...
    def not_ready(self) -> tuple[str, ...]: ...


_PLAIN: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "blocks": ("blocks_total", {}),
    "txs_ok": ("txs_total", {"outcome": "ok"}),
    "txs_failed": ("txs_total", {"outcome": "failed"}),
    "state_rows": ("state_rows", {}),
    "submissions_standing": ("submissions_standing", {}),
    "storage_write_buffer_bytes": ("storage_write_buffer_bytes", {}),
}
"""Counter of the node -> metric and labels."""
_FAMILIES: Final[Mapping[str, tuple[str, str]]] = {
    "rejected_messages": ("consensus_rejected_messages_total", "reason"),
    "mempool_rejected": ("mempool_rejected_total", "reason"),
    "storage_bytes": ("storage_bytes", "environment"),
}
"""First word of a dotted counter -> metric and the label that takes the rest."""
_ELSEWHERE: Final = ("mempool_txs",)
"""Counters that the consensus figures already say."""
_NS: Final = 1e9


def fill(registry: Registry, source: Source) -> None:
    """Set every figure of the node to its value now."""
    now = source.consensus()
    members = now.members
    registry.set("build_info", 1, version=source.version, protocol=str(source.protocol))
    registry.set("node_info", 1, company=source.company_id, node=source.node_id)
    registry.set("start_time_seconds", source.started_ms / 1000)
    registry.set("ready", 0 if source.not_ready() else 1)
    registry.set("consensus_height", now.height)
    registry.set("consensus_executed_height", now.executed_height)
    registry.set("consensus_exec_lag_blocks", max(0, now.height - now.executed_height))
    registry.set("consensus_view", now.view)
    registry.set("consensus_epoch", now.epoch)
    registry.set("consensus_members", len(members))
    registry.set("consensus_quorum", quorum(len(members)))
    registry.set("consensus_reachable_members", sum(1 for member in members if member.connected or member.is_self))
    registry.set("consensus_voting_members", source.voting_members())
    registry.set("consensus_is_leader", int(now.own_index is not None and now.own_index == now.primary))
    registry.set("consensus_halted", int(now.mode == "halted"))
    if now.last_block_ms:
        registry.set("consensus_last_block_age_seconds", max(0, now.wall_ms - now.last_block_ms) / 1000)
    registry.set("consensus_view_changes_total", now.view_changes)
    registry.set("consensus_evidence", len(now.evidence))
    registry.set("mempool_txs", now.waiting)
    registry.set("mempool_bytes", now.waiting_bytes)
    registry.set("mempool_oldest_age_seconds", now.oldest_waiting_ms / 1000)
    _fill_peers(registry, members)
    for name, value in source.counters().items():
        _fill_counter(registry, name, value)


def _fill_peers(registry: Registry, members: Sequence[MemberFigures]) -> None:
    others = [member for member in members if not member.is_self]
    registry.set("peers", sum(1 for member in others if member.connected), state="connected")
    registry.set("peers", sum(1 for member in others if not member.connected), state="lost")
    registry.clear("peer_rtt_seconds")
    for member in others:
        registry.set("peer_height", member.height, peer=member.company_id)
        registry.set("peer_rejected_messages_total", sum(member.rejected.values()), peer=member.company_id)
        if member.round_trip_ms:
            registry.set("peer_rtt_seconds", member.round_trip_ms / 1000, peer=member.company_id)


def _fill_counter(registry: Registry, name: str, value: int) -> None:
    if name in _PLAIN:
        metric, labels = _PLAIN[name]
        registry.set(metric, value, **labels)
        return
    family, _, rest = name.partition(".")
    if rest and family == "cpu_ns":
        registry.set("cpu_seconds_total", value / _NS, part=rest)
    elif rest and family in _FAMILIES:
        metric, label = _FAMILIES[family]
        registry.set(metric, value, **{label: rest})
    elif name not in _ELSEWHERE:
        registry.set("node_counter_total", value, name=name)
