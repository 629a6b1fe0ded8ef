"""The normal case (P30-P38, P131): PRE-PREPARE, PREPARE, COMMIT.

    upon PRE-PREPARE(v, s, d) from primary(v, s):   hold it; when P30 holds: persist Accepted, send PREPARE
    upon q votes (v, s, d), the primary's among them: persist PreparedHere, send COMMIT
    upon q COMMIT (v, s, d):                          a commit certificate, see `consensus.commit`

A proposal waits while something it needs is missing (parent, bodies, execution) and is rejected only for what
can never become right. Waiting costs nothing but time; rejecting uses up (v, s).
"""

from __future__ import annotations

from consensus.amnesia import claimed, in_prepared
from consensus.bodies import check_block
from consensus.commit import advance, learn
from consensus.effects import SignatureItem
from consensus.epochs import next_members_hash, top_height
from consensus.events import CHANGING, LEARNER, NORMAL, Verdict
from consensus.evidence import second_proposal, second_vote
from consensus.later import ask_help, buffer_later, late
from consensus.messages import Commit, Message, Prepare, Prepared, PreparedCertificate, PrePrepare, Proposal
from consensus.records import Accepted, PreparedHere
from consensus.signatures import require, require_votes
from consensus.slots import COMMIT, PRE_PREPARE, PREPARE, TIMELY_PRE_PREPARE, Held, Slot, Stage, new_slot
from consensus.state import Job, ReplicaState, primary_of
from consensus.step import NS, Step, is_verified, signers_mask
from consensus.tally import Tally, indexes
from consensus.validate import (
    HeaderRules,
    bound,
    commit_items,
    header_problem,
    parse_header,
    prepared_certificate,
    prepared_items,
    proposal_shape,
    vote_shape,
)
from ledger.block import BlockRef, Header
from ledger.certificate import CommitCertificate, Vote, bitmap
from ledger.codec import encode
from ledger.crypto.ed25519 import SIGNATURE_BYTES
from ledger.errors import InvariantViolated

BEYOND_WINDOW = "beyond_window"
"""Stable reason: a vote or a block further ahead than a member is listened to that stands where we stand (P138)."""
OWN_RETRY_MS = 50
"""Pause after an own proposal turned out invalid, so that a fault of the mempool is not a busy loop."""


# PRE-PREPARE


def on_pre_prepare(step: Step, peer: int, message: PrePrepare) -> None:
    """Cheap checks, then the free place, then signatures (P18, P137)."""
    state = step.state
    vote, sender = message.vote, message.sender
    if vote.epoch != state.members.epoch:  # of a member that is an epoch ahead or behind: no fault of the peer (P115)
        step.reject(peer, "other_epoch")
        return
    if not 0 <= sender < state.members.n or len(message.signature) != SIGNATURE_BYTES:
        step.penalise(peer, "malformed")
        return
    problem = vote_shape(vote, state.members.epoch)
    if problem:  # nobody passes on what it would not take itself
        step.penalise(peer, problem)
        return
    if sender == state.me:  # what we sent ourselves is in the journal, not on the wire (P96, P98)
        claimed(step, peer, message)
        return
    if vote.height <= state.height:
        late(step, peer, vote.height)
        return
    if state.mode not in (NORMAL, CHANGING):
        return
    if vote.height > state.height + 2 * step.params.window:
        step.reject(peer, BEYOND_WINDOW)
        return
    if vote.view > state.view or (vote.view == state.view and state.mode is CHANGING):
        buffer_later(step, peer, message, PRE_PREPARE)
        return
    if vote.view < state.view:
        step.dirty = True
        ask_help(step, peer)
        return
    judge_pre_prepare(step, peer, message, step.wall)


