"""`hansa ledger`: the company's books as the chain gives them, as of any date (F70 to F72)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from cli import amounts, output, place
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.language import text
from cli.profile import Session, command_options, run

if TYPE_CHECKING:
    from cli.proving import Proven


@click.group("ledger")
def command() -> None:
    """Balances, trial balance, ageing.

    \b
    hansa ledger trial-balance --as-of 2026-03-31
    hansa ledger trial-balance --verify
    hansa ledger ageing --side receivable
    """


def _read(
    session: Session,
    path: str,
    params: dict[str, str | None],
    check: Callable[[dict[str, Any], Proven], None] | None = None,
    genesis: str = "",
) -> dict[str, Any]:
    chosen = {name: value for name, value in params.items() if value}
    if check is not None and "at_height" in chosen:
        raise CommandFailed(
            Exit.USAGE,
            "--verify computes at the last certified height, so --at-height cannot name another",
            "leave one of them out; --as-of gives the books of any date",
        )

    async def work(client: Client) -> dict[str, Any]:
        if check is None:
            return await client.get(path, chosen)
        from cli import proving

        proven = await proving.fetch(client, genesis, session.profile.home)
        document = await client.get(path, {**chosen, "at_height": str(proven.height)})
        check(document, proven)
        signed = f"signed by {len(proven.summary['signers'])} of {proven.summary['members']} members"
        if session.talks:
            output.say(
                f"proven at height {proven.height}: {signed}; figures computed again from the proven rows are equal"
            )
        return document | {"proven_at": proven.height}

    return run(work, session)


def _balances_hold(document: dict[str, Any], proven: Proven) -> None:
    from cli import proving

    name = "closing" if "totals" in document else "balance"
    shown = {(item["account"], item[name]["currency"]): proving.minor_of(item[name]) for item in document["items"]}
    proving.compare(shown, proven.closing(document["as_of"]), "account")


def _ageing_holds(document: dict[str, Any], proven: Proven) -> None:
    from cli import proving

    shown: dict[str, int] = {}
    for item in document["totals"]:
        shown[item["currency"]] = sum(proving.minor_of(value) for value in item["buckets"])
    proving.compare(shown, proven.open_by_currency(document["as_of"], document["side"]), "open items in")


_TOTAL: Final = {"en": "total", "zh-CN": "合计"}
_verify = click.option(
    "--verify",
    is_flag=True,
    help="Compute the figures again from rows proven at the last certified height, and compare.",
)
_genesis = click.option("--genesis", default="", help="Genesis file to trust; that of the home if left out.")


@command.command()
@place.as_of_option
@_verify
@_genesis
@place.height_option
@command_options
@place.list_options
def balance(session: Session, as_of: str | None, verify: bool, genesis: str, at_height: int | None) -> None:
    """Print the balance of every account; debit is positive.

    \b
    hansa ledger balance --as-of 2026-03-31
    hansa ledger balance --columns account,balance
    """
    check = _balances_hold if verify else None
    document = _read(session, "v1/ledger/balances", {"as_of": as_of, **place.height_param(at_height)}, check, genesis)
    rows = [
        [item["account"], text(item["name"]), amounts.show_amount(item["balance"], {})] for item in document["items"]
    ]
    output.emit(document, session.output, rows, ["ACCOUNT", "NAME", "BALANCE>"])
    _foot(session, document)


@command.command("trial-balance")
@place.as_of_option
@_verify
@_genesis
@place.height_option
@command_options
@place.list_options
def trial_balance(session: Session, as_of: str | None, verify: bool, genesis: str, at_height: int | None) -> None:
    """Print debits and credits of every account; they must be equal.

    \b
    hansa ledger trial-balance --verify
    """
    check = _balances_hold if verify else None
    document = _read(
        session, "v1/ledger/trial-balance", {"as_of": as_of, **place.height_param(at_height)}, check, genesis
    )
    rows = [
        [
            item["account"],
            text(item["name"]),
            amounts.show_amount(item["debit"], {}),
            amounts.show_amount(item["credit"], {}),
        ]
        for item in document["items"]
    ]
    for total in document["totals"]:
        debit, credit = (amounts.show_amount(total[side], {}) for side in ("debit", "credit"))
        rows.append(["", text(_TOTAL), debit, credit])
    output.emit(document, session.output, rows, ["ACCOUNT", "NAME", "DEBIT>", "CREDIT>"])
    _foot(session, document)


@command.command()
@click.option(
    "--side",
    type=click.Choice(["receivable", "payable"]),
    default="receivable",
    show_default=True,
    help="What is owed to us, or by us.",
)
@place.as_of_option
@_verify
@_genesis
@place.height_option
@command_options
@place.list_options
def ageing(session: Session, side: str, as_of: str | None, verify: bool, genesis: str, at_height: int | None) -> None:
    """Print open items by days overdue.

    \b
    hansa ledger ageing --side payable --as-of 2026-03-31
    """
    check = _ageing_holds if verify else None
    document = _read(
        session, "v1/ledger/ageing", {"side": side, "as_of": as_of, **place.height_param(at_height)}, check, genesis
    )
    names = [f"{name} days" if name[-1:].isdigit() else name.replace("_", " ") for name in document["buckets"]]
    rows, records = [], []
    for item in document["items"]:
        buckets = dict(zip(names, item["buckets"], strict=True))
        records.append({**{name: value for name, value in item.items() if name != "buckets"}, **buckets})
    for item in [*document["items"], *document["totals"]]:
        partner = item["partner"]["name"] if item["partner"] else text(_TOTAL)
        values = [amounts.show_amount(value, {}) for value in item["buckets"]]
        rows.append([partner, *values, amounts.show_amount(item["total"], {})])
    output.emit(document, session.output, rows, ["PARTNER", *(f"{name}>" for name in names), "TOTAL>"], records)
    _foot(session, document)


@command.command()
@place.as_of_option
@place.height_option
@place.page_options
@command_options
@place.list_options
def journal(session: Session, as_of: str | None, limit: int, cursor: str | None, at_height: int | None) -> None:
    """Print journal entries with their vouchers, in order.

    \b
    hansa ledger journal -o csv
    """
    params = {"as_of": as_of, "limit": str(limit), "cursor": cursor, **place.height_param(at_height)}
    document = _read(session, "v1/ledger/journal", params)
    rows, records = [], []
    for item in document["items"]:
        head = {name: item[name] for name in ("voucher", "date", "text")}
        records += [{**head, **line} for line in item["lines"]]
        for line in item["lines"]:
            rows.append(
                [
                    item["voucher"],
                    item["date"],
                    line["account"],
                    text(line["name"]),
                    amounts.show_amount(line["amount"], {}) if line["side"] == "debit" else "",
                    amounts.show_amount(line["amount"], {}) if line["side"] == "credit" else "",
                ]
            )
    output.emit(document, session.output, rows, ["VOUCHER", "DATE", "ACCOUNT", "NAME", "DEBIT>", "CREDIT>"], records)
    if session.talks:
        output.foot(document, [f"as of {document['as_of'] or 'today'}"], len(document["items"]))


@command.command("open-items")
@click.option(
    "--side",
    type=click.Choice(["receivable", "payable"]),
    default="receivable",
    show_default=True,
    help="What is owed to us, or by us.",
)
@place.as_of_option
@place.height_option
@command_options
@place.list_options
def open_items(session: Session, side: str, as_of: str | None, at_height: int | None) -> None:
    """Print what is open, item by item, with the days each is overdue.

    \b
    hansa ledger open-items --side payable
    hansa ledger open-items --filter due=2026-03-31
    """
    document = _read(session, "v1/ledger/open-items", {"side": side, "as_of": as_of, **place.height_param(at_height)})
    rows = [
        [
            item["id"],
            item["partner"]["name"],
            item["due"],
            str(item["days_overdue"]),
            amounts.show_amount(item["open"], {}),
        ]
        for item in document["items"]
    ]
    output.emit(document, session.output, rows, ["ID", "PARTNER", "DUE", "DAYS OVERDUE>", "OPEN>"])
    _foot(session, document)


def _foot(session: Session, document: dict[str, Any]) -> None:
    if session.talks:
        output.say(f"as of {document.get('as_of', 'today')}, height {document['height']}")
