"""Methods of the contract: who may call, what is refused and in which words, how votes are counted (S22, P112, P119)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ledger.access.model import Code
from ledger.codec import encode
from ledger.governance.act import EVENTS
from ledger.governance.calls import OPEN_PER_COMPANY, tally
from ledger.governance.records import Rotation, Suspend, read_ballot, read_invite, read_proposal
from ledger.governance.refusal import CODES
from ledger.registry.lookup import read_nonces, read_registry
from tests.ledger.governance.conftest import Firm, events, outcome

if TYPE_CHECKING:
    from ledger.receipt import Receipt
    from tests.ledger.governance.conftest import League

HASH = bytes([7]) * 32


def rest(league: League, firm: Firm) -> Rotation:
    return Rotation(firm.company_id, False)


def test_s22_an_invite_is_recorded_with_its_sponsor(league: League) -> None:
    sponsor = league.firms[0]
    receipt = league.do(sponsor, "invite", HASH, ["trader", "auditor"], 100)
    assert (outcome(receipt)[0], events(receipt), receipt.result) == ("ok", ["Invited"], HASH)
    invite = read_invite(league.state, HASH)
    assert invite is not None
    assert (invite.sponsor, invite.roles, invite.expires_height, invite.used) == (
        sponsor.company_id,
        ("trader", "auditor"),
        100,
        False,
    )
    assert outcome(league.do(league.firms[1], "invite", HASH, ["trader"], 100)) == ("conflict", "S22")


@pytest.mark.parametrize(
    ("method", "args", "code", "word"),
    [
        ("elect", (), "unknown_method", "withdraw"),
        ("invite", (HASH, ["trader"]), "bad_argument", "expires_height"),
        ("invite", (HASH, ["trader"], "7"), "bad_argument", "expires_height"),
        ("invite", (HASH, ["trader"], -1), "bad_argument", "-1"),
        ("invite", (HASH, ["trader"], 1), "bad_argument", "from 2"),
        ("invite", (HASH, ["trader"], 2_000_000), "bad_argument", "2000000"),
        ("invite", (HASH[:31], ["trader"], 100), "bad_argument", "31 bytes"),
        ("invite", (HASH, [], 100), "bad_argument", "role"),
        ("invite", (HASH, ["trader", "trader"], 100), "bad_argument", "twice"),
        ("invite", (HASH, ["king"], 100), "bad_argument", "king"),
        ("propose", ("coup", b"", 100), "bad_argument", "rotate_tls"),
        ("propose", ("resume", b"\xc1", 100), "bad_argument", "does not decode"),
        ("propose", ("resume", encode(["c-nobody"]), 1), "bad_argument", "expires_height"),
        ("propose", ("resume", encode(["c-nobody"]), 100), "not_found", "c-nobody"),
        ("vote", (HASH, 1), "bad_argument", "approve"),
        ("vote", (HASH, True), "not_found", "070707"),
        ("endorse", (HASH, [[b"k"]]), "bad_argument", "signatures"),
        ("withdraw", (HASH,), "not_found", "070707"),
        ("ready", ("n-nobody", 1, HASH, b""), "not_found", "n-nobody"),
    ],
)
def test_refusals_name_the_cause_the_value_and_change_nothing(
    league: League, method: str, args: tuple[Any, ...], code: str, word: str
) -> None:
    receipt = league.do(league.firms[0], method, *args)
    (abort,) = receipt.abort
    assert (abort.code, abort.contract) == (code, "governance")
    assert word in abort.text
    assert abort.reason
    assert len(abort.text) <= 200
    assert abort.code in CODES
    assert league.last is not None
    assert [key[:1] for key, _ in league.last.writes] == [b"n"]
    user, _ = league.firms[0].person("governor")
    assert read_nonces(league.state, user).floor == 1


@pytest.mark.control("S22", "S60")
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"roles": ("governor", "deputy")}, "ok"),
        ({"roles": ("deputy", "admin")}, "ok"),
        ({"roles": ("admin", "governor")}, "ok"),
        ({"roles": ("governor", "deputy"), "capacities": ("checker", "maker")}, "ok"),
        ({"roles": ("governor", "approver")}, "not_authorised"),
        ({"roles": ("admin", "preparer")}, "not_authorised"),
        ({"roles": ("preparer", "approver")}, "not_authorised"),
        ({"roles": ("governor",), "capacities": ("maker",)}, "not_authorised"),
        ({"roles": ("governor", "deputy"), "capacities": ("maker", "maker")}, "not_authorised"),
        ({"roles": ("governor", "deputy"), "capacities": ("maker", "witness")}, "not_authorised"),
    ],
)
def test_s22_a_governor_and_a_second_person_sign(league: League, how: dict[str, Any], expected: str) -> None:
    assert outcome(league.do(league.firms[0], "invite", HASH, ["trader"], 100, **how))[0] == expected


@pytest.mark.control("S22", "S61")
def test_s22_people_of_another_company_do_not_help(league: League) -> None:
    one, two = league.firms[:2]
    receipt = league.do(one, "invite", HASH, ["trader"], 100, lend={"deputy": two})
    assert outcome(receipt)[0] == "bad_signer"
    receipt = league.do(one, "invite", HASH, ["trader"], 100, acting_for=two.company_id)
    assert outcome(receipt)[0] == "bad_signer"


def test_the_answer_of_decide_is_in_the_refusal(league: League) -> None:
    receipt = league.do(league.firms[0], "invite", HASH, ["trader"], 100, roles=("preparer", "approver"))
    assert Code.DENY_ROLE.value in receipt.abort[0].text


def test_gas_is_counted_before_the_work(league: League) -> None:
    receipt = league.do(league.firms[0], "invite", HASH, ["trader"], 100, gas_limit=1_000)
    assert (outcome(receipt), receipt.gas_used) == (("out_of_gas", "L66"), 1_000)
    assert outcome(league.do(league.firms[0], "invite", HASH, ["trader"], 100, gas_limit=5_000))[0] == "ok"


@pytest.mark.control("S22")
def test_s22_a_proposal_is_accepted_at_the_quorum_and_not_before(league: League) -> None:
    one, two, three, four = league.firms
    opened = league.propose(one, "rotation", rest(league, four))
    assert events(opened) == ["Proposed", "Voted"]
    assert opened.events[1].fields == (opened.tx_id, one.company_id, True, 1, 3)
    assert outcome(opened) == ("ok", "open")
    again = league.do(one, "vote", opened.tx_id, True)
    assert again.result == "open"  # one company, one vote
    assert league.do(two, "vote", opened.tx_id, True).result == "open"
    last = league.do(three, "vote", opened.tx_id, True)
    assert (last.result, events(last)) == ("accepted", ["Voted", "EpochDecided", "Accepted"])
    proposal = read_proposal(league.state, opened.tx_id)
    assert proposal is not None
    assert (proposal.status, proposal.closed_height, proposal.company_id) == ("accepted", 4, one.company_id)
    late = league.do(four, "vote", opened.tx_id, True)
    assert outcome(late) == ("closed", "S22")


def test_s18_a_ballot_names_its_signers_and_the_last_one_counts(league: League) -> None:
    one, two, three, _ = league.firms
    proposal = league.propose(one, "rotation", rest(league, two)).tx_id
    league.do(two, "vote", proposal, True)
    league.do(two, "vote", proposal, False)
    ballot = read_ballot(league.state, proposal, two.company_id)
    assert ballot is not None
    assert (ballot.approve, ballot.signers) == (False, (two.person("governor")[0], two.person("deputy")[0]))
    assert league.do(three, "vote", proposal, True).result == "open"


def test_a_proposal_that_cannot_reach_the_quorum_is_rejected(league: League) -> None:
    one, two, three, four = league.firms
    proposal = league.propose(one, "rotation", rest(league, four)).tx_id
    assert league.do(two, "vote", proposal, False).result == "open"
    receipt = league.do(three, "vote", proposal, False)
    assert (receipt.result, events(receipt)) == ("rejected", ["Voted", "Rejected"])
    assert outcome(league.do(four, "vote", proposal, True)) == ("closed", "S22")


def test_votes_expire_by_height(league: League) -> None:
    one, two, three, four = league.firms
    proposal = league.propose(one, "rotation", rest(league, four), lifetime=2).tx_id
    assert league.do(two, "vote", proposal, True).result == "open"
    assert league.do(three, "vote", proposal, True).result == "accepted"
    proposal = league.propose(one, "resume", Suspend(four.company_id)).tx_id
    assert read_proposal(league.state, proposal) is None  # refused: nothing is suspended
    league.advance(league.decided[0].first_height)
    proposal = league.propose(one, "rotation", Rotation(four.company_id, True), lifetime=1).tx_id
    league.block()
    assert outcome(league.do(two, "vote", proposal, True)) == ("expired", "S22")


def test_only_the_proposer_withdraws(league: League) -> None:
    one, two, _, four = league.firms
    proposal = league.propose(one, "rotation", rest(league, four)).tx_id
    assert outcome(league.do(two, "withdraw", proposal)) == ("not_authorised", "S22")
    receipt = league.do(one, "withdraw", proposal)
    assert (receipt.result, events(receipt)) == ("withdrawn", ["Withdrawn"])
    assert outcome(league.do(two, "vote", proposal, True)) == ("closed", "S22")


def test_open_proposals_of_a_company_are_bounded_and_closed_ones_make_room(league: League) -> None:
    one, _, _, four = league.firms
    opened = [league.propose(one, "rotation", rest(league, four)).tx_id for _ in range(OPEN_PER_COMPANY)]
    assert outcome(league.propose(one, "rotation", rest(league, four))) == ("limit_exceeded", "S22")
    league.do(one, "withdraw", opened[0])
    assert outcome(league.propose(one, "rotation", rest(league, four)))[0] == "ok"


@pytest.mark.control("S22", "P119")
def test_p119_the_first_of_two_conflicting_votes_in_a_block_wins(league: League) -> None:
    one, two, three, four = league.firms
    first = league.propose(one, "rotation", rest(league, four)).tx_id
    second = league.propose(two, "rotation", rest(league, three)).tx_id
    league.do(two, "vote", first, True)
    league.do(one, "vote", second, True)
    calls = [league.call(three, "vote", first, True), league.call(four, "vote", second, True)]
    won, lost = league.block(*calls)
    assert won.result == "accepted"
    assert outcome(lost) == ("epoch_pending", "P119")
    assert str(league.decided[0].first_height) in lost.abort[0].text
    assert read_ballot(league.state, second, four.company_id) is None  # the vote is not kept and can be repeated
    assert [record.epoch for record in league.decided] == [1]
    league.advance(league.decided[0].first_height)
    retried = league.do(four, "vote", second, True)
    assert outcome(retried) == ("too_many_changes", "P80")  # with four members only one may rest
    assert read_proposal(league.state, second) is not None


@pytest.mark.control("S22")
def test_s22_votes_are_recounted_against_the_members_at_counting_time(league: League) -> None:
    one, two, three, _four = league.firms
    new = Firm("newcomer")
    league.admit(new)
    league.ready(new)
    league.advance(league.decided[0].first_height)
    proposal = league.propose(one, "rotation", rest(league, three)).tx_id
    league.do(two, "vote", proposal, True)
    found = tally(league.state, read(league, proposal), league.height)
    assert (found.members, len(found.approving)) == (5, 2)
    assert outcome(league.leave(two)) == ("ok", "accepted")  # its vote goes with it
    assert read_ballot(league.state, proposal, two.company_id) is not None
    found = tally(league.state, read(league, proposal), league.height)
    assert (found.members, found.approving) == (5, (one.company_id,))


def test_an_observer_has_no_vote(league: League) -> None:
    new = Firm("newcomer")
    league.admit(new)
    proposal = league.propose(league.firms[0], "rotation", rest(league, league.firms[1])).tx_id
    for receipt in (
        league.do(new, "vote", proposal, True),
        league.propose(new, "rotation", rest(league, league.firms[1])),
        league.do(new, "invite", HASH, ["trader"], league.height + 9),
    ):
        assert outcome(receipt) == ("not_member", "S22")


def test_s21_the_registry_counts_its_changes(league: League) -> None:
    before = read_registry(league.state)
    league.propose(league.firms[0], "rotation", rest(league, league.firms[1]))
    assert read_registry(league.state) == before
    league.admit(Firm("newcomer"))
    after = read_registry(league.state)
    assert (after.version > before.version, after.epoch) == (True, 0)


def test_every_event_has_the_fields_its_table_says(league: League) -> None:
    new = Firm("newcomer")
    receipts: list[Receipt] = [league.admit(new), league.ready(new)]
    for receipt in receipts:
        for event in receipt.events:
            assert event.contract == "governance"
            assert len(event.fields) == len(EVENTS[event.name])
    added = next(event for event in receipts[0].events if event.name == "CompanyAdded")
    assert added.fields[0] == new.company_id
    assert EVENTS["CompanyAdded"][0] == ("company", "party")


def test_contracts_and_governance_share_a_block(found: Callable[..., League]) -> None:
    league = found()
    one = league.firms[0]
    note = league.call(one, "run", ("put", b"tnote", b"1"), contract="sample", roles=("preparer", "approver"))
    receipts = league.block(note, league.call(one, "invite", HASH, ["trader"], 100))
    assert [outcome(receipt)[0] for receipt in receipts] == ["ok", "ok"]
    assert league.state.get(b"tnote") == b"1"


def read(league: League, proposal_id: bytes) -> Any:
    proposal = read_proposal(league.state, proposal_id)
    assert isinstance(proposal, msgspec.Struct)
    return proposal
