"""Contracts by vote from the command line: what a plan would change, in words, and the calls that decide it (L57-L60).

A review is made here, from sources: the node hands out every source that was accepted, and this program compiles them
and the new ones by itself. The node compiles the same in a process of its own; when the two differ, one of them is not
what the companies run, and nothing is signed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from cli.calls import Act
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.phrases import words
from cli.sources import Problem

if TYPE_CHECKING:
    from cli.wallet import Wallet
    from contracts.runtime import Code

GAS: Final = 150_000
"""More than any call about contracts takes: gas of governance is counted by bytes, not proven by a compiler."""
POLL_S: Final = 0.2
"""Seconds between two looks at the height."""
OPEN_BLOCKS: Final = 20_000
"""Heights for which a plan is open unless told otherwise: some hours under load, days without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedContract:
    """A contract of a plan beside the version that runs; `problem_rows` are stored rows that do not fit it."""

    code: Code
    before: Code | None
    problem_rows: tuple[Mapping[str, Any], ...]

    def as_json(self, language: str) -> dict[str, Any]:
        """Return everything a person decides on; sentences are in `language`, all else is the same in every one."""
        from contracts.kit.compare import compare
        from contracts.kit.explain import explain

        face, old = self.code.interface, self.before
        return {
            "name": self.code.name,
            "version": self.code.version,
            "replaces": self.code.tree.replaces or None,
            "code_id": face.code_id.hex(),
            "ir_hash": face.ir_hash.hex(),
            "changes": [] if old is None else [item._asdict() for item in compare(old.source, self.code.source)],
            "permissions": [
                {
                    "method": name,
                    "authority": method.authority,
                    "worst_gas": method.worst_gas,
                    "changed": old is not None and _authority(old, name) != method.authority,
                }
                for name, method in face.actions.items()
            ],
            "schedules": [{"name": name, "worst_gas": schedule.worst_gas} for name, schedule in face.schedules.items()],
            "uses": [{"name": name, "new": old is None or name not in old.used} for name in sorted(self.code.used)],
            "failing_rows": [dict(row) for row in self.problem_rows],
            "sentences": [told._asdict() for told in explain(self.code, words(language, "explain"))],
        }


async def review(client: Client, sources: Mapping[str, bytes], delay: int | None = None) -> list[ReviewedContract]:
    """Return what `sources` are after everything accepted so far; raise when they do not compile or fit.

    `delay`: that of a plan still to be proposed; new indexes are built before it begins (L59).
    """
    from contracts.errors import ContractsError
    from node.core.programs import Programs

    asked = [{"name": name, "source": source.decode("utf-8", "replace")} for name, source in sorted(sources.items())]
    verdict = await client.post("v1/contract-reviews", {"contracts": asked})
    if verdict["fault"] is not None:
        raise _refusal(verdict["fault"], sources)
    if delay is not None:
        _need_time_for_indexes(verdict, delay)
    history = await client.get("v1/contract-history")
    network = await client.get("v1/network")
    currencies = {item["code"]: int(item["decimals"]) for item in network["currencies"]}
    steps = [{one["name"]: one["source"].encode("utf-8") for one in step["contracts"]} for step in history["items"]]
    programs = Programs(currencies)
    try:
        before = programs.compiled(steps)
        after = programs.compiled([*steps, dict(sources)])
    except ContractsError as error:
        raise CommandFailed(
            Exit.REJECTED, f"the node compiles this, and this program does not: {error}", "bring both to one version"
        ) from None
    found: list[ReviewedContract] = []
    for item in verdict["contracts"]:
        code = after[item["name"]]
        if code.interface.ir_hash.hex() != item["ir_hash"]:
            raise CommandFailed(
                Exit.REJECTED,
                f"{code.name} compiles to {code.interface.ir_hash.hex()} here and to {item['ir_hash']} at the node",
                "one of the two is not the version that the companies run: do not sign",
            )
        found.append(
            ReviewedContract(code=code, before=before.get(code.name), problem_rows=tuple(item["failing_rows"]))
        )
    return found


def tell(items: Sequence[Mapping[str, Any]], language: str) -> None:
    """Print reviews, made by `as_json` in the same language, for a person."""
    say = words(language, "review")
    for item in items:
        head = say["replaces"] if item["replaces"] else say["first"]
        click.echo(head.format(name=item["name"], version=item["version"], replaces=item["replaces"]))
        click.echo("  " + say["hashes"].format(code=item["code_id"], ir=item["ir_hash"]))
        if item["replaces"]:
            click.echo("  " + (say["changes"] if item["changes"] else say["no_changes"]))
            for change in item["changes"]:
                mark = "*" if change["rule"] else " "
                click.echo(f"  {mark} {say[change['kind']]} {change['declaration']}")
                if change["old"]:
                    click.echo(f"      - {change['old_line']}: {change['old']}")
                if change["new"]:
                    click.echo(f"      + {change['new_line']}: {change['new']}")
        click.echo("  " + say["permissions"])
        for one in item["permissions"]:
            line = say["permission_changed" if one["changed"] else "permission"]
            click.echo("    " + line.format(method=one["method"], who=one["authority"], gas=one["worst_gas"]))
        for one in item["schedules"]:
            click.echo("    " + say["schedule"].format(name=one["name"], gas=one["worst_gas"]))
        names = say["comma"].join(
            say["new_call"].format(name=one["name"]) if one["new"] else one["name"] for one in item["uses"]
        )
        click.echo("  " + (say["calls"].format(names=names) if names else say["no_calls"]))
        for row in item["failing_rows"]:
            click.echo("  " + say["failing"].format(table=row["table"], key=row["key"], line=row["line"]))
        click.echo("  " + say["explained"])
        for sentence in item["sentences"]:
            click.echo("    " * (sentence["level"] + 1) + sentence["text"])