def judge_pre_prepare(step: Step, peer: int, message: PrePrepare, wall: int) -> None:
    """Check a PRE-PREPARE of the current view; `wall` is the clock at its first receipt (P30g)."""
    state = step.state
    vote = message.vote
    if message.sender != primary_of(state, vote.height):  # P30b
        _other_primary(step, peer)
        return
    slot = _slot(state, vote.height)
    if slot.block_id == vote.block_id or (slot.block_id and slot.accused):
        return
    problem = proposal_shape(message, state.members, state.config.genesis_id)
    if problem:
        step.penalise(peer, problem)
        return
    items = [SignatureItem(PRE_PREPARE, encode(vote), vote.epoch, message.sender, message.signature)]
    items += commit_items(message.proposal.last_certificate)
    # The judgement belongs to this message: what else came for the slot, unverified, must not vouch for it (P145).
    in_time = timely(step, message.proposal.header, wall)
    require(step, TIMELY_PRE_PREPARE if in_time else PRE_PREPARE, peer, message, items)


def _other_primary(step: Step, peer: int) -> None:
    """A proposal of somebody who is not the primary here: a lie, unless turns are planned.

    Then the base of the NEW-VIEW decides whose turn it is, and a lying collector may open one view from two bases
    (E4): both sides are honest, so nobody is charged (P77).
    """
    if step.params.rotate_every:
        step.reject(peer, "not_the_primary")
    else:
        step.penalise(peer, "not_the_primary")


def pre_prepare_verified(step: Step, peer: int, message: Message) -> None:
    """Signatures of a proposal are good whose time did not fit our clock when it came: only a new view can want it."""
    _proposed(step, peer, message, in_time=False)


def timely_pre_prepare_verified(step: Step, peer: int, message: Message) -> None:
    """Signatures of a proposal are good whose time fitted our clock when it came (P30g)."""
    _proposed(step, peer, message, in_time=True)


def _proposed(step: Step, peer: int, message: Message, *, in_time: bool) -> None:
    """Let the first verified proposal take the slot; a second one is evidence E1 (P30c, P124).

    The primary signed the vote alone: who passes it on may have put another proposal beside it, so the peer is charged.
    """
    if not isinstance(message, PrePrepare):
        raise InvariantViolated("a PRE-PREPARE was expected")
    state = step.state
    vote = message.vote
    learn(step, message.proposal.last_certificate)  # COMMIT-CERT in disguise (P35)
    if state.mode is not NORMAL or vote.view != state.view or vote.height <= state.height:
        return
    slot = _slot(state, vote.height)
    if slot.block_id:
        second_proposal(step, slot, message)
        return
    header = parse_header(message.proposal.header)
    if header is None or not bound(message.proposal, header):
        step.penalise(peer, "unbound_proposal")
        return
    state.heard_primary_ns = step.now
    state.silent_primary = False
    slot.timely = in_time
    fill(step, slot, message, header)
    consider(step, slot)


def fill(step: Step, slot: Slot, message: PrePrepare, header: Header) -> None:
    """Put a verified proposal into its slot; the PRE-PREPARE is its primary's PREPARE-phase vote (P33)."""
    hold(step.state, message.vote.block_id, header, message.proposal)
    slot.block_id = message.vote.block_id
    slot.pre_prepare = message
    slot.stage = Stage.WAITING
    slot.since_ns = step.now
    slot.prepares.put(message.sender, message, verified=True)
    ask_votes(step, slot, PREPARE, slot.block_id)
    step.dirty = True


def hold(state: ReplicaState, block_id: bytes, header: Header, proposal: Proposal) -> Held:
    """Keep a block by its id; `bound` was checked, so the id names exactly this proposal."""
    held = state.blocks.get(block_id)
    if held is None:
        held = Held(block_id, header, proposal)
        state.blocks[block_id] = held
    return held


def timely(step: Step, header_bytes: bytes, wall: int) -> bool:
    """Tell whether a fresh proposal's time fits our clock; slack grows with the back-off (P145)."""
    header = parse_header(header_bytes)
    if header is None:
        raise InvariantViolated("the time of a proposal is judged before its shape")
    exponent = min(step.state.backoff, 8)
    slack = step.params.msgdelay_ms
    for _ in range(exponent):
        slack *= 3
    delay = slack >> exponent
    return wall - delay - step.params.precision_ms <= header.time_ms <= wall + step.params.precision_ms


