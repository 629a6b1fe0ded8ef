"""What a checker is: one property, tested at the moments that can break it (M31).

A checker sees every honest state, every simulated disk and every byte that was ever sent. It overrides the hooks it
needs; hooks that are not overridden cost nothing. A broken property ends the run through `self.fail`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from consensus.effects import Halt, Report
from consensus.membership import Membership, membership, membership_of
from node.core import effects as ne
from node.core import events as nv
from node.core.epochs import epoch_spec
from node.core.messages import PeerMessage
from simulator.disk import JournalBatch, StoredBlock
from simulator.execution import Executed
from simulator.league import Firm, League

if TYPE_CHECKING:
    from simulator.daemon import Daemon
    from simulator.oracle import Oracle


class View:
    """The part of a run that checkers may see: constants, all daemons, and how to report."""

    __slots__ = (
        "_firm_of",
        "_liars",
        "byzantine_mask",
        "daemons",
        "epochs",
        "fail",
        "faults",
        "healed",
        "league",
        "now",
        "oracle",
        "submitted",
    )

    def __init__(
        self,
        league: League,
        oracle: Oracle,
        daemons: list[Daemon],
        submitted: dict[bytes, int],
        now: Callable[[], int],
        fail: Callable[[str, str, str, str], None],
    ) -> None:
        self.league = league
        self.oracle = oracle
        self.daemons = daemons
        self.submitted = submitted
        self.now = now
        self.fail = fail
        self.epochs: dict[int, Membership] = {0: membership_of(league.config(0))}
        """Members by epoch, as the executed blocks decided them."""
        self.byzantine_mask = 0
        """Liars by the index of their company in the league, which is no member index after epoch 0."""
        self._firm_of = {firm.company_id: firm for firm in league.everyone}
        self._liars: dict[tuple[int, int], int] = {}
        self.healed = False
        self.faults: Callable[[], tuple[str, ...]] = tuple
        """Names of the faults at work now."""

    def executed(self, executed: Executed) -> None:
        """Learn of the epoch that a block decided."""
        record = executed.result.next_epoch
        if record is not None and record.epoch not in self.epochs:
            league = self.league
            spec = epoch_spec(record)
            self.epochs[record.epoch] = membership(spec, league.chain_id, league.params.rotate_every)

    def epoch_of(self, height: int) -> Membership:
        """Return the members that decide `height`, as far as a block has decided on them."""
        begun = (one for one in self.epochs.values() if one.first_height <= height)
        return max(begun, key=lambda one: one.epoch, default=self.epochs[0])

    def firm(self, epoch: int, index: int) -> Firm:
        """Return the company behind a member index of an epoch."""
        return self._firm_of[self.epochs[epoch].company_ids[index]]

    def liars(self, epoch: int) -> int:
        """Return the liars among the members of an epoch, as a mask of member indexes."""
        known = self._liars.get((epoch, self.byzantine_mask))
        if known is None:
            known = 0
            for index in range(self.epochs[epoch].n):
                known |= (self.byzantine_mask >> self.firm(epoch, index).index & 1) << index
            self._liars[epoch, self.byzantine_mask] = known
        return known

    def too_many(self, epoch: int) -> bool:
        """Tell whether more members of an epoch lie than it tolerates."""
        return self.liars(epoch).bit_count() > self.epochs[epoch].f


class Checker:
    """Base of all checkers. `name` appears in reports, `verdict` decides the exit code (M34)."""

    name: ClassVar[str] = ""
    verdict: ClassVar[str] = "safety"
    watches: ClassVar[tuple[type, ...]] = ()
    """Types of events and effects after which `stepped` is called: those that can break the property. None: all."""

    def __init__(self, view: View) -> None:
        self.view = view

    def fail(self, detail: str, node: str = "") -> None:
        """Report the broken property; the run ends here."""
        self.view.fail(self.verdict, self.name, detail, node)

    def stepped(self, daemon: Daemon, event: nv.NodeEvent, effects: list[ne.NodeEffect]) -> None:
        """A core took one step."""

    def durable(self, daemon: Daemon, batch: JournalBatch) -> None:
        """A journal commit became durable."""

    def sending(self, daemon: Daemon, message: PeerMessage, to: int | None) -> None:
        """An honest node lets a message go."""

    def stored(self, daemon: Daemon, block: StoredBlock) -> None:
        """A node keeps a certified block: from here it says "committed"."""

    def executed(self, daemon: Daemon, height: int, executed: Executed) -> None:
        """A node has the result of a height."""

    def started(self, daemon: Daemon) -> None:
        """A process was started; its start event waits for the first turn."""

    def stopped(self, daemon: Daemon) -> None:
        """A process has ended."""

    def halted(self, daemon: Daemon, halt: Halt) -> None:
        """A replica stopped for good."""

    def reported(self, daemon: Daemon, report: Report) -> None:
        """A replica shows two contradicting signed messages."""

    def finished(self) -> None:
        """The run is over."""


__all__ = ["Checker", "View"]
