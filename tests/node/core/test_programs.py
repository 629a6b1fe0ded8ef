"""The contracts of each height over real blocks: what begins, what is built and armed, what runs by itself (L53-L63)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.msgpack import decode
from msgspec.structs import replace

from contracts.runtime import link
from ledger import merkle
from ledger.codec import encode
from ledger.errors import InvariantViolated
from ledger.genesis import ContractMeta, code_id, contract_key
from ledger.governance.plans import delay_for_indexes
from ledger.governance.programs import INDEX_ROWS_PER_BLOCK, Lineage, versions
from ledger.governance.records import (
    InstallContracts,
    PlannedContract,
    RearmSchedule,
    ResumeContract,
    SuspendContract,
)
from ledger.receipt import Receipt
from ledger.state import MemoryState
from ledger.transition import (
    SCHEDULE_CALL_GAS,
    SCHEDULE_ENTRIES_MAX,
    SCHEDULE_GAS_MAX,
    day_begin_ms,
    day_number,
    next_due_ms,
    schedule_id,
)
from node.core.programs import HISTORIES_KEPT, Programs
from tests.ledger.governance.conftest import League, events, found_league, outcome

CURRENCIES = {"CNY": 2, "EUR": 2}
DAY_MS = 86_400_000
BILLS = b"""contract bills version 1

table Bill key id: text(20):
    owner: party, state: int, due: date

event Late: id: text(20), owner: party, version: int
event Night: height: int

action add(id: text(20), due: date, state: int) by role preparer of caller:
    put Bill(id = id, owner = caller, due = due, state = state)

schedule late on Bill.due where row.state != 0:
    require row.state != 13 else unlucky "no thirteen"
    update Bill[row.id] with state = 0
    emit Late(id = row.id, owner = row.owner, version = 1)

schedule nightly every day:
    emit Night(height = height)
"""
BILLS_TWO = (
    BILLS.replace(b"version 1\n", b"version 2 replaces 1\n", 1)
    .replace(
        b"due: date\n\n",
        b"due: date, weight: int\n    index (owner, weight)\n\nmigrate Bill: weight = 100 / row.state\n\n",
        1,
    )
    .replace(b"100 / row.state", b"floor_div(100, row.state)")
    .replace(b"state = state)", b"state = state, weight = state)")
    .replace(b"version = 1)", b"version = 2)")
    + b"""
query heavy(who: party, least: int) -> int:
    var found = 0
    for bill in Bill where bill.owner == who and bill.weight >= least limit 10:
        found = found + 1
    return found
"""
)
READERS = b"""contract readers version 1
uses bills@1

action look(id: text(20)) by anyone:
    require id != "" else empty "no id"
