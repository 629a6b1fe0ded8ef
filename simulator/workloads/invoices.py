"""Companies invoice each other with the real library contracts: issue, receive, accept, dispute, credit, pay (M25).

Each invoice is a small story. The next act of a running story is preferred to a new one, so stories end; some acts
come twice or out of order on purpose (`conflict`), and their failed receipts are part of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

from ledger.receipt import STATUS_OK, Receipt
from simulator.errors import InvalidScenario
from simulator.league import START_MS, Firm
from simulator.workloads.base import Call, Trade

FIRST_DAY = date(1970, 1, 1) + timedelta(milliseconds=START_MS)


@dataclass(slots=True)
class Story:
    """One invoice on its way. `bank` confirms the payment."""

    seller: Firm
    buyer: Firm
    bank: Firm
    currency: str
    total: int
    number: str
    plan: list[str]
    invoice: str = ""
    payment: str = ""
    dispute: str = ""


class Invoices(Trade):
    name = "invoices"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        if len(self.league.firms) < 2:
            raise InvalidScenario("workload.kind", "invoices need at least two companies")
        self._ready: list[Story] = []
        self._numbers = 0
        self.stories = 0

    def next_call(self) -> Call:
        self._ready = [story for story in self._ready if story.plan]
        if self._ready and self.rng.below(4):
            story = self._ready.pop(self.rng.below(len(self._ready)))
            if self.rng.chance(self.conflict_ppm):
                self._ready.append(story)  # the same act again: one of the two must fail
            return self._act(story, story.plan[0])
        return self._act(self._new(), "issue")

    def receipt(self, call: Call, receipt: Receipt) -> None:
        story, act = call.note
        if not story.plan or story.plan[0] != act:
            return
        if receipt.status != STATUS_OK:
            story.plan.clear()  # a refused act ends the story; the ledger shows where it stands
            return
        result = str(receipt.result or "")  # at fidelity `abstract` calls have no results
        if act == "issue":
            story.invoice = result
        elif act == "propose":
            story.payment = result
        elif act == "dispute":
            story.dispute = result
        del story.plan[0]
        if story.plan:
            self._ready.append(story)

    def _new(self) -> Story:
        firms = self.rng.sample(self.league.firms, 3)
        seller, buyer = firms[0], firms[1]
        bank = firms[2] if len(firms) > 2 else firms[0]
        self._numbers += 1
        self.stories += 1
        plan = self.rng.choice(
            (
                ["issue", "receive", "accept", "propose", "release", "confirm"],
                ["issue", "receive", "accept", "credit"],
                ["issue", "receive", "accept", "dispute", "reject_dispute"],
                ["issue", "receive", "reject"],
                ["issue", "withdraw"],
            )
        )
        number = sha256(f"{seller.name}/{self._numbers}".encode()).hexdigest()
        total = self.rng.between(1, 5_000_000)
        return Story(seller, buyer, bank, self.rng.choice(("CNY", "EUR", "JPY")), total, number, list(plan))

    def _act(self, story: Story, act: str) -> Call:
        seller, buyer, bank = story.seller, story.buyer, story.bank
        money = [story.currency, story.total]
        none = [story.currency, 0]
        day = FIRST_DAY.isoformat()
        due = (FIRST_DAY + timedelta(days=30)).isoformat()
        root = story.number
        half = [story.currency, max(1, story.total // 2)]
        contract, method, args, firm, signers = {
            "issue": (
                "invoices", "issue",
                (buyer.company_id, story.number, "380", money, none, money, day, due, root),
                seller, self.maker_and_checker(seller),
            ),
            "receive": ("invoices", "receive", (story.invoice,), buyer, self._one(buyer, "preparer")),
            "reject": ("invoices", "reject", (story.invoice, "QUA"), buyer, self._one(buyer, "approver")),
            "withdraw": ("invoices", "withdraw", (story.invoice,), seller, self.maker_and_checker(seller)),
            "accept": ("acceptance", "accept", (story.invoice,), buyer, self.maker_and_checker(buyer)),
            "dispute": ("invoices", "dispute", (story.invoice, half, "PRI"), buyer, self._one(buyer, "approver")),
            "reject_dispute": ("invoices", "reject_dispute", (story.dispute,), buyer, self._one(buyer, "approver")),
            "credit": (
                "invoices", "credit",
                (buyer.company_id, sha256(root.encode()).hexdigest(), half, none, half, day, story.invoice, root),
                seller, self.maker_and_checker(seller),
            ),
            "propose": (
                "payments", "propose",
                (seller.company_id, bank.company_id, money, story.invoice, money),
                buyer, self.maker_and_checker(buyer),
            ),
            "release": ("payments", "release", (story.payment,), buyer, self._one(buyer, "treasurer")),
            "confirm": (
                "payments", "confirm", (story.payment, day, sha256(story.payment.encode()).hexdigest()),
                bank, self.maker_and_checker(bank),
            ),
        }[act]  # fmt: skip
        return Call(contract, method, args, signers, firm, note=(story, act))

    @staticmethod
    def _one(firm: Firm, role: str) -> Any:
        return ((firm.staff[role], "maker"),)
