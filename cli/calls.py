"""Business acts as ledger calls: which contract, which method, who must sign as what (F, section 6: AU1 to AU17)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Act:
    """One business act. `roles` are people roles of the signing company with their capacities, in order.

    `other_roles` are those of a second company that signs too, and stand after them; without any it signs in the same
    roles.

    The gas limit is the worst case that the contract's compiler proves, asked from the node; `gas` is that of calls
    which no compiler made.
    """

    contract: str
    method: str
    roles: tuple[tuple[str, str], ...]
    gas: int = 0
    other_roles: tuple[tuple[str, str], ...] = ()


_MAKER_CHECKER: Final = (("preparer", "maker"), ("approver", "checker"))
_MAKER: Final = (("preparer", "maker"),)
_CHECKER: Final = (("approver", "checker"),)

ACTS: Final = {
    "issue": Act("invoices", "issue", _MAKER_CHECKER),
    "receive": Act("invoices", "receive", _MAKER),
    "start": Act("invoices", "start", _MAKER),
    "query": Act("invoices", "query_", _MAKER),
    "answer": Act("invoices", "answer", _MAKER),
    "reject": Act("invoices", "reject", _CHECKER),
    "withdraw": Act("invoices", "withdraw", _MAKER_CHECKER),
    "accept": Act("acceptance", "accept", _MAKER_CHECKER),
    "dispute": Act("invoices", "dispute", _CHECKER),
    "resolve_dispute": Act("invoices", "resolve_dispute", _MAKER_CHECKER, other_roles=_CHECKER),
    "drop_dispute": Act("invoices", "reject_dispute", _CHECKER),
    "credit": Act("invoices", "credit", _MAKER_CHECKER),
    "write_off": Act("invoices", "write_off", _MAKER_CHECKER),
    "apply_credit": Act("invoices", "apply_credit", _MAKER),
    "set_limit": Act("credit_risk", "set_limit", (("risk_officer", "maker"), ("approver", "checker"))),
    "propose": Act("payments", "propose", _MAKER_CHECKER),
    "plan": Act("payments", "plan", _MAKER_CHECKER),
    "release": Act("payments", "release", (("treasurer", "checker"),)),
    "confirm": Act("payments", "confirm", _MAKER_CHECKER),
    "fail": Act("payments", "fail", _CHECKER),
    "set_off": Act("set_offs", "set_off", _MAKER_CHECKER, other_roles=_MAKER_CHECKER),
}
"""Both companies sign a set-off, two people each (AU17); the buyer's approver signs the end of a dispute too (AU3)."""
