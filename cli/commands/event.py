"""`hansa event`: what contracts announced about this company, as a list or as it happens (U36, U37).

An event's cursor `height.tx.event` is the same on every node, so a reader may go on at another one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from cli import companies, output, place
from cli.client import Client
from cli.profile import Session, command_options, run

HEADER = ["CURSOR", "TIME", "EVENT", "FIELDS"]


def _choice(function: Any) -> Any:
    """Add what both commands choose by."""
    function = click.option("--company", metavar="COMPANY", help="Only events that name it: its id or exact name.")(
        function
    )
    function = click.option(
        "--type", "types", multiple=True, metavar="TYPE", help="A contract, or one of its events; repeat it for more."
    )(function)
    return click.option("--from", "first", metavar="CURSOR", help="Begin after this cursor or height.")(function)


@click.group("event")
def command() -> None:
    """What contracts announced about this company.

    \b
    hansa event list --type invoices
    hansa event tail
    """


@command.command("list")
@_choice
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True, help="Events at most.")
@command_options
@place.list_options
def list_(session: Session, first: str | None, types: tuple[str, ...], company: str | None, limit: int) -> None:
    """List events of this company, oldest first.

    \b
    hansa event list --type invoices.Issued --type payments
    hansa event list --from 412.3.1 --columns cursor,event
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.lines("v1/events", {**await _asked(client, first, types, company), "limit": str(limit)})

    found = run(work, session)
    output.emit(found, session.output, [_row(item) for item in found["items"]], HEADER)
    if session.talks and len(found["items"]) == limit:
        output.say(f"there may be more: --from {found['items'][-1]['id']}")


@command.command()
@_choice
@click.option("--limit", type=click.IntRange(1), help="End after so many events.")
@command_options
def tail(session: Session, first: str | None, types: tuple[str, ...], company: str | None, limit: int | None) -> None:
    """Print events as they happen, until Ctrl-C; each is in a certified block and printed once.

    A connection that breaks off is taken up again after the last event. With -o json every event is a line.

    \b
    hansa event tail --type payments
    hansa event tail --from 412.3.1 -o jsonl
    """

    async def work(client: Client) -> None:
        seen = 0
        async for item in client.follow("v1/events", await _asked(client, first, types, company)):
            if session.output == "ids":
                click.echo(item["id"])
            elif session.talks:
                click.echo("\t".join(_row(item)))
            else:
                click.echo(json.dumps(item, ensure_ascii=False))
            seen += 1
            if seen == limit:
                return

    run(work, session)


async def _asked(client: Client, first: str | None, types: tuple[str, ...], company: str | None) -> dict[str, str]:
    asked = {"from": first, "types": ",".join(types)}
    if company:
        asked["company"] = (await companies.fetch(client)).id_of(company)
    return {name: value for name, value in asked.items() if value}


def _row(item: Mapping[str, Any]) -> list[str]:
    from cli.rehearsing import value_text

    told = ", ".join(f"{name} {value_text(value)}" for name, value in item["fields"].items())
    return [item["id"], item["time"], item["type"], told]
