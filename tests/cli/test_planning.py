"""What people read before they vote on a contract, in both languages (L58, U17)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cli import planning
from cli.commands.contract import _named
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.language import LANGUAGES
from cli.phrases import words
from contracts.library import sources
from ledger.money import ISO_4217
from node.core.programs import Programs

FIRST = b"""contract fees version 1
uses invoices@1

table Fee key id: text(40):
    payer: party, amount: money

invariant each Fee: row.amount >= zero

action charge(id: text(40), amount: money) by role approver of caller:
    require amount <= EUR 100.00 else most "at most {amount}"
    insert Fee(id = id, payer = invoices.buyer_of(id), amount = amount)

action waive(id: text(40)) by role approver of caller:
    delete Fee[id]
"""
SECOND = (
    FIRST.replace(b"version 1", b"version 2 replaces 1")
    .replace(b"uses invoices@1\n", b"uses invoices@1\nuses credit_risk@1\n")
    .replace(b"EUR 100.00 else", b"EUR 200.00 else")
    .replace(b"waive(id: text(40)) by role approver", b"waive(id: text(40)) by role preparer")
    .replace(
        b"payer: party, amount: money\n", b"payer: party, amount: money, since: date?\n\nmigrate Fee: since = none\n"
    )
    .replace(b"amount = amount)", b"amount = amount, since = today)")
    + b"""
schedule forgive on Fee.since + 365 days:
    require credit_risk.has_limit(row.payer, row.payer, EUR) or row.amount >= zero else odd "odd"
    delete Fee[row.id]
"""
)


def reviewed(language: str) -> list[dict[str, Any]]:
    programs = Programs(ISO_4217)
    before = programs.compiled([dict(sources()), {"fees": FIRST}])
    after = programs.compiled([dict(sources()), {"fees": FIRST}, {"fees": SECOND}])
    rows = ({"table": "Fee", "key": "00ff", "line": 7},)
    item = planning.ReviewedContract(code=after["fees"], before=before["fees"], problem_rows=rows)
    return [item.as_json(language)]


def test_both_languages_have_the_same_sentences_with_the_same_places() -> None:
    english, chinese = (words(language, "review") for language in LANGUAGES)
    assert list(english) == list(chinese)
    for key in english:
        places = [sorted(re.findall(r"\{[a-z]+\}", table[key])) for table in (english, chinese)]
        assert places[0] == places[1], key


@pytest.mark.control("L58")
@pytest.mark.parametrize("language", LANGUAGES)
def test_l58_the_review_names_differences_permissions_costs_calls_and_rows(
    language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    items = reviewed(language)
    planning.tell(items, language)
    told = capsys.readouterr().out
    (item,) = items
    assert item["ir_hash"] in told and item["code_id"] in told
    assert '- 10: require amount <= EUR 100.00 else most "at most {amount}"' in told
    assert re.search(r"\+ \d+: require amount <= EUR 200.00 else most", told)
    changed = {one["method"]: one["changed"] for one in item["permissions"]}
    assert changed == {"charge": False, "waive": True}
    assert [(one["name"], one["new"]) for one in item["uses"]] == [("credit_risk", True), ("invoices", False)]
    assert [one["name"] for one in item["schedules"]] == ["forgive"] and item["schedules"][0]["worst_gas"] > 0
    sayings = words(language, "review")
    assert sayings["replaces"].format(name="fees", version=2, replaces=1) in told
    assert sayings["new_call"].format(name="credit_risk") in told
    assert sayings["failing"].format(table="Fee", key="00ff", line=7) in told
    assert all(sentence["text"] in told for sentence in item["sentences"]) and len(item["sentences"]) > 10


def test_the_facts_are_the_same_in_every_language() -> None:
    english, chinese = (reviewed(language)[0] for language in LANGUAGES)
    assert english.pop("sentences") != chinese.pop("sentences")
    assert english == chinese


def test_nobody_signs_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    planning.agree("en", "Acme", yes=True)
    with pytest.raises(CommandFailed) as refused:
        planning.agree("en", "Acme", yes=False)
    assert refused.value.code is Exit.USAGE and "--yes" in refused.value.next_step
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    with pytest.raises(CommandFailed) as refused:
        planning.agree("en", "Acme", yes=False)
    assert refused.value.code is Exit.NOT_ALLOWED and "nothing was signed" in refused.value.text


@pytest.mark.parametrize("status", ["open", "accepted", "rejected", "withdrawn", "failed", "expired"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_end_of_a_plan_has_words(language: str, status: str) -> None:
    plan = {
        "status": status,
        "approving": [{"id": "c1", "name": "Acme"}],
        "quorum": 3,
        "contracts": [{"name": "fees", "active_from": 17 if status == "accepted" else None}],
    }
    told = planning.votes(plan, language)
    assert "Acme" in told and ("17" in told) == (status == "accepted")


def test_files_are_named_by_what_they_call_themselves(tmp_path: Path) -> None:
    one, two, tests = tmp_path / "a.contract", tmp_path / "b.contract", tmp_path / "t.contract"
    one.write_bytes(FIRST)
    two.write_bytes(SECOND)
    tests.write_bytes(b'tests for fees\n\ntest "x":\n    parties acme\n')
    assert _named([one]) == {"fees": FIRST}
    for files in ([one, two], [tests]):
        with pytest.raises(CommandFailed) as refused:
            _named(files)
        assert refused.value.code is Exit.USAGE
    two.write_bytes(b"contract ???\n")
    with pytest.raises(CommandFailed) as refused:
        _named([two])
    assert refused.value.code is Exit.FINDINGS and "b.contract:1" in refused.value.text


def test_s22_an_administrator_signs_second_or_another_governor() -> None:
    class People:
        def __init__(self, *roles: tuple[str, ...]) -> None:
            self.people = [type("P", (), {"roles": held})() for held in roles]

    with_admin = planning.act("vote", People(("governor",), ("company_admin",)))  # type: ignore[arg-type]
    without = planning.act("vote", People(("governor",), ("governor",)))  # type: ignore[arg-type]
    assert with_admin.roles == (("governor", "maker"), ("company_admin", "checker"))
    assert without.roles == (("governor", "maker"), ("governor", "checker"))
    assert (with_admin.contract, with_admin.gas) == ("governance", planning.GAS)
