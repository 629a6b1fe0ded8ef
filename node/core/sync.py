"""Catch-up by certified blocks (P106, P107): ask ranges of several peers, believe nothing, verify, hand over in order.

    heights tip+1 .. target   are cut into ranges; each is asked of one peer, all of several peers at once
    an answer                 links within itself, holds transactions whose ids give its roots, and carries commit
                              certificates of q members over its ids; the signatures of those are verified as a whole,
                              and only then those of the transactions
    the next range in order   is handed over when it is verified and its first block follows our tip

A certificate binds a block, so a range can be verified before the ones below it are here. It binds ids, and ids do not
bind signatures (LR4), so a lying peer could swap those: they are verified too. A claimed height is only a hint. Who
lies, is empty-handed or stays silent is named with the reason, left out for a while, and its range is asked of
another. Who was asked for long and showed nothing is doubted: it is still asked, since it may be slow, but its claim
alone no longer makes this node one that catches up. Only blocks that are verified show anything. Nothing here stops
consensus: a range is work like any other message (P108), and what is asked, held and handed over is bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from consensus.effects import SignatureItem
from consensus.events import EpochSpec, Lsn
from ledger.block import BlockRef, block_id, header_codec, list_root
from ledger.certificate import CommitCertificate, bitmap_indexes, faults, quorum
from ledger.codec import encode
from ledger.errors import LedgerError
from ledger.evidence import evidence_id, split_bodies
from ledger.params import Params
from ledger.transaction import Transaction, decode_transaction
from node.core.chain import ref_of
from node.core.effects import (
    LEFT_OUT,
    NEVER_ASKED,
    UNASKED,
    NodeEffect,
    Penalty,
    Rejection,
    SendPeer,
    VerifyTransactions,
    VerifyVotes,
)
from node.core.mempool import Candidate
from node.core.messages import Blocks, BlocksRequest, CertifiedBlock, Held

RANGE_BLOCKS: Final = 64
"""Heights asked for in one request; the answer is cut to one frame by the sender."""
RANGES_PER_PEER: Final = 8
"""Requests to one peer that may be unanswered (P107)."""
RANGES_AHEAD: Final = 12
"""Ranges asked for or held at once: at most this many frames of 3 MiB are in memory."""
EXECUTION_AHEAD: Final = 2 * RANGE_BLOCKS
"""Blocks handed over and not executed yet at which the next range waits: their transactions are in memory."""
PATIENCE_DOUBLINGS: Final = 4
"""A range that comes late is asked again after 1, 2, 4, 8, 16 times the first patience."""
PACE: Final = 2
"""Once an answer came, others are waited for this many times as long as it took: the link is no slower now."""
DOUBT_PATIENCES: Final = (2 << PATIENCE_DOUBLINGS) - 1
"""First patience periods, 31, that a peer is waited for in vain before it is doubted: each doubling once. Who needs
16 of them for an answer over a slow link shows a block before."""
WISHES_KEPT: Final = 256
"""First heights of what each peer was asked for that are remembered: eight at once, each given up five times, are 40.
An answer to one that is forgotten is charged only if it is of no range of today either."""
CUT_BYTES: Final = 1024 * 1024
"""An answer of few blocks and at least so many bytes was cut to a frame of 3 MiB: a block has 2 MiB by default."""
LEFT_OUT_NS: Final = 30_000_000_000
"""Time for which a peer that lied or was empty-handed is not asked, and a silent one only for want of others."""
SILENT: Final = "sync_silent"


def pace(took_ns: int, patience_ns: int) -> tuple[int, int]:
    """Return how long to wait for further answers when one took `took_ns`, and after how many doublings of patience.

    >>> pace(1, 100), pace(400, 100)
    ((100, 0), (800, 3))
    """
    wait_ns = max(patience_ns, PACE * took_ns)
    return wait_ns, (wait_ns // patience_ns).bit_length() - 1


@dataclass(slots=True)
class Verified:
    """A block that sync vouches for; `ref` is known once its parent is."""

    ref: BlockRef
    candidate: Candidate
    certificate: CommitCertificate


@dataclass(slots=True)
class _Block:
    """A block of an answer: shape checked, its parent perhaps not here yet."""

    block_id: bytes
    candidate: Candidate
    certificate: CommitCertificate


@dataclass(slots=True)
class _Range:
    """Heights first..last on their way. `asked` is -1 while nobody is asked, `from_` who answered."""

    first: int
    last: int
    asked: int = -1
    asked_ns: int = 0
    deadline_ns: int = 0
    attempts: int = 0
    requested: dict[int, int] = field(default_factory=dict)
    """Everybody who was asked, with the first height of that request: what names a late answer."""
    claimed: int = 0
    """What `asked` claimed to hold when it was asked: a STATUS may overtake the answer, and says nothing about it."""
    from_: int = -1
    blocks: list[_Block] = field(default_factory=list)
    votes_token: int = 0
    votes_asked: int = 0
    """Signatures behind `votes_token`. Blocks that commit here meanwhile leave `blocks`; the verdict is about all."""
    txs_token: int = 0
    votes_good: bool | None = None
    txs_good: bool | None = None
    showed: dict[int, None] = field(default_factory=dict)
    """Whose answer held these blocks, more than one could show that is level with us."""

    @property
    def verified(self) -> bool:
        return bool(self.blocks) and self.votes_good is True and self.txs_good is True

    def forget(self) -> None:
        """Nobody is asked and nothing is here."""
        self.asked = self.from_ = -1
        self.blocks = []
        self.votes_good = self.txs_good = None
        self.votes_token = self.txs_token = 0
        self.showed.clear()


@dataclass(slots=True)
class _Silence:
    """How long a peer was waited for in vain since it last showed blocks that we lack; overlapping waits count once.

    It outlives the search: a liar could else begin anew with each height that the chain passes.
    """

    total_ns: int = 0
    counted_ns: int = 0
    """Up to when waiting is in `total_ns`."""
    spoke: bool = False
    """It said that it does not hold what it was asked for."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a peer is not asked, and since when (ns of the core's clock). One a peer, kept for the operator."""

    reason: str
    since_ns: int


