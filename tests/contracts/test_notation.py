"""Values as an author writes them: what a trace or a finding shows can be put into a test."""

from __future__ import annotations

from contracts.kit import observe
from contracts.kit.explore import explore
from contracts.notation import Notation
from contracts.runtime import load
from contracts.testing import party_id, run_tests
from ledger.money import ISO_4217

SOURCE = b"""contract shown version 1

enum Kind: rent, repairs
record Share: owner: party, weight: int

table Deal key id: text(8):
    kind: Kind, amount: money, late_rate: rate(4), shares: list(Share, 2), ended: date?, owner: party, open: bool

event Kept: id: text(8), owner: party, amount: money

action keep(id: text(8), kind: Kind, amount: money, late_rate: rate(4), shares: list(Share, 2), ended: date?) by anyone:
    insert Deal(id = id, kind = kind, amount = amount, late_rate = late_rate, shares = shares, ended = ended,
                owner = caller, open = true)
    let deal = Deal[id]
    var seen: map(party, int, 2) = {}
    for part in deal.shares:
        seen[part.owner] = part.weight
    emit Kept(id = id, owner = deal.owner, amount = amount)
    ensure amount >= zero else "an amount is not negative"

test "kept":
    parties acme, beta
    as acme role preparer:
        keep("\\"b\\" {{c}}", Kind.rent, EUR 5.00, 2.5%, [Share(owner = beta, weight = 2)], none)
    expect Deal["\\"b\\" {{c}}"].open

test "another amount was announced":
    parties acme
    as acme role preparer:
        keep("d", Kind.rent, EUR 5.00, 2.5%, [], 2026-03-05)
    expect emitted Kept(amount = EUR 6.00)
"""


def test_a_trace_shows_rows_lists_maps_and_names_as_they_are_written() -> None:
    _, entries = observe.trace(SOURCE, [], ISO_4217, "kept")
    shown = {local for entry in entries for local in entry.locals}
    share = "Share(owner = beta, weight = 2)"
    assert ("id", '"\\"b\\" {{c}}"') in shown
    assert {("kind", "Kind.rent"), ("amount", "EUR 5.00"), ("shares", f"[{share}]")} <= shown
    assert ("seen", "{}") in shown
    row = (
        f'Deal(id = "\\"b\\" {{{{c}}}}", kind = Kind.rent, amount = EUR 5.00, late_rate = 0.0250, shares = [{share}], '
        "ended = none, owner = acme, open = true)"
    )
    assert ("deal", row) in shown


def test_a_failing_test_names_companies_by_their_names() -> None:
    report = run_tests(SOURCE, [], ISO_4217)
    assert [result.problem for result in report.results] == [
        "",
        'no such Kept: the last one is id = "d", owner = acme, amount = EUR 5.00',
    ]


def test_a_finding_is_a_call_that_a_test_can_make() -> None:
    finding = next(item for item in explore(SOURCE, [], ISO_4217, 1, 60).findings if item.code == "ensure_failed")
    assert finding.call.startswith('keep("')
    assert ", -EUR " in finding.call or ", -JPY " in finding.call
    again = SOURCE[: SOURCE.index(b'\ntest "')] + (
        b'\ntest "again":\n    parties acme, beta, hub\n'
        + b"".join(f"    as acme role preparer:\n        {call}\n".encode() for call in finding.calls)
        + f"    as acme role preparer:\n        expect abort ensure_failed: {finding.call}\n".encode()
    )
    assert [result.problem for result in run_tests(again, [], ISO_4217).results] == [""]


def test_types_of_another_contract_carry_its_name() -> None:
    code = load(SOURCE, {}, ISO_4217)
    param = code.interface.actions["keep"].params[1].spec
    assert Notation("other", {"shown": code.interface}, ISO_4217).value(param, "rent") == "shown.Kind.rent"
    mine = Notation("shown", {"shown": code.interface}, ISO_4217, {party_id("acme"): "acme"})
    params = code.interface.actions["keep"].params
    args = ("x", "rent", ("EUR", -5), 250, ((party_id("acme"), 1),), "2026-01-01")
    assert mine.call("shown", "keep", params, args) == (
        'shown.keep("x", Kind.rent, -EUR 0.05, 0.0250, [Share(owner = acme, weight = 1)], 2026-01-01)'
    )
