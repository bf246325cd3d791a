"""Gradient fields of least-squares families by the data, without the product X'X.

With f_i(w) = s_i ||y_i - X_i w||^2, a_i = 2 alpha s_i and S_i = I - a_i X_i X_i', inner steps act on residuals:
those of the adapted point are S_i^k (y_i - X_i w). So

    grad F = -sum_i 2 p_i s_i X_i' phi(X_i X_i') (y_i - X_i w),

with phi = (1 - a lambda)^(2k) for MAML, (1 - a lambda)^k for FO-MAML and sum_{j<k} (1 - a lambda)^j for Reptile:
matrices act on the rows of X_i, and every column keeps its own scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.objectives.spectrum import EPS
from maml_ode.tasks.least_squares import LeastSquares

__all__ = ["Residual", "fomaml_residual", "maml_residual", "reptile_residual"]

# phi and a bound on its rounding from x = 1 - a lambda and the rounding of x.
Shape = Callable[[Array, float], tuple[Array, Array]]


@dataclass(frozen=True, eq=False)
class Residual:
    """The field Z' diag(phi) (q - Z w).

    Attributes
    ----------
    Z : ndarray of shape (n, d)
    q : ndarray of shape (n,)
    phi, phi_error : ndarray of shape (n,)
        Weights of the rows, of either sign, and bounds on their rounding.
    sizes : ndarray of shape (d,)
        Norms of what the columns of Z were computed from: their rounding is relative to these.
    q_size : float
        The same for q.
    starts : ndarray of shape (M,)
        The first row of every task: within a task the rows are rotated, to rounding, so that phi is diagonal.
    """

    Z: Array
    q: Array
    phi: Array
    phi_error: Array
    sizes: Array
    q_size: float
    starts: npt.NDArray[np.intp]

    def quadratic_error(self, vectors: Array) -> Array:
        """Return what the rounding of phi may add to v'Z' diag(phi) Z v for each column v, or take from it."""
        images = self.Z @ vectors
        unsure = self.phi_error + np.where(self.counts, 0.0, np.abs(self.phi))
        squares = np.add.reduceat(images**2, self.starts)
        mixed = np.add.reduceat(np.abs(images), self.starts) ** 2 - squares
        rotation = np.maximum.reduceat(self.phi_error, self.starts)
        return np.asarray(unsure @ images**2 + 2.0 * rotation @ mixed)

    @property
    def counts(self) -> npt.NDArray[np.bool_]:
        """Which rows have a weight that is more than rounding."""
        return np.asarray(np.abs(self.phi) > self.phi_error)

    @property
    def unit(self) -> float:
        """How far a column of Z may be off, relative to its size."""
        n, d = self.Z.shape
        return float(4.0 * EPS * (math.sqrt(n + d) + d))

    def norm(self, w: Array, made_of: Array) -> tuple[float, float]:
        """Return the norm of the field at ``w`` and a bound on its rounding and on that of ``w``.

        ``made_of`` holds the sizes of what each coordinate of ``w`` was added up from.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            return self._norm(w, made_of)

    def _norm(self, w: Array, made_of: Array) -> tuple[float, float]:
        residual = self.q - self.Z @ w
        # Sums of d and n products; the orthogonal factor that the closed form goes through has sums of n as well.
        unit = 2.0 * EPS * (w.size + math.sqrt(residual.size) + 2.0)
        rounded = unit * (np.abs(self.q) + np.abs(self.Z) @ made_of)
        weight = np.abs(self.phi)
        off = weight * (rounded + unit * np.abs(residual)) + self.phi_error * np.abs(residual)
        norm = float(np.linalg.norm(self.Z.T @ (self.phi * residual)))
        return norm, float(np.linalg.norm(np.abs(self.Z).T @ off))


def maml_residual(
    tasks: LeastSquares, query: LeastSquares, weights: Array, alpha: float, inner_steps: int
) -> Residual | None:
    """Return the field of -grad F; None where its numbers overflow."""
    if query is not tasks:
        return _two_families(tasks, query, weights, alpha, inner_steps)
    return _of_rows(
        query, weights, alpha, inner_steps, lambda x, off: _power(x, off, 2 * inner_steps)
    )


def fomaml_residual(
    tasks: LeastSquares, weights: Array, alpha: float, inner_steps: int
) -> Residual | None:
    """Return the FO-MAML field of a family judged by itself; None where its numbers overflow."""
    return _of_rows(tasks, weights, alpha, inner_steps, lambda x, off: _power(x, off, inner_steps))


