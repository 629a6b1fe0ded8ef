"""Learning from peers how epochs ended: P85, P107, P115. Each lie is named and costs only its sender."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count

import msgspec
import pytest

from consensus.effects import SignatureItem
from consensus.events import EpochSpec
from consensus.validate import signing_digest_of
from ledger.block import block_id, header_codec
from ledger.certificate import CommitCertificate, Vote, bitmap
from ledger.codec import encode
from ledger.crypto.ed25519 import verify_strict
from ledger.governance.follow import EpochEnd, trust_genesis
from ledger.proof import ResultProof, state_claim
from ledger.registry.lookup import node_key, nodes
from ledger.registry.records import members_hash
from node.core.effects import KeepEpochEnd, LearnNodes, NodeEffect, Penalty, Rejection, SendPeer, VerifyVotes
from node.core.ends import REFUSED, Walk
from node.core.epochs import epoch_spec, spec_of, trusted_members
from node.core.messages import ENDS_MAX, EpochEnds, EpochEndsRequest
from node.core.sync import LEFT_OUT_NS, SILENT, Fault
from node.transport.limits import Buckets
from tests.ledger.governance.story import Story, told
from tests.node.core.league import League

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def story() -> Story:
    return told()


class Net:
    """A node that knows the genesis file only, and three peers in epoch 3; `spoil` may change what each sends."""

    def __init__(self, story: Story, kept: int = 0) -> None:
        self.story = story
        tokens = count(3, 2)
        self.walk = Walk(
            chain_id=story.league.chain, own=0, next_token=lambda: next(tokens), patience_ns=2 * SECOND,
            reached=epoch_spec(story.epochs[kept]), connected=dict.fromkeys((1, 2, 3)), faults={},
        )  # fmt: skip
        self.known = {kept: epoch_spec(story.epochs[kept])}
        self.walk.claims = dict.fromkeys((1, 2, 3), 3)
        self.spoil: dict[int, Callable[[EpochEnds], EpochEnds | None]] = {}
        self.at_once = ENDS_MAX
        self.nodes: tuple[ResultProof, ...] = ()
        self.learned: list[LearnNodes] = []
        self.now = 0
        self.asked: list[tuple[int, int]] = []
        self.asked_for_nodes: list[tuple[int, int]] = []
        """Questions at the end of the way; node records have tests of their own below."""
        self.penalties: list[tuple[int, str]] = []
        self.kept: list[EpochEnd] = []

    def perform(self, effects: list[NodeEffect]) -> None:
        for effect in effects:
            if isinstance(effect, KeepEpochEnd):
                assert effect.epoch == len(self.kept) + min(self.known)
                self.kept.append(effect.end)
                self.known[effect.leads_to.epoch] = effect.leads_to
            elif isinstance(effect, VerifyVotes):
                self.perform(self.walk.votes_verified(effect.token, self.valid(effect.items), self.now))
            elif isinstance(effect, Penalty):
                self.penalties.append((effect.peer, effect.reason))
            elif isinstance(effect, LearnNodes):
                self.learned.append(effect)
            elif isinstance(effect, SendPeer):
                self.answer(effect)

    def answer(self, effect: SendPeer) -> None:
        assert isinstance(effect.message, EpochEndsRequest)
        first = effect.message.first
        where = self.asked if first < len(self.story.ends) else self.asked_for_nodes
        where.append((effect.to, first))
        honest = EpochEnds(first, tuple(self.story.ends[first : first + self.at_once]), self.nodes)
        reply = self.spoil.get(effect.to, lambda message: message)(honest)
        if reply is not None:
            self.perform(self.walk.received(effect.to, reply, self.now))

    def valid(self, items: tuple[SignatureItem, ...]) -> int:
        """What a shell answers: it knows the members of an epoch from the end before it was kept on, no sooner."""
        mask = 0
        for position, item in enumerate(items):
            key = self.known[item.epoch].members[item.signer].consensus_key
            if verify_strict(key, item.signature, signing_digest_of(item.kind, self.story.league.chain, item.body)):
                mask |= 1 << position
        return mask

    def run(self) -> None:
        self.perform(self.walk.plan(self.now))
        for _ in range(20):
            self.now += SECOND
            self.perform(self.walk.tick(self.now))


def test_p85_the_way_from_genesis_is_learnt_from_one_peer(story: Story) -> None:
    net = Net(story)
    net.run()
    assert net.kept == story.ends and net.asked == [(1, 0)] and net.penalties == []
    assert net.walk.reached == epoch_spec(story.epochs[3])
    assert not net.walk.active and not net.walk.behind(net.now)


def test_a_long_way_comes_in_pieces(story: Story) -> None:
    net = Net(story)
    net.at_once = 1
    net.run()
    assert net.kept == story.ends and net.asked == [(1, 0), (1, 1), (1, 2)]


def test_nobody_is_asked_for_what_is_known_or_not_claimed(story: Story) -> None:
    net = Net(story, kept=3)
    net.run()
    behind = Net(story)
    behind.walk.claims = {1: 0, 2: 0, 9: 3}  # 9 is not connected
    behind.walk.met = dict.fromkeys((1, 2))
    behind.run()
    assert net.asked == behind.asked == []


def _unsigned(end: EpochEnd) -> EpochEnd:
    signatures = (bytes(64), *end.certificate.signatures[1:])
    return msgspec.structs.replace(end, certificate=msgspec.structs.replace(end.certificate, signatures=signatures))


LIES: dict[str, Callable[[EpochEnds], EpochEnds]] = {
    "a signature that is none": lambda m: EpochEnds(m.first, (_unsigned(m.ends[0]), *m.ends[1:]), ()),
    "members the header does not name": lambda m: EpochEnds(
        m.first, (msgspec.structs.replace(m.ends[0], members=m.ends[0].members[:-1]),), ()
    ),
    "an epoch left out": lambda m: EpochEnds(m.first, m.ends[1:], ()),
    "the same end twice": lambda m: EpochEnds(m.first, (m.ends[0], m.ends[0]), ()),
    "more than a message may hold": lambda m: EpochEnds(m.first, m.ends * ENDS_MAX, ()),
    "a header that is none": lambda m: EpochEnds(m.first, (msgspec.structs.replace(m.ends[0], header=b"\x90"),), ()),
}


@pytest.mark.parametrize("lie", LIES)
def test_p85_who_lies_is_named_and_left_out_and_the_way_comes_from_another(story: Story, lie: str) -> None:
    net = Net(story)
    net.spoil[1] = LIES[lie]
    net.run()
    assert net.penalties == [(1, REFUSED)]
    assert net.kept == story.ends, "what was good before the lie is kept once, the rest comes from another"
    assert [peer for peer, _ in net.asked] == [1, 2]
    assert net.walk.faults[1].reason == REFUSED and not net.walk.active


def test_p85_liars_alone_lead_nowhere(story: Story) -> None:
    net = Net(story)
    net.spoil = dict.fromkeys((1, 2, 3), LIES["a signature that is none"])
    net.run()
    assert net.kept == [] and net.walk.reached == epoch_spec(story.epochs[0])
    assert not net.walk.active and not net.walk.behind(net.now)
    assert net.walk.behind(net.now + LEFT_OUT_NS + SECOND), "a fault is not for ever"


def test_who_has_nothing_is_no_liar_and_who_is_silent_is_only_slow(story: Story) -> None:
    net = Net(story)
    net.spoil = {1: lambda m: EpochEnds(m.first, (), ()), 2: lambda _: None}
    net.run()
    assert net.penalties == [] and net.kept == story.ends
    assert [peer for peer, _ in net.asked] == [1, 2, 3]
    assert net.walk.faults[2].reason == SILENT and 1 not in net.walk.faults


def test_b23_a_claimed_epoch_that_nobody_can_show_is_given_up(story: Story) -> None:
    net = Net(story)
    net.walk.claims[3] = 1_000_000
    net.run()
    assert net.kept == story.ends and net.penalties == [] and not net.walk.active
    assert [peer for peer, _ in net.asked_for_nodes] == [3, 1, 2], "once each, and first who says it stands further"


def unasked(peer: int) -> list[Rejection]:
    return [Rejection(peer=peer, reason="unasked")]


def test_answers_that_nobody_asked_for_change_nothing(story: Story) -> None:
    net = Net(story)
    honest = EpochEnds(0, tuple(story.ends), ())
    assert net.walk.received(1, honest, 0) == unasked(1) and net.walk.votes_verified(3, 1, 0) == []
    (request,) = net.walk.plan(0)
    assert isinstance(request, SendPeer) and request.to == 1
    assert net.walk.received(2, honest, 0) == unasked(2)
    assert net.walk.received(1, EpochEnds(1, honest.ends[1:], ()), 0) == unasked(1)
    (question,) = net.walk.received(1, honest, 0)
    assert isinstance(question, VerifyVotes)
    assert net.walk.received(1, honest, 0) == unasked(1), "one answer is held at a time"
    assert net.walk.votes_verified(question.token + 2, 7, 0) == [] and net.walk.active


def test_a_peer_that_goes_is_asked_no_more_and_what_it_gave_counts(story: Story) -> None:
    net = Net(story)
    net.walk.plan(0)
    net.walk.connected.pop(1)
    (request,) = net.walk.lost(1, 0)
    assert isinstance(request, SendPeer) and request.to == 2
    (question,) = net.walk.received(2, EpochEnds(0, tuple(story.ends[:1]), ()), 0)
    assert isinstance(question, VerifyVotes)
    net.walk.connected.pop(2)
    assert net.walk.lost(2, 0) == []
    kept, _ = net.walk.votes_verified(question.token, net.valid(question.items), 0)
    assert isinstance(kept, KeepEpochEnd) and kept.end == story.ends[0]


def test_silence_ends_with_the_link_and_an_empty_hand_does_not(story: Story) -> None:
    """After a cut all are asked again as soon as they are back, and not when half a minute is over."""
    net = Net(story)
    net.spoil = {1: lambda m: EpochEnds(m.first, (), ()), 2: lambda _: None, 3: lambda _: None}
    net.run()
    assert [peer for peer, _ in net.asked] == [1, 2, 3] and net.kept == []
    assert not net.walk.behind(net.now)
    for peer in (1, 2, 3):
        del net.walk.connected[peer]
        assert net.walk.lost(peer, net.now) == []
    net.walk.connected.update(dict.fromkeys((1, 2, 3)))
    net.walk.claims.update(dict.fromkeys((1, 2, 3), 3))
    net.spoil.clear()
    net.asked.clear()
    net.perform(net.walk.plan(net.now))
    assert net.asked[0][0] == 2 and net.kept == story.ends


def test_who_lied_in_sync_is_not_believed_here(story: Story) -> None:
    net = Net(story)
    net.walk.faults[1] = Fault("sync_certificate", 0)
    net.run()
    assert net.asked[0] == (2, 0)


def test_members_are_the_same_by_record_and_by_walk(story: Story) -> None:
    first: EpochSpec = spec_of(trust_genesis(story.league.document))
    assert first == epoch_spec(story.epochs[0])
    assert trusted_members(first, story.league.chain) == trust_genesis(story.league.document)


# -- where the nodes are (P117)


@pytest.fixture(scope="module")
def league() -> League:
    made = League()
    made.grow(6)
    return made


def proven(league: League, height: int, key: bytes) -> ResultProof:
    """What an honest peer shows of its state after `height`, under the header of the next block."""
    later = league.blocks[height]
    return ResultProof(
        height, (state_claim(league.states[height], key),), (), league.states[height - 1].exec_root,
        league.states[height].state_root, league.results[height - 1].receipts_root, (), later.header, later.certificate,
    )  # fmt: skip


def all_nodes(league: League, height: int = 4) -> tuple[ResultProof, ...]:
    return tuple(proven(league, height, node_key(node.node_id)) for node in nodes(league.states[height]))


def met(league: League, proofs: tuple[ResultProof, ...]) -> tuple[Walk, list[NodeEffect]]:
    """A node of the same epoch asks its only peer and gets these proofs."""
    tokens = count(3, 2)
    walk = Walk(
        chain_id=league.network.chain, own=0, next_token=lambda: next(tokens), patience_ns=2 * SECOND,
        reached=league.epoch, connected={1: None}, faults={}, claims={1: 0},
    )  # fmt: skip
    (request,) = walk.plan(0)
    assert isinstance(request, SendPeer) and request.message == EpochEndsRequest(0)
    out = walk.received(1, EpochEnds(0, (), proofs), 0)
    if out and isinstance(out[0], VerifyVotes):
        out = walk.votes_verified(out[0].token, league.valid(out[0].items), 0)
    return walk, out


def test_p117_nodes_are_learnt_when_the_chain_proves_them(league: League) -> None:
    walk, out = met(league, all_nodes(league))
    (learned,) = out
    assert isinstance(learned, LearnNodes) and learned.height == 4
    assert list(learned.nodes) == nodes(league.states[4]) and len(learned.nodes) == 4
    assert walk.met == {1: None} and not walk.active and not walk.behind(0), "asked once"


def test_p117_part_of_the_nodes_is_better_than_none(league: League) -> None:
    _, out = met(league, all_nodes(league)[:2])
    assert isinstance(out[0], LearnNodes) and len(out[0].nodes) == 2


def _unsigned_proof(proof: ResultProof) -> ResultProof:
    certificate = msgspec.structs.replace(proof.certificate, signatures=(bytes(64), *proof.certificate.signatures[1:]))
    return msgspec.structs.replace(proof, certificate=certificate)


NODE_LIES: dict[str, Callable[[League, tuple[ResultProof, ...]], tuple[ResultProof, ...]]] = {
    "one node twice": lambda _, good: (good[0], good[0]),
    "two heights": lambda league, good: (good[0], all_nodes(league, 3)[1]),
    "a signature that is none": lambda _, good: tuple(_unsigned_proof(proof) for proof in good),
    "another state": lambda _, good: (msgspec.structs.replace(good[0], state_root=bytes(32)),),
    "a row that is no node": lambda league, _: (proven(league, 4, b"params"),),
    "a node that is not there": lambda league, _: (proven(league, 4, node_key("n" + "a" * 26)),),
    "no claim": lambda _, good: (msgspec.structs.replace(good[0], state=()),),
}


@pytest.mark.parametrize("lie", NODE_LIES)
def test_p117_what_the_chain_does_not_prove_is_named_and_not_believed(league: League, lie: str) -> None:
    walk, out = met(league, NODE_LIES[lie](league, all_nodes(league)))
    assert out == [Penalty(peer=1, reason=REFUSED)] and not walk.met and not walk.active


def test_p117_nodes_of_an_epoch_that_is_not_reached_are_passed_over(league: League) -> None:
    """Its members are not known here, so nothing can be said about it: neither truth nor lie."""
    proofs = all_nodes(league)
    vote = msgspec.structs.replace(proofs[0].certificate.vote, epoch=1)
    later = tuple(
        msgspec.structs.replace(one, certificate=msgspec.structs.replace(one.certificate, vote=vote)) for one in proofs
    )
    walk, out = met(league, later)
    assert out == [] and not walk.met and not walk.active
    walk.connected[2], walk.claims[2] = None, 0
    (request,) = walk.plan(0)
    assert isinstance(request, SendPeer) and request.to == 2, "another is asked where the nodes are"


def test_b23_who_claims_a_later_epoch_and_shows_only_nodes_is_not_asked_again_and_again(
    story: Story, league: League
) -> None:
    """One that lost its folder of ends answers so, and a liar can: the way must not end there."""
    net = Net(story)
    proof = all_nodes(league)[0]
    vote = msgspec.structs.replace(proof.certificate.vote, epoch=9)
    later = msgspec.structs.replace(proof, certificate=msgspec.structs.replace(proof.certificate, vote=vote))
    net.spoil[1] = lambda message: EpochEnds(message.first, (), (later,))
    net.run()
    assert [peer for peer, _ in net.asked].count(1) == 1 and net.penalties == []
    assert net.kept == story.ends and not net.walk.active


def test_p117_good_nodes_do_not_hide_that_no_end_was_shown(league: League) -> None:
    tokens = count(3, 2)
    walk = Walk(
        chain_id=league.network.chain, own=0, next_token=lambda: next(tokens), patience_ns=2 * SECOND,
        reached=league.epoch, connected={1: None, 2: None}, faults={}, claims={1: 5, 2: 0},
    )  # fmt: skip
    walk.plan(0)
    (question,) = walk.received(1, EpochEnds(0, (), all_nodes(league)), 0)
    assert isinstance(question, VerifyVotes)
    learned, request = walk.votes_verified(question.token, league.valid(question.items), 0)
    assert isinstance(learned, LearnNodes) and isinstance(request, SendPeer) and request.to == 2
    walk.received(2, EpochEnds(0, (), ()), 0)
    assert not walk.active and not walk.behind(0), "who claimed more and showed none is not asked at once again"


def test_p117_a_record_of_one_peer_alone_does_not_end_the_question(league: League) -> None:
    """It proves where that peer is, and nothing else: every other one that is linked is asked as well, once."""
    walk, asked = silent_walk(league, 3)
    (question,) = walk.received(1, EpochEnds(0, (), all_nodes(league)[:1]), 0)
    assert isinstance(question, VerifyVotes)
    alone, request = walk.votes_verified(question.token, league.valid(question.items), 0)
    assert isinstance(alone, LearnNodes) and len(alone.nodes) == 1
    assert isinstance(request, SendPeer) and request.to == 2
    (question,) = walk.received(2, EpochEnds(0, (), all_nodes(league, 2)), 0)
    assert isinstance(question, VerifyVotes)
    older, request = walk.votes_verified(question.token, league.valid(question.items), 0)
    assert isinstance(older, LearnNodes) and (older.height, len(older.nodes)) == (2, 4), "the shell judges by heights"
    assert isinstance(request, SendPeer) and request.to == 3
    walk.received(3, EpochEnds(0, (), ()), 0)
    assert asked == [1] and list(walk.met) == [1, 2] and not walk.active and not walk.behind(0)


def test_p107_silent_peers_do_not_keep_a_node_from_taking_a_state(league: League) -> None:
    """In a large network all are asked in vain for longer than one is left out: the way must be clear in between."""
    walk, asked = silent_walk(league, 40)
    now = 0
    while walk.active and now < 600 * SECOND:
        now += SECOND
        asked += [effect.to for effect in walk.tick(now) if isinstance(effect, SendPeer)]
    assert not walk.active and asked == list(range(1, 41))
    assert not walk.behind(now + 60 * SECOND) and walk.behind(now + 180 * SECOND), "and they are asked again"


def silent_walk(league: League, peers: int) -> tuple[Walk, list[int]]:
    """A node of the same epoch as its peers that has asked the first of them, and whom it asked."""
    tokens = count(3, 2)
    walk = Walk(
        chain_id=league.network.chain, own=0, next_token=lambda: next(tokens), patience_ns=2 * SECOND,
        reached=league.epoch, connected=dict.fromkeys(range(1, peers + 1)), faults={},
        claims=dict.fromkeys(range(1, peers + 1), 0),
    )  # fmt: skip
    return walk, [effect.to for effect in walk.plan(0) if isinstance(effect, SendPeer)]


# -- a long way


EPOCHS = 1_000
ROUND_TRIP_NS = 5_000_000
WALK_NS = 5 * SECOND
"""Time that the way over a thousand epochs may take with links of 5 ms."""


def long_way(league: League) -> list[EpochEnd]:
    """Ends of many epochs of the members of genesis: the last of them proposes in every other one."""
    seats = tuple((member.company_id, member.consensus_key, True) for member in league.epoch.members)
    sets = (seats, (*seats[:-1], (*seats[-1][:2], False)))
    hashes = [members_hash(one) for one in sets]
    like = header_codec.decode(league.blocks[0].header)
    ends: list[EpochEnd] = []
    for epoch in range(EPOCHS):
        header = msgspec.structs.replace(
            like, epoch=epoch, height=10 * epoch + 10, members_hash=hashes[epoch % 2],
            next_members_hash=hashes[(epoch + 1) % 2],
        )  # fmt: skip
        raw = encode(header)
        vote = Vote(epoch, 0, header.height, block_id(raw))
        digest = signing_digest_of("commit", league.network.chain, encode(vote))
        signers = [member.company_id for member in league.epoch.members[:3]]
        signatures = tuple(league.network.consensus[signer].sign(digest) for signer in signers)
        ends.append(EpochEnd(raw, CommitCertificate(vote, bitmap((0, 1, 2), 4), signatures), sets[(epoch + 1) % 2]))
    return ends


def test_p85_a_way_over_a_thousand_epochs_takes_seconds_and_no_question_of_it_is_refused(league: League) -> None:
    """A request or an answer beyond the rate of its type is dropped and charged, and passes for silence for 30 s."""
    ends = long_way(league)
    tokens = count(3, 2)
    walk = Walk(
        chain_id=league.network.chain, own=3, next_token=lambda: next(tokens), patience_ns=2 * SECOND,
        reached=league.epoch, connected=dict.fromkeys((0, 1, 2)), faults={},
        claims=dict.fromkeys((0, 1, 2), EPOCHS),
    )  # fmt: skip
    servers, walker = {peer: Buckets() for peer in (0, 1, 2)}, Buckets()
    now = 0
    waiting: deque[tuple[int, EpochEnds]] = deque()

    def perform(effects: list[NodeEffect]) -> None:
        for effect in effects:
            assert not isinstance(effect, Penalty)
            if isinstance(effect, VerifyVotes):
                perform(walk.votes_verified(effect.token, league.valid(effect.items), now))
            elif isinstance(effect, SendPeer) and isinstance(effect.message, EpochEndsRequest):
                assert servers[effect.to].take(29, now), f"peer {effect.to} refuses a question at epoch {walk.reached}"
                first = effect.message.first
                waiting.append((effect.to, EpochEnds(first, tuple(ends[first : first + ENDS_MAX]), ())))

    perform(walk.plan(now))
    while waiting:
        peer, answer = waiting.popleft()
        now += ROUND_TRIP_NS
        assert walker.take(30, now), f"the answer about epoch {answer.first} is refused"
        perform(walk.received(peer, answer, now))
    assert walk.reached.epoch == EPOCHS and now < WALK_NS
