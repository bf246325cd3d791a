"""The spectrum of Z' diag(phi) Z without the product: right where columns differ in size or repeat each other.

Columns are first brought to one length, Z = B D, and the rank is decided on B, where it does not depend on
units; then the singular values of the full-rank factor R D come from a one-sided Jacobi method, which finds the
small ones of a graded matrix to the relative accuracy that they have (Drmac and Veselic, "New Fast and Accurate
Jacobi SVD Algorithm I", SIAM J. Matrix Anal. Appl. 29 (2008) 1322-1342).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maml_ode._validation import Array
from maml_ode.objectives.least_squares import Residual
from maml_ode.objectives.scaled_factor import ScaledFactor
from maml_ode.objectives.spectrum import Spectrum, solver_error

__all__ = ["GradedField", "decompose"]


@dataclass(frozen=True, eq=False)
class GradedField:
    """The field Z' diag(phi) (q - Z w) in the eigenbasis of its matrix.

    Attributes
    ----------
    residual : Residual
        Z, q, phi.
    spectrum : Spectrum
        Of Z' diag(phi) Z.
    left : ndarray of shape (d, r)
        Maps the reduced residual to amplitudes; its rows are 0 for the null space of Z.
    target, rows : ndarray of shape (r,), ndarray of shape (r, d)
        The reduced residual at w is target - rows w.
    """

    residual: Residual
    spectrum: Spectrum
    left: Array
    target: Array
    rows: Array

    def amplitudes(self, w: Array) -> Array:
        """Return the components of the field at ``w`` along the eigenvectors; exactly 0 in the null space."""
        return np.asarray(self.left @ (self.target - self.rows @ w))

    def norm(self, w: Array, made_of: Array) -> tuple[float, float]:
        """Return the norm of the field evaluated at ``w`` from the residual, and a bound on its rounding."""
        return self.residual.norm(w, made_of)


def decompose(residual: Residual) -> GradedField:
    """Decompose a residual field once."""
    alive = residual.counts
    phi, Z, q = residual.phi[alive], residual.Z[alive], residual.q[alive]
    root = np.sqrt(np.abs(phi))
    top = float(root.max(initial=0.0))
    scale = np.where(residual.sizes > 0, residual.sizes, 1.0)
    columns = (root / (top or 1.0))[:, None] * Z / scale
    factor, Q = ScaledFactor.of_columns(columns, scale * top, _threshold(residual))
    target = Q.T @ (np.sign(phi) * root * q)
    core = None
    if (phi < 0).any():
        core = (Q.T * np.sign(phi)) @ Q
        if (np.linalg.eigvalsh(core) <= _threshold(residual)).any():
            return _indefinite(residual, factor, core, target)
        from scipy.linalg import solve_triangular

        corner = np.asarray(np.linalg.cholesky(core), dtype=np.float64)
        factor, rotation = factor.transformed(corner.T)
        target = rotation.T @ solve_triangular(corner, target, lower=True)
    V, sigma, U = factor.svd()
    error = _value_errors(residual, V, sigma)
    if core is not None:
        # The core is known to the same unit; its factor has it in sigma^2 v'core^-1 v at most.
        error += _threshold(residual) * sigma**2 / np.linalg.eigvalsh(core)[0]
    return _completed(residual, sigma**2, V, error, sigma[:, None] * U.T, target, factor.rows)


def _indefinite(
    residual: Residual, factor: ScaledFactor, core: Array, target: Array
) -> GradedField:
    """Decompose a field that grows somewhere, with the absolute accuracy of an ordinary eigensolver.

    Its null space is still that of the data; other eigenvalues that are rounding are 0, without a motion.
    """
    basis, corner = np.linalg.qr(factor.rows.T)
    values, inner = np.linalg.eigh(corner @ core @ corner.T)
    V, left = basis @ inner, inner.T @ corner
    error = _value_errors(residual, V, np.sqrt(np.abs(values)))
    error += solver_error(residual.sizes.size, float(np.abs(values).max()))
    error += _threshold(residual) * np.linalg.norm(factor.rows @ V, axis=0) ** 2
    rounding = np.abs(values) <= error
    error = np.where(rounding, error + np.abs(values), error)
    left = np.where(rounding[:, None], 0.0, left)
    values = np.where(rounding, 0.0, values)
    return _completed(residual, values, V, error, left, target, core @ factor.rows)


def _threshold(residual: Residual) -> float:
    """Return the size below which a column of B that is left over consists of rounding."""
    return 2.0 * residual.unit * float(np.sqrt(residual.sizes.size))


def _image_errors(residual: Residual, vectors: Array) -> Array:
    """Return how far off diag(phi)^(1/2) Z v may be for each column v."""
    top = float(np.sqrt(np.abs(residual.phi[residual.counts]).max(initial=0.0)))
    return np.asarray(top * residual.unit * (residual.sizes @ np.abs(vectors)))


def _value_errors(residual: Residual, vectors: Array, sigma: Array) -> Array:
    """Return what the rounding of Z and phi does to the eigenvalues sigma^2 of ``vectors``."""
    off = _image_errors(residual, vectors)
    return residual.quadratic_error(vectors) + 2.0 * sigma * off + off**2


def _completed(
    residual: Residual,
    values: Array,
    vectors: Array,
    error: Array,
    left: Array,
    target: Array,
    rows: Array,
) -> GradedField:
    """Add the null space."""
    d, rank = vectors.shape
    null = np.eye(d)[:, rank:]
    if 0 < rank < d:
        null = np.linalg.qr(vectors, mode="complete")[0][:, rank:]
    off = _image_errors(residual, null)
    # No vector of the null space is more its own than another: each eigenvalue is at most the trace.
    lost = residual.quadratic_error(null) + off**2 * (
        1.0 + (_threshold(residual) / residual.unit) ** 2
    )
    # Columns that depend on each other only to rounding turn the row space, which changes the other values by
    # up to what the null space's own could be.
    error = np.concatenate([np.full(d - rank, np.sum(lost)), error + np.sum(off**2)])
    every, values = np.hstack([null, vectors]), np.concatenate([np.zeros(d - rank), values])
    left = np.vstack([np.zeros((d - rank, rank)), left])
    order = np.argsort(values, kind="stable")
    spectrum = Spectrum(values[order], every[:, order], error[order])
    return GradedField(residual, spectrum, left[order], target, rows)
