"""Operations about the node and the network: status, members, agreement, programs, companies, users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ledger.certificate import faults, quorum
from ledger.registry.epochs import members_at
from ledger.registry.lookup import COMPANY_PREFIX, USER_PREFIX, read_company, read_nonces, read_user
from ledger.registry.records import company_codec, user_codec
from ledger.state import StateView
from node.api import shapes
from node.api.call import Answer, Call, Handler
from node.api.ports import ConsensusStatus, Interface, MemberStatus, NodeService
from node.api.problems import not_found
from node.api.routes import OPERATIONS
from node.api.sentences import behind, node_sentence, reachable_members, stalled, why

FEATURES: Final = ("batch-submit", "events", "state-proofs", "receipt-proofs", "books", "search")
SCAN_MAX: Final = 1_000
"""Companies or users listed at once; a league is smaller."""


async def status(call: Call) -> Answer:
    """What everybody may know: versions, features, heights and whether the node is ready."""
    service, now = call.service, call.service.consensus()
    return Answer(
        content={
            "version": service.version,
            "protocol": service.protocol,
            "network": service.network,
            "production": service.production,
            "chain_id": service.chain_id.hex(),
            "node": service.node_id,
            "company": shapes.company(service.company_id, service.names),
            "started": shapes.instant(service.started_ms),
            "height_committed": now.height,
            "height_executed": now.executed_height,
            "height_durable": service.event_height(),
            "epoch": now.epoch,
            "view": now.view,
            "mode": now.mode,
            "members": len(now.members),
            "quorum": quorum(len(now.members)),
            "reachable": reachable_members(now),
            "ready": not service.not_ready(),
            "not_ready": list(service.not_ready()),
            "stalled": stalled(now),
            "sentence": node_sentence(now, service.names, call.language),
            "features": list(FEATURES),
            "operations": [f"{operation.method} {operation.path}" for operation in OPERATIONS],
        },
        of_state=False,
    )


async def network(call: Call) -> Answer:
    """The members as this node sees them, the quorum sentence, and what the programs are."""
    service, now = call.service, call.service.consensus()
    return Answer(content=network_content(service, now, call.language), of_state=False)


def network_content(service: NodeService, now: ConsensusStatus, language: str) -> dict[str, Any]:
    """Return the content of `network`; the live page is made from it too."""
    n = len(now.members)
    return {
        "network": service.network,
        "production": service.production,
        "chain_id": service.chain_id.hex(),
        "view": now.view,
        "mode": now.mode,
        "n": n,
        "f": faults(n),
        "quorum": quorum(n),
        "reachable": reachable_members(now),
        "sentence": node_sentence(now, service.names, language),
        "flowing": reachable_members(now) >= quorum(n) and now.mode in ("normal", "learner") and not behind(now),
        "height_committed": now.height,
        "height_executed": now.executed_height,
        "last_block": shapes.instant(now.last_block_ms),
        "last_block_age_ms": max(0, now.wall_ms - now.last_block_ms) if now.last_block_ms else None,
        "waiting": now.waiting,
        "oldest_waiting_ms": now.oldest_waiting_ms,
        "view_changes": now.view_changes,
        "currencies": [{"code": code, "decimals": decimals} for code, decimals in service.currencies.items()],
        "members": [_member(member, now, service) for member in now.members],
        "evidence": [
            {"company": shapes.company(now.members[index].company_id, service.names), "kind": kind}
            for index, kind in now.evidence
            if 0 <= index < n
        ],
    }


def _member(member: MemberStatus, now: ConsensusStatus, service: NodeService) -> dict[str, Any]:
    return {
        "index": member.index,
        "company": shapes.company(member.company_id, service.names),
        "node": member.node_id,
        "self": member.is_self,
        "role": "leader" if member.index == now.primary else "replica",
        "connected": member.connected or member.is_self,
        "problem": "" if member.connected or member.is_self else member.problem,
        "address": member.address,
        "view": member.view,
        "height": member.height,
        "height_executed": member.executed_height,
        "lag": max(0, now.height - member.height) if member.last_heard_ms or member.is_self else None,
        "mode": member.mode,
        "last_heard": shapes.instant(member.last_heard_ms),
        "round_trip_ms": member.round_trip_ms or None,
        "doubts_leader": member.index in now.suspects,
        "rejected": dict(sorted(member.rejected.items())),
        "fault": member.fault,
        "fault_at": shapes.instant(member.fault_ms),
    }


async def consensus(call: Call) -> Answer:
    """Where agreement stands: the network answer, and the slot after the last block."""
    service, now = call.service, call.service.consensus()
    content = network_content(service, now, call.language)
    content.update(
        epoch=now.epoch,
        target_view=now.view,
        halt_reason=now.halt_reason,
        vote_problem=now.vote_problem,
        block=now.block_id.hex(),
        leader=shapes.company(now.members[now.primary].company_id, service.names)
        if 0 <= now.primary < len(now.members)
        else None,
        voting=now.own_index is not None and now.mode in ("normal", "changing"),
        phase=now.phase,
        refusal=now.refusal or None,
        timer=now.timer or None,
        timer_ends=shapes.instant(now.timer_ends_ms),
        waiting_bytes=now.waiting_bytes,
        suspects=list(now.suspects),
    )
    return Answer(content=content, of_state=False)


async def why_nothing(call: Call) -> Answer:
    """Why is nothing happening? The same text as the command line and the page (U21)."""
    language = call.query.text("lang", call.language)
    answer = why(call.service.consensus(), call.service.names, language)
    return Answer(
        content={
            "headline": answer.headline,
            "flowing": answer.flowing,
            "members": [
                {
                    "company": {"id": line.company_id, "name": line.name},
                    "connected": line.connected,
                    "votes": line.votes,
                    "link": line.link,
                    "seen": line.seen,
                }
                for line in answer.members
            ],
            "state": answer.state,
            "next": answer.next,
            "language": language,
        },
        of_state=False,
    )


async def contracts(call: Call) -> Answer:
    """The programs of the next block, or of the one after `at_height`, each after those it uses."""
    found = call.service.interfaces_at(call.view)
    return Answer(content={"items": [_program(program) for program in found.values()]})


async def contract(call: Call) -> Answer:
    """One program: what it stores, emits and can be asked to do, and its source."""
    program = call.service.interfaces.get(call.path["contract"])
    if program is None:
        raise not_found()
    source = call.service.sources.get(program.name)
    return Answer(
        content={
            **_program(program),
            "tables": {
                name: {"key": _fields(table.key), "fields": _fields(table.fields)}
                for name, table in program.tables.items()
            },
            "events": {name: _fields(event.fields) for name, event in program.events.items()},
            "actions": {name: _method(method) for name, method in program.actions.items()},
            "queries": {name: _method(method) for name, method in program.queries.items()},
            "source": source.decode("utf-8", "replace") if source is not None else None,
        }
    )


def _program(program: Interface) -> dict[str, Any]:
    return {
        "name": program.name,
        "version": program.version,
        "code_id": program.code_id.hex(),
        "ir_hash": program.ir_hash.hex(),
        "actions_count": len(program.actions),
        "tables_count": len(program.tables),
    }


def _fields(fields: Any) -> list[dict[str, str]]:
    return [{"name": field.name, "type": str(field.type)} for field in fields]


def _method(method: Any) -> dict[str, Any]:
    return {
        "params": _fields(method.params),
        "result": None if method.result is None else str(method.result.type),
        "authority": method.authority,
        "worst_gas": method.worst_gas,
    }


async def companies(call: Call) -> Answer:
    """All registered companies, with roles and status; names come from the directory (S18).

    Members are those that decide the block after the height that is shown.
    """
    keys = call.view.scan(COMPANY_PREFIX, _after(COMPANY_PREFIX), SCAN_MAX)
    members = {member.company_id for member in members_at(call.view, call.view.height + 1)}
    items = []
    for key in keys:
        record = company_codec.decode(call.view.get(key) or b"")
        items.append(
            {
                **shapes.company(record.company_id, call.service.names),
                "status": record.status,
                "roles": list(record.roles),
                "member": record.company_id in members,
                "own": record.company_id == call.principal.company_id,
                "joined_height": record.joined_height,
            }
        )
    return Answer(content={"items": sorted(items, key=lambda item: str(item["name"]))})


async def users(call: Call) -> Answer:
    """The registered users of the caller's company with the next free nonce of each (LR3)."""
    keys = call.view.scan(USER_PREFIX, _after(USER_PREFIX), SCAN_MAX)
    items = []
    for key in keys:
        record = user_codec.decode(call.view.get(key) or b"")
        if record.company_id != call.principal.company_id:
            continue
        items.append(
            {
                "user": record.user_id,
                "label": call.service.people.get(record.user_id, ""),
                "company": shapes.company(record.company_id, call.service.names),
                "roles": list(record.roles),
                "status": record.status,
                "valid_to": shapes.instant(record.valid_to_ms),
                "public_key": record.public_key.hex(),
                "next_nonce": next_nonce(call.view, record.user_id),
            }
        )
    return Answer(content={"items": items})