"""


@dataclass
class Chain:
    """A league whose blocks run what its state says."""

    league: League
    programs: Programs
    calls: int = 0
    scheduled: list[Receipt] = field(default_factory=list)
    written: list[tuple[tuple[bytes, bytes | None], ...]] = field(default_factory=list)
    """What the blocks between acceptance and beginning of contracts wrote."""

    @staticmethod
    def found(*sources: tuple[str, bytes]) -> Chain:
        programs = Programs(CURRENCIES)
        codes = programs.compiled([dict(sources)]) if sources else {}
        league = found_league(
            contracts=[(name, source, codes[name].version, codes[name].interface.ir_hash) for name, source in sources]
        )
        league.runtime = programs  # type: ignore[assignment]  # a linker gives the runtime of each height
        return Chain(league, programs)

    def planned(self, **sources: bytes) -> InstallContracts:
        steps = [step.sources for step in self.programs.steps(self.league.state)]
        codes = self.programs.compiled([*steps, sources])
        items = (PlannedContract(name, sources[name], codes[name].interface.ir_hash) for name in sorted(sources))
        return InstallContracts(tuple(items), 0)

    def install(self, **sources: bytes) -> int:
        """Agree on sources and return the height from which they run; the next block is the one before it."""
        receipt = self.league.agree("contract", self.planned(**sources))
        assert receipt.result == "accepted", receipt.events
        begin = versions(self.league.state, sorted(sources)[0])[-1].active_from
        assert self.league.last is not None and self.league.last.next_activation == begin
        while self.league.height < begin:
            self.league.block()
            self.written.append(self.league.last.writes)
        assert self.league.last.next_activation == begin, "the next block is the first one with them"
        return begin

    def add(self, id_: str, due: str, state: int, contract: str = "bills") -> Receipt:
        league = self.league
        call = league.call(league.firms[0], "add", id_, due, state, contract=contract, roles=("preparer", "approver"))
        return self.block(call)[0]

    def block(self, *calls: Any) -> tuple[Receipt, ...]:
        receipts = self.league.block(*calls)
        self.scheduled = list(receipts[len(calls) :])
        return receipts[: len(calls)]

    def night(self) -> None:
        """The next block is one of the next day."""
        self.league.time_ms += DAY_MS


def today(league: League, shift: int = 0) -> str:
    from contracts.values import date_text

    return date_text(day_number(league.time_ms, 0) + shift)


# -- what runs -----------------------------------------------------------------------------------------------------


@pytest.mark.control("L59", "L63")
def test_l63_the_same_object_answers_for_every_height_and_another_one_answers_alike() -> None:
    chain = Chain.found(("bills", BILLS))
    begin = chain.install(bills=BILLS_TWO)
    state = chain.league.state
    fresh = Programs(CURRENCIES)
    for programs in (chain.programs, fresh):
        assert programs.at(state, begin - 1).program.codes["bills"].version == 1
        assert programs.at(state, begin).program.codes["bills"].version == 2
        assert programs.at(state, begin + 10**6) is programs.at(state, begin)
        assert (programs.at(state, 0).since, programs.at(state, begin).since) == (0, begin)
        assert (programs.next_activation(state, begin - 1), programs.next_activation(state, begin)) == (begin, 0)
        assert programs.at(state, begin).sources["bills"] == BILLS_TWO


def test_l44_a_plan_of_several_contracts_that_need_each_other_begins_as_one() -> None:
    chain = Chain.found(("bills", BILLS), ("readers", READERS))
    readers = READERS.replace(b"version 1", b"version 2 replaces 1").replace(b"bills@1", b"bills@2")
    begin = chain.install(bills=BILLS_TWO, readers=readers)
    codes = chain.programs.at(chain.league.state, begin).program.codes
    assert [code.version for code in codes.values()] == [2, 2]
    assert chain.programs.at(chain.league.state, begin).uses("readers") == ("bills",)
    assert chain.programs.at(chain.league.state, begin).uses("nothing") == ()


@pytest.mark.control("L44")
def test_l44_a_user_is_compiled_again_and_one_that_no_longer_fits_stops_the_plan() -> None:
    asks = READERS.replace(b"bills@1", b"bills@1").replace(b'require id != ""', b'require bills.kind_of(id) != ""')
    asked = BILLS + b"\nquery kind_of(id: text(20)) -> text(20):\n    return id\n"
    chain = Chain.found(("bills", asked), ("readers", asks))
    kept = BILLS_TWO + b'\nquery kind_of(id: text(20)) -> text(20):\n    return "x"\n'
    before = chain.programs.at(chain.league.state, 1).program.codes["readers"]
    begin = chain.install(bills=kept)
    after = chain.programs.at(chain.league.state, begin).program.codes["readers"]
    assert before.used != after.used and after.source == before.source
    three = BILLS_TWO.replace(b"version 2 replaces 1", b"version 3 replaces 2").replace(
        b"\nmigrate Bill: weight = floor_div(100, row.state)\n", b""
    )
    verdict = chain.programs.examine(
        [
            Lineage("bills", ((0, asked), (begin, kept), (begin + 50, three))),
            Lineage("readers", ((0, asks),)),
        ]
    )
    assert isinstance(verdict, str) and "readers: it no longer fits version 3 of bills" in verdict


@pytest.mark.control("L59")
def test_l59_a_node_whose_compiler_differs_stops() -> None:
    chain = Chain.found(("bills", BILLS))
    state = chain.league.state
    wrong = ContractMeta("bills", 1, 1, code_id(BILLS), bytes(32), 0, "active")
    altered = state.apply([(contract_key("bills"), encode(wrong))], {}, 0, state.state_root, state.exec_root)
    with pytest.raises(InvariantViolated, match=r"run the version of this program that they run \(L59\)"):
        Programs(CURRENCIES).at(altered, 1)


def test_l59_a_broken_source_in_the_state_stops_the_node() -> None:
    chain = Chain.found(("bills", BILLS))
    broken = found_league(contracts=[("bills", b"contract bills version 1\n???\n", 1, bytes(32))])
    with pytest.raises(InvariantViolated, match="do not compile here"):
        chain.programs.at(broken.state, 1)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"contract bills version 1\n\n???\n", "bills: 3:1"),
        (b"tests for bills\n", "file of tests"),
        (BILLS.replace(b"contract bills", b"contract others"), "the source calls itself others"),
        (BILLS_TWO, "no version is active, so the first one replaces none"),
        (READERS.replace(b"contract readers", b"contract bills").replace(b"uses bills", b"uses gone"), "gone"),
        (b"\xff\xfe", "bills: "),
        (b"contract bills version 1\n" * 3000, "bills: "),
    ],
)
def test_l58_examining_any_bytes_gives_a_text(source: bytes, said: str) -> None:
    verdict = Programs(CURRENCIES).examine([Lineage("bills", ((0, source),))])
    assert isinstance(verdict, str) and said in verdict


def test_examining_many_plans_keeps_a_bounded_number_of_them() -> None:
    programs = Programs(CURRENCIES)
    for number in range(HISTORIES_KEPT + 8):
        source = BILLS.replace(b"!= 13", b"!= %d" % (100 + number))
        verdict = programs.examine([Lineage("bills", ((0, source),))])
        assert isinstance(verdict, Mapping) and verdict["bills"].code_id == code_id(source)
    assert len(programs._codes) == HISTORIES_KEPT


def test_compiling_begins_after_the_longest_known_part(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(CURRENCIES)
    programs.compiled([{"bills": BILLS}])
    import node.core.programs as place

    asked: list[list[str]] = []

    def counting(codes: Any, sources: Any, currencies: Any) -> Any:
        asked.append(sorted(sources))
        return link_install(codes, sources, currencies)

    link_install = place.install
    monkeypatch.setattr(place, "install", counting)
    programs.compiled([{"bills": BILLS}, {"readers": READERS}])
    programs.compiled([{"bills": BILLS}, {"readers": READERS}])
    assert asked == [["readers"]]


# -- what begins ---------------------------------------------------------------------------------------------------


@pytest.mark.control("L62")
def test_l62_a_new_index_holds_the_rows_of_before_and_a_row_that_cannot_be_lifted_is_left_out() -> None:
    chain = Chain.found(("bills", BILLS))
    later = today(chain.league, 1000)
    for id_, state in (("a", 5), ("b", 5), ("c", 4), ("zero", 0)):
        assert outcome(chain.add(id_, later, state))[0] == "ok"
    begin = chain.install(bills=BILLS_TWO)
    root = chain.league.state.state_root
    chain.block()  # the first one of version 2
    assert chain.league.height == begin + 1
    entries = chain.league.state.scan(b"x", b"y", 10)
    assert len(entries) == 3, "floor_div(100, 0) aborts, so that row is readable by nobody"
    chain.block()
    assert chain.league.last is not None and not [key for key, _ in chain.league.last.writes if key[:1] == b"x"], "once"
    linked = chain.programs.at(chain.league.state, begin + 1)
    assert sorted(key for key, _ in linked.index_entries(chain.league.state)) == entries
    owner = chain.league.firms[0].company_id
    from node.core.programs import StateHost

    host = StateHost(chain.league.state)
    assert linked.program.query("bills", "heavy", (owner, 20), host, 100_000).result == 3
    assert chain.programs.failing_rows(chain.league.state, {"bills": BILLS_TWO}, "nothing", 10) == ()
    assert root == chain.league.state.state_root, "index entries stand outside the root (H6)"


@pytest.mark.control("L62")
def test_l62_a_review_names_the_stored_rows_that_do_not_fit() -> None:
    chain = Chain.found(("bills", BILLS))
    chain.add("good", today(chain.league, 1000), 5)
    chain.add("zero", today(chain.league, 1000), 0)
    ((table, key, line),) = chain.programs.failing_rows(chain.league.state, {"bills": BILLS_TWO}, "bills", 10)
    assert (table, line) == ("Bill", 7) and b"zero" in key
    fresh = BILLS.replace(b"contract bills", b"contract more")
    assert chain.programs.failing_rows(chain.league.state, {"more": fresh}, "more", 10) == ()


def entries(chain: Chain, table: str = "Bill") -> list[bytes]:
    """Index entries in the state, without the places of indexes that are being built."""
    return [key for key in chain.league.state.scan(b"x", b"y", 20_000) if not key.startswith(b"x\x00")]


def wanted_entries(chain: Chain) -> list[bytes]:
    state = chain.league.state
    return sorted(key for key, _ in chain.programs.at(state, state.height + 1).index_entries(state))


@pytest.mark.control("L59", "L62")
def test_l59_an_index_is_built_a_part_in_each_block_while_its_rows_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.core.programs.INDEX_ROWS_PER_BLOCK", 2)
    chain = Chain.found(("bills", BILLS))
    league = chain.league
    for number in range(20):
        chain.add(f"b{number:02d}", today(league, 900), 5)
    receipt = league.agree("contract", chain.planned(bills=BILLS_TWO))
    assert receipt.result == "accepted"
    begin = versions(league.state, "bills")[-1].active_from
    sizes = []
    for step in range(4):
        chain.add(f"b0{step}", today(league, 900), 7 + step)  # taken in already
        chain.add(f"b1{9 - step}", today(league, 900), 20 + step)  # not yet
        sizes.append(len(entries(chain)))
    assert sizes == sorted(sizes) and 0 < sizes[0] < 20
    root = league.state.state_root
    league.advance(begin)
    assert league.last is not None and all(key[:1] == b"x" for key, _ in league.last.writes)
    assert league.state.state_root == root, "indexes are outside the root"
    places = [key for key in league.state.scan(b"x", b"y", 100) if key.startswith(b"x\x00")]
    assert len(places) == 1
    chain.block()
    assert entries(chain) == wanted_entries(chain) and len(entries(chain)) == 20
    assert [key for key in league.state.scan(b"x", b"y", 100) if key.startswith(b"x\x00")] == []


@pytest.mark.control("L59", "L61")
def test_k50_an_index_over_ten_thousand_old_rows_is_complete_at_activation() -> None:
    chain = Chain.found(("bills", BILLS))
    league = chain.league
    chain.add("b", today(league, 900), 5)
    face = chain.programs.at(league.state, 1).interfaces["bills"]
    stored = decode(league.state.get(face.row_key("Bill", ("b",))) or b"")
    rows = []
    for number in range(10_000):
        stored[1] = f"b{number:05d}"
        rows.append((face.row_key("Bill", (stored[1],)), encode(stored)))
    before = league.state
    root, nodes = merkle.update(before.tree_node, before.state_root, rows)
    league.state = before.apply(rows, nodes, before.height, root, before.exec_root)
    chain.install(bills=BILLS_TWO)
    most = max(sum(key[:1] == b"x" for key, _ in writes) for writes in chain.written)
    assert most == INDEX_ROWS_PER_BLOCK + 1, "a part in each block, and the place up to which it is built"
    chain.block()
    assert league.last is not None and len(league.last.writes) < 10, "nothing is left for the first block"
    assert entries(chain) == wanted_entries(chain) and len(entries(chain)) == 10_001


@pytest.mark.control("L59")
def test_l59_what_is_left_is_built_when_the_contract_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a node that took a snapshot in between: it has the rows, and no part of the index."""
    monkeypatch.setattr("node.core.programs.INDEX_ROWS_PER_BLOCK", 0)
    monkeypatch.setattr("node.core.programs.ROWS_AT_ONCE", 2)
    chain = Chain.found(("bills", BILLS))
    for number in range(7):
        chain.add(f"b{number}", today(chain.league, 900), 5)
    chain.install(bills=BILLS_TWO)
    assert entries(chain) == []
    chain.block()
    assert entries(chain) == wanted_entries(chain) and len(entries(chain)) == 7


