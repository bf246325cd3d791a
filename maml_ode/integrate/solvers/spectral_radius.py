"""The spectral radius of a Jacobian, from Jacobian-vector products."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from maml_ode._validation import Array

__all__ = ["ArnoldiEstimate"]

ACCURACY = 0.05
SAFETY = 1.1
MOST_PRODUCTS = 50
FEWEST_PRODUCTS = 8
FEWEST_PRODUCTS_AGAIN = 4


class ArnoldiEstimate:
    """An estimate from above of the spectral radius of a slowly changing matrix.

    Arnoldi's process (Lanczos' with full orthogonalisation where the matrix is symmetric) finds the Ritz value
    theta of largest modulus and its residual r. For a symmetric matrix an eigenvalue lies within r of theta. The
    estimate is 1.1 (|theta| + r) once r <= |theta|/20, after at least eight products, or all n of them. The Ritz
    vector starts the next process, which takes at least four; a random vector is mixed in, so that another
    eigenvalue that has become the largest is found. As any estimate from fewer than n products it can miss an
    eigenvalue whose vector is nearly orthogonal to the start.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._random = np.random.default_rng(0)
        self._vector: Array | None = None

    def __call__(self, product: Callable[[Array], Array]) -> float:
        """Return the estimate for the matrix v -> product(v), or NaN if a product is not finite."""
        n = self.n
        start = self._random.standard_normal(n)
        start /= np.linalg.norm(start)
        fewest = FEWEST_PRODUCTS
        if self._vector is not None:
            fewest = FEWEST_PRODUCTS_AGAIN
            start = self._vector + 0.1 * start
            start /= np.linalg.norm(start)
        most = min(n, MOST_PRODUCTS)
        basis = np.zeros((most + 1, n))
        H = np.zeros((most + 1, most))
        basis[0] = start
        theta = residual = 0.0
        for m in range(1, most + 1):
            w = np.array(product(basis[m - 1]), dtype=np.float64)
            if not np.isfinite(w).all():
                return math.nan
            size = float(np.linalg.norm(w))
            for _ in range(2):  # once more, against the loss of orthogonality
                overlap = basis[:m] @ w
                H[:m, m - 1] += overlap
                w -= overlap @ basis[:m]
            beta = float(np.linalg.norm(w))
            H[m, m - 1] = beta
            values, vectors = np.linalg.eig(H[:m, :m])
            largest = int(np.argmax(np.abs(values)))
            theta = float(np.abs(values[largest]))
            ritz = vectors[:, largest]
            residual = beta * float(np.abs(ritz[-1]))
            closed = beta <= 1e-12 * size or m == most
            if closed or (m >= fewest and residual <= ACCURACY * theta):
                vector = np.real(ritz) @ basis[:m]
                norm = float(np.linalg.norm(vector))
                self._vector = vector / norm if norm > 0 else None
                break
            basis[m] = w / beta
        return SAFETY * (theta + residual)
