"""Prices and worst cases (G1-G6): pinned where a change would change a chain, and never below what is used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts import ir
from contracts.gas import QUESTION
from contracts.library import sources
from contracts.runtime import load, program
from ledger.money import ISO_4217
from tests.language.hosts import ACME, BETA, CURRENCIES, GAS, DictHost, signer

ALL = "preparer+approver+treasurer+risk_officer"


def used(body: str, args: tuple[Any, ...] = (), params: str = "", more: str = "") -> int:
    """Return the gas of an action with this body, without what entering it costs."""
    source = f"contract c version 1\ntable Tab key id: int:\n    n: int, t: text(400)\n    index (n)\nevent Ev: n: int\n{more}"
    lines = "\n".join("    " + line for line in body.split("\n"))
    source += f"action go({params}) by anyone:\n{lines}\naction empty({params}) by anyone:\n    pass\n"
    linked = program([("c", source.encode())], CURRENCIES)
    full, empty = (linked.execute("c", name, args, DictHost(), GAS) for name in ("go", "empty"))
    assert full.abort is None, full.abort
    return full.gas_used - empty.gas_used + 1


@pytest.mark.parametrize(
    ("body", "units"),
    [
        ("pass", 1),
        ("var a = 1", 2),
        ("var a = n + 1", 5),
        ("var a = n + 1 - n", 7),
        ("var a = n * 2", 6),
        ("var a = n * n + n * n", 12),  # the operands of the sum are over 63 bits, and the value is fitted
        ("var a = floor_div(n, 2)", 7),
        ("var a = -n", 3),
        ("var a = n == 1 and n == 2 or n == 3", 12),
        ("var a = n in [1, 2, 3]", 10),
        ("var a = today + 3 days", 15),
        ("var a = days_between(today, today)", 15),
        ("var a = money_of(EUR, n)", 4),
        ("var a = exists Tab[n]", 32),
        ('require n == n else "no"', 4),
        ("emit Ev(n = n)", 41),
        ("if n == 1:\n    pass", 4),
        ("if n == 1:\n    pass\nelif n == 2:\n    pass", 8),
        ('insert Tab(id = n, n = n, t = "")', 243),
        ('insert Tab(id = n, n = n, t = "")\nvar a = Tab[n].n', 243 + 43),
        ('insert Tab(id = n, n = n, t = "")\nupdate Tab[n] with n = 8', 243 + 202 + 80),
        ('insert Tab(id = n, n = n, t = "")\nupdate Tab[n] with t = "b"', 243 + 202),
        ('insert Tab(id = n, n = n, t = "")\ndelete Tab[n]', 243 + 201 + 40),
        ('insert Tab(id = n, n = n, t = "")\nfor t in Tab limit 3:\n    pass', 243 + 60 + 10 + 40 + 1),
        (
            'insert Tab(id = n, n = n, t = "")\nfor t in Tab where t.t == "" limit 3:\n    pass',
            243 + 60 + 10 + 40 + 5 + 1,
        ),
        ("var a = f(n, 2)", 1 + 6 + 2 + 2 + 5),
        ("var a = role preparer of p", 2),
        ("var a = round_half_up(n / 2)", 1 + 8 + 4 + 2 + 2),
        ("var a = round_half_up(n / 3, 2)", 1 + 12 + 4 + 2 + 2 + 1),  # a number with places can be over 63 bits
        ("var a = n / 2 > n / 3", 1 + 5 + 2 * (4 + 2 + 2)),
        ("var a = round_down(n / 2 + n / 4)", 1 + 1 + 12 + 6 + 2 * (4 + 2 + 2)),
        ("var a = end_of_month(today)", 1 + 12 + 1),
        ("var a = [n, 2]", 1 + 4 + 3 + 2 + 1),
        ("var a: list(int, 3) = []", 1 + 4 + 1),
        ("var a: list(int, 3) = []\nappend n to a", 6 + 4 + 1),
        ("var a: list(int, 3) = [n]\na[0] = 3", 1 + 4 + 2 + 1 + 4 + 2),
        ("var a = [n][0]", 1 + 2 + 2 + 1 + 1),
        ("var a: map(int, int, 3) = {}\na[n] = 1", 2 + 12 + 2),
        ("var a: map(int, int, 3) = {}\na[n] = 1\nfor k, v in a:\n    pass", 16 + 2 + 4 + 1 + 5 + 1),
        ("for i in range(3):\n    pass", 2 + 1 + 3 * (2 + 1)),
        ("for i in [n, 1]:\n    pass", 2 + 3 + 2 + 2 * (2 + 1)),
        ("var a = split(EUR 1.00, 3)", 1 + 4 + 1 + 10 + 2 + 18),
    ],
)
def test_prices(body: str, units: int) -> None:
    more = "function f(a: int, b: int) -> int:\n    return a + b\n"
    assert used(body, (7, ACME), "n: int, p: party", more) == units


def test_prices_that_grow_with_size() -> None:
    def text(size: int, body: str) -> int:
        return used(body, ("x" * size, "x" * size), "a: text(400), b: text(400)")

    assert text(320, "var c = a == b") - text(0, "var c = a == b") == 10
    assert text(320, "var c: text(400) = a") == text(0, "var c: text(400) = a")
    long = used('var c = "{a}{a}"', ("x" * 160,), "a: text(200)")
    assert long - used('var c = "{a}{a}"', ("",), "a: text(200)") == 20
    row = "insert Tab(id = 1, n = 1, t = a)\nvar d = Tab[1].n"
    assert text(320, row) - text(0, row) == 20 + 10 + (0 if (5 + 320) % 16 else 1)


WIDE = b"""contract c version 1
table Tab key n: int:
    t: text(1000), m: int
{index}action fill(n: int, t: text(1000)) by anyone:
    put Tab(n = n, t = t, m = 0)
