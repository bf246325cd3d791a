"""Factorisations of I - gamma h J for Rosenbrock methods, and Jacobians by differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from maml_ode._validation import Array

__all__ = ["FEW", "Factorization", "difference_increments", "factorize", "is_symmetric"]

NO_PIVOTS = np.empty(0, dtype=np.int64)
SYMMETRY = 1e-13
# Up to this dimension a call of LAPACK takes longer than the work.
FEW = 64


@dataclass(frozen=True, eq=False)
class Factorization:
    """A Cholesky factor (``pivots`` empty) or an LU factorisation with row interchanges, C-ordered."""

    factor: Array
    pivots: npt.NDArray[np.int64]


def is_symmetric(J: Array) -> bool:
    """Whether J equals its transpose to 1e-13 of its largest entry."""
    if J.size == 0 or np.array_equal(J, J.T):
        return True
    return bool(np.abs(J - J.T).max() <= SYMMETRY * np.abs(J).max())


def factorize(J: Array, scale: float, symmetric: bool) -> tuple[Factorization | None, int]:
    """Factorise I - scale J; return it, or None if it is singular, and how many factorisations it took.

    Cholesky's is tried first where J is symmetric: it costs half of LU, and succeeds wherever scale times every
    eigenvalue of J is below 1, as in a gradient flow -Hess F near a minimum. Otherwise LU.
    """
    if len(J) <= FEW:
        return _factorize_small(J, scale, symmetric)
    matrix = -scale * J
    matrix.flat[:: len(J) + 1] += 1.0
    tried = 0
    if symmetric:
        tried += 1
        # The transposed view of a C-ordered symmetric matrix is what LAPACK wants, without a copy.
        upper, info = lapack.dpotrf(matrix.T, lower=0, clean=0, overwrite_a=0)
        if info == 0:
            return Factorization(np.ascontiguousarray(upper.T), NO_PIVOTS), tried
    lu, pivots, info = lapack.dgetrf(matrix)
    tried += 1
    if info != 0 or not np.isfinite(lu).all():
        return None, tried
    return Factorization(np.ascontiguousarray(lu), pivots.astype(np.int64)), tried


def _factorize_small(J: Array, scale: float, symmetric: bool) -> tuple[Factorization | None, int]:
    from maml_ode.integrate.solvers.kernels.factors import CHOLESKY, NONE
    from maml_ode.integrate.solvers.kernels.factors import factorize as compiled

    factor, pivots = np.empty(J.shape), np.empty(len(J), dtype=np.int64)
    kind, tried = compiled(J, scale, symmetric, factor, pivots)
    if kind == NONE:
        return None, tried
    return Factorization(factor, NO_PIVOTS if kind == CHOLESKY else pivots), tried


def difference_increments(y: Array, f: Array, h: float, rtol: Array, atol: Array) -> Array:
    """Return an increment for each component of y, for one-sided differences of f.

    sqrt(eps) of the component or of its change in a step, and so much that rounding errors of f change the step by
    less than a thousandth of the tolerance (as in CVODE: Hindmarsh et al. 2005, DOI 10.1145/1089014.1089020).
    """
    eps = float(np.finfo(float).eps)
    weights = atol + rtol * np.abs(y)
    known = weights > 0
    size = float(np.sqrt(np.mean((f[known] / weights[known]) ** 2))) if known.any() else 0.0
    increments: Array = np.sqrt(eps) * np.maximum(np.abs(y), np.abs(h * f))
    increments = np.maximum(increments, 1000.0 * abs(h) * eps * y.size * size * weights)
    increments[increments == 0.0] = np.sqrt(eps)
    return np.asarray(np.where(f < 0, -increments, increments))