@pytest.mark.control("L59")
def test_l59_a_plan_is_refused_whose_indexes_cannot_be_built_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain.found(("bills", BILLS))
    league = chain.league
    for number in range(11):
        chain.add(f"b{number:02d}", today(league, 900), 5)
    assert chain.programs.index_rows(league.state, {"bills": BILLS_TWO}) == 11
    assert chain.programs.index_rows(league.state, {"more": BILLS.replace(b"contract bills", b"contract more")}) == 0
    monkeypatch.setattr("ledger.governance.programs.INDEX_ROWS_PER_BLOCK", 1)
    receipt = league.agree("contract", chain.planned(bills=BILLS_TWO))
    assert receipt.result == "failed"
    assert "indexes over 11 rows need 11 blocks; propose it with 2 more of delay" in str(receipt.events)
    assert delay_for_indexes(league.state, 11) == 2
    assert league.agree("contract", replace(chain.planned(bills=BILLS_TWO), delay_heights=2)).result == "accepted"
    other = Chain.found(("bills", BILLS))
    for number in range(4):
        other.add(f"b{number:02d}", today(other.league, 900), 5)
    monkeypatch.setattr("ledger.governance.plans.INDEX_ROWS_MAX", 3)
    receipt = other.league.agree("contract", other.planned(bills=BILLS_TWO))
    assert receipt.result == "failed" and "index them in a new table" in str(receipt.events)