@dataclass(slots=True)
class Sync:
    """State of catch-up. `target` 0 means idle. `patience_ns`: how long a peer may take for its first answer."""

    chain_id: bytes
    epoch: EpochSpec
    own: int | None
    next_token: Callable[[], int]
    patience_ns: int
    params: Params
    near: int = 0
    """A lag that consensus makes good by itself: 2W (P106)."""
    target: int = 0
    last: int = 0
    """Last height of this epoch, once that is known; 0 before. What follows is certified by others (P114)."""
    goes_on: bool = False
    """The header of the tip is known here and names the present members as the next ones: so does the block above it
    belong to their epoch (P114)."""
    strict_from_ns: int = 0
    """Before this, an answer nobody asked for is no fault: the core of the epoch before, or the process that stopped,
    may have asked (P114)."""
    claims: dict[int, int] = field(default_factory=dict)
    """Committed height by member, as its last STATUS said: a hint that it can be held to (B23)."""
    oldest: dict[int, int] = field(default_factory=dict)
    """Lowest height a member said it still holds; others hold all."""
    faults: dict[int, Fault] = field(default_factory=dict)
    connected: dict[int, None] = field(default_factory=dict)
    _sources: dict[int, None] = field(default_factory=dict)
    _ranges: list[_Range] = field(default_factory=list)
    _turn: int = 0
    _certified: int = 0
    """Highest target that a certificate showed: somebody has it, however silent all are."""
    _hope: bool = False
    """More than the claims of doubted peers speaks for blocks above our tip."""
    _silences: dict[int, _Silence] = field(default_factory=dict)
    _wishes: dict[int, dict[int, int]] = field(default_factory=dict)
    """First -> last height of what each peer was asked for, the newest `WISHES_KEPT`: what names a late answer when its
    range, or the whole search, is over."""

    @property
    def running(self) -> bool:
        """Blocks up to `target` are asked for."""
        return self.target > 0

    @property
    def active(self) -> bool:
        """This node is behind, as far as it can tell: a claim of peers that show nothing does not make it so (B23)."""
        return self.running and self._hope

    @property
    def waiting(self) -> int:
        """Ranges that are asked for and not answered."""
        return sum(1 for one in self._ranges if one.asked >= 0)

    # -- asking ------------------------------------------------------------------------------------------------

    def start(
        self, height: int, sources: tuple[int, ...], tip: BlockRef, now: int, *, certified: bool = False
    ) -> list[NodeEffect]:
        """Aim at `height`; `sources` are the members that are likely to hold it. `certified`: it is no mere claim."""
        height = min(height, self.last) if self.last else height
        if height <= tip.height:
            return []
        self.target = max(self.target, height)
        if certified:
            self._certified = max(self._certified, height)
        for peer in sources:
            if peer != self.own:
                self._sources[peer] = None
        return self.plan(tip, now)

    def stop(self) -> None:
        """Want nothing any more: the state comes as a snapshot."""
        self._end()

    def plan(self, tip: BlockRef, now: int) -> list[NodeEffect]:
        """Ask for every range of the window that nobody is asked for; end when the target is reached or bogus."""
        if not self.running:
            return []
        if self.last:
            self.target = min(self.target, self.last)
        if tip.height >= self.target:
            self._drop(self._ranges, now)
            self._end()
            return []
        self._cut(tip, now)
        out: list[NodeEffect] = []
        for one in self._ranges:
            if one.asked < 0 and not one.blocks:
                peer = self._choose(one, now)
                if peer >= 0:
                    out.append(self._ask(one, peer, now))
        if (
            not out
            and not any(one.asked >= 0 or one.blocks for one in self._ranges)
            and self._nobody_has_more(tip, now)
        ):
            self._end()
        self._hope = self._hopes(tip, now)
        return out

    def tick(self, tip: BlockRef, now: int) -> list[NodeEffect]:
        """Give ranges whose peer was silent for too long to others."""
        for one in self._ranges:
            if one.asked >= 0 and one.deadline_ns <= now:
                self.faults[one.asked] = Fault(SILENT, now)
                self._drop([one], now)
        return self.plan(tip, now)

    def lost(self, peer: int, now: int) -> None:
        """The link to a peer is gone: what it was asked for is asked of another with the next plan.

        What it claimed is gone too: it may come back without the last blocks it told of. Its silence is not.
        """
        self.connected.pop(peer, None)
        self.claims.pop(peer, None)
        self._drop([one for one in self._ranges if one.asked == peer], now)

    def doubted(self, peer: int) -> bool:
        """Tell whether a peer was waited for so long without a block that its claim says nothing (P106)."""
        silence = self._silences.get(peer)
        return silence is not None and silence.total_ns >= DOUBT_PATIENCES * self.patience_ns

    def mute(self, peer: int) -> bool:
        """Tell whether a peer is doubted and has not even said that it does not hold what it was asked for."""
        return self.doubted(peer) and not self._silences[peer].spoke

    def gone(self, tip: BlockRef, now: int) -> bool:
        """Tell whether f+1 members said that the block after `tip` is gone there, and nobody else may hold it.

        One of them is honest, so this node is behind by all that they prune. A claim of somebody doubted is no hope.
        """
        height, n = tip.height + 1, len(self.epoch.members)
        without = sum(1 for peer, oldest in self.oldest.items() if peer < n and oldest > height)
        return without > faults(n) and not any(
            self._may_hold(peer, height) and not self.doubted(peer) and not self._left_out(peer, now)
            for peer in self.connected
        )

    def _shown(self, peer: int, one: _Range, size: int, tip: BlockRef) -> None:
        """A peer showed the blocks of a range. If they are more than one could show that is level with us, it is
        trusted again as soon as they are verified: anybody can make some up.

        Blocks in flight do not count: a liar would show the next one a moment before it is committed here.
        """
        if one.last > tip.height + self.near or size >= CUT_BYTES:
            one.showed[peer] = None
            self._trust(one)

    def _trust(self, one: _Range) -> None:
        if one.verified:
            for peer in one.showed:
                self._silences.pop(peer, None)

    def _drop(self, ranges: list[_Range], now: int) -> None:
        """Wait no more for the answers to `ranges`: so long their peers were silent."""
        for one in ranges:
            if one.asked >= 0:
                silence = self._silences.setdefault(one.asked, _Silence())
                silence.total_ns += max(0, now - max(one.asked_ns, silence.counted_ns))
                silence.counted_ns = now
                one.asked = -1

    def _cut(self, tip: BlockRef, now: int) -> None:
        """Drop ranges that are over, and cut new ones up to the window."""
        kept: list[_Range] = []
        for one in self._ranges:
            if one.last <= tip.height:
                self._drop([one], now)
                continue
            if one.first <= tip.height:
                one.first = tip.height + 1
                one.blocks = [block for block in one.blocks if block.candidate.header.height > tip.height]
            kept.append(one)
        self._ranges = kept
        if self.last:
            self._ranges = kept = [one for one in kept if one.first <= self.last]
        edge = kept[-1].last if kept else tip.height
        while len(self._ranges) < RANGES_AHEAD and edge < self.target:
            last = min(edge + RANGE_BLOCKS, self.target)
            self._ranges.append(_Range(edge + 1, last))
            edge = last

    def _choose(self, one: _Range, now: int) -> int:
        """Return the peer to ask, or -1: it may hold the range, has no fault, and has the fewest requests.

        One that was only silent is asked again when there is nobody else: it may have a slow link. One that is doubted
        is asked for one range at a time, until it shows a block.
        """
        best, least = -1, (True, RANGES_PER_PEER)
        peers = sorted(self.connected)
        for step in range(len(peers)):
            peer = peers[(self._turn + step) % len(peers)]
            if not self._may_hold(peer, one.first) or self._left_out(peer, now):
                continue
            rank = (self._silent(peer, now), sum(1 for other in self._ranges if other.asked == peer))
            if rank < least and rank[1] < (1 if self.doubted(peer) else RANGES_PER_PEER):
                best, least = peer, rank
        if best >= 0:
            self._turn += 1
        return best

    def _may_hold(self, peer: int, height: int) -> bool:
        if peer == self.own or self.oldest.get(peer, 0) > height:
            return False
        return self.claims.get(peer, 0) >= height or peer in self._sources

    def _ask(self, one: _Range, peer: int, now: int) -> NodeEffect:
        one.asked, one.asked_ns, one.claimed = peer, now, self.claims.get(peer, 0)
        one.requested[peer] = one.first
        wishes = self._wishes.setdefault(peer, {})
        wishes[one.first] = max(one.last, wishes.pop(one.first, 0))
        if len(wishes) > WISHES_KEPT:
            del wishes[next(iter(wishes))]
        one.deadline_ns = now + (self.patience_ns << min(one.attempts, PATIENCE_DOUBLINGS))
        one.attempts += 1
        return SendPeer(to=peer, message=BlocksRequest(one.first, one.last), after=Lsn(0))

    def _nobody_has_more(self, tip: BlockRef, now: int) -> bool:
        """No peer that may be asked holds the next height: the target was a claim that nobody can show (P106)."""
        return not any(
            self._may_hold(peer, tip.height + 1) and not self._left_out(peer, now) for peer in self.connected
        )

    def _hopes(self, tip: BlockRef, now: int) -> bool:
        """Tell whether anything but claims of doubted peers speaks for more blocks.

        While somebody is doubted, others have to claim a lag with which sync would begin: they are a block ahead at
        times, and what the doubted one claims would keep the search alive through all of these.
        """
        if self._certified > tip.height or any(one.blocks for one in self._ranges):
            return True
        trusted = [peer for peer in self.connected if not self.doubted(peer)]
        if len(trusted) == len(self.connected):
            return True
        edge = tip.height + self.near
        return any(self.claims.get(peer, 0) > edge and not self._left_out(peer, now) for peer in trusted)

    def _end(self) -> None:
        self.target = self._certified = 0
        self._sources.clear()
        self._ranges.clear()

    def _left_out(self, peer: int, now: int) -> bool:
        fault = self.faults.get(peer)
        return fault is not None and fault.reason != SILENT and now - fault.since_ns < LEFT_OUT_NS

    def _silent(self, peer: int, now: int) -> bool:
        fault = self.faults.get(peer)
        return fault is not None and fault.reason == SILENT and now - fault.since_ns < LEFT_OUT_NS

    def _blame(self, peer: int, reason: str, tip: BlockRef, now: int) -> list[NodeEffect]:
        """A peer sent what no correct node sends: name it, leave it out, ask others."""
        self.faults[peer] = Fault(reason, now)
        self._sources.pop(peer, None)
        for one in self._ranges:
            if one.asked == peer:
                one.asked = -1
        return [Penalty(peer=peer, reason=reason), *self.plan(tip, now)]

    # -- answers -----------------------------------------------------------------------------------------------

    def receive(self, peer: int, message: Blocks, tip: BlockRef, now: int) -> list[NodeEffect]:
        """Check the shape of an answer and ask for the verdicts on its signatures. A late one is welcome."""
        if now >= self.strict_from_ns and not self._wishes.get(peer):
            return [Penalty(peer=peer, reason=NEVER_ASKED)]
        if self._left_out(peer, now):
            return [Rejection(peer=peer, reason=LEFT_OUT)]
        if not message.blocks:
            return self._empty_handed(peer, tip, now)
        first = block_height(message.blocks[0])
        wished = self._wishes.get(peer, {}).get(first, 0)
        one = self._answered(peer, first, len(message.blocks))
        if one is None:
            if wished:
                return []  # late: another peer was faster, or what it was asked for is wanted no more
            idle = first <= tip.height or not any(other.asked == peer for other in self._ranges)
            if idle or now < self.strict_from_ns:  # it may answer what was asked before this core began
                return [Rejection(peer=peer, reason=UNASKED)]
            return self._blame(peer, "sync_height", tip, now)
        answer = message.blocks
        if one.blocks:  # another peer was faster; whoever has the last of these blocks, has shown them too
            last = answer[one.last - first] if first <= one.last < first + len(answer) else None
            if last is not None and block_id(last.header) == one.blocks[-1].block_id:
                self._shown(peer, one, 0, tip)
            return []
        if len(answer) <= wished - first + 1 or now < self.strict_from_ns:
            # it was asked for all of this, here or by the core before, though the range is shorter now
            answer = answer[: one.last - first + 1]
        answer = answer[one.first - first :]
        if not answer:  # the tip passed all of it meanwhile
            if one.asked == peer:
                self._drop([one], now)
            return self.plan(tip, now)
        shaped = self._shape(answer, one)
        if isinstance(shaped, str):
            return self._blame(peer, f"sync_{shaped}", tip, now)
        if not shaped:
            if self.goes_on and one.first == tip.height + 1:
                return self._blame(peer, "sync_epoch", tip, now)
            # Perhaps they are of the next epoch, which another core takes (P114), and anybody can make such blocks up:
            # the range is waited for as if no answer had come, so that a claim with nothing behind it ends in doubt.
            return []
        size = sum(len(envelope) for block in answer for envelope in block.envelopes)
        if shaped[-1].candidate.header.height < one.last:  # cut to a frame: the rest is a range of its own
            at = self._ranges.index(one) + 1
            self._ranges.insert(at, _Range(shaped[-1].candidate.header.height + 1, one.last))
            one.last = shaped[-1].candidate.header.height
        if one.asked == peer:
            self._keep_pace(now - one.asked_ns, now)
        one.asked, one.from_, one.blocks = -1, peer, shaped
        self._shown(peer, one, size, tip)
        one.votes_token = self.next_token()
        items: list[SignatureItem] = []
        for block in shaped:
            body = encode(block.certificate.vote)
            indexes = bitmap_indexes(block.certificate.signers, len(self.epoch.members)) or ()
            items += [
                SignatureItem("commit", body, self.epoch.epoch, index, signature)
                for index, signature in zip(indexes, block.certificate.signatures, strict=True)
            ]
        one.votes_asked = len(items)
        return [VerifyVotes(token=one.votes_token, items=tuple(items)), *self.plan(tip, now)]

    def _answered(self, peer: int, first: int, count: int) -> _Range | None:
        """Return the range that an answer is for: asked for as such, or cut anew since the peer was asked."""
        one = next((one for one in self._ranges if one.requested.get(peer) == first), None)
        if one is None and first in self._wishes.get(peer, {}):
            one = next((one for one in self._ranges if first <= one.first < first + count), None)
        return one

    def _keep_pace(self, took_ns: int, now: int) -> None:
        """An answer took so long: wait for the others as if silence had not made us patient.

        A request that is lost after a long silence would else be waited for as long as that silence taught.
        """
        wait_ns, doublings = pace(took_ns, self.patience_ns)
        for other in self._ranges:
            other.attempts = min(other.attempts, doublings)
            other.deadline_ns = min(other.deadline_ns, now + wait_ns)

    def waits_for(self, peer: int, first: int) -> bool:
        """Tell whether a peer is asked for the range that begins at `first`."""
        return any(one.asked == peer and one.requested[peer] == first for one in self._ranges)

    def held(self, peer: int, message: Held, tip: BlockRef, now: int) -> list[NodeEffect]:
        """A peer does not hold what it was asked for, and says what it holds."""
        asked = [one for one in self._ranges if one.asked == peer]
        one = next((one for one in asked if one.requested[peer] == message.first), None)
        if one is None:
            return []
        one.asked = -1
        if (silence := self._silences.get(peer)) is not None:
            silence.spoke = True
        if message.oldest <= message.first <= message.tip:
            return self._blame(peer, "sync_empty", tip, now)  # it holds the height and does not show it
        if message.tip < message.first <= one.claimed:
            self.claims[peer] = message.tip
            return self._blame(peer, "sync_claim", tip, now)  # it claimed a height that it cannot show (B23)
        self.oldest[peer] = message.oldest
        if message.tip < message.first:
            self._sources.pop(peer, None)
        return self.plan(tip, now)

    def _empty_handed(self, peer: int, tip: BlockRef, now: int) -> list[NodeEffect]:
        """An answer without a block and without a word: no correct node sends it."""
        if not any(one.asked == peer for one in self._ranges):
            return [Rejection(peer=peer, reason=UNASKED)]
        return self._blame(peer, "sync_empty", tip, now)

    def votes_verified(self, token: int, valid: int) -> list[NodeEffect]:
        """Take the verdict on the certificates of a range, and if they hold ask for the one on its transactions.

        Not before: blocks under a forged certificate cost their sender nothing, and their transactions cost seconds.
        """
        one = next((one for one in self._ranges if token == one.votes_token and one.blocks), None)
        if one is None or one.votes_good is not None:
            return []
        one.votes_good = valid == (1 << one.votes_asked) - 1
        if not one.votes_good:
            return []
        transactions: list[Transaction] = []
        for block in one.blocks:
            transactions += block.candidate.transactions
        if not transactions:
            one.txs_good = True
            self._trust(one)
            return []
        one.txs_token = self.next_token()
        return [VerifyTransactions(token=one.txs_token, transactions=tuple(transactions), certified=True)]

    def transactions_verified(self, token: int, verdicts: tuple[bool, ...]) -> None:
        """Take the verdict on the transactions of a range."""
        for one in self._ranges:
            if token == one.txs_token and one.blocks:
                one.txs_good = all(verdicts)
                self._trust(one)

    def take(self, tip: BlockRef, executed: int, now: int) -> tuple[list[Verified], list[NodeEffect]]:
        """Return the blocks that follow `tip` and are verified, in order, and what to do about bad ranges.

        At most one range at a time, and none while execution is far behind.
        """
        out: list[NodeEffect] = []
        for one in list(self._ranges):
            if one.blocks and (one.votes_good is False or one.txs_good is False):
                reason = "sync_certificate" if one.votes_good is False else "sync_transaction"
                peer = one.from_
                one.forget()
                out += self._blame(peer, reason, tip, now)
        if not self._ranges or not self._ranges[0].verified or tip.height - executed > EXECUTION_AHEAD:
            return [], out
        one = self._ranges[0]
        blocks: list[Verified] = []
        parent = tip
        for block in one.blocks:
            height = block.candidate.header.height
            if height <= tip.height:
                continue
            if height != parent.height + 1 or block.candidate.header.parent_id != parent.block_id:
                peer = one.from_
                one.forget()
                return [], out + self._blame(peer, "sync_parent", tip, now)
            parent = ref_of(block.block_id, block.candidate, parent)
            blocks.append(Verified(parent, block.candidate, block.certificate))
        self._ranges.pop(0)
        return blocks, out

    # -- shape -------------------------------------------------------------------------------------------------

    def _shape(self, answer: tuple[CertifiedBlock, ...], one: _Range) -> list[_Block] | str:
        """Return the blocks of an answer, or the stable word for what is wrong with it."""
        if len(answer) > one.last - one.first + 1:
            return "too_many"
        blocks: list[_Block] = []
        for block in answer:
            shaped = self._shape_block(block, one.first + len(blocks))
            if shaped is None:
                break
            if isinstance(shaped, str):
                return shaped
            if blocks and shaped.candidate.header.parent_id != blocks[-1].block_id:
                return "parent"
            blocks.append(shaped)
        return blocks

    def _shape_block(self, block: CertifiedBlock, height: int) -> _Block | str | None:
        """Return the block, or what is wrong with it; None if it is of a later epoch, whose members are not known."""
        try:
            header = header_codec.decode(block.header)
            if header.tx_count > self.params.max_block_txs:
                return "size"
            envelopes, evidence = split_bodies(block.envelopes, header.tx_count)
            if sum(map(len, envelopes)) > self.params.max_block_bytes:
                return "size"
            transactions = tuple(decode_transaction(envelope, self.chain_id).closed() for envelope in envelopes)
        except LedgerError:
            return "malformed"
        if header.chain_id != self.chain_id or header.height != height:
            return "height"
        if header.epoch > self.epoch.epoch:
            return None
        identity = block_id(block.header)
        ids = tuple(tx.tx_id for tx in transactions)
        vote = block.certificate.vote
        if header.tx_root != list_root(ids) or header.tx_count != len(ids):
            return "tx_root"
        if header.evidence_root != list_root([evidence_id(item) for item in evidence]):
            return "evidence_root"
        if (vote.block_id, vote.height, vote.epoch) != (identity, header.height, self.epoch.epoch):
            return "certificate"
        n = len(self.epoch.members)
        indexes = bitmap_indexes(block.certificate.signers, n)
        if indexes is None or len(indexes) != quorum(n) or len(block.certificate.signatures) != len(indexes):
            return "certificate"
        return _Block(identity, Candidate(header, block.header, ids, transactions, evidence), block.certificate)


def block_height(block: CertifiedBlock) -> int:
    """Return the height that a block claims; one that no range has if its header is malformed."""
    try:
        return header_codec.decode(block.header).height
    except LedgerError:
        return 1 << 62
