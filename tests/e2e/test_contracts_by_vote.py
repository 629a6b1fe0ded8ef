"""Contracts by vote on real nodes that are stopped, killed and set back meanwhile: everybody runs the same (L57-L63)."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.acting import Actor
from cli.calls import Act
from cli.client import Client
from ledger.codec import encode
from ledger.transaction import TxBody
from tests.e2e.conftest import Cluster
from tests.e2e.test_faults import actor_of, settled
from tests.e2e.test_snapshot_join import configure, installed

pytestmark = pytest.mark.e2e

EVERY, REPLAY, NOTES = 15, 20, 60
KEEP = Act("notes", "keep", (("preparer", "maker"),))
FIRST = """contract notes version 1

table Note key id: text(20):
    owner: party, weight: int, seen: date

event Seen: id: text(20), owner: party

action keep(id: text(20), weight: int) by role preparer of caller:
    insert Note(id = id, owner = caller, weight = weight, seen = today)

schedule look on Note.seen:
    emit Seen(id = row.id, owner = row.owner)
"""
SECOND = (
    FIRST.replace("version 1", "version 2 replaces 1")
    .replace(
        "seen: date\n\n",
        "seen: date, half: int\n    index (half)\n\nmigrate Note: half = floor_div(row.weight, 2)\n\n",
        1,
    )
    .replace("seen = today)", "seen = today, half = floor_div(weight, 2))")
    + """
query with_half(half: int) -> int:
    var found = 0
    for note in Note where note.half == half limit 100:
        found = found + 1
    return found
"""
)


def agree(cluster: Cluster, file: Path, *companies: str, contract: str = "notes") -> None:
    """Propose a contract by the first company and approve it by the others, as people do."""
    first, *others = companies
    commands = [("propose", str(file), first), *(("approve", contract, name) for name in others)]
    for verb, what, name in commands:
        wait = ("--wait",) if name == others[-1] else ()
        done = cluster.hansa("contract", verb, what, "--profile", f"demo-{name}", "--yes", *wait)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr


async def with_half(client: Client, half: int) -> tuple[Any, int]:
    """Ask a node's own copy through the index that version 2 brought; return the answer and the gas it took."""
    body = TxBody(1, (), 1, 1, "notes", "with_half", (half,), 100_000)
    answer = await client.post("v1/rehearsals", {"body": b64encode(encode(body)).decode()})
    return answer["result"], answer["gas_used"]


async def seen(client: Client, count: int, seconds: float = 20) -> None:
    """Wait until the schedule has run for all rows, of both versions: for the last one without another call (L56)."""
    ends = time.monotonic() + seconds
    while True:
        found = (await client.lines("v1/events", {"types": "notes.Seen", "limit": "200"}))["items"]
        if len(found) == count:
            return
        assert time.monotonic() < ends, f"{len(found)} of {count} ran by themselves"
        await asyncio.sleep(0.2)


async def keep(actor: Actor, number: int) -> dict[str, Any]:
    return await actor.do(KEEP, (f"n{number}", number), seconds=30)


@pytest.mark.control("L59", "L61", "L63")
async def test_l59_a_restart_a_crash_and_a_snapshot_over_activations(cluster: Cluster, tmp_path: Path) -> None:
    configure(cluster, snapshot_every=EVERY, sync_replay_blocks=REPLAY)
    await settled(cluster, list(cluster.nodes))
    one, two = tmp_path / "notes.contract", tmp_path / "notes-2.contract"
    one.write_text(FIRST, encoding="utf-8")
    two.write_text(SECOND, encoding="utf-8")

    cluster.act("stop", "chenghu")  # it misses both versions
    agree(cluster, one, "lifeng", "falkenberg", "qiming")
    client, actor = await actor_of(cluster, "lifeng")
    for number in range(20):
        await keep(actor, number)
    cluster.act("restart", "qiming")  # it links what its state says, not what genesis says
    await settled(cluster, ["lifeng", "falkenberg", "qiming"])
    agree(cluster, two, "falkenberg", "qiming", "lifeng")
    for number in range(20, NOTES):
        await keep(actor, number)
    await seen(client, NOTES)
    seven, twenty = await with_half(client, 7), await with_half(client, 20)
    assert seven[0] == 2, "14 and 15 were written by version 1"
    assert twenty[0] == 2, "40 and 41 by version 2"

    cluster.act("start", "chenghu")
    reached = await settled(cluster, list(cluster.nodes))
    assert len(set(reached.values())) == 1
    assert installed(cluster.nodes["chenghu"].home)
    async with cluster.nodes["chenghu"].client() as joined:
        shown = await joined.get("v1/contracts/notes")
        assert (shown["version"], shown["source"]) == (2, SECOND)
        for half, asked in ((7, seven), (20, twenty)):
            assert await with_half(joined, half) == (None, asked[1]), "the same rows, hidden because they are of others"

    cluster.act("kill", "falkenberg")  # three of four are left: the one that joined must agree with every result
    found = await keep(actor, 1_000)
    assert found["receipt"]["version"] == 2
    other, acting = await actor_of(cluster, "chenghu")
    await keep(acting, 1_001)
    assert (await with_half(other, 500_000))[0] == 0
    cluster.act("start", "falkenberg")
    reached = await settled(cluster, list(cluster.nodes))
    assert len(set(reached.values())) == 1
    for open_ in (client, other):
        await open_.__aexit__(None, None, None)


