"""Puts a charge at the start of every run of statements without branch or loop (G1, G2).

Door: `lower(module) -> Module`. A run ends with the `if` or loop it leads to, and pays for its first condition or for
the beginning of its scan. Nothing else changes, so the checked tree and the lowered one mean the same.
"""

from __future__ import annotations

from msgspec.structs import replace

from contracts import ir
from contracts.gas import EMIT, INVARIANT, LIST_CHANGE, LOOP, MAP_STEP, SCAN, STEP, WRITE, price


def lower(module: ir.Module) -> ir.Module:
    """Return `module` with charges."""
    lowered = replace(
        module,
        invariants=tuple(_invariant(item) for item in module.invariants),
        routines=tuple(_routine(item) for item in module.routines),
    )
    if isinstance(lowered, ir.Extended):
        return replace(
            lowered,
            migrations=tuple(
                replace(item, charge=sum(price(value) for value in item.values)) for item in lowered.migrations
            ),
            schedules=tuple(_schedule(item) for item in lowered.schedules),
        )
    return lowered


def _schedule(item: ir.Schedule) -> ir.Schedule:
    return replace(item, charge=STEP if item.where is None else STEP + price(item.where), body=_block(item.body))


def _routine(item: ir.Routine) -> ir.Routine:
    parts = [part for demand in item.demands for part in (demand.party, demand.apart) if part is not None]
    lowered = replace(item, charge=sum(price(part) for part in parts), body=_block(item.body))
    if isinstance(lowered, ir.Assured):
        ensures = tuple(
            replace(one, charge=STEP + price(one.condition), text_charge=price(one.text)) for one in lowered.ensures
        )
        return replace(lowered, old_charge=sum(price(value) for _, value in lowered.olds), ensures=ensures)
    return lowered


def _invariant(item: ir.EachInvariant | ir.SumInvariant) -> ir.EachInvariant | ir.SumInvariant:
    if isinstance(item, ir.EachInvariant):
        return replace(item, charge=INVARIANT + price(item.condition))
    return item


def _block(block: ir.Block) -> ir.Block:
    done: list[ir.Statement] = []
    run: list[ir.Statement] = []
    units = 0
    for statement in block:
        cost, lowered = _statement(statement)
        run.append(lowered)
        units += cost
        if isinstance(lowered, ir.If | ir.For | ir.Loop):
            done += [ir.Charge(run[0].line, units), *run]
            run, units = [], 0
    if run:
        done += [ir.Charge(run[0].line, units), *run]
    return tuple(done)


def _statement(item: ir.Statement) -> tuple[int, ir.Statement]:
    """Return what the run pays for `item`, and `item` with charges inside."""
    match item:
        case ir.Assign() | ir.Perform():
            return STEP + price(item.value), item
        case ir.Return():
            return STEP + (0 if item.value is None else price(item.value)), item
        case ir.Require():
            return STEP + price(item.condition), replace(item, charge=price(item.text))
        case ir.Insert():
            return WRITE + sum(price(value) for _, value in item.values), item
        case ir.Update():
            return WRITE + sum(price(key) for key in item.keys) + sum(price(value) for _, value in item.sets), item
        case ir.Delete():
            return WRITE + sum(price(key) for key in item.keys), item
        case ir.Emit():
            return EMIT + sum(price(value) for _, value in item.values), item
        case ir.If():
            return STEP + price(item.branches[0].condition), _if(item)
        case ir.For():
            scan = item.scan
            charge = 0 if scan.filter is None else STEP + price(scan.filter)
            lowered = replace(item, scan=replace(scan, filter_charge=charge), body=_block(item.body))
            return SCAN + sum(price(start) for start in scan.starts), lowered
        case ir.SetElement():
            step = LIST_CHANGE if item.kind.kind == "list" else MAP_STEP
            return step + price(item.key) + price(item.value), item
        case ir.Append():
            return LIST_CHANGE + price(item.value), item
        case ir.Remove():
            return MAP_STEP + price(item.key), item
        case ir.Loop():
            return LOOP + price(item.source), replace(item, body=_block(item.body))
        case _:
            return STEP, item


def _if(item: ir.If) -> ir.If:
    branches = tuple(
        replace(branch, charge=0 if at == 0 else STEP + price(branch.condition), body=_block(branch.body))
        for at, branch in enumerate(item.branches)
    )
    return replace(item, branches=branches, otherwise=_block(item.otherwise))
