"""Contracts by vote over HTTP: plans, history, reviews, dry runs, and the events that everybody gets (L57-L65)."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from ledger.codec import encode
from ledger.governance.programs import INDEX_ROWS_MAX
from ledger.governance.records import InstallContracts, PlannedContract, RearmSchedule, SuspendContract
from ledger.transaction import SignerRef, TxBody
from tests.node.api.world import World, programs

NOTES = """contract notes version 1

table Note key id: text(20):
    owner: party, words: text(40)

event Kept: id: text(20), owner: party

action keep(id: text(20), words: text(40)) by role preparer of caller:
    require words != "" else empty "a note has words"
    put Note(id = id, owner = caller, words = words)
    emit Kept(id = id, owner = caller)

query words_of(id: text(20)) -> text(40):
    return Note[id].words
"""
NOTES_TWO = (
    NOTES.replace("version 1", "version 2 replaces 1")
    .replace("owner: party)", "owner: party)")
    .replace("event Kept: id: text(20), owner: party", "event Kept: id: text(20), owner: party, length: int")
    .replace("emit Kept(id = id, owner = caller)", "emit Kept(id = id, owner = caller, length = count(words))")
)


def head(world: World, role: str = "preparer") -> dict[str, str]:
    return {"Authorization": f"Bearer {world.token(role, scopes=['read', 'submit'])}"}


def govern(world: World, company: int, method: str, *args: Any) -> Any:
    return world.act([(company, "governor"), (company, "admin")], "governance", method, *args)


def propose(world: World, *sources: str) -> bytes:
    named = {source.split()[1]: source.encode() for source in sources}
    steps = [step.sources for step in world.steps(world.states[-1])]
    codes = programs().compiled([*steps, named])
    plan = InstallContracts(
        tuple(PlannedContract(name, named[name], codes[name].interface.ir_hash) for name in sorted(named)), 0
    )
    receipt = govern(world, 0, "propose", "contract", encode(plan), world.height + 500)
    assert receipt.result == "open", receipt.abort
    return bytes(receipt.tx_id)


def install(world: World, *sources: str) -> int:
    proposal = propose(world, *sources)
    for company in (1, 2):
        receipt = govern(world, company, "vote", proposal, True)
    assert receipt.result == "accepted"
    begin = programs().next_activation(world.states[-1], world.height)
    while world.height < begin - 1:
        world.make_block()
    return begin


def body_of(world: World, signers: list[tuple[int, str]], contract: str, method: str, *args: Any) -> str:
    people = [world.people_keys[signer] for signer in signers]
    refs = tuple(SignerRef(person.user_id, "maker", person.company_id) for person in people)
    nonce = world.nonces.get(people[0].user_id, 0) + 1 if people else 1
    return b64encode(encode(TxBody(1, refs, nonce, world.height + 9, contract, method, args, 100_000))).decode()


@pytest.mark.control("L57")
async def test_l57_a_plan_is_listed_with_its_votes_and_shown_with_its_source(world: World, client: Any) -> None:
    proposal = propose(world, NOTES)
    (item,) = (await (await client.get("/v1/contract-plans", headers=head(world))).json())["items"]
    assert (item["id"], item["kind"], item["status"], item["quorum"]) == (proposal.hex(), "contract", "open", 3)
    assert [company["name"] for company in item["approving"]] == ["Acme GmbH"] and item["refusing"] == []
    assert item["contracts"][0]["name"] == "notes" and "source" not in item["contracts"][0]
    shown = await (await client.get(f"/v1/contract-plans/{proposal.hex()}", headers=head(world))).json()
    assert shown["contracts"][0]["source"] == NOTES and shown["schema"] == "hansa.contract-plan/1"
    for wrong in ("00" * 32, "zz" * 32, "00", "../x"):
        assert (await client.get(f"/v1/contract-plans/{wrong}", headers=head(world))).status == 404
    govern(world, 1, "vote", proposal, True)
    govern(world, 2, "vote", proposal, True)
    (item,) = (await (await client.get("/v1/contract-plans", headers=head(world))).json())["items"]
    assert item["status"] == "accepted" and item["contracts"][0]["active_from"] > world.height
    payload = encode(SuspendContract("invoices"))
    govern(world, 0, "propose", "suspend_contract", payload, world.height + 9)
    (stop, _) = (await (await client.get("/v1/contract-plans", headers=head(world))).json())["items"]
    assert (stop["kind"], stop["contracts"]) == ("suspend_contract", [{"name": "invoices", "suspended": False}])


@pytest.mark.control("L63")
async def test_l63_contracts_history_and_old_events_follow_the_versions(world: World, client: Any) -> None:
    begin = install(world, NOTES)
    world.done([(0, "preparer")], "notes", "keep", "a", "first")
    later = install(world, NOTES_TWO)
    world.done([(0, "preparer")], "notes", "keep", "b", "second")
    listed = (await (await client.get("/v1/contracts", headers=head(world))).json())["items"]
    assert {item["name"]: item["version"] for item in listed}["notes"] == 2
    world.kept_heights = world.height
    for height, version in ((begin - 2, None), (begin - 1, 1), (later - 2, 1), (later - 1, 2)):
        past = await (await client.get(f"/v1/contracts?at_height={height}", headers=head(world))).json()
        assert past["height"] == height
        assert {item["name"]: item["version"] for item in past["items"]}.get("notes") == version, (
            "of the block after it"
        )
    shown = await (await client.get("/v1/contracts/notes", headers=head(world))).json()
    assert shown["source"] == NOTES_TWO
    history = (await (await client.get("/v1/contract-history", headers=head(world))).json())["items"]
    assert [(step["active_from"], step["active"]) for step in history] == [(0, True), (begin, True), (later, True)]
    assert [step["contracts"][0]["source"] for step in history[1:]] == [NOTES, NOTES_TWO]
    lines = (await (await client.get("/v1/events?types=notes", headers=head(world))).text()).splitlines()
    first, second = (json.loads(line)["fields"] for line in lines)
    assert "length" not in first and second["length"] == 6, "each as the contract of its height declares it"
    tx = world.blocks[later].transactions[0].tx_id.hex() if world.blocks[later].transactions else ""
    assert tx == "" or (await client.get(f"/v1/transactions/{tx}", headers=head(world))).status == 200


PROMISES = """contract promises version 1

