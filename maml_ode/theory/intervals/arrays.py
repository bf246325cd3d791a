"""Interval arithmetic on whole NumPy arrays, rounded outwards.

IEEE 754 rounds +, -, * and / of doubles to nearest, so the neighbouring double on the outer side
bounds the exact result. NumPy's sine and cosine are not rounded correctly; its own accuracy tests
hold them to 4 units in the last place, at most 2^-51 for results in [-1, 1], and twice that is
added here. It is fast enough for searches; what a search finds is proved by ``power_series``.
Where doubles overflow, a bound is infinite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array

__all__ = ["IntervalArray", "cos", "sin"]

_TRIGONOMETRIC_ERROR = 2.0**-50
# x/(2 pi) is off by less than 1e-9 for |x| below this; beyond it a wave is only known to be in [-1,
# 1].
_LARGEST_PHASE = 1e6
_PHASE_ERROR = 1e-9
_LARGEST = np.finfo(np.float64).max
# Overflow gives infinite bounds, and what is not a number an unbounded interval: nothing to warn of.
_quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")


@dataclass(frozen=True, eq=False)
class IntervalArray:
    """Arrays of lower and upper bounds; operations enclose all results on members.

    Examples
    --------
    >>> from maml_ode.theory.intervals.arrays import IntervalArray
    >>> x = IntervalArray.of(0.1) + 0.2
    >>> bool(x.lower <= 0.3 <= x.upper)
    True
    """

    lower: Array
    upper: Array

    @classmethod
    def of(cls, lower: npt.ArrayLike, upper: npt.ArrayLike | None = None) -> IntervalArray:
        """Return [lower, upper], or the points [lower, lower]."""
        low = np.asarray(lower, dtype=np.float64)
        return cls(low, low if upper is None else np.asarray(upper, dtype=np.float64))

    def __neg__(self) -> IntervalArray:
        return IntervalArray(-self.upper, -self.lower)

    @_quiet
    def __add__(self, other: IntervalArray | float) -> IntervalArray:
        y = _interval(other)
        return _outwards(self.lower + y.lower, self.upper + y.upper)

    __radd__ = __add__

    def __sub__(self, other: IntervalArray | float) -> IntervalArray:
        return self + -_interval(other)

    def __rsub__(self, other: float) -> IntervalArray:
        return _interval(other) + -self

    @_quiet
    def __mul__(self, other: IntervalArray | float) -> IntervalArray:
        if isinstance(other, IntervalArray):
            return _hull_of_ends(self, other, np.multiply)
        ends = (self.lower, self.upper) if other >= 0 else (self.upper, self.lower)
        return _outwards(ends[0] * other, ends[1] * other)

    __rmul__ = __mul__

    def __truediv__(self, other: IntervalArray | float) -> IntervalArray:
        y = _interval(other)
        quotient = _hull_of_ends(self, y, np.divide)
        through_zero = (y.lower <= 0) & (y.upper >= 0)
        return IntervalArray(
            np.where(through_zero, -np.inf, quotient.lower),
            np.where(through_zero, np.inf, quotient.upper),
        )

    @_quiet
    def square(self) -> IntervalArray:
        """Return the squares; tighter than ``x * x``, and never negative."""
        least = np.maximum(np.maximum(self.lower, -self.upper), 0.0)
        most = np.maximum(np.abs(self.lower), np.abs(self.upper))
        return _outwards(least * least, most * most).clip_lower(0.0)

    def sqrt(self) -> IntervalArray:
        """Return the square roots of intervals whose members are known not to be negative."""
        ends = np.sqrt(np.maximum(self.lower, 0.0)), np.sqrt(np.maximum(self.upper, 0.0))
        return _outwards(*ends).clip_lower(0.0)

    def clip_lower(self, bound: float) -> IntervalArray:
        """Return the part that is at least ``bound``, for values known to be."""
        return IntervalArray(np.maximum(self.lower, bound), np.maximum(self.upper, bound))

    def minimum(self, other: IntervalArray | float) -> IntervalArray:
        """Return the smaller value, member by member."""
        y = _interval(other)
        return IntervalArray(np.minimum(self.lower, y.lower), np.minimum(self.upper, y.upper))

    def maximum(self, other: IntervalArray | float) -> IntervalArray:
        """Return the larger value, member by member."""
        y = _interval(other)
        return IntervalArray(np.maximum(self.lower, y.lower), np.maximum(self.upper, y.upper))

    def meet(self, other: IntervalArray) -> IntervalArray:
        """Return the intersection, for two enclosures of the same quantity."""
        return IntervalArray(
            np.maximum(self.lower, other.lower), np.minimum(self.upper, other.upper)
        )

    def centre(self) -> IntervalArray:
        """Return one point of each interval, near its middle."""
        low, high = (np.clip(x, -_LARGEST, _LARGEST) for x in (self.lower, self.upper))
        return IntervalArray.of(0.5 * low + 0.5 * high)

    @property
    def sign(self) -> npt.NDArray[np.int64]:
        """1 or -1 where all members are positive or negative, and 0 elsewhere."""
        return (self.lower > 0).astype(np.int64) - (self.upper < 0).astype(np.int64)


def sin(x: IntervalArray) -> IntervalArray:
    """Return the sines."""
    return _wave(np.sin, x, crest=0.25)


def cos(x: IntervalArray) -> IntervalArray:
    """Return the cosines."""
    return _wave(np.cos, x, crest=0.0)


@_quiet
def _wave(function: np.ufunc, x: IntervalArray, crest: float) -> IntervalArray:
    """Enclose a wave whose maxima lie at 2 pi (k + crest) and whose minima lie half-way between."""
    first, last = function(x.lower), function(x.upper)
    low = np.minimum(first, last) - _TRIGONOMETRIC_ERROR
    high = np.maximum(first, last) + _TRIGONOMETRIC_ERROR
    wild = ~(np.maximum(np.abs(x.lower), np.abs(x.upper)) < _LARGEST_PHASE)
    trough = _meets_integer(x, crest + 0.5) | wild
    peak = _meets_integer(x, crest) | wild
    return IntervalArray(
        np.where(trough, -1.0, np.maximum(low, -1.0)), np.where(peak, 1.0, np.minimum(high, 1.0))
    )


def _meets_integer(x: IntervalArray, shift: float) -> npt.NDArray[np.bool_]:
    """Return whether x/(2 pi) - shift contains an integer, or nearly does."""
    turns = 1.0 / (2.0 * np.pi)
    first = np.ceil(x.lower * turns - shift - _PHASE_ERROR)
    return np.asarray(first <= x.upper * turns - shift + _PHASE_ERROR)


def _interval(x: IntervalArray | float) -> IntervalArray:
    return x if isinstance(x, IntervalArray) else IntervalArray.of(x)


@_quiet
def _hull_of_ends(x: IntervalArray, y: IntervalArray, operation: np.ufunc) -> IntervalArray:
    a, b = operation(x.lower, y.lower), operation(x.lower, y.upper)
    c, d = operation(x.upper, y.lower), operation(x.upper, y.upper)
    low = np.minimum(np.minimum(a, b), np.minimum(c, d))
    high = np.maximum(np.maximum(a, b), np.maximum(c, d))
    return _outwards(low, high)


@_quiet
def _outwards(lower: Array, upper: Array) -> IntervalArray:
    # 0 times infinity is NaN and says nothing
    unknown = np.isnan(lower) | np.isnan(upper)
    return IntervalArray(
        np.where(unknown, -np.inf, np.nextafter(lower, -np.inf)),
        np.where(unknown, np.inf, np.nextafter(upper, np.inf)),
    )
