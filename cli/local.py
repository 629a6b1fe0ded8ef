"""Local clusters from the command line: start the supervisor, wait for the nodes, remember profiles (C7 to C13)."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, Final

from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.profile import Profile, remember
from node.api.tokens import TokenStore
from simulator.cluster import control
from simulator.cluster.found import Cast, found, seeded
from simulator.cluster.plan import ClusterError, Plan, PlannedNode, clusters_directory, load
from simulator.cluster.supervisor import LOG_FILE, Supervisor

DAY_MS: Final = 86_400_000
TOKEN_DAYS: Final = 90

DEMO_CAST: Final = (
    Cast(
        name="lifeng",
        title="砺锋示例机械有限公司 (Lifeng Machinery)",
        roles=("trader", "core_enterprise"),
        identifiers=(
            ("vat", "DE318604270"),
            ("vat", "91320500MA26LF7K0B"),
            ("legal", "91320500MA26LF7K0B"),
            ("0088", "4260987650018"),
        ),
    ),
    Cast(
        name="falkenberg",
        title="Falkenberg Beispielteile GmbH",
        roles=("trader",),
        identifiers=(("vat", "DE275183647"), ("legal", "HRB 990117"), ("0088", "4260123450014")),
    ),
    Cast(
        name="qiming",
        title="启明示例零件有限公司 (Qiming Parts)",
        roles=("trader",),
        identifiers=(("vat", "91320200MA27QM3X1F"), ("legal", "91320200MA27QM3X1F")),
    ),
    Cast(
        name="chenghu",
        title="澄湖示例银行股份有限公司 (Chenghu Bank)",
        roles=("trader", "settlement_bank"),
        identifiers=(("vat", "91310000MA28CHB45R"), ("legal", "91310000MA28CHB45R"), ("tax", "91310000MA28CHB45R")),
    ),
)
"""A manufacturer, two suppliers and a bank: the companies of the shipped sample documents. All are made up."""

EXTRA: Final = (
    "delta", "ember", "fjord", "gamma", "hotel", "india", "juno", "kilo", "lima", "mike", "nova", "oslo",
)  # fmt: skip
"""Names of further companies when more than four are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalNode:
    """A node of a local cluster and how to talk to it."""

    plan: PlannedNode
    home: Path
    token: str

    @property
    def api(self) -> str:
        """Address of its API."""
        return f"http://127.0.0.1:{self.plan.api_port}"

    def client(self, timeout_s: float = 60.0) -> Client:
        """Return a client of its API."""
        return Client(self.api, self.token, timeout_s=timeout_s)


def directory_of(name: str, chosen: str | None) -> Path:
    """Return the folder of cluster `name`."""
    return Path(chosen) if chosen else clusters_directory() / name


def cast_of(companies: int) -> tuple[Cast, ...]:
    """Return the demo companies, extended by traders when more are asked for."""
    if not 1 <= companies <= len(DEMO_CAST) + len(EXTRA):
        most = len(DEMO_CAST) + len(EXTRA)
        raise CommandFailed(Exit.USAGE, f"{companies} companies are not possible here", f"choose 1 to {most}")
    extra = tuple(Cast(name=name, title=name.capitalize() + " Ltd", roles=("trader",)) for name in EXTRA)
    return (DEMO_CAST + extra)[:companies]


def prepare(directory: Path, name: str, cast: Sequence[Cast], seed: int, port_base: int) -> Plan:
    """Return the plan in `directory`, founding the cluster if it does not exist yet (C13)."""
    try:
        if (directory / "cluster.json").exists():
            return load(directory)
        return found(directory, name=name, cast=cast, seed=seed, port_base=port_base)
    except ClusterError as error:
        text, _, step = str(error).rpartition("; ")
        raise CommandFailed(Exit.FAILED, text or step, step if text else "") from None
    except OSError as error:
        raise CommandFailed(
            Exit.FAILED, f"cannot write {directory}: {error.strerror}", "name another folder with --dir"
        ) from None


def nodes_of(directory: Path, plan: Plan) -> list[LocalNode]:
    """Return the nodes with a token each; development tokens are a function of the seed and made when missing."""
    nodes: list[LocalNode] = []
    for planned in plan.nodes:
        home = directory / planned.home
        token_id = f"{planned.name}-books"
        secret = seeded(plan.seed, f"token/{planned.name}")(32)
        store = TokenStore(home / "data" / "tokens.json")
        now_ms = time.time_ns() // 1_000_000
        text = f"hansa_{token_id}_{secret.hex()}"
        if store.verify(text, "127.0.0.1", now_ms) is None:
            user = _user_of(home, "books")
            store.create(
                company_id=planned.company_id,
                user_id=user,
                label="local cluster",
                scopes=("read", "submit", "admin"),
                now_ms=now_ms,
                life_ms=TOKEN_DAYS * DAY_MS,
                networks=("127.0.0.0/8",),
                token_id=token_id,
                secret=secret,
            )
        nodes.append(LocalNode(plan=planned, home=home, token=text))
    return nodes


