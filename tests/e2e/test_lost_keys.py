"""A company whose home burnt: its keystore is gone, its disk too; the others give its new keys their vote (S28, P118, S40).

Four daemons of a local cluster; the home of one is deleted, and the company comes back from a fresh one by commands.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.exit_codes import Exit
from node.home import read_card
from tests.e2e.conftest import ROOT, Cluster
from tests.e2e.test_epochs import approved, await_above, await_epoch, await_ready, proposed, status, told

pytestmark = pytest.mark.e2e

LOST = "qiming"


@pytest.fixture(scope="module")
def fresh(cluster: Cluster) -> Iterator[dict[str, Path | subprocess.Popen[bytes]]]:
    """The new home, where the officers' old keys are, and the process of the new node."""
    held: dict[str, Path | subprocess.Popen[bytes]] = {}
    yield held
    process = held.get("process")
    if isinstance(process, subprocess.Popen):
        process.kill()
        process.wait()


def test_s28_a_company_comes_back_with_new_keys(
    cluster: Cluster, fresh: dict[str, Path | subprocess.Popen[bytes]]
) -> None:
    others = sorted(name for name in cluster.nodes if name != LOST)
    old = cluster.nodes[LOST].home
    company = read_card(old / "card.hansa").company.company_id
    members = told(cluster, others[0], "company", "epochs")["items"][0]["members"]
    name = next(one["company"]["name"] for one in members if one["company"]["id"] == company)
    told(cluster, LOST, "company", "invite", str(cluster.directory / "before.invite"))
    cluster.act("kill", LOST)
    safe = cluster.directory.parent / "safe"  # the officers' keys lie on machines of the officers, with their card
    safe.mkdir()
    for kept in ("officers", "card.hansa", "people.secret", "node.toml"):
        source = old / kept
        (shutil.copytree if source.is_dir() else shutil.copy)(source, safe / kept)
    for gone in ("keystore", "data", "people", "officers"):
        shutil.rmtree(old / gone)

    home = cluster.directory.parent / "fresh"
    port = cluster.port + 5
    done = cluster.hansa(
        "init", name, "--replaces", str(cluster.nodes[others[0]].home / "directory.toml"), "--home", str(home),
        "--development", "--api-listen", f"127.0.0.1:{port}", "--ops-listen", f"127.0.0.1:{port + 2}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert read_card(home / "card.hansa").company.company_id == company, "the company keeps its id"
    for public in ("genesis.hansa", "directory.toml"):
        shutil.copy(cluster.nodes[others[0]].home / public, home / public)
    asked = cluster.directory.parent / "qiming.keys"
    assert cluster.hansa("company", "recover", str(asked), "--home", str(old)).returncode == Exit.USAGE
    assert cluster.hansa("company", "recover", str(asked), "--home", str(home)).stdout.strip() == company
    done = cluster.hansa("company", "consent", str(asked), "--home", str(safe))
    assert done.returncode == 0, done.stderr

    effect = told(cluster, others[0], "company", "replace", str(asked), "--dry-run")
    assert [one["id"] for one in effect["missing"]] == [company] and effect["refused"] == []
    approved(cluster, proposed(cluster, others[0], "replace", str(asked)), others, verb="endorse")

    with (home / "node.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "node", "run", "--config", str(home / "node.toml")],
            env=cluster.environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    fresh["process"] = process
    token = cluster.hansa("token", "create", "--as", "books", "--offline", "--home", str(home))
    assert token.returncode == 0, token.stderr
    secret = {**cluster.environment, "HANSA_TOKEN": token.stdout.strip()}
    deadline = time.monotonic() + 30
    login = Cluster(cluster.directory, secret).hansa("login", "--name", "demo-fresh", "--home", str(home))
    while login.returncode != 0 and time.monotonic() < deadline:
        time.sleep(1)
        login = Cluster(cluster.directory, secret).hansa("login", "--name", "demo-fresh", "--home", str(home))
    assert login.returncode == 0, login.stderr + (home / "node.log").read_text()
    height = status(cluster, others[0])["height_committed"]
    await_above(cluster, "fresh", height - 1)
    assert status(cluster, "fresh")["mode"] == "learner"
    told(cluster, "fresh", "company", "ready")
    await_epoch(cluster, 1, [*others, "fresh"])
    await_ready(cluster, "fresh")
    last = told(cluster, others[0], "company", "epochs")["items"][1]["members"]
    assert len(last) == 4
    own = next(one for one in last if one["company"]["id"] == company)
    assert own["node"] == read_card(home / "card.hansa").node.node_id

    cluster.act("kill", others[2])  # three of four decide, so its vote is needed
    before = status(cluster, others[0])["height_committed"]
    told(cluster, "fresh", "company", "invite", str(home / "after.invite"))
    await_above(cluster, "fresh", before)
    cluster.act("start", others[2])
    await_ready(cluster, others[2])
    for who in (*others, "fresh"):
        assert told(cluster, who, "company", "list")["height"] > 0
        assert company in [item["id"] for item in told(cluster, who, "company", "list")["items"] if item["member"]]
    done = cluster.hansa("doctor", "--home", str(home))
    deadline = time.monotonic() + 30  # links to the node that was started last are tried again with growing pauses
    while done.returncode != 0 and time.monotonic() < deadline:
        time.sleep(1)
        done = cluster.hansa("doctor", "--home", str(home))
    assert done.returncode == 0, done.stdout
