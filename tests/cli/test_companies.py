"""Companies by id or exact name, and a proposal for everything else (S18)."""

from __future__ import annotations

from typing import Any

import pytest

from cli.commands.tx import read_arguments
from cli.companies import Companies
from cli.exit_codes import Exit
from cli.failure import CommandFailed

ACME, BOLT, BANK, OTHER_BANK = ("c" + letter * 26 for letter in "abcd")


def company(name: str, id_: str, *roles: str, status: str = "active") -> dict[str, Any]:
    return {"id": id_, "name": name, "roles": ["trader", *roles], "status": status}


KNOWN = Companies(
    (company("Acme GmbH", ACME), company("Bolt SAS", BOLT), company("River Bank", BANK, "settlement_bank"))
)


def test_an_id_and_an_exact_name_name_a_company() -> None:
    assert KNOWN.id_of(ACME) == KNOWN.id_of("Acme GmbH") == ACME
    assert KNOWN.id_of("c" + "2" * 26) == "c" + "2" * 26, "an id is taken as it is: the ledger judges it"


@pytest.mark.parametrize(
    ("text", "proposal"), [("acme", "'Acme GmbH'"), ("Bolt SA", "'Bolt SAS'"), ("Zebra", "company list"), ("", "list"), ("B", "list")]
)  # fmt: skip
def test_nothing_but_the_exact_name_is_taken_and_the_near_one_is_proposed(text: str, proposal: str) -> None:
    with pytest.raises(CommandFailed) as refused:
        KNOWN.id_of(text)
    assert refused.value.code is Exit.USAGE and proposal in refused.value.next_step


def test_a_name_that_two_companies_share_names_nobody() -> None:
    twins = Companies((company("Acme", ACME), company("Acme", BOLT)))
    with pytest.raises(CommandFailed) as refused:
        twins.id_of("Acme")
    assert ACME in refused.value.next_step and BOLT in refused.value.next_step


def test_the_only_bank_need_not_be_named_but_is_never_guessed() -> None:
    assert KNOWN.only_bank() == BANK
    second = company("Lake Bank", OTHER_BANK, "settlement_bank")
    with pytest.raises(CommandFailed) as refused:
        Companies((*KNOWN.items, second)).only_bank()
    assert "--bank" in refused.value.next_step and OTHER_BANK in refused.value.next_step
    assert Companies((*KNOWN.items, second | {"status": "suspended"})).only_bank() == BANK
    with pytest.raises(CommandFailed) as refused:
        Companies(KNOWN.items[:2]).only_bank()
    assert "no settlement bank" in refused.value.text


PARAMS = [{"name": "payee", "type": "party"}, {"name": "amount", "type": "money"}, {"name": "note", "type": "text(40)"}]


@pytest.mark.parametrize(
    "texts",
    [("Acme GmbH", "1.50 EUR", "a=b"), ("amount=1.50 EUR", "Acme GmbH", "a=b"), ("note=a=b", ACME, "EUR 1.5")],
)
def test_arguments_come_by_position_or_by_name(texts: tuple[str, ...]) -> None:
    assert read_arguments(PARAMS, texts, {"EUR": 2}, KNOWN) == [ACME, ["EUR", 150], "a=b"]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("Acme GmbH",), "amount is missing"),
        (("Acme GmbH", "1 EUR", "x", "y"), "4 arguments are given, 3 are taken"),
        (("note=x", "note=y", "Acme GmbH", "1 EUR"), "note is given twice"),
        (("Nobody", "1 EUR", "x"), "payee: 'Nobody' is no company"),
        (("Acme GmbH", "1 USD", "x"), "amount: USD is not a currency"),
    ],
)
def test_what_is_wrong_with_arguments_is_named_with_the_argument(texts: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandFailed) as refused:
        read_arguments(PARAMS, texts, {"EUR": 2}, KNOWN)
    assert refused.value.code is Exit.USAGE and words in refused.value.text
