"""The strict schema `hansa.scenario/1` (M21): frozen records, unknown keys are errors, no floats.

Numbers with a point are exact decimals. Durations and bandwidths are text with a unit. `json_schema()` is published
with the documentation.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import msgspec

SCHEMA = "hansa.scenario/1"
Fidelity = Literal["abstract", "normal", "full"]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Base of the tables of a scenario file."""


class FaultAction(Strict, frozen=True, kw_only=True, tag_field="do"):
    """One timed action (M22, M28)."""

    t: str
    lasts: str = msgspec.field(default="", name="for")
    """How long it lasts; empty: until undone, or until the second phase of the run heals everything."""


class Crash(FaultAction, frozen=True, kw_only=True, tag="crash"):
    """End a process: at once, or at a durable commit of its journal.

    `point`: before the commit, inside it (kept or lost is drawn; `kept` and `torn` say which), after it and before the
    send, or after the send. `commit` counts the commits of the run from 1; 0 is the next one.
    """

    node: str
    point: Literal["", "before", "inside", "kept", "torn", "after", "sent"] = ""
    commit: int = 0


class Restart(FaultAction, frozen=True, kw_only=True, tag="restart"):
    node: str


class CrashLoop(FaultAction, frozen=True, kw_only=True, tag="crash_loop"):
    """Crash and restart every `every`."""

    node: str
    every: str = "50ms"


class PowerCut(FaultAction, frozen=True, kw_only=True, tag="power_cut"):
    """End all processes at once; they start again after `for`, by default one second."""


class Pause(FaultAction, frozen=True, kw_only=True, tag="pause"):
    """SIGSTOP: the process keeps its state and its backlog."""

    node: str


class Resume(FaultAction, frozen=True, kw_only=True, tag="resume"):
    node: str


class SlowCpu(FaultAction, frozen=True, kw_only=True, tag="slow_cpu"):
    node: str
    factor: int = 10
    part: Literal["all", "execution"] = "all"


class SlowDisk(FaultAction, frozen=True, kw_only=True, tag="slow_disk"):
    node: str
    factor: int = 20
    part: Literal["all", "blocks"] = "all"
    """`blocks`: only the block store; the journal keeps its speed."""


class IoError(FaultAction, frozen=True, kw_only=True, tag="io_error"):
    """The next durable commit fails: the process must end and not retry (P91)."""

    node: str


class TornCommit(FaultAction, frozen=True, kw_only=True, tag="torn_commit"):
    """The process ends inside its next commit; the commit is wholly kept or wholly lost."""

    node: str


class LostCommit(FaultAction, frozen=True, kw_only=True, tag="lost_commit"):
    """The device lied: from now on commits vanish when the process ends. Counts as a faulty member."""

    node: str


class WipeDisk(FaultAction, frozen=True, kw_only=True, tag="wipe_disk"):
    """Journal and block store are gone: the company comes back as a learner and never votes with the old key (P97)."""

    node: str


class RestoreBackup(FaultAction, frozen=True, kw_only=True, tag="restore_backup"):
    """The disks go back to what they held at `taken`, and the process starts from them.

    With the journal, the company must find out by itself that it has forgotten votes, and must not vote again (P98).
    With the block store alone it keeps its vote, and fetches what is missing; it only waits until it knows the members
    that its journal speaks of.
    """

    node: str
    taken: str
    part: Literal["both", "journal", "blocks"] = "both"


class JournalDamage(FaultAction, frozen=True, kw_only=True, tag="journal_damage"):
    """The journal comes back spoilt and the core must notice: it votes no more (P92, P94). The block store is whole."""

    node: str
    how: Literal["missing", "misplaced", "foreign", "halted", "all"] = "missing"


class BitRot(FaultAction, frozen=True, kw_only=True, tag="bit_rot"):
    """The state of a company changes under it, so its results differ from here on: it must halt (P83)."""

    node: str


