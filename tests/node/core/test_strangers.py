"""Programs by people who did not write the engine, through the chain: genesis, signed calls, blocks, receipts, roots.

In one league the plain tree walker runs every call beside the closures and must write the same. Another execution, from
the genesis state and with nothing remembered, must come to the same blocks. Nothing but a receipt comes out of a block.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from contracts.errors import ABORT_CODES
from contracts.host import Outcome
from ledger.receipt import Receipt
from ledger.state import Overlay
from ledger.transaction import Transaction
from ledger.transition import TransactionHost
from node.core.programs import Linked, Programs
from tests.language.calls import argument
from tests.language.hosts import CURRENCIES, GAS, reference_of, same
from tests.language.test_strangers import ACCEPTED
from tests.ledger.governance.conftest import League, found_league

BLOCKS = 4
DAY_MS = 86_400_000
LAST, ROWS_MAX = b"\xff" * 64, 10_000
"""Behind every key, and more than these programs write."""
LIMITS = ("out_of_gas", "memory_budget", "write_budget", "event_budget")
"""Ends for which the walker does not look: what a call may use is counted by the closures alone."""
CALLS = 6
"""Calls of a block: several touch the same rows."""


class Written(Overlay):
    """The host of one call over another one: what is written stays here until `hand_on`."""

    def __init__(self, host: TransactionHost) -> None:
        super().__init__(host)
        self.host = host
        self.day, self.height, self.tx_id, self.signers = host.day, host.height, host.tx_id, host.signers

    def keys(self) -> Sequence[bytes]:
        """What the walker asks for: it looks at all rows for each loop."""
        return self.scan(b"", LAST, ROWS_MAX)

    def changes(self) -> dict[bytes, bytes | None]:
        """What differs from before: an index entry that stays may be written again or not."""
        return {key: value for key, value in self.writes() if self.host.get(key) != value}

    def hand_on(self) -> None:
        for key, value in self.writes():
            if value is None:
                self.host.delete(key)
            else:
                self.host.put(key, value)

    def decide(self, signer: int, role: str, company: str | None, apart: tuple[str, ...]) -> str:
        return self.host.decide(signer, role, company, apart)

    def company_has(self, company: str, role: str) -> bool:
        return self.host.company_has(company, role)


def _checked(linked: Linked, contract: str, method: str, args: tuple[Any, ...], host: Any, gas_limit: int) -> Outcome:
    """Run a call; the tree walker, over the same state, must come to the same outcome and writes."""
    plain, real = Written(host), Written(host)
    walker = reference_of(linked.program, CURRENCIES)
    outcome = linked.program.execute(contract, method, args, real, gas_limit)
    if outcome.abort is None or outcome.abort.code not in LIMITS:
        assert same(outcome, walker, (contract, method, args, False), plain) == ""  # type: ignore[arg-type]
    if outcome.abort is None:
        assert real.changes() == plain.changes()
        real.hand_on()
    return outcome


def _calls(league: League, linked: Linked, rng: random.Random) -> list[Transaction]:
    interface = linked.interfaces["c"]
    calls = []
    for _ in range(CALLS if interface.actions else 0):
        method, schema = rng.choice(list(interface.actions.items()))
        args = tuple(argument(item.spec, interface.names(), rng, []) for item in schema.params)
        firm = rng.choice(league.firms)
        calls.append(league.call(firm, method, *args, contract="c", roles=("preparer", "approver"), gas_limit=GAS))
    return calls


@pytest.mark.parametrize(("title", "source"), ACCEPTED, ids=[title for title, _ in ACCEPTED])
def test_a_program_runs_on_a_chain(title: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = source.encode("ascii")
    code = Programs(CURRENCIES).compiled([{"c": text}])["c"]

    def founded() -> League:
        league = found_league(contracts=[("c", text, code.version, code.interface.ir_hash)])
        league.runtime = Programs(CURRENCIES)  # type: ignore[assignment]  # a linker gives the runtime of each height
        return league

    league, rng = founded(), random.Random(title)  # a test's own choices
    linked = Programs(CURRENCIES).at(league.state, 1)
    blocks: list[tuple[list[Transaction], tuple[Receipt, ...], bytes]] = []
    with monkeypatch.context() as patch:
        patch.setattr(Linked, "execute", _checked)
        for _ in range(BLOCKS):
            league.time_ms += DAY_MS  # schedules find a new date
            calls = _calls(league, linked, rng)
            receipts = league.block(*calls)
            assert [receipt.tx_id for receipt in receipts[: len(calls)]] == [tx.tx_id for tx in calls]
            assert all(receipt.gas_used <= GAS for receipt in receipts)
            assert all(receipt.abort[0].code in ABORT_CODES for receipt in receipts if receipt.abort)
            blocks.append((calls, receipts, league.state.exec_root))
    again = founded()
    for calls, receipts, exec_root in blocks:
        again.time_ms += DAY_MS
        assert again.block(*calls) == receipts
        assert again.state.exec_root == exec_root
    assert again.state.state_root == league.state.state_root
