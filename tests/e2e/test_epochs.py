"""The members of a running network change: a key, a newcomer, a removal, and a node that dies in between (P112-P118).

Four daemons of a local cluster and a fifth that joins them, all by commands. The tests build on each other.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.request import Request, urlopen

import pytest

from cli.__main__ import run
from cli.exit_codes import Exit
from tests.e2e.conftest import ROOT, Cluster

pytestmark = pytest.mark.e2e

SETTLE_SECONDS = 30.0


def told(cluster: Cluster, who: str, *arguments: str) -> dict[str, Any]:
    """Run a command for one company in this process, a second quicker than in one of its own; return its JSON answer."""
    out, err = StringIO(), StringIO()
    with patch.dict(os.environ, cluster.environment), redirect_stdout(out), redirect_stderr(err):
        code = run([*arguments, "--profile", f"demo-{who}", "-o", "json"])
    assert code == 0, f"{who}$ hansa {' '.join(arguments)}\n{out.getvalue()}\n{err.getvalue()}"
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def status(cluster: Cluster, who: str) -> dict[str, Any]:
    return told(cluster, who, "node", "status")


def proposed(cluster: Cluster, who: str, *arguments: str) -> str:
    """Run a command that opens a proposal; return its id, which is that of the transaction."""
    return str(told(cluster, who, "company", *arguments)["transaction"]["id"])


def approved(cluster: Cluster, proposal: str, by: list[str], verb: str = "approve") -> None:
    """Let companies vote, each at its own node as soon as that knows the proposal, until it is accepted."""
    for who in by:
        deadline = time.monotonic() + SETTLE_SECONDS
        state = ""
        while not state and time.monotonic() < deadline:
            listed = told(cluster, who, "company", "proposals")["items"]
            state = next((item["status"] for item in listed if item["id"] == proposal), "")
        assert state, f"{who} does not know the proposal {proposal}"
        if state == "open" and told(cluster, who, "company", verb, proposal)["transaction"]["outcome"] == "ok":
            listed = told(cluster, who, "company", "proposals")["items"]
            state = next(item["status"] for item in listed if item["id"] == proposal)
        if state == "accepted":
            return
    raise AssertionError(f"{proposal} is not accepted by {by}")


def await_epoch(cluster: Cluster, number: int, whom: list[str]) -> None:
    """Wait until every one of these nodes decides in an epoch; blocks are made by invitations that nobody uses."""
    deadline = time.monotonic() + SETTLE_SECONDS
    waiting, made = list(whom), 0
    while waiting and time.monotonic() < deadline:
        if told(cluster, waiting[0], "company", "epochs")["epoch"] >= number:
            waiting.pop(0)
        elif waiting == whom:
            made += 1
            told(cluster, whom[0], "company", "invite", str(cluster.directory / f"spare-{number}-{made}.invite"))
    assert not waiting, f"epoch {number} did not begin at {waiting}"


def await_above(cluster: Cluster, who: str, height: int) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while status(cluster, who)["height_committed"] <= height:
        assert time.monotonic() < deadline, f"{who} stays at {height}"
        time.sleep(0.05)


def await_ready(cluster: Cluster, who: str) -> None:
    found = told(cluster, who, "node", "status", "--wait", "30")
    assert found["not_ready"] == [], f"{who}: {found['sentence']}"


def test_a_key_rotates_and_the_network_goes_on(cluster: Cluster) -> None:  # P112, P114, S23, S24
    names = sorted(cluster.nodes)
    before = told(cluster, names[0], "company", "epochs")["items"][0]["members"]
    effect = told(cluster, names[1], "company", "rotate", "--dry-run")
    assert effect["refused"] == [] and effect["missing"] == [] and effect["quorum_after"] == 3
    approved(cluster, proposed(cluster, names[1], "rotate"), [names[0], names[2]])
    await_epoch(cluster, 1, names)
    found = told(cluster, names[0], "company", "epochs")
    after = found["items"][1]["members"]
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == 1 and changed[0][0]["node"] == changed[0][1]["node"]
    assert found["items"][0]["end"] and not found["items"][1]["end"]
    for who in names:
        await_ready(cluster, who)
    bystander = cluster.nodes[names[3]]
    wanted = Request(  # noqa: S310  # http on loopback
        f"{bystander.api}/v1/events?types=governance.EpochDecided",
        headers={"Authorization": f"Bearer {bystander.token}", "Accept": "application/x-ndjson"},
    )
    with urlopen(wanted, timeout=10) as answer:  # noqa: S310
        events = [json.loads(line) for line in answer.read().splitlines()]
    assert [event["fields"]["epoch"] for event in events] == [1], "what companies decide reaches every member (S22)"


def test_the_rotated_key_votes_after_a_kill(cluster: Cluster) -> None:  # P95, P98, S24
    """Without the fourth node every block needs the vote of the node whose key changed, and whose process died."""
    names = sorted(cluster.nodes)
    cluster.act("kill", names[1])
    cluster.act("start", names[1])
    cluster.act("kill", names[3])
    await_ready(cluster, names[1])
    height = status(cluster, names[0])["height_committed"]
    told(cluster, names[0], "company", "invite", str(cluster.directory / "alone.invite"))
    await_above(cluster, names[1], height)
    cluster.act("start", names[3])
    await_ready(cluster, names[3])


def test_s23_a_tls_key_rotates_without_a_vote_and_links_follow_it(cluster: Cluster) -> None:
    """The node shows the new key to whoever comes, then the old one counts no longer, and a node that was away reaches
    it by what the chain says."""
    names = sorted(cluster.nodes)
    who, away = names[1], names[3]
    home = cluster.nodes[who].home

    def links(of: str) -> dict[str, bool]:
        return {one["company"]["name"]: one["connected"] for one in told(cluster, of, "node", "peers")["items"]}

    effect = told(cluster, who, "company", "rotate", "--tls", "--dry-run")
    assert effect["refused"] == [] and effect["members_before"] == effect["members_after"]
    assert not (home / "tls-2.crt").exists(), "a dry run makes no key"
    cluster.act("kill", away)
    refused = cluster.hansa("company", "rotate", "--tls", "--end-old", "--profile", f"demo-{who}")
    assert refused.returncode == Exit.CONFLICT and "only one TLS key is registered" in refused.stderr
    assert told(cluster, who, "company", "rotate", "--tls")["transaction"]["outcome"] == "ok"
    assert (home / "tls-2.crt").exists() and (home / "tls-2.key").read_bytes().startswith(b"-----BEGIN ENCRYPTED")
    deadline = time.monotonic() + SETTLE_SECONDS
    while "tls_certificate" not in (home / "node.log").read_text():
        assert time.monotonic() < deadline, "the node does not take the new key"
        time.sleep(0.05)
    assert told(cluster, who, "company", "rotate", "--tls", "--end-old")["transaction"]["outcome"] == "ok"
    cluster.act("start", away)
    for name in names:
        await_ready(cluster, name)
    deadline = time.monotonic() + SETTLE_SECONDS
    while not (all(links(who).values()) and all(links(away).values())):
        assert time.monotonic() < deadline, (links(who), links(away))
        time.sleep(0.2)
    cluster.act("kill", who)
    cluster.act("start", who)  # it starts with the key that the registry names
    await_ready(cluster, who)
    assert cluster.hansa("doctor", "--home", str(home)).returncode == 0


@pytest.fixture(scope="module")
def newcomer(cluster: Cluster) -> Iterator[Newcomer]:
    """A fifth company with a home of its own, and its node once it runs."""
    one = Newcomer(cluster, cluster.directory.parent / "delta", cluster.port + 5)
    yield one
    if one.process is not None:
        one.process.kill()
        one.process.wait()


class Newcomer:
    """The machine of a company that is not in the genesis file."""

    def __init__(self, cluster: Cluster, home: Path, port: int) -> None:
        self.home = home
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        done = cluster.hansa(
            "init", "Delta Beispiel GmbH", "--home", str(home), "--development", "--endpoint", f"127.0.0.1:{port + 1}",
            "--api-listen", f"127.0.0.1:{port}", "--ops-listen", f"127.0.0.1:{port + 2}",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for name in ("genesis.hansa", "directory.toml"):  # public; a member hands them over with the invite
            shutil.copy(cluster.directory / "lifeng" / name, home / name)

    def log(self) -> str:
        return (self.home / "node.log").read_text(errors="replace")

    def run(self, cluster: Cluster) -> None:
        with (self.home / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli", "node", "run", "--config", str(self.home / "node.toml")],
                env=cluster.environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip


def await_height(newcomer: Newcomer, height: int) -> None:
    """Wait until a node that nobody has a token for has executed `height`."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        try:
            with urlopen(f"http://127.0.0.1:{newcomer.port}/v1/status", timeout=5) as answer:
                if json.load(answer)["height_executed"] >= height:
                    return
        except OSError:
            pass  # it is just starting
        time.sleep(0.2)
    raise AssertionError(f"the newcomer did not reach {height}: {newcomer.log()}")


