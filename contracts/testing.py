"""Runs the `test` blocks of a contract, or of a `tests for` file (L64). Door: `run_tests`.

Each test begins with empty tables and the used contracts loaded. All tests are checked before the first one runs, so
a wrong name is a `SourceError`, not a failed test. A call runs as a transaction of its own through the same program
that nodes run; only authority is answered here: inside `as` each signer holds the role written there, outside nothing
is asked. For an action `by contract` the test stands for a contract that may call it; role demands beside it are
asked as always. Written rows (`put` and its kin) are tested against `invariant each`, not against sums.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from contracts import ir
from contracts.check import Bodies, check
from contracts.check_expressions import READS
from contracts.errors import Aborted, LinkError, SourceError
from contracts.host import Host, Outcome, Signer
from contracts.interpreter import StatementClosures
from contracts.limits import SIGNERS, TX_GAS
from contracts.machine import Run, Step, Value
from contracts.notation import Notation
from contracts.resolve import Declarations, fail, resolve
from contracts.runtime import Code, Program, link, load, older_of, replace_version
from contracts.syntax import tree
from contracts.syntax.parse import parse
from contracts.types import BOOL, NOTHING, PARTY, ZERO, Type
from contracts.values import date_number
from ledger.crypto.hashing import H, Tag
from ledger.money import CurrencyTable
from ledger.receipt import Abort, ContractEvent
from ledger.registry.records import PEOPLE_ROLES
from ledger.state import Overlay

_ROUNDS: Final = 10
_ENTRIES: Final = 100
"""Entries of schedules that one `at` runs at most: as many blocks as rounds, each with as many entries (section 16)."""

FIRST_DAY: Final = "2026-01-01"
"""`today` until the first `at`."""


@dataclass(frozen=True, slots=True)
class TestResult:
    """`line` is where the test failed, or where it stands; `problem` is empty when it passed."""

    title: str
    line: int
    problem: str

    @property
    def passed(self) -> bool:
        return not self.problem


@dataclass(frozen=True, slots=True)
class TestReport:
    """Results in the order written."""

    contract: str
    results: tuple[TestResult, ...]

    @property
    def passed(self) -> int:
        return sum(result.passed for result in self.results)

    @property
    def failed(self) -> int:
        return len(self.results) - self.passed


def run_tests(source: bytes, used: Sequence[tuple[str, bytes]], currencies: CurrencyTable) -> TestReport:
    """Run every test of `source`; `used` are the contracts it needs, in order, each using only earlier ones.

    `source` is a contract with `test` blocks, or a file `tests for name` whose contract stands in `used`.
    Raises `SourceError` when a source or a test is not right.
    """
    codes, name, tests = load_all(source, used, currencies)
    return run_loaded(codes, name, tests, link(codes))


def load_all(
    source: bytes, used: Sequence[tuple[str, bytes]], currencies: CurrencyTable
) -> tuple[dict[str, Code], str, tuple[tree.Test, ...]]:
    """Return the compiled contracts, the name of the one under test, and its tests."""
    file = parse(source)
    sources = list(used)
    if isinstance(file, tree.Contract):
        name = file.name
        sources.append((name, source))
    else:
        name = file.contract
    codes: dict[str, Code] = {}
    for _, text in sources:
        code = _loaded(codes, text, currencies)
        codes = {**codes, code.name: code} if code.replaced is None else replace_version(codes, text)
    if name not in codes:
        raise LinkError(name, "the contract under test is not among the sources")
    return codes, name, file.tests


def run_loaded(
    codes: dict[str, Code],
    name: str,
    tests: Sequence[tree.Test],
    program: Program,
    ended: Callable[[Abort], None] = lambda _: None,
) -> TestReport:
    """Run tests on a linked program; `ended` is told of every call that aborts."""
    code = codes[name]
    found = resolve(code.tree, {earlier: item.interface for earlier, item in codes.items()}, code.currencies)
    check(found, None if code.replaced is None else older_of(code.replaced))  # notes effects, which calls here need
    ready = [(test, _TestCheck(found, program, code, ended).test(test)) for test in tests]
    return TestReport(name, tuple(_run(test, steps, slots, program) for test, (steps, slots) in ready))


def run_due(program: Program, state: Overlay, host: Callable[[], Host], note: Callable[[Outcome], None]) -> bool:
    """Do what the ledger does at the start of blocks: run what is due, each entry as a call of its own (L54, L55).

    `host` makes a host on `state` without signers. Returns False when entries are left after the last round.
    """
    for _ in range(_ROUNDS):
        calls = program.due(host(), _ENTRIES)
        if not calls:
            return True
        for call in calls:
            mine = host()
            program.take(call, mine)
            state.begin()
            outcome = program.fire(call, mine, TX_GAS)
            if outcome.abort is None:
                state.commit()
            else:
                state.rollback()
                program.park(call, mine, outcome.abort)
            note(outcome)
    return False


class TestFailed(Exception):  # the outcome of a test, not an error of ours
    """A step did not go as the test says."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


