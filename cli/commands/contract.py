"""`hansa contract`: read the network's contracts; check, test and price contract files without a node (L8, L64, G5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli import output, place
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.profile import Session, command_options, run

_files = click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))


@click.group("contract")
def command() -> None:
    """Check and test contracts.

    \b
    hansa contract list
    hansa contract test notes.contract
    """


@command.command("list")
@command_options
def list_(session: Session) -> None:
    """List the contracts of the network.

    \b
    hansa contract list
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/contracts")

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


@command.command()
@_files
@place.output_option
def check(files: tuple[str, ...], form: str) -> None:
    """Compile contract FILES, with everything they use; the first fault of each is shown with its line.

    Used contracts are taken from the other FILES, from the same folder, or from the shipped library. Exit code 10
    when something is wrong.

    \b
    hansa contract check notes.contract
    """
    from cli.sources import SourceRefused, compile_unit, read_unit
    from ledger.money import ISO_4217

    paths = [Path(file) for file in files]
    items: list[dict[str, Any]] = []
    for path in paths:
        try:
            code, _ = compile_unit(read_unit(path, paths), ISO_4217)
            items.append({"file": str(path), "contract": code.name, "version": code.version, "problem": None})
        except SourceRefused as refusal:
            problem = refusal.problem
            items.append({"file": str(path), "problem": _problem(problem), "words": problem.words()})
    bad = [item for item in items if item["problem"]]
    if form == "json":
        shown = [{name: value for name, value in item.items() if name != "words"} for item in items]
        output.emit({"schema": "hansa.contract-check/1", "items": shown, "problems": len(bad)}, form, [], [])
    else:
        for item in items:
            click.echo(
                item["words"] if item["problem"] else f"{item['file']}: {item['contract']} v{item['version']} is right"
            )
    _end(len(bad), len(items), "files are not right")


@command.command()
@_files
@click.option("-q", "--quiet", is_flag=True, help="Show only tests that fail.")
@place.output_option
def test(files: tuple[str, ...], quiet: bool, form: str) -> None:
    """Run the tests in contract FILES, and in files of tests ("tests for NAME"). Exit code 10 when one fails.

    \b
    hansa contract test notes.contract
    """
    from cli.sources import SourceRefused, compile_unit, read_unit, refused
    from contracts.errors import LinkError, SourceError
    from contracts.testing import run_tests
    from ledger.money import ISO_4217

    paths = [Path(file) for file in files]
    items: list[dict[str, Any]] = []
    for path in paths:
        try:
            unit = read_unit(path, paths)
            compile_unit(unit, ISO_4217)
            try:
                report = run_tests(unit.source, unit.sources, ISO_4217)
            except SourceError as error:
                raise refused(str(path), unit.source, error) from None
        except SourceRefused as refusal:
            items.append(
                {
                    "file": str(path),
                    "title": "",
                    "passed": False,
                    "line": refusal.problem.line,
                    "problem": refusal.problem.words(),
                }
            )
            continue
        except LinkError as error:
            raise CommandFailed(Exit.REJECTED, f"{path}: {error}", "name the files of all used contracts") from None
        for result in report.results:
            items.append(
                {
                    "file": str(path),
                    "title": result.title,
                    "passed": result.passed,
                    "line": result.line,
                    "problem": result.problem,
                }
            )
    failed = [item for item in items if not item["passed"]]
    if form == "json":
        counts = {"passed": len(items) - len(failed), "failed": len(failed)}
        output.emit({"schema": "hansa.contract-test/1", "items": items, **counts}, form, [], [])
    else:
        for item in items:
            if not item["passed"]:
                click.echo(f"FAILED  {item['file']}:{item['line']}  {item['title']}\n    {item['problem']}")
            elif not quiet:
                click.echo(f"ok      {item['title']}")
        output.say(f"{len(items) - len(failed)} passed, {len(failed)} failed")
    _end(len(failed), len(items), "tests failed")


@command.command()
@_files
@place.output_option
def gas(files: tuple[str, ...], form: str) -> None:
    """Print the worst case of every action and query, which the compiler proves, beside the limits of a transaction.

    \b
    hansa contract gas notes.contract
    """
    from cli.sources import SourceRefused, compile_unit, read_unit
    from contracts import limits
    from ledger.money import ISO_4217

    paths = [Path(file) for file in files]
    items: list[dict[str, Any]] = []
    for path in paths:
        try:
            code, _ = compile_unit(read_unit(path, paths), ISO_4217)
        except SourceRefused as refusal:
            raise CommandFailed(Exit.FINDINGS, refusal.problem.words(), "correct the source") from None
        for kind, methods in (("action", code.interface.actions), ("query", code.interface.queries)):
            for name, schema in methods.items():
                items.append(
                    {
                        "contract": code.name,
                        "kind": kind,
                        "method": name,
                        "gas": schema.worst_gas,
                        "memory_bytes": schema.cost.memory,
                        "rows": schema.cost.rows_written,
                        "row_bytes": schema.cost.row_bytes,
                        "events": schema.cost.events,
                        "event_bytes": schema.cost.event_bytes,
                        "levels": schema.levels,
                    }
                )
    bounds = {
        "gas": limits.TX_GAS, "query_gas": limits.QUERY_GAS, "memory_bytes": limits.TX_MEMORY_BYTES,
        "rows": limits.TX_ROWS, "row_bytes": limits.TX_ROW_BYTES, "events": limits.TX_EVENTS,
        "event_bytes": limits.TX_EVENT_BYTES, "levels": limits.CALL_LEVELS,
    }  # fmt: skip
    columns = ("gas", "memory_bytes", "rows", "row_bytes", "events", "event_bytes", "levels")
    rows = [[f"{item['contract']}.{item['method']}", *(str(item[name]) for name in columns)] for item in items]
    rows.append(["limit of a transaction", *(str(bounds[name]) for name in columns)])
    header = ["METHOD", "GAS>", "MEMORY>", "ROWS>", "ROW BYTES>", "EVENTS>", "EVENT BYTES>", "LEVELS>"]
    output.emit({"schema": "hansa.contract-gas/1", "items": items, "limits": bounds}, form, rows, header)


def _problem(problem: Any) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in ("file", "code", "line", "column", "text", "source_line")}


def _end(bad: int, count: int, what: str) -> None:
    if bad:
        raise CommandFailed(Exit.FINDINGS, f"{bad} of {count} {what}", "the rules are in docs/contract-language.md")
