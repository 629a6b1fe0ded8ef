"""The demo's story: four companies trade, pay, net and disagree, and everything is checked at the end (C33, F90).

Each step acts through the company's own node with its own people; nothing here has more rights than a user. Refusals
are part of the story: the ledger says no by a rule, and the story goes on.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cli.acting import Actor
from cli.calls import ACTS
from cli.client import Client
from cli.failure import CommandFailed
from cli.importing import Imported, import_files
from cli.local import LocalNode
from cli.wallet import Wallet

SETTLE_SECONDS: Final = 20.0
"""Time all nodes have to reach one height after the story."""
VERIFIER: Final = Path(__file__).resolve().parent.parent / "finance" / "audit" / "verifier.py"


@dataclass(slots=True, kw_only=True)
class Chapter:
    """What happened, for people and for the summary."""

    text: str
    outcome: str


@dataclass(slots=True)
class Ledgerbook:
    """Everything the summary counts."""

    chapters: list[Chapter] = field(default_factory=list)
    imports: list[Imported] = field(default_factory=list)
    transactions: int = 0
    committed: int = 0
    refused: int = 0


class Story:
    """Plays on running nodes; `tell` is handed each chapter as it happens."""

    def __init__(self, nodes: Sequence[LocalNode], tell: Callable[[Chapter], None]) -> None:
        self._nodes = {node.plan.name: node for node in nodes}
        self._tell = tell
        self._actors: dict[str, Actor] = {}
        self._clients: list[Client] = []
        self.book = Ledgerbook()

    async def __aenter__(self) -> Story:
        for name, node in self._nodes.items():
            client = node.client()
            await client.__aenter__()
            self._clients.append(client)
            actor = Actor(client, Wallet(node.home))
            await actor.open()
            self._actors[name] = actor
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            await client.__aexit__(None, None, None)

    def name(self, company: str) -> str:
        """Return the title of a company."""
        return self._nodes[company].plan.title

    def id(self, company: str) -> str:
        """Return the company id."""
        return self._nodes[company].plan.company_id

    # -- imports -------------------------------------------------------------------------------------------------

    async def import_samples(self, folder: Path) -> list[Imported]:
        """Import the shipped samples, each at the node of the company that is its seller by the directory."""
        found: list[Imported] = []
        for path in sorted(folder.rglob("*.xml")):
            company, results = await self._import_sample(path)
            self._count(results)
            found += results
            for item in results:
                self._tell_import(company, item)
        return found

    async def _import_sample(self, path: Path) -> tuple[str, list[Imported]]:
        """Offer a file to one node after the other until one is not told that it belongs to somebody else."""
        last: tuple[str, list[Imported]] = ("", [])
        for company, actor in self._actors.items():
            last = company, await import_files(actor, [path], strict=True, terms_days=30)
            if not all("not_ours" in item.reason for item in last[1]):
                break
        return last

    async def import_mapped(self, paths: Sequence[Path], parties: dict[str, tuple[str, str]]) -> list[Imported]:
        """Import foreign documents with the parties that the mapping gives (development only)."""
        found: list[Imported] = []
        by_id = {node.plan.company_id: name for name, node in self._nodes.items()}
        for path in paths:
            seller, _ = parties.get(str(path), (self.id(next(iter(self._nodes))), ""))
            company = by_id[seller]
            results = await import_files(self._actors[company], [path], strict=False, terms_days=30, parties=parties)
            self._count(results)
            found += results
            for item in results:
                self._tell_import(company, item)
        return found

    def _count(self, results: Sequence[Imported]) -> None:
        self.book.imports += results
        for item in results:
            if item.transaction:
                self.book.transactions += 1
                if item.object_id:
                    self.book.committed += 1
                else:
                    self.book.refused += 1

    def _tell_import(self, company: str, item: Imported) -> None:
        if item.object_id:
            verb = "issues credit note" if item.kind == "credit_note" else "issues invoice"
            text = f"{self.name(company)} {verb} {item.number} over {item.total} to {item.buyer} ({item.file})"
            self._told(text, item.outcome)
        else:
            self._told(f"{item.file} {item.number}".strip() + f" is not imported: {item.reason}", "refused")

    # -- acts ----------------------------------------------------------------------------------------------------

    async def act(
        self, company: str, act: str, args: Sequence[Any], text: str, *, others: Sequence[str] = (), refusal: str = ""
    ) -> dict[str, Any] | None:
        """Carry out an act; with `refusal` the ledger is expected to say no by that rule, and that is told."""
        self.book.transactions += 1
        wallets = [Wallet(self._nodes[other].home) for other in others]
        try:
            found = await self._actors[company].do(ACTS[act], args, others=wallets)
        except CommandFailed as failure:
            self.book.refused += 1
            self._told(f"{text}: {failure.text}", "refused as it should be" if refusal else "refused")
            if not refusal or refusal not in failure.text:
                raise
            return None
        self.book.committed += 1
        self._told(text, "done")
        return found

    async def play(self, imported: Sequence[Imported]) -> None:
        """Play the trade of the sample documents."""
        by_number = {item.number: item.object_id for item in imported if item.object_id}
        today = date.today()
        lifeng, falkenberg, qiming, bank = "lifeng", "falkenberg", "qiming", "chenghu"
        parts, prepaid = by_number["FB-2026-0117"], by_number["FB-2026-0131"]
        machine = by_number["LF-26-00045"]
        chips, tools = by_number["26322000000000100117"], by_number["26322000000000200031"]
        review = (today + timedelta(days=365)).isoformat()

        await self.act(
            falkenberg, "set_limit", [self.id(lifeng), ["EUR", 500_000], review],
            f"{self.name(falkenberg)} lets {self.name(lifeng)} owe up to 5,000.00 EUR",
        )  # fmt: skip
        for company, invoice in (
            (lifeng, parts),
            (lifeng, prepaid),
            (falkenberg, machine),
            (lifeng, chips),
            (qiming, tools),
        ):
            await self.act(company, "receive", [invoice], f"{self.name(company)} confirms that {invoice} arrived")
        await self.act(lifeng, "accept", [parts], f"{self.name(lifeng)} accepts {parts} with two people's signatures")
        await self.act(
            lifeng, "accept", [prepaid], f"{self.name(lifeng)} tries to accept {prepaid} beyond its credit limit",
            refusal="RK1",
        )  # fmt: skip
        await self.act(falkenberg, "accept", [machine], f"{self.name(falkenberg)} accepts {machine}")
        await self.act(
            lifeng, "dispute", [parts, ["EUR", 12_000], "QUA"],
            f"{self.name(lifeng)} disputes 120.00 EUR of {parts}: quality; the rest stays payable",
        )  # fmt: skip
        await self.act(
            lifeng, "set_off", [parts, machine, ["EUR", 150_000]],
            f"{self.name(lifeng)} and {self.name(falkenberg)} set off 1,500.00 EUR of what they owe each other",
            others=[falkenberg],
        )  # fmt: skip
        await self.act(lifeng, "accept", [chips], f"{self.name(lifeng)} accepts {chips}")
        proposed = await self.act(
            lifeng, "propose", [self.id(qiming), self.id(bank), ["CNY", 1_000_000], chips, ["CNY", 1_000_000]],
            f"{self.name(lifeng)} proposes to pay 10,000.00 CNY of {chips}",
        )  # fmt: skip
        payment = str((proposed or {})["receipt"]["result"])
        await self.act(lifeng, "release", [payment], f"the treasurer of {self.name(lifeng)} releases {payment}")
        evidence = sha256(f"statement line of {payment}".encode()).hexdigest()
        await self.act(
            bank, "confirm", [payment, today.isoformat(), evidence],
            f"{self.name(bank)} confirms {payment} on its statement; {chips} is paid in part",
        )  # fmt: skip
        await self.act(qiming, "reject", [tools, "ITM"], f"{self.name(qiming)} rejects {tools}: wrong item")
        over = await self._over_limit(falkenberg, prepaid)
        ending = "is still beyond its limit" if over else "is within its limit again"
        await self.act(
            lifeng, "accept", [prepaid],
            f"after the set-off {self.name(lifeng)} {ending} and {'tries to accept' if over else 'accepts'} {prepaid}",
            refusal="RK1" if over else "",
        )  # fmt: skip

    async def _over_limit(self, lender: str, invoice: str) -> bool:
        client = self._actors[lender].client
        limits = (await client.get("v1/limits"))["items"]
        item = await client.get(f"v1/invoices/{invoice}")
        for limit in limits:
            if limit["borrower"]["id"] == item["buyer"]["id"] and limit["amount"]["currency"] == "EUR":
                used, granted = (_cents(limit[name]["amount"]) for name in ("used", "amount"))
                return used + _cents(item["open"]["amount"]) > granted
        return False

    # -- checks --------------------------------------------------------------------------------------------------

    async def checks(self) -> dict[str, Any]:
        """Check heights, state roots, trial balances and proof packs of all nodes."""
        height, equal = await self._equal_roots()
        balanced = await asyncio.gather(*(self._balanced(actor.client) for actor in self._actors.values()))
        audits = await asyncio.gather(*(self._audited(name) for name in self._actors))
        return {
            "height": height,
            "state_roots_equal": equal,
            "trial_balances_zero": all(balanced),
            "audit_verified": all(audits),
        }

    async def _equal_roots(self) -> tuple[int, bool]:
        deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while True:
            states = await asyncio.gather(*(actor.client.get("v1/consensus") for actor in self._actors.values()))
            heights = {int(state["height_executed"]) for state in states}
            if len(heights) == 1:
                height = heights.pop()
                heads = await asyncio.gather(
                    *(actor.client.get(f"v1/blocks/{height}") for actor in self._actors.values())
                )
                roots = {(head["id"], head.get("state_root"), head.get("result_root")) for head in heads}
                return height, len(roots) == 1
            if asyncio.get_running_loop().time() > deadline:
                return max(heights), False
            await asyncio.sleep(0.1)

    async def _balanced(self, client: Client) -> bool:
        report = await client.get("v1/ledger/trial-balance")
        ties = all(check["ties"] for check in report["control"] or ())
        return ties and all(_cents(total["difference"]["amount"]) == 0 for total in report["totals"])

    async def _audited(self, company: str) -> bool:
        """Export the company's pack, verify it with the stand-alone verifier, and see a changed byte refused."""
        answer = await self._actors[company].client.get("v1/audit/pack")
        data = b64decode(answer["data"])
        genesis = self._nodes[company].home / "genesis.hansa"
        with tempfile.TemporaryDirectory(prefix="hansa-audit-") as folder:
            good, bad = Path(folder) / "good.hansapack", Path(folder) / "bad.hansapack"
            good.write_bytes(data)
            middle = len(data) // 2
            bad.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
            verdicts = await asyncio.gather(*(asyncio.to_thread(_verify, pack, genesis) for pack in (good, bad)))
        return verdicts == [0, 10]

    def _told(self, text: str, outcome: str) -> None:
        chapter = Chapter(text=text, outcome=outcome)
        self.book.chapters.append(chapter)
        self._tell(chapter)


def _verify(pack: Path, genesis: Path) -> int:
    """Run the verifier as an auditor would: by its path, in a process of its own."""
    done = subprocess.run(  # noqa: S603  # our own file, no shell
        [sys.executable, str(VERIFIER), str(pack), "--genesis", str(genesis)], capture_output=True, check=False
    )
    return done.returncode


def _cents(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    return sign * int(text.lstrip("-").replace(".", "") or "0")
