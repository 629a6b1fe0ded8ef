"""`hansa whoami`: which person, company and token a command would act with (U44)."""

from __future__ import annotations

from typing import Any

import click

from cli import output
from cli.client import Client
from cli.profile import Session, command_options, run


@click.command("whoami")
@command_options
def command(session: Session) -> None:
    """Print whose token the current profile holds, and what it may do.

    \b
    hansa whoami
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/whoami")

    found = run(work, session)
    output.one(
        found,
        session.output,
        [
            ("profile", session.profile.name or "none"),
            ("node", session.profile.api),
            ("home", session.profile.home or "none"),
            ("company", f"{found['company']['name']} ({found['company']['id']})"),
            ("person", found["person"] or found["user"]),
            ("roles", ", ".join(found["roles"])),
            ("token", f"{found['token']}: {', '.join(found['scopes'])}, until {found['expires']}"),
        ],
        found["user"],
    )
