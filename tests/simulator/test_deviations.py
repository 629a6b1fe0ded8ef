"""A member that breaks one rule at a time: which check of an honest member answers each lie (scenario 57)."""

from __future__ import annotations

import pytest

from consensus.messages import Prepare
from ledger.certificate import Vote
from simulator.byzantine import FakeCertificate
from simulator.byzantine.deviate import LIES
from simulator.errors import Violation
from simulator.rng import Rng
from simulator.scenario import load
from simulator.scenario.load import parse
from simulator.world import World

FORMS = """
schema = "hansa.scenario/1"
name = "honest"
duration = "1s"
workload = [{ kind = "kv", rate = "fixed:10" }]
[network]
nodes = 4
[expect]
"""


def test_each_relay_of_a_prepared_block_is_judged_by_the_check_meant_for_it() -> None:
    """P15, P30f, P34: the company that lacks votes, and so needs relays, charges the liar with each word."""
    world = World(load("57-deviate"), 1)
    assert world.run().ok
    behind = world.league.by_name("delta").index
    words = ("bad_prepared_certificate", "not_the_primary", "wrong_number_of_ids", "unbound_proposal")
    assert [word for word in words if behind not in world.measures.charged.get(word, {})] == []


def test_no_lie_leads_to_a_charge_against_the_honest() -> None:
    """`penalties` watches each charge of the run; here: only the liar was charged at all."""
    world = World(load("57-deviate-turns"), 1)
    result = world.run()
    assert result.ok
    assert result.byzantine == ("acme",)
    assert world.league.by_name("acme").index not in set().union(*world.measures.charged.values())


def test_every_lie_has_a_rule() -> None:
    lies = [lie for choices in LIES.values() for lie in choices]
    assert len(lies) == 16
    assert [lie for lie in lies if not (lie.__doc__ or "").startswith("P")] == []


@pytest.mark.parametrize(("field", "word"), [("charged", "base_before_epoch"), ("counted", "older_epoch")])
def test_an_answer_that_never_comes_is_reported(field: str, word: str) -> None:
    result = World(parse(f'{FORMS}{field} = ["{word}"]\n')).run()
    assert isinstance(result.violation, Violation)
    assert result.violation.checker == field
    assert f"never {field} '{word}'" in result.violation.detail


@pytest.mark.parametrize(
    ("name", "seed", "company", "cause"),
    [
        ("30-too-many-bases", 2, "corex", "two commit certificates at height"),
        ("30-too-many-twins", 1, "corex", "two commit certificates at height"),
        ("30-too-many-openings", 2, "corex", "two prepared certificates at height"),
        ("30-too-many-histories", 2, "corex", "repeats another block at height"),
    ],
)
def test_p36_who_sees_that_more_than_f_lie_stops(name: str, seed: int, company: str, cause: str) -> None:
    world = World(load(name), seed)
    assert world.run().ok
    daemon = next(one for one in world.daemons if one.name == company)
    assert daemon.honest
    assert daemon.halt is not None
    assert cause in daemon.halt.detail


def test_p34_an_attacker_takes_no_sender_that_no_bit_mask_holds() -> None:
    """Two liars in one run: what one invents does not end the other's process."""
    world = World(load("42-fake-certificate"), 1)
    liar = FakeCertificate(world.daemons[0], Rng(1, "lies"), 4)
    vote = Vote(0, 0, 1, bytes(32))
    assert all(liar.incoming(1, Prepare(sender, vote, bytes(64))) for sender in (2**60, 2**61, 2**62, -1))
