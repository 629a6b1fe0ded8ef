"""A compiler that forgets a refusal, a demand, a range test or a charge is noticed (K57).

Calls are recorded once, from the tests of a program and at random, and replayed on the intact program and on each
mutant of its IR. A mutant that answers every call alike survives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import fields, replace

from contracts import ir
from contracts.host import Call, Outcome
from contracts.runtime import Program, link, load, program
from contracts.testing import run_tests
from ledger.money import ISO_4217
from tests.language.calls import random_calls
from tests.language.hosts import GAS, Delegate, DictHost

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.contract"))
EQUIVALENT = {
    "arithmetic": {
        "range test of line 15 dropped": "the result is 1 whatever the argument",
    },
    "containers": {
        "range test of line 78 dropped": "n is above 100 there",
        "require of line 79 dropped": "it says that a copy is a copy, which it is",
        "range test of line 85 dropped": "i is at most 5",
    },
    "ensures": {"range test of line 16 dropped": "one of two: the count of moves starts at 0"},
    "rates": {
        "range test of line 48 dropped": "parts of an amount add up to no more than it",
        "require of line 49 dropped": "it says that parts add up, which they do",
        "range test of line 50 dropped": "the difference is 0 or 1",
        "range test of line 66 dropped": "a year has four digits",
        "range test of line 77 dropped": "less is at most 1.01 of the amount, with its sign",
    },
    "schedules": {
        "range test of line 28 dropped": "reminders are at most 2",
        "comparison of line 33 changed": "reminders are at most 2",
        "range test of line 41 dropped": "it counts days",
    },
    "dates_and_texts": {"comparison of line 28 changed": "one of two: no block has height 0"},
    "tables": {
        "range test of line 54 dropped": "the difference is 0 or 1",
        "range test of line 64 dropped": "the second of two; the same key was tested in the line before",
    },
}
"""Mutants that mean the same, with the reason."""

MOST = 2**63 - 1
EDGES: dict[str, list[tuple[str, tuple[Any, ...]]]] = {
    "rates": [
        *[("by_rule", (("EUR", MOST), 30_000, rule)) for rule in ("up", "even", "down")],
        ("by_rule", (("EUR", 250), 100, "up")),
        ("interest", (("EUR", 365), 500_000, "2026-01-01", "2026-01-02")),
        ("counted", (("EUR", 360), 500_000, "2026-01-01", "2026-01-02")),
        ("counted", (("EUR", 365), 500_000, "2026-01-01", "2026-01-02")),
        ("counted", (("EUR", MOST), 1_000_000, "2026-01-01", "2026-12-29")),
        ("counted", (("EUR", MOST), 1_000_000, "2026-01-01", "2027-12-29")),
        ("mixed", (0, 0, 2_000)),
        ("above", (("EUR", 500), ("EUR", 10_000))),
        ("far", (("EUR", 100), ("EUR", 600))),
    ],
    "containers": [("changed", ((95, 2), 0)), ("by_text", (("abcdefgh", "12345678"),))],
}
"""Queries at the edge of a rule, which random arguments meet too seldom."""

Recorded = tuple[str, str, str, tuple[Any, ...], bool, Any, dict[bytes, bytes]]


def mutants(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield (what was changed, changed node) for every single change inside a tree of IR."""
    match node:
        case ir.Require():
            yield f"require of line {node.line} dropped", ir.Pass(node.line)
            flipped = replace(node, condition=ir.Not(node.condition.type, 0, node.condition))
            yield f"require of line {node.line} flipped", flipped
        case ir.Ensure():
            always = ir.Const(node.condition.type, 0, True)
            yield f"ensure of line {node.line} dropped", replace(node, condition=always)
            flipped = replace(node, condition=ir.Not(node.condition.type, 0, node.condition))
            yield f"ensure of line {node.line} flipped", flipped
        case ir.Round(mode=mode):
            other = {"half_up": "half_even", "half_even": "down", "down": "half_up"}[mode]
            yield f"rounding of line {node.line} changed", replace(node, mode=other)
        case ir.Copy(own=False):
            yield f"copy of line {node.line} dropped", node.of
        case ir.Loop():
            yield f"loop of line {node.line} dropped", ir.Pass(node.line)
        case ir.Fit():
            yield f"range test of line {node.line} dropped", node.value
        case ir.Charge():
            yield f"charge of line {node.line} dropped", replace(node, units=0)
        case ir.EachInvariant():
            yield f"invariant of line {node.line} dropped", replace(node, condition=ir.Not(
                node.condition.type, 0, ir.Const(node.condition.type, 0, False)))  # fmt: skip
        case ir.Compare(op=op) | ir.RatioCompare(op=op):
            other = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}[op]
            yield f"comparison of line {node.line} changed", replace(node, op=other)
        case ir.Routine() if node.demands:
            for at in range(len(node.demands)):
                rest = node.demands[:at] + node.demands[at + 1 :]
                yield f"demand {at} of {node.name} dropped", replace(node, demands=rest)
    if isinstance(node, tuple):
        for at, item in enumerate(node):
            for what, changed in mutants(item):
                yield what, (*node[:at], changed, *node[at + 1 :])
    elif isinstance(node, ir.Node):
        for part in fields(node):
            for what, changed in mutants(getattr(node, part.name)):
                yield what, replace(node, **{part.name: changed})


