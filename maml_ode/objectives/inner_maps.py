"""What inner gradient steps on a quadratic loss do: affine maps, with their rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maml_ode.objectives.rounded import Rounded
from maml_ode.objectives.spectrum import EPS, norm_bound
from maml_ode.tasks.base import QuadraticTerms

__all__ = ["InnerMaps", "contracted_step", "curvature", "slope"]


@dataclass(frozen=True, eq=False)
class InnerMaps:
    """k steps of size alpha on w'Hw/2 - b'w, A = I - alpha H.

    Attributes
    ----------
    P, r : Rounded
        The steps map w to P w + r: P = A^k, r = alpha sum_{j<k} A^j b.
    slopes, offsets : Rounded
        The sum of the gradients on the way is slopes w - offsets: slopes = H sum_{j<k} A^j.
    """

    P: Rounded
    r: Rounded
    slopes: Rounded
    offsets: Rounded

    @classmethod
    def of_task(cls, terms: QuadraticTerms, i: int, alpha: float, inner_steps: int) -> InnerMaps:
        """Follow the steps on task i."""
        H, b = curvature(terms, i), slope(terms, i)
        d = b.value.size
        contraction = norm_bound(np.eye(d) - alpha * H.value) + EPS * (1.0 + alpha * H.norm)
        P, r = Rounded(np.eye(d)), Rounded(np.zeros(d))
        slopes, offsets = Rounded(np.zeros((d, d))), Rounded(np.zeros(d))
        for _ in range(inner_steps):
            product, gradient = H @ P, H @ r - b
            slopes, offsets = slopes + product, offsets + (-1.0) * gradient
            P = contracted_step(P, alpha * product, contraction, alpha * H.norm)
            r = contracted_step(r, alpha * gradient, contraction, alpha * H.norm)
        return cls(P, r, slopes, offsets)


def contracted_step(x: Rounded, move: Rounded, contraction: float, reach: float) -> Rounded:
    """Return x - move, where ``move`` is alpha H x: the error of x passes through I - alpha H, once."""
    moved = x - move
    return Rounded(moved.value, moved.error - (1.0 + reach - contraction) * x.error)


def curvature(terms: QuadraticTerms, i: int) -> Rounded:
    """Return H_i."""
    return Rounded(terms.H[i], 0.0 if terms.H_error is None else float(terms.H_error[i]))


def slope(terms: QuadraticTerms, i: int) -> Rounded:
    """Return b_i."""
    return Rounded(terms.b[i], 0.0 if terms.b_error is None else float(terms.b_error[i]))
