"""Passes what daemons report to those who listen: checkers, clients, measures, the transcript.

For each hook only the objects that override it are called, so a hook nobody needs costs one empty loop.
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
        self.stepped = self._caller("stepped")
        self.durable = self._caller("durable")
        self.sending = self._caller("sending")
        self.stored = self._caller("stored")

    def _caller(self, name: str) -> Callable[..., None]:
        hooks = self._hooks[name]

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
