"""`hansa limit`: how much a buyer may owe (RK1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from cli import amounts, companies, output, place
from cli.acting import Actor
from cli.client import Client
from cli.profile import Session, command_options, run
from cli.writing import Writing, act_options, amount_of


@click.group("limit")
def command() -> None:
    """Credit limits between companies.

    \b
    hansa limit set "Bolt SAS" "100000.00 EUR" --review-by 2027-06-30
    """


@command.command("list")
@place.height_option
@command_options
@place.list_options
def list_(session: Session, at_height: int | None) -> None:
    """List agreed limits with the exposure on accepted invoices.

    \b
    hansa limit list
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/limits", place.height_param(at_height))

    document = run(work, session)
    rows = [
        [
            item["lender"]["name"],
            item["borrower"]["name"],
            amounts.show_amount(item["amount"], {}),
            amounts.show_amount(item["used"], {}),
            amounts.show_amount(item["available"], {}),
            item["review_by"],
            "frozen" if item["frozen"] else "in force" if item["in_force"] else "lapsed",
        ]
        for item in document["items"]
    ]
    if session.output == "ids":
        rows = [[item["id"]] for item in document["items"]]
    output.emit(
        document, session.output, rows, ["LENDER", "BORROWER", "LIMIT>", "USED>", "FREE>", "REVIEW BY", "STATE"]
    )
    if session.talks:
        output.foot(document, [], len(rows))


@command.command("set")
@click.argument("borrower", metavar="COMPANY")
@click.argument("amount")
@click.option("--review-by", required=True, help="Date after which the limit no longer counts.")
@act_options
def set_(writing: Writing, borrower: str, amount: str, review_by: str) -> None:
    """Grant or change how much COMPANY may owe (risk officer and approver of the lender); id or exact name.

    \b
    hansa limit set "Bolt SAS" "100000.00 EUR" --review-by 2027-06-30
    """
    day = amounts.parse_date(review_by)

    async def arguments(actor: Actor) -> Sequence[Any]:
        money = amounts.parse_amount(amount, actor.currencies)
        return [(await companies.fetch(actor.client)).id_of(borrower), money, day]

    writing.carry_out("set_limit", arguments, lambda found: f"{borrower} may owe up to {amount_of(found)} until {day}")