ALARMS = """contract alarms version 1

table Alarm key id: text(20):
    owner: party, ready: bool, rung: bool, day: date

event Rung: id: text(20), owner: party

action put_up(id: text(20)) by role preparer of caller:
    insert Alarm(id = id, owner = caller, ready = false, rung = false, day = today)

action make_ready(id: text(20)) by role preparer of caller:
    update Alarm[id] with ready = true

schedule ring on Alarm.day where not row.rung:
    require row.ready else not_ready "{row.id} is not ready"
    update Alarm[row.id] with rung = true
    emit Rung(id = row.id, owner = row.owner)
"""


def listed(cluster: Cluster, *command: str) -> Any:
    done = cluster.hansa(*command, "--profile", "demo-lifeng", "-o", "json")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return json.loads(done.stdout)


async def until(found: Callable[[], bool], seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < ends
        await asyncio.sleep(0.3)


@pytest.mark.control("L55", "L56", "L57")
async def test_l55_what_ended_with_an_error_runs_again_by_vote_and_is_proven_offline(
    cluster: Cluster, tmp_path: Path
) -> None:
    await settled(cluster, list(cluster.nodes))
    file = tmp_path / "alarms.contract"
    file.write_text(ALARMS, encoding="utf-8")
    agree(cluster, file, "lifeng", "falkenberg", "qiming", contract="alarms")
    client, actor = await actor_of(cluster, "lifeng")
    await actor.do(Act("alarms", "put_up", (("preparer", "maker"),)), ("a1",), seconds=30)
    await until(lambda: bool(listed(cluster, "contract", "parked")["items"]))  # by a block that nobody asked for
    (item,) = listed(cluster, "contract", "parked", "alarms")["items"]
    assert (item["schedule"], item["reason"], item["row"]["key"]) == ("ring", "not_ready", {"id": "a1"})
    await actor.do(Act("alarms", "make_ready", (("preparer", "maker"),)), ("a1",), seconds=30)

    done = cluster.hansa("contract", "rearm", "alarms", "ring", "--profile", "demo-lifeng", "--yes")
    assert done.returncode == 0 and "will run again" in done.stdout, done.stdout + done.stderr
    for name in ("falkenberg", "qiming"):
        done = cluster.hansa("contract", "approve", "alarms", "--profile", f"demo-{name}", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
    await until(lambda: bool(listed(cluster, "contract", "events", "alarms")["items"]))
    assert listed(cluster, "contract", "parked")["items"] == []

    proof, genesis = tmp_path / "a1.proof", cluster.nodes["lifeng"].home / "genesis.hansa"
    await until(lambda: listed(cluster, "state", "get", "alarms.Alarm/a1")["value"]["rung"])
    assert listed(cluster, "state", "get", "alarms.Alarm/a1", "--save", str(proof))["kind"] == "alarms.Alarm"
    done = cluster.hansa("verify", str(proof), "--genesis", str(genesis), "-o", "json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["what"], told["value"]["rung"]) == (0, "alarms.Alarm", True)
    pack = tmp_path / "lifeng.hansapack"
    assert cluster.hansa("audit", "export", str(pack), "--profile", "demo-lifeng").returncode == 0
    done = cluster.hansa("audit", "verify", str(pack), "--genesis", str(genesis), "-o", "json")
    assert done.returncode == 0 and json.loads(done.stdout)["verified"], done.stdout + done.stderr
    await client.__aexit__(None, None, None)