table Promise key id: text(20):
    owner: party, due: date

action promise(id: text(20)) by role preparer of caller:
    insert Promise(id = id, owner = caller, due = today)

schedule end on Promise.due:
    require row.id == "kept" else broken "a promise was broken"
"""


@pytest.mark.control("L55")
async def test_l55_parked_entries_are_listed_to_all_and_their_rows_to_those_who_may_read_them(
    world: World, client: Any
) -> None:
    install(world, PROMISES)
    world.done([(0, "preparer")], "promises", "promise", "mine")
    world.done([(1, "preparer")], "promises", "promise", "theirs")
    world.done([(1, "preparer")], "promises", "promise", "kept")
    world.make_block()
    answer = await (await client.get("/v1/parked-entries", headers=head(world))).json()
    assert answer["complete"] and answer["schema"] == "hansa.parked-entries/1"
    mine, theirs = sorted(answer["items"], key=lambda item: item["row"] is None)
    assert (mine["contract"], mine["schedule"], mine["code"], mine["reason"]) == (
        "promises",
        "end",
        "require_failed",
        "broken",
    )
    assert mine["row"] == {"table": "Promise", "key": {"id": "mine"}} and theirs["row"] is None
    payload = encode(RearmSchedule("promises", "end", bytes.fromhex(theirs["key"])))
    govern(world, 0, "propose", "rearm_schedule", payload, world.height + 9)
    (order, _) = (await (await client.get("/v1/contract-plans", headers=head(world))).json())["items"]
    assert order["kind"] == "rearm_schedule"
    assert order["contracts"] == [{"name": "promises", "schedule": "end", "key": theirs["key"]}]


@pytest.mark.control("S70", "L59")
async def test_s70_events_of_governance_reach_every_member_and_those_of_contracts_their_parties(
    world: World, client: Any
) -> None:
    install(world, NOTES)
    world.done([(1, "preparer")], "notes", "keep", "theirs", "not for Acme")
    lines = [
        json.loads(line) for line in (await (await client.get("/v1/events", headers=head(world))).text()).splitlines()
    ]
    told = [line["type"] for line in lines]
    assert told.count("governance.Voted") == 3 and "governance.ContractAccepted" in told
    assert "notes.Kept" not in told
    vote = next(line for line in lines if line["fields"].get("company", {}).get("name") == "Bolt SAS")
    shown = await client.get(f"/v1/transactions/{vote['transaction']}", headers=head(world))
    assert shown.status == 200 and (await shown.json())["method"] == "vote"


@pytest.mark.control("L58")
async def test_l58_a_review_names_the_fault_or_what_it_compiles_to(world: World, client: Any) -> None:
    async def review(*sources: tuple[str, str]) -> Any:
        body = {"contracts": [{"name": name, "source": source} for name, source in sources]}
        return await client.post("/v1/contract-reviews", json=body, headers=head(world))

    found = await (await review(("notes", NOTES))).json()
    assert found["fault"] is None and found["contracts"][0]["failing_rows"] == []
    assert (found["index_rows"], found["delay_min"], found["index_rows_max"]) == (0, 0, INDEX_ROWS_MAX)
    code = programs().compiled([world.steps(world.states[-1])[0].sources, {"notes": NOTES.encode()}])["notes"]
    assert found["contracts"][0]["ir_hash"] == code.interface.ir_hash.hex()
    fault = (await (await review(("notes", NOTES.replace("words: text(40)", "words: text(9999)")))).json())["fault"]
    assert (fault["contract"], fault["line"]) == ("notes", 4) and fault["text"]
    assert (await review()).status == 422
    assert (await review(("notes", NOTES), ("notes", NOTES))).status == 422
    assert (await review(("notes", ""))).status == 422
    assert (await review(("notes", "x" * 65_537))).status == 422
    assert (await review(*((f"n{at}", NOTES) for at in range(9)))).status == 422
    for body in ("[]", '{"contracts": 1}', '{"contracts": [], "x": 1}', "{"):
        answer = await client.post(
            "/v1/contract-reviews", data=body, headers={**head(world), "Content-Type": "application/json"}
        )
        assert answer.status == 422, body
    assert (await review(("notes", "\udc80"))).status in (200, 400, 422), "a lone surrogate is no crash"


@pytest.mark.control("L65")
async def test_l65_a_rehearsal_shows_reads_writes_events_postings_and_lines(world: World, client: Any) -> None:
    invoice = world.issue(1, 0, 11_900)
    world.done([(0, "preparer")], "invoices", "receive", invoice)
    body = body_of(world, [(0, "preparer"), (0, "approver")], "acceptance", "accept", invoice)
    before = world.height
    answer = await client.post("/v1/rehearsals", json={"body": body, "trace": True}, headers=head(world))
    found = await answer.json()
    assert (answer.status, found["schema"], found["outcome"], found["hidden"]) == (
        200,
        "hansa.rehearsal/1",
        "ok",
        False,
    )
    assert world.height == before and found["height"] == before
    read = next(row for row in found["reads"] if row["table"] == "Invoice")
    assert read["fields"]["open"] == {"amount": "119.00", "currency": "EUR"}
    changed = next(row for row in found["writes"] if row["after"]["table"] == "Invoice")
    assert (changed["before"]["fields"]["document"], changed["after"]["fields"]["document"]) == ("received", "accepted")
    assert [event["name"] for event in found["events"]] == ["Accepted"]
    lines = [line for posting in found["postings"] for line in posting["lines"]]
    assert {line["side"] for line in lines} == {"debit", "credit"}
    assert sum(line["gas"] for line in found["lines"]) < found["gas_used"] <= found["gas_limit"]
    assert len(found["trace"]) == sum(line["times"] for line in found["lines"]) and found["cut"] is False
    receipt = world.act([(0, "preparer"), (0, "approver")], "acceptance", "accept", invoice)
    assert receipt.gas_used == found["gas_used"]

    again = await client.post("/v1/rehearsals", json={"body": body}, headers=head(world))
    refused = await again.json()
    assert (refused["outcome"], refused["abort"]["code"], "trace" in refused) == ("failed", "bad_nonce", False)
    world.kept_heights = 1
    old = await client.post(f"/v1/rehearsals?at_height={before}", json={"body": body}, headers=head(world))
    assert (await old.json())["outcome"] == "ok", await old.json()


@pytest.mark.control("L65", "F3")
async def test_f3_a_rehearsal_over_rows_of_others_shows_no_values(world: World, client: Any) -> None:
    secret = world.issue(1, 2, 4_711)
    asked = body_of(world, [], "invoices", "open_of", secret)
    found = await (await client.post("/v1/rehearsals", json={"body": asked, "trace": True}, headers=head(world))).json()
    assert (found["hidden"], found["result"], found["reads"], found["postings"]) == (True, None, [], [])
    assert all(step["locals"] == {} for step in found["trace"]) and "4711" not in json.dumps(found).replace(".", "")
    move = body_of(world, [(0, "approver")], "invoices", "dispute", secret, ["EUR", 1], "QUA")
    found = await (await client.post("/v1/rehearsals", json={"body": move}, headers=head(world))).json()
    assert found["hidden"] and found["abort"]["text"] == "" and found["abort"]["code"] == "not_authorised"
    own = world.issue(0, 1, 500)
    asked = body_of(world, [], "invoices", "open_of", own)
    found = await (await client.post("/v1/rehearsals", json={"body": asked}, headers=head(world))).json()
    assert (found["hidden"], found["result"]) == (False, {"amount": "5.00", "currency": "EUR"})


@pytest.mark.control("L65")
async def test_a_rehearsal_takes_what_a_submission_takes(world: World, client: Any) -> None:
    foreign = body_of(world, [(1, "preparer")], "invoices", "receive", "inv-x")
    answer = await client.post("/v1/rehearsals", json={"body": foreign}, headers=head(world))
    assert answer.status == 403 and (await answer.json())["next"]
    ref = SignerRef(world.people_keys[0, "preparer"].user_id, "maker", world.companies[0])
    for refs, gas in (((ref,) * 9, 1), ((ref,), 0), ((ref,), 10**9), ((SignerRef("u", "king", "c"),), 5)):
        raw = b64encode(encode(TxBody(1, refs, 1, 9, "invoices", "receive", ("x",), gas))).decode()
        assert (await client.post("/v1/rehearsals", json={"body": raw}, headers=head(world))).status == 422
    for wrong in ("", "!!", b64encode(b"\xc1").decode(), b64encode(encode([1, 2])).decode()):
        assert (await client.post("/v1/rehearsals", json={"body": wrong}, headers=head(world))).status == 422
    reader = {"Authorization": f"Bearer {world.token('reader', scopes=['read'])}"}
    assert (await client.post("/v1/rehearsals", json={"body": foreign}, headers=reader)).status == 403


BOARD = """contract board version 1

