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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from maml_ode._validation import unknown_name

__all__ = [
    "CONSTANTS",
    "FUNCTIONS",
    "MAX_DEPTH",
    "MAX_LENGTH",
    "MAX_NODES",
    "REFUSED",
    "Call",
    "Constant",
    "Name",
    "Node",
    "Number",
    "Power",
    "Product",
    "Sum",
    "names",
    "parse",
    "refuse_function",
]

FUNCTIONS = (
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "exp",
    "log",
    "sqrt",
    "erf",
)
CONSTANTS = ("pi", "e", "E")

MAX_LENGTH = 10_000  # characters of the text
MAX_NODES = 2_000  # numbers, names, operations and calls
MAX_DEPTH = 40  # nested parentheses, calls and exponents
MAX_DIGITS = 40  # characters of one number

# Functions that are refused for a reason, in any capitalisation.
_NOT_SMOOTH = "is not smooth, so that the derivatives of the MAML loss do not exist; "
REFUSED = {
    "abs": _NOT_SMOOTH + "write sqrt(x**2 + s**2) with a small s",
    "fabs": _NOT_SMOOTH + "write sqrt(x**2 + s**2) with a small s",
    "sign": _NOT_SMOOTH + "write tanh(x/s) with a small s",
    "heaviside": _NOT_SMOOTH + "write (1 + tanh(x/s))/2 with a small s",
    "max": _NOT_SMOOTH + "write s*log(exp(x/s) + exp(y/s)) with a small s",
    "min": _NOT_SMOOTH + "write -s*log(exp(-x/s) + exp(-y/s)) with a small s",
    "piecewise": _NOT_SMOOTH + "write one smooth formula",
    "floor": _NOT_SMOOTH + "write one smooth formula",
    "ceil": _NOT_SMOOTH + "write one smooth formula",
    "ceiling": _NOT_SMOOTH + "write one smooth formula",
    "round": _NOT_SMOOTH + "write one smooth formula",
    "ln": "is called log here",
    "pow": "is written x**y here",
    "derivative": "is not evaluated; call .doit() first",
    "integral": "is not evaluated; call .doit() first",
}
_ALLOWED = "numbers, names, + - * / **, parentheses and " + ", ".join(FUNCTIONS)

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<operator>\*\*|[-+*/(),])"
)


@dataclass(frozen=True, slots=True)
class Number:
    """A literal: exact if written as an integer, else the nearest double."""

    value: int | float | Fraction


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, a parameter or, if it is declared as neither, one of ``CONSTANTS``."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """One of ``CONSTANTS``, whatever the variables are called."""

    name: str


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum of two or more terms."""

    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """A product of two or more factors; a quotient holds the inverse as a power -1."""

    factors: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Power:
    """``base ** exponent``."""

    base: Node
    exponent: Node


@dataclass(frozen=True, slots=True)
class Call:
    """One of ``FUNCTIONS`` applied to one argument."""

    function: str
    argument: Node


Node = Number | Name | Constant | Sum | Product | Power | Call


def names(node: Node) -> list[str]:
    """Return the names in ``node``, each once, in order of appearance."""
    found: dict[str, None] = {}
    pending: list[Node] = [node]
    while pending:
        match pending.pop():
            case Name(name):
                found[name] = None
            case Sum(children) | Product(children):
                pending.extend(reversed(children))
            case Power(base, exponent):
                pending.extend((exponent, base))
            case Call(_, argument):
                pending.append(argument)
            case _:
                pass
    return list(found)


def refuse_function(name: str) -> ValueError:
    """Return the error that refuses ``name`` as a function and says what to write instead."""
    reason = REFUSED.get(name.lower())
    if reason is not None:
        return ValueError(f"expression: {name} {reason}.")
    return ValueError(f"expression: {unknown_name('function', name, FUNCTIONS)}")


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
        if found == "^":
            hint = "write ** for powers"
        elif found == ",":
            hint = "every function takes one argument, and decimals are written with a point"
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
            if self._accept("("):
                if token.text not in FUNCTIONS:
                    raise refuse_function(token.text)
                argument = self._nested(self._sum)
                self._close()
                return Call(token.text, argument)
            if token.text in FUNCTIONS:
                raise ValueError(
                    f"expression: the function {token.text} at position {token.start} needs its "
                    f"argument in parentheses, as in {token.text}(x)."
                )
            return Name(token.text)
        if token.text == "(":
            node = self._nested(self._sum)
            self._close()
            return node
        raise self._unexpected(token.text, token.start)

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
