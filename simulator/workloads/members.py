"""Companies join, leave, are expelled, change keys, rest and return, one after the other: each is an epoch (P112, S22).
They also vote that whoever is proven to have broken the rules rests (P125), which alone changes no member.

The scenario gives the order. Each call is made again until its receipt shows that it took effect, by another company if
there are several to ask: a call that comes too early, because an epoch is still to begin, is refused on the ledger.
"""

from __future__ import annotations

from typing import Final

from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey
from ledger.crypto.hashing import H, Tag
from ledger.governance.keys import (
    endorse_digest,
    join_digest,
    leave_digest,
    possession_digest,
    prove_possession,
    ready_digest,
    rotate_digest,
)
from ledger.governance.records import (
    AddCompany,
    Expel,
    FaultPolicy,
    FirstUser,
    JoinRequest,
    Leave,
    RotateConsensus,
    Rotation,
)
from ledger.receipt import STATUS_OK, Receipt
from ledger.registry.records import RootPolicy, TlsPin, node_id, user_id
from simulator.errors import InvalidScenario
from simulator.league import DEPUTY, GOVERNOR, STAFF, Firm
from simulator.scenario.schema import Workload
from simulator.workloads.base import Call, Tip, Trade

EXPIRES_HEIGHT: Final = 100_000
"""Beyond every run; a proposal ends by its votes."""
CALLS_KEPT_BACK: Final = 5
"""A proposal without a receipt after so many calls is made again: an envelope may be lost with its node."""
SYNCED_HEIGHTS: Final = 16
"""A newcomer this close to its sponsor has caught up; the ledger takes a `ready` of the last 64 heights (P116)."""


