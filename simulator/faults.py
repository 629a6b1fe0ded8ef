"""Faults of the world (M28): what each timed action of a scenario does, and how it is undone.

One handler an action, `_do_<name>`; what lasts registers its undoing under a key, so that `for`, the matching undo
action and the healing at the start of the second phase all end it the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from simulator.clock import MS
from simulator.daemon import Daemon
from simulator.errors import InvalidScenario
from simulator.net import ANY, LinkPolicy
from simulator.scenario import schema as s
from simulator.scenario.units import duration_ns, ppm

if TYPE_CHECKING:
    from simulator.world import World

POWER_CUT_NS: Final = 1_000_000_000


class Faults:
    """Performs the actions of one run."""

    __slots__ = ("_actions", "_undo", "_world", "performed")

    def __init__(self, world: World) -> None:
        self._world = world
        self._actions: list[s.Action] = []
        self._undo: dict[str, Callable[[], None]] = {}
        self.performed: list[tuple[int, str]] = []

    def schedule(self, actions: tuple[s.Action, ...]) -> None:
        """Put all actions of the scenario on the time axis."""
        self._actions = list(actions)
        for position, action in enumerate(actions):
            self._world.heap.at(duration_ns(action.t, f"at[{position}].t"), self._perform, position)
            if isinstance(action, s.RestoreBackup):
                self._world.heap.at(duration_ns(action.taken, f"at[{position}].taken"), self._back_up, action)

    def exchange(self, position: int, action: s.Action) -> None:
        """Put another action in the place of one that is still to come, at the same moment and as long."""
        known = self._actions[position]
        if (known.t, known.lasts) != (action.t, action.lasts):
            raise InvalidScenario(f"at[{position}]", "an action in place of another has the same time and length")
        self._actions[position] = action

    def heal(self) -> None:
        """End every fault that lasts."""
        for key in list(self._undo):
            self._end(key)

    @property
    def active(self) -> tuple[str, ...]:
        return tuple(self._undo)

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of the faults that last now."""
        return tuple([key.partition(" ")[0] for key in self._undo]) if self._undo else ()

    def _perform(self, position: int) -> None:
        world, action = self._world, self._actions[position]
        if world.second_phase:
            return
        name = str(action.__struct_config__.tag)
        subject = getattr(action, "node", "") or getattr(action, "name", "") or getattr(action, "source", "")
        world.note_fault(name, subject)
        self.performed.append((world.heap.now, f"{name} {subject}".strip()))
        key = _HANDLERS[type(action)](self, action)
        if action.lasts and key:
            world.heap.at(world.heap.now + duration_ns(action.lasts, "for"), self._end, key)

    def _end(self, key: str) -> None:
        undo = self._undo.pop(key, None)
        if undo is not None:
            self._world.note_fault("end", key)
            undo()

    def _keep(self, key: str, undo: Callable[[], None]) -> str:
        """Register `undo`; an equal fault that still lasts is ended first."""
        self._end(key)
        self._undo[key] = undo
        return key

    def _daemons(self, name: str) -> list[Daemon]:
        wanted = self._world.resolve(name)
        return [daemon for daemon in self._world.daemons if wanted in ("*", daemon.name)]

    # -- processes -------------------------------------------------------------------------------------------------

    def _do_crash(self, action: s.Crash) -> str:
        daemons = self._daemons(action.node)
        key = f"crash {action.node}"
        for daemon in daemons:
            if action.point and daemon.up:
                daemon.crash_point = action.point
                daemon.crash_commit = action.commit
                daemon.restart_ns = duration_ns(action.lasts, "for") if action.commit and action.lasts else 0
            else:
                daemon.crash()

        def back() -> None:
            for daemon in daemons:
                daemon.crash_point = ""
                self._world.start(daemon)

        if action.commit:  # when it ends is not known yet, so `for` counts from there
            return ""
        return self._keep(key, back)

    def _do_restart(self, action: s.Restart) -> str:
        if f"crash {action.node}" in self._undo:
            self._end(f"crash {action.node}")
            return ""
        for daemon in self._daemons(action.node):
            daemon.crash()
            self._world.start(daemon)
        return ""

    def _do_crash_loop(self, action: s.CrashLoop) -> str:
        every = duration_ns(action.every, "every")
        key = f"crash_loop {action.node}"
        daemons = self._daemons(action.node)

        def again(_: object) -> None:
            if key in self._undo:
                for daemon in daemons:
                    daemon.crash()
                    self._world.start(daemon)
                self._world.heap.at(self._world.heap.now + every, again)

        self._keep(key, lambda: None)
        self._world.heap.at(self._world.heap.now, again)
        return key

    def _do_power_cut(self, action: s.PowerCut) -> str:
        daemons = list(self._world.daemons)
        for daemon in daemons:
            daemon.crash()

        def back() -> None:
            for daemon in daemons:
                self._world.start(daemon)

        key = self._keep("power_cut", back)
        if not action.lasts:
            self._world.heap.at(self._world.heap.now + POWER_CUT_NS, self._end, key)
        return key

    def _do_pause(self, action: s.Pause) -> str:
        daemons = self._daemons(action.node)
        for daemon in daemons:
            daemon.pause(True)

        def go_on() -> None:
            for daemon in daemons:
                daemon.pause(False)

        return self._keep(f"pause {action.node}", go_on)

    def _do_resume(self, action: s.Resume) -> str:
        self._end(f"pause {action.node}")
        return ""

    def _do_slow_cpu(self, action: s.SlowCpu) -> str:
        daemons = self._daemons(action.node)

        def pace(factor: int) -> None:
            for daemon in daemons:
                daemon.executor.slowness = factor
                if action.part == "all":
                    daemon.cpu.slowness = daemon.verifier.slowness = factor

        pace(action.factor)
        return self._keep(f"slow_cpu {action.part} {action.node}", lambda: pace(1))

    # -- disks -----------------------------------------------------------------------------------------------------

    def _do_slow_disk(self, action: s.SlowDisk) -> str:
        daemons = self._daemons(action.node)

        def pace(factor: int) -> None:
            for daemon in daemons:
                daemon.blocks_slowness = factor
                if action.part == "all":
                    daemon.journal_slowness = factor

        pace(action.factor)
        return self._keep(f"slow_disk {action.part} {action.node}", lambda: pace(1))

    def _do_io_error(self, action: s.IoError) -> str:
        daemons = self._daemons(action.node)
        for daemon in daemons:
            daemon.write_error = True

        def repaired() -> None:
            for daemon in daemons:
                daemon.write_error = False
                self._world.start(daemon)

        return self._keep(f"io_error {action.node}", repaired)

    def _do_torn_commit(self, action: s.TornCommit) -> str:
        return self._do_crash(s.Crash(t=action.t, lasts=action.lasts, node=action.node, point="inside"))

    def _do_lost_commit(self, action: s.LostCommit) -> str:
        for daemon in self._daemons(action.node):
            daemon.journal.save()
            daemon.store.save()
            self._world.mark_faulty(daemon)
            daemon.lying_disk = True
        return ""

    def _do_wipe_disk(self, action: s.WipeDisk) -> str:
        for daemon in self._daemons(action.node):
            daemon.wipe()
            self._world.start(daemon)
        return ""

    def _back_up(self, action: s.RestoreBackup) -> None:
        for daemon in self._daemons(action.node):
            daemon.journal.save()
            daemon.store.save()

    def _do_restore_backup(self, action: s.RestoreBackup) -> str:
        for daemon in self._daemons(action.node):
            daemon.restore(action.part)
            self._world.start(daemon)
        return ""

    def _do_journal_damage(self, action: s.JournalDamage) -> str:
        for daemon in self._daemons(action.node):
            daemon.damage(action.how)
            self._world.start(daemon)
        return ""

    def _do_bit_rot(self, action: s.BitRot) -> str:
        for daemon in self._daemons(action.node):
            self._world.mark_faulty(daemon)
            daemon.rot()
        return ""

    # -- links -----------------------------------------------------------------------------------------------------

    def _do_partition(self, action: s.Partition) -> str:
        groups = self._groups(action.groups)
        paths: list[tuple[int, int]] = []
        for i, group in enumerate(groups):
            for j, other in enumerate(groups):
                if i != j and (not action.one_way or i == 0):
                    paths += [(a, b) for a in group for b in other]
        return self._cut(f"partition {action.name}", paths)

    def _do_heal(self, action: s.Heal) -> str:
        for kind in ("partition", "bridge"):
            self._end(f"{kind} {action.name}")
        return ""

    def _do_bridge(self, action: s.Bridge) -> str:
        joint = {daemon.slot for daemon in self._daemons(action.node)}
        rest = [daemon.slot for daemon in self._world.daemons if daemon.slot not in joint]
        half = len(rest) // 2
        left, right = rest[:half], rest[half:]
        paths = [(a, b) for a in left for b in right]
        return self._cut(f"bridge {action.name}", paths + [(b, a) for a, b in paths])

    def _do_hold(self, action: s.Hold) -> str:
        net = self._world.net
        paths = self._paths(action.source, action.target)
        for path in paths:
            net.hold(*path)

        def let_go() -> None:
            for path in paths:
                net.release(*path)

        return self._keep(f"hold {action.source} {action.target}", let_go)

    def _do_release(self, action: s.Release) -> str:
        self._end(f"hold {action.source} {action.target}")
        return ""

    def _do_slow_link(self, action: s.SlowLink) -> str:
        net = self._world.net
        delay = duration_ns(action.delay, "delay")
        paths = self._paths(action.source, action.target)
        for path in paths:
            net.slow(*path, delay_ns=delay)

        def back() -> None:
            for path in paths:
                net.restore(*path)

        return self._keep(f"slow_link {action.source} {action.target}", back)

    def _do_flap(self, action: s.Flap) -> str:
        world, every = self._world, duration_ns(action.every, "every")
        paths = self._paths(action.source, action.target)
        paths += [(b, a) for a, b in paths]
        key = f"flap {action.source} {action.target}"
        cut = [False]

        def turn(_: object) -> None:
            if key not in self._undo:
                return
            self._switch(paths, cut=not cut[0])
            cut[0] = not cut[0]
            world.heap.at(world.heap.now + every, turn)

        self._keep(key, lambda: self._switch(paths, cut=False) if cut[0] else None)
        world.heap.at(world.heap.now, turn)
        return key

    def _do_loss(self, action: s.Loss) -> str:
        return self._everywhere("loss", loss_ppm=ppm(action.share, "share"))

    def _do_duplicate(self, action: s.Duplicate) -> str:
        return self._everywhere("duplicate", duplicate_ppm=ppm(action.share, "share"))

    def _do_reorder(self, action: s.Reorder) -> str:
        late = duration_ns(action.late, "late")
        return self._everywhere("reorder", reorder_ppm=ppm(action.share, "share"), reorder_ns=late)

    def _do_drop_type(self, action: s.DropType) -> str:
        first, second = (ANY if name == "*" else self._daemons(name)[0].slot for name in (action.source, action.target))
        paths = self._world.net.dropped_types.setdefault(action.message, [])
        paths.append((first, second))

        def back() -> None:
            if (first, second) in paths:
                paths.remove((first, second))

        return self._keep(f"drop_type {action.message} {action.source} {action.target}", back)

    # -- clocks ----------------------------------------------------------------------------------------------------

    def _do_clock_skew(self, action: s.ClockSkew) -> str:
        by_ms = duration_ns(action.by, "by") // MS
        self._jump(action.node, by_ms)
        return self._keep(f"clock_skew {action.node}", lambda: self._jump(action.node, -by_ms))

    def _do_clock_jump(self, action: s.ClockJump) -> str:
        by_ms = duration_ns(action.by, "by") // MS
        self._jump(action.node, by_ms)
        return self._keep(f"clock_jump {action.node}", lambda: self._jump(action.node, -by_ms))

    def _do_clock_drift(self, action: s.ClockDrift) -> str:
        def pace(ppb: int) -> None:
            for daemon in self._daemons(action.node):
                daemon.clock.drift(self._world.heap.now, ppb)

        pace(action.ppm * 1000)
        return self._keep(f"clock_drift {action.node}", lambda: pace(0))

    def _do_clock_freeze(self, action: s.ClockFreeze) -> str:
        daemons, heap = self._daemons(action.node), self._world.heap
        for daemon in daemons:
            daemon.clock.freeze(heap.now)

        def thaw() -> None:
            for daemon in daemons:
                daemon.clock.thaw(heap.now)

        return self._keep(f"clock_freeze {action.node}", thaw)

    # -- attackers -------------------------------------------------------------------------------------------------

    def _do_byzantine(self, action: s.Byzantine) -> str:
        daemons = self._daemons(action.node)
        for daemon in daemons:
            self._world.corrupt(daemon, action.behaviour)

        def honest_again() -> None:
            for daemon in daemons:
                daemon.behaviour = None

        key = f"byzantine {action.node}"
        if action.lasts:
            return self._keep(key, honest_again)
        return key

    # -- small parts -----------------------------------------------------------------------------------------------

    def _cut(self, key: str, paths: list[tuple[int, int]]) -> str:
        self._keep(key, lambda: self._switch(paths, cut=False))
        self._switch(paths, cut=True)
        return key

    def _switch(self, paths: list[tuple[int, int]], *, cut: bool) -> None:
        net = self._world.net
        for path in paths:
            if cut:
                net.cut(*path)
            else:
                net.mend(*path)
        self._world.peering.paths_changed()

    def _everywhere(self, key: str, **changes: Any) -> str:
        net = self._world.net
        before: LinkPolicy = net.default
        net.default = replace(before, **changes)

        def back() -> None:
            old = {name: getattr(before, name) for name in changes}
            net.default = replace(net.default, **old)

        return self._keep(key, back)

    def _groups(self, groups: tuple[tuple[str, ...], ...]) -> list[list[int]]:
        resolved = [[self._world.resolve(name) for name in group] for group in groups]
        named = {name for group in resolved for name in group if name != "*"}
        out: list[list[int]] = []
        for wanted in resolved:
            out.append(
                [
                    daemon.slot
                    for daemon in self._world.daemons
                    if daemon.name in wanted or ("*" in wanted and daemon.name not in named)
                ]
            )
        return out

    def _paths(self, source: str, target: str) -> list[tuple[int, int]]:
        return [(a.slot, b.slot) for a in self._daemons(source) for b in self._daemons(target) if a.firm != b.firm]

    def _jump(self, name: str, by_ms: int) -> None:
        for daemon in self._daemons(name):
            daemon.clock.jump(self._world.heap.now, by_ms)


