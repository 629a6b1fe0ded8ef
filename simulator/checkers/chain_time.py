"""I18, P145, P146: chain time stays near the clocks of correct members (scenarios 61, 62).

It never passes the largest correct clock by more than PRECISION. And no correct member votes for a fresh proposal
whose time lies further behind its own clock than the bound of P145, grown by its back-off, allows.
"""

from __future__ import annotations

from consensus.messages import PrePrepare
from consensus.records import Accepted
from ledger.block import header_codec
from node.core import effects as ne
from node.core import events as nv
from simulator.checkers.base import Checker, View
from simulator.clock import MS
from simulator.daemon import Daemon
from simulator.disk import JournalBatch, StoredBlock, record_of

RECEIPT_MS = 5_000
"""A proposal that came in a relay was perhaps seen so much earlier, before it waited for bodies and the disk."""
SEEN_HEIGHTS = 64
"""Heights below the highest for which the receipt of a proposal is remembered."""


class ChainTime(Checker):
    name = "chain_time"
    watches = (nv.PeerReceived,)

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._seen: dict[int, dict[tuple[int, bytes], tuple[int, int]]] = {}
        """Height -> (slot, block id) -> least reading of the member's clock, and back-off, when it arrived (P30g)."""
        self._ahead_ms = 0
        self._last: tuple[int, int] = (0, 0)

    def stepped(self, daemon: Daemon, event: nv.NodeEvent, _effects: list[ne.NodeEffect]) -> None:
        message = getattr(event, "message", None)
        if type(message) is not PrePrepare or not isinstance(event, nv.PeerReceived):
            return
        vote = message.vote
        seen = self._seen.get(vote.height)
        if seen is None:
            seen = self._seen[vote.height] = {}
            low = max(self._seen) - SEEN_HEIGHTS
            for old in [height for height in self._seen if height < low]:
                del self._seen[old]
        key = (daemon.slot, vote.block_id)
        backoff = 0 if daemon.replica_state is None else daemon.replica_state.backoff
        wall, most = seen.get(key, (event.wall, backoff))
        seen[key] = min(event.wall, wall), max(backoff, most)

    def stored(self, daemon: Daemon, block: StoredBlock) -> None:
        height, time_ms = block.ref.height, block.header.time_ms
        if not daemon.honest or height <= self._last[0]:
            return
        now = self.view.now()
        # A clock may have jumped back since it voted, so the largest reading ever seen counts.
        largest = max(other.clock.wall_ms(now) for other in self.view.daemons if other.honest)
        self._ahead_ms = max(self._ahead_ms, largest)
        limit = self._ahead_ms + self.view.league.params.precision_ms
        # A proposer whose parent lies ahead of its clock adds one millisecond (P146).
        if time_ms > max(limit, self._last[1] + 1):
            self.fail(f"block {height} is {time_ms - limit} ms ahead of every correct clock", daemon.name)
        self._last = (height, time_ms)

    def durable(self, daemon: Daemon, batch: JournalBatch) -> None:
        state = daemon.replica_state
        if not daemon.honest or state is None:
            return
        for entry in batch.entries:
            record = record_of(entry)
            if not isinstance(record, Accepted) or record.prepare is None:
                continue
            vote = record.pre_prepare.vote
            header = header_codec.decode(record.pre_prepare.proposal.header)
            if header.proposer != record.pre_prepare.sender or header.height in state.reproposals:
                continue
            then, backoff = self._seen.get(vote.height, {}).get((daemon.slot, vote.block_id), (-1, 0))
            exponent = min(max(state.backoff, backoff) + 1, 8)
            params = self.view.league.params
            slack = params.msgdelay_ms * 3**exponent // 2**exponent + params.precision_ms
            if then < 0:
                now, jumped_ns = self.view.now(), daemon.clock.jumped_ns
                if jumped_ns is not None and now - jumped_ns <= RECEIPT_MS * MS:
                    continue
                then = daemon.clock.wall_ms(now) - RECEIPT_MS
            behind = then - header.time_ms
            if behind > slack:
                self.fail(f"votes for block {header.height}, whose time lies {behind} ms behind its clock", daemon.name)
