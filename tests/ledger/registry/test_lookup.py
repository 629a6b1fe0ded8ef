"""LR3: the nonce window against a plain set, and records read back from state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.codec import encode
from ledger.registry.lookup import (
    NONCE_WINDOW,
    UNUSED,
    check_nonce,
    check_signers,
    encode_nonces,
    nonce_codec,
    nonce_free,
    nonce_key,
    read_company,
    read_mandate,
    read_node,
    read_nonces,
    read_user,
    use_nonce,
)
from ledger.registry.records import node_id

if TYPE_CHECKING:
    from tests.ledger.conftest import Sample


@given(st.lists(st.integers(0, 700), max_size=400))
@settings(max_examples=100, deadline=None)
def test_lr3_the_window_equals_a_plain_set(asked: list[int]) -> None:
    window, used, floor = UNUSED, set(), 0
    for nonce in asked:
        free = floor < nonce <= floor + NONCE_WINDOW and nonce not in used
        assert nonce_free(window, nonce) is free
        if free:
            used.add(nonce)
            while floor + 1 in used:
                floor += 1
            window = use_nonce(window, nonce)
            assert nonce_codec.decode(encode_nonces(window)) == window
        assert window.floor == floor


def test_lr3_a_full_window_moves_as_one() -> None:
    window = UNUSED
    for nonce in range(NONCE_WINDOW, 1, -1):
        window = use_nonce(window, nonce)
    assert (window.floor, nonce_free(window, 257)) == (0, False)
    window = use_nonce(window, 1)
    assert (window.floor, window.marks) == (256, bytes(32))


def test_lr3_the_largest_number_is_no_way_around_the_window() -> None:
    assert not nonce_free(UNUSED, 2**64 - 1)
    assert not nonce_free(UNUSED, 0)


def test_check_nonce_reads_the_window_of_the_user() -> None:
    rows = {nonce_key("u-one"): encode_nonces(use_nonce(UNUSED, 1))}
    assert not check_nonce(rows, "u-one", 1)
    assert check_nonce(rows, "u-one", 2)
    assert check_nonce(rows, "u-two", 1)
    assert read_nonces(rows, "u-two") == UNUSED


def test_lr9_records_come_back_from_state(sample: Sample) -> None:
    company = sample.document.companies[0]
    assert read_company(sample.state, company.company_id) == company
    user = sample.document.users[0]
    assert read_user(sample.state, user.user_id) == user
    node = sample.document.nodes[0]
    assert read_node(sample.state, node.node_id) == node
    assert node.node_id == node_id(node.consensus[0].public_key)
    for reader in (read_company, read_user, read_node):
        assert reader(sample.state, "nobody") is None
    assert read_mandate(sample.state, company.company_id, user.user_id) is None


def test_check_signers_says_what_is_wrong(sample: Sample) -> None:
    good = sample.transaction()
    assert check_signers(sample.state, good, 1, 1_780_000_001_000) == ""
    assert "not registered" in check_signers({}, good, 1, 1_780_000_001_000)
    wrong = sample.transaction(roles=("preparer",), keys=[sample.people[sample.companies[0]]["approver"][1]])
    assert "not the one in force" in check_signers(sample.state, wrong, 1, 1_780_000_001_000)
    assert encode(good.body) == encode(sample.transaction().body)
