"""The loss of a `Symbolic` family in the form that enclosures read: exact numbers, real symbols, no overflow.

SymPy turns (w^2)^(3/2) into w^2 |w|. Products of powers of g and of |g| are therefore read as one
function, |g|^p sign(g)^s, whose derivatives are of the same form: where they jump they are bounded, where a jump
is differentiated nothing is said. What is enclosed so holds almost everywhere, which is what bounds of
continuous functions need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sympy

from maml_ode.tasks.symbolic.stable_functions import OVERFLOW_FREE
from maml_ode.tasks.symbolic.steps import real_symbol

if TYPE_CHECKING:
    from maml_ode.tasks.symbolic.family import Symbolic

__all__ = [
    "Jump",
    "SignedPower",
    "exact",
    "signed_powers",
    "stable_derivatives",
    "symbols",
]


class SignedPower(sympy.Function):  # type: ignore[misc]
    """|g|^p sign(g)^s for a rational p and s = 0 or 1."""

    @classmethod
    def eval(cls, g: Any, p: Any, s: Any) -> Any:
        """Return a power of g where that is the same."""
        return g**p if p.is_Integer and (p - s) % 2 == 0 else None

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative, which has no value at g = 0 if it is that of a jump."""
        g, p, s = self.args
        return p * SignedPower(g, p - 1, 1 - s) if p else Jump(g)


class Jump(sympy.Function):  # type: ignore[misc]
    """The derivative of sign(g): 0 but for g = 0."""

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative, of which no more is known."""
        return Jump(self.args[0])


def exact(expression: Any) -> Any:
    """Return a SymPy expression with its floats as fractions, so that derivatives are not rounded."""
    return expression.xreplace({x: sympy.Rational(x) for x in expression.atoms(sympy.Float)})


def symbols(tasks: Symbolic) -> tuple[Any, ...]:
    """Return the variable and the parameters, as they stand in ``stable_derivatives``."""
    return tuple(real_symbol(name) for name in (*tasks.variables, *tasks.parameters))


def stable_derivatives(tasks: Symbolic, orders: Sequence[int]) -> list[Any]:
    """Return derivatives of the loss of a family of one variable, in functions that do not overflow."""
    stable = tasks.stable_expression
    if not stable.has(*OVERFLOW_FREE):
        stable = tasks.expression
    found = [signed_powers(exact(_real(tasks, stable)))]
    variable = symbols(tasks)[0]
    for _ in range(max(orders)):
        found.append(signed_powers(sympy.diff(found[-1], variable)))
    return [found[order] for order in orders]


def _real(tasks: Symbolic, expression: Any) -> Any:
    return expression.xreplace({sympy.Symbol(str(symbol)): symbol for symbol in symbols(tasks)})


def signed_powers(expression: Any) -> Any:
    """Return an expression in real symbols with |g| and sign(g), and their products with g, as `SignedPower`."""
    if not expression.has(sympy.Abs, sympy.sign, SignedPower):
        return expression
    parts = [signed_powers(part) for part in expression.args]
    if isinstance(expression, sympy.Abs):
        return SignedPower(parts[0], sympy.S.One, sympy.S.Zero)
    if isinstance(expression, sympy.sign):
        return SignedPower(parts[0], sympy.S.Zero, sympy.S.One)
    if expression.is_Pow and isinstance(parts[0], SignedPower) and parts[1].is_Rational:
        g, p, s = parts[0].args
        if parts[1].is_Integer or s == 0:
            return SignedPower(g, p * parts[1], s * parts[1] % 2)
    if expression.is_Mul:
        return _product(parts)
    return expression.func(*parts) if parts else expression


def _product(factors: Sequence[Any]) -> Any:
    """Join each |g|^p sign(g)^s with the integer powers of g beside it."""
    joined: dict[Any, tuple[Any, Any]] = {}
    for factor in factors:
        if isinstance(factor, SignedPower):
            g, p, s = factor.args
            before = joined.get(g, (sympy.S.Zero, sympy.S.Zero))
            joined[g] = before[0] + p, before[1] + s
    others = []
    for factor in factors:
        base, exponent = factor.as_base_exp()
        if base in joined and exponent.is_Integer:
            joined[base] = joined[base][0] + exponent, joined[base][1] + exponent
        elif not isinstance(factor, SignedPower):
            others.append(factor)
    return sympy.Mul(*others, *(SignedPower(g, p, s % 2) for g, (p, s) in joined.items()))
