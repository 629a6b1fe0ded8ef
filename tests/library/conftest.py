"""Four companies whose people call the library contracts through the real engine, host and access decision.

A `World` is the state of a small network without blocks: each call is one transaction in one layer of an overlay,
kept or dropped as a whole, exactly as `ledger.transition` does it.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from contracts.host import Outcome
from contracts.library import sources
from contracts.runtime import Program, program
from finance.books import LedgerEvent
from ledger.block import Header
from ledger.codec import encode
from ledger.money import ISO_4217
from ledger.registry.lookup import company_key, user_key
from ledger.registry.records import Company, RootPolicy, User
from ledger.state import MemoryState, Overlay
from ledger.transaction import SignerRef, TxBody, unsigned
from ledger.transition import TransactionHost

COMPANIES = {
    "maker": ("trader", "core_enterprise"),
    "steel": ("trader",),
    "paper": ("trader",),
    "bank": ("trader", "settlement_bank", "financier"),
}
PEOPLE = ("preparer", "approver", "treasurer", "risk_officer")
GAS = 200_000
BLANK = Header(
    version=1, chain_id=bytes(32), epoch=0, height=0, parent_id=bytes(32), tx_root=bytes(32), tx_count=1, size_bytes=0,
    time_ms=0, proposer=0, exec_height=0, exec_root=bytes(32), members_hash=bytes(32), next_members_hash=bytes(32),
    evidence_root=bytes(32), last_cert_height=0, last_cert_hash=bytes(32), params_hash=bytes(32),
)  # fmt: skip


class World:
    """`call` runs one action; `rows` and `events` are what a node would hand to `finance`."""

    def __init__(self, linked: Program) -> None:
        self.program = linked
        rows = {}
        for company, roles in COMPANIES.items():
            record = Company(company, "active", roles, RootPolicy(1, (bytes(32),)), (), bytes(32), 0, 1)
            rows[company_key(company)] = encode(record)
            for role in PEOPLE:
                user = f"{company}-{role}"
                key = user.encode().ljust(32, b".")
                rows[user_key(user)] = encode(User(user, company, (role,), key, 0, "active"))
        self.overlay = Overlay(MemoryState(rows, {}, 0, bytes(32), bytes(32)))
        self.height = 0
        self.day = datetime.date(2026, 3, 5)
        self.events: list[LedgerEvent] = []
        self.last: Outcome | None = None

    def call(self, name: str, *args: Any, by: Sequence[str]) -> Outcome:
        """Run `contract.method` signed by these users, in order, in a block of its own."""
        contract, _, method = name.partition(".")
        self.height += 1
        refs = tuple(SignerRef(user, "maker", user.partition("-")[0]) for user in by)
        body = TxBody(1, refs, self.height, self.height + 10, contract, method, args, GAS)
        tx = unsigned(body, self.height.to_bytes(32, "big"))
        time_ms = (self.day.toordinal() - datetime.date(1970, 1, 1).toordinal()) * 86_400_000
        header = replace(BLANK, height=self.height, time_ms=time_ms)
        host = TransactionHost(self.overlay, tx, header, self.day.toordinal() - 1)
        self.overlay.begin()
        outcome = self.program.execute(contract, method, args, host, GAS)
        if outcome.abort is not None:
            self.overlay.rollback()
            return outcome
        self.overlay.commit()
        for number, event in enumerate(outcome.events):
            fields = self.program.interfaces[event.contract].decode_event(event.name, event.fields)
            self.events.append(
                LedgerEvent(
                    cursor=f"{self.height}.0.{number}", height=self.height, day=self.day.isoformat(),
                    contract=event.contract, name=event.name, fields=fields,
                )
            )  # fmt: skip
        return outcome

    def do(self, name: str, *args: Any, by: Sequence[str]) -> Any:
        """Run an action that must succeed; return its result."""
        outcome = self.call(name, *args, by=by)
        assert outcome.abort is None, (name, outcome.abort)
        return outcome.result

    def refused(self, name: str, *args: Any, by: Sequence[str]) -> str:
        """Run an action that must be refused; return `code or reason: text`."""
        outcome = self.call(name, *args, by=by)
        assert outcome.abort is not None, name
        return f"{outcome.abort.reason or outcome.abort.code}: {outcome.abort.text}"

    def rows(self, contract: str, table: str) -> list[dict[str, Any]]:
        interface = self.program.interfaces[contract]
        low, high = interface.table_range(table)
        keys = self.overlay.scan(low, high, 100_000)
        return [dict(interface.decode_row(table, self.overlay.get(key) or b"")) for key in keys]

    def row(self, contract: str, table: str, *key: Any) -> dict[str, Any]:
        interface = self.program.interfaces[contract]
        value = self.overlay.get(interface.row_key(table, key))
        assert value is not None, key
        return dict(interface.decode_row(table, value))

    def subledger(self) -> dict[str, list[dict[str, Any]]]:
        """The rows that `finance.openitems` reads."""
        tables = {table: self.rows("invoices", table) for table in ("Invoice", "Credit", "Allocation")}
        return {**tables, "Payment": self.rows("payments", "Payment")}

    # The usual steps, by the usual people.

    def issue(
        self,
        number: str,
        total: int = 11900,
        tax: int = 0,
        *,
        seller: str = "steel",
        buyer: str = "maker",
        issued: str = "2026-03-01",
        due: str = "2026-03-31",
        ccy: str = "EUR",
    ) -> str:
        return self.do(
            "invoices.issue", buyer, number, "380", [ccy, total - tax], [ccy, tax], [ccy, total], issued, due, "a" * 64,
            by=two(seller),
        )  # fmt: skip

    def accepted(self, number: str, total: int = 11900, tax: int = 0, **more: str) -> str:
        invoice = self.issue(number, total, tax, **more)
        buyer = more.get("buyer", "maker")
        self.do("invoices.receive", invoice, by=[f"{buyer}-preparer"])
        self.do("acceptance.accept", invoice, by=two(buyer))
        return invoice

    def proposed(self, invoice: str, amount: int, line: int | None = None) -> str:
        row = self.row("invoices", "Invoice", invoice)
        ccy = row["total"][0]
        part = amount if line is None else line
        return self.do(
            "payments.propose", row["seller"], "bank", [ccy, amount], invoice, [ccy, part], by=two(row["buyer"])
        )

    def released(self, invoice: str, amount: int, line: int | None = None) -> str:
        payment = self.proposed(invoice, amount, line)
        payer = self.row("payments", "Payment", payment)["payer"]
        self.do("payments.release", payment, by=[f"{payer}-treasurer"])
        return payment

    def confirmed(self, invoice: str, amount: int, value_on: str = "2026-03-10") -> str:
        payment = self.released(invoice, amount)
        self.do("payments.confirm", payment, value_on, f"line of {payment}"[:64], by=two("bank"))
        return payment


def two(company: str) -> list[str]:
    """Preparer and approver of a company."""
    return [f"{company}-preparer", f"{company}-approver"]


@pytest.fixture(scope="session")
def linked() -> Program:
    return program(sources(), ISO_4217)


@pytest.fixture(scope="session")
def new_world(linked: Program) -> Callable[[], World]:
    return lambda: World(linked)


@pytest.fixture
def world(linked: Program) -> World:
    return World(linked)
