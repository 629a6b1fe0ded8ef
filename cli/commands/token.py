"""`hansa token`: credentials for the node's API; they may read and prepare, never sign (S45, U44).

The first token is made beside the node, on its token file; further ones through the API by a company admin.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click

from cli import output, place
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.profile import Session, command_options, run

TOKENS_FILE: Final = "tokens.json"
_offline = click.option("--offline", is_flag=True, help="Work on the home's token file, not through the API.")


@click.group("token")
def command() -> None:
    """Tokens for the node's API.

    \b
    hansa token create --as books --offline
    """


@command.command()
@click.option("--as", "person", required=True, help="Person it belongs to: label or user id.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["read", "submit", "admin"]),
    help="Repeat it. [default: read, submit]",
)
@click.option("--days", type=click.IntRange(1, 90), default=30, show_default=True, help="Life.")
@click.option("--label", default="", help="What it is for.")
@click.option("--network", "networks", multiple=True, metavar="CIDR", help="Addresses it may be used from; repeat it.")
@_offline
@command_options
def create(
    session: Session,
    person: str,
    scopes: tuple[str, ...],
    days: int,
    label: str,
    networks: tuple[str, ...],
    offline: bool,
) -> None:
    """Make a token and print it once; only its hash is kept.

    On the node's own machine, --offline or a named --home writes the home's token file; a running node sees it at once.

    \b
    hansa token create --as books --offline
    """
    wanted = scopes or ("read", "submit")
    if _works_offline(session, offline):
        found = _create_offline(session, person, wanted, days, label, networks)
    else:
        user = session.wallet().named(person).user_id if session.profile.home else person

        async def work(client: Client) -> dict[str, Any]:
            body = {"user": user, "label": label, "scopes": list(wanted), "networks": list(networks), "days": days}
            return await client.post("v1/tokens", body)

        found = run(work, session)
    if not session.talks:
        output.one({**found, "schema": "hansa.token/1"}, session.output, [], found["token"])
    else:
        click.echo(found["token"])
        allowed = ", ".join(found["scopes"])
        output.say(f"token {found['id']} of {found['person'] or found['user']}: {allowed}, until {found['expires']}")
        output.say("It is shown once. Next: hansa login --api URL, and paste it there")


@command.command("list")
@_offline
@command_options
@place.list_options
def list_(session: Session, offline: bool) -> None:
    """List the company's tokens, without secrets.

    \b
    hansa token list --offline
    """
    if _works_offline(session, offline):
        store, company, people = _store(session)
        items = [_shown(token, people) for token in store.list(company)]
    else:

        async def work(client: Client) -> dict[str, Any]:
            return await client.get("v1/tokens")

        items = run(work, session)["items"]
    rows = [
        [
            item["id"], item["person"] or item["user"], ", ".join(item["scopes"]), item["label"],
            f"revoked {item['revoked']}" if item["revoked"] else f"until {item['expires']}",
            item["last_used"] or "never",
        ]
        for item in items
    ]  # fmt: skip
    header = ["ID", "PERSON", "SCOPES", "LABEL", "STATE", "LAST USED"]
    output.emit({"schema": "hansa.tokens/1", "items": items}, session.output, rows, header)


@command.command()
@click.argument("token_id", metavar="ID")
@_offline
@command_options
def revoke(session: Session, token_id: str, offline: bool) -> None:
    """End a token at once, with the sessions it opened.

    \b
    hansa token revoke old-erp --offline
    """
    if _works_offline(session, offline):
        from node.api.tokens import TokenError

        store, company, people = _store(session)
        try:
            known = [token.id for token in store.list(company)]
            token = store.revoke(token_id, _now_ms()) if token_id in known else None
        except (TokenError, OSError) as error:
            raise _refused(error) from None
        if token is None:
            raise CommandFailed(Exit.NOT_FOUND, f"there is no token {token_id!r}", "hansa token list --offline")
        found = _shown(token, people)
    else:

        async def work(client: Client) -> dict[str, Any]:
            return await client.delete(f"v1/tokens/{quote(token_id, safe='')}")

        found = run(work, session, ("token", token_id, "hansa token list shows what there is"))
    if not session.talks:
        output.one({**found, "schema": "hansa.token/1"}, session.output, [], found["id"])
    else:
        click.echo(f"{found['id']} is revoked since {found['revoked']}")


def _works_offline(session: Session, offline: bool) -> bool:
    """A named home, or nothing but a home, means the token file on this machine."""
    source = click.get_current_context().get_parameter_source("home")
    named = source is click.core.ParameterSource.COMMANDLINE
    return offline or named or not session.profile.token


def _store(session: Session) -> tuple[Any, str, dict[str, str]]:
    """Return (token store, company id, user id -> label) of the home."""
    from node.api.tokens import TokenError, TokenStore

    wallet = session.wallet()
    config = Path(session.profile.home) / place.NODE_FILE
    folder = place.load_node(config).config.data_dir if config.exists() else Path(session.profile.home) / "data"
    try:
        store = TokenStore(folder / TOKENS_FILE)
    except (TokenError, OSError) as error:
        raise _refused(error) from None
    return store, wallet.company_id, {person.user_id: person.label for person in wallet.people}


def _create_offline(
    session: Session, person: str, scopes: Sequence[str], days: int, label: str, networks: Sequence[str]
) -> dict[str, Any]:
    from node.api.tokens import DAY_MS, TokenError

    store, company, people = _store(session)
    user = session.wallet().named(person).user_id
    try:
        token, text = store.create(
            company_id=company,
            user_id=user,
            label=label,
            scopes=tuple(dict.fromkeys(scopes)),
            networks=networks,
            now_ms=_now_ms(),
            life_ms=days * DAY_MS,
        )
    except (TokenError, OSError) as error:
        raise _refused(error) from None
    return {**_shown(token, people), "token": text}


def _shown(token: Any, people: dict[str, str]) -> dict[str, Any]:
    from node.api.shapes import instant

    return {
        "id": token.id,
        "label": token.label,
        "user": token.user_id,
        "person": people.get(token.user_id, ""),
        "scopes": list(token.scopes),
        "networks": list(token.networks),
        "created": instant(token.created_ms),
        "expires": instant(token.expires_ms),
        "revoked": instant(token.revoked_ms),
        "last_used": instant(token.last_used_ms),
    }


def _refused(error: Exception) -> CommandFailed:
    from node.api.tokens import TokenError

    if isinstance(error, TokenError):
        return CommandFailed(Exit.FAILED, error.what, error.next_step)
    return CommandFailed(Exit.FAILED, f"the token file cannot be used: {error}", "run it as the user of the node")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
