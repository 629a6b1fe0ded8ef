"""One run: `World(scenario, seed).run() -> RunResult` (M2). A function of scenario, seed and code (M3).

Two phases (M32). In the first, faults and attackers act and only safety is asked for. Then the world heals: all faults
end, honest processes run again, and every pending transaction must commit, every honest node must reach the same
height and view, within the bound of LV1 and LV2. Attackers go on lying. The first broken property ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from consensus.events import Mode
from consensus.membership import Membership
from consensus.state import leader_of
from ledger.block import BlockRef
from ledger.certificate import faults as tolerated
from ledger.certificate import quorum
from ledger.governance.follow import trust_genesis
from ledger.state import MemoryState
from node.core import effects as ne
from node.core import events as nv
from node.core.programs import Programs
from simulator.byzantine import BEHAVIOURS, TWINS, Attacker
from simulator.checkers import CHECKERS, Checker, View
from simulator.clock import MS, NodeClock
from simulator.cpu import DEFAULT_COSTS, CostTable
from simulator.daemon import Daemon, Digests, Signer, Surroundings
from simulator.ends import Ends
from simulator.errors import InvalidScenario, Stopped, Violation
from simulator.execution import Executed, Execution
from simulator.faults import Faults
from simulator.guard import guarded
from simulator.heap import EventHeap
from simulator.hub import Hub, Listener
from simulator.league import League, found
from simulator.memory import uncollected
from simulator.net import LinkPolicy, Network
from simulator.oracle import ModelledOracle, Oracle, RealOracle
from simulator.peering import Peering
from simulator.records import Parcel
from simulator.report.measures import Measures
from simulator.rng import Streams, exponential, lognormal, uniform
from simulator.scenario.draw import expand
from simulator.scenario.load import PLACES, TWIN, check, joiners, names, params
from simulator.scenario.schema import (
    Action,
    BitRot,
    Byzantine,
    JournalDamage,
    LostCommit,
    RestoreBackup,
    Scenario,
    WipeDisk,
)  # fmt: skip
from simulator.scenario.units import bandwidth_bits, duration_ns, ppm
from simulator.snapshots import Shelf
from simulator.trace import TraceHash
from simulator.workloads import KINDS, Call, Clients, Trade

CHECK_EVERY_NS: Final = 100_000_000
"""How often the second phase looks whether all is well."""
PROBES: Final = 3
"""New calls after healing, to see that the network works and does not only rest."""
SETTLE_NS: Final = 2_000_000_000
"""Added to the bound of LV1 for reconnecting and for clients that retry."""
CONFIRM_EVENTS_MAX: Final = 20_000_000
"""Events of one run; more is a run that does not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run gave. `violation` None means that every checker held."""

    scenario: Scenario
    seed: int
    verdict: str
    violation: Violation | None
    trace: str
    fidelity: str
    n: int
    f: int
    q: int
    height: int
    transactions: int
    events: int
    deliveries: int
    sent_bytes: int
    view_changes: int
    virtual_ns: int
    healed_after_ns: int
    submitted: int
    committed: int
    failed: int
    refused: int
    pending: int
    latency_ns: tuple[int, ...]
    client_latency_ns: tuple[int, ...]
    blocks: tuple[tuple[int, int, bytes, int, int], ...]
    by_type: dict[str, int]
    reports: dict[str, int]
    faults: tuple[tuple[int, str], ...]
    byzantine: tuple[str, ...]
    machine: str

    @property
    def ok(self) -> bool:
        return self.violation is None


@dataclass(slots=True)
class Phase:
    """Progress of the second phase."""

    began_ns: int = 0
    done_ns: int = -1


class World:
    """One history. Use once."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int | None = None,
        *,
        costs: CostTable = DEFAULT_COSTS,
        listeners: tuple[type[Listener], ...] = (),
        checkers: tuple[type[Checker], ...] = CHECKERS,
        execution: type[Execution] = Execution,
    ) -> None:
        check(scenario)
        self.scenario = scenario
        self.seed = scenario.seed if seed is None else seed
        self.streams = Streams(self.seed)
        self.heap = EventHeap()
        self.second_phase = False
        self.submitted: dict[bytes, int] = {}
        self.refusals: list[str] = []
        self.trades: list[Trade] = []
        self.daemons: list[Daemon] = []
        self._phase = Phase()
        self._violation: Violation | None = None
        self._run_ns = duration_ns(scenario.duration, "duration")
        abstract = scenario.fidelity == "abstract"
        governed = any(KINDS[workload.kind].votes for workload in scenario.workload)
        full = scenario.fidelity == "full"
        self.league: League = found(names(scenario), params(scenario), abstract, governed, joiners(scenario))
        self.oracle: Oracle = RealOracle() if full else ModelledOracle(self.seed)
        self.trace = TraceHash(repr(scenario).encode(), str(self.seed).encode())
        twins = self._twins()
        everyone = self.league.everyone
        indexes = [*range(len(everyone)), *twins]
        slots = [firm.name for firm in everyone] + [f"{everyone[index].name}{TWIN}" for index in twins]
        bandwidth = bandwidth_bits(scenario.network.bandwidth, "network.bandwidth")
        receivers: list[Callable[[Parcel], None]] = []
        self.net = Network(self.heap, self.streams, slots, self._policy(), bandwidth, receivers)
        slots_of: dict[int, tuple[int, ...]] = {}
        for slot, index in enumerate(indexes):
            slots_of[index] = (*slots_of.get(index, ()), slot)
        self.view = View(self.league, self.oracle, self.daemons, self.submitted, lambda: self.heap.now, self.fail)
        self.checkers = [kind(self.view) for kind in checkers]
        self.measures = Measures(self.view)
        self.listeners = [kind(self.view) for kind in listeners]
        self.clients = Clients(self)
        hub = Hub(
            [*self.checkers, self.measures, *self.listeners],
            self.clients.answered,
            self._executed,
            self._process_changed,
            self._raised,
        )
        share = scenario.fidelity != "full"
        surroundings = Surroundings(
            heap=self.heap,
            net=self.net,
            trace=self.trace,
            oracle=self.oracle,
            execution=execution(self.league.runtime, 0, share=share, recheck=scenario.exec_recheck),
            costs=costs,
            monitor=hub,
            config=self.league.config,
            config_at=self.league.config_at,
            genesis_certificate=self.league.certificate,
            chain_id=self.league.chain_id,
            digests=Digests(self.league.chain_id),
            keys=self.league.keys,
            companies=tuple(firm.company_id for firm in everyone),
            slots_of=slots_of,
            firms=tuple(indexes),
            encode_messages=not abstract,
            decode_messages=full,
            journal_encoded=full,
        )
        self._surroundings = surroundings
        for slot, index in enumerate(indexes):
            self.daemons.append(self._daemon(surroundings, slot, index, slots[slot]))
            receivers.append(self.daemons[slot].deliver)
        self.peering = Peering(self.heap, self.net, self.daemons)
        self.faults = Faults(self)
        self.view.faults = self.faults.kinds
        self._topology()
        for index in twins:
            for slot in slots_of[index]:
                self._mark(self.daemons[slot])
        self._announce_byzantine()

    # -- the door --------------------------------------------------------------------------------------------------

    def run(self) -> RunResult:
        """Perform the run and return what it gave."""
        with guarded(), uncollected():
            try:
                self._begin()
            except Stopped as stopped:
                self._violation = stopped.violation
                return self._result()
        return self.conclude()

    def conclude(self) -> RunResult:
        """Perform what is left of a run that has begun and return what the whole gave."""
        with guarded(), uncollected():
            try:
                self._advance(self._run_ns)
                if self.scenario.expect.liveness.after != "never":
                    self._second_phase()
                else:
                    self._expectations()
                for checker in self.checkers:
                    checker.finished()
            except Stopped as stopped:
                self._violation = stopped.violation
        return self._result()

    def advance(self, by_ns: int) -> None:
        """Let virtual time pass; transcripts use this instead of `run`. Raises `Stopped` at a violation."""
        with guarded(), uncollected():
            self._advance(self.heap.now + by_ns)

    def advance_until(self, until_ns: int) -> None:
        """Let virtual time pass up to a moment, which may be this one. Raises `Stopped` at a violation."""
        with guarded(), uncollected():
            self._advance(until_ns)

    def begin(self) -> None:
        """Start all processes without running; transcripts use this instead of `run`."""
        with guarded():
            self._begin()

    # -- for faults, clients and checkers --------------------------------------------------------------------------

    @property
    def best_height(self) -> int:
        """Highest height any honest node has committed."""
        return self.measures.height

    def slot_of(self, index: int) -> int:
        return self._surroundings.slots_of[index][0]

    def resolve(self, name: str) -> str:
        """Return the company behind a name such as `primary` at this moment; other names stand for themselves."""
        if name.endswith(TWIN) and name.removesuffix(TWIN) in PLACES:
            return self.resolve(name.removesuffix(TWIN)) + TWIN
        if name not in PLACES:
            return name
        states = [daemon.replica_state for daemon in self.daemons if daemon.honest]
        known = max(
            (state for state in states if state is not None),
            key=lambda state: (state.members.epoch, state.view, state.height),
            default=None,
        )
        members = self.view.epochs[0] if known is None else known.members
        first = 0 if known is None else members.rotation.index(leader_of(known))
        return self.view.firm(members.epoch, members.collector(first + PLACES.index(name))).name

    def _executed(self, daemon: Daemon, executed: Executed) -> None:
        if daemon.honest:
            self.view.executed(executed)
        self.clients.executed(daemon, executed)
        if daemon.honest and executed.result.next_epoch is not None:
            self.clients.members_changed(executed.result.next_epoch.companies)

    def _tip(self, firm: int) -> BlockRef:
        """Return the highest block that a company's node has executed."""
        store = self.daemons[self.slot_of(firm)].store
        return store.blocks[store.view.height].ref

    def start(self, daemon: Daemon) -> None:
        """Start a process that is down."""
        if not daemon.up:
            daemon.start()

    def fail(self, verdict: str, checker: str, detail: str, node: str) -> None:
        """End the run: a property is broken."""
        raise Stopped(Violation(verdict=verdict, checker=checker, detail=detail, time_ns=self.heap.now, node=node))

    def corrupt(self, daemon: Daemon, behaviour: str) -> None:
        """Hand a node to an attacker."""
        if behaviour == TWINS:
            return  # two honest processes from the start; the world made them so
        kind = BEHAVIOURS[behaviour]
        self._mark(daemon)
        rng = self.streams[f"byzantine/{daemon.name}/{behaviour}"]
        state = daemon.replica_state
        daemon.behaviour = kind(daemon, rng, len(self.league.firms) if state is None else state.members.n)

    def mark_faulty(self, daemon: Daemon) -> None:
        """Count a node as Byzantine: its disk or its keys cannot be trusted."""
        self._mark(daemon)

    def note_fault(self, name: str, subject: str) -> None:
        self.trace.note(self.heap.now, name, subject)

    def note_refusal(self, call: Call, result: ne.SubmitResult) -> None:
        """Remember why a call of an honest client was refused."""
        self.refusals.append(f"{call.contract}.{call.method}: {result.code}: {result.detail}")

    # -- phases ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        for daemon in self.daemons:
            daemon.start()
        self.faults.schedule((*self.scenario.at, *self._random_faults()))
        for position, workload in enumerate(self.scenario.workload):
            kind = KINDS[workload.kind]
            stream = self.streams[f"load/{workload.kind}/{position}"]
            trade = kind(self.league, stream, workload.conflict)
            trade.prepare(workload, self._tip)
            self.trades.append(trade)
        pairs = tuple(zip(self.scenario.workload, self.trades, strict=True))
        self.clients.begin(pairs, self._run_ns)

    def _advance(self, until_ns: int) -> None:
        heap = self.heap
        if not heap.run(until_ns, CONFIRM_EVENTS_MAX - heap.popped):
            self.fail("liveness", "events", f"more than {CONFIRM_EVENTS_MAX} events in one run", "")
        heap.pass_to(until_ns)

    def _second_phase(self) -> None:
        self.second_phase = True
        self.clients.stop()
        self.faults.heal()
        self.net.mend_all()
        self.net.default = LinkPolicy(delay_ns=self._policy().delay_ns, jitter=self._policy().jitter)
        self._topology()
        for daemon in self.daemons:
            daemon.pause(False)
            self.start(daemon)
        self.peering.paths_changed()
        self._phase.began_ns = self.heap.now
        self._await("after healing")
        self._phase.done_ns = self.heap.now
        self._expectations()
        self._probe()
        self.view.healed = True

    def _probe(self) -> None:
        """Show that everybody who is left is really back: end f processes that may be spared, and commit new work."""
        rng = self.streams["probe"]
        members = self._members()
        spare = members.f - self._faulty()
        if spare > 0 and rng.bits(1):
            honest = [daemon for daemon in self.daemons if daemon.honest and daemon.votes]
            for daemon in rng.sample(honest, spare):
                self.note_fault("probe", daemon.name)
                daemon.crash()
        if self.trades:
            for _ in range(PROBES):
                self.clients.submit_call(self.trades[0].next_call(), self.trades[0])
            self._await("after the probe")

    def _await(self, what: str) -> None:
        """Let time pass until all is well; a network that needs longer than the bound is not live."""
        began = self.heap.now
        deadline = began + self._bound_ns()
        problem = ""
        while self.heap.now < deadline:
            self._advance(min(self.heap.now + CHECK_EVERY_NS, deadline))
            problem = self._unfinished()
            if not problem:
                return
        self.fail("liveness", "liveness", f"{(deadline - began) / 10**9:.1f} s {what}: {problem}", "")

    def _bound_ns(self) -> int:
        """LV1 for what is pending, then LV1 again for what it leads to: (f+1) * (T_CAP + 8 * delay) each.

        A liar that may have the chair and pass work over is left there for REQ_MS (P132).
        """
        text = self.scenario.expect.liveness.within
        if text:
            return duration_ns(text, "expect.liveness.within")
        delta = self._policy().delay_ns * 3
        f = tolerated(len(self.league.firms))
        params = self.league.params
        over = sum(isinstance(one.behaviour, Attacker) and one.behaviour.passes_over for one in self.daemons)
        patience_ns = over * max(params.req_ms, params.t_cap_ms) * MS
        return 2 * (f + 1) * (params.t_cap_ms * MS + 8 * delta) + patience_ns + SETTLE_NS

    def _unfinished(self) -> str:
        """Return what is still wrong, or "".

        While nothing waits to be committed, up to f members may be a view ahead: they were lured there and follow by
        certificates (LV2). All that run have the same executed height, and nothing is pending.
        """
        if self.clients.pending:
            return f"{self.clients.pending} transactions are pending, first {self.clients.describe_pending()}"
        heights: dict[int, None] = {}
        views: dict[int, int] = {}
        for daemon in self.daemons:
            if not daemon.honest or daemon.core is None or not daemon.votes:
                continue
            state = daemon.replica_state
            if state is None:
                return f"{daemon.name} has not started"
            heights[daemon.store.view.height] = None
            if state.mode is Mode.NORMAL:
                views[state.view] = views.get(state.view, 0) + 1
            elif state.mode is not Mode.CHANGING and daemon.voting and not (daemon.silenced or daemon.damaged):
                return f"{daemon.name} is {state.mode.name}"
            work = max(state.tip.work_height, state.scheduled)
            if work > state.tip.exec_height:
                return f"{daemon.name} has results of height {work} that no header certifies (LV6)"
            if 0 < state.due_ms <= daemon.clock.wall_ms(self.heap.now):
                return f"{daemon.name} knows schedule entries that are due since {state.due_ms} ms (L56)"
        if len(heights) > 1:
            return f"executed heights differ: {sorted(heights)}"
        together = max(views.values(), default=0)
        if together + self._faulty() < self._members().q:
            return f"only {together} honest members are in one view: {dict(sorted(views.items()))}"
        return ""

    def _faulty(self) -> int:
        """Return how many members lie or have lost their vote."""
        members = self._members().company_ids
        lost = {d.firm for d in self.daemons if d.honest and (d.damaged or d.silenced or not d.voting)}
        liars = {firm.index for firm in self.league.everyone if self.view.byzantine_mask >> firm.index & 1}
        return sum(self.league.everyone[firm].company_id in members for firm in lost | liars)

    def _members(self) -> Membership:
        """Return who decides now: the members of the latest epoch that an honest node lives in."""
        states = [daemon.replica_state for daemon in self.daemons if daemon.honest]
        return self.view.epochs[max((state.members.epoch for state in states if state is not None), default=0)]

    def _expectations(self) -> None:
        expect = self.scenario.expect
        for name, goal, value in (
            ("view_changes", expect.view_changes, len(self.measures.views_left)),
            ("committed", expect.committed, self.clients.figures.committed),
            ("height", expect.height, self.measures.height),
            ("epochs", expect.epochs, self.view.epoch_of(self.measures.height).epoch),
            ("halted", expect.halted, sum(daemon.halt is not None for daemon in self.daemons)),
            ("snapshots", expect.snapshots, sum(daemon.snapshots for daemon in self.daemons)),
            ("verifications", expect.verifications, self.measures.verifications_per_block),
        ):
            if goal and not compare(value, goal, f"expect.{name}"):
                self.fail("expectation", name, f"{value} is not {goal}", "")
        for name, words, known in (
            ("charged", expect.charged, self.measures.charged),
            ("counted", expect.counted, self.measures.counted),
        ):
            for word in words:
                for daemon in self.daemons:
                    if daemon.honest and daemon.votes and daemon.firm not in known.get(word, {}):
                        self.fail("expectation", name, f"{daemon.name} never {name} {word!r}", daemon.name)

    # -- building --------------------------------------------------------------------------------------------------

    def _twins(self) -> list[int]:
        """Return the member indexes that run as twins from the start."""
        wanted = {self.resolve(a.node) for a in self.scenario.at if isinstance(a, Byzantine) and a.behaviour == TWINS}
        return [firm.index for firm in self.league.firms if firm.name in wanted]

    def _random_faults(self) -> list[Action]:
        """Return what `random_faults` of the scenario stands for with this seed."""
        drawn: list[Action] = []
        members = tuple(firm.name for firm in self.league.firms)
        liars = [firm.name for firm in self.league.firms if self.view.byzantine_mask >> firm.index & 1]
        for position, entry in enumerate(self.scenario.random_faults):
            rng = self.streams[f"faults/{position}"]
            field = f"random_faults[{position}]"
            drawn += expand(entry, field, rng, members, liars, tolerated(len(members)), self._run_ns)
        return drawn

    def _announce_byzantine(self) -> None:
        """Tell checkers from the start whom not to trust, and refuse scenarios with too many (M29)."""
        liars: dict[str, None] = {}
        for position, action in enumerate(self.scenario.at):
            if isinstance(action, Byzantine):
                if action.behaviour != TWINS and action.behaviour not in BEHAVIOURS:
                    known = ", ".join(sorted([*BEHAVIOURS, TWINS]))
                    raise InvalidScenario(f"at[{position}].behaviour", f"{action.behaviour!r} is none of {known}")
                liars[self.resolve(action.node)] = None
            elif isinstance(action, (LostCommit, BitRot)):
                liars[self.resolve(action.node)] = None
        f = tolerated(len(self.league.firms))
        wiped = {
            self.resolve(action.node)
            for action in self.scenario.at
            if isinstance(action, (WipeDisk, RestoreBackup, JournalDamage))
            and getattr(action, "part", "both") != "blocks"
        } - liars.keys()
        count = len(liars) + len(wiped)
        if count > f and not self.scenario.allow_excess_faults:
            raise InvalidScenario(
                "at", f"{count} members lie or lose their vote, f is {f}: set allow_excess_faults = true"
            )
        for name in liars:
            self.view.byzantine_mask |= 1 << self.league.by_name(name).index

    def _mark(self, daemon: Daemon) -> None:
        daemon.honest = False
        self.view.byzantine_mask |= 1 << daemon.firm

    def _daemon(self, surroundings: Surroundings, slot: int, index: int, name: str) -> Daemon:
        time, rng = self.scenario.time, self.streams[f"clock/{name}"]
        spread = duration_ns(time.skew, "time.skew") // MS
        skew = rng.between(-spread, spread) if spread else 0
        drift = rng.between(-time.drift_ppm, time.drift_ppm) * 1000 if time.drift_ppm else 0
        clock = NodeClock(_start_ms(time.start), mono_offset_ns=rng.below(10**9), skew_ms=skew, drift_ppb=drift)
        firm = self.league.everyone[index]
        signers = {
            key.public_key: Signer(self.oracle.handle(key), surroundings.digests)
            for key in (firm.consensus_key, firm.next_key)
        }
        return Daemon(
            surroundings,
            slot=slot,
            firm=index,
            name=name,
            clock=clock,
            signers=signers,
            genesis=self.league.genesis,
            view=self.league.state,
            disk_rng=self.streams[f"disk/{name}"],
            pipelined=self.scenario.disk.pipelined,
            disorder=self.scenario.shell.disorder,
            late_ns=duration_ns(self.scenario.shell.late_blocks, "shell.late_blocks"),
            shelf=Shelf(self.scenario.disk.snapshot_every),
            ends=Ends(trust_genesis(self.league.document), self.oracle.verify),
            replay_blocks=self.scenario.disk.replay_blocks,
            index_entries=self._index_entries,
        )

    def _index_entries(self, state: MemoryState) -> Iterable[tuple[bytes, bytes]]:
        runtime = self.league.runtime
        return runtime.at(state, state.height).index_entries(state) if isinstance(runtime, Programs) else ()

    def _policy(self) -> LinkPolicy:
        network = self.scenario.network
        delay = {"lan": 500_000, "star": 5_000_000, "ring": 5_000_000, "wan:global": 100_000_000}
        return LinkPolicy(
            delay_ns=delay.get(network.topology, 15_000_000),
            jitter=_jitter(network.jitter),
            loss_ppm=ppm(network.loss, "network.loss"),
            duplicate_ppm=ppm(network.duplicate, "network.duplicate"),
            reorder_ppm=ppm(network.reorder, "network.reorder"),
            reorder_ns=1_000_000_000,
        )

    def _topology(self) -> None:
        """Give links between regions, or between spokes, their own delay."""
        topology = self.scenario.network.topology
        kind, _, regions = topology.partition(":")
        if kind == "lan" or topology == "wan:global":
            return
        for a in self.daemons:
            for b in self.daemons:
                if a.firm == b.firm:
                    continue
                hops = 1
                if kind == "wan":
                    hops = 1 + 4 * (a.firm % int(regions) != b.firm % int(regions))
                elif kind == "star":
                    hops = 1 if 0 in (a.firm, b.firm) else 2
                elif kind == "ring":
                    n = len(self.league.everyone)
                    hops = min((a.firm - b.firm) % n, (b.firm - a.firm) % n)
                if hops > 1:
                    self.net.slow(a.slot, b.slot, delay_ns=self.net.default.delay_ns * hops)

    # -- wiring ----------------------------------------------------------------------------------------------------

    def _process_changed(self, daemon: Daemon) -> None:
        if self.daemons and len(self.daemons) > daemon.slot and hasattr(self, "peering"):
            self.peering.process_changed(daemon)

    def _raised(self, daemon: Daemon, error: Exception, event: nv.NodeEvent) -> None:
        where = error.__traceback__
        place = ""
        while where is not None:
            place = f"{where.tb_frame.f_code.co_filename.rsplit('/', 3)[-1]}:{where.tb_lineno}"
            where = where.tb_next
        detail = f"{type(event).__name__} raised {type(error).__name__}: {error} ({place})"
        self.fail("safety", "never_raises", detail, daemon.name)

    def _result(self) -> RunResult:
        clients, measures = self.clients.figures, self.measures
        n = len(self.league.firms)
        violation = self._violation
        liars = [firm.name for firm in self.league.firms if self.view.byzantine_mask >> firm.index & 1]
        return RunResult(
            scenario=self.scenario,
            seed=self.seed,
            verdict="ok" if violation is None else violation.verdict,
            violation=violation,
            trace=self.trace.hexdigest(),
            fidelity=self.scenario.fidelity,
            n=n,
            f=tolerated(n),
            q=quorum(n),
            height=measures.height,
            transactions=measures.transactions,
            events=self.heap.popped,
            deliveries=self.net.messages,
            sent_bytes=self.net.bytes,
            view_changes=len(measures.views_left),
            virtual_ns=self.heap.now,
            healed_after_ns=self._phase.done_ns - self._phase.began_ns if self._phase.done_ns >= 0 else -1,
            submitted=clients.submitted,
            committed=clients.committed,
            failed=clients.failed,
            refused=clients.refused,
            pending=self.clients.pending,
            latency_ns=tuple(measures.latencies_ns),
            client_latency_ns=tuple(clients.latencies_ns),
            blocks=tuple(measures.blocks),
            by_type=dict(sorted(self.net.by_type.items())),
            reports=dict(sorted(measures.reports.items())),
            faults=tuple(self.faults.performed),
            byzantine=tuple(liars),
            machine=self._surroundings.costs.machine,
        )


