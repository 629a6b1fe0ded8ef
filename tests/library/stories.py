"""Trades in which every action of the library succeeds at least once: what a test asks of each action, it asks of all."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from contracts.runtime import Program
from ledger.state import MemoryState, Overlay
from tests.library.conftest import World, two
from tests.library.test_life_cycles import dsp_call, inv_call, pay_call

EUR = "EUR"
ROOT = "a" * 64
LATER = datetime.timedelta(days=31)


class Scene(NamedTuple):
    """The first successful call of an action, and the world before it."""

    rows: dict[bytes, bytes]
    day: datetime.date
    args: tuple[Any, ...]
    by: tuple[str, ...]


class Told(World):
    """A world that keeps the scene of each action it sees for the first time."""

    def __init__(self, linked: Program) -> None:
        super().__init__(linked)
        self.scenes: dict[str, Scene] = {}

    def call(self, name: str, *args: Any, by: Any) -> Any:
        before = None
        if name not in self.scenes:
            rows = {key: value for key in self.overlay.scan(b"", b"\xff", 100_000) if (value := self.overlay.get(key))}
            before = Scene(rows, self.day, args, tuple(by))
        outcome = super().call(name, *args, by=by)
        if before is not None and outcome.abort is None:
            self.scenes[name] = before
        return outcome


def world_of(linked: Program, scene: Scene) -> World:
    """Return a world as it was before the call of a scene."""
    world = World(linked)
    world.overlay = Overlay(MemoryState(scene.rows, {}, 0, bytes(32), bytes(32)))
    world.day = scene.day
    return world


def told(linked: Program) -> dict[str, Scene]:
    """Return the scene of every action that people may call."""
    scenes: dict[str, Scene] = {}
    for story in (_documents, _disputes, _credits, _payments, _returns):
        world = Told(linked)
        story(world)
        scenes = world.scenes | scenes
    return scenes


def _steps(world: World, invoice: str, *events: str) -> None:
    for event in events:
        name, args, by = inv_call(event, invoice)
        world.do(name, *args, by=by)


def _documents(world: World) -> None:
    world.do(
        "credit_risk.set_limit", "maker", [EUR, 500_000], "2026-12-31", by=["steel-risk_officer", "steel-approver"]
    )
    _steps(world, world.issue("n1", 119, 19), "receive", "start", "query", "answer", "accept")
    _steps(world, world.issue("n2", 119, 19), "receive", "reject")
    _steps(world, world.issue("n3", 119, 19), "withdraw")
    theirs = world.accepted("n5", 300, seller="maker", buyer="steel")
    world.do("set_offs.set_off", world.accepted("n4", 500), theirs, [EUR, 300], by=[*two("steel"), *two("maker")])
    world.do("credit_risk.freeze", "maker", EUR, by=["steel-risk_officer"])


def _disputes(world: World) -> None:
    for number, events in enumerate((("evidence", "uphold"), ("reject",), ("lapse",))):
        invoice = world.accepted(f"n{number}", 119, 19)
        dispute = world.do("invoices.dispute", invoice, [EUR, 40], "QUA", by=["maker-approver"])
        world.day += LATER
        for event in events:
            name, args, by = dsp_call(event, dispute, number)
            world.do(name, *args, by=by)


def _credits(world: World) -> None:
    invoice = world.accepted("n1", 119, 19)
    given = ("maker", "n2", [EUR, 10], [EUR, 0], [EUR, 10], "2026-03-04", "", ROOT)
    note = world.do("invoices.credit", *given, by=two("steel"))
    world.do("invoices.apply_credit", note, invoice, [EUR, 4], by=["steel-preparer"])
    world.do("invoices.unapply_credit", note, invoice, [EUR, 4], by=two("steel"))
    world.do("invoices.reverse_credit", note, by=two("steel"))
    world.do("invoices.write_off", invoice, [EUR, 5], "QUA", by=two("steel"))


def _payments(world: World) -> None:
    for events in (
        ("plan", "release", "confirm", "deallocate", "allocate"),
        ("release", "acknowledge"),
        ("release", "fail"),
        ("expire",),
        ("release", "confirm", "allocate", "reconcile"),
    ):
        mark = len(world.events)
        first, second = world.accepted(f"a{mark}", 100), world.accepted(f"b{mark}", 50)
        payment = world.proposed(first, 100, 80)
        world.day += LATER
        for event in events:
            name, args, by = pay_call(event, payment, first, second)
            world.do(name, *(args if len(args) < 3 or event == "plan" else _own(args, mark)), by=by)


def _own(args: tuple[Any, ...], mark: int) -> tuple[Any, ...]:
    """Return arguments whose evidence, a text at the end, is no other payment's."""
    return (*args[:-1], f"line {mark}") if isinstance(args[-1], str) else args


def _returns(world: World) -> None:
    payment = world.confirmed(world.accepted("n1", 100), 100)
    world.do("payments.return_payment", payment, "2026-03-12", "a line of its own", by=two("bank"))
    receipt = ("maker", [EUR, 70], "2026-03-05", "a line of the bank")
    world.do("payments.record_receipt", *receipt, by=two("steel"))
