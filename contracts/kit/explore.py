"""Generated calls against what a contract promises (`hansa contract test --property`). Door: `explore`.

Sequences of calls, by signers who hold every role. A sequence begins with the calls of one of the contract's own tests,
up to a random place, so that it stands where the contract is used. Then come calls with random arguments: edges of
their types, values used before, or a call of a test with one argument changed. What is looked for: an action that only
an `invariant` or an `ensure` stops, because then no `require` says so to the person who calls; and arithmetic that
leaves its range. The drawing is a hash of seed and counter, so a seed repeats a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from contracts.host import Host, Outcome, Signer
from contracts.interpreter import Machine
from contracts.limits import TX_GAS
from contracts.notation import Notation
from contracts.runtime import Code, Program, link
from contracts.testing import load_all, party_id, party_names, run_due, run_loaded, user_id
from contracts.types import Type, parts_of
from contracts.values import Names, date_number, date_text
from ledger.crypto.hashing import H, Tag
from ledger.money import CurrencyTable
from ledger.receipt import Abort
from ledger.registry.records import PEOPLE_ROLES
from ledger.state import Overlay

LOOKED_FOR: Final = ("invariant_failed", "ensure_failed", "overflow")
"""Aborts that show a missing `require`."""

_PARTIES: Final = ("acme", "beta", "hub")
_FIRST_DAY: Final = date_number("2026-03-05") or 0
_INTS: Final = (0, 1, 2, 3, 5, 10, 100, -1, 2**31, 2**63 - 1, -(2**63 - 1))
_AMOUNTS: Final = (0, 1, 2, 100, 250, 10_000, -1, 2**63 - 1)
_TEXTS: Final = ("", "a", "b", "ab", "x")


class Finding(NamedTuple):
    """A call that ended with `code` in `line`, after the fewest calls before it; `calls` are those.

    `call` and `calls` are written as a test would make them; a schedule that ran by itself is `schedule`.
    """

    code: str
    method: str
    args: tuple[Any, ...]
    call: str
    line: int
    text: str
    calls: tuple[str, ...]


class Explored(NamedTuple):
    """`succeeded` and `refused` count calls; `never` are actions that no call got through."""

    contract: str
    seed: int
    succeeded: int
    refused: int
    findings: tuple[Finding, ...]
    never: tuple[str, ...]


def explore(
    source: bytes,
    used: Sequence[tuple[str, bytes]],
    currencies: CurrencyTable,
    seed: int = 0,
    runs: int = 100,
    length: int = 12,
) -> Explored:
    """Make `runs` sequences of `length` calls on empty tables; return what was found, one finding a method and code."""
    codes, name, tests = load_all(source, used, currencies)
    program = _Recording(codes, link(codes).machines)
    for test in tests:
        program.stories.append([])
        run_loaded(codes, name, (test,), program)
    program.listening = False
    names = {party_id(party): party for party in _PARTIES} | party_names(tests)
    interfaces = {earlier: code.interface for earlier, code in codes.items()}
    tour = _Tour(codes[name], program, currencies, seed, Notation(name, interfaces, currencies, names))
    for run in range(runs):
        tour.sequence(run, length)
    done = tuple(sorted(tour.found.values(), key=lambda item: (item.line, item.method)))
    never = tuple(method for method in tour.methods if method not in tour.worked)
    return Explored(name, seed, tour.succeeded, tour.refused, done, never)


class _Draw:
    """A stream of choices from a seed."""

    def __init__(self, seed: int, run: int) -> None:
        self.start = seed.to_bytes(8, "big") + run.to_bytes(8, "big")
        self.count = 0

    def below(self, limit: int) -> int:
        self.count += 1
        return int.from_bytes(H(Tag.TRACE, self.start, self.count.to_bytes(8, "big"))[:8], "big") % limit

    def one(self, items: Sequence[Any]) -> Any:
        return items[self.below(len(items))]


class _Said(NamedTuple):
    """One call of a test: of which contract, by whom and when."""

    contract: str
    method: str
    args: tuple[Any, ...]
    day: int
    signers: tuple[Signer, ...]
    by_contract: bool
    tx_id: bytes


class _Recording(Program):
    """Notes the calls that tests make and that succeed."""

    listening = True

    def __init__(self, codes: Mapping[str, Code], machines: Mapping[str, Machine]) -> None:
        super().__init__(codes, machines)
        self.stories: list[list[_Said]] = []

    def execute(self, contract: str, method: str, args: tuple[Any, ...], host: Host, gas_limit: int) -> Outcome:
        return self._noted(
            super().execute(contract, method, args, host, gas_limit), contract, method, args, host, False
        )

    def rehearse(self, contract: str, method: str, args: tuple[Any, ...], host: Host, gas_limit: int) -> Outcome:
        return self._noted(
            super().rehearse(contract, method, args, host, gas_limit), contract, method, args, host, True
        )

    def _noted(
        self, outcome: Outcome, contract: str, method: str, args: tuple[Any, ...], host: Host, by_contract: bool
    ) -> Outcome:
        if self.listening and outcome.abort is None:
            self.stories[-1].append(_Said(contract, method, args, host.day, host.signers, by_contract, host.tx_id))
        return outcome


class _Nothing:
    def get(self, _key: bytes) -> bytes | None:
        return None

    def scan(self, _low: bytes, _high: bytes, _count: int) -> list[bytes]:
        return []


class _Host:
    """A host whose signers hold every role; who signs, and whether somebody signs twice, is drawn."""

    def __init__(self, state: Overlay, tx_id: bytes, day: int, signers: tuple[Signer, ...]) -> None:
        self.tx_id = tx_id
        self.height = 1
        self.day = day
        self.signers = signers
        self.get: Callable[[bytes], bytes | None] = state.get
        self.put: Callable[[bytes, bytes], None] = state.put
        self.delete: Callable[[bytes], None] = state.delete
        self.scan: Callable[[bytes, bytes, int], list[bytes]] = state.scan

    def decide(self, signer: int, role: str, company: str | None, apart: tuple[str, ...]) -> str:
        who = self.signers[signer]
        if who.user in apart:
            return "deny.sod"
        return "ok" if role in PEOPLE_ROLES and company in (None, who.company) else "deny.role"

    def company_has(self, company: str, role: str) -> bool:  # noqa: ARG002  # every party has every role
        return True


class _Tour:
    def __init__(
        self, code: Code, program: _Recording, currencies: CurrencyTable, seed: int, notation: Notation
    ) -> None:
        self.code = code
        self.notation = notation
        self.program = program
        self.codes = tuple(code for code in ("EUR", "EUR", "JPY") if code in currencies)
        self.seed = seed
        self.names: Names = code.interface.names()
        self.methods = tuple(code.interface.actions)
        self.worked: dict[str, bool] = {}
        self.found: dict[tuple[str, str, int], Finding] = {}
        self.succeeded = self.refused = 0

    def sequence(self, run: int, length: int) -> None:
        if not self.methods:
            return
        draw = _Draw(self.seed, run)
        state = Overlay(_Nothing())
        self.program.arm(_Host(state, self.fresh(draw), _FIRST_DAY, ()))
        day, pool, calls = _FIRST_DAY, list(_TEXTS), list[str]()
        story = draw.one(self.program.stories) if self.program.stories else []
        for said in story[: draw.below(len(story) + 1)]:
            day = self.turn_to(said.day, day, draw, state, calls)
            self.call(state, said, pool, calls)
        for _ in range(length):
            day = self.turn_to(day + draw.below(4), day, draw, state, calls)
            self.call(state, self.drawn(draw, story, pool, day), pool, calls)

    def turn_to(self, day: int, before: int, draw: _Draw, state: Overlay, calls: list[str]) -> int:
        """Let schedules run when the date turns, and return the date."""

        def note(outcome: Outcome) -> None:
            self.succeeded += outcome.abort is None
            self.refused += outcome.abort is not None
            if outcome.abort is not None:
                self.look(outcome.abort, "schedule", (), calls)

        if day != before:
            run_due(self.program, state, lambda: _Host(state, self.fresh(draw), day, ()), note)
        return day

    def drawn(self, draw: _Draw, story: Sequence[_Said], pool: list[str], day: int) -> _Said:
        """Return a random call: one of the story with an argument changed, or one made up."""
        told = [said for said in story if said.contract == self.code.name]
        if told and draw.below(3) > 0:
            said: _Said = draw.one(told)
            params = self.code.interface.actions[said.method].params
            at = draw.below(len(params) + 1)
            args = tuple(
                self.value(item.spec, draw, pool, day) if at == place else given
                for place, (item, given) in enumerate(zip(params, said.args, strict=True))
            )
            return said._replace(args=args, day=day, tx_id=self.fresh(draw))
        method = draw.one(self.methods)
        schema = self.code.interface.actions[method]
        first = draw.below(len(_PARTIES))
        companies = [party_id(_PARTIES[(first + at) % len(_PARTIES)]) for at in range(len(_PARTIES))]
        signers = tuple(Signer(user_id(company, word), company) for word in ("a", "b") for company in companies)
        args = tuple(self.value(item.spec, draw, pool, day) for item in schema.params)
        return _Said(self.code.name, method, args, day, signers, schema.callers is not None, self.fresh(draw))

    def fresh(self, draw: _Draw) -> bytes:
        """Return the id of a transaction that no test made, so that new ids differ too."""
        draw.count += 1
        return H(Tag.TRACE, draw.start, draw.count.to_bytes(8, "big"))

    def call(self, state: Overlay, said: _Said, pool: list[str], calls: list[str]) -> None:
        contract, method, args = said.contract, said.method, said.args
        run = self.program.rehearse if said.by_contract else self.program.execute
        state.begin()
        outcome = run(contract, method, args, _Host(state, said.tx_id, said.day, said.signers), TX_GAS)
        if outcome.abort is None:
            state.commit()
            self.succeeded += 1
            if contract == self.code.name:
                self.worked[method] = True
            calls.append(self.written(contract, method, args))
            pool += [item for item in (outcome.result, *args) if isinstance(item, str) and item not in pool]
            return
        state.rollback()
        self.refused += 1
        self.look(outcome.abort, method, args, calls)

    def written(self, contract: str, method: str, args: tuple[Any, ...]) -> str:
        """Return a call as the tests of the contract make it."""
        params = self.program.interfaces[contract].actions[method].params
        return self.notation.call("" if contract == self.code.name else contract, method, params, args)

    def look(self, abort: Abort, method: str, args: tuple[Any, ...], calls: Sequence[str]) -> None:
        """Keep an abort that is looked for, with the fewest calls before it."""
        key = (abort.code, method, abort.line)
        if abort.code in LOOKED_FOR and (key not in self.found or len(self.found[key].calls) > len(calls)):
            call = method if method == "schedule" else self.written(self.code.name, method, args)
            self.found[key] = Finding(abort.code, method, args, call, abort.line, abort.text, tuple(calls))

    def value(self, kind: Type, draw: _Draw, pool: Sequence[str], day: int) -> Any:
        """Return a wire value of `kind`, often an edge of it or one that was used before."""
        match kind.kind:
            case "int":
                return draw.one(_INTS)
            case "rate":
                return draw.one((0, 1, 10**kind.size, 10**kind.size // 20, -1, 2**63 - 1))
            case "bool":
                return draw.below(2) == 0
            case "text":
                fitting = [item for item in pool if len(item) <= kind.size]
                return draw.one(fitting)
            case "money":
                return (draw.one(self.codes), draw.one(_AMOUNTS))
            case "currency":
                return draw.one(self.codes)
            case "date":
                return date_text(day + draw.below(80) - 20)
            case "enum":
                return draw.one(self.names.enums[kind.contract, kind.name])
            case "option":
                return None if draw.below(3) == 0 else self.value(parts_of(kind)[0], draw, pool, day)
            case "list":
                size = draw.below(min(kind.size, 3) + 1)
                return tuple(self.value(parts_of(kind)[0], draw, pool, day) for _ in range(size))
            case "record":
                fields = self.names.records[kind.contract, kind.name]
                return tuple(self.value(part, draw, pool, day) for part in fields)
            case "user":
                return user_id(party_id(draw.one(_PARTIES)), "a")
        return party_id(draw.one(_PARTIES))
