"""Tokens to a tree: recursive descent with two tokens of look-ahead, a method per rule of the grammar.

Door: `parse(source) -> File`. The first thing that does not fit is a `SourceError`; nothing is ignored (L8).
Files: this one has declarations; `phrases` has expressions, `sentences` statements and test steps.
"""

from __future__ import annotations

from contracts.limits import FIELDS, INDEXES, PARAMETERS, RECORDS, TABLES
from contracts.syntax import tree
from contracts.syntax.phrases import PREDEFINED
from contracts.syntax.scan import Token, scan
from contracts.syntax.sentences import Sentences


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
        replaces = 0
        if self.at_word("replaces"):
            token = self.take()
            replaces = self.integer("the version it replaces")
            if replaces < 1 or version != replaces + 1:
                text = f"version {version} can only replace version {version - 1} (L61)"
                if version == 1:
                    text = "version 1 is the first and replaces none (L61)"
                raise self.fail("version", token.line, token.column, text)
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
        records: list[tree.RecordType] = []
        migrations: list[tree.Migration] = []
        schedules: list[tree.Schedule] = []
        while not self.at("END"):
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
            elif self.at_word("record"):
                token = self.take()
                record = self.type_name("the name of the record")
                records.append(tree.RecordType(token.line, token.column, record, self.fields()))
            elif self.at_word("migrate"):
                migrations.append(self.migrate())
            elif self.at_word("schedule"):
                schedules.append(self.schedule())
            else:
                raise self.expected(
                    "a declaration (const, enum, record, table, event, invariant, migrate, function, query, action, "
                    "schedule, test)"
                )
        if len(tables) > TABLES:
            last = tables[TABLES]
            raise self.fail("limit", last.line, last.column, f"a contract has at most {TABLES} tables")
        if len(records) > RECORDS:
            extra = records[RECORDS]
            raise self.fail("limit", extra.line, extra.column, f"a contract has at most {RECORDS} records")
        return tree.Contract(
            start.line, start.column, name, version, tuple(uses), tuple(consts), tuple(enums), tuple(tables),
            tuple(events), tuple(invariants), tuple(routines), tuple(tests), replaces, tuple(records),
            tuple(migrations), tuple(schedules),
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
        readers: tree.Readers | None = None
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
                self.take()
                if readers is not None:
                    raise self.fail("duplicate", token.line, token.column, "`readers` stands twice in this table")
                readers = tree.Readers(token.line, token.column, self._readers())
            else:
                self.field_list(fields)
            self.newline()
        self.dedent()
        return tree.Table(start.line, start.column, name, tuple(key), tuple(fields), tuple(indexes), readers)

    def _readers(self) -> tuple[str, ...]:
        if self.at_word("everyone"):
            self.take()
            return ()
        names = [self.name("a party field", of_field=True)]
        while self.accept(","):
            names.append(self.name("a party field", of_field=True))
        return tuple(names)

    def migrate(self) -> tree.Migration:
        start = self.take()
        table = self.type_name("a table")
        self.op(":")
        return tree.Migration(start.line, start.column, table, self.sets())

    def schedule(self) -> tree.Schedule:
        """Parse `schedule s on T.f + n days where c` or `schedule s every day` and their kin (L53)."""
        start = self.take()
        first = len(self.called)
        name = self.name("the name of the schedule")
        table = field = ""
        days = 0
        where: tree.Expr | None = None
        kind = "row"
        if self.at_word("every"):
            self.take()
            kind = "month" if self.at_word("month") else "day"
            self.word(kind)
            if kind == "month":
                self.word("on")
                token = self.peek()
                days = self.integer("the day of the month")
                if not 1 <= days <= 31:
                    raise self.fail("limit", token.line, token.column, "a day of a month is 1 to 31")
        else:
            self.word("on")
            table = self.type_name("a table")
            self.op(".")
            field = self.name("a date field", of_field=True)
            if self.peek().text in ("+", "-") and self.at("OP"):
                sign = 1 if self.take().text == "+" else -1
                days = sign * self.integer("a number of days")
                if not (self.at_word("day") or self.at_word("days")):
                    raise self.expected("`days`")
                self.take()
            if self.at_keyword("where"):
                self.take()
                where = self.expression()
        body = self.block()
        calls = tuple(self.called[first:])
        return tree.Schedule(start.line, start.column, kind, name, table, field, days, where, calls, body)  # type: ignore[arg-type]

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
        body, ensures = self.guarded_block()
        called = tuple(self.called[calls:])
        return tree.Routine(
            start.line, start.column, "action", name, params, result, demands, clause, called, body, ensures
        )

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