def test_a_fifth_company_joins_and_votes(cluster: Cluster, newcomer: Newcomer) -> None:  # S22, P112, P117, P118
    names = sorted(cluster.nodes)
    invite, request = newcomer.home / "delta.invite", newcomer.home / "delta.request"
    told(cluster, "lifeng", "company", "invite", str(invite))
    done = cluster.hansa("company", "request", str(invite), str(request), "--home", str(newcomer.home))
    assert done.returncode == 0, done.stderr
    company = done.stdout.strip()
    effect = told(cluster, "lifeng", "company", "add", str(request), "--dry-run")
    assert [one["id"] for one in effect["missing"]] == [company] and effect["refused"] == []
    assert len(effect["members_after"]) == 5 and effect["quorum_after"] == 4
    for home in (cluster.nodes["lifeng"].home, newcomer.home):
        assert cluster.hansa("company", "entry", str(request), "--home", str(home)).returncode == 0
    proposal = proposed(cluster, "lifeng", "add", str(request))
    approved(cluster, proposal, [name for name in names if name != "lifeng"])
    newcomer.run(cluster)
    height = status(cluster, "lifeng")["height_committed"]
    await_height(newcomer, height)
    token = cluster.hansa("token", "create", "--as", "books", "--offline", "--home", str(newcomer.home))
    assert token.returncode == 0, token.stderr
    secret = {**cluster.environment, "HANSA_TOKEN": token.stdout.strip()}
    login = Cluster(cluster.directory, secret).hansa("login", "--name", "demo-delta", "--home", str(newcomer.home))
    assert login.returncode == 0, login.stderr + newcomer.log()
    assert status(cluster, "delta")["mode"] == "learner"
    told(cluster, "delta", "company", "ready")
    await_epoch(cluster, 2, [*names, "delta"])
    last = told(cluster, "lifeng", "company", "epochs")["items"][2]
    assert {"id": company, "name": "Delta Beispiel GmbH"} in [member["company"] for member in last["members"]]
    await_ready(cluster, "delta")
    cluster.act("kill", names[0])
    before = status(cluster, "delta")["height_committed"]
    told(cluster, "lifeng", "company", "invite", str(newcomer.home / "after.invite"))
    await_above(cluster, "delta", before)  # four of five decide, the newcomer among them
    cluster.act("start", names[0])
    await_ready(cluster, names[0])


