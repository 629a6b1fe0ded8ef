"""Programs by people who did not write the engine, told as blocks: agreed on, called, replaced or refused.

`Story` makes the blocks of one league and keeps them. `retold` lets another execution, from the same genesis state and
with nothing remembered, make them again. `digest` is one number for many stories, for other interpreters.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from contracts.errors import LinkError, SourceError
from ledger.codec import encode
from ledger.governance.records import InstallContracts, PlannedContract
from ledger.receipt import Receipt
from ledger.transaction import Transaction
from node.core.programs import Programs
from tests.language.calls import argument
from tests.language.hosts import CURRENCIES, GAS
from tests.language.test_strangers import ACCEPTED, LIFTS, TAB, USES
from tests.ledger.governance.conftest import League, found_league

DAY_MS = 86_400_000
CALLS = 6
"""Calls of a block: several touch the same rows."""

Sources = Mapping[str, bytes]


class Made(NamedTuple):
    """A block as it was made: what went in and what came out."""

    time_ms: int
    transactions: tuple[Transaction, ...]
    receipts: tuple[Receipt, ...]
    exec_root: bytes


class Story:
    """A league, the blocks it made, and what is deployed. `founding` are the contracts of its genesis."""

    def __init__(self, title: str, founding: Sources | None = None) -> None:
        self.rng = random.Random(title)  # a test's own choices
        self.founding = dict(founding or {})
        self.league = self.founded()
        self.blocks: list[Made] = []
        self.plain, self.league.block = self.league.block, self.block  # type: ignore[method-assign]  # each block is kept

    def founded(self) -> League:
        codes = Programs(CURRENCIES).compiled([self.founding]) if self.founding else {}
        league = found_league(
            contracts=[
                (name, self.founding[name], code.version, code.interface.ir_hash) for name, code in codes.items()
            ]
        )
        league.runtime = Programs(CURRENCIES)  # type: ignore[assignment]  # a linker gives the runtime of each height
        return league

    @property
    def programs(self) -> Programs:
        return self.league.runtime  # type: ignore[return-value]  # see `founded`

    def block(self, *transactions: Transaction, evidence: Sequence[bytes] = ()) -> tuple[Receipt, ...]:
        time_ms = self.league.time_ms
        receipts = self.plain(*transactions, evidence=evidence)
        assert [receipt.tx_id for receipt in receipts[: len(transactions)]] == [tx.tx_id for tx in transactions]
        self.blocks.append(Made(time_ms, transactions, receipts, self.league.state.exec_root))
        return receipts

    def agree(self, sources: Sources) -> str:
        """Let all companies agree on a plan and wait until it runs; return why not, or nothing."""
        before = [step.sources for step in self.programs.steps(self.league.state)]
        try:
            codes = Programs(CURRENCIES).compiled([*before, sources])
            hashes = {name: codes[name].interface.ir_hash for name in sources}
        except (SourceError, LinkError):
            hashes = dict.fromkeys(sources, bytes(32))  # a member that proposes something of its own making
        items = tuple(PlannedContract(name, sources[name], hashes[name]) for name in sorted(sources))
        receipt = self.league.agree("contract", InstallContracts(items, 0))
        if receipt.result != "accepted":
            return receipt.abort[0].text if receipt.abort else str(receipt.events[-1].fields[2])
        assert self.league.last is not None
        self.league.advance(self.league.last.next_activation)
        return ""

    def calls(self, count: int = CALLS) -> list[Transaction]:
        """Return random signed calls of what runs in the next block."""
        linked = self.programs.at(self.league.state, self.league.height)
        open_to_call = [
            (name, method, schema)
            for name, interface in linked.interfaces.items()
            for method, schema in interface.actions.items()
        ]
        calls = []
        for _ in range(count if open_to_call else 0):
            name, method, schema = self.rng.choice(open_to_call)
            args = tuple(argument(item.spec, linked.interfaces[name].names(), self.rng, []) for item in schema.params)
            firm = self.rng.choice(self.league.firms)
            roles = ("preparer", "approver")
            calls.append(self.league.call(firm, method, *args, contract=name, roles=roles, gas_limit=GAS))
        return calls

    def days(self, count: int) -> None:
        """Make a block of calls on each of the next days."""
        for _ in range(count):
            self.league.time_ms += DAY_MS  # schedules find a new date
            self.block(*self.calls())

    def retold(self) -> None:
        """Make all blocks again from the genesis state; they must come to the same receipts and roots."""
        again = self.founded()
        for made in self.blocks:
            again.time_ms = made.time_ms
            assert again.block(*made.transactions) == made.receipts
            assert again.state.exec_root == made.exec_root
        assert again.state.state_root == self.league.state.state_root


def histories() -> dict[str, tuple[str, list[Sources]]]:
    """Return, by title, how a history ends and its sources in order, one plan each."""
    found: dict[str, tuple[str, list[Sources]]] = {}
    for title, (wanted, source) in LIFTS.items():
        found[f"lift: {title}"] = wanted, [{"c": TAB.encode("ascii")}, {"c": source.encode("ascii")}]
    for title, (wanted, *sources) in USES.items():
        found[f"use: {title}"] = wanted, [{source.split()[1]: source.encode("ascii")} for source in sources]
    return found


def tell(title: str, plans: Sequence[Sources]) -> tuple[Story, list[str]]:
    """Agree on one plan after the other, with days of calls between; return how each ended."""
    story, ends = Story(title), []
    for sources in plans:
        ends.append(story.agree(sources))
        story.days(2)
    return story, ends


def digest() -> str:
    """Return a number of every receipt and root of the histories and of some programs."""
    told = sha256()
    plans: dict[str, list[Any]] = {title: plan for title, (_, plan) in histories().items()}
    plans |= {title: [{"c": source.encode("ascii")}] for title, source in ACCEPTED[::5]}
    for title, plan in plans.items():
        story, ends = tell(title, plan)
        told.update(encode(ends))
        for made in story.blocks:
            told.update(encode(made.receipts) + made.exec_root)
    return told.hexdigest()[:32]
