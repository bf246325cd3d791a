"""From an expression tree to SymPy and back, with every step bounded before SymPy takes it.

SymPy evaluates as it builds: ``2**(10**9)`` becomes an integer of a billion bits, and ``x - x + 10**9`` a
constant that no look at the text reveals. Trees are therefore built from the leaves upwards. Operands are
*tame* (numbers within double precision, rationals of at most ``MAX_BITS`` bits, constant exponents of at
most ``MAX_EXPONENT``), one step on tame operands is cheap, and its result is used only if it is tame again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import sympy

from maml_ode.tasks.expression_grammar import (
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
    refuse_function,
)

__all__ = ["MAX_EXPONENT", "build", "read"]

MAX_EXPONENT = 64  # of constant exponents, in magnitude
MAX_BITS = 1_024  # of numerators and denominators
_LARGEST = 1e300  # magnitudes of constants, and their inverses

_CLASSES: dict[str, Any] = {name: getattr(sympy, name) for name in FUNCTIONS}
_CONSTANTS: dict[str, Any] = {"pi": sympy.pi, "e": sympy.E, "E": sympy.E}


def build(node: Node, symbols: Mapping[str, Any]) -> Any:
    """Return the SymPy expression of a tree.

    Parameters
    ----------
    node : Node
        The tree.
    symbols : mapping of str to sympy.Symbol
        What the names stand for, real symbols; names that are missing are the constants pi, e and E.
        (For complex symbols SymPy ponders real and imaginary parts without end, and keeps sqrt(x**2),
        which for real x is not smooth.)

    Raises
    ------
    ValueError
        If a constant is not a finite real number, or a number, an integer power or a constant exponent
        is beyond the limits of this module.
    """
    match node:
        case Number(value):
            return _tame(sympy.Float(value) if isinstance(value, float) else sympy.Rational(value))
        case Name(name):
            return symbols[name] if name in symbols else _CONSTANTS[name]
        case Constant(name):
            return _CONSTANTS[name]
        case Sum(terms):
            return _tame(sympy.Add(*(build(term, symbols) for term in terms)))
        case Product(factors):
            return _tame(sympy.Mul(*(build(factor, symbols) for factor in factors)))
        case Power(base, exponent):
            return _power(build(base, symbols), build(exponent, symbols))
        case Call(function, argument):
            operand = build(argument, symbols)
            if function == "exp":
                _check_logarithms(operand)
            return _tame(_CLASSES[function](operand))


def _power(base: Any, exponent: Any) -> Any:
    if exponent.is_Float and float(exponent).is_integer():
        exponent = sympy.Integer(int(exponent))
    _check_exponent(exponent)
    _check_logarithms(exponent)
    return _tame(base**exponent)


def _check_exponent(exponent: Any) -> None:
    if not exponent.free_symbols and abs(_constant(exponent)) > MAX_EXPONENT:
        raise ValueError(
            f"expression: the exponent {_shown(exponent)} is too large; constant exponents must be at "
            f"most {MAX_EXPONENT} in magnitude."
        )


def _check_logarithms(exponent: Any) -> None:
    # SymPy turns exp(c log x) into x**c, so c is an exponent too.
    for term in sympy.Add.make_args(exponent):
        coefficient, rest = term.as_coeff_Mul()
        others = [factor for factor in sympy.Mul.make_args(rest) if not factor.has(sympy.log)]
        if rest.has(sympy.log) and not any(factor.free_symbols for factor in others):
            _check_exponent(coefficient)


def _tame(expression: Any) -> Any:
    """Return ``expression`` if the levels that one step of SymPy can have changed are tame."""
    level = [expression]
    for _ in range(4):
        for part in level:
            if part.is_Pow:
                _check_exponent(part.exp)
            if not part.free_symbols:
                _constant(part)
            elif part.is_Function and type(part).__name__ not in _CLASSES:
                raise ValueError(
                    f"expression: it holds {_shown(part)}, as a root or power of an even power does, "
                    "which is not smooth; write sqrt(x**2 + s**2) with a small s, or x without the root."
                )
        level = [child for part in level for child in part.args]
    return expression


def _constant(expression: Any) -> float:
    """Return the value of a constant, or refuse it."""
    if expression.is_Rational:
        if max(abs(expression.p), expression.q).bit_length() > MAX_BITS:
            raise _out_of_range(expression)
    elif expression.has(sympy.zoo, sympy.oo, -sympy.oo, sympy.nan):
        raise ValueError(
            "expression: a constant in it is infinite or not a number; look for a division by zero."
        )
    try:
        value = float(expression)
    except OverflowError:
        raise _out_of_range(expression) from None
    except TypeError:
        raise ValueError(
            f"expression: the constant {_shown(expression)} is not a real number; "
            "look for a root or logarithm of a negative number."
        ) from None
    if not expression.is_zero and not 1.0 / _LARGEST <= abs(value) <= _LARGEST:
        raise _out_of_range(expression)
    return value


def _out_of_range(expression: Any) -> ValueError:
    return ValueError(
        f"expression: the constant {_shown(expression)} is too large or too small; magnitudes must lie "
        f"between {1 / _LARGEST:g} and {_LARGEST:g}, and fractions have at most {MAX_BITS} bits."
    )


def _shown(expression: Any) -> str:
    if expression.is_Rational and max(abs(expression.p), expression.q).bit_length() > 128:
        return f"of {max(abs(expression.p), expression.q).bit_length()} bits"
    text = str(expression)
    return text if len(text) <= 60 else text[:57] + "..."


def read(expression: Any) -> Node:
    """Return the tree of a SymPy expression; its symbols become names, whatever their assumptions.

    Raises
    ------
    ValueError
        If the expression holds anything but real numbers, symbols, pi, E, sums, products, powers and
        the functions of the grammar, or exceeds the grammar's size.
    """
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
            return Name(expression.name)
        if expression.is_Rational:
            if max(abs(expression.p), expression.q).bit_length() > MAX_BITS:
                raise _out_of_range(expression)
            return Number(Fraction(int(expression.p), int(expression.q)))
        if expression.is_Float:
            value = float(expression)
            if not math.isfinite(value) or (value == 0.0 and not expression.is_zero):
                raise _out_of_range(expression)
            return Number(value)
        if expression is sympy.pi or expression is sympy.E:
            return Constant(str(expression))
        return self._operation(expression, depth)

    def _operation(self, expression: Any, depth: int) -> Node:
        name = type(expression).__name__
        known = expression.is_Add or expression.is_Mul or expression.is_Pow
        if not known and (name not in _CLASSES or type(expression) is not _CLASSES[name]):
            if isinstance(expression, sympy.Function) or name.lower() in REFUSED:
                raise refuse_function(name)
            raise ValueError(
                f"expression: {_shown(expression)} ({name}) is not understood; allowed are real numbers, "
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
