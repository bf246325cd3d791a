"""From a SymPy expression to an expression tree."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import sympy
from sympy.core.function import AppliedUndef

from maml_ode.tasks.symbolic.declared_names import normal_name
from maml_ode.tasks.symbolic.tree import (
    COMPOSED,
    FUNCTIONS,
    MAX_DEPTH,
    MAX_NODES,
    REFUSED,
    Call,
    Constant,
    Name,
    Node,
    Number,
    Power,
    Product,
    Sum,
    compose,
    refuse_function,
)

__all__ = ["read"]


def read(expression: Any) -> Node:
    """Return the tree of a SymPy expression; its symbols become names, whatever their assumptions.

    Raises
    ------
    ValueError
        If the expression holds anything but real numbers, symbols, pi, E, sums, products, powers and
        the functions of the grammar, or exceeds the grammar's size.
    """
    symbols: dict[str, Any] = {}
    for symbol in sorted(expression.free_symbols, key=str):
        other = symbols.setdefault(normal_name(str(symbol.name)), symbol)
        alike = other.name == symbol.name and not {type(other), type(symbol)} & {sympy.Dummy}
        if other != symbol and not alike:
            raise ValueError(
                f"expression holds two symbols, {other!r} and {symbol!r}, whose names cannot be told apart; "
                "rename one of them."
            )
    return _Reader().tree(expression, 0)


class _Reader:
    """Counts what it reads, so that a large expression is refused before it is copied."""

    def __init__(self) -> None:
        self.n_nodes = 0

    def tree(self, expression: Any, depth: int) -> Node:
        self.n_nodes += 1
        if self.n_nodes > MAX_NODES or depth > 3 * MAX_DEPTH:
            raise ValueError(
                f"expression must have at most {MAX_NODES} parts nested at most {3 * MAX_DEPTH} deep; "
                "use from_callables for a loss of that size."
            )
        if expression.is_Symbol:
            return Name(normal_name(expression.name))
        if expression.is_Rational:
            return Number(Fraction(int(expression.p), int(expression.q)))
        if expression.is_Float:
            return Number(self._double(expression))
        if expression is sympy.pi or expression is sympy.E:
            return Constant(str(expression))
        return self._operation(expression, depth)

    def _operation(self, expression: Any, depth: int) -> Node:
        name = type(expression).__name__
        if name in COMPOSED and isinstance(expression, AppliedUndef):
            return compose(name, [self.tree(child, depth + 1) for child in expression.args])
        known = expression.is_Add or expression.is_Mul or expression.is_Pow
        if not known and (name not in FUNCTIONS or type(expression) is not getattr(sympy, name)):
            if isinstance(expression, sympy.Function) or name.lower() in REFUSED:
                raise refuse_function(name)
            raise ValueError(
                f"expression: {str(expression)[:60]} ({name}) is not understood; allowed are real numbers, "
                "symbols, pi, E, sums, products, powers and the functions "
                + ", ".join(FUNCTIONS)
                + "."
            )
        children = tuple(self.tree(child, depth + 1) for child in expression.args)
        if expression.is_Add:
            return Sum(children)
        if expression.is_Mul:
            return Product(children)
        if expression.is_Pow:
            return Power(*children)
        return Call(name, *children)

    @staticmethod
    def _double(number: Any) -> float:
        value = float(number)
        if not math.isfinite(value) or (value == 0.0 and not number.is_zero):
            raise ValueError(
                f"expression: the number {number} is outside the range of double precision."
            )
        return value