def play(linked: Program, call: Recorded) -> tuple[Outcome, dict[bytes, bytes]]:
    kind, contract, method, args, by_contract, original, before = call
    host = Delegate(original, dict(before))
    if kind == "schedule":
        outcome = linked.fire(Call("schedule", contract, method, args), host, GAS)
    else:
        outcome = linked._call(kind, contract, method, args, host, GAS, by_contract)
    return outcome, ({} if outcome.abort is not None else host.state)


def recorded(monkeypatch: pytest.MonkeyPatch, run: Any) -> list[Recorded]:
    """Return every call that `run()` makes."""
    calls: list[Recorded] = []
    plain = Program._call

    def note(
        self: Program, kind: str, contract: str, method: str, args: Any, host: Any, gas: int, by_contract: bool = False
    ) -> Any:
        held = host.state if hasattr(host, "state") else dict(host._state.writes())
        before = {key: value for key, value in held.items() if value is not None}
        calls.append((kind, contract, method, tuple(args), by_contract, host, before))
        return plain(self, kind, contract, method, args, host, gas, by_contract)

    fire = Program.fire

    def note_fire(self: Program, call: Call, host: Any, gas: int) -> Any:
        before = {key: value for key, value in dict(host._state.writes()).items() if value is not None}
        calls.append(("schedule", call.contract, call.method, call.args, False, host, before))
        return fire(self, call, host, gas)

    with monkeypatch.context() as patch:
        patch.setattr(Program, "_call", note)
        patch.setattr(Program, "fire", note_fire)
        run()
    return calls


def _alike(changed: Program, call: Recorded, answer: tuple[Outcome, dict[bytes, bytes]]) -> bool:
    """Tell whether a mutant answers like the intact program; a number that no longer fits its field is noticed too."""
    try:
        return play(changed, call) == answer
    except OverflowError:
        return False


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_k57_every_mutant_is_noticed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, name = path.read_bytes(), path.stem

    def scenario() -> None:
        run_tests(source, [], ISO_4217)
        for seed in range(4):
            random_calls([(name, source)], seed, 250)
        for method, args in EDGES.get(name, ()):
            program([(name, source)], ISO_4217).query(name, method, args, DictHost(), GAS)

    calls = recorded(monkeypatch, scenario)
    code = load(source, {}, ISO_4217)
    intact = link({name: code})
    wanted = [play(intact, call) for call in calls]
    survivors = []
    count = 0
    for what, module in mutants(code.module):
        count += 1
        changed = link({name: with_fields(code, module=module)})
        if all(_alike(changed, call, answer) for call, answer in zip(calls, wanted, strict=True)):
            survivors.append(what)
    assert count >= 15
    assert survivors == list(EQUIVALENT.get(name, {}))
