"""`hansa limit`: how much a buyer may owe (RK1)."""

from __future__ import annotations

from typing import Any

import click

from cli import amounts, output
from cli.client import Client
from cli.profile import Session, command_options, run
from cli.writing import Writing, write_options


@click.group("limit")
def command() -> None:
    """Credit limits between companies.

    \b
    hansa limit set c… "100000.00 EUR" --review-by 2027-06-30
    """


@command.command("list")
@command_options
def list_(session: Session) -> None:
    """List agreed limits with the exposure on accepted invoices."""

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/limits")

    document = run(work, session)
    rows = [
        [
            item["lender"]["name"],
            item["borrower"]["name"],
            amounts.show_amount(item["amount"], {}),
            amounts.show_amount(item["used"], {}),
            item["review_by"],
        ]
        for item in document["items"]
    ]
    output.emit(document, session.output, rows, ["LENDER", "BORROWER", "LIMIT>", "USED>", "REVIEW BY"])


@command.command("set")
@click.argument("borrower")
@click.argument("amount")
@click.option("--review-by", required=True, help="Date after which the limit no longer counts.")
@write_options
def set_(writing: Writing, borrower: str, amount: str, review_by: str) -> None:
    """Grant or change a limit (risk officer and approver of the lender)."""
    day = amounts.parse_date(review_by)
    writing.carry_out(
        "set_limit",
        lambda actor: [borrower, amounts.parse_amount(amount, actor.currencies), day],
        lambda _: f"{borrower} may owe up to {amount} until {day}",
    )
