"""Quadratic tasks: what is exactly true, for any alpha > 0.

F(w) = (w - w_F)'G (w - w_F)/2 + const with G = E H_i (I - alpha H_i)^(2k), so the flow is w(t) =
w_F + exp(-G t)(w0 - w_F), its rate lambda_min(G), and gradient descent is stable iff step_size <
2/lambda_max(G). G is positive definite unless a common v has H_i v = v/alpha or H_i v = 0 in every
task.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_point
from maml_ode.objectives.quadratic_form import QuadraticForm

__all__ = ["QuadraticFacts"]


@dataclass(frozen=True, eq=False)
class QuadraticFacts:
    """Exact statements on a gradient flow of w'Gw/2 - c'w + k.

    Parameters
    ----------
    form : QuadraticForm
        ``objective.quadratic_form`` of a quadratic family.
    """

    form: QuadraticForm

    @property
    def rate(self) -> float:
        """lambda_min(G): ||grad F|| and ||w - w_F|| decay like exp(-rate t), F - F* like exp(-2 rate t)."""
        return float(self.form.eigenvalues[0])

    @property
    def smoothness(self) -> float:
        """lambda_max(G)."""
        return float(self.form.eigenvalues[-1])

    @property
    def singular(self) -> bool:
        """Whether G is singular to rounding, so that its definiteness cannot be decided."""
        d = self.form.c.size
        scale = max(abs(self.smoothness), abs(self.rate))
        return bool(abs(self.rate) <= 10.0 * d * np.finfo(float).eps * scale)

    @property
    def unique(self) -> bool:
        """Whether G is positive definite beyond rounding: one critical point, the global minimiser."""
        return bool(self.rate > 0 and not self.singular)

    @property
    def minimizer(self) -> Array:
        """w_F = G^-1 c, shape (d,)."""
        return np.asarray(np.linalg.solve(self.form.G, self.form.c))

    @property
    def step_size_limit(self) -> float:
        """2/lambda_max(G); ``inf`` if G has no positive eigenvalue."""
        return 2.0 / self.smoothness if self.smoothness > 0 else math.inf

    def stationarity_time(self, w: npt.ArrayLike, tol: float) -> float:
        """Return the exact time at which the flow from ``w`` has ||grad|| = ``tol``; ``inf`` if never."""
        point = as_point("w", w, self.form.c.size)
        values, vectors = np.linalg.eigh(self.form.G)
        parts = vectors.T @ self.form.gradient(point)
        norm = float(np.linalg.norm(parts))
        if norm <= tol:
            return 0.0
        if not self.unique:
            return math.inf
        from scipy.optimize import brentq

        def excess(t: float) -> float:
            return math.log(max(float(np.linalg.norm(np.exp(-values * t) * parts)), 1e-300) / tol)

        return float(brentq(excess, 0.0, math.log(norm / tol) / self.rate * (1 + 1e-9) + 1e-300))

    def state(self, t: float, w: npt.ArrayLike) -> Array:
        """Return w(t) of the flow from ``w``, for positive definite G."""
        point = as_point("w", w, self.form.c.size)
        values, vectors = np.linalg.eigh(self.form.G)
        centre = self.minimizer
        return np.asarray(centre + vectors @ (np.exp(-values * t) * (vectors.T @ (point - centre))))
