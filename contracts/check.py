"""Statements and routines: types, effects, what may not exist (contracts section 14). Result: typed IR, no charges.

Door: `check(declarations) -> Module`. `lower` then adds charges.
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts import ir
from contracts.check_expressions import PURE, READS, WRITES, Local, Terms
from contracts.errors import quote
from contracts.limits import LANGUAGE, LIST_BOUND, SCHEDULES, TABLE_SCHEDULES, TEXT_CHARS
from contracts.resolve import Declarations, Head, fail
from contracts.scans import plan
from contracts.syntax import tree
from contracts.types import BOOL, DATE, INT, MONEY, NOTHING, PARTY, USER, Type, option, parts_of, row_of
from contracts.upgrade import Older, check_upgrade, migrations


def check(found: Declarations, older: Older | None = None) -> ir.Module:
    """Return the module of resolved declarations; raise `SourceError` at the first thing that may not exist.

    `older` is the version that a contract with `replaces` replaces (L61).
    """
    check_upgrade(found, older)
    heads = sorted(found.heads.values(), key=lambda head: head.index)
    routines = tuple(_routine(found, head) for head in heads)
    own = found.contract.name
    plain = ir.Module(
        LANGUAGE,
        own,
        found.contract.version,
        tuple((use.name, use.version) for use in found.contract.uses),
        tuple(ir.EnumDecl(item.name, found.enums[own, item.name]) for item in found.contract.enums),
        tuple(decl for _, decl in found.tables.values()),
        tuple(decl for _, decl in found.events.values()),
        tuple(_invariant(found, item) for item in found.contract.invariants),
        routines,
    )
    source = found.contract
    readers = tuple(_readers(found, table) for table in source.tables if table.readers is not None)
    if not (source.records or source.replaces or source.migrations or source.schedules or readers):
        return plain
    return ir.Extended(
        *(plain.language, own, plain.version, plain.uses, plain.enums, plain.tables, plain.events, plain.invariants),
        routines,
        tuple(ir.RecordDecl(item.name, found.records[own, item.name]) for item in source.records),
        source.replaces,
        migrations(found, older),
        _schedules(found),
        readers,
    )


def _schedules(found: Declarations) -> tuple[ir.Schedule, ...]:
    """Return the schedules; no table has more than four, because each costs every write of a row (L53)."""
    source = found.contract.schedules
    if len(source) > SCHEDULES:
        raise fail(source[SCHEDULES], "limit", f"a contract has at most {SCHEDULES} schedules")
    done: list[ir.Schedule] = []
    for item in source:
        done.append(_schedule(found, item))
        if (
            item.table
            and sum(other.table == done[-1].table and other.kind == "row" for other in done) > TABLE_SCHEDULES
        ):
            raise fail(item, "limit", f"a table has at most {TABLE_SCHEDULES} schedules")
    return tuple(done)


def _schedule(found: Declarations, item: tree.Schedule) -> ir.Schedule:
    body = Bodies(found, "schedule", caller_allowed=False, result=NOTHING)
    table = field = -1
    where = None
    if item.kind == "row":
        table, decl = body.table(item, item.table)
        places = [
            at for at, (name, kind) in enumerate(decl.fields) if name == item.field and kind in (DATE, option(DATE))
        ]
        if not places:
            raise fail(item, "wrong_type", f"`{quote(item.field)}` is no date field of {item.table}")
        field = places[0]
        row = row_of(found.contract.name, item.table)
        body.scopes[0]["row"] = Local(body.slots, row, item.line, item.column)
        body.slots += 1
        where = None if item.where is None else body.within(PURE, item.where, BOOL)
    statements, _ = body.block(item.body)
    return ir.Schedule(item.kind, item.name, item.line, table, field, item.days, body.slots, 0, where, statements)


def _readers(found: Declarations, table: tree.Table) -> tuple[int, tuple[int, ...]]:
    """Return the table and the party fields whose companies may read its rows (L41)."""
    number, decl = found.tables[table.name]
    names = () if table.readers is None else table.readers.fields
    places: list[int] = []
    for name in names:
        at = next((at for at, (field, kind) in enumerate(decl.fields) if field == name and kind == PARTY), None)
        if at is None or at in places:
            node = table if table.readers is None else table.readers
            raise fail(node, "wrong_type", f"`{quote(name)}` is no party field of {table.name}, or stands twice")
        places.append(at)
    return number, tuple(places)


def _routine(found: Declarations, head: Head) -> ir.Routine:
    source = head.tree
    caller_allowed = source.kind == "function" or (source.kind == "action" and head.callers is None)
    body = Bodies(found, source.kind, caller_allowed, head.result)
    body.limit = READS if source.kind == "query" else WRITES
    for item, (name, kind) in zip(source.params, head.params, strict=True):
        body.declare(item, name, kind)
    demands = tuple(_demand(body, item) for item in source.demands or () if isinstance(item, tree.RoleDemand))
    statements, ends = body.block(source.body)
    if head.result != NOTHING and not ends:
        raise fail(source, "no_return", f"`{source.name}` can end without returning a value")
    head.effect = body.effect
    head.needs_caller = body.needs_caller
    head.names = body.names
    if not source.ensures:
        return ir.Routine(
            source.kind, source.name, source.line, head.params, head.result, body.slots, head.callers, 0, demands,
            statements,
        )  # fmt: skip
    ensures, olds = body.ensured(source.ensures)
    return ir.Assured(
        source.kind, source.name, source.line, head.params, head.result, body.slots, head.callers, 0, demands,
        statements, 0, olds, ensures,
    )  # fmt: skip


def _demand(body: Terms, item: tree.RoleDemand) -> ir.Demand:
    party = None if item.party is None else body.within(READS, item.party, PARTY)
    apart = None if item.apart is None else body.within(READS, item.apart, USER)
    return ir.Demand(item.line, item.role, party, apart)


def _invariant(found: Declarations, item: tree.EachInvariant | tree.SumInvariant) -> ir.EachInvariant | ir.SumInvariant:
    if isinstance(item, tree.EachInvariant):
        terms = Terms(found, "invariant", caller_allowed=False)
        number, _ = terms.table(item, item.table)
        row = row_of(found.contract.name, item.table)
        terms.scopes[0]["row"] = Local(ir.FIRST_SLOT, row, item.line, item.column)
        condition = terms.within(PURE, item.condition, BOOL)
        return ir.EachInvariant(item.line, number, 0, condition)
    kinds: list[Type] = []
    sums: list[tuple[int, int, int]] = []
    for sign, table, name in item.terms:
        if table not in found.tables:
            raise fail(item, "undeclared", f"`{quote(table)}` is no table of this contract")
        number, decl = found.tables[table]
        place = next((at for at, (field, _) in enumerate(decl.fields) if field == name), None)
        if place is None:
            raise fail(item, "undeclared", f"`{quote(name)}` is no field of {table}")
        kind = decl.fields[place][1]
        if kind not in (INT, MONEY) or (kinds and kind != kinds[0]):
            raise fail(item, "wrong_type", "sums are over int fields or over money fields")
        kinds.append(kind)
        sums.append((sign, number, place))
    return ir.SumInvariant(item.line, kinds[0] == MONEY, tuple(sums))


def owned(line: int, value: ir.Expr) -> ir.Expr:
    """Return a list or map that a variable may change; any other value as it is (L13)."""
    if value.type.kind not in ("list", "map") or isinstance(value, ir.EmptyMap):
        return value
    return ir.Copy(value.type, 0, line, True, value.of if isinstance(value, ir.Copy) else value)


class Bodies(Terms):
    """Checks the statements of one routine."""

    def __init__(self, found: Declarations, kind: str, caller_allowed: bool, result: Type) -> None:
        super().__init__(found, kind, caller_allowed)
        self.result = result

    def block(self, statements: Sequence[tree.Statement]) -> tuple[ir.Block, bool]:
        """Return the statements and whether the end of the block is never reached."""
        self.open_scope()
        done: list[ir.Statement] = []
        ended = False
        for item in statements:
            if ended:
                raise fail(item, "unreachable", "nothing after `return` is ever reached")
            statement, ended = self.statement(item)
            done.append(statement)
        self.close_scope()
        return tuple(done), ended

    def statement(self, item: tree.Statement) -> tuple[ir.Statement, bool]:
        match item:
            case tree.Let():
                return self.let(item), False
            case tree.Assign():
                return self.assign(item), False
            case tree.AssignItem():
                return self.assign_item(item), False
            case tree.Append():
                return self.append(item), False
            case tree.Remove():
                local = self.container(item, item.name, ("map",))
                key = self.store(item.key, parts_of(local.type)[0])
                return ir.Remove(item.line, local.slot, local.type, key), False
            case tree.ForEach():
                return self.for_each(item), False
            case tree.CallStatement():
                return self.call_statement(item), False
            case tree.Write():
                return self.write(item), False
            case tree.Update():
                return self.update(item), False
            case tree.Delete():
                self.need(item, WRITES, "`delete`")
                return ir.Delete(item.line, *self.table_key(item, item.table, item.keys)), False
            case tree.If():
                return self.if_(item)
            case tree.For():
                return self.for_(item), False
            case tree.Return():
                return self.return_(item), True
            case tree.Require():
                return self.require(item), False
            case tree.Emit():
                return self.emit(item), False
            case tree.Pass():
                return ir.Pass(item.line), False

    def let(self, item: tree.Let) -> ir.Statement:
        if item.type is None:
            value = self.settled(item.value, self.value(item.value))
        else:
            value = self.store(item.value, self.found.type_of(item.type))
        kind = value.type if item.type is None else self.found.type_of(item.type)
        slot = self.declare(item, item.name, kind, changeable=item.var, needed=not item.var)
        self.scopes[-1][item.name].inferred = item.type is None
        return ir.Assign(item.line, slot, owned(item.line, value) if item.var else value)

    def assign(self, item: tree.Assign) -> ir.Statement:
        local = self.local(item.name)
        if local is None:
            raise fail(item, "undeclared", f"`{quote(item.name)}` is not declared; begin with `var`")
        if not local.changeable:
            raise fail(item, "not_changeable", f"`{item.name}` is no `var` and cannot be changed")
        value = item.value
        if item.op != "=":
            here = tree.Name(item.line, item.column, item.name)
            value = tree.Sum(item.line, item.column, here, ((item.op[0], item.value),))
        stored = self.store(value, local.type)
        if local.inferred and isinstance(stored, ir.Fit) and local.type.kind == "text":
            raise fail(
                item,
                "wrong_type",
                f"`{item.name}` took {local.type} from its first value, and this may be longer; "
                f"write `var {item.name}: text(n) = ...` with the bound it needs (L31)",
            )
        return ir.Assign(item.line, local.slot, owned(item.line, stored))

    def container(self, item: tree.Statement, name: str, kinds: Sequence[str]) -> Local:
        """Return the `var` list or map that a statement changes (L34)."""
        local = self.local(name)
        if local is None:
            raise fail(item, "undeclared", f"`{quote(name)}` is not declared; begin with `var`")
        if not local.changeable:
            raise fail(item, "not_changeable", f"`{name}` is no `var` and cannot be changed")
        if local.type.kind not in kinds:
            raise fail(item, "wrong_type", f"`{name}` is {local.type}, and this changes a {' or a '.join(kinds)}")
        return local

    def assign_item(self, item: tree.AssignItem) -> ir.Statement:
        local = self.container(item, item.name, ("list", "map"))
        value = item.value
        if item.op != "=":
            here = tree.Name(item.line, item.column, item.name)
            first = tree.Lookup(item.line, item.column, here, (item.key,))
            value = tree.Sum(item.line, item.column, first, ((item.op[0], item.value),))
        stored = self.store(value, parts_of(local.type)[-1])
        key = self.store(item.key, INT if local.type.kind == "list" else parts_of(local.type)[0])
        return ir.SetElement(item.line, local.slot, local.type, key, stored)

    def append(self, item: tree.Append) -> ir.Statement:
        local = self.container(item, item.name, ("list",))
        return ir.Append(item.line, local.slot, local.type.size, self.store(item.value, parts_of(local.type)[0]))

    def call_statement(self, item: tree.CallStatement) -> ir.Statement:
        before, self.effect = self.effect, PURE
        value = self.call(item.call)
        if self.effect < WRITES:
            raise fail(item, "no_effect", "a call that writes nothing is not a statement; use its result")
        self.effect = max(before, self.effect)
        return ir.Perform(item.line, value)

    def write(self, item: tree.Write) -> ir.Statement:
        self.need(item, WRITES, f"`{item.op}`")
        number, decl = self.table(item, item.table)
        values = self.named(item, item.args, decl.fields, item.table)
        return ir.Insert(item.line, number, item.op == "put", values)

    def named(
        self, node: tree.Node, args: Sequence[tree.Arg], fields: Sequence[tuple[str, Type]], what: str
    ) -> tuple[tuple[int, ir.Expr], ...]:
        """Return (field position, value) of all fields, in the order written (L18, L29)."""
        places = self.places(node, args, [name for name, _ in fields], what)
        return tuple((at, self.store(arg.value, fields[at][1])) for arg, at in zip(args, places, strict=True))

    def update(self, item: tree.Update) -> ir.Statement:
        self.need(item, WRITES, "`update`")
        number, keys = self.table_key(item, item.table, item.keys)
        decl = self.found.tables[item.table][1]
        names = [name for name, _ in decl.fields]
        places = self.places(item, item.sets, names, item.table, complete=False)
        sets = []
        for arg, at in zip(item.sets, places, strict=True):
            if at < decl.keys:
                raise fail(arg, "key_field", f"`{arg.name}` is part of the key and cannot be changed (L35)")
            sets.append((at, self.store(arg.value, decl.fields[at][1])))
        return ir.Update(item.line, number, keys, tuple(sets))

    def if_(self, item: tree.If) -> tuple[ir.Statement, bool]:
        branches = []
        ended = True
        for condition, body in item.branches:
            test = self.store(condition, BOOL)
            statements, ends = self.block(body)
            ended = ended and ends
            branches.append(ir.Branch(condition.line, 0, test, statements))
        otherwise, ends = self.block(item.otherwise) if item.otherwise else ((), False)
        return ir.If(item.line, tuple(branches), otherwise), ended and ends

    def for_(self, item: tree.For) -> ir.Statement:
        number, decl = self.table(item.table, item.table.name)
        self.need(item, READS, "a scan")
        self.open_scope()
        kind = row_of(self.found.contract.name, decl.name)
        slot = self.declare(item, item.variable, kind)
        conditions: list[ir.Expr] = []
        if item.where is not None:
            parts = (
                item.where.operands if isinstance(item.where, tree.Logic) and item.where.op == "and" else (item.where,)
            )
            conditions = [self.within(PURE, part, BOOL) for part in parts]
        scan = plan(number, decl, slot, conditions, item.mode, item.bound)
        if item.mode == "first" and scan.filter is not None:
            raise fail(
                item, "first_filter", "after `first` no condition may remain that is not part of the range (L38)"
            )
        body, _ = self.block(item.body)
        self.close_scope()
        return ir.For(item.line, slot, scan, body)

    def for_each(self, item: tree.ForEach) -> ir.Statement:
        """Return a loop over a list, a map or `range(n)`; what it goes over is fixed when it begins (L33)."""
        match item.source:
            case tree.Call(of=tree.Name(name="range"), args=(tree.Arg(name="", value=limit),)):
                source, bound = self._range(item, limit)
                kinds: tuple[Type, ...] = (INT,)
            case _:
                source = self.value(item.source)
                if source.type.kind not in ("list", "map"):
                    text = f"a loop goes over a table, a list, a map or range(n), not {source.type}"
                    raise fail(item.source, "wrong_type", text)
                if item.bound is not None:
                    raise fail(item, "wrong_type", "a list or map is bounded by its type; leave `limit` out (L33)")
                kinds, bound = parts_of(source.type), source.type.size
        if (len(kinds) == 2) != bool(item.second):
            raise fail(item, "wrong_type", "write `for key, value in map`, and `for value in list`")
        self.open_scope()
        slots = [
            self.declare(item, name, kind) for name, kind in zip((item.variable, item.second), kinds, strict=False)
        ]
        body, _ = self.block(item.body)
        self.close_scope()
        return ir.Loop(item.line, slots[0], slots[-1], source.type, bound, source, body)

    def _range(self, item: tree.ForEach, limit: tree.Expr) -> tuple[ir.Expr, int]:
        source = self.store(limit, INT)
        if isinstance(source, ir.Const):
            if item.bound is None and not 0 <= source.value <= LIST_BOUND:
                raise fail(item, "limit", f"a range makes 0 to {LIST_BOUND} turns")
            return source, max(1, source.value) if item.bound is None else item.bound
        if item.bound is None:
            raise fail(item, "unbounded", "a loop over range(n) needs `limit k` when n is not a literal (L33)")
        return source, item.bound

    def ensured(self, items: Sequence[tree.Ensure]) -> tuple[tuple[ir.Ensure, ...], tuple[tuple[int, ir.Expr], ...]]:
        """Return what is tested when the action ends, and what is kept for it before the body (L48)."""
        self.olds = []
        self.result_type = None if self.result == NOTHING else self.result
        found = []
        for item in items:
            condition, shown = self.within(READS, item.condition, BOOL), self.shown(item.text)
            found.append(ir.Ensure(item.line, 0, condition, item.reason, 0, shown))
        olds, self.olds, self.result_type = tuple(self.olds), None, None
        return tuple(found), olds

    def return_(self, item: tree.Return) -> ir.Statement:
        if item.value is None:
            if self.result != NOTHING:
                raise fail(item, "wrong_type", f"`return` needs a value of type {self.result}")
            return ir.Return(item.line, None)
        if self.result == NOTHING:
            raise fail(item, "wrong_type", "there is no result to return")
        return ir.Return(item.line, self.store(item.value, self.result))

    def require(self, item: tree.Require) -> ir.Statement:
        condition = self.within(READS, item.condition, BOOL)
        return ir.Require(item.line, condition, item.reason, 0, self.shown(item.text))

    def shown(self, item: tree.Text) -> ir.Expr:
        """Return the text of a refusal."""
        found = self.value(item)
        if isinstance(found, ir.Join) and found.width:  # 0 unless the text can be too long
            raise fail(item, "limit", f"the text can have {found.width} code points, the limit is {TEXT_CHARS}")
        return found

    def emit(self, item: tree.Emit) -> ir.Statement:
        self.need(item, WRITES, "`emit`")
        found = self.found.events.get(item.event)
        if found is None:
            raise fail(item, "undeclared", f"`{quote(item.event)}` is no event of this contract")
        number, decl = found
        return ir.Emit(item.line, number, self.named(item, item.args, decl.fields, item.event))
