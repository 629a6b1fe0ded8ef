"""Expressions and types (grammar rules `expr` to `primary`, `type`), and the token primitives they stand on.

Depth is counted in the tree as well as in the parser's own calls (L9): brackets, prefixes and each further
`.`, `[]` or `()` add one level; the operands of one chain add none.
"""

from __future__ import annotations

from contracts.errors import SourceError, quote
from contracts.limits import (
    CHAIN_OPERANDS,
    EXPRESSION_DEPTH,
    FIELDS,
    INT_MAX,
    LIST_BOUND,
    RATE_PLACES,
    TEXT_CHARS,
    TREE_NODES,
    TYPE_DEPTH,
)
from contracts.syntax import tree
from contracts.syntax.scan import RESERVED, Token
from contracts.types import PLAIN

PREDEFINED = frozenset({
    "caller", "sender", "today", "height", "row", "result", "min", "max", "abs", "count", "floor_div", "mod",
    "days_between", "money_of", "new_id", "company_has", "default", "value_of", "starts_with", "round_half_up",
    "round_half_even", "round_down", "share", "split", "end_of_month", "add_months", "year_of", "month_of",
    "day_of", "weekday", "year_fraction", "range",
})  # fmt: skip
"""Names no constant, routine, parameter or local may take (L4); fields may."""


