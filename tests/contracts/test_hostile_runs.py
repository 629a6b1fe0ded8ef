"""Hostile calls: gas, budgets, currencies, faults, scans, nesting, authority, arguments (K13-K58 where they apply)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from contracts import ir
from contracts.errors import ABORT_CODES, ContractFault
from contracts.host import Outcome
from contracts.library import sources
from contracts.machine import Run
from contracts.runtime import Code, Program, link, load, program
from ledger.money import ISO_4217
from ledger.transaction import SIGNERS_MAX
from tests.language.hosts import ACME, BANK, BETA, CURRENCIES, GAS, DictHost, reference_of, same, signer

ALL = "preparer+approver+treasurer+risk_officer"

BOOKS = b"""contract books version 1
enum Phase: open, closed
table Entry key id: int:
    owner: party, amount: money, note: text(12), phase: Phase, count_of: int
    index (owner, phase)
event Noted: id: int, note: text(12)
invariant each Entry: row.amount >= zero and row.count_of < 1000
function checked(id: int, amount: money) -> money:
    require amount >= zero else negative "entry {id} would hold {amount}, a book has no negative amounts"
    return amount
query held(owner: party, unit: currency) -> money:
    var total = zero of unit
    for e in Entry where e.owner == owner and e.phase == Phase.open limit 20:
        total += e.amount
    return total
action write_down(id: int, amount: money, note: text(12)) by role preparer of caller and role approver of caller:
    let fine = checked(id, amount)
    for e in Entry where e.owner == caller limit 5:
        require e.note != note else twice "{note} is written already in {e.id}"
    if exists Entry[id]:
        update Entry[id] with amount = Entry[id].amount + fine, count_of = Entry[id].count_of + 1
    else:
        insert Entry(id = id, owner = caller, amount = fine, note = note, phase = Phase.open, count_of = 1)
    emit Noted(id = id, note = note)
action close(id: int) by contract:
    update Entry[id] with phase = Phase.closed
"""

CLOSING = b"""contract closing version 1
uses books@1
event Closed: id: int
action close(id: int, expected: money) by role treasurer of caller:
    require books.held(caller, expected.currency) == expected else wrong "expected {expected}"
    emit Closed(id = id)
    books.close(id)
    require expected.minor != 13 else unlucky "thirteen"
