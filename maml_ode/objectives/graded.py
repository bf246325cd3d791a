"""The spectrum of Z' diag(phi) Z without the product: right where columns differ in size or repeat each other.

Columns are first brought to one length, Z = B D, and the rank is decided on B, where it does not depend on
units; then the singular values of the full-rank factor R D come from a one-sided Jacobi method, which finds the
small ones of a graded matrix to the relative accuracy that they have (Drmac and Veselic, "New Fast and Accurate
Jacobi SVD Algorithm I", SIAM J. Matrix Anal. Appl. 29 (2008) 1322-1342).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
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
    Q, triangle, order = qr(
        (root / (top or 1.0))[:, None] * Z / scale, mode="economic", pivoting=True
    )
    rank = int(np.count_nonzero(np.abs(np.diag(triangle)) > _threshold(residual)))
    Q, rows = Q[:, :rank], np.zeros((rank, scale.size))
    rows[:, order] = triangle[:rank]
    rows = rows * scale * top
    if (phi > 0).all():
        vectors, singular, inner = _graded_svd(rows)
        values, left, target = singular**2, singular[:, None] * inner.T, Q.T @ (root * q)
    else:
        basis, corner = np.linalg.qr(rows.T)
        core = (Q.T * np.sign(phi)) @ Q
        values, inner = np.linalg.eigh(corner @ core @ corner.T)
        vectors, left, rows = basis @ inner, inner.T @ corner, core @ rows
        target = Q.T @ (np.sign(phi) * root * q)
    return _assembled(residual, values, vectors, left, target, rows)


def _threshold(residual: Residual) -> float:
    """Return the size below which a column of B that is left over consists of rounding."""
    return 4.0 * residual.unit * float(np.sqrt(residual.sizes.size))


def _assembled(
    residual: Residual, values: Array, vectors: Array, left: Array, target: Array, rows: Array
) -> GradedField:
    """Complete the basis by the null space and give every eigenvalue its error bar."""
    d, rank = vectors.shape
    null = qr(vectors, mode="full")[0][:, rank:] if 0 < rank < d else np.eye(d)[:, rank:]
    every = np.hstack([null, vectors])
    values = np.concatenate([np.zeros(d - rank), values])
    left = np.vstack([np.zeros((d - rank, rank)), left])
    # Z v is off by `off`; rows whose weight is rounded add what that may be.
    top = float(np.sqrt(np.abs(residual.phi[residual.counts]).max(initial=0.0)))
    off = top * residual.unit * (residual.sizes @ np.abs(every))
    unsure = residual.phi_error + np.where(residual.counts, 0.0, np.abs(residual.phi))
    error = unsure @ (residual.Z @ every) ** 2 + 2.0 * np.sqrt(np.abs(values)) * off + off**2
    if (residual.phi[residual.counts] < 0).any():
        error = error + solver_error(d, float(np.abs(values).max()))
    # No vector of the null space is more its own than another: each eigenvalue is at most the trace.
    lost = (_threshold(residual) / residual.unit * off[: d - rank]) ** 2
    error[: d - rank] = np.sum(error[: d - rank] + lost)
    order = np.argsort(values, kind="stable")
    spectrum = Spectrum(values[order], every[:, order], error[order])
    return GradedField(residual, spectrum, left[order], target, rows)


def _graded_svd(rows: Array) -> tuple[Array, Array, Array]:
    """Return V, sigma, U of an r x d matrix U sigma V' of full row rank with columns of very different size.

    Square, it is a well-conditioned matrix with scaled columns, for which the method was made. With fewer rows
    it is transposed, and then safe if its rows are sorted, largest first (Cox and Higham, "Stability of
    Householder QR factorization for weighted least squares problems", 1998).
    """
    rank, d = rows.shape
    if rank == 0:
        return np.zeros((d, 0)), np.zeros(0), np.zeros((0, 0))
    unit = float(np.abs(rows).max())
    if rank == d:
        sigma, U, V = _jacobi(rows / unit, "CEFGAR".index("C"))
        return V, sigma * unit, U
    order = np.argsort(-np.linalg.norm(rows / unit, axis=0), kind="stable")
    sigma, V, U = _jacobi(rows.T[order] / unit, "CEFGAR".index("F"))
    unsorted = np.empty_like(V)
    unsorted[order] = V
    return unsorted, sigma * unit, U


def _jacobi(matrix: Array, accuracy: int) -> tuple[Array, Array, Array]:
    """Return sigma, U, V of a tall matrix; ``accuracy`` is the place of LAPACK's JOBA among its letters."""
    sigma, U, V, work, _, info = dgejsv(matrix, joba=accuracy, jobu=0, jobv=0, jobt=1)
    if info != 0:  # the sweeps did not converge, which has never been seen
        U, sigma, Vt = np.linalg.svd(matrix, full_matrices=False)
        return sigma, U, Vt.T
    return sigma * (work[0] / work[1]), U, V
