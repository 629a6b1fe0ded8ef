"""The reserved contract `governance`: its methods, who may call them, and how votes are counted (LR1, S22, P112-P119).

    invite(invite_hash, roles, expires_height)      a member vouches for a newcomer
    propose(kind, payload, expires_height)          payload: canonical bytes of the kind; counts as the proposer's vote
    vote(proposal, approve)                         one company, one vote; the last one counts
    endorse(proposal, signatures)                   an approval backed by root keys; `BACKED_KINDS` count only these
    withdraw(proposal)                              the proposer takes it back while it is open
    ready(node, height, block_id, proof)            an admitted key is in use: the next epoch is decided

Each call is signed by two people of one company, maker and checker: a `governor`, and a second `governor` or
`company_admin` (S22.5). Both are asked through `decide`. Votes are counted after every vote, against the members of
the epoch of that height; who has left since does not count, nor who is suspended. What is accepted takes effect in the
same transaction; if it cannot, the call fails with a receipt and the vote is not kept (P119), so it can be repeated.

Door: `govern`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ledger.access.model import Code
from ledger.certificate import faults, quorum
from ledger.codec import Codec, encode
from ledger.errors import LedgerError
from ledger.governance import network, plans, replacing
from ledger.governance.act import BYTES_PER_GAS, CALL_GAS, GOVERNANCE, SIGNATURE_GAS, Act
from ledger.governance.keys import ROOT_KEYS_MAX, check_root, endorse_digest
from ledger.governance.records import (
    ACCEPTED,
    FAILED,
    OPEN,
    PAYLOADS,
    REJECTED,
    WITHDRAWN,
    AddCompany,
    Ballot,
    Expel,
    FaultPolicy,
    InstallContracts,
    Invite,
    Leave,
    Openings,
    Proposal,
    RearmSchedule,
    ReplaceKeys,
    Resume,
    ResumeContract,
    RotateConsensus,
    RotateTls,
    Rotation,
    Suspend,
    SuspendContract,
    ballot_key,
    invite_key,
    openings_key,
    proposal_key,
    read_ballot,
    read_invite,
    read_openings,
    read_proposal,
    read_replacement,
)
from ledger.governance.refusal import Refused, need, short
from ledger.governance.resting import POLICY_KEY, read_policy, rests
from ledger.ids import HASH_BYTES
from ledger.receipt import Abort, ContractEvent
from ledger.registry.epochs import EpochRecord, epoch_at
from ledger.registry.lookup import ACTIVE, read_company, read_user
from ledger.registry.records import COMPANY_ROLES
from ledger.state import Reader
from ledger.transaction import TxBody

GOVERNANCE_VERSION: Final = 1
BACKED_KINDS: Final = ("expel", "replace_keys")
"""Kinds that end or take over a company: only approvals with signatures of root policies count (S26, S28)."""
OPEN_PER_COMPANY: Final = 4
"""Proposals one company may have open: what is voted on must be readable, and state stays bounded."""
LIFETIME_MAX: Final = 1_000_000
"""Heights a proposal or an invite may live, about two weeks of one block a second without a pause."""
TEXT_MAX: Final = 200
"""Code points of a refusal text in a receipt (L67)."""

Decide = Callable[[int, str, str, tuple[str, ...]], str]
"""(signer, people role, company, apart from these users) -> code of the access decision (H7)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a call did. `abort` None: it holds, and `next_epoch` is the epoch it decided, if any."""

    abort: Abort | None
    gas_used: int
    events: tuple[ContractEvent, ...]
    result: Any
    next_epoch: EpochRecord | None


def govern(act: Act, body: TxBody, decide: Decide) -> Verdict:
    """Run one call. After an abort the caller drops what was written to `act.rows`."""
    try:
        act.charge(CALL_GAS + len(encode(body.args)) // BYTES_PER_GAS)
        method = METHODS.get(body.method)
        if method is None:
            known = ", ".join(METHODS)
            raise Refused("unknown_method", "LR1", f"governance has no method {short(body.method)}; it has {known}")
        arguments = _arguments(method, body)
        act.company_id = _authority(act, body, decide)
        act.signers = tuple(ref.user_id for ref in body.signers)
        result = method.run(act, *arguments)
    except Refused as refusal:
        abort = Abort(refusal.code, refusal.rule, GOVERNANCE, GOVERNANCE_VERSION, 0, refusal.text[:TEXT_MAX])
        return Verdict(abort, min(act.gas_used, act.gas_limit), (), None, None)
    return Verdict(None, act.gas_used, tuple(act.events), result, act.next_epoch)


# -- who may -------------------------------------------------------------------------------------------------------


def _authority(act: Act, body: TxBody, decide: Decide) -> str:
    """Return the company whose two people sign: a governor and a second governor or company_admin (S22.5)."""
    refs = body.signers
    need(
        len(refs) == 2,
        "not_authorised",
        "S22",
        f"{len(refs)} signers; a governor and a second governor or company_admin of one company sign",
    )
    company = refs[0].company_id
    for ref in refs:
        user = read_user(act.rows, ref.user_id)
        need(
            ref.company_id == company and user is not None and user.company_id == company,
            "not_authorised",
            "S22",
            f"user {short(ref.user_id)} is not of company {short(company)}; a mandate does not reach governance",
        )
    capacities = sorted(ref.capacity for ref in refs)
    need(
        capacities == ["checker", "maker"],
        "not_authorised",
        "S61",
        f"capacities {' and '.join(capacities)}; one signs as maker, the other as checker",
    )
    answers = []
    for first, second in ((0, 1), (1, 0)):
        maker = (refs[first].user_id,)
        asked = [decide(first, role, company, ()) for role in _first_roles(act, company, body)]
        asked_second = [decide(second, role, company, maker) for role in ("governor", "company_admin")]
        if any(code.startswith("ok.") for code in asked) and any(code.startswith("ok.") for code in asked_second):
            return company
        answers += asked
    worst = next((code for code in answers if not code.startswith("ok.")), Code.DENY_ROLE.value)
    raise Refused(
        "not_authorised",
        "S22",
        f"the two signers of {short(company)} are not a governor and a second governor or company_admin ({worst})",
    )


def _first_roles(act: Act, company: str, body: TxBody) -> tuple[str, ...]:
    """A regulator's officer may propose a suspension (S60)."""
    record = read_company(act.rows, company)
    regulator = record is not None and "regulator" in record.roles
    if regulator and body.method == "propose" and body.args[0] == "suspend":
        return ("governor", "regulator_officer")
    return ("governor",)


