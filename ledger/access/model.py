"""Vocabulary of the access decision: roles, actions, codes, and the records `decide` looks at (S60-S64).

Everything here is data. People roles act inside the bound of their company's roles (S19); the tables below are
the single place that says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from ledger.registry.records import COMPANY_ROLES, PEOPLE_ROLES, Mandate

Point = Literal["api", "tx", "read", "feed"]
"""Where the question is asked (S67-S70)."""


class Action(Enum):
    """What somebody wants to do, closed. Contract calls at point `tx` are `CALL` and `FULFIL`."""

    CALL = "tx.call"
    """Sign a transaction that reaches a contract."""
    FULFIL = "tx.fulfil"
    """Answer one role demand of a contract action (H7); `Resource.role` is the demanded people role."""
    SUBMIT = "tx.submit"
    """Hand in signed envelopes, or ask for a simulation."""
    CHAIN_READ = "chain.read"
    """Read what every member holds in clear anyway: blocks, headers, members, contracts, proofs of own keys."""
    BUSINESS_READ = "business.read"
    """Read rows, receipts and contract events that name companies."""
    DOCUMENT_READ = "document.read"
    """Read a sealed document or a field of it."""
    NODE_READ = "node.read"
    """Read health, peers and figures of one's own node."""
    NODE_OPERATE = "node.operate"
    """Change one's own node: configuration, backup of ciphertext."""
    TOKEN_MANAGE = "token.manage"  # noqa: S105  # the name of an action
    """Create and end tokens and sessions of one's own company."""


class Code(Enum):
    """Why, closed (S64). A stranger only ever sees "not found"."""

    OK_PUBLIC = "ok.public"
    OK_ROLE = "ok.role"
    OK_MANDATE = "ok.mandate"
    OK_OWNER = "ok.owner"
    OK_PARTY = "ok.party"
    DENY_UNKNOWN = "deny.unknown"
    DENY_MISSING = "deny.missing"
    DENY_INACTIVE = "deny.inactive"
    DENY_EXPIRED = "deny.expired"
    DENY_SOD = "deny.sod"
    DENY_ROLE = "deny.role"
    DENY_SCOPE = "deny.scope"
    DENY_LIMIT = "deny.limit"
    DENY_NONE = "deny.none"


RESOURCE_KINDS: Final = ("demand", "transaction", "chain", "business", "document", "node", "token")
"""Closed (S63)."""
ACTION_KINDS: Final = {
    Action.CALL: "transaction",
    Action.FULFIL: "demand",
    Action.SUBMIT: "transaction",
    Action.CHAIN_READ: "chain",
    Action.BUSINESS_READ: "business",
    Action.DOCUMENT_READ: "document",
    Action.NODE_READ: "node",
    Action.NODE_OPERATE: "node",
    Action.TOKEN_MANAGE: "token",
}
"""The kind of resource each action is about."""

BUSINESS_ROLES: Final = ("preparer", "approver", "treasurer", "controller", "risk_officer", "agent")
BUSINESS_COMPANIES: Final = ("trader", "core_enterprise", "financier", "guarantor", "settlement_bank", "registrar")
"""Company roles whose people may do business; an operator reads no business data (F8)."""

ROLE_BOUNDS: Final = {
    role: BUSINESS_COMPANIES
    if role in BUSINESS_ROLES
    else ("regulator",)
    if role == "regulator_officer"
    else COMPANY_ROLES
    for role in PEOPLE_ROLES
}
"""People role -> company roles of which one is needed (S19)."""

EXCLUSIVE_ROLES: Final = (
    ("node_operator", (*BUSINESS_ROLES, "governor")),
    ("company_admin", ("approver", "treasurer")),
)
"""Nobody holds the first role together with one of the others (S61, F10)."""

_WRITERS: Final = (*BUSINESS_ROLES, "company_admin", "governor", "audit_reader", "regulator_officer")
_READERS: Final = (*BUSINESS_ROLES, "company_admin", "governor", "audit_reader", "regulator_officer", "reader")
ACTION_ROLES: Final = {
    Action.CALL: _WRITERS,
    Action.FULFIL: PEOPLE_ROLES,
    Action.SUBMIT: _WRITERS,
    Action.CHAIN_READ: PEOPLE_ROLES,
    Action.BUSINESS_READ: _READERS,
    Action.DOCUMENT_READ: _READERS,
    Action.NODE_READ: PEOPLE_ROLES,
    Action.NODE_OPERATE: ("node_operator",),
    Action.TOKEN_MANAGE: ("company_admin",),
}
"""People roles of which one is needed for an action (S60). A `FULFIL` needs exactly the demanded one besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who asks. `company_*` describe the company acted for: the own one, or a principal under `mandate` (F12).

    `employer_status` is the status of the user's own company. `public_key` names the person: two accounts with one
    key are one person (S61).
    """

    id: str
    company_id: str
    roles: tuple[str, ...]
    company_roles: tuple[str, ...]
    company_status: str
    employer: str
    employer_status: str
    status: str
    valid_to_ms: int
    public_key: bytes
    mandate: Mandate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """A person that must not be the one who acts now (`apart from`, maker and checker)."""

    user_id: str
    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What is asked about. `owner` and `parties` are company ids; `owner` "" with kind `demand` is any company."""

    kind: str
    id: str
    owner: str = ""
    parties: tuple[str, ...] = ()
    role: str = ""
    makers: tuple[Maker, ...] = ()
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """When and how. `now_ms` is the header time in the transition, max(last block, own clock) on a node (S65)."""

    now_ms: int
    height: int
    point: Point
    capacity: str = ""
    purpose: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer; only `decide` makes one that allows (S66). `mask` lists field paths, empty means everything."""

    allow: bool
    code: Code
    matched: str
    mask: tuple[str, ...]
    subject_id: str
    resource_id: str
    resource_version: int
    state_version: int


def role_problem(roles: tuple[str, ...], company_roles: tuple[str, ...]) -> str:
    """Return "" if one user of a company with `company_roles` may hold `roles` together, else why not (S19, S61)."""
    for role in roles:
        if role not in PEOPLE_ROLES:
            return f"{role[:40]!r} is not a people role"
        if not any(bound in company_roles for bound in ROLE_BOUNDS[role]):
            return f"role {role} needs a company that is {' or '.join(ROLE_BOUNDS[role])}"
    for role, others in EXCLUSIVE_ROLES:
        clash = [other for other in others if other in roles]
        if role in roles and clash:
            return f"role {role} excludes {clash[0]}"
    return ""
