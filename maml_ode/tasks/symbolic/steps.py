"""From an expression tree to short SymPy expressions, each checked before it is used.

SymPy evaluates as it builds: ``2**(10**9)`` becomes an integer of a billion bits, ``x - x + 10**9`` a constant
that no look at the text reveals, and a nest of functions is searched for simplifications without end. The
tree is therefore built from its leaves upwards, in steps: whatever is not short gets a name t0, t1, ... which
stands for it from there on, equal expressions getting the same name. Operands are *tame* (numbers within
double precision, rationals of at most ``MAX_BITS`` bits, constant exponents of at most ``MAX_EXPONENT``), one
operation on short tame operands is cheap, and its result is used only if it is tame again.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import sympy

from maml_ode.tasks.symbolic.stable_functions import LogAddition
from maml_ode.tasks.symbolic.tree import (
    FUNCTIONS,
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

__all__ = ["Steps", "real_symbol"]

MAX_EXPONENT = 64  # of constant exponents, in magnitude
MAX_BITS = 1_024  # of numerators and denominators
_LARGEST = 1e300  # magnitudes of constants, and their inverses

_CLASSES: dict[str, Any] = {name: getattr(sympy, name) for name in FUNCTIONS}
_CONSTANTS: dict[str, Any] = {"pi": sympy.pi, "e": sympy.E, "E": sympy.E}


def real_symbol(name: str) -> Any:
    """Return the symbol of that name in derived expressions; every one stands for a real number."""
    return sympy.Symbol(name, real=True)


class Steps:
    """An expression cut into steps t0, t1, ... of one operation each.

    Parameters
    ----------
    node : Node
        The tree of the expression.
    symbols : mapping of str to sympy.Symbol
        What its names stand for; a name that is missing is one of the constants pi, e and E.
    functions : mapping of str to class, optional
        What calls stand for that are not SymPy's function of that name.

    Attributes
    ----------
    definitions : dict of sympy.Symbol to sympy.Expr
        What each step is, in terms of ``symbols`` and of earlier steps.
    value : sympy.Expr
        The whole expression, in terms of the same.

    Raises
    ------
    ValueError
        If a constant is not a finite real number, or a number or a constant exponent is beyond the
        limits of this module.
    """

    def __init__(
        self,
        node: Node,
        symbols: Mapping[str, Any],
        functions: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.definitions: dict[Any, Any] = {}
        self._functions = {**_CLASSES, **functions}
        self._built: dict[int, tuple[Node, Any]] = {}  # a node is kept with its id
        self._symbols = symbols
        self._names: dict[Any, Any] = {}
        self._degrees: dict[Any, float] = {}
        self.value = self._build(node)

    def expanded(self) -> Any:
        """Return the expression with every step written out, as SymPy simplifies it.

        Raises
        ------
        ValueError
            If a number or exponent that only appears now is beyond the limits of this module.
        """
        written: dict[Any, Any] = {}
        for symbol, definition in self.definitions.items():
            written[symbol] = _substitute(definition, written)
        return _substitute(self.value, written)

    def _build(self, node: Node) -> Any:
        """Return a short expression in the given symbols and named steps."""
        # Parts of a rewritten tree are shared: as many places as point to one, it is built once.
        if id(node) not in self._built:
            self._built[id(node)] = node, self._operation(node)
        return self._built[id(node)][1]

    def _operation(self, node: Node) -> Any:
        match node:
            case Number(value):
                number = sympy.Float if isinstance(value, float) else sympy.Rational
                return _tame(number(value))
            case Name(name):
                return self._symbols[name] if name in self._symbols else _CONSTANTS[name]
            case Constant(name):
                return _CONSTANTS[name]
            case Sum(terms):
                return _tame(sympy.Add(*(self._build(term) for term in terms)))
            case Product(factors):
                return self._product([self._build(factor) for factor in factors])
            case Power(base, exponent):
                power = _power(self._named(self._build(base)), self._named(self._build(exponent)))
                _check_exponent(sympy.Rational(self._degree(power)))
                return power
            case Call(function, argument):
                return _call(self._functions[function], self._named(self._build(argument)))
            case LogAdd(first, second, difference):
                operands = (first, second, difference)
                return _call(LogAddition, *(self._named(self._build(x)) for x in operands))

    def _product(self, factors: list[Any]) -> Any:
        numbers = [factor for factor in factors if not factor.free_symbols]
        others = [factor for factor in factors if factor.free_symbols]
        if len(others) > 1:
            others = [factor if _is_monomial(factor) else self._named(factor) for factor in others]
        while len(others) > 4:  # few factors keep the product rule short
            pairs = (others[k : k + 2] for k in range(0, len(others), 2))
            others = [self._named(_tame(sympy.Mul(*pair))) for pair in pairs]
        return _tame(sympy.Mul(*numbers, *others))

    def _named(self, expression: Any) -> Any:
        """Return the step that holds ``expression``; symbols and constants stay what they are."""
        if expression.is_Symbol or not expression.free_symbols:
            return expression
        if expression not in self._names:
            symbol = real_symbol(f"t{len(self._names)}")
            self._names[expression] = symbol
            self.definitions[symbol] = expression
            self._degrees[symbol] = self._degree(expression)
        return self._names[expression]

    def _degree(self, expression: Any) -> float:
        """Return the largest exponent that nested powers and products of powers amount to."""
        if expression.is_Symbol:
            return self._degrees.get(expression, 1.0)
        if expression.is_Pow and not expression.exp.free_symbols:
            return self._degree(expression.base) * abs(float(expression.exp))
        if expression.is_Mul:
            return max(self._degree(factor) for factor in expression.args)
        return 1.0


def _substitute(definition: Any, written: Mapping[Any, Any]) -> Any:
    if definition.is_Symbol or not definition.free_symbols:
        return written.get(definition, definition)
    parts = [_substitute(part, written) for part in definition.args]
    if definition.is_Pow:
        return _power(*parts)
    return _call(definition.func, *parts)


def _is_monomial(expression: Any) -> bool:
    """Whether ``expression`` is a product of integer powers of symbols."""
    return all(
        factor.is_Symbol or (factor.is_Pow and factor.base.is_Symbol and factor.exp.is_Integer)
        for factor in sympy.Mul.make_args(expression)
    )


def _power(base: Any, exponent: Any) -> Any:
    if exponent.is_Float and float(exponent).is_integer():
        exponent = sympy.Integer(int(exponent))
    _check_exponent(exponent)
    _check_logarithms(exponent)
    return _tame(base**exponent)


def _call(function: Any, *operands: Any) -> Any:
    """Apply a function, or add or multiply."""
    if function is sympy.exp:
        _check_logarithms(*operands)
    return _tame(function(*operands))


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
