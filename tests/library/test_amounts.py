"""Amounts and what limits them: F15, F21-F30, F36, F94, RK1. Every refusal names its rule."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

EUR = "EUR"
ROOT = "a" * 64


def two(company: str) -> list[str]:
    return [f"{company}-preparer", f"{company}-approver"]


def issue(world, number: str = "n1", **changed: Any) -> tuple[str, ...]:
    values = {
        "buyer": "maker", "number": number, "kind": "380", "net": [EUR, 100], "tax": [EUR, 19], "total": [EUR, 119],
        "issued": "2026-03-01", "due": "2026-03-31", "root": ROOT,
    } | changed  # fmt: skip
    return tuple(values.values())


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"buyer": "steel"}, "same_company"),
        ({"buyer": "nobody"}, "unknown_company"),
        ({"number": ""}, "F30"),
        ({"kind": ""}, "F32"),
        ({"root": "abc"}, "not_anchored"),
        ({"net": [EUR, -1]}, "negative_amount"),
        ({"tax": [EUR, -1]}, "negative_amount"),
        ({"total": [EUR, -1]}, "negative_amount"),
        ({"total": [EUR, 220]}, "F15"),
        ({"total": ["USD", 119]}, "currency_mismatch"),
        ({"net": [EUR, 2**63 - 1], "tax": [EUR, 2**63 - 1], "total": [EUR, 2**63 - 1]}, ""),
        ({"total": [EUR, 0]}, ""),
        ({"total": [EUR, 219]}, ""),
        ({"due": "2026-02-01"}, ""),
        ({"net": [EUR, 0], "tax": [EUR, 0], "total": [EUR, 0]}, ""),
    ],
)
def test_f15_f30_f32_what_may_be_issued(world, changed: dict[str, Any], refusal: str) -> None:
    outcome = world.call("invoices.issue", *issue(world, **changed), by=two("steel"))
    said = "" if outcome.abort is None else outcome.abort.reason or outcome.abort.code
    assert said == refusal, outcome.abort


def test_f30_a_number_is_used_once_by_each_seller_for_all_kinds_of_documents(world) -> None:
    world.do("invoices.issue", *issue(world), by=two("steel"))
    assert world.refused("invoices.issue", *issue(world), by=two("steel")).startswith("F30: ")
    world.do("invoices.issue", *issue(world), by=two("paper"))
    withdrawn = world.issue("n2")
    world.do("invoices.withdraw", withdrawn, by=two("steel"))
    assert world.refused("invoices.issue", *issue(world, "n2"), by=two("steel")).startswith("F30: ")
    credit = ("maker", "n1", [EUR, 1], [EUR, 0], [EUR, 1], "2026-03-04", "", ROOT)
    assert world.refused("invoices.credit", *credit, by=two("steel")).startswith("F30: ")


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({0: "paper"}, "AU4"),
        ({4: [EUR, 120], 2: [EUR, 120]}, "AU4"),
        ({2: [EUR, 0], 4: [EUR, 0]}, "no_amount"),
        ({2: ["USD", 50], 3: ["USD", 0], 4: ["USD", 50]}, "AU4"),
        ({6: "inv-unknown"}, "AU4"),
        ({7: ""}, "not_anchored"),
    ],
)
def test_au4_a_credit_note_fits_its_invoice(world, changed: dict[int, Any], refusal: str) -> None:
    invoice = world.accepted("n1", 119, 19)
    args: list[Any] = ["maker", "n2", [EUR, 50], [EUR, 0], [EUR, 50], "2026-03-04", invoice, ROOT]
    for place, value in changed.items():
        args[place] = value
    assert world.refused("invoices.credit", *args, by=two("steel")).startswith(f"{refusal}: ")
    assert world.refused("invoices.credit", *args, by=two("paper")).split(":")[0] in ("AU4", refusal)


def test_f26_a_credit_beyond_what_is_open_stays_open_itself(world) -> None:
    invoice = world.accepted("n1", 100)
    world.confirmed(invoice, 80)
    note = world.do(
        "invoices.credit", "maker", "n2", [EUR, 50], [EUR, 0], [EUR, 50], "2026-03-04", invoice, ROOT, by=two("steel")
    )
    assert world.row("invoices", "Invoice", invoice)["open"][1] == 0
    assert world.row("invoices", "Credit", note)["open"][1] == 30
    other = world.accepted("n3", 100)
    paper = world.accepted("n3", 100, seller="paper")
    dollars = world.accepted("n4", 100, ccy="USD")
    fresh = world.issue("n5", 100)
    for target, amount, reason in (
        (paper, [EUR, 10], "F26"),
        (dollars, [EUR, 10], "F26"),
        (dollars, ["USD", 10], "F26"),
        (fresh, [EUR, 10], "wrong_state"),
        (other, [EUR, 31], "F28"),
        (other, [EUR, 0], "F28"),
        (other, [EUR, -5], "F28"),
    ):
        refusal = world.refused("invoices.apply_credit", note, target, amount, by=["steel-preparer"])
        assert refusal.startswith(f"{reason}: "), refusal
    world.do("invoices.apply_credit", note, other, [EUR, 30], by=["steel-preparer"])
    assert world.row("invoices", "Invoice", other)["open"][1] == 70


def test_before_acceptance_a_credit_note_is_at_most_what_is_open(world) -> None:
    invoice = world.do("invoices.issue", *issue(world, total=[EUR, 19]), by=two("steel"))  # 100 were prepaid
    credit = ("maker", "n2", [EUR, 20], [EUR, 0], [EUR, 20], "2026-03-04", invoice, ROOT)
    assert world.refused("invoices.credit", *credit, by=two("steel")).startswith("AU4: before acceptance")


def test_f23_a_new_operation_uses_only_what_is_free(world) -> None:
    invoice = world.accepted("n1", 100)
    opposite = world.accepted("n2", 100, seller="maker", buyer="steel")
    world.do("invoices.dispute", invoice, [EUR, 30], "QUA", by=["maker-approver"])
    world.proposed(invoice, 50)
    both = [*two("steel"), *two("maker")]
    propose = ("steel", "bank", [EUR, 21], invoice, [EUR, 21])
    assert "EUR 0.20" in world.refused("payments.propose", *propose, by=two("maker"))
    assert world.refused("set_offs.set_off", invoice, opposite, [EUR, 21], by=both).startswith("F94: EUR 0.20")
    assert world.refused("invoices.write_off", invoice, [EUR, 21], "OTH", by=two("steel")).startswith("F23: ")
    world.do("set_offs.set_off", invoice, opposite, [EUR, 20], by=both)
    row = world.row("invoices", "Invoice", invoice)
    assert (row["open"][1], row["set_off"][1], row["held"][1], row["disputed"][1]) == (80, 20, 50, 30)


def test_f35_what_is_disputed_after_the_release_stays_open_and_the_money_waits(world) -> None:
    invoice = world.accepted("n1", 100)
    payment = world.released(invoice, 100)
    number = world.do("invoices.dispute", invoice, [EUR, 40], "QUA", by=["maker-approver"])
    world.do("payments.confirm", payment, "2026-03-10", "e1", by=two("bank"))
    row, paid = world.row("invoices", "Invoice", invoice), world.row("payments", "Payment", payment)
    assert (row["open"][1], row["disputed"][1], row["held"][1]) == (40, 40, 0)
    assert (paid["amount"][1], paid["allocated"][1]) == (100, 60)
    world.do("invoices.reject_dispute", number, by=["maker-approver"])
    world.do("payments.allocate", payment, invoice, [EUR, 40], by=["steel-preparer"])
    assert world.row("payments", "Line", payment, invoice)["allocated"][1] == 100


def test_a_credit_from_a_dispute_leaves_what_a_running_payment_reserved(world) -> None:
    invoice = world.accepted("n1", 100)
    payment = world.released(invoice, 80)
    number = world.do("invoices.dispute", invoice, [EUR, 40], "QUA", by=["maker-approver"])
    note = world.do(
        "invoices.resolve_dispute", number, "n2", [EUR, 40], [EUR, 0], [EUR, 40], "2026-03-06", ROOT,
        by=["maker-approver", *two("steel")],
    )  # fmt: skip
    assert world.row("invoices", "Credit", note)["open"][1] == 20
    world.do("payments.confirm", payment, "2026-03-10", "e1", by=two("bank"))
    assert world.row("invoices", "Invoice", invoice)["open"][1] == 0


def test_f37_the_same_statement_line_is_booked_once(world) -> None:
    first, second = (world.released(world.accepted(number, 100), 100) for number in ("n1", "n2"))
    world.do("payments.confirm", first, "2026-03-10", "line", by=two("bank"))
    assert world.refused("payments.confirm", second, "2026-03-10", "line", by=two("bank")).startswith("AU6: ")
    assert world.refused("payments.confirm", second, "2026-03-10", "", by=two("bank")).startswith("no_evidence: ")
    world.do("payments.acknowledge", second, "2026-03-10", "line", by=two("steel"))  # another company's statement


def test_f37_a_payment_carries_a_bounded_number_of_lines(world) -> None:
    invoices = [world.accepted(f"n{number}", 100) for number in range(25)]
    payment = world.proposed(invoices[0], 2500, 100)
    for invoice in invoices[1:24]:
        world.do("payments.plan", payment, invoice, [EUR, 100], by=two("maker"))
    refusal = world.refused("payments.plan", payment, invoices[24], [EUR, 100], by=two("maker"))
    assert refusal.startswith("too_many_lines: a payment has at most 24 lines")
    world.do("payments.release", payment, by=["maker-treasurer"])
    world.do("payments.confirm", payment, "2026-03-10", "e1", by=two("bank"))
    assert world.row("payments", "Payment", payment)["allocated"][1] == 2400
    assert "too_many_lines" in world.refused(
        "payments.allocate", payment, invoices[24], [EUR, 100], by=["steel-preparer"]
    )
    world.do("payments.return_payment", payment, "2026-03-12", "e2", by=two("bank"))
    assert {world.row("invoices", "Invoice", invoice)["open"][1] for invoice in invoices} == {100}


@pytest.mark.parametrize(
    ("args", "refusal"),
    [
        (("maker", "bank", [EUR, 10], "INV", [EUR, 10]), "same_company"),
        (("nobody", "bank", [EUR, 10], "INV", [EUR, 10]), "unknown_company"),
        (("paper", "bank", [EUR, 10], "INV", [EUR, 10]), "AU5"),
        (("steel", "maker", [EUR, 10], "INV", [EUR, 10]), "AU6"),
        (("steel", "bank", [EUR, 0], "INV", [EUR, 10]), "no_amount"),
        (("steel", "bank", [EUR, 10], "INV", [EUR, 11]), "F28"),
        (("steel", "bank", [EUR, 10], "INV", ["USD", 10]), "wrong_currency"),
        (("steel", "bank", ["USD", 10], "INV", ["USD", 10]), "wrong_currency"),
        (("steel", "bank", [EUR, 10], "", [EUR, 10]), "AU5"),
        (("steel", "bank", [EUR, 101], "INV", [EUR, 101]), "F23"),
        (("steel", "bank", [EUR, 101], "INV", [EUR, 100]), ""),
        (("steel", "bank", [EUR, 10], "", [EUR, 0]), ""),
    ],
)
def test_au5_what_may_be_proposed(world, args: tuple[Any, ...], refusal: str) -> None:
    invoice = world.accepted("n1", 100)
    args = tuple(invoice if value == "INV" else value for value in args)
    outcome = world.call("payments.propose", *args, by=two("maker"))
    said = "" if outcome.abort is None else outcome.abort.reason or outcome.abort.code
    assert said == refusal, outcome.abort


def test_f94_opposite_accepted_claims_of_one_pair_and_currency(world) -> None:
    first = world.accepted("n1", 100)
    same_way = world.accepted("n2", 100)
    dollars = world.accepted("n1", 100, seller="maker", buyer="steel", ccy="USD")
    stranger = world.accepted("n9", 100, seller="maker", buyer="paper")
    both = [*two("steel"), *two("maker")]
    for second, amount in ((same_way, EUR), (first, EUR), (dollars, EUR), (dollars, "USD"), (stranger, EUR)):
        assert world.refused("set_offs.set_off", first, second, [amount, 10], by=both).startswith("F94: ")
    assert world.rows("set_offs", "Agreement") == []


def test_rk1_the_limit_explains_itself_and_blocks_on_commit(world) -> None:
    officers = ["steel-risk_officer", "steel-approver"]
    world.do("credit_risk.set_limit", "maker", [EUR, 15000], "2026-06-30", by=officers)
    world.accepted("n1", 11900)
    assert [event.name for event in world.events if event.contract == "acceptance"] == []
    second = world.issue("n2", 3101)
    world.do("invoices.receive", second, by=["maker-preparer"])
    refusal = world.refused("acceptance.accept", second, by=two("maker"))
    assert refusal == "RK1: exposure EUR 150.01 > limit EUR 150.00"
    assert world.row("invoices", "Invoice", second)["document"] == "received"
    third = world.accepted("n3", 100, ccy="USD")  # no limit agreed in that currency
    world.confirmed(third, 100)
    world.do("credit_risk.freeze", "maker", EUR, by=["steel-risk_officer"])
    fourth = world.issue("n4", 1)
    world.do("invoices.receive", fourth, by=["maker-preparer"])
    assert world.refused("acceptance.accept", fourth, by=two("maker")).startswith("RK1: the credit limit of maker")
    world.do("credit_risk.set_limit", "maker", [EUR, 15001], "2026-06-30", by=officers)
    world.day = datetime.date(2026, 7, 1)
    assert "past its review date" in world.refused("acceptance.accept", second, by=two("maker"))
    world.day = datetime.date(2026, 6, 30)
    world.do("acceptance.accept", second, by=two("maker"))
    near = [event.fields for event in world.events if event.name == "LimitNear"]
    assert [tuple(fields["used"]) for fields in near] == [(EUR, 15001)]


def test_rk1_paid_and_set_off_amounts_free_the_limit(world) -> None:
    world.do("credit_risk.set_limit", "maker", [EUR, 100], "2026-06-30", by=["steel-risk_officer", "steel-approver"])
    world.confirmed(world.accepted("n1", 100), 60)
    world.accepted("n2", 60)
    assert world.row("invoices", "Owed", "steel", "maker", EUR)["amount"][1] == 100


def test_f34_reason_codes_are_a_closed_list(world) -> None:
    invoice = world.accepted("n1", 100)
    assert world.refused("invoices.dispute", invoice, [EUR, 1], "XXX", by=["maker-approver"]).startswith("F34: ")
    for code in ["NON", "REF", "LEG", "REC", "QUA", "DEL", "PRI", "QTY", "ITM", "PAY", "UNR", "FIN", "PPD", "OTH"]:
        world.do("invoices.dispute", invoice, [EUR, 1], code, by=["maker-approver"])


def test_unknown_ids_are_refused_without_a_trace(world) -> None:
    before = len(world.overlay.writes())
    for name, args in (
        ("invoices.receive", ("inv-x",)),
        ("acceptance.accept", ("inv-x",)),
        ("payments.release", ("pay-x",)),
        ("set_offs.set_off", ("inv-x", "inv-y", [EUR, 1])),
        ("invoices.reject_dispute", ("dsp-x",)),
    ):
        assert world.refused(name, *args, by=two("maker")).startswith("missing_row")
    assert len(world.overlay.writes()) == before
