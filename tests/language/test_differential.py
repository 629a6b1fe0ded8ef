"""Every program runs twice: as closures and by the plain tree walker. Outcome, events and writes are equal (K57)."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import SourceError
from contracts.library import sources
from contracts.runtime import Program, program
from contracts.testing import run_tests, user_id
from contracts.types import Type, parts_of
from contracts.values import Names
from ledger.money import ISO_4217
from tests.language.generator import make
from tests.language.hosts import ACME, BANK, BETA, CURRENCIES, GAS, Delegate, DictHost, reference_of, same, signer
from tests.language.reference import Stop

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.contract"))


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


@pytest.mark.parametrize("name", [name for name, _ in sources()])
def test_k57_library_programs_mean_the_same_on_both(name: str, differences: list[str]) -> None:
    texts = dict(sources())
    earlier = [(other, texts[other]) for other in list(texts)[: list(texts).index(name)]]
    report = run_tests(texts[name], earlier, ISO_4217)
    assert report.failed == 0
    assert differences[1:] == []
    assert int(differences[0]) > 3


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_language_programs_pass_and_mean_the_same_on_both(path: Path, differences: list[str]) -> None:
    report = run_tests(path.read_bytes(), [], ISO_4217)
    assert [result for result in report.results if not result.passed] == []
    assert differences[1:] == []


def _argument(kind: Type, names: Names, rng: random.Random, ids: list[str]) -> Any:
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
            return None if rng.random() < 0.4 else _argument(parts_of(kind)[0], names, rng, ids)
        case "list":
            size = min(kind.size, rng.choice([0, 1, 2, 3, kind.size]))
            return tuple(_argument(parts_of(kind)[0], names, rng, ids) for _ in range(size))
        case "record":
            return tuple(_argument(part, names, rng, ids) for part in names.records[kind.contract, kind.name])
        case "user":
            return user_id(ACME, "preparer")
    return rng.choice([ACME, BETA, BANK])


def _random_calls(
    sources_: list[tuple[str, bytes]], seed: int, count: int, kept: dict[bytes, bytes] | None = None
) -> tuple[int, int]:
    """Make random calls on both; return (calls that succeeded, calls that aborted). `kept` is the state, in and out."""
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
        args = tuple(_argument(item.spec, names, rng, ids) for item in schema.params)
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
        if outcome.abort is None:
            assert mine.state == other.state, (seed, number, name, method, args)
            state = mine.state
            if isinstance(outcome.result, str):
                ids = [*ids[-9:], outcome.result]
    if kept is not None:
        kept.clear()
        kept.update(state)
    return done[0], done[1]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_random_calls_agree(path: Path) -> None:
    """Also: no call uses more gas than the worst case that was printed (acceptance numbers)."""
    succeeded = sum(_random_calls([(path.stem, path.read_bytes())], seed, 250)[0] for seed in range(2))
    assert succeeded > 50


def test_random_calls_of_the_library_agree() -> None:
    succeeded, aborted = _random_calls(list(sources()), 1, 700)
    assert succeeded > 50
    assert aborted > 50


def _upgraded(source: bytes) -> bytes:
    """Return a next version: each table has one more field, filled from the older row, and every write gives it."""
    text = source.decode().replace("version 1", "version 2 replaces 1", 1)
    tables = re.findall(r"table (\w+) key [^\n]*\n    ([^\n]+)\n", text)
    for name, fields in tables:
        text = text.replace(f"    {fields}\n", f"    added: text(6), {fields}\n", 1)
        # a lift that cannot abort: the walker reads more rows than a scan looks at
        value = "row.k0" if re.search(rf"table {name} key \(?k0: text", text) else 'min("zz", max("a", "b"))'
        text = text.replace("event Seen", f"migrate {name}: added = {value}\nevent Seen", 1)
        text = re.sub(rf"(insert|put) {name}\(", rf'\1 {name}(added = "new", ', text)
    return text.encode()


def test_random_programs_agree_after_an_upgrade() -> None:
    """Rows of version 1 are read, changed and scanned by version 2, alike on both (L62)."""
    upgraded = lifted = 0
    for seed in range(60):
        source = make(seed)
        try:
            program([("generated", source)], CURRENCIES)
            program([("generated", source), ("generated", _upgraded(source))], CURRENCIES)
        except SourceError as error:
            assert error.code in REFUSALS, (seed, error)
            continue
        upgraded += 1
        state: dict[bytes, bytes] = {}
        _random_calls([("generated", source)], seed, 12, state)
        rows = sum(key[:1] == b"t" for key in state)
        _random_calls([("generated", source), ("generated", _upgraded(source))], seed + 1, 12, state)
        lifted += rows > 0
    assert upgraded > 40
    assert lifted > 10


REFUSALS = ("caller", "width", "worst_case", "limit", "depth", "no_caller", "unused")


def test_random_programs_agree() -> None:
    """Typed random programs: accepted or refused by name, and equal on both. `HANSA_FUZZ` sets how many."""
    count = int(os.environ.get("HANSA_FUZZ", "120"))
    accepted = calls = 0
    for seed in range(count):
        source = make(seed)
        try:
            accepted_one = program([("generated", source)], CURRENCIES)
        except SourceError as error:
            assert error.code in REFUSALS, (seed, error)
            continue
        del accepted_one
        accepted += 1
        calls += sum(_random_calls([("generated", source)], seed, 12))
    assert accepted > count // 2
    assert calls == 12 * accepted
