"""Catch-up by ranges of several peers: P106, P107, P108, scenario 73."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count

import msgspec
import pytest

from ledger.block import BlockRef, block_id, header_codec, list_root
from ledger.codec import encode
from ledger.params import Params
from ledger.transaction import decode_transaction, envelope_codec
from node.core import sync as rules
from node.core.effects import NodeEffect, Penalty, SendPeer, VerifyTransactions, VerifyVotes
from node.core.messages import Blocks, BlocksRequest, CertifiedBlock, Held
from node.core.sync import RANGE_BLOCKS, RANGES_AHEAD, RANGES_PER_PEER, Sync
from tests.node.core.league import League

SECOND = 1_000_000_000
Answer = Callable[[BlocksRequest], Blocks | Held | None]


@pytest.fixture(scope="module")
def league() -> League:
    made = League()
    made.grow(420)
    return made


class Net:
    """A node that catches up, and three peers that answer as the test says."""

    def __init__(self, league: League, height: int | None = None) -> None:
        self.league = league
        self.height = len(league.blocks) if height is None else height
        tokens = count(3, 2)
        self.sync = Sync(league.network.chain, league.epoch, 0, lambda: next(tokens), 2 * SECOND, Params())
        self.tip: BlockRef = league.genesis
        self.executed: int | None = None
        self.now = 0
        self.requests: list[tuple[int, BlocksRequest]] = []
        self.asked_for: list[tuple[int, BlocksRequest]] = []
        self.penalties: list[tuple[int, str]] = []
        self.most: Counter[int] = Counter()
        self.most_ranges = 0
        self.answers: dict[int, Answer] = {}
        for peer in (1, 2, 3):
            self.sync.connected[peer] = None
            self.sync.claims[peer] = self.height
            self.answers[peer] = self.honest

    def honest(self, request: BlocksRequest) -> Blocks | Held | None:
        if not 1 <= request.first <= self.height:
            return Held(request.first, 0, self.height)
        return self.league.serve(request.first, min(request.last, self.height))

    def perform(self, effects: list[NodeEffect]) -> None:
        for effect in effects:
            if isinstance(effect, SendPeer):
                assert isinstance(effect.message, BlocksRequest)
                self.requests.append((effect.to, effect.message))
                self.asked_for.append((effect.to, effect.message))
            elif isinstance(effect, VerifyVotes):
                self.perform(self.sync.votes_verified(effect.token, self.league.valid(effect.items)))
            elif isinstance(effect, VerifyTransactions):
                self.sync.transactions_verified(effect.token, self.league.verdicts(effect.transactions))
            elif isinstance(effect, Penalty):
                self.penalties.append((effect.peer, effect.reason))
        self._bounds()

    def _bounds(self) -> None:
        busy: Counter[int] = Counter(one.asked for one in self.sync._ranges if one.asked >= 0)
        for peer, number in busy.items():
            self.most[peer] = max(self.most[peer], number)
        self.most_ranges = max(self.most_ranges, len(self.sync._ranges))

    def start(self, height: int | None = None) -> None:
        self.perform(self.sync.start(self.height if height is None else height, (1, 2, 3), self.tip, self.now))

    def drain(self) -> None:
        while True:
            executed = self.tip.height if self.executed is None else self.executed
            blocks, effects = self.sync.take(self.tip, executed, self.now)
            self.perform(effects)
            if not blocks:
                return
            for block in blocks:
                assert block.ref == self.league.refs[self.tip.height + 1]
                self.tip = block.ref
            self.perform(self.sync.plan(self.tip, self.now))

    def answer(self, peer: int, message: Blocks | Held) -> None:
        if isinstance(message, Held):
            self.perform(self.sync.held(peer, message, self.tip, self.now))
        else:
            self.perform(self.sync.receive(peer, message, self.tip, self.now))
        self.drain()

    def run(self, rounds: int = 400) -> None:
        """Answer requests in order; half a second passes when nothing is left to answer."""
        for _ in range(rounds):
            if not self.sync.active:
                return
            if not self.requests:
                self.now += SECOND // 2
                self.perform(self.sync.tick(self.tip, self.now))
                self.drain()
                continue
            peer, request = self.requests.pop(0)
            message = self.answers[peer](request)
            if message is not None:
                self.answer(peer, message)


def test_p107_ranges_come_from_several_peers_at_once_within_bounds(league: League) -> None:
    net = Net(league)
    net.start()
    assert {peer for peer, _ in net.requests} == {1, 2, 3}
    assert [request.first for _, request in net.requests] == list(range(1, 421, RANGE_BLOCKS))
    net.run()
    assert net.tip == league.refs[-1] and not net.sync.active
    assert net.penalties == [] and net.sync.faults == {}
    assert max(net.most.values()) <= RANGES_PER_PEER and net.most_ranges <= RANGES_AHEAD


def test_p107_the_window_is_bounded_however_far_the_target_is(league: League) -> None:
    net = Net(league, height=420)
    for peer in net.sync.claims:
        net.sync.claims[peer] = 10**6
    net.start(10**6)
    assert len(net.requests) == len(net.sync._ranges) == RANGES_AHEAD
    assert net.requests[-1][1].last == RANGES_AHEAD * RANGE_BLOCKS


def test_p107_answers_cut_to_a_frame_and_out_of_order_are_used(league: League) -> None:
    net = Net(league)

    def cut(request: BlocksRequest) -> Blocks:
        return league.serve(request.first, min(request.last, request.first + 9))

    net.answers = dict.fromkeys((1, 2, 3), cut)
    net.start()
    net.requests.reverse()
    net.run()
    assert net.tip == league.refs[-1] and net.penalties == []


def swap_signature(block: CertifiedBlock) -> CertifiedBlock:
    envelope = envelope_codec.decode(block.envelopes[0])
    (key, _), second = envelope.signatures
    bad = msgspec.structs.replace(envelope, signatures=((key, bytes(64)), second))
    return msgspec.structs.replace(block, envelopes=(msgspec.msgpack.encode(bad),))


def lies(league: League) -> dict[str, tuple[str, Callable[[Blocks], Blocks]]]:
    """Name -> (reason, how the answer is spoiled)."""
    replace = msgspec.structs.replace

    def at(place: int, change: Callable[[CertifiedBlock], CertifiedBlock]) -> Callable[[Blocks], Blocks]:
        return lambda answer: Blocks(
            tuple(change(block) if i == place else block for i, block in enumerate(answer.blocks))
        )

    stranger = league.blocks[300]
    return {
        "certificate of another block": (
            "sync_certificate", at(3, lambda block: replace(block, certificate=stranger.certificate)),
        ),
        "forged signature": (
            "sync_certificate",
            at(5, lambda b: replace(b, certificate=replace(b.certificate, signatures=(bytes(64),) * 3))),
        ),
        "too few signatures": (
            "sync_certificate",
            at(0, lambda b: replace(b, certificate=replace(b.certificate, signers=b"\x03", signatures=(bytes(64),) * 2))),
        ),
        "bodies of another block": ("sync_tx_root", at(2, lambda b: replace(b, envelopes=stranger.envelopes))),
        "a bad signature under a true id": ("sync_transaction", at(1, swap_signature)),
        "no bodies": ("sync_tx_root", at(2, lambda b: replace(b, envelopes=()))),
        "garbage for a body": ("sync_malformed", at(2, lambda b: replace(b, envelopes=(b"\x92\xc4\x00\x90",)))),
        "garbage for a header": ("sync_malformed", at(4, lambda b: replace(b, header=b.header[:-1]))),
        "a gap": ("sync_height", lambda answer: Blocks((*answer.blocks[:3], *answer.blocks[4:]))),
        "reversed": ("sync_height", lambda answer: Blocks(answer.blocks[::-1])),
        "more than asked": ("sync_too_many", lambda answer: Blocks((*answer.blocks, stranger))),
        "empty": ("sync_empty", lambda answer: Blocks(())),
    }  # fmt: skip


LIES = (
    "certificate of another block", "forged signature", "too few signatures", "bodies of another block",
    "a bad signature under a true id", "no bodies", "garbage for a body", "garbage for a header", "a gap", "reversed",
    "more than asked", "empty",
)  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_scenario_73_a_lie_is_named_and_the_others_are_asked(league: League, name: str) -> None:
    reason, spoil = lies(league)[name]
    net = Net(league)

    def lie(request: BlocksRequest) -> Blocks:
        return spoil(league.serve(request.first, min(request.last, net.height)))

    net.answers[2] = lie
    net.start()
    net.run()
    assert net.tip == league.refs[-1]
    assert net.penalties == [(2, reason)], "once: it is not asked again"
    assert net.sync.faults[2].reason == reason


def test_scenario_73_two_liars_do_not_stop_the_third(league: League) -> None:
    net = Net(league)
    for peer in (1, 3):
        net.answers[peer] = lambda request: Blocks(())
    net.start()
    net.run()
    assert net.tip == league.refs[-1]
    assert sorted(net.penalties) == [(1, "sync_empty"), (3, "sync_empty")]


def test_scenario_73_a_silent_peer_costs_its_patience_once(league: League) -> None:
    net = Net(league)
    net.answers[1] = lambda request: None
    net.start()
    net.run()
    assert net.tip == league.refs[-1]
    assert net.penalties == [], "silence may be a slow link: named, not charged"
    assert net.sync.faults[1].reason == rules.SILENT
    assert net.now <= 3 * SECOND


def test_a_late_answer_is_welcome(league: League) -> None:
    net = Net(league, height=RANGE_BLOCKS)
    net.start()
    ((first, request),) = net.requests
    net.requests.clear()
    net.now = 3 * SECOND
    net.perform(net.sync.tick(net.tip, net.now))
    ((second, again),) = net.requests
    assert second != first and again == request
    net.answer(first, league.serve(request.first, request.last))
    assert net.tip.height == RANGE_BLOCKS
    net.answer(second, league.serve(request.first, request.last))  # the same once more
    assert net.penalties == []


@pytest.mark.parametrize(("strict_from_ns", "penalties"), [(0, [(1, "sync_height")]), (2 * SECOND, [])])
def test_p114_what_the_core_of_the_epoch_before_asked_for_is_no_fault(
    league: League, strict_from_ns: int, penalties: list[tuple[int, str]]
) -> None:
    net = Net(league)
    net.sync.strict_from_ns = strict_from_ns
    net.start()
    asked = {peer: request.first for peer, request in net.requests}
    net.answer(1, league.serve(asked[1] + 1, asked[1] + 3))
    assert net.penalties == penalties


@pytest.mark.parametrize(("strict_from_ns", "penalties"), [(0, [(1, "sync_too_many")]), (2 * SECOND, [])])
def test_p107_what_the_process_before_asked_for_may_be_longer(
    league: League, strict_from_ns: int, penalties: list[tuple[int, str]]
) -> None:
    """Swarm seed 48720: it had asked for two blocks, the new process asked for the first of them."""
    net = Net(league, height=100)
    net.sync.strict_from_ns = strict_from_ns
    net.start()
    request = next(request for peer, request in net.requests if peer == 1)
    net.answer(1, league.serve(request.first, request.last + 2))
    assert net.penalties == penalties


def test_a_single_slow_peer_is_asked_again_with_more_patience(league: League) -> None:
    net = Net(league, height=20)
    net.sync.lost(2, net.now)
    net.sync.lost(3, net.now)
    asked: list[int] = []

    def slow(request: BlocksRequest) -> Blocks | None:
        asked.append(net.now)
        return league.serve(request.first, request.last) if len(asked) == 3 else None

    net.answers[1] = slow
    net.start()
    net.run()
    assert net.tip.height == 20
    assert asked[1] - asked[0] >= 2 * SECOND and asked[2] - asked[1] >= 4 * SECOND


def test_p106_a_height_that_nobody_can_show_ends_the_search(league: League) -> None:
    """B23: one peer claims 2**40, the others are honest; the chain is fetched and the liar charged."""
    net = Net(league, height=100)
    net.sync.claims[3] = 2**40
    net.start(2**40)
    net.run()
    assert net.tip.height == 100 and not net.sync.active
    assert net.penalties == [(3, "sync_claim")]
    net.requests.clear()
    net.perform(net.sync.start(2**40, (3,), net.tip, net.now))
    assert not net.sync.active and net.requests == []


def test_a_status_that_overtakes_an_answer_charges_nobody(league: League) -> None:
    """Swarm seed 1823: asked before it had the block, told of the block by STATUS before its answer arrived."""
    net = Net(league, height=20)
    net.sync.lost(2, net.now)
    net.sync.lost(3, net.now)
    net.sync.claims[1] = 0
    net.perform(net.sync.start(20, (1,), net.tip, net.now))
    first = net.requests[-1][1].first
    net.sync.claims[1] = 20  # on another connection, or by another way of the network
    net.answer(1, Held(first, 0, first - 1))
    assert net.penalties == [] and net.sync.claims[1] == 20


def test_what_a_peer_claimed_ends_with_its_link(league: League) -> None:
    """Swarm seed 2444: it may come back without the last blocks it told of."""
    net = Net(league)
    net.sync.lost(1, net.now)
    assert 1 not in net.sync.claims
    net.sync.connected[1] = None
    net.perform(net.sync.start(league.refs[-1].height, (1, 2), net.tip, net.now))
    net.perform(net.sync.held(1, Held(1, 0, 0), net.tip, net.now))
    assert net.penalties == []


def test_a_peer_without_old_blocks_is_passed_over_and_not_charged(league: League) -> None:
    net = Net(league)

    def pruned(request: BlocksRequest) -> Blocks | Held:
        if request.first < 250:
            return Held(request.first, 250, net.height)
        return league.serve(request.first, min(request.last, net.height))

    net.answers[1] = net.answers[2] = pruned
    net.start()
    net.run()
    assert net.tip == league.refs[-1] and net.penalties == []
    assert net.sync.oldest == {1: 250, 2: 250}


def test_holding_a_block_and_not_showing_it_is_a_lie(league: League) -> None:
    net = Net(league)
    net.answers[1] = lambda request: Held(request.first, 0, net.height)
    net.start()
    net.run()
    assert net.tip == league.refs[-1] and net.penalties == [(1, "sync_empty")]


def test_p108_what_consensus_committed_meanwhile_is_not_taken_again(league: League) -> None:
    net = Net(league, height=RANGE_BLOCKS)
    net.start()
    ((peer, request),) = net.requests
    net.tip = league.refs[10]
    net.perform(net.sync.plan(net.tip, net.now))
    net.answer(peer, league.serve(request.first, request.last))
    assert net.tip.height == RANGE_BLOCKS and net.penalties == []


def test_p107_ranges_wait_while_execution_is_far_behind(league: League) -> None:
    net = Net(league)
    net.executed = 0
    net.start()
    net.run(rounds=60)
    assert net.tip.height <= rules.EXECUTION_AHEAD + RANGE_BLOCKS
    assert net.most_ranges <= RANGES_AHEAD
    net.executed = None
    net.drain()
    net.run()
    assert net.tip == league.refs[-1]


def test_a_lost_link_frees_its_ranges(league: League) -> None:
    net = Net(league)
    net.start()
    net.requests = [entry for entry in net.requests if entry[0] != 2]
    net.sync.lost(2, net.now)
    net.perform(net.sync.plan(net.tip, net.now))
    net.run()
    assert net.tip == league.refs[-1] and 2 not in net.sync.faults


def test_the_chain_of_these_tests_is_sound(league: League) -> None:
    block = league.blocks[0]
    assert league.valid(()) == 0
    transaction = decode_transaction(block.envelopes[0], league.network.chain)
    assert league.verdicts([transaction]) == (True,)
    assert len(league.states) == len(league.refs) == len(league.blocks) + 1


# what is asked of the verifier


def forged_range(league: League, request: BlocksRequest, parent: bytes, transactions: int) -> Blocks:
    """Blocks of a liar's own making for a request: right in form, signed by nobody."""
    replace, blocks = msgspec.structs.replace, []
    envelope = league.network.transaction((("put", b"trow", b"x"),), nonce=1)
    old = league.blocks[0].certificate
    for height in range(request.first, request.last + 1):
        header = replace(
            header_codec.decode(league.blocks[0].header), height=height, parent_id=parent, time_ms=1,
            tx_count=transactions, tx_root=list_root((envelope.tx_id,) * transactions),
        )  # fmt: skip
        raw = encode(header)
        parent = block_id(raw)
        vote = replace(old.vote, block_id=parent, height=height)
        forged = replace(old, vote=vote, signatures=(bytes(64),) * len(old.signatures))
        blocks.append(CertifiedBlock(raw, (envelope.envelope,) * transactions, forged))
    return Blocks(tuple(blocks))


