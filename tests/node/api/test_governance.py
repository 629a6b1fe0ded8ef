"""Epochs, proposals and what they would do, over HTTP; what companies decide reaches every member (S22, P85, P116)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from cli.commands import company
from ledger.certificate import quorum
from ledger.codec import encode
from ledger.governance.members import Effect
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
from ledger.registry.epochs import EpochMember, read_epoch
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


SIX = tuple(EpochMember(f"c{index}", f"n{index}", bytes([index]) * 32, True) for index in range(6))


def change(after: Sequence[EpochMember], missing: tuple[str, ...] = ()) -> Effect:
    """What a change of the six members to `after` does; only what `standing` looks at differs."""
    return Effect(
        members_before=SIX, members_after=tuple(after), quorum_before=quorum(6), quorum_after=quorum(len(after)),
        faults_before=1, faults_after=1, missing=missing, refused=(),
    )  # fmt: skip


def seen(world: Any, *, cut: Sequence[int] = (), silent: Sequence[int] = (), learner: Sequence[int] = ()) -> Any:
    """The six members as node 0 sees them."""
    now = world.consensus()
    first = now.members[0]
    members = tuple(
        replace(
            first, index=index, company_id=f"c{index}", is_self=index == 0, connected=index not in cut,
            mode="learner" if index in learner else "normal",
            last_heard_ms=now.wall_ms - (60_000 if index in silent else 400),
        )
        for index in range(6)
    )  # fmt: skip
    return replace(now, members=members)


def test_p116_a_change_after_which_too_few_could_vote_now_would_stop_the_network(world: Any) -> None:
    """Six members, two are dead: four decide and are there. One of the four leaves: five, four decide, three are."""
    now = seen(world, cut=(4, 5))
    found = governance.standing(change(SIX[1:]), now)
    assert (found.present, found.stops, found.unreachable) == (3, True, ("c4", "c5"))
    dead_goes = governance.standing(change(SIX[:5]), now)
    assert (dead_goes.present, dead_goes.stops) == (4, False), "who is away may be taken out"
    for way in ({"silent": (4, 5)}, {"cut": (4,), "learner": (5,)}):
        assert governance.standing(change(SIX[1:]), seen(world, **way)).stops, "silent, or without a vote, is away too"
    half = governance.standing(change(SIX[1:]), seen(world, cut=(4,), learner=(5,)))
    assert (half.unreachable, half.voteless, half.absent) == (("c4",), ("c5",), ("c4", "c5"))
    assert not governance.standing(change(SIX[1:]), seen(world, cut=(4,))).stops, "five with one away go on"


def test_p116_a_joiner_is_not_counted_and_a_new_key_brings_a_vote_back(world: Any) -> None:
    seventh = EpochMember("c6", "n6", bytes(32), True)
    tight = governance.standing(change((*SIX, seventh), ("c6",)), seen(world, cut=(4, 5)))
    assert (tight.present, tight.stops, tight.absent) == (4, True, ("c4", "c5", "c6")), "seven, five decide"
    assert not governance.standing(change((*SIX, seventh), ("c6",)), seen(world, cut=(5,))).stops
    renewed = (*SIX[:5], EpochMember("c5", "n5", b"new".ljust(32), True))
    back = governance.standing(change(renewed), seen(world, learner=(5,)))
    assert (back.present, back.voteless) == (6, ())
    stopped = seen(world, cut=(2, 3, 4), learner=(5,))
    assert not governance.standing(change(renewed), stopped).stops, "a set that stays cannot stop what stands"
    assert not governance.standing(change(SIX), stopped).stops


async def test_p116_the_effect_says_that_it_would_stop_the_network(world: Any, client: Any) -> None:
    own = world.consensus().own_index
    others = [index for index in range(4) if index != own]
    world.cut = set(others[1:])
    body = {"kind": "expel", "payload": b64encode(encode(Expel((world.members[others[0]][0],)))).decode()}
    found = await (await client.post("/v1/proposals/effect", json=body, headers=headers(world))).json()
    assert found["refused"] == [] and found["stops"] is True and found["present_after"] == 1
    assert found["sentence"].startswith("It would stop the network: of the 3 members then, 1 can vote")
    assert all(company["name"] in found["sentence"] for company in found["unreachable"])
    chinese = {**headers(world), "Accept-Language": "zh-CN"}
    found = await (await client.post("/v1/proposals/effect", json=body, headers=chinese)).json()
    assert found["sentence"].startswith("这会使网络停止")
    world.cut = set()
    found = await (await client.post("/v1/proposals/effect", json=body, headers=headers(world))).json()
    assert (found["stops"], found["sentence"], found["present_after"]) == (False, "", 3)


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
    for reason, in_sync in (("syncing", False), ("behind", False), ("disk", True)):
        world.reasons = (reason,)
        assert (await get(world, client, "/v1/admission"))["in_sync"] is in_sync


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
