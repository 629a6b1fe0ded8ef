"""How past epochs ended, as one simulated node keeps it: does in memory what `node.store.ends` and `node.epochs` do on
disk (P85, P107).

What is kept is durable at once and outlives a crash, a snapshot and a copy of the disks that is put back; only a lost
disk takes it along. A node that passes the last block of an epoch makes its end from that block; one that takes a later
state has learnt the ends from others before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from consensus.events import EpochSpec, Member
from ledger.certificate import Verify
from ledger.errors import InvariantViolated
from ledger.governance.follow import EpochEnd, TrustedMembers, follow, wire_members
from ledger.registry.epochs import last_epoch, read_epoch
from ledger.state import MemoryState
from node.core import effects as ne
from node.core.epochs import epoch_spec, passed_epochs, spec_of, specs_after
from node.core.messages import ENDS_MAX
from simulator.disk import StoredBlock


@dataclass(slots=True)
class Ends:
    """The ends of epochs 0, 1, ... that one node holds without a gap."""

    founders: TrustedMembers
    """The members of epoch 0: what the genesis document says, and all that is believed without proof."""
    verify: Verify
    learned: int = 0
    """Ends that others showed, and not the own blocks."""
    _kept: list[EpochEnd] = field(default_factory=list)
    _reached: EpochSpec | None = None

    def follow(self, view: MemoryState, blocks: Mapping[int, StoredBlock]) -> EpochSpec:
        """Keep the end of every epoch that is over in the store; return the last epoch that the kept ends lead to.

        It may be one that the state does not know yet: a snapshot may be taken there (P107). It may also be one before
        the present, when ends are missing.
        """
        last = last_epoch(view)
        while len(self._kept) < last.epoch:
            record = read_epoch(view, len(self._kept) + 1)
            block = None if record is None else blocks.get(record.first_height - 1)
            if record is None or block is None:
                break  # not over yet; or below a snapshot, then the end comes from another node
            self._kept.append(EpochEnd(block.header_bytes, block.certificate, wire_members(record)))
        record = read_epoch(view, len(self._kept))
        self._reached = self._walked() if record is None else epoch_spec(record)
        return self._reached

    @property
    def kept(self) -> tuple[EpochEnd, ...]:
        return tuple(self._kept)

    def after(self, epoch: int) -> tuple[EpochEnd, ...]:
        """Return how `epoch` and the ones after it ended, as many as one message carries and are kept."""
        return tuple(self._kept[epoch : epoch + ENDS_MAX]) if epoch >= 0 else ()

    def keep(self, effect: ne.KeepEpochEnd) -> None:
        """Keep an end that the core verified; signatures of the epoch it leads to can be checked from now on."""
        if effect.epoch == len(self._kept):
            self._kept.append(effect.end)
            self.learned += 1
            self._reached = effect.leads_to

    def lose(self) -> None:
        """The disk is gone; what is needed comes from others again."""
        self._kept, self._reached, self.learned = [], None, 0

    def members(self, epoch: int) -> tuple[Member, ...]:
        """Return the members of an epoch that was reached; none of a later one."""
        reached = self._reached
        if reached is None or not 0 < epoch <= reached.epoch:
            return ()
        return specs_after(self._kept[epoch - 1 : epoch])[0].members

    def passed(self, present: int) -> tuple[EpochSpec, ...]:
        """Return the epochs between `present` and the one that was reached."""
        return () if self._reached is None else passed_epochs(self._kept, present, self._reached.epoch)

    def _walked(self) -> EpochSpec:
        """Return where a walk from genesis along all that is kept arrives: each end was verified before it was kept."""
        found = follow(self.founders, self._kept, self.verify)
        if isinstance(found, str):
            raise InvariantViolated(f"a kept end of an epoch does not follow from genesis: {found}")
        return spec_of(found)
