"""Intervals whose ends are computed by Arb and rounded outwards.

Balls (a middle and a radius) forget what an interval [0, b] still knows: that its members are not
negative. Here each end is a number of its own, and functions are evaluated at the ends.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

from maml_ode.theory.intervals.balls import arb, fmpq

__all__ = ["FUNCTIONS", "Enclosure", "Unenclosable", "power", "rational_power", "signed_power"]

_LARGEST = arb(sys.float_info.max)
_ONE = arb(1)


class Unenclosable(ValueError):
    """An expression leaves a domain or the range of doubles, or has a function without interval version."""


class Enclosure:
    """The interval [low, high].

    Parameters
    ----------
    low, high : flint.arb
        Exact.

    Raises
    ------
    Unenclosable
        If an end lies beyond the range of double precision: such an interval counts as unbounded.
    """

    __slots__ = ("high", "low")

    def __init__(self, low: arb, high: arb) -> None:
        if not (low >= -_LARGEST and high <= _LARGEST):
            raise Unenclosable("an enclosure is unbounded.")
        self.low = low
        self.high = high

    @classmethod
    def of(cls, lower: float, upper: float | None = None) -> Enclosure:
        """Return [lower, upper], or the point interval [lower, lower]."""
        return cls(arb(lower), arb(lower if upper is None else upper))

    @classmethod
    def around(cls, ball: arb) -> Enclosure:
        """Return the interval of a ball's members."""
        return cls(ball.lower(), ball.upper())

    @property
    def lower(self) -> float:
        """A double that is not above any member."""
        return math.nextafter(float(self.low), -math.inf)

    @property
    def upper(self) -> float:
        """A double that is not below any member."""
        return math.nextafter(float(self.high), math.inf)

    def __neg__(self) -> Enclosure:
        return Enclosure(-self.high, -self.low)

    def __add__(self, other: Enclosure | float) -> Enclosure:
        y = _enclosure(other)
        return Enclosure((self.low + y.low).lower(), (self.high + y.high).upper())

    __radd__ = __add__

    def __sub__(self, other: Enclosure | float) -> Enclosure:
        y = _enclosure(other)
        return Enclosure((self.low - y.high).lower(), (self.high - y.low).upper())

    def __rsub__(self, other: float) -> Enclosure:
        return _enclosure(other) - self

    def __mul__(self, other: Enclosure | float) -> Enclosure:
        y = _enclosure(other)
        products = [a * b for a in (self.low, self.high) for b in (y.low, y.high)]
        return Enclosure(min(p.lower() for p in products), max(p.upper() for p in products))

    __rmul__ = __mul__

    def __truediv__(self, other: Enclosure | float) -> Enclosure:
        y = _enclosure(other)
        if y.low <= 0 and y.high >= 0:
            raise Unenclosable("a division by an interval that contains 0.")
        return self * Enclosure((_ONE / y.high).lower(), (_ONE / y.low).upper())

    def __rtruediv__(self, other: float) -> Enclosure:
        return _enclosure(other) / self

    def __abs__(self) -> Enclosure:
        if self.low >= 0:
            return self
        return -self if self.high <= 0 else Enclosure(arb(0), max(-self.low, self.high))

    def __pow__(self, exponent: int) -> Enclosure:
        return rational_power(self, exponent, 1)

    def square(self) -> Enclosure:
        """Return the squares, which are never negative."""
        return rational_power(self, 2, 1)

    def sqrt(self) -> Enclosure:
        """Return the square roots of the members; Unenclosable where one is negative."""
        return rational_power(self, 1, 2)

    def clip_lower(self, bound: float) -> Enclosure:
        """Return the part that is at least ``bound``, for values known to be."""
        return self.maximum(bound)

    def minimum(self, other: Enclosure | float) -> Enclosure:
        """Return the smaller value, member by member."""
        y = _enclosure(other)
        return Enclosure(min(self.low, y.low), min(self.high, y.high))

    def maximum(self, other: Enclosure | float) -> Enclosure:
        """Return the larger value, member by member."""
        y = _enclosure(other)
        return Enclosure(max(self.low, y.low), max(self.high, y.high))


def rational_power(base: Enclosure, p: int, q: int) -> Enclosure:
    """Return base^(p/q) for integers p and q >= 1 without common factor."""
    if p < 0:
        return _ONE_ENCLOSURE / rational_power(base, -p, q)
    if q == 1:
        base = abs(base) if p % 2 == 0 else base
        return Enclosure((base.low**p).lower(), (base.high**p).upper())
    if base.low < 0:
        raise Unenclosable("a fractional power of an interval with negative numbers.")
    exponent = fmpq(p, q)
    return Enclosure(
        (base.low**exponent).lower() if base.low > 0 else arb(0), _root(base.high, exponent)
    )


def _root(x: arb, exponent: fmpq) -> arb:
    return (x**exponent).upper() if x > 0 else arb(0)