# -- what runs by itself -------------------------------------------------------------------------------------------


@pytest.mark.control("L53", "L54")
def test_l54_entries_run_before_the_transactions_with_receipts_after_theirs() -> None:
    chain = Chain.found(("bills", BILLS))
    assert chain.scheduled == []
    assert outcome(chain.add("a", today(chain.league), 1))[0] == "ok"
    league = chain.league
    receipt = chain.add("a", today(league, 5), 7)  # runs first, then this call gives it a new date
    (late,) = chain.scheduled
    assert (late.contract, late.method, late.version, late.status) == ("bills", "late", 1, 0)
    assert late.events[0].fields == ("a", league.firms[0].company_id, 1)
    key = chain.programs.at(league.state, 1).interfaces["bills"].row_key("Bill", ("a",))
    prefix = chain.programs.at(league.state, 1).interfaces["bills"].table_range("Bill")[0]
    assert late.tx_id == schedule_id(league.state.height, "bills", "late", key[len(prefix) :])
    assert receipt.tx_id != late.tx_id and late.gas_used > 0
    assert league.last is not None and len(league.last.receipts) == 2
    chain.block()
    assert chain.scheduled == [], "it waits for its new date"


@pytest.mark.control("L54")
def test_l54_what_runs_every_day_is_armed_when_it_begins_and_runs_once_for_missed_days() -> None:
    chain = Chain.found(("bills", BILLS))
    chain.block()
    chain.night()
    chain.block()
    assert [receipt.method for receipt in chain.scheduled] == ["nightly"]
    assert chain.scheduled[0].events[0].fields == (chain.league.state.height,)
    for _ in range(3):
        chain.night()
    chain.block()
    assert [receipt.method for receipt in chain.scheduled] == ["nightly"]
    chain.block()
    assert chain.scheduled == []


