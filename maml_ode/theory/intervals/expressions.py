"""Rigorous enclosures of SymPy expressions on intervals, and of their suprema.

Every evaluation rounds outwards, so that what is enclosed holds for real numbers and not only for
floats.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from maml_ode.theory.intervals.balls import arb, precision
from maml_ode.theory.intervals.enclosure import (
    FUNCTIONS,
    Enclosure,
    Unenclosable,
    power,
    rational_power,
    signed_power,
)
from maml_ode.theory.intervals.work import Work

__all__ = [
    "Arithmetic",
    "ExpressionReader",
    "IntervalFunction",
    "interval",
    "supremum",
]

_BITS = 53
_BITS_OF_NUMBERS = 256  # what rounds later may round less
T = TypeVar("T")
_Node = Callable[[list[T]], T]

interval = Enclosure.of


@dataclass(frozen=True)
class Arithmetic(Generic[T]):
    """Numbers, powers and functions of one kind; + and * are the kind's own.

    Attributes
    ----------
    functions : mapping of str to callable
        By SymPy's class names.
    number : callable
        Turns a ball into a number of this kind.
    rational_power : callable
        base^(p/q) from base, p and q >= 1.
    signed_power : callable
        |base|^(p/q) sign(base)^s from base, p, q >= 1 and s, 0 or 1.
    power : callable
        A power whose exponent is no rational number.
    """

    functions: Mapping[str, Callable[..., T]]
    number: Callable[[arb], T]
    rational_power: Callable[[T, int, int], T]
    signed_power: Callable[[T, int, int, int], T]
    power: Callable[[T, T], T]


class ExpressionReader(Generic[T]):
    """Turn SymPy expressions into functions on another arithmetic.

    Parameters
    ----------
    arithmetic : Arithmetic
    slots : mapping of sympy.Symbol to int
        Where a symbol's value stands in the list that the functions take.
    """

    def __init__(self, arithmetic: Arithmetic[T], slots: Mapping[Any, int]) -> None:
        self._arithmetic = arithmetic
        self._slots = slots

    def read(self, expression: Any) -> _Node[T]:
        """Return the function of a list of values.

        Raises
        ------
        Unenclosable
            If the expression holds a function that the arithmetic has not.
        """
        if expression in self._slots:
            slot = self._slots[expression]
            return lambda values: values[slot]
        if expression.is_number and not expression.args:
            value = self._arithmetic.number(_ball(expression))
            return lambda values: value
        if expression.is_Pow:
            return self._power(*expression.args)
        name = type(expression).__name__
        if name == "SignedPower":
            return self._signed_power(*expression.args)
        operands = [self.read(item) for item in expression.args]
        if expression.is_Add:
            return _folded(operands, lambda a, b: a + b)
        if expression.is_Mul:
            return _folded(operands, lambda a, b: a * b)
        if name not in self._arithmetic.functions:
            raise Unenclosable(f"{name} has no interval version.")
        function = self._arithmetic.functions[name]
        return lambda values: function(*(operand(values) for operand in operands))

    def _signed_power(self, base: Any, exponent: Any, s: Any) -> _Node[T]:
        function, inner = self._arithmetic.signed_power, self.read(base)
        p, q = int(exponent.p), int(exponent.q)
        return lambda values: function(inner(values), p, q, int(s))

    def _power(self, base: Any, exponent: Any) -> _Node[T]:
        arithmetic, inner = self._arithmetic, self.read(base)
        if exponent.is_Rational:
            p, q = int(exponent.p), int(exponent.q)
            return lambda values: arithmetic.rational_power(inner(values), p, q)
        outer = self.read(exponent)
        return lambda values: arithmetic.power(inner(values), outer(values))


def _folded(operands: list[_Node[T]], combine: Callable[[Any, Any], Any]) -> _Node[T]:
    first, *rest = operands

    def fold(values: list[T]) -> T:
        total = first(values)
        for item in rest:
            total = combine(total, item(values))
        return total

    return fold


def _ball(number: Any) -> arb:
    """Return a ball that contains a number of SymPy's."""
    with precision(_BITS_OF_NUMBERS):
        if number.is_Rational:
            return arb(int(number.p)) / arb(int(number.q))
        name = type(number).__name__
        if number.is_Float:
            return _ball(_exact(number))
        if name in ("Pi", "Exp1"):
            return arb.pi() if name == "Pi" else arb.const_e()
    raise Unenclosable(f"{name} has no interval version.")


