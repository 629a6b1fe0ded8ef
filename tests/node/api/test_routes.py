"""The table of operations is complete, and every row asks for its credential (S67, U1, S119)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from finance.openitems import DOCUMENTS, STATUSES
from node.api.routes import DERIVED_STATES, DOCUMENT_STATES, OPERATIONS, IncompleteTable, Scope, check_table
from node.api.server import HANDLERS

NAMES = [operation.name for operation in OPERATIONS]


def test_s67_table_and_handlers_match() -> None:
    check_table(HANDLERS)


@pytest.mark.control("S67")
def test_s67_a_missing_handler_keeps_the_server_from_starting() -> None:
    with pytest.raises(IncompleteTable, match="no handler for status"):
        check_table([name for name in NAMES if name != "status"])
    with pytest.raises(IncompleteTable, match="no row for surprise"):
        check_table([*NAMES, "surprise"])


def test_f2_state_words_are_those_of_finance() -> None:
    assert DOCUMENT_STATES == DOCUMENTS
    assert set(STATUSES) | {"disputed", "held", "due_soon"} == set(DERIVED_STATES)


def filled(path: str) -> str:
    return re.sub(r"\{[a-z]+\}", "00", path)


@pytest.mark.control("S67", "S119")
@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
async def test_every_route_needs_its_credential(operation: Any, world: Any, client: Any) -> None:
    def call(token: str = "") -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if operation.body:
            headers["Content-Type"] = operation.body
        return client.request(operation.method, filled(operation.path), headers=headers)

    anonymous = await call()
    if operation.scope is Scope.NONE:
        assert anonymous.status == 200
        return
    assert anonymous.status == 401
    assert (await anonymous.json())["code"] == "unauthenticated"
    weakest = "submit" if operation.scope is Scope.READ else "read"
    lacking = await call(world.token("preparer", scopes=[weakest]))
    assert lacking.status == 403, "the scope of the row is missing"


@pytest.mark.control("T48")
async def test_t48_a_node_operator_reads_no_business(world: Any, client: Any) -> None:
    world.accept(1, world.issue(0, 1, 1000))
    headers = {"Authorization": f"Bearer {world.token('operator')}"}
    for operation in OPERATIONS:
        if operation.action.value == "business.read":
            answer = await client.get(filled(operation.path), headers=headers)
            assert answer.status == 403, operation.name
            assert (await answer.json())["decision"] == "deny.role"
    assert (await client.get("/v1/network", headers=headers)).status == 200
    assert (await client.get("/v1/blocks", headers=headers)).status == 200
