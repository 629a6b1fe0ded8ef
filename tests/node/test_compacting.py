"""A running node gives the space of pruned blocks back by its schedule and goes on (U6): four real daemons, without API."""

from __future__ import annotations

import asyncio
import gc
import os
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli import governing
from cli.txfile import envelope, new, sign
from cli.wallet import Wallet
from consensus.effects import Halt, HaltReason
from consensus.events import Mode
from ledger.params import Params
from ledger.registry.lookup import read_nonces
from ledger.transaction import TX_VERSION, SignerRef, TxBody
from node.app import EXIT_FAILED, EXIT_OK, loosen_memory, reopen, settle_memory
from node.store import pruning
from tests.node import test_epochs
from tests.node.test_epochs import Town, until

PARAMS = Params(
    t0_ms=1_000, status_ms=200, suspect_ttl_ms=600, fetch_ms=100, hb_ms=1_000, max_validity_heights=10, exec_lag=2,
)  # fmt: skip
SIZE = 100_000
"""Bytes of each refused payload: what fills the blocks and leaves nothing in the state."""


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    monkeypatch.setattr(test_epochs, "PARAMS", PARAMS)
    monkeypatch.setattr(test_epochs, "PORT_BASE", 20_200 + 40 * (os.getpid() % 20))
    monkeypatch.setattr(pruning, "SLACK_BYTES", 512 * 1024)
    made = Town(tmp_path / "town")
    yield made
    for index in range(4):
        await made.end(index, clean=False)


async def fill(town: Town, through: int, count: int) -> None:
    """Send large proposals of no kind: each is refused with a receipt, and stands in its block."""
    daemon = town.daemon(through)
    wallet = Wallet(town.homes[through])
    act = governing.act("propose", wallet)
    people = wallet.choose([role for role, _ in act.roles])
    first = people[0].user_id
    store = daemon._parts.store
    for _ in range(count):
        town.nonces[first] = town.nonces.get(first, read_nonces(store.view(), first).floor) + 1
        body = TxBody(
            version=TX_VERSION,
            signers=tuple(
                SignerRef(one.user_id, capacity, wallet.company_id)
                for one, (_, capacity) in zip(people, act.roles, strict=True)
            ),
            nonce=town.nonces[first],
            valid_until_height=store.tip.height + 9,
            contract=act.contract,
            method=act.method,
            args=("none", os.urandom(SIZE), 10_000),
            gas_limit=act.gas,
        )
        file = new(body, daemon._parts.chain)
        for one in people:
            sign(file, one.user_id, wallet.key(one))
        results = await daemon.driver.submit((envelope(file),))
        assert results[0].code == "", results
        tx_id: bytes = results[0].tx_id
        await until(lambda tx_id=tx_id: store.find_transaction(tx_id) is not None, "it does not enter")  # type: ignore[misc]


async def begin(town: Town) -> None:
    """Start all four; the second keeps twelve blocks, and makes no snapshots, for which it would keep more."""
    with (town.homes[1] / "node.toml").open("a", encoding="utf-8") as file:
        file.write("\n[storage]\nkeep_blocks = 12\nsnapshot_every = 0\n")
    for index in range(4):
        await town.start(index)
    await until(lambda: len(town.daemon(0).links.connected) == 3, "the links are not up")


@pytest.mark.parametrize("why", ["told to stop", "halted"])
async def test_p20_an_end_is_not_overruled_by_what_the_last_flush_finds(
    town: Town, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last flush prunes too; if the file is worth shrinking then, the node must end all the same."""
    await begin(town)
    daemon, task = town.daemon(1), town.tasks[1]
    assert task is not None
    await fill(town, 0, 30)
    monkeypatch.setattr("node.app.COMPACT_TURN", 1_000_000)  # its turn does not come by itself
    store = daemon._parts.store
    while store.executed_height <= store.durable_height:  # something is left for the last flush
        await fill(town, 0, 1)
    monkeypatch.setattr("node.app.worth_compacting", lambda _: True)
    monkeypatch.setattr("node.app.BLOCKS_AT_ONCE", 1)
    monkeypatch.setattr("node.app.COMPACT_TURN", max(1, store.tip.height))
    if why == "halted":
        halt = Halt(reason=HaltReason.STATE_DIVERGENCE, detail="another result")
        daemon.driver.halted = halt
        daemon._on_halt(halt)
        daemon.driver.stop()
    else:
        daemon.stop()
    await asyncio.wait_for(task, 10)
    assert daemon.compacting, "the last flush wants to shrink the file"
    assert not daemon.goes_on and daemon._exit == (EXIT_FAILED if why == "halted" else EXIT_OK)


class Knot:
    """Holds itself, as a daemon and its parts hold each other."""

    def __init__(self) -> None:
        self.own = self


def test_e36_what_an_earlier_loop_left_is_collected_at_the_next_start() -> None:
    before = gc.get_threshold()
    try:
        knot = Knot()
        settle_memory()
        left = weakref.ref(knot)
        del knot
        gc.collect()
        assert left() is not None, "the collector does not look at what a start made"
        settle_memory()
        assert left() is not None, "nor at what was set aside before a fork: those pages are shared"
        loosen_memory()
        settle_memory()
        assert left() is None
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


async def test_u6_the_file_shrinks_while_the_node_runs_and_it_votes_on(town: Town) -> None:
    await begin(town)
    daemon, task = town.daemon(1), town.tasks[1]
    assert task is not None
    browser, _ = daemon.service.sessions.open(token_id="t", company_id="c", user_id="u", now_ms=1)
    most = 0
    while not task.done():
        await fill(town, 0, 1)
        most = max(most, daemon._parts.store.size_bytes() if not task.done() else 0)
        assert town.daemon(0)._parts.store.tip.height < 6 * 64, "its turn came and went"
        await asyncio.sleep(0)
    assert task.exception() is None and daemon.compacting and daemon.goes_on
    assert daemon._parts.store.tip.height // 64 % 4 == 1, "in its own turn, so that the others are there"
    await daemon.links.close()
    parts = daemon._parts
    tip, root, oldest = parts.store.tip, parts.store.view().state_root, parts.store.oldest_height
    reopen(parts)
    assert (parts.store.tip, parts.store.view().state_root, parts.store.oldest_height) == (tip, root, oldest)
    assert parts.store.size_bytes() < most and oldest > 1
    await town.run(1, parts)
    assert town.daemon(1).service.sessions.find(browser, 2) is not None, "who is signed in stays so (S46)"
    await until(lambda: town.daemon(1).core.started and town.daemon(1).core.replica.state.cleared, "it is not heard")
    assert town.daemon(1).core.replica.state.mode is Mode.NORMAL
    await town.end(3, clean=True)
    await fill(town, 0, 1)  # three of four decide, so its vote is among them