class Phrases:
    """A cursor over the tokens, and the rules of expressions."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.place = 0
        self.depth = 0
        self.nodes = 0
        self.called: list[str] = []
        """Names called so far, for the graph of calls (L45)."""

    # -- tokens

    def peek(self, ahead: int = 0) -> Token:
        return self.tokens[min(self.place + ahead, len(self.tokens) - 1)]

    def take(self) -> Token:
        token = self.tokens[self.place]
        if token.kind != "END":
            self.place += 1
        return token

    def at(self, kind: str) -> bool:
        return self.tokens[self.place].kind == kind

    def at_word(self, word: str) -> bool:
        """Tell whether a word stands here that only the grammar makes one (L4)."""
        token = self.tokens[self.place]
        return token.text == word and token.kind in ("NAME", "WORD")

    def at_keyword(self, word: str) -> bool:
        token = self.tokens[self.place]
        return token.kind == "WORD" and token.text == word

    def accept(self, sign: str) -> bool:
        token = self.tokens[self.place]
        if token.kind == "OP" and token.text == sign:
            self.place += 1
            return True
        return False

    def op(self, sign: str) -> Token:
        token = self.tokens[self.place]
        if token.kind != "OP" or token.text != sign:
            raise self.expected(f"`{sign}`")
        self.place += 1
        return token

    def word(self, word: str) -> Token:
        if not self.at_word(word):
            raise self.expected(f"`{word}`")
        return self.take()

    def keyword(self, word: str) -> Token:
        if not self.at_keyword(word):
            raise self.expected(f"`{word}`")
        return self.take()

    def name(self, what: str, of_field: bool = False) -> str:
        token = self.peek()
        if token.kind == "WORD":
            raise self.fail("syntax", token.line, token.column, f"`{token.text}` is a reserved word; expected {what}")
        if token.kind != "NAME":
            raise self.expected(what)
        if not of_field and token.text in PREDEFINED:
            raise self.fail(
                "predefined_name", token.line, token.column, f"`{token.text}` is predefined; choose another name"
            )
        self.place += 1
        return token.text

    def type_name(self, what: str) -> str:
        if not self.at("TYPE"):
            raise self.expected(what)
        return self.take().text

    def integer(self, what: str) -> int:
        if not self.at("INT"):
            raise self.expected(what)
        value: int = self.take().value
        return value

    def newline(self) -> None:
        if not self.at("NEWLINE"):
            raise self.expected("the end of the line")
        self.place += 1

    def indent(self) -> None:
        if not self.at("INDENT"):
            raise self.expected("an indented block")
        self.place += 1

    def dedent(self) -> None:
        if not self.at("DEDENT"):
            raise self.expected("the end of the block")
        self.place += 1

    # -- errors and bounds

    def fail(self, code: str, line: int, column: int, text: str) -> SourceError:
        return SourceError(code, line, column, text)

    def expected(self, what: str) -> SourceError:
        token = self.peek()
        shown = {
            "NEWLINE": "the end of the line",
            "INDENT": "a deeper line",
            "DEDENT": "the end of a block",
            "END": "the end of the file",
        }.get(token.kind, f"`{quote(token.text)}`")
        return self.fail("syntax", token.line, token.column, f"expected {what}, found {shown}")

    def count(self, token: Token) -> None:
        self.nodes += 1
        if self.nodes > TREE_NODES:
            raise self.fail("limit", token.line, token.column, f"the tree has more than {TREE_NODES} nodes")

    def deeper(self, levels: int = 1) -> None:
        self.depth += levels
        if self.depth > EXPRESSION_DEPTH:
            token = self.peek()
            raise self.fail(
                "depth", token.line, token.column, f"an expression is at most {EXPRESSION_DEPTH} levels deep"
            )

    # -- types

    def type(self, depth: int = 1) -> tree.TypeRef:
        found = self._plain_type(depth)
        if not (self.at("OP") and self.peek().text == "?"):
            return found
        token = self.take()
        if found.kind in ("map", "option"):
            raise self.fail("wrong_type", token.line, token.column, "an option holds no map and no option")
        return tree.TypeRef(found.line, found.column, "option", 0, "", "", (found,))

    def _plain_type(self, depth: int) -> tree.TypeRef:
        token = self.take()
        if depth > TYPE_DEPTH:
            raise self.fail("depth", token.line, token.column, f"types are at most {TYPE_DEPTH} levels deep")
        kind, size, contract, name = "", 0, "", ""
        parts: tuple[tree.TypeRef, ...] = ()
        if token.kind == "NAME" and token.text in PLAIN and not (self.peek().text == "." and self.at("OP")):
            kind = token.text
        elif token.kind == "NAME" and token.text == "text" and self.peek().text == "(":
            kind = "text"
            self.op("(")
            size = self.integer("the greatest number of code points")
            if not 1 <= size <= TEXT_CHARS:
                raise self.fail(
                    "limit", token.line, token.column, f"text({size}): a text has 1 to {TEXT_CHARS} code points"
                )
            self.op(")")
        elif token.kind == "NAME" and token.text == "rate" and self.peek().text == "(":
            kind = "rate"
            self.op("(")
            size = self.integer("the number of places")
            if not 1 <= size <= RATE_PLACES:
                raise self.fail("limit", token.line, token.column, f"a rate has 1 to {RATE_PLACES} places")
            self.op(")")
        elif token.kind == "NAME" and token.text in ("list", "map") and self.peek().text == "(":
            kind = token.text
            self.op("(")
            inner = [self.type(depth + 1)]
            self.op(",")
            if kind == "map":
                inner.append(self.type(depth + 1))
                self.op(",")
            size = self.integer("the greatest number of values")
            if not 1 <= size <= LIST_BOUND:
                raise self.fail("limit", token.line, token.column, f"a {kind} holds 1 to {LIST_BOUND} values")
            self.op(")")
            parts = tuple(inner)
        elif token.kind == "TYPE":
            name = token.text
        elif token.kind == "NAME" and self.accept("."):
            contract = token.text
            name = self.type_name("a type of the used contract")
        else:
            self.place -= 1
            raise self.expected("a type")
        return tree.TypeRef(token.line, token.column, kind, size, contract, name, parts)

    # -- expressions

    def expression(self) -> tree.Expr:
        return self._logic("or")

    def _logic(self, op: str) -> tree.Expr:
        start = self.peek()
        inner = self._negation if op == "and" else lambda: self._logic("and")
        first = inner()
        if not self.at_keyword(op):
            return first
        operands = [first]
        while self.at_keyword(op):
            self.take()
            operands.append(inner())
            self._chain(len(operands))
        self.count(start)
        return tree.Logic(start.line, start.column, op, tuple(operands))  # type: ignore[arg-type]  # op is and / or

    def _chain(self, operands: int) -> None:
        if operands > CHAIN_OPERANDS:
            token = self.peek()
            raise self.fail("chain", token.line, token.column, f"one chain has at most {CHAIN_OPERANDS} operands")

    def _negation(self) -> tree.Expr:
        start = self.peek()
        if not self.at_keyword("not"):
            return self._compare()
        self.take()
        self.deeper()
        operand = self._negation()
        self.depth -= 1
        self.count(start)
        return tree.Unary(start.line, start.column, "not", operand)

    def _compare(self) -> tree.Expr:
        start = self.peek()
        left = self._sum()
        token = self.peek()
        found: tree.Expr
        if token.kind == "OP" and token.text in ("==", "!=", "<", "<=", ">", ">="):
            self.take()
            found = tree.Compare(start.line, start.column, token.text, left, self._sum())
        elif token.kind == "WORD" and (token.text == "in" or (token.text == "not" and self.peek(1).text == "in")):
            negated = self.take().text == "not"
            if negated:
                self.take()
            of = self._sum()
            if isinstance(of, tree.ListOf):
                if not of.items:
                    raise self.fail("syntax", of.line, of.column, "expected a value to compare with in the list")
                found = tree.IsIn(start.line, start.column, negated, left, of.items)
            else:
                found = tree.IsWithin(start.line, start.column, negated, left, of)
        elif token.kind == "WORD" and token.text == "is":
            self.take()
            negated = self.at_keyword("not")
            if negated:
                self.take()
            self.keyword("none")
            found = tree.IsNone(start.line, start.column, negated, left)
        else:
            return left
        self.count(start)
        after = self.peek()
        if after.kind == "OP" and after.text in ("==", "!=", "<", "<=", ">", ">="):
            raise self.fail("syntax", after.line, after.column, "comparisons do not chain; join two of them with `and`")
        return found

    def _expressions(self, close: str) -> tuple[tree.Expr, ...]:
        found = [self.expression()]
        while self.accept(","):
            found.append(self.expression())
            self._chain(len(found))
        self.op(close)
        return tuple(found)

    def _sum(self) -> tree.Expr:
        start = self.peek()
        first = self._product()
        rest: list[tuple[str, tree.Expr]] = []
        while self.at("OP") and self.peek().text in ("+", "-"):
            sign = self.take().text
            rest.append((sign, self._product()))
            self._chain(len(rest) + 1)
        if not rest:
            return first
        self.count(start)
        return tree.Sum(start.line, start.column, first, tuple(rest))

    def _product(self) -> tree.Expr:
        start = self.peek()
        operands = [self._factor()]
        signs: list[str] = []
        while self.at("OP") and self.peek().text in ("*", "/"):
            signs.append(self.take().text)
            operands.append(self._factor())
            self._chain(len(operands))
        if len(operands) == 1:
            return operands[0]
        self.count(start)
        return tree.Product(start.line, start.column, tuple(operands), tuple(signs))

    def _factor(self) -> tree.Expr:
        start = self.peek()
        self.count(start)
        if start.kind == "OP" and start.text == "-":
            self.take()
            self.deeper()
            operand = self._factor()
            self.depth -= 1
            return tree.Unary(start.line, start.column, "-", operand)
        if start.kind == "WORD" and start.text == "exists":
            self.take()
            return tree.Exists(start.line, start.column, self.postfix())
        if start.kind == "WORD" and start.text == "zero":
            self.take()
            of = None
            if self.at_keyword("of"):
                self.take()
                of = self.postfix()
            return tree.Zero(start.line, start.column, of)
        if start.kind == "WORD" and start.text == "role":
            self.take()
            role = self.name("a role")
            self.keyword("of")
            return tree.HasRole(start.line, start.column, role, self.postfix())
        found = self.postfix()
        if self.at("NAME") and self.peek().text in ("day", "days"):
            self.take()
            return tree.Days(start.line, start.column, found)
        return found

    def postfix(self) -> tree.Expr:
        start = self.peek()
        found = self._primary()
        levels = 0
        while self.at("OP"):
            sign = self.peek().text
            if sign == "?" and isinstance(found, tree.Lookup):
                self.take()
                found = tree.Maybe(start.line, start.column, found)
                continue
            if sign not in (".", "[", "("):
                break
            self.take()
            levels += 1
            self.deeper()
            self.count(start)
            if sign == ".":
                token = self.peek()
                if token.kind not in ("NAME", "TYPE"):
                    raise self.expected("a field name")
                self.take()
                found = tree.Member(token.line, token.column, found, token.text)
            elif sign == "[":
                found = tree.Lookup(start.line, start.column, found, self._expressions("]"))
            else:
                if isinstance(found, tree.Name):
                    self.called.append(found.name)
                found = tree.Call(start.line, start.column, found, self.arguments())
        self.depth -= levels
        return found

    def arguments(self) -> tuple[tree.Arg, ...]:
        """Parse arguments after the opening bracket, and the closing one."""
        found: list[tree.Arg] = []
        if self.accept(")"):
            return ()
        while True:
            token = self.peek()
            name = ""
            following = self.peek(1)
            if token.kind in ("NAME", "WORD") and following.kind == "OP" and following.text == "=":
                name = self.name("a field or parameter", of_field=True)
                self.op("=")
            found.append(tree.Arg(token.line, token.column, name, self.expression()))
            if len(found) > FIELDS:
                raise self.fail("limit", token.line, token.column, f"at most {FIELDS} arguments are allowed")
            if not self.accept(","):
                break
        self.op(")")
        return tuple(found)

    def _primary(self) -> tree.Expr:
        token = self.take()
        line, column = token.line, token.column
        match token.kind:
            case "NAME":
                return tree.Name(line, column, token.text)
            case "TYPE":
                return tree.TypeName(line, column, token.text)
            case "INT":
                return tree.Int(line, column, token.value)
            case "DATE":
                return tree.Date(line, column, token.value)
            case "TEXT":
                return tree.Text(line, column, token.value)
            case "CCY":
                if self.peek().kind in ("INT", "DECIMAL"):
                    return tree.MoneyAmount(line, column, token.text, self.take().text)
                return tree.CurrencyCode(line, column, token.text)
            case "DECIMAL" | "PERCENT":
                return self._rate(token)
            case "WORD" if token.text in ("true", "false"):
                return tree.Bool(line, column, token.text == "true")
            case "WORD" if token.text == "none":
                return tree.Nothing(line, column)
            case "WORD" if token.text == "old":
                self.op("(")
                self.deeper()
                value = self.expression()
                self.op(")")
                self.depth -= 1
                return tree.Old(line, column, value)
            case "OP" if token.text == "(":
                self.deeper()
                inner = self.expression()
                self.op(")")
                self.depth -= 1
                return inner
            case "OP" if token.text == "[":
                if self.accept("]"):
                    return tree.ListOf(line, column, ())
                self.deeper()
                items = self._expressions("]")
                self.depth -= 1
                return tree.ListOf(line, column, items)
            case "OP" if token.text == "{":
                self.op("}")
                return tree.EmptyMap(line, column)
            case _:
                self.place -= 1
                raise self.expected("an expression")

    def _rate(self, token: Token) -> tree.Rate:
        """Return a decimal or percentage with no more places than it needs, at least one."""
        whole, _, fraction = token.value.partition(".")
        value, places = int(whole + fraction), len(fraction) + (2 if token.kind == "PERCENT" else 0)
        while places > 1 and value % 10 == 0:
            value, places = value // 10, places - 1
        if places > RATE_PLACES or value > INT_MAX:
            text = f"a rate has at most {RATE_PLACES} places and {INT_MAX} units of the last one"
            raise self.fail("bad_token", token.line, token.column, text)
        return tree.Rate(token.line, token.column, value, places)


__all__ = ["Phrases", "PREDEFINED", "RESERVED"]
