"""The spectrum of Z' diag(phi) Z without the product: right where columns differ in size or repeat each other.

Columns are first brought to one length, Z = B D, and the rank is decided on B, where it does not depend on
units; then the singular values of the full-rank factor R D come from a one-sided Jacobi method, which finds the
small ones of a graded matrix to the relative accuracy that they have (Drmac and Veselic, "New Fast and Accurate
Jacobi SVD Algorithm I", SIAM J. Matrix Anal. Appl. 29 (2008) 1322-1342).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import qr
from scipy.linalg.lapack import dgejsv

from maml_ode._validation import Array
from maml_ode.objectives.least_squares import Residual
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

    def norm(self, w: Array) -> tuple[float, float]:
        """Return the norm of the field evaluated at ``w`` from the residual, and a bound on its rounding."""
        return self.residual.norm(w)


def decompose(residual: Residual) -> GradedField:
    """Decompose a residual field once."""
    alive = np.abs(residual.phi) > residual.phi_error
    phi, Z = residual.phi[alive], residual.Z[alive]
    root = np.sqrt(np.abs(phi))
    d = residual.sizes.size
    scale = np.where(residual.sizes > 0, residual.sizes, 1.0)
    top = float(root.max(initial=0.0))
    if top == 0.0:
        empty = np.zeros((d, 0))
        spectrum = Spectrum(np.zeros(d), np.eye(d), np.full(d, _dropped(residual)))
        return GradedField(residual, spectrum, empty, np.zeros(0), empty.T)
    B = (root / top)[:, None] * Z / scale
    Q, R, order = qr(B, mode="economic", pivoting=True)
    rank = int(np.count_nonzero(np.abs(np.diag(R)) > _threshold(residual)))
    Q, factor = Q[:, :rank], np.zeros((rank, d))
    factor[:, order] = R[:rank]
    factor = factor * scale * top
    target = Q.T @ (root * residual.q[alive])
    if (phi > 0).all():
        vectors, singular, inner = _graded_svd(factor.T)
        values, left, rows = singular**2, singular[:, None] * inner.T, factor
    else:
        basis, triangle = np.linalg.qr(factor.T)
        core = (Q.T * np.sign(phi)) @ Q
        values, inner = np.linalg.eigh(triangle @ core @ triangle.T)
        vectors, left, rows = basis @ inner, inner.T @ triangle, core @ factor
        target = Q.T @ (np.sign(phi) * root * residual.q[alive])
    return _assembled(residual, values, vectors, left, target, rows)


def _threshold(residual: Residual) -> float:
    """Return the size below which a column of B that is left over consists of rounding."""
    return 4.0 * residual.unit * float(np.sqrt(residual.sizes.size))


def _dropped(residual: Residual) -> float:
    """Return how much the rows whose weight is rounding could add to an eigenvalue."""
    weight = float((np.abs(residual.phi) + residual.phi_error).max(initial=0.0))
    return weight * float(np.linalg.norm(residual.sizes)) ** 2


def _assembled(
    residual: Residual, values: Array, vectors: Array, left: Array, target: Array, rows: Array
) -> GradedField:
    """Complete the basis by the null space and give every eigenvalue its error bar."""
    d, rank = vectors.shape
    null = qr(vectors, mode="full")[0][:, rank:] if rank < d else np.zeros((d, 0))
    every = np.hstack([null, vectors])
    values = np.concatenate([np.zeros(d - rank), values])
    left = np.vstack([np.zeros((d - rank, rank)), left])
    alive = np.abs(residual.phi) > residual.phi_error
    top = float(np.sqrt(np.abs(residual.phi[alive]).max()))
    # Z v is off by `off`; rows of rounded weight add theirs.
    off = top * residual.unit * (residual.sizes @ np.abs(every))
    weights = np.where(alive, residual.phi_error, np.abs(residual.phi) + residual.phi_error)
    error = weights @ (residual.Z @ every) ** 2
    error = error + 2.0 * np.sqrt(np.abs(values)) * off + off**2
    if (residual.phi[alive] < 0).any():
        error = error + solver_error(d, float(np.abs(values).max()))
    error[: d - rank] += (_threshold(residual) / residual.unit * off[: d - rank]) ** 2
    order = np.argsort(values, kind="stable")
    spectrum = Spectrum(values[order], every[:, order], error[order])
    return GradedField(residual, spectrum, left[order], target, rows)


def _graded_svd(matrix: npt.NDArray[np.float64]) -> tuple[Array, Array, Array]:
    """Return U, sigma, V of a d x r matrix of full column rank, d >= r, small sigma to relative accuracy."""
    unit = float(np.abs(matrix).max())
    sigma, U, V, work, _, info = dgejsv(matrix / unit, joba=2, jobu=0, jobv=0, jobt=1)
    if info != 0:
        U, sigma, Vt = np.linalg.svd(matrix / unit, full_matrices=False)
        return U, sigma * unit, Vt.T
    return U, sigma * (work[0] / work[1]) * unit, V