class Members(Trade):
    name = "members"
    votes = True

    _changes: tuple[str, ...] = ()
    _tip: Tip
    _at: int = 0
    """The change that is being made."""
    _turn: int = 0
    """Calls so far; decides who speaks."""
    _invited: bool = False
    _proposal: bytes = b""
    _added: bool = False
    _asked: int = -CALLS_KEPT_BACK

    def prepare(self, wanted: Workload, tip: Tip) -> None:
        self._changes, self._tip = wanted.changes, tip
        if not wanted.changes:
            raise InvalidScenario("workload.changes", "the workload `members` needs at least one change")
        self._voters = [firm.company_id for firm in self.league.firms]

    def next_call(self) -> Call:
        self._turn += 1
        kind, _, name = self._changes[min(self._at, len(self._changes) - 1)].partition(":")
        firm = self.league.by_name(name)
        if self._at >= len(self._changes):  # all is done: a vote on nothing, so that the chain goes on
            return self._call(self._voter(), "vote", (bytes(32), True))
        if kind in ("join", "claim"):
            return self._join(firm, kind)
        if kind == "leave":
            digest = leave_digest(self.league.chain_id, firm.company_id)
            return self._propose(firm, "leave", encode(Leave(firm.company_id, _signed(firm, digest))))
        if kind == "expel":
            return self._expel(firm)
        if kind == "rekey":
            return self._decide("rotate_consensus", encode(self._next_key(firm)), firm)
        if kind == "policy":
            return self._decide("fault_policy", encode(FaultPolicy(True)), firm)
        return self._decide("rotation", encode(Rotation(firm.company_id, kind == "return")), self._voter())

    def receipt(self, call: Call, receipt: Receipt) -> None:
        if receipt.status != STATUS_OK:
            return
        if call.method == "invite":
            self._invited = True
        elif call.method == "propose" and receipt.result == "open" and call.note == self._at and not self._proposal:
            self._proposal = receipt.tx_id
        elif receipt.result == "accepted" and call.note == self._at:
            if self._kind in ("join", "claim"):
                self._added = True
            else:
                self._done()
        elif call.method == "ready" and call.note == self._at:
            self._voters.append(call.firm.company_id)
            self._done()

    # -- steps -----------------------------------------------------------------------------------------------------

    @property
    def _kind(self) -> str:
        return self._changes[self._at].partition(":")[0] if self._at < len(self._changes) else ""

    def _done(self) -> None:
        kind, _, name = self._changes[self._at].partition(":")
        if kind in ("leave", "expel"):
            self._voters.remove(self.league.by_name(name).company_id)
        self._at += 1
        self._invited = self._added = False
        self._proposal = b""
        self._asked = -CALLS_KEPT_BACK

    def _join(self, firm: Firm, kind: str) -> Call:
        sponsor = self._by_id(self._voters[0])
        invite = H(Tag.OBJECT_ID, firm.company_id.encode())
        if not self._invited:
            return self._call(sponsor, "invite", (invite, ("trader",), EXPIRES_HEIGHT))
        if not self._added:
            request = encode(self._request(firm, invite))
            digest = join_digest(self.league.chain_id, request)
            return self._decide("add", encode(AddCompany(request, _signed(firm, digest))), sponsor)
        tip, best = self._tip(firm.index), self._tip(sponsor.index)
        if kind == "join" and tip.height + SYNCED_HEIGHTS < best.height:
            return self._call(self._voter(), "vote", (bytes(32), True))  # it is not synced yet: let others go on
        shown = best if kind == "claim" else tip
        node = node_id(firm.consensus_key.public_key)
        proof = firm.consensus_key.sign(ready_digest(self.league.chain_id, node, shown.height, shown.block_id))
        return self._call(firm, "ready", (node, shown.height, shown.block_id, proof))

    def _next_key(self, firm: Firm) -> RotateConsensus:
        """Return the change of a consensus key, signed by the old one: the node is known to be synced (P118)."""
        chain, node = self.league.chain_id, node_id(firm.consensus_key.public_key)
        old, new = firm.consensus_key, firm.next_key
        signature = old.sign(rotate_digest(chain, node, new.public_key))
        proof = new.sign(possession_digest(chain, "consensus", node, new.public_key))
        return RotateConsensus(node, new.public_key, proof, ((old.public_key, signature),))

    def _expel(self, firm: Firm) -> Call:
        if not self._proposal:
            return self._propose(self._voter(firm), "expel", encode(Expel((firm.company_id,))))
        voter = self._voter(firm)
        digest = endorse_digest(self.league.chain_id, self._proposal, voter.company_id)
        return self._call(voter, "endorse", (self._proposal, _signed(voter, digest)))

    def _decide(self, kind: str, payload: bytes, proposer: Firm) -> Call:
        if not self._proposal:
            return self._propose(proposer, kind, payload)
        return self._call(self._voter(), "vote", (self._proposal, True))

    def _propose(self, firm: Firm, kind: str, payload: bytes) -> Call:
        if self._turn - self._asked < CALLS_KEPT_BACK:
            return self._call(self._voter(), "vote", (bytes(32), True))
        self._asked = self._turn
        return self._call(firm, "propose", (kind, payload, EXPIRES_HEIGHT))

    # -- parts -----------------------------------------------------------------------------------------------------

    def _request(self, firm: Firm, invite: bytes) -> JoinRequest:
        """Return what the newcomer asks for, with a proof for each key (S22.3)."""
        chain, node = self.league.chain_id, node_id(firm.consensus_key.public_key)
        people = [firm.staff[role] for role in (*STAFF, GOVERNOR, DEPUTY)]
        proofs = [prove_possession(chain, "consensus", node, firm.consensus_key)]
        proofs.append(prove_possession(chain, "root", firm.company_id, firm.root_key))
        users = [(person, GOVERNOR if person.role == DEPUTY else person.role) for person in people]
        proofs += [
            prove_possession(chain, "user", user_id(firm.company_id, one.key.public_key), one.key) for one, _ in users
        ]
        return JoinRequest(
            invite_hash=invite,
            root=RootPolicy(1, (firm.root_key.public_key,)),
            consensus_key=firm.consensus_key.public_key,
            tls=(TlsPin(H(Tag.OBJECT_ID, b"tls", firm.company_id.encode()), b"none"),),
            endpoint_commitment=bytes(32),
            reader_keys=(),
            legal_commitment=bytes(32),
            users=tuple(FirstUser((role,), one.key.public_key) for one, role in users),
            proofs=tuple(sorted(proofs, key=lambda proof: (proof.kind, proof.owner))),
        )

    def _voter(self, but: Firm | None = None) -> Firm:
        names = [name for name in self._voters if but is None or name != but.company_id]
        return self._by_id(names[self._turn % len(names)])

    def _by_id(self, company: str) -> Firm:
        return next(firm for firm in self.league.everyone if firm.company_id == company)

    def _call(self, firm: Firm, method: str, args: tuple[object, ...]) -> Call:
        people = ((firm.staff[GOVERNOR], "maker"), (firm.staff[DEPUTY], "checker"))
        return Call("governance", method, args, people, firm, note=self._at)


def _signed(firm: Firm, digest: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return the signatures of the company's root policy, which one key fulfils."""
    key: SigningKey = firm.root_key
    return ((key.public_key, key.sign(digest)),)
