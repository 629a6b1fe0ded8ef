"""Foreign documents on their way to the ledger: upload to the own node, sign, submit, wait (U13, X4).

One file may hold several documents; each ends as issued, credited or refused with a field and a reason. Importing the
same file again changes nothing: the number is taken, and the ledger says by which rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cli.acting import Actor
from cli.calls import ACTS
from cli.exit_codes import Exit
from cli.failure import CommandFailed

FILE_MAX_BYTES: Final = 5 * 1024 * 1024
"""Size of one foreign document (S57); larger files are not uploaded."""
TERMS_DAYS: Final = 30
"""Days until an invoice is due whose document names no date, unless a person says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of one document."""

    file: str
    number: str
    kind: str
    outcome: str
    object_id: str
    field: str
    reason: str
    buyer: str = ""
    total: str = ""
    transaction: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the entry of the import's JSON result."""
        return {name: getattr(self, name) for name in self.__slots__}


async def import_files(
    actor: Actor,
    paths: Sequence[Path],
    *,
    strict: bool,
    terms_days: int,
    parties: Mapping[str, tuple[str, str]] | None = None,
) -> list[Imported]:
    """Import files one after the other; `parties` overrides seller and buyer by file name (development only)."""
    results: list[Imported] = []
    for path in paths:
        seller, buyer = (parties or {}).get(str(path), ("", ""))
        results += await import_file(actor, path, strict=strict, terms_days=terms_days, seller=seller, buyer=buyer)
    return results


async def import_file(
    actor: Actor, path: Path, *, strict: bool, terms_days: int, seller: str = "", buyer: str = ""
) -> list[Imported]:
    """Import one file and return what became of each document in it."""
    name = path.name
    data = await _read(path)
    if isinstance(data, str):
        return [_refused(name, "", "file", data)]
    params = _params(name, strict, terms_days)
    if seller or buyer:
        params |= {"seller": seller, "buyer": buyer}
    try:
        answer = await actor.client.upload("v1/documents", data, params)
    except CommandFailed as failure:
        if failure.code in (Exit.UNAVAILABLE, Exit.NOT_ALLOWED):
            raise
        return [_refused(name, "", "file", failure.text)]
    results: list[Imported] = []
    for item in answer["items"]:
        if item["outcome"] != "taken":
            results.append(_refused(name, item["number"], item["field"], f"{item['code']}: {item['reason']}"))
            continue
        results.append(await _issue(actor, name, item))
    return results


async def take_credit_note(actor: Actor, path: Path, *, strict: bool) -> Mapping[str, Any]:
    """Have the own node read and seal a file that is one credit note of this company, and return what it read.

    Nothing goes on the ledger yet. Refuses any other content, with field and reason.
    """
    data = await _read(path)
    if isinstance(data, str):
        raise CommandFailed(Exit.USAGE, f"{path}: {data}", "name the file of one credit note")
    answer = await actor.client.upload("v1/documents", data, _params(path.name, strict, TERMS_DAYS))
    for item in answer["items"]:
        if item["outcome"] != "taken":
            raise CommandFailed(
                Exit.REJECTED,
                f"{path} {item['number']}: {item['field']}: {item['code']}: {item['reason']}",
                "correct the document; docs/formats.md explains the rules",
            )
    if len(answer["items"]) != 1 or answer["items"][0]["kind"] != "credit_note":
        kinds = ", ".join(str(item["kind"]).replace("_", " ") for item in answer["items"]) or "no document"
        raise CommandFailed(Exit.REJECTED, f"{path} holds {kinds}", "name the file of one credit note")
    found: Mapping[str, Any] = answer["items"][0]
    return found


async def _read(path: Path) -> bytes | str:
    """Return the content of a file, or why it is not uploaded."""
    try:
        size = path.stat().st_size
        if size > FILE_MAX_BYTES:
            return f"{size} bytes, at most {FILE_MAX_BYTES} are read"
        return await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _params(name: str, strict: bool, terms_days: int) -> dict[str, str]:
    return {"name": name, "strict": "true" if strict else "false", "terms_days": str(terms_days)}


async def _issue(actor: Actor, name: str, item: Mapping[str, Any]) -> Imported:
    credit = item["kind"] == "credit_note"
    money = amounts_of(item)
    if credit:
        args: list[Any] = [
            item["buyer"]["id"],
            item["number_key"],
            *money,
            item["issued"],
            item["invoice"],
            item["root"],
        ]
    else:
        args = [item["buyer"]["id"], item["number_key"], item["type_code"], *money, item["issued"], item["due"],
                item["root"]]  # fmt: skip
    total = f"{item['total']['amount']} {item['total']['currency']}"
    try:
        found = await actor.do(ACTS["credit" if credit else "issue"], args)
    except CommandFailed as failure:
        if failure.code not in (Exit.REJECTED, Exit.CONFLICT):
            raise
        abort = ((failure.problem or {}).get("receipt") or {}).get("abort") or {}
        field = {"F30": "number", "F15": "totals", "negative_amount": "totals"}.get(abort.get("reason", ""), "ledger")
        return Imported(
            file=name,
            number=item["number"],
            kind=item["kind"],
            outcome="refused by the ledger",
            object_id="",
            field=field,
            reason=failure.text,
            buyer=item["buyer"]["name"],
            total=total,
            transaction=str((failure.problem or {}).get("id", "")),
        )
    return Imported(
        file=name,
        number=item["number"],
        kind=item["kind"],
        outcome="credited" if credit else "issued",
        object_id=str(found["receipt"]["result"]),
        field="",
        reason="",
        buyer=item["buyer"]["name"],
        total=total,
        transaction=str(found["id"]),
    )


def amounts_of(item: Mapping[str, Any]) -> list[list[Any]]:
    """Return net, tax and total of a document that was taken, as calls of contracts carry them."""
    return [[item[part]["currency"], int(item[part]["minor"])] for part in ("net", "tax", "total")]


def _refused(file: str, number: str, field: str, reason: str) -> Imported:
    return Imported(
        file=file, number=number, kind="", outcome="refused", object_id="", field=field, reason=f"{field}: {reason}"
    )