class Partition(FaultAction, frozen=True, kw_only=True, tag="partition"):
    """Cut the groups from each other; `*` stands for all companies that are not named."""

    groups: tuple[tuple[str, ...], ...]
    name: str = "partition"
    one_way: bool = False
    """Cut only what the first group sends."""


class Heal(FaultAction, frozen=True, kw_only=True, tag="heal"):
    name: str = "partition"


class Bridge(FaultAction, frozen=True, kw_only=True, tag="bridge"):
    """Cut two halves that only `node` joins."""

    node: str
    name: str = "bridge"


class Hold(FaultAction, frozen=True, kw_only=True, tag="hold"):
    """Keep what `source` sends to `target` until released; nothing is lost."""

    source: str
    target: str


class Release(FaultAction, frozen=True, kw_only=True, tag="release"):
    source: str
    target: str


class SlowLink(FaultAction, frozen=True, kw_only=True, tag="slow_link"):
    """`*` on one side stands for all others."""

    source: str
    target: str
    delay: str = "500ms"


class Loss(FaultAction, frozen=True, kw_only=True, tag="loss"):
    share: Decimal


class Duplicate(FaultAction, frozen=True, kw_only=True, tag="duplicate"):
    share: Decimal


class Reorder(FaultAction, frozen=True, kw_only=True, tag="reorder"):
    share: Decimal
    late: str = "1s"
    """A reordered message is late by up to this much."""


class DropType(FaultAction, frozen=True, kw_only=True, tag="drop_type"):
    """Drop one kind of message, from `source` to `target`; `*` is everybody."""

    message: str
    source: str = "*"
    target: str = "*"


class Flap(FaultAction, frozen=True, kw_only=True, tag="flap"):
    """Cut and mend both directions of a link every `every`."""

    source: str
    target: str
    every: str = "100ms"


class ClockSkew(FaultAction, frozen=True, kw_only=True, tag="clock_skew"):
    node: str
    by: str


class ClockJump(FaultAction, frozen=True, kw_only=True, tag="clock_jump"):
    node: str
    by: str


class ClockDrift(FaultAction, frozen=True, kw_only=True, tag="clock_drift"):
    """Parts per million that both clocks run fast (negative: slow)."""

    node: str
    ppm: int


class ClockFreeze(FaultAction, frozen=True, kw_only=True, tag="clock_freeze"):
    node: str


class Byzantine(FaultAction, frozen=True, kw_only=True, tag="byzantine"):
    """`node` lies from now on (M30). It stays Byzantine for the checkers even when `for` is over."""

    node: str
    behaviour: str


Action = (
    Crash | Restart | CrashLoop | PowerCut | Pause | Resume | SlowCpu | SlowDisk | IoError | TornCommit
    | LostCommit | WipeDisk | RestoreBackup | JournalDamage | BitRot | Partition | Heal | Bridge | Hold | Release
    | SlowLink | Loss
    | Duplicate | Reorder | DropType | Flap | ClockSkew | ClockJump | ClockDrift | ClockFreeze | Byzantine
)  # fmt: skip


class RandomFaults(Strict, frozen=True, kw_only=True):
    """Faults drawn from the seed: one of `kinds` every `mean_every`, at most `max_concurrent` nodes at once."""

    kinds: tuple[str, ...]
    mean_every: str = "5s"
    max_concurrent: int | Literal["f"] = "f"


class Workload(Strict, frozen=True, kw_only=True):
    """What clients submit (M25).

    `rate` in transactions per second: `fixed:N`, `linear:A..B`, `poisson:N`, `burst:N,every`, `fixed-load:N`.
    """

    kind: Literal["kv", "invoices", "hostile", "rest", "members", "upgrades", "deadlines"]
    rate: str = "fixed:10"
    clients: int = 4
    conflict: Decimal = Decimal(0)
    """Share of calls on records that other calls contend for."""
    until: str = ""
    """No call is made from this time of the run on; empty: to its end."""
    changes: tuple[str, ...] = ()
    """Of `members`: what happens to the members, one after the other: `join:NAME`, `leave:NAME` and so on."""
    delay_heights: int = 0
    """Of `upgrades`: 0, or so many heights between acceptance and beginning, of one version alone."""


