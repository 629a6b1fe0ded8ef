"""What a program means, in plain Python: walks the syntax tree, knows no slots, no closures, no gas.

Written from the rules of the language (L numbers), not from the interpreter. It shares only the parser with it; types,
key bytes, scan order, dates, ids and authority are worked out here again, from the tree and by the plainest means
(sorting all rows, trying all permutations, `datetime`). Only for tests. Budgets are not modelled: worst cases are
checked before a program is admitted, and gas is the business of other tests.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import itertools
from dataclasses import dataclass, field
from typing import Any

import msgspec

from contracts.syntax import tree
from contracts.syntax.parse import parse
from ledger.receipt import ContractEvent

INT_MAX = 2**63 - 1


class Stop(Exception):
    """An abort: (code, reason, contract, line, text)."""

    def __init__(self, code: str, reason: str, contract: str, line: int, text: str = "") -> None:
        super().__init__(code)
        self.code, self.reason, self.contract, self.line, self.text = code, reason, contract, line, text


@dataclass(frozen=True)
class Amount:
    code: str
    minor: int


@dataclass(frozen=True)
class Choice:
    """A value of an enum."""

    name: str


class Row(dict[str, Any]):
    """Field name -> value; `home` is (contract, table)."""

    def __init__(self, home: tuple[str, str], values: dict[str, Any]) -> None:
        super().__init__(values)
        self.home = home


@dataclass(frozen=True)
class Kind:
    word: str
    size: int = 0
    owner: str = ""
    name: str = ""


@dataclass
class Env:
    """One routine running: its contract, its names, and the bounds of its text variables."""

    contract: tree.Contract
    names: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass
class Returned:
    value: Any


class Reference:
    """Runs calls on a host that the test provides."""

    def __init__(self, sources: list[bytes], currencies: dict[str, int]) -> None:
        self.contracts: dict[str, tree.Contract] = {}
        for source in sources:
            file = parse(source)
            assert isinstance(file, tree.Contract)
            self.contracts[file.name] = file
        self.currencies = currencies
        self.consts = {name: self._consts(contract) for name, contract in self.contracts.items()}

    # -- door

    def call(self, contract: str, method: str, args: list[Any], host: Any, by_contract: bool = False) -> Any:
        """Return (events, result) in wire form, or raise `Stop`. Writes go to `host`, also before a `Stop`."""
        self.host, self.counter = host, 0
        self.events: list[ContractEvent] = []
        self.touched: dict[bytes, tuple[str, str, Row | None]] = {}
        routine = self._routine(contract, method)
        if any(isinstance(d, tree.ContractDemand) for d in routine.demands or ()) and not by_contract:
            raise Stop("not_authorised", "by_contract", contract, 0)
        values = []
        for param, arg in zip(routine.params, args, strict=True):
            values.append(self._from_wire(self._kind(contract, param.type), arg))
        result = self._enter(contract, routine, values)
        self._invariants()
        if routine.result is None:
            return tuple(self.events), None
        return tuple(self.events), self._wire(result)

    # -- declarations

    def _routine(self, contract: str, name: str) -> tree.Routine:
        return next(r for r in self.contracts[contract].routines if r.name == name)

    def _table(self, contract: str, name: str) -> tree.Table:
        return next(t for t in self.contracts[contract].tables if t.name == name)

    def _kind(self, contract: str, ref: tree.TypeRef) -> Kind:
        if ref.kind:
            return Kind(ref.kind, ref.size)
        owner = ref.contract or contract
        if any(t.name == ref.name for t in self.contracts[owner].tables):
            return Kind("row", 0, owner, ref.name)
        return Kind("enum", 0, owner, ref.name)

    def _fields(self, contract: str, table: str) -> list[tuple[str, Kind]]:
        found = self._table(contract, table)
        return [(f.name, self._kind(contract, f.type)) for f in (*found.key, *found.fields)]

    def _consts(self, contract: tree.Contract) -> dict[str, Any]:
        env = Env(contract)
        for const in contract.consts:
            env.names[const.name] = self._value(env, const.value)
        return dict(env.names)

    # -- wire form, keys, rows

    def _from_wire(self, kind: Kind, value: Any) -> Any:
        match kind.word:
            case "money":
                return Amount(value[0], value[1])
            case "date":
                return datetime.date.fromisoformat(value)
            case "enum":
                return Choice(value)
        return value

    def _wire(self, value: Any) -> Any:
        match value:
            case Amount():
                return (value.code, value.minor)
            case datetime.date():
                return value.isoformat()
            case Choice():
                return value.name
            case Row():
                return tuple(self._wire(item) for item in value.values())
        return value

    def _part(self, kind: Kind, value: Any) -> bytes:
        """H5: a tag byte, then bytes that order like the values."""
        return bytes(self._tagged(kind, value))

    def _tagged(self, kind: Kind, value: Any) -> Any:
        match kind.word:
            case "int":
                return b"\x01" + (value + 2**63).to_bytes(8, "big")
            case "bool":
                return b"\x02" + bytes([value])
            case "text":
                return b"\x03" + value.encode() + b"\x00"
            case "date":
                return b"\x04" + (value.toordinal() - 1).to_bytes(4, "big")
            case "currency":
                return b"\x05" + value.encode()
            case "party":
                return b"\x06" + value.encode() + b"\x00"
            case "user":
                return b"\x07" + value.encode() + b"\x00"
        names = [name for e in self.contracts[kind.owner].enums if e.name == kind.name for name, _, _ in e.values]
        return b"\x08" + names.index(value.name).to_bytes(2, "big")

    def _prefix(self, space: bytes, contract: str, table: str) -> bytes:
        return space + bytes([len(contract)]) + contract.encode() + bytes([len(table)]) + table.encode()

    def _key(self, contract: str, table: str, keys: list[Any]) -> bytes:
        kinds = [kind for _, kind in self._fields(contract, table)]
        parts = b"".join(self._part(kind, key) for kind, key in zip(kinds, keys, strict=False))
        return self._prefix(b"t", contract, table) + parts

    def _entries(self, contract: str, table: str, row: Row) -> list[bytes]:
        found = self._table(contract, table)
        kinds = dict(self._fields(contract, table))
        keys = b"".join(self._part(kinds[f.name], row[f.name]) for f in found.key)
        entries = []
        for number, index in enumerate(found.indexes):
            columns = b"".join(self._part(kinds[name], row[name]) for name in index.columns)
            entries.append(self._prefix(b"x", contract, table) + bytes([number]) + columns + keys)
        return entries

    def _get(self, contract: str, table: str, key: bytes) -> Row | None:
        data = self.host.get(key)
        return None if data is None else self._row(contract, table, data)

    def _row(self, contract: str, table: str, data: bytes) -> Row:
        raw = msgspec.msgpack.decode(data)
        fields = self._fields(contract, table)
        values = {name: self._from_wire(kind, item) for (name, kind), item in zip(fields, raw[1:], strict=True)}
        return Row((contract, table), values)

    def _write(self, contract: str, table: str, key: bytes, row: Row | None) -> None:
        before = self._get(contract, table, key)
        if before is not None:
            for entry in self._entries(contract, table, before):
                self.host.delete(entry)
            self.host.delete(key)
        if row is not None:
            self.host.put(key, msgspec.msgpack.encode([1, *(self._wire(value) for value in row.values())]))
            for entry in self._entries(contract, table, row):
                self.host.put(entry, b"\xc0")
        if key not in self.touched:
            self.touched[key] = (contract, table, before)

    # -- calls

    def _enter(self, contract: str, routine: tree.Routine, values: list[Any]) -> Any:
        env = Env(self.contracts[contract])
        for param, value in zip(routine.params, values, strict=True):
            kind = self._kind(contract, param.type)
            env.names[param.name] = value
            env.sizes[param.name] = kind.size
        demands = [d for d in routine.demands or () if isinstance(d, tree.RoleDemand)]
        if demands:
            self._authorise(env, routine, demands)
        done = self._block(env, routine.body)
        return done.value if isinstance(done, Returned) else None

    def _authorise(self, env: Env, routine: tree.Routine, demands: list[tree.RoleDemand]) -> None:
        """L42: every demand gets another signer who holds the role and is apart from whom it must be."""
        asked = []
        for demand in demands:
            party = None if demand.party is None else self._value(env, demand.party)
            apart = () if demand.apart is None else (self._value(env, demand.apart),)
            asked.append((demand.role, party, apart))
        for chosen in itertools.permutations(range(len(self.host.signers)), len(asked)):
            users: tuple[str, ...] = ()
            for signer, (role, party, apart) in zip(chosen, asked, strict=True):
                if not self.host.decide(signer, role, party, apart + users).startswith("ok"):
                    break
                users = (*users, self.host.signers[signer].user)
            else:
                return
        raise Stop("not_authorised", "", env.contract.name, routine.line)

    def _invariants(self) -> None:
        """L49-L51: contracts by name, tables as declared, rows by key; then sums."""
        for name in sorted(self.contracts):
            contract = self.contracts[name]
            mine = sorted((key, table, before) for key, (owner, table, before) in self.touched.items() if owner == name)
            for table in contract.tables:
                for key, owner_table, _ in mine:
                    row = self._get(name, table.name, key) if owner_table == table.name else None
                    for item in contract.invariants:
                        if row is not None and isinstance(item, tree.EachInvariant) and item.table == table.name:
                            env = Env(contract, {"row": row})
                            if not self._value(env, item.condition):
                                raise Stop("invariant_failed", table.name, name, item.line)
            for item in contract.invariants:
                if isinstance(item, tree.SumInvariant):
                    self._sum_invariant(name, item, mine)

    def _sum_invariant(self, name: str, item: tree.SumInvariant, mine: list[Any]) -> None:
        change: dict[str, int] = {}
        for key, table, before in mine:
            now = self._get(name, table, key)
            for sign, term_table, column in item.terms:
                if term_table == table:
                    for factor, row in ((sign, now), (-sign, before)):
                        if row is not None:
                            value = row[column]
                            code, amount = (value.code, value.minor) if isinstance(value, Amount) else ("", value)
                            change[code] = change.get(code, 0) + factor * amount
        if any(change.values()):
            raise Stop("invariant_failed", item.terms[0][1], name, item.line)

    # -- statements

    def _block(self, env: Env, statements: tuple[tree.Statement, ...]) -> Returned | None:
        """Run a block; names it makes are gone after it."""
        before = set(env.names)
        try:
            for item in statements:
                done = self._statement(env, item)
                if done is not None:
                    return done
        finally:
            for name in set(env.names) - before:
                del env.names[name]
        return None

    def _statement(self, env: Env, item: tree.Statement) -> Returned | None:
        own = env.contract.name
        match item:
            case tree.Let():
                kind = None if item.type is None else self._kind(own, item.type)
                env.sizes[item.name] = self._size(env, item.value) if kind is None else kind.size
                env.names[item.name] = self._store(env, item.value, env.sizes[item.name])
            case tree.Assign():
                value = item.value
                if item.op != "=":
                    here = tree.Name(item.line, item.column, item.name)
                    value = tree.Sum(item.line, item.column, here, ((item.op[0], item.value),))
                env.names[item.name] = self._store(env, value, env.sizes[item.name])
            case tree.CallStatement():
                self._value(env, item.call)
            case tree.Write():
                kinds = dict(self._fields(own, item.table))
                given = {arg.name: self._store(env, arg.value, kinds[arg.name].size) for arg in item.args}
                row = Row((own, item.table), {name: given[name] for name in kinds})
                key = self._key(own, item.table, [row[f.name] for f in self._table(own, item.table).key])
                if item.op == "insert" and self.host.get(key) is not None:
                    raise Stop("row_exists", "", own, item.line)
                self._write(own, item.table, key, row)
            case tree.Update():
                key = self._keys(env, item.table, item.keys)
                kinds = dict(self._fields(own, item.table))
                sets = {arg.name: self._store(env, arg.value, kinds[arg.name].size) for arg in item.sets}
                found = self._get(own, item.table, key)
                if found is None:
                    raise Stop("missing_row", "", own, item.line)
                self._write(own, item.table, key, Row(found.home, {**found, **sets}))
            case tree.Delete():
                key = self._keys(env, item.table, item.keys)
                if self.host.get(key) is None:
                    raise Stop("missing_row", "", own, item.line)
                self._write(own, item.table, key, None)
            case tree.If():
                for condition, body in item.branches:
                    if self._value(env, condition):
                        return self._block(env, body)
                return self._block(env, item.otherwise)
            case tree.For():
                return self._for(env, item)
            case tree.Return():
                if item.value is None:
                    return Returned(None)
                routine = self._current(env, item)
                kind = self._kind(own, routine.result) if routine.result is not None else Kind("")
                return Returned(self._store(env, item.value, kind.size))
            case tree.Require():
                if not self._value(env, item.condition):
                    raise Stop("require_failed", item.reason, own, item.line, str(self._value(env, item.text))[:200])
            case tree.Emit():
                decl = next(e for e in env.contract.events if e.name == item.event)
                kinds = {f.name: self._kind(own, f.type) for f in decl.fields}
                given = {arg.name: self._store(env, arg.value, kinds[arg.name].size) for arg in item.args}
                fields = tuple(self._wire(given[f.name]) for f in decl.fields)
                self.events.append(ContractEvent(own, item.event, fields))
        return None

    def _current(self, env: Env, item: tree.Return) -> tree.Routine:
        """Return the routine that a `return` stands in: the last one that begins before it."""
        return max((r for r in env.contract.routines if r.line <= item.line), key=lambda r: r.line)

    def _for(self, env: Env, item: tree.For) -> Returned | None:
        own, table = env.contract.name, item.table.name
        rest, keys = self._scan(env, item)
        if item.mode == "limit" and len(keys) > item.bound:
            raise Stop("limit_exceeded", "", own, item.line)
        for key in keys[: item.bound]:
            row = self._get(own, table, key)
            if row is None:
                continue
            env.names[item.variable] = row
            if all(self._value(env, condition) for condition in rest):
                done = self._block(env, item.body)
                if done is not None:
                    return done
        env.names.pop(item.variable, None)
        return None

    def _scan(self, env: Env, item: tree.For) -> tuple[list[tree.Expr], list[bytes]]:
        """L37: choose key or index; return the conditions that filter and the row keys in scan order."""
        own, table = env.contract.name, item.table.name
        found, kinds = self._table(own, table), dict(self._fields(own, table))
        where = item.where
        every: list[tree.Expr] = []
        if where is not None:
            every = list(where.operands) if isinstance(where, tree.Logic) and where.op == "and" else [where]
        bounds = [(c, *b) for c in every if (b := self._bound(item.variable, kinds, c)) is not None]
        best: tuple[tuple[int, bool], list[Any], list[str]] | None = None
        for columns in ([f.name for f in found.key], *(list(index.columns) for index in found.indexes)):
            used: list[Any] = []
            ranged = False
            for column in columns:
                equal = next((b for b in bounds if b[1] == column and b[2] == "=="), None)
                if equal is not None:
                    used.append(equal)
                    continue
                lower = next((b for b in bounds if b[1] == column and b[2] in (">", ">=")), None)
                upper = next((b for b in bounds if b[1] == column and b[2] in ("<", "<=")), None)
                ranged = lower is not None or upper is not None
                used += [b for b in (lower, upper) if b is not None]
                break
            score = (len([b for b in used if b[2] == "=="]), ranged)
            if best is None or score > best[0]:
                best = (score, used, columns)
        assert best is not None
        _, used, columns = best
        tests = []
        for condition in every:
            for bound in used:
                if bound[0] is condition:
                    value = bound[3] if isinstance(bound[3], bool) else self._value(env, bound[3])
                    if type(value) is int and not -INT_MAX <= value <= INT_MAX:
                        raise Stop("overflow", "", own, condition.line)
                    tests.append((bound[1], bound[2], value))
        rest = [c for c in every if all(b[0] is not c for b in used)]
        prefix = self._prefix(b"t", own, table)
        hits = []
        for key in self.host.keys():  # noqa: SIM118  # not a mapping
            if key.startswith(prefix):
                row = self._get(own, table, key)
                if row is not None and all(_holds(op, row[name], value) for name, op, value in tests):
                    order = b"".join(self._part(kinds[name], row[name]) for name in columns)
                    hits.append((order + key[len(prefix) :], key))
        return rest, [key for _, key in sorted(hits)]

    def _bound(self, row: str, kinds: dict[str, Kind], condition: tree.Expr) -> tuple[str, str, Any] | None:
        match condition:
            case tree.Compare(op=op, left=tree.Member(of=tree.Name(name=name), name=column), right=right):
                if name == row and op != "!=" and kinds[column].word != "money" and not _mentions(right, row):
                    return column, op, right
            case tree.Member(of=tree.Name(name=name), name=column) if name == row:
                return column, "==", True
            case tree.Unary(op="not", operand=tree.Member(of=tree.Name(name=name), name=column)) if name == row:
                return column, "==", False
        return None

    # -- expressions

    def _store(self, env: Env, expr: tree.Expr, size: int) -> Any:
        value = self._value(env, expr)
        own = env.contract.name
        if type(value) is int and not -INT_MAX <= value <= INT_MAX:
            raise Stop("overflow", "", own, expr.line)
        if isinstance(value, Amount) and not -INT_MAX <= value.minor <= INT_MAX:
            raise Stop("overflow", "", own, expr.line)
        if size and isinstance(value, str) and len(value) > size:
            raise Stop("text_too_long", "", own, expr.line)
        return value

    def _keys(self, env: Env, table: str, keys: tuple[tree.Expr, ...]) -> bytes:
        own = env.contract.name
        kinds = [kind for _, kind in self._fields(own, table)]
        return self._key(own, table, [self._store(env, k, kind.size) for k, kind in zip(keys, kinds, strict=False)])

    def _size(self, env: Env, expr: tree.Expr) -> int:
        """Return the bound of a text expression, 0 for other types."""
        match expr:
            case tree.Text():
                size = 0
                for part in expr.parts:
                    size += len(part) if isinstance(part, str) else self._shown_size(env, part)
                return min(size, 4096)
            case tree.Name() if expr.name in env.names:
                return env.sizes.get(expr.name, 0)
            case tree.Member():
                value = self._value(env, expr.of) if not isinstance(expr.of, tree.TypeName) else None
                if isinstance(value, Row):
                    return dict(self._fields(*value.home))[expr.name].size
            case tree.Call(of=tree.Name(name="min" | "max")):
                return max(self._size(env, arg.value) for arg in expr.args)
            case tree.Call(of=tree.Name(name="new_id")):
                return 40
            case tree.Call(of=tree.Name(name=name)):
                for routine in env.contract.routines:
                    if routine.name == name and routine.result is not None:
                        return self._kind(env.contract.name, routine.result).size
            case tree.Call(of=tree.Member(of=tree.Name(name=owner), name=name)):
                result = self._routine(owner, name).result
                return 0 if result is None else self._kind(owner, result).size
        return 0

    def _shown_size(self, env: Env, path: tuple[str, ...]) -> int:
        value = env.names.get(path[0], self.consts.get(env.contract.name, {}).get(path[0]))
        size = env.sizes.get(path[0], 0)
        if len(path) == 2:
            assert isinstance(value, Row)
            size = dict(self._fields(*value.home))[path[1]].size
            value = value[path[1]]
        match value:
            case bool():
                return 5
            case int():
                return 20
            case Amount():
                return 36
            case datetime.date():
                return 10
            case Choice():
                return 40
        return size or 64

    def _value(self, env: Env, expr: tree.Expr) -> Any:
        own = env.contract.name
        match expr:
            case tree.Int() | tree.Bool():
                return expr.value
            case tree.Date():
                return datetime.date.fromisoformat(expr.iso)
            case tree.CurrencyCode():
                return expr.code
            case tree.MoneyAmount():
                return Amount(expr.code, int(expr.digits.replace(".", "")))
            case tree.Text():
                return "".join(part if isinstance(part, str) else self._shown(env, part) for part in expr.parts)
            case tree.Name():
                return self._name(env, expr.name)
            case tree.Unary(op="not"):
                return not self._value(env, expr.operand)
            case tree.Unary():
                value = self._value(env, expr.operand)
                return Amount(value.code, -value.minor) if isinstance(value, Amount) else -value
            case tree.Logic(op="and"):
                return all(self._value(env, item) for item in expr.operands)
            case tree.Logic():
                return any(self._value(env, item) for item in expr.operands)
            case tree.Sum():
                return self._sum(env, expr)
            case tree.Product():
                total: Any = 1
                code = None
                for item in expr.operands:
                    value = self._value(env, item)
                    if isinstance(value, Amount):
                        code, value = value.code, value.minor
                    total *= value
                return total if code is None else Amount(code, total)
            case tree.Compare():
                return self._compare(env, expr)
            case tree.IsIn():
                value = self._value(env, expr.value)
                found = False
                for item in expr.items:
                    other = self._value(env, item)
                    self._same_currency(own, expr.line, value, other)
                    found = found or value == other
                return found is not expr.negated
            case tree.Member():
                return self._member(env, expr)
            case tree.Lookup():
                assert isinstance(expr.of, tree.TypeName)
                row = self._get(own, expr.of.name, self._keys(env, expr.of.name, expr.keys))
                if row is None:
                    raise Stop("missing_row", "", own, expr.line)
                return row
            case tree.Exists():
                assert isinstance(expr.row, tree.Lookup)
                assert isinstance(expr.row.of, tree.TypeName)
                return self.host.get(self._keys(env, expr.row.of.name, expr.row.keys)) is not None
            case tree.Zero(of=None):
                return 0
            case tree.Zero():
                assert expr.of is not None
                value = self._value(env, expr.of)
                return Amount(value if isinstance(value, str) else value.code, 0)
            case tree.HasRole():
                party = self._value(env, expr.party)
                signers = range(len(self.host.signers))
                return any(self.host.decide(at, expr.role, party, ()).startswith("ok") for at in signers)
            case tree.Call():
                return self._call(env, expr)
        raise AssertionError(f"the reference does not know {type(expr).__name__}")

    def _name(self, env: Env, name: str) -> Any:
        if name in env.names:
            return env.names[name]
        constants = self.consts.get(env.contract.name, {})
        if name in constants:
            return constants[name]
        match name:
            case "caller":
                return self.host.signers[0].company
            case "sender":
                return self.host.signers[0].user
            case "today":
                return datetime.date.fromordinal(self.host.day + 1)
        assert name == "height"
        return self.host.height

    def _shown(self, env: Env, path: tuple[str, ...]) -> str:
        value = self._name(env, path[0])
        if len(path) == 2:
            value = value[path[1]]
        match value:
            case bool():
                return "true" if value else "false"
            case Amount():
                places = self.currencies[value.code]
                whole, rest = divmod(abs(value.minor), 10**places)
                sign = "-" if value.minor < 0 else ""
                return f"{value.code} {sign}{whole}" + (f".{rest:0{places}d}" if places else "")
            case Choice():
                return value.name
        return str(value)

    def _sum(self, env: Env, expr: tree.Sum) -> Any:
        own = env.contract.name
        total = self._value(env, expr.first)
        for sign, operand in expr.rest:
            factor = 1 if sign == "+" else -1
            if isinstance(operand, tree.Days):
                number = total.toordinal() + factor * self._value(env, operand.count)
                if not 1 <= number <= datetime.date.max.toordinal():
                    raise Stop("date_range", "", own, expr.line)
                total = datetime.date.fromordinal(number)
                continue
            value = self._value(env, operand)
            self._same_currency(own, expr.line, total, value)
            if isinstance(total, Amount):
                total = Amount(total.code, total.minor + factor * value.minor)
            else:
                total += factor * value
        return total

    def _same_currency(self, own: str, line: int, left: Any, right: Any) -> None:
        if isinstance(left, Amount) and isinstance(right, Amount) and left.code != right.code:
            raise Stop("currency_mismatch", "", own, line)

    def _compare(self, env: Env, expr: tree.Compare) -> bool:
        left, right = self._value(env, expr.left), self._value(env, expr.right)
        self._same_currency(env.contract.name, expr.line, left, right)
        left = left.minor if isinstance(left, Amount) else left
        right = right.minor if isinstance(right, Amount) else right
        return _holds(expr.op, left, right)

    def _member(self, env: Env, expr: tree.Member) -> Any:
        match expr.of:
            case tree.TypeName():
                return Choice(expr.name)
            case tree.Member(of=tree.Name(name=owner), name=name) if owner in self.contracts and name[0].isupper():
                return Choice(expr.name)
        value = self._value(env, expr.of)
        if isinstance(value, Amount):
            return value.code if expr.name == "currency" else value.minor
        return value[expr.name]

    def _call(self, env: Env, expr: tree.Call) -> Any:
        own = env.contract.name
        match expr.of:
            case tree.Member(of=tree.Name(name=owner), name=name):
                routine = self._routine(owner, name)
            case tree.Name(name=name):
                owner = own
                found = [r for r in env.contract.routines if r.name == name]
                if not found:
                    return self._builtin(env, expr, name)
                routine = found[0]
        kinds = {p.name: self._kind(owner, p.type) for p in routine.params}
        given: dict[str, Any] = {}
        for param, arg in zip(routine.params, expr.args, strict=True):
            name = arg.name or param.name
            given[name] = self._store(env, arg.value, kinds[name].size)
        return self._enter(owner, routine, [given[p.name] for p in routine.params])

    def _builtin(self, env: Env, expr: tree.Call, name: str) -> Any:
        own = env.contract.name
        if name == "company_has":
            role = expr.args[1].value
            assert isinstance(role, tree.Member)
            return self.host.company_has(self._value(env, expr.args[0].value), role.name)
        if name == "money_of":
            code = self._value(env, expr.args[0].value)
            return Amount(code, self._store(env, expr.args[1].value, 0))
        args = [self._value(env, arg.value) for arg in expr.args]
        match name:
            case "min" | "max":
                self._same_currency(own, expr.line, *args)
                key = (lambda v: v.minor) if isinstance(args[0], Amount) else (lambda v: v)
                return (min if name == "min" else max)(args, key=key)
            case "abs":
                return Amount(args[0].code, abs(args[0].minor)) if isinstance(args[0], Amount) else abs(args[0])
            case "count":
                return len(args[0])
            case "floor_div" | "mod":
                if args[1] == 0:
                    raise Stop("divide_by_zero", "", own, expr.line)
                return args[0] // args[1] if name == "floor_div" else args[0] % args[1]
            case "days_between":
                return (args[1] - args[0]).days
        assert name == "new_id"
        self.counter += 1
        body = b"".join(
            len(part).to_bytes(4, "big") + part
            for part in (b"hansa/v1/object", self.host.tx_id, self.counter.to_bytes(4, "big"))
        )
        return f"{args[0]}-{base64.b32encode(hashlib.sha256(body).digest()).decode().lower()[:26]}"


def _holds(op: str, left: Any, right: Any) -> bool:
    match op:
        case "==":
            return bool(left == right)
        case "!=":
            return bool(left != right)
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
    return bool(left >= right)


def _mentions(expr: Any, name: str) -> bool:
    """Tell whether `name` stands anywhere inside a tree."""
    if isinstance(expr, tree.Name):
        return expr.name == name
    if isinstance(expr, tree.Text):
        return any(isinstance(part, tuple) and part[0] == name for part in expr.parts)
    if isinstance(expr, tuple):
        return any(_mentions(item, name) for item in expr)
    if isinstance(expr, tree.Node):
        return any(_mentions(getattr(expr, slot), name) for cls in type(expr).__mro__ for slot in _slots(cls))
    return False


def _slots(cls: type) -> tuple[str, ...]:
    return tuple(getattr(cls, "__slots__", ()))
