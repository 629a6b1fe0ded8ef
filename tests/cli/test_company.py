"""`hansa company` without a node: invites, requests, directory entries, and the keys that sign for a company (S22-S26)."""

from __future__ import annotations

import shutil
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import governing
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.governing import Home
from cli.refusals import refusal_next, refusal_text
from cli.wallet import Wallet
from consensus.events import Lsn
from ledger.codec import encode
from ledger.crypto.ed25519 import verify_strict
from ledger.governance.keys import (
    check_root,
    endorse_digest,
    join_digest,
    leave_digest,
    possession_digest,
    ready_digest,
    replace_digest,
    rotate_digest,
)
from ledger.governance.records import request_codec
from ledger.registry.records import company_id, node_id, user_id
from node.home import read_card, tls_pins
from node.identity.directory import parse_directory
from node.identity.joining import InviteFile, keys_file_codec, request_file_codec
from node.identity.keystore import KeyKind
from node.store.journal import Journal
from simulator.cluster.plan import Plan

CHAIN = bytes(range(32))
INVITE = InviteFile(CHAIN, b"s" * 32, "c" + "a" * 26, ("trader",), 900)


@pytest.fixture
def home(founded: tuple[Path, Plan], tmp_path: Path) -> Path:
    """A company home of its own: tests make keys in it."""
    directory, plan = founded
    return Path(shutil.copytree(directory / plan.nodes[1].home, tmp_path / "home"))


def test_s22_a_request_proves_every_key_and_is_signed_by_the_officers(
    command: Callable[..., Any], home: Path, tmp_path: Path
) -> None:
    invite, request = tmp_path / "x.invite", tmp_path / "x.request"
    invite.write_bytes(encode(INVITE))
    done = command("company", "request", str(invite), str(request), "--home", str(home))
    assert done.code == 0, done.err
    made = request_file_codec.decode(request.read_bytes())
    assert done.out.strip() == made.company_id == read_card(home / "card.hansa").company.company_id
    asked = request_codec.decode(made.add.request)
    assert asked.invite_hash == INVITE.invite_hash and company_id(asked.root) == made.company_id
    check_root(asked.root, made.add.signatures, join_digest(CHAIN, made.add.request), "request")
    assert len(made.add.signatures) == asked.root.m
    for proof in asked.proofs:
        digest = possession_digest(CHAIN, proof.kind, proof.owner, proof.public_key)
        assert verify_strict(proof.public_key, proof.signature, digest)
    assert len(asked.proofs) == len(asked.root.keys) + 1 + len(asked.users)
    assert [(proof.kind, proof.owner) for proof in asked.proofs] == sorted((p.kind, p.owner) for p in asked.proofs)


def test_s18_an_entry_waits_in_the_directory_for_its_company(
    command: Callable[..., Any], founded: tuple[Path, Plan], home: Path, tmp_path: Path
) -> None:
    made = governing.join_request(Home(home), Wallet(home), INVITE)
    renamed = tmp_path / "x.request"
    renamed.write_bytes(encode(made))
    path = home / "directory.toml"
    before = parse_directory(path.read_text(encoding="utf-8"), str(path)).entries
    path.write_text("# nobody yet\ncompany = []\n", encoding="utf-8")
    done = command("company", "entry", str(renamed), "--home", str(home))
    assert done.code == 0 and made.company_id in done.out
    after = parse_directory(path.read_text(encoding="utf-8"), str(path)).entries
    assert after == {made.company_id: before[made.company_id]}


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot read"), (b"not an invite", "is not an invite")], ids=["missing", "damaged"]
)
def test_a_file_that_is_no_invite_is_named(
    command: Callable[..., Any], home: Path, tmp_path: Path, content: bytes | None, said: str
) -> None:
    invite = tmp_path / "x.invite"
    if content is not None:
        invite.write_bytes(content)
    done = command("company", "request", str(invite), str(tmp_path / "out"), "--home", str(home))
    assert done.code == 2 and said in done.err and str(invite) in done.err


