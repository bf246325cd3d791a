"""Rigorous enclosures of SymPy expressions on intervals, with mpmath's interval arithmetic.

Every evaluation rounds outwards, so that what is enclosed holds for real numbers and not only for
floats.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mpmath import iv, mp

__all__ = ["Enclosure", "IntervalFunction", "Unenclosable", "interval", "supremum"]

Enclosure = Any
"""An interval of ``mpmath.iv``."""


class Unenclosable(ValueError):
    """An expression uses a function that has no interval version, or leaves its domain."""


def interval(lower: float, upper: float | None = None) -> Enclosure:
    """Return [lower, upper], or the point interval [lower, lower]."""
    return iv.mpf([lower, lower if upper is None else upper])


class IntervalFunction:
    """Several SymPy expressions evaluated together in interval arithmetic.

    Parameters
    ----------
    expressions : sequence of sympy.Expr
    """

    def __init__(self, expressions: Sequence[Any]) -> None:
        import sympy

        # no optimisation that reorders floating-point constants
        steps, results = sympy.cse(list(expressions), optimizations=None)
        self._steps = steps
        self._results = results

    def __call__(self, values: Mapping[Any, Enclosure]) -> list[Enclosure]:
        """Return enclosures of the expressions; ``values`` maps symbols to intervals.

        Raises
        ------
        Unenclosable
            If a function has no interval version here, or a division by an interval with 0 is met.
        """
        known = dict(values)
        try:
            for name, expression in self._steps:
                known[name] = _evaluate(expression, known)
            return [_evaluate(expression, known) for expression in self._results]
        except (ZeroDivisionError, OverflowError) as error:
            raise Unenclosable(f"an enclosure is unbounded: {error}") from None


def _evaluate(expression: Any, known: dict[Any, Enclosure]) -> Enclosure:
    if expression in known:
        return known[expression]
    if expression.is_Integer:
        return iv.mpf(int(expression))
    if expression.is_Rational:
        return iv.mpf(int(expression.p)) / iv.mpf(int(expression.q))
    if expression.is_Float:
        return iv.mpf(float(expression))
    name = type(expression).__name__
    if name in ("Pi", "Exp1"):
        return iv.pi if name == "Pi" else iv.e
    operands = [_evaluate(item, known) for item in expression.args]
    if expression.is_Add:
        return _fold(operands, lambda a, b: a + b)
    if expression.is_Mul:
        return _fold(operands, lambda a, b: a * b)
    if expression.is_Pow:
        return _power(expression, operands)
    if name in _FUNCTIONS and len(operands) == 1:
        return _FUNCTIONS[name](operands[0])
    raise Unenclosable(f"{name} has no interval version here.")


def _fold(operands: list[Enclosure], combine: Callable[[Any, Any], Any]) -> Enclosure:
    total = operands[0]
    for item in operands[1:]:
        total = combine(total, item)
    return total


def _power(expression: Any, operands: list[Enclosure]) -> Enclosure:
    base, exponent = operands
    if expression.exp.is_Integer:
        n = int(expression.exp)
        if n < 0:
            if base.a <= 0 <= base.b:
                raise Unenclosable("a negative power of an interval that contains 0.")
            return iv.mpf(1) / base ** (-n)
        return base**n
    if base.a < 0 or (base.a == 0 and exponent.a <= 0):
        raise Unenclosable("a fractional power of an interval with negative numbers.")
    if expression.exp.is_Rational and int(expression.exp.q) == 2:
        return (
            iv.sqrt(base) ** int(expression.exp.p)
            if expression.exp > 0
            else 1 / (iv.sqrt(base) ** -int(expression.exp.p))
        )
    if base.a == 0:
        raise Unenclosable("a fractional power at 0.")
    return iv.exp(exponent * iv.log(base))


def _monotone(function: Callable[[Enclosure], Enclosure]) -> Callable[[Enclosure], Enclosure]:
    """Make an enclosure of an increasing function from those at the two ends."""

    def enclose(x: Enclosure) -> Enclosure:
        return iv.mpf([function(iv.mpf(x.a)).a, function(iv.mpf(x.b)).b])

    return enclose


def _positive(x: Enclosure) -> Enclosure:
    if x.a <= 0:
        raise Unenclosable("the logarithm of an interval that reaches 0.")
    return iv.log(x)


def _tanh(x: Enclosure) -> Enclosure:
    return 1 - 2 / (iv.exp(2 * x) + 1)


def _cosh(x: Enclosure) -> Enclosure:
    size = abs(x)
    grown = _monotone(lambda y: (iv.exp(y) + iv.exp(-y)) / 2)(size)
    return iv.mpf([max(grown.a, 1), grown.b])


def _atan(x: Enclosure) -> Enclosure:
    # mpmath's atan is accurate to its precision; 30 digits padded by 1e-25 enclose it
    with mp.workdps(30):
        value, pad = mp.atan(mp.mpf(x.a)), mp.mpf("1e-25")
        low, high = value - pad, value + pad
        return iv.mpf([low, high])


def _tan(x: Enclosure) -> Enclosure:
    cosine = iv.cos(x)
    if cosine.a <= 0 <= cosine.b:
        raise Unenclosable("the tangent across a pole.")
    return _monotone(lambda y: iv.sin(y) / iv.cos(y))(x)


_FUNCTIONS: dict[str, Callable[[Enclosure], Enclosure]] = {
    "sin": iv.sin,
    "cos": iv.cos,
    "tan": _tan,
    "exp": iv.exp,
    "log": _positive,
    "Abs": abs,
    "tanh": _monotone(_tanh),
    "sinh": _monotone(lambda y: (iv.exp(y) - iv.exp(-y)) / 2),
    "cosh": _cosh,
    "atan": _monotone(_atan),
    "asinh": _monotone(lambda y: _log_sum(y)),
}


def _log_sum(y: Enclosure) -> Enclosure:
    """Return asinh at a point, as a logarithm of positive terms on both sides of 0."""
    size = abs(y)
    value = iv.log(size + iv.sqrt(size * size + 1))
    return value if y.a >= 0 else -value


def supremum(
    function: Callable[[Enclosure], tuple[Enclosure, Enclosure]],
    lower: float,
    upper: float,
    *,
    tolerance: float = 1e-6,
    max_boxes: int = 3000,
) -> tuple[float, float]:
    """Return (attained, bound) with attained <= sup ``function`` <= bound over [lower, upper].

    Best-first branch and bound; on each box the better of the plain enclosure and of the mean-value
    form function(c) + function'(X) (X - c).

    Parameters
    ----------
    function : callable
        Maps an interval to enclosures of the value and of the derivative.
    lower, upper : float
    tolerance : float
        Relative width of bound - attained at which the search ends.
    max_boxes : int
        It also ends after so many boxes, with a bound that is wider but still one.
    """
    attained = -math.inf

    def examine(a: float, b: float) -> float:
        nonlocal attained
        box = interval(a, b)
        centre = interval(0.5 * (a + b))
        value, derivative = function(box)
        middle = function(centre)[0]
        attained = max(attained, float(mp.mpf(middle.a)))
        form = middle + derivative * (box - centre)
        top = min(value.b, form.b)
        return _up(top)

    queue = [(-examine(lower, upper), lower, upper)]
    boxes = 1
    while boxes < max_boxes:
        best, a, b = queue[0]
        if -best - attained <= tolerance * max(abs(attained), 1e-300):
            break
        heapq.heappop(queue)
        middle = 0.5 * (a + b)
        if not a < middle < b:
            heapq.heappush(queue, (best, a, b))
            break
        for left, right in ((a, middle), (middle, b)):
            top = min(examine(left, right), -best)
            heapq.heappush(queue, (-top, left, right))
        boxes += 2
    return attained, -queue[0][0]


def _up(x: Any) -> float:
    """Return a float that is not below the endpoint ``x``."""
    return math.nextafter(float(mp.mpf(x)), math.inf)
