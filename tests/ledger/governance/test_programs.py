"""Contracts by vote with the real engine: proposed, examined, active at a height, suspended, replaced (L57-L63)."""

from __future__ import annotations

from typing import Final

import pytest

from contracts import ir
from ledger.codec import encode
from ledger.genesis import code_id
from ledger.governance.programs import (
    SOURCE_BYTES_MAX,
    Lineage,
    active_contracts,
    code_key,
    contract_at,
    read_source,
    versions,
)
from ledger.governance.records import (
    InstallContracts,
    PlannedContract,
    ResumeContract,
    SuspendContract,
    plan_codec,
    read_proposal,
)
from ledger.receipt import Receipt
from tests.ledger.governance.conftest import League, events, found_league, outcome
from tests.ledger.governance.engine import Engine, compiled, linked

CURRENCIES: Final = {"CNY": 2, "EUR": 2}
NOTES: Final = b"""contract notes version 1

table Note key id: text(20):
    words: text(40)

query words_of(id: text(20)) -> text(40):
    return Note[id].words

action note(id: text(20), words: text(40)) by anyone:
    insert Note(id = id, words = words)
"""
NOTES_TWO: Final = NOTES.replace(b"version 1", b"version 2").replace(
    b"    insert", b'    require words != "" else N1 "a note has words"\n    insert'
)
CARDS: Final = b"""contract cards version 1
uses notes@1

table Card key id: text(20):
    words: text(40)

action card(id: text(20)) by anyone:
    insert Card(id = id, words = notes.words_of(id))
"""


def ir_hash(source: bytes, *used: tuple[str, bytes]) -> bytes:
    name = source.split()[1].decode()
    codes = compiled(
        [*(Lineage(other, ((0, text),)) for other, text in used), Lineage(name, ((0, source),))], CURRENCIES
    )
    return codes[name].interface.ir_hash


def plan(*items: tuple[str, bytes, bytes], delay: int = 5) -> InstallContracts:
    return InstallContracts(tuple(PlannedContract(name, source, known) for name, source, known in items), delay)


NOTES_IR: Final = ir_hash(NOTES)
CARDS_IR: Final = ir_hash(CARDS, ("notes", NOTES))


class Chain:
    """A league whose node links the program of each height, as a node does."""

    def __init__(self, *genesis: tuple[str, bytes, int, bytes]) -> None:
        self.league: League = found_league(contracts=genesis)
        self.relink()

    def relink(self) -> None:
        self.league.runtime = linked(self.league.state, self.league.height, CURRENCIES)

    def advance(self, height: int) -> None:
        while self.league.height < height:
            self.relink()
            self.league.block()
        self.relink()

    def agree(self, payload: InstallContracts) -> Receipt:
        self.relink()
        return self.league.agree("contract", payload)

    def call(self, contract: str, method: str, *args: str) -> Receipt:
        self.relink()
        firm = self.league.firms[0]
        return self.league.do(firm, method, *args, contract=contract, roles=("preparer", "approver"))


@pytest.mark.control("L57", "L59")
def test_l59_a_contract_is_proposed_agreed_on_and_runs_from_its_height_on() -> None:
    chain = Chain()
    league = chain.league
    accepted_at = league.height + 2  # propose, vote, vote
    receipt = chain.agree(plan(("notes", NOTES, NOTES_IR), delay=5))
    assert (receipt.result, events(receipt)) == ("accepted", ["Voted", "ContractAccepted", "Accepted"])
    params = league.document.params
    active_from = accepted_at + params.exec_lag + params.window + 1 + 5
    name, version, code, known, begins = receipt.events[1].fields
    assert (name, version, code, known, begins) == ("notes", 1, ir.code_id(NOTES), NOTES_IR, active_from)
    assert versions(league.state, "notes")[-1].active_from == active_from
    assert active_contracts(league.state, active_from - 1) == ()
    (found,) = active_contracts(league.state, active_from)
    assert (found.meta.name, found.meta.active_from, found.source) == ("notes", active_from, NOTES)

    chain.advance(active_from - 1)
    assert outcome(chain.call("notes", "note", "n1", "early"))[0] == "unknown_method"
    assert league.height == active_from
    assert outcome(chain.call("notes", "note", "n1", "hello"))[0] == "ok"


