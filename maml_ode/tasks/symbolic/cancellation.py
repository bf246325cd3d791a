"""Sums of logistic functions and hyperbolic tangents, written without subtracting what is nearly equal.

    1 - s(x) = s(-x),    s(x) - s(-x) = tanh(x/2),    1 + tanh(x) = 2 s(2x),    1 - tanh(x)^2 = 4 s'(2x),

with any common factor, and s the logistic function.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from maml_ode.tasks.symbolic.linear_forms import (
    Form,
    flat_factors,
    linear_form,
    number,
    product,
    scale,
    sum_of,
    to_tree,
)
from maml_ode.tasks.symbolic.tree import Call, Node, Number, Power, Sum

__all__ = ["join"]


@dataclass(frozen=True)
class _Term:
    """size * others * function(x)^power; without a function, ``x`` is None."""

    size: Fraction
    others: frozenset[Node]
    function: str = ""
    x: Form | None = None
    power: int = 1

    def node(self) -> Node:
        factors = [number(self.size), *sorted(self.others, key=repr)]
        if self.x is not None:
            call = Call(self.function, to_tree(self.x))
            factors.append(call if self.power == 1 else Power(call, Number(self.power)))
        return product(factors)


def join(terms: Sequence[Node]) -> Node:
    """Return the sum of ``terms``; they stay as they are where no rule applies."""
    left = [_split(term) for term in terms]
    if not any(term.x is not None for term in left):
        return _plain(terms)
    joined: list[Node] = []
    changed = True
    while changed:
        changed = False
        for i, j in _pairs(len(left)):
            result = _joined(left[i], left[j])
            if result is not None:
                joined.append(result)
                left = [term for k, term in enumerate(left) if k not in (i, j)]
                changed = True
                break
    if not joined:
        return _plain(terms)
    return sum_of([*joined, *(term.node() for term in left)])


def _plain(terms: Sequence[Node]) -> Node:
    return terms[0] if len(terms) == 1 else Sum(tuple(terms))


def _pairs(n: int) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(n) for j in range(n) if i != j)


def _split(term: Node) -> _Term:
    size = Fraction(1)
    others: list[Node] = []
    found: tuple[str, Form, int] | None = None
    for factor in flat_factors(term):
        match factor:
            case Number(value):
                size *= Fraction(value)
            case Call("logistic" | "tanh" as name, x) if found is None:
                found = name, linear_form(x), 1
            case Power(Call("tanh", x), Number(2)) if found is None:
                found = "tanh", linear_form(x), 2
            case _:
                others.append(factor)
    if found is None or len(set(others)) < len(others):
        return _Term(size, frozenset(others if len(set(others)) == len(others) else [term]))
    function, form, power = found
    return _Term(size, frozenset(others), function, form, power)


def _joined(one: _Term, other: _Term) -> Node | None:
    """Return the sum of two terms if a rule says so; the rules name the plain term first."""
    if one.others != other.others or other.x is None:
        return None
    if one.x is None:
        if other.function == "logistic" and other.size == -one.size:
            return _Term(one.size, one.others, "logistic", scale(other.x, -1)).node()
        if other.function == "tanh" and other.power == 1 and abs(other.size) == abs(one.size):
            x = scale(other.x, 2 * (1 if other.size == one.size else -1))
            return _Term(2 * one.size, one.others, "logistic", x).node()
        if other.power == 2 and other.size == -one.size:
            return _Term(4 * one.size, one.others, "logistic_slope", scale(other.x, 2)).node()
        return None
    if (
        one.function == other.function == "logistic"
        and dict(one.x) == dict(scale(other.x, -1))
        and abs(one.size) == abs(other.size)
    ):
        if one.size == other.size:
            return _Term(one.size, one.others).node()
        return _Term(one.size, one.others, "tanh", scale(one.x, Fraction(1, 2))).node()
    return None
