"""What inner gradient steps on a quadratic loss do: affine maps, with their rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from maml_ode.objectives.rounded import Rounded
from maml_ode.objectives.spectrum import EPS, norm_bound
from maml_ode.objectives.step_sizes import Alpha, largest_size, of_steps
from maml_ode.tasks.base import QuadraticTerms

__all__ = ["InnerMaps", "contracted_step", "curvature", "slope"]


@dataclass(frozen=True, eq=False)
class InnerMaps:
    """k steps of size alpha on w'Hw/2 - b'w, A = I - alpha H; for an array alpha A = I - diag(alpha) H.

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
    def of_task(cls, terms: QuadraticTerms, i: int, alpha: Alpha, inner_steps: int) -> InnerMaps:
        """Follow the steps on task i."""
        H, b = curvature(terms, i), slope(terms, i)
        d = b.value.size
        P, r = Rounded(np.eye(d)), Rounded(np.zeros(d))
        slopes, offsets = Rounded(np.zeros((d, d))), Rounded(np.zeros(d))
        contraction, followed = 0.0, None
        for size in _sizes(alpha, inner_steps, i, d):
            reach = largest_size(size) * H.norm
            if size is not followed:
                rows = size[:, np.newaxis] if isinstance(size, np.ndarray) else size
                contraction = norm_bound(np.eye(d) - rows * H.value) + EPS * (1.0 + reach)
                followed = size
            product, gradient = H @ P, H @ r - b
            slopes, offsets = slopes + product, offsets + (-1.0) * gradient
            P = contracted_step(P, _scaled(size, product), contraction, reach)
            r = contracted_step(r, _scaled(size, gradient), contraction, reach)
        return cls(P, r, slopes, offsets)


def contracted_step(x: Rounded, move: Rounded, contraction: float, reach: float) -> Rounded:
    """Return x - move, where ``move`` is alpha H x: the error of x passes through I - alpha H, once."""
    moved = x - move
    return Rounded(moved.value, moved.error - (1.0 + reach - contraction) * x.error)


def _sizes(alpha: Alpha, inner_steps: int, i: int, d: int) -> list[Any]:
    """Return the step size of every step on task i: numbers, or arrays of shape (d,)."""
    if not isinstance(alpha, np.ndarray):
        return [alpha] * inner_steps
    rows = [np.atleast_2d(size) for size in of_steps(alpha, inner_steps)]
    return [np.broadcast_to(row[i if len(row) > 1 else 0], d) for row in rows]


def _scaled(size: Any, part: Rounded) -> Rounded:
    """Return diag(size) times a matrix or a vector."""
    if not isinstance(size, np.ndarray):
        return size * part  # type: ignore[no-any-return]
    rows = size.reshape(-1, *[1] * (part.value.ndim - 1))
    top = largest_size(size)
    return Rounded(rows * part.value, top * part.error + 0.5 * EPS * top * part.norm)


def curvature(terms: QuadraticTerms, i: int) -> Rounded:
    """Return H_i."""
    return Rounded(terms.H[i], 0.0 if terms.H_error is None else float(terms.H_error[i]))


def slope(terms: QuadraticTerms, i: int) -> Rounded:
    """Return b_i."""
    return Rounded(terms.b[i], 0.0 if terms.b_error is None else float(terms.b_error[i]))
