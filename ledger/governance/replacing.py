"""New keys for a company whose own are lost: what the others may do for it, and how long it can object (S28).

    propose       by another member, with the request that the company made in a fresh home: new root keys, people, and
                  a node, each key proven to be held. Every company is told
    votes         q approvals backed by root policies, like an expulsion: whoever is accepted acts for the company
    the delay     7 days of block time from the proposal on, in which the company itself can refuse and end it. None if
                  officers of the old root policy signed too: then only the node and its people's keys were lost
    in force      with the vote that makes q, or the first vote after the delay: old keys end, the new ones count, the
                  new node observes, and votes from the epoch that its `ready` decides (P118)

The company keeps its id, roles, name and books. Name and address stay bound to the commitments of before, so that the
directories of the others hold.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.errors import LedgerError
from ledger.governance.act import SIGNATURE_GAS, Act
from ledger.governance.keys import check_request, check_root, replace_digest
from ledger.governance.network import (
    LEFT,
    OBSERVER,
    check_first_users,
    check_pins,
    check_reader_keys,
    check_root_policy,
    close_key,
    open_key,
    present_company,
    registry_rows,
)
from ledger.governance.records import (
    Admission,
    JoinRequest,
    Proposal,
    ReplaceKeys,
    Replacement,
    admission_key,
    read_replacement,
    replacement_key,
    request_codec,
)
from ledger.governance.refusal import Refused, need, short
from ledger.ids import HASH_BYTES
from ledger.registry.epochs import last_epoch
from ledger.registry.lookup import (
    ACTIVE,
    NODE_PREFIX,
    USER_PREFIX,
    company_key,
    node_key,
    read_node,
    read_user,
    user_key,
)
from ledger.registry.records import ConsensusKey, Node, User, node_id, user_id

DELAY_MS: Final = 7 * 24 * 3_600_000
"""How long a company can object before others replace its root keys (S28)."""


def check_replace(act: Act, payload: ReplaceKeys) -> JoinRequest:
    """Return the request if its keys and proofs are in order, or raise `Refused`."""
    try:
        request = request_codec.decode(payload.request)
    except LedgerError as error:
        raise Refused("bad_argument", "S28", f"the request does not decode: {error}") from None
    signatures = len(payload.signatures) + len(payload.old_signatures)
    act.charge(SIGNATURE_GAS * (signatures + len(request.proofs)))
    company = present_company(act.rows, payload.company_id)
    need(request.invite_hash == bytes(HASH_BYTES), "bad_argument", "S28", "the request is for an invite; make another")
    check_root_policy(request.root)
    digest = replace_digest(act.chain_id, payload.company_id, payload.request)
    check_root(request.root, payload.signatures, digest, "request for new keys")
    if payload.old_signatures:
        check_root(company.root, payload.old_signatures, digest, "consent of the officers")
    check_request(act.rows, act.chain_id, request, payload.company_id)
    check_pins(act.rows, node_id(request.consensus_key), request.tls)
    check_reader_keys(request)
    check_first_users(request, company.roles)
    need(
        request.legal_commitment == company.legal_commitment,
        "bad_argument",
        "S28",
        f"the name is not that of company {short(payload.company_id)}; use its directory entry, with its salt",
    )
    need(len(request.endpoint_commitment) == HASH_BYTES, "bad_argument", "S18", "endpoint_commitment is no hash")
    return request


def propose_replace(act: Act, payload: ReplaceKeys) -> None:
    """Besides what `check_replace` asks: keep from when on the votes count, and tell every company (S28)."""
    check_replace(act, payload)
    begins = act.time_ms if payload.old_signatures else act.time_ms + DELAY_MS
    act.put(replacement_key(act.tx_id), Replacement(payload.company_id, begins))
    act.emit("KeysAsked", payload.company_id, act.tx_id, begins)


def waits(act: Act, proposal: Proposal) -> bool:
    """Tell whether the company can still object to a proposal (S28)."""
    notice = read_replacement(act.rows, proposal.proposal_id)
    return notice is not None and act.time_ms < notice.begins_ms


def apply_replace(act: Act, proposal: Proposal, payload: ReplaceKeys) -> None:
    """End all keys of the company and register the new ones; its vote waits for `ready` (S28, P118)."""
    request = check_replace(act, payload)
    company = present_company(act.rows, payload.company_id)
    member = last_epoch(act.rows).member(company.company_id)
    voting = b"" if member is None else member.consensus_key
    for key in company.root.keys:
        close_key(act, key, act.height)
    for row in list(registry_rows(act.rows, USER_PREFIX)):
        user = read_user(act.rows, row[len(USER_PREFIX) :].decode())
        if user is not None and user.company_id == company.company_id and user.status != LEFT:
            act.put(row, msgspec.structs.replace(user, status=LEFT))
            close_key(act, user.public_key, act.height)
    for row in list(registry_rows(act.rows, NODE_PREFIX)):
        old = read_node(act.rows, row[len(NODE_PREFIX) :].decode())
        if old is not None and old.company_id == company.company_id and old.status != LEFT:
            act.put(row, msgspec.structs.replace(old, status=LEFT))
            act.rows.delete(admission_key(old.node_id))
            for held in old.consensus:
                if held.public_key != voting:  # that one ends with its epoch (S24)
                    close_key(act, held.public_key, act.height)
    _register(act, proposal, payload.company_id, request)
    act.put(
        company_key(company.company_id),
        msgspec.structs.replace(
            company, root=request.root, reader_keys=request.reader_keys, version=company.version + 1
        ),
    )
    act.registry_moved()
    act.emit("KeysReplaced", company.company_id, node_id(request.consensus_key))


def _register(act: Act, proposal: Proposal, company: str, request: JoinRequest) -> None:
    node = node_id(request.consensus_key)
    keys = (ConsensusKey(request.consensus_key, last_epoch(act.rows).epoch + 1),)
    act.put(node_key(node), Node(node, company, OBSERVER, keys, request.tls, request.endpoint_commitment, ACTIVE))
    open_key(act, request.consensus_key, "consensus", node, act.height)
    for user in request.users:
        name = user_id(company, user.public_key)
        act.put(user_key(name), User(name, company, user.roles, user.public_key, 0, ACTIVE))
        open_key(act, user.public_key, "user", name, act.height)
    for key in request.root.keys:
        open_key(act, key, "root", company, act.height)
    act.put(admission_key(node), Admission(node, company, request.consensus_key, proposal.proposal_id, act.height))
