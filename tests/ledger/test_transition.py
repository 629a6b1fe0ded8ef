"""The transition: who may, which nonce, what is kept, what is dropped, and which roots come out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from ledger.block import BlockRef, exec_root
from ledger.codec import encode
from ledger.errors import InvariantViolated
from ledger.merkle import build
from ledger.receipt import STATUS_FAILED, STATUS_OK, Receipt, receipts_root
from ledger.registry.lookup import (
    company_key,
    mandate_key,
    nonce_key,
    read_company,
    read_nonces,
    read_user,
    user_key,
)
from ledger.registry.records import Mandate, user_id
from ledger.state import MemoryState
from ledger.transition import BlockExecution, apply_block, day_number

if TYPE_CHECKING:
    from tests.ledger.conftest import Sample

PUT = ("put", b"trow", b"value")


def outcome(receipt: Receipt) -> str:
    return receipt.abort[0].code if receipt.abort else "ok"


def with_rows(state: MemoryState, **rows: bytes) -> MemoryState:
    """Return the state with changed ledger records, as a governance transaction would leave it."""
    changed = {name.encode(): value for name, value in rows.items()}
    merged = {**{key: state.get(key) or b"" for key in state.scan(b"", b"\xff", 100_000)}, **changed}
    root, nodes = build(merged)
    return MemoryState(merged, nodes, state.height, root, state.exec_root)


def with_user(sample: Sample, role: str, **changes: object) -> MemoryState:
    name = sample.people[sample.companies[0]][role][0]
    user = read_user(sample.state, name)
    assert user is not None
    return with_rows(sample.state, **{user_key(name).decode(): encode(msgspec.structs.replace(user, **changes))})


def test_writes_receipts_and_roots(sample: Sample) -> None:
    tx = sample.transaction((PUT, ("put", b"xindex", b""), ("emit", "Noted"), ("answer",)))
    after, result = sample.run(sample.state, tx)
    (receipt,) = result.receipts
    assert (receipt.status, receipt.tx_id, receipt.gas_used, receipt.version) == (STATUS_OK, tx.tx_id, 4, 1)
    assert [event.name for event in receipt.events] == ["Noted"]
    assert receipt.result[:2] == [day_number(1_780_000_001_000, 480), 1]
    assert receipt.result[2] == [[ref.user_id, ref.company_id] for ref in tx.body.signers]
    assert after.get(b"trow") == b"value"
    assert result.receipts_root == receipts_root(result.receipts)
    assert result.exec_root == exec_root(sample.state.exec_root, result.state_root, result.receipts_root)
    assert [key for key, _ in result.writes] == sorted(key for key, _ in result.writes)


@pytest.mark.control("H6")
def test_h6_index_entries_are_written_but_stand_outside_the_root(sample: Sample) -> None:
    plain, _ = sample.run(sample.state, sample.transaction((PUT,)))
    indexed, _ = sample.run(sample.state, sample.transaction((PUT, ("put", b"xindex", b"1"))))
    assert indexed.get(b"xindex") == b"1"
    rows = {key: indexed.get(key) or b"" for key in indexed.scan(b"", b"\xff", 100_000) if key[:1] != b"x"}
    assert build(rows)[0] == indexed.state_root == plain.state_root


def test_h2_a_failed_transaction_leaves_only_its_nonce_and_receipt(sample: Sample) -> None:
    tx = sample.transaction((PUT, ("emit", "Noted"), ("fail", "require_failed")))
    after, result = sample.run(sample.state, tx)
    (receipt,) = result.receipts
    assert (receipt.status, outcome(receipt), receipt.gas_used) == (STATUS_FAILED, "require_failed", 3)
    assert receipt.events == ()
    assert [key for key, _ in result.writes] == [nonce_key(tx.body.signers[0].user_id)]
    assert not read_nonces(after, tx.body.signers[0].user_id).marks.strip(b"\x00")


def test_a_transaction_sees_the_writes_of_the_ones_before_it(sample: Sample) -> None:
    first = sample.transaction((PUT,), nonce=1)
    second = sample.transaction((("delete", b"trow"),), nonce=2)
    after, result = sample.run(sample.state, first, second)
    assert after.get(b"trow") is None
    assert (b"trow", None) in result.writes


@pytest.mark.control("LR3", "T14")
def test_lr3_each_nonce_counts_once_in_any_order(sample: Sample) -> None:
    state = sample.state
    used: list[int] = []
    for nonce, expected in [
        (3, "ok"),
        (1, "ok"),
        (1, "bad_nonce"),
        (256, "ok"),
        (258, "bad_nonce"),
        (2, "ok"),
        (3, "bad_nonce"),
        (259, "ok"),
        (260, "bad_nonce"),
    ]:
        before = state
        state, result = sample.run(state, sample.transaction((("answer",),), nonce=nonce))
        assert outcome(result.receipts[0]) == expected, nonce
        if expected == "bad_nonce":
            assert result.writes == ()
            assert state.state_root == before.state_root
        else:
            used.append(nonce)
    assert read_nonces(state, sample.people[sample.companies[0]]["preparer"][0]).floor == 3


@pytest.mark.control("LR3")
def test_lr3_the_nonce_belongs_to_the_first_signer_and_failure_uses_it_up(sample: Sample) -> None:
    failing = sample.transaction((("fail", "require_failed"),), nonce=1)
    again = sample.transaction((PUT,), nonce=1)
    turned = sample.transaction((PUT,), nonce=1, roles=("approver", "preparer"))
    _, result = sample.run(sample.state, failing, again, turned)
    assert [outcome(receipt) for receipt in result.receipts] == ["require_failed", "bad_nonce", "ok"]


@pytest.mark.control("LR2", "S20")
def test_lr2_a_key_that_is_not_in_force_changes_nothing(sample: Sample) -> None:
    people = sample.people[sample.companies[0]]
    strangers = [people["preparer"][1], people["treasurer"][1]]
    for tx in (
        sample.transaction((PUT,), keys=strangers),
        sample.transaction((PUT,), acting_for=sample.companies[1]),
        sample.transaction((PUT,), acting_for="cnobody"),
    ):
        after, result = sample.run(sample.state, tx)
        (receipt,) = result.receipts
        assert (outcome(receipt), receipt.gas_used, result.writes) == ("bad_signer", 0, ())
        assert after.state_root == sample.state.state_root


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "suspended"}, "bad_signer"),
        ({"status": "left"}, "bad_signer"),
        ({"valid_to_ms": 1_780_000_001_000}, "bad_signer"),
        ({"valid_to_ms": 1_780_000_001_001}, "ok"),
        ({"roles": ("reader",)}, "not_authorised"),
        ({"roles": ("trainee",)}, "not_authorised"),
        ({"roles": ("preparer", "node_operator")}, "not_authorised"),
    ],
)
def test_signers_must_be_active_and_allowed_to_call(sample: Sample, changes: dict[str, object], expected: str) -> None:
    state = with_user(sample, "preparer", **changes)
    _, result = sample.run(state, sample.transaction((PUT,)))
    assert outcome(result.receipts[0]) == expected


@pytest.mark.parametrize("status", ["pending", "suspended", "left", "expelled"])
def test_a_company_that_is_not_active_cannot_act(sample: Sample, status: str) -> None:
    company = read_company(sample.state, sample.companies[0])
    assert company is not None
    changed = encode(msgspec.structs.replace(company, status=status))
    state = with_rows(sample.state, **{company_key(company.company_id).decode(): changed})
    _, result = sample.run(state, sample.transaction((PUT,)))
    assert outcome(result.receipts[0]) == "bad_signer"
    assert status in result.receipts[0].abort[0].text


@pytest.mark.control("S61", "K54")
def test_s61_two_accounts_with_one_key_are_one_person(sample: Sample) -> None:
    company = sample.companies[0]
    shared = sample.people[company]["preparer"][1]
    state = with_user(sample, "approver", public_key=shared.public_key)
    _, result = sample.run(state, sample.transaction((PUT,), keys=[shared, shared]))
    assert outcome(result.receipts[0]) == "bad_signer"
    other = user_id(company, shared.public_key)
    asked = (("ask", 0, "preparer", company, [sample.people[company]["approver"][0]]),)
    _, result = sample.run(state, sample.transaction(asked, roles=("preparer",)))
    assert (other, result.receipts[0].result) == (sample.people[company]["preparer"][0], "deny.sod")


@pytest.mark.control("F12")
def test_f12_an_agent_acts_for_a_principal_under_a_mandate_only(sample: Sample) -> None:
    agent, principal = sample.people[sample.companies[0]]["preparer"][0], sample.companies[1]
    asked = sample.transaction((("ask", 0, "approver", principal, []),), roles=("preparer",), acting_for=principal)
    for mandate, expected in [
        (Mandate(principal, agent, ("approver",), 0, 1_790_000_000_000, "active"), "ok.mandate"),
        (Mandate(principal, agent, ("preparer",), 0, 1_790_000_000_000, "active"), "deny.role"),
        (Mandate(principal, agent, ("approver",), 5, 1_790_000_000_000, "active"), "deny.limit"),
        (Mandate(principal, agent, ("approver",), 0, 1_780_000_001_000, "active"), "bad_signer"),
        (Mandate(principal, agent, ("approver",), 0, 1_790_000_000_000, "revoked"), "bad_signer"),
    ]:
        state = with_user(sample, "preparer", roles=("agent",))
        state = with_rows(state, **{mandate_key(principal, agent).decode(): encode(mandate)})
        _, result = sample.run(state, asked)
        (receipt,) = result.receipts
        assert (receipt.result or outcome(receipt)) == expected


@pytest.mark.parametrize(
    ("signer", "role", "where", "apart", "expected"),
    [
        (0, "preparer", 0, (), "ok.role"),
        (1, "approver", 0, (), "ok.role"),
        (0, "preparer", None, (), "ok.role"),
        (0, "approver", 0, (), "deny.role"),
        (0, "preparer", 1, (), "deny.scope"),
        (0, "boss", 0, (), "deny.unknown"),
        (0, "preparer", 0, ("preparer",), "deny.sod"),
        (0, "preparer", 0, ("approver",), "ok.role"),
    ],
)
def test_h7_a_role_demand_is_one_question_to_decide(
    sample: Sample, signer: int, role: str, where: int | None, apart: tuple[str, ...], expected: str
) -> None:
    company = None if where is None else sample.companies[where]
    users = [sample.people[sample.companies[0]][name][0] for name in apart]
    _, result = sample.run(sample.state, sample.transaction((("ask", signer, role, company, users),)))
    assert result.receipts[0].result == expected


def test_a_witness_fulfils_no_demand(sample: Sample) -> None:
    tx = sample.transaction((("ask", 1, "approver", sample.companies[0], []),), capacities=("maker", "witness"))
    _, result = sample.run(sample.state, tx)
    assert result.receipts[0].result == "deny.scope"


def test_company_roles_can_be_asked_for(sample: Sample) -> None:
    bank, trader = sample.companies[3], sample.companies[0]
    for company, role, expected in [
        (bank, "settlement_bank", True),
        (trader, "settlement_bank", False),
        ("cnobody", "trader", False),
    ]:
        _, result = sample.run(sample.state, sample.transaction((("has", company, role),)))
        assert result.receipts[0].result is expected


@pytest.mark.parametrize("name", ["registry", "access", "governance"])
def test_lr1_reserved_names_reach_no_program(sample: Sample, name: str) -> None:
    tx = sample.transaction((PUT,), contract=name)
    after, result = sample.run(sample.state, tx)
    assert outcome(result.receipts[0]) == "unknown_method"
    assert after.get(b"trow") is None
    assert read_nonces(after, tx.body.signers[0].user_id).floor == 1


@pytest.mark.parametrize("key", [b"rcompany", b"nuser", b"csample", b"gparams", b""])
def test_h5_a_program_cannot_write_ledger_records(sample: Sample, key: bytes) -> None:
    for step in (("put", key, b"x"), ("delete", key)):
        with pytest.raises(InvariantViolated, match="outside"):
            sample.run(sample.state, sample.transaction((step,)))


@pytest.mark.control("E34")
def test_e34_slices_give_the_result_of_the_whole(sample: Sample) -> None:
    transactions = [sample.transaction((("put", b"t%d" % i, b"v"),), nonce=i + 1) for i in range(7)]
    parent = BlockRef(0, sample.block_id, 1_780_000_000_000, 0, 0)
    header, _ = sample.block_on(sample.state, parent, transactions, sample.state.exec_root)
    whole = apply_block(sample.state, header, transactions, sample.runtime, 480)
    for size in (1, 2, 3):
        execution = BlockExecution(sample.state, header, sample.runtime, 480)
        for first in range(0, len(transactions), size):
            execution.run(transactions[first : first + size])
        assert execution.finish() == whole


def test_a_block_fits_one_state_and_is_executed_whole(sample: Sample) -> None:
    tx = sample.transaction((PUT,))
    parent = BlockRef(0, sample.block_id, 1_780_000_000_000, 0, 0)
    header, _ = sample.block_on(sample.state, parent, [tx], sample.state.exec_root)
    after, _ = sample.run(sample.state, tx)
    with pytest.raises(InvariantViolated, match="cannot be executed"):
        apply_block(after, header, [tx], sample.runtime, 480)
    with pytest.raises(InvariantViolated, match="0 of 1"):
        apply_block(sample.state, header, [], sample.runtime, 480)


def test_the_empty_block_keeps_the_state_root(sample: Sample) -> None:
    after, result = sample.run(sample.state)
    assert (result.state_root, result.nodes, result.writes) == (sample.state.state_root, {}, ())
    assert after.exec_root != sample.state.exec_root


def test_the_state_of_a_block_never_changes_under_a_reader(sample: Sample) -> None:
    before = sample.state.state_root, sample.state.get(b"trow")
    sample.run(sample.state, sample.transaction((PUT,)))
    assert (sample.state.state_root, sample.state.get(b"trow")) == before
