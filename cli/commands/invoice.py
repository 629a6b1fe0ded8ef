"""`hansa invoice`: from a file to settlement (AU1 to AU4, AU17)."""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click

from cli import amounts, companies, output, place
from cli.acting import Actor
from cli.calls import ACTS
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.importing import TERMS_DAYS, Imported, amounts_of, import_files, take_credit_note
from cli.profile import Session, command_options, run
from cli.writing import Writing, act_options, amount_of, event_of, result_of
from ledger.transaction import SignerRef

_OBJECT_ID: Final = re.compile(r"[a-z]{3}-[a-z0-9]{1,40}", re.ASCII)
_FIGURES: Final = (
    ("net", "net"), ("tax", "tax"), ("payable", "total"), ("credited", "credited"), ("paid", "paid"),
    ("set off", "set_off"), ("written off", "written_off"), ("open", "open"), ("disputed", "disputed"),
    ("held", "held"),
)  # fmt: skip
_ALWAYS: Final = ("net", "tax", "total", "open")
"""Figures that are shown even when they are zero."""
_reason = click.option(
    "--reason",
    default="OTH",
    show_default=True,
    metavar="CODE",
    help="REF LEG REC QUA DEL PRI QTY ITM PAY UNR FIN PPD OTH",
)
COLUMNS = ["ID", "FROM", "TO", "DUE", "AMOUNT>", "OPEN>", "STATUS", "NEXT"]


