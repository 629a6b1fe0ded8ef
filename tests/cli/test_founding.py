"""Founding a network from cards: what each founder must be able to refuse (LR10, S18)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cli import founding
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from ledger.codec import encode
from node.identity.founding import Card
from simulator.cluster.plan import Plan
from tests.cli.conftest import Done


@pytest.fixture(scope="module")
def cards(founded: tuple[Path, Plan]) -> list[Path]:
    return [founded[0] / node.home / "card.hansa" for node in founded[1].nodes]


@pytest.fixture
def made(cards: list[Path], tmp_path: Path, command: Callable[..., Done]) -> Path:
    """A genesis file of the four cards, made by the command."""
    out = tmp_path / "made" / "genesis.hansa"
    done = command("genesis", "new", *map(str, cards), "--network", "practice", "--development", "--out", str(out))
    assert done.code == 0, done.err
    return out


def test_cards_become_a_document_that_everybody_reads_alike(made: Path, cards: list[Path]) -> None:
    found = founding.read_founding(made)
    assert found.final and not found.document.production and len(found.document.companies) == 4
    for path in cards:
        card = founding.read_card(path)
        assert founding.own_record_problem(found, card) == ""
        assert found.name(card.company.company_id) == card.entry.name
    assert found.name("c-unknown") == "c-unknown"


@pytest.mark.parametrize("content", [b"", b"\x90", b"hello", b"\xff" * 300, b"\x94" + b"\xc0" * 4])
def test_a_file_that_is_no_card_or_no_genesis_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    for read in (founding.read_card, founding.read_founding):
        with pytest.raises(CommandFailed) as refused:
            read(path)
        assert refused.value.code is Exit.REJECTED and str(path) in refused.value.text and refused.value.next_step
    with pytest.raises(CommandFailed) as refused:
        founding.read_card(tmp_path / "missing")
    assert refused.value.code is Exit.NOT_FOUND


def changed(path: Path, card: Card, to: Path) -> Path:
    to.write_bytes(encode(card))
    return to


def test_a_card_that_contradicts_itself_is_refused(cards: list[Path], tmp_path: Path) -> None:
    mine, other = founding.read_card(cards[0]), founding.read_card(cards[1])
    replace = msgspec.structs.replace
    hostile = {
        "users of another company": replace(mine, users=other.users),
        "the node of another company": replace(mine, node=other.node),
        "the name of another company": replace(mine, entry=other.entry),
        "a changed name": replace(mine, entry=replace(mine.entry, name=mine.entry.name + " AG")),
        "a role it did not prove": replace(mine, users=()),
        "no proofs": replace(mine, proofs=()),
        "proofs of another company": replace(mine, proofs=other.proofs),
    }
    for name, card in hostile.items():
        with pytest.raises(CommandFailed) as refused:
            founding.read_card(changed(cards[0], card, tmp_path / "card"))
        assert refused.value.code is Exit.REJECTED, name


def test_a_company_or_an_identifier_goes_in_once(
    cards: list[Path], tmp_path: Path, command: Callable[..., Done]
) -> None:
    twice = tmp_path / "twice.card"
    shutil.copy2(cards[0], twice)
    done = command("genesis", "new", *map(str, [*cards, twice]), "--network", "x", "--out", str(tmp_path / "g"))
    assert done.code == Exit.CONFLICT and str(twice) in done.err and str(cards[0]) in done.err
    assert not (tmp_path / "g").exists()


def test_the_own_card_is_missed_or_found_changed(made: Path, cards: list[Path]) -> None:
    found = founding.read_founding(made)
    card = founding.read_card(cards[0])
    replace = msgspec.structs.replace
    mine = card.company.company_id
    rest = tuple(company for company in found.document.companies if company.company_id != mine)
    cases = {
        "this company is not in it": replace(found.document, companies=rest),
        "its company record was changed": replace(
            found.document, companies=(*rest, replace(card.company, roles=("trader", "auditor")))
        ),
        "its node record was changed": replace(
            found.document, nodes=tuple(node for node in found.document.nodes if node.company_id != mine)
        ),
        "its users were changed": replace(found.document, users=found.document.users[1:] + card.users[:1]),
    }
    for words, document in cases.items():
        other = founding.Founding(path=made, document=document, signatures=(), directory=found.directory)
        assert words in founding.own_record_problem(other, card)


def test_files_over_two_documents_are_never_merged(
    made: Path, cards: list[Path], tmp_path: Path, command: Callable[..., Done]
) -> None:
    other = tmp_path / "other" / "genesis.hansa"
    assert command("genesis", "new", *map(str, cards), "--network", "other", "--out", str(other)).code == 0
    done = command("genesis", "finalize", str(made), str(other), "--out", str(tmp_path / "final"))
    assert done.code == Exit.CONFLICT and "compare the chain id" in done.err
    parts = [founding.read_founding(made), founding.read_founding(made)]
    assert founding.merge(parts) == ()


def test_a_signature_of_nobody_and_a_wrong_one_are_told_apart(made: Path) -> None:
    found = founding.read_founding(made)
    company = found.document.companies[0]
    key = company.root.keys[0]
    for signature, words in (
        ((company.company_id, bytes(32), bytes(64)), "is no root key"),
        ((company.company_id, key, bytes(64)), "does not verify"),
        (("c-unknown", key, bytes(64)), "is no root key"),
    ):
        with pytest.raises(CommandFailed) as refused:
            founding.check_signatures(found.document, [signature], made)
        assert refused.value.code is Exit.REJECTED and words in refused.value.text


def test_a_directory_that_does_not_fit_is_refused(made: Path, command: Callable[..., Done]) -> None:
    directory = made.with_name("directory.toml")
    text = directory.read_text(encoding="utf-8")
    for content in (text.replace("Falkenberg", "Falschenberg").encode(), b"\xff\xfe", b"[[[", b"x = 1"):
        directory.write_bytes(content)
        done = command("genesis", "inspect", str(made))
        assert done.code == Exit.REJECTED and str(directory) in done.err, content[:20]


def test_s45_a_wrong_officer_secret_signs_nothing(
    made: Path, home: Path, tmp_path: Path, command: Callable[..., Done]
) -> None:
    wrong = tmp_path / "wrong.secret"
    assert command("key", "new-secret", str(wrong)).code == 0
    assert command("key", "new-secret", str(wrong)).code == Exit.CONFLICT, "a secret is never overwritten"
    before = made.read_bytes()
    done = command("genesis", "sign", str(made), "--home", str(home), "--key-file", str(wrong), "--yes")
    assert done.code == Exit.NOT_ALLOWED and made.read_bytes() == before