def start_detached(directory: Path, plan: Plan) -> int:
    """Start the supervisor in a session of its own and return its process id.

    It is forked before this process has an event loop or a thread (C14).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        log = os.open(directory / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = run_supervisor(directory, plan)
    finally:
        os._exit(code)


def run_supervisor(directory: Path, plan: Plan) -> int:
    """Run all nodes of `plan` under this process until it is told to end."""
    from node.app import compile_programs, read_genesis, serve

    # Once, before the nodes are forked: what a node imports later is its own memory, 11 MB of it (performance E39).
    for name in ("node.ops.listener", "node.ops.logs", "node.ops.metrics", "node.web.serve"):
        import_module(name)
    document, _ = read_genesis(directory / plan.nodes[0].home / "genesis.hansa")
    compile_programs(document)
    return Supervisor(directory, plan, lambda home: serve(home / "node.toml")).run()


async def wait_ready(nodes: Sequence[LocalNode], seconds: float) -> dict[str, str]:
    """Wait until every node answers and sees a quorum; return the reason of each that does not, by name."""
    deadline = time.monotonic() + seconds
    waiting = {node.plan.name: "it does not answer yet" for node in nodes}
    chain = _chain_of(nodes[0].home)

    async def watch(node: LocalNode) -> None:
        while time.monotonic() < deadline:
            try:
                async with node.client(5.0) as client:
                    status = await client.get("v1/status", retry=False)
                reasons = list(status.get("not_ready", []))
                if status.get("chain_id") != chain:  # keys are a function of the seed, so only the chain tells
                    reasons = [f"a node of another network answers at port {node.plan.api_port}"]
                if not reasons:
                    waiting.pop(node.plan.name, None)
                    return
                waiting[node.plan.name] = ", ".join(reasons)
            except CommandFailed:
                pass
            await asyncio.sleep(0.05)

    await asyncio.gather(*(watch(node) for node in nodes))
    for name in waiting:
        node = next(node for node in nodes if node.plan.name == name)
        waiting[name] += f"; last log line: {_last_line(node.home / LOG_FILE)}"
    return waiting


def ask(directory: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Ask the supervisor; its refusal ends the command."""
    try:
        return control.ask(directory, request)
    except ClusterError as error:
        text, _, step = str(error).rpartition("; ")
        raise CommandFailed(Exit.UNAVAILABLE, text or step, step if text else "look at supervisor.log") from None


def end(pid: int, directory: Path, seconds: float = 20.0) -> None:
    """End a supervisor started here and wait for it."""
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, _ = os.waitpid(pid, os.WNOHANG)
        if done:
            return
        time.sleep(0.02)
    raise CommandFailed(Exit.FAILED, f"the supervisor {pid} of {directory} does not end", "look at supervisor.log")


def interrupted(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the signature of signal handlers
    """End like Ctrl-C does: nodes are stopped and the data stays."""
    raise KeyboardInterrupt


def remember_profiles(nodes: Sequence[LocalNode], cluster: str) -> Path | None:
    """Write a profile for each node, `CLUSTER` for the first and `CLUSTER-NAME` for all; None if that is impossible."""
    profiles: dict[str, Profile] = {}
    for place, node in enumerate(nodes):
        profile = Profile(name="", api=node.api, token=node.token, home=str(node.home))
        profiles[f"{cluster}-{node.plan.name}"] = profile
        if place == 0:
            profiles[cluster] = profile
    try:
        return remember(profiles, cluster)
    except CommandFailed:
        return None


def discard(directory: Path) -> None:
    """Remove a cluster's folder."""
    shutil.rmtree(directory, ignore_errors=True)


def _chain_of(home: Path) -> str:
    """Return the chain id that the genesis file in `home` founds."""
    from ledger.genesis import chain_id, genesis_codec, genesis_file_codec

    file = genesis_file_codec.decode((home / "genesis.hansa").read_bytes())
    return chain_id(genesis_codec.decode(file.document)).hex()


def _user_of(home: Path, label: str) -> str:
    from cli.wallet import Wallet

    return Wallet(home).named(label).user_id


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return "no log"
    return lines[-1][:200] if lines else "empty log"
