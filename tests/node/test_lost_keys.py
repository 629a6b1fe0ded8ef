"""A company whose keys are all lost comes back after the delay of seven days (S28, P118): four real daemons in one
process, without API. Their clocks are moved on together, so the days pass in a moment and the block times with them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli import governing
from cli.__main__ import run
from cli.governing import Home
from consensus.events import Mode
from ledger.codec import encode
from ledger.governance.records import ACCEPTED, OPEN, read_admission, read_proposal, read_replacement
from ledger.governance.replacing import DELAY_MS
from ledger.registry.epochs import epoch_at, last_epoch
from ledger.registry.lookup import read_company, read_node
from node.app import Daemon
from node.home import read_card
from node.identity.joining import keys_file_codec
from node.prepared import Prepared
from tests.node import test_epochs
from tests.node.test_epochs import Town, passed, until

HOUR_MS = 3_600_000


class Clock:
    """The wall clock of all nodes, those that start later as well."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._ahead_ms = 0

    def forward(self, ms: int) -> None:
        self._ahead_ms += ms
        for daemon in self._town.alive():
            daemon.driver.wall_offset_ms = self._ahead_ms

    def arrange(self, _: Prepared, daemon: Daemon) -> None:
        daemon.driver.wall_offset_ms = self._ahead_ms


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    monkeypatch.setattr(test_epochs, "PORT_BASE", 21_000 + 40 * (os.getpid() % 20))
    monkeypatch.setattr(test_epochs, "SETTLE_SECONDS", 90.0)  # three of four decide, with changes of the leader
    made = Town(tmp_path / "town")
    yield made
    for index in range(4):
        await made.end(index, clean=False)


async def test_s28_the_others_replace_the_keys_of_a_company_after_seven_days(town: Town, tmp_path: Path) -> None:
    clock = Clock(town)
    for index in range(4):
        await town.start(index)
    await until(lambda: len(town.daemon(0).links.connected) == 3, "the links are not up")
    first = town.daemon(0)._parts
    first_epoch = epoch_at(first.store.view(), 1)
    old = first_epoch.members[3]
    name = first.directory.names[old.company_id]
    before = read_company(first.store.view(), old.company_id)
    fresh, asked = tmp_path / "fresh", tmp_path / "lost.keys"
    for gone in ("officers", "people"):  # nobody can speak for the company any more; its node still runs
        shutil.rmtree(town.homes[3] / gone)

    # a fresh home asks, a member proposes, and all others endorse at once
    directory = str(town.homes[0] / "directory.toml")
    assert run(["init", name, "--replaces", directory, "--home", str(fresh), "--development"]) == 0
    for public in ("genesis.hansa", "directory.toml"):
        shutil.copy(town.homes[0] / public, fresh / public)
    assert run(["company", "recover", str(asked), "--home", str(fresh)]) == 0
    payload = keys_file_codec.decode(asked.read_bytes()).payload
    proposal = await town.call(0, 0, "propose", ("replace_keys", encode(payload), 100_000))

    backed = [
        await asyncio.to_thread(
            governing.endorsement, Home(town.homes[company]), first.chain, proposal, first_epoch.companies[company]
        )
        for company in range(3)
    ]

    async def endorsed(company: int) -> str:
        await town.call(company, 0, "endorse", (proposal, backed[company]))
        found = read_proposal(first.store.view(), proposal)
        assert found is not None
        return found.status

    assert [await endorsed(company) for company in range(3)] == [OPEN] * 3, "q of them do not count yet"
    notice = read_replacement(first.store.view(), proposal)
    assert notice is not None and 0 < first.store.tip.time_ms - (notice.begins_ms - DELAY_MS) < HOUR_MS

    # an hour before its end the delay still holds, for a node that was away meanwhile as well
    clock.forward(DELAY_MS - HOUR_MS)
    await town.end(1, clean=True)
    assert read_company(first.store.view(), old.company_id) == before
    await town.start(1, clock.arrange)
    assert await endorsed(0) == OPEN
    clock.forward(HOUR_MS)
    assert await endorsed(0) == ACCEPTED, "the first vote after it counts those of before"
    after = read_company(first.store.view(), old.company_id)
    assert before is not None and after is not None
    assert after.company_id == before.company_id and not set(after.root.keys) & set(before.root.keys)
    assert last_epoch(first.store.view()).epoch == 0, "the vote of the new node waits for `ready`"

    # the old node has no place any more; the new one follows, says that it is ready, and its vote counts from the next epoch on
    await town.end(3, clean=False)
    town.homes[3] = fresh
    town.nonces.clear()
    await town.start(3, clock.arrange)
    store, node = town.daemon(3)._parts.store, town.daemon(3)._parts.node_id
    assert node == read_card(fresh / "card.hansa").node.node_id != old.node_id
    await until(lambda: store.executed_height >= first.store.executed_height, "the new node does not follow")
    waiting = read_admission(store.view(), node)
    assert waiting is not None
    found = {
        "node": node,
        "waiting": {"consensus_key": waiting.consensus_key.hex()},
        "block": {"height": store.tip.height, "id": store.tip.block_id.hex()},
    }
    await town.call(3, 0, "ready", governing.readiness(Home(fresh), first.chain, found))
    await passed(town, [0, 1, 2, 3])
    state = town.daemon(3).core.replica.state
    await until(lambda: state.mode is Mode.NORMAL and state.cleared, "it does not vote")
    member = epoch_at(first.store.view(), first.store.tip.height + 1).members[3]
    assert (member.company_id, member.node_id) == (old.company_id, node)
    gone = read_node(first.store.view(), old.node_id)
    assert gone is not None and gone.status == "left"
    await town.end(2, clean=True)
    await town.tick(0)  # three of four decide, so its vote is among them
