"""Real processes for end-to-end tests: a four-company cluster per test module, on ports of its own, always ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import local
from cli.local import LocalNode
from simulator.cluster import control
from simulator.cluster.plan import load

ROOT = Path(__file__).resolve().parent.parent.parent


class Cluster:
    """A running local cluster and the command line pointed at it."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.directory = directory
        self.environment = environment
        self.port = 0
        """The first of the 40 ports that belong to this cluster."""

    @property
    def nodes(self) -> dict[str, LocalNode]:
        return {node.plan.name: node for node in local.nodes_of(self.directory, load(self.directory))}

    def hansa(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=ROOT,
            timeout=timeout,
            check=False,
        )

    def act(self, verb: str, node: str) -> None:
        control.ask(self.directory, {"do": verb, "node": node})

    def up(self, port_base: int) -> None:
        self.port = port_base
        done = self.hansa(
            "cluster", "up", "-d", "--dir", str(self.directory), "--port-base", str(port_base), "--wait", "60"
        )
        assert done.returncode == 0, done.stderr + done.stdout

    def down(self) -> None:
        if control.is_running(self.directory):
            control.ask(self.directory, {"do": "down"})
            deadline = time.monotonic() + 20
            while control.is_running(self.directory) and time.monotonic() < deadline:
                time.sleep(0.05)


def environment(tmp: Path) -> dict[str, str]:
    """Return an environment that touches nothing outside `tmp`."""
    return {
        **os.environ,
        "XDG_CONFIG_HOME": str(tmp / "config"),
        "XDG_STATE_HOME": str(tmp / "state"),
        "HOME": str(tmp),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four companies, ready; the port range depends on the process so that two runs do not meet."""
    tmp = tmp_path_factory.mktemp("e2e")
    running = Cluster(tmp / "net", environment(tmp))
    running.up(21_000 + 40 * (os.getpid() % 220))
    yield running
    running.down()
