"""Random programs that the checker must accept: typed expressions, tables, loops, functions, events.

`make(seed)` returns a source. The programs mean nothing; they exist to make both ways of running agree on everything,
aborts included. Names and sizes are small so that keys meet and texts overflow.
"""

from __future__ import annotations

import random

KINDS = (
    "int", "bool", "text(6)", "money", "date", "party", "Shade", "rate(4)", "int?", "money?", "list(int, 3)",
    "list(money, 3)", "Pair",
)  # fmt: skip
SHOWN = ("int", "bool", "text(6)", "money", "date", "party", "Shade", "rate(4)")
HELPERS = (
    "function some_int(n: int) -> int?:", "    return n", "function no_int() -> int?:", "    return none",
    "function some_money(m: money) -> money?:", "    return m", "function no_money() -> money?:", "    return none",
    "function rated(r: rate(4)) -> rate(4):", "    return r",
)  # fmt: skip
"""Give literals a type where none is expected."""

KEYS = ("int", "text(6)", "date", "party", "Shade", "bool")
COMPARED = ("==", "!=", "<", "<=", ">", ">=")
REFUSALS = ("caller", "width", "worst_case", "limit", "depth", "no_caller", "unused")
"""Codes with which the checker may refuse a random program: bounds that the generator does not count."""


def wrapped(line: str) -> list[str]:
    """Return a long line in pieces, cut at spaces inside brackets, where a line may go on (L2)."""
    pieces, start, space, depth, quoted = [], 0, 0, 0, False
    for at, char in enumerate(line):
        quoted ^= char == '"'
        depth += (char in "([{") - (char in ")]}")
        if char == " " and depth > 0 and not quoted:
            space = at
        if at - start > 160 and space > start:
            pieces.append(line[start:space])
            start = space
    return [*pieces, line[start:]]


