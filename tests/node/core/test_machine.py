"""The four machines joined (architecture section 5): questions of consensus, journal bodies, timers, halts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import get_args

import msgspec
import pytest

from consensus.effects import Effect
from consensus.events import Member, Mode, Timer
from consensus.messages import Commit, Prepare, PrePrepare, Proposal, Status
from consensus.records import Accepted, Anchor, CommittedHere
from consensus.state import primary_of
from consensus.validate import signing_digest_of
from ledger.block import block_id, exec_root, header_codec, list_root
from ledger.certificate import CommitCertificate, Vote, bitmap, certificate_hash
from ledger.codec import encode
from ledger.errors import InvariantViolated
from ledger.merkle import RangeProof
from ledger.transaction import SignerRef, TxBody, decode_transaction, sign_transaction
from node.core import effects as ne
from node.core import events as nv
from node.core import machine
from node.core.machine import OBSERVER
from node.core.messages import (
    Blocks,
    BlocksRequest,
    Bodies,
    BodiesRequest,
    CertifiedBlock,
    Chunk,
    ChunkRequest,
    EpochEnds,
    EpochEndsRequest,
    Held,
    PeerMessage,
    Skeleton,
    SkeletonRequest,
    SnapshotManifest,
    SnapshotOffer,
    SnapshotRequest,
    TxBatch,
)
from node.core.snapshots import SKELETON_BLOCKS, _Task
from node.core.sync import DOUBT_PATIENCES, RANGE_BLOCKS, _Range
from node.transport.limits import DEFAULT_WEIGHT, WEIGHTS
from simulator.league import League

from .conftest import MS, Shell
from .test_states_of_epochs import Change


def envelope(shell: Shell, nonce: int, firm: int = 0, text: str = "") -> bytes:
    person = shell.league.firms[firm].staff["preparer"]
    signer = SignerRef(person.user_id, "maker", person.company)
    body = TxBody(1, (signer,), nonce, 1_000, "notes", "keep", (text, nonce), 10_000)
    return sign_transaction(body, [person.key], shell.league.chain_id)


def alone(shell: Callable[..., Shell], **parameters: int) -> Shell:
    """A network of one, which commits by itself."""
    one = shell(members=1, **parameters)
    one.start()
    return one


def test_every_effect_of_consensus_has_its_answer_in_the_node() -> None:
    assert set(machine._PERFORM) == set(get_args(Effect))


def test_what_the_process_before_asked_for_is_no_fault(shell: Callable[..., Shell]) -> None:
    """Swarm seed 1972: a process that starts again may get the answer to a request of the one before it."""
    one = shell()
    one.start()
    assert one.core.sync.strict_from_ns > one.now


def test_nothing_but_a_start_comes_first(shell: Callable[..., Shell]) -> None:
    one = shell()
    with pytest.raises(InvariantViolated):
        _ = one.core.config
    assert not one.core.started
    one.start()
    assert one.core.started and isinstance(one.journal[0].record, Anchor) and one.journal[0].body is None
    assert Timer.STATUS in one.timers


def test_a_transaction_goes_all_the_way(shell: Callable[..., Shell]) -> None:
    one = alone(shell)
    one.feed(nv.Submitted, token=7, envelopes=(envelope(one, 1), envelope(one, 2)))
    one.pass_time(200)
    (answer,) = one.answers
    assert answer.token == 7 and [result.code for result in answer.results] == ["", ""]
    first = one.stored[0]
    assert first.ref.height == 1 and first.envelopes == (envelope(one, 1), envelope(one, 2))
    assert first.tx_ids == tuple(result.tx_id for result in answer.results)
    assert [effect.height for effect in one.executed] == list(range(1, len(one.stored) + 1))
    assert not one.core.mempool.waiting
    one.pass_time(400)  # P47: one empty block certifies the result, and no more
    assert [stored.header.tx_count for stored in one.stored] == [2, 0]
    assert one.stored[1].header.exec_root == Shell.result(1)["exec_root"]


def test_p90_the_journal_gets_the_bodies_with_the_acceptance(shell: Callable[..., Shell]) -> None:
    one = alone(shell)
    one.feed(nv.Submitted, token=1, envelopes=(envelope(one, 1),))
    one.pass_time(100)
    accepted = [entry for entry in one.journal if isinstance(entry.record, Accepted)]
    body = accepted[0].body
    assert body is not None and body.envelopes == (envelope(one, 1),) and body.height == 1
    assert body.block_id == block_id(body.header) == accepted[0].record.pre_prepare.vote.block_id
    committed = [entry for entry in one.journal if isinstance(entry.record, CommittedHere)]
    assert committed and committed[0].body is None  # they are there already
    assert [entry.lsn for entry in one.journal] == list(range(1, len(one.journal) + 1))
    assert one.stored[0].after >= committed[0].lsn and one.executed[0].after >= committed[0].lsn


def test_p95_a_restart_delivers_again_what_only_the_journal_has(shell: Callable[..., Shell]) -> None:
    before = alone(shell)
    before.feed(nv.Submitted, token=1, envelopes=(envelope(before, 1),))
    before.pass_time(1_000)
    bodies = tuple(entry.body for entry in before.journal if entry.body is not None)
    records = tuple((entry.lsn, entry.record) for entry in before.journal)
    after = shell(members=1)
    after.start(records=records, bodies=bodies)
    assert [one.ref for one in after.stored] == [one.ref for one in before.stored]
    assert after.stored[0].envelopes == before.stored[0].envelopes
    after.feed(nv.Submitted, token=2, envelopes=(envelope(after, 1),))
    assert after.answers[0].results[0].detail == "committed"  # I26
    spoiled = msgspec.structs.replace(header_codec.decode(bodies[0].header), height=9)
    broken = nv.JournalBody(height=1, block_id=bodies[0].block_id, header=encode(spoiled)[:-1], envelopes=())
    with pytest.raises(InvariantViolated, match="does not decode"):
        shell(members=1).start(records=records, bodies=(broken,))


def test_ids_of_the_chain_are_refused_after_a_restart(shell: Callable[..., Shell]) -> None:
    one = shell(members=1)
    probe = alone(shell)
    probe.feed(nv.Submitted, token=1, envelopes=(envelope(probe, 1),))
    known = probe.answers[0].results[0].tx_id
    one.start(recent=((known, 1, 1_000),))
    one.feed(nv.Submitted, token=1, envelopes=(envelope(one, 1),))
    assert one.answers[0].results[0].detail == "committed"


def test_p130_gossip_leaves_with_its_timer(shell: Callable[..., Shell]) -> None:
    one = shell()
    one.start()
    one.feed(nv.Submitted, token=1, envelopes=(envelope(one, 1),))
    assert not one.messages(TxBatch)
    generation, _ = one.timers[nv.NodeTimer.GOSSIP]
    one.feed(nv.TimerElapsed, timer=nv.NodeTimer.GOSSIP, generation=generation - 1)
    assert not one.messages(TxBatch)  # P70: a past generation
    one.pass_time(20)
    assert one.messages(TxBatch) == [TxBatch((envelope(one, 1),))]


def test_p130_a_primary_sends_its_fresh_bodies_before_it_proposes_them(shell: Callable[..., Shell]) -> None:
    """Otherwise every member would ask for them, one round trip later."""
    probe = shell()
    probe.start()
    one = shell(index=primary_of(probe.core.replica.state, 1))
    one.start()
    fresh = envelope(one, 1, firm=one.core.replica.state.me)
    one.feed(nv.Submitted, token=1, envelopes=(fresh,))
    one.pass_time(19)  # before the timer of gossip
    kinds = [type(message) for _, message in one.sent if isinstance(message, TxBatch | PrePrepare)]
    assert kinds[:2] == [TxBatch, PrePrepare]
    one.pass_time(20)
    assert one.messages(TxBatch) == [TxBatch((fresh,))], "and not again with the timer"


def test_p132_what_waits_is_handed_to_the_primary_of_the_view(shell: Callable[..., Shell]) -> None:
    probe = shell()
    probe.start()
    primary = primary_of(probe.core.replica.state, 1)
    me = (primary + 1) % 4
    one = shell(index=me)
    one.start()
    one.feed(nv.Submitted, token=1, envelopes=(envelope(one, 1, firm=me),))
    one.pass_time(1_100)
    assert (primary, TxBatch((envelope(one, 1, firm=me),))) in one.sent
    assert one.core.mempool._primary == primary


def proposal_of(one: Shell, sender: int, *envelopes: bytes) -> PrePrepare:
    """A real proposal of member `sender` for height 1."""
    ids = tuple(decode_transaction(each, one.league.chain_id).tx_id for each in envelopes)
    base = one.core._header_base(1)
    header = msgspec.structs.replace(
        base,
        height=1,
        parent_id=one.league.genesis.ref.block_id,
        tx_root=list_root(ids),
        tx_count=len(ids),
        size_bytes=sum(map(len, envelopes)),
        time_ms=one.wall,
        proposer=sender,
        last_cert_hash=certificate_hash(one.league.certificate),
    )
    raw = encode(header)
    vote = Vote(0, 0, 1, block_id(raw))
    key = one.league.firms[sender].consensus_key
    signature = key.sign(signing_digest_of("pre-prepare", one.league.chain_id, encode(vote)))
    return PrePrepare(sender, vote, signature, Proposal(raw, ids, one.league.certificate))


def backup_of(shell: Callable[..., Shell]) -> tuple[Shell, int]:
    probe = shell()
    probe.start()
    primary = primary_of(probe.core.replica.state, 1)
    one = shell(index=(primary + 1) % 4)
    one.start()
    return one, primary


def test_p131_missing_bodies_are_asked_from_the_primary_and_then_voted_for(shell: Callable[..., Shell]) -> None:
    one, primary = backup_of(shell)
    wanted = envelope(one, 1)
    message = proposal_of(one, primary, wanted)
    one.receive(primary, message)
    (request,) = one.messages(BodiesRequest)
    assert request == BodiesRequest(message.vote.block_id, message.proposal.tx_ids)
    assert one.sent[-1][0] == primary and not one.messages(Prepare)
    one.receive(primary, Bodies(message.vote.block_id, (wanted,)))
    (prepare,) = one.messages(Prepare)
    assert prepare.vote == message.vote
    (entry,) = [entry for entry in one.journal if isinstance(entry.record, Accepted)]
    assert entry.body is not None and entry.body.envelopes == (wanted,)


def test_p131_bodies_that_are_here_need_no_request(shell: Callable[..., Shell]) -> None:
    one, primary = backup_of(shell)
    wanted = envelope(one, 1)
    one.receive((primary + 2) % 4, TxBatch((wanted,)))
    one.receive(primary, proposal_of(one, primary, wanted))
    assert one.messages(Prepare) and not one.messages(BodiesRequest)
    other = (primary + 3) % 4
    one.receive(other, BodiesRequest(bytes(32), (bytes(32), *proposal_of(one, primary, wanted).proposal.tx_ids)))
    assert one.sent[-1] == (other, Bodies(bytes(32), (wanted,)))
    count = len(one.sent)
    one.receive(other, BodiesRequest(bytes(32), (bytes(32),)))
    assert len(one.sent) == count  # nothing here, nothing sent


def test_an_invalid_body_is_no_vote(shell: Callable[..., Shell]) -> None:
    one, primary = backup_of(shell)
    wanted = envelope(one, 1)
    message = proposal_of(one, primary, wanted)
    header = msgspec.structs.replace(header_codec.decode(message.proposal.header), size_bytes=1)
    raw = encode(header)
    vote = Vote(0, 0, 1, block_id(raw))
    key = one.league.firms[primary].consensus_key
    signature = key.sign(signing_digest_of("pre-prepare", one.league.chain_id, encode(vote)))
    lying = PrePrepare(primary, vote, signature, msgspec.structs.replace(message.proposal, header=raw))
    one.receive((primary + 2) % 4, TxBatch((wanted,)))
    one.receive(primary, lying)
    assert not one.messages(Prepare)
    assert one.core.replica.state.slots[1].reason == "invalid_block"


def test_block_requests_are_served_within_their_sense(shell: Callable[..., Shell]) -> None:
    one = shell()
    one.start()
    for first, last in ((0, 5), (5, 4)):
        one.receive(1, BlocksRequest(first, last))
    assert [penalty.reason for penalty in one.penalties] == ["blocks_request", "blocks_request"]
    one.receive(1, Blocks(()))
    assert len(one.penalties) == 2  # nobody asked: not looked at


@pytest.mark.parametrize(
    ("message", "served"),
    [
        (BlocksRequest(3, 2**60), ne.SendBlocks(to=2, first=3, last=3 + RANGE_BLOCKS - 1)),
        (BlocksRequest(3, 4), ne.SendBlocks(to=2, first=3, last=4)),
        (SkeletonRequest(1, 9_000), ne.SendSkeleton(to=2, first=9_000 - SKELETON_BLOCKS + 1, last=9_000)),
        (SkeletonRequest(3, 9), ne.SendSkeleton(to=2, first=3, last=9)),
    ],
)
def test_p107_an_answer_covers_no_more_heights_than_a_correct_node_asks_for(
    shell: Callable[..., Shell], message: PeerMessage, served: ne.NodeEffect
) -> None:
    """A request has 15 bytes, whatever it asks for; the answer is read on the thread that votes."""
    one = shell()
    one.start()
    assert one.core.step(nv.PeerReceived(now=one.now, wall=1, peer=2, message=message)) == [served]


def test_p83_a_certified_result_that_differs_stops_the_node(shell: Callable[..., Shell]) -> None:
    one = alone(shell)
    one.feed(nv.Submitted, token=1, envelopes=(envelope(one, 1),))
    one.pass_time(1_000)
    assert len(one.stored) == 2 and not one.halts
    one.core.chain.divergence = "height 1: certified exec_root aa, executed here bb"
    one.hold_execution = True
    one.feed(nv.Submitted, token=2, envelopes=(envelope(one, 2),))
    one.pass_time(200)
    assert [halt.reason.value for halt in one.halts] == ["state_divergence"]
    count = len(one.sent), len(one.journal)
    one.feed(nv.Submitted, token=3, envelopes=(envelope(one, 3),))
    one.pass_time(10_000)
    assert (len(one.sent), len(one.journal)) == count  # P20: nothing leaves a halted node
    assert one.core.step(nv.PeerLost(now=one.now, wall=one.wall, peer=1)) == []


def test_an_observer_admits_gossips_and_never_votes(shell: Callable[..., Shell]) -> None:
    one = shell()
    config = dataclasses.replace(one.league.config(0), index=None)
    one.start(config=config, voting=False)
    assert one.core.mempool.own == OBSERVER and one.core.replica.state.mode is Mode.LEARNER
    one.feed(nv.Submitted, token=1, envelopes=(envelope(one, 1),))
    one.pass_time(1_500)
    batches = one.messages(TxBatch)
    assert batches and all(batch == TxBatch((envelope(one, 1),)) for batch in batches)
    assert not one.journal


@pytest.mark.parametrize("voting", [True, False])
def test_p132_whose_turn_it_is_without_a_vote_tells_all_again(shell: Callable[..., Shell], voting: bool) -> None:
    """Swarm seed 29021: it proposes nothing, so others must know of the work to suspect it; one frame may be lost."""
    one = shell(index=1)
    one.start(voting=voting)
    state = one.core.replica.state
    assert primary_of(state, 1) == state.me and (state.mode is Mode.LEARNER) is not voting
    one.feed(nv.Submitted, token=1, envelopes=(envelope(one, 1, firm=1),))
    one.pass_time(100)
    first = len(one.messages(TxBatch))
    assert first == 1, "gossip, which is sent once"
    one.pass_time(5_000)
    again = one.messages(TxBatch)[first:]
    assert all(batch == TxBatch((envelope(one, 1, firm=1),)) for batch in again)
    assert bool(again) is not voting, "who votes has proposed it"


def test_peers_that_come_are_greeted_with_a_status(shell: Callable[..., Shell]) -> None:
    one = shell()
    one.start()
    one.feed(nv.PeerConnected, peer=2)
    assert [(to, type(message)) for to, message in one.sent] == [(2, Status)]
    assert one.core.replica.state.peers[2].connected
    one.feed(nv.PeerLost, peer=2)
    assert not one.core.replica.state.peers[2].connected


def test_tokens_of_the_replica_and_of_the_node_never_meet(shell: Callable[..., Shell]) -> None:
    one = shell()
    one.start()
    assert [one.core._next_token() % 2 for _ in range(4)] == [1, 1, 1, 1]
    one.feed(nv.VotesVerified, token=999_999, valid=1)  # stale, odd: sync and evidence ignore it
    one.feed(nv.VotesVerified, token=999_998, valid=1)  # stale, even: the replica ignores it
    assert not one.halts and one.now == 1_000 * MS


def test_p114_what_waited_in_the_epoch_before_waits_on_under_its_own_quota(shell: Callable[..., Shell]) -> None:
    one = shell()
    own, of_peer = (decode_transaction(envelope(one, nonce), one.league.chain_id) for nonce in (1, 2))
    done = decode_transaction(envelope(one, 3), one.league.chain_id)
    one.start(waiting=((own, True), (of_peer, False), (done, True)), recent=((done.tx_id, 0, 900),))
    assert {tx_id: (entry.origin, entry.ours) for tx_id, entry in one.core.mempool.waiting.items()} == {
        own.tx_id: (one.index, True),
        of_peer.tx_id: (one.league.firms[0].company_id, False),
    }
    assert nv.NodeTimer.FORWARD in one.timers, "they are passed on like all that waits (P132)"
    assert one.core.replica.state.work.count == 2, "and the replica knows that there is work"


def test_p114_votes_above_the_barrier_are_left_to_the_next_core(shell: Callable[..., Shell]) -> None:
    """Its key may be another one: the journal holds the vote, and nothing that it would sign leaves from here."""
    one = alone(shell, max_block_txs=1)
    now = one.core.config.epoch
    spec = dataclasses.replace(now, epoch=1, first_height=6, members_hash=bytes([7]) * 32)
    plain = one.result
    one.result = lambda height: {**plain(height), "next_epoch": spec if height == 1 else None}  # type: ignore[method-assign]
    many = tuple(envelope(one, nonce) for nonce in range(1, 230))  # so many that the next block waits for nothing (P45)
    one.feed(nv.Submitted, token=1, envelopes=many)
    one.pass_time(3_000)
    assert len(one.ended) == 1
    votes = [message for _, message in one.sent if isinstance(message, Prepare | PrePrepare | Commit)]
    assert {vote.vote.epoch for vote in votes} == {0} and max(vote.vote.height for vote in votes) == 5


def test_p114_whose_place_moves_with_the_epoch_proposes_in_the_next_core_only(shell: Callable[..., Shell]) -> None:
    """A block of this core would name the old place as its proposer, and be refused by who made it."""
    one = alone(shell, max_block_txs=1)
    now = one.core.config.epoch
    newcomer = Member(company_id="c" + "a" * 26, consensus_key=bytes([9]) * 32, in_rotation=False)
    members = (newcomer, *now.members)
    assert members[0].company_id < members[1].company_id
    spec = dataclasses.replace(now, epoch=1, first_height=6, members=members, members_hash=bytes([7]) * 32)
    plain, perform, counted = one.result, one.perform, list[str]()
    one.result = lambda height: {**plain(height), "next_epoch": spec if height == 1 else None}  # type: ignore[method-assign]

    def counting(effect: ne.NodeEffect) -> list[tuple[type, dict[str, object]]]:
        counted.extend([effect.metric] if isinstance(effect, ne.Tally) else [])
        return perform(effect)

    one.perform = counting  # type: ignore[method-assign]
    many = tuple(envelope(one, nonce) for nonce in range(1, 230))
    one.feed(nv.Submitted, token=1, envelopes=many)
    one.pass_time(3_000)
    assert len(one.ended) == 1 and one.core.replica.state.me == 1 and "epoch_changed" in counted
    assert "proposal_rejected" not in counted and "own_proposal_invalid" not in counted


def test_p114_the_core_ends_with_its_epoch_and_executes_what_is_stored(shell: Callable[..., Shell]) -> None:
    """Height 1 decides that epoch 1 begins at 6: five blocks follow without transactions, and then nothing leaves."""
    one = alone(shell)
    now = one.core.config.epoch
    spec = dataclasses.replace(now, epoch=1, first_height=6, members_hash=bytes([7]) * 32)
    plain = one.result
    one.result = lambda height: {**plain(height), "next_epoch": spec if height == 1 else None}  # type: ignore[method-assign]
    one.feed(nv.Submitted, token=1, envelopes=(envelope(one, 1),))
    one.pass_time(3_000)
    assert [stored.ref.height for stored in one.stored] == [1, 2, 3, 4, 5]
    assert [effect.height for effect in one.executed] == [1, 2, 3, 4, 5]
    headers = [stored.header for stored in one.stored]
    assert {header.members_hash for header in headers} == {now.members_hash}
    assert [header.next_members_hash == spec.members_hash for header in headers] == [False] * 4 + [True]
    (end,) = one.ended
    assert end.after == one.journal[-1].lsn and isinstance(one.journal[-1].record, Anchor)
    before = len(one.sent), len(one.journal)
    one.feed(nv.Submitted, token=2, envelopes=(envelope(one, 2),))
    one.pass_time(1_000)
    assert (len(one.sent), len(one.journal)) == before and len(one.ended) == 1 and not one.halts


def status_of(epoch: int, height: int) -> Status:
    """What a member says that stands far ahead."""
    return Status(epoch, 0, int(Mode.NORMAL), height, bytes(32), 0, height, False, b"\0", b"\0", b"\0", b"")


def test_p107_the_way_to_the_members_is_learnt_before_the_state_is_asked_for(shell: Callable[..., Shell]) -> None:
    """P85: a state of a later epoch can be judged by its members only; without the way to them blocks are replayed."""
    one = shell()
    one.core._context = dataclasses.replace(one.core._context, replay_blocks=10)
    one.start()
    for peer in (1, 2, 3):
        one.feed(nv.PeerConnected, peer=peer)
    one.receive(1, status_of(2, 100))
    assert one.messages(EpochEndsRequest) == [EpochEndsRequest(0)] and one.messages(SnapshotRequest) == []
    one.receive(2, status_of(2, 100))
    assert len(one.messages(EpochEndsRequest)) == 1, "one peer at a time"
    assert one.messages(BlocksRequest) == [], "nor are blocks asked for meanwhile"
    one.receive(1, EpochEnds(0, (), ()))
    assert len(one.messages(EpochEndsRequest)) == 2, "who has nothing is passed over"
    one.receive(2, EpochEnds(0, (), ()))
    assert len(one.messages(SnapshotRequest)) == 3 and one.penalties == [], "nobody shows the way: whatever there is"


@pytest.mark.parametrize("liars", [(0,), (0, 1), (4, 5)])
@pytest.mark.parametrize("away_steps", [0, 1])
def test_p107_liars_that_claim_a_later_epoch_and_hang_up_in_turn_keep_no_node_out(
    shell: Callable[..., Shell], liars: tuple[int, ...], away_steps: int
) -> None:
    """Review, n = 7, f = 2: each claims a later epoch, is asked for its end, and hangs up before it is late."""
    one = shell(6, 7)
    one.core._context = dataclasses.replace(one.core._context, replay_blocks=50)
    one.start()
    honest = tuple(peer for peer in range(6) if peer not in liars)
    for peer in range(6):
        one.feed(nv.PeerConnected, peer=peer)
        one.receive(peer, status_of(0 if peer in honest else 9, 300))
    blocks: list[int] = []
    states: list[int] = []
    away: list[tuple[int, int]] = []
    for step in range(120):  # a second each
        for when, peer in [entry for entry in away if entry[0] <= step]:
            away.remove((when, peer))
            one.feed(nv.PeerConnected, peer=peer)
            one.receive(peer, status_of(9, 300))
        for peer in honest:
            one.receive(peer, status_of(0, 300))
        one.pass_time(1_000)
        todo, one.sent = one.sent, []
        for to, message in todo:
            if to not in honest:
                continue
            if isinstance(message, EpochEndsRequest):
                one.receive(to, EpochEnds(message.first, (), ()))
            elif isinstance(message, SnapshotRequest):
                states.append(step)
                one.receive(to, SnapshotOffer(()))
            elif isinstance(message, BlocksRequest):
                blocks.append(step)
        if (asked := one.core.walk._asked) in liars:
            away.append((step + 1 + away_steps, asked))
            one.feed(nv.PeerLost, peer=asked)
    limit_s = machine.WAY_NS // (1_000 * MS) + 6  # and the time for offers
    assert states and states[0] <= limit_s and blocks and blocks[0] <= limit_s
    late = [step for step in states if step > limit_s]
    assert len(late) <= 4 * len(honest), "every 30 s, however often they hang up"


def test_p107_a_way_that_is_shown_late_leads_to_the_state_all_the_same(shell: Callable[..., Shell]) -> None:
    """What was asked for meanwhile does not keep the node from judging states by the members that it learns at last."""
    one = shell()
    one.core._context = dataclasses.replace(one.core._context, replay_blocks=10)
    one.start()
    for peer in (1, 2, 3):
        one.feed(nv.PeerConnected, peer=peer)
    for _ in range(40):
        one.receive(1, status_of(1, 300))
        one.receive(2, status_of(0, 300))
        one.receive(3, status_of(0, 300))
        one.pass_time(1_000)
        for to, message in one.sent[:]:
            if isinstance(message, BlocksRequest) and to in (2, 3):
                one.receive(to, Held(message.first, 300, 300))
        one.feed(nv.PeerLost, peer=1)
        one.feed(nv.PeerConnected, peer=1)
    assert one.messages(SnapshotRequest) and one.messages(BlocksRequest)
    one.sent.clear()
    one.receive(1, status_of(1, 300))
    one.pass_time(1_000)
    assert one.core.walk._asked == 1 and one.core._wants_state
    one.receive(1, EpochEnds(0, (Change(one.league, 100).end,), ()))
    one.receive(1, EpochEnds(1, (), ()))
    assert one.core.walk.reached.epoch == 1 and one.core.taking._asked_epoch == 1
    assert len(one.messages(SnapshotRequest)) == 3, "asked again, under the members of today"


def test_p106_a_node_that_is_near_asks_for_blocks_and_not_for_the_way(shell: Callable[..., Shell]) -> None:
    one = shell()
    one.core._context = dataclasses.replace(one.core._context, replay_blocks=1_000)
    one.start()
    one.feed(nv.PeerConnected, peer=1)
    one.receive(1, status_of(1, 100))
    assert one.messages(EpochEndsRequest) == [] and one.messages(BlocksRequest) != []


@pytest.mark.parametrize("kind", [Blocks, Skeleton, Chunk])
def test_p140_large_answers_of_a_peer_that_was_never_asked_are_charged(shell: Callable[..., Shell], kind: type) -> None:
    """Review: each took 8 ms to decode, and cost its sender nothing."""
    one = far_behind(shell, replay_blocks=100)
    chain = certified_chain(one.league, RANGE_BLOCKS)
    proof = RangeProof((), ())
    message = {Blocks: Blocks(chain), Skeleton: Skeleton(1, (b"h",), ((),)), Chunk: Chunk(1, 0, (), proof)}[kind]
    one.receive(1, message)
    assert one.penalties == [], "the process before may have asked"
    one.pass_time((one.core.sync.strict_from_ns - one.now) // MS)
    one.receive(1, message)
    assert [(one.peer, one.reason) for one in one.penalties] == [(1, "never_asked")]
    assert 0 < WEIGHTS["never_asked"] < DEFAULT_WEIGHT
    one.penalties.clear()
    task = _Task(0) if kind is Chunk else _Task(-1, 1, 1)
    (one.core.sync._ask(_Range(1, 1), 1, one.now) if kind is Blocks else one.core.taking._ask(task, 1, one.now))
    one.receive(1, message)
    assert one.penalties == []


# far behind


def certified_chain(league: League, top: int, **last: object) -> tuple[CertifiedBlock, ...]:
    """Empty blocks 1..top as the others agreed on them; `last` changes the header of the last one."""
    parent, out = league.genesis.ref.block_id, []
    for height in range(1, top + 1):
        header = msgspec.structs.replace(
            league.genesis.header,
            height=height,
            parent_id=parent,
            time_ms=league.genesis.ref.time_ms + height,
            **(last if height == top else {}),
        )
        raw = encode(header)
        parent = block_id(raw)
        vote = Vote(0, 0, height, parent)
        digest = signing_digest_of("commit", league.chain_id, encode(vote))
        signatures = tuple(league.firms[i].consensus_key.sign(digest) for i in (0, 1, 2))
        out.append(CertifiedBlock(raw, (), CommitCertificate(vote, bitmap((0, 1, 2), 4), signatures)))
    return tuple(out)


def manifest_of(league: League, height: int) -> SnapshotManifest:
    """A state after `height` that the block above certifies."""
    roots = (b"\1" * 32, b"\2" * 32, b"\3" * 32)
    *_, at, above = certified_chain(league, height + 1, exec_height=height, exec_root=exec_root(*roots))
    return SnapshotManifest(
        height, at.header, at.certificate, *roots, (), above.header, above.certificate, 1, 16, 1_000
    )


def far_behind(shell: Callable[..., Shell], replay_blocks: int) -> Shell:
    """Node 3 with links to all others; more than `replay_blocks` missing call for the state."""
    one = shell(3)
    one.core._context = dataclasses.replace(one.core._context, replay_blocks=replay_blocks)
    one.start()
    for peer in (0, 1, 2):
        one.feed(nv.PeerConnected, peer=peer)
    return one


def tell(one: Shell, height: int) -> None:
    for peer in (0, 1, 2):
        one.receive(peer, status_of(0, height))


def small_talk(one: Shell, *offers: SnapshotManifest, silent: int = -1) -> int:
    """Let peers answer, at once, who decides and what state they have; return how many were asked for a state."""
    asked = 0
    while questions := [entry for entry in one.sent if isinstance(entry[1], EpochEndsRequest | SnapshotRequest)]:
        for entry in questions:
            one.sent.remove(entry)
            to, message = entry
            if isinstance(message, SnapshotRequest):
                asked += 1
            if to != silent:
                answer = SnapshotOffer(offers) if isinstance(message, SnapshotRequest) else EpochEnds(0, (), ())
                one.receive(to, answer)
    return asked


def test_p107_offers_are_asked_for_first_and_then_beside_the_blocks(shell: Callable[..., Shell]) -> None:
    """Review: each time offers were asked for, ranges on their way and verified ones were thrown away."""
    one = far_behind(shell, replay_blocks=100)
    tell(one, 800)
    assert small_talk(one) == 3 and one.messages(BlocksRequest) == [], "perhaps there is a state"
    one.pass_time(1_000)
    tell(one, 800)
    assert small_talk(one) == 0 and len(one.messages(BlocksRequest)) == 12
    to, first = next(entry for entry in one.sent if isinstance(entry[1], BlocksRequest))
    ranges = list(one.core.sync._ranges)
    one.pass_time(30_000)
    tell(one, 800)
    assert one.messages(EpochEndsRequest) == [EpochEndsRequest(0)], "the way to the members of today comes first"
    assert one.core.sync._ranges == ranges and one.core.sync.active
    assert small_talk(one) == 3
    assert one.core.sync._ranges == ranges and one.core.sync.active, "all of them are still waited for"
    one.receive(to, Blocks(certified_chain(one.league, RANGE_BLOCKS)))  # 31 s late
    assert first == BlocksRequest(1, RANGE_BLOCKS) and one.core.chain.tip.height == RANGE_BLOCKS
    assert one.penalties == []


def test_p107_blocks_are_asked_for_until_a_state_is_begun_and_no_more_then(shell: Callable[..., Shell]) -> None:
    one = far_behind(shell, replay_blocks=100)
    tell(one, 800)
    small_talk(one)
    one.pass_time(1_000)
    tell(one, 800)
    one.pass_time(30_000)
    manifest = manifest_of(one.league, 600)
    tell(one, 800)
    assert one.core.sync.active
    assert small_talk(one, manifest) == 3
    assert one.core.taking.manifest == manifest and one.messages(ChunkRequest) != []
    assert not one.core.sync.running and not one.core.sync.active
    late = [(to, message) for to, message in one.sent if isinstance(message, BlocksRequest)]
    tell(one, 900)
    one.pass_time(3_000)
    assert len(one.messages(BlocksRequest)) == len(late), "not beside the state"
    chain = certified_chain(one.league, 12 * RANGE_BLOCKS)
    for to, message in late:
        one.receive(to, Blocks(chain[message.first - 1 : message.last]))
    assert one.penalties == [] and {fault.reason for fault in one.core.sync.faults.values()} == {"sync_silent"}


def test_p107_a_slow_link_makes_its_way_while_a_state_is_looked_for_in_vain(shell: Callable[..., Shell]) -> None:
    """Review: at 8 s a range, 1,600 blocks took 280 s; with snapshots, all three peers were blamed ten times instead."""
    one = far_behind(shell, replay_blocks=100)
    top = 25 * RANGE_BLOCKS
    blocks = certified_chain(one.league, top)
    free = dict.fromkeys((0, 1, 2), one.now)
    wire: list[tuple[int, int, BlocksRequest]] = []
    began = one.now
    asked = 0
    while one.core.chain.tip.height < top and one.now - began < 600_000 * MS:
        tell(one, top)
        one.pass_time(500)
        asked += small_talk(one)
        for to, message in one.sent:
            if isinstance(message, BlocksRequest):
                free[to] = max(free[to], one.now) + 8_000 * MS
                wire.append((free[to], to, message))
        one.sent.clear()
        for entry in sorted((entry for entry in wire if entry[0] <= one.now), key=lambda entry: entry[:2]):
            wire.remove(entry)
            _, to, request = entry
            one.receive(to, Blocks(blocks[request.first - 1 : request.last]))
    assert one.core.chain.tip.height == top and one.penalties == []
    assert asked >= 3 * 5, "offers were asked for all the time"


@pytest.mark.parametrize("replay_blocks", [0, 100])
def test_p106_one_silent_member_with_a_huge_height_keeps_nobody_syncing(
    shell: Callable[..., Shell], replay_blocks: int
) -> None:
    """Review: readyz said syncing for ever, and no snapshot was made, because one member claimed and never showed."""
    one = far_behind(shell, replay_blocks)
    syncing = taking = 0
    for _ in range(3_600):
        for peer in (0, 1, 2):
            one.receive(peer, status_of(0, 1_000 if peer == 0 else 0))
        one.pass_time(1_000)
        small_talk(one, silent=0)
        for to, message in one.sent:
            if to != 0 and isinstance(message, BlocksRequest):
                one.receive(to, Held(message.first, 0, 0))
        one.sent.clear()
        syncing += one.core.sync.active
        taking += one.core.taking.active
    patience_s = 4 * one.league.params.fetch_ms // 1_000
    assert 0 < syncing <= DOUBT_PATIENCES * patience_s + 1
    assert taking <= 3 * 2 * patience_s, "offers are asked for while it is believed"
    assert one.penalties == []


@pytest.mark.parametrize("lag", [300, 401])
@pytest.mark.parametrize("silent", [-1, 0])
def test_p107_a_node_whose_blocks_are_gone_everywhere_takes_the_state(
    shell: Callable[..., Shell], lag: int, silent: int
) -> None:
    """Review: with 200 to 400 blocks missing, nobody was asked for a state that all have; nor may a liar's claim to
    hold the blocks keep it so."""
    one = far_behind(shell, replay_blocks=400)
    manifest, blocks = manifest_of(one.league, 90), certified_chain(one.league, lag)
    seconds = 0
    while one.core.taking.manifest is None and seconds < 200:
        seconds += 1
        tell(one, lag)
        one.pass_time(1_000)
        small_talk(one, manifest, silent=silent)
        for to, message in one.sent[:]:
            if isinstance(message, BlocksRequest) and to != silent:
                held = Blocks(blocks[message.first - 1 : message.last])
                one.receive(to, held if message.first >= 91 else Held(message.first, 91, lag))
        one.sent.clear()
    assert one.core.taking.manifest == manifest and one.penalties == []
    believed_s = 0 if silent < 0 else 2 * DOUBT_PATIENCES
    assert seconds <= believed_s + 35, "offers are asked for every 30 s"


def test_p107_that_blocks_are_gone_takes_the_word_of_an_honest_member(shell: Callable[..., Shell]) -> None:
    one = far_behind(shell, replay_blocks=400)
    one.core.sync.near = 0
    for peer in (0, 1, 2):
        one.receive(peer, status_of(0, 300 if peer == 0 else 0))
    small_talk(one)
    (request,) = {message.first for message in one.messages(BlocksRequest) if message.first == 1}
    one.receive(0, Held(request, 2**39, 2**40))
    one.core.sync.oldest[OBSERVER + 1] = 2**39  # a guest
    for _ in range(60):
        one.receive(0, status_of(0, 300))
        one.pass_time(1_000)
    assert one.messages(SnapshotRequest) == []


@pytest.mark.parametrize("last", [False, True])
def test_p114_the_tip_says_whether_blocks_of_a_later_epoch_may_follow(shell: Callable[..., Shell], last: bool) -> None:
    """Whoever makes up blocks of a later epoch is named, and honest members are not when a barrier is passed."""
    one = far_behind(shell, replay_blocks=0)
    tell(one, 800)
    (to, request) = next(entry for entry in one.sent if isinstance(entry[1], BlocksRequest))
    assert request == BlocksRequest(1, RANGE_BLOCKS) and isinstance(to, int)
    genesis = one.league.genesis.header
    named = {"next_members_hash": bytes(32) if last else genesis.members_hash}
    *_, above = certified_chain(one.league, 11, epoch=1)
    one.receive(to, Blocks((*certified_chain(one.league, 10, **named), above)))
    assert one.core.chain.tip.height == 10 and one.penalties == []
    one.sent.clear()
    one.pass_time(4_000)
    (to, request) = next(entry for entry in one.sent if isinstance(entry[1], BlocksRequest) and entry[1].first == 11)
    assert isinstance(to, int)
    one.receive(to, Blocks((above,)))
    assert [(one.peer, one.reason) for one in one.penalties] == ([] if last else [(to, "sync_epoch")])


def test_p85_what_is_missing_of_the_way_behind_is_asked_for(shell: Callable[..., Shell]) -> None:
    """The state is in epoch 1, no end of epoch 0 is kept: the folder was lost, and the blocks are pruned."""
    one = shell()
    genesis = one.league.config(0).epoch
    later = dataclasses.replace(one.league.config(0), epoch=dataclasses.replace(genesis, epoch=1))
    one.start(config=later, reached=genesis)
    one.feed(nv.PeerConnected, peer=1)
    one.receive(1, status_of(1, 0))
    assert one.messages(EpochEndsRequest) == [EpochEndsRequest(0)]


def test_p85_a_request_for_ends_is_handed_to_the_shell(shell: Callable[..., Shell]) -> None:
    one = shell()
    one.start()
    (served,) = one.core.step(nv.PeerReceived(now=one.now, wall=1, peer=2, message=EpochEndsRequest(4)))
    assert served == ne.SendEpochEnds(to=2, first=4)


@pytest.mark.parametrize("peer", [-1, 0])
def test_p159_a_link_to_nobody_else_is_counted_and_ends_no_member(shell: Callable[..., Shell], peer: int) -> None:
    one = shell()
    one.start()
    event = nv.PeerConnected(now=one.now, wall=one.wall, peer=peer)
    assert one.core.step(event) == [ne.Tally(metric="dropped_peer", value=1)]
    assert not one.halts and peer not in one.core.sync.connected
