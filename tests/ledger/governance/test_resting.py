"""What follows from evidence if the companies chose it: rest, in turn, until a new key or a vote (P80, P118, P125)."""

from __future__ import annotations

import pytest

from ledger.codec import encode
from ledger.evidence import Evidence
from ledger.governance.keys import leave_digest
from ledger.governance.records import FaultPolicy, Leave, Rotation
from ledger.governance.resting import read_policy, read_resting, rests
from ledger.registry.epochs import last_epoch
from tests.ledger.governance.conftest import Firm, League, events, found_league, key, outcome


def fault(firm: Firm, epoch: int = 0, kind: str = "E3") -> bytes:
    """An item as voters let it into a block; the transition does not judge it again."""
    return encode(Evidence(kind, epoch, firm.company_id, ()))


def resting(league: League) -> list[str]:
    return [member.company_id for member in last_epoch(league.state).members if not member.in_rotation]


def chosen(league: League) -> League:
    assert league.agree("fault_policy", FaultPolicy(True)).result == "accepted"
    return league


def in_force(league: League) -> None:
    league.advance(last_epoch(league.state).first_height)


@pytest.mark.control("P125")
def test_p125_without_the_policy_nothing_follows_but_the_record(league: League) -> None:
    assert read_policy(league.state) == FaultPolicy(False)
    league.block(evidence=[fault(league.firms[1])])
    assert last_epoch(league.state).epoch == 0 and read_resting(league.state, league.firms[1].company_id) is None
    chosen(league)
    league.block()
    assert last_epoch(league.state).epoch == 0, "nor later: the policy looks at faults from its beginning on"


@pytest.mark.control("P125", "P80")
def test_p125_a_convicted_company_rests_from_the_next_epoch_on_and_keeps_its_vote(league: League) -> None:
    chosen(league)
    guilty = league.firms[1]
    (receipt,) = league.block(evidence=[fault(guilty)])
    assert events(receipt) == ["EpochDecided", "CompanyRests"] and (receipt.contract, receipt.method) == (
        "governance", "rest",
    )  # fmt: skip
    assert receipt.events[1].fields == (guilty.company_id, "E3", 1)
    assert league.last is not None and league.last.next_epoch == last_epoch(league.state)
    record = last_epoch(league.state)
    assert record.epoch == 1 and resting(league) == [guilty.company_id] and len(record.members) == 4
    assert rests(league.state, guilty.company_id)
    league.block(evidence=[fault(guilty, kind="E4")])
    assert last_epoch(league.state).epoch == 1, "another fault of one that rests adds nothing"


@pytest.mark.control("P80")
def test_p80_at_most_f_rest_and_the_others_wait_for_their_turn(league: League) -> None:
    chosen(league)
    first, second = league.firms[1], league.firms[2]
    league.block(evidence=[fault(second), fault(first)])
    assert resting(league) == [first.company_id], "in order of their ids"
    assert read_resting(league.state, second.company_id) is not None and not rests(league.state, second.company_id)
    in_force(league)
    league.advance(league.height + 3)
    assert last_epoch(league.state).epoch == 1
    league.agree("rotation", Rotation(first.company_id, True), [league.firms[0], league.firms[2], league.firms[3]])
    assert resting(league) == [] and read_resting(league.state, first.company_id) is None
    in_force(league)
    league.block()
    assert resting(league) == [second.company_id] and last_epoch(league.state).epoch == 3


def test_p119_a_change_that_waits_goes_first(league: League) -> None:
    chosen(league)
    firm, new = league.firms[0], key("second key")
    league.agree("rotate_consensus", league.rotation(firm, new, old=firm.consensus))
    league.block(evidence=[fault(league.firms[1])])
    assert last_epoch(league.state).epoch == 1 and resting(league) == []
    in_force(league)
    league.block()
    assert last_epoch(league.state).epoch == 2 and resting(league) == [league.firms[1].company_id]


@pytest.mark.control("P118", "P125")
def test_p118_a_company_proposes_again_with_its_new_key(league: League) -> None:
    chosen(league)
    guilty = league.firms[1]
    league.block(evidence=[fault(guilty)])
    in_force(league)
    refused = league.propose(guilty, "rotation", Rotation(league.firms[2].company_id, False))
    assert outcome(refused) == ("not_authorised", "P125") and "new consensus key first" in refused.abort[0].text
    others = [league.firms[0], league.firms[2], league.firms[3]]
    new = key("second key")
    opened = league.propose(guilty, "rotate_consensus", league.rotation(guilty, new, old=guilty.consensus))
    assert opened.result == "open"
    for firm in others[:2]:
        league.do(firm, "vote", opened.tx_id, True)
    record = last_epoch(league.state)
    member = record.member(guilty.company_id)
    assert record.epoch == 2 and member is not None and member.in_rotation
    assert member.consensus_key == new.public_key and not rests(league.state, guilty.company_id)
    in_force(league)
    league.block(evidence=[fault(guilty, epoch=0, kind="E1")])
    assert last_epoch(league.state).epoch == 2, "a fault of the old key says nothing about the new one"
    league.block(evidence=[fault(guilty, epoch=2)])
    assert last_epoch(league.state).epoch == 3, "one of the new key does"


def test_p125_the_companies_turn_it_off_again(league: League) -> None:
    chosen(league)
    again = league.propose(league.firms[0], "fault_policy", FaultPolicy(True))
    assert outcome(again) == ("conflict", "P125")
    assert "FaultPolicySet" in events(league.agree("fault_policy", FaultPolicy(False)))
    league.block(evidence=[fault(league.firms[1])])
    assert last_epoch(league.state).epoch == 0


def test_s26_who_rests_may_leave() -> None:
    league = chosen(found_league(7))
    guilty = league.firms[1]
    league.block(evidence=[fault(guilty)])
    in_force(league)
    payload = Leave(guilty.company_id, guilty.signed(leave_digest(league.chain, guilty.company_id)))
    assert league.propose(guilty, "leave", payload).result == "accepted"
    assert read_resting(league.state, guilty.company_id) is None
    assert last_epoch(league.state).member(guilty.company_id) is None
