"""Singular values and vectors of a matrix of full row rank whose columns differ in size, or repeat each other.

The factor is kept as R [I T] D: a well-conditioned triangle R for the columns that carry the rank, the
coefficients T of the columns that depend on them, and the sizes D. Each is known to its own relative accuracy, and
the row space, which says in which directions w never moves, is read from T and D and not from their product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array

__all__ = ["ScaledFactor"]

# Each gains about as many digits as the factorisation has.
REFINEMENTS = 4
# How far above what counts as rounding a smallest singular value must lie for a rank without a doubt.
PLAIN = 1e3


@dataclass(frozen=True, eq=False)
class ScaledFactor:
    """The r x d matrix R [I T] D with its columns permuted.

    Attributes
    ----------
    triangle : ndarray of shape (r, r)
        R, upper triangular.
    coefficients : ndarray of shape (r, d - r)
        T; what rounding alone can explain in it is exactly 0.
    order : ndarray of shape (d,)
        Which columns of the matrix the r leading and the d - r dependent ones are.
    sizes : ndarray of shape (d,)
        D, in the matrix's order of columns.
    """

    triangle: Array
    coefficients: Array
    order: npt.NDArray[np.intp]
    sizes: Array

    @classmethod
    def of_columns(
        cls, columns: Array, sizes: Array, threshold: float
    ) -> tuple[ScaledFactor, Array]:
        """Factor columns of size 1 at most, known to ``threshold``, as Q R [I T]; return the factor and Q.

        Where the rank is in doubt it is decided by a pivoted QR factorisation. Then the large columns lead where
        they may: what depends on them is small, and so is what its rounding does to the directions in which w
        never moves.
        """
        if columns.shape[0] >= sizes.size:
            Q, triangle = np.linalg.qr(columns)
            if _is_plainly_regular(triangle, threshold):
                return cls(triangle, np.empty((sizes.size, 0)), np.arange(sizes.size), sizes), Q
        # Imported where it is needed: an ordinary regression takes less time than the import.
        from scipy.linalg import qr, solve_triangular

        _, triangle, order = qr(columns, mode="economic", pivoting=True)
        rank = int(np.count_nonzero(np.abs(np.diag(triangle)) > threshold))
        if rank < sizes.size:
            order = order[_large_columns_first(triangle[:rank], sizes[order])]
        Q, leading = np.linalg.qr(columns[:, order[:rank]])
        inverse = solve_triangular(leading, np.eye(rank))
        coefficients = inverse @ (Q.T @ columns[:, order[rank:]])
        rounding = threshold * np.abs(inverse).sum(axis=1)[:, None]
        clean = np.where(np.abs(coefficients) <= rounding, 0.0, coefficients)
        # Where the leading columns nearly depend on each other, errors of the coefficients make up for each other,
        # and none may be left out alone.
        off = np.abs(leading @ (clean - coefficients)).max(axis=0, initial=0.0)
        coefficients = np.where(off <= 8 * threshold, clean, coefficients)
        return cls(leading, coefficients, order, sizes), Q

    def transformed(self, matrix: Array) -> tuple[ScaledFactor, Array]:
        """Return S and an orthogonal Q with Q S = matrix times this factor, for a square matrix."""
        Q, triangle = np.linalg.qr(matrix @ self.triangle)
        return ScaledFactor(triangle, self.coefficients, self.order, self.sizes), np.asarray(Q)

    @property
    def rank(self) -> int:
        """The number of rows r."""
        return len(self.triangle)

    @property
    def rows(self) -> Array:
        """The matrix itself."""
        rows = np.empty((self.rank, self.sizes.size))
        rows[:, self.order] = np.hstack([self.triangle, self.triangle @ self.coefficients])
        return rows * self.sizes

    def svd(self) -> tuple[Array, Array, Array]:
        """Return V (d, r), sigma (r,), U (r, r) of the matrix U diag(sigma) V'.

        An ordinary method leaves an error of eps sigma_max in everything. Where the columns are of one size
        that is no more than what their rounding does; else the Jacobi method of Drmac and Veselic is worth its
        time, whose sigma and U have the relative accuracy that R and D have.
        """
        rows = self.rows
        U, sigma, Vt = np.linalg.svd(rows, full_matrices=False)
        if self.rank == 0 or sigma[0] <= float((self.sizes @ np.abs(Vt.T)).min()):
            return Vt.T, sigma, U
        sigma, U = _jacobi(rows)
        return self._right_vectors(rows, sigma, U), sigma, U

    def _right_vectors(self, rows: Array, sigma: Array, U: Array) -> Array:
        """Return V, every entry to the accuracy that its column's size allows.

        V_ij is at most of size min(sigma_j/D_i, D_i/sigma_j) where R is well-conditioned. A Jacobi method gives
        it to eps; rows' u/sigma to eps D_i/sigma_j; the shortest solution x of rows x = sigma u to
        eps sigma_j/D_i.
        """
        images = rows.T @ U / sigma
        preimages = self._shortest_solutions(U * sigma)
        return np.where(self.sizes[:, None] <= sigma, images, preimages)

    def _shortest_solutions(self, targets: Array) -> Array:
        """Return the shortest X with R [I T] D X = targets, shape (d, columns).

        With Y = R^-1 targets, the dependent part is z in min || D_1^-1 (Y - T z) ||^2 + || D_2^-1 z ||^2. Large
        columns lead, so the second part rules and the columns of this least-squares problem are nearly
        orthogonal once they are of one length; its tiny couplings, which a factorisation knows only to eps,
        come right by refinement, whose residuals know them.
        """
        from scipy.linalg import solve_triangular

        leading, rest = self.order[: self.rank], self.order[self.rank :]
        right = np.zeros((self.sizes.size, targets.shape[1]))
        right[: self.rank] = solve_triangular(self.triangle, targets) / self.sizes[leading, None]
        system = np.vstack([self.coefficients, np.eye(rest.size)]) / self.sizes[self.order, None]
        units = np.abs(system).max(axis=0)
        system = system / units
        triangle = np.asarray(np.linalg.qr(system, mode="r"))
        z, left = np.zeros((rest.size, targets.shape[1])), right
        for _ in range(REFINEMENTS if rest.size else 0):
            slope = solve_triangular(triangle, system.T @ left, trans="T")
            z = z + solve_triangular(triangle, slope)
            left = right - system @ z
        out = np.empty_like(right)
        out[leading], out[rest] = left[: self.rank], -left[self.rank :]
        return out


def _is_plainly_regular(triangle: Array, threshold: float) -> bool:
    """Whether the smallest singular value is far above ``threshold``, as no pivot can then be below it."""
    try:
        inverse = np.linalg.inv(triangle)
    except np.linalg.LinAlgError:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.linalg.norm(inverse) * PLAIN * threshold < 1.0)


def _large_columns_first(triangle: Array, sizes: Array) -> npt.NDArray[np.intp]:
    """Return an order of the columns of an r x d matrix of rank r whose first r are independent.

    At each step the largest of those columns leads whose part outside the span of the chosen ones is no less
    than a tenth of the longest such part.
    """
    left, chosen = triangle.copy(), list[int]()
    for _ in range(triangle.shape[0]):
        outside = np.linalg.norm(left, axis=0)
        outside[chosen] = 0.0
        leader = int(np.argmax(np.where(outside >= 0.1 * outside.max(), sizes, 0.0)))
        chosen.append(leader)
        direction = left[:, leader] / outside[leader]
        left -= np.outer(direction, direction @ left)
    rest = np.setdiff1d(np.arange(sizes.size), chosen)
    return np.concatenate([np.array(chosen, dtype=np.intp), rest])


def _jacobi(rows: Array) -> tuple[Array, Array]:
    """Return sigma and U of an r x d matrix of full row rank with columns of very different size.

    Square, it is what LAPACK's JOBA = "C" is for; with fewer rows it is transposed and its rows are sorted, and
    "F" is safe.
    """
    from scipy.linalg.lapack import dgejsv

    rank, d = rows.shape
    unit = float(np.abs(rows).max())
    scaled = rows / unit
    if rank < d:
        scaled = scaled.T[np.argsort(-np.linalg.norm(scaled, axis=0), kind="stable")]
    accuracy = "CEFGAR".index("C" if rank == d else "F")
    # Of entries of at most 1 LAPACK undoes its own scaling, so that `work` has none to apply.
    sigma, left, right, _, _, info = dgejsv(scaled, joba=accuracy, jobu=0, jobv=0, jobt=1)
    if info != 0:  # the sweeps did not converge, which has never been seen
        left, sigma, right = np.linalg.svd(scaled, full_matrices=False)
        return sigma * unit, left if rank == d else right.T
    return sigma * unit, left if rank == d else right