async def whoami(call: Call) -> Answer:
    """The caller: token, user, company, roles and scopes."""
    principal = call.principal
    user = read_user(call.view, principal.user_id)
    company = read_company(call.view, principal.company_id)
    token = call.service.tokens.in_force(principal.token_id, call.wall_ms)
    return Answer(
        content={
            "kind": principal.kind,
            "token": principal.token_id,
            "label": principal.label,
            "user": principal.user_id,
            "person": call.service.people.get(principal.user_id, ""),
            "company": shapes.company(principal.company_id, call.service.names),
            "roles": list(user.roles) if user is not None else [],
            "company_roles": list(company.roles) if company is not None else [],
            "scopes": sorted(principal.scopes),
            "expires": shapes.instant(token.expires_ms) if token is not None else None,
            "next_nonce": next_nonce(call.view, principal.user_id),
        }
    )


def next_nonce(view: StateView, user_id: str) -> int:
    """Return the lowest number the user has not used yet (LR3)."""
    window = read_nonces(view, user_id)
    bits = int.from_bytes(window.marks, "little")
    offset = 0
    while bits >> offset & 1:
        offset += 1
    return window.floor + 1 + offset


def _after(prefix: bytes) -> bytes:
    """Return the first key after all keys with this prefix."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


HANDLERS: Final[Mapping[str, Handler]] = {
    "status": status,
    "network": network,
    "consensus": consensus,
    "why": why_nothing,
    "contracts": contracts,
    "contract": contract,
    "companies": companies,
    "users": users,
    "whoami": whoami,
}
