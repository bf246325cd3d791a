"""Derivatives of an expression in steps: partial, directional, and mixed, up to any order.

Written out, the third derivative of a product of twenty factors has thousands of terms. A derivative of a step
is a short expression in the derivatives of earlier steps (the chain rule, forward mode), so that the work
grows with the number of steps and not with the size of the formula.

A derivative is named by its index, a sorted tuple of labels: label k < d is the partial derivative along the
variable wk, label d the derivative along the vector v = (v0, ..., v(d-1)), label d + 1 that along q.
"""

from __future__ import annotations

import itertools
import math
import time
from typing import Any

import sympy

from maml_ode.tasks.symbolic.steps import Steps, real_symbol

__all__ = ["Derivation", "Index", "parameter_symbols", "variable_symbols"]

Index = tuple[int, ...]


def variable_symbols(n: int) -> tuple[Any, ...]:
    """Return the symbols w0, ..., w(n-1)."""
    return tuple(real_symbol(f"w{k}") for k in range(n))


def parameter_symbols(n: int) -> tuple[Any, ...]:
    """Return the symbols p0, ..., p(n-1)."""
    return tuple(real_symbol(f"p{k}") for k in range(n))


class Derivation:
    """The steps of one expression and of those of its derivatives that have been asked for.

    Parameters
    ----------
    steps : Steps
        In ``variable_symbols(n_variables)`` and parameter symbols.
    n_variables : int
        d.
    max_seconds : float
        How long the derivatives may take from now on.

    Attributes
    ----------
    steps : dict of sympy.Symbol to sympy.Expr
        What each step is, in terms of variables, parameters, directions and earlier steps.
    value : sympy.Expr
        The expression itself, in terms of the steps.
    """

    def __init__(self, steps: Steps, n_variables: int, max_seconds: float = math.inf) -> None:
        self._max_seconds = max_seconds
        self._deadline = time.monotonic() + max_seconds
        self.value = steps.value
        self.steps: dict[Any, Any] = dict(steps.definitions)
        self._rates: dict[Any, tuple[Any, ...]] = {}  # of w0, w1, ...: one per label
        for k, w in enumerate(variable_symbols(n_variables)):
            unit = [sympy.Integer(int(k == label)) for label in range(n_variables)]
            self._rates[w] = (*unit, real_symbol(f"v{k}"), real_symbol(f"q{k}"))
        # A root is a step t0, t1, ... or None for the expression. Its derivative has a definition and,
        # in other definitions, is referred to by a name, or by its value if that is a number or a name.
        self._roots = [*steps.definitions, None]
        self._definitions: dict[tuple[Any, Index], Any] = {
            (root, ()): steps.definitions.get(root, steps.value) for root in self._roots
        }
        self._references: dict[tuple[Any, Index], Any] = {}
        self._origins: dict[Any, tuple[Any, Index]] = {t: (t, ()) for t in steps.definitions}

    def derivative(self, index: Index) -> Any:
        """Return the derivative of the expression along the labels of ``index``, 0 if it vanishes.

        Raises
        ------
        ValueError
            If the time is up.
        """
        index = tuple(sorted(index))
        for order in range(1, len(index) + 1):
            for part in sorted(set(itertools.combinations(index, order))):
                for root in self._roots:  # earlier steps first, so that the recursion stays shallow
                    self._derive(root, part)
        return self._definitions[None, index]

    def _derive(self, root: Any, index: Index) -> Any:
        """Return what refers to the derivative of a root along ``index``."""
        if (root, index) not in self._references:
            rate = self._total(self._definitions[root, index[:-1]], index[-1])
            self._definitions[root, index] = rate
            if root is not None and not (rate.is_Number or rate.is_Symbol):
                symbol = real_symbol("_".join([root.name, *map(str, index)]))
                self.steps[symbol] = rate
                self._origins[symbol] = (root, index)
                rate = symbol
            self._references[root, index] = rate
        return self._references[root, index]

    def _rate(self, symbol: Any, label: int) -> Any:
        """Return what refers to the derivative of a symbol along one label."""
        if symbol in self._rates:
            return self._rates[symbol][label]
        if symbol not in self._origins:
            return sympy.S.Zero
        root, index = self._origins[symbol]
        return self._derive(root, tuple(sorted((*index, label))))

    def _total(self, expression: Any, label: int) -> Any:
        """Return sum_s (d expression / d s) (rate of s)."""
        if time.monotonic() > self._deadline:
            raise ValueError(
                f"expression: its derivatives are not found within {self._max_seconds:g} s; simplify it, "
                "raise maml_ode.tasks.symbolic.source.MAX_SECONDS, or write the derivatives by hand and "
                "use from_callables."
            )
        if expression.is_Add:
            return sympy.Add(*(self._total(term, label) for term in expression.args))
        terms = []
        for symbol in sorted(expression.free_symbols, key=lambda s: str(s.name)):
            rate = self._rate(symbol, label)
            if rate != 0:
                terms.append(_partial(expression, symbol) * rate)
        return sympy.Add(*terms)


def _partial(expression: Any, symbol: Any) -> Any:
    if expression.is_Pow and expression.base == symbol and not expression.exp.has(symbol):
        return expression.exp * symbol ** (expression.exp - 1)
    partial = expression.diff(symbol)
    if any(not power.exp.is_number for power in partial.atoms(sympy.Pow)):
        # p w^p / w is 0/0 at w = 0 where p w^(p-1) is not.
        partial = sympy.powsimp(partial, combine="exp")
    return partial
