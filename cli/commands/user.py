"""`hansa user`: the people who may sign for this company."""

from __future__ import annotations

from typing import Any

import click

from cli import output, place
from cli.client import Client
from cli.profile import Session, command_options, run


@click.group("user")
def command() -> None:
    """People who may sign for this company.

    \b
    hansa user list
    """


@command.command("list")
@place.height_option
@command_options
@place.list_options
def list_(session: Session, at_height: int | None) -> None:
    """List the people of this company with their ids, roles and status, as the ledger has them.

    Another company needs the ids for what both sign: hansa invoice set-off --other-person.

    \b
    hansa user list
    hansa user list -q
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/users", place.height_param(at_height))

    found = run(work, session)
    rows = [
        [item["user"], item["label"] or "", ", ".join(item["roles"]), item["status"], item["public_key"]]
        for item in found["items"]
    ]
    output.emit(found, session.output, rows, ["ID", "PERSON", "ROLES", "STATUS", "PUBLIC KEY"])
    if session.talks:
        output.say(f"{len(rows)} people at height {found['height']}")
