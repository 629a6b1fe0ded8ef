"""`decide`: may this subject do this to that, now? Pure, total, no exceptions, default deny (S62, S63).

Order of evaluation; the first hit decides:
    1 unknown action, resource kind, role or capacity   2 a needed attribute is missing
    3 not active or expired   4 exclusions, maker is not checker   5 people role inside the company role
    6 limits   7 public, role demand, owner or named party: allow   11 deny
Steps 8 to 10 (engagement, grant, standing right) have nothing to find until grants exist on the ledger.

Door: `decide`; `read_subject` builds the subject from state.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, assert_never

from ledger.access.model import (
    ACTION_KINDS,
    ACTION_ROLES,
    EXCLUSIVE_ROLES,
    ROLE_BOUNDS,
    Action,
    Code,
    Context,
    Decision,
    Resource,
    Subject,
)
from ledger.registry.lookup import ACTIVE, Getter, read_company, read_mandate, read_user
from ledger.registry.records import PEOPLE_ROLES
from ledger.transaction import CAPACITIES

_POINTS: Final = ("api", "tx", "read", "feed")
_PARTY_ACTIONS: Final = (Action.BUSINESS_READ, Action.DOCUMENT_READ)
_OWNER_ACTIONS: Final = (Action.NODE_READ, Action.NODE_OPERATE, Action.TOKEN_MANAGE)
_WITNESS: Final = "witness"
_TABLE_ENTRIES: Final = 1_024
"""Combinations of roles whose answer is remembered; the functions are pure."""


def decide(subject: Subject | None, action: Action, resource: Resource, context: Context) -> Decision:
    """Return the decision; `subject` None is somebody the registry does not know.

    `state_version` of the answer is `context.height`: sessions and streams ask again when it moves (S21).
    """
    code, matched = _evaluate(subject, action, resource, context)
    return Decision(
        allow=code.value.startswith("ok."),
        code=code,
        matched=matched,
        mask=(),
        subject_id="" if subject is None else subject.id,
        resource_id=resource.id,
        resource_version=resource.version,
        state_version=context.height,
    )


def read_subject(reader: Getter, user_id: str, company_id: str = "") -> Subject | None:
    """Return the subject `user_id` acting for `company_id` ("" is its own company), or None if a record is missing."""
    user = read_user(reader, user_id)
    if user is None:
        return None
    acted_for = company_id or user.company_id
    employer = read_company(reader, user.company_id)
    company = employer if acted_for == user.company_id else read_company(reader, acted_for)
    if employer is None or company is None:
        return None
    return Subject(
        id=user.user_id,
        company_id=acted_for,
        roles=user.roles,
        company_roles=company.roles,
        company_status=company.status,
        employer=user.company_id,
        employer_status=employer.status,
        status=user.status,
        valid_to_ms=user.valid_to_ms,
        public_key=user.public_key,
        mandate=None if acted_for == user.company_id else read_mandate(reader, acted_for, user_id),
    )


def _evaluate(subject: Subject | None, action: Action, resource: Resource, context: Context) -> tuple[Code, str]:
    if _unknown(action, resource, context):
        return Code.DENY_UNKNOWN, "1"
    if subject is None or _missing(subject, action, resource):
        return Code.DENY_MISSING, "2"
    for step, check in _DENIALS:
        code = check(subject, action, resource, context)
        if code is not None:
            return code, step
    return _allowed(subject, action, resource)


def _unknown(action: Action, resource: Resource, context: Context) -> bool:
    if ACTION_KINDS.get(action) != resource.kind or context.point not in _POINTS:
        return True
    if context.point == "tx" and context.capacity not in CAPACITIES:
        return True
    return action is Action.FULFIL and resource.role not in PEOPLE_ROLES


def _missing(subject: Subject, action: Action, resource: Resource) -> bool:
    if not subject.id or not subject.company_id or not subject.roles or not subject.company_roles:
        return True
    if subject.company_id != subject.employer and subject.mandate is None:
        return True
    return (action in _OWNER_ACTIONS or action in _PARTY_ACTIONS) and not (resource.owner or resource.parties)


def _inactive(subject: Subject, _action: Action, _resource: Resource, context: Context) -> Code | None:
    if subject.status != ACTIVE or subject.company_status != ACTIVE or subject.employer_status != ACTIVE:
        return Code.DENY_INACTIVE
    if subject.valid_to_ms and subject.valid_to_ms <= context.now_ms:
        return Code.DENY_EXPIRED
    if subject.mandate is not None:
        if subject.mandate.status != ACTIVE:
            return Code.DENY_INACTIVE
        if subject.mandate.expires_ms <= context.now_ms:
            return Code.DENY_EXPIRED
    return None


def _excluded(subject: Subject, _action: Action, resource: Resource, _context: Context) -> Code | None:
    if _clash(subject.roles):
        return Code.DENY_SOD
    for maker in resource.makers:
        if maker.user_id == subject.id or maker.public_key == subject.public_key:
            return Code.DENY_SOD  # S61: holds for the person, across accounts with the same key
    return None


def _role(subject: Subject, action: Action, resource: Resource, context: Context) -> Code | None:
    held = _held(subject)
    if not any(role in ACTION_ROLES[action] for role in held):
        return Code.DENY_ROLE
    if action is Action.FULFIL:
        if resource.owner and resource.owner != subject.company_id:
            return Code.DENY_SCOPE
        if resource.role not in held:
            return Code.DENY_ROLE
        if context.capacity == _WITNESS:
            return Code.DENY_SCOPE  # a witness attests, it neither makes nor checks (S4)
    return None


def _held(subject: Subject) -> tuple[str, ...]:
    """Return the people roles in force in the company acted for, inside the bound of its company roles (S19)."""
    roles: tuple[str, ...]
    if subject.mandate is None:
        roles = subject.roles
    elif "agent" in subject.roles:
        roles = subject.mandate.roles
    else:
        roles = ()
    return _bounded(roles, subject.company_roles)


@lru_cache(maxsize=_TABLE_ENTRIES)
def _bounded(roles: tuple[str, ...], company_roles: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(role for role in roles if any(bound in company_roles for bound in ROLE_BOUNDS.get(role, ())))


@lru_cache(maxsize=_TABLE_ENTRIES)
def _clash(roles: tuple[str, ...]) -> bool:
    """Tell whether nobody may hold `roles` together (S61)."""
    return any(role in roles and any(other in roles for other in others) for role, others in EXCLUSIVE_ROLES)


def _limited(subject: Subject, action: Action, _resource: Resource, _context: Context) -> Code | None:
    # A demand names no amount, so a capped mandate cannot be shown to be kept: the cap denies (S63, default deny).
    if action is Action.FULFIL and subject.mandate is not None and subject.mandate.cap_per_document:
        return Code.DENY_LIMIT
    return None


_Check = Callable[[Subject, Action, Resource, Context], Code | None]
_DENIALS: Final[tuple[tuple[str, _Check], ...]] = (("3", _inactive), ("4", _excluded), ("5", _role), ("6", _limited))


def _allowed(subject: Subject, action: Action, resource: Resource) -> tuple[Code, str]:
    acted = Code.OK_ROLE if subject.mandate is None else Code.OK_MANDATE
    match action:
        case Action.CALL | Action.FULFIL | Action.SUBMIT:
            return acted, "7"
        case Action.CHAIN_READ:
            return Code.OK_PUBLIC, "7"
        case Action.NODE_READ | Action.NODE_OPERATE | Action.TOKEN_MANAGE:
            return (Code.OK_OWNER, "7") if resource.owner == subject.company_id else (Code.DENY_NONE, "11")
        case Action.BUSINESS_READ | Action.DOCUMENT_READ:
            if resource.owner == subject.company_id:
                return Code.OK_OWNER, "7"
            if subject.company_id in resource.parties:
                return Code.OK_PARTY, "7"
            return Code.DENY_NONE, "11"
        case _:
            assert_never(action)
