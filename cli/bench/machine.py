"""The machine under test: its unit V, its clocks, and who else uses it (performance E1, E40)."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import thread_time_ns
from typing import Final

from ledger.crypto.ed25519 import SigningKey, verify_strict

PROC: Final = Path("/proc")
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
V_KEYS: Final = 200
"""Distinct keys of the measurement of V, as a network has them."""
V_ROUNDS: Final = 15
_LIBRARIES: Final = ("pynacl", "lmdb", "msgspec", "cryptography", "aiohttp")


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """CPU seconds since their start: all user processes of the machine, and each process of ours."""

    machine_s: float
    kernel_threads_s: float
    ours_s: dict[int, float]

    @staticmethod
    def read(pids: Iterable[int]) -> CpuTimes:
        """Read /proc now; a process that is gone has 0."""
        return CpuTimes(_machine_s(), _kernel_threads_s(), {pid: process_s(pid) for pid in pids})

    def others_s(self, before: CpuTimes) -> float:
        """Return the CPU seconds that went to processes which are not ours, stolen time included."""
        machine = self.machine_s - before.machine_s - (self.kernel_threads_s - before.kernel_threads_s)
        ours = sum(spent - before.ours_s.get(pid, 0.0) for pid, spent in self.ours_s.items())
        return max(0.0, machine - ours)


def process_s(pid: int) -> float:
    """Return the CPU seconds of a process with all its threads."""
    try:
        fields = _stat(PROC / str(pid) / "stat")
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def private_mb(pid: int) -> float:
    """Return what a process alone costs in megabytes: `Private_Dirty` of its mappings, without the ledger files, whose
    pages the system may drop or write back at any time (E39). LMDB's write buffers are in it."""
    try:
        text = (PROC / str(pid) / "smaps").read_text()
    except OSError:
        return 0.0
    total, counted = 0, True
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if not name.endswith(":"):  # the head line of the next mapping; its path stands last
            counted = not line.endswith(".mdb")
        elif name == "Private_Dirty:" and counted:
            total += int(rest.split()[0])
    return total * 1024 / 1e6


def disk_bytes(folder: Path) -> int:
    """Return the bytes that the files under `folder` occupy on the disk."""
    total = 0
    for path in folder.rglob("*"):
        try:
            found = path.lstat()
        except OSError:
            continue
        total += found.st_blocks * 512
    return total


def verification_us(rounds: int = V_ROUNDS) -> float:
    """Return V: CPU microseconds of one `verify_strict` here and now, median of `rounds` over distinct keys (E1)."""
    triples: list[tuple[bytes, bytes, bytes]] = []
    for number in range(V_KEYS):
        key = SigningKey(sha256(b"bench key %d" % number).digest())
        digest = sha256(b"bench digest %d" % number).digest()
        triples.append((key.public_key, key.sign(digest), digest))
    found: list[float] = []
    for _ in range(rounds + 1):
        start = thread_time_ns()
        for public_key, signature, digest in triples:
            if not verify_strict(public_key, signature, digest):
                raise RuntimeError("a good signature does not verify")
        found.append((thread_time_ns() - start) / V_KEYS / 1000)
    return median(found[1:])  # the first round warms up


def cores() -> int:
    """Return the cores this process may use."""
    return len(os.sched_getaffinity(0))


def describe(folder: Path) -> str:
    """Return the machine line: cores, processor, kernel, Python, libraries, file system, load (E40)."""
    libraries = " ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    loads = " ".join(f"{load:.2f}" for load in os.getloadavg())
    return (
        f"{cores()} cores ({_processor()}), Linux {platform.release()}, Python {platform.python_version()}, "
        f"{libraries}, {_file_system(folder)}, load before {loads}"
    )


def _stat(path: Path) -> list[str]:
    """Return the fields of a `stat` file after the name, which may hold anything."""
    return path.read_text().rpartition(")")[2].split()


def _machine_s() -> float:
    """Return user, nice, system and stolen seconds; interrupts belong to nobody and are left out."""
    fields = (PROC / "stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(int(fields[place]) for place in (0, 1, 2, 7)) / TICKS_A_SECOND


def _kernel_threads_s() -> float:
    """Return the CPU seconds of kernel threads: they work for everybody, for our disk writes too."""
    total = 0
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = _stat(entry / "stat")
        except OSError:
            continue
        if fields[1] == "2":  # children of kthreadd
            total += int(fields[11]) + int(fields[12])
    return total / TICKS_A_SECOND


def _processor() -> str:
    try:
        for line in (PROC / "cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _file_system(folder: Path) -> str:
    """Return the type of the file system that holds `folder`."""
    best, kind = "", "unknown file system"
    try:
        lines = (PROC / "self" / "mounts").read_text().splitlines()
    except OSError:
        return kind
    where = str(folder.resolve())
    for line in lines:
        _, point, found, *_ = line.split()
        if (where == point or where.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, found
    return kind
