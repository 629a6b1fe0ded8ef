"""`hansa company`: who is on this network."""

from __future__ import annotations

from typing import Any

import click

from cli import output
from cli.client import Client
from cli.profile import Session, command_options, run


@click.group("company")
def command() -> None:
    """Companies of the network.

    \b
    hansa company list
    """


@command.command("list")
@command_options
def list_(session: Session) -> None:
    """List the companies with their ids, roles and status.

    \b
    hansa company list
    hansa company list -o json
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/companies")

    found = run(work, session)
    rows = [
        [
            item["id"],
            item["name"],
            ", ".join(item["roles"]),
            item["status"],
            "this company" if item["own"] else "member" if item["member"] else "",
        ]
        for item in found["items"]
    ]
    output.emit(found, session.output, rows, ["ID", "NAME", "ROLES", "STATUS", "VOTE"])
    if session.talks:
        output.say(f"{len(rows)} companies at height {found['height']}")
