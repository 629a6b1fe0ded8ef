"""One node per enterprise: docs/deploy.md, line by line, with four directories and four processes on loopback.

Nothing is shared but the exchange folder, through which cards, the genesis file and signatures travel as files.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, environment

pytestmark = pytest.mark.e2e

DOCUMENT = ROOT / "docs" / "deploy.md"
MACHINES = ("lifeng", "falkenberg", "qiming", "chenghu")
ADDRESSES = {f"192.0.2.{number}0": name for number, name in enumerate(MACHINES, start=1)}
PORT_BASE = 8_500 + 40 * (os.getpid() % 100)
"""A function of the process, so that two runs on one machine do not meet."""
BLOCK = re.compile(r"^```console ([a-z]+)\n(.*?)^```", re.S | re.M)
COMMAND_SECONDS = 60.0
START_SECONDS = 30.0


@dataclass(slots=True)
class Machine:
    """One company's machine: an environment that knows its own folders and ports only."""

    name: str
    port: int
    folder: Path
    environment: dict[str, str]
    node: subprocess.Popen[bytes] | None = None
    printed: list[str] = field(default_factory=list)


def steps() -> list[tuple[str, str]]:
    """Return (machine or "every", command) of the document, in order; continued lines are joined."""
    found: list[tuple[str, str]] = []
    for who, block in BLOCK.findall(DOCUMENT.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                found.append((who, line[2:]))
    return found


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[dict[str, Machine]]:
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (bin_dir / "hansa").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli "$@"\n', encoding="utf-8")
    (bin_dir / "hansa").chmod(0o755)
    exchange = tmp_path / "exchange"
    exchange.mkdir()
    found: dict[str, Machine] = {}
    for place, name in enumerate(MACHINES):
        folder, port = tmp_path / name, PORT_BASE + 10 * place
        for part in ("keys", "work"):
            (folder / part).mkdir(parents=True)
        (folder / "work" / "cli").symlink_to(ROOT / "cli")
        shell = environment(folder) | {
            "HANSA_HOME": str(folder / "home"),
            "KEYS": str(folder / "keys"),
            "OFFICERS": str(folder / "officers"),
            "EXCHANGE": str(exchange),
            "COMPANY": name,
            "HANSA_API_LISTEN": f"127.0.0.1:{port}",
            "HANSA_PEERS_LISTEN": f"127.0.0.1:{port + 1}",
            "HANSA_OPS_LISTEN": f"127.0.0.1:{port + 2}",
        }
        shell["PATH"] = f"{bin_dir}:{os.environ['PATH']}"
        found[name] = Machine(name, port, folder, shell)
    yield found
    for machine in found.values():
        if machine.node is not None and machine.node.poll() is None:
            machine.node.terminate()
            try:
                machine.node.wait(10)
            except subprocess.TimeoutExpired:
                machine.node.kill()
                machine.node.wait()


def localised(command: str, machine: Machine, machines: dict[str, Machine]) -> str:
    """Return the command for one host: the addresses of the document become ports of loopback."""
    for address, name in ADDRESSES.items():
        command = command.replace(f"{address}:7401", f"127.0.0.1:{machines[name].port + 1}")
    return command.replace("127.0.0.1:7400", f"127.0.0.1:{machine.port}")


def perform(command: str, machine: Machine) -> str:
    if command == "hansa node run":
        log = open(machine.folder / "node.log", "wb")  # noqa: SIM115  # the process keeps it
        machine.node = subprocess.Popen(
            [sys.executable, "-m", "cli", "node", "run"],
            env=machine.environment, cwd=machine.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        log.close()
        _await_listening(machine)
        return ""
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env=machine.environment,
        cwd=machine.folder / "work", stdin=subprocess.DEVNULL, timeout=COMMAND_SECONDS, check=False,
    )  # fmt: skip
    log_text = (machine.folder / "node.log").read_text(errors="replace")[-2000:] if machine.node else ""
    assert done.returncode == 0, f"{machine.name}$ {command}\n{done.stdout}\n{done.stderr}\n{log_text}"
    return done.stdout


def _await_listening(machine: Machine) -> None:
    """Wait as a service manager does before it starts what needs the node; a busy machine takes its time."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and machine.node is not None and machine.node.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", machine.port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError((machine.folder / "node.log").read_text(errors="replace")[-2000:])


def test_the_deployment_guide_works_as_printed(machines: dict[str, Machine]) -> None:
    lines = steps()
    assert len(lines) >= 20 and ("every", "hansa node run") in lines
    for who, command in lines:
        for machine in machines.values():
            if who in ("every", machine.name):
                machine.printed.append(perform(localised(command, machine, machines), machine))
    chains = {machine.environment["COMPANY"]: _line(machine, "chain id") for machine in machines.values()}
    assert len(set(chains.values())) == 1, chains
    assert any("accepted" in text for text in machines["lifeng"].printed), "the invoice is accepted, and proven so"
    homes = {machine.folder for machine in machines.values()}
    assert len(homes) == 4
    for machine in machines.values():
        secrets = [path.name for path in machine.folder.rglob("consensus.json")]
        assert secrets == ["consensus.json"], "each machine holds its own consensus key and no other"
        assert machine.node is not None
        machine.node.send_signal(signal.SIGTERM)
    for machine in machines.values():
        assert machine.node is not None and machine.node.wait(15) == 0, "a node stops cleanly on SIGTERM"
    travelled = sorted(path.name for path in Path(machines["lifeng"].environment["EXCHANGE"]).rglob("*.*"))
    assert not [name for name in travelled if name.endswith((".json", ".secret", ".key"))], "only public files travel"


def _line(machine: Machine, label: str) -> str:
    for text in machine.printed:
        for line in text.splitlines():
            if line.startswith(f"{label}\t"):
                return line.partition("\t")[2]
    raise AssertionError(f"{machine.name} never printed its {label}")
