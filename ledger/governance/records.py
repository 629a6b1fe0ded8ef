"""Records of governance in state, and the payload of each kind of proposal (S18, S22, L57).

Keys, all under the registry (`r`, LR9) except those of contracts:

    rp + proposal id                  Proposal; the id is that of the transaction that opened it
    rb + proposal id + company id     Ballot: the vote of one company
    rq + company id                   Openings: the proposals of a company that may still be open
    ri + invite hash                  Invite
    rj + node id                      Admission: a consensus key that waits for `ready`
    rl + proposal id                  Replacement: new keys for a company, and until when it can object
    rg                                FaultPolicy
    rw + company id                   Resting, of ledger.governance.resting
    rs + company id                   Suspension, the last one of the company
    rt + company id                   the block time at which its suspension lapses, while it is not ratified

A payload travels as canonical bytes: what companies read, hash and vote on is one and the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from ledger.codec import Codec, Wire
from ledger.genesis import KeyProof
from ledger.registry.lookup import Getter
from ledger.registry.records import ReaderKey, RootPolicy, TlsPin
from ledger.transaction import ENVELOPE_LIMIT_BYTES

PROPOSAL_PREFIX: Final = b"rp"
BALLOT_PREFIX: Final = b"rb"
OPENINGS_PREFIX: Final = b"rq"
INVITE_PREFIX: Final = b"ri"
ADMISSION_PREFIX: Final = b"rj"
REPLACEMENT_PREFIX: Final = b"rl"
SUSPENSION_PREFIX: Final = b"rs"
LAPSE_PREFIX: Final = b"rt"

OPEN: Final = "open"
ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"
WITHDRAWN: Final = "withdrawn"
FAILED: Final = "failed"


class Rows(Protocol):
    """State as governance changes it; the overlay of the block is one."""

    def get(self, key: bytes) -> bytes | None: ...
    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> None: ...
    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]: ...


class Proposal(Wire, frozen=True):
    """What is voted on. `status`: open, accepted, rejected, withdrawn, failed; an open one past its height is over."""

    proposal_id: bytes
    kind: str
    payload: bytes
    company_id: str
    opened_height: int
    expires_height: int
    status: str
    closed_height: int


class Ballot(Wire, frozen=True):
    """The vote of one company, the last one counts. `backed`: with signatures of its root policy (S26)."""

    company_id: str
    approve: bool
    height: int
    signers: tuple[str, ...]
    backed: bool


class Openings(Wire, frozen=True):
    """Proposals a company opened and that were open when it last proposed, oldest first."""

    proposals: tuple[bytes, ...]


class Invite(Wire, frozen=True):
    """`invite_hash` hides a secret that only sponsor and joiner know (S22.1). Used by one accepted request."""

    invite_hash: bytes
    roles: tuple[str, ...]
    expires_height: int
    sponsor: str
    used: bool


class Admission(Wire, frozen=True):
    """A consensus key the companies agreed to. It votes from an epoch on that `ready` fixes (S22.8, P118)."""

    node_id: str
    company_id: str
    consensus_key: bytes
    proposal_id: bytes
    height: int


class Replacement(Wire, frozen=True):
    """Who is to get new keys, and the block time from which on votes for it count (S28)."""

    company_id: str
    begins_ms: int


class Suspension(Wire, frozen=True):
    """Freezes the transactions of a company, never its vote in consensus (S25).

    `until_ms` is block time; 0 is without end, ratified by q. `lifted_ms` 0: in force. `backers`: who called for it.
    """

    company_id: str
    since_ms: int
    until_ms: int
    ratified: bool
    lifted_ms: int
    backers: tuple[str, ...]


# -- payloads by kind ----------------------------------------------------------------------------------------------


class FirstUser(Wire, frozen=True):
    """A person the joining company registers; roles within the bound of its company roles."""

    roles: tuple[str, ...]
    public_key: bytes


class JoinRequest(Wire, frozen=True):
    """What a newcomer asks for (S22.3). `proofs` as in genesis, made under the id of this chain, one a signing key."""

    invite_hash: bytes
    root: RootPolicy
    consensus_key: bytes
    tls: tuple[TlsPin, ...]
    endpoint_commitment: bytes
    reader_keys: tuple[ReaderKey, ...]
    legal_commitment: bytes
    users: tuple[FirstUser, ...]
    proofs: tuple[KeyProof, ...]


class AddCompany(Wire, frozen=True):
    """`add`: the request's canonical bytes and at least m root signatures over them (domain `join`)."""

    request: bytes
    signatures: tuple[tuple[bytes, bytes], ...]


