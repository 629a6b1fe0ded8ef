"""State names, event names and fields: the contract sources are the authority, `finance` keeps its own (F2)."""

from __future__ import annotations

import pytest

from contracts.library import ORDER, sources
from contracts.limits import TX_GAS
from finance.openitems import DOCUMENTS, SOURCES
from finance.postings import BLOCK_DAY, ROUNDING_MOST, default_templates


def test_f2_enums_are_those_of_the_contracts(linked) -> None:
    enums = linked.interfaces["invoices"].enums
    assert tuple(enums["Document"]) == DOCUMENTS
    assert tuple(enums["Source"]) == SOURCES


def test_f2_templates_name_real_events_and_fields(linked) -> None:
    for posting in default_templates().postings:
        contract, _, name = posting.event.partition(".")
        fields = {field.name: field.kind for field in linked.interfaces[contract].events[name].fields}
        assert fields[posting.company] == fields[posting.partner] == "party", posting.id
        assert fields[posting.document] == "text"
        assert not posting.about or fields[posting.about] == "text"
        assert posting.date == BLOCK_DAY or fields[posting.date] == "date"
        for line in posting.lines:
            parts = {
                "prepaid": ("net", "tax", "total"),
                "rounding": ("net", "tax", "total"),
                "rest": ("amount", "allocated"),
            }
            for part in parts.get(line.amount, (line.amount,)):
                assert fields[part] == "money", (posting.id, part)
            assert not line.reference or fields[line.reference] == "text"


def test_every_money_event_is_booked_by_both_sides_or_neither(linked) -> None:
    booked: dict[str, int] = {}
    for posting in default_templates().postings:
        booked[posting.event] = booked.get(posting.event, 0) + 1
    alone = {"invoices.Issued", "invoices.Accepted", "invoices.Rejected", "invoices.Withdrawn"}
    assert {event for event, sides in booked.items() if sides == 1} == alone
    assert {sides for event, sides in booked.items() if event not in alone} == {2}


def test_the_rounding_bound_of_contract_and_books_is_one_number() -> None:
    source = dict(sources())["invoices"].decode("ascii")
    assert f"const rounding_most = {ROUNDING_MOST}\n" in source


def test_every_event_names_its_companies(linked) -> None:
    """L41: a company sees what names it in a `party` field."""
    for interface in linked.interfaces.values():
        for name, event in interface.events.items():
            assert sum(field.kind == "party" for field in event.fields) >= 2, name


@pytest.mark.parametrize("name", [name for name, _ in ORDER])
def test_g5_no_action_can_exceed_the_limits_of_a_transaction(linked, name: str) -> None:
    for method in (*linked.interfaces[name].actions.values(), *linked.interfaces[name].queries.values()):
        assert method.worst_gas <= TX_GAS // 2


def test_f3_no_free_text_and_no_names_in_state(linked) -> None:
    """Control fields only: texts are ids, codes, keys and hashes, none longer than 64 characters."""
    for interface in linked.interfaces.values():
        for table in interface.tables.values():
            for field in table.fields:
                assert field.kind != "text" or field.spec.size <= 64


@pytest.mark.parametrize(("name", "source"), sources())
def test_sources_are_plain_and_short_lines(name: str, source: bytes) -> None:
    assert source.endswith(b"\n")
    assert all(byte == 10 or 32 <= byte <= 126 for byte in source)
    assert source.count(b"\ntest ") >= 2 or name == "set_offs"
