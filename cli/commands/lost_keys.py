"""`hansa company recover`, `consent`, `replace`: new keys for a company that lost its own (S28).

The company makes a fresh home (`hansa init --replaces`) and asks from there; its officers consent if they still have
their keys; another member proposes, and the others endorse.
"""

from __future__ import annotations

from pathlib import Path

import click

from cli import governing
from cli.acting import Actor
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.governing import RECOVERY_BLOCKS, Home
from cli.place import write_file
from cli.proposing import decode, dry_option, key_file_option, propose
from cli.writing import Writing, write_options
from ledger.codec import encode


def add_to(group: click.Group) -> None:
    """Add the commands to `hansa company`."""
    for one in (recover, consent, replace):
        group.add_command(one)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@key_file_option
@click.option("--home", type=click.Path(file_okay=False), help="Fresh home; HANSA_HOME or the profile's if left out.")
def recover(file: str, key_file: str | None, home: str | None) -> None:
    """Ask for new keys: writes FILE from a home that hansa init --replaces made. No node is needed.

    All new keys prove that they are held, and the new officers sign. FILE goes to the old officers, if they still have
    their keys (hansa company consent), and then to a member (hansa company replace).

    \b
    hansa company recover acme.keys
    """
    from cli import place
    from cli.trust import require
    from cli.wallet import Wallet

    folder = place.existing_home(home)
    if not place.load_node(folder / place.NODE_FILE).config.node.keys_replaced:
        raise CommandFailed(
            Exit.USAGE,
            f"{folder} is not a home for replaced keys",
            "make one: hansa init NAME --replaces DIRECTORY",
        )
    chain = require(None, str(folder)).chain_id
    write_file(Path(file), encode(governing.recovery(Home(folder, key_file), Wallet(folder), chain)))
    click.echo(Home(folder).card.company.company_id)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--home", type=click.Path(file_okay=False), help="Home of the old officers' keys (officers/).")
def consent(file: str, home: str | None) -> None:
    """Sign FILE with the old officers' keys of the company: its new keys then need no delay of 7 days.

    \b
    hansa company consent acme.keys --home old-home
    """
    from cli import place
    from node.identity.joining import keys_file_codec

    asked = decode(file, keys_file_codec.decode, "a request for new keys")
    write_file(Path(file), encode(governing.consented(Home(place.existing_home(home)), asked)))
    click.echo(asked.payload.company_id)


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False))
@dry_option
@write_options
def replace(writing: Writing, file: str, dry_run: bool) -> None:
    """Propose the new keys that a company asks for in FILE; q companies endorse with their officers' keys (S28).

    Make sure that it is the company: call people you know. Without the consent of its old officers the endorsements
    count 7 days later, and the company can refuse until then.

    \b
    hansa company replace acme.keys --dry-run
    hansa company replace acme.keys
    """
    from node.identity.joining import keys_file_codec

    asked = decode(file, keys_file_codec.decode, "a request for new keys")

    async def payload(actor: Actor) -> bytes:
        if asked.chain_id != actor.chain_id:
            raise CommandFailed(Exit.USAGE, f"{file} is for another network", "ask for it with the right genesis file")
        return encode(asked.payload)

    propose(writing, "replace_keys", payload, RECOVERY_BLOCKS, dry_run)