def test_p107_transactions_under_a_forged_certificate_are_not_verified(league: League) -> None:
    """Review: eight answers of 4 MiB gave 177,536 signatures to verify, under certificates of nobody."""
    net = claim_alone(league, 100, 2**40)
    asked: list[VerifyVotes] = []
    for peer, request in [entry for entry in net.requests if entry[0] == 1]:
        lie = forged_range(league, BlocksRequest(request.first, request.first), bytes(32), 100)
        for effect in net.sync.receive(peer, lie, net.tip, net.now):
            assert not isinstance(effect, VerifyTransactions)
            if isinstance(effect, VerifyVotes):
                asked.append(effect)
    assert len(asked) == RANGES_PER_PEER
    for question in asked:
        assert net.sync.votes_verified(question.token, league.valid(question.items)) == []
    net.drain()
    assert net.penalties[0] == (1, "sync_certificate")


def test_p107_transactions_are_verified_once_when_their_certificates_hold(league: League) -> None:
    net = Net(league, height=RANGE_BLOCKS)
    net.start()
    ((peer, request),) = net.requests
    (votes,) = net.sync.receive(peer, league.serve(request.first, request.last), net.tip, net.now)
    assert isinstance(votes, VerifyVotes)
    (transactions,) = net.sync.votes_verified(votes.token, league.valid(votes.items))
    assert isinstance(transactions, VerifyTransactions) and transactions.certified
    assert len(transactions.transactions) == RANGE_BLOCKS and transactions.token != votes.token
    assert net.sync.votes_verified(votes.token, league.valid(votes.items)) == [], "told again"
    net.perform([transactions])
    net.drain()
    assert net.tip.height == RANGE_BLOCKS