class NetworkTable(Strict, frozen=True, kw_only=True):
    nodes: int = 4
    names: tuple[str, ...] = ()
    joining: int = 0
    """Companies beside the members: their nodes run, and the workload `members` lets them join."""
    topology: Literal["lan", "wan:3", "wan:5", "wan:global", "star", "ring"] = "lan"
    jitter: str = "exponential"
    """`none`, `exponential`, `uniform:SPREAD` or `lognormal:SIGMA`."""
    loss: Decimal = Decimal(0)
    duplicate: Decimal = Decimal(0)
    reorder: Decimal = Decimal(0)
    bandwidth: str = "100Mbit"


class TimeTable(Strict, frozen=True, kw_only=True):
    start: str = "2026-09-28T08:00:00Z"
    skew: str = "0s"
    """Wall clocks differ by up to this much, drawn per node."""
    drift_ppm: int = 0


class DiskTable(Strict, frozen=True, kw_only=True):
    pipelined: bool = False
    """Let the next turn begin while the journal commit of the last one runs; the daemon does not."""
    snapshot_every: int = 0
    """Blocks from one snapshot that a node serves to the next; 0: none (P107)."""
    replay_blocks: int = 0
    """Lag in blocks beyond which a node takes a snapshot instead of blocks; 0: never."""


class ShellTable(Strict, frozen=True, kw_only=True):
    disorder: bool = False
    """Answers of the verifiers overtake each other or come twice, and stopped or moved timers fire (P158)."""
    late_blocks: str = "0s"
    """The mempool answers a question for a new block up to this late (P158)."""


class Liveness(Strict, frozen=True, kw_only=True):
    after: Literal["heal", "never"] = "heal"
    within: str = ""
    """Bound of the second phase; empty: the bound of LV1."""


class Expect(Strict, frozen=True, kw_only=True):
    """Goals of this scenario besides the safety checkers, which always run (M34)."""

    liveness: Liveness = Liveness()
    view_changes: str = ""
    """For example `= 0`, `<= 1`."""
    committed: str = ""
    """Transactions committed at the end, for example `>= 100`."""
    height: str = ""
    epochs: str = ""
    """Number of the epoch that decides the last block."""
    halted: str = ""
    """Replicas that stopped for good."""
    snapshots: str = ""
    """Snapshots that were installed."""
    verifications: str = ""
    """Signatures of votes checked a block and member, rounded down."""
    charged: tuple[str, ...] = ()
    """Each honest member charged a liar with these words."""
    counted: tuple[str, ...] = ()
    """Each honest member counted these."""


class Caption(Strict, frozen=True, kw_only=True):
    t: str
    en: str
    zh_CN: str = msgspec.field(default="", name="zh-CN")


class Scenario(Strict, frozen=True, kw_only=True):
    """A scenario file."""

    schema: Literal["hansa.scenario/1"] = SCHEMA  # type: ignore[assignment]  # msgspec wants the literal itself
    name: str
    seed: int = 1
    duration: str = "10s"
    fidelity: Fidelity = "normal"
    at: tuple[Action, ...] = ()
    random_faults: tuple[RandomFaults, ...] = ()
    workload: tuple[Workload, ...] = ()
    caption: tuple[Caption, ...] = ()
    network: NetworkTable = NetworkTable()
    consensus: dict[str, int] = {}  # msgspec copies empty containers
    time: TimeTable = TimeTable()
    disk: DiskTable = DiskTable()
    shell: ShellTable = ShellTable()
    expect: Expect = Expect()
    allow_excess_faults: bool = False
    exec_recheck: int = 16
    """Every how many heights each node executes the block itself (M16); 0 is never."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of scenario files."""
    return msgspec.json.schema(Scenario)
