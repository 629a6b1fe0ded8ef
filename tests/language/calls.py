"""Random calls of a program, made by the closures and by the tree walker side by side."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from contracts.runtime import program
from contracts.testing import user_id
from contracts.types import Type, parts_of
from contracts.values import Names
from tests.language.hosts import ACME, BANK, BETA, CURRENCIES, GAS, DictHost, reference_of, same, signer


def argument(kind: Type, names: Names, rng: random.Random, ids: list[str]) -> Any:
    """Return a random wire value, with the edges of its type among them."""
    match kind.kind:
        case "int":
            return rng.choice(
                [0, 1, 2, 3, -1, 5, 7, 99, 2**63 - 1, -(2**63 - 1), 3_037_000_500, 100_000, rng.randrange(100)]
            )
        case "bool":
            return rng.random() < 0.5
        case "text":
            choices = ["", "a", "b", "ab", "x" * kind.size, "\u4e2d\u6587"[: kind.size], *ids]
            return rng.choice([item for item in choices if len(item) <= kind.size])
        case "money":
            return (
                rng.choice(["EUR", "EUR", "JPY"]),
                rng.choice([0, 1, 100, 250, -100, 2**63 - 1, rng.randrange(500)]),
            )
        case "currency":
            return rng.choice(["EUR", "JPY"])
        case "date":
            return rng.choice(["2026-01-01", "2026-01-02", "2026-03-05", "0001-01-01", "9999-12-31", "2024-02-29"])
        case "enum":
            return rng.choice(names.enums[kind.contract, kind.name])
        case "rate":
            one = 10**kind.size
            return rng.choice([0, 1, one, one // 2, -one, 2**63 - 1, rng.randrange(one), one // 20])
        case "option":
            return None if rng.random() < 0.4 else argument(parts_of(kind)[0], names, rng, ids)
        case "list":
            size = min(kind.size, rng.choice([0, 1, 2, 3, kind.size]))
            return tuple(argument(parts_of(kind)[0], names, rng, ids) for _ in range(size))
        case "record":
            return tuple(argument(part, names, rng, ids) for part in names.records[kind.contract, kind.name])
        case "user":
            return user_id(ACME, "preparer")
    return rng.choice([ACME, BETA, BANK])


def random_calls(
    sources_: list[tuple[str, bytes]],
    seed: int,
    count: int,
    kept: dict[bytes, bytes] | None = None,
    seen: Callable[[Any], None] | None = None,
) -> tuple[int, int]:
    """Make random calls on both; return (calls that succeeded, calls that aborted). `kept` is the state, in and out.

    `seen` is given each outcome of the closures, and the state that a success leaves.
    """
    rng = random.Random(seed)
    linked = program(sources_, CURRENCIES)
    walker = reference_of(linked, CURRENCIES)
    state: dict[bytes, bytes] = {} if kept is None else dict(kept)
    ids: list[str] = []
    done = [0, 0]
    methods = [
        (name, kind, method, schema)
        for name, interface in linked.interfaces.items()
        for kind, found in (("action", interface.actions), ("query", interface.queries))
        for method, schema in found.items()
    ]
    for number in range(count):
        name, kind, method, schema = rng.choice(methods)
        names = linked.interfaces[name].names()
        args = tuple(argument(item.spec, names, rng, ids) for item in schema.params)
        every = "preparer+approver+treasurer+risk_officer+controller"
        people = [(signer(company, word), every) for company in (ACME, BETA, BANK) for word in ("preparer", "approver")]
        rng.shuffle(people)
        signers = people[: rng.randrange(1, 7)]
        day, tx_id = rng.choice([739_679, 739_600 + rng.randrange(200)]), number.to_bytes(32, "big")
        mine, other = (DictHost(dict(state), signers, day, tx_id) for _ in range(2))
        by_contract = schema.callers is not None
        outcome = linked._call(kind, name, method, args, mine, GAS, by_contract)
        assert same(outcome, walker, (name, method, args, by_contract), other) == "", (seed, number, name, method, args)
        assert outcome.gas_used <= schema.worst_gas, (
            f"{name}.{method} used {outcome.gas_used}, printed {schema.worst_gas}"
        )
        done[outcome.abort is not None] += 1
        if seen is not None:
            seen((outcome, sorted(mine.state.items()) if outcome.abort is None else ()))
        if outcome.abort is None:
            assert mine.state == other.state, (seed, number, name, method, args)
            state = mine.state
            if isinstance(outcome.result, str):
                ids = [*ids[-9:], outcome.result]
    if kept is not None:
        kept.clear()
        kept.update(state)
    return done[0], done[1]
