"""Bad input to every action of the library is a typed refusal that costs no gas and writes nothing (L12, K55).

The cases are derived from the interfaces, so an action that is added later is tested as well.
"""

from __future__ import annotations

from typing import Any

import pytest

from contracts.library import ORDER
from contracts.limits import TX_ARGUMENT_BYTES
from contracts.runtime import Program, program
from contracts.types import Many, Type
from ledger.money import ISO_4217
from tests.language.hosts import DictHost, signer
from tests.library.conftest import two

CONTRACTS = tuple(name for name, _ in ORDER)
GAS = 200_000
EUR = "EUR"
ANYWHERE: tuple[Any, ...] = (
    None, 1.0, float("nan"), float("inf"), b"x", {}, {"a": 1}, object(), 2**63, -(2**63), 10**40, "\u202e", "\ud800",
    (), [[]], ("EUR",),
)  # fmt: skip
"""No value of any type that the library takes."""


def good(kind: Type) -> Any:
    return {
        "int": 1, "bool": True, "date": "2026-03-05", "currency": EUR, "money": (EUR, 1), "party": "steel",
        "user": "steel-preparer",
    }.get(kind.kind, "x")  # fmt: skip


def bad(kind: Type) -> list[Any]:
    """Return values that are nearly of this type."""
    near: dict[str, list[Any]] = {
        "money": [(EUR, 1.0), (EUR, "1"), (EUR, True), (EUR, 2**63), ("XXX", 1), ("eur", 1), (EUR, 1, 1), EUR, 1],
        "date": ["2026-02-29", "2026-3-5", "0000-01-01", "2026-13-01", 20260305, "2026-03-05T00:00:00", " 026-03-05"],
        "party": ["", "Steel", "a b", "x" * 65, "-x", 1, "stéel"],
        "currency": ["XXX", "eur", "", 978],
        "int": ["1", True, 1.5],
        "bool": [0, 1, "true"],
        "text": [1, True, "x" * (kind.size + 1), "a\nb", "a\x00b"],
        "enum": ["no_such_value", "", 0],
    }
    return [*ANYWHERE, *near[kind.kind]]


def actions(linked: Program) -> list[tuple[str, str]]:
    return [(name, method) for name in CONTRACTS for method in linked.interfaces[name].actions]


def test_l12_every_parameter_of_every_action_is_exact(linked: Program) -> None:
    tried = 0
    for contract, method in actions(linked):
        schema = linked.interfaces[contract].actions[method]
        for at, field in enumerate(schema.params):
            assert not isinstance(field.spec, Many)
            for value in bad(field.spec):
                args = [good(item.spec) for item in schema.params]
                args[at] = value
                host = DictHost()
                outcome = linked.rehearse(contract, method, tuple(args), host, GAS)
                assert outcome.abort is not None and outcome.abort.code == "bad_argument", (method, field.name, value)
                assert outcome.abort.text == f"`{field.name}` is not a value of type {field.type}"
                assert (outcome.gas_used, outcome.events, host.used) == (0, (), [])
                tried += 1
    assert tried > 1_000


def test_l12_missing_and_extra_arguments(linked: Program) -> None:
    for contract, method in actions(linked):
        params = linked.interfaces[contract].actions[method].params
        values = tuple(good(item.spec) for item in params)
        for args in (values[:-1], (), (*values, 1), (*values, None)):
            host = DictHost()
            outcome = linked.rehearse(contract, method, args, host, GAS)
            assert outcome.abort is not None and outcome.abort.code == "bad_argument"
            assert outcome.abort.text == f"{len(params)} arguments are expected, {len(args)} are given"
            assert (outcome.gas_used, host.used) == (0, [])


