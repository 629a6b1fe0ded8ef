"""Parameters of a network: fixed in genesis, hashed into every header (LR5), the same on every node.

Durations are milliseconds here and integer nanoseconds inside the core. Defaults and bounds are the
table of the consensus design (section 8); `check` names the offending value.
"""

from __future__ import annotations

from ledger.codec import Wire, encode
from ledger.crypto.hashing import H, Tag
from ledger.errors import InvalidGenesis


class Params(Wire, frozen=True):
    """Consensus and execution parameters. All members must agree on every value."""

    window: int = 1
    exec_lag: int = 8
    rotate_every: int = 64
    t0_ms: int = 2_000
    t_cap_ms: int = 30_000
    status_ms: int = 1_000
    suspect_ttl_ms: int = 3_000
    hb_ms: int = 3_000
    hb_misses: int = 4
    fetch_ms: int = 500
    fwd_ms: int = 1_000
    req_ms: int = 10_000
    precision_ms: int = 500
    msgdelay_ms: int = 2_000
    max_block_bytes: int = 2 * 1024 * 1024
    max_block_txs: int = 5_000
    max_evidence_bytes: int = 64 * 1024
    max_block_gas: int = 5_000_000
    max_tx_gas: int = 200_000
    max_validity_heights: int = 10_000

    def check(self) -> None:
        """Raise `InvalidGenesis` naming the first parameter outside its bounds."""
        bounds = {
            "window": (1, min(4, self.exec_lag // 2)),  # so that a proposer never outruns its own results (P31, P48)
            "exec_lag": (2, 8),
            "rotate_every": (0, 4_096),
            "t0_ms": (200, 10_000),
            "t_cap_ms": (4 * self.t0_ms, 3_600_000),
            "status_ms": (200, 10_000),
            "suspect_ttl_ms": (3 * self.status_ms, 3 * self.status_ms),
            "hb_ms": (200, 60_000),
            "hb_misses": (1, 100),
            "fetch_ms": (50, 10_000),
            "fwd_ms": (100, 60_000),
            "req_ms": (self.t0_ms + 1, 600_000),
            "precision_ms": (1, 60_000),
            "msgdelay_ms": (1, 60_000),
            "max_block_bytes": (64 * 1024, 3 * 1024 * 1024),
            "max_block_txs": (1, 5_000),
            "max_evidence_bytes": (0, 64 * 1024),
            "max_block_gas": (200_000, 5_000_000),
            "max_tx_gas": (1_000, 200_000),
            "max_validity_heights": (10, 10_000),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidGenesis(f"parameters.{name}", f"{value} is outside {low} to {high}")

    def hash(self) -> bytes:
        """Return `params_hash` of the header (LR5)."""
        return H(Tag.PARAMS, encode(self))
