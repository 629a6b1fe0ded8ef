"""New keys for a company that lost its own: who decides, when, and what stays (S28, P118)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from ledger.codec import encode
from ledger.governance.keys import prove_possession, ready_digest, replace_digest
from ledger.governance.network import effect_of
from ledger.governance.records import JoinRequest, Proposal, ReplaceKeys, read_admission, read_proposal
from ledger.governance.replacing import DELAY_MS
from ledger.receipt import Receipt
from ledger.registry.epochs import last_epoch
from ledger.registry.lookup import read_key, read_node, read_user
from ledger.registry.records import user_id
from tests.ledger.governance.conftest import PEOPLE, Firm, League, events, outcome


@dataclass(frozen=True)
class Heir(Firm):
    """The same company with other keys; `of` is who lost theirs."""

    of: str = ""

    @property
    def company_id(self) -> str:
        return self.of

    def person(self, role: str) -> tuple[str, Any]:
        _, held = super().person(role)
        return user_id(self.of, held.public_key), held


def heir_of(firm: Firm) -> Heir:
    return Heir("heir", of=firm.company_id)


def request(league: League, heir: Heir, **changes: Any) -> bytes:
    held = [("root", heir.of, item) for item in heir.root_keys]
    held.append(("consensus", heir.node_id, heir.consensus))
    held += [("user", *heir.person(role)) for role in PEOPLE]
    proofs = [prove_possession(league.chain, kind, owner, item) for kind, owner, item in held]
    ordered = tuple(sorted(proofs, key=lambda proof: (proof.kind, proof.owner, proof.public_key)))
    asked = league.request(heir, bytes(32), proofs=ordered)
    return encode(msgspec.structs.replace(asked, **changes))


def payload(league: League, heir: Heir, *, consent: Firm | None = None, raw: bytes = b"") -> ReplaceKeys:
    raw = raw or request(league, heir)
    digest = replace_digest(league.chain, heir.of, raw)
    return ReplaceKeys(heir.of, raw, heir.signed(digest), consent.signed(digest) if consent else ())


def proposed(league: League, asked: ReplaceKeys) -> Receipt:
    receipt = league.propose(league.firms[0], "replace_keys", asked, lifetime=900)
    assert outcome(receipt) == ("ok", "open"), receipt.abort
    return receipt


def endorsed(league: League, proposal: bytes, who: list[Firm]) -> Receipt:
    return [league.endorse(firm, proposal) for firm in who][-1]


@pytest.mark.control("S28", "P118")
def test_s28_all_keys_are_replaced_after_the_delay_and_the_company_votes_again(league: League) -> None:
    lost = league.firms[1]
    others = [league.firms[0], league.firms[2], league.firms[3]]
    heir = heir_of(lost)
    opened = proposed(league, payload(league, heir))
    assert events(opened) == ["KeysAsked", "Proposed"] and opened.events[0].fields[0] == lost.company_id
    assert opened.events[0].fields[2] == league.time_ms + DELAY_MS
    assert outcome(endorsed(league, opened.tx_id, others)) == ("ok", "open"), "q are for it, the week is not over"
    league.time_ms += DELAY_MS
    before = league.company(lost)
    done = endorsed(league, opened.tx_id, others[:1])
    assert outcome(done) == ("ok", "accepted") and "KeysReplaced" in events(done)
    after = league.company(lost)
    assert (after.company_id, after.roles, after.joined_height) == (
        before.company_id,
        before.roles,
        before.joined_height,
    )
    assert after.root == heir.root and after.version == before.version + 1
    for old in (lost.root_keys[0].public_key, lost.person("governor")[1].public_key):
        record = read_key(league.state, old)
        assert record is not None and record.to_height == league.state.height
    gone = read_user(league.state, lost.person("governor")[0])
    assert gone is not None and gone.status == "left"
    old_node, new_node = read_node(league.state, lost.node_id), read_node(league.state, heir.node_id)
    assert old_node is not None and old_node.status == "left"
    assert new_node is not None and (new_node.kind, new_node.status) == ("observer", "active")
    still = last_epoch(league.state).member(lost.company_id)
    assert still is not None and still.consensus_key == lost.consensus.public_key, "the member set waits for `ready`"
    voting = read_key(league.state, still.consensus_key)
    assert voting is not None and voting.to_height == 0
    waiting = read_admission(league.state, heir.node_id)
    assert waiting is not None and waiting.consensus_key == heir.consensus.public_key

    refused = league.do(lost, "invite", bytes(32), ["trader"], league.height + 10)
    assert refused.abort, "the people of before act no more"
    at = league.height - 1
    proof = heir.consensus.sign(ready_digest(league.chain, heir.node_id, at, league.block_id))
    said = league.do(heir, "ready", heir.node_id, at, league.block_id, proof)
    assert outcome(said) == ("ok", "1")
    record = last_epoch(league.state)
    member = record.member(lost.company_id)
    assert member is not None and (member.node_id, member.consensus_key) == (heir.node_id, heir.consensus.public_key)
    assert len(record.members) == 4
    ended = read_key(league.state, lost.consensus.public_key)
    assert ended is not None and ended.to_height == record.first_height - 1
    league.advance(record.first_height)
    assert league.do(heir, "invite", bytes(32), ["trader"], league.height + 10).status == 0


@pytest.mark.control("S28")
def test_s28_with_the_consent_of_the_officers_there_is_no_delay(league: League) -> None:
    lost = league.firms[1]
    heir = heir_of(lost)
    opened = proposed(league, payload(league, heir, consent=lost))
    done = endorsed(league, opened.tx_id, [league.firms[0], league.firms[2], league.firms[3]])
    assert outcome(done) == ("ok", "accepted") and league.company(lost).root == heir.root


@pytest.mark.control("S28")
def test_s28_a_company_that_holds_its_keys_ends_it(league: League) -> None:
    held = league.firms[1]
    opened = proposed(league, payload(league, heir_of(held)))
    endorsed(league, opened.tx_id, [league.firms[0], league.firms[2], league.firms[3]])
    said = league.do(held, "vote", opened.tx_id, False)
    assert outcome(said) == ("ok", "rejected") and "Rejected" in events(said)
    league.time_ms += DELAY_MS
    late = league.endorse(league.firms[0], opened.tx_id)
    assert outcome(late) == ("closed", "S22") and league.company(held).root == held.root


@pytest.mark.control("S26", "S28")
def test_s28_only_approvals_with_root_signatures_count(league: League) -> None:
    opened = proposed(league, payload(league, heir_of(league.firms[1]), consent=league.firms[1]))
    refused = league.do(league.firms[2], "vote", opened.tx_id, True)
    assert outcome(refused) == ("bad_proof", "S26") and "endorse" in refused.abort[0].text
    proposal = read_proposal(league.state, opened.tx_id)
    assert proposal is not None and proposal.status == "open"


def test_s28_what_must_not_be_believed(league: League) -> None:
    lost, other = league.firms[1], league.firms[2]
    heir = heir_of(lost)
    good = request(league, heir)
    decoded = msgspec.msgpack.decode(good, type=JoinRequest)
    digest = replace_digest(league.chain, heir.of, good)
    foreign = msgspec.structs.replace(payload(league, heir), company_id=other.company_id)
    wrong: dict[str, tuple[ReplaceKeys, str]] = {
        "another name": (payload(league, heir, raw=request(league, heir, legal_commitment=b"n" * 32)), "bad_argument"),
        "an invite": (payload(league, heir, raw=request(league, heir, invite_hash=b"i" * 32)), "bad_argument"),
        "a proof less": (payload(league, heir, raw=request(league, heir, proofs=decoded.proofs[1:])), "bad_proof"),
        "an old key": (
            payload(league, heir, raw=request(league, heir, consensus_key=lost.consensus.public_key)), "key_in_use",
        ),
        "the pin of another": (payload(league, heir, raw=request(league, heir, tls=(other.pin,))), "key_in_use"),
        "one new root signature": (ReplaceKeys(heir.of, good, heir.signed(digest, 1), ()), "bad_proof"),
        "one old root signature": (ReplaceKeys(heir.of, good, heir.signed(digest), lost.signed(digest, 1)), "bad_proof"),
        "consent of another company": (ReplaceKeys(heir.of, good, heir.signed(digest), other.signed(digest)), "bad_proof"),
        "signed for another company": (foreign, "bad_proof"),
        "no request": (ReplaceKeys(heir.of, b"x", (), ()), "bad_argument"),
        "nobody": (msgspec.structs.replace(payload(league, heir), company_id="c" + "a" * 26), "not_found"),
    }  # fmt: skip
    for what, (asked, code) in wrong.items():
        receipt = league.propose(league.firms[0], "replace_keys", asked, lifetime=900)
        assert receipt.abort and receipt.abort[0].code == code, (what, receipt)


@pytest.mark.control("P116")
def test_p116_the_dry_run_names_the_company_as_missing(league: League) -> None:
    lost = league.firms[1]
    draft = Proposal(bytes(32), "replace_keys", encode(payload(league, heir_of(lost))), "", 0, 0, "open", 0)
    found = effect_of(league.state, draft)
    assert found.missing == (lost.company_id,) and found.quorum_after == 3 and not found.refused
    after = next(member for member in found.members_after if member.company_id == lost.company_id)
    assert after.node_id == heir_of(lost).node_id