action change(n: int) by anyone:
    update Tab[n] with m = 1
action drop(n: int) by anyone:
    delete Tab[n]
"""


@pytest.mark.parametrize("index", [b"", b"    index (m)\n"], ids=["plain", "indexed"])
def test_the_worst_case_covers_the_row_that_a_write_reads(index: bytes) -> None:
    """The largest row of four-byte characters: what `update` and `delete` read is paid for by its size (H3, G5)."""
    linked = program([("c", WIDE.replace(b"{index}", index))], CURRENCIES)
    host = DictHost({}, [(signer(ACME, "a"), ALL)])
    text = "\U0001f600" * 1000
    for method, args in (("fill", (1, text)), ("fill", (1, text)), ("change", (1,)), ("drop", (1,))):
        outcome = linked.execute("c", method, args, host, GAS)
        worst = linked.interfaces["c"].actions[method].worst_gas
        assert outcome.abort is None
        assert worst / 3 < outcome.gas_used <= worst, (method, outcome.gas_used, worst)


def test_the_entry_pays_for_its_arguments_and_questions() -> None:
    source = b"contract c version 1\naction go(t: text(400)) by role preparer of caller and role approver of caller:\n    pass\n"
    linked = program([("c", source)], CURRENCIES)
    people = [(signer(ACME, "a"), ALL), (signer(ACME, "b"), ALL)]
    short = linked.execute("c", "go", ("",), DictHost({}, people), GAS)
    assert short.gas_used == 20 + 0 + 2 * QUESTION + 2 + 1
    long = linked.execute("c", "go", ("x" * 320,), DictHost({}, people), GAS)
    assert long.gas_used - short.gas_used == 10
    swapped = [(signer(BETA, "a"), ALL), *people]
    assert linked.execute("c", "go", ("",), DictHost({}, swapped), GAS).abort is not None


def test_g1_every_run_of_statements_begins_with_its_charge() -> None:
    for name, source in sources():
        used_interfaces = {code: item for code, item in program(sources(), ISO_4217).interfaces.items() if code != name}
        module = load(source, used_interfaces, ISO_4217).module
        for routine in module.routines:
            _check_block(routine.body)


def _check_block(block: ir.Block) -> None:
    fresh = True
    for statement in block:
        assert isinstance(statement, ir.Charge) == fresh
        fresh = isinstance(statement, ir.If | ir.For)
        if isinstance(statement, ir.If):
            for at, branch in enumerate(statement.branches):
                assert (branch.charge == 0) == (at == 0)
                _check_block(branch.body)
            _check_block(statement.otherwise)
        if isinstance(statement, ir.For):
            _check_block(statement.body)


def test_g2_the_ir_of_a_program_is_pinned() -> None:
    """A changed hash is a changed language; it needs a new language number (G1, D2)."""
    source = b"""contract pinned version 1
enum Phase: open, closed
table Tab key id: int:
    n: int, m: money, phase: Phase
    index (phase, n)
event Ev: n: int
invariant each Tab: row.n >= 0
action go(n: int, m: money) -> int by role preparer of caller:
    for t in Tab where t.phase == Phase.open and t.n > n limit 3:
        update Tab[t.id] with n = t.n * 2
    put Tab(id = n, n = n, m = m, phase = Phase.open)
    require m >= zero else bad "{m} is below zero"
    emit Ev(n = n)
    return min(n, 3)
