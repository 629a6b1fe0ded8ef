"""Options and flow that all writing commands share: who signs, dry composition for offline signing, waiting (U13)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click

from cli import output, txfile
from cli.acting import Actor
from cli.calls import ACTS
from cli.client import Client
from cli.profile import Session, command_options, run
from cli.wallet import Wallet


def write_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of writing commands; the command gets them as one `Writing`."""

    @click.option("--as", "people", multiple=True, help="Person who signs; repeat it for a second one.")
    @click.option("--wait", "until", type=click.Choice(["submitted", "committed", "final"]), default="committed")
    @click.option("--generate-only", type=click.Path(dir_okay=False), help="Write the unsigned transaction to a file.")
    @command_options
    @wraps(function)
    def wrapped(session: Session, people: tuple[str, ...], until: str, generate_only: str | None, **rest: Any) -> Any:
        return function(Writing(session, people, until, generate_only), **rest)

    return wrapped


class Writing:
    """One writing command under way."""

    def __init__(self, session: Session, people: Sequence[str], until: str, generate_only: str | None) -> None:
        self.session = session
        self.people = people
        self.until = until
        self.generate_only = generate_only

    def carry_out(
        self,
        act: str,
        arguments: Callable[[Actor], Sequence[Any]],
        said: Callable[[dict[str, Any]], str],
        *,
        homes: Sequence[str] = (),
    ) -> None:
        """Compose, sign, submit and wait for `act`; print what happened with `said`."""

        async def work(client: Client) -> dict[str, Any]:
            actor = Actor(client, self.session.wallet())
            await actor.open()
            others = [Wallet(Path(home)) for home in homes]
            wanted = ACTS[act]
            file, signings = await actor.compose(wanted, arguments(actor), prefer=self.people, others=others)
            if self.generate_only:
                txfile.write(Path(self.generate_only), file)
                return {"id": file.tx_id.hex(), "state": "unsigned", "file": self.generate_only}
            who = ", ".join(f"{signing.person.label} ({signing.capacity})" for _, signing in signings)
            output.say(
                f"signing {wanted.contract}.{wanted.method} as {who}; profile {self.session.profile.name or '-'}"
            )
            tx_id = await actor.sign_and_send(file, signings)
            if self.until == "submitted":
                return {"id": tx_id, "state": "pending"}
            return await actor.finish(tx_id, until=self.until, seconds=int(self.session.timeout_s))

        found = run(work, self.session)
        if self.session.output == "json":
            output.emit({"schema": "hansa.act/1", "act": act, "transaction": found}, "json", [], [])
        elif found["state"] == "unsigned":
            click.echo(f"{self.generate_only}: unsigned; next: hansa tx sign {self.generate_only} --as PERSON")
        elif found["state"] == "pending":
            click.echo(f"submitted as {found['id']}; next: hansa tx wait {found['id']}")
        else:
            click.echo(f"{said(found)} (height {found['height']}, transaction {found['id'][:16]}…)")


def result_of(found: dict[str, Any]) -> str:
    """Return the result of a call, which for creating calls is the id of the new object."""
    return str((found.get("receipt") or {}).get("result") or "")


def event_of(found: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the fields of the first event called `name`, or nothing."""
    for event in (found.get("receipt") or {}).get("events", ()):
        if event["name"] == name:
            return dict(event["fields"])
    return {}
