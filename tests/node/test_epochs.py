"""The shell of a node at the barrier (P95, P98, P112-P115, S23, S24): four real daemons in one process, without API.

A consensus key rotates. Its node dies at each step of the change, and in the end the network must need its vote and get it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from cli import governing
from cli.__main__ import run
from cli.exit_codes import Exit
from cli.governing import Home
from cli.local import cast_of
from cli.txfile import envelope, new, sign
from cli.wallet import Wallet
from consensus.events import Mode
from consensus.records import Anchor
from ledger.codec import encode
from ledger.governance.follow import EpochEnd, follow, trust_genesis, wire_members
from ledger.governance.records import Rotation, read_admission
from ledger.params import Params
from ledger.registry.epochs import epoch_at, last_epoch
from ledger.registry.lookup import nodes, read_node, read_nonces
from ledger.registry.records import Node, TlsPin
from ledger.transaction import TX_VERSION, SignerRef, TxBody
from node.app import Daemon, prepare, take_snapshot
from node.config import load_config
from node.core.effects import LearnNodes
from node.epochs import Epochs, start_event
from node.identity.joining import EpochsFile
from node.identity.tls import make_certificate
from node.prepared import Prepared
from node.store.ends import EpochEnds
from node.store.ledger import ChainStore
from node.store.proofs import node_proofs
from node.transport.peers import GUEST_FIRST
from simulator.cluster.found import found

SETTLE_SECONDS = 20.0
PORT_BASE = 12_000 + 40 * (os.getpid() % 200)


PARAMS = Params(t0_ms=1_000, status_ms=200, suspect_ttl_ms=600, fetch_ms=100, hb_ms=1_000)


class Died(Exception):
    """The process of a node ended here."""


class Town:
    """Companies of a local network, each with its home and, while it runs, its daemon."""

    def __init__(self, directory: Path) -> None:
        plan = found(directory, name="town", cast=cast_of(4), seed=7, port_base=PORT_BASE, params=PARAMS)
        by_id = sorted(plan.nodes, key=lambda node: node.company_id)
        self.homes = [directory / node.home for node in by_id]
        self.parts: list[Prepared | None] = [None] * 4
        self.daemons: list[Daemon | None] = [None] * 4
        self.tasks: list[asyncio.Task[None] | None] = [None] * 4
        self.nonces: dict[str, int] = {}

    async def start(self, index: int, arrange: Callable[[Prepared, Daemon], None] = lambda *_: None) -> None:
        await self.run(index, prepare(load_config([self.homes[index] / "node.toml"], {})), arrange)

    async def run(
        self, index: int, parts: Prepared, arrange: Callable[[Prepared, Daemon], None] = lambda *_: None
    ) -> None:
        daemon = Daemon(parts)
        arrange(parts, daemon)
        await daemon.links.start()
        run = daemon.driver.run(lambda now, wall: start_event(parts, now, wall))
        self.parts[index], self.daemons[index] = parts, daemon
        self.tasks[index] = asyncio.get_running_loop().create_task(run)

    async def end(self, index: int, *, clean: bool) -> None:
        """Stop a node; without `clean` nothing more is flushed, as after kill -9."""
        parts, daemon, task = self.parts[index], self.daemons[index], self.tasks[index]
        if parts is None or daemon is None or task is None:
            return
        if clean:
            daemon.driver.stop()
        else:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await daemon.links.close()
        parts.close()
        self.parts[index] = self.daemons[index] = self.tasks[index] = None

    def alive(self) -> list[Daemon]:
        return [daemon for daemon in self.daemons if daemon is not None]

    def daemon(self, index: int) -> Daemon:
        daemon = self.daemons[index]
        assert daemon is not None
        return daemon

    async def call(self, index: int, through: int, method: str, args: tuple[Any, ...]) -> bytes:
        """Let the people of a company make a governance call and wait until the node `through` executed it."""
        daemon = self.daemon(through)
        wallet = Wallet(self.homes[index])
        act = governing.act(method, wallet)
        people = wallet.choose([role for role, _ in act.roles])
        first = people[0].user_id
        store = daemon._parts.store
        nonce = self.nonces[first] = self.nonces.get(first, read_nonces(store.view(), first).floor) + 1
        body = TxBody(
            version=TX_VERSION,
            signers=tuple(
                SignerRef(one.user_id, capacity, wallet.company_id)
                for one, (_, capacity) in zip(people, act.roles, strict=True)
            ),
            nonce=nonce,
            valid_until_height=store.tip.height + 500,
            contract=act.contract,
            method=act.method,
            args=args,
            gas_limit=act.gas,
        )
        file = new(body, daemon._parts.chain)
        for one in people:
            sign(file, one.user_id, wallet.key(one))
        results = await daemon.driver.submit((envelope(file),))
        assert results[0].code == "", results
        tx_id: bytes = results[0].tx_id
        await until(lambda: store.find_transaction(tx_id) is not None, f"{method} is not executed")
        place = store.find_transaction(tx_id)
        assert place is not None
        await until(lambda: store.executed_height >= place[0], f"{method} is not executed")
        receipt = store.receipt(*place)
        assert receipt is not None and not receipt.abort, receipt
        return tx_id

    async def tick(self, through: int) -> None:
        """Make a block: an invitation that nobody uses."""
        await self.call(through, through, "invite", (os.urandom(32), ("trader",), 10_000))


async def until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(what) from None


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    made = Town(tmp_path / "town")
    yield made
    for index in range(4):
        await made.end(index, clean=False)


def at_append(when: str) -> Callable[[Prepared, Daemon], None]:
    """Die when the journal is to hold the beginning of the next epoch, `before` or `after` it does."""

    def arrange(parts: Prepared, daemon: Daemon) -> None:
        append = parts.journal.append

        def dying(entries: Any) -> None:
            ends = any(isinstance(record, Anchor) and record.epoch == 1 for _, record, _ in entries)
            if ends and when == "before":
                raise Died
            append(entries)
            if ends:
                raise Died

        parts.journal.append = dying  # type: ignore[method-assign]

    return arrange


def at_change(when: str) -> Callable[[Prepared, Daemon], None]:
    """Die around the moment at which the shell reads the next epoch from the disks."""

    def arrange(parts: Prepared, daemon: Daemon) -> None:
        begin = daemon.driver._begin_epoch

        def dying() -> Any:
            if when == "flushed":
                raise Died
            beginning = begin()
            if when == "read":
                raise Died
            journal = beginning.journal
            append = journal.append

            def once(entries: Any) -> None:
                append(entries)
                raise Died

            journal.append = once  # type: ignore[method-assign]
            return beginning

        daemon.driver._begin_epoch = dying

    return arrange


async def agreed(town: Town, voters: tuple[int, int], made: Callable[[], object] = lambda: None) -> None:
    """Let the companies agree to the next key of the second one; `made` is called when the key is made."""
    await until(lambda: len(town.daemon(0).links.connected) == 3, "the links are not up")
    first = town.daemon(0)._parts
    voting = epoch_at(first.store.view(), 1).members[1].consensus_key
    payload = governing.rotation(Home(town.homes[1]), first.chain, voting, keep=True)
    made()
    proposal = await town.call(1, 0, "propose", ("rotate_consensus", encode(payload), 10_000))
    for voter in voters:
        await town.call(voter, 0, "vote", (proposal, True))


async def passed(town: Town, who: list[int], epoch: int = 1) -> None:
    """Make blocks until these nodes are in an epoch."""
    while any(town.daemon(index).core.config.epoch.epoch < epoch for index in who):
        await town.tick(0)


SIGNED_WRONG = {"rejected_messages.bad_signature", "bad_signature"}
POINTS = {
    "before the journal ends its epoch": at_append("before"),
    "after the journal ended its epoch": at_append("after"),
    "when all of the epoch is flushed": at_change("flushed"),
    "when the new journal is open": at_change("read"),
    "after the first entry of the new journal": at_change("first"),
}


@pytest.mark.parametrize("who", [1, 2], ids=["its key rotates", "another"])
@pytest.mark.parametrize("point", POINTS)
async def test_p95_a_node_that_dies_at_the_barrier_votes_in_the_next_epoch(town: Town, point: str, who: int) -> None:
    for index in range(4):
        await town.start(index, POINTS[point] if index == who else lambda *_: None)
    await agreed(town, (0, 3))
    await passed(town, [0])
    task = town.tasks[who]
    assert task is not None
    await until(task.done, "the node did not die")
    assert isinstance(task.exception(), Died)
    await town.end(who, clean=False)

    await town.tick(0)
    await town.start(who)
    await until(lambda: town.daemon(who).core.started and town.daemon(who).core.config.epoch.epoch == 1, "no epoch 1")
    assert town.daemon(who)._parts.key.number == (2 if who == 1 else 1)
    await until(
        lambda: town.daemon(who).core.replica.state.mode is Mode.NORMAL and town.daemon(who).core.replica.state.cleared,
        "it does not vote",
    )
    await town.end(3, clean=True)
    await town.tick(0)  # three of four decide, so its vote is among them
    stores = [daemon._parts.store for daemon in town.alive()]
    await until(lambda: len({store.tip.height for store in stores}) == 1, "a node is behind")
    assert len({store.tip.block_id for store in stores}) == 1
    for daemon in town.alive():
        assert not [name for name in daemon.driver.meter.counters if name in SIGNED_WRONG], (
            "a key signed out of its epoch"
        )


async def test_p97_a_node_that_lost_its_journal_votes_again_with_a_new_key(town: Town) -> None:
    """P118, S40: the officers sign for the new key; it counts when its own people say that the node is ready."""
    for index in range(4):
        await town.start(index)
    await until(lambda: len(town.daemon(0).links.connected) == 3, "the links are not up")
    await town.tick(0)
    await town.end(1, clean=True)
    shutil.rmtree(town.homes[1] / "data" / "journal")
    await town.start(1)
    await until(lambda: town.daemon(1).core.started, "it does not start")
    assert town.daemon(1).core.replica.state.mode is Mode.LEARNER
    parts = town.daemon(0)._parts
    voting = epoch_at(parts.store.view(), 1).members[1].consensus_key
    payload = governing.rotation(Home(town.homes[1]), parts.chain, voting, keep=True, by_officers=True)
    proposal = await town.call(1, 0, "propose", ("rotate_consensus", encode(payload), 10_000))
    for voter in (0, 2):
        await town.call(voter, 0, "vote", (proposal, True))
    assert last_epoch(parts.store.view()).epoch == 0, "it waits for `ready`"
    store = town.daemon(1)._parts.store
    await until(lambda: store.executed_height == parts.store.executed_height, "it does not follow")
    waiting = read_admission(store.view(), town.daemon(1)._parts.node_id)
    assert waiting is not None
    found = {
        "node": waiting.node_id,
        "waiting": {"consensus_key": waiting.consensus_key.hex()},
        "block": {"height": store.tip.height, "id": store.tip.block_id.hex()},
    }
    await town.call(1, 0, "ready", governing.readiness(Home(town.homes[1]), parts.chain, found))
    await passed(town, [0, 1, 2, 3])
    state = town.daemon(1).core.replica.state
    await until(lambda: state.mode is Mode.NORMAL and state.cleared, "it does not vote")
    await town.end(3, clean=True)
    await town.tick(0)  # three of four decide, so its vote is among them


async def test_p114_nothing_that_was_handed_in_is_lost_at_the_barrier(town: Town) -> None:
    """Three companies send through their own nodes all the time while the epoch changes under them."""
    for index in range(4):
        await town.start(index)
    await until(lambda: len(town.daemon(0).links.connected) == 3, "the links are not up")
    sent = [0, 0, 0]

    async def send(company: int) -> None:
        while any(daemon.core.config.epoch.epoch == 0 for daemon in town.alive()) or sent[company] < 20:
            await town.tick(company)
            sent[company] += 1

    async with asyncio.TaskGroup() as group:
        for company in range(3):
            for _ in range(4):
                group.create_task(send(company))
        group.create_task(agreed(town, (0, 3)))
    stores = [daemon._parts.store for daemon in town.alive()]
    await until(lambda: len({store.executed_height for store in stores}) == 1, "a node is behind")
    assert len({store.view().state_root for store in stores}) == 1 and min(sent) >= 20


async def test_p85_the_end_of_an_epoch_is_kept_and_made_again_when_it_is_lost(town: Town) -> None:
    for index in range(4):
        await town.start(index)
    await agreed(town, (0, 2))
    await passed(town, [0, 1, 2, 3])
    parts = town.daemon(3)._parts
    (end,) = parts.ends.all
    known = follow(trust_genesis(parts.document), [end])
    assert not isinstance(known, str), known
    assert known.epoch == 1 and known.members == wire_members(epoch_at(parts.store.view(), known.first_height))
    way, wrong = town.homes[3] / "league.epochs", town.homes[3] / "wrong.epochs"
    way.write_bytes(encode(EpochsFile(parts.chain, (end,), ())))
    wrong.write_bytes(encode(EpochsFile(parts.chain, (msgspec.structs.replace(end, members=end.members[:3]),), ())))
    kept = town.homes[3] / "data" / "epochs" / "0"
    for spoil in (kept.unlink, lambda: kept.write_bytes(b"no epoch end")):
        await town.end(3, clean=True)
        spoil()
        await town.start(3)
        assert town.daemon(3)._parts.ends.all == (end,)
        assert kept.read_bytes() == encode(end)
    await town.end(3, clean=True)
    kept.unlink()
    home = ["--home", str(town.homes[3])]
    assert run(["company", "trust", str(wrong), *home]) == Exit.FINDINGS and not kept.exists()
    assert run(["company", "trust", str(way), *home]) == 0 and kept.read_bytes() == encode(end)


async def test_s27_the_link_of_a_company_that_left_ends_when_the_window_is_over(town: Town) -> None:
    """P117: the last blocks of its epoch may still be wanted. Until then it follows, without a vote and as a guest."""
    for index in range(4):
        await town.start(index)
    await until(lambda: len(town.daemon(0).links.connected) == 3, "the links are not up")
    parts = town.daemon(0)._parts
    gone = epoch_at(parts.store.view(), 1).members[3]
    payload = encode(governing.leave(Home(town.homes[3]), parts.chain, gone.company_id))
    await town.call(3, 0, "propose", ("leave", payload, 10_000))
    with capture_logs() as logs:
        await passed(town, [0, 1, 2])
    warned = [line for line in logs if line["event"] == "no_byzantine_fault_tolerated"]
    assert len(warned) >= 3 and warned[0]["members"] == 3 and "no lying member" in warned[0]["detail"]  # P4
    begins = last_epoch(parts.store.view()).first_height
    await until(lambda: town.daemon(3).core.config.epoch.epoch == 1, "it does not follow to the barrier")
    assert town.daemon(3).epochs.own is None and town.daemon(3).core.replica.state.mode is Mode.LEARNER
    if parts.store.tip.height < begins + parts.document.params.window:
        assert gone.node_id in [one.node_id for one in town.daemon(0).links.status() if one.index >= GUEST_FIRST]
    while parts.store.tip.height <= begins + parts.document.params.window:
        await town.tick(0)
    assert gone.node_id not in [one.node_id for one in town.daemon(0).links.status()]
    assert town.daemon(0).links.connected == (1, 2)
    await until(lambda: not town.daemon(3).links.connected, "a link is still up")


def shown(ends: Sequence[EpochEnd]) -> list[tuple[bytes, object]]:
    """What ends say; nodes may hold certificates of different members for one block."""
    return [(end.header, end.members) for end in ends]


async def start_with_snapshots(town: Town) -> None:
    """Start all four nodes; each makes snapshots often, and takes one as soon as it is a few blocks behind."""
    for home in town.homes:
        with (home / "node.toml").open("a", encoding="utf-8") as file:
            file.write("\n[storage]\nsnapshot_every = 5\nsync_replay_blocks = 6\n")
    for index in range(4):
        await town.start(index)


@pytest.mark.parametrize("given", [True, False], ids=["given the way to the members", "by its peers"])
async def test_p107_the_state_of_a_later_epoch_is_taken_once_its_members_are_known(town: Town, given: bool) -> None:
    """P85: the ends of epochs lead from the genesis file to them. A node that was not given them asks its peers."""
    await start_with_snapshots(town)
    await agreed(town, (0, 2))
    await passed(town, [0, 1, 2, 3])
    first = town.daemon(0)._parts
    begins = epoch_at(first.store.view(), first.store.tip.height + 1).first_height
    others = [town.daemon(index)._parts.snapshots for index in range(3)]
    while not all(one.offer(begins).manifests for one in others):
        await town.tick(0)
    await town.end(3, clean=True)
    data = town.homes[3] / "data"
    for name in ("chain", "snapshots", "epochs"):
        shutil.rmtree(data / name)
    if given:
        assert EpochEnds(data).adopt(first.ends.all) == 1
    await town.start(3)
    installed, faults = [], dict[str, int]()
    while town.daemon(3)._parts.store.tip.height < first.store.tip.height:
        daemon, task = town.daemon(3), town.tasks[3]
        assert task is not None

        def settled(task: asyncio.Task[None] = task, store: ChainStore = daemon._parts.store) -> bool:
            return task.done() or store.tip.height >= first.store.tip.height

        await until(settled, f"it stays at {daemon._parts.store.tip.height}")
        faults |= {name: count for name, count in daemon.driver.meter.counters.items() if name.startswith("rejected")}
        if daemon.driver.installed:  # as the process does then
            installed.append(daemon.driver.installed)
            await daemon.links.close()
            take_snapshot(daemon._parts)
            await town.run(3, daemon._parts)
    await until(lambda: town.daemon(3).core.config.epoch.epoch == 1, "it is not in the epoch")
    unknown = {"rejected_messages.hello_signature"}  # of the rotated key, until the registry or the ends show it
    faults.pop("rejected_messages.newer_epoch", None)  # counted, and nobody's fault (P115)
    assert faults.keys() <= (set() if given else unknown), "nobody is blamed for what it sends"
    assert any(height >= begins for height in installed), "it took a state before the barrier, or none"
    assert shown(town.daemon(3)._parts.ends.all) == shown(first.ends.all)
    state = town.daemon(3).core.replica.state
    await until(lambda: state.mode is Mode.NORMAL and state.cleared, "its journal is whole, so it keeps its vote")


async def test_p85_ends_of_several_epochs_come_from_peers_and_a_liar_is_named(town: Town) -> None:
    """P107: a node that was away over two barriers learns who decides today, takes that state, and votes again."""
    await start_with_snapshots(town)
    await until(lambda: len(town.daemon(0).links.connected) == 3, "the links are not up")
    await town.end(3, clean=True)
    first = town.daemon(0)._parts
    slow = epoch_at(first.store.view(), 1).companies[1]
    for epoch, proposes in ((1, False), (2, True)):
        payload = encode(Rotation(slow, proposes))
        proposal = await town.call(0, 0, "propose", ("rotation", payload, 10_000))
        for voter in (1, 2):
            await town.call(voter, 0, "vote", (proposal, True))
        await passed(town, [0, 1, 2], epoch)
    begins = epoch_at(first.store.view(), first.store.tip.height + 1).first_height
    while not all(town.daemon(index)._parts.snapshots.offer(begins).manifests for index in range(3)):
        await town.tick(0)
    kept = first.ends.all
    spoilt = msgspec.structs.replace(
        kept[1], certificate=msgspec.structs.replace(kept[1].certificate, signatures=(bytes(64),) * 3)
    )
    asked: list[int] = []
    for index in range(3):
        honest = town.daemon(index).epochs.after

        def answer(epoch: int, most: int, index: int = index, honest: Callable[..., Any] = honest) -> Any:
            asked.append(index)
            return (kept[0], spoilt)[epoch:] if index == asked[0] else honest(epoch, most)

        town.daemon(index).epochs.after = answer  # type: ignore[method-assign]
    counted: dict[str, int] = {}
    await town.start(3)
    while town.daemon(3)._parts.store.tip.height < first.store.tip.height:
        daemon, task = town.daemon(3), town.tasks[3]
        assert task is not None

        def settled(task: asyncio.Task[None] = task, store: ChainStore = daemon._parts.store) -> bool:
            return task.done() or store.tip.height >= first.store.tip.height

        await until(settled, f"it stays at {daemon._parts.store.tip.height}")
        counted |= daemon.driver.meter.counters
        if daemon.driver.installed:
            assert daemon.driver.installed >= begins
            await daemon.links.close()
            take_snapshot(daemon._parts)
            await town.run(3, daemon._parts)
    assert counted.get("rejected_messages.epoch_end") == 1, "who was asked first lied and was named"
    assert asked[1:] and asked[1] != asked[0], "and another was asked"
    assert shown(town.daemon(3)._parts.ends.all) == shown(kept)
    await until(lambda: town.daemon(3).core.started and town.daemon(3).core.config.epoch.epoch == 2, "no epoch 2")
    state = town.daemon(3).core.replica.state
    await until(lambda: state.mode is Mode.NORMAL and state.cleared, "its journal is whole, so it keeps its vote")


async def renew_tls(town: Town, company: int, through: int) -> bytes:
    """Give a node another TLS key and end the old one; return the new pin."""
    parts = town.daemon(company)._parts
    for end_old in (False, True):
        node = read_node(town.daemon(through)._parts.store.view(), parts.node_id)
        assert node is not None
        pins = [
            {"spki_sha256": pin.spki_sha256.hex(), "certificate": b64encode(pin.certificate_der)} for pin in node.tls
        ]
        found = {"node": parts.node_id, "tls": pins}
        home = Home(town.homes[company])
        payload = governing.tls_rotation(home, parts.chain, found, keep=True, end_old=end_old)
        await town.call(company, through, "propose", ("rotate_tls", encode(payload), 10_000))
        await until(lambda: parts.tls.certificate.name == "tls-2.crt", "the node does not show the new certificate")
    return payload.tls[0].spki_sha256


async def test_p117_a_node_that_was_away_learns_where_the_others_are_from_the_one_it_reaches(town: Town) -> None:
    """S23: two of three others changed their TLS keys meanwhile. What the third tells is proven by the chain."""
    await start_with_snapshots(town)
    await until(lambda: len(town.daemon(0).links.connected) == 3, "the links are not up")
    await town.end(3, clean=True)
    fresh = [await renew_tls(town, company, 0) for company in (1, 2)]
    await until(lambda: len(town.daemon(0).links.connected) == 2, "the links do not come back with the new keys")
    first = town.daemon(0)._parts
    while not all(town.daemon(index)._parts.snapshots.offer(8).manifests for index in range(3)):
        await town.tick(0)
    for name in ("chain", "snapshots"):
        shutil.rmtree(town.homes[3] / "data" / name, ignore_errors=True)
    learned: list[tuple[int, int]] = []

    def watch(parts: Prepared, daemon: Daemon) -> None:
        learn = daemon.epochs.learn

        def told(effect: LearnNodes) -> None:
            before = parts.store.executed_height
            learn(effect)
            if all(pin in daemon.links._pins for pin in fresh):
                learned.append((before, effect.height))

        daemon.epochs.learn = told  # type: ignore[method-assign]

    await town.start(3, watch)
    while town.daemon(3)._parts.store.tip.height < first.store.tip.height:
        daemon, task = town.daemon(3), town.tasks[3]
        assert task is not None

        def settled(task: asyncio.Task[None] = task, store: ChainStore = daemon._parts.store) -> bool:
            return task.done() or store.tip.height >= first.store.tip.height

        await until(settled, f"it stays at {daemon._parts.store.tip.height}")
        if daemon.driver.installed:
            await daemon.links.close()
            take_snapshot(daemon._parts)
            await town.run(3, daemon._parts)
    assert learned and learned[0][0] == 0 < learned[0][1], "by the genesis state it would have known only one of them"
    await until(lambda: len(town.daemon(3).links.connected) == 3, "it is not linked with all of them")


async def test_p117_the_newest_record_of_each_node_counts(town: Town) -> None:
    """True records may be old ones, or only the liar's own: neither ends the link to a member that renewed its key."""
    parts = prepare(load_config([town.homes[3] / "node.toml"], {}))
    try:
        daemon = Daemon(parts)
        old = tuple(nodes(parts.store.view()))
        renewed, liar = [node for node in old if node.node_id != parts.node_id][:2]
        made = make_certificate(
            seed=b"\7" * 32, serial=7, chain_id=parts.chain, node_id=renewed.node_id, password=b"x", now_ms=1_800_000_000_000
        )  # fmt: skip
        pin = TlsPin(made.spki_sha256, made.certificate_der)
        new = tuple(msgspec.structs.replace(node, tls=(pin,)) if node is renewed else node for node in old)
        daemon.epochs.learn(LearnNodes(height=2_000, nodes=new))
        assert pin.spki_sha256 in daemon.links._pins
        for height, shown in ((1_000, old), (3_000, (liar,)), (2_500, (liar,))):
            daemon.epochs.learn(LearnNodes(height=height, nodes=shown))
            assert pin.spki_sha256 in daemon.links._pins, f"records of height {height} ended the link"
        daemon.epochs.learn(LearnNodes(height=3_000, nodes=old))
        assert pin.spki_sha256 not in daemon.links._pins, "what is newer counts"
    finally:
        parts.close()


