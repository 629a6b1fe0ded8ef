"""`hansa contract` for files: write, check, test, explain, trace and compare contracts without a node.

L8 (errors), L64 and L65 (tests, traces), G5 (worst cases).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from cli import output, place
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.language import LANGUAGES, chosen
from cli.phrases import sentence, words

files_argument = click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
language_option = click.option(
    "--lang", type=click.Choice(LANGUAGES), default=None, help="Language; HANSA_LANG or the locale if left out."
)


def kit(key: str, **parts: object) -> str:
    """Return a sentence of the kit in the chosen language."""
    return words(chosen(), "kit")[key].format(**parts)


@click.command()
@files_argument
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
                item["words"]
                if item["problem"]
                else kit("right", file=item["file"], contract=item["contract"], version=item["version"])
            )
    _end(len(bad), len(items), "wrong_files")


@click.command()
@files_argument
@click.option("-q", "--quiet", is_flag=True, help="Show only tests that fail.")
@click.option("--coverage", is_flag=True, help="Show the lines, refusals and branches that no test reaches.")
@click.option("--property", "generated", is_flag=True, help="Make generated calls and look for missing refusals.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Repeats generated calls."
)
@click.option("--runs", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Generated sequences.")
@place.output_option
def test(files: tuple[str, ...], quiet: bool, coverage: bool, generated: bool, seed: int, runs: int, form: str) -> None:
    """Run the tests in contract FILES, and in files of tests ("tests for NAME"). Exit code 10 when one fails.

    With --property, calls are generated from the tests and at random; a call that only an invariant, an `ensure` or
    the range of a number stops is shown, because no `require` tells the person who calls. That is a finding too.

    \b
    hansa contract test notes.contract
    hansa contract test --coverage --property notes.contract
    """
    from cli.sources import SourceRefused, compile_unit, read_unit, refused
    from contracts.errors import LinkError, SourceError
    from contracts.kit import observe
    from contracts.kit.explore import explore
    from contracts.testing import run_tests
    from ledger.money import ISO_4217

    paths = [Path(file) for file in files]
    items: list[dict[str, Any]] = []
    reached: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for path in paths:
        try:
            unit = read_unit(path, paths)
            compile_unit(unit, ISO_4217)
            try:
                if coverage:
                    report, part = observe.coverage(unit.source, unit.sources, ISO_4217)
                    reached.append(_reached(str(path), part))
                else:
                    report = run_tests(unit.source, unit.sources, ISO_4217)
                if generated:
                    found.append(_explored(str(path), explore(unit.source, unit.sources, ISO_4217, seed, runs)))
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
        more = {"coverage": reached} if coverage else {}
        more |= {"generated": found} if generated else {}
        output.emit({"schema": "hansa.contract-test/1", "items": items, **counts, **more}, form, [], [])
    else:
        for item in items:
            if not item["passed"]:
                click.echo(kit("failed", file=item["file"], line=item["line"], title=item["title"]))
                click.echo(f"    {sentence(item['problem'])}")
            elif not quiet:
                click.echo(kit("passed", title=item["title"]))
        _say_reached(reached)
        _say_found(found)
        output.say(kit("counted", passed=len(items) - len(failed), failed=len(failed)))
    _end(len(failed), len(items), "wrong_tests")
    _end(sum(len(part["findings"]) for part in found), sum(part["calls"] for part in found), "wrong_calls")


@click.command()
@files_argument
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit code 10 when a file is not tidy.")
def fmt(files: tuple[str, ...], only_check: bool) -> None:
    """Give contract FILES the one layout. Lines stay where they are, and the meaning (IR hash) stays the same.

    \b
    hansa contract fmt notes.contract
    """
    from cli.sources import refused
    from contracts.errors import SourceError
    from contracts.kit.layout import tidy

    untidy = 0
    for path in (Path(file) for file in files):
        source = place.read_bytes(path, "contract")
        try:
            shaped = tidy(source)
        except SourceError as error:
            raise CommandFailed(
                Exit.FINDINGS, refused(str(path), source, error).problem.words(), "correct the source first"
            ) from None
        if shaped == source:
            continue
        untidy += 1
        if only_check:
            click.echo(kit("untidy", file=path))
        else:
            path.write_bytes(shaped)
            click.echo(kit("tidied", file=path))
    if only_check:
        _end(untidy, len(files), "wrong_layout")


@click.command()
@files_argument
@language_option
@place.output_option
def explain(files: tuple[str, ...], lang: str | None, form: str) -> None:
    """Say in plain sentences what contract FILES keep, who may do what, and what always holds.

    The sentences come from the compiled contract, not from its comments.

    \b
    hansa contract explain notes.contract
    hansa contract explain --lang zh-CN notes.contract
    """
    from cli.sources import SourceRefused, compile_unit, read_unit
    from contracts.kit.explain import explain as tell
    from ledger.money import ISO_4217

    paths = [Path(file) for file in files]
    items: list[dict[str, Any]] = []
    for path in paths:
        try:
            code, _ = compile_unit(read_unit(path, paths), ISO_4217)
        except SourceRefused as refusal:
            raise CommandFailed(Exit.FINDINGS, refusal.problem.words(), "correct the source") from None
        told = tell(code, words(lang or chosen(), "explain"))
        items.append({"contract": code.name, "sentences": [item._asdict() for item in told]})
    if form == "json":
        output.emit({"schema": "hansa.contract-explain/1", "language": lang or chosen(), "items": items}, form, [], [])
        return
    for item in items:
        for line in item["sentences"]:
            if line["level"] == 0:
                click.echo("")
            click.echo("    " * line["level"] + line["text"])


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.argument("title")
@place.output_option
def trace(file: str, title: str, form: str) -> None:
    """Run the one test of FILE with this TITLE, and show each line it runs, with gas and the values that changed.

    \b
    hansa contract trace notes.contract "a note is kept"
    """
    from cli.sources import SourceRefused, compile_unit, read_unit
    from contracts.kit import observe
    from ledger.money import ISO_4217

    path = Path(file)
    try:
        unit = read_unit(path)
        compile_unit(unit, ISO_4217)
    except SourceRefused as refusal:
        raise CommandFailed(Exit.FINDINGS, refusal.problem.words(), "correct the source") from None
    report, entries = observe.trace(unit.source, unit.sources, ISO_4217, title)
    if not report.results:
        raise CommandFailed(Exit.NOT_FOUND, f"{file} has no test called {title!r}", f"hansa contract test {file}")
    texts = {name: source.decode("ascii").split("\n") for name, source in (*unit.sources, (unit.name, unit.source))}
    rows = [
        [
            f"{entry.contract}:{entry.line}",
            str(entry.gas_used),
            texts[entry.contract][entry.line - 1].strip(),
            ", ".join(f"{name} = {value}" for name, value in entry.locals),
        ]
        for entry in entries
    ]
    items = [{**entry._asdict(), "locals": dict(entry.locals)} for entry in entries]
    result = report.results[0]
    document = {"schema": "hansa.contract-trace/1", "passed": result.passed, "problem": result.problem, "items": items}
    output.emit(document, form, rows, ["LINE", "GAS>", "STATEMENT", "VALUES"])
    if not result.passed:
        raise CommandFailed(Exit.FINDINGS, kit("wrong_trace", problem=sentence(result.problem)), kit("rules"))


@click.command()
@click.argument("old", type=click.Path(exists=True, dir_okay=False))
@click.argument("new", type=click.Path(exists=True, dir_okay=False))
@click.option("--rules", is_flag=True, help="Only lines that grant, refuse, bound or promise something.")
@place.output_option
def diff(old: str, new: str, rules: bool, form: str) -> None:
    """Show what changed from contract OLD to NEW, declaration by declaration: added, removed, changed.

    Spaces, comments, tests and the order of declarations are no change.

    \b
    hansa contract diff notes.contract notes-2.contract
    """
    from cli.sources import refused
    from contracts.errors import SourceError
    from contracts.kit.compare import compare

    sources = [place.read_bytes(Path(file), "contract") for file in (old, new)]
    try:
        changes = [item for item in compare(*sources) if item.rule or not rules]
    except SourceError as error:
        raise CommandFailed(Exit.FINDINGS, refused(new, sources[1], error).problem.words(), "correct it") from None
    if form == "json":
        document = {"schema": "hansa.contract-diff/1", "items": [item._asdict() for item in changes]}
        output.emit(document, form, [], [])
        return
    for item in changes:
        mark = "*" if item.rule else " "
        click.echo(f"{mark} {kit(item.kind)} {item.declaration}")
        if item.old:
            click.echo(f"    - {item.old_line}: {item.old}")
        if item.new:
            click.echo(f"    + {item.new_line}: {item.new}")
    output.say(kit("changes", count=len(changes), rules=sum(item.rule for item in changes)))


@click.command()
@click.argument("name")
@click.option("--folder", type=click.Path(exists=True, file_okay=False), default=".", help="Where the file goes.")
def new(name: str, folder: str) -> None:
    """Write a first contract NAME with one table, one action and one test, to change from there.

    \b
    hansa contract new notes
    """
    from cli.sources import SUFFIX
    from contracts.errors import SourceError
    from contracts.runtime import load
    from ledger.money import ISO_4217

    source = SKELETON.replace("NAME", name).encode("utf-8")
    try:
        load(source, {}, ISO_4217)
    except SourceError as error:
        step = "use small letters, digits and _, beginning with a letter"
        if error.code in ("reserved_name", "predefined_name", "syntax") and name.isidentifier() and name.islower():
            step = f"the language or the ledger has this word for itself; try my_{name}"
        raise CommandFailed(Exit.USAGE, f"{name!r} is no name of a contract", step) from None
    path = Path(folder) / f"{name}{SUFFIX}"
    if path.exists():
        raise CommandFailed(Exit.REJECTED, f"{path} is there already", "choose another name, or another --folder")
    path.write_bytes(source)
    click.echo(kit("written", file=path))


SKELETON = """contract NAME version 1

