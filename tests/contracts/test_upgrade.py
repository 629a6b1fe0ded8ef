"""Versions that replace another: what may change, older rows, users of the contract, indexes (L44, L61-L63, K50)."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import LinkError, SourceError
from contracts.resolve import resolve
from contracts.runtime import Program, link, load, older_of, program, replace_version
from contracts.syntax import tree
from contracts.syntax.parse import parse
from contracts.upgrade import differences
from tests.language.hosts import ACME, BETA, CURRENCIES, GAS, DictHost, reference_of, same

FIRST = b"""contract shelf version 1
enum Phase: open, closed
record Note: by_whom: party, words: text(10)
table Item key id: text(8):
    owner: party, price: money, phase: Phase, notes: list(Note, 2)
    index (owner)
table Other key id: int:
    n: int
action add(id: text(8), owner: party, price: money) by anyone:
    put Item(id = id, owner = owner, price = price, phase = Phase.open, notes = [Note(by_whom = owner, words = "new")])
query cost(id: text(8)) -> money:
    return Item[id].price
"""

SECOND = b"""contract shelf version 2 replaces 1
enum Phase: open, closed, lost
record Note: by_whom: party, words: text(30)
table Item key id: text(12):
    owner: party, holder: party, price: money, reserve: money, phase: Phase, notes: list(Note, 5)
    index (owner)
    index (holder, phase)
table Other key id: int:
    n: int
table Fresh key id: int:
    n: int
migrate Item: holder = row.owner, reserve = row.price * 2
action add(id: text(12), owner: party, price: money) by anyone:
    put Item(id = id, owner = owner, holder = owner, price = price, reserve = price, phase = Phase.lost, notes = [])
action hand_over(id: text(12), to_whom: party) by anyone:
    update Item[id] with holder = to_whom
query cost(id: text(12)) -> money:
    return Item[id].reserve
query held(by_whom: party) -> int:
    var total = 0
    for item in Item where item.holder == by_whom and item.phase == Phase.open limit 5:
        total += 1
    return total
"""

THIRD = b"""contract shelf version 3 replaces 2
enum Phase: open, closed, lost
record Note: by_whom: party, words: text(30)
table Item key id: text(12):
    owner: party, holder: party, price: money, reserve: money, phase: Phase, notes: list(Note, 5), first: text(20)
    index (owner)
    index (holder, phase)
table Other key id: int:
    n: int
table Fresh key id: int:
    n: int
migrate Item: first = row.notes[0].words
query cost(id: text(12)) -> money:
    return Item[id].reserve
query first_words(id: text(12)) -> text(20):
    return Item[id].first
"""

USER = b"""contract buyer version 1
uses shelf@1
query double(id: text(8)) -> money:
    return shelf.cost(id) * 2