def test_s23_the_next_key_is_made_once_with_a_journal_of_its_own(home: Path) -> None:
    card = read_card(home / "card.hansa")
    old = card.node.consensus[0].public_key
    asked = governing.rotation(Home(home), CHAIN, old, keep=False)
    assert not (home / "data" / "journal-2").exists(), "a question makes no key"
    first = governing.rotation(Home(home), CHAIN, old, keep=True)
    again = governing.rotation(Home(home), CHAIN, old, keep=True)
    assert first == again and first.public_key not in (old, asked.public_key)
    ((signer, signature),) = first.signatures
    assert signer == old and first.node_id == node_id(old)
    assert verify_strict(old, signature, rotate_digest(CHAIN, first.node_id, first.public_key))
    digest = possession_digest(CHAIN, "consensus", first.node_id, first.public_key)
    assert verify_strict(first.public_key, first.proof, digest)
    keystore = Home(home).keystore()
    stored = keystore.load("consensus-2", KeyKind.CONSENSUS)
    journal, image = Journal.open(home / "data" / "journal-2", keystore.seal_keys("journal"), stored.journal_id)
    assert image.voting and image.records == () and journal.last_lsn == Lsn(0)
    journal.close()
    third = governing.rotation(Home(home), CHAIN, first.public_key, keep=True)
    assert third.node_id == first.node_id and third.signatures[0][0] == first.public_key
    assert (home / "data" / "journal-3").exists()
    with pytest.raises(CommandFailed, match="not in the keystore"):
        governing.rotation(Home(home), CHAIN, bytes(32), keep=True)


def test_s26_officers_sign_for_the_company_and_are_missed_by_name(home: Path) -> None:
    root = read_card(home / "card.hansa").company.root
    company = company_id(root)
    left = governing.leave(Home(home), CHAIN, company)
    check_root(root, left.signatures, leave_digest(CHAIN, company), "leave")
    backed = governing.endorsement(Home(home), CHAIN, b"p" * 32, company)
    check_root(root, backed, endorse_digest(CHAIN, b"p" * 32, company), "endorsement")
    (home / "officers" / "officer-1.json").unlink()
    (home / "officers" / "officer-2.json").unlink()
    with pytest.raises(CommandFailed, match="1 root keys lie here, 2 must sign"):
        governing.leave(Home(home), CHAIN, company)
    shutil.rmtree(home / "officers")
    with pytest.raises(CommandFailed, match="no officer's key"):
        governing.leave(Home(home), CHAIN, company)


def test_s22_ready_is_signed_with_the_admitted_key(home: Path) -> None:
    card = read_card(home / "card.hansa")
    key = card.node.consensus[0].public_key
    block = {"height": 7, "id": "ab" * 32}
    found = {"node": card.node.node_id, "waiting": {"consensus_key": key.hex()}, "block": block, "in_sync": True}
    node, height, identity, proof = governing.readiness(Home(home), CHAIN, found)
    assert (node, height, identity) == (card.node.node_id, 7, bytes.fromhex("ab" * 32))

    assert verify_strict(key, proof, ready_digest(CHAIN, node, height, identity))
    with pytest.raises(CommandFailed, match="waits to vote"):
        governing.readiness(Home(home), CHAIN, {**found, "waiting": None})
    with pytest.raises(CommandFailed, match="not in the keystore"):
        governing.readiness(Home(home), CHAIN, {**found, "waiting": {"consensus_key": "00" * 32}})


def test_s22_a_governor_and_an_admin_sign_or_two_governors(home: Path) -> None:
    wallet = Wallet(home)
    assert governing.act("vote", wallet).roles == (("governor", "maker"), ("company_admin", "checker"))
    text = (home / "people.toml").read_text(encoding="utf-8").replace('"company_admin"', '"governor"')
    (home / "people.toml").write_text(text, encoding="utf-8")
    assert governing.act("vote", Wallet(home)).roles == (("governor", "maker"), ("governor", "checker"))


def test_a_refusal_of_the_ledger_itself_points_at_proposals_and_not_at_a_source() -> None:
    abort = {"contract": "governance", "version": 1, "line": 0, "reason": "P119", "text": "epoch 1 begins at height 14"}
    assert refusal_text(abort) == "refused by rule P119 (governance): epoch 1 begins at height 14"
    assert "hansa company epochs" in refusal_next(abort) and "--source" not in refusal_next(abort)
    assert refusal_next({"contract": "invoices", "reason": "X1"}).endswith("hansa contract show invoices --source")


def own_pins(home: Path, *numbers: int) -> dict[str, Any]:
    """What `/v1/admission` tells of the node of this home, with these of its TLS keys registered."""
    keystore = Home(home).keystore()
    held = tls_pins(home, keystore)
    keystore.close()
    shown = [held[number - 1] for number in numbers]
    pins = [{"spki_sha256": pin.spki_sha256.hex(), "certificate": b64encode(pin.certificate_der)} for pin in shown]
    return {"node": "n" + "a" * 26, "tls": pins}