@dataclass
class _World:
    """State of one running test."""

    currencies: CurrencyTable
    state: Overlay = field(default_factory=lambda: Overlay(_Nothing()))
    day: int = date_number(FIRST_DAY) or 0
    calls: int = 0
    signers: tuple[tuple[Signer, str], ...] = ()
    """Signers with their one role; empty outside `as`."""
    parties: list[str] = field(default_factory=list)
    events: list[ContractEvent] = field(default_factory=list)

    def host(self, signed: bool = True) -> _Host:
        self.calls += 1
        return _Host(self, signed)


class _Nothing:
    def get(self, _key: bytes) -> bytes | None:
        return None

    def scan(self, _low: bytes, _high: bytes, _count: int) -> list[bytes]:
        return []


class _Host:
    """What a tested contract can reach."""

    def __init__(self, world: _World, signed: bool) -> None:
        self._state = world.state
        self.tx_id = H(Tag.TRACE, world.calls.to_bytes(4, "big"))
        self.height = 1
        self.day = world.day
        self._roles = [role for _, role in world.signers]
        self._checked = bool(world.signers)
        self.signers: tuple[Signer, ...]
        if not signed:
            self.signers = ()
        elif world.signers:
            self.signers = tuple(signer for signer, _ in world.signers)
        else:
            company = world.parties[0] if world.parties else party_id("nobody")
            self.signers = tuple(Signer(user_id(company, str(number)), company) for number in range(SIGNERS))

    def get(self, key: bytes) -> bytes | None:
        return self._state.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._state.put(key, value)

    def delete(self, key: bytes) -> None:
        self._state.delete(key)

    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]:
        return self._state.scan(low, high, count)

    def decide(self, signer: int, role: str, company: str | None, apart: tuple[str, ...]) -> str:
        if not self._checked:
            return "ok"
        user, acting_for = self.signers[signer]
        if user in apart:
            return "deny.sod"
        if self._roles[signer] != role or company not in (None, acting_for):
            return "deny.role"
        return "ok"

    def company_has(self, company: str, role: str) -> bool:  # noqa: ARG002  # every party has every role (L64)
        return True


def party_id(name: str) -> str:
    """Return the company id that a test gives to a party."""
    return "c" + b32encode(H(Tag.ID_COMPANY, name.encode("ascii"))).decode("ascii").lower()[:26]


def party_names(tests: Sequence[tree.Test]) -> dict[str, str]:
    """Return the names that tests give to companies, by company id."""
    named = [step.names for test in tests for step in test.steps if isinstance(step, tree.Parties)]
    return {party_id(name): name for names in named for name in names}


def user_id(company: str, role: str) -> str:
    """Return the id of the person who holds `role` in a company of a test."""
    return "u" + b32encode(H(Tag.ID_USER, company.encode("ascii"), role.encode("ascii"))).decode("ascii").lower()[:26]


_Action = Callable[[_World, list[Any]], None]
"""One step, ready to run."""

_SHOWN = ("int", "rate", "bool", "text", "money", "date", "currency", "party", "user", "enum", "option")
"""Kinds of values that a failing comparison shows."""

_Attempt = Callable[[_World, list[Any]], tuple[Abort | None, Any]]
"""A call: why it aborted, or its result."""


