"""Blocks, transactions, submission and proofs over HTTP."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from typing import Any

import msgspec
import pytest

from ledger.codec import encode
from ledger.proof import proven_receipt, proven_value, result_codec, verify_result
from ledger.state import MemoryState
from ledger.transaction import decode_transaction
from node.api.problems import PROBLEMS
from node.driver import line


def headers(world: Any, role: str = "preparer", **changes: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.token(role, **changes)}"}


def packed(world: Any) -> dict[str, str]:
    return {**headers(world), "Content-Type": "application/msgpack"}


def keys(world: Any) -> list[bytes]:
    return [key for _, key in world.members]


async def test_u26_a_submission_commits_and_repeats_are_harmless(world: Any, client: Any) -> None:
    invoice = world.issue(1, 0, 1000)
    envelope = world.sign([(0, "preparer")], "invoices", "receive", invoice)
    answer = await client.post("/v1/transactions", data=envelope, headers=packed(world))
    assert answer.status == 200
    body = await answer.json()
    assert body["schema"] == "hansa.transaction/1" and body["state"] == "committed" and body["outcome"] == "ok"
    assert answer.headers["Location"] == f"/v1/transactions/{body['id']}"
    again = await client.post("/v1/transactions", data=envelope, headers=packed(world))
    assert again.status == 200 and (await again.json())["id"] == body["id"]
    assert sum(1 for block in world.blocks for tx in block.transactions if tx.tx_id.hex() == body["id"]) == 1


async def test_u26_pending_then_waiting_then_final(world: Any, client: Any) -> None:
    world.auto = False
    invoice = world.issue(1, 0, 1000)
    envelope = world.sign([(0, "preparer")], "invoices", "receive", invoice)
    answer = await client.post("/v1/transactions", data=envelope, headers=packed(world))
    assert answer.status == 202
    tx_id = (await answer.json())["id"]
    path = f"/v1/transactions/{tx_id}"
    assert (await (await client.get(path, headers=headers(world))).json())["state"] == "pending"
    waiting = asyncio.create_task(client.get(f"{path}?wait=5", headers=headers(world)))
    await asyncio.sleep(0.05)
    await world.grow([decode_transaction(envelope, world.chain)])
    committed = await (await waiting).json()
    assert committed["state"] == "committed" and committed["final_height"] is None
    waiting = asyncio.create_task(client.get(f"{path}?wait=5&until=final", headers=headers(world)))
    await asyncio.sleep(0.05)
    await world.grow()
    final = await (await waiting).json()
    assert final["state"] == "final" and final["final_height"] == final["height"] + 1


async def test_u18_a_wait_that_runs_out_is_202(world: Any, client: Any) -> None:
    world.auto = False
    envelope = world.sign([(0, "preparer")], "invoices", "receive", "inv-none")
    answer = await client.post("/v1/transactions", data=envelope, headers=packed(world))
    tx_id = (await answer.json())["id"]
    slow = await client.get(f"/v1/transactions/{tx_id}?wait=1", headers=headers(world))
    assert slow.status == 202 and (await slow.json())["state"] == "pending"


async def test_u19_without_quorum_a_submission_is_taken_with_a_warning(world: Any, client: Any) -> None:
    world.auto = False
    world.cut = {0, 1, 3} - {world.consensus().own_index}
    envelope = world.sign([(0, "preparer")], "invoices", "receive", "inv-none")
    answer = await client.post("/v1/transactions", data=envelope, headers=packed(world))
    body = await answer.json()
    assert answer.status == 202 and body["warnings"] == ["no_quorum"]
    assert "3 are needed" in body["sentence"]


async def test_u18_a_refused_transaction_says_why(world: Any, client: Any) -> None:
    invoice = world.issue(1, 0, 1000)
    world.accept(0, invoice)
    envelope = world.sign([(0, "preparer"), (0, "approver")], "acceptance", "accept", invoice)
    answer = await client.post("/v1/transactions", data=envelope, headers=packed(world))
    body = await answer.json()
    assert answer.status == 200 and body["outcome"] == "failed"
    assert body["receipt"]["abort"]["contract"] and body["receipt"]["abort"]["line"] > 0


@pytest.mark.control("T15", "T17")
async def test_hostile_envelopes_become_problem_documents(world: Any, client: Any) -> None:
    good = world.sign([(0, "preparer")], "invoices", "receive", "inv-none")
    decoded = decode_transaction(good, world.chain)
    forged = encode((decoded.envelope and msgspec.msgpack.decode(good)[0], ((decoded.signatures[0][0], bytes(64)),)))
    foreign = world.sign([(0, "preparer")], "invoices", "receive", "inv-none", nonce=5000)
    expired = world.sign([(0, "preparer")], "invoices", "receive", "inv-none", valid_until_height=0)
    cases = {
        b"": "malformed",
        b"\xc1": "malformed",
        good + b"\x00": "malformed",
        bytes([0x91]) * 5_000: "malformed",
        forged: "bad_signature",
        foreign: "bad_nonce",
        expired: "expired",
    }
    for envelope, code in cases.items():
        answer = await client.post("/v1/transactions", data=envelope, headers=packed(world))
        body = await answer.json()
        assert (body["code"], answer.status) == (code, PROBLEMS[code].status), envelope[:20]
        assert answer.content_type == "application/problem+json"


async def test_u26_a_batch_answers_in_order(world: Any, client: Any) -> None:
    first = world.sign([(0, "preparer")], "invoices", "receive", "inv-a")
    second = world.sign([(0, "preparer")], "invoices", "receive", "inv-b")
    body = msgspec.msgpack.encode([first, b"junk", second])
    answer = await client.post("/v1/transactions/batch", data=body, headers=packed(world))
    items = (await answer.json())["items"]
    assert answer.status == 202
    assert [item["state"] for item in items] == ["pending", "rejected", "pending"]
    assert items[1]["code"] == "malformed"
    assert [items[0]["id"], items[2]["id"]] == [decode_transaction(e, world.chain).tx_id.hex() for e in (first, second)]
    for bad in (
        msgspec.msgpack.encode([]),
        msgspec.msgpack.encode([b"x"] * 257),
        b"\xc1",
        msgspec.msgpack.encode({"a": 1}),
    ):
        refused = await client.post("/v1/transactions/batch", data=bad, headers=packed(world))
        assert refused.status in (400, 413)


async def test_u26_a_batch_without_room_is_not_begun(world: Any, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "LINE_WAIT_S", 0.05)
    world.places_left = 1
    both = [world.sign([(0, "preparer")], "invoices", "receive", name) for name in ("inv-a", "inv-b")]
    answer = await client.post("/v1/transactions/batch", data=msgspec.msgpack.encode(both), headers=packed(world))
    problem = await answer.json()
    assert (answer.status, answer.headers["Retry-After"], problem["code"]) == (503, "1", "mempool_full")
    assert "2 transactions" in problem["detail"] and "1 more" in problem["detail"] and "again" in problem["next"]
    assert not world.pending
    one = await client.post("/v1/transactions/batch", data=msgspec.msgpack.encode(both[:1]), headers=packed(world))
    assert one.status == 202


async def test_u26_a_batch_stands_in_the_line_until_there_is_room(world: Any, client: Any) -> None:
    world.places_left = 1
    both = [world.sign([(0, "preparer")], "invoices", "receive", name) for name in ("inv-a", "inv-b")]
    sending = asyncio.ensure_future(
        client.post("/v1/transactions/batch", data=msgspec.msgpack.encode(both), headers=packed(world))
    )
    while not world.line.standing:
        await asyncio.sleep(0)
    assert not world.pending, "none of it was taken"
    world.places_left = 2
    world.line.serve()
    answer = await sending
    assert answer.status == 202 and (await answer.json())["accepted"] == 2


async def test_u26_the_time_in_the_line_is_part_of_what_a_caller_waits(
    world: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "LINE_WAIT_S", 0.2)
    left: list[float] = []
    plain = world.wait_transaction

    async def wait_transaction(tx_id: bytes, *, final: bool, timeout_s: float) -> Any:
        left.append(timeout_s)
        return await plain(tx_id, final=final, timeout_s=0)

    monkeypatch.setattr(world, "wait_transaction", wait_transaction)
    for places, least, most in ((5, 10.0, 30.0), (0, 0.0, 29.8)):
        world.places_left = places
        envelope = world.sign([(0, "preparer")], "invoices", "receive", f"inv-{places}")
        await client.post("/v1/transactions", data=envelope, headers={**packed(world), "Prefer": "wait=30"})
        assert least <= left.pop() <= most


@pytest.mark.control("S70", "S53")
async def test_f3_strangers_see_that_a_transaction_is_there_but_not_what_it_does(world: Any, client: Any) -> None:
    world.issue(1, 2, 1000)
    block = await (await client.get("/v1/blocks/1", headers=headers(world))).json()
    line = block["transactions"][0]
    assert line["visible"] is False and set(line) == {"id", "position", "visible"}
    hidden = await client.get(f"/v1/transactions/{line['id']}", headers=headers(world))
    unknown = await client.get(f"/v1/transactions/{'0' * 64}", headers=headers(world))
    assert hidden.status == unknown.status == 404
    assert await hidden.read() == await unknown.read(), "byte-identical"
    mine = headers(world)
    world.issue(0, 2, 1000)
    block = await (await client.get("/v1/blocks/2", headers=mine)).json()
    assert block["transactions"][0]["visible"] and block["transactions"][0]["method"] == "issue"


async def test_blocks_are_paged_from_the_newest(world: Any, client: Any) -> None:
    for _ in range(5):
        world.make_block()
    first = await (await client.get("/v1/blocks?limit=3", headers=headers(world))).json()
    assert [item["height"] for item in first["items"]] == [5, 4, 3]
    second = await client.get(f"/v1/blocks?limit=3&cursor={first['next']}", headers=headers(world))
    body = await second.json()
    assert [item["height"] for item in body["items"]] == [2, 1, 0] and "next" not in body
    linked = await client.get("/v1/blocks?limit=3", headers=headers(world))
    assert 'rel="next"' in linked.headers["Link"]


async def test_a_block_is_found_by_height_id_and_name(world: Any, client: Any) -> None:
    world.make_block()
    by_height = await (await client.get("/v1/blocks/1", headers=headers(world))).json()
    by_id = await (await client.get(f"/v1/blocks/{by_height['id']}", headers=headers(world))).json()
    latest = await (await client.get("/v1/blocks/latest", headers=headers(world))).json()
    assert by_height == by_id == latest
    assert len(by_height["certificate"]["signers"]) == 3
    for wrong in ("9", "0" * 64, "x", "-1", "01"):
        assert (await client.get(f"/v1/blocks/{wrong}", headers=headers(world))).status == 404


@pytest.mark.control("S20")
async def test_u25_a_state_proof_verifies_offline(world: Any, client: Any) -> None:
    invoice = world.issue(0, 1, 1000)
    world.make_block()
    shown = await (await client.get(f"/v1/invoices/{invoice}", headers=headers(world))).json()
    answer = await (await client.get(f"/v1/state/{shown['state_key']}?proof=1", headers=headers(world))).json()
    assert answer["present"] and answer["contract"] == "invoices" and answer["row"]["id"] == invoice
    proof = result_codec.decode(b64decode(answer["proof"]["bytes"]))
    assert verify_result(proof, keys(world), world.chain) == ""
    assert (proven_value(proof) or b"").hex() == answer["value"]
    absent = await (await client.get(f"/v1/state/{'74' + '00' * 8}?proof=1", headers=headers(world))).json()
    assert absent["present"] is False
    gone = result_codec.decode(b64decode(absent["proof"]["bytes"]))
    assert verify_result(gone, keys(world), world.chain) == "" and proven_value(gone) is None


async def test_u25_a_proof_of_an_earlier_height_is_about_that_height(world: Any, client: Any) -> None:
    invoice = world.issue(0, 1, 1000)
    height, world.kept_heights = world.height, 10
    world.make_block()
    world.act([(1, "preparer")], "invoices", "receive", invoice)
    world.make_block()
    world.make_block()
    shown = await (await client.get(f"/v1/invoices/{invoice}", headers=headers(world))).json()
    path = f"/v1/state/{shown['state_key']}"
    then = await (await client.get(f"{path}?proof=1&at_height={height}", headers=headers(world))).json()
    now = await (await client.get(f"{path}?proof=1", headers=headers(world))).json()
    assert (then["proof"]["height"], then["row"]["document"]) == (height, "issued")
    assert now["row"]["document"] == "received"
    proof = result_codec.decode(b64decode(then["proof"]["bytes"]))
    assert verify_result(proof, keys(world), world.chain) == "" and proof.height == height
    assert (proven_value(proof) or b"").hex() == then["value"] != now["value"]
    newest = await (await client.get(f"{path}?proof=1&at_height={world.height}", headers=headers(world))).json()
    assert newest["proof"] is None, "no block certifies it yet"


async def test_f3_a_proof_shows_no_row_that_the_caller_could_not_see_at_its_height(world: Any, client: Any) -> None:
    """The newest proof is about a height below that of the answer; the row of two others is gone there meanwhile."""
    invoice = world.issue(1, 2, 1000)
    key, world.kept_heights = world.interfaces["invoices"].row_key("Invoice", (invoice,)), 10
    world.make_block()
    assert (await client.get(f"/v1/state/{key.hex()}?proof=1", headers=headers(world))).status == 404
    now = world.states[-1]
    rows = {one: now.get(one) for one in now.scan(b"", b"\xff", 1_000_000) if one != key}
    world.states[-1] = MemoryState(rows, {}, now.height, now.state_root, now.exec_root)
    assert (await client.get(f"/v1/state/{key.hex()}", headers=headers(world))).status == 200, "it holds nothing now"
    assert (await client.get(f"/v1/state/{key.hex()}?proof=1", headers=headers(world))).status == 404


async def test_u14_a_receipt_proof_verifies_offline(world: Any, client: Any) -> None:
    world.issue(0, 1, 1000)
    tx_id = world.blocks[-1].transactions[0].tx_id.hex()
    early = await (await client.get(f"/v1/transactions/{tx_id}?proof=1", headers=headers(world))).json()
    assert early["proof"] is None and early["state"] == "committed"
    world.make_block()
    late = await (await client.get(f"/v1/transactions/{tx_id}?proof=1", headers=headers(world))).json()
    proof = result_codec.decode(b64decode(late["proof"]["bytes"]))
    assert verify_result(proof, keys(world), world.chain) == ""
    assert proven_receipt(proof).tx_id.hex() == tx_id


@pytest.mark.control("S70")
async def test_f3_state_rows_of_others_look_unknown(world: Any, client: Any) -> None:
    invoice = world.issue(1, 2, 1000)
    key = world.interfaces["invoices"].row_key("Invoice", (invoice,)).hex()
    assert (await client.get(f"/v1/state/{key}", headers=headers(world))).status == 404
    for wrong in ("zz", "0", "AB", "00" * 600):
        assert (await client.get(f"/v1/state/{wrong}", headers=headers(world))).status == 422


async def test_registry_and_nonces_can_be_read_for_signing(world: Any, client: Any) -> None:
    world.issue(0, 1, 1000)
    body = await (await client.get("/v1/users", headers=headers(world))).json()
    person = world.people_keys[0, "preparer"]
    mine = next(item for item in body["items"] if item["user"] == person.user_id)
    assert mine["next_nonce"] == 2 and mine["roles"] == ["preparer"]
    assert all(item["company"]["id"] == world.company_id for item in body["items"])


async def test_u25_heights_on_answers_and_read_your_writes(world: Any, client: Any) -> None:
    world.make_block()
    answer = await client.get("/v1/invoices", headers=headers(world))
    assert answer.headers["X-Ledger-Height"] == "1" and answer.headers["ETag"] == '"h1"'
    assert (await answer.json())["height"] == 1
    waiting = asyncio.create_task(client.get("/v1/invoices?min_height=2", headers=headers(world)))
    await asyncio.sleep(0.05)
    await world.grow()
    assert (await (await waiting).json())["height"] == 2
    past = await client.get("/v1/invoices?at_height=1", headers=headers(world))
    assert past.status == 410 and (await past.json())["code"] == "height_pruned"


async def test_contracts_show_source_and_interface(world: Any, client: Any) -> None:
    body = await (await client.get("/v1/contracts/invoices", headers=headers(world))).json()
    assert "contract invoices" in body["source"] and body["actions"]["issue"]["authority"]
    assert body["tables"]["Invoice"]["key"] == [{"name": "id", "type": "text(40)"}]
    names = [
        item["name"] for item in (await (await client.get("/v1/contracts", headers=headers(world))).json())["items"]
    ]
    assert names[0] == "invoices" and "payments" in names
