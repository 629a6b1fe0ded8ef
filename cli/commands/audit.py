"""`hansa audit`: make a proof pack at the own node, check one anywhere (F74 to F82)."""

from __future__ import annotations

from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

import click

from cli import output, place
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.profile import Session, command_options, run


@click.group("audit")
def command() -> None:
    """Make and check proof packs.

    \b
    hansa audit export acme.hansapack
    hansa audit verify acme.hansapack --genesis genesis.hansa
    """


@command.command()
@click.argument("file", type=click.Path(dir_okay=False))
@command_options
def export(session: Session, file: str) -> None:
    """Write the company's rows, events, books and documents with all proofs into one file.

    \b
    hansa audit export acme.hansapack
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/audit/pack")

    document = run(work, session)
    data = b64decode(document["data"])
    if sha256(data).hexdigest() != document["sha256"]:
        raise CommandFailed(Exit.FAILED, "the pack was damaged on its way", "try again")
    place.write_file(Path(file), data)
    output.emit(
        {"schema": "hansa.audit-export/1", "file": file, "bytes": len(data), "at": document["at"]},
        session.output,
        [[file, str(len(data)), str(document["at"])]],
        ["FILE", "BYTES>", "HEIGHT>"],
    )


@command.command()
@click.argument("pack", type=click.Path(exists=True, dir_okay=False))
@click.option("--genesis", required=True, type=click.Path(exists=True, dir_okay=False), help="Obtained independently.")
@place.output_option
def verify(pack: str, genesis: str, form: str) -> None:
    """Check a pack offline; no node, no network and none of the ledger's code is used.

    The same file runs alone: python finance/audit/verifier.py PACK --genesis FILE

    \b
    hansa audit verify acme.hansapack --genesis genesis.hansa
    """
    from finance.audit.verifier import main

    raise click.exceptions.Exit(main([pack, "--genesis", genesis, "-o", form]))