@pytest.mark.parametrize("limit", [{"max_block_txs": 9}, {"max_block_bytes": 64 * 1024}])
def test_p107_a_block_beyond_the_bounds_of_the_network_is_a_lie(league: League, limit: dict[str, int]) -> None:
    net = claim_alone(league, 100, 2**40)
    net.sync.params = Params(**limit)
    request = next(request for peer, request in net.requests if peer == 1)
    net.answer(1, forged_range(league, BlocksRequest(request.first, request.first), bytes(32), 500))
    assert net.penalties == [(1, "sync_size")]


# epochs


def test_p113_nothing_beyond_the_last_height_of_the_epoch_is_asked_for(league: League) -> None:
    net = Net(league)
    net.sync.last = 20
    net.start()
    net.run()
    assert net.tip.height == 20 and not net.sync.active
    assert max(request.last for _, request in net.asked_for) == 20 and net.penalties == []


def test_p113_a_last_height_that_is_learnt_on_the_way_cuts_the_ranges(league: League) -> None:
    net = Net(league)
    net.start()
    net.sync.last = RANGE_BLOCKS
    net.run()
    assert net.tip.height == RANGE_BLOCKS and not net.sync.active and net.penalties == []


def test_p115_blocks_of_a_later_epoch_wait_and_are_nobodys_fault(league: League) -> None:
    """Their members are known only once the decision is executed here; what comes before them is taken."""
    net = Net(league)
    edge = 10

    def ahead(request: BlocksRequest) -> Blocks | Held | None:
        answer = league.serve(request.first, request.last)
        assert isinstance(answer, Blocks)
        return Blocks(
            tuple(
                block
                if header_codec.decode(block.header).height <= edge
                else msgspec.structs.replace(
                    block,
                    header=encode(msgspec.structs.replace(header_codec.decode(block.header), epoch=1)),
                )
                for block in answer.blocks
            )
        )

    for peer in (1, 2, 3):
        net.answers[peer] = ahead
    net.start(30)
    net.run(20)
    assert net.tip.height == edge and net.penalties == []
    for peer in (1, 2, 3):
        net.answers[peer] = net.honest
    net.run()
    assert net.tip.height == 30 and net.penalties == []


