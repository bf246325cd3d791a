"""Expression trees: numbers, names, sums, products, powers and calls, and what names and calls may be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from maml_ode._validation import unknown_name

__all__ = [
    "COMPOSED",
    "CONSTANTS",
    "FUNCTIONS",
    "MAX_DEPTH",
    "MAX_NODES",
    "REFUSED",
    "Call",
    "Constant",
    "LogAdd",
    "Name",
    "Node",
    "Number",
    "Power",
    "Product",
    "Sum",
    "children",
    "compose",
    "exact",
    "listed",
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
# Functions that stand for formulas in the others.
COMPOSED = ("logistic", "softplus", "logsumexp")
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
    "max": _NOT_SMOOTH + "write (x + y + sqrt((x - y)**2 + s**2))/2 with a small s",
    "min": _NOT_SMOOTH + "write (x + y - sqrt((x - y)**2 + s**2))/2 with a small s",
    "piecewise": _NOT_SMOOTH + "write one smooth formula",
    "floor": _NOT_SMOOTH + "write one smooth formula",
    "ceil": _NOT_SMOOTH + "write one smooth formula",
    "ceiling": _NOT_SMOOTH + "write one smooth formula",
    "round": _NOT_SMOOTH + "write one smooth formula",
    "relu": _NOT_SMOOTH + "write (x + sqrt(x**2 + s**2))/2 with a small s",
    "ln": "is called log here",
    "sigmoid": "is called logistic here",
    "expit": "is called logistic here",
    "logaddexp": "is called logsumexp here",
    "log1p": "is written log(1 + x) here, and computed without cancellation",
    "expm1": "is written exp(x) - 1 here",
    "sech": "is written 1/cosh(x) here",
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


@dataclass(frozen=True, slots=True)
class LogAdd:
    """log(exp(first) + exp(second)), with first - second in its best form; not in texts.

    The difference holds both again. Nests would be compared and hashed in exponential time if it counted.
    """

    first: Node
    second: Node
    difference: Node = field(compare=False, repr=False)


Node = Number | Name | Constant | Sum | Product | Power | Call | LogAdd


def children(node: Node) -> tuple[Node, ...]:
    """Return the trees that ``node`` is put together from."""
    match node:
        case Sum(parts) | Product(parts):
            return parts
        case Power(base, exponent):
            return base, exponent
        case Call(_, argument):
            return (argument,)
        case LogAdd(first, second, difference):
            return first, second, difference
        case _:
            return ()


def exact(node: Node) -> Node:
    """Return the tree with its decimals as the fractions that the doubles are."""
    match node:
        case Number(value):
            return Number(Fraction(value))
        case Sum(parts):
            return Sum(tuple(map(exact, parts)))
        case Product(parts):
            return Product(tuple(map(exact, parts)))
        case Power(base, exponent):
            return Power(exact(base), exact(exponent))
        case Call(function, argument):
            return Call(function, exact(argument))
        case _:
            return node


def names(node: Node) -> list[str]:
    """Return the names in ``node``, each once, in order of appearance."""
    found: dict[str, None] = {}
    pending: list[Node] = [node]
    while pending:
        part = pending.pop()
        if isinstance(part, Name):
            found[part.name] = None
        pending.extend(reversed(children(part)))
    return list(found)


def compose(function: str, operands: Sequence[Node]) -> Node:
    """Return the formula that one of ``COMPOSED`` stands for.

    Raises
    ------
    ValueError
        For more than one operand of a function other than logsumexp.
    """
    if function == "logsumexp":
        terms = tuple(Call("exp", operand) for operand in operands)
        return Call("log", Sum(terms)) if len(terms) > 1 else operands[0]
    if len(operands) != 1:
        raise ValueError(f"expression: {function} takes one argument, as in {function}(x).")
    [x] = operands
    if function == "softplus":
        return Call("log", Sum((Number(1), Call("exp", x))))
    return Power(Sum((Number(1), Call("exp", Product((Number(-1), x))))), Number(-1))


def listed(found: Iterable[str]) -> str:
    """Return names in quotes, in order, for a sentence."""
    return ", ".join(map(repr, sorted(found)))


def refuse_function(name: str) -> ValueError:
    """Return the error that refuses ``name`` as a function and says what to write instead."""
    reason = REFUSED.get(name.lower())
    if reason is not None:
        return ValueError(f"expression: {name} {reason}.")
    return ValueError(f"expression: {unknown_name('function', name, FUNCTIONS)}")