@pytest.mark.control("L58")
def test_l58_the_source_is_stored_once_and_the_plan_names_hashes() -> None:
    chain = Chain()
    league = chain.league
    one, two = league.firms[:2]
    first = league.propose(one, "contract", plan(("notes", NOTES, NOTES_IR)))
    again = league.propose(two, "contract", plan(("notes", NOTES, NOTES_IR)))
    assert league.last is not None
    assert code_key(code_id(NOTES)) not in [key for key, _ in league.last.writes]
    assert league.state.get(code_key(code_id(NOTES))) == encode(NOTES)
    for receipt in (first, again):
        proposal = read_proposal(league.state, receipt.tx_id)
        assert proposal is not None
        stored = plan_codec.decode(proposal.payload)
        assert stored.contracts == (("notes", code_id(NOTES), NOTES_IR),)


@pytest.mark.control("L58")
@pytest.mark.parametrize(
    ("payload", "code", "word"),
    [
        (plan(), "limit_exceeded", "0 contracts"),
        (plan(("b", b"x", bytes(32)), ("a", b"x", bytes(32))), "bad_argument", "sorted"),
        (plan(("Notes", b"x", bytes(32))), "bad_argument", "Notes"),
        (plan(("governance", b"x", bytes(32))), "bad_argument", "reserved"),
        (plan(("notes", b"", bytes(32))), "limit_exceeded", "0 bytes"),
        (plan(("notes", bytes(SOURCE_BYTES_MAX + 1), bytes(32))), "limit_exceeded", str(SOURCE_BYTES_MAX + 1)),
        (plan(("notes", b"x", b"short")), "bad_argument", "IR hash"),
        (plan(("notes", b"x", bytes(32)), delay=10**6), "bad_argument", "delay"),
    ],
)
def test_l58_names_and_sizes_are_tested_when_proposed(payload: InstallContracts, code: str, word: str) -> None:
    league = Chain().league
    receipt = league.propose(league.firms[0], "contract", payload)
    assert outcome(receipt)[0] == code
    assert word in receipt.abort[0].text
    assert active_contracts(league.state, 10**6) == ()


@pytest.mark.control("L58", "L59")
@pytest.mark.parametrize(
    ("payload", "word"),
    [
        (plan(("notes", NOTES, bytes(32))), "the vote was on"),
        (plan(("notes", b"contract notes version 1\n\naction a() by anyone:\n    oh\n", bytes(32))), "4:"),
        (plan(("other", NOTES, NOTES_IR)), "no contract of this name"),
        (plan(("cards", CARDS, CARDS_IR)), "notes"),
    ],
)
def test_l59_the_engine_closes_a_plan_that_is_not_what_was_voted_on(payload: InstallContracts, word: str) -> None:
    chain = Chain()
    receipt = chain.agree(payload)
    assert (receipt.status, receipt.result, events(receipt)) == (0, "failed", ["Voted", "Failed"])
    assert word in receipt.events[1].fields[2]
    assert active_contracts(chain.league.state, 10**6) == ()
    league, proposal = chain.league, receipt.events[0].fields[0]
    assert outcome(league.do(league.firms[3], "vote", proposal, True)) == ("closed", "S22")
    assert isinstance(league.runtime, Engine)
    assert league.runtime.examined == 1


@pytest.mark.control("L59")
def test_l59_contracts_of_one_plan_become_active_together_and_plans_in_order() -> None:
    chain = Chain()
    assert chain.agree(plan(("cards", CARDS, CARDS_IR), ("notes", NOTES, NOTES_IR), delay=50)).result == "accepted"
    later = NOTES.replace(b"contract notes", b"contract more")
    assert chain.agree(plan(("more", later, ir_hash(later)), delay=0)).result == "accepted"
    begins = {name: versions(chain.league.state, name)[0].active_from for name in ("cards", "notes", "more")}
    assert begins["cards"] == begins["notes"] == begins["more"] - 1, "a plan has a height of its own"
    chain.advance(begins["more"])
    assert outcome(chain.call("notes", "note", "c1", "words"))[0] == "ok"
    assert outcome(chain.call("cards", "card", "c1"))[0] == "ok"