def test_p107_a_quick_answer_ends_the_patience_of_long_silence(league: League) -> None:
    """Twins case 3-7-6-5-8: a request lost late in a silence was waited for 16 times as long as peers then took."""
    net = Net(league, height=20)
    for peer in (1, 2, 3):
        net.answers[peer] = lambda request: None
    net.start()
    asked = {net.requests[0][0]: net.now}
    while len(net.asked_for) < 5:  # silence: each attempt is given more time
        net.now += SECOND // 2
        net.perform(net.sync.tick(net.tip, net.now))
    asked = net.asked_for[-1]
    net.requests.clear()
    net.sync.claims.update({1: 40, 2: 40, 3: 40})
    net.perform(net.sync.start(40, (1, 2, 3), net.tip, net.now))
    ((peer, more),) = net.requests
    assert (more.first, asked[1].first) == (21, 1)
    net.now += SECOND // 10
    net.answer(peer, league.serve(more.first, more.last))
    assert net.tip.height == 0, "the range below is still waited for"
    net.answers = {other: lambda request: league.serve(request.first, request.last) for other in (1, 2, 3)}
    net.requests.clear()
    began = net.now
    net.run()
    assert net.tip.height == 40
    assert net.now - began <= 3 * SECOND, "twice as long as the answer took, or the first patience, and not 16 times it"


