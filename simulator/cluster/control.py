"""The control socket of a cluster: one JSON line asks, one JSON line answers (C6)."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, Final

from simulator.cluster.plan import ClusterError

SOCKET_FILE: Final = "control.sock"
LINE_LIMIT_BYTES: Final = 64 * 1024
TIMEOUT_S: Final = 15.0
"""Longer than a clean stop of all nodes takes."""


def ask(directory: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Send `request` to the supervisor of the cluster in `directory` and return its answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(TIMEOUT_S)
        try:
            link.connect(short_path(directory))
        except OSError:
            raise ClusterError(
                f"cluster {directory.name} is not running; start it with `hansa cluster up {directory.name}`"
            ) from None
        data = b""
        try:
            link.sendall(json.dumps(request).encode() + b"\n")
            while not data.endswith(b"\n") and len(data) < LINE_LIMIT_BYTES:
                part = link.recv(LINE_LIMIT_BYTES)
                if not part:
                    break
                data += part
        except OSError as error:
            raise ClusterError(
                f"the supervisor of cluster {directory.name} does not answer ({error}); look at supervisor.log"
            ) from None
    if not data:
        raise ClusterError(
            f"the supervisor of cluster {directory.name} ended while it was asked; look at supervisor.log"
        )
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ClusterError(f"the supervisor of cluster {directory.name} gave no object; look at supervisor.log")
    if answer.get("error"):
        raise ClusterError(str(answer["error"]))
    return answer


def is_running(directory: Path) -> bool:
    """Tell whether a supervisor answers for the cluster in `directory`."""
    try:
        ask(directory, {"do": "status"})
    except ClusterError:
        return False
    return True


def short_path(directory: Path) -> str:
    """Return the socket's path; socket addresses hold about 100 bytes, so deep directories go through /proc or fail."""
    path = str(directory / SOCKET_FILE)
    if len(path.encode()) > 100:
        relative = Path("/tmp") / f"hansa-{_digest(path)}.sock"  # noqa: S108  # mode 0600 is set on the socket itself
        return str(relative)
    return path


def _digest(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()[:16]
