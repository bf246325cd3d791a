"""FO-MAML and Reptile on quadratic families: affine fields, aggregated over the tasks once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from maml_ode._validation import Array
from maml_ode.objectives.affine_field import AffineField, of_residual
from maml_ode.objectives.inner_loop import InnerSteps
from maml_ode.objectives.inner_maps import InnerMaps, curvature, slope
from maml_ode.objectives.least_squares import Residual, fomaml_residual, reptile_residual
from maml_ode.objectives.rounded import Rounded
from maml_ode.tasks.least_squares import LeastSquares

__all__ = ["fomaml_field", "reptile_field"]

_ByData = Callable[[LeastSquares, Array, float, int], Residual | None]


@np.errstate(over="ignore", invalid="ignore")
def fomaml_field(steps: InnerSteps) -> AffineField | None:
    """Return the field of sum p_i grad g_i(u_i).

    None if some loss is not quadratic, or where nothing makes K symmetric: the query differs from the support,
    or alpha is an array.
    """
    terms, judge = steps.tasks.quadratic, steps.query.quadratic
    if terms is None or judge is None or isinstance(steps.alpha, np.ndarray):
        return None
    d = steps.tasks.dim
    K, k = Rounded(np.zeros((d, d))), Rounded(np.zeros(d))
    for i, p in enumerate(steps.tasks.weights):
        maps = InnerMaps.of_task(terms, i, steps.alpha, steps.count)
        Q, s = curvature(judge, i), slope(judge, i)
        K = K + p * (Q @ maps.P)
        k = k + p * (s - Q @ maps.r)
    if steps.query is steps.tasks:
        return _field(K, k, steps, fomaml_residual)
    return _field(K, k, steps, None) if _is_symmetric(K) else None


@np.errstate(over="ignore", invalid="ignore")
def reptile_field(steps: InnerSteps) -> AffineField | None:
    """Return the field of the sum of the inner gradients.

    None if some loss is not quadratic, or K is not symmetric (alpha differs by coordinate and step).
    """
    terms = steps.tasks.quadratic
    if terms is None:
        return None
    d = steps.tasks.dim
    K, k = Rounded(np.zeros((d, d))), Rounded(np.zeros(d))
    for i, p in enumerate(steps.tasks.weights):
        maps = InnerMaps.of_task(terms, i, steps.alpha, steps.count)
        K = K + p * maps.slopes
        k = k + p * maps.offsets
    if isinstance(steps.alpha, np.ndarray):
        return _field(K, k, steps, None) if _is_symmetric(K) else None
    return _field(K, k, steps, reptile_residual)


def _is_symmetric(K: Rounded) -> bool:
    gap = float(np.abs(K.value - K.value.T).max())
    return gap <= 1e-12 * float(np.abs(K.value).max())


def _field(
    K: Rounded, k: Rounded, steps: InnerSteps, by_data: _ByData | None
) -> AffineField | None:
    """Return the field of a K that is symmetric but for rounding; None where its numbers overflow."""
    if not (K.is_finite and k.is_finite):
        return None
    matrix, source = K.value, None
    data = steps.tasks._least_squares
    if data is not None and by_data is not None:
        alpha = float(steps.alpha)
        build = partial(by_data, data, steps.tasks.weights, alpha, steps.count)
        source = partial(of_residual, build)
    return AffineField(0.5 * (matrix + matrix.T), k.value, K.error, k.error, source)