def _exact(expression: Any) -> Any:
    from maml_ode.theory.intervals.formulas import exact  # needs SymPy

    return exact(expression)


_ENDS: Arithmetic[Enclosure] = Arithmetic(
    FUNCTIONS, Enclosure.around, rational_power, signed_power, power
)


class IntervalFunction:
    """Several SymPy expressions evaluated together in interval arithmetic.

    Parameters
    ----------
    expressions : sequence of sympy.Expr

    Raises
    ------
    Unenclosable
        If a function has no interval version.
    """

    def __init__(self, expressions: Sequence[Any]) -> None:
        import sympy

        steps, results = sympy.cse([_exact(item) for item in expressions], optimizations=None)
        names = [name for name, _ in steps]
        free = set().union(*(item.free_symbols for item in expressions))
        self._symbols = sorted(free, key=str)
        slots = {symbol: k for k, symbol in enumerate([*self._symbols, *names])}
        reader: ExpressionReader[Enclosure] = ExpressionReader(_ENDS, slots)
        with precision(_BITS):
            self._steps = [reader.read(expression) for _, expression in steps]
            self._results = [reader.read(expression) for expression in results]

    def __call__(self, values: Mapping[Any, Enclosure]) -> list[Enclosure]:
        """Return enclosures of the expressions; ``values`` maps symbols to intervals.

        Raises
        ------
        Unenclosable
            If an enclosure is unbounded, or would leave the domain of a function.
        """
        known = [values[symbol] for symbol in self._symbols]
        with precision(_BITS):
            for step in self._steps:
                known.append(step(known))
            return [result(known) for result in self._results]


def supremum(
    function: Callable[[Enclosure], tuple[Enclosure, Enclosure | None]],
    lower: float,
    upper: float,
    *,
    tolerance: float = 1e-6,
    max_boxes: int = 3000,
    work: Work | None = None,
) -> tuple[float, float]:
    """Return (attained, bound) with attained <= sup ``function`` <= bound over [lower, upper].

    Best-first branch and bound; on each box the better of the plain enclosure and of the mean-value
    form function(c) + function'(X) (X - c).

    Parameters
    ----------
    function : callable
        Maps an interval to enclosures of the value and of the derivative, or None where that has none.
    lower, upper : float
    tolerance : float
        Relative width of bound - attained at which the search ends.
    max_boxes : int
        It also ends after so many boxes, with a bound that is wider but still one.
    work : Work, optional
        It also ends, in the same way, when the time of ``work`` is over.
    """
    attained = -math.inf
    work = work or Work()

    def examine(a: float, b: float) -> float:
        nonlocal attained
        box = interval(a, b)
        centre = interval(0.5 * a + 0.5 * b)
        value, derivative = function(box)
        middle = function(centre)[0]
        attained = max(attained, middle.lower)
        if derivative is None:
            return value.upper
        form = middle + derivative * (box - centre)
        return min(value.upper, form.upper)

    queue = [(-examine(lower, upper), lower, upper)]
    boxes = 1
    while boxes < max_boxes and not work.over:
        best, a, b = queue[0]
        if -best - attained <= tolerance * max(abs(attained), 1e-300):
            break
        heapq.heappop(queue)
        middle = 0.5 * a + 0.5 * b
        if not a < middle < b:
            heapq.heappush(queue, (best, a, b))
            break
        for left, right in ((a, middle), (middle, b)):
            top = min(examine(left, right), -best)
            heapq.heappush(queue, (-top, left, right))
        boxes += 2
    return attained, -queue[0][0]