_HANDLERS: Final[dict[type, Callable[[Faults, Any], str]]] = {
    s.Crash: Faults._do_crash,
    s.Restart: Faults._do_restart,
    s.CrashLoop: Faults._do_crash_loop,
    s.PowerCut: Faults._do_power_cut,
    s.Pause: Faults._do_pause,
    s.Resume: Faults._do_resume,
    s.SlowCpu: Faults._do_slow_cpu,
    s.SlowDisk: Faults._do_slow_disk,
    s.IoError: Faults._do_io_error,
    s.TornCommit: Faults._do_torn_commit,
    s.LostCommit: Faults._do_lost_commit,
    s.WipeDisk: Faults._do_wipe_disk,
    s.RestoreBackup: Faults._do_restore_backup,
    s.JournalDamage: Faults._do_journal_damage,
    s.BitRot: Faults._do_bit_rot,
    s.Partition: Faults._do_partition,
    s.Heal: Faults._do_heal,
    s.Bridge: Faults._do_bridge,
    s.Hold: Faults._do_hold,
    s.Release: Faults._do_release,
    s.SlowLink: Faults._do_slow_link,
    s.Flap: Faults._do_flap,
    s.Loss: Faults._do_loss,
    s.Duplicate: Faults._do_duplicate,
    s.Reorder: Faults._do_reorder,
    s.DropType: Faults._do_drop_type,
    s.ClockSkew: Faults._do_clock_skew,
    s.ClockJump: Faults._do_clock_jump,
    s.ClockDrift: Faults._do_clock_drift,
    s.ClockFreeze: Faults._do_clock_freeze,
    s.Byzantine: Faults._do_byzantine,
}