@pytest.mark.parametrize(
    ("contract", "method"),
    [("invoice", "issue"), ("invoices@1", "issue"), ("invoices", "issue@2"), ("invoices", "Issue"), ("invoices", ""),
     ("invoices", "reduce"), ("invoices", "open_of"), ("", ""), ("governance", "invite"), ("__class__", "__init__")],
)  # fmt: skip
def test_l12_unknown_contracts_versions_and_methods(linked: Program, contract: str, method: str) -> None:
    """Functions and queries are no actions, and a version is no part of a name: what is active runs (L44)."""
    host = DictHost()
    outcome = linked.execute(contract, method, ("x",), host, GAS)
    assert outcome.abort is not None and outcome.abort.code == "unknown_method"
    assert (outcome.abort.contract, outcome.gas_used, host.used) == (contract, 0, [])


def test_l45_actions_of_other_contracts_are_refused_to_people(linked: Program) -> None:
    for contract, method in actions(linked):
        schema = linked.interfaces[contract].actions[method]
        if schema.callers is None:
            continue
        host = DictHost()
        outcome = linked.execute(contract, method, tuple(good(item.spec) for item in schema.params), host, GAS)
        assert outcome.abort is not None
        assert (outcome.abort.code, outcome.abort.reason) == ("not_authorised", "by_contract")
        assert (outcome.gas_used, host.used) == (0, [])


def test_l42_a_role_without_the_right_costs_its_questions_only(world: Any) -> None:
    """Nobody's rows are read before authority is settled, and nothing is written."""
    amounts = ([EUR, 100], [EUR, 19], [EUR, 119])
    args = ("maker", "n1", "380", *amounts, "2026-03-01", "2026-03-31", "a" * 64)
    before = world.overlay.writes()
    for by in (["steel-treasurer"], ["steel-preparer"], ["steel-preparer", "steel-treasurer"], ["steel-approver"]):
        outcome = world.call("invoices.issue", *args, by=by)
        assert outcome.abort is not None and outcome.abort.code == "not_authorised"
        assert outcome.abort.reason.startswith("deny.")
        assert "role" in outcome.abort.text and "steel" in outcome.abort.text
        assert outcome.gas_used < 500
        assert world.overlay.writes() == before
    assert world.call("invoices.issue", *args, by=two("steel")).abort is None


LISTS = b"""contract lists version 1
enum Colour: red, green
action take(numbers: list(int, 3), words: list(text(4), 1000), colour: Colour) by anyone:
    pass
"""


@pytest.mark.parametrize(
    ("args", "name"),
    [
        (([1, 2, 3, 4], [], "red"), "numbers"),
        (([1, 2.0], [], "red"), "numbers"),
        (([1, None], [], "red"), "numbers"),
        (([1, True], [], "red"), "numbers"),
        (("123", [], "red"), "numbers"),
        (([], ["abcde"], "red"), "words"),
        (([], ["a"] * 1_001, "red"), "words"),
        (([], [], "blue"), "colour"),
        (([], [], 0), "colour"),
        (([], [], "Colour.red"), "colour"),
    ],
)
def test_l12_lists_and_enums(args: tuple[Any, ...], name: str) -> None:
    linked = program([("lists", LISTS)], ISO_4217)
    host = DictHost({}, [(signer("steel", "preparer"), "preparer")])
    outcome = linked.execute("lists", "take", args, host, GAS)
    assert outcome.abort is not None and outcome.abort.code == "bad_argument"
    assert outcome.abort.text.startswith(f"`{name}` is not a value of type ")
    assert (outcome.gas_used, host.used) == (0, [])


def test_arguments_have_a_size(linked: Program) -> None:
    wide = b"contract wide version 1\naction take(words: list(text(100), 1000)) by anyone:\n    pass\n"
    one = program([("wide", wide)], ISO_4217)
    outcome = one.execute("wide", "take", (["x" * 100] * 1_000,), DictHost(), GAS)
    assert outcome.abort is not None and outcome.abort.code == "bad_argument"
    assert outcome.abort.text == f"the arguments have more than {TX_ARGUMENT_BYTES} bytes"
    assert outcome.gas_used == 0