@pytest.mark.control("L53", "L56")
def test_l56_contracts_of_genesis_that_run_every_day_want_a_first_block() -> None:
    chain = Chain.found(("bills", BILLS))
    assert chain.programs.next_activation(chain.league.state, 0) == 1
    chain.block()
    assert chain.programs.next_activation(chain.league.state, 1) == 0 and next_due(chain) > chain.league.time_ms
    quiet = Chain.found(("bills", BILLS[: BILLS.index(b"schedule nightly")]))
    assert quiet.programs.next_activation(quiet.league.state, 0) == 0


def next_due(chain: Chain) -> int:
    """The time that the last block named, which a start over its state names as well."""
    league = chain.league
    assert league.last is not None
    named = league.last.next_due_ms
    assert named == next_due_ms(league.state, chain.programs.at(league.state, league.state.height + 1), 0)
    return named


@pytest.mark.control("L56")
def test_l56_a_block_names_the_time_from_which_the_next_entry_is_due() -> None:
    chain = Chain.found(("bills", BILLS))
    chain.block()
    day = day_number(chain.league.time_ms, 0)
    assert next_due(chain) == day_begin_ms(day + 1, 0), "what runs every day"
    chain.add("a", today(chain.league, -30), 1)
    assert 0 < next_due(chain) <= chain.league.time_ms, "the next block is due at once"
    chain.block()
    assert chain.league.last is not None and chain.league.last.scheduled == 1
    assert next_due(chain) == day_begin_ms(day + 1, 0)


