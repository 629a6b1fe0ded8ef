"""What a program means, in plain Python: walks the syntax tree, knows no slots, no closures, no gas.

Written from the rules of the language (L numbers), not from the interpreter. It shares only the parser with it; types,
key bytes, scan order, dates, ids and authority are worked out here again, from the tree and by the plainest means
(sorting all rows, trying all permutations, `datetime`). Only for tests. Budgets are not modelled: worst cases are
checked before a program is admitted, and gas is the business of other tests.
"""

from __future__ import annotations

import base64
import calendar
import dataclasses
import datetime
import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import msgspec

from contracts.syntax import tree
from contracts.syntax.parse import parse
from ledger.receipt import ContractEvent

INT_MAX = 2**63 - 1
TEXT_CHARS = 4_096


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
class RawMoney:
    """Unrounded money; an unrounded number is a `Fraction`."""

    code: str
    value: Fraction


@dataclass(frozen=True)
class Rate:
    places: int
    value: Fraction


@dataclass(frozen=True)
class Choice:
    """A value of an enum."""

    name: str


class Row(dict[str, Any]):
    """Field name -> value of a row or record; `home` is (contract, table or record)."""

    def __init__(self, home: tuple[str, str], values: dict[str, Any]) -> None:
        super().__init__(values)
        self.home = home


@dataclass(frozen=True)
class Kind:
    word: str
    size: int = 0
    owner: str = ""
    name: str = ""
    parts: tuple[Kind, ...] = ()


@dataclass
class Env:
    """One routine running: its contract, its names and their kinds, the kind of its result, what `old` kept."""

    contract: tree.Contract
    names: dict[str, Any] = field(default_factory=dict)
    kinds: dict[str, Kind] = field(default_factory=dict)
    result: Kind = Kind("")
    olds: dict[int, Any] = field(default_factory=dict)


@dataclass
class Returned:
    value: Any