class Maker:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.lines: list[str] = []
        self.tables: list[tuple[str, list[tuple[str, str]], list[tuple[str, str]]]] = []
        self.functions: list[tuple[str, list[str], str]] = []
        self.number = 0

    def fresh(self, prefix: str) -> str:
        self.number += 1
        return f"{prefix}{self.number}"

    def source(self) -> str:
        rng = self.rng
        self.lines = ["contract generated version 1", "enum Shade: light, mid, dark"]
        self.lines.append("record Pair: n: int, m: money, r: rate(4)")
        for number in range(rng.randrange(1, 3)):
            self.table(f"Table{'ab'[number]}")
        self.lines.append("event Seen: n: int, t: text(6), m: money")
        if rng.random() < 0.5:
            name, _, fields = self.tables[0]
            column = next((field for field, kind in fields if kind == "int"), None)
            if column is not None:
                self.lines.append(f"invariant each {name}: row.{column} < {rng.randrange(5, 3000)}")
        self.lines += HELPERS
        for _ in range(rng.randrange(0, 3)):
            self.function()
        for _ in range(rng.randrange(1, 4)):
            self.action()
        return "\n".join(piece for line in self.lines for piece in wrapped(line)) + "\n"

    def table(self, name: str) -> None:
        rng = self.rng
        keys = [(f"k{at}", rng.choice(KEYS)) for at in range(rng.randrange(1, 3))]
        fields = [(f"f{at}", rng.choice(KINDS)) for at in range(rng.randrange(1, 5))]
        listed = ", ".join(f"{field}: {kind}" for field, kind in keys)
        self.lines.append(f"table {name} key {f'({listed})' if len(keys) > 1 else listed}:")
        self.lines.append("    " + ", ".join(f"{field}: {kind}" for field, kind in fields))
        columns = [field for field, kind in keys + fields if kind in KEYS]
        seen: list[list[str]] = []
        for _ in range(rng.randrange(0, 3)):
            index = rng.sample(columns, rng.randrange(1, min(3, len(columns)) + 1))
            if index not in seen:
                seen.append(index)
                self.lines.append(f"    index ({', '.join(index)})")
        self.tables.append((name, keys, fields))

    def function(self) -> None:
        rng = self.rng
        kinds = [rng.choice(KINDS) for _ in range(rng.randrange(1, 4))]
        result = rng.choice(KINDS)
        names = {f"p{at}": kind for at, kind in enumerate(kinds)}
        name = self.fresh("fun")
        params = ", ".join(f"{param}: {kind}" for param, kind in names.items())
        self.lines.append(f"function {name}({params}) -> {result}:")
        self.lines.append(f"    if {self.expr('bool', names, 2)}:")
        self.lines.append(f"        return {self.expr(result, names, 3)}")
        self.lines.append(f"    return {self.expr(result, names, 2)}")
        self.functions.append((name, kinds, result))

    def action(self) -> None:
        rng = self.rng
        names = {f"a{at}": rng.choice(KINDS) for at in range(rng.randrange(1, 5))}
        params = ", ".join(f"{param}: {kind}" for param, kind in names.items())
        result = rng.choice(KINDS)
        self.lines.append(f"action {self.fresh('act')}({params}) -> {result} by anyone:")
        self.block(dict(names), 1, 3)
        self.lines.append(f"    return {self.expr(result, names, 2)}")
        if rng.random() < 0.3:
            kind = rng.choice(("int", "money", "rate(4)"))
            kept = self.expr(kind, names, 2)
            self.lines.append(f'    ensure {self.expr("bool", names, 2)} or old({kept}) <= {kept} else kept "no"')

    def block(self, names: dict[str, str], level: int, size: int) -> None:
        pad = "    " * level
        variables: list[str] = []
        for _ in range(self.rng.randrange(1, size + 1)):
            self.statement(names, variables, level, pad)

    def statement(self, names: dict[str, str], variables: list[str], level: int, pad: str) -> None:
        rng, add = self.rng, self.lines.append
        choice = rng.randrange(15)
        if choice == 0:
            name, kind = self.fresh("v"), rng.choice(KINDS)
            add(f"{pad}var {name}: {kind} = {self.expr(kind, names, 2)}")
            names[name] = kind
            variables.append(name)
        elif choice == 1 and variables:
            name = rng.choice(variables)
            op = rng.choice(["=", "+=", "-="]) if names[name] in ("int", "money", "rate(4)") else "="
            add(f"{pad}{name} {op} {self.expr(names[name], names, 3)}")
        elif choice == 2 and level < 4:
            add(f"{pad}if {self.expr('bool', names, 2)}:")
            self.block(dict(names), level + 1, 2)
            if rng.random() < 0.4:
                add(f"{pad}elif {self.expr('bool', names, 2)}:")
                self.block(dict(names), level + 1, 2)
            if rng.random() < 0.5:
                add(f"{pad}else:")
                self.block(dict(names), level + 1, 2)
        elif choice == 3 and level < 3:
            self.loop(names, level, pad)
        elif choice == 4:
            add(f'{pad}require {self.expr("bool", names, 2)} else odd "{self.inserts(names)}"')
        elif choice == 5:
            values = {"n": "int", "t": "text(6)", "m": "money"}
            items = [f"{field} = {self.expr(kind, names, 2)}" for field, kind in values.items()]
            rng.shuffle(items)
            add(f"{pad}emit Seen({', '.join(items)})")
        elif choice == 6:
            table, keys, fields = rng.choice(self.tables)
            some = rng.sample(fields, rng.randrange(1, len(fields) + 1))
            sets = ", ".join(f"{field} = {self.expr(kind, names, 2)}" for field, kind in some)
            add(f"{pad}update {table}[{self.keys(keys, names)}] with {sets}")
        elif choice == 11 and level < 3:
            self.collection_loop(names, level, pad)
        elif choice == 12 and variables:
            self.change(names, variables, pad)
        elif choice == 13:
            name = self.fresh("m")
            add(f"{pad}var {name}: map(int, money, 3) = {{}}")
            for _ in range(rng.randrange(1, 4)):
                key, kept = self.expr("int", names, 1), f"default({name}[{self.expr('int', names, 1)}]?, EUR 0.01)"
                add(f"{pad}{name}[{key}] = {rng.choice([kept, self.expr('money', names, 2)])}")
            if rng.random() < 0.3:
                add(f"{pad}remove {name}[{self.expr('int', names, 1)}]")
            key, value = self.fresh("k"), self.fresh("w")
            add(f"{pad}for {key}, {value} in {name}:")
            inner = {**names, key: "int", value: "money"}
            add(f'{pad}    emit Seen(n = {key} + count({name}), t = "", m = {self.expr("money", inner, 1)})')
        elif choice == 7 and rng.random() < 0.5:
            table, keys, _ = rng.choice(self.tables)
            add(f"{pad}delete {table}[{self.keys(keys, names)}]")
        else:
            table, keys, fields = rng.choice(self.tables)
            items = [f"{field} = {self.expr(kind, names, 2)}" for field, kind in keys + fields]
            rng.shuffle(items)
            add(f"{pad}{rng.choice(['put', 'put', 'insert'])} {table}({', '.join(items)})")

    def collection_loop(self, names: dict[str, str], level: int, pad: str) -> None:
        rng = self.rng
        name = self.fresh("e")
        kind = rng.choice(("int", "list(int, 3)", "list(money, 3)"))
        if kind == "int":
            bound = rng.choice(["3", f"min({self.expr('int', names, 1)}, 4)"])
            self.lines.append(f"{pad}for {name} in range({bound}) limit {rng.randrange(2, 5)}:")
            self.block({**names, name: "int"}, level + 1, 2)
        else:
            self.lines.append(f"{pad}for {name} in {self.held(kind, names)}:")
            self.block({**names, name: kind[5:-4]}, level + 1, 2)

    def held(self, kind: str, names: dict[str, str]) -> str:
        """Return a name of a list, or a call that makes one; the type of `[...]` would not be known in every place."""
        fitting = [name for name, item in names.items() if item == kind]
        if fitting:
            return self.rng.choice(fitting)
        return f"split({self.leaf('money', names)}, 3)" if "money" in kind else "[1, 2, 3]"

    def change(self, names: dict[str, str], variables: list[str], pad: str) -> None:
        """Change a `var` list in place, when there is one."""
        lists = [name for name in variables if names[name].startswith("list(")]
        if not lists:
            return
        name = self.rng.choice(lists)
        value = self.expr(names[name][5:-4], names, 2)
        at = self.rng.choice(["0", "1", self.leaf("int", names)])
        self.lines.append(f"{pad}" + self.rng.choice([f"append {value} to {name}", f"{name}[{at}] = {value}"]))

    def loop(self, names: dict[str, str], level: int, pad: str) -> None:
        rng = self.rng
        table, keys, fields = rng.choice(self.tables)
        row = self.fresh("r")
        conditions = []
        tested = [item for item in keys + fields if item[1] in SHOWN]
        for field, kind in rng.sample(tested, rng.randrange(0, min(3, len(tested)) + 1)):
            ops = COMPARED if kind in ("int", "text(6)", "date", "money", "rate(4)") else ("==", "!=")
            if kind == "bool" and rng.random() < 0.7:
                conditions.append(rng.choice(["", "not "]) + f"{row}.{field}")
            else:
                value = self.expr(kind, names, 1, pure=True)
                if kind in ("int", "money") and rng.random() < 0.2:
                    ops, value = ("==", "!="), self.expr(f"{kind}?", names, 1, pure=True)
                conditions.append(f"{row}.{field} {rng.choice(ops)} {value}")
        where = f" where {' and '.join(conditions)}" if conditions else ""
        mode = "first" if not conditions and rng.random() < 0.5 else "limit"
        self.lines.append(f"{pad}for {row} in {table}{where} {mode} {rng.randrange(1, 7)}:")
        inner = {**names, **{f"{row}.{field}": kind for field, kind in keys + fields}}
        self.block(inner, level + 1, 2)

    def inserts(self, names: dict[str, str]) -> str:
        shown = [name for name in sorted(names) if names[name] in SHOWN]
        parts = [f"{{{name}}}" for name in self.rng.sample(shown, min(2, len(shown)))]
        return " of ".join(["no", *parts])

    def keys(self, keys: list[tuple[str, str]], names: dict[str, str], depth: int = 1) -> str:
        return ", ".join(self.expr(kind, names, depth) for _, kind in keys)

    def expr(self, kind: str, names: dict[str, str], depth: int, pure: bool = False) -> str:
        """Return a random expression of `kind`."""
        rng = self.rng
        if depth == 0 or rng.random() < 0.25 or kind.startswith("list("):
            return self.leaf(kind, names)
        calls = [item for item in self.functions if item[2] == kind]
        if calls and rng.random() < 0.15 and not pure:
            name, kinds, _ = rng.choice(calls)
            return f"{name}({', '.join(self.expr(item, names, depth - 1) for item in kinds)})"
        if not pure and rng.random() < 0.12:
            table, keys, fields = rng.choice(self.tables)
            fitting = [field for field, item in keys + fields if item == kind]
            if fitting:
                return f"{table}[{self.keys(keys, names, depth - 1)}].{rng.choice(fitting)}"

        def sub(other: str) -> str:
            return self.expr(other, names, depth - 1, pure)

        match kind:
            case "int":
                return rng.choice(
                    [
                        f"({sub('int')} {rng.choice('+-*')} {sub('int')})",
                        f"floor_div({sub('int')}, {sub('int')})",
                        f"mod({sub('int')}, {sub('int')})",
                        f"min({sub('int')}, {sub('int')})",
                        f"abs({sub('int')})",
                        f"-{self.leaf('int', names)}",
                        f"days_between({sub('date')}, {sub('date')})",
                        f"count({sub('text(6)')})",
                        f"({sub('money')}).minor",
                        f"round_{rng.choice(['half_up', 'half_even', 'down'])}({sub('int')} / {sub('int')})",
                        f"default({sub('int?')}, {sub('int')})",
                        f"value_of({sub('int?')})",
                        f"weekday({sub('date')})",
                        f"count({self.held('list(int, 3)', names)})",
                        f"{self.held('list(int, 3)', names)}[{rng.choice(['0', '1', self.leaf('int', names)])}]",
                        f"({sub('Pair')}).n",
                    ]
                )
            case "bool":
                other = rng.choice(("int", "money", "text(6)", "date"))
                plain = rng.choice(("bool", "party", "Shade"))
                table, keys, _ = rng.choice(self.tables)
                return rng.choice(
                    [
                        f"({sub(other)} {rng.choice(COMPARED)} {sub(other)})",
                        f"({sub(plain)} {rng.choice(['==', '!='])} {sub(plain)})",
                        f"(not {sub('bool')})",
                        f"({sub('bool')} {rng.choice(['and', 'or'])} {sub('bool')})",
                        f"({sub('bool')} and {sub('bool')} and {sub('bool')} and {sub('bool')})",
                        f"({sub(other)} in [{sub(other)}, {sub(other)}])",
                        f"({sub('money')} >= zero)",
                        f"({sub('rate(4)')} {rng.choice(COMPARED)} {sub('rate(4)')})",
                        f"({sub('money')} * {sub('rate(4)')} {rng.choice(COMPARED[2:])} {sub('money')})",
                        f"({sub('money')} / {sub('money')} {rng.choice(COMPARED[2:])} {sub('rate(4)')})",
                        f"({sub('int?')} is {rng.choice(['', 'not '])}none)",
                        f"({sub('money?')} == {sub('money?')})",
                        f"({sub('int')} in {self.held('list(int, 3)', names)})",
                        f"starts_with({sub('text(6)')}, {sub('text(6)')})",
                        "true" if pure else f"(exists {table}[{self.keys(keys, names, depth - 1)}])",
                    ]
                )
            case "money":
                return rng.choice(
                    [
                        f"({sub('money')} {rng.choice('+-')} {sub('money')})",
                        f"({sub('money')} * {sub('int')})",
                        f"max({sub('money')}, {sub('money')})",
                        f"(zero of ({sub('money')}))",
                        f"round_{rng.choice(['half_up', 'half_even', 'down'])}({sub('money')} * {sub('rate(4)')})",
                        f"round_half_up({sub('money')} / {sub('int')} - {sub('money')})",
                        f"round_down({sub('money')} * year_fraction({sub('date')}, {sub('date')}, DayCount.thirty_360))",
                        f"share({sub('money')}, {self.held('list(int, 3)', names)})[0]",
                        f"split({sub('money')}, 3)[2]",
                        f"default({sub('money?')}, {sub('money')})",
                        f"({sub('Pair')}).m",
                        f"money_of(({sub('money')}).currency, {sub('int')})",
                    ]
                )
            case "date":
                return rng.choice(
                    [
                        f"({sub('date')} {rng.choice('+-')} {self.leaf('int', names)} days)",
                        f"end_of_month({sub('date')})",
                        f"add_months({sub('date')}, {self.leaf('int', names)})",
                    ]
                )
            case "rate(4)":
                return rng.choice(
                    [
                        f"({sub('rate(4)')} {rng.choice('+-')} {sub('rate(4)')})",
                        f"({sub('rate(4)')} * {sub('int')})",
                        f"round_half_even({sub('money')} / {sub('money')}, 4)",
                        f"round_down({sub('rate(4)')} * {sub('rate(4)')}, 4)",
                        f"abs({sub('rate(4)')})",
                        f"({sub('Pair')}).r",
                    ]
                )
            case "int?" | "money?":
                return f"some_{kind[:-1]}({sub(kind[:-1])})"
            case "text(6)":
                return f"min({sub('text(6)')}, {sub('text(6)')})"
        return self.leaf(kind, names)

    def leaf(self, kind: str, names: dict[str, str]) -> str:
        rng = self.rng
        fitting = [name for name, item in names.items() if item == kind]
        if kind == "Pair" and not fitting:
            return f"Pair(m = {self.leaf('money', names)}, n = 3, r = {self.leaf('rate(4)', names)})"
        if fitting and rng.random() < 0.7:
            return rng.choice(fitting)
        match kind:
            case "int":
                return str(rng.choice([0, 1, 2, 3, 7, 40, 3_037_000_500, 2**62]))
            case "bool":
                return rng.choice(["true", "false"])
            case "text(6)":
                return rng.choice(['""', '"a"', '"ab"', '"zz"'])
            case "money":
                return rng.choice(["EUR 1.00", "EUR 0.01", "EUR 20.00", "JPY 3"])
            case "date":
                return rng.choice(["today", "2026-01-01", "2024-02-29", "9999-12-30"])
            case "party":
                return fitting[0] if fitting else "caller"
            case "rate(4)":
                return f"rated({rng.choice(['0.05', '5%', '0.0001', '12.5%', '900_000_000_000.0'])})"
            case "int?" | "money?":
                word = kind[:-1]
                return f"no_{word}()" if rng.random() < 0.5 else f"some_{word}({self.leaf(word, names)})"
            case "list(int, 3)":
                return rng.choice(["[]", "[1]", "[2, 7, 1]"])
            case "list(money, 3)":
                return rng.choice(["[]", "[EUR 1.00]", "[EUR 0.01, EUR 2.00, JPY 3]"])
            case "Pair" if fitting:
                return rng.choice(fitting)
        return f"Shade.{rng.choice(['light', 'mid', 'dark'])}"


def make(seed: int) -> bytes:
    """Return the source of program `seed`."""
    return Maker(seed).source().encode("ascii")
