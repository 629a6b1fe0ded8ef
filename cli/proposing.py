"""What the commands of `hansa company` share: options, files that travel, proposals and their effect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import click

from cli import governing, output
from cli.acting import Actor
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.governing import PROPOSAL_BLOCKS
from cli.profile import Session, run
from cli.writing import Writing, event_of
from ledger.errors import LedgerError

dry_option: Callable[[Any], Any] = click.option(
    "--dry-run", is_flag=True, help="Show what it would do to members and quorum; send nothing."
)
key_file_option: Callable[[Any], Any] = click.option(
    "--key-file", type=click.Path(dir_okay=False), help="Secret that opens the node's keystore."
)
blocks_option: Callable[[Any], Any] = click.option(
    "--blocks", type=click.IntRange(1, 1_000_000), default=PROPOSAL_BLOCKS, show_default=True,
    help="For how many blocks it is open.",
)  # fmt: skip
despite_option: Callable[[Any], Any] = click.option(
    "--despite-missing", is_flag=True,
    help="Send it although too few of the members then can vote now, and the network would stop.",
)  # fmt: skip


def propose(
    writing: Writing,
    kind: str,
    payload: Callable[[Actor], Awaitable[bytes]],
    blocks: int,
    dry_run: bool,
    despite_missing: bool | None = None,
) -> None:
    """Send a proposal, or with `dry_run` show what accepting it would do.

    `despite_missing` False asks the node first and sends nothing that would stop the network; None is for proposals
    that leave the companies of the set as they are.
    """
    if dry_run:

        async def change(actor: Actor) -> tuple[str, bytes]:
            return kind, await payload(actor)

        show_change(writing, change)
        return

    async def arguments(actor: Actor) -> Sequence[Any]:
        made = await payload(actor)
        if despite_missing is False:
            await refuse_to_stop(actor.client, kind, made)
        return kind, made, await until(actor.client, blocks)

    writing.carry_out(governing.act("propose", writing.session.wallet()), arguments, decided)


def show_change(writing: Writing, change: Callable[[Actor], Awaitable[tuple[str, bytes]]]) -> None:
    """Show what accepting a proposal would do, by its kind and payload; nothing is sent."""

    async def ask(client: Client) -> dict[str, Any]:
        actor = Actor(client, writing.session.wallet())
        await actor.open()
        return await governing.ask_effect(client, *await change(actor))

    _show_effect(run(ask, writing.session), writing.session)


async def refuse_to_stop(client: Client, kind: str, payload: bytes) -> None:
    """Raise if the change would leave too few members that can vote now: the chain accepts it, and then ends there."""
    try:
        found = await governing.ask_effect(client, kind, payload)
    except CommandFailed as failure:
        if (failure.problem or {}).get("code") != "invalid":
            raise
        return  # the ledger itself says better what is wrong with it, and by which rule
    if found["stops"] and not found["refused"]:
        raise CommandFailed(
            Exit.NO_QUORUM,
            found["sentence"],
            "bring their nodes back first (hansa node why), or send it all the same with --despite-missing",
        )


def _show_effect(found: dict[str, Any], session: Session) -> None:
    def named(key: str) -> str:
        return ", ".join(company["name"] for company in found[key]) or "nobody"

    refused = "; ".join(f"{item['text']} ({item['rule']})" for item in found["refused"])
    against = refused or found["sentence"]
    pairs = [
        ("members now", f"{len(found['members_before'])}, {found['quorum_before']} decide"),
        ("members then", f"{len(found['members_after'])}, {found['quorum_after']} decide: {named('members_after')}"),
        ("tolerates then", f"{found['faults_after']} faulty members, {found['faults_before']} now"),
        ("would be missing", named("missing")),
        ("not reachable now", named("unreachable")),
        ("without a vote now", named("voteless")),
        ("could vote then", f"{found['present_after']} of {len(found['members_after'])}, as this node sees it"),
        ("possible", f"no: {against}" if against else "yes"),
    ]
    output.one(found, session.output, pairs, "refused" if refused else "stops" if found["stops"] else "possible")


async def until(client: Client, blocks: int) -> int:
    return int((await client.get("v1/status"))["height_committed"]) + blocks


def decode(file: str, decode: Callable[[bytes], Any], what: str) -> Any:
    try:
        return decode(Path(file).read_bytes())
    except OSError as error:
        raise CommandFailed(Exit.USAGE, f"cannot read {file}: {error.strerror}", "name the right file") from None
    except LedgerError as error:
        raise CommandFailed(Exit.USAGE, f"{file} is not {what}: {error}", "ask for the file again") from None


def decided(found: dict[str, Any]) -> str:
    """Say what a governance call led to, from its events."""
    epoch, vote = event_of(found, "EpochDecided"), event_of(found, "Voted")
    proposed = event_of(found, "Proposed")
    parts = [f"proposal {proposed['proposal']} is open"] if proposed else []
    if vote:
        parts.append(f"{vote['approvals']} of {vote['quorum']} approvals")
    if event_of(found, "Accepted"):
        parts.append("accepted")
    if epoch:
        parts.append(f"epoch {epoch['epoch']} with {epoch['members']} members begins at height {epoch['first_height']}")
    return ", ".join(parts) or "done"