@pytest.mark.control("L63")
def test_l63_an_old_version_stays_readable_and_runs_old_blocks() -> None:
    chain = Chain(("notes", NOTES, 1, NOTES_IR))
    league = chain.league
    assert outcome(chain.call("notes", "note", "n1", ""))[0] == "ok"
    receipt = chain.agree(plan(("notes", NOTES_TWO, ir_hash(NOTES_TWO))))
    assert receipt.result == "accepted", receipt.events
    (old, new) = versions(league.state, "notes")
    assert (old.version, old.active_from, new.version) == (1, 0, 2)
    assert contract_at(league.state, "notes", new.active_from - 1) == old
    assert contract_at(league.state, "notes", new.active_from) == new
    assert contract_at(league.state, "nothing", 10**6) is None
    assert (read_source(league.state, old), read_source(league.state, new)) == (NOTES, NOTES_TWO)
    (found,) = active_contracts(league.state, new.active_from)
    assert found.lineage.versions == ((0, NOTES), (new.active_from, NOTES_TWO))
    chain.advance(new.active_from - 1)
    assert outcome(chain.call("notes", "note", "n2", ""))[0] == "ok"
    assert outcome(chain.call("notes", "note", "n3", ""))[0] == "require_failed"


@pytest.mark.control("L61")
def test_l61_a_version_follows_the_one_before_it() -> None:
    chain = Chain(("notes", NOTES, 1, NOTES_IR))
    three = NOTES.replace(b"version 1", b"version 3")
    receipt = chain.agree(plan(("notes", three, ir_hash(three))))
    assert receipt.result == "failed"
    assert "the next one is 2" in receipt.events[1].fields[2]
    wider = NOTES_TWO.replace(b"    words: text(40)\n", b"    words: text(40), more: int\n").replace(
        b"words = words)", b"words = words, more = 1)"
    )
    receipt = chain.agree(plan(("notes", wider, ir_hash(wider))))
    assert (receipt.result, "tables" in receipt.events[1].fields[2]) == ("failed", True)


@pytest.mark.control("L60")
def test_l60_a_suspended_contract_stops_itself_and_those_that_use_it() -> None:
    chain = Chain(("notes", NOTES, 1, NOTES_IR), ("cards", CARDS, 1, CARDS_IR))
    league = chain.league
    assert outcome(chain.call("notes", "note", "c1", "words"))[0] == "ok"
    assert outcome(chain.call("notes", "note", "c2", "words"))[0] == "ok"
    assert outcome(chain.call("cards", "card", "c1"))[0] == "ok"
    receipt = league.agree("suspend_contract", SuspendContract("notes"))
    assert events(receipt) == ["Voted", "ContractSuspended", "Accepted"]
    for call in (("notes", "note", "n1", "x"), ("cards", "card", "c2")):
        refused = chain.call(*call)
        assert outcome(refused) == ("suspended", "L60")
        assert "notes" in refused.abort[0].text
    assert outcome(league.agree("suspend_contract", SuspendContract("notes"))) == ("conflict", "L60")
    assert outcome(league.agree("suspend_contract", SuspendContract("nothing"))) == ("not_found", "L57")
    assert outcome(league.agree("resume_contract", ResumeContract("cards"))) == ("conflict", "L60")
    assert events(league.agree("resume_contract", ResumeContract("notes")))[1] == "ContractResumed"
    assert outcome(chain.call("cards", "card", "c2"))[0] == "ok"


def test_a_suspension_holds_from_the_next_transaction_of_the_same_block_on() -> None:
    chain = Chain(("notes", NOTES, 1, NOTES_IR))
    league = chain.league
    one, two, three = league.firms[:3]
    proposal = league.propose(one, "suspend_contract", SuspendContract("notes")).tx_id
    league.do(two, "vote", proposal, True)
    chain.relink()
    how = {"contract": "notes", "roles": ("preparer", "approver")}
    calls = [
        league.call(one, "note", "n1", "x", **how),  # type: ignore[arg-type]  # keyword arguments of one shape
        league.call(three, "vote", proposal, True),
        league.call(one, "note", "n2", "x", **how),  # type: ignore[arg-type]
    ]
    assert [outcome(receipt)[0] for receipt in league.block(*calls)] == ["ok", "ok", "suspended"]


def test_a_runtime_that_does_not_examine_takes_no_contracts() -> None:
    league = found_league()
    receipt = league.agree("contract", plan(("notes", NOTES, NOTES_IR)))
    assert (receipt.result, "takes no contracts" in receipt.events[1].fields[2]) == ("failed", True)
