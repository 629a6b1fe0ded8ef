"""A node core whose mempool answers late (P158): the replica asks for a block, and much may happen before it gets one.

In the daemon the answer comes at once, for mempool and replica live in one core; the replica must not rely on it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from consensus import events as cv
from consensus.step import VoteSigner
from node.core import effects as ne
from node.core import events as nv
from node.core.machine import Answers, NodeContext, NodeCore
from simulator.records import LateAnswer


class LateCore(NodeCore):
    """`later` is given each built block and hands it back as a `LateAnswer` some time after."""

    def __init__(self, signer: VoteSigner, context: NodeContext, later: Callable[[cv.BlockBuilt], None]) -> None:
        super().__init__(signer, context)
        self._later = later

    def step(self, event: nv.NodeEvent | LateAnswer) -> list[ne.NodeEffect]:
        """Step the core; a late answer goes to the replica that asked."""
        if not isinstance(event, LateAnswer):
            return super().step(event)
        if self._halted or self._ended:
            return []
        self._now, self._wall = event.now, event.wall
        return self._consensus(msgspec.structs.replace(event.answer, now=event.now, wall=event.wall))

    def _built(self, answer: cv.BlockBuilt, _events: Answers) -> None:
        self._later(answer)