def _need_member(act: Act) -> EpochRecord:
    epoch = epoch_at(act.rows, act.height)
    need(
        epoch.member(act.company_id) is not None,
        "not_member",
        "S22",
        f"{short(act.company_id)} has no vote in epoch {epoch.epoch}; a member must do this",
    )
    return epoch


# -- methods -------------------------------------------------------------------------------------------------------


def _invite(act: Act, invite_hash: bytes, roles: tuple[str, ...], expires_height: int) -> Any:
    _need_member(act)
    need(len(invite_hash) == HASH_BYTES, "bad_argument", "S22", f"invite_hash has {len(invite_hash)} bytes, not 32")
    need(bool(roles), "bad_argument", "S19", "the invite names no company role; name at least one")
    distinct = len(dict.fromkeys(roles)) == len(roles)
    need(distinct, "bad_argument", "S19", "a company role stands twice; name each once")
    for role in roles:
        need(role in COMPANY_ROLES, "bad_argument", "S19", f"{short(role)} is no company role; use a role of S19")
    _need_lifetime(act, expires_height)
    known = read_invite(act.rows, invite_hash)
    need(known is None, "conflict", "S22", f"invite {short(invite_hash)} exists; draw a new secret")
    act.put(invite_key(invite_hash), Invite(invite_hash, roles, expires_height, act.company_id, False))
    act.emit("Invited", act.company_id, invite_hash, expires_height)
    return invite_hash


