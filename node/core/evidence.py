"""Provable misbehaviour on its way to the chain: found or told, verified, proposed, recorded (P124, P141).

An item waits until some block carries it. There is one for each offender, kind and epoch, on the chain as well as
here, so the pool is bounded by the faults there can be: six kinds for each member. The end of an epoch ends no guilt:
an item is judged by the members of its own epoch, and what waits goes on into the next core (P124). It expires some
heights after its epoch ended: heights inside an item are of its offender's choosing, and one that is born too old would
stand in the place of what convicts it. What is told is judged like what was found: first its words
(`consensus.evidence.judge`), then its signatures. The id of an item binds all its bytes, so an item that fails once is
refused for good, and a block that names it is invalid.

The pool answers two questions of the mempool: which items to propose, and whether those of a proposal are acceptable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from consensus.effects import Report
from consensus.events import Lsn
from consensus.evidence import Case, judge
from consensus.membership import Membership, membership
from ledger.codec import encode
from ledger.errors import LedgerError
from ledger.evidence import ITEMS_MAX, evidence_codec, evidence_id, fault_key, order_of
from ledger.params import Params
from ledger.registry.epochs import read_epoch
from ledger.state import Reader
from node.core.effects import BroadcastPeer, NodeEffect, Penalty, Rejection, Tally, VerifyVotes
from node.core.epochs import epoch_spec
from node.core.messages import EvidenceItem

ITEMS_HELD_MAX: Final = 1_000
"""Items in the pool (P141); one for each fault is far below it in a league of 64."""
REFUSED_MAX: Final = 1_000
"""Remembered ids of items that prove nothing."""

Key = tuple[str, int, str]
"""Offender, epoch and kind: one item each."""


@dataclass(slots=True)
class Held:
    """A verified item. `last_height`: the last block that may carry it, None: any, as long as its epoch lasts.

    `again_ns`: when we tell it again; 0 never. `named`: the highest proposal that carries it; it is kept until that
    height is decided.
    """

    data: bytes
    key: Key
    last_height: int | None
    again_ns: int = 0
    named: int = 0


@dataclass(slots=True)
class _Checking:
    """An item at the verifier."""

    peer: int
    data: bytes
    key: Key
    case: Case
    last_height: int | None


@dataclass(slots=True)
class EvidencePool:
    """Items that are not on the chain yet. Methods return effects; they never raise on input."""

    own: int
    members: Membership
    chain_id: bytes
    genesis_id: bytes
    params: Params
    read: Callable[[], Reader]
    next_token: Callable[[], int]
    height: int = 0
    """Of the last block of the chain: what waits is for the next one or a later one."""
    executed: int = 0
    items: dict[bytes, Held] = field(default_factory=dict)
    """Verified items by id: those that wait, and those that proposals above the last block carry."""
    pending: dict[Key, bytes] = field(default_factory=dict)
    """The one item that waits for each fault."""
    changed: bool = False
    _checking: dict[int, _Checking] = field(default_factory=dict)
    _refused: dict[bytes, None] = field(default_factory=dict)
    _recorded: dict[Key, int] = field(default_factory=dict)
    """Faults in committed blocks that may not be executed yet, and the heights of these blocks."""

    # -- taking in -----------------------------------------------------------------------------------------------

    def waiting(self) -> tuple[bytes, ...]:
        """Return what the core of the next epoch is to start with: the items that are not on the chain yet (P124)."""
        return tuple(self.items[identity].data for identity in self.pending.values())

    def carry(self, waiting: Iterable[bytes]) -> list[NodeEffect]:
        """Take over what waited in the epoch before; it is verified once more, and told again."""
        return [effect for data in waiting for effect in self._offer(self.own, data, wanted=False)]

    def found(self, report: Report) -> list[NodeEffect]:
        """Take what the own replica proves; it is verified like anybody's, and told to all members then."""
        return self._offer(self.own, encode(report.evidence), wanted=False)

    def told(self, peer: int, message: EvidenceItem) -> list[NodeEffect]:
        """Take what another member proves; one item of each member is looked at at a time."""
        if any(job.peer == peer for job in self._checking.values()):
            return [Rejection(peer=peer, reason="evidence_unread")]
        return self._offer(peer, message.item, wanted=False)

    def fetched(self, peer: int, data: bytes) -> list[NodeEffect]:
        """Take an item that a proposal names."""
        return self._offer(peer, data, wanted=True)

    def _offer(self, peer: int, data: bytes, *, wanted: bool) -> list[NodeEffect]:
        identity = evidence_id(data)
        if identity in self.items or any(job.data == data for job in self._checking.values()):
            return []
        if identity in self._refused:
            return self._charge(peer, "refused")
        case: Case | str
        try:
            item = evidence_codec.decode(data)
            case = judge(item, self._electorate(item.epoch), self.genesis_id, self.params.window)
        except LedgerError:
            return self._refuse(peer, identity, "malformed")
        if isinstance(case, str):
            return self._refuse(peer, identity, case)
        key, last_height = order_of(item), self._last_height(item.epoch)
        if not wanted and (key in self.pending or self.on_chain(key)):
            return []
        if not wanted and _expired(last_height, self.height + 1):
            return [self._passed_by(peer, "expired")]  # no guilt: it may have been in time where it comes from
        if not wanted and len(self.items) >= ITEMS_HELD_MAX:
            return [self._passed_by(peer, "full")]
        token = self.next_token()
        self._checking[token] = _Checking(peer, data, key, case, last_height)
        return [VerifyVotes(token=token, items=case.items)]

    def _electorate(self, epoch: int) -> Membership:
        """Return the members of an ended epoch as the state names them, else the present ones: `judge` looks (P124)."""
        record = read_epoch(self.read(), epoch) if 0 <= epoch < self.members.epoch else None
        if record is None:
            return self.members
        before = read_epoch(self.read(), epoch - 1) if epoch else None
        every = self.params.rotate_every
        former = None if before is None else membership(epoch_spec(before), self.chain_id, every)
        return membership(epoch_spec(record), self.chain_id, every, former)

    def _last_height(self, epoch: int) -> int | None:
        """Return the last block that may carry an item of `epoch`; None: any, as long as the epoch lasts (P124).

        All that judge a block are in its epoch, and the state that a core begins with names all epochs up to its own.
        So how far a member has executed makes no difference to its verdict (P30i).
        """
        if epoch >= self.members.epoch:
            return None
        following = read_epoch(self.read(), epoch + 1) if epoch + 1 < self.members.epoch else None
        first_height = self.members.first_height if following is None else following.first_height
        return first_height + self.params.max_validity_heights

    def verified(self, now: int, token: int, valid: int) -> tuple[bytes, list[NodeEffect]]:
        """Take the verdict on an item; return its id, or nothing for a stale token, and what follows."""
        job = self._checking.pop(token, None)
        if job is None:
            return b"", []
        identity = evidence_id(job.data)
        if not job.case.convicted(valid):
            return identity, self._refuse(job.peer, identity, "not_proven")
        held = Held(job.data, job.key, job.last_height)
        self.items[identity] = held
        if job.key in self.pending or self.on_chain(job.key) or _expired(job.last_height, self.height + 1):
            return identity, []
        self.pending[job.key] = identity
        self.changed = True
        if job.peer != self.own:
            return identity, []
        held.again_ns = now + self.params.req_ms * 1_000_000
        return identity, [BroadcastPeer(message=EvidenceItem(job.data), after=Lsn(0))]

    def tell_again(self, now: int) -> list[NodeEffect]:
        """Tell what was found here and is still not on the chain, one item a round: a link may have lost it (I17)."""
        for identity in self.pending.values():
            held = self.items[identity]
            if held.again_ns and held.again_ns <= now:
                held.again_ns = now + self.params.req_ms * 1_000_000
                return [BroadcastPeer(message=EvidenceItem(held.data), after=Lsn(0))]
        return []

    def _passed_by(self, peer: int, reason: str) -> NodeEffect:
        if peer == self.own:
            return Tally(metric=f"evidence_{reason}", value=1)
        return Rejection(peer=peer, reason=f"evidence_{reason}")

    def _refuse(self, peer: int, identity: bytes, reason: str) -> list[NodeEffect]:
        if len(self._refused) >= REFUSED_MAX:
            self._refused.pop(next(iter(self._refused)))
        self._refused[identity] = None
        return self._charge(peer, reason)

    def _charge(self, peer: int, reason: str) -> list[NodeEffect]:
        if peer == self.own:
            return [Tally(metric=f"evidence_unproven.{reason}", value=1)]
        return [Penalty(peer=peer, reason=f"evidence_{reason}")]

    # -- proposals -----------------------------------------------------------------------------------------------

    def choose(self, height: int, taken: Iterable[bytes]) -> tuple[bytes, ...]:
        """Return the items for a block of `height`, ascending; `taken` are ids in its uncommitted ancestors (P124)."""
        above = {self.items[identity].key: None for identity in taken if identity in self.items}
        chosen: list[bytes] = []
        size = 0
        for key in sorted(self.pending):
            held = self.items[self.pending[key]]
            if key in above or _expired(held.last_height, height) or self.on_chain(key):
                continue
            if chosen and (size + len(held.data) > self.params.max_evidence_bytes or len(chosen) == ITEMS_MAX):
                break
            chosen.append(held.data)
            size += len(held.data)
            if size > self.params.max_evidence_bytes:
                break
        return tuple(chosen) if self.params.max_evidence_bytes else ()

    @property
    def proposable(self) -> int:
        """Items that wait for a block; none where no block may carry any, else all would wait for what cannot come."""
        return len(self.pending) if self.params.max_evidence_bytes else 0

    def judged(self, identity: bytes) -> bool:
        """Tell whether this item was here and its verdict is known."""
        return identity in self.items or identity in self._refused

    def problem(self, ids: tuple[bytes, ...], height: int) -> str:
        """Return "" if a block of `height` may carry these items, all judged, else the stable word for why not.

        An item for a fault that the chain or an ancestor in flight carries already is accepted: it changes nothing when
        executed, and whether that ancestor is committed yet differs from member to member, while their verdicts on one
        block may not (P30i).
        """
        found: list[Held] = []
        for identity in ids:
            held = self.items.get(identity)
            if held is None:
                return "evidence_refused"
            held.named = max(held.named, height)
            found.append(held)
        size = sum(len(held.data) for held in found)
        most = self.params.max_evidence_bytes
        if len(found) > ITEMS_MAX or (found and (not most or (size > most and len(found) > 1))):
            return "evidence_too_large"
        keys = [held.key for held in found]
        if keys != sorted(dict.fromkeys(keys)):
            return "evidence_not_ascending"
        for held in found:
            if _expired(held.last_height, height):
                return "evidence_expired"
        return ""

    def on_chain(self, key: Key) -> bool:
        """Tell whether a committed block carries an item for this fault."""
        if key in self._recorded:
            return True
        company, epoch, kind = key
        return self.read().get(fault_key(company, epoch, kind)) is not None

    # -- commitment ----------------------------------------------------------------------------------------------

    def committed(self, height: int, evidence: tuple[bytes, ...]) -> None:
        """A block is in the chain: its faults are on it, and what other proposals brought is over.

        What the next block may not carry waits no longer: it would count as work that nobody can do (P65).
        """
        self.height = height
        for data in evidence:
            key = order_of(evidence_codec.decode(data))
            self._recorded[key] = height
            if self.pending.pop(key, None) is not None:
                self.changed = True
        for key in [key for key, at in self._recorded.items() if at <= self.executed]:
            del self._recorded[key]
        for key, identity in list(self.pending.items()):
            if _expired(self.items[identity].last_height, height + 1):
                del self.pending[key]
                self.changed = True
        waiting = dict.fromkeys(self.pending.values())
        for identity in [
            identity for identity, held in self.items.items() if identity not in waiting and held.named <= height
        ]:
            del self.items[identity]


def _expired(last_height: int | None, height: int) -> bool:
    return last_height is not None and last_height < height
