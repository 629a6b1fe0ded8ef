"""What a local cluster consists of: a directory, its companies, their homes and ports. One JSON file."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

PLAN_FILE: Final = "cluster.json"
PORTS_PER_NODE: Final = 10
"""Distance between the ports of two nodes: API, peers and operations use the first three (C7)."""
PORT_MAX: Final = 65_000


class PlannedNode(msgspec.Struct, frozen=True, kw_only=True):
    """One company of the cluster. `home` is relative to the cluster's directory."""

    name: str
    title: str
    company_id: str
    roles: tuple[str, ...]
    home: str
    api_port: int
    peer_port: int
    ops_port: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `cluster.json`."""

    name: str
    seed: int
    nodes: tuple[PlannedNode, ...]


class ClusterError(Exception):
    """A cluster cannot do what was asked. The text names the cause and the next step."""


def clusters_directory() -> Path:
    """Return where clusters live: `hansa/clusters` under the XDG state directory (U6)."""
    base = os.environ.get("HANSA_STATE") or os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "hansa" / "clusters"


def load(directory: Path) -> Plan:
    """Return the plan in `directory`; raise `ClusterError` if there is none."""
    try:
        data = (directory / PLAN_FILE).read_bytes()
    except OSError:
        raise ClusterError(
            f"there is no cluster in {directory}; make one with `hansa cluster up {directory.name}`"
        ) from None
    try:
        return msgspec.json.decode(data, type=Plan)
    except msgspec.DecodeError as error:
        raise ClusterError(f"{directory / PLAN_FILE} is damaged ({error}); remove it and start again") from None


def save(directory: Path, plan: Plan) -> None:
    """Write the plan, whole or not at all."""
    target = directory / PLAN_FILE
    temporary = target.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(plan)) + b"\n")
    temporary.replace(target)


def free_ports(base: int, nodes: int, taken: Iterable[int] = ()) -> list[tuple[int, int, int]]:
    """Return (API, peer, operations) ports for each node, skipping ports in use from `base` on (C7)."""
    used = frozenset(taken)
    found: list[tuple[int, int, int]] = []
    port = base
    while len(found) < nodes:
        if port > PORT_MAX:
            raise ClusterError(f"no free ports between {base} and {PORT_MAX}; name another start with --port-base")
        triple = (port, port + 1, port + 2)
        if all(candidate not in used and _is_free(candidate) for candidate in triple):
            found.append(triple)
        port += PORTS_PER_NODE
    return found


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
