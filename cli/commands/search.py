"""`hansa search`: find what a text names, as the search field of the pages does (U31)."""

from __future__ import annotations

from typing import Any, Final

import click

from cli import output, place
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.profile import Session, command_options, run

TEXT_MAX: Final = 400
"""Characters that a node takes in one parameter."""


@click.command("search")
@click.argument("text")
@place.height_option
@command_options
@place.list_options
def command(session: Session, text: str, at_height: int | None) -> None:
    """Find blocks, transactions, invoices, payments and companies by height, id, number, name or amount.

    \b
    hansa search FB-2026-0117
    hansa search 3245.21
    """
    if not text.strip() or len(text) > TEXT_MAX:
        raise CommandFailed(Exit.USAGE, f"a search text has 1 to {TEXT_MAX} characters", "hansa search --help")

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/search", {"q": text, **place.height_param(at_height)})

    found = run(work, session)
    rows = [[item["id"], item["type"], item["title"], item["detail"]] for item in found["items"]]
    output.emit(found, session.output, rows, ["ID", "KIND", "TITLE", "DETAIL"])
    if not rows:
        raise CommandFailed(
            Exit.NOT_FOUND,
            f"nothing that this company can see is called {text[:80]!r}",
            "try a number, an id or its beginning, the name of a company, or an amount like 1234.50",
        )
