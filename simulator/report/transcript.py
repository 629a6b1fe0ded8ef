"""Transcripts: a small protocol story as commands and the log they give, for people who know PBFT and not Python.

A file is a list of blocks: a command, a line `----`, the log until the next blank line before a command. Comments
start with `#`. Blocks are named by height and letter (`4a`, `4b`) in order of appearance, and contracts are left out
(fidelity `abstract`), so a transcript changes only when the protocol does.

Commands
    network nodes=N                     start N companies
    submit COMPANY [count=N]            a client of the company submits
    run DURATION                        let virtual time pass
    run until height H [within DURATION]  until every running company has executed H
    crash|restart|pause|resume COMPANY
    cut A B / C D                       nothing passes between the two groups
    drop KIND                           drop one kind of message
    heal                                end cuts and drops
    status                              one line for each company
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from consensus.effects import Halt
from consensus.messages import (
    Commit,
    Committed,
    Heartbeat,
    NewView,
    Prepare,
    Prepared,
    PreparedCertificate,
    PrePrepare,
    Suspect,
    ViewChange,
)
from consensus.records import Anchor, Left, PreparedHere, Silenced
from ledger.block import header_codec
from ledger.certificate import CommitCertificate, bitmap_indexes
from ledger.receipt import STATUS_OK
from node.core.messages import Blocks, BlocksRequest, Bodies, BodiesRequest, Held, PeerMessage, TxBatch
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.disk import JournalBatch, StoredBlock
from simulator.errors import InvalidScenario, Stopped
from simulator.execution import Executed
from simulator.net import ANY
from simulator.scenario import schema as s
from simulator.scenario.units import duration_ns
from simulator.workloads.kv import KeyValue
from simulator.world import World

STEP_NS: Final = 1_000_000
PATIENCE: Final = "30s"
SEPARATOR: Final = "----"


class Log(Checker):
    """Writes what members send, commit and execute as one line each."""

    name = "transcript"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.lines: list[str] = []
        self._letters: dict[int, dict[bytes, str]] = {}

    def take(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines

    def say(self, who: str, what: str) -> None:
        self.lines.append(f"{self.view.now() / 1e6:>9.1f} ms  {who:<6} {what}")

    def block(self, height: int, block_id: bytes) -> str:
        """Return the short name of a block."""
        known = self._letters.setdefault(height, {})
        if block_id not in known:
            known[block_id] = f"{height}{chr(ord('a') + len(known))}"
        return known[block_id]

    # -- hooks -----------------------------------------------------------------------------------------------------

    def sending(self, daemon: Daemon, message: PeerMessage, to: int | None) -> None:
        text = self._message(daemon, message)
        if text:
            target = "all" if to is None else self._name(to)
            self.say(daemon.name, f"{text} -> {target}")

    def durable(self, daemon: Daemon, batch: JournalBatch) -> None:
        for entry in batch.entries:
            record = entry.record
            if isinstance(record, PreparedHere):
                vote = record.certificate.vote
                who = self._signers(record.certificate)
                self.say(daemon.name, f"prepared {self.block(vote.height, vote.block_id)} in view {vote.view} by {who}")
            elif isinstance(record, Left):
                self.say(daemon.name, f"leaves for view {record.view_change.view}; journal first")
            elif isinstance(record, Silenced):
                self.say(daemon.name, "is silenced")
            elif isinstance(record, Anchor) and entry.lsn > 1:
                self.say(daemon.name, "starts its journal anew")

    def stored(self, daemon: Daemon, block: StoredBlock) -> None:
        vote = block.certificate.vote
        name = self.block(block.ref.height, block.ref.block_id)
        who = self._signers(block.certificate)
        self.say(
            daemon.name, f"COMMITTED {name}, {_count(len(block.tx_ids))}, certificate of view {vote.view} by {who}"
        )

    def executed(self, daemon: Daemon, height: int, executed: Executed) -> None:
        receipts = executed.result.receipts
        good = sum(receipt.status == STATUS_OK for receipt in receipts)
        failed = f", {len(receipts) - good} failed" if good < len(receipts) else ""
        self.say(daemon.name, f"executed height {height}: {good} ok{failed}")

    def halted(self, daemon: Daemon, halt: Halt) -> None:
        self.say(daemon.name, f"HALTS: {halt.reason.value}: {halt.detail}")

    def stopped(self, daemon: Daemon) -> None:
        self.say(daemon.name, "process ends")

    def started(self, daemon: Daemon) -> None:
        if self.view.now():
            self.say(daemon.name, f"starts with block store at {daemon.store.durable_height}")

    # -- words -----------------------------------------------------------------------------------------------------

    def _name(self, index: int) -> str:
        return self.view.league.firms[index].name

    def _signers(self, certificate: CommitCertificate | PreparedCertificate) -> str:
        indexes = bitmap_indexes(certificate.signers, len(self.view.league.firms)) or ()
        return " ".join(self._name(index) for index in indexes) or "nobody"

    def _message(self, daemon: Daemon, message: PeerMessage) -> str:
        """Return the words for a message; nothing for those that repeat or only carry bytes."""
        match message:
            case PrePrepare():
                header = header_codec.decode(message.proposal.header)
                what = f"{_count(header.tx_count)}, result of height {header.exec_height}"
                return f"{self._vote('PRE-PREPARE', daemon, message)} ({what})"
            case Prepare():
                return self._vote("PREPARE", daemon, message)
            case Commit():
                return self._vote("COMMIT", daemon, message)
            case ViewChange():
                kept = [f"{self.block(p.vote.height, p.vote.block_id)} of view {p.vote.view}" for p in message.prepared]
                content = f"committed {message.base.vote.height}, prepared {', '.join(kept) or 'nothing'}"
                return f"VIEW-CHANGE({message.view}){self._of(daemon, message.sender)}: {content}"
            case NewView():
                names = " ".join(self._name(change.sender) for change in message.view_changes)
                again = ", ".join(self.block(height, block_id) for height, block_id in message.reproposals)
                return f"NEW-VIEW({message.view}) from {names}; repeats {again or 'nothing'}"
            case Suspect():
                return f"SUSPECT({message.view})"
            case Committed():
                vote = message.certificate.vote
                return f"COMMIT-CERT {self.block(vote.height, vote.block_id)}"
            case Prepared():
                vote = message.certificate.vote
                return f"PREPARED {self.block(vote.height, vote.block_id)} of view {vote.view}"
            case Heartbeat():
                return ""
            case TxBatch():
                return f"gossips {_count(len(message.envelopes))}"
            case BodiesRequest():
                return f"asks for {len(message.tx_ids)} bodies"
            case Bodies():
                return f"gives {len(message.envelopes)} bodies"
            case BlocksRequest():
                return f"asks for blocks {message.first} to {message.last}"
            case Blocks():
                heights = [block.certificate.vote.height for block in message.blocks]
                return f"serves blocks {heights[0]} to {heights[-1]}" if heights else "serves no blocks"
            case Held():
                return f"has no block {message.first}, but {message.oldest} to {message.tip}"
            case _:
                return ""

    def _vote(self, kind: str, daemon: Daemon, message: PrePrepare | Prepare | Commit) -> str:
        vote = message.vote
        block = self.block(vote.height, vote.block_id)
        return f"{kind} {block} in view {vote.view}{self._of(daemon, message.sender)}"

    def _of(self, daemon: Daemon, sender: int) -> str:
        return "" if sender == daemon.index else f" of {self._name(sender)}"


class Story:
    """Runs the commands of one transcript."""

    def __init__(self) -> None:
        self._world: World | None = None
        self._trade: KeyValue | None = None

    def perform(self, command: str) -> list[str]:
        """Return the log lines of one command."""
        word, *rest = command.split()
        handler = _COMMANDS.get(word)
        if handler is None:
            raise InvalidScenario(command, f"unknown command; known are {', '.join(_COMMANDS)}")
        try:
            answer = handler(self, rest)
        except Stopped as stopped:
            answer = [f"BROKEN {stopped.violation}"]
        return [*self._log().take(), *answer]

    @property
    def world(self) -> World:
        if self._world is None:
            raise InvalidScenario("", "a transcript begins with the command network")
        return self._world

    def _log(self) -> Log:
        for listener in self.world.listeners:
            if isinstance(listener, Log):
                return listener
        raise InvalidScenario("", "the world has no log")

    def _network(self, rest: list[str]) -> list[str]:
        options = dict(word.split("=", 1) for word in rest)
        nodes = int(options.get("nodes", "4"))
        scenario = s.Scenario(
            name="transcript", fidelity="abstract", network=s.NetworkTable(nodes=nodes, jitter="none")
        )
        self._world = world = World(scenario, 1, listeners=(Log,))
        self._trade = KeyValue(world.league, world.streams["load/transcript"], s.Workload(kind="kv").conflict)
        world.begin()
        world.advance(50_000_000)  # connections are made
        members = " ".join(firm.name for firm in world.league.firms)
        return [f"{members}; view 0 belongs to {world.resolve('primary')}, view 1 to {world.resolve('backup')}"]

    def _submit(self, rest: list[str]) -> list[str]:
        world, trade = self.world, self._trade
        if trade is None:
            raise InvalidScenario("", "a transcript begins with the command network")
        count = int(rest[1].partition("=")[2]) if len(rest) > 1 else 1
        firm = world.league.by_name(rest[0])
        for _ in range(count):
            call = trade.next_call()
            while call.firm.name != firm.name:
                call = trade.next_call()
            world.clients.submit_call(call, trade)
        return [f"a client hands {_count(count)} to {rest[0]}"]

    def _run(self, rest: list[str]) -> list[str]:
        world = self.world
        if rest[0] != "until":
            world.advance(duration_ns(rest[0], "run"))
            return []
        height = int(rest[2])
        limit = world.heap.now + duration_ns(rest[4] if len(rest) > 4 else PATIENCE, "run")
        while world.heap.now < limit:
            if all(daemon.store.view.height >= height for daemon in world.daemons if daemon.up and not daemon.paused):
                return []
            world.advance(STEP_NS)
        return [f"height {height} was not reached"]

    def _crash(self, rest: list[str]) -> list[str]:
        for name in rest:
            self._daemon(name).crash()
        return []

    def _restart(self, rest: list[str]) -> list[str]:
        for name in rest:
            self._daemon(name).start()
        return []

    def _pause(self, rest: list[str]) -> list[str]:
        self._daemon(rest[0]).pause(True)
        return [f"{rest[0]} stands still"]

    def _resume(self, rest: list[str]) -> list[str]:
        self._daemon(rest[0]).pause(False)
        return [f"{rest[0]} goes on"]

    def _cut(self, rest: list[str]) -> list[str]:
        left, right = " ".join(rest).split("/")
        for a in left.split():
            for b in right.split():
                first, second = self._daemon(a).slot, self._daemon(b).slot
                self.world.net.cut(first, second)
                self.world.net.cut(second, first)
        self.world.peering.paths_changed()
        return [f"{left.strip()} cannot reach {right.strip()}"]

    def _drop(self, rest: list[str]) -> list[str]:
        self.world.net.dropped_types[rest[0]] = [(ANY, ANY)]
        return [f"every {rest[0]} is lost"]

    def _heal(self, _rest: list[str]) -> list[str]:
        self.world.net.mend_all()
        self.world.peering.paths_changed()
        return ["all links work"]

    def _status(self, _rest: list[str]) -> list[str]:
        lines = []
        for daemon in self.world.daemons:
            state = daemon.replica_state
            if state is None:
                lines.append(f"{daemon.name:<6} down")
                continue
            lines.append(
                f"{daemon.name:<6} {state.mode.name.lower():<8} view {state.view}  committed {state.height}"
                f"  executed {daemon.store.view.height}"
            )
        return lines

    def _daemon(self, name: str) -> Daemon:
        resolved = self.world.resolve(name)
        for daemon in self.world.daemons:
            if daemon.name == resolved:
                return daemon
        raise InvalidScenario("", f"no company is called {name!r}")


def rewrite(text: str) -> str:
    """Return a transcript with the log that its commands give now."""
    story = Story()
    out: list[str] = []
    for line in text.splitlines():
        if line == SEPARATOR:
            continue
        if line.startswith("#"):
            out.append(line)
        elif line and not line.startswith(" ") and line.split()[0] in _COMMANDS and _is_command(line):
            while out and not out[-1]:
                out.pop()
            if out and not out[-1].startswith("#"):
                out.append("")
            out += [line, SEPARATOR, *(f"    {said}" for said in story.perform(line)), ""]
    return "\n".join(out).rstrip("\n") + "\n"


def _is_command(line: str) -> bool:
    return not line.startswith((" ", "\t"))


def _count(number: int) -> str:
    return f"{number} transaction" + ("" if number == 1 else "s")


_COMMANDS: Final[dict[str, Callable[[Story, list[str]], list[str]]]] = {
    "network": Story._network,
    "submit": Story._submit,
    "run": Story._run,
    "crash": Story._crash,
    "restart": Story._restart,
    "pause": Story._pause,
    "resume": Story._resume,
    "cut": Story._cut,
    "drop": Story._drop,
    "heal": Story._heal,
    "status": Story._status,
}