def test_a_company_is_removed(cluster: Cluster, newcomer: Newcomer) -> None:  # S26, S27, P116
    names = sorted(cluster.nodes)
    listed = told(cluster, "lifeng", "company", "list")["items"]
    gone = next(item["id"] for item in listed if item["name"].startswith("Falkenberg"))
    stay = [name for name in [*names, "delta"] if name != "falkenberg"]
    approved(cluster, proposed(cluster, "lifeng", "remove", gone), stay, verb="endorse")
    await_epoch(cluster, 3, stay)
    last = told(cluster, "delta", "company", "epochs")["items"][3]
    assert len(last["members"]) == 4 and gone not in [member["company"]["id"] for member in last["members"]]
    cluster.act("kill", "falkenberg")
    before = status(cluster, "lifeng")["height_committed"]
    told(cluster, "lifeng", "company", "invite", str(newcomer.home / "last.invite"))
    await_above(cluster, "lifeng", before)
    for who in stay:
        await_ready(cluster, who)


def test_a_local_cluster_rotates_a_key_by_one_command(cluster: Cluster, newcomer: Newcomer) -> None:  # C18, S23
    done = cluster.hansa("cluster", "rotate-key", "qiming", "--dir", str(cluster.directory))
    assert done.returncode == 0 and "epoch 4 with 4 members begins at height" in done.stdout, done.stderr
    await_epoch(cluster, 4, ["lifeng", "chenghu", "qiming", "delta"])
    assert (cluster.nodes["qiming"].home / "data" / "journal-2").exists()
    await_ready(cluster, "qiming")