@pytest.mark.control("L55")
def test_l55_an_abort_is_a_failed_receipt_undoes_everything_and_is_not_repeated() -> None:
    chain = Chain.found(("bills", BILLS))
    chain.add("bad", today(chain.league), 13)
    before = chain.league.state
    chain.block()
    (receipt,) = chain.scheduled
    assert (receipt.status, receipt.abort[0].reason, receipt.events) == (1, "unlucky", ())
    assert chain.league.last is not None
    parked = [decode(value) for key, value in chain.league.last.writes if key.startswith(b"p") and value]
    assert [entry[1:] for entry in parked] == [["require_failed", "unlucky"]]
    assert {key[:1] for key, _ in chain.league.last.writes} == {b"s", b"p"}
    assert before.height + 1 == chain.league.state.height
    chain.night()
    chain.block()
    assert [receipt.method for receipt in chain.scheduled] == ["nightly"]
    chain.add("bad", today(chain.league, 1), 1)
    chain.night()
    chain.block()
    assert {receipt.method for receipt in chain.scheduled} == {"nightly", "late"}


@pytest.mark.control("L55")
def test_l55_a_vote_arms_a_parked_entry_again() -> None:
    chain = Chain.found(("bills", BILLS))
    league = chain.league
    chain.add("bad", today(league), 13)
    chain.block()
    assert chain.scheduled[0].status == 1
    linked = chain.programs.at(league.state, league.state.height + 1)
    ((parked,), end) = linked.parked(league.state, b"", 10)
    assert (parked.contract, parked.schedule, parked.code, parked.reason) == (
        "bills",
        "late",
        "require_failed",
        "unlucky",
    )
    assert league.state.get(parked.row) is not None and end == b""
    for wrong in (
        RearmSchedule("bills", "late", parked.key + b"x"),
        RearmSchedule("bills", "nightly", b""),
        RearmSchedule("bills", "late\x00", parked.key),
        RearmSchedule("bills", "löscht", parked.key),
    ):
        assert outcome(league.propose(league.firms[0], "rearm_schedule", wrong)) == ("not_found", "L55")
    gone = RearmSchedule("bells", "late", parked.key)
    assert outcome(league.propose(league.firms[0], "rearm_schedule", gone)) == ("not_found", "L57")
    assert outcome(chain.add("bad", today(league, 50), 1))[0] == "ok", "a new date arms it as well"
    assert linked.parked(league.state, b"", 10)[0] == ()
    assert outcome(league.propose(league.firms[0], "rearm_schedule", RearmSchedule("bills", "late", parked.key))) == (
        "not_found",
        "L55",
    )