table Notice key id: text(20):
    author: party, reader: party, words: text(40)
    readers reader

table Poster key id: text(20):
    author: party, words: text(40)
    readers everyone

action write(id: text(20), reader: party, words: text(40)) by role preparer of caller:
    insert Notice(id = id, author = caller, reader = reader, words = words)
    insert Poster(id = id, author = caller, words = words)
"""


@pytest.mark.control("L41")
async def test_l41_readers_of_a_table_decide_who_reads_its_rows(world: World, client: Any) -> None:
    install(world, BOARD)
    world.done([(0, "preparer")], "board", "write", "ours", world.companies[1], "for Bolt only")
    world.done([(1, "preparer")], "board", "write", "theirs", world.companies[0], "for Acme only")
    face = world.interfaces["board"]
    seen = {}
    for table in ("Notice", "Poster"):
        for name in ("ours", "theirs"):
            key = face.row_key(table, (name,)).hex()
            seen[table, name] = (await client.get(f"/v1/state/{key}", headers=head(world))).status
    assert seen == {
        ("Notice", "ours"): 404,  # its author is no reader
        ("Notice", "theirs"): 200,
        ("Poster", "ours"): 200,
        ("Poster", "theirs"): 200,
    }


@pytest.mark.control("L62")
async def test_l62_a_row_that_cannot_be_lifted_is_not_there_for_readers(world: World, client: Any) -> None:
    install(world, NOTES)
    world.done([(0, "preparer")], "notes", "keep", "good", "words")
    world.done([(0, "preparer")], "notes", "keep", "b", "x")
    lifted = (
        NOTES.replace("version 1", "version 2 replaces 1")
        .replace(
            "words: text(40)\n\nevent",
            "words: text(40), half: int\n\nmigrate Note: half = floor_div(9, count(row.words) - 1)\n\nevent",
        )
        .replace("words = words)", "words = words, half = 1)")
    )
    install(world, lifted)
    face = world.interfaces["notes"]
    statuses = [
        (await client.get(f"/v1/state/{face.row_key('Note', (name,)).hex()}", headers=head(world))).status
        for name in ("good", "b")
    ]
    assert statuses == [200, 404]
