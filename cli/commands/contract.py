"""`hansa contract`: read the network's contracts, run them without consequence, and decide by vote which ones run.

The commands for files, which need no node, are in `contract_files.py`. L57 to L60 (plans, votes, what people see before
them), L65 (traces).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cli import output, place, planning
from cli.acting import Actor
from cli.amounts import show_amount
from cli.client import Client
from cli.commands.contract_files import COMMANDS, files_argument, language_option
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.language import chosen
from cli.phrases import words
from cli.profile import Session, command_options, run
from cli.wallet import Wallet


@click.group("contract")
def command() -> None:
    """Write, check, test, explain and compare contracts.

    \b
    hansa contract list
    hansa contract new notes
    hansa contract test notes.contract
    hansa contract explain notes.contract
    hansa contract propose notes.contract
    """


@command.command("list")
@place.height_option
@command_options
@place.list_options
def list_(session: Session, at_height: int | None) -> None:
    """List the contracts of the network that run in the next block, or in the one after HEIGHT.

    \b
    hansa contract list
    hansa contract list --columns name,version,code_id
    hansa contract list --at-height 12
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/contracts", place.height_param(at_height))

    found = run(work, session)
    rows = [
        [
            item["name"],
            str(item["version"]),
            str(item["actions_count"]),
            str(item["tables_count"]),
            item["code_id"][:16],
        ]
        for item in found["items"]
    ]
    output.emit(found, session.output, rows, ["NAME", "VERSION>", "ACTIONS>", "TABLES>", "CODE"])


@command.command()
@click.argument("name")
@click.option("--source", is_flag=True, help="Print its source text.")
@command_options
def show(session: Session, name: str, source: bool) -> None:
    """Show what a contract stores and can be asked to do, and who may ask.

    \b
    hansa contract show acceptance
    hansa contract show acceptance --source
    """

    async def work(client: Client) -> dict[str, Any]:
        try:
            return await client.get(f"v1/contracts/{name}")
        except CommandFailed as failure:
            if failure.code != Exit.NOT_FOUND:
                raise
            raise CommandFailed(Exit.NOT_FOUND, f"there is no contract {name}", "hansa contract list") from None

    found = run(work, session)
    if source:
        click.echo(found["source"] or "", nl=not (found["source"] or "").endswith("\n"))
        return
    if not session.talks:
        output.one(found, session.output, [], found["name"])
        return
    output.fields([("contract", f"{found['name']} version {found['version']}"), ("code", found["code_id"])])
    rows = []
    for kind in ("actions", "queries"):
        for method, schema in found[kind].items():
            params = ", ".join(f"{item['name']}: {item['type']}" for item in schema["params"])
            result = f" -> {schema['result']}" if schema["result"] else ""
            what = kind.removesuffix("s").replace("querie", "query")
            rows.append(
                [what, f"{method}({params}){result}", schema["authority"] or "anyone", str(schema["worst_gas"])]
            )
    rows += [
        ["table", f"{table}({', '.join(item['name'] for item in schema['fields'])})", "", ""]
        for table, schema in found["tables"].items()
    ]
    output.table(rows, ["KIND", "SIGNATURE", "BY", "GAS AT MOST>"])


_yes = click.option("--yes", is_flag=True, help="Sign without being asked.")
_people = click.option("--as", "people", multiple=True, help="Person who signs; repeat it for a second one.")
_expires = click.option(
    "--open-for", type=click.IntRange(1, 1_000_000), default=planning.OPEN_BLOCKS, show_default=True,
    help="Blocks for which votes are taken.",
)  # fmt: skip