def test_s23_the_next_tls_key_stands_beside_the_present_one_until_that_is_ended(home: Path) -> None:
    first = own_pins(home, 1)
    drawn = governing.tls_rotation(Home(home), CHAIN, first, keep=False, end_old=False)
    assert len(drawn.tls) == 2 and not (home / "tls-2.crt").exists(), "a dry run makes nothing"
    made = governing.tls_rotation(Home(home), CHAIN, first, keep=True, end_old=False)
    assert (home / "tls-2.crt").exists() and (home / "tls-2.key").stat().st_mode & 0o077 == 0
    again = governing.tls_rotation(Home(home), CHAIN, first, keep=True, end_old=False)
    assert again == made and not (home / "tls-3.crt").exists(), "a key that was made and not registered is used"
    both = own_pins(home, 1, 2)
    assert governing.tls_rotation(Home(home), CHAIN, both, keep=True, end_old=True).tls == made.tls[1:]
    third = governing.tls_rotation(Home(home), CHAIN, both, keep=True, end_old=False)
    assert third.tls[0] == made.tls[1] and (home / "tls-3.crt").exists(), "the oldest goes with the next one"


def test_s23_what_cannot_be_rotated_says_why(home: Path, founded: tuple[Path, Plan]) -> None:
    directory, plan = founded
    for found, end_old, code in (
        ({"node": "n1", "tls": []}, False, Exit.CONFLICT),
        (own_pins(home, 1), True, Exit.CONFLICT),
        (own_pins(directory / plan.nodes[0].home, 1), False, Exit.NOT_ALLOWED),
    ):
        with pytest.raises(CommandFailed) as refused:
            governing.tls_rotation(Home(home), CHAIN, found, keep=True, end_old=end_old)
        assert refused.value.code is code and refused.value.next_step
    assert not (home / "tls-2.crt").exists()


def test_s28_a_fresh_home_asks_for_new_keys_under_the_old_id(
    command: Callable[..., Any], founded: tuple[Path, Plan], home: Path, tmp_path: Path
) -> None:
    directory, plan = founded
    card = read_card(home / "card.hansa")
    fresh, file = tmp_path / "fresh", tmp_path / "x.keys"
    listed = directory / plan.nodes[0].home / "directory.toml"
    made = command("init", card.entry.name, "--replaces", str(listed), "--home", str(fresh), "--development")
    assert made.code == 0, made.err
    new = read_card(fresh / "card.hansa")
    assert new.company.company_id == card.company.company_id and new.entry == card.entry
    assert new.company.root != card.company.root and new.node.node_id != card.node.node_id
    shutil.copy(home / "genesis.hansa", fresh / "genesis.hansa")
    assert command("company", "recover", str(file), "--home", str(fresh)).code == 0
    asked = keys_file_codec.decode(file.read_bytes())
    payload = asked.payload
    request = request_codec.decode(payload.request)
    digest = replace_digest(asked.chain_id, card.company.company_id, payload.request)
    check_root(new.company.root, payload.signatures, digest, "request")
    assert payload.old_signatures == () and request.legal_commitment == card.company.legal_commitment
    for proof in request.proofs:
        held = possession_digest(asked.chain_id, proof.kind, proof.owner, proof.public_key)
        assert verify_strict(proof.public_key, proof.signature, held)
        if proof.kind == "user":
            assert proof.owner == user_id(card.company.company_id, proof.public_key)
    stranger = directory / plan.nodes[0].home
    assert command("company", "consent", str(file), "--home", str(stranger)).code == Exit.NOT_ALLOWED
    assert command("company", "consent", str(file), "--home", str(home)).code == 0
    check_root(card.company.root, keys_file_codec.decode(file.read_bytes()).payload.old_signatures, digest, "consent")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("Nobody Ltd",), Exit.NOT_FOUND, "does not stand in"),
        (("Falkenberg Beispielteile GmbH", "--identifier", "vat:DE1"), Exit.USAGE, "bound by the directory entry"),
    ],
)
def test_s28_a_home_that_replaces_needs_its_entry(
    command: Callable[..., Any], founded: tuple[Path, Plan], tmp_path: Path, arguments: tuple[str, ...], code: Exit,
    words: str,
) -> None:  # fmt: skip
    listed = founded[0] / founded[1].nodes[0].home / "directory.toml"
    done = command("init", *arguments, "--replaces", str(listed), "--home", str(tmp_path / "x"), "--development")
    assert done.code == code and words in done.err and not (tmp_path / "x" / "keystore").exists()
