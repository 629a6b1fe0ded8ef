"""Serves spoilt snapshots: another root, a missing or a changed row, wrong ids, a height that is not there (74, P107).

Answered by: each lie is caught where it stands, the peer is charged, and the rest comes from others.
"""

from __future__ import annotations

import msgspec

from node.core.messages import Chunk, PeerMessage, Skeleton, SnapshotManifest, SnapshotOffer
from simulator.byzantine.base import Attacker, Outgoing

NOTHING = bytes(range(32))


class LyingSnapshot(Attacker):
    name = "lying_snapshot"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if isinstance(message, SnapshotOffer) and message.manifests and self.rng.bits(1):
            return [(SnapshotOffer(tuple(self._offered(one) for one in message.manifests)), to)]
        if isinstance(message, Chunk) and message.rows:
            return [(msgspec.structs.replace(message, rows=self._rows(message)), to)]
        if isinstance(message, Skeleton):
            ids = tuple((NOTHING, *of_block[1:]) for of_block in message.tx_ids)
            return [(msgspec.structs.replace(message, tx_ids=ids), to)]
        return [(message, to)]

    def _offered(self, manifest: SnapshotManifest) -> SnapshotManifest:
        if self.rng.bits(1):
            return msgspec.structs.replace(manifest, state_root=NOTHING)
        return msgspec.structs.replace(manifest, height=manifest.height + 1)

    def _rows(self, message: Chunk) -> tuple[tuple[bytes, bytes], ...]:
        """Return the rows of a chunk without the last one, or with another value in it."""
        key, value = message.rows[-1]
        return message.rows[:-1] if self.rng.bits(1) else (*message.rows[:-1], (key, value + b"\x00"))