class Leave(Wire, frozen=True):
    """`leave`: signed by the leaver's root policy (S26). In force when executed, without votes."""

    company_id: str
    signatures: tuple[tuple[bytes, bytes], ...]


class Expel(Wire, frozen=True):
    """`expel`: sorted companies, at most as many as an epoch may lose (P116). Needs q votes backed by root policies."""

    companies: tuple[str, ...]


class RotateConsensus(Wire, frozen=True):
    """`rotate_consensus`: `proof` shows that the new key is held (S23).

    Signed by the old consensus key, or by the company's root policy after loss or compromise; then the node is not
    known to be synced, and the change waits for `ready` (P118).
    """

    node_id: str
    public_key: bytes
    proof: bytes
    signatures: tuple[tuple[bytes, bytes], ...]


class RotateTls(Wire, frozen=True):
    """`rotate_tls`: the pins from now on, one or two. A matter of the company alone, in force when executed (S23)."""

    node_id: str
    tls: tuple[TlsPin, ...]


class Rotation(Wire, frozen=True):
    """`rotation`: a member stops or begins to propose blocks; it votes all the same (P80)."""

    company_id: str
    in_rotation: bool


class FaultPolicy(Wire, frozen=True):
    """`fault_policy`: with `rest`, a company that is proven to have broken the rules no longer proposes (P125)."""

    rest: bool


class ReplaceKeys(Wire, frozen=True):
    """`replace_keys`: new keys for a company that lost its own (S28). Needs q votes backed by root policies.

    `request`: canonical bytes of a `JoinRequest` without an invite (32 zero bytes), whose proofs name the company.
    `signatures`: at least m of the new root keys over it; `old_signatures`: of the old ones, or none.
    """

    company_id: str
    request: bytes
    signatures: tuple[tuple[bytes, bytes], ...]
    old_signatures: tuple[tuple[bytes, bytes], ...]


class Suspend(Wire, frozen=True):
    """`suspend`: f+1 members or a regulator for 24 hours of block time, q for good (S25)."""

    company_id: str


class Resume(Wire, frozen=True):
    """`resume`: q members end a suspension."""

    company_id: str


class PlannedContract(Wire, frozen=True):
    """A source with what it compiles to: a vote names `ir_hash` by naming the proposal (L58)."""

    name: str
    source: bytes
    ir_hash: bytes


class InstallContracts(Wire, frozen=True):
    """`contract`: sources that become active together, `delay_heights` after acceptance (L58, L59)."""

    contracts: tuple[PlannedContract, ...]
    delay_heights: int


class ContractPlan(Wire, frozen=True):
    """What stands in the proposal of `contract`: (name, code id, IR hash); the sources are stored once by code id."""

    contracts: tuple[tuple[str, bytes, bytes], ...]
    delay_heights: int


class SuspendContract(Wire, frozen=True):
    """`suspend_contract`: calls abort with `suspended` from the next transaction on (L60)."""

    name: str


class ResumeContract(Wire, frozen=True):
    """`resume_contract`: calls run again."""

    name: str


class RearmSchedule(Wire, frozen=True):
    """`rearm_schedule`: an entry that an abort parked runs again in the next block (L55).

    `key`: key bytes of its row, empty for one that runs every day or month.
    """

    contract: str
    schedule: str
    key: bytes


Payload = (
    AddCompany | Leave | Expel | RotateConsensus | RotateTls | Rotation | Suspend | Resume
    | InstallContracts | SuspendContract | ResumeContract | RearmSchedule | FaultPolicy | ReplaceKeys
)  # fmt: skip

_SMALL: Final = 4 * 1024
_SIGNED: Final = 16 * 1024
"""Sixteen root keys and signatures with their lengths, and the record around them."""