def compare(value: int, goal: str, field_name: str) -> bool:
    """Tell whether `value` meets a goal such as `>= 100`.

    >>> compare(3, "<= 4", "x"), compare(0, "= 1", "x")
    (True, False)
    """
    sign, _, limit = goal.strip().partition(" ")
    try:
        bound = Decimal(limit)
    except ArithmeticError:
        raise InvalidScenario(field_name, f"{goal!r} is not a goal such as '>= 100'") from None
    match sign:
        case "=":
            return value == bound
        case "<=":
            return value <= bound
        case ">=":
            return value >= bound
        case "<":
            return value < bound
        case ">":
            return value > bound
        case _:
            raise InvalidScenario(field_name, f"{goal!r} is not a goal such as '>= 100'")


def _jitter(text: str) -> tuple[int, ...]:
    kind, _, value = text.partition(":")
    try:
        if kind == "none":
            return ()
        if kind == "exponential":
            return exponential()
        if kind == "uniform":
            return uniform(Decimal(value))
        if kind == "lognormal":
            return lognormal(Decimal(value))
    except ArithmeticError:
        pass
    raise InvalidScenario("network.jitter", f"{text!r} is none of none, exponential, uniform:SPREAD, lognormal:SIGMA")


def _start_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidScenario("time.start", f"{text!r} is not a time such as 2026-09-28T08:00:00Z") from None
    if moment.tzinfo is None:
        raise InvalidScenario("time.start", "the time needs a zone, for example Z")
    return int(moment.timestamp()) * 1000


__all__ = ["World", "RunResult"]
