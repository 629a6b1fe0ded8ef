"""S62-S66: the decision table, its order, and that nothing but the table allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.access.decide import decide, read_subject
from ledger.access.model import (
    ACTION_KINDS,
    ACTION_ROLES,
    EXCLUSIVE_ROLES,
    RESOURCE_KINDS,
    ROLE_BOUNDS,
    Action,
    Code,
    Context,
    Maker,
    Resource,
    Subject,
    role_problem,
)
from ledger.registry.records import COMPANY_ROLES, PEOPLE_ROLES, Mandate

if TYPE_CHECKING:
    from tests.ledger.conftest import Sample

NOW = 1_780_000_000_000
KEY = bytes([1]) * 32


def person(*roles: str, **changes: Any) -> Subject:
    attributes: dict[str, Any] = {
        "id": "u-one",
        "company_id": "c-own",
        "roles": roles,
        "company_roles": ("trader",),
        "company_status": "active",
        "employer": "c-own",
        "employer_status": "active",
        "status": "active",
        "valid_to_ms": 0,
        "public_key": KEY,
        "mandate": None,
    }
    return Subject(**{**attributes, **changes})


def agent(*roles: str, cap: int = 0, expires_ms: int = NOW + 1, status: str = "active", own: str = "agent") -> Subject:
    mandate = Mandate("c-other", "u-one", roles, cap, expires_ms, status)
    return person(own, company_id="c-other", mandate=mandate)


AT = Context(now_ms=NOW, height=9, point="tx", capacity="maker")
API = Context(now_ms=NOW, height=9, point="api")


def demand(role: str, owner: str = "c-own", *makers: Maker) -> Resource:
    return Resource(kind="demand", id="invoices.issue", owner=owner, role=role, makers=makers)


INVOICE = Resource(kind="business", id="inv-1", owner="c-own", parties=("c-own", "c-other"))
FOREIGN = Resource(kind="business", id="inv-2", owner="c-a", parties=("c-a", "c-b"))

TABLE: list[tuple[str, Subject | None, Action, Resource, Context, Code]] = [
    ("own role", person("preparer"), Action.FULFIL, demand("preparer"), AT, Code.OK_ROLE),
    ("any company", person("preparer"), Action.FULFIL, demand("preparer", ""), AT, Code.OK_ROLE),
    ("another role", person("preparer"), Action.FULFIL, demand("approver"), AT, Code.DENY_ROLE),
    ("another company", person("preparer"), Action.FULFIL, demand("preparer", "c-b"), AT, Code.DENY_SCOPE),
    ("unknown person", None, Action.FULFIL, demand("preparer"), AT, Code.DENY_MISSING),
    ("no role at all", person(), Action.FULFIL, demand("preparer"), AT, Code.DENY_MISSING),
    ("unknown role", person("preparer"), Action.FULFIL, demand("boss"), AT, Code.DENY_UNKNOWN),
    ("unknown kind", person("preparer"), Action.FULFIL, INVOICE, AT, Code.DENY_UNKNOWN),
    ("unknown capacity", person("preparer"), Action.FULFIL, demand("preparer"), Context(
        now_ms=NOW, height=9, point="tx", capacity="boss"), Code.DENY_UNKNOWN),
    ("maker is not checker", person("approver"), Action.FULFIL,
     demand("approver", "c-own", Maker(user_id="u-one", public_key=b"")), AT, Code.DENY_SOD),
    ("the same key is the same person", person("approver"), Action.FULFIL,
     demand("approver", "c-own", Maker(user_id="u-two", public_key=KEY)), AT, Code.DENY_SOD),
    ("another maker", person("approver"), Action.FULFIL,
     demand("approver", "c-own", Maker(user_id="u-two", public_key=bytes(32))), AT, Code.OK_ROLE),
    ("suspended user", person("preparer", status="suspended"), Action.FULFIL, demand("preparer"), AT,
     Code.DENY_INACTIVE),
    ("suspended company", person("preparer", company_status="suspended"), Action.FULFIL, demand("preparer"), AT,
     Code.DENY_INACTIVE),
    ("suspended employer", person("preparer", employer_status="left"), Action.FULFIL, demand("preparer"), AT,
     Code.DENY_INACTIVE),
    ("expired", person("preparer", valid_to_ms=NOW), Action.FULFIL, demand("preparer"), AT, Code.DENY_EXPIRED),
    ("not yet expired", person("preparer", valid_to_ms=NOW + 1), Action.FULFIL, demand("preparer"), AT, Code.OK_ROLE),
    ("operator with a business role", person("node_operator", "preparer"), Action.FULFIL, demand("preparer"), AT,
     Code.DENY_SOD),
    ("admin and approver", person("company_admin", "approver"), Action.FULFIL, demand("approver"), AT, Code.DENY_SOD),
    ("company role bounds", person("preparer", company_roles=("operator",)), Action.FULFIL, demand("preparer"), AT,
     Code.DENY_ROLE),
    ("agent with a mandate", agent("preparer"), Action.FULFIL, demand("preparer", "c-other"), AT, Code.OK_MANDATE),
    ("agent beyond the mandate", agent("preparer"), Action.FULFIL, demand("approver", "c-other"), AT, Code.DENY_ROLE),
    ("a mandate without the role agent", agent("preparer", own="preparer"), Action.FULFIL,
     demand("preparer", "c-other"), AT, Code.DENY_ROLE),
    ("capped mandate", agent("preparer", cap=1), Action.FULFIL, demand("preparer", "c-other"), AT, Code.DENY_LIMIT),
    ("mandate over", agent("preparer", expires_ms=NOW), Action.FULFIL, demand("preparer", "c-other"), AT,
     Code.DENY_EXPIRED),
    ("mandate revoked", agent("preparer", status="revoked"), Action.FULFIL, demand("preparer", "c-other"), AT,
     Code.DENY_INACTIVE),
    ("no mandate", person("agent", company_id="c-other"), Action.FULFIL, demand("preparer", "c-other"), AT,
     Code.DENY_MISSING),
    ("own invoice", person("reader"), Action.BUSINESS_READ, INVOICE, API, Code.OK_OWNER),
    ("party of the invoice", person("reader", company_id="c-other", employer="c-other"), Action.BUSINESS_READ, INVOICE,
     API, Code.OK_PARTY),
    ("stranger", person("preparer"), Action.BUSINESS_READ, FOREIGN, API, Code.DENY_NONE),
    ("nobody's row", person("preparer"), Action.BUSINESS_READ, Resource(kind="business", id="x"), API,
     Code.DENY_MISSING),
    ("operators read no documents", person("node_operator"), Action.DOCUMENT_READ,
     Resource(kind="document", id="d", owner="c-own"), API, Code.DENY_ROLE),
    ("the chain is for everybody", person("trainee"), Action.CHAIN_READ, Resource(kind="chain", id="block"), API,
     Code.OK_PUBLIC),
    ("own node", person("node_operator"), Action.NODE_OPERATE, Resource(kind="node", id="n", owner="c-own"), API,
     Code.OK_OWNER),
    ("other node", person("node_operator"), Action.NODE_OPERATE, Resource(kind="node", id="n", owner="c-b"), API,
     Code.DENY_NONE),
    ("preparers do not operate", person("preparer"), Action.NODE_OPERATE, Resource(kind="node", id="n", owner="c-own"),
     API, Code.DENY_ROLE),
    ("tokens", person("company_admin"), Action.TOKEN_MANAGE, Resource(kind="token", id="t", owner="c-own"), API,
     Code.OK_OWNER),
    ("submit", person("preparer"), Action.SUBMIT, Resource(kind="transaction", id=""), API, Code.OK_ROLE),
    ("readers submit nothing", person("reader"), Action.SUBMIT, Resource(kind="transaction", id=""), API,
     Code.DENY_ROLE),
]  # fmt: skip


@pytest.mark.control("S63", "S64")
@pytest.mark.parametrize(("subject", "action", "resource", "context", "code"), [row[1:] for row in TABLE],
                         ids=[row[0] for row in TABLE])  # fmt: skip
def test_s63_decision_table(
    subject: Subject | None, action: Action, resource: Resource, context: Context, code: Code
) -> None:
    decision = decide(subject, action, resource, context)
    assert decision.code is code
    assert decision.allow is code.value.startswith("ok.")
    assert (decision.resource_id, decision.state_version) == (resource.id, context.height)


def test_s63_the_first_hit_decides() -> None:
    everything_wrong = person("node_operator", "preparer", status="left", valid_to_ms=1)
    assert decide(everything_wrong, Action.FULFIL, demand("boss"), AT).code is Code.DENY_UNKNOWN
    assert decide(everything_wrong, Action.FULFIL, demand("approver", "c-b"), AT).code is Code.DENY_INACTIVE
    active = person("node_operator", "preparer")
    assert decide(active, Action.FULFIL, demand("approver", "c-b"), AT).code is Code.DENY_SOD


def test_s64_the_table_reaches_every_code() -> None:
    assert {row[-1] for row in TABLE} == set(Code)


@given(
    subject=st.builds(
        person,
        st.sampled_from(PEOPLE_ROLES),
        company_id=st.sampled_from(("c-own", "c-other", "c-b")),
        company_roles=st.lists(st.sampled_from(COMPANY_ROLES), max_size=2).map(tuple),
        company_status=st.sampled_from(("active", "suspended")),
        status=st.sampled_from(("active", "left")),
        valid_to_ms=st.sampled_from((0, NOW, NOW + 1)),
    ),
    action=st.sampled_from(Action),
    kind=st.sampled_from(RESOURCE_KINDS),
    owner=st.sampled_from(("", "c-own", "c-b")),
    role=st.sampled_from((*PEOPLE_ROLES, "")),
    point=st.sampled_from(("api", "tx", "read", "feed")),
    capacity=st.sampled_from(("", "maker", "checker", "witness")),
)
@settings(max_examples=300, deadline=None)
def test_s62_total_and_never_more_than_the_roles_allow(
    subject: Subject, action: Action, kind: str, owner: str, role: str, point: Any, capacity: str
) -> None:
    resource = Resource(kind=kind, id="r", owner=owner, role=role)
    decision = decide(subject, action, resource, Context(now_ms=NOW, height=1, point=point, capacity=capacity))
    if decision.allow:
        assert subject.status == subject.company_status == "active"
        assert subject.valid_to_ms in (0, NOW + 1)
        assert ACTION_KINDS[action] == kind
        assert any(held in ACTION_ROLES[action] for held in subject.roles)
        assert subject.company_id == subject.employer
        assert action is not Action.FULFIL or role in subject.roles


def test_s61_no_pair_of_exclusive_roles_can_be_held() -> None:
    for role, others in EXCLUSIVE_ROLES:
        for other in others:
            assert "excludes" in role_problem((role, other), COMPANY_ROLES)
            subject = person(role, other, company_roles=COMPANY_ROLES)
            assert decide(subject, Action.CHAIN_READ, Resource(kind="chain", id=""), API).code is Code.DENY_SOD


def test_s19_every_people_role_has_a_bound_and_every_action_a_row() -> None:
    assert set(ROLE_BOUNDS) == set(PEOPLE_ROLES)
    assert set(ACTION_ROLES) == set(ACTION_KINDS) == set(Action)
    assert set(ACTION_KINDS.values()) == set(RESOURCE_KINDS)
    assert role_problem(("regulator_officer",), ("trader",))
    assert not role_problem(("regulator_officer",), ("regulator",))
    assert role_problem(("emperor",), COMPANY_ROLES)


def test_the_subject_is_read_from_state(sample: Sample) -> None:
    company = sample.companies[3]
    user = sample.people[company]["preparer"][0]
    subject = read_subject(sample.state, user)
    assert subject is not None
    assert (subject.company_id, subject.roles, subject.company_roles) == (
        company,
        ("preparer",),
        ("trader", "settlement_bank"),
    )
    assert read_subject(sample.state, "nobody") is None
    other = read_subject(sample.state, user, sample.companies[0])
    assert other is not None
    assert (other.mandate, other.company_roles) == (None, ("trader",))
    assert read_subject({}, user) is None
