"""Gas exhaustion at every value, for real calls of the library through the real host (G4, K17, K58).

Two ways of running count gas: the closures of a node, and the watched ones of the tools. Both must stop at the same
value with the same words and leave nothing behind.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from contracts.runtime import Program, link
from ledger.transaction import SignerRef, TxBody, unsigned
from ledger.transition import TransactionHost
from tests.library.conftest import BLANK, GAS, World, two

EUR = "EUR"
ROOT = "a" * 64
CALLS = ("issue", "receive", "accept", "reject", "credit", "set_limit", "propose", "release", "confirm", "set_off")


def call_of(world: World, name: str) -> tuple[str, tuple[Any, ...], list[str]]:
    """Bring a world to where the call is possible; return it with its signers."""
    amounts = ([EUR, 100], [EUR, 19], [EUR, 119])
    match name:
        case "issue":
            return "invoices.issue", ("maker", "n9", "380", *amounts, "2026-03-01", "2026-03-31", ROOT), two("steel")
        case "receive":
            return "invoices.receive", (world.issue("n1"),), ["maker-preparer"]
        case "accept":
            limit = ("maker", [EUR, 100_000], "2026-12-31")
            world.do("credit_risk.set_limit", *limit, by=["steel-risk_officer", "steel-approver"])
            invoice = world.issue("n1")
            world.do("invoices.receive", invoice, by=["maker-preparer"])
            return "acceptance.accept", (invoice,), two("maker")
        case "reject":
            invoice = world.issue("n1")
            world.do("invoices.receive", invoice, by=["maker-preparer"])
            return "invoices.reject", (invoice, "QUA"), ["maker-approver"]
        case "credit":
            invoice = world.accepted("n1", 119, 19)
            return "invoices.credit", ("maker", "c1", *amounts, "2026-03-04", invoice, ROOT), two("steel")
        case "set_limit":
            return (
                "credit_risk.set_limit", ("maker", [EUR, 5_000], "2026-12-31"), ["steel-risk_officer", "steel-approver"]
            )  # fmt: skip
        case "propose":
            line = [EUR, 119]
            return "payments.propose", ("steel", "bank", line, world.accepted("n1", 119), line), two("maker")
        case "release":
            return "payments.release", (world.proposed(world.accepted("n1", 119), 119),), ["maker-treasurer"]
        case "confirm":
            payment = world.released(world.accepted("n1", 119), 119)
            return "payments.confirm", (payment, "2026-03-05", "line 7"), two("bank")
        case _:
            mine = world.accepted("n1", 500)
            theirs = world.accepted("n2", 300, seller="maker", buyer="steel")
            return "set_offs.set_off", (mine, theirs, [EUR, 300]), [*two("steel"), *two("maker")]


def host_of(world: World, path: tuple[str, str], args: tuple[Any, ...], by: list[str]) -> TransactionHost:
    refs = tuple(SignerRef(user, "maker", user.partition("-")[0]) for user in by)
    body = TxBody(1, refs, 99, 110, *path, args, GAS)
    header = replace(BLANK, height=99, time_ms=1_772_668_800_000)
    return TransactionHost(world.overlay, unsigned(body, b"t" * 32), header, world.day.toordinal() - 1)


@pytest.mark.parametrize("watched", [False, True], ids=["closures", "watched"])
@pytest.mark.parametrize("name", CALLS)
def test_g4_k58_every_gas_value_below_the_need_leaves_nothing(
    new_world: Any, linked: Program, name: str, watched: bool
) -> None:
    world = new_world()
    called, args, by = call_of(world, name)
    contract, _, method = called.partition(".")
    program = link(linked.codes, lambda *_: None) if watched else linked
    host = host_of(world, (contract, method), args, by)
    before = world.overlay.writes()

    world.overlay.begin()
    full = program.execute(contract, method, args, host, GAS)
    assert full.abort is None, full.abort
    written = world.overlay.writes()
    assert written != before
    world.overlay.rollback()

    lines = []
    for gas in range(full.gas_used):
        world.overlay.begin()
        short = program.execute(contract, method, args, host, gas)
        world.overlay.rollback()
        assert short.abort is not None and short.abort.code == "out_of_gas", gas
        assert (short.gas_used, short.events, short.result) == (gas, (), None)
        assert world.overlay.writes() == before
        lines.append((short.abort.contract, short.abort.line))

    world.overlay.begin()
    assert program.execute(contract, method, args, host, full.gas_used) == full  # the first limit that suffices
    assert world.overlay.writes() == written
    world.overlay.rollback()
    if watched:  # both ways stop at the same place, whatever the limit
        for gas in range(0, full.gas_used, 3):
            world.overlay.begin()
            plain = linked.execute(contract, method, args, host, gas)
            world.overlay.rollback()
            assert plain.abort is not None
            assert (plain.abort.contract, plain.abort.line) == lines[gas]
