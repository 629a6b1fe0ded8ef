"""Sends ahead of each message one with a single wrong field, signed anew, and goes through all fields in turn (57, 76).

Where `mutate` draws, this one counts: each field of each kind of message, of the records and headers inside it and of
evidence takes every odd value there is for its type, so no check of a form is left out by chance. The true message
follows, so the network goes on at full speed. Answered by: `never_raises`, all safety checkers; `evidence` (I16).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from consensus.evidence import NewViewBody, ViewChangeBody
from consensus.messages import Commit, NewView, Prepare, Prepared, PreparedCertificate, PrePrepare, Status, ViewChange
from consensus.slots import COMMIT, PRE_PREPARE, PREPARE
from consensus.validate import NEW_VIEW, VIEW_CHANGE, new_view_body, view_change_body
from ledger.block import Header, block_id, header_codec
from ledger.certificate import Vote
from ledger.codec import encode
from ledger.crypto.ed25519 import SIGNATURE_BYTES
from ledger.evidence import Evidence, Statement
from node.core.messages import EvidenceItem, PeerMessage
from simulator.byzantine.base import Attacker, Outgoing
from simulator.daemon import Daemon
from simulator.rng import Rng

NUMBER_MAX: Final = 2**64 - 1
LONG: Final = 70
"""Elements of a list that is longer than any cap on it (P140)."""
STRIDE: Final = 211
"""Step through the choices, prime, so that neighbours are of different fields and still every one has its turn."""
AT_ONCE: Final[dict[type[Any], int]] = {
    PrePrepare: 6, Prepare: 4, Commit: 4, ViewChange: 24, NewView: 24, Prepared: 24, EvidenceItem: 3
}  # fmt: skip
"""Lies ahead of one message; more for what is rare. Of all others one."""


class Sweep(Attacker):
    name = "sweep"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._next: dict[str, int] = {}
        self._said: dict[type[PeerMessage], PeerMessage] = {}
        self._lies: dict[bytes, None] = {}
        """Signatures under lies; its own node must not hear of them, or it would fall silent (P98)."""

    def incoming(self, _peer: int, message: PeerMessage) -> bool:
        if isinstance(message, Status):
            return message.echo[-SIGNATURE_BYTES:] not in self._lies
        return getattr(message, "sender", None) != self.me

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if isinstance(message, (PrePrepare, Prepare, Commit, ViewChange, NewView)) and message.sender == self.me:
            self._said[type(message)] = message
        out: Outgoing = [(message, to)]
        kind = type(message)
        lies = self._turn(kind.__name__, variants(message), AT_ONCE.get(kind, 1))
        if self.is_own_proposal(message):
            # The first well-formed proposal takes the place of its height: a header that breaks one rule of P30.
            lies = self._turn("header", _headers(message), 1) + lies
        out = [*((self._signed(lie), to) for lie in lies), *out]
        if isinstance(message, Status):
            for place, item in enumerate(self._charges()):
                for lie in self._turn(f"evidence {place}", variants(item), AT_ONCE[EvidenceItem]):
                    out.append((EvidenceItem(encode(self._sworn(lie))), to))
        return out

    def _turn(self, kind: str, choices: Iterator[Any], count: int) -> list[Any]:
        """Return the next choices for this kind, from the first one again after the last."""
        found = list(choices)
        if not found:
            return []
        place = self._next.get(kind, 0)
        self._next[kind] = place + count
        return [found[STRIDE * (place + step) % len(found)] for step in range(count)]

    def _signed(self, lie: Any) -> PeerMessage:
        """Return the message under a new own signature, unless the signature is what was changed."""
        if (
            not isinstance(lie, (PrePrepare, Prepare, Commit, ViewChange, NewView))
            or len(lie.signature) != SIGNATURE_BYTES
        ):
            message: PeerMessage = lie
            return message
        kind, body = _words(lie)
        self._lies[self.sign(kind, body)] = None
        return msgspec.structs.replace(lie, signature=self.sign(kind, body))

    def _charges(self) -> Iterator[Evidence]:
        """Yield true evidence of each kind against this attacker itself, as far as it has spoken."""
        members = self.daemon.replica_state
        if members is None or not self.daemon.votes:
            return
        epoch, company = members.members.epoch, members.members.company_ids[self.me]
        vote = self._said.get(Commit)
        if isinstance(vote, Commit):
            other = msgspec.structs.replace(vote.vote, block_id=bytes(range(32)))
            pairs = (("E1", PRE_PREPARE, PRE_PREPARE), ("E2", PRE_PREPARE, PREPARE), ("E3", COMMIT, COMMIT))
            for kind, first, second in pairs:
                statements = (self._statement(first, encode(vote.vote)), self._statement(second, encode(other)))
                yield Evidence(kind, epoch, company, _ordered(statements))
        change = self._said.get(ViewChange)
        if isinstance(change, ViewChange):
            again = msgspec.structs.replace(change, prepared=())
            said = [self._statement(VIEW_CHANGE, view_change_body(one)) for one in (change, again)]
            yield Evidence("E4", epoch, company, _ordered((said[0], said[1])))
            forgotten = Vote(epoch, change.view - 1, change.base.vote.height + 1, bytes(32))
            commit = self._statement(COMMIT, encode(forgotten))
            yield Evidence("E6", epoch, company, (commit, said[1]))
        opened = self._said.get(NewView)
        if isinstance(opened, NewView):
            wrong = msgspec.structs.replace(opened, reproposals=((1, bytes(32)),))
            said = [self._statement(NEW_VIEW, new_view_body(one)) for one in (opened, wrong)]
            yield Evidence("E4", epoch, company, _ordered((said[0], said[1])))
            yield Evidence("E5", epoch, company, (said[1],))
            yield Evidence("E5", epoch, company, (said[0],))

    def _statement(self, kind: str, body: bytes) -> Statement:
        return Statement(kind, body, self.sign(kind, body))

    def _sworn(self, item: Evidence) -> Evidence:
        """Return the item with its statements signed anew, so that only their words are wrong."""
        signed = tuple(
            self._statement(one.kind, one.body)
            if len(one.signature) == SIGNATURE_BYTES and one.kind in _BODIES
            else one
            for one in item.statements
        )
        return msgspec.structs.replace(item, statements=signed)


def variants(value: Any, name: str = "") -> Iterator[Any]:
    """Yield `value` with one thing in it changed, every thing in turn; `name` is that of the field it stands in."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (odd for odd in (0, value + 1, value - 1, 2**62, NUMBER_MAX) if 0 <= odd <= NUMBER_MAX)
    elif isinstance(value, bytes):
        yield from _bytes(value, name)
    elif isinstance(value, str):
        yield from ("", value + "x", *_BODIES)
    elif isinstance(value, Statement):
        yield from _statements(value)
    elif isinstance(value, msgspec.Struct):
        yield from _records(value)
    elif isinstance(value, tuple):
        yield from _tuples(value)


