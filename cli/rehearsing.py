"""Dry runs from the command line: composing a call that nobody signs, and showing what it would do (L65)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from cli import companies, output
from cli.acting import Actor
from cli.amounts import show_amount
from cli.calls import Act
from cli.client import Client
from cli.companies import Companies
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.refusals import refused
from cli.wallet import Wallet
from ledger.codec import encode
from ledger.transaction import TX_VERSION, TxBody, body_codec, envelope_codec
from node.sentences import named

QUERY_GAS: Final = 200_000
"""Declared for a query: the node takes its own, larger limit."""


async def composed(
    client: Client,
    wallet: Wallet,
    call: tuple[str, str],
    arguments: Sequence[str],
    roles: Sequence[str],
    people: Sequence[str],
    others: Sequence[Wallet],
) -> TxBody:
    """Return the body of a call of `call` (contract, method) as `hansa tx call` would sign it; of a query, one without
    signers."""
    from cli.commands.tx import find_method, read_arguments, signers

    contract, method = call
    actor = Actor(client, wallet)
    await actor.open()
    schema = await find_method(client, contract, method, queries=True)
    parties = any(item["type"] == "party" for item in schema["params"])
    known = await companies.fetch(client) if parties else Companies(())
    values = read_arguments(schema["params"], arguments, actor.currencies, known)
    if schema["query"]:
        return TxBody(TX_VERSION, (), 1, 1, contract, method, tuple(values), QUERY_GAS)
    act = Act(contract, method, signers(roles, contract, method, schema["authority"]))
    file, _ = await actor.compose(act, values, prefer=people, others=others)
    return file.content


async def repeated(client: Client, tx_id: str) -> tuple[TxBody, int | None]:
    """Return the body of a transaction, and the height before its block if it is in one."""
    found = await client.get(f"v1/transactions/{tx_id}")
    if "envelope" not in found:
        raise CommandFailed(Exit.NOT_FOUND, f"the node no longer holds transaction {tx_id}", "ask another node")
    body = body_codec.decode(envelope_codec.decode(b64decode(found["envelope"])).body)
    return body, int(found["height"]) - 1 if found.get("height") else None


async def rehearse(client: Client, body: TxBody, height: int | None, *, trace: bool) -> dict[str, Any]:
    """Ask the node what the call would do."""
    place = "" if height is None else f"?at_height={height}"
    return await client.post(f"v1/rehearsals{place}", {"body": b64encode(encode(body)).decode(), "trace": trace})


async def sources(client: Client, found: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the lines of the contracts that ran."""
    names = sorted({line["contract"] for line in found["lines"]})
    texts = {name: (await client.get(f"v1/contracts/{name}"))["source"] or "" for name in names}
    return {name: text.split("\n") for name, text in texts.items()}


async def for_people(client: Client, found: Mapping[str, Any], *, talks: bool) -> dict[str, Any]:
    """Return a rehearsal with what only people read: the sources of its contracts (U27), and of a refusal the names."""
    texts = await sources(client, found) if talks else {}
    names = (await companies.fetch(client)).names if talks and found["abort"] else {}
    return {**found, "sources": texts, "names": names}


async def rehearsed(client: Client, body: TxBody, *, talks: bool) -> dict[str, Any]:
    """Return what the call would do now, for `conclude`."""
    return await for_people(client, await rehearse(client, body, None, trace=False), talks=talks)


def conclude(found: dict[str, Any], form: str) -> None:
    """Print the dry run of a write (U13); one that would be refused ends with the exit code of the refusal (U18)."""
    texts, names = found.pop("sources"), found.pop("names")
    if form == "table":
        tell(found, texts, names)
        output.say("nothing is signed, sent or kept")
    else:
        output.one(found, form, [], found["outcome"])
    if found["abort"]:
        raise refused(found["abort"], names=names)


def tell(found: Mapping[str, Any], texts: Mapping[str, Sequence[str]], names: Mapping[str, str]) -> None:
    """Print a rehearsal for a person."""
    abort = found["abort"]
    pairs = [
        ("outcome", f"{found['outcome']}, after height {found['height']}" + _place(found["earlier"])),
        ("call", f"{found['contract']} v{found['version']}, {found['method']}"),
        ("gas", f"{found['gas_used']} of {found['gas_limit']}"),
    ]
    if abort:
        place = f"{abort['contract']} v{abort['version']}, line {abort['line']}"
        reason = named(abort["text"] or abort["code"], names)
        pairs.append(("refused", f"{abort['reason'] or abort['code']} ({place}): {reason}"))
    if found["result"] is not None:
        pairs.append(("result", value_text(found["result"])))
    if found["hidden"]:
        pairs.append(("hidden", "it read rows that this company may not see, so values are left out"))
    output.fields(pairs)
    for row in found["reads"]:
        click.echo(f"reads   {_row(row)}")
    for change in found["writes"]:
        before, after = change["before"], change["after"]
        verb = "inserts" if before is None else "deletes" if after is None else "updates"
        click.echo(f"{verb} {_row(after or before, before if after else None)}")
    for event in found["events"]:
        told = ", ".join(f"{name} {value_text(value)}" for name, value in event["fields"].items())
        click.echo(f"emits   {event['contract']}.{event['name']}: {told}")
    for posting in found["postings"]:
        for line in posting["lines"]:
            click.echo(f"posts   {posting['date']} {line['side']} {line['account']} {show_amount(line['amount'], {})}")
    steps = found.get("trace")
    if steps is None:
        rows = [
            [f"{item['contract']}:{item['line']}", str(item["times"]), str(item["gas"]), _text(texts, item)]
            for item in found["lines"]
        ]
        output.table(rows, ["LINE", "TIMES>", "GAS>", "STATEMENT"])
    else:
        rows = [
            [
                f"{item['contract']}:{item['line']}",
                str(found["gas_limit"] - item["gas_left"]),
                _text(texts, item),
                ", ".join(f"{name} = {value}" for name, value in item["locals"].items()),
            ]
            for item in steps
        ]
        output.table(rows, ["LINE", "GAS>", "STATEMENT", "VALUES"])


def _place(earlier: int) -> str:
    return f" and {earlier} transactions of its block" if earlier else ""


def _text(texts: Mapping[str, Sequence[str]], item: Mapping[str, Any]) -> str:
    lines = texts.get(item["contract"], ())
    return lines[item["line"] - 1].strip() if 1 <= item["line"] <= len(lines) else ""


def _row(row: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str:
    """Return a row; of one that changes, only the fields that do."""
    name = f"{row['contract']}.{row['table']}"
    if row["fields"] is None:
        return f"{name} (of others)"
    old = (before or {}).get("fields") or {}
    shown = [
        f"{field} {value_text(old[field])} -> {value_text(value)}" if field in old else f"{field} {value_text(value)}"
        for field, value in row["fields"].items()
        if field not in old or old[field] != value
    ]
    return f"{name}: {', '.join(shown)}"


def value_text(value: Any) -> str:
    """Return a field of a row or event for a person: amounts as the ledger shows them, companies by name."""
    if isinstance(value, Mapping) and "amount" in value:
        return show_amount(value, {})
    if isinstance(value, Mapping) and "name" in value:
        return str(value["name"])
    return "none" if value is None else str(value)