def test_a_local_cluster_renews_a_tls_key_by_one_command(cluster: Cluster, newcomer: Newcomer) -> None:  # C18, S23
    renew = ("cluster", "rotate-key", "chenghu", "--dir", str(cluster.directory))
    done = cluster.hansa(*renew, "--end-old")
    assert done.returncode == Exit.USAGE and "add --tls" in done.stderr
    done = cluster.hansa(*renew, "--tls", "--end-old")
    assert done.returncode == Exit.CONFLICT and "only one TLS key is registered" in done.stderr
    done = cluster.hansa(*renew, "--tls")
    keys = done.stdout.strip().rpartition("registered: ")[2].split(", ")
    assert done.returncode == 0 and len(keys) == 2 and f"shows the TLS key {keys[1]} from height" in done.stdout
    assert (cluster.nodes["chenghu"].home / "tls-2.crt").exists()
    await_ready(cluster, "chenghu")
    height = status(cluster, "chenghu")["height_committed"]
    for who in ("lifeng", "qiming", "delta"):
        await_above(cluster, who, height - 1)
    done = cluster.hansa(*renew, "--tls", "--end-old")
    assert done.returncode == 0 and done.stdout.strip().endswith(f"registered: {keys[1]}"), done.stderr
    await_ready(cluster, "chenghu")


def test_a_genesis_file_is_enough_for_all_epochs(cluster: Cluster, newcomer: Newcomer) -> None:  # P85, S20, F78
    genesis = cluster.directory / "lifeng" / "genesis.hansa"
    before = status(cluster, "lifeng")["height_committed"]
    told(cluster, "lifeng", "company", "invite", str(newcomer.home / "latest.invite"))
    for who in ("lifeng", "delta"):  # the idle network stopped at the barrier: a block of the last epoch follows
        await_above(cluster, who, before)
    height = status(cluster, "lifeng")["height_committed"]
    for who in ("lifeng", "delta"):
        pack = newcomer.home / f"{who}.hansapack"
        told(cluster, who, "audit", "export", str(pack))
        alone = subprocess.run(
            [sys.executable, "-I", str(ROOT / "finance" / "audit" / "verifier.py"), str(pack),
             "--genesis", str(genesis), "-o", "json"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert alone.returncode == 0, alone.stderr
        found = json.loads(alone.stdout)
        assert found["epoch"] == 4 and found["members"] == 4
    for number in (1, height):
        proof = newcomer.home / f"block-{number}.proof"
        told(cluster, "delta", "block", "show", str(number), "--save", str(proof), "--genesis", str(genesis))
        checked = cluster.hansa("verify", str(proof), "--genesis", str(genesis), "-o", "json")
        assert checked.returncode == 0 and json.loads(checked.stdout)["height"] == number, checked.stderr
    document = json.loads(proof.read_text())
    document["epochs"] = document["epochs"][:-1]
    proof.write_text(json.dumps(document))
    assert cluster.hansa("verify", str(proof), "--genesis", str(genesis)).returncode == Exit.FINDINGS
    told(cluster, "lifeng", "state", "get", "params", "--genesis", str(genesis))
