"""Gas exhaustion at every value, for every action of the library through the real host (G4, K17, K58).

Two ways of running count gas: the closures of a node, and the watched ones of the tools. Both must stop at the same
value with the same words and leave nothing behind.
"""

from __future__ import annotations

from functools import lru_cache

import pytest
from msgspec.structs import replace

from contracts.library import sources
from contracts.runtime import Program, link, program
from contracts.syntax.parse import parse
from contracts.syntax.tree import Contract, ContractDemand, Routine
from ledger.money import ISO_4217
from ledger.transaction import SignerRef, TxBody, unsigned
from ledger.transition import TransactionHost
from tests.library.conftest import BLANK, GAS, World
from tests.library.stories import Scene, told, world_of

DAY_MS = 86_400_000
EPOCH_DAY = 719_163


@lru_cache(maxsize=1)
def library() -> Program:
    return program(sources(), ISO_4217)


@lru_cache(maxsize=1)
def scenes() -> dict[str, Scene]:
    return told(library())


def actions() -> list[str]:
    """Return the names of all actions that people may call; what only contracts call is part of their gas."""
    found = []
    for name, source in sources():
        file = parse(source)
        assert isinstance(file, Contract)
        found += [f"{name}.{action.name}" for action in file.routines if action.kind == "action" and not _inner(action)]
    return found


def _inner(action: Routine) -> bool:
    return any(isinstance(demand, ContractDemand) for demand in action.demands or ())


def test_k58_the_stories_tell_of_every_action_that_people_call() -> None:
    people = [
        f"{name}.{method}"
        for name, interface in library().interfaces.items()
        for method, schema in interface.actions.items()
        if schema.callers is None
    ]
    assert sorted(scenes()) == sorted(people) == sorted(actions())


def host_of(world: World, name: str, scene: Scene) -> TransactionHost:
    contract, _, method = name.partition(".")
    refs = tuple(SignerRef(user, "maker", user.partition("-")[0]) for user in scene.by)
    body = TxBody(1, refs, 99, 110, contract, method, scene.args, GAS)
    header = replace(BLANK, height=99, time_ms=(world.day.toordinal() - EPOCH_DAY) * DAY_MS)
    return TransactionHost(world.overlay, unsigned(body, b"t" * 32), header, world.day.toordinal() - 1)


@pytest.mark.parametrize("watched", [False, True], ids=["closures", "watched"])
@pytest.mark.parametrize("name", actions())
def test_g4_k58_every_gas_value_below_the_need_leaves_nothing(name: str, watched: bool) -> None:
    linked, scene = library(), scenes()[name]
    world = world_of(linked, scene)
    contract, _, method = name.partition(".")
    runs = link(linked.codes, lambda *_: None) if watched else linked
    host, args = host_of(world, name, scene), scene.args
    before = world.overlay.writes()

    world.overlay.begin()
    full = runs.execute(contract, method, args, host, GAS)
    assert full.abort is None, full.abort
    written = world.overlay.writes()
    assert written != before
    world.overlay.rollback()

    lines = []
    for gas in range(full.gas_used):
        world.overlay.begin()
        short = runs.execute(contract, method, args, host, gas)
        world.overlay.rollback()
        assert short.abort is not None and short.abort.code == "out_of_gas", gas
        assert (short.gas_used, short.events, short.result) == (gas, (), None)
        assert world.overlay.writes() == before
        lines.append((short.abort.contract, short.abort.line))

    world.overlay.begin()
    assert runs.execute(contract, method, args, host, full.gas_used) == full  # the first limit that suffices
    assert world.overlay.writes() == written
    world.overlay.rollback()
    if watched:  # both ways stop at the same place, whatever the limit
        for gas in range(0, full.gas_used, 3):
            world.overlay.begin()
            plain = linked.execute(contract, method, args, host, gas)
            world.overlay.rollback()
            assert plain.abort is not None
            assert (plain.abort.contract, plain.abort.line) == lines[gas]