async def test_p107_what_the_registry_says_is_looked_up_anew_over_a_state_that_was_taken(town: Town) -> None:
    """S23: keys, certificate and names of a process that runs are those of the state it stands on, not of its start."""
    await start_with_snapshots(town)
    await until(lambda: len(town.daemon(0).links.connected) == 3, "the links are not up")
    await town.end(1, clean=True)
    first, file = town.daemon(0)._parts, town.homes[1] / "directory.toml"
    names = file.read_text(encoding="utf-8")
    file.write_text(names[: names.rindex("[[company]]")], encoding="utf-8")
    parts = prepare(load_config([town.homes[1] / "node.toml"], {}))
    file.write_text(names, encoding="utf-8")
    home = Home(town.homes[1])
    node = read_node(first.store.view(), parts.node_id)
    assert node is not None and len(parts.directory.names) == 3
    pins = [{"spki_sha256": pin.spki_sha256.hex(), "certificate": b64encode(pin.certificate_der)} for pin in node.tls]
    found = {"node": parts.node_id, "tls": pins}
    tls = governing.tls_rotation(home, parts.chain, found, keep=True, end_old=False)
    await town.call(1, 0, "propose", ("rotate_tls", encode(tls), 10_000))
    payload = governing.rotation(home, parts.chain, parts.key.key.public_key, keep=True)
    proposal = await town.call(1, 0, "propose", ("rotate_consensus", encode(payload), 10_000))
    for voter in (0, 2):
        await town.call(voter, 0, "vote", (proposal, True))
    await passed(town, [0, 2, 3])
    begins = epoch_at(first.store.view(), first.store.tip.height + 1).first_height
    while not all(town.daemon(index)._parts.snapshots.offer(begins).manifests for index in (0, 2, 3)):
        await town.tick(0)
    await town.run(1, parts)
    task = town.tasks[1]
    assert task is not None
    await until(task.done, "it takes no state")
    assert town.daemon(1).driver.installed >= begins and parts.key.number == 1
    await town.daemon(1).links.close()
    take_snapshot(parts)
    assert (parts.key.number, parts.tls.certificate.name, len(parts.directory.names)) == (2, "tls-2.crt", 4)
    await town.run(1, parts)
    await until(lambda: town.daemon(1).core.started, "it does not start")
    state = town.daemon(1).core.replica.state
    await until(lambda: state.mode is Mode.NORMAL and state.cleared, "it does not vote with its new key")


