"""Expression trees: numbers, names, sums, products, powers and calls, and what names and calls may be."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from maml_ode._validation import unknown_name

__all__ = [
    "CONSTANTS",
    "FUNCTIONS",
    "MAX_DEPTH",
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

MAX_NODES = 2_000  # numbers, names, operations and calls
MAX_DEPTH = 40  # nested parentheses, calls and exponents

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
