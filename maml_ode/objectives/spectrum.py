"""Eigenvalues of a symmetric matrix together with what rounding may have done to them.

An eigenvalue of size eps times what it was computed from is not a rate. Whoever decides something by the sign
or the size of an eigenvalue reads it here, where it stands beside its error bar and where those that cannot be
told from zero are exactly zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array

__all__ = ["EPS", "Spectrum", "norm_bound", "solver_error"]

EPS = float(np.finfo(float).eps)
# A symmetric eigensolver is backward stable: its eigenvalues are those of a matrix off by c d eps ||.||, with a
# c of order 1 (Anderson et al., LAPACK Users' Guide, 3rd ed., section 4.7).
SOLVER = 2.0


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues and eigenvectors of a symmetric d x d matrix.

    Attributes
    ----------
    values : ndarray of shape (d,)
        Ascending. Those that are rounding are exactly 0: of a matrix, those within their error bar; of the data
        of a regression, those of its null space, which does not depend on the units of the columns.
    vectors : ndarray of shape (d, d)
        Orthonormal eigenvectors in the columns.
    error : ndarray of shape (d,)
        How far each value may be from its eigenvalue of the exact matrix: rounding in the decomposition, in
        forming the matrix, and in the data it was formed from. Where bars overlap, the exact eigenvalues may
        come in another order; `lower_bounds` and `upper_bounds` allow for that.
    """

    values: Array
    vectors: Array
    error: Array

    @classmethod
    def of_matrix(cls, matrix: Array, error: float = 0.0) -> Spectrum:
        """Decompose a symmetric matrix.

        Parameters
        ----------
        matrix : ndarray of shape (d, d)
        error : float
            A bound on the 2-norm of what rounding did to the matrix before it came here.
        """
        values, vectors = np.linalg.eigh(matrix)
        bar = error + solver_error(values.size, float(np.abs(values).max()))
        return cls.with_bars(values, vectors, np.full(values.size, bar))

    @classmethod
    def with_bars(cls, values: Array, vectors: Array, error: Array) -> Spectrum:
        """Sort the values and set those within their own error bar to 0."""
        order = np.argsort(values, kind="stable")
        values, vectors, error = values[order], vectors[:, order], error[order]
        zero = np.abs(values) <= error
        # Zero takes the place of a value that was off by up to ``error``.
        error = np.where(zero, error + np.abs(values), error)
        return cls(np.where(zero, 0.0, values), vectors, error)

    @property
    def dim(self) -> int:
        """The dimension d."""
        return int(self.values.size)

    @cached_property
    def zero(self) -> npt.NDArray[np.bool_]:
        """Which eigenvalues are 0."""
        return np.asarray(self.values == 0.0)

    @property
    def rank(self) -> int:
        """How many eigenvalues are not 0."""
        return int(self.dim - np.count_nonzero(self.zero))

    @property
    def is_singular(self) -> bool:
        """Whether some eigenvalue cannot be told from zero."""
        return bool((np.abs(self.values) <= self.error).any())

    @property
    def is_positive_definite(self) -> bool:
        """Whether every eigenvalue is positive beyond rounding."""
        return bool(self.lower_bounds()[0] > 0.0)

    @property
    def largest(self) -> float:
        """The largest eigenvalue."""
        return float(self.values[-1])

    @property
    def smallest(self) -> float:
        """The smallest eigenvalue; 0 if it cannot be told from 0."""
        return float(self.values[0])

    @property
    def radius(self) -> float:
        """The largest absolute eigenvalue."""
        return float(np.abs(self.values).max())

    @property
    def smallest_positive(self) -> float:
        """The smallest positive eigenvalue, the slowest rate; ``inf`` if there is none."""
        positive = self.values[self.values > 0.0]
        return float(positive[0]) if positive.size else float("inf")

    def relative_errors(self) -> Array:
        """Return error/|value|, shape (d,); ``inf`` where the value is 0 and may not be."""
        size = np.abs(self.values)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = self.error / size
        return np.where(self.error == 0.0, 0.0, ratio)

    def lower_bounds(self) -> Array:
        """Return what the exact eigenvalues are at least, ascending, shape (d,)."""
        return np.sort(self.values - self.error)

    def upper_bounds(self) -> Array:
        """Return what the exact eigenvalues are at most, ascending, shape (d,)."""
        return np.sort(self.values + self.error)


def solver_error(dim: int, radius: float) -> float:
    """Return what a symmetric eigensolver may add to the eigenvalues of a matrix of 2-norm ``radius``."""
    return 0.0 if dim == 1 else SOLVER * dim * EPS * radius


def norm_bound(matrix: Array) -> float:
    """Return a bound on the 2-norm of a matrix, or the norm of a vector, without overflow."""
    largest = float(np.abs(matrix).max(initial=0.0))
    if largest == 0.0 or not np.isfinite(largest):
        return largest
    unit = np.abs(matrix) / largest
    frobenius = float(np.linalg.norm(unit))
    if unit.ndim == 1:
        return largest * frobenius
    rows, columns = float(unit.sum(axis=1).max()), float(unit.sum(axis=0).max())
    return largest * min(frobenius, math.sqrt(rows * columns))