def _propose(act: Act, kind: str, payload: bytes, expires_height: int) -> Any:
    codec = PAYLOADS.get(kind)
    if codec is None:
        raise Refused("bad_argument", "S18", f"{short(kind)} is no kind of proposal; use one of {', '.join(PAYLOADS)}")
    try:
        asked = codec.decode(payload)
    except LedgerError as error:
        raise Refused("bad_argument", "S18", f"the payload does not decode: {error}") from None
    _need_lifetime(act, expires_height)
    need(read_proposal(act.rows, act.tx_id) is None, "conflict", "LR2", "this proposal exists already")
    company = read_company(act.rows, act.company_id)
    regulator = kind == "suspend" and company is not None and "regulator" in company.roles
    if kind not in _OWN_KINDS and not regulator:
        _need_member(act)
        need(
            kind == "rotate_consensus" or not rests(act.rows, act.company_id),
            "not_authorised",
            "P125",
            f"{short(act.company_id)} rests for a proven fault; give its node a new consensus key first",
        )
    stored = payload
    match asked:
        case AddCompany():
            network.propose_add(act, asked)
        case ReplaceKeys():
            replacing.propose_replace(act, asked)
        case InstallContracts():
            stored = encode(plans.propose_contracts(act, asked))
        case _:
            _check(act, asked)
    _need_quota(act)
    proposal = Proposal(act.tx_id, kind, stored, act.company_id, act.height, expires_height, OPEN, 0)
    act.put(proposal_key(act.tx_id), proposal)
    act.emit("Proposed", act.tx_id, kind, act.company_id, expires_height)
    if kind in _OWN_KINDS:
        return _accept(act, proposal)
    if kind not in BACKED_KINDS:
        _cast(act, proposal, approve=True, backed=False)
    if regulator and isinstance(asked, Suspend):
        network.freeze(act, asked.company_id, (act.company_id,))
    return _count(act, proposal)


def _vote(act: Act, proposal_id: bytes, approve: bool) -> Any:
    _need_member(act)
    proposal = _open_proposal(act, proposal_id)
    need(
        not (approve and proposal.kind in BACKED_KINDS),
        "bad_proof",
        "S26",
        f"an approval of {proposal.kind} needs root signatures; use `endorse` with those of your officers",
    )
    _cast(act, proposal, approve=approve, backed=False)
    if not approve and proposal.kind == "replace_keys" and _about_own_keys(act, proposal):
        act.emit("Rejected", proposal.proposal_id, proposal.kind)  # it holds its keys, so it lost none (S28)
        return _close(act, proposal, REJECTED)
    return _count(act, proposal)


def _about_own_keys(act: Act, proposal: Proposal) -> bool:
    notice = read_replacement(act.rows, proposal.proposal_id)
    return notice is not None and notice.company_id == act.company_id


def _endorse(act: Act, proposal_id: bytes, signatures: tuple[tuple[bytes, bytes], ...]) -> Any:
    _need_member(act)
    proposal = _open_proposal(act, proposal_id)
    company = read_company(act.rows, act.company_id)
    count = len(signatures)
    need(count <= ROOT_KEYS_MAX, "limit_exceeded", "S16", f"{count} root signatures, at most {ROOT_KEYS_MAX}")
    act.charge(SIGNATURE_GAS * count)
    if company is None:
        raise Refused("not_found", "S18", f"company {short(act.company_id)} is not registered")
    check_root(company.root, signatures, endorse_digest(act.chain_id, proposal_id, act.company_id), "endorsement")
    _cast(act, proposal, approve=True, backed=True)
    return _count(act, proposal)


def _withdraw(act: Act, proposal_id: bytes) -> Any:
    proposal = _open_proposal(act, proposal_id)
    need(
        proposal.company_id == act.company_id,
        "not_authorised",
        "S22",
        f"the proposal is of {short(proposal.company_id)}; only that company withdraws it",
    )
    act.emit("Withdrawn", proposal_id, act.company_id)
    return _close(act, proposal, WITHDRAWN)


def _ready(act: Act, node: str, height: int, block_id: bytes, proof: bytes) -> Any:
    return network.ready(act, node, height, block_id, proof).epoch


# -- counting ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tally:
    """Votes of the members of the epoch that are active, by company id in order (S22.5)."""

    members: int
    approving: tuple[str, ...]
    refusing: tuple[str, ...]


def tally(rows: Reader, proposal: Proposal, height: int) -> Tally:
    """Return the votes that count at `height`: one a company, members of its epoch, active, the last one cast."""
    epoch = epoch_at(rows, height)
    approving: list[str] = []
    refusing: list[str] = []
    for name in epoch.companies:
        company = read_company(rows, name)
        if company is None or company.status != ACTIVE:
            continue
        ballot = read_ballot(rows, proposal.proposal_id, name)
        if ballot is None or (ballot.approve and proposal.kind in BACKED_KINDS and not ballot.backed):
            continue
        (approving if ballot.approve else refusing).append(name)
    return Tally(len(epoch.members), tuple(approving), tuple(refusing))