def test_p107_a_slow_answer_gives_the_others_twice_its_time(league: League) -> None:
    """On a slow link the ranges behind the first are not asked of others before their turn can have come."""
    net = Net(league)
    net.sync.lost(2, net.now)
    net.sync.lost(3, net.now)
    net.start()
    for one in net.sync._ranges:
        one.deadline_ns = 60 * SECOND  # as after many attempts
    first = net.requests.pop(0)[1]
    net.now = 5 * SECOND
    net.answer(1, league.serve(first.first, first.last))
    waiting = [one.deadline_ns for one in net.sync._ranges if one.asked >= 0 and one.first != net.requests[-1][1].first]
    assert set(waiting) == {15 * SECOND}


# late answers


def test_p107_an_answer_to_a_search_that_ended_charges_nobody_and_is_used(league: League) -> None:
    """Review: each time a search was stopped, honest peers were charged for what they had been asked for."""
    net = Net(league)
    net.start()
    before = list(net.requests)
    net.sync.stop()
    net.tip = league.refs[10]
    net.requests.clear()
    net.start()
    assert {request.first for _, request in net.requests} == set(range(11, 421, RANGE_BLOCKS)), "cut anew"
    for peer, request in before:
        net.answer(peer, league.serve(request.first, request.last))
    assert net.penalties == [] and net.sync.faults == {}
    assert net.tip.height == 74, "the first range is here; it began within an answer to the search before"
    net.run()
    assert net.tip == league.refs[-1] and net.penalties == []


