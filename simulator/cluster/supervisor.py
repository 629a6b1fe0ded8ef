"""The parent of a local cluster: forks one process per company, watches them, obeys the control socket (C2, C14, C16).

It imports the node once, then forks; it has no event loop, no thread and no private key of its own when it does, so a
child starts clean and shares the imported pages. A node that dies by itself is started again; one that the user
killed or stopped stays down until it is started.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec

from node.transport.faults import FAULTS_FILE, LinkFault, encode_faults
from simulator.cluster.control import LINE_LIMIT_BYTES, short_path
from simulator.cluster.plan import Plan, PlannedNode

STOP_SECONDS: Final = 8.0
"""Time a node has to stop cleanly before it is killed."""
RESTARTS_MAX: Final = 5
"""Starts within RESTART_WINDOW_S after which a node that keeps dying is left down, with its log to read."""
RESTART_WINDOW_S: Final = 30.0
LOG_FILE: Final = "node.log"
PR_SET_PDEATHSIG: Final = 1
_SHAPES: Final = ("latency_us", "loss_ppm", "rate_bytes_per_s")


@dataclass(slots=True)
class _Child:
    plan: PlannedNode
    home: Path
    pid: int = 0
    wanted: bool = True
    paused: bool = False
    starts: list[float] = field(default_factory=list)
    last_exit: str = ""

    @property
    def state(self) -> str:
        """One word for tables."""
        if self.pid:
            return "paused" if self.paused else "up"
        return "down" if not self.wanted else "failed"


class Supervisor:
    """Runs until `down` is asked or SIGINT, SIGTERM arrive. `serve(home)` runs one node and returns its exit code."""

    def __init__(self, directory: Path, plan: Plan, serve: Callable[[Path], int]) -> None:
        self._directory = directory
        self._plan = plan
        self._serve = serve
        self._children = {node.name: _Child(node, directory / node.home) for node in plan.nodes}
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._ending = False
        self._faults: dict[tuple[str, str], LinkFault] = {}
        """(source, target) company ids -> what happens to messages that way; gone when the cluster starts again."""
        self.on_tick: Callable[[], None] | None = None

    def run(self) -> int:
        """Start all nodes, then watch and obey until the end. Return 0."""
        self._listen()
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # inherited: a node that is just starting must not die of it
        self._write_faults()
        gc.collect()
        gc.freeze()  # children must not copy the pages of what is imported (performance E39)
        for child in self._children.values():
            self._start(child)
        try:
            while not self._ending:
                for key, _ in self._selector.select(timeout=0.1):
                    self._serve_request(key.fileobj)  # type: ignore[arg-type]  # only sockets are registered
                self._reap()
        finally:
            self._stop_all()
            self._close()
        return 0

    # -- children ------------------------------------------------------------------------------------------------

    def _start(self, child: _Child) -> None:
        child.wanted, child.paused = True, False
        child.starts = [moment for moment in child.starts if moment > time.monotonic() - RESTART_WINDOW_S]
        child.starts.append(time.monotonic())
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            child.pid = pid
            return
        code = 1
        try:
            self._become_node(child)
            code = self._serve(child.home)
        except BaseException as error:
            print(f"node {child.plan.name} ended: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            if isinstance(error, SystemExit) and isinstance(error.code, int):
                code = error.code
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _become_node(self, child: _Child) -> None:
        """Drop what belongs to the parent: sockets, signal handlers, the terminal's process group."""
        self._selector.close()
        if self._listener is not None:
            self._listener.close()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setpgid(0, 0)
        _end_with_parent()
        log = os.open(child.home / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.close(null)

    def _reap(self) -> None:
        for child in self._children.values():
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if not pid:
                continue
            child.pid = 0
            code = os.waitstatus_to_exitcode(status)
            child.last_exit = f"signal {-code}" if code < 0 else f"exit code {code}"
            if child.wanted and not self._ending and len(child.starts) < RESTARTS_MAX:
                self._start(child)

    def _signal(self, child: _Child, number: int) -> None:
        if child.pid:
            os.kill(child.pid, number)

    def _wait_gone(self, child: _Child, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while child.pid and time.monotonic() < deadline:
            pid, _ = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                child.pid = 0
                return True
            time.sleep(0.01)
        return not child.pid

    def _stop_child(self, child: _Child) -> None:
        child.wanted = False
        if child.paused:
            self._signal(child, signal.SIGCONT)
        self._signal(child, signal.SIGTERM)

    def _stop_all(self) -> None:
        self._ending = True
        for child in self._children.values():
            self._stop_child(child)
        for child in self._children.values():
            if not self._wait_gone(child, STOP_SECONDS):
                self._signal(child, signal.SIGKILL)
                self._wait_gone(child, STOP_SECONDS)

    # -- control socket ------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        path = short_path(self._directory)
        Path(path).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
        listener.listen(16)
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ)

    def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            Path(short_path(self._directory)).unlink(missing_ok=True)
        self._selector.close()

    def _serve_request(self, listener: socket.socket) -> None:
        link, _ = listener.accept()
        with link:
            link.settimeout(2.0)
            try:
                data = link.recv(LINE_LIMIT_BYTES)
                answer = self._obey(json.loads(data))
            except (OSError, ValueError, KeyError, TypeError) as error:
                answer = {"error": f"the request could not be read: {error}"}
            try:
                link.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:
                return

    def _obey(self, request: dict[str, Any]) -> dict[str, Any]:
        action = request["do"]
        if action == "status":
            return self._status()
        if action == "down":
            self._ending = True
            return {"ending": True}
        if action in ("partition", "heal", "link"):
            return self._disturb(action, request)
        child = self._children.get(str(request.get("node")))
        if child is None:
            known = ", ".join(self._children)
            return {"error": f"no node is called {request.get('node')!r}; the cluster has {known}"}
        if action == "kill":
            child.wanted = False
            self._signal(child, signal.SIGKILL)
            self._wait_gone(child, STOP_SECONDS)
        elif action == "stop":
            self._stop_child(child)
            self._wait_gone(child, STOP_SECONDS)
        elif action == "start":
            if not child.pid:
                child.starts.clear()
                self._start(child)
        elif action == "restart":
            self._stop_child(child)
            self._wait_gone(child, STOP_SECONDS)
            child.starts.clear()
            self._start(child)
        elif action == "pause":
            child.paused = True
            self._signal(child, signal.SIGSTOP)
        elif action == "resume":
            child.paused = False
            self._signal(child, signal.SIGCONT)
        else:
            return {"error": f"{action!r} is no action of a cluster"}
        return self._status()

    # -- link faults ---------------------------------------------------------------------------------------------

    def _disturb(self, action: str, request: dict[str, Any]) -> dict[str, Any]:
        """Cut, mend or shape links: `left`, `right` are lists of names, `one_way` cuts only left to right."""
        if action == "heal":
            self._faults = {
                pair: fault for pair, fault in self._faults.items() if not fault.cut and not request.get("all")
            }
        else:
            left, right = (self._named(request[side]) for side in ("left", "right"))
            if set(left) & set(right):
                return {"error": "a node cannot be on both sides of a partition"}
            pairs = [(source, target) for source in left for target in right]
            if not request.get("one_way"):
                pairs += [(target, source) for source, target in pairs]
            for source, target in pairs:
                known = self._faults.get((source, target), LinkFault(source=source, target=target))
                if action == "partition":
                    changed = msgspec.structs.replace(known, cut=True)
                else:
                    shape = {name: int(request.get(name, 0)) for name in _SHAPES}
                    changed = msgspec.structs.replace(known, **shape)
                self._faults[source, target] = changed
        self._write_faults()
        return self._status()

    def _named(self, names: Any) -> list[str]:
        """Return the company ids of node names."""
        return [self._children[str(name)].plan.company_id for name in names]

    def _write_faults(self) -> None:
        """Let every node read what happens to links now; those that are down read it when they start."""
        data = encode_faults(list(self._faults.values()))
        for child in self._children.values():
            path = child.home / FAULTS_FILE
            temporary = path.with_suffix(".tmp")
            temporary.write_bytes(data)
            temporary.replace(path)
        for child in self._children.values():
            self._signal(child, signal.SIGUSR1)

    def _status(self) -> dict[str, Any]:
        names = {child.plan.company_id: child.plan.name for child in self._children.values()}
        return {
            "cluster": self._plan.name,
            "pid": os.getpid(),
            "nodes": [
                {"name": child.plan.name, "state": child.state, "pid": child.pid, "last_exit": child.last_exit}
                for child in self._children.values()
            ],
            "links": [
                {
                    "source": names[source], "target": names[target], "cut": fault.cut,
                    **{name: getattr(fault, name) for name in _SHAPES},
                }
                for (source, target), fault in self._faults.items()
            ],
        }  # fmt: skip

    def _end(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the signature of signal handlers
        self._ending = True


def _end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the supervisor dies, however it dies; Linux only, elsewhere nodes stay."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
