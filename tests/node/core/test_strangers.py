"""Programs by people who did not write the engine, through the chain: plans, signed calls, blocks, receipts, roots.

In one league the plain tree walker runs every call beside the closures and must write the same. Another execution, from
the genesis state and with nothing remembered, must come to the same blocks. Nothing but a receipt comes out of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from contracts.errors import ABORT_CODES
from contracts.host import Outcome
from ledger.governance.programs import contract_names
from ledger.state import Overlay
from ledger.transition import TransactionHost
from node.core.programs import Linked
from tests.language.hosts import CURRENCIES, GAS, reference_of, same
from tests.language.test_strangers import ACCEPTED, MADE, REFUSED
from tests.node.core import stories
from tests.node.core.stories import Story, histories, tell
from tests.simulator.test_determinism import said_by_all

LAST, ROWS_MAX = b"\xff" * 64, 10_000
"""Behind every key, and more than these programs write."""
LIMITS = ("out_of_gas", "memory_budget", "write_budget", "event_budget")
"""Ends for which the walker does not look: what a call may use is counted by the closures alone."""
SAID = {"nothing": "the source of c has 0 bytes", "3,000 used contracts": "the used contract u0 is not active"}
"""What is said of two of them before the compiler looks."""
LONG = [(wanted, title, source) for title, (wanted, source) in MADE.items() if wanted]


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


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The walker runs beside the closures until this is undone."""
    monkeypatch.setattr(Linked, "execute", _checked)
    return monkeypatch


def _ended_well(story: Story) -> None:
    """Each receipt is a result or a named abort within its gas, and another execution comes to the same."""
    for made in story.blocks:
        assert all(receipt.gas_used <= GAS for receipt in made.receipts)
        assert all(receipt.abort[0].code in ABORT_CODES for receipt in made.receipts if receipt.abort)
    story.retold()


@pytest.mark.parametrize(("title", "source"), ACCEPTED, ids=[title for title, _ in ACCEPTED])
def test_a_program_of_the_genesis_runs_on_a_chain(title: str, source: str, beside: pytest.MonkeyPatch) -> None:
    story = Story(title, {"c": source.encode("ascii")})
    story.days(4)
    beside.undo()
    _ended_well(story)


@pytest.mark.parametrize(("title", "source"), ACCEPTED, ids=[title for title, _ in ACCEPTED])
def test_a_program_that_companies_agree_on_runs_on_a_chain(title: str, source: str, beside: pytest.MonkeyPatch) -> None:
    story, ends = tell(title, [{"c": source.encode("ascii")}])
    beside.undo()
    assert ends == [""]
    assert contract_names(story.league.state) == ("c",)
    _ended_well(story)


@pytest.mark.parametrize("title", histories())
def test_l44_l62_a_history_of_plans_ends_as_it_should(title: str, beside: pytest.MonkeyPatch) -> None:
    """Lifts that may abort meet rows of the version before, and contracts call each other, in blocks."""
    wanted, plans = histories()[title]
    story, ends = tell(title, plans)
    beside.undo()
    assert ends[:-1] == [""] * (len(plans) - 1)
    if not wanted:
        assert ends[-1] == ""
    elif wanted.startswith("link "):
        assert ends[-1].startswith(f"{wanted.removeprefix('link ')}: ")
    else:
        assert f": {wanted}: " in ends[-1] or ends[-1].endswith(" is not active")
    _ended_well(story)


@pytest.mark.parametrize(
    ("says", "title", "source"), [*REFUSED, *LONG], ids=[title for _, title, _ in [*REFUSED, *LONG]]
)
def test_l58_a_plan_with_a_source_that_is_none_fails_and_the_chain_goes_on(says: str, title: str, source: str) -> None:
    """Whoever agrees on it, with whatever hash: the plan fails with a sentence, alike everywhere, and nothing runs."""
    story = Story(title)
    text = source.encode("latin-1")
    ended = story.agree({"c": text})
    assert ended, "the plan is not accepted"
    code, _, place = says.partition(" ")
    assert SAID[title] in ended if title in SAID else (f"{code}: " in ended and place in ended)
    assert contract_names(story.league.state) == ()
    good = ACCEPTED[len(source) % len(ACCEPTED)][1].encode("ascii")
    assert story.agree({"c": good}) == ""
    story.days(1)
    _ended_well(story)


def test_histories_call_what_they_deploy() -> None:
    """Rows are written, replaced and lifted: calls succeed before and after versions change."""
    for title in ("lift: plain", "lift: divides by zero", "use: the right caller", "use: an enum that grows"):
        story, _ = tell(title, histories()[title][1])
        mine = [
            (tx, receipt)
            for made in story.blocks
            for tx, receipt in zip(made.transactions, made.receipts, strict=False)
            if tx.body.contract != "governance"
        ]
        assert sum(not receipt.abort for _, receipt in mine) >= 5, title


def test_k41_k44_one_digest_of_the_blocks_on_every_python_and_hash_seed() -> None:
    found = said_by_all("from tests.node.core.stories import digest; print(digest())", "pytest")
    assert set(found) == {stories.digest()}, found