@command.command()
@command_options
def plans(session: Session) -> None:
    """List what was proposed about contracts, newest first, with the votes so far.

    \b
    hansa contract plans
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/contract-plans")

    found = run(work, session)
    rows = [
        [
            item["id"],
            item["kind"],
            ", ".join(one["name"] for one in item["contracts"]),
            item["status"],
            f"{len(item['approving'])}/{item['quorum']}",
            next((str(one["active_from"]) for one in item["contracts"] if one.get("active_from")), ""),
        ]
        for item in found["items"]
    ]
    output.emit(found, session.output, rows, ["ID", "KIND", "CONTRACTS", "STATUS", "VOTES>", "FROM HEIGHT>"])


@command.command()
@command_options
def history(session: Session) -> None:
    """List every version of every contract, by the height from which it runs.

    \b
    hansa contract history
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/contract-history")

    found = run(work, session)
    rows = [
        [one["name"], str(step["active_from"]), "active" if step["active"] else "waits", one["code_id"][:16]]
        for step in found["items"]
        for one in step["contracts"]
    ]
    output.emit(found, session.output, rows, ["NAME", "FROM HEIGHT>", "STATE", "CODE"])


@command.command()
@click.argument("what", nargs=-1, required=True, metavar="PLAN | FILE…")
@language_option
@command_options
def review(session: Session, what: tuple[str, ...], lang: str | None) -> None:
    """Show what a PLAN, or contract FILES, would change: differences, permissions, costs, and plain sentences.

    \b
    hansa contract review late_fee
    hansa contract review late_fee.contract
    """
    language = lang or chosen()

    async def work(client: Client) -> dict[str, Any]:
        files = [Path(one) for one in what if Path(one).is_file()]
        if len(files) == len(what):
            items = await planning.review(client, _named(files))
            return {"plan": None, "items": [item.as_json(language) for item in items]}
        return await _reviewed(client, what[0], language)

    found = run(work, session)
    _show_review(session, {"schema": "hansa.contract-review/1", **found}, language)


@command.command()
@files_argument
@click.option("--delay", type=click.IntRange(0, 100_000), default=0, help="More blocks between acceptance and start.")
@_expires
@language_option
@_yes
@_people
@command_options
def propose(
    session: Session,
    files: tuple[str, ...],
    delay: int,
    open_for: int,
    lang: str | None,
    yes: bool,
    people: tuple[str, ...],
) -> None:
    """Propose that the contracts in FILES run on the network; they begin together once enough companies approve.

    The review is printed first: differences to the running version, who may do what, worst cases, plain sentences.

    \b
    hansa contract propose late_fee.contract
    """
    from ledger.codec import encode
    from ledger.governance.records import InstallContracts, PlannedContract

    sources = _named([Path(file) for file in files])
    language = lang or chosen()

    async def look(client: Client) -> dict[str, Any]:
        return {"plan": None, "items": [one.as_json(language) for one in await planning.review(client, sources, delay)]}

    found = run(look, session)
    if session.talks:
        planning.tell(found["items"], language)
    hashes = {item["name"]: bytes.fromhex(item["ir_hash"]) for item in found["items"]}
    plan = InstallContracts(
        tuple(PlannedContract(name, sources[name], hashes[name]) for name in sorted(sources)), delay
    )
    _propose(session, "contract", encode(plan), open_for, language, yes, people, found)


@command.command()
@click.argument("plan")
@click.option("--wait", is_flag=True, help="When this vote accepts it, return once it runs.")
@language_option
@_yes
@_people
@command_options
def approve(session: Session, plan: str, wait: bool, lang: str | None, yes: bool, people: tuple[str, ...]) -> None:
    """Vote for a PLAN, named by its id or by its contract, after its review was shown.

    \b
    hansa contract approve late_fee
    """
    language = lang or chosen()

    async def look(client: Client) -> dict[str, Any]:
        return await _reviewed(client, plan, language)

    found = run(look, session)
    if session.talks:
        _tell_plan(found, language)
    planning.agree(language, session.profile.name or "this company", yes=yes)
    _vote(session, found, True, language, people, wait=wait)


@command.command()
@click.argument("plan")
@language_option
@_people
@command_options
def reject(session: Session, plan: str, lang: str | None, people: tuple[str, ...]) -> None:
    """Vote against a PLAN, named by its id or by its contract.

    \b
    hansa contract reject late_fee
    """
    language = lang or chosen()

    async def look(client: Client) -> dict[str, Any]:
        return {"plan": await planning.find_plan(client, plan), "items": []}

    _vote(session, run(look, session), False, language, people)


