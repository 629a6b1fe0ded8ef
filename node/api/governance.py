"""Operations about how the network changes: epochs, proposals with their votes, and what accepting one would do."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ledger.certificate import quorum
from ledger.codec import encode
from ledger.errors import LedgerError
from ledger.governance.calls import tally
from ledger.governance.members import Effect
from ledger.governance.network import effect_of
from ledger.governance.records import (
    OPEN,
    PAYLOADS,
    PROPOSAL_PREFIX,
    AddCompany,
    Expel,
    Proposal,
    RotateConsensus,
    proposal_codec,
    read_admission,
    read_openings,
    read_proposal,
    request_codec,
)
from ledger.governance.refusal import Refused
from ledger.registry.epochs import EpochRecord, last_epoch, read_epoch
from ledger.registry.lookup import companies, read_node
from ledger.registry.records import company_id
from ledger.state import StateView
from node.api import shapes
from node.api.call import Answer, Call, Handler
from node.api.ports import ConsensusStatus, NodeService
from node.api.problems import invalid
from node.api.sentences import able_to_vote, linked, name_list, say

PROPOSALS_MAX: Final = 1_000
"""Proposals listed at once: those that are open, and the newest of the others."""
SCANNED_MAX: Final = 20_000
"""Closed proposals looked at for one list; they lie in the state by their ids, not by their age."""
SCAN_STEP: Final = 256
"""Proposals between two turns of the loop."""
_PROPOSALS_END: Final = PROPOSAL_PREFIX[:-1] + bytes([PROPOSAL_PREFIX[-1] + 1])


class EffectRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`payload`: canonical bytes of the kind, base64."""

    kind: str
    payload: str


async def epochs(call: Call) -> Answer:
    """Every epoch with its members; how each past one ended, for whoever follows them offline (P85)."""
    view, service = call.view, call.service
    ends = dict(enumerate(service.epoch_ends()))
    items = []
    for number in range(last_epoch(view).epoch + 1):
        record = read_epoch(view, number)
        if record is not None:
            end = ends.get(number)
            items.append({**_epoch(record, service), "end": "" if end is None else b64encode(encode(end)).decode()})
    now = service.consensus().epoch
    return Answer(content={"epoch": now, "items": items})


def _epoch(record: EpochRecord, service: NodeService) -> dict[str, Any]:
    return {
        "epoch": record.epoch,
        "first_height": record.first_height,
        "decided_height": record.decided_height,
        "quorum": quorum(len(record.members)),
        "members_hash": record.members_hash.hex(),
        "members": [
            {
                "company": shapes.company(member.company_id, service.names),
                "node": member.node_id,
                "consensus_key": member.consensus_key.hex(),
                "proposes": member.in_rotation,
            }
            for member in record.members
        ],
    }


async def proposals(call: Call) -> Answer:
    """What was proposed, newest first, with the votes that count now (S22)."""
    view, names = call.view, call.service.names
    items = []
    for proposal in await listed(view):
        votes = tally(view, proposal, view.height + 1)
        over = proposal.status == OPEN and proposal.expires_height <= view.height
        items.append(
            {
                "id": proposal.proposal_id.hex(),
                "kind": proposal.kind,
                "company": shapes.company(proposal.company_id, names),
                "about": [shapes.company(company, names) for company in _about(view, proposal)],
                "status": "expired" if over else proposal.status,
                "opened_height": proposal.opened_height,
                "expires_height": proposal.expires_height,
                "approving": [shapes.company(company, names) for company in votes.approving],
                "refusing": [shapes.company(company, names) for company in votes.refusing],
                "quorum": quorum(votes.members),
                "payload": b64encode(proposal.payload).decode(),
            }
        )
    return Answer(content={"items": items})


async def listed(view: StateView, kinds: Collection[str] = tuple(PAYLOADS)) -> list[Proposal]:
    """Return the proposals of these kinds, the newest first; one that is open is never left out (P119)."""
    found: dict[bytes, Proposal] = {}
    for company in companies(view):
        for proposal_id in read_openings(view, company.company_id):
            opened = read_proposal(view, proposal_id)
            if opened is not None:
                found[proposal_id] = opened
    low, left = PROPOSAL_PREFIX, SCANNED_MAX
    while left > 0 and (keys := view.scan(low, _PROPOSALS_END, min(SCAN_STEP, left))):
        for key in keys:
            proposal = proposal_codec.decode(view.get(key) or b"")
            found[proposal.proposal_id] = proposal
        low, left = keys[-1] + b"\x00", left - len(keys)
        await asyncio.sleep(0)
    chosen = [item for item in found.values() if item.kind in kinds]
    chosen.sort(key=lambda item: (item.status != OPEN, -item.opened_height))
    return sorted(chosen[:PROPOSALS_MAX], key=lambda item: -item.opened_height)