"""


@pytest.fixture(scope="module")
def linked() -> Program:
    return program([("books", BOOKS), ("closing", CLOSING)], CURRENCIES)


def host(state: dict[bytes, bytes] | None = None) -> DictHost:
    return DictHost(state, [(signer(ACME, "preparer"), ALL), (signer(ACME, "approver"), ALL)])


def call(linked: Program, method: str, args: tuple[Any, ...], at: DictHost, gas: int = GAS) -> Outcome:
    contract, _, name = method.partition(".")
    return linked.execute(contract, name, args, at, gas)


def test_k17_k58_every_gas_limit(linked: Program) -> None:
    """Below its need a call changes nothing that would be kept; the first limit that suffices is the gas reported."""
    state: dict[bytes, bytes] = {}
    for method, args in (
        ("books.write_down", (1, ("EUR", 100), "first")),
        ("books.write_down", (1, ("EUR", 50), "second")),
        ("books.write_down", (2, ("EUR", 7), "third")),
        ("closing.close", (1, ("EUR", 157))),
    ):
        at = host(dict(state))
        full = call(linked, method, args, at)
        assert full.abort is None, full.abort
        for gas in range(full.gas_used):
            short = call(linked, method, args, host(dict(state)), gas)
            assert short.abort is not None
            assert short.abort.code == "out_of_gas"
            assert short.gas_used == gas
            assert short.events == ()
        exact = host(dict(state))
        assert call(linked, method, args, exact, full.gas_used) == full
        assert exact.state == at.state
        state = at.state


@pytest.mark.parametrize("args", [(1, ("EUR", -100), "first"), (5, ("EUR", 1), "same")])
def test_k17_no_gas_for_the_text_of_a_refusal(linked: Program, args: tuple[Any, ...]) -> None:
    at = host()
    assert call(linked, "books.write_down", (3, ("EUR", 1), "same"), at).abort is None
    state = dict(at.state)
    refused = call(linked, "books.write_down", args, host(dict(state)))
    assert refused.abort is not None
    assert refused.abort.code == "require_failed"
    for gas in range(refused.gas_used):
        short = call(linked, "books.write_down", args, host(dict(state)), gas)
        assert short.abort is not None
        assert short.abort.code == "out_of_gas"
    assert call(linked, "books.write_down", args, host(dict(state)), refused.gas_used) == refused


def test_k58_library_actions_with_too_little_gas() -> None:
    library = program(sources(), ISO_4217)
    args = (BETA, "00", "380", ("EUR", 100), ("EUR", 19), ("EUR", 119), "2026-03-01", "2026-03-31", "0" * 64)
    full = library.execute("invoices", "issue", args, host(), GAS)
    assert full.abort is None, full.abort
    for gas in range(0, full.gas_used, 7):
        short = library.execute("invoices", "issue", args, host(), gas)
        assert short.abort is not None
        assert short.abort.code == "out_of_gas"
    assert library.execute("invoices", "issue", args, host(), full.gas_used).abort is None


def test_k13_forced_in_loops_run_out_of_gas() -> None:
    """The checker refuses the loops; the same IR, forced past it, ends at the gas limit."""
    code = load(BOOKS, {}, CURRENCIES)
    held = code.module.routines[[r.name for r in code.module.routines].index("held")]
    loop = next(item for item in held.body if isinstance(item, ir.For))
    inner = replace(loop, scan=replace(loop.scan, bound=1000), slot=held.slots)
    body = tuple(
        replace(item, scan=replace(item.scan, bound=1000), body=(inner, *item.body))
        if isinstance(item, ir.For)
        else item
        for item in held.body
    )
    routines = tuple(replace(r, body=body, slots=r.slots + 1) if r.name == "held" else r for r in code.module.routines)
    forced = Code(
        code.source, code.tree, replace(code.module, routines=routines), code.interface, {}, CURRENCIES
    )  # fmt: skip
    at = host()
    for number in range(20):
        call(link({"books": code}), "books.write_down", (number, ("EUR", 1), f"n{number}"), at)
    outcome = link({"books": forced}).query("books", "held", (ACME, "EUR"), at, 2_000)
    assert outcome.abort is not None
    assert outcome.abort.code == "out_of_gas"
    assert outcome.gas_used == 2_000


@pytest.mark.parametrize(
    ("budget", "code", "value"),
    [("rows_left", "write_budget", 0), ("row_bytes_left", "write_budget", 10), ("events_left", "event_budget", 0),
     ("event_bytes_left", "event_budget", 3), ("memory", "memory_budget", 100)],
)  # fmt: skip
def test_budgets_end_a_call(
    linked: Program, monkeypatch: pytest.MonkeyPatch, budget: str, code: str, value: int
) -> None:
    """Worst cases keep every admitted program below its budgets, so they are lowered here to be reached (K20-K26)."""
    plain = Run

    def small(*args: Any) -> Any:
        run = plain(*args)
        setattr(run, budget, value)
        return run

    monkeypatch.setattr("contracts.runtime.Run", small)
    at = host()
    outcome = call(linked, "books.write_down", (1, ("EUR", 100), "first"), at)
    if budget == "memory":
        monkeypatch.setattr("contracts.runtime.Run", plain)
        assert call(linked, "books.write_down", (1, ("EUR", 100), "again"), at).abort is None
        monkeypatch.setattr("contracts.runtime.Run", small)
        outcome = call(linked, "books.write_down", (1, ("EUR", 100), "other"), at)
    assert outcome.abort is not None
    assert outcome.abort.code == code
    assert outcome.events == ()
    assert code in ABORT_CODES


def test_k33_currencies_never_meet(linked: Program) -> None:
    at = host()
    assert call(linked, "books.write_down", (1, ("EUR", 100), "first"), at).abort is None
    outcome = call(linked, "books.write_down", (1, ("JPY", 100), "second"), at)
    assert outcome.abort is not None
    assert outcome.abort.code == "currency_mismatch"
    outcome = linked.query("books", "held", (ACME, "JPY"), at, GAS)
    assert outcome.abort is not None
    assert outcome.abort.code == "currency_mismatch"


class Breaks(DictHost):
    """Raises at the n-th call it gets."""

    def __init__(self, error: BaseException, at: int) -> None:
        super().__init__({}, [(signer(ACME, "preparer"), ALL), (signer(ACME, "approver"), ALL)])
        self.error, self.left = error, at

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error

    def get(self, key: bytes) -> bytes | None:
        self._count()
        return super().get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._count()
        super().put(key, value)

    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]:
        self._count()
        return super().scan(low, high, count)

    def decide(self, signer: int, role: str, company: str | None, apart: tuple[str, ...]) -> str:
        self._count()
        return super().decide(signer, role, company, apart)


@pytest.mark.parametrize("error", [RecursionError, MemoryError, OSError, KeyboardInterrupt, ContractFault, ValueError])
def test_k42_faults_leave_the_runtime(linked: Program, error: type[BaseException]) -> None:
    """Nothing but an abort becomes an outcome (D3)."""
    count = len(_calls(linked))
    assert count > 5
    for at in range(1, count + 1):
        with pytest.raises(error):
            call(linked, "books.write_down", (1, ("EUR", 100), "first"), Breaks(error("/secret/path"), at))


def _calls(linked: Program) -> list[str]:
    at = host()
    call(linked, "books.write_down", (1, ("EUR", 100), "first"), at)
    return [name for name in at.used if name in ("get", "put", "scan", "decide")]


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x91\x01", b"\x96\x02" + b"\x01" * 5, b"\xff" * 40])
def test_h4_bytes_that_are_no_row_are_a_fault(linked: Program, data: bytes) -> None:
    at = host()
    call(linked, "books.write_down", (1, ("EUR", 100), "first"), at)
    key = linked.interfaces["books"].row_key("Entry", [1])
    at.state[key] = data
    with pytest.raises(ContractFault):
        call(linked, "books.write_down", (1, ("EUR", 1), "x"), at)
    with pytest.raises(ContractFault):
        linked.interfaces["books"].decode_row("Entry", data)


def test_k51_an_abort_in_a_nested_call_leaves_no_event(linked: Program) -> None:
    at = host()
    call(linked, "books.write_down", (1, ("EUR", 13), "first"), at)
    outcome = call(linked, "closing.close", (1, ("EUR", 13)), at)
    assert outcome.abort is not None
    assert (outcome.abort.reason, outcome.events, outcome.result) == ("unlucky", (), None)
    assert (outcome.abort.contract, outcome.abort.line) == ("closing", 8)


def test_k43_l67_nothing_of_python_in_an_abort(linked: Program) -> None:
    for args in ((1, ("EUR", -1), "first"), (1, 1, 1), (), (1, ("XXX", 1), "a")):
        outcome = call(linked, "books.write_down", args, host())
        assert outcome.abort is not None
        for word in ("/", "0x", "Error", "Traceback", "object", "python"):
            assert word not in outcome.abort.text


K55_BAD = [
    (), (1,), (1, ("EUR", 1), "a", 2), ("1", ("EUR", 1), "a"), (True, ("EUR", 1), "a"), (1.0, ("EUR", 1), "a"),
    (None, ("EUR", 1), "a"), (2**63, ("EUR", 1), "a"), (-(2**63), ("EUR", 1), "a"), (1, "EUR 1.00", "a"),
    (1, ("EUR",), "a"), (1, ("EUR", 1, 1), "a"), (1, ("XXX", 1), "a"), (1, ("EUR", True), "a"), (1, ("EUR", 2**63), "a"),
    (1, {"EUR": 1}, "a"), (1, (b"EUR", 1), "a"), (1, ("EUR", 1), b"a"), (1, ("EUR", 1), "x" * 13), (1, ("EUR", 1), "\n"),
    (1, ("EUR", 1), "\u202e"), (1, ("EUR", 1), "\ud800"), (1, ("EUR", 1), "\ufffe"), (1, ("EUR", 1), ["a"]),
    ([1] * 1_000_000, ("EUR", 1), "a"), (1, ("EUR", [1]), "a"),
]  # fmt: skip


@pytest.mark.parametrize("args", K55_BAD, ids=range(len(K55_BAD)))
def test_k55_k32_arguments_are_exact(linked: Program, args: tuple[Any, ...]) -> None:
    at = host()
    outcome = call(linked, "books.write_down", args, at)
    assert outcome.abort is not None
    assert outcome.abort.code == "bad_argument"
    assert at.used == []
    assert outcome.gas_used == 0


def test_k55_methods(linked: Program) -> None:
    at = host()
    for method in ("books.checked", "books.nothing", "none.write_down", "books.__init__", "books.held", "books.Entry"):
        outcome = call(linked, method, (), at)
        assert outcome.abort is not None
        assert outcome.abort.code == "unknown_method"
    outcome = call(linked, "books.close", (1,), at)
    assert outcome.abort is not None
    assert (outcome.abort.code, outcome.abort.reason) == ("not_authorised", "by_contract")
    assert linked.query("books", "write_down", (), at, GAS).abort is not None
    assert at.used == []


@pytest.mark.parametrize(
    "value", ["2026-1-1", "2026-02-29", "20260101", "2026-01-01\n", "\u0662026-01-01", 5, "0000-01-01"]
)
def test_k55_dates(value: Any) -> None:
    linked = program([("c", b"contract c version 1\nquery q(d: date) -> date:\n    return d\n")], CURRENCIES)
    outcome = linked.query("c", "q", (value,), DictHost(), GAS)
    assert outcome.abort is not None
    assert outcome.abort.code == "bad_argument"


@pytest.mark.parametrize("value", ["", "c a", "C" * 27, "c/../x", "c\x00", "x" * 65, "{c}", 7])
def test_k55_ids(value: Any) -> None:
    linked = program([("c", b"contract c version 1\nquery q(p: party) -> party:\n    return p\n")], CURRENCIES)
    outcome = linked.query("c", "q", (value,), DictHost(), GAS)
    assert outcome.abort is not None
    assert outcome.abort.code == "bad_argument"


def test_k39_what_the_caller_changes_later_has_no_effect(linked: Program) -> None:
    at, amount = host(), ["EUR", 100]
    args = [1, amount, "first"]
    assert call(linked, "books.write_down", tuple(args), at).abort is None
    before = dict(at.state)
    amount[1] = 999
    args[0] = 5
    assert at.state == before
    assert linked.query("books", "held", (ACME, "EUR"), at, GAS).result == ("EUR", 100)


AUTHORITY = b"""contract shop version 1
table Doc key id: int:
    maker: user
