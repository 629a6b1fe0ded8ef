"""Who signs what (AU1-AU6, AU14, AU17, F10): every needed signature missing once, and replaced by another company's."""

from __future__ import annotations

from typing import Any

import pytest

EUR = "EUR"
ROOT = "a" * 64
OTHERS = {"maker": "steel", "steel": "maker", "bank": "paper"}


def two(company: str) -> list[str]:
    return [f"{company}-preparer", f"{company}-approver"]


def call_of(world, action: str) -> tuple[str, tuple[Any, ...], list[str]]:
    """Bring a world to where `action` is possible; return the call with exactly the signatures it needs."""
    amounts = ([EUR, 10], [EUR, 0], [EUR, 10])
    match action:
        case "AU1 issue":
            return "invoices.issue", ("maker", "n1", "380", *amounts, "2026-03-01", "2026-03-31", ROOT), two("steel")
        case "AU2 accept":
            invoice = world.issue("n1")
            world.do("invoices.receive", invoice, by=["maker-preparer"])
            return "acceptance.accept", (invoice,), two("maker")
        case "AU2 receive":
            return "invoices.receive", (world.issue("n1"),), ["maker-preparer"]
        case "AU2 reject":
            invoice = world.issue("n1")
            world.do("invoices.receive", invoice, by=["maker-preparer"])
            return "invoices.reject", (invoice, "QUA"), ["maker-approver"]
        case "AU1 withdraw":
            return "invoices.withdraw", (world.issue("n1"),), two("steel")
        case "AU3 dispute":
            return "invoices.dispute", (world.accepted("n1"), [EUR, 10], "QUA"), ["maker-approver"]
        case "AU3 resolve":
            number = world.do("invoices.dispute", world.accepted("n1"), [EUR, 10], "QUA", by=["maker-approver"])
            arguments = (number, "n2", *amounts, "2026-03-04", ROOT)
            return "invoices.resolve_dispute", arguments, ["maker-approver", *two("steel")]
        case "AU4 credit":
            return "invoices.credit", ("maker", "n2", *amounts, "2026-03-04", "", ROOT), two("steel")
        case "AU4 write-off":
            return "invoices.write_off", (world.accepted("n1"), [EUR, 10], "OTH"), two("steel")
        case "AU5 propose":
            arguments = ("steel", "bank", [EUR, 10], world.accepted("n1"), [EUR, 10])
            return "payments.propose", arguments, two("maker")
        case "AU5 release":
            return "payments.release", (world.proposed(world.accepted("n1"), 10),), ["maker-treasurer"]
        case "AU6 confirm":
            return "payments.confirm", (world.released(world.accepted("n1"), 10), "2026-03-10", "e1"), two("bank")
        case "AU6 acknowledge":
            arguments = (world.released(world.accepted("n1"), 10), "2026-03-10", "e1")
            return "payments.acknowledge", arguments, two("steel")
        case "AU6 return":
            return (
                "payments.return_payment",
                (world.confirmed(world.accepted("n1"), 10), "2026-03-12", "e2"),
                two("bank"),
            )
        case "AU14 set limit":
            return "credit_risk.set_limit", ("maker", [EUR, 10], "2026-12-31"), ["steel-risk_officer", "steel-approver"]
        case "AU17 set-off":
            first = world.accepted("n1", 100)
            second = world.accepted("n2", 100, seller="maker", buyer="steel")
            return "set_offs.set_off", (first, second, [EUR, 10]), [*two("steel"), *two("maker")]
    raise AssertionError(action)


ACTIONS = (
    "AU1 issue", "AU1 withdraw", "AU2 receive", "AU2 reject", "AU2 accept", "AU3 dispute", "AU3 resolve", "AU4 credit",
    "AU4 write-off", "AU5 propose", "AU5 release", "AU6 confirm", "AU6 acknowledge", "AU6 return", "AU14 set limit",
    "AU17 set-off",
)  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS)
def test_the_needed_signatures_and_none_less(new_world, action: str) -> None:
    world = new_world()
    name, args, needed = call_of(world, action)
    for missing in needed:
        rest = [user for user in needed if user != missing]
        if rest:
            assert world.refused(name, *args, by=rest).startswith("deny"), (action, missing)
        company, _, role = missing.partition("-")
        stranger = f"{OTHERS[company]}-{role}"
        if stranger not in needed and not action.startswith(("AU1 issue", "AU4 credit", "AU14", "AU5 propose")):
            assert world.refused(name, *args, by=[*rest, stranger]).startswith("deny"), (action, stranger)
    world.do(name, *args, by=needed)


def test_f10_s61_whoever_prepared_a_payment_does_not_release_it(new_world) -> None:
    world = new_world()
    invoice = world.accepted("n1", 100)
    payment = world.proposed(invoice, 100)
    assert world.row("payments", "Payment", payment)["proposer"] == "maker-preparer"
    for user in ("maker-preparer", "maker-approver", "steel-treasurer", "bank-treasurer"):
        assert world.refused("payments.release", payment, by=[user]).startswith("deny")


def test_only_the_named_contracts_move_balances(world) -> None:
    invoice = world.accepted("n1", 100)
    for method, args in (
        ("mark_accepted", (invoice,)),
        ("hold", (invoice, "pay-1", [EUR, 10], "2026-12-31")),
        ("release_hold", (invoice, "pay-1")),
        ("pay_held", (invoice, "pay-1", "2026-03-05")),
        ("apply_payment", (invoice, "pay-1", [EUR, 10], "2026-03-05")),
        ("take_back", (invoice, "pay-1", [EUR, 10], "2026-03-05")),
        ("apply_set_off", (invoice, "set-1", [EUR, 10], "2026-03-05")),
    ):
        refusal = world.refused(f"invoices.{method}", *args, by=[*two("steel"), *two("maker")])
        assert refusal.startswith("by_contract: "), refusal


def test_a_bank_without_the_role_settles_nothing(world) -> None:
    invoice = world.accepted("n1", 100)
    arguments = ("steel", "paper", [EUR, 10], invoice, [EUR, 10])
    assert world.refused("payments.propose", *arguments, by=two("maker")).startswith("AU6: ")
