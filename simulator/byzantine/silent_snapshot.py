"""Offers a state that nobody else holds, with true certificates, then sends nothing of it, nor any block (74, P107).

It makes a snapshot of each block, so what it offers is newer than what the others do. Answered by: a state that f+1
offer goes before it; where there was no other offer it is given up when nothing comes, and its holder is left out.
"""

from __future__ import annotations

from node.core.messages import BlocksRequest, ChunkRequest, PeerMessage, SkeletonRequest
from simulator.byzantine.base import Attacker
from simulator.daemon import Daemon
from simulator.rng import Rng


class SilentSnapshot(Attacker):
    name = "silent_snapshot"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        daemon.shelf.every = 1

    def incoming(self, _peer: int, message: PeerMessage) -> bool:
        return not isinstance(message, (BlocksRequest, ChunkRequest, SkeletonRequest))
