"""`hansa version`: what is installed here, without asking a node."""

from __future__ import annotations

import sys

import click

from cli import VERSION, output, place


@click.command("version")
@place.output_option
def command(form: str) -> None:
    """Print the versions of program, protocol and Python.

    \b
    hansa version
    hansa version -o json
    """
    from ledger.block import PROTOCOL_VERSION

    running = ".".join(map(str, sys.version_info[:3]))
    document = {"schema": "hansa.version/1", "version": VERSION, "protocol": PROTOCOL_VERSION, "python": running}
    pairs = [("hansa", VERSION), ("protocol", str(PROTOCOL_VERSION)), ("python", running)]
    output.one(document, form, pairs, VERSION)
