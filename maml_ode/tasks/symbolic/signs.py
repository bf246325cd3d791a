"""Which trees have one sign for all real values of their names."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from maml_ode.tasks.symbolic.tree import (
    Call,
    Constant,
    LogAdd,
    Name,
    Node,
    Number,
    Power,
    Product,
    Sum,
)

__all__ = ["sign"]

_POSITIVE = ("exp", "cosh", "logistic", "logistic_slope")
_ODD = ("sinh", "tanh", "asinh", "atan", "erf", "asin", "atanh")


def sign(node: Node, known: Mapping[str, int]) -> int:
    """Return 1 or -1 if ``node`` is positive or negative wherever it is real, else 0 (not known).

    ``known`` holds the signs of names; the constants are among them unless declared otherwise.
    """
    low, high = _signs(node, known)
    return low if low == high else 0


# A pair (lowest, highest) of the signs -1, 0, 1 that values can have.
_Signs = tuple[int, int]
_ANY = (-1, 1)


def _signs(node: Node, known: Mapping[str, int]) -> _Signs:
    match node:
        case Number(value):
            s = (value > 0) - (value < 0)
            return s, s
        case Constant():
            return 1, 1
        case Name(name):
            return (known[name], known[name]) if known.get(name) else _ANY
        case Sum(terms):
            return _of_sum([_signs(term, known) for term in terms])
        case Product(factors):
            return _of_product([_signs(factor, known) for factor in factors])
        case Power(base, exponent):
            return _of_power(_signs(base, known), exponent)
        case Call(function, argument):
            return _of_call(function, _signs(argument, known))
        case LogAdd():
            return _ANY


def _of_sum(parts: list[_Signs]) -> _Signs:
    lows, highs = zip(*parts, strict=True)
    low = -1 if min(lows) < 0 else max(lows)
    high = 1 if max(highs) > 0 else min(highs)
    return low, high


def _of_product(parts: list[_Signs]) -> _Signs:
    total = (1, 1)
    for part in parts:
        ends = [a * b for a in total for b in part]
        total = min(ends), max(ends)
    return total


def _of_power(base: _Signs, exponent: Node) -> _Signs:
    if base == (1, 1):
        return base
    if isinstance(exponent, Number):
        power = Fraction(exponent.value)
        if power.denominator > 1:
            return (0, 1) if power > 0 else (1, 1)
        if power % 2 == 0:
            # 0 to the power 0 is 1, to a negative power it is not a number
            lowest = 1 if power <= 0 or base == (-1, -1) else 0
            return lowest, 1
        return base
    return _ANY


def _of_call(function: str, argument: _Signs) -> _Signs:
    if function in _POSITIVE:
        return 1, 1
    if function == "sqrt":
        return max(argument[0], 0), 1
    return argument if function in _ODD else _ANY
