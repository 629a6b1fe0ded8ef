"""`hansa payment`: proposed by the payer, released by its treasurer, confirmed by the bank (AU5, AU6)."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from cli import amounts, output, place
from cli.client import Client
from cli.profile import Session, command_options, run
from cli.writing import Writing, act_options, event_of


@click.group("payment")
def command() -> None:
    """Payments from proposal to confirmation.

    \b
    hansa payment list
    hansa payment release pay-…                      the treasurer hands it to the bank
    hansa payment confirm pay-… --value-on 2026-04-01 --evidence statement.txt
    """


@command.command("list")
@click.option(
    "--side", type=click.Choice(["paid", "received", "bank"]), help="Only what we pay, get, or settle as bank."
)
@click.option("--phase", type=click.Choice(["proposed", "released", "confirmed", "failed"]), help="How far it is.")
@place.height_option
@place.page_options
@command_options
@place.list_options
def list_(
    session: Session, side: str | None, phase: str | None, limit: int, cursor: str | None, at_height: int | None
) -> None:
    """List payments of this company.

    \b
    hansa payment list --side bank --phase released
    """
    given = (("side", side), ("phase", phase), ("cursor", cursor))
    params = {name: value for name, value in given if value} | {"limit": str(limit), "count": "1"}
    params |= place.height_param(at_height)

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/payments", params)

    document = run(work, session)
    rows = [
        [
            item["id"],
            item["payer"]["name"],
            item["payee"]["name"],
            amounts.show_amount(item["amount"], {}),
            amounts.show_amount(item["allocated"], {}),
            item["phase"],
        ]
        for item in document["items"]
    ]
    output.emit(document, session.output, rows, ["ID", "FROM", "TO", "AMOUNT>", "ALLOCATED>", "PHASE"])
    if session.talks:
        output.foot(document, [], len(rows))


@command.command()
@click.argument("payment_id", metavar="ID")
@place.height_option
@command_options
@place.watch_option
def show(session: Session, payment_id: str, at_height: int | None) -> None:
    """Show one payment with its lines.

    \b
    hansa payment show pay-…
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.get(f"v1/payments/{quote(payment_id, safe='')}", place.height_param(at_height))

    document = run(work, session, ("payment", payment_id, "hansa payment list shows what there is"))
    pairs = [
        ("payment", document["id"]),
        ("from", document["payer"]["name"]),
        ("to", document["payee"]["name"]),
        ("bank", document["bank"]["name"]),
        ("amount", amounts.show_amount(document["amount"], {})),
        ("allocated", amounts.show_amount(document["allocated"], {})),
        ("phase", document["phase"]),
        ("height", str(document["height"])),
    ]
    output.one(document, session.output, pairs, document["id"])


@command.command()
@click.argument("payment_id", metavar="ID")
@act_options
def release(writing: Writing, payment_id: str) -> None:
    """Release a proposed payment to the bank (the payer's treasurer).

    \b
    hansa payment release pay-…
    """
    writing.carry_out("release", lambda _: [payment_id], lambda _: f"{payment_id} is released to the bank")


@command.command()
@click.argument("payment_id", metavar="ID")
@click.option("--value-on", required=True, help="Value date of the bank.")
@click.option("--evidence", required=True, type=click.Path(exists=True, dir_okay=False), help="Statement line or file.")
@act_options
def confirm(writing: Writing, payment_id: str, value_on: str, evidence: str) -> None:
    """Confirm that the money was paid (the settlement bank, two people); invoices are settled.

    \b
    hansa payment confirm pay-… --value-on 2026-04-01 --evidence statement.txt
    """
    proof = sha256(place.read_bytes(Path(evidence), "evidence")).hexdigest()
    day = amounts.parse_date(value_on)
    writing.carry_out(
        "confirm",
        lambda _: [payment_id, day, proof],
        lambda found: f"{payment_id} is confirmed" + _allocated(event_of(found, "PaymentConfirmed")),
    )


@command.command()
@click.argument("payment_id", metavar="ID")
@click.option("--reason", default="OTH", show_default=True, metavar="CODE", help="Reason code, as in invoice reject.")
@act_options
def fail(writing: Writing, payment_id: str, reason: str) -> None:
    """End a payment that will not come (payer or bank); reservations are released.

    \b
    hansa payment fail pay-… --reason FIN
    """
    writing.carry_out("fail", lambda _: [payment_id, reason], lambda _: f"{payment_id} has failed ({reason})")


def _allocated(fields: dict[str, Any]) -> str:
    value = fields.get("allocated")
    return f", {amounts.show_amount(value, {})} allocated" if value else ""
