"""What the kinds about companies, keys and members ask for, and what they change when they are accepted (S22-S27).

Each kind has two functions: `check_*` when it is proposed, and again before it counts, because the registry may have
moved in between; `apply_*` when it is accepted. `change_of` says what a kind does to the member set, for the dry run
`effect_of` and for the decision alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from ledger.access.model import role_problem
from ledger.certificate import quorum
from ledger.codec import encode
from ledger.crypto.ed25519 import verify_strict
from ledger.errors import LedgerError
from ledger.genesis import READER_SUITES
from ledger.governance.act import SIGNATURE_GAS, Act, is_production, registry_moved
from ledger.governance.keys import (
    ROOT_KEYS_MAX,
    check_fresh,
    check_request,
    check_root,
    join_digest,
    leave_digest,
    possession_digest,
    ready_digest,
    rotate_digest,
)
from ledger.governance.members import Change, Effect, effect, next_members
from ledger.governance.records import (
    LAPSE_PREFIX,
    PAYLOADS,
    AddCompany,
    Admission,
    Expel,
    JoinRequest,
    Leave,
    Proposal,
    ReplaceKeys,
    Resume,
    RotateConsensus,
    RotateTls,
    Rotation,
    Rows,
    Suspend,
    Suspension,
    admission_key,
    invite_key,
    lapse_key,
    read_admission,
    read_invite,
    read_suspension,
    request_codec,
    suspension_key,
)
from ledger.governance.refusal import Refused, need, short
from ledger.governance.resting import begin, due, forget, rests
from ledger.ids import HASH_BYTES
from ledger.registry.epochs import EpochMember, EpochRecord, epoch_at, epoch_key, last_epoch, pending_epoch
from ledger.registry.lookup import (
    ACTIVE,
    NODE_PREFIX,
    USER_PREFIX,
    company_key,
    node_key,
    read_company,
    read_key,
    read_node,
    read_user,
    signing_key_key,
    user_key,
)
from ledger.registry.records import (
    Company,
    ConsensusKey,
    KeyRecord,
    Node,
    RootPolicy,
    TlsPin,
    User,
    company_id,
    node_id,
    user_id,
)
from ledger.state import Reader

SUSPENDED: Final = "suspended"
LEFT: Final = "left"
EXPELLED: Final = "expelled"
OBSERVER: Final = "observer"
MEMBER: Final = "member"

FIRST_USERS_MAX: Final = 16
"""People a newcomer brings; it registers more itself."""
READER_KEYS_MAX: Final = 4
TLS_PINS_MAX: Final = 2
CERTIFICATE_BYTES_MAX: Final = 8_192
READY_HEIGHTS: Final = 64
"""How old the block named by `ready` may be: the transaction needs some blocks to be ordered; a member votes only
within 8 heights of the tip anyway."""
SUSPENSION_MS: Final = 24 * 3_600_000
"""How long f+1 members or a regulator may freeze a company without q (S25)."""
RENEWAL_MS: Final = 7 * SUSPENSION_MS
"""How long the callers of a suspension that nobody ratified cannot call for another (S25)."""
_PAGE: Final = 256
"""Registry rows read at once."""


def activation_height(act: Act) -> int:
    """Return A = h + L + W + 1: the first height of an epoch decided now (P112)."""
    params = act.params
    return act.height + params.exec_lag + params.window + 1


# -- what a kind does to the member set ----------------------------------------------------------------------------


def change_of(reader: Reader, kind: str, payload: object) -> Change:
    """Return what accepting `payload` does to the members decided last. A joiner counts as unready until `ready`."""
    current = last_epoch(reader)
    match payload:
        case AddCompany() if kind == "add":
            request = request_codec.decode(payload.request)
            company, node = company_id(request.root), node_id(request.consensus_key)
            return Change(joins=(EpochMember(company, node, request.consensus_key, True),), unready=(company,))
        case Leave():
            return Change(leaves=_voting(current, [payload.company_id]))
        case Expel():
            return Change(leaves=_voting(current, payload.companies))
        case RotateConsensus():
            owner = next((item for item in current.members if item.node_id == payload.node_id), None)
            if owner is None:
                return Change()
            lost = () if _signed_by_old(owner.consensus_key, payload) else (owner.company_id,)
            return _new_key(reader, owner, owner.node_id, payload.public_key, unready=lost)
        case ReplaceKeys():
            owner = current.member(payload.company_id)
            if owner is None:
                return Change()
            key = request_codec.decode(payload.request).consensus_key
            return _new_key(reader, owner, node_id(key), key, unready=(owner.company_id,))
        case Rotation():
            return Change(rotation=((payload.company_id, payload.in_rotation),))
        case _:
            return Change()


def _new_key(reader: Reader, owner: EpochMember, node: str, key: bytes, unready: tuple[str, ...] = ()) -> Change:
    """Return the change that gives a member another key, on its node or on a new one.

    A company that rests for a fault proposes again: a new key has a new journal (P118, P125).
    """
    company = owner.company_id
    return Change(
        keys=((company, key),),
        nodes=((company, node),) if node != owner.node_id else (),
        rotation=((company, True),) if rests(reader, company) else (),
        unready=unready,
    )


def effect_of(reader: Reader, proposal: Proposal) -> Effect:
    """Return what accepting `proposal` in this state would do to quorum and members; a dry run, nothing is written.

    For `add` and for a key that replaces a lost one it is the epoch after the node's `ready`, with the node missing:
    what the network must bear if it never comes up.
    """
    payload = PAYLOADS[proposal.kind].decode(proposal.payload) if proposal.kind != "contract" else None
    change = change_of(reader, proposal.kind, payload)
    current = last_epoch(reader).members
    return effect(current, change, production=is_production(reader), frozen=frozen(reader, current))


def frozen(reader: Reader, members: Sequence[EpochMember]) -> tuple[str, ...]:
    """Return the members whose company is not active, sorted: they cannot vote on proposals (S25)."""
    names = [member.company_id for member in members]
    return tuple(name for name in names if (found := read_company(reader, name)) is None or found.status != ACTIVE)


def decide_epoch(act: Act, change: Change) -> EpochRecord:
    """Fix the members of the next epoch and its first height, or raise `Refused` (P112, P116, P119).

    One change waits at a time: a second one in the same block, or before the first is in force, is refused.
    """
    waiting = pending_epoch(act.rows, act.height)
    if waiting is not None:
        raise Refused(
            "epoch_pending",
            "P119",
            f"epoch {waiting.epoch} is decided and begins at height {waiting.first_height}; try again from there on",
        )
    last = last_epoch(act.rows)
    members = next_members(last.members, change, production=act.production, frozen=frozen(act.rows, last.members))
    begins = activation_height(act)
    record = EpochRecord(last.epoch + 1, begins, act.height, members)
    act.put(epoch_key(record.epoch), record)
    for member in members:
        before = last.member(member.company_id)
        if before is None or before.consensus_key != member.consensus_key:
            _take_key(act, member, record, None if before is None else before.consensus_key)
        if before is None or before.consensus_key != member.consensus_key or member.in_rotation > before.in_rotation:
            forget(act.rows, member.company_id)
    for company in change.leaves:
        forget(act.rows, company)
        gone = last.member(company)
        if gone is not None:
            close_key(act, gone.consensus_key, begins - 1)
    act.registry_moved(record.epoch)
    act.next_epoch = record
    act.emit("EpochDecided", record.epoch, begins, len(members), record.members_hash)
    return record


def rest_offenders(act: Act) -> None:
    """Let those that are to rest no longer propose from the next epoch on, unless another change waits (P125)."""
    chosen = due(act.rows)
    if not chosen or pending_epoch(act.rows, act.height) is not None:
        return
    try:
        record = decide_epoch(act, Change(rotation=tuple((item.company_id, False) for item in chosen)))
    except Refused:
        return  # too few members could vote on the way back (P116): they wait
    for item in chosen:
        begin(act.rows, item, record.epoch)
        act.emit("CompanyRests", item.company_id, item.kind, record.epoch)


def _take_key(act: Act, member: EpochMember, record: EpochRecord, old: bytes | None) -> None:
    """Let the node vote with its new key from the epoch on; the old one stays valid up to A-1 (S20, S24)."""
    node = _node(act.rows, member.node_id)
    kept = [key for key in node.consensus if key.public_key == old]
    keys = (*kept, ConsensusKey(member.consensus_key, record.epoch))
    act.put(node_key(node.node_id), msgspec.structs.replace(node, kind=MEMBER, consensus=keys))
    if read_key(act.rows, member.consensus_key) is None:
        open_key(act, member.consensus_key, "consensus", node.node_id, record.first_height)
    if old is not None:
        close_key(act, old, record.first_height - 1)


# -- add, ready ----------------------------------------------------------------------------------------------------


def check_add(act: Act, payload: AddCompany) -> JoinRequest:
    """Return the request if invite, keys and proofs are in order (S22.4), or raise `Refused`."""
    try:
        request = request_codec.decode(payload.request)
    except LedgerError as error:
        raise Refused("bad_argument", "S22", f"the join request does not decode: {error}") from None
    act.charge(SIGNATURE_GAS * (len(payload.signatures) + len(request.proofs)))
    invite = read_invite(act.rows, request.invite_hash)
    if invite is None:
        raise Refused("not_found", "S22", f"there is no invite {short(request.invite_hash)}; invite the company first")
    need(not invite.used, "closed", "S22", f"invite {short(request.invite_hash)} is used; make a new one")
    check_root_policy(request.root)
    company = company_id(request.root)
    known = read_company(act.rows, company)
    need(known is None, "conflict", "S22", f"company {short(company)} is registered already")
    check_root(request.root, payload.signatures, join_digest(act.chain_id, payload.request), "join request")
    check_request(act.rows, act.chain_id, request)
    check_pins(act.rows, node_id(request.consensus_key), request.tls)
    _need_hash(request.endpoint_commitment, "endpoint_commitment")
    _need_hash(request.legal_commitment, "legal_commitment")
    check_reader_keys(request)
    check_first_users(request, invite.roles)
    return request


def propose_add(act: Act, payload: AddCompany) -> None:
    """Besides what `check_add` asks: the sponsor proposes, while its invite lives (S22.4)."""
    request = check_add(act, payload)
    invite = read_invite(act.rows, request.invite_hash)
    if invite is None or invite.sponsor != act.company_id:
        sponsor = "" if invite is None else short(invite.sponsor)
        raise Refused("not_authorised", "S22", f"the invite is of {sponsor}; ask that company to propose")
    need(
        act.height <= invite.expires_height,
        "expired",
        "S22",
        f"the invite ended at height {invite.expires_height}; make a new one",
    )


def apply_add(act: Act, proposal: Proposal, payload: AddCompany) -> None:
    """Register the company with its node as an observer; its vote waits for `ready` (S22.6)."""
    request = check_add(act, payload)
    invite = read_invite(act.rows, request.invite_hash)
    if invite is None:
        raise Refused("not_found", "S22", f"there is no invite {short(request.invite_hash)}; invite the company first")
    company, node = company_id(request.root), node_id(request.consensus_key)
    act.put(
        company_key(company),
        Company(
            company, ACTIVE, invite.roles, request.root, request.reader_keys, request.legal_commitment, act.height, 1
        ),
    )
    epoch = last_epoch(act.rows).epoch
    keys = (ConsensusKey(request.consensus_key, epoch + 1),)
    act.put(node_key(node), Node(node, company, OBSERVER, keys, request.tls, request.endpoint_commitment, ACTIVE))
    for user in request.users:
        name = user_id(company, user.public_key)
        act.put(user_key(name), User(name, company, user.roles, user.public_key, 0, ACTIVE))
        open_key(act, user.public_key, "user", name, act.height)
    for key in request.root.keys:
        open_key(act, key, "root", company, act.height)
    open_key(act, request.consensus_key, "consensus", node, act.height)
    act.put(invite_key(invite.invite_hash), msgspec.structs.replace(invite, used=True))
    act.put(admission_key(node), Admission(node, company, request.consensus_key, proposal.proposal_id, act.height))
    act.registry_moved()
    act.emit("CompanyAdded", company, node, invite.sponsor)


def ready(act: Act, node: str, height: int, block: bytes, proof: bytes) -> EpochRecord:
    """Fix the epoch in which an admitted key votes: its node is synced to `height` and holds the key (S22.8, S22.9)."""
    act.charge(SIGNATURE_GAS)
    admission = read_admission(act.rows, node)
    if admission is None:
        raise Refused(
            "not_found", "S22", f"no key of node {short(node)} waits; propose `add` or `rotate_consensus` first"
        )
    need(
        admission.company_id == act.company_id,
        "not_authorised",
        "S22",
        f"node {short(node)} is of company {short(admission.company_id)}; its own people say `ready`",
    )
    need(
        act.height - READY_HEIGHTS <= height < act.height,
        "too_early",
        "P116",
        f"block {height} is not among the last {READY_HEIGHTS} before {act.height}; wait until the node has caught up",
    )
    _need_hash(block, "block_id")
    need(
        height != act.height - 1 or block == act.parent_id,
        "bad_proof",
        "P116",
        f"block {height} of this chain is {short(act.parent_id)}, not {short(block)}; check the node's chain",
    )
    good = verify_strict(admission.consensus_key, proof, ready_digest(act.chain_id, node, height, block))
    need(good, "bad_proof", "S22", f"the proof of node {short(node)} is not made with its admitted consensus key")
    current = last_epoch(act.rows).member(admission.company_id)
    if current is None:
        member = EpochMember(admission.company_id, node, admission.consensus_key, True)
        record = decide_epoch(act, Change(joins=(member,)))
    else:
        record = decide_epoch(act, _new_key(act.rows, current, node, admission.consensus_key))
    act.rows.delete(admission_key(node))
    return record


def check_root_policy(root: RootPolicy) -> None:
    need(
        0 < root.m <= len(root.keys) <= ROOT_KEYS_MAX,
        "bad_argument",
        "S16",
        f"{root.m} of {len(root.keys)} keys is no root policy; give 1 to {ROOT_KEYS_MAX} keys and m among them",
    )
    ordered = all(before < after for before, after in pairwise(root.keys))
    need(ordered, "bad_argument", "S17", "the root keys are repeated or not in ascending order; sort them")


def check_pins(reader: Rows, owner: str, pins: Sequence[TlsPin]) -> None:
    """One or two pins that are not those of another node: a pin names the peer (S18, S30)."""
    hashes = [pin.spki_sha256 for pin in pins]
    need(1 <= len(pins) <= TLS_PINS_MAX, "bad_argument", "S18", f"{len(pins)} TLS pins; a node has one or two")
    need(len(dict.fromkeys(hashes)) == len(hashes), "bad_argument", "S18", "one TLS pin stands twice; name each once")
    for key in registry_rows(reader, NODE_PREFIX):
        other = key[len(NODE_PREFIX) :].decode()
        node = read_node(reader, other)
        for pin in node.tls if node is not None and other != owner else ():
            need(
                pin.spki_sha256 not in hashes,
                "key_in_use",
                "S30",
                f"TLS pin {short(pin.spki_sha256)} is of node {short(other)}; make a new key",
            )
    for pin in pins:
        _need_hash(pin.spki_sha256, "spki_sha256")
        size = len(pin.certificate_der)
        need(
            0 < size <= CERTIFICATE_BYTES_MAX,
            "bad_argument",
            "S29",
            f"a TLS certificate of {size} bytes; 1 to {CERTIFICATE_BYTES_MAX} are possible",
        )


def check_reader_keys(request: JoinRequest) -> None:
    count = len(request.reader_keys)
    need(count <= READER_KEYS_MAX, "limit_exceeded", "S18", f"{count} reader keys, at most {READER_KEYS_MAX}")
    names = [key.kid for key in request.reader_keys]
    need(len(dict.fromkeys(names)) == count, "bad_argument", "S18", "two reader keys have one name; rename one")
    for key in request.reader_keys:
        need(
            len(key.public_key) == READER_SUITES.get(key.suite, -1),
            "bad_argument",
            "S9",
            f"reader key {short(key.kid)} of suite {key.suite} has {len(key.public_key)} bytes; use a known suite",
        )


def check_first_users(request: JoinRequest, company_roles: tuple[str, ...]) -> None:
    count = len(request.users)
    need(
        0 < count <= FIRST_USERS_MAX,
        "bad_argument",
        "S22",
        f"{count} first users; register 1 to {FIRST_USERS_MAX}, two of whom can vote",
    )
    for user in request.users:
        distinct = len(dict.fromkeys(user.roles)) == len(user.roles) > 0
        need(distinct, "bad_argument", "S60", f"the roles of user key {short(user.public_key)} are missing or repeated")
        problem = role_problem(user.roles, company_roles)
        need(not problem, "bad_argument", "S61", f"user key {short(user.public_key)}: {problem}")
    governors = sum(1 for user in request.users if "governor" in user.roles)
    seconds = sum(1 for user in request.users if "governor" in user.roles or "company_admin" in user.roles)
    need(
        governors >= 1 and seconds >= 2,
        "bad_argument",
        "S22",
        "the company needs a governor and a second governor or company_admin to say `ready` and to vote; add them",
    )


def _need_hash(value: bytes, name: str) -> None:
    need(len(value) == HASH_BYTES, "bad_argument", "S2", f"{name} has {len(value)} bytes; a hash has {HASH_BYTES}")


# -- leave, expel --------------------------------------------------------------------------------------------------


def check_leave(act: Act, payload: Leave) -> None:
    """The leaver's own people, with the signatures of its root policy (S26)."""
    act.charge(SIGNATURE_GAS * len(payload.signatures))
    company = present_company(act.rows, payload.company_id)
    need(
        payload.company_id == act.company_id,
        "not_authorised",
        "S26",
        f"only {short(payload.company_id)} itself leaves; to remove a company propose `expel`",
    )
    check_root(company.root, payload.signatures, leave_digest(act.chain_id, payload.company_id), "leave")


