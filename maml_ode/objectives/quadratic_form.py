"""Quadratic objectives, aggregated over the tasks once, with the rounding of the aggregation.

For f_i(w) = w'H_i w/2 - b_i'w + c_i, k inner steps of size alpha map w to P_i w + r_i with
P_i = (I - alpha H_i)^k and r_i = alpha sum_{j<k} (I - alpha H_i)^j b_i. The MAML loss with quadratic query
losses (Q_i, s_i, e_i) is then the quadratic with

    G = sum p_i P_i Q_i P_i,   c = sum p_i P_i (s_i - Q_i r_i),   k = sum p_i (r_i'Q_i r_i/2 - s_i'r_i + e_i),

so that one evaluation costs one d x d product whatever M is. For an array alpha a step multiplies by
I - diag(alpha) H_i, so P_i is not symmetric, and its transpose stands on the left in G and in c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from maml_ode._norms import row_norms
from maml_ode._validation import Array
from maml_ode.objectives.affine_field import AffineField, EigenField, of_residual
from maml_ode.objectives.inner_maps import InnerMaps, curvature, slope
from maml_ode.objectives.least_squares import maml_residual
from maml_ode.objectives.rounded import Rounded
from maml_ode.objectives.row_form import by_rows, has_few_rows
from maml_ode.objectives.spectrum import Spectrum
from maml_ode.objectives.step_sizes import Alpha
from maml_ode.tasks.base import TaskFamily

__all__ = ["QuadraticForm", "maml_quadratic_form"]

NUMBERS_AT_ONCE = 2**14


@dataclass(frozen=True, eq=False)
class QuadraticForm:
    """The function w'Gw/2 - c'w + k with symmetric G.

    Attributes
    ----------
    G, c, k : ndarray of shape (d, d), ndarray of shape (d,), float
    G_error, c_error : float
        Bounds on the 2-norms of what rounding did to G and c.
    source : callable, optional
        Returns the gradient flow's field by the data where every task is a least-squares problem.
    """

    G: Array
    c: Array
    k: float
    G_error: float = 0.0
    c_error: float = 0.0
    source: Callable[[], EigenField | None] | None = None

    @cached_property
    def field(self) -> AffineField:
        """The gradient flow's field -(G w - c)."""
        return AffineField(self.G, self.c, self.G_error, self.c_error, self.source)

    @property
    def spectrum(self) -> Spectrum:
        """Eigenvalues and eigenvectors of G with their error bars."""
        return self.field.spectrum

    @property
    def eigenvalues(self) -> Array:
        """Eigenvalues of G, ascending; those that rounding cannot tell from 0 are 0."""
        return self.spectrum.values

    def value(self, w: Array) -> float:
        """Return w'Gw/2 - c'w + k."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(w @ (0.5 * (self.G @ w) - self.c)) + self.k

    def gradient(self, w: Array) -> Array:
        """Return Gw - c."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(self.G @ w - self.c)

    def hvp(self, v: Array) -> Array:
        """Return Gv."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(self.G @ v)

    def values_and_gradient_norms(self, points: Array) -> tuple[Array, Array]:
        """Return the values and gradient norms at the rows of ``points``."""
        values, norms = np.empty(len(points)), np.empty(len(points))
        # Blocks that stay in a cache, in memory that is taken once.
        size = max(1, min(NUMBERS_AT_ONCE // max(self.c.size, 1), len(points)))
        product, half = np.empty((2, size, self.c.size))
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(points), size):
                rows = points[start : start + size]
                count = len(rows)
                np.matmul(rows, self.G, out=product[:count])
                np.multiply(product[:count], 0.5, out=half[:count])
                half[:count] -= self.c
                np.einsum("nd,nd->n", rows, half[:count], out=values[start : start + count])
                product[:count] -= self.c
                norms[start : start + count] = row_norms(product[:count])
            values += self.k
        return values, norms


@np.errstate(over="ignore", invalid="ignore")
def maml_quadratic_form(
    tasks: TaskFamily, query: TaskFamily, alpha: Alpha, inner_steps: int
) -> QuadraticForm | None:
    """Return F as one quadratic form, or None if some loss is not quadratic or the form's numbers overflow.

    ``inner_steps`` 0 gives the expected query loss.
    """
    data, judging = tasks._least_squares, query._least_squares
    source = None
    if isinstance(alpha, np.ndarray):
        data = None  # what is said in terms of the residuals needs one number for all coordinates
    elif data is not None and judging is not None:
        build = partial(maml_residual, data, judging, tasks.weights, alpha, inner_steps)
        source = partial(of_residual, build)
    if (
        not isinstance(alpha, np.ndarray)
        and data is not None
        and data is judging
        and has_few_rows(data)
    ):
        G, c, constant = by_rows(data, tasks.weights, alpha, inner_steps)
        return _form(G, c, constant, source)
    terms, judge, d = tasks.quadratic, query.quadratic, tasks.dim
    if terms is None or judge is None:
        return None
    G, c, constant = Rounded(np.zeros((d, d))), Rounded(np.zeros(d)), 0.0
    for i, p in enumerate(tasks.weights):
        maps = InnerMaps.of_task(terms, i, alpha, inner_steps)
        Q, s = curvature(judge, i), slope(judge, i)
        P, r = maps.P, maps.r
        G = G + p * (P.T @ Q @ P)
        c = c + p * (P.T @ (s - Q @ r))
        half_square = 0.5 * (r.value @ Q.value @ r.value)
        constant += p * float(half_square - s.value @ r.value + judge.c[i])
    return _form(G, c, constant, source)


def _form(
    G: Rounded, c: Rounded, constant: float, source: Callable[[], EigenField | None] | None
) -> QuadraticForm | None:
    if not (G.is_finite and c.is_finite):
        return None
    matrix = 0.5 * (G.value + G.value.T)
    return QuadraticForm(matrix, c.value, constant, G.error, c.error, source)