"""


def run(linked: Program, state: dict[bytes, bytes], method: str, *args: Any) -> Any:
    """Run a call on both ways of running, which must agree, and return the outcome."""
    contract, _, name = method.partition(".")
    mine, other = DictHost(state), DictHost(dict(state))
    call = linked.execute if name in linked.interfaces[contract].actions else linked.query
    outcome = call(contract, name, args, mine, GAS)
    assert same(outcome, reference_of(linked, CURRENCIES), (contract, name, args, False), other) == ""
    assert outcome.abort is not None or mine.state == other.state
    return outcome


def test_l62_older_rows_are_lifted_when_they_are_read_and_kept_as_they_are() -> None:
    state: dict[bytes, bytes] = {}
    first = program([("shelf", FIRST)], CURRENCIES)
    assert run(first, state, "shelf.add", "a", ACME, ("EUR", 100)).abort is None
    before = dict(state)
    second = program([("shelf", FIRST), ("shelf", SECOND)], CURRENCIES)
    assert run(second, state, "shelf.cost", "a").result == ("EUR", 200)
    assert state == before
    row = second.interfaces["shelf"].decode_row("Item", state[second.interfaces["shelf"].row_key("Item", ["a"])])
    assert (row["holder"], row["reserve"], row["notes"]) == (ACME, ("EUR", 200), ((ACME, "new"),))
    entries = second.interfaces["shelf"].index_entries("Item", state[second.interfaces["shelf"].row_key("Item", ["a"])])
    assert len(entries) == 2
    state.update(dict.fromkeys(entries, b"\xc0"))  # what a node builds at activation (H6)
    assert run(second, state, "shelf.held", ACME).result == 1
    assert run(second, state, "shelf.hand_over", "a", BETA).abort is None
    assert run(second, state, "shelf.held", ACME).result == 0
    assert run(second, state, "shelf.held", BETA).result == 1
    assert run(second, state, "shelf.add", "b", ACME, ("EUR", 7)).abort is None


def test_l62_two_layouts_are_passed_in_order_and_paid_for() -> None:
    state: dict[bytes, bytes] = {}
    run(program([("shelf", FIRST)], CURRENCIES), state, "shelf.add", "a", ACME, ("EUR", 100))
    second = program([("shelf", FIRST), ("shelf", SECOND)], CURRENCIES)
    third = program([("shelf", FIRST), ("shelf", SECOND), ("shelf", THIRD)], CURRENCIES)
    assert third.interfaces["shelf"].formats["Item"].layout == 3
    assert third.interfaces["shelf"].formats["Other"].layout == 1
    assert run(third, state, "shelf.first_words", "a").result == "new"
    old = run(third, state, "shelf.cost", "a")
    assert old.result == ("EUR", 200)
    run(second, state, "shelf.add", "b", ACME, ("EUR", 100))
    outcome = run(third, state, "shelf.first_words", "b")
    assert outcome.abort is not None  # a row that cannot be lifted ends the call, at the line of `migrate`
    assert (outcome.abort.code, outcome.abort.line) == ("index_range", 12)
    assert old.gas_used <= third.interfaces["shelf"].queries["cost"].worst_gas
    lifts = third.codes["shelf"].lift_costs["Item"].gas
    assert lifts > 0


def test_l62_rows_that_a_new_invariant_would_refuse_are_listed() -> None:
    state: dict[bytes, bytes] = {}
    first = program([("shelf", FIRST)], CURRENCIES)
    for name, minor in (("a", 100), ("b", 3), ("c", 40)):
        run(first, state, "shelf.add", name, ACME, ("EUR", minor))
    strict = SECOND.replace(b"query held", b"invariant each Item: row.reserve > EUR 0.50\nquery held")
    second = program([("shelf", FIRST), ("shelf", strict)], CURRENCIES)
    line = strict[: strict.index(b"invariant")].count(b"\n") + 1
    key = second.interfaces["shelf"].row_key("Item", ["b"])
    assert second.failing_rows("shelf", DictHost(state), 100) == (("Item", key, line),)
    assert second.failing_rows("shelf", DictHost(state), 1) == ()
    refused = run(second, state, "shelf.hand_over", "b", BETA)
    assert refused.abort is not None
    assert refused.abort.code == "invariant_failed"
    assert run(second, state, "shelf.hand_over", "c", BETA).abort is None


def test_l44_users_are_compiled_again_or_the_upgrade_is_refused() -> None:
    codes = program([("shelf", FIRST), ("buyer", USER)], CURRENCIES).codes
    with pytest.raises(LinkError, match="buyer: it was compiled against another version"):
        link({"shelf": load(SECOND, {}, CURRENCIES, codes["shelf"]), "buyer": codes["buyer"]})
    after = replace_version(codes, SECOND)
    state: dict[bytes, bytes] = {}
    run(program([("shelf", FIRST)], CURRENCIES), state, "shelf.add", "a", ACME, ("EUR", 100))
    assert run(link(after), state, "buyer.double", "a").result == ("EUR", 400)
    without = SECOND[: SECOND.index(b"query cost")] + SECOND[SECOND.index(b"query held") :]
    with pytest.raises(LinkError, match="buyer: it no longer fits version 2 of shelf"):
        replace_version(codes, without)
    with pytest.raises(SourceError, match="version 1 is active"):
        replace_version(codes, THIRD)


K50 = {
    "table Other is removed": (b"table Other key id: int:\n    n: int\n", b""),
    "field Item.price is money and would be int": (b"holder: party, price: money, reserve", b"holder: party, price: int, reserve"),
    "field Item.price is removed": (b"holder: party, price: money, reserve: money", b"holder: party, cost_of: money, reserve: money"),
    "table Item has its fields in another order": (b"owner: party, holder: party, price: money,", b"price: money, holder: party, owner: party,"),
    "key Item has another key": (b"key id: text(12)", b"key (id: text(12), extra: int)"),
    "index Item loses or reorders": (b"    index (owner)\n", b""),
    "enum Phase loses, renames or reorders": (b"open, closed, lost", b"closed, open, lost"),
    "field Item.id is text(8) and would be text(4)": (b"key id: text(12)", b"key id: text(4)"),
    "field Item.notes is list(shelf.Note, 2) and would be list(shelf.Note, 1)": (b"list(Note, 5)", b"list(Note, 1)"),
    "record Note changes its fields": (b"words: text(30)", b"words: text(30), more: int"),
}  # fmt: skip


@pytest.mark.parametrize("text", K50)
def test_k50_what_an_upgrade_may_not_do(text: str) -> None:
    old = load(FIRST, {}, CURRENCIES)
    before, after = K50[text]
    assert before in SECOND
    with pytest.raises(SourceError) as caught:
        load(SECOND.replace(before, after, 1), {}, CURRENCIES, old)
    assert caught.value.code == "incompatible"
    assert text.partition(" ")[2].split(" ", 1)[1] in caught.value.text


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (b"migrate Item: holder = row.owner, reserve = row.price * 2\n", b"", "migrate"),
        (b"holder = row.owner, reserve", b"reserve", "arguments"),
        (b"holder = row.owner", b"holder = row.holder", "undeclared"),
        (b"reserve = row.price * 2", b"reserve = row.price * height", "migrate"),
        (b"reserve = row.price * 2", b"reserve = Item[row.id].price", "effect"),
        (b"reserve = row.price * 2", b"reserve = cost(row.id)", "effect"),
        (b"migrate Item", b"migrate Other: m = 1\nmigrate Item", "migrate"),
        (b"migrate Item", b"migrate Gone: m = 1\nmigrate Item", "undeclared"),
        (b"version 2 replaces 1", b"version 4 replaces 3", "version"),
        (b" replaces 1", b"", "migrate"),
    ],
)
def test_l62_migrations_are_complete_and_pure(before: bytes, after: bytes, code: str) -> None:
    old = load(FIRST, {}, CURRENCIES)
    assert before in SECOND
    with pytest.raises(SourceError) as caught:
        load(SECOND.replace(before, after, 1), {}, CURRENCIES, old)
    assert caught.value.code == code


def test_l61_every_difference_has_a_name() -> None:
    file = parse(SECOND)
    assert isinstance(file, tree.Contract)
    found = differences("shelf", older_of(load(FIRST, {}, CURRENCIES)), resolve(file, {}, CURRENCIES))
    assert all(item.allowed for item in found)
    assert {f"{item.kind} {item.name} {item.text}" for item in found} >= {
        "enum Phase gains lost",
        "field Item.id is text(8) and takes text(12)",
        "field Item.holder is new: party",
        "index Item (holder, phase) is new and is built at activation",
        "table Fresh is new",
    }


SHELF = b"""contract tray version 1
table Item key id: int:
    words: text(12){index}
