"""Tokens to a tree: recursive descent with two tokens of look-ahead, a method per rule of the grammar.

Door: `parse(source) -> File`. The first thing that does not fit is a `SourceError`; nothing is ignored (L8).
Syntax that the language has but this stage does not is refused by its name (`stage_2`).
Files: this one has declarations; `phrases` has expressions, `sentences` statements and test steps.
"""

from __future__ import annotations

from contracts.limits import FIELDS, INDEXES, PARAMETERS, TABLES
from contracts.syntax import tree
from contracts.syntax.phrases import PREDEFINED
from contracts.syntax.scan import Token, scan
from contracts.syntax.sentences import Sentences

_STAGE_2_ITEMS = {
    "record": "`record`",
    "migrate": "`migrate`",
    "schedule": "`schedule`",
}


def parse(source: bytes) -> tree.File:
    """Return the tree of a contract or of a file of tests; raise `SourceError` at the first error."""
    return Parser(scan(source)).file()


class Parser(Sentences):
    """Declarations of a file."""

    def file(self) -> tree.File:
        if self.at_word("tests"):
            return self.test_file()
        return self.contract()

    def test_file(self) -> tree.TestFile:
        start = self.word("tests")
        self.word("for")
        name = self.name("the contract under test")
        self.newline()
        tests = []
        while not self.at("END"):
            tests.append(self.test())
        return tree.TestFile(start.line, start.column, name, tuple(tests))

    def contract(self) -> tree.Contract:
        start = self.word("contract")
        name = self.name("the name of the contract")
        self.word("version")
        version = self.integer("the version")
        if self.at_word("replaces"):
            raise self.stage_2("`replaces` (upgrades)")
        self.newline()
        uses = []
        while self.at_word("uses"):
            token = self.take()
            used = self.name("a used contract")
            self.op("@")
            uses.append(tree.Use(token.line, token.column, used, self.integer("a version")))
            self.newline()
        consts: list[tree.Const] = []
        enums: list[tree.EnumType] = []
        tables: list[tree.Table] = []
        events: list[tree.EventType] = []
        invariants: list[tree.EachInvariant | tree.SumInvariant] = []
        routines: list[tree.Routine] = []
        tests: list[tree.Test] = []
        while not self.at("END"):
            token = self.peek()
            if token.text in _STAGE_2_ITEMS and token.kind == "NAME":
                raise self.stage_2(_STAGE_2_ITEMS[token.text])
            if self.at_word("const"):
                consts.append(self.const())
            elif self.at_word("enum"):
                enums.append(self.enum())
            elif self.at_word("table"):
                tables.append(self.table())
            elif self.at_word("event"):
                events.append(self.event())
            elif self.at_word("invariant"):
                invariants.append(self.invariant())
            elif self.at_word("function") or self.at_word("query"):
                routines.append(self.routine())
            elif self.at_word("action"):
                routines.append(self.action())
            elif self.at_word("test"):
                tests.append(self.test())
            else:
                raise self.expected(
                    "a declaration (const, enum, table, event, invariant, function, query, action, test)"
                )
        if len(tables) > TABLES:
            last = tables[TABLES]
            raise self.fail("limit", last.line, last.column, f"a contract has at most {TABLES} tables")
        return tree.Contract(
            start.line, start.column, name, version, tuple(uses), tuple(consts), tuple(enums), tuple(tables),
            tuple(events), tuple(invariants), tuple(routines), tuple(tests),
        )  # fmt: skip

    def const(self) -> tree.Const:
        start = self.take()
        name = self.name("the name of the constant")
        kind = self.type() if self.accept(":") else None
        self.op("=")
        value = self.expression()
        self.newline()
        return tree.Const(start.line, start.column, name, kind, value)

    def enum(self) -> tree.EnumType:
        start = self.take()
        name = self.type_name("the name of the enum")
        self.op(":")
        values = []
        while True:
            token = self.peek()
            values.append((self.name("a value of the enum"), token.line, token.column))
            if not self.accept(","):
                break
        self.newline()
        return tree.EnumType(start.line, start.column, name, tuple(values))

    def event(self) -> tree.EventType:
        start = self.take()
        name = self.type_name("the name of the event")
        return tree.EventType(start.line, start.column, name, self.fields())

    def fields(self) -> tuple[tree.Field, ...]:
        """Parse `fields`: on the line after the colon, or as an indented block."""
        self.op(":")
        found: list[tree.Field] = []
        if self.at("NEWLINE"):
            self.newline()
            self.indent()
            while not self.at("DEDENT"):
                self.field_list(found)
                self.newline()
            self.dedent()
        else:
            self.field_list(found)
            self.newline()
        return tuple(found)

    def field_list(self, found: list[tree.Field]) -> None:
        while True:
            found.append(self.field())
            if len(found) > FIELDS:
                last = found[-1]
                raise self.fail("limit", last.line, last.column, f"at most {FIELDS} fields are allowed")
            if not self.accept(","):
                return

    def field(self) -> tree.Field:
        token = self.peek()
        name = self.name("a field name", of_field=True)
        self.op(":")
        self.count(token)
        return tree.Field(token.line, token.column, name, self.type())

    def table(self) -> tree.Table:
        start = self.take()
        name = self.type_name("the name of the table")
        self.word("key")
        key: list[tree.Field] = []
        if self.accept("("):
            self.field_list(key)
            self.op(")")
            if len(key) < 2:
                raise self.expected("a second key field, or no bracket")
        else:
            key.append(self.field())
        self.op(":")
        self.newline()
        self.indent()
        fields: list[tree.Field] = []
        indexes: list[tree.Index] = []
        while not self.at("DEDENT"):
            token = self.peek()
            if self.at_word("index") and self.peek(1).text == "(":
                self.take()
                self.op("(")
                columns = [self.name("an index column", of_field=True)]
                while self.accept(","):
                    columns.append(self.name("an index column", of_field=True))
                self.op(")")
                indexes.append(tree.Index(token.line, token.column, tuple(columns)))
                if len(indexes) > INDEXES:
                    raise self.fail("limit", token.line, token.column, f"a table has at most {INDEXES} indexes")
            elif self.at_word("readers") and self.peek(1).text != ":":
                raise self.stage_2("`readers`")
            else:
                self.field_list(fields)
            self.newline()
        self.dedent()
        return tree.Table(start.line, start.column, name, tuple(key), tuple(fields), tuple(indexes))

    def invariant(self) -> tree.EachInvariant | tree.SumInvariant:
        start = self.take()
        if self.at_word("each"):
            self.take()
            table = self.type_name("a table")
            self.op(":")
            condition = self.expression()
            self.newline()
            return tree.EachInvariant(start.line, start.column, table, condition)
        self.word("unchanged")
        terms = [(1, *self.sum_term())]
        while self.peek().text in ("+", "-") and self.at("OP"):
            sign = 1 if self.take().text == "+" else -1
            terms.append((sign, *self.sum_term()))
        self.newline()
        return tree.SumInvariant(start.line, start.column, tuple(terms))

    def sum_term(self) -> tuple[str, str]:
        self.word("sum")
        self.op("(")
        table = self.type_name("a table")
        self.op(".")
        name = self.name("a field", of_field=True)
        self.op(")")
        return table, name

    def params(self) -> tuple[tree.Field, ...]:
        self.op("(")
        found: list[tree.Field] = []
        if not self.accept(")"):
            self.field_list(found)
            self.op(")")
        if len(found) > PARAMETERS:
            extra = found[PARAMETERS]
            raise self.fail("limit", extra.line, extra.column, f"at most {PARAMETERS} parameters are allowed")
        for item in found:
            if item.name in PREDEFINED:
                text = f"`{item.name}` is predefined; choose another name"
                raise self.fail("predefined_name", item.line, item.column, text)
        return tuple(found)

    def routine(self) -> tree.Routine:
        start = self.take()
        first = len(self.called)
        name = self.name(f"the name of the {start.text}")
        params = self.params()
        result = None
        if start.text == "query" or self.peek().text == "->":
            self.op("->")
            result = self.type()
        body = self.block()
        kind = "query" if start.text == "query" else "function"
        calls = tuple(self.called[first:])
        return tree.Routine(start.line, start.column, kind, name, params, result, None, "", calls, body)  # type: ignore[arg-type]

    def action(self) -> tree.Routine:
        start = self.take()
        calls = len(self.called)
        name = self.name("the name of the action")
        params = self.params()
        result = self.type() if self.accept("->") else None
        self.keyword("by")
        first = self.place
        demands = self.authority()
        clause = _as_written(self.tokens[first : self.place])
        body = self.block()
        called = tuple(self.called[calls:])
        return tree.Routine(start.line, start.column, "action", name, params, result, demands, clause, called, body)

    def authority(self) -> tuple[tree.Demand, ...]:
        if self.at_word("anyone"):
            self.take()
            return ()
        demands = [self.demand()]
        while self.at("WORD") and self.peek().text == "and":
            self.take()
            demands.append(self.demand())
        return tuple(demands)

    def demand(self) -> tree.Demand:
        start = self.peek()
        if self.at_word("contract"):
            self.take()
            names: list[str] = []
            if self.at("NAME"):
                names.append(self.name("a contract"))
                while self.accept(","):
                    names.append(self.name("a contract"))
            return tree.ContractDemand(start.line, start.column, tuple(names))
        self.keyword("role")
        role = self.name("a role")
        party = apart = None
        if self.at("WORD") and self.peek().text == "of":
            self.take()
            party = self.postfix()
        if self.at_word("apart"):
            self.take()
            self.word("from")
            apart = self.postfix()
        return tree.RoleDemand(start.line, start.column, role, party, apart)


def _as_written(tokens: list[Token]) -> str:
    """Return the tokens of one clause with the usual spaces."""
    text = ""
    for token in tokens:
        tight = not text or token.text in (".", "[", "]", "(", ")", ",") or text[-1] in ".[("
        text += token.text if tight else " " + token.text
    return text