def _records(value: msgspec.Struct) -> Iterator[Any]:
    for field in value.__struct_fields__:
        for odd in variants(getattr(value, field), field):
            if odd == getattr(value, field):
                continue
            changed = msgspec.structs.replace(value, **{field: odd})
            yield changed
            header = getattr(getattr(changed, "proposal", changed), "header", None)
            if isinstance(changed, (PrePrepare, PreparedCertificate)) and isinstance(header, bytes):
                # The same with a vote for the changed header, so that it is not the id that gives it away.
                vote = msgspec.structs.replace(changed.vote, block_id=block_id(header))
                if vote != changed.vote:
                    yield msgspec.structs.replace(changed, vote=vote)


def _headers(message: PeerMessage) -> Iterator[PrePrepare]:
    """Yield a proposal with each field of its header wrong, and a vote for just that."""
    if isinstance(message, PrePrepare):
        header: Header = header_codec.decode(message.proposal.header)
        for raw in (encode(odd) for odd in _records(header)):
            vote = msgspec.structs.replace(message.vote, block_id=block_id(raw))
            proposal = msgspec.structs.replace(message.proposal, header=raw)
            yield msgspec.structs.replace(message, vote=vote, proposal=proposal)


def _bytes(value: bytes, name: str) -> Iterator[bytes]:
    yield from (b"", value[:-1], value + b"\x00")
    if value:
        yield bytes([value[0] ^ 1]) + value[1:]
        yield value[:-1] + bytes([value[-1] ^ 0x80])
    if name == "header":
        header: Header = header_codec.decode(value)
        yield from (encode(odd) for odd in _records(header))


def _tuples(value: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    yield ()
    if not value:
        return
    yield value[:-1]
    yield (*value, value[0])
    yield (value[0],) * LONG
    if len(value) > 1:
        yield tuple(reversed(value))
    for place in sorted({0, len(value) - 1}):
        for odd in variants(value[place]):
            yield (*value[:place], odd, *value[place + 1 :])


def _statements(value: Statement) -> Iterator[Statement]:
    yield from _records(value)
    body = _BODIES[value.kind].decode(value.body)
    for odd in _records(body):
        yield msgspec.structs.replace(value, body=encode(odd))


def _words(message: PrePrepare | Prepare | Commit | ViewChange | NewView) -> tuple[str, bytes]:
    """Return what a message says under its signature: kind and body."""
    match message:
        case PrePrepare():
            return PRE_PREPARE, encode(message.vote)
        case Prepare():
            return PREPARE, encode(message.vote)
        case Commit():
            return COMMIT, encode(message.vote)
        case ViewChange():
            return VIEW_CHANGE, view_change_body(message)
        case NewView():
            return NEW_VIEW, new_view_body(message)


def _ordered(said: tuple[Statement, Statement]) -> tuple[Statement, ...]:
    return tuple(sorted(said, key=lambda one: one.body)) if said[0].kind == said[1].kind else said


_BODIES: Final[dict[str, Any]] = {
    PRE_PREPARE: msgspec.msgpack.Decoder(Vote),
    PREPARE: msgspec.msgpack.Decoder(Vote),
    COMMIT: msgspec.msgpack.Decoder(Vote),
    VIEW_CHANGE: msgspec.msgpack.Decoder(ViewChangeBody),
    NEW_VIEW: msgspec.msgpack.Decoder(NewViewBody),
}
"""Decoders of signed bodies by kind; the attacker needs no canonical form."""
