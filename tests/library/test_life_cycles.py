"""Every life cycle as a table: legal steps pass, each other pair is refused naming machine and state (7.2-7.4)."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

EUR = "EUR"
ROOT = "a" * 64


def two(company: str) -> list[str]:
    return [f"{company}-preparer", f"{company}-approver"]


# -- INV: the document of an invoice (finance.md 7.2, F33) --

INV_STEPS = {
    ("issued", "receive"): "received",
    ("issued", "withdraw"): "withdrawn",
    ("received", "start"): "in_process",
    ("received", "query"): "under_query",
    ("received", "reject"): "rejected",
    ("received", "accept"): "accepted",
    ("received", "cancel"): "cancelled",
    ("in_process", "query"): "under_query",
    ("in_process", "reject"): "rejected",
    ("in_process", "accept"): "accepted",
    ("in_process", "cancel"): "cancelled",
    ("under_query", "answer"): "in_process",
    ("under_query", "reject"): "rejected",
    ("under_query", "cancel"): "cancelled",
    ("accepted", "cancel"): "accepted",  # a full credit after acceptance acts on the balance only
}
INV_PATHS = {
    "issued": [],
    "received": ["receive"],
    "in_process": ["receive", "start"],
    "under_query": ["receive", "query"],
    "accepted": ["receive", "accept"],
    "rejected": ["receive", "reject"],
    "withdrawn": ["withdraw"],
    "cancelled": ["receive", "cancel"],
}
INV_EVENTS = ("receive", "start", "query", "answer", "reject", "withdraw", "accept", "cancel")


def inv_call(event: str, invoice: str) -> tuple[str, tuple[Any, ...], list[str]]:
    full = ("maker", "credit of it", [EUR, 100], [EUR, 19], [EUR, 119], "2026-03-04", invoice, ROOT)
    return {
        "receive": ("invoices.receive", (invoice,), ["maker-preparer"]),
        "start": ("invoices.start", (invoice,), ["maker-preparer"]),
        "query": ("invoices.query_", (invoice, "PRI", "CNP"), ["maker-preparer"]),
        "answer": ("invoices.answer", (invoice,), ["steel-preparer"]),
        "reject": ("invoices.reject", (invoice, "QUA"), ["maker-approver"]),
        "withdraw": ("invoices.withdraw", (invoice,), two("steel")),
        "accept": ("acceptance.accept", (invoice,), two("maker")),
        "cancel": ("invoices.credit", full, two("steel")),
    }[event]


@pytest.mark.parametrize("state", sorted(INV_PATHS))
def test_inv_each_pair_of_state_and_event(new_world, state: str) -> None:
    for event in INV_EVENTS:
        world = new_world()
        invoice = world.issue("n1", 119, 19)
        for step in INV_PATHS[state]:
            name, args, by = inv_call(step, invoice)
            world.do(name, *args, by=by)
        assert world.row("invoices", "Invoice", invoice)["document"] == state
        name, args, by = inv_call(event, invoice)
        expected = INV_STEPS.get((state, event))
        if expected is None:
            refusal = world.refused(name, *args, by=by)
            assert refusal.startswith("wrong_state: ")
            assert state in refusal or "not yet received" in refusal
            assert ("CRN" if event == "cancel" else "INV") in refusal or "not yet received" in refusal
        else:
            world.day += datetime.timedelta(days=1)
            world.do(name, *args, by=by)
        row = world.row("invoices", "Invoice", invoice)
        assert row["document"] == (expected or state)
        if expected not in (None, state):
            assert row["since"] == "2026-03-06"


def test_inv_the_tables_speak_of_the_same_states(linked) -> None:
    assert set(INV_PATHS) == set(linked.interfaces["invoices"].enums["Document"])


# -- DSP: a dispute (finance.md 7.3) --

DSP_STEPS = {
    ("opened", "evidence"): "evidence",
    ("opened", "uphold"): "upheld",
    ("opened", "settle"): "settled",
    ("opened", "reject"): "rejected",
    ("opened", "lapse"): "lapsed",
    ("evidence", "uphold"): "upheld",
    ("evidence", "settle"): "settled",
    ("evidence", "reject"): "rejected",
}
DSP_PATHS = {
    "opened": [],
    "evidence": ["evidence"],
    "upheld": ["uphold"],
    "settled": ["settle"],
    "rejected": ["reject"],
    "lapsed": ["lapse"],
}
DSP_EVENTS = ("evidence", "uphold", "settle", "reject", "lapse")


def dsp_call(event: str, dispute: str, turn: int) -> tuple[str, tuple[Any, ...], list[str]]:
    def credit(minor: int) -> tuple[Any, ...]:
        return (dispute, f"credit {turn}", [EUR, minor], [EUR, 0], [EUR, minor], "2026-03-04", ROOT)

    both = ["maker-approver", *two("steel")]
    return {
        "evidence": ("invoices.add_evidence", (dispute, "e" * 64), ["steel-preparer"]),
        "uphold": ("invoices.resolve_dispute", credit(40), both),
        "settle": ("invoices.resolve_dispute", credit(30), both),
        "reject": ("invoices.reject_dispute", (dispute,), ["maker-approver"]),
        "lapse": ("invoices.lapse_dispute", (dispute,), ["paper-preparer"]),
    }[event]


@pytest.mark.parametrize("state", sorted(DSP_PATHS))
def test_dsp_each_pair_of_state_and_event(new_world, state: str) -> None:
    for event in DSP_EVENTS:
        world = new_world()
        invoice = world.accepted("n1", 119, 19)
        dispute = world.do("invoices.dispute", invoice, [EUR, 40], "QUA", by=["maker-approver"])
        world.day += datetime.timedelta(days=31)
        for turn, step in enumerate(DSP_PATHS[state]):
            name, args, by = dsp_call(step, dispute, turn)
            world.do(name, *args, by=by)
        name, args, by = dsp_call(event, dispute, 9)
        expected = DSP_STEPS.get((state, event))
        if expected is None:
            refusal = world.refused(name, *args, by=by)
            assert refusal.startswith(f"wrong_state: DSP: {dispute} is {state}")
        else:
            world.do(name, *args, by=by)
        after = expected or state
        assert world.row("invoices", "Dispute", dispute)["state"] == after
        row = world.row("invoices", "Invoice", invoice)
        assert row["disputed"][1] == (40 if after in ("opened", "evidence") else 0)
        assert row["open"][1] == {"upheld": 79, "settled": 89}.get(after, 119)


@pytest.mark.parametrize(
    "path", [p for s, p in INV_PATHS.items() if s != "accepted"], ids=lambda p: "-".join(p) or "issued"
)
def test_dsp_only_an_accepted_invoice_is_disputed(world, path: list[str]) -> None:
    invoice = world.issue("n1", 119, 19)
    for step in path:
        name, args, by = inv_call(step, invoice)
        world.do(name, *args, by=by)
    assert "DSP" in world.refused("invoices.dispute", invoice, [EUR, 1], "QUA", by=["maker-approver"])


# -- CRN: a credit note (finance.md 7.3) --


def test_crn_issued_applied_unapplied_reversed(world) -> None:
    invoice = world.accepted("n1", 119, 19)
    note = world.do(
        "invoices.credit", "maker", "n2", [EUR, 10], [EUR, 0], [EUR, 10], "2026-03-04", "", ROOT, by=two("steel")
    )
    world.do("invoices.apply_credit", note, invoice, [EUR, 4], by=["steel-preparer"])
    assert "still_applied" in world.refused("invoices.reverse_credit", note, by=two("steel"))
    world.do("invoices.unapply_credit", note, invoice, [EUR, 4], by=two("steel"))
    world.do("invoices.reverse_credit", note, by=two("steel"))
    assert world.row("invoices", "Credit", note)["state"] == "reversed"
    for name, args in (
        ("invoices.reverse_credit", (note,)),
        ("invoices.apply_credit", (note, invoice, [EUR, 4])),
    ):
        assert world.refused(name, *args, by=two("steel")).startswith(f"wrong_state: CRN: {note} is reversed")
    links = [row["amount"][1] for row in world.rows("invoices", "Allocation")]
    assert sorted(links) == [-4, 4]  # F27: nothing is changed or removed


def test_crn_a_reversed_credit_frees_the_invoice_for_another_one(world) -> None:
    invoice = world.accepted("n1", 100)
    world.confirmed(invoice, 100)

    def credit(number: str) -> tuple[Any, ...]:
        return ("maker", number, [EUR, 60], [EUR, 0], [EUR, 60], "2026-03-04", invoice, ROOT)

    note = world.do("invoices.credit", *credit("n2"), by=two("steel"))
    assert world.refused("invoices.credit", *credit("n3"), by=two("steel")).startswith("AU4: ")
    world.do("invoices.reverse_credit", note, by=two("steel"))
    world.do("invoices.credit", *credit("n3"), by=two("steel"))


# -- PAY: a payment (finance.md 7.4, mode B) --

PAY_STEPS = {
    ("proposed", "plan"): "proposed",
    ("proposed", "release"): "released",
    ("proposed", "fail"): "failed",
    ("proposed", "expire"): "timed_out",
    ("released", "confirm"): "confirmed",
    ("released", "acknowledge"): "confirmed",
    ("released", "fail"): "failed",
    ("released", "expire"): "timed_out",
    ("confirmed", "allocate"): "confirmed",
    ("confirmed", "deallocate"): "confirmed",
    ("confirmed", "return"): "returned",
    ("reconciled", "return"): "returned",
}
PAY_PATHS = {
    "proposed": [],
    "released": ["release"],
    "confirmed": ["release", "confirm"],
    "reconciled": ["release", "confirm", "allocate", "reconcile"],
    "failed": ["release", "fail"],
    "timed_out": ["expire"],
    "returned": ["release", "confirm", "return"],
}
PAY_EVENTS = (
    "plan", "release", "confirm", "acknowledge", "allocate", "deallocate", "reconcile", "fail", "expire", "return",
)  # fmt: skip


def pay_call(event: str, payment: str, first: str, second: str) -> tuple[str, tuple[Any, ...], list[str]]:
    return {
        "plan": ("payments.plan", (payment, second, [EUR, 20]), two("maker")),
        "release": ("payments.release", (payment,), ["maker-treasurer"]),
        "confirm": ("payments.confirm", (payment, "2026-03-10", f"{event} line"), two("bank")),
        "acknowledge": ("payments.acknowledge", (payment, "2026-03-10", f"{event} line"), two("steel")),
        "allocate": ("payments.allocate", (payment, second, [EUR, 20]), ["steel-preparer"]),
        "deallocate": ("payments.deallocate", (payment, first), two("steel")),
        "reconcile": ("payments.reconcile", (payment, "a", "b"), ["maker-preparer"]),
        "fail": ("payments.fail", (payment, "NSF"), ["bank-approver"]),
        "expire": ("payments.expire", (payment,), ["paper-preparer"]),
        "return": ("payments.return_payment", (payment, "2026-03-12", f"{event} line"), two("bank")),
    }[event]


@pytest.mark.parametrize("state", sorted(PAY_PATHS))
def test_pay_each_pair_of_state_and_event(new_world, state: str) -> None:
    for event in PAY_EVENTS:
        world = new_world()
        first, second = world.accepted("n1", 100), world.accepted("n2", 50)
        payment = world.proposed(first, 100, 80)
        world.day += datetime.timedelta(days=31)
        for step in PAY_PATHS[state]:
            name, args, by = pay_call(step, payment, first, second)
            world.do(name, *args, by=by)
        assert world.row("payments", "Payment", payment)["phase"] == state
        name, args, by = pay_call(event, payment, first, second)
        if event in ("confirm", "acknowledge", "return"):
            args = (*args[:2], "a line of its own")
        expected = PAY_STEPS.get((state, event))
        if expected is None:
            refusal = world.refused(name, *args, by=by)
            assert refusal.startswith("wrong_state: PAY: ")
            assert payment in refusal
        else:
            world.do(name, *args, by=by)
        assert world.row("payments", "Payment", payment)["phase"] == (expected or state)
        held = sum(row["held"][1] for row in world.rows("invoices", "Invoice"))
        assert held == sum(row["amount"][1] for row in world.rows("invoices", "Hold"))
        if (expected or state) not in ("proposed", "released"):
            assert held == 0


def test_pay_reconciled_needs_every_cent_allocated(world) -> None:
    invoice = world.accepted("n1", 100)
    payment = world.confirmed(invoice, 100)
    world.do("payments.reconcile", payment, "a", "b", by=["steel-preparer"])
    assert world.row("payments", "Payment", payment)["phase"] == "reconciled"


def test_pay_the_tables_speak_of_the_same_states(linked) -> None:
    assert set(PAY_PATHS) == set(linked.interfaces["payments"].enums["Phase"])
    assert set(DSP_PATHS) == set(linked.interfaces["invoices"].enums["CaseState"])
