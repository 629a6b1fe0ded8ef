"""The overlay against a plain dictionary: own writes are seen, layers fold or vanish, scans are in key order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.ids import ZERO_HASH
from ledger.state import MemoryState, Overlay

keys = st.integers(0, 12).map(lambda i: b"k%02d" % i)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), keys, st.binary(max_size=2)),
        st.tuples(st.just("delete"), keys),
        st.tuples(st.sampled_from(("begin", "commit", "rollback"))),
        st.tuples(st.just("scan"), keys, keys, st.integers(0, 14)),
    ),
    max_size=60,
)


def view(rows: dict[bytes, bytes]) -> MemoryState:
    return MemoryState(rows, {}, 0, ZERO_HASH, ZERO_HASH)


@given(st.dictionaries(keys, st.binary(max_size=2)), steps)
@settings(max_examples=200, deadline=None)
def test_h2_the_overlay_equals_a_stack_of_dictionaries(base: dict[bytes, bytes], done: list[tuple]) -> None:  # type: ignore[type-arg]
    overlay, stack = Overlay(view(base)), [dict(base)]
    for step in done:
        match step:
            case ("put", key, value):
                overlay.put(key, value)
                stack[-1][key] = value
            case ("delete", key):
                overlay.delete(key)
                stack[-1].pop(key, None)
            case ("begin",):
                overlay.begin()
                stack.append(dict(stack[-1]))
            case ("commit",) if len(stack) > 1:
                overlay.commit()
                stack[-2:] = [stack[-1]]
            case ("rollback",) if len(stack) > 1:
                overlay.rollback()
                stack.pop()
            case ("scan", low, high, count):
                expected = [key for key in sorted(stack[-1]) if low <= key < high][:count]
                assert overlay.scan(low, high, count) == expected
    for key in {*base, *stack[-1]}:
        assert overlay.get(key) == stack[-1].get(key)
    while len(stack) > 1:
        overlay.commit()
        stack[-2:] = [stack[-1]]
    after = view(base).apply(overlay.writes(), {}, 1, ZERO_HASH, ZERO_HASH)
    assert after.scan(b"", b"\xff", 100) == sorted(stack[-1])
    assert [key for key, _ in overlay.writes()] == sorted({key for key, _ in overlay.writes()})


def test_a_view_is_not_changed_by_the_block_after_it() -> None:
    before = view({b"a": b"1", b"b": b"2"})
    after = before.apply([(b"a", None), (b"c", b"3")], {b"": b"node"}, 1, bytes([1]) * 32, ZERO_HASH)
    assert (before.get(b"a"), before.tree_node(b""), before.height) == (b"1", None, 0)
    assert (after.get(b"a"), after.tree_node(b""), after.height) == (None, b"node", 1)
    gone = after.apply([], {b"": None}, 2, ZERO_HASH, ZERO_HASH)
    assert (gone.tree_node(b""), gone.scan(b"", b"z", 1)) == (None, [b"b"])