def _order(verb: str, help_text: str) -> None:
    """Add a command that proposes an order about one contract: `suspend` or `resume` (L60)."""

    @command.command(verb, help=help_text)
    @click.argument("name")
    @_expires
    @language_option
    @_yes
    @_people
    @command_options
    def order(session: Session, name: str, open_for: int, lang: str | None, yes: bool, people: tuple[str, ...]) -> None:
        from ledger.codec import encode
        from ledger.governance.records import ResumeContract, SuspendContract

        payload = encode(SuspendContract(name) if verb == "suspend" else ResumeContract(name))
        _propose_order(session, f"{verb}_contract", payload, {"name": name}, open_for, lang, yes, people)


_order(
    "suspend",
    """Propose that calls of contract NAME are refused until it is resumed; hansa contract approve NAME agrees.

    \b
    hansa contract suspend late_fee
    """,
)
_order(
    "resume",
    """Propose that a suspended contract NAME is carried out again.

    \b
    hansa contract resume late_fee
    """,
)


@command.command()
@click.argument("name", required=False)
@command_options
def parked(session: Session, name: str | None) -> None:
    """List what schedules left undone because it ended with an error; hansa contract rearm lets it run again.

    \b
    hansa contract parked
    hansa contract parked late_fee
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/parked-entries")

    found = run(work, session)
    items = [item for item in found["items"] if name in (None, item["contract"])]
    rows = [
        [
            item["contract"],
            item["schedule"],
            item["key"] or "-",
            ""
            if item["row"] is None
            else ", ".join(f"{key} {_shown(value)}" for key, value in item["row"]["key"].items()),
            item["date"],
            f"{item['code']} {item['reason']}".strip(),
        ]
        for item in items
    ]
    headings = ["CONTRACT", "SCHEDULE", "ENTRY", "ROW", "DATE", "ERROR"]
    output.emit({**found, "items": items}, session.output, rows, headings)


@command.command()
@click.argument("name")
@click.argument("schedule")
@click.argument("entry", required=False)
@_expires
@language_option
@_yes
@_people
@command_options
def rearm(
    session: Session,
    name: str,
    schedule: str,
    entry: str | None,
    open_for: int,
    lang: str | None,
    yes: bool,
    people: tuple[str, ...],
) -> None:
    """Propose that SCHEDULE of contract NAME runs again for a parked ENTRY; the first digits of an entry are enough.

    ENTRY is left out when only one of this schedule is parked. It runs in the block after the vote.

    \b
    hansa contract rearm late_fee charge
    """
    from ledger.codec import encode
    from ledger.governance.records import RearmSchedule

    async def look(client: Client) -> dict[str, Any]:
        items = (await client.get("v1/parked-entries"))["items"]
        fitting = [item for item in items if (item["contract"], item["schedule"]) == (name, schedule)]
        exact = [item for item in fitting if item["key"].startswith((entry or "").lower())]
        if len(exact) != 1:
            raise CommandFailed(
                Exit.NOT_FOUND,
                f"{len(exact)} parked entries of {name}.{schedule} fit"
                if exact
                else f"no such entry of {name}.{schedule}",
                "hansa contract parked lists them",
            )
        found: dict[str, Any] = exact[0]
        return found

    payload = encode(RearmSchedule(name, schedule, bytes.fromhex(run(look, session)["key"])))
    about = {"name": name, "schedule": schedule}
    _propose_order(session, "rearm_schedule", payload, about, open_for, lang, yes, people)


@command.command()
@click.argument("contract", required=False)
@click.argument("method", required=False)
@click.argument("arguments", nargs=-1, metavar="[VALUE | NAME=VALUE]…")
@click.option("--transaction", metavar="ID", help="Repeat this one over the state before its block.")
@click.option("--at-height", type=click.IntRange(0), help="Run after this height; the newest state if left out.")
@click.option("--role", "roles", multiple=True, metavar="ROLE[:CAPACITY]", help="Who would sign.")
@click.option("--as", "people", multiple=True, help="Person who would sign; repeat it for a second one.")
@click.option(
    "--with-home", "homes", multiple=True, type=click.Path(file_okay=False), help="Other company that would sign too."
)
@click.option("--trace", is_flag=True, help="Show every statement that runs, with the values that change.")
@command_options
def simulate(
    session: Session,
    contract: str | None,
    method: str | None,
    arguments: tuple[str, ...],
    transaction: str | None,
    at_height: int | None,
    roles: tuple[str, ...],
    people: tuple[str, ...],
    homes: tuple[str, ...],
    trace: bool,
) -> None:
    """Run METHOD of CONTRACT without doing anything: what it reads, writes, posts and costs, or why it is refused.

    Queries are answered in the same way. Nothing is signed and nothing is kept.

    \b
    hansa contract simulate invoices receive inv-…
    hansa contract simulate invoices open_of inv-…
    hansa contract simulate --transaction 8d1f… --trace
    """
    from cli import rehearsing

    if (contract is None or method is None) == (transaction is None):
        raise CommandFailed(Exit.USAGE, "name a contract with a method, or a transaction", "hansa contract show NAME")

    async def work(client: Client) -> dict[str, Any]:
        if transaction is not None:
            body, height = await rehearsing.repeated(client, transaction)
        else:
            wallet = session.wallet()
            others = [Wallet(Path(home)) for home in homes]
            named = contract or "", method or ""
            body = await rehearsing.composed(client, wallet, named, arguments, roles, people, others)
            height = at_height
        found = await rehearsing.rehearse(client, body, height if at_height is None else at_height, trace=trace)
        return await rehearsing.for_people(client, found, talks=session.talks)

    found = run(work, session)
    sources, names = found.pop("sources"), found.pop("names")
    if session.talks:
        rehearsing.tell(found, sources, names)
    else:
        output.one(found, session.output, [], found["outcome"])


@command.command()
@click.argument("name")
@click.option("--from", "first", help="Cursor after which to begin, as the last line of a list shows it.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True, help="Events at most.")
@command_options
def events(session: Session, name: str, first: str | None, limit: int) -> None:
    """List what contract NAME announced about your company; `governance` announces votes and contracts to everybody.

    \b
    hansa contract events late_fee
    hansa contract events governance
    """

    async def work(client: Client) -> dict[str, Any]:
        asked = {"types": name, "limit": str(limit), **({"from": first} if first else {})}
        return await client.lines("v1/events", asked)

    found = run(work, session)
    rows = [
        [
            item["id"],
            item["time"],
            item["type"].partition(".")[2],
            ", ".join(f"{field} {_shown(value)}" for field, value in item["fields"].items()),
        ]
        for item in found["items"]
    ]
    output.emit(found, session.output, rows, ["CURSOR", "TIME", "EVENT", "FIELDS"])


def _shown(value: Any) -> str:
    """Return a field of an event for a person: amounts and companies by name."""
    if isinstance(value, dict) and "amount" in value:
        return show_amount(value, {})
    if isinstance(value, dict) and "name" in value:
        return str(value["name"])
    return "-" if value is None else str(value)


def _named(files: list[Path]) -> dict[str, bytes]:
    """Return the sources in files by the name each gives itself."""
    from cli.sources import SourceRefused, read_head

    found: dict[str, bytes] = {}
    for path in files:
        source = place.read_bytes(path, "contract")
        try:
            head = read_head(path, source)
        except SourceRefused as refusal:
            raise CommandFailed(Exit.FINDINGS, refusal.problem.words(), "correct the source") from None
        if head.kind != "contract" or head.name in found:
            raise CommandFailed(
                Exit.USAGE, f"{path} holds no contract, or one that was named before", "name each contract once"
            )
        found[head.name] = source
    return found


async def _reviewed(client: Client, named: str, language: str) -> dict[str, Any]:
    """Return a plan and the reviews of its contracts. One that is accepted is part of what runs, so it has none."""
    plan = await planning.find_plan(client, named)
    items: list[dict[str, Any]] = []
    if plan["kind"] == "contract" and plan["status"] == "open":
        sources = {one["name"]: one["source"].encode("utf-8") for one in plan["contracts"]}
        items = [one.as_json(language) for one in await planning.review(client, sources)]
        for item, stored in zip(items, plan["contracts"], strict=True):
            if (item["code_id"], item["ir_hash"]) != (stored["code_id"], stored["ir_hash"]):
                raise CommandFailed(
                    Exit.REJECTED,
                    f"{item['name']} compiles to {item['ir_hash']}, the plan is about {stored['ir_hash']}",
                    "vote against it: hansa contract reject; it was made with another version of the program",
                )
    return {"plan": plan, "items": items}


def _tell_plan(found: Mapping[str, Any], language: str) -> None:
    plan = found["plan"]
    planning.tell(found["items"], language)
    if plan is not None and plan["kind"] != "contract":
        verb = plan["kind"].partition("_")[0]
        click.echo(words(language, "review")[verb].format(**plan["contracts"][0]))
    if plan is not None:
        click.echo(planning.votes(plan, language))


def _show_review(session: Session, found: dict[str, Any], language: str) -> None:
    if session.talks:
        _tell_plan(found, language)
        return
    output.one(found, session.output, [], "" if found["plan"] is None else found["plan"]["id"])


def _propose_order(
    session: Session,
    kind: str,
    payload: bytes,
    about: Mapping[str, str],
    open_for: int,
    lang: str | None,
    yes: bool,
    people: tuple[str, ...],
) -> None:
    """Say in words what the order `kind` about these names does, and propose it."""
    language = lang or chosen()
    if session.talks:
        click.echo(words(language, "review")[kind.partition("_")[0]].format(**about))
    _propose(session, kind, payload, open_for, language, yes, people, {"plan": None, "items": []})


def _propose(
    session: Session,
    kind: str,
    payload: bytes,
    open_for: int,
    language: str,
    yes: bool,
    people: tuple[str, ...],
    found: Mapping[str, Any],
) -> None:
    planning.agree(language, session.profile.name or "this company", yes=yes)

    async def work(client: Client) -> dict[str, Any]:
        actor = Actor(client, session.wallet())
        status = await client.get("v1/status")
        expires = int(status["height_committed"]) + open_for
        done = await actor.do(
            planning.act("propose", actor.wallet), (kind, payload, expires), prefer=people, seconds=session.timeout_s
        )
        return {"transaction": done, "plan": await client.get(f"v1/contract-plans/{done['id']}")}

    done = run(work, session)
    document = {"schema": "hansa.contract-plan/1", **found, **done}
    if not session.talks:
        output.one(document, session.output, [], done["plan"]["id"])
        return
    identity = done["plan"]["id"]
    say = words(language, "review")
    click.echo(say["proposed"].format(id=identity, short=identity[: planning.ID_CHARS_MIN]))
    click.echo(planning.votes(done["plan"], language))


def _vote(
    session: Session,
    found: Mapping[str, Any],
    approving: bool,
    language: str,
    people: tuple[str, ...],
    wait: bool = False,
) -> None:
    identity = found["plan"]["id"]

    async def work(client: Client) -> dict[str, Any]:
        actor = Actor(client, session.wallet())
        done = await actor.do(
            planning.act("vote", actor.wallet),
            (bytes.fromhex(identity), approving),
            prefer=people,
            seconds=session.timeout_s,
        )
        plan = await client.get(f"v1/contract-plans/{identity}")
        if wait and plan["status"] == "accepted":
            await planning.until_active(client, plan, session.timeout_s)
        return {"transaction": done, "plan": plan}

    done = run(work, session)
    document = {"schema": "hansa.contract-vote/1", "items": found["items"], **done}
    if not session.talks:
        output.one(document, session.output, [], identity)
        return
    click.echo(planning.votes(done["plan"], language))


for each in COMMANDS:
    command.add_command(each)
