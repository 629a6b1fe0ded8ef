"""What the tests of the language share: every call of a program made on both ways of running."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.runtime import Program
from ledger.money import ISO_4217
from tests.language.hosts import Delegate, reference_of, same
from tests.language.reference import Stop


@pytest.fixture
def differences(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make every call of every program run on the walker too; collect what differs, and count the calls first."""
    found: list[str] = ["0"]
    plain = Program._call

    def both(self: Program, kind: str, contract: str, method: str, args: Any, host: Any, gas: int, **more: Any) -> Any:
        before = {key: value for key, value in host._state.writes() if value is not None}
        outcome = plain(self, kind, contract, method, args, host, gas, **more)
        mirror = Delegate(host, dict(before))
        call = (contract, method, args, more.get("by_contract", False))
        problem = same(outcome, reference_of(self, dict(ISO_4217)), call, mirror)
        if not problem and outcome.abort is None:
            after = {key: value for key, value in host._state.writes() if value is not None}
            if after != mirror.state:
                problem = f"writes differ in {len(set(after.items()) ^ set(mirror.state.items()))} entries"
        if problem:
            found.append(f"{contract}.{method}{args}: {problem}")
        found[0] = str(int(found[0]) + 1)
        return outcome

    fire = Program.fire

    def both_fire(self: Program, call: Any, host: Any, gas: int) -> Any:
        before = {key: value for key, value in host._state.writes() if value is not None}
        outcome = fire(self, call, host, gas)
        mirror = Delegate(host, dict(before))
        try:
            events = reference_of(self, dict(ISO_4217)).fire(call.contract, call.method, call.args[0], mirror)
        except Stop as stop:
            if outcome.abort is None or (stop.code, stop.line) != (outcome.abort.code, outcome.abort.line):
                found.append(f"{call}: the walker aborts {stop.code} in {stop.line}, the closures {outcome.abort}")
            return outcome
        after = {key: value for key, value in host._state.writes() if value is not None}
        if outcome.abort is not None or events != outcome.events or after != mirror.state:
            found.append(
                f"{call}: {outcome.abort}, {events}, {outcome.events}, {set(after.items()) ^ set(mirror.state.items())}"
            )
        found[0] = str(int(found[0]) + 1)
        return outcome

    monkeypatch.setattr(Program, "_call", both)
    monkeypatch.setattr(Program, "fire", both_fire)
    return found