action make(id: int) by role preparer of caller:
    put Doc(id = id, maker = sender)
action check(id: int) by role approver of caller apart from Doc[id].maker and role treasurer:
    delete Doc[id]
"""


def test_k54_persons_and_roles() -> None:
    linked = program([("shop", AUTHORITY)], CURRENCIES)
    preparer, approver = signer(ACME, "preparer"), signer(ACME, "approver")
    state: dict[bytes, bytes] = {}
    assert linked.execute("shop", "make", (1,), DictHost(state, [(preparer, ALL)]), GAS).abort is None

    def check(*signers: tuple[Any, str]) -> str:
        outcome = linked.execute("shop", "check", (1,), DictHost(dict(state), signers), GAS)
        return "" if outcome.abort is None else f"{outcome.abort.code} {outcome.abort.reason}"

    assert check((approver, "approver")) == "not_authorised deny.missing"
    assert check((approver, ALL)) == "not_authorised deny.missing"  # one person for two roles
    assert check((preparer, ALL), (preparer, ALL)).startswith("not_authorised")
    assert check((preparer, ALL), (approver, "treasurer")).startswith("not_authorised")  # maker as checker
    assert check((approver, ALL), (preparer, "treasurer")) == ""
    assert check((preparer, "treasurer"), (approver, "approver")) == ""  # the order of signers does not matter
    others = [(signer(BETA, word), "reader") for word in ("a", "b", "c", "d", "e", "f")]
    assert check((approver, ALL), *others, (signer(BANK, "t"), "treasurer")) == ""
    assert check(*others, (approver, ALL)).startswith("not_authorised")


def test_h7_backtracking_is_bounded_and_first_fit() -> None:
    text = "action go() by role preparer and role preparer and role preparer and role approver:\n    pass\n"
    linked = program([("c", ("contract c version 1\n" + text).encode())], CURRENCIES)
    people = [(signer(ACME, f"p{number}"), "preparer") for number in range(SIGNERS_MAX)]
    at = DictHost({}, people)
    outcome = linked.execute("c", "go", (), at, GAS)
    assert outcome.abort is not None
    assert outcome.abort.code == "not_authorised"
    assert at.used.count("decide") <= 4 * SIGNERS_MAX
    fitting = [(signer(ACME, "both"), "preparer+approver"), *people[:3]]
    walker = reference_of(linked, CURRENCIES)
    result = linked.execute("c", "go", (), DictHost({}, fitting), GAS)
    assert result.abort is None
    assert same(result, walker, ("c", "go", (), False), DictHost({}, fitting)) == ""


ORDER = b"""contract order version 1
table Tab key id: int:
    a: int, b: int, c: text(2)
