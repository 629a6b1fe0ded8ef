"""The contracts a new chain starts with, as text (finance.md section 1, contracts L57).

Door: `sources()`. The texts are package data, read once through `importlib.resources`.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

ORDER: Final = (
    ("invoices", "settlement"),
    ("credit_risk", "risk"),
    ("acceptance", "risk"),
    ("payments", "settlement"),
    ("set_offs", "settlement"),
)
"""Contract and folder, each after everything it uses; this is the order in a genesis document."""


@cache
def sources() -> tuple[tuple[str, bytes], ...]:
    """Return (name, source) of every library contract, each after the contracts it uses.

    >>> [name for name, _ in sources()]
    ['invoices', 'credit_risk', 'acceptance', 'payments', 'set_offs']
    """
    root = files(__name__)
    return tuple((name, root.joinpath(folder, f"{name}.contract").read_bytes()) for name, folder in ORDER)
