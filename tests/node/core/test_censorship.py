"""P132: what waits is handed to the primary; what the primary passes over is noticed; nobody is suspected falsely."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from ledger.codec import encode
from ledger.registry.lookup import read_user, user_key
from node.core import effects as ne
from node.core.mempool import OVERTAKEN_BLOCKS, UNLED
from node.core.messages import TxBatch

from .conftest import MS, Pool

PRIMARY = 2
PARAMS = {"fwd_ms": 1_000, "req_ms": 10_000}


def sent(effects: list[ne.NodeEffect]) -> tuple[list[bytes], list[bytes]]:
    """Envelopes handed to the primary, and those sent to everybody."""
    handed: list[bytes] = []
    shown: list[bytes] = []
    for effect in effects:
        if isinstance(effect, ne.SendPeer):
            assert effect.to == PRIMARY and isinstance(effect.message, TxBatch)
            handed += effect.message.envelopes
        elif isinstance(effect, ne.BroadcastPeer):
            assert isinstance(effect.message, TxBatch)
            shown += effect.message.envelopes
    return handed, shown


@pytest.fixture
def pool(make: Callable[..., Pool]) -> Pool:
    one = make(own=0, **PARAMS)
    one.pool.new_turn(one.now, PRIMARY, 0)
    return one


def pass_by(pool: Pool, nonces: range, firm: int = 3, **waiting: bytes) -> None:
    """A block of other transactions is committed; what `waiting` names is left out."""
    others = [pool.envelope(firm, nonce, text="other") for nonce in nonces]
    pool.gossiped(firm, *others)
    left_out = tuple(tx_id for tx_id, entry in pool.pool.waiting.items() if entry.tx.envelope in waiting.values())
    proposal = pool.build(taken=left_out, empty=True)
    assert proposal is not None
    pool.now += MS
    pool.commit(proposal)


def test_p132_a_body_goes_to_the_primary_after_t_fwd_and_only_there(pool: Pool) -> None:
    mine, theirs = pool.envelope(0, 1), pool.envelope(1, 1)
    pool.submit(mine)
    pool.gossiped(1, theirs)
    pool.pool.gossip()
    assert sent(pool.forward(999)) == ([], [])
    assert sent(pool.forward(1)) == ([mine, theirs], [])  # every member that holds it hands it over
    assert sent(pool.forward(1_000)) == ([theirs], [mine])  # U19: what was admitted here goes to all after that
    assert sent(pool.forward(1_999)) == ([], [])  # the pause doubles


def test_p132_the_primary_itself_hands_nothing_to_anybody(make: Callable[..., Pool]) -> None:
    pool = make(own=PRIMARY, **PARAMS)
    pool.pool.new_turn(pool.now, PRIMARY, 0)
    pool.submit(pool.envelope(0, 1))
    pool.pool.gossip()
    pass_by(pool, range(1, 2))
    for _ in range(30):
        assert sent(pool.forward(1_000)) == ([], [])
    assert not pool.pool.work(pool.now, 0).overdue


def test_p132_who_led_a_view_that_is_left_shows_what_was_admitted_here_to_all(make: Callable[..., Pool]) -> None:
    """The others may be idle in the view before, and nobody else knows of it (swarm seed 7176)."""
    pool = make(own=PRIMARY, **PARAMS)
    pool.pool.new_turn(pool.now, PRIMARY, 0)
    mine, theirs = pool.envelope(PRIMARY, 1), pool.envelope(1, 1)
    pool.submit(mine)
    pool.gossiped(1, theirs)
    pool.pool.gossip()  # lost with the links
    assert sent(pool.forward(1_000)) == ([], [])
    pool.pool.new_turn(pool.now, UNLED, 0)
    assert sent(pool.forward(2_000)) == ([], [mine])
    pool.pool.new_turn(pool.now, PRIMARY, 0)
    assert sent(pool.forward(10_000)) == ([], [])


def test_p132_a_block_with_room_and_t_req_make_it_overdue(pool: Pool) -> None:
    mine = pool.envelope(0, 1)
    pool.submit(mine)
    pool.forward(1_000)
    pass_by(pool, range(1, 3), mine=mine)
    assert not pool.pool.work(pool.now, 0).overdue  # the primary gets its time
    for _ in range(8):
        pool.forward(1_000)
    assert not pool.pool.work(pool.now, 0).overdue
    handed, shown = sent(pool.forward(2_000))
    assert pool.pool.changed and pool.pool.work(pool.now, 0).overdue
    assert (handed, shown) == ([], [mine])  # now all members get it
    proposal = pool.build()
    assert proposal is not None
    pool.commit(proposal)
    assert not pool.pool.work(pool.now, 0).overdue  # P51: until that transaction commits


def test_p132_without_a_block_that_could_have_held_it_nobody_is_blamed(pool: Pool) -> None:
    pool.submit(pool.envelope(0, 1))
    pass_by(pool, range(1, 2), mine=pool.envelope(0, 1))  # before it was handed over
    for _ in range(40):
        pool.forward(1_000)
    assert not pool.pool.work(pool.now, 0).overdue


def test_p132_blocks_that_come_by_sync_say_nothing(pool: Pool) -> None:
    mine = pool.envelope(0, 1)
    pool.submit(mine)
    pool.forward(1_000)
    proposal = pool.build(taken=tuple(pool.pool.waiting), empty=True)
    assert proposal is not None
    pool.now += MS
    pool.commit(proposal, live=False)
    for _ in range(30):
        pool.forward(1_000)
    assert not pool.pool.work(pool.now, 0).overdue


@pytest.mark.parametrize("later", [True, False])
def test_p132_full_blocks_count_only_when_they_hold_what_came_later(make: Callable[..., Pool], later: bool) -> None:
    pool = make(own=0, max_block_txs=2, **PARAMS)
    pool.pool.new_turn(pool.now, PRIMARY, 0)
    before = [pool.envelope(3, nonce, text="before") for nonce in range(1, 2 * OVERTAKEN_BLOCKS + 1)]
    if not later:
        pool.gossiped(3, *before)
    mine = pool.envelope(0, 1)
    pool.submit(mine)
    pool.forward(1_000)
    pool.now += MS
    if later:
        pool.gossiped(3, *before)
    tx_id = next(tx_id for tx_id, entry in pool.pool.waiting.items() if entry.tx.envelope == mine)
    for _ in range(OVERTAKEN_BLOCKS):
        proposal = pool.build(taken=(tx_id,), max_txs=2)
        assert proposal is not None and len(proposal.tx_ids) == 2
        pool.commit(proposal)
    pool.forward(11_000)
    # A queue that is served in its order is no censorship, however long it is.
    assert pool.pool.work(pool.now, 0).overdue is later


def test_p132_each_new_primary_is_handed_it_and_given_the_time_anew(pool: Pool) -> None:
    mine = pool.envelope(0, 1)
    pool.submit(mine)
    pool.forward(1_000)
    pass_by(pool, range(1, 2), mine=mine)
    pool.forward(11_000)
    assert pool.pool.work(pool.now, 0).overdue
    pool.pool.new_turn(pool.now, PRIMARY, 1)
    assert not pool.pool.work(pool.now, 0).overdue
    assert sent(pool.forward(1_000))[0] == [mine]
    pass_by(pool, range(2, 3), mine=mine)
    for _ in range(18):
        pool.forward(1_000)
        assert not pool.pool.work(pool.now, 0).overdue  # back-off: twice T_req after a view change
    pool.forward(2_000)
    assert pool.pool.work(pool.now, 0).overdue
    pool.pool.new_turn(pool.now, PRIMARY, 30)
    assert pool.pool._patience_ns == pool.league.params.t_cap_ms * MS  # P68: capped


def test_scenario_55_two_bodies_with_one_nonce_raise_no_suspicion(pool: Pool) -> None:
    """The client tells this node one thing and the primary another; the primary's is committed."""
    mine, rival = pool.envelope(0, 1, text="mine"), pool.envelope(0, 1, text="rival")
    pool.submit(mine)
    pool.forward(1_000)
    twin = type(pool)(pool.league, PRIMARY, pool.pool.__class__(**fresh(pool)), pool.state)
    twin.submit(rival)
    proposal = twin.build()
    assert proposal is not None
    pool.pool.adopt(b"r" * 32, twin.candidate(proposal))
    pool.pool.committed(twin.candidate(proposal))
    work = pool.pool.work(pool.now, 0)
    assert (work.count, work.oldest_ns) == (0, 0)  # P65: not eligible, so no timer waits for it
    assert len(pool.pool.waiting) == 1  # its client will still get a receipt, a failed one
    pool.forward(1_000)  # not executed yet: nothing is decided
    assert pool.pool.work(pool.now, 0).count == 0
    twin.commit(proposal)
    pool.pool.executed = twin.pool.executed
    for _ in range(40):
        pool.forward(1_000)
    work = pool.pool.work(pool.now, 0)
    assert not work.overdue and work.count == 0