def _slot(state: ReplicaState, height: int) -> Slot:
    """Return the slot of a height of the window (P138: created only there)."""
    slot = state.slots.get(height)
    if slot is None:
        slot = state.slots[height] = new_slot(height, state.members.n)
    return slot


# acceptance


def consider_all(step: Step) -> None:
    """Let every slot of the window go on as far as it can, lowest first."""
    state = step.state
    advance(step)
    for slot in [state.slots[height] for height in sorted(state.slots)]:
        consider(step, slot)  # one that went away meanwhile is not looked at


def consider(step: Step, slot: Slot) -> None:
    """Accept the proposal, and go to the commit phase, if the rules allow it now."""
    state = step.state
    if state.mode is not NORMAL or state.slots.get(slot.height) is not slot:
        return
    if slot.stage is Stage.WAITING:
        _try_accept(step, slot)
    if slot.prepared is None:
        _try_prepare(step, slot)


def parent_of(state: ReplicaState, height: int) -> BlockRef | None:
    """Return the parent: committed here, or prepared here in the current view; else None (P30e)."""
    if height == state.tip.height + 1:
        return state.tip if state.tip.height == state.height else None
    below = state.slots.get(height - 1)
    if below is None or below.prepared is None:
        return None
    held = state.blocks.get(below.prepared.vote.block_id)
    grandparent = parent_of(state, height - 1)
    return held.reference(grandparent) if held is not None and grandparent is not None else None


def last_certified(state: ReplicaState, parent: BlockRef) -> int:
    """Return the height whose certificate `parent` carries; 0 when it came by sync or before a restart (P30f)."""
    held = state.blocks.get(parent.block_id)
    return held.header.last_cert_height if held is not None else state.tip_last_cert


def _try_accept(step: Step, slot: Slot) -> None:
    """P30, in an order that asks for bodies as early as possible."""
    state = step.state
    params = step.params
    height = slot.height
    held = state.blocks.get(slot.block_id)
    if held is None:
        raise InvariantViolated(f"the block of slot {height} is not held")
    header = held.header
    if height > top_height(state, state.height, params.window):  # P30a, P113
        slot.reason = "window"
        return
    again = state.reproposals.get(height)
    if again is not None and again != slot.block_id:  # P30d
        _reject(step, slot, "not_the_reproposal")
        return
    fresh = again is None
    parent = parent_of(state, height)
    if parent is None or height <= state.base:  # P30e; at base* and below the decision has been made
        slot.reason = "parent"
        return
    if not slot.checked:
        problem = _static(step, slot, header, parent, fresh)
        if problem:
            _reject(step, slot, problem)
            return
        slot.checked = True
    if held.verdict is None:
        if not held.asked:
            check_block(step, held, fresh)  # P30i
        slot.reason = "check"
        return
    if held.verdict is Verdict.MISSING:
        slot.reason = "bodies"
        return
    if held.verdict is Verdict.INVALID:
        _reject(step, slot, "invalid_block")
        return
    if state.executed < height - params.exec_lag:  # P31: no vote while we lag ourselves
        slot.reason = "execution_lag"
        return
    if header.next_members_hash != next_members_hash(state, height):  # P114: its decision is executed here by now
        _reject(step, slot, "wrong_next_members")
        return
    if fresh:
        ours = state.exec_roots.get(header.exec_height)
        if ours is None:  # P31: wait, do not reject
            slot.reason = "execution"
            return
        if ours != header.exec_root:
            _reject(step, slot, "wrong_exec_root")
            return
    if not state.cleared:  # P98: nothing new before the others were heard
        slot.reason = "echo"
        return
    _accept(step, slot, held)