def test_p107_an_answer_that_is_longer_than_its_range_is_now_charges_nobody(league: League) -> None:
    net = Net(league)
    net.start(RANGE_BLOCKS)
    ((peer, request),) = net.requests
    net.sync.stop()
    for other in {1, 2, 3} - {peer}:
        net.sync.lost(other, net.now)
    net.start(20)
    assert net.requests[-1] == (peer, BlocksRequest(1, 20))
    net.answer(peer, league.serve(request.first, request.last))
    assert net.tip.height == 20 and net.penalties == []


def test_p113_ranges_beyond_the_last_height_are_dropped_and_their_answers_charge_nobody(league: League) -> None:
    net = Net(league)
    net.start()
    asked = list(net.requests)
    net.sync.last = 2 * RANGE_BLOCKS
    net.perform(net.sync.plan(net.tip, net.now))
    for peer, request in reversed(asked):
        net.answer(peer, league.serve(request.first, request.last))
    assert net.penalties == [] and net.tip.height == 2 * RANGE_BLOCKS


def test_p107_what_a_peer_was_asked_for_is_remembered_within_bounds(league: League) -> None:
    net = Net(league)
    for height in range(rules.WISHES_KEPT + 50):
        net.sync._ask(rules._Range(height + 1, height + 2), 1, net.now)
    assert list(net.sync._wishes[1]) == list(range(51, rules.WISHES_KEPT + 51))


# silence and doubt


def wait(net: Net, seconds: int) -> int:
    """Let time pass without an answer; return for how much of it, in half seconds, the node counted as behind."""
    active = 0
    for _ in range(2 * seconds):
        net.now += SECOND // 2
        net.perform(net.sync.tick(net.tip, net.now))
        active += net.sync.active
    return active


DOUBT_SECONDS = rules.DOUBT_PATIENCES * 2
"""With the patience of these tests."""


def claim_alone(league: League, height: int, claimed: int) -> Net:
    """A node at `height`; peer 1 alone claims more than that."""
    net = Net(league, height=height)
    net.tip = league.refs[height]
    net.sync.near = 2
    net.sync.claims[1] = claimed
    net.perform(net.sync.start(claimed, (1,), net.tip, net.now))
    return net