def reptile_residual(
    tasks: LeastSquares, weights: Array, alpha: float, inner_steps: int
) -> Residual | None:
    """Return the Reptile field; None where its numbers overflow."""

    def geometric(x: Array, off: float) -> tuple[Array, Array]:
        value, error = np.zeros_like(x), np.zeros_like(x)
        for j in range(inner_steps):
            term, rounding = _power(x, off, j)
            value, error = value + term, error + rounding + inner_steps * EPS * np.abs(term)
        return value, error

    return _of_rows(tasks, weights, alpha, inner_steps, geometric)


def _power(x: Array, off: float, n: int) -> tuple[Array, Array]:
    """Return x^n and a bound on its rounding, where x is off by up to ``off``."""
    power = np.abs(x) ** n
    return x**n, (np.abs(x) + off) ** n - power + n * EPS * power


def _of_rows(
    family: LeastSquares, weights: Array, alpha: float, inner_steps: int, shape: Shape
) -> Residual | None:
    """Rotate every task's rows so that X_i X_i' is diagonal, and weigh them."""
    Z, q, phi, phi_error = [], [], [], []
    with np.errstate(over="ignore", invalid="ignore"):
        for p, s, (R, t) in zip(weights, family.scales, family.reduced, strict=True):
            root, rows, targets = np.sqrt(2.0 * p * s), R, t
            if inner_steps > 0 and alpha != 0:
                product = R @ R.T
                if not np.isfinite(product).all():
                    return None
                curvatures, vectors = np.linalg.eigh(product)
                rows, targets = vectors.T @ R, vectors.T @ t
                reach = 2.0 * abs(alpha) * s * float(np.abs(curvatures).max())
                off = 2.0 * sum(R.shape) * EPS * (1.0 + reach)
                value, error = shape(1.0 - 2.0 * alpha * s * curvatures, off)
            else:
                value, error = shape(np.ones(t.size), 0.0)
            Z.append(root * rows)
            q.append(root * targets)
            phi.append(value)
            phi_error.append(error)
        stacked, targets = np.vstack(Z), np.concatenate(q)
        sizes, q_size = np.linalg.norm(stacked, axis=0), float(np.linalg.norm(targets))
        weights, errors = np.concatenate(phi), np.concatenate(phi_error)
        return _finite(Residual(stacked, targets, weights, errors, sizes, q_size, _starts(family)))


def _two_families(
    tasks: LeastSquares, query: LeastSquares, weights: Array, alpha: float, inner_steps: int
) -> Residual | None:
    """Query residuals of the adapted points: y - X u with u = w + a X_i' sum_{j<k} S_i^j (y_i - X_i w)."""
    Z, q, sizes, q_size = [], [], 0.0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for i, p in enumerate(weights):
            (R, t), (Rq, tq) = tasks.reduced[i], query.reduced[i]
            root, a = np.sqrt(2.0 * p * query.scales[i]), 2.0 * alpha * tasks.scales[i]
            rows, targets = np.zeros_like(R), np.zeros_like(t)
            growth, total = 1.0, 0.0
            reach = 1.0 + abs(a) * float(np.linalg.norm(R)) ** 2
            for _ in range(inner_steps):
                rows = rows + (R - a * (R @ (R.T @ rows)))
                targets = targets + (t - a * (R @ (R.T @ targets)))
                total += growth
                growth *= reach
            cross = a * (Rq @ R.T)
            Z.append(root * (Rq - cross @ rows))
            q.append(root * (tq - cross @ targets))
            mixing = total * float(np.linalg.norm(cross))
            column = np.linalg.norm(Rq, axis=0) + mixing * np.linalg.norm(R, axis=0)
            sizes = np.hypot(sizes, root * column)
            offset = np.linalg.norm(tq) + mixing * np.linalg.norm(t)
            q_size = np.hypot(q_size, root * offset)
        stacked = np.vstack(Z)
        ones = np.ones(stacked.shape[0])
        residual = Residual(
            stacked,
            np.concatenate(q),
            ones,
            0.0 * ones,
            np.asarray(sizes),
            float(q_size),
            _starts(query),
        )
        return _finite(residual)


def _starts(family: LeastSquares) -> npt.NDArray[np.intp]:
    return np.cumsum([0] + [t.size for _, t in family.reduced[:-1]])


def _finite(residual: Residual) -> Residual | None:
    """Return the residual if its products do not overflow."""
    parts = (residual.Z, residual.q, residual.phi, residual.phi_error, residual.sizes)
    if not all(np.isfinite(part).all() for part in parts):
        return None
    top = max(1.0, math.sqrt(float(np.abs(residual.phi).max(initial=0.0))))
    return residual if float(residual.sizes.max()) * top < 1e150 else None
