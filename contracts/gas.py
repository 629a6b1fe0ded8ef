"""Prices of language 1, and the worst case of every entry (G1-G6, section 16).

`price` is what a basic block pays for an expression before it runs. Work whose size is known only at run time pays
its extra by the constants below; the interpreter and `worst` use the same ones. One unit is one small-integer
operation of the closure interpreter (G3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from contracts import ir
from contracts.cost import NOTHING, Cost, gas
from contracts.interface import Interface
from contracts.limits import ID_CHARS, INT_BITS, SIGNERS, TX_ARGUMENT_BYTES
from contracts.types import ELEMENT_BYTES, Many, Type, memory_bytes, wire_bytes

STEP: Final = 1
"""Statement, slot, constant, field, `and` `or` `not`, branch."""
TIMES: Final = 2
DIVIDE: Final = 4
DATE_STEP: Final = 12
NEW_ID: Final = 20
TEXT: Final = 4
CHARS_BUILT: Final = 16
"""Code points of a built text per unit."""
CHARS_COMPARED: Final = 32
MEMBER_OF_LIST: Final = 2
MEMBERS_COMPARED: Final = 4
"""Values of a list that `in` passes per unit. Money, whose currency is tested first, and what has parts: one a unit."""
LIST_INDEX: Final = 2
LIST_CHANGE: Final = 4
"""Append, a changed place, and a copy before what it copies."""
COPY_BYTES: Final = 64
"""Counted bytes of a copied list or map per unit."""
MAP_STEP: Final = 12
"""Reading, writing or removing one entry; 1 more per KEY_BYTES of its key."""
KEY_BYTES: Final = 32
LOOP: Final = 2
LOOP_TURN: Final = 2
MAP_TURN: Final = 4
"""One entry of a map in key order; the sorting pays 1 more per doubling of its size."""
LIFT: Final = 1
RATIO_SUM: Final = 6
RATIO_PRODUCT: Final = 4
RATIO_COMPARE: Final = 5
ROUND: Final = 8
ROUND_WIDE: Final = 12
SHARE: Final = 10
SHARE_PART: Final = 6
INVOKE: Final = 6
CALL_OUT: Final = 20
ARGUMENT_BYTES: Final = 32
"""Counted bytes of arguments per unit (G6 sizes: scalar 16, money 32, text 16 and 4 a code point)."""
ARGUMENT_MEMORY: Final = ELEMENT_BYTES + 16
"""Counted memory of one byte of an argument at most: a small int in a list."""
QUESTION: Final = 60
"""One question to `decide` or `company_has`."""
READ: Final = 40
READ_BYTES: Final = 32
EXISTS: Final = 30
SCAN: Final = 60
SCAN_KEY: Final = 10
WRITE: Final = 200
WRITE_BYTES: Final = 16
INDEX_ENTRY: Final = 40
EMIT: Final = 40
EMIT_BYTES: Final = 16
INVARIANT: Final = 4
QUESTIONS_PER_DEMAND: Final = SIGNERS
"""Bounds the backtracking of one `by` clause: demands times this many questions, then refused (H7)."""

_BUILTINS: Final = {
    "min": 1, "max": 1, "abs": 1, "count": 1, "floor_div": DIVIDE, "mod": DIVIDE, "money_of": 1, "default": 1,
    "value_of": 1, "starts_with": 1,
}  # fmt: skip
_DATES: Final = (
    "days_between", "end_of_month", "add_months", "year_of", "month_of", "day_of", "weekday",
)  # fmt: skip


def price(expr: ir.Expr) -> int:
    """Return the units paid for `expr` by the charge of its run, its parts included."""
    own = STEP
    wide = 2 if any(_wide(child) for child in ir.children(expr)) else 1
    match expr:
        case ir.Negate() | ir.Compare():
            own = wide
        case ir.Logic():
            own = len(expr.operands) - 1
        case ir.Sum():
            own = wide * len(expr.rest)
        case ir.Product():
            own = wide * TIMES * (len(expr.operands) - 1)
        case ir.OneOf():
            own = MEMBER_OF_LIST + wide * len(expr.items)
        case ir.DayShift():
            own = DATE_STEP
        case ir.Exists():
            own = EXISTS
        case ir.ReadRow():
            own = READ
        case ir.HasRole():
            own = 0  # each question pays when it is asked
        case ir.Join():
            return TEXT + len(expr.parts)
        case ir.Invoke():
            own = INVOKE + len(expr.args)
        case ir.CallOut():
            own = CALL_OUT
        case ir.Lift():
            own = LIFT
        case ir.RatioSum():
            own = wide * RATIO_SUM
        case ir.RatioProduct():
            own = wide * RATIO_PRODUCT
        case ir.RatioCompare():
            own = wide * RATIO_COMPARE
        case ir.Round():
            own = ROUND if wide == 1 and not expr.places else ROUND_WIDE
        case ir.YearFraction():
            own = DATE_STEP
        case ir.MaybeRow():
            own = READ
        case ir.Copy():
            own = LIST_CHANGE
        case ir.Element():
            own = LIST_INDEX
        case ir.Entry():
            own = MAP_STEP
        case ir.Within():
            own = MAP_STEP if expr.of.type.kind == "map" else MEMBER_OF_LIST
        case ir.ListOf() | ir.RecordOf():
            own = STEP + len(expr.items)
        case ir.Builtin() if expr.name in _DATES:
            own = DATE_STEP
        case ir.Builtin(name="split" | "share"):
            own = SHARE
        case ir.Builtin(name="new_id"):
            own = NEW_ID
        case ir.Builtin(name="company_has"):
            own = QUESTION
        case ir.Builtin():
            own = wide * _BUILTINS[expr.name]
    return own + sum(price(child) for child in ir.children(expr))


def _wide(expr: ir.Expr) -> bool:
    """Tell whether a value can need more than 63 bits, above or below the line."""
    return expr.width > INT_BITS or (isinstance(expr, ir.Unrounded) and expr.below > INT_BITS)


def map_turns(count: int) -> int:
    """Return the units for visiting `count` entries of a map in key order."""
    return count * (MAP_TURN + count.bit_length())


def argument_bytes(kinds: Sequence[Type]) -> int:
    """Return the fixed part of the counted bytes of arguments; each text adds four a code point, lists and their kin
    are counted as they are."""
    plain = [kind for kind in kinds if not isinstance(kind, Many)]
    return sum(16 if kind.kind == "text" else memory_bytes(kind) for kind in plain)


def row_bytes(decl: ir.TableDecl) -> int:
    """Return the largest stored form of a row."""
    return 5 + sum(wire_bytes(kind) for _, kind in decl.fields)


def row_memory(decl: ir.TableDecl) -> int:
    """Return the counted memory of the largest row."""
    fixed = 16 + sum(memory_bytes(kind) for _, kind in decl.fields if kind.kind != "text")
    return fixed + 4 * row_bytes(decl)


def event_bytes(decl: ir.EventDecl) -> int:
    """Return the largest wire form of the fields of an event."""
    return 5 + sum(wire_bytes(kind) for _, kind in decl.fields)


EMPTY: Final[Mapping[str, Cost]] = MappingProxyType({})


class Worst:
    """Worst cases of one lowered module; routines are computed in their order, so calls find theirs done."""

    def __init__(self, module: ir.Module, used: Mapping[str, Interface], lifts: Mapping[str, Cost] = EMPTY) -> None:
        self.module = module
        self.lifts = lifts
        """What lifting an older row can cost, by table."""
        self.armed = [0] * len(module.tables)
        """Schedules whose entry a write of the table moves."""
        if isinstance(module, ir.Extended):
            for item in module.schedules:
                if item.kind == "row":
                    self.armed[item.table] += 1
        self.used = used
        self.costs: list[Cost] = []
        self.levels: list[int] = []
        for routine in module.routines:
            self.costs.append(self._routine(routine))
            self.levels.append(self._depth_of(routine))
        self.row_checks = self._row_checks()
        self.schedules: dict[str, tuple[Cost, int]] = {}
        """(cost, levels) of each schedule."""
        if isinstance(module, ir.Extended):
            for item in module.schedules:
                self.schedules[item.name] = self._schedule(item)

    def _schedule(self, item: ir.Schedule) -> tuple[Cost, int]:
        cost = gas(CALL_OUT + item.charge)
        if item.kind == "row":
            cost += self._read(item.table) + gas(READ)
        if item.where is not None:
            cost += self._extra(item.where)
        cost += self._block(item.body)
        checks = sum(count * self.row_checks.get(key, 0) for key, count in cost.rows.items())
        return cost + gas(checks), 2 + self._block_depth(item.body)

    def lift(self, item: ir.Migration) -> Cost:
        """Return what lifting one row by one layout can cost."""
        decl = self.module.tables[item.table]
        return sum((self._extra(value) for value in item.values), Cost(gas=item.charge, memory=row_memory(decl)))

    def _read(self, table: int) -> Cost:
        """Return what the size and layout of a row that is read can cost."""
        decl = self.module.tables[table]
        cost = Cost(gas=row_bytes(decl) // READ_BYTES, memory=row_memory(decl))
        return cost + self.lifts[decl.name] if decl.name in self.lifts else cost

    def entry(self, at: int) -> Cost:
        """Return the cost of a call from outside: arguments, demands, body, and the test of written rows (L49)."""
        routine = self.module.routines[at]
        kinds = [kind for _, kind in routine.params]
        size = min(TX_ARGUMENT_BYTES, sum(wire_bytes(kind) for kind in kinds) + 5)
        memory = min(sum(memory_bytes(kind) for kind in kinds), TX_ARGUMENT_BYTES * ARGUMENT_MEMORY)
        cost = Cost(gas=CALL_OUT + size // ARGUMENT_BYTES, memory=memory) + self.costs[at]
        checks = sum(count * self.row_checks.get(key, 0) for key, count in cost.rows.items())
        return cost + gas(checks)

    def _row_checks(self) -> dict[tuple[str, str], int]:
        """Return the units one written row costs at the end, by (contract, table), used contracts included."""
        found: dict[tuple[str, str], int] = {}
        for interface in self.used.values():
            found.update(interface.row_checks)
        for decl in self.module.tables:
            found[self.module.name, decl.name] = 0
        for item in self.module.invariants:
            if isinstance(item, ir.EachInvariant):
                name = self.module.tables[item.table].name
                found[self.module.name, name] += item.charge + self._extra(item.condition).gas
            else:
                for table in {table: True for _, table, _ in item.terms}:
                    found[self.module.name, self.module.tables[table].name] += INVARIANT
        return found

    def _routine(self, routine: ir.Routine) -> Cost:
        cost = gas(routine.charge + QUESTION * QUESTIONS_PER_DEMAND * len(routine.demands))
        for demand in routine.demands:
            for part in (demand.party, demand.apart):
                if part is not None:
                    cost += self._extra(part)
        cost += self._block(routine.body)
        if isinstance(routine, ir.Assured):
            cost += gas(routine.old_charge)
            for _, value in routine.olds:
                cost += self._extra(value)
            for item in routine.ensures:
                cost += gas(item.charge + item.text_charge) + self._extra(item.condition) + self._extra(item.text)
        return cost

    def _block(self, block: ir.Block) -> Cost:
        cost = NOTHING
        for statement in block:
            cost += self._statement(statement)
        return cost

    def _statement(self, item: ir.Statement) -> Cost:
        match item:
            case ir.Charge():
                return gas(item.units)
            case ir.Assign() | ir.Perform():
                return self._extra(item.value)
            case ir.Return():
                return NOTHING if item.value is None else self._extra(item.value)
            case ir.Require():
                refusal = gas(item.charge) + self._extra(item.text)
                return self._extra(item.condition) + refusal
            case ir.Insert():
                cost = self._write(item.table, [value for _, value in item.values])
                return cost + self._read(item.table) if item.replace else cost
            case ir.Update():
                changed = self._write(item.table, [*item.keys, *(value for _, value in item.sets)])
                return changed + self._read(item.table)
            case ir.Delete():
                return self._write(item.table, item.keys) + self._read(item.table)
            case ir.Emit():
                size = event_bytes(self.module.events[item.event])
                cost = Cost(gas=size // EMIT_BYTES, events=1, event_bytes=size)
                return sum((self._extra(value) for _, value in item.values), cost)
            case ir.If():
                return self._if(item)
            case ir.For():
                return self._for(item)
            case ir.SetElement():
                entry = gas(_key_units(item.kind)) + Cost(memory=48)
                return entry + self._extra(item.key) + self._extra(item.value)
            case ir.Append():
                return Cost(memory=ELEMENT_BYTES) + self._extra(item.value)
            case ir.Remove():
                return gas(_key_units(item.kind)) + self._extra(item.key)
            case ir.Loop():
                turns = map_turns(item.bound) if item.kind.kind == "map" else LOOP_TURN * item.bound
                return gas(turns) + self._extra(item.source) + self._block(item.body).times(item.bound)
        return NOTHING

    def _if(self, item: ir.If) -> Cost:
        cost = self._block(item.otherwise)
        for branch in reversed(item.branches):
            cost = gas(branch.charge) + self._extra(branch.condition) + cost.or_else(self._block(branch.body))
        return cost

    def _for(self, item: ir.For) -> Cost:
        scan = item.scan
        cost = sum((self._extra(start) for start in scan.starts), gas(SCAN_KEY * (scan.bound + 1)))
        once = gas(READ + scan.filter_charge) + self._read(scan.table)
        if scan.filter is not None:
            once += self._extra(scan.filter)
        return cost + (once + self._block(item.body)).times(scan.bound)

    def _write(self, table: int, values: Sequence[ir.Expr]) -> Cost:
        decl = self.module.tables[table]
        size = row_bytes(decl)
        entries = 2 * len(decl.indexes) + 2 * self.armed[table]
        key = 4 + 80 + sum(2 + 4 * max(kind.size, ID_CHARS) for _, kind in decl.fields[: decl.keys])
        cost = Cost(
            gas=size // WRITE_BYTES + INDEX_ENTRY * entries,
            rows={(self.module.name, decl.name): 1},
            row_bytes=min(key, 480) * (1 + entries) + size,
        )
        return sum((self._extra(value) for value in values), cost)

    def _extra(self, expr: ir.Expr) -> Cost:
        """Return what `expr` can use beyond its price."""
        cost = NOTHING
        match expr:
            case ir.ReadRow() | ir.MaybeRow():
                cost = self._read(expr.table)
            case ir.Copy():
                size = 16 + ELEMENT_BYTES * expr.type.size
                cost = Cost(gas=size // COPY_BYTES, memory=size)
            case ir.ListOf() | ir.RecordOf():
                cost = Cost(memory=16 + ELEMENT_BYTES * len(expr.items))
            case ir.Entry():
                cost = gas(_key_units(expr.of.type))
            case ir.Within() if expr.of.type.kind == "map":
                cost = gas(_key_units(expr.of.type))
            case ir.Within():
                each = 1 + _compared(expr.value.type, expr.value.type)
                cost = gas(members_compared(expr.value.type, expr.of.type.size, each))
            case ir.Builtin(name="split" | "share"):
                size = expr.type.size
                cost = Cost(gas=SHARE_PART * size, memory=16 + size * (ELEMENT_BYTES + 32))
            case ir.Builtin(name="starts_with"):
                cost = gas(_compared(expr.args[0].type, expr.args[1].type))
            case ir.Join():
                cost = Cost(gas=expr.type.size // CHARS_BUILT, memory=16 + 4 * expr.type.size)
            case ir.Compare():
                cost = gas(_compared(expr.left.type, expr.right.type))
            case ir.OneOf():
                cost = gas(sum(_compared(expr.value.type, item.type) for item in expr.items))
            case ir.Builtin(name="min" | "max"):
                cost = gas(_compared(expr.args[0].type, expr.args[1].type))
            case ir.HasRole():
                cost = gas(QUESTION * SIGNERS)
            case ir.Invoke():
                cost = self.costs[expr.routine]
            case ir.CallOut():
                interface = self.used[expr.contract]
                schema = interface.queries.get(expr.method) or interface.actions[expr.method]
                size = sum(memory_bytes(item.spec) for item in schema.params)
                cost = schema.cost + gas(size // ARGUMENT_BYTES)
        return sum((self._extra(child) for child in ir.children(expr)), cost)

    # -- levels (section 14): blocks plus expression levels along the deepest path

    def _depth_of(self, routine: ir.Routine) -> int:
        parts = [part for item in routine.demands for part in (item.party, item.apart) if part is not None]
        if isinstance(routine, ir.Assured):
            parts += [value for _, value in routine.olds]
            parts += [part for item in routine.ensures for part in (item.condition, item.text)]
        return 1 + max([self._block_depth(routine.body), *(self._depth(part) for part in parts)])

    def _block_depth(self, block: ir.Block) -> int:
        return 1 + max((self._statement_depth(item) for item in block), default=0)

    def _statement_depth(self, item: ir.Statement) -> int:
        exprs: list[ir.Expr] = []
        blocks: list[ir.Block] = []
        match item:
            case ir.Assign() | ir.Perform():
                exprs = [item.value]
            case ir.Return():
                exprs = [] if item.value is None else [item.value]
            case ir.Require():
                exprs = [item.condition, item.text]
            case ir.Insert() | ir.Emit():
                exprs = [value for _, value in item.values]
            case ir.Update():
                exprs = [*item.keys, *(value for _, value in item.sets)]
            case ir.Delete():
                exprs = list(item.keys)
            case ir.If():
                exprs = [branch.condition for branch in item.branches]
                blocks = [*(branch.body for branch in item.branches), item.otherwise]
            case ir.SetElement():
                exprs = [item.key, item.value]
            case ir.Append():
                exprs = [item.value]
            case ir.Remove():
                exprs = [item.key]
            case ir.Loop():
                exprs, blocks = [item.source], [item.body]
            case ir.For():
                exprs = [*item.scan.starts, *([] if item.scan.filter is None else [item.scan.filter])]
                blocks = [item.body]
        return max([0, *(self._depth(expr) for expr in exprs), *(self._block_depth(block) for block in blocks)])

    def _depth(self, expr: ir.Expr) -> int:
        deepest = max((self._depth(child) for child in ir.children(expr)), default=0)
        match expr:
            case ir.Invoke():
                deepest = max(deepest, self.levels[expr.routine])
            case ir.CallOut():
                interface = self.used[expr.contract]
                schema = interface.queries.get(expr.method) or interface.actions[expr.method]
                deepest = max(deepest, schema.levels)
        return 1 + deepest


def members_compared(kind: Type, count: int, each: int) -> int:
    """Return what `in` pays for a list of `count` values; `each` is the price of one comparison."""
    if kind.kind == "money" or isinstance(kind, Many):
        return each * count
    return (each * count + MEMBERS_COMPARED - 1) // MEMBERS_COMPARED


def _compared(left: Type, right: Type) -> int:
    left, right = (kind.parts[0] if isinstance(kind, Many) and kind.parts else kind for kind in (left, right))
    return min(left.size, right.size) // CHARS_COMPARED if left.kind == "text" else 0


def _key_units(kind: Type) -> int:
    """Return the most units the key of an entry of a map adds; lists have none."""
    if not isinstance(kind, Many) or kind.kind != "map":
        return 0
    return 4 * max(kind.parts[0].size, ID_CHARS) // KEY_BYTES
