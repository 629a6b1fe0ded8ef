"""Committed blocks on their way into store and state, strictly in order of height.

Consensus delivers, sync delivers; both are idempotent by height. A block is stored, executed when its parent is,
and its result is reported back once. The header of a later block certifies that result.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from consensus.events import Lsn
from ledger.block import BlockRef, carries_work
from ledger.certificate import CommitCertificate
from ledger.errors import InvariantViolated
from node.core.effects import Execute, NodeEffect, StoreBlock
from node.core.mempool import Candidate

RESULTS_KEPT: Final = 16
"""Heights whose exec_root is remembered; the lag of a header is at most 8 (I15)."""


@dataclass(slots=True)
class Chain:
    """`tip` is the last delivered block, `executed` the last height whose result is known."""

    tip: BlockRef
    executed: int
    roots: dict[int, bytes] = field(default_factory=dict)
    divergence: str = ""
    """Not empty once a certified header named another result than ours (P83)."""
    _certified: dict[int, bytes] = field(default_factory=dict)
    _queue: deque[tuple[Candidate, Lsn]] = field(default_factory=deque)
    _running: bool = False

    def deliver(
        self, ref: BlockRef, candidate: Candidate, certificate: CommitCertificate, after: Lsn
    ) -> list[NodeEffect]:
        """Append the next block; a height that is here already changes nothing."""
        if ref.height <= self.tip.height:
            return []
        if ref.height != self.tip.height + 1 or candidate.header.parent_id != self.tip.block_id:
            raise InvariantViolated(f"delivered {ref.height} on top of {self.tip.height}")
        self.tip = ref
        self._compare(candidate.header.exec_height, candidate.header.exec_root)
        effects: list[NodeEffect] = [
            StoreBlock(
                ref=ref,
                header=candidate.header,
                header_bytes=candidate.header_bytes,
                envelopes=candidate.bodies,
                tx_ids=candidate.tx_ids,
                certificate=certificate,
                after=after,
            )
        ]
        self._queue.append((candidate, after))
        return effects + self._next()

    def finished(self, height: int, exec_root: bytes) -> list[NodeEffect]:
        """Record the result of `height` and start the next execution."""
        if height != self.executed + 1 or not self._running:
            raise InvariantViolated(f"executed {height} after {self.executed}")
        self._running = False
        self.executed = height
        self.roots[height] = exec_root
        self.roots.pop(height - RESULTS_KEPT, None)
        if height in self._certified:
            self._compare(height, self._certified[height])
        return self._next()

    @property
    def root(self) -> bytes:
        """Return the exec_root of the executed height."""
        return self.roots[self.executed]

    def _compare(self, height: int, certified: bytes) -> None:
        """Compare a certified result with ours, now or when it is executed."""
        own = self.roots.get(height)
        if own is None and height > self.executed:
            self._certified[height] = certified
            return
        for old in [known for known in self._certified if known <= height]:
            del self._certified[old]
        if own is not None and own != certified:
            self.divergence = (
                f"height {height}: certified exec_root {certified.hex()}, executed here {own.hex()}; "
                "keep the data directory for analysis and fetch the chain anew"
            )

    def _next(self) -> list[NodeEffect]:
        if self._running or not self._queue:
            return []
        self._running = True
        candidate, after = self._queue.popleft()
        height = candidate.header.height
        return [
            Execute(
                height=height,
                header=candidate.header,
                transactions=candidate.transactions,
                evidence=candidate.evidence,
                after=after,
            )
        ]


def ref_of(candidate_id: bytes, candidate: Candidate, parent: BlockRef) -> BlockRef:
    """Return what the child of this block must know about it."""
    header = candidate.header
    return BlockRef(
        height=header.height,
        block_id=candidate_id,
        time_ms=header.time_ms,
        exec_height=header.exec_height,
        work_height=header.height if carries_work(header) else parent.work_height,
    )
