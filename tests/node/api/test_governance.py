"""Epochs, proposals and what they would do, over HTTP; what companies decide reaches every member (S22, P85, P116)."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from cli.commands import company
from ledger.codec import encode
from ledger.governance.records import (
    OPEN,
    REJECTED,
    Expel,
    Openings,
    Proposal,
    Resume,
    Rotation,
    openings_key,
    proposal_key,
)
from ledger.registry.epochs import read_epoch
from ledger.registry.lookup import company_key
from ledger.registry.records import Company, RootPolicy
from ledger.state import MemoryState
from node.api import governance
from node.core.ends import proven_nodes
from node.core.epochs import epoch_spec, trusted_members

BOTH = ("governor", "admin")


def headers(world: Any, role: str = "preparer", **changes: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.token(role, **changes)}"}


def govern(world: Any, company: int, method: str, *args: Any) -> Any:
    return world.done([(company, role) for role in BOTH], "governance", method, *args)


def expel(world: Any, company: int) -> tuple[str, bytes]:
    payload = encode(Expel((world.companies[company],)))
    govern(world, 1, "propose", "expel", payload, 500)
    return world.blocks[-1].transactions[0].tx_id.hex(), payload


async def get(world: Any, client: Any, path: str) -> Any:
    answer = await client.get(path, headers=headers(world))
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_s22_a_proposal_is_listed_with_the_votes_that_count(world: Any, client: Any) -> None:
    proposal, payload = expel(world, 2)
    payload_rotation = encode(Rotation(world.companies[3], False))
    govern(world, 0, "propose", "rotation", payload_rotation, 500)
    other = world.blocks[-1].transactions[0].tx_id.hex()
    govern(world, 1, "vote", bytes.fromhex(other), False)
    found = await get(world, client, "/v1/proposals")
    newest, first = found["items"]
    assert (newest["id"], first["id"]) == (other, proposal)
    assert [item["id"] for item in first["about"]] == [world.companies[2]]
    assert first["approving"] == [] and first["quorum"] == 3, "an expulsion counts endorsements only (S26)"
    assert [item["id"] for item in newest["approving"]] == [world.companies[0]]
    assert [item["id"] for item in newest["refusing"]] == [world.companies[1]]
    assert newest["status"] == "open" and newest["kind"] == "rotation"
    assert first["payload"] == b64encode(payload).decode()


async def test_p116_the_effect_names_quorum_members_and_refusal(world: Any, client: Any) -> None:
    world.cut = {3}
    body = {"kind": "expel", "payload": b64encode(encode(Expel((world.companies[2],)))).decode()}
    answer = await client.post("/v1/proposals/effect", json=body, headers=headers(world))
    found = await answer.json()
    assert answer.status == 200 and found["schema"] == "hansa.effect/1"
    assert (found["quorum_before"], found["quorum_after"]) == (3, 2)
    assert [len(found[key]) for key in ("members_before", "members_after", "missing", "refused")] == [4, 3, 0, 0]
    cut = world.members[3][0]
    assert [item["id"] for item in found["unreachable"]] == ([] if cut == world.companies[2] else [cut])
    two = tuple(sorted((world.companies[1], world.companies[2])))
    body["payload"] = b64encode(encode(Expel(two))).decode()
    found = await (await client.post("/v1/proposals/effect", json=body, headers=headers(world))).json()
    assert found["refused"][0]["code"] == "too_many_changes" and found["refused"][0]["rule"] == "P116"
    assert world.height == 0, "nothing was sent"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"kind": "expel", "payload": "!!"}, "/payload"),
        ({"kind": "expel", "payload": b64encode(b"\xc1").decode()}, "/payload"),
        ({"kind": "contract", "payload": ""}, "/kind"),
        ({"kind": "nothing", "payload": ""}, "/kind"),
        ({"kind": "expel"}, "not a proposal"),
        ([], "not a proposal"),
    ],
)
async def test_a_body_that_is_no_proposal_is_refused_by_name(world: Any, client: Any, body: Any, said: str) -> None:
    answer = await client.post("/v1/proposals/effect", json=body, headers=headers(world))
    assert answer.status == 422 and said in await answer.text()


async def test_p85_the_epochs_are_listed_with_members_and_keys(world: Any, client: Any) -> None:
    found = await get(world, client, "/v1/epochs")
    (only,) = found["items"]
    assert found["epoch"] == 0 and only["first_height"] == 1 and only["quorum"] == 3 and only["end"] == ""
    seats = [(member["company"]["id"], bytes.fromhex(member["consensus_key"])) for member in only["members"]]
    assert seats == list(world.members)


async def test_s22_a_node_without_an_admitted_key_waits_for_nothing(world: Any, client: Any) -> None:
    world.issue(0, 1, 1000)
    found = await get(world, client, "/v1/admission")
    assert found["waiting"] is None and found["in_sync"] and found["node"] == world.node_id
    assert len(found["tls"]) == 1 and len(bytes.fromhex(found["tls"][0]["spki_sha256"])) == 32
    assert found["block"] == {"height": 1, "id": world.blocks[1].block_id.hex()}


async def test_s22_what_companies_decide_reaches_every_member(world: Any, client: Any) -> None:
    """The node is Acme's; the proposal is Bolt's and about a third company. An invoice between the two is not told."""
    proposal, _ = expel(world, 2)
    world.issue(1, 2, 1000)
    answer = await client.get("/v1/events", headers={**headers(world), "Accept": "application/x-ndjson"})
    lines = [line for line in (await answer.text()).splitlines() if line]
    assert [line for line in lines if '"invoices.' in line] == []
    assert len(lines) >= 1 and all('"governance.' in line for line in lines)
    assert proposal in lines[0]
    shown = await get(world, client, f"/v1/transactions/{proposal}")
    events = {event["name"]: event["fields"] for event in shown["receipt"]["events"]}
    assert events["Proposed"]["company"]["id"] == world.companies[1] and events["Proposed"]["kind"] == "expel"


async def test_s25_a_resumption_names_its_company(world: Any, client: Any) -> None:
    payload = encode(Resume(world.companies[2]))
    answer = await client.post(
        "/v1/proposals/effect",
        json={"kind": "resume", "payload": b64encode(payload).decode()},
        headers=headers(world),
    )
    found = await answer.json()
    assert found["members_before"] == found["members_after"] and found["refused"] == []


async def test_p119_an_open_proposal_is_listed_however_many_were_closed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proposals lie in the state by their ids, which say nothing about their age."""
    monkeypatch.setattr(governance, "SCANNED_MAX", 10)
    monkeypatch.setattr(governance, "PROPOSALS_MAX", 4)
    name = "c" + "a" * 26
    closed = [Proposal(bytes([at]) * 32, "resume", b"", name, at, 99, REJECTED, at) for at in range(1, 21)]
    last = Proposal(b"\xff" * 32, "contract", b"", name, 0, 99, OPEN, 0)
    rows = {proposal_key(item.proposal_id): encode(item) for item in (*closed, last)}
    rows[openings_key(name)] = encode(Openings((last.proposal_id,)))
    rows[company_key(name)] = encode(Company(name, "active", (), RootPolicy(1, (bytes(32),)), (), bytes(32), 0, 1))
    state = MemoryState(rows, {}, 20, bytes(32), bytes(32))
    found = await governance.listed(state)
    assert [item.opened_height for item in found] == [10, 9, 8, 0], "the newest that were looked at, and what is open"
    assert await governance.listed(state, ("contract",)) == [last]


async def test_p117_what_is_saved_with_the_epochs_proves_where_the_members_are(world: Any, client: Any) -> None:
    """All records are of one height, and hold under the members of its epoch alone."""
    world.kept_heights = 10

    class Reader:
        async def get(self, path: str, params: dict[str, str] | None = None) -> Any:
            answer = await client.get(f"/{path}", params=params, headers=headers(world))
            assert answer.status == 200, await answer.text()
            found = await answer.json()
            if params is not None and "at_height" not in params:
                world.make_block()  # blocks come in between
            return found

    told = await Reader().get("v1/epochs")
    assert await company._node_records(Reader(), told) == (), "nothing is certified yet"  # type: ignore[arg-type]
    for _ in range(3):
        world.make_block()
    proofs = await company._node_records(Reader(), told)  # type: ignore[arg-type]
    first = read_epoch(world.view(), 0)
    assert first is not None and len({proof.height for proof in proofs}) == 1
    found = proven_nodes(proofs, trusted_members(epoch_spec(first), world.chain))
    assert not isinstance(found, str), found
    assert [node.node_id for node in found] == [member.node_id for member in first.members]
