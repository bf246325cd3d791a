"""Interval arithmetic on NumPy arrays, rounded outwards.

Sums and products of doubles are rounded to nearest, so that moving the result to the neighbouring
double makes a bound of it. For sine and cosine NumPy promises at most 4 units in the last place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array

__all__ = ["Interval", "cos", "sin"]

TRIGONOMETRIC_ERROR = 4 * np.finfo(float).eps
# Far above the error of the quotient below, far below anything that matters for the bounds.
PHASE_SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class Interval:
    """Arrays of lower and upper bounds, element by element.

    Operations enclose every value that the operation takes on members of its operands.

    Examples
    --------
    >>> from maml_ode.reproduce.intervals import Interval
    >>> x = Interval.of(0.1) + Interval.of(0.2)
    >>> bool(x.low <= 0.3 <= x.high)
    True
    """

    low: Array
    high: Array

    @classmethod
    def of(cls, low: npt.ArrayLike, high: npt.ArrayLike | None = None) -> Interval:
        """Return [low, high], or the points ``low``."""
        bottom = np.asarray(low, dtype=np.float64)
        return cls(bottom, bottom if high is None else np.asarray(high, dtype=np.float64))

    def __add__(self, other: Interval) -> Interval:
        """Return the sums."""
        return _outwards(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Interval) -> Interval:
        """Return the differences."""
        return _outwards(self.low - other.high, self.high - other.low)

    def __mul__(self, other: Interval) -> Interval:
        """Return the products."""
        ends = np.stack(
            np.broadcast_arrays(
                self.low * other.low,
                self.low * other.high,
                self.high * other.low,
                self.high * other.high,
            )
        )
        return _outwards(ends.min(axis=0), ends.max(axis=0))

    def square(self) -> Interval:
        """Return the squares, which are not negative."""
        product = self * self
        crosses = (self.low <= 0) & (self.high >= 0)
        sizes = np.minimum(np.abs(self.low), np.abs(self.high))
        low = np.where(crosses, 0.0, np.nextafter(sizes * sizes, 0.0))
        return Interval(low, product.high)

    def meet(self, other: Interval) -> Interval:
        """Return the intersections, for two enclosures of the same thing."""
        return Interval(np.maximum(self.low, other.low), np.minimum(self.high, other.high))

    def middle(self) -> Interval:
        """Return a point inside each interval."""
        return Interval.of(0.5 * (self.low + self.high))

    @property
    def sign(self) -> npt.NDArray[np.int64]:
        """Return 1 or -1 where every member has that sign, and 0 elsewhere."""
        return np.where(self.low > 0, 1, 0) - np.where(self.high < 0, 1, 0)


def sin(x: Interval) -> Interval:
    """Return the sines."""
    return _wave(np.sin(x.low), np.sin(x.high), x, 0.25)


def cos(x: Interval) -> Interval:
    """Return the cosines."""
    return _wave(np.cos(x.low), np.cos(x.high), x, 0.0)


def _wave(at_low: Array, at_high: Array, x: Interval, crest: float) -> Interval:
    """Enclose a wave of period 2 pi from its end values; its maxima lie at 2 pi (k + crest)."""
    low = np.minimum(at_low, at_high) - TRIGONOMETRIC_ERROR
    high = np.maximum(at_low, at_high) + TRIGONOMETRIC_ERROR
    low = np.where(_holds_integer(x, crest + 0.5), -1.0, np.maximum(low, -1.0))
    high = np.where(_holds_integer(x, crest), 1.0, np.minimum(high, 1.0))
    return Interval(low, high)


def _holds_integer(x: Interval, shift: float) -> npt.NDArray[np.bool_]:
    """Return whether x/(2 pi) - shift contains an integer, or almost does."""
    period = 2 * np.pi
    first = np.ceil(x.low / period - shift - PHASE_SLACK)
    return np.asarray(first <= x.high / period - shift + PHASE_SLACK)


def _outwards(low: Array, high: Array) -> Interval:
    return Interval(np.nextafter(low, -np.inf), np.nextafter(high, np.inf))
