"""`hansa doctor`: look for what could be wrong on this machine, and say how to repair it (U65)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli import output, place
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.profile import Session, command_options, load_profiles

if TYPE_CHECKING:
    from cli.checks import Subject

_MARK: Final = {"ok": "ok", "warning": "WARNING", "fault": "FAULT"}


@click.command("doctor")
@click.option("--offline", is_flag=True, help="Ask no node.")
@command_options
def command(session: Session, offline: bool) -> None:
    """Check versions, configuration, permissions, keys, disk, ports, certificates, store, clock and peers.

    Reads only. Exit code 10 when something was found; each finding names its repair. With -q only findings are shown.

    \b
    hansa doctor
    """
    from cli.checks import OK, examine

    subject = _subject(session, offline=offline)
    findings = examine(subject)
    bad = [item for item in findings if item.level != OK]
    if session.output in ("json", "jsonl", "csv"):
        items = [
            {"check": item.check, "level": item.level, "text": item.text, "repair": item.repair} for item in findings
        ]
        output.emit({"schema": "hansa.doctor/1", "items": items, "findings": len(bad)}, session.output, [], [])
    else:
        for item in findings if session.talks else bad:
            click.echo(f"{_MARK[item.level]:7}  {item.check:13}  {item.text}")
            if item.repair:
                click.echo(f"{'':7}  {'':13}  -> {item.repair}")
    if bad:
        faults = sum(1 for item in bad if item.level == "fault")
        raise CommandFailed(
            Exit.FINDINGS,
            f"{len(bad)} {'finding' if len(bad) == 1 else 'findings'}, faults: {faults}",
            "repair them from the top, then run hansa doctor again",
        )
    if session.talks:
        output.say("nothing to repair")


def _subject(session: Session, *, offline: bool) -> Subject:
    import asyncio

    from cli.checks import Subject

    home = _home(session)
    url, token, ca_file = _node(session, home)
    subject = Subject(home=home, status=None, network=None)
    if offline or not url:
        return subject

    async def ask() -> None:
        async with Client(url, token, ca_file=ca_file, timeout_s=session.timeout_s) as client:
            subject.status = await client.get("v1/status", retry=False)
            if token:
                try:
                    subject.network = await client.get("v1/network", retry=False)
                except CommandFailed as failure:
                    subject.api_problem = failure.text

    try:
        asyncio.run(ask())
    except CommandFailed as failure:
        subject.api_problem = failure.text
    return subject


def _home(session: Session) -> Path | None:
    try:
        return place.existing_home(session.profile.home or None)
    except CommandFailed:
        if session.profile.home:
            raise
        return None


def _node(session: Session, home: Path | None) -> tuple[str, str, str]:
    """Return address, token and certificate of the node to ask: the home's own, with a profile's token that fits."""
    if home is None or not (home / place.NODE_FILE).exists():
        return session.profile.api, session.profile.token, session.profile.ca_file
    try:
        url, ca_file = place.own_api(home)
    except CommandFailed:
        return "", "", ""
    known: list[Any] = [session.profile, *load_profiles()[1].values()]
    fitting = [profile for profile in known if profile.token and profile.api.rstrip("/") == url]
    return url, fitting[0].token if fitting else "", ca_file or (fitting[0].ca_file if fitting else "")