class Reference:
    """Runs calls on a host that the test provides."""

    def __init__(self, sources: list[bytes], currencies: dict[str, int]) -> None:
        self.contracts: dict[str, tree.Contract] = {}
        self.versions: dict[str, list[tree.Contract]] = {}
        self.scheduled = False
        for source in sources:
            file = parse(source)
            assert isinstance(file, tree.Contract)
            self.versions.setdefault(file.name, []).append(file)
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

    def fire(self, contract: str, schedule: str, key: bytes, host: Any) -> Any:
        """Run one entry, which is removed already; return its events or raise `Stop` (L55)."""
        self.host, self.counter, self.scheduled = host, 0, True
        self.events, self.touched = [], {}
        item = next(one for one in self.contracts[contract].schedules if one.name == schedule)
        env = Env(self.contracts[contract])
        if item.kind == "row":
            row = self._get(contract, item.table, self._prefix(b"t", contract, item.table) + key)
            env.names["row"], env.kinds["row"] = row, Kind("row", 0, contract, item.table)
        if item.kind != "row" or (row is not None and (item.where is None or self._value(env, item.where))):
            self._block(env, item.body)
        self._invariants()
        self.scheduled = False
        if item.kind != "row":
            day = datetime.date.fromordinal(host.day + 2)
            while item.kind == "month":
                if day.day == min(item.days, calendar.monthrange(day.year, day.month)[1]):
                    break
                day += datetime.timedelta(days=1)
            self._arm(contract, schedule, b"", day.toordinal() - 1)
        return tuple(self.events)

    def _arm(self, contract: str, schedule: str, key: bytes, day: int | None) -> None:
        """H5: "s" day name and "p" name, the name ending with the key parts of the row."""
        name = contract.encode() + b"\x00" + schedule.encode() + b"\x00" + key
        standing = self.host.get(b"p" + name)
        if standing is not None:
            self.host.delete(b"p" + name)
            before, code, _ = msgspec.msgpack.decode(standing)
            if not code:
                self.host.delete(b"s" + before.to_bytes(4, "big") + name)
        if day is not None:
            self.host.put(b"s" + day.to_bytes(4, "big") + name, b"\xc0")
            self.host.put(b"p" + name, msgspec.msgpack.encode([day, "", ""]))

    def _follow(self, contract: str, table: str, key: bytes, before: Row | None, now: Row | None) -> None:
        """L53: what a write of a row does to the schedules on its dates."""
        for item in self.contracts[contract].schedules:
            if item.kind != "row" or item.table != table:
                continue
            old, new = (None if row is None else row[item.field] for row in (before, now))
            if before is not None and now is not None and old == new:
                continue
            day = None if new is None else new.toordinal() - 1 + item.days
            if day is not None and not 0 <= day < datetime.date.max.toordinal():
                day = None
            if day is not None and self.scheduled:
                day = max(day, self.host.day + 1)
            self._arm(contract, item.name, key[len(self._prefix(b"t", contract, table)) :], day)

    # -- declarations

    def _routine(self, contract: str, name: str) -> tree.Routine:
        return next(r for r in self.contracts[contract].routines if r.name == name)

    def _table(self, contract: str, name: str) -> tree.Table:
        return next(t for t in self.contracts[contract].tables if t.name == name)

    def _kind(self, contract: str, ref: tree.TypeRef) -> Kind:
        if ref.kind:
            return Kind(ref.kind, ref.size, "", "", tuple(self._kind(contract, part) for part in ref.parts))
        owner = ref.contract or contract
        if any(t.name == ref.name for t in self.contracts[owner].tables):
            return Kind("row", 0, owner, ref.name)
        if any(r.name == ref.name for r in self.contracts[owner].records):
            return Kind("record", 0, owner, ref.name)
        return Kind("enum", 0, owner, ref.name)

    def _fields(self, contract: str, table: str) -> list[tuple[str, Kind]]:
        for record in self.contracts[contract].records:
            if record.name == table:
                return [(f.name, self._kind(contract, f.type)) for f in record.fields]
        found = self._table(contract, table)
        return [(f.name, self._kind(contract, f.type)) for f in (*found.key, *found.fields)]

    def _consts(self, contract: tree.Contract) -> dict[str, Any]:
        env = Env(contract)
        for const in contract.consts:
            kind = Kind("") if const.type is None else self._kind(contract.name, const.type)
            env.names[const.name] = self._store(env, const.value, kind)
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
            case "rate":
                return Rate(kind.size, Fraction(value, 10**kind.size))
            case "option" if value is not None:
                return self._from_wire(kind.parts[0], value)
            case "list":
                return tuple(self._from_wire(kind.parts[0], item) for item in value)
            case "record":
                fields = self._fields(kind.owner, kind.name)
                values = {name: self._from_wire(part, item) for (name, part), item in zip(fields, value, strict=True)}
                return Row((kind.owner, kind.name), values)
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
            case Rate():
                return int(value.value * 10**value.places)
            case tuple():
                return tuple(self._wire(item) for item in value)
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

    def _stored(self, contract: str, table: str, data: bytes) -> Row:
        """Return a row in the layout that wrote it."""
        layout, *raw = msgspec.msgpack.decode(data)
        fields = [(f.name, self._kind(contract, f.type)) for f in self._layouts(contract, table)[layout - 1][1]]
        values = {name: self._from_wire(kind, item) for (name, kind), item in zip(fields, raw, strict=True)}
        return Row((contract, table), values)

    def _row(self, contract: str, table: str, data: bytes) -> Row:
        layout, layouts = msgspec.msgpack.decode(data)[0], self._layouts(contract, table)
        row = self._stored(contract, table, data)
        for version, wanted in layouts[layout:]:
            sets = next(item.sets for item in version.migrations if item.table == table)
            env = Env(version, {"row": row})
            kinds = {f.name: self._kind(contract, f.type) for f in wanted}
            new = {arg.name: self._store(env, arg.value, kinds[arg.name]) for arg in sets}
            row = Row((contract, table), {name: new[name] if name in new else row[name] for name in kinds})
        return row

    def _layouts(self, contract: str, table: str) -> list[tuple[tree.Contract, list[tree.Field]]]:
        """L62: the fields of a table each time they changed, with the version that changed them."""
        found: list[tuple[tree.Contract, list[tree.Field]]] = []
        for version in self.versions[contract]:
            for item in version.tables:
                if item.name == table:
                    fields = [*item.key, *item.fields]
                    if not found or [f.name for f in found[-1][1]] != [f.name for f in fields]:
                        found.append((version, fields))
        return found

    def _write(self, contract: str, table: str, key: bytes, row: Row | None) -> None:
        before = self._get(contract, table, key)
        if before is not None:
            for entry in self._entries(contract, table, before):
                self.host.delete(entry)
            self.host.delete(key)
        if row is not None:
            layout = len(self._layouts(contract, table))
            self.host.put(key, msgspec.msgpack.encode([layout, *(self._wire(value) for value in row.values())]))
            for entry in self._entries(contract, table, row):
                self.host.put(entry, b"\xc0")
        self._follow(contract, table, key, before, row)
        if key not in self.touched:
            self.touched[key] = (contract, table, before)

    # -- calls

    def _enter(self, contract: str, routine: tree.Routine, values: list[Any]) -> Any:
        env = Env(self.contracts[contract])
        for param, value in zip(routine.params, values, strict=True):
            env.names[param.name] = value
            env.kinds[param.name] = self._kind(contract, param.type)
        if routine.result is not None:
            env.result = self._kind(contract, routine.result)
        demands = [d for d in routine.demands or () if isinstance(d, tree.RoleDemand)]
        if demands:
            self._authorise(env, routine, demands)
        for node in _olds(routine.ensures):
            env.olds[id(node)] = self._store(env, node.value, Kind(""))
        done = self._block(env, routine.body)
        result = done.value if isinstance(done, Returned) else None
        if result is not None:
            env.names["result"] = result
        for item in routine.ensures:
            if not self._value(env, item.condition):
                raise Stop("ensure_failed", item.reason, contract, item.line, str(self._value(env, item.text))[:200])
        return result

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
                env.kinds[item.name] = self._inferred(env, item.value) if kind is None else kind
                env.names[item.name] = self._store(env, item.value, env.kinds[item.name])
            case tree.Assign():
                value = item.value
                if item.op != "=":
                    here = tree.Name(item.line, item.column, item.name)
                    value = tree.Sum(item.line, item.column, here, ((item.op[0], item.value),))
                env.names[item.name] = self._store(env, value, env.kinds[item.name])
            case tree.AssignItem():
                self._assign_item(env, item)
            case tree.Append():
                kind, value = env.kinds[item.name], env.names[item.name]
                new = self._store(env, item.value, kind.parts[0])
                if len(value) >= kind.size:
                    raise Stop("list_full", "", own, item.line)
                env.names[item.name] = (*value, new)
            case tree.Remove():
                kind = env.kinds[item.name]
                place = self._part(kind.parts[0], self._store(env, item.key, kind.parts[0]))
                entries = dict(env.names[item.name])
                if entries.pop(place, None) is None:
                    raise Stop("missing_key", "", own, item.line)
                env.names[item.name] = entries
            case tree.ForEach():
                return self._for_each(env, item)
            case tree.CallStatement():
                self._value(env, item.call)
            case tree.Write():
                kinds = dict(self._fields(own, item.table))
                given = {arg.name: self._store(env, arg.value, kinds[arg.name]) for arg in item.args}
                row = Row((own, item.table), {name: given[name] for name in kinds})
                key = self._key(own, item.table, [row[f.name] for f in self._table(own, item.table).key])
                if item.op == "insert" and self.host.get(key) is not None:
                    raise Stop("row_exists", "", own, item.line)
                self._write(own, item.table, key, row)
            case tree.Update():
                key = self._keys(env, item.table, item.keys)
                kinds = dict(self._fields(own, item.table))
                sets = {arg.name: self._store(env, arg.value, kinds[arg.name]) for arg in item.sets}
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
                return Returned(self._store(env, item.value, env.result))
            case tree.Require():
                if not self._value(env, item.condition):
                    raise Stop("require_failed", item.reason, own, item.line, str(self._value(env, item.text))[:200])
            case tree.Emit():
                decl = next(e for e in env.contract.events if e.name == item.event)
                kinds = {f.name: self._kind(own, f.type) for f in decl.fields}
                given = {arg.name: self._store(env, arg.value, kinds[arg.name]) for arg in item.args}
                fields = tuple(self._wire(given[f.name]) for f in decl.fields)
                self.events.append(ContractEvent(own, item.event, fields))
        return None

    def _assign_item(self, env: Env, item: tree.AssignItem) -> None:
        kind, own, value = env.kinds[item.name], env.contract.name, item.value
        if item.op != "=":
            here = tree.Lookup(item.line, item.column, tree.Name(item.line, item.column, item.name), (item.key,))
            value = tree.Sum(item.line, item.column, here, ((item.op[0], item.value),))
        new = self._store(env, value, kind.parts[-1])
        key = self._store(env, item.key, Kind("int") if kind.word == "list" else kind.parts[0])
        found = env.names[item.name]
        if kind.word == "list":
            if not 0 <= key < len(found):
                raise Stop("index_range", "", own, item.line)
            env.names[item.name] = (*found[:key], new, *found[key + 1 :])
            return
        place = self._part(kind.parts[0], key)
        if place not in found and len(found) >= kind.size:
            raise Stop("map_full", "", own, item.line)
        env.names[item.name] = {**found, place: (key, new)}

    def _for_each(self, env: Env, item: tree.ForEach) -> Returned | None:
        turns: list[tuple[Any, ...]]
        kinds = self._inferred(env, item.source).parts
        for name, kind in zip((item.variable, item.second), kinds, strict=False):
            env.kinds[name] = kind
        match item.source:
            case tree.Call(of=tree.Name(name="range"), args=(arg,)):
                count = self._store(env, arg.value, Kind("int"))
                if item.bound is not None and count > item.bound:
                    raise Stop("limit_exceeded", "", env.contract.name, item.line)
                turns = [(at,) for at in range(count)]
            case _:
                found = self._value(env, item.source)
                turns = [found[at] for at in sorted(found)] if isinstance(found, dict) else [(each,) for each in found]
        for values in turns:
            for name, value in zip((item.variable, item.second), values, strict=False):
                env.names[name] = value
            done = self._block(env, item.body)
            if done is not None:
                return done
        env.names.pop(item.variable, None)
        env.names.pop(item.second, None)
        return None

    def _for(self, env: Env, item: tree.For) -> Returned | None:
        own, table = env.contract.name, item.table.name
        rest, keys = self._scan(env, item)
        env.kinds[item.variable] = Kind("row", 0, own, table)
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
        """L37: choose key or index; return the conditions that filter and the row keys in scan order.

        Columns are looked at, rows are not read: a row is lifted when its turn in the loop comes (L62).
        """
        own, table = env.contract.name, item.table.name
        found, kinds = self._table(own, table), dict(self._fields(own, table))
        where = item.where
        every: list[tree.Expr] = []
        if where is not None:
            every = list(where.operands) if isinstance(where, tree.Logic) and where.op == "and" else [where]
        bounds = [
            (c, *b)
            for c in every
            if (b := self._bound(item.variable, kinds, c)) is not None and not self._may_be_none(env, b[2])
        ]
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
                data = self.host.get(key)
                row = self._stored(own, table, data)
                if any(name not in row for name in columns):  # an index over a new field
                    row = self._row(own, table, data)
                if all(_holds(op, row[name], value) for name, op, value in tests):
                    order = b"".join(self._part(kinds[name], row[name]) for name in columns)
                    hits.append((order + key[len(prefix) :], key))
        return rest, [key for _, key in sorted(hits)]

    def _may_be_none(self, env: Env, expr: Any) -> bool:
        """Tell whether an expression is an option, which is no bound of a range (L37)."""
        match expr:
            case tree.Maybe() | tree.Nothing():
                return True
            case tree.Name(name=name):
                return env.kinds.get(name, Kind("")).word == "option"
            case tree.Member(of=tree.Name(name=name), name=field) if isinstance(env.names.get(name), Row):
                return dict(self._fields(*env.names[name].home))[field].word == "option"
            case tree.Call(of=tree.Name(name=name)):
                found = [r for r in env.contract.routines if r.name == name and r.result is not None]
                return any(r.result is not None and r.result.kind == "option" for r in found)
        return False

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

    def _store(self, env: Env, expr: tree.Expr, kind: Kind) -> Any:
        own = env.contract.name
        if kind.word == "option":
            kind = kind.parts[0]
        if isinstance(expr, tree.ListOf) and kind.word == "list":
            return tuple(self._store(env, item, kind.parts[0]) for item in expr.items)
        value = self._value(env, expr)
        if isinstance(value, Rate):
            places = kind.size if kind.word == "rate" else value.places
            if abs(value.value * 10**places) > INT_MAX:
                raise Stop("overflow", "", own, expr.line)
            return Rate(places, value.value)
        if type(value) is int and not -INT_MAX <= value <= INT_MAX:
            raise Stop("overflow", "", own, expr.line)
        if isinstance(value, Amount) and not -INT_MAX <= value.minor <= INT_MAX:
            raise Stop("overflow", "", own, expr.line)
        if kind.word == "text" and isinstance(value, str) and len(value) > kind.size:
            raise Stop("text_too_long", "", own, expr.line)
        return value

    def _keys(self, env: Env, table: str, keys: tuple[tree.Expr, ...]) -> bytes:
        own = env.contract.name
        kinds = [kind for _, kind in self._fields(own, table)]
        return self._key(own, table, [self._store(env, k, kind) for k, kind in zip(keys, kinds, strict=False)])

    def _inferred(self, env: Env, expr: tree.Expr) -> Kind:
        """Return the kind of a local without a written type, as far as its stores need it; `Kind("")` where none does.

        Bounds of texts and lists come from what the value is made of (L30, L31), never from the value itself.
        """
        own = env.contract.name
        match expr:
            case tree.Text():
                sizes = [len(part) if isinstance(part, str) else self._shown_size(env, part) for part in expr.parts]
                return Kind("text", min(sum(sizes), TEXT_CHARS))
            case tree.Name(name=name) if name in env.kinds:
                return env.kinds[name]
            case tree.Name(name=name) if isinstance(self.consts[own].get(name), str):
                return Kind("text", len(self.consts[own][name]))
            case tree.ListOf(items=items) if items:
                return Kind("list", len(items), "", "", (self._inferred(env, items[0]),))
            case tree.Member() if not isinstance(expr.of, tree.TypeName):
                home = self._inferred(env, expr.of)
                return dict(self._fields(home.owner, home.name))[expr.name] if home.name else Kind("")
            case tree.Lookup(of=tree.TypeName(name=name)):
                return Kind("row", 0, own, name)
            case tree.Lookup():
                return self._inferred(env, expr.of).parts[-1]
            case tree.Maybe():
                return Kind("option", 0, "", "", (self._inferred(env, expr.of),))
            case tree.Call():
                return self._inferred_call(env, expr)
        return Kind("")

    def _inferred_call(self, env: Env, expr: tree.Call) -> Kind:
        owner, name = env.contract.name, ""
        match expr.of:
            case tree.Name():
                name = expr.of.name
            case tree.Member(of=tree.Name()):
                owner, name = expr.of.of.name, expr.of.name
            case tree.TypeName():
                return Kind("record", 0, owner, expr.of.name)
        if any(routine.name == name for routine in self.contracts[owner].routines):
            result = self._routine(owner, name).result
            return Kind("") if result is None else self._kind(owner, result)
        kinds = [self._inferred(env, arg.value) for arg in expr.args]
        match name:
            case "default" | "value_of":
                return kinds[0].parts[0]
            case "min" | "max" if kinds[0].word == "text":
                return Kind("text", max(kind.size for kind in kinds))
            case "split":
                parts = self._value(env, expr.args[1].value)
                return Kind("list", parts, "", "", (Kind("money"),))
            case "share":
                return Kind("list", kinds[1].size, "", "", (Kind("money"),))
            case "new_id":
                return Kind("text", 40)
        return Kind("")

    def _shown_size(self, env: Env, path: tuple[str, ...]) -> int:
        """Return the most code points that an insert has (L30)."""
        value = env.names.get(path[0], self.consts.get(env.contract.name, {}).get(path[0]))
        kind = self._inferred(env, tree.Name(0, 0, path[0]))
        if len(path) == 2:
            assert isinstance(value, Row)
            kind, value = dict(self._fields(*value.home))[path[1]], value[path[1]]
        match value:
            case bool():
                return 5
            case int():
                return 20
            case Amount():
                return 36
            case Rate():
                return 22
            case datetime.date():
                return 10
            case Choice():
                return 40
        return kind.size if kind.word == "text" else 64

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
                built = "".join(part if isinstance(part, str) else self._shown(env, part) for part in expr.parts)
                if len(built) > TEXT_CHARS:
                    raise Stop("text_too_long", "", own, expr.line)
                return built
            case tree.Name():
                return self._name(env, expr.name)
            case tree.Unary(op="not"):
                return not self._value(env, expr.operand)
            case tree.Unary():
                value = self._value(env, expr.operand)
                if isinstance(value, Rate):
                    return Rate(value.places, -value.value)
                return Amount(value.code, -value.minor) if isinstance(value, Amount) else -value
            case tree.Logic(op="and"):
                return all(self._value(env, item) for item in expr.operands)
            case tree.Logic():
                return any(self._value(env, item) for item in expr.operands)
            case tree.Sum():
                return self._sum(env, expr)
            case tree.Product():
                values = [self._value(env, item) for item in expr.operands]
                total = values[0]
                for sign, value in zip(expr.signs, values[1:], strict=True):
                    total = self._times(total, value) if sign == "*" else self._over(own, expr.line, total, value)
                return total
            case tree.Compare():
                return self._compare(env, expr)
            case tree.IsIn():
                value = self._value(env, expr.value)
                found = False
                for item in expr.items:
                    other = self._value(env, item)
                    self._same_currency(own, expr.line, value, other)
                    found = found or _plain(value) == _plain(other)
                return found is not expr.negated
            case tree.IsWithin():
                of = self._inferred(env, expr.of)
                if of.word == "map":
                    place = self._part(of.parts[0], self._store(env, expr.value, of.parts[0]))
                    return (place in self._value(env, expr.of)) is not expr.negated
                value, items = self._value(env, expr.value), self._value(env, expr.of)
                for other in items:
                    self._same_currency(own, expr.line, value, other)
                return any(_plain(value) == _plain(other) for other in items) is not expr.negated
            case tree.IsNone():
                return (self._value(env, expr.value) is None) is not expr.negated
            case tree.Nothing():
                return None
            case tree.Rate():
                return Rate(expr.places, Fraction(expr.value, 10**expr.places))
            case tree.ListOf():
                return tuple(self._store(env, item, Kind("")) for item in expr.items)
            case tree.EmptyMap():
                return {}
            case tree.Old():
                return env.olds[id(expr)]
            case tree.Maybe():
                return self._lookup(env, expr.of, maybe=True)
            case tree.Member():
                return self._member(env, expr)
            case tree.Lookup():
                return self._lookup(env, expr, maybe=False)
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

    def _lookup(self, env: Env, expr: tree.Lookup, maybe: bool) -> Any:
        own = env.contract.name
        if isinstance(expr.of, tree.TypeName):
            row = self._get(own, expr.of.name, self._keys(env, expr.of.name, expr.keys))
            if row is None and not maybe:
                raise Stop("missing_row", "", own, expr.line)
            return row
        found = self._value(env, expr.of)
        if isinstance(found, dict):
            kind = self._key_kind(env, expr.of)
            place = self._part(kind, self._store(env, expr.keys[0], kind))
            if place not in found and not maybe:
                raise Stop("missing_key", "", own, expr.line)
            return found[place][1] if place in found else None
        at = self._store(env, expr.keys[0], Kind("int"))
        if not 0 <= at < len(found):
            raise Stop("index_range", "", own, expr.line)
        return found[at]

    def _key_kind(self, env: Env, expr: tree.Expr) -> Kind:
        assert isinstance(expr, tree.Name)
        return env.kinds[expr.name].parts[0]

    def _times(self, left: Any, right: Any) -> Any:
        if isinstance(left, Amount | RawMoney) or isinstance(right, Amount | RawMoney):
            money, by = (left, right) if isinstance(left, Amount | RawMoney) else (right, left)
            if isinstance(money, Amount) and type(by) is int:
                return Amount(money.code, money.minor * by)
            return RawMoney(money.code, _plain(money) * _plain(by))
        if type(left) is int and type(right) is int:
            return left * right
        if isinstance(left, Rate) and type(right) is int:
            return Rate(left.places, left.value * right)
        if isinstance(right, Rate) and type(left) is int:
            return Rate(right.places, right.value * left)
        return Fraction(_plain(left) * _plain(right))

    def _over(self, own: str, line: int, left: Any, right: Any) -> Any:
        self._same_currency(own, line, left, right)
        if _plain(right) == 0:
            raise Stop("divide_by_zero", "", own, line)
        found = Fraction(_plain(left)) / Fraction(_plain(right))
        if isinstance(left, Amount | RawMoney) and not isinstance(right, Amount | RawMoney):
            return RawMoney(left.code, found)
        return found

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
            case Rate():
                scaled = int(value.value * 10**value.places)
                whole, rest = divmod(abs(scaled), 10**value.places)
                return f"{'-' if scaled < 0 else ''}{whole}.{rest:0{value.places}d}"
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
            if isinstance(total, Amount) and isinstance(value, Amount):
                total = Amount(total.code, total.minor + factor * value.minor)
            elif isinstance(total, Amount | RawMoney):
                total = RawMoney(total.code, Fraction(_plain(total) + factor * _plain(value)))
            elif isinstance(total, Rate) and isinstance(value, Rate):
                total = Rate(max(total.places, value.places), total.value + factor * value.value)
            elif type(total) is int and type(value) is int:
                total += factor * value
            else:
                total = Fraction(_plain(total) + factor * _plain(value))
        return total

    def _same_currency(self, own: str, line: int, left: Any, right: Any) -> None:
        both = isinstance(left, Amount | RawMoney) and isinstance(right, Amount | RawMoney)
        if both and left.code != right.code:
            raise Stop("currency_mismatch", "", own, line)

    def _compare(self, env: Env, expr: tree.Compare) -> bool:
        left, right = self._value(env, expr.left), self._value(env, expr.right)
        self._same_currency(env.contract.name, expr.line, left, right)
        return _holds(expr.op, _plain(left), _plain(right))

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
            case tree.TypeName(name=name):
                return self._record(env, expr, own, name)
            case tree.Member(of=tree.Name(name=owner), name=name) if name[0].isupper():
                return self._record(env, expr, owner, name)
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
            given[name] = self._store(env, arg.value, kinds[name])
        return self._enter(owner, routine, [given[p.name] for p in routine.params])

    def _stored_builtin(self, env: Env, expr: tree.Call, name: str) -> Any:
        own, given = env.contract.name, [arg.value for arg in expr.args]
        first = self._store(env, given[0], Kind(""))
        if name == "default":
            second = self._store(env, given[1], Kind(""))
            found = second if first is None else first
            if isinstance(found, Rate):
                places = max(item.places for item in (first, second) if item is not None)
                return Rate(places, found.value)
            return found
        second = self._store(env, given[1], Kind("int"))
        if name == "add_months":
            year, month = divmod(first.year * 12 + first.month - 1 + second, 12)
            if not 1 <= year <= 9999:
                raise Stop("date_range", "", own, expr.line)
            return datetime.date(year, month + 1, min(first.day, calendar.monthrange(year, month + 1)[1]))
        if name == "year_fraction":
            assert isinstance(given[2], tree.Member)
            if given[2].name == "thirty_360":
                months = 12 * (second.year - first.year) + second.month - first.month
                return Fraction(30 * months + min(second.day, 30) - min(first.day, 30), 360)
            return Fraction((second - first).days, 360 if given[2].name == "act_360" else 365)
        weights = [1] * second if name == "split" else list(second)
        for weight in weights:
            self._same_currency(own, expr.line, weight, weights[0])
        weights = [_plain(weight) for weight in weights]
        if min(weights, default=0) < 0 or sum(weights) == 0:
            raise Stop("bad_weights", "", own, expr.line)
        ideal = [Fraction(abs(first.minor) * weight, sum(weights)) for weight in weights]
        parts = [int(item) for item in ideal]
        while sum(parts) < abs(first.minor):
            rests = [ideal[at] - parts[at] for at in range(len(parts))]
            parts[rests.index(max(rests))] += 1
        return tuple(Amount(first.code, -part if first.minor < 0 else part) for part in parts)

    def _record(self, env: Env, expr: tree.Call, owner: str, name: str) -> Row:
        kinds = dict(self._fields(owner, name))
        given = {arg.name: self._store(env, arg.value, kinds[arg.name]) for arg in expr.args}
        return Row((owner, name), {field: given[field] for field in kinds})

    def _builtin(self, env: Env, expr: tree.Call, name: str) -> Any:
        own = env.contract.name
        if name == "company_has":
            role = expr.args[1].value
            assert isinstance(role, tree.Member)
            return self.host.company_has(self._value(env, expr.args[0].value), role.name)
        if name == "money_of":
            code = self._value(env, expr.args[0].value)
            return Amount(code, self._store(env, expr.args[1].value, Kind("int")))
        if name in ("split", "share", "default", "add_months", "year_fraction"):
            return self._stored_builtin(env, expr, name)
        args = [self._value(env, arg.value) for arg in expr.args]
        match name:
            case "min" | "max":
                self._same_currency(own, expr.line, *args)
                chosen = (min if name == "min" else max)(args, key=_plain)
                if isinstance(chosen, Rate):
                    return Rate(max(item.places for item in args), chosen.value)
                return chosen
            case "abs" if isinstance(args[0], Rate):
                return Rate(args[0].places, abs(args[0].value))
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
            case "value_of":
                if args[0] is None:
                    raise Stop("none_value", "", own, expr.line)
                return args[0]
            case "starts_with":
                return args[0][: len(args[1])] == args[1]
            case "end_of_month":
                return args[0].replace(day=calendar.monthrange(args[0].year, args[0].month)[1])
            case "year_of" | "month_of" | "day_of":
                return (args[0].year, args[0].month, args[0].day)[("year_of", "month_of", "day_of").index(name)]
            case "weekday":
                return args[0].isoweekday()
            case "round_half_up" | "round_half_even" | "round_down":
                return _rounded(name, args[0], args[1] if len(args) == 2 else 0)
        assert name == "new_id", name
        self.counter += 1
        body = b"".join(
            len(part).to_bytes(4, "big") + part
            for part in (b"hansa/v1/object", self.host.tx_id, self.counter.to_bytes(4, "big"))
        )
        return f"{args[0]}-{base64.b32encode(hashlib.sha256(body).digest()).decode().lower()[:26]}"


def _rounded(name: str, value: Any, places: int) -> Any:
    exact = Fraction(value.value if isinstance(value, RawMoney) else value) * 10**places
    size = abs(exact)
    whole = {
        "round_half_up": (size + Fraction(1, 2)).__floor__(), "round_half_even": round(size), "round_down": int(size),
    }[name]  # fmt: skip
    found = -whole if exact < 0 else whole
    if isinstance(value, RawMoney):
        return Amount(value.code, found)
    return Rate(places, Fraction(found, 10**places)) if places else found


def _plain(value: Any) -> Any:
    """Return the number inside an amount, rate or unrounded value; other values as they are."""
    match value:
        case Amount():
            return value.minor
        case RawMoney() | Rate():
            return value.value
    return value


def _olds(node: Any) -> Iterator[tree.Old]:
    """Yield every `old` of a tree in the order of evaluation."""
    if isinstance(node, tree.Old):
        yield node
    elif isinstance(node, tuple):
        for item in node:
            yield from _olds(item)
    elif isinstance(node, tree.Node):
        for part in dataclasses.fields(node):
            yield from _olds(getattr(node, part.name))


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
