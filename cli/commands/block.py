"""`hansa block`: look at a block, and keep what proves it (P85)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from cli import output, place
from cli.client import Client
from cli.profile import Session, command_options, run


@click.group("block")
def command() -> None:
    """Look at blocks.

    \b
    hansa block list
    hansa block show latest
    """


@command.command("list")
@place.page_options
@command_options
@place.list_options
def list_(session: Session, limit: int, cursor: str | None) -> None:
    """List blocks, newest first.

    \b
    hansa block list --limit 10
    hansa block list --filter view=1
    """
    params = {"limit": str(limit), **({"cursor": cursor} if cursor else {})}

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/blocks", params)

    found = run(work, session)
    rows = [
        [
            str(item["height"]),
            item["time"] or "-",
            str(item["view"]),
            item["proposer"]["name"] if item["proposer"] else "-",
            str(item["tx_count"]),
            f"{item['signed_by']} of {item['members']}",
            item["id"],
        ]
        for item in found["items"]
    ]
    output.emit(found, session.output, rows, ["HEIGHT>", "TIME", "VIEW>", "PROPOSER", "TX>", "SIGNED", "ID"])
    if session.talks:
        output.foot(found, [], len(rows))


@command.command()
@click.argument("which", metavar="HEIGHT|ID|latest")
@click.option("--genesis", type=click.Path(dir_okay=False), help="Genesis file to trust; the home's if left out.")
@click.option(
    "--save", type=click.Path(dir_okay=False), help="Write the proof of the block to a file for hansa verify."
)
@command_options
def show(session: Session, which: str, genesis: str | None, save: str | None) -> None:
    """Show a block and who signed it, checked against a genesis file when there is one.

    \b
    hansa block show 12 --save block-12.proof
    """
    from cli import trust
    from ledger.block import block_id
    from ledger.codec import encode

    async def work(client: Client) -> dict[str, Any]:
        return await client.get(f"v1/blocks/{quote(which, safe='')}")

    found = run(work, session, ("block", which, "hansa block list shows the newest"))
    proof = trust.block_proof(found)
    path = trust.find_genesis(genesis, session.profile.home)
    words = "not checked: name a genesis file that you trust with --genesis"
    if path is not None:
        trusted = trust.with_epochs(trust.load(path), found["certificate"])
        trust.certified(trusted, proof.header, proof.certificate)
        names = ", ".join(trusted.name(company) for company in trust.signers(trusted, proof.certificate))
        words = f"checked against {path}: signed by {names}"
    if save:
        document = trust.proof_document(
            "block", block_id(proof.header), encode(proof), found["certificate"].get("epochs", ())
        )
        place.write_file(Path(save), json.dumps(document).encode() + b"\n")
    if session.output == "json":
        output.emit(found, "json", [], [])
        return
    output.fields(
        [
            ("height", str(found["height"])),
            ("id", str(found["id"])),
            ("time", str(found["time"])),
            ("transactions", str(found["tx_count"])),
            ("certifies", f"the results of height {found['exec_height']}"),
        ]
    )
    for line in found["transactions"]:
        click.echo(f"  {line['position']:>4}  {line['id']}")
    output.say(words)
