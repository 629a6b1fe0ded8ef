"""I24: whoever holds genesis only gets to the present members by the ends of the epochs, and by nothing else (P85).

A client is led through all epochs of the best chain, and then lied to in every way that a node which serves it could:
an end left out, an end twice, a certificate of another height, other members than the header names.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ledger.governance.follow import EpochEnd, TrustedMembers, follow, trust_genesis, wire_members
from ledger.registry.epochs import read_epoch
from simulator.checkers.base import Checker


class LightClient(Checker):
    name = "light_client"

    def finished(self) -> None:
        best = max(self.view.daemons, key=lambda daemon: (daemon.honest, daemon.store.view.height, -daemon.slot))
        ends: list[EpochEnd] = []
        last = 0
        for epoch in range(1, len(self.view.epochs)):
            record = read_epoch(best.store.view, epoch)
            if record is None or record.first_height > best.store.view.height:
                break
            block = best.store.blocks[record.first_height - 1]
            ends.append(EpochEnd(block.header_bytes, block.certificate, wire_members(record)))
            last = record.first_height
        if not ends:
            return
        trusted = trust_genesis(self.view.league.document)
        seen = follow(trusted, ends, self.view.oracle.verify)
        if isinstance(seen, str):
            self.fail(f"a light client cannot follow the chain: {seen}")
        elif (seen.epoch, seen.first_height) != (len(ends), last):
            self.fail(
                f"a light client ends in epoch {seen.epoch} from {seen.first_height}, not {len(ends)} from {last}"
            )
        for what, lie in lies(ends):
            if isinstance(follow(trusted, lie, self.view.oracle.verify), TrustedMembers):
                self.fail(f"a light client believes {what}")


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
