"""Invoices, payments, what waits, books and search: figures, filters, and who may see what (F3, F20, F60, S70)."""

from __future__ import annotations

from typing import Any

import pytest

from node.api.ports import DocumentFacts
from node.documents.taking import SealedOriginal


async def get(client: Any, world: Any, path: str, role: str = "preparer", expect: int = 200) -> Any:
    answer = await client.get(path, headers={"Authorization": f"Bearer {world.token(role)}"})
    assert answer.status == expect, await answer.text()
    return await answer.json()


async def test_u24_an_invoice_line_has_money_parties_and_the_next_act(world: Any, client: Any) -> None:
    invoice = world.issue(0, 1, 119_000)
    line = (await get(client, world, "/v1/invoices"))["items"][0]
    assert line["id"] == invoice and line["side"] == "sold" and line["document"] == "issued"
    assert line["total"] == {"amount": "1190.00", "currency": "EUR"}
    assert line["seller"] == {"id": world.companies[0], "name": "Acme GmbH"}
    assert line["next"] == {"company": {"id": world.companies[1], "name": "Bolt SAS"}, "act": "receive"}


async def test_f20_states_are_derived_for_any_date(world: Any, client: Any) -> None:
    invoice = world.issue(0, 1, 10_000, due="2026-03-20")
    world.accept(1, invoice)
    world.pay(1, 0, invoice, 4_000)

    async def state(day: str) -> tuple[str, str]:
        line = (await get(client, world, f"/v1/invoices?as_of={day}"))["items"][0]
        return line["status"], line["open"]["amount"]

    assert await state("2026-03-09") == ("open", "100.00"), "the payment has value date 10 March"
    assert await state("2026-03-10") == ("part_paid", "60.00")
    assert await state("2026-03-21") == ("overdue", "60.00")


async def test_u31_filters_and_totals(world: Any, client: Any) -> None:
    world.issue(0, 1, 10_000, due="2026-03-01")
    world.issue(0, 2, 20_000, due="2026-03-08")
    world.issue(1, 0, 5_000, due="2026-05-01")
    world.issue(0, 1, 7_000, due="2026-06-01", currency="CNY")

    async def amounts(query: str) -> list[str]:
        return [line["total"]["amount"] for line in (await get(client, world, f"/v1/invoices?{query}"))["items"]]

    assert await amounts("") == ["100.00", "200.00", "50.00", "70.00"], "sorted by due date"
    assert await amounts("side=bought") == ["50.00"]
    assert await amounts("status=overdue") == ["100.00"]
    assert await amounts("status=due_soon") == ["200.00"]
    assert await amounts(f"partner={world.companies[2]}") == ["200.00"]
    assert await amounts("currency=CNY") == ["70.00"]
    assert await amounts("due_from=2026-03-05&due_to=2026-05-31") == ["200.00", "50.00"]
    assert await amounts("document=accepted") == []
    body = await get(client, world, "/v1/invoices?side=sold&limit=1&count=1")
    assert body["count"] == 3 and len(body["items"]) == 1
    assert [(t["total"]["currency"], t["total"]["amount"]) for t in body["totals"]] == [
        ("CNY", "70.00"),
        ("EUR", "300.00"),
    ]


async def test_u30_pages_join_without_gap(world: Any, client: Any) -> None:
    wanted = {world.issue(0, 1, 1_000 + number) for number in range(5)}
    seen: list[str] = []
    path = "/v1/invoices?limit=2"
    while path:
        body = await get(client, world, path)
        seen += [line["id"] for line in body["items"]]
        path = f"/v1/invoices?limit=2&cursor={body['next']}" if "next" in body else ""
    assert len(seen) == 5 and set(seen) == wanted