def _static(step: Step, slot: Slot, header: Header, parent: BlockRef, fresh: bool) -> str:
    """Return what can never become right about a proposal, or "" (P30e-h, P31, P145)."""
    state = step.state
    params = step.params
    if header.parent_id != parent.block_id:
        return "wrong_parent"
    rules = HeaderRules(
        chain_id=state.config.chain_id,
        members_hash=state.members.members_hash,
        params_hash=state.params_hash,
        members=state.members.n,
        max_block_bytes=params.max_block_bytes,
        max_block_txs=params.max_block_txs,
        window=params.window,
    )
    problem = header_problem(header, rules)
    if problem:
        return problem
    if header.last_cert_height == parent.height:
        held = state.blocks.get(slot.block_id)
        if held is None or held.proposal.last_certificate.vote.block_id != parent.block_id:
            return "wrong_last_certificate"
    # Not every member knows what certificate the parent carries, so this is asked of new blocks only: with one that a
    # new view repeats f+1 correct members were content, and all must be able to prepare it (P58).
    if fresh and header.last_cert_height < last_certified(state, parent):
        return "wrong_last_certificate_height"
    if header.time_ms <= parent.time_ms:
        return "time_not_increasing"
    if not max(parent.exec_height, slot.height - params.exec_lag) <= header.exec_height <= slot.height - 1:
        return "wrong_exec_height"
    if fresh:
        sender = slot.pre_prepare.sender if slot.pre_prepare is not None else -1
        if header.proposer != sender:
            return "wrong_proposer"
        if not slot.timely:
            return "time_out_of_bounds"
    return ""


def _reject(step: Step, slot: Slot, reason: str) -> None:
    """Refuse a proposal. Our own was never signed, so its (v, s) is free again (P32, P164)."""
    step.count("proposal_rejected")
    if not slot.own:
        step.reject(primary_of(step.state, slot.height), reason)
        slot.stage = Stage.REJECTED
        slot.reason = reason
        return
    state = step.state
    fresh_slot = new_slot(slot.height, state.members.n)
    fresh_slot.prepares, fresh_slot.commits = slot.prepares, slot.commits
    state.slots[slot.height] = fresh_slot
    held = state.blocks.get(slot.block_id)
    if held is not None and not held.durable:
        del state.blocks[slot.block_id]
    state.pace.hold_until_ns = step.now + OWN_RETRY_MS * NS
    step.dirty = True


def _accept(step: Step, slot: Slot, held: Held) -> None:
    """Vote for the proposal: durable with its bodies first (P33)."""
    state = step.state
    message = slot.pre_prepare
    if message is None:
        raise InvariantViolated(f"slot {slot.height} has no proposal to accept")
    body = encode(message.vote)
    size = held.header.size_bytes
    slot.stage, slot.reason = Stage.ACCEPTED, ""
    held.durable = True
    step.dirty = True
    if slot.own:
        signed = PrePrepare(state.me, message.vote, step.sign(PRE_PREPARE, body), message.proposal)
        slot.pre_prepare = signed
        slot.prepares.put(state.me, signed, verified=True)
        step.persist(Accepted(signed, None), held.block_id, size)
        step.broadcast(signed)
        state.pace.last_sent_ns = step.now
    else:
        prepare = Prepare(state.me, message.vote, step.sign(PREPARE, body))
        slot.prepares.put(state.me, prepare, verified=True)
        step.persist(Accepted(message, prepare), held.block_id, size)
        step.broadcast(prepare)
    ask_votes(step, slot, PREPARE, slot.block_id)


# PREPARE and COMMIT


def on_prepare(step: Step, peer: int, message: Prepare) -> None:
    _on_vote(step, peer, message, PREPARE)


def on_commit(step: Step, peer: int, message: Commit) -> None:
    _on_vote(step, peer, message, COMMIT)