def test_p106_a_claim_with_nothing_behind_it_counts_until_each_patience_passed_once(league: League) -> None:
    """B23, review: one silent member with a huge height kept all others "syncing" for ever."""
    net = claim_alone(league, 100, 2**40)
    assert wait(net, DOUBT_SECONDS - 1) == 2 * (DOUBT_SECONDS - 1), "it may be slow"
    wait(net, 1)
    assert not net.sync.active and net.sync.running and net.penalties == []
    sent = len(net.asked_for)
    active = 0
    for _ in range(600):  # its STATUS repeats the claim each second
        net.perform(net.sync.start(2**40, (1,), net.tip, net.now))
        active += wait(net, 1)
    assert active == 0
    assert len(net.asked_for) - sent <= 600 // (2 * 2) + RANGES_AHEAD, "one range at a time, each more patiently"
    assert sum(1 for one in net.sync._ranges if one.asked >= 0) <= 1


def test_p106_neither_a_new_link_nor_a_new_search_makes_a_claim_believed_again(league: League) -> None:
    net = claim_alone(league, 100, 2**40)
    active = 0
    for _ in range(300):  # it leaves just before its first patience ends
        active += wait(net, 1)
        net.sync.lost(1, net.now)
        net.perform(net.sync.plan(net.tip, net.now))
        net.sync.connected[1] = None
        net.sync.claims[1] = 2**40
        net.perform(net.sync.start(2**40, (1,), net.tip, net.now))
    assert active <= 2 * DOUBT_SECONDS
    net = claim_alone(league, 100, 104)
    active = 0
    for height in range(101, 401):  # or it claims what the chain reaches soon
        active += wait(net, 1)
        net.tip = league.refs[height]
        net.perform(net.sync.plan(net.tip, net.now))
        net.sync.claims[1] = height + 4
        net.perform(net.sync.start(height + 4, (1,), net.tip, net.now))
    assert active <= 2 * DOUBT_SECONDS and net.penalties == []


def test_p106_blocks_in_flight_do_not_prove_a_claim(league: League) -> None:
    """A liar may show the next block a moment before it is committed here; others are a block ahead at times."""
    net = claim_alone(league, 100, 2**40)
    wait(net, DOUBT_SECONDS)
    active = 0
    for height in range(101, 160):
        net.sync.claims[2] = height
        net.perform(net.sync.start(2**40, (1, 2), net.tip, net.now))
        first = next(first for first, last in net.sync._wishes[1].items() if first <= height <= last)
        net.answer(1, league.serve(first, height))
        assert net.tip.height == height
        for one in [one for one in net.sync._ranges if one.asked == 2]:
            net.answer(2, Held(one.first, 0, height))
        active += wait(net, 1)
    assert active == 0 and net.penalties == []


def test_p106_a_certificate_or_another_member_makes_a_doubted_height_count(league: League) -> None:
    net = claim_alone(league, 100, 2**40)
    wait(net, DOUBT_SECONDS)
    net.perform(net.sync.start(120, (1,), net.tip, net.now, certified=True))
    assert net.sync.active, "a certificate shows that it exists"
    net.tip = league.refs[120]
    wait(net, 1)
    assert not net.sync.active
    net.height = net.sync.claims[2] = 420
    net.perform(net.sync.start(420, (2,), net.tip, net.now))
    assert net.sync.active
    net.answers[1] = lambda request: None
    net.run()
    assert net.tip == league.refs[-1] and net.penalties == []


@pytest.mark.parametrize("seconds", [35, 70])
def test_p107_a_slow_peer_that_alone_holds_the_blocks_brings_the_node_to_the_tip(league: League, seconds: int) -> None:
    """It answers in order, one range at a time, whatever it is asked for meanwhile; also later than it is trusted."""
    net = Net(league)
    net.sync.near = 2
    net.sync.claims.update({2: 0, 3: 0})
    free, wire = 0, []
    net.perform(net.sync.start(net.height, (1,), net.tip, net.now))
    doubted = behind = 0
    while net.tip != league.refs[-1] and net.now < 1_800 * SECOND:
        for peer, request in net.requests:
            assert peer == 1
            free = max(free, net.now) + seconds * SECOND
            wire.append((free, request))
        net.requests.clear()
        wait(net, 1)
        doubted += net.sync.doubted(1)
        while wire and wire[0][0] <= net.now:
            request = wire.pop(0)[1]
            net.answer(1, league.serve(request.first, request.last))
            behind += net.sync.active
    assert net.tip == league.refs[-1] and net.penalties == []
    assert behind >= 5, "each range it showed made the node one that catches up"
    assert bool(doubted) is (seconds > DOUBT_SECONDS)