def _cast(act: Act, proposal: Proposal, *, approve: bool, backed: bool) -> None:
    ballot = Ballot(act.company_id, approve, act.height, act.signers, backed)
    act.put(ballot_key(proposal.proposal_id, act.company_id), ballot)
    if epoch_at(act.rows, act.height).member(act.company_id) is None:
        return  # a regulator without a vote: its proposal is on record, it counts for nothing
    found = tally(act.rows, proposal, act.height)
    act.emit("Voted", proposal.proposal_id, act.company_id, approve, len(found.approving), quorum(found.members))


def _count(act: Act, proposal: Proposal) -> str:
    """Return the status of the proposal after its votes are counted, and do what was accepted (P112)."""
    found = tally(act.rows, proposal, act.height)
    q = quorum(found.members)
    if len(found.approving) >= q and not replacing.waits(act, proposal):
        return _accept(act, proposal, found)
    if proposal.kind == "suspend":
        asked = PAYLOADS["suspend"].decode(proposal.payload)
        if isinstance(asked, Suspend):
            barred = network.barred(act, asked.company_id)
            backers = tuple(name for name in found.approving if name not in barred)
            if len(backers) >= faults(found.members) + 1:
                network.freeze(act, asked.company_id, backers)
    if len(found.refusing) > found.members - q:
        act.emit("Rejected", proposal.proposal_id, proposal.kind)
        return _close(act, proposal, REJECTED)
    return OPEN


def _accept(act: Act, proposal: Proposal, found: Tally | None = None) -> str:
    try:
        _apply(act, proposal, found)
    except Refused as refusal:
        if refusal.code != "refused_by_engine":
            raise
        # Final, and dear to find out: the plan is closed, so that nobody makes the engine look at it again.
        act.emit("Failed", proposal.proposal_id, proposal.kind, refusal.text[:TEXT_MAX])
        return _close(act, proposal, FAILED)
    act.emit("Accepted", proposal.proposal_id, proposal.kind)
    return _close(act, proposal, ACCEPTED)


def _check(act: Act, asked: object) -> None:
    match asked:
        case Leave():
            network.check_leave(act, asked)
        case Expel():
            network.check_expel(act, asked)
        case RotateConsensus():
            network.check_rotate_consensus(act, asked)
        case RotateTls():
            network.check_rotate_tls(act, asked)
        case Rotation():
            network.check_rotation(act, asked)
        case FaultPolicy():
            known = read_policy(act.rows)
            need(known != asked, "conflict", "P125", f"the policy is {'on' if known.rest else 'off'} already")
        case Suspend():
            network.check_suspend(act, asked)
        case Resume():
            network.check_resume(act, asked)
        case SuspendContract():
            plans.check_suspend_contract(act, asked)
        case ResumeContract():
            plans.check_resume_contract(act, asked)
        case RearmSchedule():
            plans.check_rearm_schedule(act, asked)


def _apply(act: Act, proposal: Proposal, found: Tally | None) -> None:
    if proposal.kind == "contract":
        plans.apply_contracts(act, proposal)
        return
    asked = PAYLOADS[proposal.kind].decode(proposal.payload)
    match asked:
        case AddCompany():
            network.apply_add(act, proposal, asked)
        case Leave():
            network.apply_leave(act, asked)
        case Expel():
            network.apply_expel(act, asked)
        case RotateConsensus():
            network.apply_rotate_consensus(act, proposal, asked)
        case RotateTls():
            network.apply_rotate_tls(act, asked)
        case Rotation():
            network.apply_rotation(act, asked)
        case FaultPolicy():
            act.put(POLICY_KEY, asked)
            act.emit("FaultPolicySet", asked.rest)
        case ReplaceKeys():
            replacing.apply_replace(act, proposal, asked)
        case Suspend() if found is not None:
            network.apply_suspend(act, asked, found.approving)
        case Resume():
            network.apply_resume(act, asked)
        case SuspendContract():
            plans.apply_suspend_contract(act, proposal, asked)
        case ResumeContract():
            plans.apply_resume_contract(act, asked)
        case RearmSchedule():
            plans.apply_rearm_schedule(act, asked)


