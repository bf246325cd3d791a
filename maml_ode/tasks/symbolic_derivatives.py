"""Derivatives of a SymPy expression, as steps that share what they have in common.

Written out, the third derivative of a product of twenty factors has thousands of terms. Here the expression is
first cut into steps t0, t1, ... of one operation each, equal subexpressions being one step; a derivative of a
step is then a short expression in the derivatives of earlier steps (the chain rule, forward mode), so that the
work grows with the number of steps and not with the size of the formula.

A derivative is named by its index, a sorted tuple of labels: label k < d is the partial derivative along the
variable wk, label d the derivative along the vector v = (v0, ..., v(d-1)), label d + 1 that along q.
"""

from __future__ import annotations

import itertools
from typing import Any

import sympy

__all__ = ["Derivation", "Index", "parameter_symbols", "real_symbol", "variable_symbols"]

Index = tuple[int, ...]


def real_symbol(name: str) -> Any:
    """Return the symbol of that name in derived expressions; every one stands for a real number."""
    return sympy.Symbol(name, real=True)


def variable_symbols(n: int) -> tuple[Any, ...]:
    """Return the symbols w0, ..., w(n-1)."""
    return _numbered("w", n)


def parameter_symbols(n: int) -> tuple[Any, ...]:
    """Return the symbols p0, ..., p(n-1)."""
    return _numbered("p", n)


def _numbered(letter: str, n: int) -> tuple[Any, ...]:
    return tuple(real_symbol(f"{letter}{k}") for k in range(n))


class Derivation:
    """The steps of one expression and of those of its derivatives that have been asked for.

    Parameters
    ----------
    expression : sympy.Expr
        In ``variable_symbols(n_variables)`` and parameter symbols.
    n_variables : int
        d.

    Attributes
    ----------
    steps : dict of sympy.Symbol to sympy.Expr
        What each step is, in terms of variables, parameters, directions and earlier steps.
    value : sympy.Expr
        The expression itself, in terms of the steps.
    """

    def __init__(self, expression: Any, n_variables: int) -> None:
        self.dim = n_variables
        self.variables = variable_symbols(n_variables)
        self.steps: dict[Any, Any] = {}
        self._rates: dict[Any, tuple[Any, ...]] = {}  # of w0, w1, ...: one per label
        for k, w in enumerate(self.variables):
            unit = [sympy.Integer(int(k == label)) for label in range(n_variables)]
            self._rates[w] = (*unit, real_symbol(f"v{k}"), real_symbol(f"q{k}"))
        self._varying = set(self.variables)
        self._cut: dict[Any, Any] = {}
        self._names: dict[Any, Any] = {}
        # A root is a step t0, t1, ... or None for the expression. Its derivative has a definition and,
        # in other definitions, is referred to by a name, or by its value if that is a number or a name.
        self._roots: list[Any] = []
        self._definitions: dict[tuple[Any, Index], Any] = {}
        self._references: dict[tuple[Any, Index], Any] = {}
        self._origins: dict[Any, tuple[Any, Index]] = {}
        self.value = self._lower(expression)
        self._roots.append(None)
        self._definitions[None, ()] = self.value

    def derivative(self, index: Index) -> Any:
        """Return the derivative of the expression along the labels of ``index``, 0 if it vanishes."""
        index = tuple(sorted(index))
        for order in range(1, len(index) + 1):
            for part in sorted(set(itertools.combinations(index, order))):
                for root in self._roots:  # earlier steps first, so that the recursion stays shallow
                    self._derive(root, part)
        return self._definitions[None, index]

    def _lower(self, expression: Any) -> Any:
        """Return ``expression`` as one short operation on variables and named steps."""
        if expression.is_Symbol or not expression.free_symbols & set(self.variables):
            return expression
        if expression not in self._cut:
            self._cut[expression] = self._operation(expression)
        return self._cut[expression]

    def _operation(self, expression: Any) -> Any:
        parts = [self._lower(part) for part in expression.args]
        if expression.is_Add:
            return sympy.Add(*parts)
        if expression.is_Mul:
            fixed = [part for part in parts if not self._varies(part)]
            factors = [part for part in parts if self._varies(part)]
            if len(factors) > 1:
                factors = [
                    part if self._is_monomial(part) else self._name(part) for part in factors
                ]
            while len(factors) > 3:  # the product rule is short for few factors
                factors = [
                    self._name(sympy.Mul(*factors[k : k + 2])) for k in range(0, len(factors), 2)
                ]
            return sympy.Mul(*fixed, *factors)
        return expression.func(*(self._name(part) for part in parts))

    def _varies(self, expression: Any) -> bool:
        return bool(expression.free_symbols & self._varying)

    def _is_monomial(self, expression: Any) -> bool:
        return bool(expression.is_Pow and expression.base.is_Symbol and expression.exp.is_Integer)

    def _name(self, expression: Any) -> Any:
        """Return the step that holds ``expression``."""
        if expression.is_Symbol or not self._varies(expression):
            return expression
        if expression not in self._names:
            symbol = real_symbol(f"t{len(self._names)}")
            self._names[expression] = symbol
            self.steps[symbol] = expression
            self._varying.add(symbol)
            self._roots.append(symbol)
            self._definitions[symbol, ()] = expression
            self._origins[symbol] = (symbol, ())
        return self._names[expression]

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
        if expression.is_Add:
            return sympy.Add(*(self._total(term, label) for term in expression.args))
        terms = []
        for symbol in sorted(expression.free_symbols, key=lambda s: str(s.name)):
            rate = self._rate(symbol, label)
            if rate != 0:
                partial = expression.diff(symbol)
                if any(not power.exp.is_number for power in partial.atoms(sympy.Pow)):
                    # p w^p / w is 0/0 at w = 0 where p w^(p-1) is not.
                    partial = sympy.powsimp(partial, combine="exp")
                terms.append(partial * rate)
        return sympy.Add(*terms)
