"""Statements and the steps of tests (grammar rules `statement` to `for`, `test`, `step`)."""

from __future__ import annotations

from contracts.limits import BLOCK_DEPTH, CHAIN_OPERANDS, LIST_BOUND, SCAN_BOUND
from contracts.syntax import tree
from contracts.syntax.phrases import Phrases
from contracts.syntax.scan import Token


class Sentences(Phrases):
    """Blocks and what stands in them."""

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self.blocks = 0

    def block(self) -> tuple[tree.Statement, ...]:
        return self.guarded_block(False)[0]

    def guarded_block(self, ensures: bool = True) -> tuple[tuple[tree.Statement, ...], tuple[tree.Ensure, ...]]:
        """Parse a block; only the block of an action ends with `ensure` lines (L48)."""
        self.op(":")
        self.newline()
        self.indent()
        self.blocks += 1
        if self.blocks > BLOCK_DEPTH:
            token = self.peek()
            raise self.fail("depth", token.line, token.column, f"blocks are at most {BLOCK_DEPTH} levels deep")
        found: list[tree.Statement] = []
        while not self.at("DEDENT") and not (ensures and found and self.at_keyword("ensure")):
            found.append(self.statement())
        tested: list[tree.Ensure] = []
        while ensures and not self.at("DEDENT"):
            token = self.keyword("ensure")
            self.count(token)
            condition = self.expression()
            self.keyword("else")
            reason, text = self.reason()
            self.newline()
            tested.append(tree.Ensure(token.line, token.column, condition, reason, text))
        self.blocks -= 1
        self.dedent()
        return tuple(found), tuple(tested)

    def statement(self) -> tree.Statement:
        token = self.peek()
        line, column = token.line, token.column
        self.count(token)
        if token.kind == "WORD":
            match token.text:
                case "let" | "var":
                    return self.let()
                case "insert" | "put" | "update" | "delete":
                    return self.write()
                case "if":
                    return self.if_()
                case "for":
                    return self.for_()
                case "return":
                    self.take()
                    value = None if self.at("NEWLINE") else self.expression()
                    self.newline()
                    return tree.Return(line, column, value)
                case "require":
                    self.take()
                    condition = self.expression()
                    self.keyword("else")
                    reason, text = self.reason()
                    self.newline()
                    return tree.Require(line, column, condition, reason, text)
                case "emit":
                    self.take()
                    event = self.type_name("an event")
                    self.op("(")
                    args = self.arguments()
                    self.newline()
                    return tree.Emit(line, column, event, args)
                case "pass":
                    self.take()
                    self.newline()
                    return tree.Pass(line, column)
                case "append":
                    self.take()
                    item = self.expression()
                    self.word("to")
                    name = self.name("a list")
                    self.newline()
                    return tree.Append(line, column, item, name)
                case "remove":
                    self.take()
                    name = self.name("a map")
                    key = self._key()
                    self.newline()
                    return tree.Remove(line, column, name, key)
                case "ensure":
                    raise self.fail("syntax", line, column, "`ensure` stands at the end of an action (L48)")
        if token.kind == "NAME":
            return self.assign_or_call()
        raise self.expected("a statement")

    def let(self) -> tree.Let:
        token = self.take()
        name = self.name("a name for the value")
        kind = self.type() if self.accept(":") else None
        self.op("=")
        value = self.expression()
        self.newline()
        return tree.Let(token.line, token.column, token.text == "var", name, kind, value)

    def _key(self) -> tree.Expr:
        self.op("[")
        self.deeper()
        key = self.expression()
        self.op("]")
        self.depth -= 1
        return key

    def assign_or_call(self) -> tree.Assign | tree.AssignItem | tree.CallStatement:
        token, following = self.peek(), self.peek(1)
        if following.kind == "OP" and following.text in ("=", "+=", "-="):
            name = self.take().text
            op = self.take().text
            value = self.expression()
            self.newline()
            return tree.Assign(token.line, token.column, name, op, value)
        if following.kind == "OP" and following.text == "[":
            name = self.name("a list or map")
            key = self._key()
            if not (self.at("OP") and self.peek().text in ("=", "+=", "-=")):
                raise self.expected("`=`, `+=` or `-=`")
            op = self.take().text
            value = self.expression()
            self.newline()
            return tree.AssignItem(token.line, token.column, name, key, op, value)
        return self.call_statement()

    def call_statement(self) -> tree.CallStatement:
        token = self.peek()
        found = self.call()
        self.newline()
        return tree.CallStatement(token.line, token.column, found)

    def call(self) -> tree.Call:
        token = self.peek()
        name = self.name("a call", of_field=True)
        of: tree.Expr = tree.Name(token.line, token.column, name)
        self.called.append(name)
        if self.accept("."):
            member = self.peek()
            of = tree.Member(member.line, member.column, of, self.name("an action or query", of_field=True))
        self.op("(")
        return tree.Call(token.line, token.column, of, self.arguments())

    def write(self) -> tree.Write | tree.Update | tree.Delete:
        token = self.take()
        line, column = token.line, token.column
        table = self.type_name("a table")
        if token.text in ("insert", "put"):
            self.op("(")
            args = self.arguments()
            self.newline()
            return tree.Write(line, column, token.text, table, args)  # type: ignore[arg-type]  # insert / put
        self.op("[")
        self.deeper()
        keys = self._expressions("]")
        self.depth -= 1
        if token.text == "delete":
            self.newline()
            return tree.Delete(line, column, table, keys)
        self.word("with")
        return tree.Update(line, column, table, keys, self.sets())

    def sets(self) -> tuple[tree.Arg, ...]:
        """Parse `f = e, ...` up to the end of the line."""
        found = []
        while True:
            start = self.peek()
            name = self.name("a field", of_field=True)
            self.op("=")
            found.append(tree.Arg(start.line, start.column, name, self.expression()))
            if not self.accept(","):
                break
        self.newline()
        return tuple(found)

    def if_(self) -> tree.If:
        start = self.take()
        branches = [(self.expression(), self.block())]
        otherwise: tuple[tree.Statement, ...] = ()
        while self.at_keyword("elif"):
            token = self.take()
            branches.append((self.expression(), self.block()))
            if len(branches) > CHAIN_OPERANDS:
                raise self.fail("chain", token.line, token.column, f"one `if` has at most {CHAIN_OPERANDS} branches")
        if self.at_keyword("else"):
            self.take()
            otherwise = self.block()
        return tree.If(start.line, start.column, tuple(branches), otherwise)

    def for_(self) -> tree.For | tree.ForEach:
        start = self.take()
        name = self.name("a name for the row")
        second = self.name("a name for the value") if self.accept(",") else ""
        self.keyword("in")
        source = self.postfix()
        if not isinstance(source, tree.TypeName) or second:
            return self._for_each(start, name, second, source)
        where = None
        if self.at_keyword("where"):
            self.take()
            where = self.expression()
        mode = self.peek()
        if not (self.at_word("limit") or self.at_word("first")):
            raise self.fail("unbounded", mode.line, mode.column, "a loop over a table needs `limit N` or `first N`")
        self.take()
        bound = self.integer("the greatest number of rows")
        if not 1 <= bound <= SCAN_BOUND:
            raise self.fail("limit", mode.line, mode.column, f"a scan looks at 1 to {SCAN_BOUND} rows")
        return tree.For(start.line, start.column, name, source, where, mode.text, bound, self.block())  # type: ignore[arg-type]  # limit / first

    def _for_each(self, start: Token, name: str, second: str, source: tree.Expr) -> tree.ForEach:
        """Parse the rest of a loop over a list, a map or a range, which are bounded by themselves (L33)."""
        bound = None
        if self.at_word("limit"):
            token = self.take()
            bound = self.integer("the greatest number of turns")
            if not 1 <= bound <= LIST_BOUND:
                raise self.fail("limit", token.line, token.column, f"a loop makes 1 to {LIST_BOUND} turns")
        return tree.ForEach(start.line, start.column, name, second, source, bound, self.block())

    def reason(self) -> tuple[str, tree.Text]:
        reason = ""
        if self.at("NAME") or self.at("CODE"):
            reason = self.take().text
        token = self.peek()
        if token.kind != "TEXT":
            raise self.expected("the text of the refusal")
        self.take()
        self.count(token)
        return reason, tree.Text(token.line, token.column, token.value)

    # -- tests

    def test(self) -> tree.Test:
        start = self.word("test")
        title = self.plain_text("the sentence of the test")
        self.op(":")
        return tree.Test(start.line, start.column, title, self.steps())

    def steps(self) -> tuple[tree.Step, ...]:
        self.newline()
        self.indent()
        found = []
        while not self.at("DEDENT"):
            found.append(self.step())
        self.dedent()
        return tuple(found)

    def step(self) -> tree.Step:
        token = self.peek()
        line, column = token.line, token.column
        self.count(token)
        if token.kind == "NAME" and token.text == "parties" and self.peek(1).kind == "NAME":
            self.take()
            names = [self.name("a party")]
            while self.accept(","):
                names.append(self.name("a party"))
            self.newline()
            return tree.Parties(line, column, tuple(names))
        if token.kind == "NAME" and token.text == "at" and self.peek(1).kind == "DATE":
            self.take()
            iso: str = self.take().value
            self.newline()
            return tree.At(line, column, iso)
        if token.kind == "WORD":
            match token.text:
                case "insert" | "put" | "update" | "delete":
                    return self.write()
                case "let":
                    return self.let()
                case "as":
                    return self.as_()
                case "expect":
                    return self.expect()
        if token.kind == "NAME":
            return self.call_statement()
        raise self.expected("a step of a test")

    def as_(self) -> tree.As:
        start = self.take()
        signers = []
        while True:
            token = self.peek()
            party = self.name("a party")
            self.keyword("role")
            signers.append((party, self.name("a role"), token.line, token.column))
            if not self.at_keyword("and"):
                break
            self.take()
        self.op(":")
        return tree.As(start.line, start.column, tuple(signers), self.steps())

    def expect(self) -> tree.ExpectTrue | tree.ExpectAbort | tree.ExpectEmitted:
        start = self.take()
        line, column = start.line, start.column
        if self.at_keyword("abort"):
            self.take()
            reason = self.take().text if self.at("NAME") or self.at("CODE") else ""
            part = self.plain_text("a part of the text") if self.at("TEXT") else None
            self.op(":")
            call = self.call()
            self.newline()
            return tree.ExpectAbort(line, column, reason, part, call)
        if self.at_word("emitted") and self.peek(1).kind == "TYPE":
            self.take()
            event = self.take().text
            self.op("(")
            args = self.arguments()
            self.newline()
            return tree.ExpectEmitted(line, column, event, args)
        condition = self.expression()
        self.newline()
        return tree.ExpectTrue(line, column, condition)

    def plain_text(self, what: str) -> str:
        token = self.peek()
        if token.kind != "TEXT":
            raise self.expected(what)
        self.take()
        if any(not isinstance(part, str) for part in token.value):
            raise self.fail("syntax", token.line, token.column, "this text takes no inserts")
        return "".join(token.value)
