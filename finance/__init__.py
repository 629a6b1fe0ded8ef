"""Off-chain finance: files in, objects out; no network, no clock.

Doors, resolved when first used, so that the offline verifier loads nothing else of ours (F78):

    journal              ledger events of a company -> balanced journal entries
    trial_balance        entries -> trial balance; `reports` also has balances, account detail, statement, checks
    open_items           rows of the ledger -> invoices with their derived status as of a date
    ageing_of            rows of the ledger -> receivables or payables by days overdue
    read                 a file in a known format -> documents and findings
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

_DOORS: Final = {
    "journal": ("finance.postings", "journal"),
    "trial_balance": ("finance.reports", "trial_balance"),
    "open_items": ("finance.openitems", "open_items"),
    "ageing_of": ("finance.ageing", "ageing"),
    "read": ("finance.formats", "read"),
}


def __getattr__(name: str) -> Any:
    """Return a door by name (PEP 562)."""
    if name not in _DOORS:
        raise AttributeError(f"module 'finance' has no attribute {name!r}")
    module, attribute = _DOORS[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_DOORS])