async def test_p117_a_newcomer_that_reaches_nobody_by_the_genesis_file_is_given_where_the_members_are(
    town: Town,
) -> None:
    """S23: a TLS key that the genesis file names has ended; `hansa company trust` gives the records of today."""
    for index in range(4):
        await town.start(index)
    await until(lambda: len(town.daemon(0).links.connected) == 3, "the links are not up")
    fresh = await renew_tls(town, 1, 0)
    first = town.daemon(0)._parts
    while not any(fresh in [pin.spki_sha256 for pin in node.tls] for node in shown_nodes(first.store)):
        await town.tick(0)
    proofs = node_proofs(first.store)
    home, data = town.homes[3], town.homes[3] / "data"
    await town.end(3, clean=True)
    for name in ("chain", "epochs"):
        shutil.rmtree(data / name)
    good, wrong = home / "league.epochs", home / "wrong.epochs"
    good.write_bytes(encode(EpochsFile(first.chain, (), proofs)))
    spoilt = msgspec.structs.replace(proofs[0], state_root=bytes(32))
    wrong.write_bytes(encode(EpochsFile(first.chain, (), (spoilt, *proofs[1:]))))

    def pins() -> list[bytes]:
        parts = prepare(load_config([home / "node.toml"], {}))
        try:
            linked = Epochs(parts, on_reach=lambda: None).linked_nodes()
        finally:
            parts.close()
        return [pin.spki_sha256 for one in linked for pin in one.node.tls]

    assert fresh not in pins()
    assert run(["company", "trust", str(wrong), "--home", str(home)]) == Exit.FINDINGS and fresh not in pins()
    assert run(["company", "trust", str(good), "--home", str(home)]) == 0 and fresh in pins()
    (data / "epochs" / "nodes").write_bytes(encode((spoilt, *proofs[1:])))
    assert fresh not in pins(), "what does not hold is not believed from the disk either"


