"""The set of committed ids: exact, bounded by validity, small."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from ledger.crypto.hashing import H, Tag
from node.core.committed import ID_BYTES, CommittedIds

_ids = st.binary(min_size=ID_BYTES, max_size=ID_BYTES)
_same_place = st.lists(st.sampled_from([0, 1]), min_size=ID_BYTES, max_size=ID_BYTES).map(bytes)


@given(st.lists(st.tuples(st.one_of(_ids, _same_place), st.integers(1, 60)), max_size=80), _same_place)
def test_i26_holds_exactly_what_was_added_while_it_is_valid(added: list[tuple[bytes, int]], other: bytes) -> None:
    held, model = CommittedIds(20), dict[bytes, int]()
    for tx_id, valid_until in added:
        model.setdefault(tx_id, valid_until)
        held.add(tx_id, valid_until)
    assert all(tx_id in held for tx_id in model) and held.count == len(model)
    assert (other in held) == (other in model)
    for height in range(0, 70, 3):
        held.passed(height)
        assert all(tx_id in held for tx_id, valid_until in model.items() if valid_until > height)
    assert held.count == 0 and not any(tx_id in held for tx_id in model)


def test_an_id_across_two_others_is_not_taken_for_one() -> None:
    first, second = bytes(31) + b"\x01", bytes(32)
    held = CommittedIds(8)
    held.add(first, 5)
    held.add(second, 5)
    across = (first + second)[1:33]
    assert across not in held
    held.add(across, 5)
    assert across in held and held.count == 3


def test_an_id_takes_less_than_half_of_what_a_dictionary_takes() -> None:
    ids = [H(Tag.ENVELOPE, number.to_bytes(4, "big")) for number in range(50_000)]
    held = CommittedIds(1_000)
    for tx_id in ids:
        held.add(tx_id, 1_000)
    (places,) = held._spans.values()
    size = sys.getsizeof(places) + sum(sys.getsizeof(part) for part in places.values())
    assert size < 60 * len(ids) < (sys.getsizeof(ids[0]) + 100) * len(ids) / 2
