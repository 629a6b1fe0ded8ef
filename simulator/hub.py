"""Passes what daemons report to those who listen: checkers, clients, measures, the transcript.

For each hook only the objects that override it are called. Steps are by far the most frequent, and most of them can
break next to nothing: of a step only those hear that watch its event or one of its effects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from consensus.effects import Halt, Report
from node.core import effects as ne
from node.core import events as nv
from simulator.checkers import Checker
from simulator.execution import Executed

if TYPE_CHECKING:
    from simulator.daemon import Daemon


class Hub:
    """The `Monitor` of all daemons of a run."""

    def __init__(
        self,
        checkers: Sequence[Checker],
        answered: Callable[[ne.Answer], None],
        client_executed: Callable[[Daemon, Executed], None],
        process_changed: Callable[[Daemon], None],
        raised: Callable[[Daemon, Exception, nv.NodeEvent], None],
    ) -> None:
        self._answered = answered
        self._client_executed = client_executed
        self._process_changed = process_changed
        self._raised = raised
        self._hooks: dict[str, list[Callable[..., None]]] = {}
        for name in ("stepped", "durable", "sending", "stored", "executed", "started", "stopped", "halted", "reported"):
            base = getattr(Checker, name)
            self._hooks[name] = [getattr(c, name) for c in checkers if getattr(type(c), name) is not base]
        self._watchers: dict[type, int] = {}
        """Who of the hooks `stepped` watches a type of event or effect, as a mask."""
        self._all = 0
        for place, checker in enumerate(one for one in checkers if type(one).stepped is not Checker.stepped):
            if not checker.watches:
                self._all |= 1 << place
            for kind in checker.watches:
                self._watchers[kind] = self._watchers.get(kind, 0) | 1 << place
        self._called: dict[int, tuple[Callable[..., None], ...]] = {}
        """The hooks behind a mask, in their order."""
        self.durable = self._caller("durable")
        self.sending = self._caller("sending")
        self.stored = self._caller("stored")

    def stepped(self, daemon: Daemon, event: nv.NodeEvent, effects: list[ne.NodeEffect]) -> None:
        watchers = self._watchers
        mask = self._all | watchers.get(type(event), 0)
        for effect in effects:
            mask |= watchers.get(type(effect), 0)
        if mask:
            called = self._called.get(mask)
            if called is None:
                hooks = self._hooks["stepped"]
                called = self._called[mask] = tuple(hook for place, hook in enumerate(hooks) if mask >> place & 1)
            for hook in called:
                hook(daemon, event, effects)

    def _caller(self, name: str) -> Callable[..., None]:
        hooks = self._hooks[name]
        if len(hooks) == 1:
            return hooks[0]

        def call(*arguments: Any) -> None:
            for hook in hooks:
                hook(*arguments)

        return call

    def executed(self, daemon: Daemon, height: int, executed: Executed) -> None:
        for hook in self._hooks["executed"]:
            hook(daemon, height, executed)
        self._client_executed(daemon, executed)

    def answered(self, _daemon: Daemon, answer: ne.Answer) -> None:
        self._answered(answer)

    def halted(self, daemon: Daemon, halt: Halt) -> None:
        for hook in self._hooks["halted"]:
            hook(daemon, halt)

    def reported(self, daemon: Daemon, report: Report) -> None:
        for hook in self._hooks["reported"]:
            hook(daemon, report)

    def started(self, daemon: Daemon) -> None:
        for hook in self._hooks["started"]:
            hook(daemon)
        self._process_changed(daemon)

    def stopped(self, daemon: Daemon) -> None:
        for hook in self._hooks["stopped"]:
            hook(daemon)
        self._process_changed(daemon)

    def raised(self, daemon: Daemon, error: Exception, event: nv.NodeEvent) -> None:
        self._raised(daemon, error, event)


Listener = Checker
"""Measures and transcripts listen through the same hooks; they never fail a run."""
