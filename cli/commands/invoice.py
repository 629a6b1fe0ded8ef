"""`hansa invoice`: from a file to settlement (AU1 to AU4, AU17)."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cli import amounts, output
from cli.acting import Actor
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.importing import Imported, import_files
from cli.profile import Session, command_options, run
from cli.writing import Writing, result_of, write_options

COLUMNS = ["ID", "FROM", "TO", "DUE", "AMOUNT>", "OPEN>", "STATUS", "NEXT"]


@click.group("invoice")
def command() -> None:
    """Invoices from import to settlement.

    \b
    hansa invoice import invoice.xml      UBL, CII, e-fapiao; issued with two signatures
    hansa invoice list                    what is open, as of today
    hansa invoice accept inv-…            the buyer agrees; credit limits are checked
    """


@command.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True))
@click.option("--lenient", is_flag=True, help="Report faults of codes and identifiers as warnings.")
@click.option("--terms-days", type=int, default=30, show_default=True, help="Due date when the document names none.")
@command_options
def import_(session: Session, files: tuple[str, ...], lenient: bool, terms_days: int) -> None:
    """Read invoice files, seal them here, and issue them on the ledger.

    The file stays sealed at this node; only control fields and the root of its fields go on chain. Files of which
    another company is the seller are refused: its own node issues them.

    \b
    hansa invoice import samples/*.xml
    """
    paths = [path for name in files for path in _expand(Path(name))]

    async def work(client: Client) -> list[Imported]:
        actor = Actor(client, session.wallet())
        await actor.open()
        return await import_files(actor, paths, strict=not lenient, terms_days=terms_days)

    results = run(work, session)
    rows = [[item.file, item.number, item.outcome, item.object_id, item.reason] for item in results]
    good = sum(1 for item in results if item.object_id)
    document = {
        "schema": "hansa.import/1",
        "items": [item.as_json() for item in results],
        "imported": good,
        "refused": len(results) - good,
    }
    output.emit(document, session.output, rows, ["FILE", "NUMBER", "OUTCOME", "ID", "REASON"])
    if session.output != "json":
        output.say(f"{good} issued, {len(results) - good} refused")
    if good < len(results):
        raise click.exceptions.Exit(int(Exit.REJECTED))


@command.command("list")
@click.option("--side", type=click.Choice(["sold", "bought"]), help="Only what we sold, or bought.")
@click.option("--status", help="Derived status: open, part_paid, paid, overdue, disputed, …")
@click.option("--document", help="Document state: issued, received, accepted, rejected, …")
@click.option("--partner", help="Company id of the other side.")
@click.option("--as-of", help="Date; today if left out.")
@click.option("--limit", type=int, default=50, show_default=True)
@click.option("-q", "--quiet", is_flag=True, help="Print ids only, one a line.")
@command_options
def list_(session: Session, limit: int, quiet: bool, **filters: str | None) -> None:
    """List invoices of this company.

    \b
    hansa invoice list --status overdue
    """
    params = {name: value for name, value in filters.items() if value} | {"limit": str(limit)}

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/invoices", params)

    document = run(work, session)
    if quiet:
        for item in document["items"]:
            click.echo(item["id"])
        return
    rows = [
        [
            item["id"],
            item["seller"]["name"],
            item["buyer"]["name"],
            item["due"],
            amounts.show_amount(item["total"], {}),
            amounts.show_amount(item["open"], {}),
            _status(item),
            _next(item),
        ]
        for item in document["items"]
    ]
    output.emit(document, session.output, rows, COLUMNS)
    if session.output != "json":
        totals = " · ".join(f"open {amounts.show_amount(total['open'], {})}" for total in document.get("totals", []))
        output.say(f"{len(rows)} at height {document['height']}" + (f" · {totals}" if totals else ""))


@command.command()
@click.argument("invoice_id", metavar="ID")
@command_options
def show(session: Session, invoice_id: str) -> None:
    """Show one invoice with its timeline."""

    async def work(client: Client) -> dict[str, Any]:
        return await client.get(f"v1/invoices/{invoice_id}")

    document = run(work, session)
    if session.output == "json":
        output.emit(document, "json", [], [])
        return
    pairs = [("invoice", document["id"]), ("from", document["seller"]["name"]), ("to", document["buyer"]["name"])]
    pairs += [(name, document[name]) for name in ("issued", "due") if name in document]
    pairs += [
        (label, amounts.show_amount(document[name], {}))
        for label, name in (("net", "net"), ("tax", "tax"), ("payable", "total"), ("open", "open"))
        if name in document
    ]
    pairs += [("document", document["document"]), ("status", _status(document)), ("height", str(document["height"]))]
    output.fields(pairs)
    for moment in document.get("timeline", ()):
        who = ", ".join(signer.get("label") or signer["company_name"] for signer in moment.get("signers", ()))
        click.echo(f"  {moment.get('time', '')}  {moment.get('event', moment.get('name', ''))}  {who}")


def _simple(verb: str, act: str, text: str, done: str) -> None:
    @command.command(verb, help=text)
    @click.argument("invoice_id", metavar="ID")
    @write_options
    def carry(writing: Writing, invoice_id: str) -> None:
        writing.carry_out(act, lambda _: [invoice_id], lambda _: f"{invoice_id} is {done}")


_simple("receive", "receive", "Confirm that the document arrived and opens (buyer).", "received")
_simple("start", "start", "Begin to check it (buyer).", "in process")
_simple("answer", "answer", "Answer a query (seller).", "answered")
_simple("accept", "accept", "Agree to the invoice (buyer, two people); credit limits are checked.", "accepted")
_simple("withdraw", "withdraw", "Take it back before the buyer received it (seller).", "withdrawn")


@command.command()
@click.argument("invoice_id", metavar="ID")
@click.option("--reason", default="OTH", show_default=True, help="REF LEG REC QUA DEL PRI QTY ITM PAY UNR FIN PPD OTH")
@write_options
def reject(writing: Writing, invoice_id: str, reason: str) -> None:
    """Reject it (buyer's approver): the document is dead, the trade need not be."""
    writing.carry_out("reject", lambda _: [invoice_id, reason], lambda _: f"{invoice_id} is rejected ({reason})")


@command.command("query")
@click.argument("invoice_id", metavar="ID")
@click.option("--reason", default="OTH", show_default=True)
@click.option("--request", "wanted", default="PIN", show_default=True, help="NOA PIN NIN CNF CNP CNA OTH")
@write_options
def query_(writing: Writing, invoice_id: str, reason: str, wanted: str) -> None:
    """Ask the seller about it (buyer)."""
    writing.carry_out("query", lambda _: [invoice_id, reason, wanted], lambda _: f"{invoice_id} is under query")


@command.command()
@click.argument("invoice_id", metavar="ID")
@click.argument("amount")
@click.option("--reason", default="OTH", show_default=True)
@write_options
def dispute(writing: Writing, invoice_id: str, amount: str, reason: str) -> None:
    """Dispute a part of it (buyer's approver); the rest stays payable.

    \b
    hansa invoice dispute inv-… "120.00 EUR" --reason QUA
    """
    writing.carry_out(
        "dispute",
        lambda actor: [invoice_id, amounts.parse_amount(amount, actor.currencies), reason],
        lambda _: f"{amount} of {invoice_id} is disputed",
    )


@command.command()
@click.argument("credit_id", metavar="CREDIT")
@click.argument("invoice_id", metavar="ID")
@click.argument("amount")
@write_options
def credit(writing: Writing, credit_id: str, invoice_id: str, amount: str) -> None:
    """Use an open credit note on an invoice (seller). Credit notes themselves are imported like invoices."""
    writing.carry_out(
        "apply_credit",
        lambda actor: [credit_id, invoice_id, amounts.parse_amount(amount, actor.currencies)],
        lambda _: f"{amount} of {credit_id} is applied to {invoice_id}",
    )


@command.command()
@click.argument("invoice_id", metavar="ID")
@click.argument("amount")
@click.option("--bank", required=True, help="Company id of the settlement bank.")
@write_options
def pay(writing: Writing, invoice_id: str, amount: str, bank: str) -> None:
    """Propose a payment for it (buyer, two people); the treasurer releases it: hansa payment release.

    \b
    hansa invoice pay inv-… "1190.00 EUR" --bank c…
    """

    async def seller_of(client: Client) -> str:
        return str((await client.get(f"v1/invoices/{invoice_id}"))["seller"]["id"])

    payee = run(seller_of, writing.session)

    def arguments(actor: Actor) -> Sequence[Any]:
        money = amounts.parse_amount(amount, actor.currencies)
        return [payee, bank, money, invoice_id, money]

    writing.carry_out(
        "propose", arguments, lambda found: f"payment {result_of(found)} over {amount} is proposed for {invoice_id}"
    )


@command.command("set-off")
@click.argument("first", metavar="ID")
@click.argument("second", metavar="OTHER-ID")
@click.argument("amount")
@click.option("--other-home", help="Home of the other company, when its people sign here too.")
@write_options
def set_off(writing: Writing, first: str, second: str, amount: str, other_home: str | None) -> None:
    """End equal parts of two opposite invoices (both companies sign, F94).

    Without --other-home use --generate-only and let the other company sign the file.
    """
    if not other_home and not writing.generate_only:
        raise CommandFailed(
            Exit.USAGE, "a set-off needs the people of both companies", "name --other-home, or use --generate-only"
        )
    writing.carry_out(
        "set_off",
        lambda actor: [first, second, amounts.parse_amount(amount, actor.currencies)],
        lambda _: f"{amount} of {first} and {second} are set off",
        homes=[other_home] if other_home else [],
    )


@command.command()
@click.argument("invoice_id", metavar="ID")
@click.argument("folder", type=click.Path(file_okay=False))
@command_options
def export(session: Session, invoice_id: str, folder: str) -> None:
    """Write the original file and its seed, for the buyer to check before signing (S90)."""

    async def work(client: Client) -> dict[str, Any]:
        invoice = await client.get(f"v1/invoices/{invoice_id}")
        return await client.get(f"v1/documents/{invoice['root']}")

    document = run(work, session)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    file = target / f"{invoice_id}.xml"
    file.write_bytes(b64decode(document["data"]))
    seed = target / f"{invoice_id}.seed"
    seed.write_text(document["seed"] + "\n", encoding="ascii")
    output.emit(
        {"schema": "hansa.export/1", "file": str(file), "seed": str(seed), "root": document["root"]},
        session.output,
        [[str(file), str(seed), document["root"]]],
        ["FILE", "SEED", "ROOT"],
    )


@command.command("check")
@click.argument("invoice_id", metavar="ID")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.argument("seed", type=click.Path(exists=True, dir_okay=False))
@command_options
def check(session: Session, invoice_id: str, file: str, seed: str) -> None:
    """Compare a document you were handed with the root on the ledger, before you accept it (S90)."""
    from ledger.money import ISO_4217
    from node.documents.desk import recompute

    async def work(client: Client) -> str:
        return str((await client.get(f"v1/invoices/{invoice_id}"))["root"])

    root = run(work, session)
    try:
        secret = bytes.fromhex(Path(seed).read_text(encoding="ascii").strip())
    except ValueError:
        raise CommandFailed(Exit.USAGE, f"{seed} holds no seed", "use the file that the seller exported") from None
    roots = asyncio.run(recompute(Path(file).read_bytes(), secret, ISO_4217))
    if root not in roots:
        raise CommandFailed(
            Exit.FINDINGS,
            f"{file} does not have the root that {invoice_id} has on the ledger",
            "do not accept; ask the seller for the document it issued",
        )
    click.echo(f"{file} is the document of {invoice_id} (number {roots[root]})")


def _expand(path: Path) -> list[Path]:
    return sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]


def _status(item: dict[str, Any]) -> str:
    parts = [str(item["document"]), str(item["status"]), *map(str, item["flags"])]
    return ", ".join(dict.fromkeys(parts))


def _next(item: dict[str, Any]) -> str:
    step = item.get("next")
    return f"{step['company']['name']}: {step['act']}" if isinstance(step, dict) and "act" in step else ""