def _about(view: StateView, proposal: Proposal) -> tuple[str, ...]:
    """Return the companies that a proposal would add, remove or change."""
    payload = PAYLOADS[proposal.kind].decode(proposal.payload) if proposal.kind != "contract" else None
    if isinstance(payload, AddCompany):
        return (company_id(request_codec.decode(payload.request).root),)
    if isinstance(payload, Expel):
        return payload.companies
    if isinstance(payload, RotateConsensus):
        node = read_node(view, payload.node_id)
        return () if node is None else (node.company_id,)
    named = getattr(payload, "company_id", "")
    return (named,) if named else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Which of the members after a change this node could count on now; a fact of its links, which no rule asks for.

    `absent`: companies of all others, in the order of the members.
    """

    present: int
    unreachable: tuple[str, ...]
    voteless: tuple[str, ...]
    absent: tuple[str, ...]
    stops: bool
    """The set changes, and too few of the new one are there to decide: blocks would end with its first height."""


def standing(found: Effect, now: ConsensusStatus) -> Standing:
    """Return how the network would stand after a change if every node stayed as it is.

    A joiner is not counted, as in P116: the network must bear it if it never comes up. A member that gets a new key
    votes with it, whatever became of the old one, if its node is there.
    """
    before = {member.company_id: member.consensus_key for member in found.members_before}
    seen = {member.company_id: member for member in now.members}
    unreachable, voteless, absent = [], [], []
    for member in found.members_after:
        company = member.company_id
        known = seen.get(company)
        if company not in before:
            absent.append(company)
        elif known is None or not linked(known, now):
            unreachable.append(company)
            absent.append(company)
        elif member.consensus_key == before[company] and not able_to_vote(known, now):
            voteless.append(company)
            absent.append(company)
    present = len(found.members_after) - len(absent)
    moved = set(before) != {member.company_id for member in found.members_after}
    return Standing(
        present=present,
        unreachable=tuple(unreachable),
        voteless=tuple(voteless),
        absent=tuple(absent),
        stops=moved and present < found.quorum_after,
    )


async def effect(call: Call) -> Answer:
    """What accepting a proposal would do to members and quorum, who would be missing, and the refusal if any (P116).

    `stops` says that the members of the new set that are there now are too few for its quorum. The chain cannot know
    that and would accept the change, and nobody could take it back.
    """
    try:
        wanted = msgspec.json.decode(call.body, type=EffectRequest)
    except msgspec.MsgspecError as error:
        raise invalid("", f"the body is not a proposal: {error}") from None
    if wanted.kind not in PAYLOADS or wanted.kind == "contract":
        raise invalid("/kind", f"{wanted.kind[:40]!r} does not change the members")
    try:
        payload = b64decode(wanted.payload, validate=True)
        PAYLOADS[wanted.kind].decode(payload)
        draft = Proposal(bytes(32), wanted.kind, payload, call.principal.company_id, 0, 0, OPEN, 0)
        found = effect_of(call.view, draft)
    except (ValueError, LedgerError) as error:
        raise invalid("/payload", f"the payload of {wanted.kind} does not decode: {error}") from None
    except Refused as refusal:
        raise invalid("/payload", refusal.text) from None
    names = call.service.names
    stand = standing(found, call.service.consensus())
    sentence = ""
    if stand.stops:
        listed = name_list([names.get(company, company) for company in stand.absent], call.language)
        sentence = say(
            "effect.stops",
            call.language,
            n=len(found.members_after),
            present=stand.present,
            q=found.quorum_after,
            names=listed,
        )
    before = [member.company_id for member in found.members_before]
    after = [member.company_id for member in found.members_after]
    return Answer(
        content={
            "kind": wanted.kind,
            "members_before": [shapes.company(company, names) for company in before],
            "members_after": [shapes.company(company, names) for company in after],
            "quorum_before": found.quorum_before,
            "quorum_after": found.quorum_after,
            "faults_before": found.faults_before,
            "faults_after": found.faults_after,
            "missing": [shapes.company(company, names) for company in found.missing],
            "unreachable": [shapes.company(company, names) for company in stand.unreachable],
            "voteless": [shapes.company(company, names) for company in stand.voteless],
            "present_after": stand.present,
            "stops": stand.stops,
            "sentence": sentence,
            "refused": [{"code": item.code, "rule": item.rule, "text": item.text} for item in found.refused],
        }
    )


async def admission(call: Call) -> Answer:
    """The own node: the consensus key that waits for `ready`, the block it would name (S22.8), its TLS pins (S23)."""
    view, service = call.view, call.service
    own = read_node(view, service.node_id)
    waiting = read_admission(view, service.node_id)
    head = service.head(view.height)
    return Answer(
        content={
            "node": service.node_id,
            "waiting": None if waiting is None else {"consensus_key": waiting.consensus_key.hex()},
            "block": None if head is None else {"height": view.height, "id": head.block_id.hex()},
            "in_sync": not {"syncing", "behind"} & {*service.not_ready()},
            "tls": [
                {"spki_sha256": pin.spki_sha256.hex(), "certificate": b64encode(pin.certificate_der).decode()}
                for pin in (own.tls if own is not None else ())
            ],
        }
    )


HANDLERS: Final[Mapping[str, Handler]] = {
    "epochs": epochs,
    "proposals": proposals,
    "effect": effect,
    "admission": admission,
}