@pytest.mark.parametrize(
    "query",
    ["limit=x", "limit=-1", "status=nice", "due_from=2026-02-30", "due_from=20260101", "side=sold&side=sold", "currency=eur",
     "cursor=@@", "cursor=AAAA", "bogus=1", "partner=%00", "limit=" + "9" * 40],
)  # fmt: skip
@pytest.mark.control("S15", "T24", "T62")
async def test_s15_wrong_parameters_are_named(world: Any, client: Any, query: str) -> None:
    body = await get(client, world, f"/v1/invoices?{query}", expect=422)
    assert body["code"] == "invalid" and body["detail"].startswith("?")


@pytest.mark.control("S70", "S53")
async def test_f3_invoices_of_others_are_not_there(world: Any, client: Any) -> None:
    theirs = world.issue(1, 2, 10_000)
    body = await get(client, world, "/v1/invoices?count=1")
    assert body["items"] == [] and body["count"] == 0 and body["totals"] == []
    token = {"Authorization": f"Bearer {world.token()}"}
    hidden = await client.get(f"/v1/invoices/{theirs}", headers=token)
    unknown = await client.get("/v1/invoices/inv-unknown", headers=token)
    assert hidden.status == unknown.status == 404 and await hidden.read() == await unknown.read()
    assert (await get(client, world, f"/v1/search?q={theirs}"))["items"] == []
    assert (await get(client, world, "/v1/search?q=100.00"))["items"] == []


async def test_f73_an_invoice_tells_its_story_with_signers(world: Any, client: Any) -> None:
    invoice = world.issue(0, 1, 10_000)
    world.accept(1, invoice)
    payment = world.pay(1, 0, invoice, 10_000)
    body = await get(client, world, f"/v1/invoices/{invoice}?as_of=2026-03-31")
    events = [moment["event"].split(".")[1] for moment in body["timeline"]]
    assert events[:3] == ["Issued", "Received", "Accepted"] and "PaymentAllocated" in events
    first = body["timeline"][0]
    assert [signer["capacity"] for signer in first["signers"]] == ["maker", "checker"]
    assert first["signers"][0]["label"] == "Preparer Acme" and first["final"]
    accepted = body["timeline"][2]["signers"][0]
    assert accepted["company_name"] == "Bolt SAS" and accepted["label"] == "", (
        "names of other companies' people stay there"
    )
    assert body["status"] == "paid" and body["next"] is None
    assert body["payments"][0]["payment"] == payment and body["allocations"][0]["amount"]["amount"] == "100.00"


async def test_the_printed_number_comes_from_the_sealed_document(world: Any, client: Any) -> None:
    invoice = world.issue(0, 1, 10_000)
    root = world.view().get(world.interfaces["invoices"].row_key("Invoice", (invoice,)))
    values = world.interfaces["invoices"].decode_row("Invoice", root)
    world.facts[values["root"]] = DocumentFacts(
        number="RE-2026-0007", kind="380", profile="ubl", source_name="a.xml", source_sha256="00", imported_ms=1
    )
    body = await get(client, world, f"/v1/invoices/{invoice}")
    assert body["number"] == "RE-2026-0007" and body["source"]["name"] == "a.xml"
    found = (await get(client, world, "/v1/search?q=2026-0007"))["items"]
    assert [item["id"] for item in found] == [invoice]


async def test_f87_the_inbox_names_act_role_and_position(world: Any, client: Any) -> None:
    bought = world.issue(1, 0, 10_000, due="2026-03-01")
    owed = world.issue(2, 0, 30_000, due="2026-03-08")
    world.accept(0, owed)
    sold = world.issue(0, 1, 20_000, due="2026-04-01")
    body = await get(client, world, "/v1/inbox")
    assert [(task["act"], task["id"]) for task in body["items"]] == [("receive", bought), ("pay", owed)]
    assert body["items"][0]["days_overdue"] == 4 and body["items"][0]["roles"] == ["preparer"]
    assert [(task["act"], task["id"]) for task in body["waiting_for_others"]] == [("receive", sold)]
    position = body["position"][0]
    assert position["collect"]["amount"] == "200.00" and position["pay"]["amount"] == "300.00"
    assert position["pay_soon"]["amount"] == "300.00"


