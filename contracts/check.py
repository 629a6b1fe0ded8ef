"""Statements and routines: types, effects, what may not exist (contracts section 14). Result: typed IR, no charges.

Door: `check(declarations) -> Module`. `lower` then adds charges.
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts import ir
from contracts.check_expressions import PURE, READS, WRITES, Local, Terms
from contracts.errors import quote
from contracts.limits import LANGUAGE, TEXT_CHARS
from contracts.resolve import Declarations, Head, fail
from contracts.scans import plan
from contracts.syntax import tree
from contracts.types import BOOL, INT, MONEY, NOTHING, PARTY, USER, Type


def check(found: Declarations) -> ir.Module:
    """Return the module of resolved declarations; raise `SourceError` at the first thing that may not exist."""
    heads = sorted(found.heads.values(), key=lambda head: head.index)
    routines = tuple(_routine(found, head) for head in heads)
    own = found.contract.name
    return ir.Module(
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
    return ir.Routine(
        source.kind,
        source.name,
        source.line,
        head.params,
        head.result,
        body.slots,
        head.callers,
        0,
        demands,
        statements,
    )


def _demand(body: Terms, item: tree.RoleDemand) -> ir.Demand:
    party = None if item.party is None else body.within(READS, item.party, PARTY)
    apart = None if item.apart is None else body.within(READS, item.apart, USER)
    return ir.Demand(item.line, item.role, party, apart)


def _invariant(found: Declarations, item: tree.EachInvariant | tree.SumInvariant) -> ir.EachInvariant | ir.SumInvariant:
    if isinstance(item, tree.EachInvariant):
        terms = Terms(found, "invariant", caller_allowed=False)
        number, _ = terms.table(item, item.table)
        row = Type("row", 0, found.contract.name, item.table)
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
        return ir.Assign(item.line, slot, value)

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
        return ir.Assign(item.line, local.slot, self.store(value, local.type))

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
        ended = bool(item.otherwise)
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
        kind = Type("row", 0, self.found.contract.name, decl.name)
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
        shown = self.value(item.text)
        if isinstance(shown, ir.Join) and shown.width > TEXT_CHARS:
            raise fail(item.text, "limit", f"the text can have {shown.width} code points, the limit is {TEXT_CHARS}")
        return ir.Require(item.line, condition, item.reason, 0, shown)

    def emit(self, item: tree.Emit) -> ir.Statement:
        self.need(item, WRITES, "`emit`")
        found = self.found.events.get(item.event)
        if found is None:
            raise fail(item, "undeclared", f"`{quote(item.event)}` is no event of this contract")
        number, decl = found
        return ir.Emit(item.line, number, self.named(item, item.args, decl.fields, item.event))
