"""The kinds about contracts: a plan is proposed, agreed on by q companies, and active some blocks later (L57-L61).

When it is proposed only names and sizes are tested (L58): each company's node compiles the sources by itself and its
people see code id, IR hash, and who may call what. The engine of the ledger examines a plan once, when it has its
votes; an IR hash that differs from the one that was voted on, or a program that does not link, closes the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from ledger.codec import encode
from ledger.genesis import CONTRACT_LANGUAGE, ContractMeta, code_id, contract_key
from ledger.governance.act import Act, read_params
from ledger.governance.network import activation_height
from ledger.governance.programs import (
    CONTRACTS_MAX,
    INDEX_ROWS_MAX,
    SOURCE_BYTES_MAX,
    VERSIONS_MAX,
    Entries,
    Examined,
    Lineage,
    Stop,
    active_contracts,
    code_key,
    contract_at,
    contract_names,
    index_blocks,
    is_stopped,
    stop_key,
    stored_source,
    version_key,
    versions,
)
from ledger.governance.records import (
    ContractPlan,
    InstallContracts,
    Proposal,
    RearmSchedule,
    ResumeContract,
    SuspendContract,
    plan_codec,
)
from ledger.governance.refusal import Refused, need, short
from ledger.ids import HASH_BYTES
from ledger.registry.lookup import ACTIVE, Getter
from ledger.transaction import RESERVED_CONTRACTS

CONTRACTS_PER_PLAN: Final = 8
"""Contracts that change together; a transaction holds 128 KiB of sources anyway."""
DELAY_MAX: Final = 100_000
"""Heights between acceptance and activation; who needs more proposes later."""
NAME_MAX: Final = 40


def propose_contracts(act: Act, payload: InstallContracts) -> ContractPlan:
    """Store the sources once and return the plan that is voted on; only sizes and names are tested (L58)."""
    names = [item.name for item in payload.contracts]
    need(
        0 < len(names) <= CONTRACTS_PER_PLAN,
        "limit_exceeded",
        "L58",
        f"{len(names)} contracts; a plan has 1 to {CONTRACTS_PER_PLAN}",
    )
    ordered = all(before < after for before, after in pairwise(names))
    need(ordered, "bad_argument", "L58", "the contracts are repeated or not sorted by name; sort them")
    need(payload.delay_heights <= DELAY_MAX, "bad_argument", "L59", f"a delay above {DELAY_MAX} heights")
    for item in payload.contracts:
        name = item.name
        good = 0 < len(name) <= NAME_MAX and name.isascii() and name.replace("_", "a").isalnum()
        need(good and name == name.lower(), "bad_argument", "L57", f"{short(name)} is not a contract name")
        need(name not in RESERVED_CONTRACTS, "bad_argument", "LR1", f"the name {name} is reserved for the ledger")
        size = len(item.source)
        need(
            0 < size <= SOURCE_BYTES_MAX,
            "limit_exceeded",
            "L58",
            f"the source of {short(name)} has {size} bytes; 1 to {SOURCE_BYTES_MAX} are possible",
        )
        need(len(item.ir_hash) == HASH_BYTES, "bad_argument", "L58", f"the IR hash of {short(name)} is no hash")
    for item in payload.contracts:
        key = code_key(code_id(item.source))
        if act.rows.get(key) is None:
            act.rows.put(key, encode(item.source))
    planned = tuple((item.name, code_id(item.source), item.ir_hash) for item in payload.contracts)
    return ContractPlan(planned, payload.delay_heights)


def apply_contracts(act: Act, proposal: Proposal) -> None:
    """Fix the height from which the plan runs, if the engine agrees (L59); else `Refused` with `refused_by_engine`."""
    plan = plan_codec.decode(proposal.payload)
    waiting = [meta.active_from for name in contract_names(act.rows) for meta in versions(act.rows, name)]
    # After every plan that was accepted earlier, and at a height of its own: a source runs with what it was examined.
    active_from = max(activation_height(act) + plan.delay_heights, *(height + 1 for height in waiting), 0)
    examined = _examine(act, plan, active_from)
    _need_time_for_indexes(act, tuple(examined.values()), active_from)
    for name, code, ir_hash in plan.contracts:
        found = examined[name]
        meta = ContractMeta(name, found.version, CONTRACT_LANGUAGE, code, ir_hash, active_from, ACTIVE)
        for before in versions(act.rows, name):
            act.put(version_key(name, before.version), before)
        act.put(version_key(name, found.version), meta)
        act.put(contract_key(name), meta)
        act.emit("ContractAccepted", name, found.version, code, ir_hash, active_from)


def _need_time_for_indexes(act: Act, examined: Sequence[Examined], active_from: int) -> None:
    """Refuse a plan whose new indexes cannot be built, a part in each block, before it begins (L59)."""
    rows = 0
    for item in examined:
        for low, high in item.indexed:
            rows += len(act.rows.scan(low, high, INDEX_ROWS_MAX + 1))
    need(
        rows <= INDEX_ROWS_MAX,
        "refused_by_engine",
        "L59",
        f"new indexes over more than {INDEX_ROWS_MAX} rows; index them in a new table",
    )
    missing = index_blocks(rows) - (active_from - act.height - 1)
    need(
        missing <= 0,
        "refused_by_engine",
        "L59",
        f"indexes over {rows} rows need {index_blocks(rows)} blocks; propose it with {missing} more of delay",
    )


def delay_for_indexes(rows: Getter, count: int) -> int:
    """Return the least delay of a plan that brings indexes over `count` rows; without one it has L + W blocks."""
    params = read_params(rows)
    return max(0, index_blocks(count) - params.exec_lag - params.window)


def check_suspend_contract(act: Act, payload: SuspendContract) -> None:
    _need_contract(act, payload.name)
    need(
        not is_stopped(act.rows, payload.name),
        "conflict",
        "L60",
        f"contract {short(payload.name)} is suspended already",
    )


def apply_suspend_contract(act: Act, proposal: Proposal, payload: SuspendContract) -> None:
    check_suspend_contract(act, payload)
    act.put(stop_key(payload.name), Stop(payload.name, act.height, proposal.proposal_id))
    act.emit("ContractSuspended", payload.name)


def check_resume_contract(act: Act, payload: ResumeContract) -> None:
    _need_contract(act, payload.name)
    need(is_stopped(act.rows, payload.name), "conflict", "L60", f"contract {short(payload.name)} is not suspended")


def apply_resume_contract(act: Act, payload: ResumeContract) -> None:
    check_resume_contract(act, payload)
    act.rows.delete(stop_key(payload.name))
    act.emit("ContractResumed", payload.name)


def check_rearm_schedule(act: Act, payload: RearmSchedule) -> Entries:
    """Return the entries of this block; one of them is parked as the order says."""
    _need_contract(act, payload.contract)
    named = f"{short(payload.contract)}.{short(payload.schedule)}"
    # A zero byte ends a name in the keys of entries; names of the language have none.
    clean = payload.schedule.isascii() and "\x00" not in payload.schedule
    parked = (
        clean and act.entries is not None and act.entries.is_parked(payload.contract, payload.schedule, payload.key)
    )
    if act.entries is None or not parked:
        raise Refused("not_found", "L55", f"no entry of {named} is parked with this key; list those that are")
    return act.entries


def apply_rearm_schedule(act: Act, payload: RearmSchedule) -> None:
    check_rearm_schedule(act, payload).rearm(payload.contract, payload.schedule, payload.key)
    act.emit("ScheduleRearmed", payload.contract, payload.schedule, payload.key)


def _examine(act: Act, plan: ContractPlan, active_from: int) -> dict[str, Examined]:
    if act.examiner is None:
        raise Refused("refused_by_engine", "L58", "the engine of this network takes no contracts by vote")
    planned = {item.meta.name: item.lineage for item in active_contracts(act.rows, _far(act))}
    for name, code, _ in plan.contracts:
        before = planned[name].versions if name in planned else ()
        planned[name] = Lineage(name, (*before, (active_from, stored_source(act.rows, code))))
    need(len(planned) <= CONTRACTS_MAX, "limit_exceeded", "L57", f"{len(planned)} contracts, at most {CONTRACTS_MAX}")
    verdict = act.examiner.examine([planned[name] for name in sorted(planned)])
    if isinstance(verdict, str):
        raise Refused("refused_by_engine", "L59", verdict)
    examined: dict[str, Examined] = {}
    for name, code, ir_hash in plan.contracts:
        found = verdict.get(name)
        if found is None or found.code_id != code:
            raise Refused("refused_by_engine", "L57", f"the source of {short(name)} is that of another contract")
        need(
            found.ir_hash == ir_hash,
            "refused_by_engine",
            "L58",
            f"{short(name)} compiles to {short(found.ir_hash)}, the vote was on {short(ir_hash)}; propose it again",
        )
        known = versions(act.rows, name)
        need(len(known) < VERSIONS_MAX, "limit_exceeded", "L57", f"{short(name)} has {len(known)} versions already")
        last = known[-1].version if known else 0
        need(
            found.version == last + 1 if known else found.version >= 1,
            "refused_by_engine",
            "L61",
            f"{short(name)} is at version {last}, the plan brings {found.version}; the next one is {last + 1}",
        )
        examined[name] = found
    return examined


def _far(act: Act) -> int:
    """Return a height at which everything accepted so far runs."""
    return act.height + 2 * DELAY_MAX


def _need_contract(act: Act, name: str) -> None:
    known = contract_at(act.rows, name, act.height)
    need(known is not None, "not_found", "L57", f"there is no active contract {short(name)}; check the name")
