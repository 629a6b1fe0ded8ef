"""A node core whose mempool answers late (P158): the replica asks for a block, and much may happen before it gets one.

In the daemon the answer comes at once, for mempool and replica live in one core; the replica must not rely on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from consensus import effects as ce
from consensus import events as cv
from consensus.step import VoteSigner
from node.core import effects as ne
from node.core import events as nv
from node.core.machine import NodeContext, NodeCore


class LateAnswer(cv.Event, frozen=True, kw_only=True):
    """The mempool has the block that was asked for."""

    answer: cv.BlockBuilt


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

    def _perform(self, effect: ce.Effect, out: list[ne.NodeEffect], events: deque[cv.AnyEvent]) -> None:
        if not isinstance(effect, ce.BuildBlock):
            super()._perform(effect, out, events)
            return
        built: deque[cv.AnyEvent] = deque()
        super()._perform(effect, out, built)
        for event in built:
            if isinstance(event, cv.BlockBuilt):
                self._later(event)