def test_p107_who_answers_without_blocks_is_no_mute(league: League) -> None:
    """Its old blocks may be gone: then the state is the way, and offers must be asked for."""
    net = claim_alone(league, 100, 420)
    wait(net, DOUBT_SECONDS)
    assert net.sync.mute(1) and net.sync.doubted(1)
    first = next(one.first for one in net.sync._ranges if one.asked == 1)
    net.answer(1, Held(first, 300, 420))
    assert not net.sync.mute(1) and net.sync.doubted(1) and net.penalties == []


def test_p106_unverified_blocks_do_not_end_a_doubt(league: League) -> None:
    net = claim_alone(league, 100, 2**40)
    wait(net, DOUBT_SECONDS)
    assert net.sync.doubted(1) and not net.sync.active
    asked = next(one for one in net.sync._ranges if one.asked == 1)
    net.answer(1, forged_range(league, BlocksRequest(asked.first, asked.first + 4), net.tip.block_id, 1))
    assert net.sync.doubted(1) and net.penalties == [(1, "sync_certificate")]


@pytest.mark.parametrize("true", [True, False])
def test_p106_blocks_that_another_showed_first_end_a_doubt_when_they_are_the_same(league: League, true: bool) -> None:
    net = claim_alone(league, 100, 420)
    wait(net, DOUBT_SECONDS)
    first = next(one.first for one in net.sync._ranges if one.asked == 1)
    net.height = net.sync.claims[2] = 420
    net.perform(net.sync.start(420, (2,), net.tip, net.now))
    one = next(one for one in net.sync._ranges if one.asked == 2 and one.requested.get(1))
    request = BlocksRequest(one.first, one.last)
    assert one.first != first, "it is verified, and waits for the blocks below"
    net.answer(2, league.serve(request.first, request.last))
    assert one.verified and net.sync.doubted(1)
    net.answer(1, league.serve(request.first, request.last) if true else forged_range(league, request, bytes(32), 1))
    assert net.sync.doubted(1) is not true and net.penalties == []


def made_up(league: League, height: int) -> Blocks:
    """A block that nobody signed, and says it is of a later epoch."""
    block = league.blocks[0]
    header = msgspec.structs.replace(header_codec.decode(block.header), epoch=99, height=height)
    return Blocks((msgspec.structs.replace(block, header=encode(header)),))


@pytest.mark.parametrize("pause", [0, 1])
def test_p106_made_up_blocks_of_a_later_epoch_do_not_keep_a_claim_alive(league: League, pause: int) -> None:
    """Review: no certificate was looked at, nobody was charged, and the silence was not counted."""
    net = claim_alone(league, 100, 2**40)
    active = 0
    for _ in range(600):
        active += wait(net, pause)  # answered a second later, or at once
        for peer, request in net.requests[:]:
            net.requests.remove((peer, request))
            net.answer(peer, made_up(league, request.first))
        net.perform(net.sync.start(2**40, (1,), net.tip, net.now))
        active += wait(net, 1)
    assert active <= 3 * DOUBT_SECONDS and net.penalties == []


def test_p106_a_later_epoch_above_a_tip_that_names_the_present_members_is_a_lie(league: League) -> None:
    net = claim_alone(league, 100, 2**40)
    net.sync.goes_on = True
    second = net.requests[1][1]
    net.answer(1, made_up(league, second.first))
    assert net.penalties == [], "what the blocks between name is not known here"
    net.answer(1, made_up(league, 101))
    assert net.penalties == [(1, "sync_epoch")] and not net.sync.active


def test_p106_who_answers_when_the_tip_is_past_it_was_silent_till_then(league: League) -> None:
    net = claim_alone(league, 100, 420)
    asked = net.requests[0][1]
    net.tip = league.refs[150]
    wait(net, 1)
    net.answer(1, league.serve(asked.first, 110))
    assert net.sync._silences[1].total_ns == SECOND and net.penalties == []
