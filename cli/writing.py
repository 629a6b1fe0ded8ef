"""Options and flow that all writing commands share: who signs, dry composition for offline signing, waiting (U13)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click

from cli import once, output, rehearsing, txfile
from cli.acting import Actor, sign
from cli.amounts import show_amount
from cli.calls import ACTS, Act
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.profile import Session, command_options, run
from cli.wallet import Signing, Wallet
from ledger.transaction import SignerRef

wait_option: Callable[[Any], Any] = click.option(
    "--wait",
    "until",
    type=click.Choice(["submitted", "committed", "final"]),
    default="committed",
    show_default=True,
    help="Return when it is handed in, in the ledger, or provable to outsiders.",
)


def write_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of writing commands; the command gets them as one `Writing`."""

    @click.option("--as", "people", multiple=True, help="Person who signs; repeat it for a second one.")
    @wait_option
    @click.option("--generate-only", type=click.Path(dir_okay=False), help="Write the unsigned transaction to a file.")
    @command_options
    @wraps(function)
    def wrapped(session: Session, people: tuple[str, ...], until: str, generate_only: str | None, **rest: Any) -> Any:
        return function(Writing(session, people, until, generate_only), **rest)

    options: Callable[..., Any] = wrapped
    return options


def act_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of business acts: those of `write_options`, and what only calls of contracts can do (U13)."""

    @click.option("--dry-run", is_flag=True, help="Sign nothing: print what it would change, post and cost.")
    @click.option(
        "--idempotency-key",
        metavar="KEY",
        help="Do it once for this key of yours: a repeated command tells what became of the first.",
    )
    @write_options
    @wraps(function)
    def wrapped(writing: Writing, dry_run: bool, idempotency_key: str | None, **rest: Any) -> Any:
        if dry_run and writing.generate_only:
            raise CommandFailed(Exit.USAGE, "--dry-run and --generate-only exclude each other", "leave one of them out")
        if idempotency_key is not None and (writing.generate_only or dry_run):
            raise CommandFailed(
                Exit.USAGE,
                "--idempotency-key is for what is sent at once",
                "leave it out: a transaction file may be handed in as often as you like",
            )
        writing.dry_run, writing.key = dry_run, idempotency_key
        return function(writing, **rest)

    options: Callable[..., Any] = wrapped
    return options


class Writing:
    """One writing command under way."""

    def __init__(self, session: Session, people: Sequence[str], until: str, generate_only: str | None) -> None:
        self.session = session
        self.people = people
        self.until = until
        self.generate_only = generate_only
        self.dry_run = False
        self.key: str | None = None
        """The idempotency key of the caller, if there is one."""

    @property
    def home(self) -> Path:
        """The home of the company that acts."""
        return self.session.wallet().home

    def carry_out(
        self,
        act: str | Act,
        arguments: Callable[[Actor], Awaitable[Sequence[Any]] | Sequence[Any]],
        said: Callable[[dict[str, Any]], str],
        *,
        homes: Sequence[str] = (),
        named: tuple[str, str, str] | None = None,
        elsewhere: Callable[[Actor], Awaitable[Sequence[SignerRef]]] | None = None,
    ) -> None:
        """Compose, sign, submit and wait for `act`, by its name in `ACTS` or as it is; print what happened with `said`.

        `arguments` may ask the node first, as may `elsewhere`: signers on other machines, for --generate-only.
        With -q the id of what was made is printed, or that of the transaction.
        """

        wanted = ACTS[act] if isinstance(act, str) else act

        async def work(client: Client) -> dict[str, Any]:
            actor = Actor(client, self.session.wallet())
            await actor.open()
            others = [Wallet(Path(home)) for home in homes]
            given = arguments(actor)
            args = await given if isinstance(given, Awaitable) else given
            absent = await elsewhere(actor) if elsewhere else ()
            file, signings = await actor.compose(wanted, args, prefer=self.people, others=others, elsewhere=absent)
            if self.dry_run:
                return await rehearsing.rehearsed(client, file.content, talks=self.session.talks)
            if self.generate_only:
                txfile.write(Path(self.generate_only), file)
                return {"id": None, "digest": file.digest.hex(), "state": "unsigned", "file": self.generate_only}
            who = ", ".join(f"{signing.person.label} ({signing.capacity})" for _, signing in signings)
            if self.session.talks:
                profile = self.session.profile.name or "-"
                output.say(f"signing {wanted.contract}.{wanted.method} as {who}; profile {profile}")
            tx_id = await self._send(actor, file, signings)
            if self.until == "submitted":
                return {"id": tx_id, "state": "pending"}
            return await actor.finish(tx_id, until=self.until, seconds=self.session.timeout_s)

        found = run(work, self.session, named)
        if self.dry_run:
            rehearsing.conclude(found, self.session.output)
            return
        document = {"schema": "hansa.act/1", "act": act if isinstance(act, str) else act.method, "transaction": found}
        if not self.session.talks:
            output.one(document, self.session.output, [], result_of(found) or str(found["id"]))
        elif found["state"] == "unsigned":
            click.echo(str(self.generate_only))
            output.say(f"unsigned; next: hansa tx sign {self.generate_only} --as PERSON")
        elif found["state"] == "pending":
            click.echo(found["id"])
            output.say(f"submitted; next: hansa tx wait {found['id']}")
        else:
            click.echo(f"{said(found)} (height {found['height']}, transaction {found['id']})")

    async def _send(self, actor: Actor, file: txfile.TxFile, signings: Sequence[tuple[Wallet, Signing]]) -> str:
        """Sign and submit, or submit again what was signed under the same idempotency key; return the id."""
        if self.key is None:
            return await actor.sign_and_send(file, signings)
        before = once.kept(self.home, self.key, file)
        if before is None:
            sign(file, signings)
            return await actor.send(once.keep(self.home, self.key, file))
        output.say(f"this key was used: {before.tx_id.hex()} is handed in again, and counts once")
        try:
            return await actor.send(before)
        except CommandFailed as failure:
            if (failure.problem or {}).get("code") != "expired":
                raise
            raise CommandFailed(
                Exit.CONFLICT,
                f"the transaction of this key, {before.tx_id.hex()}, expired and can never commit",
                "do it again with another --idempotency-key",
            ) from None


def result_of(found: dict[str, Any]) -> str:
    """Return the result of a call, which for creating calls is the id of the new object; "" when there is none."""
    result = (found.get("receipt") or {}).get("result")
    return result if isinstance(result, str) else ""


def amount_of(found: dict[str, Any]) -> str:
    """Return the first amount among the arguments of a call, as the ledger took it: `1,190.00 EUR`."""
    for argument in found.get("args", ()):
        if argument["type"] == "money":
            return show_amount(argument["value"], {})
    return ""


def event_of(found: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the fields of the first event called `name`, or nothing."""
    for event in (found.get("receipt") or {}).get("events", ()):
        if event["name"] == name:
            return dict(event["fields"])
    return {}