@pytest.mark.control("L55", "L56")
def test_l55_what_runs_again_runs_in_the_next_block_in_the_version_of_then() -> None:
    chain = Chain.found(("bills", BILLS))
    league = chain.league
    chain.add("bad", today(league), 13)
    chain.block()
    begin = chain.install(bills=BILLS_TWO.replace(b"state != 13 else", b"state != 14 else"))
    league.advance(begin + 1)
    linked = chain.programs.at(league.state, league.state.height + 1)
    ((parked,), _) = linked.parked(league.state, b"", 10)
    receipt = league.agree("rearm_schedule", RearmSchedule("bills", "late", parked.key))
    assert receipt.result == "accepted" and "ScheduleRearmed" in events(receipt)
    assert 0 < next_due(chain) <= league.time_ms
    chain.block()
    assert [(one.method, one.version, one.status) for one in chain.scheduled] == [("late", 2, 0)]
    assert linked.parked(league.state, b"", 10)[0] == ()


def test_l55_parked_entries_are_listed_in_parts() -> None:
    chain = Chain.found(("bills", BILLS))
    for number in range(5):
        chain.add(f"b{number}", today(chain.league), 13)
    chain.block()
    linked = chain.programs.at(chain.league.state, chain.league.state.height + 1)
    listed, after = [], b""
    while True:
        found, after = linked.parked(chain.league.state, after, 2)
        listed += [item.key for item in found]
        if not after:
            break
    assert len(listed) == 5 and listed == sorted(listed)


@pytest.mark.control("L60")
def test_l60_schedules_of_a_suspended_contract_wait_and_others_go_on() -> None:
    others = BILLS.replace(b"contract bills", b"contract acts")
    chain = Chain.found(("bills", BILLS), ("acts", others))
    league = chain.league
    assert league.agree("suspend_contract", SuspendContract("acts")).result == "accepted"
    assert outcome(chain.add("x", today(league), 1, "acts")) == ("suspended", "L60")
    assert league.agree("resume_contract", ResumeContract("acts")).result == "accepted"
    first, second = (
        league.call(league.firms[0], "add", "x", today(league), 1, contract=name, roles=("preparer", "approver"))
        for name in ("acts", "bills")
    )
    proposal = league.propose(league.firms[0], "suspend_contract", SuspendContract("acts")).tx_id
    league.do(league.firms[1], "vote", proposal, True)
    assert [
        outcome(item)[0] for item in chain.block(first, second, league.call(league.firms[2], "vote", proposal, True))
    ] == ["ok"] * 3
    chain.block()
    assert [receipt.contract for receipt in chain.scheduled] == ["bills"]
    assert next_due(chain) > league.time_ms + 1_000, "L56: what waits for an order is not due"
    league.agree("resume_contract", ResumeContract("acts"))
    assert 0 < next_due(chain) <= league.time_ms
    chain.block()
    assert [receipt.contract for receipt in chain.scheduled] == ["acts"]


@pytest.mark.control("L54")
def test_l54_one_block_runs_a_bounded_number_of_entries_in_order() -> None:
    chain = Chain.found(("bills", BILLS))
    league, count = chain.league, SCHEDULE_ENTRIES_MAX + 30
    due = today(league, 1)
    calls = [
        league.call(league.firms[0], "add", f"b{number:03d}", due, 1, contract="bills", roles=("preparer", "approver"))
        for number in range(count)
    ]
    for begin in range(0, count, 65):
        chain.block(*calls[begin : begin + 65])
        assert chain.scheduled == []
    chain.night()
    chain.block()
    first = [receipt.events[0].fields[0] for receipt in chain.scheduled]
    assert first == [f"b{number:03d}" for number in range(SCHEDULE_ENTRIES_MAX)], "by key within a date and schedule"
    chain.block()
    assert [receipt.method for receipt in chain.scheduled] == ["late"] * 30 + ["nightly"]
    assert chain.scheduled[29].events[0].fields[0] == f"b{count - 1:03d}"
    chain.block()
    assert chain.scheduled == []