def _on_vote(step: Step, peer: int, message: Prepare | Commit, kind: str) -> None:
    """One place per signer; unverified only from the signer's own channel (P17, P38, P138)."""
    state = step.state
    vote = message.vote
    sender = message.sender
    if vote.epoch != state.members.epoch:
        step.reject(peer, "other_epoch")
        return
    if not 0 <= sender < state.members.n or len(message.signature) != SIGNATURE_BYTES:
        step.penalise(peer, "malformed")
        return
    problem = vote_shape(vote, state.members.epoch)
    if problem:
        step.penalise(peer, problem)
        return
    height = vote.height
    if height <= state.height:
        late(step, peer, height)
        return
    if sender == state.me:
        claimed(step, peer, message)
        return
    if state.mode is LEARNER:
        return
    if height > state.height + 2 * step.params.window:
        step.reject(peer, BEYOND_WINDOW)
        return
    if vote.view != state.view or state.mode is not NORMAL:
        if vote.view >= state.view:
            buffer_later(step, peer, message, kind)
        else:
            ask_help(step, peer)
        return
    if kind == PREPARE and sender == primary_of(state, height):
        step.reject(peer, "prepare_of_primary")  # P33: its PRE-PREPARE is its only vote of the phase (B10)
        if _contradicts_proposal(state, message):
            require(step, kind, peer, message, (_item(kind, message),))  # E2
        return
    slot = state.slots.get(height) or _slot(state, height)
    tally = slot.prepares if kind == PREPARE else slot.commits
    known = tally.votes[sender]
    if known is None:
        if peer == sender:
            tally.put(sender, message, verified=False)
            q = state.members.q
            if tally.wanted(vote.block_id, q) or (not tally.decided and tally.valid.bit_count() >= q):
                ask_votes(step, slot, kind, vote.block_id)  # most votes only wait for more, or come when all is decided
        else:
            require(step, kind, peer, message, (_item(kind, message),))  # P17: verified before it takes a place
    elif known.vote.block_id != vote.block_id and not tally.accused >> sender & 1:
        if not (tally.valid | tally.asked) >> sender & 1:
            verify_votes(step, slot, kind, tally, 1 << sender)
        require(step, kind, peer, message, (_item(kind, message),))


def _contradicts_proposal(state: ReplicaState, message: Prepare | Commit) -> bool:
    """Tell whether a PREPARE of the primary is for another block than its verified PRE-PREPARE, and news."""
    slot = state.slots.get(message.vote.height)
    if slot is None or slot.prepares.accused >> message.sender & 1:
        return False
    proposed = slot.prepares.votes[message.sender]
    return proposed is not None and proposed.vote.block_id != message.vote.block_id


def _item(kind: str, message: Prepare | Commit) -> SignatureItem:
    vote = message.vote
    return SignatureItem(kind, encode(vote), vote.epoch, message.sender, message.signature)


def vote_verified(step: Step, _peer: int, message: Message) -> None:
    """A relayed vote is valid: it takes its place if that is still free (P17)."""
    if not isinstance(message, Prepare | Commit):
        raise InvariantViolated("a vote was expected")
    state = step.state
    vote = message.vote
    if state.mode is not NORMAL or vote.view != state.view or vote.height <= state.height:
        return
    kind = PREPARE if isinstance(message, Prepare) else COMMIT
    slot = _slot(state, vote.height)
    tally = slot.prepares if kind == PREPARE else slot.commits
    known = tally.votes[message.sender]
    if known is None and kind == PREPARE and message.sender == primary_of(state, vote.height):
        return  # its slot was made anew meanwhile: still not a vote (P33)
    if known is not None:
        if tally.valid >> message.sender & 1:
            second_vote(step, kind, tally, known, message)
            return
        if tally.asked >> message.sender & 1:
            return
        tally.free(message.sender)  # an unverified one gives way to one that is proven
    tally.put(message.sender, message, verified=True)
    ask_votes(step, slot, kind, vote.block_id)


