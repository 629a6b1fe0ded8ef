"""`hansa state`: a value of the ledger's state with its proof, checked here so that no node is trusted (U25)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cli import output, place
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.profile import Session, command_options, run


@click.group("state")
def command() -> None:
    """Read the ledger's state with proof.

    \b
    hansa state get params
    """


@command.command()
@click.argument("key")
@click.option("--genesis", type=click.Path(dir_okay=False), help="Genesis file to trust; the home's if left out.")
@click.option("--save", type=click.Path(dir_okay=False), help="Write the proof to a file for hansa verify.")
@place.height_option
@command_options
@place.watch_option
def get(session: Session, key: str, genesis: str | None, save: str | None, at_height: int | None) -> None:
    """Print what stands at KEY, or that nothing does, proven against the genesis file.

    KEY is a row (invoices.Invoice/inv-…), company/ID, node/ID, user/ID, nonce/ID, contract/NAME, params, currencies,
    network, or the key itself in hexadecimal. What does not prove ends with exit code 10; nothing there with 3.

    \b
    hansa state get params
    hansa state get contract/invoices --save invoices.proof
    hansa state get params --at-height 12
    """
    from cli import statekeys, trust
    from ledger.proof import proven_value

    trusted = trust.require(genesis, session.profile.home)

    async def work(client: Client) -> tuple[trust.Trusted, bytes, dict[str, Any], list[dict[str, Any]]]:
        contracts = await trust.contracts_of(client) if statekeys.names_row(key) else []
        knowing = trust.with_contracts(trusted, {"contracts": contracts})
        wanted = statekeys.parse_key(key, knowing)
        asked = {"proof": "1", **place.height_param(at_height)}
        return knowing, wanted, await client.get(f"v1/state/{wanted.hex()}", asked), contracts

    trusted, wanted, answer, contracts = run(work, session)
    data = trust.proof_bytes(answer.get("proof"))
    asked = "so far" if at_height is None else f"after height {at_height}"
    if data is None:
        raise CommandFailed(
            Exit.UNAVAILABLE,
            f"the node has no proof yet: no block certifies its state {asked}",
            "try again after the next block; hansa node why tells when that is",
        )
    trusted = trust.with_epochs(trusted, answer["proof"])
    checked = trust.check(trusted, data, wanted)
    if at_height is not None and checked.height != at_height:
        raise CommandFailed(
            Exit.FINDINGS,
            f"height {at_height} was asked for, and the proof of the node is about {checked.height}",
            "ask another node",
        )
    if save:
        document = trust.proof_document("state", wanted, data, answer["proof"].get("epochs", ()), contracts)
        place.write_file(Path(save), json.dumps(document).encode() + b"\n")
    value = proven_value(checked.proof)
    what, content = ("nothing", None) if value is None else statekeys.read_value(wanted, value, trusted)
    found = {"key": wanted.hex(), "present": value is not None, "kind": what, "value": content}
    document = {"schema": "hansa.proven-state/1", **found, "proof": checked.as_json()}
    if value is not None or not session.talks:
        output.one(document, session.output, _pairs(what, content), wanted.hex() if value is not None else "")
    if session.talks:
        output.say(checked.words(trusted))
    if value is None:
        raise CommandFailed(
            Exit.NOT_FOUND,
            f"nothing stands at {key} at height {checked.height}, and that is proven",
            "check the spelling; a row that is newer than this height is proven a block later",
        )


def _pairs(what: str, content: Any) -> list[tuple[str, str]]:
    pairs = [("what", what)]
    if isinstance(content, dict):
        return pairs + [(str(name), _text(value)) for name, value in content.items()]
    return [*pairs, ("value", _text(content))]


def _text(value: Any) -> str:
    from cli.amounts import show_amount

    if isinstance(value, dict) and set(value) == {"amount", "currency"}:
        return show_amount(value, {})
    if isinstance(value, dict) and set(value) == {"id", "name"}:
        return f"{value['name']} ({value['id']})" if value["name"] != value["id"] else str(value["id"])
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
