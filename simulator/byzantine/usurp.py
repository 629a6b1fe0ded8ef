"""Acts as primary and as collector when it is neither: proposes blocks, opens views (scenarios 36, 45; MU21, MU48).

Answered by: `prepared_certificate` and `opening`; nobody accepts either. Where it is the primary its empty blocks are
good ones, and the work that they leave out is what P132 is for.
"""

from __future__ import annotations

from consensus.messages import NewView, PrePrepare, Proposal, Status, ViewChange
from consensus.validate import Opening, opening, parse_header
from ledger.block import EMPTY_LIST_ROOT, Header
from ledger.certificate import certificate_hash, quorum
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing, changed_header
from simulator.daemon import Daemon
from simulator.rng import Rng


class Usurp(Attacker):
    name = "usurp"
    passes_over = True

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._header: Header | None = None
        self._changes: dict[int, dict[int, ViewChange]] = {}

    def incoming(self, _peer: int, message: PeerMessage) -> bool:
        if isinstance(message, PrePrepare):
            self._header = parse_header(message.proposal.header) or self._header  # another liar's may be malformed
        elif isinstance(message, ViewChange):
            self._gather(message)
        return True

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        out: Outgoing = [(message, to)]
        if isinstance(message, ViewChange) and message.sender == self.me:
            self._gather(message)
        elif isinstance(message, Status):
            proposal = self._proposal(message)
            if proposal is not None:
                out.append((proposal, to))
        return out

    def _gather(self, message: ViewChange) -> None:
        held = self._changes.setdefault(message.view, {})
        held[message.sender] = message
        q = quorum(self.members)
        if len(held) == q:
            chosen = tuple(held[sender] for sender in sorted(held))
            outcome = opening(chosen)
            if isinstance(outcome, Opening):
                again = outcome.reproposals()
                lie = self.new_view(NewView(message.epoch, self.me, message.view, chosen, again, b""))
                self.later(1_000_000, lie, None)

    def _proposal(self, status: Status) -> PrePrepare | None:
        """Return a well-formed empty block for the next height."""
        state = self.daemon.replica_state
        if self._header is None or state is None:
            return None
        tip = state.tip
        header = changed_header(
            self._header,
            height=tip.height + 1,
            parent_id=tip.block_id,
            tx_root=EMPTY_LIST_ROOT,
            tx_count=0,
            size_bytes=0,
            time_ms=max(tip.time_ms + 1, self.daemon.clock.wall_ms(self.daemon.world.heap.now)),
            proposer=self.me,
            exec_height=max(tip.exec_height, state.executed),
            exec_root=state.exec_roots.get(max(tip.exec_height, state.executed), bytes(32)),
            last_cert_height=tip.height,
            last_cert_hash=certificate_hash(state.tip_certificate),
        )
        return self.pre_prepare(status.view, header, Proposal(b"", (), state.tip_certificate))
