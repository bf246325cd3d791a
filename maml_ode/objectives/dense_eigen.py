"""An affine field in the eigenbasis of its matrix, where there is only the matrix to go by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from maml_ode._validation import Array
from maml_ode.objectives.spectrum import EPS, Spectrum, norm_bound, solver_error

__all__ = ["DenseEigen"]


@dataclass(frozen=True, eq=False)
class DenseEigen:
    """The field k - K w; ``K_error`` and ``k_error`` bound what rounding did to K and k in the 2-norm."""

    K: Array
    k: Array
    K_error: float
    k_error: float

    @cached_property
    def spectrum(self) -> Spectrum:
        """Eigenvalues and eigenvectors of K; absolute accuracy is all that K has."""
        return Spectrum.of_matrix(self.K, self.K_error)

    @np.errstate(over="ignore", invalid="ignore")
    def amplitudes(self, w: Array) -> Array:
        """Return the components of the field at ``w`` along the eigenvectors.

        Along directions that do not decay, what rounding alone can explain is exactly 0: it would move, or
        grow, for ever.
        """
        spectrum = self.spectrum
        parts = np.asarray(spectrum.vectors.T @ (self.k - self.K @ w))
        sizes = np.abs(self.k) + np.abs(self.K) @ np.abs(w)
        noise = (w.size + 2) * EPS * (np.abs(spectrum.vectors).T @ sizes)
        noise[spectrum.zero] += self._null_leakage(w, parts)
        rounding = (spectrum.values <= 0.0) & (np.abs(parts) <= noise)
        return np.where(rounding, 0.0, parts)

    @np.errstate(over="ignore", invalid="ignore")
    def norm(self, w: Array, made_of: Array) -> tuple[float, float]:
        """Return the norm of the field evaluated at ``w`` and a bound on its rounding."""
        size = norm_bound(made_of)
        rounding = w.size * EPS * (norm_bound(self.k) + norm_bound(self.K) * size)
        bar = rounding + self.K_error * size + self.k_error
        return norm_bound(self.k - self.K @ w), bar

    def _null_leakage(self, w: Array, parts: Array) -> float:
        """Return what a tilted null vector v sees of a field that is 0 along the exact one.

        With exact data and their rest point x, v'(k - K w) is v'(K* - K) w + v'(k - k*) + v'K*(x - w), and K* v
        is no larger than the error bar of the decomposition.
        """
        values = self.spectrum.values
        moving = values != 0.0
        distance = norm_bound(parts[moving] / values[moving])
        tilt = self.K_error + solver_error(w.size, self.spectrum.radius)
        return self.K_error * norm_bound(w) + self.k_error + tilt * distance