def _open_proposal(act: Act, proposal_id: bytes) -> Proposal:
    proposal = read_proposal(act.rows, proposal_id)
    if proposal is None:
        raise Refused(
            "not_found", "S22", f"there is no proposal {short(proposal_id)}; its id is that of its transaction"
        )
    need(proposal.status == OPEN, "closed", "S22", f"proposal {short(proposal_id)} is {proposal.status} already")
    need(
        act.height <= proposal.expires_height,
        "expired",
        "S22",
        f"proposal {short(proposal_id)} ended at height {proposal.expires_height}; propose it again",
    )
    return proposal


def _close(act: Act, proposal: Proposal, status: str) -> str:
    act.put(
        proposal_key(proposal.proposal_id), msgspec.structs.replace(proposal, status=status, closed_height=act.height)
    )
    return status


def _need_lifetime(act: Act, expires_height: int) -> None:
    need(
        act.height < expires_height <= act.height + LIFETIME_MAX,
        "bad_argument",
        "S22",
        f"expires_height {expires_height}: name one from {act.height + 1} to {act.height + LIFETIME_MAX}",
    )


def _need_quota(act: Act) -> None:
    """Keep the list of a company's open proposals short (P141)."""
    still: list[bytes] = []
    for proposal_id in read_openings(act.rows, act.company_id):
        proposal = read_proposal(act.rows, proposal_id)
        if proposal is not None and proposal.status == OPEN and act.height <= proposal.expires_height:
            still.append(proposal_id)
    need(
        len(still) < OPEN_PER_COMPANY,
        "limit_exceeded",
        "S22",
        f"{short(act.company_id)} has {len(still)} open proposals; withdraw one or wait for the vote",
    )
    act.put(openings_key(act.company_id), Openings((*still, act.tx_id)))


# -- arguments -----------------------------------------------------------------------------------------------------

_OWN_KINDS: Final = ("leave", "rotate_tls")
"""A company's own affair: in force when executed, without votes (S23, S26)."""


@dataclass(frozen=True, slots=True)
class Method:
    """`arguments` are (name, codec of its wire form), in order."""

    run: Callable[..., Any]
    arguments: Sequence[tuple[str, Codec[Any]]]


_BYTES: Final[Codec[Any]] = Codec(bytes, "bytes", 128 * 1024)
_TEXT: Final[Codec[Any]] = Codec(str, "text", 1_024)
_INT: Final[Codec[Any]] = Codec(int, "number", 16)
_BOOL: Final[Codec[Any]] = Codec(bool, "truth value", 16)
_TEXTS: Final[Codec[Any]] = Codec(tuple[str, ...], "list of texts", 4_096)
_PAIRS: Final[Codec[Any]] = Codec(tuple[tuple[bytes, bytes], ...], "list of (root key, signature)", 16 * 1024)

METHODS: Final[Mapping[str, Method]] = {
    "invite": Method(_invite, (("invite_hash", _BYTES), ("roles", _TEXTS), ("expires_height", _INT))),
    "propose": Method(_propose, (("kind", _TEXT), ("payload", _BYTES), ("expires_height", _INT))),
    "vote": Method(_vote, (("proposal", _BYTES), ("approve", _BOOL))),
    "endorse": Method(_endorse, (("proposal", _BYTES), ("signatures", _PAIRS))),
    "withdraw": Method(_withdraw, (("proposal", _BYTES),)),
    "ready": Method(_ready, (("node", _TEXT), ("height", _INT), ("block_id", _BYTES), ("proof", _BYTES))),
}


def _arguments(method: Method, body: TxBody) -> list[Any]:
    names = ", ".join(name for name, _ in method.arguments)
    need(
        len(body.args) == len(method.arguments),
        "bad_argument",
        "L12",
        f"{body.method} takes {len(method.arguments)} arguments ({names}), {len(body.args)} are given",
    )
    values: list[Any] = []
    for value, (name, codec) in zip(body.args, method.arguments, strict=True):
        try:
            values.append(codec.decode(encode(value)))
        except LedgerError as error:
            raise Refused("bad_argument", "L12", f"{name}: {error}") from None
    return values