PAYLOADS: Final[Mapping[str, Codec[Payload]]] = {
    "add": Codec(AddCompany, "join request", ENVELOPE_LIMIT_BYTES),
    "leave": Codec(Leave, "leave", _SIGNED),
    "expel": Codec(Expel, "expulsion", _SIGNED),
    "rotate_consensus": Codec(RotateConsensus, "consensus key rotation", _SIGNED),
    "rotate_tls": Codec(RotateTls, "TLS rotation", 32 * 1024),
    "rotation": Codec(Rotation, "rotation", _SMALL),
    "suspend": Codec(Suspend, "suspension", _SMALL),
    "resume": Codec(Resume, "resumption", _SMALL),
    "contract": Codec(InstallContracts, "contract plan", ENVELOPE_LIMIT_BYTES),
    "suspend_contract": Codec(SuspendContract, "contract suspension", _SMALL),
    "resume_contract": Codec(ResumeContract, "contract resumption", _SMALL),
    "rearm_schedule": Codec(RearmSchedule, "schedule entry", _SMALL),
    "fault_policy": Codec(FaultPolicy, "fault policy", _SMALL),
    "replace_keys": Codec(ReplaceKeys, "replacement of keys", ENVELOPE_LIMIT_BYTES),
}
"""Kinds of proposals, closed."""

plan_codec: Codec[ContractPlan] = Codec(ContractPlan, "contract plan", _SMALL)
request_codec: Codec[JoinRequest] = Codec(JoinRequest, "join request", ENVELOPE_LIMIT_BYTES)
proposal_codec: Codec[Proposal] = Codec(Proposal, "proposal", ENVELOPE_LIMIT_BYTES + 1024)
ballot_codec: Codec[Ballot] = Codec(Ballot, "ballot", _SMALL)
openings_codec: Codec[Openings] = Codec(Openings, "openings", _SMALL)
invite_codec: Codec[Invite] = Codec(Invite, "invite", _SMALL)
admission_codec: Codec[Admission] = Codec(Admission, "admission", _SMALL)
replacement_codec: Codec[Replacement] = Codec(Replacement, "replacement", _SMALL)
suspension_codec: Codec[Suspension] = Codec(Suspension, "suspension", 64 * 1024)


def proposal_key(proposal_id: bytes) -> bytes:
    return PROPOSAL_PREFIX + proposal_id


def ballot_key(proposal_id: bytes, company_id: str) -> bytes:
    return BALLOT_PREFIX + proposal_id + company_id.encode()


def openings_key(company_id: str) -> bytes:
    return OPENINGS_PREFIX + company_id.encode()


def invite_key(invite_hash: bytes) -> bytes:
    return INVITE_PREFIX + invite_hash


def admission_key(node_id: str) -> bytes:
    return ADMISSION_PREFIX + node_id.encode()


def replacement_key(proposal_id: bytes) -> bytes:
    return REPLACEMENT_PREFIX + proposal_id


def suspension_key(company_id: str) -> bytes:
    return SUSPENSION_PREFIX + company_id.encode()


def lapse_key(company_id: str) -> bytes:
    return LAPSE_PREFIX + company_id.encode()


def read_proposal(reader: Getter, proposal_id: bytes) -> Proposal | None:
    """Return the proposal, or None if there is none of this id."""
    data = reader.get(proposal_key(proposal_id))
    return None if data is None else proposal_codec.decode(data)


def read_replacement(reader: Getter, proposal_id: bytes) -> Replacement | None:
    """Return who gets new keys by a proposal and from when on, or None if it is about something else."""
    data = reader.get(replacement_key(proposal_id))
    return None if data is None else replacement_codec.decode(data)


def read_ballot(reader: Getter, proposal_id: bytes, company_id: str) -> Ballot | None:
    """Return the vote of a company, or None if it has not voted."""
    data = reader.get(ballot_key(proposal_id, company_id))
    return None if data is None else ballot_codec.decode(data)


def read_invite(reader: Getter, invite_hash: bytes) -> Invite | None:
    """Return the invite, or None if there is none of this hash."""
    data = reader.get(invite_key(invite_hash))
    return None if data is None else invite_codec.decode(data)


def read_admission(reader: Getter, node_id: str) -> Admission | None:
    """Return the key of this node that waits for `ready`, or None."""
    data = reader.get(admission_key(node_id))
    return None if data is None else admission_codec.decode(data)


def read_suspension(reader: Getter, company_id: str) -> Suspension | None:
    """Return the last suspension of a company, lifted or not, or None."""
    data = reader.get(suspension_key(company_id))
    return None if data is None else suspension_codec.decode(data)


def read_openings(reader: Getter, company_id: str) -> tuple[bytes, ...]:
    """Return the ids of the proposals a company may still have open."""
    data = reader.get(openings_key(company_id))
    return () if data is None else openings_codec.decode(data).proposals
