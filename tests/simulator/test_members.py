"""Members that change in a run: names, indexes and guests, and an attacker that misses no field (scenarios 57, 67-72)."""

from __future__ import annotations

import msgspec
import pytest

from consensus.membership import membership
from consensus.messages import Commit, Status
from ledger.certificate import Vote
from ledger.evidence import Evidence, Statement, fault_key
from ledger.governance.resting import read_policy, read_resting
from ledger.params import Params
from ledger.registry.epochs import last_epoch
from simulator.byzantine.sweep import variants
from simulator.daemon import GUEST_FIRST
from simulator.errors import InvalidScenario
from simulator.league import company_names, found
from simulator.scenario import load
from simulator.world import World


@pytest.mark.parametrize("params", [Params(), Params(rotate_every=3), Params(window=4, exec_lag=16)])
@pytest.mark.parametrize("n", [4, 7])
def test_names_are_places_in_the_rotation_whatever_the_chain_id(n: int, params: Params) -> None:
    """P76: parameters change the chain id and with it the rotation; a scenario that names a company does not notice."""
    league = found(company_names(n), params, True)
    members = membership(league.epoch, league.chain_id, params.rotate_every)
    assert tuple(league.firms[members.collector(view)].name for view in range(n)) == company_names(n)


def test_p114_each_node_calls_the_others_by_their_index_in_its_own_epoch() -> None:
    world = World(load("67-membership"), 1)
    assert world.run().ok
    epoch = max(world.view.epochs)
    members = world.view.epochs[epoch]
    for daemon in world.daemons:
        state = daemon.replica_state
        if state is None or state.members.epoch != epoch:
            continue
        company = world.league.everyone[daemon.firm].company_id
        assert daemon.votes is (company in members.company_ids)
        assert (daemon.index < GUEST_FIRST) is daemon.votes
        for index in range(members.n):
            assert daemon.firm_of(index) == world.view.firm(epoch, index).index
    gone = {firm.name for firm in world.league.everyone if firm.company_id not in members.company_ids}
    assert gone == {"bolt", "corex"}


def test_scenario_71_a_newcomer_votes_from_its_first_epoch_on() -> None:
    world = World(load("71-new-member"), 1)
    assert world.run().ok
    newcomer = next(daemon for daemon in world.daemons if daemon.name == "elmar")
    index = world.view.epochs[1].company_ids.index(world.league.by_name("elmar").company_id)
    signed = [
        height
        for height, block in sorted(newcomer.store.blocks.items())
        if block.certificate.vote.epoch == 1 and int.from_bytes(block.certificate.signers, "little") >> index & 1
    ]
    assert signed and signed[0] >= world.view.epochs[1].first_height


@pytest.mark.control("P125", "P80")
def test_scenario_76_a_proven_liar_votes_and_does_not_propose_from_the_next_epoch_on() -> None:
    world = World(load("76-liar-rests"), 1)
    assert world.run().ok
    liar, members = world.league.by_name("acme"), world.view.epochs[1]
    index = members.company_ids.index(liar.company_id)
    assert index not in members.rotation and len(members.rotation) == members.n - 1
    best = max((one for one in world.daemons if one.honest), key=lambda one: one.store.view.height)
    assert read_policy(best.store.view).rest
    resting = read_resting(best.store.view, liar.company_id)
    assert resting is not None and resting.kind in ("E2", "E3") and resting.since_epoch == 1
    before = [block for height, block in best.store.blocks.items() if 0 < height < members.first_height]
    after = [block for height, block in best.store.blocks.items() if height >= members.first_height]
    old = world.view.epochs[0].company_ids.index(liar.company_id)
    assert any(block.header.proposer == old for block in before)
    assert after and all(block.header.proposer != index for block in after)
    assert any(int.from_bytes(block.certificate.signers, "little") >> index & 1 for block in after), "it votes"


@pytest.mark.control("P125")
def test_scenario_76_without_the_vote_nothing_follows_from_what_is_proven() -> None:
    changes = 'workload=[{ kind = "members", rate = "fixed:25", changes = ["rekey:bolt"] }]'
    world = World(load("76-liar-rests", [changes, 'expect.committed=""']), 1)
    assert world.run().ok
    view = max((one for one in world.daemons if one.honest), key=lambda one: one.store.view.height).store.view
    liar = world.league.by_name("acme").company_id
    assert any(view.get(fault_key(liar, 1, kind)) is not None for kind in ("E2", "E3"))
    assert read_resting(view, liar) is None and last_epoch(view).epoch == 1


@pytest.mark.parametrize("change", ["join:nobody", "marry:acme", "acme"])
def test_a_change_that_there_is_not_is_refused(change: str) -> None:
    text = f'workload=[{{ kind = "members", changes = ["{change}"] }}]'
    with pytest.raises(
        InvalidScenario, match="is none of join, claim, leave, expel, rekey, rest, return, policy with a company"
    ):
        load("01-clean", [text])


def test_the_workload_of_members_needs_a_change() -> None:
    with pytest.raises(InvalidScenario, match="needs at least one change"):
        World(load("01-clean", ['workload=[{ kind = "members" }]']), 1).run()


def test_scenario_57_the_sweep_changes_every_field_of_a_message() -> None:
    vote = Commit(2, Vote(0, 1, 5, bytes(range(32))), bytes(64))
    odd = list(variants(vote))
    assert vote not in odd
    for field in ("sender", "signature"):
        assert any(getattr(lie, field) != getattr(vote, field) for lie in odd)
    for field in Vote.__struct_fields__:
        assert sum(getattr(lie.vote, field) != getattr(vote.vote, field) for lie in odd) >= 3, field
    status = Status(0, 0, 0, 1, bytes(32), 0, 1, True, b"\x01", b"", b"", b"")
    for field in Status.__struct_fields__:
        assert any(getattr(lie, field) != getattr(status, field) for lie in variants(status)), field


def test_scenario_76_the_sweep_looks_into_signed_statements() -> None:
    body = msgspec.msgpack.encode((0, 1, 5, bytes(32)))
    item = Evidence("E3", 0, "company", (Statement("commit", body, bytes(64)), Statement("commit", body, bytes(64))))
    bodies = {one.body for lie in variants(item) for one in lie.statements}
    assert msgspec.msgpack.encode((1, 1, 5, bytes(32))) in bodies
    assert msgspec.msgpack.encode((0, 1, 6, bytes(32))) in bodies