async def test_the_bank_sees_the_payment_it_confirms_and_nothing_else(make_world: Any, connect: Any) -> None:
    world = make_world(3)
    client = await connect(world)
    invoice = world.issue(0, 1, 10_000)
    world.accept(1, invoice)
    payment = str(
        world.done(
            [(1, "preparer"), (1, "approver")], "payments", "propose",
            world.companies[0], world.companies[3], ["EUR", 10_000], invoice, ["EUR", 10_000],
        )
    )  # fmt: skip
    world.done([(1, "treasurer")], "payments", "release", payment)
    inbox = await get(client, world, "/v1/inbox")
    assert [(task["act"], task["id"]) for task in inbox["items"]] == [("confirm", payment)]
    assert (await get(client, world, "/v1/payments"))["items"][0]["side"] == "bank"
    assert (await get(client, world, "/v1/invoices"))["items"] == []
    await get(client, world, f"/v1/invoices/{invoice}", expect=404)


async def test_payments_limits_and_credits(world: Any, client: Any) -> None:
    invoice = world.issue(0, 1, 10_000)
    world.done(
        [(0, "risk"), (0, "approver")], "credit_risk", "set_limit", world.companies[1], ["EUR", 50_000], "2026-12-31"
    )
    world.accept(1, invoice)
    payment = world.pay(1, 0, invoice, 4_000)
    body = await get(client, world, f"/v1/payments/{payment}")
    assert body["side"] == "received" and body["lines"][0]["invoice"] == invoice
    assert body["timeline"][0]["event"] == "payments.PaymentProposed"
    limit = (await get(client, world, "/v1/limits"))["items"][0]
    assert (
        limit["side"] == "granted" and limit["used"]["amount"] == "60.00" and limit["available"]["amount"] == "440.00"
    )
    assert (await get(client, world, "/v1/payments?side=paid"))["items"] == []
    assert len((await get(client, world, "/v1/payments?phase=confirmed"))["items"]) == 1
    assert (await get(client, world, "/v1/credits"))["items"] == []


async def test_f60_books_balance_on_both_sides_and_tie_to_the_ledger(make_world: Any, connect: Any) -> None:
    for company in (0, 1):
        world = make_world(company)
        client = await connect(world)
        invoice = world.issue(0, 1, 119_000)
        world.accept(1, invoice)
        world.pay(1, 0, invoice, 50_000)
        balance = await get(client, world, "/v1/ledger/trial-balance?as_of=2026-12-31")
        assert balance["totals"][0]["difference"]["amount"] == "0.00" and balance["items"]
        assert balance["control"] and all(check["ties"] for check in balance["control"])
        assert balance["height"] == world.height
        journal = await get(client, world, "/v1/ledger/journal?count=1")
        assert journal["count"] == 2 and journal["items"][0]["voucher"] == "转-1"
        for entry in journal["items"]:
            sides = {"debit": 0, "credit": 0}
            for line in entry["lines"]:
                sides[line["side"]] += int(line["amount"]["amount"].replace(".", ""))
            assert sides["debit"] == sides["credit"]
        side = "receivable" if company == 0 else "payable"
        aged = await get(client, world, f"/v1/ledger/ageing?as_of=2026-04-15&side={side}")
        assert (
            aged["totals"][0]["total"]["amount"] == "690.00" and aged["totals"][0]["buckets"][1]["amount"] == "690.00"
        )
        open_items = await get(client, world, f"/v1/ledger/open-items?as_of=2026-04-15&side={side}")
        assert [item["open"]["amount"] for item in open_items["items"]] == ["690.00"]
        balances = await get(client, world, "/v1/ledger/balances?as_of=2026-12-31")
        assert {row["account"] for row in balances["items"]} >= {"1002"}
        assert balances["items"][0]["name"]["zh-CN"]