class _TestCheck(Bodies):
    """Checks one test and builds its steps."""

    def __init__(self, found: Declarations, program: Program, code: Code, ended: Callable[[Abort], None]) -> None:
        super().__init__(found, "test", caller_allowed=False, result=NOTHING)
        self.ended = ended
        self.program = program
        self.code = code
        self.machine = program.machines[code.name]
        self.closures = StatementClosures(self.machine.shapes)

    def test(self, test: tree.Test) -> tuple[list[_Action], int]:
        steps = [self.step(item) for item in test.steps]
        return steps, self.slots

    def step(self, item: tree.Step) -> _Action:
        match item:
            case tree.Parties():
                return self.parties(item)
            case tree.At():
                number = date_number(item.iso) or 0
                return lambda world, _: self.turn_to(world, item.line, number)
            case tree.As():
                return self.as_(item)
            case tree.ExpectTrue():
                return self.expect_true(item)
            case tree.ExpectAbort():
                return self.expect_abort(item)
            case tree.ExpectEmitted():
                return self.expect_emitted(item)
            case tree.Let():
                return self.let_step(item)
            case tree.CallStatement():
                attempt, _ = self.attempt(item.call)
                return lambda world, frame: _must_succeed(item.line, attempt(world, frame)[0])
            case tree.Write() | tree.Update() | tree.Delete():
                statement, _ = self.statement(item)
                return self.write_step(item.line, statement)

    def turn_to(self, world: _World, line: int, day: int) -> None:
        """Set `today`, and let what is due run."""
        world.day = day

        def note(outcome: Outcome) -> None:
            if outcome.abort is not None:
                self.ended(outcome.abort)
            world.events.extend(outcome.events)

        if not run_due(self.program, world.state, lambda: world.host(signed=False), note):
            raise TestFailed(line, f"more than {_ROUNDS * _ENTRIES} entries of schedules are due")

    def parties(self, item: tree.Parties) -> _Action:
        slots = [(self.declare(item, name, PARTY), party_id(name)) for name in item.names]

        def make(world: _World, frame: list[Any]) -> None:
            for slot, company in slots:
                frame[slot] = company
                world.parties.append(company)

        return make

    def as_(self, item: tree.As) -> _Action:
        signers = []
        for name, role, line, column in item.signers:
            local = self.local(name)
            if local is None or local.type != PARTY:
                raise SourceError("undeclared", line, column, f"`{name}` is no party of this test")
            if role not in PEOPLE_ROLES:
                raise SourceError("unknown_role", line, column, f"`{role}` is none of {', '.join(PEOPLE_ROLES)}")
            signers.append((local.slot, role))
        if len(signers) > SIGNERS:
            raise fail(item, "limit", f"a transaction has at most {SIGNERS} signers")
        steps = [self.step(step) for step in item.steps]

        def sign(world: _World, frame: list[Any]) -> None:
            before = world.signers
            world.signers = tuple((Signer(user_id(frame[slot], role), frame[slot]), role) for slot, role in signers)
            for step in steps:
                step(world, frame)
            world.signers = before

        return sign

    def expect_true(self, item: tree.ExpectTrue) -> _Action:
        value = self.machine.shapes.value(self.within(READS, item.condition, BOOL))
        conditions: Sequence[tree.Expr] = (item.condition,)
        if isinstance(item.condition, tree.Logic) and item.condition.op == "and":
            conditions = item.condition.operands
        parts = [self.compared(condition) for condition in conditions]

        def expect(world: _World, frame: list[Any]) -> None:
            frame[0] = Run(world.host(), TX_GAS)
            try:
                held = value(frame)
            except Aborted as end:
                raise TestFailed(item.line, f"the expression aborts {_told(_abort(end))}") from None
            if not held:
                for part, (holds, sides) in enumerate(parts, 1):
                    frame[0] = Run(world.host(), TX_GAS)
                    if not holds(frame):
                        frame[0] = Run(world.host(), TX_GAS)  # the sides alone need no more than the whole did
                        text = "this does not hold" if len(parts) == 1 else f"part {part} of this does not hold"
                        text += "" if sides is None else f": {sides(frame)}"
                        raise TestFailed(item.line, text)

        return expect

    def compared(self, part: tree.Expr) -> tuple[Value, Callable[[list[Any]], str] | None]:
        """Return whether a condition holds, and what a comparison of plain values compares."""
        built = self.within(READS, part, BOOL)
        holds = self.machine.shapes.value(built)
        contract = self.code.name
        notation = Notation(contract, {contract: self.code.interface}, self.code.currencies)
        match built:
            case ir.Compare():
                left, right = (self.machine.shapes.value(side) for side in (built.left, built.right))
                kinds, sign = (built.left.type, built.right.type), built.op
            case ir.CompareZero():
                left = right = self.machine.shapes.value(built.money)
                kinds, sign = (built.money.type, ZERO), built.op
            case _:
                return holds, None
        if any(kind.kind not in (*_SHOWN, ZERO.kind) for kind in kinds):
            return holds, None

        def sides(frame: list[Any]) -> str:
            second = "zero" if kinds[1] == ZERO else notation.value(kinds[1], right(frame))
            return f"{notation.value(kinds[0], left(frame))} {sign} {second}"

        return holds, sides

    def expect_abort(self, item: tree.ExpectAbort) -> _Action:
        attempt, _ = self.attempt(item.call)

        def expect(world: _World, frame: list[Any]) -> None:
            abort, _ = attempt(world, frame)
            if abort is None:
                raise TestFailed(item.line, "the call succeeds, and an abort is expected")
            if item.reason and item.reason not in (abort.reason, abort.code):
                raise TestFailed(item.line, f"expected {item.reason}, the call aborts {_told(abort)}")
            if item.part is not None and item.part not in abort.text:
                raise TestFailed(item.line, f'the text has no "{item.part}"; the call aborts {_told(abort)}')

        return expect

    def expect_emitted(self, item: tree.ExpectEmitted) -> _Action:
        found = self.found.events.get(item.event)
        if found is None:
            raise fail(item, "undeclared", f"`{item.event}` is no event of {self.code.name}")
        fields = found[1].fields
        places = self.places(item, item.args, [name for name, _ in fields], item.event, complete=False)
        before, self.limit = self.limit, READS
        wanted = [
            (at, fields[at][0], self.machine.shapes.value(self.store(arg.value, fields[at][1])))
            for arg, at in zip(item.args, places, strict=True)
        ]
        self.limit = before
        contract = self.code.name
        shown = Notation(contract, {contract: self.code.interface}, self.code.currencies).fields

        def expect(world: _World, frame: list[Any]) -> None:
            frame[0] = Run(world.host(), TX_GAS)
            values = [(at, value(frame)) for at, _, value in wanted]
            named = [event for event in world.events if event.contract == contract and event.name == item.event]
            for event in named:
                if all(event.fields[at] == value for at, value in values):
                    return
            if not named:
                raise TestFailed(item.line, f"no such {item.event}: none was emitted")
            last = shown(fields, named[-1].fields)
            raise TestFailed(item.line, f"no such {item.event}: the last one is {last}")

        return expect

    def let_step(self, item: tree.Let) -> _Action:
        if isinstance(item.value, tree.Call):
            attempt, kind = self.attempt(item.value)
            if kind == NOTHING:
                raise fail(item, "wrong_type", "the call has no result")
            wanted = kind if item.type is None else self.found.type_of(item.type)
            if wanted != kind and not wanted.kind == kind.kind == "text":
                raise fail(item, "wrong_type", f"expected {wanted}, found {kind}")
            slot = self.declare(item, item.name, wanted)

            def keep(world: _World, frame: list[Any]) -> None:
                abort, result = attempt(world, frame)
                _must_succeed(item.line, abort)
                frame[slot] = result

            return keep
        before, self.limit = self.limit, READS
        run = self.closures.statement(self.let(item))
        self.limit = before
        for local in self.scopes[-1].values():
            local.needed = False
        return self.quiet(item.line, run)

    def quiet(self, line: int, run: Step) -> _Action:
        """Return a step that must not abort."""

        def step(world: _World, frame: list[Any]) -> None:
            frame[0] = Run(world.host(), TX_GAS)
            try:
                run(frame)
            except Aborted as end:
                raise TestFailed(line, f"the step aborts {_told(_abort(end))}") from None

        return step

    def write_step(self, line: int, statement: ir.Statement) -> _Action:
        run, checks = self.closures.statement(statement), self.machine.checks

        def write(frame: list[Any]) -> None:
            run(frame)
            for touched in frame[0].touched.values():
                for test in checks.get(touched.table, ()):
                    test(frame[0], touched)

        return self.quiet(line, write)

    def attempt(self, call: tree.Call) -> tuple[_Attempt, Type]:
        """Return what makes a call, and the type of its result."""
        match call.of:
            case tree.Name(name=name) if name in self.found.heads and self.found.heads[name].tree.kind == "action":
                head = self.found.heads[name]
                return self.transaction(call, self.code.name, name, head.params, head.callers is not None), head.result
            case tree.Member(of=tree.Name(name=contract), name=name) if (
                contract in self.found.used and name in self.found.used[contract].actions
            ):
                schema = self.found.used[contract].actions[name]
                params = tuple((item.name, item.spec) for item in schema.params)
                result = NOTHING if schema.result is None else schema.result.spec
                return self.transaction(call, contract, name, params, schema.callers is not None), result
        found = self.within(READS, call)
        value = self.machine.shapes.value(found)
        ended = self.ended

        def ask(world: _World, frame: list[Any]) -> tuple[Abort | None, Any]:
            frame[0] = Run(world.host(), TX_GAS)
            try:
                return None, value(frame)
            except Aborted as end:
                ended(_abort(end))
                return _abort(end), None

        return ask, found.type

    def transaction(
        self, call: tree.Call, contract: str, method: str, params: Sequence[tuple[str, Type]], by_contract: bool
    ) -> _Attempt:
        before, self.limit = self.limit, READS
        places, given = self.bind(call, f"{contract}.{method}", params)
        self.limit = before
        values = [self.machine.shapes.value(arg) for arg in given]
        program, ended = self.program, self.ended

        def send(world: _World, frame: list[Any]) -> tuple[Abort | None, Any]:
            host = world.host()
            frame[0] = Run(host, TX_GAS)
            args: list[Any] = [None] * len(values)
            for at, value in zip(places, values, strict=True):
                args[at] = value(frame)
            run = program.rehearse if by_contract else program.execute
            world.state.begin()
            outcome = run(contract, method, tuple(args), host, TX_GAS)
            if outcome.abort is not None:
                world.state.rollback()
                ended(outcome.abort)
                return outcome.abort, None
            world.state.commit()
            world.events.extend(outcome.events)
            return None, outcome.result

        return send


