"""Quadratic objectives and affine fields, aggregated over the tasks once.

For f_i(w) = w'H_i w/2 - b_i'w + c_i, k inner steps of size alpha map w to P_i w + r_i with
P_i = (I - alpha H_i)^k and r_i = alpha sum_{j<k} (I - alpha H_i)^j b_i. The MAML loss with quadratic query
losses (Q_i, s_i, e_i) is then the quadratic with

    G = sum p_i P_i Q_i P_i,   c = sum p_i P_i (s_i - Q_i r_i),   k = sum p_i (r_i'Q_i r_i/2 - s_i'r_i + e_i),

so that one evaluation costs one d x d product whatever M is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from maml_ode._validation import Array
from maml_ode.tasks.base import QuadraticTerms

__all__ = ["AffineField", "QuadraticForm", "fomaml_field", "maml_quadratic_form", "reptile_field"]


@dataclass(frozen=True, eq=False)
class QuadraticForm:
    """The function w'Gw/2 - c'w + k with symmetric G."""

    G: Array
    c: Array
    k: float

    @cached_property
    def eigenvalues(self) -> Array:
        """Eigenvalues of G, ascending."""
        return np.asarray(np.linalg.eigvalsh(self.G), dtype=np.float64)

    def value(self, w: Array) -> float:
        """Return w'Gw/2 - c'w + k."""
        return float(w @ (0.5 * (self.G @ w) - self.c)) + self.k

    def gradient(self, w: Array) -> Array:
        """Return Gw - c."""
        return np.asarray(self.G @ w - self.c)

    def values_and_gradient_norms(self, points: Array) -> tuple[Array, Array]:
        """Return the values and gradient norms at the rows of ``points``."""
        product = points @ self.G
        values = np.einsum("nd,nd->n", points, 0.5 * product - self.c) + self.k
        return values, np.linalg.norm(product - self.c, axis=1)


@dataclass(frozen=True, eq=False)
class AffineField:
    """The vector field w' = -(K w - k) with symmetric K."""

    K: Array
    k: Array

    @cached_property
    def largest_eigenvalue(self) -> float:
        """The largest eigenvalue of K, the stiffest rate of the field."""
        return float(self._eigenvalues[-1])

    @cached_property
    def spectral_radius(self) -> float:
        """The largest absolute eigenvalue of K."""
        return float(np.abs(self._eigenvalues).max())

    @cached_property
    def _eigenvalues(self) -> Array:
        return np.asarray(np.linalg.eigvalsh(self.K), dtype=np.float64)


def _inner_maps(
    terms: QuadraticTerms, i: int, alpha: float, inner_steps: int
) -> tuple[Array, Array, Array, Array]:
    """Return P and r of task i, and the sums H sum_j A^j and sum_j grad-offsets of the Reptile field."""
    H, b = terms.H[i], terms.b[i]
    d = b.size
    P, r = np.eye(d), np.zeros(d)
    slope, offset = np.zeros((d, d)), np.zeros(d)
    for _ in range(inner_steps):
        slope += H @ P
        offset += b - H @ r
        P = P - alpha * (H @ P)
        r = r - alpha * (H @ r - b)
    return P, r, slope, offset


def maml_quadratic_form(
    terms: QuadraticTerms, query: QuadraticTerms, weights: Array, alpha: float, inner_steps: int
) -> QuadraticForm:
    """Return F as one quadratic form; ``inner_steps`` 0 gives the expected query loss."""
    d = terms.b.shape[1]
    G, c, constant = np.zeros((d, d)), np.zeros(d), 0.0
    for i, p in enumerate(weights):
        P, r, _, _ = _inner_maps(terms, i, alpha, inner_steps)
        Q, s = query.H[i], query.b[i]
        G += p * (P.T @ Q @ P)
        c += p * (P.T @ (s - Q @ r))
        constant += p * float(0.5 * (r @ Q @ r) - s @ r + query.c[i])
    return QuadraticForm(0.5 * (G + G.T), c, constant)


def fomaml_field(
    terms: QuadraticTerms, query: QuadraticTerms, weights: Array, alpha: float, inner_steps: int
) -> AffineField | None:
    """Return K, k of sum p_i grad g_i(u_i); None if K is not symmetric (query differs from support)."""
    d = terms.b.shape[1]
    K, k = np.zeros((d, d)), np.zeros(d)
    for i, p in enumerate(weights):
        P, r, _, _ = _inner_maps(terms, i, alpha, inner_steps)
        K += p * (query.H[i] @ P)
        k += p * (query.b[i] - query.H[i] @ r)
    return _symmetric(K, k)


def reptile_field(
    terms: QuadraticTerms, weights: Array, alpha: float, inner_steps: int
) -> AffineField | None:
    """Return K, k of sum p_i (w - u_i)/alpha."""
    d = terms.b.shape[1]
    K, k = np.zeros((d, d)), np.zeros(d)
    for i, p in enumerate(weights):
        _, _, slope, offset = _inner_maps(terms, i, alpha, inner_steps)
        K += p * slope
        k += p * offset
    return _symmetric(K, k)


def _symmetric(K: Array, k: Array) -> AffineField | None:
    scale = float(np.abs(K).max())
    if float(np.abs(K - K.T).max()) > 1e-12 * scale:
        return None
    return AffineField(0.5 * (K + K.T), k)
