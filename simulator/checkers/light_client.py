"""I24: whoever holds genesis only gets to the present members by the ends of the epochs, and by nothing else (P85).

A client is led through all epochs by what each honest node keeps and shows, whether it was there or took a later state,
and then lied to in every way that a node which serves it could: an end left out, an end twice, a certificate of
another height, other members than the header names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ledger.governance.follow import EpochEnd, TrustedMembers, follow, trust_genesis
from ledger.registry.epochs import read_epoch
from simulator.checkers.base import Checker
from simulator.daemon import Daemon


class LightClient(Checker):
    name = "light_client"

    def finished(self) -> None:
        honest = [daemon for daemon in self.view.daemons if daemon.honest]
        for daemon in honest:
            self._shown_by(daemon)
        best = max(honest, key=lambda daemon: (daemon.store.view.height, -daemon.slot), default=None)
        for what, lie in lies(list(best.ends.kept) if best is not None else []):
            if isinstance(self._follow(lie), TrustedMembers):
                self.fail(f"a light client believes {what}")

    def _shown_by(self, daemon: Daemon) -> None:
        """Fail unless what a node shows leads a client to the epoch that the node lives in, or beyond."""
        ends, state = daemon.ends.kept, daemon.replica_state
        if state is not None and state.members.epoch > len(ends):
            self.fail(f"it lives in epoch {state.members.epoch} and shows the ends of {len(ends)}", daemon.name)
        seen = self._follow(ends)
        if isinstance(seen, str):
            self.fail(f"a light client cannot follow the chain: {seen}", daemon.name)
            return
        record = read_epoch(daemon.store.view, len(ends))
        if record is not None and (seen.epoch, seen.first_height) != (record.epoch, record.first_height):
            self.fail(
                f"a light client ends in epoch {seen.epoch} from {seen.first_height}, "
                f"not {record.epoch} from {record.first_height}",
                daemon.name,
            )

    def _follow(self, ends: Sequence[EpochEnd]) -> TrustedMembers | str:
        return follow(trust_genesis(self.view.league.document), ends, self.view.oracle.verify)


def lies(ends: list[EpochEnd]) -> Iterator[tuple[str, list[EpochEnd]]]:
    """Yield false walks, each with what is false in it."""
    for place, end in enumerate(ends):
        before, after = ends[:place], ends[place + 1 :]
        if after:
            yield f"a walk without the end of epoch {place}", [*before, *after]
            swapped = msgspec.structs.replace(end, certificate=after[0].certificate)
            yield f"a certificate of another height at the end of epoch {place}", [*before, swapped]
        yield f"the end of epoch {place} twice", [*before, end, end]
        fewer = msgspec.structs.replace(end, members=end.members[1:])
        yield f"other members after epoch {place} than its last header names", [*before, fewer]
        unsigned = msgspec.structs.replace(end.certificate, signatures=end.certificate.signatures[1:])
        yield (
            f"a certificate of q-1 members of epoch {place}",
            [
                *before,
                msgspec.structs.replace(end, certificate=unsigned),
            ],
        )
