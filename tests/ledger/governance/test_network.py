"""Companies, keys and members: adding, leaving, rotating, suspending, and the quorum guard (S22-S27, P112-P118)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ledger.codec import encode
from ledger.governance.keys import leave_digest, ready_digest
from ledger.governance.network import RENEWAL_MS, SUSPENSION_MS, effect_of
from ledger.governance.records import (
    AddCompany,
    Expel,
    FirstUser,
    Leave,
    Resume,
    RotateTls,
    Rotation,
    Suspend,
    read_admission,
    read_invite,
    read_proposal,
    read_suspension,
)
from ledger.merkle import prove, verify_proof
from ledger.registry.epochs import (
    epoch_at,
    epoch_key,
    last_epoch,
    members,
    members_at,
    next_members_hash,
    pending_epoch,
    read_epoch,
)
from ledger.registry.lookup import check_signers, read_key, read_node, read_registry, read_user
from ledger.registry.records import RootPolicy, TlsPin
from tests.ledger.governance.conftest import Firm, events, key, outcome

if TYPE_CHECKING:
    from tests.ledger.governance.conftest import League

NEW = Firm("newcomer")
SECRET = encode(NEW.name).ljust(32, b"i")[:32]


def names(record: Any) -> set[str]:
    return set(record.companies)


# -- add and ready -------------------------------------------------------------------------------------------------


@pytest.mark.control("S22", "P112", "P114")
def test_s22_a_company_joins_as_observer_and_votes_after_ready(league: League) -> None:
    receipt = league.admit(NEW)
    assert receipt.result == "accepted"
    assert "CompanyAdded" in events(receipt)
    node = read_node(league.state, NEW.node_id)
    assert node is not None
    assert (league.company(NEW).status, node.kind, league.company(NEW).roles) == ("active", "observer", ("trader",))
    assert league.decided == []
    invite = read_invite(league.state, SECRET)
    assert invite is not None
    assert invite.used

    decided_at = league.height
    receipt = league.ready(NEW)
    assert events(receipt) == ["EpochDecided"]
    record = league.decided[0]
    params = league.document.params
    assert record.first_height == decided_at + params.exec_lag + params.window + 1
    assert (record.epoch, record.decided_height, receipt.result) == (1, decided_at, 1)
    assert names(record) == {firm.company_id for firm in [*league.firms, NEW]}
    assert list(record.companies) == sorted(record.companies)
    node = read_node(league.state, NEW.node_id)
    assert node is not None
    assert node.kind == "member"
    assert read_admission(league.state, NEW.node_id) is None
    assert outcome(league.ready(NEW)) == ("not_found", "S22")


@pytest.mark.control("P114", "S20")
def test_p114_epochs_are_read_by_number_and_by_height(league: League) -> None:
    first = members(league.state, 0)
    league.admit(NEW)
    league.ready(NEW)
    record, state = league.decided[0], league.state
    begins = record.first_height
    assert members(state, 0) == first
    assert members(state, 1) == record.members
    assert members(state, 2) == ()
    assert members_at(state, begins - 1) == first
    assert members_at(state, begins) == members_at(state, begins + 10**6) == record.members
    old = league.header.members_hash
    assert next_members_hash(state, begins - 2) == old
    assert next_members_hash(state, begins - 1) == next_members_hash(state, begins) == record.members_hash != old
    assert pending_epoch(state, begins - 1) == record
    assert pending_epoch(state, begins) is None
    assert (epoch_at(state, 0).epoch, last_epoch(state).epoch) == (0, 1)


def test_p114_many_epochs_are_found_by_height(league: League) -> None:
    target = league.firms[3]
    for wanted in (False, True, False, True, False):
        assert league.agree("rotation", Rotation(target.company_id, wanted)).result == "accepted"
        league.advance(league.decided[-1].first_height)
    starts = [1, *(record.first_height for record in league.decided)]
    assert starts == sorted(dict.fromkeys(starts))
    for height in range(starts[-1] + 3):
        expected = max((number for number, start in enumerate(starts) if start <= height), default=0)
        assert epoch_at(league.state, height).epoch == expected


@pytest.mark.control("S20")
def test_s20_keys_have_ranges_and_users_of_the_newcomer_sign_from_there_on(league: League) -> None:
    league.admit(NEW)
    joined = league.company(NEW).joined_height
    for public in (NEW.consensus.public_key, NEW.person("governor")[1].public_key, NEW.root.keys[0]):
        found = read_key(league.state, public)
        assert found is not None
        assert (found.from_height, found.to_height) == (joined, 0)
    tx = league.call(NEW, "withdraw", bytes(32))
    assert check_signers(league.state, tx, league.height, league.time_ms) == ""
    assert "not the one in force" in check_signers(league.state, tx, joined - 1, league.time_ms)


@pytest.mark.control("S22", "S7", "S16")
@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"invite_hash": bytes(32)}, "not_found", "invite"),
        ({"root": RootPolicy(4, NEW.root.keys)}, "bad_argument", "4 of 3"),
        ({"root": RootPolicy(2, tuple(reversed(NEW.root.keys)))}, "bad_argument", "ascending"),
        ({"root": Firm("firm 1").root}, "conflict", "registered"),
        ({"consensus_key": bytes(32)}, "bad_proof", "prime-order"),
        ({"consensus_key": Firm("firm 2").consensus.public_key}, "key_in_use", "consensus"),
        ({"consensus_key": NEW.root.keys[0]}, "key_in_use", "twice"),
        ({"consensus_key": key("other").public_key}, "bad_proof", "proofs"),
        ({"proofs": ()}, "bad_proof", "proofs"),
        ({"tls": ()}, "bad_argument", "TLS"),
        ({"tls": (TlsPin(b"", b"x"),)}, "bad_argument", "spki_sha256"),
        ({"tls": (Firm("firm 2").pin,)}, "key_in_use", "TLS pin"),
        ({"tls": (TlsPin(bytes(32), b""),)}, "bad_argument", "certificate"),
        ({"endpoint_commitment": b"x"}, "bad_argument", "endpoint_commitment"),
        ({"legal_commitment": b""}, "bad_argument", "legal_commitment"),
    ],
)
def test_s22_a_bad_join_request_is_refused(league: League, changes: dict[str, Any], code: str, word: str) -> None:
    sponsor = league.firms[0]
    league.do(sponsor, "invite", SECRET, ["trader"], 100)
    receipt = league.propose(sponsor, "add", league.join(NEW, league.request(NEW, SECRET, **changes)))
    assert (outcome(receipt)[0], word in receipt.abort[0].text) == (code, True), receipt.abort[0].text


@pytest.mark.control("S22", "S61")
@pytest.mark.parametrize(
    ("roles", "word"),
    [
        ((), "missing or repeated"),
        (("governor", "governor"), "missing or repeated"),
        (("node_operator", "governor"), "excludes"),
        (("regulator_officer",), "regulator"),
    ],
)
def test_s22_roles_of_first_users_are_checked(league: League, roles: tuple[str, ...], word: str) -> None:
    sponsor = league.firms[0]
    league.do(sponsor, "invite", SECRET, ["trader"], 100)
    request = league.request(NEW, SECRET)
    users = (FirstUser(roles, request.users[0].public_key), *request.users[1:])
    receipt = league.propose(sponsor, "add", league.join(NEW, msgspec.structs.replace(request, users=users)))
    assert outcome(receipt)[0] == "bad_argument"
    assert word in receipt.abort[0].text


def test_s22_the_newcomer_needs_people_who_can_vote(league: League) -> None:
    sponsor = league.firms[0]
    league.do(sponsor, "invite", SECRET, ["trader"], 100)
    request = league.request(NEW, SECRET)
    lone = request.users[:1]
    kept = tuple(proof for proof in request.proofs if proof.kind != "user" or proof.public_key == lone[0].public_key)
    request = msgspec.structs.replace(request, users=lone, proofs=kept)
    receipt = league.propose(sponsor, "add", league.join(NEW, request))
    assert outcome(receipt) == ("bad_argument", "S22")
    assert "second governor" in receipt.abort[0].text


@pytest.mark.control("S22", "S26")
def test_s22_root_signatures_and_sponsor_are_checked(league: League) -> None:
    one, two = league.firms[:2]
    league.do(one, "invite", SECRET, ["trader"], 20)
    good = league.join(NEW, league.request(NEW, SECRET))
    few = AddCompany(good.request, good.signatures[:1])
    twice = AddCompany(good.request, (good.signatures[0], good.signatures[0]))
    strange = AddCompany(good.request, two.signed(bytes(32)))
    crossed = AddCompany(good.request, NEW.signed(leave_digest(league.chain, NEW.company_id)))
    for payload in (few, twice, strange, crossed):
        assert outcome(league.propose(one, "add", payload)) == ("bad_proof", "S26")
    assert outcome(league.propose(two, "add", good)) == ("not_authorised", "S22")
    league.advance(21)
    assert outcome(league.propose(one, "add", good)) == ("expired", "S22")


@pytest.mark.control("S22", "P119")
def test_p119_two_proposals_with_one_key_the_first_accepted_wins(league: League) -> None:
    one, two, three, four = league.firms
    other = bytes([9]) * 32
    league.do(one, "invite", SECRET, ["trader"], 100)
    league.do(two, "invite", other, ["trader"], 100)
    first = league.propose(one, "add", league.join(NEW, league.request(NEW, SECRET))).tx_id
    second = league.propose(two, "add", league.join(NEW, league.request(NEW, other))).tx_id
    for firm, proposal in ((two, first), (one, second)):
        assert league.do(firm, "vote", proposal, True).result == "open"
    won, lost = league.block(league.call(three, "vote", first, True), league.call(four, "vote", second, True))
    assert won.result == "accepted"
    assert outcome(lost) == ("conflict", "S22")
    found = read_proposal(league.state, second)
    assert found is not None
    assert found.status == "open"


@pytest.mark.control("S22", "P116")
def test_ready_proves_the_key_and_a_recent_block(league: League) -> None:
    league.admit(NEW)
    league.advance(90)
    assert outcome(league.ready(NEW, held=key("thief"))) == ("bad_proof", "S22")
    assert outcome(league.ready(NEW, height=10)) == ("too_early", "P116")
    assert outcome(league.ready(NEW, height=league.height)) == ("too_early", "P116")
    at, wrong = league.height - 1, bytes([3]) * 32
    proof = NEW.consensus.sign(ready_digest(league.chain, NEW.node_id, at, wrong))
    receipt = league.do(NEW, "ready", NEW.node_id, at, wrong, proof)
    assert outcome(receipt) == ("bad_proof", "P116")
    one = league.firms[0]
    at = league.height - 1
    proof = NEW.consensus.sign(ready_digest(league.chain, NEW.node_id, at, league.block_id))
    receipt = league.do(one, "ready", NEW.node_id, at, league.block_id, proof)
    assert outcome(receipt) == ("not_authorised", "S22")
    assert league.ready(NEW).result == 1


# -- leave and expel -----------------------------------------------------------------------------------------------


@pytest.mark.control("S26", "P116", "P117")
def test_s26_a_member_leaves_with_its_root_signatures(found: Callable[..., League]) -> None:
    league = found(5)
    gone = league.firms[2]
    assert outcome(league.leave(gone, count=1)) == ("bad_proof", "S26")
    receipt = league.leave(gone)
    assert receipt.result == "accepted"
    assert events(receipt) == ["Proposed", "EpochDecided", "CompanyLeft", "Accepted"]
    record = league.decided[0]
    assert names(record) == {firm.company_id for firm in league.firms if firm != gone}
    assert league.company(gone).status == "left"
    assert gone.company_id in {member.company_id for member in members_at(league.state, record.first_height - 1)}
    user = read_user(league.state, gone.person("preparer")[0])
    assert user is not None
    assert user.status == "left"
    held = read_key(league.state, gone.consensus.public_key)
    assert held is not None
    assert held.to_height == record.first_height - 1  # P117: it votes until then
    person = read_key(league.state, gone.person("preparer")[1].public_key)
    assert person is not None
    assert person.to_height == record.decided_height
    assert outcome(league.do(gone, "invite", bytes(32), ["trader"], 99))[0] == "bad_signer"


@pytest.mark.control("S26")
def test_s26_nobody_leaves_for_another_company(found: Callable[..., League]) -> None:
    league = found(5)
    one, two = league.firms[:2]
    payload = Leave(two.company_id, two.signed(leave_digest(league.chain, two.company_id)))
    assert outcome(league.propose(one, "leave", payload)) == ("not_authorised", "S26")


@pytest.mark.control("P116")
def test_p116_a_production_network_keeps_four_members(league: League) -> None:
    assert outcome(league.leave(league.firms[0])) == ("too_few_members", "P116")
    assert league.company(league.firms[0]).status == "active"
    assert league.decided == []


def test_p4_a_development_network_goes_down_to_one(found: Callable[..., League]) -> None:
    league = found(3, production=False)
    for firm in league.firms[:2]:
        assert league.leave(firm).result == "accepted"
        league.advance(league.decided[-1].first_height)
    assert outcome(league.leave(league.firms[2])) == ("too_few_members", "P116")


@pytest.mark.control("S26")
def test_s26_an_expulsion_counts_only_votes_backed_by_root_policies(found: Callable[..., League]) -> None:
    league = found(5)
    target, *others = league.firms
    proposal = league.propose(others[0], "expel", Expel((target.company_id,))).tx_id
    assert outcome(league.do(others[0], "vote", proposal, True)) == ("bad_proof", "S26")
    forged = others[0].signed(bytes(32))
    receipt = league.do(others[0], "endorse", proposal, [list(pair) for pair in forged])
    assert outcome(receipt) == ("bad_proof", "S26")
    for firm in others[:3]:
        assert league.endorse(firm, proposal).result == "open"
    assert league.endorse(others[3], proposal).result == "accepted"
    assert league.company(target).status == "expelled"
    assert names(league.decided[0]) == {firm.company_id for firm in others}


@pytest.mark.control("P116")
def test_p116_at_most_f_companies_leave_in_one_epoch(found: Callable[..., League]) -> None:
    league = found(7)
    three = tuple(sorted(firm.company_id for firm in league.firms[:3]))
    for companies, expected in ((three, "too_many_changes"), (three[:2], "accepted")):
        proposal = league.propose(league.firms[3], "expel", Expel(companies)).tx_id
        for firm in league.firms[2:6]:
            assert league.endorse(firm, proposal).result == "open"
        receipt = league.endorse(league.firms[6], proposal)
        assert expected in outcome(receipt)
    assert len(league.decided[0].members) == 5


def test_an_observer_leaves_without_an_epoch_and_its_key_never_comes_back(league: League) -> None:
    league.admit(NEW)
    assert league.leave(NEW).result == "accepted"
    assert league.decided == []
    assert outcome(league.ready(NEW))[0] == "bad_signer"
    assert read_admission(league.state, NEW.node_id) is None
    again = bytes([8]) * 32
    league.do(league.firms[0], "invite", again, ["trader"], 100)
    receipt = league.propose(league.firms[0], "add", league.join(NEW, league.request(NEW, again)))
    assert outcome(receipt) == ("conflict", "S22")


# -- keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.control("S23", "S24")
def test_s24_a_key_signed_by_the_old_one_changes_with_the_epoch(league: League) -> None:
    firm, new = league.firms[1], key("second key")
    receipt = league.agree("rotate_consensus", league.rotation(firm, new, old=firm.consensus))
    assert (receipt.result, "KeyAgreed" in events(receipt)) == ("accepted", True)
    record = league.decided[0]
    assert record.member(firm.company_id).consensus_key == new.public_key  # type: ignore[union-attr]
    before = epoch_at(league.state, record.first_height - 1).member(firm.company_id)
    assert before is not None
    assert before.consensus_key == firm.consensus.public_key
    old, fresh = read_key(league.state, firm.consensus.public_key), read_key(league.state, new.public_key)
    assert old is not None
    assert fresh is not None
    assert (old.to_height, fresh.from_height, fresh.to_height) == (record.first_height - 1, record.first_height, 0)
    node = read_node(league.state, firm.node_id)
    assert node is not None
    assert [(held.public_key, held.from_epoch) for held in node.consensus] == [
        (firm.consensus.public_key, 0),
        (new.public_key, 1),
    ]
    league.advance(record.first_height)
    third = key("third key")
    assert league.agree("rotate_consensus", league.rotation(firm, third, old=new)).result == "accepted"
    node = read_node(league.state, firm.node_id)
    assert node is not None
    assert [held.public_key for held in node.consensus] == [new.public_key, third.public_key]  # at most two


@pytest.mark.control("S23", "P118")
def test_p118_a_lost_key_is_replaced_by_root_signatures_and_ready(league: League) -> None:
    firm, new = league.firms[1], key("second key")
    receipt = league.agree("rotate_consensus", league.rotation(firm, new, old=None))
    assert (receipt.result, league.decided) == ("accepted", [])
    assert outcome(league.ready(firm)) == ("bad_proof", "S22")  # the old key says nothing for the new one
    assert league.ready(firm, held=new).result == 1
    member = league.decided[0].member(firm.company_id)
    assert member is not None
    assert member.consensus_key == new.public_key
    assert len(league.decided[0].members) == 4


@pytest.mark.control("S23", "S7")
def test_s23_a_rotation_needs_a_fresh_key_its_proof_and_a_right_signature(league: League) -> None:
    firm, new = league.firms[1], key("second key")
    good = league.rotation(firm, new, old=firm.consensus)
    cases = [
        (league.rotation(firm, league.firms[2].consensus, old=firm.consensus), "key_in_use"),
        (msgspec.structs.replace(good, proof=bytes(64)), "bad_proof"),
        (league.rotation(firm, new, old=key("thief")), "bad_proof"),
        (msgspec.structs.replace(good, signatures=((firm.consensus.public_key, bytes(64)),)), "bad_proof"),
        (msgspec.structs.replace(good, signatures=()), "bad_proof"),
        (msgspec.structs.replace(good, node_id=league.firms[2].node_id), "bad_proof"),
    ]
    for payload, code in cases:
        assert outcome(league.propose(league.firms[0], "rotate_consensus", payload))[0] == code


@pytest.mark.control("S22", "P118")
def test_an_observer_changes_its_key_before_ready(league: League) -> None:
    league.admit(NEW)
    new = key("second key")
    assert league.agree("rotate_consensus", league.rotation(NEW, new, old=NEW.consensus)).result == "accepted"
    assert league.decided == []
    assert outcome(league.ready(NEW)) == ("bad_proof", "S22")
    assert league.ready(NEW, held=new).result == 1
    old = read_key(league.state, NEW.consensus.public_key)
    assert old is not None
    assert old.to_height > 0


@pytest.mark.control("S23")
def test_s23_a_company_changes_its_tls_pins_by_itself(league: League) -> None:
    one, two = league.firms[:2]
    pins = (one.pin, TlsPin(bytes([1]) * 32, b"next certificate"))
    version = read_registry(league.state).version
    receipt = league.propose(one, "rotate_tls", RotateTls(one.node_id, pins))
    assert (receipt.result, events(receipt)) == ("accepted", ["Proposed", "TlsRotated", "Accepted"])
    node = read_node(league.state, one.node_id)
    assert node is not None
    assert node.tls == pins
    assert read_registry(league.state).version == version + 1
    assert league.decided == []
    receipt = league.propose(two, "rotate_tls", RotateTls(one.node_id, pins))
    assert outcome(receipt) == ("not_authorised", "S23")
    for wrong, expected in (
        ((), ("bad_argument", "S18")),
        ((one.pin, one.pin), ("bad_argument", "S18")),
        ((*pins, two.pin), ("bad_argument", "S18")),
        ((two.pin,), ("key_in_use", "S30")),
    ):
        assert outcome(league.propose(one, "rotate_tls", RotateTls(one.node_id, wrong))) == expected


@pytest.mark.control("P80")
def test_p80_a_member_rests_and_keeps_its_vote(league: League) -> None:
    target = league.firms[3]
    assert league.agree("rotation", Rotation(target.company_id, False)).result == "accepted"
    record = league.decided[0]
    assert [member.in_rotation for member in record.members] == [True, True, True, False]
    assert record.keys == tuple(member.consensus_key for member in members(league.state, 0))
    assert record.members_hash != league.header.members_hash
    league.advance(record.first_height)
    receipt = league.propose(league.firms[0], "rotation", Rotation(target.company_id, False))
    assert outcome(receipt) == ("conflict", "P80")


# -- suspension ----------------------------------------------------------------------------------------------------


@pytest.mark.control("S25")
def test_s25_f_plus_one_members_freeze_for_a_day_and_no_member_set_changes(league: League) -> None:
    one, two, _, target = league.firms
    before = members_at(league.state, 10**6)
    opened = league.propose(one, "suspend", Suspend(target.company_id))
    assert league.company(target).status == "active"
    frozen = league.do(two, "vote", opened.tx_id, True)
    assert (frozen.result, events(frozen)) == ("open", ["Voted", "CompanySuspended"])
    assert league.company(target).status == "suspended"
    assert outcome(league.do(target, "invite", bytes(32), ["trader"], 99))[0] == "bad_signer"
    assert members_at(league.state, 10**6) == before
    assert league.decided == []
    since = league.time_ms
    league.time_ms = since + SUSPENSION_MS - 3_000
    version = read_registry(league.state).version
    league.block()
    assert league.company(target).status == "suspended"
    league.time_ms = since + SUSPENSION_MS
    league.block()
    assert league.company(target).status == "active"
    assert read_registry(league.state).version == version + 1
    assert outcome(league.do(target, "invite", bytes(32), ["trader"], league.height + 9))[0] == "ok"


@pytest.mark.control("S25")
def test_s25_callers_of_an_unratified_suspension_wait_seven_days(found: Callable[..., League]) -> None:
    league = found(5)
    one, two, three, four, target = league.firms
    proposal = league.propose(one, "suspend", Suspend(target.company_id)).tx_id
    league.do(two, "vote", proposal, True)
    league.time_ms += SUSPENSION_MS
    league.block()
    assert league.company(target).status == "active"
    assert outcome(league.propose(one, "suspend", Suspend(target.company_id))) == ("not_authorised", "S25")
    again = league.propose(three, "suspend", Suspend(target.company_id)).tx_id
    league.do(two, "vote", again, True)
    assert league.company(target).status == "active"  # its second caller is barred
    league.do(four, "vote", again, True)
    assert league.company(target).status == "suspended"
    league.time_ms += SUSPENSION_MS
    league.block()
    league.time_ms += RENEWAL_MS
    assert outcome(league.propose(one, "suspend", Suspend(target.company_id)))[0] == "ok"


@pytest.mark.control("S25")
def test_s25_a_quorum_ratifies_and_a_quorum_resumes(found: Callable[..., League]) -> None:
    league = found(5)
    target = league.firms[4]
    receipt = league.agree("suspend", Suspend(target.company_id), league.firms[:4])
    assert receipt.result == "accepted"
    suspension = read_suspension(league.state, target.company_id)
    assert suspension is not None
    assert (suspension.ratified, suspension.until_ms) == (True, 0)
    league.time_ms += 2 * SUSPENSION_MS
    league.block()
    assert league.company(target).status == "suspended"
    receipt = league.agree("resume", Resume(target.company_id), league.firms[:4])
    assert "CompanyResumed" in events(receipt)
    assert league.company(target).status == "active"
    assert outcome(league.propose(league.firms[0], "resume", Resume(target.company_id))) == ("conflict", "S25")


@pytest.mark.control("S25")
def test_s25_a_regulator_freezes_alone(found: Callable[..., League]) -> None:
    league = found(5, roles={0: ("regulator",)})
    regulator = next(firm for firm in league.firms if firm.roles == ("regulator",))
    target = next(firm for firm in league.firms if firm.roles == ("trader",))
    receipt = league.propose(regulator, "suspend", Suspend(target.company_id), roles=("officer", "deputy"))
    assert "CompanySuspended" in events(receipt), receipt.abort
    assert league.company(target).status == "suspended"
    receipt = league.propose(regulator, "rotation", Rotation(target.company_id, False), roles=("officer", "admin"))
    assert outcome(receipt) == ("not_authorised", "S22")


@pytest.mark.control("S25", "P116")
def test_a_suspension_never_leaves_fewer_voters_than_the_quorum(league: League) -> None:
    one, two, three, four = league.firms
    opened = league.propose(one, "suspend", Suspend(three.company_id))
    assert league.agree("suspend", Suspend(four.company_id), [one, two, three]).result == "accepted"
    receipt = league.do(two, "vote", opened.tx_id, True)
    assert outcome(receipt) == ("no_quorum", "P116")
    assert "expel" in receipt.abort[0].text
    assert league.company(three).status == "active"


@pytest.mark.control("S25", "P116")
def test_a_suspension_looks_at_the_epoch_that_is_decided_already(found: Callable[..., League]) -> None:
    league = found(6)
    gone, first, second, *others = league.firms
    assert league.agree("suspend", Suspend(first.company_id), [*others, second]).result == "accepted"
    assert league.leave(gone).result == "accepted"  # five members from then on, four must vote, four can
    receipt = league.propose(others[0], "suspend", Suspend(second.company_id))
    assert receipt.result == "open"
    assert outcome(league.do(others[1], "vote", receipt.tx_id, True)) == ("no_quorum", "P116")


@pytest.mark.control("P116", "S25")
def test_p116_a_suspended_member_does_not_count_as_present(found: Callable[..., League]) -> None:
    league = found(6)
    one, two, three, four, *out = league.firms
    for target in out:
        assert league.agree("suspend", Suspend(target.company_id), [one, two, three, four]).result == "accepted"
    receipt = league.leave(one)  # five would remain, four must be present, three are
    assert outcome(receipt) == ("no_quorum", "P116")
    assert "3 of 5" in receipt.abort[0].text


# -- dry run -------------------------------------------------------------------------------------------------------


@pytest.mark.control("P116")
def test_p116_a_dry_run_says_quorum_before_and_after_and_who_is_missing(league: League) -> None:
    one, *_, four = league.firms
    league.do(one, "invite", SECRET, ["trader"], 100)
    opened = league.propose(one, "add", league.join(NEW, league.request(NEW, SECRET)))
    proposal = read_proposal(league.state, opened.tx_id)
    assert proposal is not None
    found = effect_of(league.state, proposal)
    assert (len(found.members_before), len(found.members_after)) == (4, 5)
    assert (found.quorum_before, found.quorum_after, found.faults_before, found.faults_after) == (3, 4, 1, 1)
    assert (found.missing, found.refused) == ((NEW.company_id,), ())
    lost = msgspec.structs.replace(
        proposal, kind="rotate_consensus", payload=encode(league.rotation(four, key("second key"), old=None))
    )
    assert effect_of(league.state, lost).missing == (four.company_id,)
    leaving = msgspec.structs.replace(proposal, kind="leave", payload=encode(Leave(four.company_id, ())))
    refused = effect_of(league.state, leaving).refused
    assert [(item.code, item.rule) for item in refused] == [("too_few_members", "P116")]
    suspending = msgspec.structs.replace(proposal, kind="suspend", payload=encode(Suspend(four.company_id)))
    nothing = effect_of(league.state, suspending)
    assert nothing.members_before == nothing.members_after


def test_p114_an_epoch_is_a_provable_row(league: League) -> None:
    league.admit(NEW)
    league.ready(NEW)
    proof = prove(league.state, epoch_key(1))
    known, value = verify_proof(league.state.state_root, epoch_key(1), proof)
    assert known
    assert value == encode(league.decided[0])
    assert read_epoch(league.state, 1) == league.decided[0]
