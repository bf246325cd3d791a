"""The quadratic MAML loss of least-squares tasks with fewer samples than parameters, by their rows.

For f_i(w) = s_i ||y_i - X_i w||^2 an inner step multiplies the residual by N_i = I - 2 alpha s_i X_i X_i', so that
k of them leave Y_i = N_i^k X_i and t_i = N_i^k y_i, and

    G = A'A,   c = A'q,   k = q'q/2,   A = [sqrt(2 p_i s_i) Y_i],   q = [sqrt(2 p_i s_i) t_i].

No d x d matrix of a task is formed: n_i n_i d operations a step instead of d d d, and one product for G.
"""

from __future__ import annotations

import math

import numpy as np

from maml_ode._validation import Array
from maml_ode.objectives.inner_maps import contracted_step
from maml_ode.objectives.rounded import Rounded
from maml_ode.objectives.spectrum import EPS, norm_bound
from maml_ode.tasks.least_squares import LeastSquares

__all__ = ["by_rows", "has_few_rows"]


def has_few_rows(data: LeastSquares) -> bool:
    """Whether every task is dense and has fewer samples than parameters."""
    return all(isinstance(X, np.ndarray) and X.shape[0] < X.shape[1] for X in data.samples)


def by_rows(
    data: LeastSquares, weights: Array, alpha: float, inner_steps: int
) -> tuple[Rounded, Rounded, float]:
    """Return G, c and k of the family judged by itself."""
    rows, targets = [], []
    for p, s, X, y in zip(weights, data.scales, data.samples, data.targets, strict=True):
        Y, t = _after_steps(Rounded(X), Rounded(y), 2.0 * alpha * float(s), inner_steps)
        root = math.sqrt(2.0 * float(p) * float(s))
        rows.append(_weighted(root, Y))
        targets.append(_weighted(root, t))
    A, q = _stacked(rows), _stacked(targets)
    return A.T @ A, A.T @ q, 0.5 * float(q.value @ q.value)


def _after_steps(
    rows: Rounded, targets: Rounded, step: float, inner_steps: int
) -> tuple[Rounded, Rounded]:
    """Return (I - step X X')^k times the rows X and the targets."""
    if inner_steps == 0 or step == 0.0:
        return rows, targets
    product = rows @ rows.T
    # ``step`` is itself a rounded product.
    product = Rounded(product.value, product.error + EPS * product.norm)
    reach = abs(step) * product.norm
    identity = np.eye(product.value.shape[0])
    contraction = norm_bound(identity - step * product.value) + EPS * (1.0 + reach)
    for _ in range(inner_steps):
        rows = contracted_step(rows, step * (product @ rows), contraction, reach)
        targets = contracted_step(targets, step * (product @ targets), contraction, reach)
    return rows, targets


def _weighted(root: float, part: Rounded) -> Rounded:
    weighted = root * part
    return Rounded(weighted.value, weighted.error + EPS * weighted.norm)  # the root is rounded too


def _stacked(parts: list[Rounded]) -> Rounded:
    error = math.hypot(*(part.error for part in parts))
    return Rounded(np.concatenate([part.value for part in parts]), error)