def apply_leave(act: Act, payload: Leave) -> None:
    check_leave(act, payload)
    _depart(act, (payload.company_id,), LEFT, change_of(act.rows, "leave", payload))


def check_expel(act: Act, payload: Expel) -> None:
    ordered = all(before < after for before, after in pairwise(payload.companies))
    need(bool(payload.companies) and ordered, "bad_argument", "S26", "name one or more companies, sorted, each once")
    for company in payload.companies:
        present_company(act.rows, company)


def apply_expel(act: Act, payload: Expel) -> None:
    check_expel(act, payload)
    _depart(act, payload.companies, EXPELLED, change_of(act.rows, "expel", payload))


def _depart(act: Act, companies: Sequence[str], status: str, change: Change) -> None:
    """Freeze keys and people of the companies; records stay (S26). A member's vote ends with the epoch (P117)."""
    if not change.empty:
        decide_epoch(act, change)
    for name in companies:
        company = present_company(act.rows, name)
        act.put(company_key(name), msgspec.structs.replace(company, status=status, version=company.version + 1))
        act.rows.delete(lapse_key(name))
        for key in company.root.keys:
            close_key(act, key, act.height)
        act.emit("CompanyLeft", name, status)
    for key in registry_rows(act.rows, USER_PREFIX):
        user = read_user(act.rows, key[len(USER_PREFIX) :].decode())
        if user is not None and user.company_id in companies:
            act.put(key, msgspec.structs.replace(user, status=LEFT))
            close_key(act, user.public_key, act.height)
    for key in registry_rows(act.rows, NODE_PREFIX):
        node = read_node(act.rows, key[len(NODE_PREFIX) :].decode())
        if node is not None and node.company_id in companies:
            act.put(key, msgspec.structs.replace(node, status=LEFT))
            act.rows.delete(admission_key(node.node_id))
            for held in node.consensus:
                close_key(act, held.public_key, act.height)
    act.registry_moved()