event Seen: a: int, b: int
function one(n: int) -> int:
    require n == 0 else one "one"
    return n
function two(n: int) -> int:
    require n == 0 else two "two"
    return n
function sum_of(a: int, b: int) -> int:
    return a + b
action named(x: int) by anyone:
    emit Seen(b = two(x), a = one(x))
action rows(x: int) by anyone:
    insert Tab(c = "", b = one(x), a = two(x), id = 1)
action fields(x: int) by anyone:
    update Tab[one(x)] with a = two(x)
action places(x: int) by anyone:
    emit Seen(a = sum_of(b = two(x), a = one(x)), b = 0)
action chain(x: int) by anyone:
    emit Seen(a = floor_div(one(x), x) + two(x), b = 0)
action logic(x: int) by anyone:
    require x == 1 or one(x) == 5 else no "no"
    require not (x == 0 and one(2) == 2) else never "never"
"""


@pytest.mark.parametrize(
    ("method", "reason"),
    [("named", "two"), ("rows", "one"), ("fields", "one"), ("places", "two"), ("chain", "one"), ("logic", "")],
)
def test_k47_l18_the_first_as_written_wins(method: str, reason: str) -> None:
    linked = program([("order", ORDER)], CURRENCIES)
    outcome = linked.execute("order", method, (1,), host(), GAS)
    assert ("" if outcome.abort is None else outcome.abort.reason) == reason
    assert same(outcome, reference_of(linked, CURRENCIES), ("order", method, (1,), False), host()) == ""


def test_k44_warm_and_cold_are_equal() -> None:
    args = (1, ("EUR", 100), "first")
    first = call(program([("books", BOOKS)], CURRENCIES), "books.write_down", args, host())
    warm = program([("books", BOOKS)], CURRENCIES)
    for _ in range(5):
        assert call(warm, "books.write_down", args, host()) == first


def test_k53_rows_written_through_another_contract_are_tested() -> None:
    source = b"""contract owner version 1
table Box key id: int:
    n: int
invariant each Box: row.n < 5
action set_box(id: int, n: int) by contract:
    put Box(id = id, n = n)
"""
    user = b"""contract user version 1
uses owner@1
action go(n: int) by anyone:
    owner.set_box(1, 9)
    owner.set_box(1, n)
"""
    linked = program([("owner", source), ("user", user)], CURRENCIES)
    assert linked.execute("user", "go", (4,), host(), GAS).abort is None
    outcome = linked.execute("user", "go", (5,), host(), GAS)
    assert outcome.abort is not None
    assert (outcome.abort.code, outcome.abort.contract, outcome.abort.line) == ("invariant_failed", "owner", 4)