def ask_votes(step: Step, slot: Slot, kind: str, block_id: bytes) -> None:
    """Verify what is needed for a quorum, or go on if it is there (P18)."""
    state = step.state
    tally = slot.prepares if kind == PREPARE else slot.commits
    wanted = tally.wanted(block_id, state.members.q)
    if wanted:
        verify_votes(step, slot, kind, tally, wanted)
    _count_votes(step, slot, kind, tally, block_id)


def verify_votes(step: Step, slot: Slot, kind: str, tally: Tally, mask: int) -> None:
    """Ask for the signatures of unverified votes in their places; known ones count at once (P18)."""
    state = step.state
    unknown: list[SignatureItem] = []
    asked = confirmed = 0
    vote: Vote | None = None
    body = b""
    for signer in indexes(mask):
        message = tally.votes[signer]
        if message is None or type(message) is PrePrepare:
            raise InvariantViolated(f"no {kind} to verify at place {signer}")
        if message.vote != vote:  # nearly always all are for one block
            vote = message.vote
            body = encode(vote)
        item = SignatureItem(kind, body, message.vote.epoch, signer, message.signature)
        if is_verified(state, item):
            confirmed |= 1 << signer
        else:
            unknown.append(item)
            asked |= 1 << signer
    tally.confirm(confirmed)
    if unknown:
        tally.asked |= asked
        require_votes(step, kind, state.view, slot.height, asked, tuple(unknown))


def votes_checked(step: Step, job: Job, valid: int) -> None:
    """Verdicts on votes in their places: a bad one frees its place and is charged to its signer (P18)."""
    state = step.state
    if not isinstance(job.subject, tuple):
        raise InvariantViolated("votes were expected")
    kind, view, height, mask = job.subject
    slot = state.slots.get(height)
    signers = indexes(mask)
    for position, signer in enumerate(signers):
        if not valid >> position & 1:
            step.count("bad_signature")
            step.penalise(signer, "bad_signature")
    if slot is None or view != state.view:
        return
    tally = slot.prepares if kind == PREPARE else slot.commits
    votes, asked, confirmed = tally.votes, tally.asked, 0
    for position, signer in enumerate(signers):
        message = votes[signer]
        if message is None or message.signature != job.items[position].signature or not asked >> signer & 1:
            continue
        if valid >> position & 1:
            confirmed |= 1 << signer
        else:
            tally.free(signer)
    tally.confirm(confirmed)
    for block_id in list(tally.blocks):
        ask_votes(step, slot, kind, block_id)


def _count_votes(step: Step, slot: Slot, kind: str, tally: Tally, block_id: bytes) -> None:
    """Act once when q verified votes agree."""
    state = step.state
    if kind == PREPARE:
        if tally.verified(block_id).bit_count() >= state.members.q:
            _try_prepare(step, slot)
        return
    if tally.reaches(block_id, state.members.q):
        signed = tally.signatures(block_id, state.members.q)
        vote = Vote(state.members.epoch, state.view, slot.height, block_id)
        signers = bitmap([signer for signer, _ in signed], state.members.n)
        learn(step, CommitCertificate(vote, signers, tuple(signature for _, signature in signed)))


# prepared


