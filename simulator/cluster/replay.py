"""Replay the journal of a stopped node: the simulator's half of the soak (SIM11, P95, P161).

The records that a real process wrote are stepped through a fresh core under the simulator's guard, which lets it reach
neither clock nor chance nor sockets. A node says in its last log line which durable state it held; the replay must end
in the same one.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.app import prepare
from node.config import load_config
from node.core.machine import NodeContext, NodeCore
from node.epochs import start_event
from node.prepared import VoteSigner
from simulator.cluster.supervisor import LOG_FILE
from simulator.guard import guarded

NODE_FILE: Final = "node.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Height and durable digest that a journal leads to, and what the node said when it stopped ("" if nothing)."""

    height: int
    digest: str
    said: str


def replay_journal(home: Path) -> Replayed:
    """Replay the journal in `home`. Raises what opening a node's data raises; the node must be stopped."""
    parts = prepare(load_config([home / NODE_FILE], os.environ))
    try:
        core = NodeCore(VoteSigner(parts.key.key, parts.chain), NodeContext(read=parts.store.view))
        event = start_event(parts, 1, parts.store.tip.time_ms)
        with guarded():
            core.step(event)
            digest = core.replica.state.durable_digest()
        return Replayed(height=parts.store.tip.height, digest=digest.hex(), said=_last_words(home / LOG_FILE))
    finally:
        parts.close()


def _last_words(path: Path) -> str:
    """Return the durable digest in the last `node_stopped` line of a log, if the node did not start again since."""
    said = ""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("event") in ("node_started", "node_stopped"):
            said = str(found.get("state", "")) if found["event"] == "node_stopped" else ""
    return said
