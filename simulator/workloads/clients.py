"""Clients: sign, submit, wait for the receipt (M25).

A client hands its transaction to its own node. While that node lives and has accepted it, the client only waits: an
accepted transaction must commit or expire (U19). It submits the same envelope again, to any node, when nobody
answered, when the node refused for the moment, or when the node that accepted it died or lies.

Open loop: the pace does not wait for the ledger, except `fixed-load`. A transaction is pending from its submission
until a node executes it; the second phase of a run waits for every pending one (LV1). Times are those the client sees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ledger.codec import encode
from ledger.receipt import STATUS_OK
from ledger.transaction import Envelope, SignerRef, TxBody, body_digest, transaction_id
from node.core import effects as ne
from simulator.execution import Executed
from simulator.league import Person
from simulator.rng import Rng
from simulator.scenario.schema import Workload
from simulator.scenario.units import duration_ns
from simulator.workloads.base import Call, Steady, Trade, pace

if TYPE_CHECKING:
    from simulator.daemon import Daemon
    from simulator.world import World

RETRY_NS: Final = 1_000_000_000
"""How often a client without a receipt looks whether it must submit again."""
REFUSED_RETRY_NS: Final = 300_000_000
VALIDITY_HEIGHTS: Final = 5_000
GAS_LIMIT: Final = 150_000
NONCES_IN_FLIGHT: Final = 128
"""Calls of one person that may be pending; the window of LR3 has 256."""
LASTING_REFUSALS: Final = ("bad_signature", "expired", "malformed", "too_large", "bad_signer", "bad_nonce", "gas_limit")


@dataclass(slots=True)
class Pending:
    """A submitted transaction without a receipt."""

    tx_id: bytes
    envelope: bytes
    call: Call
    trade: Trade
    submitted_ns: int
    valid_until: int
    tries: int = 0
    accepted: bool = False
    accepted_once: bool = False
    holder: tuple[int, int] = (-1, -1)
    """Slot and life of the process that was asked last."""


@dataclass(slots=True)
class Figures:
    """What the clients saw."""

    submitted: int = 0
    committed: int = 0
    failed: int = 0
    refused: int = 0
    hostile: int = 0
    hostile_refused: int = 0
    latencies_ns: list[int] = field(default_factory=list)


class Clients:
    """All clients of a run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng: Rng = world.streams["load/clients"]
        self._pending: dict[bytes, Pending] = {}
        self._tokens: dict[int, Pending | None] = {}
        self._token = 0
        self._nonces: dict[str, int] = {}
        self._in_flight: dict[str, int] = {}
        self._members = {firm.company_id: None for firm in world.league.firms}
        self._gone: dict[str, None] = {}
        self._stopped = False
        self.figures = Figures()

    @property
    def pending(self) -> int:
        """Accepted transactions that still wait for a receipt."""
        return len(self._pending)

    def describe_pending(self) -> str:
        """Return the first pending transaction in words."""
        for entry in self._pending.values():
            call = entry.call
            return (
                f"{call.contract}.{call.method} of {call.firm.name}, id {entry.tx_id.hex()[:12]}, {entry.tries} tries"
            )
        return "none"

    def begin(self, workloads: tuple[tuple[Workload, Trade], ...], run_ns: int) -> None:
        """Start every workload of the scenario."""
        for position, (workload, trade) in enumerate(workloads):
            rate = pace(
                workload.rate, f"workload[{position}].rate", run_ns, self._world.streams[f"load/pace/{position}"]
            )
            until = duration_ns(workload.until, f"workload[{position}].until") if workload.until else run_ns
            self._world.heap.at(self._world.heap.now + 1_000_000, self._due, (rate, trade, until))

    def stop(self) -> None:
        """No new calls from here on; what is pending is still wanted."""
        self._stopped = True

    def abandon(self, tx_ids: list[bytes]) -> None:
        """Forget transactions that can never commit."""
        for tx_id in tx_ids:
            self._drop(tx_id)

    def members_changed(self, companies: tuple[str, ...]) -> None:
        """The next epoch is decided: who was a member and is in it no more has left, and its people with it (S26)."""
        for firm in self._world.league.everyone:
            if firm.company_id in companies:
                self._members[firm.company_id] = None
            elif firm.company_id in self._members:
                self._gone[firm.company_id] = None
                self.abandon([tx_id for tx_id, one in self._pending.items() if one.call.firm is firm])

    def submit_call(self, call: Call, trade: Trade) -> None:
        """Sign and submit one call; the people of a company that left have nothing to say."""
        if call.firm.company_id in self._gone:
            return
        first = call.signers[0][0]
        if self._in_flight.get(first.user_id, 0) >= NONCES_IN_FLIGHT:
            return
        world = self._world
        nonce = self._nonces.get(first.user_id, 0) + 1
        body = TxBody(
            version=1,
            signers=tuple(SignerRef(person.user_id, capacity, person.company) for person, capacity in call.signers),
            nonce=nonce,
            valid_until_height=world.best_height + VALIDITY_HEIGHTS,
            contract=call.contract,
            method=call.method,
            args=call.args,
            gas_limit=GAS_LIMIT,
        )
        if call.spoil:
            self._submit_spoiled(call, body)
            return
        self._nonces[first.user_id] = nonce
        self._in_flight[first.user_id] = self._in_flight.get(first.user_id, 0) + 1
        tx_id, envelope = self._sign(body, [person for person, _ in call.signers], world.league.chain_id)
        world.submitted[tx_id] = body.valid_until_height
        entry = Pending(tx_id, envelope, call, trade, world.heap.now, body.valid_until_height)
        self._pending[tx_id] = entry
        self.figures.submitted += 1
        self._try(entry)

    # -- what nodes say ---------------------------------------------------------------------------------------------

    def answered(self, answer: ne.Answer) -> None:
        """A node accepted or refused a submission."""
        if answer.token not in self._tokens:
            return
        entry = self._tokens.pop(answer.token)
        result = answer.results[0]
        if entry is None:
            self.figures.hostile_refused += bool(result.code)
            if not result.code:
                self._world.fail("safety", "hostile", "a spoiled envelope was accepted", "")
            return
        if not result.code:
            entry.accepted = entry.accepted_once = True
        elif entry.tx_id in self._pending:
            if result.code in LASTING_REFUSALS and not entry.accepted_once and entry.tries == 1:
                self.figures.refused += 1
                self._world.note_refusal(entry.call, result)
                self._drop(entry.tx_id)
            else:
                self._world.heap.at(self._world.heap.now + REFUSED_RETRY_NS, self._again, (entry, entry.tries))

    def executed(self, daemon: Daemon, executed: Executed) -> None:
        """A node has executed a block: its clients get their receipts."""
        for receipt in executed.result.receipts:
            entry = self._pending.get(receipt.tx_id)
            if entry is None or not daemon.honest:
                continue
            self._drop(receipt.tx_id)
            self.figures.committed += 1
            self.figures.failed += receipt.status != STATUS_OK
            self.figures.latencies_ns.append(self._world.heap.now - entry.submitted_ns)
            entry.trade.receipt(entry.call, receipt)

    # -- private ----------------------------------------------------------------------------------------------------

    def _due(self, work: tuple[Steady, Trade, int]) -> None:
        rate, trade, until = work
        if self._stopped or self._world.heap.now >= until:
            return
        for _ in range(rate.batch(len(self._pending))):
            self.submit_call(trade.next_call(), trade)
        now = self._world.heap.now
        self._world.heap.at(now + rate.gap_ns(now, len(self._pending)), self._due, work)

    def _try(self, entry: Pending) -> None:
        """Hand the envelope to the own node, later to any other."""
        world = self._world
        entry.tries += 1
        home = world.slot_of(entry.call.firm.index)
        daemon = world.daemons[home]
        if entry.tries > 1 or not daemon.up:
            daemon = self._rng.choice([other for other in world.daemons if other.up and other.votes] or [daemon])
        self._token += 1
        entry.accepted = False
        entry.holder = (daemon.slot, daemon.incarnation)
        if daemon.submit(self._token, (entry.envelope,)):
            self._tokens[self._token] = entry
        world.heap.at(world.heap.now + RETRY_NS, self._again, (entry, entry.tries))

    def _again(self, what: tuple[Pending, int]) -> None:
        entry, tries = what
        if entry.tx_id not in self._pending or entry.tries != tries:
            return
        daemon = self._world.daemons[entry.holder[0]]
        if entry.accepted and daemon.honest and daemon.up and daemon.incarnation == entry.holder[1]:
            self._world.heap.at(self._world.heap.now + RETRY_NS, self._again, what)
        else:
            self._try(entry)

    def _drop(self, tx_id: bytes) -> None:
        entry = self._pending.pop(tx_id, None)
        if entry is not None:
            self._in_flight[entry.call.signers[0][0].user_id] -= 1

    def _sign(self, body: TxBody, people: list[Person], chain_id: bytes) -> tuple[bytes, bytes]:
        raw = encode(body)
        digest = body_digest(raw, chain_id)
        oracle = self._world.oracle
        pairs = tuple((person.key.public_key, oracle.handle(person.key).sign(digest)) for person in people)
        return transaction_id(digest, (key for key, _ in pairs)), encode(Envelope(raw, pairs))

    def _submit_spoiled(self, call: Call, body: TxBody) -> None:
        world = self._world
        people = [person for person, _ in call.signers]
        chain_id = world.league.chain_id
        self.figures.hostile += 1
        changes: dict[str, Any] = {
            "expired": {"valid_until_height": max(0, world.best_height - 10_000) if world.best_height else 0},
            "nonce": {"nonce": 0},
            "gas": {"gas_limit": 2**40},
        }.get(call.spoil, {})
        if call.spoil == "foreign_key":
            people = [world.league.firms[call.firm.index - 1].staff["treasurer"]]
        if call.spoil == "other_chain":
            chain_id = bytes(32)
        _, envelope = self._sign(msgspec.structs.replace(body, **changes), people, chain_id)
        if call.spoil == "signature":
            envelope = envelope[:-1] + bytes([envelope[-1] ^ 1])
        elif call.spoil == "truncated":
            envelope = envelope[: len(envelope) // 2]
        elif call.spoil == "rubbish":
            envelope = bytes(self._rng.below(256) for _ in range(60))
        elif call.spoil == "trailing":
            envelope += b"\x00"
        elif call.spoil == "not_canonical":  # the outer array in its longer form
            envelope = b"\xdc\x00\x02" + envelope[1:]
        elif call.spoil == "oversize":
            envelope += bytes(200_000)
        daemon = world.daemons[world.slot_of(call.firm.index)]
        self._token += 1
        if daemon.submit(self._token, (envelope,)):
            self._tokens[self._token] = None