"""
    code = load(source, {}, CURRENCIES)
    commented = (
        source.replace(b"action go", b"# a comment\naction go").replace(b"for t in", b"for u in").replace(b"t.", b"u.")
    )
    assert load(source, {}, CURRENCIES).interface.ir_hash == code.interface.ir_hash
    other = load(commented.replace(b"# a comment\n", b""), {}, CURRENCIES)
    assert other.interface.ir_hash == code.interface.ir_hash  # names of locals are gone
    assert other.interface.code_id != code.interface.code_id
    assert load(commented, {}, CURRENCIES).interface.ir_hash != code.interface.ir_hash  # lines stay
    assert code.interface.ir_hash.hex() == PINNED


PINNED = "b479f1ace6ea88eeccabb004704379d58eb007bc8f19677dd3441d553f1d4901"


PINNED_PROGRAMS = {
    "rates": "06aa231b74c642940da2d7f06f05aaf51ae65a54e60d6bd6262d80cb9b6f5a92",
    "containers": "5b298d2d2e01c9a278ccf2ae8382c40d1588174dafe46a41d99883891c4c092d",
    "ensures": "e536dbc260cc73a424b70c6f513fefc74d6007887b73249c03711311490a592a",
    "schedules": "8b082587e0747e1bbd54b0c8d00a8f48b032d774e2182ca0fda5c09eb453665e",
}


@pytest.mark.parametrize("name", PINNED_PROGRAMS)
def test_g2_the_ir_of_the_language_programs_is_pinned(name: str) -> None:
    """Rates, containers, `ensure` and schedules too; a change here is a change of language 1."""
    source = (Path(__file__).parents[1] / "language" / "programs" / f"{name}.contract").read_bytes()
    assert load(source, {}, ISO_4217).interface.ir_hash.hex() == PINNED_PROGRAMS[name]


def _python_calls(run: Callable[[], Any]) -> int:
    count = 0

    def note(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count


TYPICAL = b"""contract typical version 1
enum Document: issued, accepted
table Invoice key id: text(40):
    seller: party, buyer: party, total: money, open: money, document: Document
table Balance key owner: party:
    amount: money
event Settled: id: text(40), paid: money, fee: money
action open_account(owner: party, amount: money) by anyone:
    put Balance(owner = owner, amount = amount)
action issue(id: text(40), buyer: party, total: money) by role preparer of caller:
    insert Invoice(id = id, seller = caller, buyer = buyer, total = total, open = total, document = Document.accepted)
action settle(id: text(40), pay: money, fee: money) by role preparer of Invoice[id].buyer:
    let inv = Invoice[id]
    require inv.document == Document.accepted else not_payable "invoice {id} is not payable"
    require pay == inv.open else wrong_amount "amount due is {pay}"
    require fee < pay else fee_too_high "the fee {fee} would use up the payment"
    let from_buyer = Balance[inv.buyer]
    require from_buyer.amount >= pay else no_cover "the balance is {from_buyer.amount}"
    update Balance[inv.buyer] with amount = from_buyer.amount - pay
    update Balance[inv.seller] with amount = Balance[inv.seller].amount + pay - fee
    update Invoice[id] with open = zero of pay
    emit Settled(id = id, paid = pay, fee = fee)
"""


def test_e20_python_calls_of_a_typical_rule() -> None:
    linked = program([("typical", TYPICAL)], CURRENCIES)
    host = DictHost({}, [(signer(ACME, "a"), ALL)])
    for owner in (ACME, BETA):
        assert linked.execute("typical", "open_account", (owner, ("EUR", 10_000)), host, GAS).abort is None
    assert linked.execute("typical", "issue", ("i", ACME, ("EUR", 500)), host, GAS).abort is None
    host.used.clear()
    outcome: list[Any] = []
    args = ("i", ("EUR", 500), ("EUR", 2))
    calls = _python_calls(lambda: outcome.append(linked.execute("typical", "settle", args, host, GAS)))
    assert outcome[0].abort is None
    assert calls - len(host.used) <= 110, "the gate of performance E20 is about 100 Python calls"


@pytest.mark.parametrize(
    ("kind", "wanted", "values", "units"),
    [
        ("int", "7", (1, 2, 3, 4, 5, 6, 8, 9), 2),  # four values a unit, found or not
        ("int", "7", (7, 2, 3, 4, 5), 2),
        ("int", "7", (), 0),
        ("text(40)", '"' + "a" * 32 + '"', ("b",) * 6, 3),  # 32 code points make each comparison twice as dear
        ("money", "EUR 7.00", (("EUR", 1),) * 6, 6),  # the currency of each is tested first
    ],
)
def test_g3_in_a_list_pays_for_what_it_passes(kind: str, wanted: str, values: tuple[Any, ...], units: int) -> None:
    source = f"contract c version 1\nquery go(xs: list({kind}, 9)) -> bool:\n    return {wanted} in xs\n"
    source += f"query idle(xs: list({kind}, 9)) -> bool:\n    return true\n"
    linked = program([("c", source.encode())], CURRENCIES)
    full, empty = (linked.query("c", name, (values,), DictHost(), GAS) for name in ("go", "idle"))
    assert full.abort is None and full.result is (len(values) > 0 and values[0] == 7)
    nothing = linked.query("c", "go", ((),), DictHost(), GAS).gas_used
    bare = linked.query("c", "idle", ((),), DictHost(), GAS).gas_used
    assert (full.gas_used - empty.gas_used) - (nothing - bare) == units