action add(id: int, words: text(12)) by anyone:
    insert Item(id = id, words = words)
"""
CUT = b"""contract tray version 2 replaces 1
table Item key id: int:
    words: text(12), short: text(4){index}
migrate Item: short = row.words
action change(id: int) by anyone:
    put Item(id = id, words = "x", short = "x")
action edit(id: int) by anyone:
    update Item[id] with short = "x"
action drop(id: int) by anyone:
    delete Item[id]
action again(id: int) by anyone:
    insert Item(id = id, words = "x", short = "x")
query there(id: int) -> bool:
    return exists Item[id]
query below(n: int) -> int:
    var found = 0
    for item in Item where item.id < n limit 2:
        found += count_of(item.short)
    return found
query seek(n: int) -> int:
    for item in Item where item.id > n first 1:
        return item.id
    return 0
function count_of(t: text(4)) -> int:
    if t == "":
        return 0
    return 1
"""


@pytest.mark.parametrize("index", [b"", b"\n    index (words)"], ids=["plain", "indexed"])
def test_l62_a_row_that_cannot_be_lifted_ends_what_touches_it_and_nothing_else(index: bytes) -> None:
    """Rows 2 and 3 do not fit the new field. `put` lifts like `update` and `delete`, with an index and without."""
    first, second = SHELF.replace(b"{index}", index), CUT.replace(b"{index}", index)
    state: dict[bytes, bytes] = {}
    for number, words in ((1, "ab"), (2, "too long"), (3, "too long")):
        assert run(program([("tray", first)], CURRENCIES), state, "tray.add", number, words).abort is None
    upgraded = program([("tray", first), ("tray", second)], CURRENCIES)
    for method in ("change", "edit", "drop"):
        outcome = run(upgraded, dict(state), f"tray.{method}", 2)
        assert outcome.abort is not None
        assert (outcome.abort.code, outcome.abort.line) == ("text_too_long", 4 + index.count(b"\n")), method
        assert run(upgraded, dict(state), f"tray.{method}", 1).abort is None
        schema = upgraded.interfaces["tray"].actions[method]
        assert outcome.gas_used <= schema.worst_gas
    again = run(upgraded, state, "tray.again", 2)
    assert again.abort is not None
    assert again.abort.code == "row_exists"  # `insert` and `exists` look for the key alone
    assert run(upgraded, state, "tray.there", 2).result is True
    assert run(upgraded, state, "tray.below", 2).result == 1  # the rows beside the range are not read
    for bound, code in ((3, "text_too_long"), (4, "limit_exceeded")):  # the limit is tested before the first row is
        outcome = run(upgraded, state, "tray.below", bound)
        assert outcome.abort is not None
        assert outcome.abort.code == code
    assert run(upgraded, state, "tray.seek", 0).result == 1  # the loop ends before row 2


def test_l62_put_pays_for_the_older_row_and_not_for_its_own() -> None:
    state: dict[bytes, bytes] = {}
    first, second = SHELF.replace(b"{index}", b""), CUT.replace(b"{index}", b"")
    run(program([("tray", first)], CURRENCIES), state, "tray.add", 1, "ab")
    upgraded = program([("tray", first), ("tray", second)], CURRENCIES)
    older, own = run(upgraded, state, "tray.change", 1).gas_used, run(upgraded, state, "tray.change", 1).gas_used
    lift = upgraded.codes["tray"].lift_costs["Item"].gas
    assert 0 < older - own <= lift