def shown_nodes(store: ChainStore) -> list[Node]:
    """The nodes as of the newest certified state."""
    view = store.at(store.certified_height)
    return [] if view is None else nodes(view)


async def test_p85_ends_that_the_disk_lost_and_the_chain_no_longer_shows_come_from_peers(town: Town) -> None:
    for index in range(4):
        await town.start(index)
    await agreed(town, (0, 2))
    await passed(town, [0, 1, 2, 3])
    kept = town.daemon(0)._parts.ends.all
    await town.end(3, clean=True)
    shutil.rmtree(town.homes[3] / "data" / "epochs")

    def pruned(parts: Prepared, _: Daemon) -> None:
        assert shown(parts.ends.all) == shown(kept), "while the block is held, its end is made again from it"

    await town.start(3, pruned)
    await town.end(3, clean=True)
    shutil.rmtree(town.homes[3] / "data" / "epochs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EpochEnds, "follow", lambda *_: None)  # as when the last block of the epoch is pruned
        await town.start(3)
    await until(lambda: shown(town.daemon(3)._parts.ends.all) == shown(kept), "it does not ask")


async def test_s24_a_key_that_is_not_here_does_not_vote_and_the_node_follows(town: Town) -> None:
    for index in range(4):
        await town.start(index)
    key = town.homes[1] / "keystore" / "consensus-2.json"
    await agreed(town, (0, 2), lambda: key.rename(town.homes[1] / "kept.json"))
    await passed(town, [0, 1, 2, 3])
    assert town.daemon(1).epochs.own is None and town.daemon(1).core.replica.state.mode is Mode.LEARNER
    assert "is not in the keystore; put it there" in town.daemon(1).consensus().vote_problem
    assert town.daemon(0).consensus().vote_problem == ""
    await until(
        lambda: town.daemon(1)._parts.store.tip.height >= town.daemon(0)._parts.store.tip.height, "it does not follow"
    )
    await town.end(1, clean=True)
    (town.homes[1] / "kept.json").rename(key)
    await town.start(1)
    await until(lambda: town.daemon(1).core.started and town.daemon(1).core.replica.state.cleared, "it is not heard")
    assert town.daemon(1).core.replica.state.mode is Mode.NORMAL, (
        "the key votes since this epoch: its journal may be new"
    )
