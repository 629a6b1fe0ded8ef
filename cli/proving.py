"""Figures that need not be believed: a report computed again from proven rows and compared (U4, F73).

The company's proof pack is fetched from its own node, checked like an auditor checks it, and the report is made again
from the rows and journal entries it proves. The genesis file is the only thing that is trusted.
"""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from finance.audit.verifier import Failure, Network, Pack
from finance.openitems import open_items


class Proven:
    """What a verified pack says: height, rows of this company, journal entries."""

    def __init__(self, pack: Pack, summary: dict[str, Any]) -> None:
        self.company = str(summary["company"])
        self.height = int(summary["height"])
        self.summary = summary
        self._pack = pack

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the proven rows of one table of the contract it belongs to."""
        return [fields for (_, name, _), fields in self._pack.proven_rows.items() if name == table]

    def closing(self, as_of: str) -> dict[tuple[str, str], int]:
        """Return account and currency -> balance over entries up to a date; debit is positive, zero is left out."""
        totals: dict[tuple[str, str], int] = {}
        for _, date, _, _, lines in self._pack.journal:
            if date <= as_of:
                for account, currency, minor in lines:
                    totals[account, currency] = totals.get((account, currency), 0) + minor
        return {key: total for key, total in totals.items() if total}

    def open_by_currency(self, as_of: str, ledger: str) -> dict[str, int]:
        """Return currency -> open amount of invoices on one side, as of a date."""
        rows = {name: self.rows(name) for name in ("Invoice", "Credit", "Allocation", "Payment")}
        totals: dict[str, int] = {}
        for item in open_items(rows, self.company, as_of):
            if item.ledger == ledger:
                totals[item.currency] = totals.get(item.currency, 0) + item.open
        return totals


async def fetch(client: Client, genesis: str, home: str) -> Proven:
    """Fetch and verify the pack of the node's company against a genesis file."""
    path = Path(genesis) if genesis else Path(home or ".") / "genesis.hansa"
    try:
        trusted = path.read_bytes()
    except OSError as error:
        raise CommandFailed(
            Exit.USAGE, f"cannot read the genesis file {path}: {error.strerror}", "name it with --genesis"
        ) from None
    answer = await client.get("v1/audit/pack")
    try:
        pack = Pack(b64decode(answer["data"]))
        return Proven(pack, pack.check(Network(trusted)))
    except Failure as failure:
        raise CommandFailed(
            Exit.FINDINGS, f"the figures are not proven: {failure}", "ask another company's node and compare"
        ) from None


def compare(shown: dict[Any, int], proven: dict[Any, int], what: str) -> None:
    """Raise unless the figures shown are the figures proven; zero and absent are the same."""
    for key in sorted({*shown, *proven}):
        if shown.get(key, 0) != proven.get(key, 0):
            raise CommandFailed(
                Exit.FINDINGS,
                f"{what} {key}: the node shows {shown.get(key, 0)}, the proofs give {proven.get(key, 0)} minor units",
                "the node computes differently from what the ledger proves; keep both and ask its operator",
            )


def minor_of(value: dict[str, Any]) -> int:
    """Return the minor units of an API amount; its text has exactly the decimals of the currency."""
    text = str(value["amount"])
    digits = int(text.lstrip("-").replace(".", ""))
    return -digits if text.startswith("-") else digits