def act(method: str, wallet: Wallet) -> Act:
    """Return a call of governance: signed by a governor, and a company_admin or else a second governor (S22)."""
    admin = any("company_admin" in person.roles for person in wallet.people)
    return Act(
        "governance", method, (("governor", "maker"), ("company_admin" if admin else "governor", "checker")), gas=GAS
    )


async def find_plan(client: Client, named: str) -> dict[str, Any]:
    """Return the plan with this id, or the open one about the contract with this name."""
    plans = (await client.get("v1/contract-plans"))["items"]
    exact = [plan for plan in plans if named and plan["id"].startswith(named.lower())]
    about = [plan for plan in plans if plan["status"] == "open" and named in [one["name"] for one in plan["contracts"]]]
    found = exact if len(named) >= ID_CHARS_MIN and exact else about
    if len(found) != 1:
        count = f"{len(found)} plans fit" if found else "there is no open plan for"
        raise CommandFailed(Exit.NOT_FOUND, f"{count} {named!r}", "hansa contract plans lists their ids")
    return await client.get(f"v1/contract-plans/{found[0]['id']}")


ID_CHARS_MIN: Final = 8
"""First characters of an id that are enough to name it."""


def votes(plan: Mapping[str, Any], language: str) -> str:
    """Return who agrees so far and when it begins, as one line."""
    say = words(language, "review")
    names = say["comma"].join(company["name"] for company in plan["approving"])
    parts = [say["votes"].format(count=len(plan["approving"]), quorum=plan["quorum"], names=names or "-")]
    begins = [one["active_from"] for one in plan["contracts"] if one.get("active_from")]
    if begins:
        parts.append(say["begins"].format(height=begins[0]))
    return f"{say[plan['status']]}; " + "; ".join(parts)


async def until_active(client: Client, plan: Mapping[str, Any], seconds: float) -> None:
    """Wait until the contracts of an accepted plan run; on an idle network blocks follow until then by themselves."""
    begin = max((one.get("active_from") or 0 for one in plan["contracts"]), default=0)
    ends = time.monotonic() + seconds
    while True:
        height = int((await client.get("v1/status"))["height_executed"])
        if height + 1 >= begin:
            return
        if time.monotonic() >= ends:
            raise CommandFailed(
                Exit.UNKNOWN,
                f"it runs from height {begin} on, and the node is at {height}",
                "look again with hansa contract history, or wait longer with --timeout",
            )
        await asyncio.sleep(POLL_S)


def agree(language: str, company: str, *, yes: bool) -> None:
    """Ask the person who signs; without a terminal `--yes` stands for the answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandFailed(Exit.USAGE, "there is no terminal to ask whether this is wanted", "read it, and say --yes")
    if not click.confirm(words(language, "review")["ask"].format(company=company), err=True):
        raise CommandFailed(Exit.NOT_ALLOWED, "nothing was signed", "hansa contract plans shows what is open")


def _authority(code: Code, method: str) -> str:
    known = code.interface.actions.get(method)
    return "" if known is None else known.authority


def _need_time_for_indexes(verdict: Mapping[str, Any], delay: int) -> None:
    rows, most, least = int(verdict["index_rows"]), int(verdict["index_rows_max"]), int(verdict["delay_min"])
    if rows > most:
        raise CommandFailed(
            Exit.REJECTED,
            f"new indexes over more than {most} stored rows cannot be built before it begins",
            "index them in a new table, which rows enter as they are written",
        )
    if delay < least:
        raise CommandFailed(
            Exit.REJECTED,
            f"new indexes over {rows} stored rows need more blocks than there are before it begins",
            f"propose it with --delay {least} or more",
        )


def _refusal(fault: Mapping[str, Any], sources: Mapping[str, bytes]) -> CommandFailed:
    lines = sources.get(fault["contract"], b"").decode("utf-8", "replace").splitlines()
    line = int(fault["line"])
    problem = Problem(
        file=fault["contract"],
        code=fault["code"],
        line=line,
        column=int(fault["column"]),
        text=fault["text"],
        source_line=lines[line - 1] if 1 <= line <= len(lines) else "",
    )
    return CommandFailed(Exit.FINDINGS, problem.words(), "correct the source; hansa contract check shows each fault")
