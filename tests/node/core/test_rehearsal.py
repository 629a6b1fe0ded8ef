"""Dry runs give what the real run gives, and change nothing (L65)."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.codec import encode
from ledger.governance.records import InstallContracts, PlannedContract
from ledger.ids import ZERO_HASH
from ledger.receipt import Receipt
from ledger.transaction import Transaction
from node.core.rehearsal import Rehearsal, ask, rehearse
from tests.ledger.governance.conftest import outcome
from tests.node.core.test_programs import CURRENCIES, Chain, today

NOTES = b"""contract notes version 1

table Note key id: text(20):
    owner: party, words: text(40), changes: int

event Kept: id: text(20), owner: party

action keep(id: text(20), words: text(40)) by role preparer of caller:
    require words != "" else empty "a note has words"
    var changes = 1
    if exists Note[id]:
        changes = Note[id].changes + 1
    put Note(id = id, owner = caller, words = words, changes = changes)
    emit Kept(id = id, owner = caller)

query changes_of(id: text(20)) -> int:
    return Note[id].changes
"""


class Stage:
    """A chain with notes, a call, and the same call as a rehearsal."""

    def __init__(self) -> None:
        self.chain = Chain.found(("notes", NOTES))
        self.league = self.chain.league

    def call(self, *args: Any, method: str = "keep", contract: str = "notes", **how: Any) -> Transaction:
        how.setdefault("roles", ("preparer", "approver"))
        return self.league.call(self.league.firms[0], method, *args, contract=contract, **how)

    def rehearse(self, tx: Transaction) -> Rehearsal:
        view = self.league.state
        linked = self.chain.programs.at(view, view.height + 1)
        return rehearse(linked, view, tx.body, self.league.chain, self.league.time_ms + 1_000, 0, CURRENCIES)


def same(told: Receipt, real: Receipt) -> bool:
    return told == real


@pytest.mark.control("L65")
@pytest.mark.parametrize(
    "args", [("a", "hello"), ("a", ""), ("a",), ("a", 7), ("x" * 21, "w")], ids=["ok", "refused", "few", "kind", "long"]
)
def test_l65_a_rehearsal_is_the_run_that_follows(args: tuple[Any, ...]) -> None:
    stage = Stage()
    stage.chain.block(stage.call("a", "first"))
    tx = stage.call(*args)
    before = stage.league.state
    told = stage.rehearse(tx)
    assert stage.league.state is before and stage.rehearse(tx) == told
    (real,) = stage.chain.block(tx)
    assert told.receipt == real
    assert stage.league.last is not None
    written = {key: value for key, value in stage.league.last.writes if key[:1] in (b"t", b"x")}
    assert {key: after for key, (_, after) in told.writes.items()} == written
    assert all(before.get(key) == was for key, (was, _) in told.writes.items())


@pytest.mark.control("L65")
def test_l65_reads_lines_and_locals_are_told_and_the_gas_adds_up() -> None:
    stage = Stage()
    stage.chain.block(stage.call("a", "first"))
    told = stage.rehearse(stage.call("a", "second"))
    (key,) = told.reads
    assert key.startswith(b"t") and told.reads[key] == stage.league.state.get(key)
    assert [line for _, line in told.lines] == [9, 10, 11, 12, 13, 14]
    assert all(times == 1 for times, _ in told.lines.values())
    entry = told.steps[0]
    assert (entry.contract, entry.line, entry.locals) == ("notes", 9, (("id", '"a"'), ("words", '"second"')))
    assert told.steps[-1].locals == () and dict(told.steps[4].locals) == {"changes": "2"}
    limit = stage.call("a", "x").body.gas_limit
    begun = limit - told.steps[0].gas_left
    assert begun + sum(gas for _, gas in told.lines.values()) == told.receipt.gas_used


@pytest.mark.control("L65")
def test_l65_a_query_is_answered_over_any_state() -> None:
    stage = Stage()
    stage.chain.block(stage.call("a", "first"))
    old = stage.league.state
    stage.chain.block(stage.call("a", "second"))
    for view, changes in ((old, 1), (stage.league.state, 2)):
        linked = stage.chain.programs.at(view, view.height + 1)
        told = ask(linked, view, "notes", "changes_of", ("a",), stage.league.time_ms, 0, CURRENCIES)
        assert (told.receipt.result, told.writes, told.receipt.tx_id) == (changes, {}, ZERO_HASH)
    missing = ask(linked, view, "notes", "changes_of", ("b",), stage.league.time_ms, 0, CURRENCIES)
    assert missing.receipt.abort[0].code == "missing_row"


def test_everything_around_the_contract_is_rehearsed_too() -> None:
    """S68, LR3, L60: signers, roles, nonces, unknown methods and governance are judged as in a block."""
    stage = Stage()
    league = stage.league
    for tx in (
        stage.call("a", "x", roles=("governor", "deputy")),
        stage.call("a", "x", method="nothing"),
        stage.call("a", "x", contract="gone"),
        stage.call("a", "x", contract="registry"),
        stage.call("a", "x", acting_for=league.firms[1].company_id),
        stage.call("rotation", b"", 5, method="propose", contract="governance", roles=("governor", "deputy")),
    ):
        told = stage.rehearse(tx)
        (real,) = stage.chain.block(tx)
        assert told.receipt == real and told.receipt.abort, tx.body.method
    again = stage.call("a", "x")
    stage.chain.block(again)
    assert stage.rehearse(again).receipt.abort[0].code == "bad_nonce"


def test_the_vote_that_accepts_a_plan_can_be_rehearsed() -> None:
    stage = Stage()
    league = stage.league
    source = NOTES.replace(b"contract notes", b"contract more")
    code = stage.chain.programs.compiled([{"notes": NOTES}, {"more": source}])["more"]
    plan = InstallContracts((PlannedContract("more", source, code.interface.ir_hash),), 3)
    proposal = league.propose(league.firms[0], "contract", plan).tx_id
    league.do(league.firms[1], "vote", proposal, True)
    told = stage.rehearse(league.call(league.firms[2], "vote", proposal, True))
    assert told.receipt.result == "accepted"
    assert [event.name for event in told.receipt.events] == ["Voted", "ContractAccepted", "Accepted"]
    assert told.steps == () and any(key.startswith(b"c/version/more/") for key in told.writes)
    assert encode(told.receipt.events) and outcome(told.receipt)[0] == "ok"


@pytest.mark.control("L65")
def test_l65_a_committed_transaction_is_rehearsed_in_its_place() -> None:
    """What came before it in its block, schedules among it, decides what it does."""
    from tests.node.core.test_programs import BILLS

    chain = Chain.found(("bills", BILLS), ("notes", NOTES))
    league, firm = chain.league, chain.league.firms[0]
    chain.add("due", today(league), 1)
    view = league.state
    calls = [league.call(firm, "keep", "n", word, contract="notes", roles=("preparer", "approver")) for word in "abc"]
    linked = chain.programs.at(view, view.height + 1)
    receipts = chain.block(*calls)
    assert [receipt.method for receipt in chain.scheduled] == ["late"]
    for place, tx in enumerate(calls):
        told = rehearse(linked, view, tx.body, league.chain, league.time_ms, 0, CURRENCIES, calls[:place])
        assert (told.receipt, told.earlier) == (receipts[place], place)
        notes = linked.interfaces["notes"]
        (change,) = [change for key, change in told.writes.items() if key == notes.row_key("Note", ("n",))]
        before, after = (None if row is None else notes.decode_row("Note", row) for row in change)
        assert (before and before["words"], after and after["changes"]) == ("?ab"[place].strip("?") or None, place + 1)
        assert not [key for key in told.writes if key[:1] in (b"s", b"p")], "the schedule ran before"
    assert league.state is not view


@pytest.mark.control("L55", "L65")
def test_l55_the_vote_that_arms_an_entry_again_can_be_rehearsed() -> None:
    from ledger.governance.records import RearmSchedule
    from tests.node.core.test_programs import BILLS

    chain = Chain.found(("bills", BILLS))
    league = chain.league
    chain.add("bad", today(league), 13)
    chain.block()
    linked = chain.programs.at(league.state, league.height)
    ((parked,), _) = linked.parked(league.state, b"", 10)
    proposal = league.propose(league.firms[0], "rearm_schedule", RearmSchedule("bills", "late", parked.key)).tx_id
    league.do(league.firms[1], "vote", proposal, True)
    vote = league.call(league.firms[2], "vote", proposal, True)
    told = rehearse(linked, league.state, vote.body, league.chain, league.time_ms + 1_000, 0, CURRENCIES)
    assert told.receipt == chain.block(vote)[0] and told.receipt.result == "accepted"


def test_schedules_that_are_due_do_not_run_in_a_rehearsal() -> None:
    from tests.node.core.test_programs import BILLS

    chain = Chain.found(("bills", BILLS))
    chain.add("a", today(chain.league), 1)
    league = chain.league
    tx = league.call(league.firms[0], "add", "b", today(league, 9), 1, contract="bills", roles=("preparer", "approver"))
    linked = chain.programs.at(league.state, league.height)
    told = rehearse(linked, league.state, tx.body, league.chain, league.time_ms + 1, 0, CURRENCIES)
    table = linked.interfaces["bills"].table_range("Bill")[0]
    assert [key for key in told.writes if key.startswith(table)] == [linked.interfaces["bills"].row_key("Bill", ("b",))]
