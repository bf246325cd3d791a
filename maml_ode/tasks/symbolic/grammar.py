"""A small arithmetic grammar: text becomes a tree of numbers, names, sums, products, powers and calls.

    sum     = term { ("+" | "-") term }
    term    = factor { ("*" | "/") factor }
    factor  = { "+" | "-" } power
    power   = atom [ "**" factor ]
    atom    = number | name | function "(" sum ")" | "(" sum ")"

Precedence is Python's: ``-x**2`` is -(x^2) and ``2**3**2`` is 2^(3^2). Nothing is evaluated here: no ``eval``, no
attribute, no index, no keyword, no call but of the functions listed. Length, depth and size are limited, so
that what follows the parser works on a tree of known size.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from maml_ode.tasks.symbolic.declared_names import normal_name
from maml_ode.tasks.symbolic.tree import (
    COMPOSED,
    FUNCTIONS,
    MAX_DEPTH,
    MAX_NODES,
    Call,
    Name,
    Node,
    Number,
    Power,
    Product,
    Sum,
    compose,
    refuse_function,
)

__all__ = ["parse"]

MAX_LENGTH = 10_000  # characters of the text
MAX_DIGITS = 40  # characters of one number

_ALLOWED = "numbers, names, + - * / **, parentheses and " + ", ".join((*FUNCTIONS, *COMPOSED))

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<operator>\*\*|[-+*/(),])"
)


def parse(text: str) -> Node:
    """Return the tree of ``text``.

    Raises
    ------
    ValueError
        If the text is not in the grammar of this module or exceeds ``MAX_LENGTH``, ``MAX_NODES`` or
        ``MAX_DEPTH``; the sentence names the place and what is allowed.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(
            f"expression must have at most {MAX_LENGTH} characters, but it has {len(text)}; "
            "use from_callables for a loss of that size."
        )
    return _Parser(text).whole()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # number, name, operator or end
    text: str
    start: int


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._split())
        self.position = 0
        self.n_nodes = 0
        self.depth = 0

    def _split(self) -> Iterator[_Token]:
        start = 0
        while start < len(self.text):
            match = _TOKEN.match(self.text, start)
            if match is None:
                raise self._unexpected(self.text[start], start)
            if match.lastgroup is not None and match.lastgroup != "space":
                yield _Token(match.lastgroup, match.group(), start)
            start = match.end()
        yield _Token("end", "", start)

    def _unexpected(self, found: str, start: int) -> ValueError:
        what = repr(found) if found else "the end"
        if not found.isascii() and unicodedata.normalize("NFKC", found) != found:
            hint = "write ** for powers, and plain letters and digits"
        elif found == "^":
            hint = "write ** for powers"
        elif found == ",":
            hint = (
                "functions but logsumexp take one argument, and decimals are written with a point"
            )
        elif found == "(" or found[:1].isalnum():
            hint = "write * for a product"
        else:
            hint = f"allowed are {_ALLOWED}"
        excerpt = self.text if len(self.text) <= 60 else self.text[max(0, start - 30) : start + 30]
        return ValueError(
            f"expression: unexpected {what} at position {start} of {excerpt!r}; {hint}."
        )

    def _next(self) -> _Token:
        token = self.tokens[self.position]
        self.position += 1
        return token

    def _accept(self, *operators: str) -> str | None:
        token = self.tokens[self.position]
        if token.kind == "operator" and token.text in operators:
            self.position += 1
            return token.text
        return None

    def _close(self) -> None:
        if not self._accept(")"):
            token = self.tokens[self.position]
            raise self._unexpected(token.text, token.start)

    def _count(self) -> None:
        self.n_nodes += 1
        if self.n_nodes > MAX_NODES:
            raise ValueError(
                f"expression must have at most {MAX_NODES} numbers, names and operations; "
                "use from_callables for a loss of that size."
            )

    def whole(self) -> Node:
        node = self._sum()
        token = self._next()
        if token.kind != "end":
            raise self._unexpected(token.text, token.start)
        return node

    def _sum(self) -> Node:
        terms = [self._term()]
        while operator := self._accept("+", "-"):
            self._count()
            term = self._term()
            terms.append(term if operator == "+" else Product((Number(-1), term)))
        return terms[0] if len(terms) == 1 else Sum(tuple(terms))

    def _term(self) -> Node:
        factors = [self._factor()]
        while operator := self._accept("*", "/"):
            self._count()
            factor = self._factor()
            factors.append(factor if operator == "*" else Power(factor, Number(-1)))
        return factors[0] if len(factors) == 1 else Product(tuple(factors))

    def _factor(self) -> Node:
        negative = False
        while sign := self._accept("+", "-"):
            negative ^= sign == "-"
        node = self._power()
        return Product((Number(-1), node)) if negative else node

    def _power(self) -> Node:
        base = self._atom()
        if self._accept("**"):
            self._count()
            return Power(base, self._nested(self._factor))
        return base

    def _nested(self, rule: Callable[[], Node]) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError(
                f"expression must not nest parentheses, calls and exponents deeper than {MAX_DEPTH}."
            )
        node = rule()
        self.depth -= 1
        return node

    def _atom(self) -> Node:
        self._count()
        token = self._next()
        if token.kind == "number":
            return Number(self._literal(token))
        if token.kind == "name":
            if not token.text.isidentifier():
                raise self._unexpected(token.text, token.start)
            if self._accept("("):
                if token.text in COMPOSED:
                    return self._composed(token)
                if token.text not in FUNCTIONS:
                    raise refuse_function(token.text)
                argument = self._nested(self._sum)
                self._close()
                return Call(token.text, argument)
            name = normal_name(token.text)
            if name in FUNCTIONS:
                raise ValueError(
                    f"expression: the function {token.text} at position {token.start} needs its "
                    f"argument in parentheses, as in {token.text}(x)."
                )
            return Name(name)
        if token.text == "(":
            node = self._nested(self._sum)
            self._close()
            return node
        raise self._unexpected(token.text, token.start)

    def _composed(self, token: _Token) -> Node:
        operands = [self._nested(self._sum)]
        while self._accept(","):
            operands.append(self._nested(self._sum))
        self._close()
        self.n_nodes += 3 * len(operands)
        return compose(token.text, operands)

    def _literal(self, token: _Token) -> int | float:
        if len(token.text) > MAX_DIGITS:
            raise ValueError(
                f"expression: the number at position {token.start} has {len(token.text)} characters; "
                f"at most {MAX_DIGITS} are allowed."
            )
        value = int(token.text) if token.text.isdecimal() else float(token.text)
        zero = not token.text.lower().partition("e")[0].strip("0.")
        if not math.isfinite(value) or (value == 0 and not zero):
            raise ValueError(
                f"expression: the number {token.text} at position {token.start} is outside the range "
                "of double precision."
            )
        return value