table Note key id: text(40):
    author: party, words: text(200), written: date

event Written: id: text(40), author: party

action write(words: text(200)) -> text(40) by role preparer of caller:
    require count(words) > 0 else empty "a note has words"
    let id = new_id("note")
    insert Note(id = id, author = caller, words = words, written = today)
    emit Written(id = id, author = caller)
    return id

query words_of(id: text(40)) -> text(200):
    return Note[id].words

test "a note is written and read":
    parties acme
    as acme role preparer:
        expect abort empty: write("")
        let id = write("hello")
    expect words_of(id) == "hello"
    expect emitted Written(id = id, author = acme)
"""
"""What `new` writes; NAME stands for the name."""


def _reached(file: str, part: Any) -> dict[str, Any]:
    missed = [item._asdict() for item in part.missed]
    return {"file": file, "contract": part.contract, "lines": list(part.lines), "branches": list(part.branches),
            "missed": missed}  # fmt: skip


def _say_reached(parts: list[dict[str, Any]]) -> None:
    for part in parts:
        for item in part["missed"]:
            click.echo(f"{part['file']}:{item['line']}  {kit(item['kind'])}: {item['text']}")
        (lines, all_lines), (branches, all_branches) = part["lines"], part["branches"]
        counts = {"lines": lines, "all_lines": all_lines, "branches": branches, "all_branches": all_branches}
        click.echo(kit("reached", contract=part["contract"], **counts))


def _explored(file: str, part: Any) -> dict[str, Any]:
    findings = [item._asdict() for item in part.findings]
    return {"file": file, "contract": part.contract, "seed": part.seed, "calls": part.succeeded + part.refused,
            "succeeded": part.succeeded, "findings": findings, "never": list(part.never)}  # fmt: skip


def _say_found(parts: list[dict[str, Any]]) -> None:
    for part in parts:
        for item in part["findings"]:
            told = {name: item[name] for name in ("line", "code", "call", "text")}
            click.echo(kit("stopped", file=part["file"], **told))
            for call in item["calls"]:
                click.echo(f"    {kit('after', call=call)}")
        if part["never"]:
            click.echo(kit("never", contract=part["contract"], names=", ".join(part["never"])))
        told = {name: part[name] for name in ("contract", "calls", "succeeded", "seed")}
        click.echo(kit("generated", **told))


@click.command()
@files_argument
@place.output_option
def gas(files: tuple[str, ...], form: str) -> None:
    """Print the worst case of every action, query and schedule, which the compiler proves, beside the limits.

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
        for kind, methods in (
            ("action", code.interface.actions),
            ("query", code.interface.queries),
            ("schedule", code.interface.schedules),
        ):
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
        raise CommandFailed(Exit.FINDINGS, kit(what, bad=bad, count=count), kit("rules"))


COMMANDS: Final[tuple[click.Command, ...]] = (check, test, fmt, explain, trace, diff, new, gas)