DEAR = b"""contract dear version 1

table Row key id: text(20):
    due: date, n: int

action add(id: text(20), due: date, state: int) by role preparer of caller:
    put Row(id = id, due = due, n = state)

schedule spend on Row.due:
    var n = 0
    for i in range(600):
        for k in range(40):
            n = n + row.n
    require n < 0 else dear "all of it"
"""


@pytest.mark.control("L54", "G6")
def test_l54_the_gas_of_one_block_is_bounded_and_the_rest_waits() -> None:
    programs = Programs(CURRENCIES)
    worst = programs.compiled([{"dear": DEAR}])["dear"].interface.schedules["spend"].worst_gas
    assert SCHEDULE_CALL_GAS // 2 < worst <= SCHEDULE_CALL_GAS
    chain = Chain.found(("dear", DEAR))
    league, due = chain.league, today(chain.league)
    chain.block(
        *[
            league.call(league.firms[0], "add", f"r{n}", due, 1, contract="dear", roles=("preparer", "approver"))
            for n in range(20)
        ]
    )
    per_block = []
    while not per_block or per_block[-1]:
        chain.block()
        assert sum(receipt.gas_used for receipt in chain.scheduled) <= SCHEDULE_GAS_MAX
        assert all(receipt.abort[0].reason == "dear" for receipt in chain.scheduled)
        per_block.append(len(chain.scheduled))
    assert sum(per_block) == 20 and 5 <= per_block[0] < 20


def test_l55_an_entry_whose_schedule_is_gone_is_dropped() -> None:
    chain = Chain.found(("bills", BILLS))
    without = BILLS.replace(b"version 1\n", b"version 2 replaces 1\n", 1)
    head, _, tail = without.partition(b"schedule late")
    without = head + b"schedule nightly" + tail.partition(b"schedule nightly")[2]
    chain.add("a", today(chain.league, 1), 1)
    chain.install(bills=without)
    chain.night()
    chain.block()
    gone = next(receipt for receipt in chain.scheduled if receipt.method == "late")
    assert (gone.abort[0].code, gone.abort[0].reason) == ("unknown_method", "schedule")
    assert not [key for key in chain.league.state.scan(b"p", b"q", 10) if b"late" in key]


@pytest.mark.control("L63", "D10")
def test_l63_running_all_blocks_again_gives_the_same_roots() -> None:
    """A node that starts from genesis with the blocks alone, and links as it goes."""
    chain = Chain.found(("bills", BILLS))
    league = chain.league
    blocks: list[tuple[Any, tuple[Any, ...], bytes]] = []
    from ledger import transition

    plain = transition.apply_block
    genesis = league.state

    def kept(state: MemoryState, header: Any, transactions: Any, *rest: Any, **more: Any) -> Any:
        result = plain(state, header, transactions, *rest, **more)
        blocks.append((header, transactions, result.exec_root))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.ledger.governance.conftest.apply_block", kept)
        chain.add("a", today(league), 1)
        chain.block()
        chain.install(bills=BILLS_TWO)
        chain.add("b", today(league), 4)
        chain.night()
        chain.block()
        assert {receipt.method for receipt in chain.scheduled} == {"nightly", "late"}
    state, programs = genesis, Programs(CURRENCIES)
    for header, transactions, root in blocks:
        result = plain(state, header, transactions, programs, 0)
        assert result.exec_root == root, header.height
        state = state.apply(result.writes, result.nodes, result.height, result.state_root, result.exec_root)
    assert link(programs.at(state, state.height).program.codes).codes["bills"].version == 2
    assert events(chain.scheduled[-1]) != []