def _second_company(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of acts that people of two companies sign."""
    function = click.option(
        "--other-person",
        "other_people",
        multiple=True,
        metavar="USER-ID",
        help="Who signs for the other company on its own machine, its preparer first (hansa user list).",
    )(function)
    return click.option("--other-home", help="Home of the other company, when its people sign here too.")(function)


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
@click.option(
    "--terms-days",
    type=click.IntRange(0, 3650),
    default=TERMS_DAYS,
    show_default=True,
    help="Due date when the document names none.",
)
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
    if session.output == "ids":
        rows = [[item.object_id] for item in results]
        for item in results:
            if not item.object_id:
                output.say(f"{item.file}: {item.reason}")
    output.emit(document, session.output, rows, ["FILE", "NUMBER", "OUTCOME", "ID", "REASON"])
    if session.talks:
        output.say(f"{good} issued, {len(results) - good} refused")
    if good < len(results):
        raise click.exceptions.Exit(int(Exit.REJECTED))


@command.command("list")
@click.option("--side", type=click.Choice(["sold", "bought"]), help="Only what we sold, or bought.")
@click.option("--status", help="Derived status: open, part_paid, paid, overdue, disputed, …")
@click.option("--document", help="Document state: issued, received, accepted, rejected, …")
@click.option("--partner", metavar="COMPANY", help="The other side: its id or exact name.")
@place.as_of_option
@place.height_option
@place.page_options
@command_options
@place.list_options
def list_(
    session: Session,
    limit: int,
    cursor: str | None,
    partner: str | None,
    as_of: str | None,
    at_height: int | None,
    **filters: str | None,
) -> None:
    """List invoices of this company, by due date.

    \b
    hansa invoice list --status overdue
    hansa invoice list --side sold -o csv
    hansa invoice list --columns id,due,open --filter buyer.name="Bolt SAS"
    hansa invoice list --status overdue --watch 10
    """
    params = {name: value for name, value in filters.items() if value} | {"limit": str(limit)}
    params |= {name: value for name, value in (("cursor", cursor), ("as_of", as_of)) if value}
    params |= place.height_param(at_height)

    async def work(client: Client) -> dict[str, Any]:
        if partner:
            params["partner"] = (await companies.fetch(client)).id_of(partner)
        return await client.get("v1/invoices", {**params, "count": "1"})

    document = run(work, session)
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
    if session.talks:
        totals = [f"{total['side']}: open {amounts.show_amount(total['open'], {})}" for total in document["totals"]]
        output.foot(document, [f"as of {document['as_of']}", *totals], len(rows))


@command.command()
@click.argument("invoice_id", metavar="ID")
@place.as_of_option
@place.height_option
@command_options
@place.watch_option
def show(session: Session, invoice_id: str, as_of: str | None, at_height: int | None) -> None:
    """Show one invoice with its timeline.

    \b
    hansa invoice show inv-…
    hansa invoice show inv-… --at-height 12
    """
    params = ({"as_of": as_of} if as_of else {}) | place.height_param(at_height)

    async def work(client: Client) -> dict[str, Any]:
        return await client.get(f"v1/invoices/{quote(invoice_id, safe='')}", params)

    document = run(work, session, _named(invoice_id))
    pairs = [("invoice", document["id"]), ("from", document["seller"]["name"]), ("to", document["buyer"]["name"])]
    pairs += [(name, document[name]) for name in ("issued", "due") if name in document]
    pairs += [
        (label, amounts.show_amount(document[name], {}))
        for label, name in _FIGURES
        if name in document and (name in _ALWAYS or any(digit in "123456789" for digit in document[name]["amount"]))
    ]
    pairs += [("document", document["document"]), ("status", _status(document)), ("next", _next(document))]
    pairs.append(("height", str(document["height"])))
    output.one(document, session.output, pairs, document["id"])
    if not session.talks:
        return
    rows = [[moment["time"], moment["event"].rpartition(".")[2], _who(moment)] for moment in document["timeline"]]
    output.table(rows, ["WHEN", "WHAT", "WHO"])


def _simple(verb: str, act: str, text: str, done: str) -> None:
    @command.command(verb, help=f"{text}\n\n\b\nhansa invoice {verb} inv-…")
    @click.argument("invoice_id", metavar="ID")
    @act_options
    def carry(writing: Writing, invoice_id: str) -> None:
        writing.carry_out(act, lambda _: [invoice_id], lambda _: f"{invoice_id} is {done}")


_simple("receive", "receive", "Confirm that the document arrived and opens (buyer).", "received")
_simple("start", "start", "Begin to check it (buyer).", "in process")
_simple("answer", "answer", "Answer a query (seller).", "answered")
_simple("accept", "accept", "Agree to the invoice (buyer, two people); credit limits are checked.", "accepted")
_simple("withdraw", "withdraw", "Take it back before the buyer received it (seller).", "withdrawn")


@command.command()
@click.argument("invoice_id", metavar="ID")
@_reason
@act_options
def reject(writing: Writing, invoice_id: str, reason: str) -> None:
    """Reject it (buyer's approver): the document is dead, the trade need not be.

    \b
    hansa invoice reject inv-… --reason QTY
    """
    writing.carry_out("reject", lambda _: [invoice_id, reason], lambda _: f"{invoice_id} is rejected ({reason})")


@command.command("query")
@click.argument("invoice_id", metavar="ID")
@_reason
@click.option("--request", "wanted", default="PIN", show_default=True, help="NOA PIN NIN CNF CNP CNA OTH")
@act_options
def query_(writing: Writing, invoice_id: str, reason: str, wanted: str) -> None:
    """Ask the seller about it (buyer).

    \b
    hansa invoice query inv-… --reason REF --request PIN
    """
    writing.carry_out("query", lambda _: [invoice_id, reason, wanted], lambda _: f"{invoice_id} is under query")


@command.command()
@click.argument("invoice_id", metavar="ID")
@click.argument("amount")
@_reason
@act_options
def dispute(writing: Writing, invoice_id: str, amount: str, reason: str) -> None:
    """Dispute a part of it (buyer's approver); the rest stays payable.

    \b
    hansa invoice dispute inv-… "120.00 EUR" --reason QUA
    """
    writing.carry_out(
        "dispute",
        lambda actor: [invoice_id, amounts.parse_amount(amount, actor.currencies), reason],
        lambda found: f"{amount_of(found)} of {invoice_id} is disputed as {result_of(found)}",
    )


@command.command("write-off")
@click.argument("invoice_id", metavar="ID")
@click.argument("amount")
@_reason
@act_options
def write_off(writing: Writing, invoice_id: str, amount: str, reason: str) -> None:
    """Give up a part of what is open (seller, two people): it leaves the receivables and becomes an expense.

    \b
    hansa invoice write-off inv-… "0.02 EUR" --reason OTH
    """
    writing.carry_out(
        "write_off",
        lambda actor: [invoice_id, amounts.parse_amount(amount, actor.currencies), reason],
        lambda found: f"{amount_of(found)} of {invoice_id} is written off ({reason})",
    )


@command.command("drop-dispute")
@click.argument("dispute_id", metavar="DISPUTE")
@act_options
def drop_dispute(writing: Writing, dispute_id: str) -> None:
    """Give a dispute up (buyer's approver); the amount is payable again.

    hansa invoice resolve is the other way to end it: with a credit note of the seller.

    \b
    hansa invoice drop-dispute dsp-…
    """
    writing.carry_out("drop_dispute", lambda _: [dispute_id], lambda _: f"{dispute_id} is given up")


@command.command()
@click.argument("dispute_id", metavar="DISPUTE")
@click.argument("file", metavar="CREDIT-NOTE", type=click.Path(exists=True, dir_okay=False))
@click.option("--lenient", is_flag=True, help="Report faults of codes and identifiers as warnings.")
@_second_company
@act_options
def resolve(
    writing: Writing, dispute_id: str, file: str, lenient: bool, other_home: str | None, other_people: tuple[str, ...]
) -> None:
    """End a dispute with a credit note over all or a part of it: two people of the seller and the buyer's approver.

    Run it at the seller: its node seals the file. What is credited goes off the invoice, the rest of what was disputed
    is payable again. Where the buyer signs on its own machine, name its approver and use --generate-only: each
    company signs the file with hansa tx sign, and either hands it in with hansa tx submit.

    \b
    hansa invoice resolve dsp-… credit-note.xml --other-home ../bolt
    hansa invoice resolve dsp-… credit-note.xml --other-person u… --generate-only resolve.tx
    """
    note: dict[str, Any] = {}

    async def arguments(actor: Actor) -> Sequence[Any]:
        note.update(await take_credit_note(actor, Path(file), strict=not lenient))
        if note["invoice"]:
            invoice = await actor.client.get(f"v1/invoices/{quote(note['invoice'], safe='')}")
            if dispute_id not in [line["id"] for line in invoice["disputes"]]:
                raise CommandFailed(
                    Exit.NOT_FOUND,
                    f"{file} credits {note['invoice']}, which has no dispute {dispute_id[:80]!r}",
                    f"hansa invoice show {note['invoice']} -o json lists its disputes",
                )
        return [dispute_id, note["number_key"], *amounts_of(note), note["issued"], note["root"]]

    async def buyer(_: Actor) -> str:
        return str(note["buyer"]["id"])

    def said(found: dict[str, Any]) -> str:
        ended = event_of(found, "DisputeResolved")
        credited = amounts.show_amount(ended["credited"], {})
        return f"{dispute_id} of {ended['invoice']} ends with {credited} credited, as {result_of(found)}"

    homes, elsewhere = _other_signers(writing, "resolve_dispute", other_home, other_people, buyer)
    writing.carry_out("resolve_dispute", arguments, said, homes=homes, elsewhere=elsewhere)


@command.command()
@click.argument("credit_id", metavar="CREDIT")
@click.argument("invoice_id", metavar="ID")
@click.argument("amount")
@act_options
def credit(writing: Writing, credit_id: str, invoice_id: str, amount: str) -> None:
    """Use an open credit note on an invoice (seller). Credit notes themselves are imported like invoices.

    \b
    hansa invoice credit crn-… inv-… "297.50 EUR"
    """
    writing.carry_out(
        "apply_credit",
        lambda actor: [credit_id, invoice_id, amounts.parse_amount(amount, actor.currencies)],
        lambda found: f"{amount_of(found)} of {credit_id} is applied to {invoice_id}",
    )


@command.command()
@click.argument("invoice_id", metavar="ID")
@click.argument("amount")
@click.option("--bank", metavar="COMPANY", help="Settlement bank: id or exact name. [default: the only one]")
@act_options
def pay(writing: Writing, invoice_id: str, amount: str, bank: str | None) -> None:
    """Propose a payment for it (buyer, two people); the treasurer releases it: hansa payment release.

    \b
    hansa invoice pay inv-… "1190.00 EUR"
    """

    async def arguments(actor: Actor) -> Sequence[Any]:
        money = amounts.parse_amount(amount, actor.currencies)
        known = await companies.fetch(actor.client)
        through = known.id_of(bank) if bank else known.only_bank()
        invoice = await actor.client.get(f"v1/invoices/{quote(invoice_id, safe='')}")
        return [invoice["seller"]["id"], through, money, invoice_id, money]

    writing.carry_out(
        "propose",
        arguments,
        lambda found: f"{result_of(found)} over {amount_of(found)} is proposed for {invoice_id}",
        named=_named(invoice_id),
    )


@command.command("set-off")
@click.argument("first", metavar="ID")
@click.argument("second", metavar="OTHER-ID")
@click.argument("amount")
@_second_company
@act_options
def set_off(
    writing: Writing, first: str, second: str, amount: str, other_home: str | None, other_people: tuple[str, ...]
) -> None:
    """End equal parts of two opposite invoices (both companies sign, F94).

    Where the other company signs on its own machine, name its two people and use --generate-only: each company signs
    the file with hansa tx sign, and either hands it in with hansa tx submit.

    \b
    hansa invoice set-off inv-… inv-… "500.00 EUR" --other-home ../bolt
    hansa invoice set-off inv-… inv-… "500.00 EUR" --other-person u… --other-person u… --generate-only set-off.tx
    """

    async def partner(actor: Actor) -> str:
        invoice = await actor.client.get(f"v1/invoices/{quote(first, safe='')}")
        sides = (str(invoice["seller"]["id"]), str(invoice["buyer"]["id"]))
        return next(side for side in sides if side != actor.wallet.company_id)

    homes, elsewhere = _other_signers(writing, "set_off", other_home, other_people, partner)
    writing.carry_out(
        "set_off",
        lambda actor: [first, second, amounts.parse_amount(amount, actor.currencies)],
        lambda found: f"{amount_of(found)} of {first} and {second} are set off",
        homes=homes,
        named=_named(first),
        elsewhere=elsewhere,
    )


@command.command()
@click.argument("invoice_id", metavar="ID")
@click.argument("folder", type=click.Path(file_okay=False))
@command_options
def export(session: Session, invoice_id: str, folder: str) -> None:
    """Write the original file and its seed, for the buyer to check before signing (S90).

    The document lies sealed at the node that issued it: the seller exports, and hands both files to the buyer.

    \b
    hansa invoice export inv-… for-the-buyer/
    """
    _check_id(invoice_id)

    async def work(client: Client) -> dict[str, Any]:
        invoice = await client.get(f"v1/invoices/{invoice_id}")
        try:
            return await client.get(f"v1/documents/{invoice['root']}")
        except CommandFailed as failure:
            if failure.code is not Exit.NOT_FOUND:
                raise
            raise CommandFailed(
                Exit.NOT_FOUND,
                f"the document of {invoice_id} is not sealed at this node",
                f"ask {invoice['seller']['name']} to export it: its node holds the file",
            ) from None

    document = run(work, session, _named(invoice_id))
    target = Path(folder)
    file, seed = target / f"{invoice_id}.xml", target / f"{invoice_id}.seed"
    place.write_file(file, b64decode(document["data"]))
    place.write_file(seed, (document["seed"] + "\n").encode("ascii"))
    output.one(
        {"schema": "hansa.export/1", "id": invoice_id, "file": str(file), "seed": str(seed), "root": document["root"]},
        session.output,
        [("file", str(file)), ("seed", str(seed)), ("root", document["root"])],
        str(file),
    )


@command.command("check")
@click.argument("invoice_id", metavar="ID")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.argument("seed", type=click.Path(exists=True, dir_okay=False))
@command_options
def check(session: Session, invoice_id: str, file: str, seed: str) -> None:
    """Compare a document you were handed with the root on the ledger, before you accept it (S90).

    \b
    hansa invoice check inv-… inv-….xml inv-….seed
    """
    from ledger.money import ISO_4217
    from node.documents.desk import recompute

    async def work(client: Client) -> str:
        return str((await client.get(f"v1/invoices/{quote(invoice_id, safe='')}"))["root"])

    root = run(work, session, _named(invoice_id))
    try:
        secret = bytes.fromhex(Path(seed).read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        raise CommandFailed(Exit.USAGE, f"{seed} holds no seed", "use the file that the seller exported") from None
    roots = asyncio.run(recompute(Path(file).read_bytes(), secret, ISO_4217))
    if root not in roots:
        raise CommandFailed(
            Exit.FINDINGS,
            f"{file} does not have the root that {invoice_id} has on the ledger",
            "do not accept; ask the seller for the document it issued",
        )
    output.one(
        {"schema": "hansa.document-check/1", "id": invoice_id, "file": file, "root": root, "number": roots[root]},
        session.output,
        [("invoice", invoice_id), ("file", file), ("number", roots[root]), ("root", f"{root}, as on the ledger")],
        invoice_id,
    )


def _other_signers(
    writing: Writing,
    act: str,
    other_home: str | None,
    other_people: Sequence[str],
    company: Callable[[Actor], Awaitable[str]],
) -> tuple[Sequence[str], Callable[[Actor], Awaitable[Sequence[SignerRef]]] | None]:
    """Return how the second company of an act signs: homes whose people sign here, or who signs on another machine.

    `company` is asked for the id of that company after the arguments of the act were made.
    """
    roles = ACTS[act].other_roles
    names = ", then ".join(role for role, _ in roles)
    if bool(other_home) == bool(other_people):
        times = "once" if len(roles) == 1 else f"{len(roles)} times"
        raise CommandFailed(
            Exit.USAGE,
            "people of both companies sign this",
            f"name --other-home when they sign here, or --other-person {times} ({names}) with --generate-only",
        )
    if not other_people:
        return [str(other_home)], None
    if len(other_people) != len(roles) or not (writing.generate_only or writing.dry_run):
        raise CommandFailed(
            Exit.USAGE,
            f"{len(other_people)} persons of the other company are named, and they do not sign here",
            f"name {len(roles)} with --other-person ({names}), and a file with --generate-only",
        )

    async def absent(actor: Actor) -> Sequence[SignerRef]:
        other = await company(actor)
        return [SignerRef(user, capacity, other) for user, (_, capacity) in zip(other_people, roles, strict=True)]

    return [], absent


def _named(invoice_id: str) -> tuple[str, str, str]:
    return "invoice", invoice_id, "hansa invoice list shows what there is"


def _check_id(text: str) -> None:
    """Refuse what is no object id before a file is named after it."""
    if not _OBJECT_ID.fullmatch(text):
        raise CommandFailed(Exit.USAGE, f"{text[:80]!r} is no id of an invoice", "hansa invoice list shows the ids")


def _who(moment: dict[str, Any]) -> str:
    """Return who signed: people of this company by name, other companies once with the number of their people."""
    seen: dict[str, int] = {}
    for signer in moment["signers"]:
        who = str(signer.get("label") or signer["company_name"])
        seen[who] = seen.get(who, 0) + 1
    return ", ".join(who if count == 1 else f"{who} ({count} people)" for who, count in seen.items())


def _expand(path: Path) -> list[Path]:
    return sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]


def _status(item: dict[str, Any]) -> str:
    parts = [str(item["document"]), str(item["status"]), *map(str, item["flags"])]
    return ", ".join(dict.fromkeys(parts))


def _next(item: dict[str, Any]) -> str:
    step = item.get("next")
    return (
        f"{step['company']['name']}: {step['act'].replace('_', ' ')}"
        if isinstance(step, dict) and "act" in step
        else ""
    )
