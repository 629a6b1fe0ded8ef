"""What a contract says, in sentences that people who approve it can read (`hansa contract explain`).

Door: `explain(code, words) -> list[Told]`. `words` are the sentences of one language by key, with `{name}` where a part
stands; the same keys exist in every language. Everything told comes from the checked tree, nothing from comments, so an
explanation cannot say other than the contract does.

No two expressions that mean different things are told alike: a part stands in brackets where it could be read as more
or less than it is, whether because of an operator or because of an "and" or a comma of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from contracts.runtime import Code
from contracts.syntax import tree

Words = Mapping[str, str]


class Told(NamedTuple):
    """One sentence, `level` steps indented; `line` is where it stands in the source."""

    level: int
    line: int
    text: str


def explain(code: Code, words: Words) -> list[Told]:
    """Return the sentences of a compiled contract: what it keeps, what always holds, who may do what and how."""
    return _Teller(code, words).contract()


_COMPARED = {"==": "is", "!=": "is_not", "<": "less", "<=": "at_most", ">": "more", ">=": "at_least"}
_PART = re.compile(r"\{([a-z]+)\}")
_QUOTED = re.compile("\ue000([0-9]+)\ue001")
"""Where the text of a literal goes at last: until then no word inside it can be taken for a word of the sentence."""
_COMMAS = (",", "\uff0c")
_OPENING, _CLOSING = "([\uff08\u201c", ")]\uff09\u201d"
"""Brackets and quotation marks of both languages; the straight one opens and closes."""
_SUMS = tree.Sum | tree.Product
_RULES = tree.Logic | tree.Compare | tree.IsIn | tree.IsWithin | tree.IsNone | tree.Exists | tree.HasRole


class _Teller:
    def __init__(self, code: Code, words: Words) -> None:
        self.code = code
        self.tree = code.tree
        self.words = words
        self.told: list[Told] = []
        self.texts: list[str] = []
        self.joints = [*_COMMAS, *(words[key].strip() for key in ("also", "comma", "and", "or"))]
        self.consts = {item.name: item for item in self.tree.consts}

    def say(self, key: str, /, **parts: str) -> str:
        """Return the sentence of `key` with its parts put in."""
        return _PART.sub(lambda found: parts[found[1]], self.words[key])

    def add(self, level: int, node: tree.Node, key: str, /, **parts: str) -> None:
        text = _QUOTED.sub(lambda found: self.texts[int(found[1])], self.say(key, **parts))
        self.told.append(Told(level, node.line, text))

    def named(self, name: str) -> str:
        return self.say("name", name=name.replace("_", " "))

    def listed(self, items: Sequence[str], key: str = "also") -> str:
        """Return items joined by commas and one last word; one that is joined itself stands in brackets."""
        if len(items) < 2:
            return "".join(items)
        items = [self.closed(item) for item in items]
        return self.words["comma"].join(items[:-1]) + self.words[key] + items[-1]

    # -- declarations

    def contract(self) -> list[Told]:
        it = self.tree
        self.add(0, it, "contract", name=self.named(it.name), version=str(it.version))
        if it.replaces:
            self.add(1, it, "replaces", version=str(it.replaces))
        for use in it.uses:
            self.add(1, use, "uses", name=self.named(use.name), version=str(use.version))
        for const in it.consts:
            self.add(1, const, "const", name=self.named(const.name), value=self.expr(const.value))
        for enum in it.enums:
            self.add(
                1,
                enum,
                "enum",
                name=self.named(enum.name),
                values=self.listed([self.named(v) for v, _, _ in enum.values]),
            )
        for record in it.records:
            self.add(1, record, "record", name=self.named(record.name), fields=self.fields(record.fields))
        for table in it.tables:
            self.table(table)
        for item in it.invariants:
            self.invariant(item)
        for migration in it.migrations:
            self.add(0, migration, "migrate", table=self.named(migration.table), sets=self.sets(migration.sets))
        for routine in sorted(it.routines, key=lambda one: ("action", "query", "function").index(one.kind)):
            self.routine(routine)
        for schedule in it.schedules:
            self.schedule(schedule)
        return self.told

    def fields(self, items: Sequence[tree.Field]) -> str:
        return self.listed([self.say("field", name=self.named(item.name), type=self.type(item.type)) for item in items])

    def type(self, ref: tree.TypeRef) -> str:
        if ref.kind in ("list", "option", "map"):
            parts = [self.type(part) for part in ref.parts]
            return self.say(f"type_{ref.kind}", part=parts[-1], key=parts[0], size=str(ref.size))
        if ref.kind:
            return self.say(f"type_{ref.kind}", size=str(ref.size))
        return self.named(ref.name)

    def table(self, table: tree.Table) -> None:
        key = self.listed([self.named(item.name) for item in table.key])
        self.add(0, table, "table", name=self.named(table.name), key=key)
        for item in (*table.key, *table.fields):
            self.add(1, item, "field_line", name=self.named(item.name), type=self.type(item.type))
        if table.readers is not None:
            names = [self.named(name) for name in table.readers.fields]
            self.add(1, table.readers, "readers" if names else "readers_all", names=self.listed(names))

    def invariant(self, item: tree.EachInvariant | tree.SumInvariant) -> None:
        if isinstance(item, tree.EachInvariant):
            self.add(0, item, "each", table=self.named(item.table), rule=self.expr(item.condition))
            return
        terms = ""
        for at, (sign, table, field) in enumerate(item.terms):
            term = self.say("sum", field=self.named(field), table=self.named(table))
            terms += term if at == 0 else self.words["plus" if sign > 0 else "minus"] + term
        self.add(0, item, "unchanged", terms=terms)

    def routine(self, it: tree.Routine) -> None:
        given = [self.say("field", name=self.named(item.name), type=self.type(item.type)) for item in it.params]
        key = it.kind + ("_given" if given else "")
        self.add(0, it, key, name=self.named(it.name), given=self.listed(given))
        if it.demands is not None:
            self.authority(it)
        self.block(1, it.body)
        for item in it.ensures:
            self.add(1, item, "ensure", rule=self.expr(item.condition))

    def authority(self, it: tree.Routine) -> None:
        if not it.demands:
            self.add(1, it, "anyone")
        for demand in it.demands or ():
            if isinstance(demand, tree.ContractDemand):
                names = self.listed([self.named(name) for name in demand.contracts], "or")
                self.add(1, demand, "by_contract" if names else "by_any_contract", names=names)
                continue
            key = "signs" if demand.party is None else "signs_of"
            party = "" if demand.party is None else self.expr(demand.party)
            text = self.say(key, role=self.named(demand.role), party=party)
            if demand.apart is not None:
                text += self.say("apart", person=self.expr(demand.apart))
            self.add(1, demand, "demand", demand=text)
        if it.demands and sum(isinstance(item, tree.RoleDemand) for item in it.demands) > 1:
            self.add(1, it, "different")

    def schedule(self, it: tree.Schedule) -> None:
        where = "" if it.where is None else self.say("where", rule=self.expr(it.where))
        key = {"day": "every_day", "month": "every_month"}.get(it.kind, "on_date")
        shift = "" if not it.days else self.say("days_after" if it.days > 0 else "days_before", days=str(abs(it.days)))
        self.add(
            0, it, key, name=self.named(it.name), table=self.named(it.table or "-"), field=self.named(it.field or "-"),
            shift=shift, where=where, days=str(it.days),
        )  # fmt: skip
        self.block(1, it.body)

    # -- statements

    def block(self, level: int, items: Sequence[tree.Statement]) -> None:
        for item in items:
            self.statement(level, item)

    def statement(self, level: int, it: tree.Statement) -> None:
        match it:
            case tree.Let():
                self.add(level, it, "let", name=self.named(it.name), value=self.expr(it.value))
            case tree.Assign():
                key = {"=": "let", "+=": "raise", "-=": "lower"}[it.op]
                self.add(level, it, key, name=self.named(it.name), value=self.expr(it.value))
            case tree.AssignItem():
                key = {"=": "let", "+=": "raise", "-=": "lower"}[it.op]
                name = self.say("place", of=self.named(it.name), at=self.expr(it.key))
                self.add(level, it, key, name=name, value=self.expr(it.value))
            case tree.Append():
                self.add(level, it, "append", name=self.named(it.name), value=self.expr(it.value))
            case tree.Remove():
                self.add(level, it, "remove", name=self.named(it.name), value=self.expr(it.key))
            case tree.Require():
                self.add(level, it, "require", rule=self.expr(it.condition))
            case tree.Write():
                self.add(level, it, it.op, table=self.named(it.table), sets=self.sets(it.args))
            case tree.Update():
                self.add(level, it, "update", row=self.row(it.table, it.keys), sets=self.sets(it.sets))
            case tree.Delete():
                self.add(level, it, "delete", row=self.row(it.table, it.keys))
            case tree.Emit():
                self.add(level, it, "emit", event=self.named(it.event), sets=self.sets(it.args))
            case tree.CallStatement():
                self.add(level, it, "do", call=self.expr(it.call))
            case tree.Return() if it.value is not None:
                self.add(level, it, "return", value=self.expr(it.value))
            case tree.Return():
                self.add(level, it, "end")
            case tree.Pass():
                self.add(level, it, "nothing_done")
            case tree.If():
                for at, (condition, body) in enumerate(it.branches):
                    self.add(level, condition, "if" if at == 0 else "elif", rule=self.expr(condition))
                    self.block(level + 1, body)
                if it.otherwise:
                    self.add(level, it.otherwise[0], "else")
                    self.block(level + 1, it.otherwise)
            case tree.For():
                where = "" if it.where is None else self.say("where", rule=self.expr(it.where))
                self.add(level, it, f"for_{it.mode}", table=self.named(it.table.name), row=self.named(it.variable),
                         where=where, bound=str(it.bound))  # fmt: skip
                self.block(level + 1, it.body)
            case tree.ForEach():
                key = "for_pair" if it.second else "for_value"
                self.add(
                    level,
                    it,
                    key,
                    name=self.named(it.variable),
                    second=self.named(it.second or "-"),
                    of=self.expr(it.source),
                )
                self.block(level + 1, it.body)

    def sets(self, args: Sequence[tree.Arg]) -> str:
        values = [self.expr(arg.value) for arg in args]
        if len(args) > 1:
            values = [self.closed(value) for value in values]
        return self.listed(
            [self.say("set", name=self.named(arg.name), value=value) for arg, value in zip(args, values, strict=True)]
        )

    def row(self, table: str, keys: Sequence[tree.Expr]) -> str:
        return self.say("row", table=self.named(table), key=self.listed([self.part(key) for key in keys]))

    # -- expressions

    def expr(self, it: tree.Expr) -> str:
        match it:
            case tree.Name(name=name):
                return self.name_of(name)
            case tree.TypeName(name=name):
                return self.named(name)
            case tree.Int(value=value):
                return str(value)
            case tree.Rate():
                return _percent(it)
            case tree.Bool(value=flag):
                return self.words["yes" if flag else "no"]
            case tree.Date(iso=iso):
                return iso
            case tree.Text():
                parts = [part if isinstance(part, str) else "{" + ".".join(part) + "}" for part in it.parts]
                self.texts.append("".join(parts))
                return self.say("text", text=f"\ue000{len(self.texts) - 1}\ue001")
            case tree.CurrencyCode(code=code):
                return code
            case tree.MoneyAmount():
                return f"{it.code} {it.digits}"
            case tree.Unary(op="-"):
                return self.say("negative", value=self.part(it.operand))
            case tree.Unary(operand=tree.Exists(row=tree.Lookup(of=tree.TypeName(name=table), keys=keys))):
                return self.say("exists_not", row=self.row(table, keys))
            case tree.Unary(operand=tree.Member() | tree.Name()):
                return self.say("untrue", rule=self.expr(it.operand))
            case tree.Unary():
                return self.say("not", rule=self.say("group", text=self.expr(it.operand)))
            case tree.Logic():
                return self.listed([self.closed(self.expr(item)) for item in it.operands], it.op)
            case tree.Sum():
                text = self.term(it.first)
                for sign, item in it.rest:
                    text += self.words["plus" if sign == "+" else "minus"] + self.part(item)
                return text
            case tree.Product():
                text = self.part(it.operands[0])
                for sign, item in zip(it.signs, it.operands[1:], strict=True):
                    text += self.words["times" if sign == "*" else "over"] + self.part(item)
                return text
            case tree.Compare():
                return self.say(_COMPARED[it.op], a=self.side(it.left), b=self.side(it.right))
            case tree.IsIn():
                items = self.listed([self.part(item) for item in it.items], "or")
                return self.say("in_not" if it.negated else "in", value=self.side(it.value), of=items)
            case tree.IsWithin():
                return self.say("in_not" if it.negated else "in", value=self.side(it.value), of=self.part(it.of))
            case tree.IsNone():
                return self.say("is_some" if it.negated else "is_none", value=self.side(it.value))
            case tree.Nothing():
                return self.words["none"]
            case tree.ListOf():
                return self.say(
                    "list", items=self.words["comma"].join(self.closed(self.expr(item)) for item in it.items)
                )
            case tree.EmptyMap():
                return self.words["empty_map"]
            case tree.Old():
                return self.say("old", value=self.part(it.value))
            case tree.Member():
                return self.member(it)
            case tree.Lookup(of=tree.TypeName(name=table), keys=keys):
                return self.row(table, keys)
            case tree.Lookup():
                return self.say("place", of=self.part(it.of), at=self.part(it.keys[0]))
            case tree.Maybe():
                return self.say("maybe", value=self.expr(it.of))
            case tree.Call():
                return self.call(it)
            case tree.Exists():
                return self.say("exists", row=self.expr(it.row))
            case tree.Zero():
                return self.words["zero"]
            case tree.HasRole():
                return self.say("has_role", role=self.named(it.role), party=self.part(it.party))
            case tree.Days():
                return self.say("days", count=self.part(it.count))

    # -- brackets

    def part(self, it: tree.Expr) -> str:
        """Return an operand: in brackets if it is an operation itself."""
        return self.bracketed(it, _SUMS | _RULES | tree.Unary | tree.Old | tree.Call)

    def term(self, it: tree.Expr) -> str:
        """Return the first operand of a sum: what stands before all signs needs no brackets for its own."""
        return self.bracketed(it, _RULES | tree.Old | tree.Call)

    def side(self, it: tree.Expr) -> str:
        """Return a side of a comparison: comparing binds least, so that only another rule needs brackets."""
        negated = isinstance(it, tree.Unary) and it.op == "not"
        return self.bracketed(it, tree.Unary if negated else _RULES)

    def bracketed(self, it: tree.Expr, kinds: Any) -> str:
        """Return a part of something, in brackets if it is one of these kinds and does not end by itself."""
        while isinstance(it, tree.Call) and isinstance(it.of, tree.Name) and self.told_as_its_argument(it.of.name):
            it = it.args[0].value
        text = self.expr(it)
        if isinstance(it, kinds) and not (isinstance(it, tree.Call) and self.ends_itself(it)):
            return self.say("group", text=text)
        return self.closed(text)

    def closed(self, text: str) -> str:
        """Return a text in brackets if it has a word or a comma that joins parts, and is not in brackets there."""
        depth, quoted = 0, False
        for at, letter in enumerate(text):
            if letter == '"':
                quoted = not quoted
            elif letter in _OPENING:
                depth += 1
            elif letter in _CLOSING:
                depth -= 1
            elif depth == 0 and not quoted and any(self.joins(joint, text, at) for joint in self.joints):
                return self.say("group", text=text)
        return text

    @staticmethod
    def joins(joint: str, text: str, at: int) -> bool:
        """Tell whether a joining word stands at a place; one of letters is not the end or the beginning of another."""
        if not text.startswith(joint, at):
            return False
        return not (joint.isascii() and joint.isalpha()) or (text[at - 1 : at] + text[at + len(joint) :][:1]).isspace()

    def ends_itself(self, it: tree.Call) -> bool:
        """Tell whether a call is a name only, or told with its arguments in brackets, as functions are in Chinese."""
        built_in = isinstance(it.of, tree.Name) and f"call_{it.of.name}" in self.words
        mine = isinstance(it.of, tree.Name) and it.of.name in self.code_names()
        closing = self.words["call"].endswith(tuple(_CLOSING)) and self.words["call_out"].endswith(tuple(_CLOSING))
        return not it.args or (closing and (mine or not built_in) and not isinstance(it.of, tree.TypeName))

    def told_as_its_argument(self, name: str) -> bool:
        return self.words.get(f"call_{name}") == "{a}" and name not in self.code_names()

    def name_of(self, name: str) -> str:
        if name in ("caller", "sender", "today", "height", "row", "result"):
            return self.words[f"the_{name}"]
        if name in self.consts:
            return self.say("const_used", name=self.named(name), value=self.expr(self.consts[name].value))
        return self.named(name)

    def member(self, it: tree.Member) -> str:
        enums = [enum.name for enum in self.tree.enums]
        match it.of:
            case tree.TypeName(name=name) if name in enums:
                return self.say("value", name=self.named(it.name))
            case tree.Member(of=tree.Name(), name=name) if name[0].isupper():
                return self.say("value", name=self.named(it.name))
            case tree.TypeName():
                return self.named(it.name)
        of = self.bracketed(it.of, _SUMS | _RULES | tree.Unary | tree.Old | tree.Call | tree.Maybe)
        if isinstance(it.of, tree.Lookup) and not isinstance(it.of.of, tree.TypeName):
            of = self.say("group", text=of)
        return self.say("of", field=self.named(it.name), of=of)

    def call(self, it: tree.Call) -> str:
        args = [self.part(arg.value) for arg in it.args]
        match it.of:
            case tree.TypeName(name=name):
                return self.say("made", name=self.named(name), sets=self.sets(it.args))
            case tree.Name(name=name) if f"call_{name}" in self.words and name not in self.code_names():
                parts = {letter: args[at] if at < len(args) else "" for at, letter in enumerate("abc")}
                key = f"call_{name}" if f"call_{name}_{len(args)}" not in self.words else f"call_{name}_{len(args)}"
                if self.words[key].startswith(tuple("{a}" + comma for comma in _COMMAS)):
                    parts["a"] = self.term(it.args[0].value)  # the comma says where it ends
                return self.say(key, **parts)
            case tree.Name(name=name):
                return self.say("call" if args else "call_plain", name=self.named(name), args=self.listed(args))
            case tree.Member(of=tree.Name(name=contract), name=name):
                key = "call_out" if args else "call_out_plain"
                return self.say(key, contract=self.named(contract), name=self.named(name), args=self.listed(args))
        return self.say("call", name=self.expr(it.of), args=self.listed(args))

    def code_names(self) -> list[str]:
        return [item.name for item in self.tree.routines]


def _percent(it: tree.Rate) -> str:
    """Return a rate as people read it: per cent."""
    digits = str(it.value).rjust(it.places + 1, "0")
    whole, fraction = digits[: -it.places], digits[-it.places :].ljust(2, "0")
    left, rest = (whole + fraction[:2]).lstrip("0"), fraction[2:].rstrip("0")
    return f"{left or '0'}{'.' + rest if rest else ''}%"
