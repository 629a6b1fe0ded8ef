"""A governance call that is refused: code, rule, and a text with the cause, the value and the next step.

The text goes into the receipt, so every company reads the same sentence. A refusal undoes the call as a whole.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import LedgerError

CODES: Final = (
    "unknown_method", "bad_argument", "not_authorised", "out_of_gas", "not_member", "not_found", "closed", "expired",
    "conflict", "epoch_pending", "too_many_changes", "too_few_members", "no_quorum", "key_in_use", "bad_proof",
    "too_early", "limit_exceeded", "refused_by_engine",
)  # fmt: skip
"""Every code a refusal carries, closed (S64)."""


class Refused(LedgerError):
    """Why a governance call, or what it would lead to, is not possible now. `rule` is the number of the rule."""

    def __init__(self, code: str, rule: str, text: str) -> None:
        super().__init__(f"{code} ({rule}): {text}")
        self.code = code
        self.rule = rule
        self.text = text


def need(condition: bool, code: str, rule: str, text: str) -> None:
    """Raise `Refused` unless `condition` holds."""
    if not condition:
        raise Refused(code, rule, text)


def short(value: str | bytes) -> str:
    """Return a name or hash as it stands in a refusal: at most 20 characters, printable."""
    text = value.hex() if isinstance(value, bytes) else value
    kept = "".join(c if c.isprintable() else "?" for c in text[:20])
    return kept if len(text) <= 20 else kept[:17] + "..."
