"""`hansa ledger`: the company's books as the chain gives them, as of any date (F70 to F72)."""

from __future__ import annotations

from typing import Any

import click

from cli import amounts, output
from cli.client import Client
from cli.language import text
from cli.profile import Session, command_options, run


@click.group("ledger")
def command() -> None:
    """Balances, trial balance, ageing.

    \b
    hansa ledger trial-balance --as-of 2026-03-31
    hansa ledger ageing --side receivable
    """


def _read(session: Session, path: str, params: dict[str, str | None]) -> dict[str, Any]:
    chosen = {name: value for name, value in params.items() if value}

    async def work(client: Client) -> dict[str, Any]:
        return await client.get(path, chosen)

    return run(work, session)


_as_of = click.option("--as-of", help="Date; today if left out.")
_currency = click.option("--currency", help="Only this currency.")


@command.command()
@_as_of
@_currency
@command_options
def balance(session: Session, as_of: str | None, currency: str | None) -> None:
    """Print the balance of every account."""
    document = _read(session, "v1/ledger/balances", {"as_of": as_of, "currency": currency})
    rows = [
        [item["account"], text(item["name"]), amounts.show_amount(item["balance"], {})] for item in document["items"]
    ]
    output.emit(document, session.output, rows, ["ACCOUNT", "NAME", "BALANCE>"])
    _foot(session, document)


@command.command("trial-balance")
@_as_of
@_currency
@command_options
def trial_balance(session: Session, as_of: str | None, currency: str | None) -> None:
    """Print debits and credits of every account; they must be equal."""
    document = _read(session, "v1/ledger/trial-balance", {"as_of": as_of, "currency": currency})
    rows = [
        [
            item["account"],
            text(item["name"]),
            amounts.show_amount(item["debit"], {}),
            amounts.show_amount(item["credit"], {}),
        ]
        for item in document["items"]
    ]
    for total in document["totals"]:
        debit, credit = (amounts.show_amount(total[side], {}) for side in ("debit", "credit"))
        rows.append(["", "", debit, credit])
    output.emit(document, session.output, rows, ["ACCOUNT", "NAME", "DEBIT>", "CREDIT>"])
    _foot(session, document)


@command.command()
@click.option("--side", type=click.Choice(["receivable", "payable"]), default="receivable", show_default=True)
@_as_of
@_currency
@command_options
def ageing(session: Session, side: str, as_of: str | None, currency: str | None) -> None:
    """Print open items by days overdue."""
    document = _read(session, "v1/ledger/ageing", {"side": side, "as_of": as_of, "currency": currency})
    if session.output == "json":
        output.emit(document, "json", [], [])
        return
    rows = []
    for item in [*document["items"], *document["totals"]]:
        partner = item["partner"]["name"] if item["partner"] else ""
        values = [amounts.show_amount(value, {}) for value in item["buckets"]]
        rows.append([partner, *values, amounts.show_amount(item["total"], {})])
    output.table(rows, ["PARTNER", *(f"{name}>" for name in document["buckets"]), "TOTAL>"])
    _foot(session, document)


@command.command()
@_as_of
@click.option("--limit", type=int, default=50, show_default=True)
@command_options
def journal(session: Session, as_of: str | None, limit: int) -> None:
    """Print journal entries with their vouchers."""
    document = _read(session, "v1/ledger/journal", {"as_of": as_of, "limit": str(limit)})
    rows = []
    for item in document["items"]:
        for line in item["lines"]:
            rows.append(
                [
                    item["voucher"],
                    item["date"],
                    line["account"],
                    text(line["name"]),
                    amounts.show_amount(line["amount"], {}) if line["side"] == "debit" else "",
                    amounts.show_amount(line["amount"], {}) if line["side"] == "credit" else "",
                ]
            )
    output.emit(document, session.output, rows, ["VOUCHER", "DATE", "ACCOUNT", "NAME", "DEBIT>", "CREDIT>"])
    _foot(session, document)


def _foot(session: Session, document: dict[str, Any]) -> None:
    if session.output != "json":
        output.say(f"as of {document.get('as_of', 'today')}, height {document['height']}")