def _try_prepare(step: Step, slot: Slot) -> None:
    """P34: q votes or one PREPARED certificate, and P30 (a), (d), (e) here; our own acceptance is not required."""
    state = step.state
    if slot.prepared is not None or state.mode is not NORMAL or state.slots.get(slot.height) is not slot:
        return
    certificate = slot.relayed
    if certificate is None:
        block_id = slot.block_id
        if not block_id or slot.prepares.verified(block_id).bit_count() < state.members.q:
            return
        if not slot.prepares.verified(block_id) >> primary_of(state, slot.height) & 1:
            return
    else:
        block_id = certificate.vote.block_id
    height = slot.height
    held = state.blocks.get(block_id)
    parent = parent_of(state, height)
    again = state.reproposals.get(height, block_id)
    if held is None or parent is None or held.header.parent_id != parent.block_id:
        return
    top = top_height(state, state.height, step.params.window)
    if height > top or height <= state.base or again != block_id:
        return
    if state.executed < height - step.params.exec_lag or not state.cleared:  # P31, P98: COMMIT is a vote as well
        return
    if certificate is None:
        primary = primary_of(state, height)
        signed = slot.prepares.signatures(block_id, state.members.q, always=primary)
        certificate = PreparedCertificate(
            Vote(state.members.epoch, state.view, height, block_id),
            held.proposal.header,
            primary,
            bitmap([signer for signer, _ in signed], state.members.n),
            tuple(signature for _, signature in signed),
        )
    slot.prepared = certificate
    slot.prepares.decided = block_id
    commit = Commit(state.me, certificate.vote, step.sign(COMMIT, encode(certificate.vote)))
    slot.commits.put(state.me, commit, verified=True)
    step.persist(PreparedHere(certificate, commit))
    step.broadcast(commit)
    step.dirty = step.moved = True
    ask_votes(step, slot, COMMIT, block_id)


def on_prepared(step: Step, peer: int, message: Prepared) -> None:
    """PREPARED relay of the current view; or of an older one, when it carries a block this view must repeat (P57)."""
    state = step.state
    certificate = message.certificate
    vote = certificate.vote
    if vote.epoch != state.members.epoch:
        step.reject(peer, "other_epoch")
        return
    if prepared_certificate(certificate, state.members) or message.proposal.header != certificate.header:
        step.penalise(peer, "bad_prepared_certificate")
        return
    if vote.height <= state.height or state.mode is not NORMAL:
        return
    if vote.height > state.height + 2 * step.params.window:
        step.reject(peer, BEYOND_WINDOW)
        return
    if vote.view == state.view:
        slot = state.slots.get(vote.height)
        if slot is not None and (slot.prepared is not None or slot.relayed is not None):
            return
        if certificate.primary != primary_of(state, vote.height):
            _other_primary(step, peer)
            return
    elif state.reproposals.get(vote.height) != vote.block_id or vote.block_id in state.blocks:
        return
    proposal = PrePrepare(certificate.primary, vote, bytes(SIGNATURE_BYTES), message.proposal)
    problem = proposal_shape(proposal, state.members, state.config.genesis_id)
    if problem:
        step.penalise(peer, problem)
        return
    items = [*prepared_items(certificate), *commit_items(message.proposal.last_certificate)]
    require(step, "prepared", peer, message, items)


def prepared_verified(step: Step, peer: int, message: Message) -> None:
    """A PREPARED relay is valid: take its block, and its votes if it is of this view (P34)."""
    if not isinstance(message, Prepared):
        raise InvariantViolated("a PREPARED relay was expected")
    state = step.state
    certificate, proposal = message.certificate, message.proposal
    vote = certificate.vote
    header = parse_header(proposal.header)
    if header is None or not bound(proposal, header):
        step.penalise(peer, "unbound_proposal")
        return
    in_prepared(step, certificate)
    learn(step, proposal.last_certificate)
    if state.mode is not NORMAL or not state.height < vote.height <= state.height + 2 * step.params.window:
        return
    step.dirty = step.moved = True
    if vote.view != state.view:
        if state.reproposals.get(vote.height) == vote.block_id:
            hold(state, vote.block_id, header, proposal)
        return
    slot = _slot(state, vote.height)
    if slot.prepared is not None or certificate.primary != primary_of(state, vote.height):
        return
    hold(state, vote.block_id, header, proposal)
    slot.relayed = certificate
    if not slot.block_id and certificate.primary != state.me:
        signers = indexes(signers_mask(certificate))
        signature = certificate.signatures[signers.index(certificate.primary)]
        slot.timely = timely(step, proposal.header, step.wall)
        fill(step, slot, PrePrepare(certificate.primary, vote, signature, proposal), header)
    consider(step, slot)
