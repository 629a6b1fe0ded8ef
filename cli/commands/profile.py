"""`hansa profile`: the nodes that this user remembers, and which one is current (U5). Tokens are never printed."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import click

from cli import output, place
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.profile import FILE_NAME, Profile, config_directory, load_profiles, save_profiles


@click.group("profile")
def command() -> None:
    """Remembered nodes, and which one is current.

    \b
    hansa profile list
    hansa profile use demo-falkenberg
    """


@command.command("list")
@place.output_option
def list_(form: str) -> None:
    """List the remembered nodes; the current one carries a mark.

    \b
    hansa profile list
    """
    current, profiles = load_profiles()
    items: list[dict[str, Any]] = [_document(profile, current) for _, profile in sorted(profiles.items())]
    rows = [
        [item["name"], "current" if item["current"] else "", item["api"], item["home"] or "-", item["token"] or "none"]
        for item in items
    ]
    output.emit(
        {"schema": "hansa.profiles/1", "current": current, "items": items},
        form,
        rows,
        ["NAME", "", "NODE", "HOME", "TOKEN"],
    )
    if not items:
        output.say("no node is remembered; hansa login or hansa cluster up does it")


@command.command()
@click.argument("name")
@place.output_option
def use(name: str, form: str) -> None:
    """Make a remembered node the current one.

    \b
    hansa profile use demo-falkenberg
    """
    profile = _named(name)
    _, profiles = load_profiles()
    path = save_profiles(name, profiles)
    output.one(
        {"schema": "hansa.profile/1", **_document(profile, name)},
        form,
        [("current", name), ("node", profile.api)],
        name,
    )
    output.say(f"kept in {path}")


@command.command()
@click.argument("name")
@place.output_option
def forget(name: str, form: str) -> None:
    """Remove a remembered node; its company home and its token at the node stay.

    \b
    hansa profile forget demo-falkenberg
    """
    gone = _named(name)
    current, profiles = load_profiles()
    left = {other: profile for other, profile in profiles.items() if other != name}
    path = save_profiles("" if current == name else current, left)
    output.one(
        {"schema": "hansa.profile/1", **_document(gone, current), "forgotten": True},
        form,
        [("forgotten", name), ("left", str(len(left)))],
        name,
    )
    output.say(f"kept in {path}; the token still works: hansa token revoke ends it")


def _named(name: str) -> Profile:
    _, profiles = load_profiles()
    if name not in profiles:
        close = get_close_matches(name, profiles, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise CommandFailed(
            Exit.NOT_FOUND,
            f"there is no profile {name[:80]!r} in {config_directory() / FILE_NAME}",
            f"{hint}hansa profile list shows them, hansa login makes one",
        )
    return profiles[name]


def _document(profile: Profile, current: str) -> dict[str, Any]:
    """Return a profile without its secret: of the token only the id, which the node's list shows too."""
    token = "_".join(profile.token.split("_")[:2]) if profile.token.count("_") >= 2 else ""
    return {
        "name": profile.name,
        "current": profile.name == current,
        "api": profile.api,
        "home": profile.home,
        "ca_file": profile.ca_file,
        "token": token,
    }
