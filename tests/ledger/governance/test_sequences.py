"""No sequence of governance calls breaks the network: the promises about epochs hold after every block (P112-P119).

Companies act at random: they join, leave, expel, change keys (also to keys of others), rest, freeze each other, and
say `ready` at the wrong moment. After each call the whole history of epochs is looked at again.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ledger.certificate import faults, quorum
from ledger.codec import encode
from ledger.governance.network import SUSPENSION_MS
from ledger.governance.records import Expel, Resume, Rotation, Suspend, read_admission, read_suspension
from ledger.registry.epochs import epoch_at, last_epoch, next_members_hash, read_epoch
from ledger.registry.lookup import read_company, read_key, read_registry
from tests.ledger.governance.conftest import Firm, League, found_league, key, outcome

DEEDS: Final = (
    "admit", "ready", "leave", "expel", "rotate", "replace", "steal", "rest", "suspend", "ratify", "resume", "wait",
    "pass_time",
)  # fmt: skip
STRANGERS: Final = [Firm(f"stranger {i}") for i in range(4)]
Step = tuple[str, int, int]


class Town:
    """A league, the companies that ever were in it, and the keys in use."""

    def __init__(self, count: int) -> None:
        self.league: League = found_league(count)
        self.firms = list(self.league.firms)
        self.held = {firm.node_id: firm.consensus for firm in [*self.firms, *STRANGERS]}
        self.fresh = self.tries = 0

    def voters(self) -> list[Firm]:
        current = epoch_at(self.league.state, self.league.height)
        return [
            firm for firm in self.firms if current.member(firm.company_id) is not None and self.status(firm) == "active"
        ]

    def status(self, firm: Firm) -> str:
        company = read_company(self.league.state, firm.company_id)
        return "" if company is None else company.status

    def do(self, deed: str, at: int, extra: int) -> None:
        league, voters = self.league, self.voters()
        if deed == "wait" or not voters:
            league.advance(league.height + 1 + extra * 4)
            return
        firm, sponsor = self.firms[at % len(self.firms)], voters[extra % len(voters)]
        ordered = [sponsor, *(other for other in voters if other != sponsor)]
        match deed:
            case "admit":
                stranger = STRANGERS[at % len(STRANGERS)]
                if not self.status(stranger):
                    self.tries += 1
                    league.admit(stranger, sponsor, ordered, self.tries)
                    self.firms.append(stranger)
            case "ready":
                waiting = read_admission(league.state, firm.node_id)
                held = key(f"fresh {self.fresh}")
                if waiting is not None and held.public_key != waiting.consensus_key:
                    held = self.held[firm.node_id]
                league.ready(firm, held)
            case "leave":
                league.leave(firm)
            case "expel":
                names = tuple(sorted({firm.company_id, self.firms[extra % len(self.firms)].company_id}))
                opened = league.propose(sponsor, "expel", Expel(names))
                for other in ordered:
                    if outcome(league.endorse(other, opened.tx_id))[1] != "open":
                        break
            case "rotate" | "replace":
                self.fresh += 1
                old = self.held[firm.node_id] if deed == "rotate" else None
                league.agree("rotate_consensus", league.rotation(firm, key(f"fresh {self.fresh}"), old=old), ordered)
            case "steal":
                other = self.held[self.firms[extra % len(self.firms)].node_id]
                payload = league.rotation(firm, other, old=self.held[firm.node_id])
                assert outcome(league.agree("rotate_consensus", payload, ordered))[0] != "ok"
            case "rest":
                league.agree("rotation", Rotation(firm.company_id, bool(extra % 2)), ordered)
            case "suspend":
                league.agree("suspend", Suspend(firm.company_id), ordered[:2])
            case "ratify":
                league.agree("suspend", Suspend(firm.company_id), ordered)
            case "resume":
                league.agree("resume", Resume(firm.company_id), ordered)
            case "pass_time":
                league.time_ms += SUSPENSION_MS
                league.block()

    def check(self) -> None:
        state, registry = self.league.state, read_registry(self.league.state)
        history = [read_epoch(state, number) for number in range(registry.epoch + 1)]
        params = self.league.document.params
        for before, after in pairwise(history):
            assert before is not None
            assert after is not None
            # One first height an epoch, decided early enough for every voter to have executed it (P112).
            assert after.first_height == after.decided_height + params.exec_lag + params.window + 1
            assert after.decided_height >= before.first_height
            assert after.first_height > before.first_height
            old, new = before.companies, after.companies
            moved = [name for name in new if name not in old] + [name for name in old if name not in new]
            assert len(moved) <= max(1, faults(len(old)))
            assert before.members_hash != after.members_hash
            assert next_members_hash(state, after.first_height - 1) == after.members_hash
            assert next_members_hash(state, after.first_height - 2) == before.members_hash
        for record in history:
            assert record is not None
            n = len(record.members)
            assert n >= 4
            assert list(record.companies) == sorted(record.companies)
            assert len(dict.fromkeys(record.companies)) == len(dict.fromkeys(record.keys)) == n
            assert sum(1 for member in record.members if not member.in_rotation) <= faults(n)
            for member in record.members:
                held = read_key(state, member.consensus_key)
                assert held is not None
                assert (held.kind, held.owner) == ("consensus", member.node_id)
                assert held.from_height <= record.first_height
                assert held.to_height == 0 or held.to_height >= record.first_height
        last = last_epoch(state)
        for_good = []
        for name in last.companies:
            suspension = read_suspension(state, name)
            company = read_company(state, name)
            assert company is not None
            assert company.status in ("active", "suspended")
            if company.status == "suspended" and suspension is not None and suspension.ratified:
                for_good.append(name)
        assert len(last.members) - len(for_good) >= quorum(len(last.members))


@given(
    st.sampled_from((4, 5, 7)),
    st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 9), st.integers(0, 4)), min_size=4, max_size=22),
)
@example(5, [("suspend", 0, 0), ("leave", 1, 0), ("admit", 0, 0), ("admit", 0, 0)])
@settings(max_examples=40, deadline=None)
def test_no_sequence_of_calls_breaks_an_epoch(count: int, steps: list[Step]) -> None:
    town = Town(count)
    for deed, at, extra in steps:
        town.do(deed, at, extra)
        town.check()
        if town.league.decided:
            newest = town.league.decided[-1]
            assert newest == last_epoch(town.league.state)
            for firm in town.firms:  # who has a new key says so from now on
                member = newest.member(firm.company_id)
                if member is not None and member.consensus_key == key(f"fresh {town.fresh}").public_key:
                    town.held[firm.node_id] = key(f"fresh {town.fresh}")


def test_a_long_story_in_which_every_deed_succeeds_once() -> None:
    """The random walk above reaches these states; this one shows that they are reachable at all."""
    town = Town(7)
    league = town.league
    story: list[Step] = [
        ("admit", 0, 0), ("ready", 7, 0), ("wait", 0, 4), ("rotate", 1, 0), ("wait", 0, 4), ("rest", 2, 0),
        ("wait", 0, 4), ("leave", 3, 0), ("wait", 0, 4), ("replace", 4, 0), ("ready", 4, 0), ("wait", 0, 4),
        ("ratify", 5, 0), ("resume", 5, 0), ("expel", 6, 6),
    ]  # fmt: skip
    for deed, at, extra in story:
        before = encode(read_registry(league.state))
        town.do(deed, at, extra)
        town.check()
        assert deed == "wait" or encode(read_registry(league.state)) != before, deed
    assert [len(record.members) for record in league.decided] == [8, 8, 8, 7, 7, 6]
