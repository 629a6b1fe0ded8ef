"""Three kinds of fault that must never be mixed up, and the base of every error of this package.

* `InvalidTransaction`, `Malformed` and their kin: somebody handed us bad input. Reported, never a crash.
* `PeerMisbehaved`: a peer broke the protocol. Counted and charged to the peer.
* `InvariantViolated`: our own bug. Always raised (never an `assert`, which `python -O` strips) and ends in a halt.
"""

from __future__ import annotations


class LedgerError(Exception):
    """Base of the errors of `ledger`. `code` is stable and is what interfaces translate."""

    code = "ledger"


class Malformed(LedgerError):
    """Bytes are not the canonical form of the expected record (S5)."""

    code = "malformed"

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason


class TooLarge(Malformed):
    """Input is over the size limit of its kind; checked before decoding (S5)."""

    code = "too_large"

    def __init__(self, what: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(what, f"{size_bytes} bytes, the limit is {limit_bytes}")
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class InvalidTransaction(LedgerError):
    """A transaction breaks a static rule (LR2). `code` names the rule, `detail` the offending value."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class InvalidGenesis(LedgerError):
    """A genesis document cannot found a chain. `field` is the path of the offending value."""

    code = "invalid_genesis"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class InvalidFields(LedgerError):
    """A document cannot become a field tree (S78). `path` is the offending field, empty for the whole."""

    code = "invalid_fields"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


class EnvelopeRefused(LedgerError):
    """A sealed document does not open. The text is always the same; `step` names the failed check for the log (S86)."""

    code = "envelope_refused"

    def __init__(self, step: str) -> None:
        super().__init__("the sealed document does not open under this key and anchor")
        self.step = step


class CurrencyMismatch(LedgerError):
    """Two amounts of different currencies met in one operation (F13)."""

    code = "currency_mismatch"


class InvariantViolated(LedgerError):
    """A statement that our own code guarantees does not hold: a bug here, not a fault of a peer."""

    code = "invariant_violated"


class PeerMisbehaved(LedgerError):
    """A peer sent what no correct node sends. `reason` is a stable word used for counting."""

    code = "peer_misbehaved"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