def registry_rows(reader: Rows, prefix: bytes) -> Iterator[bytes]:
    """Yield all keys of a prefix in order, page by page."""
    low, high = prefix, prefix[:-1] + bytes([prefix[-1] + 1])
    while True:
        page = reader.scan(low, high, _PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        low = page[-1] + b"\x00"


# -- keys ----------------------------------------------------------------------------------------------------------


def check_rotate_consensus(act: Act, payload: RotateConsensus) -> None:
    """A fresh key that is held, named by the old key or by the root policy (S23)."""
    act.charge(SIGNATURE_GAS * (1 + len(payload.signatures)))
    node = _node(act.rows, payload.node_id)
    company = present_company(act.rows, node.company_id)
    check_fresh(act.rows, payload.public_key, "consensus key")
    digest = possession_digest(act.chain_id, "consensus", node.node_id, payload.public_key)
    good = verify_strict(payload.public_key, payload.proof, digest)
    need(good, "bad_proof", "S7", f"the proof of consensus key {short(payload.public_key)} does not verify; sign again")
    digest = rotate_digest(act.chain_id, node.node_id, payload.public_key)
    old = _voting_key(act.rows, node)
    if _signed_by_old(old, payload):
        good = verify_strict(old, payload.signatures[0][1], digest)
        need(good, "bad_proof", "S23", f"the signature of the old key {short(old)} does not verify; sign again")
    else:
        check_root(company.root, payload.signatures, digest, "rotation")


def apply_rotate_consensus(act: Act, proposal: Proposal, payload: RotateConsensus) -> None:
    """With the old key the next epoch is decided now; without it the new key waits for `ready` (S24, P118)."""
    check_rotate_consensus(act, payload)
    node = _node(act.rows, payload.node_id)
    member = last_epoch(act.rows).member(node.company_id)
    waiting = read_admission(act.rows, node.node_id)
    votes = member is not None and member.node_id == node.node_id
    if votes and waiting is None and _signed_by_old(_voting_key(act.rows, node), payload):
        decide_epoch(act, change_of(act.rows, "rotate_consensus", payload))
    else:
        epoch = last_epoch(act.rows).epoch + 1
        kept = [
            key for key in node.consensus if votes and member is not None and key.public_key == member.consensus_key
        ]
        for key in node.consensus:
            if key not in kept:
                close_key(act, key.public_key, act.height)
        keys = (*kept, ConsensusKey(payload.public_key, epoch))
        act.put(node_key(node.node_id), msgspec.structs.replace(node, consensus=keys))
        open_key(act, payload.public_key, "consensus", node.node_id, act.height)
        if votes or waiting is not None:
            entry = Admission(node.node_id, node.company_id, payload.public_key, proposal.proposal_id, act.height)
            act.put(admission_key(node.node_id), entry)
        act.registry_moved()
    act.emit("KeyAgreed", node.company_id, node.node_id, payload.public_key)


def check_rotate_tls(act: Act, payload: RotateTls) -> None:
    node = _node(act.rows, payload.node_id)
    need(
        node.company_id == act.company_id and node.status == ACTIVE,
        "not_authorised",
        "S23",
        f"node {short(node.node_id)} is {node.status} and of {short(node.company_id)}; a company changes its own pins",
    )
    check_pins(act.rows, node.node_id, payload.tls)


def apply_rotate_tls(act: Act, payload: RotateTls) -> None:
    """The pins count from now on; with two of them old and new overlap (S16, S23)."""
    check_rotate_tls(act, payload)
    node = _node(act.rows, payload.node_id)
    act.put(node_key(node.node_id), msgspec.structs.replace(node, tls=payload.tls))
    act.registry_moved()
    act.emit("TlsRotated", node.company_id, node.node_id)


def check_rotation(act: Act, payload: Rotation) -> None:
    member = last_epoch(act.rows).member(payload.company_id)
    if member is None:
        raise Refused("not_member", "P80", f"{short(payload.company_id)} is no member; name one of the epoch")
    state = "proposes" if member.in_rotation else "rests"
    need(member.in_rotation != payload.in_rotation, "conflict", "P80", f"{short(payload.company_id)} {state} already")


def apply_rotation(act: Act, payload: Rotation) -> None:
    check_rotation(act, payload)
    decide_epoch(act, change_of(act.rows, "rotation", payload))


def _signed_by_old(old: bytes, payload: RotateConsensus) -> bool:
    return len(payload.signatures) == 1 and payload.signatures[0][0] == old


def _voting_key(reader: Rows, node: Node) -> bytes:
    """Return the key the node votes with in the epoch decided last, or the one it says hello with as an observer."""
    member = last_epoch(reader).member(node.company_id)
    if member is not None and member.node_id == node.node_id:
        return member.consensus_key
    return node.consensus[-1].public_key


def open_key(act: Act, key: bytes, kind: str, owner: str, height: int) -> None:
    act.put(signing_key_key(key), KeyRecord(key, kind, owner, height, 0))


def close_key(act: Act, key: bytes, height: int) -> None:
    """End the range of a key that is still open; never lengthen or delete one (S20)."""
    record = read_key(act.rows, key)
    if record is not None and record.to_height == 0:
        act.put(signing_key_key(key), msgspec.structs.replace(record, to_height=height))


# -- suspend, resume -----------------------------------------------------------------------------------------------


def check_suspend(act: Act, payload: Suspend) -> None:
    company = present_company(act.rows, payload.company_id)
    need(company.status == ACTIVE, "conflict", "S25", f"{short(payload.company_id)} is {company.status} already")
    need(
        act.company_id not in barred(act, payload.company_id),
        "not_authorised",
        "S25",
        f"a suspension of {short(payload.company_id)} that you called for was not ratified; wait 7 days after its end",
    )


def barred(act: Act, company: str) -> tuple[str, ...]:
    """Return the companies whose last call to suspend `company` lapsed less than seven days ago (S25)."""
    last = read_suspension(act.rows, company)
    if last is None or last.ratified or not last.lifted_ms or act.time_ms >= last.lifted_ms + RENEWAL_MS:
        return ()
    return last.backers


def freeze(act: Act, company_name: str, backers: tuple[str, ...]) -> None:
    """Suspend for 24 hours of block time without a quorum (S25); does nothing if it is frozen already."""
    company = present_company(act.rows, company_name)
    if company.status == SUSPENDED:
        return
    _need_voters(act, company_name)
    until_ms = act.time_ms + SUSPENSION_MS
    act.put(suspension_key(company_name), Suspension(company_name, act.time_ms, until_ms, False, 0, backers))
    act.rows.put(lapse_key(company_name), encode(until_ms))
    _set_status(act, company, SUSPENDED)
    act.emit("CompanySuspended", company_name, until_ms)


def apply_suspend(act: Act, payload: Suspend, backers: tuple[str, ...]) -> None:
    """Suspend until q members resume it."""
    company = present_company(act.rows, payload.company_id)
    _need_voters(act, payload.company_id)
    before = read_suspension(act.rows, payload.company_id)
    since = before.since_ms if before is not None and company.status == SUSPENDED else act.time_ms
    act.put(suspension_key(payload.company_id), Suspension(payload.company_id, since, 0, True, 0, backers))
    act.rows.delete(lapse_key(payload.company_id))
    _set_status(act, company, SUSPENDED)
    act.emit("CompanySuspended", payload.company_id, 0)


def _need_voters(act: Act, company: str) -> None:
    """Refuse a suspension after which fewer than q members could vote: nobody could lift it (S25, P116).

    That must hold in this epoch and in one that is decided already. It also keeps companies that can send
    transactions, and so blocks whose time lets a suspension lapse.
    """
    for epoch in (epoch_at(act.rows, act.height), last_epoch(act.rows)):
        out = frozen(act.rows, epoch.members)
        voters = [name for name in epoch.companies if name not in out and name != company]
        q = quorum(len(epoch.members))
        need(
            len(voters) >= q,
            "no_quorum",
            "P116",
            f"only {len(voters)} members of epoch {epoch.epoch} could still vote, {q} must; "
            f"resume another company, or expel {short(company)}",
        )


def check_resume(act: Act, payload: Resume) -> None:
    company = present_company(act.rows, payload.company_id)
    need(
        company.status == SUSPENDED,
        "conflict",
        "S25",
        f"{short(payload.company_id)} is {company.status}, not suspended",
    )


def apply_resume(act: Act, payload: Resume) -> None:
    check_resume(act, payload)
    _lift(act.rows, payload.company_id, act.time_ms)
    act.registry_moved()
    act.emit("CompanyResumed", payload.company_id)


def lapse_suspensions(rows: Rows, time_ms: int) -> bool:
    """End the suspensions that nobody ratified in time; tell whether any ended (S25).

    Called once a block, before its transactions: a suspension ends only by a block (S65). Each row is one company that
    waits for a vote, so the scan is short.
    """
    ended = False
    for key in list(registry_rows(rows, LAPSE_PREFIX)):
        company = key[len(LAPSE_PREFIX) :].decode()
        suspension = read_suspension(rows, company)
        if suspension is not None and suspension.until_ms <= time_ms:
            _lift(rows, company, time_ms)
            ended = True
    if ended:
        registry_moved(rows)
    return ended


def _lift(rows: Rows, company_name: str, time_ms: int) -> None:
    company, suspension = read_company(rows, company_name), read_suspension(rows, company_name)
    if company is not None and company.status == SUSPENDED:
        lifted = msgspec.structs.replace(company, status=ACTIVE, version=company.version + 1)
        rows.put(company_key(company_name), encode(lifted))
    if suspension is not None:
        rows.put(suspension_key(company_name), encode(msgspec.structs.replace(suspension, lifted_ms=time_ms)))
    rows.delete(lapse_key(company_name))


def _set_status(act: Act, company: Company, status: str) -> None:
    if company.status != status:
        changed = msgspec.structs.replace(company, status=status, version=company.version + 1)
        act.put(company_key(company.company_id), changed)
    act.registry_moved()


# -- shared --------------------------------------------------------------------------------------------------------


def present_company(reader: Rows, name: str) -> Company:
    """Return a company that has not left and was not expelled."""
    company = read_company(reader, name)
    if company is None:
        raise Refused("not_found", "S18", f"company {short(name)} is not registered; check the id")
    need(company.status not in (LEFT, EXPELLED), "closed", "S26", f"company {short(name)} is {company.status}")
    return company


def _node(reader: Rows, name: str) -> Node:
    node = read_node(reader, name)
    if node is None:
        raise Refused("not_found", "S18", f"node {short(name)} is not registered; check the id")
    return node


def _voting(epoch: EpochRecord, companies: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in companies if epoch.member(name) is not None)