def test_scenario_55_a_rival_that_failed_for_its_signer_leaves_the_nonce_free(pool: Pool) -> None:
    mine, rival = pool.envelope(0, 1, text="mine"), pool.envelope(0, 1, text="rival")
    pool.submit(mine)
    twin = type(pool)(pool.league, PRIMARY, pool.pool.__class__(**fresh(pool)), pool.state)
    twin.submit(rival)
    proposal = twin.build()
    assert proposal is not None
    pool.pool.committed(twin.candidate(proposal))
    assert pool.pool.work(pool.now, 0).count == 0
    pool.pool.executed = 1  # bad_signer changed nothing (LR3)
    pool.forward(1_000)
    assert pool.pool.work(pool.now, 0).count == 1


def fresh(pool: Pool) -> dict[str, object]:
    counter = iter(range(10_000, 20_000))
    return {
        "own": PRIMARY,
        "chain_id": pool.league.chain_id,
        "params": pool.league.params,
        "read": lambda: pool.state,
        "next_token": lambda: next(counter),
        "evidence": pool.pool.evidence,
        "time_ms": pool.league.genesis.ref.time_ms,
    }


def test_p132_what_no_correct_primary_would_take_is_no_reason_to_suspect(pool: Pool) -> None:
    """Its signer was suspended meanwhile: a failed receipt is all it could get, so leaving it out is no censorship."""
    mine = pool.envelope(0, 1)
    pool.submit(mine)
    pool.forward(1_000)
    pass_by(pool, range(1, 2), mine=mine)
    person = pool.league.firms[0].staff["preparer"].user_id
    user = read_user(pool.state, person)
    assert user is not None
    pool.state.rows[user_key(person)] = encode(msgspec.structs.replace(user, status="suspended"))
    pool.forward(11_000)
    assert not pool.pool.work(pool.now, 0).overdue
    pool.state.rows[user_key(person)] = encode(user)
    pool.forward(1_000)
    assert pool.pool.work(pool.now, 0).overdue


def test_p132_one_round_sends_at_most_one_frame(pool: Pool) -> None:
    for nonce in range(1, 120):
        pool.gossiped(1, pool.envelope(1, nonce, text="x" * 900))
    handed, _ = sent(pool.forward(1_000))
    assert 0 < sum(map(len, handed)) < 64 * 1024 + 1_500
    again, _ = sent(pool.forward(1))
    assert again and not set(again) & set(handed)  # the rest comes in the next rounds, in order
