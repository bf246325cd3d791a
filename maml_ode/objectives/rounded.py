"""Matrices and vectors that carry a bound on their own rounding.

A running error analysis in norms (Wilkinson; Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed.,
SIAM 2002, section 3.3): every operation adds what it may have rounded to what it passes on. Bounds hold to first
order in d eps, with the product terms of the errors kept, because what cancels is small itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from maml_ode._validation import Array
from maml_ode.objectives.spectrum import EPS, norm_bound

__all__ = ["Rounded"]


@dataclass(frozen=True, eq=False)
class Rounded:
    """An array and a bound on the 2-norm of its difference from the exact one."""

    value: Array
    error: float = 0.0

    @cached_property
    def norm(self) -> float:
        """A bound on the 2-norm of ``value``."""
        return norm_bound(self.value)

    @property
    def is_finite(self) -> bool:
        """Whether neither the array nor the bound has overflowed."""
        return bool(np.isfinite(self.value).all() and math.isfinite(self.error))

    @property
    def T(self) -> Rounded:
        """The transpose."""
        return Rounded(self.value.T, self.error)

    def __matmul__(self, other: Rounded) -> Rounded:
        """Return the product."""
        product = np.asarray(self.value @ other.value)
        rounding = self.value.shape[-1] * EPS * self.norm * other.norm
        passed_on = self.error * (other.norm + other.error) + self.norm * other.error
        return Rounded(product, passed_on + rounding)

    def __add__(self, other: Rounded) -> Rounded:
        """Return the sum."""
        return _rounded_once(self.value + other.value, self.error + other.error)

    def __sub__(self, other: Rounded) -> Rounded:
        """Return the difference."""
        return _rounded_once(self.value - other.value, self.error + other.error)

    def __rmul__(self, factor: float) -> Rounded:
        """Return a multiple."""
        return _rounded_once(factor * self.value, abs(factor) * self.error)


def _rounded_once(value: Array, passed_on: float) -> Rounded:
    result = Rounded(np.asarray(value), passed_on)
    return Rounded(result.value, passed_on + 0.5 * EPS * result.norm)