async def test_f70_books_grow_with_the_chain(world: Any, client: Any) -> None:
    world.issue(0, 1, 1_000)
    assert (await get(client, world, "/v1/ledger/journal?count=1"))["count"] == 1
    world.issue(0, 1, 2_000)
    assert (await get(client, world, "/v1/ledger/journal?count=1"))["count"] == 2
    first = await get(client, world, "/v1/ledger/journal?limit=1")
    second = await get(client, world, f"/v1/ledger/journal?limit=1&cursor={first['next']}")
    assert [first["items"][0]["number"], second["items"][0]["number"]] == [1, 2] and "next" not in second


async def test_u37_books_wait_for_durable_events(world: Any, client: Any) -> None:
    world.issue(0, 1, 1_000)
    world.durable_lag = 1
    body = await get(client, world, "/v1/ledger/trial-balance")
    assert body["height"] == 0 and body["items"] == [] and body["control"] is None


async def test_u31_search_finds_heights_hashes_objects_names_and_amounts(world: Any, client: Any) -> None:
    invoice = world.issue(0, 1, 119_000)
    world.accept(1, invoice)
    payment = world.pay(1, 0, invoice, 5_000)
    tx_id = world.blocks[1].transactions[0].tx_id.hex()
    block_id = world.blocks[1].block_id.hex()

    async def kinds(text: str) -> set[tuple[str, str]]:
        return {(item["type"], item["id"]) for item in (await get(client, world, f"/v1/search?q={text}"))["items"]}

    assert ("block", "1") in await kinds("1")
    assert ("block", "1") in await kinds(block_id)
    assert await kinds(tx_id) == {("transaction", tx_id)}
    assert ("transaction", tx_id) in await kinds(tx_id[:10])
    assert ("invoice", invoice) in await kinds(invoice)
    assert ("payment", payment) in await kinds(payment)
    assert ("invoice", invoice) in await kinds("1190")
    assert {("company", world.companies[1]), ("invoice", invoice)} <= await kinds("bolt")
    assert await kinds("nothing-like-it") == set()


@pytest.mark.control("S69")
async def test_s69_originals_go_to_the_parties_only(world: Any, client: Any) -> None:
    for root, seller, buyer in ((b"\x01" * 32, 0, 1), (b"\x02" * 32, 1, 2)):
        world.originals[root] = SealedOriginal(
            name="a.xml", seller=world.companies[seller], buyer=world.companies[buyer], data=b"<a/>", seed=bytes(32),
            sha256=bytes(32),
        )  # fmt: skip
    mine = await get(client, world, f"/v1/documents/{'01' * 32}")
    assert mine["data"] == "PGEvPg==" and mine["seed"] == "00" * 32
    token = {"Authorization": f"Bearer {world.token()}"}
    theirs = await client.get(f"/v1/documents/{'02' * 32}", headers=token)
    unknown = await client.get(f"/v1/documents/{'03' * 32}", headers=token)
    assert theirs.status == unknown.status == 404 and await theirs.read() == await unknown.read()
    await get(client, world, f"/v1/documents/{'zz' * 32}", expect=404)
    await get(client, world, f"/v1/documents/{'01' * 32}", role="operator", expect=403)


async def test_f77_a_pack_waits_for_a_certified_height(world: Any, client: Any) -> None:
    body = await get(client, world, "/v1/audit/pack", expect=503)
    assert body["code"] == "not_ready"
    world.pack = (7, b"pack")
    body = await get(client, world, "/v1/audit/pack")
    assert body["at"] == 7 and body["bytes"] == 4 and body["data"] == "cGFjaw=="


async def test_x4_a_file_in_no_known_format_is_refused_by_name(world: Any, client: Any) -> None:
    head = {"Authorization": f"Bearer {world.token()}", "Content-Type": "application/octet-stream"}
    answer = await client.post("/v1/documents?name=note.txt", data=b"hello", headers=head)
    item = (await answer.json())["items"][0]
    assert item["outcome"] == "refused" and "note.txt" in item["reason"]
    empty = await client.post("/v1/documents", data=b"", headers=head)
    assert empty.status == 400