def signed_power(base: Enclosure, p: int, q: int, s: int) -> Enclosure:
    """Return |base|^(p/q) sign(base)^s, at a jump with all values between."""
    if base.low > 0 or base.high < 0:
        size = rational_power(abs(base), p, q)
        return -size if s and base.high < 0 else size
    if p < 0:
        raise Unenclosable("a negative power of an interval that contains 0.")
    if p == 0:
        return Enclosure(-_ONE, _ONE)
    if not s:
        return rational_power(abs(base), p, q)
    exponent = fmpq(p, q)
    return Enclosure(-_root(-base.low, exponent), _root(base.high, exponent))


def _jump(x: Enclosure) -> Enclosure:
    if x.low <= 0 and x.high >= 0:
        raise Unenclosable("the derivative of a jump.")
    return Enclosure(arb(0), arb(0))


def power(base: Enclosure, exponent: Enclosure) -> Enclosure:
    """Return the powers with exponents that vary."""
    return _increasing(arb.exp)(exponent * _log(base))


def _enclosure(x: Enclosure | float) -> Enclosure:
    return x if isinstance(x, Enclosure) else Enclosure.of(x)


_ONE_ENCLOSURE = Enclosure(_ONE, _ONE)
_Function = Callable[[Enclosure], Enclosure]


def _increasing(
    function: Callable[[arb], arb], lower: float = -math.inf, upper: float = math.inf
) -> _Function:
    """Make an enclosure of an increasing function on the domain [lower, upper] from its values."""
    first, last = arb(lower), arb(upper)

    def enclose(x: Enclosure) -> Enclosure:
        if not (x.low >= first and x.high <= last):
            raise Unenclosable("a function outside its domain.")
        return Enclosure(function(x.low).lower(), function(x.high).upper())

    return enclose


_log = _increasing(arb.log, lower=0.0)


def _cosh(x: Enclosure) -> Enclosure:
    return _increasing(arb.cosh)(abs(x))


def _tan(x: Enclosure) -> Enclosure:
    if _meets_integer(x, arb.pi(), 0.5):
        raise Unenclosable("the tangent across a pole.")
    return _increasing(arb.tan)(x)


def _wave(function: Callable[[arb], arb], crest: float) -> _Function:
    """Enclose a wave whose maxima lie at 2 pi (k + crest) and whose minima lie half-way between."""

    def enclose(x: Enclosure) -> Enclosure:
        period = 2 * arb.pi()
        ends = function(x.low), function(x.high)
        trough = _meets_integer(x, period, crest + 0.5)
        peak = _meets_integer(x, period, crest)
        return Enclosure(
            -_ONE if trough else min(y.lower() for y in ends),
            _ONE if peak else max(y.upper() for y in ends),
        )

    return enclose


def _meets_integer(x: Enclosure, period: arb, shift: float) -> bool:
    """Return whether x/period - shift contains an integer, or cannot be told not to."""
    first = (x.low / period - shift).lower().ceil()
    last = (x.high / period - shift).upper().floor()
    return not first > last


def _logistic(x: arb) -> arb:
    return 1 / (1 + (-x).exp())


def _logistic_slope(x: Enclosure) -> Enclosure:
    y = abs(x)
    return Enclosure(_slope_at(y.high).lower(), _slope_at(y.low).upper())


def _slope_at(x: arb) -> arb:
    return 1 / (2 + x.exp() + (-x).exp())


def _log_addition(a: Enclosure, b: Enclosure, difference: Enclosure) -> Enclosure:
    """Enclose log(exp(a) + exp(b)), which rises with both; Arb's exponents do not overflow."""
    low, high = ((x.exp() + y.exp()).log() for x, y in ((a.low, b.low), (a.high, b.high)))
    return Enclosure(low.lower(), high.upper())


FUNCTIONS: dict[str, Callable[..., Enclosure]] = {
    "sin": _wave(arb.sin, 0.25),
    "cos": _wave(arb.cos, 0.0),
    "tan": _tan,
    "asin": _increasing(arb.asin, -1.0, 1.0),
    "acos": lambda x: -_increasing(lambda y: -arb.acos(y), -1.0, 1.0)(x),
    "atan": _increasing(arb.atan),
    "exp": _increasing(arb.exp),
    "log": _log,
    "Abs": abs,
    "sinh": _increasing(arb.sinh),
    "cosh": _cosh,
    "tanh": _increasing(arb.tanh),
    "asinh": _increasing(arb.asinh),
    "acosh": _increasing(arb.acosh, lower=1.0),
    "atanh": _increasing(arb.atanh, -1.0, 1.0),
    "erf": _increasing(arb.erf),
    "Jump": _jump,
    # those of the stable form of a formula
    "Logistic": _increasing(_logistic),
    "LogisticSlope": _logistic_slope,
    "Tanh": _increasing(arb.tanh),
    "LogCosh": lambda x: _increasing(lambda y: (2 * (y / 2).sinh() ** 2).log1p())(abs(x)),
    "Log1p": _increasing(arb.log1p, lower=-1.0),
    "LogAddition": _log_addition,
}