def _loaded(codes: dict[str, Code], source: bytes, currencies: CurrencyTable) -> Code:
    """Return a compiled source, as the version after the one of its name, when there is one."""
    file = parse(source)
    replaced = codes.get(file.name) if isinstance(file, tree.Contract) and file.replaces else None
    interfaces = {name: item.interface for name, item in codes.items()}
    return load(source, interfaces, currencies, replaced)


def _run(test: tree.Test, steps: Sequence[_Action], slots: int, program: Program) -> TestResult:
    world = _World(next(iter(program.codes.values())).currencies)
    program.arm(world.host(signed=False))
    frame: list[Any] = [None] * slots
    try:
        for step in steps:
            step(world, frame)
    except TestFailed as failed:
        text = failed.text
        for company, name in party_names([test]).items():
            text = text.replace(company, name)
        return TestResult(test.title, failed.line, text)
    return TestResult(test.title, test.line, "")


def _must_succeed(line: int, abort: Abort | None) -> None:
    if abort is not None:
        raise TestFailed(line, f"the call aborts {_told(abort)}")


def _abort(end: Aborted) -> Abort:
    return Abort(end.code, end.reason, end.contract, end.version, end.line, end.text)


def _told(abort: Abort) -> str:
    reason = f" {abort.reason}" if abort.reason else ""
    text = f": {abort.text}" if abort.text else ""
    return f"{abort.code}{reason} in line {abort.line} of {abort.contract}{text}"
