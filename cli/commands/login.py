"""`hansa login`: remember a node and a token; open the pages by a one-time link (S45, S46, U44)."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from getpass import getpass
from pathlib import Path
from typing import Any, Final

import click

from cli import output
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.place import NODE_FILE, own_api
from cli.profile import Profile, Session, command_options, load_profiles, remember, run

DEFAULT_NAME: Final = "default"


@click.command("login")
@click.option("--web", is_flag=True, help="Print a link that opens the pages once, within 60 seconds.")
@click.option("--no-browser", is_flag=True, help="With --web: print the link only.")
@click.option("--name", help="Name of the profile to write. [default: the current one, or default]")
@click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False),
    help="Certificate to trust for the API, in PEM. [default: the one of the node in the company home]",
)
@command_options
def command(session: Session, web: bool, no_browser: bool, name: str | None, ca_file: str | None) -> None:
    """Remember a node's API and a token as the current profile; or open the pages in a browser.

    The token is asked for when a terminal is there; otherwise give it in HANSA_TOKEN. It is kept in the profile file
    with mode 0600.

    \b
    hansa login --web
    hansa login --name acme
    hansa login --api https://127.0.0.1:7400 --name acme
    """
    if web:
        _open_pages(session, no_browser=no_browser)
        return
    profile = session.profile
    home = profile.home if _named("home") or os.environ.get("HANSA_HOME") else ""
    own_url, own_certificate = own_api(Path(home)) if (Path(home) / NODE_FILE).exists() and home else ("", "")
    api = profile.api if _named("api") else own_url
    if not api:
        raise CommandFailed(
            Exit.USAGE, "which node?", "name its API, hansa login --api https://127.0.0.1:7400, or its home with --home"
        )
    if not ca_file and api.rstrip("/") == own_url:
        ca_file = own_certificate
    token = profile.token if _named("token") or os.environ.get("HANSA_TOKEN") else ""
    if not token:
        if not sys.stdin.isatty():
            raise CommandFailed(
                Exit.USAGE, "a token is needed and nobody can be asked here", "give it in HANSA_TOKEN or with --token"
            )
        token = getpass("Token: ").strip()
    fresh = Profile(name="", api=api, token=token, home=home, ca_file=ca_file or "")
    found = run(_whoami, replace(session, profile=fresh))
    wanted = name or profile.name or DEFAULT_NAME
    if not name and profile.name and api != load_profiles()[1][profile.name].api:
        wanted = DEFAULT_NAME  # the current profile is of another node; it is not replaced without being named
    path = remember({wanted: replace(fresh, name=wanted)}, wanted)
    if not session.talks:
        document = {**found, "schema": "hansa.login/1", "profile": wanted, "file": str(path)}
        output.one(document, session.output, [], wanted)
    else:
        click.echo(f"{wanted}: {found['person'] or found['user']} of {found['company']['name']} at {fresh.api}")
        output.say(f"profile {wanted!r} is now current, in {path}; the token ends {found['expires']}")


async def _whoami(client: Client) -> dict[str, Any]:
    return await client.get("v1/whoami")


def _open_pages(session: Session, *, no_browser: bool) -> None:
    async def work(client: Client) -> dict[str, Any]:
        return await client.post("v1/login-links", {})

    answer = run(work, session)
    link = session.profile.api.rstrip("/") + answer["path"]
    if not session.talks:
        document = {"schema": "hansa.login-link/1", "url": link, "expires": answer["expires"]}
        output.one(document, session.output, [], link)
        return
    click.echo(link)
    opened = False
    if not no_browser and _has_desktop():
        import webbrowser

        opened = webbrowser.open(link)
    output.say("opened in the browser" if opened else "open it in a browser within 60 seconds; it works once")


def _has_desktop() -> bool:
    """Tell whether a browser window would be seen by the person who typed the command."""
    if not sys.stdout.isatty() or os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _named(flag: str) -> bool:
    source = click.get_current_context().get_parameter_source(flag)
    return source is click.core.ParameterSource.COMMANDLINE or bool(flag == "api" and os.environ.get("HANSA_API"))
